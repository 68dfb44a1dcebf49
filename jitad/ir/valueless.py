"""Errors of traced values that are asked for a value, which they do not have yet."""

from __future__ import annotations

from typing import Any

from jitad.errors import TracingError

from .source import OF_SCIPY, SCIPY, draws, source_line


def no_number(value: Any, caller: str) -> TracingError:
    """An error for float(value), asked for by code in the file `caller`."""
    if caller.startswith(SCIPY):
        return TracingError(f"{value!r} has no value yet ({source_line()}): {OF_SCIPY}")
    return TracingError(
        f"{value!r} has no value yet ({source_line()}): float() and functions of "
        "the math module need a number; use NumPy's function of the same name.  "
        "An array from np.zeros(n) cannot hold traced values, one from "
        "np.zeros(n, like=x), np.zeros_like(x) or jitad.zeros can"
    )


def no_index(value: Any) -> TracingError:
    """An error for a traced value where a whole number is needed."""
    return TracingError(
        f"{value!r} has no value yet ({source_line()}), so it cannot be a shape, a "
        "range, a slice bound or a list index; pass it as a plain Python value, "
        "for instance with functools.partial; a constant table is indexed by "
        "np.asarray(table, like=i)[i]"
    )


def no_place(value: Any) -> TracingError:
    """An error for a constant array that is indexed by a traced value."""
    return TracingError(
        f"a constant array is indexed by {value!r}, which has no value yet "
        f"({source_line()}); use np.take(array, i), or "
        "np.asarray(array, like=i)[i]"
    )


def no_array(value: Any, dtype: Any) -> TracingError:
    """An error for a traced value that is to become an array of numbers."""
    if drawn := draws():
        return TracingError(
            f"{drawn.pop()}() cannot draw by {value!r}, which has no value yet "
            f"({source_line()}); draw with jitad.random, such as mean + scale "
            "* jitad.random.normal(key, counter), whose numbers are new at "
            "each call, or draw before and pass what was drawn"
        )
    return TracingError(
        f"{value!r} cannot become a concrete {dtype} array "
        f"({source_line()}): leave dtype= out, or use x.astype(dtype) or "
        "np.stack([...]); an array from np.zeros(n) cannot hold traced values, "
        "one from np.zeros(n, like=x), np.zeros_like(x) or jitad.zeros can; a "
        "constant table is indexed by np.asarray(table, like=i)[i]"
    )
