"""Values of an enclosing trace beside those of an inner one, in every way to mix them.

q belongs to the inner function, g to the outer.  NumPy collects traced scalars in
object arrays, of one trace or of both; the operation belongs to the inner one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitad
from jitad import tree

G = np.array([0.5, 0.7, 1.1])
Q = np.array([0.3, -0.2, 0.6])


def written(q: Any, g: Any) -> Any:
    y = g.copy()
    y[:2] = [q[0], g[2]]
    y[2] += q[1]
    return y


def filled(q: Any, g: Any) -> Any:
    y = np.zeros_like(q)
    y[:] = np.array([g[0], q[1], 2.0])
    return y


MIXED: dict[str, Callable[[Any, Any], Any]] = {
    "array - g": lambda q, g: np.array([q[0], q[1], q[2]]) - g,
    "g - array": lambda q, g: g - np.array([q[0], q[1], q[2]]),
    "array of g": lambda q, g: np.array([g[0], g[1], g[2]]) * q,
    "array of both": lambda q, g: np.sin(g) * np.array([g[0], q[1], 0.5]),
    "matrix @ g": lambda q, g: np.array([[q[0], g[1]], [1.0, q[2]], [0, 0]]) @ g[:2],
    "g @ matrix": lambda q, g: g[1:] @ np.array([[q[0], q[1], 0.1], [1, 0, q[2]]]),
    "matrix of g": lambda q, g: np.dot(np.array([[g[0], 1, 0]] * 3), q),
    "lists": lambda q, g: np.add([q[0], g[1], 1.0], g),
    "stack": lambda q, g: np.stack([g, q, np.array([q[0], g[0], 1])]).sum(0),
    "concatenate": lambda q, g: np.concatenate([g[:2], np.array([q[1]])]),
    "where": lambda q, g: np.where(g > 0.6, np.array([q[0], 1, q[2]]), g),
    "where of q": lambda q, g: np.where(q > 0, np.array([g[0], g[0], g[2]]), g),
    "solve": lambda q, g: np.linalg.solve(np.array([[3, q[0]], [0, 2]]), g[:2])[0] * q,
    "initial": lambda q, g: np.max(g, initial=q[0]) * q,
    "initial of g": lambda q, g: np.sum(np.array([q[0], q[1]]), initial=g[0]) + q,
    "clip": lambda q, g: np.clip(g, q[0], np.array([q[2], 1, g[1]])),
    "einsum": lambda q, g: np.einsum("i,i->i", np.array([q[0], q[1], q[2]]), g),
    "hypot": lambda q, g: np.hypot(np.array([q[0], q[1], q[2]]), g),
    "power": lambda q, g: np.array([*q]) ** 2 + g ** np.array([2, q[0], 1]),
    "element at g": lambda q, g: np.stack([q[0], q[1], q[2]])[np.argmax(g)] + q,
    "element at q": lambda q, g: g[np.argmin(q)] * np.array([q[0], 1.0, g[1]]),
    "cross": lambda q, g: np.cross(np.array([q[0], q[1], q[2]]), g),
    "outer": lambda q, g: np.outer(np.array([q[0], 1.0]), g)[1] + q,
    "interp": lambda q, g: np.interp(q, np.array([-1.0, 0.0, 2.0]), g),
    "written": written,
    "filled": filled,
    "reduced": lambda q, g: np.sum(np.array([[q[0], g[0]], [1, q[1]]])) - g,
    "comparison": lambda q, g: (np.array([q[0], q[1], q[2]]) < g) * q,
    "power of a scalar": lambda q, g: np.abs(q) ** g[0],
}  # fmt: skip


def by_rule(h: Any, q: Any, g: Any) -> Any:
    """A function with a rule captures nothing, but its arguments are of any kind."""
    f = jitad.custom_jvp(h)
    f.defjvp(lambda x, x_dot: (h(*x), jitad.jvp(h, x, x_dot)[1]))
    return jitad.fori_loop(0, 2, lambda i, c: f(np.array([c[0], g[1], 0.5]), g), q)


FLOWS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "fori_loop": lambda h, q, g: jitad.fori_loop(0, 3, lambda i, c: h(c, g) + i, q),
    "scan": lambda h, q, g: jitad.scan(
        lambda c, z: (h(c, g) * z, h(c, g)), q, np.array([0.5, -0.4])
    ),
    "while_loop": lambda h, q, g: jitad.while_loop(
        lambda c: np.array([c[0], g[0]])[0] < 2, lambda c: (c[0] + 1, h(c[1], g) * 0.5),
        (0, q), max_steps=5,
    )[1],
    "cond": lambda h, q, g: jitad.cond(g[0] > 0, lambda a: h(a, g), lambda a: a, q),
    "switch": lambda h, q, g: jitad.switch(
        np.argmax(g), [lambda a: a, lambda a: h(g, a), lambda a: h(a, g)], q
    ),
    "custom_jvp": by_rule,
    "checkpoint": lambda h, q, g: jitad.checkpoint(lambda a: h(a, g))(q),
    "nested": lambda h, q, g: jitad.fori_loop(
        0, 2,
        lambda i, c: jitad.scan(
            lambda d, z: (h(np.stack([d[0], c[1], z * d[2]]), g) * 0.5, None),
            c, np.array([0.2, 0.4]),
        )[0],
        q,
    ),
}  # fmt: skip


def leaves(value: Any) -> list[np.ndarray]:
    return [np.asarray(leaf, float) for leaf in tree.flatten(value)[0]]


@pytest.mark.parametrize("flow", FLOWS)
def test_every_mixture_is_what_numpy_gives(flow: str) -> None:
    def captured(q: Any, g: Any) -> Any:
        return {k: FLOWS[flow](h, q, g) for k, h in MIXED.items()}

    agree(jitad.jit(captured, backend="numpy")(Q, G), captured(Q, G))


def test_transformed_inside() -> None:
    """Points and derivatives of a function that captures, and of one that does not."""

    def captured(q: Any, g: Any) -> Any:
        points = np.stack([q, q * q])
        return {
            k: (
                jitad.vmap(lambda a, h=h: h(a, g))(points),
                jitad.jacobian(lambda a, h=h: h(a, g), mode="reverse")(q),
                jitad.jacobian(lambda b, h=h: h(q, b), mode="forward")(g),
            )
            for k, h in MIXED.items()
        }

    def plain(q: Any, g: Any) -> Any:
        return {
            k: (
                np.stack([h(q, g), h(q * q, g)]),
                *jitad.jacobian(h, argnums=(0, 1), backend="numpy")(q, g),
            )
            for k, h in MIXED.items()
        }

    agree(jitad.jit(captured, backend="numpy")(Q, G), plain(Q, G))


def agree(got: Any, want: Any) -> None:
    for name in MIXED:
        for a, b in zip(leaves(got[name]), leaves(want[name]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15, err_msg=name)
