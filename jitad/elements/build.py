"""From a flow to steps: which values are stored, and which kernels compute them.

A value is stored where it is a result, where it is read more than once and dear enough,
and where something is added to it or written into it; else it is an expression that is
computed where it is read.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from jitad.backends.cpu.tiers import Effort
from jitad.ir.graph import Type, scalar
from jitad.transforms.scalars.scalarize import pack
from jitad.transforms.scalars.templates import new_builder

from .cells import (
    Applied,
    Cell,
    Cells,
    Number,
    Result,
    Source,
    overlaid,
    overlap,
    read,
    refined,
    shifted,
    stored,
    through,
)
from .flow import (
    Flow,
    Map,
    Moved,
    Placed,
    Statement,
    Summed,
    Written,
    back,
    inside,
    unit_box,
)
from .halos import Halo, halos
from .kernels import Kernels
from .library import Library, UnfitError
from .prepared import straight
from .recurrence import Recurrence
from .repeated import Repeated
from .repeating import Repeat
from .running import Recur
from .steps import Compute, New, Plan, Step, View
from .sweeps import Store, Sweep, Sweeps, Total, flattened, joined
from .windows import (
    Box,
    Shape,
    Window,
    along_axes,
    broadcast,
    c_steps,
    full,
)

# More weighted operations than this are not done again to save a pass over memory.
_CHEAP = 16.0
# Of more operations than this an array is stored though it is read only once.
_LONG = 300.0
# Of more cells than this an array is stored before it is read.
_MANY = 12
_MOST = 40
# To copy so many elements takes as long as to begin with one more cell; and a sum that
# is no array of cells is about so many.
_EDGE, _AROUND = 4000, 80


def plan(
    flow: Flow,
    *,
    keep: bool,
    effort: Effort,
    interpreted: bool = False,
    inner: bool = False,
) -> Plan:
    """The steps of a flow; keep and effort as of `Derived`.

    interpreted  whether NumPy computes all
    inner        whether it is run again and again, and its results may be arrays that
                 others have, too
    """
    kernels = Kernels(keep, effort, often=inner, interpreted=interpreted)
    made = _Planner(flow, kernels)
    made.run(inner=inner)
    found = made.plan()
    if not inner and not interpreted:
        found.prepare = partial(straight, nested=Repeat)
    return found


class _Planner:
    """The steps so far, and what every value is."""

    def __init__(self, flow: Flow, kernels: Kernels) -> None:
        self.flow, self.kernels = flow, kernels
        self.steps: list[Step | Sweeps] = []
        self.types = list(flow.types)
        self.cells: dict[int, Cells] = {}
        for v in (*flow.inputs, *flow.constants):
            self._is_stored(v)
        self.needed = flow.needed()
        self.uses = _uses(flow, self.needed)
        self.numbers = {y: k for own in flow.results for k, y in enumerate(own)}
        self.outputs: dict[int, int] = {}

    def run(self, *, inner: bool) -> None:
        """Make the steps."""
        flow = self.flow
        for k, (statement, results) in enumerate(
            zip(flow.statements, flow.results, strict=True)
        ):
            if k not in self.needed:
                continue
            self._make(statement, results)
            for y in results:
                if self._pays(y):
                    self._store(y)
        # What large results are computed of may be summed up for small ones.
        for n in sorted(range(len(flow.outputs)), key=self._larger):
            if inner:
                self._store(flow.outputs[n])
            self.outputs[n] = flow.outputs[n] if inner else self._copy(flow.outputs[n])

    def _larger(self, n: int) -> int:
        return -self.types[self.flow.outputs[n]].size

    def plan(self) -> Plan:
        """The finished plan: arrays are let go where they are read last."""
        steps = list(self._kernels())
        last: dict[int, int] = {}
        for n, step in enumerate(steps):
            for v in step.touched:
                last[v] = n
        drops: list[list[int]] = [[] for _ in steps]
        for v, n in last.items():
            if v not in self.outputs.values():
                drops[n].append(v)
        outputs = tuple([self.outputs[n] for n in range(len(self.outputs))])
        types = tuple([self.types[o] for o in outputs])
        given = tuple(self.flow.inputs)
        peak = _peak(steps, drops)
        constants = dict(self.flow.constants)
        return Plan(steps, drops, given, constants, outputs, types, peak)

    def _kernels(self) -> Iterator[Step]:
        """The steps, with a kernel for each sweep."""
        for step in joined(self.steps):
            if not isinstance(step, Sweeps):
                yield step
                continue
            if step.alone:
                yield from map(self.kernels.run, step.own)
                continue
            beside = math.prod(step.shape)
            first, *others = sorted(step.own, key=lambda sweep: -sweep.box.size)
            for sweep in (flattened(first, step.shape), *others):
                yield self.kernels.run(sweep, beside)

    # -- what values are -------------------------------------------------------

    def _is_stored(self, v: int) -> None:
        type = self.types[v]
        self.cells[v] = stored(v, type, c_steps(type.shape))

    def _at_home(self, v: int) -> bool:
        """Whether a value is an array of its own."""
        cells = self.cells[v]
        if len(cells) != 1 or not isinstance(cells[0].expression, Source):
            return False
        return cells[0].expression.value == v

    def _pays(self, v: int) -> bool:
        """Whether to store a value once, rather than compute it where it is read."""
        if self._at_home(v) or not self.types[v].shape:
            return False
        weight = max((c.expression.weight for c in self.cells[v]), default=0.0)
        again = self.uses.get(v, 0) - 1
        long = weight * again > _CHEAP or (weight > _LONG and again >= 0)
        return long or (len(self.cells[v]) > _MANY and again >= 0)

    def _make(self, statement: Statement, results: Sequence[int]) -> None:
        match statement:
            case Map():
                self._map(statement, results)
            case Moved():
                self._moved(statement, results[0])
            case Written():
                self._written(statement, results[0])
            case Placed():
                self._placed(statement, results[0])
            case Summed():
                self._summed(statement, results[0])
            case Library():
                views = tuple([self._view(v) for v in statement.read])
                self.steps.append(Compute(statement, results[0], views))
                self._is_stored(results[0])
            case Repeated() | Recurrence():
                for x in statement.operands:
                    self._store(x)
                self.steps.append(self._loop(statement, results))
                for y in results:
                    self._is_stored(y)

    def _loop(
        self, statement: Repeated | Recurrence, results: Sequence[int]
    ) -> Repeat | Recur:
        """The step of a loop whose operands are stored."""
        own = self.kernels
        keep, effort, plain = own.keep, own.effort, own.interpreted
        if isinstance(statement, Recurrence):
            if plain:
                raise UnfitError("a loop of numbers")
            return Recur(statement, results, keep)
        made = partial(plan, keep=keep, effort=effort, interpreted=plain, inner=True)
        body, head = made(statement.body), statement.head and made(statement.head)
        return Repeat(statement, body, head, results, interpreted=plain)

    def _map(self, statement: Map, results: Sequence[int]) -> None:
        shape, arrays = statement.shape, []
        for v in statement.operands:
            own = self.types[v].shape
            arrays.append(
                self.cells[v] if own == shape
                else self._seen(v, broadcast(own, shape))
            )  # fmt: skip
        parts = list(refined(shape, arrays))
        if len(parts) > _MOST:
            for v in statement.operands:
                self._store(v)
            self._map(statement, results)
            return
        made: list[list[Cell]] = [[] for _ in results]
        for box, own in parts:
            applied = Applied(statement.graph, own)
            for k in range(len(results)):
                made[k].append(Cell(box, Result(applied, k)))
        for y, cells in zip(results, made, strict=True):
            self.cells[y] = tuple(cells)

    def _seen(self, v: int, window: Window) -> Cells:
        """A value through a window; it is stored first if that goes not by axes."""
        if not all(window.shape):
            return ()
        axes = along_axes(window, self.types[v].shape)
        if axes is not None:
            return through(self.cells[v], axes, window.shape)
        self._store(v)
        ((cell),) = self.cells[v]
        home = cell.expression
        assert isinstance(home, Source)
        source = Source(home.value, home.dtype, window.start, window.steps)
        return (Cell(full(window.shape), source),)

    def _moved(self, statement: Moved, y: int) -> None:
        type = statement.type
        parts: list[Cell] = []
        left = [full(type.shape)] if type.size else []
        for piece in statement.pieces:
            cells = self._seen(piece.operand, piece.window)
            parts += shifted(cells, piece.box.low)
            left = [part for own in left for part in own.without(piece.box)]
        zero = Number(type.dtype.type(0))
        parts += [Cell(box, zero) for box in left]
        self.cells[y] = tuple(parts)

    def _placed(self, statement: Placed, y: int) -> None:
        """Overlay the terms, or add one after the other to an array of zeros."""
        type = statement.type
        terms: list[Cells] | None = []
        for term in statement.terms:
            box = unit_box(term.window, type.shape)
            if box is None:
                terms = None
                break
            own = self.types[term.operand].shape
            part = self._seen(term.operand, inside(term.box, own))
            turned = along_axes(back(term.window, type.shape), term.window.shape)
            assert turned is not None
            terms.append(shifted(through(part, turned, box.shape), box.low))
        found = overlaid(type, terms, _MOST) if terms is not None else None
        parts = _AROUND if found is None else len(found)
        if terms is not None and parts * _EDGE > type.size:
            own = halos(self.flow, statement, self.numbers)
            gone = {n for halo in own for n in halo.terms}
            terms = [x for n, x in enumerate(terms) if n not in gone]
            terms += map(self._halo, own)
            found = overlaid(type, terms, _MOST) if own else found
        if found is not None:
            self.cells[y] = found
            return
        core = overlap(type, terms) if terms is not None else None
        if terms is not None and core is not None:
            self._around(core, terms, y)
            return
        self.steps.append(New(y, type.shape, type.dtype, blank=True))
        self._is_stored(y)
        for term in statement.terms:
            own = self.types[term.operand].shape
            part = self._seen(term.operand, inside(term.box, own))
            there = Source(y, type.dtype, term.window.start, term.window.steps)
            self._write(part, there, own, added=True)

    def _halo(self, halo: Halo) -> Cells:
        """What an array adds at several places, of a copy of it amid zeros."""
        copy, dtype = len(self.types), self.types[halo.value].dtype
        self.types.append(Type(dtype, halo.copied))
        own = shifted(self.cells[halo.value], halo.low)
        zero = Number(dtype.type(0))
        around = full(halo.copied).without(Box(halo.low, halo.high))
        self.cells[copy] = (*own, *(Cell(box, zero) for box in around))
        self._store(copy)
        return (Cell(full(halo.shape), halo.sum(copy, dtype)),)

    def _around(self, core: Cell, terms: Sequence[Cells], y: int) -> None:
        """Compute most of a sum of terms at once, and add up the rest term by term."""
        type, zero = self.types[y], Number(self.types[y].dtype.type(0))
        shell = full(type.shape).without(core.box)
        self.cells[y] = (core, *(Cell(box, zero) for box in shell))
        self._store(y)
        there = Source(y, type.dtype, 0, c_steps(type.shape))
        for cell in itertools.chain.from_iterable(terms):
            met = [part for box in shell if (part := box.meet(cell.box)) is not None]
            parts = tuple([Cell(part, cell.expression) for part in met])
            self._write(parts, there, type.shape, added=True)

    def _written(self, statement: Written, y: int) -> None:
        base, value = statement.operands
        type = statement.type
        self.cells[y] = self.cells[base]
        self._store(y)
        window = statement.window
        there = Source(y, type.dtype, window.start, window.steps)
        self._write(self.cells[value], there, window.shape)

    def _summed(self, statement: Summed, y: int) -> None:
        (x,) = statement.operands
        type, shape = statement.type, self.types[x].shape
        wide = np.dtype(np.float64) if type.dtype.kind == "f" else type.dtype
        held = y
        if wide != type.dtype:
            held = len(self.types)
            self.types.append(Type(wide, type.shape))
        self.steps.append(New(held, type.shape, wide, blank=True))
        total = Source(held, wide, 0, c_steps(type.shape))
        axes = statement.axes
        own = [
            Sweep(cell.box, totals=(Total(cell.expression, axes, total),))
            for cell in self.cells[x]
            if math.prod(shape)
        ]
        self._sweep(shape, own, alone=len(axes) < len(shape))
        self._is_stored(held)
        if held == y:
            return
        (cell,) = self.cells[held]
        builder = new_builder()
        made = builder.cast(read(builder, wide), type.dtype)
        graph = builder.finish([pack(builder, np.asarray(made), scalar(type.dtype))])
        applied = Applied(graph, [cell.expression])
        self.cells[y] = (Cell(full(type.shape), Result(applied, 0)),)

    # -- kernels ---------------------------------------------------------------

    def _store(self, v: int) -> None:
        """Compute a value into an array of its own."""
        if self._at_home(v):
            return
        type, cells = self.types[v], self.cells[v]
        self.steps.append(New(v, type.shape, type.dtype))
        there = Source(v, type.dtype, 0, c_steps(type.shape))
        stores = [Sweep(cell.box, (Store(cell.expression, there),)) for cell in cells]
        self._sweep(type.shape, stores)
        self._is_stored(v)

    def _write(
        self, cells: Cells, there: Source, shape: Shape, *, added: bool = False
    ) -> None:
        """Write the cells of an array of a shape into another, or add them to it."""
        own = [
            Sweep(cell.box, (Store(cell.expression, there),), added=added)
            for cell in cells
        ]
        self._sweep(shape, own, alone=True)

    def _sweep(
        self, shape: Shape, own: Sequence[Sweep], *, alone: bool = False
    ) -> None:
        if own:
            self.steps.append(Sweeps(shape, tuple(own), alone))

    def _view(self, v: int) -> View:
        """Where all of a value lies; it is stored first if that is nowhere."""
        cells, type = self.cells[v], self.types[v]
        if len(cells) != 1 or not isinstance(cells[0].expression, Source):
            self._store(v)
        expression = self.cells[v][0].expression if type.size else None
        if not isinstance(expression, Source):
            return View(v, type, 0, c_steps(type.shape))
        return View(expression.value, type, expression.start, expression.steps)

    def _copy(self, v: int) -> int:
        """A new array with a result: its own, if nobody else has it."""
        own = self.flow.inputs, self.flow.constants, self.outputs.values()
        if any(v in some for some in own):
            copy = len(self.types)
            self.types.append(self.types[v])
            self.cells[copy] = self.cells[v]
            v = copy
        self._store(v)
        return v


def _peak(steps: Sequence[Step], drops: Sequence[Sequence[int]]) -> int:
    """The bytes of new arrays that there are at a time, at most."""
    held, peak, sizes = 0, 0, dict[int, int]()
    for step, gone in zip(steps, drops, strict=True):
        sizes.update(step.made)
        held += sum(size for _, size in step.made)
        peak = max(peak, held + step.beside)
        held -= sum(sizes.get(v, 0) for v in gone)
    return peak


def _uses(flow: Flow, needed: set[int]) -> dict[int, int]:
    """How often each value is read."""
    found: dict[int, int] = {}
    for k in needed:
        for v in flow.statements[k].operands:
            found[v] = found.get(v, 0) + 1
    for v in flow.outputs:
        found[v] = found.get(v, 0) + 1
    return found
