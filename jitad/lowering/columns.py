"""Cut a kernel into column blocks: kernels that compute some of its outputs each.

`split` shares out the stores, and leaves in each kernel what its own need.  Fewer
values live at a time then; but what several of them need is computed by each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from .cost import cost, times
from .kernel import Kernel
from .statement import Statement, rewritten
from .statements import (
    Const,
    For,
    If,
    Repeat,
    Store,
)

# A value, or ~local: all that is ever written there.
Need = int
# (buffer, element); what is not stored element by element is (buffer, 0).
Unit = tuple[int, int]

_STEPS = 12  # halvings, in the search for the work of the dearest block
# Outputs are put beside those like them, by comparing all, unless it takes too long:
# for 100 of 1,000 values some hundredths of a second.
_MOST_COMPARED = 500_000


def split(kernel: Kernel, parts: int) -> tuple[Kernel, ...]:
    """At most `parts` kernels of about equal work, which together store the same.

    They have the buffers and locals of the whole, needed or not: one list of arguments
    serves them all.  Each does for its stores what the whole does, bit for bit.
    """
    needs = _Needs(kernel)
    units = needs.alike(sorted(needs.stores))
    shares = _shares(units, needs, parts)
    return tuple([_kept(kernel, share, needs.of(share)) for share in shares])


class _Needs:
    """What a kernel must compute for what.

    stores  what is stored -> what that needs
    costs   what is needed -> nanoseconds, roughly
    """

    def __init__(self, kernel: Kernel) -> None:
        self.stores: dict[Unit, set[Need]] = {}
        self._needs: dict[Need, set[Need]] = {}
        self.costs: dict[Need, float] = {}
        self._read((*kernel.once, *kernel.body), (), 1.0)

    def _read(
        self, body: Sequence[Statement], around: tuple[int, ...], often: float
    ) -> None:
        """Note what statements need.

        around  the values that decide whether they run
        often   how many times they do
        """
        for s in body:
            match s:
                case For():
                    self._read(s.body, around, often)
                case If():
                    for m in s.merged:
                        self._note(m.outer, (s.mask, m.inner, m.otherwise))
                    self._read(s.body, (*around, s.mask), often * times(s))
                case Repeat():
                    limits = [v for v in (s.count, s.alive) if v is not None]
                    self._note(s.index, limits)
                    for c in s.carried:
                        self._note(c.inner, (c.start, c.next, s.index))
                        self._note(c.outer, (c.inner,))
                    if s.steps is not None:
                        self._note(s.steps, (s.index,))
                    inside = (*s.head, *s.body)
                    self._read(inside, (*around, s.index), often * times(s))
                case _:
                    self._read_one(s, around, often * cost(s))

    def _read_one(self, s: Statement, around: tuple[int, ...], cost: float) -> None:
        """Note what a statement needs that holds no others."""
        needs = (*[m for m in s.reads if m < 0], *s.used)
        for v, _ in s.made:
            self._note(v, needs, cost)
        for memory in s.writes:
            if memory < 0:
                self._note(memory, (*needs, *around), cost)
            else:
                stored = self.stores.setdefault(_unit(s, memory), set())
                stored.update(needs, around)

    def _note(self, what: Need, needs: Iterable[Need], cost: float = 0.0) -> None:
        self._needs.setdefault(what, set()).update(needs)
        self.costs[what] = self.costs.get(what, 0.0) + cost

    def add(self, unit: Unit, found: set[Need]) -> float:
        """Add to what is found what else storing this needs, and tell what it costs."""
        stack, total = list(self.stores[unit]), 0.1
        while stack:
            need = stack.pop()
            if need not in found:
                found.add(need)
                total += self.costs[need]
                stack.extend(self._needs[need])
        return total

    def of(self, units: Sequence[Unit]) -> set[Need]:
        """All that storing these needs."""
        found: set[Need] = set()
        for unit in units:
            self.add(unit, found)
        return found

    def alike(self, units: Sequence[Unit]) -> list[Unit]:
        """Each followed by the one that costs least more if this is computed."""
        if len(units) * len(self.costs) > _MOST_COMPARED:
            return list(units)
        # Sets of needs are the bits of whole numbers, for each cost one.
        classes = sorted(set(self.costs.values()) - {0.0})
        cones = {unit: self._bits(unit, classes) for unit in units}
        left = dict.fromkeys(units)
        ordered: list[Unit] = []
        last = [0] * len(classes)
        while left:
            unit = min(left, key=lambda u: (_beyond(cones[u], last, classes), u))
            del left[unit]
            ordered.append(unit)
            last = cones[unit]
        return ordered

    def _bits(self, unit: Unit, classes: Sequence[float]) -> list[int]:
        number = {each: k for k, each in enumerate(classes)}
        bits = [0] * len(classes)
        for need in self.of([unit]):
            k = number.get(self.costs[need])
            if k is not None:
                bits[k] |= 1 << (2 * need if need >= 0 else 2 * ~need + 1)
        return bits


def _beyond(cone: list[int], known: list[int], classes: Sequence[float]) -> float:
    """What a set of needs costs if others are known."""
    pairs = zip(cone, known, classes, strict=True)
    return sum(each * (own & ~other).bit_count() for own, other, each in pairs)


def _unit(s: Statement, buffer: int) -> Unit:
    return buffer, s.element if isinstance(s, Store) else 0


def _shares(units: Sequence[Unit], needs: _Needs, parts: int) -> list[list[Unit]]:
    """Cut units into runs of which the dearest is as cheap as can be."""

    def cut(most: float) -> list[list[Unit]] | None:
        shares: list[list[Unit]] = []
        found: set[Need] = set()
        spent = most
        for unit in units:
            spent += needs.add(unit, found)
            if spent > most:
                if len(shares) == parts:
                    return None
                shares.append([])
                found.clear()
                spent = needs.add(unit, found)
            shares[-1].append(unit)
        return shares

    low, high, best = 0.0, sum(needs.costs.values()), [list(units)]
    for _ in range(_STEPS):
        middle = (low + high) / 2
        shares = cut(middle)
        if shares is None:
            low = middle
        else:
            high, best = middle, shares
    return best


def _kept(kernel: Kernel, share: Sequence[Unit], found: set[Need]) -> Kernel:
    """The kernel with these stores alone, and what makes what they need."""
    own = set(share)

    def kept(s: Statement) -> Iterator[Statement]:
        match s:
            case For():
                yield from standing(s)
            case If():
                merged = tuple([m for m in s.merged if m.outer in found])
                yield from standing(replace(s, merged=merged), needed=bool(merged))
            case Repeat():
                carried = tuple([c for c in s.carried if c.inner in found])
                steps = s.steps if s.steps in found else None
                left = replace(s, carried=carried, steps=steps)
                yield from standing(left, needed=s.index in found)
            case _:
                if any(v in found for v, _ in s.made) or wanted(s):
                    yield s

    def wanted(s: Statement) -> bool:
        """Whether something needs what it writes."""
        return any(m in found if m < 0 else _unit(s, m) in own for m in s.writes)

    def standing(s: For | If | Repeat, *, needed: bool = False) -> Iterator[Statement]:
        """A loop or branch; of one that is not needed what is known everywhere."""
        inner = list(s.inside)
        if needed or any(i.writes or i.nests for i in inner):
            yield s
        else:
            yield from (i for i in inner if isinstance(i, Const))

    once = tuple([s for s in kernel.once if s.result in found])
    return replace(kernel, once=once, body=rewritten(kernel.body, kept))
