"""What a function computes of whole arrays at one point: statements on numbered values.

Start at `flow_of`.  Elementwise nodes that meet without a move between them are one
`Map`, whose graph is that of one element; what moves elements by boxes is a `Moved`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jitad.ir.call import CALL, custom_of
from jitad.ir.graph import CONST, INPUT, Graph, Node, Type, arguments, scalar
from jitad.ir.interpret import evaluate_array_node
from jitad.ir.loop import INT, LOOP, PART, loop_of
from jitad.transforms.scalars.scalarize import elements, pack
from jitad.transforms.scalars.templates import apply, new_builder

from .library import (
    Cumulated,
    Extreme,
    Library,
    Norm,
    Product,
    Single,
    Taken,
    UnfitError,
    matmul_labels,
)
from .matrices import MATRICES
from .repeated import Repeated
from .windows import (
    Box,
    NotAffineError,
    Shape,
    Window,
    affine,
    along_axes,
    boxes,
    broadcast,
    full,
    repeated,
    seen,
    turned,
    whole,
)

# Positions of elements of one operand begin so far from those of the next.
_APART = 40
# Loops whose values all have fewer elements are left to the schedule over points.
_WIDE = 32
# Structures with more elements are not cut into boxes by looking at each.
_MOST_POSITIONS = 1 << 23


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """Results of a shape, each element by a graph of one point's scalars."""

    graph: Graph
    operands: tuple[int, ...]
    shape: Shape

    @property
    def types(self) -> list[Type]:
        """Of its results."""
        return [Type(t.dtype, self.shape) for t in self.graph.output_types]


@dataclass(frozen=True, slots=True)
class Piece:
    """A box of a result, whose elements are those of an operand in a window."""

    box: Box
    operand: int
    window: Window


@dataclass(frozen=True, slots=True, eq=False)
class Moved(Single):
    """An array of elements of others, box by box; zero where there is no box."""

    pieces: tuple[Piece, ...]

    @property
    def operands(self) -> tuple[int, ...]:
        """What it reads."""
        return tuple([p.operand for p in self.pieces])


@dataclass(frozen=True, slots=True, eq=False)
class Written(Single):
    """A copy of the first operand with the second written through a window of it."""

    operands: tuple[int, ...]
    window: Window


@dataclass(frozen=True, slots=True)
class Term:
    """A box of an operand that is added to a result through a window of that."""

    operand: int
    box: Box
    window: Window


@dataclass(frozen=True, slots=True, eq=False)
class Placed(Single):
    """The sum of what boxes of operands add to an array of zeros."""

    terms: tuple[Term, ...]

    @property
    def operands(self) -> tuple[int, ...]:
        """What it reads."""
        return tuple([t.operand for t in self.terms])


@dataclass(frozen=True, slots=True, eq=False)
class Summed(Single):
    """The sum of an operand over some of its axes, which are gone then."""

    operands: tuple[int, ...]
    axes: tuple[int, ...]


Statement = Map | Moved | Written | Placed | Summed | Library | Repeated


def read(statement: Statement) -> tuple[int, ...]:
    """The operands that it is computed of."""
    return statement.read if isinstance(statement, Library) else statement.operands


@dataclass(eq=False)
class Flow:
    """Statements in order; values are inputs, constants, and results of statements.

    types    of all values, by their numbers
    results  the numbers of the results of each statement
    """

    types: list[Type] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    constants: dict[int, np.ndarray] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    results: list[list[int]] = field(default_factory=list)
    outputs: tuple[int, ...] = ()
    _once: dict[Any, int] = field(default_factory=dict)
    _makers: dict[int, Statement] = field(default_factory=dict)

    def input(self, type: Type) -> int:
        """A new input."""
        self.inputs.append(self.new(type))
        return self.inputs[-1]

    def constant(self, value: np.ndarray) -> int:
        """A constant array."""
        found = self.new(Type(value.dtype, value.shape))
        self.constants[found] = value
        return found

    def add(self, statement: Statement) -> list[int]:
        """Append a statement: the numbers of its results."""
        return self.place(statement, [self.new(t) for t in statement.types])

    def place(self, statement: Statement, results: list[int]) -> list[int]:
        """Append a statement whose results have numbers already."""
        self.statements.append(statement)
        self.results.append(results)
        self._makers |= dict.fromkeys(results, statement)
        return results

    def once(self, statement: Library) -> int:
        """The result of a statement that says no more than its class and operands."""
        key = type(statement), statement.operands
        if key not in self._once:
            self._once[key] = self.add(statement)[0]
        return self._once[key]

    def maker(self, value: int) -> Statement | None:
        """The statement that made a value, if one did."""
        return self._makers.get(value)

    def turned(self, value: int) -> int:
        """The stack of matrices that a value is the transpose of, or itself."""
        made = self.maker(value)
        if isinstance(made, Moved) and len(made.pieces) == 1:
            (piece,) = made.pieces
            own = self.types[piece.operand].shape
            if len(own) > 1 and piece.window == turned(own):
                return piece.operand
        return value

    def copy(self) -> Flow:
        """The same, to be continued in another way."""
        return Flow(
            list(self.types), list(self.inputs), dict(self.constants),
            list(self.statements), list(self.results), self.outputs,
            dict(self._once), dict(self._makers),
        )  # fmt: skip

    def sort(self, without: Collection[int]) -> None:
        """Leave statements out; what others make then comes before what reads it."""
        makers = {
            y: k for k, own in enumerate(self.results) if k not in without for y in own
        }
        order: dict[int, None] = {}
        waiting = sorted(set(makers.values()), reverse=True)
        while waiting:
            k = waiting[-1]
            before = [makers[v] for v in self.statements[k].operands if v in makers]
            before = [b for b in before if b not in order]
            if before:
                waiting += before
                continue
            order[waiting.pop()] = None
        self.statements = [self.statements[k] for k in order]
        self.results = [self.results[k] for k in order]

    def needed(self, given: Collection[int] = ()) -> set[int]:
        """The statements that outputs need, where given values are known already."""
        wanted, found = set(self.outputs).difference(given), set()
        for k in reversed(range(len(self.statements))):
            if not wanted.isdisjoint(self.results[k]):
                found.add(k)
                wanted.update(set(read(self.statements[k])).difference(given))
        return found

    def new(self, type: Type) -> int:
        """The number of a new value."""
        self.types.append(type)
        return len(self.types) - 1

    def number(self, value: float, dtype: np.dtype) -> int:
        """A scalar constant."""
        builder = new_builder()
        made = builder.number(value, dtype)
        packed = pack(builder, np.asarray(made), scalar(dtype))
        return self.add(Map(builder.finish([packed]), (), ()))[0]

    def seen(self, value: int, window: Window) -> int:
        """A value seen through a window; itself where that shows all of it."""
        type = self.types[value]
        if window == whole(type.shape):
            return value
        piece = Piece(full(window.shape), value, window)
        pieces = (piece,) if math.prod(window.shape) else ()
        return self.add(Moved(Type(type.dtype, window.shape), pieces))[0]


def flow_of(graph: Graph) -> Flow:
    """The flow of an array graph.

    Raises UnfitError where a node is not known here.
    """
    made = _Flowing(graph)
    made.run()
    return made.flow


class _Flowing:
    """A flow as it grows, and where the values of nodes are in it."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.flow = graph, Flow()
        self.value = {i: self.flow.input(graph.nodes[i].type) for i in graph.inputs}
        for i, node in enumerate(graph.nodes):
            if node.primitive is CONST and node.type.shape:
                self.value[i] = self.flow.constant(node.value)
        self.parts: dict[int, list[int]] = {}
        self.groups = _groups(graph)
        self.leaving = _leaving(graph, self.groups)

    def run(self) -> None:
        """Make the statements, group by group."""
        for own in self.groups:
            node = self.graph.nodes[own[0]]
            if node.primitive.kind == "elementwise":
                self._map(own)
            elif node.primitive.kind == "structure":
                (i,) = own
                self.value[i] = self._moved(node)
            elif node.primitive is LOOP:
                (i,) = own
                self.parts[i] = self.flow.add(self._repeated(node))
            elif node.primitive is CALL and custom_of(node).kind == "again":
                (i,) = own
                self.parts[i] = self._again(node)
            elif node.primitive is PART:
                (i,) = own
                self.value[i] = self.parts[node.operands[0]][node.index]
            else:
                (i,) = own
                self.value[i] = self._computed(node)
        self.flow.outputs = tuple([self._operand(o) for o in self.graph.outputs])

    def _computed(self, node: Node) -> int:
        """The value of a node that sums, or that a library computes."""
        known = MATRICES.get(node.primitive.name)
        if known is None:
            return self.flow.add(self._reducing(node))[0]
        given = [self._operand(a) for a in node.operands]
        return known(self.flow, node.type, given, arguments(node))

    def _reducing(self, node: Node) -> Statement:
        """The statement of a node that sums, or that a library computes."""
        given = tuple([self._operand(a) for a in node.operands])
        shapes = [self.flow.types[v].shape for v in given]
        type, params, name = node.type, arguments(node), node.primitive.name
        sized = all(map(math.prod, shapes))
        match name:
            case "sum":
                return Summed(type, given, tuple(params["axis"]))
            case "max" | "min" if sized:
                return Extreme(type, given, tuple(params["axis"]), name == "max")
            case "norm" if type.dtype.kind == "f":
                return Norm(type, given, tuple(params["axis"]))
            case "cumsum":
                return Cumulated(type, given, params["axis"])
            case "matmul" if sized and _fits(type, shapes):
                return Product(type, given, *matmul_labels(*shapes))
            case "einsum" if sized:
                labels, to = params["subscripts"].split("->")
                own = tuple(labels.split(","))
                if type.dtype.kind == "f" and _agree(own, shapes):
                    return Product(type, given, own, to)
        raise UnfitError(name)

    def _repeated(self, node: Node) -> Repeated:
        """The statement of a loop."""
        loop = loop_of(node)
        if loop.tables or loop.summed or any(s is not None for s in loop.slices):
            raise UnfitError("loop")
        body = flow_of(loop.body)
        if max(t.size for t in body.types) < _WIDE:
            raise UnfitError("loop")
        return Repeated(
            body, tuple([self._operand(a) for a in node.operands]), loop.carried,
            loop.shared, loop.bound, loop.head and flow_of(loop.head), loop.counted,
            loop.backwards,
        )  # fmt: skip

    def _again(self, node: Node) -> list[int]:
        """What reverse mode computes once more: a loop of one run, which does that."""
        flow, body = self.flow, flow_of(custom_of(node).value)
        shared = len(body.inputs)
        body.inputs.insert(0, body.new(scalar(INT)))
        given = tuple([self._operand(a) for a in node.operands])
        *rows, _ = flow.add(Repeated(body, given, 0, shared, 1))
        shapes = [flow.types[row].shape[1:] for row in rows]
        return [
            flow.seen(row, whole(shape))
            for row, shape in zip(rows, shapes, strict=True)
        ]

    def _operand(self, i: int) -> int:
        """The value of a node; a scalar constant becomes one when it is needed."""
        node = self.graph.nodes[i]
        if i not in self.value:
            assert node.primitive is CONST
            self.value[i] = self.flow.number(node.value, node.type.dtype)
        return self.value[i]

    def _map(self, own: Sequence[int]) -> None:
        nodes, builder = self.graph.nodes, new_builder()
        shape, inside = nodes[own[0]].type.shape, set(own)
        index: dict[int, int] = {}
        given: list[int] = []
        for i in own:
            for a in nodes[i].operands:
                if a in index or a in inside:
                    continue
                node = nodes[a]
                if node.primitive is CONST and not node.type.shape:
                    index[a] = builder.add(CONST, (), node.type, node.params)
                    continue
                given.append(self._operand(a))
                index[a] = builder.input(scalar(node.type.dtype))
        for a, i in list(index.items()):
            if builder.nodes[i].primitive is INPUT:
                index[a] = int(elements(builder, i))
        for i in own:
            node = nodes[i]
            operands = tuple([index[a] for a in node.operands])
            kind = scalar(node.type.dtype)
            index[i] = apply(builder, node.primitive, operands, kind, node.line)
        leaving = [i for i in own if i in self.leaving]
        kinds = [scalar(nodes[i].type.dtype) for i in leaving]
        packed = [
            pack(builder, np.asarray(index[i]), kind)
            for i, kind in zip(leaving, kinds, strict=True)
        ]
        made = self.flow.add(Map(builder.finish(packed), tuple(given), shape))
        self.value |= dict(zip(leaving, made, strict=True))

    def _moved(self, node: Node) -> int:
        if node.primitive.name == "put":
            return self._put(node)
        given = [self._operand(a) for a in node.operands]
        shapes = [self.flow.types[v].shape for v in given]
        if len(given) == 1 and math.prod(shapes[0]):
            root = np.empty(math.prod(shapes[0]), np.uint8)
            view = evaluate_array_node(node, [root.reshape(shapes[0])])
            window = seen(view, root) if isinstance(view, np.ndarray) else None
            if window is not None and min(window.shape, default=1):
                return self.flow.seen(given[0], window)
        sizes = [math.prod(shape) for shape in shapes]
        if max(*sizes, node.type.size, 0) > _MOST_POSITIONS:
            raise UnfitError(node.primitive.name)
        positions = _positions(node, shapes)
        try:
            pieces = tuple(_pieces(positions, given))
        except NotAffineError:
            return self._taken(node, given, positions)
        return self.flow.add(Moved(node.type, pieces))[0]

    def _taken(self, node: Node, given: Sequence[int], positions: np.ndarray) -> int:
        """Elements of one operand in any order, and zeros."""
        if len(given) != 1:
            raise UnfitError(node.primitive.name)
        places = np.maximum(positions - (1 << _APART), -1)
        return self.flow.add(Taken(node.type, (given[0],), places))[0]

    def _put(self, node: Node) -> int:
        base, value = [self._operand(a) for a in node.operands]
        positions = arguments(node)["positions"]
        to = np.shape(positions)
        if not math.prod(to):
            return base
        own = self.flow.types[value].shape
        if own != to:
            value = self.flow.seen(value, broadcast(own, to))
        window = affine(np.asarray(positions))
        if window is None or repeated(window):
            raise UnfitError("put")
        shape = node.type.shape
        box = unit_box(window, shape)
        if box is None:
            return self.flow.add(Written(node.type, (base, value), window))[0]
        pieces = [Piece(b, base, inside(b, shape)) for b in full(shape).without(box)]
        pieces.append(Piece(box, value, back(window, shape)))
        return self.flow.add(Moved(node.type, tuple(pieces)))[0]


def unit_box(window: Window, shape: Shape) -> Box | None:
    """The box of an array that a window shows all of, going up by ones; or None."""
    axes = along_axes(window, shape)
    if axes is None:
        return None
    high = []
    for start, step, b in zip(axes.start, axes.step, axes.axis, strict=True):
        if b >= 0 and step != 1:
            return None
        high.append(start + (window.shape[b] if b >= 0 else 1))
    return Box(axes.start, tuple(high))


def back(window: Window, shape: Shape) -> Window:
    """The elements of what a window shows, seen from the box that it shows."""
    axes = along_axes(window, shape)
    assert axes is not None
    own = whole(window.shape).steps
    steps = tuple([own[b] if b >= 0 else 0 for b in axes.axis])
    box = unit_box(window, shape)
    assert box is not None
    return Window(box.shape, 0, steps)


def inside(box: Box, shape: Shape) -> Window:
    """A box of an array as a window of it."""
    steps = whole(shape).steps
    start = sum(a * s for a, s in zip(box.low, steps, strict=True))
    return Window(box.shape, start, steps)


def _agree(labels: Sequence[str], shapes: Sequence[Shape]) -> bool:
    """Whether a label is once in an operand, and has the same length in all."""
    pairs = [
        pair
        for own in zip(labels, shapes, strict=True)
        for pair in zip(*own, strict=True)
    ]
    once = all(len(set(own)) == len(own) for own in labels)
    return once and len(set(pairs)) == len({label for label, _ in pairs})


def _fits(type: Type, shapes: Sequence[Shape]) -> bool:
    """Whether a product of matrices has no axes that one operand repeats."""
    lead = [shape[:-2] for shape in shapes if len(shape) > 2]
    return type.dtype.kind == "f" and all(a == lead[0] for a in lead)


def _positions(node: Node, shapes: Sequence[Shape]) -> np.ndarray:
    """Where a structure takes its elements from; 0: a zero that it fills in."""
    marked = [
        ((k + 1) << _APART) + np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
        for k, shape in enumerate(shapes)
    ]
    return np.asarray(evaluate_array_node(node, marked))


def _pieces(positions: np.ndarray, given: Sequence[int]) -> Iterator[Piece]:
    """The boxes of a structure's result.

    Raises NotAffineError where there are too many.
    """
    if not positions.size:
        return
    for box, window in boxes(positions, positions >> _APART):
        k = window.start >> _APART
        if k:
            start = window.start - (k << _APART)
            yield Piece(box, given[k - 1], Window(window.shape, start, window.steps))


def _groups(graph: Graph) -> list[list[int]]:
    """The nodes that are one statement each, in an order in which they can be made.

    Elementwise nodes of a shape are together if as many others lie before each: then
    none of them needs another through a node that is not among them.
    """
    depth: list[int] = []
    found: dict[object, list[int]] = {}
    for i, node in enumerate(graph.nodes):
        if node.primitive in (INPUT, CONST):
            depth.append(0)
            continue
        own, elementwise = 1, node.primitive.kind == "elementwise"
        for a in node.operands:
            other = graph.nodes[a]
            same = elementwise and other.primitive.kind == "elementwise"
            same = same and other.type.shape == node.type.shape
            own = max(own, depth[a] + (0 if same else 1))
        depth.append(own)
        key: object = (own, node.type.shape) if elementwise else (own, i, "")
        found.setdefault(key, []).append(i)
    return sorted(found.values(), key=lambda own: (depth[own[0]], own[0]))


def _leaving(graph: Graph, groups: Sequence[Sequence[int]]) -> set[int]:
    """The nodes that results, or nodes of other groups, need."""
    group = {i: g for g, own in enumerate(groups) for i in own}
    found = set(graph.outputs)
    for i, node in enumerate(graph.nodes):
        found |= {a for a in node.operands if group.get(a) != group.get(i)}
    return found
