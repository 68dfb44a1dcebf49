"""NumPy's functions made of ufuncs, and dtypes: values and dtypes are NumPy's."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.errors import JitadError
from tests.support.ufuncs import same

BACKENDS = ("cpu", "numpy")
nan, inf = float("nan"), float("inf")

FLOATS = np.array(
    [0.0, -0.0, 0.3, -0.7, 1.0, -1.0, 1.5, 2.5, -2.5, 0.5, -0.5, 7.125, -30.0, 1e10,
     1234.5678, inf, -inf, nan]
)  # fmt: skip
TABLES = {
    "float64": FLOATS,
    "float32": FLOATS.astype(np.float32),
    "int64": np.array([0, 1, -1, 2, -3, 7, 100, -100, 15, 25]),
    "bool": np.array([True, False, True]),
}
KNOTS, HEIGHTS = [0.0, 1.0, 3.0], [0.0, 2.0, 3.0]


def filled(function: Callable[..., Any]) -> Callable[[Any], Any]:
    """A function that writes to a copy, and the copy."""

    def f(x: Any) -> Any:
        y = x.copy()
        function(y, x)
        return y

    return f


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "select": lambda x: np.select([x > 1, x < -1], [x * 2, x + 9], 5.0),
    "select, no default": lambda x: np.select([x > 1, x < -1], [x * 2, x + 9]),
    "piecewise": lambda x: np.piecewise(x, [x < 0, x >= 1], [-1, lambda t: t * 2, 3]),
    "where": lambda x: np.where(x > 0, 1, x),
    "where of numbers": lambda x: np.where(x > 0, 1, 0.5),
    "where of bools": lambda x: np.where(x > 0, True, False),
    "where of a number": lambda x: np.where(x, x, -x) if x.dtype != bool else x,
    "clip": lambda x: np.clip(x, -1, 2),
    "clip by name": lambda x: np.clip(x, min=-1.0, max=None),
    "clip above": lambda x: np.clip(x, None, 2),
    "clip, method": lambda x: x.clip(-1, 2),
    "clip by arrays": lambda x: np.clip(x, x * 0 - 1, 1.5),
    "nan_to_num": np.nan_to_num,
    "nan_to_num to": lambda x: np.nan_to_num(x, nan=1.5, posinf=9, neginf=-9.0),
    "interp": lambda x: np.interp(x, KNOTS, HEIGHTS),
    "interp beyond": lambda x: np.interp(x, KNOTS, HEIGHTS, left=-1, right=nan),
    "interp, period": lambda x: np.interp(x, KNOTS, HEIGHTS, period=4),
    "round": np.round,
    "round to 2": lambda x: np.round(x, 2),
    "round to tens": lambda x: np.round(x, -1),
    "round, method": lambda x: x.round(1),
    "around": lambda x: np.around(x, 3),
    "fix": np.fix,
    "modf": np.modf,
    "divmod": lambda x: divmod(x, 2),
    "divmod of negative": lambda x: np.divmod(x, -1.5),
    "ldexp": lambda x: np.ldexp(x, 3),
    "ldexp by each": lambda x: np.ldexp(x, np.arange(x.shape[0])),
    "float_power": lambda x: np.float_power(x, 3),
    **{f"x**{p}": lambda x, p=p: x**p for p in (0, 1, 2, 3, 5, 6, 9)},
    **{f"(1.0 x)**{p}": lambda x, p=p: (x * 1.0) ** p for p in (-1, -2, 0.5, 1.5, 2.5)},
    "x**2.5f": lambda x: x ** np.float32(2.5),
    "2.0**x": lambda x: 2.0**x,
    "x % 3": lambda x: x % 3,
    "x % -2": lambda x: x % -2,
    "x // 2": lambda x: x // 2,
    "7 % x": lambda x: 7 % x,
    "7 // x": lambda x: 7 // x,
    "7.5 % x": lambda x: 7.5 % x,
    "conj": np.conj,
    "conj, method": lambda x: x.conj(),
    "real": np.real,
    "real, attribute": lambda x: x.real,
    "imag": np.imag,
    "isreal": np.isreal,
    "real_if_close": np.real_if_close,
    "isneginf": np.isneginf,
    "isposinf": np.isposinf,
    "isclose": lambda x: np.isclose(x, 1.0),
    "isclose to itself": lambda x: np.isclose(x, x, equal_nan=True),
    "isclose, loosely": lambda x: np.isclose(1.5, x, rtol=0.5, atol=0.1),
    "heaviside": lambda x: np.heaviside(x, 0.5),
    "spacing": lambda x: np.spacing(np.abs(x) + 1.0),
    "sinc": np.sinc,
    "i0": np.i0,
    "deg2rad": np.deg2rad,
    "degrees": np.degrees,
    "fabs": np.fabs,
    "square": np.square,
    "reciprocal": lambda x: np.reciprocal(x * 1.0),
    "hypot": lambda x: np.hypot(x, 3),
    "sign": np.sign,
    "abs": abs,
    "+x": operator.pos,
    "x and": lambda x: np.logical_and(x, x > 3),
    "x or": lambda x: np.logical_or(x, x > 3),
    "not x": np.logical_not,
    "x xor": lambda x: np.logical_xor(x, 1),
    "~": lambda x: ~(x > 0),
    "&": lambda x: (x > 0) & (x < 2),
    "bools added": lambda x: (x > 0) + (x > 1),
    "bools scaled": lambda x: (x > 0) * 2.5,
    "bools less 1": lambda x: (x > 0) - 1,
    "copyto": filled(lambda y, x: np.copyto(y, x, where=x > 0)),
    "putmask": filled(lambda y, x: np.putmask(y, x > 0, 1)),
    "add where": lambda x: np.add(x, 1.5, where=x > 0, out=np.zeros_like(x, float)),
    "to whole numbers": lambda x: np.clip(np.nan_to_num(x), -5, 5).astype(np.int64),
    "to bools": lambda x: x.astype(bool),
    "to float32": lambda x: x.astype(np.float32),
}  # fmt: skip

# NumPy computes these in float16, or with powers of numbers not known yet.
REFUSED = {
    *((n, "bool") for n in ("fabs", "deg2rad", "degrees", "modf", "ldexp", "round")),
    *((n, "bool") for n in ("ldexp by each", "sign")),
}


def expected(name: str, dtype: str) -> tuple[Any, ...] | None:
    """What NumPy gives; None where it, or jitad, refuses."""
    try:
        with np.errstate(all="ignore"):
            want = FUNCTIONS[name](TABLES[dtype])
    except TypeError:
        return None
    if (name, dtype) in REFUSED:
        return None
    return want if isinstance(want, tuple) else (want,)


def apart(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("dtype", TABLES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_whole_arrays(name: str, dtype: str) -> None:
    want = expected(name, dtype)
    function = jitad.jit(FUNCTIONS[name], backend="numpy")
    if want is None:
        with pytest.raises((TypeError, JitadError)):
            function(TABLES[dtype])
        return
    for g, w in zip(apart(function(TABLES[dtype])), want, strict=True):
        same(g, w)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", TABLES)
def test_points_of_a_batch(dtype: str, backend: Any) -> None:
    """All functions in one kernel."""
    names = [n for n in FUNCTIONS if n != "ldexp by each" and expected(n, dtype)]

    def every(t: Any) -> Any:
        return {n: apart(FUNCTIONS[n](np.reshape(t, (1,)))) for n in names}

    for name, got in jitad.vmap(every, backend=backend)(TABLES[dtype]).items():
        wanted = expected(name, dtype)
        assert wanted is not None
        for g, w in zip(got, wanted, strict=True):
            same(g[:, 0], w)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: np.where(x > 0), "give both branches"),
        (lambda x: np.frexp(x), "frexp"),
        (lambda x: np.bitwise_count(x.astype(int)), "bitwise_count"),
        (lambda x: np.gcd(x.astype(int), 2), "gcd"),
        (lambda x: np.interp(x, x, HEIGHTS), "knots"),
        (lambda x: np.interp(0.5, KNOTS, x, period=x[0]), "period"),
        (lambda x: np.ldexp(1.0, x.astype(int)), "ldexp"),
        (lambda x: x.astype(int) ** x.astype(int), "power"),
        (lambda x: np.allclose(x, 1.0), "allclose"),
    ],
)
def test_what_cannot_be_traced_says_so(call: Any, says: str) -> None:
    with pytest.raises(JitadError, match=says):
        jitad.jit(call)(np.array([0.5, 1.0, 2.0]))


# -- dtypes and shapes ---------------------------------------------------------

OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "lt": operator.lt,
    "eq": operator.eq,
    "maximum": np.maximum,
    "fmin": np.fmin,
    "arctan2": np.arctan2,
    "copysign": np.copysign,
    "logaddexp": np.logaddexp,
    "where": lambda a, b: np.where(a > 1, a, b),
    "and": np.logical_and,
}
OPERANDS: dict[str, Any] = {
    "float64": np.array([1.5, -2.0, 0.25]),
    "float32": np.array([1.5, -2.0, 0.25], np.float32),
    "int64": np.array([3, -2, 1]),
    "int32": np.array([3, -2, 1], np.int32),
    "bool": np.array([True, False, True]),
}
NUMBERS: dict[str, Any] = {
    "float": 1.5,
    "int": 3,
    "bool": True,
    "np.float32": np.float32(1.5),
    "np.float64": np.float64(1.5),
    "np.int64": np.int64(3),
}


def numpys(f: Callable[..., Any], *args: Any) -> Any:
    """What NumPy gives, or None where it refuses or computes in a small dtype."""
    try:
        with np.errstate(all="ignore"):
            want = np.asarray(f(*args))
    except TypeError:
        return None
    return (
        want if np.result_type(want).itemsize in (4, 8) or want.dtype == bool else None
    )


def all_same(f: Any, pairs: list[tuple[Any, Any]], backend: Any) -> None:
    """f of all pairs that NumPy takes, in one compiled function."""
    pairs = [p for p in pairs if numpys(f, *p) is not None]
    got = jitad.jit(lambda ps: [f(a, b) for a, b in ps], backend=backend)(pairs)
    for g, pair in zip(got, pairs, strict=True):
        same(g, numpys(f, *pair))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_operands_of_two_dtypes(name: str, backend: Any) -> None:
    arrays = OPERANDS.values()
    pairs = [(a, b[::-1].copy()) for a in arrays for b in arrays]
    all_same(OPERATIONS[name], pairs, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_numbers_beside_arrays(name: str, backend: Any) -> None:
    """Python's numbers are weak, NumPy's are not."""
    f, numbers = OPERATIONS[name], [n for n in NUMBERS.values() if type(n) is not bool]
    pairs = [(OPERANDS[t], n) for t in ("float32", "int64") for n in numbers]
    pairs += [(n, a) for a, n in pairs]
    pairs += [(n, m) for n in numbers for m in numbers]
    all_same(f, pairs, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_constants_beside_arrays(name: str, backend: Any) -> None:
    """The same numbers where they are part of the function."""
    f = OPERATIONS[name]
    arrays = list(OPERANDS.values())
    places = [(k, n) for k in range(len(arrays)) for n in NUMBERS.values()]
    left = [(k, n) for k, n in places if numpys(f, arrays[k], n) is not None]
    right = [(k, n) for k, n in places if numpys(f, n, arrays[k]) is not None]

    def every(arrays: Any) -> Any:
        return [f(arrays[k], n) for k, n in left] + [f(n, arrays[k]) for k, n in right]

    with np.errstate(all="ignore"):
        want = every(arrays)
    got = jitad.jit(every, backend=backend)(arrays)
    for g, w in zip(got, want, strict=True):
        same(g, w)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("left", "right"),
    [((3, 1), (4,)), ((), (2, 3)), ((1,), ()), ((2, 1, 3), (4, 1)), ((0, 2), (1, 2))],
)
def test_broadcasting(left: Any, right: Any, backend: Any) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=left), rng.normal(size=right)

    def f(a: Any, b: Any) -> Any:
        return np.where(a > b, np.hypot(a, b), np.maximum(a, 2 * b))

    same(jitad.jit(f, backend=backend)(a, b), f(a, b))
    shape = np.broadcast_shapes(left, right)
    found = jitad.jacobian(f, argnums=(0, 1), backend=backend)(a, b)
    assert [j.shape for j in found] == [shape + left, shape + right]
