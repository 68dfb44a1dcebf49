"""What is known of a kernel's values before it is printed for a GPU.

Their `dtypes`, how many `registers` they fill, and which are read a `single` time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from jitad.lowering.kernel import Kernel
from jitad.lowering.statement import Statement, numbers, statements
from jitad.lowering.statements import Const, Load, Repeat

from .functions import accumulator

_INDEX = np.dtype(np.int64)


def dtypes(kernel: Kernel) -> Mapping[int, np.dtype]:
    """The dtype of every value."""
    every = statements((*kernel.once, *kernel.body))
    return {v: dtype for s in every for v, dtype in s.made}


def single(kernel: Kernel) -> set[Load]:
    """The loads of streams from where no other lane reads, and this one once."""
    loads = [s for s in statements(kernel.body) if isinstance(s, Load)]
    count = Counter((s.buffer, s.element) for s in loads)
    repeated = {s.buffer for s in loads if s.index is not None}
    return {
        s
        for s in kernel.body
        if isinstance(s, Load)
        and count[s.buffer, s.element] == 1
        and s.buffer not in repeated
        and kernel.buffers[s.buffer].layout == "streams"
        and kernel.buffers[s.buffer].axes == (0,)
    }


def registers(kernel: Kernel) -> int:
    """How many registers, of 4 bytes, are full of values at some time, or more are."""
    kinds, every = dtypes(kernel), list(statements(kernel.body))
    last = {v: n for n, s in enumerate(every) for v in s.used}
    ending: Counter[int] = Counter()
    sums = [b for b in kernel.buffers if b.layout == "sum"]
    now = most = sum(b.elements * accumulator(b.dtype).itemsize // 4 for b in sums)
    for n, s in enumerate(every):
        for v in _made(s):
            if last.get(v, n) > n:
                size = -(-kinds[v].itemsize // 4) if kinds[v] != np.bool_ else 0
                ending[last[v]] += size
                now += size
        most = max(most, now)
        now -= ending[n]
    return most


def _made(s: Statement) -> Iterable[int]:
    """What a statement makes; of what a loop carries, it makes the last."""
    match s:
        case Const():
            return ()
        case Repeat():
            return [c.outer for c in s.carried]
        case _:
            return numbers([s])
