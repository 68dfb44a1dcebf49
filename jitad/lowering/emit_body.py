"""Print the statements of a kernel inside one LLVM function.

`Module` holds what all functions of a kernel share; `Body` prints one of them: the
whole loop nest, or a part of it whose values from other parts lie in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial

import numpy as np

from . import emit_frame, emit_words, frame
from .emit_calls import Calls
from .emit_formulas import Operation
from .emit_memory import Block, Memory, block_of
from .kernel import Kernel, Load, Op, Store
from .parts import Loop, Step, StoreRow, accessed
from .target import value_type

_Side = tuple[str, str, str, str]  # address, lane, element, table


@dataclass(frozen=True)
class Module:
    """What all functions of a kernel share.

    constants  value -> its text
    dtypes     value -> its dtype
    slots      value -> where it lies in memory, if several functions need it
    """

    kernel: Kernel
    calls: Calls
    memory: Memory
    plan: emit_frame.Staging
    constants: Mapping[int, str]
    dtypes: Mapping[int, np.dtype]
    slots: Mapping[int, int]

    @property
    def slot_bytes(self) -> int:
        """Bytes that any vector of a value fits in."""
        return 8 * self.calls.width


class Body:
    """Prints the lines of one function: statements, loops, and where buffers are."""

    def __init__(self, module: Module, *, loops: bool) -> None:
        self.module = module
        self.width = module.calls.width
        self.lines: list[str] = []
        self.values: dict[int, str] = {}
        self.blocks: dict[tuple[int, Block], list[str]] = {}
        self.index = {0: "%x0"}
        self.pointers: dict[int, str] = {}
        self.user: dict[int, str] = {}
        self.labels = 0
        self.loops = loops

    def value(self, v: int) -> str:
        """The text of a value, which another function may have left in memory."""
        if v in self.module.constants:
            return self.module.constants[v]
        if v not in self.values:
            name = self.module.memory.fresh()
            vector = value_type(self.module.dtypes[v], self.width)
            self.values[v] = name
            self.add([*self._slot(v, name), f"{name} = load {vector}, ptr {name}.p"])
        return self.values[v]

    def _define(self, v: int, text: str) -> None:
        self.values[v] = text
        if v in self.module.slots:
            name = self.module.memory.fresh()
            vector = value_type(self.module.dtypes[v], self.width)
            self.add([*self._slot(v, name), f"store {vector} {text}, ptr {name}.p"])

    def _slot(self, v: int, name: str) -> list[str]:
        offset = self.module.slots[v] * self.module.slot_bytes
        return [f"{name}.p = getelementptr i8, ptr %live, i64 {offset}"]

    def loop(self, axis: int, used: Set[int], body: Callable[[], None]) -> None:
        """Run what `body` prints for every index of a batch axis."""
        before, head, inside, latch, out = (
            self.label(kind) for kind in ("before", "head", "in", "latch", "out")
        )
        x = f"%x.{head}"
        self.add([f"br label %{before}"])
        self.lines.append(f"{before}:")
        self.add([f"br label %{head}"])
        self.lines.append(f"{head}:")
        self.add(
            [
                f"{x} = phi i64 [0, %{before}], [{x}.next, %{latch}]",
                f"{x}.more = icmp slt i64 {x}, %n{axis}",
                f"br i1 {x}.more, label %{inside}, label %{out}",
            ]
        )
        self.lines.append(f"{inside}:")
        # What is loaded inside is not known after the loop.
        blocks, values = dict(self.blocks), dict(self.values)
        self.index[axis] = x
        self.enter(axis, used, copying=True)
        body()
        self._leave(axis, used)
        self.blocks, self.values = blocks, values
        del self.index[axis]
        self.add([f"br label %{latch}"])
        self.lines.append(f"{latch}:")
        self.add([f"{x}.next = add i64 {x}, 1", f"br label %{head}"])
        self.lines.append(f"{out}:")

    def add(self, lines: Sequence[str]) -> None:
        """Append instructions."""
        self.lines += [f"  {line}" for line in lines]

    def read_frame(self, used: Set[int]) -> None:
        """Read from the frame what concerns the buffers in use."""
        for axis in range(1, self.module.kernel.axes):
            emit_frame.word(self.lines, f"%n{axis}", "%frame", frame.extent(axis))
        if self.loops:
            emit_frame.word(self.lines, "%valid", "%frame", frame.VALID)
            emit_frame.word(self.lines, "%ragged", "%frame", frame.RAGGED)
            self.add(["%staged = icmp ne i64 %ragged, 0", "%last = sub i64 %valid, 1"])
        for i in sorted(used):
            b = self.module.kernel.buffers[i]
            at = frame.slots(self.module.kernel, i)
            emit_frame.word(self.lines, f"%address{i}", "%frame", at.address, "ptr")
            emit_frame.word(self.lines, f"%lane{i}", "%frame", at.lane)
            emit_frame.word(self.lines, f"%element{i}", "%frame", at.element)
            emit_frame.word(self.lines, f"%given{i}", "%frame", at.given)
            emit_frame.word(self.lines, f"%table{i}", "%frame", at.given, "ptr")
            emit_frame.word(self.lines, f"%scratch{i}", "%frame", at.scratch, "ptr")
            for axis in b.axes:
                name = f"%stride{i}.{axis}"
                emit_frame.word(self.lines, name, "%frame", at.stride + axis)

    def enter(self, axis: int, used: Set[int], *, copying: bool) -> None:
        """Compute the pointers of the buffers whose innermost axis this is.

        `copying` fills the scratch memory of inputs that cannot be read in place.
        """
        for i, b in enumerate(self.module.kernel.buffers):
            if frame.level(b) != axis or i not in used:
                continue
            pointer = f"%address{i}"
            for a in b.axes:
                far = self.module.memory.fresh()
                lines = [f"{far} = mul i64 {self.index[a]}, %stride{i}.{a}"]
                pointer = self.module.memory.offset(pointer, far, lines)
                self.add(lines)
            self.user[i] = self.pointers[i] = pointer
            if axis > 0 and frame.varies(b):
                self._substitute(i, pointer, copying=copying)

    def _substitute(self, i: int, pointer: str, *, copying: bool) -> None:
        """Let the body find a buffer of an inner loop in scratch where it must."""
        buffer = self.module.kernel.buffers[i]
        copies = "true" if emit_frame.must_copy(buffer) else "%staged"
        if copying and not buffer.output:
            self._copy_if(copies, i, self._scratch(i), self._user(i), str(self.width))
        name = self.module.memory.fresh()
        self.add([f"{name} = select i1 {copies}, ptr %scratch{i}, ptr {pointer}"])
        self.pointers[i] = name

    def _leave(self, axis: int, used: Set[int]) -> None:
        """Copy out what the body left in scratch for the outputs of this loop."""
        for i, b in enumerate(self.module.kernel.buffers):
            if b.output and frame.level(b) == axis and i in used:
                copies = "true" if emit_frame.must_copy(b) else "%staged"
                self._copy_if(copies, i, self._user(i), self._scratch(i), "%valid")

    def _copy_if(
        self, condition: str, i: int, to: _Side, source: _Side, count: str
    ) -> None:
        yes, no = self.label("copy"), self.label("copied")
        self.add([f"br i1 {condition}, label %{yes}, label %{no}"])
        self.lines.append(f"{yes}:")
        buffer = self.module.kernel.buffers[i]
        call = emit_frame.copy_call(buffer, to, source, count, "%last")
        self.add([call, f"br label %{no}"])
        self.lines.append(f"{no}:")

    def label(self, kind: str) -> str:
        """A new name for a block of instructions."""
        self.labels += 1
        return f"{kind}{self.labels}"

    def _scratch(self, i: int) -> _Side:
        plan = self.module.plan.scratch[i]
        return (f"%scratch{i}", str(plan.lane), str(plan.element), "null")

    def _user(self, i: int) -> _Side:
        """Where a buffer really lies: address, lane, element, table."""
        element = emit_frame.element_stride(self.module.kernel.buffers[i], f"%given{i}")
        return (self.user[i], f"%stride{i}.0", element, f"%table{i}")

    def steps(self, steps: Sequence[Step]) -> None:
        """Print steps one after the other."""
        for s in steps:
            match s:
                case Op():
                    self._op(s)
                case Load():
                    self._load(s)
                case Store():
                    self._store(s)
                case StoreRow():
                    self._store_row(s)
                case Loop():
                    self.loop(s.axis, accessed(s.body), partial(self.steps, s.body))

    def _op(self, s: Op) -> None:
        name = f"%v{s.target}"
        operands = [self.value(a) for a in s.operands]
        source = self.module.dtypes[s.operands[s.word == "select"]]
        calls = self.module.calls
        op = Operation(calls, name, s.word, operands, source, s.dtype)
        self.add(emit_words.lines(op))
        self._define(s.target, name)

    def _load(self, s: Load) -> None:
        buffer = self.module.kernel.buffers[s.buffer]
        raw = self._load_raw(s)
        if buffer.dtype == np.bool_:
            name = f"%v{s.target}"
            vector = f"<{self.width} x i8>"
            self.add([f"{name} = icmp ne {vector} {raw}, zeroinitializer"])
            raw = name
        self._define(s.target, raw)

    def _load_raw(self, s: Load) -> str:
        buffer = self.module.kernel.buffers[s.buffer]
        pointer, dtype = self.pointers[s.buffer], buffer.dtype
        if not frame.varies(buffer):
            return self._load_same(s)
        if buffer.layout != "rows":
            name = self.module.memory.fresh()
            stride = f"%element{s.buffer}"
            self.add(
                self.module.memory.load_stream(name, pointer, stride, s.element, dtype)
            )
            return name
        block = block_of(buffer, s.element, self.width)
        if (s.buffer, block) not in self.blocks:
            lane = f"%lane{s.buffer}"
            lines, names = self.module.memory.load_rows(pointer, lane, block, dtype)
            self.add(lines)
            self.blocks[s.buffer, block] = names
        return self.blocks[s.buffer, block][s.element - block.first]

    def _load_same(self, s: Load) -> str:
        """Load a scalar that all lanes share."""
        buffer = self.module.kernel.buffers[s.buffer]
        pointer, lines = self.pointers[s.buffer], []
        match buffer.layout:
            case "general":
                entry, amount = self.module.memory.fresh(), self.module.memory.fresh()
                lines += [
                    f"{entry} = getelementptr i64, ptr %table{s.buffer}, "
                    f"i64 {s.element}",
                    f"{amount} = load i64, ptr {entry}",
                ]
            case "streams":
                amount = self.module.memory.fresh()
                lines.append(f"{amount} = mul i64 %element{s.buffer}, {s.element}")
            case _:
                amount = s.element * buffer.dtype.itemsize
        address = self.module.memory.offset(pointer, amount, lines)
        name = self.module.memory.fresh()
        self.module.memory.load_splat(name, address, buffer.dtype, lines)
        self.add(lines)
        return name

    def _stored(self, value: int) -> str:
        """The value as it is in memory: a bool is a byte."""
        given = self.value(value)
        if self.module.dtypes[value] != np.bool_:
            return given
        name, vector = self.module.memory.fresh(), f"<{self.width} x i1>"
        self.add([f"{name} = zext {vector} {given} to <{self.width} x i8>"])
        return name

    def _store(self, s: Store) -> None:
        buffer = self.module.kernel.buffers[s.buffer]
        pointer, stride = self.pointers[s.buffer], f"%element{s.buffer}"
        value = self._stored(s.value)
        self.add(
            self.module.memory.store_stream(value, pointer, stride, s.element, buffer)
        )

    def _store_row(self, s: StoreRow) -> None:
        dtype = self.module.kernel.buffers[s.buffer].dtype
        values = [self._stored(v) for v in s.values]
        pointer, lane = self.pointers[s.buffer], f"%lane{s.buffer}"
        self.add(self.module.memory.store_rows(values, pointer, lane, s.block, dtype))
