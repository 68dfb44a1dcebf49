"""Memory by its address in the form of ndarrays, and strides of what lies in it."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

# An address for arrays that are only looked at.
PLACE = 256


def shown(
    address: int,
    shape: tuple[int, ...],
    dtype: np.dtype,
    strides: tuple[int, ...] | None = None,
    owner: Any = None,
) -> np.ndarray:
    """Memory as an ndarray that keeps its owner alive; on a card never to be read.

    strides  in bytes; by default those of C order
    """
    if 0 in shape:
        return np.empty(shape, dtype)
    interface = {
        "data": (address, False),
        "shape": shape,
        "strides": strides,
        "typestr": dtype.str,
        "version": 3,
    }
    return np.asarray(SimpleNamespace(__array_interface__=interface, owner=owner))


def alike(array: np.ndarray) -> np.ndarray:
    """An array that lies as another one does, never to be read; keeps nothing alive."""
    return shown(PLACE, array.shape, array.dtype, array.strides)


def address(array: np.ndarray) -> int:
    """Where an array's elements begin."""
    return array.__array_interface__["data"][0]


def contiguous(shape: Sequence[int], size: int) -> tuple[int, ...]:
    """The strides of elements of this size, one after the other in C order."""
    strides = []
    for extent in reversed(shape):
        strides.append(size)
        size *= max(extent, 1)
    return tuple(reversed(strides))


def dense(shape: Sequence[int], strides: Sequence[int], size: int) -> tuple[int, ...]:
    """Strides without gaps, axes in the order that given strides have in memory."""
    found = [0] * len(shape)
    inner = range(len(shape) - 1, -1, -1)
    for axis in sorted(inner, key=lambda a: abs(strides[a])):
        found[axis], size = size, size * max(shape[axis], 1)
    return tuple(found)
