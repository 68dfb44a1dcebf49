"""Models of many data at one point: value and gradient, beside JAX.

References are gradients by hand in NumPy and SciPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

from benchmarks.speed import Row, speed_row
from benchmarks.work import Arrays, Setting, Target, Work

_OTHERS = {
    "drjit": "its arrays are batches of points",
    "casadi": "its graphs are of scalars",
}


def gaussian_process(xp: Any, theta: Any, X: Any, y: Any) -> Any:
    """The negative logarithm of a marginal likelihood."""
    gaps = xp.sum((X[:, None, :] - X[None, :, :]) ** 2, axis=-1)
    K = theta[0] ** 2 * xp.exp(-0.5 * gaps / theta[1] ** 2)
    K = K + (theta[2] ** 2 + 1e-6) * xp.eye(len(y))
    L = xp.linalg.cholesky(K)
    alpha = xp.linalg.solve(L.T, xp.linalg.solve(L, y))
    return 0.5 * xp.dot(y, alpha) + xp.sum(xp.log(xp.diag(L)))


def gaussian_process_gradient(work: Work) -> Arrays:
    """By K⁻¹ from Cholesky's factor."""
    theta, X, y = work.inputs
    gaps = np.sum((X[:, None, :] - X[None, :, :]) ** 2, axis=-1)
    smooth = np.exp(-0.5 * gaps / theta[1] ** 2)
    K = theta[0] ** 2 * smooth + (theta[2] ** 2 + 1e-6) * np.eye(len(y))
    factor = scipy.linalg.cho_factor(K, lower=True)
    alpha = scipy.linalg.cho_solve(factor, y)
    value = 0.5 * y @ alpha + np.sum(np.log(np.diag(factor[0])))
    slopes = 0.5 * (
        scipy.linalg.cho_solve(factor, np.eye(len(y))) - np.outer(alpha, alpha)
    )
    each = [
        2 * theta[0] * smooth,
        theta[0] ** 2 * smooth * gaps / theta[1] ** 3,
        2 * theta[2] * np.eye(len(y)),
    ]
    return np.asarray(value), np.array([np.sum(slopes * K) for K in each])


def gaussian_process_work(setting: Setting) -> Work:
    """a Gaussian process of 1,000 points, marginal likelihood and its gradient"""
    size, rng = (20 if setting.quick else 1000), np.random.default_rng(0)
    X = rng.normal(size=(size, 3))
    return Work(
        name="gaussian-process",
        title=f"marginal likelihood of {size:,} points by Cholesky, value and gradient",
        function=gaussian_process,
        inputs=(np.array([1.0, 1.5, 0.3]), X, np.sin(X[:, 0])),
        derivative="gradient",
        reference=gaussian_process_gradient,
        batched=False,
        copies=False,
        tolerance=1e-8,
        without=_OTHERS,
        targets=(Target("JAX", "jitad", least=1),),
    )


def grouped(xp: Any, beta: Any, u: Any, X: Any, y: Any, group: Any) -> Any:
    """Logistic regression with an intercept for each group."""
    z = X @ beta + u[group]
    return xp.sum(xp.logaddexp(0.0, z) - y * z) + 0.5 * xp.sum(u**2)


def grouped_gradient(work: Work) -> Arrays:
    """By hand."""
    beta, u, X, y, group = work.inputs
    z = X @ beta + u[group]
    value = np.sum(np.logaddexp(0.0, z) - y * z) + 0.5 * np.sum(u**2)
    slopes = 1 / (1 + np.exp(-z)) - y
    return np.asarray(value), X.T @ slopes, u + np.bincount(group, slopes, len(u))


def grouped_work(setting: Setting) -> Work:
    """a logistic regression of 10^6 rows in 1,000 groups, value and gradient"""
    rows, rng = (2000 if setting.quick else 1_000_000), np.random.default_rng(0)
    X = rng.normal(size=(rows, 20))
    group = rng.integers(0, 1000, rows)
    return Work(
        name="grouped",
        title=f"logistic regression of {rows:,} × 20 in groups, value and gradient",
        function=grouped,
        inputs=(
            rng.normal(size=20) / 5, rng.normal(size=1000), X,
            (rng.random(rows) < 0.5).astype(float), group,
        ),
        derivative="gradient",
        reference=grouped_gradient,
        argnums=(0, 1),
        batched=False,
        copies=False,
        without=_OTHERS,
        targets=(Target("JAX", "jitad", least=2),),
    )  # fmt: skip


def perceptron(xp: Any, W: Any, b: Any, V: Any, c: Any, x: Any, wanted: Any) -> Any:
    """The mean cross entropy of a network with one hidden layer."""
    out = xp.maximum(x @ W + b, 0) @ V + c
    out = out - xp.max(out, axis=1, keepdims=True)
    return xp.mean(xp.log(xp.sum(xp.exp(out), axis=1)) - xp.sum(out * wanted, axis=1))


def perceptron_gradient(work: Work) -> Arrays:
    """By hand."""
    W, b, V, c, x, wanted = work.inputs
    before = x @ W + b
    hidden = np.maximum(before, 0)
    out = hidden @ V + c
    out -= np.max(out, axis=1, keepdims=True)
    value = np.mean(np.log(np.sum(np.exp(out), axis=1)) - np.sum(out * wanted, axis=1))
    shares = np.exp(out)
    shares /= np.sum(shares, axis=1, keepdims=True)
    slopes = (shares - wanted) / np.float32(len(x))
    back = slopes @ V.T * (before > 0)
    first, second = x.T @ back, hidden.T @ slopes
    return np.asarray(value), first, back.sum(axis=0), second, slopes.sum(axis=0)


def perceptron_work(setting: Setting) -> Work:
    """a network 784-256-10 on a batch of 1,024 in float32, value and gradient"""
    batch, rng = (64 if setting.quick else 1024), np.random.default_rng(0)
    shapes = ((784, 256), (256,), (256, 10), (10,))
    weights = [(rng.normal(size=s) / np.sqrt(s[0])).astype(np.float32) for s in shapes]
    x = rng.uniform(size=(batch, 784)).astype(np.float32)
    wanted = np.eye(10, dtype=np.float32)[rng.integers(0, 10, batch)]
    return Work(
        name="perceptron",
        title=f"784-256-10 on a batch of {batch:,} in float32, value and gradient",
        function=perceptron,
        inputs=(*weights, x, wanted),
        derivative="gradient",
        reference=perceptron_gradient,
        argnums=(0, 1, 2, 3),
        batched=False,
        copies=False,
        tolerance=1e-3,
        without=_OTHERS,
        targets=(Target("JAX", "jitad", least=1),),
    )


ROWS: tuple[Row, ...] = (
    speed_row("gaussian-process", gaussian_process_work),
    speed_row("grouped", grouped_work),
    speed_row("perceptron", perceptron_work),
)
