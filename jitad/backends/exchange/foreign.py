"""Arrays of other libraries on a card: where they lie, and on which stream."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitad.backends.memory import shown
from jitad.process.locks import cached_property


class Foreign:
    """An array on a card; a leaf, as the array is, in trees of arguments.

    strides   in bytes
    stream    the handle of the stream on which it is ready
    library   the name of its package
    writable  whether it may be written
    owner     the array itself
    """

    def __init__(
        self,
        address: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        dtype: np.dtype,
        card: int,
        stream: int,
        library: str,
        writable: bool,
        owner: Any,
    ) -> None:
        self.address, self.shape, self.strides = address, shape, strides
        self.dtype, self.card, self.stream = dtype, card, stream
        self.library, self.writable, self.owner = library, writable, owner

    @cached_property
    def array(self) -> np.ndarray:
        """It as an ndarray, which must never be read: it is not there."""
        return shown(self.address, self.shape, self.dtype, self.strides, self.owner)

    @property
    def signature(self) -> tuple[Any, ...]:
        """What of it decides how a call is made."""
        aligned = self.address % self.dtype.itemsize == 0
        return self.library, self.card, self.dtype, self.shape, self.strides, aligned
