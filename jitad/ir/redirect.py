"""Calls of plain Python functions that no NumPy protocol hands over, while tracing.

SciPy has functions written in Python that make arrays of their arguments and so never
meet a tracer.  While any trace runs, `redirected` gives each function in the registry's
redirects the code of a dispatcher, wherever the function was imported to.  Calls
without traced values, from any thread, run the function's own code; after the last
trace each function is what it was.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from jitad import locks
from jitad.ir.primitive import registry
from jitad.ir.tracer import traced


class _Redirection:
    """How many traces run in which thread, and the functions' own code meanwhile."""

    def __init__(self) -> None:
        self.lock = locks.lock()
        self.traces: Counter[int] = Counter()
        self.own: dict[FunctionType, CodeType] = {}

    def begin(self) -> None:
        """The first trace puts the dispatchers in."""
        with self.lock:
            first = not self.traces
            self.traces[threading.get_ident()] += 1
            if not first:
                return
            for function, handler in registry.redirects.items():
                if isinstance(function, FunctionType):
                    self.own[function] = function.__code__
                    function.__code__ = _dispatcher(function, handler)

    def end(self) -> None:
        """The last trace puts everything back."""
        with self.lock:
            self.traces[threading.get_ident()] -= 1
            self._put_back()

    def forked(self) -> None:
        """A child has only the traces of the thread that made it."""
        here = threading.get_ident()
        self.traces = Counter({here: self.traces[here]})
        self._put_back()

    def _put_back(self) -> None:
        self.traces = +self.traces
        if not self.traces:
            for function, code in self.own.items():
                function.__code__ = code
            self.own.clear()


_redirection = _Redirection()
locks.after_forks(_redirection.forked)


@contextmanager
def redirected() -> Iterator[None]:
    """Let the functions in registry.redirects take traced values."""
    _redirection.begin()
    try:
        yield
    finally:
        _redirection.end()


@cache
def _dispatcher(function: FunctionType, handler: Callable[..., Any]) -> CodeType:
    """Code that asks its arguments which function they are for.

    It holds both functions as constants, so that it needs no name in the globals of
    the module that it runs in.
    """
    original = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    original.__kwdefaults__ = function.__kwdefaults__

    def dispatch(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if traced(args) or traced(list(kwargs.values())):
            result = handler(*args, **kwargs)
            if result is not NotImplemented:
                return result
        return original(*args, **kwargs)

    code = _template.__code__
    constants = tuple(dispatch if c == _PLACE else c for c in code.co_consts)
    return code.replace(
        co_consts=constants,
        co_name=function.__name__,
        co_filename=__file__,
        # A function's code must have as many as it, used or not.
        co_freevars=function.__code__.co_freevars,
    )


_PLACE = "where the dispatcher goes"


def _template(*args: Any, **kwargs: Any) -> Any:
    dispatch: Any = "where the dispatcher goes"
    return dispatch(args, kwargs)
