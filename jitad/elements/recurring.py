"""From a loop over arrays that it reads and writes by elements to a `Recurrence`.

A graph says that a written array is a new one; here it is the same memory, see
`ordering`.  Start at `recurring`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jitad.ir.graph import CONST, INPUT, Graph, Node, Type, arguments, scalar
from jitad.ir.interpret import evaluate_array_node
from jitad.ir.loop import INT, LOOP, PART, Loop, loop_of
from jitad.ir.tracer import Trace, Tracer, as_tracer
from jitad.ir.views import Places
from jitad.primitives.arrays.gather import missing
from jitad.transforms.scalars.ranges import Atom, Form, Limit, form
from jitad.transforms.scalars.scalarize import pack
from jitad.transforms.scalars.templates import new_builder

from .cells import read
from .flow import Flow
from .iterations import at_once
from .library import UnfitError, composed, number_graph, of_elements
from .ordering import Order, Ways, is_join, is_write
from .recurrence import (
    Again,
    Carried,
    Code,
    Compute,
    Get,
    Instruction,
    Memory,
    Recurrence,
    Set,
)

# A loop inside whose iterations do not need one another is better done at once, where
# it has as many.
_WIDE = 32
_NOWHERE = -2  # the place of what is not written, on another way of a branch


def recurring(flow: Flow, loop: Loop, operands: Sequence[int]) -> list[int] | None:
    """Append a loop to a flow as a recurrence: its parts.

    None where it is no such loop, or is done better in another way.
    """
    if loop.head is not None or _is_wide(loop):
        return None
    try:
        return _Recurring(flow, loop, operands).parts()
    except UnfitError:
        return None


def _is_wide(loop: Loop) -> bool:
    """Whether all loops inside are better done at once."""
    inner = [loop_of(node) for node in loop.body.nodes if node.primitive is LOOP]
    return bool(inner) and all(x.bound >= _WIDE and at_once(x) for x in inner)


class _Recurring:
    """The values and memories so far of one recurrence."""

    def __init__(self, flow: Flow, loop: Loop, operands: Sequence[int]) -> None:
        self.flow, self.loop, self.operands = flow, loop, operands
        self.dtypes: list[np.dtype] = []
        self.memories: list[Memory] = []
        self.arrays: list[int] = []
        self.numbers: list[int] = []
        self.scalars: list[int] = []
        self.written: set[int] = set()
        self.forms: dict[int, Form] = {}
        self.sure: set[int] = set()

    def value(self, dtype: np.dtype) -> int:
        """A new value."""
        self.dtypes.append(dtype)
        return len(self.dtypes) - 1

    def input(self, builder: Trace, v: int) -> int:
        """A value as an input of a graph: the node of its number."""
        made = read(builder, self.dtypes[v])
        if v in self.forms:
            builder.forms[made] = self.forms[v]
        return made

    def result(self, builder: Trace, i: int) -> int:
        """A new value that a node of a graph is."""
        found = self.value(builder.nodes[i].type.dtype)
        known = form(builder, i)
        if known is not None:
            self.forms[found] = known
        return found

    def given(self, operand: int) -> int:
        """The memory of an array of the flow."""
        self.memories.append(Memory(self.flow.types[operand], "given", kept=False))
        self.arrays.append(operand)
        return len(self.memories) - 1

    def row(self, type: Type) -> int:
        """A memory that a loop fills."""
        self.memories.append(Memory(type, "anything", kept=False))
        self.written.add(len(self.memories) - 1)
        return len(self.memories) - 1

    def parts(self) -> list[int]:
        """The parts, as values of the flow."""
        loop, flow = self.loop, self.flow
        values: list[int] = []
        for x in self.operands:
            type = flow.types[x]
            if type.shape:
                values.append(self.given(x))
                continue
            values.append(self.value(type.dtype))
            self.numbers.append(values[-1])
            self.scalars.append(x)
        code, parts = repeated(self, loop, values, {*range(len(self.memories))})
        kinds, first = loop.types(), int(loop.counted)
        arrays = {k: m for k, m in enumerate(parts[:-1]) if kinds[k].shape}
        kept = {m for k, m in arrays.items() if m in self.written}
        self.memories = [
            Memory(m.type, m.source, kept=n in kept)
            for n, m in enumerate(self.memories)
        ]
        outputs = [v for k, v in enumerate(parts) if k not in arrays and v is not None]
        made = Recurrence(
            code, tuple(self.dtypes), tuple(self.memories),
            (*self.scalars, *self.arrays), tuple(self.numbers), tuple(outputs),
            frozenset(self.sure),
        )  # fmt: skip
        results = flow.add(made)
        memories = dict(zip(made.kept, results, strict=False))
        numbers = dict(zip(outputs, results[len(memories) :], strict=True))
        found = []
        for k, part in enumerate(parts):
            if part is None:
                found.append(flow.number(loop.bound, INT))
            elif k not in arrays:
                found.append(numbers[part])
            elif part in memories:
                found.append(memories[part])
            else:
                found.append(self.operands[first + k])
        return found


def repeated(
    whole: _Recurring, loop: Loop, operands: Sequence[int], open: set[int]
) -> tuple[Code, list[int | None]]:
    """The instructions of a loop, and its parts: values, or memories; None: its bound.

    operands  values and memories
    open      the memories that may be written
    """
    plain = loop.head is None and not (loop.tables or loop.summed)
    if not plain or any(way is not None for way in loop.slices):
        raise UnfitError("loop")
    nodes = loop.body.nodes
    count, starts, shared, arrays, _ = loop.split(operands)
    index, inner, own, slices, _ = loop.inputs
    if count is not None and (loop.written or loop.backwards):
        raise UnfitError("loop")
    changed = [x for i, x in zip(inner, starts, strict=True) if nodes[i].type.shape]
    others = [x for i, x in zip(own, shared, strict=True) if nodes[i].type.shape]
    if len(set(changed)) < len(changed) or set(changed) & {*others, *arrays}:
        raise UnfitError("loop")
    number = whole.value(INT)
    whole.forms[number] = Form(0, ((_index(whole, loop.bound, count), 1),))
    body = _Body(whole, loop.body, open.intersection(changed))
    body.values[index] = number
    for i, x in (*zip(own, shared, strict=True), *zip(inner, starts, strict=True)):
        body.enter(i, x)
    for i in inner:
        if not nodes[i].type.shape:
            body.values[i] = whole.value(nodes[i].type.dtype)
    for i, x in zip(slices, arrays, strict=True):
        type = nodes[i].type
        if type.shape:
            raise UnfitError("loop")
        body.values[i] = whole.value(type.dtype)
        body.code.append(Get(body.values[i], x, number))
    outputs = loop.outputs
    body.write(outputs.carried, inner)
    rows = []
    for o in outputs.written:
        if nodes[o].type.shape:
            raise UnfitError("loop")
        rows.append(whole.row(Type(nodes[o].type.dtype, (loop.bound,))))
        body.code.append(Set(rows[-1], number, body.number(o)))
    whole.sure.add(number)
    made, parts = [], [*starts]
    for k, (i, o) in enumerate(zip(inner, outputs.carried, strict=True)):
        if not nodes[i].type.shape:
            parts[k] = whole.value(nodes[i].type.dtype)
            made.append(Carried(body.values[i], starts[k], body.number(o), parts[k]))
    code: list[Instruction] = []
    steps = None
    if count is not None:
        steps = whole.value(INT)
        graph = of_elements(lambda n: np.clip(n, 0, loop.bound), [INT], INT)
        code.append(Compute(graph, (count,), (steps,)))
    code.append(
        Again(number, loop.bound, steps, tuple(made), tuple(body.code), loop.backwards)
    )
    return tuple(code), [*parts, *rows, steps]


def _index(whole: _Recurring, bound: int, count: int | None) -> Atom:
    """What is known of the index of a loop."""
    last = whole.forms.get(-1 if count is None else count)
    tops = () if last is None else (Limit(1, last.plus(Form(-1))),)
    return Atom(0, max(bound - 1, 0), tops)


@dataclass(eq=False)
class _Body:
    """The instructions of a loop's body.

    open    the memories that it carries: no others are written
    values  node -> the value of a number
    memory  node -> the memory that an array is in
    """

    whole: _Recurring
    graph: Graph
    open: set[int]
    values: dict[int, int] = field(default_factory=dict)
    memory: dict[int, int] = field(default_factory=dict)
    code: list[Instruction] = field(default_factory=list)
    _waiting: list[int] = field(default_factory=list)
    _parts: dict[int, list[int | None]] = field(default_factory=dict)
    _places: dict[Any, int] = field(default_factory=dict)
    _users: dict[int, set[int]] = field(default_factory=dict)

    def enter(self, i: int, x: int) -> None:
        """Let an input be a value, or a memory."""
        (self.memory if self.graph.nodes[i].type.shape else self.values)[i] = x

    def write(self, outputs: Sequence[int], inner: Sequence[int]) -> None:
        """All instructions; outputs: what is carried on, inner: what that was."""
        nodes = self.graph.nodes
        order = Order(self.graph)
        self._users = order.users
        ways = order.ways(outputs, inner)
        for i in order.sorted():
            node = nodes[i]
            name = node.primitive.name
            if node.primitive is INPUT:
                continue
            if node.primitive is CONST:
                if node.type.shape:
                    self.memory[i] = self.whole.given(
                        self.whole.flow.constant(node.value)
                    )
            elif name == "gather" or (name == "getitem" and not node.type.shape):
                self._read(i, node)
            elif is_write(node):
                self._write(i, node, ways.get(i, ()))
            elif is_join(node):
                a, b = (self.memory[x] for x in node.operands[1:])
                if a != b:
                    raise UnfitError("loop")
                self.memory[i] = a
            elif node.primitive is LOOP:
                self._loop(i, node)
            elif node.primitive is PART:
                self._part(i, node)
            elif node.primitive.kind == "elementwise" and not node.type.shape:
                self._waiting.append(i)
            else:
                raise UnfitError("loop")
        self._compute()
        for o, i in zip(outputs, inner, strict=True):
            if nodes[i].type.shape and self.memory.get(o) != self.memory[i]:
                raise UnfitError("loop")

    def number(self, i: int) -> int:
        """The value of a node that is a number."""
        if i not in self.values and i in self._waiting:
            self._compute()
        if i not in self.values:
            node = self.graph.nodes[i]
            if node.primitive is not CONST:
                raise UnfitError("loop")
            graph = number_graph(node.value, node.type.dtype)
            self.values[i] = self.whole.value(node.type.dtype)
            self.code.append(Compute(graph, (), (self.values[i],)))
        return self.values[i]

    def _compute(self) -> None:
        """Compute the elementwise nodes that wait, and hand on what others need."""
        own, self._waiting = self._waiting, []
        if not own:
            return
        nodes, inside, given = self.graph.nodes, set(own), list[int]()

        def enter(builder: Trace, a: int) -> int:
            given.append(self.values[a])
            return self.whole.input(builder, self.values[a])

        builder, index = composed(nodes, own, enter)
        leaving = [
            i for i in own
            if i in self.graph.outputs or not inside.issuperset(self._users[i])
        ]  # fmt: skip
        packed = [
            pack(builder, np.asarray(index[i]), scalar(nodes[i].type.dtype))
            for i in leaving
        ]
        results = [self.whole.result(builder, index[i]) for i in leaving]
        graph = builder.finish(packed)
        self.code.append(Compute(graph, tuple(given), tuple(results)))
        self.values |= zip(leaving, results, strict=True)

    # -- elements of arrays ----------------------------------------------------

    def _read(self, i: int, node: Node) -> None:
        x, *_ = node.operands
        place = self._place(node, node.operands[1:], ())
        self.values[i] = self.whole.value(node.type.dtype)
        absent = missing(node.type.dtype)
        self.code.append(Get(self.values[i], self.memory[x], place, absent))

    def _write(self, i: int, node: Node, way: Ways) -> None:
        x, value, *indices = node.operands
        found = self.memory[i] = self.memory[x]
        if found not in self.open or self.graph.nodes[value].type.shape:
            raise UnfitError("loop")
        place = self._place(node, indices, way)
        self.whole.written.add(found)
        absent = missing(node.type.dtype)
        self.code.append(Set(found, place, self.number(value), absent))

    def _place(self, node: Node, indices: Sequence[int], way: Ways) -> int:
        """The place that a node names; nowhere where its way is not taken."""
        key = node.params, tuple(indices), tuple(way)
        if key not in self._places:
            self._places[key] = self._located(node, indices, way)
        return self._places[key]

    def _located(self, node: Node, indices: Sequence[int], way: Ways) -> int:
        params = arguments(node)
        steps: Sequence[tuple[int, int]] = ()
        if "base" in params:
            if np.shape(params["base"]):
                raise UnfitError("loop")
            start, steps = int(params["base"]), params["steps"]
        elif "positions" in params:
            start = _only(params["positions"])
        else:
            start = _element(node, self.graph.nodes[node.operands[0]].type)
        count = len(indices)

        def place(*given: Any) -> Any:
            valid, found = np.True_, start
            for j, (stride, extent) in zip(given[:count], steps, strict=True):
                valid = valid & (j >= 0) & (j < extent)
                found = found + stride * j
            found = np.where(valid, found, -1)
            for taken, (_, side) in zip(given[count:], way, strict=True):
                met = taken if side else ~taken
                found = np.where(met, found, _NOWHERE)
            return found

        whole, builder = self.whole, new_builder()
        values = [self.number(a) for a in (*indices, *(c for c, _ in way))]
        inputs = [whole.input(builder, v) for v in values]
        tracers = [Tracer(builder, i, builder.nodes[i].type) for i in inputs]
        found = as_tracer(builder, place(*tracers), INT).index
        result = whole.result(builder, found)
        packed = pack(builder, np.asarray(found), scalar(INT))
        self.code.append(Compute(builder.finish([packed]), tuple(values), (result,)))
        if result in whole.forms and whole.forms[result].low() >= 0:
            whole.sure.add(result)
        return result

    # -- loops -----------------------------------------------------------------

    def _loop(self, i: int, node: Node) -> None:
        loop, nodes = loop_of(node), self.graph.nodes
        operands = [
            self.memory[a] if nodes[a].type.shape else self.number(a)
            for a in node.operands
        ]
        code, self._parts[i] = repeated(self.whole, loop, operands, self.open)
        self.code += code

    def _part(self, i: int, node: Node) -> None:
        (whole,) = node.operands
        found = self._parts[whole][node.index]
        if found is None:
            raise UnfitError("loop")
        self.enter(i, found)


def _only(positions: Any) -> int:
    """The number of the one element that positions are."""
    if positions.shape:
        raise UnfitError("loop")
    return positions.start if isinstance(positions, Places) else int(positions)


def _element(node: Node, type: Type) -> int:
    """Which element of an array of a type a constant index names."""
    places = np.arange(type.size).reshape(type.shape)
    return int(evaluate_array_node(node, [places]))
