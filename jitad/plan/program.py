"""Sums over many points at the top of one call: a list of steps over arrays.

`program` splits a scalar graph at its long loops that only add.  Each becomes a kernel
whose lanes are the iterations and whose results are sums; what it needs before, and
what comes of it, are kernels of one point.  Nothing is stored per point.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from jitad.backends.cpu import executable as cpu
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
)
from jitad.ir.loop import INT, LOOP, PART, Loop, loop_of
from jitad.ir.primitive import registry
from jitad.ir.table import SCATTER, terms_of
from jitad.lowering.kernel import Layout
from jitad.lowering.schedule import Request
from jitad.transforms.rewrite.expand import expand
from jitad.transforms.scalars.templates import new_builder
from jitad.transforms.scalars.whole import EAGER

from .choose import fitted
from .derived import Derived, lifted_graph
from .iteration import Iteration
from .machine import Machine, Place
from .pipeline import compiled
from .steps import PointStep, Step, SumStep, moving, scattering

# From this number of points on a sum over them is a kernel of its own.
_ENOUGH_POINTS = 256
# From this number of operations on, those of inner loops included, so is a sum over
# iterations that look at their numbers: to start its kernel takes a tenth of a
# millisecond, in which one lane computes about as many.
_ENOUGH_OPERATIONS = 300_000


@dataclass(frozen=True, eq=False)
class Program:
    """Steps over an environment of arrays, which begins with inputs and constants."""

    steps: tuple[Step, ...]
    constants: tuple[np.ndarray, ...]
    outputs: tuple[int, ...]

    @property
    def sums(self) -> tuple[SumStep, ...]:
        """The steps that sum over points."""
        return tuple(s for s in self.steps if isinstance(s, SumStep))

    def run(
        self, inputs: Sequence[np.ndarray], place: Place = cpu.HOST
    ) -> list[np.ndarray]:
        """The results of one call.

        place  where arrays are made and kernels run, which are made for it
        """
        environment = [*inputs, *self.constants]
        for step in self.steps:
            step.run(environment, place)
        given = len(inputs) + len(self.constants)
        found = [environment[k] for k in self.outputs]
        # Nobody else has an array that is returned.
        return [
            place.copy(x) if k < given or k in self.outputs[:n] else x
            for n, (k, x) in enumerate(zip(self.outputs, found, strict=True))
        ]


def program(
    derived: Derived, arrays: Sequence[np.ndarray], machine: Machine = cpu.HOST
) -> Program | None:
    """The steps of a graph that sums over many points; None if it does not.

    arrays   inputs of the types, shapes and strides of every call
    machine  what the kernels are made for
    """
    # Without loops nothing sums, and nothing need be expanded to see it.
    controls = any(node.primitive.kind == "control" for node in derived.graph.nodes)
    if not controls and _packs(derived.graph):
        return None
    graph, constants = lifted_graph(expand(derived.graph))
    if long_sum(graph) is None and _packs(graph):
        return None
    first = len(arrays) + len(constants)
    numbers = {n: first + k for k, n in enumerate(_counting(graph))}
    constants += [np.arange(n) for n in numbers]
    split = _Split(derived, [*arrays, *constants], machine, numbers)
    outputs = split.steps(graph)
    return Program(tuple(split.made), tuple(constants), tuple(outputs))


def long_sum(graph: Graph) -> int | None:
    """The first loop whose iterations should run along lanes: all it does is add.

    With fewer iterations, or in a batch, they run one after the other in a lane.
    """
    for i, node in enumerate(graph.nodes):
        if node.primitive is LOOP and _runs_along_lanes(loop_of(node)):
            return i
    return None


def _runs_along_lanes(loop: Loop) -> bool:
    if loop.written or loop.counted or not (loop.carried or loop.summed):
        return False
    if not loop.adds:
        return False
    if _looks(loop):
        return _operations(loop) >= _ENOUGH_OPERATIONS
    return loop.bound >= (1 if loop.summed else _ENOUGH_POINTS)


def _operations(loop: Loop) -> int:
    """How many operations all iterations have, roughly, each loop run to its bound."""
    loops = [loop_of(n) for n in loop.body.nodes if n.primitive is LOOP]
    return loop.bound * (len(loop.body.nodes) + sum(map(_operations, loops)))


def _counting(graph: Graph) -> list[int]:
    """How many iterations the loops have that run along lanes, and look at numbers."""
    loops = [loop_of(node) for node in graph.nodes if node.primitive is LOOP]
    found = [x.bound for x in loops if _runs_along_lanes(x) and _looks(x)]
    return list(dict.fromkeys(found))


def _looks(loop: Loop) -> bool:
    """Whether an iteration looks at its number."""
    return any(loop.inputs.index in node.operands for node in loop.body.nodes)


def _scatters_inside(loop: Loop) -> bool:
    """Whether loops inside add to arrays, which are of the dtype of what is added."""
    nodes = loop.body.nodes
    return any(n.primitive is LOOP and loop_of(n).summed for n in nodes)


def _packs(graph: Graph) -> bool:
    """Whether all results are made of scalars."""
    return all(graph.nodes[o].primitive is PACK for o in graph.outputs)


@dataclass
class _Split:
    """The steps so far, and an example of every array of the environment.

    numbers  how many iterations a loop has -> the array of their numbers
    """

    derived: Derived
    arrays: list[np.ndarray]
    machine: Machine
    numbers: dict[int, int]
    made: list[Step] = field(default_factory=list)

    @property
    def host(self) -> bool:
        """Whether NumPy can see the arrays."""
        return self.machine.shown

    def steps(self, graph: Graph) -> list[int]:
        """Make the steps: where the environment has the results."""
        given = list(range(len(graph.inputs)))
        while (i := long_sum(graph)) is not None:
            sums = self._sum(graph, i, given)
            graph = _without(graph, i, sums)
            given += range(len(self.arrays) - len(sums), len(self.arrays))
        return self._arrays(graph, graph.outputs, given)

    def _arrays(
        self, graph: Graph, outputs: Sequence[int], given: Sequence[int]
    ) -> list[int]:
        """Add steps that compute arrays: their places in the environment.

        What a kernel need not compute is, on the host, only added up.
        """
        slot = dict(zip(graph.inputs, given, strict=True))
        builder, index = _copied(graph)
        scatters = [o for o in outputs if self.host and
                   graph.nodes[o].primitive is SCATTER]  # fmt: skip
        asked = [index[o] for o in outputs if o not in scatters and o not in slot]
        for o in scatters:
            arrays, terms = terms_of(graph.nodes[o])
            asked += [index[a] for a in arrays if a not in slot]
            indices = [index[i] for _, i, _ in terms]
            values = [index[v] for _, _, v in terms]
            pairs = ((indices, INT), (values, graph.nodes[o].type.dtype))
            for own, dtype in pairs if terms else ():
                type = Type(dtype, (len(own),))
                asked.append(builder.add(PACK, tuple(own), type))
        whole = Graph(tuple(builder.nodes), tuple(builder.inputs), tuple(asked))
        made = iter(self._point(whole, asked, given) if asked else ())
        found = {o: slot[o] if o in slot else next(made) for o in outputs
                 if o not in scatters}  # fmt: skip
        for o in scatters:
            arrays, terms = terms_of(graph.nodes[o])
            places = tuple([slot[a] if a in slot else next(made) for a in arrays])
            indices, values = (next(made), next(made)) if terms else (None, None)
            ways = tuple([way for way, _, _ in terms])
            type = graph.nodes[o].type
            step = scattering(type, places, ways, indices, values)
            self.made.append(step)
            found[o] = self._append([np.zeros(type.shape, type.dtype)])[0]
        return [found[o] for o in outputs]

    def _point(
        self, graph: Graph, outputs: Sequence[int], given: Sequence[int]
    ) -> list[int]:
        """Add a step that computes outputs: their places in the environment."""
        used = set(reach(graph.nodes, outputs))
        kept = [k for k, i in enumerate(graph.inputs) if i in used]
        part = prune(graph.nodes, [graph.inputs[k] for k in kept], tuple(outputs))
        inputs = tuple([given[k] for k in kept])
        step = moving(part, inputs) if self.host else None
        if step is not None:
            self.made.append(step)
            return self._append(step.blanks)
        types = part.output_types
        made = [np.empty(t.shape, t.dtype) for t in types]
        uses = Counter(a for node in part.nodes for a in node.operands)
        uses.update(part.outputs)
        added = {
            k for k, o in enumerate(part.outputs) if uses[o] == 1 and _added_up(part, o)
        }
        derived = replace(self.derived, graph=part, seconds={})
        given_ = [self.arrays[k] for k in inputs]
        chosen = fitted(derived, (), given_, made, self.machine, added=added,
                        around=False)  # fmt: skip
        self.made.append(PointStep(chosen, inputs, types))
        return self._append(made)

    def _append(self, made: Sequence[np.ndarray]) -> list[int]:
        self.arrays += made
        return list(range(len(self.arrays) - len(made), len(self.arrays)))

    def _sum(self, graph: Graph, i: int, given: Sequence[int]) -> list[Type]:
        """Add the steps of loop i: the types of the arrays of its sums, in order."""
        loop = loop_of(graph.nodes[i])
        _, _, shared, arrays, tables = loop.split(graph.nodes[i].operands)
        sources = self._before(graph, shared, [*arrays, *tables], given)
        wide = self.host and loop.summed > 0 and not _scatters_inside(loop)
        body = Iteration(loop, self.arrays, wide=wide)
        for k, a in enumerate(shared):
            body.share(k, graph, a, *sources[a])
        body.read([sources[a][0] for a in arrays])
        body.tables([sources[a][0] for a in tables])
        if _looks(loop):
            body.number(self.numbers[loop.bound])
        kinds, _, arrays_summed = loop.leaving(loop.body.output_types)
        dtypes = list(dict.fromkeys(t.dtype for t in kinds))
        sizes = [sum(t.dtype == d for t in kinds) for d in dtypes]
        types = [Type(d, (n,)) for d, n in zip(dtypes, sizes, strict=True)]
        points = body.graph(dtypes)
        varying = tuple([() if r.lane is None else (0,) for r in body.inputs])
        sums: list[Layout] = ["sum"] * len(dtypes)
        scatter: list[Layout] = ["scatter"] * loop.summed
        layouts: tuple[Layout, ...] = (
            *[r.layout for r in body.inputs],
            *sums,
            *scatter,
        )
        executable, seconds = compiled(
            points,
            Request(1, varying, layouts),
            self.machine,
            (loop.bound,),
            keep=self.derived.keep,
            effort=self.derived.effort,
        )
        rows = tuple(body.inputs)
        types += arrays_summed
        step = SumStep(points, executable, rows, loop.bound, tuple(types), seconds)
        self.made.append(step)
        self._append([np.zeros(t.shape, t.dtype) for t in types])
        return types

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
                found[a] = slot[source], node.index
            elif node.primitive is CONST:
                found[a] = -1, 0
            else:
                waiting.setdefault(node.type.dtype, []).append(a)
        whole = [a for a in dict.fromkeys(arrays) if a not in slot]
        found |= {a: (slot[a], 0) for a in arrays if a in slot}
        if not waiting and not whole:
            return found
        builder, index = _copied(graph)
        packs = [
            builder.add(PACK, tuple([index[a] for a in own]), Type(dtype, (len(own),)))
            for dtype, own in waiting.items()
        ]
        packs += [index[a] for a in whole]
        part = Graph(tuple(builder.nodes), tuple(builder.inputs), tuple(packs))
        places = iter(self._arrays(part, part.outputs, given))
        for own in waiting.values():
            place = next(places)
            found |= {a: (place, k) for k, a in enumerate(own)}
        return found | {a: (next(places), 0) for a in whole}


def _without(graph: Graph, i: int, types: Sequence[Type]) -> Graph:
    """The graph with the sums of loop i as new inputs.

    types  of an array for each dtype of what is carried, then of what is scattered
    """
    loop = loop_of(graph.nodes[i])
    _, starts, _, _, _ = loop.split(graph.nodes[i].operands)
    kinds = loop.body.output_types
    inputs: dict[np.dtype, int] = {}
    scatter: list[int] = []

    def part(builder: Builder, k: int, index: Sequence[int]) -> int:
        if k == loop.carried + loop.summed:
            return builder.number(loop.bound, INT)
        if k >= loop.carried:
            return scatter[k - loop.carried]
        type = kinds[k]
        place = sum(t.dtype == type.dtype for t in kinds[:k])
        own = inputs[type.dtype]
        found = builder.add(ELEMENT, (own,), type, (("index", place),))
        if builder.values[index[starts[k]]] == 0:
            return found
        add = registry.primitives["add"]
        return builder.apply(add, (index[starts[k]], found), type)

    builder = new_builder()
    index = [-1] * len(graph.nodes)
    for a in graph.inputs:
        index[a] = builder.input(graph.nodes[a].type)
    for k, type in enumerate(types):
        made = builder.input(type)
        if k < len(types) - loop.summed:
            inputs[type.dtype] = made
        else:
            scatter.append(made)
    for a, node in enumerate(graph.nodes):
        if a == i or node.primitive is INPUT:
            continue
        if node.primitive is PART and node.operands[0] == i:
            index[a] = part(builder, node.index, index)
        else:
            operands = tuple([index[o] for o in node.operands])
            index[a] = builder.add(node.primitive, operands, node.type, node.params)
    return builder.finish([index[a] for a in graph.outputs])


def _copied(graph: Graph) -> tuple[Builder, list[int]]:
    """A graph's nodes in a builder of their own, and where they are."""
    builder = new_builder()
    index = [-1] * len(graph.nodes)
    for a in graph.inputs:
        index[a] = builder.input(graph.nodes[a].type)
    for a, node in enumerate(graph.nodes):
        if index[a] < 0:
            operands = tuple([index[o] for o in node.operands])
            index[a] = builder.add(node.primitive, operands, node.type, node.params)
    return builder, index


def _added_up(graph: Graph, i: int) -> bool:
    """Whether a node is an array that a kernel of one point can add up in place."""
    node = graph.nodes[i]
    if node.primitive is not PART:
        return node.primitive is SCATTER
    loop, number = loop_of(graph.nodes[node.operands[0]]), node.index
    return number in loop.numbers.summed and bool(node.type.shape)
