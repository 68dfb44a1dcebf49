"""DLPack's capsules, read and written: arrays handed from library to library.

`read` says where an array of another library lies, and `capsule` hands out one of ours.
(Python array API standard, 2023, "Data interchange mechanisms"; dlpack.h, version 0.8.)
"""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jitad.backends.memory import contiguous
from jitad.errors import InputError

_NAME = b"dltensor"
_KINDS = {"i": 0, "u": 1, "f": 2, "b": 6}


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    _fields_ = (
        ("tensor", _Tensor),
        ("key", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


def _function(name: str, result: Any, *arguments: Any) -> Any:
    """A function of Python's own, whose types nobody else can change."""
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


_pointer = _function(
    "PyCapsule_GetPointer", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p
)
_valid = _function("PyCapsule_IsValid", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)
_new = _function(
    "PyCapsule_New", ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p,
    ctypes.c_void_p,
)  # fmt: skip


@dataclass(frozen=True)
class Exchanged:
    """Where an array of another library lies, which lives as long as this does."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype
    _capsule: Any = field(repr=False)


def read(capsule: Any) -> Exchanged:
    """What a capsule holds; it is left as it is, so that it frees the array itself."""
    if not _valid(id(capsule), _NAME):
        raise InputError(f"expected an array by DLPack, got {capsule!r}")
    place = _pointer(id(capsule), _NAME)
    tensor = _Managed.from_address(place).tensor
    kinds = {code: kind for kind, code in _KINDS.items()}
    if tensor.lanes != 1 or tensor.bits % 8 or tensor.code not in kinds:
        raise InputError(
            f"expected an array of real numbers, got DLPack's type {tensor.code} of "
            f"{tensor.bits} bits; convert it to float64 or float32"
        )
    dtype = np.dtype(f"{kinds[tensor.code]}{tensor.bits // 8}")
    shape = tuple(tensor.shape[: tensor.ndim])
    if tensor.strides:
        strides = tuple([s * dtype.itemsize for s in tensor.strides[: tensor.ndim]])
    else:
        strides = contiguous(shape, dtype.itemsize)
    address = (tensor.data or 0) + tensor.offset
    return Exchanged(address, shape, strides, dtype, capsule)


# Arrays that others still use, by number.
_lent: dict[int, tuple[Any, ...]] = {}
_keys = itertools.count(1)


def capsule(
    address: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    dtype: np.dtype,
    device: tuple[int, int],
    owner: Any,
) -> Any:
    """A capsule with an array: strides in bytes, device in DLPack's numbers.

    owner  lives until whoever takes the array, or else the capsule, is done with it
    """
    axes = ctypes.c_int64 * len(shape)
    key, extents = next(_keys), axes(*shape)
    steps = axes(*[s // dtype.itemsize for s in strides])
    tensor = _Tensor(
        address, *device, len(shape), _KINDS[dtype.kind], 8 * dtype.itemsize, 1,
        extents, steps, 0,
    )  # fmt: skip
    managed = _Managed(tensor, key, ctypes.cast(_delete, ctypes.c_void_p))
    _lent[key] = managed, extents, steps, owner
    return _new(ctypes.addressof(managed), _NAME, ctypes.cast(_drop, ctypes.c_void_p))


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def _delete(managed: int) -> None:
    _lent.pop(_Managed.from_address(managed).key, None)


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def _drop(capsule: int) -> None:
    """Of a capsule that nobody took."""
    if _valid(capsule, _NAME):
        _delete(_pointer(capsule, _NAME))
