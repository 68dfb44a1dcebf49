"""PTX that calls other PTX to machine code, by NVIDIA's linker, which needs no GPU.

Start at `link`.  The library is that of the wheel `nvidia-nvjitlink`, or of a toolkit;
it is loaded when something is first linked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .nvrtc import Capability, CompilerError, Cubin, Usage, usage

_LINKED = re.compile(
    r"Function properties for '(\w+)':\n"
    r".*used (\d+) registers,.* (\d+) stack, (\d+) bytes smem"
)


def link(
    texts: Sequence[str], capability: Capability, *, registers: int | None = None
) -> Cubin:
    """PTX that was compiled to be linked -> machine code for a compute capability.

    registers  the most for a thread
    What it says a kernel takes counts what it calls, but for spills, which are its own.
    Raises CompilerError with the linker's log, or where there is no linker.
    """
    library = _library()
    major, minor = capability
    options = [f"-arch=sm_{major}{minor}", "-verbose", "-Xptxas=-v"]
    if registers is not None:
        options.append(f"-maxrregcount={registers}")
    handle = library.create(len(options), options)
    try:
        for text in texts:
            data = text.encode() + b"\0"
            kind = library.InputType.PTX
            library.add_data(handle, kind, data, len(data), "jitad.ptx")
        library.complete(handle)
        code = _bytes(library, "linked_cubin", handle)
        log = _text(library, "info_log", handle)
    except library.nvJitLinkError as error:
        log = _text(library, "error_log", handle)
        raise CompilerError(f"nvJitLink: {error}, for {options[0]}:\n{log}") from error
    finally:
        library.destroy(handle)
    return Cubin(code, _with_calls(usage(log), log))


def version() -> tuple[int, int]:
    """The version of nvJitLink."""
    return _library().version()


def _with_calls(own: dict[str, Usage], log: str) -> dict[str, Usage]:
    found = {}
    for name, *counts in _LINKED.findall(log):
        registers, stack, shared = map(int, counts)
        total = {"registers": registers, "stack": stack, "shared": shared}
        found[name] = replace(own[name], **total)
    return found


def _bytes(library: Any, name: str, handle: int) -> bytes:
    found = bytearray(getattr(library, f"get_{name}_size")(handle))
    getattr(library, f"get_{name}")(handle, found)
    return bytes(found)


def _text(library: Any, name: str, handle: int) -> str:
    return _bytes(library, name, handle).rstrip(b"\0").decode()


def _library() -> Any:
    try:
        from cuda.bindings import nvjitlink  # pyright: ignore

        nvjitlink.version()
    except (ImportError, RuntimeError) as error:
        raise CompilerError(
            f"expected NVIDIA's linker for kernels that call other code ({error}); "
            'install it: pip install "jitad[cuda]"'
        ) from error
    return nvjitlink
