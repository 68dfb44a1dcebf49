"""Sorting, places of extremes, medians and quantiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitad.errors import UnsupportedError
from tests.support.engine import traced, value
from tests.support.laws import homogeneous, one_jacobian, same_value

RNG = np.random.default_rng(3)
X = RNG.normal(size=(2, 5, 3))
TIES = RNG.integers(0, 3, (2, 5, 3)).astype(float)
NAN = np.nan
HOLES = np.where(RNG.uniform(size=X.shape) < 0.3, NAN, TIES)

PLACES = {
    "sort": np.sort,
    "sort 0": lambda x: np.sort(x, axis=0),
    "sort all": lambda x: np.sort(x, axis=None),
    "argsort": lambda x: np.argsort(x, axis=1, kind="stable"),
    "argmax": np.argmax,
    "argmax axis": lambda x: np.argmax(x, axis=1),
    "argmin keepdims": lambda x: np.argmin(x, axis=-1, keepdims=True),
    "argmin all": lambda x: np.argmin(x, keepdims=True),
    "sorted truth": lambda x: np.sort(x > 0, axis=1),
}


@pytest.mark.parametrize("x", [X, TIES, HOLES], ids=["distinct", "ties", "nan"])
@pytest.mark.parametrize("name", PLACES)
def test_places(name, x):
    same_value(PLACES[name], x, ulp=0)
    same_value(PLACES[name], x.astype(np.float32), ulp=0)


METHODS = ("linear", "lower", "higher", "nearest", "midpoint", "median_unbiased",
           "hazen", "weibull", "inverted_cdf")  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_quantile_methods(method):
    for q in (0, 0.1, 0.37, 0.5, 1):
        same_value(
            lambda x, q=q: np.quantile(x, q, axis=1, method=method), X + 4, ulp=8
        )


def test_quantiles_over_axes():
    same_value(np.median, HOLES)
    for axis in (None, 0, -1, (0, 2)):
        same_value(lambda x, a=axis: np.median(x, axis=a, keepdims=True), X + 4)
    same_value(lambda x: np.quantile(x, [[0.2, 0.5], [0.9, 1]], axis=1), X + 4)
    same_value(lambda x: np.percentile(x, 30, axis=(0, 1), keepdims=True), X + 4)
    same_value(lambda x: np.median(x, axis=1), X.astype(np.float32) + 4)
    same_value(np.median, np.arange(6))
    for shape, axis in (((0,), None), ((0, 3), 0), ((0, 3), 1), ((2, 0, 3), (0, 1))):
        same_value(lambda x, a=axis: np.median(x, axis=a), np.zeros(shape))


def test_sorting_is_a_permutation():
    for x in (X[0], TIES[0]):
        (j,) = one_jacobian(lambda a: np.sort(a, axis=0), x)
        order = np.argsort(x, axis=0, kind="stable")
        want = np.zeros(j.shape)
        for i, k in np.ndindex(x.shape):
            want[i, k, order[i, k], k] = 1
        np.testing.assert_array_equal(j, want)


def test_homogeneous():
    homogeneous(lambda x: np.median(x, axis=1), X, 1)
    homogeneous(lambda x: np.quantile(x, 0.3, axis=1), X, 1)


def test_refusals_name_the_remedy():
    with pytest.raises(UnsupportedError, match="plain number"):
        traced(lambda x, q: np.quantile(x, q), X, 0.5)
    with pytest.raises(ValueError):
        traced(lambda x: np.quantile(x, 1.5), X)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([-1.0, -0.0, 0.0, 2.0, NAN, np.inf]), max_size=7))
def test_any_sort(items):
    x = np.array(items, float)
    np.testing.assert_array_equal(value(np.sort, x), np.sort(x, kind="stable"))
    got = value(lambda a: np.argsort(a), x)
    np.testing.assert_array_equal(got, np.argsort(x, kind="stable"))
