"""A stand-in for `cuda.core` that notes what is asked of it, and does it on the host.

Its "machine code" is the text of a kernel (`cuda_host.hosted`), its memory the host's.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
from cuda_host import compiled, launch


class Core:
    """Names as in cuda.core; events is what happened, in order."""

    def __init__(self, capability: tuple[int, int] = (9, 0)) -> None:
        self.events: list[tuple] = []
        self.alive: dict[int, int] = {}
        self.capability = capability
        self.Buffer = SimpleNamespace(from_handle=self._from_handle)
        self.ObjectCode = SimpleNamespace(from_cubin=self._from_cubin)

    def Device(self, device_id: int) -> Device:  # noqa: N802
        return Device(self, device_id)

    def LaunchConfig(self, grid: int, block: int) -> tuple[int, int]:  # noqa: N802
        return grid, block

    def launch(self, stream: Any, config: Any, kernel: Any, *kernel_args: int) -> None:
        assert all(type(x) is int for x in kernel_args), "8 bytes each"
        library, name = kernel
        self.events.append(("launch", name, *config))
        launch(library, name, kernel_args, *config)

    def _from_handle(self, ptr: int, size: int, *, owner: np.ndarray) -> Buffer:
        assert (ptr, size) == (owner.ctypes.data, owner.nbytes)
        return Buffer(self, owner.reshape(-1).view(np.uint8), "host")

    def _from_cubin(self, module: bytes) -> Code:
        self.events.append(("load",))
        return Code(module.decode())


class Code:
    def __init__(self, text: str) -> None:
        self.code = compiled(text)

    def get_kernel(self, name: str) -> tuple[ctypes.CDLL, str]:
        assert hasattr(self.code, f"launch_{name}"), name
        return self.code, name


class Device:
    def __init__(self, core: Core, number: int) -> None:
        if number:
            raise RuntimeError(f"there is no device {number}")
        self.core, self.compute_capability = core, core.capability

    def set_current(self) -> None:
        self.core.events.append(("current",))

    def create_stream(self) -> Stream:
        return Stream(self.core)

    def allocate(self, size: int, *, stream: Stream) -> Buffer:
        self.core.events.append(("allocate", size))
        return Buffer(self.core, np.full(size, 0xA5, np.uint8), "device")


class Stream:
    def __init__(self, core: Core) -> None:
        self.core = core

    def sync(self) -> None:
        self.core.events.append(("sync",))


class Buffer:
    def __init__(self, core: Core, data: np.ndarray, where: str) -> None:
        self.core, self.data, self.where = core, data, where
        self.handle = data.ctypes.data

    def copy_from(self, src: Buffer, *, stream: Stream) -> None:
        assert self.data.size == src.data.size
        self.core.events.append(("copy", src.where, self.where, self.data.size))
        self.data[...] = src.data
