"""Loops and branches, once for each tool: JAX's, jitad's, and NumPy's for references.

``control(xp)`` gives those that belong to an array namespace. ``lockstep`` runs a batch
on the trailing axis in NumPy alone: points that have finished are held while others go
on, both sides of a branch are computed; numbers may be complex.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np


def control(xp: Any) -> Any:
    """scan, while_loop, cond and stop_gradient for arrays of ``xp``."""
    if xp is np:
        return importlib.import_module("jitad")
    return importlib.import_module("jax").lax


def scan(
    f: Callable[..., Any], carry: Any, xs: Sequence[Any] | None, length: int
) -> tuple[Any, list[Any]]:
    """The last carry, and the rows of what f returns beside it."""
    rows = []
    for k in range(length):
        carry, y = f(carry, None if xs is None else xs[k])
        rows.append(y)
    return carry, rows


def while_loop(
    test: Callable[[Any], Any], body: Callable[[Any], Any], carry: tuple[Any, ...]
) -> tuple[Any, ...]:
    """The carry of every point at the end of its own loop."""
    while np.any(running := test(carry)):
        new = body(carry)
        carry = tuple(np.where(running, a, b) for a, b in zip(new, carry, strict=True))
    return carry


def cond(test: Any, yes: Callable, no: Callable, *operands: Any) -> Any:
    """yes(…) where the test holds, no(…) elsewhere."""
    return np.where(test, yes(*operands), no(*operands))


lockstep = SimpleNamespace(
    scan=scan, while_loop=while_loop, cond=cond, stop_gradient=np.real
)
