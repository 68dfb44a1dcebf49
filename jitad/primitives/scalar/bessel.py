"""Modified Bessel functions of the first kind, I₀ (`np.i0`) and I₁.

Their values are those of SciPy's ufuncs, which are infinite from 709.8 on and NaN at
infinity; its I₁ is up to 6 units in the last place off below 8, where derivatives are
summed.  Formulas: Abramowitz and Stegun (1964), 9.6.10 and 9.6.26 to 9.6.28.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitad.ir.tracer import Tracer, renewed
from jitad.primitives.define import bind_promoted, derived, elementwise
from jitad.primitives.stated import stated
from jitad.process.late import late

special = late("scipy.special")

_POINTS = ((0.0,), (1e-8,), (0.3,), (-1.7,), (7.9,), (-8.1,), (30.0,), (-600.0,))

# Below this size I₁ / x, I₁' and I₁'' / x are summed, in powers of x²/4; beyond,
# nothing cancels.
_NEAR = 8.0
_FACTORS = [(math.factorial(k) * math.factorial(k + 1), k) for k in range(32)]
_RATIO = [1 / (2 * f) for f, _ in _FACTORS]
_SLOPE = [(2 * k + 1) / (2 * f) for f, k in _FACTORS]
_BEND = [(2 * k + 3) / (4 * f * (k + 2)) for f, k in _FACTORS]


def _series(coefficients: list[float], x: Any) -> Any:
    square, found = 0.25 * x * x, 0.0
    for coefficient in reversed(coefficients):
        found = found * square + coefficient
    return found


def _slope_of_i0(y: Any, x: Any) -> list[Any]:
    """I₀' = I₁."""
    return [np.where(np.abs(x) < _NEAR, x * _series(_RATIO, x), i1(x))]


def _slope_of_i1(y: Any, x: Any) -> list[Any]:
    """I₁' = I₀ - I₁ / x."""
    near = np.abs(x) < _NEAR
    away = np.where(near, _NEAR, x)
    formula = np.where(np.isinf(y), np.abs(y), i0(x) - y / away)
    return [_bent(np.where(near, _series(_SLOPE, x), formula), x)]


def _bend(y: Any, x: Any) -> list[Any]:
    """I₁'' = I₁ + (I₁ / x - y) / x."""
    near = np.abs(x) < _NEAR
    away = np.where(near, _NEAR, x)
    value = i1(x)
    formula = np.where(np.isinf(y), value, value + (value / away - y) / away)
    return [np.where(near, x * _series(_BEND, x), formula)]


_bent = stated("I₁'", _bend)
_first = elementwise(
    "i1",
    evaluate=lambda x: special.i1(x),
    word="i1",
    partials=_slope_of_i1,
    cost=60,
    points=_POINTS,
)
_zeroth = elementwise(
    "i0",
    evaluate=lambda x: special.i0(x),
    word="i0",
    partials=_slope_of_i0,
    cost=60,
    points=_POINTS,
)


@derived(np.i0)
def numpys(x: Any) -> Tracer:
    """I₀(x); of a number, too, NumPy makes an array."""
    result = i0(x)
    return result if result.shape else renewed(result, np.empty(()))


def i0(x: Any) -> Tracer:
    """I₀(x)."""
    return bind_promoted(_zeroth, [x])


def i1(x: Any) -> Tracer:
    """I₁(x), the derivative of I₀."""
    return bind_promoted(_first, [x])
