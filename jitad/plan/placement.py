"""Where an array of a call lies, in a kernel's terms: its layout and its strides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from jitad.backends.cpu.fresh import LINE
from jitad.backends.memory import address
from jitad.ir.graph import Graph
from jitad.lowering.kernel import Argument, Layout
from jitad.lowering.llvm.target import NARROWEST


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


def place_scatter() -> Placement:
    """The placement of a result that a kernel of one point adds up in place."""
    return Placement("scatter", (), (0,), 0)


def around_cache(
    graph: Graph,
    placed: Sequence[Placement],
    outputs: Sequence[np.ndarray],
    exceeds: Callable[[int], bool],
) -> list[Placement]:
    """The placements of results, as lines where streams can be and had better be.

    exceeds  whether a number of bytes had better be written around the cache

    Their scalars must be as wide as the widest value, and wide enough to fill a vector,
    for a vector of them is a line, and begin at the same place in a line as the largest
    result does.
    """
    if not outputs:
        return []
    phases = [address(o) % LINE for o in outputs]
    widest = max(NARROWEST, *(node.type.dtype.itemsize for node in graph.nodes))
    _, phase = max((o.nbytes, p) for o, p in zip(outputs, phases, strict=True))
    fitting = [
        p.layout == "streams"
        and len(p.strides) == 1
        and o.itemsize == widest
        and at == phase
        and p.elements % LINE == 0
        for p, o, at in zip(placed, outputs, phases, strict=True)
    ]
    written = sum(o.nbytes for o, fits in zip(outputs, fitting, strict=True) if fits)
    if not exceeds(written):
        return list(placed)
    return [
        replace(p, layout="lines") if fits else p
        for p, fits in zip(placed, fitting, strict=True)
    ]
