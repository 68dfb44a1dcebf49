"""A scalar graph and its local partials, in one builder: what every mode begins with.

Start at `linearize`; `open_body` does the same for the body of a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitad.errors import UnsupportedError
from jitad.ir.call import CALL
from jitad.ir.graph import ELEMENT, INPUT, PACK, Graph, Node, Type, reach
from jitad.ir.interpret import inline
from jitad.ir.loop import LOOP, PART, loop_of
from jitad.ir.table import LOOKUP, SCATTER
from jitad.ir.tracer import Trace
from jitad.process.locks import cached_property
from jitad.transforms.scalars import scalarize as sc
from jitad.transforms.scalars import templates
from jitad.transforms.scalars.whole import EAGER

from . import products
from .fused import Fused
from .steep import Edges, Factors, above, below, infinite_slope, number

# {node: {seed: tangent or cotangent}}; what is not there is zero.
Derivatives = dict[int, dict[int, int]]


@dataclass(frozen=True, eq=False)
class Linearized:
    """A scalar graph and its local partials, inside one builder.

    inputs    input nodes; elements[k] the scalars of input k, none of a large one that
              no derivative is taken in, or that is read at computed places
    outputs   scalars of every output, shaped as it is; or an array node by itself
    values    the same where no derivative is taken of them (see `pieces.opened`)
    edges     edges[v] = ((operand, partial), …) for active nodes v, in evaluation order
    order     all active nodes: those with edges, loops, and what leads between loops
              and scalars
    active    the same, and what they begin from
    """

    builder: Trace
    inputs: tuple[int, ...]
    elements: tuple[np.ndarray, ...]
    outputs: tuple[np.ndarray, ...]
    values: tuple[np.ndarray, ...]
    types: tuple[Type, ...]
    edges: Edges
    order: tuple[int, ...]
    active: frozenset[int]

    @cached_property
    def upward(self) -> Edges:
        """The edges for sweeps forward, by which infinite slopes come last."""
        nodes = self.builder.nodes
        ends = {int(v) for o in self.outputs for v in o.ravel()}
        ends |= {
            a for v in self.order if v not in self.edges for a in nodes[v].operands
        }
        ends.update(self.slopes)
        return above(self.builder, self.edges, ends)

    @cached_property
    def downward(self) -> Edges:
        """The same for sweeps in reverse."""
        return below(self.builder, self.edges)

    @cached_property
    def across(self) -> Edges:
        """The same for eliminations in any order."""
        return below(self.builder, self.upward)

    @cached_property
    def slopes(self) -> tuple[int, ...]:
        """The stated slopes of functions that may be infinite at an end of a domain."""
        return tuple([v for v in self.edges if infinite_slope(self.builder, v)])

    @property
    def loops(self) -> bool:
        """Whether a loop, or a call with a rule of its own, is on the way."""
        return len(self.order) > len(self.edges)

    def whole(self, k: int) -> bool:
        """Whether input k is differentiated as an array, not scalar by scalar."""
        size = self.builder.nodes[self.inputs[k]].type.size
        return size > 0 and not self.elements[k].size


# A sweep over a linearized graph, forward or in reverse, from seeds.
Sweep = Callable[[Linearized, Derivatives], Derivatives]


def linearize(
    graph: Graph, wrt: Sequence[int], values: Graph | None = None
) -> Linearized:
    """Copy a scalar graph into a builder and add the partials along paths from wrt.

    values  has the values of the graph's outputs, if it is not the graph itself
    """
    builder = templates.new_builder()
    inputs = tuple([builder.input(t) for t in graph.input_types])
    large = large_tables(graph)
    elements = tuple(
        [_elements(builder, i, k in wrt and k not in large)
         for k, i in enumerate(inputs)]
    )  # fmt: skip
    outputs = scalars_of(builder, inline(builder, graph, inputs))
    plain = scalars_of(builder, inline(builder, values, inputs)) if values else outputs
    active = {int(e) for k in wrt for e in elements[k].ravel()}
    active |= {inputs[k] for k in wrt}
    number(builder, inputs, elements)
    return between(
        builder, active, outputs, inputs, elements, plain, graph.output_types
    )


def between(
    builder: Trace,
    active: set[int],
    outputs: Sequence[np.ndarray],
    inputs: Sequence[int] = (),
    elements: Sequence[np.ndarray] = (),
    values: Sequence[np.ndarray] = (),
    types: Sequence[Type] = (),
) -> Linearized:
    """What leads from active nodes of a builder to outputs, with its partials."""
    edges, order = _active(builder, outputs, active)
    return Linearized(
        builder, tuple(inputs), tuple(elements), tuple(outputs),
        tuple(values or outputs), tuple(types), edges, order, frozenset(active),
    )  # fmt: skip


def _elements(builder: Trace, index: int, wanted: bool) -> np.ndarray:
    if wanted or builder.nodes[index].type.size <= EAGER:
        return sc.elements(builder, index)
    return np.empty(0, np.int64)


def tables(nodes: Sequence[Node]) -> set[int]:
    """The arrays that are read at computed places, in loops or outside."""
    read: set[int] = set()
    for node in nodes:
        if node.primitive is LOOKUP:
            read.add(node.operands[0])
        elif node.primitive is LOOP:
            read.update(loop_of(node).split(node.operands)[4])
    return read


def large_tables(graph: Graph) -> set[int]:
    """The numbers of large inputs that are read at computed places."""
    read = tables(graph.nodes)
    return {
        k
        for k, i in enumerate(graph.inputs)
        if i in read and graph.nodes[i].type.size > EAGER
    }


def at_places(line: Linearized) -> bool:
    """Whether elements of arrays are named by values, in loops or outside."""
    nodes = [line.builder.nodes[v] for v in line.order]
    loops = [loop_of(node) for node in nodes if node.primitive is LOOP]
    return any(node.primitive in (LOOKUP, SCATTER) for node in nodes) or any(
        loop.tables or loop.summed for loop in loops
    )


def open_body(
    body: Graph, wrt: Sequence[int], sources: Sequence[int] | None = None
) -> Linearized:
    """The same for the body of a loop, whose inputs and outputs are scalars.

    sources  what its inputs depend on, as bits (see `steep.inside`)
    """
    builder = templates.new_builder()
    inputs = tuple([builder.input(t) for t in body.input_types])
    elements = tuple([np.asarray(i) for i in inputs])
    outputs = [np.asarray(i) for i in inline(builder, body, inputs)]
    active = {inputs[k] for k in wrt}
    if sources is not None:
        builder.sources |= zip(inputs, sources, strict=True)
    return between(builder, active, outputs, inputs, elements, (), body.output_types)


def scalars_of(builder: Trace, packed: Sequence[int]) -> tuple[np.ndarray, ...]:
    """The scalars of packed arrays, shaped; another array node is one by itself."""
    return tuple([_scalars(builder, i) for i in packed])


def _scalars(builder: Trace, index: int) -> np.ndarray:
    node = builder.nodes[index]
    if node.primitive is not PACK:
        return np.asarray(index)
    return np.array(node.operands, np.int64).reshape(node.type.shape)


def _active(
    builder: Trace,
    outputs: Sequence[np.ndarray],
    active: set[int],
) -> tuple[Edges, tuple[int, ...]]:
    """Edges and order of what depends on active nodes, which grow by it."""
    edges: Edges = {}
    order = []
    roots = [int(e) for o in outputs for e in o.ravel()]
    reached = reach(builder.nodes, roots)
    fused, factors = Fused(builder, edges, active), Factors(builder, reached, roots)
    for v in reached:
        node = builder.nodes[v]
        if v in active or active.isdisjoint(node.operands):
            continue
        if node.primitive.kind == "elementwise":
            found = fused.past(v, _edges(builder, v, active))
            found = factors.closed(v, found)
            if not found:
                continue
            edges[v] = found
        elif node.primitive in (LOOP, CALL):
            pass
        elif node.type.dtype.kind != "f" or node.primitive is INPUT:
            continue
        else:
            assert node.primitive in (PART, ELEMENT, PACK, LOOKUP, SCATTER)
        active.add(v)
        order.append(v)
    return edges, tuple(order)


def _edges(builder: Trace, v: int, active: set[int]) -> tuple[tuple[int, int], ...]:
    primitive, operands, _, type, line = builder.nodes[v]
    for slot, name in primitive.unknown.items():
        if operands[slot] in active:
            raise UnsupportedError(
                f"the derivative of {primitive.name} in {name} ({line or 'no line'}) "
                "has no formula here; expected an exponent that does not depend on "
                "what is differentiated in: pass a constant, or hold it fixed with "
                "jitad.stop_gradient"
            )
    dtypes = tuple([builder.nodes[a].type.dtype for a in operands])
    template, slots = templates.partials(primitive, dtypes, type.dtype)
    if not slots:
        return ()
    found: dict[int, int] = {}
    partials = templates.instantiate(builder, template, (v, *operands))
    for slot, partial in zip(slots, partials, strict=True):
        a = operands[slot]
        if a in active and _nonzero(builder.values[partial]):
            found[a] = (
                products.add(builder, found[a], partial) if a in found else partial
            )
    return tuple(found.items())


def _nonzero(value: Any) -> bool:
    """Whether a partial, None unless it is a constant, can contribute anything."""
    return value is None or value != 0
