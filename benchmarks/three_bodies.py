"""Three bodies that pull one another: where they are after 1,000 steps, and Jacobians.

Classical Runge-Kutta steps in loops as people write them for Numba, of places and
speeds in 18 numbers; for JAX the same steps are a fori_loop over arrays.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

from benchmarks.lockstep import control
from benchmarks.speed import speed_row
from benchmarks.work import Arrays, Setting, Target, Work, complex_step

MASSES, SOFT, STEP = (1.0, 0.8, 1.2), 0.01, 1e-3


def slopes(y: Any) -> Any:
    """Speeds and accelerations."""
    found = np.zeros_like(y)
    for i in range(9):
        found[i] = y[9 + i]
    for i in range(3):
        for j in range(3):
            if i != j:
                r = SOFT + 0.0 * y[0]
                for d in range(3):
                    r += (y[3 * j + d] - y[3 * i + d]) ** 2
                f = MASSES[j] / (r * np.sqrt(r))
                for d in range(3):
                    found[9 + 3 * i + d] += f * (y[3 * j + d] - y[3 * i + d])
    return found


def steps_of(slopes: Callable[[Any], Any], steps: int) -> Callable[[Any], Any]:
    """y -> y after so many steps."""

    def after(y: Any) -> Any:
        for _ in range(steps):
            a = slopes(y)
            b = slopes(y + 0.5 * STEP * a)
            c = slopes(y + 0.5 * STEP * b)
            d = slopes(y + STEP * c)
            y = y + STEP / 6.0 * (a + 2.0 * b + 2.0 * c + d)
        return y

    return after


@cache
def by_numba(steps: int) -> Callable[[Any], Any]:
    """The same, as Numba's users have it."""
    njit = importlib.import_module("numba").njit
    return njit(steps_of(njit(slopes), steps))


def slopes_of_arrays(xp: Any, y: Any) -> Any:
    """Speeds and accelerations, of arrays that are not written."""
    places = [y[3 * i : 3 * i + 3] for i in range(3)]
    pulls = []
    for i, here in enumerate(places):
        pull = xp.zeros(3)
        for j, there in enumerate(places):
            if i != j:
                r = SOFT + xp.sum((there - here) ** 2)
                pull = pull + MASSES[j] / (r * xp.sqrt(r)) * (there - here)
        pulls.append(pull)
    return xp.concatenate([y[9:], *pulls])


def moved(xp: Any, y: Any, steps: int) -> Any:
    """y after so many steps, with the tool's own loop."""
    if xp is np:
        return by_numba(steps)(y)
    slope = partial(slopes_of_arrays, xp)
    step = steps_of(slope, 1)
    return control(xp).fori_loop(0, steps, lambda _, y: step(y), y)


def work(setting: Setting) -> Work:
    """three bodies, Runge-Kutta steps in Numba's loops, value + 18×18 Jacobian"""
    points, steps = (8, 20) if setting.quick else (512, 1000)

    def reference(work: Work) -> Arrays:
        plain = steps_of(slopes, steps)
        return complex_step(replace(work, function=lambda xp, y: plain(y)))

    left_out = "no loop was written for it"
    return Work(
        name="three-bodies",
        title="three bodies, 1,000 Runge-Kutta steps, value + 18×18 Jacobian",
        function=lambda xp, y: moved(xp, y, steps),
        inputs=(np.random.default_rng(0).normal(size=(points, 18)),),
        derivative="jacobian",
        in_axes=(0,),
        reference=reference,
        copies=False,
        tolerance=1e-8,
        without=dict.fromkeys(("torch", "drjit", "casadi", "autograd"), left_out),
        targets=(Target("JAX", "jitad", least=20),),
    )


ROWS = (speed_row("three-bodies", work),)
