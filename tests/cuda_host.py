"""Run the text of GPU kernels on the host: its C++ compiler and a shim stand in."""

from __future__ import annotations

import ctypes
import itertools
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numba.extending import get_cython_function_address

from jitad.lowering.columns import split
from jitad.lowering.cuda_functions import accumulator
from jitad.lowering.cuda_parameters import flatten
from jitad.lowering.emit_cuda import NAME, emit, emit_columns, totals_name
from jitad.lowering.fuse import fuse
from jitad.lowering.kernel import Argument, Kernel

COMPILER = shutil.which("c++") or shutil.which("g++")
needs_compiler = pytest.mark.skipif(
    COMPILER is None, reason="no C++ compiler, to run the text of GPU kernels"
)
SHIM = Path(__file__).parent / "cuda_host.h"
_SHAPES = ((1, 1), (3, 5), (2, 32))
_numbers = itertools.count()


@dataclass(frozen=True)
class Launch:
    """A kernel whose text is compiled for the host.

    blocks   how many there are, of a kernel with sums; else how many without a lane
    threads  in each
    columns  into how many column blocks it is split
    """

    kernel: Kernel
    library: ctypes.CDLL
    name: str
    blocks: int = 3
    threads: int = 5
    columns: int = 1

    def launch(self, extents: Sequence[int], arguments: Sequence[Argument]) -> None:
        """Run it; there must be no sums."""
        numbers = flatten(self.kernel, extents, _placed(arguments))
        full = -(-extents[0] // self.threads)
        blocks = (full + self.blocks) * self.columns
        launch(self.library, self.name, numbers, blocks, self.threads, waiting=False)

    def total(
        self, count: int, arguments: Sequence[Argument | None]
    ) -> list[np.ndarray]:
        """The sums over count lanes of a kernel; arguments are None for these."""
        pairs = list(zip(self.kernel.buffers, arguments, strict=True))
        partial = [
            np.full((b.elements, self.blocks), 77, accumulator(b.dtype))
            for b, a in pairs
            if a is None
        ]
        places = (Argument(p.ctypes.data, ()) for p in partial)
        given = _placed([next(places) if a is None else a for _, a in pairs])
        numbers = flatten(self.kernel, (count,), given)
        shape = self.blocks * self.columns, self.threads
        launch(self.library, self.name, numbers, *shape, waiting=True)
        found = []
        sums = [b for b, a in pairs if a is None]
        for b, p in zip(sums, partial, strict=True):
            out = np.full(b.elements, 77, b.dtype)
            numbers = [self.blocks, p.ctypes.data, out.ctypes.data]
            name = totals_name(self.name, b.dtype)
            launch(self.library, name, numbers, len(p), 4, waiting=True)
            found.append(out)
        return found


def launch(
    library: ctypes.CDLL,
    name: str,
    numbers: Sequence[int],
    blocks: int,
    threads: int,
    *,
    waiting: bool,
) -> None:
    """Run a kernel of a library; waiting: its threads at once, for they wait."""
    words = np.array(numbers, np.int64)
    function = getattr(library, f"launch_{name}")
    function(ctypes.c_void_p(words.ctypes.data), blocks, threads, waiting)


def _placed(arguments: Sequence[Argument]) -> list[Argument]:
    """Tables of offsets by their addresses, as on the device."""
    return [
        Argument(a.address, a.strides, a.elements.ctypes.data)
        if isinstance(a.elements, np.ndarray)
        else a
        for a in arguments
    ]


def build(kernels: Sequence[Kernel]) -> list[Launch]:
    """Compile kernels in one go, each to be launched in several blocks of threads."""
    library, names = _library(tuple(kernels))
    return [Launch(k, library, name) for k, name in zip(kernels, names, strict=True)]


def in_columns(kernels: Sequence[Kernel], count: int) -> list[Launch]:
    """As `build`, each kernel split into so many column blocks, or fewer."""
    parts = [split(fuse(k), count) for k in kernels]
    names = [f"k{next(_numbers)}" for _ in kernels]
    texts = [emit_columns(p, name=n) for p, n in zip(parts, names, strict=True)]
    library = compiled("\n".join(map(_apart, names, texts)))
    return [
        Launch(k, library, name, columns=len(own))
        for k, name, own in zip(kernels, names, parts, strict=True)
    ]


def shapes(launch: Launch) -> list[Launch]:
    """The same kernel in grids of several shapes."""
    return [replace(launch, blocks=b, threads=t) for b, t in _SHAPES]


@cache
def _library(kernels: tuple[Kernel, ...]) -> tuple[ctypes.CDLL, list[str]]:
    names = [f"k{next(_numbers)}" for _ in kernels]
    pairs = zip(kernels, names, strict=True)
    return compiled("\n".join([hosted(k, name) for k, name in pairs])), names


def hosted(kernel: Kernel, name: str = NAME) -> str:
    """The text of a kernel, with functions that launch it and what adds up its sums."""
    return _apart(name, emit(kernel, name=name))


def _apart(name: str, text: str) -> str:
    return f"namespace space_{name} {{\n{launchers(text)}}}\n"


_ENTRY = re.compile(r'extern "C" __global__ void (\w+)\(([^)]*)\)')


def launchers(text: str) -> str:
    """The text of kernels, each with a function that launches it on its numbers."""
    lines = [text]
    for name, declared in _ENTRY.findall(text):
        kinds = [p.rpartition(" ")[0].strip() for p in declared.split(",")]
        kinds = [k.replace("__restrict__", "") for k in kinds]
        given = ", ".join(f"({kind})a[{k}]" for k, kind in enumerate(kinds))
        lines.append(_calling(name, given))
    return "\n".join([*lines, ""])


def _calling(name: str, given: str) -> str:
    return (
        f"static void call_{name}(const long long *a) {{ {name}({given}); }}\n"
        f'extern "C" void launch_{name}(const long long *a, unsigned blocks, '
        "unsigned threads, bool waiting) "
        f"{{ launch(call_{name}, a, blocks, threads, waiting); }}"
    )


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="jitad-tests-")


def compiled(text: str) -> ctypes.CDLL:
    """The text of kernels as a library in this process."""
    assert COMPILER is not None
    path = Path(_folder().name) / f"{next(_numbers)}.cpp"
    path.write_text(f'#include "{SHIM}"\n{text}')
    made = path.with_suffix(".so")
    options = ["-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-shared", "-pthread"]
    command = [COMPILER, *options, str(path), "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]
    library = ctypes.CDLL(str(made))
    place = ctypes.c_void_p.in_dll(library, "host_erfinv")
    place.value = get_cython_function_address(
        "scipy.special.cython_special", "__pyx_fuse_0erfinv"
    )
    return library
