"""The Jacobian of a model of many data points, a row for each.

A model that computes every point of its data from that point alone, as almost all do,
is differentiated as a batch of points: one small kernel.  Whether it does is seen by
comparing the batch's values with the model's own, at every call, and at first in the
neighbourhood too: where a parameter is 0 a model may mix points and not show it.  One
that does (a convolution, a norm) is differentiated as the one function that it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitad import tree
from jitad.api import jacobian, vmap
from jitad.errors import JitadError

# What a model raises that takes all points and is given one.
_OF_ONE_POINT = (JitadError, TypeError, ValueError, IndexError, AttributeError)


class Rows:
    """(p, data, value) -> ∂f(p, data)/∂p, of shape (*value.shape, len(p)).

    f       (p, data) -> value; data is a tree of numbers and arrays
    axis    where the arrays of a point each have their axis of points: 0 or -1
    """

    def __init__(self, f: Callable[..., Any], axis: int = 0) -> None:
        self._value, self._slopes = f, jacobian(f)
        self._both = lambda p, data: (f(p, data), self._slopes(p, data))
        self._axis = axis
        self._batches: dict[Any, Callable[..., Any]] = {}
        self._mixed = False

    def __call__(self, p: np.ndarray, data: Any, value: np.ndarray) -> np.ndarray:
        """The rows; value is what the model itself gives of the same arguments."""
        rows = None if self._mixed else self._by_points(p, data, value)
        if rows is None:
            self._mixed = True
            rows = self._slopes(p, data)
        return rows

    def _by_points(self, p: np.ndarray, data: Any, value: np.ndarray) -> Any:
        """The rows, or None if some point's value is not of that point alone."""
        leaves, spec = tree.flatten(data)
        flat = [np.ravel(x) if np.shape(x) == value.shape else x for x in leaves]
        axes = tuple([self._axis_of(x, value.size) for x in flat])
        if not value.ndim or not any(a is not None for a in axes):
            return None
        known = self._batches.get((spec, axes))
        batch = known or self._batch(spec, axes)
        try:
            found, rows = batch(p, *flat)
            same = _same(found, value)
            if same and not known:
                moved, expected = self._nearby(p, data, value, rows)
                seen = bool(np.isfinite(expected).any())
                same = seen and _same(batch(moved, *flat)[0], expected)
        except _OF_ONE_POINT:
            return None
        if not same:
            return None
        self._batches[spec, axes] = batch
        return rows.reshape(*value.shape, -1)

    def _batch(self, spec: Any, axes: tuple[int | None, ...]) -> Callable[..., Any]:
        def point(p: Any, *leaves: Any) -> Any:
            return self._both(p, tree.unflatten(spec, list(leaves)))

        return vmap(point, in_axes=(None, *axes))

    def _nearby(
        self, p: np.ndarray, data: Any, value: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Parameters that each change the values by about 1 %, and those values."""
        scale = _largest(value) or 1.0
        slopes = np.array([_largest(column) for column in rows.T])
        step = 0.01 * np.where(slopes, scale / np.where(slopes, slopes, 1.0), 1.0)
        step *= np.cos(1.0 + np.arange(len(p)))  # in no simple ratio
        for shrunk in (1.0, 0.1, 0.01, 0.001):  # into where the model is finite
            moved = p + shrunk * step
            with np.errstate(all="ignore"):
                expected = np.asarray(self._value(moved, data))
            if np.isfinite(expected).any():
                break
        return moved, expected

    def _axis_of(self, x: Any, count: int) -> int | None:
        shape = np.shape(x)
        return self._axis if shape and shape[self._axis] == count else None


def _largest(x: np.ndarray) -> float:
    return float(np.max(np.abs(x), where=np.isfinite(x), initial=0.0))


def _same(found: Any, value: np.ndarray) -> bool:
    """Whether values agree but for rounding."""
    found, value = np.asarray(found), np.ravel(value)
    finite = np.isfinite(value)
    if found.shape != value.shape or np.any(finite != np.isfinite(found)):
        return False
    precision = max(np.finfo(x.dtype).eps for x in (found, value + 0.0))
    off = np.abs(found - value, where=finite, out=np.zeros(len(value)))
    return bool(np.all(off <= np.sqrt(precision) * _largest(value)))
