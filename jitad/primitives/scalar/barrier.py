"""A scalar that has no derivative, and another value, where a condition holds."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitad.ir.bind import bind, promote
from jitad.primitives.define import elementwise

_undefined = elementwise(
    "undefined_where",
    evaluate=lambda condition, value, x: np.where(condition, value, x),
    expand=lambda condition, value, x: np.where(condition, value, x),
    partials=lambda y, condition, value, x: [
        None,
        None,
        # A plain select: a gate would be the strong zero that hides the NaN.
        np.where(condition, y.dtype.type(np.nan), y.dtype.type(1)),
    ],
)


def undefined_where(condition: Any, value: Any, x: Any) -> Any:
    """The given value with derivative NaN where condition holds, elsewhere x."""
    dtype = promote([x])
    return bind(
        _undefined, [condition, value, x], [np.dtype(bool), dtype, dtype], dtype
    )
