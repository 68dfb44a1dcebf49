"""Whether a Kernel keeps its own rules: `validate`, between passes and in tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from .kernel import (
    Access,
    Buffer,
    Clear,
    Const,
    For,
    Gather,
    If,
    Kernel,
    Load,
    Local,
    Op,
    Read,
    Repeat,
    Spread,
    Statement,
    Store,
    StoreAll,
    Write,
    statements,
)

_BOOL, _INDEX = np.dtype(bool), np.dtype(np.int64)


def validate(kernel: Kernel) -> None:
    """Assert that values are assigned once, before use, and loops are well nested."""
    assert all(b.elements > 0 for b in kernel.buffers), "an empty buffer is no buffer"
    assert all(k.elements > 0 for k in kernel.locals), "an empty local is no local"
    every = [s for s in statements(kernel.body) if isinstance(s, Const)]
    constants = [*(s for s in kernel.once if isinstance(s, Const)), *every]
    known = {s.target: s.dtype for s in constants}
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
        numbers = {s.target: range(int(s.value), int(s.value) + 1) for s in whole}
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
                case Op():
                    assert known.keys() >= {*s.operands}, s
                    self._assign(s.target, s.dtype, known)
                case For():
                    assert 0 < s.axis < self.kernel.axes, s
                    assert s.axis not in self.loops and not self.masked, s
                    self._for(s).walk(s.body, dict(known))
                case Store():
                    assert s.value in known, s
                    self._store(s)
                case StoreAll():
                    self._store(s)
                    sizes = self.kernel.buffers[s.buffer], self.kernel.locals[s.local]
                    assert sizes[0].elements <= sizes[1].elements, s
                    assert sizes[0].dtype == sizes[1].dtype, s
                case Load() | Read() | Write():
                    self._access(s, known)
                case Gather():
                    self._places(s, [s.element], known)
                    self._assign(s.target, s.dtype, known)
                case Spread():
                    self._places(s, [e for e, _ in s.terms], known)
                    assert all(value in known for _, value in s.terms), s
                case Clear():
                    assert 0 <= s.local < len(self.kernel.locals), s
                case Repeat():
                    self._repeat(s, known)
                case If():
                    self._branch(s, known)

    def _assign(self, v: int, dtype: np.dtype, known: dict[int, np.dtype]) -> None:
        assert v not in known and v not in self.assigned, f"v{v} is assigned twice"
        self.assigned[v] = False
        known[v] = dtype

    def _store(self, s: Store | StoreAll) -> None:
        buffer = self.kernel.buffers[s.buffer]
        assert buffer.output, s
        assert isinstance(s, StoreAll) or 0 <= s.element < buffer.elements, s
        covered = {0} if buffer.layout == "sum" else set(buffer.axes)
        assert covered == self.loops, "a store must cover its axes"
        assert not self.masked, "a store must not depend on lanes"

    def _access(self, s: Access, known: dict[int, np.dtype]) -> None:
        if isinstance(s, Load):
            owner = self.kernel.buffers[s.buffer]
            assert set(owner.axes) <= self.loops, s
        else:
            owner = self.kernel.locals[s.local]
        assert all(0 <= e < owner.elements for e in self._elements(s)), s
        if isinstance(s, Write):
            assert known[s.value] == owner.dtype, s
            return
        assert isinstance(s, Load) or s.dtype == owner.dtype, s
        assert self.assigned.setdefault(s.target, True), f"v{s.target} is no load's"
        known[s.target] = s.dtype

    def _places(
        self,
        s: Gather | Spread,
        elements: Sequence[int],
        known: Mapping[int, np.dtype],
    ) -> None:
        assert (s.buffer is None) != (s.local is None) and known[s.index] == _INDEX, s
        if s.local is not None:
            owner: Buffer | Local = self.kernel.locals[s.local]
        else:
            assert s.buffer is not None
            owner = self.kernel.buffers[s.buffer]
            assert set(owner.axes) <= self.loops, s
            spread = owner.layout == "spread"
            assert spread == owner.output == isinstance(s, Spread), s
        far = s.stride * (s.count - 1)
        assert s.stride > 0 and s.count > 0, s
        assert all(e >= 0 and e + far < owner.elements for e in elements), s

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
