"""Run a kernel's tiles on several threads, and never wait for one that has not begun.

Start at `Pool.run`.  Every thread takes tiles from a counter in the launch block until
none is left, so it does not matter how many come, or when.  Helpers sleep on a
semaphore inside compiled code, without the interpreter's lock.  A launch opens the
pool, wakes them, works itself, closes the pool, and waits only for helpers that are
inside a tile: on a busy machine a helper that gets no processor costs nothing, where
the barrier of an OpenMP region costs a time slice of the operating system.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from jitad.process import locks

from . import watch
from .link import FAST
from .objects import linked

# The shared words: twice the helpers inside, plus 1 while open; function and block; a
# semaphore; and last, whether a launch has the helpers.  It takes them and gives them
# back in machine code, which no exception can come between.
_WORDS = 16
_TEXT = f"""
declare i32 @sem_wait(ptr)
declare i32 @sem_post(ptr)
declare i32 @sched_yield()
declare i1 @jitad.look(ptr, ptr)
declare ptr PyEval_SaveThread()
declare void PyEval_RestoreThread(ptr)

define void @help(ptr %shared) {{
  %function.at = getelementptr i64, ptr %shared, i64 1
  %block.at = getelementptr i64, ptr %shared, i64 2
  %bell = getelementptr i64, ptr %shared, i64 3
  br label %sleep
sleep:
  %ignored = call i32 @sem_wait(ptr %bell)
  %before = atomicrmw add ptr %shared, i64 2 seq_cst
  %bit = and i64 %before, 1
  %open = icmp ne i64 %bit, 0
  br i1 %open, label %work, label %leave
work:
  %function = load ptr, ptr %function.at
  %block = load ptr, ptr %block.at
  call void %function(ptr %shared, ptr null, ptr null, ptr %block)
  br label %leave
leave:
  %after = atomicrmw sub ptr %shared, i64 2 seq_cst
  br label %sleep
}}

define void @lead(ptr %shared, ptr %function, ptr %block, i64 %helpers) {{
entry:
  %account = alloca i64
  %thread = call ptr PyEval_SaveThread()
  %none = icmp eq i64 %helpers, 0
  br i1 %none, label %alone, label %ask
ask:
  %taken.at = getelementptr i64, ptr %shared, i64 {_WORDS - 1}
  %answer = cmpxchg ptr %taken.at, i64 0, i64 1 seq_cst seq_cst
  %free = extractvalue {{ i64, i1 }} %answer, 1
  br i1 %free, label %open, label %alone
alone:
  call void %function(ptr null, ptr null, ptr null, ptr %block)
  br label %exit
open:
  %function.at = getelementptr i64, ptr %shared, i64 1
  %block.at = getelementptr i64, ptr %shared, i64 2
  %bell = getelementptr i64, ptr %shared, i64 3
  store ptr %function, ptr %function.at
  store ptr %block, ptr %block.at
  %opened = atomicrmw or ptr %shared, i64 1 seq_cst
  br label %ring
ring:
  %k = phi i64 [0, %open], [%k.next, %rung]
  %more = icmp ult i64 %k, %helpers
  br i1 %more, label %rung, label %work
rung:
  %ignored = call i32 @sem_post(ptr %bell)
  %k.next = add i64 %k, 1
  br label %ring
work:
  call void %function(ptr null, ptr null, ptr null, ptr %block)
  %closed = atomicrmw and ptr %shared, i64 -2 seq_cst
  br label %wait
wait:
  %n = phi i64 [0, %work], [%n.next, %yield], [%n.next, %look]
  %inside = load atomic i64, ptr %shared seq_cst, align 8
  %done = icmp eq i64 %inside, 0
  br i1 %done, label %give, label %yield
yield:
  %yielded = call i32 @sched_yield()
  %n.next = add i64 %n, 1
  %some = and i64 %n.next, 15
  %often = icmp eq i64 %some, 0
  br i1 %often, label %look, label %wait
look:
  %left = call i1 @jitad.look(ptr %block, ptr %account)
  br label %wait
give:
  store atomic i64 0, ptr %taken.at seq_cst, align 8
  br label %exit
exit:
  call void PyEval_RestoreThread(ptr %thread)
  ret void
}}
"""
_Words = ctypes.c_int64 * _WORDS
_SEMAPHORES = sys.platform == "linux"


@cache
def _functions() -> tuple[Callable[..., None], Callable[..., None]]:
    """help(shared), which never returns, and lead(shared, function, block, helpers).

    With no helpers nothing need be shared.
    """
    watch.share()
    text = re.sub(r"PyEval_\w+", lambda found: watch.known(found[0]), _TEXT)
    library, pointer = linked(FAST + text), ctypes.c_void_p
    helping = ctypes.CFUNCTYPE(None, pointer)
    # It lets go of the interpreter's lock itself, and ctypes raises what it leaves.
    leading = ctypes.PYFUNCTYPE(None, pointer, pointer, pointer, ctypes.c_int64)
    return (
        library.function("help", helping),
        library.function("lead", leading),
    )


def most_threads() -> int:
    """How many threads the pool has, the caller among them: as many as Numba's."""
    given = os.environ.get("NUMBA_NUM_THREADS", "")
    if not given:
        return _processors()
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(
            f"NUMBA_NUM_THREADS is {given!r}; expected a whole number of threads, 1 or "
            "more: correct it, or leave it out for one thread a processor"
        )
    return int(given)


def _processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Helpers:
    """The sleeping threads of one process, and the words they share with it."""

    def __init__(self, count: int) -> None:
        self.home = os.getpid()
        self.words = _Words()
        bell = ctypes.byref(self.words, 3 * 8)
        failed = ctypes.CDLL(None).sem_init(bell, 0, 0)
        assert failed == 0
        helping, _ = _functions()
        for _ in range(count):
            # Each holds the words, should an interrupt leave nobody else who does.
            threading.Thread(target=helping, args=(self.words,), daemon=True).start()


@dataclass
class Pool:
    """The threads of this process; `count` of them take part in a launch."""

    count: int = field(default_factory=most_threads)
    _helpers: _Helpers | None = None
    _starting: Any = field(default_factory=locks.lock)

    def run(self, tiles: int, block: int, count: int) -> None:
        """Let count threads run the function at address tiles on the block.

        Its first argument is null in the thread that calls, and in no other.

        A second caller at the same time finds the helpers taken, and works alone.
        """
        if count > 1 and not _SEMAPHORES:
            _run_on_new_threads(tiles, block, count)
            return
        shared = self._awake().words if count > 1 else None
        _functions()[1](shared, tiles, block, count - 1)

    def _awake(self) -> _Helpers:
        """The helpers of this process: a forked child starts its own."""
        helpers = self._helpers
        if helpers is None or helpers.home != os.getpid():
            with self._starting:
                helpers = self._helpers
                if helpers is None or helpers.home != os.getpid():
                    helpers = self._helpers = _Helpers(most_threads() - 1)
        return helpers


def _run_on_new_threads(tiles: int, block: int, count: int) -> None:
    """The same, where the C library has no unnamed semaphores."""
    loop = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(tiles)
    others = [
        threading.Thread(target=loop, args=(block, None, None, block))
        for _ in range(count - 1)
    ]
    try:
        for thread in others:
            thread.start()
        _functions()[1](None, tiles, block, 0)
    finally:
        _wait_for(others)


def _wait_for(others: Sequence[threading.Thread]) -> None:
    """Wait until threads have ended, which read what their caller owns, come what may.

    An interrupt waits, too, and is then raised.
    """
    try:
        for thread in others:
            if thread.ident is not None:  # it was started
                thread.join()
    except KeyboardInterrupt:
        _wait_for(others)
        raise


POOL = Pool()


def set_threads(count: int) -> None:
    """Let launches use count threads from now on; no bit of a result depends on it.

    Raises ValueError below 1 and above what NUMBA_NUM_THREADS, or the number of
    processors, allows; TypeError where count is no whole number.
    """
    if not isinstance(count, int | np.integer):
        raise TypeError(f"expected a whole number of threads, got {count!r}")
    if not 1 <= count <= most_threads():
        raise ValueError(
            f"expected 1 to {most_threads()} threads, got {count}; "
            "NUMBA_NUM_THREADS sets the largest number when the process starts"
        )
    POOL.count = int(count)


def get_threads() -> int:
    """How many threads a launch of this thread's calls uses at most.

    As many as Numba's, unless `set_threads`, or `threads` around the call, says less.
    """
    return min(POOL.count, _limit.get())


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let launches inside use at most count threads: those of this thread's calls.

        with jitad.threads(1):  # in each of many tasks that run side by side
            slopes = J(block)

    All threads of a process share one pool, so that two calls at once do not use more.
    Raises ValueError where count is no whole number, or below 1.
    """
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise ValueError(
            f"expected a whole number of threads, 1 or more, got {count!r}"
        )
    token = _limit.set(int(count))
    try:
        yield
    finally:
        _limit.reset(token)


# How many threads launches by a thread use at most: each thread has its own.
_limit: ContextVar[int] = ContextVar("jitad_threads", default=1 << 30)
