"""From a cell to the step that computes it: its graph, its axes, its kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitad.backends.cpu import executable as cpu
from jitad.ir.graph import Graph, scalar
from jitad.ir.primitive import registry
from jitad.lowering.kernel import Layout
from jitad.lowering.schedule import Request
from jitad.plan.pipeline import compiled
from jitad.transforms.scalars.scalarize import pack
from jitad.transforms.scalars.templates import new_builder

from .cells import Cell, Expression, Source, graph_of, read, sources
from .steps import Add, Reach, Run, Small
from .windows import Box

# An axis of lanes is better the longer it is, up to so many.
_LONG = 256
# Cells of fewer elements are not worth the time that fast code takes to be made, nor,
# where they are such a part of what is written, code at all.
_SMALL, _PART = 4096, 20


class Kernels:
    """Makes steps; keep and fast as of `Derived`."""

    def __init__(self, keep: bool, fast: bool) -> None:
        self.keep, self.fast = keep, fast

    def write(
        self, cell: Cell, there: Source, *, added: bool = False, beside: int = 0
    ) -> Run | Small:
        """What writes a cell to an array, or adds it to what is there.

        Where the array stays at an element along an axis, that is added up in order.
        beside  how many elements are written besides
        """
        x = cell.expression
        graph, given = _graph(x, there.dtype, there if added else None)
        nest = Nest(cell.box, [*given, there])
        moving = [k for k, step in enumerate(nest.steps(there)) if step]
        lane, outer = nest.lanes([*given, there], moving or [0])
        reaches = [nest.reach(s, lane, outer) for s in (*given, there)]
        lanes, around = nest.extents[lane], tuple([nest.extents[k] for k in outer])
        pairs = zip(nest.extents, nest.steps(there), strict=True)
        alone = any(n > 1 and not step for n, step in pairs)

        def make() -> Run:
            arrays = zip(reaches, [*given, there], strict=True)
            layouts: list[Layout] = [_layout(r, s) for r, s in arrays]
            if layouts[-1] == "fixed":
                layouts[-1] = "streams"  # of one lane
            executable = self._compiled(graph, reaches[:-1], layouts, cell.box.size)
            return Run(graph, executable, tuple(reaches), lanes, around, alone)

        if cell.box.size < min(_SMALL, beside // _PART) and not (added or alone):
            return Small(graph, tuple(reaches), lanes, around, make)
        return make()

    def add(
        self, cell: Cell, summed: tuple[int, ...], total: Source
    ) -> Run | Small | Add:
        """What adds the sums of a cell over some axes to an array without these."""
        rank = len(cell.box.low)
        kept = [k for k in range(rank) if k not in summed]
        own = iter(total.steps)
        steps = tuple([0 if k in summed else next(own) for k in range(rank)])
        there = Source(total.value, total.dtype, total.start, steps)
        graph, given = _graph(cell.expression, total.dtype, None)
        nest = Nest(cell.box, [*given, there])
        lane, outer = nest.lanes(given)
        if nest.steps(there)[lane]:
            return self.write(cell, there, added=True)
        reaches = [nest.reach(s, lane, outer) for s in given]
        layouts: list[Layout] = [
            _layout(r, s) for r, s in zip(reaches, given, strict=True)
        ]
        layouts.append("sum")
        executable = self._compiled(graph, reaches, layouts, cell.box.size)
        return Add(
            graph, executable, tuple(reaches), nest.extents[lane],
            tuple([nest.extents[k] for k in outer]),
            kept=tuple([n for n, k in enumerate(outer) if nest.steps(there)[k]]),
            value=total.value,
            place=tuple([slice(cell.box.low[k], cell.box.high[k]) for k in kept]),
            shape=tuple([cell.box.shape[k] for k in kept]),
            dtype=total.dtype,
        )  # fmt: skip

    def _compiled(
        self,
        graph: Graph,
        inputs: Sequence[Reach],
        layouts: Sequence[Layout],
        size: int,
    ) -> Any:
        varying = tuple([(0,) if r.lane else () for r in inputs])
        request = Request(1, varying, tuple(layouts))
        fast = self.fast or size < _SMALL
        executable, _ = compiled(graph, request, cpu.HOST, keep=self.keep, fast=fast)
        return executable


def _graph(
    x: Expression, dtype: np.dtype, added_to: Source | None
) -> tuple[Graph, list[Source]]:
    """The graph of one element, and what its inputs read."""
    builder = new_builder()
    index: dict[Any, int] = {}
    given: list[Source] = []
    known: dict[Any, int] = {}
    for source in (*sources(x), *([added_to] if added_to else [])):
        key = source.value, source.start, source.steps
        if key not in known:
            known[key] = read(builder, source.dtype)
            given.append(source)
        index[id(source)] = known[key]
    made = builder.cast(graph_of(builder, x, index), dtype)
    if added_to:
        before = index[id(added_to)]
        made = builder.apply(registry.primitives["add"], (before, made), scalar(dtype))
    return builder.finish([pack(builder, np.asarray(made), scalar(dtype))]), given


def _layout(reach: Reach, source: Source) -> Layout:
    """The layout of an array of which a lane has one element."""
    if reach.lane == source.dtype.itemsize:
        return "streams"
    return "rows" if reach.lane else "fixed"


class Nest:
    """The axes of a box along which arrays move, as few as do it."""

    def __init__(self, box: Box, every: Sequence[Source]) -> None:
        self.low = box.low
        axes = [k for k, n in enumerate(box.shape) if n > 1]
        own = [[s.steps[k] for s in every] for k in axes]
        extents = [box.shape[k] for k in axes]
        # What goes on where the next axis ends is one axis with it.
        for k in reversed(range(len(axes) - 1)):
            n = extents[k + 1]
            if all(a == b * n for a, b in zip(own[k], own[k + 1], strict=True)):
                extents[k : k + 2] = [extents[k] * n]
                own[k : k + 2] = [own[k + 1]]
        self.extents = extents or [1]
        self._steps = {id(s): [o[j] for o in own] or [0] for j, s in enumerate(every)}

    def steps(self, source: Source) -> list[int]:
        """The steps of an array along the axes."""
        return self._steps[id(source)]

    def lanes(
        self, arrays: Sequence[Source], free: Sequence[int] | None = None
    ) -> tuple[int, list[int]]:
        """The axis of the lanes, among free ones or all, and the others.

        The best is long, and along memory.
        """

        def score(k: int) -> float:
            near = sum(self.steps(s)[k] in (0, 1) for s in arrays) + 1
            return min(self.extents[k], _LONG) * near / (len(arrays) + 1)

        axes = range(len(self.extents))
        lane = max(axes if free is None else free, key=score)
        return lane, [k for k in axes if k != lane]

    def reach(self, source: Source, lane: int, outer: Sequence[int]) -> Reach:
        """Where a kernel over the box finds an array."""
        size = source.dtype.itemsize
        pairs = zip(self.low, source.steps, strict=True)
        start = source.start + sum(a * s for a, s in pairs)
        steps = [s * size for s in self.steps(source)]
        around = tuple([steps[k] for k in outer])
        return Reach(source.value, start * size, steps[lane], around)
