"""Programs on large arrays: the same numbers as the schedule over points gives."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

import jitad
from jitad.calls import function
from jitad.calls.call import Elements
from jitad.elements import steps
from tests.cases.large import LARGE, arguments, gradients
from tests.support.differences import are_differences

DTYPES = (np.float64, np.float32)


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """(f, *args) -> f(*args), f called where arrays of every size stay whole."""

    def call(f: Any, *args: Any) -> Any:
        with monkeypatch.context() as m:
            m.setattr(function, "_LARGE", -1)
            assert isinstance(f.prepare(*args), Elements)
            return f(*args)

    return call


def close(
    found: Any, wanted: Any, dtype: Any = np.float64, roundings: int = 200
) -> None:
    limit = roundings * float(np.finfo(dtype).eps)
    for a, b in zip(found, wanted, strict=True):
        assert np.shape(a) == np.shape(b)
        assert np.asarray(a).dtype == np.asarray(b).dtype
        size = float(np.max(np.abs(b), initial=0.0))
        np.testing.assert_allclose(a, b, rtol=0, atol=limit * max(size, 1.0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LARGE)
def test_gradients_are_those_of_points(name: str, dtype: Any, whole: Any) -> None:
    args = arguments(name, 5, dtype)
    value, slopes = whole(gradients(name), *args)
    other, wanted = gradients(name)(*args)
    close([value, *slopes], [other, *wanted], dtype)
    close([value], [LARGE[name].function(*args)], dtype)


@pytest.mark.parametrize("name", LARGE)
def test_products_are_those_of_gradients(name: str, monkeypatch: Any) -> None:
    f, args = LARGE[name].function, arguments(name, 5)
    _, slopes = gradients(name)(*args)
    rng = np.random.default_rng(1)
    directions = tuple([np.asarray(rng.normal(size=x.shape)) for x in args])
    wanted = sum(np.sum(g * v) for g, v in zip(slopes, directions, strict=True))
    monkeypatch.setattr(function, "_LARGE", -1)
    _, pushed = jitad.jvp(f, args, directions)
    close([pushed], [wanted])
    _, pull = jitad.vjp(f, *args)
    close(pull(np.float64(2.0)), [2 * g for g in slopes])


@pytest.mark.parametrize("name", LARGE)
def test_no_bit_depends_on_threads(name: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(function, "_LARGE", -1)
    args = arguments(name, 70)
    found = []
    for count in (1, 2, 3):
        f = gradients(name)
        with jitad.threads(count):
            # At first, and when all has code and is one program.
            every = [f(*args) for _ in range(40)]
        found.append((every[0], every[-1]))
    for own in found[1:]:
        for (value, slopes), (wanted, others) in zip(own, found[0], strict=True):
            assert value == wanted
            for a, b in zip(slopes, others, strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", LARGE)
def test_slopes_of_large_arrays_are_differences(name: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(function, "_LARGE", -1)
    f, args = LARGE[name].function, arguments(name, 90)
    made = gradients(name)
    assert isinstance(made.prepare(*args), Elements)
    before = [x.copy() for x in args]
    value, slopes = made(*args)
    for x, y in zip(args, before, strict=True):
        np.testing.assert_array_equal(x, y)
    np.testing.assert_allclose(value, f(*args), rtol=1e-12)
    are_differences(f, args, slopes)


@pytest.mark.parametrize("name", LARGE)
def test_second_derivatives_are_differences_and_symmetric(
    name: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(function, "_LARGE", -1)
    f, args = LARGE[name].function, arguments(name, 4)
    numbers = tuple(range(len(args)))
    rng = np.random.default_rng(5)
    v, w = ([rng.normal(size=x.shape) for x in args] for _ in range(2))
    slopes = jitad.grad(f, argnums=numbers)

    def along(*args: Any) -> Any:
        return sum(np.sum(g * d) for g, d in zip(slopes(*args), v, strict=True))

    again = jitad.grad(along, argnums=numbers)
    assert isinstance(again.prepare(*args), Elements)
    found = again(*args)
    product = jitad.hvp(f, argnums=numbers)
    # Gaps between eigenvalues magnify what is rounded.
    roundings = 100_000 if name == "spectra" else 2000
    close(product(*args, tuple(v)), found, roundings=roundings)

    def dot(a: Any, b: Any) -> Any:
        return sum(np.sum(x * y) for x, y in zip(a, b, strict=True))

    size = sum(np.sum(np.abs(x * y)) for x, y in zip(found, w, strict=True))
    assert abs(dot(product(*args, tuple(w)), v) - dot(found, w)) <= 1e-11 * size
    h = 1e-6
    there, here = (
        slopes(*(np.asarray(x + s * h * d) for x, d in zip(args, v, strict=True)))
        for s in (1, -1)
    )
    rise = (dot(there, w) - dot(here, w)) / (2 * h)
    assert abs(rise - dot(found, w)) < 2e-6 * max(size, 1.0)


def test_arguments_lie_anywhere_and_results_go_anywhere() -> None:
    rng = np.random.default_rng(0)
    wide = rng.uniform(size=(60, 80))
    f = jitad.jit(lambda x: np.sin(x[1:, ::2]) + x[:-1, 1::2])
    for x in (wide, wide.T, wide[::-1, ::2], np.asfortranarray(wide)):
        wanted = np.sin(x[1:, ::2]) + x[:-1, 1::2]
        np.testing.assert_allclose(f(x), wanted, rtol=1e-15)
        out = np.empty(wanted.shape[::-1]).T
        assert f(x, out=out) is out
        np.testing.assert_allclose(out, wanted, rtol=1e-15)
    # A result that is written over its own argument.
    x = rng.uniform(size=2000)
    wanted = x[::-1] + 1
    np.testing.assert_array_equal(jitad.jit(lambda x: x[::-1] + 1)(x, out=x), wanted)


def test_results_are_arrays_of_their_own() -> None:
    x = np.arange(1000.0)
    f = jitad.jit(lambda x: (x, x, x[::2], x.reshape(10, 100).T))
    found = f(x)
    for k, y in enumerate(found):
        assert not np.shares_memory(y, x)
        assert all(not np.shares_memory(y, z) for z in found[:k])
    np.testing.assert_array_equal(found[3], x.reshape(10, 100).T)


def test_integers_and_masks_stay_what_they_are(whole: Any) -> None:
    k = np.arange(12, dtype=np.int32).reshape(3, 4)
    f = jitad.jit(lambda k: (k[::2] * 3 // 2, k > 4, np.sum(k, axis=1), k.T % 5))
    wanted = (k[::2] * 3 // 2, k > 4, np.sum(k, axis=1), k.T % 5)
    for a, b in zip(whole(f, k), wanted, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


def test_nothing_is_as_well_a_size(whole: Any) -> None:
    f = jitad.jit(lambda x: (x[1:1] * 2, np.sum(x[:0], axis=0), np.sum(x[:0])))
    empty, row, number = whole(f, np.ones((4, 3)))
    assert empty.shape == (0, 3) and not row.any() and number == 0
    g = jitad.grad(lambda x: np.sum(x[:0]) + np.sum(x[2:2] * x[3:3]))
    np.testing.assert_array_equal(whole(g, np.ones(5)), np.zeros(5))


def test_what_is_not_known_here_is_done_over_points(monkeypatch: Any) -> None:
    monkeypatch.setattr(function, "_LARGE", -1)
    x = np.array([3.0, 1.0, 2.0])
    # Diagonals, and axes of one element that are repeated.
    y = np.arange(1.0, 10.0).reshape(3, 3)
    for f in (
        lambda x, y: np.einsum("i,jj->", x, y),
        lambda x, y: np.einsum("i,ij->", x[:1], y),
    ):
        g = jitad.grad(lambda x, y, f=f: f(x, y) ** 2)
        assert not isinstance(g.prepare(x, y), Elements)
        np.testing.assert_allclose(g(x, y)[0], 2 * f(x, y) * f(np.eye(3)[0], y))


def test_a_step_is_compiled_once() -> None:
    def of(count: int) -> Any:
        def f(u: Any) -> Any:
            for _ in range(count):
                v = u.copy()
                v[1:-1] += 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
                u = v
            return np.sum(u**2)

        return jitad.grad(f)

    x = np.linspace(0, 1, 3000)
    kernels = [
        {id(s.code.ready()) for s in of(n).prepare(x).steps.steps
         if isinstance(s, steps.Run)}
        for n in (6, 12)
    ]  # fmt: skip
    assert len(kernels[1]) == len(kernels[0]) > 1


def test_the_passes_are_explained() -> None:
    told = jitad.explain(jitad.grad(LARGE["rosenbrock"].function), np.ones(10_000))
    text = str(told)
    # One pass reads x at three places, the ends are two more.
    assert "grad(rosenbrock) at one point, of arrays that stay whole" in text
    assert "store 9,998 elements" in text and len(told.passes) == 3
    assert told.peak == 80_000 and told.least == 160_000
    assert told.moved == pytest.approx(160_000, rel=0.01)


_PEAK = """
import resource
import numpy as np
import jitad
def f(u):
    for _ in range(40):
        v = u.copy()
        v[1:-1] = 0.3 * (u[2:] + u[1:-1] + u[:-2])
        u = v
    return np.sum(u)
x = np.ones(1_000_000)
g = jitad.jit(f)
peak = g.prepare(x).steps.peak
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
g(x)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak, (after - before) * 1024)
"""


def test_arrays_are_let_go_where_they_are_read_last() -> None:
    """Of forty steps of 8 MB there are two at a time, and that is predicted."""
    made = subprocess.run(
        [sys.executable, "-c", _PEAK], capture_output=True, text=True, check=True
    )
    peak, grown = map(int, made.stdout.split())
    assert peak <= 3 * 8_000_000
    assert grown <= 4 * 8_000_000


def test_more_than_there_is_is_refused(monkeypatch: Any) -> None:
    monkeypatch.setattr(steps, "memory_bytes", lambda: 1000)
    with pytest.raises(MemoryError, match=r"expected at most 0.0 GB .* float32"):
        jitad.jit(lambda x: x + 1)(np.ones(5000))


def test_small_parts_get_kernels_when_they_have_run_often() -> None:
    """The same numbers before and after, to rounding."""
    x = np.linspace(0.0, 1.0, 700)
    f = jitad.value_and_grad(lambda u: np.sum(np.sin(u[1:] - u[:-1] ** 2)))
    call = f.prepare(x)
    runs = [s for s in call.steps.steps if isinstance(s, steps.Run)]
    small = [s for s in runs if s.code.patience > 0]
    assert [s.lanes for s in small] == [1, 1]
    first = call.run([x], None)
    assert all(s.code.executable is None for s in small)
    for _ in range(30):
        last = call.run([x], None)
    assert all(s.code.executable is not None for s in small)
    for before, after in zip(first, last, strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-14)


@pytest.mark.parametrize("known", [True, False])
def test_a_function_runs_once_whichever_road_it_takes(known: bool) -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(x.shape)
        return np.sum(x**2) + (0.0 if known else jitad.fori_loop(0, 3, loop, x[0]))

    def loop(k: Any, c: Any) -> Any:
        return c * 0.5

    x = np.linspace(0.0, 1.0, 600)
    for transform in (jitad.jit, jitad.grad, jitad.value_and_grad):
        calls.clear()
        made = transform(f)
        made(x)
        made(x)
        assert len(calls) == 1
        assert isinstance(made.prepare(x), Elements) == known


def test_what_a_function_raises_it_raises_of_large_arrays_too() -> None:
    @numba.njit
    def f(x: Any) -> Any:
        if x[700] < 0:
            raise ValueError("negative")
        return np.sum(np.sqrt(x))

    x = np.linspace(1.0, 2.0, 1000)
    np.testing.assert_allclose(jitad.grad(f)(x), 0.5 / np.sqrt(x))
    x[700] = -1.0
    with pytest.raises(ValueError, match="negative"):
        jitad.grad(f)(x)


def test_chains_of_moves_may_be_long() -> None:
    """Each array is read once, and what it is grows from step to step."""

    def f(x: Any) -> Any:
        for k in range(400):
            x = 0.99 * np.sin(x[::-1]) + 0.001 * k / 400
        return np.sum(x)

    x = np.linspace(0.1, 1.0, 700)
    value, slopes = jitad.value_and_grad(f)(x)
    np.testing.assert_allclose(value, f(x), rtol=1e-12)
    h, d = 1e-6, np.cos(np.arange(700.0))
    rise = (f(x + h * d) - f(x - h * d)) / (2 * h)
    np.testing.assert_allclose(np.sum(slopes * d), rise, rtol=1e-6, atol=1e-9)
