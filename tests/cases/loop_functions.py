"""Functions with loops, each beside the same without any."""

from __future__ import annotations

from typing import Any

import numpy as np

import jitad


def steps(length: int, checkpoint: Any, reverse: bool = False) -> Any:
    times = np.linspace(0.1, 1, length)

    def f(x: Any) -> Any:
        def step(c: Any, t: Any) -> Any:
            y = c + 0.05 * np.sin(c * x[0] + t) * x[1]
            return y, y[0] * y[1]

        c, ys = jitad.scan(step, x[1:], times, reverse=reverse, checkpoint=checkpoint)
        return np.sum(c) + np.sum(ys)

    return f


X = np.array([0.5, 0.7, 1.1])


def scanned(x: Any) -> Any:
    def step(c: Any, t: Any) -> Any:
        y = c + 0.1 * np.sin(c * x[0]) * t
        return y, y[0] * y[1]

    return jitad.scan(step, np.stack([x[1], x[2]]), np.arange(5.0) * x[0])


def scanned_flat(x: Any) -> Any:
    c, ys = np.stack([x[1], x[2]]), []
    for k in range(5):
        c = c + 0.1 * np.sin(c * x[0]) * (float(k) * x[0])
        ys.append(c[0] * c[1])
    return c, np.stack(ys)


def backwards(x: Any) -> Any:
    def step(c: Any, t: Any) -> Any:
        return c * t["a"] + t["b"], {"y": c}

    xs = {"a": np.stack([x[0], x[1], x[2], x[0]]), "b": np.arange(4.0)}
    return jitad.scan(step, x[2], xs, reverse=True)


def backwards_flat(x: Any) -> Any:
    c, ys = x[2], []
    for k in (3, 2, 1, 0):
        ys.append(c)
        c = c * x[k % 3] + float(k)
    return c, {"y": np.stack(ys[::-1])}


def nested(x: Any) -> Any:
    def outer(c: Any, t: Any) -> Any:
        def inner(i: Any, d: Any) -> Any:
            return d * x[0] + np.sin(d) * t + i * x[1]

        last = jitad.fori_loop(0, 3, inner, c)
        return last / (1 + c * c), last

    return jitad.scan(outer, x[2], np.array([0.1, 0.5, -0.3, 0.8]))


def nested_flat(x: Any) -> Any:
    c, ys = x[2], []
    for t in (0.1, 0.5, -0.3, 0.8):
        d = c
        for i in range(3):
            d = d * x[0] + np.sin(d) * t + i * x[1]
        c = d / (1 + c * c)
        ys.append(d)
    return c, np.stack(ys)


def chained(x: Any) -> Any:
    """What one loop writes another reads, and scalars of it are read too."""
    c, ys = jitad.scan(lambda c, t: (c * x[0] + t, c * c), x[1], np.linspace(0, 1, 6))
    d, zs = jitad.scan(lambda c, y: (c + y * x[2], np.sin(c)), c, ys)
    return d, zs[2] * ys[4], ys[1:3] @ zs[3:5]


def chained_flat(x: Any) -> Any:
    c, ys, zs = x[1], [], []
    for t in np.linspace(0, 1, 6):
        ys.append(c * c)
        c = c * x[0] + t
    for y in ys:
        zs.append(np.sin(c))
        c = c + y * x[2]
    return c, zs[2] * ys[4], np.stack(ys[1:3]) @ np.stack(zs[3:5])


def matrices(x: Any) -> Any:
    """Carried arrays, a tree of them, and arrays read along their first axis."""
    a = np.outer(x, x) / 4

    def step(state: Any, row: Any) -> Any:
        v, m = state["v"], state["m"]
        return {"v": m @ v + row, "m": m * np.cos(v[0])}, v.sum()

    rows = np.stack([x, 2 * x, x * x])
    return jitad.scan(step, {"v": x, "m": a}, rows)


def matrices_flat(x: Any) -> Any:
    v, m, ys = x, np.outer(x, x) / 4, []
    for row in (x, 2 * x, x * x):
        ys.append(v.sum())
        v, m = m @ v + row, m * np.cos(v[0])
    return {"v": v, "m": m}, np.stack(ys)


def newton(x: Any) -> Any:
    """A square root by a while_loop; how often it runs depends on the point."""

    def on(c: Any) -> Any:
        return np.abs(c[0] * c[0] - x[0]) > 1e-14 * x[0]

    def step(c: Any) -> Any:
        return (c[0] + x[0] / c[0]) / 2, c[1] + x[1]

    return jitad.while_loop(on, step, (x[2] + 1.0, x[2]), max_steps=40)


def newton_flat(x: Any) -> Any:
    count, c = 0, float(X[2]) + 1.0
    while abs(c * c - X[0]) > 1e-14 * X[0]:
        c, count = (c + float(X[0]) / c) / 2, count + 1
    a, b = x[2] + 1.0, x[2]
    for _ in range(count):
        a, b = (a + x[0] / a) / 2, b + x[1]
    return a, b


def never(x: Any) -> Any:
    """No iteration, so that nothing is recorded."""
    return jitad.fori_loop(2, 2, lambda i, c: (c[0] * c[1], np.sin(c[0])), (x[0], x[1]))


def never_flat(x: Any) -> Any:
    return x[0], x[1]


def reordered(x: Any) -> Any:
    """Arrays of elements in another order, the same one twice among them."""
    xs = np.stack([x[0], x[0], x[1]]), np.stack([x[2], x[1], x[0]])
    return jitad.scan(lambda c, t: (c * t[0] + t[1], c), x[2], xs)


def reordered_flat(x: Any) -> Any:
    ys = [x[2], x[2] * x[0] + x[2]]
    ys.append(ys[1] * x[0] + x[1])
    return ys[2] * x[1] + x[0], np.stack(ys)


LOOPS = {
    "scan": (scanned, scanned_flat),
    "reverse scan": (backwards, backwards_flat),
    "nested": (nested, nested_flat),
    "chained": (chained, chained_flat),
    "matrices": (matrices, matrices_flat),
    "while": (newton, newton_flat),
    "never": (never, never_flat),
    "reordered": (reordered, reordered_flat),
}
