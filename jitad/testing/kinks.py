"""Places where a function has a corner just at the point that is checked.

There a first derivative is the average of both sides, and those of floats that are
compared by == belong to the branch taken: right by the rules, but seldom expected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jitad import tree
from jitad.ir.graph import Builder, Graph, Node, Type
from jitad.ir.interpret import interpret
from jitad.ir.trace import Input, trace
from jitad.transforms.derivatives.pieces import compared, kinked
from jitad.transforms.scalars.scalarize import scalarize

_EQUALITY = {"eq": "==", "ne": "!="}
# Only interp asks for the side of a knot in the function as it was traced.
_KNOWN_AS = {"ahead": "interp"}


def corners(
    f: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int]
) -> tuple[str, ...]:
    """What to know of a point, in sentences; loops are not looked into."""
    leaves, spec = tree.flatten((tuple(args), {}))
    arrays = [np.asarray(x) for x in leaves]
    inputs = [
        Input(Type(a.dtype, a.shape), type(x) in (float, int))
        for a, x in zip(arrays, leaves, strict=True)
    ]
    graph = trace(f, spec, inputs).graph
    numbers = tree.unflatten(spec, list(range(len(leaves))))[0]
    chosen = tree.flatten([numbers[k] for k in argnums])[0]
    found = list(_found(graph, arrays, chosen))
    # Functions with kinks compare by themselves.
    bent = {line for line, equality, _ in found if not equality}
    kept = [text for line, equality, text in found if not (equality and line in bent)]
    return tuple(dict.fromkeys(kept))


def _found(
    graph: Graph, arrays: Sequence[np.ndarray], chosen: Sequence[int]
) -> Iterator[tuple[str, bool, str]]:
    """Line, whether it is an equality, and what to say of it."""
    nodes = graph.nodes
    values = interpret(replace(graph, outputs=tuple(range(len(nodes)))), arrays)
    depends = {graph.inputs[k] for k in chosen}
    for i, node in enumerate(nodes):
        if depends.isdisjoint(node.operands):
            continue
        depends.add(i)
        # Without a line it is not the user's, but inside of a derivative.
        if not node.line or node.primitive.kind not in ("elementwise", "composite"):
            continue
        equality = _EQUALITY.get(node.primitive.name)
        floats = all(nodes[a].type.dtype.kind == "f" for a in node.operands)
        given = [values[a] for a in node.operands]
        if equality and floats:
            if np.any(np.equal(*given)):
                text = (
                    f"At this point {equality} compares equal floats ({node.line}): "
                    "derivatives are those of the branch taken there, not of what it "
                    "is near."
                )
                yield node.line, True, text
        elif floats and _on_kink(_alone(graph, node), given):
            name = _KNOWN_AS.get(node.primitive.name, node.primitive.name)
            text = (
                f"This point lies on a kink of {name} ({node.line}): first derivatives "
                "are by the rule for ties, second ones by that for one side."
            )
            yield node.line, False, text


def _on_kink(graph: Graph, given: Sequence[Any]) -> bool:
    if not kinked(graph):
        return False
    tied = interpret(compared(graph), given)
    return any(np.any(a == b) for a, b in zip(tied[::2], tied[1::2], strict=True))


def _alone(graph: Graph, node: Node) -> Graph:
    """The scalar graph of one operation."""
    builder = Builder()
    inputs = tuple([builder.input(graph.nodes[a].type) for a in node.operands])
    return scalarize(builder.finish([builder.copy(node, inputs)]))
