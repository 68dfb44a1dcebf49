"""Libraries with arrays on cards: how theirs are recognised, and made.

`foreign` recognises what has `__cuda_array_interface__` or DLPack on a CUDA device.
Results are made by the library of the arguments, in its memory and on its stream, so
that nothing is copied: a `Library` says how.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from jitad.backends.cuda.card import LEGACY, Card
from jitad.backends.memory import contiguous
from jitad.errors import InputError

from . import dlpack
from .device_array import CUDA, DeviceArray
from .foreign import Foreign


def foreign(value: Any) -> Foreign | None:
    """An array of another library on a card; None for anything else.

    Raises InputError where the library does not hand it out.
    """
    kind = type(value)
    if hasattr(kind, "__cuda_array_interface__") and _root(value) != "jaxlib":
        try:
            interface = value.__cuda_array_interface__
        except AttributeError:  # PyTorch's of the CPU
            return None
        except (RuntimeError, TypeError) as error:
            raise InputError(
                f"expected an array on a card, got one that {kind.__module__} does "
                f"not hand out: {error}"
            ) from error
        return _described(value, interface)
    if hasattr(kind, "__dlpack_device__") and not isinstance(value, np.ndarray):
        try:
            device, number = value.__dlpack_device__()
        except BufferError:  # JAX's on several devices at once
            return None
        if int(device) == CUDA:
            return _exchanged(value, int(number))
    return None


def _described(value: Any, interface: Mapping[str, Any]) -> Foreign:
    dtype, shape = np.dtype(interface["typestr"]), tuple(interface["shape"])
    strides = interface.get("strides")
    address, fixed = interface["data"]
    name = _root(value)
    source = library(name)
    number = source.card(value)
    stream = source.stream(number) if source.stream else interface.get("stream")
    return Foreign(
        address,
        shape,
        contiguous(shape, dtype.itemsize) if strides is None else tuple(strides),
        dtype,
        number,
        stream or LEGACY,
        name,
        not fixed,
        value,
    )


def _exchanged(value: Any, number: int) -> Foreign:
    """By DLPack: ready on the stream that is asked for, here the default one."""
    found = dlpack.read(value.__dlpack__(stream=LEGACY))
    return Foreign(
        found.address, found.shape, found.strides, found.dtype, number, LEGACY,
        _root(value), False, found,
    )  # fmt: skip


# -- libraries -----------------------------------------------------------------


@dataclass(frozen=True)
class Library:
    """What a library says of its arrays.

    card     array -> the number of its card
    stream   number of a card -> the handle of the stream that is in use there; None:
             an array's interface says it
    empty    (shape, dtype, number of a card) -> a new array; None: it takes one of ours
    address  of such an array
    take     an array of ours -> its own of the same memory
    """

    name: str
    card: Callable[[Any], int]
    stream: Callable[[int], int] | None = None
    empty: Callable[[tuple[int, ...], np.dtype, int], Any] | None = None
    address: Callable[[Any], int] = lambda array: array.address
    take: Callable[[DeviceArray], Any] = lambda array: array

    def new(
        self, shape: tuple[int, ...], dtype: np.dtype, card: Card, stream: Any
    ) -> Any:
        """A new array of its own on a card, or one of ours for it to take."""
        if self.empty is None:
            return DeviceArray(card, shape, dtype, stream)
        return self.empty(shape, dtype, card.number)


def _root(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def library(name: str) -> Library:
    """The library of a package."""
    return _LIBRARIES.get(name, _OTHER)


def _cupy_empty(shape: tuple[int, ...], dtype: np.dtype, number: int) -> Any:
    cupy = sys.modules["cupy"]
    with cupy.cuda.Device(number):
        return cupy.empty(shape, dtype)


def _cupy_stream(number: int) -> int:
    cupy = sys.modules["cupy"]
    return cupy.cuda.get_current_stream(number).ptr


def _torch_empty(shape: tuple[int, ...], dtype: np.dtype, number: int) -> Any:
    torch = sys.modules["torch"]
    kind = getattr(torch, dtype.name)
    return torch.empty(shape, dtype=kind, device=f"cuda:{number}")


def _torch_stream(number: int) -> int:
    return sys.modules["torch"].cuda.current_stream(number).cuda_stream


def _numba_empty(shape: tuple[int, ...], dtype: np.dtype, number: int) -> Any:
    cuda = sys.modules["numba.cuda"]
    with cuda.gpus[number]:
        return cuda.device_array(shape, dtype)


def _jax_take(array: DeviceArray) -> Any:
    return sys.modules["jax"].dlpack.from_dlpack(array)


def _by_dlpack(value: Any) -> int:
    """The number of the card by DLPack, or by where the library says it is."""
    if hasattr(value, "__dlpack_device__"):
        return int(value.__dlpack_device__()[1])
    return int(getattr(getattr(value, "device", 0), "id", 0))


_OTHER = Library("jitad", _by_dlpack)
_LIBRARIES: Mapping[str, Library] = MappingProxyType(
    {
        "cupy": Library(
            "cupy",
            lambda x: x.device.id,
            _cupy_stream,
            _cupy_empty,
            lambda x: x.data.ptr,
        ),
        "torch": Library(
            "torch",
            lambda x: x.device.index,
            _torch_stream,
            _torch_empty,
            lambda x: x.data_ptr(),
        ),
        "numba": Library(
            "numba",
            lambda x: x.gpu_data.context.device.id,
            None,
            _numba_empty,
            lambda x: x.__cuda_array_interface__["data"][0],
        ),
        # It computes on streams of its own, and says when an array is ready by DLPack.
        "jaxlib": Library("jaxlib", _by_dlpack, take=_jax_take),
    }
)
