"""Derivatives of one element, as graphs of its scalars: with all that is known there.

Kinks, poles and gates are those of the schedule over points, whose rules make these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from jitad.ir.graph import Graph, Type, prune, reach, scalar
from jitad.ir.tracer import Trace
from jitad.primitives.scalar.elementwise import GATES
from jitad.transforms.derivatives.differentiate import gather, pulled, pushed
from jitad.transforms.derivatives.linearized import Derivatives
from jitad.transforms.derivatives.pieces import opened
from jitad.transforms.derivatives.presence import without_gates
from jitad.transforms.derivatives.products import include, unless_zero
from jitad.transforms.rewrite.tidy import tidy
from jitad.transforms.scalars.scalarize import elements


@dataclass(frozen=True, slots=True)
class Element:
    """Derivatives of one element, and in which of them a zero may be a closed gate."""

    graph: Graph
    gaps: tuple[bool, ...]


def pullback(
    graph: Graph, wrt: Sequence[int], asked: Sequence[int], gaps: Sequence[bool]
) -> Element:
    """(x -> y)  ->  (x, ȳ -> x̄) of one element: x̄ for wrt, ȳ for asked."""
    line = opened(_only(graph, asked), wrt)
    builder, seeds = line.builder, {}
    conditions: dict[int, int] = {}
    for ids, type, gap in zip(line.outputs, line.types, gaps, strict=True):
        bar = _seed(builder, type, gap, conditions)
        include(builder, seeds.setdefault(int(ids), {}), 0, bar)
    found = pulled(line, seeds)
    own = [line.elements[k] for k in wrt]
    types = [builder.nodes[line.inputs[k]].type for k in wrt]
    return _gathered(builder, found, own, types, conditions)


def pushforward(
    graph: Graph, wrt: Sequence[int], asked: Sequence[int], gaps: Sequence[bool]
) -> Element:
    """(x -> y)  ->  (x, ẋ -> ẏ) of one element: ẋ for wrt, ẏ for asked."""
    line = opened(_only(graph, asked), wrt)
    builder, seeds = line.builder, {}
    conditions: dict[int, int] = {}
    for k, gap in zip(wrt, gaps, strict=True):
        dot = _seed(builder, builder.nodes[line.inputs[k]].type, gap, conditions)
        seeds[int(line.elements[k])] = {0: dot}
    found = pushed(line, seeds)
    return _gathered(builder, found, line.outputs, line.types, conditions)


def _seed(builder: Trace, type: Type, gap: bool, conditions: dict[int, int]) -> int:
    """A derivative that comes from another statement.

    conditions  gets the one under which it is there, if it is not always
    """
    made = int(elements(builder, builder.input(scalar(type.dtype))))
    if not gap:
        return made
    seed = unless_zero(builder, made)
    conditions[made] = builder.nodes[seed].operands[0]
    return seed


def _gathered(
    builder: Trace,
    found: Derivatives,
    own: Sequence[np.ndarray],
    types: Sequence[Type],
    conditions: dict[int, int],
) -> Element:
    """The derivatives of some scalars as results; conditions of what seeds are there.

    What is a multiple of a zero is zero without a gate.
    """
    nodes = [found.get(int(ids), {}).get(0) for ids in own]
    gaps = [v is None or builder.nodes[v].primitive.name in GATES for v in nodes]
    outputs = [
        gather(builder, found, ids, t) for ids, t in zip(own, types, strict=True)
    ]
    made = without_gates(builder, conditions, builder.inputs, outputs)
    return Element(tidy(made), tuple(gaps))


def _only(graph: Graph, outputs: Sequence[int]) -> Graph:
    """A graph with some of its outputs; its inputs stay."""
    return replace(graph, outputs=tuple([graph.outputs[k] for k in outputs]))


def needing_less(graph: Graph) -> tuple[Graph, list[int]]:
    """A graph without inputs that it does not need; those that are left."""
    used = set(reach(graph.nodes, graph.outputs))
    kept = [k for k, i in enumerate(graph.inputs) if i in used]
    graph = prune(graph.nodes, [graph.inputs[k] for k in kept], graph.outputs)
    return graph, kept
