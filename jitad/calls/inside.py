"""What a Function is inside a trace: its graph becomes part of the one that grows.

`inlined` writes the graph out for every point of a batch, adds one node where arrays
are large, or a loop over points where they are many.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jitad import tree
from jitad.ir.bind import bind
from jitad.ir.graph import Graph, Type
from jitad.ir.interpret import inline, interpret, rearranged
from jitad.ir.trace import Input, Known, current, differentiated, knowing, touched
from jitad.ir.trace import trace as record
from jitad.ir.tracer import Trace, Tracer, as_tracer, innermost, lift, traced
from jitad.ir.whole import Held, Whole, add_whole
from jitad.plan.derived import Derived
from jitad.primitives.arrays.memory import write
from jitad.primitives.control.body import points_loop
from jitad.primitives.scalar.elementwise import either
from jitad.transforms.derivatives.linearized import tables

from . import arrays

if TYPE_CHECKING:
    from .function import Function

# A batch of more points, or of more operations, is a loop over points.
_UNROLLED = 64
_LONG = 20_000

# What the function that is being derived has called so far.
_called: contextvars.ContextVar[list[tuple[str, Derived]] | None]
_called = contextvars.ContextVar("jitad_called", default=None)
# Whether a function is traced whose arrays may stay whole.
_asking: contextvars.ContextVar[bool]
_asking = contextvars.ContextVar("jitad_asking", default=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of large arrays, the structure of the result, and the trace.

    given, seeds  the numbers of the leaves that go to the function, and of the others
    """

    whole: Whole
    result: tree.PyTreeSpec
    known: Known
    given: Sequence[int]
    seeds: Sequence[int] = ()


@contextmanager
def asking() -> Iterator[None]:
    """Let transformed functions of large arrays be nodes of what is traced inside."""
    token = _asking.set(True)
    try:
        yield
    finally:
        _asking.reset(token)


@contextmanager
def calling() -> Iterator[list[tuple[str, Derived]]]:
    """The functions that are called inside, with what was derived of them."""
    called: list[tuple[str, Derived]] = []
    token = _called.set(called)
    try:
        yield called
    finally:
        _called.reset(token)


def inlined(
    function: Function, spec: tree.PyTreeSpec, leaves: Sequence[Any], out: Any
) -> Any:
    """The results on traced values; those of out are written to, where it is given."""
    result = _results(function, spec, leaves)
    if out is None:
        return result
    made, structure = tree.flatten(result)
    expected = [(x.shape, x.type) for x in made]
    found = arrays.targets(out, structure, expected, function.name, Tracer)
    for target, value in zip(found, made, strict=True):
        write(target, value)
    return out


def _results(function: Function, spec: tree.PyTreeSpec, leaves: Sequence[Any]) -> Any:
    trace = innermost(leaves) if traced(list(leaves)) else current()
    assert trace is not None
    running = current()
    if running is not None and running.level > trace.level:
        trace = running
    tracers = [_as_input(trace, x) for x in leaves]
    views, extents = function.batched(spec, tracers)
    levels = len(extents)
    if levels and extents[0] > _UNROLLED:
        return _looped(function, trace, spec, tracers, extents[0])
    inputs = tuple([Input(Type(v.dtype, v.shape[levels:]), v.weak) for v in views])
    if not levels and function.stays_whole(inputs) and _asking.get():
        return _as_node(function, trace, spec, inputs, tracers)
    derived = function.derived(spec, inputs)
    outside = _called.get()
    if outside is not None:
        outside.append((function.name, derived))
    if levels == 1 and extents[0] * len(derived.graph.nodes) > _LONG:
        return _looped(function, trace, spec, tracers, extents[0])
    if levels and extents[0] > 1 and tables(derived.graph.nodes):
        # What reads memory at computed places is cheaper than what selects.
        return _looped(function, trace, spec, tracers, extents[0])
    operands = [*views, *derived.captured]
    if not levels:
        given = [lift(trace, v) for v in operands]

        def written(graph: Graph) -> list[Any]:
            indices = inline(trace, graph, given)
            return [Tracer(trace, i, trace.nodes[i].type) for i in indices]

        return tree.unflatten(derived.result, _both_sides(derived, written))
    for _ in range(levels):
        operands[len(views) :] = [v[None] for v in operands[len(views) :]]
    results = _both_sides(derived, lambda g: interpret(g, operands, levels))
    types, axes = derived.graph.output_types, function.out_axes(derived)
    arranged = []
    for value, type, out in zip(results, types, axes, strict=True):
        whole = np.broadcast_to(value, (*extents, *type.shape))
        moved = arrays.batch_back(as_tracer(trace, whole), out)
        # A new array, as outside: neither read-only nor an argument.
        arranged.append(np.copy(moved, order="C"))
    return tree.unflatten(derived.result, arranged)


def _as_node(
    function: Function,
    trace: Trace,
    spec: tree.PyTreeSpec,
    inputs: tuple[Input, ...],
    leaves: Sequence[Tracer],
) -> Any:
    """The results as parts of one node."""
    held, asked = _holding(function, spec, inputs)
    captured = asked.known.traced.captured
    operands = [leaves[k] for k in asked.given]
    operands += [*captured, *[leaves[k] for k in asked.seeds]]
    given = [lift(trace, x) for x in operands]
    parts = add_whole(trace, held, given, trace.line())
    made = [Tracer(trace, p, trace.nodes[p].type) for p in parts]
    return tree.unflatten(asked.result, made)


def _holding(
    function: Function, spec: tree.PyTreeSpec, inputs: tuple[Input, ...]
) -> tuple[Held, Asked]:
    """What a node of this function holds."""
    key, before = (spec, inputs), touched()
    if key in function.held:
        return function.held[key]
    assert function.ask is not None
    asked = function.ask(spec, inputs)
    assert asked is not None
    traced = asked.known.traced
    count, extra = len(inputs), len(traced.captured)
    order = [*asked.given, *range(count, count + extra), *asked.seeds]

    def scalars() -> tuple[Graph, Graph | None, frozenset[int]]:
        with knowing(asked.known):
            derived = function.derived(spec, inputs)
        types = [derived.graph.input_types[k] for k in order]
        places = [order.index(k) for k in range(len(order))]
        graph = rearranged(derived.graph, types, places)
        side = derived.side() if derived.side else None
        if side is None:
            return graph, None, frozenset()
        return graph, rearranged(side.graph, types, places), side.slopes

    types = asked.whole.like.output_types
    held = Held(function.name, traced.graph, asked.whole, types, scalars)
    if not traced.captured and touched() == before:
        function.held[key] = held, asked
    return held, asked


def _looped(
    function: Function,
    trace: Trace,
    spec: tree.PyTreeSpec,
    leaves: Sequence[Tracer],
    count: int,
) -> Any:
    """The outermost level as a loop, one point after the other."""
    level, *rest = function.levels
    point = function.with_levels(rest)
    axes = [own[0] for own in function.in_axes(spec, leaves)]
    arrays_ = [
        x if a is None else arrays.batch_first(x, (a,)) if a else x
        for x, a in zip(leaves, axes, strict=True)
    ]
    shapes = [
        x.shape if a is None else x.shape[1:]
        for x, a in zip(arrays_, axes, strict=True)
    ]
    inputs = [
        Input(Type(x.dtype, s), x.weak) for x, s in zip(arrays_, shapes, strict=True)
    ]
    made = record(point, spec, inputs, plain=True)
    parts = points_loop(trace, made, arrays_, [a is None for a in axes], count)
    flat = tree.broadcast_prefix(
        level.out_axes, tree.unflatten(made.result, list(range(len(parts))))
    )
    results = []
    for part, axis in zip(parts, flat, strict=True):
        place = arrays.normal_axis(axis, part.ndim, function.name)
        moved = arrays.batch_back(part, (place,))
        results.append(np.copy(moved, order="C"))
    return tree.unflatten(made.result, results)


def _both_sides(derived: Derived, evaluate: Callable[[Graph], list[Any]]) -> list[Any]:
    """The results, each with what derivatives of it are taken of, if that differs."""
    found = evaluate(derived.graph)
    side = derived.side() if derived.side and differentiated() else None
    if side is None:
        return found
    results = []
    for k, (a, b) in enumerate(zip(found, evaluate(side.graph), strict=True)):
        both = isinstance(a, Tracer) and isinstance(b, Tracer) and a.dtype.kind == "f"
        apart = both and (k in side.slopes or a.index != b.index)
        results.append(bind(either, [a, b], [None] * 2, a.dtype) if apart else a)
    return results


def _as_input(trace: Any, value: Any) -> Tracer:
    if isinstance(value, Tracer):
        if value.builder is trace:
            return value
        index = lift(trace, value)
        return Tracer(trace, index, value.type, value.weak)
    index = lift(trace, value)
    weak = type(value) in (float, int)
    return Tracer(trace, index, trace.nodes[index].type, weak)
