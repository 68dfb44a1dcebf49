"""What tests use below the public face: values and Jacobians by the interpreter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitad import primitives, tree
from jitad.ir.graph import Type, validate
from jitad.ir.interpret import interpret
from jitad.ir.trace import Input, trace
from jitad.transforms.derivatives import accumulate
from jitad.transforms.scalars.scalarize import scalarize

assert primitives


def traced(f: Callable[..., Any], *args: Any) -> Any:
    """The trace of f at the types of args."""
    leaves, spec = tree.flatten((args, {}))
    inputs = [
        Input(Type(np.asarray(x).dtype, np.shape(x)), type(x) in (float, int))
        for x in leaves
    ]
    found = trace(f, spec, inputs)
    validate(found.graph)
    return found


def value(f: Callable[..., Any], *args: Any, scalar: bool = True) -> Any:
    """f(*args) by way of its (scalar) graph."""
    found = traced(f, *args)
    graph = scalarize(found.graph) if scalar else found.graph
    validate(graph)
    leaves = [np.asarray(x) for x in tree.flatten((args, {}))[0]]
    return tree.unflatten(found.result, interpret(graph, leaves))


def jacobian(
    f: Callable[..., Any], *args: Any, mode: Any = None, wrt: Any = None
) -> list[np.ndarray]:
    """The Jacobians of f's outputs in the leaves wrt (default: all), one by one."""
    graph = scalarize(traced(f, *args).graph)
    leaves = [np.asarray(x) for x in tree.flatten((args, {}))[0]]
    wrt = range(len(leaves)) if wrt is None else wrt
    found = accumulate.jacobian(graph, tuple(wrt), mode=mode)
    validate(found.graph)
    return [np.asarray(x) for x in interpret(found.graph, leaves)]
