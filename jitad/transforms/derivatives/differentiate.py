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

from .linearized import Derivatives, Linearized
from .pieces import opened
from .products import include
from .sweep import forward, reverse


def pushforward(graph: Graph, wrt: Sequence[int]) -> Graph:
    """(x -> y)  ->  (x, x_dot -> y, y_dot), x_dot for the inputs in wrt.

    y_dot is there for floating-point outputs, in order.
    """
    line = opened(graph, wrt)
    target = line.target
    seeds: Derivatives = {}
    for k in wrt:
        dot = target.input(target.nodes[line.inputs[k]].type)
        if line.whole(k):
            seeds[line.inputs[k]] = {0: dot}
            continue
        dots = sc.elements(target, dot)
        own = line.elements[k].ravel().tolist()
        pairs = zip(own, dots.ravel().tolist(), strict=True)
        seeds |= {x: {0: dot} for x, dot in pairs}
    tangents = forward(line, seeds)
    outputs = values(line)
    for ids, type in zip(line.outputs, line.types, strict=True):
        if type.dtype.kind == "f":
            outputs.append(gather(target, tangents, ids, type))
    return tidy(target.finish(outputs))


def pullback(graph: Graph, wrt: Sequence[int]) -> Graph:
    """(x -> y)  ->  (x, y_bar -> y, x_bar), y_bar for the floating-point outputs."""
    line = opened(graph, wrt)
    target = line.target
    seeds: Derivatives = {}
    for ids, type in zip(line.outputs, line.types, strict=True):
        if type.dtype.kind != "f":
            continue
        bar = target.input(type)
        if is_array(line, ids):
            seeds.setdefault(int(ids), {})[0] = bar
            continue
        bars = sc.elements(target, bar)
        for v, bar in zip(ids.ravel().tolist(), bars.ravel().tolist(), strict=True):
            include(target, seeds.setdefault(v, {}), 0, bar)
    cotangents = reverse(line, seeds)
    outputs = values(line)
    for k in wrt:
        type = target.nodes[line.inputs[k]].type
        ids = np.asarray(line.inputs[k]) if line.whole(k) else line.elements[k]
        outputs.append(gather(target, cotangents, ids, type))
    return tidy(target.finish(outputs))


def values(line: Linearized) -> list[int]:
    """The packed outputs of the graph itself."""
    pairs = zip(line.values, line.types, strict=True)
    return [
        int(ids) if is_array(line, ids) else sc.pack(line.target, ids, type)
        for ids, type in pairs
    ]


def is_array(line: Linearized, ids: np.ndarray) -> bool:
    """Whether an output is an array node by itself, and not scalars."""
    return not ids.shape and bool(line.target.nodes[int(ids)].type.shape)


def gather(target: Trace, found: Derivatives, ids: np.ndarray, type: Type) -> int:
    """Pack the derivatives of scalars ids, zero where there is none.

    ids may be an array node by itself.
    """
    if ids.shape != type.shape:
        own = found.get(int(ids), {}).get(0)
        return add_scatter(target, type, [] if own is None else [own], [])
    zero = target.number(0.0, type.dtype)
    flat = [
        target.cast(found.get(v, {}).get(0, zero), type.dtype)
        for v in ids.ravel().tolist()
    ]
    return target.add(sc.PACK, tuple(flat), type)
