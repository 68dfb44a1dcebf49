"""The launch block: the int64 words by which a kernel is told where everything is.

A caller fills one block per launch; compiled code only reads it (but for the counter
that hands out tiles).  A *frame* is a copy of the block whose addresses point into
scratch memory, for the lanes that cannot be read or written in place.
"""

from __future__ import annotations

from dataclasses import dataclass

from jitad.lowering.kernel import Kernel
from jitad.lowering.outline import Outline

COUNTER = 0  # the next lane that no thread has taken
STOP = 1  # the lane after the last
TILE = 2  # lanes taken at a time, a multiple of the vector's
MODE = 3  # one of the three below
VALID = 4  # lanes of this frame that are real, the others repeat the last one
RAGGED = 5  # whether VALID is not a whole number of vectors
LATER = 6  # where lane 0 is noted if it is to be run again; 0: it cannot be
WATCH = 7  # the address of the watch (see `watch`)
HEADER = 8  # here the extents of axes 1, 2, ... begin, then the buffers

DIRECT = 0  # outputs are written in place
TILED = 1  # outputs gather in a scratch tile and are then copied
STREAMED = 2  # as TILED, and the copy bypasses the cache


@dataclass(frozen=True)
class Slots:
    """Where a buffer's words are in the block.

    address  of element 0 at index 0 of every axis
    lane     bytes from lane to lane where the body reads rows
    element  bytes from element to element where the body reads streams
    given    what the caller said of the elements: their stride, or the address of
             their byte offsets (general)
    scratch  where the body finds a vector of lanes that was copied for it
    stride   bytes along batch axis 0; those of the other axes follow
    """

    address: int
    lane: int
    element: int
    given: int
    scratch: int
    stride: int


def extent(axis: int) -> int:
    """The word that holds the extent of a batch axis other than the lane axis."""
    return HEADER + axis - 1


def slots(kernel: Kernel | Outline, buffer: int) -> Slots:
    """The places of a buffer's words."""
    first = HEADER + kernel.axes - 1 + buffer * (5 + kernel.axes)
    return Slots(*range(first, first + 6))


def size(kernel: Kernel | Outline) -> int:
    """Words in the whole block."""
    return HEADER + kernel.axes - 1 + len(kernel.buffers) * (5 + kernel.axes)
