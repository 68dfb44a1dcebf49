"""The specification of derivatives at the edges, in every mode on every back end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from edge_cases import CASES, Case

import jitad

MODES = ("auto", "forward", "reverse", "cross")
BACKENDS = ("cpu", "numpy")


def same(got: Any, expected: Any) -> None:
    """Equal to 4 ulp, infinities and NaNs in their places; signed zeros are equal."""
    got, expected = np.asarray(got), np.asarray(expected, float)
    assert got.shape == expected.shape
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    with np.errstate(all="ignore"):
        off = np.abs(got - expected)
        bound = 4 * np.spacing(np.abs(expected))
    wrong = ~((got == expected) | np.isnan(expected) | (off <= bound))
    assert not wrong.any(), f"got {got}, expected {expected}"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_value(case: Case, backend: Any) -> None:
    if case.value is not None:
        same(jitad.jit(case.function, backend=backend)(*case.arguments), case.value)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_derivative(case: Case, mode: Any, backend: Any) -> None:
    every = tuple(range(len(case.arguments)))
    jacobian = jitad.jacobian(case.function, argnums=every, mode=mode, backend=backend)
    for got, expected in zip(jacobian(*case.arguments), case.derivatives, strict=True):
        if expected is not None:
            same(got, expected)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_in_the_middle_of_a_batch(case: Case) -> None:
    """A lane's edge touches no other lane."""
    every = tuple(range(len(case.arguments)))
    stacked = [
        np.stack([np.full(np.shape(a), 0.5), np.asarray(a, float)] * 5)
        for a in case.arguments
    ]
    jacobian = jitad.jacobian(case.function, argnums=every)
    batch = jitad.vmap(jacobian)(*stacked)
    single = jacobian(*case.arguments)
    for many, one in zip(batch, single, strict=True):
        for k in range(1, 10, 2):
            np.testing.assert_array_equal(many[k], one)
