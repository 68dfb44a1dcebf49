"""What is asked of a function of large arrays: derivatives, and of which of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jitad.ir.graph import INPUT, Graph, Node, Type


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """An array graph, or what is asked of one, and what is asked of it.

    wrt     the inputs to differentiate in
    seeds   "reverse": ȳ of every result is an input more; "forward": ẋ of wrt is;
            "gradient": ȳ of the first result is 1; "": nothing is differentiated
    outputs  which of the graph's results, and then of the derivatives, are results
    """

    graph: Graph | Whole
    wrt: Sequence[int] = ()
    seeds: str = ""
    outputs: Sequence[int] = ()

    def __str__(self) -> str:
        inner = f" of {self.graph}" if isinstance(self.graph, Whole) else ""
        outputs = ",".join(map(str, self.outputs))
        return f"{self.seeds}({','.join(map(str, self.wrt))}->{outputs}){inner}"

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
        every = (*own, *slopes)
        return [*given, *more], [every[k] for k in self.outputs]

    @property
    def like(self) -> Graph:
        """A graph of the function's inputs with results of the same types."""
        graph = self.source
        nodes = [Node(INPUT, (), (), type) for type in self.types[1]]
        outputs = range(len(graph.nodes), len(graph.nodes) + len(nodes))
        return replace(graph, nodes=(*graph.nodes, *nodes), outputs=tuple(outputs))
