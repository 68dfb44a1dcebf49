"""Nodes as people write them: `%4 = x1 * x2`, `%5 = np.sum(%4, axis=0)`, `x[0]`.

Text and pictures of a graph both use these.  Operands are named: inputs as the user
calls them, constants by their value, other nodes by their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jitad.ir.graph import (
    CONST,
    ELEMENT,
    INPUT,
    PACK,
    Graph,
    Node,
    Slot,
    Static,
    arguments,
)

_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "gt": ">",
    "ge": ">=", "eq": "==", "ne": "!=", "and": "&", "or": "|", "xor": "^",
    "left_shift": "<<", "right_shift": ">>",
}  # fmt: skip
_PREFIX = {"neg": "-", "not": "~"}
# Elements of an array, and operands of a call, that are written out.
_WRITTEN = 6
_DIGITS = 5


class Piece(NamedTuple):
    """A part of a formula; does it name the operation?"""

    text: str
    operation: bool = False


def operand_names(graph: Graph, inputs: Sequence[str]) -> list[str]:
    """What every node is called in the formulas of others."""
    names = [
        _constant(node) if node.primitive is CONST else f"%{i}"
        for i, node in enumerate(graph.nodes)
    ]
    for i, name in zip(graph.inputs, inputs, strict=True):
        names[i] = name
    return names


def formula(graph: Graph, i: int, names: Sequence[str]) -> list[Piece]:
    """Node i in terms of its operands; names are those of all nodes."""
    node = graph.nodes[i]
    name = node.primitive.name
    given = [names[a] for a in node.operands]
    if node.primitive in (INPUT, CONST):
        return [Piece(names[i])]
    if node.primitive is ELEMENT:
        shape = graph.nodes[node.operands[0]].type.shape
        key = np.unravel_index(node.index, shape)
        return [Piece(given[0]), Piece(f"[{', '.join(map(str, key))}]", True)]
    if node.primitive is PACK:
        return [Piece("[", True), Piece(_some(given)), Piece("]", True)]
    if name in _INFIX and len(given) == 2:
        left, right = given
        return [Piece(f"{left} "), Piece(_INFIX[name], True), Piece(f" {right}")]
    if name in _PREFIX:
        return [Piece(_PREFIX[name], True), Piece(given[0])]
    if name == "cast":
        return [Piece(str(node.type.dtype), True), Piece(f"({given[0]})")]
    return _call(node, given)


def _call(node: Node, names: Sequence[str]) -> list[Piece]:
    """A node as the call of its function, structures with all their arguments."""
    params = arguments(node)
    call, part = params.pop("call", None), params.pop("part", None)
    tail = [] if part is None else [Piece(f"[{part}]", True)]
    args, kwargs = call if call is not None else ((), params)
    if node.primitive.name == "getitem" and len(args) == 2 and not kwargs:
        return [*_indexed(args, names), *tail]
    parts = [_written(a, names) for a in args] if call else [_some(names)]
    stated = {k: v for k, v in kwargs.items() if v is not None}
    parts += [f"{k}={_written(v, names)}" for k, v in stated.items()]
    name = Piece(node.primitive.name, True)
    return [name, Piece(f"({', '.join(parts)})"), *tail]


def _indexed(args: tuple[Any, ...], names: Sequence[str]) -> list[Piece]:
    array, key = args
    inside = _written(key, names)
    if type(key) is tuple and key:
        inside = inside[1:-1].removesuffix(",")
    return [Piece(_written(array, names)), Piece(f"[{inside}]", True)]


def _written(value: Any, names: Sequence[str]) -> str:
    """An argument of a call, operands by name."""
    if isinstance(value, Slot):
        return names[value.index]
    if isinstance(value, tuple | list):
        left, right = "()" if isinstance(value, tuple) else "[]"
        inside = _some([_written(v, names) for v in value[: _WRITTEN + 1]])
        comma = "," if len(value) == 1 and left == "(" else ""
        return f"{left}{inside}{comma}{right}"
    if isinstance(value, np.ndarray) and value.size <= _WRITTEN:
        return figures(value, None)
    return repr(value) if isinstance(value, str) else repr(Static(value))


def _some(parts: Sequence[str]) -> str:
    more = ["…"] if len(parts) > _WRITTEN else []
    return ", ".join([*parts[:_WRITTEN], *more])


def _constant(node: Node) -> str:
    return figures(node.value, None) or str(node.type)


def figures(value: Any, digits: int | None = _DIGITS) -> str:
    """A number or a small array to some digits, or all; nothing for a large one."""
    array = np.asarray(value)
    if array.size > _WRITTEN:
        return ""
    if array.dtype.kind != "f":
        return str(array.tolist())
    if not array.shape:
        return f"{float(array):.{digits}g}" if digits else str(array)
    return f"[{', '.join(figures(part, digits) for part in array)}]"
