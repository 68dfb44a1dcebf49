"""From a graph of arrays to statements of a flow.

Start at `lay`.  Elementwise nodes that meet without a move between them are one `Map`,
whose graph is that of one element; what moves elements by boxes is a `Moved`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from jitad.ir.call import CALL, custom_of
from jitad.ir.graph import CONST, INPUT, Graph, Node, Type, arguments, scalar
from jitad.ir.interpret import evaluate_array_node
from jitad.ir.loop import INT, LOOP, PART, loop_of
from jitad.ir.tracer import Trace
from jitad.ir.views import Places
from jitad.ir.whole import WHOLE, writes
from jitad.transforms.scalars.scalarize import pack

from .cells import read
from .flow import (
    Flow,
    Map,
    Moved,
    Piece,
    Statement,
    Summed,
    Written,
    back,
    inside,
    unit_box,
)
from .iterations import at_once
from .library import (
    Cumulated,
    Extreme,
    Norm,
    Product,
    UnfitError,
    composed,
    matmul_labels,
)
from .matrices import MATRICES
from .places import PLACES, Gathered, PlaceOfExtreme, Replaced
from .recurring import recurring
from .repeated import Repeated
from .sequences import SEQUENCES
from .sides import smoothed
from .spectra import SPECTRA
from .windows import (
    NotAffineError,
    Shape,
    Window,
    affine,
    boxes,
    broadcast,
    full,
    repeated,
    seen,
    whole,
)

# Positions of elements of one operand begin so far from those of the next.
_APART = 40
# Loops that compute fewer elements at a time are left to the schedule over points.
_WIDE = 32
# Structures with more elements are not cut into boxes by looking at each.
_MOST_POSITIONS = 1 << 23
# What makes statements of nodes, by the names of their primitives.
_KNOWN = {**MATRICES, **SPECTRA, **PLACES, **SEQUENCES}

# What lays what a node holds into a flow: (flow, node, operands, side) -> results.
Nested = Callable[[Flow, Node, Sequence[int], bool], list[int]]


def lay(
    flow: Flow, graph: Graph, given: Sequence[int], nested: Nested, *, side: bool
) -> list[int]:
    """Append an array graph to a flow, its inputs being values there: its results.

    side  whether of extremes there is the one place that derivatives go to
    Raises UnfitError where a node is not known here.
    """
    graph = smoothed(graph) if side else graph
    made = _Flowing(flow, graph, given, nested, side)
    made.run()
    return [made.operand(o) for o in graph.outputs]


class _Flowing:
    """A flow as it grows, and where the values of nodes are in it."""

    def __init__(
        self,
        flow: Flow,
        graph: Graph,
        given: Sequence[int],
        nested: Nested,
        side: bool,
    ) -> None:
        self.graph, self.flow, self.nested, self.side = graph, flow, nested, side
        self.value = dict(zip(graph.inputs, given, strict=True))
        self.parts: dict[int, list[int]] = {}
        self.recurs = writes(graph) > 0
        for i, node in enumerate(graph.nodes):
            if node.primitive is CONST and node.type.shape:
                self.value[i] = self.flow.constant(node.value)
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
            elif node.primitive is WHOLE:
                (i,) = own
                operands = [self.operand(a) for a in node.operands]
                self.parts[i] = self.nested(self.flow, node, operands, self.side)
            elif node.primitive is LOOP:
                (i,) = own
                self.parts[i] = self._loop(node)
            elif node.primitive is CALL and custom_of(node).kind == "again":
                (i,) = own
                self.parts[i] = self._again(node)
            elif node.primitive is PART:
                (i,) = own
                self.value[i] = self._part(node)
            else:
                (i,) = own
                self.value[i] = self._computed(node)

    def _loop(self, node: Node) -> list[int]:
        """The parts of a loop."""
        loop = loop_of(node)
        graph = at_once(loop)
        if graph is None:
            given = [self.operand(a) for a in node.operands]
            made = recurring(self.flow, loop, given) if self.recurs else None
            return made or self.flow.add(self._repeated(node))
        given = [self.operand(a) for a in node.operands]
        parts = lay(self.flow, graph, given, self.nested, side=self.side)
        return [*parts, self.flow.number(loop.bound, INT)]

    def _repeated(self, node: Node) -> Repeated:
        """The statement of a loop."""
        loop = loop_of(node)
        if loop.tables or loop.summed or any(s is not None for s in loop.slices):
            raise UnfitError("loop")
        body = self._flow_of(loop.body)
        made = zip(body.statements, body.results, strict=True)
        sizes = [
            body.types[y].size
            for statement, results in made
            if not isinstance(statement, Replaced)
            for y in results
        ]
        if max(sizes, default=0) < _WIDE:
            raise UnfitError("loop")
        return Repeated(
            body, tuple([self.operand(a) for a in node.operands]), loop.carried,
            loop.shared, loop.bound, loop.head and self._flow_of(loop.head),
            loop.counted, loop.backwards,
        )  # fmt: skip

    def _flow_of(self, graph: Graph) -> Flow:
        """A flow of its own."""
        flow = Flow()
        given = [flow.input(type) for type in graph.input_types]
        flow.outputs = tuple(lay(flow, graph, given, self.nested, side=self.side))
        return flow

    def _again(self, node: Node) -> list[int]:
        """What reverse mode computes once more: a loop of one run, which does that."""
        flow, body = self.flow, self._flow_of(custom_of(node).value)
        shared = len(body.inputs)
        body.inputs.insert(0, body.new(scalar(INT)))
        given = tuple([self.operand(a) for a in node.operands])
        *rows, _ = flow.add(Repeated(body, given, 0, shared, 1))
        shapes = [flow.types[row].shape[1:] for row in rows]
        return [
            flow.seen(row, whole(shape))
            for row, shape in zip(rows, shapes, strict=True)
        ]

    def _part(self, node: Node) -> int:
        (whole,) = node.operands
        if whole not in self.parts:
            raise UnfitError(self.graph.nodes[whole].primitive.name)
        return self.parts[whole][node.index]

    def _computed(self, node: Node) -> int:
        """The value of a node that sums, or that a library computes."""
        known = _KNOWN.get(node.primitive.name)
        if known is None:
            return self.flow.add(self._reducing(node))[0]
        given = [self.operand(a) for a in node.operands]
        return known(self.flow, node.type, given, arguments(node))

    def _reducing(self, node: Node) -> Statement:
        """The statement of a node that sums, or that a library computes."""
        given = tuple([self.operand(a) for a in node.operands])
        shapes = [self.flow.types[v].shape for v in given]
        type, params, name = node.type, arguments(node), node.primitive.name
        sized = all(map(math.prod, shapes))
        match name:
            case "sum":
                return Summed(type, given, tuple(params["axis"]))
            case "max" | "min" if sized and self.side and type.dtype.kind == "f":
                places = PlaceOfExtreme(
                    Type(INT, type.shape), given, tuple(params["axis"]), name == "max"
                )
                operands = (*given, self.flow.add(places)[0])
                return Gathered(type, operands, None)
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

    def operand(self, i: int) -> int:
        """The value of a node; a scalar constant becomes one when it is needed."""
        node = self.graph.nodes[i]
        if i not in self.value:
            assert node.primitive is CONST
            self.value[i] = self.flow.number(node.value, node.type.dtype)
        return self.value[i]

    def _map(self, own: Sequence[int]) -> None:
        nodes, given = self.graph.nodes, list[int]()

        def enter(builder: Trace, a: int) -> int:
            given.append(self.operand(a))
            return read(builder, nodes[a].type.dtype)

        builder, index = composed(nodes, own, enter)
        shape = nodes[own[0]].type.shape
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
        given = [self.operand(a) for a in node.operands]
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
        missing = 0 if (places < 0).any() else None
        operands = (given[0], self.flow.constant(places))
        return self.flow.add(Gathered(node.type, operands, missing))[0]

    def _put(self, node: Node) -> int:
        base, value = [self.operand(a) for a in node.operands]
        positions = arguments(node)["positions"]
        to = positions.shape
        if not math.prod(to):
            return base
        own = self.flow.types[value].shape
        if own != to:
            value = self.flow.seen(value, broadcast(own, to))
        if isinstance(positions, Places):
            window = Window(to, positions.start, positions.steps)
        else:
            window = affine(positions)
        if window is None or repeated(window):
            raise UnfitError("put")
        shape = node.type.shape
        box = unit_box(window, shape)
        if box is None:
            return self.flow.add(Written(node.type, (base, value), window))[0]
        pieces = [Piece(b, base, inside(b, shape)) for b in full(shape).without(box)]
        pieces.append(Piece(box, value, back(window, shape)))
        return self.flow.add(Moved(node.type, tuple(pieces)))[0]


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
