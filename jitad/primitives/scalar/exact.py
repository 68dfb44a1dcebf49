"""Roundings made good: what a difference and a square lose, and functions built on it.

The relative error of exp(t) is the absolute error of t, so a rule that exponentiates a
difference or a square of large numbers needs the part that rounding took.

    gap(a, b)         a - b, but 0 between equal infinities
    gap_error(a, b)   what a - b lost, where that matters; no part of any derivative
    gauss(x)          exp(-x²)
    bell(x)           e / (1 + e)², e = exp(-|x|): the slope of the logistic function
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitad.ir.bind import bind, promote
from jitad.primitives.define import bind_promoted, elementwise

LN2 = 0.6931471805599453

# -- products ------------------------------------------------------------------


def _halves(x: Any) -> tuple[Any, Any]:
    """x as a sum of two numbers of half the digits (Dekker 1971, section 5)."""
    scaled = x * (2.0**27 + 1.0)
    high = scaled - (scaled - x)
    return high, x - high


def _fma(a: Any, b: Any, c: Any) -> Any:
    """a b + c with the product exact: Dekker's product and Knuth's sum."""
    if np.result_type(a, b, c) == np.float32:
        return np.float32(np.float64(a) * np.float64(b) + np.float64(c))
    product = a * b
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    lost = ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2
    total = product + c
    back = total - product
    lost = lost + ((product - (total - back)) + (c - back))
    return np.where(np.isfinite(lost), total + lost, total)[()]


fma = elementwise(
    "fma",
    evaluate=_fma,
    word="fma",
    partials=lambda y, a, b, c: [b, a, 1.0],
    points=((1.5, -0.4, 0.6), (0.1, 0.1, -0.01), (1e150, 1e-150, 3.0)),
)

# -- differences ---------------------------------------------------------------


def _evaluate_gap(a: Any, b: Any) -> Any:
    return np.where(a == b, 0.0, a - b)


_gap = elementwise(
    "gap",
    evaluate=_evaluate_gap,
    expand=_evaluate_gap,
    partials=lambda y, a, b: [1.0, -1.0],
    cost=3,
    points=((1.5, -0.4), (2.0, 2.0), (1e10, 1e-10)),
)


def gap(a: Any, b: Any) -> Any:
    """a - b, which is 0 where both are the same infinity."""
    return bind_promoted(_gap, [a, b])


def _lost(a: Any, b: Any) -> Any:
    """The rounding error of a - b (Knuth, The Art of Computer Programming 2, 4.2.2)."""
    difference = a - b
    back = difference + b
    error = (a - back) + ((back - difference) - b)
    # Beyond, exponentials are 0 or infinite, and the error may be any number.
    return np.where(np.abs(difference) < 2000, error, 0.0)


_gap_error = elementwise(
    "gap_error",
    evaluate=_lost,
    expand=_lost,
    partials=lambda y, a, b: [None, None],
    cost=8,
)


def exp_gap(a: Any, b: Any) -> Any:
    """exp(a - b) to full relative accuracy however large a and b are."""
    return np.exp(gap(a, b)) * (1.0 + bind_promoted(_gap_error, [a, b]))


def exp2_gap(a: Any, b: Any) -> Any:
    """2^(a - b) to full relative accuracy."""
    return np.exp2(gap(a, b)) * (1.0 + LN2 * bind_promoted(_gap_error, [a, b]))


# -- bells ---------------------------------------------------------------------

_FAR = 40.0  # exp(-1600) is 0 in every dtype


def _gauss(x: Any, scale: Any) -> Any:
    """exp(-scale x²), scale a power of two, with the square's rounding made good."""
    near = np.minimum(np.abs(x), _FAR)
    square = near * near
    dtype = promote([near])
    lost = bind(fma, [near, near, -square], [dtype] * 3, dtype)
    power = np.exp(-(scale * square))
    return power - power * (scale * lost)


def _evaluate_gauss(x: Any, scale: float) -> Any:
    near = np.minimum(np.abs(x), np.asarray(x).dtype.type(_FAR))
    square = near * near
    power = np.exp(-(scale * square))
    return power - power * (scale * _fma(near, near, -square))


_GAUSS = ((0.3,), (-1.7,), (0.0,), (1e-9,), (5.0,), (-20.3,), (26.1,))

_gauss_function = elementwise(
    "gauss",
    evaluate=lambda x: _evaluate_gauss(x, 1.0),
    expand=lambda x: _gauss(x, 1.0),
    partials=lambda y, x: [-2.0 * (x * y)],
    cost=22,
    points=_GAUSS,
)
_normal_function = elementwise(
    "gauss_half",
    evaluate=lambda x: _evaluate_gauss(x, 0.5),
    expand=lambda x: _gauss(x, 0.5),
    partials=lambda y, x: [-(x * y)],
    cost=22,
    points=_GAUSS,
)


def gauss(x: Any) -> Any:
    """exp(-x²) to full relative accuracy."""
    return bind_promoted(_gauss_function, [x])


def gauss_half(x: Any) -> Any:
    """exp(-x²/2) to full relative accuracy."""
    return bind_promoted(_normal_function, [x])


def _bell(x: Any) -> Any:
    small = np.exp(-np.abs(x))
    return small / ((1.0 + small) * (1.0 + small))


_bell_function = elementwise(
    "bell",
    evaluate=_bell,
    expand=_bell,
    partials=lambda y, x: [-(y * np.tanh(0.5 * x))],
    cost=24,
    points=((0.3,), (-1.7,), (0.0,), (1e-9,), (40.0,), (-700.0,)),
)


def bell(x: Any) -> Any:
    """The slope of 1 / (1 + exp(-x)); a quarter of the squared hyperbolic secant."""
    return bind_promoted(_bell_function, [x])
