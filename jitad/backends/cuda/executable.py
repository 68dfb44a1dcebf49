"""The CUDA back end: load a Kernel's machine code onto a card and launch it.

Start at `Builder`, which makes an `Executable` of the best of some kernels, or at
`compile`, which makes one of a kernel.
A thread computes one lane; sums are added up in the same order whatever the card is.
`Work` is what one call has of a card, as `HOST` is of the host.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jitad.backends.memory import address, dense, shown
from jitad.errors import UnsupportedError
from jitad.lowering.cuda.emit import NAME, emit, entries, totals_name
from jitad.lowering.cuda.functions import accumulator
from jitad.lowering.cuda.parameters import flatten, parameters
from jitad.lowering.cuda.rows import THREADS
from jitad.lowering.cuda.scatter import clear_name, finish_name, phases, space
from jitad.lowering.kernel import Argument, Buffer, Kernel, Kernels

from . import device_words
from .best_order import AsCards, Tried, chosen
from .card import Card
from .nvrtc import Capability, Cubin, Usage
from .occupancy import Occupancy, like, resident, shared_memory

# Blocks that share the lanes of a sum, at most.
SUM_BLOCKS = 1024

Maker = Callable[[str, Capability], Cubin]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A launch of which only the addresses of arrays are not known.

    places  where in numbers those of the buffers go
    """

    card: Card
    function: Any
    blocks: int
    numbers: list[int]
    places: list[tuple[int, int]]

    def launch(self, addresses: Sequence[int], stream: Any) -> None:
        """Start it on arrays at these addresses, one for each buffer."""
        numbers = self.numbers.copy()
        for k, buffer in self.places:
            numbers[k] = addresses[buffer]
        self.card.launch(self.function, self.blocks, THREADS, numbers, stream)


@dataclass(frozen=True, eq=False)
class Executable:
    """A kernel on a card.

    usage    what it takes of registers and memory
    columns  into how many column blocks it is split
    tried    what it was chosen among; nothing where it was not
    """

    kernel: Kernel
    card: Card
    usage: Usage
    compile_seconds: float
    _functions: dict[str, Any] = field(repr=False)
    columns: int = 1
    tried: tuple[Tried, ...] = ()
    _tables: dict[bytes, Any] = field(default_factory=dict, repr=False)

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """The kernel's buffers."""
        return self.kernel.buffers

    @property
    def occupancy(self) -> Occupancy:
        """How much of a multiprocessor it fills."""
        used = self.usage
        return resident(
            like(self.card.capability),
            registers=used.registers, shared=used.shared, threads=THREADS,
        )  # fmt: skip

    def launch(
        self, extents: Sequence[int], arguments: Sequence[Argument], stream: Any
    ) -> None:
        """Start the kernel on all points; outputs must not overlap inputs.

        A kernel that scatters adds to what is there, and there must be one point.
        arguments  with addresses on the card; tables of offsets are copied there
        """
        if 0 not in extents:
            prepared = self.prepare(extents, arguments)
            prepared.launch([a.address for a in arguments], stream)

    def prepare(
        self, extents: Sequence[int], arguments: Sequence[Argument]
    ) -> Prepared:
        """A launch that is repeated for arrays elsewhere, which lie alike."""
        given = parameters(self.kernel)
        places = [(k, p.buffer) for k, p in enumerate(given) if p.kind == "address"]
        numbers = flatten(self.kernel, extents, self._placed(arguments))
        blocks = -(-extents[0] // THREADS) * self.columns
        return Prepared(self.card, self._functions[NAME], blocks, numbers, places)

    def sum_shape(self, count: int) -> tuple[int, int]:
        """How many lanes are added at a time, in a block; there are no tiles."""
        del count
        return THREADS, 0

    def total(
        self, count: int, arguments: Sequence[Argument | None], stream: Any
    ) -> list[Any]:
        """Start the sums over count lanes: memory on the card, for each buffer of them.

        arguments  None for the buffers that take sums, or that lanes scatter.  The sums
                   have the same bits for every card
        """
        blocks = _blocks(count)
        given, made = [], []
        for b, argument in zip(self.kernel.buffers, arguments, strict=True):
            if argument is None:
                made.append((b, self._space(b, blocks, stream)))
                argument = Argument(int(made[-1][1].handle), ())
            given.append(argument)
        placed = self._placed(given)
        for phase in phases(self.kernel):
            numbers = flatten(self.kernel, (count,), placed, phase)
            self._start(NAME, blocks * self.columns, numbers, stream)
        return [self._added(b, memory, blocks, stream) for b, memory in made]

    def _space(self, b: Buffer, blocks: int, stream: Any) -> Any:
        """Memory in which a number of blocks add up a buffer."""
        if b.layout == "sum":
            size = b.elements * accumulator(b.dtype).itemsize
            return self.card.empty(blocks * size, stream)
        size = b.elements * space(b.dtype)
        memory, words = self.card.empty(size, stream), size // 4
        numbers = [words, int(memory.handle)]
        self._start(clear_name(NAME), _blocks(words), numbers, stream)
        return memory

    def _added(self, b: Buffer, memory: Any, blocks: int, stream: Any) -> Any:
        """The sums of a buffer, from where it was added up."""
        if b.layout == "sum":
            name, grid, first = totals_name(NAME, b.dtype), b.elements, blocks
        elif (name := finish_name(NAME, b.dtype)) is None:
            return memory
        else:
            grid, first = _blocks(b.elements), b.elements
        total = self.card.empty(b.elements * b.dtype.itemsize, stream)
        numbers = [first, int(memory.handle), int(total.handle)]
        self._start(name, grid, numbers, stream)
        return total

    def _start(
        self, name: str, blocks: int, numbers: Sequence[int], stream: Any
    ) -> None:
        self.card.launch(self._functions[name], blocks, THREADS, numbers, stream)

    def _placed(self, arguments: Sequence[Argument]) -> list[Argument]:
        """Tables of offsets on the card, where they stay."""
        return [
            replace(a, elements=self._table(a.elements))
            if isinstance(a.elements, np.ndarray)
            else a
            for a in arguments
        ]

    def _table(self, offsets: np.ndarray) -> int:
        key = offsets.tobytes()
        if key not in self._tables:
            # Ready for every stream that will ever ask for it.
            card, whole = self.card, np.ascontiguousarray(offsets)
            memory = card.empty(whole.nbytes, card.stream)
            card.to_device(int(memory.handle), whole, card.stream)
            card.sync(card.stream)
            self._tables[key] = memory
        return int(self._tables[key].handle)


def compile(
    kernel: Kernel, card: Card, *, make: Maker = device_words.compiled
) -> Executable:
    """Kernel -> Executable on a card; make: CUDA C -> machine code.

    Raises UnsupportedError for a word that has no CUDA C, CompilerError where NVRTC is
    missing.
    """
    start = time.perf_counter()
    shared = shared_memory(card.capability)
    cubin = make(emit(kernel, shared=shared), card.capability)
    return load(kernel, cubin, card, time.perf_counter() - start)


def load(
    kernel: Kernel,
    cubin: Cubin,
    card: Card,
    seconds: float = 0.0,
    *,
    columns: int = 1,
) -> Executable:
    """A kernel that is compiled already, as by `chosen`, on a card."""
    functions = card.load(cubin.code, entries(kernel))
    used = cubin.usage[NAME]
    return Executable(kernel, card, used, seconds, functions, columns=columns)


@dataclass(frozen=True)
class Builder(AsCards):
    """A card as what kernels are made for: a Machine."""

    card: Card

    def compile(
        self, kernels: Kernels, name: bytes | None, extents: Sequence[int]
    ) -> Executable:
        """The kernel that suits the card best, on it.

        Raises UnsupportedError for what no GPU kernel can have, CompilerError where
        NVRTC is missing.
        """
        del name, extents  # NVRTC's code is kept by its text
        start, capability = time.perf_counter(), self.card.capability

        def make(text: str, limit: int | None) -> Cubin:
            return device_words.compiled(text, capability, registers=limit)

        found = chosen(kernels(), make, capability)
        seconds = time.perf_counter() - start
        columns = found.columns
        made = load(found.kernel, found.cubin, self.card, seconds, columns=columns)
        return replace(made, tried=found.tried)


@dataclass(frozen=True, eq=False)
class Work:
    """What a call has of a card, a Place: a stream, and memory that is freed along it.

    Its arrays are ndarrays at addresses of the card, which are never read.
    """

    card: Card
    stream: Any

    def empty(self, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """An uninitialised array."""
        size = math.prod(shape) * dtype.itemsize
        memory = self.card.empty(max(size, 1), self.stream)
        return shown(int(memory.handle), tuple(shape), dtype, owner=memory)

    def zeros(self, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """An array of zeros."""
        made = self.empty(shape, dtype)
        if made.size:
            self.card.clear(address(made), made.nbytes, self.stream)
        return made

    def copy(self, array: np.ndarray) -> np.ndarray:
        """A new array of the same elements."""
        made = self.empty(array.shape, array.dtype)
        self.move(array, made)
        return made

    def move(self, array: np.ndarray, to: np.ndarray) -> None:
        """Copy one array to another, both contiguous and of the same size and dtype."""
        assert array.flags.c_contiguous and to.flags.c_contiguous
        if array.size:
            places = address(to), address(array)
            self.card.copy(*places, array.nbytes, self.stream)

    def contiguous(self, array: np.ndarray) -> np.ndarray:
        """The array, which must be contiguous.

        Raises UnsupportedError where it is not.
        """
        if array.flags.c_contiguous:
            return array
        raise UnsupportedError(
            f"expected a contiguous array on {self.card!r} for a sum over its points, "
            f"got one of shape {array.shape} and strides {array.strides}; copy it "
            "there, as by cupy.ascontiguousarray"
        )

    def send(self, array: np.ndarray) -> np.ndarray:
        """A copy of an array of the host, of `dense` strides."""
        steps = dense(array.shape, array.strides, array.itemsize)
        raw = np.empty(array.size, array.dtype)
        whole = np.ndarray(array.shape, array.dtype, raw.data, 0, steps)
        np.copyto(whole, array)
        memory = self.card.empty(max(raw.nbytes, 1), self.stream)
        place = int(memory.handle)
        if raw.size:
            self.card.to_device(place, raw, self.stream)
        return shown(place, array.shape, array.dtype, steps, memory)

    def launch(
        self,
        executable: Executable,
        extents: Sequence[int],
        arguments: Sequence[Argument],
    ) -> None:
        """Start a kernel."""
        executable.launch(extents, arguments, self.stream)

    def total(
        self,
        executable: Executable,
        count: int,
        arguments: Sequence[Argument | None],
    ) -> list[np.ndarray]:
        """Start sums: one array for each buffer of them."""
        buffers = zip(executable.kernel.buffers, arguments, strict=True)
        sums = [b for b, a in buffers if a is None]
        return [
            shown(int(m.handle), (b.elements,), b.dtype, owner=m)
            for b, m in zip(
                sums, executable.total(count, arguments, self.stream), strict=True
            )
        ]


def _blocks(count: int) -> int:
    """How many blocks share `count` lanes, or elements."""
    return max(1, min(SUM_BLOCKS, -(-count // THREADS)))
