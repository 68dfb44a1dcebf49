"""root and fixed_point: values and derivatives in all modes; errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import jitad
from jitad import tree
from jitad.ir.loop import LOOP
from jitad.transforms.rewrite.expand import expand
from tests.cases.implicit import (
    SQUARE_ROOTS,
    SYSTEMS,
    A,
    accelerated,
    babylonian,
    contraction,
    kepler,
    kepler_iterated,
    square_root,
    sum_and_product,
)

MODES = ("forward", "reverse", "cross")
BACKENDS = ("cpu", "numpy")


def close(got: Any, wanted: Any, rtol: float = 1e-13) -> None:
    for a, b in zip(tree.flatten(got)[0], tree.flatten(wanted)[0], strict=True):
        scale = np.max(np.abs(b), initial=0.0)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale)


# -- closed forms --------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SQUARE_ROOTS)
def test_square_roots_to_the_third_derivative(name, mode, backend):
    f: Any = SQUARE_ROOTS[name]
    factor, power = 1.0, 0.5
    for _ in range(4):
        got = jitad.vmap(f, backend=backend)(A)
        close(got / (factor * A**power), np.ones(len(A)), 1e-11)
        f = jitad.jacobian(f, mode=mode)
        factor, power = factor * power, power - 1


@pytest.mark.slow
@pytest.mark.parametrize("name", SQUARE_ROOTS)
def test_every_way_agrees(name):
    jitad.check(SQUARE_ROOTS[name], 2.7)
    jitad.check(jitad.grad(SQUARE_ROOTS[name]), 2.7)


def bisected(e: np.ndarray, m: np.ndarray) -> np.ndarray:
    """Kepler's equation E - e sin E = M, by halving an interval."""
    low, high = m - 1, m + 1
    for _ in range(60):
        middle = (low + high) / 2
        below = middle - e * np.sin(middle) < m
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("f", [kepler, kepler_iterated])
def test_the_equation_of_kepler(f, mode):
    """∂E/∂M = 1 / (1 - e cos E), ∂E/∂e = sin E / (1 - e cos E)."""
    grid = np.meshgrid(np.linspace(0, 0.95, 9), np.linspace(-3, 6, 11))
    e, m = (x.ravel() for x in grid)
    wanted = bisected(e, m)
    close(jitad.vmap(f)(e, m), wanted, 1e-10)
    d_e, d_m = jitad.vmap(jitad.jacobian(f, (0, 1), mode=mode))(e, m)
    slope = 1 - e * np.cos(wanted)
    close(d_m, 1 / slope, 1e-9)
    close(d_e, np.sin(wanted) / slope, 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SYSTEMS)
def test_systems_have_the_derivatives_of_their_solutions(name, mode, backend):
    f, g, points = SYSTEMS[name]
    points = np.array(points)
    close(jitad.vmap(f, backend=backend)(points), jitad.vmap(g)(points))
    first = jitad.vmap(jitad.jacobian(f, mode=mode), backend=backend)
    close(first(points), jitad.vmap(jitad.jacobian(g))(points), 1e-12)
    second = jitad.vmap(jitad.hessian(f, mode=mode), backend=backend)
    close(second(points), jitad.vmap(jitad.hessian(g))(points), 1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_systems_agree_in_every_way(name):
    f, _, points = SYSTEMS[name]
    jitad.check(f, np.array(points[0]))


# -- the iteration does not matter ---------------------------------------------


def unrolled_newton(p: Any) -> Any:
    """The system of two by eight plain steps of Newton's method."""
    x, y = p[0] * 0, p[0] * 0 + 1
    for _ in range(8):
        f, g = x + y - p[0], x * y - p[1]
        x, y = x - (x * f - g) / (x - y), y - (g - y * f) / (x - y)
    return np.stack([x, y])


def plain_iteration(p: Any) -> Any:
    return jitad.fori_loop(0, 150, lambda _, x: contraction(p, x), np.zeros(3))


ITERATIONS = {
    "root": (sum_and_product, unrolled_newton, [3.0, 1.0]),
    "fixed_point": (accelerated, plain_iteration, [0.3, -0.2, 0.5]),
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ITERATIONS)
def test_derivatives_are_those_of_the_converged_iteration(name, mode):
    f, g, p = ITERATIONS[name]
    p = np.array(p)
    close(jitad.jit(f)(p), jitad.jit(g)(p), 1e-12)
    forward = jitad.jacobian(g, mode="forward")
    close(jitad.jacobian(f, mode=mode)(p), forward(p), 1e-11)
    twice = jitad.jacobian(forward, mode="forward")
    close(jitad.hessian(f, mode=mode)(p), twice(p), 1e-10)


@pytest.mark.parametrize("solve", [jitad.root, jitad.fixed_point])
def test_where_it_begins_has_no_derivative(solve):
    def f(x: Any) -> Any:
        return (x * x + 2) / (2 * x) - (x if solve is jitad.root else 0)

    def g(x0: Any) -> Any:
        return solve(f, x0)

    for mode in MODES:
        for x0 in (0.4, 1.0, 30.0):
            assert jitad.jacobian(g, mode=mode)(x0) == 0
    close(jitad.vmap(g)(np.array([0.4, 1.0, 30.0])), np.full(3, np.sqrt(2)))


@pytest.mark.parametrize("mode", MODES)
def test_it_is_solved_once(mode):
    """The value and the rule, of second order, too, use one and the same solution."""

    def loops(function: Any) -> int:
        function.prepare(2.0)
        (derived,) = function._derived.values()
        return sum(n.primitive is LOOP for n in expand(derived.graph).nodes)

    f = square_root
    assert loops(jitad.jit(f)) == 1
    first = jitad.jacobian(f, mode=mode)
    assert loops(first) == loops(jitad.jacobian(first, mode=mode)) == 1
    assert loops(jitad.value_and_grad(lambda a: f(a) + f(a) * a)) == 1


# -- batches -------------------------------------------------------------------

LANES = np.concatenate([np.linspace(1e-3, 9, 37), [1e9, -2.0, 1e-12, np.nan]])


@pytest.mark.parametrize("solve", SQUARE_ROOTS.values(), ids=SQUARE_ROOTS)
def test_every_lane_is_what_it_is_alone(solve):
    alone, batch = jitad.value_and_grad(solve), jitad.vmap(jitad.value_and_grad(solve))
    wanted = np.array([alone(a) for a in LANES])
    np.testing.assert_array_equal(np.stack(batch(LANES), axis=1), wanted)
    assert np.isnan(wanted[[-3, -1]]).all() and np.isfinite(wanted[:-4]).all()


@pytest.mark.slow
@pytest.mark.parametrize("solve", [jitad.root, jitad.fixed_point])
def test_lanes_take_their_own_numbers_of_steps(solve):
    def f(a: Any, steps: int) -> Any:
        def heron(x: Any) -> Any:
            return (x + a / x) / 2

        def equation(x: Any) -> Any:
            return x * x - a

        g = equation if solve is jitad.root else heron
        return solve(g, 1.0, status=True, max_steps=steps)

    found = []
    for steps in (*range(1, 9), 12, 18, 29):
        limited = jitad.jit(lambda a, n=steps: f(a, n))
        x, ok = jitad.vmap(limited)(A)
        assert (np.isnan(x) == ~ok).all()
        alone = [limited(a)[1] for a in A]
        np.testing.assert_array_equal(ok, alone)
        found.append(int(ok.sum()))
    assert found == sorted(found) and len(set(found)) >= 3 and found[-1] == len(A)


@pytest.mark.slow
def test_in_a_batch_inside_a_trace():
    def loss(points: Any) -> Any:
        return np.sum(jitad.vmap(square_root)(points) ** 3)

    for mode in MODES:
        close(jitad.jacobian(loss, mode=mode)(A), 1.5 * np.sqrt(A))
    inner = jitad.jit(lambda p: jitad.vmap(jitad.grad(square_root))(p) * p)
    close(inner(A), 0.5 * np.sqrt(A))


# -- inside other things -------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("solve", [jitad.root, jitad.fixed_point])
def test_implicit_steps_in_a_scan(solve, mode):
    """Backward Euler steps of ẏ = -k y: y₀ (1 + h k)⁻ⁿ after n of them."""
    h, n = 0.1, 7

    def last(k: Any, y0: Any) -> Any:
        def step(y: Any, _: Any) -> Any:
            def f(z: Any) -> Any:
                return y - h * k * z - (z if solve is jitad.root else 0)

            y = solve(f, y)
            return y, y

        return jitad.scan(step, y0, length=n)[0]

    k, y0 = np.array([0.5, 2.0, 6.0]), np.array([1.0, -3.0, 0.2])
    d_k, d_y = jitad.vmap(jitad.jacobian(last, (0, 1), mode=mode))(k, y0)
    close(jitad.vmap(last)(k, y0), y0 * (1 + h * k) ** -n)
    close(d_k, -n * h * y0 * (1 + h * k) ** (-n - 1), 1e-12)
    close(d_y, (1 + h * k) ** -n, 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_root_inside_a_root(mode):
    """√x = √√a, as a root of a root: x = √a."""

    def nested(a: Any) -> Any:
        return jitad.root(lambda x: square_root(x) - square_root(square_root(a)), 1.0)

    close(jitad.vmap(nested)(A), np.sqrt(A), 1e-12)
    close(jitad.vmap(jitad.jacobian(nested, mode=mode))(A), 0.5 / np.sqrt(A), 1e-12)


def test_branches_before_inside_and_after():
    def f(a: Any) -> Any:
        b = a if a > 1 else 1 / a
        x = jitad.root(lambda x: x**3 - b if x > 0.5 else x - b, 1.0)
        if x > 1.5:
            return x
        return jitad.root(lambda y: y * y - x, 1.0)

    cube = np.cbrt(np.maximum(A, 1 / A))
    close(jitad.vmap(f)(A), np.where(cube > 1.5, cube, np.sqrt(cube)))
    power = np.where(A < 1, -1, 1) / np.where(cube > 1.5, 3, 6)
    wanted = np.where(cube > 1.5, cube, np.sqrt(cube)) * power / A
    smooth = A != 1
    close(jitad.vmap(jitad.grad(f))(A)[smooth], wanted[smooth])


def test_integers_may_be_captured():
    def f(a: Any, n: Any) -> Any:
        return jitad.root(lambda x: x**n - a, 1.0)

    n = np.array([2, 3, 5, 2, 3])
    close(jitad.vmap(f)(A, n), A ** (1 / n))
    close(jitad.vmap(jitad.grad(f))(A, n), A ** (1 / n - 1) / n)


def test_nothing_may_be_captured():
    for mode in MODES:
        J = jitad.jacobian(lambda a: a * jitad.root(np.cos, 1.0), mode=mode)
        close(J(2.0), np.pi / 2)


# -- structure and precision ---------------------------------------------------


@dataclass(frozen=True)
class State:
    where: Any
    speed: Any


def collision(v: Any, ratio: Any) -> Any:
    """Speeds after an elastic collision, from momentum and energy."""

    def f(s: Any) -> Any:
        u, w = s["after"].where, s["after"].speed
        momentum = u + ratio * w[0] - v
        energy = u * u + ratio * w[0] ** 2 - v * v
        return {"after": State(momentum, np.reshape(energy, (1,)))}

    start = {"after": State(-1.0, np.array([1.5]))}
    return jitad.root(f, start)


def test_any_containers():
    got = jitad.jit(collision)(2.0, 3.0)
    close(got, {"after": State(-1.0, np.array([1.0]))})
    assert isinstance(got["after"], State)
    slope = jitad.jacobian(collision)(2.0, 3.0)["after"]
    close((slope.where, slope.speed), (-0.5, np.array([0.5])))
    close(collision(2.0, 3.0), got)


@pytest.mark.parametrize("name", SQUARE_ROOTS)
def test_single_precision(name):
    f, a = SQUARE_ROOTS[name], A.astype(np.float32)
    y, slope = jitad.vmap(jitad.value_and_grad(f))(a)
    assert y.dtype == slope.dtype == np.float32
    close((y, slope), (np.sqrt(A), 0.5 / np.sqrt(A)), 1e-6)
    x0 = np.float32(1)
    assert jitad.root(lambda x: x * x - np.float32(2), x0).dtype == np.float32


def test_outside_of_a_trace():
    """The same numbers as inside of one."""
    for f in (square_root, babylonian):
        close(f(2.0), jitad.jit(f)(2.0), 1e-15)
    x, ok = jitad.root(lambda x: x * x - 2.0, np.ones((2, 1)), status=True)
    close(x, np.full((2, 1), np.sqrt(2)))
    assert ok and isinstance(ok, np.bool_)


# -- errors --------------------------------------------------------------------

ERRORS = {
    "integer": (lambda a: jitad.root(lambda x: x - a, 1), "unknown x is int64.*1.0"),
    "integer leaf": (
        lambda a: jitad.root(lambda x: x, {"p": np.arange(2), "q": a}),
        r"unknown x\['p'\] is int64\[2\]",
    ),
    "structure": (
        lambda a: jitad.root(lambda x: (x, x - a), 1.0),
        "f returned .* expected as many equations as unknowns",
    ),
    "shape": (
        lambda a: jitad.root(lambda x: np.sum(x) - a, np.ones(2)),
        r"f\(x\) is float64\[\] where x is float64\[2\].*same shape and dtype",
    ),
    "dtype": (
        lambda a: jitad.fixed_point(lambda x: x * a, np.float32(1)),
        r"f\(x\) is float64\[\] where x is float32\[\].*x0.astype",
    ),
    "size": (
        lambda a: jitad.root(lambda x: x - a, np.ones(65)),
        "65 unknowns.*at most 32.*scipy.optimize.root",
    ),
    "empty": (lambda a: jitad.root(lambda x: x - a, []), "x has no elements"),
    "steps": (
        lambda a: jitad.root(lambda x: x - a, 1.0, max_steps=0),
        "max_steps=0.*expected 1 or more",
    ),
    "tolerance": (
        lambda a: jitad.root(lambda x: x - a, 1.0, tol=-1.0),
        "tol=-1.0.*relative to x",
    ),
    "scale": (
        lambda a: jitad.fixed_point(lambda x: x - a, 1.0, scale=np.nan),
        "scale=nan.*0 or more",
    ),
    "memory": (
        lambda a: jitad.fixed_point(lambda x: x - a, 1.0, memory=-1),
        "memory=-1.*0 or more",
    ),
    "not linear": (
        lambda a: jitad.linear_solve(lambda x: x * x * a, np.ones(2)),
        "derivative of the function depends on x.*jitad.root",
    ),
    "matrix": (
        lambda a: jitad.linear_solve(np.ones((2, 3)), np.ones(2) * a),
        r"shape \(2, 3\), b of shape \(2,\).*expected \(n, n\)",
    ),
    "large matrix": (
        lambda a: jitad.linear_solve(np.eye(40), np.ones(40) * a),
        "40 unknowns.*at most 32.*np.linalg.solve",
    ),
}


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_line_and_the_remedy(name, inside):
    f, message = ERRORS[name]
    with pytest.raises(jitad.JitadError, match=f"(?s){message}") as caught:
        (jitad.jit(f) if inside else f)(np.float64(1.0))
    assert f"{__file__}:" in str(caught.value)
