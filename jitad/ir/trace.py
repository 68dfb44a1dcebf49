"""From a plain NumPy function to a Graph: run it on tracers, once for each path.

`trace` takes input types and gives the graph and what the function returned, as a
tree.  Traces nest: a function called inside may close over values of the outer trace,
which become captured inputs.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, NamedTuple

from jitad import tree
from jitad.errors import JitadError, TracingError
from jitad.process.waiting import stage

from . import afresh
from .afresh import Afresh, Handed
from .fork import Outcome, branch, explore
from .graph import Graph, Type
from .primitive import registry
from .redirect import redirected
from .source import OF_SCIPY, raising_line
from .tracer import Trace, Tracer

_level: contextvars.ContextVar[tuple[Trace, ...]] = contextvars.ContextVar(
    "jitad_traces", default=()
)

_differentiated: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "jitad_differentiated", default=False
)


def running() -> tuple[Trace, ...]:
    """The running traces, the outermost first."""
    return _level.get()


def current() -> Trace | None:
    """The innermost running trace, if one is running."""
    stack = _level.get()
    return stack[-1] if stack else None


def differentiated() -> bool:
    """Whether what is traced now may be differentiated later on."""
    return _differentiated.get()


@contextmanager
def differentiating() -> Iterator[None]:
    """Let whatever is traced meanwhile be such as derivatives can be taken of."""
    token = _differentiated.set(True)
    try:
        yield
    finally:
        _differentiated.reset(token)


def raising() -> None:
    """Note that results of the running traces are NaN where their functions raise."""
    for trace in _level.get():
        if trace.handed is not None:
            trace.handed.raises = True


def loop_became(line: str, what: str) -> None:
    """Note what the reader made of a loop, in words."""
    for trace in _level.get():
        if trace.handed is not None:
            trace.handed.loops.setdefault(line, {})[what] = None


def touched() -> int:
    """A number that grows with whatever is done in, or asked of, running traces."""
    return sum(len(trace.log or ()) for trace in _level.get())


@dataclass(frozen=True, slots=True)
class Input:
    """What is known of an argument: its type, and whether a Python number it was."""

    type: Type
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Traced:
    """The graph of a function, the structure of its result, and captured values.

    The graph's inputs are the function's own, then one for each captured value.
    unread says why loops are not read, loops by line what became of others, raises that
    the result is NaN where the function would have raised.
    """

    graph: Graph
    result: tree.PyTreeSpec
    captured: tuple[Tracer, ...]
    unread: tuple[str, ...] = ()
    raises: bool = False
    loops: Mapping[str, Sequence[str]] = field(default_factory=dict)


_READER = "numba.core.dispatcher"  # the library whose family reads functions


class Known(NamedTuple):
    """A trace that was made already, of what, and which functions were called in it."""

    function: Callable[..., Any]
    spec: Any
    inputs: tuple[Input, ...]
    plain: bool
    traced: Traced
    inside: tuple[Any, ...] = ()

    def is_of(self, *asked: Any) -> bool:
        """Whether it is the trace that is asked for."""
        function, *rest = asked
        return function is self.function and tuple(rest) == self[1:4]


_known: contextvars.ContextVar[Known | None]
_known = contextvars.ContextVar("jitad_known", default=None)


def called_before() -> tuple[Any, ...]:
    """The functions that were called in a trace that is known."""
    known = _known.get()
    return known.inside if known else ()


@contextmanager
def knowing(known: Known | None) -> Iterator[None]:
    """Run no function again, inside, of which there is this trace."""
    token = _known.set(known)
    try:
        yield
    finally:
        _known.reset(token)


def trace(
    function: Callable[..., Any],
    spec: Any,
    inputs: Sequence[Input],
    *,
    plain: bool = False,
) -> Traced:
    """Run function(*args, **kwargs), (args, kwargs) having structure spec, on tracers.

    Once; or once for each path, where it branches on traced values.  plain says that
    nobody differentiates the graph, unless it becomes part of one that somebody does.
    And anew, if it imported a library: some functions are known only from then on; or
    if a loop is to be read (see `afresh`).
    Raises TracingError, UnsupportedError where the function does what cannot be traced.
    """
    handed = Handed(function)
    known = _known.get()
    if known is not None and known.is_of(function, spec, tuple(inputs), plain):
        return known.traced
    while True:
        waiting = registry.arrived()
        try:
            with nullcontext() if plain else differentiating():
                made = _once(function, spec, inputs, handed)
        except Afresh as again:
            if again.handed is not handed:
                raise
            registry.take_in(_READER)
        except Exception as error:
            if registry.arrived() != waiting:
                continue
            if isinstance(error, JitadError):
                if afresh.failed(handed, error, BOUNDS):
                    registry.take_in(_READER)
                    continue
                for reason in handed.reasons():
                    error.add_note(reason)
            raise
        else:
            if registry.arrived() == waiting:
                return made


def _once(
    function: Callable[..., Any], spec: Any, inputs: Sequence[Input], handed: Handed
) -> Traced:
    outer = running()
    first = Trace(len(outer))
    first.handed = handed
    handed.loops = {}
    places = [first.input(i.type) for i in inputs]
    name = getattr(function, "__name__", "the function")

    def run(trace: Trace) -> Outcome:
        pairs = zip(places, inputs, strict=True)
        tracers = [Tracer(trace, p, i.type, i.weak) for p, i in pairs]
        token = _level.set((*outer, trace))
        try:
            args, kwargs = tree.unflatten(spec, tracers)
            return branch(trace, _call(function, args, kwargs, handed), name)
        finally:
            _level.reset(token)
            trace.open = False

    with stage("traced", lambda: len(first.nodes)):
        end = explore(first, outer, run, name)
    graph = first.finish([leaf.index for leaf in end.leaves])
    captured = tuple(tracer for tracer, _ in first.captured.values())
    return Traced(
        graph, end.spec, captured, tuple(handed.reasons()), handed.raises,
        {line: tuple(what) for line, what in handed.loops.items()},
    )  # fmt: skip


# What errors for arrays of objects speak of, NumPy's and SciPy's.
_OF_OBJECTS = ("ufunc", "object", "Tracer", "dtype('O')")
# What they raise; SciPy 1.18 warns of such arrays first.
_FOREIGN = (TypeError, AttributeError, ValueError, RuntimeError, DeprecationWarning)


def _call(function: Callable[..., Any], args: Any, kwargs: Any, handed: Handed) -> Any:
    try:
        with redirected(handed.functions):
            return function(*args, **kwargs)
    except _FOREIGN as error:
        if isinstance(error, JitadError):
            raise
        # NumPy answers `np.zeros(3)[0] = t` with its own error, caused by ours.
        if isinstance(error, ValueError) and isinstance(error.__cause__, TracingError):
            cause = error.__cause__.with_traceback(error.__traceback__)
            raise cause from None
        line, text = raising_line(error), str(error)
        boxed = any(trace.boxed for trace in running())
        boxed = boxed and any(word in text for word in _OF_OBJECTS)
        if boxed and _in_scipy(error):
            raise TracingError(f"{text} ({line}): {OF_SCIPY}") from error
        if isinstance(error, ValueError | RuntimeError | DeprecationWarning):
            raise
        if boxed:
            raise TracingError(
                f"{text} ({line}): NumPy takes a list, or np.array([…]), of traced "
                "values and numbers for an array of objects; use jitad.array([…]) or "
                "np.stack([…])"
            ) from error
        # What is written in C says of what it cannot use only that it is a Tracer.
        if isinstance(error, AttributeError) or "Tracer" not in text:
            raise
        raise TracingError(
            f"{text} ({line}): a traced value has no value yet; use NumPy's functions "
            "and operators on it, and return it to see its value"
        ) from error


def _in_scipy(error: BaseException) -> bool:
    """Whether it was raised by SciPy's own code."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    name = "" if frame is None else frame.tb_frame.f_globals.get("__name__", "")
    return name.partition(".")[0] == "scipy"


def inner(function: Callable[..., Any], args: Sequence[Any]) -> Any:
    """What a function returns that is a side of a branch of the trace it is in."""
    return function(*args)


# The codes that call functions of the user's: their frames part what is inside of one
# from what is around it.
CALL = _call.__code__
BOUNDS = {CALL, inner.__code__}


def _long(trace: Trace) -> None:
    """Start over where a function runs whose loops can be read."""
    if trace.handed is not None and trace is current():
        afresh.long(trace.handed, BOUNDS)


registry.functions["trace.long"] = _long


def _read(function: FunctionType, args: Any, kwargs: Any) -> Any:
    """What a function gives that is handed over; the trace starts over if it cannot."""
    running = current()
    handed = running.handed if running else None
    if handed is None or function not in handed.functions:
        return NotImplemented
    try:
        return registry.functions["read"](function, args, kwargs)
    except Exception as error:
        handed.refuse(function, error)
        raise Afresh(handed) from None


registry.functions["trace.read"] = _read
