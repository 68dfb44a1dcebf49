"""Loops that write an element per iteration: all at once where that gives the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

import jitad
from jitad import tree
from jitad.calls.call import Elements
from jitad.elements.iterations import at_once
from jitad.elements.repeating import Repeat
from jitad.ir.graph import Type
from jitad.ir.loop import LOOP, loop_of
from jitad.ir.trace import Input, trace


@numba.njit
def heat(u: Any, k: Any) -> Any:
    """Explicit steps in plain nested loops."""
    v = u.copy()
    for _ in range(4):
        w = v.copy()
        for i in range(1, len(u) - 1):
            w[i] = v[i] + 0.1 * k[i] * (v[i + 1] - 2 * v[i] + v[i - 1])
        v = w
    return np.sum(v * v)


@numba.njit
def in_place(u: Any, k: Any) -> Any:
    """What an iteration writes only it has read before."""
    v = u.copy()
    for i in range(len(u)):
        v[i] = np.sin(v[i]) * k[-1 - i] + 0.01 * i
    for i in range(len(u) - 1, 0, -2):
        v[i] += v[i - 1] * k[i]
    return np.sum(v * v)


@numba.njit
def added_up(u: Any, k: Any) -> Any:
    """Sums, and one that goes down."""
    total, rest = 1.0, 2.0
    for i in range(3, len(u)):
        total += u[i] * k[i - 3]
        rest -= np.exp(-u[i]) + 0.5
    return total * rest


def left_behind(u: Any, k: Any) -> Any:
    """Rows that a scan leaves, in the order of their numbers."""

    def body(carry: Any, row: Any) -> Any:
        a, b = row
        return carry + a * b, np.sin(a) - b

    total, rows = jitad.scan(body, 0.0, (u, k), reverse=True)
    return total * np.sum(rows * np.cos(np.arange(float(len(u)))))


APART: dict[str, Callable[..., Any]] = {
    "heat": heat,
    "in_place": in_place,
    "added_up": added_up,
    "left_behind": left_behind,
}


SIZE = 700  # so many iterations are not unrolled


@pytest.mark.parametrize("name", APART)
def test_iterations_are_taken_at_once_where_they_may_be(name: str) -> None:
    f = APART[name]
    args = np.linspace(0.2, 1.0, SIZE), np.cos(np.linspace(0.0, 2.0, SIZE))
    made = jitad.value_and_grad(f, argnums=(0, 1))
    call = made.prepare(*args)
    assert isinstance(call, Elements)
    loops = [s for s in call.steps.steps if isinstance(s, Repeat)]
    assert not loops or name == "heat"
    assert all(s.program is not None for s in loops)
    value, slopes = made(*args)
    wanted = f(*args) if name != "left_behind" else left_behind_by_hand(*args)
    np.testing.assert_allclose(value, wanted, rtol=1e-11)
    v = [np.cos(np.arange(float(SIZE))), np.sin(np.arange(float(SIZE)))]
    h, run = 1e-6, jitad.jit(f)
    there, here = (
        run(*(x + s * h * d for x, d in zip(args, v, strict=True))) for s in (1, -1)
    )
    along = sum(np.sum(g * d) for g, d in zip(slopes, v, strict=True))
    scale = sum(np.sum(np.abs(g * d)) for g, d in zip(slopes, v, strict=True))
    assert abs((there - here) / (2 * h) - along) < 1e-6 * scale
    pushed = jitad.jvp(f, args, tuple(v))[1]
    np.testing.assert_allclose(pushed, along, rtol=0, atol=1e-12 * scale)


def left_behind_by_hand(u: Any, k: Any) -> Any:
    rows = np.sin(u) - k
    return np.sum(u * k) * np.sum(rows * np.cos(np.arange(float(len(u)))))


def test_iterations_that_need_one_another_are_not() -> None:
    """Each reads what the one before wrote; two write to one place; out of range."""

    def sweep(i: Any, v: Any) -> Any:
        v = v.copy()
        v[i + 1] = v[i] * 0.5
        return v

    def halves(i: Any, v: Any) -> Any:
        v = v.copy()
        v[i // 2] = i * 1.0
        return v

    def beyond(i: Any, v: Any) -> Any:
        v = v.copy()
        v[i + 2] = i * 1.0
        return v

    def apart(i: Any, v: Any) -> Any:
        v = v.copy()
        v[i] = v[i + 1] * 0.5
        return v

    def loop(body: Any) -> Any:
        def f(x: Any) -> Any:
            return jitad.fori_loop(0, SIZE - 1, body, x)

        spec = tree.flatten(((0,), {}))[1]
        given = [Input(Type(np.dtype(float), (SIZE,)))]
        nodes = trace(f, spec, given).graph.nodes
        return next(loop_of(node) for node in nodes if node.primitive is LOOP)

    assert at_once(loop(apart)) is not None
    for body in (sweep, halves, beyond):
        assert at_once(loop(body)) is None
