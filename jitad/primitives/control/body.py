"""Loops as they are traced: a body run once, and the node that repeats it.

`trace_body` traces what one iteration does to what is carried, `repeat` adds the loop
to the running trace, and `points_loop` adds one over points that carry nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jitad import tree
from jitad.errors import InputError, ShapeError
from jitad.ir.graph import Type
from jitad.ir.interpret import rearranged
from jitad.ir.loop import INT, Loop, add_loop
from jitad.ir.plain import plain_array
from jitad.ir.source import source_line
from jitad.ir.trace import Input, Traced, current, trace
from jitad.ir.tracer import Trace, Tracer, as_tracer, lift, traced

Carry = Any


@dataclass(frozen=True, slots=True)
class Iteration:
    """A traced body: its graph, what is carried into it, and the carry's structure."""

    name: str
    traced: Traced
    carry: tree.PyTreeSpec
    starts: list[Any]
    types: list[Input]

    @property
    def count(self) -> int:
        """How many values are carried."""
        return len(self.starts)


def trace_body(
    name: str,
    step: Callable[..., tuple[Carry, Any]],
    init: Carry,
    xs: tuple[tree.PyTreeSpec, list[Input]] | None = None,
) -> Iteration:
    """Trace step(index, carry, xs); numbers of Python take the dtype they become."""
    starts, spec = tree.flatten(init)
    starts = [array_leaf(x) for x in starts]
    weak = [is_weak(x) for x in tree.flatten(init)[0]]
    types = [Input(Type(x.dtype, x.shape)) for x in starts]
    if any(weak):
        soft = [Input(t.type, w) for t, w in zip(types, weak, strict=True)]
        types = _grown(_trace(name, step, spec, soft, xs), types, weak)
    made = _trace(name, step, spec, types, xs)
    _check_carry(name, spec, types, made)
    return Iteration(name, made, spec, starts, types)


def _trace(
    name: str,
    step: Callable[..., Any],
    spec: tree.PyTreeSpec,
    types: Sequence[Input],
    xs: tuple[tree.PyTreeSpec, list[Input]] | None,
) -> Traced:
    carry = tree.unflatten(spec, list(range(len(types))))
    arguments: tuple[Any, ...] = (0, carry)
    # The number of an iteration is a Python int, as in a loop of Python's.
    inputs = [Input(Type(INT), weak=True), *types]
    if xs is not None:
        structure, slices = xs
        arguments += (tree.unflatten(structure, list(range(len(slices)))),)
        inputs += slices

    def whole(*args: Any) -> Any:
        carry, stacked = step(*args)
        found = tree.flatten(carry)[1]
        if found != spec:
            raise InputError(
                f"{name}: the carry begins as {spec} and becomes {found} "
                f"({source_line()}); expected the same structure"
            )
        return carry, stacked

    return trace(whole, tree.flatten((arguments, {}))[1], inputs, plain=True)


def _grown(made: Traced, types: Sequence[Input], weak: Sequence[bool]) -> list[Input]:
    """The carry's types, where numbers of Python take those that the body gives."""
    found = made.graph.output_types[: len(types)]
    return [
        Input(t) if w and t.shape == old.type.shape else old
        for t, old, w in zip(found, types, weak, strict=True)
    ]


def _check_carry(
    name: str, spec: tree.PyTreeSpec, types: Sequence[Input], made: Traced
) -> None:
    found = made.graph.output_types
    where = tree.paths(tree.unflatten(spec, list(range(len(types)))))
    for k, (old, new) in enumerate(zip(types, found, strict=False)):
        if old.type != new:
            raise ShapeError(
                f"{name}: carry{where[k]} begins as {old.type} and becomes {new} "
                f"({source_line()}); expected the same shape and dtype in every "
                "iteration: convert one of them, as in init.astype(...)"
            )


def repeat(
    running: Trace,
    body: Iteration,
    bound: int,
    arrays: Sequence[Any],
    *,
    head: Traced | None = None,
    count: Any = None,
    backwards: bool = False,
) -> list[Tracer]:
    """Add the loop to the running trace: its parts."""
    captured = [*body.traced.captured, *(head.captured if head else ())]
    shared = list({(id(t.builder), t.index): t for t in captured}.values())
    own = [Type(INT), *(t.type for t in body.types)]
    slices = body.traced.graph.input_types[len(own) : len(own) + len(arrays)]
    types = [*own, *(t.type for t in shared)]
    known = {(id(t.builder), t.index): len(own) + k for k, t in enumerate(shared)}

    def places(made: Traced, arrays: int) -> list[int]:
        later = [known[id(t.builder), t.index] for t in made.captured]
        last = len(types)
        return [*range(len(own)), *range(last, last + arrays), *later]

    graph = rearranged(
        body.traced.graph, [*types, *slices], places(body.traced, len(arrays))
    )
    loop = Loop(
        body=graph,
        head=rearranged(head.graph, types, places(head, 0)) if head else None,
        carried=body.count,
        shared=len(shared),
        slices=(None,) * len(arrays),
        written=len(graph.outputs) - body.count,
        bound=bound,
        counted=count is not None,
        backwards=backwards,
    )
    starts = [
        lift(running, x, t.type.dtype)
        for x, t in zip(body.starts, body.types, strict=True)
    ]
    counts = [lift(running, count, INT)] if count is not None else []
    operands = [*counts, *starts, *[lift(running, x) for x in (*shared, *arrays)]]
    parts = add_loop(running, loop, operands, running.line())
    return [Tracer(running, p, running.nodes[p].type) for p in parts]


def points_loop(
    running: Trace,
    body: Traced,
    values: Sequence[Tracer],
    same: Sequence[bool],
    count: int,
) -> list[Tracer]:
    """The results of a traced body at count points, along a new leading axis.

    values  for every argument of the body: what all points share where same, else an
            array whose leading axis is that of the points
    """  # fmt: skip
    shared = [x for x, s in zip(values, same, strict=True) if s]
    arrays = [x for x, s in zip(values, same, strict=True) if not s]
    kinds = body.graph.input_types
    order = [k for k, s in enumerate(same) if s]
    order += range(len(same), len(kinds))
    order += [k for k, s in enumerate(same) if not s]
    places = [1 + order.index(k) for k in range(len(kinds))]
    types = [Type(INT), *(kinds[k] for k in order)]
    loop = Loop(
        body=rearranged(body.graph, types, places),
        carried=0,
        shared=len(shared) + len(body.captured),
        slices=(None,) * len(arrays),
        written=len(body.graph.outputs),
        bound=count,
    )
    given = [lift(running, x) for x in (*shared, *body.captured, *arrays)]
    parts = add_loop(running, loop, given, running.line())[:-1]
    return [Tracer(running, p, running.nodes[p].type) for p in parts]


def array_leaf(x: Any) -> Any:
    """A leaf as a traced value or a NumPy array."""
    if isinstance(x, Tracer):
        return x
    if traced(x):
        running = current()
        assert running is not None
        return as_tracer(running, x)
    return plain_array(x)


def is_weak(x: Any) -> bool:
    """Whether a value has no dtype of its own, as a number of Python's."""
    return x.weak if isinstance(x, Tracer) else type(x) in (int, float)
