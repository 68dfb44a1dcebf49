"""From a scalar graph in machine words to a Kernel: the schedule over points.

The batch is the lane axis.  A value is computed in the outermost loop where all that
it depends on is known, so what does not vary along an inner batch axis is computed
once.  Values are ordered depth-first from the outputs, each stored when it is ready.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jitad.ir.graph import CONST, ELEMENT, PACK, Graph, Node
from jitad.lowering.kernel import (
    Buffer,
    Const,
    For,
    Kernel,
    Layout,
    Load,
    Op,
    Statement,
    Store,
    validate,
)


def schedule(
    graph: Graph,
    axes: int,
    varying: Sequence[tuple[int, ...]],
    layouts: Sequence[Layout],
) -> Kernel:
    """The kernel of a scalar graph over `axes` batch axes, axis 0 being the lanes.

    varying[k]  the batch axes along which input k varies, ascending
    layouts     the layouts of inputs, then of outputs; outputs vary along all axes
    """
    buffers = _buffers(graph, axes, varying, layouts)
    levels = _levels(graph, varying)
    bodies: list[list[Statement]] = [[] for _ in range(axes)]
    placed = [False] * len(graph.nodes)
    number = {i: k for k, i in enumerate(graph.inputs)}
    for o, output in enumerate(graph.outputs):
        buffer = len(graph.inputs) + o
        for element, value in enumerate(graph.nodes[output].operands):
            for i in _unplaced(graph, value, placed):
                node = graph.nodes[i]
                bodies[levels[i]].append(_statement(i, node, number))
            bodies[-1].append(Store(buffer, element, value))
    body: tuple[Statement, ...] = ()
    for axis in range(axes - 1, -1, -1):
        inner = (For(axis + 1, body),) if axis + 1 < axes else ()
        body = (*bodies[axis], *inner)
    kernel = Kernel(buffers, axes, body)
    validate(kernel)
    return kernel


def _buffers(
    graph: Graph,
    axes: int,
    varying: Sequence[tuple[int, ...]],
    layouts: Sequence[Layout],
) -> tuple[Buffer, ...]:
    everywhere = tuple(range(axes))
    count = len(graph.inputs)
    inputs = [
        Buffer(f"x{k}", t.dtype, t.size, tuple(varying[k]), layouts[k], False)
        for k, t in enumerate(graph.input_types)
    ]
    outputs = [
        Buffer(f"y{k}", t.dtype, t.size, everywhere, layouts[count + k], True)
        for k, t in enumerate(graph.output_types)
    ]
    return (*inputs, *outputs)


def _levels(graph: Graph, varying: Sequence[tuple[int, ...]]) -> list[int]:
    """For every node the innermost batch axis that it depends on."""
    levels = [0] * len(graph.nodes)
    for k, i in enumerate(graph.inputs):
        levels[i] = max(varying[k], default=0)
    for i, node in enumerate(graph.nodes):
        for a in node.operands:
            levels[i] = max(levels[i], levels[a])
    return levels


def _unplaced(graph: Graph, root: int, placed: list[bool]) -> Iterator[int]:
    """The nodes that root needs and that are not placed yet, operands first."""
    stack = [(root, False)]
    while stack:
        i, ready = stack.pop()
        if placed[i]:
            continue
        node = graph.nodes[i]
        if ready or node.primitive in (CONST, ELEMENT):
            placed[i] = True
            yield i
            continue
        stack.append((i, True))
        stack.extend((a, False) for a in reversed(node.operands) if not placed[a])


def _statement(i: int, node: Node, number: dict[int, int]) -> Statement:
    dtype = node.type.dtype
    if node.primitive is CONST:
        return Const(i, node.params[0][1].value, dtype)
    if node.primitive is ELEMENT:
        return Load(i, number[node.operands[0]], node.params[0][1], dtype)
    assert node.primitive.word is not None and node.primitive is not PACK
    return Op(i, node.primitive.word, node.operands, dtype)
