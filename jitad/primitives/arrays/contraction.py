"""Products of vectors and matrices: matmul, dot, tensordot, outer, kron, cross, trace.

`matmul` is a composite; the others are declared through it, `einsum` and products.
Either operand may be a constant, and dtypes promote as NumPy's do.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from jitad.ir.graph import Type
from jitad.ir.source import source_line
from jitad.ir.tracer import Tracer, renewed
from jitad.primitives.define import composite, derived

from .einsum import both, check, contract, labelled, sum_products
from .reduction import as_traced, refuse_out

# -- matmul --------------------------------------------------------------------


def _limit(_: str, x: Type, y: Type) -> None:
    """Raise where a matrix product is too large for one point."""
    a, b = x.shape, y.shape
    lead = np.broadcast_shapes(a[:-2], b[:-2])
    rows, columns = math.prod(a[-2:-1]), b[-1] if len(b) > 1 else 1
    check(math.prod(lead) * rows * a[-1] * columns, "matmul")


def _matmul_expand(a: np.ndarray, b: np.ndarray) -> Any:
    left = a[None, :] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    (n, k), m = left.shape[-2:], right.shape[-1]
    if k == 0:
        result = np.full((*lead, n, m), 0, object)
    else:
        # The summed axis comes first: (k, …, n, 1) times (k, …, 1, m).
        columns = np.moveaxis(left, -1, 0)[..., None]
        rights = np.moveaxis(right, -2, 0)[..., None, :]
        axes = len(lead) + 3
        result = sum_products(_aligned(columns, axes) * _aligned(rights, axes))
    result = result[..., 0, :] if a.ndim == 1 else result
    return result[..., 0] if b.ndim == 1 else result


def _aligned(x: np.ndarray, axes: int) -> np.ndarray:
    """With axes of extent 1 after the first, so that batch axes broadcast."""
    return x.reshape((x.shape[0], *(1,) * (axes - x.ndim), *x.shape[1:]))


_matmul = composite("matmul", np.matmul, _matmul_expand, limit=_limit)


@derived(np.matmul)
def matmul(a: Any, b: Any) -> Any:
    """The product a @ b, with NumPy's rules for one axis and for batches."""
    x, y = both(a, b)
    if not x.ndim or not y.ndim:
        raise ValueError(
            f"matmul of {x!r} and {y!r} ({source_line()}): both need an axis; use *"
        )
    k = y.shape[-2] if y.ndim > 1 else y.shape[0]
    if x.shape[-1] != k:
        raise ValueError(
            f"matmul of {x!r} and {y!r} ({source_line()}): the last axis of the left, "
            f"{x.shape[-1]}, must be the first of the right, {k}"
        )
    return contract(_matmul, [x, y], {})


# -- products of vectors and arrays --------------------------------------------


@derived(np.tensordot, np.linalg.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """The sum of products over pairs of axes: always an array."""
    result = _summed(a, b, axes)
    return result if result.shape else renewed(result, np.empty(()))


def _summed(a: Any, b: Any, axes: Any) -> Any:
    x, y = both(a, b)
    if isinstance(axes, int):
        first, second = range(x.ndim - axes, x.ndim), range(axes)
    else:
        first, second = ([n] if isinstance(n, int) else list(n) for n in axes)
    left = normalize_axis_tuple(tuple(first), x.ndim)
    right = normalize_axis_tuple(tuple(second), y.ndim)
    if [x.shape[i] for i in left] != [y.shape[j] for j in right]:
        raise ValueError(
            f"tensordot of {x!r} and {y!r} over axes {left} and {right}: the extents "
            f"differ ({source_line()})"
        )
    letters = string.ascii_letters
    own, other = letters[: x.ndim], list(letters[x.ndim : x.ndim + y.ndim])
    for i, j in zip(left, right, strict=True):
        other[j] = own[i]
    kept = "".join(c for k, c in enumerate(own) if k not in left)
    kept += "".join(c for k, c in enumerate(other) if k not in right)
    result = labelled([x, y], f"{own},{''.join(other)}->{kept}")
    return renewed(result, np.empty(result.shape)[()])


@derived(np.dot)
def dot(a: Any, b: Any, out: Any = None) -> Any:
    """NumPy's dot: a product of scalars, vectors or matrices."""
    refuse_out(out, "dot")
    x, y = both(a, b)
    if not x.ndim or not y.ndim:
        return x * y
    if y.ndim <= 2:
        return matmul(x, y)
    return _summed(x, y, ((-1,), (-2,)))


@derived(np.inner)
def inner(a: Any, b: Any) -> Any:
    """The sum of products over the last axes."""
    x, y = both(a, b)
    if not x.ndim or not y.ndim:
        return x * y
    return _summed(x, y, ((-1,), (-1,)))


@derived(np.vdot)
def vdot(a: Any, b: Any) -> Any:
    """The sum of products of all elements."""
    x, y = both(a, b)
    return matmul(np.ravel(x), np.ravel(y))


@derived(np.outer)
def outer(a: Any, b: Any, out: Any = None) -> Any:
    """Every element of a times every element of b."""
    refuse_out(out, "outer")
    x, y = both(a, b)
    return np.ravel(x)[:, None] * np.ravel(y)


@derived(np.linalg.outer)
def linalg_outer(a: Any, b: Any, /) -> Any:
    """The outer product of two vectors."""
    if np.ndim(a) != 1 or np.ndim(b) != 1:
        raise ValueError("np.linalg.outer takes vectors; np.outer takes any arrays")
    return outer(a, b)


@derived(np.kron)
def kron(a: Any, b: Any) -> Any:
    """The Kronecker product: blocks a[i, j] * b."""
    x, y = both(a, b)
    ndim = max(x.ndim, y.ndim)
    left = (1,) * (ndim - x.ndim) + x.shape
    right = (1,) * (ndim - y.ndim) + y.shape
    apart = [n for m in left for n in (m, 1)]
    between = [n for m in right for n in (1, m)]
    blocks = np.reshape(x, apart) * np.reshape(y, between)
    return np.reshape(blocks, [m * n for m, n in zip(left, right, strict=True)])


@derived(np.cross)
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None
) -> Any:
    """The cross product of vectors with 2 or 3 components."""
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = both(a, b)
    x = np.moveaxis(x, normalize_axis_index(axisa, x.ndim), -1)
    y = np.moveaxis(y, normalize_axis_index(axisb, y.ndim), -1)
    if x.shape[-1] not in (2, 3) or y.shape[-1] not in (2, 3):
        raise ValueError(
            f"np.cross of {x!r} and {y!r} ({source_line()}): vectors need 2 or 3 "
            "components"
        )
    u = [x[..., k] for k in range(x.shape[-1])]
    v = [y[..., k] for k in range(y.shape[-1])]
    last = u[0] * v[1] - u[1] * v[0]
    if len(u) == len(v) == 2:
        return last
    if len(u) == 2:
        parts = [u[1] * v[2], -(u[0] * v[2]), last]
    elif len(v) == 2:
        parts = [-(u[2] * v[1]), u[2] * v[0], last]
    else:
        parts = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], last]
    return np.stack(parts, axis=normalize_axis_index(axisc, parts[0].ndim + 1))


@derived(np.linalg.cross)
def linalg_cross(a: Any, b: Any, /, *, axis: int = -1) -> Any:
    """The cross product of vectors with 3 components."""
    x, y = both(a, b)
    if x.shape[axis] != 3 or y.shape[axis] != 3:
        raise ValueError(f"np.linalg.cross of {x!r} and {y!r} takes 3 components")
    return cross(x, y, axis=axis)


def _cored(name: str, a: Any, b: Any, axes: tuple[int, int]) -> tuple[Any, Any]:
    """Operands that have the axes of a product's core."""
    x, y = both(a, b)
    for operand, count in zip((x, y), axes, strict=True):
        if operand.ndim < count:
            raise ValueError(
                f"np.{name} of {x!r} and {y!r} ({source_line()}): {operand!r} needs "
                f"{'an axis' if count == 1 else 'two axes'}"
            )
    return x, y


def _vector_products() -> None:
    """np.vecdot, np.matvec and np.vecmat, where this NumPy has them."""

    def vecdot(a: Any, b: Any) -> Any:
        x, y = _cored("vecdot", a, b, (1, 1))
        found = matmul(x[..., None, :], y[..., :, None])[..., 0, 0]
        return found[()]  # of two vectors a number

    def matvec(a: Any, b: Any) -> Any:
        x, y = _cored("matvec", a, b, (2, 1))
        return matmul(x, y[..., :, None])[..., 0]

    def vecmat(a: Any, b: Any) -> Any:
        x, y = _cored("vecmat", a, b, (1, 2))
        return matmul(x[..., None, :], y)[..., 0, :]

    for function in (vecdot, matvec, vecmat):
        derived(getattr(np, function.__name__))(function)

    @derived(np.linalg.vecdot)
    def _(a: Any, b: Any, /, *, axis: int = -1) -> Any:
        x, y = both(a, b)
        return vecdot(np.moveaxis(x, axis, -1), np.moveaxis(y, axis, -1))


_vector_products()


@derived(np.linalg.matmul)
def linalg_matmul(a: Any, b: Any, /) -> Any:
    """The product a @ b."""
    return matmul(a, b)


@derived(np.linalg.multi_dot)
def multi_dot(arrays: Any, *, out: Any = None) -> Any:
    """The product of matrices, in the order that takes the fewest operations."""
    refuse_out(out, "linalg.multi_dot")
    tracers = list(both(*arrays))
    if len(tracers) < 2:
        raise ValueError("np.linalg.multi_dot needs at least two arrays")
    if len(tracers) == 2:
        return dot(*tracers)
    ends = (tracers[0].ndim, tracers[-1].ndim)
    if any(t.ndim != 2 for t in tracers[1:-1]) or not {*ends} <= {1, 2}:
        raise np.linalg.LinAlgError(
            f"np.linalg.multi_dot of {tracers} ({source_line()}): expected matrices, "
            "or vectors as the first and the last"
        )
    row, column = tracers[0].ndim == 1, tracers[-1].ndim == 1
    if row:
        tracers[0] = tracers[0][None, :]
    if column:
        tracers[-1] = tracers[-1][:, None]
    result = _chained(tracers)
    result = result[0] if row else result
    return result[..., 0] if column else result


def _chained(tracers: Sequence[Tracer]) -> Any:
    """The matrix chain by dynamic programming."""
    sizes = [tracers[0].shape[0], *(t.shape[1] for t in tracers)]
    best: dict[tuple[int, int], tuple[int, int]] = {}
    count = len(tracers)
    for i in range(count):
        best[i, i + 1] = (0, i)
    for length in range(2, count + 1):
        for i in range(count - length + 1):
            j = i + length
            best[i, j] = min(
                (best[i, k][0] + best[k, j][0] + sizes[i] * sizes[k] * sizes[j], k)
                for k in range(i + 1, j)
            )

    def product(i: int, j: int) -> Any:
        if j == i + 1:
            return tracers[i]
        k = best[i, j][1]
        return matmul(product(i, k), product(k, j))

    return product(0, count)


@derived(np.trace)
def trace(
    a: Any,
    offset: int = 0,
    axis1: int = 0,
    axis2: int = 1,
    dtype: Any = None,
    out: Any = None,
) -> Any:
    """The sum along a diagonal."""
    refuse_out(out, "trace")
    diagonal = np.diagonal(as_traced(a), offset, axis1, axis2)
    return np.sum(diagonal, axis=-1, dtype=dtype)


@derived(np.linalg.trace)
def linalg_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sum along a diagonal of the last two axes."""
    return trace(x, offset, -2, -1, dtype)
