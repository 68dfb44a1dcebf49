"""Differences, slopes, areas, convolutions and polynomials."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.polynomial import (
    chebyshev,
    hermite,
    hermite_e,
    laguerre,
    legendre,
    polynomial,
)

from tests.support.engine import traced
from tests.support.laws import linear_in_each, one_jacobian, same_value

RNG = np.random.default_rng(13)
X = RNG.uniform(0.5, 2.0, (3, 5))
V = RNG.uniform(0.5, 2.0, 6)
AT = np.array([0.0, 0.3, 0.7, 1.5, 2.0])

LINEAR = {
    "diff": np.diff,
    "diff 0": lambda x: np.diff(x, 0),
    "diff 2": lambda x: np.diff(x, 2, axis=0),
    "diff prepend": lambda x: np.diff(x, axis=1, prepend=x[:, :1], append=x),
    "ediff1d": np.ediff1d,
    "trapezoid": np.trapezoid,
    "trapezoid at": lambda x: np.trapezoid(x, AT),
    "trapezoid along": lambda x: np.trapezoid(x, dx=0.5, axis=0),
    "gradient": lambda x: np.gradient(x, axis=1),
    "gradient step": lambda x: np.gradient(x, 0.25, axis=0, edge_order=2),
    "gradient at": lambda x: np.gradient(x, AT, axis=1),
    "gradient at, parabolas": lambda x: np.gradient(x, AT, axis=1, edge_order=2),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear(name):
    f = LINEAR[name]
    same_value(f, X, ulp=200)
    linear_in_each(f, X)
    if " at" not in name:
        same_value(f, X.astype(np.float32), ulp=200)


def test_other_forms():
    same_value(lambda x: np.diff(x, prepend=0.0, append=1.0), X, ulp=64)
    same_value(lambda x: np.ediff1d(x, to_begin=0.5, to_end=x[:2, 0]), X, ulp=64)
    same_value(np.diff, np.arange(5) ** 2)
    same_value(np.diff, X > 1)
    for got in (np.gradient, lambda x: np.gradient(x, 2.0, AT)):
        same_value(got, X, ulp=200)
    same_value(lambda x, h: np.gradient(x, h), V, 0.5, ulp=200)
    same_value(lambda x, t: np.trapezoid(x, t), X[0], AT, ulp=64)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_convolution(mode):
    for n in range(1, 6):
        for m in range(1, 6):
            a, b = V[:n], V[-m:]
            same_value(lambda x, y: np.convolve(x, y, mode), a, b, ulp=16)
            same_value(lambda x, y: np.correlate(x, y, mode), a, b, ulp=16)
    linear_in_each(lambda x, y: np.convolve(x, y, mode), V[:4], V[3:])
    linear_in_each(lambda x, y: np.correlate(x, y, mode), V[:2], V)
    same_value(lambda x: np.convolve(x, [1, 2], mode), V.astype(np.float32), ulp=16)


def test_polynomials():
    for f in (np.polyval, lambda p, x: np.polyval(list(p), x)):
        same_value(f, V, X, ulp=64)
    same_value(lambda x: np.polyval([2, 0, 1], x), X, ulp=16)
    same_value(lambda x: np.polyval([2.0], x), X)
    with np.errstate(invalid="ignore"):
        for p in ([2.0], [2.0, 0.0, 1.0]):
            same_value(lambda x, p=p: np.polyval(p, x), [np.inf, -np.inf, np.nan])
    same_value(np.polyder, V)
    same_value(np.polymul, V, V[:2], ulp=16)
    for f in (np.polyadd, np.polysub):
        same_value(f, V, V[:2])
        same_value(lambda x, f=f: f([1.0, 2.0], x), V)
    same_value(lambda p: np.polyint(p, 2, [1.0, 2.0]), V)
    for options in ({}, {"N": 3}, {"increasing": True}, {"N": 0}):
        same_value(lambda x, o=options: np.vander(x, **o), V)
    x = X[0]
    by_p, by_x = one_jacobian(np.polyval, V, x)
    np.testing.assert_allclose(by_p, x[:, None] ** np.arange(5, -1, -1), rtol=1e-13)
    np.testing.assert_allclose(np.diag(by_x), np.polyval(np.polyder(V), x), rtol=1e-13)


def test_mistakes_are_named():
    for f, words in [
        (lambda x: np.convolve(x, V), "sequences"),
        (lambda x: np.diff(x, -1), "order"),
        (lambda x: np.gradient(x[:1], axis=0), "needs 2 samples"),
    ]:
        with pytest.raises(ValueError, match=words):
            traced(f, X)


@pytest.mark.parametrize(
    ("shape", "places", "axis"),
    [((5, 4), (3, 5, 4), -2), ((4,), (5, 4), -1), ((3, 5, 4), (5, 4), -1),
     ((3, 5, 4), (5, 1), -2), ((5, 4), (4,), 1), ((5, 4), (5, 4), 0)],
)  # fmt: skip
def test_areas_at_places_of_another_number_of_axes(shape, places, axis):
    y, x = RNG.normal(size=shape), RNG.normal(size=places)
    f = lambda y, x: np.trapezoid(y, x, axis=axis)  # noqa: E731
    same_value(f, y, x, ulp=1e4)
    linear_in_each(f, y, x)


SERIES = (
    polynomial.polyval, chebyshev.chebval, hermite.hermval, hermite_e.hermeval,
    laguerre.lagval, legendre.legval,
)  # fmt: skip


@pytest.mark.parametrize("function", SERIES, ids=lambda f: f.__name__)
def test_series_with_columns_of_coefficients(function):
    """Every column at every x, or with tensor=False column by column."""
    for columns in ((), (2,), (2, 3)):
        c = RNG.uniform(0.5, 2.0, (4, *columns))
        for x in (0.7, V[:3], V.reshape(2, 3)):
            same_value(function, x, c, ulp=1e3)
            same_value(lambda x, c=c: function(x, c), x, ulp=1e3)
            same_value(lambda c, x=x: function(x, c), c, ulp=1e3)
    f = lambda x, c: function(x, c, tensor=False)  # noqa: E731
    same_value(f, V[:2], RNG.normal(size=(4, 2)), ulp=1e5)
    same_value(function, np.array([1, 2], np.int8), np.array([[1, 2], [3, 4]]))
    by_x, by_c = one_jacobian(function, V[:3], np.ones((3, 2)))
    assert by_x.shape == (2, 3, 3) and by_c.shape == (2, 3, 3, 2)
