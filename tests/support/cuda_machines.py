"""What GPU kernels are run on in tests: the host, or a card where there is one.

Both are built from kernels, launched on arrays of the host, and add up sums.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from jitad.backends.cuda import cubins, nvrtc
from jitad.backends.cuda import executable as cuda
from jitad.backends.cuda.card import Card, DeviceError
from jitad.calls import cards
from jitad.lowering.kernel import Argument, Buffer, Kernel
from tests.support import cuda_host
from tests.support.cuda_core import Core, machine_code

MACHINES = (
    pytest.param("host", marks=cuda_host.needs_compiler),
    pytest.param("card", marks=pytest.mark.gpu),
)


def builder(machine: str) -> Any:
    """The function that makes kernels ready, one launch each; or skip the test."""
    if machine == "host":
        return cuda_host.build
    try:
        card = _card()
    except DeviceError as error:
        pytest.skip(str(error))
    return lambda kernels: [
        OnCard(cuda.compile(k, card, make=nvrtc.compile_cubin)) for k in kernels
    ]


def use(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let device="cuda" be a stand-in on the host, or a card; or skip the test."""
    if machine == "host":
        made = Card(0, Core())
        monkeypatch.setattr(cards, "card", lambda number: made)
        monkeypatch.setattr(cubins, "compiled", machine_code)
        return
    try:
        _card()
    except DeviceError as error:
        pytest.skip(str(error))


@cache
def _card() -> Card:
    return Card()


def shapes(launch: Any) -> list[Any]:
    """The same kernel in grids of several shapes; a card's is always the same."""
    return [launch] if isinstance(launch, OnCard) else cuda_host.shapes(launch)


@dataclass(frozen=True)
class OnCard:
    """A kernel on a card, for arrays on the host: they are copied there and back."""

    executable: cuda.Executable

    @property
    def kernel(self) -> Kernel:
        """What it computes."""
        return self.executable.kernel

    def launch(self, extents: Sequence[int], arguments: Sequence[Argument]) -> None:
        """Run it; there must be no sums."""
        card = self.executable.card
        mirrors = [
            Mirror(card, b, a, extents)
            for b, a in zip(self.kernel.buffers, arguments, strict=True)
        ]
        given = [m.argument for m in mirrors]
        self.executable.launch(extents, given, card.stream)
        for b, m in zip(self.kernel.buffers, mirrors, strict=True):
            if b.output:
                m.fetch()

    def total(
        self, count: int, arguments: Sequence[Argument | None]
    ) -> list[np.ndarray]:
        """The sums over count lanes of a kernel; arguments are None for these."""
        card, buffers = self.executable.card, self.kernel.buffers
        pairs = list(zip(buffers, arguments, strict=True))
        mirrors = [
            None if a is None else Mirror(card, b, a, (count,)) for b, a in pairs
        ]
        given = [None if m is None else m.argument for m in mirrors]
        memories = self.executable.total(count, given, card.stream)
        found = [np.empty(b.elements, b.dtype) for b, a in pairs if a is None]
        for memory, out in zip(memories, found, strict=True):
            card.to_host(out, int(memory.handle), card.stream)
        card.sync(card.stream)
        return found


class Mirror:
    """A copy on the card of the bytes of a buffer, and of those between them."""

    def __init__(
        self, card: Card, buffer: Buffer, argument: Argument, extents: Sequence[int]
    ) -> None:
        low, high = _span(buffer, argument, extents)
        size = max(0, high - low) if 0 not in extents else 0
        raw = (ctypes.c_uint8 * size).from_address(argument.address + low)
        self._card, self._bytes = card, np.frombuffer(raw, np.uint8)
        self._memory = card.empty(max(size, 1), card.stream)
        if size:
            card.to_device(int(self._memory.handle), self._bytes, card.stream)
        where = int(self._memory.handle) - low
        self.argument = replace(argument, address=where)

    def fetch(self) -> None:
        """Copy back."""
        if self._bytes.size:
            where = int(self._memory.handle)
            self._card.to_host(self._bytes, where, self._card.stream)
            self._card.sync(self._card.stream)


def _span(
    buffer: Buffer, argument: Argument, extents: Sequence[int]
) -> tuple[int, int]:
    """The first byte of a buffer and the one after its last, from its address on."""
    size = buffer.dtype.itemsize
    moves = [argument.strides[a] * (extents[a] - 1) for a in buffer.axes]
    offsets = argument.elements
    if not isinstance(offsets, np.ndarray):
        step = offsets if buffer.layout in ("streams", "lines") else size
        offsets = step * np.arange(buffer.elements)
    low = int(offsets.min()) + sum(min(m, 0) for m in moves)
    return low, int(offsets.max()) + sum(max(m, 0) for m in moves) + size
