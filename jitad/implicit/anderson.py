"""Anderson's acceleration of x = f(x), one loop inside the kernel.

D. G. Anderson (1965), as H. F. Walker and P. Ni (2011), Anderson Acceleration for
Fixed-Point Iterations, state it: f(x) is corrected by differences of earlier values,
weighted so that the same combination of residuals r = f(x) - x is least.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jitad.primitives.control.loops import while_loop

from .closed import Closed

# How much larger residuals may become under acceleration.
_GROWTH = 10.0


@dataclass(frozen=True, slots=True)
class Anderson:
    """How x = F(x) is solved.

    max_steps  how often f is evaluated at most, but for once more
    tol        how small the last |f(x) - x| has to be, relative to x
    scale      how large x is at least taken to be
    memory     how many differences are used; 0 is plain iteration
    """

    max_steps: int
    tol: float
    scale: float
    memory: int

    def residual(self, f: Closed, x: Any, *parameters: Any) -> Any:
        """What is zero at the solution."""
        return f(x, *parameters) - x

    def solve(self, f: Closed, x0: Any, *parameters: Any) -> tuple[Any, Any]:
        """The solution and whether it was found.

        An accelerated step after which |r| is ten times the least so far is taken
        back: the plain iteration goes on from where it started, with nothing
        remembered.  Less must be allowed, even where f is linear.
        """

        def step(state: Any) -> Any:
            x, last, history, least, plain, _, _ = state
            y = f(x, *parameters)
            r, (y_last, r_last) = y - x, last
            size = _norm(r)
            good = plain | (size < _GROWTH * least)
            least = np.where(plain, size, np.minimum(size, least))
            lost = plain & ~(size < np.inf)
            small = size <= self.tol * np.maximum(_norm(x), self.scale)
            history = _remembered(history, (y - y_last, r - r_last), good)
            better = _either(good, y - _correction(history, r), y_last)
            x = _either(small, y, better)
            last = (_either(good, y, y_last), _either(good, r, r_last))
            return x, last, history, least, ~good, small, ~(small | lost)

        y0 = f(x0, *parameters)
        blank = np.zeros(x0.shape, x0.dtype)
        columns = min(self.memory, x0.shape[0])
        history = tuple([(blank, blank) for _ in range(columns)])
        start = (
            y0, (y0, y0 - x0), history, x0.dtype.type(np.inf),
            np.True_, np.False_, np.True_,
        )  # fmt: skip
        end = while_loop(lambda s: s[-1], step, start, max_steps=self.max_steps)
        return end[0], end[5]


def _norm(x: Any) -> Any:
    return np.max(np.abs(x))


def _either(condition: Any, x: Any, y: Any) -> Any:
    return np.where(condition, x, y)


def _remembered(history: Any, newest: tuple[Any, Any], good: Any) -> Any:
    """The differences with the newest in front; zeros after a step that failed."""
    kept = (newest, *history)[: len(history)]
    return tuple([(_either(good, dy, 0.0), _either(good, dr, 0.0)) for dy, dr in kept])


def _correction(history: Any, r: Any) -> Any:
    """Σ γⱼ dyⱼ with the γ for which |r - Σ γⱼ drⱼ| is least.

    By Gram and Schmidt's process on the dr, what is done to them being done to the dy.
    Columns that depend on newer ones within rounding are left out.
    """
    small = np.finfo(r.dtype).eps
    basis: list[tuple[Any, Any]] = []
    for dy, dr in history:
        # Squares of differences near the solution may be too small for the dtype.
        unit = _norm(dr)
        unit = np.where(unit > 0, unit, 1)
        u, v = dy / unit, dr / unit
        whole = np.sum(v * v)
        for p, q in basis:
            share = np.sum(q * v)
            u, v = u - share * p, v - share * q
        left = np.sum(v * v)
        kept = left > small * whole
        weight = np.where(kept, 1 / np.sqrt(np.where(kept, left, 1)), 0)
        basis.append((u * weight, v * weight))
    total = np.zeros_like(r)
    for p, q in basis:
        share = np.sum(q * r)
        total, r = total + share * p, r - share * q
    return total
