"""Rows in shared memory: how a warp moves what its lanes have in NumPy's rows.

Start at `plan`, which says which elements go that way.  Lanes that each read or write a
row of their own touch a sector of memory, of 32 bytes, for every element of 8.  So a
warp moves runs of columns of its 32 rows together: neighbouring lanes have neighbouring
elements then, and a sector goes once, or twice where a run ends within it.  The caches
join such halves; what the memory itself must move is every element once, and that is
what a bound by bytes per point counts.  Only warps wait, and no blocks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jitad.lowering.kernel import Buffer, Kernel
from jitad.lowering.statement import statements
from jitad.lowering.statements import Load, Store

from . import values
from .functions import accumulator

WARP = 32
THREADS = 128  # in a block

# Of the cards of compute capability 8 and later, those with least shared memory a
# multiprocessor have 100 KiB, and 12 blocks at most; a block takes one more than it
# asks for, which is at most 48.  All have as many registers, and kernels that would
# take more than 128 a thread are compiled for 128.
SHARED, _MOST_SHARED = 100, 48
_REGISTERS, _MOST_REGISTERS, _BLOCKS = 65536, 128, 12
# Columns of a run.  Two would go into 1.25 sectors a row, in place of 2.
_LEAST = 3

FUNCTIONS = """\
// An element of a run of columns, of a warp's rows; from lane to lane it is the next.
// In shared memory rows are an odd number of elements apart: so no two lanes that read
// or write one column there meet in a bank.
template <unsigned width, class T> struct Element {
  unsigned row = threadIdx.x % 32 / width, column = threadIdx.x % 32 % width;

  __device__ __forceinline__ T *in(T *shared) const {
    return shared + row * (width | 1) + column;
  }
  __device__ __forceinline__ T *in(const char *rows, long long stride) const {
    return (T *)(rows + row * stride) + column;
  }
  __device__ __forceinline__ void move() {
    row += 32 / width;
    column += 32 % width;
    if (column >= width) ++row, column -= width;
  }
};

// Four at a time are on their way.
template <unsigned width, class T>
static __device__ __forceinline__ void take_rows(
    T *shared, const char *rows, long long stride, unsigned count) {
  Element<width, T> from, to;
#pragma unroll 1
  for (int left = width; left > 0; left -= 4) {
    T found[4];
#pragma unroll
    for (int j = 0; j < 4; ++j, from.move())
      if (from.row < count) found[j] = __ldcs(from.in(rows, stride));
#pragma unroll
    for (int j = 0; j < 4; ++j, to.move())
      if (to.row < count) *to.in(shared) = found[j];
  }
}

// One after the other, which takes few registers.
template <unsigned width, class T>
static __device__ __forceinline__ void give_rows(
    T *shared, char *rows, long long stride, unsigned count) {
  Element<width, T> x;
#pragma unroll 1
  for (int j = 0; j < width; ++j, x.move())
    if (x.row < count) __stcs(x.in(rows, stride), *x.in(shared));
}
"""

Place = tuple[int, int]  # a buffer and an element of it


@dataclass(frozen=True, slots=True)
class Run:
    """Columns of a buffer, from `element` on; in a warp's shared memory at a byte."""

    buffer: int
    element: int
    width: int
    start: int

    @property
    def places(self) -> list[Place]:
        """The elements of it."""
        return [(self.buffer, self.element + k) for k in range(self.width)]


@dataclass(frozen=True, slots=True)
class Rows:
    """What a warp moves together.

    inputs   are there before the body
    outputs  batches of runs: each is gathered, and then written at once.  The first
             takes the place of the inputs
    bytes    of shared memory, for each warp; 0: nothing is moved so
    """

    inputs: tuple[Run, ...] = ()
    outputs: tuple[tuple[Run, ...], ...] = ()
    bytes: int = 0


def plan(kernel: Kernel, shared: int = SHARED) -> Rows:
    """The elements of a kernel's rows that warps move together.

    Of rows that vary along the lane axis alone; but no column without neighbours, for
    it lies apart in memory however it is moved, and none that is named by an index.

    shared  as in `emit`
    """
    most = WARP * _room(kernel, shared)
    inputs: list[Run] = []
    for own in _read(kernel):
        both = [*inputs, *_runs(kernel, own, _size(kernel, inputs))]
        if _size(kernel, both) <= most:
            inputs = both
    outputs = tuple(b for b in _batches(kernel, most) if b)
    return Rows(
        tuple(inputs), outputs, max(_size(kernel, x) for x in (inputs, *outputs))
    )


def _size(kernel: Kernel, runs: Iterable[Run]) -> int:
    """Bytes of runs in the shared memory of a warp."""
    sizes = ((r.width | 1) * kernel.buffers[r.buffer].dtype.itemsize for r in runs)
    return WARP * sum(sizes)


def _is_row(buffer: Buffer) -> bool:
    return buffer.layout == "rows" and buffer.axes == (0,)


def _read(kernel: Kernel) -> Iterator[set[Place]]:
    """The elements that are read of every buffer that can be moved together."""
    every = list(statements(kernel.body))
    loads = [s for s in every if isinstance(s, Load) and s.index is None]
    wild = {k for s in {*every}.difference(loads) for k in s.reads}
    for k, b in enumerate(kernel.buffers):
        if _is_row(b) and k not in wild:
            yield {(k, s.element) for s in loads if s.buffer == k}


def _runs(kernel: Kernel, places: Iterable[Place], start: int = 0) -> list[Run]:
    """The runs of elements that lie side by side, to be shared from a byte on."""
    found: list[Run] = []
    numbered = enumerate(sorted(places))
    beside = itertools.groupby(
        numbered, lambda pair: (pair[1][0], pair[1][1] - pair[0])
    )
    for _, pairs in beside:
        own = [place for _, place in pairs]
        if len(own) >= _LEAST:
            found.append(Run(*own[0], len(own), start))
            start += _size(kernel, found[-1:])
    return found


def _batches(kernel: Kernel, most: int) -> Iterator[tuple[Run, ...]]:
    """Elements that are stored one after the other, as many at a time as fit."""
    stores = [s for s in kernel.body if isinstance(s, Store)]
    rows = [(s.buffer, s.element) for s in stores if _is_row(kernel.buffers[s.buffer])]
    assert len(set(rows)) == len(rows), "an element is stored once"
    batch: list[Place] = []
    for place in rows:
        more = [*batch, place]
        size = WARP * sum(kernel.buffers[k].dtype.itemsize for k, _ in more)
        if max(size, _size(kernel, _runs(kernel, more))) > most:
            yield tuple(_runs(kernel, batch))
            more = [place]
        batch = more
    yield tuple(_runs(kernel, batch))


# -- how much shared memory there is ---------------------------------------------


def _room(kernel: Kernel, shared: int) -> int:
    """Bytes of shared memory for a lane, so that it is registers that limit blocks."""
    registers = min(max(values.registers(kernel), 1), _MOST_REGISTERS)
    blocks = min(_REGISTERS // (registers * THREADS), _BLOCKS)
    sums = {accumulator(b.dtype) for b in kernel.buffers if b.layout == "sum"}
    most = min(shared // blocks - 1, _MOST_SHARED) * 1024
    return most // THREADS - sum(d.itemsize for d in sums)
