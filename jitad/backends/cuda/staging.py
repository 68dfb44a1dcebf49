"""Batches of the host on cards: part after part, copied while others are computed.

Start at `Staged.run`.  A part is copied into memory of the host that the card reads
itself, sent, computed, brought back likewise and copied to where it belongs; each of a
few slots does so on a stream of its own, and so the next parts are copied meanwhile.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from jitad.backends.memory import address, dense, shown
from jitad.process.locks import cached_property

from .card import Card, DeviceError
from .executable import Work

# Bytes of a part, in and out: long enough for a bus, short enough to overlap.
PART = 1 << 25
SLOTS = 3  # a part is copied in, one is computed, one is copied out
# Lanes of a part, at least, where there are several cards.
_LEAST = 1 << 14
_LINE = 256  # bytes; arrays begin at multiples of it


@dataclass(frozen=True)
class Mirror:
    """How a part of an array lies where it is copied to.

    axis   of the lanes; None: every part needs the same, whole array
    place  byte at which it begins, among all that a part needs of its kind
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype
    axis: int | None
    place: int

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def end(self) -> int:
        """The byte at which the next may begin."""
        return self.place + -(-self.nbytes // _LINE) * _LINE

    def like(self) -> np.ndarray:
        """An array of this shape and these strides, never to be read."""
        return shown(_LINE, self.shape, self.dtype, self.strides)

    def of(self, raw: np.ndarray, count: int) -> np.ndarray:
        """The array of `count` lanes in bytes of the host."""
        whole = np.ndarray(self.shape, self.dtype, raw.data, self.place, self.strides)
        return whole[(slice(None),) * (self.axis or 0) + (slice(count),)]


def mirrors(
    arrays: Sequence[np.ndarray], axis: int, count: int, lanes: int
) -> list[Mirror]:
    """Mirrors of `lanes` of the `count` lanes along an axis of arrays, for one part.

    An array of another extent there is the same for all lanes.
    """
    found, place = [], 0
    for x in arrays:
        varies = x.ndim > axis and x.shape[axis] == count != 1
        shape = list(x.shape)
        if varies:
            shape[axis] = lanes
        strides = dense(shape, x.strides, x.itemsize)
        start = place if varies else 0
        made = Mirror(tuple(shape), strides, x.dtype, axis if varies else None, start)
        found.append(made)
        place = made.end if varies else place
    return found


def part(arrays: Sequence[np.ndarray], axis: int, count: int, cards: int) -> int:
    """How many lanes a part has."""
    own = [x for x in arrays if x.ndim > axis and x.shape[axis] == count]
    lane = sum(x.nbytes for x in own) / max(count, 1)
    share = max(-(-count // cards), _LEAST) if cards > 1 else count
    return max(1, min(count, share, int(PART / max(lane, 1.0))))


class _Slot:
    """A stream of a card, and memory on both sides of the bus for one part."""

    def __init__(self, card: Card) -> None:
        self.card, self.stream = card, card.new_stream()
        self.host = np.empty(0, np.uint8)
        self.memory: Any = None

    def reserve(self, nbytes: int) -> None:
        """Have at least `nbytes` on both sides."""
        if self.host.size < nbytes:
            self.memory = None
            self.host = self.card.pinned(nbytes)
            self.memory = self.card.empty(nbytes, self.stream)

    @property
    def address(self) -> int:
        """Where its memory on the card begins."""
        return int(self.memory.handle)


@dataclass
class _Slots:
    """Those of a card, which one call has at a time."""

    own: list[_Slot]
    lock: threading.Lock = field(default_factory=threading.Lock)


@cache
def _slots(card: Card) -> _Slots:
    return _Slots([_Slot(card) for _ in range(SLOTS)])


@dataclass(frozen=True, eq=False)
class Staged:
    """A kernel of parts of a batch, on each of some cards.

    launch  (addresses of inputs and outputs, stream, lanes, number among the cards):
            starts the kernel
    count   of all lanes
    axis    of the lanes, in all arrays
    lanes   of a part
    """

    cards: tuple[Card, ...]
    launch: Callable[[Sequence[int], Any, int, int], None]
    count: int
    axis: int
    lanes: int
    inputs: tuple[Mirror, ...]
    outputs: tuple[Mirror, ...]

    def run(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """Fill outputs, of any strides, from inputs of the same lanes."""
        every = [_slots(card) for card in self.cards]
        turns = [(k, slots.own[n]) for n in range(SLOTS) for k, slots in
                 enumerate(every)]  # fmt: skip
        with ExitStack() as held:
            for slots in every:
                held.enter_context(slots.lock)
            try:
                self._run(turns, inputs, outputs)
            except BaseException:
                for _, slot in turns:  # which may still write to memory of the host
                    with suppress(DeviceError):
                        slot.card.sync(slot.stream)
                raise

    def _run(
        self,
        turns: Sequence[tuple[int, _Slot]],
        inputs: Sequence[np.ndarray],
        outputs: Sequence[np.ndarray],
    ) -> None:
        shared = [self._shared(card, inputs) for card in self.cards]
        waiting: dict[int, tuple[int, int]] = {}
        for number, first in enumerate(range(0, self.count, self.lanes)):
            turn = number % len(turns)
            k, slot = turns[turn]
            with slot.card.current():
                if turn in waiting:
                    self._take(slot, waiting.pop(turn), outputs)
                last = min(first + self.lanes, self.count)
                self._start(k, slot, (first, last), inputs, shared[k])
            waiting[turn] = first, last
        for turn, lanes in waiting.items():
            slot = turns[turn][1]
            with slot.card.current():
                self._take(slot, lanes, outputs)

    @cached_property
    def _sizes(self) -> tuple[int, int]:
        """Bytes of a part that are sent, and those with what comes back behind them."""
        own = [m.end for m in self.inputs if m.axis is not None]
        sent = max(own, default=0)
        return sent, sent + max(m.end for m in self.outputs)

    def _shared(self, card: Card, inputs: Sequence[np.ndarray]) -> list[Any]:
        """What every part needs, on a card; None for what is sent with each."""
        with card.current():
            work = Work(card, card.stream)
            found = [
                work.send(x) if m.axis is None else None
                for x, m in zip(inputs, self.inputs, strict=True)
            ]
            card.sync(card.stream)
        return found

    def _start(
        self,
        k: int,
        slot: _Slot,
        lanes: tuple[int, int],
        inputs: Sequence[np.ndarray],
        shared: Sequence[Any],
    ) -> None:
        first, last = lanes
        sent, whole = self._sizes
        slot.reserve(whole)
        addresses = []
        for x, m, there in zip(inputs, self.inputs, shared, strict=True):
            if there is not None:
                addresses.append(address(there))
                continue
            np.copyto(m.of(slot.host, last - first), _lanes(x, self.axis, lanes))
            addresses.append(slot.address + m.place)
        addresses += [slot.address + sent + m.place for m in self.outputs]
        if sent:
            slot.card.to_device(slot.address, slot.host[:sent], slot.stream)
        self.launch(addresses, slot.stream, last - first, k)
        made = slot.host[sent:whole]
        slot.card.to_host(made, slot.address + sent, slot.stream)

    def _take(
        self, slot: _Slot, lanes: tuple[int, int], outputs: Sequence[np.ndarray]
    ) -> None:
        """Copy what a slot has brought back to where it belongs."""
        slot.card.sync(slot.stream)
        raw = slot.host[self._sizes[0] :]
        first, last = lanes
        for y, m in zip(outputs, self.outputs, strict=True):
            np.copyto(_lanes(y, self.axis, lanes), m.of(raw, last - first))


def _lanes(array: np.ndarray, axis: int, lanes: tuple[int, int]) -> np.ndarray:
    return array[(slice(None),) * axis + (slice(*lanes),)]
