"""Every scalar word on every kind of vector against its NumPy meaning."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from jitad.backends.cpu import executable as cpu
from jitad.errors import UnsupportedError
from jitad.lowering.llvm.emit import emit
from jitad.lowering.words import WORDS, meaning
from tests.cases.words import (
    BINARY,
    BOOL,
    COMPARE,
    EVERY,
    EXTREME,
    F4,
    F8,
    FLOATS,
    FUNCTIONS,
    FUNCTIONS_2,
    INTEGER,
    INTS,
    LOGIC,
    TARGETS,
    TESTS,
    UNARY,
    casts,
    check_casts,
    compiled,
    integers,
    pairs,
    special,
    table,
)
from tests.support.kernels import run, ulps


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


@cache
def casting(given: np.dtype, dtypes: tuple[np.dtype, ...], target: str):
    return cpu.compile(casts(given, dtypes), TARGETS[target])


@pytest.mark.parametrize("given", EVERY, ids=str)
def test_casts_are_numpys(given, target):
    check_casts(casts(given, EVERY), casting(given, EVERY, target))


def test_nan_is_a_float_and_the_least_integer():
    kernel = casts(F8, (F4, BOOL, *INTS))
    x = np.full((1, 1), np.nan)
    got = run(kernel, (1,), [x], casting(F8, (F4, BOOL, *INTS), "widest"))
    signed = {d: y[0, 0] for d, y in zip(INTS, got[2:], strict=True) if d.kind == "i"}
    assert np.isnan(got[0]) and got[1]
    assert all(y == (np.iinfo(d).min if d.itemsize >= 4 else 0)
               for d, y in signed.items())  # fmt: skip


def test_fused_multiply_add_rounds_once():
    x = np.array([1 + 2.0**-30, 1 / 3])
    y = -x * x
    kernel = table(("fma",), (F8,) * 3, F8)
    executable = compiled(("fma",), (F8,) * 3, F8, "widest")
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
