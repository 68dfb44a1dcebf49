"""Derivatives of calls by their own rules, in both modes.

A rule for one mode is linear in its seeds; sweeping over it in reverse transposes it,
which is the rule for the other mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jitad.ir.call import Custom, custom_of
from jitad.ir.graph import Graph, prune
from jitad.ir.interpret import inline
from jitad.ir.loop import PART
from jitad.ir.tracer import Trace
from jitad.transforms.linearized import Linearized, open_body
from jitad.transforms.products import cast, include
from jitad.transforms.scalarize import builder

Derivatives = dict[int, dict[int, int]]
Sweep = Callable[[Linearized, Derivatives], Derivatives]


def push_call(
    target: Trace, v: int, tangents: Sequence[dict[int, int]], sweep: Sweep
) -> Derivatives:
    """Tangents of the parts of call v, given those of its operands.

    sweep  the reverse sweep, for a rule that is stated for reverse mode
    """
    custom = custom_of(target.nodes[v])
    rule = custom.rule if custom.kind == "jvp" else transposed(custom, sweep)
    types = custom.types()
    parts = [
        target.add(PART, (v,), t, (("number", k),))
        for k, t in enumerate(types)
        if t.dtype.kind == "f"
    ]
    found: Derivatives = {p: {} for p in parts}
    for seed, dots in _applied(target, v, custom.value.inputs, tangents, rule).items():
        for part, dot in zip(parts, dots, strict=True):
            found[part][seed] = dot
    return found


def pull_call(
    target: Trace, v: int, bars: Sequence[dict[int, int]], sweep: Sweep
) -> list[dict[int, int]]:
    """Cotangents of the operands of call v, given those of its parts."""
    custom = custom_of(target.nodes[v])
    rule = custom.rule if custom.kind == "vjp" else transposed(custom, sweep)
    smooth = _smooth(custom.value, custom.value.inputs)
    found: list[dict[int, int]] = [{} for _ in custom.value.inputs]
    for seed, terms in _applied(target, v, custom.value.outputs, bars, rule).items():
        for k, term in zip(smooth, terms, strict=True):
            found[k][seed] = term
    return found


def _smooth(graph: Graph, nodes: Sequence[int]) -> list[int]:
    """The numbers of those that are floating-point."""
    return [k for k, i in enumerate(nodes) if graph.nodes[i].type.dtype.kind == "f"]


def _applied(
    target: Trace,
    v: int,
    seeded: Sequence[int],
    given: Sequence[dict[int, int]],
    rule: Graph,
) -> dict[int, list[int]]:
    """The results of a rule for every seed."""
    node = target.nodes[v]
    value = custom_of(node).value
    made = {}
    for seed in sorted({s for found in given for s in found}):
        seeds = []
        for k in _smooth(value, seeded):
            dtype = value.nodes[seeded[k]].type.dtype
            known = given[k].get(seed)
            zero = target.number(0.0, dtype)
            seeds.append(zero if known is None else cast(target, known, dtype))
        made[seed] = inline(target, rule, [*node.operands, *seeds])
    return made


def transposed(custom: Custom, sweep: Sweep) -> Graph:
    """(x …, s …) -> (t …), linear in s, as  (x …, t̄ …) -> (s̄ …)."""
    rule, count = custom.rule, len(custom.value.inputs)
    line = open_body(rule, range(count, len(rule.inputs)))
    inner, seeds = line.target, line.inputs[count:]
    bars = [inner.input(t) for t in rule.output_types]
    given: Derivatives = {}
    for output, bar in zip(line.outputs, bars, strict=True):
        include(inner, given.setdefault(int(output), {}), 0, bar)
    found = sweep(line, given)
    results = []
    for i in seeds:
        dtype = inner.nodes[i].type.dtype
        term = found.get(i, {}).get(0)
        zero = inner.number(0.0, dtype)
        results.append(zero if term is None else cast(inner, term, dtype))
    inputs = (*line.inputs, *bars)
    return _at_zero(prune(inner.nodes, inputs, tuple(results)), count, len(seeds))


def _at_zero(graph: Graph, first: int, count: int) -> Graph:
    """The graph with some of its inputs zero: of what is linear in them, all of it."""
    target = builder()
    inputs = [
        target.number(0.0, t.dtype) if first <= k < first + count else target.input(t)
        for k, t in enumerate(graph.input_types)
    ]
    return target.finish(inline(target, graph, inputs))
