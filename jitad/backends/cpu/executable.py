"""The CPU back end: compile a Kernel through Numba's code generator and launch it.

Start at `compile`, which gives an `Executable`; `Executable.launch` fills the block
(see `llvm.arguments`) and runs it here or on the thread pool (`threads`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from jitad.lowering.kernel import Argument, Buffer, Kernel, Kernels
from jitad.lowering.llvm.arguments import COUNTER, DIRECT, MODE, STOP, TILE, size
from jitad.lowering.llvm.emit import LONGEST
from jitad.lowering.llvm.target import Target
from jitad.lowering.outline import Outline
from jitad.lowering.schedule import FIRST
from jitad.process.locks import cached_property

from . import fresh, link, mathlib, rounds, simd
from .fresh import LINE
from .machine import vector_width
from .scalars import Scalars
from .threads import POOL, get_threads
from .tiers import Effort, Form, Tiers
from .watch import UNWATCHED, here

_ENDLESS = 1 << 62  # lanes of a tile, where there is but one
_LABEL = re.compile(r"^\S+:", re.MULTILINE)
_FAR = re.compile(r"\.far\b")


@cache
def host() -> Target:
    """The target for this machine, with the widest vectors that it has."""
    return target(vector_width())


def target(vector_bytes: int, *, vector_library: bool = True) -> Target:
    """A target of this machine with narrower vectors or without the vector library."""
    row = simd.of_processor()[vector_bytes]
    return Target(
        vector_bytes=vector_bytes,
        vectors=mathlib.vector_functions(vector_bytes) if vector_library else {},
        scalars=Scalars(mathlib.scalar_functions()),
        loops=mathlib.inner_loops(),
        fused=vector_library and row.fused in simd.features(),
        fence=row.fence,
        spill=row.spill,
    )


@dataclass(frozen=True, eq=False)
class Executable:
    """A compiled kernel: its code, and what is known of it."""

    tiers: Tiers

    @property
    def outline(self) -> Outline:
        """What is looked at when it is launched."""
        return self.tiers.outline

    @property
    def width(self) -> int:
        """Lanes in a vector."""
        return self.tiers.width

    @property
    def compile_seconds(self) -> float:
        """What it took to make the first code, or to read it."""
        return self.tiers.seconds

    @property
    def settled(self) -> bool:
        """Whether no better code than there is will be made."""
        return self.tiers.settled

    @property
    def entry(self) -> Callable[[int, int, int], None]:
        """Callable (block address, lo, hi): run lanes lo to hi of a filled block.

        It runs them in this thread, holding the interpreter's lock; for small batches.
        Of a kernel that writes lines, a vector of them begins at lane lo, or fewer
        lanes than a vector has are run.
        """
        return self.tiers.code(stays=True).entry

    @property
    def address(self) -> int:
        """Of the same, for machine code; it is there as long as this is."""
        return self.tiers.code(stays=True).address

    @property
    def kernel(self) -> Kernel:
        """The kernel; where code was kept on disk it is made when it is asked for."""
        return self.tiers.form.kernel()

    @property
    def ir(self) -> str:
        """The LLVM text from which the code that stays is made."""
        return self.tiers.form.text(self.kernel)

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """The kernel's buffers."""
        return self.outline.buffers

    @property
    def watched(self) -> bool:
        """Whether it looks now and then whether it is still wanted."""
        return self.outline.long

    @property
    def assembly(self) -> str:
        """The machine code, as text."""
        return link.assembly(self.ir)

    @cached_property
    def spills(self) -> int:
        """How many vectors the code moves out to the stack, as its text shows.

        Not around calls that only arguments far from 0 need.
        """
        blocks, spill = _LABEL.split(self.assembly), self.tiers.form.target.spill
        return sum(len(re.findall(spill, b)) for b in blocks if not _FAR.search(b))

    def block(
        self,
        extents: Sequence[int],
        arguments: Sequence[Argument],
        watch: np.ndarray = UNWATCHED,
    ) -> np.ndarray:
        """A filled launch block: int64 words, described in `llvm.arguments`.

        It can be kept, and addresses in it replaced, for calls of `entry`.  Tables of
        offsets in arguments, and the watch, must live as long.
        """
        tile = _ENDLESS if self._scatters else self.width
        words = [0, extents[0], tile, DIRECT, 0, 0, 0]
        words += [watch.ctypes.data, *extents[1:]]
        for argument in arguments:
            given = argument.elements
            if isinstance(given, np.ndarray):
                given = given.ctypes.data
            lane = argument.strides[0]
            words += [argument.address, lane, given, given, 0, *argument.strides]
        assert len(words) == size(self.outline), "one argument per buffer"
        return np.array(words, np.int64)

    def launch(self, extents: Sequence[int], arguments: Sequence[Argument]) -> None:
        """Run the kernel on all points; outputs must not overlap inputs."""
        if 0 in extents:
            return
        watch = here() if self.watched else UNWATCHED
        block = self.block(extents, arguments, watch)
        count = extents[0]
        lane = self.outline.work.nanoseconds(extents)
        block[MODE] = self.mode(extents, arguments)
        apart = min(count, self._apart(arguments))
        with self.tiers.running() as code:
            if apart:
                code.entry(block.ctypes.data, 0, apart)
            if lane * count < rounds.SERIAL_NANOSECONDS:
                code.entry(block.ctypes.data, apart, count)
                return
            threads = get_threads()
            block[TILE] = tile = rounds.tile(lane, count, threads)
            for first, last in rounds.rounds(lane, apart, count, threads):
                block[COUNTER], block[STOP] = first, last
                few = min(threads, -(-(last - first) // tile))
                POOL.run(code.tiles, block.ctypes.data, few)

    def sum_shape(self, count: int) -> tuple[int, int]:
        """How many lanes are added at a time of sums over count, and in a tile."""
        return self.width, rounds.sum_tile(self.outline, count)

    def total(
        self, count: int, arguments: Sequence[Argument | None]
    ) -> list[np.ndarray]:
        """Run a kernel that sums over count lanes: the sums, one array a buffer.

        arguments  None for the buffers that take sums.  Lanes are added up in vectors,
        those in tiles, and tiles pairwise: in the same order whatever runs them.  What
        is scattered is added up lane by lane, and then tile by tile.
        """
        tile = rounds.sum_tile(self.outline, count)
        tiles = max(1, -(-count // tile))
        partial, given = [], []
        for buffer, argument in zip(self.buffers, arguments, strict=True):
            if argument is None:
                shape = (tiles, buffer.elements, self.width)
                shape = shape[:2] if buffer.layout == "scatter" else shape
                partial.append(fresh.aligned(shape, buffer.dtype))
                partial[-1][...] = 0
                argument = Argument(partial[-1].ctypes.data, (0,))
            given.append(argument)
        watch = here() if self.watched else UNWATCHED
        block = self.block((count,), given, watch)
        block[TILE] = tile
        block[MODE] = self.mode((count,), given)
        lane = self.outline.work.nanoseconds((count,))
        alone = lane * count < rounds.SERIAL_NANOSECONDS
        threads = 1 if alone else get_threads()
        with self.tiers.running() as code:
            for first, last in rounds.rounds(lane, 0, count, threads, tile):
                block[COUNTER], block[STOP] = first, last
                POOL.run(code.tiles, block.ctypes.data, threads)
        return [added(x) for x in partial]

    def mode(self, extents: Sequence[int], arguments: Sequence[Argument]) -> int:
        """How results are written, as of `rounds.mode`."""
        streaming = self.tiers.form.target.streaming
        return rounds.mode(self.outline, extents, arguments, streaming=streaming)

    @property
    def _scatters(self) -> bool:
        return any(b.layout == "scatter" for b in self.buffers)

    def _apart(self, arguments: Sequence[Argument]) -> int:
        """How many lanes come before the first vector that can be a part of a line.

        They are fewer than a vector has: none of them is written as one.
        """
        for buffer, argument in zip(self.buffers, arguments, strict=True):
            if buffer.layout == "lines":
                size = buffer.dtype.itemsize
                return -argument.address % (self.width * size) // size
        return 0


def added(partial: np.ndarray) -> np.ndarray:
    """The sums of partial sums of shape (tiles, elements, lanes), added pairwise.

    Of shape (tiles, elements) they are added tile by tile.  Either is done in place.
    """
    dtype = partial.dtype
    if partial.ndim == 2:
        for tile in partial[1:]:
            partial[0] += tile
        return partial[0]
    tiles = partial.astype(np.float64, copy=False) if dtype.kind == "f" else partial
    with np.errstate(all="ignore"):
        while (count := len(tiles)) > 1:
            half, odd = divmod(count, 2)
            tiles[:half] += tiles[half : 2 * half]
            if odd:
                tiles[half] = tiles[-1]
            tiles = tiles[: half + odd]
        vectors = tiles[0]
        while (lanes := vectors.shape[1]) > 1:
            vectors = vectors[:, : lanes // 2] + vectors[:, lanes // 2 :]
        return vectors[:, 0].astype(dtype)


def past_cache(written: int) -> bool:
    """Whether a kernel had better write its bytes as lines, around the cache.

    Where a line is two vectors or more, a line of every stream would be begun before
    one is whole: of twelve streams this took nine times as long (2.8 ns, not 0.3, per
    double).  There results are gathered in tiles, which go around the cache line by
    line (see `rounds.mode`), and that takes as long as lines from wide vectors do.
    """
    fits = host().streaming and host().vector_bytes == LINE
    return fits and rounds.exceeds_cache(written)


def compile(
    kernel: Kernel, target: Target | None = None, *, longest: int = LONGEST
) -> Executable:
    """Kernel -> Executable, for this machine or a narrower target of it.

    longest  how many steps of the kernel one function may have
    """
    return Executable(Tiers(Form(lambda: kernel, target or host(), longest)))


class Host:
    """The host, which compiles kernels and runs them: a Machine and a Place.

    effort  how code is made, see `tiers.Form`
    """

    def __init__(self, effort: Effort = "auto") -> None:
        self.effort: Effort = effort

    variants = (FIRST,)
    shown = True

    def at(self, effort: Effort) -> Host:
        """The host, where code is made so."""
        return HOST if effort == "auto" else _OTHERS[effort]

    def exceeds_cache(self, written: int) -> bool:
        """See `past_cache`."""
        return past_cache(written)

    def compile(
        self, kernels: Kernels, name: bytes | None, extents: Sequence[int]
    ) -> Executable:
        """The one kernel, compiled, or its code that was kept on disk under a name."""
        form = Form(cache(lambda: next(kernels())), host(), effort=self.effort)
        return Executable(Tiers(form, name, extents))

    def empty(self, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """An uninitialised array."""
        return fresh.empty(shape, dtype)

    def zeros(self, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """An array of zeros."""
        return fresh.zeros(shape, dtype)

    def copy(self, array: np.ndarray) -> np.ndarray:
        """A new array of the same elements."""
        return fresh.copy(array)

    def contiguous(self, array: np.ndarray) -> np.ndarray:
        """The array, or a copy of it that is contiguous."""
        return np.ascontiguousarray(array)

    def launch(
        self,
        executable: Executable,
        extents: Sequence[int],
        arguments: Sequence[Argument],
    ) -> None:
        """Run a kernel."""
        executable.launch(extents, arguments)

    def total(
        self,
        executable: Executable,
        count: int,
        arguments: Sequence[Argument | None],
    ) -> list[np.ndarray]:
        """Run sums: one array for each buffer of them."""
        return executable.total(count, arguments)


HOST = Host()
_OTHERS: dict[str, Host] = {x: Host(x) for x in ("full", "fast")}
