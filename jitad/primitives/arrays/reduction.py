"""Reductions: sums, products, extremes, moments and running sums along axes.

The composites `sum`, `prod`, `max`, `min`, `any`, `all` take a tuple of axes; the rest
of NumPy's signatures, and the functions made of these, are declared on top of them.
Sums and products are balanced trees: accurate, parallel, and always the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from jitad.errors import UnsupportedError
from jitad.ir.bind import bind, cast, promote
from jitad.ir.dispatch import operand
from jitad.ir.primitive import Primitive
from jitad.ir.source import source_line
from jitad.ir.tracer import Tracer, as_tracer, innermost, renewed, traced
from jitad.primitives.define import bind_composite, composite, derived
from jitad.primitives.scalar import nary
from jitad.primitives.scalar.nary import balanced

# int | Sequence[int] | None, as in NumPy
Axis = Any

FLOAT64 = np.dtype(np.float64)
INT64 = np.dtype(np.int64)
BOOL = np.dtype(bool)


# -- arguments -----------------------------------------------------------------


def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes that NumPy's `axis` names, none negative, in order."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(sorted(normalize_axis_tuple(axis, ndim)))


def reduced_axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """As axes_of, but NumPy's ufuncs take 0 and -1 for axes of a scalar, too."""
    scalar = ndim == 0 and not isinstance(axis, tuple) and axis in (0, -1)
    return () if scalar else axes_of(axis, ndim)


def rows(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The elements along axes as the first axis, the other axes behind it."""
    rest = [n for k, n in enumerate(x.shape) if k not in axes]
    count = math.prod(x.shape[k] for k in axes)
    return np.moveaxis(x, axes, range(len(axes))).reshape((count, *rest))


def given(value: Any) -> bool:
    """Whether an optional argument was given: neither None nor NumPy's <no value>."""
    return value is not None and value is not np._NoValue  # type: ignore[attr-defined]


def keeps(keepdims: Any) -> bool:
    """Whether the reduced axes stay, with extent 1."""
    return given(keepdims) and bool(keepdims)


def masked(where: Any) -> bool:
    """Whether where= leaves anything out."""
    return given(where) and where is not True


def mask_of(x: Any, where: Any) -> Any:
    """The mask that where= is for x, which it may not widen."""
    mask = operand(where)
    if promote([mask]) != BOOL:
        raise TypeError(
            f"where= is of dtype {promote([mask])} ({source_line()}); expected bools: "
            "compare, as in where=w != 0"
        )
    return np.broadcast_to(mask, x.shape)


def filled(x: Any, where: Any, filler: Any) -> Any:
    """The array with filler where a mask leaves its elements out."""
    return np.where(mask_of(x, where), x, filler) if masked(where) else x


def scalar(initial: Any, dtype: np.dtype) -> Any:
    """The number that a reduction begins with: traced, or converted as by NumPy."""
    if np.ndim(initial):
        raise ValueError(
            f"initial= is an array of {np.ndim(initial)} axes ({source_line()}); "
            "expected a number: add or compare the array afterwards"
        )
    return initial if traced(initial) else dtype.type(initial)


def refuse_out(out: Any, name: str) -> None:
    """Raise for out=, which reductions of traced values do not take."""
    if given(out):
        raise UnsupportedError(
            f"np.{name}(out=…) cannot be traced ({source_line()}); assign the result: "
            f"y[...] = np.{name}(x)"
        )


def as_traced(a: Any, *others: Any) -> Any:
    """The array argument, traced even where only the others are."""
    return a if isinstance(a, Tracer) else as_tracer(innermost([a, *others]), a)


def floating(a: Any, dtype: Any = None) -> Any:
    """The array in the floating-point dtype that NumPy computes its mean in."""
    if given(dtype):
        return cast(a, dtype)
    return a if a.dtype.kind == "f" else cast(a, FLOAT64)


def _accumulating(a: Tracer, dtype: Any) -> Tracer:
    """The array in the dtype that NumPy adds and multiplies it in."""
    if given(dtype):
        return cast(a, dtype)
    if a.dtype.kind == "f":
        return a
    return cast(a, np.uint64 if a.dtype.kind == "u" else INT64)


# -- folds ---------------------------------------------------------------------


def reduction(
    name: str,
    evaluate: Callable[..., Any],
    fold: Callable[[Any], Any],
    identity: Any = None,
) -> Callable[..., Any]:
    """A composite that folds the rows of an array; -> (x, axis, keepdims) -> array."""

    def expand(x: np.ndarray, *, axis: tuple[int, ...]) -> Any:
        table = rows(x, axis)
        if len(table) == 0:
            return np.full(table.shape[1:], identity, object)
        return fold(table)

    primitive = composite(name, evaluate, expand)

    def reduce(x: Any, axis: Axis, keepdims: Any = False) -> Any:
        axes = reduced_axes(axis, x.ndim)
        # However long an axis is that goes, the result has the same type.
        like = [x.ones(1)] if 0 in axes and isinstance(x, Tracer) else None
        made = bind_composite(primitive, [x], {"axis": axes}, like)
        return keeping(made, axes, keepdims)

    return reduce


def keeping(result: Any, axes: tuple[int, ...], keepdims: Any) -> Any:
    """The result with its reduced axes back, if they are kept."""
    return np.expand_dims(result, axes) if axes and keeps(keepdims) else result


def of_columns(primitive: Primitive) -> Callable[[np.ndarray], Any]:
    """Fold the columns of a table by an n-ary scalar primitive."""

    def fold(table: np.ndarray) -> Any:
        result = np.empty(table.shape[1:], object)
        for place in np.ndindex(result.shape):
            result[place] = nary_of(primitive, list(table[(slice(None), *place)]))
        return result

    return fold


def nary_of(primitive: Primitive, values: Sequence[Any]) -> Any:
    """An n-ary scalar primitive of values of one dtype, which is the result's too."""
    return bind(primitive, values, [None] * len(values), values[0].dtype)


_sum = reduction(
    "sum",
    lambda x, axis: np.sum(x, axis=axis, dtype=x.dtype),
    lambda table: balanced(np.add, table),
    0,
)
_prod = reduction(
    "prod",
    lambda x, axis: np.prod(x, axis=axis, dtype=x.dtype),
    lambda table: balanced(np.multiply, table),
    1,
)
_any = reduction("any", np.any, lambda table: balanced(np.bitwise_or, table), False)
_all = reduction("all", np.all, lambda table: balanced(np.bitwise_and, table), True)
_max = reduction("max", np.max, of_columns(nary.max_of))
_min = reduction("min", np.min, of_columns(nary.min_of))


# -- sums and products ---------------------------------------------------------


def _accumulation(function: Any, reduce: Any, combine: Any, identity: int) -> Any:
    """np.sum or np.prod, with NumPy's whole signature."""

    def handler(
        a: Any,
        axis: Axis = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: Any = False,
        initial: Any = None,
        where: Any = True,
    ) -> Any:
        refuse_out(out, function.__name__)
        x = _accumulating(as_traced(a, initial, where), dtype)
        x = filled(x, where, x.dtype.type(identity))
        result = reduce(x, axis, keepdims)
        if given(initial):
            trace = innermost([result, initial])
            first = as_tracer(trace, scalar(initial, x.dtype), x.dtype)
            return combine(result, first)
        return result

    return derived(function)(handler)


_accumulation(np.sum, _sum, np.add, 0)
_accumulation(np.prod, _prod, np.multiply, 1)


def _not_nan(a: Any, filler: float) -> Any:
    """The array with filler in place of NaN."""
    x = as_traced(a)
    if x.dtype.kind != "f":
        return x
    known = np.where(np.isnan(x), x.dtype.type(filler), x)
    return renewed(known, x.unfilled())


@derived(np.nansum)
def nansum(a: Any, axis: Axis = None, **options: Any) -> Any:
    """The sum of what is not NaN."""
    return np.sum(_not_nan(a, 0.0), axis, **options)


@derived(np.nanprod)
def nanprod(a: Any, axis: Axis = None, **options: Any) -> Any:
    """The product of what is not NaN."""
    return np.prod(_not_nan(a, 1.0), axis, **options)


@derived(np.count_nonzero)
def count_nonzero(a: Any, axis: Axis = None, *, keepdims: Any = False) -> Any:
    """How many elements are not zero."""
    return _sum(cast(as_traced(a) != 0, INT64), axis, keepdims)


@derived(np.nancumsum)
def nancumsum(a: Any, axis: Any = None, **options: Any) -> Any:
    """The running sum, NaN counted as 0."""
    return np.cumsum(_not_nan(a, 0.0), axis, **options)


@derived(np.nancumprod)
def nancumprod(a: Any, axis: Any = None, **options: Any) -> Any:
    """The running product, NaN counted as 1."""
    return np.cumprod(_not_nan(a, 1.0), axis, **options)


def _accumulate(name: str, function: Any, ufunc: np.ufunc) -> Any:
    """np.cumsum or np.cumprod: left to right, as NumPy's."""
    primitive = composite(
        name,
        lambda x, axis: function(x, axis=axis, dtype=x.dtype),
        lambda x, axis: ufunc.accumulate(x, axis),
    )

    def handler(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        refuse_out(out, name)
        x = _accumulating(as_traced(a), dtype)
        if axis is None or not x.ndim:
            x, axis = np.ravel(x), -1 if axis is None else axis
        axis = normalize_axis_index(axis, x.ndim)
        return bind_composite(primitive, [x], {"axis": axis})

    return derived(function)(handler)


_accumulate("cumsum", np.cumsum, np.add)
_accumulate("cumprod", np.cumprod, np.multiply)


def _cumulative(function: Any, running: Any, identity: int) -> None:
    """np.cumulative_sum or np.cumulative_prod, of the array API."""

    @derived(function)
    def _(
        x: Any,
        /,
        *,
        axis: int | None = None,
        dtype: Any = None,
        out: Any = None,
        include_initial: bool = False,
    ) -> Any:
        refuse_out(out, function.__name__)
        x = as_traced(x)
        if axis is None:
            if x.ndim > 1:
                raise ValueError(
                    f"np.{function.__name__} of {x!r}: axis is required for arrays "
                    "of more than one axis"
                )
            axis = 0
        result = running(x, axis, dtype)
        if not include_initial:
            return result
        shape = list(result.shape)
        shape[axis] = 1
        return np.concatenate([np.full(shape, identity, result.dtype), result], axis)


_cumulative(np.cumulative_sum, np.cumsum, 0)
_cumulative(np.cumulative_prod, np.cumprod, 1)


# -- extremes ------------------------------------------------------------------


def _extreme(functions: Sequence[Any], reduce: Any, name: str) -> Any:
    """np.max or np.min, with NumPy's whole signature: ties share the derivative."""

    def handler(
        a: Any,
        axis: Axis = None,
        out: Any = None,
        keepdims: Any = False,
        initial: Any = None,
        where: Any = True,
    ) -> Any:
        refuse_out(out, name)
        x = as_traced(a, initial, where)
        axes = reduced_axes(axis, x.ndim)
        if not given(initial):
            if masked(where):
                raise ValueError(f"np.{name} with where= needs initial=, its value "
                                 "where nothing is left")  # fmt: skip
            return reduce(x, axes, keepdims)
        # It is cast to the array's dtype, even if that is one of integers.
        first = scalar(initial, x.dtype)
        start = as_tracer(innermost([x, initial]), first, x.dtype)
        table = rows_traced(filled(x, where, start), axes)
        row: Any = np.broadcast_to(start, (1, *table.shape[1:]))
        result = reduce(np.concatenate([row, table]), 0)
        return keeping(result, axes, keepdims)

    return derived(*functions)(handler)


def rows_traced(x: Any, axes: tuple[int, ...]) -> Any:
    """`rows` of a traced array."""
    rest = [n for k, n in enumerate(x.shape) if k not in axes]
    count = math.prod(x.shape[k] for k in axes)
    moved = np.moveaxis(x, axes, range(len(axes)))  # type: ignore[arg-type]
    return np.reshape(moved, (count, *rest))


_extreme((np.max, np.amax), _max, "max")
_extreme((np.min, np.amin), _min, "min")


def _nan_extreme(function: Any, plain: Any, beyond: float) -> None:
    @derived(function)
    def _(
        a: Any,
        axis: Axis = None,
        out: Any = None,
        keepdims: Any = False,
        initial: Any = None,
        where: Any = True,
    ) -> Any:
        refuse_out(out, function.__name__)
        x = as_traced(a, initial, where)
        options = {"keepdims": keeps(keepdims), "where": where}
        if x.dtype.kind != "f":
            return plain(x, axis, initial=initial, **options)
        empty = np.all(np.isnan(x), axis, **options)
        if given(initial):
            unknown = np.isnan(scalar(initial, x.dtype))
            empty = empty & unknown
            if traced(unknown):
                initial = np.where(unknown, beyond, initial)
            elif unknown:
                initial = beyond
        kept = plain(_not_nan(x, beyond), axis, initial=initial, **options)
        # A number, as reductions give, where np.where gives an array.
        return np.where(empty, x.dtype.type(np.nan), kept)[()]


_nan_extreme(np.nanmax, np.max, -np.inf)
_nan_extreme(np.nanmin, np.min, np.inf)


@derived(np.ptp)
def ptp(a: Any, axis: Axis = None, out: Any = None, keepdims: Any = False) -> Any:
    """Peak to peak: max - min."""
    refuse_out(out, "ptp")
    return np.max(a, axis, keepdims=keepdims) - np.min(a, axis, keepdims=keepdims)


# -- truth ---------------------------------------------------------------------


def _truth(function: Any, reduce: Any, identity: bool) -> None:
    """np.any or np.all."""

    @derived(function)
    def _(
        a: Any,
        axis: Axis = None,
        out: Any = None,
        keepdims: Any = False,
        *,
        where: Any = True,
    ) -> Any:
        refuse_out(out, function.__name__)
        x = as_traced(a, where)
        x = x if x.dtype == bool else x != 0
        return reduce(filled(x, where, identity), axis, keepdims)


_truth(np.any, _any, False)
_truth(np.all, _all, True)
