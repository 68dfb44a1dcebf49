"""A signal ends whatever runs or compiles, and what it leaves is in order."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from types import FrameType
from typing import Any

import numpy as np
import pytest

from jitad.backends.cpu import executable as cpu
from jitad.backends.cpu import threads, watch
from jitad.lowering.kernel import Buffer, Kernel
from jitad.lowering.llvm.arguments import WATCH
from jitad.lowering.statements import Carried, Const, Load, Op, Repeat, Store
from tests.support.interrupts import in_subprocess
from tests.support.kernels import run

F8 = np.dtype("f8")
pytestmark = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="this system has no timers"
)


@pytest.mark.slow
def test_long_calls_are_interrupted() -> None:
    """Each would run for an hour."""
    found = in_subprocess(
        """
        x, X = 0.5, np.linspace(0.1, 0.9, 3)

        def steps(x, n=10**11):
            return fori_loop(0, n, lambda i, c: np.sin(c) + x, x)

        def nested(x):
            forever = lambda c: while_loop(
                lambda d: d > -2.0, lambda d: 0.5 * np.cos(d) + x, c, max_steps=10**11)
            return while_loop(lambda c: c > -2.0, forever, x)

        def inside(x):
            return fori_loop(0, 10, lambda i, c: c + steps(x), x)

        def branched(x):
            return jitad.cond(x > 0, lambda: steps(x), lambda: x)

        def slope(x):
            return jitad.jvp(steps, (x,), (1.0,))

        def total(x):
            data = np.linspace(0.1, 0.9, 700)
            return np.sum(jitad.vmap(lambda d: x * steps(d))(data))

        short = jitad.jit(lambda x: steps(x, 1))
        for f in (steps, nested, inside, branched, slope, total):
            one, few = jitad.jit(f), jitad.vmap(jitad.jit(f))
            for call, given in ((one, x), (few, X)):
                call.prepare(given)
                print(interrupted(lambda: call(given)), short(x) == np.sin(x) + x)
            print(interrupted(lambda: one(x)))
        """
    )
    assert found == ["True"] * 30


@pytest.mark.slow
def test_loops_over_large_arrays_are_interrupted() -> None:
    """One of small steps, and one whose steps all threads share."""
    found = in_subprocess(
        """
        def body(i, u):
            v = u.copy()
            v[1:-1] += 0.1 * (u[2:] - u[:-2])
            return v

        for n in (1000, 1_000_000):
            u = np.linspace(0.0, 1.0, n)
            f = jitad.jit(lambda u: fori_loop(0, 10**9, body, u))
            g = jitad.jit(lambda u: fori_loop(0, 3, body, u))
            want = g(u)
            f.prepare(u)
            print(interrupted(lambda: f(u)), (g(u) == want).all())
        """
    )
    assert found == ["True"] * 4


@pytest.mark.slow
def test_handlers_run_while_a_kernel_does() -> None:
    """They may call what they interrupt; another thread's kernel goes on."""
    found = in_subprocess(
        """
        f = jitad.jit(lambda n, x: fori_loop(0, n, lambda i, c: np.cos(c) * x, x))
        count = 9_000_000
        want, seen, others = f(5, 0.5), [], []
        whole = f(count, 0.5)
        other = threading.Thread(target=lambda: others.append(f(count, 0.5)))
        other.start()
        signal.signal(signal.SIGALRM, lambda *_: seen.append(f(5, 0.5)))
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        print(f(count, 0.5) == whole)
        signal.setitimer(signal.ITIMER_REAL, 0)
        other.join()
        print(len(seen) > 1, set(seen) == {want}, others == [whole])
        """
    )
    assert found == ["True"] * 4


@pytest.mark.slow
def test_an_interrupt_while_compiling_is_raised() -> None:
    found = in_subprocess(
        """
        def fresh(k):
            def f(x):
                for j in range(300):
                    x = np.sin(x * (k + j))
                return x
            return jitad.jit(f)

        start = time.perf_counter()
        fresh(0.5)(0.3)
        whole = time.perf_counter() - start
        print(*[interrupted(lambda: fresh(1.5 + k)(0.3), whole * (k + 0.5) / 12)
                for k in range(9)])
        print(np.isfinite(fresh(0.25)(0.3)))
        """
    )
    assert found[-1] == "True"
    # The first compiles what kernels share, too, and takes longer than the others.
    assert found[:4] == ["True"] * 4


BUFFERS = (
    Buffer("x", F8, 1, (0,), "rows", False),
    Buffer("y", F8, 1, (0,), "rows", True),
)


def looping(bound: int, length: int = 1) -> Kernel:
    """Add 1 to x again and again, and negate it."""
    adds = [Op(10 + k, "add", (2 if not k else 9 + k, 1), F8) for k in range(length)]
    carried = (Carried(2, 0, 9 + length, 4, F8),)
    loop = Repeat(3, bound, None, carried, (), None, tuple(adds))
    body = (Load(0, 0, 0, F8), Const(1, 1.0, F8), loop, Op(5, "neg", (4,), F8))
    return Kernel(BUFFERS, 1, (*body, Store(1, 0, 5)))


@pytest.mark.parametrize("longest", [3000, 4])
def test_only_long_loops_are_watched(longest: int) -> None:
    x = np.linspace(0.0, 1.0, 5)
    for bound, watched in ((1000, False), (4 * 10**6, True)):
        made = cpu.compile(looping(bound, 6), longest=longest)
        assert ("@jitad.look(" in made.ir) == watched == made.watched
    (y,) = run(made.kernel, (5,), [x[:, None]], made)
    np.testing.assert_array_equal(y[:, 0], -(x + 24e6))


@pytest.mark.parametrize("longest", [3000, 4])
def test_a_kernel_that_is_not_wanted_is_left(longest: int) -> None:
    """Nobody waits for 10^12 iterations, in the parts of a kernel neither."""
    made = cpu.compile(looping(10**12, 6), longest=longest)
    x, y = np.ones((9, 1)), np.full((9, 1), 7.0)
    left = watch.watch(0)
    left[0] = -1
    given = [cpu.Argument(a.ctypes.data, a.strides[:1], 8) for a in (x, y)]
    block = made.block((9,), given, left)
    assert block[WATCH] == left.ctypes.data
    made.entry(block.ctypes.data, 0, 9)
    assert (y[:8] == 7).all()


class Interrupts:
    """Raises KeyboardInterrupt in `Pool.run`, after so many of its instructions."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, seen: FrameType, event: str, _: Any) -> Any:
        if seen.f_code is not threads.Pool.run.__code__:
            return None
        seen.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        return self


@pytest.mark.skipif(
    not threads._SEMAPHORES, reason="threads are made for each launch here"
)
def test_threads_work_after_an_interrupt_at_any_instruction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "most_threads", lambda: 2)
    pool, all_here = threads.Pool(2), threading.Barrier(2)
    met: list[int] = []

    def tiles(*_: Any) -> None:
        try:
            met.append(all_here.wait(10))
        except threading.BrokenBarrierError:
            met.append(-1)

    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(tiles)
    address = ctypes.cast(function, ctypes.c_void_p).value or 0
    interrupts, before = 0, sys.gettrace()
    while True:
        sys.settrace(Interrupts(interrupts))
        try:
            pool.run(address, 0, 2)
            interrupted = False
        except KeyboardInterrupt:
            interrupted = True
        finally:
            sys.settrace(before)
        met.clear()
        pool.run(address, 0, 2)
        assert sorted(met) == [0, 1], interrupts
        if not interrupted:
            break
        interrupts += 1
    assert interrupts > 10
