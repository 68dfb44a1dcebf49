"""The scalar words: what each means, and what machines call it.

One row a word.  `execute` runs kernels by what words mean, and the machine is tested
against it; `mathlib` finds the functions of C and of SciPy, and `cuda.words` writes
CUDA C.  What is made of LLVM's instructions is in `llvm.words`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from jitad.process.late import late

special = late("scipy.special")

Meaning = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Word:
    """A scalar word.

    meaning   the NumPy or SciPy function that it is
    cuda      CUDA C of it on floats `{a}`, `{b}`, `{c}`, with `{f}` an f in float32 and
              `{t}` their type (see `cuda.words`); "": there is none
    library   the C function of floats that computes it, which may have a vector form
    operands  how many operands that function has
    ufunc     the ufunc of scipy.special whose inner loop computes it
    """

    meaning: Meaning
    cuda: str = ""
    library: str = ""
    operands: int = 1
    ufunc: str = ""


def _fma(a: Any, b: Any, c: Any) -> Any:
    """Add c to a * b; the machine rounds once, this rounds twice."""
    return a * b + c


def _special(name: str) -> Meaning:
    return lambda *operands: getattr(special, name)(*operands)


def _identity(a: Any) -> Any:
    return a


def _bitwise(logical: np.ufunc, integer: np.ufunc) -> Meaning:
    def meaning(*operands: Any) -> Any:
        bools = all(np.asarray(a).dtype == np.bool_ for a in operands)
        return logical(*operands) if bools else integer(*operands)

    return meaning


def _one(meaning: Meaning, library: str) -> Word:
    """A function of one float that C and CUDA have by the same name."""
    return Word(meaning, f"{library}{{f}}({{a}})", library)


def _two(meaning: Meaning, library: str) -> Word:
    """Likewise, of two."""
    return Word(meaning, f"{library}{{f}}({{a}}, {{b}})", library, 2)


WORDS: Mapping[str, Word] = MappingProxyType(
    {
        "add": Word(np.add, "{a} + {b}"),
        "sub": Word(np.subtract, "{a} - {b}"),
        "mul": Word(np.multiply, "{a} * {b}"),
        "div": Word(np.divide, "{a} / {b}"),
        "neg": Word(np.negative, "-{a}"),
        "abs": Word(np.absolute, "fabs{f}({a})"),
        "sqrt": Word(np.sqrt, "sqrt{f}({a})"),
        "fma": Word(_fma, "fma{f}({a}, {b}, {c})"),
        "floor": Word(np.floor, "floor{f}({a})"),
        "ceil": Word(np.ceil, "ceil{f}({a})"),
        "trunc": Word(np.trunc, "trunc{f}({a})"),
        "rint": Word(np.rint, "rint{f}({a})"),
        "lt": Word(np.less, "{a} < {b}"),
        "le": Word(np.less_equal, "{a} <= {b}"),
        "gt": Word(np.greater, "{a} > {b}"),
        "ge": Word(np.greater_equal, "{a} >= {b}"),
        "eq": Word(np.equal, "{a} == {b}"),
        "ne": Word(np.not_equal, "{a} != {b}"),
        "and": Word(_bitwise(np.logical_and, np.bitwise_and)),
        "or": Word(_bitwise(np.logical_or, np.bitwise_or)),
        "xor": Word(_bitwise(np.logical_xor, np.bitwise_xor)),
        "not": Word(_bitwise(np.logical_not, np.invert)),
        "left_shift": Word(np.left_shift),
        "right_shift": Word(np.right_shift),
        "select": Word(np.where, "{a} ? {b} : {c}"),
        "cast": Word(_identity),
        "copysign": Word(np.copysign, "copysign{f}({a}, {b})"),
        "isnan": Word(np.isnan, "{a} != {a}"),
        "isinf": Word(np.isinf, "fabs{f}({a}) == {inf}"),
        "isfinite": Word(np.isfinite, "fabs{f}({a}) < {inf}"),
        "signbit": Word(np.signbit, "{as_integer}({a}) < 0"),
        "nextafter": _two(np.nextafter, "nextafter"),
        # The operand that counts if it is NaN: the first, or (fmax, fmin) the second.
        "maximum": Word(np.maximum, "{a} >= {b} || {a} != {a} ? {a} : {b}"),
        "minimum": Word(np.minimum, "{a} <= {b} || {a} != {a} ? {a} : {b}"),
        "fmax": Word(np.fmax, "{a} >= {b} || {b} != {b} ? {a} : {b}"),
        "fmin": Word(np.fmin, "{a} <= {b} || {b} != {b} ? {a} : {b}"),
        "fmod": _two(np.fmod, "fmod"),
        "floor_divide": Word(np.floor_divide),
        "mod": Word(np.remainder),
        "pow": _two(np.power, "pow"),
        "exp": _one(np.exp, "exp"),
        "exp2": _one(np.exp2, "exp2"),
        "expm1": _one(np.expm1, "expm1"),
        "log": _one(np.log, "log"),
        "log2": _one(np.log2, "log2"),
        "log10": _one(np.log10, "log10"),
        "log1p": _one(np.log1p, "log1p"),
        "sin": _one(np.sin, "sin"),
        "cos": _one(np.cos, "cos"),
        "tan": _one(np.tan, "tan"),
        "asin": _one(np.arcsin, "asin"),
        "acos": _one(np.arccos, "acos"),
        "atan": _one(np.arctan, "atan"),
        "atan2": _two(np.arctan2, "atan2"),
        "sinh": _one(np.sinh, "sinh"),
        "cosh": _one(np.cosh, "cosh"),
        "tanh": _one(np.tanh, "tanh"),
        "asinh": _one(np.arcsinh, "asinh"),
        "acosh": _one(np.arccosh, "acosh"),
        "atanh": _one(np.arctanh, "atanh"),
        "cbrt": _one(np.cbrt, "cbrt"),
        "hypot": _two(np.hypot, "hypot"),
        "erf": _one(_special("erf"), "erf"),
        "erfc": _one(_special("erfc"), "erfc"),
        "lgamma": _one(_special("gammaln"), "lgamma"),
        "erfinv": Word(_special("erfinv"), "erfinv{f}({a})", ufunc="erfinv"),
        "i0": Word(_special("i0"), "cyl_bessel_i0{f}({a})", ufunc="i0"),
        "i1": Word(_special("i1"), "cyl_bessel_i1{f}({a})", ufunc="i1"),
        # Two that CUDA lacks, of `cuda.functions`.
        "digamma": Word(_special("digamma"), "({t})digamma({a})", ufunc="psi"),
        "zeta": Word(_special("zeta"), "({t})zeta({a}, {b})", ufunc="_zeta"),
    }
)


def meaning(word: str) -> Meaning:
    """The NumPy meaning of a word."""
    return WORDS[word].meaning
