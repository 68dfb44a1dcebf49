"""Numba code as it stands: its loops, and derivatives of them, beside their values.

Each work is a function as people write it for Numba, and what jitad makes of it: the
derivative in the unit of Numba's own value, each work in a fresh process. What a work
computes is first compared with Numba's value and with differences of it along a line.
"""

from __future__ import annotations

import importlib
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks import child
from benchmarks.harness import Runner, UnavailableError, time_in_turns
from benchmarks.numba_pairs import particles
from benchmarks.speed import Row
from benchmarks.table import Table, quantity, three_digits
from benchmarks.work import Setting

HEADERS = ("derivative", "first call", "Numba's", "later", "Numba's value", "÷ value")
SMOOTH = 1e-5  # of a difference along a line, relative

# -- what people write -----------------------------------------------------------------


def logistic(r: Any) -> Any:
    """A million steps of the logistic map."""
    x = 0.5
    for _ in range(1_000_000):
        x = r * x * (1.0 - x)
    return x


def likelihood(p: Any, x: Any, y: Any) -> Any:
    """Of labels y that depend on rows x."""
    total = 0.0
    for i in range(len(y)):
        z = 0.0
        for j in range(x.shape[1]):
            z += x[i, j] * p[j]
        total += math.log1p(math.exp(-abs(z))) + max(z, 0.0) - y[i] * z
    return total


def escape(a: Any, b: Any) -> Any:
    """After how many iterations z² + c is far away, smoothly."""
    x, y, n = 0.0, 0.0, 0
    while n < 200:
        x, y = x * x - y * y + a, 2.0 * x * y + b
        n += 1
        if x * x + y * y > 1e4:
            break
    r = x * x + y * y
    if r > 1e4:
        return n + 1.0 - math.log(0.5 * math.log(r)) / math.log(2.0)
    return 0.0 * r + n


def three_bodies(x: Any, start: Any, other: Any) -> Any:
    """Stillinger and Weber's energy, with a list of neighbours and a cutoff."""
    total = 0.0
    for i in range(len(x)):
        for p in range(start[i], start[i + 1]):
            j = other[p]
            a, b, c = x[j, 0] - x[i, 0], x[j, 1] - x[i, 1], x[j, 2] - x[i, 2]
            r = math.sqrt(a * a + b * b + c * c)
            if r < 1.8:
                repulsion = 0.6 / (r * r * r * r) - 1.0
                total += 0.5 * repulsion * math.exp(1.0 / (r - 1.8))
                for q in range(start[i], p):
                    k = other[q]
                    u, v, w = x[k, 0] - x[i, 0], x[k, 1] - x[i, 1], x[k, 2] - x[i, 2]
                    s = math.sqrt(u * u + v * v + w * w)
                    if s < 1.8:
                        bend = (a * u + b * v + c * w) / (r * s) + 1.0 / 3.0
                        far = math.exp(1.2 / (r - 1.8) + 1.2 / (s - 1.8))
                        total += 21.0 * bend * bend * far
    return total


def nest(a: Any, b: Any) -> Any:
    """Three loops."""
    total = 0.0
    for i in range(len(a)):
        for j in range(len(b)):
            for k in range(i, len(a)):
                total += math.exp(-((a[i] - b[j]) ** 2)) * a[k] * b[j]
    return total


def thomas(a: Any, b: Any, c: Any, d: Any) -> Any:
    """The sum of the squares of what solves a system with three diagonals."""
    n = len(d)
    left, right, x = np.zeros(n), np.zeros(n), np.zeros(n)
    left[0] = c[0] / b[0]
    right[0] = d[0] / b[0]
    for i in range(1, n):
        m = b[i] - a[i] * left[i - 1]
        left[i] = c[i] / m
        right[i] = (d[i] - a[i] * right[i - 1]) / m
    x[n - 1] = right[n - 1]
    for i in range(n - 2, -1, -1):
        x[i] = right[i] - left[i] * x[i + 1]
    total = 0.0
    for i in range(n):
        total += x[i] * x[i]
    return total


def relaxed(u: Any, f: Any) -> Any:
    """A sweep of Gauss and Seidel that looks at what it writes."""
    v = u.copy()
    for i in range(1, len(u) - 1):
        r = 0.5 * (v[i - 1] + v[i + 1] - f[i])
        if r > 0.1:
            v[i] = r
        else:
            v[i] = r + 0.2 * (r - 0.1) * (r - 0.1)
    total = 0.0
    for i in range(len(u)):
        total += v[i] * v[i]
    return total


def heated(u: Any, k: float) -> Any:
    """An explicit scheme: 1,000 steps."""
    a, b = u.copy(), u.copy()
    for _ in range(1000):
        for i in range(1, len(u) - 1):
            b[i] = a[i] + k * (a[i - 1] - 2.0 * a[i] + a[i + 1])
        a, b = b, a
    total = 0.0
    for i in range(len(u)):
        total += a[i] * a[i]
    return total


# -- what is asked of them -------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """A function, its arguments, and the derivative in the first of them.

    value    what Numba compiles, for one process
    derive   jitad, Numba's function -> what is timed, which gives (value?, derivative)
    most     times the value that the derivative may take
    first    times Numba's own first call that ours may take
    read     what jitad reads on all threads; None: value, on one
    step     of differences: longer where a value is a sum of many
    """

    arguments: Callable[[bool], tuple[Any, ...]]
    value: Callable[[Any], Any]
    derive: Callable[[Any, Any], Any]
    most: float
    first: float = math.inf
    read: Any = None
    step: float = 1e-7


def _rows(quick: bool) -> tuple[Any, ...]:
    rng, n = np.random.default_rng(0), 1_000 if quick else 1_000_000
    x = rng.normal(size=(n, 8))
    return rng.normal(size=8), x, (rng.random(n) < 0.5).astype(float)


def _plane(quick: bool) -> tuple[Any, ...]:
    n = 30 if quick else 1_000
    a, b = np.meshgrid(np.linspace(-2.0, 0.7, n), np.linspace(-1.2, 1.2, n))
    return a.ravel(), b.ravel()


def _neighbours(quick: bool) -> tuple[Any, ...]:
    x = particles(50 if quick else 500)
    near = np.linalg.norm(x[:, None] - x, axis=-1) < 2.2
    np.fill_diagonal(near, False)
    return x, np.concatenate([[0], np.cumsum(near.sum(1))]), np.nonzero(near)[1]


def _numbers(quick: bool) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    return rng.random(20 if quick else 300), rng.random(200)


def _diagonals(quick: bool) -> tuple[Any, ...]:
    rng, n = np.random.default_rng(0), 1_000 if quick else 1_000_000
    off = [rng.uniform(-1.0, 0.0, n) for _ in range(2)]
    return off[0], rng.uniform(3.0, 4.0, n), off[1], rng.normal(size=n)


def _cells(quick: bool) -> tuple[Any, ...]:
    rng, n = np.random.default_rng(0), 1_000 if quick else 1_000_000
    return rng.normal(size=n), rng.normal(size=n)


def _rod(quick: bool) -> tuple[Any, ...]:
    return np.random.default_rng(0).normal(size=100 if quick else 10_000), 0.2


def _in_all(count: int) -> Callable[[Any, Any], Any]:
    """The value and the gradient in so many arguments; shown is that in the first."""

    def derive(jitad: Any, f: Any) -> Any:
        made = jitad.value_and_grad(f, argnums=tuple(range(count)))

        def derivative(*x: Any) -> Any:
            value, slopes = made(*x)
            return value, slopes[0]

        return derivative

    return derive


def _plain(function: Any) -> Callable[[Any], Any]:
    return lambda numba: numba.njit(function)


def _field(numba: Any) -> Any:
    point = numba.njit(escape)
    prange = numba.prange

    def field(a: Any, b: Any) -> Any:
        out = np.empty_like(a)
        for i in prange(len(a)):
            out[i] = point(a[i], b[i])
        return out

    return numba.njit(parallel=True)(field)


def _likelihood_on_threads(numba: Any) -> Any:
    prange = numba.prange

    def on_threads(p: Any, x: Any, y: Any) -> Any:
        total = 0.0
        for i in prange(len(y)):
            z = 0.0
            for j in range(x.shape[1]):
                z += x[i, j] * p[j]
            total += math.log1p(math.exp(-abs(z))) + max(z, 0.0) - y[i] * z
        return total

    return numba.njit(parallel=True, fastmath=True)(on_threads)


def _slope(mode: str) -> Callable[[Any, Any], Any]:
    return lambda jitad, f: jitad.jacobian(f, mode=mode)


WORKS = {
    "logistic map, 10⁶ steps, forward": Work(
        lambda quick: (3.2,), _plain(logistic), _slope("forward"), 2.0
    ),
    "logistic map, 10⁶ steps, reverse": Work(
        lambda quick: (3.2,), _plain(logistic), _slope("reverse"), 4.0
    ),
    "likelihood, 10⁶ rows × 8, value and gradient": Work(
        _rows,
        _likelihood_on_threads,
        lambda jitad, f: jitad.value_and_grad(f),
        1.2,
        read=likelihood,
    ),
    "escape, 10⁶ points, derivative": Work(
        _plane,
        _field,
        lambda jitad, f: jitad.vmap(jitad.jacobian(f, mode="forward")),
        3.0,
        read=escape,
    ),
    "three-body energy, 500 particles": Work(
        _neighbours, _plain(three_bodies), lambda jitad, f: jitad.grad(f), 4.0
    ),
    "Thomas' algorithm, 10⁶ unknowns, value and gradient": Work(
        _diagonals, _plain(thomas), _in_all(4), 5.0, step=1e-4
    ),
    "Gauss-Seidel sweep, 10⁶ cells, value and gradient": Work(
        _cells, _plain(relaxed), _in_all(2), 5.0, step=1e-4
    ),
    "heat, 10⁴ cells × 1,000 steps, value and gradient": Work(
        _rod, _plain(heated), _in_all(2), 5.0
    ),
    "a nest of three loops": Work(
        _numbers, _plain(nest), lambda jitad, f: jitad.grad(f), math.inf, 2.0
    ),
}


def in_child(name: str, quick: bool) -> dict:
    """Seconds of the first calls, and of each way later, in turns."""
    jitad, numba = map(importlib.import_module, ("jitad", "numba"))
    work = WORKS[name]
    arguments, value = work.arguments(quick), work.value(numba)
    numba.njit(lambda x: x + 1.0)(1.0)
    jitad.grad(lambda x: x @ x)(np.ones(3))  # both compilers are awake
    function = numba.njit(work.read) if work.read else value
    derivative = partial(work.derive(jitad, function), *arguments)
    begin = time.perf_counter()
    value(*arguments)
    own = time.perf_counter() - begin
    with jitad.threads(jitad.get_threads() if work.read else 1):
        begin = time.perf_counter()
        found = derivative()
        first = time.perf_counter() - begin
        check(value, arguments, found, work.step)
        ways = {"later": derivative, "value": partial(value, *arguments)}
        runners = {k: Runner(f, lambda y: (y,)) for k, f in ways.items()}
        turns, failed = time_in_turns(runners, Setting(quick))
    if failed:
        raise UnavailableError(next(iter(failed.values())))
    medians = {k: statistics.median(t) for k, t in turns.items()}
    return {"first": first, "own": own} | medians


def check(value: Any, arguments: tuple[Any, ...], found: Any, h: float) -> None:
    """Raise UnavailableError where a derivative is not that of differences by h."""
    slope = found[1] if isinstance(found, tuple) else found
    x, *rest = arguments
    each = np.ndim(slope) and np.shape(value(*arguments)) == np.shape(slope)
    along = 1.0 if each else np.random.default_rng(1).normal(size=np.shape(x))
    ends = [value(x + k * h * along, *rest) for k in (-1, 1)]
    wanted = (ends[1] - ends[0]) / (2.0 * h)
    got = slope if each else np.sum(slope * along)
    error = np.abs(got - wanted) / np.maximum(np.abs(wanted), 1e-3)
    if not np.median(error) <= SMOOTH:
        raise UnavailableError(f"WRONG: error {np.median(error):.1e}, not timed")


def table(setting: Setting) -> Table:
    """A line for each work."""
    lines, notes = [], []
    for name, work in WORKS.items() if setting.takes("jitad") else ():
        arguments = {"name": name, "quick": setting.quick}
        try:
            found = child.call("benchmarks.numba_loops:in_child", arguments, setting)
        except UnavailableError as reason:
            lines.append((name, str(reason)))
            continue
        ratio = found["later"] / found["value"]
        times = [found[k] for k in ("first", "own", "later", "value")]
        lines.append((name, *map(quantity, times), three_digits(ratio)))
        if work.most < math.inf:
            notes.append(_note(f"{name} ÷ value", ratio, work.most))
        if work.first < math.inf:
            ratio = found["first"] / found["own"]
            notes.append(_note(f"{name}, first calls", ratio, work.first))
    title = "numba-loops: derivatives of Numba's loops, beside Numba's values"
    return Table(title, HEADERS, tuple(lines), tuple(notes))


def _note(what: str, ratio: float, most: float) -> str:
    met = "met" if ratio <= most else "MISSED"
    return f"target {what} ≤ {most:g}: {three_digits(ratio)}, {met}"


ROWS = (Row("numba-loops", "derivatives of Numba's loops beside values", table),)
