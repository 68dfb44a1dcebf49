"""The CUDA back end: load a Kernel's machine code onto a card and launch it.

Start at `compile`, which gives an `Executable`, as `backends.cpu` does.  A thread
computes one lane; sums are added up in the same order whatever the card is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jitad.lowering.cuda_functions import accumulator
from jitad.lowering.cuda_parameters import flatten
from jitad.lowering.emit_cuda import NAME, THREADS, emit, totals_name
from jitad.lowering.kernel import Argument, Kernel

from . import cubins
from .card import Card
from .nvrtc import Capability, Cubin, Usage

# Blocks that share the lanes of a sum, at most.
SUM_BLOCKS = 1024

Maker = Callable[[str, Capability], Cubin]


@dataclass(frozen=True, eq=False)
class Executable:
    """A kernel on a card.

    usage  what it takes of registers and memory
    """

    kernel: Kernel
    card: Card
    usage: Usage
    _functions: dict[str, Any] = field(repr=False)
    _tables: dict[bytes, Any] = field(default_factory=dict, repr=False)

    def launch(self, extents: Sequence[int], arguments: Sequence[Argument]) -> None:
        """Start the kernel on all points; outputs must not overlap inputs.

        arguments  with addresses on the card; tables of offsets are copied there
        """
        if 0 in extents:
            return
        numbers = flatten(self.kernel, extents, self._placed(arguments))
        blocks = -(-extents[0] // THREADS)
        self.card.launch(self._functions[NAME], blocks, THREADS, numbers)

    def total(self, count: int, arguments: Sequence[Argument | None]) -> list[Any]:
        """Start the sums over count lanes: memory on the card, for each buffer of sums.

        arguments  None for the buffers that take sums
        """
        blocks = max(1, min(SUM_BLOCKS, -(-count // THREADS)))
        pairs = list(zip(self.kernel.buffers, arguments, strict=True))
        sums = [b for b, argument in pairs if argument is None]
        sizes = [b.elements * accumulator(b.dtype).itemsize for b in sums]
        partial = [self.card.empty(blocks * size) for size in sizes]
        places = iter([Argument(int(memory.handle), ()) for memory in partial])
        given = [next(places) if a is None else a for _, a in pairs]
        numbers = flatten(self.kernel, (count,), self._placed(given))
        self.card.launch(self._functions[NAME], blocks, THREADS, numbers)
        found = []
        for b, memory in zip(sums, partial, strict=True):
            total = self.card.empty(b.elements * b.dtype.itemsize)
            numbers = [blocks, int(memory.handle), int(total.handle)]
            last = self._functions[totals_name(NAME, b.dtype)]
            self.card.launch(last, b.elements, THREADS, numbers)
            found.append(total)
        return found

    def _placed(self, arguments: Sequence[Argument]) -> list[Argument]:
        """Tables of offsets on the card, where they stay."""
        return [
            replace(a, elements=self._table(a.elements))
            if isinstance(a.elements, np.ndarray)
            else a
            for a in arguments
        ]

    def _table(self, offsets: np.ndarray) -> int:
        key = offsets.tobytes()
        if key not in self._tables:
            self._tables[key] = self.card.to_device(np.ascontiguousarray(offsets))
        return int(self._tables[key].handle)


def compile(kernel: Kernel, card: Card, *, make: Maker = cubins.compiled) -> Executable:
    """Kernel -> Executable on a card; make: CUDA C -> machine code.

    Raises UnsupportedError for a word that has no CUDA C, CompilerError where NVRTC is
    missing.
    """
    return load(kernel, make(emit(kernel), card.capability), card)


def load(kernel: Kernel, cubin: Cubin, card: Card) -> Executable:
    """A kernel that is compiled already, as by `best_order`, on a card."""
    dtypes = {b.dtype: None for b in kernel.buffers if b.layout == "sum"}
    names = [NAME, *(totals_name(NAME, d) for d in dtypes)]
    return Executable(kernel, card, cubin.usage[NAME], card.load(cubin.code, names))
