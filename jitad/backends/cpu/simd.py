"""What sets of vector registers there are, a row each: all that differs between them.

Kernels are made for the widest of this processor's; `widths` has all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import llvmlite.binding as llvm


@dataclass(frozen=True, slots=True)
class Simd:
    """A set of vector registers, and what a kernel for them is made of.

    vector_bytes  in a register
    processor     how LLVM's name of the machine begins
    features      what a processor that has the registers has, by LLVM's names
    letter        by which libmvec names the functions that take them; "": there are
                  none, and functions are called lane by lane
    fused         the feature of processors that multiply and add in one instruction
    fence         LLVM's function that waits for stores around the cache; "": there are
                  no such stores
    spill         a register moved out to the stack, in the text of machine code
    """

    vector_bytes: int
    processor: str = ""
    features: tuple[str, ...] = ()
    letter: str = ""
    fused: str = "fma"
    fence: str = ""
    spill: str = r"(?!)"


_X86 = "x86_64"
_FENCE = "llvm.x86.sse.sfence"
_SPILL = r"\tv?mov\w+\s+%[xyz]mm\d+, -?\d*\(%r[sb]p\)"

# The widest of a processor first.
ROWS = (
    Simd(64, _X86, ("avx512f", "avx512dq"), "e", fence=_FENCE, spill=_SPILL),
    Simd(32, _X86, ("avx2",), "d", fence=_FENCE, spill=_SPILL),
    Simd(16, _X86, (), "b", fence=_FENCE, spill=_SPILL),
    Simd(16),
)


@cache
def features() -> frozenset[str]:
    """What this processor has, by LLVM's names."""
    found = llvm.get_host_cpu_features()
    return frozenset([name for name in found if found[name]])


@cache
def of_processor() -> dict[int, Simd]:
    """The rows of processors like this one by their width, the widest first."""
    triple = llvm.get_process_triple()
    found: dict[int, Simd] = {}
    for row in ROWS:
        if triple.startswith(row.processor):
            found.setdefault(row.vector_bytes, row)
    return found


@cache
def widths() -> tuple[int, ...]:
    """Bytes in the registers that this processor has, the most first."""
    every = of_processor().items()
    return tuple([n for n, row in every if features().issuperset(row.features)])
