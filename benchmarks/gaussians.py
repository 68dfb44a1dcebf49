"""Curves of 20 terms: gradients that are mostly exp, and mostly sin and cos.

One value and 60 partials per point in parameters that all points share, as in a fit.
Structure of arrays, which is Dr.Jit's home; the ``-rows`` rows are NumPy's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.speed import speed_row
from benchmarks.work import Setting, Target, Work, complex_step

TERMS = 20


def gaussians(xp: Any, parameters: Any, x: Any) -> Any:
    """Σ aₖ exp(-((x - bₖ)/cₖ)²/2)."""
    a, b, c = parameters[:20], parameters[20:40], parameters[40:]
    t = (x - b) / c
    return xp.sum(a * xp.exp(-0.5 * (t * t)), axis=0)


def sines(xp: Any, parameters: Any, x: Any) -> Any:
    """Σ aₖ sin(bₖ x + cₖ)."""
    a, b, c = parameters[:20], parameters[20:40], parameters[40:]
    return xp.sum(a * xp.sin(b * x + c), axis=0)


def gaussians_work(setting: Setting) -> Work:
    """sum of 20 Gaussians, gradient in 60 shared parameters, structure of arrays"""
    rng = np.random.default_rng(0)
    points = 1 << (10 if setting.quick else 18)
    # positive amplitudes: a value near zero would have no digits to compare
    parameters = np.concatenate(
        [
            rng.uniform(0.5, 2, TERMS),
            np.linspace(-5, 5, TERMS),
            rng.uniform(0.5, 2, TERMS),
        ]
    )
    return Work(
        name="gaussians",
        title="sum of 20 Gaussians, gradient in 60 shared parameters",
        function=gaussians,
        inputs=(parameters, rng.uniform(-6, 6, points)),
        derivative="gradient",
        in_axes=(None, 0),
        out_axis=-1,
        reference=complex_step,
        native="gaussians.c:gaussians",
        targets=(
            Target("jitad", "Dr.Jit", most=1),
            Target("JAX", "jitad", least=5),
        ),
    )


def sines_work(setting: Setting) -> Work:
    """sum of 20 sines, gradient in 60 shared parameters, structure of arrays"""
    work = gaussians_work(setting)
    parameters = work.inputs[0].copy()
    # a slow first term above the sum of the others, again for the value's digits
    parameters[[0, TERMS, 2 * TERMS]] = 40, 0.05, 1.5
    return replace(
        work,
        inputs=(parameters, work.inputs[1]),
        name="sines",
        title="sum of 20 sines, gradient in 60 shared parameters",
        function=sines,
        native="gaussians.c:sines",
    )


def gaussian_rows_work(setting: Setting) -> Work:
    """sum of 20 Gaussians, gradient in 60 shared parameters, rows"""
    work = gaussians_work(setting)
    return replace(work, name="gaussians-rows", out_axis=0, native=None, targets=())


ROWS = (
    speed_row("gaussians", gaussians_work),
    speed_row("sines", sines_work),
    speed_row("gaussians-rows", gaussian_rows_work),
)
