"""Traced indices: reading and writing where the place itself is being computed.

A traced integer index becomes a chain of selects over the places that it may name, if
they are few, or a load (see `scalars.tables`); one that is out of range reads NaN,
and writes NaN to all of them, where NumPy would raise IndexError, unless the user's
code handles that (see `ir.failing`).  `locate` says which those places are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jitad.ir.failing import fail_where
from jitad.ir.tracer import Tracer
from jitad.ir.views import Step
from jitad.primitives.define import bind_composite, composite

Steps = tuple[tuple[int, int], ...]


class Located(NamedTuple):
    """Elements base + Σ stride·index of an array, (stride, extent) in steps."""

    base: np.ndarray
    indices: list[Tracer]
    steps: Steps


def gather(array: Tracer, where: Located) -> Any:
    """The elements of array that are located."""
    params = {"base": where.base, "steps": where.steps}
    return bind_composite(_gather_node, [array, *where.indices], params)


def scatter(array: Tracer, value: Any, where: Located) -> Any:
    """The array with its located elements replaced by value, one after the other."""
    params = {"base": where.base, "steps": where.steps}
    return bind_composite(_scatter_node, [array, value, *where.indices], params)


def in_range(value: Any, indices: Sequence[Any], steps: Steps) -> Any:
    """The value where no index is out of range, else what is read there."""
    outside = np.asarray(missing(value.dtype), value.dtype)
    return np.where(_valid(indices, steps), value, outside)


def gather_view(array: Tracer, parts: Sequence[Any]) -> Tracer:
    """array[parts]: a view where NumPy gives one, as of integers that are scalars."""
    where = locate(array.shape, parts)
    made = gather(array, where)
    found = _at_axes(array.ndim, parts)
    if not array.size or not all(part.scalar for _, part in found):
        return made
    stand_in = array.stand_in()
    steps = tuple(
        [
            Step(stand_in.strides[k] // stand_in.itemsize, n, _from_front(part, n))
            for k, part in found
            for n in [array.shape[k]]
        ]
    )
    start = tuple([0 if isinstance(p, Tracer) else p for p in parts])
    piece = stand_in[start]
    if isinstance(piece, np.ndarray) and np.may_share_memory(piece, stand_in):
        made.adopt_view(piece, array, stand_in, lambda x: gather(x, where), steps)
    return made


# -- the primitives ------------------------------------------------------------


def missing(dtype: np.dtype) -> Any:
    """What an index out of range reads: NaN, or the lowest integer, or False.

    Without a sign it is the highest.
    """
    if dtype.kind == "f":
        return dtype.type(np.nan)
    if dtype.kind == "b":
        return np.False_
    limits = np.iinfo(dtype)
    return dtype.type(limits.min or limits.max)


def _valid(indices: Sequence[Any], steps: Steps) -> Any:
    valid = np.True_
    for j, (_, extent) in zip(indices, steps, strict=True):
        valid = valid & (j >= 0) & (j < extent)
    return valid


def _offsets(indices: Sequence[Any], base: Any, steps: Steps, valid: Any) -> Any:
    places = base
    for j, (stride, _) in zip(indices, steps, strict=True):
        places = places + stride * np.where(valid, j, 0)
    return places


def _gather(x: Any, *indices: Any, base: Any, steps: Steps) -> Any:
    if x.size == 0:
        return np.full(np.shape(base), missing(x.dtype), x.dtype)
    valid = _valid(indices, steps)
    found = x.reshape(-1)[_offsets(indices, base, steps, valid)]
    return np.where(valid, found, np.asarray(missing(x.dtype), x.dtype))


def _gather_scalars(x: np.ndarray, *indices: Any, base: Any, steps: Steps) -> Any:
    flat, shape = x.reshape(-1), np.shape(base)
    result = np.empty(shape, object)
    for place in np.ndindex(shape):
        here = [np.asarray(j, object)[place] for j in indices]
        result[place] = _pick(flat, int(np.asarray(base)[place]), here, steps)
    return result


def _pick(flat: np.ndarray, start: int, indices: Sequence[Any], steps: Steps) -> Any:
    """flat[start + Σ stride·index] by selection among all that the indices may be."""
    if not steps:
        return flat[start]
    (stride, extent), *rest = steps

    def at(k: int) -> Any:
        return _pick(flat, start + k * stride, indices[1:], tuple(rest))

    value: Any = missing(flat[start].dtype) if extent else np.nan
    if extent <= _CHAINED:
        for k in reversed(range(extent)):
            value = np.where(indices[0] == k, at(k), value)
        return value
    known = (indices[0] >= 0) & (indices[0] < extent)
    return np.where(known, _halved(indices[0], at, 0, extent), value)


# Of so few places one is selected after the other; of more by halving.
_CHAINED = 8


def _halved(index: Any, at: Callable[[int], Any], low: int, high: int) -> Any:
    if high - low == 1:
        return at(low)
    middle = (low + high) // 2
    below, above = _halved(index, at, low, middle), _halved(index, at, middle, high)
    return np.where(index < middle, below, above)


def _scatter(x: Any, value: Any, *indices: Any, base: Any, steps: Steps) -> Any:
    result = np.array(x, order="C")
    flat = result.reshape(-1)
    valid = np.broadcast_to(_valid(indices, steps), np.shape(base))
    places = np.broadcast_to(_offsets(indices, base, steps, valid), np.shape(base))
    for place in np.ndindex(np.shape(base)):
        if valid[place]:
            flat[places[place]] = np.asarray(value)[place]
        else:
            flat[candidates(int(np.asarray(base)[place]), steps)] = missing(x.dtype)
    return result


def _scatter_scalars(
    x: np.ndarray, value: Any, *indices: Any, base: Any, steps: Steps
) -> Any:
    flat = x.reshape(-1).copy()
    values = np.asarray(value, object)
    for place in np.ndindex(np.shape(base)):
        here = [np.asarray(j, object)[place] for j in indices]
        valid = _valid(here, steps)
        start = int(np.asarray(base)[place])
        for number, at in enumerate(candidates(start, steps)):
            named = np.True_
            for j, k in zip(here, _unravel(number, steps), strict=True):
                named = named & (j == k)
            kept = np.where(valid, flat[at], missing(flat[at].dtype))
            flat[at] = np.where(named, values[place], kept)
    return flat.reshape(x.shape)


def _unravel(number: int, steps: Steps) -> tuple[Any, ...]:
    return np.unravel_index(number, tuple(extent for _, extent in steps))


def candidates(start: int, steps: Steps) -> list[int]:
    """All places that the indices may name, the last index varying fastest."""
    places = [start]
    for stride, extent in steps:
        places = [p + k * stride for p in places for k in range(extent)]
    return places


_gather_node = composite("gather", _gather, _gather_scalars)
_scatter_node = composite("scatter", _scatter, _scatter_scalars)


# -- where an index points -----------------------------------------------------


def locate(shape: tuple[int, ...], parts: Sequence[Any]) -> Located:
    """Where an index with traced entries points: base + Σ stride·index, elementwise.

    NumPy works it out on arrays of coordinates, in which a traced entry is replaced by
    the numbers of its own elements.
    """
    found = _at_axes(len(shape), parts)
    extents, key = list(shape), list(parts)
    for axis, part in found:
        extents[axis] = part.size
    for k, part in enumerate(parts):
        if isinstance(part, Tracer):
            numbers = np.arange(part.size).reshape(part.shape)
            key[k] = numbers if part.shape else 0
    coordinates = [_coordinate(extents, k)[tuple(key)] for k in range(len(shape))]
    strides = [int(np.prod(shape[k + 1 :], dtype=int)) for k in range(len(shape))]
    named = {k for k, _ in found}
    base = np.zeros(np.shape(coordinates[0]), np.int64)
    for k in range(len(shape)):
        if k not in named:
            base = base + strides[k] * coordinates[k]
    indices = [_wrapped(p, coordinates[k], shape[k]) for k, p in found]
    steps = tuple((strides[k], shape[k]) for k, _ in found)
    error = IndexError(f"an index is out of range for an array of shape {shape}")
    fail_where(lambda: np.any(~_valid(indices, steps)), error)
    return Located(np.asarray(base), indices, steps)


def _at_axes(ndim: int, parts: Sequence[Any]) -> list[tuple[int, Tracer]]:
    """The traced entries of a key, and the axes that they index."""
    given = [p for p in parts if p is not None and p is not Ellipsis]
    rest = ndim - sum(map(_axes, given))
    found, axis = [], 0
    for part in parts:
        if isinstance(part, Tracer):
            found.append((axis, part))
        axis += rest if part is Ellipsis else 0 if part is None else _axes(part)
    return found


def _axes(part: Any) -> int:
    """How many axes an entry of a key indexes."""
    if isinstance(part, slice | Tracer):
        return 1
    array = np.asarray(part)
    return array.ndim if array.dtype == bool else 1


def _coordinate(extents: Sequence[int], axis: int) -> np.ndarray:
    shape = [1] * len(extents)
    shape[axis] = -1
    return np.broadcast_to(np.arange(extents[axis]).reshape(shape), extents)


def _wrapped(index: Any, which: np.ndarray, extent: int) -> Any:
    """The index of every element of the result, negative ones counted from the end."""
    if index.shape:
        index = np.ravel(index)[which]
    elif np.shape(which):
        index = np.broadcast_to(index, np.shape(which))
    return _from_front(index, extent)


def _from_front(index: Any, extent: int) -> Any:
    return np.where(index < 0, index + extent, index)
