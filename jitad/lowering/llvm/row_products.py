"""Products with whole rows: what a sum over points does to its data, as it lies there.

A linear model multiplies every row by the same weights, and its gradient adds up rows,
each times a number.  Both can be done row by row, eight elements at once, without
bringing a column of them into a vector first.  Such products are found in the steps of
a kernel that sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jitad.lowering.kernel import Buffer, Kernel
from jitad.lowering.statement import Statement, numbers, statements
from jitad.lowering.statements import Load, Op, Store, Write

from .pieces import RowDot, RowSum

# With more products than this, columns in vectors serve them all.
_MOST = 2

Place = tuple[int, int]  # a buffer and an element of it


@dataclass(frozen=True)
class _Sum:
    """A sum of products with weights.

    root    the operation that makes it
    terms   element of a row -> its weight
    rest    what else is added
    inner   the operations that it consists of
    """

    root: Op
    terms: dict[int, Place]
    rest: list[int]
    inner: list[int]


def by_rows(
    kernel: Kernel, steps: Sequence[Statement], width: int
) -> tuple[Statement, ...]:
    """The steps, with products by whole rows in place of those by single elements."""
    if not any(b.layout == "sum" for b in kernel.buffers):
        return tuple(steps)
    for k, buffer in enumerate(kernel.buffers):
        if _is_table(buffer) and buffer.elements >= width:
            steps = _Search(kernel, steps, k, width).steps()
    return tuple(steps)


def _is_table(buffer: Buffer) -> bool:
    rows = buffer.layout == "rows" and buffer.axes == (0,) and not buffer.output
    return rows and buffer.dtype.kind == "f"


class _Search:
    """The products with one buffer."""

    def __init__(
        self, kernel: Kernel, steps: Sequence[Statement], table: int, width: int
    ) -> None:
        self.kernel, self.given, self.width = kernel, steps, width
        self.table = table
        self.dtype = kernel.buffers[table].dtype
        loads = [s for s in (*kernel.once, *steps) if isinstance(s, Load)]
        self.elements = {s.result: s.element for s in loads if s.buffer == table}
        self.weights: dict[int, Place] = {
            s.result: (s.buffer, s.element)
            for s in loads
            if kernel.buffers[s.buffer].layout == "fixed" and s.index is None
        }
        self.uses: dict[int, list[Statement | None]] = {}
        for s in steps:
            for v, by in _uses(s):
                self.uses.setdefault(v, []).append(by)
        every = statements((*kernel.once, *kernel.body))
        self.fresh = 1 + max(numbers(every), default=0)

    def steps(self) -> tuple[Statement, ...]:
        """The new steps; the given ones where there is anything else to be done."""
        sums = [x for x in map(self._sum, self._roots()) if x is not None]
        dots = [(self._dot(x), x) for x in sums]
        row_sums = self._row_sums()
        done = {v for x in sums for v in x.inner}
        done |= {s.value for _, stores in row_sums for s in stores}
        elsewhere = any(
            not isinstance(by, Op) or by.result not in done
            for v in self.elements
            for by in self.uses.get(v, [])
        )
        if elsewhere or not 0 < max(len(dots), len(row_sums)) <= _MOST:
            return tuple(self.given)
        return self._replaced(dots, row_sums, done)

    def _factor(self, s: Op) -> tuple[int, int] | None:
        """The element of a row in a product, and the value that it is multiplied by."""
        if s.word not in ("mul", "fma") or s.dtype != self.dtype:
            return None
        for a, b in (s.operands[:2], s.operands[1::-1]):
            if a in self.elements and b not in self.elements:
                return self.elements[a], b
        return None

    def _single(self, v: int) -> Statement | None:
        """The one step that uses a value."""
        uses = self.uses.get(v, [])
        return uses[0] if len(uses) == 1 else None

    # -- rows times weights --------------------------------------------------------

    def _roots(self) -> list[Op]:
        """The last operation of every sum with a weighed element."""
        found: dict[int, Op] = {}
        for s in self.given:
            pair = self._factor(s) if isinstance(s, Op) else None
            if pair is None or pair[1] not in self.weights:
                continue
            assert isinstance(s, Op)
            root, v = s, s.result
            while isinstance(by := self._single(v), Op) and self._adds(by, v):
                root, v = by, by.result
            if root.word != "mul":
                found[root.result] = root
        return list(found.values())

    def _adds(self, s: Op, v: int) -> bool:
        """Whether an operation adds v to something."""
        if s.dtype != self.dtype:
            return False
        return s.word == "add" or (s.word == "fma" and v not in s.operands[:2])

    def _sum(self, root: Op) -> _Sum | None:
        """What a sum adds up, if it is a run of weighed elements and what is not."""
        made = {s.result: s for s in self.given if isinstance(s, Op)}
        terms: dict[int, Place] = {}
        rest: list[int] = []
        inner: list[int] = []
        stack = [root.result]
        while stack:
            v = stack.pop()
            s = made.get(v)
            own = v == root.result or self._single(v) is not None
            pair = self._factor(s) if s is not None and own else None
            if s is not None and pair is not None and pair[1] in self.weights:
                if pair[0] in terms:
                    return None
                terms[pair[0]] = self.weights[pair[1]]
                stack.extend(s.operands[2:])
            elif s is not None and own and s.word == "add" and s.dtype == self.dtype:
                stack.extend(reversed(s.operands))
            else:
                rest.append(v)
                continue
            inner.append(v)
        if not self.elements.keys().isdisjoint(rest):
            return None
        run = sorted(terms)
        buffers = {buffer for buffer, _ in terms.values()}
        shifts = {terms[e][1] - e for e in run}
        if len(buffers) != 1 or len(shifts) != 1 or not self._consecutive(run):
            return None
        return _Sum(root, terms, rest, inner)

    def _dot(self, x: _Sum) -> list[RowDot | Op]:
        """The product of rows with weights, and what else is added to it."""
        first, count = min(x.terms), len(x.terms)
        result = self._number() if x.rest else x.root.result
        weights = x.terms[first]
        made: list[RowDot | Op] = [
            RowDot(result, self.table, first, count, *weights, self.dtype)
        ]
        for k, v in enumerate(x.rest):
            last = k == len(x.rest) - 1
            total = x.root.result if last else self._number()
            made.append(Op(total, "add", (result, v), self.dtype))
            result = total
        return made

    def _number(self) -> int:
        self.fresh += 1
        return self.fresh - 1

    def _consecutive(self, run: Sequence[int]) -> bool:
        return len(run) >= self.width and run[-1] - run[0] == len(run) - 1

    # -- rows times a number, added up ---------------------------------------------

    def _row_sums(self) -> list[tuple[RowSum, list[Store]]]:
        """Rows that are added to sums, each times a value, and what that replaces."""
        products = {
            s.result: pair
            for s in self.given
            if isinstance(s, Op) and s.word == "mul" and (pair := self._factor(s))
        }
        groups: dict[tuple[int, int, int], dict[int, Store]] = {}
        for s in self.given:
            if not isinstance(s, Store) or s.value not in products:
                continue
            if self.kernel.buffers[s.buffer].layout != "sum":
                continue
            element, factor = products[s.value]
            if self._single(s.value) is s:
                key = s.buffer, factor, s.element - element
                groups.setdefault(key, {})[element] = s
        found = []
        for (buffer, factor, shift), stores in groups.items():
            run = sorted(stores)
            if self._consecutive(run):
                first = run[0]
                row_sum = RowSum(
                    buffer, first + shift, factor, self.table, first, len(run)
                )
                found.append((row_sum, list(stores.values())))
        return found

    # -- the new steps ---------------------------------------------------------------

    def _replaced(
        self,
        dots: Sequence[tuple[list[RowDot | Op], _Sum]],
        row_sums: Sequence[tuple[RowSum, list[Store]]],
        done: set[int],
    ) -> tuple[Statement, ...]:
        at_root = {x.root.result: made for made, x in dots}
        at_last = {stores[-1]: row_sum for row_sum, stores in row_sums}
        stored = {s for _, stores in row_sums for s in stores}
        steps: list[Statement] = []
        for s in self.given:
            match s:
                case Op() if s.result in at_root:
                    steps += at_root[s.result]
                case Store() if s in stored:
                    steps += [at_last[s]] if s in at_last else []
                case Op() if s.result in done:
                    pass
                case Load() if s.buffer == self.table:
                    pass
                case _:
                    steps.append(s)
        return tuple(steps)


def _uses(step: Statement) -> Iterator[tuple[int, Statement | None]]:
    """The values that a step uses, and the step; None where nothing can replace it."""
    by = step if isinstance(step, Op | Store | Write) else None
    yield from ((v, by) for v in step.used)
    for s in statements(step.inside):
        yield from ((v, None) for v in s.used)
