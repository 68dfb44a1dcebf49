"""Each scalar word as CUDA C: the GPU's dictionary.

Start at `expression`.  A word is an expression of its operands, or a call of a function
that CUDA has, or one of `cuda_functions`.  Everything is exact where the hardware is:
no fast mathematics, and integers wrap as NumPy's do.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from jitad.errors import UnsupportedError

_TYPES = {"float64": "double", "float32": "float", "int64": "long long", "int32": "int"}
_COMPARE = {
    "lt": "{a} < {b}",
    "le": "{a} <= {b}",
    "gt": "{a} > {b}",
    "ge": "{a} >= {b}",
    "eq": "{a} == {b}",
    "ne": "{a} != {b}",
}
_ANY = {**_COMPARE, "select": "{a} ? {b} : {c}"}
# Functions of one or two floats that CUDA has by the word's own name.
_NAMED = (
    *("sqrt", "floor", "ceil", "trunc", "rint", "exp", "exp2", "expm1"),
    *("log", "log2", "log10", "log1p", "cbrt", "sin", "cos", "tan", "asin", "acos"),
    *("atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc"),
    *("erfinv", "lgamma"),
)
_NAMED_2 = ("copysign", "nextafter", "fmod", "pow", "atan2", "hypot")
_FLOAT: Mapping[str, str] = MappingProxyType(
    {
        **_ANY,
        **{word: f"{word}{{f}}({{a}})" for word in _NAMED},
        **{word: f"{word}{{f}}({{a}}, {{b}})" for word in _NAMED_2},
        "add": "{a} + {b}",
        "sub": "{a} - {b}",
        "mul": "{a} * {b}",
        "div": "{a} / {b}",
        "neg": "-{a}",
        "abs": "fabs{f}({a})",
        "fma": "fma{f}({a}, {b}, {c})",
        "isnan": "{a} != {a}",
        "isinf": "fabs{f}({a}) == {inf}",
        "isfinite": "fabs{f}({a}) < {inf}",
        "signbit": "{as_integer}({a}) < 0",
        # The operand that counts if it is NaN: the first, or (fmax, fmin) the second.
        "maximum": "{a} >= {b} || {a} != {a} ? {a} : {b}",
        "minimum": "{a} <= {b} || {a} != {a} ? {a} : {b}",
        "fmax": "{a} >= {b} || {b} != {b} ? {a} : {b}",
        "fmin": "{a} <= {b} || {b} != {b} ? {a} : {b}",
        "digamma": "({t})digamma({a})",
        "zeta": "({t})zeta({a}, {b})",
    }
)
_GREATER, _LESSER = "{a} >= {b} ? {a} : {b}", "{a} <= {b} ? {a} : {b}"
_INTEGER: Mapping[str, str] = MappingProxyType(
    {
        **_ANY,
        "add": "({t})(({u}){a} + ({u}){b})",
        "sub": "({t})(({u}){a} - ({u}){b})",
        "mul": "({t})(({u}){a} * ({u}){b})",
        "neg": "({t})(0 - ({u}){a})",
        "abs": "{a} < 0 ? ({t})(0 - ({u}){a}) : {a}",
        "maximum": _GREATER,
        "minimum": _LESSER,
        "fmax": _GREATER,
        "fmin": _LESSER,
        "and": "{a} & {b}",
        "or": "{a} | {b}",
        "xor": "{a} ^ {b}",
        "not": "~{a}",
        "floor_divide": "floor_divide({a}, {b})",
        "mod": "floor_mod({a}, {b})",
        # By as many bits as there are or more, or by fewer than none, all go.
        "left_shift": "({u}){b} < {bits} ? ({t})(({u}){a} << {b}) : 0",
        "right_shift": "{a} >> (({u}){b} < {bits} ? {b} : {bits} - 1)",
    }
)
_BOOL: Mapping[str, str] = MappingProxyType(
    {
        **_ANY,
        **dict.fromkeys(("or", "add", "maximum", "fmax"), "{a} | {b}"),
        **dict.fromkeys(("and", "mul", "minimum", "fmin"), "{a} & {b}"),
        "xor": "{a} != {b}",
        "not": "!{a}",
    }
)
_TABLES = {"f": _FLOAT, "i": _INTEGER, "b": _BOOL}


def c_type(dtype: np.dtype) -> str:
    """The C type of a value."""
    return "bool" if dtype == np.bool_ else _TYPES[dtype.name]


def memory_type(dtype: np.dtype) -> str:
    """The C type of one scalar in memory: bools are bytes there."""
    return "unsigned char" if dtype == np.bool_ else _TYPES[dtype.name]


def constant(value: object, dtype: np.dtype) -> str:
    """A constant as C text, bit for bit."""
    scalar = dtype.type(value)
    if dtype == np.bool_:
        return "true" if scalar else "false"
    if dtype.kind == "f":
        return _float(scalar)
    suffix = "ll" if dtype.itemsize == 8 else ""
    least = int(np.iinfo(dtype).min)
    if scalar == least:  # its digits without the sign are too large
        return f"({least + 1}{suffix} - 1)"
    return f"({int(scalar)}{suffix})"


def _float(scalar: np.floating) -> str:
    double = scalar.itemsize == 8
    if np.isfinite(scalar):
        return f"({float(scalar).hex()}{'' if double else 'f'})"
    if double:
        bits = struct.unpack("<Q", struct.pack("<d", scalar))[0]
        return f"__longlong_as_double(0x{bits:016x}ll)"
    bits = int(scalar.view(np.uint32))
    return f"__int_as_float(0x{bits:08x})"


def is_foreign(word: str) -> bool:
    """Whether a word is a user's function of floats, which kernels are linked with.

    Such words are `name.number`, of which there is one by that number.
    """
    return "." in word


def symbol(word: str, dtype: np.dtype) -> str:
    """The C name of a user's function on a dtype."""
    return f"own_{word.replace('.', '_')}_{dtype.name}"


def expression(
    word: str, operands: Sequence[str], source: np.dtype, dtype: np.dtype
) -> str:
    """word(operands) as a C expression of dtype.

    operands  names or constants; source is their dtype (select: of what it chooses)
    Raises UnsupportedError for a word that has no CUDA C.
    """
    if word == "cast":
        return _cast(operands[0], source, dtype)
    if is_foreign(word):
        return f"{symbol(word, source)}({', '.join(operands)})"
    template = _TABLES[source.kind].get(word)
    if template is None:
        raise UnsupportedError(
            f"expected words that a GPU has, got {word!r} on {source}; run it on the "
            "CPU"
        )
    double = source.itemsize == 8
    return template.format(
        **dict(zip("abc", operands, strict=False)),
        t=c_type(dtype),
        u="unsigned long long" if double else "unsigned",
        f="" if double else "f",
        bits=8 * source.itemsize,
        as_integer="__double_as_longlong" if double else "__float_as_int",
        inf=constant(np.inf, source) if source.kind == "f" else "",
    )


def _cast(a: str, source: np.dtype, dtype: np.dtype) -> str:
    if source == dtype:
        return a
    if dtype == np.bool_:
        return f"{a} != 0"
    if source.kind == "f" and dtype.kind == "i":
        # What does not fit becomes the least integer, as NumPy has it on x86.
        least = np.iinfo(dtype).min
        size = expression("abs", (a,), source, source)
        fits = f"{size} < {constant(-float(least), source)}"
        return f"{fits} ? ({c_type(dtype)}){a} : {constant(least, dtype)}"
    return f"({c_type(dtype)}){a}"
