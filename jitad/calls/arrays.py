"""Arguments and results as a kernel sees them: native arrays, batch axes in front.

What the user passes is checked here, and never written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitad import tree
from jitad.backends.exchange.foreign import Foreign
from jitad.errors import InputError
from jitad.ir.graph import DTYPES, Type
from jitad.ir.plain import refusal
from jitad.ir.tracer import Tracer
from jitad.process.late import late

libraries = late("jitad.backends.exchange.libraries")

_NUMBERS = (float, int, bool, np.generic)


def plain(value: Any) -> Any:
    """An argument as an ndarray, a number or a traced value, if it is array-like.

    Of an array on a card a Foreign.
    """
    if isinstance(value, np.ndarray | Tracer | np.generic):
        return value
    kind = type(value)
    if hasattr(kind, "__dlpack_device__") or hasattr(kind, "__cuda_array_interface__"):
        found = libraries.foreign(value)
        if found is not None:
            return found
    if hasattr(value, "__array__") and not refusal(value):
        return np.asarray(value)
    return value


def signature(value: Any) -> Any:
    """What of an argument decides how a call is made."""
    if isinstance(value, np.ndarray):
        aligned = value.flags.aligned
        return type(value), value.dtype, value.shape, value.strides, aligned
    return value.signature if isinstance(value, Foreign) else type(value)


def checked(value: Any, k: int, spec: tree.PyTreeSpec, name: str) -> np.ndarray:
    """Argument number k as an array that a kernel can read, or an error naming it.

    An array on a card has the form of an ndarray, which must not be read.
    """
    if isinstance(value, Foreign):
        return _on_card(value, tree.argument_names(spec)[k], name)
    if more := refusal(value):
        kind = f"of type {type(value).__name__}, which has {more}"
    elif isinstance(value, (np.ndarray, *_NUMBERS)):
        dtype = np.asarray(value).dtype
        large = type(value) is int and dtype != np.int64
        if dtype.newbyteorder("=") in DTYPES and not large:
            return usable(value)
        shape = list(np.shape(value))
        kind = f"{value}, beyond int64" if large else f"{dtype}{shape}"
    else:
        kind = f"of type {type(value).__name__}"
    raise InputError(
        f"{name}: argument {tree.argument_names(spec)[k]} is {kind}; expected arrays "
        "or numbers of float64, float32, integers or bool, in nested tuples, lists, "
        "dicts or dataclasses; convert it with np.asarray(x, dtype=float), or fix a "
        "parameter that is not a number with functools.partial"
    )


def _on_card(value: Foreign, argument: str, name: str) -> np.ndarray:
    size = value.dtype.itemsize
    if value.dtype not in DTYPES:
        what = f"of {value.dtype}"
    elif value.address % size or any(s % size for s in value.strides):
        what = "unaligned"
    else:
        return value.array
    raise InputError(
        f"{name}: argument {argument} is an array on cuda:{value.card}, {what}; "
        f"expected one of {', '.join(map(str, DTYPES))}, aligned: convert it there, "
        "as by x.astype(float)"
    )


def usable(value: Any) -> np.ndarray:
    """An array whose memory a kernel can read: native, aligned; a copy if need be."""
    array = value if type(value) is np.ndarray else np.asarray(value)
    if array.dtype not in DTYPES:
        array = array.astype(array.dtype.newbyteorder("="))
    return array if array.flags.aligned else array.copy()


def copied(value: Any) -> Any:
    """A value that nobody else can write to: of an array a copy."""
    return value.copy() if isinstance(value, np.ndarray) else value


def overlap(inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> bool:
    """Whether writing an output might change an input or another output."""
    return any(
        np.may_share_memory(o, x)
        for k, o in enumerate(outputs)
        for x in [*inputs, *outputs[:k]]
    )


def targets(
    out: Any,
    spec: tree.PyTreeSpec,
    expected: Sequence[tuple[tuple[int, ...], Type]],
    name: str,
    kind: type = np.ndarray,
) -> list[Any]:
    """The arrays of out=, of the expected kind, shapes and dtypes, or an error."""
    leaves, found = tree.flatten(out)
    if found != spec:
        raise InputError(f"{name}: out has structure {found}; expected {spec}")
    for k, (leaf, (shape, type)) in enumerate(zip(leaves, expected, strict=True)):
        if not isinstance(leaf, kind) or getattr(leaf, "scalar", False):
            wanted = Type(type.dtype, shape)
            how = (
                "a traced array, as np.zeros(n, like=x) makes, "
                if kind is Tracer
                else "an array of "
            )
            raise InputError(
                f"{name}: out number {k} is {leaf!r}; expected {how}{wanted}"
            )
        if leaf.shape != shape or leaf.dtype != type.dtype:
            got, wanted = Type(leaf.dtype, leaf.shape), Type(type.dtype, shape)
            raise InputError(f"{name}: out number {k} is {got}; expected {wanted}")
        if not leaf.flags.writeable or not leaf.flags.aligned:
            raise InputError(
                f"{name}: out number {k} is read-only or unaligned; expected an array "
                "that can be written"
            )
        for j, other in enumerate(leaves[:k]):
            if np.may_share_memory(leaf, other) and np.shares_memory(leaf, other):
                raise InputError(
                    f"{name}: out number {k} shares memory with number {j}; expected "
                    "arrays apart from each other"
                )
    return leaves


# -- batch axes ----------------------------------------------------------------


def normal_axis(axis: int, dims: int, name: str) -> int:
    """A batch axis counted from the front, or an error."""
    if not dims:
        raise InputError(
            f"{name}: batch axis {axis} for a number; expected an array, or "
            "in_axes=None for it. A list is a tree of numbers: pass np.array(...)"
        )
    if not -dims <= axis < dims:
        raise InputError(
            f"{name}: batch axis {axis} for an array with {dims} axes; expected one "
            f"of {-dims} … {dims - 1}, or None"
        )
    return axis % dims


def batch_first(array: Any, axes: Sequence[int | None]) -> Any:
    """A view with the batch levels in front, of length 1 where there is no axis.

    axes[k] is counted among the axes that are left when levels outside k are gone.
    """
    for k, axis in enumerate(axes):
        if axis is None:
            array = array[(slice(None),) * k + (None,)]
        else:
            place = normal_axis(axis, array.ndim - k, "vmap") + k
            array = np.moveaxis(array, place, k)
    return array


def batch_back(array: Any, axes: Sequence[int]) -> Any:
    """The inverse of batch_first, for results: every level has an axis."""
    for level in range(len(axes) - 1, -1, -1):
        array = np.moveaxis(array, level, axes[level] + level)
    return array


def result_shape(
    shape: tuple[int, ...], extents: Sequence[int], axes: Sequence[int]
) -> tuple[int, ...]:
    """The shape of a result: a point's, with the batch axes put in."""
    for extent, axis in reversed(list(zip(extents, axes, strict=True))):
        shape = (*shape[:axis], extent, *shape[axis:])
    return shape
