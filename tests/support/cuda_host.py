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

import llvmlite.binding as llvm
import numpy as np
import pytest
from numba.extending import get_cython_function_address

from jitad.backends.cuda import device_words
from jitad.lowering.columns import split
from jitad.lowering.cuda.emit import NAME, emit, emit_columns, totals_name
from jitad.lowering.cuda.functions import accumulator
from jitad.lowering.cuda.parameters import flatten
from jitad.lowering.cuda.rows import WARP
from jitad.lowering.cuda.scatter import clear_name, finish_name, phases, space
from jitad.lowering.fuse import fuse
from jitad.lowering.kernel import Argument, Buffer, Kernel

COMPILER = shutil.which("c++") or shutil.which("g++")
needs_compiler = pytest.mark.skipif(
    COMPILER is None, reason="no C++ compiler, to run the text of GPU kernels"
)
SHIM = Path(__file__).parent / "cuda_host.h"
_SHAPES = ((1, 32), (3, 64), (2, 128))
_numbers = itertools.count()
# What CUDA has and C++ lacks: SciPy's, of doubles.
_SPECIAL = {"erfinv": "__pyx_fuse_0erfinv", "i0": "i0", "i1": "i1"}


@dataclass(frozen=True)
class Launch:
    """A kernel whose text is compiled for the host.

    blocks   how many there are, of a kernel with sums; else how many without a lane
    threads  in each, in whole warps
    columns  into how many column blocks it is split
    """

    kernel: Kernel
    library: ctypes.CDLL
    name: str
    blocks: int = 3
    threads: int = WARP
    columns: int = 1

    def launch(self, extents: Sequence[int], arguments: Sequence[Argument]) -> None:
        """Run it; there must be no sums."""
        numbers = flatten(self.kernel, extents, _placed(arguments))
        full = -(-extents[0] // self.threads)
        blocks = (full + self.blocks) * self.columns
        launch(self.library, self.name, numbers, blocks, self.threads)

    def total(
        self, count: int, arguments: Sequence[Argument | None]
    ) -> list[np.ndarray]:
        """The sums over count lanes of a kernel; arguments are None for these."""
        given, made = [], []
        for b, argument in zip(self.kernel.buffers, arguments, strict=True):
            if argument is None:
                made.append((b, self._space(b)))
                argument = Argument(made[-1][1].ctypes.data, ())
            given.append(argument)
        for phase in phases(self.kernel):
            numbers = flatten(self.kernel, (count,), _placed(given), phase)
            blocks = self.blocks * self.columns
            launch(self.library, self.name, numbers, blocks, self.threads)
        return [self._added(b, partial) for b, partial in made]

    def _space(self, b: Buffer) -> np.ndarray:
        if b.layout == "sum":
            return np.full((b.elements, self.blocks), 77, accumulator(b.dtype))
        words = np.full(b.elements * space(b.dtype) // 4, 77, np.int32)
        numbers = [len(words), words.ctypes.data]
        launch(self.library, clear_name(self.name), numbers, 2, 4)
        return words

    def _added(self, b: Buffer, partial: np.ndarray) -> np.ndarray:
        if b.layout == "sum":
            name, blocks = totals_name(self.name, b.dtype), len(partial)
            first = self.blocks
        elif (name := finish_name(self.name, b.dtype)) is None:
            return partial.view(b.dtype)
        else:
            blocks, first = 2, b.elements
        out = np.full(b.elements, 77, b.dtype)
        numbers = [first, partial.ctypes.data, out.ctypes.data]
        launch(self.library, name, numbers, blocks, 4)
        return out


def launch(
    library: ctypes.CDLL,
    name: str,
    numbers: Sequence[int],
    blocks: int,
    threads: int,
) -> None:
    """Run a kernel of a library."""
    words = np.array(numbers, np.int64)
    function = getattr(library, f"launch_{name}")
    function(ctypes.c_void_p(words.ctypes.data), blocks, threads)


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
        kinds = [re.sub(r"__restrict__|\w+$", "", p) for p in declared.split(",")]
        given = ", ".join(f"({kind})a[{k}]" for k, kind in enumerate(kinds))
        lines.append(_calling(name, given))
    return "\n".join([*lines, ""])


def _calling(name: str, given: str) -> str:
    return (
        f"static void call_{name}(const long long *a) {{ {name}({given}); }}\n"
        f'extern "C" void launch_{name}(const long long *a, unsigned blocks, '
        f"unsigned threads) {{ launch(call_{name}, a, blocks, threads); }}"
    )


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="jitad-tests-")


def _functions(text: str) -> tuple[str, list[str]]:
    """What a GPU would be given of functions that Numba compiled, for the host."""
    calls, objects = {}, []
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(reloc="pic")
    called = re.findall(r"__device__ \w+ (own_(\w+)_(\d+)_(\w+))\(", text)
    for symbol, name, number, dtype in dict.fromkeys(called):
        code, own = device_words.translated(f"{name}.{number}", dtype)
        module = llvm.parse_assembly(code.replace(device_words.NAME, symbol))
        module.triple, module.data_layout = machine.triple, str(machine.target_data)
        path = Path(_folder().name) / f"{next(_numbers)}.o"
        path.write_bytes(machine.emit_object(module))
        calls |= dict.fromkeys(own)
        objects.append(str(path))
    return "".join(calls), objects


def _compile(*arguments: str) -> None:
    assert COMPILER is not None
    options = ["-std=c++17", "-O1", "-ffp-contract=off", "-fPIC"]
    command = [COMPILER, *options, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]


@cache
def _shim() -> Path:
    """The shim, read once by the compiler: it takes longer than most kernels."""
    path = Path(_folder().name) / SHIM.name
    shutil.copy(SHIM, path)
    _compile("-x", "c++-header", str(path), "-o", f"{path}.gch")
    return path


@cache
def _made(text: str, objects: tuple[str, ...]) -> Path:
    """The compiled library of a text, which many tests have in common."""
    path = Path(_folder().name) / f"{next(_numbers)}.cpp"
    path.write_text(f'#include "{_shim()}"\n{text}')
    made = path.with_suffix(".so")
    _compile("-shared", str(path), *objects, "-o", str(made))
    return made


def compiled(text: str) -> ctypes.CDLL:
    """The text of kernels as a library in this process, with memory of its own."""
    calls, objects = _functions(text)
    made = Path(_folder().name) / f"{next(_numbers)}.so"
    shutil.copy(_made(text + calls, tuple(objects)), made)
    library = ctypes.CDLL(str(made))
    for name, symbol in _SPECIAL.items():
        place = ctypes.c_void_p.in_dll(library, f"host_{name}")
        place.value = get_cython_function_address(
            "scipy.special.cython_special", symbol
        )
    return library
