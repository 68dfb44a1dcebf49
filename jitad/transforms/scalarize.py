"""From an array graph to a scalar graph, whose nodes all have shape ().

Arrays become arrays of node indices.  Structures move the indices with the very NumPy
call they stand for; elementwise primitives are applied index by index; composites
expand over object arrays of traced scalars.  The result computes what the array graph
computes, and structural zeros and shared subexpressions are gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from jitad.errors import UnsupportedError
from jitad.ir.graph import (
    CONST,
    ELEMENT,
    INPUT,
    PACK,
    Builder,
    Graph,
    Node,
    Type,
    arguments,
    scalar,
)
from jitad.ir.interpret import evaluate_array_node
from jitad.ir.primitive import Primitive
from jitad.ir.tracer import Trace, Tracer, as_tracer, lift
from jitad.transforms.simplify import simplify

LIMIT = 400_000


def builder() -> Trace:
    """An empty scalar graph under construction, simplifying as it grows."""
    return Trace(level=1 << 30, simplify=simplify, lines=False)


def scalarize(graph: Graph) -> Graph:
    """The scalar graph of an array graph: same inputs, same outputs, packed.

    Raises UnsupportedError beyond some hundred thousand scalar operations.
    """
    target = builder()
    values: list[np.ndarray] = [np.empty(0, np.int64)] * len(graph.nodes)
    for i in graph.inputs:
        values[i] = elements(target, target.input(graph.nodes[i].type))
    for i, node in enumerate(graph.nodes):
        if node.primitive is INPUT:
            continue
        operands = [values[a] for a in node.operands]
        values[i] = _scalarize_node(target, node, operands)
        if len(target.nodes) > LIMIT:
            raise UnsupportedError(
                f"one point takes more than {LIMIT} scalar operations (at "
                f"{node.line or node.primitive.name}); use jitad.vmap for the axis of "
                "independent points, so that it is a batch and not part of the function"
            )
    outputs = [pack(target, values[i], graph.nodes[i].type) for i in graph.outputs]
    return target.finish(outputs)


def elements(target: Builder, index: int) -> np.ndarray:
    """The indices of an array node's scalars, in the array's shape."""
    type = target.nodes[index].type
    kind = scalar(type.dtype)
    ids = [
        target.add(ELEMENT, (index,), kind, (("index", k),)) for k in range(type.size)
    ]
    return np.array(ids, np.int64).reshape(type.shape)


def pack(target: Builder, ids: np.ndarray, type: Type) -> int:
    """The node that assembles an array of scalars."""
    operands = tuple(ids.ravel().tolist())
    return target.add(PACK, operands, type)


def unpack(graph: Graph) -> list[np.ndarray]:
    """For every output of a scalar graph the indices of its scalars, shaped."""
    found = []
    for i in graph.outputs:
        node = graph.nodes[i]
        assert node.primitive is PACK
        found.append(np.array(node.operands, np.int64).reshape(node.type.shape))
    return found


def _scalarize_node(
    target: Trace, node: Node, operands: Sequence[np.ndarray]
) -> np.ndarray:
    primitive = node.primitive
    if primitive is CONST:
        return _constants(target, node)
    if primitive is ELEMENT:
        return np.asarray(operands[0].flat[node.params[0][1]])
    if primitive is PACK:
        flat = [int(o) for o in operands]
        return np.array(flat, np.int64).reshape(node.type.shape)
    if primitive.kind == "elementwise":
        return _elementwise(target, node, operands)
    if primitive.kind == "structure":
        return _structure(target, node, operands)
    return _composite(target, node, operands)


def _constants(target: Trace, node: Node) -> np.ndarray:
    value = np.asarray(node.params[0][1].value)
    ids = [target.const(v) for v in value.ravel()]
    return np.array(ids, np.int64).reshape(value.shape)


def _elementwise(
    target: Trace, node: Node, operands: Sequence[np.ndarray]
) -> np.ndarray:
    kind = scalar(node.type.dtype)
    if not node.type.shape:
        ids = tuple([int(o) for o in operands])
        return np.asarray(apply(target, node.primitive, ids, kind))
    spread = [np.broadcast_to(o, node.type.shape).ravel().tolist() for o in operands]
    ids = [
        apply(target, node.primitive, args, kind) for args in zip(*spread, strict=True)
    ]
    return np.array(ids, np.int64).reshape(node.type.shape)


def _structure(target: Trace, node: Node, operands: Sequence[np.ndarray]) -> np.ndarray:
    """Move positions by NumPy's own call; position 0 is the zero that it fills in."""
    start, positions = 1, []
    for o in operands:
        positions.append(np.arange(start, start + o.size).reshape(o.shape))
        start += o.size
    moved = np.asarray(evaluate_array_node(node, positions))
    zero = -1
    if moved.size and moved.min() == 0:
        zero = target.number(0.0, node.type.dtype)
    flat = np.concatenate([np.array([zero]), *(o.ravel() for o in operands)])
    return flat[moved]


def _composite(target: Trace, node: Node, operands: Sequence[np.ndarray]) -> np.ndarray:
    assert node.primitive.expand is not None
    arrays = [tracers(target, o) for o in operands]
    result = np.asarray(node.primitive.expand(*arrays, **arguments(node)), object)
    ids = [lift(target, v, node.type.dtype) for v in result.ravel()]
    return np.array(ids, np.int64).reshape(node.type.shape)


def tracers(target: Trace, ids: np.ndarray) -> np.ndarray:
    """An object array of traced scalars from an array of node indices."""
    result = np.empty(ids.shape, object)
    for place, i in np.ndenumerate(ids):
        result[place] = Tracer(target, int(i), target.nodes[i].type)
    return result


# -- scalar applications -------------------------------------------------------


def apply(
    target: Builder, primitive: Primitive, operands: tuple[int, ...], type: Type
) -> int:
    """Apply a scalar primitive; one that is only an expansion is expanded at once."""
    if primitive.word is None and primitive.partials is None:
        return expand(target, primitive, operands, type)
    return target.apply(primitive, operands, type)


def expand(
    target: Builder, primitive: Primitive, operands: tuple[int, ...], type: Type
) -> int:
    """The node of a primitive's expansion over scalar operands."""
    dtypes = tuple([target.nodes[a].type.dtype for a in operands])
    return instantiate(target, expansion(primitive, dtypes, type.dtype), operands)[0]


def instantiate(target: Builder, template: Graph, operands: Sequence[int]) -> list[int]:
    """Copy a small scalar graph into target; its inputs are operands."""
    nodes = template.nodes
    index = [0] * len(nodes)
    for i, a in zip(template.inputs, operands, strict=True):
        index[i] = a
    for i in range(len(template.inputs), len(nodes)):
        primitive, args, params, type, _ = nodes[i]
        if primitive is CONST:
            index[i] = target.add(CONST, (), type, params)
        else:
            ids = tuple([index[a] for a in args])
            index[i] = apply(target, primitive, ids, type)
    return [index[i] for i in template.outputs]


@lru_cache(maxsize=4096)
def expansion(
    primitive: Primitive, dtypes: tuple[np.dtype, ...], dtype: np.dtype
) -> Graph:
    """A primitive's expansion as a small scalar graph."""
    assert primitive.expand is not None, f"{primitive} has neither word nor expansion"
    target = builder()
    args = [as_input(target, d) for d in dtypes]
    value = as_tracer(target, primitive.expand(*args), dtype)
    return target.finish([value.index])


def as_input(target: Trace, dtype: np.dtype) -> Tracer:
    """A scalar input of a template."""
    type = scalar(dtype)
    return Tracer(target, target.input(type), type)


@lru_cache(maxsize=4096)
def partials(
    primitive: Primitive, dtypes: tuple[np.dtype, ...], dtype: np.dtype
) -> tuple[Graph, tuple[int, ...]]:
    """A primitive's partials as a scalar graph of (y, *x), and for which operands.

    Operands with no entry have a derivative of zero, everywhere.
    """
    if primitive.partials is None:
        return Graph((), (), ()), ()
    target = builder()
    y = as_input(target, dtype)
    args = [as_input(target, d) for d in dtypes]
    found = primitive.partials(y, *args)
    assert len(found) == len(args), f"{primitive} states {len(found)} partials"
    active = tuple(
        k for k, p in enumerate(found) if p is not None and dtypes[k].kind == "f"
    )
    # A result that does not depend on its operands is a number, and stays one.
    outputs = [as_tracer(target, found[k], dtype).index for k in active]
    return target.finish(outputs), active
