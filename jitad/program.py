"""Sums over many points at the top of one call: a list of steps over arrays.

`program` splits a scalar graph at its long loops that only add.  Each becomes a kernel
whose lanes are the iterations and whose results are sums; what it needs before, and
what comes of it, are kernels of one point.  Nothing is stored per point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from jitad import plan as planning
from jitad.arrays import address
from jitad.backends import cpu
from jitad.ir.graph import (
    CONST,
    ELEMENT,
    INPUT,
    PACK,
    Builder,
    Graph,
    Type,
    prune,
    reach,
    scalar,
)
from jitad.ir.interpret import inline
from jitad.ir.loop import INT, PART, Loop, loop_of
from jitad.ir.primitive import registry
from jitad.lowering.kernel import Kernel, Layout
from jitad.plan import Derived, Placement, Plan
from jitad.rows import Environment, Rows, along
from jitad.transforms.expand import expand
from jitad.transforms.scalarize import builder
from jitad.transforms.whole import EAGER


@dataclass(frozen=True, eq=False)
class PointStep:
    """A kernel of one point: from some arrays of the environment to new ones."""

    plan: Plan
    inputs: tuple[int, ...]
    placed: tuple[Placement, ...]
    types: tuple[Type, ...]

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
        pairs = zip(self.inputs, self.placed, strict=False)
        return next((p.layout for k, p in pairs if k == array), None)

    def run(self, environment: Environment) -> None:
        """Compute, and append the results."""
        made = [np.empty(t.shape, t.dtype) for t in self.types]
        given = [*(environment[k] for k in self.inputs), *made]
        arguments = [
            self.placed[k].argument(address(given[k])) for k in self.plan.buffers
        ]
        if arguments:
            self.plan.executable.launch((1,), arguments)
        environment += made


@dataclass(frozen=True, eq=False)
class SumStep:
    """A kernel over `count` points; its sums are new arrays of the environment.

    graph  of one point
    """

    graph: Graph
    kernel: Kernel
    executable: cpu.Executable
    inputs: tuple[Rows, ...]
    count: int
    seconds: dict[str, float]

    def layout_of(self, array: int) -> Layout | None:
        """The layout of an array of the environment; None: it is not read."""
        return next((r.layout for r in self.inputs if r.array == array), None)

    def run(self, environment: Environment) -> None:
        """Compute, and append the sums."""
        found = [rows.argument(environment) for rows in self.inputs]
        outputs = len(self.kernel.buffers) - len(self.inputs)
        arguments = [*(a for a, _ in found), *[None] * outputs]
        environment += self.executable.total(self.count, arguments)


@dataclass(frozen=True, eq=False)
class Program:
    """Steps over an environment of arrays, which begins with inputs and constants."""

    steps: tuple[PointStep | SumStep, ...]
    constants: tuple[np.ndarray, ...]
    outputs: int

    @property
    def sums(self) -> tuple[SumStep, ...]:
        """The steps that sum over points."""
        return tuple(s for s in self.steps if isinstance(s, SumStep))

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The results of one call."""
        environment = [*inputs, *self.constants]
        for step in self.steps:
            step.run(environment)
        return environment[len(environment) - self.outputs :]


def program(derived: Derived, arrays: Sequence[np.ndarray]) -> Program | None:
    """The steps of a graph that sums over many points; None if it does not.

    arrays  inputs of the types, shapes and strides of every call
    """
    graph, constants = planning.lifted(expand(derived.graph))
    if planning.long_sum(graph) is None:
        return None
    split = _Split(derived, [*arrays, *constants])
    return Program(split.steps(graph), tuple(constants), len(graph.outputs))


@dataclass
class _Split:
    """The steps so far, and an example of every array of the environment."""

    derived: Derived
    arrays: list[np.ndarray]
    made: list[PointStep | SumStep] = field(default_factory=list)

    def steps(self, graph: Graph) -> tuple[PointStep | SumStep, ...]:
        given = list(range(len(graph.inputs)))
        while (i := planning.long_sum(graph)) is not None:
            sums = self._sum(graph, i, given)
            graph = _without(graph, i, sums)
            given += range(len(self.arrays) - len(sums), len(self.arrays))
        self._point(graph, graph.outputs, given)
        return tuple(self.made)

    def _point(
        self, graph: Graph, outputs: Sequence[int], given: Sequence[int]
    ) -> list[int]:
        """Add a step that computes outputs: their places in the environment."""
        used = set(reach(graph.nodes, outputs))
        kept = [k for k, i in enumerate(graph.inputs) if i in used]
        part = prune(graph.nodes, [graph.inputs[k] for k in kept], tuple(outputs))
        inputs = tuple([given[k] for k in kept])
        types = part.output_types
        made = [np.empty(t.shape, t.dtype) for t in types]
        placed = [planning.place(self.arrays[k], (), ()) for k in inputs]
        after = [planning.place_output(x, (), ()) for x in made]
        derived = replace(self.derived, graph=part, seconds={})
        chosen = planning.make(derived, (), placed, after)
        self.made.append(PointStep(chosen, inputs, (*placed, *after), types))
        return self._append(made)

    def _append(self, made: Sequence[np.ndarray]) -> list[int]:
        self.arrays += made
        return list(range(len(self.arrays) - len(made), len(self.arrays)))

    def _sum(self, graph: Graph, i: int, given: Sequence[int]) -> list[np.dtype]:
        """Add the steps of loop i: the dtypes of the arrays of its sums, in order."""
        loop = loop_of(graph.nodes[i])
        _, _, shared, arrays = loop.split(graph.nodes[i].operands)
        sources = self._before(graph, shared, arrays, given)
        body = _Body(loop, self.arrays)
        for k, a in enumerate(shared):
            body.share(k, graph, a, *sources[a])
        body.read([sources[a][0] for a in arrays])
        kinds = loop.body.output_types
        dtypes = list(dict.fromkeys(t.dtype for t in kinds))
        points = body.graph(dtypes)
        varying = tuple([() if r.lane is None else (0,) for r in body.inputs])
        sums: list[Layout] = ["sum"] * len(dtypes)
        layouts: tuple[Layout, ...] = (*[r.layout for r in body.inputs], *sums)
        kernel, executable, seconds = planning.compiled(points, 1, varying, layouts)
        rows = tuple(body.inputs)
        step = SumStep(points, kernel, executable, rows, loop.bound, seconds)
        self.made.append(step)
        sizes = [sum(t.dtype == d for t in kinds) for d in dtypes]
        self._append([np.zeros(n, d) for n, d in zip(sizes, dtypes, strict=True)])
        return dtypes

    def _before(
        self,
        graph: Graph,
        shared: Sequence[int],
        arrays: Sequence[int],
        given: Sequence[int],
    ) -> dict[int, tuple[int, int]]:
        """Where every operand of a loop is: an array of the environment, an element.

        What is neither an input nor one of its scalars is computed before.
        """
        nodes = graph.nodes
        slot = dict(zip(graph.inputs, given, strict=True))
        found: dict[int, tuple[int, int]] = {}
        waiting: dict[np.dtype, list[int]] = {}
        for a in dict.fromkeys(shared):
            node = nodes[a]
            source = node.operands[0] if node.primitive is ELEMENT else -1
            if source in slot and nodes[source].type.size <= EAGER:
                found[a] = slot[source], node.params[0][1]
            elif node.primitive is CONST:
                found[a] = -1, 0
            else:
                waiting.setdefault(node.type.dtype, []).append(a)
        whole = [a for a in dict.fromkeys(arrays) if a not in slot]
        found |= {a: (slot[a], 0) for a in arrays if a in slot}
        if not waiting and not whole:
            return found
        target, index = _copied(graph)
        packs = [
            target.add(PACK, tuple([index[a] for a in own]), Type(dtype, (len(own),)))
            for dtype, own in waiting.items()
        ]
        packs += [_packed(target, index[a]) for a in whole]
        part = Graph(tuple(target.nodes), tuple(target.inputs), tuple(packs))
        places = iter(self._point(part, part.outputs, given))
        for own in waiting.values():
            place = next(places)
            found |= {a: (place, k) for k, a in enumerate(own)}
        return found | {a: (next(places), 0) for a in whole}


class _Body:
    """The graph of one point of a loop, and how its inputs lie."""

    def __init__(self, loop: Loop, arrays: Sequence[np.ndarray]) -> None:
        self.loop, self.arrays = loop, arrays
        self.target = builder()
        self.inputs: list[Rows] = []
        own = loop.body.inputs
        # Neither the number of the iteration nor what is carried is looked at.
        self.values = {
            i: self.target.number(0, loop.body.nodes[i].type.dtype)
            for i in own[: 1 + loop.carried]
        }
        self._same: dict[int, int] = {}

    def share(self, k: int, graph: Graph, a: int, array: int, element: int) -> None:
        """Let shared value k be an element of an array, or a constant."""
        i = self.loop.body.inputs[1 + self.loop.carried + k]
        node = graph.nodes[a]
        if node.primitive is CONST:
            self.values[i] = self.target.add(CONST, (), node.type, node.params)
            return
        if array not in self._same:
            example = self.arrays[array]
            self._same[array] = self.target.input(Type(example.dtype, example.shape))
            placed = planning.place(example, (), ())
            rows = Rows(array, 0, None, placed.elements, placed.layout)
            self.inputs.append(rows)
        self.values[i] = self._element(self._same[array], element)

    def read(self, arrays: Sequence[int]) -> None:
        """Let what an iteration reads be elements of points in these arrays."""
        first = 1 + self.loop.carried + self.loop.shared
        groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for k, (array, way) in enumerate(zip(arrays, self.loop.slices, strict=True)):
            assert way is not None
            offset, stride = way
            i = self.loop.body.inputs[first + k]
            groups.setdefault((array, stride), []).append((i, offset))
        for (array, stride), reads in groups.items():
            offsets = sorted({offset for _, offset in reads})
            example = self.arrays[array]
            rows, size, numbers = along(
                array, example, offsets, stride, self.loop.bound
            )
            self.inputs.append(rows)
            node = self.target.input(Type(example.dtype, (size,)))
            place = dict(zip(offsets, numbers, strict=True))
            for i, offset in reads:
                self.values[i] = self._element(node, place[offset])

    def _element(self, array: int, k: int) -> int:
        kind = scalar(self.target.nodes[array].type.dtype)
        return self.target.add(ELEMENT, (array,), kind, (("index", k),))

    def graph(self, dtypes: Sequence[np.dtype]) -> Graph:
        """From the inputs to what a point adds to the sums, packed by dtype."""
        terms = [self.loop.added(k) or [] for k in range(self.loop.carried)]
        nodes = tuple([v for own in terms for v, _ in own])
        body = self.loop.body
        whole = Graph(body.nodes, body.inputs, nodes)
        made = iter(inline(self.target, whole, [self.values[i] for i in body.inputs]))
        packs: dict[np.dtype, list[int]] = {d: [] for d in dtypes}
        for own, type in zip(terms, body.output_types, strict=True):
            pairs = [(next(made), negated) for _, negated in own]
            packs[type.dtype].append(self._summed(pairs, type))
        outputs = [
            self.target.add(PACK, tuple(p), Type(d, (len(p),)))
            for d, p in packs.items()
        ]
        return self.target.finish(outputs)

    def _summed(self, terms: Sequence[tuple[int, bool]], type: Type) -> int:
        total = None
        for v, negated in terms:
            if total is None:
                neg = registry.primitives["neg"]
                total = self.target.apply(neg, (v,), type) if negated else v
            else:
                word = registry.primitives["sub" if negated else "add"]
                total = self.target.apply(word, (total, v), type)
        return self.target.number(0, type.dtype) if total is None else total


def _without(graph: Graph, i: int, dtypes: Sequence[np.dtype]) -> Graph:
    """The graph with the sums of loop i as new inputs, one array for each dtype."""
    loop = loop_of(graph.nodes[i])
    _, starts, _, _ = loop.split(graph.nodes[i].operands)
    kinds = loop.body.output_types
    counts = {d: sum(t.dtype == d for t in kinds) for d in dtypes}
    inputs: dict[np.dtype, int] = {}

    def part(target: Builder, k: int, index: Sequence[int]) -> int:
        if k == loop.carried:
            return target.number(loop.bound, INT)
        type = kinds[k]
        place = sum(t.dtype == type.dtype for t in kinds[:k])
        own = inputs[type.dtype]
        found = target.add(ELEMENT, (own,), type, (("index", place),))
        if target.values[index[starts[k]]] == 0:
            return found
        add = registry.primitives["add"]
        return target.apply(add, (index[starts[k]], found), type)

    target = builder()
    index = [-1] * len(graph.nodes)
    for a in graph.inputs:
        index[a] = target.input(graph.nodes[a].type)
    for d in dtypes:
        inputs[d] = target.input(Type(d, (counts[d],)))
    for a, node in enumerate(graph.nodes):
        if a == i or node.primitive is INPUT:
            continue
        if node.primitive is PART and node.operands[0] == i:
            index[a] = part(target, node.params[0][1], index)
        else:
            operands = tuple([index[o] for o in node.operands])
            index[a] = target.add(node.primitive, operands, node.type, node.params)
    return target.finish([index[a] for a in graph.outputs])


def _copied(graph: Graph) -> tuple[Builder, list[int]]:
    """A graph's nodes in a builder of their own, and where they are."""
    target = builder()
    index = [-1] * len(graph.nodes)
    for a in graph.inputs:
        index[a] = target.input(graph.nodes[a].type)
    for a, node in enumerate(graph.nodes):
        if index[a] < 0:
            operands = tuple([index[o] for o in node.operands])
            index[a] = target.add(node.primitive, operands, node.type, node.params)
    return target, index


def _packed(target: Builder, array: int) -> int:
    """An array node as one that a kernel can store."""
    node = target.nodes[array]
    if node.primitive is PACK:
        return array
    kind = scalar(node.type.dtype)
    picked = [
        target.add(ELEMENT, (array,), kind, (("index", k),))
        for k in range(node.type.size)
    ]
    return target.add(PACK, tuple(picked), node.type)
