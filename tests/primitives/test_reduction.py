"""Reductions, moments and norms against NumPy and their laws."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitad.errors import UnsupportedError
from tests.support.engine import jacobian, traced, value
from tests.support.laws import (
    close,
    homogeneous,
    linear_in_each,
    one_jacobian,
    same_value,
)

RNG = np.random.default_rng(7)
X = RNG.uniform(0.5, 2.0, (2, 3, 4))
V = RNG.uniform(0.5, 2.0, 7)
W = RNG.uniform(0.5, 2.0, (2, 3, 4))
MASK = RNG.uniform(size=(2, 3, 4)) < 0.6
INF, NAN = np.inf, np.nan

AXES = (None, 0, -1, (0, 2), (2, 0), (), (0, 1, 2))
REDUCTIONS = (np.sum, np.prod, np.max, np.min, np.amax, np.amin, np.mean, np.var,
              np.std, np.any, np.all, np.count_nonzero, np.ptp)  # fmt: skip
EXACT = (np.max, np.min, np.amax, np.amin, np.any, np.all, np.count_nonzero)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("function", REDUCTIONS, ids=lambda f: f.__name__)
def test_reduction_over_axes(function, dtype):
    x = X.astype(dtype)
    for axis in AXES:
        for keepdims in (False, True):
            same_value(
                lambda a, axis=axis, keep=keepdims: function(
                    a, axis=axis, keepdims=keep
                ),
                x,
                ulp=0 if function in EXACT else 16,
            )


OPTIONS = {
    "sum initial": lambda x: np.sum(x, axis=1, initial=2.5),
    "sum where": lambda x: np.sum(x, axis=1, where=MASK),
    "sum traced where": lambda x: np.sum(x, where=x > 1),
    "sum dtype": lambda x: np.sum(x, dtype=np.float32),
    "sum of truth": lambda x: np.sum(x > 1, axis=0),
    "prod initial where": lambda x: np.prod(x, axis=0, initial=3.0, where=MASK),
    "max initial": lambda x: np.max(x, axis=0, initial=1.2),
    "max initial where": lambda x: np.max(x, axis=(0, 1), initial=0.1, where=MASK),
    "min where": lambda x: np.min(x, initial=9.0, where=x > 1, keepdims=True),
    "mean where": lambda x: np.mean(x, axis=-1, where=MASK),
    "mean traced where": lambda x: np.mean(x, where=x > 1),
    "mean dtype": lambda x: np.mean(x, dtype=np.float32),
    "var ddof": lambda x: np.var(x, axis=1, ddof=1),
    "var correction": lambda x: np.var(x, axis=1, correction=1, keepdims=True),
    "var where": lambda x: np.var(x, axis=(0, 2), where=MASK),
    "var mean": lambda x: np.var(x, axis=1, mean=np.mean(x, axis=1, keepdims=True)),
    "std ddof": lambda x: np.std(x, axis=0, ddof=1),
    "any where": lambda x: np.any(x > 1.9, axis=1, where=MASK),
    "all where": lambda x: np.all(x > 0.6, axis=1, where=MASK),
    "average": lambda x: np.average(x, axis=1),
    "average weights": lambda x: np.average(x, axis=1, weights=[1.0, 2.0, 3.0]),
    "average two axes": lambda x: np.average(x, axis=(2, 1), weights=W[0].T),
    "average full": lambda x: np.average(W, weights=x, keepdims=True),
    "average returned": lambda x: np.average(x, axis=0, weights=W, returned=True),
    "cumsum": np.cumsum,
    "cumsum axis": lambda x: np.cumsum(x, axis=1),
    "cumprod": lambda x: np.cumprod(x, axis=-1),
    "cumulative_sum": lambda x: np.cumulative_sum(x, axis=1, include_initial=True),
    "cumulative_prod": lambda x: np.cumulative_prod(x, axis=0),
    "add.reduce": lambda x: np.add.reduce(x, axis=1),
    "cov": lambda x: np.cov(x[0], ddof=0),
    "cov of two": lambda x: np.cov(x[0, 0], x[1, 1]),
    "corrcoef": lambda x: np.corrcoef(x[0]),
    "norm": np.linalg.norm,
    "norm axis": lambda x: np.linalg.norm(x, axis=1, keepdims=True),
    "norm 1": lambda x: np.linalg.norm(x, 1, axis=-1),
    "norm inf": lambda x: np.linalg.norm(x, INF, axis=0),
    "norm -inf": lambda x: np.linalg.norm(x, -INF, axis=0),
    "norm 0": lambda x: np.linalg.norm(x, 0, axis=0),
    "frobenius": lambda x: np.linalg.norm(x, "fro", axis=(0, 2)),
    "matrix norm 1": lambda x: np.linalg.norm(x, 1, axis=(0, 2)),
    "matrix norm -1": lambda x: np.linalg.norm(x, -1, axis=(2, 0), keepdims=True),
    "matrix norm inf": lambda x: np.linalg.norm(x[0], INF),
    "vector_norm": lambda x: np.linalg.vector_norm(x, axis=(0, 1), ord=1),
    "matrix_norm": lambda x: np.linalg.matrix_norm(x, keepdims=True),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", OPTIONS)
def test_options(name, dtype):
    same_value(OPTIONS[name], X.astype(dtype), ulp=32)


WITH_NAN = np.where(MASK, X, NAN)


@pytest.mark.parametrize(
    "function",
    [
        np.nansum,
        np.nanprod,
        np.nanmean,
        np.nanvar,
        np.nanstd,
        np.nanmax,
        np.nanmin,
        np.nancumsum,
        np.nancumprod,
    ],
    ids=lambda f: f.__name__,
)
def test_what_is_not_nan(function):
    running = function in (np.nancumsum, np.nancumprod)
    for axis in (None, 0, 1 if running else (0, 2)):
        same_value(lambda x, axis=axis: function(x, axis=axis), WITH_NAN, ulp=32)
    (j,) = one_jacobian(function, WITH_NAN)
    assert np.all(j[..., ~MASK] == 0) and np.all(np.isfinite(j)) and np.any(j != 0)


@pytest.mark.parametrize("function", [np.nanvar, np.nanstd])
def test_degrees_of_freedom_that_are_not_left(function):
    """NaN, where np.var has infinity; so is the derivative."""
    x = np.array([[1.0, NAN, 2.5], [NAN, NAN, 3.0], [1.0, 2.0, 4.5]])
    for axis, ddof in itertools.product((None, 0, 1), (-1, 1, 1.5, 2, 3, 6)):
        f = lambda x, a=axis, d=ddof: function(x, axis=a, ddof=d)  # noqa: E731
        same_value(f, x, ulp=32)
    same_value(lambda x: function(x, 1, correction=2, keepdims=True), x, ulp=32)
    same_value(lambda x: function(x, 0, ddof=1, where=x > 1.5), x, ulp=32)
    same_value(lambda x: function(x, 0, ddof=3), np.arange(6).reshape(2, 3))
    (j,) = one_jacobian(lambda x: function(x, axis=1, ddof=2), x)
    assert np.isnan(j[:2]).any() and np.isfinite(j[2, 2]).all()


def test_integers_and_truth_promote_as_in_numpy():
    whole = np.arange(6, dtype=np.int32).reshape(2, 3)
    for function in (*REDUCTIONS, np.cumsum, np.cumprod):
        if function is np.std:
            continue
        same_value(lambda x, f=function: f(x, axis=0), whole)
        if function is not np.ptp:
            same_value(lambda x, f=function: f(x > 2, axis=0), whole)
    same_value(lambda x: np.std(x, axis=0), whole)


LINEAR = {
    "sum": lambda x: np.sum(x, axis=(0, 2)),
    "mean": lambda x: np.mean(x, axis=1, keepdims=True),
    "cumsum": lambda x: np.cumsum(x, axis=2),
    "average": lambda x: np.average(x, axis=1, weights=[1.0, 2.0, 3.0]),
}
DEGREES = {
    "prod": (lambda x: np.prod(x, axis=1), 3),
    "prod of seven": (lambda x: np.prod(x[0, :2]), 8),
    "cumprod": (lambda x: np.cumprod(x, axis=1)[:, 2], 3),
    "max": (lambda x: np.max(x, axis=1), 1),
    "min": (lambda x: np.min(x, axis=(0, 1)), 1),
    "ptp": (lambda x: np.ptp(x, axis=0), 1),
    "var": (lambda x: np.var(x, axis=-1, ddof=1), 2),
    "std": (lambda x: np.std(x, axis=(1, 2)), 1),
    "norm": (np.linalg.norm, 1),
    "norm 1": (lambda x: np.linalg.norm(x, 1, axis=1), 1),
    "norm inf": (lambda x: np.linalg.norm(x, INF, axis=1), 1),
    "matrix norm": (lambda x: np.linalg.norm(x, 1, axis=(1, 2)), 1),
    "cov": (lambda x: np.cov(x[0]), 2),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear(name):
    linear_in_each(LINEAR[name], X)


@pytest.mark.parametrize("name", DEGREES)
def test_homogeneous(name):
    f, degree = DEGREES[name]
    homogeneous(f, X, degree)


def test_moments_by_hand():
    (j,) = one_jacobian(np.var, V)
    np.testing.assert_allclose(j, 2 * (V - V.mean()) / V.size, rtol=1e-13)
    (j,) = one_jacobian(lambda x: np.std(x, ddof=1), V)
    want = (V - V.mean()) / (V.size - 1) / np.std(V, ddof=1)
    np.testing.assert_allclose(j, want, rtol=1e-13)
    (j,) = one_jacobian(lambda w: np.average(X[0, 0], weights=w), W[0, 0])
    want = (X[0, 0] - np.average(X[0, 0], weights=W[0, 0])) / np.sum(W[0, 0])
    np.testing.assert_allclose(j, want, rtol=1e-12)
    (j,) = one_jacobian(np.linalg.norm, V)
    np.testing.assert_allclose(j, V / np.linalg.norm(V), rtol=1e-14)


def test_nothing_to_choose_from_is_an_error():
    for function in (np.max, np.min, np.argmax):
        with pytest.raises(ValueError):
            traced(function, np.zeros(0))
    with pytest.raises(ValueError, match="initial"):
        traced(lambda x: np.max(x, where=x > 1), V)
    for shape, axis in (((0, 3), 1), ((3, 0), 1)):
        same_value(lambda x, axis=axis: np.sum(x, axis=axis), np.zeros(shape))
    same_value(lambda x: np.max(x, axis=1), np.zeros((0, 3)))


def test_sum_is_a_balanced_tree():
    x = RNG.uniform(0.5, 2.0, 1000).astype(np.float32)
    exact = np.sum(x, dtype=np.float64)
    assert abs(value(np.sum, x) - exact) <= 4 * np.spacing(np.float32(exact))


def test_refusals_name_the_remedy():
    with pytest.raises(UnsupportedError, match=r"np\.abs"):
        traced(lambda x: np.linalg.norm(x, 3), V)
    with pytest.raises(UnsupportedError, match="fro"):
        traced(lambda x: np.linalg.norm(x, 2), X[0])
    with pytest.raises(UnsupportedError, match="assign"):
        traced(lambda x: np.sum(x, 0, None, np.zeros(())), V)
    with pytest.raises(np.exceptions.AxisError):
        traced(lambda x: np.sum(x, axis=3), V)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    function=st.sampled_from([np.sum, np.max, np.mean, np.prod]),
    keepdims=st.booleans(),
    data=st.data(),
)
def test_any_axes(shape, function, keepdims, data):
    axes = st.integers(-len(shape), len(shape) - 1)
    axis = tuple(data.draw(st.lists(axes, unique_by=lambda k: k % len(shape))))
    x = np.random.default_rng(len(shape)).uniform(0.5, 2.0, shape)

    def f(a):
        return function(a, axis=axis, keepdims=keepdims)

    same_value(f, x, ulp=16)
    close(jacobian(f, x)[0], jacobian(f, x, mode="forward")[0], 1e-14)
