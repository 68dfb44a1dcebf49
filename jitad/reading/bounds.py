"""Between which whole numbers a traced one lies, as far as loops and shapes tell.

The number of iterations of a loop whose ends depend on outer indices is at most what
these say: reverse mode keeps a record of that size.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .numbers import dtype, shape

Interval = tuple[int, int]


class Bounds:
    """The intervals of traced numbers, by the objects that stand for them."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Interval]] = {}

    def of(self, value: Any) -> Interval | None:
        """Where a number lies, if that is known."""
        if type(value) in (int, bool):
            return int(value), int(value)
        found = self._known.get(id(value))
        return found and found[1]

    def note(self, value: Any, low: int, high: int) -> Any:
        """The value, which lies there."""
        if not isinstance(value, int | float):
            self._known[id(value)] = value, (low, high)
        return value

    def note_items(self, value: Any, array: np.ndarray) -> None:
        """A value is an item of a known array."""
        if array.dtype.kind in "iu" and array.size:
            self.note(value, int(array.min()), int(array.max()))

    def binary(self, function: Callable[..., Any], a: Any, b: Any, made: Any) -> Any:
        """The result of an operator, with what the operands' intervals say of it."""
        ends = self.of(a), self.of(b)
        whole = dtype(made).kind in "iu" and not shape(made)
        if function is operator.mod and whole and ends[1] and ends[1][0] > 0:
            return self.note(made, 0, ends[1][1] - 1)
        if ends[0] is None or ends[1] is None:
            return made
        pairs = [(x, y) for x in ends[0] for y in ends[1]]
        if function in (operator.add, operator.sub, operator.mul):
            found = [function(x, y) for x, y in pairs]
        elif function is operator.floordiv and ends[1][0] > 0:
            found = [x // y for x, y in pairs]
        elif function is min:
            found = [min(e[k] for e in ends if e) for k in (0, 1)]
        elif function is max:
            found = [max(e[k] for e in ends if e) for k in (0, 1)]
        else:
            return made
        if max(map(abs, found)) >= 2**62:
            return made
        return self.note(made, min(found), max(found))
