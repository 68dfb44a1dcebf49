"""Linear algebra of large matrices by LAPACK, each with its adjoint.

Solutions and inverses, and what `spectra` has, are differentiated implicitly: a
factorization is computed once, stands beside the matrix among the operands of what is
made of it, and has no derivative itself.  Where NumPy raises LinAlgError all is NaN.

Sources: M. B. Giles, Collected matrix derivative results for forward and reverse mode
algorithmic differentiation, 2008; I. Murray, Differentiation of the Cholesky
decomposition, 2016, 3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitad.ir.graph import Type
from jitad.ir.primitive import registry
from jitad.process.late import late

from .library import (
    Added,
    Ground,
    Implicit,
    Known,
    Library,
    Product,
    UnfitError,
    plus,
    summed,
)
from .windows import Shape, Window, broadcast, c_steps, turned

blas, lapack = late("scipy.linalg.blas"), late("scipy.linalg.lapack")

_LEAD = "abcdefgh"


# -- what derivatives are made of ----------------------------------------------


def transposed(ground: Ground, x: int) -> int:
    """Matrices with rows and columns exchanged."""
    return ground.seen(x, turned(ground.shape(x)))


def product(ground: Ground, a: int, b: int, labels: str) -> int:
    """A product of stacks of matrices, by the labels of their last axes."""
    left, right, to = labels.replace("->", ",").split(",")
    (*lead, _, _), own = ground.shape(a), _LEAD[: len(ground.shape(a)) - 2]
    extents = dict(zip(left, ground.shape(a)[-2:], strict=True))
    extents |= zip(right, ground.shape(b)[-2:], strict=True)
    type = Type(ground.dtype(a), (*lead, *[extents[x] for x in to]))
    made = Product(type, (a, b), (own + left, own + right), own + to)
    return ground.added(made, gaps=False)


def columns(ground: Ground, x: int, rows: int) -> int:
    """One number for each column, seen in all of so many rows."""
    *lead, n = ground.shape(x)
    *steps, step = c_steps(ground.shape(x))
    window = Window((*lead, rows, n), 0, (*steps, 0, step))
    return ground.seen(x, window)


def everywhere(ground: Ground, x: int, shape: Shape) -> int:
    """One number for each matrix, seen in all of its elements."""
    steps = c_steps(ground.shape(x))
    return ground.seen(x, Window(shape, 0, (*steps, 0, 0)))


def _triangle(ground: Ground, x: int) -> int:
    type = Type(ground.dtype(x), ground.shape(x))
    return ground.added(Triangle(type, (x,)), gaps=False)


def symmetric(ground: Ground, x: int) -> int:
    """What the lower triangle of a symmetric matrix gets of a derivative by all."""
    both = ground.plain(plus, [x, transposed(ground, x)])
    return _triangle(ground, both)


def both_sides(ground: Ground, x: int) -> int:
    """The symmetric matrix with a lower triangle."""
    half = _triangle(ground, x)
    return ground.plain(plus, [half, transposed(ground, half)])


def _negative(x: Any) -> Any:
    return -x


@dataclass(frozen=True, slots=True, eq=False)
class Triangle(Library):
    """The lower triangles of matrices, with half of their diagonals: linear."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """By NumPy."""
        made = np.tril(arrays[0])
        n = np.arange(min(made.shape[-2:]))
        made[..., n, n] *= made.dtype.type(0.5)
        return made

    def _of(self, ground: Ground, x: int) -> int:
        return ground.added(Triangle(self.type, (x,)), gaps=True)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """It is its own adjoint."""
        yield self.operands[0], self._of(ground, bar)

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The same of ẋ."""
        return self._of(ground, dots[self.operands[0]])


# -- factorizations without a derivative ---------------------------------------


def each(function: Callable[..., Any], arrays: Sequence[np.ndarray]) -> Any:
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
        return each(self._one, arrays)

    def _one(self, a: np.ndarray) -> np.ndarray:
        lu, pivots, _ = _routine("getrf", a)(a)
        return np.concatenate([lu.T, pivots[None].astype(a.dtype)])


def _unpacked(factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return factors[:-1].T, factors[-1].astype(np.int32)


def diagonal(factors: np.ndarray) -> np.ndarray:
    """The pivots."""
    return np.diagonal(factors[..., :-1, :], axis1=-2, axis2=-1)


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
        return each(self._one, arrays)

    def _one(self, factors: np.ndarray, b: np.ndarray) -> np.ndarray:
        if not diagonal(factors).all():
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
        yield a, product(ground, *pair, "ij,kj->ik")

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The solution for Ḃ - Ȧ X."""
        a, _, b = self.operands
        terms = [dots[b]] if b in dots else []
        if a in dots:
            labels = "ji,jk->ik" if self.turned else "ij,jk->ik"
            change = product(ground, dots[a], y, labels)
            terms.append(ground.plain(_negative, [change]))
        both = summed(ground, terms)
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
        return each(self._one, arrays)

    def _one(self, factors: np.ndarray) -> np.ndarray:
        if not diagonal(factors).all():
            return np.full(self.type.shape[-2:], np.nan, factors.dtype)
        lu, pivots = _unpacked(factors)
        return _routine("getri", lu)(lu, pivots, lwork=64 * len(lu))[0]

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """-Vᵀ V̄ Vᵀ."""
        inner = product(ground, y, ground.plain(_negative, [bar]), "ji,jk->ik")
        yield self.operands[0], product(ground, inner, y, "ij,kj->ik")

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """-V Ȧ V."""
        inner = product(ground, y, dots[self.operands[0]], "ij,jk->ik")
        inner = ground.plain(_negative, [inner])
        return product(ground, inner, y, "ij,jk->ik")


# -- Cholesky's factor ---------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Cholesky(Library):
    """L of A = L Lᵀ, of the lower triangle of A."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """By LAPACK; NaN in the lower triangle where A is not positive definite."""
        return registry.primitives["cholesky"].evaluate(arrays[0])

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """L⁻ᵀ Φ(Lᵀ L̄) L⁻¹, where Φ is the lower triangle with half the diagonal."""
        inner = product(ground, y, bar, "ji,jk->ik")
        inner = _triangle(ground, inner)
        left = _triangular(ground, y, inner, turned=True)
        made = _triangular(ground, y, transposed(ground, left), turned=True)
        yield self.operands[0], symmetric(ground, made)

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """L Φ(L⁻¹ Ȧ L⁻ᵀ)."""
        change = both_sides(ground, dots[self.operands[0]])
        left = _triangular(ground, y, change, turned=False)
        inner = _triangular(ground, y, transposed(ground, left), turned=False)
        inner = _triangle(ground, inner)
        return product(ground, y, inner, "ij,jk->ik")


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
        return each(self._one, arrays)

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
        yield factor, product(ground, *pair, "ij,kj->ik")

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The solution for Ḃ - L̇ X."""
        factor, b = self.operands
        terms = [dots[b]] if b in dots else []
        if factor in dots:
            labels = "ji,jk->ik" if self.turned else "ij,jk->ik"
            change = product(ground, dots[factor], y, labels)
            terms.append(ground.plain(_negative, [change]))
        both = summed(ground, terms)
        return _triangular(ground, factor, both, turned=self.turned)


# -- from nodes ----------------------------------------------------------------


def factored(flow: Any, a: int) -> int:
    """The factors of matrices, made once."""
    dtype, (*lead, n, _) = flow.types[a].dtype, flow.types[a].shape
    return flow.once(Factors(Type(dtype, (*lead, n + 1, n)), (a,)))


def of_factors(make: Callable[..., Library]) -> Known:
    """What makes a statement of a matrix and its factors."""

    def known(flow: Any, type: Type, given: Sequence[int], _: Any) -> int:
        return flow.add(make(type, (given[0], factored(flow, given[0]))))[0]

    return known


def _solution(flow: Any, type: Type, given: Sequence[int], _: Any) -> int:
    lead = type.shape[:-2]
    a, b = (
        flow.seen(x, broadcast(flow.types[x].shape, lead + flow.types[x].shape[-2:]))
        for x in given
    )
    factor, turned = _cholesky_of(flow, a)
    if factor is not None:
        return flow.add(Triangular(type, (factor, b), turned))[0]
    return flow.add(Solved(type, (a, factored(flow, a), b)))[0]


def _cholesky_of(flow: Any, a: int) -> tuple[int | None, bool]:
    """The factor by Cholesky that a matrix is, or is the transpose of."""
    made = flow.maker(a)
    if isinstance(made, Cholesky):
        return a, False
    x = flow.turned(a)
    return (x, True) if isinstance(flow.maker(x), Cholesky) else (None, False)


def _lower(flow: Any, type: Type, given: Sequence[int], _: Any) -> int:
    return flow.add(Cholesky(type, (given[0],)))[0]


def sized(known: Known) -> Known:
    """For matrices that have elements, alone."""

    def checked(flow: Any, type: Type, given: Sequence[int], params: Any) -> int:
        if not all(flow.types[x].size for x in given):
            raise UnfitError
        return known(flow, type, given, params)

    return checked


MATRICES: dict[str, Known] = {
    "inv": sized(of_factors(Inverse)),
    "solve": sized(_solution),
    "cholesky": sized(_lower),
}
