"""Loops inside one another, as facts: what `explain` says of a program's loops.

Start at `nests`, which reads them from a graph as it is lowered, and `sweeps`, which
finds in them what reverse mode keeps and what it runs again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from jitad.ir.branch import BRANCH, branch_of
from jitad.ir.graph import ELEMENT, Graph, Node, reach
from jitad.ir.loop import LOOP, PART, loop_of
from jitad.transforms.rewrite.tidy import lines_of


@dataclass(frozen=True, slots=True)
class Nest:
    """A loop and those in it.

    lines      of the user, where it comes from
    steps      how many, at most
    until      what ends it before: "count", the point's own number; "condition"
    backwards  from the last step to the first
    carried    values that a step hands to the next
    stored     values that every step leaves for what comes after the loop
    read_back  for every line that has reverse sweeps, how many bytes of those each of
               them reads a step
    reads      whether it is such a sweep: it reads what a loop of its line has stored
               in the other direction
    """

    lines: tuple[str, ...]
    steps: int
    until: Literal["", "count", "condition"]
    backwards: bool
    carried: int
    stored: int
    read_back: Mapping[str, Sequence[int]]
    reads: bool
    inside: tuple[Nest, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """What reverse mode makes of the loops of a line.

    lengths   of its loops, each as lengths inside one another: ((16, 18), (12,)) is a
              loop of 16 segments of 18 steps, and then 12 steps
    most      whether points may take fewer
    kept      steps whose carries there is room for; a loop in a loop uses it anew
    bytes     of these carries, for a lane
    repeated  steps that are run once more
    """

    line: str
    lengths: tuple[tuple[int, ...], ...]
    most: bool
    kept: int
    bytes: int
    repeated: int

    @property
    def steps(self) -> int:
        """How many there are."""
        return _total(self.lengths)


def nests(graph: Graph) -> tuple[Nest, ...]:
    """The loops of a scalar graph, those in its branches included."""
    used = reach(graph.nodes, graph.outputs)
    loops = [i for i in used if graph.nodes[i].primitive is LOOP]
    back = {i: _read_back(graph, i) for i in loops}
    made: list[Nest] = []
    for i in used:
        node = graph.nodes[i]
        if node.primitive is BRANCH:
            made += nests(branch_of(node).body)
        elif node.primitive is LOOP:
            read: dict[str, list[int]] = {}
            for sweep, parts in back.items():
                own = [graph.nodes[p] for p in parts if graph.nodes[p].operands[0] == i]
                size = sum(part.type.dtype.itemsize for part in own)
                for line in lines_of(graph.nodes[sweep]) if own else ():
                    read.setdefault(line, []).append(size)
            made.append(_nest(node, read, bool(back[i])))
    return tuple(made)


def _nest(node: Node, read_back: Mapping[str, Sequence[int]], reads: bool) -> Nest:
    loop = loop_of(node)
    return Nest(
        lines=lines_of(node),
        steps=loop.bound,
        until="condition" if loop.head else "count" if loop.counted else "",
        backwards=loop.backwards,
        carried=loop.carried,
        stored=loop.written,
        read_back=read_back,
        reads=reads,
        inside=nests(loop.body),
    )


def _read_back(graph: Graph, i: int) -> set[int]:
    """The parts that loop i reads of loops of its line that run the other way."""
    nodes = graph.nodes
    loop, lines = loop_of(nodes[i]), {*lines_of(nodes[i])}
    found = set()
    for a in nodes[i].operands:
        # What a single step has stored is handed on as a scalar.
        a = nodes[a].operands[0] if nodes[a].primitive is ELEMENT else a
        if nodes[a].primitive is not PART or not nodes[a].type.shape:
            continue
        other = nodes[nodes[a].operands[0]]
        opposite = loop_of(other).backwards != loop.backwards
        if opposite and lines & {*lines_of(other)}:
            found.add(a)
    return found


# -- reverse sweeps ------------------------------------------------------------


def sweeps(found: Sequence[Nest]) -> Iterator[Sweep]:
    """The reverse sweeps among loops; none of a line that is swept more than once."""
    every = [*_flat(found)]
    swept = {line for n, _ in every if n.reads for line in n.lines}
    for line in dict.fromkeys(line for n, _ in every for line in n.lines):
        if line not in swept:
            continue
        own = [(n, around) for n, around in every if line in n.lines]
        # A loop over segments counts as what it holds.
        steps = [
            (n, around)
            for n, around in own
            if not any(line in m.lines for m, _ in _flat(n.inside))
        ]
        ways = {n.backwards for n, _ in own if n.reads}
        others = {n.backwards for n, _ in own if not n.reads}
        if len(ways) > 1 or ways & others:
            continue
        lengths = [_lengths(n, around) for n, around in steps if n.reads]
        lengths.sort(key=math.prod, reverse=True)
        run = [_lengths(n, around) for n, around in steps if not n.reads]
        kept = [n for n, _ in own if line in n.read_back]
        if any(len(n.read_back[line]) > 1 for n in kept) or _total(run) < _total(
            lengths
        ):
            continue
        yield Sweep(
            line=line,
            lengths=tuple(lengths),
            most=any(m.until for n, around in own for m in (n, *around)),
            kept=sum(n.steps for n in kept),
            bytes=sum(n.steps * n.read_back[line][0] for n in kept),
            repeated=_total(run) - _total(lengths),
        )


def _total(lengths: Iterable[tuple[int, ...]]) -> int:
    return sum(map(math.prod, lengths))


def _lengths(nest: Nest, around: Sequence[Nest]) -> tuple[int, ...]:
    return (*(n.steps for n in around), nest.steps)


def _flat(
    found: Sequence[Nest], around: tuple[Nest, ...] = ()
) -> Iterator[tuple[Nest, tuple[Nest, ...]]]:
    """All loops, each with those around it."""
    for nest in found:
        yield nest, around
        yield from _flat(nest.inside, (*around, nest))
