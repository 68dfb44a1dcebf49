"""Programs on arrays at one point, as people write them in NumPy.

Each is a function of arrays to one number, and the shapes of these for a parameter n.
The stencils are those of PolyBench and of weather models, by their definitions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import jitad


class Large(NamedTuple):
    """A program: its function, and n -> the shapes of its arguments."""

    function: Callable[..., Any]
    shapes: Callable[[int], tuple[tuple[int, ...], ...]]


def weighted(*arrays: Any) -> Any:
    """A sum of arrays with weights that differ from element to element."""
    total = 0.0
    for x in arrays:
        weights = np.cos(np.arange(float(x.size))).reshape(x.shape)
        total = total + np.sum(x * weights.astype(x.dtype))
    return total


def rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def total_variation(u: Any) -> Any:
    across, down = np.diff(u, axis=1)[:-1], np.diff(u, axis=0)[:, :-1]
    return np.sum(np.sqrt(across**2 + down**2 + 1e-3))


def smoothness(u: Any) -> Any:
    return sum(np.sum(np.diff(u, axis=k) ** 2) for k in range(3))


def jacobi_1d(A: Any, B: Any) -> Any:
    A, B = A.copy(), B.copy()
    for _ in range(3):
        B[1:-1] = 0.33333 * (A[:-2] + A[1:-1] + A[2:])
        A[1:-1] = 0.33333 * (B[:-2] + B[1:-1] + B[2:])
    return weighted(A, B)


def jacobi_2d(A: Any, B: Any) -> Any:
    A, B = A.copy(), B.copy()
    for _ in range(2):
        for here, there in ((A, B), (B, A)):
            there[1:-1, 1:-1] = 0.2 * (
                here[1:-1, 1:-1]
                + here[1:-1, :-2]
                + here[1:-1, 2:]
                + here[2:, 1:-1]
                + here[:-2, 1:-1]
            )
    return weighted(A, B)


def heat_3d(A: Any) -> Any:
    for _ in range(2):
        B = A.copy()
        inner = A[1:-1, 1:-1, 1:-1]
        B[1:-1, 1:-1, 1:-1] = (
            0.125 * (A[2:, 1:-1, 1:-1] - 2.0 * inner + A[:-2, 1:-1, 1:-1])
            + 0.125 * (A[1:-1, 2:, 1:-1] - 2.0 * inner + A[1:-1, :-2, 1:-1])
            + 0.125 * (A[1:-1, 1:-1, 2:] - 2.0 * inner + A[1:-1, 1:-1, :-2])
            + inner
        )
        A = B
    return weighted(A)


def fdtd_2d(ex: Any, ey: Any, hz: Any) -> Any:
    ex, ey, hz = ex.copy(), ey.copy(), hz.copy()
    for t in range(3):
        ey[0, :] = 0.1 * t
        ey[1:, :] -= 0.5 * (hz[1:, :] - hz[:-1, :])
        ex[:, 1:] -= 0.5 * (hz[:, 1:] - hz[:, :-1])
        hz[:-1, :-1] -= 0.7 * (ex[:-1, 1:] - ex[:-1, :-1] + ey[1:, :-1] - ey[:-1, :-1])
    return weighted(ex, ey, hz)


def hdiff(field: Any, coefficient: Any) -> Any:
    """Horizontal diffusion with a limiter, of a weather model."""
    inner = field[1:-1, 1:-1]
    lap = 4.0 * inner - (
        field[2:, 1:-1] + field[:-2, 1:-1] + field[1:-1, 2:] + field[1:-1, :-2]
    )
    step = lap[1:, 1:-1] - lap[:-1, 1:-1]
    rise = field[2:-1, 2:-2] - field[1:-2, 2:-2]
    fx = np.where(step * rise > 0, 0.0, step)
    step = lap[1:-1, 1:] - lap[1:-1, :-1]
    rise = field[2:-2, 2:-1] - field[2:-2, 1:-2]
    fy = np.where(step * rise > 0, 0.0, step)
    out = field[2:-2, 2:-2] - coefficient * (fx[1:] - fx[:-1] + fy[:, 1:] - fy[:, :-1])
    return weighted(out)


def arc_distance(theta1: Any, phi1: Any, theta2: Any, phi2: Any) -> Any:
    a = (
        np.sin((theta2 - theta1) / 2) ** 2
        + np.cos(theta1) * np.cos(theta2) * np.sin((phi2 - phi1) / 2) ** 2
    )
    return weighted(2 * np.arctan2(np.sqrt(a), np.sqrt(1 - a)))


def go_fast(a: Any) -> Any:
    return weighted(a + np.sum(np.tanh(np.diagonal(a))))


def standardized(x: Any) -> Any:
    z = (x - np.mean(x, axis=0)) / np.sqrt(np.mean(x**2, axis=0) + 0.1)
    return weighted(z * np.sum(z, axis=1, keepdims=True))


def pairs(x: Any) -> Any:
    gap = x[:, None, :] - x[None, :, :]
    return np.sum(np.exp(-np.sum(gap**2, axis=-1)))


def red_and_black(u: Any) -> Any:
    """A sweep over every second entry, then over the others."""
    u = u.copy()
    u[1:-1:2] = 0.5 * (u[:-2:2] + u[2::2])
    u[2:-1:2] = np.sin(u[1:-2:2]) * u[3::2]
    return weighted(u)


def put_together(x: Any, y: Any) -> Any:
    made = np.concatenate([x[::-1], np.roll(y, 2), x[1:3] * y[1:3]])
    padded = np.pad(np.stack([x, y]), 1)
    return weighted(made, padded[1:, ::2], padded.T.reshape(-1)[3:-5])


def shared_by_rows(w: Any, x: Any, b: Any) -> Any:
    return weighted(np.tanh(x * w[:, None] + b) - np.broadcast_to(b, x.shape))


def one_number(x: Any, c: Any) -> Any:
    scale = np.sqrt(np.sum(x**2)) + c
    return weighted(x / scale) * c + x[0] * x[-1]


def softmax(x: Any) -> Any:
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return weighted(e / np.sum(e, axis=-1, keepdims=True))


def products(A: Any, B: Any, x: Any) -> Any:
    C = A @ B
    C += np.outer(A @ x, x @ B)
    return weighted(C, A.T @ A, np.dot(x, x) * x) + x @ A @ x


def stacks(A: Any, B: Any) -> Any:
    made = A @ B @ A + np.einsum("bij,bjk,bkl->bil", A, B, A)
    return weighted(made, np.einsum("bij->j", A), np.einsum("bij,bji->b", A, B))


def logistic(X: Any, beta: Any, u: Any) -> Any:
    """Rows of groups that have a number each."""
    group = np.arange(len(X)) * 7 % len(u)
    z = X @ beta + u[group]
    signs = np.where(np.arange(len(X)) % 3 == 0, 1.0, -1.0).astype(X.dtype)
    return np.sum(np.logaddexp(0, signs * z)) + 0.5 * np.sum(u**2)


def perceptron(x: Any, W: Any, b: Any, V: Any) -> Any:
    hidden = np.maximum(x @ W + b, 0.1)
    out = hidden @ V
    out = out - np.max(out, axis=1, keepdims=True)
    losses = np.log(np.sum(np.exp(out), axis=1)) - out[:, 0]
    return np.mean(losses)


def correlation(data: Any) -> Any:
    z = (data - data.mean(axis=0)) / data.std(axis=0)
    return weighted(z.T @ z / len(data)) + np.linalg.norm(data)


def triangles(A: Any) -> Any:
    return weighted(np.tril(A, 1) @ A, np.triu(A * A)) + np.sum(np.sqrt(np.tril(A) + A))


def running(x: Any) -> Any:
    order = np.argsort(np.cos(np.arange(x.size)))
    total = np.cumsum(x[order].reshape(2, -1), axis=1)
    return weighted(total, np.max(total * 2.0, axis=0)) - np.min(x)


def gaussian_process(theta: Any, X: Any, y: Any) -> Any:
    """The negative logarithm of a marginal likelihood."""
    gaps = np.sum((X[:, None, :] - X[None, :, :]) ** 2, axis=-1)
    noise = (theta[2] ** 2 + 0.1) * np.eye(len(y)).astype(y.dtype)
    K = theta[0] ** 2 * np.exp(-0.5 * gaps / theta[1] ** 2) + noise
    L = np.linalg.cholesky(K)
    alpha = np.linalg.solve(L.T, np.linalg.solve(L, y))
    return 0.5 * np.dot(y, alpha) + np.sum(np.log(np.diag(L)))


def _definite(A: Any) -> Any:
    return A @ A.T / len(A) + np.eye(len(A)).astype(A.dtype)


def systems(A: Any, B: Any) -> Any:
    """Solutions of systems, of one right-hand side and of more, and of their stacks."""
    S = _definite(A)
    X = np.linalg.solve(S + 0.1 * A, B)
    both = np.linalg.solve(np.stack([S, S + A.T * 0.1]), B)
    return weighted(X, np.linalg.solve(S.T, B[:, 0]), both, np.linalg.inv(S))


def spectra(A: Any) -> Any:
    S = _definite(A)
    values, vectors = np.linalg.eigh(S)
    sign, log = np.linalg.slogdet(S)
    factor = np.linalg.cholesky(S, upper=True)
    root = vectors * np.sqrt(values) @ vectors.T
    return weighted(root, factor, np.linalg.eigvalsh(S, UPLO="U")) + sign * log


def _square(n: int) -> tuple[tuple[int, ...], ...]:
    return ((n, n),)


LARGE = {
    "rosenbrock": Large(rosenbrock, lambda n: ((n * n,),)),
    "total_variation": Large(total_variation, lambda n: ((n, n + 1),)),
    "smoothness": Large(smoothness, lambda n: ((n, 5, n + 1),)),
    "jacobi_1d": Large(jacobi_1d, lambda n: ((n * n,), (n * n,))),
    "jacobi_2d": Large(jacobi_2d, lambda n: ((n, n + 2), (n, n + 2))),
    "heat_3d": Large(heat_3d, lambda n: ((n, 6, 5),)),
    "fdtd_2d": Large(fdtd_2d, lambda n: ((n, n + 1),) * 3),
    "hdiff": Large(hdiff, lambda n: ((n + 4, n + 5), (n, n + 1))),
    "arc_distance": Large(arc_distance, lambda n: ((n * n,),) * 4),
    "go_fast": Large(go_fast, _square),
    "standardized": Large(standardized, lambda n: ((n * n, 3),)),
    "pairs": Large(pairs, lambda n: ((n, 3),)),
    "red_and_black": Large(red_and_black, lambda n: ((n * 2,),)),
    "put_together": Large(put_together, lambda n: ((n,), (n,))),
    "shared_by_rows": Large(shared_by_rows, lambda n: ((n,), (n, 7), (7,))),
    "softmax": Large(softmax, lambda n: ((n, 6),)),
    "products": Large(products, lambda n: ((n, n), (n, n), (n,))),
    "stacks": Large(stacks, lambda n: ((n, 3, 4), (n, 4, 3))),
    "logistic": Large(logistic, lambda n: ((n * n, 3), (3,), (4,))),
    "perceptron": Large(perceptron, lambda n: ((n, 4), (4, 5), (5,), (5, 3))),
    "correlation": Large(correlation, lambda n: ((n * 2, n),)),
    "triangles": Large(triangles, _square),
    "running": Large(running, lambda n: ((n * 2,),)),
    "gaussian_process": Large(gaussian_process, lambda n: ((3,), (n, 2), (n,))),
    "systems": Large(systems, lambda n: ((n, n), (n, 2))),
    "spectra": Large(spectra, _square),
    "one_number": Large(one_number, lambda n: ((n,), ())),
}


def arguments(name: str, n: int, dtype: Any = np.float64) -> tuple[np.ndarray, ...]:
    """Arguments of a program, away from kinks."""
    rng = np.random.default_rng(len(name))
    shapes = LARGE[name].shapes(n)
    return tuple([np.asarray(rng.uniform(0.2, 1.2, s), dtype) for s in shapes])


def gradients(name: str) -> Any:
    """The value of a program and its gradients in all arguments."""
    function, shapes = LARGE[name]
    numbers = tuple(range(len(shapes(4))))
    return jitad.value_and_grad(function, argnums=numbers)
