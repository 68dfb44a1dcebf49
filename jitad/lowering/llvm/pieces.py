"""Cut a kernel's body into functions that a compiler handles in linear time.

`settle` resolves constant indices, `arrange` groups the stores of rows, and `split`
cuts long bodies into parts; what lies in memory between them, `live` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from jitad.lowering.kernel import (
    AtPlaces,
    Const,
    For,
    Gather,
    If,
    Kernel,
    Load,
    Op,
    Read,
    Repeat,
    Spread,
    Statement,
    Store,
    StoreAll,
    Write,
    inside,
    statements,
)

from .memory import Block, block_of


@dataclass(frozen=True)
class StoreRow:
    """Store the values of one block of a row together."""

    buffer: int
    block: Block
    values: tuple[int, ...]


@dataclass(frozen=True)
class RowDot:
    """target = Σ row[first + k] * weights[offset + k], k < count, of two buffers."""

    target: int
    row: int
    first: int
    count: int
    weights: int
    offset: int
    dtype: np.dtype


@dataclass(frozen=True)
class RowSum:
    """buffer[element + k] += value * row[first + k], k < count; a buffer of sums."""

    buffer: int
    element: int
    value: int
    row: int
    first: int
    count: int


@dataclass(frozen=True)
class Loop:
    """A `For` whose stores are grouped."""

    axis: int
    body: tuple[Step, ...]


@dataclass(frozen=True)
class Part:
    """Steps that become one function."""

    number: int
    steps: tuple[Step, ...]


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


Rowwise = StoreRow | RowDot | RowSum
Step = (
    Const | Op | Load | Store | Read | Write | Repeat | If | AtPlaces | Rowwise | Loop
)
Item = Part | Nest | Cycle | Branch
_HOLDERS = frozenset({Loop, Repeat, If})


def settle(kernel: Kernel) -> Kernel:
    """Add constant indices to the elements that they belong to."""
    every = (*kernel.once, *kernel.body)
    numbers = {
        s.target: int(s.value)
        for s in statements(every)
        if isinstance(s, Const) and s.dtype == np.int64
    }
    used = (s for s in statements(every) if isinstance(s, Load | Read | Write))
    if not any(s.index in numbers for s in used):
        return kernel

    def walk(body: Sequence[Statement]) -> tuple[Statement, ...]:
        return tuple(map(settled, body))

    def settled(s: Statement) -> Statement:
        match s:
            case Load() | Read() | Write() if s.index in numbers:
                element = s.element + numbers[s.index] * s.stride
                return replace(s, element=element, index=None, stride=0)
            case For() | If():
                return replace(s, body=walk(s.body))
            case Repeat():
                return replace(s, head=walk(s.head), body=walk(s.body))
            case _:
                return s

    once = tuple(s for s in walk(kernel.once) if isinstance(s, Const | Op | Load))
    return replace(kernel, once=once, body=walk(kernel.body))


def arrange(kernel: Kernel, body: Sequence[Statement], width: int) -> tuple[Step, ...]:
    """Let the stores into one block of a row happen together, at the last of them."""
    waiting = {
        (s.buffer, s.element): s.value
        for s in body
        if isinstance(s, Store) and kernel.buffers[s.buffer].layout == "rows"
    }
    missing: dict[int, set[int]] = {}
    for buffer, element in waiting:
        missing.setdefault(buffer, set()).add(element)
    steps: list[Step] = []
    for s in body:
        if isinstance(s, For):
            steps.append(Loop(s.axis, arrange(kernel, s.body, width)))
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


def accessed(steps: Sequence[Step]) -> frozenset[int]:
    """The buffers that steps, and loops inside them, load or store."""
    found: set[int | None] = set()
    for s in flat(steps):
        match s:
            case Op():
                pass
            case Load() | Store() | StoreRow() | Gather() | Spread() | StoreAll():
                found.add(s.buffer)
            case RowDot():
                found |= {s.row, s.weights}
            case RowSum():
                found |= {s.row, s.buffer}
    return frozenset(b for b in found if b is not None)


def spreads(steps: Sequence[Step]) -> bool:
    """Whether steps add to a buffer lane by lane."""
    return any(isinstance(s, Spread) and s.buffer is not None for s in flat(steps))


def flat(steps: Sequence[Step]) -> Iterator[Step]:
    """All steps but loops over axes, in the order in which they stand."""
    for s in steps:
        if type(s) not in _HOLDERS:
            yield s
        elif isinstance(s, Loop):
            yield from flat(s.body)
        elif isinstance(s, Repeat | If):
            yield s
            yield from flat(within(inside(s)))


def length(steps: Sequence[Step]) -> int:
    """How much there is to compile, in operations, that of loops included."""
    return sum([_weight(s) for s in flat(steps)])


def _weight(step: Step) -> int:
    """A block of a row is transposed in registers: some operations a column."""
    if type(step) is Op:
        return 1
    match step:
        case StoreRow():
            return 5 * len(step.values)
        case Gather():
            return 4
        case Spread():
            return 8 + 4 * len(step.terms)
        case Repeat():
            return 4 + 2 * len(step.carried)
        case If():
            return 2 + 2 * len(step.merged)
        case _:
            return 1


def split(steps: Sequence[Step], limit: int, longest: int) -> tuple[Item, ...]:
    """Cut steps into parts of at most about `limit` steps, numbered in order.

    longest  steps of loops and branches, which are cut only beyond
    """
    return tuple(_split(steps, limit, longest, [0]))


def _split(
    steps: Sequence[Step], limit: int, longest: int, counter: list[int]
) -> Iterator[Item]:
    pending: list[Step] = []
    room = limit

    def part() -> Part:
        counter[0] += 1
        return Part(counter[0] - 1, tuple(pending))

    for s in steps:
        size = length([s]) if type(s) in _HOLDERS else _weight(s)
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
    def items(body: Sequence[Step]) -> tuple[Item, ...]:
        return tuple(_split(body, limit, longest, counter))

    match s:
        case Loop():
            return Nest(s.axis, items(s.body))
        case Repeat():
            return Cycle(s, items(within(s.head)), items(within(s.body)))
        case If():
            return Branch(s, items(within(s.body)))


def within(body: Sequence[Statement]) -> list[Step]:
    """What stands in a Repeat or an If: there are neither stores nor axes there."""
    return [s for s in body if not isinstance(s, For)]


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
