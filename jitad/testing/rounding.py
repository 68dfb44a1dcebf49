"""What rounding can do to the results of a graph, found by experiment.

Every operation's result is moved by some units of its last place, at random, and the
graph evaluated again (Parker 1997, Monte Carlo Arithmetic).  So large a spread is no
error, and no smaller number need be known about the result: no absolute floor.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import Any

import numpy as np

from jitad import tree
from jitad.calls.function import Function
from jitad.ir.graph import FLOATS, Builder, Graph, Node, prune, reach
from jitad.ir.interpret import interpret, rearranged
from jitad.ir.loop import LOOP, Loop, loop_of
from jitad.ir.primitive import registry

_SAMPLES = 12
# What picks or turns operands does not round, and must not be told from them.
_EXACT = {
    "abs", "neg", "copysign", "select", "gate", "factor_gate", "maximum", "minimum",
    "fmax", "fmin", "max_of", "min_of", "hold", "stop_gradient", "undefined_where",
}  # fmt: skip
# Functions on whole vectors are accurate to this number of units of the last place.
_ULPS = 4


def spread(function: Function, *args: Any, loops: bool = True) -> list[np.ndarray]:
    """For every number in function's results how far rounding moves it, at most.

    loops  whether what loops repeat is moved, too
    Infinite where some samples are finite and others not.
    """
    leaves = [np.asarray(x) for x in tree.flatten((args, {}))[0]]
    graph = function.prepare(*args).derived.graph
    moved = loosened(graph, loops=loops)
    rng = np.random.default_rng(0)
    factors = []
    for type in moved.input_types[len(leaves) :]:
        sign = rng.uniform(-1, 1, _SAMPLES)
        unit = np.finfo(type.dtype).eps
        factors.append((1 + _ULPS * unit * sign).astype(type.dtype))
    exact = interpret(graph, leaves)
    samples = interpret(moved, [*[x[None] for x in leaves], *factors], batch=1)
    return [_farthest(s, e) for s, e in zip(samples, exact, strict=True)]


def loosened(
    graph: Graph, exact: Set[int] = frozenset(), *, loops: bool = True
) -> Graph:
    """The same graph with a factor, a new input, for every operation on floats.

    An operation in a loop has the same factor in all iterations.
    exact  nodes that get none
    """
    builder = Builder()
    multiply = registry.primitives["mul"]

    def change(i: int, operands: tuple[int, ...]) -> int | None:
        node = graph.nodes[i]
        if node.primitive is LOOP and loops:
            return _loosened_loop(builder, node, operands)
        if i in exact or not _rounds(graph, node) or node.type.dtype not in FLOATS:
            return None
        factors = builder.copy(node, operands), builder.input(node.type)
        return builder.add(multiply, factors, node.type)

    return graph.rewritten(builder, change)


def _loosened_loop(builder: Builder, node: Node, operands: tuple[int, ...]) -> int:
    """A loop whose iterations share the factors of its operations."""
    loop = loop_of(node)
    body, count = loosened(loop.body, _deciding(loop)), len(loop.body.inputs)
    types = body.input_types[count:]
    behind = 1 + loop.carried + loop.shared
    inputs = (*body.inputs[:behind], *body.inputs[count:], *body.inputs[behind:count])
    widened = replace(
        loop,
        body=prune(body.nodes, inputs, body.outputs),
        shared=loop.shared + len(types),
    )
    if loop.head is not None:
        given = [*loop.body.input_types[:behind], *types]
        widened = replace(widened, head=rearranged(loop.head, given, range(behind)))
    first = behind - 1 + loop.counted
    factors = [builder.input(t) for t in types]
    given_now = (*operands[:first], *factors, *operands[first:])
    return builder.copy(node.holding(widened), given_now)


def _deciding(loop: Loop) -> set[int]:
    """The nodes of a body that say how often it runs: rounding does not change that."""
    if loop.head is None:
        return set()
    head, body = loop.head, loop.body
    needed = reach(head.nodes, head.outputs)
    wanted = {k for k, i in enumerate(head.inputs) if i in needed}
    found: set[int] = set()
    while True:
        carried = [k - 1 for k in wanted if 1 <= k <= loop.carried]
        found = set(reach(body.nodes, [body.outputs[k] for k in carried]))
        more = {k for k, i in enumerate(body.inputs) if i in found}
        if more <= wanted:
            return found
        wanted |= more


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
