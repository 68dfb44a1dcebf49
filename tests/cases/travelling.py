"""Functions that tests send to other processes, which import them from here."""

from __future__ import annotations

from typing import Any

import numpy as np

import jitad


def f(x: Any) -> Any:
    return np.stack([np.sin(x[0] * x[1]), np.exp(x[2]) * x[0]])


def sum_of_squares(x: Any, *, scale: Any = 1.0) -> Any:
    return scale * np.sum(x**2)


@jitad.vmap
@jitad.grad
def slopes(x: Any) -> Any:
    """A decorated function: its name is that of what it became."""
    return np.sum(np.cos(x) * x)


@jitad.custom_jvp
def ruled(x: Any) -> Any:
    return 3.0 * x


@ruled.defjvp
def _(primals: Any, tangents: Any) -> Any:
    return 3.0 * primals[0], 5.0 * tangents[0]


def cube(x: Any) -> Any:
    return x * x * x


def cube_slopes(y: Any, x: Any) -> Any:
    return [3.0 * x * x]


@jitad.primitive(partials=lambda y, x: [np.cos(x)], points=[0.3])
def wave(x: Any) -> Any:
    """Decorated: a module knows it by the name of its value."""
    return np.sin(x)


# Known by its own name, in the module of its partials.
arc = jitad.primitive("arc", np.arctan, lambda y, x: [1.0 / (1.0 + x * x)])


def residual(p: Any, x: Any, y: Any) -> Any:
    return y - p[0] * np.exp(-p[1] * x)


J = jitad.vmap(jitad.jacobian(f))


def bits(function: Any, *args: Any) -> Any:
    """The bits of all results, computed where this is called."""
    return [np.asarray(y).tobytes() for y in jitad.tree.flatten(function(*args))[0]]
