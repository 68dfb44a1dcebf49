"""Which values lie in memory because one function makes them and another uses them.

`keep` gives them slots.  The functions are the parts of a kernel and the outline that
calls them, which runs the loops and branches that are cut.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitad.lowering.statement import numbers
from jitad.lowering.statements import (
    Const,
    Repeat,
)

from .pieces import Branch, Cycle, Item, Nest, Part, flat


def keep(items: Sequence[Item]) -> dict[int, int]:
    """Value -> slot, for all values that one function makes and another uses.

    Slots are used again, in order of first need, once a value is dead; a value that
    a loop reads from outside lives until the loop's end.
    """
    lives = _Lives()
    lives.walk(items, ())
    made, needed = lives.made, lives.needed()
    crossing = sorted(v for v, last in needed.items() if last > made[v])
    by_birth: dict[int, list[int]] = {}
    dying: dict[int, list[int]] = {}
    for v in sorted(crossing, key=lambda v: (made[v], v)):
        by_birth.setdefault(made[v], []).append(v)
        dying.setdefault(needed[v], []).append(v)
    slots: dict[int, int] = {}
    free: list[int] = []
    count = 0
    for now in range(lives.now + 1):
        for v in by_birth.get(now, ()):
            if free:
                slots[v] = free.pop()
            else:
                slots[v], count = count, count + 1
        free += [slots[v] for v in dying.get(now, ())]
    return slots


class _Lives:
    """When each value is made, and when it is used.

    Time goes on with every part, and with what the outline does around loops and
    branches.
    """

    def __init__(self) -> None:
        self.now = 0
        self.made: dict[int, int] = {}
        self._used: dict[int, int] = {}  # the last time outside of loops
        self._inside: list[tuple[int, int, tuple[_Span, ...]]] = []
        self._constant: set[int] = set()

    def needed(self) -> dict[int, int]:
        """The last time at which each value is needed."""
        needed = {v: t for v, t in self._used.items() if v not in self._constant}
        for v, time, loops in self._inside:
            if v in self._constant:
                continue
            around = (x.last for x in loops if self.made[v] < x.first)
            needed[v] = max(needed.get(v, 0), next(around, time))
        return needed

    def walk(self, items: Sequence[Item], loops: tuple[_Span, ...]) -> None:
        """Note what items make and use, in order."""
        for item in items:
            match item:
                case Part():
                    self._tick(loops)
                    for s in flat(item.steps):
                        if isinstance(s, Const):
                            self._constant.add(s.result)
                            continue
                        self._make([*numbers([s])], loops)
                        self._use(s.used, loops)
                case Nest():
                    span = self._begin()
                    self.walk(item.items, (*loops, span))
                    self._end(span)
                case Cycle():
                    self._cycle(item, loops)
                case Branch():
                    s = item.choice
                    self._tick(loops, s.mask, *(m.otherwise for m in s.merged))
                    self.walk(item.items, loops)
                    self._tick(loops, *(m.inner for m in s.merged))
                    self._make([*numbers([s])], loops)

    def _cycle(self, item: Cycle, loops: tuple[_Span, ...]) -> None:
        s = item.repeat
        self._tick(loops, *entering(s))
        span = self._begin()
        inner = (*loops, span)
        self._make((s.index, *(c.inner for c in s.carried)), inner)
        self.walk(item.head, inner)
        self._tick(inner, *(() if s.alive is None else (s.alive,)))
        self.walk(item.body, inner)
        self._tick(inner, *(c.next for c in s.carried))
        self._end(span)
        self._make(leaving(s), loops)

    def _begin(self) -> _Span:
        self.now += 1
        return _Span(self.now)

    def _end(self, span: _Span) -> None:
        span.last = self.now
        self.now += 1

    def _tick(self, loops: tuple[_Span, ...], *used: int) -> None:
        self.now += 1
        self._use(used, loops)

    def _make(self, values: Sequence[int], loops: tuple[_Span, ...]) -> None:
        for v in values:
            self.made.setdefault(v, self.now)
        # What is loaded again is stored again, for which its slot must still be there.
        self._use(values, loops)

    def _use(self, values: Sequence[int], loops: tuple[_Span, ...]) -> None:
        if loops:
            self._inside += [(v, self.now, loops) for v in values]
            return
        for v in values:
            self._used[v] = self.now


class _Span:
    """The times from the first to the last of a loop."""

    def __init__(self, first: int) -> None:
        self.first = self.last = first


def entering(s: Repeat) -> tuple[int, ...]:
    """The values that a loop needs before it begins."""
    return (*(c.start for c in s.carried), *(() if s.count is None else (s.count,)))


def leaving(s: Repeat) -> tuple[int, ...]:
    """The values that a loop makes for what comes after it."""
    return (*(c.outer for c in s.carried), *(() if s.steps is None else (s.steps,)))
