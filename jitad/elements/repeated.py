"""Loops as statements of a flow: a body that is run again and again.

What they compute is what `ir.loop` says of a loop over arrays; `loops` differentiates
them, and `repeating` runs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from jitad.ir.graph import Type, scalar
from jitad.ir.loop import INT

if TYPE_CHECKING:
    from .flow import Flow


class Given(NamedTuple):
    """What belongs to the operands of a loop, or to the inputs of its body.

    lead  the count in a list, empty where there is none; of a body, the index
    """

    lead: Sequence[int]
    carried: Sequence[int]
    shared: Sequence[int]
    arrays: Sequence[int]


@dataclass(frozen=True, slots=True, eq=False)
class Repeated:
    """A body that is run again and again, and what its runs hand on.

    body       (index, carried …, shared …, slices …) -> (carried …, written …)
    head       (index, carried …, shared …) -> whether to go on; None: always
    operands   the count, if counted; carried, shared, and arrays whose rows are slices
    bound      no more runs than this
    backwards  the last run first
    Its results are what is carried out of the last run, what each wrote as a row, and
    how many runs there were.
    """

    body: Flow
    operands: tuple[int, ...]
    carried: int
    shared: int
    bound: int
    head: Flow | None = None
    counted: bool = False
    backwards: bool = False

    @property
    def types(self) -> list[Type]:
        """Of its results."""
        own = [self.body.types[o] for o in self.body.outputs]
        rows = [Type(t.dtype, (self.bound, *t.shape)) for t in own[self.carried :]]
        return [*own[: self.carried], *rows, scalar(INT)]

    @property
    def sized(self) -> bool:
        """Whether it is known how many runs there are."""
        return self.head is None and not self.counted

    def given(self) -> Given:
        """Its operands, by their kinds."""
        return self._split(self.operands, int(self.counted))

    def entering(self) -> Given:
        """The inputs of its body, by their kinds."""
        return self._split(self.body.inputs, 1)

    def _split(self, values: Sequence[int], first: int) -> Given:
        a = first + self.carried
        b = a + self.shared
        return Given(values[:first], values[first:a], values[a:b], values[b:])
