"""A derivative at a point as a linear map, by SciPy's LinearOperator protocol.

The map acts on trees when called, and on flat vectors or columns through matvec,
rmatvec, matmat and rmatmat, so that scipy.sparse.linalg takes it as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitad import tree


class LinearMap:
    """ẋ -> ẏ, of shape (size of y, size of x) over flattened vectors."""

    def __init__(
        self,
        push: Callable[..., Any],
        pull: Callable[[Any], Any],
        primals: tuple[Any, ...],
        y: Any,
        recipe: tuple[Any, ...],
    ) -> None:
        """recipe: what makes it again in another process, and of what."""
        self._push, self._pull, self._recipe = push, pull, recipe
        self._x, self._x_spec = tree.flatten(primals)
        self._y, self._y_spec = tree.flatten(y)
        self.shape = (_size(self._y), _size(self._x))
        self.dtype = np.result_type(*self._x, *self._y)

    def __repr__(self) -> str:
        return f"<jitad linear map of shape {self.shape}>"

    def __call__(self, *tangents: Any) -> Any:
        """ẏ for tangents of the primals' structure, or K of them on a leading axis."""
        return self._push(*tangents)

    def __reduce__(self) -> Any:
        return self._recipe

    # With NumPy's arrays on the left, __rmatmul__ has its turn.
    __array_ufunc__ = None

    def dot(self, v: np.ndarray) -> np.ndarray:
        """J v for a flat v, J V for columns V: also written J @ v."""
        return self.matvec(v) if np.ndim(v) == 1 else self.matmat(v)

    __matmul__ = dot

    def __rmatmul__(self, u: np.ndarray) -> np.ndarray:
        return self.T.dot(np.transpose(u)).T

    def matvec(self, v: np.ndarray) -> np.ndarray:
        """J v for a flat v."""
        return self.matmat(np.reshape(v, (-1, 1)))[:, 0]

    def rmatvec(self, u: np.ndarray) -> np.ndarray:
        """Jᵀ u for a flat u."""
        return self.rmatmat(np.reshape(u, (-1, 1)))[:, 0]

    def matmat(self, columns: np.ndarray) -> np.ndarray:
        """J V for V of shape (size of x, K)."""
        tangents = tree.unflatten(self._x_spec, _split(columns, self._x))
        return _join(tree.flatten(self._push(*tangents))[0])

    def rmatmat(self, columns: np.ndarray) -> np.ndarray:
        """Jᵀ U for U of shape (size of y, K)."""
        cotangent = tree.unflatten(self._y_spec, _split(columns, self._y))
        return _join(tree.flatten(self._pull(cotangent))[0])

    def adjoint(self) -> LinearMap:
        """ȳ -> x̄."""
        turned = object.__new__(LinearMap)
        turned._push, turned._pull = lambda *u: self._pull(*u), self._backwards
        turned._x, turned._x_spec = self._y, tree.flatten((self._one_y(),))[1]
        turned._y, turned._y_spec = self._x, self._x_spec
        turned.shape, turned.dtype = self.shape[::-1], self.dtype
        turned._recipe = LinearMap.adjoint, (self,)
        return turned

    T = H = property(adjoint)

    def _one_y(self) -> Any:
        return tree.unflatten(self._y_spec, self._y)

    def _backwards(self, tangents: Any) -> tuple[Any]:
        return (self._push(*tangents),)


def _size(leaves: list[Any]) -> int:
    return int(sum(np.size(x) for x in leaves))


def _split(columns: np.ndarray, like: list[Any]) -> list[np.ndarray]:
    """Columns of flat vectors as arrays with a leading axis K, like the leaves."""
    columns = np.asarray(columns)
    stops = np.cumsum([np.size(x) for x in like])[:-1]
    pieces = np.split(columns.T, stops, axis=1)
    return [
        p.reshape(columns.shape[1], *np.shape(x))
        for p, x in zip(pieces, like, strict=True)
    ]


def _join(leaves: list[Any]) -> np.ndarray:
    """Arrays with a leading axis K as columns of flat vectors."""
    return np.concatenate([np.reshape(x, (np.shape(x)[0], -1)) for x in leaves], 1).T
