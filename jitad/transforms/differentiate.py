"""Pushforward and pullback of a scalar graph, and the arithmetic that all modes share.

    pushforward   (x -> y)  ->  (x, x_dot -> y, y_dot)
    pullback      (x -> y)  ->  (x, y_bar -> y, x_bar)

`Linearized` holds a graph's local partials as edges, in one builder with its values;
forward, reverse and cross-country accumulation only multiply and add along them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitad.ir.graph import Graph, Type, reach, scalar
from jitad.ir.interpret import inline
from jitad.ir.primitive import registry
from jitad.ir.tracer import Trace
from jitad.transforms import scalarize as sc


@dataclass(frozen=True, eq=False)
class Linearized:
    """A scalar graph and its local partials, inside one builder.

    inputs    input nodes; elements[k] the scalars of input k
    outputs   scalars of every output, shaped as it is
    edges     edges[v] = ((operand, partial), …) for active nodes v, in evaluation order
    """

    target: Trace
    inputs: tuple[int, ...]
    elements: tuple[np.ndarray, ...]
    outputs: tuple[np.ndarray, ...]
    types: tuple[Type, ...]
    edges: dict[int, tuple[tuple[int, int], ...]]


def linearize(graph: Graph, wrt: Sequence[int]) -> Linearized:
    """Copy a scalar graph into a builder and add the partials along paths from wrt."""
    target = sc.builder()
    inputs = tuple([target.input(t) for t in graph.input_types])
    elements = tuple([sc.elements(target, i) for i in inputs])
    packed = inline(target, graph, inputs)
    outputs = tuple([_scalars(target, i) for i in packed])
    roots = [int(e) for o in outputs for e in o.ravel()]
    active = {int(e) for k in wrt for e in elements[k].ravel()}
    edges: dict[int, tuple[tuple[int, int], ...]] = {}
    for v in reach(target.nodes, roots):
        node = target.nodes[v]
        if node.primitive.kind == "elementwise" and not active.isdisjoint(
            node.operands
        ):
            found = _edges(target, v, active)
            if found:
                edges[v] = found
                active.add(v)
    return Linearized(target, inputs, elements, outputs, graph.output_types, edges)


def _scalars(target: Trace, index: int) -> np.ndarray:
    node = target.nodes[index]
    return np.array(node.operands, np.int64).reshape(node.type.shape)


def _edges(target: Trace, v: int, active: set[int]) -> tuple[tuple[int, int], ...]:
    _, operands, _, type, _ = target.nodes[v]
    primitive = target.nodes[v].primitive
    dtypes = tuple([target.nodes[a].type.dtype for a in operands])
    template, slots = sc.partials(primitive, dtypes, type.dtype)
    if not slots:
        return ()
    found: dict[int, int] = {}
    partials = sc.instantiate(target, template, (v, *operands))
    for slot, partial in zip(slots, partials, strict=True):
        a = operands[slot]
        if a in active and _nonzero(target.values[partial]):
            found[a] = add(target, found[a], partial) if a in found else partial
    return tuple(found.items())


def _nonzero(value: Any) -> bool:
    """Whether a partial, None unless it is a constant, can contribute anything."""
    return value is None or value != 0


# -- products and sums of derivatives ------------------------------------------


def multiply(target: Trace, p: int, t: int) -> int:
    """p * t, where a gate on either side keeps its exact zero."""
    nodes = target.nodes
    for a, b in ((p, t), (t, p)):
        if nodes[a].primitive.name == "gate":
            condition, factor = nodes[a].operands
            return _gated(target, condition, multiply(target, factor, b))
    p, t, type = _common(target, p, t)
    return target.apply(registry.primitives["mul"], (p, t), type)


def _gated(target: Trace, condition: int, value: int) -> int:
    """The value under a condition; a gate in a gate is one, open where both are.

    So every gate says by itself where the term is there, and sums can tell.
    """
    node = target.nodes[value]
    if node.primitive.name == "gate":
        inner, value = node.operands
        both = registry.primitives["and"]
        condition = target.apply(both, (condition, inner), target.nodes[inner].type)
    gate, type = registry.primitives["gate"], target.nodes[value].type
    return target.apply(gate, (condition, value), type)


def add(target: Trace, a: int, b: int) -> int:
    """a + b; a sum of gated terms is gated by either, or is the one that is there."""
    nodes = target.nodes
    if nodes[a].primitive.name == nodes[b].primitive.name == "gate":
        (c, x), (d, y) = nodes[a].operands, nodes[b].operands
        gate = registry.primitives["gate"]
        if c == d:
            return _gated(target, c, add(target, x, y))
        if _opposite(target, c, d):
            return _chosen(target, c, x, y)
        total = _sum(target, a, b)
        either = target.apply(registry.primitives["or"], (c, d), nodes[c].type)
        return target.apply(gate, (either, total), nodes[total].type)
    return _sum(target, a, b)


def _opposite(target: Trace, c: int, d: int) -> bool:
    """Whether one of two conditions is the negation of the other."""
    pairs = ((c, d), (d, c))
    return any(
        target.nodes[p].primitive.name == "not" and target.nodes[p].operands == (q,)
        for p, q in pairs
    )


def _chosen(target: Trace, condition: int, a: int, b: int) -> int:
    """a where condition holds, else b: the sum of two terms of which one is gone."""
    a, b, type = _common(target, a, b)
    return target.apply(registry.primitives["select"], (condition, a, b), type)


def _sum(target: Trace, a: int, b: int) -> int:
    a, b, type = _common(target, a, b)
    return target.apply(registry.primitives["add"], (a, b), type)


def _common(target: Trace, a: int, b: int) -> tuple[int, int, Type]:
    left, right = target.nodes[a].type, target.nodes[b].type
    if left is right or left == right:
        return a, b, left
    type = scalar(np.promote_types(left.dtype, right.dtype))
    return cast(target, a, type.dtype), cast(target, b, type.dtype), type


def cast(target: Trace, index: int, dtype: np.dtype) -> int:
    """A scalar converted to dtype."""
    return target.apply(registry.primitives["cast"], (index,), scalar(dtype))


# -- one seed ------------------------------------------------------------------


def forward(line: Linearized, seeds: dict[int, int]) -> dict[int, int]:
    """Tangents of all nodes that depend on seeded ones: {node: tangent}."""
    target, tangents = line.target, dict(seeds)
    for v, edges in line.edges.items():
        total = None
        for a, p in edges:
            t = tangents.get(a)
            if t is not None:
                term = multiply(target, p, t)
                total = term if total is None else add(target, total, term)
        if total is not None:
            tangents[v] = total
    return tangents


def reverse(line: Linearized, seeds: dict[int, int]) -> dict[int, int]:
    """Cotangents of all nodes that seeded ones depend on: {node: cotangent}."""
    target, cotangents = line.target, dict(seeds)
    for v in reversed(line.edges):
        bar = cotangents.get(v)
        if bar is None:
            continue
        for a, p in line.edges[v]:
            term = multiply(target, p, bar)
            old = cotangents.get(a)
            cotangents[a] = term if old is None else add(target, old, term)
    return cotangents


def pushforward(graph: Graph, wrt: Sequence[int]) -> Graph:
    """(x -> y)  ->  (x, x_dot -> y, y_dot), x_dot for the inputs in wrt.

    y_dot is there for floating-point outputs, in order.
    """
    line = linearize(graph, wrt)
    target, seeds = line.target, {}
    for k in wrt:
        dots = sc.elements(target, target.input(target.nodes[line.inputs[k]].type))
        own = line.elements[k].ravel().tolist()
        seeds |= zip(own, dots.ravel().tolist(), strict=True)
    tangents = forward(line, seeds)
    outputs = values(line)
    for ids, type in zip(line.outputs, line.types, strict=True):
        if type.dtype.kind == "f":
            outputs.append(gather(target, tangents, ids, type))
    return target.finish(outputs)


def pullback(graph: Graph, wrt: Sequence[int]) -> Graph:
    """(x -> y)  ->  (x, y_bar -> y, x_bar), y_bar for the floating-point outputs."""
    line = linearize(graph, wrt)
    target, seeds = line.target, {}
    for ids, type in zip(line.outputs, line.types, strict=True):
        if type.dtype.kind != "f":
            continue
        bars = sc.elements(target, target.input(type))
        for v, bar in zip(ids.ravel().tolist(), bars.ravel().tolist(), strict=True):
            seeds[v] = add(target, seeds[v], bar) if v in seeds else bar
    cotangents = reverse(line, seeds)
    outputs = values(line)
    for k in wrt:
        type = target.nodes[line.inputs[k]].type
        outputs.append(gather(target, cotangents, line.elements[k], type))
    return target.finish(outputs)


def values(line: Linearized) -> list[int]:
    """The packed outputs of the graph itself."""
    pairs = zip(line.outputs, line.types, strict=True)
    return [sc.pack(line.target, ids, type) for ids, type in pairs]


def gather(target: Trace, found: dict[int, int], ids: np.ndarray, type: Type) -> int:
    """Pack the derivatives of scalars ids, zero where there is none."""
    zero = target.number(0.0, type.dtype)
    flat = [cast(target, found.get(v, zero), type.dtype) for v in ids.ravel().tolist()]
    return target.add(sc.PACK, tuple(flat), type)
