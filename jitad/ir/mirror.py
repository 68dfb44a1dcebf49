"""Object arrays in a traced array's memory: what np.asarray makes of a tracer.

NumPy's own np.asarray returns an ndarray, whatever `__array__` does: one of traced
scalars.  As NumPy would give the array itself, both are kept alike.  What was put into
the object array is written to the traced one before anybody reads that, and what is
written to the traced one is put into the object array at once.
"""

from __future__ import annotations

import operator
import sys
from typing import Any

import numpy as np

from jitad.errors import TracingError

from .source import source_line
from .views import Storage

# What is told of such arrays, and NumPy hands on to what is made of them.
_DTYPE = "jitad"
# Who holds the memory where no object array does: its mirror, and the call that counts.
_OURS = 2


class Mirror:
    """The memory of object arrays, and what was last put there.

    It is kept until nobody else has it, and what was put there has been written.

    views  the traced arrays that were asked for: the places that are in use
    """

    def __init__(self, memory: np.ndarray) -> None:
        self.memory: np.ndarray | None = memory
        self.told = memory.copy()
        self.views: list[Any] = []
        self.busy = False

    def pull(self) -> None:
        """Write to the traced arrays what was put into the object arrays."""
        memory = self.memory
        if self.busy or memory is None:
            return
        if all(map(operator.is_, memory.tolist(), self.told.tolist())):
            del memory
            if sys.getrefcount(self.memory) <= _OURS:
                self.memory = None
            return
        self.busy = True
        pairs = zip(memory, self.told, strict=True)
        changed = np.array([a is not b for a, b in pairs])
        for view in self.views:
            places = view.places()
            mask = changed[places]
            if mask.any():
                view[mask] = memory[places[mask]].tolist()
                changed[places] = False
        self.busy = False
        self.push()

    def push(self) -> None:
        """Put into the object arrays what was written to the traced arrays."""
        memory = self.memory
        if self.busy or memory is None:
            return
        self.busy = True
        for view in self.views:
            places = view.places()
            for at in np.ndindex(places.shape):
                memory[places[at]] = view[at]
        self.told[...] = memory
        self.busy = False


def reflection(array: Any) -> np.ndarray:
    """The object array that shares an array's memory."""
    owner: Storage = array.owner
    mirror = owner._mirror
    memory = None if mirror is None else mirror.memory
    if mirror is None or memory is None:
        memory = np.empty(owner.type.size, objects_of(owner.type.dtype))
        mirror = owner._mirror = Mirror(memory)
    elif not array.moved_as(mirror.views[0]):
        raise TracingError(
            f"np.asarray makes object arrays of parts of one array at traced indices "
            f"({source_line()}), which cannot be kept alike; use np.copy, or "
            "np.asarray(x, like=x), which is x itself"
        )
    mirror.pull()
    mirror.views.append(array)
    mirror.push()
    layout = array._layout
    shape = array.type.shape
    return memory.reshape(shape) if layout is None else layout.over(memory, shape)


def objects_of(dtype: np.dtype) -> np.dtype:
    """The dtype of an object array that stands for an array of another dtype."""
    return np.dtype(object, metadata={_DTYPE: dtype})


def held_dtype(array: np.ndarray) -> np.dtype | None:
    """The dtype of what an object array was made of, if that is known."""
    return (array.dtype.metadata or {}).get(_DTYPE)
