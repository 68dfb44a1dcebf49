"""The one-point call in machine code: same results, and away from it when it must."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.backends.cpu import fastcall


def f(x: Any, a: Any) -> Any:
    return a * x * np.stack([x[1], x[0]]), np.sin(x[0]) * a


def warmed(*args: Any) -> Any:
    """A compiled f that has been called until it has its fast call."""
    function = jitad.jit(f)
    for _ in range(5):
        function(*args)
    assert function._fast is not None
    return function


X = np.array([0.3, 0.7])


def test_this_interpreter_is_supported() -> None:
    assert fastcall.supported()


@pytest.mark.parametrize("a", [2.0, np.float64(2.0), np.float32(2.0), np.array(2.0)])
@pytest.mark.parametrize("x", [X, X.astype(np.float32), np.repeat(X, 2)[::2]])
def test_results_and_types_equal_the_general_call(x: Any, a: Any) -> None:
    fast, general = warmed(x, a)(x, a), jitad.jit(f)(x, a)
    for got, expected in zip(fast, general, strict=True):
        assert type(got) is type(expected)
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "other",
    [
        (np.array([0.1, 0.2], np.float32), 2.0),
        (np.array([0.1, 9.0, 0.2])[::2], 2.0),
        (np.array([0.1, 0.2]).astype(">f8"), 2.0),
        (np.array([0.1, 0.2]), 3),
        (np.array([0.1, 0.2]), np.array(3.0)),
    ],
)
def test_other_arguments_take_the_general_road(other: Any) -> None:
    function = warmed(X, 2.0)
    for got, expected in zip(function(*other), f(*other), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_wrong_arguments_get_the_same_errors() -> None:
    function = warmed(X, 2.0)
    with pytest.raises(jitad.InputError, match="complex"):
        function(X.astype(complex), 2.0)
    with pytest.raises(TypeError):
        function(X)


def test_results_are_new_arrays_each_time_and_nothing_leaks() -> None:
    function = warmed(X, 2.0)
    first, second = function(X, 2.0)[0], function(X, 2.0)[0]
    assert first is not second
    assert not np.shares_memory(first, second)
    assert sys.getrefcount(first) == 2
    before = sys.getrefcount(X)
    for _ in range(100):
        function(X, 2.0)
    assert sys.getrefcount(X) == before


def test_it_works_inside_a_trace() -> None:
    function = warmed(X, 2.0)
    found = jitad.jacobian(lambda x: function(x, 2.0)[0])(X)
    np.testing.assert_allclose(found, 2 * np.array([[0.7, 0.3], [0.7, 0.3]]))
