"""Large arrays at one point: value and gradient, beside JAX and copying the arrays.

References are gradients by hand in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.speed import Row, speed_row
from benchmarks.work import Arrays, Setting, Target, Work

_OTHERS = {
    "drjit": "its arrays are batches of points",
    "casadi": "its graphs are of scalars",
}


def rosenbrock(xp: Any, x: Any) -> Any:
    """H. H. Rosenbrock's function in n dimensions."""
    return xp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def rosenbrock_gradient(work: Work) -> Arrays:
    """By hand."""
    (x,) = work.inputs
    rise = x[1:] - x[:-1] ** 2
    slopes = np.zeros_like(x)
    slopes[1:] += 200 * rise
    slopes[:-1] -= 400 * x[:-1] * rise + 2 * (1 - x[:-1])
    return np.asarray(rosenbrock(np, x)), slopes


def rosenbrock_work(setting: Setting, power: int) -> Work:
    """Value and gradient of Rosenbrock's function of 10^power entries."""
    size = 10 ** (4 if setting.quick else power)
    return _work(
        f"rosenbrock-1e{power}",
        f"Rosenbrock's function of {size:,} entries, value and gradient",
        rosenbrock,
        (np.random.default_rng(0).uniform(-1, 1, size),),
        rosenbrock_gradient,
        (Target("JAX", "jitad", least=3), Target("jitad", "NumPy copy", most=1.4)),
    )


def million_work(setting: Setting) -> Work:
    """Rosenbrock's function of 10^6 entries, value and gradient"""
    return rosenbrock_work(setting, 6)


def ten_million_work(setting: Setting) -> Work:
    """Rosenbrock's function of 10^7 entries, value and gradient"""
    return rosenbrock_work(setting, 7)


def smoothness(xp: Any, u: Any) -> Any:
    """The sum of squares of differences along three axes."""
    total = xp.sum((u[1:] - u[:-1]) ** 2) + xp.sum((u[:, 1:] - u[:, :-1]) ** 2)
    return total + xp.sum((u[:, :, 1:] - u[:, :, :-1]) ** 2)


def smoothness_gradient(work: Work) -> Arrays:
    """By hand."""
    (u,) = work.inputs
    slopes = np.zeros_like(u)
    for axis in range(3):
        moved, to = np.moveaxis(u, axis, 0), np.moveaxis(slopes, axis, 0)
        step = 2 * (moved[1:] - moved[:-1])
        to[1:] += step
        to[:-1] -= step
    return np.asarray(smoothness(np, u)), slopes


def smoothness_work(setting: Setting) -> Work:
    """smoothness of a 256³ array, value and gradient"""
    size = 24 if setting.quick else 256
    return _work(
        "smoothness",
        f"smoothness of a {size}³ array, value and gradient",
        smoothness,
        (np.random.default_rng(0).uniform(-1, 1, (size,) * 3),),
        smoothness_gradient,
        (Target("JAX", "jitad", least=3),),
    )


def _work(
    name: str,
    title: str,
    function: Any,
    inputs: Arrays,
    reference: Any,
    targets: tuple[Target, ...],
) -> Work:
    return Work(
        name=name, title=title, function=function, inputs=inputs,
        derivative="gradient", reference=reference, batched=False, without=_OTHERS,
        targets=targets,
    )  # fmt: skip


ROWS: tuple[Row, ...] = (
    speed_row("rosenbrock-1e6", million_work),
    speed_row("rosenbrock-1e7", ten_million_work),
    speed_row("smoothness", smoothness_work),
)
