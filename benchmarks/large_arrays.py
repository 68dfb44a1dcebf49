"""Large arrays at one point: value and gradient, beside JAX and copying the arrays.

References are gradients by hand in NumPy.
"""

from __future__ import annotations

import importlib
import math
from functools import partial
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


def diffused(xp: Any, u: Any) -> Any:
    """A step of diffusion whose speed depends on what is there; the edge stays."""
    here = u[1:-1, 1:-1]
    around = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
    new = here + 0.1 * (around - 4 * here) * xp.cos(here)
    if xp is not np:
        return u.at[1:-1, 1:-1].set(new)
    v = u.copy()
    v[1:-1, 1:-1] = new
    return v


def diffusion(xp: Any, u: Any, steps: int) -> Any:
    """The sum of squares after so many steps; about the root of these are kept."""

    def step(u: Any, _: Any) -> tuple[Any, None]:
        return diffused(xp, u), None

    if xp is np:
        scan = importlib.import_module("jitad").scan
        return np.sum(scan(step, u, None, steps, checkpoint="sqrt")[0] ** 2)
    jax = importlib.import_module("jax")
    root = math.isqrt(steps)

    @jax.checkpoint
    def segment(u: Any, _: Any) -> tuple[Any, None]:
        return jax.lax.scan(step, u, None, root)[0], None

    u, _ = jax.lax.scan(segment, u, None, steps // root)
    u, _ = jax.lax.scan(step, u, None, steps % root)
    return xp.sum(u**2)


def diffusion_gradient(work: Work, steps: int) -> Arrays:
    """By hand, with the root of the steps kept."""
    (u,) = work.inputs
    root = math.isqrt(steps)
    starts = [u]
    for k in range(steps):
        u = diffused(np, u)
        if (k + 1) % root == 0:
            starts.append(u)
    value, bar = np.asarray(np.sum(u**2)), 2 * u
    for j in reversed(range(len(starts))):
        states = [starts[j]]
        while len(states) < min(root, steps - j * root):
            states.append(diffused(np, states[-1]))
        for u in reversed(states if j * root < steps else []):
            bar = _pulled(u, bar)
    return value, bar


def _pulled(u: np.ndarray, bar: np.ndarray) -> np.ndarray:
    """What a step gives back."""
    here, moved = u[1:-1, 1:-1], bar[1:-1, 1:-1]
    around = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
    slow = 0.1 * np.cos(here) * moved
    found = bar.copy()
    found[1:-1, 1:-1] -= 4 * slow + 0.1 * (around - 4 * here) * np.sin(here) * moved
    for to in ((2, 1), (0, 1), (1, 2), (1, 0)):
        rows, columns = (slice(k, k + n) for k, n in zip(to, here.shape, strict=True))
        found[rows, columns] += slow
    return found


def diffusion_work(setting: Setting) -> Work:
    """1,000 steps of diffusion on 512×512, value and gradient, with checkpoints"""
    size, steps = (24, 30) if setting.quick else (512, 1000)
    return _work(
        "diffusion",
        f"{steps:,} steps of diffusion on {size}×{size}, value and gradient, with "
        "checkpoints",
        partial(diffusion, steps=steps),
        (np.random.default_rng(0).uniform(size=(size, size)),),
        partial(diffusion_gradient, steps=steps),
        (Target("JAX", "jitad", least=2),),
    )


def small_steps_work(setting: Setting) -> Work:
    """1,000 steps of diffusion on 32×32, value and gradient, with checkpoints"""
    steps = 30 if setting.quick else 1000
    return _work(
        "small-steps",
        f"{steps:,} steps of diffusion on 32×32, value and gradient, with checkpoints",
        partial(diffusion, steps=steps),
        (np.random.default_rng(0).uniform(size=(32, 32)),),
        partial(diffusion_gradient, steps=steps),
        (Target("JAX", "jitad", least=1),),
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
    speed_row("diffusion", diffusion_work),
    speed_row("small-steps", small_steps_work),
)
