"""Calls of NumPy's functions that meet a tracer: their handlers, and their errors.

`call_ufunc` and `call_function` are what NumPy's two protocols lead to.  Lists and
object arrays of traced scalars become traced arrays before a ufunc's handler sees them.
A handler that fails otherwise than by an error of jitad's own raises what NumPy says to
the same call, or, where NumPy has an answer, that the call cannot be traced.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from jitad.errors import JitadError, UnsupportedError

from .failing import fail_where
from .primitive import registry
from .source import origin, source_line
from .tracer import Tracer, as_tracer, innermost, traced

_PLAIN = {
    *(float, int, bool, np.float64, np.float32, np.int64, np.int32, np.bool),
    Tracer,
}


# -- ufuncs --------------------------------------------------------------------


def apply_ufunc(ufunc: np.ufunc, args: Sequence[Any]) -> Any:
    """What a NumPy ufunc does to traced values."""
    handler = registry.ufuncs.get(ufunc) or registry.ufunc(ufunc)
    if handler is None:
        raise UnsupportedError(
            f"{ufunc.__name__} cannot be traced ({source_line()}); write it with "
            f"functions that can, {_others(ufunc)}, or make it known by "
            "jitad.primitive"
        )
    try:
        return handler(*[a if type(a) in _PLAIN else operand(a) for a in args])
    except JitadError:
        raise
    except Exception as error:
        raise blame(ufunc, args, {}, error) from None


def _others(ufunc: np.ufunc) -> str:
    """What there is in place of a ufunc."""
    special = sys.modules.get("scipy.special")
    if getattr(special, ufunc.__name__, None) is not ufunc:
        return "such as NumPy's own"
    known = sorted(
        f.__name__ for f in registry.ufuncs
        if getattr(special, f.__name__, None) is f
    )  # fmt: skip
    return f"of scipy.special {', '.join(known)}"


def operand(value: Any) -> Any:
    """An operand as an array, a tracer or a number: lists and object arrays stacked."""
    if type(value) in _PLAIN:
        return value
    objects = isinstance(value, np.ndarray) and value.dtype.kind == "O"
    if objects or isinstance(value, list | tuple):
        if traced(value):
            return as_tracer(innermost([value]), value)
        return np.asarray(value)
    return value


def call_ufunc(ufunc: np.ufunc, method: str, args: Any, kwargs: dict[str, Any]) -> Any:
    """A ufunc's call with options, or one of its methods."""
    handler = registry.functions.get(f"ufunc.{method}")
    name = ufunc.__name__ + ("" if method == "__call__" else f".{method}")
    if handler is None:
        raise UnsupportedError(
            f"np.{name} cannot be traced ({source_line()}); write it with array "
            "expressions"
        )
    try:
        return handler(ufunc, *args, **kwargs)
    except JitadError:
        raise
    except Exception as error:
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        raise blame(function, args, kwargs, error, name) from None


# -- functions -----------------------------------------------------------------


def call_function(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """One of NumPy's functions."""
    handler = registry.functions.get(function)
    if handler is None:
        name = f"{function.__module__}.{function.__name__}"
        raise UnsupportedError(
            f"{name} cannot be traced ({source_line()}); write it with functions "
            "that can: NumPy's arithmetic, reductions, indexing, linear algebra"
        )
    out = kwargs.get("out")
    try:
        if out is None:
            return handler(*args, **kwargs)
        rest = {k: v for k, v in kwargs.items() if k != "out"}
        result = handler(*args, **rest)
        store = registry.functions["ufunc.store"]
        return store(function, result, out, (result,))
    except JitadError:
        raise
    except Exception as error:
        raise blame(function, args, kwargs, error) from None


registry.functions["ufunc.apply"] = apply_ufunc
registry.functions["ufunc.call"] = call_ufunc
registry.functions["function.call"] = call_function

# -- what NumPy says -----------------------------------------------------------

# NumPy meets what `plain` has left traced, as in a deque: it is not asked again.
_asking: ContextVar[bool] = ContextVar("asking", default=False)


def ask(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What NumPy answers to a call, or raises, with ones in place of traced values."""
    with np.errstate(all="ignore"):
        return function(*plain(args), **plain(kwargs))


def plain(value: Any) -> Any:
    """A value with arrays of ones in place of traced ones, laid out like them."""
    if isinstance(value, Tracer):
        ones = np.ones_like(value.stand_in())
        return ones[()] if value.scalar else ones
    if isinstance(value, list | tuple):
        items = [plain(v) for v in value]
        return items if isinstance(value, list) else tuple(items)
    if type(value) is dict:
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray) and value.dtype == object and traced(value):
        return plain(as_tracer(innermost([value]), value))
    return value


def blame(
    function: Callable[..., Any],
    args: Any,
    kwargs: dict[str, Any],
    error: Exception,
    name: str | None = None,
) -> Exception:
    """The error to raise where a handler failed with one that is not jitad's.

    That of the user's own code stays, and that of a path on which the call fails; else
    it is NumPy's, if the call is none of its.
    """
    raised = origin(error)
    if raised.user or raised.code is fail_where.__code__ or _asking.get():
        return error
    token = _asking.set(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ask(function, *args, **kwargs)
    except Exception as told:
        same = isinstance(error, type(told)) or isinstance(told, type(error))
        return error if same and raised.deliberate else told
    finally:
        _asking.reset(token)
    text = f"np.{name or function.__name__}"
    return UnsupportedError(
        f"{text} cannot be traced with these arguments ({source_line()}): {error}; "
        "write it with other functions, or leave out what is named"
    )
