"""Norms of vectors and matrices: sums, largest entries and Euclidean length.

The Euclidean ones are the n-ary scalar `norm_of`, whose derivative at 0 is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from jitad.errors import UnsupportedError
from jitad.ir.bind import cast
from jitad.ir.source import source_line
from jitad.primitives.define import derived
from jitad.primitives.scalar import nary

from .reduction import Axis, as_traced, axes_of, floating, of_columns, reduction, rows

_norm = reduction(
    "norm",
    lambda x, axis: np.linalg.norm(rows(x, axis), axis=0),
    of_columns(nary.norm_of),
    0.0,
)


def norm2(x: Any, axis: Axis, keepdims: Any = False) -> Any:
    """√Σx², whose derivative at 0 is 0."""
    return _norm(floating(x), axis, keepdims)


def _vector(x: Any, order: Any, axes: tuple[int, ...], keepdims: Any) -> Any:
    if order is None or order == 2:
        return norm2(x, axes, keepdims)
    if order == 1:
        return np.sum(np.abs(x), axes, keepdims=keepdims)
    if order == np.inf:
        if not all(x.shape[k] for k in axes):
            return np.sum(x, axes, keepdims=keepdims)
        return np.max(np.abs(x), axes, keepdims=keepdims)
    if order == -np.inf:
        return np.min(np.abs(x), axes, keepdims=keepdims)
    if order == 0:
        return cast(np.count_nonzero(x, axes, keepdims=keepdims), x.dtype)
    raise UnsupportedError(
        f"the norm of order {order!r} cannot be traced ({source_line()}); "
        "np.sum(np.abs(x)**p)**(1/p) is it where it is not zero"
    )


def _matrix(x: Any, order: Any, axes: tuple[int, int], keepdims: Any) -> Any:
    if order is None or order in ("fro", "f"):
        return norm2(x, axes, keepdims)
    if order in (1, -1, np.inf, -np.inf):
        row, column = axes
        inner, last = (row, column) if abs(order) == 1 else (column, row)
        extreme = np.max if order > 0 else np.min
        if order > 0 and not x.shape[last]:
            extreme = np.sum
        sums = np.sum(np.abs(x), inner, keepdims=True)
        found = extreme(sums, last, keepdims=True)
        # Of one matrix a number.
        return found if keepdims else np.squeeze(found, axes)[()]
    raise UnsupportedError(
        f"the matrix norm of order {order!r} cannot be traced ({source_line()}): it "
        "needs singular values; 'fro', 1 and inf are norms that can"
    )


@derived(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Any:
    """The norm of all elements, of vectors along an axis, or of matrices."""
    a = floating(as_traced(x))
    if axis is None and (ord is None or a.ndim == 1):
        return _vector(a, ord, axes_of(None, a.ndim), keepdims)
    axes = range(a.ndim) if axis is None else axis
    axes = normalize_axis_tuple(axes, a.ndim)
    if len(axes) == 1:
        return _vector(a, ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix(a, ord, axes, keepdims)
    raise ValueError(
        f"np.linalg.norm of {a!r} with ord={ord!r} and axis={axis}: expected one axis "
        "for vectors, two for matrices"
    )


@derived(np.linalg.vector_norm)
def vector_norm(
    x: Any, /, *, axis: Axis = None, keepdims: bool = False, ord: Any = 2
) -> Any:
    """The norm of vectors; several axes are taken as one."""
    a = floating(as_traced(x))
    return _vector(a, ord, axes_of(axis, a.ndim), keepdims)


@derived(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norm of the matrices in the last two axes."""
    a = floating(as_traced(x))
    axes_of((-2, -1), a.ndim)
    return _matrix(a, ord, (a.ndim - 2, a.ndim - 1), keepdims)
