"""Machine code for GPUs that is kept on disk, so that nothing is compiled twice.

Start at `compiled`.  What an entry is, and what is done where one is broken, `entries`
says.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from jitad.kept import entries

from . import nvrtc
from .nvrtc import Capability, Cubin, Usage

_FORMAT = 1


def compiled(
    text: str,
    capability: Capability,
    *,
    registers: int | None = None,
    folder: Path | None = None,
    compile: Callable[..., Cubin] = nvrtc.compile_cubin,
    version: Callable[[], tuple[int, ...]] = nvrtc.version,
    most: int = entries.MOST,
) -> Cubin:
    """As `nvrtc.compile_cubin`, or what it once made of the same.

    folder   where entries are kept; it is made, for the user alone
    compile  the compiler, and `version` its version
    most     bytes that are kept
    """
    place = folder or entries.folder_of(entries.CUBINS)
    key = digest(text, capability, registers, version())
    found = entries.read(place, key)
    if found is not None:
        line, _, code = found.partition(b"\n")
        used = json.loads(line)
        return Cubin(code, {name: Usage(**counts) for name, counts in used.items()})
    made = compile(text, capability, registers=registers)
    used = {name: asdict(counts) for name, counts in made.usage.items()}
    entries.keep(place, key, json.dumps(used).encode() + b"\n" + made.code)
    entries.evict(place, most)
    return made


def digest(
    text: str, capability: Capability, registers: int | None, version: tuple[int, ...]
) -> str:
    """The name of an entry: of all that its machine code depends on."""
    whole = [_FORMAT, *version, *nvrtc.OPTIONS, *capability, registers, text]
    return entries.digest(json.dumps(whole).encode())
