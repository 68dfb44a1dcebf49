"""Elements at computed places of arrays: read, added, and written.

A place is the number of an element in C order; -1 is none.  An array of places is an
operand like any other, but has no derivative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitad.ir.graph import Type

from .library import Added, Ground, Library


@dataclass(frozen=True, slots=True, eq=False)
class Gathered(Library):
    """Elements of the first operand at the places that are the second.

    missing  what is read at no place; None: there is none such
    """

    missing: Any = 0

    def compute(self, *arrays: np.ndarray) -> Any:
        """By NumPy."""
        x, places = arrays
        if not x.size:
            return np.full(places.shape, self.missing, x.dtype)
        found = x.reshape(-1)[places]
        if self.missing is None:
            return found
        return np.where(places < 0, x.dtype.type(self.missing), found)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """ȳ, added at the places."""
        x, places = self.operands
        type = Type(self.type.dtype, ground.shape(x))
        yield x, ground.added(Scattered(type, (bar, places)), gaps=True)

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The same of ẋ, zero at no place."""
        x, places = self.operands
        missing = None if self.missing is None else 0
        made = Gathered(self.type, (dots[x], places), missing)
        return ground.added(made, gaps=missing is not None)


@dataclass(frozen=True, slots=True, eq=False)
class Scattered(Library):
    """Zeros, to which the first operand is added at the places that are the second."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """In the order of the elements, in float64."""
        values, places = (x.reshape(-1) for x in arrays)
        size = self.type.size
        made = np.bincount(places + 1, values, minlength=size + 1)[1:]
        return made.reshape(self.type.shape).astype(self.type.dtype, copy=False)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """The elements of ȳ that were added to."""
        x, places = self.operands
        type = Type(self.type.dtype, ground.shape(x))
        yield x, ground.added(Gathered(type, (bar, places)), gaps=False)

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The same of ẋ."""
        x, places = self.operands
        return ground.added(Scattered(self.type, (dots[x], places)), gaps=True)


@dataclass(frozen=True, slots=True, eq=False)
class PlaceOfExtreme(Library):
    """Where the largest elements along axes are, or the smallest: the first of equals.

    With growth as a second operand the one of equals that grows fastest, or slowest.
    """

    axes: tuple[int, ...]
    largest: bool

    @property
    def bends(self) -> bool:
        """Whether ties are not told yet."""
        return len(self.operands) == 1

    def told(self, dots: Mapping[int, int]) -> Library:
        """By the growth of the elements."""
        (x,) = self.operands
        if x not in dots:
            return self
        return PlaceOfExtreme(self.type, (x, dots[x]), self.axes, self.largest)

    def compute(self, *arrays: np.ndarray) -> Any:
        """By NumPy's argmax and argmin."""
        x, *growth = (self._rows(a) for a in arrays)
        places = self._rows(np.arange(x.size).reshape(arrays[0].shape))
        of = np.argmax if self.largest else np.argmin
        first = of(x, axis=-1)[..., None]
        if growth:
            best = np.take_along_axis(x, first, -1)
            worst = -np.inf if self.largest else np.inf
            tied = np.where(x == best, growth[0], worst)
            later = of(np.where(np.isnan(tied), worst, tied), axis=-1)[..., None]
            first = np.where(best == best, later, first)
        return np.take_along_axis(places, first, -1)[..., 0]

    def _rows(self, x: np.ndarray) -> np.ndarray:
        """The axes in the last place, as one."""
        left = [k for k in range(x.ndim) if k not in self.axes]
        turned = np.transpose(x, [*left, *self.axes])
        return turned.reshape(*(x.shape[k] for k in left), -1)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """Nothing."""
        yield from ()

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> None:
        """Nothing."""
