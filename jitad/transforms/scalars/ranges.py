"""Between which whole numbers the integers of a scalar graph lie.

An int64 that comes of the numbers of iterations by sums and multiples is a `Form`: a
sum of multiples of `Atom`s, whose limits may be forms of older atoms.  So the place
i + 1 + k is known to be below n where k runs over range(n - (i + 1)).  What is known
holds where an iteration is run; lanes that do not take part compute something else.

`outcome` is what comparisons and choices ask for; `known` and `alike_inside` say what
the body of a loop knows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from jitad.ir.graph import Builder
from jitad.ir.loop import INT

_FAR = 2**62  # beyond, a sum may wrap around
_DEEP = 60  # operations on the way to a number that are looked through
_MANY = 8  # atoms of a form that are looked at together
_COMPARED = {"lt": 1, "le": 1, "gt": -1, "ge": -1}
_serials = itertools.count()


class Limit(NamedTuple):
    """multiple times an atom is at most, or at least, a form."""

    multiple: int
    form: Form


@dataclass(frozen=True, eq=False, slots=True)
class Atom:
    """A whole number of which limits are known: tops above it, bottoms below it."""

    low: int
    high: int
    tops: tuple[Limit, ...] = ()
    bottoms: tuple[Limit, ...] = ()
    serial: int = field(default_factory=lambda: next(_serials))


class Form(NamedTuple):
    """constant + Σ multiple · atom, the newest atom last."""

    constant: int
    terms: tuple[tuple[Atom, int], ...] = ()

    def plus(self, other: Form, times: int = 1) -> Form:
        """self + times · other."""
        found: dict[Atom, int] = dict(self.terms)
        for atom, multiple in other.terms:
            found[atom] = found.get(atom, 0) + times * multiple
        kept = [(a, m) for a, m in found.items() if m]
        kept.sort(key=lambda term: term[0].serial)
        return Form(self.constant + times * other.constant, tuple(kept))

    def times(self, factor: int) -> Form:
        """factor · self."""
        return Form(0).plus(self, factor)

    def high(self) -> int:
        """No value is above this."""
        if not self.terms:
            return self.constant
        if len(self.terms) > _MANY:
            return self.constant + sum(
                m * (a.high if m > 0 else a.low) for a, m in self.terms
            )
        *rest, (atom, multiple) = self.terms
        left = Form(self.constant, tuple(rest))
        known = multiple * (atom.high if multiple > 0 else atom.low)
        found = [left.plus(Form(known)).high()]
        for limit in atom.tops if multiple > 0 else atom.bottoms:
            if multiple % limit.multiple == 0:
                times = multiple // limit.multiple
                found.append(left.plus(limit.form, times).high())
        return min(found)

    def low(self) -> int:
        """No value is below this."""
        return -self.times(-1).high()

    def atom(self) -> bool:
        """Whether it is an atom, and nothing else."""
        return not self.constant and len(self.terms) == 1 and self.terms[0][1] == 1


# -- of nodes --------------------------------------------------------------------------


def form(builder: Builder, v: int, deep: int = _DEEP) -> Form | None:
    """What is known of a node; None: nothing."""
    known = builder.forms
    if v not in known:
        made = _made(builder, v, deep) if deep else None
        if made is not None and (made.low() <= -_FAR or made.high() >= _FAR):
            made = None
        known[v] = made
    return known[v]


def _made(builder: Builder, v: int, deep: int) -> Form | None:
    node = builder.nodes[v]
    if node.type.dtype != INT or node.type.shape:
        return None
    if builder.values[v] is not None:
        return Form(int(builder.values[v]))
    name = node.primitive.name
    if name == "select":
        return _chosen(builder, v, deep)
    if name not in _RULES:
        return None
    given = [form(builder, a, deep - 1) for a in node.operands]
    return _RULES[name](*given)


def _add(a: Form | None, b: Form | None) -> Form | None:
    return a.plus(b) if a and b else None


def _sub(a: Form | None, b: Form | None) -> Form | None:
    return a.plus(b, -1) if a and b else None


def _mul(a: Form | None, b: Form | None) -> Form | None:
    if a is None or b is None:
        return None
    if not b.terms:
        return a.times(b.constant)
    if not a.terms:
        return b.times(a.constant)
    ends = [x * y for x in (a.low(), a.high()) for y in (b.low(), b.high())]
    return _atom(min(ends), max(ends))


def _neg(a: Form | None) -> Form | None:
    return a and a.times(-1)


def _minimum(a: Form | None, b: Form | None) -> Form | None:
    if a is None or b is None:
        return None
    tops = [Limit(1, x) for x in (a, b)]
    return _atom(min(a.low(), b.low()), min(a.high(), b.high()), tops)


def _maximum(a: Form | None, b: Form | None) -> Form | None:
    if a is None or b is None:
        return None
    bottoms = [Limit(1, x) for x in (a, b)]
    return _atom(max(a.low(), b.low()), max(a.high(), b.high()), (), bottoms)


def _quotient(a: Form | None, b: Form | None) -> Form | None:
    if a is None or b is None or b.terms or b.constant <= 0:
        return None
    n = b.constant
    tops, bottoms = [Limit(n, a)], [Limit(n, a.plus(Form(1 - n)))]
    return _atom(a.low() // n, a.high() // n, tops, bottoms)


def _rest(a: Form | None, b: Form | None) -> Form | None:
    if b is None or b.terms or b.constant <= 0:
        return None
    if a is not None and a.low() >= 0 and a.high() < b.constant:
        return a
    tops = [Limit(1, a)] if a is not None and a.low() >= 0 else []
    return _atom(0, b.constant - 1, tops)


_RULES = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "neg": _neg,
    "minimum": _minimum,
    "maximum": _maximum,
    "integer_floor_divide": _quotient,
    "integer_mod": _rest,
}


def _atom(
    low: int, high: int, tops: Iterable[Limit] = (), bottoms: Iterable[Limit] = ()
) -> Form:
    return Form(0, ((Atom(low, high, tuple(tops), tuple(bottoms)), 1),))


def _chosen(builder: Builder, v: int, deep: int) -> Form | None:
    """One of two numbers, the smaller or the greater of them as may be."""
    condition, *both = builder.nodes[v].operands
    a, b = (form(builder, x, deep - 1) for x in both)
    if a is None or b is None:
        return None
    test = builder.nodes[condition]
    sign = _COMPARED.get(test.primitive.name, 0)
    if sign and list(test.operands) in (both, both[::-1]):
        first = list(test.operands) == both
        return (_minimum if (sign > 0) == first else _maximum)(a, b)
    return _atom(min(a.low(), b.low()), max(a.high(), b.high()))


# -- what is asked ---------------------------------------------------------------------


def outcome(builder: Builder, word: str, a: int, b: int) -> bool | None:
    """The result of a comparison of two int64s, if it is always the same."""
    pair = form(builder, a), form(builder, b)
    if pair[0] is None or pair[1] is None:
        return None
    apart = pair[0].plus(pair[1], -1)
    if word in ("gt", "ge"):
        apart, word = apart.times(-1), {"gt": "lt", "ge": "le"}[word]
    low, high = apart.low(), apart.high()
    match word:
        case "lt":
            return True if high < 0 else False if low >= 0 else None
        case "le":
            return True if high <= 0 else False if low > 0 else None
        case _:
            differ = high < 0 or low > 0
            return (word == "ne") if differ else None


# -- in loops --------------------------------------------------------------------------


def iterations(bound: int, builder: Builder, count: int | None) -> Form | None:
    """The number of an iteration that is run of a loop, count being outside of it."""
    if bound < 1 or bound >= _FAR:
        return None
    tops = list(_above(builder, count)) if count is not None else []
    limits = [Limit(1, top.plus(Form(-1))) for top in tops]
    return _atom(0, bound - 1, limits)


def known(
    inner: Builder, index: np.ndarray, bound: int, builder: Builder, count: int | None
) -> None:
    """Note what the body of a loop knows of the number of its iteration."""
    inner.forms[int(index)] = iterations(bound, builder, count)


def alike_inside(
    inner: Builder,
    inside: Sequence[np.ndarray],
    builder: Builder,
    shared: Sequence[np.ndarray],
) -> None:
    """Note what a body knows of the whole numbers that all iterations share."""
    for own, outer in zip(inside, shared, strict=True):
        for i, a in zip(own.ravel().tolist(), outer.ravel().tolist(), strict=True):
            if inner.values[i] is None and builder.nodes[a].type.dtype == INT:
                inner.forms[i] = form(builder, a)


def _above(builder: Builder, count: int, deep: int = _DEEP) -> Iterator[Form]:
    """Forms that a number is not above where it is 1 or more."""
    found = form(builder, count)
    if found is not None:
        yield found
    node = builder.nodes[count]
    name = node.primitive.name
    if not deep or name not in ("minimum", "maximum"):
        return
    a, b = node.operands
    for x, other in ((a, b), (b, a)):
        rest = form(builder, other)
        if name == "minimum" or (rest is not None and rest.high() <= 0):
            yield from _above(builder, x, deep - 1)
