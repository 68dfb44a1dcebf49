"""Derivatives against differences of values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def are_differences(
    f: Callable[..., Any], args: Sequence[np.ndarray], slopes: Sequence[np.ndarray]
) -> None:
    """Gradients in all arguments, along a random direction."""
    rng = np.random.default_rng(2)
    v = [rng.normal(size=x.shape) for x in args]
    h = 1e-6
    there, here = (
        f(*(x + s * h * d for x, d in zip(args, v, strict=True))) for s in (1, -1)
    )
    wanted = sum(np.sum(g * d) for g, d in zip(slopes, v, strict=True))
    scale = sum(np.sum(np.abs(g * d)) for g, d in zip(slopes, v, strict=True))
    assert abs((there - here) / (2 * h) - wanted) < 1e-6 * scale
