"""Functions of scipy.special: error and gamma functions, exprel, sigmoids, entropies.

Imported when scipy.special has been, which takes long: only then can a function be
traced that calls them.  Plain Python functions there know nothing of tracers: they are
in the registry's redirects, which hold while a function is traced.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special

from jitad.errors import UnsupportedError
from jitad.ir.dispatch import operand
from jitad.ir.primitive import Steep, registry
from jitad.ir.source import source_line
from jitad.ir.tracer import Tracer
from jitad.primitives.define import bind_promoted, derived, elementwise
from jitad.primitives.stated import stated

from . import bessel, sums
from .barrier import undefined_where
from .exact import bell, fma, gauss, gauss_half

NAN, INF = float("nan"), float("inf")
ROOT_HALF = 0.7071067811865476  # 1 / √2
TWO_OVER_ROOT_PI = 1.1283791670955126  # 2 / √π
ROOT_PI_OVER_TWO = 0.8862269254527580  # √π / 2
INVERSE_ROOT_TWO_PI = 0.3989422804014327  # 1 / √(2π)

_ALL = ((0.3,), (-1.7,), (2.5,), (-0.02,), (1e-9,), (5.0,), (-6.0,))

# What scipy.special names like NumPy.
for _name in ("exp2", "expm1", "log1p", "cbrt"):
    registry.ufuncs[getattr(scipy.special, _name)] = registry.ufuncs[getattr(np, _name)]

# -- error functions -----------------------------------------------------------

elementwise(
    "erf",
    scipy.special.erf,
    word="erf",
    cost=25,
    partials=lambda y, x: [TWO_OVER_ROOT_PI * gauss(x)],
    points=_ALL,
)
elementwise(
    "erfc",
    scipy.special.erfc,
    word="erfc",
    cost=30,
    partials=lambda y, x: [-TWO_OVER_ROOT_PI * gauss(x)],
    points=_ALL,
)


def _erfinv(y: Any, x: Any) -> list[Any]:
    """√π/2 exp(y²), where the rounding of y is made good by one Newton step in y.

    exp((y + e)²) = exp(y²) (1 + 2 y e) with erf(y + e) = x.  Near 1 the residual comes
    from erfc; near 0 the rounding does no harm.
    """
    size, y = np.abs(x), np.abs(y)
    slope = TWO_OVER_ROOT_PI * gauss(y)
    residual = scipy.special.erfc(y) - (1.0 - size)
    inside = (size > 0.5) & (size < 1.0)
    step = np.where(inside, 2.0 * y * (residual / slope), 0.0)
    found = undefined_where(size > 1.0, NAN, (1.0 + step) / slope)
    return [_inverse_gauss(found, x)]


_inverse_gauss = stated(
    "√π/2 exp(erfinv(x)²)",
    lambda y, x: [2.0 * (scipy.special.erfinv(x) * y) * y],
    infinite_at=NAN,
)


elementwise(
    "erfinv",
    scipy.special.erfinv,
    word="erfinv",
    cost=200,
    partials=_erfinv,
    points=((0.3,), (-0.7,), (1e-9,), (0.1,), (0.999999,), (-0.95,)),
    steep=Steep(None, False),
)
elementwise(
    "ndtr",
    scipy.special.ndtr,
    cost=35,
    expand=lambda x: _ndtr(x),
    partials=lambda y, x: [INVERSE_ROOT_TWO_PI * gauss_half(x)],
    points=_ALL,
)


def _ndtr(x: Any) -> Any:
    """erfc(t) / 2, t = -x / √2; far in the tail the rounding of t is made good.

    There erfc(t) is exp(-t²) times a slow function, and t² is x²/2.
    """
    t, half = -x * ROOT_HALF, 0.5 * x
    product, square = half * x, t * t
    lost = (product - square) + (
        bind_promoted(fma, [half, x, -product]) - bind_promoted(fma, [t, t, -square])
    )
    tail = 0.5 * scipy.special.erfc(t)
    return np.where((t > 1) & (t < 30), tail * (1.0 - lost), tail)


# -- relative exponential ------------------------------------------------------

# (eˣ - 1) / x is the integral of e^(tx) over t from 0 to 1, so that its n-th derivative
# is that of tⁿ e^(tx), Σ x^k / (k! (k + n + 1)): summed for |x| below _SUMMED.
_SUMMED = 2.0
_TAKEN_OUT, _FROM_THERE = 64.0, math.exp(64.0)


def _moment(n: int, x: Any) -> Any:
    """The series of the n-th derivative of (eˣ - 1) / x."""
    found: Any = 0.0
    for k in range(26, -1, -1):
        found = found * x + 1.0 / (math.factorial(k) * (k + n + 1))
    return found


def _exprel(x: Any) -> Any:
    """(eˣ - 1) / x; where eˣ is infinite, e⁶⁴ (e^(x - 64) / x)."""
    size, top = np.where(x == 0, 1e-20, x), np.clip(x, 1.0, 1000.0)
    grown = np.expm1(size)
    far = _FROM_THERE * (np.exp(top - _TAKEN_OUT) / top)
    return np.where(grown == INF, far, grown / size)


def _exprel_slope(y: Any, x: Any) -> list[Any]:
    """The series near 0; beyond, (eˣ - y) / x, where eˣ is x y + 1."""
    near = np.abs(x) < _SUMMED
    away = np.where(near, _SUMMED, x)
    formula = np.where(x > 0, y - (y - 1.0) / away, (y - np.exp(x)) / -away)
    formula = np.where(y == INF, y, formula)
    return [_exprel_bend(np.where(near, _moment(1, x), formula), x)]


def _exprel_second(y: Any, x: Any) -> list[Any]:
    """The series near 0; beyond, (eˣ - 2 y) / x, which is y + (z - 2 y) / x."""
    near = np.abs(x) < _SUMMED
    away = np.where(near, _SUMMED, x)
    rising = y + (scipy.special.exprel(x) - 2.0 * y) / away
    formula = np.where(x > 0, rising, (2.0 * y - np.exp(x)) / -away)
    formula = np.where(y == INF, y, formula)
    return [np.where(near, _moment(2, x), formula)]


_exprel_bend = stated("exprel'", _exprel_second)
elementwise(
    "exprel",
    scipy.special.exprel,
    evaluate=_exprel,
    expand=_exprel,
    partials=_exprel_slope,
    cost=40,
    points=((0.0,), (1e-8,), (0.3,), (-1.7,), (2.5,), (-30.0,), (80.0,)),
)

# -- gamma function ------------------------------------------------------------

_GAMMA = ((0.3,), (2.5,), (10.0,), (-0.5,), (1e3,), (1e-9,))


def _pole(x: Any) -> Any:
    return (x <= 0) & (x == np.floor(x))


elementwise(
    "gammaln",
    scipy.special.gammaln,
    word="lgamma",
    cost=120,
    partials=lambda y, x: [undefined_where(_pole(x), NAN, scipy.special.digamma(x))],
    points=_GAMMA,
)
elementwise(
    "digamma",
    scipy.special.digamma,
    word="digamma",
    cost=150,
    # ψ' is +∞ on both sides of every pole, but ψ has a value, -∞, only at 0.
    partials=lambda y, x: [undefined_where(_pole(x) & (x != 0), NAN, _hurwitz(2.0, x))],
    points=_GAMMA,
)
_psi = registry.primitives["digamma"]


@derived(scipy.special.digamma)
def digamma(x: Any) -> Any:
    """ψ(x); near its negative poles ψ(1 - x) - π / tan πx, SciPy having few digits."""
    rest = x - np.rint(x)
    near = (x < 0) & (np.abs(rest) < 0.125) & (rest != 0)
    value = bind_promoted(_psi, [np.where(near, 1.0 - x, x)])
    slope = np.tan(np.pi * np.where(near, rest, 0.25))
    return np.where(near, value - np.pi / slope, value)


# scipy.special.zeta is a Python function around this ufunc.
_hurwitz = scipy.special._ufuncs._zeta  # type: ignore[attr-defined]
elementwise(
    "zeta",
    _hurwitz,
    word="zeta",
    cost=300,
    partials=lambda y, s, x: [None, -s * _hurwitz(s + 1.0, x)],
    points=((2.0, 0.3), (3.0, 2.5), (4.0, 10.0)),
    unknown={0: "its first argument, the exponent"},
)


def polygamma(n: Any, x: Any) -> Any:
    """scipy.special.polygamma, the n-th derivative of digamma, for a constant n."""
    if isinstance(n, Tracer) or np.ndim(n):
        raise UnsupportedError(
            f"polygamma with the order {n!r} cannot be traced ({source_line()}); the "
            "order must be one constant whole number"
        )
    order = int(n)
    if order == 0:
        return scipy.special.digamma(operand(x) * np.float64(1.0))
    sign = 1.0 if order % 2 else -1.0
    return (
        sign * math.gamma(order + 1.0) * _hurwitz(np.float64(order + 1.0), operand(x))
    )


registry.redirects[scipy.special.polygamma] = polygamma

# -- sums of exponentials ------------------------------------------------------

registry.redirects[scipy.special.logsumexp] = sums.logsumexp
registry.redirects[scipy.special.softmax] = sums.softmax
registry.redirects[scipy.special.log_softmax] = sums.log_softmax


# -- Bessel functions ----------------------------------------------------------

derived(scipy.special.i0)(bessel.i0)
derived(scipy.special.i1)(bessel.i1)

# -- sigmoids ------------------------------------------------------------------


def _expit(x: Any) -> Any:
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1.0) / (1.0 + small)


elementwise(
    "expit",
    scipy.special.expit,
    cost=25,
    expand=_expit,
    partials=lambda y, x: [bell(x)],
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


_odds_slope = stated(
    "1/(x(1-x))", lambda y, x: [((2.0 * x - 1.0) * y) * y], infinite_at=NAN
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
        _odds_slope(
            undefined_where((x < 0) | (x > 1), NAN, 1.0 / ((x + 0.0) * (1.0 - x))), x
        )
    ],
    points=((0.3,), (0.7,), (1e-9,), (0.999,), (0.5000001,)),
    steep=Steep(None, False),
)

# -- entropies -----------------------------------------------------------------

_PAIRS = ((0.5, 2.0), (2.0, 0.3), (0.0, 0.5), (-1.0, 3.0))


def _times_log(x: Any, log: Any, y: Any) -> Any:
    return np.where((x == 0) & ~np.isnan(y), 0.0, x * log(y))


def _times_log_partials(x: Any, log: Any, size: Any) -> list[Any]:
    """Of x log y, y being `size` away from the logarithm's pole: 0 at x = size = 0."""
    both, size = (x == 0) & (size == 0), size + 0.0
    slope = undefined_where(size < 0, NAN, np.where(both, 0.0, x / size))
    return [_log_of(np.where(both, 0.0, log), size), _ratio_of(slope, x, size)]


_log_of = stated("log", lambda y, size: [undefined_where(size < 0, NAN, 1.0 / size)])


def _ratio_slopes(y: Any, x: Any, size: Any) -> list[Any]:
    slope = np.where((x == 0) & (y == 0), 0.0, y / size)
    return [undefined_where(size < 0, NAN, 1.0 / size), -slope]


_ratio_of = stated("x/size", _ratio_slopes)


elementwise(
    "xlogy",
    scipy.special.xlogy,
    cost=20,
    expand=lambda x, y: _times_log(x, np.log, y),
    partials=lambda z, x, y: _times_log_partials(x, np.log(y), y),
    points=_PAIRS,
)
elementwise(
    "xlog1py",
    scipy.special.xlog1py,
    cost=20,
    expand=lambda x, y: _times_log(x, np.log1p, y),
    partials=lambda z, x, y: _times_log_partials(x, np.log1p(y), 1.0 + y),
    points=_PAIRS,
)
elementwise(
    "entr",
    scipy.special.entr,
    cost=20,
    expand=lambda x: np.where(
        x > 0, -x * np.log(x), np.where(x == 0, 0.0, np.where(x < 0, -INF, x))
    ),
    partials=lambda y, x: [-np.log(x + 0.0) - 1.0],
    points=((0.5,), (2.0,), (1e-9,), (0.3,)),
    steep=Steep(),
)


def _log_ratio(x: Any, y: Any) -> Any:
    """log(x / y), accurate where x and y are close, finite where x / y is not."""
    near = (0.5 * y < x) & (x < 2.0 * y)
    close = np.log1p((x - y) / y)
    ratio = x / y
    far = np.where(
        (ratio > 0) & np.isfinite(ratio), np.log(ratio), np.log(x) - np.log(y)
    )
    return np.where(near, close, far)


_ratio = elementwise(
    "log_ratio",
    evaluate=_log_ratio,
    expand=_log_ratio,
    partials=lambda z, x, y: [1.0 / x, -1.0 / y],
    cost=40,
    points=((0.5, 2.0), (2.0, 0.3), (1.0, 1.0000001), (1e-200, 1e200)),
)


def log_ratio(x: Any, y: Any) -> Any:
    """log(x / y) for positive x and y."""
    return bind_promoted(_ratio, [x, y])


def _relative(x: Any, y: Any, inside: Any, at_zero: Any) -> Any:
    """A relative entropy: inside for positive x and y, at_zero for x = 0, else ∞."""
    edge = np.where((x == 0) & (y >= 0), at_zero, INF)
    value = np.where((x > 0) & (y > 0), inside, edge)
    return np.where(np.isnan(x) | np.isnan(y), NAN, value)


def _outside(x: Any, y: Any, slope: Any) -> Any:
    return undefined_where(~((x >= 0) & (y >= 0)), NAN, slope)


_kl_slope = stated("(y-x)/y", lambda z, x, y: [-1.0 / y, (x / y) / y])

_RATIOS = ((0.5, 2.0), (2.0, 0.3), (1.0, 1.0000001))

elementwise(
    "rel_entr",
    scipy.special.rel_entr,
    cost=50,
    expand=lambda x, y: _relative(x, y, x * log_ratio(x, y), 0.0),
    partials=lambda z, x, y: [
        _outside(x, y, log_ratio(x, y) + 1.0),
        _outside(x, y, -x / y),
    ],
    points=_RATIOS,
)
elementwise(
    "kl_div",
    scipy.special.kl_div,
    cost=50,
    expand=lambda x, y: _relative(x, y, x * log_ratio(x, y) - x + y, y),
    partials=lambda z, x, y: [
        _outside(x, y, log_ratio(x, y)),
        _outside(x, y, _kl_slope((y - x) / y, x, y)),
    ],
    points=_RATIOS,
)
