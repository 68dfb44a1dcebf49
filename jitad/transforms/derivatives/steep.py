"""Edges near infinite slopes, mended so that all modes give one and the same.

Where a slope may be infinite though the value is not, as that of y = √z at 0, it should
come last: infinities make NaN where paths meet.  In reverse mode those meet that lead
from z to all that it is made of, and in forward mode those that lead from all that is
made of y.  `below` replaces the edge to z by edges to nodes below which no two paths
meet, and `above` the edges to y by edges from nodes above which no two paths meet, so
that sums are finite, whatever the order.

`Factors` closes the edge from a product or quotient to one operand where the other is
zero, if that factor does not depend on the operand and the result flows into such a
slope: √(t/p) at t = 0 has slope 0 in p.  What depends on what is decided on all
floating-point inputs, not on those that a derivative is taken in, so that one and the
same number comes out however many they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from jitad.ir.call import CALL, custom_of
from jitad.ir.graph import INPUT, Graph, Node, scalar
from jitad.ir.loop import LOOP, loop_of
from jitad.ir.primitive import Steep, registry
from jitad.ir.tracer import Trace
from jitad.primitives.scalar.elementwise import GATES
from jitad.primitives.stated import is_slope
from jitad.transforms.scalars import templates

from . import products
from .signs import level, made, not_negative, positive

Own = tuple[tuple[int, int], ...]  # the edges of one node: operands and partials
Edges = dict[int, Own]
Ways = dict[int, dict[int, int]]  # the same, either way: to operands, or to users

# Slopes in more nodes than this, or of longer ways, stay as they are where others
# go the same ways: one gradient would become the Jacobian of many intermediate results.
# Where the value is infinite, too, as that of a logarithm, less is done for its slope.
# Longer ways are followed as long as there are not many of them.
_WIDEST, _FEW, _LONGEST = 8, 2, 48
# Inputs beyond this number share bits, and count as depending on each other.
_BITS = 512


def steep(builder: Trace, node: Node) -> Steep | None:
    """Where the slope of a node may be infinite, if its operands may be there."""
    found = node.primitive.steep
    if found is None:
        return None
    z = node.operands[found.operand]
    if found.at == 0 and positive(builder, z):
        return None
    if found.at == -1 and not_negative(builder, z):
        return None
    if node.primitive.name in ("pow", "pow_plain"):
        exponent = builder.values[node.operands[1]]
        return None if exponent is not None and exponent >= 1 else found
    return found


# -- slopes that come last ------------------------------------------------------------


def below(builder: Trace, edges: Edges) -> Edges:
    """The edges, with those of infinite slopes to nodes that one path each leads to."""
    found: Ways = {}
    within, users, left = _read(builder, edges)
    for v, own in edges.items():
        z, kept = within[v], dict(own)
        slopes = None
        if z in found and z in kept:
            slopes = _slopes(builder, z, found, users, _most(builder, v), left)
        if slopes is not None:
            partial = kept.pop(z)
            for a, slope in slopes.items():
                term = products.multiply(builder, partial, slope)
                products.include(builder, kept, a, term)
        found[v] = kept
    return _frozen(found)


def above(builder: Trace, edges: Edges, ends: Set[int]) -> Edges:
    """The edges, with those to infinite slopes from nodes that one path each leads to.

    ends  nodes whose derivatives are wanted, which must not lose any
    """
    found: Ways = {v: dict(own) for v, own in edges.items()}
    within, users, left = _read(builder, edges)
    for v in reversed(edges):
        if within[v] not in found[v] or v not in users:
            continue
        most = _most(builder, v)
        slopes = _slopes(builder, v, users, found, most, left, ends)
        if slopes is not None:
            for u in users.pop(v):
                del found[u][v]
            for u, slope in slopes.items():
                found[u][v] = slope
            users[v] = slopes
    return _frozen(found)


@dataclass
class _Steps:
    """How many edges long ways may be followed, all of them together."""

    left: int


def _read(builder: Trace, edges: Edges) -> tuple[dict[int, int], Ways, _Steps]:
    """Where slopes may be infinite, the users of every node, and how far to go."""
    within = {v: _within(builder, v) for v in edges}
    users: Ways = {}
    for v, own in edges.items():
        for a, p in own:
            users.setdefault(a, {})[v] = p
    return within, users, _Steps(2 * sum(map(len, edges.values())))


def _frozen(ways: Ways) -> Edges:
    return {v: tuple(own.items()) for v, own in ways.items()}


def _within(builder: Trace, v: int) -> int:
    """The operand of v in which its slope may be infinite and meet others; -1: none.

    In derivatives that is what an infinite slope is multiplied with.
    """
    node = builder.nodes[v]
    if node.primitive.name == "mul":
        a, b = node.operands
        return b if _slope(builder, a) else a if _slope(builder, b) else -1
    found = steep(builder, node)
    if found is None or node.primitive.name == "factor_mul":
        return -1
    return -1 if _never(builder, node, found) else node.operands[found.operand]


def _never(builder: Trace, node: Node, found: Steep) -> bool:
    """Whether a slope is infinite at 0 alone, where its operand never is, or levels."""
    return found.at == 0 and level(builder, node.operands[found.operand])


def outermost(graph: Graph) -> Graph:
    """The graph with slopes that may be infinite as last factors of products.

    So all that such a slope is multiplied with is added up before.
    """
    if not any(is_slope(node.primitive) for node in graph.nodes):
        return graph
    builder = templates.new_builder()

    def change(i: int, operands: tuple[int, ...]) -> int | None:
        if graph.nodes[i].primitive.name != "mul":
            return None
        for p, m in (operands, operands[::-1]):
            node = builder.nodes[m]
            if node.primitive.name == "mul" and not infinite_slope(builder, p):
                for q, slope in (node.operands, node.operands[::-1]):
                    if infinite_slope(builder, slope):
                        return products.multiply(
                            builder, products.multiply(builder, p, q), slope
                        )
        return None

    return graph.rewritten(builder, change)


def infinite_slope(builder: Trace, i: int) -> bool:
    """Whether a node is a slope that may be infinite, with a derivative of one sign.

    Those of logarithms are not counted: their values are infinite, too.
    """
    node = builder.nodes[i]
    found = steep(builder, node) if is_slope(node.primitive) else None
    if found is None or _never(builder, node, found):
        return False
    exponents = [builder.values[a] for a in node.operands[2:]]
    if any(p is not None and p >= 1 for p in exponents):
        return False
    return found.finite or found.at is None


def _slope(builder: Trace, i: int) -> bool:
    """Whether a node is a slope that may be infinite where its function is finite."""
    node = builder.nodes[i]
    found = steep(builder, node) if is_slope(node.primitive) else None
    return found is not None and found.finite


def _most(builder: Trace, v: int) -> int:
    """In how many nodes the slope of v may be."""
    found = builder.nodes[v].primitive.steep
    return _FEW if found is not None and not found.finite else _WIDEST


def _slopes(
    builder: Trace,
    z: int,
    ways: Ways,
    back: Ways,
    most: int,
    steps: _Steps,
    ends: Set[int] = frozenset(),
) -> dict[int, int] | None:
    """The products along ways from z, added up at the nodes beyond which none meet.

    back  the ways to a node
    None  where none meet at all, or there is an end among them; and where there are
          more than those nodes, and others go some of these ways
    """
    cone = _cone(z, ways, steps)
    if cone is None or z in (apart := _apart(z, cone, ways)):
        return None
    inner = set(cone) - apart
    if any(v in ends for v in inner if v != z):
        return None
    own = all(u in inner for v in inner if v != z for u in back.get(v, ()))
    if own and len(back.get(z, ())) <= _FEW:
        most = len(cone)
    elif sum(len(ways.get(v, ())) for v in cone) > _LONGEST:
        return None
    slopes: dict[int, int] = {z: builder.number(1.0, builder.nodes[z].type.dtype)}
    for v in cone:
        if v in slopes and v not in apart:
            slope = slopes.pop(v)
            for a, p in ways[v].items():
                products.include(
                    builder, slopes, a, products.multiply(builder, p, slope)
                )
    return slopes if len(slopes) <= most else None


def _cone(z: int, ways: Ways, steps: _Steps) -> list[int] | None:
    """The nodes that ways from z lead to, it first, in order; None: there are many."""
    seen, stack, count = {z}, [z], 0
    while stack:
        for a in ways.get(stack.pop(), ()):
            count += 1
            if count > max(_LONGEST, steps.left):
                steps.left -= count
                return None
            if a not in seen:
                seen.add(a)
                stack.append(a)
    if count > _LONGEST:
        steps.left -= count
    return sorted(seen, reverse=z == max(seen))


def _apart(z: int, cone: Sequence[int], ways: Ways) -> set[int]:
    """The nodes beyond which every node is reached from z on one path only."""
    paths = dict.fromkeys(cone, 0)
    paths[z] = 1
    for v in cone:
        for a in ways.get(v, ()):
            paths[a] += paths[v]
    found: set[int] = set()
    for v in reversed(cone):
        if all(a in found and paths[a] == paths[v] for a in ways.get(v, ())):
            found.add(v)
    return found


# -- factors that are zero ------------------------------------------------------------


# What a zero goes through to the end of a domain that is not 0: arccos(1 - p t).
_PLAIN = frozenset({"add", "sub", "neg", "cast", "select", *GATES})


class Factors:
    """Which nodes of a graph flow into a slope that is infinite at a finite value.

    into     those that do; for an end of a domain that is not 0, by sums alone
    factors  those that are 0 only where it is infinite
    poles    for every node the functions above whose value may be infinite: there a
             gate stays open, and NaN shows
    """

    def __init__(
        self, builder: Trace, reached: Sequence[int], outputs: Iterable[int]
    ) -> None:
        self.builder, none = builder, frozenset[int]()
        self.poles: dict[int, frozenset[int]] = dict.fromkeys(outputs, none)
        within: set[int] = set()
        summed: set[int] = set()
        self.factors: set[int] = set()
        for v in reversed(reached):
            if v not in self.poles:
                # Nothing that is differentiated depends on it.
                continue
            node = builder.nodes[v]
            slope, poles = steep(builder, node), self.poles[v]
            if slope is not None and not slope.finite:
                slope, poles = None, poles | {v}
            everywhere = v in within or _steep_inside(node)
            if v in self.factors:
                self.factors.update(_factors(builder, v))
            sums = v in summed and node.primitive.name in _PLAIN
            for k in _smooth(builder, node):
                a = node.operands[k]
                self.poles[a] = self.poles.get(a, none) | poles
                starts = slope if slope is not None and slope.operand == k else None
                if starts is not None and starts.at == 0:
                    self.factors.add(a)
                if everywhere or (starts is not None and starts.at is not None):
                    within.add(a)
                elif sums or starts is not None:
                    summed.add(a)
        self.into = within | summed

    def closed(self, v: int, own: Own) -> Own:
        """The edges of v, with gates where a factor may be zero."""
        if v not in self.into:
            return own
        name, operands = (
            self.builder.nodes[v].primitive.name,
            self.builder.nodes[v].operands,
        )
        if name not in ("mul", "div") or operands[0] == operands[1]:
            return own
        found = []
        for a, p in own:
            if name == "mul" or a == operands[1]:
                p = self._gated(v, p, a, operands[a == operands[0]])
            if self.builder.values[p] is None or self.builder.values[p] != 0:
                found.append((a, p))
        return tuple(found)

    def _gated(self, v: int, partial: int, a: int, factor: int) -> int:
        builder, masks = self.builder, depends(self.builder)
        if positive(builder, factor):
            return partial
        primitives, boolean = registry.primitives, scalar(np.dtype(bool))
        for zero in self._zeros(v, factor, masks[a]):
            nought = builder.number(0.0, builder.nodes[zero].type.dtype)
            there = builder.apply(primitives["ne"], (zero, nought), boolean)
            if builder.values[there] is None:
                for pole in sorted(self.poles[v]):
                    infinite = builder.apply(primitives["isinf"], (pole,), boolean)
                    there = builder.apply(primitives["or"], (there, infinite), boolean)
            partial = products.gated(builder, there, partial, "factor_gate")
        return partial

    def _zeros(self, v: int, factor: int, mask: int) -> list[int]:
        """The factors of a factor of v that do not depend on what has one bit of mask.

        If it depends on that itself, only where a zero means an infinite slope.
        """
        masks, found, stack = depends(self.builder), set(), [factor]
        while stack:
            i = stack.pop()
            if not masks[i] & mask:
                found.add(i)
            elif v in self.factors:
                stack += _factors(self.builder, i)
        return sorted(i for i in found if not positive(self.builder, i))


def _factors(builder: Trace, i: int) -> tuple[int, ...]:
    """The operands that a node is 0 with."""
    name, operands = made(builder, i)
    if name == "factor_mul":
        return operands[1::2]
    if name == "mul":
        return operands
    return operands[:1] if name in ("div", "neg", "cast", "sqrt", "abs") else ()


def _smooth(builder: Trace, node: Node) -> Sequence[int]:
    """The numbers of the operands that a derivative may be taken in."""
    if node.primitive.kind != "elementwise":
        return range(len(node.operands))
    dtypes = tuple([builder.nodes[a].type.dtype for a in node.operands])
    return templates.partials(node.primitive, dtypes, node.type.dtype)[1]


def _steep_inside(node: Node) -> bool:
    """Whether a loop or call has an infinite slope of a finite value in it."""
    if node.primitive is LOOP:
        bodies = [loop_of(node).body]
    elif node.primitive is CALL:
        bodies = [custom_of(node).value]
    else:
        return False
    return any(
        (n.primitive.steep is not None and n.primitive.steep.finite) or _steep_inside(n)
        for body in bodies
        for n in body.nodes
    )


# -- what depends on what -------------------------------------------------------------


def number(builder: Trace, inputs: Sequence[int], elements: Sequence[Any]) -> None:
    """Give every floating-point scalar of the inputs a bit, and whole arrays theirs."""
    count = 0
    for i, own in zip(inputs, elements, strict=True):
        if builder.nodes[i].type.dtype.kind != "f":
            builder.sources[i] = 0
            continue
        ids = own.ravel().tolist() or [i]
        here = {e: 1 << (count + k) % _BITS for k, e in enumerate(ids)}
        count += len(ids)
        builder.sources |= {i: reduce(int.__or__, here.values(), 0)} | here


def depends(builder: Trace) -> list[int]:
    """For every node the bits of the inputs that it depends on.

    An input of which nothing is known depends on everything.
    """
    masks = builder.masks
    for v in range(len(masks), len(builder.nodes)):
        node = builder.nodes[v]
        mask = builder.sources.get(v)
        if mask is None:
            unknown = node.primitive is INPUT and node.type.dtype.kind == "f"
            mask = -1 if unknown else 0
            for a in node.operands:
                mask |= masks[a]
        masks.append(mask)
    return masks


def inside(builder: Trace, v: int) -> list[int]:
    """The bits of what the body of a loop, or the graph of a call, is given.

    What a loop carries may depend on everything that is given to it.
    """
    node, masks = builder.nodes[v], depends(builder)
    if node.primitive is CALL:
        return [masks[a] for a in node.operands]
    loop = loop_of(node)
    _, carried, *rest = loop.split([masks[a] for a in node.operands])
    every = reduce(int.__or__, [m for own in (carried, *rest) for m in own], 0)
    return [0, *[every] * len(carried), *(m for own in rest for m in own)]
