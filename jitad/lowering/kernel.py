"""The loop-level program between a graph and machine code.

A Kernel is a loop nest over batch axes.  Axis 0 is the *lane axis*: one SIMD lane
(CPU) or one thread (CUDA) per index.  Other axes are `For` loops inside the lane.
Its body is straight-line statements on scalar values, one value per lane.
`schedule` makes kernels, `emit` prints them for a machine, and `execute` below runs
one slowly in plain Python, for tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Layout = Literal["streams", "lines", "rows", "fixed", "general"]


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
    axes    the batch axes along which the buffer varies, ascending
    Bools are one byte each, as in NumPy.
    """

    name: str
    dtype: np.dtype
    elements: int
    axes: tuple[int, ...]
    layout: Layout
    output: bool


@dataclass(frozen=True, slots=True)
class Const:
    """target = value, the same in every lane."""

    target: int
    value: np.generic
    dtype: np.dtype


@dataclass(frozen=True, slots=True)
class Op:
    """target = word(operands): the only arithmetic there is."""

    target: int
    word: str
    operands: tuple[int, ...]
    dtype: np.dtype


@dataclass(frozen=True, slots=True)
class Load:
    """target = buffer[element] at the current lane and loop indices."""

    target: int
    buffer: int
    element: int
    dtype: np.dtype


@dataclass(frozen=True, slots=True)
class Store:
    """buffer[element] = value at the current lane and loop indices."""

    buffer: int
    element: int
    value: int


@dataclass(frozen=True, slots=True)
class For:
    """Run body for every index of a batch axis (extent known at run time)."""

    axis: int
    body: tuple[Statement, ...]


Statement = Const | Op | Load | Store | For


@dataclass(frozen=True, slots=True)
class Kernel:
    """Buffers, the number of batch axes (axis 0 is the lane axis) and the body.

    once  what all lanes share: run before them, and free to be run again
    Every value is assigned once, before it is used, and is visible in the
    statements after it and in the loops inside them; a load may be repeated.
    """

    buffers: tuple[Buffer, ...]
    axes: int
    body: tuple[Statement, ...]
    once: tuple[Const | Op | Load, ...] = ()

    def __str__(self) -> str:
        heads = [
            f"  {'out' if b.output else 'in '} {b.name}: {b.dtype}[{b.elements}] "
            f"{b.layout} axes={','.join(map(str, b.axes)) or '-'}"
            for b in self.buffers
        ]
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
                case Load():
                    name = self.buffers[s.buffer].name
                    yield f"{pad}v{s.target}: {s.dtype} = load {name}[{s.element}]"
                case Store():
                    name = self.buffers[s.buffer].name
                    yield f"{pad}store {name}[{s.element}] = v{s.value}"
                case For():
                    yield f"{pad}for axis {s.axis}:"
                    yield from self._lines(s.body, depth + 1)


def validate(kernel: Kernel) -> None:
    """Assert that values are assigned once, before use, and loops are well nested."""
    assert all(b.elements > 0 for b in kernel.buffers), "an empty buffer is no buffer"

    def walk(body: Sequence[Statement], known: set[int], loops: frozenset[int]) -> None:
        for s in body:
            match s:
                case For():
                    assert 0 < s.axis < kernel.axes and s.axis not in loops, s
                    walk(s.body, set(known), loops | {s.axis})
                case Store():
                    buffer = kernel.buffers[s.buffer]
                    assert buffer.output and s.value in known, s
                    assert 0 <= s.element < buffer.elements, s
                    assert set(buffer.axes) == loops, "a store must cover its axes"
                case Op():
                    assert all(a in known for a in s.operands), s
                    assert s.target not in known, s
                    known.add(s.target)
                case Load():
                    buffer = kernel.buffers[s.buffer]
                    assert set(buffer.axes) <= loops, s
                    assert 0 <= s.element < buffer.elements, s
                    known.add(s.target)
                case Const():
                    known.add(s.target)

    shared: set[int] = set()
    for s in kernel.once:
        assert not isinstance(s, Load) or not kernel.buffers[s.buffer].axes, s
        assert not isinstance(s, Op) or shared.issuperset(s.operands), s
        shared.add(s.target)
    walk(kernel.body, shared, frozenset({0}))


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


def execute(
    kernel: Kernel,
    extents: Sequence[int],
    arrays: Sequence[np.ndarray],
    words: Callable[[str], Callable[..., object]],
) -> None:
    """Run a kernel slowly in plain Python; arrays have shape (*extents, elements).

    Axes along which a buffer does not vary have length 1.  `words` gives the NumPy
    meaning of a word.
    """

    def at(buffer: int, index: dict[int, int]) -> tuple[int, ...]:
        axes = kernel.buffers[buffer].axes
        return tuple(index[a] if a in axes else 0 for a in range(kernel.axes))

    def walk(body: Sequence[Statement], env: dict[int, object], index: dict) -> None:
        for s in body:
            match s:
                case Const():
                    env[s.target] = s.dtype.type(s.value)
                case Op():
                    value = words(s.word)(*(env[a] for a in s.operands))
                    env[s.target] = np.asarray(value).astype(s.dtype)[()]
                case Load():
                    env[s.target] = arrays[s.buffer][(*at(s.buffer, index), s.element)]
                case Store():
                    arrays[s.buffer][(*at(s.buffer, index), s.element)] = env[s.value]
                case For():
                    for i in range(extents[s.axis]):
                        walk(s.body, dict(env), {**index, s.axis: i})

    shared: dict[int, object] = {}
    walk(kernel.once, shared, {})
    for lane in range(extents[0]):
        walk(kernel.body, dict(shared), {0: lane})
