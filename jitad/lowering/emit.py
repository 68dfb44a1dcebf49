"""Print a Kernel as LLVM IR: one lane is one element of an explicit vector.

Start at `emit`.  `_Body` prints the loop nest `lanes(frame, lo, hi)` on whole vectors;
words come from `emit_words`, loads and stores from `emit_memory`, everything around
the body from `emit_frame`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np

from . import emit_copies, emit_frame, frame
from .emit_memory import Block, Memory, block_of
from .emit_words import Words, constant, splat
from .kernel import Const, For, Kernel, Load, Op, Statement, Store
from .target import Target, lanes

NAME = "kernel"

_Side = tuple[str, str, str, str]  # address, lane, element, table


def emit(kernel: Kernel, target: Target) -> str:
    """The LLVM module of a kernel: `@kernel(block, lo, hi)` and `@kernel.tiles`."""
    width = lanes(kernel, target)
    words = Words(target, width)
    plan = emit_frame.staging(kernel, width)
    body = _Body(kernel, words, plan).text()
    parts = [
        emit_copies.DECLARATIONS,
        *emit_frame.declarations(plan, streaming=target.streaming),
        *words.calls.declarations.values(),
        *words.calls.helpers.values(),
        body,
        emit_frame.staged(kernel, width, plan, streaming=target.streaming),
        emit_frame.entry(NAME, kernel, width, plan),
        emit_frame.tiles(NAME),
    ]
    return "\n".join(parts) + "\n"


@dataclass(frozen=True)
class StoreRow:
    """Store the values of one block of a row together."""

    buffer: int
    block: Block
    values: tuple[int, ...]


def accessed(body: Sequence[Statement]) -> frozenset[int]:
    """The buffers that statements, and loops inside them, load or store."""
    direct = {s.buffer for s in body if isinstance(s, Load | Store)}
    inner = [accessed(s.body) for s in body if isinstance(s, For)]
    return frozenset(direct).union(*inner)


def group_stores(
    kernel: Kernel, body: Sequence[Statement], width: int
) -> Iterator[Statement | StoreRow]:
    """Let the stores into one block of rows happen together, at the last of them."""
    last: dict[tuple[int, int], Store] = {}
    for s in body:
        if isinstance(s, Store) and kernel.buffers[s.buffer].layout == "rows":
            last[s.buffer, s.element] = s
    waiting = {key: s.value for key, s in last.items()}
    missing = {b: set[int]() for b, _ in waiting}
    for b, e in waiting:
        missing[b].add(e)
    for s in body:
        if not (isinstance(s, Store) and (s.buffer, s.element) in last):
            yield s
            continue
        if last[s.buffer, s.element] is not s:
            continue
        missing[s.buffer].discard(s.element)
        yield from _complete_blocks(kernel, s, missing[s.buffer], waiting, width)


def _complete_blocks(
    kernel: Kernel,
    store: Store,
    missing: set[int],
    values: dict[tuple[int, int], int],
    width: int,
) -> Iterator[StoreRow]:
    """The blocks that this store, being the last into them, completes."""
    buffer = kernel.buffers[store.buffer]
    firsts = {
        block_of(buffer, e, width)
        for e in range(max(0, store.element - width), buffer.elements)
        if e < store.element + width
    }
    for block in sorted(firsts, key=lambda b: b.first):
        elements = range(block.first, block.first + block.count)
        stored = [e for e in elements if (store.buffer, e) in values]
        if store.element not in stored or any(e in missing for e in stored):
            continue
        for run in _runs(stored):
            chosen = tuple(values[store.buffer, e] for e in run)
            yield StoreRow(store.buffer, Block(run[0], len(run)), chosen)


def _runs(elements: Sequence[int]) -> Iterator[list[int]]:
    """Split ascending integers where they are not consecutive."""
    run: list[int] = []
    for e in elements:
        if run and e != run[-1] + 1:
            yield run
            run = []
        run.append(e)
    if run:
        yield run


class _Body:
    """Prints `lanes`: the kernel's statements inside the loop over vectors."""

    def __init__(self, kernel: Kernel, words: Words, plan: emit_frame.Staging) -> None:
        self.kernel, self.words, self.plan = kernel, words, plan
        self.width = words.width
        self.memory = Memory(words.width)
        self.lines: list[str] = []
        self.values: dict[int, str] = {}
        self.dtypes: dict[int, np.dtype] = {}
        self.blocks: dict[tuple[int, Block], list[str]] = {}
        self.index = {0: "%x0"}
        self.pointers: dict[int, str] = {}
        self.user: dict[int, str] = {}
        self.labels = 0

    def text(self) -> str:
        self.lines = [
            "define internal void @lanes(ptr %frame, i64 %lo, i64 %hi) "
            "noinline nounwind {",
            "entry:",
        ]
        self._read_frame()
        self.lines += [
            "  br label %loop",
            "loop:",
            "  %x0 = phi i64 [%lo, %entry], [%x0.next, %latch]",
        ]
        self._enter(0, accessed(self.kernel.body))
        self._statements(self.kernel.body)
        self.lines += [
            "  br label %latch",
            "latch:",
            f"  %x0.next = add i64 %x0, {self.width}",
            "  %x0.more = icmp slt i64 %x0.next, %hi",
            "  br i1 %x0.more, label %loop, label %exit",
            "exit:",
            "  ret void",
            "}",
        ]
        return "\n".join(self.lines)

    def _add(self, lines: Sequence[str]) -> None:
        self.lines += [f"  {line}" for line in lines]

    def _read_frame(self) -> None:
        for axis in range(1, self.kernel.axes):
            emit_frame.word(self.lines, f"%n{axis}", "%frame", frame.extent(axis))
        if any(isinstance(s, For) for s in self.kernel.body):
            emit_frame.word(self.lines, "%valid", "%frame", frame.VALID)
            emit_frame.word(self.lines, "%ragged", "%frame", frame.RAGGED)
            self._add(["%staged = icmp ne i64 %ragged, 0", "%last = sub i64 %valid, 1"])
        for i, b in enumerate(self.kernel.buffers):
            at = frame.slots(self.kernel, i)
            emit_frame.word(self.lines, f"%address{i}", "%frame", at.address, "ptr")
            emit_frame.word(self.lines, f"%lane{i}", "%frame", at.lane)
            emit_frame.word(self.lines, f"%element{i}", "%frame", at.element)
            emit_frame.word(self.lines, f"%given{i}", "%frame", at.given)
            emit_frame.word(self.lines, f"%table{i}", "%frame", at.given, "ptr")
            emit_frame.word(self.lines, f"%scratch{i}", "%frame", at.scratch, "ptr")
            for axis in b.axes:
                name = f"%stride{i}.{axis}"
                emit_frame.word(self.lines, name, "%frame", at.stride + axis)

    def _enter(self, axis: int, used: Set[int]) -> None:
        """Compute the pointers of the buffers whose innermost axis this is."""
        for i, b in enumerate(self.kernel.buffers):
            if frame.level(b) != axis or i not in used:
                continue
            pointer = f"%address{i}"
            for a in b.axes:
                far = self.memory.fresh()
                lines = [f"{far} = mul i64 {self.index[a]}, %stride{i}.{a}"]
                pointer = self.memory.offset(pointer, far, lines)
                self._add(lines)
            self.user[i] = self.pointers[i] = pointer
            if axis > 0 and frame.varies(b):
                self._substitute(i, pointer)

    def _substitute(self, i: int, pointer: str) -> None:
        """Let the body find a buffer of an inner loop in scratch where it must."""
        buffer = self.kernel.buffers[i]
        copies = "true" if emit_frame.must_copy(buffer) else "%staged"
        if not buffer.output:
            self._copy_if(copies, i, self._scratch(i), self._user(i), str(self.width))
        name = self.memory.fresh()
        self._add([f"{name} = select i1 {copies}, ptr %scratch{i}, ptr {pointer}"])
        self.pointers[i] = name

    def _leave(self, axis: int, used: Set[int]) -> None:
        """Copy out what the body left in scratch for the outputs of this loop."""
        for i, b in enumerate(self.kernel.buffers):
            if b.output and frame.level(b) == axis and i in used:
                copies = "true" if emit_frame.must_copy(b) else "%staged"
                self._copy_if(copies, i, self._user(i), self._scratch(i), "%valid")

    def _copy_if(
        self, condition: str, i: int, to: _Side, source: _Side, count: str
    ) -> None:
        yes, no = self._label("copy"), self._label("copied")
        self._add([f"br i1 {condition}, label %{yes}, label %{no}"])
        self.lines.append(f"{yes}:")
        buffer = self.kernel.buffers[i]
        call = emit_frame.copy_call(buffer, to, source, count, "%last")
        self._add([call, f"br label %{no}"])
        self.lines.append(f"{no}:")

    def _label(self, kind: str) -> str:
        self.labels += 1
        return f"{kind}{self.labels}"

    def _scratch(self, i: int) -> _Side:
        plan = self.plan.scratch[i]
        return (f"%scratch{i}", str(plan.lane), str(plan.element), "null")

    def _user(self, i: int) -> _Side:
        """Where a buffer really lies: address, lane, element, table."""
        element = emit_frame.element_stride(self.kernel.buffers[i], f"%given{i}")
        return (self.user[i], f"%stride{i}.0", element, f"%table{i}")

    def _statements(self, body: Sequence[Statement]) -> None:
        for s in group_stores(self.kernel, body, self.width):
            match s:
                case Const():
                    self.values[s.target] = splat(constant(s.value, s.dtype), s.dtype)
                    self.dtypes[s.target] = s.dtype
                case Op():
                    self._op(s)
                case Load():
                    self._load(s)
                case Store():
                    self._store(s)
                case StoreRow():
                    self._store_row(s)
                case For():
                    self._for(s)

    def _op(self, s: Op) -> None:
        name = f"%v{s.target}"
        operands = [self.values[a] for a in s.operands]
        dtypes = [self.dtypes[a] for a in s.operands]
        self._add(self.words.emit(name, s.word, operands, dtypes, s.dtype))
        self.values[s.target] = name
        self.dtypes[s.target] = s.dtype

    def _load(self, s: Load) -> None:
        buffer = self.kernel.buffers[s.buffer]
        raw = self._load_raw(s)
        if buffer.dtype == np.bool_:
            name = f"%v{s.target}"
            vector = f"<{self.width} x i8>"
            self._add([f"{name} = icmp ne {vector} {raw}, zeroinitializer"])
            raw = name
        self.values[s.target] = raw
        self.dtypes[s.target] = buffer.dtype

    def _load_raw(self, s: Load) -> str:
        buffer = self.kernel.buffers[s.buffer]
        pointer, dtype = self.pointers[s.buffer], buffer.dtype
        if not frame.varies(buffer):
            return self._load_same(s)
        if buffer.layout != "rows":
            name = self.memory.fresh()
            stride = f"%element{s.buffer}"
            self._add(self.memory.load_stream(name, pointer, stride, s.element, dtype))
            return name
        block = block_of(buffer, s.element, self.width)
        if (s.buffer, block) not in self.blocks:
            lane = f"%lane{s.buffer}"
            lines, names = self.memory.load_rows(pointer, lane, block, dtype)
            self._add(lines)
            self.blocks[s.buffer, block] = names
        return self.blocks[s.buffer, block][s.element - block.first]

    def _load_same(self, s: Load) -> str:
        """Load a scalar that all lanes share."""
        buffer = self.kernel.buffers[s.buffer]
        pointer, lines = self.pointers[s.buffer], []
        match buffer.layout:
            case "general":
                entry, amount = self.memory.fresh(), self.memory.fresh()
                lines += [
                    f"{entry} = getelementptr i64, ptr %table{s.buffer}, "
                    f"i64 {s.element}",
                    f"{amount} = load i64, ptr {entry}",
                ]
            case "streams":
                amount = self.memory.fresh()
                lines.append(f"{amount} = mul i64 %element{s.buffer}, {s.element}")
            case _:
                amount = s.element * buffer.dtype.itemsize
        address = self.memory.offset(pointer, amount, lines)
        name = self.memory.fresh()
        self.memory.load_splat(name, address, buffer.dtype, lines)
        self._add(lines)
        return name

    def _stored(self, value: int) -> str:
        """The value as it is in memory: a bool is a byte."""
        if self.dtypes[value] != np.bool_:
            return self.values[value]
        name, vector = self.memory.fresh(), f"<{self.width} x i1>"
        self._add(
            [f"{name} = zext {vector} {self.values[value]} to <{self.width} x i8>"]
        )
        return name

    def _store(self, s: Store) -> None:
        dtype = self.kernel.buffers[s.buffer].dtype
        pointer, stride = self.pointers[s.buffer], f"%element{s.buffer}"
        value = self._stored(s.value)
        self._add(self.memory.store_stream(value, pointer, stride, s.element, dtype))

    def _store_row(self, s: StoreRow) -> None:
        dtype = self.kernel.buffers[s.buffer].dtype
        values = [self._stored(v) for v in s.values]
        pointer, lane = self.pointers[s.buffer], f"%lane{s.buffer}"
        self._add(self.memory.store_rows(values, pointer, lane, s.block, dtype))

    def _for(self, s: For) -> None:
        before, head, inside, latch, out = (
            self._label(kind) for kind in ("before", "head", "in", "latch", "out")
        )
        x, known = f"%x.{head}", dict(self.blocks)
        self._add([f"br label %{before}"])
        self.lines.append(f"{before}:")
        self._add([f"br label %{head}"])
        self.lines.append(f"{head}:")
        self._add(
            [
                f"{x} = phi i64 [0, %{before}], [{x}.next, %{latch}]",
                f"{x}.more = icmp slt i64 {x}, %n{s.axis}",
                f"br i1 {x}.more, label %{inside}, label %{out}",
            ]
        )
        self.lines.append(f"{inside}:")
        self.index[s.axis] = x
        used = accessed(s.body)
        self._enter(s.axis, used)
        self._statements(s.body)
        self._leave(s.axis, used)
        self._add([f"br label %{latch}"])
        self.lines.append(f"{latch}:")
        self._add([f"{x}.next = add i64 {x}, 1", f"br label %{head}"])
        self.lines.append(f"{out}:")
        self.blocks = known
