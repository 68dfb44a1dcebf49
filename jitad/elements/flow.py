"""What a function computes of whole arrays at one point: statements on numbered values.

A `Map` computes elements, `Moved` and `Written` move them, `Placed` and `Summed` add
them up, `Repeated` is a loop, and `Recurrence` one that writes element by element; what
a library computes is in `library` and the modules that import it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jitad.ir.graph import Graph, Type

from .library import Library, Single, number_graph, of_elements
from .recurrence import Recurrence
from .repeated import Repeated
from .windows import Box, Shape, Window, along_axes, full, turned, whole


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


Statement = Map | Moved | Written | Placed | Summed | Library | Repeated | Recurrence


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
    _graphs: dict[Any, Graph] = field(default_factory=dict)

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
        if isinstance(statement, Map):
            statement = replace(statement, graph=self.same(statement.graph))
        return self.place(statement, [self.new(t) for t in statement.types])

    def same(self, graph: Graph) -> Graph:
        """The graph that was met earlier and is equal, if there is one."""
        nodes = tuple([node[:4] for node in graph.nodes])
        return self._graphs.setdefault((nodes, graph.inputs, graph.outputs), graph)

    def place(self, statement: Statement, results: list[int]) -> list[int]:
        """Append a statement whose results have numbers already."""
        self.statements.append(statement)
        self.results.append(results)
        self._makers |= dict.fromkeys(results, statement)
        return results

    def alias(self, value: int) -> int:
        """The same value by another number."""
        type = self.types[value]
        piece = Piece(full(type.shape), value, whole(type.shape))
        return self.add(Moved(type, (piece,) if type.size else ()))[0]

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
            dict(self._once), dict(self._makers), self._graphs,
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
        return self.add(Map(number_graph(value, dtype), (), ()))[0]

    def mapped(
        self,
        function: Callable[..., Any],
        operands: Sequence[int],
        type: Type | None = None,
    ) -> int:
        """A function of elements; of a type, or of the first operand's shape."""
        types = [self.types[x] for x in operands]
        dtypes, shape = [t.dtype for t in types], (type or types[0]).shape
        graph = of_elements(function, dtypes, type and type.dtype)
        return self.add(Map(graph, tuple(operands), shape))[0]

    def seen(self, value: int, window: Window) -> int:
        """A value seen through a window; itself where that shows all of it."""
        type = self.types[value]
        if window == whole(type.shape):
            return value
        piece = Piece(full(window.shape), value, window)
        pieces = (piece,) if math.prod(window.shape) else ()
        return self.add(Moved(Type(type.dtype, window.shape), pieces))[0]


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
