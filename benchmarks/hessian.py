"""The Hessian of a function of 10 inputs: the Helmholtz energy of a mixture.

A test function of the field since Griewank, On Automatic Differentiation (1989):
f(x) = Σ xᵢ log(xᵢ/(1 - b·x)) - xᵀAx/(√8 b·x) · log((1 + (1+√2) b·x)/(1 + (1-√2) b·x)).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.speed import speed_row
from benchmarks.work import Arrays, Setting, Target, Work, step_along

INPUTS = 10
ROOT = 2.0**0.5
B = 0.02 * (1 + 0.1 * np.arange(INPUTS))
A = 1.0 / (np.arange(INPUTS)[:, None] + np.arange(INPUTS) + 1)


def helmholtz(xp: Any, x: Any) -> Any:
    """The energy of one composition; RT = 1."""
    # lists, because PyTorch cannot compile a function that holds NumPy arrays
    s = xp.asarray(B.tolist()) @ x
    Q = xp.sum(x * (xp.asarray(A.tolist()) @ x), axis=0)
    ideal = xp.sum(x * xp.log(x / (1 - s)), axis=0)
    ratio = (1 + (1 + ROOT) * s) / (1 + (1 - ROOT) * s)
    return ideal - Q / (8**0.5 * s) * xp.log(ratio)


def gradient(xp: Any, x: np.ndarray) -> np.ndarray:
    """Its gradient, derived by hand, over a trailing batch."""
    s, S, q = B @ x, x.sum(0), A @ x
    Q, b = (x * q).sum(0), B[:, None]
    u, v = 1 + (1 + ROOT) * s, 1 + (1 - ROOT) * s
    g = np.log(u / v) / (8**0.5 * s)
    slope = (((1 + ROOT) / u - (1 - ROOT) / v) / 8**0.5 - g) / s
    ideal = np.log(x) + 1 - np.log(1 - s) + S * b / (1 - s)
    return ideal - 2 * q * g - Q * slope * b


def reference(work: Work) -> Arrays:
    """The gradient by hand, and a complex step through it."""
    return (work.from_trailing(step_along(gradient, [work.trailing_input(0)], 0)),)


def hessian_work(setting: Setting) -> Work:
    """Hessian of a 10-input function, rows"""
    rng = np.random.default_rng(0)
    points = 1_000 if setting.quick else 100_000
    return Work(
        name="hessian",
        title="10×10 Hessian of the Helmholtz energy of a mixture, rows",
        function=helmholtz,
        inputs=(rng.uniform(0.2, 1.0, (points, INPUTS)),),
        derivative="hessian",
        in_axes=(0,),
        reference=reference,
        native="hessian.c:helmholtz",
        targets=(Target("JAX hessian", "jitad", least=20),),
    )


ROWS = (speed_row("hessian", hessian_work),)
