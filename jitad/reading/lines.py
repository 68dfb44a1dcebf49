"""The user's lines: what a function that is read does, it does from a frame of its own.

Errors, tracebacks and the nodes of a graph name the user's line by the frames that are
running.  A function that is read has none; `standing` gives each of its lines one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import FunctionType
from typing import Any

from jitad.errors import UnsupportedError
from jitad.ir.source import source_line


@lru_cache(maxsize=4096)
def standing(file: str, line: int, name: str) -> Callable[[Callable[[], Any]], Any]:
    """A function that calls another one from this line of the user's."""
    code = _CODE.replace(co_filename=file, co_firstlineno=line, co_name=name)
    return FunctionType(code, {}, name)


# All of it on one line, whose number can be any other's.
_CODE = (lambda action: action()).__code__


def refuse(what: str, remedy: str) -> UnsupportedError:
    """The error for what is not read, at the user's line."""
    return UnsupportedError(f"{what} is not read ({source_line()}); {remedy}")
