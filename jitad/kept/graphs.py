"""Graphs as plain data, to be kept on disk and named by what is in them.

`pack` makes nested tuples of a graph, `unpack` a graph of them again in another
process, and `digest` a name that only equal graphs have.  What is known by itself in
another process goes in by name: a primitive of the house, a type.  What each process
has of its own, the user's lines and large arrays, is left out: an `Outside` has it.
"""

from __future__ import annotations

import hashlib
import marshal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from jitad.ir.branch import Branch
from jitad.ir.call import Custom
from jitad.ir.graph import Graph, Node, Slot, Static, Type
from jitad.ir.loop import Loop
from jitad.ir.primitive import Primitive, registry
from jitad.ir.table import Way
from jitad.ir.views import Places

_MARSHAL = 2  # a version without references: equal values are equal bytes
_LARGE = 1 << 14  # bytes from which an array is left outside
_SIMPLE = (bool, int, float, str, type(None))
_COUNTS = (
    *("carried", "shared", "slices", "written", "bound", "counted", "backwards"),
    *("apart", "tables", "summed"),
)


# Who looks for code, in this process and then on disk, asks for each more than once.
_DIGESTS: WeakKeyDictionary[Graph, bytes] = WeakKeyDictionary()


class UnknownError(Exception):
    """Something that another process cannot know: the user's own primitive, or rule."""


@dataclass
class Outside:
    """The lines and large arrays of graphs, in the order in which they were met.

    Once it is closed, what is not in it yet is no more put into it.
    """

    lines: dict[str, int] = field(default_factory=lambda: {"": 0})
    arrays: list[np.ndarray] = field(default_factory=list)
    closed: bool = False
    _known: dict[bytes, int] = field(default_factory=dict)

    def line(self, line: str) -> int:
        """The number of a line; that of none where it is not in it."""
        if self.closed:
            return self.lines.get(line, 0)
        return self.lines.setdefault(line, len(self.lines))

    def array(self, array: np.ndarray) -> tuple[int, bytes] | None:
        """The number of an array, and the digest of its elements; None: not in it."""
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        found = hashlib.sha256(content).digest()
        whole = found + repr((array.dtype.str, array.shape)).encode()
        if whole not in self._known:
            if self.closed:
                return None
            self._known[whole] = len(self.arrays)
            self.arrays.append(array)
        return self._known[whole], found


def to_bytes(data: Any) -> bytes:
    """Plain data as bytes.

    Raises UnknownError where graphs are within graphs too deeply for that.
    """
    try:
        return marshal.dumps(data, _MARSHAL)
    except ValueError as error:
        raise UnknownError(str(error)) from error


def from_bytes(data: bytes) -> Any:
    """What `to_bytes` made bytes of, in the same version of Python."""
    return marshal.loads(data)


def digest(graph: Graph) -> bytes:
    """SHA-256 of all that the values of a graph depend on: of functions, not of rules.

    Raises UnknownError where that is not all in it.
    """
    found = _DIGESTS.get(graph)
    if found is None:
        data = _Packer(Outside(), values=True).graph(graph)
        found = _DIGESTS[graph] = hashlib.sha256(to_bytes(data)).digest()
    return found


def pack(graph: Graph, outside: Outside) -> Any:
    """A graph as plain data; outside gets what is left out.

    Raises UnknownError for what another process cannot know.
    """
    return _Packer(outside).graph(graph)


def unpack(data: Any, outside: Outside) -> Graph:
    """The graph that `pack` made plain data of, with what is outside here.

    Raises UnknownError where this process does not know all of it.
    """
    return _Unpacker(outside).graph(data)


class _Packer:
    """Packs graphs; values says that only their values matter, not where they are."""

    def __init__(self, outside: Outside, *, values: bool = False) -> None:
        self.outside, self.values = outside, values

    def graph(self, graph: Graph) -> Any:
        names: dict[Primitive, int] = {}
        types: dict[Type, int] = {}
        nodes = []
        for primitive, operands, params, type, line in graph.nodes:
            if primitive not in names:
                if registry.named(primitive.name) is not primitive:
                    raise UnknownError(primitive.name)
                names[primitive] = len(names)
            nodes.append(
                (
                    names[primitive],
                    tuple(map(int, operands)),
                    types.setdefault(type, len(types)),
                    0 if self.values else self.outside.line(line),
                    tuple([(k, self.value(v)) for k, v in params]) if params else (),
                )
            )
        kinds = tuple([(t.dtype.str, tuple(map(int, t.shape))) for t in types])
        heads = tuple([p.name for p in names])
        ends = [tuple(map(int, own)) for own in (graph.inputs, graph.outputs)]
        return heads, kinds, tuple(nodes), *ends

    def value(self, value: Any) -> Any:
        """A parameter: what is simple as it is, all else as a tuple with its kind."""
        kind = type(value)
        if kind in _SIMPLE:
            return value
        found = _PACKED.get(kind)
        if found is not None:
            return found(self, value)
        if isinstance(value, np.generic) and value.dtype.kind in "fiub":
            return "number", value.dtype.str, value.tobytes()
        if isinstance(value, np.dtype) and value.kind in "fiubc":
            return "dtype", value.str
        if isinstance(value, type) and value in (float, int, bool):
            return "builtin", np.dtype(value).str
        if isinstance(value, type) and issubclass(value, np.number | np.bool):
            return "class", np.dtype(value).str
        raise UnknownError(repr(kind))

    def array(self, value: np.ndarray) -> Any:
        if value.dtype.kind not in "fiub":
            raise UnknownError(str(value.dtype))
        head = value.dtype.str, value.shape
        found = self.outside.array(value) if value.nbytes > _LARGE else None
        if found is None:
            return "array", *head, value.tobytes()
        return "outside", *head, *found

    def loop(self, loop: Loop) -> Any:
        counts = tuple([self.value(getattr(loop, name)) for name in _COUNTS])
        head = loop.head and self.graph(loop.head)
        return "loop", self.graph(loop.body), head, counts

    def custom(self, custom: Custom) -> Any:
        if self.values:
            return "value", self.graph(custom.value)
        if custom.kind != "again":
            raise UnknownError(custom.name)
        return "again", custom.name, self.graph(custom.value), custom.origin

    def several(self, value: Any) -> Any:
        return type(value).__name__, tuple([self.value(v) for v in value])

    def mapping(self, value: dict[Any, Any]) -> Any:
        return "dict", tuple([(self.value(k), self.value(v)) for k, v in value.items()])


_PACKED: dict[type, Callable[[_Packer, Any], Any]] = {
    Static: lambda p, x: ("static", p.value(x.value)),
    Slot: lambda p, x: ("slot", x.index),
    Way: lambda p, x: ("way", *map(p.value, x)),
    Places: lambda p, x: ("places", x.shape, x.start, x.steps),
    slice: lambda p, x: ("slice", *map(p.value, (x.start, x.stop, x.step))),
    type(Ellipsis): lambda p, x: ("...",),
    tuple: _Packer.several,
    list: _Packer.several,
    dict: _Packer.mapping,
    np.ndarray: _Packer.array,
    Loop: _Packer.loop,
    Branch: lambda p, x: ("branch", p.graph(x.body)),
    Custom: _Packer.custom,
}


class _Unpacker:
    """Unpacks graphs."""

    def __init__(self, outside: Outside) -> None:
        self.lines, self.arrays = list(outside.lines), outside.arrays

    def graph(self, data: Any) -> Graph:
        heads, kinds, packed, inputs, outputs = data
        types = [Type(np.dtype(dtype), shape) for dtype, shape in kinds]
        primitives = [registry.named(name) for name in heads]
        for name, primitive in zip(heads, primitives, strict=True):
            if primitive is None:
                raise UnknownError(name)
        nodes = tuple(
            [
                Node(
                    primitives[p],  # type: ignore[arg-type]
                    operands,
                    tuple([(k, self.value(v)) for k, v in params]),
                    types[type],
                    self.lines[line],
                )
                for p, operands, type, line, params in packed
            ]
        )
        return Graph(nodes, inputs, outputs)

    def value(self, data: Any) -> Any:
        if type(data) is not tuple:
            return data
        kind, *rest = data
        return _UNPACKED[kind](self, *rest)

    def array(self, dtype: str, shape: tuple[int, ...], content: bytes) -> np.ndarray:
        return np.frombuffer(content, dtype).reshape(shape)

    def outside(self, _: str, __: tuple[int, ...], number: int, ___: bytes) -> Any:
        return self.arrays[number]

    def loop(self, body: Any, head: Any, counts: tuple[Any, ...]) -> Loop:
        made = head and self.graph(head)
        named = dict(zip(_COUNTS, map(self.value, counts), strict=True))
        return Loop(self.graph(body), head=made, **named)

    def again(self, name: str, value: Any, origin: int) -> Custom:
        graph = self.graph(value)
        return Custom(name, graph, "again", lambda: graph, origin)


_UNPACKED: dict[str, Callable[..., Any]] = {
    "static": lambda u, x: Static(u.value(x)),
    "slot": lambda u, x: Slot(x),
    "way": lambda u, *x: Way(*map(u.value, x)),
    "places": lambda u, *x: Places(*x),
    "slice": lambda u, *x: slice(*map(u.value, x)),
    "...": lambda u: Ellipsis,
    "tuple": lambda u, x: tuple([u.value(v) for v in x]),
    "list": lambda u, x: [u.value(v) for v in x],
    "dict": lambda u, x: {u.value(k): u.value(v) for k, v in x},
    "number": lambda u, dtype, x: np.frombuffer(x, dtype)[0],
    "dtype": lambda u, x: np.dtype(x),
    "builtin": lambda u, x: {"f": float, "i": int, "b": bool}[np.dtype(x).kind],
    "class": lambda u, x: np.dtype(x).type,
    "array": _Unpacker.array,
    "outside": _Unpacker.outside,
    "loop": _Unpacker.loop,
    "branch": lambda u, x: Branch(u.graph(x)),
    "again": _Unpacker.again,
}
