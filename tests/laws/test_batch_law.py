"""A batch is its points, whoever runs it and whichever operands carry the batch.

Values, Jacobians in every mode and second derivatives of one function stand in one
answer; it is computed point by point, mapped, mapped inside a trace, interpreted, in a
loop over points and in the user's compiled code.  All must agree.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
import pytest

import jitad
from jitad import tree
from jitad.calls.inside import _UNROLLED as UNROLLED
from tests.cases import custom, implicit, loop_functions
from tests.cases.edge_cases import CASES
from tests.support.random_cases import over
from tests.support.random_programs import Program, structured

MODES = ("forward", "reverse", "cross")
X = np.array([0.5, 0.7, 1.1])


def leaves(value: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in tree.flatten(value)[0]]


def close(got: Any, want: Any, rtol: float = 1e-11) -> None:
    """The same NaN and inf, and equal within the rounding of the largest entry."""
    for g, w in zip(leaves(got), leaves(want), strict=True):
        assert (g.shape, g.dtype) == (w.shape, w.dtype)
        scale = np.max(np.abs(w), initial=0, where=np.isfinite(w))
        np.testing.assert_allclose(g, w, rtol=rtol, atol=rtol * scale)


# -- functions -----------------------------------------------------------------


def decaying(x: Any) -> Any:
    """Its pullback is a loop of constants only, until the batch reads what it wrote."""
    return jitad.scan(lambda c, z: (c * 0.5 + z, None), 0.0, np.stack([x[0], 2.0]))[0]


def smoothed(x: Any) -> Any:
    """An exponential smoother: all it carries and writes is linear."""
    c, ys = jitad.scan(lambda c, z: (c + 0.3 * (z - c),) * 2, 0.0, x * x)
    return c, ys


def countdown(x: Any) -> Any:
    """A loop of constants beside what varies; its arrays are read by another."""
    _, ys = jitad.scan(lambda c, _: (c * 0.5, c), 1.0, length=3, reverse=True)
    return jitad.scan(lambda c, p: (c * p[1] + p[0], c), 0.0, (x, ys))


def matrix_powers(x: Any) -> Any:
    A = np.array([[0.5, 0.1], [-0.2, 0.9]])
    return jitad.fori_loop(0, 4, lambda i, v: A @ v + i * x[:2], np.zeros(2))


def ramped(x: Any) -> Any:
    return jitad.while_loop(lambda c: c[0] < 5, lambda c: (c[0] + 1, c[1] * 2 + x[0]),
                            (0, x[1]), max_steps=9)[1]  # fmt: skip


def picked(x: Any) -> Any:
    """Elements of a constant table and of x at traced places, and places written to."""
    i = np.argmax(x)
    table = np.asarray(np.arange(30.0), like=x)
    return table[i + 3] * x[i], jitad.fori_loop(
        0, 3, lambda k, y: np.where(np.arange(3) == k, y * table[k], y), x
    )


def folded(x: Any) -> Any:
    """Branches, one of which is costly and takes nothing that varies."""
    return jitad.cond(
        x[0] > 0.4,
        lambda: jitad.fori_loop(0, 5, lambda i, c: np.sin(c) + i, x[1]),
        lambda: jitad.fori_loop(0, 5, lambda i, c: np.cos(c), 1.0),
    )


def by_rule(x: Any) -> Any:
    doubled = jitad.scan(lambda c, z: (custom.by_vjp(c, z)[0], c), 0.5, x)
    return custom.by_jvp(x, x[::-1]), doubled


def again(x: Any) -> Any:
    """Loops that reverse mode runs once more, one of them of constants."""
    keep = jitad.checkpoint(lambda c: jitad.fori_loop(0, 3, lambda i, c: c * c - i, c))
    return keep(x[0]), keep(0.3) * x[1]


def own(x: Any) -> Any:
    return custom.root(x), custom.ramp(x[0], 2.0), custom.lopsided(x, 2)


def solved(x: Any) -> Any:
    A = np.array([[2.0, 0.5, 0.0], [0.5, 3.0, 0.1], [0.0, 0.1, 1.5]])
    return np.linalg.solve(A, x), np.linalg.inv(A * x)[0], np.linalg.cholesky(A)[1] * x


def rooted(x: Any) -> Any:
    return jitad.root(lambda y: y * y * y + y - x, np.zeros(3))


def constant(x: Any) -> Any:
    return np.arange(3.0), 2.5, jitad.fori_loop(0, 3, lambda i, c: c * 2, 1.0), x[:0]


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    f.__name__: f
    for f in (
        decaying, smoothed, countdown, matrix_powers, ramped, picked, folded, by_rule,
        again, own, solved, rooted, constant,
    )
}  # fmt: skip

# Functions of other tests, which hold their second derivatives.
OTHERS: dict[str, Callable[[Any], Any]] = {
    **{
        name: f
        for name, (f, _) in loop_functions.LOOPS.items()
        if name != "matrices"  # which takes long to compile
    },
    "in segments": loop_functions.steps(4, 2),
    "of two": lambda x: implicit.sum_and_product(3 * x[:2] + 2),
}


def total(f: Any) -> Any:
    return lambda *x: sum(np.sum(y * y) for y in tree.flatten(f(*x))[0])


def answer(f: Any) -> Any:
    """The value and all derivatives of f, as one function of elements of x."""

    def whole(*elements: Any) -> Any:
        x = np.stack(elements)
        first = [jitad.jacobian(f, mode=mode)(x) for mode in MODES]
        if f in OTHERS.values():
            return f(x), first
        second = jitad.jacobian(jitad.jacobian(total(f), mode="reverse"))(x)
        return f(x), first, second, jitad.jvp(f, (x,), (np.eye(len(x)),))[1]

    return whole


# -- the law -------------------------------------------------------------------


def derived_once(f: Any) -> Any:
    """f, whose derivation all functions made of it share."""
    function = jitad.jit(f)
    function.derive = functools.cache(function.derive)
    return function


def mapped(f: Any, axes: Any = 0, backend: Any = None) -> Any:
    """f over points, inside a trace."""
    inner = jitad.vmap(f, in_axes=axes)
    return jitad.jit(lambda *args: inner(*args), backend=backend)


def hold(whole: Any, columns: Sequence[np.ndarray]) -> None:
    """The answer of every point, in all ways; columns hold the points' arguments."""
    whole, points = derived_once(whole), list(zip(*columns, strict=True))
    found = [leaves(jitad.jit(whole, backend="numpy")(*p)) for p in points]
    want = [np.stack(parts) for parts in zip(*found, strict=True)]
    close(whole(*points[0]), found[0])
    close(jitad.vmap(whole, backend="numpy")(*columns), want)
    close(mapped(whole)(*columns), want)
    close(mapped(whole, backend="numpy")(*columns), want)
    batch = jitad.vmap(whole)
    close(batch(*columns), want)
    # Only one of the arguments carries the batch.
    for k, column in enumerate(columns):
        axes = [0 if i == k else None for i in range(len(columns))]
        some = [c if i == k else c[0] for i, c in enumerate(columns)]
        wide = [c if i == k else np.full_like(c, c[0]) for i, c in enumerate(columns)]
        want = batch(*wide)
        assert len(column) > 1
        close(mapped(whole, tuple(axes), "numpy")(*some), want)


@pytest.mark.parametrize("name", [*FUNCTIONS, *OTHERS])
def test_functions(name: str) -> None:
    points = X * np.array([[1.0], [0.8], [1.3]])
    hold(answer((FUNCTIONS | OTHERS)[name]), list(points.T))


@pytest.mark.parametrize("name", ["decaying", "countdown", "by_rule", "picked"])
def test_more_points_than_are_unrolled(name: str) -> None:
    points = X * np.linspace(0.8, 1.3, UNROLLED + 1)[:, None]
    f = FUNCTIONS[name]
    both = lambda x: (f(x), jitad.jacobian(f, mode="reverse")(x))  # noqa: E731
    want = jitad.vmap(both)(points)
    close(mapped(both)(points), want)
    close(mapped(both, backend="numpy")(points), want)


@pytest.mark.parametrize("name", ["decaying", "countdown", "by_rule"])
def test_in_compiled_code(name: str) -> None:
    f = FUNCTIONS[name]
    gradient = jitad.njit(jitad.jacobian(total(f), mode="reverse"), X)

    @numba.njit
    def twice(x: Any) -> Any:
        return gradient(x) * 2

    close(twice(X), 2 * jitad.vmap(jitad.grad(total(f)))(X[None])[0])


@pytest.mark.parametrize("start", range(0, len(CASES), 16))
def test_edges(start: int) -> None:
    """Points at edges beside others, several functions in one answer."""
    cases = [c for c in CASES[start : start + 16] if np.size(c.arguments[0])]
    edges = [np.asarray(a, float) for c in cases for a in c.arguments]
    # No two arguments are equal: the difference of their logarithms is rounding.
    inside = [
        0.6 + 0.3 * np.sin(k + np.arange(a.size)).reshape(a.shape)
        for k, a in enumerate(edges)
    ]
    columns = [np.stack(pair) for pair in zip(inside, edges, strict=True)]

    def whole(*args: Any) -> Any:
        left, found = iter(args), []
        for c in cases:
            own = [next(left) for _ in c.arguments]
            every = tuple(range(len(own)))
            found.append([jitad.jacobian(c.function, every, mode=m)(*own)
                          for m in MODES])  # fmt: skip
        return found

    points = list(zip(*columns, strict=True))
    whole = derived_once(whole)
    want = jitad.vmap(whole)(*columns)
    for axes in (0, -1):
        turned = columns if axes == 0 else [np.moveaxis(c, 0, -1) for c in columns]
        close(mapped(whole, axes, "numpy")(*turned), want, 1e-14)
    close(mapped(whole, 0)(*columns), want, 1e-14)
    for k, point in enumerate(points):
        one = jitad.vmap(whole, backend="numpy")(*[a[None] for a in point])
        close([y[0] for y in leaves(one)], [y[k] for y in leaves(want)], 1e-14)


@pytest.mark.slow
def test_random_programs() -> None:
    @over(3, structured("scan"))
    def law(program: Program) -> None:
        f, X = program.function, program.points[:2]
        both = derived_once(lambda x: (f(x), jitad.jacobian(f, mode="reverse")(x)))
        want = jitad.vmap(both)(X)
        close(mapped(both)(X), want)
        close(mapped(both, backend="numpy")(X), want)
        for k, x in enumerate(X):
            one = jitad.jit(both, backend="numpy")(x)
            close(one, [w[k] for w in leaves(want)])
