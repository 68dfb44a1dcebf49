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
from jitad.lowering.cuda_rows import THREADS
from jitad.lowering.cuda_spread import clear_name, finish_name, phases, space
from jitad.lowering.emit_cuda import NAME, emit, entries, totals_name
from jitad.lowering.kernel import Argument, Buffer, Kernel

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

        A kernel that spreads adds to what is there, and there must be one point.
        arguments  with addresses on the card; tables of offsets are copied there
        """
        if 0 in extents:
            return
        numbers = flatten(self.kernel, extents, self._placed(arguments))
        blocks = -(-extents[0] // THREADS)
        self.card.launch(self._functions[NAME], blocks, THREADS, numbers)

    def total(self, count: int, arguments: Sequence[Argument | None]) -> list[Any]:
        """Start the sums over count lanes: memory on the card, for each buffer of them.

        arguments  None for the buffers that take sums, or that lanes spread.  The sums
                   have the same bits for every card
        """
        blocks = _blocks(count)
        given, made = [], []
        for b, argument in zip(self.kernel.buffers, arguments, strict=True):
            if argument is None:
                made.append((b, self._space(b, blocks)))
                argument = Argument(int(made[-1][1].handle), ())
            given.append(argument)
        placed = self._placed(given)
        for phase in phases(self.kernel):
            numbers = flatten(self.kernel, (count,), placed, phase)
            self.card.launch(self._functions[NAME], blocks, THREADS, numbers)
        return [self._added(b, memory, blocks) for b, memory in made]

    def _space(self, b: Buffer, blocks: int) -> Any:
        """Memory in which a buffer is added up by so many blocks."""
        if b.layout == "sum":
            size = b.elements * accumulator(b.dtype).itemsize
            return self.card.empty(blocks * size)
        memory = self.card.empty(b.elements * space(b.dtype))
        words = b.elements * space(b.dtype) // 4
        clear = self._functions[clear_name(NAME)]
        self.card.launch(clear, _blocks(words), THREADS, [words, int(memory.handle)])
        return memory

    def _added(self, b: Buffer, memory: Any, blocks: int) -> Any:
        """The sums of a buffer, from where it was added up."""
        if b.layout == "sum":
            name, grid, first = totals_name(NAME, b.dtype), b.elements, blocks
        elif (name := finish_name(NAME, b.dtype)) is None:
            return memory
        else:
            grid, first = _blocks(b.elements), b.elements
        total = self.card.empty(b.elements * b.dtype.itemsize)
        numbers = [first, int(memory.handle), int(total.handle)]
        self.card.launch(self._functions[name], grid, THREADS, numbers)
        return total

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
    functions = card.load(cubin.code, entries(kernel))
    return Executable(kernel, card, cubin.usage[NAME], functions)


def _blocks(count: int) -> int:
    """How many blocks share so many lanes, or elements."""
    return max(1, min(SUM_BLOCKS, -(-count // THREADS)))
