"""What a kernel costs to run: a rough guess, from its words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .kernel import Kernel
from .statement import Statement
from .statements import For, If, Op, Repeat

_REPEATS = 100  # iterations of a loop of which nothing is known
_SELDOM = 0.1  # how often lanes need a branch that had better be put off for a few

# So long a loop may take, and so often, by this guess, it looks whether it is wanted.
LOOK = 2_000_000

_CHEAP = frozenset(
    {
        *("add", "sub", "mul", "neg", "abs", "fma", "cast", "select", "copysign"),
        *("lt", "le", "gt", "ge", "eq", "ne", "and", "or", "xor", "not"),
        *("floor", "ceil", "trunc", "rint", "isnan", "isinf", "isfinite", "signbit"),
        *("maximum", "minimum", "fmax", "fmin", "left_shift", "right_shift"),
    }
)


@dataclass(frozen=True)
class Work:
    """A rough guess at the work of one lane, within a factor of ten.

    terms  (axes, nanoseconds): so much for every index of these axes
    """

    terms: tuple[tuple[tuple[int, ...], float], ...]

    def nanoseconds(self, extents: Sequence[int]) -> float:
        """How long one lane takes."""
        total = 1.0
        for axes, each in self.terms:
            total += each * math.prod(extents[a] for a in axes)
        return total


def work(kernel: Kernel) -> Work:
    """Guess what a kernel costs, from its words."""
    terms: dict[tuple[int, ...], float] = {}

    def walk(body: Sequence[Statement], axes: tuple[int, ...]) -> None:
        own = 0.0
        for s in body:
            if isinstance(s, For):
                walk(s.body, (*axes, s.axis))
            else:
                own += cost(s)
        terms[axes] = terms.get(axes, 0.0) + own

    walk(kernel.body, ())
    return Work(tuple(terms.items()))


def cost(statement: Statement) -> float:
    """Nanoseconds for one lane, those of what stands inside included."""
    match statement:
        case Op():
            return 0.1 if statement.word in _CHEAP else 1.0
        case Repeat() | If():
            return sum(map(cost, statement.inside), 0.1) * times(statement)
        case _:
            return statement.nanoseconds


def times(statement: Repeat | If) -> float:
    """How often what stands inside is run, wherever this is."""
    if isinstance(statement, If):
        return _SELDOM if statement.later else 1
    return _REPEATS if statement.bound is None else statement.bound


def is_long(loop: Repeat) -> bool:
    """Whether a loop may take so long that somebody may want to interrupt it."""
    return _most(loop) >= LOOK


def charge(loop: Repeat) -> int:
    """Nanoseconds of one iteration, where loops that may end early mostly do."""
    own = sum(map(_mostly, loop.inside), 0.1)
    return max(1, min(LOOK, round(own)))


def _most(statement: Statement) -> float:
    match statement:
        case Repeat():
            bound = math.inf if statement.bound is None else statement.bound
            return bound * sum(map(_most, statement.inside), 0.1)
        case If():
            return sum(map(_most, statement.inside), 0.1)
        case _:
            return cost(statement)


def _mostly(statement: Statement) -> float:
    match statement:
        case Repeat():
            return mostly(statement) * sum(map(_mostly, statement.inside), 0.1)
        case If():
            return sum(map(_mostly, statement.inside), 0.1)
        case _:
            return cost(statement)


def mostly(loop: Repeat) -> int:
    """How many iterations a loop has, where those that may end early mostly do."""
    ends = loop.alive is not None or loop.count is not None
    bound = _REPEATS if loop.bound is None else loop.bound
    return min(bound, _REPEATS) if ends else bound
