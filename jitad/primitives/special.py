"""Functions of scipy.special: error function, gamma function, sigmoids, entropies.

Partials that need exp(-x²) use `_gaussian`, which squares without rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

from jitad.primitives.define import derived, elementwise

NAN, INF = float("nan"), float("inf")
LN2 = 0.6931471805599453
ROOT_HALF = 0.7071067811865476  # 1 / √2
TWO_OVER_ROOT_PI = 1.1283791670955126  # 2 / √π
ROOT_PI_OVER_TWO = 0.8862269254527580  # √π / 2
INVERSE_ROOT_TWO_PI = 0.3989422804014327  # 1 / √(2π)

_ALL = ((0.3,), (-1.7,), (2.5,), (-0.02,), (1e-9,), (5.0,), (-6.0,))


def _gaussian(x: Any) -> Any:
    """exp(-x²): the square of a rounded x is exact, the rest is small (Cody 1969)."""
    whole = np.trunc(x * 16.0) * 0.0625
    rest = (x - whole) * (x + whole)
    return np.where(np.abs(x) > 40, 0.0, np.exp(-whole * whole) * np.exp(-rest))


elementwise(
    "erf",
    scipy.special.erf,
    word="erf",
    cost=25,
    partials=lambda y, x: [TWO_OVER_ROOT_PI * _gaussian(x)],
    points=_ALL,
)
elementwise(
    "erfc",
    scipy.special.erfc,
    word="erfc",
    cost=30,
    partials=lambda y, x: [-TWO_OVER_ROOT_PI * _gaussian(x)],
    points=_ALL,
)
elementwise(
    "erfinv",
    scipy.special.erfinv,
    word="erfinv",
    cost=200,
    partials=lambda y, x: [
        np.where(np.isinf(y), INF, ROOT_PI_OVER_TWO / _gaussian(y)) + 0.0 * x
    ],
    points=((0.3,), (-0.7,), (1e-9,), (0.1,)),
)
elementwise(
    "ndtr",
    scipy.special.ndtr,
    cost=35,
    expand=lambda x: 0.5 * scipy.special.erfc(-x * ROOT_HALF),
    partials=lambda y, x: [INVERSE_ROOT_TWO_PI * _half_gaussian(x)],
    points=_ALL,
)


def _half_gaussian(x: Any) -> Any:
    """exp(-x²/2), as _gaussian."""
    whole = np.trunc(x * 16.0) * 0.0625
    rest = (x - whole) * (x + whole)
    powers = np.exp(-0.5 * whole * whole) * np.exp(-0.5 * rest)
    return np.where(np.abs(x) > 60, 0.0, powers)


# -- gamma function ------------------------------------------------------------

_GAMMA = ((0.3,), (2.5,), (10.0,), (-0.5,), (1e3,), (1e-9,))


def _pole(x: Any) -> Any:
    return (x <= 0) & (x == np.floor(x))


elementwise(
    "gammaln",
    scipy.special.gammaln,
    word="lgamma",
    cost=120,
    partials=lambda y, x: [np.where(_pole(x), NAN, scipy.special.digamma(x))],
    points=_GAMMA,
)
elementwise(
    "digamma",
    scipy.special.digamma,
    word="digamma",
    cost=150,
    partials=lambda y, x: [np.where(_pole(x), NAN, _hurwitz(2.0, x))],
    points=_GAMMA,
)
# scipy.special.zeta is a Python function around this ufunc.
_hurwitz = scipy.special._ufuncs._zeta  # type: ignore[attr-defined]
elementwise(
    "zeta",
    _hurwitz,
    word="zeta",
    cost=300,
    # The derivative in the exponent has no closed form here: NaN, not a wrong number.
    partials=lambda y, s, x: [NAN * s, -s * _hurwitz(s + 1.0, x)],
    points=((2.0, 0.3), (3.0, 2.5), (4.0, 10.0)),
)


# -- sigmoids ------------------------------------------------------------------


def _expit(x: Any) -> Any:
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1.0) / (1.0 + small)


def _expit_slope(y: Any, x: Any) -> list[Any]:
    small = np.exp(-np.abs(x))
    return [small / ((1.0 + small) * (1.0 + small))]


elementwise(
    "expit",
    scipy.special.expit,
    cost=25,
    expand=_expit,
    partials=_expit_slope,
    points=((0.3,), (-1.7,), (30.0,), (-700.0,)),
)
elementwise(
    "log_expit",
    scipy.special.log_expit,
    cost=30,
    expand=lambda x: np.minimum(x, 0.0) - np.log1p(np.exp(-np.abs(x))),
    partials=lambda y, x: [scipy.special.expit(-x)],
    points=((0.3,), (-1.7,), (30.0,), (-700.0,)),
)


def _logit(x: Any) -> Any:
    near = np.abs(x - 0.5) <= 0.2
    middle = np.where(near, x, 0.5)
    series = np.log1p((2.0 * middle - 1.0) / (1.0 - middle))
    return np.where(near, series, np.log(x / (1.0 - x)))


elementwise(
    "logit",
    scipy.special.logit,
    cost=30,
    expand=_logit,
    partials=lambda y, x: [
        np.where((x >= 0) & (x <= 1), 1.0 / np.abs(x * (1.0 - x)), NAN)
    ],
    points=((0.3,), (0.7,), (1e-9,), (0.999,), (0.5000001,)),
)

# -- logarithms of sums --------------------------------------------------------


def _difference(a: Any, b: Any) -> tuple[Any, Any]:
    """a - b and its rounding error (Knuth's two-sum); 0 where that is not finite."""
    d = a - b
    back = d + b
    error = (a - back) + ((back - d) - b)
    return d, np.where(np.isfinite(error), error, 0.0)


def _share(a: Any, b: Any, factor: float = 1.0, power: Any = np.exp) -> Any:
    """The weight of a in log(exp a + exp b); equal operands share, infinite too."""
    d, error = _difference(b, a)
    odds = power(d) * (1.0 + factor * error)
    return np.where(a == b, 0.5, 1.0 / (1.0 + np.where(np.isinf(d), power(d), odds)))


def _logaddexp(a: Any, b: Any) -> Any:
    most = np.maximum(a, b)
    other = most + np.log1p(np.exp(-np.abs(a - b)))
    return np.where(a == b, a + LN2, other)


def _logaddexp2(a: Any, b: Any) -> Any:
    most = np.maximum(a, b)
    other = most + np.log1p(np.exp2(-np.abs(a - b))) * (1.0 / LN2)
    return np.where(a == b, a + 1.0, other)


_SUMS = ((1.0, 2.0), (2.5, 2.5), (700.0, -3.0), (-800.0, -801.5))
elementwise(
    "logaddexp",
    np.logaddexp,
    cost=35,
    expand=_logaddexp,
    partials=lambda y, a, b: [_share(a, b), _share(b, a)],
    points=_SUMS,
)
elementwise(
    "logaddexp2",
    np.logaddexp2,
    cost=35,
    expand=_logaddexp2,
    partials=lambda y, a, b: [
        _share(a, b, LN2, np.exp2),
        _share(b, a, LN2, np.exp2),
    ],
    points=_SUMS,
)

# -- entropies -----------------------------------------------------------------

_PAIRS = ((0.5, 2.0), (2.0, 0.3), (0.0, 0.5), (-1.0, 3.0))


elementwise(
    "xlogy",
    scipy.special.xlogy,
    cost=20,
    expand=lambda x, y: np.where((x == 0) & ~np.isnan(y), 0.0, x * np.log(y)),
    partials=lambda z, x, y: [
        np.where((x == 0) & (y == 0), 0.0, np.log(y)),
        np.where(x == 0, 0.0, x / y),
    ],
    points=_PAIRS,
)
elementwise(
    "xlog1py",
    scipy.special.xlog1py,
    cost=20,
    expand=lambda x, y: np.where((x == 0) & ~np.isnan(y), 0.0, x * np.log1p(y)),
    partials=lambda z, x, y: [
        np.where((x == 0) & (y == -1), 0.0, np.log1p(y)),
        np.where(x == 0, 0.0, x / (1.0 + y)),
    ],
    points=_PAIRS,
)
elementwise(
    "entr",
    scipy.special.entr,
    cost=20,
    expand=lambda x: np.where(
        x > 0, -x * np.log(x), np.where(x == 0, 0.0, np.where(x < 0, -INF, x))
    ),
    partials=lambda y, x: [-np.log(x) - 1.0],
    points=((0.5,), (2.0,), (1e-9,), (0.3,)),
)
