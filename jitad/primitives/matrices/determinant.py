"""Determinants: det, exact where the matrix is singular too, and slogdet."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np

from jitad.ir.primitive import Primitive
from jitad.primitives.define import bind_composite, composite, derived
from jitad.primitives.scalar.elementwise import stop_gradient
from jitad.primitives.scalar.nary import balanced
from jitad.primitives.stated import apply_implicit, implicit

from .linalg import (
    Matrix,
    cubic,
    eliminate,
    held,
    inverse,
    like_matrices,
    square,
    stacked,
)

# Determinants up to this order are division-free, by minors of columns' subsets.
_MINORS = 5


def _by_minors(a: Matrix) -> Any:
    """The determinant from the minors of the last rows, by Laplace's expansion."""
    n = len(a)
    minors: dict[tuple[int, ...], Any] = {(): 1.0}
    for r in reversed(range(n)):
        above = {}
        for columns in combinations(range(n), n - r):
            total: Any = None
            for k, c in enumerate(columns):
                minor = minors[columns[:k] + columns[k + 1 :]]
                term = a[r][c] * minor if r < n - 1 else a[r][c]
                if total is None:
                    total = term
                else:
                    total = total - term if k % 2 else total + term
            above[columns] = total
        minors = above
    return minors[tuple(range(n))]


def _turn(condition: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """(y, -x) where condition holds, else (x, y): a determinant stays the same."""
    return np.where(condition, y, x), np.where(condition, -x, y)


def _sizes(items: Sequence[Any]) -> list[Any]:
    """Magnitudes, to be compared only."""
    return [np.abs(stop_gradient(x)) for x in items]


def _reduced(a: Matrix) -> tuple[Any, Matrix]:
    """The largest entry, and the Schur complement: det A = pivot · det S.

    Where the pivot is zero, so is all of A, and a division by one instead keeps the
    derivatives finite and zero.
    """
    n = len(a)
    largest = [balanced(np.maximum, _sizes(row)) for row in a]
    for i in range(1, n):
        condition = largest[i] > largest[0]
        largest[0] = np.where(condition, largest[i], largest[0])
        for j in range(n):
            a[0][j], a[i][j] = _turn(condition, a[0][j], a[i][j])
    for j in range(1, n):
        top, other = _sizes([a[0][0], a[0][j]])
        condition = other > top
        for row in a:
            row[0], row[j] = _turn(condition, row[0], row[j])
    pivot = a[0][0]
    one = pivot.dtype.type(1)
    reciprocal = one / np.where(pivot == 0, one, pivot)
    factors = [row[0] * reciprocal for row in a[1:]]
    return pivot, [
        [x - factor * top for x, top in zip(row[1:], a[0][1:], strict=True)]
        for row, factor in zip(a[1:], factors, strict=True)
    ]


def _determinant(a: np.ndarray) -> Any:
    table, pivots = [list(row) for row in a], []
    while len(table) > _MINORS:
        pivot, table = _reduced(table)
        pivots.append(pivot)
    return balanced(np.multiply, [*pivots, _by_minors(table)])


_det = composite(
    "det", np.linalg.det, stacked(_determinant, 2), limit=cubic("det", 3.0)
)


@derived(np.linalg.det)
def det(a: Any) -> Any:
    """The determinant, with derivatives that are exact where it is singular too.

    Up to order 5 it is a polynomial of minors, exact at any order of derivative.
    Beyond, elimination with complete pivoting comes first, down to a block of order 5:
    exact for the derivatives of order 5 and lower at matrices of any rank.
    """
    x = square(a, "det")
    return bind_composite(_det, [x], {}, result=like_matrices(x, ()))


@cache
def _log_entry(n: int) -> Primitive:
    """Log |det A| from its value and A: d log |det A| = tr(A⁻¹ dA)."""

    def partials(_: Any, *operands: Any) -> list[Any]:
        found = inverse([operands[1 + n * k : 1 + n + n * k] for k in range(n)])
        return [None, *(found[j][i] for i in range(n) for j in range(n))]

    return implicit(f"logabsdet{n}", 0, partials)


def _pivots(a: np.ndarray) -> tuple[list[Any], list[Any]]:
    u = held(a)
    _, swaps = eliminate(u, [[] for _ in u])
    return [u[k][k] for k in range(len(u))], swaps


def _sign_of_det(a: np.ndarray) -> Any:
    if not len(a):
        return 1.0
    pivots, swaps = _pivots(a)
    odd = balanced(np.bitwise_xor, [*swaps, *(p < 0 for p in pivots)])
    zero = balanced(np.bitwise_or, [p == 0 for p in pivots])
    kind = pivots[0].dtype.type
    return np.where(zero, kind(0), np.where(odd, kind(-1), kind(1)))


def _log_of_det(a: np.ndarray) -> Any:
    if not len(a):
        return 0.0
    pivots, _ = _pivots(a)
    zero = balanced(np.bitwise_or, [p == 0 for p in pivots])
    total = balanced(np.add, [np.log(np.abs(p)) for p in pivots])
    value = np.where(zero, total.dtype.type(-np.inf), total)
    return apply_implicit(_log_entry(len(a)), [value, *a.ravel()])


_signdet = composite(
    "signdet",
    lambda a: np.linalg.slogdet(a)[0],
    stacked(_sign_of_det, 2),
    limit=cubic("slogdet", 4 / 3),
)
_logabsdet = composite(
    "logabsdet",
    lambda a: np.linalg.slogdet(a)[1],
    stacked(_log_of_det, 2),
    limit=cubic("slogdet", 4 / 3),
)
_SlogdetResult = type(np.linalg.slogdet(np.eye(1)))


@derived(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """Sign and log |det|; (0, -inf), with derivative NaN, where A is singular."""
    x = square(a, "slogdet")
    like = like_matrices(x, ())
    sign = bind_composite(_signdet, [x], {}, result=like)
    return _SlogdetResult(sign, bind_composite(_logabsdet, [x], {}, result=like))
