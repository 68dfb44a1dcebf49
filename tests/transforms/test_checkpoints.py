"""Checkpoints: the same derivatives from fewer records."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.lowering.kernel import Kernel
from jitad.primitives.control.loops import segments
from tests.cases.loop_functions import steps

X = np.random.default_rng(0).uniform(0.3, 1.0, (19, 3))
SCHEDULES: tuple[Any, ...] = ("sqrt", 3, 5, 8)


def both(f: Any) -> Any:
    """Value and gradient, in reverse mode whatever it costs."""
    J = jitad.jacobian(f, mode="reverse")
    return lambda x: (f(x), J(x))


def kernel(f: Any) -> Kernel:
    plan = jitad.vmap(f).prepare(X).plan
    assert plan is not None
    return plan.kernel


def recorded(f: Any) -> int:
    return sum(own.elements for own in kernel(f).locals)


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 2, 3, 5, 7, 16, 17, 30])
def test_every_schedule_gives_the_same_bits(length, reverse):
    stored = both(steps(length, None, reverse))
    for backend, close in (("numpy", np.array_equal), ("cpu", np.allclose)):
        want = jitad.vmap(stored, backend=backend)(X)
        for checkpoint in SCHEDULES:
            f = both(steps(length, checkpoint, reverse))
            got = jitad.vmap(f, backend=backend)(X)
            assert all(close(a, b) for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize("length", [16, 100])
def test_kernels_give_the_same_bits(length):
    """Where no segment is so short that the compiler joins it to its neighbours."""
    want = jitad.vmap(both(steps(length, None)))(X)
    got = jitad.vmap(both(steps(length, "sqrt")))(X)
    for a, b in zip(got, want, strict=True):
        assert np.array_equal(a, b)


def growing(length: int, checkpoint: Any) -> Any:
    def f(x: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            return c + 0.01 * np.sin(c * x[0]) * c[::-1], None

        carry, _ = jitad.scan(step, x, length=length, checkpoint=checkpoint)
        return np.sum(carry)

    return jitad.jacobian(f, mode="reverse")


def test_records_grow_with_the_root_of_the_length():
    stored = [recorded(growing(n, None)) for n in (100, 400, 1600)]
    assert stored == [300, 1200, 4800]
    roots = [recorded(growing(n, "sqrt")) for n in (100, 400, 1600, 6400)]
    assert roots[0] <= 6 * 10 + 6
    for small, large in itertools.pairwise(roots):
        assert large <= 2.1 * small
    thirds = recorded(growing(8000, 60))
    assert thirds <= 3 * 3 * 20 + 20


@pytest.mark.parametrize(
    ("length", "kept"), [(10_000, 100), (9_999, 60), (127, 14), (100, 14), (17, 5)]
)
def test_what_is_left_over_is_split_too(length, kept):
    # Three numbers are carried; for each level something may be left over.
    assert recorded(growing(length, kept)) <= 3 * 2 * kept


def test_auto_keeps_short_records():
    assert not segments(1000, "auto")
    assert segments(1001, "auto") == [32]
    assert segments(10_000, 100) == [22, 22]
    assert segments(3, "sqrt") == []


def stages(wrap: Any) -> Any:
    """Loops one after the other, each with a record of its own."""

    def stage(x: Any, c: Any) -> Any:
        return jitad.fori_loop(0, 50, lambda i, c: c + 0.01 * np.sin(c * x) * c, c)

    def f(x: Any) -> Any:
        c = x[1]
        for _ in range(4):
            c = wrap(stage)(x[0], c)
        return c * x[2]

    return f


@pytest.mark.slow
def test_checkpointed_stages_share_one_record():
    plain, spared = (
        jitad.jacobian(stages(wrap), mode="reverse")
        for wrap in (lambda f: f, jitad.checkpoint)
    )
    assert recorded(plain) >= 200
    assert recorded(spared) <= 100
    for mode in ("forward", "reverse", "cross"):
        for backend in ("cpu", "numpy"):
            J = jitad.jacobian(stages(jitad.checkpoint), mode=mode)
            got = jitad.vmap(J, backend=backend)(X)
            np.testing.assert_allclose(got, jitad.vmap(plain)(X), rtol=1e-13)
    second = jitad.vmap(jitad.hessian(stages(jitad.checkpoint)))(X)
    np.testing.assert_allclose(
        second, jitad.vmap(jitad.hessian(stages(lambda f: f)))(X), rtol=1e-11
    )


def test_a_checkpoint_may_close_over_traced_values():
    def f(x: Any) -> Any:
        g = jitad.checkpoint(lambda y: {"z": np.sin(y) * x[0]})
        return g(x[1])["z"]

    want = np.stack([np.sin(X[:, 1]), np.cos(X[:, 1]) * X[:, 0], 0 * X[:, 0]], -1)
    np.testing.assert_allclose(jitad.vmap(jitad.grad(f))(X), want, rtol=1e-15)
    assert jitad.checkpoint(np.sin)(0.5) == np.sin(0.5)


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [("all", "expected 'auto', 'sqrt'"), (1, "expected at least 2")],
)
def test_errors(checkpoint, message):
    with pytest.raises(jitad.InputError, match=message):
        jitad.vmap(steps(10, checkpoint))(X)
