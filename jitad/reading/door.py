"""Calls of functions with traced values: they are read instead of compiled or run.

Numba looks for machine code by the types of the arguments, finds none for traced
values, and asks itself to compile some.  While a trace runs that question comes here
(see `ir.redirect`).  So do calls of plain functions of which a trace says so (see
`ir.afresh`).  `jitad` imports this module when Numba's own has been imported, or when
the first plain function is to be read.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType, FunctionType
from typing import Any

import numpy as np

from jitad.ir import redirect
from jitad.ir.primitive import registry
from jitad.ir.redirect import undirected
from jitad.ir.trace import BOUNDS, raising
from jitad.ir.tracer import Tracer

from . import frontend
from .calls import call
from .elementwise import spread
from .frame import Reading, read
from .heap import Listed, Reference, State
from .joining import FAILS
from .lines import refuse
from .numbers import dtype, plain, same


def called(dispatcher: Any, *args: Any, **keywords: Any) -> Callable[..., Any]:
    """What Numba is to call in place of machine code, with the same arguments."""
    whole = _is_whole(sys._getframe(1))
    return lambda *_, **__: _read(dispatcher, args, keywords, whole=whole)


def plainly(function: FunctionType, args: Any, keywords: dict[str, Any]) -> Any:
    """What a plain function gives, read by Python's rules."""
    whole = _is_whole(sys._getframe(2))
    return _read(undirected(function), args, keywords, whole=whole)


def _is_whole(frame: FrameType | None) -> bool:
    """Whether the function is all that is traced, so that nobody sees what it writes.

    Between its call and this module are only the frames of the redirection.
    """
    while frame is not None and frame.f_code.co_filename == redirect.__file__:
        frame = frame.f_back
    return frame is not None and frame.f_code in BOUNDS


def _read(dispatcher: Any, args: Any, keywords: dict[str, Any], *, whole: bool) -> Any:
    state, given = State(), {}
    python = isinstance(dispatcher, FunctionType)

    def held(value: Any) -> Any:
        value = frontend.given(value)
        if python and type(value) is list:
            return Listed(tuple([held(x) for x in value]))
        if type(value) is tuple:
            return tuple([held(x) for x in value])
        if isinstance(value, Tracer | np.ndarray) and np.shape(value):
            known = [c for c, x in given.items() if x is value]
            if known:
                return Reference(known[0])
            made = state.new(plain(value))
            given[made.cell] = value
            return made
        if isinstance(value, list | dict | set) and not python:
            raise refuse(
                f"a {type(value).__name__} as an argument of a Numba function",
                "pass an array or a tuple",
            )
        return plain(value)

    arguments = [held(x) for x in args]
    named = {k: held(v) for k, v in keywords.items()}
    before = {c: state.cells[c].value for c in given}
    shared = frozenset() if whole else frozenset(given)
    result = read(dispatcher, arguments, named, state, Reading(), shared=shared)
    if FAILS in state.names:
        written = [c for c in given if state.cells[c].value is not before[c]]
        result = _marked(result, state, [] if whole else written, dispatcher)
    if whole:
        return _given_back(result, state, given, before)
    for cell, array in given.items():
        now = state.cells[cell].value
        if now is before[cell] or same(now, before[cell]):
            continue
        if not isinstance(array, Tracer):
            raise refuse(
                f"{dispatcher.__name__}, which writes to an argument that is a plain "
                "array,",
                "make the array with jitad.zeros or jitad.array",
            )
        array[...] = now
    return _given_back(result, state, given, before)


def _over_elements(function: Any, *args: Any, **keywords: Any) -> Any:
    """What a @vectorize function gives."""

    def one(dispatcher: Any, args: Any) -> Any:
        return _read(dispatcher, args, {}, whole=False)

    return spread(function, list(map(plain, args)), keywords, one)


def _refused(function: Any, *args: Any, **keywords: Any) -> Any:
    """Say that a function cannot be read."""
    state = State()
    return call(function, [state.hold(x) for x in args], keywords, state)


def _marked(result: Any, state: State, cells: list[int], function: Any) -> Any:
    """The result, and what is written to arguments: NaN where the function raises.

    What calls it sees that, and calls the function itself, which raises.
    """
    raising()
    fails, found = state.names[FAILS], []

    def marked(value: Any) -> Any:
        if isinstance(value, Listed):
            return Listed(tuple(map(marked, value.items)))
        if isinstance(value, tuple):
            items = map(marked, value)
            return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
        array = state.load(value)
        if not isinstance(array, Tracer | float | np.ndarray) or (
            dtype(array).kind != "f"
        ):
            return value
        found.append(value)
        nan, one = dtype(array).type(np.nan), dtype(array).type(1)
        return state.hold(array * np.where(fails, nan, one))

    for cell in cells:
        made = marked(Reference(cell))
        state.cells[cell] = state.cells[made.cell]
    result = marked(result)
    if not found:
        raise refuse(
            f"{function.__name__}, which may raise and gives no float,",
            "return one, or test the arguments before the call",
        )
    return result


def _given_back(
    value: Any, state: State, given: dict[int, Any], before: dict[int, Any]
) -> Any:
    """What the function returns: an argument that is given back is itself."""
    if isinstance(value, Listed):
        return [_given_back(x, state, given, before) for x in value.items]
    if isinstance(value, tuple):
        items = [_given_back(x, state, given, before) for x in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    own = isinstance(value, Reference) and not value.views and value.cell in given
    if own and same(state.content(value.cell), before[value.cell]):
        return given[value.cell]
    return state.load(value)


registry.redirects[frontend.dispatchers._DispatcherBase._compile_for_args] = called
registry.functions["read"] = plainly
registry.redirects[frontend.dufunc.DUFunc.__call__] = _over_elements
registry.redirects[frontend.gufunc.GUFunc.__call__] = _refused
registry.redirects[frontend.stencil.StencilFunc.__call__] = _refused
