"""Values that are not traced, as constants of a trace: plain arrays, native dtypes.

Arrays that are more than their numbers, as masked ones, matrices, and those with units,
compute by rules of their own, which would be lost if only their numbers were taken.
`refusal` says why a value is none of the plain arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitad.errors import UnsupportedError
from jitad.process.late import imported

from .graph import COMPUTED, DTYPES
from .source import source_line

_PLAIN = np.ndarray.__array_ufunc__


def refusal(value: Any) -> str | None:
    """What a value has that its numbers have not; None of plain arrays and numbers."""
    kind = type(value)
    if imported("numpy.ma") and isinstance(value, np.ma.MaskedArray):
        return "a mask"
    if isinstance(value, np.matrix):
        return "a product of its own"
    own = getattr(kind, "__array_ufunc__", _PLAIN)
    if own is _PLAIN:
        return None
    if own is None or isinstance(value, np.ndarray):
        return "arithmetic of its own"
    # Of other libraries' arrays, such as tables with labels, only what says no.
    answer = own(value, np.multiply, "__call__", value, np.float64(1.0))
    return "arithmetic of its own" if answer is NotImplemented else None


def plain_array(value: Any) -> np.ndarray:
    """A value without traced ones as an array; raises where it is more than that."""
    if more := refusal(value):
        raise UnsupportedError(
            f"a {type(value).__name__} cannot be traced ({source_line()}), because it "
            f"has {more}; use np.asarray(x), and np.where for what is masked"
        )
    return np.asarray(value)


def whole(value: int, dtype: np.dtype | None = None) -> np.generic:
    """A Python int in a dtype, or in that in which NumPy holds it.

    Raises OverflowError where it is out of bounds for the dtype, as NumPy does.
    """
    found = np.asarray(value).dtype if dtype is None else dtype
    if found.kind == "O":
        raise UnsupportedError(
            f"{value} has more than 64 bits ({source_line()}); expected a number of "
            f"{COMPUTED}: write float({value})"
        )
    with np.errstate(over="ignore"):
        return found.type(value)


def nearest(dtype: np.dtype) -> np.dtype:
    """The native dtype that holds constants of dtype, or an error."""
    if dtype.newbyteorder("=") in DTYPES:
        return dtype.newbyteorder("=")
    raise UnsupportedError(
        f"values of dtype {dtype} cannot be traced ({source_line()}); jitad computes "
        f"in {COMPUTED}: convert with astype"
    )
