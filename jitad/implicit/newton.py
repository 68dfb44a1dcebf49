"""Newton's method with the exact Jacobian, shortened where |f| would not decrease.

One loop inside the kernel: in a batch every point takes its own number of steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jitad.api import jacobian
from jitad.primitives.control.loops import while_loop

from .closed import Closed

# The least part of a step that is tried.
_SHORTEST = 2.0**-10

# A step is rounding error if no part of it decreases |f|, and it is this many times
# tol^(3/2), by default ε, of the largest step.
_NOISE = 16

# Steps that shrink by a part between these converge linearly: to a multiple root.
_QUADRATIC, _STAGNANT = 0.25, 0.95


@dataclass(frozen=True, slots=True)
class Newton:
    """How F(x) = 0 is solved.

    max_steps  the most steps
    tol        how small the last step has to be, relative to x
    scale      how large x is at least taken to be
    """

    max_steps: int
    tol: float
    scale: float

    def residual(self, f: Closed, x: Any, *parameters: Any) -> Any:
        """What is zero at the solution."""
        return f(x, *parameters)

    def solve(self, f: Closed, x0: Any, *parameters: Any) -> tuple[Any, Any]:
        """The solution and whether it was found.

        It ends by the steps dx = -(∂f/∂x)⁻¹ f, which do not depend on how equations
        are scaled (Deuflhard, Newton Methods for Nonlinear Problems, 2011, section
        1.4); how far a step is taken does.
        """
        slope = jacobian(f)
        limit = _NOISE * self.tol**1.5

        def step(state: Any) -> Any:
            x, y, largest, before, _, _ = state
            dx = -np.linalg.solve(slope(x, *parameters), y)
            size, ratio = _norm(dx), _norm(dx) / before
            linear = (ratio > _QUADRATIC) & (ratio < _STAGNANT)
            small = (size <= self.tol * np.maximum(_norm(x), self.scale)) & ~linear
            part, z = _shortened(lambda t: f(x + t * dx, *parameters), y, small)
            largest = np.maximum(largest, size)
            noise = (size <= limit * largest) & ~(_norm(z) < _norm(y))
            going = (size < np.inf) & ~small & ~noise
            return x + part * dx, z, largest, size, small | noise, going

        kind = x0.dtype.type
        start = (x0, f(x0, *parameters), kind(0), kind(np.inf), np.False_, np.True_)
        end = while_loop(lambda s: s[-1], step, start, max_steps=self.max_steps)
        # A loop that did not end has NaN in x, and has not found it.
        return end[0], end[4]


def _norm(x: Any) -> Any:
    return np.max(np.abs(x))


def _shortened(trial: Any, y: Any, whole: Any) -> tuple[Any, Any]:
    """The part t of a step that decreases |f|, at most halved ten times, and f there.

    A t that leaves f's domain, where it is NaN, does not decrease it.  Where `whole`
    holds the step is at the level of rounding errors, and all of it is taken.
    """
    size = _norm(y)

    def judged(t: Any) -> Any:
        z = trial(t)
        enough = _norm(z) <= (1 - t / 4) * size
        return t, z, ~(enough | whole) & (t > _SHORTEST)

    one = y.dtype.type(1)
    t, z, _ = while_loop(lambda s: s[-1], lambda s: judged(s[0] / 2), judged(one))
    return t, z
