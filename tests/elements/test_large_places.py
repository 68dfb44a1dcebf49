"""Elements at traced places, sequences, order: as the schedule over points has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

import jitad
from jitad.calls import function
from jitad.calls.call import Elements

RNG = np.random.default_rng(0)
X, Y, A = RNG.normal(size=12), RNG.normal(size=5), RNG.normal(size=(3, 4))
PLACES = np.array([2, 0, -1, 2, 5])
WEIGHTS = np.arange(1.0, 13.0)


def written(x: Any, y: Any, places: Any) -> Any:
    """Some places twice: the last is what stays."""
    z = x * 2.0
    z[places] = y * x[0]
    return np.sum(np.sin(z) * WEIGHTS)


def row(a: Any, i: Any) -> Any:
    b = a.copy()
    b[i, :] -= a[i - 1] * 2
    return np.sum(b**2 * WEIGHTS[:4])


def convolved(x: Any, y: Any) -> Any:
    return (
        np.sum(np.convolve(x, y) ** 2)
        + np.sum(np.convolve(x, y, "same") * WEIGHTS)
        + np.sum(np.convolve(y, x, "valid") ** 2)
        + np.sum(np.correlate(x, y) ** 3)
    )


def products(a: Any) -> Any:
    return (
        np.prod(a) ** 2
        + np.sum(np.prod(a, axis=0) * WEIGHTS[:4])
        + np.sum(np.cumprod(a, axis=0) * WEIGHTS[:4])
        + np.sum(np.cumprod(a, axis=1) ** 2)
    )


def masked(x: Any, y: Any) -> Any:
    z = x.copy()
    z[x > 0] = y[0] * y[1]
    return np.sum(np.where(np.any(z > 1), z**3, z)) + np.where(np.all(z > 9), z[0], 0)


# Function, arguments, and those among them that are differentiated in.
PROGRAMS: dict[str, tuple[Any, tuple[Any, ...], tuple[int, ...]]] = {
    "read": (lambda x, k: np.sum(np.sin(x[k]) * WEIGHTS[:5]), (X, PLACES), (0,)),
    "read rows": (lambda a, k: np.sum(a[:, k] ** 2), (A, PLACES[:3]), (0,)),
    "along an axis": (
        lambda a, k: np.sum(np.take_along_axis(a, k, axis=1) ** 2 * WEIGHTS[:2]),
        (A, np.array([[0, 1], [2, 2], [3, 0]])),
        (0,),
    ),
    "written": (written, (X, Y, PLACES), (0, 1)),
    "a row": (row, (A, np.int64(1)), (0,)),
    "masked": (masked, (X, Y), (0, 1)),
    "sorted": (lambda x: np.sum(np.sort(x) ** 2 * WEIGHTS), (X,), (0,)),
    "sorted by an axis": (
        lambda a: np.sum(np.sort(a, axis=0) ** 2 * WEIGHTS[:4]),
        (A,),
        (0,),
    ),
    "in order": (lambda x: np.sum(x[np.argsort(x)] ** 2 * WEIGHTS), (X,), (0,)),
    "the least": (lambda x: x[np.argmin(x)] * x[np.argmax(x)], (X,), (0,)),
    "quantiles": (
        lambda a: np.sum(np.quantile(a, [0.1, 0.3, 0.8], axis=1) ** 2) * np.median(a),
        (A,),
        (0,),
    ),
    "products": (products, (A,), (0,)),
    "convolved": (convolved, (X, Y), (0, 1)),
    "log-sum-exp": (
        lambda a: np.sum(logsumexp(a, axis=1) ** 2) * logsumexp(a),
        (A,),
        (0,),
    ),
    "softmax": (
        lambda a: np.sum(jitad.softmax(a, axis=1) ** 2 * jitad.log_softmax(a[0])),
        (A,),
        (0,),
    ),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", PROGRAMS)
def test_numbers_are_those_of_points(name: str, dtype: Any, monkeypatch: Any) -> None:
    f, given, numbers = PROGRAMS[name]
    args = [np.asarray(x, dtype if x.dtype.kind == "f" else None) for x in given]
    slopes = jitad.value_and_grad(f, argnums=numbers)
    value, wanted = slopes(*args)
    monkeypatch.setattr(function, "_LARGE", -1)
    assert isinstance(slopes.prepare(*args), Elements)
    found, made = slopes.at(slopes.where)(*args)
    limit = 300 * np.finfo(dtype).eps
    for a, b in zip((found, *made), (value, *wanted), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        size = max(np.max(np.abs(b)), 1.0)
        np.testing.assert_allclose(a, b, rtol=0, atol=limit * size)


@pytest.mark.parametrize("name", PROGRAMS)
def test_second_derivatives_are_those_of_points(name: str, monkeypatch: Any) -> None:
    f, args, numbers = PROGRAMS[name]
    directions = [RNG.normal(size=args[k].shape) for k in numbers]

    def along(*args: Any) -> Any:
        slopes = jitad.grad(f, argnums=numbers)(*args)
        return sum(np.sum(g * v) for g, v in zip(slopes, directions, strict=True))

    wanted = jitad.grad(along, argnums=numbers)(*args)
    monkeypatch.setattr(function, "_LARGE", -1)
    again = jitad.grad(along, argnums=numbers)
    assert isinstance(again.prepare(*args), Elements)
    tangents = list(args)
    for k, v in zip(numbers, directions, strict=True):
        tangents[k] = v
    for a, b in zip(again(*args), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12 * np.max(np.abs(b)))


def test_an_index_out_of_range_reads_and_writes_no_number(monkeypatch: Any) -> None:
    def f(x: Any, k: Any) -> Any:
        y = x.copy()
        y[k] = 1.0
        return x[k], y

    places = np.array([1, 50, -2])
    wanted = jitad.jit(f)(X, places)
    monkeypatch.setattr(function, "_LARGE", -1)
    g = jitad.jit(f)
    assert isinstance(g.prepare(X, places), Elements)
    for a, b in zip(g(X, places), wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_long_sequences_are_computed_by_libraries() -> None:
    x, places = RNG.normal(size=200_000), RNG.integers(0, 200_000, 100_000)
    kernel = np.hanning(301)

    def f(x: Any, places: Any) -> Any:
        blurred = np.convolve(x, kernel, "same")
        ranked = np.sort(blurred) * np.linspace(0, 1, x.size)
        return np.sum(ranked) + np.sum(np.sin(blurred[places])) + np.median(x) ** 2

    slopes = jitad.grad(f)(x, places)
    v = RNG.normal(size=x.shape)
    h = 1e-6
    wanted = (f(x + h * v, places) - f(x - h * v, places)) / (2 * h)
    np.testing.assert_allclose(np.sum(slopes * v), wanted, rtol=1e-5)
