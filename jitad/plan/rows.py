"""Points inside an array: where they lie that a loop reads one after the other.

A loop names elements by number in C order; a kernel wants bytes from point to point.
Start at `along`, which looks at an array's own strides.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jitad.backends.memory import address
from jitad.lowering.kernel import Argument, Layout

from .machine import Place

Environment = list[np.ndarray]


@dataclass(frozen=True, slots=True)
class Rows:
    """How the points lie in an array of the environment.

    start       byte of the first point's first element
    lane        bytes from point to point; None: the same for all
    elements    as in Argument
    contiguous  whether the array has to be, for this to hold
    """

    array: int
    start: int
    lane: int | None
    elements: int | np.ndarray
    layout: Layout
    contiguous: bool = False

    def argument(
        self, environment: Environment, holder: Place
    ) -> tuple[Argument, np.ndarray]:
        """The launch argument, and the array that must live as long as it."""
        array = environment[self.array]
        if self.contiguous:
            array = holder.contiguous(array)
        place = address(array) + self.start
        return Argument(place, (self.lane or 0,), self.elements), array


def along(
    array: int, example: np.ndarray, offsets: Sequence[int], stride: int, count: int
) -> tuple[Rows, int, list[int]]:
    """How the elements offset + i stride of an array lie, which are those of point i.

    Also how many elements a point has then, and the number of each offset among them.
    """
    size = example.itemsize
    found = [_column(example, offset, stride, count) for offset in offsets]
    steps = {step for _, step in found}
    contiguous = None in steps or len(steps) > 1
    if contiguous:
        found = [(offset * size, stride * size) for offset in offsets]
    places = [place for place, _ in found]
    lane = found[0][1]
    assert lane is not None
    order = sorted(places)
    first, last = order[0], order[-1]
    gaps = {b - a for a, b in itertools.pairwise(places)}
    numbers = list(range(len(places)))
    if lane == size and len(gaps) <= 1:
        step = next(iter(gaps), 0)
        rows = Rows(array, places[0], lane, step, "streams", contiguous)
        return rows, len(places), numbers
    if last - first < abs(lane):
        rows = Rows(array, first, lane, 0, "rows", contiguous)
        numbers = [(place - first) // size for place in places]
        return rows, (last - first) // size + 1, numbers
    table = np.array([place - first for place in places], np.int64)
    rows = Rows(array, first, lane, table, "general", contiguous)
    return rows, len(places), numbers


def _column(
    example: np.ndarray, offset: int, stride: int, count: int
) -> tuple[int, int | None]:
    """The bytes to element `offset`, in C order, and from there stride elements on.

    None where that is not the same at all of `count` places.
    """
    place, rest, below = 0, offset, example.size
    found: int | None = None
    for extent, step in zip(example.shape, example.strides, strict=True):
        below //= max(extent, 1)
        k, rest = divmod(rest, below)
        place += k * step
        if found is None and stride % below == 0:
            moved = stride // below
            if 0 <= k + moved * (count - 1) < extent:
                found = moved * step
    return place, found
