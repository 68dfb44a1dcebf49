"""Derivatives of calls by their own rules, in both modes.

A rule for one mode is linear in its seeds; sweeping over it in reverse transposes it,
which is the rule for the other mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from jitad.errors import UnsupportedError
from jitad.ir.call import CALL, Custom, custom_of
from jitad.ir.graph import CONST, Graph, prune, reach
from jitad.ir.interpret import inline
from jitad.ir.loop import LOOP, loop_of, parts_of
from jitad.ir.tracer import Trace
from jitad.primitives.scalar.elementwise import GATES
from jitad.transforms.scalars.templates import new_builder

from .linearized import Derivatives, Sweep, open_body
from .products import gated, include
from .steep import inside

# What is a multiple of seeds only if all that it is made of is.
_SUMS = frozenset({"add", "sub", "select", "cast", "neg", *GATES})
_MANY = 1_000_003  # more than there are nodes


def push_call(
    builder: Trace,
    v: int,
    tangents: Sequence[dict[int, int]],
    forward: Sweep,
    reverse: Sweep,
) -> Derivatives:
    """Tangents of the parts of call v, given those of its operands."""
    custom = custom_of(builder.nodes[v])
    sources = inside(builder, v)

    def rule(given: Sequence[int]) -> Graph:
        if custom.kind == "again":
            return _pushed(custom, given, sources, forward)
        return _checked(custom) if custom.kind == "jvp" else transposed(custom, reverse)

    types = custom.types()
    numbered = zip(parts_of(builder, v, types), types, strict=True)
    parts = [part for part, t in numbered if t.dtype.kind == "f"]
    found: Derivatives = {p: {} for p in parts}
    inputs = custom.value.inputs
    for seed, dots in _applied(builder, v, inputs, tangents, rule, forward).items():
        for part, dot in zip(parts, dots, strict=True):
            if not _none(builder, dot):
                found[part][seed] = dot
    return found


def pull_call(
    builder: Trace,
    v: int,
    bars: Sequence[dict[int, int]],
    forward: Sweep,
    reverse: Sweep,
) -> list[dict[int, int]]:
    """Cotangents of the operands of call v, given those of its parts."""
    custom = custom_of(builder.nodes[v])
    sources = inside(builder, v)

    def rule(given: Sequence[int]) -> Graph:
        if custom.kind == "again":
            return _pulled(custom, given, v + 1, sources, reverse)
        return _checked(custom) if custom.kind == "vjp" else transposed(custom, reverse)

    smooth = _smooth(custom.value, custom.value.inputs)
    found: list[dict[int, int]] = [{} for _ in custom.value.inputs]
    outputs = custom.value.outputs
    for seed, terms in _applied(builder, v, outputs, bars, rule, forward).items():
        for k, term in zip(smooth, terms, strict=True):
            if not _none(builder, term):
                found[k][seed] = term
    return found


def _none(builder: Trace, v: int) -> bool:
    """Whether a derivative is known to be 0: then there is none.

    A zero that is taken along, an infinite slope makes a NaN of.
    """
    known = builder.values[v]
    return known is not None and not np.any(known)


def _pushed(
    custom: Custom, given: Sequence[int], sources: Sequence[int], sweep: Sweep
) -> Graph:
    """(x …, ẋ …) -> (ẏ …) of the value itself, for the tangents that are there."""
    value = custom.value
    line = open_body(value, given, sources)
    inner = line.builder
    dots = [inner.input(value.input_types[k]) for k in given]
    seeds: Derivatives = {
        line.inputs[k]: {0: dot} for k, dot in zip(given, dots, strict=True)
    }
    found = sweep(line, seeds)
    kept = [int(line.outputs[k]) for k in _smooth(value, value.outputs)]
    results = [_derivative(inner, found, v) for v in kept]
    return prune(inner.nodes, (*line.inputs, *dots), tuple(results))


def _pulled(
    custom: Custom,
    given: Sequence[int],
    apart: int,
    sources: Sequence[int],
    sweep: Sweep,
) -> Graph:
    """(x …, ȳ …) -> (x̄ …) of the value itself, by loops that are run once more."""
    value = custom.value
    wrt = _smooth(value, value.inputs)
    line = open_body(_apart(value, apart), wrt, sources)
    inner = line.builder
    seeds: Derivatives = {}
    bars = []
    for k in given:
        bars.append(inner.input(value.output_types[k]))
        include(inner, seeds.setdefault(int(line.outputs[k]), {}), 0, bars[-1])
    found = sweep(line, seeds)
    kept = [line.inputs[k] for k in _smooth(value, value.inputs)]
    results = [_derivative(inner, found, v) for v in kept]
    return prune(inner.nodes, (*line.inputs, *bars), tuple(results))


def _derivative(builder: Trace, found: Derivatives, v: int) -> int:
    """The derivative of a node in its dtype, zero where there is none."""
    dtype = builder.nodes[v].type.dtype
    term = found.get(v, {}).get(0)
    return builder.number(0.0, dtype) if term is None else builder.cast(term, dtype)


def _apart(graph: Graph, number: int) -> Graph:
    """The graph with loops that are run together with no others but their own."""
    builder = new_builder()

    def change(i: int, operands: tuple[int, ...]) -> int | None:
        node = graph.nodes[i]
        if node.primitive is not LOOP:
            return None
        loop = loop_of(node)
        apart = node.holding(replace(loop, apart=_MANY * loop.apart + number))
        return builder.copy(apart, operands)

    return graph.rewritten(builder, change)


def _smooth(graph: Graph, nodes: Sequence[int]) -> list[int]:
    """The numbers of those that are floating-point."""
    return [k for k, i in enumerate(nodes) if graph.nodes[i].type.dtype.kind == "f"]


def _applied(
    builder: Trace,
    v: int,
    seeded: Sequence[int],
    given: Sequence[dict[int, int]],
    rule: Callable[[Sequence[int]], Graph],
    forward: Sweep,
) -> dict[int, list[int]]:
    """The results for every seed of a rule, made for the numbers of what is given.

    It takes only what is there: a zero times an infinite slope would be NaN.
    """
    node = builder.nodes[v]
    custom = custom_of(node)
    smooth = _smooth(custom.value, seeded)
    rules: dict[tuple[int, ...], Graph] = {}

    def made_for(places: tuple[int, ...]) -> Graph:
        if custom.kind == "again" or len(places) == len(smooth):
            return rule(places)
        there = [smooth.index(k) for k in places]
        return _of_some(custom, rule(smooth), there, forward)

    def results(seeds: dict[int, int]) -> list[int]:
        places = tuple(seeds)
        if places not in rules:
            rules[places] = made_for(places)
        return inline(builder, rules[places], [*node.operands, *seeds.values()])

    made = {}
    for seed in sorted({s for found in given for s in found}):
        own = {
            k: builder.cast(given[k][seed], custom.value.nodes[seeded[k]].type.dtype)
            for k in smooth
            if seed in given[k]
        }
        made[seed] = _apart_from_gates(builder, own, results)
    return made


def _apart_from_gates(
    builder: Trace,
    seeds: dict[int, int],
    results: Callable[[dict[int, int]], list[int]],
) -> list[int]:
    """What is linear in seeds; the part of one behind a gate is behind it, too."""
    gates = {k for k, i in seeds.items() if builder.nodes[i].primitive.name in GATES}
    if not gates:
        return results(seeds)
    sums: dict[int, int] = {}
    free = {k: i for k, i in seeds.items() if k not in gates}
    if free:
        sums |= dict(enumerate(results(free)))
    for k in sorted(gates):
        condition, seed = builder.nodes[seeds[k]].operands
        for number, term in enumerate(results({k: seed})):
            include(builder, sums, number, gated(builder, condition, term))
    return list(sums.values())


def _calls(graph: Graph) -> bool:
    """Whether a graph, or a loop in it, calls functions with rules."""
    return any(
        node.primitive is CALL
        or (node.primitive is LOOP and _calls(loop_of(node).body))
        for node in graph.nodes
    )


def _of_some(
    custom: Custom, rule: Graph, there: Sequence[int], forward: Sweep
) -> Graph:
    """A function's rule for only some of the seeds.

    Where it calls others, as the rule of a solution calls its own function, the seeds
    that are not there are zero.
    """
    count = len(custom.value.inputs)
    places = [count + j for j in there]
    if _calls(rule):
        return _at_zero(rule, {*range(count, len(rule.inputs))} - {*places})
    line = open_body(rule, places)
    inner = line.builder
    dots = [inner.input(rule.input_types[p]) for p in places]
    seeds: Derivatives = {
        line.inputs[p]: {0: dot} for p, dot in zip(places, dots, strict=True)
    }
    found = forward(line, seeds)
    results = [_derivative(inner, found, int(v)) for v in line.outputs]
    graph = prune(inner.nodes, (*line.inputs, *dots), tuple(results))
    return _linear(custom, graph, len(rule.inputs))


def transposed(custom: Custom, sweep: Sweep) -> Graph:
    """(x …, s …) -> (t …), linear in s, as  (x …, t̄ …) -> (s̄ …)."""
    rule, count = _checked(custom), len(custom.value.inputs)
    line = open_body(rule, range(count, len(rule.inputs)))
    inner, seeds = line.builder, line.inputs[count:]
    bars = [inner.input(t) for t in rule.output_types]
    given: Derivatives = {}
    for output, bar in zip(line.outputs, bars, strict=True):
        include(inner, given.setdefault(int(output), {}), 0, bar)
    found = sweep(line, given)
    results = [_derivative(inner, found, i) for i in seeds]
    inputs = (*line.inputs, *bars)
    graph = prune(inner.nodes, inputs, tuple(results))
    return _linear(custom, graph, len(rule.inputs))


def _checked(custom: Custom) -> Graph:
    """A function's rule.

    Raises UnsupportedError where it gives something though there are no seeds.
    """
    rule = custom.rule
    nodes, seeds = rule.nodes, rule.inputs[len(custom.value.inputs) :]
    scaled, zero = set(seeds), set[int]()
    for i, (primitive, operands, *_) in enumerate(nodes):
        name = primitive.name
        terms = operands[1:] if name in ("select", *GATES) else operands
        own = [a for a in terms if a in scaled]
        if primitive is CONST:
            if np.shape(nodes[i].value) == () and nodes[i].value == 0:
                zero.add(i)
        elif name in _SUMS and own and not all(a in scaled or a in zero for a in terms):
            break
        elif own:
            scaled.add(i)
        elif (name == "mul" and not zero.isdisjoint(operands)) or (
            name in _SUMS and zero.issuperset(terms)
        ):
            zero.add(i)
    else:
        if all(i in scaled or i in zero for i in rule.outputs):
            return rule
    bars = "tangents" if custom.kind == "jvp" else "cotangents"
    raise UnsupportedError(
        f"{custom.name}: expected a rule that is linear in the {bars}, but it adds "
        f"what does not depend on them; write sums of {bars} times what depends on the "
        "arguments alone"
    )


def _linear(custom: Custom, graph: Graph, end: int) -> Graph:
    """What was derived of a rule with seeds up to input `end`, freed of these.

    Raises UnsupportedError where it depends on them: the rule is not linear.
    """
    seeds = range(len(custom.value.inputs), end)
    needed = set(reach(graph.nodes, graph.outputs))
    if not needed.isdisjoint(graph.inputs[k] for k in seeds):
        bars = "tangents" if custom.kind == "jvp" else "cotangents"
        raise UnsupportedError(
            f"{custom.name}: expected a rule that is linear in the {bars}, but its "
            f"derivative depends on them; write sums of {bars} times what depends on "
            f"the arguments alone, without conditions on {bars}"
        )
    return _at_zero(graph, {*seeds})


def _at_zero(graph: Graph, places: set[int]) -> Graph:
    """The graph with some of its inputs zero: of what is linear in them, all of it."""
    builder = new_builder()
    inputs = [
        builder.number(0.0, t.dtype) if k in places else builder.input(t)
        for k, t in enumerate(graph.input_types)
    ]
    return builder.finish(inline(builder, graph, inputs))
