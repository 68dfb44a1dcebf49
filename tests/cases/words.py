"""Every scalar word by its operands, kernels of them, and numbers at their edges."""

from __future__ import annotations

from functools import cache

import numpy as np

from jitad.backends.cpu import executable as cpu
from jitad.backends.cpu import simd
from jitad.ir.graph import INTEGERS
from jitad.lowering.kernel import Buffer, Kernel
from jitad.lowering.statements import Load, Op, Store
from tests.support.kernels import run

F8, F4, I8, I4 = (np.dtype(t) for t in ("f8", "f4", "i8", "i4"))
BOOL = np.dtype(bool)
FLOATS, INTS = (F8, F4), INTEGERS
EVERY = (*FLOATS, *INTS, BOOL)
TARGETS = {
    "widest": cpu.host(),
    **{str(width): cpu.target(width) for width in simd.widths()[1:]},
    "lane by lane": cpu.target(cpu.host().vector_bytes, vector_library=False),
}
UNARY = (
    "neg",
    "abs",
    "sqrt",
    "floor",
    "ceil",
    "trunc",
    "rint",
)
BINARY = (
    "add",
    "sub",
    "mul",
    "div",
    "copysign",
    "nextafter",
    "fmod",
)
COMPARE = (
    "lt",
    "le",
    "gt",
    "ge",
    "eq",
    "ne",
)
EXTREME = (
    "maximum",
    "minimum",
    "fmax",
    "fmin",
)
TESTS = (
    "isnan",
    "isinf",
    "isfinite",
    "signbit",
)
FUNCTIONS = (
    *(
        "exp",
        "exp2",
        "expm1",
        "log",
        "log2",
        "log10",
        "log1p",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
    ),
    *("tanh", "asinh", "acosh", "atanh", "cbrt", "erf", "erfc", "erfinv", "digamma"),
    *("i0", "i1"),
)
FUNCTIONS_2 = (
    "pow",
    "atan2",
    "hypot",
    "zeta",
)
LOGIC = (
    "and",
    "or",
    "xor",
)
INTEGER = (
    "add",
    "sub",
    "mul",
    "floor_divide",
    "mod",
    "maximum",
    "minimum",
    "left_shift",
    "right_shift",
)


def table(words: tuple[str, ...], given: tuple[np.dtype, ...], made) -> Kernel:
    """A kernel that computes every word on the same operands."""
    buffers = [
        Buffer(f"x{i}", d, 1, (0,), "streams", False) for i, d in enumerate(given)
    ]
    body: list = [Load(i, i, 0, d) for i, d in enumerate(given)]
    for k, word in enumerate(words):
        buffers.append(Buffer(f"y{k}", made, 1, (0,), "streams", True))
        body.append(Op(100 + k, word, tuple(range(len(given))), made))
        body.append(Store(len(given) + k, 0, 100 + k))
    return Kernel(tuple(buffers), 1, tuple(body))


@cache
def compiled(words, given, made, target):
    return cpu.compile(table(words, given, made), TARGETS[target])


def special(dtype: np.dtype) -> np.ndarray:
    info = np.finfo(dtype)
    values = [0, 0.5, 1, 1.5, 2, 2.5, 3, 1e5, 1e17, np.inf, np.nan, np.pi]
    values += [info.max, info.tiny, info.smallest_subnormal, info.eps, 0.1, 700]
    positive = np.array(values, dtype)
    return np.concatenate([positive, -positive])


def pairs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.meshgrid(values, values)
    return a.ravel(), b.ravel()


def integers(dtype: np.dtype) -> np.ndarray:
    """Small integers, bits of numbers of every width, and both ends."""
    info = np.iinfo(dtype)
    x = [0, 1, 2, 3, 7, -1, -2, -3, -7, info.max, info.min, 1000, 31, 32, 63, 64]
    return np.array([int(v) % 2**64 for v in x], np.uint64).astype(dtype)


def casts(given: np.dtype, dtypes: tuple[np.dtype, ...]) -> Kernel:
    """A kernel that converts a number to each of many dtypes."""
    buffers = [Buffer("x", given, 1, (0,), "streams", False)]
    body: list = [Load(0, 0, 0, given)]
    for k, made in enumerate(dtypes, 1):
        buffers.append(Buffer(f"y{k}", made, 1, (0,), "streams", True))
        body += [Op(k, "cast", (0,), made), Store(k, 0, k)]
    return Kernel(tuple(buffers), 1, tuple(body))


def convertible(dtype: np.dtype) -> np.ndarray:
    """Numbers that fit and that do not, but NaN: that differs from place to place."""
    if dtype.kind == "f":
        numbers = [0.0, -0.0, 0.4, 0.9, 1, -1.5, -7.9, 1e4, -1e4, 3.7e8]
        some = special(dtype)
        x = np.concatenate([numbers, EDGES, np.negative(EDGES)]).astype(dtype)
        return np.concatenate([x, some[~np.isnan(some)]])
    whole = np.array([(s * n) % 2**64 for n in EDGES for s in (1, -1)], np.uint64)
    return np.concatenate([whole, np.arange(10, dtype=np.uint64)]).astype(dtype)


EDGES = [2**k + d for k in (7, 8, 15, 16, 31, 32, 63) for d in (-1, 0, 1)]


def check_casts(kernel: Kernel, executable) -> None:
    x = convertible(kernel.buffers[0].dtype)
    got = run(kernel, (len(x),), [x[:, None]], executable)
    for y in got:
        with np.errstate(all="ignore"):
            want = x.astype(y.dtype)
        assert np.array_equal(y[:, 0], want), y.dtype
        zeros = want == 0
        assert (np.signbit(y[zeros, 0]) == np.signbit(want[zeros])).all(), y.dtype
