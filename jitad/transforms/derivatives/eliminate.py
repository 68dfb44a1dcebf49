"""Cross-country accumulation: vertices eliminated in Markowitz order, then a search.

Every order of eliminating the vertices between inputs and outputs gives the Jacobian
(Griewank and Walther, Evaluating Derivatives, 2nd ed., chapters 9 and 10): forward and
reverse mode are two of them.  Start at `eliminate`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush

from .entries import Entries
from .linearized import Linearized
from .numbering import Algebra, Numbers, Scalars

# Elimination multiplications that the local search may spend.
_SEARCH = 2_000
_MOVES = 16


def cross(
    line: Linearized,
    rows: Sequence[int],
    columns: Sequence[int],
    roots: Sequence[int],
    *,
    search: bool,
) -> Entries:
    """The entries by elimination in Markowitz order.

    roots   what is computed besides, and may have operations in common
    search  whether to search for a better order near it
    """
    if not search:
        return eliminate(line, rows, columns, Scalars(line.builder))[0]
    numbers = Numbers(line.builder)
    found, order, spent = eliminate(line, rows, columns, numbers)
    start = numbers.cost(found.values(), roots), order, spent
    order = _search(line, rows, columns, roots, start, numbers)
    return eliminate(line, rows, columns, Scalars(line.builder), order)[0]


def _inner(line: Linearized, rows: Sequence[int], columns: Sequence[int]) -> list[int]:
    """Vertices on a path from an input to an output, neither of them."""
    ends, edges = {*rows, *columns}, line.across
    useful = set(rows)
    for v in reversed(edges):
        if v in useful:
            useful.update(a for a, _ in edges[v])
    return [v for v in edges if v in useful and v not in ends]


def _search(
    line: Linearized,
    rows: Sequence[int],
    columns: Sequence[int],
    roots: Sequence[int],
    start: tuple[float, list[int], int],
    numbers: Numbers,
) -> list[int]:
    """Move single vertices in the elimination order while that makes it cheaper.

    The moves come from a fixed linear congruence, so the result is reproducible, and
    their number is bounded by the multiplications they take.
    """
    least, order, spent = start
    if len(order) < 2:
        return order
    state = 12345
    for _ in range(min(_MOVES, _SEARCH // max(spent, 1))):
        state = (1103515245 * state + 12345) % 2**31
        i = (state >> 8) % len(order)
        state = (1103515245 * state + 12345) % 2**31
        j = (state >> 8) % len(order)
        moved = order[:i] + order[i + 1 :]
        moved.insert(j, order[i])
        found, _, _ = eliminate(line, rows, columns, numbers, moved)
        now = numbers.cost(found.values(), roots)
        if now < least:
            least, order = now, moved
    return order


def eliminate(
    line: Linearized,
    rows: Sequence[int],
    columns: Sequence[int],
    by: Algebra,
    order: Sequence[int] | None = None,
    enough: Callable[[int], bool] | None = None,
) -> tuple[Entries, list[int], int]:
    """Eliminate inner vertices in the given order, or in Markowitz order.

    Returns the entries, the order taken and the number of multiplications; it gives
    up, with no entries, when these are enough.
    """
    multiply, add = by.multiply, by.add
    # Columns are sources: an output that is also an input keeps its own row below.
    before = {v: dict(own) for v, own in by.edges(line.across).items()}
    after: dict[int, dict[int, None]] = {}
    for v, own in before.items():
        for a in own:
            after.setdefault(a, {})[v] = None
    inner, taken, spent = _inner(line, rows, columns), [], 0
    queue = None if order is not None else _Queue(inner, before, after)
    given = iter(order or ())
    for _ in inner:
        v = next(given) if queue is None else queue.pop()
        taken.append(v)
        preds, succs = before.pop(v), after.pop(v, {})
        for s in succs:
            row = before[s]
            p = row.pop(v)
            for a, q in preds.items():
                term, old = multiply(p, q), row.get(a)
                row[a] = term if old is None else add(old, term)
        for a in preds:
            users = after[a]
            del users[v]
            users |= succs
        spent += len(preds) * len(succs)
        if queue is not None:
            queue.update((*preds, *succs))
        if enough is not None and enough(spent):
            return {}, taken, spent
    return _entries(line, rows, columns, before, by), taken, spent


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
    by: Algebra,
) -> Entries:
    """Entries from what is left: edges between inputs and outputs, outputs chained."""
    done: dict[int, dict[int, int]] = {x: {c: by.one(x)} for c, x in enumerate(columns)}
    ends = set(rows)
    for v in line.across:
        if v not in before or v not in ends:
            continue
        total: dict[int, int] = dict(done.get(v, {}))
        for a, p in before[v].items():
            for c, t in done.get(a, {}).items():
                term = by.multiply(p, t)
                total[c] = by.add(total[c], term) if c in total else term
        done[v] = total
    return {(r, c): t for r, v in enumerate(rows) for c, t in done.get(v, {}).items()}
