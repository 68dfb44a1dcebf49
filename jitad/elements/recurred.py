"""Derivatives of recurrences, forward: every value and memory has its own beside it.

The reverse is in `returned`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jitad.ir.graph import Graph, Type
from jitad.ir.loop import INT

from .library import number_graph, of_elements
from .recurrence import (
    Add,
    Again,
    Carried,
    Code,
    Compute,
    Get,
    Instruction,
    Recurrence,
    Set,
)

# Derivatives of a graph of elements: graph, wrt, asked -> graph, and the operands of
# its own that it reads of (operands …, seeds …).
Element = Callable[[Graph, Sequence[int], Sequence[int]], tuple[Graph, Sequence[int]]]
# What a graph is replaced by: graph, wrt -> graph, and which of (operands …, ẋ …) it
# reads.
Told = Callable[[Graph, Sequence[int]], tuple[Graph, Sequence[int]]]


@dataclass(frozen=True, slots=True)
class Active:
    """The values and memories that have derivatives."""

    values: set[int]
    memories: set[int]


def depending(
    statement: Recurrence, values: Sequence[int], memories: Sequence[int]
) -> Active:
    """Those that depend on given ones."""
    found = Active(set(values), set(memories))
    floats = [dtype.kind == "f" for dtype in statement.dtypes]

    def follow(code: Code) -> None:
        for s in code:
            match s:
                case Compute() if not found.values.isdisjoint(s.operands):
                    found.values.update(y for y in s.results if floats[y])
                case Get() if s.memory in found.memories:
                    found.values.add(s.result)
                case Set() | Add() if s.value in found.values:
                    found.memories.add(s.memory)
                case Again():
                    for c in s.carried:
                        if not found.values.isdisjoint((c.start, c.next)):
                            found.values.update((c.inner, c.outer))
                    follow(s.code)
                    for c in s.carried:
                        if not found.values.isdisjoint((c.start, c.next)):
                            found.values.update((c.inner, c.outer))

    size = -1
    while size < (size := len(found.values) + len(found.memories)):
        follow(statement.code)
    return found


def starting(statement: Recurrence, active: Any) -> tuple[list[int], list[int]]:
    """The given values and memories whose operands are among some."""
    values = [
        v for v, x in zip(statement.numbers, statement.operands, strict=False)
        if x in active
    ]  # fmt: skip
    return values, [m for m, x in statement.given.items() if x in active]


class Writer:
    """Instructions of a new recurrence, whose first values are those of another."""

    def __init__(self, dtypes: Sequence[np.dtype]) -> None:
        self.dtypes = list(dtypes)
        self.turns: set[int] = set()

    def value(self, dtype: np.dtype) -> int:
        """A new value."""
        self.dtypes.append(dtype)
        return len(self.dtypes) - 1

    def like(self, v: int) -> int:
        """A new value of the dtype of another."""
        return self.value(self.dtypes[v])

    def number(self, code: list[Instruction], value: float, dtype: np.dtype) -> int:
        """A constant."""
        graph = number_graph(value, dtype)
        found = self.value(dtype)
        code.append(Compute(graph, (), (found,)))
        return found

    def applied(
        self,
        code: list[Instruction],
        function: Callable[..., Any],
        operands: Sequence[int],
    ) -> int:
        """A function of numbers of one dtype."""
        dtypes = [self.dtypes[v] for v in operands]
        found = self.value(dtypes[0])
        graph = of_elements(function, dtypes, dtypes[0])
        code.append(Compute(graph, tuple(operands), (found,)))
        return found

    def mapped(
        self,
        code: list[Instruction],
        graph: Graph,
        kept: Sequence[int],
        operands: Sequence[int],
    ) -> list[int]:
        """The results of a graph of some of the operands."""
        results = [self.value(t.dtype) for t in graph.output_types]
        own = tuple([operands[k] for k in kept])
        code.append(Compute(graph, own, tuple(results)))
        return results

    def turn(self, code: list[Instruction], around: tuple[Again, ...]) -> int:
        """Which of all iterations this is."""
        bounds = [a.bound for a in around]

        def turn(*indices: Any) -> Any:
            found: Any = np.int64(0)
            for index, bound in zip(indices, bounds, strict=True):
                found = found * bound + index
            return found

        if len(around) == 1:
            return around[0].index
        if not around:
            found = self.number(code, 0, INT)
            self.turns.add(found)
            return found
        found = self.value(INT)
        self.turns.add(found)
        graph = of_elements(turn, [INT] * len(around), INT)
        code.append(Compute(graph, tuple([a.index for a in around]), (found,)))
        return found


def ahead(
    dots: Any,
    statement: Recurrence,
    results: Sequence[int],
    element: Element,
    told: Told | None = None,
) -> None:
    """Append a recurrence that makes derivatives, too; it gives the results as well.

    told  what to replace its graphs by
    """
    flow, made_ = dots.flow, dots.made
    roots = starting(statement, made_)
    active = depending(statement, *roots)
    push = _Push(statement, active, element, told)
    code = push.code(statement.code, {v: push.like(v) for v in roots[0]})
    given = statement.given
    moving = sorted(active.memories)
    memories = [
        replace(
            statement.memories[m],
            source="given" if given.get(m) in made_
            else "anything" if statement.memories[m].source == "anything"
            else "zeros",
        )
        for m in moving
    ]  # fmt: skip
    outputs = [v for v in statement.outputs if v in active.values]
    arrays = [made_[given[m]] for m in moving if given.get(m) in made_]
    count = len(statement.numbers)
    numbers = [made_[x] for x in statement.operands[:count] if x in made_]
    joint = Recurrence(
        code,
        tuple(push.dtypes),
        (*statement.memories, *memories),
        (*statement.operands[:count], *numbers, *statement.operands[count:], *arrays),
        (*statement.numbers, *(push.dots[v] for v in roots[0])),
        (*statement.outputs, *(push.dots[v] for v in outputs)),
        statement.sure,
    )
    kept = statement.kept
    old, own = results[: len(kept)], results[len(kept) :]
    dotted = [m for m in kept if m in active.memories]
    arrays_ = {m: flow.new(statement.memories[m].type) for m in dotted}
    numbers_ = {v: flow.new(Type(statement.dtypes[v], ())) for v in outputs}
    flow.place(joint, [*old, *arrays_.values(), *own, *numbers_.values()])
    made_ |= {old[kept.index(m)]: y for m, y in arrays_.items()}
    made_ |= {own[statement.outputs.index(v)]: y for v, y in numbers_.items()}
    dots.gaps.update(arrays_.values(), numbers_.values())


class _Push(Writer):
    """Values and memories with their derivatives beside them.

    dots  value -> ẏ
    """

    def __init__(
        self,
        statement: Recurrence,
        active: Active,
        element: Element,
        told: Told | None,
    ) -> None:
        super().__init__(statement.dtypes)
        self.active, self.element, self.told = active, element, told
        first = len(statement.memories)
        self.beside = {m: first + k for k, m in enumerate(sorted(active.memories))}
        self.dots: dict[int, int] = {}

    def code(self, code: Code, dots: Mapping[int, int]) -> Code:
        """The instructions, where some values have derivatives."""
        self.dots |= dots
        found: list[Instruction] = []
        for s in code:
            self._one(s, found)
        return tuple(found)

    def _one(self, s: Instruction, found: list[Instruction]) -> None:
        match s:
            case Again():
                found.append(self._again(s, found))
                return
            case Compute():
                s = self._told(s)
                found.append(s)
                wrt = self._wrt(s)
                asked = [k for k, y in enumerate(s.results) if y in self.active.values]
                if asked:
                    graph, kept = self.element(s.graph, wrt, asked)
                    given = (*s.operands, *(self.dots[s.operands[k]] for k in wrt))
                    own = self.mapped(found, graph, kept, given)
                    whose = [s.results[k] for k in asked]
                    self.dots |= zip(whose, own, strict=True)
                return
        found.append(s)
        if s.memory not in self.beside:
            return
        there = self.beside[s.memory]
        match s:
            case Get():
                self.dots[s.result] = self.like(s.result)
                found.append(Get(self.dots[s.result], there, s.place))
            case Set():
                found.append(Set(there, s.place, self._dot(s.value, found)))
            case Add() if s.value in self.dots:
                found.append(Add(there, s.place, self.dots[s.value]))

    def _wrt(self, s: Compute) -> list[int]:
        return [k for k, x in enumerate(s.operands) if x in self.active.values]

    def _told(self, s: Compute) -> Compute:
        """What an instruction is replaced by."""
        if self.told is None:
            return s
        wrt = self._wrt(s)
        graph, kept = self.told(s.graph, wrt)
        given = (*s.operands, *(self.dots[s.operands[k]] for k in wrt))
        return Compute(graph, tuple([given[k] for k in kept]), s.results)

    def _dot(self, v: int, found: list[Instruction]) -> int:
        """The derivative of a value, zero if it has none."""
        if v in self.dots:
            return self.dots[v]
        return self.number(found, 0.0, self.dtypes[v])

    def _again(self, s: Again, found: list[Instruction]) -> Again:
        own = [c for c in s.carried if c.inner in self.active.values]
        inner = {c.inner: self.like(c.inner) for c in own}
        starts = [self._dot(c.start, found) for c in own]
        code = list(self.code(s.code, inner))
        nexts = [self._dot(c.next, code) for c in own]
        more = []
        for c, start, next in zip(own, starts, nexts, strict=True):
            self.dots[c.outer] = self.like(c.outer)
            more.append(Carried(inner[c.inner], start, next, self.dots[c.outer]))
        return replace(s, code=tuple(code), carried=(*s.carried, *more))
