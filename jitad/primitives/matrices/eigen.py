"""Eigenvalues and eigenvectors of small symmetric matrices: eigh, eigvalsh.

Cyclic Jacobi rotations (Golub and Van Loan, Matrix Computations, 4th ed., 8.5), a fixed
number of sweeps, then a sort.  Derivatives are the implicit ones, dλ = vᵀ dA v.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from jitad.errors import UnsupportedError
from jitad.ir.graph import Node, Type
from jitad.ir.primitive import Primitive
from jitad.ir.tracer import Tracer
from jitad.primitives.arrays.order import at_rank, rank
from jitad.primitives.define import bind_composite, composite, derived
from jitad.primitives.scalar.nary import balanced
from jitad.primitives.stated import apply_implicit, implicit

from .linalg import Matrix, held, like_matrices, square, stacked

# By order.  Convergence is quadratic: two sweeps fewer sufficed for all matrices tried.
_SWEEPS = (0, 0, 1, 6, 7, 8, 8, 10, 10)


# An entry of a vector is small below this part of the largest.
_SMALL = 0.4


def _rotate(a: Matrix, v: Matrix, p: int, q: int) -> None:
    """Make a[p][q] zero by a rotation; v collects the rotations."""
    across = a[p][q]
    one, zero = across.dtype.type(1), across.dtype.type(0)
    cotangent = (a[q][q] - a[p][p]) / (across + across)
    root = np.sqrt(cotangent * cotangent + one)
    tangent = np.where(cotangent < 0, -one, one) / (np.abs(cotangent) + root)
    tangent = np.where(across == 0, zero, tangent)
    c = one / np.sqrt(tangent * tangent + one)
    s = tangent * c
    shift = tangent * across
    a[p][p], a[q][q] = a[p][p] - shift, a[q][q] + shift
    a[p][q] = a[q][p] = zero
    for r in range(len(a)):
        v[r][p], v[r][q] = c * v[r][p] - s * v[r][q], s * v[r][p] + c * v[r][q]
        if r not in (p, q):
            a[r][p], a[r][q] = c * a[r][p] - s * a[r][q], s * a[r][p] + c * a[r][q]
            a[p][r], a[q][r] = a[r][p], a[r][q]


def _decompose(lower: Matrix) -> tuple[list[Any], Matrix]:
    """Eigenvalues in ascending order, and the matrix of their vectors."""
    n = len(lower)
    kind = lower[0][0].dtype.type
    a = [[lower[max(i, j)][min(i, j)] for j in range(n)] for i in range(n)]
    v: Matrix = [[kind(i == j) for j in range(n)] for i in range(n)]
    for _ in range(_SWEEPS[n]):
        for p in range(n - 1):
            for q in range(p + 1, n):
                _rotate(a, v, p, q)
    values = [a[i][i] for i in range(n)]
    if n == 1:
        return values, v
    ranks = rank(values)
    vectors = [[at_rank(ranks, row, k) for k in range(n)] for row in v]
    return [at_rank(ranks, values, k) for k in range(n)], vectors


def _decompose_signed(lower: Matrix) -> tuple[list[Any], Matrix]:
    """The same with signs that follow a rule, where vectors are asked for."""
    values, vectors = _decompose(lower)
    columns = [_signed(v) for v in zip(*vectors, strict=True)]
    return values, [list(row) for row in zip(*columns, strict=True)]


def _signed(vector: Sequence[Any]) -> list[Any]:
    """A vector or its negative: its first entry that is not small is positive.

    Small is what is less than a part of the largest; no simple vectors have two entries
    in this ratio, so rounding does not choose.
    """
    sizes = [np.abs(x) for x in vector]
    least = _SMALL * balanced(np.maximum, sizes)
    leading = vector[-1]
    for x, size in zip(vector[-2::-1], sizes[-2::-1], strict=True):
        leading = np.where(size >= least, x, leading)
    return [np.where(leading < 0, -x, x) for x in vector]


def _vectors(n: int, operands: Sequence[Any]) -> Matrix:
    return [[apply_implicit(_vector_entry(n, k, i), operands) for i in range(n)]
            for k in range(n)]  # fmt: skip


def _triangle(n: int) -> list[tuple[int, int]]:
    return [(k, m) for k in range(n) for m in range(k + 1)]


_VALUE = "eigenvalue"


@cache
def _value_entry(n: int, i: int) -> Primitive:
    """λ[i] from λ, V and the lower triangle of A: dλ = vᵀ dA v."""

    def partials(_: Any, *operands: Any) -> list[Any]:
        v = [row[i] for row in _vectors(n, operands)]
        found = [v[k] * v[m] if k == m else 2.0 * (v[k] * v[m])
                 for k, m in _triangle(n)]  # fmt: skip
        return [None] * (n + n * n) + found

    return implicit(f"{_VALUE}{n}.{i}", i, partials)


def whole_spectrum(
    nodes: Mapping[Node, float],
) -> tuple[float, dict[tuple[int, int], int]] | None:
    """The weight of all eigenvalues of one matrix, and its lower triangle by places.

    None if the nodes are not all of them, or not of one weight: then their sum is not
    the trace, nor that of their squares the sum of the squares of all entries.
    """
    weights = {*nodes.values()}
    matrices = {node.operands for node in nodes}
    if len(weights) != 1 or len(matrices) != 1:
        return None
    names = {node.primitive.name for node in nodes}
    ((*operands,),) = matrices
    n = len(nodes)
    if names != {f"{_VALUE}{n}.{i}" for i in range(n)}:
        return None
    data = dict(zip(_triangle(n), operands[n + n * n :], strict=True))
    return weights.pop(), data


def is_eigenvalue(node: Node) -> bool:
    """Whether a node is an eigenvalue of a matrix."""
    return node.primitive.name.startswith(_VALUE)


@cache
def _vector_entry(n: int, k: int, i: int) -> Primitive:
    """V[k, i]: dvᵢ = Σ vⱼ (vⱼᵀ dA vᵢ) / (λᵢ - λⱼ), undefined at equal eigenvalues."""

    def partials(_: Any, *operands: Any) -> list[Any]:
        v = _vectors(n, operands)
        values = [apply_implicit(_value_entry(n, j), operands) for j in range(n)]
        others = [j for j in range(n) if j != i]
        gaps = [values[i] - values[j] for j in others]
        nan = gaps[0].dtype.type(np.nan) if gaps else None
        weights = [
            v[k][j] / np.where(gap == 0, nan, gap)
            for j, gap in zip(others, gaps, strict=True)
        ]

        def partial(p: int, q: int) -> Any:
            terms = []
            for j, weight in zip(others, weights, strict=True):
                inside = v[p][j] * v[q][i]
                inside = inside + v[q][j] * v[p][i] if p != q else inside
                terms.append(weight * inside)
            return balanced(np.add, terms) if terms else None

        return [None] * (n + n * n) + [partial(p, q) for p, q in _triangle(n)]

    return implicit(f"eigenvector{n}.{k}.{i}", n + k * n + i, partials)


def _bound(
    a: np.ndarray, decompose: Callable[[Matrix], tuple[list[Any], Matrix]]
) -> tuple[list[Any], Matrix]:
    """Eigenvalues and vectors as implicit scalars; plain numbers stay numbers."""
    n = len(a)
    if not isinstance(a[0, 0], Tracer):
        return decompose([list(row) for row in a])
    values, vectors = decompose(held(a))
    data = [a[k, m] for k, m in _triangle(n)]
    operands = [*values, *(x for row in vectors for x in row), *data]
    found = [apply_implicit(_value_entry(n, i), operands) for i in range(n)]
    return found, _vectors(n, operands)


def _only_values(a: np.ndarray) -> np.ndarray:
    result = np.empty(len(a), object)
    result[:] = _bound(a, _decompose)[0]
    return result


def _only_vectors(a: np.ndarray) -> np.ndarray:
    result = np.empty(a.shape, object)
    for k, row in enumerate(_bound(a, _decompose_signed)[1]):
        result[k] = row
    return result


def _evaluate_vectors(a: Any) -> Any:
    """LAPACK's vectors with the signs of `_signed`."""
    vectors = np.linalg.eigh(a)[1]
    return vectors if isinstance(a, Tracer) else with_signs(vectors)


def with_signs(vectors: np.ndarray) -> np.ndarray:
    """Eigenvectors in columns, with the signs of `_signed`."""
    rows = _signed([*np.moveaxis(vectors, -2, 0)])
    return np.moveaxis(np.stack(rows), 0, -2)


def _limit(name: str) -> Callable[..., None]:
    """What refuses matrices that no number of sweeps is known for."""

    def limit(line: str, x: Type) -> None:
        if not 0 < x.shape[-1] < len(_SWEEPS):
            raise UnsupportedError(
                f"np.linalg.{name} of {x} cannot be written out ({line}): the order "
                f"may be 1 to {len(_SWEEPS) - 1}; use vmap if an axis is that of points"
            )

    return limit


_values = composite(
    "eigvalsh",
    np.linalg.eigvalsh,
    stacked(_only_values, 1),
    limit=_limit("eigvalsh"),
)
_eigenvectors = composite(
    "eigenvectors",
    _evaluate_vectors,
    stacked(_only_vectors),
    limit=_limit("eigh"),
)
_EighResult: Any = type(np.linalg.eigh(np.eye(1)))


def _symmetric(a: Any, uplo: str, name: str) -> Any:
    """The operand with the triangle that is read below the diagonal."""
    x = square(a, name)
    if uplo.upper() not in ("L", "U"):
        raise ValueError(f"np.linalg.{name}: UPLO is 'L' or 'U', not {uplo!r}")
    if uplo.upper() == "L":
        return x
    return np.transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


@derived(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues of a symmetric matrix, ascending; one triangle of it is read."""
    x = _symmetric(a, UPLO, "eigvalsh")
    return bind_composite(_values, [x], {}, result=like_matrices(x, x.shape[1:]))


@derived(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues, ascending, and eigenvectors, LAPACK's but for their signs.

    LAPACK's own follow no rule.  Of each vector the first entry that is at least 0.4 of
    the largest is positive.  Where eigenvalues are equal the derivative of their
    vectors is NaN.
    """
    x = _symmetric(a, UPLO, "eigh")
    vectors = bind_composite(_eigenvectors, [x], {}, result=like_matrices(x, x.shape))
    values = bind_composite(_values, [x], {}, result=like_matrices(x, x.shape[1:]))
    return _EighResult(values, vectors)
