"""Derivatives of a loop are loops.

    push   tangents are carried along with the values
    pull   the carried values are recorded, and cotangents carried backwards over the
           record (A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., 2008,
           chapters 3 and 12); what all iterations share has its cotangents summed

Both work for many seeds at once, and only with those that reach a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from jitad.errors import UnsupportedError
from jitad.ir.graph import PACK, Graph, Type, prune, scalar
from jitad.ir.interpret import rearranged
from jitad.ir.loop import INT, Loop, add_loop, loop_of, parts_of
from jitad.ir.primitive import registry
from jitad.ir.table import add_spread
from jitad.ir.tracer import Trace
from jitad.transforms.linearized import Derivatives, Linearized, Sweep, open_body
from jitad.transforms.products import cast
from jitad.transforms.templates import builder

Key = tuple[int, int]  # the number of a value, and a seed

# Iterations whose carried values may be recorded at every point.
MOST_RECORDED = 100_000


def push(
    target: Trace, v: int, tangents: Sequence[dict[int, int]], sweep: Sweep
) -> Derivatives:
    """Tangents of the parts of loop v, given those of its operands."""
    node = target.nodes[v]
    loop = loop_of(node)
    _, carried, shared, arrays, tables = loop.split(tangents)
    given = [*carried, *shared, *arrays, *tables]
    line, reached = _spread(loop, given)
    own = list(line.inputs)
    a, b = 1 + loop.carried, 1 + loop.carried + loop.shared
    d = b + len(loop.slices)
    dots: Derivatives = {}
    groups: list[list[Key]] = [[], [], [], []]
    fresh: list[list[int]] = [[], [], [], []]
    for k, seeds_of in enumerate(reached):
        group = sum(1 + k >= first for first in (a, b, d))
        type = line.target.nodes[own[1 + k]].type
        for c in seeds_of:
            # What no iteration changes and is known, the body may simplify with.
            known = None
            if group in (1, 3) and c in given[k]:
                known = _constant(target, given[k][c], type, line.target)
            if known is not None:
                dots.setdefault(own[1 + k], {})[c] = known
                continue
            dot = line.target.input(type)
            dots.setdefault(own[1 + k], {})[c] = dot
            groups[group].append((k, c))
            fresh[group].append(dot)
    found = sweep(line, dots)
    outputs = [int(o) for o in line.outputs]
    steps = [_derivative(line, found, k, c) for k, c in groups[0]]
    rows = [
        (k, c)
        for k in range(loop.carried, loop.carried + loop.written)
        for c in sorted(found.get(outputs[k], {}))
        if line.types[k].dtype.kind == "f"
    ]
    records = [_derivative(line, found, k, c) for k, c in rows]
    last = loop.carried + loop.written
    summed = [
        (k, c)
        for k in range(last, last + loop.summed)
        for c in sorted(found.get(outputs[k], {}))
    ]
    inputs = [
        *own[:a], *fresh[0], *own[a:b], *fresh[1], *own[b:d], *fresh[2],
        *own[d:], *fresh[3],
    ]  # fmt: skip
    made = [
        *outputs[: loop.carried], *steps, *outputs[loop.carried : last], *records,
        *outputs[last:], *(found[outputs[k]][c] for k, c in summed),
    ]  # fmt: skip
    body = prune(line.target.nodes, inputs, tuple(made))
    ways = [loop.slices[k - loop.carried - loop.shared] for k, _ in groups[2]]
    widened = replace(
        loop,
        body=body,
        head=_head(loop, body, len(fresh[0]), len(fresh[1])),
        carried=loop.carried + len(steps),
        shared=loop.shared + len(fresh[1]),
        slices=(*loop.slices, *ways),
        written=loop.written + len(records),
        tables=loop.tables + len(fresh[3]),
        summed=loop.summed + len(summed),
    )
    count, *old = _grouped(loop, node.operands)
    new = [
        [_given(target, given[k], c, loop.body.input_types[1 + k]) for k, c in group]
        for group in groups
    ]
    pairs = zip(old, new, strict=True)
    operands = [*count, *(i for before, after in pairs for i in (*before, *after))]
    parts = add_loop(target, widened, operands, node.line)
    old_parts = parts_of(target, v, loop.types())
    result: Derivatives = {}
    for n, (k, c) in enumerate(groups[0]):
        result.setdefault(old_parts[k], {})[c] = parts[loop.carried + n]
    first = widened.carried + loop.written
    for n, (k, c) in enumerate(rows):
        result.setdefault(old_parts[k], {})[c] = parts[first + n]
    first = widened.carried + widened.written + loop.summed
    for n, (k, c) in enumerate(summed):
        result.setdefault(old_parts[k], {})[c] = parts[first + n]
    return result


def _constant(target: Trace, i: int, type: Type, inner: Trace) -> int | None:
    """A constant, or an array of constants, inside a body; None: it is neither."""
    if target.values[i] is not None and not type.shape:
        return inner.number(target.values[i], type.dtype)
    node = target.nodes[i]
    if node.primitive is not PACK:
        return None
    known = [target.values[a] for a in node.operands]
    if any(value is None for value in known):
        return None
    return inner.add(PACK, tuple([inner.const(value) for value in known]), node.type)


def _grouped(loop: Loop, operands: Sequence[int]) -> tuple[list[int], ...]:
    """[count] or [], carried, shared, arrays, tables."""
    count, *rest = loop.split(operands)
    return [] if count is None else [count], *rest


def _derivative(line: Linearized, found: Derivatives, k: int, seed: int) -> int:
    """The tangent of output k, in its dtype, zero where there is none."""
    dtype = line.types[k].dtype
    value = found.get(int(line.outputs[k]), {}).get(seed)
    if value is None:
        return line.target.number(0.0, dtype)
    return cast(line.target, value, dtype)


def _given(target: Trace, found: dict[int, int], seed: int, type: Type) -> int:
    """A derivative of an operand, zero where there is none."""
    value = found.get(seed)
    if value is None:
        return target.number(0.0, type.dtype)
    if target.nodes[value].type.shape:
        return value
    return cast(target, value, type.dtype)


def _spread(
    loop: Loop, seeds: Sequence[Iterable[int]]
) -> tuple[Linearized, list[list[int]]]:
    """The opened body, and for every input but the index the seeds that reach it."""
    types = loop.body.input_types[1:]
    reached = [
        set(s) if t.dtype.kind == "f" else set()
        for s, t in zip(seeds, types, strict=True)
    ]
    every = [1 + k for k, t in enumerate(types) if t.dtype.kind == "f"]
    depends = _dependence(open_body(loop.body, every))
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
    return open_body(loop.body, wrt), [sorted(s) for s in reached]


def _dependence(line: Linearized) -> list[list[int]]:
    """For every output the numbers of the inputs that it may change smoothly with."""
    masks = {i: 1 << k for k, i in enumerate(line.inputs)}
    for v in line.order:
        edges = line.edges.get(v)
        operands = (
            line.target.nodes[v].operands if edges is None else [a for a, _ in edges]
        )
        mask = 0
        for a in operands:
            mask |= masks.get(a, 0)
        masks[v] = mask
    found = [masks.get(int(o), 0) for o in line.outputs]
    count = len(line.inputs)
    return [[k for k in range(count) if m >> k & 1] for m in found]


def _head(loop: Loop, body: Graph, carried: int, shared: int) -> Graph | None:
    """The head with the inputs of a body that has more of both."""
    if loop.head is None:
        return None
    a = 1 + loop.carried
    places = [*range(a), *range(a + carried, a + carried + loop.shared)]
    types = body.input_types[: a + carried + loop.shared + shared]
    return rearranged(loop.head, types, places)


# -- reverse -------------------------------------------------------------------


def pull(
    target: Trace,
    v: int,
    bars: Sequence[dict[int, int]],
    begun: Sequence[dict[int, int]],
    active: Sequence[bool],
    sweep: Sweep,
) -> tuple[
    list[dict[int, int]], list[tuple[int, int, int]], list[tuple[int, int, int]]
]:
    """Cotangents of the operands of loop v, given those of its parts.

    begun   for every shared operand the cotangents that it has already; the loop adds
            to them, one term after the other, so that it does not matter how many
            loops the iterations are spread over
    active  for every operand whether its cotangents are asked for
    Gives those of scalars; (number of an array, seed, what every iteration adds to
    what it read); and (number of a table, seed, what all of them add to it).
    """
    node = target.nodes[v]
    loop = loop_of(node)
    count, starts, shared, arrays, tables = _grouped(loop, node.operands)
    found: list[dict[int, int]] = [{} for _ in node.operands]
    if not any(bars):
        return found, [], []
    wants = active[len(count) :]
    line, reached, summed = _backwards(loop, bars)
    own = list(line.inputs)
    inner = line.target
    a, b = 1 + loop.carried, 1 + loop.carried + loop.shared
    d = b + len(arrays)
    back = [(k, r) for k in range(loop.carried) for r in sorted(reached[k])]
    sums = [
        (k, r)
        for k in range(loop.shared)
        if wants[a - 1 + k]
        for r in sorted(summed[a - 1 + k])
    ]
    seeds: Derivatives = {}
    carried_bars = [inner.input(inner.nodes[own[1 + k]].type) for k, _ in back]
    sum_bars = [inner.input(inner.nodes[own[a + k]].type) for k, _ in sums]
    wanted = [
        (k, r)
        for k in range(loop.carried, loop.carried + loop.written)
        for r in sorted(bars[k])
    ]
    read_bars = [inner.input(line.types[k]) for k, _ in wanted]
    for (k, r), bar in zip([*back, *wanted], [*carried_bars, *read_bars], strict=True):
        _include(inner, seeds, int(line.outputs[k]), r, bar)
    for (k, r), bar in zip(sums, sum_bars, strict=True):
        _include(inner, seeds, own[a + k], r, bar)
    summed_bars, given = _of_summed(target, loop, bars, line, seeds)
    cotangents = sweep(line, seeds)

    def bar_of(input: int, seed: int) -> int:
        dtype = inner.nodes[input].type.dtype
        value = cotangents.get(input, {}).get(seed)
        if value is None:
            return inner.number(0.0, dtype)
        return cast(inner, value, dtype)

    made = [bar_of(own[1 + k], r) for k, r in back]
    made += [bar_of(own[a + k], r) for k, r in sums]
    reads = [
        (k, r)
        for k in range(len(arrays))
        if wants[b - 1 + k]
        for r in sorted(summed[b - 1 + k])
        if cotangents.get(own[b + k], {}).get(r) is not None
    ]
    made += [bar_of(own[b + k], r) for k, r in reads]
    spread = [
        (k, r)
        for k in range(loop.tables)
        if wants[d - 1 + k]
        for r in sorted(cotangents.get(own[d + k], {}))
    ]
    made += [cotangents[own[d + k]][r] for k, r in spread]
    # Where iterations only add to what is carried, nothing depends on its history.
    past = [] if loop.adds else own[1:a]
    inputs = [
        own[0], *carried_bars, *sum_bars, *own[a:b], *past, *own[b:d], *read_bars,
        *own[d:], *summed_bars,
    ]  # fmt: skip
    body = prune(inner.nodes, inputs, tuple(made))
    steps, history = (-1, []) if loop.adds else _record(target, v)
    known = loop.head is None and not loop.counted
    reverse = Loop(
        body=body,
        carried=len(back) + len(sums),
        shared=loop.shared,
        slices=(
            *[(0, 1)] * len(past), *loop.slices, *[(0, 1)] * len(read_bars)
        ),
        written=len(reads),
        bound=loop.bound,
        counted=not known,
        backwards=loop.backwards != (not loop.adds),
        tables=loop.tables + len(given),
        summed=len(spread),
    )  # fmt: skip
    operands = [
        *([] if known else [steps]),
        *[_given(target, bars[k], r, line.types[k]) for k, r in back],
        *[_given(target, begun[k], r, loop.body.input_types[a + k]) for k, r in sums],
        *shared,
        *history,
        *arrays,
        *[bars[k][r] for k, r in wanted],
        *tables,
        *given,
    ]
    parts = add_loop(target, reverse, operands, node.line)
    first = len(count)
    for n, (k, r) in enumerate(back):
        found[first + k][r] = parts[n]
    first += len(starts)
    for n, (k, r) in enumerate(sums):
        found[first + k][r] = parts[len(back) + n]
    read = [(k, r, parts[reverse.carried + n]) for n, (k, r) in enumerate(reads)]
    first = reverse.carried + reverse.written
    over = [(k, r, parts[first + n]) for n, (k, r) in enumerate(spread)]
    return found, read, over


def _of_summed(
    target: Trace,
    loop: Loop,
    bars: Sequence[dict[int, int]],
    line: Linearized,
    seeds: Derivatives,
) -> tuple[list[int], list[int]]:
    """Seed what is summed with its cotangents: new inputs, and what they are given."""
    inner, inputs, given = line.target, [], []
    first = loop.carried + loop.written
    for k in range(first, first + loop.summed):
        v = int(line.outputs[k])
        for r, array in sorted(bars[k].items()):
            type = target.nodes[array].type
            bar = _constant(target, array, type, inner)
            if bar is None:
                bar = inner.input(type)
                inputs.append(bar)
                given.append(array)
            own = seeds.setdefault(v, {})
            both = [own[r], bar] if r in own else [bar]
            own[r] = add_spread(inner, inner.nodes[v].type, both, [])
    return inputs, given


def _include(inner: Trace, seeds: Derivatives, v: int, seed: int, bar: int) -> None:
    own = seeds.setdefault(v, {})
    own[seed] = bar if seed not in own else _plus(inner, own[seed], bar)


def _plus(target: Trace, a: int, b: int) -> int:
    return target.apply(registry.primitives["add"], (a, b), target.nodes[a].type)


def _backwards(
    loop: Loop, bars: Sequence[dict[int, int]]
) -> tuple[Linearized, list[set[int]], list[set[int]]]:
    """The opened body; seeds that reach each carried output, and each input."""
    types = loop.body.input_types[1:]
    smooth = [t.dtype.kind == "f" for t in types]
    line = open_body(loop.body, [1 + k for k, s in enumerate(smooth) if s])
    depends = _dependence(line)
    reached: list[set[int]] = [set(b) for b in bars[: len(depends)]]
    into: list[set[int]] = [set() for _ in types]
    changed = True
    while changed:
        changed = False
        for k, inputs in enumerate(depends):
            for j in inputs:
                if smooth[j - 1] and not reached[k] <= into[j - 1]:
                    into[j - 1] |= reached[k]
                    changed = True
        for k in range(loop.carried):
            if not into[k] <= reached[k]:
                reached[k] |= into[k]
                changed = True
    return line, reached[: loop.carried], into


def _record(target: Trace, v: int) -> tuple[int, list[int]]:
    """Steps taken, and what was carried into every iteration, for every value."""
    node = target.nodes[v]
    loop = loop_of(node)
    if loop.bound > MOST_RECORDED:
        raise UnsupportedError(
            "reverse mode keeps a record of every iteration, but this loop has no "
            f"bound, or one of {loop.bound} ({node.line}); give max_steps=n, at most "
            f"{MOST_RECORDED}, or use mode='forward' or jvp"
        )
    body, n = loop.body, loop.carried
    carried = tuple([body.inputs[1 + k] for k in range(n)])
    kept = replace(
        loop,
        body=Graph(body.nodes, body.inputs, (*body.outputs, *carried)),
        written=loop.written + n,
    )
    parts = add_loop(target, kept, node.operands, node.line)
    first = n + loop.written
    return parts[-1], parts[first : first + n]


def sum_arrays(target: Trace, a: int, b: int) -> int:
    """The sum of two arrays of equal length, as a loop over their elements."""
    type = target.nodes[a].type
    inner = builder()
    inner.input(scalar(INT))
    x, y = (inner.input(scalar(type.dtype)) for _ in range(2))
    body = inner.finish([_plus(inner, x, y)])
    loop = Loop(body, 0, 0, ((0, 1), (0, 1)), written=1, bound=type.size)
    return add_loop(target, loop, [a, b])[0]
