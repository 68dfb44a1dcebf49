"""Kernels that sum over lanes, and add into places."""

from __future__ import annotations

from typing import Any

import numpy as np

import jitad
from jitad import tree
from jitad.ir.graph import Type
from jitad.ir.trace import Input, trace
from jitad.lowering.kernel import Buffer, Kernel
from jitad.lowering.statements import Load, Scatter, Store
from jitad.transforms.rewrite.expand import expand
from jitad.transforms.scalars.scalarize import scalarize
from tests.cases.layouts import I8
from tests.support.kernels import scheduled


def point(x: Any, p: Any) -> Any:
    return np.exp(x[0]) * p, np.stack([x[1] * x[2], x[0], np.sin(x[1]) - p])


def kernel(dtype: np.dtype) -> Kernel:
    inputs = [Input(Type(dtype, (3,))), Input(Type(dtype))]
    graph = trace(point, tree.flatten(((0, 0), {}))[1], inputs).graph
    small = expand(scalarize(graph))
    return scheduled(small, 1, [(0,), ()], ["rows", "fixed", "sum", "sum"])


def logistic(x: Any, y: Any, w: Any) -> Any:
    z = x @ w
    return np.logaddexp(0.0, z) - y * z, (1 / (1 + np.exp(-z)) - y) * x


def with_intercept(x: Any, y: Any, w: Any) -> Any:
    r = np.tanh(w[0] + x @ w[1:] + y) - y
    return r * r, np.concatenate([np.stack([r]), r * x])


def squares(x: Any, y: Any, w: Any) -> Any:
    return np.exp(-(x @ w)), y * x * x


def apart(x: Any, y: Any, w: Any) -> Any:
    return np.sin(x[1:] @ w[1:]), (x[0] * w[0] + y) * x[1:]


def plus(x: Any, y: Any, w: Any) -> Any:
    return np.sin(x @ w + x[0]), y * x


def three(x: Any, y: Any, w: Any) -> Any:
    return (x @ w) * (x @ w[::-1]) + (x @ (2 * w)), y * x


def tabled(
    f: Any, dtype: Any, n: int, extra: int, layout: Any
) -> tuple[Kernel, list[np.dtype]]:
    dtype = np.dtype(dtype)
    types = [Type(dtype, (n,)), Type(dtype), Type(dtype, (n + extra,))]
    graph = trace(f, tree.flatten(((0, 0, 0), {}))[1], [Input(t) for t in types]).graph
    small = expand(scalarize(graph))
    layouts = [layout, "streams", "fixed", "sum", "sum"]
    made = scheduled(small, 1, [(0,), (0,), ()], layouts)
    return made, [dtype] * 3


CASES = {  # function, elements of w beyond those of x, rows times weights, rows summed
    "logistic": (logistic, 0, True, True),
    "intercept": (with_intercept, 1, True, True),
    "squares": (squares, 0, False, False),
    "apart": (apart, 0, False, False),
    "plus": (plus, 0, False, False),
    "three": (three, 0, False, False),
}


def read(x: Any, i: Any, table: Any) -> Any:
    """A loop over what is looked up, so that parts are cut inside of it."""

    def step(c: Any, k: Any) -> Any:
        return c + np.sin(table[i + k, 0] * x[0]) * table[i, 2], None

    return jitad.scan(step, x[1], np.arange(3))[0]


def adding(dtype: np.dtype, elements: int, layout: Any = "streams") -> Kernel:
    """table[i] += x and total += x, for every lane."""
    buffers = (
        Buffer("i", I8, 1, (0,), layout, False),
        Buffer("x", dtype, 3, (0,), layout, False),
        Buffer("total", dtype, 1, (), "sum", True),
        Buffer("table", dtype, elements, (), "scatter", True),
    )
    body = (
        *(Load(0, 0, 0, I8), *(Load(1 + e, 1, e, dtype) for e in range(3))),
        *(Store(2, 0, 1), Scatter(3, None, 0, 1, elements, ((0, 1),))),
    )
    return Kernel(buffers, 1, body)
