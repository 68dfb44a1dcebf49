"""Scalars whose partials are stated apart from how their values are computed.

`implicit` for the entries of solutions, `stated` for slopes.  A slope that is written
out has a derivative that is written out, and that may overflow, cancel or be ∞ - ∞
where the true one is a number: (1 - x²)^(-1/2) at 1.  A stated one has the partials
that it is given, in terms of itself, at every order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from jitad.ir.bind import bind
from jitad.ir.primitive import Primitive, Steep, registry
from jitad.ir.tracer import Tracer

from .define import bind_promoted


def implicit(
    name: str,
    place: int,
    partials: Callable[..., Sequence[Any]],
    steep: Steep | None = None,
) -> Primitive:
    """A scalar that is its operand `place`, with partials that are stated apart.

    The operand is computed from held values, so that its own way is not taken.
    """
    return registry.add_inner(
        Primitive(
            name,
            "elementwise",
            lambda *operands: operands[place],
            partials,
            lambda *operands: operands[place],
            cost=0,
            steep=steep,
        )
    )


def apply_implicit(primitive: Primitive, operands: Sequence[Any]) -> Tracer:
    """An implicit scalar of its operands, which share a dtype."""
    return bind(primitive, operands, [None] * len(operands), operands[0].dtype)


_SLOPE = "slope "


def is_slope(primitive: Primitive) -> bool:
    """Whether a primitive only states the partials of a slope, and computes nothing."""
    return primitive.name.startswith(_SLOPE)


def stated(
    name: str,
    partials: Callable[..., Sequence[Any]],
    *,
    infinite_at: float | None = None,
    finite: bool = True,
) -> Callable[..., Any]:
    """(value, *x) -> value, whose derivative is that of partials (y, *x) alone.

    infinite_at  where the first x makes both infinite, NaN if at several numbers
    finite       whether what it is the slope of is finite there
    """
    steep = None
    if infinite_at is not None:
        at = None if math.isnan(infinite_at) else infinite_at
        steep = Steep(at, finite, operand=1)
    primitive = implicit(
        _SLOPE + name, 0, lambda y, value, *x: [None, *partials(y, *x)], steep
    )
    return lambda value, *x: bind_promoted(primitive, [value, *x])
