"""Elements at computed places of arrays: read, added, and written.

A place is the number of an element in C order; -1 is none.  An array of places is an
operand like any other, but has no derivative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jitad.ir.graph import Type
from jitad.ir.loop import INT
from jitad.primitives.arrays.gather import Steps, candidates, missing

from .library import Added, Ground, Implicit, Known, Library, UnfitError
from .windows import broadcast


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
class Last(Implicit):
    """Places, -1 where the same place comes again later on."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """The first of each place from behind."""
        flat = arrays[0].reshape(-1)
        _, first = np.unique(flat[::-1], return_index=True)
        found = np.full(flat.shape, -1, flat.dtype)
        last = len(flat) - 1 - first
        found[last] = flat[last]
        return found.reshape(arrays[0].shape)


@dataclass(frozen=True, slots=True, eq=False)
class Replaced(Library):
    """The first operand with elements of the second written at places, in order.

    Its operands are these two, the places, and which of them are the last of their
    kind.  For an index out of range `missing` is written wherever it might point.
    """

    base: np.ndarray
    steps: Steps
    missing: Any

    def compute(self, *arrays: np.ndarray) -> Any:
        """By NumPy; one after the other where an index is out of range."""
        x, value, places, last = arrays
        made = np.array(x, order="C")
        flat = made.reshape(-1)
        if (places >= 0).all():
            kept = last >= 0
            flat[last[kept]] = value[kept]
            return made
        for k in np.ndindex(places.shape):
            if places[k] >= 0:
                flat[places[k]] = value[k]
            else:
                flat[candidates(int(self.base[k]), self.steps)] = self.missing
        return made

    def _of(self, ground: Ground, x: int, value: int) -> int:
        operands = (x, value, *self.operands[2:])
        made = Replaced(self.type, operands, self.base, self.steps, 0)
        return ground.added(made, gaps=True)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """ȳ but for what is written over; to the second what is read there."""
        x, value, _, last = self.operands
        type = Type(self.type.dtype, ground.shape(value))
        yield value, ground.added(Gathered(type, (bar, last)), gaps=True)
        yield x, self._of(ground, bar, ground.blank(type))

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The same of ẋ."""
        x, value = [
            dots[v] if v in dots else ground.blank(Type(self.type.dtype, shape))
            for v, shape in [(v, ground.shape(v)) for v in self.operands[:2]]
        ]
        return self._of(ground, x, value)


@dataclass(frozen=True, slots=True, eq=False)
class Tied(Implicit):
    """Places that depend on which of equal elements comes first."""

    @property
    def bends(self) -> bool:
        """Whether ties are not told yet."""
        return len(self.operands) == 1

    def told(self, dots: Mapping[int, int]) -> Library:
        """By the growth of the elements."""
        (x,) = self.operands
        if x not in dots:
            return self
        return replace(self, operands=(x, dots[x]))


@dataclass(frozen=True, slots=True, eq=False)
class PlaceOfExtreme(Tied):
    """Where the largest elements along axes are, or the smallest: the first of equals.

    With growth as a second operand the one of equals that grows fastest, or slowest.
    """

    axes: tuple[int, ...]
    largest: bool

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


@dataclass(frozen=True, slots=True, eq=False)
class PlaceOfSorted(Tied):
    """Where the elements are that a stable sort along an axis puts at each place.

    With growth as a second operand, equal ones as they are told apart by that.
    """

    axis: int

    def compute(self, *arrays: np.ndarray) -> Any:
        """By NumPy."""
        x, *growth = arrays
        places = np.arange(x.size).reshape(x.shape)
        if growth:
            order = np.lexsort((growth[0], x), axis=self.axis)
        else:
            order = np.argsort(x, axis=self.axis, kind="stable")
        return np.take_along_axis(places, order, self.axis)


# -- from nodes ----------------------------------------------------------------


def _located(flow: Any, indices: Sequence[int], params: Mapping[str, Any]) -> int:
    """The places that indices name; -1 where one is out of range."""
    base, steps = np.asarray(params["base"], np.int64), params["steps"]

    def place(base: Any, *indices: Any) -> Any:
        valid, found = np.True_, base
        for j, (stride, extent) in zip(indices, steps, strict=True):
            valid = valid & (j >= 0) & (j < extent)
            found = found + stride * j
        return np.where(valid, found, -1)

    first = flow.constant(base) if base.shape else flow.number(int(base), INT)
    every = [first]
    for i in indices:
        shape = flow.types[i].shape
        every.append(
            i if shape == base.shape else flow.seen(i, broadcast(shape, base.shape))
        )
    return flow.mapped(place, every)


def _gathered(
    flow: Any, type: Type, given: Sequence[int], params: Mapping[str, Any]
) -> int:
    x, *indices = given
    operands = (x, _located(flow, indices, params))
    return flow.add(Gathered(type, operands, missing(type.dtype)))[0]


def _replaced(
    flow: Any, type: Type, given: Sequence[int], params: Mapping[str, Any]
) -> int:
    x, value, *indices = given
    base = np.asarray(params["base"])
    places = _located(flow, indices, params)
    last = flow.add(Last(flow.types[places], (places,)))[0]
    if flow.types[value].shape != base.shape:
        value = flow.seen(value, broadcast(flow.types[value].shape, base.shape))
    operands = (x, value, places, last)
    made = Replaced(type, operands, base, params["steps"], missing(type.dtype))
    return flow.add(made)[0]


def ordered(flow: Any, x: int, axis: int) -> int:
    """A value in ascending order along an axis."""
    type = flow.types[x]
    (places,) = flow.add(PlaceOfSorted(Type(INT, type.shape), (x,), axis))
    return flow.add(Gathered(type, (x, places), None))[0]


def _sorted(
    flow: Any, type: Type, given: Sequence[int], params: Mapping[str, Any]
) -> int:
    if not type.size or type.dtype.kind != "f":
        raise UnfitError("sort")
    return ordered(flow, given[0], params["axis"])


PLACES: dict[str, Known] = {
    "gather": _gathered,
    "scatter": _replaced,
    "sort": _sorted,
}
