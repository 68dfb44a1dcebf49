"""What this machine is like: vectors, caches, memory bandwidth, function library."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np

from . import mathlib, simd

_FALLBACK_CACHE = 8 << 20
_FALLBACK_MEMORY = 1 << 30
_CONTROLLERS = Path("/sys/fs/cgroup")
_COPIED = 64 << 20


def vector_width() -> int:
    """Bytes in the widest vector register of this processor."""
    return simd.widths()[0]


@cache
def last_level_cache_bytes() -> int:
    """The size of the largest cache, or a guess where the system does not tell."""
    caches = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    return max(map(_cache_size, caches), default=_FALLBACK_CACHE)


@cache
def memory_bytes() -> int:
    """The memory that this process may have.

    The machine's, or less, by a control group that it is in or by RLIMIT_AS.
    """
    limits = [_FALLBACK_MEMORY]
    with suppress(AttributeError, OSError, ValueError):
        limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError):
        limits += _held_to(Path("/proc/self/cgroup").read_text(), _CONTROLLERS)
    with suppress(ImportError, OSError):
        resource = importlib.import_module("resource")
        limits.append(resource.getrlimit(resource.RLIMIT_AS)[0])
    return min(x for x in limits if x > 0)


def _held_to(groups: str, controllers: Path) -> Iterator[int]:
    """The limits of a process's control groups, and of those that they are in.

    groups  a line "number:controllers:path" for every tree of them
    """
    for line in groups.splitlines():
        _, kinds, path = line.split(":", 2)
        root, name = controllers, "memory.max"
        if kinds:
            root, name = controllers / "memory", "memory.limit_in_bytes"
        if kinds and "memory" not in kinds.split(","):
            continue
        group = root / path.lstrip("/")
        for place in (group, *group.parents):
            if place.is_relative_to(root):
                with suppress(OSError, ValueError):
                    yield int((place / name).read_text())


def _cache_size(description: Path) -> int:
    text = description.read_text().strip()
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(text.rstrip("KMG")) * units.get(text[-1:], 1)


@cache
def copy_bandwidth() -> float:
    """Bytes read and written per second by NumPy's copy of a large array, measured."""
    source = np.ones(_COPIED // 8)
    target = np.ones_like(source)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - start)
    return 2 * _COPIED / best


def math_library() -> str:
    """The name of the library that computes functions on whole vectors."""
    return "libmvec" if mathlib.has_vector_library() else "libm, lane by lane"
