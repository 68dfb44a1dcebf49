"""Loads and stores of one vector of lanes: rows by transposes, streams directly.

The body of a kernel never reads or writes past a whole vector: lanes that do not
exist are replaced by copies in scratch memory before (see `staging`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from jitad.lowering.kernel import Buffer

from .target import memory_type

PAST_CACHE = 8  # the number of the metadata that makes a store go past the cache
METADATA = f"!{PAST_CACHE} = !{{i32 1}}"


@dataclass(frozen=True)
class Block:
    """Consecutive elements of a row that are moved together: first, and how many."""

    first: int
    count: int


def block_of(buffer: Buffer, element: int, width: int) -> Block:
    """The block of a row that holds an element.

    The last block of a long row begins early rather than being narrow: whole vectors
    are cheaper than pieces, and to write an element twice is harmless.
    """
    if buffer.elements <= width:
        return Block(0, buffer.elements)
    return Block(min(element // width * width, buffer.elements - width), width)


def transpose(
    rows: Sequence[str],
    vector: str,
    fresh: Callable[[], str],
    *,
    wide_first: bool,
) -> tuple[list[str], list[str]]:
    """Transpose a square of registers: (lines, columns); J. O. Eklundh, 1972.

    Exchanging wide blocks first lets narrow rows be combined as they are loaded;
    narrow blocks first lets narrow rows be stored as they appear.
    """
    width = len(rows)
    steps = [1 << k for k in range(width.bit_length() - 1)]
    current, lines = list(rows), []
    for step in reversed(steps) if wide_first else steps:
        low = [p if not p & step else p - step + width for p in range(width)]
        high = [p + step if not p & step else p + width for p in range(width)]
        changed = list(current)
        for i in range(width):
            if i & step:
                continue
            pair = current[i], current[i + step]
            if pair == ("poison", "poison"):
                continue
            for where, indices in ((i, low), (i + step, high)):
                changed[where] = name = fresh()
                lines.append(shuffle(name, vector, *pair, indices))
        current = changed
    return lines, current


def shuffle(name: str, vector: str, a: str, b: str, indices: Sequence[int]) -> str:
    """Pick lanes of a and b; a negative index means that the lane does not matter."""
    return f"{name} = shufflevector {vector} {a}, {vector} {b}, {_mask((*indices,))}"


@lru_cache(maxsize=256)
def _mask(indices: tuple[int, ...]) -> str:
    picks = ", ".join(f"i32 {i}" if i >= 0 else "i32 poison" for i in indices)
    return f"<{len(indices)} x i32> <{picks}>"


class Memory:
    """Prints the loads and stores of vectors with `width` lanes.

    around  whether lines are written around the cache: not what is in scratch at first
    """

    def __init__(self, width: int, *, around: bool) -> None:
        self.width, self.around = width, around
        self._count = 0
        self._repeated: set[str] = set()

    def fresh(self) -> str:
        """A new name for a value that only memory accesses need."""
        self._count += 1
        return f"%m{self._count}"

    def load_stream(
        self, name: str, pointer: str, stride: str, element: int, dtype: np.dtype
    ) -> list[str]:
        """Load consecutive lanes of one element."""
        lines, address = self._element(pointer, stride, element)
        vector = f"<{self.width} x {memory_type(dtype)}>"
        return [
            *lines,
            f"{name} = load {vector}, ptr {address}, align {dtype.itemsize}",
        ]

    def store_stream(
        self, value: str, pointer: str, stride: str, element: int, buffer: Buffer
    ) -> list[str]:
        """Store consecutive lanes of one element."""
        lines, address = self._element(pointer, stride, element)
        dtype = buffer.dtype
        vector = f"<{self.width} x {memory_type(dtype)}>"
        how = f"align {dtype.itemsize}"
        if self.around and buffer.layout == "lines":
            how = f"align {dtype.itemsize * self.width}, !nontemporal !{PAST_CACHE}"
        return [*lines, f"store {vector} {value}, ptr {address}, {how}"]

    def load_rows(
        self, rows: Sequence[str], block: Block, dtype: np.dtype
    ) -> tuple[list[str], list[str]]:
        """Load a block of `width` rows: the lines, and one name per element."""
        lines: list[str] = []
        loaded = []
        scalar, size = memory_type(dtype), dtype.itemsize
        for row in rows:
            name, address = self.fresh(), self.offset(row, block.first * size, lines)
            part = f"<{block.count} x {scalar}>"
            lines.append(f"{name} = load {part}, ptr {address}, align {size}")
            if block.count < self.width:
                narrow, name = name, self.fresh()
                picks = [i if i < block.count else -1 for i in range(self.width)]
                lines.append(shuffle(name, part, narrow, "poison", picks))
            loaded.append(name)
        vector = f"<{self.width} x {scalar}>"
        more, columns = transpose(loaded, vector, self.fresh, wide_first=True)
        return lines + more, columns[: block.count]

    def store_rows(
        self,
        values: Sequence[str],
        rows: Sequence[str],
        block: Block,
        dtype: np.dtype,
    ) -> list[str]:
        """Store one value per element of a block of `width` rows."""
        scalar, size = memory_type(dtype), dtype.itemsize
        vector = f"<{self.width} x {scalar}>"
        lines: list[str] = []
        held = [self._held(v, vector, lines) for v in values]
        padded = [*held, *["poison"] * (self.width - len(values))]
        more, columns = transpose(padded, vector, self.fresh, wide_first=False)
        lines += more
        part = f"<{block.count} x {scalar}>"
        for row, name in zip(rows, columns, strict=True):
            address = self.offset(row, block.first * size, lines)
            if block.count < self.width:
                whole, name = name, self.fresh()
                lines.append(shuffle(name, vector, whole, "poison", range(block.count)))
            lines.append(f"store {part} {name}, ptr {address}, align {size}")
        return lines

    def _held(self, value: str, vector: str, lines: list[str]) -> str:
        """The value, frozen if it is a scalar from memory, repeated, or made of such.

        LLVM makes one load of scalars that lie side by side where they are transposed,
        and of several such blocks an order of loads that depends on itself: it ends the
        process.  What is frozen it takes for no load.  It sees through operations that
        change nothing, as x + 0 and the lesser of x and x.
        """
        if value not in self._repeated:
            return value
        name = self.fresh()
        lines.append(f"{name} = freeze {vector} {value}")
        return name

    def made(self, name: str, operands: Sequence[str]) -> None:
        """Remember what is made of repeated scalars and constants alone."""
        given = [a for a in operands if a.startswith("%")]
        if given and self._repeated.issuperset(given):
            self._repeated.add(name)

    def load_splat(
        self, name: str, address: str, dtype: np.dtype, lines: list[str]
    ) -> None:
        """Load one scalar and repeat it in every lane."""
        self._repeated.add(name)
        scalar, one, first = memory_type(dtype), self.fresh(), self.fresh()
        vector = f"<{self.width} x {scalar}>"
        lines += [
            f"{one} = load {scalar}, ptr {address}, align {dtype.itemsize}",
            f"{first} = insertelement {vector} poison, {scalar} {one}, i64 0",
            shuffle(name, vector, first, "poison", [0] * self.width),
        ]

    def offset(self, pointer: str, amount: str | int, lines: list[str]) -> str:
        """The pointer an amount of bytes further."""
        if amount == 0:
            return pointer
        name = self.fresh()
        lines.append(f"{name} = getelementptr i8, ptr {pointer}, i64 {amount}")
        return name

    def _element(
        self, pointer: str, stride: str, element: int
    ) -> tuple[list[str], str]:
        lines: list[str] = []
        if element == 0:
            return lines, pointer
        amount = self.fresh()
        lines.append(f"{amount} = mul i64 {stride}, {element}")
        return lines, self.offset(pointer, amount, lines)

    def rows(self, pointer: str, lane: str, lines: list[str]) -> list[str]:
        """Where the rows of a vector of lanes begin."""
        found = [pointer]
        for i in range(1, self.width):
            amount = self.fresh()
            lines.append(f"{amount} = mul i64 {lane}, {i}")
            found.append(self.offset(pointer, amount, lines))
        return found
