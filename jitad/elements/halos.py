"""Sums of one array at several places: read from a copy of it that lies amid zeros.

The adjoint of a stencil adds one array, times constants, at places that differ by a few
elements.  Where all of them meet that is one expression; each face, edge and corner
around has another.  Of a copy amid zeros, whose rows are as long as those of the sum,
the sum is one expression everywhere: what goes beyond the end of a row comes to the
zeros where the next one begins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import starmap

import numpy as np

from jitad.ir.graph import Graph, prune
from jitad.ir.interpret import interpret

from .cells import Added, Applied, Expression, Result, Source
from .flow import Flow, Map, Placed, unit_box
from .windows import Shape, c_steps, full

# More weighted operations than this are not done again for each of the places.
_CHEAP = 4.0

# What is done to elements of an array: graphs of one result, one of the other's.
Chain = tuple[Graph, ...]


@dataclass(frozen=True, slots=True)
class Halo:
    """Terms of a sum that are one array at several places.

    terms   which of the terms
    value   the array
    low     the box of the array in its copy; a place that is lower reads further ahead
    high
    starts  where in the copy each place begins
    chains  what is done to the elements at each place, the last first
    shape   of the sum
    """

    terms: tuple[int, ...]
    value: int
    low: Shape
    high: Shape
    starts: tuple[int, ...]
    chains: tuple[Chain, ...]
    shape: Shape

    @property
    def copied(self) -> Shape:
        """The shape of the copy: that of the sum, and rows for what is read ahead."""
        first, *others = self.shape
        return (first - -max(self.starts) // math.prod(others), *others)

    def sum(self, copy: int, dtype: np.dtype) -> Expression:
        """The sum of the terms, of a stored copy."""
        terms = []
        for start, chain in zip(self.starts, self.chains, strict=True):
            found: Expression = Source(copy, dtype, start, c_steps(self.shape))
            for graph in reversed(chain):
                found = Result(Applied(graph, [found]), 0)
            terms.append(found)
        return Added(terms)


def halos(flow: Flow, statement: Placed, outputs: dict[int, int]) -> list[Halo]:
    """The terms of a sum that are of one array each, two or more.

    outputs  which of the results of its statement each value is
    """
    groups: dict[int, list[tuple[int, Chain, Shape]]] = {}
    shape = statement.type.shape
    for n, term in enumerate(statement.terms):
        box, own = unit_box(term.window, shape), flow.types[term.operand].shape
        aligned = bool(shape) and term.window.steps == c_steps(shape)
        if box is None or not aligned or term.box != full(own):
            continue
        value, chain = _root(flow, term.operand, outputs)
        groups.setdefault(value, []).append((n, chain, box.low))
    several = {v: own for v, own in groups.items() if len(own) > 1}
    return list(
        starmap(
            lambda v, own: _halo(v, own, shape, flow.types[v].shape), several.items()
        )
    )


def _halo(
    value: int, own: Sequence[tuple[int, Chain, Shape]], shape: Shape, size: Shape
) -> Halo:
    terms, chains, lows = zip(*own, strict=True)
    most = tuple([max(along) for along in zip(*lows, strict=True)])
    high = tuple([a + n for a, n in zip(most, size, strict=True)])
    steps = c_steps(shape)
    starts = [
        sum((a - b) * step for a, b, step in zip(most, low, steps, strict=True))
        for low in lows
    ]
    return Halo(terms, value, most, high, tuple(starts), chains, shape)


def _root(flow: Flow, value: int, outputs: dict[int, int]) -> tuple[int, Chain]:
    """What a value is elementwise of, where zeros stay zeros; and how."""
    chain: list[Graph] = []
    cost = 0.0
    while isinstance(made := flow.maker(value), Map) and len(made.operands) == 1:
        (before,), graph = made.operands, made.graph
        graph = prune(graph.nodes, graph.inputs, (graph.outputs[outputs[value]],))
        cost += sum(node.primitive.cost for node in graph.nodes)
        alike = flow.types[before] == flow.types[value]
        if not alike or cost > _CHEAP or not _keeps_zero(graph):
            break
        chain.append(flow.same(graph))
        value = before
    return value, tuple(chain)


def _keeps_zero(graph: Graph) -> bool:
    """Whether the result of a graph of one element is zero at zero."""
    (source,) = graph.inputs
    (found,) = interpret(graph, [np.zeros((), graph.nodes[source].type.dtype)])
    return not found
