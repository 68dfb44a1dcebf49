"""Rounding, signs, remainders, and the functions that pick one of their operands.

At a tie the branches share the derivative equally; the untaken side gets an exact 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitad.errors import UnsupportedError
from jitad.ir.primitive import Primitive, registry
from jitad.ir.source import source_line
from jitad.ir.tracer import Tracer, bind, promote
from jitad.primitives.define import derived, elementwise
from jitad.primitives.elementwise import gate

NAN = float("nan")
_STEPS = ((0.3,), (-1.7,), (2.0,), (-0.5,), (1e20,))

# -- rounding ------------------------------------------------------------------

for _name in ("floor", "ceil", "trunc", "rint"):
    elementwise(_name, getattr(np, _name), word=_name, points=_STEPS)


@derived(np.fix)
def fix(x: Any) -> Any:
    """Rounded towards zero."""
    return np.trunc(x)


@derived(np.round, np.around)
def around(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """Rounded to a number of decimals, as NumPy does it: scaled, rounded, unscaled."""
    if out is not None:
        raise UnsupportedError(f"np.round(out=…) cannot be traced ({source_line()})")
    if a.dtype.kind != "f" or decimals == 0:
        return np.rint(a) if a.dtype.kind == "f" else a
    scale = 10.0 ** abs(decimals)
    if decimals > 0:
        return np.rint(a * scale) / scale
    return np.rint(a / scale) * scale


# -- signs ---------------------------------------------------------------------

elementwise(
    "sign",
    np.sign,
    cost=4,
    partials=lambda y, x: [None],
    expand=lambda x: np.where(
        x > 0, 1.0, np.where(x < 0, -1.0, np.where(x == 0, 0.0, x))
    ),
    points=((1.5,), (-2.0,), (0.0,)),
)
elementwise("signbit", np.signbit, word="signbit", points=((1.5,), (-2.0,)))
elementwise(
    "copysign",
    np.copysign,
    word="copysign",
    partials=lambda y, a, b: [np.sign(a) * np.copysign(1.0, b), None],
    points=((1.5, -2.0), (-1.5, -2.0), (0.5, 1.0)),
)
elementwise(
    "heaviside",
    np.heaviside,
    cost=4,
    expand=lambda x, h: np.where(x > 0, 1.0, np.where(x < 0, 0.0, _at_zero(x, h))),
    partials=lambda y, x, h: [None, gate(x == 0, 1.0)],
    points=((1.5, 0.3), (-2.0, 0.5), (0.0, 0.7)),
)


def _at_zero(x: Any, h: Any) -> Any:
    return np.where(x == 0, h, x)


elementwise(
    "nextafter",
    np.nextafter,
    word="nextafter",
    partials=lambda y, a, b: [1.0, None],
    points=((1.5, 2.0), (-2.0, 0.0)),
)
elementwise(
    "spacing",
    np.spacing,
    cost=6,
    partials=lambda y, x: [None],
    expand=lambda x: np.copysign(
        np.nextafter(np.abs(x), np.inf) - np.abs(x), np.where(x == 0, 1.0, x)
    ),
    points=((1.5,), (-2.0,), (0.0,)),
)


@derived(np.ldexp)
def ldexp(x: Any, n: Any) -> Any:
    """x · 2ⁿ for a constant n."""
    if isinstance(n, Tracer):
        raise UnsupportedError(
            f"np.ldexp with a traced exponent cannot be traced ({source_line()}); "
            "use x * 2.0**n"
        )
    half = np.asarray(n) // 2
    return x * np.ldexp(1.0, half) * np.ldexp(1.0, np.asarray(n) - half)


@derived(np.modf)
def modf(x: Any) -> tuple[Any, Any]:
    """Fractional and whole part, both with the sign of x."""
    whole = np.trunc(x)
    part = np.where(np.isinf(x), 0.0, x - whole)
    return np.copysign(part, x), whole


@derived(np.frexp)
def frexp(x: Any) -> Any:
    """Refused: its parts jump at every power of two."""
    raise UnsupportedError(
        f"np.frexp of {x!r} cannot be traced ({source_line()}); use np.log2 and np.exp2"
    )


# -- remainders ----------------------------------------------------------------


def _quotient(y: Any, a: Any, b: Any) -> list[Any]:
    """Partials of a - n·b, n the whole number that y belongs to; NaN where y is."""
    return [y * 0.0 + 1.0, -np.rint((a - y) / b)]


_REMAINDERS = ((5.5, 2.0), (-5.5, 2.0), (5.5, -2.0), (-3.0, 2.0), (4.0, 2.0))

elementwise(
    "fmod", np.fmod, word="fmod", cost=20, partials=_quotient, points=_REMAINDERS
)


def _mod(a: Any, b: Any) -> Any:
    rest = np.fmod(a, b)
    other_side = (rest != 0) & ((b < 0) != (rest < 0))
    return np.where(
        other_side, rest + b, np.where(rest == 0, np.copysign(0.0, b), rest)
    )


_float_mod = elementwise(
    "mod",
    np.remainder,
    expand=_mod,
    cost=25,
    partials=_quotient,
    points=_REMAINDERS,
)


def _floor_divide(a: Any, b: Any) -> Any:
    """What NumPy's npy_divmod computes: exact where a / b rounds up to a whole."""
    rest = np.fmod(a, b)
    quotient = (a - rest) / b
    quotient = np.where((rest != 0) & ((b < 0) != (rest < 0)), quotient - 1, quotient)
    below = np.floor(quotient)
    whole = np.where(quotient - below > 0.5, below + 1, below)
    whole = np.where(quotient == 0, np.copysign(0.0, a / b), whole)
    return np.where(b == 0, a / b, whole)


elementwise(
    "floor_divide",
    np.floor_divide,
    expand=_floor_divide,
    cost=30,
    partials=lambda y, a, b: [None, None],
    points=_REMAINDERS,
)
_integer_mod = elementwise("integer_mod", evaluate=np.remainder, word="mod")
_integer_quotient = elementwise(
    "integer_floor_divide", evaluate=np.floor_divide, word="floor_divide"
)


def _integers_apart(ufunc: np.ufunc, primitive: Primitive) -> None:
    """Let a ufunc of integers have a word of its own."""
    floating = registry.ufuncs[ufunc]

    @derived(ufunc)
    def handler(a: Any, b: Any) -> Any:
        dtype = promote((a, b))
        if dtype.kind == "f":
            return floating(a, b)
        return bind(primitive, (a, b), [dtype, dtype], dtype)


_integers_apart(np.remainder, _integer_mod)
_integers_apart(np.floor_divide, _integer_quotient)


@derived(np.divmod)
def divmod_(a: Any, b: Any) -> tuple[Any, Any]:
    """The floored quotient and the remainder."""
    return np.floor_divide(a, b), np.remainder(a, b)


# -- picking -------------------------------------------------------------------

_PICKS = ((1.0, 2.0), (2.0, -1.0), (1.5, 1.5))


def _share(a: Any, b: Any, above: Any) -> Any:
    """Partial of the picked one of a and b in a; above: where a is beyond b."""
    weight = np.where(a == b, 0.5, np.where(above, 1.0, NAN))
    return gate((a == b) | above | np.isnan(a) | np.isnan(b), weight)


elementwise(
    "maximum",
    np.maximum,
    word="maximum",
    cost=2,
    partials=lambda y, a, b: [_share(a, b, a > b), _share(b, a, b > a)],
    points=_PICKS,
)
elementwise(
    "minimum",
    np.minimum,
    word="minimum",
    cost=2,
    partials=lambda y, a, b: [_share(a, b, a < b), _share(b, a, b < a)],
    points=_PICKS,
)


def _known(a: Any, b: Any, beyond: Any) -> Any:
    """As _share, where a NaN in the other operand leaves this one."""
    return gate((a == b) | beyond | np.isnan(b), np.where(a == b, 0.5, 1.0))


elementwise(
    "fmax",
    np.fmax,
    word="fmax",
    cost=2,
    partials=lambda y, a, b: [_known(a, b, a > b), _known(b, a, b > a)],
    points=_PICKS,
)
elementwise(
    "fmin",
    np.fmin,
    word="fmin",
    cost=2,
    partials=lambda y, a, b: [_known(a, b, a < b), _known(b, a, b < a)],
    points=_PICKS,
)


@derived(np.clip)
def clip(
    a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None
) -> Any:
    """np.minimum(np.maximum(a, a_min), a_max); ½ at a bound."""
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    result = a if low is None else np.maximum(a, low)
    return result if high is None else np.minimum(result, high)


@derived(np.nan_to_num)
def nan_to_num(
    x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """x with numbers instead of NaN and infinities."""
    limits = np.finfo(x.dtype)
    high = limits.max if posinf is None else posinf
    low = limits.min if neginf is None else neginf
    result = np.where(np.isnan(x), x.dtype.type(nan), x)
    result = np.where(x == np.inf, x.dtype.type(high), result)
    return np.where(x == -np.inf, x.dtype.type(low), result)


@derived(np.interp)
def interp(
    x: Any, xp: Sequence[float], fp: Any, left: Any = None, right: Any = None,
    period: Any = None,
) -> Any:  # fmt: skip
    """Piecewise linear through constant knots xp; at a knot both slopes are averaged."""
    if isinstance(xp, Tracer) or period is not None:
        raise UnsupportedError(
            f"np.interp with traced knots or a period cannot be traced "
            f"({source_line()}); the knots must be constants"
        )
    knots = np.asarray(xp, float)
    low, high = (fp[0] if left is None else left), (fp[-1] if right is None else right)

    first, last = knots[0], knots[-1]

    def chain(beyond: Any) -> Any:
        value = np.where(x < first, low, fp[0])
        for k in range(len(knots) - 1):
            slope = (fp[k + 1] - fp[k]) / (knots[k + 1] - knots[k])
            segment = slope * (x - knots[k]) + fp[k]
            value = np.where(beyond(x, knots[k]), segment, value)
        return np.where(beyond(x, last), np.where(x > last, high, fp[-1]), value)

    # Two readings of the knots, equal in value: their mean has the mean slope.
    value = 0.5 * (chain(np.greater_equal) + chain(np.greater))
    return np.where(np.isnan(x), x, value)
