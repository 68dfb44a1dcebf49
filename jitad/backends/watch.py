"""What lets a long kernel answer a signal: `jitad.look`, and the watch that it reads.

A kernel with long loops calls `jitad.look` from time to time (`lowering.emit_watch`).
In the thread that its watch names, which holds the interpreter's lock or has left it,
Python's signal handlers run there; if one raises, so does the call that launched the
kernel, and every thread leaves it.
"""

from __future__ import annotations

import ctypes
import threading

import numpy as np

from jitad.lowering import frame
from jitad.lowering.work import LOOK

from . import link


def python(name: str) -> str:
    """A function of the interpreter, as LLVM has it."""
    function = getattr(ctypes.pythonapi, name)
    address = ctypes.cast(function, ctypes.c_void_p).value
    return f"inttoptr (i64 {address} to ptr)"


def watch(thread: int) -> np.ndarray:
    """What the block of a launch points to; thread: who looks at signals, 0: nobody."""
    return np.array([LOOK, thread], np.int64)


def here() -> np.ndarray:
    """The watch of a launch by this thread: others than the first get no signals."""
    main = threading.current_thread() is threading.main_thread()
    return watch(threading.get_ident() if main else 0)


# The watch of launches that nobody interrupts.
UNWATCHED = watch(0)


def share() -> None:
    """Let modules call `i1 jitad.look(block, account)`: whether to leave the kernel."""
    link.shared(_text(), "jitad.look")


def _text() -> str:
    return f"""
define i1 @jitad.look(ptr %block, ptr %account) {{
  %watch.at = getelementptr i64, ptr %block, i64 {frame.WATCH}
  %watch = load ptr, ptr %watch.at
  %first = load atomic i64, ptr %watch seq_cst, align 8
  %left = icmp slt i64 %first, 0
  br i1 %left, label %leave, label %wanted
wanted:
  %thread.at = getelementptr i64, ptr %watch, i64 1
  %thread = load i64, ptr %thread.at
  %own = call i64 {python("PyThread_get_thread_ident")}()
  %mine = icmp eq i64 %thread, %own
  br i1 %mine, label %ask, label %stay
ask:
  %state = call i32 {python("PyGILState_Ensure")}()
  %raised = call i32 {python("PyErr_CheckSignals")}()
  call void {python("PyGILState_Release")}(i32 %state)
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
