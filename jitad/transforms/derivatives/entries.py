"""The entries of a Jacobian as scalars of the graph that is being built.

Forward and reverse mode give all that are not zero; `cost` says what they take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from jitad.ir.graph import reach

from .linearized import Derivatives, Linearized
from .numbering import Algebra, Scalars
from .sweep import forward, pushed, reverse

Mode = Literal["forward", "reverse", "cross"]

# {(row, column): scalar}; what is not there is zero.
Entries = dict[tuple[int, int], int]


def cost(line: Linearized, roots: Sequence[int]) -> float:
    """Weighted operations that computing roots takes."""
    nodes = line.builder.nodes
    return sum(nodes[i].primitive.cost for i in reach(nodes, roots))


def _forward(
    line: Linearized,
    rows: Sequence[int],
    columns: Sequence[int],
    by: Algebra | None = None,
) -> Entries:
    """All inputs at once: tangents are kept by input."""
    by = by or Scalars(line.builder)
    seeds = {x: {c: by.one(x)} for c, x in enumerate(columns)}
    found = forward(line, seeds) if line.loops else _pushed(line, seeds, by)
    return {(r, c): t for r, v in enumerate(rows) for c, t in found.get(v, {}).items()}


def _reverse(
    line: Linearized,
    rows: Sequence[int],
    columns: Sequence[int],
    by: Algebra | None = None,
) -> Entries:
    """All outputs at once: cotangents are kept by output."""
    by = by or Scalars(line.builder)
    seeds: Derivatives = {}
    for r, v in enumerate(rows):
        seeds.setdefault(v, {})[r] = by.one(v)
    found = reverse(line, seeds) if line.loops else _pulled(line, seeds, by)
    return {
        (r, c): t for c, x in enumerate(columns) for r, t in found.get(x, {}).items()
    }


def _pushed(line: Linearized, seeds: Derivatives, by: Algebra) -> Derivatives:
    """Tangents where there are neither loops nor arrays."""
    found = dict(seeds)
    for v, own in by.edges(line.upward).items():
        found[v] = pushed(own, found, by)
    return found


def _pulled(line: Linearized, seeds: Derivatives, by: Algebra) -> Derivatives:
    """Cotangents where there are neither loops nor arrays."""
    found, multiply, add = dict(seeds), by.multiply, by.add
    edges = by.edges(line.downward)
    for v in reversed(edges):
        for r, bar in found.get(v, {}).items():
            for a, p in edges[v]:
                sums, term = found.setdefault(a, {}), multiply(p, bar)
                old = sums.get(r)
                sums[r] = term if old is None else add(old, term)
    return found


METHODS: dict[Mode, Callable[..., Entries]] = {"forward": _forward, "reverse": _reverse}
