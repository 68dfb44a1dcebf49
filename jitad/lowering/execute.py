"""Run a Kernel slowly in plain Python, one lane after the other: what it means."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .kernel import Kernel, Local
from .statement import Statement, statements
from .statements import (
    Access,
    Clear,
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
)

_Values = dict[int, object]


def execute(
    kernel: Kernel,
    extents: Sequence[int],
    arrays: Sequence[np.ndarray],
    words: Callable[[str], Callable[..., object]],
) -> None:
    """Run a kernel slowly in plain Python; arrays have shape (*extents, elements).

    Axes along which a buffer does not vary have length 1.  `words` gives the NumPy
    meaning of a word.
    """
    shared: _Values = {
        s.result: s.dtype.type(s.value)
        for s in statements((*kernel.once, *kernel.body))
        if isinstance(s, Const)
    }
    _Lane(kernel, extents, arrays, words).walk(kernel.once, shared, {})
    for lane in range(extents[0]):
        own = _Lane(kernel, extents, arrays, words)
        own.walk(kernel.body, dict(shared), {0: lane})


@dataclass(frozen=True)
class _Lane:
    """One lane: what it can reach, and its own storage."""

    kernel: Kernel
    extents: Sequence[int]
    arrays: Sequence[np.ndarray]
    words: Callable[[str], Callable[..., object]]
    storage: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.storage.extend(map(_unwritten, self.kernel.locals))

    def walk(
        self, body: Sequence[Statement], env: _Values, index: Mapping[int, int]
    ) -> None:
        """Run statements on the values in env, at these indices of the axes."""
        for s in body:
            match s:
                case Op():
                    value = self.words(s.word)(*(env[a] for a in s.operands))
                    env[s.result] = np.asarray(value).astype(s.dtype)[()]
                case Load():
                    place = (*self._at(s.buffer, index), _element(s, env))
                    env[s.result] = self.arrays[s.buffer][place]
                case Read():
                    env[s.result] = self.storage[s.local][_element(s, env)]
                case Write():
                    self.storage[s.local][_element(s, env)] = env[s.value]
                case Gather():
                    array, at = self._array(s, index)
                    place = _named(s, s.element, env)
                    env[s.result] = array[(*at, place)].astype(s.dtype)[()]
                case Scatter():
                    array, at = self._array(s, index)
                    for element, value in s.terms:
                        array[(*at, _named(s, element, env))] += env[value]
                case StoreAll():
                    array = self.arrays[s.buffer]
                    at = self._at(s.buffer, index)
                    array[at] = self.storage[s.local][: array.shape[-1]]
                case Clear():
                    self.storage[s.local][:] = 0
                case Store():
                    place = (*self._at(s.buffer, index), s.element)
                    if self.kernel.buffers[s.buffer].layout == "sum":
                        self.arrays[s.buffer][place] += env[s.value]
                    else:
                        self.arrays[s.buffer][place] = env[s.value]
                case For():
                    for i in range(self.extents[s.axis]):
                        self.walk(s.body, dict(env), {**index, s.axis: i})
                case Repeat():
                    self._repeat(s, env, index)
                case If():
                    inner = dict(env)
                    if env[s.mask]:
                        self.walk(s.body, inner, index)
                    for m in s.merged:
                        env[m.outer] = inner[m.inner if env[s.mask] else m.otherwise]

    def _array(
        self, s: Gather | Scatter, index: Mapping[int, int]
    ) -> tuple[np.ndarray, tuple[int, ...]]:
        """What a statement reads or adds to, and where this lane's own elements are."""
        if s.local is not None:
            return self.storage[s.local], ()
        assert s.buffer is not None
        return self.arrays[s.buffer], self._at(s.buffer, index)

    def _at(self, buffer: int, index: Mapping[int, int]) -> tuple[int, ...]:
        axes = self.kernel.buffers[buffer].axes
        return tuple(index[a] if a in axes else 0 for a in range(self.kernel.axes))

    def _repeat(self, s: Repeat, env: _Values, index: Mapping[int, int]) -> None:
        carried = {c.inner: env[c.start] for c in s.carried}
        ran = 0
        for i in _iterations(s, env):
            inner = {**env, **carried, s.index: np.int64(i)}
            self.walk(s.head, inner, index)
            if s.alive is not None and not inner[s.alive]:
                break
            self.walk(s.body, inner, index)
            carried = {c.inner: inner[c.next] for c in s.carried}
            ran += 1
        for c in s.carried:
            env[c.outer] = carried[c.inner]
        if s.steps is not None:
            env[s.steps] = np.int64(ran)


def _unwritten(local: Local) -> np.ndarray:
    return np.full(
        local.elements, np.nan if local.dtype.kind == "f" else 0, local.dtype
    )


def _element(s: Access, env: _Values) -> int:
    if s.index is None:
        return s.element
    element = s.element + int(env[s.index]) * s.stride  # pyright: ignore
    assert element >= 0, "NumPy would count from the end"
    return element


def _named(s: Gather | Scatter, element: int, env: _Values) -> int:
    index = int(env[s.index])  # pyright: ignore
    inside = 0 <= index < s.count
    return element + s.stride * (index if inside else s.count - 1)


def _iterations(s: Repeat, env: _Values) -> Iterable[int]:
    """The numbers of the iterations that a lane runs while it is alive."""
    limits = [] if s.bound is None else [s.bound]
    if s.count is not None:
        limits.append(int(env[s.count]))  # pyright: ignore
    if not limits:
        return itertools.count()
    numbers = range(min(limits))
    return reversed(numbers) if s.backwards else numbers
