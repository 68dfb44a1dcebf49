"""The mathematical functions of this machine: which to call for which word.

Vector functions come from glibc's libmvec where the C library has it, the rest from
the scalar C library, lane by lane; five special functions from SciPy's ufuncs.  The
exponential function, and sine and cosine of float64, are our own where the processor
fuses multiply and add (see `llvm.series`).

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
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import TypeVar

import llvmlite.binding as llvm
import numpy as np

from jitad.lowering.words import WORDS
from jitad.process.late import late

from . import simd

_ufuncs = late("scipy.special._ufuncs")

_LIBRARY = {name: word for name, word in WORDS.items() if word.library}
_UFUNCS = {name: word.ufunc for name, word in WORDS.items() if word.ufunc}
_ENDINGS: Mapping[str, str] = MappingProxyType({"float64": "", "float32": "f"})
_CODES: Mapping[str, str] = MappingProxyType({"float64": "d", "float32": "f"})
# Of libmvec, but not accurate enough: 3.6 and 4.0 units of the last place in float32,
# and the derivative of tan squares it.
_INACCURATE = frozenset(
    {
        *(("log", "float32"), ("erf", "float32"), ("cbrt", "float32")),
        *(("tan", "float32"), ("tan", "float64")),
    }
)
# How symbols of the scalar and of the vector library begin, as LLVM knows them.
_SCALAR, _VECTOR = "jitad.", "_ZGV"
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


Key = TypeVar("Key", bound=tuple)
Found = TypeVar("Found")


class _Table(Mapping[Key, Found]):
    """The functions of a library, each looked up, and told to LLVM, when asked for."""

    def __init__(self, keys: Iterable[Key], find: Callable[..., Found | None]) -> None:
        self._keys, self._find = frozenset(keys), find

    def __getitem__(self, key: Key) -> Found:
        found = self._find(*key) if key in self._keys else None
        if found is None:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[Key]:
        return (key for key in sorted(self._keys) if key in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@cache
def scalar_functions() -> Mapping[tuple[str, str], str]:
    """(word, dtype name) -> symbol of a C function, made known to LLVM."""
    return _Table(itertools.product(_LIBRARY, _ENDINGS), _scalar_function)


@cache
def _scalar_function(word: str, dtype: str) -> str | None:
    name = _LIBRARY[word].library + _ENDINGS[dtype]
    return _known(_SCALAR + name, _address(_c_library(), name))


@cache
def vector_functions(vector_bytes: int) -> Mapping[tuple[str, str, int], str]:
    """(word, dtype name, lanes) -> symbol of a vector function that fits a register."""
    rows = simd.of_processor().items()
    sizes = [size for size, row in rows if row.letter and size <= vector_bytes]
    keys = [
        (word, dtype, size // np.dtype(dtype).itemsize)
        for word, dtype, size in itertools.product(_LIBRARY, _ENDINGS, sizes)
        if (word, dtype) not in _INACCURATE
    ]
    return _Table(keys if has_vector_library() else (), _vector_function)


@cache
def _vector_function(word: str, dtype: str, count: int) -> str | None:
    register = simd.of_processor()[count * np.dtype(dtype).itemsize].letter
    row, ending = _LIBRARY[word], _ENDINGS[dtype]
    operands = "v" * row.operands
    symbol = f"{_VECTOR}{register}N{count}{operands}_{row.library}{ending}"
    library = _vector_library()
    assert library is not None
    return _known(symbol, _address(library, symbol))


def _known(symbol: str, address: int | None) -> str | None:
    """The symbol, told to LLVM; None where nothing is there."""
    if address is None:
        return None
    llvm.add_symbol(symbol, address)
    return symbol


class _UFunc(ctypes.Structure):
    """The head of NumPy's PyUFuncObject, stable since NumPy 1.0."""

    _fields_ = [
        ("head", ctypes.c_ssize_t * 2),
        ("counts", ctypes.c_int * 4),
        ("loops", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
    ]


@cache
def inner_loops() -> Mapping[tuple[str, str], tuple[str, str]]:
    """(word, dtype name) -> symbol of the inner loop of a SciPy ufunc, and its data.

    The latter as LLVM has it: a symbol, too.
    """
    return _Table(itertools.product(_UFUNCS, _CODES), _inner_loop)


@cache
def _inner_loop(word: str, dtype: str) -> tuple[str, str]:
    ufunc, code = getattr(_ufuncs, _UFUNCS[word]), _CODES[dtype]
    layout = _UFunc.from_address(id(ufunc))
    k = ufunc.types.index(f"{code * ufunc.nin}->{code}")
    symbol = f"{_SCALAR}{word}.{dtype}"
    llvm.add_symbol(symbol, layout.loops[k])
    data = _known(f"{symbol}.data", layout.data[k])
    return symbol, f"@{data}" if data else "null"


def tell(symbol: str) -> None:
    """Let LLVM know a function of these libraries; of others nothing is done."""
    if symbol.startswith(_VECTOR) and has_vector_library():
        library = _vector_library()
        assert library is not None
        _known(symbol, _address(library, symbol))
    elif symbol.startswith(_SCALAR):
        name, _, dtype = symbol.removeprefix(_SCALAR).partition(".")
        if dtype:
            loop = name, dtype.removesuffix(".data")
            if loop in inner_loops():
                inner_loops()[loop]
        elif {name, name.removesuffix("f")} & {w.library for w in _LIBRARY.values()}:
            _known(symbol, _address(_c_library(), name))
