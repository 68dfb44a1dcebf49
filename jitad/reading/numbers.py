"""Numba's arithmetic on traced numbers and arrays, where it is not NumPy's.

Every number has a type of its own: a literal is an int64 or a float64, which promotes
as such, and an integer of fewer bits is computed with in 64.  Numbers that are known
stay Python's, and wrap around at 64 bits, too.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from jitad.ir.bind import cast
from jitad.ir.trace import current
from jitad.ir.tracer import Tracer, as_tracer

from .lines import refuse

INT, FLOAT = np.dtype(np.int64), np.dtype(np.float64)
# What with float32 is float32; uint16 is not.
_IN_SINGLE = {np.dtype(t) for t in (np.bool_, np.int8, np.uint8, np.int16)}
_LOGICAL = {operator.and_, operator.or_, operator.xor}
COMPARISONS = {
    operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge,
}  # fmt: skip
_IDENTITY = {operator.is_, operator.is_not}


def known(value: Any) -> bool:
    """Whether it is a number of Python's."""
    return type(value) in (bool, int, float)


def is_number(value: Any) -> bool:
    """Whether it is a number, known or traced; an array is what a reference means."""
    if isinstance(value, Tracer):
        return not value.shape
    return known(value) or isinstance(value, np.generic)


def plain(value: Any) -> Any:
    """A number as the reader holds it: of Python's where its type has one."""
    if isinstance(value, Tracer):
        return scalar(value)
    if isinstance(value, np.ndarray) and not value.ndim:
        value = value[()]
    if type(value) in (np.float64, np.int64, np.bool_):
        return value.item()
    return value


def scalar(value: Tracer) -> Tracer:
    """A traced value whose type is its own, and a number where it has no axes."""
    if not value.weak and (value.shape or value.scalar):
        return value
    return Tracer(value.builder, value.index, value.type)


def typed(value: Any) -> Any:
    """A number of Python's in the type that Numba gives it."""
    if type(value) is int:
        return np.int64(wrapped(value))
    if type(value) is float:
        return np.float64(value)
    return np.bool_(value) if type(value) is bool else value


def wrapped(value: int) -> int:
    """What 64 bits hold of a whole number."""
    return (value + 2**63) % 2**64 - 2**63


def shape(value: Any) -> tuple[int, ...]:
    """The shape of a number or an array."""
    return value.shape if isinstance(value, Tracer) else np.shape(value)


def dtype(value: Any) -> np.dtype:
    """The dtype of a number or an array, as Numba has it."""
    return value.dtype if isinstance(value, Tracer) else np.asarray(typed(value)).dtype


def convert(value: Any, to: Any) -> Any:
    """A number or an array in another dtype, as a C cast."""
    to = np.dtype(to)
    if isinstance(value, Tracer):
        return cast(value, to)
    if dtype(value) == to:
        return value
    return plain(np.asarray(typed(value)).astype(to)[()])


def number(value: Any) -> Tracer:
    """A number or an array as a traced value of the running trace."""
    running = current()
    assert running is not None
    return scalar(as_tracer(running, typed(value)))


def _wide(value: Any) -> Any:
    """An integer of fewer bits, or a truth, in 64 bits; all else as it is."""
    value = typed(value)
    kind = dtype(value)
    if shape(value) or kind.kind not in "biu" or kind.itemsize == 8:
        return value
    return convert(value, np.uint64 if kind.kind == "u" else INT)


def binary(function: Callable[..., Any], a: Any, b: Any) -> Any:
    """a ∘ b for one of the operators."""
    if function in _IDENTITY:
        if a is None or b is None:
            return function(a, b)
        raise refuse("`is` of numbers or arrays", "compare with ==")
    if known(a) and known(b):
        return _concrete(function, a, b)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return _tuples(function, a, b)
    for x in (a, b):
        if not isinstance(x, Tracer | np.ndarray | np.generic) and not known(x):
            raise refuse(
                f"{getattr(function, '__name__', function)} of {_kind(x)}",
                "expected numbers, arrays, and tuples of them",
            )
    if function is operator.pow:
        return power(a, b)
    logical = function in _LOGICAL and {dtype(a).kind, dtype(b).kind} == {"b"}
    if function in COMPARISONS or logical:
        return plain(function(typed(a), typed(b)))
    with np.errstate(all="ignore"):
        return plain(function(*_joined(function, typed(a), typed(b))))


def _joined(function: Callable[..., Any], a: Any, b: Any) -> tuple[Any, Any]:
    """Whole numbers in 64 bits: with a sign if one has it, but for what is shifted."""
    if "f" in dtype(a).kind + dtype(b).kind:
        single = dtype(a) in _IN_SINGLE or dtype(b) in _IN_SINGLE
        return (a, b) if single else (_wide(a), _wide(b))
    a, b = _wide(a), _wide(b)
    mixed = {dtype(a), dtype(b)} == {INT, np.dtype(np.uint64)}
    if not mixed or shape(a) or shape(b) or function is operator.truediv:
        return a, b
    if function in (operator.lshift, operator.rshift):
        return a, convert(b, dtype(a))
    return convert(a, INT), convert(b, INT)


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _tuples(function: Callable[..., Any], a: Any, b: Any) -> Any:
    if function is operator.add:
        return a + b
    if function in (operator.eq, operator.ne) and len(a) == len(b):
        found: Any = True
        for x, y in zip(a, b, strict=True):
            found = binary(operator.and_, found, binary(operator.eq, x, y))
        return found if function is operator.eq else unary(operator.not_, found)
    raise refuse(f"{function.__name__} of tuples", "compare their numbers")


def _concrete(function: Callable[..., Any], a: Any, b: Any) -> Any:
    if function is operator.pow and type(a) is not float and type(b) is not float:
        return power(a, b)
    if function in (operator.lshift, operator.rshift) and not 0 <= b < 64:
        raise refuse(f"a shift by {b}", "expected 0 to 63 bits")
    try:
        found = function(a, b)
    except OverflowError:
        found = math.inf
    if isinstance(found, complex):
        return math.nan
    return wrapped(found) if type(found) is int else found


def power(a: Any, b: Any) -> Any:
    """a ** b."""
    whole = dtype(a).kind in "biu" and dtype(b).kind in "biu"
    if not whole:
        # A known whole exponent is a product of the base with itself.
        exponent = b if type(b) is int else _wide(b)
        return plain(np.power(_wide(a), exponent))
    if type(b) is not int or b < 0:
        raise refuse(
            "a whole number to a whole power that is negative, or not known",
            "make the base a float: float(a) ** b",
        )
    if known(a):
        return wrapped(int(a) ** b)
    return plain(np.power(_wide(a), np.int64(b)))


def unary(function: Callable[..., Any], a: Any) -> Any:
    """One of -, +, ~, not: of integers in their own bits, then in 64."""
    of_truth = is_number(a) and dtype(a).kind == "b"
    if function is operator.not_ or (function is operator.invert and of_truth):
        return plain(np.logical_not(truth(a)))
    if known(a):
        found = function(int(a) if type(a) is bool else a)
        return wrapped(found) if type(found) is int else found
    if not isinstance(a, Tracer | np.ndarray | np.generic):
        raise refuse(f"{function.__name__} of {_kind(a)}", "expected numbers or arrays")
    if shape(a):
        return plain(function(a))
    with np.errstate(over="ignore"):  # of NumPy's numbers, which wrap and warn
        return plain(_wide(function(_wide(a) if of_truth else a)))


def truth(value: Any) -> Any:
    """bool(value), known or traced."""
    if value is None or isinstance(value, str | tuple):
        return bool(value)
    if isinstance(value, Tracer) and not value.shape:
        return value if value.dtype.kind == "b" else plain(value != 0)
    if known(value) or isinstance(value, np.generic):
        return bool(value)
    raise refuse(f"the truth of {_kind(value)}", "use .any(), .all() or len()")


def either(a: Any, b: Any) -> Any:
    """Whether one of two holds, known or traced."""
    if a is False:
        return b
    return a if b is False or a is True else np.logical_or(a, b)


def joint(a: np.dtype, b: np.dtype) -> np.dtype:
    """The dtype of a name that has one or the other."""
    return np.result_type(a, b)


def same(a: Any, b: Any) -> bool:
    """Whether two numbers or arrays are one and the same."""
    if a is b:
        return True
    if isinstance(a, Tracer) and isinstance(b, Tracer):
        return a.builder.nodes is b.builder.nodes and a.index == b.index
    if known(a) and known(b):
        # Zeros of either sign differ, and NaN is NaN.
        return type(a) is type(b) and (a == b or a != a != b != b) and (
            math.copysign(1, a) == math.copysign(1, b)
        )  # fmt: skip
    if type(a) is type(b) and isinstance(a, np.generic):
        return a.tobytes() == b.tobytes()
    return False


def select(condition: Any, a: Any, b: Any) -> Any:
    """a where the condition holds, else b; numbers, or arrays of one shape."""
    if same(a, b):
        return a
    to = joint(dtype(a), dtype(b))
    made = np.where(condition, typed(convert(a, to)), typed(convert(b, to)))
    return plain(made)
