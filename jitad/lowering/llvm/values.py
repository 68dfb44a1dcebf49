"""The values of a kernel inside one LLVM function, and the lines that define them.

`Module` holds what all functions of a kernel share; `Values` knows the text of every
value in one of them.  Values from other functions lie in memory, at `%live`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from jitad.lowering.kernel import Kernel
from jitad.process.locks import cached_property

from . import staging
from .calls import Calls
from .memory import Block, Memory
from .target import memory_type, value_type

LINE = 64


@dataclass(frozen=True)
class Module:
    """What all functions of a kernel share.

    constants  value -> its text
    dtypes     value -> its dtype
    slots      value -> where it lies in memory, if several functions need it
    noting     whether lanes are noted that are to be run again
    """

    kernel: Kernel
    calls: Calls
    memory: Memory
    plan: staging.Staging
    constants: Mapping[int, str]
    dtypes: Mapping[int, np.dtype]
    slots: Mapping[int, int]
    noting: bool

    @property
    def slot_bytes(self) -> int:
        """Bytes that any vector of a value fits in."""
        return 8 * self.calls.width

    @cached_property
    def framed(self) -> bool:
        """Whether the body asks which lanes of its frame are real."""
        return staging.framed(self.kernel)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where the locals lie in memory, behind the slots, and where the last ends."""
        slots = 1 + max(self.slots.values(), default=-1)
        offsets = [-(-slots * self.slot_bytes // LINE) * LINE]
        for k in self.kernel.locals:
            size = k.elements * self.calls.width * k.dtype.itemsize
            offsets.append(offsets[-1] + -(-size // LINE) * LINE)
        return tuple(offsets)


class Values:
    """Prints the lines of one function, and knows the text of each value there.

    numbers  value -> the text of an i64, of values that are the same in all lanes
    blocks   the texts of rows that have been loaded
    named    the texts of what is known of the places that an index names
    """

    def __init__(self, module: Module) -> None:
        self.module = module
        self.width = module.calls.width
        self.lines: list[str] = []
        self.values: dict[int, str] = {}
        self.numbers: dict[int, str] = {}
        self.blocks: dict[tuple[int, Block], list[str]] = {}
        self.named: dict[tuple[object, ...], str] = {}
        self.offsets = module.offsets
        self._labels = 0

    def add(self, lines: Sequence[str]) -> None:
        """Append instructions."""
        self.lines += [f"  {line}" for line in lines]

    def label(self, kind: str) -> str:
        """A new name for a block of instructions."""
        self._labels += 1
        return f"{kind}{self._labels}"

    def begin(self, label: str) -> None:
        """Begin a block of instructions, to which the one before does not lead."""
        self.lines.append(f"{label}:")

    def go(self, label: str) -> None:
        """Begin a block of instructions to which the one before leads."""
        self.add([f"br label %{label}"])
        self.begin(label)

    def fresh(self) -> str:
        """A new name for a value that is none of the kernel's."""
        return self.module.memory.fresh()

    def type(self, dtype: np.dtype) -> str:
        """The LLVM type of a value."""
        return value_type(dtype, self.width)

    def value(self, v: int) -> str:
        """The text of a value, which another function may have left in memory."""
        found = self.module.constants.get(v) or self.values.get(v)
        if found is None:
            found, vector = self.fresh(), self.type(self.module.dtypes[v])
            self.values[v] = found
            self.add([*self._slot(v, found), f"{found} = load {vector}, ptr {found}.p"])
        return found

    def number(self, v: int) -> str:
        """A value that is the same in all lanes, as an i64."""
        if v not in self.numbers:
            name, vector = self.fresh(), self.type(np.dtype(np.int64))
            given = self.value(v)
            self.add([f"{name} = extractelement {vector} {given}, i64 0"])
            self.numbers[v] = name
        return self.numbers[v]

    def define(self, v: int, text: str) -> None:
        """Let a value have this text, and leave it in memory for other functions."""
        self.values[v] = text
        if v in self.module.slots:
            name, vector = self.fresh(), self.type(self.module.dtypes[v])
            self.add([*self._slot(v, name), f"store {vector} {text}, ptr {name}.p"])

    def _slot(self, v: int, name: str) -> list[str]:
        offset = self.module.slots[v] * self.module.slot_bytes
        return [f"{name}.p = getelementptr i8, ptr %live, i64 {offset}"]

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Forget afterwards what was defined or loaded inside."""
        kept = dict(self.values), dict(self.numbers), dict(self.blocks)
        named = dict(self.named)
        yield
        self.values, self.numbers, self.blocks = kept
        self.named = named

    def stored(self, value: int) -> str:
        """A value as it is in memory: a bool is a byte."""
        given, dtype = self.value(value), self.module.dtypes[value]
        if dtype != np.bool_:
            return given
        name = self.fresh()
        self.add([f"{name} = zext {self.type(dtype)} {given} to {self.memory(dtype)}"])
        return name

    def loaded(self, target: int, raw: str, dtype: np.dtype) -> None:
        """Define a value from what was found in memory."""
        if dtype == np.bool_:
            name = self.fresh()
            self.add([f"{name} = icmp ne {self.memory(dtype)} {raw}, zeroinitializer"])
            raw = name
        self.define(target, raw)

    def memory(self, dtype: np.dtype) -> str:
        """The LLVM type of a vector of scalars in memory."""
        return f"<{self.width} x {memory_type(dtype)}>"
