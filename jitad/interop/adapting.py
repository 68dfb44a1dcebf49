"""What adapters share: shapes that are checked before they are handed on.

A library's callback is called from C++ or Fortran, where a wrong shape is broadcast,
reshaped or read past its end: `fitting` is asked before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitad import tree
from jitad.api import Argnums, jacobian, jit
from jitad.errors import InputError
from jitad.ir.source import source_line

Shape = tuple[int, ...]


def fitting(what: str, value: Any, shape: Shape, remedy: str) -> Any:
    """A result that has the shape that its library expects; InputError otherwise."""
    if np.shape(value) != shape:
        raise InputError(
            f"{what} has shape {np.shape(value)} ({source_line()}); expected {shape}: "
            f"{remedy}"
        )
    return value


def scalar(adapter: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, where it returns one number; else InputError when traced."""

    def number(*args: Any) -> Any:
        y = f(*args)
        remedy = "a number; reduce it, as with np.sum"
        return fitting(f"{adapter}: what {name_of(f)} returns", y, (), remedy)

    return number


def with_slopes(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """(*x) -> what a function returns, and its Jacobian, by one kernel."""
    slopes = jacobian(f, argnums)
    return jit(lambda *x: (f(*x), slopes(*x)))


def result_shape(adapter: str, f: Callable[..., Any], *args: Any) -> Shape:
    """The shape of a function's one result, traced and not computed."""
    function = jit(f)
    leaves, spec = tree.flatten((args, {}))
    _, _, inputs = function.point(spec, leaves)
    types = function.derived(spec, inputs).graph.output_types
    if len(types) != 1:
        raise InputError(
            f"{adapter}: {name_of(f)} returns {len(types)} results ({source_line()}); "
            "expected one array: put them together with np.concatenate or np.stack"
        )
    return types[0].shape


def name_of(f: Callable[..., Any]) -> str:
    """How a user's function is called in messages."""
    return getattr(f, "__name__", type(f).__name__)
