"""Products and sums of derivatives, which keep the exact zero of an untaken branch.

All modes multiply and add by these, so they agree on what a gate hides.
"""

from __future__ import annotations

import numpy as np

from jitad.ir.graph import Type, scalar
from jitad.ir.primitive import registry
from jitad.ir.tracer import Trace
from jitad.primitives.scalar.elementwise import GATES


def multiply(builder: Trace, p: int, t: int) -> int:
    """p * t, where a gate on either side keeps its exact zero."""
    nodes, both = builder.nodes, ((p, t), (t, p))
    for a, b in both:
        if nodes[a].primitive.name == "gate":
            condition, factor = nodes[a].operands
            return gated(builder, condition, multiply(builder, factor, b))
    for a, b in both:
        if nodes[a].primitive.name == "factor_gate":
            condition, factor = nodes[a].operands
            return _times(builder, condition, factor, b)
    p, t, type = _common(builder, p, t)
    return builder.apply(registry.primitives["mul"], (p, t), type)


def _times(builder: Trace, condition: int, factor: int, other: int) -> int:
    """A factor that is zero where a condition does not hold, times what it hides."""
    if builder.values[other] is not None:
        product = multiply(builder, factor, other)
        return gated(builder, condition, product, "factor_gate")
    node, also = builder.nodes[other], builder.const(np.True_)
    if node.primitive.name == "factor_gate":
        also, other = node.operands
    factor, other, type = _common(builder, factor, other)
    product = builder.apply(
        registry.primitives["factor_mul"], (condition, factor, also, other), type
    )
    product = gated(builder, also, product, "factor_gate")
    return gated(builder, condition, product, "factor_gate")


def gated(builder: Trace, condition: int, value: int, gate: str = "gate") -> int:
    """The value under a condition; a gate in a gate is one, open where both are.

    So every gate says by itself where the term is there, and sums can tell.  One that
    does not hide derivatives, of a zero factor, stays outside of one that does.
    """
    node = builder.nodes[value]
    if node.primitive.name in GATES:
        inner, value = node.operands
        if node.primitive.name != gate:
            hidden = inner if gate == "factor_gate" else condition
            value, gate = _gate(builder, "gate", hidden, value), "factor_gate"
        both = registry.primitives["and"]
        condition = builder.apply(both, (condition, inner), builder.nodes[inner].type)
    return _gate(builder, gate, condition, value)


def _gate(builder: Trace, name: str, condition: int, value: int) -> int:
    gate, type = registry.primitives[name], builder.nodes[value].type
    return builder.apply(gate, (condition, value), type)


def unless_zero(builder: Trace, v: int) -> int:
    """A derivative whose gate is no longer known: a zero is taken for a closed one."""
    nonzero = registry.primitives["nonzero"]
    return gated(builder, builder.apply(nonzero, (v,), scalar(np.dtype(bool))), v)


def add(builder: Trace, a: int, b: int) -> int:
    """a + b; a sum of gated terms is gated by either, or is the one that is there."""
    nodes = builder.nodes
    names = {nodes[a].primitive.name, nodes[b].primitive.name}
    if names <= GATES:
        (c, x), (d, y) = nodes[a].operands, nodes[b].operands
        (gate,) = names if len(names) == 1 else ("factor_gate",)
        if c == d and len(names) == 1:
            return gated(builder, c, add(builder, x, y), gate)
        if gate == "gate" and _opposite(builder, c, d):
            return _chosen(builder, c, x, y)
        total = _sum(builder, a, b)
        either = builder.apply(registry.primitives["or"], (c, d), nodes[c].type)
        return _gate(builder, gate, either, total)
    return _sum(builder, a, b)


def _opposite(builder: Trace, c: int, d: int) -> bool:
    """Whether one of two conditions is the negation of the other."""
    pairs = ((c, d), (d, c))
    return any(
        builder.nodes[p].primitive.name == "not" and builder.nodes[p].operands == (q,)
        for p, q in pairs
    )


def _chosen(builder: Trace, condition: int, a: int, b: int) -> int:
    """a where condition holds, else b: the sum of two terms of which one is gone."""
    a, b, type = _common(builder, a, b)
    return builder.apply(registry.primitives["select"], (condition, a, b), type)


def _sum(builder: Trace, a: int, b: int) -> int:
    a, b, type = _common(builder, a, b)
    return builder.apply(registry.primitives["add"], (a, b), type)


def _common(builder: Trace, a: int, b: int) -> tuple[int, int, Type]:
    left, right = builder.nodes[a].type, builder.nodes[b].type
    if left is right or left == right:
        return a, b, left
    type = scalar(np.promote_types(left.dtype, right.dtype))
    return builder.cast(a, type.dtype), builder.cast(b, type.dtype), type


def include(builder: Trace, sums: dict[int, int], key: int, term: int) -> None:
    """Add a term to the sum under a key."""
    old = sums.get(key)
    sums[key] = term if old is None else add(builder, old, term)
