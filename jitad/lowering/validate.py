"""Whether a Kernel keeps its own rules: `validate`, between passes and in tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from .kernel import Buffer, Kernel, Local
from .statement import Statement, statements
from .statements import (
    Access,
    Const,
    For,
    Gather,
    If,
    Load,
    Op,
    Read,
    Repeat,
    Scatter,
    Store,
    StoreAll,
    Write,
    owner,
)

_BOOL, _INDEX = np.dtype(bool), np.dtype(np.int64)


def validate(kernel: Kernel) -> None:
    """Assert that values are assigned once, before use, and loops are well nested."""
    assert all(b.elements > 0 for b in kernel.buffers), "an empty buffer is no buffer"
    assert all(k.elements > 0 for k in kernel.locals), "an empty local is no local"
    every = [s for s in statements(kernel.body) if isinstance(s, Const)]
    constants = [*(s for s in kernel.once if isinstance(s, Const)), *every]
    known = {s.result: s.dtype for s in constants}
    _Scope.of(kernel, constants).once(known)
    _Scope.of(kernel, constants).walk(kernel.body, known)


class _Scope:
    """Where a statement stands: the loops around it, and what they number.

    indices   value -> the numbers that it may be, the same in all lanes; None: any
    assigned  value -> whether it is loaded, for all that are assigned, visible or not
    """

    def __init__(
        self,
        kernel: Kernel,
        loops: frozenset[int],
        indices: Mapping[int, range | None],
        assigned: dict[int, bool],
        *,
        masked: bool,
    ) -> None:
        self.kernel, self.loops, self.indices = kernel, loops, indices
        self.assigned, self.masked = assigned, masked

    @staticmethod
    def of(kernel: Kernel, constants: Sequence[Const]) -> _Scope:
        whole = [s for s in constants if s.dtype == _INDEX]
        numbers = {s.result: range(int(s.value), int(s.value) + 1) for s in whole}
        return _Scope(kernel, frozenset({0}), numbers, {}, masked=False)

    def once(self, known: dict[int, np.dtype]) -> None:
        """Check what all lanes share."""
        for s in self.kernel.once:
            assert not isinstance(s, Load) or not self.kernel.buffers[s.buffer].axes, s
            self.walk([s], known)

    def walk(self, body: Sequence[Statement], known: dict[int, np.dtype]) -> None:
        """Check statements that see known values, and add theirs."""
        for s in body:
            match s:
                case Op():  # the most: by rules of all, a little sooner
                    assert known.keys() >= {*s.operands}, s
                    self._assign(s.result, s.dtype, known)
                case Const():
                    pass  # known everywhere
                case For():
                    assert 0 < s.axis < self.kernel.axes, s
                    assert s.axis not in self.loops and not self.masked, s
                    self._for(s).walk(s.body, dict(known))
                case Repeat():
                    self._repeat(s, known)
                case If():
                    self._branch(s, known)
                case _:
                    self._one(s, known)

    def _one(self, s: Statement, known: dict[int, np.dtype]) -> None:
        """Check a statement that holds no others: rules of all, and its own."""
        assert known.keys() >= {*s.used}, s
        for memory in s.reads:
            own = self._owner(memory, s)
            assert not isinstance(own, Buffer) or set(own.axes) <= self.loops, s
        for memory in s.writes:
            self._written(self._owner(memory, s), s)
        match s:
            case Store():
                assert 0 <= s.element < self.kernel.buffers[s.buffer].elements, s
            case StoreAll():
                sizes = self.kernel.buffers[s.buffer], self.kernel.locals[s.local]
                assert sizes[0].elements <= sizes[1].elements, s
                assert sizes[0].dtype == sizes[1].dtype, s
            case Load() | Read() | Write():
                self._access(s, known)
            case Gather():
                self._places(s, [s.element], known)
            case Scatter():
                self._places(s, [e for e, _ in s.terms], known)
            case _:
                pass
        for v, dtype in s.made:
            if s.repeatable:
                assert self.assigned.setdefault(v, True), f"v{v} is no load's"
                known[v] = dtype
            else:
                self._assign(v, dtype, known)

    def _owner(self, memory: int, s: Statement) -> Buffer | Local:
        found = self.kernel.locals if memory < 0 else self.kernel.buffers
        place = ~memory if memory < 0 else memory
        assert 0 <= place < len(found), s
        return found[place]

    def _written(self, own: Buffer | Local, s: Statement) -> None:
        if isinstance(own, Local) or isinstance(s, Scatter):
            return
        assert own.output, s
        covered = {0} if own.layout == "sum" else set(own.axes)
        assert covered == self.loops, "a store must cover its axes"
        assert not self.masked, "a store must not depend on lanes"

    def _assign(self, v: int, dtype: np.dtype, known: dict[int, np.dtype]) -> None:
        assert v not in known and v not in self.assigned, f"v{v} is assigned twice"
        self.assigned[v] = False
        known[v] = dtype

    def _access(self, s: Access, known: Mapping[int, np.dtype]) -> None:
        (memory,) = (*s.reads, *s.writes)
        own = self._owner(memory, s)
        assert all(0 <= e < own.elements for e in self._elements(s)), s
        dtype = known[s.value] if isinstance(s, Write) else s.dtype
        assert dtype == own.dtype, s

    def _places(
        self,
        s: Gather | Scatter,
        elements: Sequence[int],
        known: Mapping[int, np.dtype],
    ) -> None:
        assert (s.buffer is None) != (s.local is None) and known[s.index] == _INDEX, s
        own = self._owner(owner(s), s)
        if isinstance(own, Buffer):
            assert set(own.axes) <= self.loops, s
            scatter = own.layout == "scatter"
            assert scatter == own.output == isinstance(s, Scatter), s
        far = s.stride * (s.count - 1)
        assert s.stride > 0 and s.count > 0, s
        assert all(e >= 0 and e + far < own.elements for e in elements), s

    def _elements(self, s: Access) -> Iterator[int]:
        """The first and last element that a statement may touch, where known."""
        if s.index is None:
            assert s.stride == 0, s
            yield s.element
            return
        assert s.index in self.indices, "an index must be the same in all lanes"
        numbers = self.indices[s.index]
        if numbers:
            yield s.element + s.stride * numbers[0]
            yield s.element + s.stride * numbers[-1]

    def _for(self, s: For) -> _Scope:
        loops = self.loops | {s.axis}
        return _Scope(self.kernel, loops, self.indices, self.assigned, masked=False)

    def _inside(self, indices: Mapping[int, range | None]) -> _Scope:
        both = {**self.indices, **indices}
        return _Scope(self.kernel, self.loops, both, self.assigned, masked=True)

    def _repeat(self, s: Repeat, known: dict[int, np.dtype]) -> None:
        assert s.bound is None or s.bound >= 0, s
        limits = (s.bound, s.count) if s.backwards else (s.bound, s.count, s.alive)
        assert any(x is not None for x in limits), "a loop must end"
        assert not s.backwards or s.alive is None, "what ends early has no last number"
        assert s.alive is not None or not s.head, "a head computes alive"
        assert s.count is None or known[s.count] == _INDEX, s
        assert all(known[c.start] == c.dtype for c in s.carried), s
        inner = dict(known)
        self._assign(s.index, _INDEX, inner)
        for c in s.carried:
            self._assign(c.inner, c.dtype, inner)
        numbers = None if s.bound is None else range(s.bound)
        scope = self._inside({s.index: numbers})
        scope.walk(s.head, inner)
        assert s.alive is None or inner[s.alive] == _BOOL, s
        scope.walk(s.body, inner)
        assert all(inner[c.next] == c.dtype for c in s.carried), s
        for c in s.carried:
            self._assign(c.outer, c.dtype, known)
        if s.steps is not None:
            self._assign(s.steps, _INDEX, known)

    def _branch(self, s: If, known: dict[int, np.dtype]) -> None:
        assert known[s.mask] == _BOOL, s
        assert not s.later or not self.masked, "only what stands in no loop can wait"
        assert all(known[m.otherwise] == m.dtype for m in s.merged), s
        inner = dict(known)
        self._inside({}).walk(s.body, inner)
        assert all(inner[m.inner] == m.dtype for m in s.merged), s
        for m in s.merged:
            self._assign(m.outer, m.dtype, known)
