"""Sums over points, by functions of a row of data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import jitad


def data(count: int, dtype: Any = float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(count)
    p = rng.normal(size=3)
    x = rng.normal(size=(count, 3))
    y = (rng.random(count) > 0.5).astype(float)
    return p.astype(dtype), x.astype(dtype), y.astype(dtype)


def row(p: Any, x: Any, y: Any) -> Any:
    """The negative log-likelihood of one row of a logistic regression."""
    z = x @ p
    return np.log1p(np.exp(z)) - y * z


def loss(p: Any, x: Any, y: Any) -> Any:
    return np.sum(jitad.vmap(row, in_axes=(None, 0, 0))(p, x, y))


def per_point(x: Any, y: Any) -> Any:
    return np.stack([np.sin(x[0]) * y, x[1] * x[2]])


def residuals(x: Any, y: Any) -> Any:
    return jitad.vmap(per_point)(x, y)


SUMS: dict[str, Callable[..., Any]] = {
    "all": lambda r, w: np.sum(r),
    "method": lambda r, w: r.sum(),
    "points": lambda r, w: np.sum(r, axis=0),
    "squares": lambda r, w: np.sum(r * r),
    "weighted": lambda r, w: np.sum(w[:, None] * r**2),
    "inner": lambda r, w: np.sum(w * np.sum(r**2, axis=1)),
    "column": lambda r, w: np.sum(w * r[:, 1]),
    "columns": lambda r, w: np.sum(r[:, 0] * r[:, 1]),
    "mean": lambda r, w: np.mean(r),
    "mean of points": lambda r, w: np.mean(r, axis=0),
    "scaled": lambda r, w: -3.0 * np.sum(r) / len(r) + 1.0,
    "chosen": lambda r, w: np.sum(np.where(w[:, None] > 0.5, r, 0.0)),
    "counted": lambda r, w: np.sum(r > 0.0),
    "kept": lambda r, w: np.sum(r, axis=0, keepdims=True),
    "two": lambda r, w: np.stack([np.sum(np.abs(r)), np.sum(r)]),
    "after the mean": lambda r, w: np.sum((r - np.mean(r, axis=0)) ** 2),
}
