"""The accuracy that `mathlib` states, against mpmath in 200 bits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import mpmath
import numpy as np
import pytest

from jitad.backends.cpu import executable as cpu
from jitad.backends.cpu import mathlib
from tests.cases.words import TARGETS, compiled, table
from tests.support.kernels import run

DTYPES = tuple(np.dtype(t) for t in ("f8", "f4"))
CONTEXT = mpmath.mp.clone()
CONTEXT.prec = 200

UNARY: dict[str, Callable] = {
    "exp": CONTEXT.exp,
    "exp2": lambda x: CONTEXT.power(2, x),
    "expm1": CONTEXT.expm1,
    "log": CONTEXT.log,
    "log2": lambda x: CONTEXT.log(x, 2),
    "log10": CONTEXT.log10,
    "log1p": CONTEXT.log1p,
    "cbrt": lambda x: CONTEXT.sign(x) * CONTEXT.cbrt(abs(x)),
    "sin": CONTEXT.sin,
    "cos": CONTEXT.cos,
    "tan": CONTEXT.tan,
    "asin": CONTEXT.asin,
    "acos": CONTEXT.acos,
    "atan": CONTEXT.atan,
    "sinh": CONTEXT.sinh,
    "cosh": CONTEXT.cosh,
    "tanh": CONTEXT.tanh,
    "asinh": CONTEXT.asinh,
    "acosh": CONTEXT.acosh,
    "atanh": CONTEXT.atanh,
    "erf": CONTEXT.erf,
    "erfc": CONTEXT.erfc,
}
BINARY: dict[str, Callable] = {
    "pow": CONTEXT.power,
    "atan2": CONTEXT.atan2,
    "hypot": CONTEXT.hypot,
    "fmod": lambda x, y: CONTEXT.sign(x) * CONTEXT.fmod(abs(x), abs(y)),
}
STATED = {"cos": 3.5, "sin": 3.3, "cbrt": 3.4, "fmod": 0.0}
if cpu.host().fused:
    STATED |= {"exp": 1.5, "sin": 1.5, "cos": 1.5}
OTHERS = 3.0


def points(dtype: np.dtype, count: int) -> np.ndarray:
    """Numbers of all sizes, with more where functions change."""
    rng = np.random.default_rng(11)
    info = np.finfo(dtype)
    low, high = (np.log2(float(v)) for v in (info.smallest_subnormal, info.max))
    signs = rng.choice([-1, 1], count)
    ladder = 2.0 ** rng.uniform(low, high, count) * signs
    near_one = 1 + rng.normal(size=count) * 2.0 ** rng.uniform(-30, -2, count)
    quarters = rng.integers(-40, 40, count) * (np.pi / 2)
    spread = rng.uniform(np.log(float(info.tiny)), np.log(float(info.max)), count)
    parts = [ladder, near_one, rng.normal(size=count) * 3, spread, quarters]
    return np.concatenate([*parts, rng.uniform(-1, 1, count)]).astype(dtype)


def exact(function: Callable, *operands: np.ndarray) -> list:
    """The values, or None where there is no finite real one."""
    values = []
    for numbers in zip(*operands, strict=True):
        try:
            value = function(*(CONTEXT.mpf(float(x)) for x in numbers))
        except (ValueError, ZeroDivisionError, OverflowError):
            value = None
        if value is not None and not CONTEXT.isfinite(value):
            value = None
        values.append(None if isinstance(value, CONTEXT.mpc) else value)
    return values


def worst(got: np.ndarray, want: list) -> float:
    """The largest error in units of the last place of the exact value."""
    info, worst = np.finfo(got.dtype), 0.0
    seen = 0
    for y, exact in zip(got, want, strict=True):
        if exact is None or abs(exact) >= float(info.max):
            continue
        seen += 1
        step = CONTEXT.mpf(float(info.smallest_subnormal))
        if exact != 0:
            binary = CONTEXT.floor(CONTEXT.log(abs(exact), 2)) - info.nmant
            step = max(step, CONTEXT.mpf(2) ** binary)
        assert np.isfinite(y), (y, exact)
        worst = max(worst, float(abs(CONTEXT.mpf(float(y)) - exact) / step))
    assert seen > 100
    return worst


@cache
def sample(word: str, dtype: np.dtype) -> tuple[tuple[np.ndarray, ...], list]:
    if word in UNARY:
        x = points(dtype, 60)
        return (x,), exact(UNARY[word], x)
    x = points(dtype, 60)
    y = np.random.default_rng(12).permutation(x)
    y[::3] = (x[::3] * dtype.type(1.001)).astype(dtype)
    kept = np.ones(len(x), bool)
    with np.errstate(all="ignore"):
        if word == "pow":
            kept = (np.abs(y * np.log2(np.abs(x))) < 1100) & (x > 0)
        if word == "fmod":
            kept = np.abs(np.log2(np.abs(x)) - np.log2(np.abs(y))) < 150
    x, y = x[kept], y[kept]
    return (x, y), exact(BINARY[word], x, y)


def test_sine_and_cosine_near_multiples_of_a_quarter_turn():
    """Where digits of π/2 cancel, up to the largest arguments of our own reduction."""
    rng = np.random.default_rng(3)
    near = rng.integers(1, int(2**31 / np.pi), 300) * (np.pi / 2)
    x = np.concatenate([near, np.nextafter(near, 0), [2.0**30, -np.pi, 1e-300, 5e-324]])
    for words in (("sin", "cos"), ("cos", "sin")):
        executable = compiled(words, DTYPES[:1], DTYPES[0], "widest")
        kernel = table(words, DTYPES[:1], DTYPES[0])
        results = run(kernel, (len(x),), [x[:, None]], executable)
        for word, got in zip(words, results, strict=True):
            assert worst(got[:, 0], exact(UNARY[word], x)) <= STATED[word]


@pytest.mark.parametrize("value", [0.0, -0.0, np.inf, -np.inf, np.nan, 1e300])
def test_sine_and_cosine_of_a_lane_do_not_depend_on_the_others(value):
    words, double = ("sin", "cos"), DTYPES[0]
    executable = compiled(words, (double,), double, "widest")
    kernel = table(words, (double,), double)
    alone = np.random.default_rng(4).uniform(-9, 9, 24)
    mixed = alone.copy()
    mixed[::3] = value
    for word, a, b in zip(
        words,
        run(kernel, (24,), [alone[:, None]], executable),
        run(kernel, (24,), [mixed[:, None]], executable),
        strict=True,
    ):
        kept = np.arange(24) % 3 != 0
        assert np.array_equal(a[kept], b[kept])
        with np.errstate(invalid="ignore"):
            want = {"sin": np.sin, "cos": np.cos}[word](mixed[::3, None])
        np.testing.assert_allclose(b[::3], want, rtol=4e-16)
        signs = np.signbit(b[::3]) == np.signbit(want)
        assert np.all(signs | np.isnan(want))


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_accuracy_is_as_stated(dtype, target):
    for words, given in ((tuple(UNARY), (dtype,)), (tuple(BINARY), (dtype, dtype))):
        executable = compiled(words, given, dtype, target)
        kernel = table(words, given, dtype)
        for k, word in enumerate(words):
            operands, want = sample(word, dtype)
            columns = [a[:, None] for a in operands]
            got = run(kernel, (len(operands[0]),), columns, executable)[k]
            assert worst(got[:, 0], want) <= STATED.get(word, OTHERS), word


def test_remainder_of_huge_ratios_is_exact():
    x = np.array([1e300, 1e308, -3e200, 5e-324, 1e300])
    y = np.array([3.0, 1e-308, 7e-100, 3.0, 1e300])
    executable = compiled(("fmod",), (DTYPES[0],) * 2, DTYPES[0], "widest")
    kernel = table(("fmod",), (DTYPES[0],) * 2, DTYPES[0])
    (got,) = run(kernel, (5,), [x[:, None], y[:, None]], executable)
    assert np.array_equal(got[:, 0], np.fmod(x, y))


def test_functions_are_found_where_the_library_has_them():
    if not mathlib.has_vector_library():
        pytest.skip("the C library has no vector functions")
    assert mathlib.vector_functions(16)["sin", "float64", 2] == "_ZGVbN2v_sin"
    assert ("log", "float32", 4) not in mathlib.vector_functions(16)
    assert all(count <= 4 for _, _, count in mathlib.vector_functions(16))
