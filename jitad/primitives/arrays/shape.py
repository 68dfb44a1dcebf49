"""Functions that move elements: reshape, transpose, stack, split, repeat, pad, tril.

All are structures: NumPy itself decides where each element goes, and what is a view.
Reading and writing by index is in `index.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitad.errors import TracingError, UnsupportedError
from jitad.ir.bind import cast
from jitad.ir.dispatch import ask
from jitad.ir.primitive import registry
from jitad.ir.source import source_line
from jitad.ir.structure import bind_structure
from jitad.ir.tracer import (
    Trace,
    Tracer,
    as_tracer,
    innermost,
    joint_dtype,
    renewed,
    traced,
)
from jitad.primitives.define import derived, structure


def refuse_traced(function: str, *values: Any) -> None:
    """Raise unless all values, which decide where elements go, are known."""
    for value in values:
        if traced(list(value.values()) if isinstance(value, dict) else value):
            raise TracingError(
                f"np.{function} moves elements by {value!r}, which has no value while "
                f"tracing ({source_line()}); pass a plain number or array there, for "
                "instance with functools.partial"
            )


def as_array(value: Any) -> Tracer:
    """A tracer as it is (views stay views), and lists of traced values as one array."""
    return value if isinstance(value, Tracer) else as_tracer(innermost([value]), value)


# -- one array -----------------------------------------------------------------


def _moves(function: Callable[..., Any], first: str, name: str | None = None) -> None:
    """Register a function of one array, called `first`, and of plain arguments."""
    label = name or function.__name__
    primitive = structure(function, name=label)

    def handler(*args: Any, **kwargs: Any) -> Any:
        array, rest = (args[0], args[1:]) if args else (kwargs.pop(first), ())
        refuse_traced(label, *rest, *kwargs.values())
        return bind_structure(primitive, (as_array(array), *rest), kwargs)

    registry.functions[function] = handler


for _first, _functions in {
    "a": (np.reshape, np.ravel, np.transpose, np.moveaxis, np.rollaxis, np.expand_dims,
          np.squeeze, np.roll, np.repeat, np.diagonal, np.resize),
    "m": (np.flip, np.fliplr, np.flipud, np.rot90, np.tril, np.triu),
    "v": (np.diag, np.diagflat),
    "ary": (np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit),
    "array": (np.broadcast_to,),
    "A": (np.tile,),
    "arr": (np.delete,),
}.items():  # fmt: skip
    for _function in _functions:
        _moves(_function, _first)
_moves(np.swapaxes, "a")
_moves(np.matrix_transpose, "x")
_moves(np.linalg.diagonal, "x", "linalg_diagonal")
_moves(np.lib.stride_tricks.sliding_window_view, "x")
_moves(np.unstack, "x")
# NumPy's other names for the same functions.
registry.functions[np.linalg.matrix_transpose] = registry.functions[np.matrix_transpose]
registry.functions[np.permute_dims] = registry.functions[np.transpose]

_reshape, _ravel = registry.functions[np.reshape], registry.functions[np.ravel]


def _resolved(array: Tracer, order: str) -> str:
    """Order "A" as "C" or "F": a graph holds no memory layout that "A" could mean."""
    flags = array.stand_in().flags
    if order == "A":
        return "F" if flags.f_contiguous and not flags.c_contiguous else "C"
    return order


@derived(np.reshape, moves=True)
def _reshape_handler(a: Any, shape: Any, order: str = "C", **copy: Any) -> Any:
    a = as_array(a)
    return _reshape(a, shape, order=_resolved(a, order), **copy)


@derived(np.ravel, moves=True)
def _ravel_handler(a: Any, order: str = "C") -> Any:
    a = as_array(a)
    if order == "K":
        strides = [-abs(s) for s in np.isnan(a.stand_in()).strides]
        a, order = np.transpose(a, np.argsort(strides, kind="stable").tolist()), "C"
    return _ravel(a, order=_resolved(a, order))


_atleast = {
    f: structure(f, name=f.__name__)
    for f in (np.atleast_1d, np.atleast_2d, np.atleast_3d)
}


def _atleast_handler(function: Callable[..., Any]) -> Callable[..., Any]:
    def handler(*arrays: Any) -> Any:
        made = tuple(
            bind_structure(_atleast[function], (as_array(a),), {})
            if traced(a) and not isinstance(a, np.ndarray)
            else function(a)
            for a in arrays
        )
        return made[0] if len(made) == 1 else made

    return handler


for _function in _atleast:
    registry.functions[_function] = _atleast_handler(_function)

# -- several arrays ------------------------------------------------------------


def _joint(
    arrays: Sequence[Any], dtype: Any, casting: Any = "same_kind"
) -> list[Tracer]:
    """Traced arrays of one dtype, as np.concatenate converts its arguments."""
    trace, common = innermost(arrays), joint_dtype(arrays)
    if dtype is not None:
        if not np.can_cast(common, dtype, casting):
            raise TypeError(f"cannot cast {common} to {np.dtype(dtype)} by {casting}")
        common = np.dtype(dtype)
    return [_part(trace, a, common) for a in arrays]


def _part(trace: Trace, array: Any, dtype: np.dtype) -> Tracer:
    """An array to be joined, in its memory order, which the result's follows."""
    if isinstance(array, Tracer):
        return cast(array, dtype)
    made = as_tracer(trace, array, dtype)
    made.adopt(array)
    return made


def _joins(function: Callable[..., Any], first: str) -> None:
    """Register a function of a sequence of arrays, called `first`."""
    label = function.__name__
    primitive = structure(function)

    def handler(*args: Any, **kwargs: Any) -> Any:
        arrays, rest = (args[0], args[1:]) if args else (kwargs.pop(first), ())
        if len(rest) > 1:
            raise UnsupportedError(
                f"np.{label} with out by position cannot be traced ({source_line()}); "
                "write out=…"
            )
        dtype, casting = kwargs.pop("dtype", None), kwargs.pop("casting", "same_kind")
        refuse_traced(label, *rest, *kwargs.values())
        joined = _joint(list(arrays), dtype, casting)
        return bind_structure(primitive, (joined, *rest), kwargs)

    registry.functions[function] = handler


_joins(np.concatenate, "arrays")
_joins(np.stack, "arrays")
for _function in (np.hstack, np.vstack, np.dstack, np.column_stack):
    _joins(_function, "tup")


@derived(np.append, moves=True)
def _append(arr: Any, values: Any, axis: int | None = None) -> Any:
    if axis is None:
        arr, values, axis = _flat(arr), _flat(values), 0
    return np.concatenate((arr, values), axis=axis)


def _flat(value: Any) -> Any:
    return np.ravel(as_array(value)) if traced(value) else np.ravel(value)


_block = structure(lambda arrays: np.block(_nested_lists(arrays)), name="block")


@derived(np.block, moves=True)
def _block_handler(arrays: Any) -> Any:
    leaves = list(_leaves(arrays))
    lifted = iter(_joint(leaves, None))
    return bind_structure(_block, (_relabel(arrays, lifted),), {})


def _leaves(nested: Any) -> Any:
    if isinstance(nested, list):
        for item in nested:
            yield from _leaves(item)
    else:
        yield nested


def _relabel(nested: Any, leaves: Any) -> Any:
    if isinstance(nested, list):
        return [_relabel(item, leaves) for item in nested]
    return next(leaves)


def _nested_lists(nested: Any) -> Any:
    if isinstance(nested, tuple):
        return [_nested_lists(item) for item in nested]
    return nested


_insert = structure(np.insert)


@derived(np.insert)
def _insert_handler(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    refuse_traced("insert", obj, axis)
    trace = innermost([arr, values])
    array = arr if isinstance(arr, Tracer) else as_tracer(trace, arr)
    return bind_structure(
        _insert, (array, obj, as_tracer(trace, values, array.dtype)), {"axis": axis}
    )


@derived(np.broadcast_arrays, moves=True)
def _broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Any, ...]:
    # Arrays of objects are viewed as they are.
    arrays = [
        as_array(a) if traced(a) and not isinstance(a, np.ndarray) else np.asarray(a)
        for a in args
    ]
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    return tuple(a if a.shape == shape else np.broadcast_to(a, shape) for a in arrays)


def _mesh(x: Any, shapes: Any, place: int, options: Any) -> Any:
    arrays: list[Any] = [np.zeros(s) for s in shapes]
    arrays[place] = x
    return np.meshgrid(*arrays, **dict(options))[place]


_meshgrid = structure(_mesh, name="meshgrid")


@derived(np.meshgrid, moves=True)
def _meshgrid_handler(
    *xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> Any:
    options = (("copy", copy), ("sparse", sparse), ("indexing", indexing))
    shapes = tuple([np.shape(x) for x in xi])
    zeros = [np.zeros(s) if traced(x) else x for x, s in zip(xi, shapes, strict=True)]
    known = np.meshgrid(*zeros, **dict(options))
    return type(known)(
        bind_structure(_meshgrid, (as_array(x), shapes, place, options), {})
        if traced(x)
        else known[place]
        for place, x in enumerate(xi)
    )


# -- padding -------------------------------------------------------------------

_pad = structure(np.pad)
_PAD_MODES = ("constant", "empty", "edge", "reflect", "symmetric", "wrap")


@derived(np.pad)
def _pad_handler(
    array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any
) -> Any:
    if mode not in _PAD_MODES or kwargs.get("reflect_type", "even") != "even":
        raise UnsupportedError(
            f"np.pad with mode={mode!r} and {kwargs} cannot be traced "
            f"({source_line()}); expected one of {', '.join(_PAD_MODES)}, with "
            "reflect_type='even', or np.concatenate"
        )
    refuse_traced("pad", pad_width)
    ask(np.pad, array, pad_width, mode, **kwargs)
    array = as_array(array)
    fill = kwargs.pop("constant_values", 0)
    if mode not in ("constant", "empty"):
        return bind_structure(_pad, (array, pad_width, mode), kwargs)
    moved = bind_structure(_pad, (array, pad_width), {})
    if not traced(fill) and not np.any(fill):
        return moved
    inside = np.pad(np.ones(array.shape, bool), pad_width)
    frame = cast(_frame(array, pad_width, fill), array.dtype)
    return renewed(np.where(inside, moved, frame), moved.stand_in())


def _frame(array: Tracer, pad_width: Any, fill: Any) -> Any:
    """The padding alone: NumPy puts the numbers of the fill values where they go."""
    trace = innermost([array])
    values = np.broadcast_to(as_tracer(innermost([array, fill]), fill), np.shape(fill))
    numbers = np.arange(1, values.size + 1).reshape(values.shape)
    where = np.pad(np.zeros(array.shape, int), pad_width, constant_values=numbers)
    listed = np.concatenate([as_tracer(trace, np.zeros(1)), np.ravel(values)])
    return listed[where]


# -- what is refused -----------------------------------------------------------

_NO_SHAPE = {
    np.nonzero: "np.where(condition, a, b)",
    np.flatnonzero: "np.where(condition, a, b)",
    np.argwhere: "np.where(condition, a, b)",
    np.unique: "np.sort(x)",
    np.trim_zeros: "a slice",
    np.bincount: "np.add.at with constant indices",
    np.histogram: "sums of smooth weights",
}


def _refuse_shape(function: Callable[..., Any], remedy: str) -> Callable[..., Any]:
    def handler(*args: Any, **kwargs: Any) -> Any:
        raise UnsupportedError(
            f"the shape of np.{function.__name__}'s result depends on values, which "
            f"are not known while tracing ({source_line()}); use {remedy}"
        )

    return handler


for _function, _remedy in _NO_SHAPE.items():
    registry.functions[_function] = _refuse_shape(_function, _remedy)
