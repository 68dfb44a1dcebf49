"""How one launch is cut up: in place or through tiles, and into which rounds.

A round is what runs between two looks at the keyboard; a tile is what one thread
takes at a time.  None of it changes any result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

from jitad.lowering.kernel import Argument
from jitad.lowering.llvm.arguments import DIRECT, STREAMED, TILED
from jitad.lowering.outline import Outline

from .machine import last_level_cache_bytes

SERIAL_NANOSECONDS = 200_000.0
TILE_NANOSECONDS = 50_000.0
_FIRST_ROUND_SECONDS = 0.02
_ROUND_SECONDS = 0.2
_SMALL = 1 << 18  # bytes that fit into any last-level cache
_ALIASING = 4096  # bytes between addresses that share a set of a first-level cache
_GRAIN = 64  # lanes: tiles of it begin on cache lines where the array does

_SUM_LANES = 2048
_FEW_SUMS = 128  # with more of them, tiles are longer: a tile keeps a vector of each

_SCATTER_TILES = 32
_SCATTER_BYTES = 1 << 26  # of the sums of all tiles


def exceeds_cache(written: int) -> bool:
    """Whether results of a size in bytes are better written around the cache."""
    # Asking the system how large its caches are takes a millisecond.
    return written > _SMALL and written > last_level_cache_bytes()


def mode(
    kernel: Outline,
    extents: Sequence[int],
    arguments: Sequence[Argument],
    *,
    streaming: bool,
) -> int:
    """Whether outputs are written in place, gathered in tiles, or past the cache.

    Results larger than the cache need not displace what is in it, nor be read before
    they are written.  Many streams a power of two apart share a few cache lines.
    """
    written, aliased = 0, 0
    for buffer, argument in zip(kernel.buffers, arguments, strict=True):
        if not buffer.output:
            continue
        points = math.prod(extents[axis] for axis in buffer.axes)
        written += points * buffer.elements * buffer.dtype.itemsize
        stride = argument.elements
        if buffer.layout == "streams" and isinstance(stride, int):
            aliased += buffer.elements * (stride % _ALIASING == 0)
    if streaming and exceeds_cache(written):
        return STREAMED
    return TILED if aliased > 8 else DIRECT


def tile(
    lane: float, count: int, threads: int, nanoseconds: float = TILE_NANOSECONDS
) -> int:
    """Lanes that a thread takes at a time: a multiple of every vector's width.

    lane  nanoseconds that one lane takes; nanoseconds: that a tile takes
    """
    wanted = min(nanoseconds / lane, count / (4 * threads))
    return max(1, int(wanted) // _GRAIN) * _GRAIN


def sum_tile(kernel: Outline, count: int) -> int:
    """Lanes of count that are summed in order before their sum is kept.

    It depends on these alone, so that sums do not depend on who takes a tile.
    """
    scatter = sum(b.elements for b in kernel.buffers if b.layout == "scatter")
    if scatter:
        return _scatter_tile(kernel.terms, scatter, count)
    elements = sum(b.elements for b in kernel.buffers if b.layout == "sum")
    return max(_SUM_LANES, -(-elements * _SUM_LANES // _FEW_SUMS // _GRAIN) * _GRAIN)


def _scatter_tile(terms: int, elements: int, count: int) -> int:
    """The same where a tile has sums, to which a lane adds a number of terms.

    There are so few tiles that their sums fit in memory, and that to add up all
    of them is little work beside that of the lanes.
    """
    tiles = min(_SCATTER_TILES, _SCATTER_BYTES // (8 * elements))
    tiles = max(1, min(tiles, count * terms // (4 * elements)))
    return max(1, -(-count // (tiles * _GRAIN))) * _GRAIN


def rounds(
    lane: float, first: int, count: int, threads: int, size: int | None = None
) -> Iterator[tuple[int, int]]:
    """Cut lanes first to count into rounds that each return to Python in good time.

    size  lanes that a thread takes at a time; default: `tile` says
    """
    least = threads * size if size else 0
    size = size or tile(lane, count, threads)
    lanes = _FIRST_ROUND_SECONDS * 1e9 / lane
    while first < count:
        last = min(count, first + max(size, least, int(lanes) // size * size))
        start = time.perf_counter()
        yield first, last
        seconds = time.perf_counter() - start
        lanes = min(4 * lanes, (last - first) * _ROUND_SECONDS / max(seconds, 1e-9))
        first = last
