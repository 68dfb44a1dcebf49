"""Shared arrays read at traced places, and a gradient in one by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import jitad


def data(
    shape: tuple[int, int], count: int, dtype: Any = float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A table, points, and indices into the table, a few of them negative."""
    rng = np.random.default_rng(seed + count)
    table = rng.normal(size=shape).astype(dtype)
    points = rng.normal(size=(count, shape[1])).astype(dtype)
    return table, points, rng.integers(-shape[0] // 4, shape[0], count)


def f(table: Any, p: Any, i: Any) -> Any:
    row = table[i]
    return np.sin(row @ p) * row[0]


def loss(table: Any, p: Any, i: Any) -> Any:
    return np.sum(jitad.vmap(f, (None, 0, 0))(table, p, i))


def by_hand(
    table: np.ndarray, p: np.ndarray, i: np.ndarray
) -> tuple[Any, np.ndarray, np.ndarray]:
    """The loss, its gradient in the table and the derivatives of f in the points."""
    table, p = table.astype(float), p.astype(float)
    rows = table[i]
    z = np.sum(rows * p, axis=1)
    slopes = (np.cos(z) * rows[:, 0])[:, None] * p
    slopes[:, 0] += np.sin(z)
    gradient = np.zeros_like(table)
    np.add.at(gradient, i, slopes)
    return np.sum(np.sin(z) * rows[:, 0]), gradient, (
        np.cos(z) * rows[:, 0]
    )[:, None] * rows  # fmt: skip


READS: dict[str, Callable[..., Any]] = {
    "two rows": lambda t, i, j: t[i] - t[j],
    "element": lambda t, i, j: t[i, j % 3],
    "row of a transpose": lambda t, i, j: t.T[:, i],
    "of a view": lambda t, i, j: t[::-2, 1:][i // 2],
    "reversed axes": lambda t, i, j: t[::-1, ::-1][i, j % 3],
    "and constant": lambda t, i, j: t[i, 1] * t[j, -1],
    "several": lambda t, i, j: t[np.stack([i, j, i])],
    "take": lambda t, i, j: np.take(t, i, axis=0),
    "take flat": lambda t, i, j: np.take(t, i + j),
    "take wrap": lambda t, i, j: np.take(t, i + 40 * j, axis=0, mode="wrap"),
    "take clip": lambda t, i, j: np.take(t, i * 3 - 40, axis=0, mode="clip"),
    "int32": lambda t, i, j: t[i.astype(np.int32)],
    "computed": lambda t, i, j: t[(np.abs(t[j, 0]) * 10).astype(int) % 40],
    "also a constant row": lambda t, i, j: t[i] * t[2],
    "also all of it": lambda t, i, j: t[i] + np.sum(t * t),
}
