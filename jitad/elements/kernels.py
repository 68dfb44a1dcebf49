"""From a sweep to the step that computes it: its graph, its axes, its kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitad.backends.cpu import executable as cpu
from jitad.backends.cpu.tiers import Effort
from jitad.ir.graph import Graph, scalar
from jitad.ir.primitive import registry
from jitad.lowering.kernel import Layout
from jitad.lowering.schedule import Request
from jitad.plan.pipeline import compiled
from jitad.transforms.scalars.scalarize import pack
from jitad.transforms.scalars.templates import new_builder

from .cells import Source, graph_of, read, sources
from .steps import Reach, Run, Sum
from .sweeps import Store, Sweep, Total
from .windows import Box

# An axis of lanes is better the longer it is, up to so many.
_LONG = 256
# Boxes of fewer elements are not worth the time that fast code takes to be made.
_SMALL = 4096
# What is such a part of what is swept has code only after so many runs, or when NumPy
# has done so many weighted operations for it, which takes as long as making the code.
_PART, _OFTEN, _WORTH = 20, 30, 5e7
_SUM: Layout = "sum"


class Kernels:
    """Makes steps; keep and effort as of `Derived`.

    often  whether they run again and again, so that small ones, too, have kernels
    """

    def __init__(self, keep: bool, effort: Effort, *, often: bool = False) -> None:
        self.keep, self.often = keep, often
        self.effort: Effort = effort

    def run(self, sweep: Sweep, beside: int = 0) -> Run:
        """What computes a sweep.

        Where an array that is added to stays at an element along an axis, that is
        added up in order.
        beside  how many elements there are in all sweeps that belong together
        """
        graph, given = _graph(sweep)
        there = [s.there for s in sweep.stores]
        sums = [t.spread(len(sweep.box.low)) for t in sweep.totals]
        nest = Nest(sweep.box, [*given, *there, *sums])
        lane, outer = nest.lanes([*given, *there], nest.moving(there))
        if any(nest.steps(s)[lane] for s in sums):
            if len(sums) == 1 and not there:
                return self.run(_rows(sweep))
            lane, outer = nest.lanes([*given, *there], nest.moving(there, sums))
        around = tuple([nest.extents[k] for k in outer])
        reaches = [nest.reach(s, lane, outer) for s in (*given, *there)]
        pairs = [zip(nest.extents, nest.steps(s), strict=True) for s in there]
        alone = any(n > 1 and not step for own in pairs for n, step in own)
        layouts: list[Layout] = [
            _layout(r, s) for r, s in zip(reaches, [*given, *there], strict=True)
        ]
        for k in range(len(given), len(layouts)):
            if layouts[k] == "fixed":
                layouts[k] = "streams"  # of one lane
        layouts += [_SUM] * len(sums)
        size = sweep.box.size
        inputs = reaches[: len(given)]

        def make() -> Any:
            return self._compiled(graph, inputs, layouts, size)

        small = size < beside // _PART and not (sweep.added or alone or self.often)
        often = min(_OFTEN, int(_WORTH / (size * (1 + sweep.weight))))
        return Run(
            graph, tuple(reaches),
            tuple([_sum(t, sweep.box, nest, s, outer) for t, s in
                   zip(sweep.totals, sums, strict=True)]),
            nest.extents[lane], around, make, alone, often if small else 0,
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
        machine = cpu.HOST.at(self.effort if self.often or size >= _SMALL else "fast")
        executable, _ = compiled(graph, request, machine, (size,), keep=self.keep)
        return executable


def _rows(sweep: Sweep) -> Sweep:
    """A sum that is added to its elements as they are swept over."""
    (total,) = sweep.totals
    there = total.spread(len(sweep.box.low))
    return Sweep(sweep.box, (Store(total.expression, there),), added=True)


def _sum(
    total: Total, box: Box, nest: Nest, there: Source, outer: Sequence[int]
) -> Sum:
    """Where the sums of a kernel go."""
    kept = [k for k in range(len(box.low)) if k not in total.axes]
    return Sum(
        there.value, there.dtype,
        tuple([n for n, k in enumerate(outer) if nest.steps(there)[k]]),
        tuple([slice(box.low[k], box.high[k]) for k in kept]),
        tuple([box.shape[k] for k in kept]),
    )  # fmt: skip


def _graph(sweep: Sweep) -> tuple[Graph, list[Source]]:
    """The graph of one element, and what its inputs read."""
    builder = new_builder()
    index: dict[Any, int] = {}
    given: list[Source] = []
    known: dict[Any, int] = {}
    read_: list[Source] = [s for x in sweep.expressions for s in sources(x)]
    read_ += [s.there for s in sweep.stores if sweep.added]
    for source in read_:
        key = source.value, source.start, source.steps
        if key not in known:
            known[key] = read(builder, source.dtype)
            given.append(source)
        index[id(source)] = known[key]
    outputs = []
    for each in (*sweep.stores, *sweep.totals):
        dtype = each.there.dtype
        made = builder.cast(graph_of(builder, each.expression, index), dtype)
        if sweep.added:
            before = index[id(each.there)]
            add = registry.primitives["add"]
            made = builder.apply(add, (before, made), scalar(dtype))
        outputs.append(pack(builder, np.asarray(made), scalar(dtype)))
    return builder.finish(outputs), given


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

    def moving(self, there: Sequence[Source], sums: Sequence[Source] = ()) -> list[int]:
        """The axes along which all of some arrays move, and none of others."""
        return [
            k
            for k in range(len(self.extents))
            if all(self.steps(s)[k] for s in there)
            and not any(self.steps(s)[k] for s in sums)
        ]

    def lanes(
        self, arrays: Sequence[Source], free: Sequence[int]
    ) -> tuple[int, list[int]]:
        """The axis of the lanes, among free ones if there are any, and the others.

        The best is long, and along memory.
        """

        def score(k: int) -> float:
            near = sum(self.steps(s)[k] in (0, 1) for s in arrays) + 1
            return min(self.extents[k], _LONG) * near / (len(arrays) + 1)

        axes = range(len(self.extents))
        lane = max(free or axes[:1], key=score)
        return lane, [k for k in axes if k != lane]

    def reach(self, source: Source, lane: int, outer: Sequence[int]) -> Reach:
        """Where a kernel over the box finds an array."""
        size = source.dtype.itemsize
        pairs = zip(self.low, source.steps, strict=True)
        start = source.start + sum(a * s for a, s in pairs)
        steps = [s * size for s in self.steps(source)]
        around = tuple([steps[k] for k in outer])
        return Reach(source.value, start * size, steps[lane], around)
