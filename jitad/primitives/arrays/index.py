"""Reading and writing by index, and NumPy's functions that do so.

A constant index of any kind that NumPy knows is a structure; NumPy itself says which
elements it names.  Traced ones are in `gather.py`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from jitad.errors import TracingError, UnsupportedError
from jitad.ir.bind import cast, promote
from jitad.ir.dispatch import ask, operand
from jitad.ir.primitive import registry
from jitad.ir.source import source_line
from jitad.ir.structure import bind_structure
from jitad.ir.tracer import Tracer, as_tracer, innermost, renewed, traced
from jitad.primitives.define import derived, structure

from .gather import gather, gather_view, locate, missing, scatter
from .memory import write
from .shape import as_array, refuse_traced

# -- constant indices ----------------------------------------------------------

getitem = structure(operator.getitem, name="getitem")


def read(array: Tracer, key: Any) -> Any:
    """array[key]."""
    if type(key) is not int and type(key) is not slice and traced(key):
        return gather_view(array, _known_shape(array, _parts(array, key)))
    return bind_structure(getitem, (array, key), {})


def assign(array: Tracer, key: Any, value: Any) -> None:
    """array[key] = value."""
    if array.scalar:
        raise TypeError(
            f"{array!r} is a scalar, which does not support item assignment "
            f"({source_line()}); rebind the name instead"
        )
    if type(key) is not int and type(key) is not slice and traced(key):
        _scatter_item(array, _parts(array, key), value)
        return
    own, parts = array.affine(), key if type(key) is tuple else (key,)
    if own is not None and all(type(p) in _BASIC for p in parts):
        places = own.within(parts)
        if _already_there(array, value, places.shape) and value.affine() == places:
            return
        value = fit(stored(array, value), places.shape)
        write(array, value, None if places == own else places)
        return
    every = array.positions()
    positions = np.asarray(every[key])
    same = _already_there(array, value, positions.shape)
    if same and np.array_equal(value.positions(), positions):
        return
    value = fit(stored(array, value), positions.shape)
    whole = np.array_equal(positions, every)
    write(array, value, None if whole else positions)


# What an index may have in it that leaves strides as they are, or multiplies them.
_BASIC = frozenset([int, slice, type(None), type(Ellipsis)])


registry.functions["getitem"] = read
registry.functions["setitem"] = assign


def _already_there(array: Tracer, value: Any, shape: tuple[int, ...]) -> bool:
    """Whether value may be the view that it is written to (`y[1:] += 1` ends so)."""
    return (
        isinstance(value, Tracer)
        and value.owner is array.owner
        and value.shape == shape
        and value.moved_as(array)
    )


def stored(array: Tracer, value: Any) -> Any:
    """The value in array's dtype, as an assignment to its elements converts it."""
    trace = innermost([array, value])
    if not traced(value):
        plain = np.asarray(value)
        if plain.dtype.kind not in "biuf" and type(value) is not int:
            raise UnsupportedError(
                f"cannot write {plain.dtype} into {array!r} ({source_line()}); "
                "expected real numbers"
            )
        converted = np.empty(plain.shape, array.dtype)
        converted[...] = value
        return as_tracer(trace, converted)
    value = as_tracer(trace, value)
    if not np.can_cast(value.dtype, array.dtype, "same_kind"):
        raise TypeError(
            f"cannot write {value.dtype} into {array!r} ({source_line()}); "
            f"make the array with dtype {value.dtype}"
        )
    return as_tracer(trace, value, array.dtype)


def fit(value: Any, shape: tuple[int, ...]) -> Any:
    """The value broadcast to the shape that it is written to."""
    extra = value.ndim - len(shape)
    if extra > 0 and set(value.shape[:extra]) == {1}:
        value = np.reshape(value, value.shape[extra:])
    if value.shape == shape:
        return value
    try:
        return np.broadcast_to(value, shape)
    except ValueError:
        raise ValueError(
            f"cannot write shape {value.shape} into shape {shape} ({source_line()}); "
            "the value must broadcast to what the index selects"
        ) from None


# -- traced indices ------------------------------------------------------------


def _parts(array: Tracer, key: Any) -> list[Any]:
    """The entries of a key, traced ones as tracers of integers or bools."""
    parts = list(key) if isinstance(key, tuple) else [key]
    parts = [as_array(p) if traced(p) else p for p in parts]
    for part in parts:
        if isinstance(part, Tracer) and part.dtype.kind == "f":
            raise IndexError(
                f"{array!r} is indexed by {part!r} ({source_line()}); expected "
                "integers or bools: convert with astype(int)"
            )
    return [_wide(p) for p in parts]


def _wide(index: Any) -> Any:
    """An index whose arithmetic with extents stays in its range."""
    whole = isinstance(index, Tracer) and index.dtype.kind in "iu"
    return cast(index, np.int64) if whole else index


def _is_mask(part: Any) -> bool:
    return isinstance(part, Tracer) and part.dtype.kind == "b"


def _known_shape(array: Tracer, parts: list[Any]) -> list[Any]:
    """The entries of a key, or an error if how many elements it names is not known."""
    if any(map(_is_mask, parts)):
        raise TracingError(
            f"{array!r}[mask] with a traced mask has no fixed shape ({source_line()}); "
            "use np.where(mask, x, 0), or a mask that is a plain array"
        )
    return parts


def _scatter_item(array: Tracer, parts: list[Any], value: Any) -> None:
    if any(map(_is_mask, parts)):
        _write_masked(array, parts, value)
        return
    every = parts if any(p is Ellipsis for p in parts) else [*parts, Ellipsis]
    view = gather_view(array, every)
    if isinstance(value, Tracer) and value.same_place(view):
        return
    value = fit(stored(array, value), view.shape)
    if view.owner is not view and array._steps:
        write(view, value)
    else:
        write(array, scatter(array, value, locate(array.shape, parts)))


def _write_masked(array: Tracer, parts: list[Any], value: Any) -> None:
    """array[mask] = value, for a traced mask of the leading axes."""
    mask = parts[0]
    if len(parts) != 1 or mask.shape != array.shape[: mask.ndim]:
        raise TracingError(
            f"{array!r} is written at a traced mask of shape {mask.shape} among "
            f"other indices, or of another shape ({source_line()}); expected "
            "y[mask] = v with a mask of y's shape, or use np.where"
        )
    rest = array.shape[mask.ndim :]
    value = stored(array, value)
    if value.ndim > len(rest) and value.shape[0] != 1:
        raise TracingError(
            f"y[mask] = v with a traced mask and v of shape {value.shape} "
            f"({source_line()}): how many elements the mask selects is not known; "
            "use y = np.where(mask, v, y) with v of y's shape"
        )
    wide = np.reshape(mask, mask.shape + (1,) * len(rest))
    write(array, np.where(wide, fit(value, (1,) * mask.ndim + rest), array))


# -- NumPy's functions that take indices ---------------------------------------

_take = structure(np.take)


@derived(np.take)
def _take_handler(
    a: Any, indices: Any, axis: int | None = None, *, mode: str = "raise"
) -> Any:
    if not traced(indices):
        options = {"axis": axis, "mode": mode}
        return bind_structure(_take, (as_array(a), indices), options)
    array: Any = as_tracer(innermost([a, indices]), a)
    # NumPy says what it takes, of an index that is in range.
    inside = np.zeros(np.shape(indices), promote([operand(indices)]))
    ask(np.take, array, inside[()], axis, mode=mode)
    index: Any = _wide(cast(as_array(indices), np.int64))
    if axis is None:
        array, axis = np.ravel(array), 0
    axis = normalize_axis_index(axis, array.ndim)
    extent = array.shape[axis]
    if mode == "wrap":
        index = index % extent
    elif mode == "clip":
        low = np.where(index < 0, 0, index)
        index = np.where(low >= extent, extent - 1, low)
    key = [*[slice(None)] * axis, index]
    return gather(array, locate(array.shape, _known_shape(array, key)))


def _grid(shape: Sequence[int], indices: Any, axis: int) -> tuple[Any, ...]:
    """The key of np.take_along_axis."""
    axis = normalize_axis_index(axis, len(shape))
    if promote([indices]).kind not in "iu":
        raise IndexError(
            f"indices of dtype {promote([indices])} ({source_line()}); expected "
            "integers: convert with astype(int)"
        )
    if np.ndim(indices) != len(shape):
        raise ValueError(
            f"indices of {np.ndim(indices)} axes for an array of {len(shape)}; "
            "expected as many"
        )
    key: list[Any] = []
    for k, extent in enumerate(shape):
        ones = [1] * len(shape)
        ones[k] = -1
        key.append(indices if k == axis else np.arange(extent).reshape(ones))
    return tuple(key)


def _refuse_grid(indices: Any) -> None:
    """Raise where indices into all elements have more axes than one."""
    if np.ndim(indices) != 1:
        raise ValueError(
            f"indices of {np.ndim(indices)} axes with axis=None ({source_line()}); "
            "expected one: np.ravel(indices)"
        )


@derived(np.take_along_axis)
def _take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    array = as_tracer(innermost([arr, indices]), arr)
    indices = as_array(indices) if traced(indices) else np.asarray(indices)
    if axis is None:
        _refuse_grid(indices)
        array, axis = np.ravel(array), 0
    return array[_grid(array.shape, indices, axis)]


@derived(np.choose)
def _choose(a: Any, choices: Any, *, mode: str = "raise") -> Any:
    options = list(choices)
    dtype = promote(options)
    index: Any = operand(a)
    if not traced(index):
        ask(np.choose, index, options, mode=mode)
    if not np.can_cast(promote([index]), np.int64, "same_kind"):
        raise TypeError(
            f"np.choose by {a!r} of dtype {promote([index])} ({source_line()}); "
            "expected integers: convert with astype(int)"
        )
    if mode == "clip":
        index = np.clip(index, 0, len(options) - 1)
    elif mode == "wrap":
        index = index % len(options)
    elif mode != "raise":
        raise ValueError(f"np.choose: mode {mode!r} is not 'raise', 'wrap' or 'clip'")
    value: Any = np.asarray(missing(dtype), dtype)
    for k in reversed(range(len(options))):
        value = np.where(index == np.int64(k), options[k], value)
    return value if value.shape else renewed(value, value.dtype.type(0))


_compress = structure(np.compress)


@derived(np.compress, moves=True)
def _compress_handler(condition: Any, a: Any, axis: int | None = None) -> Any:
    _known_mask("compress", condition)
    return bind_structure(_compress, (condition, as_array(a)), {"axis": axis})


@derived(np.extract, moves=True)
def _extract(condition: Any, arr: Any) -> Any:
    _known_mask("extract", condition)
    return np.take(np.ravel(as_array(arr)), np.flatnonzero(condition))


def _known_mask(function: str, condition: Any) -> None:
    if traced(condition):
        raise TracingError(
            f"np.{function} with a traced condition has no fixed shape "
            f"({source_line()}); use np.where(condition, x, 0)"
        )


# -- NumPy's functions that write ----------------------------------------------


def _writes(
    function: Callable[..., Any], names: tuple[str, ...], value: str
) -> Callable[..., None]:
    """Register a function that writes `value` into its first argument.

    As a structure it is the function from both to the array after the write.
    """

    def after(base: Any, written: Any, **rest: Any) -> Any:
        result = np.array(base)
        function(**{names[0]: result, value: written, **rest})
        return result

    if function is np.putmask:

        def after(base: Any, written: Any, **rest: Any) -> Any:
            result = np.array(base)
            np.putmask(result, rest["mask"], written)
            return result

    primitive = structure(after, name=f"after_{function.__name__}")

    def handler(*args: Any, **kwargs: Any) -> None:
        kwargs.update(zip(names, args, strict=False))
        array = kwargs.pop(names[0])
        if not isinstance(array, Tracer):
            raise TracingError(
                f"np.{function.__name__} cannot write traced values into a concrete "
                f"array ({source_line()}); make it with np.zeros(n, like=x), "
                "np.zeros_like(x) or jitad.zeros"
            )
        written = stored(array, kwargs.pop(value))
        refuse_traced(function.__name__, kwargs)
        write(array, bind_structure(primitive, (array, written), kwargs))

    registry.functions[function] = handler
    return handler


_writes(np.fill_diagonal, ("a", "val", "wrap"), "val")
_writes(np.put, ("a", "ind", "v", "mode"), "v")
_place = _writes(np.place, ("arr", "mask", "vals"), "vals")
_putmask = _writes(np.putmask, ("a", "mask", "values"), "values")
_copyto = _writes(np.copyto, ("dst", "src", "casting", "where"), "src")


@derived(np.copyto, moves=True)
def _copyto_handler(
    dst: Any, src: Any, casting: Any = "same_kind", where: Any = True
) -> None:
    if isinstance(dst, Tracer) and not np.can_cast(promote([src]), dst.dtype, casting):
        raise TypeError(
            f"np.copyto cannot cast {promote([src])} to {dst.dtype} by {casting!r} "
            f"({source_line()}); convert with astype"
        )
    if isinstance(dst, Tracer) and traced(where):
        src = np.where(where, stored(dst, src), dst)
        where = True
    _copyto(dst, src, where=where)


@derived(np.putmask, moves=True)
def _putmask_handler(a: Any, mask: Any, values: Any) -> None:
    # Of numbers, lists and NumPy's scalars NumPy makes arrays of any dtype.
    array = not (isinstance(values, Tracer) and values.scalar)
    given = array and isinstance(values, np.ndarray | Tracer)
    if given and isinstance(a, Tracer) and not np.can_cast(values.dtype, a.dtype):
        raise TypeError(
            f"np.putmask cannot write {values.dtype} into {a.dtype} "
            f"({source_line()}); convert with astype"
        )
    if isinstance(a, Tracer) and traced(mask):
        values = stored(a, values)
        if values.shape != a.shape:
            values = np.resize(values, a.shape)
        write(a, np.where(mask, values, a))
    else:
        _putmask(a, mask, values)


@derived(np.place, moves=True)
def _place_handler(arr: Any, mask: Any, vals: Any) -> None:
    if isinstance(arr, Tracer) and traced(mask) and np.size(vals) == 1:
        arr[mask] = np.reshape(as_array(vals) if traced(vals) else vals, ())
    else:
        _known_mask("place", mask)
        _place(arr, mask, vals)


@derived(np.put_along_axis, moves=True)
def _put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    if not isinstance(arr, Tracer):
        raise TracingError(
            f"np.put_along_axis cannot write traced values into a concrete array "
            f"({source_line()}); make it with np.zeros(n, like=x) or jitad.zeros"
        )
    indices = as_array(indices) if traced(indices) else np.asarray(indices)
    if axis is None:
        _refuse_grid(indices)
        arr.flat[indices] = values
    else:
        arr[_grid(arr.shape, indices, axis)] = values
