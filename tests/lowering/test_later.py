"""Branches that few lanes need, put off until a vector of such lanes is full."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.backends.cpu import executable as cpu
from jitad.backends.cpu import simd
from jitad.lowering.kernel import Buffer, Kernel
from jitad.lowering.statement import Statement, statements
from jitad.lowering.statements import (
    Carried,
    Const,
    If,
    Load,
    Merged,
    Op,
    Repeat,
    Store,
)
from jitad.lowering.validate import validate
from tests.support.kernels import reference, run

F8, F4, I8 = (np.dtype(t) for t in ("f8", "f4", "i8"))
BOOL = np.dtype(bool)
WIDTHS = simd.widths()
SIZES = (0, 1, 7, 8, 9, 35, 4097, 9001)


def kernel(source: str, sink: str, dtype: np.dtype, *, later: bool = True) -> Kernel:
    """Twice x and thirty steps beyond y where x is positive, again where y is."""
    buffers = (
        Buffer("x", dtype, 2, (0,), source, False),
        Buffer("s", dtype, 1, (), "fixed", False),
        Buffer("y", dtype, 3, (0,), sink, True),
    )
    body: list[Statement] = [
        Load(0, 0, 0, dtype),
        Load(1, 0, 1, dtype),
        Load(2, 1, 0, dtype),
        Const(3, dtype.type(0), dtype),
        Op(4, "add", (0, 0), dtype),
    ]
    for k, (of, number) in enumerate([(0, 10), (1, 20)]):
        mask, first, after, then, found = range(number, number + 5)
        step = Op(then, "add", (after, 2), dtype)
        carried = (Carried(after, of, then, found, dtype),)
        loop = Repeat(first, 30, None, carried, (), None, (step,))
        merged = (Merged(found, 3, number + 5, dtype),)
        body.append(Op(mask, "gt", (of, 3), BOOL))
        body.append(If(mask, (loop,), merged, later))
        body.append(Store(2, 1 + k, number + 5))
    return Kernel(buffers, 1, (*body, Store(2, 0, 4)))


@cache
def executable(kernel: Kernel, vector_bytes: int) -> cpu.Executable:
    return cpu.compile(kernel, cpu.target(min(vector_bytes, simd.widths()[0])))


def given(count: int, share: float, dtype: np.dtype) -> list[np.ndarray]:
    """Whole numbers, of which about such a share is positive, here and there."""
    rng = np.random.default_rng(count)
    x = rng.integers(1, 50, (count, 2)) * np.where(
        rng.random((count, 2)) < share, 1, -1
    )
    return [x.astype(dtype), np.full((1, 1), 3, dtype)]


LAYOUTS = ("rows", "streams", "general", "lines")
SINKS = list(itertools.product(LAYOUTS, [F8, F4], WIDTHS))


@pytest.mark.parametrize(("sink", "dtype", "width"), SINKS)
@pytest.mark.parametrize("source", ["rows", "streams", "general"])
def test_every_lane_gets_its_branch(source, sink, dtype, width):
    made = kernel(source, sink, dtype)
    code = executable(made, width)
    assert ("@again" in code.ir) == (code.width >= 4)
    for count in SIZES:
        for share in (0.03, 0.3, 1.0):
            inputs = given(count, share, dtype)
            (got,) = run(made, (count,), inputs, code)
            np.testing.assert_array_equal(got, values(*inputs))


def values(x: np.ndarray, s: np.ndarray) -> np.ndarray:
    return np.stack([2 * x[:, 0], *np.where(x > 0, x + 30 * s, 0).T], axis=1)


def test_plain_python_agrees():
    made = kernel("rows", "rows", F8)
    inputs = given(35, 0.3, F8)
    np.testing.assert_array_equal(reference(made, (35,), inputs)[0], values(*inputs))


def test_a_kernel_in_parts_puts_nothing_off():
    made = kernel("rows", "rows", F8)
    code = cpu.compile(made, longest=4)
    assert "@again" not in code.ir
    inputs = given(35, 0.3, F8)
    np.testing.assert_array_equal(run(made, (35,), inputs, code)[0], values(*inputs))


def test_only_what_stands_in_no_loop_can_wait():
    made = kernel("rows", "rows", F8)
    loop = Repeat(90, 2, None, (), (), None, made.body[5:7])
    with pytest.raises(AssertionError, match="can wait"):
        validate(replace(made, body=(*made.body[:5], loop)))


# -- which are ----------------------------------------------------------------------


def branches(f: Any, *args: Any, **axes: Any) -> list[If]:
    call = jitad.vmap(f, **axes).prepare(*args)
    assert call.plan is not None
    return [s for s in statements(call.plan.kernel.body) if isinstance(s, If)]


def costly(x: Any) -> Any:
    return jitad.fori_loop(0, 40, lambda i, c: np.sin(c + x) + np.exp(-c * c), x)


def choosing(x: Any) -> Any:
    return jitad.cond(x > 1, costly, lambda x: x * x, x)


X = np.linspace(-1, 1.2, 5003)


def test_a_costly_branch_waits_for_others():
    (found,) = branches(choosing, X)
    assert found.later


def test_not_where_running_all_again_costs_more():
    def much(x: Any) -> Any:
        y = choosing(x)
        for k in range(900):
            y = y + np.sin(x * k) * np.exp(x)
        return y

    def little(x: Any) -> Any:
        short = lambda x: np.sin(np.cos(np.exp(np.tanh(np.sin(x)))))  # noqa: E731
        return jitad.cond(x > 1, short, lambda x: x * x, x) + costly(x)

    assert [s.later for s in branches(much, X)] == [False]
    assert not any(s.later for s in branches(little, X))


def test_not_before_a_loop_that_asks_the_lanes():
    def f(x: Any) -> Any:
        start = choosing(x)
        return jitad.while_loop(lambda c: c < 10, lambda c: c + 1 + start * start, x)

    assert [s.later for s in branches(f, X)] == [False]


def test_not_along_a_second_batch_axis():
    call = jitad.vmap(jitad.vmap(choosing)).prepare(X.reshape(-1, 5003)[[0, 0]])
    assert call.plan is not None
    assert not any(s.later for s in statements(call.plan.kernel.body) if is_branch(s))


def is_branch(s: Statement) -> bool:
    return isinstance(s, If)


@pytest.mark.slow
def test_not_where_sums_would_count_twice():
    total = jitad.grad(lambda a, x: np.sum(jitad.vmap(lambda x: choosing(a * x))(x)))
    want = sum(jitad.grad(lambda a, x=x: choosing(a * x))(1.1) for x in X[::50])
    np.testing.assert_allclose(total(1.1, X[::50]), want, rtol=1e-12)
    call = total.prepare(1.1, X)
    (step,) = call.program.sums
    assert not any(s.later for s in statements(step.kernel.body) if is_branch(s))


# -- what comes of it ---------------------------------------------------------------


def sparse() -> Iterator[np.ndarray]:
    """Points of which few, scattered, take the costly branch; in several numbers."""
    rng = np.random.default_rng(7)
    for count in (1, 3, 8, 9, 100, 20_011):
        x = rng.uniform(-1, 1, count)
        few = rng.random(count) < 0.02
        few[-1] = True
        yield np.where(few, rng.uniform(1, 1.2, count), x)


@pytest.mark.parametrize("mode", ["forward", "reverse", "cross"])
def test_a_lane_does_not_depend_on_its_neighbours(mode):
    f = jitad.vmap(jitad.jacobian(choosing, mode=mode))
    every = np.concatenate(list(sparse()))
    together = f(np.repeat(every, 16)).reshape(-1, 16)
    assert np.all(together == together[:, :1])
    for x in sparse():
        places = np.searchsorted(np.sort(every), x)
        np.testing.assert_array_equal(f(x), together[np.argsort(every)[places], 0])


def test_values_and_derivatives_against_the_interpreter():
    for x in sparse():
        got = jitad.vmap(jitad.value_and_grad(choosing))(x)
        want = jitad.vmap(jitad.value_and_grad(choosing), backend="numpy")(x)
        for y, w in zip(got, want, strict=True):
            np.testing.assert_allclose(y, w, rtol=1e-11)


def test_threads_do_not_matter():
    x = np.random.default_rng(1).uniform(-1, 1.02, 200_003)
    f = jitad.vmap(jitad.value_and_grad(choosing))
    jitad.set_threads(1)
    one = f(x)
    jitad.set_threads(2)
    two = f(x)
    np.testing.assert_array_equal(one, two)


def test_nan_in_one_lane_touches_no_other():
    x = np.linspace(-1, 1.02, 1003)
    clean = jitad.vmap(jitad.grad(choosing))(x)
    x[::7] = np.nan
    got = jitad.vmap(jitad.grad(choosing))(x)
    assert np.all(np.isnan(got[::7]))
    kept = ~np.isnan(x)
    np.testing.assert_array_equal(got[kept], clean[kept])
