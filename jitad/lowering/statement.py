"""What passes over a kernel ask of any statement, and how they walk and rebuild bodies.

A `Statement` says what it reads, makes, writes and holds, so that passes name few of
the classes in `statements`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

import numpy as np

Body = tuple["Statement", ...]
Memory = int  # the number of a buffer, or ~k for local k
Names = Callable[[Memory], str]
Made = tuple[tuple[int, np.dtype], ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """What all passes ask of a statement, answered for one that does nothing.

    A statement that has a buffer or a local names the fields `buffer` and `local`.

    nests  whether others stand in it: most do not, and are not asked for their bodies
    """

    nests: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        cls.nests = cls.bodies is not Statement.bodies

    @property
    def used(self) -> tuple[int, ...]:
        """The values that it uses itself; what stands in it has its own."""
        return ()

    @property
    def made(self) -> Made:
        """The values that it makes itself, each with its dtype."""
        return ()

    @property
    def reads(self) -> tuple[Memory, ...]:
        """The buffers and locals that it reads itself."""
        return ()

    @property
    def writes(self) -> tuple[Memory, ...]:
        """The buffers and locals that it writes itself, or adds to."""
        return ()

    def elements(self, size: int) -> Sequence[int]:
        """The elements that it may touch of its buffer, which has `size` in all."""
        return range(size)

    @property
    def indexed(self) -> tuple[int, ...]:
        """The buffers of whose elements it takes one after the other, by numbers."""
        return ()

    @property
    def repeatable(self) -> bool:
        """Whether it may stand in several places, and makes the same values in each."""
        return False

    @property
    def nanoseconds(self) -> float:
        """What it costs one lane, roughly; of what it holds nothing is counted."""
        return 0.1

    @property
    def size(self) -> int:
        """How much there is to compile of it alone, in operations."""
        return 1

    @property
    def bodies(self) -> tuple[Sequence[Statement], ...]:
        """What stands directly in it, if it is a loop or branch."""
        return ()

    def holding(self, *bodies: Body) -> Statement:
        """The same with other statements in it, for as many bodies as it has."""
        del bodies
        return self

    def lines(self, names: Names) -> Iterator[str]:
        """Its text; `names` gives those of buffers and locals."""
        del names
        yield str(self)

    @property
    def inside(self) -> Iterator[Statement]:
        """The statements that stand directly in it."""
        return chain(*self.bodies)


def statements(body: Iterable[Statement]) -> Iterator[Statement]:
    """All statements in the order in which they stand, those in loops included."""
    for s in body:
        yield s
        if s.nests:
            for inner in s.bodies:
                yield from statements(inner)


def rewritten(
    body: Iterable[Statement], rewrite: Callable[[Statement], Iterable[Statement]]
) -> Body:
    """The body with what `rewrite` gives in place of each statement.

    It sees a loop or branch when what stands there has been rewritten.
    """
    made: list[Statement] = []
    for s in body:
        if s.nests:
            s = s.holding(*[rewritten(inner, rewrite) for inner in s.bodies])
        made += rewrite(s)
    return tuple(made)


def numbers(every: Iterable[Statement]) -> Iterator[int]:
    """The numbers of the values that statements make themselves."""
    return (v for s in every for v, _ in s.made)


def indented(body: Iterable[Statement], names: Names) -> Iterator[str]:
    """The lines of statements, further in."""
    return (f"  {line}" for s in body for line in s.lines(names))
