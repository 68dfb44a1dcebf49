"""NumPy's ufuncs on traced values: their values, dtypes and edges are NumPy's."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.special as sp

import jitad
from jitad.errors import UnsupportedError
from jitad.ir.bind import bind
from jitad.ir.interpret import interpret
from jitad.ir.primitive import registry
from jitad.transforms.rewrite.expand import expand
from jitad.transforms.scalars.scalarize import scalarize
from tests.support.engine import jacobian, traced
from tests.support.laws import MODES
from tests.support.ufuncs import in_words, numpys, same

nan, inf = float("nan"), float("inf")

EVERY = {
    ufunc.__name__: ufunc for ufunc in vars(np).values() if isinstance(ufunc, np.ufunc)
}
# Contractions are other rooms' ufuncs; the rest work on bits and dates.
CONTRACTIONS = {"matmul", "matvec", "vecdot", "vecmat"}
REFUSED = {
    "bitwise_count", "gcd", "lcm", "isnat", "frexp",
}  # fmt: skip
TRACED = sorted(set(EVERY) - REFUSED - CONTRACTIONS)

FLOATS = np.array(
    [0.0, -0.0, 0.3, -0.7, 1.0, -1.0, 1.5, 2.5, -2.5, 7.0, -30.0, 1e10, inf, -inf, nan]
)
INTEGERS = np.array([0, 1, -1, 2, -3, 7, 100, -100])
TABLES = {
    "float64": FLOATS,
    "float32": FLOATS.astype(np.float32),
    "int64": INTEGERS,
    "int32": INTEGERS.astype(np.int32),
    "bool": np.array([True, False]),
}


def operands(name: str, dtype: str) -> list[np.ndarray]:
    """Every pair of a table's values, or every value."""
    table = TABLES[dtype]
    if name == "ldexp":
        return [table]
    if EVERY[name].nin == 1:
        return [table]
    return [grid.ravel() for grid in np.meshgrid(table, table)]


def function(name: str) -> Callable[..., Any]:
    return (lambda x: np.ldexp(x, -3)) if name == "ldexp" else EVERY[name]


# Where NumPy's result is an integer that jitad has no word for.
WITHOUT_WORD = {("power", "int64"), ("power", "int32")}
# A logarithm near zero that is a difference of numbers near one.
LESS_ACCURATE = {"logaddexp": 16, "logaddexp2": 16}


def computed_in(name: str, columns: list[np.ndarray]) -> set[np.dtype]:
    """The dtypes of NumPy's loop; TypeError where it has none."""
    ufunc = EVERY[name]
    kinds = [c.dtype for c in columns] + [int] * (ufunc.nin - len(columns))
    return set(ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout)))


@pytest.mark.parametrize("dtype", TABLES)
@pytest.mark.parametrize("name", TRACED)
def test_ufuncs(name: str, dtype: str) -> None:
    f, columns = function(name), operands(name, dtype)
    scalars = [c[0] for c in columns]
    try:
        loop = computed_in(name, columns)
    except TypeError:
        with pytest.raises(TypeError):
            traced(f, *scalars)
        return
    if np.dtype(np.float16) in loop or (name, dtype) in WITHOUT_WORD:
        with pytest.raises(UnsupportedError):
            traced(f, *scalars)
        return
    want = numpys(f, columns)
    for g, w in zip(in_words(f, columns), want, strict=True):
        same(g, w, ulp=LESS_ACCURATE.get(name, 4))
    whole = interpret(traced(f, *columns).graph, columns)
    for g, w in zip(whole, want, strict=True):
        same(g, w, ulp=2)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_ufuncs(name: str) -> None:
    ufunc = EVERY[name]
    with pytest.raises(UnsupportedError, match=name):
        traced(ufunc, *[1.0] * ufunc.nin)


# -- functions that are no ufuncs ----------------------------------------------

_X = np.array([-2.5, -1.0, -0.0, 0.3, 1.0, 2.5, 3.7, 12.0])
_KNOTS, _HEIGHTS = [0.0, 1.0, 3.0], np.array([0.0, 2.0, 3.0])

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "where": lambda x: np.where(x > 0, x, -1),
    "where of a float condition": lambda x: np.where(x, x, 7.0),
    "where of numbers": lambda x: np.where(x > 0, 1.0, 2),
    "select": lambda x: np.select([x < 0, x < 1], [x * x, -x], 5.0),
    "select in order": lambda x: np.select([x < 3, x < 1], [x, 0 * x]),
    "piecewise": lambda x: np.piecewise(x, [x < 0, x > 1], [np.negative, np.sqrt, 3]),
    "piecewise, overruled": lambda x: np.piecewise(x, [x < 3, x < 1], [1.0, 2.0]),
    "piecewise, one": lambda x: np.piecewise(x, x < 0, [-1, 1]),
    "piecewise, more": lambda x: np.piecewise(
        x, [x > 0], [lambda t, a, b=0: a * t + b], 2.0, b=1
    ),
    "clip": lambda x: np.clip(x, -1, 2),
    "clip below": lambda x: np.clip(x, None, 2.0),
    "clip above": lambda x: np.clip(x, 0.5, None),
    "clip by arrays": lambda x: np.clip(x, x - 1, 0.5 * x),
    "clip, named": lambda x: np.clip(x, min=-1, max=1),
    "nan_to_num": lambda x: np.nan_to_num(x / (x > 0), nan=5.0, posinf=1e3),
    "sinc": np.sinc,
    "fix": np.fix,
    "round": np.round,
    "round, up": lambda x: np.round(x / 3, 2),
    "round, down": lambda x: np.around(x * 100, -1),
    "interp": lambda x: np.interp(x, _KNOTS, _HEIGHTS),
    "interp, ends": lambda x: np.interp(x, _KNOTS, _HEIGHTS, left=-7, right=9),
    "interp, periodic": lambda x: np.interp(x, [0.5, 4.5, 2.0], _HEIGHTS, period=3),
    "interp, one knot": lambda x: np.interp(x, [1.0], [2.0], left=0.0),
    "divmod": lambda x: divmod(x, 3.0),
    "logical": lambda x: np.logical_and(x, x > 0) | np.logical_not(x),
    "xor": lambda x: np.logical_xor(x, x > 1),
    "chained": lambda x: (x > 0) & (x < 3) ^ (x == 1),
    "conj": lambda x: np.conj(x) + np.real(x) + np.imag(x),
    "pos": lambda x: +x - (-x),
    "abs": lambda x: abs(x) + np.abs(x),
}


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str, dtype: str) -> None:
    f, x = FUNCTIONS[name], _X.astype(dtype)
    want = numpys(f, [x])
    for got in (in_words(f, [x]), interpret(traced(f, x).graph, [x])):
        for g, w in zip(got, want, strict=True):
            same(g, w, signs="round" not in name)


EXPONENTS = [0, 1, 2, 3, 4, 5, 6, 7, -1, -2, -3, -4, -5, 0.5, 1.5, 2.5, -0.5, -1.5, 0.1]


@pytest.mark.parametrize("kind", [float, np.float64, np.float32, int])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("exponent", EXPONENTS)
def test_powers(exponent: float, dtype: str, kind: type) -> None:
    """Within 3 ulp of NumPy's pow; the same dtype, zeros and infinities."""
    if kind is int and exponent != int(exponent):
        return
    p = kind(exponent)
    x = np.concatenate([FLOATS, [1e30, 1e-30, 3.3, 1e-10]]).astype(dtype)
    x[x == 1e10] = 1e7  # whose small powers are normal numbers
    if exponent % 1:
        x = x[~(x < 0) & (x != 0)]
    for f in (lambda x: x**p, lambda x: np.power(x, p), lambda x: x ** np.array([p])):
        (want,) = numpys(f, [x])
        for got in (in_words(lambda x, f=f: np.ravel(f(x))[0], [x]),):
            same(got[0], want, ulp=3)


def test_powers_of_arrays_of_exponents() -> None:
    def f(x: Any) -> Any:
        return x ** np.arange(-2.0, 5.0)

    got = interpret(expand(scalarize(traced(f, 1.7).graph)), [np.float64(1.7)])[0]
    np.testing.assert_allclose(got, f(1.7), rtol=1e-15)
    assert "pow(" not in expand(scalarize(traced(f, 1.7).graph)).text


def test_integer_powers() -> None:
    x = np.array([-3, 0, 2, 7])
    for p in (0, 1, 2, 3, 10):
        same(in_words(lambda x, p=p: x**p, [x])[0], x**p)
    with pytest.raises(UnsupportedError, match="make the base a float"):
        traced(lambda x: x**-1, 3)
    same(in_words(lambda x: x**-1.0, [x[2:]])[0], x[2:] ** -1.0)


ERRORS: dict[str, tuple[Callable[..., Any], str]] = {
    "ldexp": (lambda x: np.ldexp(x, np.int64(1) * (x > 0)), "traced exponent"),
    "interp": (lambda x: np.interp(x, [x, 2.0], [0.0, 1.0]), "constants"),
    "interp, nan": (
        lambda x: np.interp(x + np.arange(3.0), [0, 1, 2, 3, np.nan], range(5)),
        "depend on the order",
    ),
    "interp, lengths": (lambda x: np.interp(x, [0.0, 2.0], [1.0]), "same length"),
    "select": (lambda x: np.select([x > 0], [x, x]), "pair them"),
    "piecewise": (lambda x: np.piecewise(x, [x > 0], [1, 2, 3]), "one more"),
    "where": (lambda x: np.where(x > 0), "both branches"),
    "round": (lambda x: np.round(x, out=np.zeros(())), "np.round"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_remedy(name: str) -> None:
    f, text = ERRORS[name]
    with pytest.raises((UnsupportedError, ValueError, TypeError), match=text):
        traced(f, 1.5)


# -- derivatives ---------------------------------------------------------------


def several() -> list[Any]:
    found = registry.primitives.values()
    return [p for p in found if p.kind == "elementwise" and p.partials and p.points]


@pytest.mark.parametrize("primitive", several(), ids=str)
def test_every_order_of_accumulation_agrees(primitive: Any) -> None:
    """The primitive inside a composition, twice used."""
    for point in primitive.points:
        wrt = [k for k in range(len(point)) if k not in primitive.unknown]

        def f(*xs: Any) -> Any:
            y = bind(primitive, xs, [None] * len(xs), xs[0].dtype)
            return np.stack([y * xs[0], np.sin(y) + xs[-1]])

        jacobians = [jacobian(f, *point, mode=mode, wrt=wrt) for mode in MODES]
        for other in jacobians[1:]:
            for a, b in zip(jacobians[0], other, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-13)


def nth(f: Callable[..., Any], n: int) -> Callable[..., Any]:
    for _ in range(n):
        f = jitad.grad(f, backend="numpy")
    return f


# name: (function, order of derivative, point, value); where shortcuts go wrong first.
HIGHER: dict[str, tuple[Callable[..., Any], int, float, float]] = {
    "tanh''' at 0": (np.tanh, 3, 0.0, -2.0),
    "expit''' at 0": (sp.expit, 3, 0.0, -0.125),
    "log'' at -1": (np.log, 2, -1.0, nan),
    "log1p'' at -2": (np.log1p, 2, -2.0, nan),
    "arctanh'' at 2": (np.arctanh, 2, 2.0, nan),
    "gammaln'' at -1": (sp.gammaln, 2, -1.0, nan),
    "logaddexp'' at a tie": (lambda x: np.logaddexp(x, 1.0), 2, 1.0, 0.25),
    "logaddexp'' apart": (lambda x: np.logaddexp(x, 0.0), 2, 40.0, np.exp(-40.0)),
    "logsumexp'' at a tie": (
        lambda x: sp.logsumexp(np.stack([x, 1.0 + 0 * x, x])),
        2,
        1.0,
        2 / 9,
    ),
    "logsumexp'' at one of two": (
        lambda x: sp.logsumexp(np.stack([x, 1.0 + 0 * x])),
        2,
        1.0,
        0.25,
    ),
    "sinc'' at 0": (np.sinc, 2, 0.0, -(np.pi**2) / 3),
    "sinc'''' at 0": (np.sinc, 4, 0.0, np.pi**4 / 5),
    "abs'' at 0": (np.abs, 2, 0.0, 0.0),
    "(x**3)''' at 0": (lambda x: x**3, 3, 0.0, 6.0),
    "(x**3)'''' at 0": (lambda x: x**3, 4, 0.0, 0.0),
    "(x**2.5)'' at 0": (lambda x: x**2.5, 2, 0.0, 0.0),
    "(x**-2)'' small": (lambda x: x**-2, 2, 1e-70, 6e280),
    "erf'' at 1": (sp.erf, 2, 1.0, -4 / np.sqrt(np.pi) / np.e),
    "exprel''' at 0": (sp.exprel, 3, 0.0, 0.25),
    "exprel'' at -inf": (sp.exprel, 2, -np.inf, 0.0),
    "exprel'' at inf": (sp.exprel, 2, np.inf, np.inf),
    "i0'' at 0": (np.i0, 2, 0.0, 0.5),
    "i0'''' at 0": (np.i0, 4, 0.0, 0.375),
    "i1''' at 0": (sp.i1, 3, 0.0, 0.375),
    "i0'' at 5": (np.i0, 2, 5.0, sp.i0(5.0) - sp.i1(5.0) / 5),
    "erfinv'' at 0": (sp.erfinv, 2, 0.0, 0.0),
    "ndtr''' at 0": (sp.ndtr, 3, 0.0, -1 / np.sqrt(2 * np.pi)),
    "digamma''' at 1": (sp.digamma, 3, 1.0, np.pi**4 / 15),
    "polygamma(1)' at 2": (lambda x: sp.polygamma(1, x), 1, 2.0, sp.polygamma(2, 2.0)),
    "relu'' at 1": (lambda x: np.maximum(x, 0) ** 2, 2, 1.0, 2.0),
    "where'' untaken": (lambda x: np.where(x > 0, x**0.5, 0.0), 2, 0.0, 0.0),
    "exp2'' at 0": (np.exp2, 2, 0.0, np.log(2) ** 2),
    "hypot'' at (0, 1)": (lambda x: np.hypot(x, 1.0), 2, 0.0, 1.0),
    "arctan2''": (lambda x: np.arctan2(x, 1.0), 2, 1.0, -0.5),
    "mod'' at 5": (lambda x: np.mod(x, 3.0) ** 2, 2, 5.0, 2.0),
    "interp''": (lambda x: np.interp(x, _KNOTS, _HEIGHTS) ** 2, 2, 2.0, 0.5),
    "entr'' at 1": (sp.entr, 2, 1.0, -1.0),
}


@pytest.mark.parametrize("name", HIGHER)
def test_higher_derivatives(name: str) -> None:
    f, order, x, want = HIGHER[name]
    np.testing.assert_allclose(nth(f, order)(x), want, rtol=1e-13)


def test_mixed_second_derivatives() -> None:
    hessian = jitad.hessian(lambda v: sp.xlogy(v[0], v[1]), backend="numpy")
    np.testing.assert_allclose(hessian(np.array([0.0, 2.0])), [[0, 0.5], [0.5, 0]])
    hessian = jitad.hessian(lambda v: v[0] ** v[1], backend="numpy")
    cross = 1 + np.log(2.0) * 1.0
    np.testing.assert_allclose(
        hessian(np.array([2.0, 1.0])), [[0, cross], [cross, 2 * np.log(2.0) ** 2]]
    )


@pytest.mark.slow
def test_interp_through_many_knots() -> None:
    rng = np.random.default_rng(3)
    for count in (1, 2, 3, 1000):
        knots, heights = np.sort(rng.normal(size=count)), rng.normal(size=count)
        x = np.concatenate([knots, rng.normal(size=50), [np.nan, np.inf, -np.inf]])
        for beyond in ({}, {"left": -5.0, "right": 9.0}):
            want = np.interp(x, knots, heights, **beyond)
            f = partial(np.interp, xp=knots, fp=heights, **beyond)
            got = jitad.vmap(lambda x, f=f: f(x))(x)
            np.testing.assert_allclose(got, want, rtol=1e-12)


def test_interp_reads_what_lies_at_a_place_among_many() -> None:
    """One of many knots is looked up, in few operations, as it is found among few."""
    rng = np.random.default_rng(4)
    knots, heights = np.sort(rng.normal(size=40)), rng.normal(size=40)
    heights[[0, 5, 9, 20, 21, 30, 31]] = [inf, nan, -inf, inf, -inf, inf, inf]
    x = np.concatenate([rng.normal(size=9), knots[::3], [nan, inf, -inf]])
    for backend in ("cpu", "numpy"):
        for beyond in ({}, {"left": -5.0, "right": nan}):
            with np.errstate(all="ignore"):
                want = np.interp(x, knots, heights, **beyond)
            f = partial(np.interp, xp=knots, **beyond)
            one = jitad.vmap(lambda x, f=f: f(x, fp=heights), backend=backend)
            two = jitad.jit(lambda x, v, f=f: f(x, fp=v), backend=backend)
            np.testing.assert_allclose(one(x), want, rtol=1e-12)
            np.testing.assert_allclose(two(x, heights), want, rtol=1e-12)
    graph = jitad.jit(lambda x, v: np.interp(x, knots, v)).prepare(x, heights)
    assert len(graph.derived.graph.nodes) < 150 * len(x)


@pytest.mark.parametrize("mode", MODES)
def test_derivatives_of_interp_among_many_are_those_among_few(mode: Any) -> None:
    """Where there are few knots, all of them are selected from: the same pieces."""
    few, values = np.array([0.0, 1.0, 3.0]), np.array([2.0, 1.0, 5.0])
    more = np.arange(10.0, 50.0)
    knots, beside = np.append(few, more), np.append(values, np.full(40, 5.0))
    x = np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, nan])

    def slopes(knots: Any, v: Any) -> Any:
        f = lambda x, v: np.interp(x, knots, v)  # noqa: E731
        return jitad.jacobian(f, argnums=(0, 1), mode=mode, backend="numpy")(x, v)

    for many, want in zip(slopes(knots, beside), slopes(few, values), strict=True):
        np.testing.assert_allclose(many[:, : want.shape[1]], want, rtol=1e-12)


def test_interp_in_its_values() -> None:
    def f(v: Any) -> Any:
        return np.interp([-1.0, 0.25, 1.0, 2.0, 9.0], _KNOTS, v)

    got = jacobian(f, _HEIGHTS)[0]
    want = [[1, 0, 0], [0.75, 0.25, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]]
    np.testing.assert_allclose(got, want)


def test_stop_gradient() -> None:
    np.testing.assert_allclose(
        jitad.grad(lambda x: x * jitad.stop_gradient(x * x))(3.0), 9.0
    )
    assert jitad.stop_gradient(2.0) == 2.0


@pytest.mark.parametrize("name", ["sqrt", "log", "arctan2", "tanh", "logaddexp"])
def test_single_precision_stays(name: str) -> None:
    """No operation of a float32 gradient is in float64."""
    ufunc = EVERY[name]
    f = jitad.graph(jitad.jacobian(ufunc), *[np.float32(0.5)] * ufunc.nin)
    assert "float64" not in str(f)


def test_single_precision_of_branches() -> None:
    def f(x: Any) -> Any:
        return np.sum(np.maximum(x, 0) + np.where(x > 1, x, np.clip(x, -1, 2)) ** 3)

    assert "float64" not in str(jitad.graph(jitad.grad(f), np.ones(3, np.float32)))


INFINITE = (
    *([0.0, 1.0, 2.0], [-inf, 0.0, 1.0], [0.0, 1.0, inf], [-inf, 0.0, inf]),
    *([-inf, inf], [0.0, inf], [-inf, 1.0]),
    *([0.0, nan, 2.0], [nan, 0.0, 1.0], [0.0, 1.0, nan], [nan, nan], [0.0, nan]),
)


@pytest.mark.parametrize("knots", INFINITE, ids=str)
def test_interp_where_knots_or_values_are_infinite(knots: list[float]) -> None:
    """Of constant values, and of traced ones, of which one may be NaN."""
    x = np.array([-inf, -5.0, -1.0, 0.0, 0.25, 1.0, 1.5, 2.0, 3.0, inf, np.nan])
    every = itertools.product([1.0, -2.0, inf, -inf, np.nan], repeat=len(knots))
    tables = np.array(list(every))
    got = jitad.vmap(lambda v: np.interp(x, knots, v, left=0.5))(tables)
    for k, (values, y) in enumerate(zip(tables, got, strict=True)):
        want = np.interp(x, knots, values, left=0.5)
        np.testing.assert_array_equal(y, want)
        if k % 9 == 0:
            f = partial(np.interp, xp=knots, fp=values, left=0.5)
            same(in_words(lambda x, f=f: f(x), [x])[0], want, ulp=0)


def test_interp_where_some_of_many_knots_are_nan() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 4, 5, 6, 9, 12, 15):
        for _ in range(4):
            knots = np.sort(rng.integers(0, 30, count)) / 3.0
            knots[rng.integers(count, size=2)] = nan
            values = rng.integers(-1, 2, count) / 4.0
            f = partial(np.interp, xp=knots, fp=values)
            x = np.array([-1.0, *knots, *rng.uniform(0, 10, 8), inf, -inf, nan])
            got = jitad.vmap(lambda x, f=f: f(x), backend="numpy")(x)
            np.testing.assert_array_equal(got, [f(v) for v in x])


def test_slopes_beside_knots_that_are_nan() -> None:
    knots, values = [0.0, 1.0, nan, 4.0], [0.0, 2.0, 2.0, 5.0]
    x = np.array([-1.0, 0.5, 1.5, 3.0, 4.5])
    for mode in ("forward", "reverse", "cross"):
        f = jitad.jacobian(lambda x: np.interp(x, knots, values), mode=mode)
        np.testing.assert_array_equal(jitad.vmap(f)(x), [0, 2, 0, 0, 0])
    unknown = jitad.grad(lambda x: np.interp(x, [0.0, nan], [1.0, 2.0]))(0.5)
    np.testing.assert_array_equal(unknown, nan)


def test_slopes_beside_infinite_knots_and_values() -> None:
    at = np.array([-5.0, 0.5, 1.5, 2.5])
    f = lambda x: np.interp(x, [-inf, 1.0, 2.0, 3.0], [0.0, 1.0, 4.0, inf])  # noqa: E731
    slopes = jitad.vmap(jitad.grad(f))(at)
    np.testing.assert_array_equal(slopes, [0, 0, 3, inf])
    g = lambda v: np.interp(at[:3], [-inf, 1.0, 2.0], v)  # noqa: E731
    by_value = jitad.jacobian(g)(np.array([0.0, 1.0, 4.0]))
    np.testing.assert_array_equal(by_value, [[0, 1, 0], [0, 1, 0], [0, 0.5, 0.5]])
