"""Loops and calls as single steps of cross-country accumulation.

A loop carries tangents, as in forward mode; but the Jacobian of its body is accumulated
first, in whatever order is cheapest, and then multiplied by them: one product for each
seed, however long the body is (preaccumulation; Griewank and Walther, Evaluating
Derivatives, 2nd ed., chapter 10).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jitad.ir.call import CALL
from jitad.ir.graph import CONST, PACK, Graph, reach
from jitad.ir.loop import LOOP, loop_of
from jitad.ir.table import LOOKUP, named_by, way_of
from jitad.ir.tracer import Trace
from jitad.primitives.scalar.elementwise import GATES
from jitad.transforms.scalars import scalarize as sc

from . import products
from .eliminate import cross
from .entries import Entries
from .linearized import Derivatives, Edges, Linearized, at_places
from .loops import push
from .modes import choose
from .numbering import Scalars
from .rules import push_call
from .sweep import forward, reverse


def joined(line: Linearized, columns: Sequence[int]) -> Linearized:
    """Every loop or call as one step: edges from what it reads to what it gives."""
    builder, nodes = line.builder, line.builder.nodes
    edges: Edges = {}
    known = set(columns)
    needed = {*reach(nodes, [int(v) for o in line.outputs for v in np.ravel(o)])}

    def scalars(a: int) -> list[int]:
        if not nodes[a].type.shape:
            return [a]
        if nodes[a].primitive is PACK:
            return list(nodes[a].operands)
        return sc.elements(builder, a).ravel().tolist()

    for v in line.order:
        if v in line.edges:
            edges[v] = line.edges[v]
            known.add(v)
        if nodes[v].primitive is LOOKUP:
            edges[v] = _looked_up(builder, v, scalars(nodes[v].operands[0]), known)
            known.add(v)
        if nodes[v].primitive not in (LOOP, CALL):
            continue
        seeds = [
            {} if nodes[a].primitive is CONST else _ones(line, a, scalars(a), known)
            for a in nodes[v].operands
        ]
        loop = nodes[v].primitive is LOOP
        through = (
            push(builder, v, seeds, through_body)
            if loop
            else push_call(builder, v, seeds, forward, reverse)
        )
        chooses = loop and _chooses(loop_of(nodes[v]).body)
        for part, found in through.items():
            if part not in needed:  # an array may have many elements
                continue
            columns_of = {c: scalars(t) for c, t in found.items()}
            if chooses:
                columns_of = {
                    c: [products.unless_zero(builder, t) for t in own]
                    for c, own in columns_of.items()
                }
            for k, e in enumerate(scalars(part)):
                edges[e] = tuple([(c, own[k]) for c, own in columns_of.items()])
                known.add(e)
    return replace(line, edges=edges, order=tuple(edges))


def _chooses(body: Graph) -> bool:
    """Whether some iterations may not let a derivative through."""
    return any(
        node.primitive.name in ("select", *GATES)
        or (node.primitive is LOOP and _chooses(loop_of(node).body))
        for node in body.nodes
    )


def _looked_up(
    builder: Trace, v: int, scalars: Sequence[int], known: set[int]
) -> tuple[tuple[int, int], ...]:
    """Edges to a lookup from all that it may be of."""
    _, index = builder.nodes[v].operands
    found = []
    for k, place in enumerate(way_of(builder.nodes[v]).all()):
        if scalars[place] in known:
            number = builder.number(1.0, builder.nodes[v].type.dtype)
            there = named_by(builder, index, k)
            found.append((scalars[place], products.gated(builder, there, number)))
    return tuple(found)


def _ones(
    line: Linearized, a: int, scalars: Sequence[int], known: set[int]
) -> dict[int, int]:
    """For every scalar of an operand that matters, the derivative of the operand."""
    builder, type = line.builder, line.builder.nodes[a].type
    one = Scalars(builder).one
    wanted = [e for e in dict.fromkeys(scalars) if e in known]
    if not type.shape:
        return {e: one(e) for e in wanted}
    zero = builder.number(0.0, type.dtype) if wanted else 0
    return {
        e: builder.add(PACK, tuple([one(e) if s == e else zero for s in scalars]), type)
        for e in wanted
    }


def through_body(line: Linearized, seeds: Derivatives) -> Derivatives:
    """Tangents of a body's outputs: its Jacobian, accumulated first, times seeds."""
    builder = line.builder
    if at_places(line):
        return forward(line, seeds)
    rows = list(dict.fromkeys(int(o) for o in line.outputs))
    columns = list(seeds)
    tangents: Derivatives = {v: dict(own) for v, own in seeds.items()}
    local = _local(line, rows, columns)
    terms = [
        (builder.values[t] is None, r, c, seed)
        for r, c in local
        for seed, t in seeds[columns[c]].items()
        if rows[r] not in seeds
    ]
    # Sums begin with what is no product, so that each product is fused into them.
    for _, r, c, seed in sorted(terms):
        term = products.multiply(builder, local[r, c], seeds[columns[c]][seed])
        products.include(builder, tangents.setdefault(rows[r], {}), seed, term)
    return tangents


def _local(line: Linearized, rows: Sequence[int], columns: Sequence[int]) -> Entries:
    """The cheapest Jacobian of a body."""
    if line.loops:
        return cross(joined(line, columns), rows, columns, rows, search=False)
    return choose(line, rows, columns, rows).entries(line, rows, columns)
