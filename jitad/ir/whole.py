"""What is asked of functions of large arrays, and such functions in a trace, as nodes.

    whole   (x …, captured …, seeds …) -> parts: y …
What computes large arrays takes in what is asked of it as it is; what takes arrays
apart writes out its scalar graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .graph import INPUT, Builder, Graph, Node, Static, Type, scalar
from .loop import INT, LOOP, control, loop_of, parts_of

_FEW = 8  # elements of an array that is small
WHOLE = control("jitad.whole")


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """An array graph, or what is asked of one, and what is asked of it.

    wrt     the inputs to differentiate in
    seeds   "reverse": ȳ of every result is an input more; "forward": ẋ of wrt is;
            "gradient": ȳ of the first result is 1; "": nothing is differentiated;
            "jacobian": derivatives of each result in each of wrt; "hessian": second
            ones of the first result, in each pair of wrt
    mode    of Jacobians: "forward", "reverse", or "" for the one with fewer runs
    outputs  which of the graph's results, and then of the derivatives, are results
    """

    graph: Graph | Whole
    wrt: Sequence[int] = ()
    seeds: str = ""
    outputs: Sequence[int] = ()
    mode: str = ""

    def __str__(self) -> str:
        inner = f" of {self.graph}" if isinstance(self.graph, Whole) else ""
        outputs = ",".join(map(str, self.outputs))
        wrt = ",".join(map(str, self.wrt))
        return f"{self.seeds}{self.mode}({wrt}->{outputs}){inner}"

    @property
    def source(self) -> Graph:
        """The graph of the function that all is asked of."""
        return self.graph.source if isinstance(self.graph, Whole) else self.graph

    @property
    def types(self) -> tuple[list[Type], list[Type]]:
        """The types of what it takes and of what it gives."""
        inner = self.graph
        if isinstance(inner, Whole):
            given, own = inner.types
        else:
            given, own = list(inner.input_types), list(inner.output_types)
        columns = [given[k] for k in self.wrt]
        more = {"reverse": own, "forward": columns}.get(self.seeds, [])
        slopes = own if self.seeds == "forward" else columns
        if self.seeds == "jacobian":
            slopes = [Type(x.dtype, y.shape + x.shape) for y in own for x in columns]
        if self.seeds == "hessian":
            slopes = [
                Type(x.dtype, a.shape + x.shape) for a in columns for x in columns
            ]
        every = slopes if self.seeds == "hessian" else (*own, *slopes)
        return [*given, *more], [every[k] for k in self.outputs]

    @property
    def like(self) -> Graph:
        """A graph of the function's inputs with results of the same types."""
        graph = self.source
        nodes = [Node(INPUT, (), (), type) for type in self.types[1]]
        outputs = range(len(graph.nodes), len(graph.nodes) + len(nodes))
        return replace(graph, nodes=(*graph.nodes, *nodes), outputs=tuple(outputs))


@dataclass(frozen=True, eq=False)
class Held:
    """What a transformed function computes of large arrays, in two forms.

    graph    of the function that is transformed
    asked    what is asked of it
    types    of the parts
    scalars  gives the scalar graph of the values, and, if it is another, the one that
             derivatives are taken of, with the numbers of its parts that are slopes
    """

    name: str
    graph: Graph
    asked: Whole
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


def held_by(node: Node) -> Held:
    """What a node stands for."""
    return node.value


def writes(graph: Graph) -> int:
    """How often loops of a graph write an element of an array that they carry.

    Of small arrays every element is a number of its own.
    """
    found = 0
    for node in graph.nodes:
        if node.primitive is LOOP:
            loop = loop_of(node)
            own = sum(map(_writes, loop.body.nodes))
            found += loop.bound * (own + writes(loop.body))
        elif node.primitive is WHOLE:
            found += writes(held_by(node).graph)
    return found


def _writes(node: Node) -> bool:
    return node.primitive.name == "scatter" and node.type.size > _FEW
