"""One scalar word as LLVM instructions on vectors: the target's dictionary.

`Words` prints an operation `target = word(operands)` on `<W x T>` values.  A word is
an instruction, a short formula, or a call of a helper function that is printed once
per kernel: around a vector library, or around a C function called lane by lane.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import numpy as np

from .emit_calls import Calls
from .target import Target, register_type

_FLOAT_BINARY = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_INT_BINARY = {"add": "add", "sub": "sub", "mul": "mul"}
_BITWISE = {"and": "and", "or": "or", "xor": "xor"}
_COMPARE = {
    "lt": ("olt", "slt", "ult"),
    "le": ("ole", "sle", "ule"),
    "gt": ("ogt", "sgt", "ugt"),
    "ge": ("oge", "sge", "uge"),
    "eq": ("oeq", "eq", "eq"),
    "ne": ("une", "ne", "ne"),
}
_INTRINSIC = {
    "abs": "fabs",
    "sqrt": "sqrt",
    "floor": "floor",
    "ceil": "ceil",
    "trunc": "trunc",
    "rint": "rint",
    "copysign": "copysign",
    "fma": "fma",
}
_EXTREME = {
    # word: (comparison, the operand whose NaN wins the comparison)
    "maximum": ("oge", 0),
    "minimum": ("ole", 0),
    "fmax": ("oge", 1),
    "fmin": ("ole", 1),
}


def constant(value: np.generic, dtype: np.dtype) -> str:
    """A scalar constant as LLVM text, bit for bit."""
    if dtype == np.bool_:
        return "true" if value else "false"
    if dtype.kind != "f":
        return str(int(value))
    bits = struct.unpack("<Q", struct.pack("<d", float(value)))[0]
    return f"0x{bits:016X}"


def splat(value: str, dtype: np.dtype) -> str:
    """A constant vector with the same value in all lanes."""
    return f"splat ({register_type(dtype)} {value})"


Formula = Callable[
    ["Words", str, Sequence[str], Sequence[np.dtype], np.dtype], list[str]
]


class Words:
    """Prints operations on vectors; `calls` collects what they call."""

    def __init__(self, target: Target, width: int) -> None:
        self.width = width
        self.calls = Calls(target, width)

    def vector(self, dtype: np.dtype) -> str:
        """The LLVM type of a value of all lanes."""
        return f"<{self.width} x {register_type(dtype)}>"

    def suffix(self, dtype: np.dtype) -> str:
        """How LLVM's intrinsic functions name that type."""
        kind = "f" if dtype.kind == "f" else "i"
        bits = 1 if dtype == np.bool_ else 8 * dtype.itemsize
        return f"v{self.width}{kind}{bits}"

    def emit(
        self,
        name: str,
        word: str,
        operands: Sequence[str],
        dtypes: Sequence[np.dtype],
        dtype: np.dtype,
    ) -> list[str]:
        """The lines that define `name` (with its %) as word(operands)."""
        body = self._inline(name, word, operands, dtypes, dtype)
        if body is None:
            body = [self._helper_call(name, word, operands, dtypes, dtype)]
        return body

    def _inline(
        self,
        name: str,
        word: str,
        operands: Sequence[str],
        dtypes: Sequence[np.dtype],
        dtype: np.dtype,
    ) -> list[str] | None:
        floating = dtypes[0].kind == "f"
        if word in _FLOAT_BINARY and floating:
            a, b = operands
            op = _FLOAT_BINARY[word]
            return [f"{name} = {op} contract {self.vector(dtype)} {a}, {b}"]
        if word in _INT_BINARY and not floating:
            a, b = operands
            return [f"{name} = {_INT_BINARY[word]} {self.vector(dtype)} {a}, {b}"]
        if word in _COMPARE:
            return [self._compare(name, word, operands, dtypes[0])]
        if word in _BITWISE:
            a, b = operands
            return [f"{name} = {_BITWISE[word]} {self.vector(dtype)} {a}, {b}"]
        if word in _INTRINSIC and floating:
            return [self.intrinsic(name, _INTRINSIC[word], operands, dtype)]
        if word in _EXTREME:
            return self._extreme(name, word, operands, dtype)
        formula = (_FORMULAS if floating else _INTEGER_FORMULAS | _FORMULAS).get(word)
        return formula(self, name, operands, dtypes, dtype) if formula else None

    def _compare(
        self, name: str, word: str, operands: Sequence[str], dtype: np.dtype
    ) -> str:
        floating, signed, unsigned = _COMPARE[word]
        a, b = operands
        if dtype.kind == "f":
            return f"{name} = fcmp {floating} {self.vector(dtype)} {a}, {b}"
        order = unsigned if dtype == np.bool_ else signed
        return f"{name} = icmp {order} {self.vector(dtype)} {a}, {b}"

    def intrinsic(
        self,
        name: str,
        function: str,
        operands: Sequence[str],
        dtype: np.dtype,
        *flags: str,
    ) -> str:
        """Call an LLVM intrinsic, with flags as last operands."""
        vector = self.vector(dtype)
        symbol = f"@llvm.{function}.{self.suffix(dtype)}"
        types = ", ".join([vector] * len(operands) + ["i1"] * len(flags))
        self.calls.declare(symbol, f"declare {vector} {symbol}({types})")
        arguments = [f"{vector} {a}" for a in operands] + [f"i1 {f}" for f in flags]
        return f"{name} = call {vector} {symbol}({', '.join(arguments)})"

    def _extreme(
        self, name: str, word: str, operands: Sequence[str], dtype: np.dtype
    ) -> list[str]:
        order, winner = _EXTREME[word]
        a, b = operands
        vector = self.vector(dtype)
        if dtype == np.bool_:
            bitwise = "or" if order == "oge" else "and"
            return [f"{name} = {bitwise} {vector} {a}, {b}"]
        if dtype.kind != "f":
            function = "smax" if order == "oge" else "smin"
            return [self.intrinsic(name, function, operands, dtype)]
        nan = operands[winner]
        mask = f"<{self.width} x i1>"
        return [
            f"{name}.c = fcmp {order} {vector} {a}, {b}",
            f"{name}.n = fcmp uno {vector} {nan}, {nan}",
            f"{name}.t = or {mask} {name}.c, {name}.n",
            f"{name} = select {mask} {name}.t, {vector} {a}, {vector} {b}",
        ]

    def _helper_call(
        self,
        name: str,
        word: str,
        operands: Sequence[str],
        dtypes: Sequence[np.dtype],
        dtype: np.dtype,
    ) -> str:
        """A call of the function on vectors that computes a word."""
        vector = self.vector(dtype)
        symbol = self.calls.function(word, len(operands), dtype)
        arguments = ", ".join(f"{vector} {a}" for a in operands)
        return f"{name} = call {vector} {symbol}({arguments})"


def _neg(
    words: Words,
    name: str,
    operands: Sequence[str],
    dtypes: Sequence[np.dtype],
    dtype: np.dtype,
) -> list[str]:
    vector = words.vector(dtype)
    if dtype.kind == "f":
        return [f"{name} = fneg {vector} {operands[0]}"]
    return [f"{name} = sub {vector} zeroinitializer, {operands[0]}"]


def _abs(
    words: Words,
    name: str,
    operands: Sequence[str],
    dtypes: Sequence[np.dtype],
    dtype: np.dtype,
) -> list[str]:
    return [words.intrinsic(name, "abs", operands, dtype, "false")]


def _not(
    words: Words,
    name: str,
    operands: Sequence[str],
    dtypes: Sequence[np.dtype],
    dtype: np.dtype,
) -> list[str]:
    ones = splat("true" if dtype == np.bool_ else "-1", dtype)
    return [f"{name} = xor {words.vector(dtype)} {operands[0]}, {ones}"]


def _select(
    words: Words,
    name: str,
    operands: Sequence[str],
    dtypes: Sequence[np.dtype],
    dtype: np.dtype,
) -> list[str]:
    mask, a, b = operands
    vector = words.vector(dtype)
    return [f"{name} = select <{words.width} x i1> {mask}, {vector} {a}, {vector} {b}"]


def _isnan(
    words: Words,
    name: str,
    operands: Sequence[str],
    dtypes: Sequence[np.dtype],
    dtype: np.dtype,
) -> list[str]:
    a = operands[0]
    return [f"{name} = fcmp uno {words.vector(dtypes[0])} {a}, {a}"]


def _against_infinity(order: str) -> Formula:
    def formula(
        words: Words,
        name: str,
        operands: Sequence[str],
        dtypes: Sequence[np.dtype],
        dtype: np.dtype,
    ) -> list[str]:
        source = dtypes[0]
        infinity = splat("0x7FF0000000000000", source)
        return [
            words.intrinsic(f"{name}.a", "fabs", operands, source),
            f"{name} = fcmp {order} {words.vector(source)} {name}.a, {infinity}",
        ]

    return formula


def _signbit(
    words: Words,
    name: str,
    operands: Sequence[str],
    dtypes: Sequence[np.dtype],
    dtype: np.dtype,
) -> list[str]:
    source = dtypes[0]
    integer = f"<{words.width} x i{8 * source.itemsize}>"
    return [
        f"{name}.b = bitcast {words.vector(source)} {operands[0]} to {integer}",
        f"{name} = icmp slt {integer} {name}.b, zeroinitializer",
    ]


def _cast(
    words: Words,
    name: str,
    operands: Sequence[str],
    dtypes: Sequence[np.dtype],
    dtype: np.dtype,
) -> list[str]:
    a, source = operands[0], dtypes[0]
    old, new = words.vector(source), words.vector(dtype)
    if source == dtype:
        return [f"{name} = select i1 true, {old} {a}, {old} {a}"]
    if dtype == np.bool_:
        test = "fcmp une" if source.kind == "f" else "icmp ne"
        return [f"{name} = {test} {old} {a}, zeroinitializer"]
    if source.kind == "f" and dtype.kind == "i":
        return _float_to_int(words, name, a, source, dtype)
    return [f"{name} = {_conversion(source, dtype)} {old} {a} to {new}"]


def _conversion(source: np.dtype, dtype: np.dtype) -> str:
    if source == np.bool_:
        return "uitofp" if dtype.kind == "f" else "zext"
    wider = dtype.itemsize > source.itemsize
    if source.kind == "f":
        return "fpext" if wider else "fptrunc"
    if dtype.kind == "f":
        return "sitofp"
    return "sext" if wider else "trunc"


def _float_to_int(
    words: Words, name: str, a: str, source: np.dtype, dtype: np.dtype
) -> list[str]:
    """Truncate; what does not fit becomes the least integer, as NumPy has it on x86."""
    old, new = words.vector(source), words.vector(dtype)
    mask = f"<{words.width} x i1>"
    bits = 8 * dtype.itemsize
    limit = splat(constant(np.float64(2.0 ** (bits - 1)), np.dtype("f8")), source)
    return [
        words.intrinsic(f"{name}.a", "fabs", [a], source),
        f"{name}.ok = fcmp olt {old} {name}.a, {limit}",
        f"{name}.s = select {mask} {name}.ok, {old} {a}, {old} zeroinitializer",
        f"{name}.i = fptosi {old} {name}.s to {new}",
        f"{name} = select {mask} {name}.ok, {new} {name}.i, "
        f"{new} {splat(str(-(2 ** (bits - 1))), dtype)}",
    ]


def _integer_division(remainder: bool) -> Formula:
    """NumPy's: rounds down, x // 0 = x % 0 = 0, least // -1 wraps."""

    def formula(
        words: Words,
        name: str,
        operands: Sequence[str],
        dtypes: Sequence[np.dtype],
        dtype: np.dtype,
    ) -> list[str]:
        a, b = operands
        vector, mask = words.vector(dtype), f"<{words.width} x i1>"
        zero, one = "zeroinitializer", splat("1", dtype)
        n = name
        lines = [
            # Dividing by -1 is negation, which wraps where sdiv would trap.
            f"{n}.m = icmp eq {vector} {b}, {splat('-1', dtype)}",
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


_FORMULAS: dict[str, Formula] = {
    "neg": _neg,
    "abs": _abs,
    "not": _not,
    "select": _select,
    "cast": _cast,
    "isnan": _isnan,
    "isinf": _against_infinity("oeq"),
    "isfinite": _against_infinity("olt"),
    "signbit": _signbit,
}
_INTEGER_FORMULAS: dict[str, Formula] = {
    "floor_divide": _integer_division(remainder=False),
    "mod": _integer_division(remainder=True),
}
