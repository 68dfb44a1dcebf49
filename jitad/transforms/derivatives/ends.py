"""Derivatives of infinite slopes at the ends of domains, where sums of them are NaN.

A slope that becomes infinite as its variable comes to the end of a domain has, in the
end, a derivative of one sign, for it is made of functions that do not oscillate there
(Hardy, Orders of Infinity, 1910): +∞ is come to by growing.  So its derivative is
infinite, too, and only its sign is asked: that of the slope, and of the way to the end.
The way is told by what makes it infinite, the slope of a root or the like, whose own
derivative is stated.  Added up term by term the same may be ∞ - ∞ or 0 · ∞, as that of
exp(√x) at 0, -∞.

Start at `Ends`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce

import numpy as np

from jitad.ir.graph import reach, scalar
from jitad.ir.primitive import registry
from jitad.ir.tracer import Trace
from jitad.primitives.scalar.elementwise import GATES, settled

from . import products
from .entries import Entries
from .linearized import Linearized

# What of two infinite numbers is NaN only where one of a single one is.
_PRODUCTS = frozenset({"mul", "factor_mul", "select", *GATES})
# Of more slopes the entries stay as they are: each takes operations at every point.
_MOST = 4
_BOOL = scalar(np.dtype(bool))


class Ends:
    """The slopes by which some rows of a Jacobian may be infinite, as further rows.

    slopes  those of the given ones that a row is made of
    rows    the given rows, and the slopes after them
    """

    def __init__(
        self, line: Linearized, rows: Sequence[int], slopes: Sequence[int]
    ) -> None:
        self.builder, self.given = line.builder, tuple(rows)
        self._of = _made_of(line.builder, rows, slopes)
        found = {v for own in self._of.values() for v in own}
        few = len(found) <= _MOST
        self.slopes = [v for v in slopes if v in found] if few else []
        self._grown: dict[tuple[frozenset[int], int], int] = {}
        self.rows = (*rows, *self.slopes)

    def settled(self, found: Entries) -> Entries:
        """The entries of the given rows, where they are NaN by their limits."""
        count = len(self.given)
        entries = {key: v for key, v in found.items() if key[0] < count}
        if not self.slopes:
            return entries
        self._grown.clear()
        doubtful = _sums(self.builder, entries.values(), self.slopes)
        for key, v in entries.items():
            row, column = self.given[key[0]], key[1]
            grown = self._sum(found, self._of[row], column) if v in doubtful else None
            if grown is not None:
                limit = products.multiply(self.builder, self._if_infinite(row), grown)
                entries[key] = self._unless_known(v, limit)
        return entries

    def _sum(self, found: Entries, made_of: frozenset[int], column: int) -> int | None:
        """The signs, as infinities, of derivatives of those slopes that are infinite.

        0 if none is, NaN if they are of both signs or not known.
        """
        if (made_of, column) not in self._grown:
            terms = [
                self._sign(slope, found[len(self.given) + k, column])
                for k, slope in enumerate(self.slopes)
                if slope in made_of and (len(self.given) + k, column) in found
            ]
            if not terms:
                return None
            total = reduce(lambda a, b: products.add(self.builder, a, b), terms)
            self._grown[made_of, column] = total
        return self._grown[made_of, column]

    def _sign(self, slope: int, grown: int) -> int:
        product = products.multiply(self.builder, slope, grown)
        return self._chosen(slope, product, 0.0)

    def _if_infinite(self, row: int) -> int:
        return self._chosen(row, row, math.nan)

    def _chosen(self, i: int, value: int, other: float) -> int:
        """A value where number i is infinite."""
        builder, table = self.builder, registry.primitives
        type = builder.nodes[value].type
        there = builder.apply(table["isinf"], (i,), _BOOL)
        given = (there, value, builder.number(other, type.dtype))
        return builder.apply(table["select"], given, type)

    def _unless_known(self, v: int, limit: int) -> int:
        type = self.builder.nodes[v].type
        limit = self.builder.cast(limit, type.dtype)
        return self.builder.apply(settled, (v, limit), type)


def _made_of(
    builder: Trace, rows: Sequence[int], slopes: Sequence[int]
) -> dict[int, frozenset[int]]:
    """For every row those of the slopes that it is made of.

    None where it is made of sines and the like of angles that end at a rounded π: what
    is 0 in truth, as cos(arcsin(1)), and should keep it finite, is not.
    """
    if not slopes:
        return {}
    masks = {v: 1 << k for k, v in enumerate(slopes)}
    angle, rounded = 1 << len(slopes), 2 << len(slopes)
    for v in reach(builder.nodes, rows):
        name, mask = builder.nodes[v].primitive.name, masks.get(v, 0)
        for a in builder.nodes[v].operands:
            mask |= masks.get(a, 0)
        if name in ("arcsin", "arccos"):
            mask |= angle
        elif name in ("sin", "cos", "tan") and mask & angle:
            mask |= rounded
        masks[v] = mask
    sets = {
        mask: frozenset(s for k, s in enumerate(slopes) if mask >> k & 1)
        if not mask & rounded
        else frozenset[int]()
        for mask in {masks[v] for v in rows}
    }
    return {v: sets[masks[v]] for v in rows}


def _sums(
    builder: Trace, outputs: Iterable[int], slopes: Sequence[int]
) -> frozenset[int]:
    """The nodes with a sum in them of which two terms are made of slopes."""
    made, found = set(slopes), set[int]()
    for v in reach(builder.nodes, outputs):
        node = builder.nodes[v]
        own = [a for a in node.operands if a in made]
        if own:
            made.add(v)
        if (len(own) > 1 and node.primitive.name not in _PRODUCTS) or any(
            a in found for a in own
        ):
            found.add(v)
    return frozenset(found)
