"""The exponential function in LLVM IR, more accurate than the vector library's.

exp(x) = 2^k (1 + r + r²/2 + …) with k the integer nearest x / log 2 and r the rest,
found by fused multiply-adds (W. J. Cody and W. Waite, Software Manual for the
Elementary Functions, 1980, chapter 6).  The error stays below one and a half units of
the last place, denormal results included.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .target import value_type


@dataclass(frozen=True)
class _Format:
    """What the method needs to know of a floating-point format.

    log2       log 2 = high + low, high being rounded to the format
    terms      the last power of r, whose successor is below half a unit
    bound      exp(bound) overflows and exp(-bound) vanishes
    """

    bits: int
    mantissa: int
    bias: int
    log2: tuple[float, float]
    terms: int
    bound: float


_SINGLE = float(np.float32(math.log(2)))
_LOG2 = math.log(2), 2.3190468138462996e-17
_LOG2_SINGLE = _SINGLE, math.log(2) - _SINGLE
_FORMATS = {
    "float64": _Format(64, 52, 1023, _LOG2, 13, 750.0),
    "float32": _Format(32, 23, 127, _LOG2_SINGLE, 7, 106.0),
}


def exponential(symbol: str, dtype: np.dtype, width: int) -> str:
    """Define a function on vectors that computes exp, with the given symbol."""
    form = _FORMATS[dtype.name]
    vector = value_type(dtype, width)
    integer = value_type(np.dtype(f"i{dtype.itemsize}"), width)
    mask = value_type(np.dtype(bool), width)
    fma = f"@llvm.fma.v{width}f{form.bits}"
    lane = "double" if form.bits == 64 else "float"

    def number(value: float) -> str:
        bits = np.float64(dtype.type(value)).view(np.uint64)
        return f"splat ({lane} 0x{int(bits):016X})"

    def whole(value: int) -> str:
        return f"splat (i{form.bits} {value})"

    def fused(name: str, a: str, b: str, c: str) -> str:
        arguments = ", ".join(f"{vector} {v}" for v in (a, b, c))
        return f"  {name} = call {vector} {fma}({arguments})"

    # Adding this leaves the nearest integer in the last bits of the sum.
    shift = 1.5 * 2.0**form.mantissa
    shift_bits = int(np.array(shift, dtype).view(f"i{dtype.itemsize}"))
    high, low = form.log2
    lines = [
        f"define internal {vector} {symbol}({vector} %x) noinline nounwind {{",
        f"  %big = fcmp ogt {vector} %x, {number(form.bound)}",
        f"  %a = select {mask} %big, {vector} {number(form.bound)}, {vector} %x",
        f"  %small = fcmp olt {vector} %a, {number(-form.bound)}",
        f"  %b = select {mask} %small, {vector} {number(-form.bound)}, {vector} %a",
        fused("%t", "%b", number(1 / math.log(2)), number(shift)),
        f"  %k = fsub {vector} %t, {number(shift)}",
        f"  %minus = fneg {vector} %k",
        fused("%r.high", "%minus", number(high), "%b"),
        fused("%r", "%minus", number(low), "%r.high"),
        *_polynomial(form.terms, vector, fused, number),
        f"  %t.bits = bitcast {vector} %t to {integer}",
        f"  %n = sub {integer} %t.bits, {whole(shift_bits)}",
        # In two steps, because 2^k itself may overflow or vanish.
        f"  %n.1 = ashr {integer} %n, {whole(1)}",
        f"  %n.2 = sub {integer} %n, %n.1",
    ]
    result = "%p"
    for i in (1, 2):
        lines += [
            f"  %e.{i} = add {integer} %n.{i}, {whole(form.bias)}",
            f"  %f.{i} = shl {integer} %e.{i}, {whole(form.mantissa)}",
            f"  %s.{i} = bitcast {integer} %f.{i} to {vector}",
            f"  %y.{i} = fmul {vector} {result}, %s.{i}",
        ]
        result = f"%y.{i}"
    return "\n".join([*lines, f"  ret {vector} {result}", "}"])


def _polynomial(
    terms: int,
    vector: str,
    fused: Callable[[str, str, str, str], str],
    number: Callable[[float], str],
) -> list[str]:
    """Lines that define %p = 1 + (r + r² (1/2 + r/6 + …)), small terms first."""
    lines, last = [], number(1 / math.factorial(terms))
    for k in range(terms - 1, 1, -1):
        lines.append(fused(f"%c.{k}", last, "%r", number(1 / math.factorial(k))))
        last = f"%c.{k}"
    return [
        *lines,
        f"  %square = fmul {vector} %r, %r",
        fused("%rest", "%square", last, "%r"),
        f"  %p = fadd {vector} %rest, {number(1.0)}",
    ]
