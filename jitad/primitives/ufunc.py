"""Options and methods of ufuncs: out=, where=, dtype=, reduce, accumulate, outer, at.

`x += y` reaches NumPy's ufunc with out=x, so in-place arithmetic ends up here too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitad.errors import TracingError, UnsupportedError
from jitad.ir.primitive import registry
from jitad.ir.source import source_line
from jitad.ir.tracer import (
    Tracer,
    apply_ufunc,
    as_tracer,
    innermost,
    joint_dtype,
    traced,
)
from jitad.primitives.memory import write


def call_with_options(ufunc: np.ufunc, *inputs: Any, **kwargs: Any) -> Any:
    """A ufunc call with options; `x += y` is one with out=x."""
    out = kwargs.pop("out", None)
    where = kwargs.pop("where", True)
    dtype = kwargs.pop("dtype", None)
    casting = kwargs.pop("casting", "same_kind")
    for name, default in (("order", "K"), ("subok", True)):
        if kwargs.get(name, default) == default:
            kwargs.pop(name, None)
    if kwargs:
        raise UnsupportedError(
            f"np.{ufunc.__name__}({next(iter(kwargs))}=…) cannot be traced "
            f"({source_line()}); leave it out"
        )
    if dtype is not None:
        trace = innermost((*inputs, where))
        inputs = tuple(as_tracer(trace, a, np.dtype(dtype)) for a in inputs)
    targets = out if isinstance(out, tuple) else (out,)
    if where is not True and any(t is None for t in targets):
        raise UnsupportedError(
            f"np.{ufunc.__name__}(where=…) without out= leaves elements "
            f"undefined ({source_line()}); use np.where"
        )
    result = (
        apply_ufunc(ufunc, inputs) if traced(inputs) else ufunc(*inputs, dtype=dtype)
    )
    if out is None:
        return result
    results = result if isinstance(result, tuple) else (result,)
    stored = tuple(
        r if t is None else store(ufunc, r, t, inputs, where, casting)
        for r, t in zip(results, targets, strict=True)
    )
    return stored if isinstance(result, tuple) else stored[0]


def store(
    ufunc: Any,
    result: Any,
    target: Any,
    inputs: tuple[Any, ...],
    where: Any = True,
    casting: Any = "same_kind",
) -> Any:
    """Write a function's result into target; a scalar's `x += y` is a new scalar."""
    name, line = f"np.{ufunc.__name__}", source_line()
    if not isinstance(target, Tracer):
        raise TracingError(
            f"{name} cannot write traced values into a concrete array ({line}); make "
            "it with np.zeros(n, like=x), np.zeros_like(x) or jitad.zeros, or write "
            f"x = {name}(…) instead of an in-place update"
        )
    if target.scalar:
        if inputs[0] is target and where is True:
            return result
        raise TypeError(f"{name}(out=…) needs an array, not {target!r} ({line})")
    dtype = joint_dtype([result])
    if not np.can_cast(dtype, target.dtype, casting):
        raise TypeError(
            f"{name} cannot write its {dtype} result into {target!r} ({line}); use "
            f"x = {name}(x, …), or make x with x.astype({dtype})"
        )
    if np.broadcast_shapes(np.shape(result), target.shape) != target.shape:
        raise ValueError(
            f"{name}: a result of shape {np.shape(result)} does not fit into "
            f"{target!r} ({line}); use x = {name}(x, …)"
        )
    if where is not True:
        result = np.where(where, result, target)
    if np.shape(result) != target.shape:
        result = np.broadcast_to(result, target.shape)
    write(target, result)
    return target


registry.functions["ufunc.__call__"] = call_with_options
registry.functions["ufunc.store"] = store

# -- methods -------------------------------------------------------------------

_REDUCE = {
    np.add: np.sum,
    np.multiply: np.prod,
    np.maximum: np.max,
    np.minimum: np.min,
    np.logical_and: np.all,
    np.logical_or: np.any,
}
_ACCUMULATE = {np.add: np.cumsum, np.multiply: np.cumprod}


def _reduce(
    ufunc: np.ufunc,
    x: Any,
    axis: Any = 0,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    **kwargs: Any,
) -> Any:
    """ufunc.reduce: NumPy's own reduction where it has a name, else a left fold."""
    named = _REDUCE.get(ufunc)
    if named is not None:
        if dtype is not None:
            kwargs["dtype"] = dtype
        result = named(x, axis=axis, keepdims=keepdims, **kwargs)
        return _store_out(ufunc, result, out)
    initial = kwargs.pop("initial", None)
    if kwargs.pop("where", True) is not True:
        raise _refuse(ufunc, "reduce(where=…)")
    x = _as_array(x, dtype)
    axes = range(x.ndim) if axis is None else np.atleast_1d(np.array(axis)) % x.ndim
    if len(axes) > 1 and ufunc.identity is None:
        raise ValueError(f"np.{ufunc.__name__}.reduce: reduction over several axes")
    result = x
    for k in axes:
        slices = _slices(result, int(k), keepdims=True)
        if not slices:
            raise _refuse(ufunc, "reduce of an empty axis")
        result = functools.reduce(ufunc, slices)
    if initial is not None:
        result = ufunc(initial, result)
    if not keepdims:
        result = np.squeeze(result, axis=tuple(int(k) for k in axes))
    return _store_out(ufunc, result, out)


def _accumulate(
    ufunc: np.ufunc, x: Any, axis: int = 0, dtype: Any = None, out: Any = None
) -> Any:
    """ufunc.accumulate, as a left fold where NumPy has no name for it."""
    named = _ACCUMULATE.get(ufunc)
    if named is not None:
        return _store_out(ufunc, named(x, axis=axis, dtype=dtype), out)
    x = _as_array(x, dtype)
    found: list[Any] = []
    for piece in _slices(x, axis, keepdims=False):
        found.append(ufunc(found[-1], piece) if found else piece)
    return _store_out(ufunc, np.stack(found, axis=axis) if found else x.copy(), out)


def _outer(ufunc: np.ufunc, a: Any, b: Any, **kwargs: Any) -> Any:
    """ufunc.outer by broadcasting."""
    return ufunc(np.reshape(a, np.shape(a) + (1,) * np.ndim(b)), b, **kwargs)


def _reduceat(
    ufunc: np.ufunc,
    x: Any,
    indices: Any,
    axis: int = 0,
    dtype: Any = None,
    out: Any = None,
) -> Any:
    """ufunc.reduceat with constant indices."""
    if traced(indices):
        raise _refuse(ufunc, "reduceat with traced indices")
    x = np.moveaxis(_as_array(x, dtype), axis, 0)
    starts = np.asarray(indices).tolist()
    pieces = []
    for start, stop in zip(starts, [*starts[1:], len(x)], strict=True):
        if not 0 <= start < len(x):
            raise IndexError(
                f"index {start} out-of-bounds in {ufunc.__name__}.reduceat"
            )
        whole = stop > start + 1
        pieces.append(ufunc.reduce(x[start:stop]) if whole else x[start])
    return _store_out(ufunc, np.moveaxis(np.stack(pieces), 0, axis), out)


def _at(ufunc: np.ufunc, x: Any, indices: Any, *operand: Any) -> None:
    """ufunc.at with constant indices: repeated ones count every time, in order."""
    if not isinstance(x, Tracer):
        raise TracingError(
            f"np.{ufunc.__name__}.at cannot write traced values into a concrete array "
            f"({source_line()}); make it with np.zeros(n, like=x) or jitad.zeros"
        )
    if traced(indices):
        raise _refuse(ufunc, "at with traced indices")
    places = np.arange(x.size).reshape(x.shape)[indices]
    flat, owned = places.ravel(), x.positions().ravel()
    values = [np.ravel(np.broadcast_to(b, places.shape)) for b in operand]
    for turn in _turns(flat):
        now = np.ravel(x)[flat[turn]]
        result = ufunc(now, *[v[turn] for v in values])
        if not np.can_cast(result.dtype, x.dtype, "same_kind"):
            raise TypeError(
                f"np.{ufunc.__name__}.at cannot write {result.dtype} into {x!r} "
                f"({source_line()}); make x with dtype {result.dtype}"
            )
        write(x, result, owned[flat[turn]])


def _turns(places: np.ndarray) -> list[np.ndarray]:
    """Groups of indices into places: the first occurrences, the second ones, …"""
    seen: dict[int, int] = {}
    turns: list[list[int]] = []
    for k, place in enumerate(places.tolist()):
        turn = seen[place] = seen.get(place, -1) + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(k)
    return [np.array(t) for t in turns]


def _as_array(x: Any, dtype: Any) -> Any:
    return as_tracer(innermost([x]), x, None if dtype is None else np.dtype(dtype))


def _slices(x: Any, axis: int, *, keepdims: bool) -> Sequence[Any]:
    lead = (slice(None),) * (axis % x.ndim)
    return [
        x[(*lead, slice(i, i + 1) if keepdims else i)] for i in range(x.shape[axis])
    ]


def _store_out(ufunc: np.ufunc, result: Any, out: Any) -> Any:
    target = out[0] if isinstance(out, tuple) else out
    return result if target is None else store(ufunc, result, target, (result,))


def _refuse(ufunc: np.ufunc, what: str) -> UnsupportedError:
    return UnsupportedError(
        f"np.{ufunc.__name__}.{what} cannot be traced ({source_line()}); write it with "
        "array expressions"
    )


_METHODS: dict[str, Callable[..., Any]] = {
    "reduce": _reduce,
    "accumulate": _accumulate,
    "outer": _outer,
    "reduceat": _reduceat,
    "at": _at,
}
for _name, _method in _METHODS.items():
    registry.functions[f"ufunc.{_name}"] = _method
