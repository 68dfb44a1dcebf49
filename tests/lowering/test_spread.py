"""The operations in a loop side by side: the same values, and few that wait."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitad
from jitad.lowering import spread as spreading
from jitad.lowering.kernel import Kernel
from jitad.lowering.spread import spread
from jitad.lowering.statement import statements
from jitad.lowering.statements import Op, Repeat
from jitad.lowering.validate import validate
from tests.support.kernels import reference

X = np.random.default_rng(0).uniform(0.5, 1.0, size=(8, 40))


def chains(c: Any) -> Any:
    """Two sums, neither of which waits for the other."""
    a, b = c[0], c[1]
    for _ in range(5):
        a = a * a + 0.25
    for _ in range(5):
        b = np.sin(b) * b
    return np.stack([a, b])


def ring(c: Any) -> Any:
    return 0.1 * (np.roll(c, -1) - np.roll(c, 2)) * np.roll(c, 1) - c


def driven(c: Any, t: Any) -> Any:
    return np.sin(c) * t + np.where(c[0] > 0.3, np.sqrt(c), t * t)


LOOPS = {
    "chains": lambda x: jitad.fori_loop(0, 3, lambda i, c: chains(c), x[:2]),
    "ring": lambda x: jitad.fori_loop(0, 2, lambda i, c: ring(c), x),
    "driven": lambda x: jitad.scan(lambda c, t: (driven(c, t), c[0]), x[:4], x[4:])[1],
    "while": lambda x: jitad.while_loop(lambda c: c[0] < 9, lambda c: c + c * x, x),
    "inner": lambda x: jitad.fori_loop(
        0, 2, lambda i, c: jitad.fori_loop(0, 2, lambda j, d: ring(d) + c, c), x
    ),
}


def kernel_of(f: Any) -> Kernel:
    call = jitad.vmap(f).prepare(X)
    assert call.plan is not None
    return call.plan.kernel


def bodies(kernel: Kernel) -> list[list[Op]]:
    loops = [s for s in statements(kernel.body) if isinstance(s, Repeat)]
    return [[s for s in loop.body if isinstance(s, Op)] for loop in loops]


def waiting(ops: list[Op]) -> int:
    """How many results of some operations wait for others of these, at most."""
    last = {a: k for k, s in enumerate(ops) for a in s.operands}
    spans = [(k, last[s.result]) for k, s in enumerate(ops) if s.result in last]
    return max(sum(a <= k < b for a, b in spans) for k in range(len(ops)))


@pytest.mark.parametrize("name", LOOPS)
def test_the_same_operations_give_the_same(name):
    before = kernel_of(LOOPS[name])
    after = spread(before)
    validate(after)
    for a, b in zip(bodies(before), bodies(after), strict=True):
        assert sorted(map(str, a)) == sorted(map(str, b))
    values = [reference(kernel, (8,), [X]) for kernel in (before, after)]
    for a, b in zip(*values, strict=True):
        np.testing.assert_array_equal(a, b)


def test_chains_run_abreast():
    (ops,) = bodies(spread(kernel_of(LOOPS["chains"])))
    places = [k for k, s in enumerate(ops) if s.word in ("sin", "add")]
    kinds = [ops[k].word for k in places]
    assert kinds != sorted(kinds) and kinds != sorted(kinds, reverse=True)


def test_few_results_wait(monkeypatch):
    kernel = kernel_of(LOOPS["ring"])
    (given,) = bodies(kernel)
    (ops,) = bodies(spread(kernel))
    assert waiting(given) < waiting(ops) <= 32 + 1
    monkeypatch.setattr(spreading, "_ABREAST", 10**6)
    (ops,) = bodies(spread(kernel))
    assert waiting(ops) > 32 + 1


def test_what_is_long_stays_as_it_is(monkeypatch):
    kernel = kernel_of(LOOPS["ring"])
    monkeypatch.setattr(spreading, "_LONGEST", 10)
    assert spread(kernel) == kernel
