"""What a user meets before any number: help, signatures, names, and refusals."""

from __future__ import annotations

import inspect
import pydoc
import re
from typing import Any

import numpy as np
import pytest

import jitad
from jitad import cli


def misfit(camera: Any, point: Any, *, weight: float = 1.0) -> Any:
    """How far a point is from where a camera sees it."""
    return weight * np.sum((camera - point) ** 2)


TRANSFORMS = [
    (jitad.jit, {}, "jit(misfit): misfit, compiled"),
    (jitad.grad, {}, "grad(misfit): ∂misfit/∂camera, in camera's structure"),
    (
        jitad.grad,
        {"argnums": (0, 1)},
        "grad(misfit): ∂misfit/∂(camera, point), in (camera, point)'s structure",
    ),
    (
        jitad.value_and_grad,
        {"argnums": 1},
        "value_and_grad(misfit): what misfit returns, and ∂misfit/∂point in point's "
        "structure",
    ),
    (
        jitad.jacobian,
        {"argnums": -1},
        "jacobian(misfit): ∂misfit/∂point, of misfit's shape, then point's",
    ),
    (
        jitad.hessian,
        {},
        "hessian(misfit): ∂²misfit/∂camera², of misfit's shape, then camera's twice",
    ),
]


@pytest.mark.parametrize(("transform", "options", "line"), TRANSFORMS)
def test_functions_say_what_they_take_and_return(
    transform: Any, options: Any, line: str
) -> None:
    function = transform(misfit, **options)
    for made in (function, jitad.jit(function, backend="numpy")):
        assert made.__doc__ == f"{line}\n\n{misfit.__doc__}"
        assert inspect.signature(made) == inspect.signature(misfit)
    batch = jitad.vmap(function)
    assert batch.__doc__.startswith(f"vmap({line.partition(':')[0]}): for a batch of ")
    assert line.partition(": ")[2] in batch.__doc__
    assert inspect.signature(batch) == inspect.signature(misfit)


def test_functions_without_signature_or_words_are_described() -> None:
    assert jitad.grad(lambda x: x).__doc__ == (
        "grad(<lambda>): ∂<lambda>/∂x, in x's structure"
    )
    assert jitad.grad(np.hypot, 1).__doc__.startswith("grad(hypot): ∂hypot/∂")


def test_a_product_says_where_the_seed_goes() -> None:
    product = jitad.hvp(misfit, argnums=1)
    assert [*inspect.signature(product).parameters] == ["camera", "point", "v"]
    assert product.__doc__.startswith("hvp(misfit): ∂²misfit/∂point² · v; v comes last")
    assert "The seed v comes last" in pydoc.plain(pydoc.render_doc(jitad.hvp))
    found = product(np.ones(2), np.zeros(2), np.array([1.0, 0.0]))
    np.testing.assert_array_equal(found, [2.0, 0.0])


def test_only_public_names_are_listed() -> None:
    assert dir(jitad) == sorted(jitad.__all__)
    assert all(hasattr(jitad, name) for name in dir(jitad))


def test_the_version_is_told(capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"jitad {jitad.__version__}\n"


def test_entries_of_a_solution_are_folded() -> None:
    A = np.eye(3) + 0.1
    said = str(jitad.explain(jitad.jacobian(np.linalg.solve), A, np.ones(3)))
    assert "9 inv3" in said and "3 solve3" in said and "inv3." not in said
    said = str(jitad.explain(jitad.jit(lambda A: np.linalg.eigvalsh(A)), A))
    assert "3 eigenvalue3" in said and "eigenvalue3." not in said


def f(x: Any) -> Any:
    return np.sin(x)


X = np.ones((4, 2))
WRONG = [
    (lambda: jitad.jacobian(f, mode="backward"), 'expected "auto", "forward", "rev'),
    (lambda: jitad.hessian(f, mode="backward"), 'expected "auto", "forward", "rev'),
    (lambda: jitad.jit(f, backend="gpu"), 'expected "cpu" or "numpy"'),
    (lambda: jitad.jit(f, device="gpu"), 'expected "cpu", "cuda"'),
    (lambda: jitad.jit(f, precision="half"), 'expected "full" or "mixed"'),
    (lambda: jitad.vmap(f, in_axes=0.5), "in_axes has 0.5; expected integers"),
    (lambda: jitad.vmap(f, in_axes=True), "in_axes has True; expected integers"),
    (lambda: jitad.vmap(f, in_axes=("x",)), "in_axes has 'x'; expected integers"),
    (lambda: jitad.vmap(f, out_axes=0.5), "out_axes has 0.5; expected integers"),
    (lambda: jitad.vmap(f, in_axes=(0, 0))(X), "2 entries for 1 arguments"),
    (lambda: jitad.vmap(f, in_axes=((0, 1),))(X), "has .0, 1. for ndarray"),
    (lambda: jitad.vmap(f, in_axes=({"y": 0},))({"x": X}), "for a dict of .'x'."),
    (lambda: jitad.vmap(f, out_axes=(0, 0))(X), "has .0, 0. for int"),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=range(len(WRONG)))
def test_wrong_options_are_input_errors(call: Any, message: str) -> None:
    with pytest.raises(jitad.InputError, match=message):
        call()


def test_axes_may_be_any_integers() -> None:
    found = jitad.vmap(f, in_axes=np.int64(0), out_axes=np.int64(1))(X)
    np.testing.assert_array_equal(found, np.sin(X).T)


# What raises nothing of its own.
RAISES_NOTHING = {
    "cache_clear", "checkpoint", "empty", "full", "get_threads", "info", "log_softmax",
    "logsumexp", "ones", "softmax", "stop_gradient", "zeros",
}  # fmt: skip
# Functions whose arguments are those of a function that their docstrings name.
AS_OF = ("np.array", "np.empty", "np.full", "np.ones", "np.zeros", "scipy.special")
# What the formula of the first line names, or the name itself explains.
KNOWN = {"f", "function", "transformed", "args", "kwargs", "x", "name"}


@pytest.mark.parametrize("name", sorted(jitad.__all__))
def test_docstrings_say_what_is_given_and_what_is_raised(name: str) -> None:
    public = getattr(jitad, name)
    text = inspect.getdoc(public) or ""
    assert text
    if not callable(public) or inspect.isclass(public):
        return
    assert name in RAISES_NOTHING or re.search(r"\b[Rr]aises ", text)
    if any(other in text for other in AS_OF):
        return
    others = {"devices", "precision", "cache", "compile"} if "as of jit" in text else ()
    for parameter in set(inspect.signature(public).parameters) - KNOWN - set(others):
        assert re.search(rf"\b{parameter}\b", text), parameter
