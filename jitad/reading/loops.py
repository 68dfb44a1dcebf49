"""Loops of a function that is read: each becomes one node of the graph.

The body's region is traced once, with a symbolic number of the iteration.  What it
carries comes out of it: the names that are assigned and read again, and the arrays that
are written to.  Where the first try shows more of these than were known, or a dtype
that grows, the body is traced again.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from jitad import tree
from jitad.ir.graph import Type
from jitad.ir.loop import INT, LIMIT
from jitad.ir.source import source_line
from jitad.ir.trace import Input, Traced, current, loop_became, trace
from jitad.ir.tracer import Tracer
from jitad.primitives.control.body import Iteration, repeat

from .carried import Hints, Slot, blank, differs, filled, kinds
from .frontend import Loop
from .heap import NOBODY, Cell, Range, Reference, State
from .iterating import Item, has_tuples, item_at, length, most
from .joining import FAILS, Edge, fork, meet
from .lines import refuse
from .numbers import (
    convert,
    dtype,
    is_number,
    joint,
    known,
    number,
    plain,
    same,
    select,
    typed,
)
from .unrolled import exhausted, fits, unrolled

if TYPE_CHECKING:
    from .frame import Frame

_CODE = "which way out"
_TRIES = 12


# -- a loop ----------------------------------------------------------------------------


def repeated(frame: Frame, loop: Loop, edge: Edge) -> list[tuple[int, Edge]]:
    """The ways out of a loop."""
    head = frame.program.blocks[loop.header]
    gone_over = [s.what.names[0] for s in head.statements if s.what.op == "next"]
    if not gone_over:
        return _Repeated(frame, loop, edge, None, None).ways()
    (name,) = gone_over
    items = edge.state.names[name]
    count = length(items, edge.state)
    if isinstance(count, int):
        limit = frame.reading.unrolled
        if has_tuples(items) or fits(frame, loop, edge.state, count, limit):
            loop_became(source_line(), f"unrolled, {count} iterations")
            return unrolled(frame, loop, edge, name, count)
    return _Repeated(frame, loop, edge, name, count).ways()


class _Repeated:
    """One loop on its way to be a node."""

    def __init__(
        self, frame: Frame, loop: Loop, edge: Edge, name: str | None, count: Any
    ) -> None:
        self.frame, self.loop, self.edge, self.name, self.count = (
            frame, loop, edge, name, count,
        )  # fmt: skip
        program = frame.program
        self.items = edge.state.names[name] if name else None
        inside = [program.blocks[label] for label in loop.body]
        targets = {label for b in inside for label in b.ending.labels}
        self.exits = sorted(targets - loop.body)
        if name:
            last = exhausted(frame, loop)
            self.exits = [last, *[x for x in self.exits if x != last]]
        # Where nothing but the end of its items ends it, no way out need be told.
        self.coded = not name or len(self.exits) > 1 or self._leaves_early()
        assigned = {s.target for b in inside for s in b.statements}
        read = program.live[loop.header].union(
            *[program.live.get(x, frozenset()) for x in self.exits]
        )
        self.kept = sorted(n for n in assigned & read if n)
        found = frame.hints.get(loop.header)
        if found is None:
            statements = [s for b in inside for s in b.statements]
            stores = [s for s in statements if s.what.op in ("store", "static store")]
            found = Hints(written={s.what.names[0] for s in stores})
        self.hints = frame.hints[loop.header] = found
        if found.fails:
            self.kept.append(FAILS)

    def _leaves_early(self) -> bool:
        """Whether other blocks than the header lead to where the items end."""
        program = self.frame.program
        return any(
            set(program.blocks[label].ending.labels) - self.loop.body
            for label in self.loop.body
            if label != self.loop.header
        )

    def ways(self) -> list[tuple[int, Edge]]:
        """Trace the body until it carries all that it has to; add the loop."""
        if known(self.count) and self.count == 0:
            return [(self.exits[0], self.edge)]
        loop_became(source_line(), "read")
        for _ in range(_TRIES):
            found = self._try()
            if found is not None:
                return found
        raise refuse(
            "a loop in which the types of names do not settle", "give them one type"
        )

    def _try(self) -> list[tuple[int, Edge]] | None:
        frame, hints = self.frame, self.hints
        before = self.edge.state.copy()
        if hints.fails:
            before.names.setdefault(FAILS, False)
        self.tied: dict[int, set[int]] = {}
        self.starts: list[Any] = []
        self.keys: list[Any] = []
        self.apart: dict[str, Any] = {}
        for name in sorted(hints.rebound):
            self._own_cell(before, name)
        cells = [
            cell
            for name in sorted(hints.written | hints.rebound)
            for cell in before.references(before.names.get(name))
        ]
        self.cells = {}
        for cell in dict.fromkeys(cells):
            self.cells[cell] = self._slot(("an array", cell), before.cells[cell].value)
        self.templates = {}
        for name in self.kept:
            if name in before.names:
                value = before.names[name]
            elif name in hints.started:
                value = blank(hints.started[name])
            else:
                continue
            self.templates[name] = self._template((name,), value)
        if self.coded:
            self.templates[_CODE] = self._slot((_CODE,), self._first_code())
        self.before = before
        types = [Input(Type(dtype(x), np.shape(x))) for x in self.starts]
        inputs = [Input(Type(INT)), *types]
        structure = tree.flatten((tuple(range(len(inputs))), {}))[1]
        outer = frame.unknown, frame.asked
        frame.unknown, frame.asked = (
            frame.unknown | {n for n in self.kept if n not in self.templates}, set(),
        )  # fmt: skip
        self.grown = False
        try:
            made = trace(self._body, structure, inputs, plain=True)
            asked = frame.asked
        finally:
            frame.unknown, frame.asked = outer
        if self.grown:
            return None
        missing = asked & set(self.kept)
        if missing - outer[0]:
            raise refuse(
                f"{min(missing)}, which has no value in the first iteration,",
                "give it one before the loop",
            )
        frame.asked |= missing
        return self._add(made, structure, inputs, types)

    def _slot(self, key: Any, value: Any) -> Slot:
        to = self.hints.dtypes.get(key)
        self.starts.append(typed(value if to is None else convert(value, to)))
        self.keys.append(key)
        return Slot(len(self.starts) - 1)

    def _template(self, key: Any, value: Any) -> Any:
        if is_number(value):
            return self._slot(key, value)
        if type(value) is tuple:
            return tuple([self._template((*key, k), x) for k, x in enumerate(value)])
        return value

    def _own_cell(self, state: State, name: str) -> None:
        """Let a name that will mean another array mean one of its own.

        What it shares its elements with, beside names that change likewise, is tied to
        it: neither may be written to where both are read.
        """
        found = state.names.get(name)
        tied = set(self.hints.tied.get(name, ()))
        if found is None:
            if name not in self.hints.started:
                return
            value = blank(self.hints.started[name])
        else:
            value = state.load(found)
            others = {
                c
                for n, v in state.names.items()
                if n not in self.hints.rebound and self._read_later(n)
                for c in state.references(v)
            }
            if found.views or found.cell in others or not self.frame.ours(found.cell):
                tied.add(found.cell)
        state.names[name] = state.new(value)
        self.tied[state.names[name].cell] = tied

    def _fill(self, state: State, values: Sequence[Any]) -> None:
        """Put what is carried into names and cells."""
        for cell, slot in self.cells.items():
            state.cells[cell] = Cell(values[slot.number], state.cells[cell].sources)
        for cell, tied in self.tied.items():
            sources = [(c, state.cells[c].value) for c in tied if c in state.cells]
            sources += [(NOBODY, None)] * (NOBODY in tied)
            state.cells[cell] = Cell(state.cells[cell].value, tuple(sources))
        for name, template in self.templates.items():
            if name != _CODE:
                state.names[name] = filled(template, values)

    def _read_later(self, name: str) -> bool:
        live = self.frame.program.live
        return any(name in live.get(x, ()) for x in (self.loop.header, *self.exits))

    def _first_code(self) -> Any:
        """0, or where the loop is not reached at all, 1."""
        reached = self.frame.during(self.edge)()
        return 0 if reached is True or self.name else select(reached, 0, 1)

    # -- its body ----------------------------------------------------------------------

    def _body(self, index: Tracer, *values: Tracer) -> Any:
        frame = self.frame
        state = self.before.copy()
        self._fill(state, values)
        began, failed = dict(state.cells), state.names.get(FAILS, False)
        if self.name:
            most = self._bound()
            if most is not None:
                frame.reading.bounds.note(index, 0, most - 1)
            item = item_at(self.items, index, state)
            self._note(item, most)
            state.names[self.name] = Item(item)
        start = Edge((), _WHOLE, state)
        found = frame.region(self.loop.header, start, self.loop.body, self.loop.header)
        edges = []
        for label, own in found.items():
            for e in own:
                code = self._code(label)
                e.state.names[_CODE] = code
                edges.append(e)
        met = meet(edges, [*self.kept, _CODE], frame.ours)
        return self._carried(met.state, failed, began)

    def _code(self, label: int) -> int:
        if label == self.loop.header:
            return 0
        return self.exits.index(label) + (not self.name)

    def _note(self, item: Any, most: int | None) -> None:
        bounds = self.frame.reading.bounds
        if isinstance(self.items, Range) and known(self.items.step):
            ends = [bounds.of(x) for x in (self.items.start, self.items.stop)]
            if ends[0] is not None and ends[1] is not None:
                low, high = ends[0][0], ends[1][1] - 1
                if self.items.step < 0:
                    low, high = ends[1][0] + 1, ends[0][1]
                bounds.note(item, low, max(low, high))

    def _bound(self) -> int | None:
        if known(self.count):
            return self.count
        return most(self.frame.reading.bounds, self.items)

    def _carried(self, after: State, failed: Any, began: dict[int, Cell]) -> list[Any]:
        """What the next iteration begins with, in the order of the slots.

        failed  whether something was raised before this one
        """
        outputs: list[Any] = list(self.starts)
        hints = self.hints
        for cell, held in began.items():
            now = after.cells.get(cell, held).value
            if now is held.value or same(now, held.value) or cell in self.cells:
                continue
            if cell in self.before.cells:
                hints.written |= {
                    n
                    for n, v in self.before.names.items()
                    if cell in self.before.references(v)
                }
                self.grown = True
        if not hints.fails and not same(after.names.get(FAILS, False), failed):
            hints.fails = self.grown = True
            self.kept.append(FAILS)
        self._tie(after, began)
        rebound = {
            self.before.names[n].cell: n
            for n in hints.rebound
            if n in self.before.names
        }
        for cell, slot in self.cells.items():
            if cell in rebound:
                outputs[slot.number] = self._rebound(rebound[cell], after)
            else:
                outputs[slot.number] = self._fit(
                    ("an array", cell), slot, after.cells[cell].value
                )
        for name in (*self.kept, *([_CODE] if self.coded else [])):
            if name not in after.names:
                continue
            value = after.names[name]
            if name not in self.templates:
                self._appears(name, value, after)
            elif name not in hints.rebound:
                self._compare((name,), self.templates[name], value, outputs, after)
        return [number(x) if not isinstance(x, Tracer) else x for x in outputs]

    def _appears(self, name: str, value: Any, after: State) -> None:
        if isinstance(value, Reference):
            array = after.load(value)
            self.hints.started[name] = Type(dtype(array), np.shape(array))
            self.hints.rebound.add(name)
        else:
            if any(True for _ in after.references(value)):
                raise refuse(
                    f"{name}, a tuple of arrays that is made in a loop and read later,",
                    "give each array a name",
                )
            self.hints.started[name] = kinds(value)
        self.grown = True

    def _tie(self, after: State, began: dict[int, Cell]) -> None:
        """Find what the arrays of names that have others now share elements with."""
        found = {n: after.names.get(n) for n in self.hints.rebound}
        every = [c for n in self.kept for c in after.references(after.names.get(n))]
        private = {self.before.names[n].cell for n in found if n in self.before.names}
        for name, value in found.items():
            if not isinstance(value, Reference):
                continue
            known_to_all = value.cell in began and value.cell not in private
            if known_to_all or value.views or every.count(value.cell) > 1:
                ties = self.hints.tied.setdefault(name, set())
                tie = value.cell if known_to_all else NOBODY
                if tie not in ties:
                    ties.add(tie)
                    self.grown = True

    def _rebound(self, name: str, after: State) -> Any:
        found = after.names.get(name)
        if not isinstance(found, Reference):
            raise refuse(f"{name}, an array or something else,", "give it one type")
        return after.load(found)

    def _fit(self, key: Any, slot: Slot, value: Any) -> Any:
        """The value in the dtype of its slot; another try where it has a wider one."""
        before = self.starts[slot.number]
        if np.shape(value) != np.shape(before):
            raise refuse(
                f"{key[0]}, of shape {np.shape(before)} before an iteration and "
                f"{np.shape(value)} after it,",
                "keep one shape",
            )
        to = joint(dtype(before), dtype(value))
        if to != dtype(before):
            self.hints.dtypes[key] = to
            self.grown = True
            return before
        return convert(value, to)

    def _compare(
        self, key: Any, template: Any, value: Any, outputs: list[Any], after: State
    ) -> None:
        if isinstance(template, Slot):
            if not is_number(value):
                differs(key, value)
                return
            outputs[template.number] = self._fit(key, template, value)
        elif isinstance(template, Reference):
            if template.same(value):
                return
            if not isinstance(value, Reference) or len(key) > 1:
                differs(key, value)
                return
            self.hints.rebound.add(key[0])
            self.grown = True
        elif type(template) is tuple and type(value) is tuple:
            if len(template) != len(value):
                differs(key, value)
                return
            for k, (a, b) in enumerate(zip(template, value, strict=True)):
                self._compare((*key, k), a, b, outputs, after)
        elif template is not value and template != value:
            differs(key, value)

    # -- its node ----------------------------------------------------------------------

    def _add(
        self, made: Traced, structure: Any, inputs: list[Input], types: list[Input]
    ) -> list[tuple[int, Edge]]:
        running = current()
        assert running is not None
        carry = tree.flatten(list(range(len(types))))[1]
        body = Iteration("loop", made, carry, self.starts, types)
        head = None
        if self.coded:
            place = self.templates[_CODE].number
            head = trace(lambda i, *c: c[place] == 0, structure, inputs, plain=True)
        count = None if not self.name or known(self.count) else self.count
        bound = self._bound() if self.name else None
        if count is not None and bound is not None:
            count = plain(np.minimum(count, np.int64(bound)))
        parts = repeat(
            running, body, LIMIT if bound is None else bound, [], head=head, count=count
        )
        return self._leave([plain(p) for p in parts[: len(types)]])

    def _leave(self, parts: list[Any]) -> list[tuple[int, Edge]]:
        """The ways out, with what was carried last."""
        state = self.before.copy()
        self._fill(state, parts)
        edge = Edge(self.edge.path, self.edge.part, state)
        exits = self.exits
        if not self.coded or len(exits) == 1:
            return [(exits[0], edge)]
        code = parts[self.templates[_CODE].number]
        ways = []
        for label in exits[1:]:
            here = plain(code == self._code(label))
            taken, edge = fork(edge, here)
            ways.append((label, taken))
        return [(exits[0], edge), *ways]


_WHOLE = Fraction(1)
