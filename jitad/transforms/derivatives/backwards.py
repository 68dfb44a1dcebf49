"""The pullback of a loop: a loop that runs the other way.

The carried values are recorded, and cotangents carried backwards over the record
(A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., 2008, chapters 3 and 12);
what all iterations share has its cotangents summed.

A cotangent behind a closed gate is no zero but nothing at all, which not even an
infinite slope makes a NaN of.  Where it leaves an iteration, whether its gate is open
goes along as a bool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jitad.errors import UnsupportedError
from jitad.ir.graph import Graph, reach, scalar
from jitad.ir.loop import INT, Inputs, Loop, add_loop, loop_of
from jitad.ir.primitive import registry
from jitad.ir.table import add_scatter
from jitad.ir.tracer import Trace
from jitad.primitives.scalar.elementwise import GATES
from jitad.transforms.scalars.templates import new_builder

from .linearized import Derivatives, Linearized, Sweep, open_body
from .loops import Key, constant, opening, or_zero
from .presence import (
    Presence,
    bent,
    bent_back,
    dependence,
    entering,
    iterations_over,
    leading,
    one_by_one,
    presences,
    there,
    without_gates,
)
from .products import gated, include, unless_zero
from .segments import MOST_RECORDED
from .steep import inside

_BOOL = np.dtype(bool)


class Pullback:
    """Cotangents of the operands of loop v, given those of its parts.

    begun   for every shared operand the cotangents that it has already; the loop adds
            to them, one term after the other, so that it does not matter how many
            loops the iterations are spread over
    active  for every operand whether its cotangents are asked for
    opens   array of cotangents -> array of whether the gates of its elements are open;
            those that this loop gives are put there
    scalars, read, scattered: the cotangents of scalars; (number of an array, seed, what
    every iteration adds to what it read); (number of a table, seed, what all of them
    add to it).
    """

    def __init__(
        self,
        builder: Trace,
        v: int,
        bars: Sequence[dict[int, int]],
        begun: Sequence[dict[int, int]],
        active: Sequence[bool],
        sweep: Sweep,
        opens: dict[int, int],
    ) -> None:
        self.builder, self.v, self.bars, self.begun = builder, v, bars, begun
        self.node = builder.nodes[v]
        self.loop = loop_of(self.node)
        self.wants = self.loop.split(active)
        self.sweep, self.opens = sweep, opens
        self.scalars: list[dict[int, int]] = [{} for _ in self.node.operands]
        self.read: list[tuple[int, int, int]] = []
        self.scattered: list[tuple[int, int, int]] = []
        if any(bars):
            self._finish(*self._swept())

    def _swept(self) -> tuple[_Sweep, set[Key]]:
        """The body with the gates that there are, and sums whose zeros are gates.

        Where iterations only add, they must go on to, and a sum of zero from gated
        terms is taken for a closed gate.
        """
        body = _Sweep(self, frozenset())
        known = self.loop.head is None and not self.loop.counted
        varying = set() if known else set(body.varying)
        if not varying and not body.gated():
            return self._told(body, known), set()
        missing = bool(body.sparse)
        found = {key for key in body.back if self._closed(*key, missing=missing)}
        found |= varying
        sums = {key for key in body.sums if self._closed(*key, missing=True)}
        while True:
            body = _Sweep(self, frozenset(found | sums))
            out = body.outputs()
            behind = {k for k, o in out.items() if opening(body.inner, o) is not None}
            more, kept = behind.intersection(body.back), behind & sums
            if more <= found and kept == sums:
                break
            found, sums = found | more, kept
        if self.loop.adds and sums:
            return _Sweep(self, frozenset(found)), sums
        return self._told(body, known), set()

    def _told(self, body: _Sweep, known: bool) -> _Sweep:
        """The body, with what is there in some iterations only told by counting."""
        if not known or body.gates.issuperset(body.varying):
            return body
        return _Sweep(self, body.gates, counted=True)

    def _closed(self, k: int, seed: int, *, missing: bool) -> bool:
        """Whether a cotangent has a gate before the loop, or is not there."""
        bar = self._before(k).get(seed)
        return missing if bar is None else opening(self.builder, bar) is not None

    def _before(self, k: int) -> dict[int, int]:
        """The cotangents of a carried value, or of shared value ~k, before the loop."""
        return self.begun[~k] if k < 0 else self.bars[k]

    def _open(self, k: int, seed: int) -> int:
        """Whether a cotangent's gate is open before the loop."""
        bar = self._before(k).get(seed)
        if bar is None:
            return self.builder.const(np.False_)
        found = opening(self.builder, bar)
        return self.builder.const(np.True_) if found is None else found

    def _behind(self, k: int, seed: int, part: int) -> int:
        """A cotangent that the loop gives, gated if all that it comes from is."""
        given = [own[seed] for own in self.bars if seed in own]
        given += [self.begun[~k][seed]] if k < 0 and seed in self.begun[~k] else []
        found = [opening(self.builder, bar) for bar in given]
        gates = [o for o in found if o is not None]
        if not gates or len(gates) < len(found):
            return part
        either = registry.primitives["or"]
        way = gates[0]
        for other in gates[1:]:
            way = self.builder.apply(either, (way, other), scalar(_BOOL))
        return gated(self.builder, way, part)

    def _finish(self, body: _Sweep, zeros: set[Key]) -> None:
        """Make the loop, and say what comes of it."""
        loop, builder = self.loop, self.builder
        count, _, shared, arrays, tables = loop.split(self.node.operands)
        # Where iterations only add to what is carried, nothing depends on its history.
        past = [] if loop.adds else body.own.carried
        steps, history = (count, []) if loop.adds else _record(builder, self.v)
        known = loop.head is None and not loop.counted
        keys = [*body.back, *body.sums]
        flagged = [key for key in keys if key in body.gates]
        opening = [self.opens[self.bars[k][r]] for k, r in body.opened]
        reverse = Loop(
            body=body.graph(past),
            carried=len(keys) + len(flagged),
            shared=loop.shared,
            slices=(
                *[(0, 1)] * len(past), *loop.slices,
                *[(0, 1)] * (len(body.wanted) + len(opening)),
            ),
            written=len(body.reads) + len(body.openings),
            bound=loop.bound,
            counted=not known,
            backwards=loop.backwards != (not loop.adds),
            tables=loop.tables + len(body.given),
            summed=len(body.scattered),
        )  # fmt: skip
        types = loop.entering(loop.body.input_types)
        begun = [(self.begun[~k], r, types.shared[~k]) for k, r in body.sums]
        operands = [
            *([] if known or steps is None else [steps]),
            *[
                or_zero(builder, self.bars[k], r, types.carried[k])
                for k, r in body.back
            ],
            *[or_zero(builder, *given) for given in begun],
            *[self._open(*key) for key in flagged],
            *shared,
            *history,
            *arrays,
            *[self.bars[k][r] for k, r in body.wanted],
            *opening,
            *tables,
            *body.given,
        ]
        parts = add_loop(builder, reverse, operands, self.node.line)
        carried, written, summed = reverse.leaving(parts)
        gates = dict(zip(flagged, carried[len(keys) :], strict=True))
        places = loop.split(range(len(self.scalars)))
        for (k, r), part in zip(keys, carried, strict=False):
            if (k, r) in gates:
                part = gated(builder, gates[k, r], part)
            elif (k, r) in zeros:
                part = unless_zero(builder, part)
            else:
                part = self._behind(k, r, part)
            place = places.shared[~k] if k < 0 else places.carried[k]
            if body.ends((k, r)):
                self.scalars[place][r] = part
        read, opens = written[: len(body.reads)], written[len(body.reads) :]
        self.read = [(*key, v) for key, v in zip(body.reads, read, strict=True)]
        self.opens |= {
            read[body.reads.index(key)]: way
            for key, way in zip(body.openings, opens, strict=True)
        }
        self.scattered = [
            (*key, v) for key, v in zip(body.scattered, summed, strict=True)
        ]


class _Sweep:
    """The body of a loop, swept in reverse from cotangents that are its inputs.

    gates    the carried and summed ones that come with a bool, whether they are there
    counted  whether those that are there in some iterations only are told by counting
    varying  these, where they are multiplied with what is no constant
    Keys are the number of a value and a seed; shared value k has number ~k.
    """

    def __init__(
        self, loop: Pullback, gates: frozenset[Key], *, counted: bool = False
    ) -> None:
        self.gates, whole = gates, loop.loop
        self._bound = whole.bound
        self.line, reached, into = _backwards(
            whole, loop.bars, inside(loop.builder, loop.v)
        )
        self.varying = _varying(loop, self.line)
        self._counted = self.varying if counted else {}
        self.own = own = whole.entering(self.line.inputs)
        self.inner = inner = self.line.builder
        self.back = [(k, r) for k, seeds in enumerate(reached) for r in sorted(seeds)]
        shared = zip(loop.wants.shared, into.shared, strict=True)
        self.sums = [
            (~k, r)
            for k, (wanted, reach) in enumerate(shared)
            if wanted
            for r in sorted(reach)
        ]
        self.wanted = [
            (k, r) for k in whole.numbers.written for r in sorted(loop.bars[k])
        ]
        self.opened = [(k, r) for k, r in self.wanted if loop.bars[k][r] in loop.opens]
        curved = any(bent(self.line))
        self.sparse = {
            (k, r)
            for k, r in self.wanted
            if curved and one_by_one(loop.builder, loop.bars[k][r])
        }
        self._over = iterations_over(inner, whole.bound, own.index, not whole.backwards)
        self._opens: dict[Key, int] = {}
        self._conditions: dict[int, int] = {}
        seeds: Derivatives = {}
        self._bars = [
            self._seed(seeds, key, int(self.line.outputs[key[0]]))
            for key in (*self.back, *self.wanted)
        ]
        self._bars[len(self.back) : len(self.back)] = [
            self._seed(seeds, key, self._place(key[0])) for key in self.sums
        ]
        self._summed, self.given = _of_summed(
            loop.builder, whole, loop.bars, self.line, seeds
        )
        self._cotangents = found = loop.sweep(self.line, seeds)
        slices = zip(loop.wants.arrays, into.slices, own.slices, strict=True)
        self.reads = [
            (k, r)
            for k, (wanted, reach, v) in enumerate(slices)
            if wanted
            for r in sorted(reach)
            if found.get(v, {}).get(r) is not None
        ]
        self.openings = [
            (k, r)
            for k, r in self.reads
            if opening(inner, self._bar(own.slices[k], r)) is not None
        ]
        self.scattered = [
            (k, r)
            for k, (wanted, v) in enumerate(
                zip(loop.wants.tables, own.tables, strict=True)
            )
            if wanted
            for r in sorted(found.get(v, {}))
        ]

    def _seed(self, seeds: Derivatives, key: Key, v: int) -> int:
        """Let an input be a cotangent of v, under a gate if it comes with one."""
        bar = input = self.inner.input(self.inner.nodes[v].type)
        if key in self.gates or key in self.opened:
            self._opens[key] = self.inner.input(scalar(_BOOL))
            bar = gated(self.inner, self._opens[key], bar)
        elif key in self.sparse:
            bar = unless_zero(self.inner, bar)
        elif key in self._counted:
            there = self._counted[key].when(self.inner, self._over)
            self._conditions[input] = there
            bar = gated(self.inner, there, bar)
        include(self.inner, seeds.setdefault(v, {}), key[1], bar)
        return input

    def _bar(self, v: int, seed: int) -> int:
        """The cotangent of an input, in its dtype, zero where there is none."""
        dtype = self.inner.nodes[v].type.dtype
        value = self._cotangents.get(v, {}).get(seed)
        if value is None:
            return self.inner.number(0.0, dtype)
        return self.inner.cast(value, dtype)

    def ends(self, key: Key) -> bool:
        """Whether a carried cotangent is there behind the loop, as far as is known."""
        there = self._counted.get(key)
        return there is None or there.after(self._bound)

    def outputs(self) -> dict[Key, int]:
        """The carried and summed cotangents behind the body."""
        keys = (*self.back, *self.sums)
        return {(k, r): self._bar(self._place(k), r) for k, r in keys}

    def _place(self, k: int) -> int:
        """The input that a carried value is, or shared value ~k."""
        return self.own.shared[~k] if k < 0 else self.own.carried[k]

    def _made(self) -> list[int]:
        out = self.outputs()
        own = self.own
        reads = {(k, r): self._bar(own.slices[k], r) for k, r in self.reads}
        return [
            *out.values(),
            *[self._still(key, bar) for key, bar in out.items() if key in self.gates],
            *reads.values(),
            *[opening(self.inner, reads[key]) or 0 for key in self.openings],
            *[self._cotangents[own.tables[k]][r] for k, r in self.scattered],
        ]

    def _still(self, key: Key, bar: int) -> int:
        """Whether a cotangent is there behind the body."""
        there = key[1] in self._cotangents.get(self._place(key[0]), {})
        found = opening(self.inner, bar) if there else None
        return self.inner.const(np.bool_(there)) if found is None else found

    def gated(self) -> bool:
        """Whether there is any gate on the way of cotangents."""
        nodes = self.inner.nodes
        used = reach(nodes, self._made())
        return any(nodes[i].primitive.name in GATES for i in used)

    def graph(self, past: Sequence[int]) -> Graph:
        """The body of the loop that runs the other way."""
        own, last = self.own, len(self.back) + len(self.sums)
        flagged = [self._opens[k] for k in (*self.back, *self.sums) if k in self.gates]
        opens = [self._opens[key] for key in self.opened]
        inputs = [
            own.index, *self._bars[:last], *flagged, *own.shared, *past, *own.slices,
            *self._bars[last:], *opens, *own.tables, *self._summed,
        ]  # fmt: skip
        return without_gates(self.inner, self._conditions, inputs, self._made())


def _of_summed(
    builder: Trace,
    loop: Loop,
    bars: Sequence[dict[int, int]],
    line: Linearized,
    seeds: Derivatives,
) -> tuple[list[int], list[int]]:
    """Seed what is summed with its cotangents: new inputs, and what they are given."""
    inner, inputs, given = line.builder, [], []
    sums = loop.leaving(bars).summed, loop.leaving(line.outputs).summed
    for own_bars, output in zip(*sums, strict=True):
        v = int(output)
        for r, array in sorted(own_bars.items()):
            type = builder.nodes[array].type
            bar = constant(builder, array, type, inner)
            if bar is None:
                bar = inner.input(type)
                inputs.append(bar)
                given.append(array)
            own = seeds.setdefault(v, {})
            both = [own[r], bar] if r in own else [bar]
            own[r] = add_scatter(inner, inner.nodes[v].type, both, [])
    return inputs, given


def _backwards(
    loop: Loop, bars: Sequence[dict[int, int]], sources: Sequence[int]
) -> tuple[Linearized, Sequence[set[int]], Inputs[set[int]]]:
    """The opened body; seeds that reach each carried output, and each input."""
    types = loop.body.input_types[1:]
    smooth = [t.dtype.kind == "f" for t in types]
    line = open_body(loop.body, [1 + k for k, s in enumerate(smooth) if s], sources)
    depends = dependence(line)
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
    return line, loop.leaving(reached).carried, loop.entering([set(), *into])


def _varying(loop: Pullback, line: Linearized) -> dict[Key, Presence]:
    """When cotangents of carried values are there, of those that are not always.

    Only of those that are multiplied with what is no constant, now or later.
    """
    whole, depends, count = loop.loop, dependence(line), loop.loop.carried
    feeds = [[j for j, own in enumerate(depends) if 1 + k in own] for k in range(count)]
    before = [[j for j in own if j < count] for own in feeds]
    seeds: list[dict[int, Sequence[bool]]] = [dict.fromkeys(b, ()) for b in loop.bars]
    for k in whole.numbers.written if whole.head is None else ():
        for r, bar in loop.bars[k].items():
            if not whole.counted and one_by_one(loop.builder, bar):
                back = not whole.backwards
                seeds[k][r] = there(loop.builder, bar, whole, 0, 1, backwards=back)
    fresh = [entering(seeds, [j for j in own if j >= count]) for own in feeds]
    found = presences(loop.bars[:count], fresh, before, whole.bound)
    bends = leading([bent_back(line, int(o)) for o in line.outputs[:count]], before)
    return {
        (k, r): presence
        for k, own in enumerate(found)
        for r, presence in own.items()
        if presence.varies and bends[k]
    }


def _record(builder: Trace, v: int) -> tuple[int, Sequence[int]]:
    """Steps taken, and what was carried into every iteration, for every value."""
    node = builder.nodes[v]
    loop = loop_of(node)
    if loop.bound > MOST_RECORDED:
        raise UnsupportedError(
            "reverse mode keeps a record of every iteration of a loop that reads or "
            "leaves an array element by element, or whose condition looks at the "
            "number of the iteration, but this one has no bound, or one of "
            f"{loop.bound} ({node.line}); expected at most {MOST_RECORDED}: give "
            "checkpoint='sqrt' to a scan, max_steps=n to another loop, or use "
            "mode='forward' or jvp"
        )
    begun, (carried, written, summed) = loop.inputs.carried, loop.outputs
    outputs = (*carried, *written, *begun, *summed)
    kept = replace(
        loop,
        body=Graph(loop.body.nodes, loop.body.inputs, outputs),
        written=loop.written + len(begun),
    )
    parts = add_loop(builder, kept, node.operands, node.line)
    return parts[-1], kept.leaving(parts).written[loop.written :]


def sum_arrays(builder: Trace, a: int, b: int, word: str) -> int:
    """Two arrays of equal length, element by element, as a loop over them."""
    type = builder.nodes[a].type
    inner = new_builder()
    inner.input(scalar(INT))
    pair = tuple([inner.input(scalar(type.dtype)) for _ in range(2)])
    made = inner.apply(registry.primitives[word], pair, scalar(type.dtype))
    loop = Loop(
        inner.finish([made]), 0, 0, ((0, 1), (0, 1)), written=1, bound=type.size
    )
    return add_loop(builder, loop, [a, b])[0]
