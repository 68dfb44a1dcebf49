"""Derivatives of a loop are loops.

    push   tangents are carried along with the values
    pull   in `backwards.py`

Both work for many seeds at once, and only with those that reach a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jitad.ir.graph import PACK, Graph, Type, scalar
from jitad.ir.interpret import rearranged
from jitad.ir.loop import Loop, add_loop, loop_of, parts_of
from jitad.ir.tracer import Trace
from jitad.primitives.scalar.elementwise import GATES

from .linearized import Derivatives, Linearized, Sweep, open_body
from .presence import (
    Presence,
    bent,
    dependence,
    entering,
    iterations_over,
    leading,
    one_by_one,
    presences,
    there,
    without_gates,
)
from .products import gated, unless_zero
from .steep import inside

_BOOL = scalar(np.dtype(bool))

Key = tuple[int, int]  # the number of a value, and a seed


def push(
    builder: Trace, v: int, tangents: Sequence[dict[int, int]], sweep: Sweep
) -> Derivatives:
    """Tangents of the parts of loop v, given those of its operands."""
    body = _Pushed(builder, v, tangents, sweep, frozenset())
    while more := body.behind():
        body = _Pushed(builder, v, tangents, sweep, body.flagged | more)
    return body.finished()


class _Pushed:
    """The body of loop v with the tangents of what goes through it.

    A tangent that is not there is no zero, which an infinite slope makes a NaN of.
    Where it is there in some iterations only, counting tells; where that depends on
    gates, it comes with a bool.

    flagged  the carried tangents that do
    Keys are the number of an operand and a seed; groups and fresh have what is carried,
    shared, read and a table: the keys of tangents, and their inputs.
    """

    def __init__(
        self,
        builder: Trace,
        v: int,
        tangents: Sequence[dict[int, int]],
        sweep: Sweep,
        flagged: frozenset[Key],
    ) -> None:
        self.builder, self.v, self.flagged = builder, v, flagged
        self.loop = loop = loop_of(builder.nodes[v])
        _, *kinds = loop.split(tangents)
        self.given = given = [own for kind in kinds for own in kind]
        self._group_of = [group for group, kind in enumerate(kinds) for _ in kind]
        self.line, self._reached, self._presence, made = _opened(
            builder, loop, given, inside(builder, v)
        )
        self.groups: list[list[Key]] = [[], [], [], []]
        self.fresh: list[list[int]] = [[], [], [], []]
        self._flags: dict[Key, int] = {}
        self._conditions: dict[int, int] = {}
        self._told: set[int] = set()
        own = bent(self.line)[1:]
        own[: loop.carried] = leading(own[: loop.carried], made)
        self._bends = own
        dots = self._dots()
        self.found = found = sweep(self.line, dots)
        outputs = [int(o) for o in self.line.outputs]
        self.rows = [
            (k, c)
            for k in loop.numbers.written
            for c in sorted(found.get(outputs[k], {}))
            if self.line.types[k].dtype.kind == "f"
        ]
        self.summed = [
            (k, c)
            for k in loop.numbers.summed
            for c in sorted(found.get(outputs[k], {}))
        ]

    def _dots(self) -> Derivatives:
        """The tangents of the inputs of the body, as new inputs."""
        inner = self.line.builder
        own = self.line.inputs[1:]
        dots: Derivatives = {}
        for k, seeds_of in enumerate(self._reached):
            group, type = self._group_of[k], inner.nodes[own[k]].type
            for c in seeds_of:
                # What no iteration changes and is known, the body may simplify with.
                known = None
                if group in (1, 3) and c in self.given[k]:
                    known = constant(self.builder, self.given[k][c], type, inner)
                if known is None:
                    dot = inner.input(type)
                    self.groups[group].append((k, c))
                    self.fresh[group].append(dot)
                    known = self._there(k, c, group, dot)
                dots.setdefault(own[k], {})[c] = known
        return dots

    def _there(self, k: int, c: int, group: int, dot: int) -> int:
        """A tangent, behind a gate that is closed where it is not there."""
        inner, builder = self.line.builder, self.builder
        start = self.given[k].get(c)
        behind = start is not None and opening(builder, start) is not None
        if group > 2 or not self._bends[k]:
            return dot
        if group == 2:
            assert start is not None
            if not one_by_one(builder, start):
                return dot
            first = self.loop.carried + self.loop.shared
            read = Presence(tuple(_read(builder, self.loop, k - first, start)))
            if not read.varies:
                return unless_zero(inner, dot)
            return gated(inner, self._when(read), dot)
        if (k, c) in self.flagged or behind:
            self._flags[k, c] = self._conditions[dot] = inner.input(_BOOL)
            return gated(inner, self._flags[k, c], dot)
        presence = self._presence[k].get(c) if group == 0 else None
        if presence is None:
            return dot
        self._conditions[dot] = self._when(presence)
        return gated(inner, self._conditions[dot], dot)

    def _when(self, presence: Presence) -> int:
        """The condition of a derivative that is there in iterations that are known."""
        loop, index = self.loop, self.line.inputs[0]
        inner = self.line.builder
        over = iterations_over(inner, loop.bound, index, loop.backwards)
        condition = presence.when(inner, over)
        self._told.add(condition)
        return condition

    def behind(self) -> set[Key]:
        """The carried tangents that gates decide of, and that come without a bool."""
        more = set()
        for k, c in self.groups[0]:
            step = self.found.get(int(self.line.outputs[k]), {}).get(c)
            if step is None or (k, c) in self._flags or not self._bends[k]:
                continue
            gate = opening(self.line.builder, step)
            if gate is not None and not self._counts(gate):
                more.add((k, c))
        return more

    def _counts(self, condition: int) -> bool:
        """Whether a condition is made of those that count iterations alone."""
        if condition in self._told:
            return True
        node = self.line.builder.nodes[condition]
        return node.primitive.name in ("and", "or") and all(
            map(self._counts, node.operands)
        )

    def _flagged(self, group: int) -> list[Key]:
        return [key for key in self.groups[group] if key in self._flags]

    def _widened(self) -> Loop:
        """The loop with all that is new in it."""
        loop, found = self.loop, self.found
        inner, outputs = self.line.builder, [int(o) for o in self.line.outputs]
        steps = [_derivative(self.line, found, k, c) for k, c in self.groups[0]]
        steps += [self._still(k, c) for k, c in self._flagged(0)]
        records = [_derivative(self.line, found, k, c) for k, c in self.rows]
        sums = [found[outputs[k]][c] for k, c in self.summed]
        new = [
            [*own, *(self._flags[key] for key in self._flagged(group))]
            for group, own in enumerate(self.fresh)
        ]
        index, *old = loop.entering(self.line.inputs)
        inputs = [index, *_alternating(old, new)]
        made = _alternating(loop.leaving(outputs), [steps, records, sums])
        first = self._group_of.index(2) if self.groups[2] else 0
        ways = [loop.slices[k - first] for k, _ in self.groups[2]]
        widened = replace(
            loop,
            body=without_gates(inner, self._conditions, inputs, made),
            head=None,
            carried=loop.carried + len(steps),
            shared=loop.shared + len(new[1]),
            slices=(*loop.slices, *ways),
            written=loop.written + len(records),
            tables=loop.tables + len(new[3]),
            summed=loop.summed + len(sums),
        )
        if loop.head is None:
            return widened
        return replace(widened, head=_head(loop, widened))

    def _still(self, k: int, c: int) -> int:
        """Whether a carried tangent is there behind the body."""
        inner = self.line.builder
        step = self.found.get(int(self.line.outputs[k]), {}).get(c)
        gate = None if step is None else opening(inner, step)
        return inner.const(np.bool_(step is not None)) if gate is None else gate

    def _begins(self, k: int, c: int) -> int:
        """Whether a tangent is there before the loop."""
        start = self.given[k].get(c)
        gate = None if start is None else opening(self.builder, start)
        there = np.bool_(start is not None)
        return self.builder.const(there) if gate is None else gate

    def finished(self) -> Derivatives:
        """The tangents of the parts of the loop, which is made."""
        loop, builder, given = self.loop, self.builder, self.given
        node, widened = builder.nodes[self.v], self._widened()
        types = loop.body.input_types[1:]
        new = [
            [
                *[or_zero(builder, given[k], c, types[k]) for k, c in own],
                *[self._begins(*key) for key in self._flagged(group)],
            ]
            for group, own in enumerate(self.groups)
        ]
        _, *old = split = loop.split(node.operands)
        operands = [*split.counts, *_alternating(old, new)]
        made = add_loop(builder, widened, operands, node.line)
        parts = widened.leaving(made)
        old_parts = parts_of(builder, self.v, loop.types())
        result: Derivatives = {}
        for keys, own, count in (
            (self.groups[0], parts.carried, loop.carried),
            (self.rows, parts.written, loop.written),
            (self.summed, parts.summed, loop.summed),
        ):
            for (k, c), part in zip(keys, own[count:], strict=False):
                result.setdefault(old_parts[k], {})[c] = part
        open_ = parts.carried[loop.carried + len(self.groups[0]) :]
        for (k, c), flag in zip(self._flagged(0), open_, strict=True):
            ends = result[old_parts[k]]
            ends[c] = gated(builder, flag, ends[c])
        for k, varying in enumerate(self._presence):
            ends = result.get(old_parts[k], {})
            for c, presence in varying.items():
                if (k, c) in self._flags:
                    continue
                if loop.counted or loop.head is not None:
                    condition = presence.when(builder, made[-1])
                    ends[c] = gated(builder, condition, ends[c])
                elif not presence.after(loop.bound):
                    del ends[c]
        return result


def opening(builder: Trace, derivative: int) -> int | None:
    """The condition of a derivative behind a gate."""
    node = builder.nodes[derivative]
    return node.operands[0] if node.primitive.name in GATES else None


def _alternating(
    old: Sequence[Sequence[int]], new: Sequence[Sequence[int]]
) -> list[int]:
    """All values of each kind, and behind them those that were added to the kind."""
    pairs = zip(old, new, strict=True)
    return [i for before, after in pairs for i in (*before, *after)]


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
    builder: Trace,
    loop: Loop,
    given: Sequence[dict[int, int]],
    sources: Sequence[int],
) -> tuple[Linearized, list[list[int]], list[dict[int, Presence]], list[list[int]]]:
    """The opened body, and for every input but the index the seeds that reach it.

    Also when they are there, of carried values that they do not reach every time, and
    what carried values are made of.
    """
    types = loop.body.input_types[1:]
    smooth = [t.dtype.kind == "f" for t in types]
    every = [1 + k for k, s in enumerate(smooth) if s]
    depends = dependence(open_body(loop.body, every))[: loop.carried]
    depends = [own if s else [] for own, s in zip(depends, smooth, strict=False)]
    made = [[j - 1 for j in own if j <= loop.carried] for own in depends]
    else_ = [[j - 1 for j in own if j > loop.carried] for own in depends]
    reached = [
        set[int](s) if f else set[int]() for s, f in zip(given, smooth, strict=True)
    ]
    first = loop.carried + loop.shared
    seeds: list[dict[int, Sequence[bool]]] = [
        {c: _read(builder, loop, k - first, own[c]) for c in reached[k]}
        for k, own in enumerate(given)
    ]
    for own, ways in zip(reached, seeds, strict=True):
        own -= {c for c, read in ways.items() if read and not any(read)}
    presence: list[dict[int, Presence]] = [{} for _ in made]
    found: Sequence[dict[int, Presence]] = ()
    if not (loop.counted and loop.backwards):
        fresh = [entering(seeds, own) for own in else_]
        found = presences(reached[: loop.carried], fresh, made, loop.bound)
        presence = [{c: p for c, p in own.items() if p.varies} for own in found]
        presence = presence or [{} for _ in made]
    changed = True
    while changed:
        changed = False
        for k, (own, other) in enumerate(zip(made, else_, strict=True)):
            entered = set[int]().union(*(reached[j] for j in (*own, *other)))
            changed |= not entered <= reached[k]
            reached[k] |= entered
    for own, ever in zip(reached, found, strict=False):
        own.intersection_update(ever)
    wrt = [1 + k for k, s in enumerate(reached) if s]
    line = open_body(loop.body, wrt, sources)
    return line, [sorted(s) for s in reached], presence, made


def _read(builder: Trace, loop: Loop, k: int, array: int) -> Sequence[bool]:
    """Whether iterations read something from derivatives of array k; (): all may."""
    if not 0 <= k < len(loop.slices) or not one_by_one(builder, array):
        return ()
    if loop.counted and loop.backwards:
        return ()
    way = loop.slices[k]
    assert way is not None
    offset, stride = way
    return there(builder, array, loop, offset, stride, backwards=loop.backwards)


def _head(loop: Loop, widened: Loop) -> Graph:
    """The head for a loop that carries and shares more, behind what it did."""
    assert loop.head is not None
    at = widened.entering(range(len(widened.body.inputs)))
    places = [at.index, *at.carried[: loop.carried], *at.shared[: loop.shared]]
    types = widened.entering(widened.body.input_types)
    given = [types.index, *types.carried, *types.shared]
    return rearranged(loop.head, given, places)
