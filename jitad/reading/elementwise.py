"""Functions of numbers that Numba spreads over arrays: those of @vectorize.

What is read is the function of one element.  Where it is straight code, its graph is
evaluated over whole arrays; where it has loops, it is a loop over the elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from jitad import tree
from jitad.ir.graph import CONST, INPUT, Type
from jitad.ir.interpret import interpret
from jitad.ir.trace import Input, current, trace
from jitad.ir.tracer import as_tracer
from jitad.primitives.control.body import points_loop

from . import frontend
from .lines import refuse
from .numbers import convert, dtype, shape, typed


def spread(
    function: Any, args: Sequence[Any], keywords: Any, read: Callable[..., Any]
) -> Any:
    """function(*args), of numbers and arrays; read(function, args) is of numbers."""
    name = function.__name__
    if keywords:
        raise refuse(f"{name}({', '.join(keywords)}=…)", "write to an array afterwards")
    args = [typed(x) for x in args]
    given, result = frontend.loop_types(function, [dtype(x) for x in args])
    if len(given) != len(args):
        raise TypeError(f"{name} takes {len(given)} arguments, got {len(args)}")
    args = [convert(x, to) for x, to in zip(args, given, strict=True)]
    if not any(map(shape, args)):
        made = read(frontend.of_one_element(function), args)
        return made if result is None else convert(made, result)
    running = current()
    assert running is not None
    inputs = [Input(Type(to, ())) for to in given]
    structure = tree.flatten((tuple(args), {}))[1]
    made = trace(partial(_one, function, read), structure, inputs, plain=True)
    extents = np.broadcast_shapes(*map(shape, args))
    whole = [as_tracer(running, np.broadcast_to(x, extents)) for x in args]
    if all(_straight(node) for node in made.graph.nodes):
        captured = [as_tracer(running, x) for x in made.captured]
        (found,) = interpret(made.graph, [*whole, *captured])
        found = np.broadcast_to(found, extents)
    else:
        flat = [x.reshape(-1) for x in whole]
        count = int(np.prod(extents))
        (part,) = points_loop(running, made, flat, [False] * len(flat), count)
        found = part.reshape(extents)
    found = as_tracer(running, found)
    return np.copy(found if result is None else convert(found, result))


def _one(function: Any, read: Callable[..., Any], *args: Any) -> Any:
    return read(frontend.of_one_element(function), args)


def _straight(node: Any) -> bool:
    primitive = node.primitive
    return primitive in (INPUT, CONST) or primitive.kind == "elementwise"
