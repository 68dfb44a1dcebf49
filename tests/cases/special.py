"""Functions of SciPy that sum over an axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sp
from scipy.special import logsumexp

_B = np.array([[1.0, 0.5, 2.0], [-1.0, 3.0, 1.0]])
SUMS: dict[str, Callable[..., Any]] = {
    "all": logsumexp,
    "rows": lambda a: logsumexp(a, axis=1),
    "columns": lambda a: logsumexp(a, 0),
    "last": lambda a: logsumexp(a, axis=-1, keepdims=True),
    "both": lambda a: logsumexp(a, axis=(0, 1), keepdims=True),
    "weights": lambda a: logsumexp(a, axis=1, b=_B),
    "a row of weights": lambda a: logsumexp(a, axis=0, b=np.array([1.0, 2.0, 0.0])),
    "signs": lambda a: logsumexp(a, axis=1, b=-_B, return_sign=True),
    "signs, no weights": lambda a: logsumexp(a, return_sign=True),
    "numbers": lambda a: logsumexp([a[0, 0], 2.0 * a[0, 1]]),
    "one": lambda a: logsumexp(a[0, 0]),
    "softmax": sp.softmax,
    "softmax of rows": lambda a: sp.softmax(a, axis=1),
    "softmax of pairs": lambda a: sp.softmax(a, axis=(0, 1)),
    "log_softmax": lambda a: sp.log_softmax(a, axis=0),
}
