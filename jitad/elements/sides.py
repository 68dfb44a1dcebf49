"""Graphs of arrays whose norms and roots are told to be of sums of squares.

That is how they are laid into a flow where derivatives are differentiated again: a
function that is even in such a root is smooth where it is 0 (see `derivatives.even`).
"""

from __future__ import annotations

from jitad.ir.graph import Builder, Graph
from jitad.ir.primitive import registry


def smoothed(graph: Graph) -> Graph:
    """A graph of arrays whose norms and roots are told to be of sums of squares."""
    builder = Builder()

    def change(i: int, operands: tuple[int, ...]) -> int | None:
        node, nodes = graph.nodes[i], builder.nodes
        if node.primitive.name == "norm":
            (x,) = operands
            square = builder.apply(registry.primitives["mul"], (x, x), nodes[x].type)
            total = builder.add(
                registry.primitives["sum"], (square,), node.type, node.params
            )
            return _root(builder, total)
        if node.primitive.name == "sqrt" and _of_squares(builder, operands[0]):
            return _root(builder, operands[0])
        return None

    return graph.rewritten(builder, change)


def _root(builder: Builder, total: int) -> int:
    type = builder.nodes[total].type
    told = builder.apply(registry.primitives["squares"], (total,), type)
    return builder.apply(registry.primitives["sqrt"], (told,), type)


def _of_squares(builder: Builder, i: int) -> bool:
    """Whether an array is a sum of squares, or of multiples of them."""
    node = builder.nodes[i]
    name, operands = node.primitive.name, node.operands
    if name in ("sum", "add"):
        return all(_of_squares(builder, a) for a in operands)
    if name in ("mul", "div") and builder.values[operands[1]] is not None:
        return _of_squares(builder, operands[0])
    if name == "mul" and builder.values[operands[0]] is not None:
        return _of_squares(builder, operands[1])
    if node.primitive.kind == "structure" and len(operands) == 1:
        return _of_squares(builder, operands[0])
    return name == "mul" and operands[0] == operands[1]
