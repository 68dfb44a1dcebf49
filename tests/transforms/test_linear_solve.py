"""linear_solve: values and derivatives against np.linalg.solve, failures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitad
from jitad import tree

MODES = ("forward", "reverse", "cross")
BACKENDS = ("cpu", "numpy")

MATRIX = np.array([[3.0, 1.0, -0.5], [0.2, 0.0, 2.0], [1.0, 4.0, 0.3]])
RIGHT = np.array([[1.0, 0.5], [-2.0, 1.0], [0.3, 0.0]])


def close(got: Any, wanted: Any, rtol: float = 1e-13) -> None:
    for a, b in zip(tree.flatten(got)[0], tree.flatten(wanted)[0], strict=True):
        scale = np.max(np.abs(b), initial=0.0)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale)


def by_matrix(a: Any, b: Any) -> Any:
    return jitad.linear_solve(a, b)


def by_function(a: Any, b: Any) -> Any:
    return jitad.linear_solve(lambda x: a @ x, b)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("f", [by_matrix, by_function])
def test_linear_solutions(f, mode, backend):
    b = RIGHT[:, 0] if f is by_matrix else RIGHT
    wanted = np.linalg.solve
    close(f(MATRIX, b), wanted(MATRIX, b))
    close(jitad.jit(f, backend=backend)(MATRIX, b), wanted(MATRIX, b))
    got = jitad.jacobian(f, (0, 1), mode=mode, backend=backend)(MATRIX, b)
    close(got, jitad.jacobian(wanted, (0, 1))(MATRIX, b), 1e-12)


@pytest.mark.slow
def test_second_derivatives_of_linear_solutions():
    def second(f: Any) -> Any:
        return jitad.hessian(lambda a: np.sum(f(a, RIGHT) ** 2))(MATRIX)

    wanted = second(np.linalg.solve)
    close(second(by_matrix), wanted, 1e-11)
    close(second(by_function), wanted, 1e-11)
    jitad.check(by_matrix, MATRIX, RIGHT)


def test_a_linear_function_of_containers():
    def f(k: Any) -> Any:
        def matvec(x: Any) -> Any:
            return {"a": 2 * x["a"] + k * x["b"][0], "b": x["b"] - x["a"] + 1.0}

        return jitad.linear_solve(matvec, {"a": k, "b": np.zeros(1)})

    # 2 a + k b = k, b - a + 1 = 0: what is linear but for a constant is solved, too.
    k = 3.0
    for got in (f(k), jitad.jit(f)(k)):
        close(got, {"a": 2 * k / (2 + k), "b": np.array([2 * k / (2 + k) - 1])})
    slope = 4 / (2 + k) ** 2
    close(jitad.jacobian(f)(k), {"a": slope, "b": np.array([slope])})


def test_singular_matrices_give_nan():
    flat = np.array([[1.0, 2.0], [2.0, 4.0]])
    for got in (
        jitad.linear_solve(flat, np.ones(2)),
        jitad.jit(by_matrix)(flat, np.ones(2)),
        jitad.vmap(by_function)(flat[None], np.ones((1, 2))),
        jitad.jacobian(by_matrix)(flat, np.ones(2)),
    ):
        assert np.isnan(got).all()


def test_precisions_of_matrix_and_vector_mix_as_in_numpy():
    single = MATRIX.astype(np.float32)
    f = jitad.jit(jitad.jacobian(by_matrix))
    assert f(single, RIGHT).dtype == np.float32
    assert jitad.jit(by_matrix)(single, single).dtype == np.float32
    assert jitad.jit(by_matrix)(single, [1, 2, 3]).dtype == np.float64
