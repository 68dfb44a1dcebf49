"""Random programs with loops and branches, against the same without any.

A program's value is that of ordinary Python.  Its derivatives at a point are those of
the straight line that ordinary Python runs through there, within the rounding that both
can have suffered (`running_error`), and those of differences along that line.  What a
point of a batch gets does not depend, bit for bit, on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.lowering.kernel import Kernel
from jitad.testing.differences import derivative
from jitad.transforms.derivatives import accumulate
from jitad.transforms.derivatives.accumulate import MODES
from jitad.transforms.scalars.scalarize import scalarize
from tests.support import engine
from tests.support.kernels import reference
from tests.support.random_cases import over
from tests.support.random_programs import (
    KINDS,
    POINTS,
    Plain,
    Program,
    structured,
    total,
)
from tests.support.running_error import FOLDED, running_error
from tests.support.seen import Seen, leaves, mostly_sharp

BACKENDS = ("cpu", "numpy")
EPS = float(np.finfo(float).eps)


def bounded(f: Callable[..., Any], x: np.ndarray, order: int = 1) -> Any:
    """A derivative of a straight line: values, and what rounding in any mode allows.

    Sums of constants are allowed some, too, though they are made while tracing.
    """
    graph = scalarize(engine.traced(f, x).graph)
    for _ in range(order - 1):
        graph = accumulate.jacobian(graph, (0,), mode="reverse").graph
    made = [accumulate.jacobian(graph, (0,), mode=mode).graph for mode in MODES]
    found = [running_error(g, [x]) for g in made] if order else []
    values, errors = found[0] if order else running_error(graph, [x])
    for _, other in found[1:]:
        errors = [a + b for a, b in zip(errors, other, strict=True)]
    folded = [FOLDED * EPS * np.abs(v) for v in values]
    return values, [2 * e + c for e, c in zip(errors, folded, strict=True)]


def agree(seen: Seen, got: Any, bounds: Any) -> None:
    for g, value, allowed in zip(leaves(got), *bounds, strict=True):
        seen.within(g, value, allowed)


def equal(got: Any, want: list[np.ndarray]) -> None:
    for a, b in zip(leaves(got), want, strict=True):
        np.testing.assert_array_equal(a, b)


def kernel(function: Any, points: np.ndarray) -> Kernel:
    plan = jitad.vmap(function).prepare(points).plan
    assert plan is not None
    return plan.kernel


def plain(program: Program, x: np.ndarray) -> Any:
    return program.plain(Plain())(x)


# -- values and first derivatives ----------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_jacobians_are_those_of_the_straight_line(kind: str) -> None:
    with mostly_sharp() as seen:

        @over(4, structured(kind))
        def hold(program: Program) -> None:
            f, X = program.function, program.points
            values = [leaves(jitad.vmap(f, backend=b)(X)) for b in BACKENDS]
            slopes = [leaves(jitad.vmap(jitad.jacobian(f, mode=m))(X)) for m in MODES]
            for k in range(0, POINTS, 4):
                x, line = X[k], program.unrolled(X[k])
                want = leaves(plain(program, x))
                # Where nothing is traced jitad's loops are Python's.
                np.testing.assert_array_equal(leaves(f(x)), want)
                np.testing.assert_array_equal(leaves(line(x)), want)
                bounds = bounded(line, x, 0)
                agree(seen, want, bounds)
                for found in values:
                    agree(seen, [y[k] for y in found], bounds)
                bounds = bounded(line, x)
                for found in slopes:
                    agree(seen, [J[k] for J in found], bounds)


@pytest.mark.parametrize("kind", KINDS)
def test_directions_are_those_of_the_jacobian_and_of_differences(kind: str) -> None:
    with mostly_sharp() as seen:

        @over(2, structured(kind))
        def hold(program: Program) -> None:
            f, x = program.function, program.points[0]
            v, bars = np.array([0.3, -0.7, 0.4]), np.array([0.6, -0.5])
            line = program.unrolled(x)
            J, errors = (np.stack(part) for part in bounded(line, x))
            errors = errors + 2 * EPS * np.abs(J)
            allowed = errors @ np.abs(v)
            y, pushed = jitad.jvp(f, (x,), (v,))
            seen.within(np.stack(pushed), J @ v, allowed)
            again, pullback = jitad.vjp(f, x)
            for value in (y, again, jitad.jit(f)(x)):
                agree(seen, value, bounded(line, x, 0))
            (pulled,) = pullback(tuple(bars))
            seen.within(pulled, bars @ J, np.abs(bars) @ errors)
            slopes, doubt, _ = derivative(lambda x: np.stack(line(x)), x, v, EPS)
            # Compared at the size of the slopes, which is where a difference is zero.
            size = np.abs(J) @ np.abs(v)
            seen.within(size + slopes - J @ v, size, 8 * doubt + allowed)


# -- batches -------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_points_bit_for_bit(kind: str) -> None:
    """Whatever branches and trip counts are beside them; NaN touches nobody else."""
    paths: list[int] = []

    @over(2, structured(kind))
    def hold(program: Program) -> None:
        f, X = program.function, program.points
        paths.append(len({tuple(program.path(x)) for x in X}))
        poisoned = X.copy()
        poisoned[5] = np.nan
        others = np.arange(POINTS) != 5
        for made in (f, *(jitad.jacobian(f, mode=m) for m in ("forward", "reverse"))):
            batched = jitad.vmap(made)
            whole = leaves(batched(X))
            for size in (1, 2, 3, 8):
                equal(batched(X[:size]), [y[:size] for y in whole])
            for k in range(POINTS):
                equal(batched(X[[k]]), [y[[k]] for y in whole])
            left = [y[others] for y in leaves(batched(poisoned))]
            equal(left, [y[others] for y in whole])

    assert max(paths) > 1


# -- checkpoints ---------------------------------------------------------------


def test_every_schedule_gives_the_same_numbers() -> None:
    """Bit for bit in the interpreter; other kernels may share other products."""
    with mostly_sharp() as seen:

        @over(8, structured("scan", 2))
        def hold(program: Program) -> None:
            X = program.points
            bounds = bounded(program.unrolled(X[0]), X[0])
            want: list[np.ndarray] = []
            for checkpoint in (None, "sqrt", 2, 3):
                J = jitad.jacobian(program.kept(checkpoint), mode="reverse")
                got = leaves(jitad.vmap(J, backend="numpy")(X))
                # Cotangents of what is read twice are added in another order.
                if checkpoint is None or program.reads_twice:
                    want = got
                equal(got, want)
                for found in (got, leaves(jitad.vmap(J)(X))):
                    agree(seen, [y[0] for y in found], bounds)


# -- second derivatives --------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives_are_those_of_the_straight_line(kind: str) -> None:
    with mostly_sharp() as seen:

        @over(2, structured(kind, 1, 1))
        def hold(program: Program) -> None:
            f, X = program.total, program.points
            pushed, pulled = jitad.jacobian(f, mode="forward"), jitad.grad(f)
            orders = [
                jitad.hessian(f),
                jitad.jacobian(pulled, mode="forward"),
                jitad.jacobian(pulled, mode="reverse"),
                jitad.jacobian(pulled, mode="cross"),
                jitad.jacobian(pushed, mode="reverse"),
            ]
            found = [jitad.vmap(order)(X) for order in orders]
            # In the kernel run slowly, what nobody has written is NaN.
            slow = [reference(kernel(order, X), (1,), [X[:1]])[0] for order in orders]
            v = np.array([0.3, -0.7, 0.4])
            products = jitad.vmap(jitad.hvp(f), in_axes=(0, None))(X, v)
            for k in range(0, POINTS, 5):
                (H,), (allowed,) = bounded(total(program.unrolled(X[k])), X[k], 2)
                for got in found:
                    seen.within(got[k], H, allowed)
                for got in slow if k == 0 else ():
                    seen.within(got.reshape(H.shape), H, allowed)
                allowed = allowed + 2 * EPS * np.abs(H)
                seen.within(products[k], H @ v, allowed @ np.abs(v))
