"""C written by hand, compiled by ``gcc -O3 -march=native``, called through ctypes.

The derivatives are derived on paper. Arrays are reused, so their pages are there.
"""

from __future__ import annotations

import ctypes
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.compiler import compile_c
from benchmarks.harness import Participant, Runner, UnavailableError
from benchmarks.work import Setting, Work

FOLDER = Path(__file__).parent.parent / "native"


def participants(work: Work, setting: Setting) -> list[Participant]:
    """One, where the Work names its C."""
    if work.native is None:
        raise UnavailableError("no C was written for this")
    return [Participant("C by hand", partial(prepare, work, setting.threads))]


def prepare(work: Work, threads: int) -> Runner:
    """Compile and load ``void symbol(long points, in, out, long threads)``."""
    file, symbol = str(work.native).split(":")
    with tempfile.TemporaryDirectory() as folder:
        library = ctypes.CDLL(str(compile_c(FOLDER / file, Path(folder))))
    kernel = library[symbol]
    kernel.restype = None
    size = ctypes.c_long(work.native_size or work.points)
    threads_ = ctypes.c_long(threads)
    outputs = work.new_outputs()
    kept = [np.ascontiguousarray(x) for x in work.inputs]
    pointers_in, pointers_out = pointers(kept), pointers(outputs)

    def call() -> tuple[np.ndarray, ...]:
        kernel(size, pointers_in, pointers_out, threads_)
        return outputs

    return Runner(call, lambda result: (kept, result)[1])


def pointers(arrays: list[np.ndarray] | tuple[np.ndarray, ...]) -> ctypes.Array:
    """A C array of the arrays' addresses."""
    return (ctypes.c_void_p * len(arrays))(*(x.ctypes.data for x in arrays))
