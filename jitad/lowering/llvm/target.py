"""A CPU target: how wide its vectors are and which names stand for its functions.

A backend describes its machine once by a `Target`; `emit` only reads it.  Everything
that differs between machines is here, so that kernels print alike everywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from jitad.lowering.kernel import Kernel
from jitad.lowering.statement import statements

NARROWEST = 4  # bytes of scalars that fill a vector; narrower ones do not
_FLOATS = {"float64": "double", "float32": "float"}


@dataclass(frozen=True)
class Target:
    """One machine: bytes in a vector register and the functions it can call.

    vectors    (word, dtype name, lanes) -> symbol of a function on whole vectors
    scalars    (word, dtype name) -> symbol of a C function on one lane
    loops      (word, dtype name) -> symbol of a NumPy inner loop, and its data as text
    fused      whether it multiplies and adds in one instruction
    fence      LLVM's function that waits for stores around the cache; "": it has none
    spill      a vector moved out to the stack, as a pattern in the text of machine code
    """

    vector_bytes: int
    vectors: Mapping[tuple[str, str, int], str] = field(default_factory=dict)
    scalars: Mapping[tuple[str, str], str] = field(default_factory=dict)
    loops: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    fused: bool = False
    fence: str = ""
    spill: str = r"(?!)"

    @property
    def streaming(self) -> bool:
        """Whether stores can bypass the cache."""
        return bool(self.fence)


@lru_cache(maxsize=64)
def register_type(dtype: np.dtype) -> str:
    """The LLVM type of one lane of a value."""
    return "i1" if dtype == np.bool_ else memory_type(dtype)


@lru_cache(maxsize=256)
def value_type(dtype: np.dtype, width: int) -> str:
    """The LLVM type of a value: a vector of lanes, or a scalar where width is one."""
    lane = register_type(dtype)
    return lane if width == 1 else f"<{width} x {lane}>"


@lru_cache(maxsize=64)
def memory_type(dtype: np.dtype) -> str:
    """The LLVM type of one scalar in memory: bools are bytes there.

    What it is that integers have a sign, their operations know.
    """
    return _FLOATS.get(dtype.name) or f"i{8 * dtype.itemsize}"


def lanes(kernel: Kernel, target: Target) -> int:
    """How many lanes a vector of this kernel has: enough to fill its widest values."""
    every = (s for s in statements(kernel.body) if not s.nests)
    sizes = {dtype.itemsize for s in every for _, dtype in s.made}
    sizes |= {b.dtype.itemsize for b in (*kernel.buffers, *kernel.locals)}
    return max(2, target.vector_bytes // max(sizes | {NARROWEST}))
