"""Sums over points: equal to NumPy's, the same for any threads, nothing stored."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.backends.cpu.threads import most_threads
from jitad.calls.call import Compiled, Summed
from tests.cases.sums import SUMS, data, loss, residuals, row

COUNTS = (1, 2, 63, 64, 65, 255, 256, 1000, 2048, 2049, 20011)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = jitad.get_threads()
    yield
    jitad.set_threads(before)


def by_hand(p: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[Any, Any, Any]:
    """Value, gradient and Hessian of the loss, in NumPy's float64."""
    p, x, y = (a.astype(float) for a in (p, x, y))
    z = x @ p
    s = 1 / (1 + np.exp(-z))
    value = np.sum(np.log1p(np.exp(z)) - y * z)
    return value, x.T @ (s - y), (x.T * (s * (1 - s))) @ x


def close(found: Any, wanted: Any, dtype: Any = float) -> None:
    """Equal to a few units of rounding of the largest entry."""
    wanted = np.asarray(wanted)
    scale = np.abs(wanted).max()
    assert np.isfinite(scale) and np.shape(found) == wanted.shape
    assert np.abs(found - wanted).max() <= 500 * np.finfo(dtype).eps * scale


# -- numbers -------------------------------------------------------------------


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_value_and_gradient_are_those_of_the_sum(count: int, dtype: Any) -> None:
    p, x, y = data(count, dtype)
    value, gradient = jitad.value_and_grad(loss)(p, x, y)
    wanted = by_hand(p, x, y)
    assert value.dtype == gradient.dtype == dtype
    close(value, wanted[0], dtype)
    # Its terms cancel: the scale is that of the terms.
    scale = np.abs(x).astype(float).sum()
    assert np.abs(gradient - wanted[1]).max() <= 50 * np.finfo(dtype).eps * scale
    assert np.array_equal(jitad.grad(loss)(p, x, y), gradient)


@pytest.mark.parametrize("count", (65, 300, 5000))
def test_second_derivatives_are_those_of_the_sum(count: int) -> None:
    p, x, y = data(count)
    _, _, wanted = by_hand(p, x, y)
    close(jitad.hessian(loss)(p, x, y), wanted)
    v = np.array([1.0, -2.0, 0.5])
    close(jitad.hvp(loss)(p, x, y, v), wanted @ v)


@pytest.mark.parametrize("count", (65, 5000))
def test_forward_and_reverse_agree(count: int) -> None:
    p, x, y = data(count)
    f = jitad.jacobian
    modes = [
        f(lambda p: loss(p, x, y), mode=mode)(p) for mode in ("forward", "reverse")
    ]
    close(modes[0], modes[1])
    v = np.array([0.5, 1.0, -1.0])
    value, along = jitad.jvp(lambda p: loss(p, x, y), (p,), (v,))
    close(along, modes[1] @ v)
    again, pull = jitad.vjp(lambda p: loss(p, x, y), p)
    close(pull(2.0)[0], 2.0 * modes[0])
    assert value == again


def test_float32_sums_keep_their_digits() -> None:
    count = 300_000
    x = np.full(count, 0.1, np.float32)
    total = jitad.jit(lambda x: np.sum(jitad.vmap(lambda t: t * t)(x)))(x)
    assert total.dtype == np.float32
    wanted = np.sum(x.astype(float) ** 2)
    assert abs(total - wanted) <= 20 * np.finfo(np.float32).eps * wanted


@pytest.mark.parametrize("count", (300, 2049, 100_003))
def test_sums_do_not_depend_on_the_threads(count: int) -> None:
    p, x, y = data(count)
    f = jitad.value_and_grad(loss)
    found = []
    for threads in range(1, most_threads() + 1):
        jitad.set_threads(threads)
        found += [f(p, x, y) for _ in range(5)]
    for value, gradient in found:
        assert value == found[0][0]
        assert gradient.tobytes() == found[0][1].tobytes()


def test_the_interpreter_computes_the_same() -> None:
    p, x, y = data(300)
    a = jitad.value_and_grad(loss)(p, x, y)
    b = jitad.value_and_grad(loss, backend="numpy")(p, x, y)
    close(a[0], b[0])
    close(a[1], b[1])


def test_no_points_sum_to_zero() -> None:
    p, x, y = data(0)
    value, gradient = jitad.value_and_grad(loss)(p, x, y)
    assert value == 0.0 and np.array_equal(gradient, np.zeros(3))


# -- what is summed ------------------------------------------------------------


@pytest.mark.parametrize("count", (65, 300))
@pytest.mark.parametrize("name", SUMS)
def test_what_is_summed(name: str, count: int) -> None:
    rng = np.random.default_rng(1)
    x, y, w = rng.normal(size=(count, 3)), rng.random(count), rng.random(count)

    def f(x: Any, y: Any, w: Any) -> Any:
        return SUMS[name](residuals(x, y), w)

    made = np.stack([np.sin(x[:, 0]) * y, x[:, 1] * x[:, 2]], 1)
    close(jitad.jit(f)(x, y, w), SUMS[name](made, w))
    call = jitad.jit(f).prepare(x, y, w)
    assert isinstance(call, Summed if count >= 256 else Compiled)


@pytest.mark.slow
def test_a_sum_with_steps_before_and_after() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(300, 2))

    sines = jitad.vmap(lambda r, q: np.sin(r @ q), (0, None))
    cosines = jitad.vmap(lambda r, q, a: np.cos(r @ q) * a, (0, None, None))

    def f(p: Any, x: Any) -> Any:
        q = np.exp(p) / np.sum(np.exp(p))
        a = np.sum(sines(x, q))
        b = np.sum(cosines(x, q, a))
        return np.sqrt(1.0 + b * b) * q[0]

    p = np.array([0.3, -0.2])
    q = np.exp(p) / np.exp(p).sum()
    b = np.sum(np.cos(x @ q) * np.sum(np.sin(x @ q)))
    close(jitad.jit(f)(p, x), np.sqrt(1 + b * b) * q[0])
    program = jitad.jit(f).prepare(p, x)
    assert isinstance(program, Summed) and len(program.program.sums) == 2
    jitad.check(lambda p: f(p, x), p)


def test_a_large_constant_is_read_and_not_compiled_in() -> None:
    p, x, y = data(5000)
    f = jitad.value_and_grad(lambda p: loss(p, x, y))
    call = f.prepare(p)
    assert isinstance(call, Summed)
    assert {c.size for c in call.program.constants} >= {x.size}
    assert len(call.derived.graph.text) < 20_000
    value, gradient = f(p)
    given = jitad.value_and_grad(loss)(p, x, y)
    assert value == given[0] and np.array_equal(gradient, given[1])


LAYOUTS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int]] = {
    "rows": (lambda x: x, 0),
    "streams": (lambda x: np.ascontiguousarray(x.T), 1),
    "last axis": (lambda x: np.ascontiguousarray(x.T), -1),
    "Fortran": (np.asfortranarray, 0),
    "strided": (lambda x: np.repeat(np.repeat(x, 2, 0), 3, 1)[::2, ::3], 0),
    "backwards": (lambda x: np.ascontiguousarray(x[::-1])[::-1], 0),
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("count", (70, 3001))
def test_layouts_are_read_as_they_are(name: str, count: int) -> None:
    change, axis = LAYOUTS[name]
    p, x, y = data(count)
    f = jitad.vmap(row, in_axes=(None, axis, 0))
    g = jitad.grad(lambda p, x, y: np.sum(f(p, x, y)))
    close(g(p, change(x), y), by_hand(p, x, y)[1])


def test_views_of_data_are_read_as_they_are() -> None:
    p, x, y = data(4001)
    wide = np.concatenate([y[:, None], x, x], axis=1)

    def f(p: Any, wide: Any) -> Any:
        rows, labels = wide[:, 1:4], wide[:, 0]
        return np.sum(jitad.vmap(row, in_axes=(None, 0, 0))(p, rows, labels))

    close(jitad.grad(f)(p, wide), by_hand(p, x, y)[1])
    close(jitad.grad(f)(p, np.asfortranarray(wide)), by_hand(p, x, y)[1])


@pytest.mark.slow
@pytest.mark.parametrize("count", (70, 300))
def test_a_batch_runs_the_loop_in_its_lanes(count: int) -> None:
    _, x, y = data(count)
    many = np.random.default_rng(3).normal(size=(5, 3))
    found = jitad.vmap(jitad.grad(loss), in_axes=(0, None, None))(many, x, y)
    for p, gradient in zip(many, found, strict=True):
        close(gradient, by_hand(p, x, y)[1])
    inside = jitad.vmap(jitad.grad(lambda p: loss(p, x, y)))(many)
    close(inside, found)


def test_points_in_points() -> None:
    rng = np.random.default_rng(4)
    x, p = rng.normal(size=(500, 4)), 0.3

    def f(p: Any, x: Any) -> Any:
        g = jitad.vmap(jitad.vmap(lambda p, t: np.sin(p * t), (None, 0)), (None, 0))
        return np.sum(g(p, x))

    value, slope = jitad.value_and_grad(f)(p, x)
    close(value, np.sin(p * x).sum())
    close(slope, (np.cos(p * x) * x).sum())


def test_what_is_not_summed_is_still_there() -> None:
    x = np.random.default_rng(5).normal(size=300)

    def f(x: Any) -> Any:
        y = jitad.vmap(np.sin)(x)
        return y, np.max(y), np.sum(y)

    y, most, total = jitad.jit(f)(x)
    close(y, np.sin(x))
    close(most, np.sin(x).max())
    close(total, np.sin(x).sum())


def test_a_gradient_in_the_data_has_a_row_for_every_point() -> None:
    p, x, y = data(300)
    found = jitad.grad(loss, argnums=1)(p, x, y)
    s = 1 / (1 + np.exp(-(x @ p)))
    close(found, (s - y)[:, None] * p)


# -- edges ---------------------------------------------------------------------


@pytest.mark.parametrize("bad", (np.nan, np.inf))
def test_nan_reaches_only_the_sums_it_is_in(bad: float) -> None:
    x = np.random.default_rng(6).normal(size=(2050, 2))
    x[-1, 0] = bad
    f = jitad.jit(lambda x: np.sum(jitad.vmap(lambda r: r * 2.0)(x), axis=0))
    found = f(x)
    assert np.array_equal(found[0], bad, equal_nan=True)
    close(found[1], 2 * x[:, 1].sum())


def test_lanes_that_do_not_exist_add_nothing() -> None:
    """A missing lane repeats the last point, of which every value is infinite."""
    for count in (257, 2047, 4095):
        x = np.ones(count)
        x[-1] = 0.0
        f = jitad.jit(lambda x: np.sum(jitad.vmap(lambda t: 1.0 / t)(x)))
        assert f(x) == np.inf
        ones = jitad.jit(lambda x: np.sum(jitad.vmap(lambda t: t * 0.0 + 1.0)(x)))
        assert ones(x) == count


def test_integers_are_added_exactly() -> None:
    x = np.arange(1001)
    f = jitad.jit(lambda x: np.sum(jitad.vmap(lambda t: t * t)(x)))
    assert f(x) == np.sum(x * x)
    assert f(x).dtype == np.int64


def test_out_is_written() -> None:
    p, x, y = data(300)
    out = np.zeros(3)
    found = jitad.grad(loss)(p, x, y, out=out)
    assert found is out
    assert np.array_equal(out, jitad.grad(loss)(p, x, y))
    with pytest.raises(jitad.InputError, match="expected float64"):
        jitad.grad(loss)(p, x, y, out=np.zeros(4))


def test_nothing_is_stored_per_point() -> None:
    p, x, y = data(200_000)
    f = jitad.value_and_grad(loss)
    f(p, x, y)
    tracemalloc.start()
    f(p, x, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < x.nbytes / 20


def test_too_much_for_one_point_is_refused() -> None:
    _, x, y = data(500_000)
    p = np.ones(3)
    with pytest.raises(jitad.UnsupportedError, match="row"):
        jitad.grad(loss, argnums=1)(p, x, y)
    with pytest.raises(jitad.UnsupportedError, match="scalar operations"):
        jitad.jit(lambda x: np.prod(jitad.vmap(lambda r: r @ r)(x)))(x)


def test_explain_says_how_it_sums() -> None:
    p, x, y = data(5000)
    found = jitad.explain(jitad.value_and_grad(loss), p, x, y)
    (total,) = found.sums
    assert (total.points, total.count) == (5000, 4)
    assert total.operations.counts["exp"] >= 1
    assert "4 sums over 5,000 points" in found.text
    assert found.memory is not None
    assert found.memory.read == p.nbytes + x.nbytes + y.nbytes
    assert found.memory.written == 32


def test_a_scan_that_only_adds_is_a_sum_and_one_that_shows_it_is_not() -> None:
    p, x, _ = data(1000)

    def added(p: Any, x: Any) -> Any:
        return jitad.scan(lambda c, r: (c + np.sin(r @ p), None), 0.0, x)[0]

    def shown(p: Any, x: Any) -> Any:
        _, sums = jitad.scan(lambda c, r: (c + np.sin(r @ p), c), 0.0, x)
        return sums[-1]

    f, g = jitad.value_and_grad(added), jitad.value_and_grad(shown)
    assert isinstance(f.prepare(p, x), Summed)
    assert isinstance(g.prepare(p, x), Compiled)
    for found, rows in ((f(p, x), x), (g(p, x), x[:-1])):
        close(found[0], np.sin(rows @ p).sum())
        close(found[1], rows.T @ np.cos(rows @ p))
