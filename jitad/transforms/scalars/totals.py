"""Sums over points, carried by the loop that computes the points.

Comes: an array graph in which a loop writes a value for every point, elementwise
operations work on what it wrote, and `np.sum` adds it all up.  Goes: a graph with a
loop that adds each point to its carry, and writes nothing.  Start at `totals`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jitad.ir.graph import (
    ELEMENT,
    INPUT,
    PACK,
    Builder,
    Graph,
    Node,
    Static,
    Type,
    arguments,
    scalar,
)
from jitad.ir.interpret import evaluate_array_node, inline, rearranged
from jitad.ir.loop import INT, LOOP, PART, Loop, add_loop, loop_of
from jitad.ir.primitive import registry

from .whole import places


def totals(graph: Graph) -> Graph:
    """The same function; sums over what a loop writes are carried instead."""
    if not any(node.primitive is LOOP for node in graph.nodes):
        return graph
    sums = [i for i, node in enumerate(graph.nodes) if _over_points(graph, node)]
    if not sums:
        return graph
    builder = Builder()
    index = [-1] * len(graph.nodes)
    for i in graph.inputs:
        index[i] = builder.input(graph.nodes[i].type)
    points: dict[int, frozenset[int]] = {}
    for i, node in enumerate(graph.nodes):
        if node.primitive is INPUT:
            continue
        if i in sums:
            count = graph.nodes[node.operands[0]].type.shape[0]
            if count not in points:
                points[count] = _points(graph, count)
            if node.operands[0] in points[count]:
                made = _Point(graph, count, points[count])
                index[i] = made.total(builder, node, index)
                continue
        operands = tuple([index[a] for a in node.operands])
        index[i] = builder.add(
            node.primitive, operands, node.type, node.params, node.line
        )
    return builder.finish([index[i] for i in graph.outputs])


def _over_points(graph: Graph, node: Node) -> bool:
    """Whether a node is a sum over a leading axis."""
    return (
        node.primitive.name == "sum"
        and 0 in arguments(node)["axis"]
        and graph.nodes[node.operands[0]].type.size > 0
    )


def _points(graph: Graph, count: int) -> frozenset[int]:
    """The nodes that have a value of every point along their leading axis."""
    found: set[int] = set()
    for i, node in enumerate(graph.nodes):
        shape = node.type.shape
        if not shape or shape[0] != count:
            continue
        if node.primitive is PART:
            if _maps(graph.nodes[node.operands[0]], count):
                found.add(i)
        elif found.isdisjoint(node.operands):
            continue
        elif node.primitive.kind == "elementwise":
            given = [graph.nodes[a].type.shape for a in node.operands]
            if all(len(s) < len(shape) or s[0] == count for s in given):
                found.add(i)
        elif node.primitive.kind == "structure":
            if len(node.operands) == 1 and _picked(graph, node) is not None:
                found.add(i)
        elif node.primitive.name == "sum" and 0 not in arguments(node)["axis"]:
            found.add(i)
    return frozenset(found)


def _maps(node: Node, count: int) -> bool:
    """Whether a node is a loop over the points, which know nothing of each other."""
    if node.primitive is not LOOP:
        return False
    loop = loop_of(node)
    return (
        not loop.carried
        and loop.bound == count
        and not loop.counted
        and loop.head is None
        and all(way is None for way in loop.slices)
        and not loop.tables
        and not loop.summed
    )


def _picked(graph: Graph, node: Node) -> np.ndarray | None:
    """Which elements of its own a point keeps in a structure; None: not only those."""
    shape = graph.nodes[node.operands[0]].type.shape
    root = np.zeros(Type(node.type.dtype, shape).size, np.uint8)
    size = root.size // shape[0]
    view = evaluate_array_node(node, [root.reshape(shape)])
    if not isinstance(view, np.ndarray) or view.base is not root:
        return None
    if view.shape[:1] != shape[:1] or view.strides[0] != size:
        return None
    first = view.ctypes.data - root.ctypes.data
    own = first + places(view[0])
    return own if own.min() >= 0 and own.max() < size else None


@dataclass
class _Point:
    """The body of a loop over points as it grows, one point's value for each node.

    shared, slices  node outside -> input of the body
    """

    graph: Graph
    count: int
    points: frozenset[int]
    body: Builder = field(default_factory=Builder)
    values: dict[int, int] = field(default_factory=dict)
    shared: dict[int, int] = field(default_factory=dict)
    slices: dict[int, int] = field(default_factory=dict)
    loops: dict[int, list[int]] = field(default_factory=dict)

    def total(self, builder: Builder, node: Node, index: Sequence[int]) -> int:
        """The sum of a node over all points, as a part of a loop in builder."""
        start = self.body.input(scalar(INT))
        carry = self.body.input(node.type)
        last = node.operands[0]
        for i in self._needed(last):
            self.values[i] = self._value(i, start)
        own = self._without_points(node, self.values[last])
        made = self.body.add(
            registry.primitives["add"], (carry, own), node.type, (), node.line
        )
        given = [start, carry, *self.shared.values(), *self.slices.values()]
        place = {i: k for k, i in enumerate(given)}
        graph = self.body.finish([made])
        types = [self.body.nodes[i].type for i in given]
        loop = Loop(
            body=rearranged(graph, types, [place[i] for i in self.body.inputs]),
            carried=1,
            shared=len(self.shared),
            slices=(None,) * len(self.slices),
            bound=self.count,
        )
        zero = np.zeros(node.type.shape, node.type.dtype)
        outside = [index[i] for i in (*self.shared, *self.slices)]
        operands = [builder.const(zero if zero.ndim else zero[()]), *outside]
        return add_loop(builder, loop, operands, node.line)[0]

    def _needed(self, last: int) -> list[int]:
        """The nodes with a value of every point that one needs, in order."""
        wanted, stack = set(), [last]
        while stack:
            i = stack.pop()
            if i not in wanted:
                wanted.add(i)
                operands = self.graph.nodes[i].operands
                stack += [a for a in operands if a in self.points]
        return sorted(wanted)

    def _value(self, i: int, start: int) -> int:
        node = self.graph.nodes[i]
        if node.primitive is PART:
            loop = node.operands[0]
            if loop not in self.loops:
                self.loops[loop] = self._inside(self.graph.nodes[loop], start)
            return self.loops[loop][node.index]
        if node.primitive.kind == "structure":
            return self._pick(node)
        if node.primitive.name == "sum":
            return self._without_points(node, self.values[node.operands[0]])
        operands = tuple([self._operand(a, node.type) for a in node.operands])
        type = Type(node.type.dtype, node.type.shape[1:])
        return self.body.add(node.primitive, operands, type, node.params, node.line)

    def _operand(self, a: int, type: Type) -> int:
        """What a point takes of an operand: its own value, its slice, or all of it."""
        if a in self.points and len(self.graph.nodes[a].type.shape) == len(type.shape):
            return self.values[a]
        if len(self.graph.nodes[a].type.shape) == len(type.shape):
            return self._slice(a)
        return self._same(a)

    def _slice(self, a: int) -> int:
        if a not in self.slices:
            dtype, shape = self.graph.nodes[a].type
            self.slices[a] = self.body.input(Type(dtype, shape[1:]))
        return self.slices[a]

    def _same(self, a: int) -> int:
        if a not in self.shared:
            self.shared[a] = self.body.input(self.graph.nodes[a].type)
        return self.shared[a]

    def _inside(self, node: Node, start: int) -> list[int]:
        """What a loop writes at a point."""
        loop = loop_of(node)
        _, _, shared, arrays, _ = loop.split(node.operands)
        given = [start, *map(self._same, shared), *map(self._slice, arrays)]
        return inline(self.body, loop.body, given)

    def _pick(self, node: Node) -> int:
        own = _picked(self.graph, node)
        assert own is not None
        array, kind = self.values[node.operands[0]], scalar(node.type.dtype)
        picked = [
            self.body.add(ELEMENT, (array,), kind, (("index", k),))
            for k in own.ravel().tolist()
        ]
        type = Type(node.type.dtype, own.shape)
        return picked[0] if not own.shape else self.body.add(PACK, tuple(picked), type)

    def _without_points(self, node: Node, value: int) -> int:
        """A sum along the axes that are a point's own."""
        axes = tuple([k - 1 for k in arguments(node)["axis"] if k])
        if not axes:
            return value
        dtype, shape = self.body.nodes[value].type
        left = tuple([n for k, n in enumerate(shape) if k not in axes])
        params: tuple[tuple[str, Any], ...] = (("axis", Static(axes)),)
        return self.body.add(
            node.primitive, (value,), Type(dtype, left), params, node.line
        )
