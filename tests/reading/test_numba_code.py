"""Numba functions are read: what a transform makes of one is what Numba computes.

Laws: read = unrolled = Numba's own value; forward = reverse = central differences; a
batch is its points.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitad
from benchmarks.three_bodies import by_numba, slopes, steps_of
from jitad import tree
from jitad.reading import frame
from tests.cases.numba_code import FUNCTIONS

EVERY = pytest.mark.parametrize("name", FUNCTIONS)


def flat(results: Any) -> np.ndarray:
    """All numbers of some results."""
    return np.concatenate([np.ravel(x) for x in tree.flatten(results)[0]])


def total(f: Any) -> Any:
    """One number that depends on all results, and is not linear in them."""

    def summed(*args: Any) -> Any:
        return sum(np.sum(np.sin(x)) for x in tree.flatten(f(*args))[0])

    return summed


@EVERY
def test_values_are_numbas(name: str) -> None:
    f, args = FUNCTIONS[name]
    kept = [np.copy(x) for x in args]
    np.testing.assert_allclose(flat(jitad.jit(f)(*args)), flat(f(*args)), rtol=1e-13)
    for x, before in zip(args, kept, strict=True):
        np.testing.assert_array_equal(x, before)


@EVERY
def test_forward_is_reverse_is_a_central_difference(name: str) -> None:
    f, args = FUNCTIONS[name]
    rng = np.random.default_rng(3)
    along = tuple(rng.normal(size=np.shape(x)) for x in args)
    g = total(f)
    slope = jitad.jvp(g, args, along)[1]
    found = jitad.grad(g, tuple(range(len(args))))(*args)
    found = sum(np.sum(a * b) for a, b in zip(found, along, strict=True))
    np.testing.assert_allclose(found, slope, rtol=1e-11)
    h = 1e-6
    up = g(*[x + h * v for x, v in zip(args, along, strict=True)])
    down = g(*[x - h * v for x, v in zip(args, along, strict=True)])
    np.testing.assert_allclose(slope, (up - down) / (2 * h), rtol=1e-6)


SHORT = ("thomas", "de_boor", "kepler", "mean_field", "pair_energy", "heat", "clenshaw")


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("most", [0, 100_000])
def test_loops_are_their_unrolled_code(name: str, most: int, monkeypatch: Any) -> None:
    f, args = FUNCTIONS[name]
    if name == "mean_field":  # only the loops over spins: 200 ways out take long
        most = min(most, 1000)
    monkeypatch.setattr(frame, "UNROLLED", most)
    grads = tuple(range(len(args)))
    value, slopes = jitad.value_and_grad(total(f), grads)(*args)
    np.testing.assert_allclose(value, total(f)(*args), rtol=1e-12)
    monkeypatch.undo()
    expected = jitad.grad(total(f), grads)(*args)
    for a, b in zip(slopes, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12 * np.max(np.abs(b)))


@EVERY
def test_a_batch_is_its_points(name: str) -> None:
    f, args = FUNCTIONS[name]
    scale = np.linspace(0.99, 1.0, 3)
    batch = [np.multiply.outer(scale, x) for x in args]
    found = jitad.vmap(f)(*batch)
    for k in range(3):
        one = f(*[x[k] for x in batch])
        many = tree.transform(lambda y, k=k: y[k], found)
        np.testing.assert_allclose(flat(many), flat(one), rtol=1e-12)


def test_short_nests_in_a_long_loop_are_unrolled() -> None:
    """Their indices are known then, and nothing is looked up."""
    y = np.random.default_rng(0).normal(size=(2, 18))
    v = np.random.default_rng(1).normal(size=18)
    made = jitad.vmap(jitad.jacobian(by_numba(20), mode="forward"))
    told = jitad.explain(made, y)
    said = [became.split(",")[0] for _, became in told.source]
    assert said.count("read") == 1 and set(said) == {"read", "unrolled"}
    assert "lookup" not in str(told)
    wanted = np.imag(steps_of(slopes, 20)(y[1] + 1e-20j * v)) / 1e-20
    np.testing.assert_allclose(made(y)[1] @ v, wanted, rtol=1e-10)
