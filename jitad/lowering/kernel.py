"""The loop-level program between a graph and machine code.

A Kernel is a loop nest over batch axes.  Axis 0 is the *lane axis*: one SIMD lane
(CPU) or one thread (CUDA) per index.  Other axes are `For` loops inside the lane.
Its body is statements on scalar values, one value per lane; loops with carried values
(`Repeat`), branches (`If`) and lane-local storage (`Local`) stand among them.
`schedule` makes kernels, `validate` checks them, `emit` prints them for a machine, and
`execute` runs one slowly in plain Python, for tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Layout = Literal["streams", "lines", "rows", "fixed", "general", "sum", "spread"]


@dataclass(frozen=True, slots=True)
class Buffer:
    """An array that a kernel reads or writes: `elements` scalars for every point.

    layout  where element j of lane i lies, relative to the buffer's address
            streams  i * itemsize + j * element_stride        (structure of arrays)
            lines    as streams, written past the cache: every vector that is written
                     begins on a cache line (outputs only)
            rows     i * lane_stride + j * itemsize           (NumPy's (B, n) rows)
            fixed    j * itemsize                             (the same for all lanes)
            general  i * lane_stride + offsets[j]             (anything else)
            sum      a vector of partial sums at j * vector   (outputs only): what is
                     stored is added to it, lane by lane; it varies along no axis
            spread   as fixed (outputs only): sums that lanes add to, one after the
                     other, by `Spread`; it varies along no axis
    axes    the batch axes along which the buffer varies, ascending
    Bools are one byte each, as in NumPy.
    """

    name: str
    dtype: np.dtype
    elements: int
    axes: tuple[int, ...]
    layout: Layout
    output: bool

    @property
    def varies(self) -> bool:
        """Whether every lane has a value of its own."""
        return 0 in self.axes

    @property
    def level(self) -> int:
        """The innermost loop its address depends on; 0 is the lane loop, -1 none."""
        return max(self.axes, default=-1)


@dataclass(frozen=True, slots=True)
class Local:
    """Storage of a lane's own: `elements` scalars, for one point after the other.

    Nothing is known of what has not been written at this point.
    """

    name: str
    dtype: np.dtype
    elements: int


@dataclass(frozen=True, slots=True)
class Const:
    """target = value, the same in every lane; it is what its bits are, NaN too."""

    target: int
    value: np.generic
    dtype: np.dtype

    def _key(self) -> tuple[int, bytes, np.dtype]:
        return self.target, self.value.tobytes(), self.dtype

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Const) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


@dataclass(frozen=True, slots=True)
class Op:
    """target = word(operands): the only arithmetic there is."""

    target: int
    word: str
    operands: tuple[int, ...]
    dtype: np.dtype


@dataclass(frozen=True, slots=True)
class Load:
    """target = buffer[element + index * stride] at the current lane and loop indices.

    index  an int64 value that is the same in all lanes: the index of a Repeat around
           it, or a Const; None: element alone
    """

    target: int
    buffer: int
    element: int
    dtype: np.dtype
    index: int | None = None
    stride: int = 0


@dataclass(frozen=True, slots=True)
class Store:
    """buffer[element] = value at the current lane and loop indices; += into a sum."""

    buffer: int
    element: int
    value: int


@dataclass(frozen=True, slots=True)
class For:
    """Run body for every index of a batch axis (extent known at run time)."""

    axis: int
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """target = local[element + index * stride], as `Load`."""

    target: int
    local: int
    element: int
    dtype: np.dtype
    index: int | None = None
    stride: int = 0


@dataclass(frozen=True, slots=True)
class Write:
    """local[element + index * stride] = value, as `Load`.

    Within a Repeat or an If it may write in lanes that do not take part, too: what was
    there is lost, and what is there then must not be read.
    """

    local: int
    element: int
    value: int
    index: int | None = None
    stride: int = 0


@dataclass(frozen=True, slots=True)
class Gather:
    """target = owner[element + index * stride], every lane at an index of its own.

    index  an int64 value; one that is not below count is taken for count - 1
    The owner is a buffer, or a local.
    """

    target: int
    buffer: int | None
    local: int | None
    element: int
    index: int
    stride: int
    count: int
    dtype: np.dtype


@dataclass(frozen=True, slots=True)
class Spread:
    """owner[element + index * stride] += value for every term, one lane after another.

    index  as in `Gather`
    terms  (element, value)
    The owner is a buffer of layout spread, to which lanes that do not exist add
    nothing, or a local.  It may stand in a Repeat or an If, where lanes that do not
    take part add what they have.
    """

    buffer: int | None
    local: int | None
    index: int
    stride: int
    count: int
    terms: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Clear:
    """Let every element of a local be zero."""

    local: int


@dataclass(frozen=True, slots=True)
class StoreAll:
    """buffer[e] = local[e] for every element, as `Store`."""

    buffer: int
    local: int


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
class Repeat:
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
    head: tuple[Statement, ...]
    alive: int | None
    body: tuple[Statement, ...]
    steps: int | None = None
    backwards: bool = False


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
class If:
    """Run body where any lane of a vector needs it.

    mask   a bool value
    later  where only few lanes of a vector need it, the whole kernel may be run for
           them again, together with those of other vectors
    """

    mask: int
    body: tuple[Statement, ...]
    merged: tuple[Merged, ...]
    later: bool = False


Access = Load | Read | Write
AtPlaces = Gather | Spread | Clear | StoreAll
Statement = Const | Op | Load | Store | For | Read | Write | Repeat | If | AtPlaces
_HOLDERS = frozenset({For, Repeat, If})


def inside(statement: Statement) -> tuple[Statement, ...]:
    """The statements that stand directly in a loop or branch; of others none."""
    match statement:
        case For() | If():
            return statement.body
        case Repeat():
            return (*statement.head, *statement.body)
        case _:
            return ()


def statements(body: Sequence[Statement]) -> Iterator[Statement]:
    """All statements in the order in which they stand, those in loops included."""
    for s in body:
        yield s
        if type(s) in _HOLDERS:
            yield from statements(inside(s))


def used(statement: Statement) -> Iterator[int]:
    """The values that a statement uses itself; what stands in it has its own."""
    match statement:
        case Op():
            yield from statement.operands
        case Load() | Read():
            yield from () if statement.index is None else (statement.index,)
        case Store():
            yield statement.value
        case Gather():
            yield statement.index
        case Spread():
            yield from (statement.index, *(v for _, v in statement.terms))
        case Write():
            yield statement.value
            yield from () if statement.index is None else (statement.index,)
        case Repeat():
            yield from (v for c in statement.carried for v in (c.start, c.next))
            limits = statement.count, statement.alive
            yield from (v for v in limits if v is not None)
        case If():
            yield statement.mask
            yield from (v for m in statement.merged for v in (m.inner, m.otherwise))


def numbers(every: Iterable[Statement]) -> Iterator[int]:
    """The numbers of the values that statements make themselves."""
    for s in every:
        match s:
            case Const() | Op() | Load() | Read() | Gather():
                yield s.target
            case Repeat():
                yield s.index
                yield from (v for c in s.carried for v in (c.inner, c.outer))
                yield from () if s.steps is None else (s.steps,)
            case If():
                yield from (m.outer for m in s.merged)


@dataclass(frozen=True, slots=True)
class Kernel:
    """Buffers, the number of batch axes (axis 0 is the lane axis) and the body.

    once    what all lanes share: run before them, and free to be run again
    locals  the storage of each lane
    Every value is assigned once, before it is used, and is visible in the
    statements after it and in the loops inside them; a load may be repeated, and
    a constant is known everywhere.  Stores and `For` stand in no Repeat and no If.
    """

    buffers: tuple[Buffer, ...]
    axes: int
    body: tuple[Statement, ...]
    once: tuple[Const | Op | Load, ...] = ()
    locals: tuple[Local, ...] = ()

    def __str__(self) -> str:
        heads = [
            f"  {'out' if b.output else 'in '} {b.name}: {b.dtype}[{b.elements}] "
            f"{b.layout} axes={','.join(map(str, b.axes)) or '-'}"
            for b in self.buffers
        ]
        heads += [f"  own {k.name}: {k.dtype}[{k.elements}]" for k in self.locals]
        once = ["  once:", *self._lines(self.once, 2)] if self.once else []
        lines = ["kernel", *heads, *once, *self._lines(self.body, 1)]
        return "\n".join(lines)

    def _lines(self, body: Sequence[Statement], depth: int) -> Iterator[str]:
        pad = "  " * depth
        for s in body:
            match s:
                case Const():
                    yield f"{pad}v{s.target}: {s.dtype} = {s.value!s}"
                case Op():
                    args = ", ".join(f"v{a}" for a in s.operands)
                    yield f"{pad}v{s.target}: {s.dtype} = {s.word}({args})"
                case Load() | Read():
                    verb = "load" if isinstance(s, Load) else "read"
                    yield f"{pad}v{s.target}: {s.dtype} = {verb} {self._place(s)}"
                case Write():
                    yield f"{pad}write {self._place(s)} = v{s.value}"
                case Store():
                    name = self.buffers[s.buffer].name
                    yield f"{pad}store {name}[{s.element}] = v{s.value}"
                case Gather():
                    place = f"{self._owner(s)}[{s.element} + {s.stride} v{s.index}]"
                    yield f"{pad}v{s.target}: {s.dtype} = gather {place}"
                case Spread():
                    for element, value in s.terms:
                        place = f"{self._owner(s)}[{element} + {s.stride} v{s.index}]"
                        yield f"{pad}spread {place} += v{value}"
                case StoreAll():
                    buffer, local = self.buffers[s.buffer], self.locals[s.local]
                    yield f"{pad}store {buffer.name} = {local.name}"
                case Clear():
                    yield f"{pad}clear {self.locals[s.local].name}"
                case For():
                    yield f"{pad}for axis {s.axis}:"
                    yield from self._lines(s.body, depth + 1)
                case Repeat():
                    yield from self._repeat(s, depth)
                case If():
                    yield f"{pad}if any v{s.mask}{', few later' * s.later}:"
                    yield from self._lines(s.body, depth + 1)
                    for m in s.merged:
                        yield (
                            f"{pad}v{m.outer}: {m.dtype} = v{m.inner} where v{s.mask}, "
                            f"else v{m.otherwise}"
                        )

    def _owner(self, s: Gather | Spread) -> str:
        if s.local is not None:
            return self.locals[s.local].name
        assert s.buffer is not None
        return self.buffers[s.buffer].name

    def _place(self, s: Access) -> str:
        owner = self.buffers[s.buffer] if isinstance(s, Load) else self.locals[s.local]
        far = "" if s.index is None else f" + {s.stride} v{s.index}"
        return f"{owner.name}[{s.element}{far}]"

    def _repeat(self, s: Repeat, depth: int) -> Iterator[str]:
        pad = "  " * depth
        limits = [] if s.bound is None else [str(s.bound)]
        limits += [] if s.count is None else [f"v{s.count}"]
        below = f" < {', '.join(limits)}" if limits else ""
        yield f"{pad}repeat v{s.index}{below}{' backwards' if s.backwards else ''}:"
        for c in s.carried:
            yield f"{pad}  v{c.inner}: {c.dtype} = v{c.start}, then v{c.next}"
        yield from self._lines(s.head, depth + 1)
        if s.alive is not None:
            yield f"{pad}  while v{s.alive}"
        yield from self._lines(s.body, depth + 1)
        for c in s.carried:
            yield f"{pad}v{c.outer}: {c.dtype} = last v{c.inner}"
        if s.steps is not None:
            yield f"{pad}v{s.steps}: int64 = steps of v{s.index}"


# Makes kernels that compute the same, one after the other.
Kernels = Callable[[], Iterator[Kernel]]


@dataclass(frozen=True, slots=True)
class Argument:
    """Where one buffer lies in memory: address, byte strides of axes and elements.

    strides   one per batch axis of the kernel; 0 along axes it does not vary along
    elements  the element stride in bytes (streams), or an int64 array of the byte
              offsets of all elements (general); unused otherwise
    """

    address: int
    strides: tuple[int, ...]
    elements: int | np.ndarray = 0
