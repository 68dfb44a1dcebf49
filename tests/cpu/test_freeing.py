"""Compiled code lives as long as something may call it, and no longer."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import jitad
from jitad.backends.cpu import link, threads
from jitad.plan import pipeline

MAPS = Path("/proc/self/maps")
KEPT = 4
X = np.array([0.3, 0.7, 1.1])
TEXT = "define i64 @answer() {\n  ret i64 42\n}\n"
ANSWER = ctypes.CFUNCTYPE(ctypes.c_int64)


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """How many libraries are there that were linked since; few kernels are cached."""
    few = lru_cache(maxsize=KEPT)(pipeline._compiled.__wrapped__)
    monkeypatch.setattr(pipeline, "_compiled", few)
    jitad.jit(np.sin)(0.5)
    threads._functions()  # with what all kernels share, this stays
    pipeline._compiled.cache_clear()
    made: weakref.WeakSet[link.Library] = weakref.WeakSet()
    begin = link.Library.__init__

    def noted(self: link.Library, *args: Any) -> None:
        begin(self, *args)
        made.add(self)

    monkeypatch.setattr(link.Library, "__init__", noted)
    gc.collect()
    gc.disable()
    yield lambda: len(made)
    gc.enable()


def value(d: np.ndarray) -> Any:
    return jitad.jit(lambda x: np.sum(np.sin(x * d)))


def fast(d: np.ndarray) -> Any:
    f = jitad.grad(lambda x: np.sum(np.sin(x * d)))
    for _ in range(5):
        f(X)
    assert f._fast is not None
    return f


def batch(d: np.ndarray) -> Any:
    f = jitad.vmap(jitad.jacobian(lambda x: np.sin(x * d)), in_axes=-1)
    return lambda x: f(np.stack([x, x], axis=-1))


def total(d: np.ndarray) -> Any:
    data = np.outer(np.arange(200), d)
    return jitad.grad(lambda x: np.sum(jitad.vmap(lambda r: np.sin(r @ x) ** 2)(data)))


def stepped(d: np.ndarray) -> Any:
    def f(x: Any) -> Any:
        return jitad.scan(lambda c, z: (c * d[0] + z, None), 0.0, x)[0]

    return jitad.grad(f)


def solved(d: np.ndarray) -> Any:
    return jitad.grad(lambda x: jitad.root(lambda y: y**3 + y * d[0] - x[0], 0.5))


def branched(d: np.ndarray) -> Any:
    return jitad.grad(lambda x: np.sin(x[0]) * d[0] if x[1] > d[1] else x[0] * d[2])


@pytest.mark.slow
@pytest.mark.parametrize("make", [value, fast, batch, total, stepped, solved, branched])
def test_functions_over_new_data_are_freed(
    libraries: Callable[[], int], make: Callable[[np.ndarray], Any]
) -> None:
    rng = np.random.default_rng(0)
    for _ in range(3 * KEPT):
        make(rng.normal(size=3))(X)
    assert libraries() <= KEPT
    pipeline._compiled.cache_clear()
    assert libraries() == 0


@pytest.mark.slow
@pytest.mark.skipif(not MAPS.exists(), reason="this system does not tell its maps")
def test_memory_maps_are_given_back() -> None:
    def maps() -> int:
        return len(MAPS.read_text().splitlines())

    link.link(TEXT)
    before = maps()
    for _ in range(200):
        assert link.link(TEXT).function("answer", ANSWER)() == 42
    assert maps() < before + 20


def test_a_function_keeps_its_library(libraries: Callable[[], int]) -> None:
    function = link.link(TEXT).function("answer", ANSWER)
    assert (libraries(), function()) == (1, 42)
    del function
    assert libraries() == 0


def test_a_fast_call_keeps_its_kernel(libraries: Callable[[], int]) -> None:
    function = fast(np.ones(3))
    call = function._fast
    del function
    pipeline._compiled.cache_clear()
    for k in range(2 * KEPT):
        value(np.full(3, float(k)))(X)
    np.testing.assert_allclose(call(X), np.cos(X), rtol=1e-15)
    pipeline._compiled.cache_clear()
    assert libraries() == 2
    del call
    assert libraries() == 0


def test_a_running_kernel_is_not_freed(libraries: Callable[[], int]) -> None:
    found = []
    box = [jitad.jit(lambda x: jitad.fori_loop(0, 10**7, lambda i, c: c / 2 + x, x))]
    box[0](1.0)
    started = threading.Event()

    def run() -> None:
        call = box.pop()
        started.set()
        found.append(call(2.0))

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    pipeline._compiled.cache_clear()
    for k in range(2 * KEPT):
        value(np.full(3, float(k)))(X)
    thread.join()
    assert found == [4.0]
    pipeline._compiled.cache_clear()
    assert libraries() == 0


@pytest.mark.slow
def test_what_numba_compiled_keeps_its_kernel(libraries: Callable[[], int]) -> None:
    slope = jitad.njit(jitad.grad(lambda x: np.sum(np.sin(x))), X)

    @numba.njit
    def double(x: np.ndarray) -> np.ndarray:
        return 2 * slope(x)

    np.testing.assert_allclose(double(X), 2 * np.cos(X), rtol=1e-15)
    kept = libraries()
    slope = None
    pipeline._compiled.cache_clear()
    gc.collect()
    assert libraries() == kept > 0
    np.testing.assert_allclose(double(X), 2 * np.cos(X), rtol=1e-15)


LIMIT = """
import mmap
import numpy as np
import jitad

def make(k):
    return jitad.jit(lambda x: np.sin(x * k))

kept = [make(1.0)]
kept[0](1.0)
maps = []
try:
    while True:
        maps.append(mmap.mmap(-1, 4096))
except OSError:
    del maps[:60]
k = 1.0
try:
    while True:
        k += 1.0
        kept.append(make(k))
        kept[-1](1.0)
except MemoryError as error:
    print(1 < len(kept) < 60 and "memory maps" in str(error))
del maps[:100]
print(kept[0](1.0) == np.sin(1.0), make(0.5)(1.0) == np.sin(0.5))
"""


@pytest.mark.slow
@pytest.mark.skipif(not MAPS.exists(), reason="other systems have other limits")
def test_at_the_limit_there_is_an_error() -> None:
    result = subprocess.run(
        [sys.executable, "-c", LIMIT],
        capture_output=True, text=True, timeout=120, check=False,
        env={"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["True"] * 3
