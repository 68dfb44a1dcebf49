"""Loops without what nobody needs, and loops that run together made one.

Transformations add loops freely: the value's own, one that carries tangents too, one
that records.  `tidy` drops carried values and records that have no use, takes out what
does not change, and fuses loops that run equally often and do not wait for each other,
where what they carry alike is carried once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from jitad.ir.call import CALL, custom_of
from jitad.ir.graph import Builder, Graph, Node, prune, reach, scalar
from jitad.ir.interpret import inline
from jitad.ir.loop import INT, LOOP, PART, Loop, Operands, Outputs, add_loop, loop_of
from jitad.transforms.scalars.templates import new_builder

# The steps of a loop that are counted at most: it may end before its bound.
MOST_COUNTED = 1000
# Lines of a loop that was several.
_BETWEEN = "; "


def tidy(graph: Graph) -> Graph:
    """The same function; a graph without loops comes back as it is."""
    if not has_loops(graph):
        return graph
    graph = _reduced(graph)
    while True:
        pair = _partners(graph)
        if pair is None:
            return graph
        graph = _reduced(_fused(graph, *pair))


def has_loops(graph: Graph) -> bool:
    """Whether a graph has a loop at its own level."""
    return any(node.primitive is LOOP for node in graph.nodes)


def lines_of(loop: Node) -> tuple[str, ...]:
    """The user's lines that the node of a loop comes from."""
    return tuple(loop.line.split(_BETWEEN))


def times(loop: Loop) -> int:
    """How often the steps of a loop are counted: as often as they may run, or so."""
    return min(loop.bound, MOST_COUNTED)


def weight(graph: Graph) -> float:
    """Weighted operations, those of loops as often as they may run."""
    total = 0.0
    for i in reach(graph.nodes, graph.outputs):
        node = graph.nodes[i]
        total += node.primitive.cost
        if node.primitive is CALL:
            total += weight(custom_of(node).value)
        if node.primitive is LOOP:
            loop = loop_of(node)
            head = weight(loop.head) if loop.head else 0.0
            moved = loop.carried + 2 * (loop.written + len(loop.slices))
            total += times(loop) * (weight(loop.body) + head + 0.5 * moved)
    return total


# -- what nobody needs ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cut:
    """A smaller loop, the operands it keeps, and what its old parts have become.

    parts  old number -> ("part", new number) or ("operand", place among the old)
    """

    loop: Loop
    operands: tuple[int, ...]
    parts: dict[int, tuple[str, int]]


def _reduced(graph: Graph) -> Graph:
    """Every loop cut down to the parts that are used."""
    live = bytearray(len(graph.nodes))
    used: dict[int, set[int]] = {}
    cuts: dict[int, _Cut] = {}
    for i in graph.outputs:
        live[i] = 1
    for i in range(len(graph.nodes) - 1, -1, -1):
        if not live[i]:
            continue
        node = graph.nodes[i]
        operands = node.operands
        if node.primitive is PART and graph.nodes[operands[0]].primitive is LOOP:
            used.setdefault(operands[0], set()).add(node.index)
        elif node.primitive is LOOP:
            cuts[i] = _cut(loop_of(node), used.get(i, set()))
            kept = {*cuts[i].operands}
            kept |= {p for kind, p in cuts[i].parts.values() if kind == "operand"}
            operands = tuple([operands[p] for p in sorted(kept)])
        for a in operands:
            live[a] = 1
    return _rebuilt(graph, live, cuts)


def _rebuilt(graph: Graph, live: Sequence[int], cuts: dict[int, _Cut]) -> Graph:
    builder = new_builder()
    index: list[int] = [-1] * len(graph.nodes)
    parts: dict[int, list[int]] = {}
    for i in graph.inputs:
        index[i] = builder.input(graph.nodes[i].type)
    for i, node in enumerate(graph.nodes):
        if index[i] >= 0 or not live[i]:
            continue
        if node.primitive is LOOP:
            operands = [index[node.operands[p]] for p in cuts[i].operands]
            parts[i] = add_loop(builder, cuts[i].loop, operands, node.line)
            index[i] = builder.nodes[parts[i][0]].operands[0]
        elif node.primitive is PART and node.operands[0] in cuts:
            loop = node.operands[0]
            kind, place = cuts[loop].parts[node.index]
            if kind == "part":
                index[i] = parts[loop][place]
            else:
                index[i] = index[graph.nodes[loop].operands[place]]
        else:
            operands = tuple([index[a] for a in node.operands])
            index[i] = builder.copy(graph.nodes[i], operands)
    return builder.finish([index[i] for i in graph.outputs])


def _cut(loop: Loop, used: set[int]) -> _Cut:
    """A loop with only the parts in used, and what they need."""
    ends = zip(loop.inputs.carried, loop.outputs.carried, strict=True)
    still = {k for k, (i, o) in enumerate(ends) if i == o or not loop.bound}
    alive = used.intersection(loop.numbers.carried) - still
    records = [k for k in loop.numbers.written if k in used]
    sums = [k for k in loop.numbers.summed if k in used]
    at = loop.entering(range(len(loop.body.inputs)))
    asked = _needed(loop.head) if loop.head is not None else set()
    while True:
        kept = [*sorted(alive), *records, *sums]
        outputs = tuple([loop.body.outputs[k] for k in kept])
        body = tidy(prune(loop.body.nodes, loop.body.inputs, outputs))
        wanted = _needed(body) | asked
        more = {k for k, j in enumerate(at.carried) if j in wanted} - still
        if more <= alive:
            break
        alive |= more
    carried = [at.carried[k] for k in sorted(alive)]
    # A value that stays as it begins is shared.
    fixed = [at.carried[k] for k in sorted(still)]
    shared = [j for j in (*fixed, *at.shared) if j in wanted]
    ways = zip(at.slices, loop.slices, strict=True)
    slices = {j: way for j, way in ways if j in wanted}
    tables = [j for j in at.tables if j in wanted]
    order = [at.index, *carried, *shared, *slices, *tables]
    start = int(loop.counted)
    operands = [*range(start), *(start + j - 1 for j in order[1:])]
    left = [*sorted(alive), *records, *sums, len(loop.body.outputs)]
    parts: dict[int, tuple[str, int]] = {k: ("part", n) for n, k in enumerate(left)}
    parts |= {k: ("operand", start + k) for k in still}
    head = loop.head and _with_inputs(loop.head, order[: 1 + len(carried + shared)])
    made = replace(
        loop,
        body=_with_inputs(body, order),
        head=head,
        carried=len(carried),
        shared=len(shared),
        slices=tuple(slices.values()),
        written=len(records),
        tables=len(tables),
        summed=len(sums),
    )
    return _Cut(made, tuple(operands), parts)


def _needed(graph: Graph) -> set[int]:
    """The numbers of the inputs that a graph's outputs depend on."""
    wanted = set(reach(graph.nodes, graph.outputs))
    return {k for k, i in enumerate(graph.inputs) if i in wanted}


def _with_inputs(graph: Graph, order: Sequence[int]) -> Graph:
    """The graph with some of its inputs, in this order."""
    builder, types = new_builder(), graph.input_types
    inputs = {k: builder.input(types[k]) for k in order}
    unused = -1
    given = [inputs.get(k, unused) for k in range(len(graph.inputs))]
    wanted = reach(graph.nodes, graph.outputs)
    index = dict(zip(graph.inputs, given, strict=True))
    for i in wanted:
        if i not in index:
            operands = tuple([index[a] for a in graph.nodes[i].operands])
            index[i] = builder.copy(graph.nodes[i], operands)
    return builder.finish([index[i] for i in graph.outputs])


# -- loops that run together ---------------------------------------------------


def _partners(graph: Graph) -> tuple[int, int] | None:
    """Two loops that may be one: equally long, and neither waits for the other."""
    loops = [i for i, node in enumerate(graph.nodes) if node.primitive is LOOP]
    if len(loops) < 2:
        return None
    before: list[int] = []
    bits = {i: 1 << k for k, i in enumerate(loops)}
    for i, node in enumerate(graph.nodes):
        mask = bits.get(i, 0)
        for a in node.operands:
            mask |= before[a]
        before.append(mask)
    for k, b in enumerate(loops):
        for a in loops[:k]:
            if not before[b] & bits[a] and _alike(graph, a, b):
                return a, b
    return None


def _alike(graph: Graph, a: int, b: int) -> bool:
    """Whether both run for the same iterations at every point."""
    nodes = graph.nodes
    one, two = loop_of(nodes[a]), loop_of(nodes[b])
    same = (one.bound, one.counted, one.backwards, one.apart) == (
        two.bound, two.counted, two.backwards, two.apart
    )  # fmt: skip
    if not same or (one.head is None) != (two.head is None):
        return False
    if one.counted and nodes[a].operands[0] != nodes[b].operands[0]:
        return False
    return one.head is None or _merged(graph, [a, b]) is not None


@dataclass(frozen=True, slots=True)
class _Merged:
    """One loop of several; its operands, and where the parts of each have gone."""

    loop: Loop
    operands: tuple[int, ...]
    parts: list[list[int]]


def _merged(graph: Graph, nodes: Sequence[int]) -> _Merged | None:
    """Loops as one; None where their heads differ."""
    loops = [loop_of(graph.nodes[i]) for i in nodes]
    split = [
        x.split(graph.nodes[i].operands) for x, i in zip(loops, nodes, strict=True)
    ]
    starts = [s for _, carried, *_ in split for s in carried]
    shared = list(dict.fromkeys(s for _, _, same, *_ in split for s in same))
    slices = [
        read
        for x, (_, _, _, arrays, _) in zip(loops, split, strict=True)
        for read in zip(arrays, x.slices, strict=True)
    ]
    # What is read as a whole comes last, as it does in every loop.
    whole = [(a, None) for *_, tables in split for a in tables]
    reads = list(dict.fromkeys([*slices, *whole]))
    # Carried values are taken for equal until their next values differ.
    kinds = [t for x in loops for t in x.entering(x.body.input_types).carried]
    classes = _numbered(list(zip(starts, kinds, strict=True)))
    while True:
        builder, outputs, alive = _together(
            graph, loops, split, classes, starts, shared, reads
        )
        nexts = [o for made in outputs for o in made.carried]
        finer = _numbered(list(zip(classes, nexts, strict=True)))
        if finer == classes:
            break
        classes = finer
    if len(set(alive)) > 1:
        return None
    return _assembled(graph, nodes, loops, (classes, starts, shared, reads), builder,
                      outputs, alive)  # fmt: skip


def _numbered(keys: Sequence[object]) -> list[int]:
    """Equal keys by equal numbers, in order of first appearance."""
    known: dict[object, int] = {}
    return [known.setdefault(key, len(known)) for key in keys]


def _together(
    graph: Graph,
    loops: Sequence[Loop],
    split: Sequence[Operands[int]],
    classes: Sequence[int],
    starts: Sequence[int],
    shared: Sequence[int],
    reads: Sequence[tuple],
) -> tuple[Builder, list[Outputs[int]], list[int]]:
    """All bodies and heads in one builder, equal carried values being one input."""
    builder = new_builder()
    index = builder.input(scalar(INT))
    first: dict[int, int] = {}
    for c, s in zip(classes, starts, strict=True):
        if c not in first:
            first[c] = builder.input(graph.nodes[s].type)
    same = {s: builder.input(graph.nodes[s].type) for s in shared}
    types = [graph.nodes[a].type for a, _ in reads]
    read = {
        (a, way): builder.input(type if way is None else scalar(type.dtype))
        for (a, way), type in zip(reads, types, strict=True)
    }
    outputs, alive, place = [], [], 0
    for loop, (_, _, own, arrays, tables) in zip(loops, split, strict=True):
        carried = [first[c] for c in classes[place : place + loop.carried]]
        place += loop.carried
        constants = [same[s] for s in own]
        slices = [read[key] for key in zip(arrays, loop.slices, strict=True)]
        slices += [read[a, None] for a in tables]
        given = [index, *carried, *constants]
        made = inline(builder, loop.body, [*given, *slices])
        outputs.append(loop.leaving(made))
        if loop.head is not None:
            alive += inline(builder, loop.head, given)
    return builder, outputs, alive


def _assembled(
    graph: Graph,
    nodes: Sequence[int],
    loops: Sequence[Loop],
    operands: tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[tuple]],
    builder: Builder,
    outputs: Sequence[Outputs[int]],
    alive: Sequence[int],
) -> _Merged:
    classes, starts, shared, reads = operands
    count = len(set(classes))
    nexts, begins = [-1] * count, [-1] * count
    flat = [o for made in outputs for o in made.carried]
    for c, o, s in zip(classes, flat, starts, strict=True):
        nexts[c], begins[c] = o, s
    records = list(dict.fromkeys(o for made in outputs for o in made.written))
    sums = list(dict.fromkeys(o for made in outputs for o in made.summed))
    kept = [*records, *sums]
    parts, place = [], 0
    for made in outputs:
        own = list(classes[place : place + len(made.carried)])
        place += len(made.carried)
        own += [count + kept.index(o) for o in (*made.written, *made.summed)]
        parts.append([*own, count + len(kept)])
    inputs = tuple(builder.inputs)
    head_inputs = inputs[: 1 + count + len(shared)]
    loop = replace(
        loops[0],
        body=prune(builder.nodes, inputs, (*nexts, *kept)),
        head=prune(builder.nodes, head_inputs, (alive[0],)) if alive else None,
        carried=count,
        shared=len(shared),
        slices=tuple([way for _, way in reads if way is not None]),
        written=len(records),
        tables=sum(way is None for _, way in reads),
        summed=len(sums),
    )
    counts = graph.nodes[nodes[0]].operands[: int(loops[0].counted)]
    given = (*counts, *begins, *shared, *(a for a, _ in reads))
    return _Merged(loop, given, parts)


def _fused(graph: Graph, a: int, b: int) -> Graph:
    """The graph with two loops made one, in an order that still holds."""
    merged = _merged(graph, [a, b])
    assert merged is not None
    builder = new_builder()
    index: dict[int, int] = {
        i: builder.input(graph.nodes[i].type) for i in graph.inputs
    }
    parts: list[int] = []

    def operands(i: int) -> tuple[int, ...]:
        return merged.operands if i in (a, b) else graph.nodes[i].operands

    def copy(i: int) -> int:
        node = graph.nodes[i]
        if i in (a, b):
            if not parts:
                given = [index[o] for o in merged.operands]
                lines = dict.fromkeys(
                    x for n in (a, b) for x in lines_of(graph.nodes[n])
                )
                parts.extend(
                    add_loop(builder, merged.loop, given, _BETWEEN.join(lines))
                )
            return builder.nodes[parts[0]].operands[0]
        if node.primitive is PART and node.operands[0] in (a, b):
            which = (a, b).index(node.operands[0])
            return parts[merged.parts[which][node.index]]
        return builder.copy(graph.nodes[i], tuple([index[o] for o in node.operands]))

    in_order(graph.outputs, operands, index, copy)
    return builder.finish([index[i] for i in graph.outputs])


def in_order(
    roots: Sequence[int],
    operands: Callable[[int], tuple[int, ...]],
    index: dict[int, int],
    copy: Callable[[int], int],
) -> None:
    """Copy what the roots need, operands first."""
    stack = [(i, False) for i in reversed(roots)]
    while stack:
        i, ready = stack.pop()
        if i in index:
            continue
        if ready:
            index[i] = copy(i)
            continue
        stack.append((i, True))
        stack.extend((o, False) for o in reversed(operands(i)) if o not in index)
