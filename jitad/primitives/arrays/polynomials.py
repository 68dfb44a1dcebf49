"""Sums of polynomials, as numpy.polynomial evaluates them: polyval, chebval, ….

Imported when numpy.polynomial has been, whose functions are plain Python.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

import numpy as np
from numpy.polynomial import (
    chebyshev,
    hermite,
    hermite_e,
    laguerre,
    legendre,
    polynomial,
)

from jitad.ir.primitive import registry
from jitad.ir.tracer import traced

from .shape import as_array


def _series(function: Any) -> None:
    """A sum of polynomials at x: each column of coefficients at all of x."""
    own = FunctionType(
        function.__code__, function.__globals__, argdefs=function.__defaults__
    )

    def at(x: Any, c: Any, tensor: bool = True) -> Any:
        points = np.asarray(x) if isinstance(x, tuple | list) else x
        table = as_array(c) if traced(c) else np.asarray(c)
        table = np.atleast_1d(table if table.dtype.kind == "f" else table * 1.0)
        if tensor and np.ndim(points):
            table = np.reshape(table, table.shape + (1,) * np.ndim(points))
        return own(points, table, tensor=False)

    registry.redirects[function] = at


for _function in (
    polynomial.polyval, chebyshev.chebval, hermite.hermval, hermite_e.hermeval,
    laguerre.lagval, legendre.legval,
):  # fmt: skip
    _series(_function)
