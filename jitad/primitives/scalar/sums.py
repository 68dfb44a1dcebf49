"""Logarithms of sums of exponentials: logaddexp, logsumexp, softmax, log_softmax.

Three are scipy.special's as well, where `special` redirects them to these.  All
subtract the largest operand, which no derivative depends on: it is a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitad.ir.bind import bind
from jitad.ir.dispatch import operand
from jitad.ir.plain import plain_array
from jitad.ir.primitive import Primitive
from jitad.ir.tracer import Tracer, traced
from jitad.primitives.define import bind_composite, composite, elementwise
from jitad.primitives.stated import stated
from jitad.process.late import late

from . import nary
from .elementwise import stop_gradient
from .exact import exp2_gap, exp_gap

special = late("scipy.special")

LN2 = 0.6931471805599453
INVERSE_LN2 = 1.4426950408889634  # 1 / ln 2
INF = float("inf")

# -- of two --------------------------------------------------------------------


def _logaddexp(a: Any, b: Any) -> Any:
    most = np.maximum(a, b)
    other = most + np.log1p(np.exp(-np.abs(a - b)))
    return np.where(a == b, a + LN2, other)


def _logaddexp2(a: Any, b: Any) -> Any:
    most = np.maximum(a, b)
    other = most + np.log1p(np.exp2(-np.abs(a - b))) * INVERSE_LN2
    return np.where(a == b, a + 1.0, other)


def _share(a: Any, b: Any) -> Any:
    """exp(a) / (exp(a) + exp(b)), which gives to b what it takes from a."""
    return _stated_share(1.0 / (1.0 + exp_gap(b, a)), a, b)


def _share2(a: Any, b: Any) -> Any:
    """The same of powers of two."""
    return _stated_share2(1.0 / (1.0 + exp2_gap(b, a)), a, b)


def _share_slopes(y: Any, a: Any, b: Any) -> list[Any]:
    slope = y * _share(b, a)
    return [slope, -slope]


def _share2_slopes(y: Any, a: Any, b: Any) -> list[Any]:
    slope = LN2 * (y * _share2(b, a))
    return [slope, -slope]


_stated_share = stated("share", _share_slopes)
_stated_share2 = stated("share2", _share2_slopes)

_SUMS = (
    (1.0, 2.0),
    (2.5, 2.5),
    (700.0, -3.0),
    (-800.0, -801.5),
    (0.1, 1e3),
    (1.0, 1e300),
)

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
    partials=lambda y, a, b: [_share2(a, b), _share2(b, a)],
    points=_SUMS,
)

# -- of many -------------------------------------------------------------------

Axis = int | tuple[int, ...] | None


def _places(shape: tuple[int, ...], axis: Axis, keepdims: bool) -> np.ndarray:
    """Positions of an array's elements: a row of them for every result, shaped."""
    axes = range(len(shape)) if axis is None else np.atleast_1d(axis)
    axes = tuple(int(a) % len(shape) if shape else 0 for a in axes) if shape else ()
    kept = [a for a in range(len(shape)) if a not in axes]
    positions = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    rows = positions.transpose(*kept, *axes)
    outer = [shape[a] for a in kept]
    if keepdims:
        outer = [1 if a in axes else n for a, n in enumerate(shape)]
    inner = int(np.prod([shape[a] for a in axes], dtype=int))
    return rows.reshape(*outer, inner)


def _reduced(
    row: Callable[..., Any], arrays: Sequence[np.ndarray], axis: Axis, keepdims: bool
) -> np.ndarray:
    """One number for every row of the arrays."""
    places = _places(arrays[0].shape, axis, keepdims)
    flat = [a.ravel() for a in arrays]
    result = np.empty(places.shape[:-1], object)
    for place in np.ndindex(result.shape):
        result[place] = row(*[list(f[places[place]]) for f in flat])
    return result


def _mapped(row: Callable[..., Any], array: np.ndarray, axis: Axis) -> np.ndarray:
    """As many numbers for every row as the row has."""
    places = _places(array.shape, axis, False)
    flat, result = array.ravel(), np.empty(array.size, object)
    for place in np.ndindex(places.shape[:-1]):
        result[places[place]] = row(list(flat[places[place]]))
    return result.reshape(array.shape)


def _apply(primitive: Primitive, xs: Sequence[Any]) -> Any:
    return bind(primitive, xs, [None] * len(xs), xs[0].dtype)


def _shifted(xs: Sequence[Any]) -> tuple[Any, list[Any]]:
    """A constant at the largest of xs, or 0 where that is infinite, and xs less it."""
    top = stop_gradient(_apply(nary.max_of, xs))
    shift = np.where(np.isfinite(top), top, 0.0)
    return shift, [x - shift for x in xs]


def _logsumexp_row(xs: Sequence[Any]) -> Any:
    if not xs:
        return -INF
    return xs[0] if len(xs) == 1 else _apply(nary.logsumexp_of, xs)


def _softmax_row(xs: Sequence[Any]) -> list[Any]:
    top = stop_gradient(_apply(nary.max_of, xs))
    powers = [np.exp(x - top) for x in xs]
    inverse = 1.0 / nary.balanced(np.add, powers)
    return [p * inverse for p in powers]


def _log_softmax_row(xs: Sequence[Any]) -> list[Any]:
    _, rest = _shifted(xs)
    total = np.log(nary.balanced(np.add, [np.exp(r) for r in rest]))
    return [r - total for r in rest]


def _weighted_sum(xs: Sequence[Any], weights: Sequence[Any]) -> tuple[Any, Any]:
    """Shift and Σ w exp(x - shift); a weight of 0 silences even an infinite x."""
    heard = [np.where(w == 0, -INF, x) for x, w in zip(xs, weights, strict=True)]
    shift, _ = _shifted(heard)
    terms = []
    for x, w in zip(xs, weights, strict=True):
        power = np.exp(x - shift)
        # Its derivative in the weight is exp(x - shift) even where the weight is 0.
        silent = w * stop_gradient(np.fmin(power, np.finfo(power.dtype).max))
        terms.append(np.where(w == 0, silent, w * power))
    return shift, nary.balanced(np.add, terms)


def _weighted_row(xs: Sequence[Any], weights: Sequence[Any]) -> Any:
    if not xs:
        return -INF
    shift, total = _weighted_sum(xs, weights)
    return np.log(total) + shift


def _magnitude_row(xs: Sequence[Any], weights: Sequence[Any]) -> Any:
    if not xs:
        return -INF
    shift, total = _weighted_sum(xs, weights)
    return np.log(np.abs(total)) + shift


def _sign_row(xs: Sequence[Any], weights: Sequence[Any]) -> Any:
    return np.sign(_weighted_sum(xs, weights)[1]) if xs else -1.0


def _composite_of(name: str, row: Callable[..., Any], choose: Any) -> Primitive:
    """A sum over axes of arrays a, or a and weights b, made row by row."""

    def evaluate(a: Any, b: Any = None, *, axis: Axis, keepdims: bool) -> Any:
        return choose(a, axis=axis, b=b, keepdims=keepdims)

    def expand(*arrays: Any, axis: Axis, keepdims: bool) -> Any:
        return _reduced(row, arrays, axis, keepdims)

    return composite(name, evaluate, expand)


def _part(k: int) -> Callable[..., Any]:
    return lambda *a, **kw: special.logsumexp(*a, **kw, return_sign=True)[k]


def _whole(*a: Any, **kw: Any) -> Any:
    return special.logsumexp(*a, **kw)


_logsumexp = _composite_of("logsumexp", _logsumexp_row, _whole)
_weighted = _composite_of("logsumexp_weighted", _weighted_row, _whole)
_magnitude = _composite_of("logsumexp_magnitude", _magnitude_row, _part(0))
_sign = _composite_of("logsumexp_sign", _sign_row, _part(1))
_softmax = composite(
    "softmax",
    lambda x, *, axis: special.softmax(x, axis),
    lambda x, *, axis: _mapped(_softmax_row, x, axis),
)
_log_softmax = composite(
    "log_softmax",
    lambda x, *, axis: special.log_softmax(x, axis),
    lambda x, *, axis: _mapped(_log_softmax_row, x, axis),
)


def _floating(x: Any) -> Any:
    """x as SciPy takes it: an array, of floats."""
    x = operand(x)
    x = x if isinstance(x, Tracer) else plain_array(x)
    return x if x.dtype.kind == "f" else x * 1.0


def logsumexp(
    a: Any, axis: Axis = None, b: Any = None, keepdims: bool = False,
    return_sign: bool = False,
) -> Any:  # fmt: skip
    """log Σ b exp(a) over axis, None being all, as scipy.special.logsumexp.

    Of traced values too.  The summed axes are gone, or of length 1 with keepdims.
    return_sign  whether to return (log |Σ|, sign of Σ)
    """
    if not traced((a, b)):
        return special.logsumexp(a, axis, b, keepdims, return_sign)
    options = {"axis": axis, "keepdims": keepdims}
    a = _floating(a)
    if b is None and not return_sign:
        return bind_composite(_logsumexp, [a], options)
    b = a.dtype.type(b) if type(b) in (int, float) else b
    b = _floating(np.ones_like(a) if b is None else b)
    dtype = np.result_type(a, b)
    arrays = np.broadcast_arrays(a.astype(dtype), b.astype(dtype))
    if not return_sign:
        return bind_composite(_weighted, arrays, options)
    parts = [bind_composite(part, arrays, options) for part in (_magnitude, _sign)]
    return parts[0], parts[1]


def softmax(x: Any, axis: Axis = None) -> Any:
    """exp(x) / Σ exp(x) over axis, None being all, as scipy.special.softmax.

    Of traced values too: of x's shape, in its floating dtype.
    """
    if not traced(x):
        return special.softmax(x, axis)
    return bind_composite(_softmax, [_floating(x)], {"axis": axis})


def log_softmax(x: Any, axis: Axis = None) -> Any:
    """x - log Σ exp(x) over axis, None being all, as scipy.special.log_softmax.

    Of traced values too: of x's shape, in its floating dtype.
    """
    if not traced(x):
        return special.log_softmax(x, axis)
    return bind_composite(_log_softmax, [_floating(x)], {"axis": axis})
