"""How a call on large arrays runs, as facts: its passes over memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jitad.elements.repeating import Repeat
from jitad.elements.running import Recur
from jitad.elements.steps import Compute, New, Plan
from jitad.ir.graph import Type
from jitad.transforms.rewrite.tidy import weight


@dataclass(frozen=True, slots=True)
class Pass:
    """A kernel over some elements of arrays.

    what        "store", "sum" for what is added up, or both; or what a library computes
    elements    that it computes
    operations  weighted, of one element
    read, written  bytes; an array that is read at several places counts once
    times       that a loop runs it, at most
    """

    what: str
    elements: int
    operations: float
    read: int
    written: int
    times: int = 1


@dataclass(frozen=True, slots=True)
class Passes:
    """A call on large arrays explained: print it, or use its fields.

    inputs, outputs  the types of arguments and results
    passes  in order
    peak    bytes of new arrays that there are at a time, at most
    """

    name: str
    inputs: tuple[Type, ...]
    outputs: tuple[Type, ...]
    passes: tuple[Pass, ...]
    peak: int

    @property
    def moved(self) -> int:
        """Bytes that all passes read and write."""
        return sum((p.read + p.written) * p.times for p in self.passes)

    @property
    def least(self) -> int:
        """Bytes of the arguments and results, which have to be moved."""
        types = (*self.inputs, *self.outputs)
        return sum(t.size * t.dtype.itemsize for t in types)

    @property
    def text(self) -> str:
        """All of it, as a person reads it."""
        small = sum(p.elements for p in self.passes) // 100
        large = [p for p in self.passes if p.elements > small]
        lines = [
            f"{self.name} at one point, of arrays that stay whole",
            f"arguments         {', '.join(map(str, self.inputs))}",
            f"results           {', '.join(map(str, self.outputs))}",
            f"passes            {len(self.passes)}, of which {len(large)} are large",
            *[_line(p, n) for p, n in Counter(large).items()],
            f"memory            {_bytes(self.moved)} read and written; arguments and "
            f"results have {_bytes(self.least)}",
            f"new arrays        {_bytes(self.peak)} at a time, results among them",
        ]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text


def explained(name: str, inputs: Sequence[Type], plan: Plan) -> Passes:
    """The passes of a plan."""
    passes = tuple(_passes(plan, 1))
    return Passes(name, tuple(inputs), plan.types, passes, plan.peak)


def _passes(plan: Plan, times: int) -> Iterator[Pass]:
    """Those of steps that run so often."""
    for step in plan.steps:
        if isinstance(step, Repeat):
            yield from _passes(step.body, times * step.statement.bound)
        elif not isinstance(step, New):
            yield replace(_pass(step), times=times)


def _pass(step: Any) -> Pass:
    if isinstance(step, Recur):
        return Pass("in order", step.iterations, 0.0, step.read, step.written)
    if isinstance(step, Compute):
        types = [v.type for v in step.views]
        read = sum(t.size * t.dtype.itemsize for t in types)
        what = type(step.statement).__name__.lower()
        return Pass(what, step.statement.type.size, 0.0, read, step.bytes)
    elements = step.lanes * math.prod(step.outer)
    stores, reaches = step.reaches[step.reads :], step.reaches[: step.reads]
    sizes: dict[tuple[int, int], int] = {}
    for reach, kind in zip(reaches, step.graph.input_types, strict=False):
        own = math.prod(
            n
            for n, move in zip(
                (step.lanes, *step.outer), (reach.lane, *reach.outer), strict=True
            )
            if move
        )
        found = own * kind.dtype.itemsize
        # Reads of one array that are shifted meet; those of its columns do not.
        column = reach.start % abs(reach.lane) if reach.lane else reach.start
        key = reach.value, column
        sizes[key] = max(sizes.get(key, 0), found)
    kinds = step.graph.output_types[: len(stores)]
    written = elements * sum(kind.dtype.itemsize for kind in kinds)
    what = " and ".join(["store"] * bool(stores) + ["sum"] * bool(step.sums))
    operations = weight(step.graph)
    return Pass(what, elements, operations, sum(sizes.values()), written)


def _line(p: Pass, times: int) -> str:
    often = f"{times:,} × " if (times := times * p.times) > 1 else ""
    each = f", {p.operations:,.0f} weighted operations each" if p.operations else ""
    moved = f"{_bytes(p.read)} read, {_bytes(p.written)} written"
    return f"  {often}{p.what} {p.elements:,} elements{each}; {moved}"


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:,.3g} {unit}"
    return f"{count} B"
