"""Pushforward and pullback of a scalar graph.

pushforward   (x -> y)  ->  (x, x_dot -> y, y_dot)
pullback      (x -> y)  ->  (x, y_bar -> y, x_bar)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jitad.ir.graph import Graph, Type
from jitad.ir.table import add_scatter
from jitad.ir.tracer import Trace
from jitad.transforms.rewrite.tidy import tidy
from jitad.transforms.scalars import scalarize as sc

from .ends import Ends
from .linearized import Derivatives, Linearized
from .pieces import opened
from .products import include
from .sweep import forward, reverse


def pushforward(graph: Graph, wrt: Sequence[int]) -> Graph:
    """(x -> y)  ->  (x, x_dot -> y, y_dot), x_dot for the inputs in wrt.

    y_dot is there for floating-point outputs, in order.
    """
    line = opened(graph, wrt)
    builder = line.builder
    seeds: Derivatives = {}
    for k in wrt:
        dot = builder.input(builder.nodes[line.inputs[k]].type)
        if line.whole(k):
            seeds[line.inputs[k]] = {0: dot}
            continue
        dots = sc.elements(builder, dot)
        own = line.elements[k].ravel().tolist()
        pairs = zip(own, dots.ravel().tolist(), strict=True)
        seeds |= {x: {0: dot} for x, dot in pairs}
    tangents = pushed(line, seeds)
    outputs = values(line)
    for ids, type in zip(line.outputs, line.types, strict=True):
        if type.dtype.kind == "f":
            outputs.append(gather(builder, tangents, ids, type))
    return tidy(builder.finish(outputs))


def pullback(graph: Graph, wrt: Sequence[int]) -> Graph:
    """(x -> y)  ->  (x, y_bar -> y, x_bar), y_bar for the floating-point outputs."""
    line = opened(graph, wrt)
    builder = line.builder
    seeds: Derivatives = {}
    for ids, type in zip(line.outputs, line.types, strict=True):
        if type.dtype.kind != "f":
            continue
        bar = builder.input(type)
        if is_array(line, ids):
            seeds.setdefault(int(ids), {})[0] = bar
            continue
        bars = sc.elements(builder, bar)
        for v, bar in zip(ids.ravel().tolist(), bars.ravel().tolist(), strict=True):
            include(builder, seeds.setdefault(v, {}), 0, bar)
    cotangents = pulled(line, seeds)
    outputs = values(line)
    for k in wrt:
        type = builder.nodes[line.inputs[k]].type
        ids = np.asarray(line.inputs[k]) if line.whole(k) else line.elements[k]
        outputs.append(gather(builder, cotangents, ids, type))
    return tidy(builder.finish(outputs))


def pushed(line: Linearized, seeds: Derivatives) -> Derivatives:
    """The tangents that seeds make; those of outputs by their limits where NaN."""
    tangents = forward(line, seeds)
    rows = [int(v) for o in line.outputs for v in o.ravel() if v in tangents]
    ends = Ends(line, rows, line.slopes)
    found = {
        (r, 0): tangents[v][0] for r, v in enumerate(ends.rows) if 0 in tangents[v]
    }
    for (r, _), v in ends.settled(found).items():
        tangents[rows[r]] = {0: v}
    return tangents


def pulled(line: Linearized, seeds: Derivatives) -> Derivatives:
    """The cotangents that seeds make; those of inputs by their limits where NaN.

    Of several outputs they are sums of several terms, and stay as they are.  Of one the
    slopes that make it infinite get its own seed.
    """
    if len(seeds) != 1 or any(map(line.whole, range(len(line.inputs)))):
        return reverse(line, seeds)
    ((row, own),) = seeds.items()
    ends = Ends(line, [row], line.slopes)
    for k, v in enumerate(ends.slopes):
        seeds[v] = seeds.get(v, {}) | {k + 1: own[0]}
    cotangents = reverse(line, seeds)
    inputs = [int(x) for ids in line.elements for x in ids.ravel()]
    found = {(r, x): bar for x in inputs for r, bar in cotangents.get(x, {}).items()}
    for (_, x), bar in ends.settled(found).items():
        cotangents[x] = {0: bar}
    return cotangents


def values(line: Linearized) -> list[int]:
    """The packed outputs of the graph itself."""
    pairs = zip(line.values, line.types, strict=True)
    return [
        int(ids) if is_array(line, ids) else sc.pack(line.builder, ids, type)
        for ids, type in pairs
    ]


def is_array(line: Linearized, ids: np.ndarray) -> bool:
    """Whether an output is an array node by itself, and not scalars."""
    return not ids.shape and bool(line.builder.nodes[int(ids)].type.shape)


def gather(builder: Trace, found: Derivatives, ids: np.ndarray, type: Type) -> int:
    """Pack the derivatives of scalars ids, zero where there is none.

    ids may be an array node by itself.
    """
    if ids.shape != type.shape:
        own = found.get(int(ids), {}).get(0)
        return add_scatter(builder, type, [] if own is None else [own], [])
    zero = builder.number(0.0, type.dtype)
    flat = [
        builder.cast(found.get(v, {}).get(0, zero), type.dtype)
        for v in ids.ravel().tolist()
    ]
    return builder.add(sc.PACK, tuple(flat), type)
