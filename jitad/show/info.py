"""What jitad runs on: versions, threads, vectors, memory, and CUDA cards."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jitad.backends.cpu.fresh import Held, give_back, held
from jitad.backends.cpu.machine import (
    copy_bandwidth,
    last_level_cache_bytes,
    math_library,
    vector_width,
)
from jitad.backends.cpu.threads import get_threads
from jitad.kept import entries
from jitad.process.late import late

card, metadata = late("jitad.backends.cuda.card"), late("importlib.metadata")

_PACKAGES = ("jitad", "numpy", "scipy", "numba", "llvmlite", "optree", "matplotlib")
_CUDA = (
    ("cuda.core", ("cuda-core",)),
    ("cuda.bindings", ("cuda-bindings",)),
    ("nvrtc", ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12")),
)


@dataclass(frozen=True, slots=True)
class Device:
    """A CUDA card.

    name        as device= takes it: "cuda:0"
    model       as its driver calls it
    capability  its compute capability, as (9, 0)
    memory      bytes
    """

    name: str
    model: str
    capability: tuple[int, int]
    memory: int

    def __str__(self) -> str:
        major, minor = self.capability
        size = self.memory / 2**30
        return f"{self.model}, compute capability {major}.{minor}, {size:.0f} GiB"


@dataclass(frozen=True, slots=True)
class Info:
    """What jitad runs on: print it, or use its fields.

    facts    as pairs of label and text
    devices  the CUDA cards that can be used
    missing  why there is none; "" where there is one
    results  memory that large results have, and that is kept for others
    """

    facts: tuple[tuple[str, str], ...]
    devices: tuple[Device, ...]
    missing: str
    results: Held

    @property
    def text(self) -> str:
        """All of it, a line each."""
        cards = [(d.name, str(d)) for d in self.devices] or [("cuda", self.missing)]
        return "\n".join(f"{label:<16}{text}" for label, text in (*self.facts, *cards))

    def __str__(self) -> str:
        return self.text


def info() -> Info:
    """What jitad runs on here; the copy bandwidth of the host is measured."""
    try:
        devices = [
            Device(f"cuda:{c.number}", c.name, c.capability, c.memory)
            for c in card.every()
        ]
        missing = ""
    except card.DeviceError as error:
        devices, missing = [], f"none: {error}"
    results = held()
    return Info(tuple(_facts(results)), tuple(devices), missing, results)


def cache_clear() -> None:
    """Give back all that jitad keeps: code on disk, and memory that results had.

    Code is kept in a folder that `info` names, unless the environment says
    JITAD_CACHE=0 or an option cache=False, and nowhere where that folder is not the
    user's own or is open to others; `info` says so.
    What this process has compiled stays, and so do results that somebody holds.
    """
    entries.cache_clear()
    give_back()


def _facts(results: Held) -> Iterator[tuple[str, str]]:
    for package in _PACKAGES:
        yield package, _version(package)
    yield "python", f"{platform.python_version()} on {platform.system()}"
    yield "processor", _processor()
    yield "threads", f"{get_threads()}"
    width = vector_width()
    yield "vectors", f"{8 * width} bits: {width // 8} doubles, {width // 4} singles"
    yield "math library", math_library()
    yield "cache", f"{last_level_cache_bytes() / 2**20:.0f} MiB, the last level"
    rate = copy_bandwidth() / 1e9
    yield "copy bandwidth", f"{rate:.1f} GB/s read and written by NumPy, measured"
    yield "results", _sizes(results)
    yield "kept on disk", _kept()
    for label, packages in _CUDA:
        yield label, _version(*packages)


def _sizes(results: Held) -> str:
    """The memory of results."""
    used, kept, most = (x / 2**20 for x in (results.used, results.kept, results.most))
    kept_text = f"{kept:.1f} MiB kept to be used again, at most {most:.0f} MiB"
    return f"{used:.1f} MiB in use, {kept_text}"


def _kept() -> str:
    """Where compiled code is kept and how much of it, or why it is not."""
    folders = {
        name: entries.folder_of(name) for name in (entries.CUBINS, entries.KERNELS)
    }
    reasons = {name: entries.why_not(folder) for name, folder in folders.items()}
    if len({*reasons.values()}) == 1 and (reason := reasons[entries.KERNELS]):
        return f"nothing: {reason}"
    folder = folders[entries.KERNELS]
    assert folder is not None
    size = sum(map(entries.held, folders.values())) / 2**20
    missing = [f"; no {name}: {reason}" for name, reason in reasons.items() if reason]
    return f"{folder.parent}, {size:.1f} MiB{''.join(missing)}"


def _version(*packages: str) -> str:
    """The installed version of the first package that is there, or that none is."""
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(package)
    return "not installed"


def _processor() -> str:
    """The processor's name, as far as the system tells it."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
