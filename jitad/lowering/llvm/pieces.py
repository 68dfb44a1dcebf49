"""Cut a kernel's body into functions that a compiler handles in linear time.

`settle` resolves constant indices, `arrange` groups the stores of rows, and `split`
cuts long bodies into parts; what lies in memory between them, `live` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np

from jitad.lowering.kernel import Kernel
from jitad.lowering.statement import (
    Body,
    Made,
    Memory,
    Statement,
    rewritten,
    statements,
)
from jitad.lowering.statements import (
    Access,
    Const,
    For,
    If,
    Op,
    Repeat,
    Scatter,
    Store,
)

from .memory import Block, block_of


@dataclass(frozen=True, slots=True)
class StoreRow(Statement):
    """Store the values of one block of a row together."""

    buffer: int
    block: Block
    values: tuple[int, ...]

    @property
    def used(self) -> tuple[int, ...]:
        return self.values

    @property
    def writes(self) -> tuple[Memory, ...]:
        return (self.buffer,)

    @property
    def size(self) -> int:
        """As of every statement: columns are transposed in registers."""
        return 5 * len(self.values)


@dataclass(frozen=True, slots=True)
class RowDot(Statement):
    """result = Σ row[first + k] * weights[offset + k], k < count, of two buffers."""

    result: int
    row: int
    first: int
    count: int
    weights: int
    offset: int
    dtype: np.dtype

    @property
    def made(self) -> Made:
        return ((self.result, self.dtype),)

    @property
    def reads(self) -> tuple[Memory, ...]:
        return self.row, self.weights


@dataclass(frozen=True, slots=True)
class RowSum(Statement):
    """buffer[element + k] += value * row[first + k], k < count; a buffer of sums."""

    buffer: int
    element: int
    value: int
    row: int
    first: int
    count: int

    @property
    def used(self) -> tuple[int, ...]:
        return (self.value,)

    @property
    def reads(self) -> tuple[Memory, ...]:
        return (self.row,)

    @property
    def writes(self) -> tuple[Memory, ...]:
        return (self.buffer,)


@dataclass(frozen=True, slots=True)
class Loop(Statement):
    """A `For` whose stores are grouped."""

    axis: int
    body: Body

    @property
    def bodies(self) -> tuple[Body, ...]:
        return (self.body,)

    def holding(self, *bodies: Body) -> Loop:
        (body,) = bodies
        return replace(self, body=body)


@dataclass(frozen=True)
class Part:
    """Steps that become one function."""

    number: int
    steps: tuple[Statement, ...]


@dataclass(frozen=True)
class Nest:
    """A loop over a batch axis that is too long for one part."""

    axis: int
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Cycle:
    """A `Repeat` that is too long for one part: its head and its body."""

    repeat: Repeat
    head: tuple[Item, ...]
    body: tuple[Item, ...]


@dataclass(frozen=True)
class Branch:
    """An `If` that is too long for one part."""

    choice: If
    items: tuple[Item, ...]


Item = Part | Nest | Cycle | Branch


def settle(kernel: Kernel) -> Kernel:
    """Add constant indices to the elements that they belong to."""
    every = (*kernel.once, *kernel.body)
    numbers = {
        s.result: int(s.value)
        for s in statements(every)
        if isinstance(s, Const) and s.dtype == np.int64
    }
    used = (s for s in statements(every) if isinstance(s, Access))
    if not any(s.index in numbers for s in used):
        return kernel

    def settled(s: Statement) -> tuple[Statement]:
        if isinstance(s, Access) and s.index in numbers:
            element = s.element + numbers[s.index] * s.stride
            return (replace(s, element=element, index=None, stride=0),)
        return (s,)

    once, body = (rewritten(x, settled) for x in (kernel.once, kernel.body))
    return replace(kernel, once=once, body=body)  # type: ignore[arg-type]


def arrange(
    kernel: Kernel, body: Sequence[Statement], width: int, indexed: Set[int]
) -> tuple[Statement, ...]:
    """Let the stores into one block of a row happen together, at the last of them.

    indexed  the buffers that do not lie in rows where the body finds them
    """
    rows = {k for k, b in enumerate(kernel.buffers) if b.layout == "rows"} - indexed
    waiting = {
        (s.buffer, s.element): s.value
        for s in body
        if isinstance(s, Store) and s.buffer in rows
    }
    missing: dict[int, set[int]] = {}
    for buffer, element in waiting:
        missing.setdefault(buffer, set()).add(element)
    steps: list[Statement] = []
    for s in body:
        if isinstance(s, For):
            steps.append(Loop(s.axis, arrange(kernel, s.body, width, indexed)))
        elif isinstance(s, Store) and (s.buffer, s.element) in waiting:
            missing[s.buffer].discard(s.element)
            steps += _completed(kernel, s, missing[s.buffer], waiting, width)
        else:
            steps.append(s)
    return tuple(steps)


def _completed(
    kernel: Kernel,
    store: Store,
    missing: set[int],
    values: dict[tuple[int, int], int],
    width: int,
) -> Iterator[StoreRow]:
    """The blocks for which this store was the last that they waited for."""
    buffer = kernel.buffers[store.buffer]
    near = range(
        max(0, store.element - width), min(buffer.elements, store.element + width)
    )
    blocks = {block_of(buffer, e, width) for e in near}
    for block in sorted(blocks, key=lambda b: b.first):
        elements = range(block.first, block.first + block.count)
        stored = [e for e in elements if (store.buffer, e) in values]
        if store.element not in stored or any(e in missing for e in stored):
            continue
        for run in _runs(stored):
            chosen = tuple(values[store.buffer, e] for e in run)
            yield StoreRow(store.buffer, Block(run[0], len(run)), chosen)


def _runs(elements: Sequence[int]) -> Iterator[list[int]]:
    """Split ascending integers where they are not consecutive."""
    run: list[int] = []
    for e in elements:
        if run and e != run[-1] + 1:
            yield run
            run = []
        run.append(e)
    if run:
        yield run


def accessed(steps: Sequence[Statement]) -> frozenset[int]:
    """The buffers that steps, and loops inside them, load or store."""
    found: set[int] = set()
    for s in flat(steps):
        if type(s) is not Op:
            found.update(s.reads, s.writes)
    return frozenset(m for m in found if m >= 0)


def scatters(steps: Sequence[Statement]) -> bool:
    """Whether steps add to a buffer lane by lane."""
    return any(isinstance(s, Scatter) and s.buffer is not None for s in flat(steps))


def flat(steps: Iterable[Statement]) -> list[Statement]:
    """All steps but loops over axes, in the order in which they stand."""
    found: list[Statement] = []
    for s in steps:
        if type(s) is not Loop:
            found.append(s)
        if s.nests:
            found += [inner for body in s.bodies for inner in flat(body)]
    return found


def length(steps: Sequence[Statement]) -> int:
    """How much there is to compile, in operations, that of loops included."""
    return sum([s.size for s in flat(steps)])


def split(steps: Sequence[Statement], limit: int, longest: int) -> tuple[Item, ...]:
    """Cut steps into parts of at most about `limit` steps, numbered in order.

    longest  steps of loops and branches, which are cut only beyond
    """
    return tuple(_split(steps, limit, longest, [0]))


def _split(
    steps: Sequence[Statement], limit: int, longest: int, counter: list[int]
) -> Iterator[Item]:
    pending: list[Statement] = []
    room = limit

    def part() -> Part:
        counter[0] += 1
        return Part(counter[0] - 1, tuple(pending))

    for s in steps:
        size = length([s]) if s.nests else s.size
        if pending and size > room:
            yield part()
            pending, room = [], limit
        if size > longest and isinstance(s, Loop | Repeat | If):
            yield _cut(s, limit, longest, counter)
            continue
        pending.append(s)
        room -= size
    if pending:
        yield part()


def _cut(s: Loop | Repeat | If, limit: int, longest: int, counter: list[int]) -> Item:
    def items(body: Sequence[Statement]) -> tuple[Item, ...]:
        return tuple(_split(body, limit, longest, counter))

    match s:
        case Loop():
            return Nest(s.axis, items(s.body))
        case Repeat():
            return Cycle(s, items(s.head), items(s.body))
        case If():
            return Branch(s, items(s.body))


def each(items: Sequence[Item]) -> Iterator[Part]:
    """The parts inside, in order."""
    for item in items:
        match item:
            case Part():
                yield item
            case Nest() | Branch():
                yield from each(item.items)
            case Cycle():
                yield from each((*item.head, *item.body))
