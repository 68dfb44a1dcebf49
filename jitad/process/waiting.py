"""What is said while a function takes long to be traced, differentiated or compiled.

`watched` is around all that a first call does, `stage` around what it is doing.  Beyond
five seconds a line on stderr, or a bar where that is a terminal, says what takes long,
how large it is, and which rewrite helps.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from .late import late
from .locks import after_forks

tqdm = late("tqdm")

SECONDS = 5.0
_LARGE = 5_000
STAGES = ("traced", "made scalar", "differentiated", "compiled")
_ADVICE = (
    "a loop of Python becomes as many operations as it has in all its steps: "
    "jitad.fori_loop, jitad.scan or operations on whole arrays keep one body"
)
_OTHER_ADVICE = {
    "differentiated": 'mode="forward" or "reverse" leaves out the search for the best; '
    "jitad.jvp, jitad.vjp and jitad.hvp give products without the whole matrix",
}


class _Wait:
    """One first call: what it does now, and the thread that tells of it.

    The thread waits for a lock that is held as long as the call takes.  In a forked
    child there is no such thread, and nothing is told.
    """

    def __init__(self, name: str) -> None:
        self.name, self.begin = name, time.perf_counter()
        self.stage: tuple[str, Callable[[], int]] = (STAGES[0], int)
        self.going = threading.Lock()
        self.going.acquire()
        # A system that grants no thread, or a process that ends, is not told.
        with suppress(RuntimeError):
            threading.Thread(target=self._tell, daemon=True).start()

    def __str__(self) -> str:
        stage, size = self.stage
        count, seconds = size(), time.perf_counter() - self.begin
        advice = _ADVICE if count > _LARGE else _OTHER_ADVICE.get(stage)
        text = f"jitad: {self.name} is being {stage}, {count:,} operations"
        return f"{text}, for {seconds:.0f} s" + (f"; {advice}" if advice else "")

    def _over(self, seconds: float) -> bool:
        return self.going.acquire(timeout=seconds)

    def _tell(self) -> None:
        if self._over(SECONDS):
            return
        out = sys.stderr
        if out is None:
            return
        out.write(f"{self}\n")
        out.flush()
        if not out.isatty():
            return
        with tqdm.tqdm(total=len(STAGES), unit="stage", leave=False, file=out) as bar:
            while not self._over(1.0):
                bar.n = STAGES.index(self.stage[0])
                bar.set_description(f"{self.stage[0]}, {self.stage[1]():,} operations")


_current: ContextVar[_Wait | None] = ContextVar("jitad_waiting", default=None)


@contextmanager
def watched(name: str) -> Iterator[None]:
    """Tell of what takes long inside, and let it take less; of the outermost only."""
    if _current.get() is not None:
        yield
        return
    wait = _Wait(name)
    token = _current.set(wait)
    try:
        with _uncollected():
            yield
    finally:
        _current.reset(token)
        wait.going.release()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let Python not look for cycles in graphs that grow: it would again and again."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    _paused.add(threading.get_ident())
    try:
        yield
    finally:
        _paused.discard(threading.get_ident())
        gc.enable()


# The threads that let Python's collector wait; a forked child has only its own.
_paused: set[int] = set()


def _forked() -> None:
    if _paused and threading.get_ident() not in _paused:
        _paused.clear()
        gc.enable()


after_forks(_forked)


@contextmanager
def stage(name: str, size: Callable[[], int]) -> Iterator[None]:
    """Say that one of STAGES begins; size gives the operations there are by now."""
    wait = _current.get()
    if wait is None:
        yield
        return
    before, wait.stage = wait.stage, (name, size)
    try:
        yield
    finally:
        wait.stage = before


def interruptibly(work: Callable[[Any], Any], given: Any) -> Any:
    """work(given), such that an interrupt ends the wait for it at once.

    For what keeps to machine code for long, in which Python's handlers of signals do
    not run.  They run in the main thread: what it waits for is done by another, which
    goes on after an interrupt, for nobody.
    """
    if threading.current_thread() is not threading.main_thread():
        return work(given)
    found: list[Any] = []
    failed: list[BaseException] = []
    # Not by join, after whose interrupt the process would end without the thread.
    working = threading.Lock()

    def run() -> None:
        try:
            found.append(work(given))
        except BaseException as error:
            failed.append(error)
        finally:
            working.release()

    working.acquire()
    try:
        threading.Thread(target=run).start()
    except RuntimeError:  # no thread is granted: here, then
        run()
    working.acquire()
    if failed:
        raise failed[0]
    return found[0]
