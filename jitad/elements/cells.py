"""Arrays that are not stored yet: boxes of elements, each with its expression.

An expression says what element i of an array is, by elements of stored arrays at places
that are affine in i.  So views, shifts and concatenations cost nothing, and what is
elementwise is computed where it is needed, or once and stored (see `build`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitad.ir.graph import Graph, Type, scalar
from jitad.ir.primitive import registry
from jitad.ir.tracer import Trace
from jitad.transforms.scalars.scalarize import elements
from jitad.transforms.scalars.templates import instantiate

from .windows import Axes, Box, Shape, full


class Expression:
    """What an element of an array is."""

    weight = 0.0  # weighted operations


@dataclass(frozen=True, eq=False)
class Number(Expression):
    """The same number everywhere."""

    value: np.generic


@dataclass(frozen=True, eq=False)
class Source(Expression):
    """Element start + Σ i·steps of a stored array, in C order."""

    value: int
    dtype: np.dtype
    start: int
    steps: Shape


class Applied(Expression):
    """The results of a graph of one element."""

    def __init__(self, graph: Graph, operands: Sequence[Expression]) -> None:
        self.graph, self.operands = graph, tuple(operands)
        self.own = sum(node.primitive.cost for node in graph.nodes)
        self.weight = self.own + sum(x.weight for x in operands)


class Result(Expression):
    """One of them."""

    def __init__(self, of: Applied, output: int) -> None:
        self.of, self.output = of, output
        self.weight = of.weight


class Added(Expression):
    """The sum of several."""

    def __init__(self, terms: Sequence[Expression]) -> None:
        self.terms = tuple(terms)
        self.weight = len(terms) + sum(x.weight for x in terms)


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """The elements of a box: at index i of the array, not of the box."""

    box: Box
    expression: Expression


Cells = tuple[Cell, ...]


def stored(value: int, type: Type, steps: Shape) -> Cells:
    """An array that is there."""
    source = Source(value, type.dtype, 0, steps)
    return (Cell(full(type.shape), source),)


def moved(expression: Expression, axes: Axes, rank: int) -> Expression:
    """The expression of an array of a rank through a window by axes of its source."""
    return _moved(expression, axes, rank, {})


def _moved(
    x: Expression, axes: Axes, rank: int, known: dict[int, Expression]
) -> Expression:
    found = known.get(id(x))
    if found is not None:
        return found
    match x:
        case Source():
            start, steps = x.start, [0] * rank
            for k, step in enumerate(x.steps):
                start += step * axes.start[k]
                if axes.axis[k] >= 0:
                    steps[axes.axis[k]] += step * axes.step[k]
            found = Source(x.value, x.dtype, start, tuple(steps))
        case Applied():
            own = [_moved(o, axes, rank, known) for o in x.operands]
            found = Applied(x.graph, own)
        case Result():
            of = _moved(x.of, axes, rank, known)
            assert isinstance(of, Applied)
            found = Result(of, x.output)
        case Added():
            found = Added([_moved(o, axes, rank, known) for o in x.terms])
        case _:
            found = x
    known[id(x)] = found
    return found


def through(cells: Cells, axes: Axes, shape: Shape) -> Cells:
    """An array's cells, seen through a window of a shape by axes of it."""
    made = []
    for cell in cells:
        box = _before(cell.box, axes, shape)
        if box is not None:
            made.append(Cell(box, moved(cell.expression, axes, len(shape))))
    return tuple(made)


def _before(box: Box, axes: Axes, shape: Shape) -> Box | None:
    """Which indices of a window are at elements of a box."""
    low, high = [0] * len(shape), list(shape)
    for k, b in enumerate(axes.axis):
        first, last = box.low[k] - axes.start[k], box.high[k] - 1 - axes.start[k]
        step = axes.step[k]
        if b < 0 or step == 0:
            if not first <= 0 <= last:
                return None
            continue
        if step < 0:
            first, last, step = -last, -first, -step
        low[b] = max(low[b], -(-first // step))
        high[b] = min(high[b], last // step + 1)
    if any(a >= b for a, b in zip(low, high, strict=True)):
        return None
    return Box(tuple(low), tuple(high))


def shifted(cells: Cells, to: Shape) -> Cells:
    """An array's cells where it begins at another place of a larger one."""
    axes = Axes(tuple([-n for n in to]), (1,) * len(to), tuple(range(len(to))))
    made = []
    for cell in cells:
        low, high = (
            tuple([a + n for a, n in zip(end, to, strict=True)])
            for end in (cell.box.low, cell.box.high)
        )
        made.append(Cell(Box(low, high), moved(cell.expression, axes, len(to))))
    return tuple(made)


def refined(
    shape: Shape, arrays: Sequence[Cells]
) -> Iterator[tuple[Box, list[Expression]]]:
    """Boxes in which each of some arrays of a shape is one expression, with these."""
    parts: list[tuple[Box, list[Expression]]] = [(full(shape), [])]
    for cells in arrays:
        parts = [
            (met, [*own, cell.expression])
            for box, own in parts
            for cell in cells
            if (met := box.meet(cell.box)) is not None
        ]
    yield from parts


def overlaid(type: Type, terms: Sequence[Cells], most: int) -> Cells | None:
    """The sum of what lies on an array of zeros; None where it has too many cells."""
    parts: list[tuple[Box, list[Expression]]] = [(full(type.shape), [])]
    for cells in terms:
        for cell in cells:
            left = []
            for box, own in parts:
                met = box.meet(cell.box)
                if met is None:
                    left.append((box, own))
                    continue
                left += [(other, own) for other in box.without(cell.box)]
                left.append((met, [*own, cell.expression]))
            parts = left
            if len(parts) > most:
                return None
    zero = Number(type.dtype.type(0))
    return tuple([Cell(box, _added(own) if own else zero) for box, own in parts])


def overlap(type: Type, terms: Sequence[Cells]) -> Cell | None:
    """The sum of terms in a box with most of the elements; None: there is none.

    What is added anywhere in the box is added everywhere in it.
    """
    core, own = full(type.shape), list[Expression]()
    for cell in itertools.chain.from_iterable(terms):
        met = core.meet(cell.box)
        beside = max(core.without(cell.box), key=lambda box: box.size, default=None)
        if met is not None and (beside is None or met.size > beside.size):
            core = met
            own.append(cell.expression)
        elif met is not None and beside is not None:
            core = beside
    if not own or 2 * core.size < type.size:
        return None
    return Cell(core, _added(own))


def _added(terms: Sequence[Expression]) -> Expression:
    return terms[0] if len(terms) == 1 else Added(terms)


def graph_of(builder: Trace, x: Expression, index: dict[Any, int]) -> int:
    """The node of an expression in a graph of one element, and inputs for its sources.

    index  where expressions are already, by identity
    """
    found = index.get(id(x))
    if found is not None:
        return found
    match x:
        case Number():
            found = builder.const(x.value)
        case Result():
            if id(x.of) not in index:
                own = [graph_of(builder, o, index) for o in x.of.operands]
                made = instantiate(builder, x.of.graph, own)
                for k, node in enumerate(made):
                    index[id(x.of), k] = node
                index[id(x.of)] = -1
            found = index[id(x.of), x.output]
        case Added():
            own = [graph_of(builder, o, index) for o in x.terms]
            add, found = registry.primitives["add"], own[0]
            for other in own[1:]:
                found = builder.apply(add, (found, other), builder.nodes[found].type)
        case Source():
            raise AssertionError("sources are inputs, and there already")
        case _:
            raise AssertionError(x)
    index[id(x)] = found
    return found


def sources(x: Expression, known: set[int] | None = None) -> Iterator[Source]:
    """The stored elements that an expression reads, each once."""
    known = set() if known is None else known
    if id(x) in known:
        return
    known.add(id(x))
    match x:
        case Source():
            yield x
        case Applied():
            for o in x.operands:
                yield from sources(o, known)
        case Result():
            yield from sources(x.of, known)
        case Added():
            for o in x.terms:
                yield from sources(o, known)


def weighed(expressions: Iterable[Expression]) -> float:
    """The weighted operations of several, what they have in common counted once."""
    waiting, known, found = [*expressions], set[int](), 0.0
    while waiting:
        x = waiting.pop()
        if id(x) in known:
            continue
        known.add(id(x))
        match x:
            case Applied():
                found += x.own
                waiting += x.operands
            case Result():
                waiting.append(x.of)
            case Added():
                found += len(x.terms)
                waiting += x.terms
    return found


def read(builder: Trace, dtype: np.dtype) -> int:
    """A new input of a graph of one element, as a node."""
    return int(elements(builder, builder.input(scalar(dtype))))
