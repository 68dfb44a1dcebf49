"""Arrays that are more than their numbers: masked ones, matrices, those with units.

They compute by rules of their own, which would be lost if only their numbers were
taken.  `refusal` says why a value is none of the plain arrays that are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitad.process.late import imported

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
