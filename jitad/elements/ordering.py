"""In which order the nodes of a loop's body come where written arrays are memory.

A graph says that a written array is a new one, and what it was can still be read.
Where it is the same memory, all that reads an array comes before what writes it, and
what is written on one way of a branch is written where that way is taken only.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitad.ir.graph import Graph, Node, reach
from jitad.ir.loop import LOOP, PART, loop_of

from .library import UnfitError

# Conditions, and which of their sides has to be taken.
Ways = Sequence[tuple[int, bool]]


def is_write(node: Node) -> bool:
    """Whether a node is an array of which elements are written."""
    return node.primitive.name in ("scatter", "put")


def is_join(node: Node) -> bool:
    """Whether it is the array of the one way of a branch, or of the other."""
    return node.primitive.name == "select" and bool(node.type.shape)


class Order:
    """In which order the nodes of a body come, where written arrays are memory."""

    def __init__(self, graph: Graph) -> None:
        self.graph, nodes = graph, graph.nodes
        self.needed = sorted(reach(nodes, graph.outputs))
        self.users: dict[int, set[int]] = {i: set() for i in self.needed}
        for i in self.needed:
            for a in nodes[i].operands:
                self.users[a].add(i)
        # What comes before a node though it is no operand of it.
        self.before: dict[int, set[int]] = {}
        for i in self.needed:
            for v in self._changes(i):
                self.before.setdefault(i, set()).update(self._readers(v) - {i})

    def _changes(self, i: int) -> list[int]:
        """The arrays of which a node makes others, in their place."""
        node = self.graph.nodes[i]
        if is_write(node):
            return [node.operands[0]]
        if node.primitive is LOOP:
            loop = loop_of(node)
            starts = loop.split(node.operands).carried
            return [a for a in starts if self.graph.nodes[a].type.shape]
        return []

    def _readers(self, v: int) -> set[int]:
        """The nodes that read an array, or what was in its place on one way to it."""
        nodes = self.graph.nodes
        found = {
            i for i in self.users[v]
            if not (is_write(nodes[i]) and nodes[i].operands[0] == v)
            and not is_join(nodes[i]) and v not in self._changes(i)
        }  # fmt: skip
        if is_join(nodes[v]):
            for one in self._inside(v):
                found |= self._readers(one) if one != v else set()
        return found

    def _base(self, v: int) -> int | None:
        """The array in whose place one is."""
        node = self.graph.nodes[v]
        if is_write(node):
            return node.operands[0]
        if node.primitive is PART:
            (i,) = node.operands
            loop = loop_of(self.graph.nodes[i])
            starts = loop.split(self.graph.nodes[i].operands).carried
            return starts[node.index] if node.index < loop.carried else None
        if is_join(node):
            return self._root(v)
        return None

    def _line(self, v: int) -> list[int]:
        """An array, and those in whose place it is."""
        found = [v]
        while (base := self._base(found[-1])) is not None:
            found.append(base)
        return found

    def _root(self, v: int) -> int:
        """The array from which both ways of a join come."""
        _, a, b = self.graph.nodes[v].operands
        first = set(self._line(a))
        for x in self._line(b):
            if x in first:
                return x
        raise UnfitError("loop")

    def _side(self, v: int, root: int) -> list[int]:
        """The arrays on a way from a root to one, and those on ways inside it."""
        found: list[int] = []
        for x in self._line(v):
            if x == root:
                break
            found.append(x)
            if is_join(self.graph.nodes[x]):
                found += self._inside(x)
        return found

    def _inside(self, v: int) -> list[int]:
        """The arrays on both ways of a join."""
        _, a, b = self.graph.nodes[v].operands
        root = self._root(v)
        return [*self._side(a, root), *self._side(b, root)]

    def ways(
        self, outputs: Sequence[int], inner: Sequence[int]
    ) -> dict[int, list[tuple[int, bool]]]:
        """For every write the conditions under which it is done, and which side.

        Raises UnfitError where an array is written that another still needs.
        """
        nodes = self.graph.nodes
        found: dict[int, list[tuple[int, bool]]] = {}
        for v in self.needed:
            if not is_join(nodes[v]):
                continue
            condition, a, b = nodes[v].operands
            if nodes[condition].type.shape:
                raise UnfitError("loop")
            root = self._root(v)
            for x, side in ((a, True), (b, False)):
                for one in self._side(x, root):
                    if nodes[one].primitive is PART:
                        raise UnfitError("loop")
                    if is_write(nodes[one]):
                        found.setdefault(one, []).append((condition, side))
                        self.before.setdefault(one, set()).add(condition)
        reached: set[int] = set()
        for o, i in zip(outputs, inner, strict=True):
            if nodes[i].type.shape:
                reached.update(self._side(o, i))
        for i in self.needed:
            for v in self._changes(i):
                after = {i} if is_write(nodes[i]) else self._after(i, v)
                if reached.isdisjoint(after):
                    raise UnfitError("loop")
        self._need_apart(found)
        return found

    def _after(self, i: int, v: int) -> set[int]:
        """The parts of a loop that are in the place of an array."""
        return {p for p in self.users[i] if self._base(p) == v}

    def _need_apart(self, ways: dict[int, list[tuple[int, bool]]]) -> None:
        """Two writes in the place of one array must be on different ways."""
        changed: dict[int, list[int]] = {}
        for i in self.needed:
            for v in self._changes(i):
                changed.setdefault(v, []).append(i)
        for own in changed.values():
            for k, a in enumerate(own):
                for b in own[k + 1 :]:
                    other = {(c, not side) for c, side in ways.get(b, ())}
                    if other.isdisjoint(ways.get(a, ())):
                        raise UnfitError("loop")

    def sorted(self) -> list[int]:
        """All nodes that are needed; an order in which they can come."""
        nodes, done, open_ = self.graph.nodes, dict[int, None](), set[int]()
        waiting = self.needed[::-1]
        while waiting:
            i = waiting[-1]
            if i in done:
                waiting.pop()
                continue
            first = {*nodes[i].operands, *self.before.get(i, ())} - done.keys()
            if not first:
                done[waiting.pop()] = None
                open_.discard(i)
            elif i in open_:
                raise UnfitError("loop")
            else:
                open_.add(i)
                waiting += sorted(first, reverse=True)
        return list(done)
