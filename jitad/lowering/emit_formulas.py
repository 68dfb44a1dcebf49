"""Words that take a few instructions: extremes, casts, tests of bits, division.

Every formula is a function of an `Operation` that returns lines; names it needs on the
way begin with the operation's own.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from .emit_calls import Calls
from .target import register_type, value_type


@dataclass(frozen=True)
class Operation:
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
        text = str(int(scalar))
    return text if width == 1 else f"splat ({register_type(dtype)} {text})"


def _neg(op: Operation) -> list[str]:
    a = op.operands[0]
    if op.source.kind == "f":
        return [f"{op.name} = fneg {op.type} {a}"]
    return [f"{op.name} = sub {op.type} zeroinitializer, {a}"]


def _abs(op: Operation) -> list[str]:
    return [op.intrinsic(op.name, "abs", op.operands, "false")]


def _not(op: Operation) -> list[str]:
    ones = op.constant(True if op.dtype == np.bool_ else -1, op.dtype)
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
    if source == dtype:
        return [f"{op.name} = select i1 true, {op.type} {a}, {op.type} {a}"]
    if dtype == np.bool_:
        test = "fcmp une" if source.kind == "f" else "icmp ne"
        return [f"{op.name} = {test} {op.source_type} {a}, zeroinitializer"]
    if source.kind == "f" and dtype.kind == "i":
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
        return "sitofp"
    return "sext" if wider else "trunc"


def _float_to_int(op: Operation) -> list[str]:
    """Truncate; what does not fit becomes the least integer, as NumPy has it on x86."""
    n, a, old, new = op.name, op.operands[0], op.source_type, op.type
    least = np.iinfo(op.dtype).min
    limit = op.constant(-float(least), op.source)
    return [
        op.intrinsic(f"{n}.a", "fabs", [a]),
        f"{n}.ok = fcmp olt {old} {n}.a, {limit}",
        f"{n}.s = select {op.mask} {n}.ok, {old} {a}, {old} zeroinitializer",
        f"{n}.i = fptosi {old} {n}.s to {new}",
        f"{n} = select {op.mask} {n}.ok, {new} {n}.i, "
        f"{new} {op.constant(least, op.dtype)}",
    ]


def _integer_division(*, remainder: bool) -> Formula:
    """NumPy's: rounds down, x // 0 = x % 0 = 0, least // -1 wraps."""

    def formula(op: Operation) -> list[str]:
        (a, b), n, vector, mask = op.operands, op.name, op.type, op.mask
        zero, one = "zeroinitializer", op.constant(1, op.dtype)
        lines = [
            # Dividing by -1 is negation, which wraps where sdiv would trap.
            f"{n}.m = icmp eq {vector} {b}, {op.constant(-1, op.dtype)}",
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


def _shift(instruction: str, *, keeps_sign: bool) -> Formula:
    """NumPy's: by as many bits as there are or more, or by fewer than none, all go."""

    def formula(op: Operation) -> list[str]:
        (a, b), n, vector, mask = op.operands, op.name, op.type, op.mask
        last = op.constant(8 * op.dtype.itemsize - 1, op.dtype)
        lines = [
            f"{n}.in = icmp ule {vector} {b}, {last}",
            f"{n}.by = select {mask} {n}.in, {vector} {b}, {vector} {last}",
        ]
        if keeps_sign:
            return [*lines, f"{n} = {instruction} {vector} {a}, {n}.by"]
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
        "left_shift": _shift("shl", keeps_sign=False),
        "right_shift": _shift("ashr", keeps_sign=True),
    }
)
