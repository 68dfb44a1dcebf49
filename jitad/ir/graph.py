"""Graphs: flat tuples of nodes that name their operands by index.

A Graph is a frozen value; its printed text is canonical and its SHA-256 the cache
key.  `Builder` is the one mutable thing: it grows a graph, sharing equal nodes.
Array graphs hold array-typed nodes.  In a *scalar graph* every node has shape ()
but the inputs, which `element` reads, and the results, which `pack` assembles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

from jitad.process.locks import cached_property

from .primitive import Primitive, registry

# Scalar operations that one point may take.
MOST_OPERATIONS = 400_000

FLOATS = (np.dtype(np.float64), np.dtype(np.float32))
INTEGERS = tuple(np.dtype(f"{kind}{size}") for size in (8, 4, 2, 1) for kind in "iu")
DTYPES = (*FLOATS, *INTEGERS, np.dtype(np.bool_))
COMPUTED = "float64, float32, integers of 8 to 64 bits and bool"


class Type(NamedTuple):
    """The dtype and shape of a value; printed as NumPy users say it: float64[3,4]."""

    dtype: np.dtype
    shape: tuple[int, ...] = ()

    def __str__(self) -> str:
        return _name(self)

    @property
    def size(self) -> int:
        """The number of elements."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size


@lru_cache(maxsize=4096)
def _name(type: Type) -> str:
    return f"{type.dtype}[{','.join(map(str, type.shape))}]"


@lru_cache(maxsize=64)
def scalar(dtype: np.dtype) -> Type:
    """The type of one number, interned."""
    return Type(dtype, ())


_LARGE = 1 << 16  # bytes from which the elements of an array are known by their hash


class Static:
    """A parameter that is not a number to differentiate: hashable through its text."""

    __slots__ = ("_hash", "key", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.key = _key(value)
        self._hash = hash(self.key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and self.key == other.key

    def __repr__(self) -> str:
        return _text(self.value)


_SIMPLE = {int, bool, str, type(None)}


class Slot(NamedTuple):
    """The place of operand number `index` inside the arguments of a structure."""

    index: int


def _key(value: Any) -> Any:
    """A hashable stand-in for a static argument, distinct for distinct values."""
    if type(value) in _SIMPLE:
        return (type(value).__name__, value)
    if isinstance(value, np.generic):
        return ("array", value.dtype.str, (), value.tobytes())
    if isinstance(value, np.ndarray):
        array = value
        content: Any = array.tobytes() if array.nbytes <= _LARGE else _digest(array)
        return ("array", array.dtype.str, array.shape, content)
    if isinstance(value, Slot):
        return ("slot", value.index)
    if isinstance(value, tuple | list):
        return (type(value).__name__, *map(_key, value))
    if isinstance(value, dict):
        return ("dict", *((k, _key(v)) for k, v in sorted(value.items())))
    if isinstance(value, slice):
        return ("slice", _key(value.start), _key(value.stop), _key(value.step))
    return (type(value).__name__, value if _hashable(value) else repr(value))


def _digest(array: np.ndarray) -> bytes:
    """What stands for the elements of a large array."""
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return hashlib.sha256(content.data).digest()


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _text(value: Any) -> str:
    """Canonical text of a static argument."""
    if isinstance(value, np.ndarray):
        if value.size <= 8:
            inside = ", ".join(map(_text, value.ravel().tolist()))
            return f"{value.dtype}{list(value.shape)}({inside})"
        digest = _digest(value).hex()[:12]
        return f"{value.dtype}{list(value.shape)}#{digest}"
    if isinstance(value, np.generic):
        return _text(value.item())
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Slot):
        return f"${value.index}"
    if isinstance(value, slice):
        parts = (value.start, value.stop, value.step)
        start, stop, step = ("" if p is None else _text(p) for p in parts)
        return f"{start}:{stop}" + (f":{step}" if step else "")
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))})"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        return ", ".join(f"{k}={_text(v)}" for k, v in value.items())
    if value is Ellipsis:
        return "..."
    return str(value)


Params = tuple[tuple[str, Any], ...]


class Node(NamedTuple):
    """One operation: operands are indices of earlier nodes; line is the user's."""

    primitive: Primitive
    operands: tuple[int, ...]
    params: Params
    type: Type
    line: str = ""

    @property
    def index(self) -> int:
        """The number of an input, of an element in its array, or of a loop's part."""
        return self.params[0][1]

    @property
    def value(self) -> Any:
        """What a constant is, or what a node of one static parameter holds."""
        return self.params[0][1].value

    def holding(self, value: Any) -> Node:
        """The same node with something else as its one static parameter."""
        ((name, _),) = self.params
        return self._replace(params=((name, Static(value)),))

    def __str__(self) -> str:
        args = ", ".join([f"%{i}" for i in self.operands])
        head = self.primitive.name
        if self.params:
            params = ", ".join([f"{k}={_text(_static(v))}" for k, v in self.params])
            head = f"{head}[{params}]"
        return f"{_name(self.type)} = {head}({args})"


# Makes a node of its fields, as Node does, in half the time.
_node: Any = tuple.__new__


def _static(value: Any) -> Any:
    return value.value if isinstance(value, Static) else value


def arguments(node: Node) -> dict[str, Any]:
    """The parameters of a node as keyword arguments."""
    return {k: _static(v) for k, v in node.params}


Change = Callable[[int, tuple[int, ...]], "int | None"]


@dataclass(frozen=True, eq=False)
class Graph:
    """A function: nodes in evaluation order, its inputs and outputs among them."""

    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def __str__(self) -> str:
        return self.text

    @cached_property
    def text(self) -> str:
        """Canonical text: equal functions print equally; no source lines in it."""
        lines = [f"%{i}: {node}" for i, node in enumerate(self.nodes)]
        lines.append(f"return {', '.join(f'%{i}' for i in self.outputs)}")
        return "\n".join(lines)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def input_types(self) -> tuple[Type, ...]:
        """The types of the inputs."""
        return tuple(self.nodes[i].type for i in self.inputs)

    @property
    def output_types(self) -> tuple[Type, ...]:
        """The types of the outputs."""
        return tuple(self.nodes[i].type for i in self.outputs)

    def rewritten(self, builder: Builder, change: Change) -> Graph:
        """Copy the graph node by node into an empty builder, with changes.

        change  (number of a node, its operands in builder) -> the node that stands for
                it there, or None, and then a copy does, with the same source line
        Inputs stay as they are and are not asked for; change may add others, which come
        behind them.  Outputs are what stands for them, and what none needs is left out.
        """
        index = {i: builder.input(self.nodes[i].type) for i in self.inputs}
        for i, node in enumerate(self.nodes):
            if i in index:
                continue
            operands = tuple(map(index.__getitem__, node.operands))
            found = change(i, operands)
            index[i] = builder.copy(node, operands) if found is None else found
        return builder.finish([index[i] for i in self.outputs])


def validate(graph: Graph) -> None:
    """Assert the invariants that every pass relies on."""
    for i, node in enumerate(graph.nodes):
        assert all(0 <= a < i for a in node.operands), f"%{i} uses a later node"
        assert node.type.dtype in DTYPES, f"%{i} has dtype {node.type.dtype}"
    assert all(graph.nodes[i].primitive is INPUT for i in graph.inputs)
    assert all(0 <= i < len(graph.nodes) for i in graph.outputs)


def _leaf(name: str) -> Primitive:
    def evaluate(*_: Any, **__: Any) -> Any:
        raise AssertionError(f"{name} is not evaluated")

    return registry.add(Primitive(name, "leaf", evaluate, cost=0))


INPUT = _leaf("input")
CONST = _leaf("const")
# element[index](x): one scalar of an array; pack(scalars): an array of scalars.
ELEMENT = _leaf("element")
PACK = _leaf("pack")

Simplify = Callable[["Builder", Primitive, tuple[int, ...], Type], "int | None"]


class Builder:
    """Grows a graph node by node; equal nodes are shared, so no work is done twice.

    simplify, if given, may answer an elementwise application with an existing node.
    log, if a list, gets every node that is asked for but inputs, whether new or not.
    """

    def __init__(self, simplify: Simplify | None = None) -> None:
        self.nodes: list[Node] = []
        self.inputs: list[int] = []
        # values[i] is the value of node i where it is a constant, else None.
        self.values: list[Any] = []
        self.simplify = simplify
        self.log: list[int] | None = None
        # What is known of whole numbers: see `transforms.scalars.ranges`.
        self.forms: dict[int, Any] = {}
        self._table: dict[Any, int] = {}
        self._numbers: dict[tuple[float, np.dtype], int] = {}

    def add(
        self,
        primitive: Primitive,
        operands: tuple[int, ...],
        type: Type,
        params: Params = (),
        line: str = "",
    ) -> int:
        """The index of a node that applies primitive; an equal one is reused."""
        new = len(self.nodes)
        found = self._table.setdefault((primitive, operands, params, type), new)
        if found == new:
            self.nodes.append(_node(Node, (primitive, operands, params, type, line)))
            self.values.append(params[0][1].value if primitive is CONST else None)
        if self.log is not None and primitive is not INPUT:
            self.log.append(found)
        return found

    def known(
        self, primitive: Primitive, operands: tuple[int, ...], type: Type
    ) -> int | None:
        """The node that applies an elementwise primitive, if there is one."""
        return self._table.get((primitive, operands, (), type))

    def apply(
        self,
        primitive: Primitive,
        operands: tuple[int, ...],
        type: Type,
        line: str = "",
    ) -> int:
        """Like add for an elementwise primitive, after simplification."""
        if self.simplify is not None:
            found = self.simplify(self, primitive, operands, type)
            if found is not None:
                return found
        return self.add(primitive, operands, type, (), line)

    def cast(self, index: int, dtype: np.dtype) -> int:
        """Convert a node to a dtype."""
        shape = self.nodes[index].type.shape
        type = Type(dtype, shape) if shape else scalar(dtype)
        return self.apply(registry.primitives["cast"], (index,), type)

    def copy(self, node: Node, operands: tuple[int, ...]) -> int:
        """The same node of another graph, on operands that are here."""
        if node.primitive.kind == "elementwise":
            return self.apply(node.primitive, operands, node.type, node.line)
        return self.add(node.primitive, operands, node.type, node.params, node.line)

    def input(self, type: Type) -> int:
        """A new input."""
        params = (("index", len(self.inputs)),)
        self.inputs.append(self.add(INPUT, (), type, params))
        return self.inputs[-1]

    def const(self, value: Any) -> int:
        """A node for a NumPy scalar or array, by value."""
        if isinstance(value, np.ndarray):
            value = value.copy()
            value.flags.writeable = False
        type = Type(value.dtype, value.shape)
        return self.add(CONST, (), type, (("value", Static(value)),))

    def number(self, value: float, dtype: np.dtype) -> int:
        """A scalar constant; of most functions the same few are asked for."""
        found = self._numbers.get((value, dtype)) if value else None  # 0.0 == -0.0
        if found is None:
            found = self._numbers[value, dtype] = self.const(dtype.type(value))
        elif self.log is not None:
            self.log.append(found)
        return found

    def finish(self, outputs: Iterable[int]) -> Graph:
        """The graph that computes outputs, without nodes that none of them needs."""
        return prune(self.nodes, self.inputs, tuple(outputs))


def reach(nodes: Sequence[Node], outputs: Iterable[int]) -> list[int]:
    """Indices of the nodes that outputs need, in evaluation order."""
    live = bytearray(len(nodes))
    for i in outputs:
        live[i] = 1
    for i in range(len(nodes) - 1, -1, -1):
        if live[i]:
            for a in nodes[i].operands:
                live[a] = 1
    return list(compress(range(len(nodes)), live))


def prune(
    nodes: Sequence[Node], inputs: Sequence[int], outputs: tuple[int, ...]
) -> Graph:
    """Keep the inputs and what outputs need, renumbered; inputs come first."""
    wanted = reach(nodes, outputs)
    rank = set(inputs)
    order = [*inputs, *[i for i in wanted if i not in rank]]
    if order == list(range(len(nodes))):
        return Graph(tuple(nodes), tuple(inputs), outputs)
    index = dict(zip(order, range(len(order)), strict=True))
    renumbered = index.__getitem__
    kept = []
    for i in order:
        primitive, operands, params, type, line = nodes[i]
        operands = tuple(map(renumbered, operands))
        kept.append(_node(Node, (primitive, operands, params, type, line)))
    given, asked = (tuple(map(renumbered, some)) for some in (inputs, outputs))
    return Graph(tuple(kept), given, asked)
