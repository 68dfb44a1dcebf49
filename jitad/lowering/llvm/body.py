"""Print the statements of a kernel inside one LLVM function.

`Body` prints the whole loop nest, or a part of it whose values from other parts lie in
memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from functools import partial
from typing import Any

import numpy as np

from jitad.lowering.statement import Statement
from jitad.lowering.statements import (
    Clear,
    Const,
    Gather,
    If,
    Load,
    Op,
    Read,
    Repeat,
    Scatter,
    Store,
    StoreAll,
    Write,
)

from . import arguments, loops, neighbours, places, staging, words
from .formulas import Operation
from .memory import block_of
from .pieces import Loop, RowDot, RowSum, StoreRow, accessed
from .rows import RowPrinter
from .values import Module, Values

_Side = tuple[str, str, str, str]  # address, lane, element, table
Place = tuple[int, int]  # a buffer and an element of it


class Body(Values):
    """Prints the lines of one function: statements, loops, and where buffers are."""

    def __init__(self, module: Module) -> None:
        super().__init__(module)
        self.index = {0: "%x0"}
        self.pointers: dict[int, str] = {}
        self.user: dict[int, str] = {}
        self.rows: dict[int, list[str]] = {}
        self._asked: set[str] = set()
        self._there: str | None = None
        self.row_sums: list[RowSum] = []
        self.held: dict[Place, str] = {}
        self.together: dict[int, list[Gather]] = {}

    def loop(self, axis: int, used: Set[int], body: Callable[[], None]) -> None:
        """Run what `body` prints for every index of a batch axis."""
        before, head, inside, latch, out = (
            self.label(kind) for kind in ("before", "head", "in", "latch", "out")
        )
        x = f"%x.{head}"
        self.go(before)
        self.go(head)
        self.add(
            [
                f"{x} = phi i64 [0, %{before}], [{x}.next, %{latch}]",
                f"{x}.more = icmp slt i64 {x}, %n{axis}",
                f"br i1 {x}.more, label %{inside}, label %{out}",
            ]
        )
        self.begin(inside)
        with self.scope():
            self.index[axis] = x
            self.enter(axis, used, copying=True)
            body()
            self._leave(axis, used)
            del self.index[axis]
        self.go(latch)
        self.add([f"{x}.next = add i64 {x}, 1", f"br label %{head}"])
        self.begin(out)

    def read_frame(self) -> None:
        """Read from the frame what concerns no buffer of its own."""
        for axis in range(1, self.module.kernel.axes):
            staging.word(self.lines, f"%n{axis}", "%frame", arguments.extent(axis))
        if self.module.framed:
            staging.word(self.lines, "%valid", "%frame", arguments.VALID)
            staging.word(self.lines, "%ragged", "%frame", arguments.RAGGED)
            self.add(["%staged = icmp ne i64 %ragged, 0", "%last = sub i64 %valid, 1"])
        if self.module.noting:
            staging.word(self.lines, "%later", "%frame", arguments.LATER, "ptr")

    def frame_of(self, buffers: Set[int]) -> list[str]:
        """Read from the frame what has been asked for of buffers, by `asked`."""
        lines: list[str] = []
        for i in sorted(buffers):
            at = arguments.slots(self.module.kernel, i)
            wanted = [
                ("address", at.address, "ptr"),
                ("lane", at.lane, "i64"),
                ("element", at.element, "i64"),
                ("given", at.given, "i64"),
                ("table", at.given, "ptr"),
                ("scratch", at.scratch, "ptr"),
            ]
            axes = self.module.kernel.buffers[i].axes
            wanted += [(f"stride{axis}.", at.stride + axis, "i64") for axis in axes]
            for what, index, kind in wanted:
                name = f"%{what}{i}"
                if name in self._asked:
                    staging.word(lines, name, "%frame", index, kind)
        return lines

    def asked(self, what: str, buffer: int) -> str:
        """The text of what the frame says of a buffer, which is read at the start."""
        name = f"%{what}{buffer}"
        self._asked.add(name)
        return name

    def enter(self, axis: int, used: Set[int], *, copying: bool) -> None:
        """Compute the pointers of the buffers whose innermost axis this is.

        `copying` fills the scratch memory of inputs that cannot be read in place.
        """
        for i, b in enumerate(self.module.kernel.buffers):
            if b.level != axis or i not in used:
                continue
            pointer = self.asked("address", i)
            for a in b.axes:
                # Of streams the lanes lie side by side: one register counts for all.
                near = a == 0 and b.layout in ("streams", "lines")
                far, size = self.fresh(), str(b.dtype.itemsize)
                stride = size if near else self.asked(f"stride{a}.", i)
                lines = [f"{far} = mul i64 {self.index[a]}, {stride}"]
                pointer = self.module.memory.offset(pointer, far, lines)
                self.add(lines)
            self.user[i] = self.pointers[i] = pointer
            if axis > 0 and b.varies:
                self._substitute(i, pointer, copying=copying)
            if b.layout == "rows" and b.varies:
                lines, lane = [], self.asked("lane", i)
                self.rows[i] = self.module.memory.rows(self.pointers[i], lane, lines)
                self.add(lines)

    def _substitute(self, i: int, pointer: str, *, copying: bool) -> None:
        """Let the body find a buffer of an inner loop in scratch where it must."""
        buffer = self.module.kernel.buffers[i]
        copies = "true" if i in self.module.plan.copied else "%staged"
        if copying and not buffer.output:
            self._copy_if(copies, i, self._scratch(i), self._user(i), str(self.width))
        name = self.fresh()
        scratch = self.asked("scratch", i)
        self.add([f"{name} = select i1 {copies}, ptr {scratch}, ptr {pointer}"])
        self.pointers[i] = name

    def _leave(self, axis: int, used: Set[int]) -> None:
        """Copy out what the body left in scratch for the outputs of this loop."""
        for i, b in enumerate(self.module.kernel.buffers):
            if b.output and b.level == axis and i in used:
                copies = "true" if i in self.module.plan.copied else "%staged"
                self._copy_if(copies, i, self._user(i), self._scratch(i), "%valid")

    def _copy_if(
        self, condition: str, i: int, to: _Side, source: _Side, count: str
    ) -> None:
        yes, no = self.label("copy"), self.label("copied")
        self.add([f"br i1 {condition}, label %{yes}, label %{no}"])
        self.begin(yes)
        buffer = self.module.kernel.buffers[i]
        call = staging.copy_call(buffer, to, source, count, "%last")
        self.add([call])
        self.go(no)

    def _scratch(self, i: int) -> _Side:
        plan = self.module.plan.scratch[i]
        scratch = self.asked("scratch", i)
        return (scratch, str(plan.lane), str(plan.element), "null")

    def _user(self, i: int) -> _Side:
        """Where a buffer really lies: address, lane, element, table."""
        buffer = self.module.kernel.buffers[i]
        element = staging.element_stride(buffer, self.asked("given", i))
        stride, table = self.asked("stride0.", i), self.asked("table", i)
        return (self.user[i], stride, element, table)

    def steps(self, steps: Sequence[Statement]) -> None:
        """Print steps one after the other."""
        for s in steps:
            _PRINTERS[type(s)](self, s)

    def inside(self, body: Sequence[Statement]) -> None:
        """Print what stands in a Repeat or an If."""
        known = set(self.values)
        self.together |= neighbours.together(body)
        for s in body:
            if not isinstance(s, Load) or s.result not in known:
                self.steps([s])

    def _loop(self, s: Loop) -> None:
        self.loop(s.axis, accessed(s.body), partial(self.steps, s.body))

    def _branch(self, s: If) -> None:
        loops.branch(self, s, partial(self.inside, s.body))

    def _repeat(self, s: Repeat) -> None:
        for load in loops.hoisted(s):
            if load.index is None or load.index in self.numbers:
                self._load(load)
        head, body = partial(self.inside, s.head), partial(self.inside, s.body)
        loops.repeat(self, s, head, body)

    def _gather(self, s: Gather) -> None:
        group = self.together.pop(s.result, None)
        if group is not None:
            places.gather_rows(self, group, self._rows(s))
        elif s.result not in self.values:
            places.gather(self, s, self._rows(s))

    def _scatter(self, s: Scatter) -> None:
        mask = None if s.buffer is None else self.there()
        places.scatter(self, s, self._rows(s), mask)

    def _store_all(self, s: StoreAll) -> None:
        element = self.asked("element", s.buffer)
        places.store_all(self, s, self.pointers[s.buffer], element)

    def _op(self, s: Op) -> None:
        name = f"%v{s.result}"
        operands = list(map(self.value, s.operands))
        source = self.module.dtypes[s.operands[s.word == "select"]]
        instruction = words.instruction(s.word, source.kind)
        if instruction is not None:
            a, b = operands
            self.lines.append(f"  {name} = {instruction} {self.type(source)} {a}, {b}")
        else:
            calls = self.module.calls
            op = Operation(calls, name, s.word, operands, source, s.dtype)
            self.add(words.lines(op))
        self.module.memory.made(name, operands[s.word == "select" :])
        self.define(s.result, name)

    def _load(self, s: Load) -> None:
        dtype = self.module.kernel.buffers[s.buffer].dtype
        self.loaded(s.result, self._load_raw(s), dtype)

    def _load_raw(self, s: Load) -> str:
        buffer = self.module.kernel.buffers[s.buffer]
        pointer, dtype = self.pointers[s.buffer], buffer.dtype
        if not buffer.varies:
            return self._load_same(s)
        if buffer.layout != "rows" or s.buffer in self.module.plan.copied:
            name, stride = self.fresh(), self.asked("element", s.buffer)
            pointer = loops.far(self, pointer, s, stride)
            self.add(
                self.module.memory.load_stream(name, pointer, stride, s.element, dtype)
            )
            return name
        block = block_of(buffer, s.element, self.width)
        if (s.buffer, block) not in self.blocks:
            memory, rows = self.module.memory, self.rows[s.buffer]
            lines, names = memory.load_rows(rows, block, dtype)
            self.add(lines)
            self.blocks[s.buffer, block] = names
        return self.blocks[s.buffer, block][s.element - block.first]

    def _load_same(self, s: Load) -> str:
        """Load a scalar that all lanes share."""
        buffer = self.module.kernel.buffers[s.buffer]
        pointer, size = self.pointers[s.buffer], str(buffer.dtype.itemsize)
        lines: list[str] = []
        match buffer.layout:
            case "general":
                table = loops.far(self, self.asked("table", s.buffer), s, "8")
                entry, amount = self.fresh(), self.fresh()
                lines += [
                    f"{entry} = getelementptr i64, ptr {table}, i64 {s.element}",
                    f"{amount} = load i64, ptr {entry}",
                ]
            case "streams":
                stride, amount = self.asked("element", s.buffer), self.fresh()
                pointer = loops.far(self, pointer, s, stride)
                lines.append(f"{amount} = mul i64 {stride}, {s.element}")
            case _:
                pointer = loops.far(self, pointer, s, size)
                amount = s.element * buffer.dtype.itemsize
        address = self.module.memory.offset(pointer, amount, lines)
        name = self.fresh()
        self.module.memory.load_splat(name, address, buffer.dtype, lines)
        self.add(lines)
        return name

    def _rows(self, s: Gather | Scatter) -> places.Where:
        """Where the elements of lanes are that a statement finds by an index."""
        if s.buffer is None:
            return places.in_local(self, s)
        i, buffer = s.buffer, self.module.kernel.buffers[s.buffer]
        pointer, size = self.pointers[i], str(buffer.dtype.itemsize)
        table = self.asked("table", i) if buffer.layout == "general" else None
        if not buffer.varies:
            streams = buffer.layout == "streams"
            element = self.asked("element", i) if streams else size
            return places.Where(pointer, None, element, buffer.dtype, table)
        if buffer.layout == "rows" and i not in self.module.plan.copied:
            return places.Where(pointer, self.asked("lane", i), size, buffer.dtype)
        return places.Where(pointer, size, self.asked("element", i), buffer.dtype)

    def _store(self, s: Store) -> None:
        buffer = self.module.kernel.buffers[s.buffer]
        if buffer.layout == "sum":
            self._include(s, buffer.dtype)
            return
        pointer, stride = self.pointers[s.buffer], self.asked("element", s.buffer)
        value = self.stored(s.value)
        self.add(
            self.module.memory.store_stream(value, pointer, stride, s.element, buffer)
        )

    def _include(self, s: Store, dtype: np.dtype) -> None:
        """Add to a vector of partial sums; lanes that do not exist add zero."""
        vector, given = self.memory(dtype), self.fresh()
        choice = f"{vector} {self.stored(s.value)}, {vector} zeroinitializer"
        self.add([f"{given} = select <{self.width} x i1> {self.there()}, {choice}"])
        add = "fadd" if dtype.kind == "f" else "add"
        name = self.held.get((s.buffer, s.element))
        if name is not None:
            self.add([f"{name}.next = {add} {vector} {name}, {given}"])
            return
        new = self.fresh()
        address, old = self._partial(s.buffer, s.element)
        self.add(
            [
                f"{new} = {add} {vector} {old}, {given}",
                f"store {vector} {new}, ptr {address}, align {dtype.itemsize}",
            ]
        )

    def _partial(self, buffer: int, element: int) -> tuple[str, str]:
        """Load a vector of partial sums: its address and its value."""
        dtype, old = self.module.kernel.buffers[buffer].dtype, self.fresh()
        vector, size = self.memory(dtype), self.width * dtype.itemsize
        lines: list[str] = []
        pointer = self.pointers[buffer]
        address = self.module.memory.offset(pointer, element * size, lines)
        lines.append(f"{old} = load {vector}, ptr {address}, align {dtype.itemsize}")
        self.add([line.strip() for line in lines])
        return address, old

    def hold(self, places: Sequence[Place]) -> Iterator[str]:
        """Keep vectors of partial sums out of memory: lines for the head of the loop.

        In memory each would wait for the one before to be written and read again.
        """
        for number, place in enumerate(places):
            name, dtype = f"%sum{number}", self.module.kernel.buffers[place[0]].dtype
            _, first = self._partial(*place)
            self.held[place] = name
            pairs = f"[{first}, %before], [{name}.next, %latch]"
            yield f"  {name} = phi {self.memory(dtype)} {pairs}"

    def there(self) -> str:
        """Which lanes of this vector exist: all of them, but in a ragged frame."""
        if self._there is None:
            self._there = "%there"
            vector = f"<{self.width} x i64>"
            zeros = f"<{self.width} x i32> zeroinitializer"
            numbers = ", ".join(f"i64 {k}" for k in range(self.width))
            self.add(
                [
                    "%ahead = sub i64 %valid, %x0",
                    f"%most = call i64 @llvm.smin.i64(i64 %ahead, i64 {self.width})",
                    f"%limit = select i1 %staged, i64 %most, i64 {self.width}",
                    f"%limit.0 = insertelement {vector} poison, i64 %limit, i64 0",
                    f"%limits = shufflevector {vector} %limit.0, {vector} poison, "
                    f"{zeros}",
                    f"%there = icmp slt {vector} <{numbers}>, %limits",
                ]
            )
        return self._there

    def _row_dot(self, s: RowDot) -> None:
        table, fixed = self.pointers[s.row], self.pointers[s.weights]
        lane = self.asked("lane", s.row)
        made = RowPrinter(self, s.dtype).dot(s, table, lane, fixed)
        self.define(s.result, made)

    def _row_sum(self, s: RowSum) -> None:
        dtype = self.module.kernel.buffers[s.row].dtype
        number = len(self.row_sums)
        self.row_sums.append(s)
        self.there()
        printer = RowPrinter(self, dtype)
        table = self.pointers[s.row]
        printer.add(s, table, self.asked("lane", s.row), "%limit", number)

    def finish(self) -> tuple[list[str], list[str]]:
        """What has to be done before all vectors and after them."""
        reserve: list[str] = []
        kept, self.lines = self.lines, []
        for (buffer, element), name in self.held.items():
            dtype = self.module.kernel.buffers[buffer].dtype
            address, _ = self._partial(buffer, element)
            given = f"{self.memory(dtype)} {name}.next"
            self.add([f"store {given}, ptr {address}, align {dtype.itemsize}"])
        for number, s in enumerate(self.row_sums):
            printer = RowPrinter(self, self.module.kernel.buffers[s.row].dtype)
            reserve += printer.reserve(s, number)
            printer.finish(s, number, self.pointers[s.buffer])
        kept, self.lines = self.lines, kept
        return reserve, kept

    def _store_row(self, s: StoreRow) -> None:
        dtype = self.module.kernel.buffers[s.buffer].dtype
        values = [self.stored(v) for v in s.values]
        rows = self.rows[s.buffer]
        self.add(self.module.memory.store_rows(values, rows, s.block, dtype))


def _known(body: Body, s: Const) -> None:
    """A constant is part of the text of what uses it."""


# What prints each statement.
_PRINTERS: dict[type[Statement], Callable[[Body, Any], None]] = {
    Const: _known,
    Op: Body._op,
    Load: Body._load,
    Read: loops.read,
    Gather: Body._gather,
    Store: Body._store,
    StoreRow: Body._store_row,
    StoreAll: Body._store_all,
    Write: loops.write,
    Clear: places.clear,
    Scatter: Body._scatter,
    RowDot: Body._row_dot,
    RowSum: Body._row_sum,
    Loop: Body._loop,
    Repeat: Body._repeat,
    If: Body._branch,
}
