"""Functions that pick one of their operands: extremes, clip, nan_to_num, interp.

At a tie the branches share the derivative equally; the untaken side gets an exact 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from jitad.errors import UnsupportedError
from jitad.ir.bind import cast, promote
from jitad.ir.dispatch import operand
from jitad.ir.graph import MOST_OPERATIONS
from jitad.ir.source import source_line
from jitad.ir.tracer import Tracer, renewed, traced
from jitad.primitives.define import bind_promoted, derived, elementwise
from jitad.primitives.scalar.elementwise import ahead, fresh, gate

from .einsum import check
from .memory import write

NAN = float("nan")

# -- extremes ------------------------------------------------------------------

_PICKS = ((1.0, 2.0), (2.0, -1.0), (1.5, 1.5))


def _shares(a: Any, b: Any, a_first: Any, b_first: Any) -> list[Any]:
    """Partials of the picked one of a and b: 1, ½ at a tie, NaN where either is NaN."""
    tie = a == b
    return [
        gate(~b_first, np.where(tie, 0.5, np.where(a_first, 1.0, NAN))),
        gate(~a_first, np.where(tie, 0.5, np.where(b_first, 1.0, NAN))),
    ]


def _known_shares(a: Any, b: Any, a_first: Any, b_first: Any) -> list[Any]:
    """As _shares, but a NaN leaves the whole derivative to the other operand."""
    tie, a_known, b_known = a == b, a == a, b == b
    neither = ~(a_known | b_known)
    return [
        gate(
            ~b_first & (a_known | neither),
            np.where(tie, 0.5, np.where(a_known, 1.0, NAN)),
        ),
        gate(
            ~a_first & (b_known | neither),
            np.where(tie, 0.5, np.where(b_known, 1.0, NAN)),
        ),
    ]


def _larger(a: Any, b: Any) -> Any:
    return np.where(ahead(a, b) | (a != a), a, b)


def _smaller(a: Any, b: Any) -> Any:
    return np.where(ahead(b, a) | (a != a), a, b)


def _larger_known(a: Any, b: Any) -> Any:
    return np.where(ahead(a, b) | (b != b), a, b)


def _smaller_known(a: Any, b: Any) -> Any:
    return np.where(ahead(b, a) | (b != b), a, b)


def _extreme(ufunc: np.ufunc, shares: Any, first: np.ufunc, piece: Any) -> None:
    elementwise(
        ufunc.__name__,
        ufunc,
        word=ufunc.__name__,
        cost=2,
        partials=lambda y, a, b: shares(a, b, first(a, b), first(b, a)),
        points=_PICKS,
        piece=piece,
    )


_extreme(np.maximum, _shares, np.greater, _larger)
_extreme(np.minimum, _shares, np.less, _smaller)
_extreme(np.fmax, _known_shares, np.greater, _larger_known)
_extreme(np.fmin, _known_shares, np.less, _smaller_known)


@derived(np.clip)
def clip(
    a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *,
    min: Any = None, max: Any = None,
) -> Any:  # fmt: skip
    """np.minimum(np.maximum(a, a_min), a_max); ½ at a bound."""
    if out is not None:
        raise UnsupportedError(f"np.clip(out=…) cannot be traced ({source_line()}); "
                               "use x[...] = np.clip(x, low, high)")  # fmt: skip
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    a, low, high = operand(a), operand(low), operand(high)
    a = a if traced(a) else np.asarray(a)[()]
    dtype = promote([a])
    if dtype.kind in "iu":
        # No integer of a's dtype is beyond such a bound.
        low = None if type(low) is int and low < np.iinfo(dtype).min else low
        high = None if type(high) is int and high > np.iinfo(dtype).max else high
    if low is None and high is None:
        return fresh(a)
    result = a if low is None else np.maximum(a, low)
    return result if high is None else np.minimum(result, high)


@derived(np.nan_to_num)
def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """x with numbers instead of NaN and infinities, where the derivative is 0."""
    given, x = x, operand(x)
    if x.dtype.kind != "f":
        kept = given if isinstance(given, np.ndarray) else x
        return fresh(x) if copy or not x.shape else kept
    limits = np.finfo(x.dtype)
    high = limits.max if posinf is None else np.asarray(posinf, x.dtype)[()]
    low = limits.min if neginf is None else np.asarray(neginf, x.dtype)[()]
    result = np.where(np.isnan(x), np.asarray(nan, x.dtype)[()], x)
    result = np.where(x == np.inf, high, result)
    result = np.where(x == -np.inf, low, result)
    if copy or x.scalar:
        return renewed(result, x.unfilled()[()])
    if isinstance(given, np.ndarray):  # of objects
        given[...] = result
        return given
    write(x, result)
    return x if x.shape else x[()]


# -- interpolation -------------------------------------------------------------


def _on_line(x: Any, x0: Any, y0: Any, slope: Any, told: Any) -> Any:
    # Not 0 · ∞ on the flat ends; but a NaN is no place on them.
    return np.where((slope == 0) & (x == x), y0, slope * (x - x0) + y0)


# A straight line y0 + slope (x - x0), whose derivative in x is told: at a knot it is
# the mean of two slopes.
_line = elementwise(
    "line",
    evaluate=_on_line,
    expand=_on_line,
    partials=lambda y, x, x0, y0, slope, told: [told, -slope, 1.0, x - x0, None],
    cost=3,
    piece=_on_line,
)


def _or_corner(x: Any, x0: Any, y0: Any, slope: Any, told: Any, corner: Any) -> Any:
    """What a line is; where that is no number though x is one, what it should be."""
    found = _on_line(x, x0, y0, slope, told)
    return np.where(np.isnan(found) & (x == x), corner, found)


_cornered = elementwise(
    "line_or_corner",
    evaluate=_or_corner,
    expand=_or_corner,
    partials=lambda y, x, x0, y0, slope, told, corner: [
        told, -slope, 1.0, x - x0, None, None,
    ],
    cost=5,
    piece=_or_corner,
)  # fmt: skip


@derived(np.interp)
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """Piecewise linear through constant knots; at a knot both slopes are averaged."""
    if traced((xp, period)):
        raise UnsupportedError(
            f"np.interp with traced knots or a traced period cannot be traced "
            f"({source_line()}); pass them as constants, with functools.partial"
        )
    for name, side in (("left", left), ("right", right)):
        if np.ndim(side):
            raise TypeError(
                f"np.interp: {name}= is an array of {np.ndim(side)} axes "
                f"({source_line()}); expected a number"
            )
    knots = np.asarray(xp, float)
    if knots.ndim != 1 or np.shape(fp) != knots.shape or not knots.size:
        raise ValueError(
            f"np.interp needs as many values as knots, got shapes {knots.shape} and "
            f"{np.shape(fp)}; pass two arrays of one axis and the same length"
        )
    # NumPy interpolates in double precision.
    x, values = operand(x), operand(fp)
    x = cast(x, np.float64) if isinstance(x, Tracer) else np.asarray(x, float)
    if period is not None:
        x, knots, values = _unrolled(x, knots, values, period)
        left = right = None
    found = _interp(x, knots, values, left, right)
    return renewed(found, np.empty(found.shape)[()])


def _unrolled(x: Any, knots: np.ndarray, values: Any, period: float) -> Any:
    """Knots of one period in order, with a neighbour from the next on either side."""
    if period == 0:
        raise ValueError("np.interp needs a period other than 0, got 0; leave it out")
    period = abs(period)
    order = np.argsort(knots % period)
    places = np.concatenate([order[-1:], order, order[:1]])
    shifts = np.zeros(len(places))
    shifts[0], shifts[-1] = -period, period
    return x % period, knots[places] % period + shifts, values[places]


def _piece(x: Any, knots: np.ndarray, pieces: Sequence[Sequence[Any]]) -> Any:
    """What belongs to x of pieces that are parted by knots, found by halving."""
    if len(pieces) == 1:
        return pieces[0]
    middle = len(pieces) // 2
    below = _piece(x, knots[: middle - 1], pieces[:middle])
    above = _piece(x, knots[middle:], pieces[middle:])
    return _chosen(ahead(x, knots[middle - 1]), above, below)


def _chosen(condition: Any, a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
    return [np.where(condition, p, q) for p, q in zip(a, b, strict=True)]


def _piece_beside_nan(x: Any, knots: np.ndarray, pieces: Sequence[Any]) -> Any:
    """The same where knots are NaN, which nothing is before or beyond.

    NumPy looks at all of up to four knots, one after the other.  Of more it halves
    what is beyond the fourth, if it is asked for one number; if for several, it begins
    where the last one was.
    """
    if x.ndim and len(knots) > _WALKED:
        raise UnsupportedError(
            f"np.interp of {x!r} between {len(knots)} knots of which some are NaN "
            f"({source_line()}): NumPy's results depend on the order of the numbers; "
            "leave out what is NaN"
        )

    def before(k: int) -> Any:
        return False if np.isnan(knots[k]) else ~ahead(x, knots[k])

    def beyond(k: int) -> Any:
        return False if np.isnan(knots[k]) else ahead(x, knots[k])

    def halved(low: int, high: int) -> Any:
        if low == high:
            return pieces[low]
        middle = low + (high - low) // 2
        above, below = halved(middle + 1, high), halved(low, middle)
        return _chosen(beyond(middle), above, below)

    last = len(knots) - 1
    if last < _WALKED:
        found = pieces[last + 1]
        for k in range(last, 0, -1):
            found = _chosen(beyond(k), found, pieces[k])
    else:
        found = halved(3, last + 1)
        if last > _NEAR + 1:
            found = _chosen(before(_NEAR + 1), halved(3, _NEAR + 1), found)
        for k in (3, 2, 1):
            found = _chosen(before(k), pieces[k], found)
    found = _chosen(before(0), pieces[0], found)
    return _chosen(x > knots[last], pieces[-1], found)


# How many knots are looked at one after the other, and how many are near the first.
_WALKED, _NEAR = 4, 8


def _step(x: Any, knot: float, y: Any, left: Any, right: Any) -> Any:
    found = np.where(x < knot, y if left is None else left, y)
    found = np.where(x > knot, y if right is None else right, found)
    return cast(found, np.float64)


# Operations that every knot takes at least for every number that is looked up.
_EACH = 4
# From so many knots on a number's place among them is computed, and read there.
_MANY = 32


def _looked_up(x: Any, knots: np.ndarray, values: Any, left: Any, right: Any) -> Any:
    """Between many finite knots in order, of which the one below x is read."""
    last = len(knots) - 1
    place = _below(x, knots)
    inside = (place >= 0) & (place < last)

    def at(table: Any, offset: int) -> Any:
        return np.take(table, np.clip(place + offset, 0, last))

    def slope(first: int) -> Any:
        """That of the piece from one knot to the next, counted from the place."""
        within = (place + first >= 0) & (place + first < last)
        rise, width = at(values, first + 1) - at(values, first), at(widths, first)
        return np.where(within, rise / width, 0.0)

    widths = np.append(np.diff(knots), 1.0)
    x0, here = at(knots, 0), at(values, 0)
    own = slope(0)
    told = np.where(x == x0, 0.5 * slope(-1) + 0.5 * own, own)
    told = np.where(np.isnan(x), NAN, told)
    y0 = here if left is None else np.where(place < 0, left, here)
    y0 = y0 if right is None else np.where(x > knots[last], right, y0)
    if not isinstance(values, Tracer) and np.isfinite(values).all():
        return bind_promoted(_line, [x, x0, y0, own, told])
    # What NumPy has where the line from there is no number.
    there = at(values, 1)
    flat = (here == there) | (np.isinf(here) & np.isfinite(there))
    corner = np.where((x == x0) | ~inside | flat, y0, NAN)
    return bind_promoted(_cornered, [x, x0, y0, own, told, corner])


def _below(x: Any, knots: np.ndarray) -> Any:
    """The number of the last knot that is not beyond x, or -1: found by halving."""
    if not isinstance(x, Tracer):
        return np.where(np.isnan(x), 0, np.searchsorted(knots, x, "right")) - 1
    step = 1 << (len(knots).bit_length() - 1)
    table = np.append(knots, np.full(2 * step, NAN))
    found = np.zeros(x.shape, np.int64)
    while step:
        found = found + step * ahead(x, np.take(table, found + (step - 1)))
        step //= 2
    return found - 1


def _interp(x: Any, knots: np.ndarray, values: Any, left: Any, right: Any) -> Any:
    last = len(knots) - 1
    if not last:
        # NumPy gives the one value there is for NaN, too.
        return _step(x, knots[0], values[0], left, right)
    if len(knots) >= _MANY and np.isfinite(knots).all() and (np.diff(knots) > 0).all():
        return _looked_up(x, knots, values, left, right)
    if isinstance(x, Tracer):
        number = _EACH * x.size * len(knots)
        check(number, "np.interp", "scalar operations", MOST_OPERATIONS)
    with np.errstate(all="ignore"):
        slopes = [_slope(knots, values, k) for k in range(last)]
        sides = [0.0, *slopes, 0.0]
        means = [0.5 * before + 0.5 * after for before, after in pairwise(sides)]
    # Before the first knot, and then from knot to knot: base, value, slopes, corner.
    first = values[0] if left is None else left
    pieces = [(np.float64(knots[0]), first, 0.0, 0.0, first)]
    for k, knot in enumerate(knots):
        told = np.where(x == knot, means[k], sides[k + 1])
        corner = np.where(x == knot, values[k], _corner(knots, values, k))
        base, value, slope = knot, values[k], sides[k + 1]
        if np.isinf(knot) and k < last:
            # Counted from where the piece ends.
            base, value = knots[k + 1], np.where(x == knot, value, values[k + 1])
            slope = slope if np.isfinite(base) else NAN
        pieces.append((base, value, slope, told, corner))
    finite = not isinstance(values, Tracer) and np.isfinite([knots, values]).all()
    if finite:
        pieces = [piece[:4] for piece in pieces]
    find = _piece_beside_nan if np.isnan(knots).any() else _piece
    x0, y0, slope, told, *corner = find(x, knots, pieces)
    told = np.where(np.isnan(x), NAN, told)
    if right is not None:
        y0 = np.where(x > knots[last], right, y0)
    primitive = _line if finite else _cornered
    return bind_promoted(primitive, [x, x0, y0, slope, told, *corner])


def _slope(knots: np.ndarray, values: Any, k: int) -> Any:
    """The slope behind knot k; that of what is flat is 0, wherever it ends."""
    here, there, width = values[k], values[k + 1], knots[k + 1] - knots[k]
    return (
        np.where(here == there, 0.0, NAN) if width != width else (there - here) / width
    )


def _corner(knots: np.ndarray, values: Any, k: int) -> Any:
    """What NumPy has behind knot k where the line from there is no number."""
    if k == len(knots) - 1:
        return values[k]
    here, there = values[k], values[k + 1]
    flat = here == there
    if np.isfinite(knots[k + 1] - knots[k]):
        flat = flat | (np.isinf(here) & np.isfinite(there))
    return np.where(flat, here, NAN)
