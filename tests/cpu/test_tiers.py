"""Code is made quickly at first, and made again once it has run long enough."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import cache, reduce
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import jitad
from jitad.backends.cpu import link, objects, tiers
from jitad.backends.cpu.executable import HOST
from jitad.plan import pipeline
from tests.support.random_cases import one_of, over, programs
from tests.support.random_graphs import Program
from tests.support.random_programs import KINDS, structured
from tests.support.random_programs import Program as Structured
from tests.support.seen import everything, leaves, spread

X = np.linspace(0.1, 2.0, 300).reshape(100, 3)


def f(x: Any) -> Any:
    return np.stack([np.sin(x[0]) * x[1], x[2] / x[0], np.exp(-x[1])])


@pytest.fixture(autouse=True)
def by_default(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the host do as it does outside of tests, and know no code."""
    monkeypatch.setattr(HOST, "effort", "auto")
    pipeline._compiled.cache_clear()
    yield
    pipeline._compiled.cache_clear()


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How each module of a kernel is compiled, from now on."""
    found, make = [], link.object_code

    def noted(text: str) -> bytes:
        if "@kernel.tiles(" in text:
            found.append("fast" if text.startswith(link.FAST) else "full")
        return make(text)

    monkeypatch.setattr(link, "object_code", noted)
    return found


def soon(monkeypatch: pytest.MonkeyPatch, launches: int = 4) -> None:
    """Let code be made again after so many launches, and a little more."""
    monkeypatch.setattr(tiers, "_LAUNCH", 1.0)
    monkeypatch.setattr(tiers, "_LOST", 0.0)
    init = tiers.Tiers._make

    def make(self: tiers.Tiers, text: str, *, fast: bool) -> tiers.Code:
        self._worth = launches - 0.5
        return init(self, text, fast=fast)

    monkeypatch.setattr(tiers.Tiers, "_make", make)


def executable(function: Any, *args: Any) -> Any:
    plan = function.prepare(*args).plan
    assert plan is not None
    return plan.executable


def test_code_is_made_again_when_it_has_run_long(
    monkeypatch: pytest.MonkeyPatch, compiled: list[str]
) -> None:
    soon(monkeypatch)
    J = jitad.vmap(jitad.jacobian(f))
    results = [J(X) for _ in range(4)]
    assert compiled == ["fast"]
    assert not executable(J, X).settled
    results += [J(X) for _ in range(4)]
    assert compiled == ["fast", "full"]
    assert executable(J, X).settled
    for y in results:
        np.testing.assert_array_equal(y, results[0])


def test_time_and_launches_both_count(
    monkeypatch: pytest.MonkeyPatch, compiled: list[str]
) -> None:
    g = jitad.vmap(jitad.grad(lambda x: np.sin(x).sum()))
    g(X)
    own = executable(g, X).tiers
    assert own._lost >= tiers._LAUNCH
    monkeypatch.setattr(tiers, "_LOST", 1e9)
    g(X)
    assert compiled == ["fast"]
    g(X)
    assert compiled == ["fast", "full"]


def test_a_large_first_batch_gets_the_best_code(
    monkeypatch: pytest.MonkeyPatch, compiled: list[str]
) -> None:
    monkeypatch.setattr(tiers, "_CHARACTER", 1e-9)
    g = jitad.vmap(jitad.grad(lambda x: np.sin(x).sum()))
    g(np.ones((1 << 17, 3)))
    assert compiled == ["full"]
    assert executable(g, X).settled  # the kernel of a batch of any size


def test_long_kernels_are_compiled_once(compiled: list[str]) -> None:
    def step(x: Any, k: int) -> Any:
        return np.stack([x[1] * 0.5 + np.cos(x[0]), x[2] * x[0], x[0] - k * 1e-3])

    jitad.vmap(lambda x: reduce(step, range(900), x))(X[:5])
    assert compiled == ["full"]


@pytest.mark.parametrize("effort", ["full", "fast"])
def test_the_other_efforts_make_code_once(
    monkeypatch: pytest.MonkeyPatch, compiled: list[str], effort: Any
) -> None:
    soon(monkeypatch, 1)
    J = jitad.vmap(jitad.jacobian(f), compile=effort)
    for _ in range(5):
        J(X)
    assert compiled == [effort]


def test_a_call_without_python_waits_for_the_code_that_stays(
    monkeypatch: pytest.MonkeyPatch, compiled: list[str]
) -> None:
    soon(monkeypatch, 6)
    g = jitad.jit(f)
    results = [g(X[0]) for _ in range(6)]
    assert g._fast is None
    results += [g(X[0]) for _ in range(6)]
    assert g._fast is not None
    assert compiled == ["fast", "full"]
    for y in results:
        np.testing.assert_array_equal(y, results[0])


def test_machine_code_of_others_gets_an_address_that_stays(compiled: list[str]) -> None:
    g = jitad.njit(jitad.jacobian(f), X[0])
    assert compiled == ["full"]

    @numba.njit
    def twice(x: Any) -> Any:
        return g(x) + g(x)

    np.testing.assert_array_equal(twice(X[0]), 2 * jitad.jacobian(f)(X[0]))


def test_an_address_that_was_given_away_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    soon(monkeypatch, 2)
    J = jitad.vmap(jitad.jacobian(f))
    own = executable(J, X)
    assert not own.settled
    address = own.address
    assert own.settled
    for _ in range(5):
        J(X)
    assert own.address == address


def test_threads_that_launch_meanwhile_run_what_there_is(
    monkeypatch: pytest.MonkeyPatch, compiled: list[str]
) -> None:
    soon(monkeypatch, 5)
    J = jitad.vmap(jitad.jacobian(f))
    expected = J(X)
    wrong: list[Any] = []

    def run() -> None:
        wrong.extend(y for y in (J(X) for _ in range(30)) if (y != expected).any())

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert compiled == ["fast", "full"]


def test_what_cannot_be_made_now_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    soon(monkeypatch, 1)
    J = jitad.vmap(jitad.jacobian(f))
    expected = J(X)
    with monkeypatch.context() as full, pytest.raises(MemoryError):
        full.setattr(link, "_has_room", lambda size: False)
        J(X)
    np.testing.assert_array_equal(J(X), expected)
    assert executable(J, X).settled


def test_both_are_kept_on_disk(
    monkeypatch: pytest.MonkeyPatch, compiled: list[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("JITAD_CACHE", raising=False)
    monkeypatch.setattr(objects, "stamp", lambda: b"sources")
    monkeypatch.setattr(objects, "_machine", cache(objects._machine.__wrapped__))
    soon(monkeypatch, 3)

    def calls(count: int, x: np.ndarray = X) -> bytes:
        pipeline._compiled.cache_clear()
        J = jitad.vmap(jitad.jacobian(f))
        return [J(x) for _ in range(count)][-1].tobytes()

    first = calls(2)
    assert compiled == ["fast"]
    assert calls(2) == first
    assert compiled == ["fast"]
    assert calls(9) == first
    assert compiled == ["fast", "full"]
    assert calls(9) == first
    assert compiled == ["fast", "full"]
    assert executable(jitad.vmap(jitad.jacobian(f)), X).settled


def test_explain_says_what_code_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    soon(monkeypatch, 2)
    J = jitad.vmap(jitad.jacobian(f))
    quickly = r"made\s+quickly\s+so\s+far"
    assert re.search(quickly, str(jitad.explain(J, X)))
    for _ in range(4):
        J(X)
    assert not re.search(quickly, str(jitad.explain(J, X)))


def same_bits(function: Any, points: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        soon(patch, 1)
        g = jitad.vmap(function, cache=False)
        results = [leaves(g(*points)) for _ in range(3)]
        for one, other in zip(results[0], results[-1], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_random_programs_give_the_same_bits_in_every_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @over(6, programs(10, 40), one_of(["forward", "reverse"]))
    def hold(program: Program, mode: Any) -> None:
        g = jitad.jacobian(program.function, tuple(everything(program)), mode=mode)
        same_bits(g, spread(program, len(program.lines)), monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_random_programs_with_loops_do_so_too(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    @over(1, structured(kind))
    def hold(program: Structured) -> None:
        same_bits(jitad.jacobian(program.function), [program.points], monkeypatch)
