"""Rounding, signs and remainders: functions whose derivative is a whole number."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from jitad.errors import UnsupportedError
from jitad.ir.bind import bind, cast, promote, representative
from jitad.ir.dispatch import operand
from jitad.ir.plain import whole
from jitad.ir.primitive import Primitive, registry
from jitad.ir.resolve import loop_dtypes
from jitad.ir.source import source_line
from jitad.ir.tracer import Tracer
from jitad.primitives.define import derived, elementwise, only_weak
from jitad.primitives.stated import stated

from .elementwise import ahead, fresh, gate

NAN = float("nan")
_STEPS = ((0.3,), (-1.7,), (2.0,), (-0.5,), (1e20,))

# -- rounding ------------------------------------------------------------------


def _rounding(ufunc: np.ufunc) -> None:
    """A rounding function; integers stay what they are, but rint makes floats."""
    elementwise(ufunc.__name__, ufunc, word=ufunc.__name__, points=_STEPS)
    floating = registry.ufuncs[ufunc]

    @derived(ufunc)
    def handler(x: Any) -> Any:
        whole = x.dtype.kind != "f" and ufunc is not np.rint
        return x if whole else floating(x)


for _ufunc in (np.floor, np.ceil, np.trunc, np.rint):
    _rounding(_ufunc)


@derived(np.fix)
def fix(x: Any) -> Any:
    """Rounded towards zero."""
    return np.trunc(operand(x))


@derived(np.round, np.around)
def around(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """Rounded to a number of decimals, as NumPy does it: scaled, rounded, unscaled."""
    if out is not None:
        raise UnsupportedError(f"np.round(out=…) cannot be traced ({source_line()})")
    a, decimals = operand(a), operator.index(decimals)
    if a.dtype.kind == "b":
        return np.rint(a)
    if a.dtype.kind != "f":
        return fresh(a) if decimals >= 0 else cast(around(a * 1.0, decimals), a.dtype)
    if decimals == 0:
        return np.rint(a)
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
    piece=lambda x: np.where(x == x, np.where(ahead(x, 0.0), 1.0, -1.0), x),
)
_float_sign = registry.ufuncs[np.sign]


@derived(np.sign)
def sign(x: Any) -> Any:
    """-1, 0 or 1; NaN of NaN."""
    if x.dtype.kind != "f":
        return cast(x > 0, x.dtype) - cast(x < 0, x.dtype)
    return _float_sign(x)


elementwise("signbit", np.signbit, word="signbit", points=((1.5,), (-2.0,)))
elementwise(
    "copysign",
    np.copysign,
    word="copysign",
    partials=lambda y, a, b: [np.sign(a) * np.copysign(1.0, b), None],
    piece=lambda a, b: np.where(ahead(a, 0.0), a, -a) * np.copysign(1.0, b),
    points=((1.5, -2.0), (-1.5, -2.0), (0.5, 1.0)),
)
elementwise(
    "heaviside",
    np.heaviside,
    cost=4,
    expand=lambda x, h: np.where(x > 0, 1.0, np.where(x < 0, 0.0, _at_zero(x, h))),
    partials=lambda y, x, h: [None, gate(x == 0, 1.0)],
    piece=lambda x, h: np.where(x == x, np.where(ahead(x, 0.0), 1.0, 0.0), x),
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
    if isinstance(n, Tracer) or not isinstance(x, Tracer):
        raise UnsupportedError(
            f"np.ldexp with a traced exponent cannot be traced ({source_line()}); "
            "use x * 2.0**n"
        )
    base = x if x.dtype.kind == "f" else x * 1.0
    n = whole(n, np.dtype(np.int32)) if type(n) is int else n
    # In one factor, or three: 2ⁿ may overflow where x · 2ⁿ does not, and what is made
    # on the way must not be rounded.
    largest = np.finfo(base.dtype).maxexp - 2
    left = np.clip(np.asarray(n, np.int64), -3 * largest, 3 * largest)
    for share in (3, 2, 1):
        own = np.where(np.abs(left) <= largest * (share == 3), left, left // share)
        base = base * np.ldexp(base.dtype.type(1), own)
        left = left - own
    return base


@derived(np.modf)
def modf(x: Any) -> tuple[Any, Any]:
    """Fractional and whole part, both with the sign of x."""
    base = x if x.dtype.kind == "f" else x * 1.0
    whole = np.trunc(base)
    part = np.where(np.isinf(base), 0.0, base - whole)
    # A difference loses the sign of zero.
    return _fraction(np.copysign(part, base), base), whole


_fraction = stated("fraction", lambda y, x: [np.where(np.isinf(x), 0.0, 1.0)])


@derived(np.frexp)
def frexp(x: Any) -> Any:
    """Refused: its parts jump at every power of two."""
    raise UnsupportedError(
        f"np.frexp of {x!r} cannot be traced ({source_line()}); use np.log2 and np.exp2"
    )


# -- remainders ----------------------------------------------------------------


def _quotient(y: Any, a: Any, b: Any) -> list[Any]:
    """Partials of a - n·b, n the whole number that y belongs to; NaN where y is."""
    return [np.where(np.isnan(y), NAN, 1.0), -np.rint((a - y) / b)]


_REMAINDERS = ((5.5, 2.0), (-5.5, 2.0), (5.5, -2.0), (-3.0, 2.0), (4.0, 2.0))

elementwise(
    "fmod", np.fmod, word="fmod", cost=20, partials=_quotient, points=_REMAINDERS
)


_float_fmod = registry.ufuncs[np.fmod]


@derived(np.fmod)
def fmod(a: Any, b: Any) -> Any:
    """What is left of a, with its sign; of integers by what np.remainder leaves."""
    if promote((a, b)).kind == "f":
        return _float_fmod(a, b)
    rest = np.remainder(a, b)
    other_side = (rest != 0) & ((a < 0) != (b < 0))
    return np.where(other_side, rest - b, rest)


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
        kinds = representative(a), representative(b)
        dtype = loop_dtypes(ufunc, kinds)[0]
        if dtype.kind == "f":
            return floating(a, b)
        result = bind(primitive, (a, b), [dtype, dtype], dtype)
        result.weak = only_weak(kinds)
        return result


_integers_apart(np.remainder, _integer_mod)
_integers_apart(np.floor_divide, _integer_quotient)


@derived(np.divmod)
def divmod_(a: Any, b: Any) -> tuple[Any, Any]:
    """The floored quotient and the remainder."""
    return np.floor_divide(a, b), np.remainder(a, b)
