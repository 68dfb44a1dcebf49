"""New arrays: zeros, ones, full and their like; copies; arrays from nested lists.

Inside a trace they are traced, so that they can be filled with traced values; outside,
`jitad.zeros` and the others are NumPy's own.  `np.zeros(n, like=x)` is the same in
plain NumPy.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitad.ir.bind import cast
from jitad.ir.dispatch import operand
from jitad.ir.primitive import registry
from jitad.ir.source import source_line
from jitad.ir.trace import current
from jitad.ir.tracer import Trace, Tracer, as_tracer, innermost, renewed, traced
from jitad.primitives.define import derived

from .shape import as_array, refuse_traced

Shape = int | Sequence[int]


def _fresh(trace: Trace, array: np.ndarray) -> Tracer:
    """A traced array of its own, with array's value and memory order."""
    made = as_tracer(trace, array)
    made.adopt(array)
    return made


def _here(array: np.ndarray) -> Any:
    """The array, traced if a trace is running."""
    trace = current()
    return array if trace is None else _fresh(trace, array)


def zeros(shape: Shape, dtype: Any = float) -> Any:
    """An array of zeros that can be filled with traced values; otherwise np.zeros."""
    return _here(np.zeros(shape, dtype))


def ones(shape: Shape, dtype: Any = float) -> Any:
    """An array of ones that can be filled with traced values; otherwise np.ones."""
    return _here(np.ones(shape, dtype))


def empty(shape: Shape, dtype: Any = float) -> Any:
    """An array that can be filled with traced values; otherwise np.empty.

    Inside a trace it is NaN until it is filled, or 0 for integers.
    """
    if current() is None:
        return np.empty(shape, dtype)
    return _here(_unfilled(np.empty(shape, dtype)))


def full(shape: Shape, fill_value: Any, dtype: Any = None) -> Any:
    """An array of one value, which may be traced; otherwise np.full."""
    if not traced(fill_value):
        return _here(np.full(shape, fill_value, dtype))
    value = as_array(fill_value)
    return _spread(value, np.empty(shape, value.dtype if dtype is None else dtype))


def array(object: Any, dtype: Any = None) -> Any:
    """An array of numbers and traced values, in nested lists; otherwise np.array.

    np.array itself makes an array of objects of them, in which each is on its own.
    Raises ValueError where lists differ in length, as NumPy does.
    """
    if not traced(object):
        return _here(np.array(object, dtype))
    made = as_array(object)
    return _copy(made if dtype is None else cast(made, dtype))


def _unfilled(array: np.ndarray) -> np.ndarray:
    array[...] = np.nan if array.dtype.kind == "f" else 0
    return array


def _spread(value: Tracer, example: np.ndarray) -> Tracer:
    """A new array laid out like example, filled with value."""
    filled: Any = np.broadcast_to(cast(value, example.dtype), example.shape)  # pyright: ignore
    result = Tracer(filled.builder, filled.index, filled.type)
    result.adopt(example)
    return result


# -- like a traced array -------------------------------------------------------


def _like(
    function: Callable[..., np.ndarray], filler: Callable[[Any], Any]
) -> Callable[..., Any]:
    """Handlers for a tracer are NumPy's own call on the stand-in."""

    def handler(a: Any = None, *args: Any, **kwargs: Any) -> Any:
        a = kwargs.pop("prototype", a)
        kwargs.pop("subok", None)
        refuse_traced(function.__name__, *args, kwargs)
        example = function(as_array(a).stand_in(), *args, **kwargs)
        return _fresh(innermost([a]), filler(example))

    return handler


derived(np.zeros_like)(_like(np.zeros_like, lambda x: x))
derived(np.ones_like)(_like(np.ones_like, lambda x: x))
derived(np.empty_like)(_like(np.empty_like, _unfilled))


@derived(np.full_like)
def _full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: Any = "K",
    subok: bool = True,
    shape: Any = None,
) -> Any:
    refuse_traced("full_like", shape)
    plain = as_array(a).stand_in() if traced(a) else a
    example = np.empty_like(plain, dtype, order, shape=shape)
    if traced(fill_value):
        return _spread(as_array(fill_value), example)
    example[...] = fill_value
    return _fresh(innermost([a]), example)


# With like=x NumPy hands these over; what they make is no different otherwise.
for _function in (np.zeros, np.ones, np.arange, np.eye, np.identity, np.tri):

    def _plain(*args: Any, _function: Any = _function, **kwargs: Any) -> Any:
        refuse_traced(_function.__name__, *args, kwargs)
        return _here(_function(*args, **kwargs))

    registry.functions[_function] = _plain

registry.functions[np.empty] = lambda shape, dtype=float, **_: empty(shape, dtype)
derived(np.full)(
    lambda shape, fill_value, dtype=None, **_: full(shape, fill_value, dtype)
)


def _converter(function: Callable[..., np.ndarray]) -> Callable[..., Any]:
    """np.array and its like: NumPy's own call on the stand-in says what is copied."""

    def handler(object: Any, dtype: Any = None, *args: Any, **options: Any) -> Any:
        refuse_traced(function.__name__, dtype, *args, options)
        if not traced(object):
            return _here(function(object, dtype, *args, **options))
        value = as_array(object)
        stand_in = value.stand_in()
        example: Any = function(stand_in, dtype, *args, **options)
        if np.may_share_memory(example, stand_in):
            return _wider(value, example.ndim)
        narrow = example.reshape(value.shape)
        made = renewed(cast(value, example.dtype), narrow)
        return _wider(made, example.ndim)

    return handler


def _wider(array: Tracer, ndim: int) -> Any:
    """The array, or with ndmin= a view of it with more axes."""
    return array[(None,) * (ndim - array.ndim)] if ndim > array.ndim else array


for _function in (
    np.array, np.asarray, np.asanyarray, np.ascontiguousarray, np.asfortranarray
):  # fmt: skip
    registry.functions[_function] = _converter(_function)

registry.redirects[np.require] = _converter(np.require)


# -- copies --------------------------------------------------------------------


def _copy(a: Tracer, order: Any = "K") -> Tracer:
    result = Tracer(a.builder, a.index, a.type)
    result.adopt(a.unfilled(order=order))
    return result


@derived(np.copy)
def _copy_handler(a: Any, order: Any = "K", subok: bool = False) -> Tracer:
    return _copy(as_array(a), order)


def _copy_method(a: Tracer) -> Callable[..., Tracer]:
    def copy(order: Any = "C") -> Tracer:
        return a if a.scalar else _copy(a, order)

    return copy


registry.functions["method.copy"] = _copy_method


def _astype(
    x: Any, dtype: Any, order: Any = "K", casting: Any = "unsafe", copy: bool = True
) -> Any:
    if not np.can_cast(x.dtype, dtype, casting):
        raise TypeError(f"cannot cast {x!r} to {np.dtype(dtype)} by rule {casting!r}")
    if x.dtype != np.dtype(dtype):
        made = x.unfilled(dtype, order)
        return renewed(cast(x, dtype), made[()] if x.scalar else made)
    return _copy(x, order) if copy and not x.scalar else x


registry.functions["method.astype"] = lambda x: (
    lambda dtype, **options: _astype(x, dtype, **options)
)
registry.functions[np.astype] = lambda x, dtype, /, **options: _astype(
    x, dtype, **{k: v for k, v in options.items() if k == "copy"}
)

# -- ranges --------------------------------------------------------------------


@derived(np.linspace)
def _linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    refuse_traced("linspace", num, axis)
    num = operator.index(num)
    if num < 0:
        raise ValueError(
            f"np.linspace of {num} samples ({source_line()}); expected 0, 1, 2, …"
        )
    parts = num - 1 if endpoint else num
    start, stop = operand(start) * 1.0, operand(stop) * 1.0
    delta = stop - start
    numbers = np.arange(num, dtype=delta.dtype)
    steps = np.reshape(numbers, (-1, *[1] * np.ndim(delta)))
    step = delta / parts if parts > 0 else delta * np.nan
    grid = (steps * step if parts > 0 else steps * delta) + start
    if endpoint and num > 1:
        last = np.broadcast_to(stop, (1, *delta.shape))
        grid = np.concatenate([grid[:-1], last])
    if axis != 0:
        grid = np.moveaxis(grid, 0, axis)
    if dtype is not None:
        grid = np.floor(grid) if np.dtype(dtype).kind in "iu" else grid
        grid = _astype(grid, dtype)
    return (grid, step) if retstep else grid


@derived(np.logspace)
def _logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    if np.ndim(base):
        # Its axes, too, are behind the one of the samples.
        start, stop, base = operand(start), operand(stop), operand(base)
        ndim = max(np.ndim(start), np.ndim(stop), np.ndim(base))
        start, stop, base = (
            np.reshape(a, (1,) * (ndim - np.ndim(a)) + np.shape(a))
            for a in (start, stop, base)
        )
        base = np.expand_dims(base, axis)
    powers = base ** np.linspace(start, stop, num, endpoint=endpoint, axis=axis)
    return powers if dtype is None else _astype(powers, dtype)
