"""`jitad.primitive`: scalar functions of the user's own, in NumPy terms or compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit

import jitad
from jitad.errors import InputError, TracingError, UnsupportedError
from jitad.ir.primitive import registry
from tests.cases.custom import lopsided, ramp, root

BEFORE = set(registry.primitives)


FUNCTIONS = (root, ramp, lopsided)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_points(function: Any) -> None:
    reports = jitad.testing.check_primitive(function)
    assert len(reports) == len(function.points) > 0
    assert all(report.passed for report in reports)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", [1, 3, 8, 61, 1000])
def test_values_are_those_of_the_kernel(size: int, dtype: str) -> None:
    x = np.linspace(-4, 5, size).astype(dtype)
    b = (x * x + 1).astype(dtype)
    for f, args in ((root, (x,)), (lopsided, (x, b))):
        got = jitad.vmap(f)(*args)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, f(*args))
        np.testing.assert_array_equal(jitad.vmap(f, backend="numpy")(*args), got)
        alone = [f(*[a[0] for a in args]), jitad.jit(f)(*[a[0] for a in args])]
        np.testing.assert_array_equal(alone, [got[0]] * 2)
        assert np.asarray(alone[0]).dtype == dtype
    exact = [np.roots([1, 0, 1, -float(v)]) for v in x]
    want = [r[abs(r.imag) < 1e-9].real[0] for r in exact]
    tolerance = 1e-12 if dtype == "float64" else 1e-6
    np.testing.assert_allclose(root(x), want, rtol=tolerance, atol=tolerance)


def test_the_kernel_calls_the_function() -> None:
    text = str(jitad.graph(jitad.grad(root), 2.0))
    assert "cubic_root" in text


def test_derivatives_of_every_order() -> None:
    """y = r(x), r' = 1 / (3y² + 1), r'' = -6y r'³."""
    x = np.array([-2.0, 0.0, 0.5, 10.0])
    y = root(x)
    first = 1 / (3 * y * y + 1)
    second = -6 * y * first**3
    third = -6 * first**4 - 18 * y * first**2 * second
    f: Callable[..., Any] = root
    for want in (first, second, third):
        f = jitad.grad(f)
        np.testing.assert_allclose(jitad.vmap(f)(x), want, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(jitad.hvp(root)(0.5, 3.0), 3 * second[2], rtol=1e-13)


@pytest.mark.slow
def test_they_compose_and_broadcast() -> None:
    x, k = np.array([[-1.0], [0.5], [2.0]]), np.array([0.5, 1.0, 2.0, 3.0])
    assert ramp(x, k).shape == (3, 4)
    np.testing.assert_allclose(ramp(x), np.log1p(np.exp(2 * x)) / 2, rtol=1e-15)

    def f(x: Any, k: Any) -> Any:
        return np.sum(root(ramp(x, k)) * lopsided(2.0, x))

    np.testing.assert_allclose(jitad.jit(f)(x, k), f(x, k), rtol=1e-14)
    jitad.check(f, x, k)
    jitad.check(jitad.grad(f), x, k)


def test_arguments() -> None:
    assert root(2) == root(2.0) == root(np.int32(2)) == jitad.jit(root)(2) == 1.0
    assert type(root(2.0)) is np.float64
    assert type(root(np.float32(2))) is np.float32
    assert ramp(x=0.5, k=1.0) == ramp(0.5, 1.0)
    assert jitad.jit(lambda x: ramp(k=1.0, x=x))(0.5) == ramp(0.5, 1.0)
    x = np.arange(24.0).reshape(4, 6)[::2, ::-3].T
    np.testing.assert_array_equal(root(x), [[root(v) for v in row] for row in x])
    assert root(np.zeros((3, 0))).shape == (3, 0)
    assert root([0.0, 2.0]).tolist() == [0.0, 1.0]


@pytest.mark.slow
def test_what_numba_returns_is_converted() -> None:
    """A float64 of float32 arguments, an integer, a bool."""
    for name, value in {
        "wide": lambda x: np.float64(x) / 3,
        "whole": lambda x: int(x) * 2,
        "truth": lambda x: x > 1,
    }.items():
        f = jitad.primitive(name, njit(value), lambda y, x: [None])
        for dtype in (np.float64, np.float32):
            x = dtype(2.5)
            want = dtype(value(x))
            assert f(x) == jitad.jit(f)(x) == want
            assert jitad.jit(f)(x).dtype == dtype


def test_a_function_that_raises_is_nan_there() -> None:
    @njit
    def value(x: Any) -> Any:
        if x < 0:
            raise ValueError("negative")
        return x * x

    f = jitad.primitive("square_of_positive", value, lambda y, x: [2 * x])
    x = np.array([1.0, -1.0, 3.0, np.nan])
    want = [1.0, np.nan, 9.0, np.nan]
    np.testing.assert_array_equal(f(x), want)
    np.testing.assert_array_equal(jitad.vmap(f)(x), want)
    assert np.isnan(jitad.vmap(f)(x.astype(np.float32))[1])


def test_the_users_function_stays_as_it_was() -> None:
    @njit(error_model="numpy")
    def value(x: Any) -> Any:
        return 1 / x

    f = jitad.primitive("inverse", value, lambda y, x: [-y * y], points=[2.0])
    assert f(0.0) == np.inf  # by its own options
    assert value.signatures == []


def test_many_points_on_all_threads() -> None:
    x = np.linspace(-3, 3, 200_000)
    np.testing.assert_array_equal(jitad.vmap(root)(x), root(x))


def test_the_registry_is_only_read() -> None:
    assert set(registry.primitives) == BEFORE


# -- what is refused -----------------------------------------------------------


def define(*args: Any, **kwargs: Any) -> Callable[[], Any]:
    return lambda: jitad.primitive(*args, **kwargs)


ONE = [lambda y, x: [1.0]]
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a name of ours": (define("exp", np.exp, *ONE), "a primitive 'exp' already"),
    "a name of theirs": (define("ramp", np.exp, *ONE), "expected a new name"),
    "no name": (define("two words", np.exp, *ONE), "'two words'.*underscores"),
    "no partials": (define("f", lambda x: x), r"partials are None.*\[None\]"),
    "any number": (define("f", lambda *x: x, *ONE), r"parameters \(\*x\).*fixed"),
    "a point": (
        define("f", lambda x: x, *ONE, points=[(1, 2)]),
        r"a point is \(1, 2\).*1 numbers",
    ),
    "no list": (
        define("f", lambda x: x, lambda y, x: 1.0, points=[1.0]),
        "partials returned 1.0.*list of 1",
    ),
    "two of one": (
        define("f", lambda x: x, lambda y, x: [1.0, 0.0], points=[1.0]),
        "list of 1, ∂y/∂x for every argument",
    ),
    "an array": (
        define("f", lambda x: x, lambda y, x: [np.ones(2)], points=[1.0]),
        r"partial 0 of numbers has shape \(2,\)",
    ),
    "a wrong one": (
        define("f", lambda x, z: x * z * z, lambda y, x, z: [z * z, x * z],
               points=[(2.0, 3.0)]),
        r"primitive f: partial 1 is 6 at \(2.0, 3.0\), but differences.*12 ±",
    ),
    "a wrong zero": (
        define("f", lambda x: x * x, lambda y, x: [None], points=[3.0]),
        "partial 0 is 0 at",
    ),
    "a wrong compiled one": (
        define("f", njit(lambda x: x * x), lambda y, x: [x], points=[3.0]),
        "partial 0 is 3 at",
    ),
    "a sum": (
        lambda: jitad.primitive("f", lambda x: np.sum(x), *ONE)(np.ones(3)),
        r"shape \(3,\) value returned shape \(\)",
    ),
    "complex": (lambda: root(1j), "dtype complex128"),
    "no points": (
        lambda: jitad.testing.check_primitive(jitad.primitive("g", np.exp, *ONE)),
        "g has no points",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_errors_name_the_remedy(name: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("jitad.custom._taken", {"ramp"})
    call, text = REFUSED[name]
    with pytest.raises(InputError, match=text):
        call()


def test_partials_are_tested_where_they_are_used() -> None:
    f = jitad.primitive("without_points", lambda x: x, lambda y, x: [1.0, 2.0])
    with pytest.raises(InputError, match="list of 1") as caught:
        jitad.grad(f)(1.0)
    assert "test_custom.py" in str(caught.value)


def test_branches_in_numpy_terms_name_the_remedy() -> None:
    f = jitad.primitive("branching", lambda x: x if x > 0 else -x, lambda y, x: [1.0])
    with pytest.raises(TracingError, match=r"np\.where"):
        jitad.jit(f)(1.0)


def test_what_numba_cannot_compile_is_named() -> None:
    f = jitad.primitive("untyped", njit(lambda x: x.nothing), lambda y, x: [1.0])
    with pytest.raises(UnsupportedError, match="Numba cannot compile"):
        f(1.0)
    f = jitad.primitive("pair", njit(lambda x: (x, x)), lambda y, x: [1.0])
    with pytest.raises(UnsupportedError, match="expected a float"):
        jitad.jit(f)(1.0)


def test_a_refused_name_is_free_again() -> None:
    with pytest.raises(InputError, match="partial 0"):
        jitad.primitive("again", njit(lambda x: x * x), lambda y, x: [x], points=[3.0])
    f = jitad.primitive(
        "again", njit(lambda x: x * x), lambda y, x: [2 * x], points=[3.0]
    )
    assert jitad.grad(f)(3.0) == 6.0


def test_a_ufunc_is_a_value() -> None:
    f = jitad.primitive("damped", np.arctan2, lambda y, a, b: [2.0, None])
    assert f(1.0, 2.0) == np.arctan2(1.0, 2.0)
    assert jitad.grad(f, argnums=(0, 1))(1.0, 2.0) == (2.0, 0.0)


def test_wrong_numbers_of_arguments() -> None:
    with pytest.raises(TypeError, match="too many"):
        root(1.0, 2.0)
    with pytest.raises(TypeError, match="missing"):
        jitad.jit(lambda x: lopsided(x))(1.0)
