"""Scalars whose partials are stated apart from how their values are computed.

`implicit` for the entries of solutions, `stated` for slopes.  A slope that is written
out has a derivative that is written out, and that may overflow, cancel or be ∞ - ∞
where the true one is a number: (1 - x²)^(-1/2) at 1.  A stated one has the partials
that it is given, in terms of itself, at every order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitad.ir.primitive import Primitive
from jitad.ir.tracer import Tracer, bind
from jitad.primitives.define import bind_promoted


def implicit(
    name: str, place: int, partials: Callable[..., Sequence[Any]]
) -> Primitive:
    """A scalar that is its operand `place`, with partials that are stated apart.

    The operand is computed from held values, so that its own way is not taken.
    """
    return Primitive(
        name,
        "elementwise",
        lambda *operands: operands[place],
        partials,
        lambda *operands: operands[place],
        cost=0,
    )


def apply_implicit(primitive: Primitive, operands: Sequence[Any]) -> Tracer:
    """An implicit scalar of its operands, which share a dtype."""
    return bind(primitive, operands, [None] * len(operands), operands[0].dtype)


def stated(name: str, partials: Callable[..., Sequence[Any]]) -> Callable[..., Any]:
    """(value, *x) -> value, whose derivative is that of partials (y, *x) alone."""
    primitive = implicit(name, 0, lambda y, value, *x: [None, *partials(y, *x)])
    return lambda value, *x: bind_promoted(primitive, [value, *x])
