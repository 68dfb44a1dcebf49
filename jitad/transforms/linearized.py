"""A scalar graph and its local partials, in one builder: what every mode begins with.

Start at `linearize`; `open_body` does the same for the body of a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitad.ir.call import CALL
from jitad.ir.graph import ELEMENT, INPUT, PACK, Graph, Type, reach
from jitad.ir.interpret import inline
from jitad.ir.loop import LOOP, PART
from jitad.ir.tracer import Trace
from jitad.transforms import products
from jitad.transforms import scalarize as sc
from jitad.transforms.whole import EAGER

Edges = dict[int, tuple[tuple[int, int], ...]]
# {node: {seed: tangent or cotangent}}; what is not there is zero.
Derivatives = dict[int, dict[int, int]]


@dataclass(frozen=True, eq=False)
class Linearized:
    """A scalar graph and its local partials, inside one builder.

    inputs    input nodes; elements[k] the scalars of input k, none of a large one that
              no derivative is taken in
    outputs   scalars of every output, shaped as it is
    edges     edges[v] = ((operand, partial), …) for active nodes v, in evaluation order
    order     all active nodes: those with edges, loops, and what leads between loops
              and scalars
    active    the same, and what they begin from
    """

    target: Trace
    inputs: tuple[int, ...]
    elements: tuple[np.ndarray, ...]
    outputs: tuple[np.ndarray, ...]
    types: tuple[Type, ...]
    edges: Edges
    order: tuple[int, ...]
    active: frozenset[int]

    @property
    def loops(self) -> bool:
        """Whether a loop, or a call with a rule of its own, is on the way."""
        return len(self.order) > len(self.edges)


# A sweep over a linearized graph, forward or in reverse, from seeds.
Sweep = Callable[[Linearized, Derivatives], Derivatives]


def linearize(graph: Graph, wrt: Sequence[int]) -> Linearized:
    """Copy a scalar graph into a builder and add the partials along paths from wrt."""
    target = sc.builder()
    inputs = tuple([target.input(t) for t in graph.input_types])
    elements = tuple([_elements(target, i, k in wrt) for k, i in enumerate(inputs)])
    packed = inline(target, graph, inputs)
    outputs = tuple([_scalars(target, i) for i in packed])
    active = {int(e) for k in wrt for e in elements[k].ravel()}
    active |= {inputs[k] for k in wrt}
    edges, order = _active(target, outputs, active)
    return Linearized(
        target, inputs, elements, outputs, graph.output_types, edges, order,
        frozenset(active),
    )  # fmt: skip


def _elements(target: Trace, index: int, wanted: bool) -> np.ndarray:
    if wanted or target.nodes[index].type.size <= EAGER:
        return sc.elements(target, index)
    return np.empty(0, np.int64)


def open_body(body: Graph, wrt: Sequence[int]) -> Linearized:
    """The same for the body of a loop, whose inputs and outputs are scalars."""
    target = sc.builder()
    inputs = tuple([target.input(t) for t in body.input_types])
    elements = tuple([np.asarray(i) for i in inputs])
    outputs = tuple([np.asarray(i) for i in inline(target, body, inputs)])
    active = {inputs[k] for k in wrt}
    edges, order = _active(target, outputs, active)
    return Linearized(
        target, inputs, elements, outputs, body.output_types, edges, order,
        frozenset(active),
    )  # fmt: skip


def _scalars(target: Trace, index: int) -> np.ndarray:
    node = target.nodes[index]
    return np.array(node.operands, np.int64).reshape(node.type.shape)


def _active(
    target: Trace, outputs: Sequence[np.ndarray], active: set[int]
) -> tuple[Edges, tuple[int, ...]]:
    """Edges and order of what depends on active nodes, which grow by it."""
    edges: Edges = {}
    order = []
    for v in reach(target.nodes, [int(e) for o in outputs for e in o.ravel()]):
        node = target.nodes[v]
        if v in active or active.isdisjoint(node.operands):
            continue
        if node.primitive.kind == "elementwise":
            found = _edges(target, v, active)
            if not found:
                continue
            edges[v] = found
        elif node.primitive in (LOOP, CALL):
            pass
        elif node.type.dtype.kind != "f" or node.primitive is INPUT:
            continue
        else:
            assert node.primitive in (PART, ELEMENT, PACK)
        active.add(v)
        order.append(v)
    return edges, tuple(order)


def _edges(target: Trace, v: int, active: set[int]) -> tuple[tuple[int, int], ...]:
    _, operands, _, type, _ = target.nodes[v]
    primitive = target.nodes[v].primitive
    dtypes = tuple([target.nodes[a].type.dtype for a in operands])
    template, slots = sc.partials(primitive, dtypes, type.dtype)
    if not slots:
        return ()
    found: dict[int, int] = {}
    partials = sc.instantiate(target, template, (v, *operands))
    for slot, partial in zip(slots, partials, strict=True):
        a = operands[slot]
        if a in active and _nonzero(target.values[partial]):
            found[a] = (
                products.add(target, found[a], partial) if a in found else partial
            )
    return tuple(found.items())


def _nonzero(value: Any) -> bool:
    """Whether a partial, None unless it is a constant, can contribute anything."""
    return value is None or value != 0
