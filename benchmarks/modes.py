"""The first call under mode "auto" beside the best mode that is asked for.

Kinds of functions, each with its own numbers of inputs, outputs and operations: small
systems, fits, long chains, sparse residuals, loops.  A mode is chosen by what it would
cost, which must not take longer than to derive in the mode itself.
"""

from __future__ import annotations

import gc
import importlib
import math
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.start import Line
from benchmarks.work import Setting

MODES = ("auto", "forward", "reverse", "cross")
_CLOSE = 1.15
# What equal runs may differ by.
_NOISE = 0.05

Function = Callable[[Any], Any]


def _roe(x: Any) -> Any:
    gamma = 1.4
    (rl, ul, pl), (rr, ur, pr) = x[:3], x[3:]
    hl = gamma / (gamma - 1) * pl / rl + 0.5 * ul * ul
    hr = gamma / (gamma - 1) * pr / rr + 0.5 * ur * ur
    a, b = np.sqrt(rl), np.sqrt(rr)
    u, h = (a * ul + b * ur) / (a + b), (a * hl + b * hr) / (a + b)
    c = np.sqrt((gamma - 1) * (h - 0.5 * u * u))
    drho, du, dp = rr - rl, ur - ul, pr - pl
    w = np.stack(
        [
            0.5 * (dp / (c * c) - a * b * du / c),
            drho - dp / (c * c),
            0.5 * (dp / (c * c) + a * b * du / c),
        ]
    )
    s = np.sqrt(np.stack([(u - c) ** 2, u * u, (u + c) ** 2]) + 1e-4) * w
    fl = np.stack([rl * ul, rl * ul * ul + pl, rl * ul * hl])
    fr = np.stack([rr * ur, rr * ur * ur + pr, rr * ur * hr])
    d = np.stack(
        [
            s[0] + s[1] + s[2],
            s[0] * (u - c) + s[1] * u + s[2] * (u + c),
            s[0] * (h - u * c) + s[1] * 0.5 * u * u + s[2] * (h + u * c),
        ]
    )
    return 0.5 * (fl + fr - d)


def _arm(q: Any) -> Any:
    rotation, place = np.eye(3), np.zeros(3)
    for k in range(6):
        c, s = np.cos(q[k]), np.sin(q[k])
        one, zero = np.ones_like(c), np.zeros_like(c)
        turn = np.stack([np.stack([c, -s, zero]), np.stack([s, c, zero]),
                         np.stack([zero, zero, one])])  # fmt: skip
        if k % 2:
            turn = turn[[0, 2, 1]][:, [0, 2, 1]]
        rotation = rotation @ turn
        place = place + rotation @ np.array([0.3, 0.1 * k, 0.2])
    return place


def _camera(x: Any) -> Any:
    r, t, f, k, point = x[:3], x[3:6], x[6], x[7:9], x[9:12]
    angle = np.sqrt(r @ r + 1e-12)
    axis = r / angle
    c, s = np.cos(angle), np.sin(angle)
    p = point * c + np.cross(axis, point) * s + axis * (axis @ point) * (1 - c) + t
    u = -p[:2] / (p[2] + 5.0)
    n = u @ u
    return f * u * (1 + k[0] * n + k[1] * n * n)


def _rk4(steps: int, field: Function) -> Function:
    def f(x: Any) -> Any:
        h = 0.01
        for _ in range(steps):
            k1 = field(x)
            k2 = field(x + 0.5 * h * k1)
            k3 = field(x + 0.5 * h * k2)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + field(x + h * k3))
        return x

    return f


def _lorenz(x: Any) -> Any:
    return np.stack([10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1],
                     x[0] * x[1] - 8 / 3 * x[2]])  # fmt: skip


def _ring(x: Any) -> Any:
    return (np.roll(x, -1) - np.roll(x, 2)) * np.roll(x, 1) - x + 8.0


def _network(sizes: tuple[int, ...]) -> Function:
    rng = np.random.default_rng(0)
    layers = [rng.normal(size=(m, n)) for n, m in pairwise(sizes)]

    def f(x: Any) -> Any:
        for weights in layers:
            x = np.tanh(weights @ x)
        return x

    return f


def _chain(count: int) -> Function:
    def f(x: Any) -> Any:
        for k in range(count):
            x = np.sin((1 + 0.01 * k) * x)
        return x

    return f


def _scan(steps: int) -> Function:
    def f(x: Any) -> Any:
        jitad = importlib.import_module("jitad")

        def step(state: Any, _: Any) -> Any:
            return state + 0.01 * np.sin(np.roll(state, 1)) * state, state[0]

        return jitad.scan(step, x, np.zeros(steps))[0]

    return f


def _fit(x: Any) -> Any:
    t = np.linspace(0.0, 1.0, 25)
    return x[0] * np.exp(-x[1] * t) + x[2] * np.cos(x[3] * t + x[4])


def _rosenbrock(x: Any) -> Any:
    return np.concatenate([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])


def _kinetics(x: Any) -> Any:
    a, b, c = x
    return np.stack([-0.04 * a + 1e4 * b * c, 0.04 * a - 1e4 * b * c - 3e7 * b * b,
                     3e7 * b * b])  # fmt: skip


def _determinant(x: Any) -> Any:
    return np.linalg.det(x.reshape(3, 3) + 3 * np.eye(3))


def _mixture(x: Any) -> Any:
    means, scales, at = x[:4], x[4:8], x[8:]
    z = (at[:, None] - means) / (1 + scales * scales)
    return np.log(np.exp(-0.5 * z * z).sum(1))


def _distances(x: Any) -> Any:
    p = x.reshape(-1, 3)
    i, j = np.triu_indices(len(p), 1)
    return np.sqrt(((p[i] - p[j]) ** 2).sum(1) + 0.01)


def _energy(x: Any) -> Any:
    return (1.0 / _distances(x) ** 6).sum()


def _narrow(x: Any) -> Any:
    s = np.tanh(x @ np.linspace(0.1, 1.0, x.size))
    for k in range(10):
        s = np.sin(s) + 0.1 * k
    return s * np.linspace(1.0, 2.0, 12)


def _bands(x: Any) -> Any:
    return np.sin(x[:-2]) * x[1:-1] + np.exp(-(x[2:] ** 2))


def _product(x: Any) -> Any:
    return np.prod(x) * np.sin(x.sum())


def _quaternion(x: Any) -> Any:
    w, v = x[0], x[1:4]
    n = np.sqrt(w * w + v @ v)
    w, v, p = w / n, v / n, x[4:7]
    return p + 2 * np.cross(v, np.cross(v, p) + w * p)


def _black_scholes(x: Any) -> Any:
    erf = importlib.import_module("scipy.special").erf
    s, k, r, v, t = x
    d = (np.log(s / k) + (r + 0.5 * v * v) * t) / (v * np.sqrt(t))
    e = d - v * np.sqrt(t)

    def normal(z: Any) -> Any:
        return 0.5 * (1 + erf(z / math.sqrt(2)))

    call = s * normal(d) - k * np.exp(-r * t) * normal(e)
    return np.stack([call, call - s + k * np.exp(-r * t)])


def _pendulum(x: Any) -> Any:
    a, b, u, v = x
    c, s = np.cos(a - b), np.sin(a - b)
    d = 2 - c * c
    return np.stack([u, v, (-s * (v * v + u * u * c) - 2 * np.sin(a)
                            + c * np.sin(b)) / d,
                     (s * (2 * u * u + v * v * c) + 2 * c * np.sin(a)
                      - 2 * np.sin(b)) / d])  # fmt: skip


# name -> function, number of inputs
KINDS: dict[str, tuple[Function, int]] = {
    "Roe flux": (_roe, 6),
    "six-axis arm": (_arm, 6),
    "camera": (_camera, 12),
    "quaternion": (_quaternion, 7),
    "pendulum": (_pendulum, 4),
    "pendulum, 5 steps": (_rk4(5, _pendulum), 4),
    "Robertson kinetics": (_kinetics, 3),
    "Robertson, 10 steps": (_rk4(10, _kinetics), 3),
    "Lorenz, 1 step": (_rk4(1, _lorenz), 3),
    "Lorenz, 10 steps": (_rk4(10, _lorenz), 3),
    "Lorenz, 40 steps": (_rk4(40, _lorenz), 3),
    "ring of 20": (_ring, 20),
    "ring of 20, 1 step": (_rk4(1, _ring), 20),
    "ring of 8, 3 steps": (_rk4(3, _ring), 8),
    "network 4-8-8-3": (_network((4, 8, 8, 3)), 4),
    "network 10-20-1": (_network((10, 20, 1)), 10),
    "network 2-20-20": (_network((2, 20, 20)), 2),
    "network 20-5-20": (_network((20, 5, 20)), 20),
    "20 sines": (_chain(20), 1),
    "300 sines": (_chain(300), 1),
    "6 times 30 sines": (_chain(30), 6),
    "fit of 5 parameters": (_fit, 5),
    "Rosenbrock, 30": (_rosenbrock, 30),
    "determinant": (_determinant, 9),
    "mixture": (_mixture, 20),
    "distances of 4": (_distances, 12),
    "distances of 10": (_distances, 30),
    "energy of 5": (_energy, 15),
    "through one number": (_narrow, 15),
    "bands": (_bands, 40),
    "a product": (_product, 12),
    "Black-Scholes": (_black_scholes, 5),
    "gradient of energy": (_energy, 9),
    "scan of 20 steps": (_scan(20), 4),
    "scan of 100 steps": (_scan(100), 4),
    "scan of 1,000 steps": (_scan(1000), 3),
    "sum of sines": (lambda x: np.sin(x).sum(), 50),
    "outer product": (lambda x: np.outer(np.sin(x), np.cos(x)).ravel(), 6),
    "softmax": (lambda x: np.exp(x) / np.exp(x).sum(), 12),
    "normalised": (lambda x: x / np.sqrt(x @ x), 10),
}


def first_call(name: str, mode: str) -> float:
    """Seconds of all threads to the first Jacobian of a kind, where others were made.

    Whatever else the machine does adds less to them than to the time that passes.
    """
    jitad = importlib.import_module("jitad")
    pipeline = importlib.import_module("jitad.plan.pipeline")
    function, size = KINDS[name]
    x = np.random.default_rng(1).uniform(0.5, 1.5, size)

    def f(x: Any) -> Any:
        return function(x)

    jacobian = jitad.jit(jitad.jacobian(f, mode=mode), cache=False)
    pipeline._compiled.cache_clear()  # modes may come to the same graph
    gc.collect()  # what others have left is not collected in the time of this one
    begin = time.process_time()
    jacobian(x)
    return time.process_time() - begin


def ratio(name: str, fewest: int, most: int) -> tuple[float, bool]:
    """The time of a kind under mode "auto" over that in the best mode; if it is steady.

    Modes are measured in turns, "auto" twice, until its two least times are the same
    but for a twentieth, in so many rounds.
    """
    again = "auto again"
    times = dict.fromkeys((*MODES, again), math.inf)
    steady = False
    for count in range(1, most + 1):
        for mode in times:
            times[mode] = min(times[mode], first_call(name, mode.split()[0]))
        low, high = sorted((times["auto"], times[again]))
        steady = high <= (1.0 + _NOISE) * low
        if steady and count >= fewest:
            break
    return times["auto"] / min(times[mode] for mode in MODES[1:]), steady


def measure(setting: Setting) -> tuple[str, float]:
    """The largest ratio of a kind that is steady, and all of them in words."""
    names = tuple(KINDS)[::8] if setting.quick else tuple(KINDS)
    first_call("camera", "auto")
    rounds = (1, 1) if setting.quick else (5, 15)
    found = {name: ratio(name, *rounds) for name in names}
    steady = [name for name in names if found[name][1]] or list(names)
    worst = max(steady, key=lambda name: found[name][0])
    within = sum(found[name][0] <= _CLOSE for name in names)
    text = f"{within} of {len(names)} within {_CLOSE}; {worst} {found[worst][0]:.2f}"
    noisy = len(names) - len(steady)
    text += f"; {noisy} too noisy to tell" if noisy else ""
    return text, found[worst][0]


START = (
    Line('first call under mode "auto", any kind', "the best mode", _CLOSE, measure),
)
