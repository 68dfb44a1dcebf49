"""Rows times weights, and rows added up, as they lie: no column is made of them.

A row is read a vector of elements at a time.  The last may be shorter: a mask keeps
what is not there from being read, and it counts as zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .memory import shuffle
from .pieces import RowDot, RowSum
from .target import memory_type
from .values import LINE, Values

# How many vectors of rows before they are read rows are brought near; more is worse.
_AHEAD = 2


@dataclass(frozen=True)
class Strip:
    """A vector of consecutive elements of a row, of which `count` are there."""

    first: int
    count: int


def strips(count: int, width: int) -> list[Strip]:
    """All elements of a row, a vector at a time."""
    return [Strip(k, min(width, count - k)) for k in range(0, count, width)]


class RowPrinter:
    """Prints products with rows in the function of a Body.

    table  where this vector's first row lies, and lane the bytes from row to row, in
           all methods; fixed, where the weights lie
    """

    def __init__(self, f: Values, dtype: np.dtype) -> None:
        self.f, self.dtype, self.width = f, dtype, f.width
        self.scalar, self.size = memory_type(dtype), dtype.itemsize
        self.vector = f"<{f.width} x {self.scalar}>"
        self.aligned = f"align {f.width * self.size}"

    def dot(self, s: RowDot, table: str, lane: str, fixed: str) -> str:
        """The value of every lane: the sum of its row, weighed."""
        parts = strips(s.count, self.width)
        weights = [self.load(fixed, s.offset + p.first, p) for p in parts]
        sums = []
        for i in range(self.width):
            row = self._row(table, lane, str(i))
            terms = [self.load(row, s.first + p.first, p) for p in parts]
            total = self._op("fmul", terms[0], weights[0])
            for term, weight in zip(terms[1:], weights[1:], strict=True):
                total = self._op("fadd", self._op("fmul", term, weight), total)
            sums.append(total)
        return self._across(sums)

    def _fetch(self, row: str, lane: str, s: RowSum) -> None:
        """Have a row that comes later brought near."""
        f, symbol = self.f, "@llvm.prefetch.p0"
        f.module.calls.declare(symbol, f"declare void {symbol}(ptr, i32, i32, i32)")
        far = f.fresh()
        lines = [f"{far} = mul i64 {lane}, {_AHEAD * self.width}"]
        row = f.module.memory.offset(row, far, lines)
        for k in range(0, s.count * self.size, LINE):
            address = f.module.memory.offset(row, s.first * self.size + k, lines)
            lines.append(f"call void {symbol}(ptr {address}, i32 0, i32 3, i32 1)")
        f.add(lines)

    def _across(self, sums: Sequence[str]) -> str:
        """The sums over the elements of as many vectors as one has, in their order.

        Neighbours are added first; what is left of two vectors shares one.
        """
        step, current = 1, list(sums)
        while step < self.width:
            pairs = zip(current[::2], current[1::2], strict=True)
            current = [self._paired(a, b, step) for a, b in pairs]
            step *= 2
        return current[0]

    def _paired(self, a: str, b: str, step: int) -> str:
        """Chunks of `step` lanes of a, then of b, each added to the next chunk."""
        even, odd = [], []
        for first in range(0, self.width, 2 * step):
            for start in (first, first + self.width):
                even += range(start, start + step)
                odd += range(start + step, start + 2 * step)
        names = []
        for picks in (even, odd):
            names.append(self.f.fresh())
            self.f.add([shuffle(names[-1], self.vector, a, b, picks)])
        return self._op("fadd", *names)

    def add(self, s: RowSum, table: str, lane: str, there: str, number: int) -> None:
        """Add rows, each times its lane's value, to the sums in memory %rows."""
        f, parts = self.f, strips(s.count, self.width)
        before, inside, out = f.label("before"), f.label("row"), f.label("out")
        values, sums = f"%rows{number}.values", f"%rows{number}.sums"
        f.add([f"store {self.vector} {f.value(s.value)}, ptr {values}, align 64"])
        olds = [self._sum(sums, k) for k in range(len(parts))]
        f.go(before)
        f.go(inside)
        i = f.fresh()
        names = [f.fresh() for _ in parts]
        f.add([f"{i} = phi i64 [0, %{before}], [{i}.next, %{inside}]"])
        for name, old in zip(names, olds, strict=True):
            edges = f"[{old}, %{before}], [{name}.next, %{inside}]"
            f.add([f"{name} = phi {self.vector} {edges}"])
        address, value = f.fresh(), f.fresh()
        lines = [f"{address} = getelementptr {self.scalar}, ptr {values}, i64 {i}"]
        f.module.memory.load_splat(value, address, self.dtype, lines)
        f.add(lines)
        row = self._row(table, lane, i)
        self._fetch(row, lane, s)
        for name, p in zip(names, parts, strict=True):
            product = self._op("fmul", self.load(row, s.first + p.first, p), value)
            f.add([f"{name}.next = fadd contract {self.vector} {name}, {product}"])
        f.add(
            [
                f"{i}.next = add i64 {i}, 1",
                f"{i}.more = icmp slt i64 {i}.next, {there}",
                f"br i1 {i}.more, label %{inside}, label %{out}",
            ]
        )
        f.begin(out)
        for k, name in enumerate(names):
            place = self._place(sums, k)
            f.add([f"store {self.vector} {name}.next, ptr {place}, {self.aligned}"])

    def reserve(self, s: RowSum, number: int) -> Iterator[str]:
        """Memory for values and sums, which begin with zero."""
        count = len(strips(s.count, self.width))
        yield f"  %rows{number}.values = alloca {self.vector}, align 64"
        yield f"  %rows{number}.sums = alloca [{count} x {self.vector}], align 64"
        yield (
            f"  store [{count} x {self.vector}] zeroinitializer, "
            f"ptr %rows{number}.sums, align 64"
        )

    def finish(self, s: RowSum, number: int, pointer: str) -> None:
        """Add the sums to the partial sums of the first lane."""
        f, add = self.f, f"fadd {self.scalar}"
        for k in range(s.count):
            own, value, far, old, new = (f.fresh() for _ in range(5))
            place = (s.element + k) * self.width * self.size
            f.add(
                [
                    f"{own} = getelementptr {self.scalar}, ptr "
                    f"%rows{number}.sums, i64 {k}",
                    f"{value} = load {self.scalar}, ptr {own}",
                    f"{far} = getelementptr i8, ptr {pointer}, i64 {place}",
                    f"{old} = load {self.scalar}, ptr {far}",
                    f"{new} = {add} {old}, {value}",
                    f"store {self.scalar} {new}, ptr {far}",
                ]
            )

    def load(self, pointer: str, element: int, part: Strip) -> str:
        """A vector of elements, zero where there are none."""
        f, name = self.f, self.f.fresh()
        lines: list[str] = []
        address = f.module.memory.offset(pointer, element * self.size, lines)
        if part.count == self.width:
            how = f"align {self.size}"
            lines.append(f"{name} = load {self.vector}, ptr {address}, {how}")
        else:
            mask = ", ".join(f"i1 {k < part.count}".lower() for k in range(self.width))
            kind = f"v{self.width}f{8 * self.size}.p0"
            symbol, bools = f"@llvm.masked.load.{kind}", f"<{self.width} x i1>"
            head = f"declare {self.vector} {symbol}(ptr, i32, {bools}, {self.vector})"
            f.module.calls.declare(symbol, head)
            lines.append(
                f"{name} = call {self.vector} {symbol}(ptr {address}, i32 {self.size}, "
                f"{bools} <{mask}>, {self.vector} zeroinitializer)"
            )
        f.add(lines)
        return name

    def _row(self, table: str, lane: str, i: str) -> str:
        f, far = self.f, self.f.fresh()
        lines = [f"{far} = mul i64 {lane}, {i}"]
        row = f.module.memory.offset(table, far, lines)
        f.add(lines)
        return row

    def _op(self, word: str, a: str, b: str) -> str:
        name = self.f.fresh()
        self.f.add([f"{name} = {word} contract {self.vector} {a}, {b}"])
        return name

    def _sum(self, sums: str, k: int) -> str:
        name = self.f.fresh()
        place = self._place(sums, k)
        self.f.add([f"{name} = load {self.vector}, ptr {place}, {self.aligned}"])
        return name

    def _place(self, sums: str, k: int) -> str:
        name = self.f.fresh()
        self.f.add([f"{name} = getelementptr {self.vector}, ptr {sums}, i64 {k}"])
        return name
