"""Lotka and Volterra's trajectories: where they end, and six sensitivities.

u' = (α - βv) u, v' = (δu - γ) v over twenty years; the six are α, β, γ, δ and the
first u and v. Once by 200 classical Runge-Kutta steps in a scan,
once by Dormand and Prince's pair (1980) in a while_loop, where every point takes as
many steps as its tolerance asks for. The length of a step depends on the error of the
one before, but is held while differentiating, by every tool.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.lockstep import control, lockstep
from benchmarks.speed import speed_row
from benchmarks.work import Arrays, Setting, Target, Work, complex_step

YEARS, STEPS, ERROR = 20.0, 200, 1e-8
TYPICAL = np.array([0.55, 0.028, 0.80, 0.024, 30, 4])

STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
JUDGE = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


def slope(xp: Any, y: Any, rates: Any) -> Any:
    """d(u, v)/dt."""
    u, v = y[0], y[1]
    return xp.stack([(rates[0] - rates[1] * v) * u, (rates[3] * u - rates[2]) * v])


def by_runge_kutta(xp: Any, loops: Any, p: Any) -> Any:
    """(u, v) after 200 steps of equal length."""
    rates, h = p[:4], YEARS / STEPS

    def step(y: Any, _: Any) -> tuple[Any, None]:
        k1 = slope(xp, y, rates)
        k2 = slope(xp, y + h / 2 * k1, rates)
        k3 = slope(xp, y + h / 2 * k2, rates)
        k4 = slope(xp, y + h * k3, rates)
        return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

    return loops.scan(step, p[4:], None, length=STEPS)[0]


def weighted(weights: tuple[float, ...], slopes: list[Any]) -> Any:
    """Σ weight · slope, without the zeros."""
    terms = zip(weights, slopes, strict=True)
    return sum(weight * k for weight, k in terms if weight)


def by_dormand_prince(xp: Any, loops: Any, p: Any) -> Any:
    """(u, v) after steps of chosen length.

    The last slope of a good step is the first of the next, and carried there.
    """
    rates = p[:4]

    def step(carry: Any) -> Any:
        t, h, y, first = carry
        remaining = YEARS - t
        h = xp.minimum(h, remaining)
        slopes = [first]
        for weights in STAGES:
            rise = weighted(weights, slopes)
            slopes.append(slope(xp, y + h * rise, rates))
        wrong = loops.stop_gradient(h * weighted(JUDGE, slopes))
        size = loops.stop_gradient(1 + xp.abs(y))
        error = xp.max(xp.abs(wrong) / size, axis=0) / ERROR
        good = error <= 1
        later = xp.where(h < remaining, t + h, YEARS)
        factor = xp.clip(0.9 * (error + 1e-10) ** -0.2, 0.2, 5.0)
        return (
            xp.where(good, later, t),
            h * factor,
            xp.where(good, y + h * rise, y),
            xp.where(good, slopes[-1], first),
        )

    start = (xp.zeros(()), xp.full((), 0.1), p[4:], slope(xp, p[4:], rates))
    return loops.while_loop(lambda carry: carry[0] < YEARS, step, start)[2]


def fixed(xp: Any, p: Any) -> Any:
    """By equal steps, with the tool's own loop."""
    return by_runge_kutta(xp, control(xp), p)


def adaptive(xp: Any, p: Any) -> Any:
    """By chosen steps, with the tool's own loop."""
    return by_dormand_prince(xp, control(xp), p)


def fixed_reference(work: Work) -> Arrays:
    """By complex steps through NumPy's loop."""
    return complex_step(
        replace(work, function=lambda xp, p: by_runge_kutta(xp, lockstep, p))
    )


def adaptive_reference(work: Work) -> Arrays:
    """By complex steps through NumPy's loop, whose points wait for the slowest."""
    return complex_step(
        replace(work, function=lambda xp, p: by_dormand_prince(xp, lockstep, p))
    )


def fixed_work(setting: Setting) -> Work:
    """200 Runge-Kutta steps of Lotka-Volterra, value + 2×6 sensitivities"""
    points = 1 << (6 if setting.quick else 13)
    moved = 0.2 * np.random.default_rng(0).normal(size=(points, 6))
    left_out = "no loop was written for it"
    return Work(
        name="trajectories",
        title="Lotka-Volterra, 200 Runge-Kutta steps, value + 2×6 sensitivities",
        function=fixed,
        inputs=(TYPICAL * np.exp(moved),),
        derivative="jacobian",
        in_axes=(0,),
        reference=fixed_reference,
        copies=False,
        without=dict.fromkeys(("torch", "drjit", "casadi", "autograd"), left_out),
        targets=(Target("JAX", "jitad", least=15),),
    )


def adaptive_work(setting: Setting) -> Work:
    """adaptive Dormand-Prince of Lotka-Volterra, value + 2×6 sensitivities

    Where rounding decides whether a step is good, outputs differ as their errors do.
    """
    return replace(
        fixed_work(setting),
        name="trajectories-adaptive",
        title="Lotka-Volterra, Dormand-Prince to 1e-8, value + 2×6 sensitivities",
        function=adaptive,
        reference=adaptive_reference,
        tolerance=1e-6,
        targets=(Target("JAX", "jitad", least=10),),
    )


ROWS = (
    speed_row("trajectories", fixed_work),
    speed_row("trajectories-adaptive", adaptive_work),
)
