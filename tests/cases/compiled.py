"""Functions for the user's compiled code, and what is refused there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import jitad

RNG = np.random.default_rng(11)
X = RNG.normal(size=(500, 3))


def model(x: Any, scale: Any) -> Any:
    """Two numbers of three, with a branch, transcendental functions and a sum."""
    bent = np.where(x[0] > 0, np.sin(x[0]) * x[1], np.exp(x[1]))
    return np.stack([bent + np.log1p(x[2] ** 2), scale * np.sum(x * x)])


def height(x: Any) -> Any:
    return np.sum(np.sin(x) * x)


CASES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "a value": (jitad.jit(model), (X[0], 2.0)),
    "a plain function": (model, (X[0], 2.0)),
    "a Jacobian": (jitad.jacobian(model), (X[1], 2.0)),
    "two Jacobians": (jitad.jacobian(model, argnums=(0, 1)), (X[2], 0.5)),
    "a number of numbers": (jitad.grad(lambda a, b: a**2 * np.cos(b)), (0.3, 2.0)),
    "a number of an array": (jitad.jit(height), (X[3],)),
    "nested tuples": (
        jitad.value_and_grad(lambda a, x: a * height(x), argnums=(0, 1)),
        (1.5, X[0]),
    ),
    "a Hessian": (jitad.hessian(height), (X[4],)),
    "a product": (jitad.hvp(height), (X[4], X[5])),
    "float32": (
        jitad.jacobian(model),
        (X[6].astype(np.float32), np.float32(0.7)),
    ),
    "integers and bools": (
        lambda x, k, flags: (x * k, np.where(flags, x, k), flags & (k > 0), k + 1),
        (X[0], np.array([1, -2, 3]), np.array([True, False, True])),
    ),
    "numbers of every dtype": (
        lambda x, k, j, f: (x + k, k - 1, j * 2, ~f),
        (0.5, 3, np.int32(4), True),
    ),
    "integers of every width": (
        lambda a, b, c, u, v: (a - b, b * b, c << 3, u - v, u // 3, a < v, ~v),
        (
            np.array([100, -100], np.int8),
            np.int8(-101),
            np.array([-5, 9], np.int16),
            np.array([1, 200], np.uint8),
            np.uint64(2**64 - 2),
        ),
    ),
    "a matrix": (lambda A, x: (A @ x, A.T), (RNG.normal(size=(4, 3)), X[0])),
    "no axes": (jitad.grad(np.sin), (np.array(0.3),)),
    "an empty array": (lambda x, y: (x, np.sum(y)), (np.zeros((0, 3)), X[0])),
    "only empty arrays": (lambda x: (x, x), (np.zeros((0, 3)),)),
    "no dependence": (lambda x: (np.arange(3.0), 7.0), (0.5,)),
    "a tuple of one": (lambda x: (x + 1,), (0.5,)),
    "no result": (lambda x: (), (0.5,)),
    "a batch": (jitad.vmap(jitad.grad(height)), (X[:37],)),
    "a batch in the last axis": (
        jitad.vmap(jitad.grad(height), in_axes=1, out_axes=1),
        (np.ascontiguousarray(X[:37].T),),
    ),
    "a large batch": (jitad.vmap(jitad.jit(height)), (np.tile(X, (40, 1)),)),
}
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a tree": (
        lambda: jitad.njit(lambda p: p["a"] + p["b"], {"a": 1.0, "b": 2.0}),
        r"p\['a'\], p\['b'\].*unpack",
    ),
    "a list": (lambda: jitad.njit(lambda p: p[0], [1.0, 2.0]), "unpack"),
    "a dict": (lambda: jitad.njit(lambda x: {"y": x}, 1.0), "return a tuple"),
    "results in a list": (lambda: jitad.njit(lambda x: [x, x], 1.0), "return a tuple"),
    "a traced value": (
        lambda: jitad.jit(lambda x: jitad.njit(np.sin, x)(x))(1.0),
        "outside of the function",
    ),
    "a captured value": (
        lambda: jitad.jit(lambda x: jitad.njit(lambda y: x * y, 1.0)(2.0))(1.0),
        "outside of functions",
    ),
    "half precision": (
        lambda: jitad.njit(lambda x: x + 1, np.ones(3, np.float16)),
        r"args\[0\] is float16.*dtype=float",
    ),
    "swapped bytes": (lambda: jitad.njit(height, np.ones(3, ">f8")), "dtype >f8"),
    "an integer": (lambda: jitad.njit(jitad.grad(np.sin), 1), "pass a float"),
}
