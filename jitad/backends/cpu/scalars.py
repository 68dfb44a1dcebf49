"""Scalar functions that the user compiled with Numba, for kernels to call lane by lane.

`define` notes a function under a word.  `Scalars` is a target's table of functions on
one lane: the C library's, and those, compiled for a dtype when a kernel first asks.
`apply` runs the same machine code over arrays, so that NumPy sees the same bits.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from jitad.errors import UnsupportedError
from jitad.lowering.llvm.target import register_type
from jitad.process import locks
from jitad.process.late import imported, late

from . import link

numba, types = late("numba"), late("numba.core.types")
dispatcher, errors = late("numba.core.dispatcher"), late("numba.core.errors")

_serial = itertools.count()
# What a lane is in LLVM, by the names of Numba's types.
_RESULTS = {
    "float64": "double", "float32": "float", "int64": "i64", "int32": "i32",
    "bool": "i8",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Functions:
    """The functions by word; filled by `define`, never emptied."""

    by_word: dict[str, tuple[Any, int]] = field(default_factory=dict)


_functions = _Functions()


def _forked() -> None:
    """A thread of the parent, which the child does not have, may compile for long.

    Then it holds Numba's lock, and perhaps those of what it was at.
    """
    module = sys.modules.get("numba.core.compiler_lock")
    lock = getattr(module, "global_compiler_lock", None)
    if lock is None or lock.is_locked():
        return
    if lock._lock.acquire(blocking=False):
        lock._lock.release()
        return
    lock._lock = threading.RLock()
    known = sys.modules.get("numba.core.registry")
    if known is not None:
        context = known.cpu_target.typing_context
        context.callstack = type(context.callstack)()
    for made in _cached_properties("numba."):
        for name in {"lock", "_lock"} & {*vars(made)}:
            setattr(made, name, threading.RLock())


def _cached_properties(package: str) -> Iterator[functools.cached_property]:
    """Those of modules that are imported: many compute under a lock."""
    found = [m for name, m in sys.modules.items() if name.startswith(package) and m]
    for module in found:
        for kind in list(vars(module).values()):
            every = list(vars(kind).values()) if isinstance(kind, type) else []
            yield from (x for x in every if isinstance(x, functools.cached_property))


locks.after_forks(_forked)


def is_compiled(function: Any) -> bool:
    """Whether function is one of Numba's: an @njit function."""
    known = imported("numba.core.dispatcher")
    return known and isinstance(function, dispatcher.Dispatcher)


def original(function: Any) -> Callable[..., Any]:
    """The Python function that Numba compiles."""
    return function.py_func


def define(name: str, function: Any, arity: int) -> str:
    """The new word by which kernels call an @njit function of `arity` floats."""
    word = f"{name}.{next(_serial)}"
    _functions.by_word[word] = function, arity
    return word


class Scalars(Mapping[tuple[str, str], str]):
    """(word, dtype name) -> symbol of a function on one lane, known to LLVM."""

    def __init__(self, library: Mapping[tuple[str, str], str]) -> None:
        self._library = library

    def __getitem__(self, key: tuple[str, str]) -> str:
        if key in self._library or key[0] not in _functions.by_word:
            return self._library[key]
        return _symbol(*key)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._library)

    def __len__(self) -> int:
        return len(self._library)


def apply(word: str, operands: Sequence[Any], dtype: np.dtype) -> np.ndarray:
    """The function of a word on arrays, broadcast and converted to dtype."""
    arrays = np.broadcast_arrays(*operands)
    packed = [np.ascontiguousarray(a, dtype) for a in arrays]
    result = np.empty(arrays[0].shape, dtype)
    places = [a.ctypes.data for a in (result, *packed)]
    _loop(word, dtype.name)(*places, result.size)
    return result


@cache
def _symbol(word: str, dtype: str) -> str:
    """Compile for a dtype; the symbol of a C function, NaN where Numba's raises."""
    result = native(word, dtype)
    entry = result.library.get_pointer_to_function(result.fndesc.llvm_func_name)
    name = f"jitad.{word}.{dtype}.{next(_serial)}"
    text = lane(name, result, f"inttoptr (i64 {entry} to ptr)", dtype)
    link.shared(text, name)
    return name


def lane(name: str, result: Any, callee: str, dtype: str) -> str:
    """LLVM text: name(numbers) -> number, by what is `native`, NaN where that raises.

    callee  its function, as LLVM has it
    """
    kind = register_type(np.dtype(dtype))
    arity = len(result.signature.args)
    returned = _RESULTS[str(result.signature.return_type)]
    parameters = "".join(f", {kind} %x{k}" for k in range(arity))
    # Numba's convention: status f(result *, exception **, arguments …).
    lines = [
        f"define {kind} @{name}({parameters[2:]}) {{",
        f"  %place = alloca {returned}",
        "  %raised = alloca ptr",
        f"  %status = call i32 {callee}(ptr %place, ptr %raised{parameters})",
        f"  %value = load {returned}, ptr %place",
        *_converted(returned, kind),
        "  %ok = icmp eq i32 %status, 0",
        # A NaN, quiet, in either type.
        f"  %y = select i1 %ok, {kind} %result, {kind} 0x7FF8000000000000",
        f"  ret {kind} %y",
        "}",
    ]
    return "\n".join(lines)


def native(word: str, dtype: str) -> Any:
    """What Numba compiled of a word for a dtype: a CompileResult."""
    function, arity = _functions.by_word[word]
    signature = (getattr(types, dtype),) * arity
    name = function.__name__
    try:
        # A dispatcher of our own: what the user's has compiled stays as it was.
        options = {**function.targetoptions, "nopython": True, "parallel": False}
        own: Any = numba.jit(**options)(function.py_func)
        own.compile(signature)
    except errors.NumbaError as error:
        raise UnsupportedError(
            f"Numba cannot compile {name} for {arity} arguments of {dtype}: {error}\n"
            "expected an @njit function of floats that returns a float"
        ) from error
    result = own.overloads[signature]
    if str(result.signature.return_type) not in _RESULTS:
        raise UnsupportedError(
            f"{name} of {dtype} returns {result.signature.return_type}; expected a "
            "float: return one number of the type of its arguments"
        )
    return result


def _converted(source: str, lane: str) -> list[str]:
    """%value of what Numba returned -> %result of the lane's type."""
    if source == lane:
        return [f"  %result = select i1 true, {lane} %value, {lane} %value"]
    if source.startswith("i"):
        conversion = "uitofp" if source == "i8" else "sitofp"
    else:
        conversion = "fpext" if lane == "double" else "fptrunc"
    return [f"  %result = {conversion} {source} %value to {lane}"]


@cache
def _loop(word: str, dtype: str) -> Callable[..., None]:
    """loop(result, operands …, count), the function on every element."""
    _, arity = _functions.by_word[word]
    symbol, lane = _symbol(word, dtype), register_type(np.dtype(dtype))
    places = "".join(f", ptr %a{k}" for k in range(arity))
    types_ = ", ".join([lane] * arity)
    given = ", ".join(f"{lane} %x{k}" for k in range(arity))
    loads = [
        line
        for k in range(arity)
        for line in (
            f"  %p{k} = getelementptr {lane}, ptr %a{k}, i64 %i",
            f"  %x{k} = load {lane}, ptr %p{k}",
        )
    ]
    text = [
        f"declare {lane} @{symbol}({types_})",
        f"define void @loop(ptr %y{places}, i64 %n) {{",
        "entry:",
        "  br label %test",
        "test:",
        "  %i = phi i64 [0, %entry], [%next, %body]",
        "  %more = icmp slt i64 %i, %n",
        "  br i1 %more, label %body, label %exit",
        "body:",
        *loads,
        f"  %v = call {lane} @{symbol}({given})",
        f"  %p = getelementptr {lane}, ptr %y, i64 %i",
        f"  store {lane} %v, ptr %p",
        "  %next = add i64 %i, 1",
        "  br label %test",
        "exit:",
        "  ret void",
        "}",
    ]
    kinds = (None, *[ctypes.c_void_p] * (1 + arity), ctypes.c_int64)
    return link.link("\n".join(text)).function("loop", ctypes.CFUNCTYPE(*kinds))
