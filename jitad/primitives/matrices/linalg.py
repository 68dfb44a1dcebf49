"""Linear algebra of small matrices: inv, solve, matrix_power, cholesky.

Factorizations are unrolled; pivots are chosen by comparisons and selects.  Solutions
are not differentiated through them: `implicit` states dx = A⁻¹ (db - dA x).
Where NumPy raises LinAlgError a compiled kernel cannot: all of the result is NaN there
(`RAISING` names those composites), unless the user's code handles the error: then that
is a branch (see `ir.failing`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np

from jitad.errors import UnsupportedError
from jitad.ir.bind import cast
from jitad.ir.failing import fail_where
from jitad.ir.graph import MOST_OPERATIONS, Graph, Type
from jitad.ir.primitive import Primitive
from jitad.ir.source import source_line
from jitad.ir.tracer import Tracer, as_tracer, renewed
from jitad.ir.whole import WHOLE, held_by
from jitad.primitives.arrays.contraction import matmul
from jitad.primitives.arrays.einsum import both
from jitad.primitives.arrays.reduction import as_traced, floating
from jitad.primitives.define import bind_composite, composite, derived
from jitad.primitives.scalar.barrier import undefined_where
from jitad.primitives.scalar.elementwise import stop_gradient
from jitad.primitives.scalar.nary import balanced
from jitad.primitives.stated import apply_implicit, implicit

Matrix = list[list[Any]]


# -- operands ------------------------------------------------------------------


def square(a: Any, name: str) -> Any:
    """The operand as a floating-point stack of square matrices."""
    x = floating(as_traced(a))
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise np.linalg.LinAlgError(
            f"np.linalg.{name} of {x!r} ({source_line()}): the last two axes must be "
            "those of a square matrix"
        )
    return x


def cubic(name: str, each: float) -> Callable[..., None]:
    """What refuses matrices of orders n that take too many operations: each n³."""

    def limit(line: str, x: Type, *_: Type) -> None:
        n = x.shape[-1]
        if each * n**3 > MOST_OPERATIONS:
            most = int((MOST_OPERATIONS / each) ** (1 / 3))
            raise UnsupportedError(
                f"np.linalg.{name} of {x} takes {each * n**3:,.0f} scalar operations "
                f"({line}), which are written out one by one; expected an order of "
                f"{most} at most: call it on numbers outside of the function, split "
                "the matrix into blocks, or use jitad.linear_solve with an iteration"
            )

    return limit


def like_matrices(x: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """An array like what LAPACK makes of one matrix; None: of a stack, NumPy says."""
    return np.empty(shape, x.dtype) if x.ndim == 2 else None


def _array(table: Iterable[Iterable[Any]], shape: tuple[int, ...]) -> np.ndarray:
    result = np.empty(shape, object)
    for i, row in enumerate(table):
        for j, item in enumerate(row):
            result[i, j] = item
    return result


def stacked(function: Callable[..., Any], drop: int = 0) -> Callable[..., Any]:
    """An expansion over stacks of matrices from a function of single ones.

    The result of one has the shape of the last operand, less `drop` axes.
    """

    def expand(*operands: np.ndarray) -> np.ndarray:
        lead = np.broadcast_shapes(*(x.shape[:-2] for x in operands))
        stacks = [np.broadcast_to(x, lead + x.shape[-2:]) for x in operands]
        result = np.empty(lead + operands[-1].shape[-2:][drop:], object)
        for place in np.ndindex(lead):
            result[place] = function(*(x[place] for x in stacks))
        return result

    return expand


def _or_nan(function: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy's function, with NaN for the matrices that it raises LinAlgError for."""

    def evaluate(*operands: Any) -> Any:
        try:
            return function(*operands)
        except np.linalg.LinAlgError:
            pass
        if all(x.ndim == 2 for x in operands):
            return np.full_like(operands[-1], np.nan, order="C")
        lead = np.broadcast_shapes(*(x.shape[:-2] for x in operands))
        stacks = [np.broadcast_to(x, lead + x.shape[-2:]) for x in operands]
        return np.stack([evaluate(*parts) for parts in zip(*stacks, strict=True)])

    return evaluate


def _fail(test: Primitive, x: Any, message: str) -> None:
    """Let the user's handler run where a matrix of a stack fails a test."""
    if x.size:
        error = np.linalg.LinAlgError(message)
        fail_where(
            lambda: bind_composite(test, [x], {}, result=np.empty((), bool)), error
        )


# -- elimination ---------------------------------------------------------------


def _swap(condition: Any, rows: Matrix, k: int, i: int, start: int = 0) -> None:
    """Exchange rows k and i, from column start on, where condition holds."""
    for j in range(start, len(rows[k])):
        x, y = rows[k][j], rows[i][j]
        rows[k][j], rows[i][j] = np.where(condition, y, x), np.where(condition, x, y)


def eliminate(a: Matrix, b: Matrix) -> tuple[list[Any], list[Any]]:
    """Gaussian elimination in place: a becomes U, b becomes L⁻¹ P b.

    The pivot is the largest of its column: every row below is compared with row k in
    turn.  Returns the reciprocals of the pivots and the conditions of the exchanges.
    A zero pivot has reciprocal NaN, so that everything that follows is NaN.
    """
    n, reciprocals, swaps = len(a), [], []
    for k in range(n):
        for i in range(k + 1, n):
            condition = np.abs(a[i][k]) > np.abs(a[k][k])
            _swap(condition, a, k, i, k)
            _swap(condition, b, k, i)
            swaps.append(condition)
        pivot = a[k][k]
        one, nan = pivot.dtype.type(1), pivot.dtype.type(np.nan)
        reciprocals.append(one / np.where(pivot == 0, nan, pivot))
        for i in range(k + 1, n):
            factor = a[i][k] * reciprocals[k]
            for row, top, start in ((a[i], a[k], k + 1), (b[i], b[k], 0)):
                for j in range(start, len(row)):
                    row[j] = row[j] - factor * top[j]
    return reciprocals, swaps


def _solve_values(a: Matrix, b: Matrix) -> Matrix:
    """X of A X = B, by elimination and back substitution."""
    u, x = [list(row) for row in a], [list(row) for row in b]
    reciprocals, _ = eliminate(u, x)
    for i in reversed(range(len(u))):
        for j in range(len(x[i])):
            total = x[i][j]
            for k in range(i + 1, len(u)):
                total = total - u[i][k] * x[k][j]
            x[i][j] = total * reciprocals[i]
    return x


def _raises(function: Callable[..., Any]) -> Callable[..., Any]:
    """Whether NumPy's function raises LinAlgError for any matrix of a stack."""

    def evaluate(a: Any) -> Any:
        try:
            function(a)
        except np.linalg.LinAlgError:
            return np.True_
        return np.False_

    return evaluate


def _no_pivot(stack: np.ndarray) -> Any:
    """Whether elimination meets a pivot of zero in any matrix of a stack."""
    found, n = [], stack.shape[-1]
    for a in stack.reshape(-1, n, n):
        u = held(a)
        eliminate(u, [[] for _ in u])
        found += [u[k][k] == 0 for k in range(n)]
    return balanced(np.bitwise_or, found)


_singular = composite(
    "singular", _raises(np.linalg.inv), _no_pivot, limit=cubic("inv", 1 / 3)
)


def held(table: Iterable[Iterable[Any]]) -> Matrix:
    """A matrix whose entries are not differentiated."""
    return [[stop_gradient(item) for item in row] for row in table]


def _flat(table: Iterable[Iterable[Any]]) -> list[Any]:
    return [item for row in table for item in row]


# -- implicit derivatives ------------------------------------------------------


@cache
def _inverse_entry(n: int, i: int, j: int) -> Primitive:
    """V[i, j] of V = A⁻¹, from the entries of V and A: dV = -V dA V."""

    def partials(_: Any, *operands: Any) -> list[Any]:
        left = [apply_implicit(_inverse_entry(n, i, k), operands) for k in range(n)]
        right = [apply_implicit(_inverse_entry(n, k, j), operands) for k in range(n)]
        return [None] * (n * n) + [-(left[k] * right[m]) for k in range(n)
                                   for m in range(n)]  # fmt: skip

    return implicit(f"inv{n}.{i}.{j}", i * n + j, partials)


def inverse(a: Any) -> Matrix:
    """The entries of A⁻¹."""
    n = len(a)
    if n == 0:
        return []
    kind = a[0][0].dtype.type
    identity = [[kind(i == j) for j in range(n)] for i in range(n)]
    values = _solve_values(held(a), identity)
    operands = [*_flat(values), *_flat(a)]
    return [[apply_implicit(_inverse_entry(n, i, j), operands) for j in range(n)]
            for i in range(n)]  # fmt: skip


@cache
def _solution_entry(n: int, i: int) -> Primitive:
    """x[i] of A x = b, from x, A and b: dx = A⁻¹ (db - dA x)."""

    def partials(_: Any, *operands: Any) -> list[Any]:
        a = [operands[n + n * k : 2 * n + n * k] for k in range(n)]
        row = inverse(a)[i]
        x = [apply_implicit(_solution_entry(n, m), operands) for m in range(n)]
        matrix = [-(row[k] * x[m]) for k in range(n) for m in range(n)]
        return [None] * n + matrix + row

    return implicit(f"solve{n}.{i}", i, partials)


def _solution(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """X of A X = B, column by column."""
    n, columns = b.shape
    if n == 0:
        return b
    values = _solve_values(held(a), held(b))
    result = np.empty(b.shape, object)
    for j in range(columns):
        operands = [*(row[j] for row in values), *a.ravel(), *b[:, j]]
        for i in range(n):
            result[i, j] = apply_implicit(_solution_entry(n, i), operands)
    return result


# -- inv and solve -------------------------------------------------------------

_inv = composite(
    "inv",
    _or_nan(np.linalg.inv),
    stacked(lambda a: _array(inverse(a), a.shape)),
    limit=cubic("inv", 4.0),
)
_solve = composite(
    "solve",
    _or_nan(np.linalg.solve),
    stacked(_solution),
    limit=cubic("solve", 4 / 3),
)


@derived(np.linalg.inv)
def inv(a: Any) -> Any:
    """The inverse, by elimination with partial pivoting; NaN where A is singular."""
    x = square(a, "inv")
    _fail(_singular, x, "Singular matrix")
    return bind_composite(_inv, [x], {}, result=like_matrices(x, x.shape))


@derived(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """X of A x = b, by elimination with partial pivoting; NaN where A is singular."""
    x, y = both(a, b)
    dtype = np.result_type(floating(x).dtype, floating(y).dtype)
    x, y = square(cast(x, dtype), "solve"), cast(y, dtype)
    vector = y.ndim == 1
    y = y[:, None] if vector else y
    if y.ndim < 2 or y.shape[-2] != x.shape[-1]:
        raise ValueError(
            f"np.linalg.solve of {x!r} and {y!r} ({source_line()}): the right-hand "
            f"side needs {x.shape[-1]} rows"
        )
    _fail(_singular, x, "Singular matrix")
    like = like_matrices(x, y.shape) if y.ndim == 2 else None
    result = bind_composite(_solve, [x, y], {}, result=like)
    return result[..., 0] if vector else result


@derived(np.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """A multiplied by itself n times; the inverse's powers for negative n."""
    x = as_traced(a)
    square(x, "matrix_power")
    n = operator.index(n)
    if n == 0:
        ones = np.empty_like(x.stand_in())
        ones[...] = np.eye(x.shape[-1])
        return renewed(as_tracer(x.builder, ones), ones)
    base: Any = inv(x) if n < 0 else x
    result: Any = None
    for bit in reversed(bin(abs(n))[2:]):
        if bit == "1":
            result = base if result is None else matmul(result, base)
        base = matmul(base, base)
    return result


# -- cholesky ------------------------------------------------------------------


def _factor(a: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """L of A = L Lᵀ, from the lower triangle of A, and the squares of its diagonal."""
    n = len(a)
    factor = np.full(a.shape, 0.0, object)
    squares = []
    for j in range(n):
        square = a[j, j]
        for k in range(j):
            square = square - factor[j, k] * factor[j, k]
        squares.append(square)
        factor[j, j] = np.sqrt(square)
        if j < n - 1:
            reciprocal = square.dtype.type(1) / factor[j, j]
        for i in range(j + 1, n):
            total = a[i, j]
            for k in range(j):
                total = total - factor[i, k] * factor[j, k]
            factor[i, j] = total * reciprocal
    return factor, squares


def _lower(a: np.ndarray) -> np.ndarray:
    """The factor, NaN where A is not positive definite."""
    factor, squares = _factor(a)
    if squares:
        wrong = balanced(np.bitwise_or, [~(s > 0) for s in squares])
        for i, j in zip(*np.tril_indices(len(a)), strict=True):
            factor[i, j] = undefined_where(wrong, np.nan, factor[i, j])
    return factor


def _no_root(stack: np.ndarray) -> Any:
    """Whether a factor of any matrix of a stack has no diagonal."""
    n = stack.shape[-1]
    squares = [s for a in stack.reshape(-1, n, n) for s in _factor(a)[1]]
    return balanced(np.bitwise_or, [s <= 0 for s in squares])


_indefinite = composite(
    "indefinite",
    _raises(np.linalg.cholesky),
    _no_root,
    limit=cubic("cholesky", 1 / 3),
)


def _cholesky_or_nan(a: Any) -> Any:
    """NaN in the lower triangle where A is not positive definite."""
    found = _or_nan(np.linalg.cholesky)(a)
    return found if isinstance(found, Tracer) else np.tril(found)


_cholesky = composite(
    "cholesky", _cholesky_or_nan, stacked(_lower), limit=cubic("cholesky", 1 / 3)
)


@derived(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """L of A = L Lᵀ; its lower triangle is NaN where A is not positive definite.

    As in NumPy only the lower triangle of A is read (the upper one with upper=True),
    so the derivatives in the other are zero.
    """
    x = square(a, "cholesky")
    axes = (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)
    x = np.transpose(x, axes) if upper else x
    _fail(_indefinite, x, "Matrix is not positive definite")
    factor = bind_composite(_cholesky, [x], {}, result=like_matrices(x, x.shape))
    return np.transpose(factor, axes) if upper else factor


RAISING = {_inv, _solve, _cholesky}


def raising(graph: Graph) -> bool:
    """Whether anything in a graph of arrays may raise LinAlgError in NumPy."""
    return any(
        node.primitive in RAISING
        or (node.primitive is WHOLE and raising(held_by(node).graph))
        for node in graph.nodes
    )


# -- what needs an iteration ---------------------------------------------------

_REMEDIES = {
    "eig": "its results are complex and not differentiable everywhere",
    "eigvals": "its results are complex and not differentiable everywhere",
    "svd": "singular values are np.sqrt(np.linalg.eigvalsh(A.T @ A))",
    "svdvals": "singular values are np.sqrt(np.linalg.eigvalsh(A.T @ A))",
    "qr": "R is np.linalg.cholesky(A.T @ A).T up to signs, and Q is A @ inv(R)",
    "lstsq": "use np.linalg.solve(A.T @ A, A.T @ b), or cholesky of A.T @ A",
    "pinv": "for full column rank use np.linalg.solve(A.T @ A, A.T)",
    "cond": "use np.linalg.norm(A) * np.linalg.norm(np.linalg.inv(A))",
    "matrix_rank": "it is no smooth function; compute it outside",
    "tensorsolve": "reshape to a matrix and use np.linalg.solve",
    "tensorinv": "reshape to a matrix and use np.linalg.inv",
}


def _refuse(name: str, remedy: str) -> None:
    function = getattr(np.linalg, name, None)
    if function is None:
        return

    @derived(function)
    def _(*_: Any, **__: Any) -> Any:
        raise UnsupportedError(
            f"np.linalg.{name} cannot be traced ({source_line()}): it needs an "
            f"iteration; {remedy}"
        )


for _name, _remedy in _REMEDIES.items():
    _refuse(_name, _remedy)
