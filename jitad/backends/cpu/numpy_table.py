"""NumPy's table of C functions, which are called by their places in it.

The places are those of NumPy 2's stable binary interface (numpy/__multiarray_api.h).
"""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np

SCALAR, NEW, SET_HANDLER, GET_HANDLER = 60, 93, 304, 305


def function(place: int) -> int:
    """The address of a function of NumPy's C interface."""
    return ctypes.c_void_p.from_address(_table() + 8 * place).value or 0


@cache
def _table() -> int:
    capsule = np._core._multiarray_umath._ARRAY_API  # type: ignore[attr-defined]
    kind = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    return kind(("PyCapsule_GetPointer", ctypes.pythonapi))(capsule, None)
