"""The CPU back end: compile a Kernel through Numba's code generator and launch it.

Start at `compile`, which gives an `Executable`; `Executable.launch` fills the block
(see `lowering.frame`) and runs it here or on the thread pool (`backends.threads`).
"""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import llvmlite.binding as llvm
import numpy as np
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from jitad.lowering import frame
from jitad.lowering.emit import NAME, emit
from jitad.lowering.kernel import Argument, Kernel
from jitad.lowering.target import Target, lanes

from . import mathlib

_serial = itertools.count()


@cache
def host() -> Target:
    """This machine, with the widest vectors that it has."""
    return target(vector_width())


@cache
def vector_width() -> int:
    """Bytes in the widest vector register of this processor."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f") and features.get("avx512dq"):
        return 64
    return 32 if features.get("avx2") else 16


def target(vector_bytes: int, *, vector_library: bool = True) -> Target:
    """A target of this machine with narrower vectors or without the vector library."""
    return Target(
        vector_bytes=vector_bytes,
        vectors=dict(mathlib.vector_functions(vector_bytes)) if vector_library else {},
        scalars=dict(mathlib.scalar_functions()),
        loops=dict(mathlib.inner_loops()),
        streaming=llvm.get_process_triple().startswith("x86_64"),
    )


@dataclass(frozen=True, eq=False)
class Executable:
    """A compiled kernel.

    ir        the LLVM text it was made from
    width     lanes in a vector
    entry     callable (block address, lo, hi): run lanes lo to hi of a filled block
              in this thread, holding the interpreter's lock
    """

    kernel: Kernel
    ir: str
    width: int
    compile_seconds: float
    entry: Callable[[int, int, int], None]
    _library: JITCodeLibrary = field(repr=False)
    _run: Callable[[int, int, int], None] = field(repr=False)
    _tiles: int = field(repr=False)

    @property
    def assembly(self) -> str:
        return self._library.get_asm_str()

    def block(
        self, extents: Sequence[int], arguments: Sequence[Argument]
    ) -> np.ndarray:
        """The launch block: int64 words, see `lowering.frame`."""
        kernel = self.kernel
        block = np.zeros(frame.size(kernel), np.int64)
        block[frame.STOP] = extents[0]
        block[frame.TILE] = self.width
        for axis in range(1, kernel.axes):
            block[frame.extent(axis)] = extents[axis]
        for i, argument in enumerate(arguments):
            at = frame.slots(kernel, i)
            given = argument.elements
            if isinstance(given, np.ndarray):
                given = given.ctypes.data
            block[at.address] = argument.address
            block[at.lane] = argument.strides[0]
            block[at.element] = block[at.given] = given
            block[at.stride : at.stride + kernel.axes] = argument.strides
        return block

    def launch(self, extents: Sequence[int], arguments: Sequence[Argument]) -> None:
        """Run the kernel on all points; outputs must not overlap inputs."""
        if 0 in extents:
            return
        block = self.block(extents, arguments)
        self._run(block.ctypes.data, 0, extents[0])


def compile(kernel: Kernel, target: Target | None = None) -> Executable:
    """Kernel -> Executable, for this machine or a narrower target of it."""
    start = time.perf_counter()
    chosen = target or host()
    text = emit(kernel, chosen)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    # Numba's linker keeps every symbol that it has seen: never give it a name twice.
    name = f"jitad.{digest}.{next(_serial)}"
    library, address, tiles = _build(text, name)
    signature = (None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    return Executable(
        kernel=kernel,
        ir=text,
        width=lanes(kernel, chosen),
        compile_seconds=time.perf_counter() - start,
        entry=ctypes.PYFUNCTYPE(*signature)(address),
        _library=library,
        _run=ctypes.CFUNCTYPE(*signature)(address),
        _tiles=tiles,
    )


@global_compiler_lock
def _build(text: str, name: str) -> tuple[JITCodeLibrary, int, int]:
    codegen = cpu_target.target_context.codegen()
    library = codegen.create_library(name)
    module = llvm.parse_assembly(text)
    module.triple = llvm.get_process_triple()
    module.data_layout = str(codegen.target_data)
    for suffix in ("", ".tiles"):
        module.get_function(NAME + suffix).name = name + suffix
    module.verify()
    library.add_llvm_module(module)
    library.finalize()
    address = library.get_pointer_to_function(name)
    return library, address, library.get_pointer_to_function(f"{name}.tiles")


def allocate(shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array whose data begin on a cache line."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    raw = np.empty(count * dtype.itemsize + 64, np.uint8)
    skip = -raw.ctypes.data % 64
    return raw[skip : skip + count * dtype.itemsize].view(dtype).reshape(shape)
