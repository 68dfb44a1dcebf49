"""Products with whole rows: what a sum over points does to its data, as it lies there.

A linear model multiplies every row by the same weights, and its gradient adds up rows,
each times a number.  Both can be done row by row, eight elements at once, without
bringing a column of them into a vector first.  `by_rows` finds such products in the
steps of a kernel that sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .kernel import (
    Buffer,
    For,
    If,
    Kernel,
    Load,
    Op,
    Repeat,
    Store,
    Write,
    inside,
    statements,
)
from .parts import Dot, Loop, Spread, Step, StoreRow, within

# With more products than this, columns in vectors serve them all.
_MOST = 2

Place = tuple[int, int]  # a buffer and an element of it


@dataclass(frozen=True)
class _Product:
    """A multiplication by a scalar of a row: which, and by what."""

    op: Op
    row: Place
    factor: int


def by_rows(kernel: Kernel, steps: Sequence[Step], width: int) -> tuple[Step, ...]:
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
        self, kernel: Kernel, steps: Sequence[Step], table: int, width: int
    ) -> None:
        self.kernel, self.given, self.width = kernel, steps, width
        self.table = table
        self.dtype = kernel.buffers[table].dtype
        loads = [s for s in (*kernel.once, *steps) if isinstance(s, Load)]
        self.elements = {s.target: s.element for s in loads if s.buffer == table}
        self.weights: dict[int, Place] = {
            s.target: (s.buffer, s.element)
            for s in loads
            if kernel.buffers[s.buffer].layout == "fixed" and s.index is None
        }
        self.uses: dict[int, list[Step | None]] = {}
        for s in steps:
            for v, by in _uses(s):
                self.uses.setdefault(v, []).append(by)
        self.fresh = 1 + max(_numbers(kernel), default=0)

    def steps(self) -> tuple[Step, ...]:
        """The new steps; the given ones where there is anything else to be done."""
        products = list(self._products())
        by_value = {p.op.target: p for p in products}
        dots = self._dots(by_value)
        spreads = self._spreads(by_value)
        done = {v for _, parts in dots for v in parts}
        done |= {s.value for _, stores in spreads for s in stores}
        left = [p for p in products if p.op.target not in done]
        elsewhere = any(
            not isinstance(by, Op) or by.target not in by_value
            for v in self.elements
            for by in self.uses.get(v, [])
        )
        count = max(len(dots), len(spreads))
        if left or elsewhere or not 0 < count <= _MOST:
            return tuple(self.given)
        return self._replaced(dots, spreads, done)

    def _products(self) -> Iterator[_Product]:
        """Products of an element, each used once."""
        for s in self.given:
            if isinstance(s, Op) and s.word == "mul" and s.dtype == self.dtype:
                for a, b in (s.operands, s.operands[::-1]):
                    if a in self.elements and b not in self.elements:
                        yield _Product(s, (self.table, self.elements[a]), b)
                        break

    def _single(self, v: int) -> Step | None:
        """The one step that uses a value."""
        uses = self.uses.get(v, [])
        return uses[0] if len(uses) == 1 else None

    # -- rows times weights --------------------------------------------------------

    def _dots(
        self, products: dict[int, _Product]
    ) -> list[tuple[list[Dot | Op], dict[int, None]]]:
        """Sums of products with weights: the steps for each, and what they replace."""
        found = []
        roots = dict.fromkeys(
            root
            for v, p in products.items()
            if p.factor in self.weights and (root := self._root(v)) is not None
        )
        for root in roots:
            inner, leaves = self._tree(root)
            own = [products[v] for v in leaves if v in products]
            weighed = [p for p in own if p.factor in self.weights]
            buffers = {self.weights[p.factor][0] for p in weighed}
            places = {p.row[1]: self.weights[p.factor][1] for p in weighed}
            run = sorted(places)
            shifts = {places[e] - e for e in run}
            if len(weighed) < len(own) or len(buffers) != 1 or len(shifts) != 1:
                continue
            if len(run) != len(own) or not self._consecutive(run):
                continue
            rest = [v for v in leaves if v not in products]
            at = buffers.pop(), places[run[0]]
            made = self._dot(root, run, at, rest)
            parts = dict.fromkeys([*inner, *(p.op.target for p in own)])
            found.append((made, parts))
        return found

    def _root(self, v: int) -> Op | None:
        """The last addition of the sum that a product is a term of."""
        root = None
        while isinstance(by := self._single(v), Op) and self._adds(by):
            root, v = by, by.target
        return root

    def _adds(self, s: Op) -> bool:
        return s.word == "add" and s.dtype == self.dtype

    def _tree(self, root: Op) -> tuple[list[int], list[int]]:
        """The additions of a sum, its root included, and its terms in order."""
        made = {s.target: s for s in self.given if isinstance(s, Op)}
        inner, leaves, stack = [], [], [root.target]
        while stack:
            v = stack.pop()
            s = made.get(v)
            sums = s is not None and self._adds(s)
            if s is None or not sums or (v != root.target and not self._single(v)):
                leaves.append(v)
                continue
            inner.append(v)
            stack.extend(reversed(s.operands))
        return inner, leaves

    def _dot(
        self, root: Op, run: Sequence[int], weights: Place, rest: Sequence[int]
    ) -> list[Dot | Op]:
        target = self._number() if rest else root.target
        made: list[Dot | Op] = [
            Dot(target, self.table, run[0], len(run), *weights, self.dtype)
        ]
        for k, v in enumerate(rest):
            total = root.target if k == len(rest) - 1 else self._number()
            made.append(Op(total, "add", (target, v), self.dtype))
            target = total
        return made

    def _number(self) -> int:
        self.fresh += 1
        return self.fresh - 1

    def _consecutive(self, run: Sequence[int]) -> bool:
        return len(run) >= self.width and run[-1] - run[0] == len(run) - 1

    # -- rows times a number, added up ---------------------------------------------

    def _spreads(
        self, products: dict[int, _Product]
    ) -> list[tuple[Spread, list[Store]]]:
        """Rows that are added to sums, each times a value, and what that replaces."""
        groups: dict[tuple[int, int, int], dict[int, Store]] = {}
        for s in self.given:
            if not isinstance(s, Store) or s.value not in products:
                continue
            if self.kernel.buffers[s.buffer].layout != "sum":
                continue
            p = products[s.value]
            if self._single(s.value) is s:
                key = s.buffer, p.factor, s.element - p.row[1]
                groups.setdefault(key, {})[p.row[1]] = s
        found = []
        for (buffer, factor, shift), stores in groups.items():
            run = sorted(stores)
            if self._consecutive(run):
                first = run[0]
                spread = Spread(
                    buffer, first + shift, factor, self.table, first, len(run)
                )
                found.append((spread, list(stores.values())))
        return found

    # -- the new steps ---------------------------------------------------------------

    def _replaced(
        self,
        dots: Sequence[tuple[list[Dot | Op], dict[int, None]]],
        spreads: Sequence[tuple[Spread, list[Store]]],
        done: set[int],
    ) -> tuple[Step, ...]:
        at_root = {made[-1].target: made for made, _ in dots}
        at_last = {stores[-1]: spread for spread, stores in spreads}
        stored = {s for _, stores in spreads for s in stores}
        steps: list[Step] = []
        for s in self.given:
            match s:
                case Op() if s.target in at_root:
                    steps += at_root[s.target]
                case Store() if s in stored:
                    steps += [at_last[s]] if s in at_last else []
                case Op() if s.target in done:
                    pass
                case Load() if s.buffer == self.table:
                    pass
                case _:
                    steps.append(s)
        return tuple(steps)


def _numbers(kernel: Kernel) -> Iterator[int]:
    """The numbers of all values of a kernel."""
    for s in statements((*kernel.once, *kernel.body)):
        match s:
            case Repeat():
                yield from (s.index, s.index if s.steps is None else s.steps)
                yield from (v for c in s.carried for v in (c.inner, c.outer))
            case If():
                yield from (m.outer for m in s.merged)
            case Store() | Write() | For():
                pass
            case _:
                yield s.target


def _uses(step: Step) -> Iterator[tuple[int, Step | None]]:
    """The values that a step uses, and the step; None for what stands in a loop."""
    match step:
        case Op():
            yield from ((v, step) for v in step.operands)
        case Store() | Write():
            yield step.value, step
        case StoreRow():
            yield from ((v, None) for v in step.values)
        case Spread():
            yield step.value, None
        case Repeat() | If() | Loop():
            yield from ((v, None) for v in _inside(step))


def _inside(step: Repeat | If | Loop) -> Iterator[int]:
    """The values that a loop or branch uses, in it and around it."""
    match step:
        case Loop():
            for s in step.body:
                yield from (v for v, _ in _uses(s))
            return
        case Repeat():
            yield from (v for c in step.carried for v in (c.start, c.next))
            yield from (v for v in (step.count, step.alive) if v is not None)
        case If():
            yield step.mask
            yield from (v for m in step.merged for v in (m.inner, m.otherwise))
    for s in within(inside(step)):
        yield from (v for v, _ in _uses(s))
