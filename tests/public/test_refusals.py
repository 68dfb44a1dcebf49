"""What is refused says at once what was met, and what to do instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.interpolate
import scipy.linalg
import scipy.ndimage
import scipy.signal
import scipy.special
import scipy.stats

import jitad
from jitad import cli

X = np.array([0.5, 0.7])
LARGE = np.eye(200)
RNG = np.random.default_rng(0)

MATRICES = [np.linalg.inv, np.linalg.det, np.linalg.slogdet, np.linalg.cholesky]


@pytest.mark.parametrize("f", MATRICES, ids=lambda f: f.__name__)
def test_a_matrix_that_is_too_large_is_refused_before_it_is_written_out(f: Any) -> None:
    message = rf"np.linalg.{f.__name__} of .*\[200,200\].* takes .* expected an order"
    with pytest.raises(jitad.UnsupportedError, match=message) as refused:
        jitad.vmap(f)(LARGE[None])
    assert "vmap" not in str(refused.value)
    assert f"{__file__}:" in str(refused.value)


def test_a_system_that_is_too_large_is_refused() -> None:
    with pytest.raises(jitad.UnsupportedError, match=r"solve of .* of 66 at most"):
        jitad.vmap(np.linalg.solve)(LARGE[None], np.ones((1, 200)))


@pytest.mark.parametrize("args", [(), (X,)])
def test_a_product_without_its_seed(args: Any) -> None:
    with pytest.raises(jitad.InputError, match=r"has \d arguments, the seed among"):
        jitad.hvp(lambda x: np.sum(x**2))(*args)


LONG = [np.sort, np.argsort, np.median, lambda x: np.convolve(x, x)]


@pytest.mark.parametrize("f", LONG)
def test_pairs_of_too_many_elements_are_refused_before_they_are_written_out(
    f: Any,
) -> None:
    with pytest.raises(jitad.UnsupportedError, match=r"of f.*2000.* takes .* per"):
        jitad.vmap(f)(np.arange(2000.0)[None])


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: RNG.normal(x[0], 1.0),
        lambda x: np.sum(RNG.normal(x, 1.0)),
        lambda x: np.random.normal(x[0], 1.0),  # noqa: NPY002
        lambda x: RNG.uniform(0.0, x[0]),
        lambda x: RNG.exponential(scale=x[0]),
        lambda x: RNG.poisson(x[0]) * x[0],
    ],
)
def test_numpys_generators_point_to_jitads(draw: Any) -> None:
    with pytest.raises(jitad.TracingError, match=r"draw with jitad\.random, such as"):
        jitad.grad(draw)(X)


def test_a_special_function_that_is_unknown_names_those_that_are_known() -> None:
    with pytest.raises(jitad.UnsupportedError) as refused:
        jitad.grad(lambda x: scipy.special.betaln(x[0], x[1]))(X)
    text = str(refused.value)
    assert "betaln cannot be traced" in text
    assert "gammaln" in text and "jitad.primitive" in text


@pytest.mark.parametrize(
    "f",
    [
        scipy.linalg.expm,
        scipy.linalg.inv,
        scipy.linalg.cholesky,
        lambda a: scipy.interpolate.CubicSpline([0, 1, 2], a[0])(0.5),
        lambda a: scipy.signal.fftconvolve(a[0], a[1]),
        lambda a: scipy.ndimage.gaussian_filter(a, 1.0),
        lambda a: scipy.stats.norm.logpdf(a[0, 0], a[0, 1], a[1, 1]),
    ],
)
def test_functions_of_scipy_say_that_they_are(f: Any) -> None:
    with pytest.raises(jitad.TracingError, match="SciPy's functions, but those of"):
        jitad.jit(f)(np.eye(3) + 0.1)


@pytest.mark.parametrize("name", ["points.csv", "points.txt"])
def test_a_text_file_is_told_how_to_become_an_array(
    name: str, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    (tmp_path / name).write_text("1.0,2.0\n3.0,4.0\n")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sines_of_text.py").write_text("import numpy as np\nf = np.sin\n")
    assert cli.main(["jacobian", "sines_of_text:f", name, "out.npy"]) == 2
    said = capsys.readouterr().err
    assert "expected a .npy or .npz file" in said and "np.loadtxt" in said
    assert "pickle" not in said
    command = said.split('"')[1]
    exec(command)
    np.testing.assert_array_equal(np.load("points.npy"), [[1, 2], [3, 4]])
