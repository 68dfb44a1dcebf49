"""Derivatives along a direction by extrapolated central differences, with an error.

The reference that knows nothing of differentiation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

_LEVELS = 12
# No power of two: x ± v/8 and x ± v/4 may be a whole number of periods apart.
_FIRST_STEP = 13 / 128


def derivative(
    f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, v: np.ndarray, unit: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Σ_k ∂f/∂x_k v_k, an estimate of its error, and the size of f nearby.

    v should have x's size: steps are v/10 to v/20,000.  Of Richardson's tableau each
    result takes the entry that differs least from its neighbours, rounding by `unit`
    (the machine's) included (Ridders 1982, Accurate computation of F'(x)).  Steps that
    leave f's domain do not count; the error is infinite where none is left.
    """
    with np.errstate(all="ignore"):
        steps = [_FIRST_STEP * 0.5**i for i in range(_LEVELS)]
        pairs = [(f(x + t * v), f(x - t * v)) for t in steps]
        slopes = [
            (up - down) / (2 * t) for (up, down), t in zip(pairs, steps, strict=True)
        ]
        sizes = [np.maximum(np.abs(up), np.abs(down)) for up, down in pairs]
        noise = [
            unit * (size + np.abs(slope)) / t
            for size, slope, t in zip(sizes, slopes, steps, strict=True)
        ]
        best, error = _extrapolate(slopes, noise)
        return best, error, np.fmax.reduce(sizes)


def _extrapolate(
    slopes: Sequence[np.ndarray], noise: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    best = np.full_like(slopes[0], np.nan)
    error = np.full_like(slopes[0], np.inf)
    above = [slopes[0]]
    for i in range(1, len(slopes)):
        row = [slopes[i]]
        for j in range(1, i + 1):
            found = row[-1] + (row[-1] - above[j - 1]) / (4.0**j - 1)
            change = np.maximum(abs(found - row[-1]), abs(found - above[j - 1]))
            guess = change + noise[i]
            better = guess < error
            best, error = (
                np.where(better, found, best),
                np.where(better, guess, error),
            )
            row.append(found)
        above = row
    return best, error
