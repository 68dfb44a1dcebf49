"""Loops that only add up, so written that everybody sees it.

What a body adds under a condition, or in a loop of its own, becomes a term that does
not look at what is carried: `if c: t += x` adds x or nothing, and an inner loop that
adds to t begins from nothing, and its sum is added to t.  Then iterations do not depend
on each other (see `Loop.adds`): reverse mode records none, and they may run in lanes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from jitad.ir.graph import INPUT, Node
from jitad.ir.loop import LOOP, PART, Loop, add_loop, loop_of
from jitad.ir.primitive import registry

from .templates import new_builder


class _Link(NamedTuple):
    """A value that is another with a term added to it, or subtracted from it.

    depth  how many terms lead from what is carried to it
    """

    before: int
    term: int
    negated: bool
    depth: int


def adding(loop: Loop) -> Loop:
    """A loop over scalars, or the same one as sums of terms, if it only adds."""
    if not loop.carried or loop.head is not None or loop.adds:
        return loop
    found = _Sums(loop).loop()
    return found if found is not None and found.adds else loop


class _Sums:
    """A body as it is written anew: its nodes, and where they are then.

    links  the values that carried ones become by adding to them; None for those
    """

    def __init__(self, old: Loop) -> None:
        self.old, self.nodes = old, old.body.nodes
        self.builder = builder = new_builder()
        self.index = [-1] * len(self.nodes)
        for i in old.body.inputs:
            self.index[i] = builder.input(self.nodes[i].type)
        self.links: dict[int, _Link | None] = dict.fromkeys(old.inputs.carried)
        self.loops: dict[int, list[int] | None] = {}
        for i, node in enumerate(self.nodes):
            if node.primitive is INPUT:
                continue
            operands = tuple([self.index[a] for a in node.operands])
            self.index[i] = builder.copy(node, operands)
            link = self._link(node) if i in old.depending else None
            if link is not None:
                self.links[i] = link

    def loop(self) -> Loop | None:
        """The loop that adds; None where something else is done to what it carries."""
        old = self.old
        made = [self.index[o] for o in old.body.outputs]
        for k, start in enumerate(old.inputs.carried):
            last = old.outputs.carried[k]
            if last not in self.links:
                return None
            terms = list(self._terms(last, start))
            if terms and self._start(last) != start:
                return None
            made[k] = self._total(self.index[start], terms)
        return replace(old, body=self.builder.finish(made))

    def _link(self, node: Node) -> _Link | None:
        """How a value that depends on what is carried comes of it by adding."""
        before = [a for a in node.operands if a in self.old.depending]
        name, depending = node.primitive.name, self.old.depending
        if name in ("add", "sub") and len(before) == 1 and before[0] in self.links:
            side = node.operands.index(before[0])
            if name == "sub" and side:
                return None
            return self._behind(before[0], self.index[node.operands[1 - side]], name)
        if name == "select" and node.operands[0] not in depending:
            return self._either(node)
        if node.primitive is PART:
            return self._inner(node.operands[0], node.index)
        return None

    def _behind(self, before: int, term: int, word: str) -> _Link:
        return _Link(before, term, word == "sub", self._depth(before) + 1)

    def _depth(self, v: int) -> int:
        link = self.links[v]
        return link.depth if link else 0

    def _either(self, node: Node) -> _Link | None:
        """One value or another: what leads to either from where their ways part."""
        condition, a, b = node.operands
        if a not in self.links or b not in self.links:
            return None
        common = self._common(a, b)
        if common is None:
            return None
        zero = self._nothing(a)
        sums = [self._total(zero, list(self._terms(v, common))) for v in (a, b)]
        select = registry.primitives["select"]
        made = self.builder.apply(select, (self.index[condition], *sums), node.type)
        return self._behind(common, made, "add")

    def _common(self, a: int, b: int) -> int | None:
        """The last value that both come of."""
        while a != b:
            if self._depth(a) < self._depth(b):
                a, b = b, a
            link = self.links[a]
            if link is None:
                return None
            a = link.before
        return a

    def _start(self, v: int) -> int:
        while (link := self.links[v]) is not None:
            v = link.before
        return v

    def _terms(self, v: int, start: int) -> Iterator[tuple[int, bool]]:
        """The terms on the way from v back to where it comes of, the last one first."""
        while v != start and (link := self.links[v]) is not None:
            yield link.term, link.negated
            v = link.before

    def _inner(self, i: int, k: int) -> _Link | None:
        """The sum of an inner loop, that begins with a sum of this one."""
        node = self.nodes[i]
        if node.primitive is not LOOP:
            return None
        loop = loop_of(node)
        split = loop.split(node.operands)
        if k >= loop.carried or loop.head is not None or loop.added(k) is None:
            return None
        if split.carried[k] not in self.links:
            return None
        if i not in self.loops:
            self.loops[i] = self._begun_from_nothing(i)
        parts = self.loops[i]
        return None if parts is None else self._behind(split.carried[k], parts[k], "")

    def _begun_from_nothing(self, i: int) -> list[int] | None:
        """The parts of an inner loop whose sums begin from nothing."""
        node, depending = self.nodes[i], self.old.depending
        loop = loop_of(node)
        split = loop.split(node.operands)
        operands = [self.index[a] for a in node.operands]
        first = len(split.counts)
        for k, start in enumerate(split.carried):
            if start in depending and loop.added(k) is not None:
                operands[first + k] = self._nothing(start)
            elif start in depending:
                return None
        rest = node.operands[first + loop.carried :]
        if not depending.isdisjoint((*split.counts, *rest)):
            return None
        return add_loop(self.builder, loop, operands, node.line)

    def _nothing(self, like: int) -> int:
        """A zero that changes no bit of what it is added to."""
        dtype = self.nodes[like].type.dtype
        zero = -0.0 if dtype.kind == "f" else 0
        return self.builder.number(zero, dtype)

    def _total(self, start: int, terms: list[tuple[int, bool]]) -> int:
        """A value with terms added to it, of which the first is the last one here."""
        type = self.builder.nodes[start].type
        for v, negated in reversed(terms):
            word = registry.primitives["sub" if negated else "add"]
            start = self.builder.apply(word, (start, v), type)
        return start
