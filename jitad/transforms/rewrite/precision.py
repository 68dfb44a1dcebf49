"""Mixed precision: arithmetic in float32, sums in float64.

`mixed` takes a scalar graph of float64 to one with the same inputs and results.  What
is read is rounded when an operation first uses it, and what an operation made is
widened where a result, or a sum, is float64.  Only these stay float64:

    sums      what a loop only adds to, and arrays that are added up: their terms are
              made in float32
    fractions a whole number times less than 2⁻²⁴, and what sums, products and floors
              with constants make of it, has more digits than float32: it is rounded
              when something else uses it, and never up to a power of two, so that a
              random number of [0, 1) is none of 1
    solvers   a function with a derivative rule of its own that iterates until a
              condition holds: in float32 its tolerance might never be met

Integers, bools and float32 are as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jitad.ir.branch import BRANCH, add_branch, branch_of
from jitad.ir.call import CALL, Custom, add_call, custom_of
from jitad.ir.graph import CONST, ELEMENT, INPUT, PACK, Graph, Node, Type, scalar
from jitad.ir.loop import INT, LOOP, PART, Loop, add_loop, loop_of
from jitad.ir.primitive import registry
from jitad.ir.table import LOOKUP, SCATTER, pick, terms_of
from jitad.ir.tracer import Trace
from jitad.transforms.scalars.templates import new_builder

_DOUBLE, _SINGLE = np.dtype(np.float64), np.dtype(np.float32)
# What keeps a fraction one, if all other operands are constants.
_PLAIN = frozenset(
    {"add", "sub", "mul", "div", "neg", "floor", "ceil", "trunc", "rint"}
)
_FINE = 2.0**-24
# Before it is rounded a fraction is made less by this: by half of its last place in
# float32 just below a power of two, which it is then not rounded up to, and nowhere by
# more; so a float32 stays what it is.
_DOWN = 1 - 2.0**-25


def mixed(graph: Graph) -> Graph:
    """(x -> y)  ->  (x -> y) of the same types, with float64 in sums alone."""
    if all(n.type.dtype != _DOUBLE for g in _graphs(graph) for n in g.nodes):
        return graph
    inputs, outputs = _dtypes(graph.input_types), _dtypes(graph.output_types)
    return _narrowed(graph, inputs, outputs, {})


def _dtypes(types: Sequence[Type]) -> list[np.dtype]:
    return [t.dtype for t in types]


def _graphs(graph: Graph) -> Iterator[Graph]:
    """A graph and all graphs inside its nodes."""
    stack = [graph]
    while stack:
        one = stack.pop()
        yield one
        for node in one.nodes:
            if node.primitive is LOOP:
                loop = loop_of(node)
                stack += [loop.body] if loop.head is None else [loop.body, loop.head]
            elif node.primitive is BRANCH:
                stack.append(branch_of(node).body)
            elif node.primitive is CALL:
                stack.append(custom_of(node).value)


def _solves(custom: Custom) -> bool:
    """Whether a function iterates to a tolerance, and says itself how it varies."""
    loops = (
        loop_of(node)
        for g in _graphs(custom.value)
        for node in g.nodes
        if node.primitive is LOOP
    )
    return custom.kind != "again" and any(x.head is not None for x in loops)


# -- what is only added to -----------------------------------------------------


def _added(loop: Loop) -> dict[int, int]:
    """The nodes of a loop's body that only add to a carried value: to which input.

    Neither its head nor anything else in an iteration reads such a value.
    """
    body, head = loop.body, loop.head
    carried = loop.inputs.carried
    read: set[int] = set()
    if head is not None:
        used = {*head.outputs, *(a for node in head.nodes for a in node.operands)}
        own = loop.entering(head.inputs).carried
        read = {i for i, h in zip(carried, own, strict=True) if h in used}
    floats = {i for i in carried if body.nodes[i].type.dtype == _DOUBLE}
    owner = _adding(body, floats - read)
    pairs = zip(carried, loop.outputs.carried, strict=True)
    kept = {i for i, o in pairs if owner.get(o) == i}
    for k, o in enumerate(body.outputs):
        if k >= len(carried) or owner.get(o) != carried[k]:
            kept.discard(owner.get(o, -1))
    return {v: i for v, i in owner.items() if i in kept}


def _adding(graph: Graph, starts: AbstractSet[int]) -> dict[int, int]:
    """The nodes that are one of the inputs `starts` and what is added to it: which one.

    Inputs that any other operation reads are left out.
    """
    owner = {i: i for i in starts}
    lost: set[int] = set()
    heirs: dict[tuple[int, int], int] = {}
    for i, node in enumerate(graph.nodes if starts else ()):
        if node.primitive is PART:
            key = node.operands[0], node.index
            if key in heirs:
                owner[i] = heirs[key]
            continue
        own = {p: owner[a] for p, a in enumerate(node.operands) if a in owner}
        if not own:
            continue
        if node.primitive in (LOOP, CALL):
            for p, parts in _through(node, own.keys()).items():
                heirs.update(((i, k), own[p]) for k in parts)
                own.pop(p)
        elif _adds(node, own):
            owner[i] = next(iter(own.values()))
            continue
        lost.update(own.values())
    return {v: i for v, i in owner.items() if i not in lost}


def _adds(node: Node, own: Mapping[int, int]) -> bool:
    """Whether a node is a sum of its operands `own` and others."""
    name, places = node.primitive.name, [*own]
    if name == "select":
        return places == [1, 2] and own[1] == own[2]
    return places == [0] if name == "sub" else name == "add" and len(places) == 1


def _through(node: Node, places: AbstractSet[int]) -> dict[int, list[int]]:
    """For operands that a loop or call only adds to, the parts that are the sums."""
    if node.primitive is LOOP:
        loop = loop_of(node)
        added, own = _added(loop), loop.split(range(len(node.operands))).carried
        starts = zip(own, loop.inputs.carried, strict=True)
        return {
            p: [k]
            for k, (p, start) in enumerate(starts)
            if p in places and start in added
        }
    custom = custom_of(node)
    if _solves(custom):
        return {}
    value = custom.value
    owner = _adding(value, {value.inputs[p] for p in places})
    return {
        p: [k for k, o in enumerate(value.outputs) if owner.get(o) == value.inputs[p]]
        for p in sorted(places)
        if value.inputs[p] in owner
    }


# -- the graph again -----------------------------------------------------------


def _narrowed(
    graph: Graph,
    inputs: Sequence[np.dtype],
    outputs: Sequence[np.dtype],
    sums: Mapping[int, int],
) -> Graph:
    """The graph with inputs and outputs of other dtypes.

    sums  the nodes that stay float64, as they only add to an input
    """
    arrays = _as_arrays(graph, outputs)
    parts = (graph.nodes[a] for a in arrays if graph.nodes[a].primitive is PART)
    results = {(node.operands[0], node.index) for node in parts}
    again = _Again(graph, sums, arrays, results)
    for i, dtype in zip(graph.inputs, inputs, strict=True):
        again.index[i] = again.builder.input(Type(dtype, graph.nodes[i].type.shape))
    for i, node in enumerate(graph.nodes):
        if node.primitive is not INPUT:
            again.index[i] = again.copied(i, node)
    pairs = zip(graph.outputs, outputs, strict=True)
    return again.builder.finish(
        [again.wide(o) if d == _DOUBLE else again.narrow(o) for o, d in pairs]
    )


def _as_arrays(graph: Graph, outputs: Sequence[np.dtype]) -> set[int]:
    """The nodes that are needed as arrays of float64."""
    pairs = zip(graph.outputs, outputs, strict=True)
    found = {o for o, dtype in pairs if dtype == _DOUBLE}
    for node in graph.nodes:
        if node.primitive is SCATTER:
            found.update(terms_of(node)[0])
    return found


@dataclass
class _Again:
    """A graph that is being made again: where the nodes of the old one are.

    index  by an old float64 node one that may be either; its dtype is how it lies
    exact  old float64 nodes that are made of whole numbers, in float64
    fine   those of them that are fractions
    parts  of loops, branches and calls
    """

    graph: Graph
    sums: Mapping[int, int]
    arrays: AbstractSet[int]
    results: AbstractSet[tuple[int, int]]
    builder: Trace = field(default_factory=new_builder)
    index: dict[int, int] = field(default_factory=dict)
    exact: dict[int, int] = field(default_factory=dict)
    fine: set[int] = field(default_factory=set)
    parts: dict[int, list[int]] = field(default_factory=dict)

    def dtype(self, a: int) -> np.dtype:
        """How an old node lies."""
        return self.builder.nodes[self.index[a]].type.dtype

    def narrow(self, a: int) -> int:
        """An old scalar, in float32 if it was float64."""
        found = self.index[a]
        return self.builder.cast(found, _SINGLE) if self.dtype(a) == _DOUBLE else found

    def wide(self, a: int) -> int:
        """An old node as it was: in float64, rounded or not."""
        node, found = self.graph.nodes[a], self.index[a]
        if self.dtype(a) == node.type.dtype:
            return found
        if node.primitive is CONST:
            return self.builder.add(CONST, (), node.type, node.params)
        if not node.type.shape:
            return self.builder.cast(found, _DOUBLE)
        scalars = [pick(self.builder, found, k) for k in range(node.type.size)]
        widened = [self.builder.cast(x, _DOUBLE) for x in scalars]
        return self.builder.add(PACK, tuple(widened), node.type)

    def copied(self, i: int, node: Node) -> int:
        """The same node on what its operands have become; of control, nothing."""
        primitive, operands, params, type, line = node
        if primitive is LOOP:
            self.parts[i] = self._loop(i, node)
        elif primitive is CALL:
            self.parts[i] = self._call(node)
        elif primitive is BRANCH:
            self.parts[i] = self._branch(node)
        elif primitive is PART:
            return self.parts[operands[0]][node.index]
        elif primitive is CONST and type.dtype == _DOUBLE:
            return self.builder.const(_rounded(node.value))
        elif primitive in (ELEMENT, LOOKUP):
            given = tuple([self.index[a] for a in operands])
            kind = scalar(self.dtype(operands[0]))
            return self.builder.add(primitive, given, kind, params, line)
        elif primitive is PACK and type.dtype == _DOUBLE:
            return self._pack(i, node)
        elif primitive.kind == "elementwise":
            return self._operation(i, node)
        else:
            given = tuple([self.wide(a) for a in operands])
            return self.builder.add(primitive, given, type, params, line)
        return -1

    def _pack(self, i: int, node: Node) -> int:
        """An array of scalars, as most of them lie."""
        known = self.builder.values
        lie = [self.dtype(a) for a in node.operands if known[self.index[a]] is None]
        if i in self.arrays or 2 * lie.count(_DOUBLE) > len(lie):
            given = tuple([self.wide(a) for a in node.operands])
            return self.builder.add(PACK, given, node.type)
        given = tuple([self.narrow(a) for a in node.operands])
        return self.builder.add(PACK, given, Type(_SINGLE, node.type.shape))

    # -- operations

    def _operation(self, i: int, node: Node) -> int:
        primitive, operands, _, type, line = node
        if i in self.sums:
            given = tuple([self.wide(a) for a in operands])
            return self.builder.apply(primitive, given, type, line)
        if type.dtype == _DOUBLE:
            self._exactly(i, node)
            if i in self.fine:
                down = self.builder.number(_DOWN, _DOUBLE)
                multiply = registry.primitives["mul"]
                less = self.builder.apply(multiply, (self.exact[i], down), type)
                return self.builder.cast(less, _SINGLE)
            type = scalar(_SINGLE)
        elif primitive.name == "cast" and type.dtype.kind in "iu":
            # An integer is that of the number as it lies.
            (a,) = operands
            found = self.exact.get(a, self.index[a])
            return self.builder.apply(primitive, (found,), type, line)
        given = tuple([self.narrow(a) for a in operands])
        return self.builder.apply(primitive, given, type, line)

    def _exactly(self, i: int, node: Node) -> None:
        """A node in float64 also, if only whole numbers and constants are in it."""
        primitive, operands, _, type, _ = node
        if primitive.name == "cast" and self.dtype(operands[0]).kind in "iu":
            found = self.index[operands[0]]
            self.exact[i] = self.builder.apply(primitive, (found,), type)
        if primitive.name not in _PLAIN or self.exact.keys().isdisjoint(operands):
            return
        known = [self.builder.values[self.index[a]] for a in operands]
        pairs = [*zip(operands, known, strict=True)]
        if any(v is None and a not in self.exact for a, v in pairs):
            return
        given = [self.exact[a] if a in self.exact else self.wide(a) for a in operands]
        self.exact[i] = self.builder.apply(primitive, tuple(given), type)
        if _scales(primitive.name, known) or not self.fine.isdisjoint(operands):
            self.fine.add(i)

    # -- graphs inside

    def _loop(self, i: int, node: Node) -> list[int]:
        loop = loop_of(node)
        added = _added(loop)
        split = loop.split(node.operands)
        starts = [
            self.wide(a) if x in added else self.narrow(a)
            for a, x in zip(split.carried, loop.inputs.carried, strict=True)
        ]
        given = [*starts, *(self.narrow(a) for a in split.shared)]
        read = [self.index[a] for a in (*split.arrays, *split.tables)]
        inputs = [INT, *(self.builder.nodes[v].type.dtype for v in (*given, *read))]
        made = loop.leaving(_dtypes(loop.body.output_types))
        written = [
            _single(d) if (i, k) not in self.results else d
            for k, d in zip(loop.numbers.written, made.written, strict=True)
        ]
        outputs = [*loop.entering(inputs).carried, *written, *made.summed]
        head = loop.head and _narrowed(
            loop.head, inputs[: 1 + len(given)], _dtypes(loop.head.output_types), {}
        )
        body = _narrowed(loop.body, inputs, outputs, added)
        again = replace(loop, body=body, head=head)
        counts = [self.index[a] for a in split.counts]
        return add_loop(self.builder, again, [*counts, *given, *read], node.line)

    def _call(self, node: Node) -> list[int]:
        custom = custom_of(node)
        if not _solves(custom):
            value = custom.value
            pairs = zip(node.operands, value.inputs, strict=True)
            sums = _adding(value, {x for a, x in pairs if a in self.sums})
            inputs, outputs = _dtypes(value.input_types), _dtypes(value.output_types)
            custom = replace(custom, value=_narrowed(value, inputs, outputs, sums))
        given = [self.wide(a) for a in node.operands]
        return add_call(self.builder, custom, given, node.line)

    def _branch(self, node: Node) -> list[int]:
        body = branch_of(node).body
        inputs, outputs = (
            [_single(t.dtype) for t in types]
            for types in (body.input_types, body.output_types)
        )
        again = replace(branch_of(node), body=_narrowed(body, inputs, outputs, {}))
        return add_branch(self.builder, again, [self.narrow(a) for a in node.operands])


def _single(dtype: np.dtype) -> np.dtype:
    return _SINGLE if dtype == _DOUBLE else dtype


def _scales(name: str, known: Sequence[Any]) -> bool:
    """Whether an operation divides by more than float32 has whole numbers."""
    if name == "div":
        return known[1] is not None and abs(known[1]) > 1 / _FINE
    return name == "mul" and any(v is not None and abs(v) < _FINE for v in known)


def _rounded(value: Any) -> Any:
    """A constant in float32, which is 0 or infinite only where it was."""
    limits = np.finfo(_SINGLE)
    with np.errstate(all="ignore"):
        near = value.astype(_SINGLE)
    near = np.where(
        np.isinf(near) & np.isfinite(value), np.copysign(limits.max, near), near
    )
    least = np.copysign(limits.smallest_subnormal, near)
    return np.where((near == 0) & (value != 0), least, near)[()]
