"""Recurrences as machine code, and the step of a plan that runs it.

The code is that of one lane: each value is a scalar, each loop a loop.  LLVM is left to
see which places are always in an array, and what iterations share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from jitad.backends.cpu import executable as cpu
from jitad.backends.cpu import fresh, watch
from jitad.backends.cpu.link import THOROUGH, Library
from jitad.backends.cpu.objects import linked
from jitad.backends.cpu.threads import POOL
from jitad.backends.memory import address
from jitad.ir.graph import CONST, ELEMENT, INPUT, PACK
from jitad.kept import entries
from jitad.lowering.cost import LOOK
from jitad.lowering.llvm import words
from jitad.lowering.llvm.arguments import HEADER, WATCH
from jitad.lowering.llvm.calls import Calls
from jitad.lowering.llvm.formulas import Operation, constant
from jitad.lowering.llvm.target import memory_type, register_type
from jitad.lowering.llvm.watch import DECLARATION
from jitad.process.locks import cached_property
from jitad.transforms.rewrite.expand import expand

from .recurrence import Add, Again, Compute, Get, Instruction, Memory, Recurrence, Set
from .steps import Environment, Step

# A long loop looks whether it is still wanted after so many iterations; one inside of
# others when it is over, after so many of all.
_STRIDE = 1 << 16
_NAME = "recurrence"


@dataclass(eq=False)
class Recur(Step):
    """A recurrence on stored arrays.

    results  the numbers of its results
    keep     whether its code may be kept on the disk
    """

    statement: Recurrence
    results: Sequence[int]
    keep: bool

    @property
    def touched(self) -> list[int]:
        """The arrays that it reads or makes."""
        return [*self.statement.operands, *self.results]

    @property
    def made(self) -> list[tuple[int, int]]:
        """The arrays that it makes, and their bytes."""
        sizes = [t.size * t.dtype.itemsize for t in self.statement.types]
        return list(zip(self.results, sizes, strict=True))

    @property
    def beside(self) -> int:
        """The bytes that it needs while it runs."""
        memories = enumerate(self.statement.memories)
        return sum(
            _bytes(m)
            for k, m in memories
            if not m.kept and (m.source != "given" or k in self._written)
        )

    @property
    def read(self) -> int:
        """The bytes of the arrays that it reads."""
        return sum(_bytes(m) for m in self.statement.memories if m.source == "given")

    @property
    def written(self) -> int:
        """The bytes of the arrays that it writes."""
        return sum(_bytes(self.statement.memories[k]) for k in self._written)

    @property
    def iterations(self) -> int:
        """How often the innermost loops run, at most."""
        return _iterations(self.statement.code)

    @cached_property
    def code(self) -> Library:
        """The machine code."""
        with entries.only_if(self.keep):
            return _compiled(text(self.statement))

    def run(self, environment: Environment) -> None:
        """Run it."""
        statement, given = self.statement, self.statement.given
        arrays = []
        for k, memory in enumerate(statement.memories):
            shape, dtype = memory.type.shape, memory.type.dtype
            if memory.source == "given":
                array = environment[given[k]]
                array = fresh.copy(array) if k in self._written else array
            elif memory.source == "zeros":
                array = fresh.zeros(shape, dtype)
            else:
                array = fresh.empty(shape, dtype)
            arrays.append(array)
        numbers = zip(statement.numbers, statement.operands, strict=False)
        found = [np.zeros((), statement.dtypes[v]) for v in statement.outputs]
        places = [
            *map(address, arrays),
            *(address(environment[x]) for _, x in numbers),
            *map(address, found),
        ]
        looking = watch.here()
        frame = np.array([*[0] * WATCH, address(looking), 0, *places], np.int64)
        frame[HEADER] = address(frame)
        POOL.run(self.address, address(frame), 1)
        kept = [arrays[k] for k in statement.kept]
        environment |= zip(self.results, (*kept, *found), strict=True)

    @property
    def address(self) -> int:
        """Of the machine code, which is there as long as this is."""
        return self.code.address(_NAME)

    @property
    def nanoseconds(self) -> float:
        """How long it takes, within a factor of ten."""
        return _nanoseconds(self.statement.code)

    @cached_property
    def _written(self) -> set[int]:
        return self.statement.written


def _bytes(memory: Memory) -> int:
    return memory.type.size * memory.type.dtype.itemsize


def _iterations(code: Sequence[Instruction]) -> int:
    loops = [s for s in code if isinstance(s, Again)]
    return sum(s.bound * max(1, _iterations(s.code)) for s in loops)


def _nanoseconds(code: Sequence[Instruction]) -> float:
    every = (
        _nanoseconds(s.code) * s.bound if isinstance(s, Again) else 1 for s in code
    )
    return float(sum(every))


@lru_cache(maxsize=256)
def _compiled(text: str) -> Library:
    """The code of a text; equal ones share it."""
    watch.share()
    return linked(text)


def text(statement: Recurrence) -> str:
    """The LLVM module: `@recurrence(…, frame)`.

    Behind its header the frame has the address of the block that has the watch, and
    those of memories, of given numbers and of results.
    """
    return _Printer(statement).module()


class _Printer:
    """The lines of one function."""

    def __init__(self, statement: Recurrence) -> None:
        self.statement = statement
        self.calls = Calls(cpu.host(), 1)
        self.lines: list[str] = []
        self.names: dict[int, str] = {}
        self.fills: dict[str, str] = {}
        self.block = "entry"
        self._count = 0
        self._operations = 0

    def fresh(self) -> str:
        """A new name."""
        self._count += 1
        return f"t{self._count}"

    def add(self, *lines: str) -> None:
        """Append lines."""
        self.lines += [f"  {line}" for line in lines]

    def begin(self, label: str) -> None:
        """Begin a block."""
        self.lines.append(f"{label}:")
        self.block = label

    def dtype(self, v: int) -> np.dtype:
        """Of a value."""
        return self.statement.dtypes[v]

    def kind(self, v: int) -> str:
        """The LLVM type of a value."""
        return register_type(self.dtype(v))

    def module(self) -> str:
        """The text."""
        statement = self.statement
        slots = [
            *(f"m{k}" for k in range(len(statement.memories))),
            *(f"g{k}" for k in range(len(statement.numbers))),
            *(f"r{k}" for k in range(len(statement.outputs))),
        ]
        # Of what is written nothing else is in the same place.
        parameters = ", ".join(["ptr %look", *(f"ptr noalias %{s}" for s in slots)])
        for k, v in enumerate(statement.numbers):
            self.names[v] = self._loaded(f"%g{k}", self.dtype(v))
        for s in statement.code:
            self._one(s)
        for k, v in enumerate(statement.outputs):
            self._stored(f"%r{k}", self.names[v], self.dtype(v))
        own = [
            f"define internal void @own({parameters}) nounwind {{",
            "entry:",
            "  %account = alloca i64",
            f"  store i64 {LOOK}, ptr %account",
            *self.lines,
            "  br label %exit",
            "exit:",
            "  ret void",
            "}",
        ]
        outer = [
            f"define void @{_NAME}(ptr %a, ptr %b, ptr %c, ptr %frame) nounwind {{"
        ]
        for k, slot in enumerate(("look", *slots)):
            outer += [
                f"  %{slot}.at = getelementptr i64, ptr %frame, i64 {HEADER + k}",
                f"  %{slot} = load ptr, ptr %{slot}.at",
            ]
        arguments = ", ".join(f"ptr %{s}" for s in ("look", *slots))
        outer += [f"  call void @own({arguments})", "  ret void", "}"]
        texts = [
            DECLARATION, *self.calls.texts(self._operations), *self.fills.values(),
            *own, *outer,
        ]  # fmt: skip
        return THOROUGH + "\n".join(texts) + "\n"

    def _loaded(self, pointer: str, dtype: np.dtype) -> str:
        """A value from memory."""
        name, kind = f"%{self.fresh()}", memory_type(dtype)
        self.add(f"{name} = load {kind}, ptr {pointer}, align {dtype.itemsize}")
        if dtype != np.bool_:
            return name
        bit = f"%{self.fresh()}"
        self.add(f"{bit} = icmp ne i8 {name}, 0")
        return bit

    def _stored(self, pointer: str, name: str, dtype: np.dtype) -> None:
        kind = memory_type(dtype)
        if dtype == np.bool_:
            byte = f"%{self.fresh()}"
            self.add(f"{byte} = zext i1 {name} to i8")
            name = byte
        self.add(f"store {kind} {name}, ptr {pointer}, align {dtype.itemsize}")

    def _there(self, memory: int, place: str) -> tuple[str, np.dtype]:
        """Where an element is."""
        dtype, name = self.statement.memories[memory].type.dtype, f"%{self.fresh()}"
        kind = memory_type(dtype)
        self.add(f"{name} = getelementptr inbounds {kind}, ptr %m{memory}, i64 {place}")
        return name, dtype

    # -- instructions ----------------------------------------------------------

    def _one(self, s: Instruction) -> None:
        match s:
            case Compute():
                self._compute(s)
            case Get():
                self._get(s)
            case Set():
                self._set(s)
            case Add():
                self._add(s)
            case Again():
                self._again(s)

    def _compute(self, s: Compute) -> None:
        graph = expand(s.graph)
        nodes, names = graph.nodes, dict[int, str]()
        for i, x in zip(graph.inputs, s.operands, strict=True):
            names[i] = self.names[x]
        for i, node in enumerate(nodes):
            if node.primitive is INPUT:
                continue
            if node.primitive in (ELEMENT, PACK):
                names[i] = names[node.operands[0]]
            elif node.primitive is CONST:
                names[i] = constant(node.value, node.type.dtype, 1)
            else:
                names[i] = f"%{self.fresh()}"
                self._operations += 1
                word = node.primitive.word
                assert word is not None, node
                source = nodes[node.operands[word == "select"]].type.dtype
                operands = [names[a] for a in node.operands]
                dtype = node.type.dtype
                instruction = words.instruction(word, source.kind)
                if instruction is not None:
                    a, b = operands
                    kind = register_type(source)
                    self.add(f"{names[i]} = {instruction} {kind} {a}, {b}")
                    continue
                op = Operation(self.calls, names[i], word, operands, source, dtype)
                self.add(*words.lines(op))
        self.names |= {
            y: names[o] for y, o in zip(s.results, graph.outputs, strict=True)
        }

    def _get(self, s: Get) -> None:
        place = self.names[s.place]
        if s.place in self.statement.sure:
            there, dtype = self._there(s.memory, place)
            self.names[s.result] = self._loaded(there, dtype)
            return
        valid, index = f"%{self.fresh()}", f"%{self.fresh()}"
        self.add(
            f"{valid} = icmp sge i64 {place}, 0",
            f"{index} = select i1 {valid}, i64 {place}, i64 0",
        )
        there, dtype = self._there(s.memory, index)
        value, name = self._loaded(there, dtype), f"%{self.fresh()}"
        kind, absent = register_type(dtype), constant(s.missing, dtype, 1)
        self.add(f"{name} = select i1 {valid}, {kind} {value}, {kind} {absent}")
        self.names[s.result] = name

    def _set(self, s: Set) -> None:
        place, label = self.names[s.place], self.fresh()
        if s.place in self.statement.sure:
            self._put(s)
            return
        valid, none = f"%{self.fresh()}", f"%{self.fresh()}"
        self.add(
            f"{valid} = icmp sge i64 {place}, 0",
            f"br i1 {valid}, label %{label}.in, label %{label}.out",
        )
        self.begin(f"{label}.in")
        self._put(s)
        self.add(f"br label %{label}")
        self.begin(f"{label}.out")
        self.add(
            f"{none} = icmp eq i64 {place}, -1",
            f"br i1 {none}, label %{label}.all, label %{label}",
        )
        self.begin(f"{label}.all")
        type = self.statement.memories[s.memory].type
        size, dtype = type.size, type.dtype
        kind, absent = memory_type(dtype), _in_memory(s.missing, dtype)
        given = f"ptr %m{s.memory}, i64 {size}, {kind} {absent}"
        self.add(f"call void @fill.{kind}({given})", f"br label %{label}")
        self.fills[kind] = _fill(kind)
        self.begin(label)

    def _put(self, s: Set) -> None:
        there, dtype = self._there(s.memory, self.names[s.place])
        self._stored(there, self.names[s.value], dtype)

    def _add(self, s: Add) -> None:
        place, label, valid = self.names[s.place], self.fresh(), f"%{self.fresh()}"
        if s.place in self.statement.sure:
            self._include(s)
            return
        self.add(
            f"{valid} = icmp sge i64 {place}, 0",
            f"br i1 {valid}, label %{label}.in, label %{label}",
        )
        self.begin(f"{label}.in")
        self._include(s)
        self.add(f"br label %{label}")
        self.begin(label)

    def _include(self, s: Add) -> None:
        there, dtype = self._there(s.memory, self.names[s.place])
        old, new = self._loaded(there, dtype), f"%{self.fresh()}"
        self.add(f"{new} = fadd {register_type(dtype)} {old}, {self.names[s.value]}")
        self._stored(there, new, dtype)

    def _again(self, s: Again) -> None:
        label, before = self.fresh(), self.block
        limit = str(s.bound) if s.count is None else self.names[s.count]
        turn, index = f"%{label}.turn", f"%{label}.index"
        inner = [f"%{self.fresh()}" for _ in s.carried]
        self.add(f"br label %{label}")
        self.begin(label)
        place = len(self.lines)
        self.add(
            f"%{label}.more = icmp slt i64 {turn}, {limit}",
            f"br i1 %{label}.more, label %{label}.in, label %{label}.out",
        )
        self.begin(f"{label}.in")
        if s.backwards:
            self.add(
                f"%{label}.last = sub i64 {limit}, 1",
                f"{index} = sub i64 %{label}.last, {turn}",
            )
        else:
            index = turn
        self.names[s.index] = index
        self.names |= {c.inner: n for c, n in zip(s.carried, inner, strict=True)}
        for one in s.code:
            self._one(one)
        self.add(f"{turn}.next = add nsw i64 {turn}, 1")
        holds = any(isinstance(one, Again) for one in s.code)
        if s.bound > _STRIDE and not holds:
            self._look(f"{turn}.next", label)
        end = self.block
        self.add(f"br label %{label}")
        phis = [f"{turn} = phi i64 [0, %{before}], [{turn}.next, %{end}]"]
        for c, name in zip(s.carried, inner, strict=True):
            start, next = self.names[c.start], self.names[c.next]
            kind = self.kind(c.inner)
            phis.append(f"{name} = phi {kind} [{start}, %{before}], [{next}, %{end}]")
        self.lines[place:place] = [f"  {line}" for line in phis]
        self.begin(f"{label}.out")
        self.names |= {c.outer: n for c, n in zip(s.carried, inner, strict=True)}
        if not holds:
            self._charge(turn)

    def _look(self, turn: str, label: str) -> None:
        """Ask after a stretch of iterations whether the loop is still wanted."""
        rest, over, left = (f"%{self.fresh()}" for _ in range(3))
        self.add(
            f"{rest} = and i64 {turn}, {_STRIDE - 1}",
            f"{over} = icmp eq i64 {rest}, 0",
            f"br i1 {over}, label %{label}.look, label %{label}.on",
        )
        self.begin(f"{label}.look")
        self.add(
            f"{left} = call i1 @jitad.look(ptr %look, ptr %account)",
            f"br i1 {left}, label %exit, label %{label}.on",
        )
        self.begin(f"{label}.on")

    def _charge(self, turns: str) -> None:
        """Ask after so many iterations of loops inside of others."""
        label = self.fresh()
        old, new, over, left = (f"%{self.fresh()}" for _ in range(4))
        self.add(
            f"{old} = load i64, ptr %account",
            f"{new} = sub i64 {old}, {turns}",
            f"store i64 {new}, ptr %account",
            f"{over} = icmp slt i64 {new}, 0",
            f"br i1 {over}, label %{label}.look, label %{label}",
        )
        self.begin(f"{label}.look")
        self.add(
            f"{left} = call i1 @jitad.look(ptr %look, ptr %account)",
            f"br i1 {left}, label %exit, label %{label}",
        )
        self.begin(label)


def _in_memory(value: Any, dtype: np.dtype) -> str:
    """A constant as it lies in memory."""
    if dtype == np.bool_:
        return str(int(bool(value)))
    return constant(value, dtype, 1)


def _fill(kind: str) -> str:
    """A function that sets all elements of an array."""
    return f"""
define internal void @fill.{kind}(ptr %p, i64 %n, {kind} %x) noinline cold nounwind {{
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%i.next, %loop]
  %there = getelementptr {kind}, ptr %p, i64 %i
  store {kind} %x, ptr %there
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""
