"""The statements of kernels: values and where they come from, what is written, loops.

Each says what it reads, makes, writes and holds; see `statement`.  What it means is in
`execute`; `llvm.body` and `cuda.body` print it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .statement import Body, Made, Memory, Names, Statement, indented

_INDEX = np.dtype(np.int64)


# -- values, and where they come from ------------------------------------------------


class _Valued:
    """What statements have in common that make one value, their result."""

    __slots__ = ()
    result: int
    dtype: np.dtype

    @property
    def made(self) -> Made:
        return ((self.result, self.dtype),)


@dataclass(frozen=True, slots=True)
class Const(_Valued, Statement):
    """result = value, the same in every lane; it is what its bits are, NaN too."""

    result: int
    value: np.generic
    dtype: np.dtype

    def _key(self) -> tuple[int, bytes, np.dtype]:
        return self.result, self.value.tobytes(), self.dtype

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Const) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def lines(self, names: Names) -> Iterator[str]:
        yield f"v{self.result}: {self.dtype} = {self.value!s}"


@dataclass(frozen=True, slots=True)
class Op(_Valued, Statement):
    """result = word(operands): the only arithmetic there is."""

    result: int
    word: str
    operands: tuple[int, ...]
    dtype: np.dtype

    @property
    def used(self) -> tuple[int, ...]:
        return self.operands

    def lines(self, names: Names) -> Iterator[str]:
        args = ", ".join(f"v{a}" for a in self.operands)
        yield f"v{self.result}: {self.dtype} = {self.word}({args})"


@dataclass(frozen=True, slots=True)
class Load(_Valued, Statement):
    """result = buffer[element + index * stride] at the current lane and loop indices.

    index  an int64 value that is the same in all lanes: the index of a Repeat around
           it, or a Const; None: element alone
    """

    result: int
    buffer: int
    element: int
    dtype: np.dtype
    index: int | None = None
    stride: int = 0

    @property
    def used(self) -> tuple[int, ...]:
        return () if self.index is None else (self.index,)

    @property
    def reads(self) -> tuple[Memory, ...]:
        return (self.buffer,)

    def elements(self, size: int) -> Sequence[int]:
        return (self.element,) if self.index is None else range(size)

    @property
    def indexed(self) -> tuple[int, ...]:
        return () if self.index is None else (self.buffer,)

    @property
    def repeatable(self) -> bool:
        return True

    def lines(self, names: Names) -> Iterator[str]:
        place = _place(self, names(self.buffer))
        yield f"v{self.result}: {self.dtype} = load {place}"


@dataclass(frozen=True, slots=True)
class Read(_Valued, Statement):
    """result = local[element + index * stride], as `Load`."""

    result: int
    local: int
    element: int
    dtype: np.dtype
    index: int | None = None
    stride: int = 0

    @property
    def used(self) -> tuple[int, ...]:
        return () if self.index is None else (self.index,)

    @property
    def reads(self) -> tuple[Memory, ...]:
        return (~self.local,)

    @property
    def repeatable(self) -> bool:
        return True

    def lines(self, names: Names) -> Iterator[str]:
        place = _place(self, names(~self.local))
        yield f"v{self.result}: {self.dtype} = read {place}"


@dataclass(frozen=True, slots=True)
class Gather(_Valued, Statement):
    """result = owner[element + index * stride], every lane at an index of its own.

    index  an int64 value; one that is not below count is taken for count - 1
    The owner is a buffer, or a local.
    """

    result: int
    buffer: int | None
    local: int | None
    element: int
    index: int
    stride: int
    count: int
    dtype: np.dtype

    @property
    def used(self) -> tuple[int, ...]:
        return (self.index,)

    @property
    def reads(self) -> tuple[Memory, ...]:
        return (owner(self),)

    @property
    def nanoseconds(self) -> float:
        return 0.5

    @property
    def size(self) -> int:
        return 4

    def lines(self, names: Names) -> Iterator[str]:
        place = f"{names(owner(self))}[{self.element} + {self.stride} v{self.index}]"
        yield f"v{self.result}: {self.dtype} = gather {place}"


# -- what is written ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Store(Statement):
    """buffer[element] = value at the current lane and loop indices; += into a sum."""

    buffer: int
    element: int
    value: int

    @property
    def used(self) -> tuple[int, ...]:
        return (self.value,)

    @property
    def writes(self) -> tuple[Memory, ...]:
        return (self.buffer,)

    def elements(self, size: int) -> Sequence[int]:
        return (self.element,)

    def lines(self, names: Names) -> Iterator[str]:
        yield f"store {names(self.buffer)}[{self.element}] = v{self.value}"


@dataclass(frozen=True, slots=True)
class StoreAll(Statement):
    """buffer[e] = local[e] for every element, as `Store`."""

    buffer: int
    local: int

    @property
    def reads(self) -> tuple[Memory, ...]:
        return (~self.local,)

    @property
    def writes(self) -> tuple[Memory, ...]:
        return (self.buffer,)

    @property
    def indexed(self) -> tuple[int, ...]:
        return (self.buffer,)

    def lines(self, names: Names) -> Iterator[str]:
        yield f"store {names(self.buffer)} = {names(~self.local)}"


@dataclass(frozen=True, slots=True)
class Write(Statement):
    """local[element + index * stride] = value, as `Load`.

    Within a Repeat or an If it may write in lanes that do not take part, too: what was
    there is lost, and what is there then must not be read.
    """

    local: int
    element: int
    value: int
    index: int | None = None
    stride: int = 0

    @property
    def used(self) -> tuple[int, ...]:
        return (self.value,) if self.index is None else (self.value, self.index)

    @property
    def writes(self) -> tuple[Memory, ...]:
        return (~self.local,)

    def lines(self, names: Names) -> Iterator[str]:
        yield f"write {_place(self, names(~self.local))} = v{self.value}"


@dataclass(frozen=True, slots=True)
class Clear(Statement):
    """Set every element of a local to zero."""

    local: int

    @property
    def writes(self) -> tuple[Memory, ...]:
        return (~self.local,)

    def lines(self, names: Names) -> Iterator[str]:
        yield f"clear {names(~self.local)}"


@dataclass(frozen=True, slots=True)
class Scatter(Statement):
    """owner[element + index * stride] += value for every term, one lane after another.

    index  as in `Gather`
    terms  (element, value)
    The owner is a buffer of layout scatter, to which lanes that do not exist add
    nothing, or a local.  It may stand in a Repeat or an If, where lanes that do not
    take part add what they have.
    """

    buffer: int | None
    local: int | None
    index: int
    stride: int
    count: int
    terms: tuple[tuple[int, int], ...]

    @property
    def used(self) -> tuple[int, ...]:
        return (self.index, *[v for _, v in self.terms])

    @property
    def writes(self) -> tuple[Memory, ...]:
        return (owner(self),)

    @property
    def nanoseconds(self) -> float:
        return 1.0 * len(self.terms)

    @property
    def size(self) -> int:
        return 8 + 4 * len(self.terms)

    def lines(self, names: Names) -> Iterator[str]:
        for element, value in self.terms:
            place = f"{names(owner(self))}[{element} + {self.stride} v{self.index}]"
            yield f"scatter {place} += v{value}"


# -- loops and branches ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class For(Statement):
    """Run body for every index of a batch axis (extent known at run time)."""

    axis: int
    body: Body

    @property
    def bodies(self) -> tuple[Body, ...]:
        return (self.body,)

    def holding(self, *bodies: Body) -> For:
        (body,) = bodies
        return replace(self, body=body)

    def lines(self, names: Names) -> Iterator[str]:
        yield f"for axis {self.axis}:"
        yield from indented(self.body, names)


@dataclass(frozen=True, slots=True)
class Carried:
    """A value that each iteration hands to the next.

    start  before the loop
    inner  its value in an iteration
    next   what the iteration makes of it
    outer  its value after the loop
    """

    inner: int
    start: int
    next: int
    outer: int
    dtype: np.dtype


@dataclass(frozen=True, slots=True)
class Repeat(Statement):
    """Run iterations 0, 1, … of head and body, each lane as many as it needs.

    A lane runs iteration i if i < bound, i < count, and every `alive` up to it was
    true; what is None does not limit it.  A lane that is done keeps its carried
    values, though the iterations of others may compute with them.

    index      the number of the iteration: an int64 value, the same in all lanes
    bound      a number
    count      an int64 value from before the loop
    head       computes alive; the body sees its values
    alive      a bool value
    steps      this int64 value becomes the number of iterations that the lane ran
    backwards  run the iterations from last to first; then there is no alive
    """

    index: int
    bound: int | None
    count: int | None
    carried: tuple[Carried, ...]
    head: Body
    alive: int | None
    body: Body
    steps: int | None = None
    backwards: bool = False

    @property
    def used(self) -> tuple[int, ...]:
        pairs = [v for c in self.carried for v in (c.start, c.next)]
        return (*pairs, *_given(self.count, self.alive))

    @property
    def made(self) -> Made:
        carried = [(v, c.dtype) for c in self.carried for v in (c.inner, c.outer)]
        steps = [(v, _INDEX) for v in _given(self.steps)]
        return ((self.index, _INDEX), *carried, *steps)

    @property
    def size(self) -> int:
        return 4 + 2 * len(self.carried)

    @property
    def bodies(self) -> tuple[Body, ...]:
        return self.head, self.body

    def holding(self, *bodies: Body) -> Repeat:
        head, body = bodies
        return replace(self, head=head, body=body)

    def lines(self, names: Names) -> Iterator[str]:
        limits = [*map(str, _given(self.bound)), *(f"v{v}" for v in _given(self.count))]
        below = f" < {', '.join(limits)}" if limits else ""
        yield f"repeat v{self.index}{below}{' backwards' if self.backwards else ''}:"
        for c in self.carried:
            yield f"  v{c.inner}: {c.dtype} = v{c.start}, then v{c.next}"
        yield from indented(self.head, names)
        if self.alive is not None:
            yield f"  while v{self.alive}"
        yield from indented(self.body, names)
        for c in self.carried:
            yield f"v{c.outer}: {c.dtype} = last v{c.inner}"
        if self.steps is not None:
            yield f"v{self.steps}: int64 = steps of v{self.index}"


@dataclass(frozen=True, slots=True)
class Merged:
    """outer = inner, a value of the branch, where its mask is true, else otherwise.

    The latter is made before.
    """

    inner: int
    otherwise: int
    outer: int
    dtype: np.dtype


@dataclass(frozen=True, slots=True)
class If(Statement):
    """Run body where any lane of a vector needs it.

    mask   a bool value
    later  where only few lanes of a vector need it, the whole kernel may be run for
           them again, together with those of other vectors
    """

    mask: int
    body: Body
    merged: tuple[Merged, ...]
    later: bool = False

    @property
    def used(self) -> tuple[int, ...]:
        return (self.mask, *[v for m in self.merged for v in (m.inner, m.otherwise)])

    @property
    def made(self) -> Made:
        return tuple([(m.outer, m.dtype) for m in self.merged])

    @property
    def size(self) -> int:
        return 2 + 2 * len(self.merged)

    @property
    def bodies(self) -> tuple[Body, ...]:
        return (self.body,)

    def holding(self, *bodies: Body) -> If:
        (body,) = bodies
        return replace(self, body=body)

    def lines(self, names: Names) -> Iterator[str]:
        yield f"if any v{self.mask}{', few later' * self.later}:"
        yield from indented(self.body, names)
        for m in self.merged:
            choice = f"v{m.inner} where v{self.mask}, else v{m.otherwise}"
            yield f"v{m.outer}: {m.dtype} = {choice}"


Access = Load | Read | Write


def owner(s: Gather | Scatter) -> Memory:
    """The buffer or local whose elements every lane finds by an index of its own."""
    if s.local is not None:
        return ~s.local
    assert s.buffer is not None
    return s.buffer


def _place(s: Access, name: str) -> str:
    far = "" if s.index is None else f" + {s.stride} v{s.index}"
    return f"{name}[{s.element}{far}]"


def _given(*values: int | None) -> list[int]:
    return [v for v in values if v is not None]
