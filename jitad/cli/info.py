"""`jitad info`: versions, threads, vectors, math library, measured copy bandwidth."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from jitad.backends.machine import (
    copy_bandwidth,
    last_level_cache_bytes,
    math_library,
    vector_width,
)
from jitad.backends.threads import get_threads

_PACKAGES = ("jitad", "numpy", "scipy", "numba", "llvmlite", "optree", "matplotlib")


def run(options: argparse.Namespace) -> int:
    """Print what jitad runs on."""
    del options
    for label, text in facts():
        print(f"{label:<16}{text}")
    return 0


def facts() -> Iterator[tuple[str, str]]:
    """Everything that `info` tells, as label and text."""
    for package in _PACKAGES:
        yield package, version(package)
    yield "python", f"{platform.python_version()} on {platform.system()}"
    yield "processor", processor()
    yield "threads", f"{get_threads()}"
    width = vector_width()
    yield "vectors", f"{8 * width} bits: {width // 8} doubles, {width // 4} singles"
    yield "math library", math_library()
    yield "cache", f"{last_level_cache_bytes() / 2**20:.0f} MiB, the last level"
    rate = copy_bandwidth() / 1e9
    yield "copy bandwidth", f"{rate:.1f} GB/s read and written by NumPy, measured"


def version(package: str) -> str:
    """The installed version of a package, or that there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
