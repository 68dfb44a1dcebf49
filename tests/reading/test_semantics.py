"""What names and loops mean in Numba, they mean where they are read.

Every case is run as it is read by default, and with no loop unrolled; where that must
refuse, it says so instead of giving another number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import njit

import jitad
from jitad.errors import UnsupportedError
from jitad.reading import frame
from tests.cases.numba_semantics import CASES

X = np.array([0.3, 1.7, -0.4, 2.2, 0.9])
# What is refused in loops that are kept: arrays of which a loop decides whose they are.
TIED = {
    "alias_branch_write", "swap_args", "swapped_by_callee", "view_after",
    "view_after_read", "two_names", "fresh_two",
}  # fmt: skip
# The slope of a truncated number is zero, which a difference does not see at a step.
STEPS = {"intdiv", "collatz", "bits", "overflow", "f32"}


@pytest.fixture(params=[0, 512], ids=["kept", "unrolled"], autouse=True)
def most(request: Any, monkeypatch: Any) -> int:
    monkeypatch.setattr(frame, "UNROLLED", request.param)
    return request.param


@njit
def remainders(x):
    s = 0.0
    k = int(x[3]) * 3
    for i in range(k % 4):
        for j in range(k % 3, i + 4):
            s += x[j % 5] * x[0]
    return s


def test_a_remainder_bounds_a_record() -> None:
    reverse = jitad.jacobian(remainders, mode="reverse")(X)
    forward = jitad.jacobian(remainders, mode="forward")(X)
    np.testing.assert_allclose(reverse, forward, rtol=1e-14)
    assert reverse.any()


@pytest.mark.parametrize("name", CASES)
def test_values_and_slopes_are_numbas(name: str, most: int) -> None:
    f = CASES[name]
    rows = np.stack([X, 1.01 * X, 0.1 - X])
    try:
        found = jitad.jit(f)(X)
    except UnsupportedError:
        assert name in TIED, "refused"
        assert not most or name == "alias_branch_write", "refused, though unrolled"
        return
    rtol = 1e-6 if name == "f32" else 1e-12
    np.testing.assert_allclose(found, f(X), rtol=rtol)
    many = jitad.vmap(f)(rows)
    np.testing.assert_allclose(many, [f(row) for row in rows], rtol=rtol)
    slope = jitad.grad(lambda x: f(x) + 0.0 * x[0])(X)
    forward = jitad.jacobian(lambda x: f(x) + 0.0 * x[0], mode="forward")(X)
    np.testing.assert_allclose(slope, forward, rtol=1e-10, atol=1e-13)
    if name not in STEPS:
        h = 1e-6 * np.eye(5)
        steps = [(f(X + e) - f(X - e)) / 2e-6 for e in h]
        np.testing.assert_allclose(slope, steps, rtol=1e-5, atol=1e-7)
