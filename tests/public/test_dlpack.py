"""Capsules are what other libraries take them for, and freed once."""

from __future__ import annotations

import ctypes
import gc
import weakref
from typing import Any

import numpy as np
import pytest

from jitad.backends.exchange import dlpack
from jitad.errors import InputError


class Lent:
    """A host's array that is handed out by our capsules."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def __dlpack__(self, **_: Any) -> Any:
        x = self.array
        place = x.ctypes.data, x.shape, x.strides, x.dtype
        return dlpack.capsule(*place, self.__dlpack_device__(), self)


ARRAYS = [
    np.arange(12.0).reshape(3, 4),
    np.arange(12, dtype=np.float32).reshape(3, 4)[::2, ::-1],
    np.arange(6, dtype=np.int32).reshape(2, 3).T,
    np.array([True, False]),
    np.array(2.5),
    np.zeros((0, 3)),
]


@pytest.mark.parametrize("x", ARRAYS, ids=lambda x: f"{x.dtype}{list(x.shape)}")
def test_numpy_reads_ours_and_we_read_numpys(x):
    taken = np.from_dlpack(Lent(x))
    assert taken.dtype == x.dtype
    assert np.array_equal(taken, x)
    found = dlpack.read(np.ascontiguousarray(x).reshape(x.shape).__dlpack__())
    assert (found.shape, found.dtype) == (x.shape, x.dtype)
    back = dlpack.read(Lent(x).__dlpack__())
    assert (back.address, back.shape) == (x.ctypes.data, x.shape)
    assert back.strides == x.strides or not x.size


@pytest.mark.slow
def test_arrays_live_as_long_as_whoever_took_them():
    lent = Lent(np.arange(4.0))
    gone = weakref.ref(lent)
    taken = np.from_dlpack(lent)
    del lent
    gc.collect()
    assert gone() is not None
    assert taken.sum() == 6
    del taken
    gc.collect()
    assert gone() is None
    lent = Lent(np.arange(4.0))
    gone = weakref.ref(lent)
    capsule = lent.__dlpack__()
    found = dlpack.read(capsule)
    del lent, capsule
    gc.collect()
    assert gone() is not None, "what was read keeps it"
    del found
    gc.collect()
    assert gone() is None


def test_it_does_not_matter_what_others_say_of_pythons_functions():
    shared = ctypes.pythonapi.PyCapsule_GetPointer
    before = shared.argtypes, shared.restype
    try:
        shared.argtypes, shared.restype = (ctypes.py_object, ctypes.c_char_p), None
        assert np.from_dlpack(Lent(np.ones(2))).sum() == 2
    finally:
        shared.argtypes, shared.restype = before


def test_what_is_not_an_array_of_real_numbers_is_refused():
    with pytest.raises(InputError, match=r"type 5 of 128 bits; convert it"):
        dlpack.read(np.zeros(2, complex).__dlpack__())
    with pytest.raises(InputError, match="expected an array by DLPack, got 3"):
        dlpack.read(3)
