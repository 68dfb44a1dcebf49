"""The Jacobian of a model of many data points, a row for each.

A model that computes every point of its data from that point alone, as almost all do,
is differentiated as a batch of points: one small kernel.  Whether it does is seen by
comparing the batch's values with the model's own, at every call; a model that mixes
points (a convolution, a norm) is differentiated as the one function that it is.
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
        self._slopes = jacobian(f)
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
        key = spec, axes
        batch = self._batches.get(key)
        if batch is None:
            both = self._both

            def point(p: Any, *leaves: Any) -> Any:
                return both(p, tree.unflatten(spec, list(leaves)))

            batch = self._batches[key] = vmap(point, in_axes=(None, *axes))
        try:
            found, rows = batch(p, *flat)
        except _OF_ONE_POINT:
            return None
        if not _same(found, np.ravel(value)):
            return None
        return rows.reshape(*value.shape, -1)

    def _axis_of(self, x: Any, count: int) -> int | None:
        shape = np.shape(x)
        return self._axis if shape and shape[self._axis] == count else None


def _same(found: Any, value: np.ndarray) -> bool:
    """Whether values agree but for rounding."""
    if np.shape(found) != value.shape:
        return False
    found = np.asarray(found)
    finite = np.isfinite(value)
    if not np.array_equal(finite, np.isfinite(found)):
        return False
    scale = np.max(np.abs(value), where=finite, initial=0.0)
    precision = max(np.finfo(x.dtype).eps for x in (found, value + 0.0))
    off = np.abs(found - value, where=finite, out=np.zeros(len(value)))
    return bool(np.all(off <= np.sqrt(precision) * scale))
