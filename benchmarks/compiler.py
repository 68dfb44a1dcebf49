"""gcc: one C file in, one shared library out."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from benchmarks.harness import UnavailableError

# -fno-math-errno lets sqrt be one instruction; the two -fno-builtin keep gcc from
# joining sin and cos into a complex number, which stops its vectoriser. Nothing here
# relaxes rounding.
FLAGS = (
    "-O3",
    "-march=native",
    "-fopenmp",
    "-fno-math-errno",
    "-fno-builtin-sin",
    "-fno-builtin-cos",
    "-shared",
    "-fPIC",
)


def compile_c(source: Path, folder: Path) -> Path:
    """Compile ``source`` into ``folder``; raises UnavailableError without gcc."""
    gcc = shutil.which("gcc")
    if gcc is None:
        raise UnavailableError("gcc is not installed")
    library = folder / f"{source.stem}.so"
    command = [gcc, *FLAGS, str(source), "-o", str(library), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"gcc: {done.stderr.splitlines()[0]}")
    return library
