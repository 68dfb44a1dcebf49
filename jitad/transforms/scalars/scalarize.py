"""From an array graph to a scalar graph, whose nodes all have shape ().

Arrays become arrays of node indices.  Structures move the indices with the very NumPy
call they stand for; elementwise primitives are applied index by index; composites
expand over object arrays of traced scalars.  The result computes what the array graph
computes, and structural zeros and shared subexpressions are gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jitad.errors import UnsupportedError
from jitad.ir.call import CALL, add_call, custom_of
from jitad.ir.graph import (
    CONST,
    ELEMENT,
    INPUT,
    MOST_OPERATIONS,
    PACK,
    Builder,
    Graph,
    Node,
    Type,
    arguments,
    prune,
    scalar,
)
from jitad.ir.loop import INT, LOOP, PART, Loop, add_loop, loop_of
from jitad.ir.primitive import registry
from jitad.ir.table import SCATTER
from jitad.ir.tracer import Trace, Tracer, lift
from jitad.ir.whole import WHOLE, Held, held_by

from .adding import adding
from .counted import beyond, positions
from .ranges import alike_inside, known
from .tables import (
    at_places,
    constants_at_places,
    may_stay_whole,
    read_at_places,
    tables_inside,
    without_constants,
)
from .templates import apply, new_builder
from .totals import totals
from .whole import (
    EAGER,
    Whole,
    apart,
    as_node,
    check_size,
    moved,
    places,
    scalars,
    whole,
)


def scalarize(graph: Graph) -> Graph:
    """The scalar graph of an array graph: same inputs, same outputs, packed.

    Raises UnsupportedError beyond some hundred thousand scalar operations.
    """
    graph = totals(graph)
    _check_limits(graph)
    long = beyond(graph, MOST_OPERATIONS)
    if long is not None:
        raise _too_long(long)
    builder = new_builder()
    given = [_given(builder, builder.input(t)) for t in graph.input_types]
    made = unroll(builder, graph, given, lasting=True)
    types = graph.output_types
    outputs = [_result(builder, x, t) for x, t in zip(made, types, strict=True)]
    return builder.finish(outputs)


def _result(builder: Trace, value: np.ndarray | Whole, type: Type) -> int:
    """A result as one node: scalars packed, or an array that was added up."""
    summed = isinstance(value, Whole) and builder.nodes[value.index].primitive in (
        SCATTER, PART
    )  # fmt: skip
    if summed and type.size > EAGER:
        return as_node(builder, value, type)
    return pack(builder, apart(builder, value), type)


def _given(builder: Trace, index: int) -> np.ndarray | Whole:
    """An array's scalars, or the whole of a large one."""
    size = builder.nodes[index].type.size
    return elements(builder, index) if size <= EAGER else whole(builder, index)


def unroll(
    builder: Trace,
    graph: Graph,
    inputs: Sequence[np.ndarray | Whole],
    *,
    lasting: bool = False,
) -> list[np.ndarray | Whole]:
    """The scalars of a graph's outputs inside builder; inputs are scalars, shaped.

    lasting  whether large constants stay arrays
    """
    values: list[Any] = [None] * len(graph.nodes)
    for i, ids in zip(graph.inputs, inputs, strict=True):
        values[i] = ids
    tabled = constants_at_places(graph)
    for i, node in enumerate(graph.nodes):
        if node.primitive is INPUT:
            continue
        operands = [values[a] for a in node.operands]
        if node.primitive.kind == "elementwise" and Whole not in map(type, operands):
            values[i] = _elementwise(builder, node, operands)
        elif node.primitive is CONST and (i in tabled or (lasting and _large(node))):
            values[i] = whole(builder, builder.add(CONST, (), node.type, node.params))
        else:
            values[i] = _unrolled(builder, node, operands, values)
        if len(builder.nodes) > MOST_OPERATIONS:
            raise _too_long(node)
    return [values[i] for i in graph.outputs]


def _unrolled(
    builder: Trace, node: Node, operands: Sequence[Any], values: list[Any]
) -> Any:
    """The scalars of a node of any kind, or its parts; values are those so far."""
    found = at_places(builder, node, operands)
    if found is not None:
        return found
    if node.primitive is LOOP:
        kept = may_stay_whole(loop_of(node))
        _apart(builder, values, [a for p, a in enumerate(node.operands)
                                if p not in kept])  # fmt: skip
        return scalar_loop(builder, node, [values[a] for a in node.operands])
    if Whole in map(type, operands):
        found = _moved(node, operands)
        if found is not None:
            return found
        operands = _apart(builder, values, node.operands)
    if node.primitive is CALL:
        return scalar_call(builder, node, operands)
    if node.primitive is WHOLE:
        return _scalar_whole(builder, held_by(node), operands)
    if node.primitive is PART:
        return operands[0][node.index]
    return _scalarize_node(builder, node, operands)


def _check_limits(graph: Graph) -> None:
    """Raise where a node is too large to be written out, before any is."""
    for node in graph.nodes:
        if node.primitive.limit is not None:
            types = [graph.nodes[a].type for a in node.operands]
            line = node.line or node.primitive.name
            node.primitive.limit(line, *types, **arguments(node))


def _nested(
    builder: Trace, graph: Graph, inputs: Sequence[np.ndarray | Whole]
) -> list[np.ndarray | Whole]:
    """As `unroll`, of a graph inside of the one that has been looked at."""
    _check_limits(graph)
    return unroll(builder, graph, inputs)


def _too_long(node: Node) -> UnsupportedError:
    return UnsupportedError(
        f"one point takes more than {MOST_OPERATIONS} scalar operations (at "
        f"{node.line or node.primitive.name}); use jitad.vmap for the axis of "
        "independent points, so that it is a batch and not part of the "
        "function, or jitad.scan for steps that follow one another"
    )


def _large(node: Node) -> bool:
    return node.type.size > EAGER


def _moved(node: Node, operands: Sequence[np.ndarray | Whole]) -> Whole | None:
    """A structure of a whole array, if it still is one."""
    array = operands[0]
    if node.primitive.kind != "structure" or not isinstance(array, Whole):
        return None
    return moved(array, node) if len(operands) == 1 else None


def _apart(builder: Trace, values: list[Any], wanted: Sequence[int]) -> list[Any]:
    """Values as scalars, from now on."""
    for i in wanted:
        if isinstance(values[i], Whole):
            values[i] = scalars(builder, values[i])
    return [values[i] for i in wanted]


# -- calls and loops -----------------------------------------------------------


def scalar_call(
    builder: Trace, node: Node, operands: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """The parts of a call over scalars, each an array of their indices, shaped."""
    custom = custom_of(node)
    scalars = replace(
        custom,
        value=scalar_graph(custom.value),
        state=lambda: scalar_graph(custom.rule),
    )
    left = iter(add_call(builder, scalars, _flat(operands), node.line))
    return [
        np.array([next(left) for _ in range(t.size)], np.int64).reshape(t.shape)
        for t in custom.types()
    ]


def _scalar_whole(
    builder: Trace, held: Held, operands: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """The parts of a transformed function, each with what derivatives are taken of."""
    graph, side, slopes = held.scalars()
    found = [apart(builder, x) for x in _nested(builder, graph, operands)]
    if side is None:
        return found
    either, made = registry.primitives["either"], []
    other = [apart(builder, x) for x in _nested(builder, side, operands)]
    for k, (a, b) in enumerate(zip(found, other, strict=True)):
        part = a.copy()
        for place, i in np.ndenumerate(a):
            kind, j = builder.nodes[i].type, int(b[place])
            if kind.dtype.kind == "f" and (k in slopes or i != j):
                part[place] = builder.apply(either, (int(i), j), kind)
        made.append(part)
    return made


def scalar_graph(graph: Graph) -> Graph:
    """A graph whose inputs and outputs are the scalars of another's, all apart."""
    inner = new_builder()
    inputs = []
    for type in graph.input_types:
        ids = [inner.input(scalar(type.dtype)) for _ in range(type.size)]
        inputs.append(np.array(ids, np.int64).reshape(type.shape))
    scalars = [apart(inner, x) for x in _nested(inner, graph, inputs)]
    made = zip(scalars, graph.output_types, strict=True)
    return inner.finish(_flat([_cast_all(inner, ids, t.dtype) for ids, t in made]))


def scalar_loop(
    builder: Trace, node: Node, operands: Sequence[Any]
) -> list[np.ndarray | Whole]:
    """The parts of a loop over scalars, each an array of their indices, shaped."""
    loop = loop_of(node)
    split = loop.split(operands)
    _, carried, same, arrays, given = split
    read = read_at_places(loop)
    shared = [x for k, x in enumerate(same) if k not in read]
    given = [*(same[k] for k in sorted(read)), *given]
    reads = [
        _reads(builder, x, s, loop) for x, s in zip(arrays, loop.slices, strict=True)
    ]
    varying = [x for r in reads for x in r.flat if isinstance(x, Read)]
    # What every iteration reads alike is shared.
    alike = np.array([x for r in reads for x in r.flat if not isinstance(x, Read)], int)
    inner = new_builder()
    count = None if split.count is None else int(split.count)
    index, *outer = _inside(inner, builder, [*carried], [*shared, alike])
    known(inner, index, loop.bound, builder, count)
    alike_inside(inner, outer[len(carried) :], builder, [*shared, alike])
    slots = iter([inner.input(scalar(r.dtype)) for r in varying])
    again = iter(outer.pop().tolist())
    slices = [_slots(r, slots, again) for r in reads]
    tables, sources = tables_inside(builder, inner, given)
    inside = _with_tables(outer, loop, read, tables)
    made = _nested(inner, loop.body, [index, *inside, *slices, *tables[len(read) :]])
    pairs = loop.leaving([*zip(made, loop.body.output_types, strict=True)])
    outputs = [
        _cast_all(inner, apart(inner, x), t.dtype)
        for x, t in (*pairs.carried, *pairs.written)
    ]
    sums = [as_node(inner, x, t) for x, t in pairs.summed]
    whole_body = prune(inner.nodes, inner.inputs, (*_flat(outputs), *sums))
    body, constants = without_constants(whole_body)
    sources += [builder.add(CONST, (), c.type, c.params) for c in constants]
    head = None
    if loop.head is not None:
        test = new_builder()
        index, *outer = _inside(test, builder, [*carried], [*shared, alike])
        known(test, index, loop.bound, builder, count)
        alike_inside(test, outer[len(carried) :], builder, [*shared, alike])
        outer.pop()
        inside = _with_tables(outer, loop, read, tables)
        (alive,) = _nested(test, loop.head, [index, *inside])
        head = test.finish([int(apart(test, alive))])
    starts = _flat(carried)
    alike = [i for i in _flat([*shared, alike]) if builder.values[i] is None]
    scalars = Loop(
        body=body,
        head=head,
        carried=len(starts),
        shared=len(alike),
        slices=tuple([(r.offset, r.stride) for r in varying]),
        written=len(_flat(loop.leaving(outputs).written)),
        bound=loop.bound,
        counted=loop.counted,
        backwards=loop.backwards,
        tables=len(sources),
        summed=len(sums),
    )
    counts = [] if count is None else [count]
    sources = [*(r.array for r in varying), *sources]
    parts = add_loop(
        builder, adding(scalars), [*counts, *starts, *alike, *sources], node.line
    )
    return _shaped(builder, parts, outputs, loop)


def _with_tables(
    scalars: Sequence[np.ndarray],
    loop: Loop,
    read: frozenset[int],
    tables: Sequence[Whole],
) -> list[np.ndarray | Whole]:
    """What is carried and what is shared inside a loop, in its own order."""
    plain, found = iter(scalars), iter(tables)
    carried = [next(plain) for _ in range(loop.carried)]
    shared = [next(found if k in read else plain) for k in range(loop.shared)]
    return [*carried, *shared]


@dataclass(frozen=True, slots=True)
class Read:
    """A scalar that a loop reads from an array node: offset + iteration * stride."""

    array: int
    offset: int
    stride: int
    dtype: np.dtype


def _reads(
    builder: Trace, ids: np.ndarray | Whole, how: tuple[int, int] | None, loop: Loop
) -> np.ndarray:
    """What an iteration reads of an array: a Read, or a scalar that is always it."""
    steps = loop.bound
    if isinstance(ids, Whole):
        if how is None and steps:
            return _slice(builder, ids)
        ids = scalars(builder, ids)
    if how is not None:
        offset, stride = how
        ids = ids.ravel()[offset + stride * np.arange(steps)]
    columns = ids.reshape(len(ids), -1)
    found = np.empty(columns.shape[1], object)
    for k in range(columns.shape[1]):
        found[k] = _read(builder, columns[:, k].tolist())
    return found.reshape(ids.shape[1:])


def _slice(builder: Trace, array: Whole) -> np.ndarray:
    """What an iteration reads of a whole array, along its leading axis."""
    dtype, step = builder.nodes[array.index].type.dtype, array.view.strides[0]
    own = array.offset + places(array.view[0])
    found = np.empty(own.shape, object)
    for place, offset in np.ndenumerate(own):
        found[place] = Read(array.index, int(offset), step, dtype)
    return found


def _read(builder: Trace, ids: list[int]) -> Read | int:
    if len(set(ids)) == 1:
        return ids[0]
    nodes = [builder.nodes[i] for i in ids]
    dtype = nodes[0].type.dtype
    sources = {n.operands for n in nodes if n.primitive is ELEMENT}
    if len(sources) == 1 and all(n.primitive is ELEMENT for n in nodes):
        places = [n.index for n in nodes]
        stride = places[1] - places[0]
        if places == [places[0] + k * stride for k in range(len(ids))]:
            return Read(nodes[0].operands[0], places[0], stride, dtype)
    packed = builder.add(PACK, tuple(ids), Type(dtype, (len(ids),)))
    return Read(packed, 0, 1, dtype)


def _inside(
    inner: Trace,
    builder: Trace,
    carried: Sequence[np.ndarray],
    shared: Sequence[np.ndarray],
) -> list[np.ndarray]:
    """Inputs of a body: the index, what is carried, and what is shared but no constant.

    Constants of the enclosing graph are constants inside.
    """
    made = [np.asarray(inner.input(scalar(INT)))]
    for k, ids in enumerate((*carried, *shared)):
        flat = []
        for i in ids.ravel().tolist():
            known = builder.values[i] if k >= len(carried) else None
            type = builder.nodes[i].type
            flat.append(inner.input(type) if known is None else inner.const(known))
        made.append(np.array(flat, np.int64).reshape(ids.shape))
    return made


def _slots(reads: np.ndarray, slots: Iterator[int], again: Iterator[int]) -> np.ndarray:
    """The inputs of a body that stand for what an iteration reads."""
    made = [next(slots if isinstance(r, Read) else again) for r in reads.flat]
    return np.array(made, np.int64).reshape(reads.shape)


def _cast_all(builder: Trace, ids: np.ndarray, dtype: np.dtype) -> np.ndarray:
    made = [lift(builder, Tracer(builder, i, builder.nodes[i].type), dtype)
            for i in ids.ravel().tolist()]  # fmt: skip
    return np.array(made, np.int64).reshape(ids.shape)


def _flat(arrays: Sequence[np.ndarray]) -> list[int]:
    return [i for ids in arrays for i in ids.ravel().tolist()]


def _shaped(
    builder: Trace, parts: Sequence[int], outputs: Sequence[np.ndarray], loop: Loop
) -> list[np.ndarray | Whole]:
    """The parts of a loop over scalars as those of the loop over arrays."""
    left = iter(parts)
    made: list[np.ndarray | Whole] = []
    for k, ids in enumerate(outputs):
        own = np.array([next(left) for _ in range(ids.size)], np.int64)
        if k < loop.carried:
            made.append(own.reshape(ids.shape))
            continue
        columns = [elements(builder, int(i)) for i in own]
        table = np.array(columns, np.int64).reshape(len(own), loop.bound)
        made.append(table.T.reshape((loop.bound, *ids.shape)))
    made += [whole(builder, next(left)) for _ in range(loop.summed)]
    return [*made, np.asarray(next(left))]


def elements(builder: Builder, index: int) -> np.ndarray:
    """The indices of an array node's scalars, in the array's shape."""
    type = builder.nodes[index].type
    check_size(type)
    kind = scalar(type.dtype)
    ids = [
        builder.add(ELEMENT, (index,), kind, (("index", k),)) for k in range(type.size)
    ]
    return np.array(ids, np.int64).reshape(type.shape)


def pack(builder: Builder, ids: np.ndarray, type: Type) -> int:
    """The node that assembles an array of scalars."""
    operands = tuple(ids.ravel().tolist())
    return builder.add(PACK, operands, type)


def unpack(graph: Graph) -> list[np.ndarray]:
    """For every output of a scalar graph the indices of its scalars, shaped."""
    found = []
    for i in graph.outputs:
        node = graph.nodes[i]
        assert node.primitive is PACK
        found.append(np.array(node.operands, np.int64).reshape(node.type.shape))
    return found


def _scalarize_node(
    builder: Trace, node: Node, operands: Sequence[np.ndarray]
) -> np.ndarray:
    primitive = node.primitive
    if primitive is CONST:
        return _constants(builder, node)
    if primitive is ELEMENT:
        return np.asarray(operands[0].flat[node.index])
    if primitive is PACK:
        flat = [int(o) for o in operands]
        return np.array(flat, np.int64).reshape(node.type.shape)
    if primitive.kind == "elementwise":
        return _elementwise(builder, node, operands)
    if primitive.kind == "structure":
        return _structure(builder, node, operands)
    return _composite(builder, node, operands)


def _constants(builder: Trace, node: Node) -> np.ndarray:
    value = node.value
    if isinstance(value, np.generic):
        return np.asarray(builder.add(CONST, (), node.type, node.params))
    ids = [builder.const(v) for v in value.ravel()]
    return np.array(ids, np.int64).reshape(value.shape)


def _elementwise(
    builder: Trace, node: Node, operands: Sequence[np.ndarray]
) -> np.ndarray:
    kind = scalar(node.type.dtype)
    if not node.type.shape:
        ids = tuple([o.item() for o in operands])
        return np.asarray(apply(builder, node.primitive, ids, kind, node.line))
    shape = node.type.shape
    spread = [
        (o if o.shape == shape else np.broadcast_to(o, shape)).ravel().tolist()
        for o in operands
    ]
    ids = [
        apply(builder, node.primitive, args, kind, node.line)
        for args in zip(*spread, strict=True)
    ]
    return np.array(ids, np.int64).reshape(node.type.shape)


def _structure(
    builder: Trace, node: Node, operands: Sequence[np.ndarray]
) -> np.ndarray:
    """Move positions by NumPy's own call; position 0 is the zero that it fills in."""
    check_size(node.type)
    moved = positions(node, [o.shape for o in operands])
    zero = -1
    if np.count_nonzero(moved) < moved.size:
        zero = builder.number(0.0, node.type.dtype)
    flat = np.concatenate([np.array([zero]), *(o.ravel() for o in operands)])
    return flat[moved]


def _composite(
    builder: Trace, node: Node, operands: Sequence[np.ndarray]
) -> np.ndarray:
    assert node.primitive.expand is not None
    arrays = [tracers(builder, o) for o in operands]
    result = np.asarray(node.primitive.expand(*arrays, **arguments(node)), object)
    ids = [lift(builder, v, node.type.dtype) for v in result.ravel()]
    return np.array(ids, np.int64).reshape(node.type.shape)


def tracers(builder: Trace, ids: np.ndarray) -> np.ndarray:
    """An object array of traced scalars from an array of node indices."""
    result = np.empty(ids.shape, object)
    for place, i in np.ndenumerate(ids):
        result[place] = Tracer(builder, int(i), builder.nodes[i].type)
    return result
