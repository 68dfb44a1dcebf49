"""What rounding can do to the results of a graph, found by experiment.

Every operation's result is moved by some units of its last place, at random, and the
graph evaluated again (Parker 1997, Monte Carlo Arithmetic).  So large a spread is no
error, and no smaller number need be known about the result: no absolute floor.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitad import tree
from jitad.calls.function import Function
from jitad.ir.graph import FLOATS, Builder, Graph, Node
from jitad.ir.interpret import interpret
from jitad.ir.primitive import registry

_SAMPLES = 12
# What picks or turns operands does not round, and must not be told from them.
_EXACT = {
    "abs", "neg", "copysign", "select", "gate", "factor_gate", "maximum", "minimum",
    "fmax", "fmin", "max_of", "min_of", "hold", "stop_gradient", "undefined_where",
}  # fmt: skip
# Functions on whole vectors are accurate to this number of units of the last place.
_ULPS = 4


def spread(function: Function, *args: Any) -> list[np.ndarray]:
    """For every number in function's results how far rounding moves it, at most.

    Infinite where some samples are finite and others not.
    """
    leaves = [np.asarray(x) for x in tree.flatten((args, {}))[0]]
    graph = function.prepare(*args).derived.graph
    moved = loosened(graph)
    rng = np.random.default_rng(0)
    factors = []
    for type in moved.input_types[len(leaves) :]:
        sign = rng.uniform(-1, 1, _SAMPLES)
        unit = np.finfo(type.dtype).eps
        factors.append((1 + _ULPS * unit * sign).astype(type.dtype))
    exact = interpret(graph, leaves)
    samples = interpret(moved, [*[x[None] for x in leaves], *factors], batch=1)
    return [_farthest(s, e) for s, e in zip(samples, exact, strict=True)]


def loosened(graph: Graph) -> Graph:
    """The same graph with a factor, a new input, for every operation on floats."""
    builder = Builder()
    multiply = registry.primitives["mul"]

    def change(i: int, operands: tuple[int, ...]) -> int | None:
        node = graph.nodes[i]
        if not _rounds(graph, node) or node.type.dtype not in FLOATS:
            return None
        factors = builder.copy(node, operands), builder.input(node.type)
        return builder.add(multiply, factors, node.type)

    return graph.rewritten(builder, change)


def _rounds(graph: Graph, node: Node) -> bool:
    primitive = node.primitive
    if (
        primitive.name == "cast"
        and graph.nodes[node.operands[0]].type.dtype.kind != "f"
    ):
        return False
    return primitive.kind == "elementwise" and primitive.name not in _EXACT


def _farthest(samples: np.ndarray, exact: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        distance = np.abs(samples - exact)
    alike = (samples == exact) | (np.isnan(samples) & np.isnan(exact))
    distance = np.where(np.isnan(distance), np.inf, distance)
    return np.max(np.where(alike, 0.0, distance), axis=0)
