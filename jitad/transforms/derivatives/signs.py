"""What is known of the signs of nodes without their values."""

from __future__ import annotations

from functools import reduce
from operator import and_

from jitad.ir.tracer import Trace
from jitad.primitives.scalar.elementwise import GATES

_EVEN = frozenset({"pow4", "pow6", "pow1.5", "pow2.5"})
_POSITIVE = frozenset({"exp", "exp2", "cosh", "expit", "gauss", "gauss_half", "ndtr"})
_AT_LEAST, _MORE, _FLAT = 1, 2, 4  # what is known of a node, as bits
_NOT_NEGATIVE = _EVEN | {"abs", "sqrt", "hypot", "norm_of", "pow-2", "pow-4"}


def made(builder: Trace, i: int) -> tuple[str, tuple[int, ...]]:
    """The name of what made a node, and of which operands."""
    primitive, operands = builder.nodes[i][:2]
    return primitive.name.removesuffix("_plain"), operands


def not_negative(builder: Trace, i: int) -> bool:
    """Whether a node is a square, a sum of squares or the like."""
    return bool(_signs(builder, i) & _AT_LEAST)


def positive(builder: Trace, i: int) -> bool:
    """Whether a node is more than 0, or an exponential that has underflowed."""
    return bool(_signs(builder, i) & _MORE)


def level(builder: Trace, i: int) -> bool:
    """Whether a node is never 0, or is so with all its derivatives: a sum of squares.

    Then a slope that is infinite at 0 gives NaN whatever the order.
    """
    return bool(_signs(builder, i) & _FLAT)


def _signs(builder: Trace, i: int) -> int:
    """The same as bits, found once for every node, and for those before it first."""
    while len(builder.signs) <= i:
        builder.signs.append(_sign(builder, len(builder.signs)))
    return builder.signs[i]


def _sign(builder: Trace, i: int) -> int:
    name, operands = made(builder, i)
    value = builder.values[i]
    if builder.nodes[i].type.shape:
        return 0
    if value is not None:
        more = _MORE | _FLAT if value > 0 else 0
        return more | (_AT_LEAST if value >= 0 else 0)
    given = [builder.signs[a] for a in operands]
    every = reduce(and_, given, _AT_LEAST | _MORE | _FLAT)
    found = 0
    square = name == "mul" and operands[0] == operands[1]
    if name in _POSITIVE or name in _NOT_NEGATIVE or square:
        found |= _AT_LEAST
    elif name in ("add", "mul", "div"):
        found |= every & _AT_LEAST
    elif name in ("cast", *GATES):
        found |= given[-1] & _AT_LEAST
    if name in _POSITIVE:
        found |= _MORE
    elif name in ("mul", "div"):
        found |= every & _MORE
    elif name == "add" and every & _AT_LEAST:
        found |= (given[0] | given[1]) & _MORE
    elif name in ("cast", "sqrt"):
        found |= given[0] & _MORE
    if found & _MORE or name in _EVEN or square:
        found |= _FLAT
    elif name in ("mul", "add"):
        found |= every & _FLAT
    elif (name == "div" and given[1] & _MORE) or name == "cast":
        found |= given[0] & _FLAT
    return found
