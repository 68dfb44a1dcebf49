"""From a function to the plan of what a transform makes of it, on whole arrays.

`Whole` says what is asked for; `planned` makes the steps, or None where a function does
what only the schedule over points knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jitad.backends.cpu.tiers import Effort
from jitad.ir.graph import Graph

from .build import plan
from .derive import pull, push, zeros
from .flow import Flow, UnfitError, flow_of
from .steps import Plan


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """An array graph, and what is asked of it.

    wrt     the inputs to differentiate in
    seeds   "reverse": ȳ of every result is an input more; "forward": ẋ of wrt is;
            "gradient": ȳ of the first result is 1; "": nothing is differentiated
    outputs  which of the graph's results, and then of the derivatives, are results
    """

    graph: Graph
    wrt: Sequence[int] = ()
    seeds: str = ""
    outputs: Sequence[int] = ()

    @property
    def like(self) -> Graph:
        """A graph of the same inputs with results of the same types."""
        graph = self.graph
        slopes = graph.outputs
        if self.seeds in ("gradient", "reverse"):
            slopes = tuple([graph.inputs[k] for k in self.wrt])
        every = (*graph.outputs, *slopes)
        return replace(graph, outputs=tuple([every[k] for k in self.outputs]))


def planned(asked: Whole, *, keep: bool, effort: Effort) -> Plan | None:
    """The steps of what is asked; None where something in it is not known here."""
    try:
        return plan(derived(asked), keep=keep, effort=effort)
    except UnfitError:
        return None


def derived(asked: Whole) -> Flow:
    """The flow of what is asked."""
    flow = flow_of(asked.graph)
    own, wrt = flow.outputs, [flow.inputs[k] for k in asked.wrt]
    made: list[int] = []
    if asked.seeds == "gradient":
        made = pull(flow, [(own[0], flow.number(1.0, flow.types[own[0]].dtype))], wrt)
    elif asked.seeds == "reverse":
        made = pull(flow, [(o, flow.input(flow.types[o])) for o in own], wrt)
    elif asked.seeds == "forward":
        dots = push(flow, {x: flow.input(flow.types[x]) for x in wrt})
        made = [dots[o] if o in dots else zeros(flow, flow.types[o]) for o in own]
    every = (*own, *made)
    flow.outputs = tuple([every[k] for k in asked.outputs])
    return flow
