"""Loops that only add up run in lanes: as NumPy computes them, in whatever threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

import jitad
from jitad.backends.cpu import rounds
from jitad.backends.cpu.threads import most_threads
from jitad.calls import function
from jitad.calls.call import Compiled, Summed
from jitad.ir.loop import LOOP, loop_of
from jitad.plan import program


def pairs(x: Any) -> Any:
    """Over a triangle."""
    total = 0.0
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            r = x[i] - x[j]
            total += 1.0 / (1.0 + r * r)
    return total


def cutoff(x: Any) -> Any:
    """Terms that only some pairs have, which are NaN for others."""
    total = 0.0
    for i in range(len(x)):
        for j in range(len(x)):
            r = abs(x[i] - x[j])
            if r > 0.5:
                total += np.log(r - 0.4)
    return total


def else_less(x: Any) -> Any:
    """Either added or taken away."""
    total = 1.5
    for i in range(len(x)):
        if x[i] > 0.0:
            total += x[i] * x[i]
        else:
            total -= np.sin(x[i]) * i
    return total


def two_sums(x: Any) -> Any:
    """Two numbers, each of which a loop inside adds to."""
    a, b = 0.25, 2.0
    for i in range(len(x)):
        for j in range(i):
            a += x[i] * x[j]
            b -= np.cos(x[j])
        b += x[i] ** 3
    return a * b


def backwards(x: Any) -> Any:
    """A step of minus three, and the place as a factor."""
    total = 0.0
    for i in range(len(x) - 1, -1, -3):
        total += i * x[i] * x[i - 1]
    return total


def bands(x: Any) -> Any:
    """Bounds that depend on outer ones, and are often empty."""
    total = 0.0
    for i in range(2, len(x), 2):
        for j in range(i - 2, min(i + 3, len(x)) - 4):
            for k in range(j, i):
                total += x[i] * x[j] * np.exp(-x[k] * x[k])
    return total


def from_the_end(x: Any) -> Any:
    """Places below zero."""
    total = 0.0
    for i in range(len(x)):
        total += x[i - len(x)] * x[-1 - i] * x[i // 2 - 3]
    return total


def product(x: Any) -> Any:
    """No sum: what is carried is multiplied, too."""
    total = 0.5
    for i in range(len(x)):
        if x[i] > 0.0:
            total += x[i]
        else:
            total *= 0.99
    return total


SUMS = (pairs, cutoff, else_less, two_sums, backwards, bands, from_the_end)
EVERY = pytest.mark.parametrize("f", (*SUMS, product), ids=lambda f: f.__name__)
COUNTS = pytest.mark.parametrize("count", (5, 31, 300))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few iterations be enough for lanes."""
    monkeypatch.setattr(program, "_ENOUGH_OPERATIONS", 0)


def points(count: int) -> np.ndarray:
    """Some numbers."""
    return np.random.default_rng(count).normal(size=count)


def close(found: Any, wanted: Any) -> None:
    """Equal to rounding."""
    scale = np.abs(wanted).max()
    assert np.isfinite(scale) and np.shape(found) == np.shape(wanted)
    assert np.abs(found - wanted).max() <= 1e-11 * max(scale, 1e-300)


@EVERY
@COUNTS
def test_values_are_pythons(f: Callable[..., Any], count: int) -> None:
    x = points(count)
    close(jitad.jit(numba.njit(f))(x), f(x))


@EVERY
@COUNTS
def test_gradients_are_those_of_the_interpreter(f: Any, count: int) -> None:
    x, v = points(count), np.cos(np.arange(count))
    read = numba.njit(f)
    value, slopes = jitad.value_and_grad(read)(x)
    close(value, f(x))
    close(jitad.grad(read)(x), slopes)
    close(jitad.jvp(read, (x,), (v,))[1], slopes @ v)
    h = 1e-6
    central = (f(x + h * v) - f(x - h * v)) / (2 * h)
    assert abs(slopes @ v - central) <= 1e-6 * (1 + np.abs(slopes * v).sum())
    if count < 100:
        close(jitad.grad(read, backend="numpy")(x), slopes)


@EVERY
def test_second_derivatives(f: Any) -> None:
    x, v = points(40), np.cos(np.arange(40))
    read = numba.njit(f)
    found = jitad.hvp(read)(x, v)
    h = 1e-5
    up, down = jitad.grad(read)(x + h * v), jitad.grad(read)(x - h * v)
    central = (up - down) / (2 * h)
    assert np.abs(found - central).max() <= 1e-5 * (1 + np.abs(found).max())


@EVERY
def test_a_batch_is_its_points(f: Any) -> None:
    many = np.random.default_rng(0).normal(size=(7, 20))
    gradient = jitad.grad(numba.njit(f))
    found = jitad.vmap(gradient)(many)
    for x, own in zip(many, found, strict=True):
        close(own, gradient(x))


@pytest.mark.parametrize("f", SUMS, ids=lambda f: f.__name__)
def test_they_are_sums_in_lanes(f: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where arrays are taken apart; kept whole, some of them are done at once."""
    monkeypatch.setattr(function, "_LARGE", 1 << 62)
    monkeypatch.setattr(function, "_COSTLY", np.inf)
    x = points(600)
    call = jitad.value_and_grad(numba.njit(f)).prepare(x)
    assert isinstance(call, Summed)
    loops = [
        loop_of(node) for node in call.derived.graph.nodes if node.primitive is LOOP
    ]
    assert loops and all(loop.adds and not loop.written for loop in loops)


def test_little_work_stays_in_one_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    gradient = jitad.grad(numba.njit(pairs))
    assert isinstance(gradient.prepare(points(30)), Compiled)
    assert isinstance(gradient.prepare(points(400)), Summed)


@pytest.mark.parametrize("f", SUMS, ids=lambda f: f.__name__)
def test_no_bit_depends_on_the_threads(f: Any) -> None:
    x = points(2000 if f is not bands else 5000)
    g = jitad.value_and_grad(numba.njit(f))
    found = []
    for threads in range(1, most_threads() + 1):
        with jitad.threads(threads):
            found += [g(x) for _ in range(3)]
    for value, slopes in found:
        assert value == found[0][0]
        assert slopes.tobytes() == found[0][1].tobytes()


@COUNTS
def test_loops_of_functions_are_read_alike(count: int) -> None:
    x = points(count)

    def f(x: Any) -> Any:
        def row(i: Any, total: Any) -> Any:
            def one(j: Any, total: Any) -> Any:
                return total + np.where(x[i] > x[j], x[i] * x[j] * i, 0.0)

            return jitad.fori_loop(i, count, one, total)

        return jitad.fori_loop(0, count, row, 0.5)

    i, j = np.triu_indices(count)
    bar = np.where(x[i] > x[j], 1.0, 0.0) * i
    close(jitad.jit(f)(x), 0.5 + np.sum(bar * x[i] * x[j]))
    wanted = np.bincount(i, bar * x[j], count) + np.bincount(j, bar * x[i], count)
    close(jitad.vjp(f, x)[1](1.0)[0], wanted)


@pytest.mark.parametrize("dtype", (np.float32, np.int64))
def test_other_numbers(dtype: Any) -> None:
    x = (10 * points(500)).astype(dtype)

    @numba.njit
    def f(x: Any) -> Any:
        total = x[0] * x[1]
        for i in range(len(x)):
            for j in range(i):
                if x[i] > x[j]:
                    total += x[i] * x[j]
        return total

    found = jitad.jit(f)(x)
    i, j = np.tril_indices(500, -1)
    terms = np.where(x[i] > x[j], x[i].astype(float) * x[j], 0.0)
    wanted = float(x[0] * x[1]) + terms.sum()
    tolerance = 1e-5 if dtype == np.float32 else 0
    assert abs(found - wanted) <= tolerance * np.abs(terms).sum()


def test_what_is_not_finite_stays_where_it_is() -> None:
    x = points(300)
    x[7] = np.inf
    slopes = jitad.grad(numba.njit(else_less))(x)
    assert slopes[7] == np.inf and np.isfinite(np.delete(slopes, 7)).all()


def test_tiles_are_cut_by_what_loops_inside_add(monkeypatch: Any) -> None:
    monkeypatch.undo()
    call = jitad.grad(numba.njit(pairs)).prepare(points(2000))
    (step,) = call.program.sums  # type: ignore[attr-defined]
    outline = step.executable.outline
    assert outline.terms >= 100
    assert rounds.sum_tile(outline, 2000) <= 128


def test_a_call_of_what_is_carried_is_no_sum() -> None:
    call = jitad.checkpoint(lambda c, r: c + np.sin(c) * r)

    def f(x: Any) -> Any:
        return jitad.scan(lambda c, r: (call(c, r), None), 0.5, x)[0]

    c, x = 0.5, points(20)
    for r in x:
        c = c + np.sin(c) * r
    close(jitad.jit(f)(x), c)
    slopes = jitad.jacobian(f, mode="forward")(x)
    close(jitad.jacobian(f, mode="reverse")(x), slopes)


PLACES = {
    "side by side": lambda i, k, n: (i + k) % n,
    "the same": lambda i, k, n: k,
    "its own": lambda i, k, n: i,
    "backwards": lambda i, k, n: n - 1 - i,
    "two apart": lambda i, k, n: (2 * i + k) % n,
    "pairs": lambda i, k, n: (i // 2 + k) % n,
    "anywhere": lambda i, k, n: (i * i + 7 * k) % n,
}


WIDTHS = (1, 2, 3, 5, 40)
# Every place with every width, and float32 with each of both.
ROWS = [
    *[(np.float64, width, name) for width in WIDTHS for name in PLACES],
    *[(np.float32, WIDTHS[k % len(WIDTHS)], name) for k, name in enumerate(PLACES)],
]


@pytest.mark.parametrize(("dtype", "width", "name"), ROWS)
def test_rows_are_found_wherever_they_lie(name: str, width: int, dtype: Any) -> None:
    place, count, inner = PLACES[name], 531, 6
    rng = np.random.default_rng(width)
    x = rng.normal(size=(count, width)).astype(dtype)
    w = rng.normal(size=width).astype(dtype)

    def f(x: Any) -> Any:
        def row(i: Any, total: Any) -> Any:
            def one(k: Any, total: Any) -> Any:
                r = x[place(i, k, count)]
                return total + np.sum(w * r * r) * (i + 1)

            return jitad.fori_loop(0, inner, one, total)

        return jitad.fori_loop(0, count, row, dtype(0.0))

    i, k = (a.ravel() for a in np.indices((count, inner)))
    j = np.broadcast_to(place(i, k, count), i.shape)
    factor = np.bincount(j, i + 1.0, count)[:, None]
    value, slopes = jitad.value_and_grad(f)(x)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    terms = factor * w.astype(float) * x.astype(float) ** 2
    assert abs(value - terms.sum()) <= tolerance * np.abs(terms).sum()
    wanted = 2 * factor * w.astype(float) * x
    assert np.abs(slopes - wanted).max() <= tolerance * np.abs(wanted).max()
    gradient = jitad.grad(f)
    once = gradient(x)
    with jitad.threads(1):
        assert once.tobytes() == gradient(x).tobytes()
