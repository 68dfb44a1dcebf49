"""Places where a function has a corner just at the point that is checked.

There a first derivative is the average of both sides, and those of floats that are
compared by == belong to the branch taken: right by the rules, but seldom expected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitad import tree
from jitad.ir.call import CALL, custom_of
from jitad.ir.graph import INPUT, Builder, Graph, Node, Type
from jitad.ir.interpret import interpret, value_of
from jitad.ir.loop import LOOP, loop_of, run
from jitad.ir.trace import Input, trace
from jitad.transforms.derivatives.pieces import compared, kinked
from jitad.transforms.scalars.scalarize import scalarize

_EQUALITY = {"eq": "==", "ne": "!="}
# Only interp asks for the side of a knot in the function as it was traced.
_KNOWN_AS = {"ahead": "interp"}


def corners(
    f: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int]
) -> tuple[str, ...]:
    """What to know of a point, in sentences."""
    leaves, spec = tree.flatten((tuple(args), {}))
    arrays = [np.asarray(x) for x in leaves]
    inputs = [
        Input(Type(a.dtype, a.shape), type(x) in (float, int))
        for a, x in zip(arrays, leaves, strict=True)
    ]
    graph = trace(f, spec, inputs).graph
    numbers = tree.unflatten(spec, list(range(len(leaves))))[0]
    chosen = tree.flatten([numbers[k] for k in argnums])[0]
    look = _Look()
    with np.errstate(all="ignore"):
        look.into(graph, arrays, {graph.inputs[k] for k in chosen})
    # Functions with kinks compare by themselves.
    bent = {line for line, equality in look.found if not equality}
    kept = [
        text
        for (line, equality), text in look.found.items()
        if not (equality and line in bent)
    ]
    return tuple(dict.fromkeys(kept))


class _Look:
    """Evaluates graphs, and the bodies of loops and calls in them, and looks around.

    found  line, and whether it is an equality, to what to say of it
    """

    def __init__(self) -> None:
        self.found: dict[tuple[str, bool], str] = {}
        self._alone: dict[tuple[Node, tuple[Type, ...]], Graph | None] = {}

    def into(self, graph: Graph, given: Sequence[Any], depends: set[int]) -> list[Any]:
        """The outputs of a graph; depends are nodes that derivatives are taken in."""
        values: list[Any] = [None] * len(graph.nodes)
        for i, value in zip(graph.inputs, given, strict=True):
            values[i] = value
        for i, node in enumerate(graph.nodes):
            if node.primitive is INPUT:
                continue
            own = [values[a] for a in node.operands]
            smooth = [a in depends for a in node.operands]
            if any(smooth):
                depends.add(i)
                self._at(graph, node, own)
            values[i] = self._value(node, own, smooth)
        return [values[i] for i in graph.outputs]

    def _value(self, node: Node, given: list[Any], smooth: list[bool]) -> Any:
        if any(smooth) and node.primitive is LOOP:
            loop = loop_of(node)

            def evaluate(graph: Graph, inputs: Sequence[Any]) -> list[Any]:
                # What is carried may depend on all that a loop is given.
                wrt = {i for i in graph.inputs if graph.nodes[i].type.dtype.kind == "f"}
                return self.into(graph, inputs, wrt)

            return run(loop, given, evaluate, ())
        if any(smooth) and node.primitive is CALL:
            graph = custom_of(node).value
            wrt = {i for i, s in zip(graph.inputs, smooth, strict=True) if s}
            return self.into(graph, given, wrt)
        return value_of(node, given)

    def _at(self, graph: Graph, node: Node, given: list[Any]) -> None:
        """Put down what there is to say of a node."""
        # Without a line it is not the user's, but inside of a derivative.
        if not node.line or node.primitive.kind not in ("elementwise", "composite"):
            return
        equality = _EQUALITY.get(node.primitive.name)
        if (node.line, bool(equality)) in self.found:
            return
        if any(graph.nodes[a].type.dtype.kind != "f" for a in node.operands):
            return
        if equality:
            if np.any(np.equal(*given)):
                self.found[node.line, True] = (
                    f"At this point {equality} compares equal floats ({node.line}): "
                    "derivatives are those of the branch taken there, not of what it "
                    "is near."
                )
        elif self._on_kink(graph, node, given):
            name = _KNOWN_AS.get(node.primitive.name, node.primitive.name)
            self.found[node.line, False] = (
                f"This point lies on a kink of {name} ({node.line}): first derivatives "
                "are by the rule for ties, second ones by that for one side."
            )

    def _on_kink(self, graph: Graph, node: Node, given: Sequence[Any]) -> bool:
        key = node, tuple([graph.nodes[a].type for a in node.operands])
        if key not in self._alone:
            alone = _alone(graph, node)
            self._alone[key] = compared(alone) if kinked(alone) else None
        pairs = self._alone[key]
        if pairs is None:
            return False
        tied = interpret(pairs, given)
        return any(np.any(a == b) for a, b in zip(tied[::2], tied[1::2], strict=True))


def _alone(graph: Graph, node: Node) -> Graph:
    """The scalar graph of one operation."""
    builder = Builder()
    inputs = tuple([builder.input(graph.nodes[a].type) for a in node.operands])
    return scalarize(builder.finish([builder.copy(node, inputs)]))
