"""Run a kernel's tiles on several threads: Numba's pool, entered through its C entry.

Start at `Pool.run`.  Every thread takes tiles from a counter in the launch block
until none is left, so it does not matter how many come, or when.  The pool is
entered by one caller at a time (its workqueue layer would abort), and never in a
forked child (GNU OpenMP would kill it): plain threads serve there.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import llvmlite.binding as llvm
from numba import config
from numba.np.ufunc import parallel

_POINTER = ctypes.c_void_p
_PARALLEL_FOR = ctypes.CFUNCTYPE(
    None, *[_POINTER] * 5, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int
)
_LOOP = ctypes.CFUNCTYPE(None, *[_POINTER] * 4)


def most_threads() -> int:
    """How many threads the pool has, the caller among them."""
    return config.NUMBA_NUM_THREADS  # pyright: ignore


@dataclass
class Pool:
    """The threads of this process; `count` of them take part in a launch."""

    count: int = field(default_factory=most_threads)
    _home: int = field(default_factory=os.getpid)
    _inherited: bool = field(
        # A pool that was there before us may be that of a parent process.
        default_factory=lambda: (
            parallel._is_initialized and multiprocessing.parent_process() is not None
        )
    )
    _entered: threading.Lock = field(default_factory=threading.Lock)
    _parallel_for: Callable[..., None] | None = None

    def run(self, tiles: int, block: int, count: int) -> None:
        """Let count threads run the function at address tiles on the block."""
        if count == 1:
            _LOOP(tiles)(None, None, None, block)
        elif self._inherited or os.getpid() != self._home:
            _run_on_new_threads(tiles, block, count)
        elif self._entered.acquire(blocking=False):
            try:
                self._enter(tiles, block, count)
            finally:
                self._entered.release()
        else:
            _LOOP(tiles)(None, None, None, block)

    def _enter(self, tiles: int, block: int, count: int) -> None:
        if self._parallel_for is None:
            parallel._launch_threads()
            address = llvm.address_of_symbol("numba_parallel_for")
            self._parallel_for = _PARALLEL_FOR(address)
        arguments = (ctypes.c_void_p * 1)()
        dimensions = (ctypes.c_size_t * 1)(count)
        steps = (ctypes.c_size_t * 1)(0)
        self._parallel_for(tiles, arguments, dimensions, steps, block, 0, 1, count)


def _run_on_new_threads(tiles: int, block: int, count: int) -> None:
    loop = _LOOP(tiles)
    others = [
        threading.Thread(target=loop, args=(None, None, None, block))
        for _ in range(count - 1)
    ]
    for thread in others:
        thread.start()
    loop(None, None, None, block)
    for thread in others:
        thread.join()


POOL = Pool()


def set_threads(count: int) -> None:
    """Use so many threads from now on; results do not depend on it."""
    if not 1 <= count <= most_threads():
        raise ValueError(
            f"expected 1 to {most_threads()} threads, got {count}; "
            "NUMBA_NUM_THREADS sets the largest number when the process starts"
        )
    POOL.count = count


def get_threads() -> int:
    """How many threads a launch uses at most."""
    return POOL.count
