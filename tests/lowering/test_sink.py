"""Costly sides of branches: skipped where no lane needs them, the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import digamma, gammaln, ndtr

import jitad
from jitad import tree
from jitad.lowering.statement import Statement, statements
from jitad.lowering.statements import If, Op, Repeat
from jitad.transforms.rewrite import branches
from tests.support.cuda_machines import MACHINES, use

RNG = np.random.default_rng(0)
X = RNG.uniform(0, 1, (203, 2))


def dear(x: Any) -> Any:
    c = np.sin(np.exp(np.cos(x[0]) * np.sin(x[1])))
    return np.exp(np.sin(c) * x[0]) + np.log(1 + c * c)


def one_side(x: Any) -> Any:
    return np.where(x[0] > 0.9, dear(x) * x[1], x[0] * x[1])


def other_side(x: Any) -> Any:
    return np.where(x[0] > 0.1, x[0] * x[1], dear(x) * x[1])


def both_sides(x: Any) -> Any:
    if x[0] > x[1]:
        return dear(x)
    return dear(x[::-1] * 2) * 3


def nested(x: Any) -> Any:
    if x[0] > 0.8:
        c = dear(x)
        if x[1] > 0.5:
            c = c * dear(x * c)
        return c * x[1]
    return x[0] * x[1]


def again(x: Any) -> Any:
    """What comes out of a branch goes back under the same condition."""
    y = np.where(x[0] > 0.5, dear(x), x[1])
    z = y * x[0] + 1
    return np.where(x[0] > 0.5, dear(np.stack([z, y])), z), y


def shared(x: Any) -> Any:
    """A costly value that both sides need stays outside."""
    c = dear(x)
    return np.where(x[0] > 0.5, c * dear(x * 3), c)


def looped(x: Any) -> Any:
    def newton(y: Any) -> Any:
        return jitad.fori_loop(0, 20, lambda i, c: (c + y / c) / 2, y + 1.0)

    return np.where(x[0] > 0.7, newton(x[0]) * x[1], x[1])


def in_a_loop(x: Any) -> Any:
    def step(i: Any, c: Any) -> Any:
        return np.where(c > 0.8, dear(np.stack([c, x[1]])) / 4, c + 0.1 * x[0])

    return jitad.fori_loop(0, 9, step, x[0])


def poisoned(x: Any) -> Any:
    """Infinite where it is not taken."""
    y = np.log(x[0] - 0.9) * np.sqrt(x[0] - 0.9) * dear(np.log(x - 0.5))
    return np.where((x[0] > 0.9) & (x[1] > 0.5), y, 0.0)


FUNCTIONS = (
    one_side, other_side, both_sides, nested, again, shared, looped, in_a_loop, poisoned
)  # fmt: skip


def found(f: Any) -> list[Statement]:
    plan = jitad.vmap(f).prepare(X).plan
    assert plan is not None
    return list(statements(plan.kernel.body))


def wide(x: Any) -> Any:
    y = x[0] + np.arange(60.0) * x[1]
    return y * y * y + y


def test_values_that_nearly_all_come_out_of_a_branch_are_selected_instead() -> None:
    few = found(lambda x: np.where(x[0] > 0.5, np.sum(wide(x)), x[1]))
    assert any(isinstance(s, If) for s in few)
    many = found(lambda x: np.where(x[0] > 0.5, wide(x), x[1]))
    assert not any(isinstance(s, If) for s in many)


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_branches_are_taken_for_the_lanes_that_need_them(f):
    assert any(isinstance(s, If) for s in found(f))
    for g in (f, jitad.jacobian(f), jitad.jacobian(f, mode="reverse")):
        want = jitad.vmap(g, backend="numpy")(X)
        got = jitad.vmap(g)(X)
        pairs = zip(got, want, strict=True) if isinstance(got, tuple) else [(got, want)]
        for a, b in pairs:
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
        for k in (0, 5, 202):
            alone = jitad.vmap(g)(X[k : k + 1])
            pairs = (
                zip(got, alone, strict=True)
                if isinstance(got, tuple)
                else [(got, alone)]
            )
            for a, b in pairs:
                assert np.array_equal(a[k : k + 1], b)


@pytest.mark.parametrize("f", [one_side, both_sides, nested], ids=lambda f: f.__name__)
def test_second_derivatives(f):
    want = jitad.vmap(jitad.hessian(f), backend="numpy")(X)
    np.testing.assert_allclose(jitad.vmap(jitad.hessian(f))(X), want, rtol=1e-10)


def test_nothing_costly_stands_outside():
    def outside(body: Any) -> list[str]:
        return [s.word for s in body if isinstance(s, Op) and s.word in ("exp", "sin")]

    plan = jitad.vmap(jitad.jacobian(nested)).prepare(X).plan
    assert plan is not None
    assert not outside(plan.kernel.body)
    (branch,) = [s for s in plan.kernel.body if isinstance(s, If)]
    assert outside(branch.body)
    (inner,) = [s for s in branch.body if isinstance(s, If)]
    assert outside(inner.body)


@pytest.mark.parametrize("mode", ["forward", "reverse", "cross"])
def test_derivatives_in_what_the_other_side_needs_too(mode: Any):
    """The other side of a condition is its negation, and is seen to be."""

    def costly(a: Any, b: Any) -> Any:
        for _ in range(30):
            a = np.sin(a * b)
        return a

    def f(x: Any) -> Any:
        return jitad.cond(x[1] > 2, costly, lambda a, b: a * b, x[0], x[1])

    (branch,) = [s for s in found(jitad.jacobian(f, mode=mode)) if isinstance(s, If)]
    assert sum(isinstance(s, Op) and s.word == "cos" for s in branch.body) == 30


def test_a_loop_is_skipped_too():
    plan = jitad.vmap(jitad.grad(looped)).prepare(X).plan
    assert plan is not None
    assert not any(isinstance(s, Repeat) for s in plan.kernel.body)


def test_cheap_sides_are_only_selected():
    def f(x: Any) -> Any:
        return np.where(x[0] > 0.5, x[0] * x[1] + 1, x[0] - x[1])

    assert not any(isinstance(s, If) for s in found(jitad.jacobian(f)))


@pytest.mark.slow
def test_a_choice_among_many_costly_values():
    """An element named by a number is a chain of choices, which nest only so deep."""

    def f(x: Any, k: Any) -> Any:
        return np.sin(np.outer(x, x)).ravel()[k] * 2

    x = np.linspace(0.1, 2, 20)
    for k in (3, 399):
        want = 2 * np.sin(x[k // 20] * x[k % 20])
        np.testing.assert_allclose(jitad.jit(f)(x, k), want, rtol=1e-15)


# -- arguments that are only read under a guard -----------------------------------


def price(s: Any, k: Any, v: Any, flag: Any) -> Any:
    d = (np.log(s / k) + v * v / 2) / v
    return np.where(flag > 0, s * ndtr(d) - k * ndtr(d - v), 0.0)


def root_under(x: Any, flag: Any) -> Any:
    return np.where(flag > 0, jitad.root(lambda y: y**3 + y - x, 0.5), 0.0)


def loop_under(x: Any, n: Any, flag: Any) -> Any:
    def step(i: Any, c: Any) -> Any:
        return np.sin(c) * x + np.exp(-c)

    return jitad.cond(flag > 0, lambda: jitad.fori_loop(0, n, step, x), lambda: 0.0)


def table_under(x: Any, a: Any, i: Any, flag: Any) -> Any:
    terms = np.sin(a[i] * np.arange(9.0) * x)
    return np.where(flag > 0, np.sum(terms) * gammaln(x), 0.0)


def guard_in_loop(x: Any, p: Any, flag: Any) -> Any:
    def step(i: Any, c: Any) -> Any:
        return np.where(flag > 0, c + gammaln(p) * digamma(p) * x, c)

    return jitad.fori_loop(0, 4, step, x)


def guards(x: Any, p: Any, q: Any) -> Any:
    inner = np.where(q > 0, gammaln(x) * digamma(x) * np.exp(q), gammaln(x + 1) * p)
    return np.where(p > 0, inner, x)


GIVEN = {
    "power": (lambda t, n: t**n, (0.7, 2.0)),
    "special": (lambda x, p: np.where(p > 0, gammaln(x) * digamma(x), 0), (0.7, 1.0)),
    "price": (price, (1.1, 1.0, 0.2, 1.0)),
    "root": (root_under, (0.9, 1.0)),
    "loop": (loop_under, (0.4, 7, 1.0)),
    "table": (table_under, (0.7, np.linspace(0, 1, 12), 3, 1.0)),
    "guard in a loop": (guard_in_loop, (0.4, 0.7, 1.0)),
    "guards": (guards, (0.7, 1.0, 1.0)),
}


def agree(got: Any, want: Any, tolerance: float) -> None:
    for a, b in zip(tree.flatten(got)[0], tree.flatten(want)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", GIVEN)
def test_what_all_lanes_share_under_a_guard(name):
    f, args = GIVEN[name]
    floats = tuple(k for k, x in enumerate(args) if np.asarray(x).dtype.kind == "f")
    gradient = jitad.grad(f, argnums=floats)
    forward = jitad.jacobian(f, argnums=floats, mode="forward")
    for g in (f, gradient, forward, jitad.hessian(f)):
        want = jitad.jit(g, backend="numpy")(*args)
        agree(jitad.jit(g)(*args), want, 1e-13)
    want = jitad.jit(gradient, backend="numpy")(*args)
    for own in (0, len(args) - 1):
        axes = tuple(0 if k == own else None for k in range(len(args)))
        batch = jitad.vmap(gradient, in_axes=axes)
        given = [np.stack([x] * 9) if k == own else x for k, x in enumerate(args)]
        for got in (batch(*given), jitad.jit(lambda *a, b=batch: b(*a))(*given)):
            agree(tuple([x[8] for x in got]), want, 1e-13)
    agree(jitad.njit(f, *args)(*args), f(*args), 1e-13)
    narrow = [np.asarray(x, "f4")[()] if k in floats else x for k, x in enumerate(args)]
    agree(gradient(*narrow), jitad.jit(gradient, backend="numpy")(*narrow), 1e-4)


def test_long_chains_of_choices_are_not_looked_at_again_and_again(monkeypatch):
    looked = []
    own = branches._groups

    def noted(graph: Any, inner: Any, guarded: Any, users: Any) -> Any:
        looked.append(len(guarded))
        return own(graph, inner, guarded, users)

    monkeypatch.setattr(branches, "_groups", noted)

    def chains(v: Any, i: Any) -> Any:
        rest = np.zeros(4)
        for k in range(80):
            rest = np.where(i == k, v[k % 5], rest)
        return rest

    x, i = np.arange(5.0), np.array([3, 17, 79, 90])
    nodes = jitad.jit(chains).prepare(x, i).derived.graph.nodes
    assert sum(looked) < 60 * len(nodes)
    np.testing.assert_array_equal(jitad.jit(chains)(x, i), [3.0, 2.0, 4.0, 0.0])


@pytest.mark.parametrize("machine", MACHINES)
def test_what_all_lanes_share_under_a_guard_on_a_card(machine, monkeypatch):
    use(machine, monkeypatch)
    for name in ("special", "price", "loop"):
        f, args = GIVEN[name]
        g = jitad.vmap(jitad.grad(f), in_axes=(0, *[None] * (len(args) - 1)))
        x = np.linspace(0.5, 1.5, 70)
        want = g(x, *args[1:])
        np.testing.assert_allclose(
            jitad.jit(g, device="cuda")(x, *args[1:]), want, rtol=1e-13
        )


def test_arrays_that_all_lanes_share_and_are_read_in_one_loop():
    t, a, i = np.arange(8.0), RNG.normal(size=50), np.arange(50)

    def loss(w: Any, a: Any, i: Any) -> Any:
        def term(w: Any, a: Any, i: Any) -> Any:
            return np.sum((a[i] * np.sin(t * w)) ** 2)

        return np.sum(jitad.vmap(term, in_axes=(None, None, 0))(w, a, i))

    want = 2 * a * np.sum(np.sin(t * 1.7) ** 2)
    for backend in ("cpu", "numpy"):
        g = jitad.grad(loss, argnums=1, backend=backend)
        np.testing.assert_allclose(g(1.7, a, i), want, rtol=1e-13)
