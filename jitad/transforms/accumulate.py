"""The symbolic Jacobian of a scalar graph: forward, reverse or cross-country.

All three orders eliminate the vertices between inputs and outputs, in different
sequence (Griewank and Walther, Evaluating Derivatives, 2nd ed., chapters 9 and 10).
Cross-country starts in Markowitz order and is improved by a local search.  What
counts is not multiplications but the weighted operations that are left to execute
after simplification, so each candidate is built, and the cheapest kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Literal

from jitad.ir.graph import PACK, Graph, Type, reach
from jitad.transforms import differentiate as ad
from jitad.transforms import scalarize as sc
from jitad.transforms.differentiate import Linearized

Mode = Literal["forward", "reverse", "cross"]
MODES: tuple[Mode, ...] = ("forward", "reverse", "cross")

# Estimated multiplications above which an order is not tried, relative to the best.
_HOPELESS = 3.0
# Elimination multiplications that the local search may spend.
_SEARCH = 4_000
# Multiplications for each edge of the graph beyond which Markowitz gives up.
_FILL = 4
_CROSS_LIMIT = 30_000

Entries = dict[tuple[int, int], int]


@dataclass(frozen=True, slots=True)
class Accumulated:
    """A Jacobian graph, what each mode would cost, and the mode taken.

    untried says of the other modes, in words, why they were not built.
    """

    graph: Graph
    mode: Mode
    costs: dict[str, float]
    untried: dict[str, str]


def jacobian(
    graph: Graph,
    wrt: Sequence[int],
    *,
    mode: Mode | None = None,
    value: bool = False,
    symmetric: bool = False,
    of: Sequence[int] | None = None,
) -> Accumulated:
    """(x -> y)  ->  (x -> [y,] ∂y/∂x), the cheapest mode unless one is given.

    One output of shape y.shape + x.shape for every y in `of` (default: all outputs)
    and every x in wrt, y varying slowest.  symmetric says that ∂y/∂x is a symmetric matrix (a
    Hessian), whose upper triangle is computed.
    """
    line = ad.linearize(graph, wrt)
    of = range(len(line.outputs)) if of is None else of
    rows = [int(v) for k in of for v in line.outputs[k].ravel()]
    columns = [int(e) for k in wrt for e in line.elements[k].ravel()]
    roots = [int(v) for o in line.outputs for v in o.ravel()] if value else []
    wanted = _triangle(len(rows)) if symmetric else None
    costs: dict[str, float] = {}
    untried: dict[str, str] = {}
    best: tuple[float, Mode, Entries] | None = None
    for candidate in (mode,) if mode else _candidates(line, rows, columns, untried):
        if candidate == "cross":
            entries = _cross(line, rows, columns, roots, costs, forced=bool(mode))
            if entries is None:
                untried["cross"] = "elimination takes many more multiplications"
                continue
        else:
            entries = _METHODS[candidate](line, rows, columns)
        if wanted is not None:
            entries = {k: v for k, v in entries.items() if k in wanted}
        costs[candidate] = cost(line, [*roots, *entries.values()])
        if best is None or costs[candidate] < best[0]:
            best = costs[candidate], candidate, entries
    assert best is not None
    _, chosen, entries = best
    if symmetric:
        entries |= {(c, r): v for (r, c), v in entries.items()}
    return Accumulated(_assemble(line, wrt, of, entries, value), chosen, costs, untried)


def _triangle(n: int) -> set[tuple[int, int]]:
    return {(r, c) for r in range(n) for c in range(r, n)}


def cost(line: Linearized, roots: Sequence[int]) -> float:
    """Weighted operations that computing roots takes."""
    nodes = line.target.nodes
    return sum(nodes[i].primitive.cost for i in reach(nodes, roots))


def _candidates(
    line: Linearized,
    rows: Sequence[int],
    columns: Sequence[int],
    untried: dict[str, str],
) -> list[Mode]:
    """The modes worth building, by a bound on their multiplications.

    Puts the reasons against the others into untried.
    """
    sources = _counts(line, columns)
    sinks = _sink_counts(line, rows)
    forward = sum(sources.get(a, 0) for e in line.edges.values() for a, _ in e)
    reverse = sum(sinks.get(v, 0) * len(e) for v, e in line.edges.items())
    least = min(forward, reverse)
    modes: list[Mode] = []
    bounds: dict[Mode, int] = {"reverse": reverse, "forward": forward}
    for mode, bound in bounds.items():
        if bound <= _HOPELESS * least:
            modes.append(mode)
        else:
            untried[mode] = f"up to {bound:,} multiplications against {least:,}"
    if len(rows) <= 1 or len(columns) <= 1:
        one = "output" if len(rows) <= 1 else "input"
        untried["cross"] = f"seldom gains with one {one}"
    elif least > _CROSS_LIMIT:
        untried["cross"] = f"{least:,} multiplications are too many to search"
    else:
        modes.append("cross")
    return modes


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


# -- the three orders ----------------------------------------------------------


def _one(line: Linearized, v: int) -> int:
    return line.target.number(1.0, line.target.nodes[v].type.dtype)


def _forward(
    line: Linearized, rows: Sequence[int], columns: Sequence[int]
) -> Entries:
    target = line.target
    tangents: dict[int, dict[int, int]] = {
        x: {c: _one(line, x)} for c, x in enumerate(columns)
    }
    for v, edges in line.edges.items():
        total: dict[int, int] = {}
        for a, p in edges:
            for c, t in tangents.get(a, {}).items():
                term = ad.multiply(target, p, t)
                total[c] = ad.add(target, total[c], term) if c in total else term
        tangents[v] = total
    return {
        (r, c): t for r, v in enumerate(rows) for c, t in tangents.get(v, {}).items()
    }


def _reverse(
    line: Linearized, rows: Sequence[int], columns: Sequence[int]
) -> Entries:
    """All outputs at once: cotangents are kept by output."""
    target = line.target
    cotangents: dict[int, dict[int, int]] = {}
    for r, v in enumerate(rows):
        cotangents.setdefault(v, {})[r] = _one(line, v)
    for v in reversed(line.edges):
        bars = cotangents.get(v)
        if not bars:
            continue
        for a, p in line.edges[v]:
            total = cotangents.setdefault(a, {})
            for r, bar in bars.items():
                term = ad.multiply(target, p, bar)
                total[r] = ad.add(target, total[r], term) if r in total else term
    return {
        (r, c): t
        for c, x in enumerate(columns)
        for r, t in cotangents.get(x, {}).items()
    }


def _cross(
    line: Linearized,
    rows: Sequence[int],
    columns: Sequence[int],
    roots: Sequence[int],
    known: dict[str, float],
    *,
    forced: bool,
) -> Entries | None:
    """Markowitz elimination, then a search from the best of the three orders.

    known holds the costs of the modes that have been built: where one of them beats
    Markowitz, the search starts from the elimination order that it stands for.
    None where Markowitz fills in hopelessly, unless cross-country is forced.
    """
    inner = _inner(line, rows, columns)
    edges = sum(map(len, line.edges.values()))
    limit = None if forced else _FILL * edges
    entries, order, spent = _eliminate(line, rows, columns, None, inner, limit)
    if limit is not None and spent > limit:
        return None
    least = cost(line, [*roots, *entries.values()])
    better = min(known, key=lambda m: known[m], default="")
    if better and known[better] < least:
        sequence = inner if better == "forward" else inner[::-1]
        entries, order, spent = _eliminate(line, rows, columns, sequence, inner)
        least = cost(line, [*roots, *entries.values()])
    return _search(line, rows, columns, roots, (least, entries, order, spent))


def _inner(line: Linearized, rows: Sequence[int], columns: Sequence[int]) -> list[int]:
    """Vertices on a path from an input to an output, neither of them."""
    ends = {*rows, *columns}
    useful = set(rows)
    for v in reversed(line.edges):
        if v in useful:
            useful.update(a for a, _ in line.edges[v])
    return [v for v in line.edges if v in useful and v not in ends]


def _search(
    line: Linearized,
    rows: Sequence[int],
    columns: Sequence[int],
    roots: Sequence[int],
    start: tuple[float, Entries, list[int], int],
) -> Entries:
    """Move single vertices in the elimination order while that makes it cheaper.

    The moves come from a fixed linear congruence, so the result is reproducible, and
    their number is bounded by the multiplications they take.
    """
    least, entries, order, spent = start
    inner = sorted(order)
    if len(order) < 2:
        return entries
    state = 12345
    for _ in range(min(64, _SEARCH // max(spent, 1))):
        state = (1103515245 * state + 12345) % 2**31
        i = (state >> 8) % len(order)
        state = (1103515245 * state + 12345) % 2**31
        j = (state >> 8) % len(order)
        moved = order[:i] + order[i + 1 :]
        moved.insert(j, order[i])
        found, _, _ = _eliminate(line, rows, columns, moved, inner)
        now = cost(line, [*roots, *found.values()])
        if now < least:
            least, entries, order = now, found, moved
    return entries


def _eliminate(
    line: Linearized,
    rows: Sequence[int],
    columns: Sequence[int],
    order: Sequence[int] | None,
    inner: Sequence[int],
    limit: int | None = None,
) -> tuple[Entries, list[int], int]:
    """Eliminate inner vertices in the given order, or in Markowitz order.

    Returns the entries, the order taken and the number of multiplications; it gives
    up, with no entries, when these exceed the limit.
    """
    target = line.target
    # Columns are sources: an output that is also an input keeps its own row below.
    before: dict[int, dict[int, int]] = {
        v: dict(edges) for v, edges in line.edges.items()
    }
    after: dict[int, dict[int, int]] = {}
    for v, edges in before.items():
        for a, p in edges.items():
            after.setdefault(a, {})[v] = p
    taken, spent = [], 0
    queue = None if order is not None else _Queue(inner, before, after)
    for k in range(len(inner)):
        v = order[k] if queue is None else queue.pop()
        taken.append(v)
        preds, succs = before.pop(v), after.pop(v, {})
        for s, p in succs.items():
            row = before[s]
            del row[v]
            for a, q in preds.items():
                term = ad.multiply(target, p, q)
                spent += 1
                row[a] = ad.add(target, row[a], term) if a in row else term
                after[a][s] = row[a]
        for a in preds:
            del after[a][v]
        if queue is not None:
            queue.update((*preds, *succs))
        if limit is not None and spent > limit:
            return {}, taken, spent
    return _entries(line, rows, columns, before), taken, spent


class _Queue:
    """Vertices left to eliminate, the one of least Markowitz degree first.

    The degree is the number of multiplications that eliminating the vertex takes.
    """

    def __init__(
        self,
        vertices: Sequence[int],
        before: dict[int, dict[int, int]],
        after: dict[int, dict[int, int]],
    ) -> None:
        self.before, self.after = before, after
        self.left = set(vertices)
        self.heap = [(self.degree(v), -v) for v in vertices]
        heapify(self.heap)

    def degree(self, v: int) -> int:
        return len(self.before.get(v, ())) * len(self.after.get(v, ()))

    def pop(self) -> int:
        while True:
            degree, v = heappop(self.heap)
            if -v in self.left and degree == self.degree(-v):
                self.left.discard(-v)
                return -v

    def update(self, vertices: Iterable[int]) -> None:
        """Vertices whose degrees have changed get their place anew."""
        for v in vertices:
            if v in self.left:
                heappush(self.heap, (self.degree(v), -v))


def _entries(
    line: Linearized,
    rows: Sequence[int],
    columns: Sequence[int],
    before: dict[int, dict[int, int]],
) -> Entries:
    """Entries from what is left: edges between inputs and outputs, outputs chained."""
    target, place = line.target, {x: c for c, x in enumerate(columns)}
    done: dict[int, dict[int, int]] = {x: {c: _one(line, x)} for x, c in place.items()}
    for v in line.edges:
        if v not in before or v not in set(rows):
            continue
        total: dict[int, int] = dict(done.get(v, {}))
        for a, p in before[v].items():
            for c, t in done.get(a, {}).items():
                term = ad.multiply(target, p, t)
                total[c] = ad.add(target, total[c], term) if c in total else term
        done[v] = total
    return {(r, c): t for r, v in enumerate(rows) for c, t in done.get(v, {}).items()}


_METHODS: dict[
    Mode, Callable[[Linearized, Sequence[int], Sequence[int]], Entries]
] = {"forward": _forward, "reverse": _reverse}


def _assemble(
    line: Linearized,
    wrt: Sequence[int],
    of: Sequence[int],
    entries: Entries,
    value: bool,
) -> Graph:
    target = line.target
    outputs = ad.values(line) if value else []
    row = 0
    for o in of:
        ids, type = line.outputs[o], line.types[o]
        column = 0
        for k in wrt:
            x = target.nodes[line.inputs[k]].type
            zero = target.number(0.0, x.dtype)
            flat = [
                ad.cast(target, entries.get((row + i, column + j), zero), x.dtype)
                for i in range(ids.size)
                for j in range(x.size)
            ]
            shape = type.shape + x.shape
            outputs.append(target.add(PACK, tuple(flat), Type(x.dtype, shape)))
            column += x.size
        row += ids.size
    return target.finish(outputs)
