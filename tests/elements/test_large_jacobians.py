"""Jacobians and Hessians of large arrays: row by row, or column by column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitad
from jitad import tree
from jitad.calls import function
from jitad.calls.call import Elements

RNG = np.random.default_rng(0)
X, A, B = RNG.normal(size=7), RNG.normal(size=3), RNG.normal(size=4)
DATA, TIMES = RNG.normal(size=(9, 2)), RNG.normal(size=9)


def residuals(p: Any, data: Any, t: Any) -> Any:
    return np.tanh(data @ p[:2] + p[2]) - t


def few(x: Any) -> Any:
    return np.stack([np.sum(x**3), np.sum(np.sin(x[1:] * x[:-1]))])


def bent(x: Any) -> Any:
    return np.sum(np.maximum(x[1:] * x[:-1], 0.1) ** 2) + np.linalg.norm(x)


def two(a: Any, b: Any) -> Any:
    return {"outer": np.outer(a, b) * a[:, None], "sum": np.sum(a) * b}


CASES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "columns": (jitad.jacobian(residuals), (A, DATA, TIMES)),
    "of two arguments": (jitad.jacobian(residuals, (0, 1)), (A, DATA, TIMES)),
    "rows": (jitad.jacobian(few), (X,)),
    "rows by columns": (jitad.jacobian(few, mode="forward"), (X,)),
    "columns by rows": (jitad.jacobian(residuals, mode="reverse"), (A, DATA, TIMES)),
    "trees": (jitad.jacobian(two, (0, 1)), (A, B)),
    "of nothing": (jitad.jacobian(lambda x: x[:0] * 2.0), (X,)),
    "hessian": (jitad.hessian(bent), (X,)),
    "hessian at kinks": (jitad.hessian(lambda x: np.sum(np.abs(x) * x**2)), (X * 0,)),
    "hessian of two": (
        jitad.hessian(lambda a, b: np.sum(np.outer(a, b) ** 3), (0, 1)),
        (A, B),
    ),
    "of a gradient": (jitad.jacobian(jitad.grad(bent)), (X,)),
    "differentiated": (
        jitad.grad(lambda x: np.sum(jitad.jacobian(few)(x) ** 2)),
        (X,),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_jacobians_are_those_of_points(name: str, monkeypatch: Any) -> None:
    f, args = CASES[name]
    wanted = tree.flatten(f(*args))
    monkeypatch.setattr(function, "_LARGE", -1)
    f = f.at(f.where)
    assert isinstance(f.prepare(*args), Elements)
    found = tree.flatten(f(*args))
    assert found[1] == wanted[1]
    for a, b in zip(found[0], wanted[0], strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


def test_a_hessian_is_symmetric_to_the_bit(monkeypatch: Any) -> None:
    monkeypatch.setattr(function, "_LARGE", -1)
    made = jitad.hessian(lambda x: np.sum(np.exp(x[1:] * x[:-1])) * np.sum(x))(X)
    np.testing.assert_array_equal(made, made.T)


def test_a_jacobian_of_many_residuals_has_as_many_runs_as_columns() -> None:
    data, t = RNG.normal(size=(1000, 2)), RNG.normal(size=1000)
    f = jitad.jacobian(residuals)
    assert isinstance(f.prepare(A, data, t), Elements)
    slope = 1 - np.tanh(data @ A[:2] + A[2]) ** 2
    wanted = slope[:, None] * np.column_stack([data, np.ones(1000)])
    np.testing.assert_allclose(f(A, data, t), wanted, rtol=1e-11)
