"""Options and methods of ufuncs: out=, where=, dtype=, reduce, accumulate, outer, at.

`x += y` reaches NumPy's ufunc with out=x, so in-place arithmetic ends up here too.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from jitad.errors import TracingError, UnsupportedError
from jitad.ir.bind import cast, representative
from jitad.ir.dispatch import apply_ufunc, ask, operand
from jitad.ir.plain import plain_array
from jitad.ir.primitive import registry
from jitad.ir.source import source_line
from jitad.ir.tracer import Tracer, as_tracer, innermost, joint_dtype, traced
from jitad.primitives.arrays.memory import write
from jitad.primitives.arrays.reduction import given, mask_of, reduced_axes, rows_traced


def call_with_options(ufunc: np.ufunc, *inputs: Any, **kwargs: Any) -> Any:
    """A ufunc call with options; `x += y` is one with out=x."""
    out = kwargs.pop("out", None)
    where = kwargs.pop("where", True)
    dtype = kwargs.pop("dtype", None)
    casting = kwargs.pop("casting", None)
    for name, default in (("order", "K"), ("subok", True)):
        if kwargs.get(name, default) == default:
            kwargs.pop(name, None)
    if kwargs:
        raise UnsupportedError(
            f"np.{ufunc.__name__}({next(iter(kwargs))}=…) cannot be traced "
            f"({source_line()}); leave it out"
        )
    targets = out if isinstance(out, tuple) else (out,)
    if where is not True and any(t is None for t in targets):
        raise UnsupportedError(
            f"np.{ufunc.__name__}(where=…) without out= leaves elements "
            f"undefined ({source_line()}); use np.where"
        )
    inputs = tuple([operand(a) for a in inputs])
    if dtype is not None or casting is not None:
        inputs = _in_loop(ufunc, inputs, dtype, casting or "same_kind")
    result = apply_ufunc(ufunc, inputs) if traced(inputs) else ufunc(*inputs)
    if out is None:
        return result
    results = result if isinstance(result, tuple) else (result,)
    stored = tuple(
        r if t is None else store(ufunc, r, t, inputs, where, casting or "same_kind")
        for r, t in zip(results, targets, strict=True)
    )
    return stored if isinstance(result, tuple) else stored[0]


def _in_loop(
    ufunc: np.ufunc, inputs: tuple[Any, ...], dtype: Any, casting: Any
) -> tuple[Any, ...]:
    """The inputs of a call in the dtypes of the loop that its options choose."""
    if ufunc.signature is not None:
        raise UnsupportedError(
            f"np.{ufunc.__name__}(dtype=…, casting=…) cannot be traced "
            f"({source_line()}); convert with astype"
        )
    kinds = tuple([representative(a) for a in inputs])
    options = {"casting": casting}
    if dtype is not None:
        outputs = (type(np.dtype(dtype)),) * ufunc.nout
        options["signature"] = (None,) * ufunc.nin + outputs
    loop = ufunc.resolve_dtypes((*kinds, *(None,) * ufunc.nout), **options)
    trace = innermost(inputs)
    return tuple([as_tracer(trace, a, d) for a, d in zip(inputs, loop, strict=False)])


def store(
    ufunc: Any,
    result: Any,
    target: Any,
    inputs: tuple[Any, ...],
    where: Any = True,
    casting: Any = "same_kind",
    *,
    spread: bool = True,
) -> Any:
    """Write a function's result into target; a scalar's `x += y` is a new scalar.

    spread  whether target may have more axes, where the function broadcasts
    """
    name, line = f"np.{ufunc.__name__}", source_line()
    if isinstance(target, np.ndarray) and target.dtype == object and where is True:
        target[...] = np.array(result, object)
        return target
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
    fixed = _fixed(ufunc, np.ndim(result), inputs) if spread else None
    if not _fits(np.shape(result), target.shape, fixed):
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


def _fixed(function: Any, ndim: int, inputs: tuple[Any, ...]) -> int | None:
    """How many last axes of a result are the target's own; None: all that it has.

    Along the others a function broadcasts, as elementwise ones do along all.
    """
    if function is np.matmul:
        return min(ndim, sum(np.ndim(a) > 1 for a in inputs))
    if function in _OF_VECTORS:
        return _OF_VECTORS[function]
    elementwise = isinstance(function, np.ufunc) and function.signature is None
    return 0 if elementwise or function in _SPREADING else None


_OF_VECTORS: dict[Any, int] = {np.vecdot: 0, np.matvec: 1, np.vecmat: 1}
_SPREADING = (
    np.clip, np.fix, np.isposinf, np.isneginf, np.outer, np.percentile, np.quantile,
    np.nanpercentile, np.nanquantile, np.nanmedian,
)  # fmt: skip


def _fits(shape: Any, target: Any, fixed: int | None) -> bool:
    if fixed is None:
        return shape == target
    own = shape[len(shape) - fixed :]
    return (
        own == target[len(target) - fixed :]
        and np.broadcast_shapes(shape, target) == target
    )


registry.functions["ufunc.__call__"] = call_with_options
registry.functions["ufunc.store"] = store

# -- methods -------------------------------------------------------------------

_REDUCE: dict[Any, Any] = {
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
    a: Any,
    axis: Any = 0,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = np._NoValue,  # type: ignore[attr-defined]
    where: Any = True,
) -> Any:
    """ufunc.reduce: NumPy's own reduction where it has a name, else a left fold."""
    options = {"keepdims": keepdims, "initial": initial, "where": where}
    told = np.asarray(ask(ufunc.reduce, operand(a), axis, dtype, **options))
    x = _as_array(a, told.dtype, initial, where)
    named: Any = _REDUCE.get(ufunc)
    if named in (np.all, np.any):
        del options["initial"]
        found = named(x, axis=axis, **options)
        found = ufunc(found, initial) if given(initial) else found
        return _store_out(ufunc, found, out)
    if named is not None:
        return _store_out(ufunc, named(x, axis=axis, **options), out)
    axes = reduced_axes(axis, x.ndim)
    table: Any = rows_traced(x, axes)
    start = ufunc.identity if initial is np._NoValue else initial  # type: ignore[attr-defined]
    start = start if start is None or traced(start) else told.dtype.type(start)
    kept: Any = None
    if where is not True:
        kept = rows_traced(mask_of(x, where), axes)
    pieces = list(table)
    total = pieces.pop(0) if start is None and pieces else start
    for i, piece in enumerate(pieces):
        added = ufunc(total, piece)
        total = added if kept is None else np.where(kept[i], added, total)
    total = as_tracer(x.builder, told if total is None else total, told.dtype)
    result = total if total.shape else np.broadcast_to(total, told.shape)
    return _store_out(ufunc, np.reshape(result, told.shape), out)


def _accumulate(
    ufunc: np.ufunc, a: Any, axis: Any = 0, dtype: Any = None, out: Any = None
) -> Any:
    """ufunc.accumulate, as a left fold where NumPy has no name for it."""
    told = ask(ufunc.accumulate, operand(a), axis, dtype)
    x = _as_array(a, told.dtype)
    named = _ACCUMULATE.get(ufunc)
    if named is not None:
        return _store_out(ufunc, named(x, axis=axis), out)
    axis = 0 if axis is None else operator.index(axis) % x.ndim
    found: list[Any] = []
    result: Any
    for piece in _slices(x, axis):
        found.append(ufunc(found[-1], piece) if found else piece)
    result = np.concatenate(found, axis=axis) if found else x.copy()
    return _store_out(ufunc, cast(result, told.dtype), out)


def _outer(ufunc: np.ufunc, a: Any, b: Any, **kwargs: Any) -> Any:
    """ufunc.outer by broadcasting."""
    a, b = (v if traced(v) else plain_array(v)[()] for v in (operand(a), operand(b)))
    return ufunc(np.reshape(a, np.shape(a) + (1,) * np.ndim(b)), b, **kwargs)


def _reduceat(
    ufunc: np.ufunc,
    a: Any,
    indices: Any,
    axis: Any = 0,
    dtype: Any = None,
    out: Any = None,
) -> Any:
    """ufunc.reduceat with constant indices."""
    if traced(indices):
        raise _refuse(ufunc, "reduceat with traced indices")
    told = ask(ufunc.reduceat, operand(a), indices, axis, dtype)
    x: Any = _as_array(a, told.dtype)
    axis = 0 if axis is None else operator.index(axis) % x.ndim
    lines = np.moveaxis(x, axis, 0)
    starts = np.asarray(indices, int).tolist()
    pieces = [
        ufunc.reduce(lines[start:stop], initial=None)
        if stop > start + 1
        else lines[start]
        for start, stop in zip(starts, [*starts[1:], len(lines)], strict=False)
    ]
    if not pieces:
        return _store_out(ufunc, as_tracer(x.builder, told), out)
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
    # Copies: an operand may lie in the memory that is written to.
    values = [np.broadcast_to(b, places.shape).flatten() for b in operand]
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


def _as_array(x: Any, dtype: np.dtype, *others: Any) -> Any:
    return cast(as_tracer(innermost([x, *others]), x), dtype)


def _slices(x: Any, axis: int) -> list[Any]:
    lead = (slice(None),) * axis
    return [x[(*lead, slice(i, i + 1))] for i in range(x.shape[axis])]


def _store_out(ufunc: np.ufunc, result: Any, out: Any) -> Any:
    target = out[0] if isinstance(out, tuple) else out
    if target is None:
        return result
    return store(ufunc, result, target, (result,), spread=False)


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
