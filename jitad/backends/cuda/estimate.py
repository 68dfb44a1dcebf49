"""What a lane of a GPU kernel costs: a guess, to compare kernels that compute the same.

Start at `estimate`.  It stands on counts, of the kernel's statements and by NVIDIA's
assembler, and on two numbers that are rough for all cards alike; no card was asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitad.lowering.cost import cost, work
from jitad.lowering.cuda.rows import THREADS
from jitad.lowering.kernel import Kernel
from jitad.lowering.statement import statements
from jitad.lowering.statements import Gather, If, Repeat

from .nvrtc import Capability, Usage
from .occupancy import like, resident

# Cheap operations on doubles in the time in which memory moves a byte, by NVIDIA's data
# sheets: A100 (80 GB) 2.4, H100 (SXM) 5, B200 2.5.  A card for games has 0.3 to 0.7.
_OPERATIONS = 3.0
_CHEAP = 0.1  # nanoseconds, in `cost`
# Warps with which a multiprocessor has always something to do, if each lane has some
# independent operations (V. Volkov, Better performance at lower occupancy, 2010).
_WARPS = 16


def estimate(parts: Sequence[Kernel], usage: Usage, capability: Capability) -> float:
    """What a lane costs in all column blocks, as bytes moved to or from memory.

    usage  what the code of the blocks takes together
    Counted are the bytes that lanes have of their own of inputs, once for every block
    that reads them, and of outputs; operations; and what is spilled, as if no cache
    held it, as often as an average statement is run.  Where few warps find room, all
    that takes longer in proportion.
    """
    ran = sum(each for part in parts for _, each in work(part).terms)
    every = [s for part in parts for s in statements(part.body)]
    written = sum(cost(s) for s in every if not isinstance(s, Repeat | If))
    spilled = usage.spilled * max(1.0, ran / max(written, _CHEAP))
    total = sum(map(_moved, parts)) + spilled + ran / _CHEAP / _OPERATIONS
    return total * max(1.0, _WARPS / _warps(usage, capability))


def is_free(usage: Usage, capability: Capability) -> bool:
    """Whether nothing is spilled, and enough warps find room."""
    return not usage.spilled and _warps(usage, capability) >= _WARPS


def _warps(usage: Usage, capability: Capability) -> int:
    """How many a multiprocessor holds."""
    registers, shared = usage.registers, usage.shared
    return resident(
        like(capability), registers=registers, shared=shared, threads=THREADS
    ).warps


def _moved(kernel: Kernel) -> int:
    """Bytes that a lane reads and writes where no other lane does, each once."""
    touched: set[tuple[int, int]] = set()
    for s in statements(kernel.body):
        for k in (*s.reads, *s.writes):
            if k >= 0:
                own = s.elements(kernel.buffers[k].elements)
                if isinstance(s, Gather):
                    own = (s.element,)
                touched.update((k, e) for e in own)
    buffers = [kernel.buffers[k] for k, _ in touched]
    return sum(b.dtype.itemsize for b in buffers if 0 in b.axes)
