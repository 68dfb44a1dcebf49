"""A call without Python in between, for one point or few: about a microsecond.

`fast_call` makes a built-in function, in machine code, for one signature.  It checks
that its arguments are what the kernel was planned for by reading the fields of the
objects, fills the launch block, makes the result arrays and runs the kernel.  Where an
argument is anything else it returns None, and the caller takes the general road.

The offsets are those of CPython's and NumPy 2's stable binary interfaces; `supported`
compares them with living objects before anything relies on them.
"""

from __future__ import annotations

import ctypes
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from jitad.lowering import kernel
from jitad.lowering.llvm.arguments import slots

from . import executable as cpu
from . import numpy_table, rounds
from .link import link
from .watch import python

# Offsets in PyObject, PyFloatObject and NumPy's scalars, PyArrayObject.
_TYPE, _NUMBER = 8, 16
_DATA, _NDIM, _SHAPE, _STRIDES, _DTYPE, _FLAGS = 16, 24, 32, 40, 56, 64
_ALIGNED = 0x100
_FASTCALL = 0x80

_NUMBERS = {float: "double", np.float64: "double", np.float32: "float"}


@dataclass(frozen=True, slots=True)
class ArrayArgument:
    """An ndarray of exactly this dtype, shape and strides; word: its address's slot."""

    dtype: np.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    word: int


@dataclass(frozen=True, slots=True)
class NumberArgument:
    """A number of exactly this type; the block's word is its address in scratch."""

    type: type
    word: int


@dataclass(frozen=True, slots=True)
class Result:
    """An array of a shape, or a NumPy scalar where the shape is ()."""

    dtype: np.dtype
    shape: tuple[int, ...]
    word: int


Argument = ArrayArgument | NumberArgument


class _Method(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


def fast_call(
    executable: cpu.Executable,
    extents: Sequence[int],
    args: Sequence[Any],
    results: Sequence[tuple[np.dtype, tuple[int, ...]]],
    placed: Sequence[kernel.Argument],
    structure: Any,
) -> Callable[..., Any] | None:
    """A built-in function for arguments of exactly the types and layouts of args.

    results    dtype and shape of every result
    placed     where inputs, then outputs, lie, but for their addresses
    structure  what to return: the number of a result, or a nested tuple of numbers
    None where an argument is neither an ndarray nor a floating-point number, and for
    batches that are worth more than one thread, or have to be watched.
    """
    known = executable.outline
    work = known.work.nanoseconds(extents) * extents[0]
    if not supported() or work > rounds.SERIAL_NANOSECONDS or known.long:
        return None
    words = [slots(known, k).address for k in range(len(placed))]
    inputs = [_argument(x, word) for x, word in zip(args, words, strict=False)]
    if any(item is None for item in inputs):
        return None
    outputs = [
        Result(dtype, shape, word)
        for (dtype, shape), word in zip(results, words[len(args) :], strict=True)
    ]
    block = executable.block(extents, placed)
    scratch = np.zeros(len(placed), np.float64)
    for k, item in enumerate((*inputs, *outputs)):
        by_value = isinstance(item, Result) and not item.shape
        if by_value or isinstance(item, NumberArgument):
            block[words[k]] = scratch.ctypes.data + 8 * k
    writer = _Writer(
        block.ctypes.data, scratch.ctypes.data, executable.address, extents[0]
    )
    library = link(writer.text([i for i in inputs if i], outputs, structure))
    method = _Method(b"jitad", library.address("call"), _FASTCALL, None)
    # What the code reads lives as long as the function: a built-in function owns the
    # object that it is said to be a method of.
    kept = (library, method, executable, block, scratch, placed, inputs, outputs)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
    return make(ctypes.addressof(method), kept, None)


def _argument(value: Any, word: int) -> Argument | None:
    """What a value of this kind is as an argument, if it can be one."""
    if type(value) is np.ndarray:
        return ArrayArgument(value.dtype, value.shape, value.strides, word)
    return NumberArgument(type(value), word) if type(value) in _NUMBERS else None


class _Writer:
    """The LLVM text of one such function."""

    def __init__(self, block: int, scratch: int, entry: int, lanes: int) -> None:
        self.block, self.scratch, self.entry = block, scratch, entry
        self.lanes = lanes
        self.lines: list[str] = []
        self.heads: list[str] = []
        self.count = 0

    def text(
        self, arguments: Sequence[Argument], results: Sequence[Result], structure: Any
    ) -> str:
        self.check(self.compare("eq", "i64", "%n", str(len(arguments))))
        for k, item in enumerate(arguments):
            self.argument(k, item)
        values = [self.allocated(r) for r in results]
        self.lines.append(
            f"  call void {_pointer(self.entry)}(ptr {_pointer(self.block)}, "
            f"i64 0, i64 {self.lanes})"
        )
        total = len(arguments)
        values = [
            v or self.scalar(total + k, r)
            for k, (v, r) in enumerate(zip(values, results, strict=True))
        ]
        self.lines.append(f"  ret ptr {self.nested(structure, values)}")
        none = _pointer(id(None))
        body = "\n".join(self.lines)
        heads = "\n".join(self.heads)
        return (
            f"{heads}\ndefine ptr @call(ptr %self, ptr %args, i64 %n) {{\n"
            f"entry:\n{body}\nother:\n"
            f"  call void {python('Py_IncRef')}(ptr {none})\n  ret ptr {none}\n"
            "failed:\n  ret ptr null\n}\n"
        )

    def fresh(self, value: str) -> str:
        self.count += 1
        self.lines.append(f"  %t{self.count} = {value}")
        return f"%t{self.count}"

    def at(self, base: str, offset: int, type: str) -> str:
        """A value loaded from base + offset bytes."""
        place = self.fresh(f"getelementptr i8, ptr {base}, i64 {offset}")
        return self.fresh(f"load {type}, ptr {place}")

    def compare(self, how: str, type: str, left: str, right: str) -> str:
        return self.fresh(f"icmp {how} {type} {left}, {right}")

    def check(self, condition: str, otherwise: str = "other") -> None:
        """Go on only where condition holds."""
        self.count += 1
        label = f"next{self.count}"
        self.lines.append(f"  br i1 {condition}, label %{label}, label %{otherwise}")
        self.lines.append(f"{label}:")

    def equal(self, base: str, offset: int, type: str, value: str) -> None:
        self.check(self.compare("eq", type, self.at(base, offset, type), value))

    def put(self, word: int, value: str) -> None:
        place = _pointer(self.block + 8 * word)
        self.lines.append(f"  store ptr {value}, ptr {place}")

    def argument(self, k: int, item: Argument) -> None:
        value = self.at("%args", 8 * k, "ptr")
        if isinstance(item, NumberArgument):
            self.equal(value, _TYPE, "ptr", _pointer(id(item.type)))
            kind = _NUMBERS[item.type]
            number = self.at(value, _NUMBER, kind)
            place = _pointer(self.scratch + 8 * k)
            self.lines.append(f"  store {kind} {number}, ptr {place}")
            return
        self.equal(value, _TYPE, "ptr", _pointer(id(np.ndarray)))
        self.equal(value, _DTYPE, "ptr", _pointer(id(item.dtype)))
        self.equal(value, _NDIM, "i32", str(len(item.shape)))
        aligned = self.fresh(f"and i32 {self.at(value, _FLAGS, 'i32')}, {_ALIGNED}")
        self.check(self.compare("ne", "i32", aligned, "0"))
        for offset, expected in ((_SHAPE, item.shape), (_STRIDES, item.strides)):
            if expected:
                array = self.at(value, offset, "ptr")
                for j, x in enumerate(expected):
                    self.equal(array, 8 * j, "i64", str(x))
        self.put(item.word, self.at(value, _DATA, "ptr"))

    def allocated(self, result: Result) -> str | None:
        """A new array for a result; scalars are made after the kernel has run."""
        if not result.shape:
            return None
        shape = f"@shape{len(self.heads)}"
        extents = ", ".join(f"i64 {n}" for n in result.shape)
        dims = len(result.shape)
        self.heads.append(
            f"{shape} = private constant [{dims} x i64] [{extents}], align 8"
        )
        array = self.fresh(
            f"call ptr {_pointer(numpy_table.function(numpy_table.NEW))}"
            f"(ptr {_pointer(id(np.ndarray))}, i32 {dims}, ptr {shape}, "
            f"i32 {result.dtype.num}, ptr null, ptr null, i32 0, i32 0, ptr null)"
        )
        self.check(self.compare("ne", "ptr", array, "null"), "failed")
        self.put(result.word, self.at(array, _DATA, "ptr"))
        return array

    def scalar(self, slot: int, result: Result) -> str:
        value = self.fresh(
            f"call ptr {_pointer(numpy_table.function(numpy_table.SCALAR))}"
            f"(ptr {_pointer(self.scratch + 8 * slot)}, "
            f"ptr {_pointer(id(result.dtype))}, ptr null)"
        )
        self.check(self.compare("ne", "ptr", value, "null"), "failed")
        return value

    def nested(self, structure: Any, values: Sequence[str]) -> str:
        if isinstance(structure, int):
            return values[structure]
        return self.tuple([self.nested(part, values) for part in structure])

    def tuple(self, values: Sequence[str]) -> str:
        made = self.fresh(f"call ptr {python('PyTuple_New')}(i64 {len(values)})")
        self.check(self.compare("ne", "ptr", made, "null"), "failed")
        for k, value in enumerate(values):
            self.fresh(
                f"call i32 {python('PyTuple_SetItem')}"
                f"(ptr {made}, i64 {k}, ptr {value})"
            )
        return made


def _pointer(address: int) -> str:
    return f"inttoptr (i64 {address} to ptr)"


@cache
def supported() -> bool:
    """Whether objects lie in memory as this module reads them."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    if sysconfig.get_config_var("Py_GIL_DISABLED") or hasattr(sys, "gettotalrefcount"):
        return False
    if int(np.__version__.split(".")[0]) != 2:
        return False
    return _array_fields() and _number_fields() and _numpy_makes_arrays()


def _word(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


def _array_fields() -> bool:
    sample = np.zeros((2, 3), np.float32)[:, ::2]
    base = id(sample)
    shape, strides = _word(base + _SHAPE), _word(base + _STRIDES)
    return (
        _word(base + _TYPE) == id(np.ndarray)
        and _word(base + _DATA) == sample.ctypes.data
        and ctypes.c_int32.from_address(base + _NDIM).value == 2
        and [_word(shape), _word(shape + 8)] == [2, 2]
        and [_word(strides), _word(strides + 8)] == list(sample.strides)
        and _word(base + _DTYPE) == id(np.dtype(np.float32))
        and bool(ctypes.c_int32.from_address(base + _FLAGS).value & _ALIGNED)
    )


def _number_fields() -> bool:
    for kind, sample in ((float, 2.5), (np.float64, np.float64(2.5))):
        if ctypes.c_double.from_address(id(sample) + _NUMBER).value != 2.5:
            return False
        if _word(id(sample) + _TYPE) != id(kind):
            return False
    single = np.float32(2.5)
    return ctypes.c_float.from_address(id(single) + _NUMBER).value == 2.5


def _numpy_makes_arrays() -> bool:
    c, f8 = ctypes, np.dtype(np.float64)
    new = c.PYFUNCTYPE(
        c.py_object, c.py_object, c.c_int, c.c_void_p, c.c_int, c.c_void_p, c.c_void_p,
        c.c_int, c.c_int, c.c_void_p,
    )(numpy_table.function(numpy_table.NEW))  # fmt: skip
    shape = np.array([2, 3], np.int64)
    made = new(np.ndarray, 2, shape.ctypes.data, f8.num, None, None, 0, 0, None)
    to_scalar = c.PYFUNCTYPE(c.py_object, c.c_void_p, c.py_object, c.c_void_p)(
        numpy_table.function(numpy_table.SCALAR)
    )
    number = np.array([2.5])
    scalar = to_scalar(number.ctypes.data, f8, None)
    return (
        type(made) is np.ndarray
        and made.shape == (2, 3)
        and made.dtype == f8
        and type(scalar) is np.float64
        and scalar == 2.5
    )
