"""Determinants and eigenvalues of large matrices by LAPACK, each with its adjoint.

Determinants are exact where a matrix is singular, and sums of eigenvalues where some
are equal, up to second derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitad.ir.graph import Type
from jitad.primitives.matrices.eigen import with_signs

from .library import (
    Added,
    Ground,
    Implicit,
    Known,
    Library,
    UnfitError,
    summed,
    times,
)
from .matrices import (
    Inverse,
    both_sides,
    columns,
    diagonal,
    each,
    everywhere,
    factored,
    of_factors,
    product,
    sized,
    symmetric,
    transposed,
)

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
        return np.sum(np.log(np.abs(diagonal(arrays[0]))), axis=-1)

    def _inverse(self, ground: Ground) -> int:
        type = Type(self.type.dtype, ground.shape(self.operands[0]))
        return ground.added(Inverse(type, self.operands), gaps=False)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """A⁻ᵀ, times ȳ."""
        inverse = transposed(ground, self._inverse(ground))
        every = everywhere(ground, bar, ground.shape(inverse))
        yield self.operands[0], ground.plain(times, [inverse, every])

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The trace of A⁻¹ Ȧ."""
        given = [transposed(ground, self._inverse(ground)), dots[self.operands[0]]]
        rank = len(self.type.shape)
        made = ground.plain(times, given)
        return ground.total(made, self.type, (rank, rank + 1))


def _sign(factors: np.ndarray) -> Any:
    """The sign of a determinant."""
    n = factors.shape[-1]
    swaps = np.sum(factors[..., -1, :] != np.arange(n), axis=-1)
    signs = np.prod(np.sign(diagonal(factors)), axis=-1)
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
        sizes = np.prod(np.abs(diagonal(arrays[0])), axis=-1)
        return _sign(arrays[0]) * sizes

    def _cofactors(self, ground: Ground) -> int:
        type = Type(self.type.dtype, ground.shape(self.operands[0]))
        return ground.added(Cofactors(type, self.operands[:1]), gaps=False)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """The cofactors, times ȳ."""
        cofactors = self._cofactors(ground)
        every = everywhere(ground, bar, ground.shape(cofactors))
        yield self.operands[0], ground.plain(times, [cofactors, every])

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The sum of cofactors times Ȧ."""
        given = [self._cofactors(ground), dots[self.operands[0]]]
        rank = len(self.type.shape)
        made = ground.plain(times, given)
        return ground.total(made, self.type, (rank, rank + 1))


def _without(s: np.ndarray) -> np.ndarray:
    """The products of all singular values but two: but i and j, or i where i = j."""
    n = s.shape[-1]
    table = np.where(np.eye(n, dtype=bool), 1, s[..., None, :])
    ones = np.ones_like(table[..., :1])
    before = np.concatenate([ones, np.cumprod(table, -1)[..., :-1]], -1)
    turned = np.cumprod(table[..., ::-1], -1)[..., ::-1]
    return before * np.concatenate([turned[..., 1:], ones], -1)


def _decomposed(a: np.ndarray) -> tuple[Any, Any, Any, Any]:
    """U, s and V of A = U s V, and det U · det V."""
    u, s, v = np.linalg.svd(a)
    return u, s, v, np.round(np.linalg.det(u) * np.linalg.det(v))[..., None]


@dataclass(frozen=True, slots=True, eq=False)
class Cofactors(Library):
    """The derivatives of det A by the elements of A, exact where it is singular too."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """By singular values."""
        u, s, v, sign = _decomposed(arrays[0])
        others = np.diagonal(_without(s), axis1=-2, axis2=-1)
        return (u * (sign * others)[..., None, :]) @ v

    def _changed(self, ground: Ground, slope: int) -> int:
        made = CofactorChange(self.type, (*self.operands, slope))
        return ground.added(made, gaps=False)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """It is its own adjoint."""
        yield self.operands[0], self._changed(ground, bar)

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The second derivatives of the determinant."""
        return self._changed(ground, dots[self.operands[0]])


@dataclass(frozen=True, slots=True, eq=False)
class CofactorChange(Library):
    """How the cofactors of A change with A, along the second operand.

    In the basis of singular vectors, where all products of but two values are known.
    """

    def compute(self, *arrays: np.ndarray) -> Any:
        """By singular values."""
        u, s, v, sign = _decomposed(arrays[0])
        turned = np.swapaxes(u, -1, -2) @ arrays[1] @ np.swapaxes(v, -1, -2)
        others = np.where(np.eye(s.shape[-1], dtype=bool), 0, _without(s))
        along = np.diagonal(turned, axis1=-2, axis2=-1)[..., None, :]
        change = -others * np.swapaxes(turned, -1, -2)
        change += np.eye(s.shape[-1]) * np.sum(others * along, -1)[..., None, :]
        return (u * sign[..., None]) @ change @ v

    def _of(self, ground: Ground, slope: int) -> int:
        made = CofactorChange(self.type, (self.operands[0], slope))
        return ground.added(made, gaps=False)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """It is its own adjoint in the second operand."""
        a, slope = self.operands
        if ground.wanted(a):
            raise UnfitError("third derivatives of determinants")
        yield slope, self._of(ground, bar)

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The same of the second operand's."""
        a, slope = self.operands
        if a in dots:
            raise UnfitError("third derivatives of determinants")
        return self._of(ground, dots[slope])


@dataclass(frozen=True, slots=True, eq=False)
class Eigen(Implicit):
    """Eigenvectors of symmetric matrices, and below them a row of eigenvalues."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """By LAPACK, of the lower triangle; vectors with the signs of `np.eigh`'s."""
        return each(self._one, arrays)

    def _one(self, a: np.ndarray) -> np.ndarray:
        try:
            values, vectors = np.linalg.eigh(a)
        except np.linalg.LinAlgError:
            return np.full((len(a) + 1, len(a)), np.nan, a.dtype)
        return np.concatenate([with_signs(vectors), values[None]])


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
        return ground.added(Eigenvectors(type, self.operands[:2]), gaps=False)

    def values(self, ground: Ground) -> int:
        """The eigenvalues, likewise."""
        type = Type(self.type.dtype, ground.shape(self.operands[0])[:-1])
        return ground.added(Eigenvalues(type, self.operands[:2]), gaps=False)

    def recomposed(self, ground: Ground, values: int) -> int:
        """V times other values times Vᵀ."""
        type = Type(self.type.dtype, ground.shape(self.operands[0]))
        made = Recomposed(type, (*self.operands[:2], values))
        return ground.added(made, gaps=False)

    def quotients(self, ground: Ground, x: int) -> int:
        """The diagonal of Vᵀ X V."""
        vectors = self.vectors(ground)
        right = product(ground, x, vectors, "ij,jk->ik")
        shape = ground.shape(x)[:-1]
        made = ground.plain(times, [vectors, right])
        return ground.total(made, Type(self.type.dtype, shape), (len(shape) - 1,))


@dataclass(frozen=True, slots=True, eq=False)
class Eigenvalues(Spectral):
    """Eigenvalues in ascending order: dλ = vᵀ dA v."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """The row below the vectors."""
        return arrays[0][..., -1, :].copy()

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """V λ̄ Vᵀ."""
        yield self.operands[0], symmetric(ground, self.recomposed(ground, bar))

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The diagonal of Vᵀ Ȧ V."""
        change = both_sides(ground, dots[self.operands[0]])
        return self.quotients(ground, change)


@dataclass(frozen=True, slots=True, eq=False)
class Recomposed(Spectral):
    """V D Vᵀ of a matrix, its `Eigen`, and other values D (Daleckii and Krein, 1965).

    So sums of eigenvalues have second derivatives where eigenvalues are equal.
    """

    def compute(self, *arrays: np.ndarray) -> Any:
        """By BLAS."""
        eigen, values = arrays
        vectors = eigen[..., :-1, :]
        return (vectors * values[..., None, :]) @ np.swapaxes(vectors, -1, -2)

    def _change(self, ground: Ground, x: int) -> int:
        """V (F ∘ Vᵀ X V) Vᵀ, F the slopes of D by λ."""
        n, vectors = self.type.shape[-1], self.vectors(ground)
        inner = product(ground, vectors, x, "ji,jk->ik")
        inner = product(ground, inner, vectors, "ij,jk->ik")
        given = [inner]
        for values in (self.operands[2], self.values(ground)):
            there = columns(ground, values, n)
            given += [there, transposed(ground, there)]
        inner = ground.plain(_by_slope, given)
        left = product(ground, vectors, inner, "ij,jk->ik")
        return product(ground, left, vectors, "ij,kj->ik")

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """To A, and to D the diagonal of Vᵀ X̄ V."""
        a, _, values = self.operands
        yield values, self.quotients(ground, bar)
        yield a, symmetric(ground, self._change(ground, bar))

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """By A, and by D."""
        a, _, values = self.operands
        terms = []
        if values in dots:
            terms.append(self.recomposed_as(ground, dots[values]))
        if a in dots:
            terms.append(self._change(ground, both_sides(ground, dots[a])))
        return summed(ground, terms)

    def recomposed_as(self, ground: Ground, values: int) -> int:
        """The same of other values."""
        made = Recomposed(self.type, (*self.operands[:2], values))
        return ground.added(made, gaps=False)


def _by_slope(x: Any, d_there: Any, d_here: Any, there: Any, here: Any) -> Any:
    flat = d_there == d_here
    gap = np.where(there == here, np.nan, there - here)
    return np.where(flat, 0.0, x * ((d_there - d_here) / np.where(flat, 1.0, gap)))


@dataclass(frozen=True, slots=True, eq=False)
class Eigenvectors(Spectral):
    """Eigenvectors in columns; where eigenvalues are equal they have no derivative."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """All rows but the last."""
        return arrays[0][..., :-1, :].copy()

    def _divided(self, ground: Ground, inner: int) -> int:
        """Elements of a matrix by the gaps of the eigenvalues of its axes."""
        n = self.type.shape[-1]
        there = columns(ground, self.values(ground), n)
        same = np.broadcast_to(np.eye(n, dtype=bool), self.type.shape)
        given = [inner, there, transposed(ground, there), ground.constant(same)]
        return ground.plain(_by_gap, given)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """V (F ∘ Vᵀ V̄) Vᵀ, Fᵢⱼ = 1 / (λⱼ - λᵢ)."""
        inner = self._divided(ground, product(ground, y, bar, "ji,jk->ik"))
        left = product(ground, y, inner, "ij,jk->ik")
        yield self.operands[0], symmetric(ground, product(ground, left, y, "ij,kj->ik"))

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """V (F ∘ Vᵀ Ȧ V)."""
        change = both_sides(ground, dots[self.operands[0]])
        inner = product(ground, y, change, "ji,jk->ik")
        inner = self._divided(ground, product(ground, inner, y, "ij,jk->ik"))
        return product(ground, y, inner, "ij,jk->ik")


def _by_gap(x: Any, there: Any, here: Any, same: Any) -> Any:
    gap = np.where(there == here, np.nan, there - here)
    return np.where(same, 0.0, x / np.where(same, 1.0, gap))


# -- from nodes ----------------------------------------------------------------


def _of_eigen(make: Callable[..., Library]) -> Known:
    def known(flow: Any, type: Type, given: Sequence[int], _: Any) -> int:
        (a,) = given
        dtype, (*lead, n, _) = flow.types[a].dtype, flow.types[a].shape
        eigen = flow.once(Eigen(Type(dtype, (*lead, n + 1, n)), (a,)))
        return flow.add(make(type, (a, eigen)))[0]

    return known


def _signs(flow: Any, type: Type, given: Sequence[int], _: Any) -> int:
    return flow.add(Sign(type, (factored(flow, given[0]),)))[0]


SPECTRA: dict[str, Known] = {
    "det": sized(of_factors(Determinant)),
    "logabsdet": sized(of_factors(LogDeterminant)),
    "signdet": sized(_signs),
    "eigvalsh": sized(_of_eigen(Eigenvalues)),
    "eigenvectors": sized(_of_eigen(Eigenvectors)),
}
