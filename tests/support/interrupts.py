"""Run code in a process of its own that sends itself signals."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

PRELUDE = """
import signal, threading, time
import numpy as np
import jitad
from jitad import fori_loop, while_loop

def interrupted(call, after=0.2):
    "Whether a signal that comes while something runs ends it."
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, after)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return False
"""


def in_subprocess(code: str) -> list[str]:
    result = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    return result.stdout.split()
