"""Kinks, poles, ties, NaN and infinities on arrays that stay whole.

What the schedule over points gives there (its own laws hold it to the specification) is
what arrays that stay whole give, in either mode.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

import jitad
from jitad.calls import function
from jitad.calls.call import Elements

ZEROS = np.zeros(4)
STEPS = np.array([0.0, 1.0, 0.0, 2.0])
TIES = np.array([1.0, 2.0, 1.0, 2.0])
NAN, INF = np.nan, np.inf


def safe(v: Any) -> Any:
    """A root that is only there where it has a slope."""
    return np.where(v > 0, np.sqrt(np.where(v > 0, v, 1.0)), 0.0)


EDGES = {
    "root of a sum of squares": (lambda v: np.sqrt(np.sum(v * v)), ZEROS),
    "its powers": (lambda v: np.sqrt(np.sum(v**2)) * np.sum(v), ZEROS),
    "root of a sum": (lambda v: np.sqrt(np.sum(v)), ZEROS),
    "roots": (lambda v: np.sum(np.sqrt(v + v * v)), ZEROS),
    "roots of shifts": (lambda v: np.sum(np.sqrt(v[1:] + v[:-1])), ZEROS),
    "roots of products": (lambda v: np.sum(np.sqrt(v[1:] * v[:-1])), ZEROS),
    "guarded twice": (lambda v: np.sum(safe(v[1:]) + v[:-1]), STEPS),
    "guarded once": (
        lambda v: np.sum(np.where(v > 0, np.sqrt(v), 0.0)[1:]),
        STEPS,
    ),
    "guarded by another": (
        lambda v: np.sum(np.where(v[:3] > 0, np.sqrt(np.abs(v[1:]) * 2), 0.0)),
        STEPS,
    ),
    "a logarithm under a rolled guard": (
        lambda v: np.sum(np.where(np.roll(v, 1) > 0, np.log(v), 0.0)),
        STEPS,
    ),
    "zero factors": (
        lambda v: np.sum(v[:2] * np.sqrt(v[2:])),
        np.array([0.0, 1, 0, 0]),
    ),
    "a zero over a parameter": (
        lambda v: np.sum(np.sqrt(v[:2] / v[2:])),
        np.array([0.0, 0, 1, 2]),
    ),
    "maxima of shifts": (
        lambda v: np.sum(np.maximum(v[1:], v[:-1])),
        TIES[[0, 0, 1, 1]],
    ),
    "absolute values": (lambda v: np.sum(np.abs(v[::-1] - v)), np.ones(4)),
    "hypotenuses": (lambda v: np.sum(np.hypot(v[1:], v[:-1])), ZEROS),
    "a deviation": (lambda v: np.std(v), np.ones(4)),
    "a logarithm": (lambda v: np.log(np.sum(v)), ZEROS),
    "too large": (lambda v: np.sum(np.exp(v[1:]) * v[:-1]), np.array([0.0, 0, 1e4, 0])),
    "infinite": (lambda v: np.sum(v[:-1] / v[1:]), np.array([0.0, 0, INF, 0])),
    "no number": (lambda v: np.sum(v[:-1] * v[1:]), np.array([0.0, NAN, 1, 2])),
    "powers of a sum": (lambda v: np.sum(v) ** 1.5 + np.sum(v) ** 0.5, ZEROS),
    "largest of rows": (
        lambda v: np.sum(np.max(v.reshape(2, 2), axis=0) * np.array([1.0, 2.0])),
        TIES,
    ),
    "smallest of three": (lambda v: np.min(v), np.array([1.0, 2.0, 1.0, 1.0])),
    "largest, no number": (lambda v: np.max(v), np.array([1.0, NAN, 1.0, 2.0])),
    "largest, infinite": (lambda v: np.max(v), np.array([1.0, INF, INF, 2.0])),
    "log-sum-exp": (lambda v: np.max(v) + np.log(np.sum(np.exp(v - np.max(v)))), TIES),
    "a norm": (lambda v: np.linalg.norm(v), ZEROS),
    "a norm and a sum": (lambda v: np.linalg.norm(v) * np.sum(v), ZEROS),
    "an infinite norm": (lambda v: np.linalg.norm(v), np.array([INF, 1.0])),
    "a norm beyond range": (lambda v: np.linalg.norm(v), np.array([1e200, 1.0])),
    "a norm below range": (lambda v: np.linalg.norm(v), np.array([1e-200, 0.0])),
    "an infinite factor": (lambda v: np.dot(v[:2], v[2:]), np.array([0.0, 0, INF, 1])),
    "a determinant of rank one": (
        lambda v: np.linalg.det(v.reshape(2, 2)),
        np.array([1.0, 2, 2, 4]),
    ),
    "a determinant of rank none": (lambda v: np.linalg.det(v.reshape(2, 2)), ZEROS),
    "a logarithm of a determinant of zero": (
        lambda v: np.linalg.slogdet(v.reshape(2, 2))[1],
        np.array([1.0, 2, 2, 4]),
    ),
    "the sign of a determinant": (
        lambda v: np.linalg.slogdet(v.reshape(2, 2))[0] * v[0],
        np.array([1.0, 2, 3, 4]),
    ),
    "equal eigenvalues": (
        lambda v: np.sum(np.linalg.eigvalsh(v.reshape(2, 2))),
        np.eye(2).ravel(),
    ),
    "what is read of a symmetric matrix": (
        lambda v: np.linalg.eigvalsh(v.reshape(2, 2))[0],
        np.array([1.0, NAN, 0.5, 3]),
    ),
    "what is read of a definite matrix": (
        lambda v: np.sum(np.linalg.cholesky(v.reshape(2, 2))),
        np.array([2.0, NAN, 0.5, 3]),
    ),
    "sorted ties": (lambda v: np.sum(np.sort(v) ** 2 * np.arange(4.0)), TIES),
    "sorted, no number": (
        lambda v: np.sum(np.sort(v)[:3] * np.arange(3.0)),
        np.array([2.0, NAN, 1.0, 1.0]),
    ),
    "a median of ties": (lambda v: np.median(v) ** 2, np.array([1.0, 1, 2, 2])),
    "a median of three ties": (lambda v: np.median(v), np.array([1.0, 1, 1])),
    "a median, no number": (lambda v: np.median(v), np.array([1.0, NAN, 2, 2])),
    "the first of the largest": (lambda v: v[np.argmax(v)] ** 2, TIES),
    "a product with a zero": (lambda v: np.prod(v), np.array([0.0, 2, 3])),
    "a product with zeros": (lambda v: np.prod(v), np.array([0.0, 0, 3])),
    "running products": (
        lambda v: np.sum(np.cumprod(v) * np.arange(1.0, 4.0)),
        np.array([0.0, 2, 3]),
    ),
    "log-sum-exp of -inf": (lambda v: logsumexp(v), np.array([-INF, 0.0])),
    "log-sum-exp of inf": (lambda v: logsumexp(v), np.array([INF, 0.0])),
    "softmax of what is far apart": (
        lambda v: np.sum(jitad.softmax(v) * np.arange(3.0)),
        np.array([0.0, 1000.0, -1000.0]),
    ),
    "taken twice": (
        lambda v: np.sum(np.where(v[[0, 3, 1, 1]] > 0, np.sqrt(v[[0, 3, 1, 1]]), 0.0)),
        STEPS,
    ),
}


@pytest.mark.parametrize("name", EDGES)
def test_edges_are_those_of_points(name: str, monkeypatch: Any) -> None:
    f, x = EDGES[name]
    v = np.arange(1.0, 1.0 + x.size)

    def found() -> tuple[Any, ...]:
        value, slopes = jitad.value_and_grad(f)(x)
        _, pull = jitad.vjp(f, x)
        (pulled,) = pull(np.float64(2.0))
        return value, slopes, jitad.jvp(f, (x,), (v,))[1], pulled

    points = found()
    monkeypatch.setattr(function, "_LARGE", -1)
    assert isinstance(jitad.value_and_grad(f).prepare(x), Elements)
    for a, b in zip(found(), points, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)
        assert np.shape(a) == np.shape(b)


SINGULAR = {
    "inv": lambda v: np.sum(np.linalg.inv(v.reshape(2, 2))),
    "solve": lambda v: np.sum(np.linalg.solve(v.reshape(2, 2), v[:2])),
    "cholesky": lambda v: np.sum(np.linalg.cholesky(v.reshape(2, 2))),
}


@pytest.mark.parametrize("name", SINGULAR)
def test_singular_matrices_raise_as_numpy_does(name: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(function, "_LARGE", -1)
    f, x = SINGULAR[name], np.array([1.0, 2.0, 2.0, 4.0])
    for made in (jitad.jit(f), jitad.grad(f)):
        assert isinstance(made.prepare(x + np.eye(2).ravel()), Elements)
        with pytest.raises(np.linalg.LinAlgError):
            made(x)


def test_a_handler_of_singular_matrices_is_a_branch(monkeypatch: Any) -> None:
    def f(v: Any) -> Any:
        try:
            return np.sum(np.linalg.inv(v.reshape(2, 2)))
        except np.linalg.LinAlgError:
            return 3.0 * v[0]

    x = np.array([1.0, 2.0, 2.0, 4.0])
    monkeypatch.setattr(function, "_LARGE", -1)
    np.testing.assert_array_equal(jitad.grad(f)(x), [3.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("name", EDGES)
def test_second_derivatives_at_edges_are_those_of_points(
    name: str, monkeypatch: Any
) -> None:
    f, x = EDGES[name]
    v = np.arange(1.0, 1.0 + x.size)

    def found() -> tuple[Any, ...]:
        through = jitad.grad(lambda z: np.sum(jitad.grad(f)(z) * v))
        return jitad.hvp(f)(x, v), jitad.jvp(jitad.grad(f), (x,), (v,))[1], through(x)

    points = found()
    monkeypatch.setattr(function, "_LARGE", -1)
    assert isinstance(jitad.grad(jitad.grad(np.sum)).prepare(1.0), Elements)
    for a, b in zip(found(), points, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
