"""Powers and roots: x**p, square, sqrt, cbrt, reciprocal, abs.

A constant exponent is read as NumPy reads it: 2, 0.5 and -1 are a square, a root and a
reciprocal.  Other small multiples of ½ are products, too, within 2.5 ulp of results
that are normal numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitad.errors import UnsupportedError
from jitad.ir.bind import bind, cast, promote, representative
from jitad.ir.dispatch import apply_ufunc
from jitad.ir.plain import whole
from jitad.ir.primitive import Primitive, Steep, registry
from jitad.ir.resolve import loop_dtypes
from jitad.ir.source import source_line
from jitad.ir.tracer import Tracer, as_tracer, innermost
from jitad.primitives.define import as_made, derived, elementwise, only_weak
from jitad.primitives.stated import stated

from .elementwise import ahead, gate

INF = float("inf")
_ROOTS = ((0.3,), (2.0,), (1e-200,), (1e200,), (25.0,))

elementwise(
    "abs",
    np.absolute,
    word="abs",
    partials=lambda y, x: [np.sign(x)],
    # The sum makes -0 to 0.
    piece=lambda x: np.where(ahead(x, 0.0), x, -x) + 0.0,
    points=((1.5,), (-2.0,), (0.0,)),
)
_sqrt_slope = stated("1/2√x", lambda y, x: [-2.0 * ((y * y) * y)], infinite_at=0.0)
elementwise(
    "sqrt",
    np.sqrt,
    word="sqrt",
    cost=8,
    # y + 0, because √-0 is -0 and the one-sided limit +inf.
    partials=lambda y, x: [_sqrt_slope(0.5 / (y + 0.0), x)],
    square=lambda x: x,
    points=_ROOTS,
    steep=Steep(),
)


def _cbrt(y: Any, x: Any) -> list[Any]:
    """y / 3x, which has half the error of 1 / 3y²; at 0 and ±inf the limits."""
    edge = (x == 0) | np.isinf(x)
    return [_cbrt_slope(np.where(edge, 1.0 / np.abs(x), (y / x) * (1.0 / 3.0)), x)]


_cbrt_slope = stated(
    "cbrt'", lambda y, x: [(y / (x + 0.0)) * (-2.0 / 3.0)], infinite_at=0.0
)

elementwise(
    "cbrt",
    np.cbrt,
    word="cbrt",
    cost=25,
    partials=_cbrt,
    points=(*_ROOTS, (-8.0,)),
    steep=Steep(),
)

# -- powers that are products --------------------------------------------------


def multiplied(x: Any, n: int) -> Any:
    """x to a whole power by squaring."""
    if n == 0:
        return np.ones_like(x)
    result, square = None, x
    while n:
        if n % 2:
            result = square if result is None else result * square
        n //= 2
        if n:
            square = square * square
    return result


def _product(x: Any, p: float) -> Any:
    """x^p for a multiple p of ½, by products, one root and one division."""
    if p < 0:
        return 1.0 / _product(x, -p)
    whole = int(p)
    if whole == p:
        return multiplied(x, whole)
    # To NumPy's power, unlike its root, -inf is as good as inf, and -0 as 0.
    x = np.where(x == -INF, INF, x) + 0.0
    root = np.sqrt(x)
    return multiplied(x, whole) * root if whole else root


def _power_of(p: float) -> Primitive:
    """The primitive x^p.

    Its slope is p x^(p-1); for p < 0 it is p y (1/x), since x^(1-p) may overflow.
    """
    falling = stated(f"{p:g} x^{p - 1:g}", lambda y, x: [(p - 1) * y * (1.0 / x)])

    def partials(y: Any, x: Any) -> list[Any]:
        return [p * x ** (p - 1.0) if p > 0 else falling(p * y * (1.0 / x), x)]

    root = 8 * (p % 1 != 0)
    return elementwise(
        f"pow{p:g}",
        evaluate=lambda x: _product(x, p),
        expand=lambda x: _product(x, p),
        partials=partials,
        cost=abs(p) // 2 + 1 + root + 6 * (p < 0),
        points=((1.5,), (0.3,), (1e-40,), (1e40,)),
    )


_PRODUCTS = {p: _power_of(p) for p in (3.0, 4.0, 5.0, 6.0, -2.0, -3.0, -4.0,
                                       1.5, 2.5, -0.5, -1.5)}  # fmt: skip

# -- any power -----------------------------------------------------------------


def _slope(y: Any, x: Any, p: Any) -> Any:
    """x^(p-1), accurate everywhere and at the edges its limit.

    Below p = ½ the exponent p - 1 is rounded, and y/x is the accurate form; it has its
    limits but at 0 and ±inf for 0 < p.
    """
    edge = (p > 0) & ((x == 0) | np.isinf(x))
    ratio = np.where(edge, 1.0 / np.abs(x), y / x)
    return np.where(p < 0.5, ratio, np.power(x, p - 1.0))


def _pow_partials(y: Any, x: Any, p: Any) -> list[Any]:
    """p x^(p-1) and y log x, each where it is accurate and at the edges its limit."""
    flat = (x >= 0) & ((y == 0) | ((x == 0) & (p == 0)))
    return [
        _in_base(gate(p != 0, p * _slope(y, x, p)), x, p),
        _in_exponent(np.where(flat, 0.0, y * np.log(x)), x, p),
    ]


def _across(x: Any, p: Any) -> Any:
    """∂²x^p/∂x∂p = x^(p-1) (1 + p log x); at 0 the limits 0, -∞, and ∞ for p ≤ 0."""
    slope = _slope(np.power(x, p), x, p)
    bent = slope * (1.0 + np.where(p == 0, 0.0, p * np.log(x)))
    return np.where((x >= 0) & (slope == 0), 0.0, bent)


def _in_base_slopes(y: Any, x: Any, p: Any) -> list[Any]:
    """(p - 1) p x^(p-2), below p = 1 by y/x, and the mixed one."""
    bent = np.where(p < 1, y / (x + 0.0), p * np.power(x, p - 2.0))
    return [gate((p != 0) & (p != 1), (p - 1.0) * bent), _across(x, p)]


def _in_exponent_slopes(y: Any, x: Any, p: Any) -> list[Any]:
    """The mixed one, and x^p log² x."""
    power, log = np.power(x, p), np.log(x)
    flat = (x >= 0) & (power == 0)
    return [_across(x, p), np.where(flat, 0.0, (power * log) * log)]


_in_base = stated("p x^(p-1)", _in_base_slopes, infinite_at=0.0)
_in_exponent = stated("x^p log x", _in_exponent_slopes, infinite_at=0.0)

_power = elementwise(
    "pow",
    np.power,
    word="pow",
    cost=40,
    partials=_pow_partials,
    points=((2.0, 3.5), (0.3, -1.5), (1e-100, 2.0), (5.0, 0.0), (1.5, 100.0),
            (1e300, 0.1), (1e-300, -0.3), (3.0, -200.0)),
    steep=Steep(),
)  # fmt: skip
_generic = registry.ufuncs[np.power]


def _dtype(value: Any) -> np.dtype:
    return value.dtype if isinstance(value, Tracer) else np.asarray(value).dtype


def _constant(value: Any) -> float | None:
    """The number that an exponent is, if it is known."""
    if isinstance(value, Tracer) or np.ndim(value) != 0:
        return None
    return float(value)


def power(x: Any, p: Any) -> Any:
    """np.power; small constant whole exponents are products."""
    return as_made(_raised(x, p), (x, p))


def _raised(x: Any, p: Any) -> Any:
    if all(promote([v]).kind in "iub" for v in (x, p)):
        return _integer_power(x, p)
    exponent = _constant(p)
    if exponent is None or not isinstance(x, Tracer) or x.dtype.kind != "f":
        return _generic(x, p)
    weak = type(p) in (int, float, bool)
    base = x if weak else cast(x, np.result_type(x.dtype, _dtype(p)))
    if exponent == 1:
        return base
    result = _by_constant(base, exponent)
    if result is None:
        return _generic(x, p)
    result.weak = base.weak and weak
    return result


def _by_constant(base: Tracer, exponent: float) -> Tracer | None:
    """A power that is a product or a root; None: it is neither."""
    if exponent == 0:
        return np.ones_like(base)  # type: ignore[return-value]
    if exponent == 2:
        return base * base
    if exponent == -1:
        return 1.0 / base
    if exponent == 0.5:
        return np.sqrt(base)  # type: ignore[return-value]
    if exponent in _PRODUCTS:
        return bind(_PRODUCTS[exponent], [base], [None], base.dtype)
    return None


def _integer_power(x: Any, p: Any) -> Any:
    """The product of as many x as p says, which must be known not to be negative."""
    kinds = representative(x), representative(p)
    dtype = loop_dtypes(np.power, kinds)[0]
    if dtype.kind == "f":
        return _generic(x, p)
    known = not isinstance(p, Tracer)
    if np.any(np.less(p, 0)) if known else p.dtype.kind == "i":
        raise UnsupportedError(
            f"an integer to the power {p!r} cannot be traced ({source_line()}): only "
            "constant exponents that are not negative, and those without a sign, can; "
            "make the base a float"
        )
    base = as_tracer(innermost([x, p]), x, dtype)
    if known and np.ndim(p) == 0:
        result = multiplied(base, int(whole(int(p), dtype)))
        result.weak = only_weak(kinds)
        return result
    if p.dtype.kind == "b":
        return np.where(p, base, dtype.type(1))
    # By the bits of the exponents, the last first.
    bits = int(np.max(p, initial=0)).bit_length() if known else 8 * p.dtype.itemsize
    result = np.ones_like(base)
    for k in range(bits):
        odd = np.right_shift(p, k) & 1 != 0
        result = result * np.where(odd, base, dtype.type(1))
        base = base * base
    return result


registry.ufuncs[np.power] = power


def raised(x: Any, p: Any) -> Any:
    """x ** p, which is np.power but for the square of an array of bools."""
    bools = x.dtype.kind == "b" and not x.scalar
    squared = bools and type(p) is int and p == 2
    return np.square(x) if squared else apply_ufunc(np.power, (x, p))


registry.functions["power"] = raised

# -- functions that are powers -------------------------------------------------


@derived(np.square)
def square(x: Any) -> Any:
    """x * x."""
    return x * x


@derived(np.reciprocal)
def reciprocal(x: Any) -> Any:
    """1 / x; of integers, an integer."""
    inverse = 1.0 / x
    return inverse if x.dtype.kind == "f" else cast(inverse, x.dtype)


@derived(np.fabs)
def fabs(x: Any) -> Any:
    """|x| as a float."""
    return np.abs(x if x.dtype.kind == "f" else cast(x, np.float64))


@derived(np.float_power)
def float_power(x: Any, p: Any) -> Any:
    """np.power in double precision."""
    double = np.dtype(np.float64)
    trace = innermost([x, p])
    exponent = _constant(p)
    base = as_tracer(trace, x, double)
    return power(base, as_tracer(trace, p, double) if exponent is None else exponent)
