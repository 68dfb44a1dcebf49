"""The reverse of recurrences, as recurrences that run from the last iteration.

A memory's derivative is a memory: what is read there is added to, and what is written
is taken away.  Of the values that are needed then, numbers that are carried and
elements of memories that are written are recorded by the first run; all else is
computed once more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jitad.ir.graph import Type

from .library import plus
from .recurred import Active, Element, Writer, depending, starting
from .recurrence import (
    Add,
    Again,
    Carried,
    Code,
    Compute,
    Get,
    Instruction,
    Memory,
    Recurrence,
    Set,
    every,
    made,
    used,
)


def back(
    bars: Any,
    number: int,
    found: Mapping[int, int],
    wanted: set[int],
    element: Element,
) -> None:
    """Append the reverse of a recurrence, statement `number`.

    found  ȳ of its results
    """
    flow = bars.flow
    statement, results = flow.statements[number], flow.results[number]
    values, memories = starting(statement, wanted)
    active = depending(statement, values, memories)
    made_ = _Pull(statement, active, element)
    kept = statement.kept
    outputs = dict(zip(statement.outputs, results[len(kept) :], strict=True))
    whole = dict(zip(kept, results, strict=False))
    seeds = {v: y for v, y in outputs.items() if y in found and v in active.values}
    starts = {v: made_.like(v) for v in seeds}
    own = made_.reversed(statement.code, starts)
    code, own = list(own.code), own.bars
    ends = [made_.total(code, own[v]) if v in own else None for v in values]
    code = [*made_.again(statement.code, code, ()), *code]
    # What the first run records.
    records = [Memory(t, "anything", kept=True) for t in made_.recorded.values()]
    if records:
        flow.statements[number] = statement = made_.recording(records)
        new = [flow.new(m.type) for m in records]
        flow.results[number] = [*results[: len(kept)], *new, *results[len(kept) :]]
    else:
        new = []
    # The memories of the reverse: of derivatives, of what is read again, of records.
    place: dict[_Key, int] = {}
    every_memory: list[Memory] = []
    arrays: list[int] = []
    given = statement.given
    for m in sorted(active.memories):
        type = statement.memories[m].type
        bar = found.get(whole.get(m, -1))
        place["bar", m] = len(every_memory)
        source = "zeros" if bar is None else "given"
        every_memory.append(Memory(type, source, kept=m in memories))
        arrays += [] if bar is None else [bar]
    for m in sorted(made_.read):
        place["old", m] = len(every_memory)
        every_memory.append(Memory(statement.memories[m].type, "given", kept=False))
        arrays.append(given[m])
    for v, y in zip(made_.recorded, new, strict=True):
        place["kept", v] = len(every_memory)
        every_memory.append(Memory(flow.types[y], "given", kept=False))
        arrays.append(y)
    code = _placed(code, [place[key] for key in made_.keys])
    pairs = list(zip(statement.numbers, statement.operands, strict=False))
    needed = {v for s in every(code) for v in used(s)}
    pairs = [(v, x) for v, x in pairs if v in needed]
    numbers = [*(v for v, _ in pairs), *starts.values()]
    scalars = [*(x for _, x in pairs), *(found[y] for y in seeds.values())]
    reverse = Recurrence(
        code, tuple(made_.dtypes), tuple(every_memory), (*scalars, *arrays),
        tuple(numbers), tuple([e for e in ends if e is not None]),
        statement.sure | made_.turns,
    )  # fmt: skip
    made_bars = iter(flow.add(reverse))
    for m in sorted(memories):
        bar = next(made_bars)
        bars.gaps.add(bar)
        bars.add(given[m], bar)
    whose = dict(zip(statement.numbers, statement.operands, strict=False))
    for v, end in zip(values, ends, strict=True):
        if end is not None:
            bar = next(made_bars)
            bars.gaps.add(bar)
            bars.add(whose[v], bar)


def _placed(code: Sequence[Instruction], place: Sequence[int]) -> Code:
    """The instructions with numbers for their memories."""
    made: list[Instruction] = []
    for s in code:
        if isinstance(s, Again):
            made.append(replace(s, code=_placed(s.code, place)))
        elif isinstance(s, Compute):
            made.append(s)
        else:
            made.append(replace(s, memory=place[s.memory]))
    return tuple(made)


# What a memory of a reverse is: "bar", the derivative of a memory; "old", that memory;
# or "kept", the record of a value.
_Key = tuple[str, int]


@dataclass(slots=True)
class _Reversed:
    """The reverse of some instructions, and the terms of x̄ of what they read."""

    code: list[Instruction] = field(default_factory=list)
    bars: dict[int, list[int]] = field(default_factory=dict)

    def add(self, x: int, bar: int) -> None:
        """Add to x̄."""
        self.bars.setdefault(x, []).append(bar)


class _Pull(Writer):
    """Instructions from the last to the first.

    read      the memories that are read once more
    recorded  value -> the type of the memory with what it was in every iteration
    keys      what its memories are; they get their numbers when all are known
    """

    def __init__(self, statement: Recurrence, active: Active, element: Element) -> None:
        super().__init__(statement.dtypes)
        self.statement, self.active, self.element = statement, active, element
        self.written = statement.written
        self.first = len(statement.dtypes)
        self.read: set[int] = set()
        self.recorded: dict[int, Type] = {}
        self.keys: list[_Key] = []
        self._loops: dict[int, tuple[Again, ...]] = {}
        self._note(statement.code, ())

    def _note(self, code: Code, around: tuple[Again, ...]) -> None:
        """Of every loop itself and those around it, by its index."""
        for s in code:
            if isinstance(s, Again):
                self._loops[s.index] = (*around, s)
                self._note(s.code, self._loops[s.index])

    def memory(self, kind: str, of: int) -> int:
        """Which of the keys is this one."""
        if (kind, of) not in self.keys:
            self.keys.append((kind, of))
        return self.keys.index((kind, of))

    def total(self, code: list[Instruction], terms: Sequence[int]) -> int:
        """The sum of terms."""
        found = terms[0]
        for term in terms[1:]:
            found = self.applied(code, plus, (found, term))
        return found

    def reversed(self, code: Code, seeds: Mapping[int, int]) -> _Reversed:
        """The reverse of instructions; seeds: ȳ of what others read of them."""
        found = _Reversed(bars={y: [bar] for y, bar in seeds.items()})
        for s in code[::-1]:
            self._one(s, found)
        return found

    def _one(self, s: Instruction, found: _Reversed) -> None:
        active, code = self.active, found.code
        match s:
            case Compute():
                asked = [k for k, y in enumerate(s.results) if y in found.bars]
                wrt = [k for k, x in enumerate(s.operands) if x in active.values]
                if asked and wrt:
                    given = [self.total(code, found.bars[s.results[k]]) for k in asked]
                    graph, kept = self.element(s.graph, wrt, asked)
                    own = self.mapped(code, graph, kept, (*s.operands, *given))
                    for k, bar in zip(wrt, own, strict=True):
                        found.add(s.operands[k], bar)
            case Get() if s.memory in active.memories and s.result in found.bars:
                bar = self.total(code, found.bars[s.result])
                code.append(Add(self.memory("bar", s.memory), s.place, bar))
            case Set() if s.memory in active.memories:
                bar = self.like(s.value)
                code.append(Get(bar, self.memory("bar", s.memory), s.place))
                zero = self.number(code, 0.0, self.dtypes[s.value])
                code.append(Set(self.memory("bar", s.memory), s.place, zero))
                if s.value in active.values:
                    found.add(s.value, bar)
            case Add() if s.memory in active.memories and s.value in active.values:
                bar = self.like(s.value)
                code.append(Get(bar, self.memory("bar", s.memory), s.place))
                found.add(s.value, bar)
            case Again():
                self._again(s, found)

    def _again(self, s: Again, found: _Reversed) -> None:
        code = found.code
        own = [c for c in s.carried if c.inner in self.active.values]
        starts = [
            self.total(code, found.bars[c.outer]) if c.outer in found.bars
            else self.number(code, 0.0, self.dtypes[c.outer])
            for c in own
        ]  # fmt: skip
        inner = [self.like(c.inner) for c in own]
        seeds: dict[int, int] = {}
        inside_code: list[Instruction] = []
        for c, bar in zip(own, inner, strict=True):
            if c.next in self.active.values:
                if c.next in seeds:
                    bar = self.applied(inside_code, plus, (seeds[c.next], bar))
                seeds[c.next] = bar
        inside = self.reversed(s.code, seeds)
        inside.code = [*inside_code, *inside.code]
        body = inside.code
        nexts = [
            self.total(body, inside.bars[c.inner]) if c.inner in inside.bars
            else self.number(body, 0.0, self.dtypes[c.inner])
            for c in own
        ]  # fmt: skip
        outers = [self.like(c.inner) for c in own]
        carried = list(map(Carried, inner, starts, nexts, outers))
        mine = {v for one in s.code for v in made(one)} | {c.inner for c in s.carried}
        for x, terms in inside.bars.items():
            if x in mine or x not in self.active.values:
                continue
            sum_, outer = self.like(x), self.like(x)
            start = self.number(code, 0.0, self.dtypes[x])
            next = self.total(body, (sum_, *terms))
            carried.append(Carried(sum_, start, next, outer))
            found.add(x, outer)
        for c, outer in zip(own, outers, strict=True):
            if c.start in self.active.values:
                found.add(c.start, outer)
        before = self.again(s.code, body, self._loops[s.index])
        code.append(
            replace(s, carried=tuple(carried), code=(*before, *body),
                    backwards=not s.backwards)
        )  # fmt: skip

    # -- values of the first run -----------------------------------------------

    def again(
        self, code: Code, wanted: Sequence[Instruction], around: tuple[Again, ...]
    ) -> list[Instruction]:
        """What makes the values of some instructions that others need."""
        makers = {v: s for s in code for v in made(s)}
        makers |= {c.inner: c for s in around[-1:] for c in s.carried}
        needed = {v for s in wanted for v in self._needs(s)}
        waiting, taken, own = [*needed], dict[int, Instruction](), set[int]()
        while waiting:
            v = waiting.pop()
            s = makers.get(v)
            if isinstance(s, Compute):
                if id(s) not in taken:
                    waiting += s.operands
                taken[id(s)] = s
            elif isinstance(s, Get) and s.memory not in self.written:
                taken[id(s)] = replace(s, memory=self.memory("old", s.memory))
                self.read.add(s.memory)
                waiting.append(s.place)
            elif s is not None:
                own.add(v)
        found: list[Instruction] = []
        if own:
            place = self.turn(found, around)
            size = math.prod(a.bound for a in around)
            for v in sorted(own):
                self.recorded[v] = Type(self.dtypes[v], (size,))
                found.append(Get(v, self.memory("kept", v), place))
        return [*found, *(taken[id(s)] for s in code if id(s) in taken)]

    def _needs(self, s: Instruction) -> set[int]:
        """The values of the first run that an instruction, or one inside, needs."""
        found = {v for v in used(s) if v < self.first}
        if isinstance(s, Again):
            inner = {v for one in s.code for v in self._needs(one)}
            own = {v for one in every(s.code) for v in made(one)}
            found |= inner - own - {s.index}
        return found

    def recording(self, records: Sequence[Memory]) -> Recurrence:
        """The first run, in which values are recorded."""
        statement = self.statement
        first = len(statement.memories)
        where = {v: first + k for k, v in enumerate(self.recorded)}
        writer = Writer(statement.dtypes)

        def recorded(code: Code, around: tuple[Again, ...]) -> Code:
            found: list[Instruction] = []
            place: list[int] = []

            def note(values: Sequence[int]) -> None:
                for v in values:
                    if v in where:
                        place[:] = place or [writer.turn(found, around)]
                        found.append(Set(where[v], place[0], v))

            if around:
                note([c.inner for c in around[-1].carried])
            for s in code:
                if isinstance(s, Again):
                    s = replace(s, code=recorded(s.code, (*around, s)))
                found.append(s)
                note(made(s))
            return tuple(found)

        code = recorded(statement.code, ())
        return replace(
            statement, code=code, dtypes=tuple(writer.dtypes),
            memories=(*statement.memories, *records),
            sure=statement.sure | writer.turns,
        )  # fmt: skip
