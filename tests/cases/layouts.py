"""Kernels that move elements between layouts, and compute in nests of loops."""

from __future__ import annotations

import numpy as np

from jitad.lowering.kernel import Buffer, Kernel
from jitad.lowering.statements import Const, For, Load, Op, Store

F8, F4, I8, I4, I2, U1 = (np.dtype(t) for t in ("f8", "f4", "i8", "i4", "i2", "u1"))
BOOL = np.dtype(bool)
SIZES = (0, 1, 7, 8, 9, 35)


def moving(source: str, sink: str, dtype: np.dtype, n: int, m: int) -> Kernel:
    """Make m outputs from n inputs: y[j] = x[(3 j) mod n], times 2 if it is a float."""
    buffers = (
        Buffer("x", dtype, n, (0,), source, False),
        Buffer("y", dtype, m, (0,), sink, True),
    )
    body: list = [Load(i, 0, i, dtype) for i in range(n)]
    values = [3 * j % n for j in range(m)]
    if dtype != BOOL:
        body.append(Const(n, dtype.type(2), dtype))
        body += [Op(n + 1 + j, "mul", (values[j], n), dtype) for j in range(m)]
        values = [n + 1 + j for j in range(m)]
    body += [Store(1, j, values[j]) for j in range(m)]
    return Kernel(buffers, 1, tuple(body))


def numbers(rng: np.random.Generator, shape: tuple, dtype: np.dtype) -> np.ndarray:
    if dtype == BOOL:
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        return rng.integers(-50, 50, shape).astype(dtype)
    return rng.normal(size=shape).astype(dtype)


def nested(layouts: tuple[str, str, str, str]) -> Kernel:
    """Three axes: per-lane a, loop-varying b and c, outputs at two depths."""
    a, b, c, out = layouts
    buffers = (
        Buffer("a", F8, 3, (0,), a, False),
        Buffer("b", F8, 2, (0, 1), b, False),
        Buffer("c", F8, 9, (0, 1, 2), c, False),
        Buffer("d", F8, 1, (1,), "fixed", False),
        Buffer("y", F8, 2, (0,), out, True),
        Buffer("z", F8, 10, (0, 1, 2), out, True),
        Buffer("w", F8, 3, (0, 1), out, True),
    )
    inner = (
        *(Load(20 + i, 2, i, F8) for i in range(9)),
        Op(40, "mul", (12, 28), F8),
        *(Op(41 + i, "maximum", (40, 20 + i), F8) for i in range(9)),
        *(Store(5, i, 41 + i) for i in range(9)),
        Store(5, 9, 40),
    )
    middle = (
        Load(10, 1, 0, F8),
        Load(11, 1, 1, F8),
        Load(15, 3, 0, F8),
        Op(12, "add", (10, 0), F8),
        Op(13, "mul", (11, 15), F8),
        For(2, inner),
        *(Store(6, i, v) for i, v in enumerate((12, 13, 11))),
    )
    again = (Load(60, 1, 1, F8), Store(7, 0, 60))
    body = (
        *(Load(i, 0, i, F8) for i in range(3)),
        For(1, middle),
        Op(50, "sub", (1, 2), F8),
        Store(4, 0, 50),
        Store(4, 1, 0),
        For(1, again),
    )
    return Kernel((*buffers, Buffer("v", F8, 1, (0, 1), out, True)), 3, body)
