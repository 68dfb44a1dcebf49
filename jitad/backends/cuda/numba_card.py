"""CUDA cards through the target that comes with Numba, in the words of `cuda.core`.

`Numba` has the names of `cuda.core` that `card` uses, and stands for it where it is not
installed; start at `numba`.  A context of Numba's is current wherever a card's is.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any


class Numba:
    """Numba's CUDA, in place of `cuda.core`."""

    def __init__(self, cuda: Any) -> None:
        self._cuda, self._driver = cuda, cuda.cudadrv.driver
        self.Device = Devices(cuda)
        self.Buffer = SimpleNamespace(from_handle=self._buffer)
        self.ObjectCode = SimpleNamespace(from_cubin=self._code)
        self.Stream = SimpleNamespace(from_handle=self._stream)
        self.LegacyPinnedMemoryResource = lambda: SimpleNamespace(allocate=self._pinned)

    @property
    def LEGACY_DEFAULT_STREAM(self) -> Stream:  # noqa: N802
        """The stream 0 of the current card."""
        return Stream(self._cuda, self._cuda.legacy_default_stream())

    @property
    def PER_THREAD_DEFAULT_STREAM(self) -> Stream:  # noqa: N802
        """The stream of this thread on the current card."""
        return Stream(self._cuda, self._cuda.per_thread_default_stream())

    def LaunchConfig(self, *, grid: int, block: int) -> tuple[int, int]:  # noqa: N802
        """The numbers of blocks, and of threads in each."""
        return grid, block

    def launch(
        self, stream: Stream, config: tuple[int, int], kernel: Any, *numbers: int
    ) -> None:
        """Start a kernel whose parameters are numbers of 8 bytes."""
        (blocks, threads), handle = config, stream.own.handle
        words = [ctypes.c_int64(n) for n in numbers]
        shape = blocks, 1, 1, threads, 1, 1
        self._driver.launch_kernel(kernel.handle, *shape, 0, handle, words)

    def total_memory(self, number: int) -> int:
        """The bytes of a card."""
        context = self._cuda.gpus[number].get_primary_context()
        return int(context.get_memory_info().total)

    def _buffer(self, address: int, size: int, *, owner: Any = None) -> Buffer:
        return Buffer(self._driver, address, size, owner is not None)

    def _code(self, cubin: bytes) -> Any:
        module = self._cuda.current_context().create_module_image(cubin)
        return SimpleNamespace(get_kernel=module.get_function)

    def _stream(self, handle: int) -> Stream:
        return Stream(self._cuda, self._cuda.external_stream(handle))

    def _pinned(self, size: int) -> Any:
        array = self._cuda.pinned_array(size, "u1")
        return SimpleNamespace(handle=array.ctypes.data, owner=array)


@dataclass(frozen=True, slots=True)
class Devices:
    """All cards; called with a number it gives that one, without, the current one."""

    cuda: Any

    def __call__(self, number: int | None = None) -> Device:
        """The card of a number, or this thread's current one."""
        current = self.cuda.gpus.current
        if number is None:
            number = 0 if current is None else int(current.id)
        return Device(self.cuda, number, self.cuda.gpus[number])

    def get_all_devices(self) -> Sequence[Any]:
        """Numba's objects of all cards."""
        return list(self.cuda.gpus)


@dataclass(frozen=True, slots=True)
class Device:
    """A card."""

    cuda: Any
    device_id: int
    own: Any

    @property
    def compute_capability(self) -> tuple[int, int]:
        """As (9, 0)."""
        return self.own.compute_capability

    @property
    def name(self) -> str:
        """What its driver calls it."""
        name = self.own.name
        return name.decode() if isinstance(name, bytes) else name

    def set_current(self) -> None:
        """Let its context be the current one of this thread, in place of another."""
        current = self.cuda.gpus.current
        if current is None or int(current.id) != self.device_id:
            self.cuda.cudadrv.driver.driver.pop_active_context()
            self.own.get_primary_context().push()

    def create_stream(self) -> Stream:
        """A new stream of it; it must be current."""
        return Stream(self.cuda, self.cuda.stream())

    def allocate(self, size: int, *, stream: Stream) -> Any:
        """Memory of it, which when it is freed waits for all streams."""
        memory = self.own.get_primary_context().memalloc(size)
        return SimpleNamespace(handle=memory.device_ctypes_pointer.value, owner=memory)


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream."""

    cuda: Any
    own: Any

    @property
    def handle(self) -> int:
        """Its number."""
        return int(self.own)

    def sync(self) -> None:
        """Wait for all that was asked of it."""
        self.own.synchronize()

    def wait(self, other: Stream) -> None:
        """Let it wait for what another was asked until now."""
        event = self.cuda.event(timing=False)
        event.record(other.own)
        event.wait(self.own)


@dataclass(frozen=True, slots=True)
class Buffer:
    """Bytes by their address, of the host or of a card."""

    driver: Any
    address: int
    size: int
    on_host: bool
    __cuda_memory__ = True  # by this Numba knows what has the pointer below

    @property
    def device_ctypes_pointer(self) -> Any:
        """The address as Numba wants it."""
        return ctypes.c_uint64(self.address)

    def copy_from(self, source: Buffer, *, stream: Stream) -> None:
        """Fill it from another of the same size, not both of them of the host."""
        if source.on_host:
            copy, ends = self.driver.host_to_device, (self, source.address)
        elif self.on_host:
            copy, ends = self.driver.device_to_host, (self.address, source)
        else:
            copy, ends = self.driver.device_to_device, (self, source)
        copy(*ends, self.size, stream=stream.own)

    def fill(self, value: int, *, stream: Stream) -> None:
        """Let every byte be a value."""
        self.driver.device_memset(self, value, self.size, stream=stream.own)


def numba() -> Numba:
    """The target that comes with Numba.

    Raises ImportError where there is none, or numba-cuda in its place, which has
    `cuda.core` itself.
    """
    import numba.cuda

    cuda: Any = numba.cuda
    if not hasattr(cuda.cudadrv.driver, "launch_kernel"):
        raise ImportError("Numba's own CUDA target is not there")
    return Numba(cuda)
