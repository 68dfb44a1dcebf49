"""Powers and roots: x**p, square, sqrt, cbrt, reciprocal.

`x ** p` is read as NumPy's operator reads it: a constant 2, 0.5 or -1 is a square, a
root, a reciprocal.  Constant exponents 3, 4 and 5 are multiplied out, within 2 ulp.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitad.errors import UnsupportedError
from jitad.ir.primitive import registry
from jitad.ir.source import source_line
from jitad.ir.tracer import Tracer, as_tracer, cast
from jitad.primitives.define import derived, elementwise

INF = float("inf")
_ROOTS = ((0.3,), (2.0,), (1e-200,), (1e200,), (25.0,))
_MULTIPLIED_OUT = 5

elementwise(
    "abs",
    np.absolute,
    word="abs",
    partials=lambda y, x: [np.sign(x)],
    points=((1.5,), (-2.0,), (0.0,)),
)
elementwise(
    "sqrt",
    np.sqrt,
    word="sqrt",
    cost=8,
    # |y|, because √-0 is -0 and the one-sided limit +inf.
    partials=lambda y, x: [0.5 / np.abs(y)],
    points=_ROOTS,
)
elementwise(
    "cbrt",
    np.cbrt,
    word="cbrt",
    cost=25,
    partials=lambda y, x: [1.0 / (3.0 * (y * y))],
    points=(*_ROOTS, (-8.0,)),
)


def _pow_partials(y: Any, x: Any, p: Any) -> list[Any]:
    in_base = np.where(p == 0, 0.0, p * np.power(x, p - 1.0))
    at_zero = np.where(p >= 0, 0.0, -INF)
    return [in_base, np.where(x == 0, at_zero, np.log(x) * y)]


_power = elementwise(
    "pow",
    np.power,
    word="pow",
    cost=40,
    partials=_pow_partials,
    points=((2.0, 3.5), (0.3, -1.5), (1e-100, 2.0), (5.0, 0.0), (1.5, 100.0)),
)
_generic = registry.ufuncs[np.power]


@derived(np.power)
def power(x: Any, p: Any) -> Any:
    """np.power; whole powers of integers are multiplied out."""
    integers = all(_dtype(v).kind in "iub" for v in (x, p))
    if not integers:
        return _generic(x, p)
    exponent = _constant(p)
    if exponent is None or exponent < 0:
        raise UnsupportedError(
            f"an integer to the power {p!r} cannot be traced ({source_line()}): only "
            "constant exponents that are not negative can; make the base a float"
        )
    return _multiplied(x, int(exponent))


def _dtype(value: Any) -> np.dtype:
    return value.dtype if isinstance(value, Tracer) else np.asarray(value).dtype


def _constant(value: Any) -> float | None:
    """The number that an exponent is, if it is known."""
    if isinstance(value, Tracer) or np.ndim(value) != 0:
        return None
    return float(value)


def _operator(x: Any, p: Any) -> Any:
    """x ** p for a traced x or p."""
    exponent = _constant(p)
    if not isinstance(x, Tracer) or exponent is None:
        return power(x, p)
    if x.dtype.kind != "f":
        return power(x, p)
    wide = _dtype(p).kind == "f" and not isinstance(p, float)
    base = cast(x, np.result_type(x.dtype, _dtype(p))) if wide else x
    if exponent == 1:
        return base * 1.0
    if exponent == 2:
        return base * base
    if exponent == 0.5:
        return np.sqrt(base)
    if exponent == -1:
        return 1.0 / base
    if exponent in range(3, _MULTIPLIED_OUT + 1):
        return _multiplied(base, int(exponent))
    return _generic(x, p)


def _multiplied(x: Any, n: int) -> Any:
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


registry.functions["power"] = _operator


@derived(np.square)
def square(x: Any) -> Any:
    """x * x."""
    return x * x


@derived(np.reciprocal)
def reciprocal(x: Any) -> Any:
    """1 / x."""
    if x.dtype.kind != "f":
        raise UnsupportedError(
            f"np.reciprocal of {x!r} would be an integer ({source_line()}); use 1.0 / x"
        )
    return 1.0 / x


@derived(np.fabs)
def fabs(x: Any) -> Any:
    """|x| as a float."""
    return np.abs(x if _dtype(x).kind == "f" else cast(x, np.float64))


@derived(np.float_power)
def float_power(x: Any, p: Any) -> Any:
    """np.power in double precision."""
    trace = next(v.builder for v in (x, p) if isinstance(v, Tracer))
    double = np.dtype(np.float64)
    return _generic(as_tracer(trace, x, double), as_tracer(trace, p, double))
