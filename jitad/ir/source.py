"""Where in the user's own code we are, for errors and for the lines of a graph."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import numpy as np
import scipy

PACKAGE = str(Path(__file__).resolve().parent.parent)
NUMPY = str(Path(np.__file__).resolve().parent)
SCIPY = str(Path(scipy.__file__).resolve().parent)
# What is cached is called by way of functools.
_SKIP = (PACKAGE, NUMPY, SCIPY, functools.__file__, "<frozen", "<__array")


def foreign(filename: str) -> bool:
    """Whether a file is jitad's or one of its libraries', and not the user's."""
    return filename.startswith(_SKIP)


def source_line() -> str:
    """The user's line that runs now, as file:line."""
    frame = sys._getframe(1)
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
