"""The only place that chooses lane axis, layouts and kernel, and remembers why.

`fitted` is the one way from a derived graph and arrays to a kernel that runs on arrays
that lie like them.  `explain` reads its Plan.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitad.backends.cpu import executable as cpu
from jitad.ir.graph import PACK, Graph, prune
from jitad.ir.interpret import inline
from jitad.ir.loop import PART
from jitad.ir.table import SCATTER
from jitad.lowering.kernel import Argument, Kernel, Layout
from jitad.lowering.schedule import Request
from jitad.transforms.scalars.scalarize import elements, pack
from jitad.transforms.scalars.templates import new_builder

from .derived import Derived
from .machine import Machine
from .pipeline import compiled
from .placement import Placement, around_cache, place, place_output, place_scatter

# From this number of points on the outermost batch axis gives the lanes.
_ENOUGH_LANES = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled kernel and the choices behind it.

    order[a] is the batch level that became kernel axis a; order[0] gives the lanes.
    buffers are the inputs, then the outputs that have elements: the kernel's buffers.
    """

    derived: Derived
    executable: Any
    order: tuple[int, ...]
    buffers: tuple[int, ...]
    seconds: dict[str, float]

    @property
    def kernel(self) -> Kernel:
        """What the executable was made of."""
        return self.executable.kernel


@dataclass(frozen=True, slots=True)
class Fitted:
    """A kernel, and where the arrays lie that it is for.

    extents  points along the kernel's axes, the lanes first
    """

    plan: Plan
    extents: tuple[int, ...]
    inputs: tuple[Placement, ...]
    outputs: tuple[Placement, ...]

    def arguments(self, addresses: Sequence[int]) -> list[Argument]:
        """What it is launched with; addresses of all inputs and outputs."""
        placed = (*self.inputs, *self.outputs)
        return [placed[k].argument(addresses[k]) for k in self.plan.buffers]


def fitted(
    derived: Derived,
    extents: tuple[int, ...],
    inputs: Sequence[np.ndarray],
    outputs: Sequence[np.ndarray],
    machine: Machine = cpu.HOST,
    *,
    order: tuple[int, ...] | None = None,
    added: Collection[int] = (),
    around: bool = True,
) -> Fitted:
    """The kernel of a graph for arrays that lie as these do, batch levels in front.

    extents  of the batch levels
    order    of them, that of the lanes first; by default the best for these extents
    added    the numbers of the outputs that a kernel of one point adds up in place
    around   whether results may be written around the cache: then the first lanes run
             by themselves, see `backends.cpu.executable`
    """
    order = lane_order(extents) if order is None else order
    before = [place(x, extents, order) for x in inputs]
    after = [
        place_scatter() if k in added else place_output(y, extents, order)
        for k, y in enumerate(outputs)
    ]
    if around:
        after = around_cache(derived.graph, after, outputs, machine.exceeds_cache)
    lanes = tuple([extents[k] for k in order]) or (1,)
    made = make(derived, order, before, after, machine, lanes)
    return Fitted(made, lanes, tuple(before), tuple(after))


def lane_order(extents: Sequence[int]) -> tuple[int, ...]:
    """The batch level of the lanes, then the others: the outermost if it is long."""
    if not extents:
        return ()
    lane = 0
    if extents[0] < _ENOUGH_LANES:
        lane = max(range(len(extents)), key=lambda k: (extents[k], -k))
    return (lane, *(k for k in range(len(extents)) if k != lane))


def make(
    derived: Derived,
    order: tuple[int, ...],
    inputs: Sequence[Placement],
    outputs: Sequence[Placement],
    machine: Machine,
    extents: tuple[int, ...],
) -> Plan:
    """Lower and compile: one lane axis at least, even for a single point.

    extents  along the kernel's axes
    """
    graph = packed(derived.graph)
    types, placed = (*graph.input_types, *graph.output_types), (*inputs, *outputs)
    buffers = tuple([k for k, type in enumerate(types) if type.size])
    count = len(inputs)
    if len(buffers) < len(types):
        ins = [graph.inputs[k] for k in buffers if k < count]
        outs = [graph.outputs[k - count] for k in buffers if k >= count]
        graph = prune(graph.nodes, ins, tuple(outs))
    varying = tuple([placed[k].varying for k in buffers if k < count])
    layouts: tuple[Layout, ...] = tuple([placed[k].layout for k in buffers])
    request = Request(max(1, len(order)), varying, layouts)
    executable, seconds = compiled(
        graph, request, machine, extents, keep=derived.keep, effort=derived.effort
    )
    seconds = {**derived.seconds, **seconds}
    return Plan(derived, executable, order, buffers, seconds)


def packed(graph: Graph) -> Graph:
    """The same graph; results that are arrays are made in it, if not of scalars."""
    made = (PACK, PART, SCATTER)
    if all(graph.nodes[o].primitive in made for o in graph.outputs):
        return graph
    builder = new_builder()
    outputs = inline(builder, graph, [builder.input(t) for t in graph.input_types])
    for k, (o, type) in enumerate(zip(outputs, graph.output_types, strict=True)):
        if builder.nodes[o].primitive not in made:
            outputs[k] = pack(builder, elements(builder, o), type)
    return builder.finish(outputs)
