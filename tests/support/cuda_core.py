"""A stand-in for `cuda.core` that notes what is asked of it, and does it on the host.

Its "machine code" is the text of kernels for the host (`cuda_host.launchers`).  Its
memory can be read only while it works itself: the system stops whoever else reads it.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from jitad.backends.cuda.nvrtc import Cubin, Usage
from tests.support.cuda_host import compiled, launch, launchers

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int),
    *(ctypes.c_int, ctypes.c_long),
)
_libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
_libc.munmap.argtypes = ctypes.c_void_p, ctypes.c_size_t


class Core:
    """Names as in cuda.core; events is what happened, in order.

    streams  the handles of the streams on which copies and launches were asked for
    limit    bytes that a card has
    """

    def __init__(
        self, capability: tuple[int, int] = (9, 0), cards: int = 1, limit: int = 1 << 40
    ) -> None:
        self.events: list[tuple] = []
        self.streams: list[tuple] = []
        self.alive: dict[int, int] = {}
        self.capability, self.cards, self.limit = capability, cards, limit
        self.now, self.handles = 0, itertools.count(100)
        self.Device = _Devices(self)
        self.Buffer = SimpleNamespace(from_handle=self._from_handle)
        self.ObjectCode = SimpleNamespace(from_cubin=self._from_cubin)
        self.Stream = SimpleNamespace(from_handle=lambda handle: Stream(self, handle))
        self.LEGACY_DEFAULT_STREAM = Stream(self, 1)
        self.PER_THREAD_DEFAULT_STREAM = Stream(self, 2)
        self.broken = ""

    def LaunchConfig(self, grid: int, block: int) -> tuple[int, int]:  # noqa: N802
        return grid, block

    def LegacyPinnedMemoryResource(self) -> Any:  # noqa: N802
        def allocate(size: int) -> Buffer:
            self.events.append(("pin", size))
            array = np.full(size, 0x5A, np.uint8)
            return Buffer(self, array.ctypes.data, size, "pinned", array)

        return SimpleNamespace(allocate=allocate)

    def launch(self, stream: Any, config: Any, kernel: Any, *kernel_args: int) -> None:
        assert all(type(x) is int for x in kernel_args), "8 bytes each"
        if self.broken:
            raise RuntimeError(self.broken)
        library, name = kernel
        self.events.append(("launch", name, *config))
        self.streams.append(("launch", stream.handle, self.now))
        with self.working():
            launch(library, name, kernel_args, *config)

    # -- memory ----------------------------------------------------------------

    def memory(self, size: int) -> int:
        """The address of new memory, which only this class can read."""
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        length = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        address = _libc.mmap(None, length, mmap.PROT_WRITE, private, -1, 0)
        ctypes.memset(address, 0xA5, size)
        _libc.mprotect(address, length, 0)
        self.alive[address] = length
        return address

    def free(self, address: int) -> None:
        _libc.munmap(address, self.alive.pop(address))

    @contextmanager
    def working(self) -> Iterator[None]:
        """While its memory can be read."""
        every = list(self.alive.items())
        for address, length in every:
            _libc.mprotect(address, length, mmap.PROT_READ | mmap.PROT_WRITE)
        yield
        for address, length in every:
            _libc.mprotect(address, length, 0)

    def _from_handle(self, ptr: int, size: int, *, owner: Any = None) -> Buffer:
        return Buffer(self, ptr, size, "host" if owner is not None else "device", owner)

    def _from_cubin(self, module: bytes) -> Code:
        self.events.append(("load",))
        return Code(module.decode())


class Code:
    def __init__(self, text: str) -> None:
        self.code = compiled(text)

    def get_kernel(self, name: str) -> tuple[ctypes.CDLL, str]:
        assert hasattr(self.code, f"launch_{name}"), name
        return self.code, name


class _Devices:
    """Its classes' way to all of them."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def __call__(self, device_id: int | None = None) -> Device:
        return Device(self.core, self.core.now if device_id is None else device_id)

    def get_all_devices(self) -> list[Device]:
        return [Device(self.core, n) for n in range(self.core.cards)]


class Device:
    name = "stand-in"

    def __init__(self, core: Core, number: int) -> None:
        if number >= core.cards:
            raise RuntimeError(f"there is no device {number}")
        self.core, self.compute_capability = core, core.capability
        self.device_id = number

    def set_current(self) -> None:
        self.core.now = self.device_id

    def create_stream(self) -> Stream:
        assert self.core.now == self.device_id
        return Stream(self.core, next(self.core.handles))

    def allocate(self, size: int, *, stream: Stream) -> Buffer:
        assert self.core.now == self.device_id
        assert size > 0
        if sum(self.core.alive.values()) + size > self.core.limit:
            raise RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory")
        self.core.events.append(("allocate", size))
        address = self.core.memory(size)
        made = Buffer(self.core, address, size, "device", None)
        weakref.finalize(made, self.core.free, address)
        return made


class Stream:
    def __init__(self, core: Core, handle: int) -> None:
        self.core, self.handle = core, handle

    def sync(self) -> None:
        self.core.events.append(("sync",))

    def wait(self, other: Stream) -> None:
        self.core.streams.append(("wait", self.handle, other.handle))


class Buffer:
    def __init__(
        self, core: Core, address: int, size: int, where: str, owner: Any
    ) -> None:
        self.core, self.handle, self.size = core, address, size
        self.where, self.owner = where, owner

    def copy_from(self, src: Buffer, *, stream: Stream) -> None:
        assert self.size == src.size
        self.core.events.append(("copy", src.where, self.where, self.size))
        self.core.streams.append(("copy", stream.handle, self.core.now))
        with self.core.working():
            ctypes.memmove(self.handle, src.handle, self.size)

    def fill(self, value: int, *, stream: Stream) -> None:
        self.core.streams.append(("fill", stream.handle, self.core.now))
        with self.core.working():
            ctypes.memset(self.handle, value, self.size)


_ENTRY = re.compile(r'extern "C" __global__ void (\w+)\(')


def machine_code(text: str, *_: Any, **__: Any) -> Cubin:
    """CUDA C -> the "machine code" of the stand-in, for `cubins.compiled`."""
    names = _ENTRY.findall(text)
    used = {name: Usage(40, 0, 0, 0, 0) for name in names}
    return Cubin(launchers(text).encode(), used)
