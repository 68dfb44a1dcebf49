"""The mathematical functions of this machine: which to call for which word.

Vector functions come from glibc's libmvec where the C library has it, the rest from
the scalar C library, lane by lane; three special functions from SciPy's ufuncs.  The
exponential function, and sine and cosine of float64, are our own where the processor
fuses multiply and add (see `lowering.emit_series`).

Measured against mpmath (glibc 2.36, all vector widths, both dtypes, 20,000 points
each from the least denormal to the largest number), in units of the last place: cos
1.3 (3.3 where it is libmvec's), sin 1.3 (3.0), exp 1.0 (2.6), expm1 2.8, asin 2.8,
atan2 2.2, acosh 2.2, everything else below 2.1; lane by lane cbrt 3.1, erfc 2.4,
lgamma 4.1 (near its zeros), the others below 2.  Infinities, NaN, zeros and denormals
are as NumPy has them.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType

import llvmlite.binding as llvm
import numpy as np

from jitad.late import late

_ufuncs = late("scipy.special._ufuncs")

_UNARY = (
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "cbrt"),
    *("sin", "cos", "tan", "asin", "acos", "atan"),
    *("sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
    *("erf", "erfc", "lgamma"),
)
_BINARY = ("pow", "atan2", "hypot", "fmod", "nextafter")
_ARITY: Mapping[str, int] = MappingProxyType(
    dict.fromkeys(_UNARY, 1) | dict.fromkeys(_BINARY, 2)
)
_UFUNCS: Mapping[str, str] = MappingProxyType(
    {"erfinv": "erfinv", "digamma": "psi", "zeta": "_zeta"}
)
_CODES: Mapping[str, str] = MappingProxyType({"float64": "d", "float32": "f"})
# Of libmvec, but not accurate enough: 3.6 and 4.0 units of the last place in float32,
# and the derivative of tan squares it.
_INACCURATE = frozenset(
    {
        *(("log", "float32"), ("erf", "float32"), ("cbrt", "float32")),
        *(("tan", "float32"), ("tan", "float64")),
    }
)
_C_LIBRARIES = ("libm.so.6", "libSystem.dylib", None)


@cache
def _c_library() -> ctypes.CDLL:
    for name in _C_LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise OSError("expected a C library with mathematical functions, found none")


@cache
def _vector_library() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libmvec.so.1")
    except OSError:
        return None


def has_vector_library() -> bool:
    """Whether the C library computes functions on whole vectors."""
    return _vector_library() is not None


def _address(library: ctypes.CDLL, name: str) -> int | None:
    try:
        function = getattr(library, name)
    except AttributeError:
        return None
    return ctypes.cast(function, ctypes.c_void_p).value


@cache
def scalar_functions() -> Mapping[tuple[str, str], str]:
    """(word, dtype name) -> symbol of a C function, made known to LLVM."""
    found = {}
    for word in _ARITY:
        for dtype, ending in (("float64", ""), ("float32", "f")):
            address = _address(_c_library(), word + ending)
            if address is not None:
                symbol = f"jitad.{word}{ending}"
                llvm.add_symbol(symbol, address)
                found[word, dtype] = symbol
    return MappingProxyType(found)


@cache
def vector_functions(vector_bytes: int) -> Mapping[tuple[str, str, int], str]:
    """(word, dtype name, lanes) -> symbol of a vector function that fits a register."""
    library = _vector_library()
    found: dict[tuple[str, str, int], str] = {}
    if library is None:
        return MappingProxyType(found)
    for isa, size in (("b", 16), ("d", 32), ("e", 64)):
        if size > vector_bytes:
            continue
        for word, arity in _ARITY.items():
            for dtype, ending in (("float64", ""), ("float32", "f")):
                if (word, dtype) in _INACCURATE:
                    continue
                count = size // np.dtype(dtype).itemsize
                symbol = f"_ZGV{isa}N{count}{'v' * arity}_{word}{ending}"
                address = _address(library, symbol)
                if address is not None:
                    llvm.add_symbol(symbol, address)
                    found[word, dtype, count] = symbol
    return MappingProxyType(found)


class _UFunc(ctypes.Structure):
    """The head of NumPy's PyUFuncObject, stable since NumPy 1.0."""

    _fields_ = [
        ("head", ctypes.c_ssize_t * 2),
        ("counts", ctypes.c_int * 4),
        ("loops", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
    ]


class InnerLoops(Mapping[tuple[str, str], tuple[str, int]]):
    """(word, dtype name) -> symbol and data of the inner loop of a SciPy ufunc."""

    def __getitem__(self, key: tuple[str, str]) -> tuple[str, int]:
        if key[0] not in _UFUNCS or key[1] not in _CODES:
            raise KeyError(key)
        return _inner_loop(*key)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return itertools.product(_UFUNCS, _CODES)

    def __len__(self) -> int:
        return len(_UFUNCS) * len(_CODES)


@cache
def _inner_loop(word: str, dtype: str) -> tuple[str, int]:
    ufunc, code = getattr(_ufuncs, _UFUNCS[word]), _CODES[dtype]
    layout = _UFunc.from_address(id(ufunc))
    k = ufunc.types.index(f"{code * ufunc.nin}->{code}")
    symbol = f"jitad.{word}.{dtype}"
    llvm.add_symbol(symbol, layout.loops[k])
    return symbol, layout.data[k] or 0
