"""Exponentials, logarithms, trigonometric and hyperbolic functions, and their inverses.

Each partial keeps its relative accuracy over the whole range of the function, which is
why tanh' is not 1 - y² and arcsinh' not 1 / √(1 + x²).  Slopes whose own derivative,
written out, overflows or has no limit at an end of the domain are stated ones.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitad.ir.primitive import Steep
from jitad.ir.tracer import Tracer
from jitad.primitives.define import bind_promoted, derived, elementwise
from jitad.primitives.stated import stated

from .barrier import undefined_where
from .exact import bell

LN2 = 0.6931471805599453
INVERSE_LN2 = 1.4426950408889634  # 1 / ln 2
INVERSE_LN10 = 0.4342944819032518  # 1 / ln 10
NAN = float("nan")

_ALL = ((0.3,), (-1.7,), (2.5,), (-0.02,), (1e-9,), (-30.0,), (20.0,))
_POSITIVE = ((0.3,), (1.0,), (1.0000001,), (25.0,), (1e-200,), (1e200,))
_ENDS, _POLES = Steep(None), Steep(None, finite=False)
_INSIDE = ((0.3,), (-0.99,), (0.999999,), (1e-9,), (-0.5,))


def _exponential(name: str, ufunc: np.ufunc, partial: Any) -> None:
    elementwise(name, ufunc, word=name, cost=15, partials=partial, points=_ALL)


_exponential("exp", np.exp, lambda y, x: [y])
_exponential("exp2", np.exp2, lambda y, x: [y * LN2])
_exponential("expm1", np.expm1, lambda y, x: [np.exp(x)])


def _logarithm(name: str, ufunc: np.ufunc, factor: float) -> None:
    slope = stated(
        f"{name}'", lambda y, x: [-y * (y if factor == 1.0 else y / factor)],
        infinite_at=0.0, finite=False,
    )  # fmt: skip
    # x + 0 makes -0 to 0, where the limit is +inf; below it there is no derivative.
    elementwise(
        name,
        ufunc,
        word=name,
        cost=15,
        partials=lambda y, x: [
            slope(undefined_where(x < 0, NAN, factor / (x + 0.0)), x)
        ],
        points=_POSITIVE,
        steep=Steep(finite=False),
    )


_logarithm("log", np.log, 1.0)
_logarithm("log2", np.log2, INVERSE_LN2)
_logarithm("log10", np.log10, INVERSE_LN10)
elementwise(
    "log1p",
    np.log1p,
    word="log1p",
    cost=15,
    partials=lambda y, x: [undefined_where(x < -1, NAN, 1.0 / (1.0 + x))],
    points=((0.3,), (-0.999,), (1e-12,), (1e200,), (-1e-9,)),
    steep=Steep(-1.0, finite=False),
)

# -- trigonometric -------------------------------------------------------------


def _circular(name: str, ufunc: np.ufunc, partial: Any, **options: Any) -> None:
    points = options.pop("points", _ALL)
    elementwise(name, ufunc, cost=20, partials=partial, points=points, **options)


_circular("sin", np.sin, lambda y, x: [np.cos(x)], word="sin")
_circular("cos", np.cos, lambda y, x: [-np.sin(x)], word="cos")
_circular("tan", np.tan, lambda y, x: [1.0 + y * y], word="tan")
_inverse_cosine = stated("1/√(1-x²)", lambda y, x: [(x * y) * y * y], infinite_at=NAN)


def _cosine_of_arcsin(x: Any) -> Any:
    """1 / √(1 - x²)."""
    return _inverse_cosine(1.0 / np.sqrt((1.0 - x) * (1.0 + x)), x)


_circular(
    "arcsin",
    np.arcsin,
    lambda y, x: [_cosine_of_arcsin(x)],
    word="asin",
    points=_INSIDE,
    steep=_ENDS,
)
_circular(
    "arccos",
    np.arccos,
    lambda y, x: [-_cosine_of_arcsin(x)],
    word="acos",
    points=_INSIDE,
    steep=_ENDS,
)
_lorentz = stated(
    "1/(1+x²)", lambda y, x: [-2.0 * (np.where(np.isinf(x), 0.0, x) * y) * y]
)
_circular(
    "arctan", np.arctan, lambda y, x: [_lorentz(1.0 / (1.0 + x * x), x)], word="atan"
)


def _over_square(p: Any, q: Any) -> tuple[Any, Any, Any, Any]:
    """p and q over p² + q², divided by the larger of the two: nothing overflows."""
    wide = np.abs(p) >= np.abs(q)
    large, other = np.where(wide, p, q), np.where(wide, q, p)
    ratio = other / large
    inverse = 1.0 / (large * (1.0 + ratio * ratio))
    rest = ratio * inverse
    return np.where(wide, inverse, rest), np.where(wide, rest, inverse), large, inverse


def _slopes_over_square(y: Any, p: Any, q: Any) -> list[Any]:
    """(q² - p²) and -2 p q over (p² + q²)²."""
    first, second, large, inverse = _over_square(p, q)
    infinite = np.isinf(large)
    # Of infinite numbers the differences would be NaN.
    least, most = (np.where(infinite, 0.0, d) for d in (q - p, q + p))
    unit = np.where(infinite, 1.0, large)
    across = ((least / unit) * inverse) * ((most / unit) * inverse)
    return [across, -2.0 * (first * second)]


_share_of_square = stated("p/(p²+q²)", _slopes_over_square)


def _arctan2(y: Any, b: Any, a: Any) -> list[Any]:
    """a / (a² + b²) and -b / (a² + b²)."""
    first, second, _, _ = _over_square(a, b)
    return [_share_of_square(first, a, b), -_share_of_square(second, b, a)]


elementwise(
    "arctan2",
    np.arctan2,
    word="atan2",
    cost=30,
    partials=_arctan2,
    points=((1.0, 2.0), (-0.3, -2.0), (1e-200, 1e-200), (1e150, 1e160), (0.0, -1.0)),
)


def _bent(y: Any, x: Any, other: Any) -> list[Any]:
    """other² and -x other over (x² + other²)^(3/2): 0/0, NaN, at the kink."""
    radius = np.hypot(x, other)
    share = other / radius
    flat = np.isinf(radius)
    return [np.where(flat, 0.0, s * share / radius) for s in (share, -y)]


_share_of_hypot = stated("x/√(x²+z²)", _bent)


def _hypot(y: Any, a: Any, b: Any) -> list[Any]:
    """a / y and b / y; 0 at the kink, and ±1 for the one that is infinite alone."""

    def slope(x: Any, other: Any) -> Any:
        edge = (y == 0) | (np.isinf(x) & np.isfinite(other))
        return _share_of_hypot(np.where(edge, np.sign(x), x / y), x, other)

    return [slope(a, b), slope(b, a)]


elementwise(
    "hypot",
    np.hypot,
    word="hypot",
    cost=15,
    partials=_hypot,
    square=lambda a, b: a * a + b * b,
    points=((3.0, 4.0), (0.0, -1.5), (1e160, 2e160), (1e-200, 1e-200), (-1e-3, 1e3)),
)

# -- hyperbolic ----------------------------------------------------------------


_circular("sinh", np.sinh, lambda y, x: [np.cosh(x)], word="sinh")
_circular("cosh", np.cosh, lambda y, x: [np.sinh(x)], word="cosh")
_circular("tanh", np.tanh, lambda y, x: [4.0 * bell(2.0 * x)], word="tanh")
_circular(
    "arcsinh",
    np.arcsinh,
    lambda y, x: [1.0 / np.hypot(1.0, x)],
    word="asinh",
    points=(*_ALL, (1e200,)),
)
_inverse_sinh = stated("1/√(x²-1)", lambda y, x: [-((x * y) * y * y)], infinite_at=NAN)
_circular(
    "arccosh",
    np.arccosh,
    lambda y, x: [_inverse_sinh(1.0 / (np.sqrt(x - 1.0) * np.sqrt(x + 1.0)), x)],
    word="acosh",
    steep=_ENDS,
    points=((1.5,), (1.000001,), (30.0,), (1e200,)),
)
_inverse_sech = stated("1/(1-x²)", lambda y, x: [2.0 * (x * y) * y], infinite_at=NAN)
_circular(
    "arctanh",
    np.arctanh,
    lambda y, x: [
        _inverse_sech(
            undefined_where(np.abs(x) > 1, NAN, 1.0 / ((1.0 - x) * (1.0 + x))), x
        )
    ],
    word="atanh",
    points=_INSIDE,
    steep=_POLES,
)

# -- units and cardinal sine ---------------------------------------------------


@derived(np.deg2rad, np.radians)
def radians(x: Any) -> Any:
    """Degrees to radians."""
    return x * (np.pi / 180.0)


@derived(np.rad2deg, np.degrees)
def degrees(x: Any) -> Any:
    """Radians to degrees."""
    return x * (180.0 / np.pi)


def _sinc(x: Any) -> Any:
    angle = np.pi * x
    angle = np.where(angle == 0, 1e-20, angle)
    return np.sin(angle) / angle


# d/dx (sin πx / πx) = x Σ (-1)^k 2k π^2k x^(2k-2) / (2k+1)!, for |x| below _NEAR.
_NEAR = 0.7
_SERIES = [
    (-1) ** k * 2 * k * math.pi ** (2 * k) / math.factorial(2 * k + 1)
    for k in range(1, 15)
]
# The derivative of that.
_SECOND = [(2 * k + 1) * c for k, c in enumerate(_SERIES)]


def _series(coefficients: list[float], square: Any) -> Any:
    found: Any = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        found = found * square + coefficient
    return found


def _turned(x: Any) -> tuple[Any, Any]:
    """π times x less its nearest integer, and the sign that this gives its sine."""
    whole = np.rint(x)
    odd = np.abs(whole - 2.0 * np.rint(0.5 * whole))
    return np.pi * (x - whole), 1.0 - 2.0 * odd


def _sinc_slope(y: Any, x: Any) -> list[Any]:
    """The series near 0; beyond, (cos πx - sinc x) / x."""
    near = np.abs(x) < _NEAR
    away = np.where(near, 1.0, x)
    angle, sign = _turned(away)
    formula = sign * ((np.cos(angle) - np.sin(angle) / (np.pi * away)) / away)
    return [_sinc_second(np.where(near, _series(_SERIES, x * x) * x, formula), x)]


def _sinc_bend(y: Any, x: Any) -> list[Any]:
    """The same of the second derivative: beyond, -(π sin πx + 2 y) / x."""
    near = np.abs(x) < _NEAR
    away = np.where(near, 1.0, x)
    angle, sign = _turned(away)
    formula = -(sign * (np.pi * np.sin(angle)) + 2.0 * y) / away
    return [np.where(near, _series(_SECOND, x * x), formula)]


_sinc_second = stated("sinc'", _sinc_bend)
_cardinal = elementwise(
    "sinc",
    evaluate=np.sinc,
    expand=_sinc,
    partials=_sinc_slope,
    cost=25,
    points=((0.0,), (1e-8,), (0.3,), (-0.49,), (0.52,), (1.3,), (-7.7,), (1e5,)),
)


@derived(np.sinc)
def sinc(x: Any) -> Tracer:
    """sin(πx) / πx."""
    return bind_promoted(_cardinal, [x])
