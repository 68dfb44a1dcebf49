"""Evaluating a graph: over NumPy arrays, over traced values, with or without a batch.

These are the reference semantics: each node means what its primitive's NumPy function
means.  A scalar graph can be evaluated over arrays with leading batch axes, since all
it computes is elementwise.  `inline` copies a graph into one that is being built.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from .bind import bind
from .branch import BRANCH, branch_of, take
from .call import CALL, add_call, custom_of
from .graph import CONST, ELEMENT, INPUT, PACK, Builder, Graph, Node, Type, arguments
from .loop import LOOP, PART, add_loop, loop_of, run
from .table import LOOKUP, SCATTER, add_up, look_up, terms_of, way_of
from .tracer import Tracer, innermost, lift


def interpret(graph: Graph, inputs: Sequence[Any], batch: int = 0) -> list[Any]:
    """The outputs of graph at inputs, all of which have `batch` leading axes.

    Inputs may have extent 1 along batch axes that they do not vary along.  A batch
    needs a scalar graph.
    """
    values: list[Any] = [None] * len(graph.nodes)
    given = dict(zip(graph.inputs, inputs, strict=True))
    with np.errstate(all="ignore"):
        for i, node in enumerate(graph.nodes):
            if node.primitive is INPUT:
                values[i] = given[i]
            else:
                values[i] = value_of(node, [values[a] for a in node.operands], batch)
    return [values[i] for i in graph.outputs]


def value_of(node: Node, operands: list[Any], batch: int = 0) -> Any:
    """The value of a node, or the list of its parts, from those of its operands."""
    if node.primitive in (LOOP, CALL, BRANCH):
        return _parts(node, operands, batch)
    if node.primitive is PART:
        return operands[0][node.index]
    return _evaluate(node, operands, batch)


def _evaluate(node: Node, operands: list[Any], batch: int) -> Any:
    primitive = node.primitive
    if primitive is CONST:
        value = node.value
        # The batch has a constant array in common.
        return value[(None,) * batch] if batch and node.type.shape else value
    if primitive is ELEMENT:
        (x,) = operands
        shape = x.shape[batch:]
        index = np.unravel_index(node.index, shape)
        return x[(slice(None),) * batch + tuple(int(i) for i in index)]
    if primitive is PACK:
        return _pack(operands, node, batch)
    if primitive is LOOKUP:
        x, index = operands
        return look_up(x, index, way_of(node), batch)
    if primitive is SCATTER:
        own = dict(zip(node.operands, operands, strict=True))
        arrays, terms = terms_of(node)
        given = [(way, own[i], own[v]) for way, i, v in terms]
        return add_up(node.type, [own[a] for a in arrays], given, batch)
    if primitive.name == "cast":
        (x,) = operands
        return x.astype(node.type.dtype)
    if primitive.kind == "elementwise":
        if any(isinstance(x, Tracer) for x in operands):
            return bind(primitive, operands, [None] * len(operands), node.type.dtype)
        return np.asarray(primitive.evaluate(*operands), node.type.dtype)[()]
    return evaluate_array_node(node, operands)


def evaluate_array_node(node: Node, operands: Sequence[Any]) -> Any:
    """A structure or composite node on arrays (or on arrays of positions)."""
    params = arguments(node)
    part = params.pop("part", None)
    result = node.primitive.evaluate(*operands, **params)
    return result if part is None else result[part]


def _parts(node: Node, operands: list[Any], batch: int) -> list[Any]:
    """The parts of a loop or call; of traced values, a node for every point."""
    if not any(isinstance(x, Tracer) for x in operands):
        if node.primitive is CALL:
            return interpret(custom_of(node).value, operands, batch)
        if node.primitive is BRANCH:
            return take(branch_of(node), operands, partial(interpret, batch=batch))
        lead = np.broadcast_shapes(
            (1,) * batch, *(np.shape(x)[:batch] for x in operands)
        )
        wide = [np.broadcast_to(x, lead + np.shape(x)[batch:]) for x in operands]

        def evaluate(graph: Graph, inputs: Sequence[Any]) -> list[Any]:
            return interpret(graph, inputs, batch)

        return run(loop_of(node), wide, evaluate, lead)
    trace = innermost(operands)
    lead = np.broadcast_shapes((1,) * batch, *(np.shape(x)[:batch] for x in operands))
    points = []
    for place in np.ndindex(lead):
        own = [lift(trace, _point(x, place)) for x in operands]
        parts = again(trace, node, own)
        points.append([Tracer(trace, p, trace.nodes[p].type) for p in parts])
    if not batch:
        return points[0]
    return [_batched(column, lead) for column in zip(*points, strict=True)]


def again(builder: Builder, node: Node, operands: Sequence[int]) -> list[int]:
    """The parts of the same loop or call, of other operands."""
    if node.primitive is CALL:
        return add_call(builder, custom_of(node), operands, node.line)
    return add_loop(builder, loop_of(node), operands, node.line)


def _point(x: Any, place: tuple[int, ...]) -> Any:
    """One point of a value, of which the batch may have only one along an axis."""
    extents = np.shape(x)[: len(place)]
    if not extents:
        # A constant has no batch axes.
        return x
    return x[tuple(k if n > 1 else 0 for k, n in zip(place, extents, strict=True))]


def _batched(column: Sequence[Tracer], lead: tuple[int, ...]) -> Any:
    return np.stack(column).reshape(lead + column[0].shape)


def _pack(operands: list[Any], node: Node, batch: int) -> Any:
    shape = node.type.shape
    # Constants have no batch axes of their own.
    lead = np.broadcast_shapes((1,) * batch, *(np.shape(x) for x in operands))
    if not operands:
        return np.zeros(lead + shape, node.type.dtype)
    assert len(lead) == batch
    whole = np.stack([np.broadcast_to(x, lead) for x in operands], axis=-1)
    return whole.reshape(lead + shape)


def inline(builder: Builder, graph: Graph, operands: Sequence[int]) -> list[int]:
    """The nodes of graph's outputs inside builder, its inputs being operands."""
    index: list[int] = [-1] * len(graph.nodes)
    for i, a in zip(graph.inputs, operands, strict=True):
        index[i] = a
    for i, node in enumerate(graph.nodes):
        if index[i] >= 0:
            continue
        index[i] = builder.copy(node, tuple([index[a] for a in node.operands]))
    return [index[i] for i in graph.outputs]


def rearranged(graph: Graph, types: Sequence[Type], places: Sequence[int]) -> Graph:
    """The same outputs for inputs of types; input k of graph is now places[k]."""
    builder = Builder()
    inputs = [builder.input(t) for t in types]
    return builder.finish(inline(builder, graph, [inputs[p] for p in places]))
