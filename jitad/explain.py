"""How a transformed function is computed at one call.

`explain` derives and compiles as the call would, and runs nothing.  It reads the Plan
and what the derived graph remembers, and gives an Explanation.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from jitad import tree
from jitad.backends.machine import copy_bandwidth, last_level_cache_bytes, vector_width
from jitad.backends.schedule import sum_tile
from jitad.backends.threads import get_threads
from jitad.call import Compiled, Summed
from jitad.errors import InputError, TracingError
from jitad.explanation import (
    Array,
    Choice,
    Explanation,
    Machine,
    Memory,
    Operations,
    Sums,
)
from jitad.function import Function
from jitad.ir.graph import Graph, Type, reach
from jitad.ir.tracer import traced
from jitad.lowering.kernel import Gather, Kernel, Load, Op, statements
from jitad.names import argument_names, original, result_names
from jitad.plan import Derived, Placement, Plan
from jitad.program import Program
from jitad.steps import SumStep


def explain(transformed: Callable[..., Any], *args: Any, **kwargs: Any) -> Explanation:
    """How transformed(*args, **kwargs) is computed; it is compiled, but not run.

    Raises InputError where the first argument is not what jit, grad, jacobian, vmap …
    return, and whatever the call itself would raise.
    """
    if not isinstance(transformed, Function):
        raise InputError(_refusal(transformed))
    leaves, spec = tree.flatten((args, kwargs))
    if traced(leaves):
        raise TracingError(
            f"explain({transformed.name}, …) expected concrete arguments, got traced "
            "values; call it outside of the function that is being traced"
        )
    call = transformed.prepare(*args, **kwargs)
    compiled = call if isinstance(call, Compiled) else None
    _, extents, _ = transformed.point(spec, leaves)
    names = argument_names(original(transformed), args, kwargs)
    inputs, outputs = _arrays(
        call.derived, compiled, names, transformed.in_axes(spec, leaves),
        transformed.out_axes(call.derived),
    )  # fmt: skip
    if isinstance(call, Summed):
        return _of_sums(transformed, call, inputs, outputs)
    plan = call.plan
    return Explanation(
        name=transformed.name,
        backend=transformed.backend,
        extents=extents,
        inputs=inputs,
        outputs=outputs,
        choice=choice(call.derived),
        operations=operations(call.derived.graph, plan.kernel if plan else None),
        memory=_memory(inputs, outputs, math.prod(extents)) if plan else None,
        machine=_machine(plan) if plan else None,
        seconds=plan.seconds if plan else call.derived.seconds,
    )


def _of_sums(
    transformed: Function,
    call: Summed,
    inputs: Sequence[Array],
    outputs: Sequence[Array],
) -> Explanation:
    """A call of one point that sums over many."""
    program, count = call.program, len(inputs)
    layouts = {k: step.layout_of(k) for k in range(count) for step in program.steps
               if step.layout_of(k)}  # fmt: skip
    read = [
        replace(a, layout=layouts.get(k, ""), bytes=_all(a) if k in layouts else 0.0)
        for k, a in enumerate(inputs)
    ]
    written = [replace(a, layout="rows", bytes=_all(a)) for a in outputs]
    executable = program.sums[0].executable
    seconds = dict(call.derived.seconds)
    for step in program.steps:
        for name in ("lower", "compile"):
            spent = step.seconds.get(name, 0.0)
            seconds[name] = seconds.get(name, 0.0) + spent
    return Explanation(
        name=transformed.name,
        backend=transformed.backend,
        extents=(),
        inputs=tuple(read),
        outputs=tuple(written),
        choice=choice(call.derived),
        operations=_executed(program),
        memory=_memory(read, written, 1),
        machine=Machine(
            vector_width(), executable.width, 0,
            sum(s.executable.spills for s in program.sums), get_threads(),
        ),
        seconds=seconds,
        sums=tuple(map(_sums, program.sums)),
    )  # fmt: skip


def _executed(program: Program) -> Operations:
    """All that a program computes: the operations of points as often as they run."""
    counts, weighted = Counter[str](), 0.0
    for step in program.steps:
        own = operations(step.graph)
        times = step.count if isinstance(step, SumStep) else 1
        counts.update({name: times * n for name, n in own.counts.items()})
        weighted += times * own.weighted
    found = _sorted(counts)
    return Operations(found, found, weighted)


def _all(array: Array) -> float:
    return array.type.size * array.type.dtype.itemsize


def _sums(step: SumStep) -> Sums:
    outputs = [b for b in step.kernel.buffers if b.output]
    return Sums(
        points=step.count,
        count=sum(b.elements for b in outputs),
        operations=operations(step.graph),
        lanes=step.executable.width,
        tile=sum_tile(step.kernel, step.count),
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


def choice(derived: Derived) -> Choice:
    """How a derived graph came to its mode."""
    return Choice(
        derived.mode, derived.costs, derived.untried, derived.asked,
        tuple([(name, choice(part)) for name, part in derived.inside]),
    )  # fmt: skip


def operations(graph: Graph, kernel: Kernel | None = None) -> Operations:
    """The operations of a scalar graph, and of the kernel made from it."""
    used = [graph.nodes[i].primitive for i in reach(graph.nodes, graph.outputs)]
    counts = Counter(p.name for p in used if p.kind != "leaf")
    found = statements((*kernel.once, *kernel.body)) if kernel else ()
    words = Counter(s.word for s in found if isinstance(s, Op))
    return Operations(_sorted(counts), _sorted(words), sum(p.cost for p in used))


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda kv: (-kv[1], kv[0])))


def _arrays(
    derived: Derived,
    compiled: Compiled | None,
    names: Sequence[str],
    in_axes: Sequence[Sequence[int | None]],
    out_axes: Sequence[Sequence[int | None]],
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    graph = derived.graph
    types = [*graph.input_types, *graph.output_types]
    names = [*names, *result_names(derived.result)]
    axes = [tuple(a) for a in (*in_axes, *out_axes)]
    layouts, moved = [""] * len(types), [0.0] * len(types)
    if compiled is not None:
        assert compiled.plan is not None
        placed = [*compiled.inputs, *compiled.outputs]
        layouts = [p.layout for p in placed]
        read = _loaded(compiled.plan.kernel)
        moved = [
            _bytes(types[k], p, compiled.lanes, read.get(k))
            for k, p in enumerate(placed)
        ]
    made = [Array(*x) for x in zip(names, types, axes, layouts, moved, strict=True)]
    count = len(graph.inputs)
    return tuple(made[:count]), tuple(made[count:])


def _loaded(kernel: Kernel) -> dict[int, int]:
    """For every input the number of its elements that the kernel loads."""
    loads = [s for s in statements((*kernel.once, *kernel.body)) if isinstance(s, Load)]
    found = Counter(b for b, _ in {(s.buffer, s.element) for s in loads})
    for s in loads:
        if s.index is not None:
            found[s.buffer] = kernel.buffers[s.buffer].elements
    for s in statements(kernel.body):
        if isinstance(s, Gather) and s.buffer is not None:
            found[s.buffer] = kernel.buffers[s.buffer].elements
    return {k: found[k] for k, buffer in enumerate(kernel.buffers) if not buffer.output}


def _bytes(
    type: Type, placed: Placement, extents: Sequence[int], loaded: int | None
) -> float:
    """Bytes that a point moves of an array; of rows that are read, all of them."""
    size = (
        type.size if loaded is None or (loaded and placed.layout == "rows") else loaded
    )
    shared = [n for axis, n in enumerate(extents) if axis not in placed.varying]
    return size * type.dtype.itemsize / max(math.prod(shared), 1)


def _memory(inputs: Sequence[Array], outputs: Sequence[Array], points: int) -> Memory:
    read = sum(a.bytes for a in inputs)
    written = sum(a.bytes for a in outputs)
    cached = (read + written) * points <= last_level_cache_bytes()
    return Memory(read, written, copy_bandwidth(), cached)


def _machine(plan: Plan) -> Machine:
    level = plan.order[0] if plan.order else 0
    executable = plan.executable
    return Machine(
        vector_width(), executable.width, level, executable.spills, get_threads()
    )
