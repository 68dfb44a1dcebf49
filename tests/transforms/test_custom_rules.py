"""custom_jvp and custom_vjp: the rule in every mode, nested, in batches and loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitad
from jitad import UnsupportedError, tree
from tests.cases.custom import by_jvp, by_vjp, rooted, rooted_too

MODES = ("forward", "reverse", "cross")
X = np.array([0.4, -0.7])


def plain(x: Any, y: Any) -> Any:
    return np.sin(x) * y, np.sum(x * y * y)


FUNCTIONS = {"jvp": by_jvp, "vjp": by_vjp}


def leaves(value: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in tree.flatten(value)[0]]


def close(got: Any, wanted: Any, factor: float = 1.0) -> None:
    for a, b in zip(leaves(got), leaves(wanted), strict=True):
        np.testing.assert_allclose(a, factor * b, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("backend", ["cpu", "numpy"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_the_rule_is_the_derivative(kind, mode, backend):
    f, points = FUNCTIONS[kind], np.stack([X, 2 * X, X + 1])
    close(jitad.jit(f)(X, X + 1), plain(X, X + 1))
    close(f(X, X + 1), plain(X, X + 1))
    J = jitad.vmap(jitad.jacobian(f, argnums=(0, 1), mode=mode), backend=backend)
    wanted = jitad.vmap(jitad.jacobian(plain, argnums=(0, 1)))
    close(J(points, points - 1), wanted(points, points - 1), 3.0)


@pytest.mark.parametrize("outer", MODES)
@pytest.mark.parametrize("inner", MODES)
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_second_derivatives_differentiate_the_rule(kind, inner, outer):
    """Through the rule's own formulas."""
    f = FUNCTIONS[kind]

    def second(g: Any) -> Any:
        return jitad.jacobian(
            jitad.jacobian(lambda x: g(x, x * x)[1], mode=inner), mode=outer
        )

    # d/dx of x y² by a tripled rule at y = x² is 3 · 5 x⁴.
    first = jitad.jacobian(lambda x: f(x, x * x)[1], mode=inner)
    close(jitad.jit(first)(X), 15 * X**4)
    close(jitad.jit(second(f))(X), np.diag(60 * X**3))


def test_a_rule_that_uses_the_function_is_used_again():
    """As for exp: every derivative is ten times the one before."""

    @jitad.custom_jvp
    def f(x: Any) -> Any:
        return np.exp(x)

    @f.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        y = f(*primals)
        return y, 10 * y * tangents[0]

    g: Any = f
    for order in range(4):
        np.testing.assert_allclose(jitad.jit(g)(0.3), 10.0**order * np.exp(0.3))
        g = jitad.grad(g)


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_inside_loops_and_batches(kind):
    f = FUNCTIONS[kind]

    def looped(g: Any) -> Any:
        return lambda x: jitad.fori_loop(0, 3, lambda i, c: g(c, x)[0] + x, x)

    def unrolled(x: Any) -> Any:
        c = x
        for _ in range(3):
            c = f(c, x)[0] + x
        return c

    for mode in MODES:
        points = np.stack([X, 2 * X])
        got = jitad.vmap(jitad.jacobian(looped(f), mode=mode))(points)
        close(got, jitad.vmap(jitad.jacobian(unrolled))(points))
        inside = jitad.jit(lambda x: jitad.vmap(f)(x, x)[0])
        close(
            jitad.jacobian(lambda x: jitad.vmap(f)(x, x)[1], mode=mode)(points),
            jitad.jacobian(lambda x: np.stack([3 * plain(a, a)[1] for a in x]))(points),
        )
        assert inside(points).shape == (2, 2)


def test_integers_and_fixed_arguments():
    @jitad.custom_vjp
    def power(x: Any, n: Any) -> Any:
        return x**3 * n

    power.defvjp(lambda x, n: (power(x, n), (x, n)), lambda r, g: (7 * g * r[1], None))
    assert jitad.jit(jitad.grad(lambda x: power(x, 2)))(1.5) == 14

    def value(f: Any, x: Any) -> Any:
        return f(x) * 2

    fixed = jitad.custom_jvp(value, nondiff_argnums=(0,))
    fixed.defjvp(lambda f, p, t: (fixed(f, *p), 5 * f(p[0]) * t[0]))
    assert jitad.jit(jitad.grad(lambda x: fixed(np.exp, x)))(0.0) == 5

    each = jitad.custom_jvp(lambda x, y: x * y)
    each.defjvps(lambda t, out, x, y: 2 * t * y, None)
    assert jitad.jit(jitad.grad(lambda x: each(x, 3.0) + each(2.0, x)))(1.0) == 6


ERRORS = {
    "no rule": (
        lambda f: None,
        r"custom_jvp without a rule .* @f.defjvp",
    ),
    "no pair": (lambda f: f.defjvp(lambda p, t: t[0]), r"expected a pair"),
    "structure": (
        lambda f: f.defjvp(lambda p, t: ((p[0],), t[0])),
        r"its rule gives y of structure .* expected",
    ),
    "shape": (
        lambda f: f.defjvp(lambda p, t: (p[0] * 2, np.stack([t[0], t[0]]))),
        r"its rule gives ẏ float64\[2,2\] .* expected float64\[2\]",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    define, message = ERRORS[name]

    @jitad.custom_jvp
    def f(x: Any) -> Any:
        return 2 * x

    define(f)
    with pytest.raises(jitad.InputError, match=message):
        jitad.jit(jitad.jacobian(f))(X)


def test_an_error_names_the_line_of_the_call():
    f = jitad.custom_jvp(lambda x: 2 * x)
    f.defjvp(lambda p, t: (p[0],))
    with pytest.raises(jitad.InputError, match="expected a pair") as caught:
        jitad.grad(lambda x: f(x))(1.0)
    assert f"({__file__}:" in str(caught.value)


def test_errors_of_cotangents():
    f = jitad.custom_vjp(lambda x: 2 * x)
    with pytest.raises(jitad.InputError, match="custom_vjp without a rule"):
        jitad.jacobian(f)(X)
    f.defvjp(lambda x: (f(x), None), lambda r, g: g)
    with pytest.raises(jitad.InputError, match="expected a tuple of 1"):
        jitad.jacobian(f)(X)


BENT = {  # rules that are not linear, of x -> 3 x
    "a square": lambda t: t * t,
    "a size": np.abs,
    "a condition": lambda t: np.where(t == 0, 0.0, 3 * t),
    "an extreme": lambda t: np.maximum(3 * t, 0),
}


@pytest.mark.parametrize("name", BENT)
def test_a_rule_that_is_not_linear_does_not_serve_the_other_mode(name):
    bent, message = BENT[name], "f: expected a rule that is linear in the {}, but"
    f = jitad.custom_jvp(lambda x, y: 3 * x + y)
    f.__name__ = f.name = "f"
    f.defjvp(lambda p, t: (f(*p), bent(t[0]) + t[1]))
    np.testing.assert_array_equal(jitad.jvp(f, (2.0, 1.0), (1.0, 0.0))[1], bent(1.0))
    with pytest.raises(jitad.UnsupportedError, match=message.format("tangents")):
        jitad.jacobian(f, mode="reverse", argnums=(0, 1))(2.0, 1.0)
    with pytest.raises(jitad.UnsupportedError, match=message.format("tangents")):
        jitad.jacobian(f, mode="forward")(2.0, 1.0)

    f = jitad.custom_vjp(lambda x: 3 * x)
    f.__name__ = f.name = "f"
    f.defvjp(lambda x: (f(x), None), lambda r, g: (bent(g),))
    np.testing.assert_array_equal(jitad.vjp(f, 2.0)[1](1.0), [bent(1.0)])
    with pytest.raises(jitad.UnsupportedError, match=message.format("cotangents")):
        jitad.jacobian(f, mode="forward")(2.0)


def test_a_captured_value_is_refused():
    def g(x: Any) -> Any:
        f = jitad.custom_jvp(lambda y: x * y)
        f.defjvp(lambda p, t: (f(*p), t[0]))
        return f(x)

    with pytest.raises(jitad.TracingError, match="pass it as an argument"):
        jitad.jit(g)(X)


SLOPES = {
    "all": (lambda f, x: f(x), [[np.inf, 0, 0], [0, 0.5, 0], [0, 0, 0.25]]),
    "some": (lambda f, x: f(x)[1:], [[0, 0.5, 0], [0, 0, 0.25]]),
    "guarded": (lambda f, x: np.sum(np.where(x > 0, f(x), 0)), [0, 0.5, 0.25]),
    "in a loop": (
        lambda f, x: jitad.scan(lambda c, z: (c + f(z), None), 0.0, x)[0],
        [np.inf, 0.5, 0.25],
    ),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SLOPES)
def test_an_infinite_slope_touches_nothing_that_does_not_depend_on_it(name, mode):
    f, want = SLOPES[name]
    x = np.array([0.0, 1.0, 4.0])
    for rule in (rooted, rooted_too, jitad.checkpoint(np.sqrt)):
        J = jitad.jacobian(lambda x, rule=rule: f(rule, x), mode=mode)
        np.testing.assert_array_equal(J(x), want)


def turned() -> list[Any]:
    """The sine as a checkpoint, and by rules for either mode."""

    @jitad.custom_jvp
    def by_tangents(x: Any) -> Any:
        return np.sin(x)

    @jitad.custom_vjp
    def by_cotangents(x: Any) -> Any:
        return np.sin(x)

    by_tangents.defjvp(lambda p, t: (np.sin(p[0]), np.cos(p[0]) * t[0]))
    by_cotangents.defvjp(lambda x: (np.sin(x), x), lambda x, b: (np.cos(x) * b,))
    return [jitad.checkpoint(np.sin), by_tangents, by_cotangents]


@pytest.mark.parametrize("outer", MODES)
@pytest.mark.parametrize("inner", MODES)
def test_what_is_not_finite_touches_nothing_that_does_not_depend_on_it(inner, outer):
    """Second derivatives of elements among which one is NaN, and one infinite."""
    x = np.array([np.nan, 0.5, np.inf])
    y = np.sin(0.5)
    bent = -np.cos(y) * y - np.sin(y) * np.cos(0.5) ** 2
    want = np.diag([np.nan, bent, np.nan])
    for f in turned():
        first = jitad.jacobian(lambda x, f=f: np.sum(np.sin(f(x * 1.0))), mode=inner)
        found = jitad.jacobian(first, mode=outer, backend="numpy")(x)
        np.testing.assert_allclose(found, want, rtol=1e-14, atol=0)


AFFINE = {  # rules that give something though there are no seeds
    "a number": lambda x, t: 3 * t + 1,
    "the argument": lambda x, t: 3 * t - x,
    "no seed": lambda x, t: np.sin(x),
    "a branch": lambda x, t: np.where(x > 0, 3 * t, 1.0),
}


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("name", AFFINE)
def test_a_rule_that_adds_what_is_no_seed_is_refused(name, mode):
    affine = AFFINE[name]
    f = jitad.custom_jvp(lambda x: 3 * x)
    f.defjvp(lambda xs, ts: (3 * xs[0], affine(xs[0], ts[0])))
    g = jitad.custom_vjp(lambda x: 3 * x)
    g.defvjp(lambda x: (3 * x, x), lambda x, bar: (affine(x, bar),))
    for given in (f, g):
        with pytest.raises(UnsupportedError, match="but it adds what"):
            jitad.jacobian(lambda x, h=given: h(x), mode=mode)(0.5)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_a_rule_may_add_zeros(mode):
    f = jitad.custom_jvp(lambda x, y: 3 * x)
    f.defjvp(lambda xs, ts: (3 * xs[0], 3 * ts[0] + 0.0 * xs[1]))
    g = jitad.custom_vjp(lambda x, y: 3 * x)
    g.defvjp(lambda x, y: (3 * x, y), lambda y, bar: (3 * bar + 0.0, 0.0 * y))
    for given in (f, g):
        found = jitad.jacobian(lambda x, h=given: h(x, 2 * x), mode=mode)(0.5)
        assert found == 3
