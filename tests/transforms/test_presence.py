"""A derivative that does not reach an iteration is nothing there: no zero times inf."""

from typing import Any

import numpy as np
import pytest

import jitad
from jitad.transforms.derivatives.linearized import open_body
from jitad.transforms.derivatives.presence import bent
from jitad.transforms.scalars.scalarize import scalar_graph
from tests.support.engine import traced

BACKENDS = ("cpu", "numpy")
MODES = ("forward", "reverse", "cross", "auto")
INF = np.inf


def late(c: Any, z: Any, p: Any) -> Any:
    a, b = c
    return (b * p, a / z), a


def gone(c: Any, z: Any, p: Any) -> Any:
    a, b = c
    return (np.log1p(z), a - (z - p)), b


def passing(c: Any, z: Any, p: Any) -> Any:
    a, b = c
    return (np.maximum(b - p, a + p), p * p * (p + a)), b * (p * z)


def divided(c: Any, z: Any, p: Any) -> Any:
    a, b = c
    return (np.maximum(a, p) / (b / b), z), a / b + a / b


def chosen(c: Any, z: Any, p: Any) -> Any:
    a, b = c
    return (p, np.where(p + b > 0, z, a / b)), (a - b) * z


def read(c: Any, z: Any, p: Any) -> Any:
    a, b = c
    return (a * b - (z - p), p + (b - b)), a * 0.5 * (p - a)


def hidden(c: Any, z: Any, p: Any) -> Any:
    a, b = c
    return (np.where(z > 0, b * a, 1.0), np.where(a > 0, a * z, p)), b / a


def doubled(c: Any, z: Any, p: Any) -> Any:
    a, b = c
    return (b * 2.0, a / z), a + p


# Bodies, and what they are given: p, where a and b begin, and three z.
CASES = [
    (late, [0.7, 1.0, INF, 0.0, 1.0, 2.0]),
    (late, [INF, 0.0, 1.0, 1.0, 0.25, 0.5]),
    (gone, [0.7, INF, -0.4, INF, -INF, 1.3]),
    (gone, [0.7, INF, -0.4, -1.0, 1.0, 1.3]),
    (passing, [-0.4, 1.0, INF, 0.5, 1.0, 1.3]),
    (divided, [-INF, 0.0, -0.4, INF, 0.5, 1.3]),
    (chosen, [-0.4, -INF, 0.0, 2.0, 0.0, 1.3]),
    (read, [2.0, INF, 0.0, 1.0, INF, 1.3]),
    (read, [INF, 0.7, -0.4, 1.0, 0.0, INF]),
    (hidden, [0.7, INF, 2.0, -1.0, 1.0, INF]),
    (doubled, [0.7, 1.0, INF, 0.0, 1.0, 2.0]),
    (doubled, [0.7, 1.0, 0.0, 0.0, 1.0, 2.0]),
    (hidden, [0.7, -1.0, INF, 1.0, -1.0, 0.0]),
]


def unrolled(step: Any, c: Any, zs: Any) -> Any:
    ys = []
    for k in range(3):
        c, y = step(c, zs[k])
        ys.append(y)
    return c, np.stack(ys)


def counted(step: Any, c: Any, zs: Any) -> Any:
    n = np.where(c[0] == c[0], 3, 0)

    def body(k: Any, c: Any) -> Any:
        return step(c, np.take(zs, k))[0]

    return jitad.fori_loop(0, n, body, c, max_steps=3), None


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("run", [jitad.scan, counted])
@pytest.mark.parametrize(("step", "given"), CASES)
def test_a_loop_has_the_derivatives_of_its_unrolled_code(step, given, run, backend):
    v, fixed = np.array(given), None
    if run is counted:
        v, fixed = v[:3], v[3:]

    def values(v: Any, run: Any) -> Any:
        zs = v[3:] if fixed is None else fixed
        c, ys = run(lambda c, z: step(c, z, v[0]), (v[1], v[2]), zs)
        return np.stack(c if fixed is not None else [*c, ys[0], ys[1], ys[2]])

    with np.errstate(all="ignore"):
        wanted = jitad.jacobian(lambda v: values(v, unrolled), mode="forward")(v)
        for mode in MODES:
            J = jitad.jacobian(lambda v: values(v, run), mode=mode, backend=backend)
            np.testing.assert_allclose(J(v), wanted, rtol=1e-14)


@pytest.mark.parametrize("mode", MODES)
def test_what_reaches_no_iteration_is_nothing_behind_a_loop(mode):
    def f(v: Any) -> Any:
        n = np.where(v[1] > 0, 2, 0)
        c = jitad.fori_loop(0, n, lambda i, c: c * v[0], 2.0, max_steps=3)
        return c / (v[1] - v[1])

    with np.errstate(all="ignore"):
        found = jitad.jacobian(f, mode=mode)(np.array([3.0, -1.0]))
    assert found[0] == 0


def test_nothing_is_added_to_what_iterations_only_add_up():
    """A sum stays one of its terms, which come in any order."""
    f = jitad.jacobian(
        lambda p: jitad.fori_loop(0, 5, lambda i, s: s + np.sin(p * i), 0.0),
        mode="forward",
    )
    assert "select" not in str(jitad.graph(f, 0.7))


def test_a_factor_of_many_products_is_gated_once():
    def f(p: Any) -> Any:
        q = p[0] * p[1]
        step = lambda i, c: (np.sin(c[0] + c[1] * q), c[0] * c[1] * q)  # noqa: E731
        return np.stack(jitad.fori_loop(0, 9, step, (p[2], p[3])))

    J = jitad.jacobian(f, mode="cross")
    assert str(jitad.graph(J, np.full(4, 0.5))).count("= gate(") == 4


def test_bent_is_what_anything_depends_on_other_than_by_a_factor():
    def body(a: Any, b: Any, c: Any, d: Any) -> Any:
        return 2.0 * a - b + c, (b * d, -c)

    graph = scalar_graph(traced(body, 1.0, 2.0, 3.0, 4.0).graph)
    assert bent(open_body(graph, range(4))) == [False, True, False, True]
