"""Functions and rules of a user's own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

import jitad


@njit
def _cubic(x: Any) -> Any:
    """Newton's method: the real root y of y³ + y = x."""
    y = x * 0.0
    for _ in range(200):
        step = (y * y * y + y - x) / (3 * y * y + 1)
        y -= step
        if abs(step) <= 1e-15 * abs(y):
            break
    return y


root = jitad.primitive(
    "cubic_root",
    _cubic,
    lambda y, x: [1 / (3 * y * y + 1)],
    points=[-30.0, -0.7, 0.0, 2.0, 1e5],
)


@jitad.primitive(
    partials=lambda y, x, k: [
        1 / (1 + np.exp(-k * x)),
        x / k / (1 + np.exp(-k * x)) - y / k,
    ],
    points=[(0.3, 2.0), (-1.5, 0.7), (3.0, 1.0)],
)
def ramp(x: Any, k: Any = 2.0) -> Any:
    """log(1 + exp(k x)) / k, in NumPy terms."""
    return np.logaddexp(0.0, k * x) / k


@jitad.primitive(partials=lambda y, a, b: [None, b / y], points=[(0.5, 2.0)])
@njit
def lopsided(a: Any, b: Any) -> Any:
    """Constant in a by decree, where a has no part in it."""
    return math.sqrt(b * b + 1) + 0 * a


@jitad.custom_jvp
def by_jvp(x: Any, y: Any) -> Any:
    """Its derivative is three times the true one, so that it shows."""
    return np.sin(x) * y, np.sum(x * y * y)


@by_jvp.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (x, y), (x_dot, y_dot) = primals, tangents
    first = np.cos(x) * y * x_dot + np.sin(x) * y_dot
    second = np.sum(y * y * x_dot + 2 * x * y * y_dot)
    return by_jvp(x, y), (3 * first, 3 * second)


@jitad.custom_vjp
def by_vjp(x: Any, y: Any) -> Any:
    return np.sin(x) * y, np.sum(x * y * y)


def _forward(x: Any, y: Any) -> Any:
    return by_vjp(x, y), {"x": x, "y": y}


def _backward(r: Any, bars: Any) -> Any:
    (a, b), x, y = bars, r["x"], r["y"]
    return 3 * (np.cos(x) * y * a + y * y * b), 3 * (np.sin(x) * a + 2 * x * y * b)


by_vjp.defvjp(_forward, _backward)


@jitad.custom_jvp
def rooted(x: Any) -> Any:
    return np.sqrt(x)


@jitad.custom_vjp
def rooted_too(x: Any) -> Any:
    return np.sqrt(x)


rooted.defjvp(lambda x, x_dot: (rooted(*x), 0.5 / np.sqrt(x[0]) * x_dot[0]))
rooted_too.defvjp(lambda x: (rooted_too(x), x), lambda x, y: (0.5 / np.sqrt(x) * y,))
