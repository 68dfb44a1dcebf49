"""The steps of a program: each computes arrays from those that are there already.

A step reads some arrays of an environment and appends what it makes.  `program` says
which steps there are, and in which order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitad.backends.memory import address
from jitad.ir.graph import CONST, ELEMENT, INPUT, PACK, Builder, Graph, Type, scalar
from jitad.ir.loop import INT
from jitad.ir.table import Way, add_scatter
from jitad.lowering.kernel import Kernel, Layout

from .choose import Fitted, Plan
from .machine import Place
from .rows import Environment, Rows


@dataclass(frozen=True, eq=False)
class PointStep:
    """A kernel of one point: from some arrays of the environment to new ones."""

    count = 1

    fitted: Fitted
    inputs: tuple[int, ...]
    types: tuple[Type, ...]

    @property
    def kernel(self) -> Kernel:
        """What runs."""
        return self.plan.kernel

    @property
    def plan(self) -> Plan:
        """How it was made."""
        return self.fitted.plan

    @property
    def graph(self) -> Graph:
        """What it computes."""
        return self.plan.derived.graph

    @property
    def seconds(self) -> dict[str, float]:
        """What it took to make it."""
        return self.plan.seconds

    def layout_of(self, array: int) -> Layout | None:
        """The layout of an array of the environment; None: it is not read."""
        pairs = zip(self.inputs, self.fitted.inputs, strict=True)
        return next((p.layout for k, p in pairs if k == array), None)

    def run(self, environment: Environment, place: Place) -> None:
        """Compute, and append the results."""
        made = [
            place.zeros(t.shape, t.dtype) if p.layout == "scatter"
            else place.empty(t.shape, t.dtype)
            for t, p in zip(self.types, self.fitted.outputs, strict=True)
        ]  # fmt: skip
        given = [*(environment[k] for k in self.inputs), *made]
        arguments = self.fitted.arguments([address(x) for x in given])
        if arguments:
            place.launch(self.plan.executable, (1,), arguments)
        environment += made


@dataclass(frozen=True, eq=False)
class MoveStep:
    """Results that are only put together, of elements of arrays and of constants.

    pieces  for every result: where in it elements of an array go, and which they are
    """

    count, kernel = 1, None

    graph: Graph
    blanks: tuple[np.ndarray, ...]
    pieces: tuple[tuple[tuple[int, np.ndarray, np.ndarray], ...], ...]
    seconds: dict[str, float]

    def layout_of(self, array: int) -> Layout | None:
        """The layout of an array of the environment; None: it is not read."""
        read = any(k == array for own in self.pieces for k, _, _ in own)
        return "fixed" if read else None

    def run(self, environment: Environment, place: Place) -> None:
        """Copy, and append the results."""
        made = [place.copy(x) for x in self.blanks]
        for x, own in zip(made, self.pieces, strict=True):
            for k, places, numbers in own:
                x.reshape(-1)[places] = environment[k].reshape(-1)[numbers]
        environment += made


def moving(graph: Graph, given: Sequence[int]) -> MoveStep | None:
    """A graph as a step that moves elements; None where it computes anything."""
    if any(n.primitive not in (INPUT, ELEMENT, CONST, PACK) for n in graph.nodes):
        return None
    slot = dict(zip(graph.inputs, given, strict=True))
    blanks, pieces = [], []
    for o in graph.outputs:
        type = graph.nodes[o].type
        blank = np.zeros(type.shape, type.dtype)
        found: dict[int, list[tuple[int, int]]] = {}
        for place, v in enumerate(graph.nodes[o].operands):
            node = graph.nodes[v]
            if node.primitive is CONST:
                blank.reshape(-1)[place] = node.value
            elif node.primitive is ELEMENT and node.operands[0] in slot:
                pair = place, node.index
                found.setdefault(slot[node.operands[0]], []).append(pair)
            else:
                return None
        blanks.append(blank)
        pieces.append(
            tuple([(k, *np.array(own, np.int64).T) for k, own in found.items()])
        )
    return MoveStep(graph, tuple(blanks), tuple(pieces), {})


@dataclass(frozen=True, eq=False)
class SumStep:
    """A kernel over `count` points; its sums are new arrays of the environment.

    graph  of one point
    types  of the sums
    """

    graph: Graph
    executable: Any
    inputs: tuple[Rows, ...]
    count: int
    types: tuple[Type, ...]
    seconds: dict[str, float]

    @property
    def kernel(self) -> Kernel:
        """What a point adds to the sums."""
        return self.executable.kernel

    def layout_of(self, array: int) -> Layout | None:
        """The layout of an array of the environment; None: it is not read."""
        return next((r.layout for r in self.inputs if r.array == array), None)

    def run(self, environment: Environment, place: Place) -> None:
        """Compute, and append the sums."""
        found = [rows.argument(environment, place) for rows in self.inputs]
        outputs = len(self.executable.buffers) - len(self.inputs)
        arguments = [*(a for a, _ in found), *[None] * outputs]
        sums = place.total(self.executable, self.count, arguments)
        environment += [
            x.reshape(t.shape).astype(t.dtype, copy=False)
            for x, t in zip(sums, self.types, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class ScatterStep:
    """A result that is the sum of arrays, and of numbers added to elements of them.

    arrays   places in the environment
    ways     for every number how the index beside it names an element
    indices  the place of an array with those; None where there are no numbers
    values   likewise, with the numbers
    """

    count, kernel = 1, None

    graph: Graph
    type: Type
    arrays: tuple[int, ...]
    ways: tuple[Way, ...]
    indices: int | None
    values: int | None
    seconds: dict[str, float]

    def layout_of(self, array: int) -> Layout | None:
        """The layout of an array of the environment; None: it is not read."""
        return "fixed" if array in self.arrays else None

    def run(self, environment: Environment, place: Place) -> None:
        """Add up, and append the sum."""
        total = place.zeros(self.type.shape, self.type.dtype)
        for k in self.arrays:
            total += environment[k].reshape(total.shape)
        if self.indices is not None and self.values is not None:
            numbers = zip(
                self.ways, environment[self.indices], environment[self.values],
                strict=True,
            )  # fmt: skip
            flat = total.reshape(-1)
            for way, index, value in numbers:
                flat[way.places(index)] += value
        environment.append(total)


def scattering(
    type: Type,
    arrays: tuple[int, ...],
    ways: tuple[Way, ...],
    indices: int | None,
    values: int | None,
) -> ScatterStep:
    """A step that adds up what lies at these places of the environment."""
    builder, kind = Builder(), scalar(type.dtype)
    given = [builder.input(type) for _ in arrays]
    terms = [(way, builder.input(scalar(INT)), builder.input(kind)) for way in ways]
    graph = builder.finish([add_scatter(builder, type, given, terms)])
    return ScatterStep(graph, type, arrays, ways, indices, values, {})


Step = PointStep | MoveStep | SumStep | ScatterStep
