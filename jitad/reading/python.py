"""Python's arithmetic on traced numbers and arrays, where plain functions are read.

Traced numbers are of 64 bits, and Python's whole numbers are not; nor does a kernel
raise where Python would.  What could differ from running the function is refused here,
so that it is run: whole numbers that may grow beyond 64 bits, division by one that may
be zero, arithmetic of truths, and dtypes that Python's numbers do not promote.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from jitad.ir.redirect import undirected
from jitad.ir.source import foreign
from jitad.ir.tracer import Tracer, traced

from . import numbers
from .bounds import Bounds
from .heap import Counted, Listed, Places, Range, Reference, State, Zipped
from .lines import refuse
from .numbers import COMPARISONS, dtype, either, known, plain, shape

_DTYPES = {np.dtype(float), np.dtype(np.int64), np.dtype(bool)}
_DIVISIONS = {operator.truediv, operator.floordiv, operator.mod}
_BITS = {operator.and_, operator.or_, operator.xor}
_SMALL = 2**31  # what may be added to a number as often as a loop goes
_WHOLE = {"round": "np.round(x)", "divmod": "x // y, x % y"}


def binary(function: Callable[..., Any], a: Any, b: Any, bounds: Bounds) -> Any:
    """a ∘ b for one of the operators."""
    if isinstance(a, Listed) or isinstance(b, Listed):
        raise refuse(f"{function.__name__} of a list", "use arrays")
    if known(a) and known(b):
        return small(function(a, b))
    if isinstance(a, tuple) or isinstance(b, tuple) or a is None or b is None:
        return numbers.binary(function, a, b)
    if isinstance(a, str) or isinstance(b, str):
        return function(a, b)
    if function in COMPARISONS:
        return numbers.binary(function, a, b)
    kinds = dtype(a).kind + dtype(b).kind
    if kinds == "bb" and function not in _BITS:
        raise refuse("arithmetic of truths", "convert them with np.where(c, 1.0, 0.0)")
    if "f" not in kinds and not shape(a) and not shape(b):
        _check_whole(function, a, b, bounds)
    elif function in _DIVISIONS and known(a) and not shape(b):
        _check_divisor(b, bounds)
    if function is operator.pow and "f" not in kinds:
        return numbers.power(a, b)
    with np.errstate(all="ignore"):
        return plain(function(a, b))


def small(value: Any) -> Any:
    """A number that is known; refused where a kernel has no such number."""
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise refuse("a whole number of more than 64 bits", "compute with floats")
    if isinstance(value, complex):
        raise refuse("a complex number", "compute with real ones")
    return value


def _check_whole(
    function: Callable[..., Any], a: Any, b: Any, bounds: Bounds
) -> None:  # fmt: skip
    """Refuse what may leave the 64 bits that a traced whole number has."""
    if function in _DIVISIONS:
        _check_divisor(b, bounds)
        return
    if function in _BITS:
        return
    ends = [(0, 1) if dtype(x).kind == "b" else bounds.of(x) for x in (a, b)]
    sizes = [max(map(abs, e)) for e in ends if e is not None]
    if function in (operator.add, operator.sub) and min(sizes, default=2**62) <= _SMALL:
        return
    if function is operator.mul and len(sizes) == 2 and sizes[0] * sizes[1] < 2**62:
        return
    power = function is operator.pow and type(b) is int and b >= 0
    if power and len(sizes) == 2 and sizes[0] ** b < 2**62:
        return
    raise refuse(
        f"{function.__name__} of whole numbers of which nobody knows how large they "
        "become",
        "make one of them a float",
    )


def _check_divisor(b: Any, bounds: Bounds) -> None:
    if dtype(b).kind == "f":
        return
    ends = bounds.of(b)
    if ends is None or ends[0] <= 0 <= ends[1]:
        raise refuse(
            "division by a whole number that may be zero",
            "convert it to a float, as in x / float(k)",
        )


def unary(function: Callable[..., Any], a: Any) -> Any:
    """One of -, +, ~, not."""
    if known(a) and function is not operator.not_:
        return small(function(a))
    number = isinstance(a, Tracer | np.ndarray)
    if function is not operator.not_ and number and dtype(a).kind == "b":
        raise refuse(f"{function.__name__} of a truth", "use np.logical_not")
    if function is operator.not_ or not number:
        return numbers.unary(function, a)
    return plain(function(a))


def checked(value: Any, state: State) -> Any:
    """A value, if its dtype is one that Python's numbers have, too."""
    found = state.cells[value.cell].value if isinstance(value, Reference) else value
    if isinstance(found, Tracer | np.ndarray | np.generic) and (
        found.dtype not in _DTYPES
    ):
        raise refuse(f"a value of dtype {found.dtype}", "compute in float64")
    return value


def is_readable(function: Any) -> bool:
    """Whether it is a function of the user's."""
    return isinstance(function, FunctionType) and not foreign(
        undirected(function).__code__.co_filename
    )


def call(function: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """function(*args) where Python computes that, else NotImplemented."""
    own = getattr(builtins, getattr(function, "__name__", ""), None) is function
    if own and function.__name__ in ("print", "input", "open", "eval", "exec"):
        return NotImplemented
    module = getattr(function, "__module__", "")
    if not own and module != "math":
        return NotImplemented
    if not keywords and args and all(map(known, args)) and function is not range:
        return small(function(*args))
    if function.__name__ in _WHOLE and traced(list(args)):
        raise refuse(
            f"{function.__name__} of a traced number",
            f"use {_WHOLE[function.__name__]}",
        )
    return NotImplemented


_KNOWN = (
    Reference, np.ndarray, ModuleType, type, np.dtype, np.finfo, np.iinfo, Listed,
    Range, Counted, Zipped, Places, Tracer, int, float, str,
)  # fmt: skip


def attribute(value: Any, name: str, state: State) -> Any:
    """value.name of an object of the user's, else NotImplemented."""
    if isinstance(value, _KNOWN) or value is None:
        return NotImplemented
    return outside(getattr(value, name), state)


def no_int(value: Any) -> Any:
    """Whether a number is none that 64 bits hold the whole part of."""
    if isinstance(value, Tracer) and value.dtype.kind == "f":
        return np.logical_not(np.abs(value) < 2.0**62)
    return False


def outside_of(place: Tracer, extent: int, ends: tuple[int, int]) -> Any:
    """Whether a place between some ends is none of an axis, from the end neither."""
    low: Any = place < -extent if ends[0] < -extent else False
    high: Any = place >= extent if ends[1] >= extent else False
    return either(low, high)


def outside(value: Any, state: State) -> Any:
    """What comes from outside of all functions that are read, as names hold it."""
    if isinstance(value, list):
        return Listed(tuple([outside(x, state) for x in value]))
    if type(value) is tuple:
        return tuple([outside(x, state) for x in value])
    if isinstance(value, Tracer) and value.shape:
        return state.new(plain(value), frozen=True)
    if isinstance(value, np.ndarray) and value.ndim:
        return value
    return plain(value)
