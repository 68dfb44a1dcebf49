"""A stand-in for Numba's CUDA, on that for `cuda.core`: the same things happen."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jitad.backends.cuda.numba_card import Numba
from tests.support.cuda_core import Buffer, Code, Core, Device, Stream


class NumbaCuda:
    """Names as in numba.cuda; core is told what happens."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.attached = False
        self.gpus = Gpus(self)
        self.cudadrv = SimpleNamespace(driver=Driver(self))

    def current_context(self) -> Context:
        return Context(self, self.core.now)

    def stream(self) -> OwnStream:
        return OwnStream(Device(self.core, self.core.now).create_stream())

    def external_stream(self, ptr: int) -> OwnStream:
        assert type(ptr) is int
        return OwnStream(self.core.Stream.from_handle(ptr))

    def legacy_default_stream(self) -> OwnStream:
        return OwnStream(self.core.LEGACY_DEFAULT_STREAM)

    def per_thread_default_stream(self) -> OwnStream:
        return OwnStream(self.core.PER_THREAD_DEFAULT_STREAM)

    def event(self, timing: bool = True) -> Event:
        assert not timing
        return Event()

    def pinned_array(self, shape: int, dtype: Any) -> np.ndarray:
        memory = self.core.LegacyPinnedMemoryResource().allocate(shape)
        return memory.owner.view(dtype)


class Gpus:
    def __init__(self, cuda: NumbaCuda) -> None:
        self.cuda = cuda

    @property
    def current(self) -> Gpu | None:
        return self[self.cuda.core.now] if self.cuda.attached else None

    def __getitem__(self, number: int) -> Gpu:
        return Gpu(self.cuda, Device(self.cuda.core, number))

    def __len__(self) -> int:
        return self.cuda.core.cards

    def __iter__(self) -> Any:
        return iter([self[n] for n in range(len(self))])


class Gpu:
    """A card: its name is bytes, as the driver has it."""

    def __init__(self, cuda: NumbaCuda, device: Device) -> None:
        self.cuda, self.id = cuda, device.device_id
        self.compute_capability = device.compute_capability
        self.name = device.name.encode()

    def get_primary_context(self) -> Context:
        return Context(self.cuda, self.id)


class Context:
    def __init__(self, cuda: NumbaCuda, number: int) -> None:
        self.cuda, self.number = cuda, number

    def push(self) -> None:
        assert not self.cuda.attached, "one replaces another"
        self.cuda.core.now, self.cuda.attached = self.number, True

    def create_module_image(self, image: bytes) -> Module:
        return Module(self.cuda.core.ObjectCode.from_cubin(image))

    def memalloc(self, bytesize: int) -> Any:
        device = Device(self.cuda.core, self.number)
        memory = device.allocate(bytesize, stream=self.cuda.core.LEGACY_DEFAULT_STREAM)
        pointer = ctypes.c_uint64(memory.handle)
        return SimpleNamespace(device_ctypes_pointer=pointer, memory=memory)

    def get_memory_info(self) -> Any:
        return SimpleNamespace(free=1, total=80 << 30)


class Module:
    def __init__(self, code: Code) -> None:
        self.code = code

    def get_function(self, name: str) -> Any:
        return SimpleNamespace(handle=self.code.get_kernel(name))


class OwnStream:
    def __init__(self, stream: Stream) -> None:
        self.stream, self.handle = stream, ctypes.c_uint64(stream.handle)

    def __int__(self) -> int:
        return self.stream.handle

    def synchronize(self) -> None:
        self.stream.sync()


class Event:
    def record(self, stream: OwnStream) -> None:
        self.stream = stream

    def wait(self, stream: OwnStream) -> None:
        stream.stream.wait(self.stream.stream)


class Driver:
    """Functions of numba.cuda.cudadrv.driver: copies are of addresses and objects."""

    def __init__(self, cuda: NumbaCuda) -> None:
        self.cuda = cuda
        self.driver = SimpleNamespace(pop_active_context=self._pop)

    def launch_kernel(
        self, cufunc_handle: Any, gx: int, gy: int, gz: int, bx: int, by: int, bz: int,
        sharedmem: int, hstream: Any, args: Any,
    ) -> None:  # fmt: skip
        assert (gy, gz, by, bz, sharedmem) == (1, 1, 1, 1, 0)
        assert all(ctypes.sizeof(a) == 8 for a in args)
        stream = Stream(self.cuda.core, hstream.value)
        numbers = [a.value for a in args]
        self.cuda.core.launch(stream, (gx, bx), cufunc_handle, *numbers)

    def host_to_device(self, dst: Any, src: int, size: int, stream: OwnStream) -> None:
        self._copy(self._there(dst, size), self._here(src, size), stream)

    def device_to_host(self, dst: int, src: Any, size: int, stream: OwnStream) -> None:
        self._copy(self._here(dst, size), self._there(src, size), stream)

    def device_to_device(
        self, dst: Any, src: Any, size: int, stream: OwnStream
    ) -> None:
        self._copy(self._there(dst, size), self._there(src, size), stream)

    def device_memset(self, dst: Any, val: int, size: int, stream: OwnStream) -> None:
        self._there(dst, size).fill(val, stream=stream.stream)

    def _pop(self) -> None:
        self.cuda.attached = False

    def _there(self, memory: Any, size: int) -> Buffer:
        assert memory.__cuda_memory__
        address = memory.device_ctypes_pointer.value
        return Buffer(self.cuda.core, address, size, "device", None)

    def _here(self, address: int, size: int) -> Buffer:
        assert type(address) is int
        return Buffer(self.cuda.core, address, size, "host", None)

    def _copy(self, to: Buffer, source: Buffer, stream: OwnStream) -> None:
        to.copy_from(source, stream=stream.stream)


# What a card knows its driver by: cuda.core itself, or Numba's CUDA in its words.
ADAPTERS = (
    pytest.param(lambda core: core, id="cuda.core"),
    pytest.param(lambda core: Numba(NumbaCuda(core)), id="numba.cuda"),
)
