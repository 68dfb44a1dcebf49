"""The loop-level program between a graph and machine code.

A Kernel is a loop nest over batch axes.  Axis 0 is the *lane axis*: one SIMD lane
(CPU) or one thread (CUDA) per index.  Other axes are `For` loops inside the lane.
Its body is statements on scalar values, one value per lane; loops with carried values
(`Repeat`), branches (`If`) and lane-local storage (`Local`) stand among them.
`schedule` makes kernels, `validate` checks them, `emit` prints them for a machine, and
`execute` runs one slowly in plain Python, for tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .statement import Body, Memory
from .statements import Const, Load, Op

Layout = Literal["streams", "lines", "rows", "fixed", "general", "sum", "scatter"]


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
            scatter  as fixed (outputs only): sums that lanes add to, one after the
                     other, by `Scatter`; it varies along no axis
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
    body: Body
    once: tuple[Const | Op | Load, ...] = ()
    locals: tuple[Local, ...] = ()

    def __str__(self) -> str:
        heads = [
            f"  {'out' if b.output else 'in '} {b.name}: {b.dtype}[{b.elements}] "
            f"{b.layout} axes={','.join(map(str, b.axes)) or '-'}"
            for b in self.buffers
        ]
        heads += [f"  own {k.name}: {k.dtype}[{k.elements}]" for k in self.locals]
        once = [f"    {line}" for s in self.once for line in s.lines(self._name)]
        body = [f"  {line}" for s in self.body for line in s.lines(self._name)]
        return "\n".join(
            ["kernel", *heads, *(["  once:"] if once else []), *once, *body]
        )

    def _name(self, memory: Memory) -> str:
        return self.buffers[memory].name if memory >= 0 else self.locals[~memory].name


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
