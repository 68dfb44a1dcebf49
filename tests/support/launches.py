"""A small kernel and its arguments, to launch here and in other processes."""

from __future__ import annotations

import numpy as np

from jitad.lowering.kernel import Argument, Buffer, Kernel
from jitad.lowering.statements import Load, Op, Store

F8 = np.dtype("f8")


def kernel(repeats: int = 4) -> Kernel:
    """Take the sine of rows of three, again and again."""
    buffers = (
        Buffer("x", F8, 3, (0,), "rows", False),
        Buffer("y", F8, 3, (0,), "rows", True),
    )
    body = [Load(i, 0, i, F8) for i in range(3)]
    ops = [Op(3 + k, "sin", (k,), F8) for k in range(3 * repeats)]
    stores = [Store(1, i, 3 * repeats + i) for i in range(3)]
    return Kernel(buffers, 1, (*body, *ops, *stores))


def arrays(count: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(count, 3))
    return x, np.zeros_like(x)


def argument(a: np.ndarray) -> Argument:
    return Argument(a.ctypes.data, a.strides[:1], a.strides[1])
