"""Transformed functions of large arrays in the trace of another, as nodes.

    whole   (x …, captured …, seeds …) -> parts: y …
What computes large arrays takes in what is asked of it as it is; what takes arrays
apart writes out its scalar graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .graph import Builder, Graph, Static, Type, scalar
from .loop import INT, control, parts_of

WHOLE = control("whole")


@dataclass(frozen=True, eq=False)
class Held:
    """What a transformed function computes of large arrays, in two forms.

    graph    of the function that is transformed
    asked    what is asked of it: see `elements.door`
    types    of the parts
    scalars  gives the scalar graph of the values, and, if it is another, the one that
             derivatives are taken of, with the numbers of its parts that are slopes
    """

    name: str
    graph: Graph
    asked: Any
    types: Sequence[Type]
    scalars: Callable[[], tuple[Graph, Graph | None, frozenset[int]]]

    def __str__(self) -> str:
        value = "; ".join(self.graph.text.splitlines())
        return f"{self.name} {{{value}}} {self.asked}"


def add_whole(
    builder: Builder, held: Held, operands: Sequence[int], line: str = ""
) -> list[int]:
    """The parts of a transformed function in a graph."""
    params = (("held", Static(held)),)
    node = builder.add(WHOLE, tuple(operands), scalar(INT), params, line)
    return parts_of(builder, node, held.types, line)


def held_by(node: Any) -> Held:
    """What a node stands for."""
    return node.value
