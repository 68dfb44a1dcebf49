"""Machine code for GPUs that is kept on disk, so that nothing is compiled twice.

Start at `compiled`.  An entry is named by the digest of all that it depends on, and
carries the digest of what is in it: one that is broken, or not the user's alone, is
none.  Nothing is written before something is compiled, and what was not used for
longest is gone when it becomes too much.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from . import nvrtc
from .nvrtc import Capability, Cubin, Usage

_FORMAT = 1
MOST = 256 << 20  # bytes of all entries together


def default_folder() -> Path:
    """Where entries are kept if nothing else is said."""
    given = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(given) if given else Path.home() / ".cache") / "jitad" / "cubins"


def compiled(
    text: str,
    capability: Capability,
    *,
    registers: int | None = None,
    folder: Path | None = None,
    compile: Callable[..., Cubin] = nvrtc.compile_cubin,
    version: Callable[[], tuple[int, ...]] = nvrtc.version,
    most: int = MOST,
) -> Cubin:
    """As `nvrtc.compile_cubin`, or what it once made of the same.

    folder   where entries are kept; it is made, for the user alone
    compile  the compiler, and `version` its version
    most     bytes that are kept
    """
    place = folder or default_folder()
    key = digest(text, capability, registers, version())
    found = read(place, key)
    if found is None:
        found = compile(text, capability, registers=registers)
        keep(place, key, found)
        evict(place, most)
    return found


def digest(
    text: str, capability: Capability, registers: int | None, version: tuple[int, ...]
) -> str:
    """The name of an entry: SHA-256 of all that its machine code depends on."""
    whole = [_FORMAT, *version, *nvrtc.OPTIONS, *capability, registers, text]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()


def read(folder: Path, key: str) -> Cubin | None:
    """The entry of this name; None if there is none, or it is not what was kept.

    It counts as used now.
    """
    if not _private(folder):
        return None
    try:
        found, _, payload = (folder / key).read_bytes().partition(b"\n")
    except OSError:
        return None
    if found != _sum(payload):
        return None
    with contextlib.suppress(OSError):
        os.utime(folder / key)
    line, _, code = payload.partition(b"\n")
    used = json.loads(line)
    return Cubin(code, {name: Usage(**counts) for name, counts in used.items()})


def keep(folder: Path, key: str, cubin: Cubin) -> None:
    """Write an entry at once or not at all; nothing where the disk does not let us."""
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _private(folder):
            return
        used = {name: asdict(counts) for name, counts in cubin.usage.items()}
        payload = json.dumps(used).encode() + b"\n" + cubin.code
        handle, name = tempfile.mkstemp(dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_sum(payload) + b"\n" + payload)
            Path(name).replace(folder / key)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def evict(folder: Path, most: int) -> None:
    """Remove what was not used for longest until no more than so many bytes are left.

    Others may do so at the same time: they remove the same, and who reads or writes
    what is removed does as if it had never been there.
    """
    if not _private(folder):
        return
    entries = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            found = path.lstat()
            entries.append((found.st_mtime_ns, path, found.st_size))
    left = sum(size for *_, size in entries)
    for _, path, size in sorted(entries):
        if left <= most:
            break
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
            left -= size


def _sum(payload: bytes) -> bytes:
    return hashlib.sha256(payload).hexdigest().encode()


def _private(folder: Path) -> bool:
    """Whether a folder is there, the user's, and nobody else's."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode):
        return False
    if os.name == "nt":  # whose folders of a user's own are closed to others
        return True
    return found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077
