"""Functions of samples: differences, slopes, areas, convolutions, polynomials.

`convolve` is a composite; the others are declared through slices and sums.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from jitad.errors import UnsupportedError
from jitad.ir.bind import cast
from jitad.ir.dispatch import operand
from jitad.ir.graph import MOST_OPERATIONS, Type
from jitad.ir.source import source_line
from jitad.ir.tracer import Tracer, renewed, traced
from jitad.primitives.define import bind_composite, composite, derived

from .einsum import both, check, sum_products
from .reduction import as_traced, floating, given


def _at(axis: int, key: Any) -> tuple[Any, ...]:
    """The index that applies key along axis (a non-negative one)."""
    return (*(slice(None),) * axis, key)


# -- differences ---------------------------------------------------------------


@derived(np.diff)
def diff(
    a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None
) -> Any:
    """The n-th difference along an axis."""
    if n == 0:
        return a
    if n < 0:
        raise ValueError(f"np.diff of order {n}: expected 0, 1, 2, …")
    x = as_traced(a, prepend, append)
    axis = normalize_axis_index(axis, x.ndim)
    before = [_edge(prepend, x, axis)] if given(prepend) else []
    after = [_edge(append, x, axis)] if given(append) else []
    if before or after:
        x = np.concatenate([*before, x, *after], axis)
    late, early = _at(axis, slice(1, None)), _at(axis, slice(None, -1))
    for _ in range(n):
        x = _difference(x[late], x[early])
    return x


def _difference(late: Any, early: Any) -> Any:
    return late != early if late.dtype == bool else late - early


def _edge(value: Any, x: Tracer, axis: int) -> Any:
    if np.ndim(value) == 0:
        shape = list(x.shape)
        shape[axis] = 1
        return np.broadcast_to(value, shape)
    return value


@derived(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """The differences of consecutive elements, with values put before and after."""
    x = np.ravel(as_traced(ary, to_end, to_begin))
    parts = [x[1:] - x[:-1]]
    if to_begin is not None:
        parts.insert(0, np.ravel(operand(to_begin)))
    if to_end is not None:
        parts.append(np.ravel(operand(to_end)))
    for part in parts:
        if not np.can_cast(part.dtype, x.dtype, "same_kind"):
            raise TypeError(
                f"np.ediff1d cannot put {part.dtype} beside differences of {x!r} "
                f"({source_line()}); convert with astype"
            )
    parts = [p.astype(x.dtype) for p in parts]
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


@derived(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The area below samples, by the trapezoidal rule."""
    samples = as_traced(y, x, dx)
    place = normalize_axis_index(axis, samples.ndim)
    if x is None:
        width = operand(dx)
    elif np.ndim(x) == 1:
        steps = np.diff(x)
        shape = [1] * samples.ndim
        shape[place] = steps.shape[0]
        width = np.reshape(steps, shape)
    else:
        # Its axes may be others than those of the samples.
        width = np.diff(x, axis=axis)
    late, early = _at(place, slice(1, None)), _at(place, slice(None, -1))
    return np.sum(width * (samples[late] + samples[early]) / 2.0, axis)


@derived(np.gradient)
def gradient(f: Any, *spacing: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Slopes by central differences, one-sided at the ends."""
    x = floating(as_traced(f, *spacing))
    every = range(x.ndim) if axis is None else axis
    axes = normalize_axis_tuple(every, x.ndim)
    steps = [operand(s) for s in spacing] or [1.0]
    steps = steps * len(axes) if len(steps) == 1 and not np.ndim(steps[0]) else steps
    if len(steps) != len(axes):
        raise TypeError(
            f"np.gradient along {len(axes)} axes takes as many spacings, or one; "
            f"got {len(spacing)}"
        )
    if edge_order not in (1, 2):
        raise ValueError("np.gradient: edge_order is 1 or 2")
    found = [
        _slope(x, step, k, edge_order) for step, k in zip(steps, axes, strict=True)
    ]
    return found[0] if len(found) == 1 else tuple(found)


def _slope(x: Tracer, step: Any, axis: int, order: int) -> Any:
    """The slope along one axis, for a spacing or coordinates."""
    n = x.shape[axis]
    if n <= order:
        raise ValueError(
            f"np.gradient of {x!r} along axis {axis}: needs {order + 1} samples"
        )

    def sample(start: int, stop: int | None) -> Any:
        return x[_at(axis, slice(start, stop))]

    if np.ndim(step) > 1:
        raise ValueError(
            f"np.gradient: a spacing of {np.ndim(step)} axes ({source_line()}); "
            "expected a number, or coordinates along one axis"
        )
    if np.ndim(step) == 1:
        if np.shape(step)[0] != n:
            raise ValueError(f"np.gradient: {np.shape(step)[0]} coordinates for {n}")
        widths = np.diff(step)
        shape = [1] * x.ndim
        shape[axis] = n - 1
        h = np.reshape(widths, shape)
        before, after = (h[_at(axis, slice(*s))] for s in ((None, -1), (1, None)))
        inner = (
            -after / (before * (before + after)) * sample(0, n - 2)
            + (after - before) / (before * after) * sample(1, n - 1)
            + before / (after * (before + after)) * sample(2, n)
        )
        places = (0, n - 2, 1, n - 3) if n > 2 else (0, 0, 0, 0)
        first, second, *near = (h[_at(axis, slice(k, k + 1))] for k in places)
    else:
        inner = (sample(2, n) - sample(0, n - 2)) / (2.0 * step)
        first = second = step
        near = [step, step]
    if order == 1:
        head = (sample(1, 2) - sample(0, 1)) / first
        tail = (sample(n - 1, n) - sample(n - 2, n - 1)) / second
    else:
        head = _one_sided([sample(k, k + 1) for k in range(3)], first, near[0])
        ends = [sample(n - 1 - k, n - k) for k in range(3)]
        tail = -_one_sided(ends, second, near[1])
    joined: Any = np.concatenate([head, inner, tail], axis)
    slopes = cast(joined, x.dtype)
    return renewed(slopes, x.unfilled())


def _one_sided(values: Sequence[Any], near: Any, far: Any) -> Any:
    """The slope at the first of three samples, near and far apart from each other."""
    whole = near + far
    return (
        -(2.0 * near + far) / (near * whole) * values[0]
        + whole / (near * far) * values[1]
        - near / (far * whole) * values[2]
    )


# -- convolution ---------------------------------------------------------------


def _convolve_expand(a: np.ndarray, v: np.ndarray, *, mode: str) -> np.ndarray:
    n, m = len(a), len(v)
    full = np.empty(n + m - 1, object)
    for k in range(len(full)):
        pairs = range(max(0, k - m + 1), min(n, k + 1))
        full[k] = sum_products([a[i] * v[k - i] for i in pairs])
    start, count = _kept(n, m, mode)
    return full[start : start + count]


def _kept(n: int, m: int, mode: str) -> tuple[int, int]:
    """The first and the number of the full convolution's elements that a mode keeps."""
    long, short = max(n, m), min(n, m)
    if mode == "full":
        return 0, n + m - 1
    if mode == "same":
        return (short - 1) // 2, long
    return short - 1, long - short + 1


def _limit(line: str, x: Type, y: Type, **_: Any) -> None:
    """Raise where a convolution takes too many products for one point."""
    name = f"np.convolve of {x} and {y} ({line})"
    check(x.size * y.size, name, most=MOST_OPERATIONS // 2)


_convolve = composite("convolve", np.convolve, _convolve_expand, limit=_limit)


@derived(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """The convolution of two sequences."""
    pair: list[Any] = [np.reshape(s, 1) if s.ndim == 0 else s for s in both(a, v)]
    x, y = pair
    if x.ndim > 1 or y.ndim > 1 or not x.size or not y.size:
        raise ValueError(f"np.convolve of {x!r} and {y!r}: expected two sequences")
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"np.convolve: mode {mode!r} is not 'full', 'same' or 'valid'")
    dtype = np.result_type(x.dtype, y.dtype)
    return bind_composite(_convolve, [cast(x, dtype), cast(y, dtype)], {"mode": mode})


@derived(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """The correlation of two sequences."""
    x, y = both(a, v)
    if x.ndim != 1 or y.ndim != 1:
        raise ValueError(
            f"np.correlate of {x!r} and {y!r} ({source_line()}); expected two "
            "sequences, of one axis each"
        )
    if mode == "same" and y.size > x.size and x.size % 2 == 0:
        # NumPy exchanges the two and reverses, which moves the middle by one.
        return convolve(x[::-1], y, mode)[::-1]
    return convolve(x, y[::-1], mode)


# -- polynomials ---------------------------------------------------------------


@derived(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """A polynomial by Horner's rule, p[0] being the coefficient of the highest power.

    It starts from 0 · x, as NumPy's does, which is NaN at x = ±inf.
    """
    coefficients, at = both(p, x)
    if not coefficients.ndim:
        raise TypeError(
            f"np.polyval of {coefficients!r} ({source_line()}); expected coefficients "
            "along an axis"
        )
    count = coefficients.shape[0]
    if count == 0:
        return np.zeros(at.shape, at.dtype)
    dtype = np.result_type(coefficients.dtype, at.dtype)
    shape = np.broadcast_shapes(coefficients.shape[1:], at.shape)
    y: Any = np.broadcast_to(np.zeros((), dtype), shape)
    for k in range(count):
        y = y * at + coefficients[k]
    return y


def _coefficients(name: str, p: Any) -> Any:
    """Coefficients along one axis."""
    if p.ndim != 1:
        raise UnsupportedError(
            f"np.{name} of {p!r} cannot be traced ({source_line()}); expected "
            "coefficients along one axis"
        )
    return p


def _times(name: str, m: Any) -> int:
    """How often a polynomial is differentiated or integrated."""
    if int(m) < 0:
        raise ValueError(f"np.{name}: order {m} ({source_line()}); expected 0, 1, 2, …")
    return int(m)


@derived(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    """The coefficients of the m-th derivative of a polynomial."""
    x = _coefficients("polyder", as_traced(p))
    for _ in range(_times("polyder", m)):
        x = x[:-1] * np.arange(x.shape[0] - 1, 0, -1)
    return x


@derived(np.polymul)
def polymul(a1: Any, a2: Any) -> Any:
    """The coefficients of the product of two polynomials."""
    pair = []
    for a in (a1, a2):
        # NumPy drops leading zeros, and finds one coefficient where there is none.
        found: Any = np.atleast_1d(a) if traced(a) else np.poly1d(a).coeffs
        if found.ndim > 1:
            raise ValueError(
                f"np.polymul of {a!r} ({source_line()}); expected coefficients along "
                "one axis"
            )
        pair.append(found if found.size else np.zeros(1, found.dtype))
    return np.convolve(*pair)


@derived(np.polyadd)
def polyadd(a1: Any, a2: Any) -> Any:
    """The coefficients of the sum of two polynomials."""
    x, y = _same_degree(a1, a2)
    return x + y


@derived(np.polysub)
def polysub(a1: Any, a2: Any) -> Any:
    """The coefficients of the difference of two polynomials."""
    x, y = _same_degree(a1, a2)
    return x - y


def _same_degree(*polynomials: Any) -> list[Any]:
    tracers = [_coefficients("polyadd", np.atleast_1d(p)) for p in both(*polynomials)]
    count = max(p.shape[0] for p in tracers)
    return [np.pad(p, (count - p.shape[0], 0)) for p in tracers]


@derived(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """The coefficients of the m-th integral of a polynomial, k its constants."""
    x, m = _coefficients("polyint", as_traced(p, k)), _times("polyint", m)
    constants: Any = np.zeros(m) if k is None else np.atleast_1d(operand(k))
    if m > 1 and constants.shape[0] == 1:
        constants = constants[0] * np.ones(m)
    if constants.ndim != 1 or constants.shape[0] < m:
        raise ValueError(
            f"np.polyint: {constants.shape} constants for {m} integrals "
            f"({source_line()}); expected one, or as many"
        )
    x = floating(x) if m else x
    for i in range(m):
        scaled = x / np.arange(x.shape[0], 0, -1)
        x = np.concatenate([scaled, constants[i : i + 1]])
    return x


@derived(np.vander)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The matrix of the powers of x."""
    base = as_traced(x)
    if base.ndim != 1:
        raise ValueError(
            f"np.vander of {base!r} ({source_line()}); expected a sequence, of one axis"
        )
    base = cast(base, np.promote_types(base.dtype, int))
    count = base.shape[0] if N is None else operator.index(N)
    if count < 0:
        raise ValueError(f"np.vander: {count} columns ({source_line()}); expected ≥ 0")
    if count == 0:
        return base[:, None][:, :0]
    powers = [np.ones(base.shape, base.dtype)]
    for _ in range(count - 1):
        powers.append(powers[-1] * base)
    return np.stack(powers if increasing else powers[::-1], axis=-1)
