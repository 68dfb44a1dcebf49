"""One scalar word as LLVM instructions on vectors: the target's dictionary.

Start at `lines`: an operation `name = word(operands)`.  A word is one instruction, a
formula of a few (see `formulas`), or a call (see `calls`).
"""

from __future__ import annotations

from functools import lru_cache

from .formulas import FLOATING, INTEGER, Operation

_FLOAT_BINARY = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_INT_BINARY = {"add": "add", "sub": "sub", "mul": "mul"}
_BOOL_BINARY = {"add": "or", "mul": "and", "maximum": "or", "minimum": "and"}
_BOOL_BINARY |= {"fmax": "or", "fmin": "and"}
_BITWISE = {"and": "and", "or": "or", "xor": "xor"}
# Behind the letter of integers with a sign, or without one.
_INT_EXTREME = {"maximum": "max", "minimum": "min", "fmax": "max", "fmin": "min"}
_COMPARE = {
    # floating, signed, without a sign
    "lt": ("fcmp olt", "icmp slt", "icmp ult"),
    "le": ("fcmp ole", "icmp sle", "icmp ule"),
    "gt": ("fcmp ogt", "icmp sgt", "icmp ugt"),
    "ge": ("fcmp oge", "icmp sge", "icmp uge"),
    "eq": ("fcmp oeq", "icmp eq", "icmp eq"),
    "ne": ("fcmp une", "icmp ne", "icmp ne"),
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


def lines(op: Operation) -> list[str]:
    """The instructions that define a name as word(operands), if it is not one."""
    floating = op.source.kind == "f"
    if floating and op.word in _INTRINSIC:
        return [op.intrinsic(op.name, _INTRINSIC[op.word], op.operands)]
    if not floating and op.word in _INT_EXTREME:
        sign = "s" if op.source.kind == "i" else "u"
        return [op.intrinsic(op.name, sign + _INT_EXTREME[op.word], op.operands)]
    formula = (FLOATING if floating else INTEGER).get(op.word)
    return formula(op) if formula else [_call(op)]


@lru_cache(maxsize=256)
def instruction(word: str, kind: str) -> str | None:
    """The single instruction on two operands of a kind that a word is, if it is one."""
    if word in _COMPARE:
        return _COMPARE[word]["fi".find(kind)]
    if kind == "f":
        return _FLOAT_BINARY.get(word)
    if word in _BITWISE:
        return _BITWISE[word]
    return (_BOOL_BINARY if kind == "b" else _INT_BINARY).get(word)


def _call(op: Operation) -> str:
    """A call of the function on vectors that computes a word."""
    symbol = op.calls.function(op.word, len(op.operands), op.dtype)
    arguments = ", ".join(f"{op.type} {a}" for a in op.operands)
    return f"{op.name} = call {op.type} {symbol}({arguments})"
