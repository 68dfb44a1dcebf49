"""Each scalar word as CUDA C: the GPU's dictionary.

Start at `expression`.  What a word is on floats stands in its row in `words`, what it
is on integers and bools in tables here.  Everything is exact where the hardware is:
no fast mathematics, and integers wrap as NumPy's do.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from jitad.errors import UnsupportedError
from jitad.lowering.words import WORDS

_TYPES = {
    "float64": "double", "float32": "float", "int64": "long long", "int32": "int",
    "int16": "short", "int8": "signed char", "uint64": "unsigned long long",
    "uint32": "unsigned", "uint16": "unsigned short", "uint8": "unsigned char",
}  # fmt: skip
_FLOAT: Mapping[str, str] = MappingProxyType(
    {name: word.cuda for name, word in WORDS.items() if word.cuda}
)
_ANY = {name: _FLOAT[name] for name in ("lt", "le", "gt", "ge", "eq", "ne", "select")}
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
# Those narrower than 32 bits are computed as ints, of which the last bits are kept.
_UNSIGNED: Mapping[str, str] = MappingProxyType(
    {
        **_INTEGER,
        "abs": "{a}",
        "floor_divide": "{b} == 0 ? 0 : {a} / {b}",
        "mod": "{b} == 0 ? 0 : {a} % {b}",
        "right_shift": "{b} < {bits} ? {a} >> {b} : 0",
    }
)
_BOOL: Mapping[str, str] = MappingProxyType(
    {
        **_ANY,
        **dict.fromkeys(("or", "add", "maximum", "fmax"), "{a} | {b}"),
        **dict.fromkeys(("and", "mul", "minimum", "fmin"), "{a} & {b}"),
        "xor": "{a} != {b}",
        "not": "!{a}",
        "abs": "{a}",
    }
)
_TABLES = {"f": _FLOAT, "i": _INTEGER, "u": _UNSIGNED, "b": _BOOL}


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
    if dtype.itemsize < 4:
        return f"(({c_type(dtype)}){int(scalar)})"
    suffix = "u" * (dtype.kind == "u") + "ll" * (dtype.itemsize == 8)
    least = int(np.iinfo(dtype).min)
    if scalar == least != 0:  # its digits without the sign are too large
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
    if source.kind == "f" and dtype.kind in "iu":
        return _whole(a, source, dtype)
    return f"({c_type(dtype)}){a}"


def _whole(a: str, source: np.dtype, dtype: np.dtype) -> str:
    """A float as an integer; what does not fit as `llvm.formulas` has it."""
    made = np.dtype(f"i{max(4, dtype.itemsize)}")
    least, t = np.iinfo(made).min, c_type(made)
    half, low = constant(-float(least), source), constant(least, made)

    def signed(x: str) -> str:
        size = expression("abs", (x,), source, source)
        return f"({size} < {half} ? ({t}){x} : {low})"

    if dtype.kind == "u" and dtype.itemsize == made.itemsize:
        upper = signed(f"({a} - {half})")
        return f"({c_type(dtype)})({a} >= {half} ? {upper} ^ {low} : {signed(a)})"
    return signed(a) if dtype == made else f"({c_type(dtype)}){signed(a)}"
