"""Stand-ins for libraries with arrays on a card, whose memory is that of `cuda_core`.

They have of the real ones what jitad asks of them, by the same names.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from jitad.backends.exchange import dlpack
from jitad.backends.memory import contiguous
from tests.support.cuda_core import Core


class Memory:
    """Memory of a card that holds an array, of which views can be made."""

    def __init__(self, core: Core, nbytes: int) -> None:
        self.core, self.nbytes = core, nbytes
        self.address = core.memory(max(nbytes, 1))

    def __del__(self) -> None:
        self.core.free(self.address)


class OnCard:
    """An array: what all stand-ins share.  Slices and transposes are views."""

    def __init__(self, memory: Memory, like: np.ndarray, start: int, card: int) -> None:
        """Like: of the same shape, strides and dtype; start: the byte it begins at."""
        self.memory, self.like, self.start, self.card = memory, like, start, card

    @property
    def shape(self) -> tuple[int, ...]:
        return self.like.shape

    @property
    def dtype(self) -> np.dtype:
        return self.like.dtype

    @property
    def address(self) -> int:
        return self.memory.address + self.start

    def _view(self, like: np.ndarray) -> OnCard:
        moved = like.ctypes.data - self.like.ctypes.data
        return type(self)(self.memory, like, self.start + moved, self.card)

    def __getitem__(self, key: Any) -> OnCard:
        return self._view(self.like[key])

    @property
    def T(self) -> OnCard:  # noqa: N802
        return self._view(self.like.T)

    def get(self) -> np.ndarray:
        """A copy on the host."""
        raw = np.empty(self.memory.nbytes, np.uint8)
        with self.memory.core.working():
            ctypes.memmove(raw.ctypes.data, self.memory.address, raw.size)
        if not self.like.size:
            return np.empty(self.shape, self.dtype)
        return np.ndarray(
            self.shape, self.dtype, raw.data, self.start, self.like.strides
        ).copy()


class ByInterface(OnCard):
    stream: int | None = None

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        dense = self.like.strides == contiguous(self.shape, self.dtype.itemsize)
        return {
            "data": (self.address, False),
            "shape": self.shape,
            "strides": None if dense else self.like.strides,
            "typestr": self.dtype.str,
            "version": 3,
            "stream": self.stream,
        }


class CuPy(ByInterface):
    @property
    def device(self) -> Any:
        return SimpleNamespace(id=self.card)

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self.address)


class Torch(ByInterface):
    @property
    def device(self) -> Any:
        return SimpleNamespace(index=self.card)

    def data_ptr(self) -> int:
        return self.address


class Numba(ByInterface):
    @property
    def gpu_data(self) -> Any:
        return SimpleNamespace(
            context=SimpleNamespace(device=SimpleNamespace(id=self.card))
        )


class Jax(OnCard):
    """By DLPack, as all libraries that have nothing else."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.card

    def __dlpack__(self, *, stream: int | None = None, **_: Any) -> Any:
        assert stream == 1
        place = self.address, self.shape, self.like.strides, self.dtype
        return dlpack.capsule(*place, self.__dlpack_device__(), self.memory)


class Other(Jax):
    """Of a library that nobody knows."""


KINDS = {
    "cupy": CuPy,
    "torch": Torch,
    "numba": Numba,
    "jaxlib": Jax,
    "other": Other,
}
for _name, _kind in KINDS.items():
    _kind.__module__ = _name


class _Gpus:
    """Numba's, by their numbers."""

    def __init__(self, library: Library) -> None:
        self.library = library

    def __getitem__(self, number: int) -> Any:
        return self.library.current(number)


class Library:
    """A library's stand-in: its arrays, and the module that jitad asks."""

    def __init__(self, core: Core, name: str) -> None:
        self.core, self.name, self.kind = core, name, KINDS[name]
        self.stream = 7  # the handle of the one in use
        self.now = 0  # the card on which new arrays are

    def asarray(self, x: Any, card: int = 0) -> Any:
        """A copy of an array of the host on a card, contiguous."""
        x = np.ascontiguousarray(x)
        made = self.empty(x.shape, x.dtype, card)
        with self.core.working():
            ctypes.memmove(made.address, x.ctypes.data, x.nbytes)
        return made

    def empty(self, shape: Any, dtype: Any, card: int | None = None) -> Any:
        like = np.empty(shape, dtype)
        number = self.now if card is None else card
        return self.kind(Memory(self.core, like.nbytes), like, 0, number)

    @contextmanager
    def current(self, card: int) -> Iterator[None]:
        before, self.now = self.now, card
        yield
        self.now = before

    def modules(self) -> dict[str, Any]:
        """What is to be found in sys.modules."""
        made = ModuleType(self.name)
        match self.name:
            case "cupy":
                made.empty = self.empty
                made.cuda = SimpleNamespace(
                    Device=self.current,
                    get_current_stream=lambda number: SimpleNamespace(ptr=self.stream),
                )
            case "torch":
                made.empty = lambda shape, dtype, device: self.empty(
                    shape, dtype, int(device.removeprefix("cuda:"))
                )
                for dtype in ("float64", "float32", "int64", "int32", "bool"):
                    setattr(made, dtype, np.dtype(dtype))
                made.cuda = SimpleNamespace(
                    current_stream=lambda n: SimpleNamespace(cuda_stream=self.stream)
                )
            case "numba":
                cuda = SimpleNamespace(device_array=self.empty, gpus=_Gpus(self))
                return {"numba.cuda": cuda}
            case "jaxlib":
                made.dlpack = SimpleNamespace(from_dlpack=self._take)
                return {"jax": made}
        return {self.name: made}

    def _take(self, array: Any) -> Any:
        found = dlpack.read(array.__dlpack__(stream=9))
        memory = SimpleNamespace(
            core=self.core, address=found.address, owner=found,
            nbytes=int(np.prod(found.shape)) * found.dtype.itemsize,
        )  # fmt: skip
        like = np.empty(found.shape, found.dtype)
        return Jax(memory, like, 0, array.__dlpack_device__()[1])  # type: ignore
