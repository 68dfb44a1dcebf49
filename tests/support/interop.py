"""What the tests of `jitad.interop` share."""

from __future__ import annotations

import numpy as np


def curve(p, x):
    """A decay towards a level, at one place or at many."""
    return p[0] * np.exp(-p[1] * x) + p[2]


def central(f, x, *, step=1e-6):
    """The Jacobian of f at a vector by central differences, (*f(x).shape, len(x))."""
    columns = []
    for k in range(len(x)):
        h = np.zeros(len(x))
        h[k] = step * max(1.0, abs(x[k]))
        columns.append((np.asarray(f(x + h)) - np.asarray(f(x - h))) / (2 * h[k]))
    return np.stack(columns, axis=-1)
