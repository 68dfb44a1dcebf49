"""Derivatives along a direction by extrapolated central differences, with an error.

The reference that knows nothing of differentiation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

_LEVELS = 12
# No power of two: x ± v/8 and x ± v/4 may be a whole number of periods apart.
_FIRST_STEP = 13 / 128
# Finer steps for jumps that the others straddle, each so much smaller than the last.
_FINER = 1 / 8
# Two estimates contradict each other if they are this many errors apart.
_ALLOWANCE = 8


def derivative(
    f: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    v: np.ndarray,
    unit: float,
    spread: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Σ_k ∂f/∂x_k v_k, an estimate of its error, and the size of f nearby.

    v should have x's size: steps are v/10 to v/20,000, and some finer ones.  Of each
    row of Richardson's tableau each result takes the entry that differs least from its
    neighbours, rounding by `unit` (the machine's) or `spread` (f's) included (Ridders
    1982, Accurate computation of F'(x)).  From the finest row on, a coarser one counts
    where it is more certain, until one contradicts: its step straddles a jump.  Steps
    that leave f's domain do not count; the error is infinite where none is left.
    """
    with np.errstate(all="ignore"):
        steps = [_FIRST_STEP * 0.5**i for i in range(_LEVELS)]
        # Below, rounding takes more than it lets see.
        while steps[-1] * _FINER > unit ** (2 / 3):
            steps.append(steps[-1] * _FINER)
        pairs = [(f(x + t * v), f(x - t * v)) for t in steps]
        slopes = [
            (up - down) / (2 * t) for (up, down), t in zip(pairs, steps, strict=True)
        ]
        sizes = [np.maximum(np.abs(up), np.abs(down)) for up, down in pairs]
        noise = [
            (unit * (size + np.abs(slope)) + spread) / t
            for size, slope, t in zip(sizes, slopes, steps, strict=True)
        ]
        best, error = _finest(_rows(slopes, noise))
        return best, error, np.fmax.reduce(sizes[:_LEVELS])


def _rows(
    slopes: Sequence[np.ndarray], noise: Sequence[np.ndarray]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of every row of the tableau the best entry and its error."""
    found, above = [], [slopes[0]]
    for i in range(1, len(slopes)):
        best, error = np.full_like(slopes[0], np.nan), np.full_like(slopes[0], np.inf)
        row = [slopes[i]]
        for j in range(1, i + 1 if i < _LEVELS else 2):
            # Beyond the halvings only the slopes themselves are compared.
            power = 4.0**j if i < _LEVELS else _FINER**-2
            entry = row[-1] + (row[-1] - above[j - 1]) / (power - 1)
            change = np.maximum(abs(entry - row[-1]), abs(entry - above[j - 1]))
            guess = change + noise[i]
            better = guess < error
            best, error = np.where(better, entry, best), np.where(better, guess, error)
            row.append(entry)
        found.append((best, error))
        above = row
    return found


def _finest(
    rows: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    """The most certain of the estimates that no finer one contradicts."""
    best, error = rows[-1]
    agrees = np.full(np.shape(best), True)
    for value, doubt in rows[-2::-1]:
        known = np.isfinite(doubt) & np.isfinite(error)
        apart = np.abs(value - best) > _ALLOWANCE * (doubt + error)
        agrees &= ~(known & apart)
        better = agrees & (doubt < error)
        best, error = np.where(better, value, best), np.where(better, doubt, error)
    return best, error
