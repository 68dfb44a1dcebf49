"""What is computed in one sweep over memory: cells that are written, or added up.

A sum rides along where what it is of is read anyway to compute an array; so value and
gradient read their arguments once, and arrays that are computed of the same elements
are computed together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jitad.process.locks import cached_property

from .cells import Expression, Source, moved, sources, weighed
from .steps import Step
from .windows import Axes, Box, Shape, c_steps, full

# Cut into more boxes than this, or with more weighted operations in one, sweeps stay
# apart; so they do where less than this part of one is in the other.
_MOST, _HEAVY, _COMMON = 40, 300.0, 0.9
# So many times the elements of a box may be computed to have no rows.
_SPARE = 1.25
# They are looked for among so many of the steps that follow.
_NEAR = 64


@dataclass(frozen=True, slots=True)
class Store:
    """Elements of an array that are an expression: at index i of the box's array."""

    expression: Expression
    there: Source


@dataclass(frozen=True, slots=True)
class Total:
    """Elements of an array to which the sums of an expression over axes are added.

    there  where they are, by the axes that are left
    """

    expression: Expression
    axes: tuple[int, ...]
    there: Source

    def spread(self, rank: int) -> Source:
        """Where they are, by all axes."""
        own = iter(self.there.steps)
        steps = [0 if k in self.axes else next(own) for k in range(rank)]
        there = self.there
        return Source(there.value, there.dtype, there.start, tuple(steps))


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is computed of a box, all at an index at once.

    added  whether stores add to what is there
    """

    box: Box
    stores: tuple[Store, ...] = ()
    totals: tuple[Total, ...] = ()
    added: bool = False

    @property
    def expressions(self) -> Iterator[Expression]:
        """All that is computed."""
        yield from (each.expression for each in (*self.stores, *self.totals))

    @property
    def weight(self) -> float:
        """Weighted operations of an element."""
        return weighed(self.expressions)


@dataclass(frozen=True, eq=False)
class Sweeps:
    """Sweeps over boxes of arrays of one shape, in any order.

    alone  whether they are in order, and no others may join them
    """

    shape: Shape
    own: tuple[Sweep, ...]
    alone: bool = False

    @cached_property
    def heaviest(self) -> Sweep:
        """The one with the most weighted operations."""
        return max(self.own, key=lambda sweep: sweep.weight)

    @cached_property
    def writes(self) -> set[int]:
        """The arrays that are written."""
        every = [each for s in self.own for each in (*s.stores, *s.totals)]
        return {each.there.value for each in every}

    @cached_property
    def reads(self) -> set[int]:
        """The arrays that are read."""
        known: set[int] = set()
        every = [x for s in self.own for x in s.expressions]
        return {source.value for x in every for source in sources(x, known)}

    @property
    def touched(self) -> set[int]:
        """Both."""
        return self.reads | self.writes


def joined(steps: Sequence[Step | Sweeps]) -> list[Step | Sweeps]:
    """Steps in which sweeps have joined later ones that read the same arrays."""
    made: list[Step | Sweeps] = []
    for step in reversed(steps):
        at = _host(step, made) if isinstance(step, Sweeps) else None
        if at is None:
            made.append(step)
        else:
            made[at[0]] = at[1]
    return made[::-1]


def _host(own: Sweeps, later: Sequence[Step | Sweeps]) -> tuple[int, Sweeps] | None:
    """Which of the later steps, the last of them first, sweeps join; and both."""
    writes, reads = own.writes, own.reads
    for at in reversed(range(max(0, len(later) - _NEAR), len(later))):
        other = later[at]
        if not writes.isdisjoint(other.touched):
            return None
        if isinstance(other, Sweeps) and not reads.isdisjoint(other.reads):
            both = _both(own, other)
            if both is not None:
                return at, both
    return None


def _both(a: Sweeps, b: Sweeps) -> Sweeps | None:
    """Two as one; None where too little is common, or too much comes together."""
    if a.alone or b.alone or len(a.shape) != len(b.shape):
        return None
    common = full(a.shape).meet(full(b.shape))
    sizes = full(a.shape).size, full(b.shape).size
    if common is None or common.size < _COMMON * max(sizes):
        return None
    if weighed([*a.heaviest.expressions, *b.heaviest.expressions]) > _HEAVY:
        return None
    shape = tuple(map(max, a.shape, b.shape))
    own = [
        Sweep(met, (*x.stores, *y.stores), (*x.totals, *y.totals))
        for x in a.own
        for y in b.own
        if (met := x.box.meet(y.box)) is not None
    ]
    own += _left(a.own, b.own)
    own += _left(b.own, a.own)
    return Sweeps(shape, tuple(own)) if len(own) <= _MOST else None


def flattened(sweep: Sweep, shape: Shape) -> Sweep:
    """A sweep over all elements between the first and the last of its box, in memory.

    So there are no rows.  What is computed between the rows is nothing: it is read and
    written within the arrays, and written over by the sweeps over what is beside the
    box.  The same sweep where arrays lie differently, or that is too much.
    shape  of the arrays; all of them are written by the sweeps that belong together
    """
    box, last = sweep.box, len(shape) - 1
    if sweep.totals or sweep.added or not sweep.stores or last < 1:
        return sweep
    every = [x for e in sweep.expressions for x in sources(e)]
    every += [s.there for s in sweep.stores]
    m = last
    while m and all(x.steps[m - 1] == x.steps[m] * shape[m] for x in every):
        m -= 1
    steps = c_steps(shape)
    extent = 1 + sum((box.shape[k] - 1) * steps[k] for k in range(m, last + 1))
    if m == last or extent > _SPARE * math.prod(box.shape[m:]):
        return sweep
    ends = (*box.high[:m], extent)
    start = (*[0] * m, *box.low[m:])
    along = (*[1] * m, *[0] * (last - m), 1)
    axes = Axes(start, along, (*range(m), *[-1] * (last - m), m))
    stores = []
    for store in sweep.stores:
        there = moved(store.there, axes, m + 1)
        assert isinstance(there, Source)
        stores.append(Store(moved(store.expression, axes, m + 1), there))
    return Sweep(Box((*box.low[:m], 0), ends), tuple(stores))


def _left(own: Iterable[Sweep], others: Sequence[Sweep]) -> Iterator[Sweep]:
    """What is of no box of the others."""
    for s in own:
        boxes = [s.box]
        for other in others:
            boxes = [part for box in boxes for part in box.without(other.box)]
        for box in boxes:
            yield Sweep(box, s.stores, s.totals)
