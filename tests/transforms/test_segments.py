"""Long loops in segments: the same numbers, and short records, in every mode."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numba
import numpy as np
import pytest

import jitad
from jitad import tree
from jitad.kept import entries
from jitad.primitives.control import loops
from jitad.transforms.derivatives import segments
from tests.cases.numba_code import FUNCTIONS

X3 = np.array([0.3, -0.8, 1.1])


@pytest.fixture
def short(monkeypatch: Any) -> None:
    """Let loops be long, of which nothing is kept on disk."""
    monkeypatch.setattr(segments, "MOST_RECORDED", 8)
    monkeypatch.setattr(entries, "allowed", lambda: False)


def flat(value: Any) -> np.ndarray:
    """All numbers of some results."""
    return np.concatenate([np.ravel(x) for x in tree.flatten(value)[0]])


def total(f: Any) -> Any:
    """One number, which is not linear in the results."""
    return lambda *args: sum(np.sum(np.sin(y)) for y in tree.flatten(f(*args))[0])


def close(got: Any, wanted: Any, rtol: float = 1e-11) -> None:
    """Equal to rounding."""
    a, b = flat(got), flat(wanted)
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.max(np.abs(b)))


def wave(x: Any, n: Any = 30) -> Any:
    """Two numbers that are carried, and an array that is read."""

    def step(i: Any, c: Any) -> Any:
        return c[1] * np.cos(c[0]) + x[i % 3], c[0] + 0.1 * x[0] * i

    return jitad.fori_loop(0, n, step, (x[1], x[2]))


def unrolled(x: Any, n: int = 30) -> Any:
    """The same in straight lines."""
    c = x[1], x[2]
    for i in range(n):
        c = c[1] * np.cos(c[0]) + x[i % 3], c[0] + 0.1 * x[0] * i
    return c


@pytest.mark.parametrize("count", (8, 9, 25, 30))
def test_loops_are_unrolled_code(count: int, short: None) -> None:
    f, g = total(lambda x: wave(x, count)), total(lambda x: unrolled(x, count))
    wanted, second = jitad.grad(g)(X3), jitad.hessian(g)(X3)
    close(jitad.grad(f)(X3), wanted)
    close(jitad.grad(f, backend="numpy")(X3), wanted)
    close(jitad.jacobian(jitad.grad(f), mode="forward")(X3), second, 1e-10)
    close(jitad.jacobian(jitad.grad(f), mode="reverse")(X3), second, 1e-10)


@pytest.mark.parametrize("count", (0, 3, 16, 17, 30))
def test_a_count_that_is_data(count: int, short: None) -> None:
    f = jitad.grad(total(lambda x, n: jitad.fori_loop(0, n, one, (x[1], x[2]))))
    wanted = jitad.grad(total(lambda x: jitad.fori_loop(0, count, one, (x[1], x[2]))))
    close(f(X3, count), wanted(X3))


def one(i: Any, c: Any) -> Any:
    """A step of two numbers."""
    return c[1] * np.cos(c[0]) + 0.1 * i, c[0] + 0.1


@pytest.mark.parametrize("name", ("kepler", "mean_field", "heat"))
def test_numbas_loops(name: str, short: None) -> None:
    f, args = FUNCTIONS[name]
    places = tuple(range(len(args)))
    found = jitad.grad(total(f), places)(*args)
    slopes = [jitad.jacobian(total(f), k, mode="forward")(*args) for k in places]
    close(found, slopes)
    many = [np.stack([x, 1.01 * x]) for x in map(np.asarray, args)]
    batched = jitad.vmap(jitad.grad(total(f), places))(*many)
    close([x[0] for x in batched], found)


@numba.njit
def escaping(c: Any, most: Any) -> Any:
    """A loop with a break, whose iterations are counted by data."""
    x, n = 0.1, 0
    for i in range(most):
        x = x * x + c + 1e-3 * (i % 7)
        n += 1
        if x > 50.0:
            break
    return x + 0.1 * n * c


@pytest.mark.parametrize("most", (0, 1, 8, 9, 11, 200))
@pytest.mark.parametrize("c", (0.2, 0.3, 0.7))
def test_breaks_and_counts(c: float, most: int, short: None) -> None:
    forward = jitad.jacobian(escaping, mode="forward")(c, most)
    found = jitad.jacobian(escaping, mode="reverse")(c, most)
    np.testing.assert_allclose(found, forward, rtol=1e-12)


def halves(x: Any) -> Any:
    """A while loop that nobody bounds."""

    def go_on(c: Any) -> Any:
        return c[0] > 1e-3

    def half(c: Any) -> Any:
        return c[0] * 0.5 * x, c[1] + np.sin(c[0])

    return jitad.while_loop(go_on, half, (x, 0.0))[1]


def test_loops_without_a_bound() -> None:
    points = np.array([0.7, 1.3, 0.2, 1.9])
    forward = jitad.vmap(jitad.jacobian(halves, mode="forward"))(points)
    found = jitad.vmap(jitad.jacobian(halves, mode="reverse"))(points)
    np.testing.assert_allclose(found, forward, rtol=1e-13)


@numba.njit
def logistic(r: Any) -> Any:
    """A million steps."""
    x = 0.5
    for _ in range(1_000_000):
        x = r * x * (1.0 - x)
    return x


def test_a_million_steps_are_recorded_in_little_memory() -> None:
    g = jitad.jacobian(logistic, mode="reverse")
    slope = g(3.2)
    np.testing.assert_allclose(slope, jitad.jacobian(logistic, mode="forward")(3.2))
    (executable,) = [g.prepare(3.2).fitted.plan.executable]  # type: ignore[attr-defined]
    locals_ = executable.kernel.locals
    assert sum(k.elements for k in locals_) <= 4000
    tracemalloc.start()
    g(3.2)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_loop_that_never_ends_has_no_number(monkeypatch: Any) -> None:
    """The limit is ten million; it is lowered for the test."""
    assert loops.LIMIT == 10_000_000
    monkeypatch.setattr(loops, "LIMIT", 1000)
    for last, expected in ((900.0, 900.0), (np.inf, np.nan)):
        f = jitad.jit(
            lambda x, last: jitad.while_loop(
                lambda k: k < last, lambda k: k + x, 0.0 * x
            )
        )
        np.testing.assert_array_equal(f(1.0, last), expected)
