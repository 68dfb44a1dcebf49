"""Functions as Numba's users write them, with arguments to try them at.

`FUNCTIONS` holds, by name: an @njit function, its arguments, and the largest relative
distance of a central difference of its value.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange


@njit
def binomial_tree(p):
    """An American put in a tree of 40 steps; p is spot, strike, rate, volatility."""
    steps = 40
    dt = 1.0 / steps
    up = math.exp(p[3] * math.sqrt(dt))
    down = 1.0 / up
    grow = math.exp(p[2] * dt)
    q = (grow - down) / (up - down)
    values = np.empty(steps + 1)
    for i in range(steps + 1):
        values[i] = max(0.0, p[1] - p[0] * up ** (2 * i - steps))
    for k in range(steps - 1, -1, -1):
        for i in range(k + 1):
            hold = (q * values[i + 1] + (1.0 - q) * values[i]) / grow
            spot = p[0] * up ** (2 * i - k)
            values[i] = max(hold, p[1] - spot)
    return values[0]


@njit
def soft_dtw(x, y):
    """Soft dynamic time warping of two series."""
    n, m = len(x), len(y)
    gamma = 0.5
    r = np.full((n + 1, m + 1), 1e10)
    r[0, 0] = 0.0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            a, b, c = -r[i - 1, j - 1], -r[i - 1, j], -r[i, j - 1]
            top = max(a, b, c)
            total = 0.0
            for v in (a, b, c):
                total += math.exp((v - top) / gamma)
            d = x[i - 1] - y[j - 1]
            r[i, j] = d * d - (top + gamma * math.log(total))
    return r[n, m]


@njit
def thomas(a, b):
    """A tridiagonal system, 2 + a² on the diagonal and -1 beside it."""
    n = len(b)
    c = np.zeros(n)
    x = np.zeros(n)
    c[0] = -1.0 / (2.0 + a[0] ** 2)
    x[0] = b[0] / (2.0 + a[0] ** 2)
    for i in range(1, n):
        m = (2.0 + a[i] ** 2) + c[i - 1]
        c[i] = -1.0 / m
        x[i] = (b[i] + x[i - 1]) / m
    for i in range(n - 2, -1, -1):
        x[i] -= c[i] * x[i + 1]
    return x


KNOTS = np.array([0.0, 0, 0, 0, 1, 2, 3, 4, 4, 4, 4])


@njit
def de_boor(t, c):
    """A cubic spline with coefficients c at t."""
    p = 3
    k = p
    while k < len(c) - 1 and t >= KNOTS[k + 1]:
        k += 1
    d = np.empty(p + 1)
    for j in range(p + 1):
        d[j] = c[j + k - p]
    for r in range(1, p + 1):
        for j in range(p, r - 1, -1):
            low = KNOTS[j + k - p]
            alpha = (t - low) / (KNOTS[j + 1 + k - r] - low)
            d[j] = (1.0 - alpha) * d[j - 1] + alpha * d[j]
    return d[p]


@njit
def log_partition(logits, scores):
    """The logarithm of a hidden Markov model's partition function."""
    n, m = scores.shape
    alpha = scores[0].copy()
    for t in range(1, n):
        new = np.empty(m)
        for j in range(m):
            top = -np.inf
            for i in range(m):
                top = max(top, alpha[i] + logits[i, j])
            s = 0.0
            for i in range(m):
                s += np.exp(alpha[i] + logits[i, j] - top)
            new[j] = top + np.log(s) + scores[t, j]
        alpha = new
    top = alpha.max()
    return top + np.log(np.sum(np.exp(alpha - top)))


@njit
def kepler(m, e):
    """The eccentric anomaly, by Newton's method."""
    x = m
    for _ in range(50):
        step = (x - e * math.sin(x) - m) / (1.0 - e * math.cos(x))
        x -= step
        if abs(step) < 1e-14:
            break
    return x


@njit
def adaptive_quadrature(a, b, w):
    """The integral of exp(-w x²) by Simpson's rule on intervals of a stack."""
    low, high = np.zeros(32), np.zeros(32)
    low[0], high[0] = a, b
    top, total = 0, 0.0
    while top >= 0:
        lo, hi = low[top], high[top]
        top -= 1
        m = 0.5 * (lo + hi)
        fl, fm, fh = np.exp(-w * lo * lo), np.exp(-w * m * m), np.exp(-w * hi * hi)
        q1, q2 = 0.5 * (lo + m), 0.5 * (m + hi)
        one = (hi - lo) / 6.0 * (fl + 4.0 * fm + fh)
        f1, f2 = np.exp(-w * q1 * q1), np.exp(-w * q2 * q2)
        two = (hi - lo) / 12.0 * (fl + 4.0 * f1 + 2.0 * fm + 4.0 * f2 + fh)
        if abs(one - two) < 1e-6 or top > 28:
            total += two + (two - one) / 15.0
        else:
            top += 1
            low[top], high[top] = lo, m
            top += 1
            low[top], high[top] = m, hi
    return total


@njit
def mean_field(j, h):
    """Magnetisations of an Ising model, iterated until they change no more."""
    n = len(h)
    m = np.zeros(n)
    for _ in range(200):
        change = 0.0
        for i in range(n):
            field = h[i]
            for k in range(n):
                if k != i:
                    field += j[i, k] * m[k]
            new = math.tanh(field)
            change = max(change, abs(new - m[i]))
            m[i] = new
        if change < 1e-12:
            break
    return m


@njit
def log_determinant(a):
    """log |det| by Gaussian elimination without pivots."""
    n = a.shape[0]
    u = a.copy()
    total = 0.0
    for k in range(n):
        for i in range(k + 1, n):
            f = u[i, k] / u[k, k]
            for j in range(k, n):
                u[i, j] -= f * u[k, j]
        total += math.log(abs(u[k, k]))
    return total


@njit
def integral_image(image):
    """The table of sums over rectangles, and a sum of some of them squared."""
    n, m = image.shape
    table = np.zeros((n + 1, m + 1))
    for i in range(n):
        row = 0.0
        for j in range(m):
            row += image[i, j]
            table[i + 1, j + 1] = table[i, j + 1] + row
    energy = 0.0
    for i in range(n - 1):
        for j in range(m - 1):
            s = table[i + 2, j + 2] - table[i, j + 2] - table[i + 2, j] + table[i, j]
            energy += s * s
    return energy


@njit
def distance_squared(x, i, j):
    """Of two rows."""
    total = 0.0
    for k in range(x.shape[1]):
        total += (x[i, k] - x[j, k]) ** 2
    return total


@njit
def pair_energy(x):
    """A Lennard-Jones energy with a cutoff."""
    energy = 0.0
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            r2 = distance_squared(x, i, j)
            if r2 > 9.0:
                continue
            s = 1.0 / (r2 * r2 * r2)
            energy += 4.0 * (s * s - s)
    return energy


@njit
def heat(u, kappa):
    """An explicit heat equation, in two arrays that are swapped."""
    n = len(u)
    a = u.copy()
    b = u.copy()
    for _ in range(41):
        for i in range(1, n - 1):
            b[i] = a[i] + kappa * (a[i - 1] - 2.0 * a[i] + a[i + 1])
        a, b = b, a
    return a


@njit
def logistic_map(r, x):
    """The mean of an orbit."""
    total = 0.0
    for _ in range(30):
        x = r * x * (1.0 - x)
        total += x
    return total / 30


@njit
def smooth_count(c):
    """How fast z ← z² + c escapes, as a smooth number."""
    zr, zi, n = 0.0, 0.0, 0
    while True:
        zr, zi = zr * zr - zi * zi + c[0], 2.0 * zr * zi + c[1]
        n += 1
        r2 = zr * zr + zi * zi
        if r2 > 1e4 or n == 60:
            break
    if n == 60:
        return 60.0 + 0.0 * r2
    return n + 1 - math.log(0.5 * math.log(r2)) / math.log(2.0)


@njit
def attraction(s):
    """The time derivative of three bodies' positions and velocities."""
    out = np.empty_like(s)
    for i in range(3):
        for k in range(2):
            out[i, k] = s[i, k + 2]
            a = 0.0
            for j in range(3):
                if j != i:
                    dx = s[j, 0] - s[i, 0]
                    dy = s[j, 1] - s[i, 1]
                    r2 = dx * dx + dy * dy + 0.01
                    a += (s[j, k] - s[i, k]) / (r2 * math.sqrt(r2))
            out[i, k + 2] = a
    return out


@njit
def three_bodies(s):
    """Twelve Runge-Kutta steps."""
    h = 0.05
    for _ in range(12):
        k1 = attraction(s)
        k2 = attraction(s + 0.5 * h * k1)
        k3 = attraction(s + 0.5 * h * k2)
        k4 = attraction(s + h * k3)
        s = s + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    return s


@njit
def clenshaw(c, x):
    """A Chebyshev series, and the same in powers by Horner's rule."""
    b1, b2 = 0.0, 0.0
    for ck in c[:0:-1]:
        b1, b2 = 2.0 * x * b1 - b2 + ck, b1
    y = 0.0
    for i in prange(len(c)):
        y = y * x + c[len(c) - 1 - i]
    return x * b1 - b2 + c[0], y


_rng = np.random.default_rng(15)
_symmetric = _rng.normal(size=(6, 6)) * 0.2
_close = np.array([[1.0, 0.1, 0.0, 0.4], [-1, 0, 0.2, -0.5], [0, 1, 0.3, 0.1]])

FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "binomial_tree": (binomial_tree, (np.array([100.0, 103.0, 0.03, 0.2]),)),
    "soft_dtw": (soft_dtw, (_rng.normal(size=7), _rng.normal(size=6))),
    "thomas": (thomas, (_rng.normal(size=9), _rng.normal(size=9))),
    "de_boor": (de_boor, (2.3, _rng.normal(size=7))),
    "log_partition": (
        log_partition,
        (_rng.normal(size=(3, 3)), _rng.normal(size=(8, 3))),
    ),
    "kepler": (kepler, (1.2, 0.4)),
    "adaptive_quadrature": (adaptive_quadrature, (-0.5, 1.5, 2.0)),
    "mean_field": (mean_field, (_symmetric + _symmetric.T, _rng.normal(size=6))),
    "log_determinant": (log_determinant, (_rng.normal(size=(5, 5)) + 4 * np.eye(5),)),
    "integral_image": (integral_image, (_rng.normal(size=(6, 7)),)),
    "pair_energy": (pair_energy, (1.2 * np.stack(np.divmod(np.arange(12.0), 4), 1)
                                  + 0.1 * _rng.normal(size=(12, 2)),)),
    "heat": (heat, (_rng.normal(size=12), 0.23)),
    "logistic_map": (logistic_map, (3.1, 0.3)),
    "smooth_count": (smooth_count, (np.array([0.4, 0.5]),)),
    "three_bodies": (three_bodies, (_close,)),
    "clenshaw": (clenshaw, (_rng.normal(size=11), 0.4)),
}  # fmt: skip
