"""Cross-country accumulation: vertices eliminated in Markowitz order, then a search.

Every order of eliminating the vertices between inputs and outputs gives the Jacobian
(Griewank and Walther, Evaluating Derivatives, 2nd ed., chapters 9 and 10): forward and
reverse mode are two of them.  Entries are scalars of the graph being built.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush

from jitad.transforms import products
from jitad.transforms.entries import Entries, cost, one
from jitad.transforms.linearized import Linearized

# Elimination multiplications that the local search may spend.
_SEARCH = 2_000
_MOVES = 16
# Multiplications for each edge of the graph beyond which Markowitz gives up.
_FILL = 4


def cross(
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
    Markowitz, the search starts from the elimination order that it stands for, if
    cross-country is forced; else none is made, for it seldom finds a hundredth.
    None too where Markowitz fills in hopelessly.
    """
    line = replace(line, edges=line.across)
    inner = _inner(line, rows, columns)
    edges = sum(map(len, line.edges.values()))
    limit = None if forced else _FILL * edges
    entries, order, spent = _eliminate(line, rows, columns, None, inner, limit)
    if limit is not None and spent > limit:
        return None
    least = cost(line, [*roots, *entries.values()])
    better = min(known, key=lambda m: known[m], default="")
    if better and known[better] < least:
        if not forced:
            return None
        sequence = inner if better == "forward" else inner[::-1]
        entries, order, spent = _eliminate(line, rows, columns, sequence, inner)
        least = cost(line, [*roots, *entries.values()])
    return _search(line, rows, columns, roots, (least, entries, order, spent))


def multiplications(
    line: Linearized, rows: Sequence[int], columns: Sequence[int], most: float
) -> int | None:
    """How many elimination in Markowitz order takes; None beyond so many."""
    line = replace(line, edges=line.across)
    inner = _inner(line, rows, columns)
    before = {v: {a for a, _ in edges} for v, edges in line.edges.items()}
    after: dict[int, set[int]] = {}
    for v, operands in before.items():
        for a in operands:
            after.setdefault(a, set()).add(v)
    queue, spent = _Queue(inner, before, after), 0
    for _ in inner:
        v = queue.pop()
        preds, succs = before.pop(v), after.pop(v, set())
        for s in succs:
            before[s].remove(v)
            before[s] |= preds
        for a in preds:
            after[a].remove(v)
            after[a] |= succs
        spent += len(preds) * len(succs)
        if spent > most:
            return None
        queue.update((*preds, *succs))
    return spent


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
    for _ in range(min(_MOVES, _SEARCH // max(spent, 1))):
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
    given = iter(order or ())
    for _ in inner:
        v = next(given) if queue is None else queue.pop()
        taken.append(v)
        preds, succs = before.pop(v), after.pop(v, {})
        for s, p in succs.items():
            row = before[s]
            del row[v]
            for a, q in preds.items():
                term = products.multiply(target, p, q)
                spent += 1
                row[a] = products.add(target, row[a], term) if a in row else term
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
        before: Mapping[int, Collection[int]],
        after: Mapping[int, Collection[int]],
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
    done: dict[int, dict[int, int]] = {x: {c: one(line, x)} for x, c in place.items()}
    for v in line.edges:
        if v not in before or v not in set(rows):
            continue
        total: dict[int, int] = dict(done.get(v, {}))
        for a, p in before[v].items():
            for c, t in done.get(a, {}).items():
                term = products.multiply(target, p, t)
                total[c] = products.add(target, total[c], term) if c in total else term
        done[v] = total
    return {(r, c): t for r, v in enumerate(rows) for c, t in done.get(v, {}).items()}
