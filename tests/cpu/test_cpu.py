"""Launching: threads, forks, interrupts, and what the machine says of itself."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import textwrap
import threading

import numba
import numpy as np
import pytest

from jitad.backends.cpu import executable as cpu
from jitad.backends.cpu import fresh, machine, rounds, simd, threads
from jitad.lowering.kernel import Argument, Buffer, Kernel
from tests.support.kernels import run
from tests.support.launches import F8, argument, arrays, kernel

BATCH = 100_003

PRELUDE = """
import os, signal, sys, threading, time
import numpy as np
from tests.support.launches import argument, arrays, kernel
from jitad.backends.cpu import executable as cpu, threads
"""


def launched(executable: cpu.Executable, x: np.ndarray) -> np.ndarray:
    y = np.zeros_like(x)
    executable.launch((len(x),), (argument(x), argument(y)))
    return y


@pytest.fixture(scope="module")
def executable() -> cpu.Executable:
    return cpu.compile(kernel())


def in_subprocess(code: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_results_do_not_depend_on_threads_or_place(executable):
    x, _ = arrays(BATCH)
    before = threads.get_threads()
    try:
        threads.set_threads(1)
        want = launched(executable, x)
        for count in range(1, threads.most_threads() + 1):
            threads.set_threads(count)
            assert np.array_equal(launched(executable, x), want)
    finally:
        threads.set_threads(before)
    for first, size in ((1, 1), (3, 9), (8, 8), (BATCH - 17, 17)):
        part = launched(executable, x[first : first + size].copy())
        assert np.array_equal(part, want[first : first + size])


def test_threads_are_counted():
    with pytest.raises(ValueError, match="expected 1 to"):
        threads.set_threads(0)
    with pytest.raises(ValueError, match="expected 1 to"):
        threads.set_threads(threads.most_threads() + 1)


@pytest.mark.parametrize("given", ["", "3"])
def test_there_are_as_many_threads_as_numba_has(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", given)
    own = numba.config.NUMBA_DEFAULT_NUM_THREADS  # pyright: ignore
    assert threads.most_threads() == (int(given) if given else own)


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5"])
def test_a_number_of_threads_that_is_none(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", given)
    with pytest.raises(ValueError, match="expected a whole number of threads"):
        threads.most_threads()


@pytest.mark.parametrize("mode", [0, 1, 2])
@pytest.mark.parametrize("layout", ["rows", "streams"])
@pytest.mark.parametrize("shift", [0, 8])
def test_ways_of_writing_agree(mode, layout, shift, monkeypatch):
    monkeypatch.setattr(rounds, "mode", lambda *_, **__: mode)
    x, _ = arrays(1003)
    memory = np.zeros(x.size + 8)
    y = memory[shift // 8 :][: x.size]
    if layout == "rows":
        y, where = y.reshape(1003, 3), Argument(y.ctypes.data, (24,), 8)
        y_axes = y
    else:
        y, where = y.reshape(3, 1003), Argument(y.ctypes.data, (8,), 8 * 1003)
        y_axes = y.T
    given = kernel()
    buffers = (given.buffers[0], Buffer("y", F8, 3, (0,), layout, True))
    executable = cpu.compile(Kernel(buffers, 1, given.body))
    executable.launch((1003,), (argument(x), where))
    assert np.array_equal(y_axes, launched(cpu.compile(given), x))
    assert not memory[x.size + shift // 8 :].any()


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_many_callers_at_once(layer):
    out = in_subprocess(
        """
        e = cpu.compile(kernel())
        x, _ = arrays(200_000)
        want = np.sin(np.sin(np.sin(np.sin(x))))
        bad = []
        def call():
            for _ in range(10):
                y = np.zeros_like(x)
                e.launch((len(x),), (argument(x), argument(y)))
                if not np.allclose(y, want, rtol=1e-14):
                    bad.append(1)
        callers = [threading.Thread(target=call) for _ in range(4)]
        [c.start() for c in callers]
        [c.join() for c in callers]
        print(len(bad))
        """,
        NUMBA_THREADING_LAYER=layer,
    )
    assert out.split() == ["0"]


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_call_after_fork(layer):
    out = in_subprocess(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        e = cpu.compile(kernel())
        x, y = arrays(200_000)
        def call():
            y[:] = 0
            e.launch((len(x),), (argument(x), argument(y)))
            return np.allclose(y, np.sin(np.sin(np.sin(np.sin(x)))), rtol=1e-14)
        first = call()
        child = os.fork()
        if child == 0:
            os._exit(0 if call() else 1)
        _, status = os.waitpid(child, 0)
        print(first, status, call())
        """,
        NUMBA_THREADING_LAYER=layer,
    )
    assert out.split() == ["True", "0", "True"]


@pytest.mark.slow
def test_interrupt_ends_a_long_launch():
    out = in_subprocess(
        """
        e = cpu.compile(kernel(200))
        x, y = arrays(1)
        count = 50_000_000
        # A lane stride of zero makes a long launch of a small array.
        from dataclasses import replace
        still = lambda a: replace(argument(a), strides=(0,))
        def interrupt():
            time.sleep(0.5)
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)
        sent = []
        # A shell may have started the tests with the signal ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=interrupt).start()
        try:
            e.launch((count,), (still(x), still(y)))
        except KeyboardInterrupt:
            print(time.perf_counter() - sent[0] < 1.0)
        """
    )
    assert out.split() == ["True"]


def test_nothing_to_do(executable):
    x, _ = arrays(0)
    assert launched(executable, x).shape == (0, 3)


@pytest.mark.slow
def test_import_starts_nothing():
    out = in_subprocess(
        """
        print(threading.active_count(), "numba.cuda" in sys.modules)
        from numba.np.ufunc import parallel
        print(parallel._is_initialized)
        """
    )
    assert out.split() == ["1", "False", "False"]


def test_entry_runs_a_kept_block(executable):
    x, y = arrays(5)
    block = executable.block((5,), (argument(x), argument(y)))
    executable.entry(block.ctypes.data, 0, 5)
    assert np.array_equal(y, launched(executable, x))
    (again,) = run(executable.kernel, (5,), [x], executable)
    assert np.array_equal(again, y)


def test_executable_describes_itself(executable):
    assert executable.width == machine.vector_width() // 8
    assert executable.compile_seconds > 0
    assert "define" in executable.ir
    assert "ret" in executable.assembly
    assert executable.spills >= 0


@pytest.mark.parametrize(
    "line", ["movaps\t%xmm1, 16(%rsp)", "vmovups\t%ymm15, -8(%rbp)"]
)
def test_spills_are_counted_with_avx_and_without(line):
    rows = [row for row in simd.ROWS if row.processor == "x86_64"]
    assert all(len(re.findall(row.spill, f"a:\n\t{line}\n\tret")) == 1 for row in rows)
    assert not re.findall(simd.Simd(16).spill, f"\t{line}")


def test_machine_describes_itself():
    assert machine.vector_width() == max(simd.widths())
    assert {*simd.widths()} <= simd.of_processor().keys()
    assert machine.last_level_cache_bytes() >= 1 << 18
    assert machine.copy_bandwidth() > 1e8
    assert machine.copy_bandwidth() == machine.copy_bandwidth()
    assert "libm" in machine.math_library()


def test_threads_made_for_one_launch_do_the_same(monkeypatch):
    counts = []

    def tiles(*_):
        counts.append(threading.get_ident())

    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(tiles)
    address = ctypes.cast(function, ctypes.c_void_p).value
    for semaphores in (True, False):
        counts.clear()
        monkeypatch.setattr(threads, "_SEMAPHORES", semaphores)
        threads.Pool().run(address, 0, 1)
        assert counts == [threading.get_ident()]
    threads.Pool().run(address, 0, 3)
    assert len(counts) == 4


def test_a_large_array_begins_on_a_cache_line():
    for shape in ((), (0, 3), (5,), (7, 2), (1 << 17,), (1 << 16, 3)):
        for dtype in (np.float64, np.float32, np.bool_):
            a = fresh.empty(shape, np.dtype(dtype))
            assert a.shape == shape and a.dtype == dtype
            assert a.ctypes.data % 64 == 0 or a.nbytes < 1 << 16
            assert a.flags.c_contiguous and a.flags.writeable
