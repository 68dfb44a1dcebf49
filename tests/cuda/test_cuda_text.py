"""Every word of GPU kernels, on the host and on a card, against its NumPy meaning."""

from __future__ import annotations

import numpy as np
import pytest

from jitad.errors import UnsupportedError
from jitad.lowering.cuda.emit import emit
from jitad.lowering.kernel import Buffer, Kernel
from jitad.lowering.llvm.memory import Block
from jitad.lowering.llvm.pieces import StoreRow
from jitad.lowering.statements import Const, Store
from jitad.lowering.words import meaning
from tests.cases.words import (
    BINARY,
    BOOL,
    COMPARE,
    EVERY,
    EXTREME,
    FLOATS,
    FUNCTIONS,
    FUNCTIONS_2,
    INTEGER,
    INTS,
    LOGIC,
    TESTS,
    UNARY,
    casts,
    check_casts,
    integers,
    pairs,
    special,
    table,
)
from tests.support.cuda_machines import MACHINES, builder
from tests.support.kernels import run, ulps

F8, F4, I8, I4 = (np.dtype(t) for t in ("f8", "f4", "i8", "i4"))


@pytest.fixture(params=MACHINES)
def build(request):
    return builder(request.param)


def agree(cases, build) -> None:
    """Words on operands against their NumPy meaning: (words, operands, made, ulps)."""
    tables = [
        table(words, tuple(a.dtype for a in operands), made)
        for words, operands, made, _ in cases
    ]
    for (words, operands, made, allowed), launch in zip(
        cases, build(tables), strict=True
    ):
        columns = [a[:, None] for a in operands]
        got = run(launch.kernel, (len(operands[0]),), columns, launch)
        for word, y in zip(words, got, strict=True):
            with np.errstate(all="ignore"):
                want = np.asarray(meaning(word)(*operands)).astype(made)
            error = ulps(y[:, 0], want)
            assert error <= allowed, (word, made, error)
            if word not in EXTREME and made.kind == "f":
                zero = want == 0
                same = np.signbit(y[:, 0]) == np.signbit(want)
                assert same[zero].all(), word


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_floating_words(dtype, build):
    x = special(dtype)
    rng = np.random.default_rng(7)
    more = np.concatenate([x, rng.normal(size=200).astype(dtype)])
    # To -1: beyond, near its zeros, digamma keeps no digits, here or in SciPy.
    positive = [*np.geomspace(1e-9, 1e9, 500), *np.linspace(1.4, 1.5, 50)]
    apart = np.array([*positive, *np.linspace(-0.99, -0.01, 500)], dtype)
    agree(
        [
            (UNARY, [x], dtype, 0),
            ((*BINARY, *EXTREME), [*pairs(x)], dtype, 0),
            (COMPARE, [*pairs(x)], BOOL, 0),
            (TESTS, [x], BOOL, 0),
            (FUNCTIONS, [more], dtype, 8),
            (FUNCTIONS_2, [*pairs(x)], dtype, 4),
            (("lgamma",), [np.linspace(2.5, 150, 99).astype(dtype)], dtype, 8),
            (("digamma",), [apart], dtype, 8),
        ],
        build,
    )


def test_integer_and_bool_words(build):
    cases = []
    for dtype in INTS:
        x = integers(dtype)
        cases += [
            (("neg", "abs", "not"), [x], dtype, 0),
            ((*INTEGER, *LOGIC, "fmax", "fmin"), [*pairs(x)], dtype, 0),
            (COMPARE, [*pairs(x)], BOOL, 0),
        ]
    x = np.array([True, False] * 5)
    words = (*LOGIC, *EXTREME, "add", "mul", *COMPARE)
    alone = ("not", "abs")
    agree([*cases, (alone, [x], BOOL, 0), (words, [*pairs(x)], BOOL, 0)], build)


def test_select_and_casts(build):
    cases = []
    mask = np.arange(37) % 3 == 0
    for given in EVERY:
        a = (np.arange(37) % 2).astype(given)
        cases.append((("select",), [mask, a, np.flip(a).copy()], given, 0))
    agree(cases, build)
    for launch in build([casts(given, EVERY) for given in EVERY]):
        check_casts(launch.kernel, launch)


def test_integers_that_do_not_fit_are_the_least(build):
    kernels = [table(("cast",), (F8,), made) for made in (I8, I4)]
    x = np.array([np.nan, np.inf, -np.inf, 1e300, -1e300])
    for launch in build(kernels):
        (y,) = run(launch.kernel, (5,), [x[:, None]], launch)
        assert (y == np.iinfo(y.dtype).min).all()


def test_fused_multiply_add_rounds_once(build):
    x = np.array([1 + 2.0**-30, 1 / 3])
    kernel = table(("fma",), (F8,) * 3, F8)
    given = [a[:, None] for a in (x, x, -x * x)]
    (got,) = run(kernel, (2,), given, build([kernel])[0])
    exact = [2.0**-60, float.fromhex("-0x1.5555555555555p-56")]
    assert got[0, 0] == exact[0]
    assert 0 < abs(got[1, 0]) < 1e-16


def test_constants_keep_their_bits(build):
    found = {}
    for dtype in EVERY:
        if dtype.kind == "f":
            nan = np.array([0x7FF8000000012345], np.uint64).view(F8)
            values = np.concatenate([special(dtype), nan.astype(dtype)])
        elif dtype.kind in "iu":
            values = integers(dtype)
        else:
            values = np.array([True, False])
        found[dtype] = values.astype(dtype)
    kernels = []
    for dtype, values in found.items():
        body = [Const(k, value, dtype) for k, value in enumerate(values)]
        body += [Store(0, k, k) for k in range(len(values))]
        out = Buffer("y", dtype, len(values), (0,), "rows", True)
        kernels.append(Kernel((out,), 1, tuple(body)))
    for values, launch in zip(found.values(), build(kernels), strict=True):
        (y,) = run(launch.kernel, (2,), [], launch)
        assert y.tobytes() == np.stack([values, values]).tobytes()


def test_unknown_word_is_refused():
    with pytest.raises(UnsupportedError, match=r"got 'gudermann' .* run it on the CPU"):
        emit(table(("gudermann",), (F8,), F8))


def test_unknown_statement_is_refused():
    """Nothing is left out in silence: what the CPU alone has is no GPU's."""
    out = Buffer("y", F8, 2, (0,), "rows", True)
    cpus = StoreRow(0, Block(0, 2), (0, 0))
    kernel = Kernel((out,), 1, (Const(0, np.float64(1), F8), cpus))  # type: ignore
    with pytest.raises(UnsupportedError, match=r"got StoreRow\(.* run it on the CPU"):
        emit(kernel)
