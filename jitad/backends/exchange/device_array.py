"""An array on a card in jitad's own memory, for libraries that read what others made.

Results have this type where the library of the arguments is not known, or cannot make
an array that is filled later.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitad.backends.cuda.card import LEGACY, Card
from jitad.backends.memory import contiguous

from . import dlpack

CUDA = 2  # DLPack's number of CUDA devices


class DeviceArray:
    """An array on a card, its elements one after the other in C order.

    It has `__cuda_array_interface__` and DLPack; np.asarray copies it to the host.
    """

    def __init__(
        self, card: Card, shape: tuple[int, ...], dtype: np.dtype, stream: Any
    ) -> None:
        self.shape, self.dtype = shape, dtype
        self._card, self._stream = card, stream
        size = math.prod(shape) * dtype.itemsize
        self._memory = card.empty(max(size, 1), stream)

    def __repr__(self) -> str:
        return f"<jitad array {self.dtype}{list(self.shape)} on {self._card!r}>"

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """As Numba describes it, version 3."""
        return {
            "data": (self.address, False),
            "shape": self.shape,
            "strides": None,
            "typestr": self.dtype.str,
            "version": 3,
            "stream": int(self._stream.handle) or LEGACY,
        }

    @property
    def address(self) -> int:
        """Where it lies on the card."""
        return int(self._memory.handle)

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack's numbers of the card."""
        return CUDA, self._card.number

    def __dlpack__(self, *, stream: int | None = None, **_: Any) -> Any:
        """A capsule; its array is ready when the given stream comes to it."""
        if stream != -1:
            with self._card.current():
                theirs = self._card.stream_at(LEGACY if stream is None else stream)
                self._card.wait(theirs, self._stream)
        strides = contiguous(self.shape, self.dtype.itemsize)
        place = self.address, self.shape, strides, self.dtype
        return dlpack.capsule(*place, self.__dlpack_device__(), self._memory)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """A copy on the host, when it is ready."""
        if copy is False:
            raise ValueError("an array on a card has to be copied to be on the host")
        found = np.empty(self.shape, self.dtype)
        if found.size:
            with self._card.current():
                self._card.to_host(found, self.address, self._stream)
                self._card.sync(self._stream)
        return found if dtype is None else found.astype(dtype)
