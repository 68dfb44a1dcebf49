"""How a transformed function is computed at one call.

`explain` derives and compiles as the call would, and runs nothing.  It reads the Plan
and what the derived graph remembers, and gives an Explanation.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jitad import tree
from jitad.backends.cpu.machine import (
    copy_bandwidth,
    last_level_cache_bytes,
    vector_width,
)
from jitad.backends.cpu.threads import get_threads
from jitad.calls import arrays
from jitad.calls.call import Call
from jitad.calls.function import Function
from jitad.calls.names import argument_names, original, result_names
from jitad.errors import InputError, TracingError
from jitad.ir.call import CALL, custom_of
from jitad.ir.graph import Graph, Type, reach
from jitad.ir.loop import LOOP, loop_of
from jitad.ir.primitive import Primitive
from jitad.ir.tracer import traced
from jitad.lowering.kernel import Kernel
from jitad.lowering.statement import statements
from jitad.lowering.statements import If, Op, Repeat
from jitad.plan.choose import Fitted, Plan
from jitad.plan.derived import Derived
from jitad.plan.pipeline import lowered
from jitad.plan.placement import Placement
from jitad.plan.program import Program
from jitad.plan.steps import SumStep
from jitad.primitives.stated import is_slope
from jitad.process.late import late
from jitad.transforms.rewrite.expand import called
from jitad.transforms.rewrite.tidy import times, weight

if TYPE_CHECKING:
    from jitad.elements.steps import Plan as Steps
    from jitad.lowering.cuda import rows

    from . import explanation, facts, nests, passes, source
else:
    explanation, facts = late("jitad.show.explanation"), late("jitad.show.facts")
    source = late("jitad.show.source")
    nests, rows = late("jitad.show.nests"), late("jitad.lowering.cuda.rows")
    passes = late("jitad.show.passes")

_ENTRY = re.compile(r"([a-z]+\d+)(\.\d+)+")


def explain(
    transformed: Callable[..., Any], *args: Any, **kwargs: Any
) -> explanation.Explanation | passes.Passes:
    """How transformed(*args, **kwargs) is computed; it is compiled, but not run.

    Raises InputError where the first argument is not what jit, grad, jacobian, vmap …
    return, and whatever the call itself would raise.
    """
    if not isinstance(transformed, Function):
        raise InputError(_refusal(transformed))
    leaves, spec = tree.flatten((args, kwargs))
    leaves = [arrays.plain(x) for x in leaves]
    if traced(leaves):
        raise TracingError(
            f"explain({transformed.name}, …) expected concrete arguments, got traced "
            "values; call it outside of the function that is being traced"
        )
    names = argument_names(original(transformed), args, kwargs)
    call = transformed.prepare(*args, **kwargs)
    return call.told(_Telling(transformed, spec, leaves, names))


@dataclass(frozen=True)
class _Telling:
    """Tells of calls of a function; leaves are the arguments, names what they are."""

    function: Function
    spec: tree.PyTreeSpec
    leaves: Sequence[Any]
    names: Sequence[str]

    def of_passes(self, call: Call, steps: Steps) -> passes.Passes:
        """Large arrays, pass by pass."""
        types = call.derived.graph.input_types
        return passes.explained(self.function.name, types, steps)

    def of_graph(self, call: Call) -> explanation.Explanation:
        """What is computed, and no more."""
        graph = call.derived.graph
        return self._of_points(call, None, nests.nests(called(graph)))

    def of_kernel(self, call: Call, made: Fitted) -> explanation.Explanation:
        """A kernel over a batch of points, or for one."""
        graph = call.derived.graph
        return self._of_points(call, made, nests.nests(lowered(graph)))

    def _of_points(
        self, call: Call, made: Fitted | None, loops: tuple[nests.Nest, ...]
    ) -> explanation.Explanation:
        inputs, outputs = self._arrays(call, made)
        derived, plan = call.derived, made and made.plan
        _, extents, _ = self.function.point(self.spec, self.leaves)
        points = math.prod(extents)
        return explanation.Explanation(
            name=self.function.name,
            backend=self.function.where.backend,
            extents=extents,
            inputs=inputs,
            outputs=outputs,
            choice=choice(derived),
            operations=operations(derived.graph, plan.kernel if plan else None),
            memory=_memory(inputs, outputs, points, call) if plan else None,
            machine=_machine(plan) if plan and not call.cards else None,
            seconds=plan.seconds if plan else derived.seconds,
            loops=loops,
            source=source.source_loops(*_told(derived), loops, False),
            blocks=blocks(plan.kernel) if plan else (),
            storage=storage(plan.kernel) if plan else 0,
            gpu=_gpu(call, plan.executable) if plan and call.cards else None,
        )

    def _arrays(
        self, call: Call, made: Fitted | None
    ) -> tuple[tuple[facts.Array, ...], tuple[facts.Array, ...]]:
        in_axes = self.function.in_axes(self.spec, self.leaves)
        out_axes = self.function.out_axes(call.derived)
        return _arrays(call.derived, made, self.names, in_axes, out_axes)

    def of_program(self, call: Call, steps: Program) -> explanation.Explanation:
        """A call of one point that sums over many."""
        inputs, outputs = self._arrays(call, None)
        count = len(inputs)
        layouts = {k: step.layout_of(k) for k in range(count) for step in steps.steps
                   if step.layout_of(k)}  # fmt: skip
        read = [
            replace(
                a, layout=layouts.get(k, ""), bytes=_all(a) if k in layouts else 0.0
            )
            for k, a in enumerate(inputs)
        ]
        written = [replace(a, layout="rows", bytes=_all(a)) for a in outputs]
        executable = steps.sums[0].executable
        made = [(s.graph, s.kernel) for s in steps.steps if s.kernel is not None]
        loops = tuple([nest for g, _ in made for nest in nests.nests(lowered(g))])
        seconds = dict(call.derived.seconds)
        for step in steps.steps:
            for name in ("lower", "compile"):
                spent = step.seconds.get(name, 0.0)
                seconds[name] = seconds.get(name, 0.0) + spent
        return explanation.Explanation(
            name=self.function.name,
            backend=self.function.where.backend,
            extents=(),
            inputs=tuple(read),
            outputs=tuple(written),
            choice=choice(call.derived),
            operations=_executed(steps),
            memory=_memory(read, written, 1, call),
            machine=None if call.cards else facts.Machine(
                vector_width(), executable.width, 0,
                sum(s.executable.spills for s in steps.sums), get_threads(),
                all(s.executable.settled for s in steps.sums),
            ),
            seconds=seconds,
            sums=tuple(map(_sums, steps.sums)),
            loops=loops,
            source=source.source_loops(*_told(call.derived), loops, True),
            blocks=tuple([block for _, k in made for block in blocks(k)]),
            storage=max(storage(k) for _, k in made),
            gpu=_gpu(call, executable) if call.cards else None,
        )  # fmt: skip


def _told(derived: Derived) -> tuple[list[str], dict[str, Sequence[str]]]:
    """The lines that were traced, and what the reader made of loops.

    Those of functions that it calls are included.
    """
    every = [derived, *[inner for _, inner in derived.inside]]
    told = {line: what for d in every for line, what in d.loops.items()}
    return [line for d in every for line in d.lines], told


def _executed(program: Program) -> facts.Operations:
    """All that a program computes: the operations of points as often as they run."""
    counts, weighted = Counter[str](), 0.0
    for step in program.steps:
        own = operations(step.graph)
        counts.update({name: step.count * n for name, n in own.counts.items()})
        weighted += step.count * own.weighted
    found = _sorted(counts)
    return facts.Operations(found, found, weighted)


def _all(array: facts.Array) -> float:
    return array.type.size * array.type.dtype.itemsize


def _sums(step: SumStep) -> facts.Sums:
    outputs = [b for b in step.kernel.buffers if b.output]
    lanes, tile = step.executable.sum_shape(step.count)
    return facts.Sums(
        points=step.count,
        count=sum(b.elements for b in outputs),
        operations=operations(step.graph),
        lanes=lanes,
        tile=tile,
    )


def _refusal(given: Any) -> str:
    expected = (
        "explain expected a transformed function first (what jitad.jit, grad, "
        "jacobian, vmap … return)"
    )
    if callable(given):
        name = getattr(given, "__name__", repr(given))
        return (
            f"{expected}, got the function {name}; wrap it: "
            f"jitad.explain(jitad.jit({name}), …)"
        )
    return (
        f"{expected}, got {given!r}; pass the function, not its result, and then its "
        "arguments: jitad.explain(jitad.grad(f), x)"
    )


# -- facts ---------------------------------------------------------------------


def choice(derived: Derived) -> facts.Choice:
    """How a derived graph came to its mode."""
    return facts.Choice(
        derived.mode, derived.costs, derived.untried, derived.asked,
        tuple([(name, choice(part)) for name, part in derived.inside]),
    )  # fmt: skip


def operations(graph: Graph, kernel: Kernel | None = None) -> facts.Operations:
    """The operations of a scalar graph, and of the kernel made from it."""
    found = statements((*kernel.once, *kernel.body)) if kernel else ()
    words = Counter(s.word for s in found if isinstance(s, Op))
    return facts.Operations(_sorted(_counted(graph)), _sorted(words), weight(graph))


def _counted(graph: Graph) -> Counter[str]:
    """Operations by kind, those of loops and calls among them."""
    counts = Counter[str]()
    for i in reach(graph.nodes, graph.outputs):
        node = graph.nodes[i]
        if node.primitive is CALL:
            counts += _counted(custom_of(node).value)
        elif node.primitive is LOOP:
            loop = loop_of(node)
            inner = _counted(loop.body)
            if loop.head is not None:
                inner += _counted(loop.head)
            counts.update({name: times(loop) * n for name, n in inner.items()})
        elif node.primitive.kind not in ("leaf", "control") and not is_slope(
            node.primitive
        ):
            counts[_folded(node.primitive)] += 1
    return counts


def _folded(primitive: Primitive) -> str:
    """Its name; of the entries of one solution, which cost nothing, all have one."""
    entry = _ENTRY.fullmatch(primitive.name) if not primitive.cost else None
    return entry[1] if entry else primitive.name


def blocks(kernel: Kernel) -> tuple[facts.Block, ...]:
    """What a kernel runs only for vectors that need it."""
    found = [s for s in statements(kernel.body) if isinstance(s, If)]
    made = []
    for s in found:
        inner = list(statements(s.body))
        words = Counter(x.word for x in inner if isinstance(x, Op))
        loops = sum(isinstance(x, Repeat) for x in inner)
        made.append(facts.Block(_sorted(words), loops, s.later))
    return tuple(made)


def storage(kernel: Kernel) -> int:
    """Bytes of a kernel's storage for one lane."""
    return sum(own.elements * own.dtype.itemsize for own in kernel.locals)


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda kv: (-kv[1], kv[0])))


def _arrays(
    derived: Derived,
    made: Fitted | None,
    names: Sequence[str],
    in_axes: Sequence[Sequence[int | None]],
    out_axes: Sequence[Sequence[int | None]],
) -> tuple[tuple[facts.Array, ...], tuple[facts.Array, ...]]:
    graph = derived.graph
    types = [*graph.input_types, *graph.output_types]
    names = [*names, *result_names(derived.result)]
    axes = [tuple(a) for a in (*in_axes, *out_axes)]
    layouts, moved = [""] * len(types), [0.0] * len(types)
    count = len(graph.inputs)
    if made is not None:
        # Behind the arguments stand constants that are too large to be compiled in.
        placed = [*made.inputs[:count], *made.outputs]
        layouts = [p.layout for p in placed]
        loaded = _loaded(made.plan)
        read = {k: n for k, n in loaded.items() if k < count}
        moved = [
            _bytes(types[k], p, made.extents, read.get(k)) for k, p in enumerate(placed)
        ]
    every = [
        facts.Array(*x) for x in zip(names, types, axes, layouts, moved, strict=True)
    ]
    return tuple(every[:count]), tuple(every[count:])


def _loaded(plan: Plan) -> dict[int, int]:
    """For every input the number of its elements that the kernel loads."""
    kernel = plan.kernel
    places: set[tuple[int, int]] = set()
    for s in statements((*kernel.once, *kernel.body)):
        for k in s.reads:
            if k >= 0:
                own = s.elements(kernel.buffers[k].elements)
                places.update((k, e) for e in own)
    found = Counter(k for k, _ in places)
    numbers = zip(plan.buffers, kernel.buffers, strict=True)
    inputs = [(b, k) for b, (k, buffer) in enumerate(numbers) if not buffer.output]
    return {k: found[b] for b, k in inputs}


def _bytes(
    type: Type, placed: Placement, extents: Sequence[int], loaded: int | None
) -> float:
    """Bytes that a point moves of an array; of rows that are read, all of them."""
    size = (
        type.size if loaded is None or (loaded and placed.layout == "rows") else loaded
    )
    shared = [n for axis, n in enumerate(extents) if axis not in placed.varying]
    return size * type.dtype.itemsize / max(math.prod(shared), 1)


def _memory(
    inputs: Sequence[facts.Array],
    outputs: Sequence[facts.Array],
    points: int,
    call: Call,
) -> facts.Memory:
    read = sum(a.bytes for a in inputs)
    written = sum(a.bytes for a in outputs)
    if call.cards:
        return facts.Memory(read, written, call.cards[0].copy_bandwidth, cached=False)
    cached = (read + written) * points <= last_level_cache_bytes()
    return facts.Memory(read, written, copy_bandwidth(), cached)


def _gpu(call: Call, executable: Any) -> facts.Gpu:
    used, found = executable.usage, executable.occupancy
    return facts.Gpu(
        cards=tuple([f"cuda:{c.number} {c.name}" for c in call.cards]),
        registers=used.registers,
        spilled=used.spilled,
        shared=used.shared,
        threads=rows.THREADS,
        blocks=found.blocks,
        warps=found.warps,
        most=found.most,
        limits=found.limits,
        columns=executable.columns,
        tried=tuple(
            [(t.usage.registers, t.usage.spilled, t.columns) for t in executable.tried]
        ),
        part=call.part,
    )


def _machine(plan: Plan) -> facts.Machine:
    level = plan.order[0] if plan.order else 0
    executable = plan.executable
    return facts.Machine(
        vector_width(),
        executable.width,
        level,
        executable.spills,
        get_threads(),
        executable.settled,
    )
