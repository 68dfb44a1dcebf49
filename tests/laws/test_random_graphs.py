"""Random programs, and everything that computes them held against everything else.

NumPy itself, the interpreter on both graphs, the machine, the three orders of
accumulation, seeds, differences and second derivatives.  What is allowed between two
of them is the rounding that each can have suffered (`running_error`), no more; a
result whose bound is useless does not count, and too many such are a failure.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.ir.graph import Graph, validate
from jitad.ir.interpret import interpret
from jitad.ir.primitive import registry
from jitad.transforms.derivatives.accumulate import MODES, jacobian, twins_of
from jitad.transforms.derivatives.differentiate import pullback, pushforward
from jitad.transforms.scalars.scalarize import scalarize
from tests.support import engine
from tests.support.random_cases import LAYOUTS, integers, one_of, over, programs
from tests.support.random_graphs import (
    ELEMENTWISE,
    LINALG,
    REDUCTIONS,
    STRUCTURES,
    WRITES,
    Growing,
    Program,
)
from tests.support.running_error import running_error
from tests.support.seen import BATCH, Seen, everything, mostly_sharp, scalars, spread


def plain(program: Program, inputs: Sequence[np.ndarray] | None = None) -> list[Any]:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(program.function(*(program.inputs if inputs is None else inputs)))


# -- the bounds ----------------------------------------------------------------


def test_an_undecided_choice_may_be_off_as_either_side() -> None:
    """A slope of 0 ± e, taken or not, is no exact 0 beside an exact 0."""

    def f(x: Any) -> Any:
        s = np.sin(x)
        y = np.arctan2(1.0 + 0.02 * s, 2.0 + 0.04 * s)
        return np.where(y[0] < y[1], y[0], 0.0), np.where(y[0] < y[1], 0.0, y[0])

    x = np.array([0.015, -0.69])
    graph = jacobian(scalarize(engine.traced(f, x).graph), (0,)).graph
    for value, error in zip(*running_error(graph, [x]), strict=True):
        assert value[0] == 0
        assert 1e-18 < error[0] < 1e-15


# -- the interpreter -----------------------------------------------------------


def check_values(seen: Seen, program: Program) -> Graph:
    """NumPy, the interpreter on the array graph, and on the scalar graph."""
    before = [x.copy() for x in program.inputs]
    want = plain(program)
    for x, y in zip(program.inputs, before, strict=True):
        np.testing.assert_array_equal(x, y)
    graph = engine.traced(program.function, *program.inputs).graph
    small = scalarize(graph)
    validate(small)
    values, errors = running_error(small, program.inputs)
    arrays = interpret(graph, program.inputs)
    points = interpret(small, program.inputs)
    for w, a, p, v, e in zip(want, arrays, points, values, errors, strict=True):
        for got in (a, p, v):
            seen.bounded(got, w, e)
    return small


def check_orders(seen: Seen, program: Program, graph: Graph) -> list[Any]:
    """Forward, reverse and cross-country; and what the counts choose.

    Of short programs several orders make the same graph, which is run once.
    """
    taken = [jacobian(graph, everything(program), mode=m).graph for m in (*MODES, None)]
    found = []
    for own in {g.digest: g for g in taken}.values():
        validate(own)
        found.append(running_error(own, program.inputs))
        for a, v, e in zip(interpret(own, program.inputs), *found[-1], strict=True):
            seen.bounded(a, v, e)
    values, errors = found[0]
    for other, allowed in found[1:]:
        for a, b, d, e in zip(other, values, allowed, errors, strict=True):
            seen.within(a, b, d + e)
    return [values, errors]


def seeds(shapes: Sequence[Any], number: int) -> list[np.ndarray]:
    rng = np.random.default_rng(number)
    return [np.asarray(rng.uniform(-1, 1, t.shape), t.dtype) for t in shapes]


def paired(
    left: Sequence[Any], right: Sequence[Any], errors: Sequence[Any]
) -> tuple[float, float]:
    """⟨left, right⟩ summed without rounding, and how far errors of right move it."""
    a, b, e = (
        np.concatenate([np.ravel(x).astype(float) for x in xs])
        for xs in (left, right, errors)
    )
    products = a * b
    rounding = np.finfo(float).eps * np.abs(products)
    bounds = np.where(a == 0, 0.0, np.abs(a) * e) + rounding
    return math.fsum(products.tolist()), float(np.sum(bounds))


def check_seeds(seen: Seen, program: Program, graph: Graph, found: Any) -> None:
    """⟨ȳ, J ẋ⟩ = ⟨Jᵀ ȳ, ẋ⟩ = ȳᵀ (J ẋ) with the Jacobian as a matrix."""
    x_dot, y_bar = seeds(graph.input_types, 1), seeds(graph.output_types, 2)
    wrt = everything(program)
    pushed, pulled = pushforward(graph, wrt), pullback(graph, wrt)
    validate(pushed)
    validate(pulled)
    count = len(graph.outputs)
    values, errors = running_error(pushed, [*program.inputs, *x_dot])
    left, allowed = paired(y_bar, values[count:], errors[count:])
    values, errors = running_error(pulled, [*program.inputs, *y_bar])
    right, more = paired(x_dot, values[count:], errors[count:])
    seen.within(np.float64(left), np.float64(right), allowed + more)
    weights = [
        np.multiply.outer(bar.astype(float), dot.astype(float))
        for bar in y_bar
        for dot in x_dot
    ]
    whole, more = paired(weights, *found)
    seen.within(np.float64(left), np.float64(whole), allowed + more)


def check_differences(seen: Seen, program: Program, graph: Graph, found: Any) -> None:
    """J v against central differences, judged by those of twice the step."""
    v = seeds(graph.input_types, 3)
    apart = []
    for h in (2.0**-12, 2.0**-11):
        ends = [
            [
                (x + s * h * d).astype(x.dtype)
                for x, d in zip(program.inputs, v, strict=True)
            ]
            for s in (1, -1)
        ]
        # The direction that rounding has left of v.
        steps = [
            (a.astype(float) - b.astype(float)) / (2 * h)
            for a, b in zip(*ends, strict=True)
        ]
        (up, high), (down, low) = (running_error(graph, end) for end in ends)
        jacobians, errors = (iter(part) for part in found)
        for k, (a, b) in enumerate(zip(up, down, strict=True)):
            slope = np.subtract(a, b, dtype=float) / (2 * h)
            allowed = (high[k] + low[k]) / (2 * h)
            for step in steps:
                axes = step.ndim
                slope = slope - np.tensordot(
                    np.asarray(next(jacobians), float), step, axes
                )
                allowed = allowed + np.tensordot(next(errors), np.abs(step), axes)
            apart.append((slope, allowed, np.abs(np.subtract(a, b, dtype=float)) / h))
    half = len(apart) // 2
    for (a, e, size), (b, d, _) in zip(apart[:half], apart[half:], strict=True):
        allowed = 8 * np.abs(a - b) + e + d
        # Compared at the size of the slope, which is where the difference is zero.
        seen.within(size + a, size, allowed)


@pytest.mark.slow
def test_interpreter_orders_seeds_and_differences_agree() -> None:
    with mostly_sharp() as seen:

        @over(20, programs(5, 50))
        def hold(program: Program) -> None:
            graph = check_values(seen, program)
            found = check_orders(seen, program, graph)
            check_seeds(seen, program, graph, found)
            check_differences(seen, program, graph, found)


@pytest.mark.slow
def test_programs_of_two_hundred_lines() -> None:
    with mostly_sharp(0.3) as seen:

        @over(3, programs(190, 200))
        def hold(program: Program) -> None:
            graph = check_values(seen, program)
            check_orders(seen, program, graph)


# -- second derivatives --------------------------------------------------------


@pytest.mark.slow
def test_hessians_are_symmetric_in_every_order() -> None:
    with mostly_sharp() as seen:

        @over(16, programs(5, 12))
        def hold(program: Program) -> None:
            graph = scalars(program.total, program)
            inputs = program.inputs
            first = jacobian(graph, (0,)).graph
            whole = jacobian(first, (0,), mode="forward").graph
            (want,), (error,) = running_error(whole, inputs)
            axes = [*range(want.ndim // 2, want.ndim), *range(want.ndim // 2)]
            twins = twins_of(graph.output_types, graph.input_types[:1])
            seen.within(
                np.transpose(want, axes), want, np.transpose(error, axes) + error
            )
            for mode in MODES:
                half = jacobian(first, (0,), mode=mode, twins=twins).graph
                (got,), (allowed,) = running_error(half, inputs)
                np.testing.assert_array_equal(got, np.transpose(got, axes))
                seen.within(got, want, allowed + error)


# -- NaN -----------------------------------------------------------------------


@pytest.mark.slow
def test_nan_goes_the_same_ways() -> None:
    """One element of an input is NaN: patterns agree in values and in all orders."""
    with mostly_sharp() as seen:
        # What LAPACK makes of NaN is nobody's rule.
        @over(16, programs(5, 30, factors=False), integers(0, 20))
        def hold(program: Program, place: int) -> None:
            poisoned = [x.copy() for x in program.inputs]
            x = poisoned[place % len(poisoned)]
            if x.size:
                x.reshape(-1)[place % x.size] = np.nan
            want = plain(program, poisoned)
            graph = scalars(program.function, program)
            values, errors = running_error(graph, poisoned)
            for w, v, e in zip(want, values, errors, strict=True):
                seen.bounded(v, w, e)
            found = [
                running_error(
                    jacobian(graph, everything(program), mode=m).graph, poisoned
                )
                for m in MODES
            ]
            for other, allowed in found[1:]:
                for a, b, d, e in zip(
                    other, found[0][0], allowed, found[0][1], strict=True
                ):
                    seen.within(a, b, d + e)


# -- the machine ---------------------------------------------------------------


def flat(result: Any) -> list[np.ndarray]:
    return [np.asarray(x) for x in jitad.tree.flatten(result)[0]]


@pytest.mark.slow
def test_the_machine_agrees_at_a_point_and_over_a_batch() -> None:
    with mostly_sharp() as seen:

        @over(
            12,
            programs(10, 40),
            one_of(MODES),
            one_of(sorted(LAYOUTS)),
            one_of((False, True)),
        )
        def hold(program: Program, mode: Any, layout: str, last: bool) -> None:
            wrt = tuple(everything(program))
            graph = scalars(program.function, program)
            values, errors = running_error(graph, program.inputs)
            laid = [LAYOUTS[layout](x) for x in program.inputs]
            got = flat(jitad.jit(program.function)(*laid))
            for g, v, e in zip(got, values, errors, strict=True):
                seen.bounded(g, v, e)
            taken = jacobian(graph, wrt, mode=mode).graph
            points = spread(program, len(program.lines))
            values, errors = running_error(taken, points, 1)
            axis = -1 if last else 0
            laid = [LAYOUTS[layout](np.moveaxis(x, 0, axis)) for x in points]
            before = [x.copy() for x in laid]
            function = jitad.jacobian(program.function, wrt, mode=mode)
            got = flat(jitad.vmap(function, in_axes=axis)(*laid))
            for g, v, e in zip(got, values, errors, strict=True):
                whole = np.broadcast_to(v, (BATCH, *v.shape[1:]))
                seen.bounded(g, whole, e)
            for x, y in zip(laid, before, strict=True):
                np.testing.assert_array_equal(x, y)
            reference = flat(jitad.vmap(function, in_axes=axis, backend="numpy")(*laid))
            for g, v, e in zip(reference, values, errors, strict=True):
                seen.bounded(g, np.broadcast_to(v, (BATCH, *v.shape[1:])), e)


def test_points_that_are_one_point_without_copies() -> None:
    """Stride 0: all points share the memory of one."""
    with mostly_sharp() as seen:

        @over(3, programs(5, 20))
        def hold(program: Program) -> None:
            graph = scalars(program.function, program)
            values, errors = running_error(graph, program.inputs)
            many = [np.broadcast_to(x, (BATCH, *x.shape)) for x in program.inputs]
            got = flat(jitad.vmap(program.function)(*many))
            for g, v, e in zip(got, values, errors, strict=True):
                seen.bounded(g, np.broadcast_to(v, (BATCH, *v.shape)), e)


@pytest.mark.slow
def test_seeds_and_hessians_on_the_machine() -> None:
    with mostly_sharp() as seen:

        @over(4, programs(5, 15))
        def hold(program: Program) -> None:
            wrt, inputs = everything(program), program.inputs
            graph = scalars(program.function, program)
            x_dot, y_bar = seeds(graph.input_types, 1), seeds(graph.output_types, 2)
            count = len(graph.outputs)
            values, errors = running_error(pushforward(graph, wrt), [*inputs, *x_dot])
            got = flat(jitad.jvp(program.function, inputs, tuple(x_dot)))
            for g, v, e in zip(got, values, errors, strict=True):
                seen.bounded(g, v, e)
            values, errors = running_error(pullback(graph, wrt), [*inputs, *y_bar])
            _, pull = jitad.vjp(program.function, *inputs)
            got = flat(pull(tuple(y_bar)))
            for g, v, e in zip(got, values[count:], errors[count:], strict=True):
                seen.bounded(g, v, e)
            total = scalars(program.total, program)
            first = jacobian(total, (0,)).graph
            twins = twins_of(total.output_types, total.input_types[:1])
            half = jacobian(first, (0,), twins=twins).graph
            values, errors = running_error(half, inputs)
            got = flat(jitad.hessian(program.total)(*inputs))
            for g, v, e in zip(got, values, errors, strict=True):
                seen.bounded(g, v, e)


# -- what programs are made of -------------------------------------------------

SHAPES = [((3,), (4,)), ((2, 2), (2, 2)), ((1, 3), (3,)), ((2, 1, 2), (2,))]
LINES = {
    **{t: lambda g, t=t: g.apply(t, "x0", "x1", "x0") for t in ELEMENTWISE},
    **{t: lambda g, t=t: g.structured(t, "x0", "x0") for _, t in STRUCTURES},
    **{t: lambda g, t=t: g.structured(t, "x0", "x0") for t in REDUCTIONS},
    **{t: lambda g, t=t: g.factored(t, "x0", "x1", 2) for t in LINALG},
    **{t: lambda g, t=t: g.written([t], "{a}.copy()", "x0", "x1") for t in WRITES},
}
# What only jitad has, or what only other primitives are made of.
ELSEWHERE = {
    "input", "const", "stop_gradient", "either", "settled", "nonzero", "line_or_corner",
    "singular", "indefinite", "squares",
}  # fmt: skip


def grown(line: str) -> Iterator[Program]:
    """Programs of one line, on arrays of any number of axes that it takes."""
    for shapes in SHAPES[1:2] if line in ELEMENTWISE else SHAPES:
        rng = np.random.default_rng(len(shapes[0]))
        growing = Growing(
            lambda low, high: max(low, 0), [rng.uniform(-1.5, 1.5, s) for s in shapes]
        )
        if LINES[line](growing):
            yield growing.finish()


@pytest.mark.parametrize("line", LINES)
def test_every_line_is_numpy_and_agrees(line: str) -> None:
    seen, count = Seen(), 0
    for program in grown(line):
        count += 1
        graph = check_values(seen, program)
        check_orders(seen, program, graph)
    assert count > 0


@pytest.mark.slow
def test_every_primitive_occurs() -> None:
    found = set(ELSEWHERE)
    for line in LINES:
        for program in grown(line):
            graph = engine.traced(program.function, *program.inputs).graph
            small = scalarize(graph)
            slopes = jacobian(small, everything(program), mode="reverse").graph
            for g in (graph, small, slopes):
                found |= {node.primitive.name for node in g.nodes}
    # Loops and calls have random programs of their own; tables are tested by hand.
    kinds = registry.primitives.items()
    wanted = {name for name, p in kinds if p.kind not in ("control", "access")}
    assert wanted <= found, wanted - found
