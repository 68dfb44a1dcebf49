"""Loops against unrolled code, in every mode and on every back end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitad
from jitad import tree
from jitad.ir.loop import LOOP, loop_of
from tests.cases.loop_functions import LOOPS, X, newton, newton_flat
from tests.support.kernels import reference

BACKENDS = ("cpu", "numpy")
MODES = ("forward", "reverse", "cross", "auto")


def leaves(value: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in tree.flatten(value)[0]]


def close(got: Any, wanted: Any, rtol: float = 1e-12) -> None:
    for a, b in zip(leaves(got), leaves(wanted), strict=True):
        scale = np.max(np.abs(b), initial=0.0)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale)


# -- loops, and the same unrolled -----------------------------------------------


def total(f: Any) -> Any:
    return lambda x: sum(np.sum(y * y) for y in tree.flatten(f(x))[0])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", LOOPS)
def test_values(name, backend):
    looped, flat = LOOPS[name]
    close(jitad.jit(looped, backend=backend)(X), jitad.jit(flat)(X))
    # Without a trace it is Python's loop.
    close(looped(X), flat(X))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", LOOPS)
def test_jacobian(name, mode, backend):
    looped, flat = LOOPS[name]
    J = jitad.vmap(jitad.jacobian(looped, mode=mode), backend=backend)
    wanted = [leaf[None] for leaf in leaves(jitad.jacobian(flat)(X))]
    close(J(X[None]), wanted)


SECOND = {
    "hessian": jitad.hessian,
    "reverse over reverse": lambda f: jitad.jacobian(jitad.grad(f), mode="reverse"),
    "forward over reverse": lambda f: jitad.jacobian(jitad.grad(f), mode="forward"),
    "forward over forward": lambda f: jitad.jacobian(
        jitad.jacobian(f, mode="forward"), mode="forward"
    ),
    "reverse over forward": lambda f: jitad.jacobian(
        jitad.jacobian(f, mode="forward"), mode="reverse"
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("order", SECOND)
@pytest.mark.parametrize("name", LOOPS)
def test_second_derivatives(name, order, backend):
    looped, flat = (total(f) for f in LOOPS[name])
    wanted = jitad.hessian(flat)(X)
    close(jitad.jit(SECOND[order](looped), backend=backend)(X), wanted, 1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOOPS)
def test_products_and_values_together(name):
    looped, flat = LOOPS[name]
    v = np.array([0.3, -1.0, 0.2])
    close(jitad.jvp(looped, (X,), (v,)), jitad.jvp(flat, (X,), (v,)))
    y, pullback = jitad.vjp(looped, X)
    close(pullback(y), jitad.vjp(flat, X)[1](y))
    close(jitad.hvp(total(looped))(X, v), jitad.hvp(total(flat))(X, v), 1e-11)
    close(jitad.value_and_grad(total(looped))(X), jitad.value_and_grad(total(flat))(X))


@pytest.mark.slow
@pytest.mark.parametrize("name", LOOPS)
def test_a_batch_is_its_points(name):
    """Bit for bit, though every point may run its own number of times."""
    looped = LOOPS[name][0]
    points = X * np.random.default_rng(0).uniform(0.5, 2.0, (19, 3))
    for make in (jitad.jit, jitad.jacobian):
        whole = leaves(jitad.vmap(make(looped))(points))
        for k, x in enumerate(points):
            alone = leaves(jitad.vmap(make(looped))(x[None]))
            for a, b in zip(whole, alone, strict=True):
                assert np.array_equal(a[k], b[0])


def test_a_loop_of_constants_beside_one_that_is_counted():
    def f(x: Any) -> Any:
        n = x[2].astype(int)
        c = jitad.fori_loop(0, n, lambda i, c: c * x[0], x[1], max_steps=4)
        _, ys = jitad.scan(lambda c, _: (c, 1.5), c, length=4)
        return jitad.scan(lambda c, y: (np.sin(c) * y, None), c, ys)[0]

    want = X[1] * X[0]
    for _ in range(4):
        want = np.sin(want) * 1.5
    np.testing.assert_allclose(jitad.jit(f)(X), want, rtol=1e-15)
    slopes = [jitad.jacobian(f, mode=mode)(X) for mode in MODES]
    close(slopes[1:], [slopes[0]] * 3)
    assert np.sign(slopes[0]).tolist() == [1, 1, 0]


ROOTS = {
    "carried": lambda y: jitad.scan(lambda q, z: (q + np.sqrt(z), None), 0.0, y)[0],
    "bent": lambda y: jitad.scan(lambda q, z: (np.sin(q) + np.sqrt(z), None), 0.0, y)[
        0
    ],
    "written": lambda y: jitad.scan(lambda q, z: (q + np.sqrt(2 * z), q * z), 0.0, y),
    "points": lambda y: jitad.vmap(np.sqrt)(np.tile(y, 25))[:4],
}


@pytest.mark.parametrize("name", ROOTS)
def test_an_infinite_slope_touches_its_own_element_only(name):
    """What an iteration does not depend on is no zero times its infinite slope."""
    f, y = ROOTS[name], np.array([0.0, 1.0, 4.0])
    flat = {
        "carried": lambda y: np.sum(np.sqrt(y)),
        "bent": lambda y: np.sin(np.sin(np.sqrt(y[0])) + np.sqrt(y[1])) + np.sqrt(y[2]),
        "written": lambda y: (
            np.sum(np.sqrt(2 * y)),
            np.stack([0 * y[0], np.sqrt(2 * y[0]) * y[1],
                      (np.sqrt(2 * y[0]) + np.sqrt(2 * y[1])) * y[2]]),
        ),
        "points": lambda y: np.sqrt(np.stack([y[0], y[1], y[2], y[0]])),
    }[name]  # fmt: skip
    wanted = leaves(jitad.jacobian(flat)(y))
    for mode in MODES:
        for got, want in zip(
            leaves(jitad.jacobian(f, mode=mode)(y)), wanted, strict=True
        ):
            np.testing.assert_allclose(got, want, rtol=1e-15)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loop_behind_a_closed_gate_gives_nothing(mode, backend):
    def carried(x: Any) -> Any:
        looped = jitad.fori_loop(0, 2, lambda i, c: np.sin(c) * 0.5, np.sqrt(x))
        return np.where(x > 0, looped, 0.0)

    def shared(x: Any) -> Any:
        looped = jitad.fori_loop(0, 2, lambda i, c: np.sin(c) + np.sqrt(x), 1.0)
        return np.where(x > 0, looped, x)

    points = np.array([0.0, 1.0])
    for f, first in ((carried, 0.0), (shared, 1.0)):
        J = jitad.vmap(jitad.jacobian(f, mode=mode), backend=backend)(points)
        assert J[0] == first and np.isfinite(J[1]) and J[1] != 0


def test_trip_counts_of_a_batch():
    def f(x: Any, n: Any) -> Any:
        return jitad.fori_loop(0, n, lambda i, c: c * x + i, 1.0, max_steps=9)

    x, n = np.linspace(0.2, 0.9, 11), np.arange(11) % 8
    wanted = []
    for a, m in zip(x, n, strict=True):
        c, d = 1.0, 0.0
        for i in range(m):
            c, d = c * a + i, d * a + c
        wanted.append((c, d))
    columns = list(np.array(wanted).T)
    for mode in ("forward", "reverse", "cross"):
        J = jitad.jacobian(f, mode=mode)
        both = jitad.vmap(lambda x, n, J=J: (f(x, n), J(x, n)))
        close(both(x, n), columns)


def test_a_batch_inside_a_trace_may_begin_with_constants():
    points = np.array([0.3, 5.0, 9.0])
    double = jitad.vmap(
        lambda a: jitad.while_loop(lambda c: c < a, lambda c: 2 * c, 1.0)
    )
    got = jitad.jit(lambda p: double(p))(points)
    np.testing.assert_array_equal(got, [1.0, 8.0, 16.0], strict=True)


def test_nan_in_one_lane_touches_no_other():
    points = np.tile(X, (16, 1))
    points[5] = np.nan
    for f, _ in LOOPS.values():
        for y in leaves(jitad.vmap(jitad.jacobian(f))(points)):
            assert np.isfinite(np.delete(y, 5, axis=0)).all()


@pytest.mark.parametrize("mode", MODES[:3])
def test_no_step_is_read_that_was_not_run(mode):
    """What is unwritten is NaN where a kernel is run slowly."""
    f, flat = total(newton), total(newton_flat)
    J = jitad.vmap(jitad.jacobian(jitad.jacobian(f, mode="reverse"), mode=mode))
    plan = J.prepare(X[None]).plan
    assert plan is not None
    (got,) = reference(plan.kernel, (1,), [X[None]])
    close(got.reshape(3, 3), jitad.hessian(flat)(X), 1e-11)


def test_a_loop_that_does_not_end_is_nan_and_says_so():
    def f(x: Any) -> Any:
        return jitad.while_loop(
            lambda c: c < 10, lambda c: c + x, 0.0, max_steps=20, status=True
        )

    x = np.array([1.0, 0.1, 0.5, -1.0, 5.0])
    value, finished = jitad.vmap(f)(x)
    assert finished.tolist() == [True, False, True, False, True]
    np.testing.assert_array_equal(value, [10, np.nan, 10, np.nan, 10])
    for mode in ("forward", "reverse"):
        slope = jitad.vmap(jitad.jacobian(lambda x: f(x)[0], mode=mode))(x)
        np.testing.assert_array_equal(slope, [10, np.nan, 20, np.nan, 2])


def test_the_graph_does_not_grow_with_the_length():
    def f(x: Any, n: int) -> Any:
        return jitad.fori_loop(0, n, lambda i, c: c * x + np.sin(c), 1.0)

    def size(n: int) -> int:
        call = jitad.vmap(jitad.grad(lambda x: f(x, n))).prepare(X)
        assert call.plan is not None
        return len(call.plan.kernel.body)

    assert size(5) == size(50) == size(5000)


def test_a_known_tangent_is_not_multiplied_by():
    """The derivative of x by itself is 1 in every iteration."""

    def f(x: Any) -> Any:
        return jitad.fori_loop(0, 9, lambda i, c: c * np.sin(c) + x, x)

    call = jitad.jacobian(f, mode="forward").prepare(np.float64(0.5))
    assert call.plan is not None
    (loop,) = [n for n in call.plan.derived.graph.nodes if n.primitive is LOOP]
    assert loop_of(loop).shared == 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_carried_numbers_take_the_dtype_of_the_body(dtype):
    def f(x: Any) -> Any:
        return jitad.fori_loop(0, 3, lambda i, c: (c[0] + x, c[1] + 1), (0.0, 0))

    y, count = jitad.jit(f)(dtype(0.25))
    assert (y, count) == (0.75, 3)
    assert y.dtype == dtype
    assert count.dtype == np.int64


# -- errors -----------------------------------------------------------------------

ERRORS = {
    "dtype": (
        lambda x: jitad.scan(lambda c, _: (c > 0, None), x[0], length=3),
        r"scan: carry begins as float64\[\] and becomes bool\[\].*expected the same",
    ),
    "shape": (
        lambda x: jitad.fori_loop(0, 2, lambda i, c: np.stack([c, c]), x),
        r"fori_loop: carry begins as float64\[3\] and becomes float64\[2,3\]",
    ),
    "structure": (
        lambda x: jitad.while_loop(lambda c: c[0] > 1, lambda c: c[0], (x[0],)),
        r"while_loop: the carry begins as .* expected the same structure",
    ),
    "no pair": (
        lambda x: jitad.scan(lambda c, _: c, x, length=3),
        r"scan: f returned Tracer .* expected a pair",
    ),
    "lengths": (
        lambda x: jitad.scan(lambda c, t: (c, t[0]), x, (x, x[:2])),
        r"scan: lengths 2, 3 .* expected one",
    ),
    "no length": (
        lambda x: jitad.scan(lambda c, t: (c, None), x),
        r"scan: lengths none .* expected one",
    ),
    "condition": (
        lambda x: jitad.while_loop(lambda c: c > 0, lambda c: c - 1, x),
        r"while_loop: cond_fun returned shape \(3,\) .* expected one bool",
    ),
    "bounds": (
        lambda x: jitad.fori_loop(0, x[0], lambda i, c: c, x[0]),
        r"fori_loop: a bound of float64\[\] .* expected whole numbers",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    f, message = ERRORS[name]
    with pytest.raises(jitad.JitadError, match=message) as caught:
        jitad.jit(f)(X)
    assert "test_loops_derivatives.py" in str(caught.value)


def test_reverse_mode_needs_no_bound():
    def f(x: Any, n: Any) -> Any:
        return jitad.fori_loop(0, n, lambda i, c: c * x, 1.5)

    assert jitad.jacobian(f, mode="reverse")(1.5, 3) == 1.5 * 3 * 1.5**2


# -- closed gates ------------------------------------------------------------------

ZERO = np.array([0.0, 0.4])
SIGNS = np.array([1.0, -1.0])


def shared_slope(x: Any) -> Any:
    y = np.sqrt(x[0])
    step = lambda c, t: (1.1 * c, np.where(x[0] > 1, y, c))  # noqa: E731
    return np.sum(jitad.scan(step, x[1], length=2)[1])


def carried_slope(x: Any) -> Any:
    step = lambda c, t: (np.where(t > 0, np.sqrt(c), x[1]), None)  # noqa: E731
    return jitad.scan(step, x[0], SIGNS)[0]


def read_slopes(x: Any) -> Any:
    z = np.sqrt(np.stack([x[0], x[1], x[0]]))
    step = lambda c, t: (np.where(t < 1e-3, c, c * t), None)  # noqa: E731
    return jitad.scan(step, 1.0, z)[0]


def slopes_from_loop_to_loop(x: Any) -> Any:
    roots = lambda c, t: (c, np.sqrt(t))  # noqa: E731
    _, z = jitad.scan(roots, 0.0, np.stack([x[0], x[1], x[0]]))
    step = lambda c, t: (np.where(t < 1e-3, c, c * t), None)  # noqa: E731
    return jitad.scan(step, 1.0, z)[0]


def slope_in_an_inner_loop(x: Any) -> Any:
    step = lambda c, t: (carried_slope(np.stack([c, x[1]])), None)  # noqa: E731
    return jitad.scan(step, x[0], length=2)[0]


def summed_slope(x: Any) -> Any:
    y = np.sqrt(x[0])
    each = jitad.vmap(lambda p: np.where(x[0] > 1, y * p, x[1] * p))
    return np.sum(each(np.arange(300.0)))


HALF = np.sqrt(0.4)
GATED = {
    shared_slope: [0, 2.1],
    carried_slope: [0, 1],
    read_slopes: [0, 0.5 / HALF],
    slopes_from_loop_to_loop: [0, 0.5 / HALF],
    slope_in_an_inner_loop: [0, 1],
    summed_slope: [0, 299 * 150],
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("f", GATED)
def test_what_no_iteration_lets_through_is_nothing(f, mode, backend):
    """Not even times an infinite slope, wherever in the loops that stands."""
    with np.errstate(all="ignore"):
        found = jitad.jacobian(f, mode=mode, backend=backend)(ZERO)
        np.testing.assert_allclose(found, GATED[f], rtol=1e-14)
        batch = jitad.vmap(jitad.grad(f), backend=backend)(np.stack([ZERO, ZERO]))
        np.testing.assert_allclose(batch, [GATED[f]] * 2, rtol=1e-14)


def swept(m: Any, j: Any, h: Any) -> Any:
    """m, each of its elements computed anew from all of them, in loops."""

    def spin(i, m):
        field = jitad.fori_loop(0, 3, lambda k, t: t + j[i, k] * m[k], h[i])
        m = m.copy()
        m[i] = np.tanh(field)
        return m

    return jitad.fori_loop(0, 3, spin, m)


@pytest.mark.slow
def test_a_loop_of_counted_steps_adds_up_what_is_smaller_than_its_record():
    """Fixed points of tanh: of j, 9 elements, a slope is added up over 40 sweeps."""

    def fixed(j, h):
        def sweep(c):
            m, _ = c
            new = swept(m, j, h)
            return new, np.max(np.abs(new - m))

        start = np.zeros_like(h), 1.0 + 0.0 * h[0]
        ends = jitad.while_loop(lambda c: c[1] > 1e-14, sweep, start, max_steps=40)
        return np.sum(ends[0])

    j, h = np.full((3, 3), 0.1), np.linspace(0.1, 0.3, 3)
    m = np.zeros(3)
    for _ in range(60):
        m = np.tanh(j @ m + h)
    back = np.linalg.solve((np.eye(3) - (1 - m * m)[:, None] * j).T, np.ones(3))
    wanted = np.outer(back * (1 - m * m), m)
    for backend in BACKENDS:
        for mode in MODES:
            found = jitad.jacobian(fixed, mode=mode, backend=backend)(j, h)
            close(found, wanted, rtol=1e-11)


def flat_swept(m: Any, j: Any, h: Any) -> Any:
    m = m * 1.0
    for i in range(3):
        m[i] = np.tanh(h[i] + np.sum(j[i] * m))
    return m


def twice(f: Any) -> Any:
    return lambda m, j, h: f(f(m, j, h), j, h)


# In loops in loops an array is read at places that are known when they run.
PLACED = {
    "a sum": (
        lambda m, j, h: jitad.fori_loop(
            0, 3,
            lambda i, s: jitad.fori_loop(0, 3, lambda k, t: t + j[i, k] ** 2, s),
            m[0],
        ),
        lambda m, j, h: m[0] + np.sum(j**2),
    ),
    "a product": (
        lambda m, j, h: jitad.fori_loop(
            0, 2,
            lambda i, s: jitad.fori_loop(0, 3, lambda k, t: t * j[i, k] + h[k], s),
            m[1],
        ),
        lambda m, j, h: sum(
            [h[k % 3] * np.prod(j[:2].ravel()[k + 1:]) for k in range(6)],
            m[1] * np.prod(j[:2]),
        ),
    ),
    "written": (swept, flat_swept),
    "written twice": (twice(swept), twice(flat_swept)),
    "in three": (
        lambda m, j, h: jitad.fori_loop(0, 2, lambda _, m: swept(m, j, h), m),
        twice(flat_swept),
    ),
}  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PLACED)
def test_reads_at_computed_places_in_loops_in_loops(name, mode, backend):
    looped, flat = PLACED[name]
    rng = np.random.default_rng(5)
    given = rng.normal(size=3), rng.normal(size=(3, 3)), rng.normal(size=3)
    options: Any = {"argnums": (0, 1, 2), "mode": mode}
    found = jitad.jacobian(looped, backend=backend, **options)(*given)
    close(found, jitad.jacobian(flat, **options)(*given))
    if mode != "auto":
        return
    found = jitad.hessian(lambda *x: np.sum(looped(*x)), 1, backend=backend)(*given)
    close(found, jitad.hessian(lambda *x: np.sum(flat(*x)), 1)(*given))
