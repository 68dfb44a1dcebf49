"""NumPy copying as many bytes as the work must move: half of them read, half written.

Reading and writing are both counted, as they are in the work's own bytes; an array of
half the inputs and outputs is copied. NumPy copies with one thread; the line with all
threads shows what the memory gives. With PyTorch in the process the C library keeps
freed memory, and "fresh" results cost no page faults: ``--tools jitad,numpy`` shows
what they cost a user of NumPy alone.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from benchmarks.harness import Participant, Runner
from benchmarks.work import Setting, Work

COPY = "NumPy copy of the bytes"


def participants(work: Work, setting: Setting) -> list[Participant]:
    """A copy by one thread, by all threads, and into a fresh array."""
    if not work.copies:
        return []
    return [
        Participant(COPY, partial(prepare, work, 1)),
        Participant(
            f"copy, {setting.threads} threads", partial(prepare, work, setting.threads)
        ),
        Participant("copy, fresh result", partial(fresh, work)),
    ]


def prepare(work: Work, threads: int) -> Runner:
    """Copy into an array whose pages are there."""
    source = np.ones(work.nbytes // 16)
    target = np.zeros_like(source)
    if threads == 1:
        return Runner(lambda: np.copyto(target, source), lambda _: None)
    pool = ThreadPoolExecutor(threads)
    parts = list(
        zip(
            np.array_split(target, threads),
            np.array_split(source, threads),
            strict=True,
        )
    )

    def call() -> None:
        list(pool.map(lambda part: np.copyto(*part), parts))

    return Runner(call, lambda _: None)


def fresh(work: Work) -> Runner:
    """Copy into a new array: the system hands out its pages one by one."""
    source = np.ones(work.nbytes // 16)
    return Runner(source.copy, lambda _: None)
