"""Where paths meet: names and arrays become what the conditions say.

A path is a list of conditions, each with its outcome, from the beginning of a region.
`meet` selects by the conditions in which paths differ, so that an `if` with an `else`
gives one select for each name that they give different values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from .heap import Apart, Cell, Reference, State
from .numbers import dtype, is_number, same, select, shape

# A name of the reader's: whether something was raised on the way here.
FAILS = "whether it raises"


class Turn(NamedTuple):
    """A condition, the outcome of it, and which part of all ways goes on from it.

    Of a region's ways a branch sends one half to either side, so that where the parts
    of some paths sum up to that of an earlier point, all ways from there have met.
    """

    condition: Any
    outcome: bool
    part: Fraction


class Edge(NamedTuple):
    """A way to a block: its path, which part of all ways it is, and the state."""

    path: tuple[Turn, ...]
    part: Fraction
    state: State


def holds(path: Sequence[Turn]) -> Any:
    """Whether a path is taken, as a truth: True for the empty one."""
    parts = [t.condition if t.outcome else np.logical_not(t.condition) for t in path]
    return reduce(np.logical_and, parts) if parts else True


def fork(edge: Edge, condition: Any) -> tuple[Edge, Edge]:
    """The two ways that go on where a traced condition holds, and where not."""
    half = edge.part / 2
    yes, no = (
        Edge((*edge.path, Turn(condition, outcome, half)), half, state)
        for outcome, state in ((True, edge.state), (False, edge.state.copy()))
    )
    return yes, no


def meet(
    edges: Sequence[Edge], names: Iterable[str], ours: Callable[[int], bool]
) -> Edge:
    """One way out of several, for those who read these names.

    ours  whether an array is one that nobody outside the function knows
    """
    if len(edges) == 1:
        return edges[0]
    paths = [e.path for e in edges]
    common = _common(paths)
    shared = paths[0][:common]
    rests = [p[common:] for p in paths]
    part = sum((e.part for e in edges), Fraction(0))
    whole = shared[-1].part if shared else Fraction(1)
    if part < whole:
        taken = reduce(np.logical_or, [holds(r) for r in rests])
        shared = (*shared, Turn(taken, True, part))
    names = sorted({*names} - {FAILS})
    return Edge(shared, part, _joined(edges, rests, names, ours))


def _common(paths: Sequence[tuple[Turn, ...]]) -> int:
    k = 0
    while all(len(p) > k for p in paths) and all(
        p[k].condition is paths[0][k].condition and p[k].outcome == paths[0][k].outcome
        for p in paths
    ):
        k += 1
    return k


def _choose(rests: Sequence[tuple[Turn, ...]], values: Sequence[Any]) -> Any:
    """The value of the path that is taken, of numbers or arrays."""
    if all(same(v, values[0]) for v in values[1:]):
        return values[0]
    heads = [r[0] for r in rests if r]
    if len(heads) == len(rests) and all(
        h.condition is heads[0].condition for h in heads
    ):
        sides = []
        for outcome in (True, False):
            pairs = [
                (r[1:], v)
                for r, v in zip(rests, values, strict=True)
                if r[0].outcome == outcome
            ]
            sides.append(_choose(*map(list, zip(*pairs, strict=True))))  # type: ignore
        return select(heads[0].condition, *sides)
    last = values[-1]
    for rest, value in reversed(list(zip(rests[:-1], values[:-1], strict=True))):
        last = select(holds(rest), value, last)
    return last


def _joined(
    edges: Sequence[Edge],
    rests: Sequence[tuple[Turn, ...]],
    names: Sequence[str],
    ours: Callable[[int], bool],
) -> State:
    state = State()
    states = [e.state for e in edges]
    every = dict.fromkeys(c for s in states for c in s.cells)
    for cell in every:
        have = [k for k, s in enumerate(states) if cell in s.cells]
        values = [states[k].cells[cell].value for k in have]
        value = _choose([rests[k] for k in have], values)
        state.cells[cell] = Cell(value, states[have[0]].cells[cell].sources)
    counts = [
        Counter(c for n in names for c in s.references(s.names.get(n))) for s in states
    ]

    def alone(k: int, found: Reference) -> bool:
        """Whether on way k no other name means this array."""
        return not found.views and counts[k][found.cell] == 1 and ours(found.cell)

    def one(name: str, ways: Sequence[int], values: Sequence[Any]) -> Any:
        first = values[0]
        here = [rests[k] for k in ways]
        if all(v is first for v in values):
            return first
        if all(isinstance(v, Reference) for v in values):
            if all(v.same(first) for v in values):
                return first
            arrays = [states[k].load(v) for k, v in zip(ways, values, strict=True)]
            if len({(shape(a), dtype(a)) for a in arrays}) > 1:
                return Apart(f"{name} is an array of one shape or dtype or another")
            sources: tuple[Any, ...] = ()
            if not all(map(alone, ways, values)):
                sources = tuple((v.cell, state.cells[v.cell].value) for v in values)
            return state.new(_choose(here, arrays), sources)
        if all(type(v) is tuple and len(v) == len(first) for v in values):
            return tuple(
                [one(name, ways, items) for items in zip(*values, strict=True)]
            )
        if all(map(is_number, values)):
            return _choose(here, values)
        if isinstance(first, str) and all(v == first for v in values):
            return first
        return Apart(f"{name} is a {_said(first)} or a {_said(values[-1])}")

    if any(FAILS in s.names for s in states):
        state.names[FAILS] = _choose(rests, [s.names.get(FAILS, False) for s in states])
    for name in names:
        ways = [k for k, s in enumerate(states) if name in s.names]
        if ways:
            # Where a name has no value yet nobody may read it.
            state.names[name] = one(name, ways, [states[k].names[name] for k in ways])
    return state


def _said(value: Any) -> str:
    return "None" if value is None else type(value).__name__
