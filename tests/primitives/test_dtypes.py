"""The law of dtypes: what NumPy computes in, and how integers wrap, holds in a trace.

Each function runs on all pairs of dtypes and Python numbers at once, in one compiled
function of many results, over the batch of all pairs of some values.  A result has
NumPy's dtype and value, or the pair is refused by an error where `refused` says so.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.errors import JitadError
from jitad.ir.graph import DTYPES
from jitad.ir.primitive import registry

BACKENDS = ("cpu", "numpy")
NUMBERS = (3, -1, 300, 2**40, 2**63, 10**20, 1.5, True)
HALF = np.dtype(np.float16)


def values(dtype: np.dtype) -> np.ndarray:
    """Small numbers, and those at the ends."""
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind == "f":
        return np.array([0.0, -0.0, 1.0, -2.5, 3.0, 7.75, np.inf, np.nan], dtype)
    limits = np.iinfo(dtype)
    signed = [-1, -3] if dtype.kind == "i" else [limits.max - 1, 200]
    return np.array([0, 1, 2, 7, *signed, limits.min, limits.max], dtype)


def columns(count: int) -> list[np.ndarray]:
    """For each dtype `count` arrays, which together hold all tuples of its values."""
    length = 8**count
    found = []
    for k in range(count):
        for dtype in DTYPES:
            every = np.repeat(values(dtype), 8 ** (count - 1 - k))
            found.append(np.resize(every, length))
    return found


Call = tuple[Callable[..., Any], tuple[Any, ...]]
Refused = Callable[[Call], bool]


class Place(int):
    """An argument: the number of what is given."""


def agree(
    calls: Iterable[Call],
    given: list[np.ndarray],
    backend: Any,
    refused: Refused = lambda call: False,
    ulps: float = 0,
    *,
    batched: bool = True,
) -> None:
    """Assert that each call is NumPy's, or an error where NumPy's is one, or `refused`.

    batched  whether what is given are batches of numbers
    """
    calls = list(calls)
    wanted = [_numpys(call, given) for call in calls]
    raised: dict[int, Exception] = {}
    placed: dict[int, list[tuple[str, slice]]] = {}

    def every(*columns: Any) -> dict[str, Any]:
        raised.clear()
        made: dict[str, list[Any]] = {}
        for k, (function, args) in enumerate(calls):
            traced = [columns[a] if isinstance(a, Place) else a for a in args]
            try:
                found = function(*traced)
            except (JitadError, TypeError, ValueError, OverflowError) as error:
                raised[k] = error
                continue
            placed[k] = []
            for result in found if isinstance(found, tuple) else [found]:
                own = made.setdefault(result.dtype.name, [])
                start = sum(map(np.size, own))
                place = slice(start, start + np.size(result))
                placed[k].append((result.dtype.name, place))
                own.append(np.ravel(result))
        # One array for each dtype is compiled faster than hundreds.
        return {name: np.concatenate(own) for name, own in made.items()}

    run = jitad.vmap if batched else jitad.jit
    got = run(every, backend=backend)(*given)
    for k, (call, results) in enumerate(zip(calls, wanted, strict=True)):
        name = f"{call[0].__name__}({', '.join(describe(a, given) for a in call[1])})"
        error = isinstance(results, Exception)
        if error or in_half(call, given) or refused(call):
            assert k in raised, f"{name} is not refused, where NumPy has {results}"
            assert error or isinstance(raised[k], JitadError), (name, raised[k])
            continue
        assert k not in raised, f"{name}: {raised[k]!r}"
        for (kind, place), result in zip(placed[k], results, strict=True):
            mine = got[kind][..., place]
            assert mine.dtype == result.dtype, (name, mine.dtype, result.dtype)
            plain = np.reshape(result, (-1, 1) if batched else -1)
            same(mine, np.broadcast_to(plain, mine.shape), name, ulps)


def in_half(call: Call, given: list[np.ndarray]) -> bool:
    """Whether NumPy computes a ufunc in float16, which jitad does not."""
    ufunc, args = call
    if not isinstance(ufunc, np.ufunc):
        return False
    kinds = [given[a].dtype if isinstance(a, Place) else _kind(a) for a in args]
    return HALF in ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout))


def _kind(number: Any) -> Any:
    """How NumPy promotes a Python number: a bool is a bool of its own."""
    return np.dtype(bool) if number is True else type(number)


def _numpys(call: Call, given: list[np.ndarray]) -> list[np.ndarray] | Exception:
    """What NumPy has of a call: the results, or an error."""
    function, args = call
    plain = [given[a] if isinstance(a, Place) else a for a in args]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = function(*plain)
        except (TypeError, ValueError, OverflowError) as error:
            return error
    return list(found) if isinstance(found, tuple) else [found]


def describe(argument: Any, given: list[np.ndarray]) -> str:
    return str(given[argument].dtype if isinstance(argument, Place) else argument)


def same(mine: np.ndarray, numpys: np.ndarray, name: str, ulps: float) -> None:
    equal = mine == numpys
    if mine.dtype.kind == "f":
        equal |= np.isnan(mine) & np.isnan(numpys)
        with np.errstate(all="ignore"):
            room = ulps * np.spacing(np.abs(numpys))
            equal |= np.abs(mine - numpys) <= room
    assert equal.all(), (name, mine[~equal][:4], numpys[~equal][:4])


# -- functions of numbers ------------------------------------------------------

COUNT = len(DTYPES)
LOGICAL = (np.logical_and, np.logical_or, np.logical_xor)


def pairs(function: Callable[..., Any]) -> list[Call]:
    """A function of all pairs of dtypes, and of each dtype and each Python number."""
    # NumPy's logical functions take no Python ints that are no int64.
    numbers = [n for n in NUMBERS if function not in LOGICAL or n < 2**63]
    places = [Place(k) for k in range(COUNT)]
    others = [Place(COUNT + k) for k in range(COUNT)]
    every = itertools.chain(
        itertools.product(places, others),
        itertools.product(places, numbers),
        itertools.product(numbers, others),
    )
    return [(function, pair) for pair in every]


def is_refused(call: Call) -> bool:
    """What is refused though NumPy computes it, by an error that says so."""
    function, args = call
    if function is np.ldexp:
        return isinstance(args[1], Place) or not isinstance(args[0], Place)
    return function is np.frexp


NUMPYS = [u for u in registry.ufuncs if getattr(np, u.__name__, None) is u]
BINARY = [u for u in NUMPYS if u.nin == 2 and u.signature is None]
# One of those that are lowered alike.
LOWERED = (
    np.add, np.subtract, np.multiply, np.divide, np.less, np.equal, np.right_shift,
    np.left_shift, np.bitwise_xor, np.maximum, np.power, np.divmod, np.fmod,
)  # fmt: skip
# Functions of C libraries, which round differently.
ROUNDED = {np.power: 2, np.float_power: 2, np.arctan2: 2, np.hypot: 1}
ROUNDED |= {np.logaddexp: 4, np.logaddexp2: 4}


@pytest.mark.parametrize("ufunc", BINARY, ids=lambda u: u.__name__)
def test_pairs_of_dtypes(ufunc):
    given, ulps = columns(2), ROUNDED.get(ufunc, 0)
    for backend in BACKENDS if ufunc in LOWERED else ("numpy",):
        agree(pairs(ufunc), given, backend, is_refused, ulps)


@pytest.mark.parametrize("backend", BACKENDS)
def test_functions_of_one_number(backend):
    places = [(Place(k),) for k in range(COUNT)]
    unary = [u for u in NUMPYS if u.nin == 1]
    agree(itertools.product(unary, places), columns(1), backend, is_refused, ulps=4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_conversions(backend):
    def astype(x: Any, dtype: Any) -> Any:
        return x.astype(dtype)

    def written(x: Any, dtype: Any) -> Any:
        y = np.zeros(2, dtype, like=x)
        y[1] = x
        return y[1]

    places = [Place(k) for k in range(COUNT)]
    given = columns(1)
    for column in given:  # NaN as an integer is another in every place
        column[np.isnan(column)] = 1
    calls = itertools.product((astype,), itertools.product(places, DTYPES))
    agree(calls, given, backend)


# -- functions of arrays -------------------------------------------------------


def reduce(x: Any) -> Any:
    return np.add.reduce(x)


ARRAYS: tuple[Callable[[Any], Any], ...] = (
    np.sum, np.prod, np.mean, np.max, np.min, np.ptp, np.argmax, np.argmin, np.any,
    np.all, np.count_nonzero, np.cumsum, np.cumprod, np.sort, np.argsort, np.diff,
    np.nansum, np.nanmax, np.cumulative_sum, np.median, np.var, np.std, np.average,
    np.nan_to_num, np.zeros_like, np.vander, np.trace, reduce,
)  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
def test_functions_of_arrays(backend):
    places = [(Place(k),) for k in range(COUNT)]
    given = [np.resize(values(dtype), 4) for dtype in DTYPES]
    agree(itertools.product(ARRAYS, places), given, backend, ulps=4, batched=False)


# -- Python ints of any size ---------------------------------------------------

X = np.array([1.5, -2.0, 0.25])
LARGE: dict[str, Callable[[Any], Any]] = {
    "series": lambda x: sum(x**k / math.factorial(k) for k in range(25)),
    "choose": lambda x: math.comb(100, 50) * x,
    "2**63": lambda x: 2**63 * x,
    "divided": lambda x: x / 10**20 + x // 10**20,
    "power": lambda x: np.abs(x) ** 10**20 + (10**20) ** x,
    "compared": lambda x: x < 10**20,
    "integers compared": lambda x: x.astype(int) < 10**20,
    "integers divided": lambda x: x.astype(int) / 10**20,
    "where": lambda x: np.where(x > 0, x, 10**20),
    "maximum": lambda x: np.maximum(x, 10**20),
    "clip": lambda x: np.clip(x, 0, 10**20),
    "clip integers": lambda x: np.clip(np.abs(x).astype(np.uint8), -1, 300),
    "initial": lambda x: np.sum(x, initial=10**20),
    "full": lambda x: np.full_like(x, 10**20),
    "table": lambda x: np.dot(x, [10**20, 1, 2]),
    "polyval": lambda x: np.polyval([10**20, 1], x),
    "hypot": lambda x: np.hypot(x, 10**20),
    "float32": lambda x: 10**20 * x.astype(np.float32),
    "float32, infinite": lambda x: 10**50 * x.astype(np.float32),
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_large_python_ints_are_floats_beside_floats(backend):
    def every(x: Any) -> dict[str, Any]:
        return {name: f(x) for name, f in LARGE.items()}

    got = jitad.jit(every, backend=backend)(X)
    with np.errstate(all="ignore"):
        wanted = every(X)
    for name, want in wanted.items():
        assert got[name].dtype == np.asarray(want).dtype, name
        same(np.asarray(got[name]), np.asarray(want), name, 2)


INTO_OBJECTS = {
    "insert": lambda n: np.insert(np.asarray(n), 1, 0.5),
    "insert into a list": lambda n: np.insert([n[0], n[1]], 1, 2.5),
    "pad": lambda n: np.pad(np.asarray(n), 1, constant_values=0.5),
    "pad an array": lambda n: np.pad(np.array([n[0], n[1]]), 1, mode="edge"),
}


def test_what_is_put_into_whole_numbers_is_one() -> None:
    n = np.array([4, 5, 6], np.int16)
    got = jitad.jit(lambda n: {k: f(n) for k, f in INTO_OBJECTS.items()})(n)
    for name, f in INTO_OBJECTS.items():
        same(got[name], f(n), name, 0)
        assert got[name].dtype == f(n).dtype, name


def _copied(statements: str) -> Any:
    """A function that makes an array of objects of a traced one, and then …"""
    lines = ["def f(y):", "a = np.array(y)", *statements.split("; "), "return a"]
    space: dict[str, Any] = {"np": np}
    exec("\n ".join(lines), space)
    return space["f"]


@pytest.mark.parametrize("statements", [
    "a[0] = 3", "a[0] = True", "a[:] = 7", "a[0] = 3; a[1] = 101", "a *= 2",
    "a[0] = np.float64(0.1)", "a[0] = 3; a = a * 2.5", "a[0] = 1; a = a / 2",
    "a[0] = 3; a = a[::-1].copy()", "a[0] = 5; a = np.array(a); a[1] = 6",
    "a[:] = 7; a = a + y", "a[0] = 3; a = np.stack([a, y])", "a[0] = 3; a = a @ a",
    "a[0] = 3; a = a.mean()", "a += 1; a[1] = 0", "a[0] = 1; a = abs(-a) ** 2",
])  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int8], ids=str)
def test_copies_as_objects_keep_their_dtype(statements: str, dtype: Any) -> None:
    y, f = np.array([1.5, 2.5]).astype(dtype), _copied(statements)
    want = f(y)
    for backend in BACKENDS:
        got = jitad.jit(f, backend=backend)(y)  # type: ignore[arg-type]
        same(got, want, statements, 0)
        assert got.dtype == want.dtype


def test_what_is_made_of_python_numbers_promotes_as_one() -> None:
    made = [
        *(lambda n: n >> 1, lambda n: n << 1, lambda n: 8 >> n, lambda n: n & 3),
        *(lambda n: n | 1, lambda n: n ^ 1, lambda n: ~n, lambda n: abs(-n)),
        *(lambda n: n // 2, lambda n: n % 2, lambda n: 7 % n, lambda n: n**3),
        *(lambda n: divmod(n, 2)[1], lambda n: n**0),
    ]
    for number in (2, 2.5):
        for x in (np.array([1.0, 2.0], np.float32), np.array([1, 2], np.int8)):
            for k, f in enumerate(made):
                if type(number) is float and k < 7:
                    continue
                want = f(number) * x
                got = jitad.jit(lambda n, f=f: f(n) * x, backend="numpy")(number)  # noqa: B023
                same(got, want, str(k), 0)
                assert got.dtype == want.dtype, k


def written(x: Any) -> Any:
    y = x.copy()
    y[0] = 10**20
    return np.array([y[0], 10**20, x[1]])


def test_large_python_ints_in_arrays():
    found = jitad.jit(written)(X)
    assert found.dtype == float and (found == [1e20, 1e20, -2.0]).all()


@pytest.mark.parametrize(
    ("f", "argument", "error", "says"),
    [
        (lambda x: x.astype(int) * 10**20, X, OverflowError, "too large"),
        (lambda x: x.astype(np.uint8) + 300, X, OverflowError, "out of bounds"),
        (lambda x: x * 10**400, X, OverflowError, "too large"),
        (lambda x: (x, 10**20), X, JitadError, r"write float\(10+\)"),
        (lambda x: x * 1.5, 2**70, JitadError, "beyond int64.*dtype=float"),
        (lambda x: x + 1, 2**63, JitadError, "beyond int64"),
        (lambda x: pow(x, 2, 3), X, JitadError, r"x\*\*n % m"),
        (lambda x: "%d" % x[0], X, JitadError, "no value yet"),  # noqa: UP031
        (lambda x: math.comb(x[0], 2), X, JitadError, "no value yet"),
    ],
)
def test_what_no_number_can_hold_says_so(f, argument, error, says):
    with pytest.raises(error, match=says):
        jitad.jit(f)(argument)


# -- Python ints that are arguments --------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_python_ints_as_arguments_are_in_bounds(backend):
    """As in NumPy's u + n, of which the result is that of u's dtype, or none."""
    u = np.array([1, 200], np.uint8)
    add = jitad.jit(lambda u, n: u + n, backend=backend)
    many = jitad.vmap(lambda u, n: u * n, in_axes=(0, None), backend=backend)
    for n in (0, 100, 255):
        np.testing.assert_array_equal(add(u, n), u + n, strict=True)
        np.testing.assert_array_equal(many(u, n), u * n, strict=True)
    for n in (-1, 256, 2**40):
        with pytest.raises(OverflowError, match=rf"args\[1\] is {n}, .* uint8.*np.int"):
            add(u, n)
        with pytest.raises(OverflowError, match="out of bounds"):
            many(u, n)
    np.testing.assert_array_equal(add(u, np.int64(256)), u + np.int64(256), strict=True)
    np.testing.assert_array_equal(many(u, 1.5), u * 1.5, strict=True)


@pytest.mark.parametrize("dtype", ["u1", "i4", "u8"])
def test_comparisons_with_python_ints_are_exact(dtype):
    x = values(np.dtype(dtype))

    def every(x: Any, n: Any) -> Any:
        return x < n, n <= x, x == n, x != n, x >= n, n > x

    compare = jitad.jit(every)
    for n in (-1, 0, 7, 300, 2**40, 2**63 - 1, -(2**63)):
        for got, want in zip(compare(x, n), every(x, n), strict=True):
            np.testing.assert_array_equal(got, want, strict=True)
    for n in (2**63, -(2**70), 10**400):
        got = jitad.jit(lambda x, n=n: every(x, n))(x)
        for g, want in zip(got, every(x, n), strict=True):
            np.testing.assert_array_equal(g, want, strict=True)


# -- loops ---------------------------------------------------------------------


def looped(x: Any, n: Any) -> Any:
    """The number of an iteration is a Python int, inside of a trace and outside."""
    one = jitad.fori_loop(0, 5, lambda k, c: c * (k + 2) + k, x)
    two = jitad.fori_loop(np.int8(1), n, lambda k, c: c - k, x)
    three, ys = jitad.scan(lambda c, z: (c + z, c * z), x[0], x)
    return one, two, three, ys


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.kind != "b"], ids=str)
def test_loops_keep_the_dtype_of_what_they_carry(dtype, backend):
    x = np.array([3, 100, 7], dtype)
    got = jitad.jit(looped, backend=backend)(x, 4)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = looped(x, 4)
    for mine, numpys in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(mine, numpys, strict=True)


def test_extremes_begin_with_a_number_in_bounds():
    u = np.array([3, 4], np.uint8)
    assert jitad.jit(lambda u: np.max(u, initial=9))(u) == np.uint8(9)
    for n in (300, -1):
        with pytest.raises(OverflowError, match="out of bounds"):
            jitad.jit(lambda u, n=n: np.max(u, initial=n))(u)
    for function in (np.max, np.sum, np.prod):
        with pytest.raises(ValueError, match="cannot convert float NaN to integer"):
            jitad.jit(lambda u, f=function: f(u, initial=np.nan))(u)


@pytest.mark.parametrize(
    "f",
    [
        lambda h, s: jitad.stop_gradient(s) * h,
        lambda h, s: jitad.stop_gradient({"a": s})["a"] * 0 + h,
        lambda h, s: jitad.checkpoint(lambda q: q * h)(s),
    ],
    ids=["held", "held in a tree", "checkpoint"],
)
def test_a_number_of_python_stays_one(f):
    h = np.array([0.1, 0.2], np.float32)
    for given in (0.5, 2):
        assert jitad.jit(f)(h, given).dtype == f(h, given).dtype == np.float32
