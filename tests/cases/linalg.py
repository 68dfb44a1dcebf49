"""Functions of a square matrix."""

from __future__ import annotations

import numpy as np

FUNCTIONS = {
    "det": np.linalg.det,
    "slogdet": np.linalg.slogdet,
    "inv": np.linalg.inv,
    "solve": lambda a: np.linalg.solve(a, np.arange(1.0, a.shape[-1] + 1)),
    "solve columns": lambda a: np.linalg.solve(a, a + 1),
    "square": lambda a: np.linalg.matrix_power(a, 2),
    "fifth power": lambda a: np.linalg.matrix_power(a, 5),
    "zeroth power": lambda a: np.linalg.matrix_power(a, 0),
    "negative power": lambda a: np.linalg.matrix_power(a, -3),
}
