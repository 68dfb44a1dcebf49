"""root and fixed_point: what converges, how fast, and what is NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitad
from jitad import tree

MODES = ("forward", "reverse", "cross")
BACKENDS = ("cpu", "numpy")


def close(got: Any, wanted: Any, rtol: float = 1e-13) -> None:
    for a, b in zip(tree.flatten(got)[0], tree.flatten(wanted)[0], strict=True):
        scale = np.max(np.abs(b), initial=0.0)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale)


@pytest.mark.parametrize(
    ("f", "x0", "x"),
    [
        (np.arctan, 100.0, 0.0),
        (np.log, 10.0, 1.0),
        (np.sin, 0.5, 0.0),
        (lambda x: 1e200 * (x - 3) * (x + 4), 1.0, 3.0),
        (lambda x: 1e-200 * (x - 3) * (x + 4), 1.0, 3.0),
        (lambda x: 1e-30 - x * x, 3e-15, 1e-15),
        (lambda x: x * x - 2, 1e12, np.sqrt(2)),
        (lambda x: x * x * x - 8e-30, 1.0, 2e-10),
        (lambda x: np.exp(x) - np.cos(x), 1.0, 0.0),
        (lambda x: np.cos(x) - 1 + x, 1.0, 0.0),
        (lambda x: np.sin(x + np.pi), 0.5, 0.0),
    ],
)
def test_roots_that_need_shorter_steps_or_other_scales(f, x0, x):
    got, ok = jitad.jit(lambda x0: jitad.root(f, x0, max_steps=99, status=True))(x0)
    assert ok
    # Of f the last examples have rounding errors of 1e-16 at x = 0.
    np.testing.assert_allclose(got, x, rtol=1e-14, atol=0.0 if x else 1e-15)


def test_a_fixed_point_at_zero_has_a_scale_of_its_own():
    def solved(x0: float, scale: float) -> Any:
        def f(x: Any) -> Any:
            return np.cos(x) - 1 + x / 2

        return jitad.fixed_point(f, x0, scale=scale, status=True)

    x, ok = solved(1.0, 1.0)
    assert ok and abs(x) < 1e-11
    # A large first iterate makes no large error acceptable.
    f = jitad.jit(lambda x0: jitad.fixed_point(lambda x: (x + 2 / x) / 2, x0))
    close(f(1e12), np.sqrt(2), 1e-11)


FAILURES: dict[str, tuple[Callable[[Any], Any], float, dict[str, Any]]] = {
    "no root": (lambda x: x * x + 1, 1.3, {}),
    "singular at the start": (lambda x: x * x - 1, 0.0, {}),
    "constant": (lambda x: 0 * x + 1, 1.0, {}),
    "double root": (lambda x: (x - 1) ** 2, 3.0, {}),
    "fivefold root": (lambda x: (x - 1) ** 5, 3.0, {}),
    "singular at the root": (lambda x: x * x, 0.0, {}),
    "too few steps": (lambda x: x * x - 2, 1.0, {"max_steps": 2}),
    "linear, too few steps": (lambda x: x - 2, 1.0, {"max_steps": 1}),
    "outside the domain": (lambda x: np.log(x) + 5, -1.0, {}),
    "infinite slope": (np.cbrt, 1.0, {}),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", FAILURES)
def test_what_does_not_converge_is_nan_and_says_so(name, backend):
    f, x0, options = FAILURES[name]

    def solved(a: Any) -> Any:
        return jitad.root(lambda x: f(x) + (a - 1), x0, status=True, **options)

    x, ok = jitad.jit(solved, backend=backend)(1.0)
    assert np.isnan(x) and not ok
    for mode in MODES:
        value = jitad.jacobian(lambda a: solved(a)[0], mode=mode, backend=backend)
        assert np.isnan(value(1.0))
    assert np.isnan(solved(1.0)[0])


@pytest.mark.parametrize("mode", MODES)
def test_iterations_that_diverge(mode):
    def shifted(a: Any) -> Any:
        return jitad.fixed_point(lambda x: x + a, 1.0, status=True)

    x, ok = jitad.jit(shifted)(1.0)
    assert np.isnan(x) and not ok
    assert np.isnan(jitad.jacobian(lambda a: shifted(a)[0], mode=mode)(1.0))

    def short(a: Any) -> Any:
        return jitad.fixed_point(lambda x: np.cos(a * x), 1.0, max_steps=3)

    assert np.isnan(jitad.jit(short)(1.0))
    assert np.isnan(jitad.jacobian(short, mode=mode)(1.0))


def test_a_larger_tolerance_accepts_more():
    def f(tol: float | None) -> Any:
        return jitad.root(lambda x: x * x - 2, 1.0, max_steps=4, tol=tol, status=True)

    assert not f(None)[1]
    x, ok = f(1e-2)
    assert ok
    close(x, np.sqrt(2), 1e-4)


# -- acceleration --------------------------------------------------------------


def rotation(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    matrix = rng.normal(size=(n, n))
    return 0.97 * matrix / np.abs(np.linalg.eigvals(matrix)).max(), rng.normal(size=n)


@pytest.mark.parametrize("n", [2, 4, 7])
def test_linear_iterations_end_after_as_many_steps_as_unknowns(n):
    """As those of GMRES do (Walker and Ni 2011, theorem 2.2)."""
    matrix, b = rotation(n)

    def f(b: Any, **options: Any) -> Any:
        options |= {"status": True, "tol": 1e-9}
        return jitad.fixed_point(lambda x: matrix @ x + b, np.zeros(n), **options)

    x, ok = jitad.jit(lambda b: f(b, memory=n, max_steps=n + 3))(b)
    assert ok
    close(x, np.linalg.solve(np.eye(n) - matrix, b), 1e-8)
    assert not jitad.jit(lambda b: f(b, memory=0, max_steps=100))(b)[1]
    slow, ok = jitad.jit(lambda b: f(b, memory=0, max_steps=2000))(b)
    assert ok
    close(slow, x, 1e-6)
    J = jitad.jacobian(lambda b: f(b, memory=n, max_steps=n + 3)[0])(b)
    close(J, np.linalg.inv(np.eye(n) - matrix), 1e-12)


def test_where_acceleration_fails_the_plain_iteration_goes_on():
    """From afar a line through two values leads out of the domain."""

    def f(x: Any) -> Any:
        return np.where(x > 0.5, x - np.arctan(x - 1), np.nan)

    x, ok = jitad.fixed_point(f, 40.0, status=True)
    assert ok
    close(x, 1.0, 1e-11)
    # Every other step was in vain; the others are no longer than π/2.
    assert not jitad.fixed_point(f, 40.0, max_steps=40, status=True)[1]


def test_a_repelling_fixed_point_is_found():
    f = jitad.jit(lambda a: jitad.fixed_point(lambda x: a - x * x, 1.0))
    close(f(4.0), (np.sqrt(17) - 1) / 2, 1e-11)
