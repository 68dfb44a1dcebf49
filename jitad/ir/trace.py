"""From a plain NumPy function to a Graph: run it once on tracers.

`trace` takes input types and gives the graph and what the function returned, as a
tree.  Traces nest: a function called inside may close over values of the outer trace,
which become captured inputs.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitad import tree
from jitad.errors import TracingError, UnsupportedError
from jitad.ir.graph import DTYPES, Graph, Type
from jitad.ir.redirect import redirected
from jitad.ir.tracer import Trace, Tracer, lift

_level: contextvars.ContextVar[tuple[Trace, ...]] = contextvars.ContextVar(
    "jitad_traces", default=()
)


def current() -> Trace | None:
    """The innermost running trace, if one is running."""
    stack = _level.get()
    return stack[-1] if stack else None


@dataclass(frozen=True, slots=True)
class Input:
    """What is known of an argument: its type, and whether a Python number it was."""

    type: Type
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Traced:
    """The graph of a function, the structure of its result, and captured values.

    The graph's inputs are the function's own, then one for each captured value.
    """

    graph: Graph
    result: tree.PyTreeSpec
    captured: tuple[Tracer, ...]


def trace(function: Callable[..., Any], spec: Any, inputs: Sequence[Input]) -> Traced:
    """Run function(*args, **kwargs), (args, kwargs) having structure spec, on tracers.

    Raises TracingError, UnsupportedError where the function does what cannot be traced.
    """
    outer = _level.get()
    running = Trace(len(outer))
    tracers = [Tracer(running, running.input(i.type), i.type, i.weak) for i in inputs]
    token = _level.set((*outer, running))
    try:
        args, kwargs = tree.unflatten(spec, tracers)
        try:
            with redirected():
                result = function(*args, **kwargs)
        except ValueError as error:
            # NumPy answers `np.zeros(3)[0] = t` with its own error, caused by ours.
            if isinstance(error.__cause__, TracingError):
                cause = error.__cause__.with_traceback(error.__traceback__)
                raise cause from None
            raise
        leaves, result_spec = tree.flatten(result)
        outputs = [_output(running, leaf, function) for leaf in leaves]
    finally:
        _level.reset(token)
        running.open = False
    graph = running.finish(outputs)
    captured = tuple(tracer for tracer, _ in running.captured.values())
    return Traced(graph, result_spec, captured)


def _output(running: Trace, leaf: Any, function: Callable[..., Any]) -> int:
    if not isinstance(leaf, Tracer):
        kind = np.asarray(leaf).dtype
        if kind not in DTYPES and kind.kind not in "iuO":
            name = getattr(function, "__name__", "the function")
            raise UnsupportedError(
                f"{name} returned {leaf!r} of dtype {kind}; expected arrays or "
                "numbers, in nested tuples, lists, dicts or dataclasses"
            )
    return lift(running, leaf)
