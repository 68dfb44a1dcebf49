"""Words that take a few instructions: extremes, casts, tests of bits, division.

Every formula is a function of an `Operation` that returns lines; names it needs on the
way begin with the operation's own.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from .calls import Calls
from .target import register_type, value_type


class Operation(NamedTuple):
    """name = word(operands): texts and dtypes, and where calls are noted."""

    calls: Calls
    name: str
    word: str
    operands: Sequence[str]
    source: np.dtype
    dtype: np.dtype

    @property
    def type(self) -> str:
        """The LLVM type of the result."""
        return value_type(self.dtype, self.calls.width)

    @property
    def source_type(self) -> str:
        """The LLVM type of the first operand."""
        return value_type(self.source, self.calls.width)

    @property
    def mask(self) -> str:
        """The LLVM type of a condition."""
        return value_type(np.dtype(bool), self.calls.width)

    def constant(self, value: object, dtype: np.dtype) -> str:
        """The same constant in all lanes."""
        return constant(value, dtype, self.calls.width)

    def every(self, number: int) -> str:
        """A small integer in all lanes, of the result's type; -1 are all its bits."""
        dtype = np.dtype(f"i{self.dtype.itemsize}")
        return constant(number, dtype, self.calls.width)

    def intrinsic(
        self, name: str, function: str, operands: Sequence[str], *flags: str
    ) -> str:
        """A call of an LLVM intrinsic on the first operand's type."""
        symbol = self.calls.intrinsic(function, len(operands), self.source, len(flags))
        typed = [f"{self.source_type} {a}" for a in operands]
        arguments = ", ".join([*typed, *(f"i1 {flag}" for flag in flags)])
        return f"{name} = call {self.source_type} {symbol}({arguments})"


Formula = Callable[[Operation], list[str]]


def constant(value: object, dtype: np.dtype, width: int) -> str:
    """A constant as LLVM text, bit for bit, the same in all lanes."""
    scalar = dtype.type(value)
    if dtype == np.bool_:
        text = "true" if scalar else "false"
    elif dtype.kind == "f":
        bits = struct.unpack("<Q", struct.pack("<d", float(scalar)))[0]
        text = f"0x{bits:016X}"
    else:
        text = str(int(scalar.view(f"i{dtype.itemsize}")))
    return text if width == 1 else f"splat ({register_type(dtype)} {text})"


def _neg(op: Operation) -> list[str]:
    a = op.operands[0]
    if op.source.kind == "f":
        return [f"{op.name} = fneg {op.type} {a}"]
    return [f"{op.name} = sub {op.type} zeroinitializer, {a}"]


def _abs(op: Operation) -> list[str]:
    if op.source.kind != "i":
        return _same(op)
    return [op.intrinsic(op.name, "abs", op.operands, "false")]


def _same(op: Operation) -> list[str]:
    """The operand itself."""
    (a,) = op.operands
    return [f"{op.name} = select i1 true, {op.type} {a}, {op.type} {a}"]


def _not(op: Operation) -> list[str]:
    ones = op.constant(True, op.dtype) if op.dtype == np.bool_ else op.every(-1)
    return [f"{op.name} = xor {op.type} {op.operands[0]}, {ones}"]


def _select(op: Operation) -> list[str]:
    mask, a, b = op.operands
    return [f"{op.name} = select {op.mask} {mask}, {op.type} {a}, {op.type} {b}"]


def _extreme(order: str, winner: int) -> Formula:
    """The greater or lesser; the operand that counts as it if it is NaN."""

    def formula(op: Operation) -> list[str]:
        a, b = op.operands
        nan = op.operands[winner]
        n = op.name
        return [
            f"{n}.c = fcmp {order} {op.type} {a}, {b}",
            f"{n}.n = fcmp uno {op.type} {nan}, {nan}",
            f"{n}.t = or {op.mask} {n}.c, {n}.n",
            f"{n} = select {op.mask} {n}.t, {op.type} {a}, {op.type} {b}",
        ]

    return formula


def _isnan(op: Operation) -> list[str]:
    a = op.operands[0]
    return [f"{op.name} = fcmp uno {op.source_type} {a}, {a}"]


def _against_infinity(order: str) -> Formula:
    def formula(op: Operation) -> list[str]:
        infinity = op.constant(np.inf, op.source)
        return [
            op.intrinsic(f"{op.name}.a", "fabs", op.operands),
            f"{op.name} = fcmp {order} {op.source_type} {op.name}.a, {infinity}",
        ]

    return formula


def _signbit(op: Operation) -> list[str]:
    integer = value_type(np.dtype(f"i{op.source.itemsize}"), op.calls.width)
    return [
        f"{op.name}.b = bitcast {op.source_type} {op.operands[0]} to {integer}",
        f"{op.name} = icmp slt {integer} {op.name}.b, zeroinitializer",
    ]


def _cast(op: Operation) -> list[str]:
    a, source, dtype = op.operands[0], op.source, op.dtype
    if source == dtype or op.source_type == op.type:
        return _same(op)
    if dtype == np.bool_:
        test = "fcmp une" if source.kind == "f" else "icmp ne"
        return [f"{op.name} = {test} {op.source_type} {a}, zeroinitializer"]
    if source.kind == "f" and dtype.kind in "iu":
        return _float_to_int(op)
    return [
        f"{op.name} = {_conversion(source, dtype)} {op.source_type} {a} to {op.type}"
    ]


def _conversion(source: np.dtype, dtype: np.dtype) -> str:
    if source == np.bool_:
        return "uitofp" if dtype.kind == "f" else "zext"
    wider = dtype.itemsize > source.itemsize
    if source.kind == "f":
        return "fpext" if wider else "fptrunc"
    if dtype.kind == "f":
        return "sitofp" if source.kind == "i" else "uitofp"
    extended = "sext" if source.kind == "i" else "zext"
    return extended if wider else "trunc"


def _float_to_int(op: Operation) -> list[str]:
    """Truncate; what does not fit becomes what NumPy has for it on x86.

    That is the least integer, of 32 bits at least, of which the last bits are kept.
    To an integer without a sign, so wide, what is beyond half of its range is
    converted less that half.
    """
    n, (a,), old = op.name, op.operands, op.source_type
    made = np.dtype(f"i{max(4, op.dtype.itemsize)}")
    wide, least = value_type(made, op.calls.width), np.iinfo(made).min
    half, low = op.constant(-float(least), op.source), op.constant(least, made)
    upper = op.dtype.kind == "u" and made.itemsize == op.dtype.itemsize
    x = f"{n}.x" if upper else a
    last = n if made == op.dtype else f"{n}.c"
    lines = [
        op.intrinsic(f"{n}.a", "fabs", [x]),
        f"{n}.ok = fcmp olt {old} {n}.a, {half}",
        f"{n}.s = select {op.mask} {n}.ok, {old} {x}, {old} zeroinitializer",
        f"{n}.i = fptosi {old} {n}.s to {wide}",
        f"{last} = select {op.mask} {n}.ok, {wide} {n}.i, {wide} {low}",
    ]
    if made == op.dtype:
        return lines
    if not upper:
        return [*lines, f"{n} = trunc {wide} {n}.c to {op.type}"]
    return [
        f"{n}.up = fcmp oge {old} {a}, {half}",
        f"{n}.less = fsub {old} {a}, {half}",
        f"{n}.x = select {op.mask} {n}.up, {old} {n}.less, {old} {a}",
        *lines,
        f"{n}.h = select {op.mask} {n}.up, {wide} {low}, {wide} zeroinitializer",
        f"{n} = xor {wide} {n}.c, {n}.h",
    ]


def _integer_division(*, remainder: bool) -> Formula:
    """NumPy's: rounds down, x // 0 = x % 0 = 0, least // -1 wraps."""

    def formula(op: Operation) -> list[str]:
        (a, b), n, vector, mask = op.operands, op.name, op.type, op.mask
        zero, one = "zeroinitializer", op.every(1)
        if op.dtype.kind == "u":
            instruction = "urem" if remainder else "udiv"
            return [
                f"{n}.z = icmp eq {vector} {b}, {zero}",
                f"{n}.s = select {mask} {n}.z, {vector} {one}, {vector} {b}",
                f"{n}.q = {instruction} {vector} {a}, {n}.s",
                f"{n} = select {mask} {n}.z, {vector} {zero}, {vector} {n}.q",
            ]
        lines = [
            # Dividing by -1 is negation, which wraps where sdiv would trap.
            f"{n}.m = icmp eq {vector} {b}, {op.every(-1)}",
            f"{n}.z = icmp eq {vector} {b}, {zero}",
            f"{n}.u = or {mask} {n}.m, {n}.z",
            f"{n}.s = select {mask} {n}.u, {vector} {one}, {vector} {b}",
            f"{n}.q = sdiv {vector} {a}, {n}.s",
            f"{n}.p = mul {vector} {n}.q, {n}.s",
            f"{n}.r = sub {vector} {a}, {n}.p",
            f"{n}.x = xor {vector} {n}.r, {n}.s",
            f"{n}.y = icmp slt {vector} {n}.x, {zero}",
            f"{n}.w = icmp ne {vector} {n}.r, {zero}",
            f"{n}.d = and {mask} {n}.y, {n}.w",
        ]
        if remainder:
            return [
                *lines,
                f"{n}.e = select {mask} {n}.d, {vector} {n}.s, {vector} {zero}",
                f"{n} = add {vector} {n}.r, {n}.e",
            ]
        return [
            *lines,
            f"{n}.e = sext {mask} {n}.d to {vector}",
            f"{n}.f = add {vector} {n}.q, {n}.e",
            f"{n}.g = sub {vector} {zero}, {a}",
            f"{n}.h = select {mask} {n}.m, {vector} {n}.g, {vector} {n}.f",
            f"{n} = select {mask} {n}.z, {vector} {zero}, {vector} {n}.h",
        ]

    return formula


def _shift(*, left: bool) -> Formula:
    """NumPy's: by as many bits as there are or more, or by fewer than none, all go."""

    def formula(op: Operation) -> list[str]:
        (a, b), n, vector, mask = op.operands, op.name, op.type, op.mask
        last = op.every(8 * op.dtype.itemsize - 1)
        lines = [
            f"{n}.in = icmp ule {vector} {b}, {last}",
            f"{n}.by = select {mask} {n}.in, {vector} {b}, {vector} {last}",
        ]
        if not left and op.dtype.kind == "i":
            return [*lines, f"{n} = ashr {vector} {a}, {n}.by"]
        instruction = "shl" if left else "lshr"
        return [
            *lines,
            f"{n}.s = {instruction} {vector} {a}, {n}.by",
            f"{n} = select {mask} {n}.in, {vector} {n}.s, {vector} zeroinitializer",
        ]

    return formula


_ANY: dict[str, Formula] = {"neg": _neg, "select": _select, "cast": _cast}
FLOATING: Mapping[str, Formula] = MappingProxyType(
    {
        **_ANY,
        "maximum": _extreme("oge", 0),
        "minimum": _extreme("ole", 0),
        "fmax": _extreme("oge", 1),
        "fmin": _extreme("ole", 1),
        "isnan": _isnan,
        "isinf": _against_infinity("oeq"),
        "isfinite": _against_infinity("olt"),
        "signbit": _signbit,
    }
)
INTEGER: Mapping[str, Formula] = MappingProxyType(
    {
        **_ANY,
        "abs": _abs,
        "not": _not,
        "floor_divide": _integer_division(remainder=False),
        "mod": _integer_division(remainder=True),
        "left_shift": _shift(left=True),
        "right_shift": _shift(left=False),
    }
)
