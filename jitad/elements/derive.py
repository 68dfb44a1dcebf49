"""Derivatives of a flow, as further statements of it: forward and reverse.

A `Map` is differentiated by the graph of one element, with all that is known of kinks
and poles there; what moves and adds elements is linear, and states its transpose here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jitad.ir.graph import Graph, Type

from . import loops, recurred, returned
from .element import Element, needing_less, pullback, pushforward
from .flow import (
    Flow,
    Map,
    Moved,
    Piece,
    Placed,
    Statement,
    Summed,
    Term,
    Written,
    inside,
)
from .library import Library, of_elements
from .loops import zeros
from .recurrence import Recurrence
from .repeated import Repeated
from .windows import (
    Box,
    Shape,
    Window,
    broadcast,
    c_steps,
    full,
    repeated,
    spread,
    whole,
)


def pull(flow: Flow, seeds: Seeds, wrt: Sequence[int], since: int = 0) -> list[int]:
    """Append the reverse of statements: x̄ of the values in wrt.

    seeds  values and their ȳ
    since  the number of the first value that may depend on those in wrt
    """
    bars = _pull(flow, seeds, wrt, since=since)
    return [bars.of(x) for x in wrt]


Seeds = Sequence[tuple[int, int]]


def _pull(
    flow: Flow,
    seeds: Seeds,
    wrt: Sequence[int],
    gaps: Collection[int] = (),
    since: int = 0,
) -> _Bars:
    active = _active(flow, wrt, since)
    bars = _Bars(flow, active)
    bars.gaps.update(gaps)
    for y, bar in seeds:
        bars.add(y, bar)
    waiting = [number for number, _, _ in after(flow, since)]
    while waiting:
        number = waiting.pop()
        statement, results = flow.statements[number], flow.results[number]
        if active.isdisjoint(results) or active.isdisjoint(statement.operands):
            continue
        found = {y: bars.of(y) for y in results if y in active and bars.has(y)}
        if not found:
            continue
        if isinstance(statement, Repeated):
            parts = loops.back(bars, number, found, active, _pull, _active)
            for k in parts:
                if not active.isdisjoint(flow.statements[k].operands):
                    active.update(_floats(flow, flow.results[k]))
            waiting += parts
        elif isinstance(statement, Recurrence):
            element = bars.numbers(pullback)
            returned.back(bars, number, found, active, element)
        else:
            bars.back(statement, results, found, active)
    return bars


def push(flow: Flow, seeds: Mapping[int, int], since: int = 0) -> dict[int, int]:
    """Let a flow make ẏ of all values that depend on those whose ẋ is given, too.

    What is not in the result, a number for each, does not depend on them.
    since  the number of the first value that may
    """
    return _push(flow, seeds, since=since).made


def _push(
    flow: Flow, seeds: Mapping[int, int], gaps: Collection[int] = (), since: int = 0
) -> Dots:
    dots, replaced = Dots(flow, dict(seeds)), []
    dots.gaps.update(gaps)
    for number, statement, results in after(flow, since):
        if dots.made.keys().isdisjoint(statement.operands):
            continue
        if isinstance(statement, Repeated):
            loops.ahead(dots, statement, results, _push)
            replaced.append(number)
        elif isinstance(statement, Recurrence):
            recur(dots, statement, results)
            replaced.append(number)
        else:
            dots.ahead(statement, results)
    if replaced:
        flow.sort(without=replaced)
    return dots


def recur(
    dots: Dots,
    statement: Recurrence,
    results: Sequence[int],
    told: recurred.Told | None = None,
) -> None:
    """Append a recurrence that makes derivatives, too; told: of which graphs."""
    element = dots.numbers(pushforward)
    recurred.ahead(dots, statement, results, element, told)


def after(flow: Flow, since: int) -> list[tuple[int, Statement, list[int]]]:
    """The statements whose results have numbers from one on, with their own."""
    pairs = enumerate(zip(flow.statements, flow.results, strict=True))
    return [(k, own, y) for k, (own, y) in pairs if min(y, default=0) >= since]


def _active(flow: Flow, wrt: Sequence[int], since: int = 0) -> set[int]:
    """The values that depend on those in wrt, and can have derivatives."""
    found = set(wrt)
    for _, statement, results in after(flow, since):
        if not found.isdisjoint(statement.operands):
            found.update(_floats(flow, results))
    return found


def _floats(flow: Flow, values: Sequence[int]) -> list[int]:
    """Those that can have derivatives."""
    return [y for y in values if flow.types[y].dtype.kind == "f"]


class _Slopes:
    """Derivatives as values of a flow.

    gaps  those in which a zero may say that there is no derivative, as behind a closed
          gate or where nothing is added: what it is multiplied with is not looked at
    """

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.gaps: set[int] = set()
        self._elements: dict[Any, Element] = {}

    def element(
        self,
        make: Callable[..., Element],
        graph: Graph,
        wrt: Sequence[int],
        asked: Sequence[int],
        gaps: Sequence[bool],
    ) -> Element:
        """Derivatives of one element; those of equal graphs are made once."""
        key = make, graph, tuple(wrt), tuple(asked), tuple(gaps)
        if key not in self._elements:
            self._elements[key] = make(graph, wrt, asked, gaps)
        return self._elements[key]

    def numbers(self, make: Callable[..., Element]) -> recurred.Element:
        """Derivatives of graphs of numbers, all of which may be behind closed gates."""

        def element(
            graph: Graph, wrt: Sequence[int], asked: Sequence[int]
        ) -> tuple[Graph, Sequence[int]]:
            seeds = asked if make is pullback else wrt
            made = self.element(make, graph, wrt, asked, [True] * len(seeds))
            return needing_less(made.graph)

        return element

    def added(self, statement: Statement, gaps: bool) -> int:
        """The one result of a statement that moves or adds derivatives."""
        (found,) = self.flow.add(statement)
        if gaps or not self.gaps.isdisjoint(statement.operands):
            self.gaps.add(found)
        return found

    def seen(self, value: int, window: Window) -> int:
        """A derivative through a window."""
        found = self.flow.seen(value, window)
        if value in self.gaps:
            self.gaps.add(found)
        return found

    def plain(
        self,
        function: Callable[..., Any],
        operands: Sequence[int],
        gaps: bool = False,
    ) -> int:
        """A function of elements, of operands that are of one shape."""
        types = [self.flow.types[x] for x in operands]
        graph = of_elements(function, [t.dtype for t in types])
        return self.added(Map(graph, tuple(operands), types[0].shape), gaps)

    def total(self, value: int, type: Type, axes: tuple[int, ...]) -> int:
        """The sum of a derivative over some axes."""
        return self.added(Summed(type, (value,), axes), gaps=False)

    def shape(self, value: int) -> Shape:
        """The shape of a value."""
        return self.flow.types[value].shape

    def dtype(self, value: int) -> np.dtype:
        """The dtype of a value."""
        return self.flow.types[value].dtype

    def constant(self, array: np.ndarray) -> int:
        """A constant array."""
        return self.flow.constant(array)

    def blank(self, type: Type) -> int:
        """An array of zeros."""
        return zeros(self.flow, type)

    def shifted(self, value: int, axis: int, by: int) -> int:
        """A value moved along an axis, with zeros where nothing comes from."""
        type = self.flow.types[value]
        low, high, start = [0] * len(type.shape), list(type.shape), 0
        low[axis], high[axis] = max(by, 0), type.shape[axis] + min(by, 0)
        box, steps = Box(tuple(low), tuple(high)), c_steps(type.shape)
        if not box.size:
            return zeros(self.flow, type)
        start = max(-by, 0) * steps[axis]
        piece = Piece(box, value, Window(box.shape, start, steps))
        return self.flow.add(Moved(type, (piece,)))[0]

    def wanted(self, value: int) -> bool:
        """Whether a derivative by a value is needed."""
        return True

    def mapped(self, made: Element, operands: Sequence[int], shape: Shape) -> list[int]:
        """The derivatives that a graph of one element makes."""
        found = self.flow.add(reading_less(made.graph, operands, shape))
        self.gaps.update(y for y, gap in zip(found, made.gaps, strict=True) if gap)
        return found


class _Bars(_Slopes):
    """What is added to each x̄ by and by."""

    def __init__(self, flow: Flow, active: set[int]) -> None:
        super().__init__(flow)
        self._active = active
        self._terms: dict[int, list[Term]] = {}
        self._made: dict[int, int] = {}

    def wanted(self, value: int) -> bool:
        """Whether a derivative by a value is needed."""
        return value in self._active

    def has(self, x: int) -> bool:
        """Whether anything is added."""
        return x in self._terms

    def of(self, x: int) -> int:
        """The sum."""
        if x not in self._made:
            type, terms = self.flow.types[x], self._terms.get(x, [])
            own = [term == _all(term.operand, type.shape) for term in terms]
            if own == [True]:
                self._made[x] = terms[0].operand
            else:
                placed = Placed(type, tuple(terms))
                self._made[x] = self.added(placed, not any(own))
        return self._made[x]

    def add(self, x: int, bar: int) -> None:
        """Add all of a value to x̄."""
        self._terms.setdefault(x, []).append(_all(bar, self.flow.types[bar].shape))

    def _through(self, x: int, bar: int, window: Window) -> None:
        """Add a value to x̄ through a window, in which elements may be repeated."""
        if not all(window.shape):
            return
        axes = repeated(window)
        if axes:
            left = [b for b in range(len(window.shape)) if b not in axes]
            shape = tuple([window.shape[b] for b in left])
            type = Type(self.flow.types[bar].dtype, shape)
            bar = self.added(Summed(type, (bar,), axes), gaps=False)
            steps = tuple([window.steps[b] for b in left])
            window = Window(shape, window.start, steps)
        term = Term(bar, full(window.shape), window)
        self._terms.setdefault(x, []).append(term)

    def back(
        self,
        statement: Statement,
        results: Sequence[int],
        bars: dict[int, int],
        active: set[int],
    ) -> None:
        """Add what a statement's operands get of the bars of its results."""
        if isinstance(statement, Map):
            self._map(statement, results, bars, active)
            return
        flow, (bar,) = self.flow, bars.values()
        match statement:
            case Moved():
                for piece in statement.pieces:
                    if piece.operand in active:
                        part = self.seen(bar, inside(piece.box, statement.type.shape))
                        self._through(piece.operand, part, piece.window)
            case Written():
                base, value = statement.operands
                if value in active:
                    self.add(value, self.seen(bar, statement.window))
                if base in active:
                    blank = zeros(flow, flow.types[value])
                    kept = replace(statement, operands=(bar, blank))
                    self.add(base, self.added(kept, gaps=True))
            case Placed():
                for term in statement.terms:
                    if term.operand in active:
                        part = self.seen(bar, term.window)
                        shape = flow.types[term.operand].shape
                        self._through(term.operand, part, inside(term.box, shape))
            case Library():
                for x, own in statement.back(self, results[0], bar):
                    if x in active:
                        self.add(x, own)
            case Summed():
                (x,) = statement.operands
                self.add(x, self.seen(bar, spread(flow.types[x].shape, statement.axes)))

    def _map(
        self,
        statement: Map,
        results: Sequence[int],
        bars: dict[int, int],
        active: set[int],
    ) -> None:
        wrt = [k for k, x in enumerate(statement.operands) if x in active]
        asked = [k for k, y in enumerate(results) if y in bars]
        given = [bars[results[k]] for k in asked]
        gaps = [bar in self.gaps for bar in given]
        made = self.element(pullback, statement.graph, wrt, asked, gaps)
        found = self.mapped(made, (*statement.operands, *given), statement.shape)
        for k, bar in zip(wrt, found, strict=True):
            x = statement.operands[k]
            shape = self.flow.types[x].shape
            self._through(x, bar, broadcast(shape, statement.shape))


class Dots(_Slopes):
    """ẏ of every value that has one."""

    def __init__(self, flow: Flow, made: dict[int, int]) -> None:
        super().__init__(flow)
        self.made = made

    def ahead(self, statement: Statement, results: Sequence[int]) -> None:
        """Make ẏ of the results of a statement."""
        flow, dots = self.flow, self.made
        if isinstance(statement, Map):
            self._map(statement, results)
            return
        (y,), there = results, [x in dots for x in statement.operands]
        match statement:
            case Moved():
                pieces = [
                    replace(p, operand=dots[p.operand])
                    for p in statement.pieces
                    if p.operand in dots
                ]
                whole_ = sum(p.box.size for p in pieces) == statement.type.size
                moved = Moved(statement.type, tuple(pieces))
                dots[y] = self.added(moved, not whole_)
            case Written():
                given = tuple(
                    [dots[x] if x in dots else zeros(flow, flow.types[x])
                     for x in statement.operands]
                )  # fmt: skip
                dots[y] = self.added(replace(statement, operands=given), not all(there))
            case Placed():
                terms = [
                    replace(t, operand=dots[t.operand])
                    for t in statement.terms
                    if t.operand in dots
                ]
                placed = Placed(statement.type, tuple(terms))
                dots[y] = self.added(placed, gaps=True)
            case Library():
                made = statement.ahead(self, y, dots)
                dots |= {} if made is None else {y: made}
            case Summed():
                (x,) = statement.operands
                dots[y] = self.added(
                    replace(statement, operands=(dots[x],)), gaps=False
                )

    def _map(self, statement: Map, results: Sequence[int]) -> None:
        dots, types = self.made, self.flow.types
        wrt = [k for k, x in enumerate(statement.operands) if x in dots]
        asked = [k for k, y in enumerate(results) if types[y].dtype.kind == "f"]
        given = [dots[statement.operands[k]] for k in wrt]
        gaps = [x in self.gaps for x in given]
        made = self.element(pushforward, statement.graph, wrt, asked, gaps)
        operands = (*statement.operands, *given)
        found = self.mapped(made, operands, statement.shape) if asked else []
        dots |= dict(zip([results[k] for k in asked], found, strict=True))


def reading_less(graph: Graph, operands: Sequence[int], shape: Shape) -> Map:
    """A map without the operands that its graph does not need."""
    graph, kept = needing_less(graph)
    return Map(graph, tuple([operands[k] for k in kept]), shape)


def _all(value: int, shape: Shape) -> Term:
    return Term(value, full(shape), whole(shape))
