"""A forked child works, whatever the threads of its parent were doing."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest

from jitad.process import locks

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="this system makes no copies of processes"
)

PRELUDE = """
import os, signal, sys, threading, time, warnings
import numba
import numpy as np
import jitad

warnings.simplefilter("ignore", DeprecationWarning)
serial = iter(range(10**9))

def fresh(words=20):
    k = next(serial) + os.getpid() / 7
    def f(x):
        for j in range(words):
            x = np.sin(x * (k + j))
        return x
    return f

def compiles():
    f = fresh(3)
    assert np.isfinite(jitad.vmap(jitad.grad(f))(np.linspace(0.1, 1, 100_000))).all()
    assert np.isfinite(jitad.grad(f)(0.5))

def compiles_with_numba():
    compiles()
    assert np.isfinite(jitad.njit(jitad.grad(fresh(3)), 0.5)(0.5))

def forked(work):
    "Whether a child does some work in time; it is ended if it does not."
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    for _ in range(1200):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False

def during(busy):
    "Let a thread be busy from now on; the function ends it."
    over, begun = threading.Event(), threading.Event()
    def run():
        while not over.is_set():
            begun.set()
            busy()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    begun.wait()
    return over
"""


def in_subprocess(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_a_thread_compiles_kernels() -> None:
    out = in_subprocess(
        """
        over = during(lambda: jitad.grad(fresh(200))(0.5))
        print([forked(compiles) for _ in range(4)])
        over.set()
        compiles()
        """
    )
    assert out.strip() == str([True] * 4)


@pytest.mark.slow
def test_a_thread_compiles_with_numba() -> None:
    out = in_subprocess(
        """
        from numba.core.compiler_lock import global_compiler_lock
        # Numba imports much of itself when it first compiles; whoever forks while a
        # thread imports a module can never import that one in the child.
        compiles_with_numba()
        held = threading.Event()
        def hold():
            with global_compiler_lock:
                held.set()
                while True:
                    numba.njit(fresh(3))(0.5)
        threading.Thread(target=hold, daemon=True).start()
        held.wait()
        print(forked(compiles), forked(compiles_with_numba))
        """
    )
    assert out.split() == ["True"] * 2


@pytest.mark.slow
def test_what_numba_compiles_with_is_imported_before() -> None:
    out = in_subprocess(
        """
        from jitad.backends.cpu import njit
        call = jitad.njit(jitad.grad(fresh()), 0.5)
        known = set(sys.modules)
        call(0.5)
        print(*sorted(set(sys.modules) - known))
        """
    )
    assert not out.split()


@pytest.mark.slow
def test_a_thread_holds_a_lock_of_the_house() -> None:
    out = in_subprocess(
        """
        from jitad.backends.cpu import link, threads
        from jitad.ir import redirect
        import llvmlite.binding as llvm
        locks = [link._SHARED.lock, threads.POOL._starting, redirect._redirection.lock,
                 llvm.ffi.lib._lock._lock]
        for lock in locks:
            def hold():
                with lock:
                    held.set()
                    time.sleep(0.3)
            held = threading.Event()
            threading.Thread(target=hold).start()
            held.wait()
            print(forked(compiles))
        """
    )
    assert out.split() == ["True"] * 4


@pytest.mark.slow
def test_a_thread_imports() -> None:
    """What a first call needs is imported with it, by a thread that the child lacks."""
    out = in_subprocess(
        """
        import importlib
        from jitad.ir.primitive import registry
        import scipy.special
        room = registry.families["scipy.special"]
        own, begun = importlib._bootstrap_external.SourceFileLoader.exec_module, []
        def slowly(loader, module):
            if module.__name__ == room:
                begun.append(room)
                time.sleep(0.5)
            return own(loader, module)
        importlib._bootstrap_external.SourceFileLoader.exec_module = slowly
        thread = threading.Thread(target=compiles)
        thread.start()
        while not begun:
            time.sleep(0.001)
        print(forked(compiles))
        thread.join()
        """
    )
    assert out.split() == ["True"]


def test_locks_are_held_by_no_one_else_and_in_no_order() -> None:
    """A thread that takes two locks the one way round, or the other, is waited for."""
    first, second = locks.lock(), locks.lock()
    for outer, inner in ((first, second), (second, first)):
        held, tried = threading.Event(), threading.Event()

        def nested(
            outer: Any = outer, inner: Any = inner, held: Any = held, tried: Any = tried
        ) -> None:
            with outer:
                held.set()
                tried.wait(0.2)
                with inner:
                    pass

        thread = threading.Thread(target=nested)
        thread.start()
        held.wait()
        locks._take()
        assert not [k for k in (first, second) if _taken_elsewhere(k)]
        tried.set()
        locks._give_back()
        thread.join(10)
        assert not thread.is_alive()
    for each in (first, second):
        locks._HELD.remove(each)


def _taken_elsewhere(lock: Any) -> bool:
    """Whether this thread cannot have a lock at once."""
    if not lock.acquire(blocking=False):
        return True
    lock.release()
    return False


@pytest.mark.slow
def test_a_thread_traces() -> None:
    """The child's functions of SciPy are its own again, and the parent's stay."""
    out = in_subprocess(
        """
        import scipy.special
        inside, over = threading.Event(), threading.Event()
        def waits(x):
            inside.set()
            over.wait(30)
            return scipy.special.logsumexp(np.stack([x, x]))
        own = scipy.special.logsumexp.__code__
        found = []
        thread = threading.Thread(target=lambda: found.append(jitad.jit(waits)(0.5)))
        thread.start()
        inside.wait()
        changed = scipy.special.logsumexp.__code__ is not own
        def child():
            compiles()
            assert scipy.special.logsumexp.__code__ is own
        print(changed, forked(child))
        over.set()
        thread.join()
        print(np.isclose(found[0], 0.5 + np.log(2)))
        print(scipy.special.logsumexp.__code__ is own)
        """
    )
    assert out.split() == ["True"] * 4
