"""Machine code for this processor that is kept on disk, so that it is compiled once.

Code is kept by whatever it is made of: a graph, or LLVM text (`linked`).  It calls
functions by their names, never by their addresses, which each process has of its own;
code that calls what this process does not know is none.
"""

from __future__ import annotations

import ctypes
import re
from functools import cache
from typing import Any, NamedTuple

import llvmlite
import llvmlite.binding as llvm

from jitad.kept import entries, graphs
from jitad.kept.stamp import stamp

from . import link

# They begin with what can be searched for quickly, in a text after a line's end.
_DECLARED = re.compile(r"\ndeclare [^@\n]*@(?!llvm\.)([\w.$]+)\(")
_DATA = re.compile(r"\n@([\w.$]+) = external ")


class Object(NamedTuple):
    """Object code, the functions that it calls, and plain data beside it."""

    code: bytes
    called: tuple[str, ...]
    beside: Any = None

    @property
    def complete(self) -> bool:
        """Whether this process knows all that the code calls."""
        return all(map(_is_known, self.called))


def _is_known(symbol: str) -> bool:
    """Whether LLVM has been told a symbol, or will find it in what is loaded."""
    told = llvm.address_of_symbol(symbol) is not None
    return told or hasattr(ctypes.pythonapi, symbol)


def name(*parts: bytes) -> str | None:
    """The name of code that depends on this; None where none can be kept."""
    found = _machine()
    return None if found is None else entries.digest(found, *parts)


def called(text: str) -> tuple[str, ...]:
    """The functions that LLVM text calls and does not define."""
    lines = f"\n{text}"
    declared = [(n, f"@{n}(") for n in _DECLARED.findall(lines)]
    found = [n for n, call in declared if text.rfind(call) > text.find(call)]
    return (*found, *_DATA.findall(lines))


def made(text: str, beside: Any = None) -> Object:
    """The object code of LLVM text."""
    return Object(link.object_code(text), called(text), beside)


def read(key: str | None) -> Object | None:
    """The code of this name, if it is kept."""
    found = key and entries.read(entries.folder_of(entries.KERNELS), key)
    return Object(*graphs.from_bytes(found)) if found else None


def keep(key: str | None, code: Object) -> None:
    """Keep code under a name."""
    if key:
        payload = graphs.to_bytes(tuple(code))
        entries.add(entries.folder_of(entries.KERNELS), key, payload)


def linked(text: str) -> link.Library:
    """As `link.link`; the text, in which there are no addresses, is compiled once."""
    key = name(text.encode())
    found = read(key)
    if not found or not found.complete:
        found = made(text)
        keep(key, found)
    return link.load(found.code)


@cache
def _machine() -> bytes | None:
    """All that code depends on beside what it is made of."""
    made_by = stamp()
    if made_by is None:
        return None
    features = llvm.get_host_cpu_features().flatten()
    processor = llvm.get_process_triple(), llvm.get_host_cpu_name(), features
    compiler = llvmlite.__version__, llvm.llvm_version_info
    return made_by + repr((*processor, *compiler)).encode()
