"""Calls of plain Python functions that no NumPy protocol hands over, while tracing.

SciPy has functions written in Python that make arrays of their arguments and so never
meet a tracer, and NumPy's protocol knows nothing of lists and arrays of objects.  While
any trace runs, `redirected` gives each such function the code of a dispatcher, wherever
it was imported to.  Calls without traced values, from any thread, run the function's
own code; after the last trace each function is what it was.  So do functions of the
user's whose loops are read (see `afresh`), while the traces run that say so.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cache, partial
from types import CodeType, FunctionType
from typing import Any

import numpy as np
from numpy._core import _methods  # type: ignore[attr-defined]

from jitad.process import locks

from .primitive import registry
from .tracer import inside, traced

# What the methods of an array of objects call.
_METHODS: dict[str, Any] = {
    "_amax": np.max, "_amin": np.min, "_sum": np.sum, "_prod": np.prod, "_any": np.any,
    "_all": np.all, "_mean": np.mean, "_var": np.var, "_std": np.std, "_clip": np.clip,
}  # fmt: skip


class _Redirection:
    """How many traces run in which thread, and the functions' own code meanwhile.

    read  how many traces read a function of the user's, and its own code
    """

    def __init__(self) -> None:
        self.lock = locks.lock()
        self.traces: Counter[int] = Counter()
        self.own: dict[FunctionType, CodeType] = {}
        self.read: dict[FunctionType, tuple[int, CodeType]] = {}

    def begin(self, functions: Collection[FunctionType]) -> None:
        """The first trace puts the dispatchers in, others what has come since."""
        registry.arrived()
        with self.lock:
            self.traces[threading.get_ident()] += 1
            for function in functions:
                count, own = self.read.get(function, (0, function.__code__))
                self.read[function] = count + 1, own
                if not count:
                    handler = partial(_read, function)
                    function.__code__ = _dispatching(function, handler, traced)
            wanted = _redirects(len(registry.redirects))
            if len(self.own) == len(wanted):
                return
            for function, handler, concerns in wanted:
                if function not in self.own:
                    self.own[function] = function.__code__
                    function.__code__ = _dispatcher(function, handler, concerns)

    def end(self, functions: Collection[FunctionType]) -> None:
        """The last trace puts everything back."""
        with self.lock:
            self.traces[threading.get_ident()] -= 1
            for function in functions:
                count, own = self.read[function]
                self.read[function] = count - 1, own
            self._put_back()

    def forked(self) -> None:
        """A child has only the traces of the thread that made it."""
        here = threading.get_ident()
        self.traces = Counter({here: self.traces[here]})
        self._put_back()

    def _put_back(self) -> None:
        self.traces = +self.traces
        for function, (count, code) in list(self.read.items()):
            if not (count and self.traces):
                function.__code__ = code
                del self.read[function]
        if not self.traces:
            for function, code in self.own.items():
                function.__code__ = code
            self.own.clear()


@cache
def _redirects(count: int) -> list[tuple[FunctionType, Callable[..., Any], Any]]:
    """Python functions, who takes over, and of which values he does.

    count  how many are in the registry's redirects
    """
    del count
    found = [
        (function, handler, traced)
        for function, handler in registry.redirects.items()
        if isinstance(function, FunctionType)
    ]
    pairs = [(getattr(f, "_implementation", None), f) for f in registry.stacking]
    pairs += [(getattr(_methods, n, None), f) for n, f in _METHODS.items()]
    for own, function in pairs:
        if isinstance(own, FunctionType):
            found.append((own, partial(_call, function), _of_users))
    return found


def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return registry.functions["function.call"](function, args, kwargs)


def _of_users(value: Any) -> bool:
    """Whether a value holds traced values of a function that runs, not of a graph."""
    return any(t.builder.path is not None for t in inside(value))


_redirection = _Redirection()
locks.after_forks(_redirection.forked)


@contextmanager
def redirected(functions: Collection[FunctionType] = ()) -> Iterator[None]:
    """Let functions that take no traced values take them, and read some others."""
    functions = list(functions)
    _redirection.begin(functions)
    try:
        yield
    finally:
        _redirection.end(functions)


def _read(function: FunctionType, *args: Any, **kwargs: Any) -> Any:
    """What a function gives that is read, if the running trace says so."""
    return registry.functions["trace.read"](function, args, kwargs)


def undirected(function: FunctionType) -> FunctionType:
    """The function, or one like it with its own code, if that is redirected now."""
    found = _redirection.read.get(function)
    return _copied(function, found[1]) if found else function


def _copied(function: FunctionType, code: CodeType) -> FunctionType:
    """A function with this code, and all else of another."""
    made = FunctionType(
        code,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    made.__kwdefaults__ = function.__kwdefaults__
    made.__qualname__ = function.__qualname__
    made.__module__ = function.__module__
    return made


def _dispatching(
    function: FunctionType,
    handler: Callable[..., Any],
    concerns: Callable[[Any], bool],
) -> CodeType:
    """Code that asks its arguments which function they are for.

    It holds both functions as constants, so that it needs no name in the globals of
    the module that it runs in.
    """
    original = _copied(function, function.__code__)

    def dispatch(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if concerns(args) or concerns(list(kwargs.values())):
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


_dispatcher = cache(_dispatching)
_PLACE = "where the dispatcher goes"


def _template(*args: Any, **kwargs: Any) -> Any:
    dispatch: Any = "where the dispatcher goes"
    return dispatch(args, kwargs)
