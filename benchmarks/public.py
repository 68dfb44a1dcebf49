"""Workloads of GradBench and ADBench: gmm, lse, llsq and hello, at one point.

One gradient of a function of arrays, by an ordinary call. Bundle adjustment, the fifth
of them, has its own file.
"""

from __future__ import annotations

from math import lgamma, log, pi
from typing import Any

import numpy as np

from benchmarks.speed import speed_row
from benchmarks.work import Arrays, Setting, Work

TERMS = 128


def without(setting: Setting) -> dict[str, str]:
    """Tools that do not take part, and why."""
    reasons = {
        "casadi": "left out: scalar expressions of this size",
        "drjit": "left out: one point",
    }
    if not setting.quick:
        # it writes a point's program out scalar by scalar, which takes minutes here
        reasons["jitad"] = "left out: has no loops over a large point's elements"
    return reasons


def hello(xp: Any, x: Any) -> Any:
    """x²: nothing but the overhead of a call."""
    return x * x


def lse(xp: Any, x: Any) -> Any:
    """max x + log Σ exp(x - max x)."""
    top = xp.max(x)
    return top + xp.log(xp.sum(xp.exp(x - top)))


def llsq(xp: Any, x: Any, t: Any) -> Any:
    """½ Σᵢ (sign tᵢ - Σⱼ xⱼ tᵢʲ)².

    t is an argument, so that no tool can take its powers out of the call.
    """
    powers = xp.cumprod(xp.broadcast_to(t, (TERMS - 1, len(t))), 0)
    residual = xp.sign(t) - x[0] - x[1:] @ powers
    return 0.5 * xp.sum(residual * residual)


def gmm(xp: Any, alpha: Any, mu: Any, q: Any, lower: Any, x: Any) -> Any:
    """Log-posterior of a Gaussian mixture; γ = 1, m = 0.

    alpha (k), mu (k, d), q (k, d), lower (k, d(d-1)/2) row by row, x (n, d).
    """
    n, d = x.shape
    k = len(alpha)
    Q = factors(xp, q, lower, k, d)
    centred = x[:, None, :] - mu[None, :, :]
    turned = xp.einsum("kij,nkj->nki", Q, centred)
    logs = alpha + xp.sum(q, axis=1) - 0.5 * xp.sum(turned * turned, axis=2)
    top = xp.max(alpha)
    mixture = xp.sum(logsumexp_rows(xp, logs))
    weights = n * (top + xp.log(xp.sum(xp.exp(alpha - top))))
    prior = 0.5 * (xp.sum(xp.exp(q) * xp.exp(q)) + xp.sum(lower * lower))
    return mixture - weights - prior + constant(n, d, k)


def factors(xp: Any, q: Any, lower: Any, k: int, d: int) -> Any:
    """Lower-triangular (k, d, d): exp q on the diagonal, ``lower`` below it."""
    diagonal = xp.exp(q)
    rows = []
    for i in range(d):
        start = i * (i - 1) // 2
        parts = [lower[:, start : start + i], diagonal[:, i : i + 1]]
        if i + 1 < d:
            parts.append(xp.zeros((k, d - i - 1)))
        rows.append(xp.concatenate(parts, axis=1))
    return xp.stack(rows, axis=1)


def logsumexp_rows(xp: Any, logs: Any) -> Any:
    """log Σ exp over the last axis; the shift by the largest has no derivative."""
    top = xp.amax(logs, axis=1)
    return top + xp.log(xp.sum(xp.exp(logs - top[:, None]), axis=1))


def constant(n: int, d: int, k: int) -> float:
    """What does not depend on the parameters: normalisation and Wishart prior."""
    free = d + 1
    gamma = 0.25 * d * (d - 1) * log(pi)
    gamma += sum(lgamma(0.5 * (free - i)) for i in range(d))
    return -0.5 * n * d * log(2 * pi) + k * (-0.5 * free * d * log(2) - gamma)


def hello_reference(work: Work) -> Arrays:
    """x² and 2x."""
    (x,) = work.inputs
    return np.asarray(x * x), np.asarray(2 * x)


def lse_reference(work: Work) -> Arrays:
    """The value and the softmax."""
    (x,) = work.inputs
    e = np.exp(x - x.max())
    return np.asarray(x.max() + np.log(e.sum())), e / e.sum()


def llsq_reference(work: Work) -> Arrays:
    """½ r·r and -Vᵀr, with the Vandermonde matrix V."""
    x, t = work.inputs
    V = np.vander(t, TERMS, increasing=True)
    r = np.sign(t) - V @ x
    return np.asarray(0.5 * r @ r), -V.T @ r


def gmm_reference(work: Work) -> Arrays:
    """By hand: with responsibilities ρ, ∂L/∂Q_k = -Σᵢ ρ_ik z_ik (xᵢ - μ_k)ᵀ."""
    alpha, mu, q, lower, x = work.inputs
    n, d = x.shape
    k = len(alpha)
    Q = factors(np, q, lower, k, d)
    centred = x[:, None, :] - mu
    z = np.einsum("kij,nkj->nki", Q, centred)
    logs = alpha + q.sum(1) - 0.5 * (z * z).sum(2)
    shifted = np.exp(logs - logs.max(1, keepdims=True))
    rho = shifted / shifted.sum(1, keepdims=True)
    share = np.exp(alpha - alpha.max())
    share /= share.sum()
    Q_bar = -np.einsum("nk,nki,nkj->kij", rho, z, centred)
    diagonal = np.einsum("kii->ki", Q_bar)
    below = np.tril_indices(d, -1)
    return (
        np.asarray(gmm(np, *work.inputs)),
        rho.sum(0) - n * share,
        np.einsum("nk,kij,nki->kj", rho, Q, z),
        diagonal * np.exp(q) + rho.sum(0)[:, None] - np.exp(2 * q),
        Q_bar[:, below[0], below[1]] - lower,
    )


def hello_work(setting: Setting) -> Work:
    """x² and its derivative, one call at a time"""
    return Work(
        name="hello",
        title="x² and its derivative, one call",
        function=hello,
        inputs=(np.asarray(3.0),),
        derivative="gradient",
        batched=False,
        copies=False,
        reference=hello_reference,
    )


def lse_work(setting: Setting) -> Work:
    """log Σ exp of 80,000 numbers, gradient"""
    n = 64 if setting.quick else 80_000
    return Work(
        name="lse",
        title=f"log Σ exp of {n:,} numbers, gradient",
        function=lse,
        inputs=(np.random.default_rng(0).uniform(size=n),),
        derivative="gradient",
        batched=False,
        copies=False,
        reference=lse_reference,
        native="public.c:lse",
        native_size=n,
        without=without(setting),
    )


def llsq_work(setting: Setting) -> Work:
    """least squares of a polynomial of 128 terms at 1,024 points, gradient"""
    n = 16 if setting.quick else 1024
    x = np.random.default_rng(0).normal(size=TERMS)
    return Work(
        name="llsq",
        title=f"polynomial of {TERMS} terms at {n:,} points, gradient",
        function=llsq,
        inputs=(x, np.linspace(-1.0, 1.0, n)),
        derivative="gradient",
        batched=False,
        copies=False,
        reference=llsq_reference,
        native="public.c:llsq",
        native_size=n,
        without=without(setting),
    )


def gmm_work(setting: Setting) -> Work:
    """Gaussian mixture, n = 1000, d = 10, k = 25, gradient in 1,650 parameters"""
    n, d, k = (20, 2, 5) if setting.quick else (1000, 10, 25)
    rng = np.random.default_rng(0)
    shapes = (k,), (k, d), (k, d), (k, d * (d - 1) // 2), (n, d)
    return Work(
        name="gmm",
        title=f"Gaussian mixture, n = {n}, d = {d}, k = {k}, gradient",
        function=gmm,
        inputs=tuple(rng.normal(size=shape) for shape in shapes),
        derivative="gradient",
        argnums=(0, 1, 2, 3),
        batched=False,
        copies=False,
        reference=gmm_reference,
        without=without(setting),
    )


ROWS = tuple(
    speed_row(name, work)
    for name, work in {
        "gmm": gmm_work,
        "lse": lse_work,
        "llsq": llsq_work,
        "hello": hello_work,
    }.items()
)
