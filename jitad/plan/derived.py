"""The graph of one point that a call computes, and how it came."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from jitad import tree
from jitad.backends.cpu.tiers import Effort
from jitad.ir.graph import CONST, ELEMENT, INPUT, INTEGERS, Graph, prune
from jitad.ir.tracer import Tracer
from jitad.process.locks import cached_property


class Side(NamedTuple):
    """What derivatives of a derived graph are taken of: its graph of one side.

    slopes  the outputs that are derivatives themselves
    """

    graph: Graph
    slopes: frozenset[int] = frozenset()


@dataclass(frozen=True, eq=False)
class Derived:
    """A scalar graph for one point, the structure of its result, and how it came.

    Its inputs are the function's leaves, then one for each captured traced value.
    mode is the best of those with costs, unless it was asked for; untried says why
    other modes were not counted.  inside names the transformed functions that it
    calls, and how each of them came.  may_raise says that at a point where the result
    is NaN NumPy may raise LinAlgError instead, raises that the function itself may
    raise, at a point of a batch too.  bound says that values of an enclosing trace, or
    branches taken on them, went in, so that nothing else can use it.
    side gives what derivatives of it are taken of, where it has kinks.  ruled says
    that derivatives by rules of the user's went in, which may be of no function.
    final says that it was made where nobody differentiates it: sides are left out.
    loops says of the lines of loops what the reader made of them, lines are all that it
    was traced from.
    keep says that its code may be kept on disk, effort how much is done for its speed.
    """

    graph: Graph
    result: tree.PyTreeSpec
    captured: tuple[Tracer, ...] = ()
    mode: str = ""
    costs: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    asked: bool = False
    untried: dict[str, str] = field(default_factory=dict)
    inside: tuple[tuple[str, Derived], ...] = ()
    may_raise: bool = False
    raises: bool = False
    bound: bool = False
    keep: bool = True
    effort: Effort = "auto"
    side: Callable[[], Side | None] | None = None
    ruled: bool = False
    final: bool = False
    loops: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lines: tuple[str, ...] = ()

    @cached_property
    def narrowed(self) -> tuple[tuple[int, np.dtype], ...]:
        """The inputs that are computed in a narrower integer's dtype, and which."""
        nodes, found = self.graph.nodes, set()
        number = {i: k for k, i in enumerate(self.graph.inputs)}
        for node in nodes:
            if node.primitive.name == "cast" and node.type.dtype in INTEGERS:
                (a,) = node.operands
                a = nodes[a].operands[0] if nodes[a].primitive is ELEMENT else a
                if a in number:
                    found.add((number[a], node.type.dtype))
        return tuple(sorted(found, key=str))


def lifted(derived: Derived) -> tuple[Derived, list[np.ndarray]]:
    """The same with its constant arrays as further inputs, and those arrays."""
    graph, arrays = lifted_graph(derived.graph)
    return (replace(derived, graph=graph) if arrays else derived), arrays


def lifted_graph(graph: Graph) -> tuple[Graph, list[np.ndarray]]:
    """Constant arrays as further inputs: nothing of them is compiled in."""
    large = [
        i for i, n in enumerate(graph.nodes) if n.primitive is CONST and n.type.shape
    ]
    if not large:
        return graph, []
    nodes = list(graph.nodes)
    values = [graph.nodes[i].value for i in large]
    for k, i in enumerate(large):
        params = (("index", len(graph.inputs) + k),)
        nodes[i] = nodes[i]._replace(primitive=INPUT, params=params)
    return prune(nodes, (*graph.inputs, *large), graph.outputs), values
