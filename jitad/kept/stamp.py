"""What all that is kept depends on, beside its own text: the programs that make it.

Start at `stamp`.  jitad's own sources are told by their sizes, and by when they were
last changed and last put where they are.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import optree

_FORMAT = 1
_PACKAGE = Path(__file__).parent.parent
# Modules that were changed after they were imported are not what is on disk.  Imports
# take about a second, and clocks of file systems are coarse.
_LOADED = time.time_ns() - 10**9


@cache
def stamp() -> bytes | None:
    """A digest of versions and sources; None where sources changed since the import."""
    sources = sorted(_sources(_PACKAGE, ""))
    if not sources or any(changed > _LOADED for *_, changed in sources):
        return None
    versions = sys.version, np.__version__, optree.__version__, _version_of("scipy")
    return hashlib.sha256(repr((_FORMAT, *versions, *sources)).encode()).digest()


def _version_of(package: str) -> bytes:
    """What a package says of its version, without importing it."""
    found = find_spec(package)
    assert found is not None and found.origin is not None
    return Path(found.origin).with_name("version.py").read_bytes()


def _sources(folder: str | Path, inside: str) -> Iterator[tuple[str, int, int, int]]:
    """The name, size and time of every source, and when it was last put there."""
    with os.scandir(folder) as found:
        for entry in found:
            name = f"{inside}/{entry.name}"
            if entry.name.endswith(".py"):
                seen = entry.stat()
                put = 0 if os.name == "nt" else seen.st_ctime_ns
                changed = max(seen.st_mtime_ns, put)
                yield name, seen.st_size, seen.st_mtime_ns, changed
            elif entry.is_dir() and entry.name != "__pycache__":
                yield from _sources(entry.path, name)
