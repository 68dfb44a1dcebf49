"""Loops of numbers that write elements of arrays: as Python runs them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import jitad
from benchmarks.numba_loops import thomas
from jitad.calls import function
from jitad.calls.call import Elements
from jitad.elements.repeating import Repeat
from jitad.elements.running import Recur
from jitad.ir import afresh

RNG = np.random.default_rng(16)
N = 40


def relaxed(u: Any, f: Any) -> Any:
    v = u.copy()
    for i in range(1, len(u) - 1):
        r = 0.5 * (v[i - 1] + v[i + 1] - f[i])
        if r > 0.1:
            v[i] = r
        else:
            v[i] = 0.9 * v[i] + 0.1 * math.sin(r)
    return np.sum(v**3)


def one_way(u: Any) -> Any:
    """Written on one way of a branch only, and read on both."""
    v = u.copy()
    for i in range(2, len(u)):
        if u[i] > 0:
            v[i] = v[i - 1] * u[i]
            v[i - 1] += v[i - 2]
        elif u[i] < -1:
            v[i - 2] = v[i] * v[i - 1]
    return np.sum(np.sin(v))


def carried(u: Any, k: Any) -> Any:
    """Numbers and an array that need one another, and a number that all share."""
    v = np.zeros(len(u))
    level, speed = k * 2.0, 0.0
    for i in range(len(u)):
        speed = 0.9 * speed + u[i] * k
        level += speed * (1.0 if i == 0 else v[i - 1])
        v[i] = level / (1.0 + level * level)
    return np.sum(v * v) + level * k


def sums(u: Any) -> Any:
    """Added to at places that come of data."""
    found = np.zeros(11)
    for i in range(len(u)):
        k = int(abs(u[i]) * 3.0) % 11
        found[k] += u[i] * (1.0 + found[(k + 1) % 11])
    return np.sum(found**2)


def seidel(u: Any) -> Any:
    a = u.copy()
    n = a.shape[0]
    for _ in range(3):
        for i in range(1, n - 1):
            for j in range(1, n - 1):
                a[i, j] = (
                    a[i - 1, j] + a[i, j - 1] + a[i, j] * a[i, j] + a[i, j + 1]
                    + a[i + 1, j]
                ) / 5.0  # fmt: skip
    return np.sum(np.cos(a))


def cholesky(u: Any) -> Any:
    """In triangles: bounds that come of indices outside."""
    n = u.shape[0]
    a = u @ u.T + 3.0 * np.eye(n)
    low = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            s = a[i, j]
            for k in range(j):
                s -= low[i, k] * low[j, k]
            if i == j:
                low[i, j] = math.sqrt(s)
            else:
                low[i, j] = s / low[j, j]
    return np.sum(low * low[::-1])


def warped(x: Any, y: Any) -> Any:
    """Dynamic programming: soft minima of three neighbours."""
    n, m = len(x), len(y)
    d = np.full((n + 1, m + 1), 50.0)
    d[0, 0] = 0.0
    for i in range(n):
        for j in range(m):
            a, b, c = d[i, j], d[i, j + 1], d[i + 1, j]
            least = min(a, min(b, c))
            soft = math.exp(least - a) + math.exp(least - b) + math.exp(least - c)
            d[i + 1, j + 1] = (x[i] - y[j]) ** 2 + least - math.log(soft)
    return d[n, m]


def rows(x: Any, y: Any) -> Any:
    """Two rows that change places."""
    n, m = len(x), len(y)
    last, row = np.zeros(m + 1), np.zeros(m + 1)
    for i in range(n):
        for j in range(m):
            row[j + 1] = 0.5 * (row[j] + last[j + 1]) + x[i] * math.tanh(y[j] * last[j])
        last, row = row, last
    return np.sum(last**2)


def kept(u: Any) -> Any:
    """What an array was before is read, too."""
    old, v = u.copy(), u.copy()
    for i in range(1, len(u)):
        v[i] = v[i - 1] * 0.5 + old[i - 1] * old[i]
        old[i - 1] = v[i] * u[len(u) - i]
    return np.sum(v * old)


def masked(u: Any) -> Any:
    """Written where a mask says so, which is no branch."""
    v, there = u.copy(), np.arange(len(u)) % 3 > 0
    for i in range(1, len(u)):
        w = v.copy()
        w[i] = w[i - 1] * u[i]
        v = np.where(there, w, v)
    return np.sum(v**2)


def swaps(u: Any) -> Any:
    """A bubble sort that looks once at all neighbours, and a product on the way."""
    v = u.copy()
    p = 1.0
    for i in range(len(u) - 1):
        if v[i] > v[i + 1]:
            t = v[i]
            v[i] = v[i + 1]
            v[i + 1] = t
        p *= 1.0 + 0.1 * v[i]
    return p * np.sum(v * np.arange(len(u)))


def backwards(u: Any) -> Any:
    v = np.ones(len(u) + 2)
    for i in range(len(u) - 1, -1, -1):
        v[i] = u[i] * v[i + 1] + v[i + 2] / (2.0 + u[i])
    return np.sum(v)


def steps_of(plan: Any) -> Iterator[Any]:
    """The steps of a plan, those of loops included."""
    for step in plan.steps:
        yield step
        if isinstance(step, Repeat):
            yield from steps_of(step.body)


def to_and_fro(u: Any, k: Any) -> Any:
    """Two loops inside of one, and numbers that go from one to the other."""
    v = u.copy()
    level = 0.0
    for t in range(4):
        for i in range(1, len(u)):
            v[i] = v[i - 1] * k + v[i] * v[i] * 0.1 + level
        for i in range(len(u) - 2, -1, -1):
            level = 0.5 * level + v[i] * v[i + 1] * 0.01
            v[i] = math.tanh(v[i] + v[i + 1] * level) + 0.1 * t
    return np.sum(v) + level


def factored(u: Any) -> Any:
    """Crout's scheme, in place: loops in loops with bounds of indices outside."""
    n = u.shape[0]
    a = u @ u.T + 4.0 * np.eye(n)
    for k in range(n):
        for i in range(k + 1, n):
            a[i, k] /= a[k, k]
            for j in range(k + 1, n):
                a[i, j] -= a[i, k] * a[k, j]
    return np.sum(a * a.T[::-1])


def square(n: int) -> np.ndarray:
    return RNG.normal(size=(n, n))


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "thomas": (thomas, (RNG.uniform(-1, 0, N), RNG.uniform(3, 4, N),
                        RNG.uniform(-1, 0, N), RNG.normal(size=N))),
    "relaxed": (relaxed, (RNG.normal(size=N), RNG.normal(size=N))),
    "one way": (one_way, (RNG.normal(size=N),)),
    "carried": (carried, (RNG.normal(size=N), 0.7)),
    "sums": (sums, (RNG.normal(size=3 * N),)),
    "seidel": (seidel, (0.5 * square(8),)),
    "cholesky": (cholesky, (square(7),)),
    "warped": (warped, (RNG.normal(size=9), RNG.normal(size=8))),
    "rows": (rows, (RNG.normal(size=9), RNG.normal(size=40))),
    "kept": (kept, (RNG.normal(size=N),)),
    "masked": (masked, (RNG.normal(size=N),)),
    "swaps": (swaps, (RNG.normal(size=N),)),
    "to and fro": (to_and_fro, (RNG.normal(size=N), 0.6)),
    "factored": (factored, (square(6),)),
    "backwards": (backwards, (RNG.normal(size=3 * N),)),
}  # fmt: skip
# Which of them have loops that run as code: the others need what an array was before.
RECURS = [name for name in PROGRAMS if name not in ("kept", "masked")]


@pytest.fixture(autouse=True)
def _read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short loops are read, too, and small arrays kept whole."""
    monkeypatch.setattr(afresh, "LONG", 30)
    monkeypatch.setattr(function, "_LARGE", -1)


def directions(args: tuple[Any, ...], seed: int = 1) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    return tuple([rng.normal(size=np.shape(a)) for a in args])


def moved(args: tuple[Any, ...], way: tuple[Any, ...], far: float) -> tuple[Any, ...]:
    return tuple([a + far * d for a, d in zip(args, way, strict=True)])


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_derivatives(name: str) -> None:
    """As in Python; reverse = forward = differences, and once more for a derivative."""
    f, args = PROGRAMS[name]
    wrt, given = tuple(range(len(args))), [np.copy(a) for a in args]
    way, h = directions(args), 1e-6
    value, gradient = jitad.value_and_grad(f, argnums=wrt)(*args)
    np.testing.assert_allclose(value, f(*args), rtol=1e-13)
    np.testing.assert_allclose(jitad.jit(f)(*args), value, rtol=1e-13)
    slope = sum(np.sum(g * d) for g, d in zip(gradient, way, strict=True))
    _, forward = jitad.jvp(f, args, way)
    np.testing.assert_allclose(forward, slope, rtol=1e-11, atol=1e-12)
    ahead, behind = (f(*moved(args, way, far)) for far in (h, -h))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * h), rtol=2e-6)
    assert all(np.array_equal(a, b) for a, b in zip(args, given, strict=True))


# Thomas' algorithm takes five seconds of CPU, Cholesky's two.
_LONG_AND_SHORT = [
    pytest.param(name, marks=pytest.mark.slow) if name == "thomas" else name
    for name in RECURS
]


@pytest.mark.parametrize("name", _LONG_AND_SHORT)
def test_second_derivatives(name: str) -> None:
    """Along a direction, by reverse of forward, and by differences of the gradient."""
    f, args = PROGRAMS[name]
    wrt, way, h = tuple(range(len(args))), directions(args, 2), 1e-6
    gradient = jitad.grad(f, argnums=wrt)

    def along(*x: Any) -> Any:
        _, dots = jitad.jvp(gradient, x, way)
        return dots

    def slope(*x: Any) -> Any:
        return jitad.jvp(f, x, way)[1]

    found, other = along(*args), jitad.grad(slope, argnums=wrt)(*args)
    ahead, behind = (gradient(*moved(args, way, far)) for far in (h, -h))
    for a, b, up, down in zip(found, other, ahead, behind, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(a, (up - down) / (2 * h), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", RECURS)
def test_runs_as_code(name: str) -> None:
    """The loop is a step of the plan, and not run by Python."""
    f, args = PROGRAMS[name]
    call = jitad.grad(f).prepare(*args)
    assert isinstance(call, Elements)
    assert any(isinstance(step, Recur) for step in steps_of(call.steps))


def test_an_index_out_of_range() -> None:
    """What is read there is NaN, and so is what is written wherever it might be."""

    def reading(u: Any, k: Any) -> Any:
        v = u.copy()
        for i in range(1, len(u)):
            v[i] = v[i - 1] + u[(i + k) // 2 * 2]
        return v

    def writing(u: Any, k: Any) -> Any:
        def body(i: Any, v: Any) -> Any:
            v = v.copy()
            v[i + k] = v[i - 1] + u[i]
            return v

        return jitad.fori_loop(1, len(u), body, u)

    u = RNG.normal(size=N)
    fine = jitad.jit(reading)(u, 0)
    np.testing.assert_allclose(fine, reading(u, 0), rtol=1e-13)
    far = jitad.jit(reading)(u, 10)
    assert np.isfinite(far[:29]).all()
    assert np.isnan(far[30:]).all()
    assert np.isfinite(jitad.jit(writing)(u, 0)).all()
    assert np.isnan(jitad.jit(writing)(u, 3)).all()


def test_single_precision_and_whole_numbers() -> None:
    def counted(u: Any) -> Any:
        def body(i: Any, both: Any) -> Any:
            v, met = both[0].copy(), both[1].copy()
            met[i] = met[i - 1] + np.where(u[i] > 0, 1, 0)
            v[i] = v[i - 1] * u[i] + met[i].astype(v.dtype)
            return v, met

        return jitad.fori_loop(1, len(u), body, (u, np.zeros(len(u), np.int64)))

    u = RNG.normal(size=N).astype(np.float32)
    v, met = jitad.jit(counted)(u)
    expected, count = u.copy(), np.zeros(N, np.int64)
    for i in range(1, N):
        count[i] = count[i - 1] + (u[i] > 0)
        expected[i] = expected[i - 1] * u[i] + count[i]
    assert v.dtype == np.float32
    np.testing.assert_allclose(v, expected, rtol=1e-5)
    np.testing.assert_array_equal(met, count)
    slope = jitad.grad(lambda x: np.sum(counted(x)[0]))(u)
    assert slope.dtype == np.float32
    exact = jitad.grad(lambda x: np.sum(counted(x)[0]))(u.astype(np.float64))
    np.testing.assert_allclose(slope, exact, rtol=1e-4, atol=1e-4)


def test_many_times_over() -> None:
    """Loops inside of a loop over time, which changes places of arrays."""

    def heat(u: Any, k: Any) -> Any:
        a, b = u.copy(), u.copy()
        for _ in range(60):
            for i in range(1, len(u) - 1):
                b[i] = a[i] + k * (b[i - 1] - 2 * a[i] + a[i + 1])
            a, b = b, a
        return np.sum(a * a)

    u, h = RNG.normal(size=N), 1e-6
    value, (by_u, by_k) = jitad.value_and_grad(heat, argnums=(0, 1))(u, 0.2)
    np.testing.assert_allclose(value, heat(u, 0.2), rtol=1e-12)
    difference = (heat(u, 0.2 + h) - heat(u, 0.2 - h)) / (2 * h)
    np.testing.assert_allclose(by_k, difference, rtol=1e-6)
    way = RNG.normal(size=N)
    difference = (heat(u + h * way, 0.2) - heat(u - h * way, 0.2)) / (2 * h)
    np.testing.assert_allclose(np.sum(by_u * way), difference, rtol=1e-6)


def test_explained() -> None:
    f, args = PROGRAMS["thomas"]
    text = jitad.explain(jitad.grad(f), *args).text
    assert f"in order {N - 1} elements" in text
