"""What lets a long kernel answer a signal: `jitad.look`, and the watch that it reads.

A kernel with long loops calls `jitad.look` from time to time (`lowering.llvm.watch`).
In the thread that its watch names, which holds the interpreter's lock or has left it,
Python's signal handlers run there; if one raises, so does the call that launched the
kernel, and every thread leaves it.
"""

from __future__ import annotations

import ctypes
import threading

import llvmlite.binding as llvm
import numpy as np

from jitad.lowering.cost import LOOK
from jitad.lowering.llvm.arguments import WATCH

from . import link, objects


def python(name: str) -> str:
    """A function of the interpreter, as LLVM has it."""
    return f"inttoptr (i64 {_address(name)} to ptr)"


def known(name: str) -> str:
    """The symbol of a function of the interpreter, by which modules may call it."""
    symbol = f"python.{name}"
    llvm.add_symbol(symbol, _address(name))
    return f"@{symbol}"


def _address(name: str) -> int:
    function = getattr(ctypes.pythonapi, name)
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def watch(thread: int) -> np.ndarray:
    """What the block of a launch points to; thread: who looks at signals, 0: nobody."""
    return np.array([LOOK, thread], np.int64)


def here() -> np.ndarray:
    """The watch of a launch by this thread: others than the first get no signals."""
    main = threading.current_thread() is threading.main_thread()
    return watch(threading.get_ident() if main else 0)


_FUNCTIONS = (
    *("PyThread_get_thread_ident", "PyGILState_Ensure", "PyErr_CheckSignals"),
    "PyGILState_Release",
)
# The watch of launches that nobody interrupts.
UNWATCHED = watch(0)


def share() -> None:
    """Let modules call `i1 jitad.look(block, account)`: whether to leave the kernel."""
    link.shared(_text(), "jitad.look", link=objects.linked)


def _text() -> str:
    thread, ensure, check, release = map(known, _FUNCTIONS)
    return f"""{link.FAST}
declare i64 {thread}()
declare i32 {ensure}()
declare i32 {check}()
declare void {release}(i32)

define i1 @jitad.look(ptr %block, ptr %account) {{
  %watch.at = getelementptr i64, ptr %block, i64 {WATCH}
  %watch = load ptr, ptr %watch.at
  %first = load atomic i64, ptr %watch seq_cst, align 8
  %left = icmp slt i64 %first, 0
  br i1 %left, label %leave, label %wanted
wanted:
  %thread.at = getelementptr i64, ptr %watch, i64 1
  %thread = load i64, ptr %thread.at
  %own = call i64 {thread}()
  %mine = icmp eq i64 %thread, %own
  br i1 %mine, label %ask, label %stay
ask:
  %state = call i32 {ensure}()
  %raised = call i32 {check}()
  call void {release}(i32 %state)
  %calm = icmp eq i32 %raised, 0
  br i1 %calm, label %stay, label %stop
stop:
  store atomic i64 -1, ptr %watch seq_cst, align 8
  br label %leave
leave:
  ret i1 true
stay:
  store i64 {LOOK}, ptr %account
  ret i1 false
}}
"""
