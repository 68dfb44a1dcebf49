"""The entries of a Jacobian as scalars of the graph that is being built.

Forward and reverse mode give all that are not zero; `cost` says what they take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jitad.ir.graph import reach
from jitad.transforms.linearized import Derivatives, Linearized
from jitad.transforms.sweep import forward, reverse

# {(row, column): scalar}; what is not there is zero.
Entries = dict[tuple[int, int], int]


def cost(line: Linearized, roots: Sequence[int]) -> float:
    """Weighted operations that computing roots takes."""
    nodes = line.target.nodes
    return sum(nodes[i].primitive.cost for i in reach(nodes, roots))


def one(line: Linearized, v: int) -> int:
    """The derivative of a scalar by itself."""
    return line.target.number(1.0, line.target.nodes[v].type.dtype)


def _forward(line: Linearized, rows: Sequence[int], columns: Sequence[int]) -> Entries:
    tangents = forward(line, {x: {c: one(line, x)} for c, x in enumerate(columns)})
    return {
        (r, c): t for r, v in enumerate(rows) for c, t in tangents.get(v, {}).items()
    }


def _reverse(line: Linearized, rows: Sequence[int], columns: Sequence[int]) -> Entries:
    """All outputs at once: cotangents are kept by output."""
    seeds: Derivatives = {}
    for r, v in enumerate(rows):
        seeds.setdefault(v, {})[r] = one(line, v)
    cotangents = reverse(line, seeds)
    return {
        (r, c): t
        for c, x in enumerate(columns)
        for r, t in cotangents.get(x, {}).items()
    }


METHODS: dict[str, Callable[[Linearized, Sequence[int], Sequence[int]], Entries]] = {
    "forward": _forward,
    "reverse": _reverse,
}
