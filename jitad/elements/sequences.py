"""Running products, convolutions, quantiles and softmax of large arrays.

A running product is a linear recurrence, and so is each of its derivatives: exact where
a factor is zero, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitad.ir.graph import Type
from jitad.ir.primitive import registry
from jitad.primitives.scalar.barrier import undefined_where

from .library import (
    Added,
    Computed,
    Ground,
    Known,
    Library,
    Reduced,
    UnfitError,
    summed,
    times,
)
from .places import ordered
from .windows import Shape, Window, c_steps, spread, whole

# -- linear recurrences --------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Recurrence(Library):
    """Numbers s of s[k] = a[k] s[k - 1] + b[k] along the last axis, from zero.

    backwards  s[k] = a[k] s[k + 1] + b[k]
    """

    backwards: bool = False

    def compute(self, *arrays: np.ndarray) -> Any:
        """Step by step, all rows at once."""
        a, b = (x[..., ::-1] if self.backwards else x for x in arrays)
        made = np.empty(b.shape, b.dtype)
        if b.ndim == 1:
            state, rows = 0.0, []
            for factor, term in zip(a.tolist(), b.tolist(), strict=True):
                state = factor * state + term
                rows.append(state)
            made[...] = rows
        else:
            carried = np.zeros(b.shape[:-1], b.dtype)
            for k in range(b.shape[-1]):
                carried = made[..., k] = a[..., k] * carried + b[..., k]
        return made[..., ::-1] if self.backwards else made

    def _before(self, ground: Ground, s: int, *, backwards: bool) -> int:
        """What comes before each number, zero before the first."""
        shape = ground.shape(s)
        return ground.shifted(s, len(shape) - 1, -1 if backwards else 1)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """The recurrence the other way."""
        a, b = self.operands
        factors = self._before(ground, a, backwards=not self.backwards)
        made = Recurrence(self.type, (factors, bar), not self.backwards)
        found = ground.added(made, gaps=False)
        yield b, found
        before = self._before(ground, y, backwards=self.backwards)
        yield a, ground.plain(times, [found, before])

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The same factors, with other terms."""
        a, b = self.operands
        terms = [dots[b]] if b in dots else []
        if a in dots:
            before = self._before(ground, y, backwards=self.backwards)
            terms.append(ground.plain(times, [dots[a], before]))
        term = summed(ground, terms)
        made = Recurrence(self.type, (a, term), self.backwards)
        return ground.added(made, gaps=False)


def _moved(flow: Any, x: int, axis: int) -> int:
    """An axis in the last place, and it is its own inverse for such."""
    shape, steps = flow.types[x].shape, c_steps(flow.types[x].shape)
    order = [k for k in range(len(shape)) if k != axis] + [axis]
    window = Window(tuple(shape[k] for k in order), 0, tuple(steps[k] for k in order))
    return flow.seen(x, window)


def _back_in_place(flow: Any, x: int, axis: int) -> int:
    shape, steps = list(flow.types[x].shape), list(c_steps(flow.types[x].shape))
    shape.insert(axis, shape.pop())
    steps.insert(axis, steps.pop())
    return flow.seen(x, Window(tuple(shape), 0, tuple(steps)))


def _running(flow: Any, x: int) -> int:
    """Running products along the last axis."""
    type = flow.types[x]
    first = np.zeros(type.shape, type.dtype)
    first[..., 0] = 1
    start = flow.mapped(lambda x, first: np.where(first != 0, x, 0.0),
                        [x, flow.constant(first)])  # fmt: skip
    return flow.add(Recurrence(type, (x, start)))[0]


def _cumprod(flow: Any, type: Type, given: Sequence[int], params: Any) -> int:
    if not type.size or type.dtype.kind != "f":
        raise UnfitError("cumprod")
    axis = params["axis"]
    return _back_in_place(flow, _running(flow, _moved(flow, given[0], axis)), axis)


def _prod(flow: Any, type: Type, given: Sequence[int], params: Any) -> int:
    (x,), axes = given, tuple(params["axis"])
    shape = flow.types[x].shape
    if not math.prod(shape) or not axes or type.dtype.kind != "f":
        raise UnfitError("prod")
    if len(axes) == len(shape):
        row = Window((math.prod(shape),), 0, (1,))
        made = _running(flow, flow.seen(x, row))
    elif len(axes) == 1:
        made = _running(flow, _moved(flow, x, axes[0]))
    else:
        raise UnfitError("prod")
    (*lead, n), steps = flow.types[made].shape, c_steps(flow.types[made].shape)
    return flow.seen(made, Window(tuple(lead), n - 1, steps[:-1]))


# -- convolutions --------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Convolved(Library):
    """The full convolution of two sequences."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """By NumPy, term by term."""
        return np.convolve(arrays[0], arrays[1])

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """The correlations of ȳ with the other."""
        for x, other in (self.operands, self.operands[::-1]):
            yield x, _correlated(ground, bar, other)

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The product rule."""
        a, b = self.operands
        pairs = [(dots[a], b)] if a in dots else []
        pairs += [(a, dots[b])] if b in dots else []
        terms = [ground.added(Convolved(self.type, p), gaps=False) for p in pairs]
        return summed(ground, terms)


def _correlated(ground: Ground, z: int, y: int) -> int:
    (n,), (m,) = ground.shape(z), ground.shape(y)
    type = Type(ground.dtype(z), (n - m + 1,))
    return ground.added(Correlated(type, (z, y)), gaps=False)


@dataclass(frozen=True, slots=True, eq=False)
class Correlated(Library):
    """The correlation of a sequence with a shorter one, where that fits in."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """By NumPy, term by term."""
        return np.correlate(arrays[0], arrays[1], "valid")

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """A convolution, and another correlation."""
        z, short = self.operands
        type = Type(self.type.dtype, ground.shape(z))
        yield z, ground.added(Convolved(type, (bar, short)), gaps=False)
        yield short, _correlated(ground, z, bar)

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The product rule."""
        z, short = self.operands
        terms = [_correlated(ground, dots[z], short)] if z in dots else []
        terms += [_correlated(ground, z, dots[short])] if short in dots else []
        return summed(ground, terms)


def _convolved(
    flow: Any, type: Type, given: Sequence[int], params: Mapping[str, Any]
) -> int:
    if type.dtype.kind != "f":
        raise UnfitError("convolve")
    (n,), (m,) = (flow.types[x].shape for x in given)
    full = Type(type.dtype, (n + m - 1,))
    made = flow.add(Convolved(full, tuple(given)))[0]
    longest = max(n, m)
    start = {
        "full": 0,
        "same": (n + m - 1 - longest) // 2,
        "valid": min(n, m) - 1,
    }[params["mode"]]
    return flow.seen(made, Window(type.shape, start, (1,)))


# -- softmax -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Softmax(Reduced):
    """exp(x) / Σ exp(x); infinite ones share all, and so do all where all are -inf."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """By NumPy, from the largest."""
        (x,) = arrays
        top = np.max(x, axis=self.axes, keepdims=True)
        e = np.where(
            np.isinf(top), x == top, np.exp(x - np.where(np.isinf(top), 0, top))
        )
        return e / np.sum(e, axis=self.axes, keepdims=True)

    def _change(self, ground: Ground, y: int, slope: int) -> int:
        """Y (ẋ - Σ y ẋ): it is its own adjoint."""
        shape = ground.shape(y)
        left = tuple(n for k, n in enumerate(shape) if k not in self.axes)
        own = ground.plain(_share, [y, slope])
        mean = ground.total(own, Type(self.type.dtype, left), self.axes)
        mean = ground.seen(mean, spread(shape, self.axes))
        return ground.plain(lambda own, y, mean: own - y * mean, [own, y, mean])

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """Shares of the deviations from the mean."""
        yield self.operands[0], self._change(ground, y, bar)

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The same of ẋ."""
        return self._change(ground, y, dots[self.operands[0]])


def _share(y: Any, slope: Any) -> Any:
    return np.where(y == 0, 0.0, y * slope)


@dataclass(frozen=True, slots=True, eq=False)
class LogSumExp(Reduced):
    """The logarithms of sums of exponentials."""

    evaluate: Callable[..., Any]

    def compute(self, *arrays: np.ndarray) -> Any:
        """By SciPy."""
        return self.evaluate(arrays[0])

    def _shares(self, ground: Ground) -> int:
        (x,) = self.operands
        type = Type(self.type.dtype, ground.shape(x))
        return ground.added(Softmax(type, (x,), self.axes), gaps=False)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """Softmax, times ȳ."""
        shares, shape = self._shares(ground), ground.shape(self.operands[0])
        rows = Type(self.type.dtype, self._rows(shape))
        bar = ground.seen(bar, whole(rows.shape))
        every = ground.seen(bar, spread(shape, self.axes))
        yield self.operands[0], ground.plain(_share, [shares, every])

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The mean of ẋ by softmax."""
        own = ground.plain(_share, [self._shares(ground), dots[self.operands[0]]])
        shape = ground.shape(self.operands[0])
        rows = Type(self.type.dtype, self._rows(shape))
        found = ground.total(own, rows, self.axes)
        return ground.seen(found, whole(self.type.shape))

    def _rows(self, shape: Shape) -> Shape:
        return tuple(n for k, n in enumerate(shape) if k not in self.axes)


def _axes(params: Mapping[str, Any], rank: int) -> tuple[int, ...]:
    axis = params.get("axis")
    axes = range(rank) if axis is None else np.atleast_1d(axis).tolist()
    return tuple(sorted({int(a) % rank for a in axes}))


def _logsumexp(
    flow: Any, type: Type, given: Sequence[int], params: Mapping[str, Any]
) -> int:
    shape = flow.types[given[0]].shape
    if not math.prod(shape) or not shape:
        raise UnfitError("logsumexp")
    primitive = registry.primitives["logsumexp"]
    return flow.add(
        LogSumExp(
            type, tuple(given), _axes(params, len(shape)),
            lambda x: primitive.evaluate(x, **params),
        )
    )[0]  # fmt: skip


def _log_softmax(
    flow: Any, type: Type, given: Sequence[int], params: Mapping[str, Any]
) -> int:
    if not type.size or not type.shape:
        raise UnfitError("log_softmax")
    axes = _axes(params, len(type.shape))
    left = tuple(n for k, n in enumerate(type.shape) if k not in axes)
    primitive = registry.primitives["logsumexp"]
    total = LogSumExp(
        Type(type.dtype, left), tuple(given), axes,
        lambda x: primitive.evaluate(x, axis=axes, keepdims=False),
    )  # fmt: skip
    every = flow.seen(flow.add(total)[0], spread(type.shape, axes))
    return flow.mapped(lambda x, y: x - y, [given[0], every])


def _softmax(
    flow: Any, type: Type, given: Sequence[int], params: Mapping[str, Any]
) -> int:
    if not type.size or not type.shape:
        raise UnfitError("softmax")
    return flow.add(Softmax(type, tuple(given), _axes(params, len(type.shape))))[0]


# -- quantiles, and what has no derivative -------------------------------------


def _quantile(
    flow: Any, type: Type, given: Sequence[int], params: Mapping[str, Any]
) -> int:
    """Along the first axis, the value at a position between two ranks."""
    x, position = ordered(flow, given[0], 0), params["position"]
    n, *rest = flow.types[x].shape
    steps = c_steps(flow.types[x].shape)
    low = math.floor(position)
    weight = position - low

    def row(k: int) -> int:
        return flow.seen(x, Window(tuple(rest), k * steps[0], steps[1:]))

    def between(low: Any, high: Any, last: Any) -> Any:
        rise = high - low
        found = low + rise * weight if weight < 0.5 else high - rise * (1 - weight)
        return undefined_where(np.isnan(last), np.nan, found)

    def alone(low: Any, last: Any) -> Any:
        return undefined_where(np.isnan(last), np.nan, low)

    if not weight:
        return flow.mapped(alone, [row(low), row(n - 1)])
    return flow.mapped(between, [row(low), row(low + 1), row(n - 1)])


def _numbers(name: str) -> Known:
    def known(
        flow: Any, type: Type, given: Sequence[int], params: Mapping[str, Any]
    ) -> int:
        primitive = registry.primitives[name]
        return flow.add(Computed(type, tuple(given), primitive, dict(params)))[0]

    return known


SEQUENCES: dict[str, Known] = {
    "cumprod": _cumprod,
    "prod": _prod,
    "convolve": _convolved,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "logsumexp": _logsumexp,
    "quantile": _quantile,
} | {name: _numbers(name) for name in ("argsort", "argmax", "argmin", "any", "all")}
