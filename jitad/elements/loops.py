"""Derivatives of loops, as loops: forward beside the values, reverse from the last run.

What runs backwards computes each run once more, from what was carried into it: that
and results of libraries are kept, run by run, where they are needed at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jitad.ir.graph import Type

from .flow import Flow, Moved
from .flow import read as reads
from .repeated import Repeated
from .segments import is_dear, length, split

# Derivatives of a body: flow, seeds, gaps among these, and in what -> _Dots or _Bars.
Push = Callable[[Flow, Mapping[int, int], Collection[int]], Any]
Pull = Callable[[Flow, Sequence[tuple[int, int]], Sequence[int], Collection[int]], Any]
Active = Callable[[Flow, Sequence[int]], set[int]]


def ahead(dots: Any, statement: Repeated, results: list[int], push: Push) -> None:
    """Append a loop that carries derivatives, too; it gives the results as well."""
    flow, made = dots.flow, dots.made
    _, starts, shared, arrays = statement.given()
    _, inner, own, slices = statement.entering()
    fed = {k for k, x in enumerate(starts) if x in made}
    gaps = {k for k in fed if starts[k] in dots.gaps}
    beside = [*zip(shared, own, strict=True), *zip(arrays, slices, strict=True)]
    beside = [(x, i) for x, i in beside if x in made]
    count = statement.carried
    while True:
        body = statement.body.copy()
        first = len(body.inputs)
        seeds = {i: body.input(body.types[i]) for k, i in enumerate(inner) if k in fed}
        seeds |= {i: body.input(body.types[i]) for _, i in beside}
        closed = [seeds[inner[k]] for k in gaps]
        closed += [seeds[i] for x, i in beside if made[x] in dots.gaps]
        found = push(body, seeds, closed)
        after = [found.made.get(y) for y in body.outputs]
        more = {k for k, y in enumerate(after[:count]) if y is not None} - fed
        grown = {k for k in fed if after[k] is None or after[k] in found.gaps} - gaps
        if not more and not grown:
            break
        fed |= more
        gaps |= more | grown
    new = body.inputs[first:]
    for k in fed:
        if after[k] is None:
            after[k] = zeros(body, body.types[inner[k]])
    written = [k for k in range(count, len(after)) if after[k] is not None]
    order, last = sorted(fed), len(fed)
    middle = last + sum(x in made for x in shared)
    body.inputs = [
        *body.inputs[: 1 + count], *new[:last], *own, *new[last:middle],
        *slices, *new[middle:],
    ]  # fmt: skip
    body.outputs = (
        *body.outputs[:count], *[after[k] for k in order],
        *body.outputs[count:], *[after[k] for k in written],
    )  # fmt: skip
    tangents = [
        made[starts[k]] if starts[k] in made else zeros(flow, flow.types[starts[k]])
        for k in order
    ]
    of_shared = [made[x] for x in shared if x in made]
    of_arrays = [made[x] for x in arrays if x in made]
    lead = statement.given().lead
    head = statement.head and _head(statement.head, body, count, order, own, of_shared)
    joint = replace(
        statement, body=body, head=head, carried=count + last,
        shared=len(shared) + len(of_shared),
        operands=(*lead, *starts, *tangents, *shared, *of_shared, *arrays, *of_arrays),
    )  # fmt: skip
    types = joint.types
    dotted = [flow.new(types[count + n]) for n in range(last)]
    rows = [flow.new(t) for t in types[len(types) - 1 - len(written) : -1]]
    *old, steps = results
    flow.place(joint, [*old[:count], *dotted, *old[count:], *rows, steps])
    for k, y in zip((*order, *written), (*dotted, *rows), strict=True):
        made[results[k]] = y
        if after[k] in found.gaps or k in gaps:
            dots.gaps.add(y)


def _head(
    head: Flow,
    body: Flow,
    count: int,
    order: Sequence[int],
    own: Sequence[int],
    more: Sequence[int],
) -> Flow:
    """The condition of a loop, among whose inputs are derivatives, too."""
    made = head.copy()
    index, carried, shared = head.inputs[0], head.inputs[1 : 1 + count], head.inputs
    dots = [made.new(body.types[body.inputs[1 + count + n]]) for n in range(len(order))]
    first = 1 + count + len(order) + len(own)
    others = [made.new(body.types[body.inputs[first + n]]) for n in range(len(more))]
    made.inputs = [index, *carried, *dots, *shared[1 + count :], *others]
    return made


def back(
    bars: Any,
    number: int,
    found: Mapping[int, int],
    active: set[int],
    pull: Pull,
    depending: Active,
) -> list[int]:
    """Append a loop that goes back through the runs of one, statement `number`.

    found  ȳ of its results
    If it records too much, append nothing, but let the statement be segments: gives
    the numbers of these.
    """
    flow = bars.flow
    statement, results = flow.statements[number], flow.results[number]
    _, starts, shared, arrays = statement.given()
    _, inner, own, slices = statement.entering()
    body, count = statement.body, statement.carried
    beside = [*zip(shared, own, strict=True), *zip(arrays, slices, strict=True)]
    beside = [(x, i) for x, i in beside if x in active]
    moving = {k for k, x in enumerate(starts) if x in active}
    while True:
        wrt = [*(inner[k] for k in sorted(moving)), *(i for _, i in beside)]
        known = depending(body, wrt)
        more = {k for k, y in enumerate(body.outputs[:count]) if y in known} - moving
        if not more:
            break
        moving |= more
    rows = [
        k for k in range(count, len(body.outputs))
        if results[k] in found and body.outputs[k] in known
    ]  # fmt: skip
    live = {k for k in moving if results[k] in found}
    gaps = {k for k in live if found[results[k]] in bars.gaps}
    while True:
        body = statement.body.copy()
        seeds = {k: body.input(body.types[body.outputs[k]]) for k in (*live, *rows)}
        closed = [seeds[k] for k in gaps]
        # Of rows some may be from where a result is not looked at.
        closed += [seeds[k] for k in rows]
        pairs = [(body.outputs[k], bar) for k, bar in seeds.items()]
        inside = pull(body, pairs, wrt, closed)
        fed = {k for k in moving if inside.has(inner[k])}
        more = fed - live
        grown = {k for k in live & fed if inside.of(inner[k]) in inside.gaps} - gaps
        grown |= live - fed - gaps
        if not more and not grown:
            break
        live |= more
        gaps |= more | grown
    order = sorted(live)
    sums = [(x, i) for x, i in beside if i in own and inside.has(i)]
    ends = [(x, i) for x, i in beside if i not in own and inside.has(i)]
    totals = [body.input(body.types[i]) for _, i in sums]
    for (_, i), total in zip(sums, totals, strict=True):
        inside.add(i, total)
    body.outputs = (
        *[inside.of(inner[k]) if k in fed else zeros(body, body.types[inner[k]])
          for k in order],
        *[inside.of(i) for _, i in (*sums, *ends)],
    )  # fmt: skip
    records = _Records(statement, body)
    kept = records.kept()
    size = length(statement, [inner[k] for k in order], kept)
    if size:
        return split(flow, number, size)
    recorded = records.record(flow, number, kept)
    common = [(x, i) for x, i in zip(shared, own, strict=True) if i in records.read]
    seen = [(x, i) for x, i in zip(arrays, slices, strict=True) if i in records.read]
    body.inputs = [
        body.inputs[0], *[seeds[k] for k in order], *totals, *[i for _, i in common],
        *kept, *[i for _, i in seen], *[seeds[k] for k in rows],
    ]  # fmt: skip
    lead = [] if statement.sized else [results[-1]]
    blank = [zeros(flow, flow.types[x]) for x, _ in sums]
    operands = (
        *lead,
        *[found[y] if (y := results[k]) in found else zeros(flow, flow.types[y])
          for k in order],
        *blank, *[x for x, _ in common], *recorded, *[x for x, _ in seen],
        *[found[results[k]] for k in rows],
    )  # fmt: skip
    reverse = Repeated(
        body, operands, len(order) + len(sums), len(common), statement.bound,
        counted=bool(lead), backwards=not statement.backwards,
    )  # fmt: skip
    made = flow.add(reverse)
    last = len(order)
    whose = [starts[k] for k in order] + [x for x, _ in (*sums, *ends)]
    for n, (x, bar) in enumerate(zip(whose, made, strict=False)):
        gap = order[n] in gaps if n < last else body.outputs[n] in inside.gaps
        if gap:
            bars.gaps.add(bar)
        if x in active:
            bars.add(x, bar)
    return []


class _Records:
    """What a body that runs backwards reads of the runs before.

    read  the values that it reads, and that no statement of it makes
    """

    def __init__(self, statement: Repeated, body: Flow) -> None:
        self.statement, self.body = statement, body
        self._dear = [
            (k, results)
            for k, (own, results) in enumerate(
                zip(statement.body.statements, statement.body.results, strict=True)
            )
            if is_dear(own)
        ]
        self.read: set[int] = set()

    def kept(self) -> list[int]:
        """The values of the body that are needed of each run; `read` is known then."""
        body, given = self.body, set(self.statement.body.inputs)
        for k, results in reversed(self._dear):
            if k in body.needed(given):
                given.update(results)
        needed = body.needed(given)
        read = set(body.outputs)
        for k in needed:
            read.update(reads(body.statements[k]))
        makes = {y for k in needed for y in body.results[k]} - given
        order = sorted(needed)
        body.statements = [body.statements[k] for k in order]
        body.results = [body.results[k] for k in order]
        self.read = read - makes
        own = [
            *self.statement.entering().carried,
            *(y for _, r in self._dear for y in r),
        ]
        return [v for v in own if v in self.read]

    def record(self, flow: Flow, number: int, kept: Sequence[int]) -> list[int]:
        """Let the loop leave values of each run: their numbers in the flow."""
        if not kept:
            return []
        statement, results = flow.statements[number], flow.results[number]
        assert isinstance(statement, Repeated)
        body = statement.body.copy()
        body.outputs = (*body.outputs, *kept)
        if statement.head is None:
            made = replace(statement, body=body)
            new = [flow.new(t) for t in made.types[len(results) - 1 : -1]]
            flow.statements[number] = made
            flow.results[number] = [*results[:-1], *new, results[-1]]
            return new
        # How often it runs is known when it has run: then it runs once more.
        operands = (results[-1], *statement.operands)
        again = replace(
            statement, body=body, head=None, counted=True, operands=operands
        )
        return flow.add(again)[len(results) - 1 : -1]


def zeros(flow: Flow, type: Type) -> int:
    """An array of zeros."""
    return flow.add(Moved(type, ()))[0]
