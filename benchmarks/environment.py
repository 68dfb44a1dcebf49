"""The conditions: threads, cores and an empty home for everyone; and their description.

The same for the process of ``python -m benchmarks`` and for those it starts.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.work import Setting

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
CUDA_PACKAGES = ("cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc", "cupy-cuda13x")
PACKAGES = ("numpy", "numba", "jax", "torch", "drjit", "casadi", "autograd")


@contextlib.contextmanager
def isolated(home: str, threads: int, device: str = "cpu") -> Iterator[None]:
    """So many threads, and no earlier cache, here and in processes begun inside.

    JAX sizes its pool by the cores that the process may use, so these are limited too.
    On a card it would take most of the memory at once; it leaves some to the others.
    """
    before = dict(os.environ)
    everywhere = (
        os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set[int]()
    )
    try:
        os.environ.update(_variables(home, threads, device))
        if everywhere:
            os.sched_setaffinity(0, sorted(everywhere)[:threads])
        yield
    finally:
        if everywhere:
            os.sched_setaffinity(0, everywhere)
        os.environ.clear()
        os.environ.update(before)


def _variables(home: str, threads: int, device: str) -> dict[str, str]:
    return {
        **dict.fromkeys(THREAD_VARIABLES, str(threads)),
        "HOME": home,
        "XDG_CACHE_HOME": home,
        "TORCHINDUCTOR_CACHE_DIR": home,
        "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
        "NUMBA_CACHE_DIR": home,
        "JAX_PLATFORMS": "cpu" if device == "cpu" else "",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.5",
        # packages come with their bytecode: let this one keep its own
        "PYTHONDONTWRITEBYTECODE": "",
    }


def describe(setting: Setting) -> str:
    """Processor, cores, threads and versions, in two lines; before them a card."""
    packages = PACKAGES if setting.device == "cpu" else (*PACKAGES, *CUDA_PACKAGES)
    versions = ", ".join(f"{p} {version(p)}" for p in packages)
    cores = os.cpu_count()
    size = "quick" if setting.quick else "full"
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    card = "" if setting.device == "cpu" else f"{describe_card()}\n"
    return (
        f"{card}{processor()}, {cores} cores, {setting.threads} threads each, "
        f"{setting.device}, {size} sizes, load before: {load}\n"
        f"Python {platform.python_version()}, {versions}"
    )


def describe_card() -> str:
    """The card's name, capability and memory, and its driver."""
    from jitad.calls import cards

    chosen = cards.card(0)
    major, minor = chosen.capability
    listing = Path("/proc/driver/nvidia/version")
    driver = listing.read_text().splitlines()[0] if listing.exists() else "unknown"
    found = re.search(r"\d+\.\d[\d.]*", driver)
    return (
        f"{chosen.name}, compute capability {major}.{minor}, "
        f"{chosen.memory / 2**30:.0f} GiB, driver {found[0] if found else driver}"
    )


def version(package: str) -> str:
    """The installed version, or "not installed"."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """The processor's name where the system tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    names = [x.split(":")[1] for x in text.splitlines() if x.startswith("model name")]
    return names[0].strip() if names else platform.machine()
