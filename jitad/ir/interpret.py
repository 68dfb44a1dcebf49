"""Evaluating a graph: over NumPy arrays, over traced values, with or without a batch.

These are the reference semantics: each node means what its primitive's NumPy function
means.  A scalar graph can be evaluated over arrays with leading batch axes, since all
it computes is elementwise.  `inline` copies a graph into one that is being built.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitad.ir.graph import (
    CONST,
    ELEMENT,
    INPUT,
    PACK,
    Builder,
    Graph,
    Node,
    arguments,
)
from jitad.ir.tracer import Tracer, bind


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
                values[i] = _evaluate(node, [values[a] for a in node.operands], batch)
    return [values[i] for i in graph.outputs]


def _evaluate(node: Node, operands: list[Any], batch: int) -> Any:
    primitive = node.primitive
    if primitive is CONST:
        return node.params[0][1].value
    if primitive is ELEMENT:
        (x,) = operands
        shape = x.shape[batch:]
        index = np.unravel_index(node.params[0][1], shape)
        return x[(slice(None),) * batch + tuple(int(i) for i in index)]
    if primitive is PACK:
        return _pack(operands, node, batch)
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
        args = tuple([index[a] for a in node.operands])
        if node.primitive.kind == "elementwise":
            index[i] = builder.apply(node.primitive, args, node.type, node.line)
        else:
            index[i] = builder.add(
                node.primitive, args, node.type, node.params, node.line
            )
    return [index[i] for i in graph.outputs]
