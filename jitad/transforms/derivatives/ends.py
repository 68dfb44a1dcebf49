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
        self.slopes = [v for v in slopes if any(v in own for own in self._of.values())]
        self.rows = (*rows, *self.slopes)

    def settled(self, found: Entries) -> Entries:
        """The entries of the given rows, where they are NaN by their limits."""
        count = len(self.given)
        entries = {key: v for key, v in found.items() if key[0] < count}
        if not self.slopes:
            return entries
        doubtful = _sums(self.builder, entries.values(), self.slopes)
        for key, v in entries.items():
            row, column = key
            if v not in doubtful:
                continue
            own = self.given[row]
            terms = [
                self._limit(own, slope, found[count + k, column])
                for k, slope in enumerate(self.slopes)
                if slope in self._of[own] and (count + k, column) in found
            ]
            if terms:
                limit = reduce(lambda a, b: products.add(self.builder, a, b), terms)
                entries[key] = self._unless_known(v, limit)
        return entries

    def _limit(self, row: int, slope: int, grown: int) -> int:
        """By the derivative of a slope that of a row, where both are infinite; or 0."""
        builder, table = self.builder, registry.primitives
        both = [builder.apply(table["isinf"], (i,), _BOOL) for i in (row, slope)]
        there = builder.apply(table["and"], (both[0], both[1]), _BOOL)
        product = products.multiply(builder, row, slope)
        product = products.multiply(builder, product, grown)
        type = builder.nodes[product].type
        zero = builder.number(0.0, type.dtype)
        return builder.apply(table["select"], (there, product, zero), type)

    def _unless_known(self, v: int, limit: int) -> int:
        type = self.builder.nodes[v].type
        limit = self.builder.cast(limit, type.dtype)
        return self.builder.apply(settled, (v, limit), type)


def _made_of(
    builder: Trace, rows: Sequence[int], slopes: Sequence[int]
) -> dict[int, set[int]]:
    """For every row those of the slopes that it is made of."""
    if not slopes:
        return {}
    masks = {v: 1 << k for k, v in enumerate(slopes)}
    for v in reach(builder.nodes, rows):
        mask = masks.get(v, 0)
        for a in builder.nodes[v].operands:
            mask |= masks.get(a, 0)
        masks[v] = mask
    return {v: {s for k, s in enumerate(slopes) if masks[v] >> k & 1} for v in rows}


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
