"""Costly values that only some points need, put under a branch.

A value is needed where one of its users is; a select needs its second operand only
where its condition holds, and its third only where it does not.  What all uses of a
value have in common is its guard.  `sink` collects values of the same guard, where
they are worth a test, in a branch that a vector of points takes if any of them must.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jitad.ir.branch import Branch, add_branch
from jitad.ir.graph import CONST, ELEMENT, INPUT, Graph, reach
from jitad.ir.loop import LOOP, PART, loop_of
from jitad.ir.primitive import registry
from jitad.transforms.scalars.templates import new_builder

from .tidy import has_loops, in_order, times, weight

Literal = tuple[int, bool]  # a condition, and whether it holds

# Weighted operations from which a test of a vector's lanes pays.
WORTH = 120.0
# What each value costs that comes out of a branch: it lives across the branch's end, is
# given a value on the other way, and is selected lane by lane.
_MERGED = 4.0
# Branches inside branches, at most: a choice among many values is a chain of choices.
DEEPEST = 16
# Conditions that are told of one value, at most, and nodes that are looked at for the
# branches of one graph, all rounds together.
_CONDITIONS = DEEPEST
_LOOKED_AT = 100_000


def sink(graph: Graph, depth: int = 0) -> Graph:
    """The same function with costly one-sided values under branches.

    depth  of branches around it
    """
    if has_loops(graph):
        graph = _inside_loops(graph, depth)
    left = _LOOKED_AT
    while depth < DEEPEST and left > 0:
        found = _worth(graph)
        if found is None:
            break
        left -= len(graph.nodes)
        graph = _branched(graph, *found, depth)
    return graph


def _inside_loops(graph: Graph, depth: int) -> Graph:
    nodes = list(graph.nodes)
    for i, node in enumerate(nodes):
        if node.primitive is LOOP:
            loop = loop_of(node)
            nodes[i] = node.holding(replace(loop, body=sink(loop.body, depth)))
    return Graph(tuple(nodes), graph.inputs, graph.outputs)


def guards(graph: Graph) -> list[frozenset[Literal] | None]:
    """For every node the conditions under which it is needed; None: it is not.

    At the end of a long chain of choices these are the first of them.
    """
    found: list[frozenset[Literal] | None] = [None] * len(graph.nodes)
    for i in graph.outputs:
        found[i] = frozenset()
    for i in range(len(graph.nodes) - 1, -1, -1):
        own = found[i]
        if own is None:
            continue
        node = graph.nodes[i]
        for place, a in enumerate(node.operands):
            use = own
            chosen = node.primitive.name == "select" and place > 0
            if chosen and len(own) < _CONDITIONS:
                use = own | {(node.operands[0], place == 1)}
            old = found[a]
            found[a] = use if old is None else old & use
    return found


def _together(graph: Graph) -> list[int]:
    """For every node the first of those that must stay together; -1: outside.

    Loops and branches stay with their parts and with arrays that they hand on to one
    another: only scalars go in and out of a branch.  What reads an array of the
    function's arguments, of no axes too, stays outside.
    """
    first = list(range(len(graph.nodes)))
    fixed = set()

    def home(i: int) -> int:
        while first[i] != i:
            i = first[i]
        return i

    for i, node in enumerate(graph.nodes):
        for a in node.operands:
            other = graph.nodes[a]
            if node.primitive is PART or other.type.shape:
                low, high = sorted((home(i), home(a)))
                first[high] = low
            array = other.type.shape or node.primitive is ELEMENT
            if other.primitive is INPUT and array:
                fixed.add(i)
    outside = {home(i) for i in fixed}
    homes = [home(i) for i in range(len(first))]
    return [-1 if h in outside else h for h in homes]


def _guarded(graph: Graph) -> dict[Literal, list[int]]:
    """What could go under a branch, by its guard."""
    own, together = guards(graph), _together(graph)
    common: dict[int, frozenset[Literal]] = {}
    for i, h in enumerate(together):
        guard = own[i]
        if guard is not None:
            common[h] = common[h] & guard if h in common else guard
    found: dict[Literal, list[int]] = {}
    for i, h in enumerate(together):
        if own[i] is None or h < 0 or graph.nodes[i].primitive in (CONST, INPUT):
            continue
        for literal in common[h]:
            found.setdefault(literal, []).append(i)
    return found


def _cost(graph: Graph, i: int) -> float:
    node = graph.nodes[i]
    if node.primitive is LOOP:
        loop = loop_of(node)
        return times(loop) * weight(loop.body)
    return node.primitive.cost


def _worth(graph: Graph) -> tuple[Literal, list[int]] | None:
    """The guard under which most can be saved, and what it guards."""
    if not any(node.primitive.name == "select" for node in graph.nodes):
        return None
    guarded = _guarded(graph)
    costs = [_cost(graph, i) for i in range(len(graph.nodes))]
    bounds = {k: sum([costs[i] for i in own]) for k, own in guarded.items()}
    rank = {literal: k for k, literal in enumerate(guarded)}
    users = _users(graph) if guarded else []
    best: Literal | None = None
    most = WORTH
    for literal in sorted(bounds, key=bounds.__getitem__, reverse=True):
        if bounds[literal] < most:
            break
        nodes = guarded[literal]
        groups = _groups(graph, _seen(graph, literal, nodes), nodes, users)
        merged = sum(len(group.outputs) for group in groups)
        saved = bounds[literal] - _MERGED * merged
        first = best is None or rank[literal] < rank[best]
        better = saved > most or (saved == most and first)
        if better and _closed(graph, groups, nodes):
            best, most = literal, saved
    return None if best is None else (best, guarded[best])


def _users(graph: Graph) -> list[list[int]]:
    """For every node those that read it and are needed."""
    users: list[list[int]] = [[] for _ in graph.nodes]
    for i in reach(graph.nodes, graph.outputs):
        for a in graph.nodes[i].operands:
            users[a].append(i)
    return users


def _closed(graph: Graph, groups: Sequence[_Group], nodes: Sequence[int]) -> bool:
    """Whether no array, and no part of a loop, would go from one branch to another."""
    home = {i: k for k, group in enumerate(groups) for i in group.nodes}
    for i in nodes:
        for a in graph.nodes[i].operands:
            near = graph.nodes[i].primitive is PART or graph.nodes[a].type.shape
            if near and home.get(a, home[i]) != home[i]:
                return False
    return True


@dataclass(frozen=True, slots=True)
class _Group:
    """Nodes of one branch, in order, and which of them are used outside."""

    nodes: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def _branched(
    graph: Graph, literal: Literal, guarded: Sequence[int], depth: int
) -> Graph:
    """The graph with what a literal guards in branches, inside others already."""
    inner = _seen(graph, literal, guarded)
    groups = _groups(graph, inner, guarded, _users(graph))
    home = {i: k for k, group in enumerate(groups) for i in group.nodes}
    builder = new_builder()
    index: dict[int, int] = {
        i: builder.input(graph.nodes[i].type) for i in graph.inputs
    }
    parts: dict[int, dict[int, int]] = {}
    condition, holds = literal

    def operands(i: int) -> tuple[int, ...]:
        if i in home:
            return (condition, *groups[home[i]].inputs)
        return graph.nodes[i].operands

    def copy(i: int) -> int:
        if i not in home:
            given = tuple([index[a] for a in graph.nodes[i].operands])
            return builder.copy(graph.nodes[i], given)
        k = home[i]
        if k not in parts:
            mask = index[condition]
            if not holds:
                primitive = registry.primitives["not"]
                mask = builder.apply(primitive, (mask,), builder.nodes[mask].type)
            body = _body(graph, groups[k], inner)
            given = [mask, *(index[a] for a in groups[k].inputs)]
            made = add_branch(builder, Branch(sink(body, depth + 1)), given)
            parts[k] = dict(zip(groups[k].outputs, made, strict=True))
        return parts[k].get(i, -1)

    in_order(graph.outputs, operands, index, copy)
    return builder.finish([index[i] for i in graph.outputs])


def _seen(
    graph: Graph, literal: Literal, guarded: Sequence[int]
) -> dict[int, tuple[int, ...]]:
    """The operands of guarded nodes; a select by the literal is the side it takes."""
    condition, holds = literal

    def side(a: int) -> int:
        node = graph.nodes[a]
        while node.primitive.name == "select" and node.operands[0] == condition:
            a = node.operands[1 if holds else 2]
            node = graph.nodes[a]
        return a

    return {i: tuple([side(a) for a in graph.nodes[i].operands]) for i in guarded}


def _groups(
    graph: Graph,
    inner: dict[int, tuple[int, ...]],
    guarded: Sequence[int],
    users: Sequence[Sequence[int]],
) -> list[_Group]:
    """Guarded nodes that need nothing from each other by way of what is outside."""
    depth: dict[int, int] = {}  # where it is not 0
    for i in range(guarded[0], guarded[-1] + 1):
        # What comes out of a branch cannot go back into the same.
        found = (
            max([depth.get(a, 0) for a in inner[i]], default=0)
            if i in inner
            else max(
                [depth.get(a, 0) + (a in inner) for a in graph.nodes[i].operands],
                default=0,
            )
        )
        if found:
            depth[i] = found
    order: dict[int, list[int]] = {}
    read_by: dict[int, list[int]] = {}
    for i in guarded:
        order.setdefault(depth.get(i, 0), []).append(i)
        for a in inner[i]:
            read_by.setdefault(a, []).append(i)
    groups = []
    for level in sorted(order):
        own = order[level]
        members = set(own)
        read = dict.fromkeys(a for i in own for a in inner[i] if a not in members)
        inputs = [a for a in read if graph.nodes[a].primitive is not CONST]
        outputs = [
            i
            for i in own
            if any(u not in members for u in read_by.get(i, ()))
            or any(u not in inner for u in users[i])
        ]
        groups.append(_Group(tuple(own), tuple(inputs), tuple(outputs)))
    return groups


def _body(graph: Graph, group: _Group, inner: dict[int, tuple[int, ...]]) -> Graph:
    """The graph of a branch; constants are its own."""
    builder = new_builder()
    index = {a: builder.input(graph.nodes[a].type) for a in group.inputs}
    for i in group.nodes:
        for a in inner[i]:
            if a not in index:
                index[a] = builder.copy(graph.nodes[a], ())
        index[i] = builder.copy(graph.nodes[i], tuple([index[a] for a in inner[i]]))
    return builder.finish([index[i] for i in group.outputs])
