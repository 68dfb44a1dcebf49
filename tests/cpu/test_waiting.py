"""What takes long is told of, and its wait can be interrupted."""

from __future__ import annotations

import io
import threading
from types import SimpleNamespace

import numpy as np
import pytest

import jitad
from jitad.backends.cpu import link
from jitad.process import waiting
from tests.support.interrupts import in_subprocess


class Stream(io.StringIO):
    """A stderr that says when something has been written."""

    def __init__(self, *, terminal: bool = False) -> None:
        super().__init__()
        self.terminal, self.written = terminal, threading.Event()

    def isatty(self) -> bool:
        return self.terminal

    def flush(self) -> None:
        self.written.set()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Stream:
    stream = Stream()
    # pytest puts its own into sys again and again.
    monkeypatch.setattr(waiting, "sys", SimpleNamespace(stderr=stream))
    monkeypatch.setattr(waiting, "SECONDS", 0.01)
    return stream


@pytest.mark.parametrize(
    ("stage", "size", "said"),
    [
        ("traced", 7, "jitad: f is being traced, 7 operations, for 0 s"),
        ("compiled", 12_345, "compiled, 12,345 operations, for 0 s; a loop of Python"),
        ("differentiated", 7, 'for 0 s; mode="forward" or "reverse"'),
    ],
)
def test_what_takes_long_is_told_of_once(
    stage: str, size: int, said: str, told: Stream
) -> None:
    with waiting.watched("f"), waiting.watched("g"), waiting.stage(stage, lambda: size):
        assert told.written.wait(60)
        with waiting.stage("made scalar", lambda: 0):
            pass
    assert said in told.getvalue()
    assert told.getvalue().count("\n") == 1


def test_the_stages_of_a_call_are_told(told: Stream) -> None:
    seen = []

    def f(x):
        assert told.written.wait(60)
        seen.append(told.getvalue())
        return np.sin(x) * x

    jitad.vmap(jitad.grad(f))(np.ones(3))
    (text,) = seen
    assert text.startswith("jitad: vmap(grad(f)) is being traced, 1 operations")


def test_a_terminal_has_a_bar(told: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    made = threading.Event()

    class Bar:
        def __init__(self, **options) -> None:
            assert options["total"] == len(waiting.STAGES)
            assert options["file"] is told

        def __enter__(self):
            made.set()
            return self

        def __exit__(self, *error) -> None:
            pass

    told.terminal = True
    monkeypatch.setattr(waiting.tqdm, "tqdm", Bar, raising=False)
    with waiting.watched("f"):
        assert made.wait(60)


def test_cycles_are_not_looked_for_meanwhile() -> None:
    found = in_subprocess(
        """
        import gc, os

        def child(see):
            "What a child that is forked here finds."
            pid = os.fork()
            if not pid:
                os._exit(see())
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        def f(x):
            seen.append(gc.isenabled())
            if threading.current_thread() is threading.main_thread():
                seen.append(child(gc.isenabled))
            else:
                inside.set()
                go.wait()
            return x * x

        for enabled in (True, False):
            gc.enable() if enabled else gc.disable()
            seen = []
            jitad.grad(f)(1.0)
            print(seen == [False, False], gc.isenabled() == enabled)
            try:
                jitad.jit(lambda x: f(x) + None)(1.0)
            except TypeError:
                print(gc.isenabled() == enabled)
        gc.enable()
        inside, go, seen = threading.Event(), threading.Event(), []
        other = threading.Thread(target=lambda: jitad.jit(f)(1.0))
        other.start()
        inside.wait()
        print(not gc.isenabled(), child(gc.isenabled) == 1)
        go.set()
        other.join()
        print(gc.isenabled())
        """
    )
    assert found == ["True"] * 9


def test_what_is_quick_is_not_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    before = threading.active_count()
    assert jitad.jit(lambda x: 2.0 * x)(1.5) == 3.0
    assert not capsys.readouterr().err
    assert threading.active_count() <= before + 1


def test_work_for_another_thread_gives_what_it_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = threading.get_ident()
    assert waiting.interruptibly(lambda _: threading.get_ident(), 0) != here
    with pytest.raises(ZeroDivisionError):
        waiting.interruptibly(lambda x: 1 / x, 0)
    found = []

    def inside() -> None:
        found.append(waiting.interruptibly(lambda _: threading.get_ident(), 0))

    other = threading.Thread(target=inside)
    other.start()
    other.join()
    assert found == [other.ident]
    monkeypatch.setattr(link, "_LONG", 0)
    assert jitad.jit(lambda x: 3.0 * x + 0.125)(1.5) == 4.625


def test_without_threads_calls_are_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    monkeypatch.setattr(link, "_LONG", 0)
    assert jitad.jit(lambda x: 5.0 * x + 0.25)(1.5) == 7.75


def test_an_interrupt_ends_the_wait_at_once() -> None:
    """The work goes on, and the process ends only after it."""
    found = in_subprocess(
        """
        from jitad.process import waiting
        asked, free, ended = threading.Event(), threading.Event(), []

        def work(_):
            asked.set()
            free.wait()
            ended.append(True)
            print("ended")

        print(interrupted(lambda: waiting.interruptibly(work, 0), 0.05))
        print(asked.is_set(), ended == [], jitad.jit(np.sin)(0.0) == 0.0)
        free.set()
        """
    )
    assert found == ["True"] * 4 + ["ended"]
