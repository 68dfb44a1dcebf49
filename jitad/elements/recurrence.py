"""Loops of numbers that read and write elements of arrays: statements of a flow.

An array that such a loop writes is one piece of memory, of which an iteration sees what
the ones before have left.  `recurring` makes these statements from loops, `recurred`
and `returned` differentiate them, `running` compiles and runs them.

Values are numbers, each made once; a place is the number of an element in C order, and
-1 is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jitad.ir.graph import Graph, Type, scalar


@dataclass(frozen=True, slots=True, eq=False)
class Compute:
    """Results of a graph of one point's scalars."""

    graph: Graph
    operands: tuple[int, ...]
    results: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Get:
    """The element of a memory at a place; at none what is missing."""

    result: int
    memory: int
    place: int
    missing: Any = 0


@dataclass(frozen=True, slots=True, eq=False)
class Set:
    """Write a value at a place; at none, what is missing wherever it might be."""

    memory: int
    place: int
    value: int
    missing: Any = 0


@dataclass(frozen=True, slots=True, eq=False)
class Add:
    """Add a value at a place; at none, nowhere."""

    memory: int
    place: int
    value: int


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """A number that each iteration hands to the next, as in `lowering.statements`."""

    inner: int
    start: int
    next: int
    outer: int


@dataclass(frozen=True, slots=True, eq=False)
class Again:
    """Run code for index 0, 1, … below bound, and below count if there is one.

    backwards  the last one first
    """

    index: int
    bound: int
    count: int | None
    carried: tuple[Carried, ...]
    code: Code
    backwards: bool = False


Instruction = Compute | Get | Set | Add | Again
Code = tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """An array of a type.

    source  what is in it at first: an operand's elements, zeros, or anything
    kept    whether it is a result
    """

    type: Type
    source: Literal["given", "zeros", "anything"]
    kept: bool


@dataclass(frozen=True, slots=True, eq=False)
class Recurrence:
    """Code that is run once, and its memories.

    dtypes    of all values
    operands  the given numbers, and then the given arrays
    numbers   the values that are given
    outputs   the values that are results, after the memories that are
    sure      the places that are known to be in their arrays
    """

    code: Code
    dtypes: tuple[np.dtype, ...]
    memories: tuple[Memory, ...]
    operands: tuple[int, ...]
    numbers: tuple[int, ...]
    outputs: tuple[int, ...]
    sure: frozenset[int] = frozenset()

    @property
    def types(self) -> list[Type]:
        """Of its results."""
        kept = [m.type for m in self.memories if m.kept]
        return [*kept, *(scalar(self.dtypes[v]) for v in self.outputs)]

    @property
    def given(self) -> dict[int, int]:
        """Memory -> the operand that it begins with."""
        arrays = iter(self.operands[len(self.numbers) :])
        every = enumerate(self.memories)
        return {k: next(arrays) for k, m in every if m.source == "given"}

    @property
    def kept(self) -> list[int]:
        """The memories that are results, in order."""
        return [k for k, m in enumerate(self.memories) if m.kept]

    @property
    def written(self) -> set[int]:
        """The memories that are written, or added to."""
        return {s.memory for s in every(self.code) if isinstance(s, Set | Add)}


def every(code: Iterable[Instruction]) -> Iterator[Instruction]:
    """All instructions, those in loops included."""
    for s in code:
        yield s
        if isinstance(s, Again):
            yield from every(s.code)


def made(s: Instruction) -> tuple[int, ...]:
    """The values that an instruction makes for those behind it."""
    match s:
        case Compute():
            return s.results
        case Get():
            return (s.result,)
        case Again():
            return tuple([c.outer for c in s.carried])
    return ()


def used(s: Instruction) -> tuple[int, ...]:
    """The values that an instruction uses itself."""
    match s:
        case Compute():
            return s.operands
        case Get():
            return (s.place,)
        case Set() | Add():
            return (s.place, s.value)
        case Again():
            counts = () if s.count is None else (s.count,)
            pairs = [v for c in s.carried for v in (c.start, c.next)]
            return (*counts, *pairs)
