"""How many blocks of a kernel run on a multiprocessor of a GPU at once.

Start at `resident`; no GPU is asked.  The numbers are those of NVIDIA's CUDA C++
Programming Guide 13.0, table "Technical Specifications per Compute Capability", and for
how registers and shared memory are given out, of `cuda_occupancy.h` of its toolkit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jitad.errors import UnsupportedError

from .nvrtc import Capability

_WARP = 32  # threads
_REGISTERS = 65536  # of a multiprocessor, and of a block at most
_MOST_REGISTERS = 255  # of a thread
_MOST_THREADS = 1024  # of a block
_UNIT = 256  # registers are given to a warp in such units
_QUARTERS = 4  # a multiprocessor's, each with its own share of warps and registers


@dataclass(frozen=True, slots=True)
class _Multiprocessor:
    """What there is of it; sizes in bytes.

    block      the most shared memory of a block, without `reserved`
    reserved   what the driver takes for itself of each block's
    unit       shared memory is given to a block in such units
    """

    warps: int
    blocks: int
    shared: int
    block: int
    reserved: int
    unit: int


def _since_8(warps: int, blocks: int, shared: int) -> _Multiprocessor:
    shared *= 1024
    return _Multiprocessor(warps, blocks, shared, shared - 1024, 1024, 128)


_KNOWN: Mapping[Capability, _Multiprocessor] = MappingProxyType(
    {
        (7, 5): _Multiprocessor(32, 16, 64 * 1024, 64 * 1024, 0, 256),
        (8, 0): _since_8(64, 32, 164),
        (8, 6): _since_8(48, 16, 100),
        (8, 7): _since_8(48, 16, 164),
        (8, 9): _since_8(48, 24, 100),
        (9, 0): _since_8(64, 32, 228),
        (10, 0): _since_8(64, 32, 228),
        (10, 3): _since_8(64, 32, 228),
        (11, 0): _since_8(48, 24, 228),
        (12, 0): _since_8(48, 24, 100),
        (12, 1): _since_8(48, 24, 100),
    }
)


def shared_memory(capability: Capability) -> int:
    """KiB of shared memory of a multiprocessor, of unknown cards of the `like`."""
    return _KNOWN[like(capability)].shared // 1024


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How much of a multiprocessor a kernel fills.

    blocks  of threads that are there at once
    warps   theirs, of 32 threads each
    most    how many warps there could be
    limits  what leaves no room for more: registers, warps, blocks, shared memory
    """

    blocks: int
    warps: int
    most: int
    limits: tuple[str, ...]


def like(capability: Capability) -> Capability:
    """The newest known here that is not newer, or the oldest; enough for a guess."""
    return max((c for c in _KNOWN if c <= capability), default=min(_KNOWN))


def resident(
    capability: Capability, *, registers: int, shared: int, threads: int
) -> Occupancy:
    """What a multiprocessor holds of a kernel.

    registers  of a thread
    shared     bytes of a block
    threads    of a block
    No block at all means that none can be launched.
    Raises UnsupportedError for a compute capability that is not known here.
    """
    if capability not in _KNOWN:
        known = ", ".join(f"{major}.{minor}" for major, minor in _KNOWN)
        raise UnsupportedError(
            f"expected a compute capability of which the multiprocessor is known "
            f"({known}), got {capability[0]}.{capability[1]}; add it to occupancy.py"
        )
    here = _KNOWN[capability]
    warps = -(-threads // _WARP)
    each = -(-registers * _WARP // _UNIT) * _UNIT
    # A launch is refused as if a block's warps took as much of every quarter.
    whole = each * -(-warps // _QUARTERS) * _QUARTERS
    fits = registers <= _MOST_REGISTERS and whole <= _REGISTERS
    own = -(-(shared + here.reserved) // here.unit) * here.unit
    room = {
        "registers": _REGISTERS // _QUARTERS // each * _QUARTERS // warps
        if fits
        else 0,
        "shared memory": here.shared // own if shared <= here.block and own else 0,
        "warps": here.warps // warps if threads <= _MOST_THREADS else 0,
        "blocks": here.blocks,
    }
    if not own:
        del room["shared memory"]
    blocks = min(room.values())
    limits = tuple([name for name, count in room.items() if count == blocks])
    return Occupancy(blocks, blocks * warps, here.warps, limits)
