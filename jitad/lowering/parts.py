"""Cut a kernel's body into functions that a compiler handles in linear time.

`arrange` groups the stores of rows; `split` cuts long bodies into parts; `keep` says
which values must lie in memory because one part makes them and another uses them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .emit_memory import Block, block_of
from .kernel import (
    Const,
    For,
    If,
    Kernel,
    Load,
    Op,
    Read,
    Repeat,
    Statement,
    Store,
    Write,
)


@dataclass(frozen=True)
class StoreRow:
    """Store the values of one block of a row together."""

    buffer: int
    block: Block
    values: tuple[int, ...]


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
    """A loop that is too long for one part."""

    axis: int
    items: tuple[Part | Nest, ...]


Step = Const | Op | Load | Store | Read | Write | Repeat | If | StoreRow | Loop


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
    direct = {s.buffer for s in steps if isinstance(s, Load | Store | StoreRow)}
    inner = [accessed(s.body) for s in steps if isinstance(s, Loop)]
    return frozenset(direct).union(*inner)


def flat(steps: Sequence[Step]) -> Iterator[Step]:
    """All steps but the loops themselves, in the order in which they stand."""
    for s in steps:
        if isinstance(s, Loop):
            yield from flat(s.body)
        else:
            yield s


def length(steps: Sequence[Step]) -> int:
    """How much there is to compile, in operations, that of loops included."""
    return sum(_weight(s) for s in flat(steps))


def _weight(step: Step) -> int:
    """A block of a row is transposed in registers: some operations a column."""
    return 5 * len(step.values) if isinstance(step, StoreRow) else 1


def split(steps: Sequence[Step], limit: int) -> tuple[Part | Nest, ...]:
    """Cut steps into parts of at most about `limit` steps, numbered in order."""
    return tuple(_split(steps, limit, [0]))


def _split(
    steps: Sequence[Step], limit: int, counter: list[int]
) -> Iterator[Part | Nest]:
    pending: list[Step] = []
    room = limit

    def part() -> Part:
        counter[0] += 1
        return Part(counter[0] - 1, tuple(pending))

    for s in steps:
        size = length(s.body) if isinstance(s, Loop) else _weight(s)
        if pending and size > room:
            yield part()
            pending, room = [], limit
        if isinstance(s, Loop) and size > limit:
            yield Nest(s.axis, tuple(_split(s.body, limit, counter)))
            continue
        pending.append(s)
        room -= size
    if pending:
        yield part()


def keep(items: Sequence[Part | Nest]) -> dict[int, int]:
    """Value -> slot, for all values that one part makes and another uses.

    Slots are used again, in order of first need, once a value is dead; a value that
    a loop reads from outside lives until the loop's end.
    """
    made, needed = _lives(items)
    crossing = sorted(v for v, last in needed.items() if last > made[v])
    by_birth: dict[int, list[int]] = {}
    for v in sorted(crossing, key=lambda v: (made[v], v)):
        by_birth.setdefault(made[v], []).append(v)
    slots: dict[int, int] = {}
    free: list[int] = []
    dying: dict[int, list[int]] = {}
    for v in crossing:
        dying.setdefault(needed[v], []).append(v)
    count = 0
    for number in range(max(needed.values(), default=0) + 1):
        for v in by_birth.get(number, ()):
            if free:
                slots[v] = free.pop()
            else:
                slots[v], count = count, count + 1
        free += [slots[v] for v in dying.get(number, ())]
    return slots


def _lives(items: Sequence[Part | Nest]) -> tuple[dict[int, int], dict[int, int]]:
    """The part that makes each value, and the last part that needs it."""
    made: dict[int, int] = {}
    needed: dict[int, int] = {}
    constant: set[int] = set()

    def walk(items: Sequence[Part | Nest], ends: list[tuple[int, int]]) -> None:
        for item in items:
            if isinstance(item, Nest):
                first, last = _span(item)
                walk(item.items, [*ends, (first, last)])
                continue
            for s in flat(item.steps):
                for v in operands(s):
                    if v in constant:
                        continue
                    until = item.number
                    for first, last in ends:
                        if made[v] < first:
                            until = last
                            break
                    needed[v] = max(needed.get(v, 0), until)
                if isinstance(s, Const):
                    constant.add(s.target)
                elif isinstance(s, Op | Load):
                    made[s.target] = item.number

    walk(items, [])
    return made, needed


def _span(nest: Nest) -> tuple[int, int]:
    first, last = nest.items[0], nest.items[-1]
    low = first.number if isinstance(first, Part) else _span(first)[0]
    high = last.number if isinstance(last, Part) else _span(last)[1]
    return low, high


def operands(step: Step) -> tuple[int, ...]:
    """The values that a step uses."""
    match step:
        case Op():
            return step.operands
        case Store():
            return (step.value,)
        case StoreRow():
            return step.values
        case _:
            return ()
