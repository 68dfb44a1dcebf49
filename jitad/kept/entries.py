"""Bytes that are kept on disk by name, in a folder that is the user's alone.

Start at `read` and `keep`.  An entry is named by the digest of all that it depends on,
and carries the digest of what is in it: one that is broken, or in a folder that others
can write to, is none.  Nothing is written before something is made, and what was not
used for longest is gone when it becomes too much.  Where the environment says
JITAD_CACHE=0 nothing is read or written at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

MOST = 256 << 20  # bytes of all entries of a folder together
CUBINS, KERNELS = "cubins", "kernels"
# All entries are looked through where one is large, or once for this number.
_SELDOM = 64
_LARGE = MOST // 64

_VARIABLE = "JITAD_CACHE"
# Names of entries, and of what is being written aside.
_NAMES = re.compile(r"[0-9a-f]{64}|tmp\w+")
_allowed: ContextVar[bool] = ContextVar("jitad_kept", default=True)


def why_not(folder: Path | None) -> str:
    """Why nothing is kept in a folder, and what helps; "" where something can be."""
    if not _wanted():
        return f"{_VARIABLE} is 0"
    if folder is None:
        return "the user has no home"
    if found := _seen(folder):
        return _fault(folder, found) or (
            "" if _writable(folder) else _unwritable(folder)
        )
    around = next((p for p in folder.parents if os.path.lexists(p)), folder)
    return "" if _writable(around) else _unwritable(around)


@contextlib.contextmanager
def only_if(allowed: bool) -> Iterator[None]:
    """Neither read nor keep anything inside, unless it is allowed here and around."""
    token = _allowed.set(allowed and _allowed.get())
    try:
        yield
    finally:
        _allowed.reset(token)


def allowed() -> bool:
    """Whether anything is read or kept here, by what the environment says too."""
    return _allowed.get() and _wanted()


def folder_of(name: str) -> Path | None:
    """Where entries of a kind are kept; None where there is no place for them."""
    given = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or ""
    try:
        around = Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # a user without a home
        return None
    return around / "jitad" / name


def digest(*parts: bytes) -> str:
    """The name of what depends on all of this: their SHA-256."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "little"))
        whole.update(part)
    return whole.hexdigest()


def read(folder: Path | None, key: str) -> bytes | None:
    """The entry of this name; None if there is none, or it is not what was kept.

    It counts as used now.
    """
    if folder is None or not allowed() or not private(folder):
        return None
    try:
        found, _, payload = (folder / key).read_bytes().partition(b"\n")
    except OSError:
        return None
    if found != _sum(payload):
        return None
    with contextlib.suppress(OSError):
        os.utime(folder / key)
    return payload


def keep(folder: Path | None, key: str, payload: bytes) -> None:
    """Write an entry at once or not at all; nothing where the disk does not let us."""
    if folder is None or not allowed():
        return
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not private(folder):
            return
        handle, name = tempfile.mkstemp(dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_sum(payload) + b"\n" + payload)
            Path(name).replace(folder / key)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def add(folder: Path | None, key: str, payload: bytes) -> None:
    """Keep an entry, and from time to time let go of what was not used for longest."""
    keep(folder, key, payload)
    if not allowed():
        return
    if len(payload) > _LARGE or int(key, 16) % _SELDOM == 0:
        evict(folder, MOST, spare=4 * _SELDOM)


def evict(folder: Path | None, most: int, spare: int = 0) -> None:
    """Where there are more than `most` bytes, remove what was not used for longest.

    spare  entries that go even so, that it be long before there is too much again
    Others may do so at the same time: they remove the same, and who reads or writes
    what is removed does as if it had never been there.
    """
    entries = sorted(_entries(folder))
    held = sum(size for _, size, _ in entries)
    if held <= most:
        return
    for k, (_, size, path) in enumerate(entries):
        if held <= most and k >= spare:
            break
        with contextlib.suppress(OSError):
            Path(path).unlink(missing_ok=True)
            held -= size


def held(folder: Path | None) -> int:
    """How many bytes all entries of a folder have."""
    return sum(size for _, size, _ in _entries(folder))


def cache_clear() -> None:
    """Remove all that jitad keeps on disk: compiled kernels, for CPUs and for cards.

    Also where the user's folder has become open to others, and is not read any more.
    What this process has compiled stays in its memory.
    """
    for name in (CUBINS, KERNELS):
        evict(folder_of(name), -1)


def private(folder: Path) -> bool:
    """Whether a folder is there, the user's, and nobody else's."""
    found = _seen(folder)
    return found is not None and not _fault(folder, found)


def _wanted() -> bool:
    """What the environment says."""
    given = os.environ.get(_VARIABLE, "")
    if given not in ("", "0", "1"):
        raise ValueError(
            f"{_VARIABLE} is {given!r}; expected 0, which keeps nothing on disk, or 1: "
            "correct it, or leave it out"
        )
    return given != "0"


def _seen(folder: Path) -> os.stat_result | None:
    try:
        return folder.lstat()
    except OSError:
        return None


def _fault(folder: Path, found: os.stat_result) -> str:
    """What keeps us from relying on a folder, and what helps; "" where nothing does."""
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder} is no folder but a link or a file; remove it"
    if not _own(found):
        return f"{folder} is another user's; set XDG_CACHE_HOME to a folder of yours"
    # Folders of a user's own are closed to others under Windows, whatever the mode.
    if os.name != "nt" and stat.S_IMODE(found.st_mode) & 0o077:
        return f"{folder} is open to others; chmod 700 {folder}"
    return ""


def _own(found: os.stat_result) -> bool:
    """Whether this is a folder of the user's own, open to others or not."""
    return stat.S_ISDIR(found.st_mode) and (
        os.name == "nt" or found.st_uid == os.getuid()
    )


def _writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _unwritable(place: Path) -> str:
    return f"{place} cannot be written; set XDG_CACHE_HOME to a folder of yours"


def _entries(folder: Path | None) -> list[tuple[int, int, str]]:
    """When each entry was last used, how large it is, and where."""
    found: list[tuple[int, int, str]] = []
    there = folder and _seen(folder)
    if folder is None or there is None or not _own(there):
        return found
    # There may be tens of thousands, for which paths would take half a second.
    with contextlib.suppress(OSError), os.scandir(folder) as each:
        for entry in each:
            if not _NAMES.fullmatch(entry.name):
                continue
            with contextlib.suppress(OSError):
                seen = entry.stat(follow_symlinks=False)
                found.append((seen.st_mtime_ns, seen.st_size, entry.path))
    return found


def _sum(payload: bytes) -> bytes:
    return hashlib.sha256(payload).hexdigest().encode()
