"""Whole arrays that are read, and added to, at computed places, in a scalar graph.

Comes: a node of an array graph, and its operands as scalars or whole arrays.  Goes: a
lookup for every element that it reads; nothing is made for the elements that it might
have read.  `read_at_places` says beforehand of which arrays a loop does so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitad.errors import UnsupportedError
from jitad.ir.bind import cast
from jitad.ir.call import CALL, custom_of
from jitad.ir.graph import (
    CONST,
    ELEMENT,
    INPUT,
    Graph,
    Node,
    Type,
    arguments,
    prune,
    reach,
)
from jitad.ir.loop import INT, LOOP, Loop, loop_of
from jitad.ir.table import LOOKUP, SCATTER, Way, add_lookup, add_scatter, pick, way_of
from jitad.ir.tracer import Trace, Tracer, lift
from jitad.primitives.arrays.gather import missing

from .whole import Whole, apart, as_node, viewed, whole

# Of so few places an index selects; of more it reads memory.
FEW = 8
# Constants of so many elements stay arrays where they are read at places.
_TABLE = 32

Value = np.ndarray | Whole


def at_places(builder: Trace, node: Node, operands: Sequence[Value]) -> Value | None:
    """What a node reads of, or adds up to, a whole array; None if it does neither."""
    if node.primitive is SCATTER:
        return _scatter(builder, node, operands)
    if node.primitive is LOOKUP:
        return _looked_up(builder, node, *operands)
    if node.primitive.name == "gather":
        return _gathered(builder, node, *operands)
    if node.primitive is CALL:
        _check_call(node, operands)
    array = operands[0] if operands else None
    if node.primitive is ELEMENT and isinstance(array, Whole):
        key = np.unravel_index(node.index, array.view.shape)
        place = array.offset + int(np.dot(key, array.view.strides))
        return np.asarray(pick(builder, array.index, place))
    return None


def _check_call(node: Node, operands: Sequence[Value]) -> None:
    """Refuse to hand the scalars of a large array to a call that looks some up."""
    value = custom_of(node).value
    large = {
        i: x.view.shape
        for i, x in zip(value.inputs, operands, strict=True)
        if isinstance(x, Whole)
    }
    source = {i: i for i in large}
    for i in _read(value, source) if large else ():
        raise UnsupportedError(
            f"a large array of shape {large[i]} is indexed by a traced integer inside "
            f"{custom_of(node).name} ({node.line}), a function with a derivative rule "
            "of its own or a checkpoint; index it outside, and pass on what was read"
        )


def _scatter(builder: Trace, node: Node, operands: Sequence[Value]) -> Whole:
    ways = node.value
    count = len(operands) - 2 * len(ways)
    arrays = [
        as_node(builder, x, Type(node.type.dtype, _shape(x))) for x in operands[:count]
    ]
    pairs = [int(apart(builder, x)) for x in operands[count:]]
    terms = list(zip(ways, pairs[::2], pairs[1::2], strict=True))
    return whole(builder, add_scatter(builder, node.type, arrays, terms))


def _shape(value: Value) -> tuple[int, ...]:
    return value.view.shape if isinstance(value, Whole) else value.shape


def whole_of(builder: Trace, value: Value) -> Whole:
    """A value as a view of an array node, which is made if there is none."""
    if isinstance(value, Whole):
        return value
    found = viewed(builder, value)
    if found is None:
        dtype = builder.nodes[value.flat[0]].type.dtype
        found = whole(builder, as_node(builder, value, Type(dtype, value.shape)))
    return found


def _looked_up(builder: Trace, node: Node, array: Value, index: Value) -> np.ndarray:
    """The same lookup in a view of an array node."""
    way = way_of(node)
    table, at = whole_of(builder, array), int(apart(builder, index))
    moved = _moved(table, way)
    if moved is None:
        type = Type(node.type.dtype, table.view.shape)
        table, moved = (
            whole(builder, as_node(builder, apart(builder, table), type)),
            way,
        )
    return np.asarray(add_lookup(builder, table.index, at, moved, node.line))


def _moved(table: Whole, way: Way) -> Way | None:
    """How the index names elements of the array that a table is a view of."""
    numbers = way.element + way.stride * np.arange(way.count)
    keys = np.unravel_index(numbers, table.view.shape)
    strides = table.view.strides
    found = np.full(numbers.shape, table.offset)
    for key, stride in zip(keys, strides, strict=True):
        found = found + key * stride
    step = int(found[1] - found[0]) if way.count > 1 else 1
    made = Way(int(found[0]), step, way.count)
    even = np.array_equal(found, made.places(np.arange(way.count)))
    return made if even and step > 0 else None


def _gathered(
    builder: Trace, node: Node, array: Value, *given: Value
) -> np.ndarray | None:
    """The elements that traced indices name; None where they had better select."""
    base, steps = arguments(node)["base"], arguments(node)["steps"]
    few = math.prod(extent for _, extent in steps) <= FEW
    if not base.size or (few and not isinstance(array, Whole)):
        return None
    table = array if isinstance(array, Whole) else viewed(builder, array)
    if table is None:
        return None
    shape, strides = table.view.shape, table.view.strides
    keys = np.unravel_index(base, shape)
    starts = np.full(base.shape, table.offset)
    for key, stride in zip(keys, strides, strict=True):
        starts = starts + key * stride
    indices = [apart(builder, x) for x in given]
    found, known = np.empty(base.shape, np.int64), {}
    dtype = builder.nodes[table.index].type.dtype
    for place in np.ndindex(base.shape):
        here = tuple([int(x[place]) for x in indices])
        if here not in known:
            known[here] = _named(builder, here, _own_steps(table, steps), steps)
        valid, index, way = known[here]
        own = way._replace(element=int(starts[place]) + way.element)
        value = add_lookup(builder, table.index, index, own, node.line)
        kind = builder.nodes[value].type
        chosen = np.where(valid, Tracer(builder, value, kind), missing(dtype))
        found[place] = lift(builder, chosen, dtype)
    return found


def _own_steps(table: Whole, steps: Sequence[tuple[int, int]]) -> list[int]:
    """How far apart the elements are, in the array itself, that an index steps over."""
    shape, strides = table.view.shape, table.view.strides
    own = {
        (math.prod(shape[k + 1 :]), n): s
        for k, (n, s) in enumerate(zip(shape, strides, strict=True))
    }
    return [own[step] if step[1] > 1 else 0 for step in steps]


def _named(
    builder: Trace,
    indices: Sequence[int],
    strides: Sequence[int],
    steps: Sequence[tuple[int, int]],
) -> tuple[Any, int, Way]:
    """Whether indices are in range; the one index that they make; and how it names."""
    common = max(1, math.gcd(*strides))
    valid: Any = np.True_
    terms: list[Any] = []
    first, last = 0, 0
    for i, stride, (_, extent) in zip(indices, strides, steps, strict=True):
        index = cast(Tracer(builder, i, builder.nodes[i].type), INT)
        valid = valid & (index >= 0) & (index < extent)
        if not stride:
            continue
        if stride < 0:
            # Counted from the other end.
            first += stride * (extent - 1)
            index = (extent - 1) - index
        scale = abs(stride) // common
        terms.append(index if scale == 1 else index * scale)
        last += abs(stride) // common * (extent - 1)
    index = lift(builder, sum(terms[1:], terms[0]) if terms else np.int64(0), INT)
    return valid, index, Way(first, common, last + 1)


# -- in loops ------------------------------------------------------------------


def read_at_places(loop: Loop) -> frozenset[int]:
    """The numbers of the shared arrays that the body of a loop reads at places."""
    nodes, shared = loop.body.nodes, loop.inputs.shared
    found = _read(
        loop.body, {i: k for k, i in enumerate(shared) if nodes[i].type.shape}
    )
    if loop.head is not None:
        asked = set(reach(loop.head.nodes, loop.head.outputs))
        own = loop.entering(loop.head.inputs).shared
        found -= {k for k in found if own[k] in asked}
    return frozenset(found)


def constants_at_places(graph: Graph) -> set[int]:
    """The constant arrays of a graph that are read at places, but for small ones."""
    large = {
        i: i
        for i, node in enumerate(graph.nodes)
        if node.primitive is CONST and node.type.size > _TABLE
    }
    return _read(graph, large) if large else set()


def _read(graph: Graph, source: dict[int, int]) -> set[int]:
    """Which of some nodes, given with their names, are read at places: the names."""
    found: set[int] = set()
    for i, node in enumerate(graph.nodes):
        read: list[int] = []
        if node.primitive is LOOP:
            inner = loop_of(node)
            _, _, same, _, tables = inner.split(node.operands)
            read = [*tables, *(same[k] for k in read_at_places(inner))]
        elif node.primitive is LOOKUP or _many(node):
            read = [node.operands[0]]
        elif node.primitive is SCATTER:
            read = list(node.operands)
        elif node.primitive.kind == "structure" and node.operands[0] in source:
            # A view of it, or what cannot be one, and is taken apart then.
            source[i] = source[node.operands[0]]
        found |= {source[a] for a in read if a in source}
    return found


def _many(node: Node) -> bool:
    """Whether a node is a gather that may name many places."""
    if node.primitive.name != "gather":
        return False
    return math.prod(extent for _, extent in arguments(node)["steps"]) > FEW


def may_stay_whole(loop: Loop) -> set[int]:
    """The numbers of a loop's operands that need not be scalars."""
    start = int(loop.counted) + loop.carried
    first = start + loop.shared
    rest = range(first, first + len(loop.slices) + loop.tables)
    return {*(start + k for k in read_at_places(loop)), *rest}


def tables_inside(
    builder: Trace, inner: Trace, given: Sequence[Value]
) -> tuple[list[Whole], list[int]]:
    """Arrays as the body of a loop sees them, and the array nodes that it is given."""
    inputs: dict[int, int] = {}
    made = []
    for value in given:
        table = whole_of(builder, value)
        if table.index not in inputs:
            inputs[table.index] = inner.input(builder.nodes[table.index].type)
        made.append(Whole(inputs[table.index], table.root, table.view))
    return made, list(inputs)


def without_constants(body: Graph) -> tuple[Graph, list[Node]]:
    """The body of a loop with its constant arrays as further inputs, and those."""
    used = reach(body.nodes, body.outputs)
    found = [
        i for i in used if body.nodes[i].primitive is CONST and body.nodes[i].type.shape
    ]
    if not found:
        return body, []
    nodes, inputs = list(body.nodes), list(body.inputs)
    for i in found:
        params = (("index", len(inputs)),)
        nodes[i] = nodes[i]._replace(primitive=INPUT, params=params)
        inputs.append(i)
    made = prune(nodes, inputs, body.outputs)
    return made, [body.nodes[i] for i in found]
