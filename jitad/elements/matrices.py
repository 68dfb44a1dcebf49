"""Linear algebra of large matrices by LAPACK, each with its adjoint.

Solutions, inverses, determinants and eigenvalues are differentiated implicitly: a
factorization is computed once, stands beside the matrix among the operands of what is
made of it, and has no derivative itself.  Where NumPy raises LinAlgError all is NaN.

Sources: M. B. Giles, Collected matrix derivative results for forward and reverse mode
algorithmic differentiation, 2008; I. Murray, Differentiation of the Cholesky
decomposition, 2016, 3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import blas, lapack

from jitad.ir.graph import Type
from jitad.ir.primitive import registry
from jitad.primitives.matrices.eigen import with_signs

from .library import Added, Ground, Known, Library, Product, UnfitError
from .windows import Shape, Window, broadcast, c_steps, turned

_LEAD = "abcdefgh"


# -- what derivatives are made of ----------------------------------------------


def transposed(ground: Ground, x: int) -> int:
    """Matrices with rows and columns exchanged."""
    return ground.seen(x, turned(ground.shape(x)))


def _product(ground: Ground, a: int, b: int, labels: str) -> int:
    """A product of stacks of matrices, by the labels of their last axes."""
    left, right, to = labels.replace("->", ",").split(",")
    (*lead, _, _), own = ground.shape(a), _LEAD[: len(ground.shape(a)) - 2]
    extents = dict(zip(left, ground.shape(a)[-2:], strict=True))
    extents |= zip(right, ground.shape(b)[-2:], strict=True)
    type = Type(ground.dtype(a), (*lead, *[extents[x] for x in to]))
    made = Product(type, (a, b), (own + left, own + right), own + to)
    return ground.added(made, gaps=False)


def _columns(ground: Ground, x: int, rows: int) -> int:
    """One number for each column, seen in all of so many rows."""
    *lead, n = ground.shape(x)
    *steps, step = c_steps(ground.shape(x))
    window = Window((*lead, rows, n), 0, (*steps, 0, step))
    return ground.seen(x, window)


def _everywhere(ground: Ground, x: int, shape: Shape) -> int:
    """One number for each matrix, seen in all of its elements."""
    steps = c_steps(ground.shape(x))
    return ground.seen(x, Window(shape, 0, (*steps, 0, 0)))


def _triangle(ground: Ground, x: int, weights: tuple[float, float, float]) -> int:
    type = Type(ground.dtype(x), ground.shape(x))
    return ground.added(Triangle(type, (x,), weights), gaps=False)


def _symmetric(ground: Ground, x: int) -> int:
    """What the lower triangle of a symmetric matrix gets of a derivative by all."""
    both = ground.plain(lambda a, b: a + b, [x, transposed(ground, x)])
    return _triangle(ground, both, (1.0, 0.5, 0.0))


def _both_sides(ground: Ground, x: int) -> int:
    """The symmetric matrix with a lower triangle."""
    half = _triangle(ground, x, (1.0, 0.5, 0.0))
    return ground.plain(lambda a, b: a + b, [half, transposed(ground, half)])


def _negative(x: Any) -> Any:
    return -x


def _times(a: Any, b: Any) -> Any:
    return a * b


def _sum(a: Any, b: Any) -> Any:
    return a + b


@dataclass(frozen=True, slots=True, eq=False)
class Triangle(Library):
    """Matrices with other weights below, on and above their diagonals: linear."""

    weights: tuple[float, float, float]

    def compute(self, *arrays: np.ndarray) -> Any:
        """By NumPy."""
        (x,), (below, here, above) = arrays, self.weights
        rows, columns = np.ogrid[: x.shape[-2], : x.shape[-1]]
        keep = np.ones((), x.dtype)
        weights = np.where(
            rows > columns, below * keep, np.where(rows < columns, above * keep, here)
        ).astype(x.dtype)
        return np.where(weights == 0, weights, x * weights)

    def _of(self, ground: Ground, x: int) -> int:
        return ground.added(Triangle(self.type, (x,), self.weights), gaps=True)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """The same weights."""
        yield self.operands[0], self._of(ground, bar)

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The same weights."""
        return self._of(ground, dots[self.operands[0]])


# -- factorizations without a derivative ---------------------------------------


class Implicit(Library):
    """What is computed once for others, whose derivatives do not go through it."""

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """Nothing."""
        yield from ()

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> None:
        """Nothing."""


def _each(function: Callable[..., Any], arrays: Sequence[np.ndarray]) -> Any:
    """A function of single matrices on stacks of them."""
    lead = arrays[0].shape[:-2]
    if not lead:
        return function(*arrays)
    made = [function(*[x[place] for x in arrays]) for place in np.ndindex(lead)]
    return np.stack(made).reshape(lead + made[0].shape)


def _routine(name: str, like: np.ndarray, module: Any = lapack) -> Any:
    return getattr(module, ("s" if like.dtype == np.float32 else "d") + name)


@dataclass(frozen=True, slots=True, eq=False)
class Factors(Implicit):
    """LU of square matrices with partial pivoting: Uᵀ and Lᵀ, and a row of pivots."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """By LAPACK's getrf."""
        return _each(self._one, arrays)

    def _one(self, a: np.ndarray) -> np.ndarray:
        lu, pivots, _ = _routine("getrf", a)(a)
        return np.concatenate([lu.T, pivots[None].astype(a.dtype)])


def _unpacked(factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return factors[:-1].T, factors[-1].astype(np.int32)


def _diagonal(factors: np.ndarray) -> np.ndarray:
    return np.diagonal(factors[..., :-1, :], axis1=-2, axis2=-1)


@dataclass(frozen=True, slots=True, eq=False)
class Eigen(Implicit):
    """Eigenvectors of symmetric matrices, and below them a row of eigenvalues."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """By LAPACK, of the lower triangle; vectors with the signs of `np.eigh`'s."""
        return _each(self._one, arrays)

    def _one(self, a: np.ndarray) -> np.ndarray:
        try:
            values, vectors = np.linalg.eigh(a)
        except np.linalg.LinAlgError:
            return np.full((len(a) + 1, len(a)), np.nan, a.dtype)
        return np.concatenate([with_signs(vectors), values[None]])


# -- solutions and inverses ----------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Solved(Library):
    """X of A X = B, or of Aᵀ X = B, of A, its factors, and B."""

    turned: bool = False

    @property
    def read(self) -> tuple[int, ...]:
        """The factors and B."""
        return self.operands[1:]

    def compute(self, *arrays: np.ndarray) -> Any:
        """By LAPACK's getrs; NaN where A is singular."""
        return _each(self._one, arrays)

    def _one(self, factors: np.ndarray, b: np.ndarray) -> np.ndarray:
        if not _diagonal(factors).all():
            return np.full(b.shape, np.nan, b.dtype)
        lu, pivots = _unpacked(factors)
        return _routine("getrs", b)(lu, pivots, b, trans=int(self.turned))[0]

    def _of(self, ground: Ground, b: int, *, turned: bool) -> int:
        type = Type(self.type.dtype, ground.shape(b))
        operands = (*self.operands[:2], b)
        return ground.added(Solved(type, operands, turned), gaps=False)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """W of Aᵀ W = X̄ to B, and -W Xᵀ to A."""
        a, _, b = self.operands
        w = self._of(ground, bar, turned=not self.turned)
        yield b, w
        less = ground.plain(_negative, [w])
        pair = (y, less) if self.turned else (less, y)
        yield a, _product(ground, *pair, "ij,kj->ik")

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The solution for Ḃ - Ȧ X."""
        a, _, b = self.operands
        terms = [dots[b]] if b in dots else []
        if a in dots:
            labels = "ji,jk->ik" if self.turned else "ij,jk->ik"
            change = _product(ground, dots[a], y, labels)
            terms.append(ground.plain(_negative, [change]))
        both = terms[0] if len(terms) == 1 else ground.plain(_sum, terms)
        return self._of(ground, both, turned=self.turned)


@dataclass(frozen=True, slots=True, eq=False)
class Inverse(Library):
    """A⁻¹, of A and its factors."""

    @property
    def read(self) -> tuple[int, ...]:
        """The factors."""
        return self.operands[1:]

    def compute(self, *arrays: np.ndarray) -> Any:
        """By LAPACK's getri; NaN where A is singular."""
        return _each(self._one, arrays)

    def _one(self, factors: np.ndarray) -> np.ndarray:
        if not _diagonal(factors).all():
            return np.full(self.type.shape[-2:], np.nan, factors.dtype)
        lu, pivots = _unpacked(factors)
        return _routine("getri", lu)(lu, pivots, lwork=64 * len(lu))[0]

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """-Vᵀ V̄ Vᵀ."""
        inner = _product(ground, y, ground.plain(_negative, [bar]), "ji,jk->ik")
        yield self.operands[0], _product(ground, inner, y, "ij,kj->ik")

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """-V Ȧ V."""
        inner = _product(ground, y, dots[self.operands[0]], "ij,jk->ik")
        inner = ground.plain(_negative, [inner])
        return _product(ground, inner, y, "ij,jk->ik")


# -- determinants --------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class LogDeterminant(Library):
    """Log |det A|, of A and its factors."""

    @property
    def read(self) -> tuple[int, ...]:
        """The factors."""
        return self.operands[1:]

    def compute(self, *arrays: np.ndarray) -> Any:
        """The sum of the logarithms of the pivots."""
        return np.sum(np.log(np.abs(_diagonal(arrays[0]))), axis=-1)

    def _inverse(self, ground: Ground) -> int:
        type = Type(self.type.dtype, ground.shape(self.operands[0]))
        return ground.added(Inverse(type, self.operands), gaps=False)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """A⁻ᵀ, times ȳ."""
        inverse = transposed(ground, self._inverse(ground))
        every = _everywhere(ground, bar, ground.shape(inverse))
        yield self.operands[0], ground.plain(_times, [inverse, every])

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The trace of A⁻¹ Ȧ."""
        given = [transposed(ground, self._inverse(ground)), dots[self.operands[0]]]
        rank = len(self.type.shape)
        made = ground.plain(_times, given)
        return ground.total(made, self.type, (rank, rank + 1))


def _sign(factors: np.ndarray) -> Any:
    """The sign of a determinant."""
    n = factors.shape[-1]
    swaps = np.sum(factors[..., -1, :] != np.arange(n), axis=-1)
    signs = np.prod(np.sign(_diagonal(factors)), axis=-1)
    return np.where(swaps % 2, -signs, signs)


@dataclass(frozen=True, slots=True, eq=False)
class Sign(Implicit):
    """The sign of a determinant, of the factors."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """By the signs of pivots, and their exchanges."""
        return _sign(arrays[0])


@dataclass(frozen=True, slots=True, eq=False)
class Determinant(Library):
    """det A, of A and its factors."""

    @property
    def read(self) -> tuple[int, ...]:
        """The factors."""
        return self.operands[1:]

    def compute(self, *arrays: np.ndarray) -> Any:
        """The product of the pivots."""
        sizes = np.prod(np.abs(_diagonal(arrays[0])), axis=-1)
        return _sign(arrays[0]) * sizes

    def _cofactors(self, ground: Ground) -> int:
        type = Type(self.type.dtype, ground.shape(self.operands[0]))
        return ground.added(Cofactors(type, self.operands[:1]), gaps=False)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """The cofactors, times ȳ."""
        cofactors = self._cofactors(ground)
        every = _everywhere(ground, bar, ground.shape(cofactors))
        yield self.operands[0], ground.plain(_times, [cofactors, every])

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The sum of cofactors times Ȧ."""
        given = [self._cofactors(ground), dots[self.operands[0]]]
        rank = len(self.type.shape)
        made = ground.plain(_times, given)
        return ground.total(made, self.type, (rank, rank + 1))


@dataclass(frozen=True, slots=True, eq=False)
class Cofactors(Library):
    """The derivatives of det A by the elements of A; their own where A is regular."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """By singular values, so that they are exact where A is singular, too."""
        u, s, v = np.linalg.svd(arrays[0])
        n = s.shape[-1]
        others = np.where(np.eye(n, dtype=bool), 1, s[..., None, :])
        sign = np.linalg.det(u) * np.linalg.det(v)
        scale = np.round(sign)[..., None] * np.prod(others, axis=-1)
        return (u * scale[..., None, :]) @ v

    def _change(self, ground: Ground, y: int, slope: int, labels: str) -> int:
        """(tr(Cᵀ Ȧ) C - C Ȧᵀ C) / det A, and with the same letters its adjoint."""
        shape = ground.shape(y)
        rank = len(shape) - 2
        lead = Type(self.type.dtype, shape[:-2])
        total = ground.total(ground.plain(_times, [y, slope]), lead, (rank, rank + 1))
        a = self.operands[0]
        size = ground.total(
            ground.plain(_times, [y, a]), lead, (rank, rank + 1)
        )  # n det A
        across = _product(ground, _product(ground, y, slope, labels), y, "ij,jk->ik")
        n = shape[-1]
        given = [y, across, _everywhere(ground, total, shape)]
        given.append(_everywhere(ground, size, shape))
        return ground.plain(lambda c, m, t, d: (t * c - m) * n / d, given)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """It is its own adjoint."""
        yield self.operands[0], self._change(ground, y, bar, "ij,kj->ik")

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """By Jacobi's formula."""
        return self._change(ground, y, dots[self.operands[0]], "ij,kj->ik")


# -- Cholesky's factor ---------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Cholesky(Library):
    """L of A = L Lᵀ, of the lower triangle of A."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """By LAPACK; NaN in the lower triangle where A is not positive definite."""
        return registry.primitives["cholesky"].evaluate(arrays[0])

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """L⁻ᵀ Φ(Lᵀ L̄) L⁻¹, where Φ is the lower triangle with half the diagonal."""
        inner = _product(ground, y, bar, "ji,jk->ik")
        inner = _triangle(ground, inner, (1.0, 0.5, 0.0))
        left = _triangular(ground, y, inner, turned=True)
        made = _triangular(ground, y, transposed(ground, left), turned=True)
        yield self.operands[0], _symmetric(ground, made)

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """L Φ(L⁻¹ Ȧ L⁻ᵀ)."""
        change = _both_sides(ground, dots[self.operands[0]])
        left = _triangular(ground, y, change, turned=False)
        inner = _triangular(ground, y, transposed(ground, left), turned=False)
        inner = _triangle(ground, inner, (1.0, 0.5, 0.0))
        return _product(ground, y, inner, "ij,jk->ik")


def _triangular(ground: Ground, factor: int, b: int, *, turned: bool) -> int:
    type = Type(ground.dtype(b), ground.shape(b))
    return ground.added(Triangular(type, (factor, b), turned), gaps=False)


@dataclass(frozen=True, slots=True, eq=False)
class Triangular(Library):
    """X of L X = B, or of Lᵀ X = B, where L is a factor by Cholesky.

    What L gets above its diagonal is never read: its derivatives have nothing there.
    """

    turned: bool

    def compute(self, *arrays: np.ndarray) -> Any:
        """By BLAS's trsm, on rows that are LAPACK's columns."""
        return _each(self._one, arrays)

    def _one(self, factor: np.ndarray, b: np.ndarray) -> np.ndarray:
        solve = _routine("trsm", b, blas)
        return solve(1.0, factor.T, b.T, side=1, trans_a=int(self.turned)).T

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """W of Lᵀ W = X̄ to B, and -W Xᵀ to L."""
        factor, b = self.operands
        w = _triangular(ground, factor, bar, turned=not self.turned)
        yield b, w
        less = ground.plain(_negative, [w])
        pair = (y, less) if self.turned else (less, y)
        yield factor, _product(ground, *pair, "ij,kj->ik")

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The solution for Ḃ - L̇ X."""
        factor, b = self.operands
        terms = [dots[b]] if b in dots else []
        if factor in dots:
            labels = "ji,jk->ik" if self.turned else "ij,jk->ik"
            change = _product(ground, dots[factor], y, labels)
            terms.append(ground.plain(_negative, [change]))
        both = terms[0] if len(terms) == 1 else ground.plain(_sum, terms)
        return _triangular(ground, factor, both, turned=self.turned)


# -- eigenvalues ---------------------------------------------------------------


class Spectral(Library):
    """What is made of a symmetric matrix and its `Eigen`."""

    @property
    def read(self) -> tuple[int, ...]:
        """Eigenvalues and vectors."""
        return self.operands[1:]

    def vectors(self, ground: Ground) -> int:
        """The vectors, as a value that has derivatives."""
        type = Type(self.type.dtype, ground.shape(self.operands[0]))
        return ground.added(Eigenvectors(type, self.operands), gaps=False)

    def values(self, ground: Ground) -> int:
        """The eigenvalues, likewise."""
        type = Type(self.type.dtype, ground.shape(self.operands[0])[:-1])
        return ground.added(Eigenvalues(type, self.operands), gaps=False)

    def inner(self, ground: Ground, dots: Mapping[int, int]) -> tuple[int, int]:
        """The vectors V, and Vᵀ Ȧ V."""
        vectors = self.vectors(ground)
        change = _both_sides(ground, dots[self.operands[0]])
        left = _product(ground, vectors, change, "ji,jk->ik")
        return vectors, _product(ground, left, vectors, "ij,jk->ik")

    def outer(self, ground: Ground, vectors: int, left: int) -> int:
        """What the lower triangle of A gets of left Vᵀ."""
        return _symmetric(ground, _product(ground, left, vectors, "ij,kj->ik"))


@dataclass(frozen=True, slots=True, eq=False)
class Eigenvalues(Spectral):
    """Eigenvalues in ascending order: dλ = vᵀ dA v."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """The row below the vectors."""
        return arrays[0][..., -1, :].copy()

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """V λ̄ Vᵀ."""
        vectors = self.vectors(ground)
        columns = _columns(ground, bar, self.type.shape[-1])
        left = ground.plain(_times, [vectors, columns])
        yield self.operands[0], self.outer(ground, vectors, left)

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The diagonal of Vᵀ Ȧ V."""
        vectors = self.vectors(ground)
        change = _both_sides(ground, dots[self.operands[0]])
        right = _product(ground, change, vectors, "ij,jk->ik")
        made = ground.plain(_times, [vectors, right])
        return ground.total(made, self.type, (len(self.type.shape) - 1,))


@dataclass(frozen=True, slots=True, eq=False)
class Eigenvectors(Spectral):
    """Eigenvectors in columns; where eigenvalues are equal they have no derivative."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """All rows but the last."""
        return arrays[0][..., :-1, :].copy()

    def _divided(self, ground: Ground, inner: int) -> int:
        """Elements of a matrix by the gaps of the eigenvalues of its axes."""
        n = self.type.shape[-1]
        columns = _columns(ground, self.values(ground), n)
        index = np.broadcast_to(np.eye(n, dtype=bool), self.type.shape)
        given = [inner, columns, transposed(ground, columns), ground.constant(index)]
        return ground.plain(_by_gap, given)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """V (F ∘ Vᵀ V̄) Vᵀ, Fᵢⱼ = 1 / (λⱼ - λᵢ)."""
        inner = self._divided(ground, _product(ground, y, bar, "ji,jk->ik"))
        left = _product(ground, y, inner, "ij,jk->ik")
        yield self.operands[0], self.outer(ground, y, left)

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """V (F ∘ Vᵀ Ȧ V)."""
        vectors, inner = self.inner(ground, dots)
        return _product(ground, vectors, self._divided(ground, inner), "ij,jk->ik")


def _by_gap(x: Any, there: Any, here: Any, same: Any) -> Any:
    gap = np.where(there == here, np.nan, there - here)
    return np.where(same, 0.0, x / np.where(same, 1.0, gap))


# -- from nodes ----------------------------------------------------------------


def _factored(flow: Any, a: int) -> int:
    """The factors of matrices, made once."""
    dtype, (*lead, n, _) = flow.types[a].dtype, flow.types[a].shape
    return flow.once(Factors(Type(dtype, (*lead, n + 1, n)), (a,)))


def _of_factors(make: Callable[..., Library]) -> Known:
    def known(flow: Any, type: Type, given: Sequence[int], _: Any) -> int:
        return flow.add(make(type, (given[0], _factored(flow, given[0]))))[0]

    return known


def _signs(flow: Any, type: Type, given: Sequence[int], _: Any) -> int:
    return flow.add(Sign(type, (_factored(flow, given[0]),)))[0]


def _solution(flow: Any, type: Type, given: Sequence[int], _: Any) -> int:
    lead = type.shape[:-2]
    a, b = (
        flow.seen(x, broadcast(flow.types[x].shape, lead + flow.types[x].shape[-2:]))
        for x in given
    )
    factor, turned = _cholesky_of(flow, a)
    if factor is not None:
        return flow.add(Triangular(type, (factor, b), turned))[0]
    return flow.add(Solved(type, (a, _factored(flow, a), b)))[0]


def _cholesky_of(flow: Any, a: int) -> tuple[int | None, bool]:
    """The factor by Cholesky that a matrix is, or is the transpose of."""
    made = flow.maker(a)
    if isinstance(made, Cholesky):
        return a, False
    x = flow.turned(a)
    return (x, True) if isinstance(flow.maker(x), Cholesky) else (None, False)


def _lower(flow: Any, type: Type, given: Sequence[int], _: Any) -> int:
    return flow.add(Cholesky(type, (given[0],)))[0]


def _of_eigen(make: Callable[..., Library]) -> Known:
    def known(flow: Any, type: Type, given: Sequence[int], _: Any) -> int:
        (a,) = given
        dtype, (*lead, n, _) = flow.types[a].dtype, flow.types[a].shape
        eigen = flow.once(Eigen(Type(dtype, (*lead, n + 1, n)), (a,)))
        return flow.add(make(type, (a, eigen)))[0]

    return known


def _sized(known: Known) -> Known:
    """For matrices that have elements, alone."""

    def checked(flow: Any, type: Type, given: Sequence[int], params: Any) -> int:
        if not all(flow.types[x].size for x in given):
            raise UnfitError
        return known(flow, type, given, params)

    return checked


def _entries() -> Iterator[tuple[str, Known]]:
    yield "inv", _of_factors(Inverse)
    yield "solve", _solution
    yield "det", _of_factors(Determinant)
    yield "logabsdet", _of_factors(LogDeterminant)
    yield "signdet", _signs
    yield "cholesky", _lower
    yield "eigvalsh", _of_eigen(Eigenvalues)
    yield "eigenvectors", _of_eigen(Eigenvectors)


MATRICES: dict[str, Known] = {name: _sized(known) for name, known in _entries()}
