"""One CUDA card, through NVIDIA's `cuda.core`: the only room that knows a driver.

Code is loaded and launched, and memory made, filled and read, on one stream: what is
asked for first is done first.  `cuda.core` is imported when a card is first asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitad.errors import JitadError


class DeviceError(JitadError, RuntimeError):
    """There is no card, no driver, or no package that knows them."""


class Card:
    """A card by its number, and a stream of its work.

    Raises DeviceError where it cannot be had.
    """

    def __init__(self, number: int = 0, core: Any = None) -> None:
        self._core = _core() if core is None else core
        try:
            self._device = self._core.Device(number)
            self._device.set_current()
            self._stream = self._device.create_stream()
        except Exception as error:  # cuda.core's differ with what is missing
            raise DeviceError(
                f"expected CUDA card {number}, but its driver says: {error}; install "
                "NVIDIA's driver 580 or later, or run on the CPU"
            ) from error

    @property
    def capability(self) -> tuple[int, int]:
        """The compute capability, as (9, 0)."""
        major, minor = self._device.compute_capability
        return major, minor

    def load(self, cubin: bytes, names: Sequence[str]) -> dict[str, Any]:
        """The kernels of these names in machine code."""
        code = self._core.ObjectCode.from_cubin(cubin)
        return {name: code.get_kernel(name) for name in names}

    def launch(
        self, kernel: Any, blocks: int, threads: int, numbers: Sequence[int]
    ) -> None:
        """Run a kernel, whose parameters are 8 bytes each; it is not waited for."""
        config = self._core.LaunchConfig(grid=blocks, block=threads)
        self._core.launch(self._stream, config, kernel, *numbers)

    def empty(self, nbytes: int) -> Any:
        """Memory on the card, at address `handle`, freed with the object."""
        return self._device.allocate(nbytes, stream=self._stream)

    def to_device(self, array: np.ndarray) -> Any:
        """New memory on the card that holds what a contiguous array does."""
        memory = self.empty(array.nbytes)
        memory.copy_from(self._host(array), stream=self._stream)
        self._stream.sync()
        return memory

    def to_host(self, memory: Any, array: np.ndarray) -> None:
        """Fill a contiguous array from memory on the card, when all before is done."""
        self._host(array).copy_from(memory, stream=self._stream)
        self._stream.sync()

    def _host(self, array: np.ndarray) -> Any:
        assert array.flags.c_contiguous
        where = array.ctypes.data
        return self._core.Buffer.from_handle(where, array.nbytes, owner=array)


def _core() -> Any:
    try:
        from cuda import core  # pyright: ignore
    except ImportError as error:
        raise DeviceError(
            f"expected cuda.core for work on a GPU ({error}); install it: "
            'pip install "jitad[cuda]"'
        ) from error
    return core
