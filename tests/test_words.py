"""Every scalar word on every kind of vector against its NumPy meaning."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from kernels import run, ulps

from jitad.backends.cpu import executable as cpu
from jitad.errors import UnsupportedError
from jitad.ir.graph import INTEGERS
from jitad.lowering.kernel import Buffer, Kernel, Load, Op, Store
from jitad.lowering.llvm.emit import emit
from jitad.lowering.words import WORDS, meaning

F8, F4, I8, I4 = (np.dtype(t) for t in ("f8", "f4", "i8", "i4"))
BOOL = np.dtype(bool)
FLOATS, INTS = (F8, F4), INTEGERS
EVERY = (*FLOATS, *INTS, BOOL)
TARGETS = {
    "64": cpu.target(min(64, cpu.host().vector_bytes)),
    "32": cpu.target(min(32, cpu.host().vector_bytes)),
    "16": cpu.target(16),
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


def check(words, operands, made, target, allowed: float) -> None:
    given = tuple(a.dtype for a in operands)
    kernel = table(words, given, made)
    got = run(
        kernel,
        (len(operands[0]),),
        [a[:, None] for a in operands],
        compiled(words, given, made, target),
    )
    for word, y in zip(words, got, strict=True):
        with np.errstate(all="ignore"):
            want = np.asarray(meaning(word)(*operands)).astype(made)
        error = ulps(y[:, 0], want)
        assert error <= allowed, (word, error)
        if word not in EXTREME and made.kind == "f":
            zero = want == 0
            same = np.signbit(y[:, 0]) == np.signbit(want)
            assert same[zero].all(), word


def special(dtype: np.dtype) -> np.ndarray:
    info = np.finfo(dtype)
    values = [0, 0.5, 1, 1.5, 2, 2.5, 3, 1e5, 1e17, np.inf, np.nan, np.pi]
    values += [info.max, info.tiny, info.smallest_subnormal, info.eps, 0.1, 700]
    positive = np.array(values, dtype)
    return np.concatenate([positive, -positive])


def pairs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.meshgrid(values, values)
    return a.ravel(), b.ravel()


@pytest.fixture(params=TARGETS)
def target(request) -> str:
    return request.param


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_floating_words_are_exact(dtype, target):
    x = special(dtype)
    check(UNARY, [x], dtype, target, 0)
    check((*BINARY, *EXTREME), [*pairs(x)], dtype, target, 0)
    check(COMPARE, [*pairs(x)], BOOL, target, 0)
    check(TESTS, [x], BOOL, target, 0)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_functions_at_special_and_random_points(dtype, target):
    rng = np.random.default_rng(7)
    x = np.concatenate([special(dtype), rng.normal(size=200).astype(dtype)])
    check(FUNCTIONS, [x], dtype, target, 8)
    check(FUNCTIONS_2, [*pairs(special(dtype))], dtype, target, 4)
    # SciPy overflows near zero, is rough near zeros, and has lgamma(-inf) = -inf.
    check(("lgamma",), [np.linspace(2.5, 150, 99).astype(dtype)], dtype, target, 8)


def integers(dtype: np.dtype) -> np.ndarray:
    """Small integers, bits of numbers of every width, and both ends."""
    info = np.iinfo(dtype)
    x = [0, 1, 2, 3, 7, -1, -2, -3, -7, info.max, info.min, 1000, 31, 32, 63, 64]
    return np.array([int(v) % 2**64 for v in x], np.uint64).astype(dtype)


@pytest.mark.parametrize("dtype", INTS, ids=str)
def test_integer_words(dtype, target):
    x = integers(dtype)
    check(("neg", "abs", "not"), [x], dtype, target, 0)
    check((*INTEGER, *LOGIC), [*pairs(x)], dtype, target, 0)
    check(COMPARE, [*pairs(x)], BOOL, target, 0)


def test_bool_words(target):
    x = np.array([True, False] * 5)
    check(("not", "abs"), [x], BOOL, target, 0)
    check((*LOGIC, "maximum", "minimum", *COMPARE), [*pairs(x)], BOOL, target, 0)


@pytest.mark.parametrize("dtype", EVERY, ids=str)
def test_select(dtype, target):
    mask = np.arange(37) % 3 == 0
    a = (np.arange(37) % 2).astype(dtype)
    check(("select",), [mask, a, np.flip(a).copy()], dtype, target, 0)


def casts(given: np.dtype, dtypes: tuple[np.dtype, ...]) -> Kernel:
    """A kernel that converts a number to each of many dtypes."""
    buffers = [Buffer("x", given, 1, (0,), "streams", False)]
    body: list = [Load(0, 0, 0, given)]
    for k, made in enumerate(dtypes, 1):
        buffers.append(Buffer(f"y{k}", made, 1, (0,), "streams", True))
        body += [Op(k, "cast", (0,), made), Store(k, 0, k)]
    return Kernel(tuple(buffers), 1, tuple(body))


@cache
def casting(given: np.dtype, dtypes: tuple[np.dtype, ...], target: str):
    return cpu.compile(casts(given, dtypes), TARGETS[target])


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


@pytest.mark.parametrize("given", EVERY, ids=str)
def test_casts_are_numpys(given, target):
    check_casts(casts(given, EVERY), casting(given, EVERY, target))


def check_casts(kernel: Kernel, executable) -> None:
    x = convertible(kernel.buffers[0].dtype)
    got = run(kernel, (len(x),), [x[:, None]], executable)
    for y in got:
        with np.errstate(all="ignore"):
            want = x.astype(y.dtype)
        assert np.array_equal(y[:, 0], want), y.dtype
        zeros = want == 0
        assert (np.signbit(y[zeros, 0]) == np.signbit(want[zeros])).all(), y.dtype


def test_nan_is_a_float_and_the_least_integer():
    kernel = casts(F8, (F4, BOOL, *INTS))
    x = np.full((1, 1), np.nan)
    got = run(kernel, (1,), [x], casting(F8, (F4, BOOL, *INTS), "64"))
    signed = {d: y[0, 0] for d, y in zip(INTS, got[2:], strict=True) if d.kind == "i"}
    assert np.isnan(got[0]) and got[1]
    assert all(y == (np.iinfo(d).min if d.itemsize >= 4 else 0)
               for d, y in signed.items())  # fmt: skip


def test_fused_multiply_add_rounds_once():
    x = np.array([1 + 2.0**-30, 1 / 3])
    y = -x * x
    kernel = table(("fma",), (F8,) * 3, F8)
    executable = compiled(("fma",), (F8,) * 3, F8, "64")
    (got,) = run(kernel, (2,), [a[:, None] for a in (x, x, y)], executable)
    exact = [2.0**-60, float.fromhex("-0x1.5555555555555p-56")]
    assert got[0, 0] == exact[0]
    assert 0 < abs(got[1, 0]) < 1e-16


def test_a_point_alone_is_the_point_in_a_batch(target):
    rng = np.random.default_rng(8)
    x = np.concatenate([100 * rng.normal(size=61), special(F8)])
    words = FUNCTIONS
    executable = compiled(words, (F8,), F8, target)
    kernel = table(words, (F8,), F8)
    together = run(kernel, (len(x),), [x[:, None]], executable)
    for i in (0, 5, 60, 70):
        alone = run(kernel, (1,), [x[i : i + 1, None]], executable)
        for a, b in zip(alone, together, strict=True):
            assert np.array_equal(a[0], b[i], equal_nan=True)


def test_every_word_is_tested():
    tested = {*UNARY, *BINARY, *COMPARE, *EXTREME, *TESTS, *FUNCTIONS, *FUNCTIONS_2}
    tested |= {*LOGIC, *INTEGER, "not", "select", "cast", "fma", "lgamma"}
    assert tested == set(WORDS)


def test_unknown_word_is_refused():
    with pytest.raises(UnsupportedError, match="got 'gudermann' on float64"):
        emit(table(("gudermann",), (F8,), F8), cpu.host())
