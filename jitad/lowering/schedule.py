"""From a scalar graph in machine words to a Kernel: the schedule over points.

The batch is the lane axis.  A value is computed in the outermost loop where all that
it depends on is known, so what does not vary along an inner batch axis is computed
once.  `order` says in which order, and each output is stored when it is ready.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jitad.ir.graph import CONST, ELEMENT, INPUT, PACK, Graph

from .kernel import Buffer, Kernel, Layout
from .later import put_off
from .order import ORDERS, Ordering, order
from .statement import Statement
from .statements import Const, For, Load, Op, Store, StoreAll
from .storage import reused
from .write import Writer

_APART = ("control", "access")  # never shared by all lanes


@dataclass(frozen=True, slots=True)
class Request:
    """What a kernel is to be like: batch axes, of which axis 0 is that of the lanes.

    varying[k]  the batch axes along which input k varies, ascending
    layouts     the layouts of inputs, then of outputs; outputs vary along all axes,
                sums, and what is scattered, along none
    """

    axes: int
    varying: tuple[tuple[int, ...], ...]
    layouts: tuple[Layout, ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """One of several kernels that compute the same.

    branches  whether what only some points need is computed under branches
    ordering  in which order values are computed
    """

    branches: bool = True
    ordering: Ordering = order


FIRST = Variant()
# What a branch makes lives from its end on, all of it; where it is all selected at
# once, more is computed.
VARIANTS = tuple([Variant(b, ordering) for b in (True, False) for ordering in ORDERS])


def schedule(graph: Graph, request: Request, ordering: Ordering = order) -> Kernel:
    """The kernel of a scalar graph in machine words that has what is asked for."""
    axes, varying, layouts = request.axes, request.varying, request.layouts
    buffers = _buffers(graph, request)
    levels = _levels(graph, varying)
    bodies: list[list[Statement]] = [[] for _ in range(axes)]
    shared = _shared(graph, varying)
    once: list[Const | Op | Load] = []
    writer = Writer(graph, ordering=ordering)
    places, roots = _places(graph), _roots(graph)
    first = len(graph.inputs)
    for k, o in enumerate(graph.outputs):
        if layouts[first + k] == "scatter":
            assert writer.aim(o, (first + k, None)), "a scatter of its own"
    for i, value in ordering(graph, roots):
        if i < 0 and graph.nodes[value].type.shape:
            buffer, _ = places[~i]
            if value not in writer.aims:
                bodies[-1].append(StoreAll(buffer, writer.arrays[value]))
            continue
        if i < 0:
            bodies[-1].append(Store(*places[~i], writer.values[value]))
            continue
        made = writer.statements(i)
        if i in shared:
            once += [s for s in made if isinstance(s, Const | Op | Load)]
        if i not in shared or not isinstance(made[0], Op):
            bodies[levels[i]] += made
    body: tuple[Statement, ...] = ()
    for axis in range(axes - 1, -1, -1):
        inner = (For(axis + 1, body),) if axis + 1 < axes else ()
        body = (*bodies[axis], *inner)
    body, locals = reused(body, writer.locals)
    if axes == 1:
        body = put_off(body, buffers)
    return Kernel(buffers, axes, body, tuple(once), locals)


def _buffers(graph: Graph, request: Request) -> tuple[Buffer, ...]:
    varying, layouts = request.varying, request.layouts
    everywhere = tuple(range(request.axes))
    count = len(graph.inputs)
    inputs = [
        Buffer(f"x{k}", t.dtype, t.size, varying[k], layouts[k], False)
        for k, t in enumerate(graph.input_types)
    ]
    placed = zip(graph.output_types, layouts[count:], strict=True)
    outputs = [
        Buffer(
            f"y{k}",
            t.dtype,
            t.size,
            () if how in ("sum", "scatter") else everywhere,
            how,
            True,
        )
        for k, (t, how) in enumerate(placed)
    ]
    return (*inputs, *outputs)


def _levels(graph: Graph, varying: Sequence[tuple[int, ...]]) -> list[int]:
    """For every node the innermost batch axis that it depends on."""
    levels = [0] * len(graph.nodes)
    for k, i in enumerate(graph.inputs):
        levels[i] = max(varying[k], default=0)
    if not any(levels):
        return levels
    for i, node in enumerate(graph.nodes):
        for a in node.operands:
            levels[i] = max(levels[i], levels[a])
    return levels


def _shared(graph: Graph, varying: Sequence[tuple[int, ...]]) -> frozenset[int]:
    """What all lanes share and is computed, and what that needs; nothing if all is."""
    same = bytearray(len(graph.nodes))
    if not any(varying):
        return frozenset()
    number = {i: k for k, i in enumerate(graph.inputs)}
    kept: set[int] = set()
    for i, node in enumerate(graph.nodes):
        if i in number:
            same[i] = not varying[number[i]]
        elif node.primitive.kind not in _APART and node.primitive is not PACK:
            same[i] = all(map(same.__getitem__, node.operands))
        if same[i] and node.primitive not in (INPUT, CONST, ELEMENT, PACK):
            kept.update((i, *node.operands))
    return frozenset(kept)


def _places(graph: Graph) -> list[tuple[int, int]]:
    """The buffer and element of every scalar of the outputs."""
    first = len(graph.inputs)
    sizes = [len(own) for own in _scalars(graph)]
    return [(first + k, e) for k, size in enumerate(sizes) for e in range(size)]


def _roots(graph: Graph) -> list[int]:
    """The scalars of the outputs, and what is added up in one by itself."""
    return [v for own in _scalars(graph) for v in own]


def _scalars(graph: Graph) -> list[tuple[int, ...]]:
    outputs = [(o, graph.nodes[o]) for o in graph.outputs]
    return [n.operands if n.primitive is PACK else (o,) for o, n in outputs]
