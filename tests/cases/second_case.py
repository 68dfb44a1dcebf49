"""A row of the table of second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

nan, inf = float("nan"), float("inf")


class Case(NamedTuple):
    """A scalar function at a point, and its Hessian in all its arguments together.

    ulp  of error allowed in finite entries, relative to each
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    hessian: np.ndarray
    ulp: int = 4


def case(
    name: str, function: Callable[..., Any], arguments: Any, hessian: Any, ulp: int = 4
) -> Case:
    """A case; a single argument need not be in a tuple, nor one entry in a matrix."""
    if not isinstance(arguments, tuple):
        arguments = (arguments,)
    given = tuple(np.array(a, float) if isinstance(a, list) else a for a in arguments)
    return Case(name, function, given, np.atleast_2d(np.array(hessian, float)), ulp)
