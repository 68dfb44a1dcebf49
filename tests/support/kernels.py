"""Run a kernel on the machine and in plain Python over arrays laid out as it says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jitad.backends.cpu import executable as cpu
from jitad.ir.graph import Graph, prune
from jitad.lowering.execute import execute
from jitad.lowering.kernel import Argument, Buffer, Kernel, Layout
from jitad.lowering.order import Ordering, order
from jitad.lowering.schedule import Request, schedule
from jitad.lowering.validate import validate
from jitad.lowering.words import meaning
from jitad.transforms.rewrite.branches import sink
from jitad.transforms.rewrite.expand import expand


def scheduled(
    graph: Graph,
    axes: int,
    varying: Sequence[Sequence[int]],
    layouts: Sequence[Layout],
    ordering: Ordering = order,
) -> Kernel:
    """The kernel of a graph in machine words, validated."""
    request = Request(axes, tuple(map(tuple, varying)), tuple(layouts))
    kernel = schedule(graph, request, ordering)
    validate(kernel)
    return kernel


def layout(
    buffer: Buffer, axes: int, extents: Sequence[int], phase: int = 0
) -> tuple[np.ndarray, Argument, np.ndarray]:
    """Memory for a buffer: a view of shape (*extents, elements), where it lies, and
    the bytes around it, which must stay as they are.

    phase  how many bytes behind a cache line a buffer of lines begins
    """
    if buffer.layout == "lines":
        return _lines(buffer, extents[0], phase)
    n, size = buffer.elements, buffer.dtype.itemsize
    shape = [extents[a] if a in buffer.axes else 1 for a in range(axes)]
    if buffer.layout == "streams":
        order = [*range(1, axes), axes, 0]
    elif buffer.layout == "general":
        order = [axes, *range(axes)]
    else:
        order = list(range(axes + 1))
    whole = [*shape, n]
    counts = [whole[k] for k in order]
    if buffer.layout == "general":
        counts = [2 * c for c in counts]
    total = int(np.prod(counts, dtype=np.int64)) * size
    memory = np.full(total + 128, 0xA5, np.uint8)
    data = memory[64 : 64 + total].view(buffer.dtype).reshape(counts)
    if buffer.layout == "general":
        data = data[tuple(slice(None, None, 2) for _ in counts)]
    view = np.moveaxis(data, range(axes + 1), order)
    strides = tuple(view.strides[a] if a in buffer.axes else 0 for a in range(axes))
    elements: int | np.ndarray = view.strides[axes]
    if buffer.layout == "general":
        elements = np.arange(n, dtype=np.int64) * view.strides[axes]
    return view, Argument(view.ctypes.data, strides, elements), memory


def _lines(
    buffer: Buffer, count: int, phase: int
) -> tuple[np.ndarray, Argument, np.ndarray]:
    """Streams a whole number of cache lines apart, and what lies between them."""
    stride = -(-count * buffer.dtype.itemsize // 64) * 64 + 64
    memory = np.full(buffer.elements * stride + 256, 0xA5, np.uint8)
    start = 64 + -memory.ctypes.data % 64 + phase
    data = memory[start : start + buffer.elements * stride]
    rows = data.view(buffer.dtype).reshape(buffer.elements, -1)
    view = rows[:, :count].T
    argument = Argument(view.ctypes.data, (buffer.dtype.itemsize,), stride)
    return view, argument, memory


def run(
    kernel: Kernel,
    extents: Sequence[int],
    inputs: Sequence[np.ndarray],
    executable: cpu.Executable,
    phase: int = 0,
) -> list[np.ndarray]:
    """Outputs of the machine; inputs have shape (*extents or 1, elements)."""
    views, arguments, memories = [], [], []
    given = iter(inputs)
    for b in kernel.buffers:
        view, argument, memory = layout(b, kernel.axes, extents, phase)
        if not b.output:
            view[...] = next(given)
        views.append(view)
        arguments.append(argument)
        memories.append(memory)
    before = [memory.copy() for memory, b in zip(memories, kernel.buffers, strict=True)]
    executable.launch(extents, arguments)
    for b, old, new in zip(kernel.buffers, before, memories, strict=True):
        if not b.output:
            assert np.array_equal(old, new), "an input was written"
        assert np.array_equal(old[:64], new[:64]), "written before the array"
        assert np.array_equal(old[-64:], new[-64:]), "written past the array"
    return [v for v, b in zip(views, kernel.buffers, strict=True) if b.output]


def reference(
    kernel: Kernel, extents: Sequence[int], inputs: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Outputs of `execute`."""
    validate(kernel)
    arrays, given = [], iter(inputs)
    for b in kernel.buffers:
        shape = [extents[a] if a in b.axes else 1 for a in range(kernel.axes)]
        arrays.append(
            np.zeros((*shape, b.elements), b.dtype) if b.output else next(given)
        )
    with np.errstate(all="ignore"):
        execute(kernel, extents, arrays, meaning)
    return [a for a, b in zip(arrays, kernel.buffers, strict=True) if b.output]


def ulps(a: np.ndarray, b: np.ndarray) -> float:
    """The largest distance of a from b in units of b's last place; NaN = NaN."""
    if a.dtype.kind != "f":
        return 0.0 if np.array_equal(a, b) else np.inf
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(all="ignore"):
        distance = np.abs(a - b) / np.spacing(np.abs(b))
    distance = np.where(same, 0.0, np.where(np.isnan(distance), np.inf, distance))
    return float(distance.max(initial=0.0))


def in_rows(graph: Graph, ordering: Ordering) -> Kernel:
    """The kernel of a graph over a batch in rows, without arrays of no elements."""
    ins = [i for i in graph.inputs if graph.nodes[i].type.size]
    outs = tuple(o for o in graph.outputs if graph.nodes[o].type.size)
    graph = prune(graph.nodes, ins, outs)
    layouts = ["rows"] * (len(ins) + len(outs))
    return scheduled(sink(expand(graph)), 1, [(0,)] * len(ins), layouts, ordering)
