"""The mode that takes fewest operations, where there are neither loops nor arrays.

Sweeps whose multiplications are bounded by far more than another's are left out.  Of
the others, and of elimination, operations are counted by number, and then only the
best is built.  Start at `choose`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .eliminate import eliminate
from .entries import METHODS, Entries, Mode
from .linearized import Linearized
from .numbering import Numbers, Scalars

# Bounds on multiplications above which a sweep is not counted, relative to the best.
HOPELESS = 2.1
# Multiplications from which no order of elimination is sought.
_CROSS_LIMIT = 30_000
# The part of all operations that cross-country must save; and reverse mode too where
# gates make counts uncertain, for forward mode leaves what only some points need under
# one condition.
_WORTH = 0.04
SELDOM = "seldom gains with one {}"
_HARDLY = f"elimination saves less than {100 * _WORTH:.0f} % of the operations"


@dataclass(frozen=True, slots=True)
class Choice:
    """The best mode, and what is known of the others.

    costs    weighted operations of the modes that were counted, if several were
    untried  why the others were not
    order    of elimination, in cross-country mode
    """

    mode: Mode
    costs: dict[str, float]
    untried: dict[str, str]
    order: Sequence[int] = ()

    def entries(
        self, line: Linearized, rows: Sequence[int], columns: Sequence[int]
    ) -> Entries:
        """The entries, built in this mode."""
        if self.mode == "cross":
            by = Scalars(line.builder)
            return eliminate(line, rows, columns, by, self.order)[0]
        return METHODS[self.mode](line, rows, columns)


def choose(
    line: Linearized,
    rows: Sequence[int],
    columns: Sequence[int],
    roots: Sequence[int],
    wanted: Callable[[Entries], Entries] = lambda entries: entries,
) -> Choice:
    """The mode that takes fewest operations.

    roots   what is computed besides
    wanted  those of the entries that are needed
    """
    bounds = _bounds(line, rows, columns)
    untried: dict[str, str] = {}
    least = min(bounds.values())
    sweeps: list[Mode] = [
        mode for mode, bound in bounds.items() if bound <= HOPELESS * least
    ]
    for mode, bound in bounds.items():
        if mode not in sweeps:
            untried[mode] = f"up to {bound:,} multiplications against {least:,}"
    seldom = len(rows) <= 1 or len(columns) <= 1
    if seldom:
        untried["cross"] = SELDOM.format("output" if len(rows) <= 1 else "input")
    elif least > _CROSS_LIMIT:
        untried["cross"] = f"{least:,} multiplications are too many to search"
    if len(sweeps) == 1 and "cross" in untried:
        return Choice(sweeps[0], {}, untried)
    costs: dict[str, float] = {}
    made: dict[Mode, int] = {}
    gated = False
    for mode in sweeps:
        numbers = Numbers(line.builder)
        found = wanted(METHODS[mode](line, rows, columns, numbers))
        costs[mode], made[mode] = numbers.cost(found.values(), roots), numbers.made
        gated = gated or numbers.gated
    ranks = dict(costs)
    if gated and "forward" in ranks:
        ranks["forward"] *= 1.0 - _WORTH
    best = min(sweeps, key=ranks.__getitem__)
    if "cross" in untried:
        return Choice(best, costs, untried)
    numbers = Numbers(line.builder)

    def enough(spent: int) -> bool:
        return numbers.made > made[best] or spent > HOPELESS * least

    found, order, spent = eliminate(line, rows, columns, numbers, enough=enough)
    cost = numbers.cost(wanted(found).values(), roots)
    if enough(spent) or cost > (1.0 - _WORTH) * costs[best]:
        return Choice(best, costs, {**untried, "cross": _HARDLY})
    return Choice("cross", {**costs, "cross": cost}, untried, order)


def _bounds(
    line: Linearized, rows: Sequence[int], columns: Sequence[int]
) -> dict[Mode, int]:
    """What sweeps multiply at most, by mode, the better first."""
    sources, sinks = _counts(line, columns), _sink_counts(line, rows)
    forward = sum(sources.get(a, 0) for e in line.edges.values() for a, _ in e)
    reverse = sum(sinks.get(v, 0) * len(e) for v, e in line.edges.items())
    bounds: dict[Mode, int] = {"reverse": reverse, "forward": forward}
    return dict(sorted(bounds.items(), key=lambda item: item[1]))


def _counts(line: Linearized, columns: Sequence[int]) -> dict[int, int]:
    """For every node the number of inputs it depends on."""
    masks = {c: 1 << k for k, c in enumerate(columns)}
    for v, edges in line.edges.items():
        mask = masks.get(v, 0)
        for a, _ in edges:
            mask |= masks.get(a, 0)
        masks[v] = mask
    return {v: m.bit_count() for v, m in masks.items()}


def _sink_counts(line: Linearized, rows: Sequence[int]) -> dict[int, int]:
    """For every node the number of outputs that depend on it."""
    masks: dict[int, int] = {}
    for k, v in enumerate(rows):
        masks[v] = masks.get(v, 0) | 1 << k
    for v in reversed(line.edges):
        mask = masks.get(v, 0)
        for a, _ in line.edges[v]:
            masks[a] = masks.get(a, 0) | mask
    return {v: m.bit_count() for v, m in masks.items()}
