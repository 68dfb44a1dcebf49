"""From a sweep to the step that computes it: its graph, its axes, its kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
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

from .cells import (
    Added,
    Applied,
    Expression,
    Number,
    Result,
    Source,
    graph_of,
    read,
    sources,
)
from .steps import Delayed, Reach, Run, Sum
from .sweeps import Store, Sweep
from .windows import Box

# An axis of lanes is better the longer it is, up to so many.
_LONG = 256
# Boxes of fewer elements are not worth the time that fast code takes to be made.
_SMALL = 4096
# What is such a part of what is swept has code only after so many runs, or when NumPy
# has done so many weighted operations for it, which takes as long as making the code.
_PART, _OFTEN, _WORTH = 20, 100, 5e7


@dataclass(frozen=True, slots=True, eq=False)
class _Form:
    """What is the same of all sweeps that differ in where they are.

    order  the axes of the nest: that of the lanes, and those around it
    steps  bytes along these, of what is read and then of what is written
    kept   of each sum, the axes around the lanes that it keeps
    """

    graph: Graph
    code: Delayed
    extents: tuple[int, ...]
    steps: tuple[tuple[int, ...], ...]
    kept: tuple[tuple[int, ...], ...]
    alone: bool

    def run(self, sweep: Sweep, arrays: Sequence[Source]) -> Run:
        """The step of a sweep that reads and writes arrays."""
        low, shape = sweep.box.low, sweep.box.shape
        reaches = []
        for source, (lane, *outer) in zip(arrays, self.steps, strict=True):
            at = source.start
            for a, step in zip(low, source.steps, strict=True):
                at += a * step
            start = at * source.dtype.itemsize
            reaches.append(Reach(source.value, start, lane, tuple(outer)))
        sums = []
        for total, kept in zip(sweep.totals, self.kept, strict=True):
            own = [k for k in range(len(low)) if k not in total.axes]
            place = tuple([slice(low[k], low[k] + shape[k]) for k in own])
            there, size = total.there, tuple([shape[k] for k in own])
            sums.append(Sum(there.value, there.dtype, kept, place, size))
        lanes, *around = self.extents
        return Run(
            self.graph, self.code, tuple(reaches), tuple(sums), lanes, tuple(around),
            self.alone,
        )  # fmt: skip


class Kernels:
    """Makes steps; keep and effort as of `Derived`.

    often        whether they run again and again, so that small ones, too, have kernels
    interpreted  whether NumPy computes all, and nothing is compiled
    """

    def __init__(
        self, keep: bool, effort: Effort, *, often: bool, interpreted: bool
    ) -> None:
        self.keep, self.often, self.interpreted = keep, often, interpreted
        self.effort: Effort = effort
        self._forms: dict[Any, _Form | None] = {}

    def run(self, sweep: Sweep, beside: int = 0) -> Run:
        """What computes a sweep.

        Where an array that is added to stays at an element along an axis, that is
        added up in order.
        beside  how many elements there are in all sweeps that belong together
        """
        given, key = _looked_at(sweep)
        if (key, beside) not in self._forms:
            self._forms[key, beside] = self._form(sweep, given, beside)
        form = self._forms[key, beside]
        if form is None:
            return self.run(_rows(sweep))
        form.code.patience -= 1
        return form.run(sweep, [*given, *(s.there for s in sweep.stores)])

    def _form(self, sweep: Sweep, given: Sequence[Source], beside: int) -> _Form | None:
        """What to make of a sweep; None: it is better written than added up."""
        there = [s.there for s in sweep.stores]
        sums = [t.spread(len(sweep.box.low)) for t in sweep.totals]
        nest, arrays = Nest(sweep.box, [*given, *there, *sums]), [*given, *there]
        lane, outer = nest.lanes(arrays, nest.moving(there))
        if any(nest.steps(s)[lane] for s in sums):
            if len(sums) == 1 and not there:
                return None
            lane, outer = nest.lanes(arrays, nest.moving(there, sums))
        order = (lane, *outer)
        steps = [
            tuple([nest.steps(s)[k] * s.dtype.itemsize for k in order]) for s in arrays
        ]
        alone = not all(map(nest.apart, there))
        layouts: list[Layout] = [
            _layout(own[0], s) for own, s in zip(steps, arrays, strict=True)
        ]
        for k in range(len(given), len(layouts)):
            if layouts[k] == "fixed":
                layouts[k] = "streams"  # of one lane
        added: list[Layout] = ["sum"] * len(sums)
        layouts += added
        graph, size = _graph(sweep, given), sweep.box.size
        varying = tuple([(0,) if own[0] else () for own in steps[: len(given)]])
        request = Request(1, varying, tuple(layouts))
        code = Delayed(partial(self._compiled, graph, request, size))
        if self.interpreted:
            code.patience = math.inf
        elif size < beside // _PART and not (sweep.added or alone or self.often):
            often = int(_WORTH / (size * (1 + sweep.weight)))
            code.patience = min(_OFTEN, often) + 1
        else:
            code.ready()
        kept = [
            tuple([n for n, k in enumerate(outer) if nest.steps(s)[k]]) for s in sums
        ]
        extents = tuple([nest.extents[k] for k in order])
        return _Form(graph, code, extents, tuple(steps), tuple(kept), alone)

    def _compiled(self, graph: Graph, request: Request, size: int) -> Any:
        machine = cpu.HOST.at(self.effort if self.often or size >= _SMALL else "fast")
        executable, _ = compiled(graph, request, machine, (size,), keep=self.keep)
        return executable


def _rows(sweep: Sweep) -> Sweep:
    """A sum that is added to its elements as they are swept over."""
    (total,) = sweep.totals
    there = total.spread(len(sweep.box.low))
    return Sweep(sweep.box, (Store(total.expression, there),), added=True)


def _place(source: Source) -> Any:
    return source.value, source.start, source.steps


def _looked_at(sweep: Sweep) -> tuple[list[Source], Any]:
    """What a sweep reads, and all else about it: equal for those of one form."""
    given: dict[Any, Source] = {}
    number: dict[Any, int] = {}
    parts: list[Any] = []
    known: dict[int, int] = {}

    def look(x: Expression) -> int:
        """Which of the parts says what it is."""
        if id(x) in known:
            return known[id(x)]
        match x:
            case Source():
                place = _place(x)
                given.setdefault(place, x)
                part: Any = number.setdefault(place, len(number)), x.dtype, x.steps
            case Number():
                part = x.value.dtype, x.value.tobytes()
            case Result():
                part = look(x.of), x.output
            case Applied():
                part = (x.graph, *map(look, x.operands))
            case Added():
                part = ("added", *map(look, x.terms))
            case _:
                raise AssertionError(x)
        known[id(x)] = len(parts)
        parts.append(part)
        return known[id(x)]

    stores = [(look(s.expression), _like(s.there)) for s in sweep.stores]
    totals = [(look(t.expression), t.axes, _like(t.there)) for t in sweep.totals]
    if sweep.added:
        for store in sweep.stores:
            look(store.there)
    key = sweep.box.shape, tuple(stores), tuple(totals), sweep.added, tuple(parts)
    return list(given.values()), key


def _like(there: Source) -> Any:
    return there.dtype, there.steps


def _graph(sweep: Sweep, given: Sequence[Source]) -> Graph:
    """The graph of one element."""
    builder = new_builder()
    known = {_place(source): read(builder, source.dtype) for source in given}
    index: dict[Any, int] = {
        id(source): known[_place(source)]
        for x in (*sweep.expressions, *(s.there for s in sweep.stores if sweep.added))
        for source in sources(x)
    }
    outputs = []
    for each in (*sweep.stores, *sweep.totals):
        dtype = each.there.dtype
        made = builder.cast(graph_of(builder, each.expression, index), dtype)
        if sweep.added:
            before = index[id(each.there)]
            add = registry.primitives["add"]
            made = builder.apply(add, (before, made), scalar(dtype))
        outputs.append(pack(builder, np.asarray(made), scalar(dtype)))
    return builder.finish(outputs)


def _layout(lane: int, source: Source) -> Layout:
    """The layout of an array of which a lane has one element."""
    if lane == source.dtype.itemsize:
        return "streams"
    return "rows" if lane else "fixed"


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

    def apart(self, source: Source) -> bool:
        """Whether it is seen that no element of an array is at two indices."""
        pairs = zip(self.steps(source), self.extents, strict=True)
        last = 0
        for step, n in sorted((abs(step), n) for step, n in pairs if n > 1):
            if step <= last:
                return False
            last += step * (n - 1)
        return True

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
