"""Derivatives of a loop are loops.

    push   tangents are carried along with the values
    pull   in `backwards.py`

Both work for many seeds at once, and only with those that reach a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from jitad.ir.graph import PACK, Graph, Type, prune
from jitad.ir.interpret import rearranged
from jitad.ir.loop import Loop, add_loop, loop_of, parts_of
from jitad.ir.tracer import Trace

from .linearized import Derivatives, Linearized, Sweep, open_body
from .products import unless_zero
from .steep import inside

Key = tuple[int, int]  # the number of a value, and a seed


def push(
    builder: Trace, v: int, tangents: Sequence[dict[int, int]], sweep: Sweep
) -> Derivatives:
    """Tangents of the parts of loop v, given those of its operands."""
    node = builder.nodes[v]
    loop = loop_of(node)
    _, *kinds = loop.split(tangents)
    given = [own for kind in kinds for own in kind]
    group_of = [group for group, kind in enumerate(kinds) for _ in kind]
    line, reached = _opened(loop, given, inside(builder, v))
    index, *own = line.inputs
    dots: Derivatives = {}
    groups: list[list[Key]] = [[], [], [], []]
    fresh: list[list[int]] = [[], [], [], []]
    for k, seeds_of in enumerate(reached):
        group = group_of[k]
        type = line.builder.nodes[own[k]].type
        for c in seeds_of:
            # What no iteration changes and is known, the body may simplify with.
            known = None
            if group in (1, 3) and c in given[k]:
                known = constant(builder, given[k][c], type, line.builder)
            if known is not None:
                dots.setdefault(own[k], {})[c] = known
                continue
            dot = line.builder.input(type)
            sparse = group == 2 and one_by_one(builder, given[k][c])
            sparse = sparse and bent(line, [own[k]])
            made = unless_zero(line.builder, dot) if sparse else dot
            dots.setdefault(own[k], {})[c] = made
            groups[group].append((k, c))
            fresh[group].append(dot)
    found = sweep(line, dots)
    outputs = [int(o) for o in line.outputs]
    steps = [_derivative(line, found, k, c) for k, c in groups[0]]
    rows = [
        (k, c)
        for k in loop.numbers.written
        for c in sorted(found.get(outputs[k], {}))
        if line.types[k].dtype.kind == "f"
    ]
    records = [_derivative(line, found, k, c) for k, c in rows]
    summed = [
        (k, c) for k in loop.numbers.summed for c in sorted(found.get(outputs[k], {}))
    ]
    sums = [found[outputs[k]][c] for k, c in summed]
    _, *old = loop.entering(line.inputs)
    inputs = [index, *_alternating(old, fresh)]
    made = _alternating(loop.leaving(outputs), [steps, records, sums])
    body = prune(line.builder.nodes, inputs, tuple(made))
    first = group_of.index(2) if groups[2] else 0
    ways = [loop.slices[k - first] for k, _ in groups[2]]
    widened = replace(
        loop,
        body=body,
        head=None,
        carried=loop.carried + len(steps),
        shared=loop.shared + len(fresh[1]),
        slices=(*loop.slices, *ways),
        written=loop.written + len(records),
        tables=loop.tables + len(fresh[3]),
        summed=loop.summed + len(summed),
    )
    if loop.head is not None:
        widened = replace(widened, head=_head(loop, widened))
    _, *old = split = loop.split(node.operands)
    new = [
        [or_zero(builder, given[k], c, loop.body.input_types[1 + k]) for k, c in group]
        for group in groups
    ]
    operands = [*split.counts, *_alternating(old, new)]
    parts = widened.leaving(add_loop(builder, widened, operands, node.line))
    old_parts = parts_of(builder, v, loop.types())
    result: Derivatives = {}
    for keys, own, count in (
        (groups[0], parts.carried, loop.carried),
        (rows, parts.written, loop.written),
        (summed, parts.summed, loop.summed),
    ):
        for (k, c), part in zip(keys, own[count:], strict=True):
            result.setdefault(old_parts[k], {})[c] = part
    return result


def _alternating(
    old: Sequence[Sequence[int]], new: Sequence[Sequence[int]]
) -> list[int]:
    """All values of each kind, and behind them those that were added to the kind."""
    pairs = zip(old, new, strict=True)
    return [i for before, after in pairs for i in (*before, *after)]


def one_by_one(builder: Trace, array: int) -> bool:
    """Whether an array of derivatives is one of constants, zeros among them.

    They are the elements of a seed: an iteration that reads a zero has none at all.
    """
    node = builder.nodes[array]
    if node.primitive is not PACK:
        return False
    known = [builder.values[a] for a in node.operands]
    return None not in known and 0 in known


def bent(line: Linearized, starts: Sequence[int]) -> bool:
    """Whether anything that depends on some inputs is no multiple of what it is of."""
    reached = set(starts)
    for v in line.order:
        edges = line.edges.get(v)
        if edges is None:
            operands = line.builder.nodes[v].operands
            if not reached.isdisjoint(operands):
                return True
            continue
        partials = [p for a, p in edges if a in reached]
        if any(line.builder.values[p] is None for p in partials):
            return True
        if partials:
            reached.add(v)
    return False


def constant(builder: Trace, i: int, type: Type, inner: Trace) -> int | None:
    """A constant, or an array of constants, inside a body; None: it is neither."""
    if builder.values[i] is not None and not type.shape:
        return inner.number(builder.values[i], type.dtype)
    node = builder.nodes[i]
    if node.primitive is not PACK:
        return None
    known = [builder.values[a] for a in node.operands]
    if any(value is None for value in known):
        return None
    return inner.add(PACK, tuple([inner.const(value) for value in known]), node.type)


def _derivative(line: Linearized, found: Derivatives, k: int, seed: int) -> int:
    """The tangent of output k, in its dtype, zero where there is none."""
    dtype = line.types[k].dtype
    value = found.get(int(line.outputs[k]), {}).get(seed)
    if value is None:
        return line.builder.number(0.0, dtype)
    return line.builder.cast(value, dtype)


def or_zero(builder: Trace, found: dict[int, int], seed: int, type: Type) -> int:
    """A derivative of an operand, zero where there is none."""
    value = found.get(seed)
    if value is None:
        return builder.number(0.0, type.dtype)
    if builder.nodes[value].type.shape:
        return value
    return builder.cast(value, type.dtype)


def _opened(
    loop: Loop, seeds: Sequence[Iterable[int]], sources: Sequence[int]
) -> tuple[Linearized, list[list[int]]]:
    """The opened body, and for every input but the index the seeds that reach it."""
    types = loop.body.input_types[1:]
    reached = [
        set(s) if t.dtype.kind == "f" else set()
        for s, t in zip(seeds, types, strict=True)
    ]
    every = [1 + k for k, t in enumerate(types) if t.dtype.kind == "f"]
    depends = dependence(open_body(loop.body, every))
    changed = True
    while changed:
        changed = False
        for k in range(loop.carried):
            if types[k].dtype.kind != "f":
                continue
            found = set().union(*(reached[j - 1] for j in depends[k]))
            changed |= not found <= reached[k]
            reached[k] |= found
    wrt = [1 + k for k, s in enumerate(reached) if s]
    return open_body(loop.body, wrt, sources), [sorted(s) for s in reached]


def dependence(line: Linearized) -> list[list[int]]:
    """For every output the numbers of the inputs that it may change smoothly with."""
    masks = {i: 1 << k for k, i in enumerate(line.inputs)}
    for v in line.order:
        edges = line.edges.get(v)
        operands = (
            line.builder.nodes[v].operands if edges is None else [a for a, _ in edges]
        )
        mask = 0
        for a in operands:
            mask |= masks.get(a, 0)
        masks[v] = mask
    found = [masks.get(int(o), 0) for o in line.outputs]
    count = len(line.inputs)
    return [[k for k in range(count) if m >> k & 1] for m in found]


def _head(loop: Loop, widened: Loop) -> Graph:
    """The head for a loop that carries and shares more, behind what it did."""
    assert loop.head is not None
    at = widened.entering(range(len(widened.body.inputs)))
    places = [at.index, *at.carried[: loop.carried], *at.shared[: loop.shared]]
    types = widened.entering(widened.body.input_types)
    given = [types.index, *types.carried, *types.shared]
    return rearranged(loop.head, given, places)
