"""CUDA cards through NVIDIA's `cuda.core`, or what stands for it (`numba_card`).

Start at `card`, which gives the one of a number.  What is asked of a card is done on a
stream, its own or that of another library, in the order in which it is asked for
there.  `cuda.core` is imported when a card is first asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from jitad.backends.memory import shown
from jitad.errors import JitadError
from jitad.process.locks import cached_property

from . import numba_card

# Streams that every card has, by the handles that libraries hand around.
LEGACY = 1  # or 0
_PER_THREAD = 2
_COPIED = 1 << 30  # bytes


class DeviceError(JitadError, RuntimeError):
    """There is no card, no driver, or no package that knows them; or it failed."""


class DeviceMemoryError(DeviceError, MemoryError):
    """A card has no memory left for what is asked of it."""


class Card:
    """A card by its number.

    Raises DeviceError where it cannot be had.
    """

    def __init__(self, number: int = 0, core: Any = None) -> None:
        self.number = number
        self._core = _core() if core is None else core
        try:
            with self.current():
                device = self._core.Device(number)
                major, minor = device.compute_capability
                self.stream = device.create_stream()
                self.name = str(device.name)
        except Exception as error:  # cuda.core's differ with what is missing
            said = " ".join(str(error).split())
            raise DeviceError(
                f"expected CUDA card {number}, but its driver says: {said}; install "
                'NVIDIA\'s driver 580 or later, or 525 or later and "jitad[cuda12]", '
                "or run on the CPU"
            ) from error
        self.capability: tuple[int, int] = (major, minor)
        self._streams: dict[int, Any] = {}

    @property
    def neighbours(self) -> Sequence[Any]:
        """What the driver calls all cards of this machine."""
        return self._core.Device.get_all_devices()

    def __repr__(self) -> str:
        return f"<cuda:{self.number} {self.name}>"

    @property
    def memory(self) -> int:
        """Bytes that it has, of which others may use some."""
        found = getattr(self._core, "total_memory", total_memory)
        return found(self.number)

    @cached_property
    def copy_bandwidth(self) -> float:
        """Bytes read and written per second by a large copy on the card, measured."""
        size = min(_COPIED, self.memory // 8)
        with self.current():
            one, other = self.empty(size, self.stream), self.empty(size, self.stream)
            best = float("inf")
            for _ in range(5):
                self.sync(self.stream)
                start = time.perf_counter()
                for _ in range(4):
                    places = int(other.handle), int(one.handle)
                    self.copy(*places, size, self.stream)
                self.sync(self.stream)
                best = min(best, time.perf_counter() - start)
        return 8 * size / best

    @contextmanager
    def current(self) -> Iterator[None]:
        """Let it be this thread's current card, and then the one that was before."""
        device, before = self._core.Device(self.number), self._core.Device()
        device.set_current()
        try:
            yield
        finally:
            if before.device_id != self.number:
                before.set_current()

    def stream_at(self, handle: int) -> Any:
        """The stream of another library whose handle this is."""
        found = self._streams.get(handle)
        if found is None:
            if handle in (0, LEGACY):
                found = self._core.LEGACY_DEFAULT_STREAM
            elif handle == _PER_THREAD:
                found = self._core.PER_THREAD_DEFAULT_STREAM
            else:
                return self._core.Stream.from_handle(handle)
            self._streams[handle] = found
        return found

    def new_stream(self) -> Any:
        """Another stream of its own."""
        with self.current():
            return self._core.Device(self.number).create_stream()

    def wait(self, stream: Any, earlier: Any) -> None:
        """Let what is asked of a stream from now on wait for what was of another."""
        if stream is not earlier:
            stream.wait(earlier)

    def sync(self, stream: Any) -> None:
        """Wait until all that was asked of a stream is done.

        Raises DeviceError where something of it failed.
        """
        try:
            stream.sync()
        except Exception as error:
            raise DeviceError(
                f"{self!r}: what was started before has failed: {error}; the process "
                "has lost this card until it is started anew"
            ) from error

    def load(self, cubin: bytes, names: Sequence[str]) -> dict[str, Any]:
        """The kernels of these names in machine code."""
        with self.current():
            code = self._core.ObjectCode.from_cubin(cubin)
            return {name: code.get_kernel(name) for name in names}

    def launch(
        self,
        kernel: Any,
        blocks: int,
        threads: int,
        numbers: Sequence[int],
        stream: Any,
    ) -> None:
        """Run a kernel, whose parameters are 8 bytes each; it is not waited for."""
        config = self._config(blocks, threads)
        try:
            self._core.launch(stream, config, kernel, *numbers)
        except Exception as error:
            raise DeviceError(
                f"{self!r}: a kernel of {blocks} blocks of {threads} threads was not "
                f"started: {error}"
            ) from error

    @cache  # noqa: B019, there are few cards and they stay
    def _config(self, blocks: int, threads: int) -> Any:
        return self._core.LaunchConfig(grid=blocks, block=threads)

    # -- memory ----------------------------------------------------------------

    def empty(self, nbytes: int, stream: Any) -> Any:
        """Memory at address `handle`, freed with the object when the stream is there.

        Raises DeviceMemoryError where there is not enough.
        """
        try:
            return self._core.Device(self.number).allocate(nbytes, stream=stream)
        except Exception as error:
            if "OUT_OF_MEMORY" not in str(error).upper().replace(" ", "_"):
                raise DeviceError(f"{self!r}: no memory: {error}") from error
            raise DeviceMemoryError(
                f"{self!r}: expected {nbytes / 2**20:.1f} MiB more of its memory than "
                "there is; pass fewer points at a time, free other arrays there, or "
                "pass NumPy arrays with device=, which go there in parts"
            ) from error

    def pinned(self, nbytes: int) -> np.ndarray:
        """Bytes of the host that the card reads and writes itself."""
        memory = self._core.LegacyPinnedMemoryResource().allocate(nbytes)
        where = int(memory.handle)
        return shown(where, (nbytes,), np.dtype(np.uint8), owner=memory)

    def to_device(self, address: int, array: np.ndarray, stream: Any) -> None:
        """Copy a dense array of the host there; if pinned, it is not waited for."""
        self._at(address, array.nbytes).copy_from(self._host(array), stream=stream)

    def to_host(self, array: np.ndarray, address: int, stream: Any) -> None:
        """Fill a dense array of the host from there, likewise."""
        self._host(array).copy_from(self._at(address, array.nbytes), stream=stream)

    def copy(self, to: int, address: int, nbytes: int, stream: Any) -> None:
        """Copy bytes from one place on the card to another."""
        self._at(to, nbytes).copy_from(self._at(address, nbytes), stream=stream)

    def clear(self, address: int, nbytes: int, stream: Any) -> None:
        """Let bytes be zero."""
        self._at(address, nbytes).fill(0, stream=stream)

    def _host(self, array: np.ndarray) -> Any:
        where, end = np.lib.array_utils.byte_bounds(array)
        assert end - where == array.nbytes, "there are gaps"
        return self._core.Buffer.from_handle(where, array.nbytes, owner=array)

    def _at(self, address: int, nbytes: int) -> Any:
        return self._core.Buffer.from_handle(address, nbytes)


@cache
def card(number: int) -> Card:
    """The card of a number; the same one always.

    Raises DeviceError where it cannot be had.
    """
    return Card(number)


def every() -> list[Card]:
    """All cards.

    Raises DeviceError where there is none.
    """
    first = card(0)
    return [first, *(card(n) for n in range(1, len(first.neighbours)))]


def total_memory(number: int) -> int:
    """The bytes of a card."""
    from cuda.bindings import driver  # pyright: ignore

    status, found = driver.cuDeviceTotalMem(number)
    if int(status):
        raise DeviceError(f"cuda:{number}: its memory is not known: {status}")
    return int(found)


@cache
def _core() -> Any:
    """`cuda.core`; where it is not installed, the target that comes with Numba."""
    try:
        from cuda import core  # pyright: ignore
    except ImportError as error:
        try:
            return numba_card.numba()
        except ImportError:
            raise DeviceError(
                f"expected cuda.core for work on a GPU ({error}); install it: "
                'pip install "jitad[cuda]"'
            ) from error
    return core
