"""The only place that chooses: lane axis, layouts, back end; and remembers why.

`Derived` is what is to be computed for one point, `Placement` where an array of a call
lies, `Plan` the kernel made for both.  `explain` reads a Plan.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np

from jitad import tree
from jitad.backends import cpu
from jitad.ir.graph import CONST, ELEMENT, INPUT, INTEGERS, PACK, Graph, prune
from jitad.ir.interpret import inline
from jitad.ir.loop import LOOP, PART, loop_of
from jitad.ir.table import SPREAD
from jitad.ir.tracer import Tracer
from jitad.kept import entries, graphs
from jitad.locks import cached_property
from jitad.lowering.kernel import Argument, Kernel, Layout
from jitad.lowering.target import NARROWEST
from jitad.transforms.branches import sink
from jitad.transforms.expand import expand
from jitad.transforms.scalarize import elements, pack
from jitad.transforms.templates import builder
from jitad.waiting import stage

# With at least so many points the outermost batch axis gives the lanes.
_ENOUGH_LANES = 64
# From so many points a sum over them is a kernel of its own.
_ENOUGH_POINTS = 256


class Machine(Protocol):
    """What kernels are made for: `cpu.HOST`, or a card by `cuda.Builder`."""

    def build(
        self,
        graph: Graph,
        axes: int,
        varying: Sequence[tuple[int, ...]],
        layouts: Sequence[Layout],
    ) -> Any:
        """An executable of a scalar graph."""


class Side(NamedTuple):
    """What derivatives of a derived graph are taken of: its graph of one side.

    slopes  the outputs that are derivatives themselves
    """

    graph: Graph
    slopes: frozenset[int] = frozenset()


@dataclass(frozen=True, eq=False)
class Derived:
    """A scalar graph for one point, the structure of its result, and how it came.

    Its inputs are the function's leaves, then one for each captured traced value.
    mode is the best of those with costs, unless it was asked for; untried says why
    other modes were not counted.  inside names the transformed functions that it
    calls, and how each of them came.  may_raise says that at a point where the result
    is NaN NumPy may raise LinAlgError instead.  bound says that values of an enclosing
    trace, or branches taken on them, went in, so that nothing else can use it.
    side gives what derivatives of it are taken of, where it has kinks.  ruled says
    that derivatives by rules of the user's went in, which may be of no function.
    final says that it was made where nobody differentiates it: sides are left out.
    keep says that its code may be kept on disk, fast that it is compiled quickly.
    """

    graph: Graph
    result: tree.PyTreeSpec
    captured: tuple[Tracer, ...] = ()
    mode: str = ""
    costs: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    asked: bool = False
    untried: dict[str, str] = field(default_factory=dict)
    inside: tuple[tuple[str, Derived], ...] = ()
    may_raise: bool = False
    bound: bool = False
    keep: bool = True
    fast: bool = False

    @cached_property
    def narrowed(self) -> tuple[tuple[int, np.dtype], ...]:
        """The inputs that are computed in a narrower integer's dtype, and which."""
        nodes, found = self.graph.nodes, set()
        number = {i: k for k, i in enumerate(self.graph.inputs)}
        for node in nodes:
            if node.primitive.name == "cast" and node.type.dtype in INTEGERS:
                (a,) = node.operands
                a = nodes[a].operands[0] if nodes[a].primitive is ELEMENT else a
                if a in number:
                    found.add((number[a], node.type.dtype))
        return tuple(sorted(found, key=str))

    side: Callable[[], Side | None] | None = None
    ruled: bool = False
    final: bool = False


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
    machine: Machine = cpu.HOST,
) -> Plan:
    """Lower and compile: one lane axis at least, even for a single point."""
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
    executable, seconds = compiled(
        graph,
        max(1, len(order)),
        varying,
        layouts,
        machine,
        keep=derived.keep,
        fast=derived.fast,
    )
    seconds = {**derived.seconds, **seconds}
    return Plan(derived, executable, order, buffers, seconds)


def packed(graph: Graph) -> Graph:
    """The same graph; results that are arrays are made in it, if not of scalars."""
    made = (PACK, PART, SPREAD)
    if all(graph.nodes[o].primitive in made for o in graph.outputs):
        return graph
    target = builder()
    outputs = inline(target, graph, [target.input(t) for t in graph.input_types])
    for k, (o, type) in enumerate(zip(outputs, graph.output_types, strict=True)):
        if target.nodes[o].primitive not in made:
            outputs[k] = pack(target, elements(target, o), type)
    return target.finish(outputs)


def compiled(
    graph: Graph,
    axes: int,
    varying: tuple[tuple[int, ...], ...],
    layouts: tuple[Layout, ...],
    machine: Machine,
    *,
    keep: bool,
    fast: bool = False,
) -> tuple[Any, dict[str, float]]:
    """The kernel of a graph, and what it took to make it.

    keep  whether its code may be read from the disk, and kept there
    fast  whether it is compiled quickly, on the host
    """
    try:
        digest = graphs.digest(graph)
    except graphs.UnknownError:
        digest = graph.digest.encode()
    with entries.only_if(keep):
        machine = cpu.FAST if fast and machine is cpu.HOST else machine
        return _compiled(_Source(digest, graph), axes, varying, layouts, machine)


def lowered(graph: Graph) -> Graph:
    """A scalar graph as it becomes a kernel: in machine words, with branches."""
    return sink(expand(graph))


def lifted(graph: Graph) -> tuple[Graph, list[np.ndarray]]:
    """Constant arrays as further inputs: nothing of them is compiled in."""
    large = [
        i for i, n in enumerate(graph.nodes) if n.primitive is CONST and n.type.shape
    ]
    if not large:
        return graph, []
    nodes = list(graph.nodes)
    values = [graph.nodes[i].value for i in large]
    for k, i in enumerate(large):
        params = (("index", len(graph.inputs) + k),)
        nodes[i] = nodes[i]._replace(primitive=INPUT, params=params)
    return prune(nodes, (*graph.inputs, *large), graph.outputs), values


def long_sum(graph: Graph) -> int | None:
    """The first loop whose iterations should run along lanes: all it does is add.

    With fewer iterations, or in a batch, they run one after the other in a lane.
    """
    for i, node in enumerate(graph.nodes):
        if node.primitive is LOOP:
            loop = loop_of(node)
            enough = _ENOUGH_POINTS if not loop.summed else 1
            if loop.bound < enough or loop.written:
                continue
            if not loop.carried and not loop.summed:
                continue
            counts = any(loop.inputs.index in n.operands for n in loop.body.nodes)
            if loop.adds and not counts:
                return i
    return None


@dataclass(frozen=True, slots=True)
class _Source:
    """A graph that is equal to every graph of the same digest."""

    digest: bytes
    graph: Graph = field(compare=False)


@lru_cache(maxsize=512)
def _compiled(
    source: _Source,
    axes: int,
    varying: tuple[tuple[int, ...], ...],
    layouts: tuple[Layout, ...],
    machine: Machine,
) -> tuple[Any, dict[str, float]]:
    """The kernel of a graph; functions that are traced alike share it."""
    start = time.perf_counter()
    with stage("compiled", lambda: len(source.graph.nodes)):
        executable = machine.build(source.graph, axes, varying, layouts)
    whole, spent = time.perf_counter() - start, executable.compile_seconds
    return executable, {"lower": whole - spent, "compile": spent}


# -- layouts -------------------------------------------------------------------


@lru_cache(maxsize=4096)
def element_offsets(shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    """Byte offsets of the elements of one point, in C order."""
    offsets = np.zeros((), np.int64)
    for extent, stride in zip(shape, strides, strict=True):
        offsets = offsets[..., None] + np.arange(extent, dtype=np.int64) * stride
    return np.ascontiguousarray(offsets.ravel())


def _packed(shape: tuple[int, ...], strides: tuple[int, ...], size: int) -> bool:
    """Whether elements lie one after the other in C order."""
    for extent, stride in zip(reversed(shape), reversed(strides), strict=True):
        if extent != 1 and stride != size:
            return False
        size *= extent
    return True


@lru_cache(maxsize=4096)
def classify(
    lane_stride: int | None, shape: tuple[int, ...], strides: tuple[int, ...], size: int
) -> tuple[Layout, int | np.ndarray]:
    """The layout of a buffer and its Argument.elements; lane_stride None: the same.

    shape and strides are those of one point, size the itemsize.
    """
    if lane_stride is None and _packed(shape, strides, size):
        return "fixed", 0
    offsets = element_offsets(shape, strides)
    step = int(offsets[1] - offsets[0]) if offsets.size > 1 else 0
    affine = bool(np.all(np.diff(offsets) == step))
    packed = affine and (offsets.size <= 1 or step == size)
    if lane_stride is None:
        return ("fixed", 0) if packed else ("general", offsets)
    if lane_stride == size and affine:
        return "streams", step
    return ("rows", 0) if packed else ("general", offsets)


@dataclass(frozen=True, slots=True)
class Placement:
    """How one array lies: layout, kernel axes it varies along, strides, elements."""

    layout: Layout
    varying: tuple[int, ...]
    strides: tuple[int, ...]
    elements: int | np.ndarray

    def argument(self, address: int) -> Argument:
        """The launch argument of the array at an address."""
        return Argument(address, self.strides, self.elements)


def place(view: np.ndarray, extents: Sequence[int], order: Sequence[int]) -> Placement:
    """The placement of an array seen as (batch levels …, point axes …)."""
    levels = len(extents)
    point, inner = view.shape[levels:], view.strides[levels:]
    steps = [view.strides[k] if view.shape[k] == extents[k] else 0 for k in order]
    full = [view.shape[k] == extents[k] != 1 for k in order]
    varying = tuple(a for a, varies in enumerate(full) if varies)
    lane = steps[0] if full and full[0] else None
    layout, elements = classify(lane, point, inner, view.itemsize)
    strides = tuple(s if v else 0 for s, v in zip(steps, full, strict=True))
    return Placement(layout, varying, strides or (0,), elements)


def place_output(
    view: np.ndarray, extents: Sequence[int], order: Sequence[int]
) -> Placement:
    """The placement of a result, which varies along every batch level."""
    levels = len(extents)
    point, inner = view.shape[levels:], view.strides[levels:]
    strides = tuple(view.strides[k] for k in order)
    lane = strides[0] if strides else view.nbytes
    layout, elements = classify(lane, point, inner, view.itemsize)
    axes = tuple(range(max(1, len(order))))
    return Placement(layout, axes, strides or (lane,), elements)


def place_spread() -> Placement:
    """The placement of a result that a kernel of one point adds up in place."""
    return Placement("spread", (), (0,), 0)


def past_cache(
    graph: Graph,
    placed: Sequence[Placement],
    outputs: Sequence[np.ndarray],
    phases: Sequence[int],
) -> list[Placement]:
    """The placements of results, as lines where streams can be and had better be.

    phases  for every result how many bytes behind a cache line it begins

    Their scalars must be as wide as the widest value, and wide enough to fill a vector,
    for a vector of them is a line, and begin at the same place in a line as the largest
    result does.
    """
    if not outputs:
        return []
    widest = max(NARROWEST, *(node.type.dtype.itemsize for node in graph.nodes))
    _, phase = max((o.nbytes, p) for o, p in zip(outputs, phases, strict=True))
    fitting = [
        p.layout == "streams"
        and len(p.strides) == 1
        and o.itemsize == widest
        and at == phase
        and p.elements % cpu.LINE == 0
        for p, o, at in zip(placed, outputs, phases, strict=True)
    ]
    written = sum(o.nbytes for o, fits in zip(outputs, fitting, strict=True) if fits)
    if not cpu.past_cache(written):
        return list(placed)
    return [
        replace(p, layout="lines") if fits else p
        for p, fits in zip(placed, fitting, strict=True)
    ]
