"""What `explain` finds of a call: choices, operations, memory, machines, sums.

An `explanation.Explanation` holds them, and tells them as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jitad.ir.graph import Type

_LABELS = {"cross": "cross-country"}
_SEEDED = {
    "forward": "by dimension, one pass for every tangent that comes with the call",
    "reverse": "by dimension, one pass for every cotangent that comes with the call",
    "forward over reverse": "by dimension, one tangent through a gradient",
}


@dataclass(frozen=True, slots=True)
class Array:
    """One argument or result.

    type    of one point
    batch   its batch axes, outermost level first; None where all points share it
    layout  rows, streams, fixed or general (see `lowering.kernel.Buffer`); "" where
            nothing is compiled
    bytes   read or written per point; what points share is divided among them
    """

    name: str
    type: Type
    batch: tuple[int | None, ...]
    layout: str
    bytes: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The mode of differentiation, and why it was chosen.

    mode     "forward", "reverse", "cross", "forward over reverse"; "value" for none
    costs    weighted operations of the modes that were built
    untried  of the other modes, why they were not
    asked    whether the user asked for this mode
    inside   the same for the transformed functions that this one calls, by name
    """

    mode: str
    costs: Mapping[str, float]
    untried: Mapping[str, str]
    asked: bool
    inside: tuple[tuple[str, Choice], ...]

    @property
    def differentiates(self) -> bool:
        """Whether any derivative is taken, here or inside."""
        return self.mode != "value" or any(c.differentiates for _, c in self.inside)

    @property
    def reason(self) -> str:
        """The choice in one sentence."""
        if self.mode == "value":
            whole = " of the whole" if self.differentiates else ""
            return f"value: no derivative{whole} is asked for"
        label = _LABELS.get(self.mode, self.mode)
        if not self.costs:
            return f"{label}: {_SEEDED[self.mode]}"
        found = f"{label}: {number(self.costs[self.mode])} weighted operations"
        if self.asked:
            return f"{found}; as asked, no other mode was counted"
        others = " and ".join(
            f"{number(cost)} {_LABELS.get(mode, mode)}"
            for mode, cost in self.costs.items()
            if mode != self.mode
        )
        parts = [f"{found}, against {others}" if others else found]
        for mode, why in self.untried.items():
            parts.append(f"{_LABELS.get(mode, mode)} not tried ({why})")
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Operations:
    """What one point computes.

    counts    scalar operations by kind, the most frequent first; those of loops as
              often as their steps may run, up to 1,000 times
    words     the machine words that they become, likewise, those of loops once; empty
              if not compiled
    weighted  their number, an addition being 1: what the choice of mode goes by
    """

    counts: Mapping[str, int]
    words: Mapping[str, int]
    weighted: float

    @property
    def total(self) -> int:
        """The number of operations."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that one point moves, and the bound that they set.

    read, written  bytes per point
    bandwidth      bytes per second, read and written, of a copy on this machine
    cached         whether all that the call moves fits into the host's largest cache
    """

    read: float
    written: float
    bandwidth: float
    cached: bool

    @property
    def bound(self) -> float:
        """Nanoseconds per point that moving the bytes takes, at least."""
        return (self.read + self.written) / self.bandwidth * 1e9


@dataclass(frozen=True, slots=True)
class Machine:
    """What the kernel was compiled for.

    vector_bytes, lanes  of one vector register; every lane is a point
    level                the batch level that the lanes run along, 0 the outermost
    spills               vectors moved to the stack for want of registers
    threads              that take part in a launch, at most
    settled              whether no better code will be made
    """

    vector_bytes: int
    lanes: int
    level: int
    spills: int
    threads: int
    settled: bool


@dataclass(frozen=True, slots=True)
class Gpu:
    """What the kernel was compiled for where it runs on a card.

    cards      as "cuda:0 NVIDIA H100"
    registers  of a thread
    spilled    bytes that a thread moves for want of registers
    shared     bytes of shared memory of a block
    threads    of a block
    blocks     of them that a multiprocessor holds at once
    warps      theirs, of `most` that it could hold
    limits     what leaves no room for more
    columns    blocks of outputs that the kernel is split into
    tried      (registers, spilled, columns) of all kernels that it was chosen among
    part       points that are sent at a time; 0: arguments are there
    """

    cards: tuple[str, ...]
    registers: int
    spilled: int
    shared: int
    threads: int
    blocks: int
    warps: int
    most: int
    limits: tuple[str, ...]
    columns: int
    tried: tuple[tuple[int, int, int], ...]
    part: int = 0


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over points inside one call, by a kernel of their own.

    points      how many are added up
    count       how many sums
    operations  what one point takes
    lanes       of one vector; each adds up its own points
    tile        points that are added up in order before tiles are added pairwise; 0
                on a card
    """

    points: int
    count: int
    operations: Operations
    lanes: int
    tile: int


@dataclass(frozen=True, slots=True)
class Block:
    """What is run for a vector only if one of its lanes needs it.

    words  of the machine in it, by kind, the most frequent first
    loops  how many loops are in it
    later  whether lanes may be put off where few need it, and run again with others
    """

    words: Mapping[str, int]
    loops: int
    later: bool


def number(value: float) -> str:
    """An integer where it is one, else one decimal."""
    if 0 < value < 0.05:
        return "< 0.1"
    text = f"{value:,.1f}"
    return text.removesuffix(".0")
