"""Errors that NumPy raises at some points only, where the user's code handles them.

A compiled function cannot raise at one point and go on at another.  Where a `try`
around a call would catch what NumPy raises, the failure is a branch like any other: a
path on which the error is raised, so that the handler runs (see `ir.fork`).  Where
nothing would catch it no path is opened, and the value is what it is: NaN.

What a handler catches is read off the bytecode of the frames around the call.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any, NamedTuple

from jitad.errors import TracingError

from .source import PACKAGE, foreign, source_line
from .trace import BOUNDS, CALL, running
from .tracer import innermost


def fail_where(test: Callable[[], Any], error: Exception) -> None:
    """Raise error on a path where test() holds, if the user's code handles it.

    Raises TracingError where only a handler outside of a loop's, branch's or mapped
    function's code would catch it.
    """
    own, outer = _frames()
    caught = [_catches(f, error) for f in own]
    if any(c is not False for c in caught):
        place = tuple([(f.f_code, f.f_lasti) for f in own])
        failed = test()
        trace = innermost([failed])
        if trace.path.fails(trace, failed.index, (place, any(caught)), error):
            raise error
        return
    if any(_catches(f, error) for f in outer):
        raise TracingError(
            f"{type(error).__name__}({error}) may be raised at {source_line()}, inside "
            "a function that is called by a loop, a branch or another function of "
            "jitad's, and the handler is outside of that; expected them together: put "
            "the try inside"
        )


def _frames() -> tuple[list[FrameType], list[FrameType]]:
    """The user's frames around a call: of one function of his, and around that.

    What is outside of all traces is no part of any function.
    """
    own: list[FrameType] = []
    outer: list[FrameType] = []
    frame: FrameType | None = sys._getframe(1)
    found, left = own, len(running())
    while frame is not None and left:
        left -= frame.f_code is CALL
        name = frame.f_code.co_filename
        if not foreign(name):
            found.append(frame)
        elif name.startswith(PACKAGE) and (own or frame.f_code in BOUNDS):
            found = outer
        frame = frame.f_back
    return own, outer


# -- what a handler catches ----------------------------------------------------


class _Entry(NamedTuple):
    """A part of a code, and where an exception raised there goes."""

    start: int
    end: int
    target: int


def _catches(frame: FrameType, error: Exception) -> bool | None:
    """Whether a frame would catch an error raised where it is now; None: perhaps."""
    entries, seen, place = list(_entries(frame.f_code)), set(), frame.f_lasti
    while True:
        found = [e.target for e in entries if e.start <= place < e.end]
        if not found or found[-1] in seen:
            return False
        seen.add(found[-1])
        caught, place = _handler(frame, found[-1], error)
        if caught is not False:
            return caught


def _entries(code: CodeType) -> Iterator[_Entry]:
    """The exception table of a code, in bytes (CPython's exception_handling_notes)."""
    left = iter(code.co_exceptiontable)

    def number() -> int | None:
        byte = next(left, None)
        if byte is None:
            return None
        value = byte & 63
        while byte & 64:
            byte = next(left)
            value = value << 6 | byte & 63
        return value

    while (start := number()) is not None:
        length, target, _ = number(), number(), number()
        assert length is not None and target is not None
        yield _Entry(2 * start, 2 * (start + length), 2 * target)


def _handler(frame: FrameType, target: int, error: Exception) -> tuple[Any, int]:
    """Whether a handler catches an error, and where it raises it again if not."""
    stack: list[Any] = []
    skip, clears = 0, False
    for step in dis.get_instructions(frame.f_code):
        if step.offset < max(target, skip):
            continue
        name = step.opname
        if step.offset == target and name != "PUSH_EXC_INFO":
            clears = True  # away what an expression or a handler left, and no more
        if clears and name != "RERAISE":
            continue
        if name == "WITH_EXCEPT_START":
            return None, step.offset
        if name == "RERAISE":
            return False, step.offset
        if name == "POP_TOP" and not stack:
            return True, step.offset
        if name == "CHECK_EXC_MATCH":
            if isinstance(error, stack.pop()):
                return True, step.offset
        elif name.startswith("POP_JUMP"):
            skip = step.argval
        elif name in ("LOAD_ATTR", "LOAD_METHOD"):
            stack.append(getattr(stack.pop(), step.argval))
        elif name == "BUILD_TUPLE":
            count = step.arg or 0
            stack[len(stack) - count :] = [tuple(stack[len(stack) - count :])]
        elif name.startswith("LOAD_") and isinstance(step.argval, str):
            stack.append(_named(frame, step.argval))
        elif name not in _SILENT:
            # A finally clause, or one that computes what it catches.
            return None, step.offset
    return False, -1


_SILENT = {"PUSH_EXC_INFO", "NOP", "CACHE", "EXTENDED_ARG", "NOT_TAKEN", "PUSH_NULL"}


def _named(frame: FrameType, name: str) -> Any:
    for names in (frame.f_locals, frame.f_globals, frame.f_builtins):
        if name in names:
            return names[name]
    return ()
