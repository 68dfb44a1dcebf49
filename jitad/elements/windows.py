"""Where elements of one array lie in another, where that is affine.

A `Window` says which element of a source each element of a result is; `boxes` finds
those of whatever NumPy call moves elements.  Counted in elements of sources in C order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jitad.ir.views import Places

Shape = tuple[int, ...]
# How many boxes a result may be cut into.
_MOST_BOXES = 64


class NotAffineError(Exception):
    """Elements are moved in another way than by a few boxes with steps."""


@dataclass(frozen=True, slots=True)
class Box:
    """Elements low ≤ index < high of an array."""

    low: Shape
    high: Shape

    @property
    def shape(self) -> Shape:
        """How long it is along each axis."""
        return tuple([b - a for a, b in zip(self.low, self.high, strict=True)])

    @property
    def size(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

    def meet(self, other: Box) -> Box | None:
        """What both have; None: nothing."""
        low = tuple(map(max, self.low, other.low))
        high = tuple(map(min, self.high, other.high))
        return (
            Box(low, high)
            if all(a < b for a, b in zip(low, high, strict=True))
            else None
        )

    def without(self, other: Box) -> list[Box]:
        """What is left when what it has in common with another is taken away."""
        part, left = self.meet(other), []
        if part is None:
            return [self]
        low, high = list(self.low), list(self.high)
        for k in range(len(low)):
            if low[k] < part.low[k]:
                end = [*high[:k], part.low[k], *high[k + 1 :]]
                left.append(Box(tuple(low), tuple(end)))
                low[k] = part.low[k]
            if part.high[k] < high[k]:
                begin = [*low[:k], part.high[k], *low[k + 1 :]]
                left.append(Box(tuple(begin), tuple(high)))
                high[k] = part.high[k]
        return left


def full(shape: Shape) -> Box:
    """All of an array."""
    return Box((0,) * len(shape), shape)


def c_steps(shape: Shape) -> Shape:
    """The steps of an array in C order."""
    steps, step = [], 1
    for n in reversed(shape):
        steps.append(step)
        step *= n
    return tuple(reversed(steps))


@dataclass(frozen=True, slots=True)
class Window:
    """Element i of a result of a shape is element start + Σ i·steps of its source."""

    shape: Shape
    start: int
    steps: Shape


def whole(shape: Shape) -> Window:
    """The source itself."""
    return Window(shape, 0, c_steps(shape))


def turned(shape: Shape) -> Window:
    """Matrices with rows and columns exchanged."""
    *lead, n, m = shape
    *steps, row, column = c_steps(shape)
    return Window((*lead, m, n), 0, (*steps, column, row))


@dataclass(frozen=True, slots=True)
class Axes:
    """A window by axes: along axis a the source is at start[a] + step[a]·i[axis[a]].

    axis  of the result; -1 where the source stays at start[a]
    """

    start: Shape
    step: Shape
    axis: Shape


def along_axes(window: Window, source: Shape) -> Axes | None:
    """A window by axes of its source, one axis of the result each at most; or None."""
    if not all(source):
        return None
    starts = list(map(int, np.unravel_index(window.start, source)))
    own, place, free = c_steps(source), [-1] * len(source), [0] * len(source)
    # The longest steps first: they go along the first axes.
    order = sorted(range(len(window.shape)), key=lambda b: -abs(window.steps[b]))
    for b in order:
        n, step = window.shape[b], window.steps[b]
        if n == 1 or step == 0:
            continue
        for a in range(len(source)):
            if place[a] >= 0 or source[a] == 1 or step % own[a]:
                continue
            each = step // own[a]
            if 0 <= starts[a] + each * (n - 1) < source[a]:
                place[a], free[a] = b, each
                break
        else:
            return None
    return Axes(tuple(starts), tuple(free), tuple(place))


def seen(view: np.ndarray, root: np.ndarray) -> Window | None:
    """The window through which a view sees a root of bytes; None: it is a copy."""
    base = view
    while isinstance(base, np.ndarray) and base is not root:
        base = base.base  # type: ignore[assignment]
    if base is not root:
        return None
    return Window(view.shape, view.ctypes.data - root.ctypes.data, view.strides)


def affine(positions: np.ndarray) -> Window | None:
    """The window of an array of positions; None: they are not affine."""
    if not positions.size:
        return None
    first = (0,) * positions.ndim
    start, steps = int(positions[first]), []
    for a, n in enumerate(positions.shape):
        at = tuple([1 if b == a else 0 for b in range(positions.ndim)])
        steps.append(int(positions[at]) - start if n > 1 else 0)
    window = Window(positions.shape, start, tuple(steps))
    return window if np.array_equal(positions_of(window), positions) else None


def positions_of(window: Window) -> np.ndarray:
    """The positions that a window shows."""
    return Places(window.shape, window.start, window.steps).array()


def boxes(positions: np.ndarray, owners: np.ndarray) -> list[tuple[Box, Window]]:
    """Cut an array of positions into boxes in which they are affine, of one owner each.

    Raises NotAffineError where there are too many.
    """
    found: list[tuple[Box, Window]] = []
    waiting = [full(positions.shape)]
    while waiting:
        box = waiting.pop()
        place = tuple(map(slice, box.low, box.high))
        part, whose = positions[place], owners[place]
        window = affine(part) if (whose == whose.flat[0]).all() else None
        if window is not None:
            found.append((box, window))
            continue
        cuts = [_cuts(part, whose, axis) for axis in range(part.ndim)]
        if all(len(c) == 2 for c in cuts):
            # Slices that go on in different ways: each by itself.
            short = min(n for n in part.shape if n > 1)
            axis = part.shape.index(short)
            cuts[axis] = list(range(short + 1))
        if len(found) + math.prod(len(c) - 1 for c in cuts) > _MOST_BOXES:
            raise NotAffineError
        for own in itertools.product(*[list(itertools.pairwise(c)) for c in cuts]):
            moved = zip(box.low, own, strict=True)
            ends = [(first + a, first + b) for first, (a, b) in moved]
            waiting.append(Box(*(tuple(side) for side in zip(*ends, strict=True))))
    return found


def _cuts(positions: np.ndarray, owners: np.ndarray, axis: int) -> list[int]:
    """Where along an axis a stretch of equal steps and owners begins, and the end."""
    n = positions.shape[axis]
    if n < 2:
        return [0, n]
    table = np.moveaxis(positions, axis, 0).reshape(n, -1)
    whose = np.moveaxis(owners, axis, 0).reshape(n, -1)
    steps = np.diff(table, axis=0)
    # Between k and k + 1 there is another owner, or another step than before.
    others = (whose[1:] != whose[:-1]).any(axis=1)
    bends = others.copy()
    bends[1:] |= (steps[1:] != steps[:-1]).any(axis=1)
    places = np.flatnonzero(bends).tolist()
    if len(places) > 4 * _MOST_BOXES:
        raise NotAffineError
    found = [0]
    for k in places:
        if others[k] or k > found[-1]:
            found.append(k + 1)
    return [*found, n]


def broadcast(shape: Shape, to: Shape) -> Window:
    """How an array is seen that is broadcast."""
    lead = len(to) - len(shape)
    own = zip(c_steps(shape), shape, strict=True)
    steps = (*[0] * lead, *[0 if n == 1 else step for step, n in own])
    return Window(to, 0, steps)


def spread(shape: Shape, axes: Sequence[int]) -> Window:
    """How an array without some axes is seen at all elements along them."""
    own = iter(c_steps(tuple([n for k, n in enumerate(shape) if k not in axes])))
    steps = [0 if k in axes else next(own) for k in range(len(shape))]
    return Window(shape, 0, tuple(steps))


def repeated(window: Window) -> tuple[int, ...]:
    """The axes of a result along which the source stays where it is."""
    pairs = zip(window.shape, window.steps, strict=True)
    return tuple([b for b, (n, step) in enumerate(pairs) if n > 1 and step == 0])
