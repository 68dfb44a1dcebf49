"""Where in the user's own code we are, for errors and for the lines of a graph."""

from __future__ import annotations

import dis
import functools
import sys
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

import numpy as np

PACKAGE = str(Path(__file__).resolve().parent.parent)
NUMPY = str(Path(np.__file__).resolve().parent)
_SCIPY = find_spec("scipy")
assert _SCIPY is not None and _SCIPY.origin is not None
SCIPY = str(Path(_SCIPY.origin).resolve().parent)
OF_SCIPY = (
    "SciPy's functions, but those of scipy.special, take no traced values; use "
    "NumPy's, such as those of np.linalg, or make yours known by jitad.primitive"
)
# What is cached is called by way of functools.
_SKIP = (PACKAGE, NUMPY, SCIPY, functools.__file__, "<frozen", "<__array")


@functools.lru_cache(maxsize=4096)
def foreign(filename: str) -> bool:
    """Whether a file is jitad's or one of its libraries', and not the user's."""
    return filename.startswith(_SKIP)


def source_line(ours: int = 0) -> str:
    """The user's line that runs now, as file:line.

    ours  the callers known not to be the user's, which are not looked at: that is slow
    """
    frame = sys._getframe(1 + ours)
    while frame is not None and foreign(frame.f_code.co_filename):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""


def raising_line(error: BaseException) -> str:
    """The user's innermost line that an error came through, as file:line."""
    line, step = "", error.__traceback__
    while step is not None:
        name = step.tb_frame.f_code.co_filename
        if not foreign(name):
            line = f"{name}:{step.tb_lineno}"
        step = step.tb_next
    return line


def draws() -> set[str]:
    """How the user's line, which runs now, asks NumPy's generators for numbers."""
    frame = sys._getframe(1)
    while frame is not None and foreign(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return set()
    asked = {
        str(i.argval)
        for i in dis.get_instructions(frame.f_code)
        if i.opname in ("LOAD_METHOD", "LOAD_ATTR")
        and i.positions is not None
        and i.positions.lineno == frame.f_lineno
    }
    # How NumPy's generators are asked for numbers.
    known = {k for k in dir(np.random.RandomState) if not k.startswith(("_", "get"))}
    return asked & known


def called(frame: FrameType) -> set[str]:
    """The names in what a frame calls now, functions by their own: {"np", "sin"}."""
    steps = list(dis.get_instructions(frame.f_code))
    (now,) = [i for i in steps if i.offset == frame.f_lasti]
    if "CALL" not in now.opname:
        return set()
    names = [i.argval for i in steps if _start(i) == _start(now)]
    names = [n for n in names if type(n) is str]
    values = [frame.f_locals.get(n, frame.f_globals.get(n)) for n in names]
    return {*names, *[getattr(v, "__name__", "") for v in values]}


def _start(step: dis.Instruction) -> tuple[int | None, int | None, int | None]:
    """Where the source of an instruction begins; of an unknown place, itself."""
    found = step.positions
    if found is None or found.col_offset is None:
        return None, None, step.offset
    return found.lineno, found.col_offset, None


class Origin(NamedTuple):
    """Where an error comes from: a code, the user's or not, that says raise or not."""

    code: CodeType | None
    user: bool
    deliberate: bool


def origin(error: BaseException) -> Origin:
    """The innermost code that an error came through."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    if step is None:
        return Origin(None, False, False)
    code = step.tb_frame.f_code
    # What NumPy's C code raises ends in the frame that called it, too.
    raised = code.co_code[step.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    ours = code.co_filename.startswith(PACKAGE)
    return Origin(code, not foreign(code.co_filename), raised and ours)
