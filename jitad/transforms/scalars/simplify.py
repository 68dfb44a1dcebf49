"""Rules that replace a scalar operation by a cheaper equal one while a graph is built.

`simplify` is what a Builder calls.  Every rule is exact in IEEE arithmetic, NaN,
infinities and signed zeros included: x * 0 stays, x * 1 goes.  Only a small constant
power changes a bit: it becomes a product or a root, as NumPy's own x**2 and x**0.5 do.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitad.ir.graph import Builder, Node, Type
from jitad.ir.loop import INT
from jitad.ir.primitive import Primitive, registry

from .ranges import outcome

_COMMUTATIVE = frozenset({"add", "mul", "and", "or", "xor", "eq", "ne"})


def simplify(
    builder: Builder, primitive: Primitive, operands: tuple[int, ...], type: Type
) -> int | None:
    """The node that an elementwise application on scalars may be replaced by."""
    if type.shape:
        return None
    known, name = builder.values, primitive.name
    values = [known[a] for a in operands]
    for value in values:
        if value is None:
            break
    else:
        if operands:
            return _fold(builder, primitive, values, type)
    rule = _RULES.get(name)
    if rule is not None:
        found = rule(builder, operands, values, type)
        if found is not None:
            return found
    if name in _COMMUTATIVE and operands[0] > operands[1]:
        return builder.add(primitive, operands[::-1], type)
    return None


def _fold(builder: Builder, primitive: Primitive, values: Any, type: Type) -> int:
    with np.errstate(all="ignore"):
        result = primitive.evaluate(*values)
    return builder.const(np.asarray(result).astype(type.dtype)[()])


def _is(value: Any, number: float) -> bool:
    """Whether a constant is this number, signed zeros told apart."""
    return (
        value is not None
        and value == number
        and math.copysign(1.0, value) == math.copysign(1.0, number)
    )


def _negated(builder: Builder, operand: int, type: Type) -> int:
    return builder.apply(registry.primitives["neg"], (operand,), type)


def _cast(builder: Builder, operands: Any, values: Any, type: Type) -> int | None:
    node = builder.nodes[operands[0]]
    if node.type == type:
        return operands[0]
    if type.dtype.kind != "f":
        return None
    if node.primitive.name == "cast" and node.type.dtype == np.float64:
        # Made wider and narrow again, it is what it was.
        (narrow,) = node.operands
        return narrow if builder.nodes[narrow].type == type else None
    # A gate stays outside, where products find it; constants are converted now.
    if node.primitive.name in ("gate", "factor_gate"):
        condition, factor = node.operands
        return builder.apply(
            node.primitive, (condition, _converted(builder, factor, type)), type
        )
    if node.primitive.name == "select" and _of_constants(builder, node):
        condition, *branches = node.operands
        converted = [_converted(builder, b, type) for b in branches]
        return builder.apply(node.primitive, (condition, *converted), type)
    return None


def _converted(builder: Builder, operand: int, type: Type) -> int:
    return builder.apply(registry.primitives["cast"], (operand,), type)


def _of_constants(builder: Builder, node: Node) -> bool:
    """Whether a select chooses between constants, one of them at least directly."""
    known = [builder.values[b] is not None for b in node.operands[1:]]
    inner = [builder.nodes[b].primitive.name == "select" for b in node.operands[1:]]
    return any(known) and all(k or i for k, i in zip(known, inner, strict=True))


def _add(builder: Builder, operands: Any, values: Any, type: Type) -> int | None:
    for k in (0, 1):
        if values[k] is not None and _is(values[k], -0.0):
            return operands[1 - k]
    for k in (0, 1):
        node = builder.nodes[operands[k]]
        if node.primitive.name == "neg":
            sub = registry.primitives["sub"]
            return builder.apply(sub, (operands[1 - k], node.operands[0]), type)
    return None


def _sub(builder: Builder, operands: Any, values: Any, type: Type) -> int | None:
    if _is(values[1], 0.0):
        return operands[0]
    if _is(values[0], -0.0):
        return _negated(builder, operands[1], type)
    node = builder.nodes[operands[1]]
    if node.primitive.name == "neg":
        add = registry.primitives["add"]
        return builder.apply(add, (operands[0], node.operands[0]), type)
    return None


def _mul(builder: Builder, operands: Any, values: Any, type: Type) -> int | None:
    for k in (0, 1):
        if values[k] is None:
            continue
        if _is(values[k], 1.0):
            return operands[1 - k]
        if _is(values[k], -1.0):
            return _negated(builder, operands[1 - k], type)
    a, b = builder.nodes[operands[0]], builder.nodes[operands[1]]
    signed = a.primitive.name == "neg", b.primitive.name == "neg"
    if not any(signed):
        return None
    mul = registry.primitives["mul"]
    if all(signed):
        return builder.apply(mul, (a.operands[0], b.operands[0]), type)
    # Signs travel outwards, where additions absorb them.
    pair = (a.operands[0], operands[1]) if signed[0] else (b.operands[0], operands[0])
    return _negated(builder, builder.apply(mul, pair, type), type)


def _factor_mul(builder: Builder, operands: Any, values: Any, type: Type) -> int | None:
    for k in (1, 3):
        if _is(values[k], 1.0):
            return operands[4 - k]
        if _is(values[k], -1.0):
            return _negated(builder, operands[4 - k], type)
        node = builder.nodes[operands[k]]
        if node.primitive.name == "neg":
            product = registry.primitives["factor_mul"]
            pair = (*operands[:k], node.operands[0], *operands[k + 1 :])
            return _negated(builder, builder.apply(product, pair, type), type)
    return None


def _div(builder: Builder, operands: Any, values: Any, type: Type) -> int | None:
    if _is(values[1], 1.0):
        return operands[0]
    if values[1] is not None and type.dtype.kind == "f":
        mantissa, _ = math.frexp(values[1])
        with np.errstate(all="ignore"):
            inverse = np.reciprocal(values[1])
        if abs(mantissa) == 0.5 and np.isfinite(inverse) and _normal(inverse):
            mul = registry.primitives["mul"]
            return builder.apply(mul, (operands[0], builder.const(inverse)), type)
    return None


def _normal(value: Any) -> bool:
    return bool(abs(value) >= np.finfo(value.dtype).tiny)


_HALVES = frozenset(k / 2 for k in range(-12, 13))


def _pow(builder: Builder, operands: Any, values: Any, type: Type) -> int | None:
    exponent = None if values[1] is None else float(values[1])
    if exponent == 0:
        return builder.number(1.0, type.dtype)
    if exponent == 1:
        return operands[0]
    if exponent == 2:
        return builder.apply(registry.primitives["mul"], (operands[0],) * 2, type)
    if exponent == -1:
        one = builder.number(1.0, type.dtype)
        return builder.apply(registry.primitives["div"], (one, operands[0]), type)
    if exponent == 0.5:
        return builder.apply(registry.primitives["sqrt"], (operands[0],), type)
    product = registry.primitives.get(f"pow{exponent:g}") if exponent else None
    if product is not None and exponent in _HALVES:
        return builder.apply(product, (operands[0],), type)
    return None


def _neg(builder: Builder, operands: Any, values: Any, type: Type) -> int | None:
    node = builder.nodes[operands[0]]
    if node.primitive.name == "neg":
        return node.operands[0]
    if node.primitive.name == "sub" and type.dtype.kind != "f":
        sub = registry.primitives["sub"]
        return builder.apply(sub, node.operands[::-1], type)
    return None


def _select(builder: Builder, operands: Any, values: Any, type: Type) -> int | None:
    if values[0] is not None:
        return operands[1] if values[0] else operands[2]
    if operands[1] == operands[2]:
        return operands[1]
    node = builder.nodes[operands[0]]
    if node.primitive.name == "not":
        # Selects by a condition and by its negation can then be seen to go together.
        select = registry.primitives["select"]
        swapped = node.operands[0], operands[2], operands[1]
        return builder.apply(select, swapped, type)
    return None


def _gate(builder: Builder, operands: Any, values: Any, type: Type) -> int | None:
    if values[0] is not None:
        return operands[1] if values[0] else builder.number(0.0, type.dtype)
    if _is(values[1], 0.0):
        return operands[1]
    return None


def _not(builder: Builder, operands: Any, values: Any, type: Type) -> int | None:
    node = builder.nodes[operands[0]]
    return node.operands[0] if node.primitive.name == "not" else None


def _and(builder: Builder, operands: Any, values: Any, type: Type) -> int | None:
    (left, *one), (right, *other) = (_equal_to(builder, a) for a in operands)
    if left == right and one and other and one != other:
        # No number is two different ones.
        return builder.const(np.False_)
    return _with_neutral(operands, values, type, neutral=True)


def _equal_to(builder: Builder, operand: int) -> tuple[int, ...]:
    """The number that is compared with a whole constant, and the constant, if so."""
    node = builder.nodes[operand]
    if node.primitive.name != "eq":
        return (operand,)
    known = [builder.values[a] for a in node.operands]
    for k in (0, 1):
        if known[k] is not None and known[k].dtype.kind in "iu":
            return node.operands[1 - k], int(known[k])
    return (operand,)


def _or(builder: Builder, operands: Any, values: Any, type: Type) -> int | None:
    return _with_neutral(operands, values, type, neutral=False)


def _with_neutral(
    operands: Any, values: Any, type: Type, *, neutral: bool
) -> int | None:
    """One operand of and (whose neutral element is true) or or, if it is the result."""
    if operands[0] == operands[1]:
        return operands[0]
    for k in (0, 1):
        if values[k] is not None and type.dtype == bool:
            return operands[1 - k] if values[k] == neutral else operands[k]
    return None


def _compared(word: str) -> Any:
    """The rule of a comparison of which only one outcome is possible."""

    def rule(builder: Builder, operands: Any, values: Any, type: Type) -> int | None:
        if any(builder.nodes[a].type.dtype != INT for a in operands):
            return None
        found = outcome(builder, word, *operands)
        return None if found is None else builder.const(np.bool_(found))

    return rule


def _nearest(word: str) -> Any:
    """The rule of the smaller, or greater, of two int64s, if it always is the same."""

    def rule(builder: Builder, operands: Any, values: Any, type: Type) -> int | None:
        if type.dtype != INT:
            return None
        found = outcome(builder, word, *operands)
        return None if found is None else operands[not found]

    return rule


_RULES = {
    "cast": _cast,
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "factor_mul": _factor_mul,
    "div": _div,
    "pow": _pow,
    "neg": _neg,
    "select": _select,
    "gate": _gate,
    "factor_gate": _gate,
    "not": _not,
    "and": _and,
    "or": _or,
    "minimum": _nearest("le"),
    "maximum": _nearest("ge"),
    **{word: _compared(word) for word in ("lt", "le", "gt", "ge", "eq", "ne")},
}
