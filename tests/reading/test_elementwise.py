"""Functions of @vectorize and CUDA device functions, called with traced values."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numba import cuda, njit, vectorize

import jitad
from jitad.errors import UnsupportedError
from jitad.ir import afresh

X = np.array([0.5, -1.0, 2.0])


@vectorize
def branches(x, y):
    return x * x + y if x > 0 else y / (1 + x * x)


@vectorize(["float32(float32, float32)", "float64(float64, float64)"])
def signed(x, y):
    return np.sin(x) * y


@vectorize
def escapes(c):
    z, k = 0.0, 0
    while z < 2.0 and k < 50:
        z = z * z + c + 0.3
        k += 1
    return z


@njit
def in_a_loop(x):
    total = 0.0
    for i in range(len(x)):
        total += branches(x[i], x[0]) * i
    return total + np.sum(signed(x, 2 * x[::-1]))


def in_a_plain_loop(x):
    total = 0.0
    for i in range(len(x)):
        total += branches(x[i], x[0]) * i
    return total


CASES: dict[str, Any] = {
    "numbers": lambda x: branches(x[0], x[1]) + branches(x[1], 3),
    "arrays": lambda x: np.sum(branches(x, x[0]) * x),
    "two axes": lambda x: np.sum(branches(x[:, None], x) ** 2),
    "integers": lambda x: np.sum(signed(2, x) + signed(x, np.array([1, 2, 3]))),
    "loops": lambda x: np.sum(escapes(x)),
    "in a loop": in_a_loop,
    "in a plain loop": in_a_plain_loop,
}


@pytest.mark.parametrize("name", CASES)
def test_they_are_elementwise(name: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(afresh, "LONG", 0)
    f = CASES[name]
    np.testing.assert_allclose(jitad.jit(f)(X), f(X), rtol=1e-14)
    slope = jitad.grad(f)(X)
    steps = [(f(X + h) - f(X - h)) / 2e-6 for h in 1e-6 * np.eye(3)]
    np.testing.assert_allclose(slope, steps, rtol=1e-7, atol=1e-8)
    forward = jitad.jacobian(f, mode="forward")(X)
    np.testing.assert_allclose(forward, slope, rtol=1e-13)
    batch = jitad.vmap(jitad.grad(f))(np.stack([X, 1.1 * X, X]))
    np.testing.assert_allclose(batch[2], slope, rtol=1e-13)


def test_dtypes_are_those_of_the_signature() -> None:
    single = jitad.jit(lambda x: signed(x, x))(X.astype(np.float32))
    assert single.dtype == np.float32
    assert jitad.jit(lambda x: signed(x, 1))(2).dtype == np.float64


def test_where_they_would_raise_is_refused() -> None:
    @vectorize
    def checked(x):
        if x < 0:
            raise ValueError("negative")
        return x

    f = njit(lambda x: checked(x[0]))
    with pytest.raises(UnsupportedError, match=r"raise, or assert, in a @vectorize"):
        jitad.jit(f)(X)


@cuda.jit(device=True)
def on_a_card(x):
    return np.sin(x) * 2.0


@cuda.jit
def kernel(x, out):
    out[0] = x


def test_device_functions_of_cards_are_read() -> None:
    inside: Any = cuda.jit(device=True)(lambda x: on_a_card(x[0]) + x[1])
    functions: list[Any] = [lambda x: on_a_card(x[0]) + x[1], inside]
    for f in functions:
        np.testing.assert_allclose(jitad.jit(f)(X), 2 * np.sin(0.5) - 1)
        np.testing.assert_allclose(jitad.grad(f)(X), [2 * np.cos(0.5), 1, 0])
    with pytest.raises(UnsupportedError, match="kernel, a CUDA kernel"):
        jitad.jit(lambda x: kernel(x, jitad.zeros(1)))(1.0)


def test_numbas_part_for_cards_is_not_imported_by_reading() -> None:
    text = """
import sys, numba, jitad
slope = jitad.grad(numba.njit(lambda x: x * x))(2.0)
print(slope, "numba.cuda.dispatcher" in sys.modules)
"""
    found = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["4.0", "False"]
