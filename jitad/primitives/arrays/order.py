"""Order: sort, argsort, argmax, argmin, and the medians and quantiles made of them.

Sorting is by counting: the rank of an element is the number of elements that come
before it, ties by position and NaN last, as NumPy's stable sort has it.  The derivative
is therefore the permutation that a stable sort applies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from jitad.errors import UnsupportedError
from jitad.ir.bind import bind, cast, promote
from jitad.ir.graph import MOST_OPERATIONS, Type
from jitad.ir.source import source_line
from jitad.ir.tracer import Tracer, traced
from jitad.primitives.define import bind_composite, composite, derived
from jitad.primitives.scalar import nary
from jitad.primitives.scalar.barrier import undefined_where
from jitad.primitives.scalar.elementwise import ahead
from jitad.primitives.scalar.nary import balanced

from .einsum import check
from .reduction import (
    INT64,
    Axis,
    as_traced,
    axes_of,
    floating,
    keeping,
    keeps,
    refuse_out,
    rows_traced,
)

# -- ranks ---------------------------------------------------------------------


def rank(values: Sequence[Any]) -> list[Any]:
    """For every value the number of values that come before it in a stable sort."""
    n = len(values)
    nan = [v != v if v.dtype.kind == "f" else None for v in values]
    # Each pair is compared once: i counts j as before it until i turns out first.
    ranks: list[Any] = [n - 1 - i for i in range(n)]
    for i in range(n):
        for j in range(i + 1, n):
            first = ahead(values[j], values[i])
            if nan[j] is not None:
                first = first | nan[j]
            one = first.astype(INT64)
            ranks[i], ranks[j] = ranks[i] - one, ranks[j] + one
    return ranks


def _limit(name: str) -> Callable[..., None]:
    """What refuses lines too long for every pair of their elements to be compared.

    A comparison is four operations at least.
    """

    def limit(line: str, x: Type, axis: int = 0, **_: Any) -> None:
        if x.dtype.kind != "b" and x.size:
            pairs = x.size * (x.shape[axis] - 1) // 2
            of = f"np.{name} of {x} ({line})"
            check(pairs, of, "comparisons of pairs", MOST_OPERATIONS // 4)

    return limit


def at_rank(ranks: Sequence[Any], values: Sequence[Any], k: int) -> Any:
    """The value whose rank is k: a sum, in which the others are -0 and add nothing."""
    dtype = promote(values)
    zero = dtype.type(-0.0) if dtype.kind == "f" else dtype.type(0)
    return balanced(
        np.add,
        [np.where(r == k, v, zero) for r, v in zip(ranks, values, strict=True)],
    )


def _along(
    x: np.ndarray, axis: int, function: Callable[[list[Any]], Sequence[Any]]
) -> np.ndarray:
    """Apply a function of a list to every line of x along axis."""
    lines = np.moveaxis(x, axis, -1)
    result = np.empty(lines.shape, object)
    for place in np.ndindex(lines.shape[:-1]):
        line = list(lines[place])
        result[place] = _object(function(line))
    return np.moveaxis(result, -1, axis)


def _object(items: Sequence[Any]) -> np.ndarray:
    result = np.empty(len(items), object)
    for k, item in enumerate(items):
        result[k] = item
    return result


def _sorted(line: list[Any]) -> list[Any]:
    if len(line) < 2:
        return line
    if promote(line).kind == "b":
        ones = balanced(np.add, [cast(v, INT64) for v in line])
        return [ones >= len(line) - k for k in range(len(line))]
    ranks = rank(line)
    return [at_rank(ranks, line, k) for k in range(len(line))]


def _argsorted(line: list[Any]) -> list[Any]:
    if len(line) < 2:
        return [0] * len(line)
    ranks = rank(line)
    places = [np.int64(i) for i in range(len(line))]
    return [at_rank(ranks, places, k) for k in range(len(line))]


_sort = composite(
    "sort",
    lambda x, axis: np.sort(x, axis=axis, kind="stable"),
    lambda x, axis: _along(x, axis, _sorted),
    limit=_limit("sort"),
)
_argsort = composite(
    "argsort",
    lambda x, axis: np.argsort(x, axis=axis, kind="stable"),
    lambda x, axis: _along(x, axis, _argsorted),
    limit=_limit("argsort"),
)


def _sorting(function: Any, primitive: Any) -> None:
    """np.sort or np.argsort; every kind of sort is the stable one."""

    @derived(function)
    def _(
        a: Any,
        axis: int | None = -1,
        kind: Any = None,
        order: Any = None,
        *,
        stable: Any = None,
    ) -> Any:
        x = as_traced(a)
        function(np.ones(1), kind=kind, order=order, stable=stable)  # NumPy's errors
        if axis is None or (function is np.argsort and not x.ndim):
            x, axis = np.ravel(x), -1 if axis is None else axis
        axis = normalize_axis_index(axis, x.ndim)
        return bind_composite(primitive, [x], {"axis": axis})


_sorting(np.sort, _sort)
_sorting(np.argsort, _argsort)

# -- the place of an extreme ---------------------------------------------------


def _place_of_extreme(name: str, function: Any, scalar: Any) -> None:
    """np.argmax or np.argmin: the first of equals, NaN before all."""

    def expand(x: np.ndarray, *, axis: int) -> np.ndarray:
        lines = np.moveaxis(x, axis, -1)
        result = np.empty(lines.shape[:-1], object)
        for place in np.ndindex(result.shape):
            result[place] = _first(scalar, list(lines[place]))
        return result

    primitive = composite(name, lambda x, axis: function(x, axis=axis), expand)

    def handler(
        a: Any, axis: int | None = None, out: Any = None, *, keepdims: Any = False
    ) -> Any:
        refuse_out(out, name)
        x = as_traced(a)
        if axis is None or (not x.ndim and axis in (0, -1)):
            flat = bind_composite(primitive, [np.ravel(x)], {"axis": 0})
            return np.reshape(flat, (1,) * x.ndim) if keeps(keepdims) else flat
        axis = normalize_axis_index(axis, x.ndim)
        found = bind_composite(primitive, [x], {"axis": axis})
        return keeping(found, (axis,), keepdims)

    derived(function)(handler)


def _first(scalar: Any, values: list[Any]) -> Any:
    return bind(scalar, values, [None] * len(values), INT64) if len(values) > 1 else 0


_place_of_extreme("argmax", np.argmax, nary.argmax_of)
_place_of_extreme("argmin", np.argmin, nary.argmin_of)

# -- medians and quantiles -----------------------------------------------------


def _between(x: np.ndarray, *, position: float) -> np.ndarray:
    """Along the first axis, the value at a position between two ranks."""
    result = np.empty(x.shape[1:], object)
    for place in np.ndindex(result.shape):
        line = list(x[(slice(None), *place)])
        ranks = rank(line)
        found = _interpolate(lambda k: at_rank(ranks, line, k), position)  # noqa: B023
        nan = balanced(np.bitwise_or, [v != v for v in line])
        result[place] = undefined_where(nan, np.nan, found)
    return result


def _interpolate(at_rank: Callable[[int], Any], position: float) -> Any:
    """Between the neighbouring ranks: NumPy's interpolation, exact at both ends."""
    low = math.floor(position)
    weight = position - low
    found = at_rank(low)
    if not weight:
        return found
    high = at_rank(low + 1)
    rise = high - found
    return found + rise * weight if weight < 0.5 else high - rise * (1 - weight)


def _at_position(x: np.ndarray, *, position: float) -> Any:
    """`_between` over a sorted array."""
    ordered = np.sort(x, axis=0)
    found = _interpolate(lambda k: ordered[k], position)
    return np.where(np.isnan(ordered[-1]), x.dtype.type(np.nan), found)


_rank_value = composite("quantile", _at_position, _between, limit=_limit("quantile"))


def _quantiles(
    a: Any, q: Any, axis: Axis, method: str, keepdims: Any, name: str
) -> Any:
    if traced(q):
        raise UnsupportedError(
            f"np.{name} at a traced q cannot be traced ({source_line()}); pass q as a "
            "plain number, for instance with functools.partial"
        )
    x = floating(as_traced(a))
    axes = axes_of(axis, x.ndim)
    table = rows_traced(x, axes)
    count = table.shape[0]
    if count == 0 and name == "median":
        return np.mean(x, axes, keepdims=keepdims)  # NaN
    if count == 0:
        raise IndexError(f"np.{name} of {x!r}: there is nothing along axis {axis}")
    wanted = np.asarray(q, float)
    # The quantiles of 0, 1, 2, … are the positions; NumPy also checks q and method.
    positions = np.asarray(np.quantile(np.arange(float(count)), wanted, method=method))  # type: ignore[call-overload]
    found = [
        keeping(
            bind_composite(_rank_value, [table], {"position": float(p)}), axes, keepdims
        )
        for p in positions.ravel().tolist() or [0.0]
    ]
    if wanted.ndim == 0:
        return found[0]
    # Between whole positions NumPy's result takes the dtype of q, too.
    told: Any = np.quantile(np.ones(1, x.dtype), q, method=method)  # type: ignore[call-overload]
    stacked: Any = np.stack(found)[: wanted.size]
    return np.reshape(cast(stacked, told.dtype), wanted.shape + found[0].shape)


@derived(np.quantile)
def quantile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = False,
    *,
    weights: Any = None,
) -> Any:
    """The value below which a fraction q lies, by any of NumPy's methods."""
    refuse_out(out, "quantile")
    if weights is not None:
        raise UnsupportedError(
            f"np.quantile with weights cannot be traced ({source_line()}); leave "
            "weights= out, or repeat the values"
        )
    return _quantiles(a, q, axis, method, keepdims, "quantile")


@derived(np.percentile)
def percentile(a: Any, q: Any, *args: Any, **options: Any) -> Any:
    """The quantile at q / 100."""
    if traced(q):
        return _quantiles(a, q, None, "linear", False, "percentile")
    return quantile(a, np.true_divide(q, 100), *args, **options)


@derived(np.median)
def median(
    a: Any,
    axis: Axis = None,
    out: Any = None,
    overwrite_input: bool = False,
    keepdims: Any = False,
) -> Any:
    """The middle value, or the mean of the middle two; NaN where there is nothing."""
    refuse_out(out, "median")
    x: Tracer = floating(as_traced(a))
    if not all(x.shape[k] for k in axes_of(axis, x.ndim)):
        return np.mean(x, axis, keepdims=keeps(keepdims))
    return _quantiles(x, 0.5, axis, "linear", keepdims, "median")
