"""Edges of operations that are differentiated together: their product would be 0·∞.

    1 / (k + m exp u)   and other powers, of exp u, cosh u and sinh u and of products of
                        all these, too, which may overflow where the slope by u is 0
    exp(-exp u)         whose slope is 0 where the inner one overflows
    x log x             whose second derivative is 1/x
    x / (x x)           which is 1/x
    Σ eigenvalues       which is the trace, and of their squares that of the squares of
                        all entries: second derivatives of the terms may be infinite

Each partial has exact partials of its own, so higher derivatives are as good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from itertools import product
from typing import Any

import numpy as np

from jitad.ir.primitive import Primitive
from jitad.ir.tracer import Trace, Tracer
from jitad.primitives.matrices.eigen import is_eigenvalue, whole_spectrum
from jitad.primitives.scalar.barrier import undefined_where
from jitad.primitives.stated import apply_implicit, implicit, stated

from . import products

LN2 = 0.6931471805599453
Own = tuple[tuple[int, int], ...]  # the edges of one node: operands and partials


class Fused:
    """The edges of operations in a graph, past what they are fused with."""

    def __init__(
        self, builder: Trace, edges: Mapping[int, Own], active: Set[int]
    ) -> None:
        self.builder, self.edges, self.active = builder, edges, active
        # The sums that have eigenvalues among their terms.
        self.spectral: set[int] = set()

    def past(self, v: int, own: Own) -> Own:
        """The edges of v, whose own are given."""
        rule = _RULES.get(self.builder.nodes[v].primitive.name)
        return rule(self, v, own) if rule is not None and own else own

    def value(self, i: int) -> Tracer:
        """A node to compute with."""
        return Tracer(self.builder, i, self.builder.nodes[i].type)

    def made(self, i: int, name: str) -> tuple[int, ...]:
        """The operands of a node, if it is made by the primitive of this name."""
        node = self.builder.nodes[i]
        return node.operands if node.primitive.name == name else ()


# -- powers of what may overflow -------------------------------------------------------

# f'/f of functions that overflow.
_GROWTH: dict[str, Callable[[Any], Any]] = {
    "exp": lambda u: 1.0,
    "exp2": lambda u: LN2,
    "cosh": lambda u: np.tanh(u),
    "sinh": lambda u: 1.0 / np.tanh(u),
}


# Those of them that are more than what is added to them, however small that is.
_SUMMED = ("exp", "exp2", "cosh")
# Exponents of powers that a base may be.
_POWERS = {"sqrt": 0.5, **{f"pow{p:g}": p for p in (1.5, 2.5, 3.0, 4.0, 5.0, 6.0)}}
_DEEPEST = 4  # products in products
Shares = dict[int, Any]  # for every node that a base depends on, its relative slope


def _factor(context: Fused, i: int) -> tuple[str, int, float] | None:
    """The function, the argument and the exponent of (f u)**1 or 2, times a constant.

    The constant is what is not active.
    """
    factors = context.made(i, "mul")
    if factors and factors[0] == factors[1]:
        found = _factor(context, factors[0])
        return (*found[:2], 2.0) if found is not None and found[2] == 1.0 else None
    for m, f in (factors, factors[::-1]) if factors else ((None, i),):
        if m in context.active:
            continue
        node = context.builder.nodes[f]
        if node.primitive.name in _GROWTH:
            (u,) = node.operands
            return (node.primitive.name, u, 1.0) if u in context.active else None
        if m is not None and (found := _factor(context, f)) is not None:
            return found
    return None


def _terms(context: Fused, i: int) -> Iterator[tuple[Any, Any, str, int, float]]:
    """k, q, f, u and p of node i as k + q with q = m (f u)**p."""
    for name in ("add", "sub"):
        pair = context.made(i, name)
        for k, q in (pair, pair[::-1]) if pair else ():
            found = _factor(context, q)
            if found is None or found[0] not in _SUMMED or k in context.active:
                continue
            first, last = context.value(k), context.value(q)
            if name == "sub" and k == pair[0]:
                last = -last
            elif name == "sub":
                first = -first
            yield first, last, *found
    for u in context.made(i, "expm1"):
        if u in context.active:
            yield -1.0, np.exp(context.value(u)), "exp", u, 1.0


def _shares(context: Fused, base: int, depth: int = 0) -> Shares | None:
    """The relative slopes of a base; None: nothing that it is made of overflows."""
    found = _factor(context, base)
    if found is not None:
        name, u, power = found
        return {u: power * _GROWTH[name](context.value(u))}
    for k, q, name, u, power in _terms(context, base):
        inverse = 1.0 / context.value(base)
        rest = k * inverse
        rising = np.where(np.abs(q) > np.abs(k), 1.0 - rest, q * inverse)
        x = context.value(u)
        share = apply_implicit(_RISING[name, power], [rising, rest, x])
        return {u: power * (share * _GROWTH[name](x))}
    return _shares_of_factors(context, base, depth) if depth < _DEEPEST else None


def _shares_of_factors(context: Fused, base: int, depth: int) -> Shares | None:
    """The relative slopes of a product or power of bases that may overflow."""
    node = context.builder.nodes[base]
    power = _POWERS.get(node.primitive.name)
    factors = node.operands if power or node.primitive.name == "mul" else ()
    found = {
        i: _shares(context, i, depth + 1)
        for i in dict.fromkeys(factors)
        if i in context.active
    }
    if not any(found.values()):
        return None
    total: Shares = {}
    for i in factors:
        if i in found:
            for a, share in (found[i] or {i: 1.0 / context.value(i)}).items():
                more = share if power is None else power * share
                total[a] = total[a] + more if a in total else more
    return total


def _over(context: Fused, v: int, own: Own, base: int, exponent: Any) -> Own:
    """The edges of a power of base, those to what it grows with for its own."""
    shares = _shares(context, base)
    if shares is None:
        return own
    kept = {a: p for a, p in own if a != base}
    for u, share in shares.items():
        slope = (exponent * context.value(v)) * share
        products.include(context.builder, kept, u, slope.index)
    return tuple(kept.items())


def _share(of: str, place: int, name: str, power: float, other: Any) -> Primitive:
    """The share of q or k in k + q with q = m (f u)**p, whose slope has the other's."""

    def slope(y: Any, q: Any, k: Any, u: Any) -> list[Any]:
        rate = power * _GROWTH[name](u)
        share = y * apply_implicit(other(), [q, k, u])
        return [None, None, (share if place == 0 else -share) * rate]

    made = f"slope {of}/(k+q), q = m {name}(u)**{power:g}"
    return implicit(made, place, slope)


_RISING: dict[tuple[str, float], Primitive] = {}
_FALLING: dict[tuple[str, float], Primitive] = {}
for _key in product(_SUMMED, (1.0, 2.0)):
    _RISING[_key] = _share("q", 0, *_key, lambda key=_key: _FALLING[key])
    _FALLING[_key] = _share("k", 1, *_key, lambda key=_key: _RISING[key])


def _quotient(context: Fused, v: int, own: Own) -> Own:
    a, b = context.builder.nodes[v].operands
    if context.made(b, "mul") == (a, a):
        x = context.value(a)
        return ((a, (-(context.value(v) * (1.0 / x))).index),)
    return own if a == b else _over(context, v, own, b, -1.0)


def _whole_power(exponent: float) -> Callable[..., Own]:
    def rule(context: Fused, v: int, own: Own) -> Own:
        (base,) = context.builder.nodes[v].operands
        return _over(context, v, own, base, exponent)

    return rule


def _power(context: Fused, v: int, own: Own) -> Own:
    base, p = context.builder.nodes[v].operands
    return own if base == p else _over(context, v, own, base, context.value(p))


# -- exponentials of exponentials ------------------------------------------------------

_LONGEST = 8  # operations between the two
_OVERFLOWING = frozenset({*_GROWTH, "expm1"})


def _overflowing(context: Fused, i: int) -> list[int]:
    """The functions that overflow in the factors of a node's terms."""
    found, stack, nodes = [], [i], context.builder.nodes
    for _ in range(_LONGEST):
        if not stack:
            break
        i = stack.pop()
        name, operands = nodes[i].primitive.name, nodes[i].operands
        if name in _OVERFLOWING:
            found.append(i)
        elif name in ("add", "sub", "neg", "mul", "div"):
            through = operands[:1] if name == "div" else operands
            stack += [a for a in through if a in context.active]
    return found


def _exponential(context: Fused, v: int, own: Own) -> Own:
    """The edge of exp t, closed where it is 0 because the exponential in t is ∞."""
    ((t, partial),) = own
    y = context.value(v)
    for i in _overflowing(context, t):
        there = np.isfinite(context.value(i)) | (y != 0)
        partial = products.gated(context.builder, there.index, partial)
    return ((t, partial),)


# -- x log x -------------------------------------------------------------------------

_slope = stated(
    "1 + log x",
    lambda y, x: [undefined_where(x < 0, float("nan"), 1.0 / (x + 0.0))],
    infinite_at=0.0,
)


def _times_log(context: Fused, v: int, own: Own) -> Own:
    pair: Sequence[int] = context.builder.nodes[v].operands
    for i, log in (pair, pair[::-1]):
        if context.made(log, "log") == (i,) and log in context.edges:
            ((_, partial),) = context.edges[log]
            x = context.value(i)
            both = context.value(log) + x * context.value(partial)
            return ((i, _slope(both, x).index),)
    return own


# -- sums of eigenvalues -----------------------------------------------------------


def _sum(context: Fused, v: int, own: Own) -> Own:
    """The trace for all eigenvalues of a matrix, and for their squares that of A²."""
    builder, spectral = context.builder, context.spectral
    operands = builder.nodes[v].operands
    if not any(a in spectral or _of_spectrum(context, a) for a in operands):
        return own
    spectral.add(v)
    terms: dict[int, float] = {}
    stack = [(v, 1.0)]
    while stack:
        i, weight = stack.pop()
        if i not in spectral:
            i, factor = _scaled(context, i)
            terms[i] = terms.get(i, 0.0) + weight * factor
            continue
        later = -weight if builder.nodes[i].primitive.name in ("sub", "neg") else weight
        first, *rest = builder.nodes[i].operands
        stack += [(first, weight if rest else later), *((a, later) for a in rest)]
    dtype = builder.nodes[v].type.dtype
    kept: dict[int, int] = {}
    for power in (1, 2):
        values = {
            i: (builder.nodes[e], terms[i])
            for i in terms
            if (e := _eigenvalue(context, i, power)) is not None
        }
        found = whole_spectrum(dict(values.values()))
        if found is None:
            continue
        terms = {i: w for i, w in terms.items() if i not in values}
        weight, data = found
        for (k, m), i in data.items():
            if i not in context.active or (power == 1 and k != m):
                continue
            slope = builder.number(
                weight * (1 if power == 1 else 2 + 2 * (k != m)), dtype
            )
            if power == 2:
                slope = products.multiply(builder, slope, i)
            products.include(builder, kept, i, slope)
    if not kept:
        return own
    for i, w in terms.items():
        if i in context.active:
            products.include(builder, kept, i, builder.number(w, dtype))
    return tuple(kept.items())


def _of_spectrum(context: Fused, i: int) -> bool:
    """Whether a node is an eigenvalue, the square of one, or a multiple of these."""
    return _power_of_one(context, _scaled(context, i)[0])


def _power_of_one(context: Fused, i: int) -> bool:
    return any(_eigenvalue(context, i, power) is not None for power in (1, 2))


def _scaled(context: Fused, i: int) -> tuple[int, float]:
    """A node as a multiple of an eigenvalue or its square, or as it is."""
    pair = context.made(i, "mul")
    for c, a in (pair, pair[::-1]) if pair else ():
        known = context.builder.values[c]
        if known is not None and _power_of_one(context, a):
            return a, float(known)
    return i, 1.0


def _eigenvalue(context: Fused, i: int, power: int) -> int | None:
    """The eigenvalue that a node is this power of."""
    if power == 2:
        a, b = context.made(i, "mul") or (-1, -2)
        i = a if a == b else -1
    return i if i >= 0 and is_eigenvalue(context.builder.nodes[i]) else None


_RULES: dict[str, Callable[..., Own]] = {
    "add": _sum,
    "sub": _sum,
    "neg": _sum,
    "exp": _exponential,
    "exp2": _exponential,
    "mul": _times_log,
    "div": _quotient,
    "pow": _power,
} | {f"pow{p:g}": _whole_power(p) for p in (-0.5, -1.5, -2.0, -3.0, -4.0)}
