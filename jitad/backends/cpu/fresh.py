"""New arrays, in memory that is used again once nobody holds what was there.

A system takes longer to hand out the pages of a large array than a kernel takes to
fill them.  Every array owns its memory, which comes back when it goes, and that is
after all views of it have gone (see `allocator`).  Start at `empty`.
"""

from __future__ import annotations

import contextvars
import ctypes
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jitad.process import locks

from . import allocator, numpy_table
from .link import FAST
from .machine import memory_bytes
from .objects import linked

LINE = 64
# Bytes from which it pays that memory is kept, and that it begins on a cache line.
_LARGE = 1 << 16
# One part in this number of the memory that there is may be kept: where the system can
# take it when it runs short, and where it cannot; and the seconds for which it is while
# other memory comes back.
_PART, _FIXED_PART, _LONGEST = 8, 64, 10
_LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


class Held(NamedTuple):
    """Memory of large results, of 64 KiB or more each, in bytes.

    used    by arrays that somebody holds
    kept    by none, to be used again
    blocks  that are kept
    most    that is kept at most
    """

    used: int
    kept: int
    blocks: int
    most: int


def empty(shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array; the data of a large one begin on a cache line."""
    large = math.prod(shape) * dtype.itemsize >= _LARGE
    return aligned(shape, dtype) if large else np.empty(shape, dtype)


def zeros(shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """The same, of zeros."""
    large = math.prod(shape) * dtype.itemsize >= _LARGE
    found = _allocator() if large else None
    return found.make(np.zeros, shape, dtype) if found else np.zeros(shape, dtype)


def copy(array: np.ndarray) -> np.ndarray:
    """A new array of the same elements, in C order."""
    made = empty(array.shape, array.dtype)
    np.copyto(made, array)
    return made


def owned(array: np.ndarray) -> np.ndarray:
    """The array, or a copy of it if it is a view of more."""
    return array if array.flags.owndata else copy(array)


def aligned(shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array whose data begin on a cache line."""
    size = math.prod(shape) * dtype.itemsize
    if size >= _LARGE and (found := _allocator()):
        return found.make(np.empty, shape, dtype)
    raw = np.empty(size + LINE, np.uint8)
    skip = -raw.ctypes.data % LINE
    return raw[skip : skip + size].view(dtype).reshape(shape)


def give_back() -> None:
    """Let the system have the memory that is kept, which nobody uses."""
    if _MADE.done and (found := _allocator()):
        found.empty()


def held() -> Held:
    """How much memory arrays of ours use, and how much is kept for others."""
    if _MADE.done and (found := _allocator()):
        return found.held
    return Held(0, 0, 0, _most() if _supported() else 0)


class _Allocator:
    """The allocator of this process, which stays to its end: arrays refer to it."""

    def __init__(self) -> None:
        library = linked(FAST + allocator.TEXT)
        pointer, thing = ctypes.c_void_p, ctypes.py_object
        capsule = ctypes.PYFUNCTYPE(thing, pointer, pointer, pointer)
        new = capsule(("PyCapsule_New", ctypes.pythonapi))
        stay = ctypes.PYFUNCTYPE(None, thing)(("Py_IncRef", ctypes.pythonapi))
        self._own = new(library.address("handler"), library.address("label"), None)
        stay(library)
        stay(self._own)
        get = numpy_table.function(numpy_table.GET_HANDLER)
        set = numpy_table.function(numpy_table.SET_HANDLER)
        self._get = ctypes.PYFUNCTYPE(thing)(get)
        self._set = ctypes.PYFUNCTYPE(thing, thing)(set)
        self._default = contextvars.Context().run(self._get)
        self.empty = library.function("empty", ctypes.PYFUNCTYPE(None))
        self._library = library
        self.word("most").value = _most()
        self.word("longest").value = _LONGEST
        self.word("large").value = _has_large_pages()
        locks.before_forks(self.empty)

    def make(
        self, how: Callable[..., np.ndarray], shape: Sequence[int], dtype: np.dtype
    ) -> np.ndarray:
        """An array as np.empty or np.zeros makes it, but for where it lies.

        Where a user has chosen an allocator it is theirs.
        """
        if self._get() not in (self._default, self._own):
            return how(shape, dtype)
        # An interrupt may come as soon as a call has returned, not before the first.
        try:
            self._set(self._own)
            return how(shape, dtype)
        finally:
            self._set(self._default)

    @property
    def held(self) -> Held:
        """What it has."""
        return Held(*[self.word(w).value for w in ("used", "kept", "count", "most")])

    def word(self, name: str) -> ctypes.c_int64:
        """One of its numbers, as `allocator` names them."""
        return ctypes.c_int64.from_address(self._library.address(name))


@dataclass(slots=True)
class _Made:
    """The allocator, once it is made; None where NumPy's own memory is all there is."""

    done: bool = False
    found: _Allocator | None = None
    lock: Any = field(default_factory=locks.lock)


_MADE = _Made()


def _allocator() -> _Allocator | None:
    if not _MADE.done:
        with _MADE.lock:
            if not _MADE.done:
                _MADE.found = _Allocator() if _supported() else None
                _MADE.done = True
    return _MADE.found


def _supported() -> bool:
    """Whether the system and NumPy are those that the allocator is written for."""
    return (
        sys.platform == "linux"
        and sys.implementation.name == "cpython"
        and ctypes.sizeof(ctypes.c_void_p) == 8
        and "t" not in sys.abiflags  # threads that Python does not let wait
        and int(np.__version__.split(".")[0]) == 2
    )


def _most() -> int:
    """How many bytes are kept at most."""
    return memory_bytes() // (_PART if _has_large_pages() else _FIXED_PART)


def _has_large_pages() -> bool:
    """Whether memory comes in large pages, and NumPy may ask for them."""
    wanted = os.environ.get("NUMPY_MADVISE_HUGEPAGE") != "0"
    pages = _LARGE_PAGES
    return wanted and pages.exists() and "[never]" not in pages.read_text()
