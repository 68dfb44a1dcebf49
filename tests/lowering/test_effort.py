"""Code that is made quickly computes the same bits as code that is made with care."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.backends.cpu import link
from jitad.backends.cpu.executable import host
from jitad.transforms.derivatives.accumulate import MODES
from tests.support.random_cases import one_of, over, programs
from tests.support.random_graphs import Program as Straight
from tests.support.random_programs import KINDS, Program, structured
from tests.support.seen import everything, leaves, spread

X = np.linspace(0.3, 2.0, 21).reshape(7, 3)


def chosen(x: Any) -> Any:
    return np.where(x > 1.0, np.sin(x) ** 3, np.exp(-x * x)) + np.arctan2(x, x[::-1])


def looped(x: Any) -> Any:
    def step(state: Any, k: Any) -> Any:
        return state + 0.1 * np.sin(state * k), state.sum()

    return jitad.scan(step, x, np.arange(5, dtype=x.dtype))


def ended(x: Any) -> Any:
    return jitad.while_loop(lambda s: s.sum() < 20.0, lambda s: s * 1.5, x)


def read(x: Any) -> Any:
    return np.take(np.linspace(0.0, 1.0, 9), (x[0] * 4).astype(np.int64)) * x


def long(x: Any) -> Any:
    for k in range(800):
        x = np.stack([x[1] * 0.5 + np.cos(x[0]), x[2] * x[0], x[0] - k * 1e-3])
    return x


CASES: dict[str, Callable[..., Any]] = {
    "choices": jitad.jacobian(chosen),
    "scan": jitad.jacobian(lambda x: looped(x)[0]),
    "while": ended,
    "reading at places": read,
    "in parts": jitad.jacobian(long),
    "integers": lambda x: np.floor(x * 9).astype(np.int32) // 2 % 5,
    "a sum": lambda x: np.sin(x[0] * np.linspace(0.0, 1.0, 5000)).sum(),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_both_give_the_same_bits(name, dtype):
    same_bits(CASES[name], [X.astype(dtype)])


def same_bits(f: Callable[..., Any], points: Sequence[np.ndarray]) -> None:
    results = [
        jitad.vmap(f, compile=effort, cache=False)(*points)
        for effort in ("full", "fast")
    ]
    for full, fast in zip(*map(leaves, results), strict=True):
        np.testing.assert_array_equal(full, fast)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_random_programs_with_loops_have_the_same_bits(kind):
    @over(2, structured(kind))
    def hold(program: Program) -> None:
        same_bits(jitad.jacobian(program.function), [program.points])


@pytest.mark.slow
def test_random_programs_have_the_same_bits():
    @over(12, programs(10, 40), one_of(MODES))
    def hold(program: Straight, mode: Any) -> None:
        f = jitad.jacobian(program.function, tuple(everything(program)), mode=mode)
        same_bits(f, spread(program, len(program.lines)))


@pytest.mark.slow
def test_sums_over_points_are_the_same():
    x = np.linspace(0.0, 1.0, 5000)
    full, fast = (
        jitad.jit(jitad.value_and_grad(lambda x: np.sin(x).sum()), compile=effort)(x)
        for effort in ("full", "fast")
    )
    assert full[0] == fast[0]
    np.testing.assert_array_equal(full[1], fast[1])


def test_they_are_told_apart():
    full = jitad.vmap(jitad.grad(lambda x: np.sin(x).sum()))
    fast = jitad.jit(full, compile="fast")
    for f in (full, fast, jitad.jit(fast, compile="full")):
        np.testing.assert_allclose(f(X), np.cos(X), rtol=1e-15)
    plan, other = (f.prepare(X).plan for f in (full, fast))
    assert plan is not None
    assert other is not None
    assert plan.executable.ir != other.executable.ir
    assert plan.executable.assembly != other.executable.assembly


def test_what_there_is_not_is_refused():
    with pytest.raises(jitad.InputError, match=r"compile is 'quick'; expected"):
        jitad.jit(np.sin, compile="quick")  # type: ignore[arg-type]


def test_what_is_compiled_quickly_is_not_simplified():
    """LLVM would say on stderr of each such function that it skips it."""
    call = jitad.vmap(jitad.grad(lambda x: np.sin(x[0]) * x[1])).prepare(
        np.ones((9, 2))
    )
    heads = [x for x in call.plan.executable.ir.split("\n") if x.startswith("define")]
    quick = [x for x in heads if "optnone" in x]
    simplified = link._FAST_CODE.findall(call.plan.executable.ir)
    assert quick and "lanes" in simplified
    assert not [x for x in quick for name in simplified if f"@{name}(" in x]


def test_series_are_compiled_once_for_all_that_is_compiled_quickly():
    def f(x):
        return np.sin(x[0]) * np.cos(x[1]) + np.exp(x[2]) * np.sin(1e12 * x[2])

    if not host().fused:
        pytest.skip("no series here: they need a fused multiply-add")
    points = np.linspace(-2.0, 2.0, 27).reshape(9, 3)
    found, texts = {}, {}
    for effort in ("fast", "full"):
        J = jitad.vmap(jitad.jacobian(f), compile=effort)
        found[effort] = J(points)
        texts[effort] = J.prepare(points).plan.executable.ir
    np.testing.assert_array_equal(found["fast"], found["full"])
    for word in ("sin", "cos", "exp"):
        defined, declared = (
            re.compile(rf"^{kind} .*@(series\.{word}\.v\d+f64)\(", re.MULTILINE)
            for kind in ("define internal", "declare")
        )
        (symbol,) = defined.findall(texts["full"])
        assert declared.findall(texts["fast"]) == [symbol]
        assert not defined.search(texts["fast"])
        assert not declared.search(texts["full"])
        assert link.is_shared(symbol)


# As code is made quickly, what LLVM sees to be the argument itself.
_UNCHANGED = [
    lambda x: np.minimum(x, x), lambda x: np.fmax(x, x), lambda x: x + 0,
    lambda x: x | 0, lambda x: x & -1, lambda x: x >> 0, lambda x: np.maximum(x, x) * 1,
]  # fmt: skip
_FLOATS = _UNCHANGED[:3]


@pytest.mark.parametrize("f", _UNCHANGED, ids=range(len(_UNCHANGED)))
@pytest.mark.parametrize("count", [4, 9, 17])
def test_operations_that_change_nothing(f, count):
    x = np.arange(count) - 3
    for dtype in (np.int64, np.int32, np.float64, np.float32):
        given = x.astype(dtype)
        if given.dtype.kind == "i" or f in _FLOATS:
            np.testing.assert_array_equal(jitad.jit(f, compile="fast")(given), given)
