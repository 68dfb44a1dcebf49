"""Functions whose loops are read instead of run, found while they are traced.

A loop of Python's runs as often as it says, and each of its operations becomes a node.
Where a trace has grown long inside of a loop, or cannot go on, it starts over, and the
function that the loop is in is handed over to the reader (see `reading.door`).  What
that cannot read is run, as always, in a trace that starts over once more.
"""

from __future__ import annotations

import dis
import gc
import inspect
import sys
from collections.abc import Collection, Iterable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from types import CodeType, FrameType, FunctionType
from typing import Any

from jitad.errors import UnsupportedError

from .source import foreign

LONG = 2_000  # nodes of a trace, from which on its loops are read
# Whether loops of functions that are read stay loops, however short they are.
loops_stay: ContextVar[bool] = ContextVar("loops_stay", default=False)

_OTHERS = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Afresh(BaseException):
    """Ends a run of a function, which starts over with what is handed over now."""

    def __init__(self, handed: Handed) -> None:
        """Whose trace it is."""
        super().__init__("a trace starts over")
        self.handed = handed


class Handed:
    """What one trace hands over to the reader.

    functions  those that are read
    refused    why others are not, by their codes
    tried      the codes of all of them
    settled    whether nobody is left to hand over when the trace grows long
    loops      by line what the reader made of loops, in words
    raises     whether results are NaN where a function that is read would raise
    """

    def __init__(self, function: Any) -> None:
        self.function = function
        self.functions: dict[FunctionType, CodeType] = {}
        self.refused: dict[CodeType, Exception] = {}
        self.tried: set[CodeType] = set()
        self.settled = False
        self.raises = False
        self.loops: dict[str, dict[str, None]] = {}

    def over(self, frames: Iterable[FrameType]) -> bool:
        """Hand over the first function that was not tried before, if there is one."""
        for frame in frames:
            code = frame.f_code
            if code in self.tried:
                continue
            self.tried.add(code)
            if (error := _unreadable(code)) is not None:
                self.refused[code] = error
                continue
            found = _functions(frame, self.function)
            if found:
                self.functions |= dict.fromkeys(found, code)
                return True
        return False

    def refuse(self, function: FunctionType, error: Exception) -> None:
        """Take back what cannot be read."""
        code = self.functions[function]
        self.refused[code] = error
        self.functions = {f: c for f, c in self.functions.items() if c is not code}

    def reasons(self) -> Iterator[str]:
        """Why loops are run and not read."""
        for code, error in self.refused.items():
            yield f"The loops of {code.co_name} were unrolled, not read: {error}"


def long(handed: Handed, bounds: Collection[CodeType]) -> None:
    """Start over, if a function runs that has a loop, is in it and can be handed over.

    Of those that run since the innermost code of bounds the outermost is taken.
    """
    frames: list[FrameType] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code not in bounds:
        frames.append(frame)
        frame = frame.f_back
    if handed.over([f for f in reversed(frames) if _in_loop(f.f_code, f.f_lasti)]):
        raise Afresh(handed)
    handed.settled = True


def failed(handed: Handed, error: BaseException, bounds: Collection[CodeType]) -> bool:
    """Whether a trace that ended in an error is to start over, a function read."""
    frames: list[FrameType] = []
    step, inside, passed = error.__traceback__, False, False
    while step is not None:
        code = step.tb_frame.f_code
        if code in bounds:
            if passed:
                break
            inside = True
        elif inside:
            passed = True  # a bound may stand there more than once in a row
            if _loops(code):
                frames.append(step.tb_frame)
        step = step.tb_next
    return handed.over(frames)


@lru_cache(maxsize=1024)
def _loops(code: CodeType) -> tuple[tuple[int, int], ...]:
    """Where a user's function has loops: from where to where in its instructions."""
    inside = code.co_varnames[:1] == (".0",) or code.co_name.startswith("<module")
    if foreign(code.co_filename) or inside or code.co_flags & _OTHERS:
        return ()
    return tuple([
        (i.argval, i.offset) for i in dis.get_instructions(code)
        if "JUMP_BACKWARD" in i.opname
    ])  # fmt: skip


# What no function that is read makes, by instructions of Python's.
_UNREAD = {
    "MAKE_FUNCTION": "a function, or a comprehension, made inside",
    "BUILD_MAP": "a dict",
    "BUILD_CONST_KEY_MAP": "a dict",
    "BUILD_SET": "a set",
}
_JUMPS = {*dis.hasjrel, *dis.hasjabs}


@lru_cache(maxsize=1024)
def _unreadable(code: CodeType) -> UnsupportedError | None:
    """Why a function cannot be read, where what is always run first says so.

    Numba, whose front end would be asked, takes a fifth of a second to be imported.
    """
    line = code.co_firstlineno
    for step in dis.get_instructions(code):
        line = getattr(step, "line_number", step.starts_line) or line  # from 3.13 on
        if step.opcode in _JUMPS:
            break
        if step.opname in _UNREAD:
            return UnsupportedError(
                f"{_UNREAD[step.opname]} is not read ({code.co_filename}:{line}); "
                "write it with numbers, tuples and arrays"
            )
    return None


def _in_loop(code: CodeType, place: int) -> bool:
    return any(first <= place <= last for first, last in _loops(code))


def _functions(frame: FrameType, outermost: Any) -> list[FunctionType]:
    """The functions that have a frame's code: the one that is traced, or a global one.

    Or one of those that the garbage collector knows, which are not all: see gc.freeze.
    """
    code, caller = frame.f_code, frame.f_back
    named: Any = frame.f_globals
    for name in code.co_qualname.split("."):
        named = named.get(name) if isinstance(named, dict) else getattr(named, name, 0)
    nearby = [] if caller is None else caller.f_locals.values()
    found = [f for f in (outermost, named, *nearby) if _has(f, code)]
    return found or [f for f in gc.get_referrers(code) if _has(f, code)]


def _has(function: Any, code: CodeType) -> bool:
    return isinstance(function, FunctionType) and function.__code__ is code
