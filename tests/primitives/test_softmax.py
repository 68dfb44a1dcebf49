"""logsumexp, softmax, log_softmax: SciPy's values over every axis, and redirecting.

Edges are in `edge_cases`, other calls and functions of SciPy in `test_special`.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import numpy as np
import pytest
import scipy.special
from scipy.special import log_softmax, logsumexp, softmax

import jitad
from jitad.ir.primitive import registry

BACKENDS = ("cpu", "numpy")
FUNCTIONS = (logsumexp, softmax, log_softmax, scipy.special.polygamma)
SHAPES = [(), (1,), (5,), (2, 3), (2, 3, 4)]
nan, inf = float("nan"), float("inf")


def axes(shape: tuple[int, ...]) -> list[Any]:
    """Every axis that the functions take for an array of this shape."""
    some: list[Any] = [None, *range(-len(shape), len(shape))]
    return [*some, (0, 1), (-1, 0)] if len(shape) > 1 else some


CASES = [(s, a) for s in SHAPES for a in axes(s)]


def numbers(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape) * 3


def close(got: Any, want: Any) -> None:
    """Equal shapes and dtypes; SciPy itself has few digits where a sum is near 1."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    small = 16 * float(np.finfo(want.dtype).eps)
    np.testing.assert_allclose(got, want, rtol=small, atol=small)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["f8", "f4"])
class TestValues:
    @pytest.mark.parametrize(("shape", "axis"), CASES)
    @pytest.mark.parametrize("function", [softmax, log_softmax])
    def test_maps(
        self, function: Any, shape: Any, axis: Any, dtype: str, backend: Any
    ) -> None:
        x = numbers(shape).astype(dtype)
        got = jitad.jit(lambda x: function(x, axis=axis), backend=backend)(x)
        close(got, function(x, axis=axis))

    @pytest.mark.parametrize("keepdims", [False, True])
    @pytest.mark.parametrize(("shape", "axis"), CASES)
    def test_sums(
        self, shape: Any, axis: Any, keepdims: bool, dtype: str, backend: Any
    ) -> None:
        x, b = numbers(shape).astype(dtype), numbers(shape, 1).astype(dtype)

        def f(x: Any, b: Any) -> Any:
            return (
                logsumexp(x, axis, keepdims=keepdims),
                logsumexp(x, axis, np.abs(b), keepdims),
                *logsumexp(x, axis, b, keepdims=keepdims, return_sign=True),
            )

        for got, want in zip(jitad.jit(f, backend=backend)(x, b), f(x, b), strict=True):
            close(got, want)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "x",
    [
        [1000.0, 0.0],
        [-1000.0, -1001.0],
        [inf, 0.0],
        [-inf, 0.0],
        [-inf, -inf],
        [inf, inf],
        [nan, 0.0],
        [0.0, -0.0],
        [709.0, 709.5],
    ],
)
def test_values_at_the_edges(x: list[float], backend: Any) -> None:
    for function in (logsumexp, softmax, log_softmax):
        got = jitad.jit(function, backend=backend)(np.array(x))
        with np.errstate(all="ignore"):
            close(got, function(np.array(x)))


def test_weights_broadcast_and_may_be_negative_or_constant() -> None:
    x = numbers((2, 3))
    for b in (np.array([1.0, 2.0, 0.5]), np.array([[1.0], [3.0]]), 2.0):
        close(jitad.jit(lambda x, b=b: logsumexp(x, b=b))(x), logsumexp(x, b=b))
        got = jitad.jit(lambda b, x=x: logsumexp(x, b=b))(b)
        close(got, logsumexp(x, b=b))
    assert np.isnan(jitad.jit(lambda x: logsumexp(x, b=[-1.0, -2.0, -1.0]))(x[0]))


def test_integers_lists_and_numbers() -> None:
    close(jitad.jit(logsumexp)(np.arange(3)), logsumexp(np.arange(3)))
    close(jitad.jit(softmax)(np.arange(3)), softmax(np.arange(3)))
    close(
        jitad.jit(lambda t: logsumexp([t, 2 * t, 1.0]))(0.3), logsumexp([0.3, 0.6, 1])
    )
    close(jitad.jit(lambda t: softmax([t, 1.0]))(0.3), softmax([0.3, 1.0]))
    close(jitad.grad(lambda t: logsumexp([t, 2 * t]))(0.0), np.float64(1.5))


# -- derivatives ---------------------------------------------------------------


@pytest.mark.parametrize("mode", ["forward", "reverse", "cross"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_laws_of_the_derivatives(mode: Any, backend: Any) -> None:
    """∇ logsumexp = softmax; its Hessian and softmax's Jacobian are diag p - p pᵀ."""
    x = numbers((4,))
    p = softmax(x)
    expected = np.diag(p) - np.outer(p, p)

    def jacobian(function: Any) -> Any:
        return jitad.jacobian(function, mode=mode, backend=backend)(x)

    close(jacobian(logsumexp), p)
    close(jacobian(softmax), expected)
    close(jacobian(log_softmax), np.eye(4) - p)
    close(jitad.hessian(logsumexp, mode=mode, backend=backend)(x), expected)
    b = np.array([1.0, 2.0, 0.5, 3.0])
    close(jacobian(lambda x: logsumexp(x, b=b)), b * np.exp(x) / np.sum(b * np.exp(x)))
    by_weight = jitad.grad(lambda b: logsumexp(x, b=b), backend=backend)(b)
    close(by_weight, np.exp(x) / np.sum(b * np.exp(x)))


def test_batches_of_rows() -> None:
    x = numbers((50, 6))
    close(jitad.vmap(logsumexp)(x), logsumexp(x, axis=1))
    close(jitad.vmap(jitad.grad(logsumexp))(x), softmax(x, axis=1))


def test_our_own_names_are_the_same_functions() -> None:
    x = numbers((3, 4))
    for ours, theirs in (
        (jitad.logsumexp, logsumexp),
        (jitad.softmax, softmax),
        (jitad.log_softmax, log_softmax),
    ):
        np.testing.assert_array_equal(ours(x, axis=0), theirs(x, axis=0))
        mine = jitad.jit(lambda x, ours=ours: ours(x, axis=0))(x)
        other = jitad.jit(lambda x, theirs=theirs: theirs(x, axis=0))(x)
        np.testing.assert_array_equal(mine, other)
        assert list(inspect.signature(ours).parameters) == list(
            inspect.signature(theirs).parameters
        )


# -- SciPy's functions ---------------------------------------------------------


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Whatever a test does, every function has its own code again."""
    before = [(f, f.__code__, inspect.signature(f)) for f in FUNCTIONS]
    yield
    for function, code, signature in before:
        assert function.__code__ is code
        assert inspect.signature(function) == signature


def test_two_threads_trace_at_once() -> None:
    """The trace that ends first leaves the redirects to the other one."""
    x = numbers((4,))
    both, first_done = threading.Barrier(2), threading.Event()
    found: dict[str, Any] = {}

    def run(name: str) -> None:
        def f(t: Any) -> Any:
            both.wait(30)
            if name == "second":
                assert first_done.wait(30)
            return logsumexp(t)

        found[name] = jitad.jit(f)(x)
        if name == "first":
            first_done.set()

    threads = [threading.Thread(target=run, args=(n,)) for n in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    close(found["first"], logsumexp(x))
    close(found["second"], logsumexp(x))


def _wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """As some versions of SciPy wrap functions, with captured variables."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def test_functions_with_captured_variables_are_redirected_too() -> None:
    wrapper: Any = _wrapped(logsumexp)
    registry.redirects[wrapper] = jitad.logsumexp
    try:
        x, code = numbers((3,)), wrapper.__code__
        close(jitad.jit(wrapper)(x), logsumexp(x))
        assert wrapper.__code__ is code
        assert wrapper(x) == logsumexp(x)
    finally:
        del registry.redirects[wrapper]
