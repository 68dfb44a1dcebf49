"""Products and sums of derivatives, which keep the exact zero of an untaken branch.

All modes multiply and add by these, so they agree on what a gate hides.
"""

from __future__ import annotations

import numpy as np

from jitad.ir.graph import Type, scalar
from jitad.ir.primitive import registry
from jitad.ir.tracer import Trace
from jitad.primitives.scalar.elementwise import GATES


def multiply(target: Trace, p: int, t: int) -> int:
    """p * t, where a gate on either side keeps its exact zero."""
    nodes, both = target.nodes, ((p, t), (t, p))
    for a, b in both:
        if nodes[a].primitive.name == "gate":
            condition, factor = nodes[a].operands
            return gated(target, condition, multiply(target, factor, b))
    for a, b in both:
        if nodes[a].primitive.name == "factor_gate":
            condition, factor = nodes[a].operands
            return _times(target, condition, factor, b)
    p, t, type = _common(target, p, t)
    return target.apply(registry.primitives["mul"], (p, t), type)


def _times(target: Trace, condition: int, factor: int, other: int) -> int:
    """A factor that is zero where a condition does not hold, times what it hides."""
    if target.values[other] is not None:
        product = multiply(target, factor, other)
        return gated(target, condition, product, "factor_gate")
    node, also = target.nodes[other], target.const(np.True_)
    if node.primitive.name == "factor_gate":
        also, other = node.operands
    factor, other, type = _common(target, factor, other)
    product = target.apply(
        registry.primitives["factor_mul"], (condition, factor, also, other), type
    )
    product = gated(target, also, product, "factor_gate")
    return gated(target, condition, product, "factor_gate")


def gated(target: Trace, condition: int, value: int, gate: str = "gate") -> int:
    """The value under a condition; a gate in a gate is one, open where both are.

    So every gate says by itself where the term is there, and sums can tell.  One that
    does not hide derivatives, of a zero factor, stays outside of one that does.
    """
    node = target.nodes[value]
    if node.primitive.name in GATES:
        inner, value = node.operands
        if node.primitive.name != gate:
            hidden = inner if gate == "factor_gate" else condition
            value, gate = _gate(target, "gate", hidden, value), "factor_gate"
        both = registry.primitives["and"]
        condition = target.apply(both, (condition, inner), target.nodes[inner].type)
    return _gate(target, gate, condition, value)


def _gate(target: Trace, name: str, condition: int, value: int) -> int:
    gate, type = registry.primitives[name], target.nodes[value].type
    return target.apply(gate, (condition, value), type)


def unless_zero(target: Trace, v: int) -> int:
    """A derivative whose gate is no longer known: a zero is taken for a closed one."""
    nonzero = registry.primitives["nonzero"]
    return gated(target, target.apply(nonzero, (v,), scalar(np.dtype(bool))), v)


def add(target: Trace, a: int, b: int) -> int:
    """a + b; a sum of gated terms is gated by either, or is the one that is there."""
    nodes = target.nodes
    names = {nodes[a].primitive.name, nodes[b].primitive.name}
    if names <= GATES:
        (c, x), (d, y) = nodes[a].operands, nodes[b].operands
        (gate,) = names if len(names) == 1 else ("factor_gate",)
        if c == d and len(names) == 1:
            return gated(target, c, add(target, x, y), gate)
        if gate == "gate" and _opposite(target, c, d):
            return _chosen(target, c, x, y)
        total = _sum(target, a, b)
        either = target.apply(registry.primitives["or"], (c, d), nodes[c].type)
        return _gate(target, gate, either, total)
    return _sum(target, a, b)


def _opposite(target: Trace, c: int, d: int) -> bool:
    """Whether one of two conditions is the negation of the other."""
    pairs = ((c, d), (d, c))
    return any(
        target.nodes[p].primitive.name == "not" and target.nodes[p].operands == (q,)
        for p, q in pairs
    )


def _chosen(target: Trace, condition: int, a: int, b: int) -> int:
    """a where condition holds, else b: the sum of two terms of which one is gone."""
    a, b, type = _common(target, a, b)
    return target.apply(registry.primitives["select"], (condition, a, b), type)


def _sum(target: Trace, a: int, b: int) -> int:
    a, b, type = _common(target, a, b)
    return target.apply(registry.primitives["add"], (a, b), type)


def _common(target: Trace, a: int, b: int) -> tuple[int, int, Type]:
    left, right = target.nodes[a].type, target.nodes[b].type
    if left is right or left == right:
        return a, b, left
    type = scalar(np.promote_types(left.dtype, right.dtype))
    return target.cast(a, type.dtype), target.cast(b, type.dtype), type


def include(target: Trace, sums: dict[int, int], key: int, term: int) -> None:
    """Add a term to the sum under a key."""
    old = sums.get(key)
    sums[key] = term if old is None else add(target, old, term)
