"""CUDA C to machine code by NVIDIA's runtime compiler, which needs no GPU or driver.

Start at `compile_cubin`.  The library is that of the wheel `nvidia-cuda-nvrtc`, or of
an installed toolkit; it is loaded when something is first compiled.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from jitad.errors import JitadError
from jitad.process import locks

Capability = tuple[int, int]

# PTX of this compute capability is compiled further for every later card.
PORTABLE = (7, 5)
# IEEE arithmetic; what is to be fused is so in the text.  The last option lets the log
# tell what a kernel uses.
OPTIONS = (
    *("--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true"),
    *("--std=c++17", "--ptxas-options=-v"),
)
_LOADING = locks.lock()
_ENTRY = re.compile(r"Compiling entry function '(\w+)'")
_COUNTS = {
    "registers": re.compile(r"Used (\d+) registers"),
    "stack": re.compile(r"(\d+) bytes stack frame"),
    "spill_stores": re.compile(r"(\d+) bytes spill stores"),
    "spill_loads": re.compile(r"(\d+) bytes spill loads"),
    "shared": re.compile(r"(\d+) bytes smem"),
}


class CompilerError(JitadError, RuntimeError):
    """NVRTC is missing, or refuses a text."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a kernel takes of a GPU: registers a thread; bytes a thread, or a block.

    stack         bytes of a thread's own memory, locals included
    spill_stores  bytes stored, and loaded, because registers did not suffice
    shared        bytes of a block's shared memory
    """

    registers: int
    stack: int
    spill_stores: int
    spill_loads: int
    shared: int

    @property
    def spilled(self) -> int:
        """Bytes moved because registers did not suffice."""
        return self.spill_stores + self.spill_loads


@dataclass(frozen=True, slots=True)
class Cubin:
    """Machine code of one compute capability, and what each kernel in it uses."""

    code: bytes
    usage: dict[str, Usage]


def compile_cubin(
    text: str, capability: Capability, *, registers: int | None = None
) -> Cubin:
    """CUDA C -> machine code for a compute capability, as (9, 0).

    registers  the most for a thread
    Raises CompilerError with the compiler's log, where there is no compiler, and where
    it does not know such cards.
    """
    major, minor = known(capability)
    limit = () if registers is None else (f"--maxrregcount={registers}",)
    log, code = _compiled(
        "CUBIN", text, (f"--gpu-architecture=sm_{major}{minor}", *limit)
    )
    return Cubin(code, usage(log))


def compile_ptx(text: str, capability: Capability, *, relocatable: bool = False) -> str:
    """CUDA C -> PTX, the assembly of no card in particular, for a compute capability.

    relocatable  to be linked with other code: functions are kept, and may be elsewhere
    Raises CompilerError as `compile_cubin` does.
    """
    major, minor = capability
    options = [f"--gpu-architecture=compute_{major}{minor}"]
    if relocatable:
        options.append("--relocatable-device-code=true")
    _, code = _compiled("PTX", text, options)
    return code.rstrip(b"\0").decode()


def usage(log: str) -> dict[str, Usage]:
    """What the assembler's log says of every kernel."""
    _, *parts = _ENTRY.split(log)
    found = {}
    for name, part in zip(parts[::2], parts[1::2], strict=True):
        counts = {key: pattern.search(part) for key, pattern in _COUNTS.items()}
        found[name] = Usage(**{k: int(m[1]) if m else 0 for k, m in counts.items()})
    return found


def known(capability: Capability) -> Capability:
    """The compute capability whose code such a card runs, of those that NVRTC knows.

    Raises CompilerError where the card is too old, or too new.
    """
    every = architectures()
    fitting = [c for c in every if c[0] == capability[0] and c <= capability]
    if fitting:
        return fitting[-1]
    asked, oldest = ".".join(map(str, capability)), ".".join(map(str, every[0]))
    remedy = (
        'install an older one: pip install "jitad[cuda12]", or run on the CPU'
        if capability < every[0]
        else 'install a newer one: pip install --upgrade "jitad[cuda]"'
    )
    raise CompilerError(
        f"expected a card of compute capability {oldest} or later that NVRTC "
        f"{'.'.join(map(str, version()))} knows, got {asked}; {remedy}"
    )


@cache
def architectures() -> tuple[Capability, ...]:
    """The compute capabilities that NVRTC makes code for, ascending."""
    count = ctypes.c_int()
    _call("GetNumSupportedArchs", ctypes.byref(count))
    found = (ctypes.c_int * count.value)()
    _call("GetSupportedArchs", found)
    return tuple(sorted(divmod(n, 10) for n in found))


def version() -> tuple[int, int]:
    """The version of NVRTC."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _call("Version", ctypes.byref(major), ctypes.byref(minor))
    return major.value, minor.value


def _compiled(
    kind: Literal["CUBIN", "PTX"], text: str, options: Sequence[str]
) -> tuple[str, bytes]:
    """The compiler's log, and what it made."""
    program = ctypes.c_void_p()
    given = [o.encode() for o in (*OPTIONS, *options)]
    source = text.encode(), b"jitad.cu"
    _call("CreateProgram", ctypes.byref(program), *source, 0, None, None)
    try:
        status = _library().nvrtcCompileProgram(
            program, len(given), (ctypes.c_char_p * len(given))(*given)
        )
        log = _bytes("ProgramLog", program).rstrip(b"\0").decode()
        if status:
            asked = " ".join(options)
            raise CompilerError(f"NVRTC: {_reason(status)}, with {asked}:\n{log}")
        return log, _bytes(kind, program)
    finally:
        _library().nvrtcDestroyProgram(ctypes.byref(program))


def _bytes(kind: str, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    _call(f"Get{kind}Size", program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    _call(f"Get{kind}", program, buffer)
    return buffer.raw


def _call(name: str, *arguments: object) -> None:
    status = getattr(_library(), f"nvrtc{name}")(*arguments)
    if status:
        raise CompilerError(f"nvrtc{name}: {_reason(status)}")


def _reason(status: int) -> str:
    function = _library().nvrtcGetErrorString
    function.restype = ctypes.c_char_p
    return function(status).decode()


def _library() -> ctypes.CDLL:
    # A thread that does not wait until another has loaded it compiles without what
    # else that loads.
    with _LOADING:
        return _loaded()


@cache
def _loaded() -> ctypes.CDLL:
    try:
        from cuda.pathfinder import (  # pyright: ignore[reportMissingImports]
            load_nvidia_dynamic_lib,
        )

        return ctypes.CDLL(load_nvidia_dynamic_lib("nvrtc").abs_path)
    except (ImportError, RuntimeError, OSError) as error:
        raise CompilerError(
            f"expected NVIDIA's runtime compiler for kernels on a GPU ({error}); "
            'install it: pip install "jitad[cuda]"'
        ) from error
