"""Arrays that are read, and added to, at places that are computed.

    lookup           (array, index) -> scalar: the element that the index names
    scatter_scalars  (array …, index, value, …) -> array: the sum of arrays of equal
                     size, and of values, each added to the element its index names

A `Way` says which element an index names.  The two are each other's transposes, so
that a derivative of either is made of both.  Arrays are the nodes of a scalar graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .graph import CONST, ELEMENT, PACK, Builder, Node, Params, Static, Type, scalar
from .loop import INT
from .primitive import Primitive, registry
from .tracer import as_tracer, innermost, traced


class Way(NamedTuple):
    """The element of an array, in C order, that an index names.

    It is element + index * stride for 0 <= index < count, and the last of those for
    any other index: so whatever the index, it is one.  The stride is positive.
    """

    element: int
    stride: int
    count: int

    def places(self, index: Any) -> Any:
        """The numbers of the elements that whole numbers name."""
        outside = (index < 0) | (index >= self.count)
        return self.element + self.stride * np.where(outside, self.count - 1, index)

    def all(self) -> range:
        """The numbers of all elements that an index may name."""
        last = self.element + self.stride * self.count
        return range(self.element, last, self.stride)


Term = tuple[Way, int, int]  # how an index names an element, the index, and a value


def _access(name: str, cost: float) -> Primitive:
    def evaluate(*_: Any, **__: Any) -> Any:
        raise AssertionError(f"{name} is evaluated by the interpreter")

    return registry.add(Primitive(name, "access", evaluate, cost=cost))


LOOKUP = _access("lookup", 2.0)
SCATTER = _access("scatter_scalars", 3.0)

# -- in graphs -----------------------------------------------------------------


def add_lookup(
    builder: Builder, array: int, index: int, way: Way, line: str = ""
) -> int:
    """The element of an array that an index names, by the simplest node."""
    node = builder.nodes[array]
    known = builder.values[index]
    if known is not None:
        return pick(builder, array, int(way.places(known)))
    if node.primitive is PACK and node.type.dtype.kind == "f":
        found = _of_scalars(builder, node, index, way)
        if found is not None:
            return found
    params: Params = (("way", way),)
    kind = scalar(node.type.dtype)
    return builder.add(LOOKUP, (array, index), kind, params, line)


def _of_scalars(builder: Builder, node: Node, index: int, way: Way) -> int | None:
    """The lookup among scalars of which all are equal, or all but one are zero."""
    named = [node.operands[k] for k in way.all()]
    if len(set(named)) == 1:
        return named[0]
    zero = [_is_zero(builder.values[a]) for a in named]
    if sum(zero) != len(named) - 1:
        return None
    k = zero.index(False)
    return builder.apply(
        registry.primitives["gate"],
        (named_by(builder, index, k), named[k]),
        scalar(node.type.dtype),
    )


def _is_zero(value: Any) -> bool:
    return value is not None and value == 0


def named_by(builder: Builder, index: int, k: int) -> int:
    """Whether an index is k."""
    equal, number = registry.primitives["eq"], builder.number(k, INT)
    return builder.apply(equal, (index, number), scalar(np.dtype(bool)))


def pick(builder: Builder, array: int, k: int) -> int:
    """Element k of an array."""
    node = builder.nodes[array]
    if node.primitive is PACK:
        return node.operands[k]
    if node.primitive is CONST:
        return builder.const(node.value.reshape(-1)[k])
    return builder.add(ELEMENT, (array,), scalar(node.type.dtype), (("index", k),))


def way_of(node: Node) -> Way:
    """How the index of a lookup names an element."""
    return node.params[0][1]


def add_scatter(
    builder: Builder, type: Type, arrays: Sequence[int], terms: Sequence[Term]
) -> int:
    """An array of a type: the sum of arrays, and of values at places that are named."""
    if len(arrays) == 1 and not terms and builder.nodes[arrays[0]].type == type:
        return arrays[0]
    operands = (*arrays, *(i for _, index, value in terms for i in (index, value)))
    params: Params = (("ways", Static(tuple([way for way, _, _ in terms]))),)
    return builder.add(SCATTER, operands, type, params)


def terms_of(node: Node) -> tuple[list[int], list[Term]]:
    """The arrays and the terms that a scatter adds up."""
    ways = node.value
    count = len(node.operands) - 2 * len(ways)
    pairs = node.operands[count:]
    terms = zip(ways, pairs[::2], pairs[1::2], strict=True)
    return list(node.operands[:count]), list(terms)


def array_of(builder: Builder, scalars: Sequence[int], type: Type) -> int:
    """The array node of some scalars: the one they are the elements of, if they are."""
    nodes = [builder.nodes[i] for i in scalars]
    if nodes and all(n.primitive is ELEMENT for n in nodes):
        source, *others = {n.operands[0] for n in nodes}
        same = not others and builder.nodes[source].type == type
        if same and [n.index for n in nodes] == list(range(type.size)):
            return source
    return builder.add(PACK, tuple(scalars), type)


# -- what they mean ------------------------------------------------------------


def look_up(x: Any, index: Any, way: Way, batch: int) -> Any:
    """The elements of arrays with `batch` leading axes, which may have extent 1."""
    places = way.places(index)
    lead = np.shape(x)[:batch]
    if traced(places) and not traced(x):
        x = as_tracer(innermost([places]), x)
    flat = np.reshape(x, (*lead, -1))
    if not batch:
        return flat[places]
    grid = np.ogrid[tuple(slice(n) for n in lead)]
    return flat[(*grid, places)]


def add_up(
    type: Type,
    arrays: Sequence[Any],
    terms: Sequence[tuple[Way, Any, Any]],
    batch: int,
) -> Any:
    """The sum of arrays, and of values at places, all with `batch` leading axes."""
    given = [x for _, *pair in terms for x in pair]
    lead = np.broadcast_shapes(
        (1,) * batch, *(np.shape(x)[:batch] for x in (*arrays, *given))
    )
    size = type.size
    total: Any = np.zeros((*lead, size), type.dtype)
    for x in arrays:
        total = total + np.reshape(x, (*np.shape(x)[:batch], size))
    grid = np.ogrid[tuple(slice(n) for n in lead)]
    for way, index, value in terms:
        places = way.places(index)
        if traced((total, places, value)):
            here = np.arange(size) == np.expand_dims(places, -1)
            total = total + np.where(here, np.expand_dims(value, -1), 0)
        else:
            where = (*grid, places) if batch else (places,)
            np.add.at(total, where, np.asarray(value).astype(type.dtype))
    return np.reshape(total, (*lead, *type.shape))
