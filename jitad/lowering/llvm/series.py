"""The exponential, sine and cosine in LLVM IR: no calls, and the compiler sees inside.

Arguments are reduced by fused multiply-adds (W. J. Cody and W. Waite, Software Manual
for the Elementary Functions, 1980, chapters 6 and 8).  Where a kernel needs both sine
and cosine of an argument, the reduction and both polynomials are shared.  Errors stay
below two units of the last place, denormal results included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from .target import value_type


@dataclass(frozen=True)
class _Format:
    """What the exponential needs to know of a floating-point format.

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

# π/2 in three pieces of 53 bits, largest first.
_HALF_PI = (math.pi / 2, 6.123233995736766e-17, -1.4973849048591698e-33)
# sin r = r + r³ (S₀ + S₁ r² + …) and cos r = 1 - r²/2 + r⁴ (C₀ + C₁ r² + …) to 2⁻⁵⁸
# for |r| ≤ π/4: the coefficients of Sun Microsystems' fdlibm 5.3, k_sin.c and k_cos.c.
_SINE = (
    *(-1.66666666666666324348e-01, 8.33333333332248946124e-03),
    *(-1.98412698298579493134e-04, 2.75573137070700676789e-06),
    *(-2.50507602534068634195e-08, 1.58969099521155010221e-10),
)
_COSINE = (
    *(4.16666666666666019037e-02, -1.38888888888741095749e-03),
    *(2.48015872894767294178e-05, -2.75573143513906633035e-07),
    *(2.08757232129817482790e-09, -1.13596475577881948265e-11),
)
# Beyond, the reduction would lose digits.
_WILD = 2.0**30


class _Lines:
    """Lines of a function on vectors of one dtype."""

    def __init__(self, dtype: np.dtype, width: int) -> None:
        self.dtype = dtype
        self.bits = 8 * dtype.itemsize
        self.vector = value_type(dtype, width)
        self.integer = value_type(np.dtype(f"i{dtype.itemsize}"), width)
        self.mask = value_type(np.dtype(bool), width)
        self.suffix = f"v{width}f{self.bits}"
        self.lines: list[str] = []

    def number(self, value: float) -> str:
        """A constant in all lanes."""
        bits = np.float64(self.dtype.type(value)).view(np.uint64)
        lane = "double" if self.bits == 64 else "float"
        return f"splat ({lane} 0x{int(bits):016X})"

    def whole(self, value: int) -> str:
        """An integer constant in all lanes, as wide as the dtype."""
        return f"splat (i{self.bits} {value})"

    def add(self, *lines: str) -> None:
        """Append instructions."""
        self.lines += [f"  {line}" for line in lines]

    def fused(self, name: str, a: str, b: str, c: str) -> None:
        """name = a b + c, rounded once."""
        arguments = ", ".join(f"{self.vector} {v}" for v in (a, b, c))
        self.add(f"{name} = call {self.vector} @llvm.fma.{self.suffix}({arguments})")

    def nearest(self, scale: float, mantissa: int, x: str) -> int:
        """%k, the integer nearest scale x, which the last bits of %t hold too.

        Returns the bits of %t where k is zero.
        """
        shift = 1.5 * 2.0**mantissa
        self.fused("%t", x, self.number(scale), self.number(shift))
        self.add(
            f"%k = fsub {self.vector} %t, {self.number(shift)}",
            f"%minus = fneg {self.vector} %k",
            f"%t.bits = bitcast {self.vector} %t to {self.integer}",
        )
        return int(np.array(shift, self.dtype).view(f"i{self.dtype.itemsize}"))

    def polynomial(self, name: str, x: str, coefficients: Sequence[float]) -> str:
        """The value of Σ cₖ xᵏ by Horner's rule."""
        *lower, highest = coefficients
        value = self.number(highest)
        for k in range(len(lower) - 1, -1, -1):
            self.fused(f"{name}.{k}", value, x, self.number(lower[k]))
            value = f"{name}.{k}"
        return value

    def function(self, symbol: str) -> str:
        """The whole text; the lines end in a return.  `{inline}` is left to fill in."""
        head = (
            f"define internal {self.vector} {symbol}({self.vector} %x) "
            "{inline} nounwind {{"
        )
        return "\n".join([head, "entry:", *self.lines, "}}"])


@cache
def exponential(symbol: str, dtype: np.dtype, width: int) -> str:
    """Define a function on vectors that computes exp, with the given symbol.

    exp x = 2ᵏ (1 + r + r²/2 + …) with k the integer nearest x / log 2, r the rest.
    """
    form, p = _FORMATS[dtype.name], _Lines(dtype, width)
    vector, integer = p.vector, p.integer
    high, low = p.number(form.bound), p.number(-form.bound)
    p.add(
        f"%big = fcmp ogt {vector} %x, {high}",
        f"%a = select {p.mask} %big, {vector} {high}, {vector} %x",
        f"%small = fcmp olt {vector} %a, {low}",
        f"%b = select {p.mask} %small, {vector} {low}, {vector} %a",
    )
    zero = p.nearest(1 / math.log(2), form.mantissa, "%b")
    p.fused("%r.high", "%minus", p.number(form.log2[0]), "%b")
    p.fused("%r", "%minus", p.number(form.log2[1]), "%r.high")
    terms = [1 / math.factorial(k) for k in range(2, form.terms + 1)]
    tail = p.polynomial("%c", "%r", terms)
    p.add(f"%square = fmul {vector} %r, %r")
    p.fused("%rest", "%square", tail, "%r")
    p.add(
        f"%p = fadd {vector} %rest, {p.number(1.0)}",
        f"%n = sub {integer} %t.bits, {p.whole(zero)}",
        # In two steps, because 2ᵏ itself may overflow or vanish.
        f"%n.1 = ashr {integer} %n, {p.whole(1)}",
        f"%n.2 = sub {integer} %n, %n.1",
    )
    result = "%p"
    for i in (1, 2):
        p.add(
            f"%e.{i} = add {integer} %n.{i}, {p.whole(form.bias)}",
            f"%f.{i} = shl {integer} %e.{i}, {p.whole(form.mantissa)}",
            f"%s.{i} = bitcast {integer} %f.{i} to {vector}",
            f"%y.{i} = fmul {vector} {result}, %s.{i}",
        )
        result = f"%y.{i}"
    p.add(f"ret {vector} {result}")
    return p.function(symbol)


@cache
def sine(symbol: str, width: int, far: str, *, cosine: bool) -> str:
    """Define a function on vectors of float64 that computes sin, or cos.

    x = k π/2 + r with |r| ≤ π/4; ±sin r or ±cos r by the quadrant k mod 4.
    far    the symbol of a function that computes the same, for lanes that are so far
           from 0 that it takes more digits of π; lanes do not depend on one another
    """
    p = _Lines(np.dtype(np.float64), width)
    vector, integer, mask = p.vector, p.integer, p.mask
    p.nearest(2 / math.pi, 52, "%x")
    rest = "%x"
    for i, piece in enumerate(_HALF_PI):
        p.fused(f"%r{i}", "%minus", p.number(piece), rest)
        rest = f"%r{i}"
    p.add(f"%s = fmul {vector} {rest}, {rest}")
    p.add(f"%r.s = fmul {vector} {rest}, %s")
    p.fused("%sine", "%r.s", p.polynomial("%a", "%s", _SINE), rest)
    tail = p.polynomial("%b", "%s", (-0.5, *_COSINE))
    p.fused("%cosine", "%s", tail, p.number(1.0))
    even, odd = ("%cosine", "%sine") if cosine else ("%sine", "%cosine")
    turn = "%t.bits"
    if cosine:
        p.add(f"%turned = add {integer} %t.bits, {p.whole(1)}")
        turn = "%turned"
    p.add(
        f"%low = and {integer} %t.bits, {p.whole(1)}",
        f"%even = icmp eq {integer} %low, zeroinitializer",
        f"%either = select {mask} %even, {vector} {even}, {vector} {odd}",
        f"%half = and {integer} {turn}, {p.whole(2)}",
        f"%sign = shl {integer} %half, {p.whole(62)}",
        f"%either.bits = bitcast {vector} %either to {integer}",
        f"%signed = xor {integer} %either.bits, %sign",
        f"%near = bitcast {integer} %signed to {vector}",
    )
    near = "%near"
    if not cosine:
        p.add(  # -0 stays -0
            f"%zero = fcmp oeq {vector} %x, zeroinitializer",
            f"%kept = select {mask} %zero, {vector} %x, {vector} %near",
        )
        near = "%kept"
    p.add(
        f"%size = call {vector} @llvm.fabs.{p.suffix}({vector} %x)",
        f"%wild = fcmp ogt {vector} %size, {p.number(_WILD)}",
        f"%any = call i1 @llvm.vector.reduce.or.v{width}i1({mask} %wild)",
        "br i1 %any, label %elsewhere, label %done, !prof !9",
    )
    p.lines += ["elsewhere:"]
    p.add(
        f"%far = call {vector} {far}({vector} %x)",
        f"%mixed = select {mask} %wild, {vector} %far, {vector} {near}",
        "br label %done",
    )
    p.lines += ["done:"]
    p.add(
        f"%y = phi {vector} [{near}, %entry], [%mixed, %elsewhere]",
        f"ret {vector} %y",
    )
    return p.function(symbol)


METADATA = '!9 = !{!"branch_weights", i32 1, i32 1000000}'
