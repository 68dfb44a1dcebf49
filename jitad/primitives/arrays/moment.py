"""Moments: mean, variance, standard deviation, weighted average, covariance.

All are declared through sums; std is the Euclidean norm of the deviations.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from jitad.errors import UnsupportedError
from jitad.ir.bind import cast, promote
from jitad.ir.dispatch import operand
from jitad.ir.plain import plain_array
from jitad.ir.source import source_line
from jitad.ir.tracer import traced
from jitad.primitives.define import derived
from jitad.primitives.scalar.barrier import undefined_where

from .contraction import matmul
from .norm import norm2
from .reduction import (
    FLOAT64,
    INT64,
    Axis,
    as_traced,
    axes_of,
    filled,
    floating,
    given,
    keeps,
    mask_of,
    masked,
    reduced_axes,
    refuse_out,
)


def _counted(x: Any, axes: tuple[int, ...], where: Any, keepdims: Any) -> Any:
    """How many elements a moment is taken over: a number, or what where= leaves."""
    if not masked(where):
        return math.prod(x.shape[k] for k in axes)
    mask = mask_of(x, where)
    count: Any = np.sum(mask, axes, dtype=INT64, keepdims=keeps(keepdims))
    return cast(count, x.dtype) if traced(count) else count.astype(x.dtype)


@derived(np.mean)
def mean(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    *,
    where: Any = True,
) -> Any:
    """The sum over the count; NaN where there is nothing."""
    refuse_out(out, "mean")
    x = floating(as_traced(a, where), dtype)
    axes = axes_of(axis, x.ndim)
    count = _counted(x, axes, where, keepdims)
    total = np.sum(x, axes, keepdims=keepdims, where=where)
    return total / x.dtype.type(count) if isinstance(count, int) else total / count


@derived(np.nanmean)
def nanmean(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    *,
    where: Any = True,
) -> Any:
    """The mean of what is not NaN."""
    x = as_traced(a, where)
    axes = reduced_axes(axis, x.ndim)
    return mean(x, axes, dtype, out, keepdims, where=_known(x, where))


def _known(x: Any, where: Any) -> Any:
    """What is not NaN, of what a mask leaves in."""
    known = ~np.isnan(x)
    return known & mask_of(x, where) if masked(where) else known


def _deviations(
    a: Any, axis: Axis, dtype: Any, out: Any, ddof: Any, options: dict[str, Any]
) -> tuple[Any, Any, tuple[int, ...], Any]:
    """What var and std share: deviations from the mean, degrees of freedom, axes."""
    refuse_out(out, "var and np.std")
    where, keepdims = options.pop("where", True), options.pop("keepdims", False)
    center, correction = options.pop("mean", None), options.pop("correction", None)
    if options:
        raise TypeError(f"np.var and np.std take no argument {next(iter(options))!r}")
    if given(correction) and ddof != 0:
        raise ValueError(
            f"ddof={ddof} and correction={correction} are given ({source_line()}); "
            "they are two names of one argument: give one"
        )
    ddof = correction if given(correction) else ddof
    x = floating(as_traced(a, where, center), dtype)
    axes = axes_of(axis, x.ndim)
    if not given(center):
        center = mean(x, axes, keepdims=True, where=where)
    count = _counted(x, axes, where, keepdims)
    d = x - center
    d = filled(d, where, x.dtype.type(0))
    if isinstance(count, int):
        return d, x.dtype.type(max(count - ddof, 0)), axes, keepdims
    return d, np.maximum(count - ddof, x.dtype.type(0)), axes, keepdims


@derived(np.var)
def var(
    a: Any, axis: Axis = None, dtype: Any = None, out: Any = None, ddof: Any = 0,
    **options: Any,
) -> Any:  # fmt: skip
    """The mean square deviation from the mean, in two passes."""
    d, freedom, axes, keepdims = _deviations(a, axis, dtype, out, ddof, options)
    return _free(np.sum(d * d, axes, keepdims=keeps(keepdims)) / freedom, freedom)


@derived(np.std)
def std(
    a: Any, axis: Axis = None, dtype: Any = None, out: Any = None, ddof: Any = 0,
    **options: Any,
) -> Any:  # fmt: skip
    """The norm of the deviations over √freedom: its derivative is 0 where they are."""
    d, freedom, axes, keepdims = _deviations(a, axis, dtype, out, ddof, options)
    return _free(norm2(d, axes, keepdims) / np.sqrt(freedom), freedom)


def _free(moment: Any, freedom: Any) -> Any:
    """A moment, which has no derivative where no degree of freedom is left."""
    if not traced(freedom) and np.all(freedom > 0):
        return moment
    return undefined_where(freedom == 0, moment, moment)


def _known_deviations(
    a: Any, axis: Axis, dtype: Any, out: Any, ddof: Any, options: dict[str, Any]
) -> tuple[Any, Any, tuple[int, ...], Any]:
    """As _deviations, of what is not NaN; no degree of freedom counts as NaN."""
    where = options.get("where", True)
    x = as_traced(a, where)
    if x.dtype.kind != "f":
        return _deviations(x, axis, dtype, out, ddof, options)
    options["where"] = _known(x, where)
    axes = reduced_axes(axis, x.ndim)
    d, freedom, axes, keepdims = _deviations(x, axes, dtype, out, ddof, options)
    return d, np.where(freedom > 0, freedom, d.dtype.type(np.nan)), axes, keepdims


@derived(np.nanvar)
def nanvar(
    a: Any, axis: Axis = None, dtype: Any = None, out: Any = None, ddof: Any = 0,
    **options: Any,
) -> Any:  # fmt: skip
    """The variance of what is not NaN; NaN where there is too little of it."""
    d, freedom, axes, keepdims = _known_deviations(a, axis, dtype, out, ddof, options)
    return np.sum(d * d, axes, keepdims=keeps(keepdims)) / freedom


@derived(np.nanstd)
def nanstd(
    a: Any, axis: Axis = None, dtype: Any = None, out: Any = None, ddof: Any = 0,
    **options: Any,
) -> Any:  # fmt: skip
    """The standard deviation of what is not NaN; NaN where there is too little."""
    d, freedom, axes, keepdims = _known_deviations(a, axis, dtype, out, ddof, options)
    return norm2(d, axes, keepdims) / np.sqrt(freedom)


@derived(np.average)
def average(
    a: Any,
    axis: Axis = None,
    weights: Any = None,
    returned: bool = False,
    *,
    keepdims: Any = False,
) -> Any:
    """The weighted mean; with returned, also the sum of the weights."""
    x = as_traced(a, weights)
    axes = axes_of(axis, x.ndim)
    along = math.prod(x.shape[k] for k in axes)
    across = math.prod(n for k, n in enumerate(x.shape) if k not in axes)
    if not (across if weights is None else along or not across):
        raise ZeroDivisionError(
            f"np.average of {x!r} ({source_line()}): there is nothing along axis {axis}"
        )
    if weights is None:
        result = mean(x, axes, keepdims=keepdims)
        scale: Any = np.full(result.shape, x.size / max(result.size, 1), result.dtype)
        return (result, scale) if returned else result
    weights = weights if traced(weights) else plain_array(weights)
    shape = np.shape(weights)
    if shape != x.shape:
        if axis is None or shape != tuple(x.shape[k] for k in _ordered(axis, x.ndim)):
            error = TypeError if axis is None else ValueError
            raise error(
                f"np.average: weights of shape {shape} do not fit {x!r} along axis "
                f"{axis}; pass weights of its shape, or of its extents along axis"
            )
        weights = _placed(weights, _ordered(axis, x.ndim), x.ndim)
    kind = np.float64 if x.dtype.kind != "f" else x.dtype
    dtype = np.result_type(x.dtype, promote([weights]), kind)
    w = np.broadcast_to(weights, x.shape)
    scale = np.sum(w, axes, dtype=dtype, keepdims=keeps(keepdims))
    total = np.sum(cast(x, dtype) * w, axes, dtype=dtype, keepdims=keeps(keepdims))
    return (total / scale, scale) if returned else total / scale


def _ordered(axis: Axis, ndim: int) -> tuple[int, ...]:
    return normalize_axis_tuple(axis, ndim)


def _placed(weights: Any, axes: tuple[int, ...], ndim: int) -> Any:
    """Weights given along axes, with axes of extent 1 for the others."""
    order = np.argsort(axes)
    moved = np.transpose(weights, tuple(int(k) for k in order))
    return np.expand_dims(moved, tuple(k for k in range(ndim) if k not in axes))


# -- covariance ----------------------------------------------------------------


@derived(np.cov)
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """The covariance of variables, one per row, over their observations."""
    if fweights is not None or aweights is not None:
        raise UnsupportedError(
            f"np.cov with weights cannot be traced ({source_line()}); write "
            "(w * d) @ d.T / np.sum(w) of the deviations d"
        )
    m, y = operand(m), operand(y)
    parts = [np.atleast_2d(v) for v in (m, y) if v is not None]
    if not rowvar:
        parts = [
            p if np.ndim(v) < 2 else p.T for p, v in zip(parts, (m, y), strict=False)
        ]
    x: Any = np.concatenate(parts, axis=0) if len(parts) > 1 else parts[0]
    x = cast(x, FLOAT64 if dtype is None else dtype)
    if not x.shape[0]:
        return np.zeros((0, 0))
    ddof = (0 if bias else 1) if ddof is None else ddof
    d = x - np.mean(x, axis=1, keepdims=True)
    product = matmul(d, np.transpose(d)) / x.dtype.type(max(x.shape[1] - ddof, 0))
    return np.squeeze(product)


@derived(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """The correlation of variables: their covariance over both deviations."""
    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    deviation = np.sqrt(np.diagonal(c))
    return np.clip(c / deviation[:, None] / deviation, -1, 1)
