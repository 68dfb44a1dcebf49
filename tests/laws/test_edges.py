"""The specification of derivatives at the edges, in every mode on every back end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitad
from tests.cases.edge_cases import CASES, RAISING, Case

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


def at(function: Any, case: Case) -> Any:
    """The function at the case's point; by way of a batch of one where NumPy raises."""
    if case.name not in RAISING:
        return function(*case.arguments)
    with pytest.raises(np.linalg.LinAlgError):
        function(*case.arguments)
    batch = jitad.vmap(function)(*[np.asarray(a, float)[None] for a in case.arguments])
    return tuple(b[0] for b in batch) if isinstance(batch, tuple) else batch[0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_value(case: Case, backend: Any) -> None:
    if case.value is not None:
        same(at(jitad.jit(case.function, backend=backend), case), case.value)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_derivative(case: Case, mode: Any, backend: Any) -> None:
    every = tuple(range(len(case.arguments)))
    jacobian = jitad.jacobian(case.function, argnums=every, mode=mode, backend=backend)
    for got, expected in zip(at(jacobian, case), case.derivatives, strict=True):
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
    single = at(jacobian, case)
    for many, one in zip(batch, single, strict=True):
        for k in range(1, 10, 2):
            np.testing.assert_array_equal(many[k], one)


@pytest.mark.parametrize("mode", MODES)
def test_what_many_results_are_made_of(mode: Any) -> None:
    """An infinite slope in each of twelve results, by two paths."""
    scales = np.arange(1.0, 13.0)

    def f(v: Any) -> Any:
        return np.sqrt(v) + scales * np.sqrt(v) ** 2

    got = jitad.jacobian(f, mode=mode, backend="numpy")(0.0)
    np.testing.assert_array_equal(got, np.full(12, np.inf))


def test_infinite_slopes_meet_in_the_order_of_a_mode() -> None:
    """Forward multiplies along each path, where 0 times infinity is NaN."""

    def f(q: Any) -> Any:
        c = q * q
        return c + np.arctan(c)

    at = np.array(np.inf)
    assert np.isnan(jitad.jacobian(f, mode="forward")(at))
    assert jitad.jacobian(f, mode="reverse")(at) == np.inf
    assert jitad.jacobian(f, mode="cross")(at) == np.inf
