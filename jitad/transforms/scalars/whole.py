"""Arrays that stay arrays while a graph is scalarized: nothing is made per element.

A large input or constant is kept as a Whole for as long as what happens to it only
changes where its elements are, as slices, transposes and most reshapes do.  A loop
that reads it along its leading axis then reads memory, and so does a traced index (see
`tables`); anything else takes scalars.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jitad.errors import UnsupportedError
from jitad.ir.graph import CONST, ELEMENT, Builder, Node, Type
from jitad.ir.interpret import evaluate_array_node
from jitad.ir.table import array_of, pick

EAGER = 4096  # elements up to which an array is scalars from the beginning
MOST = 400_000  # scalars of one array


@dataclass(frozen=True, eq=False, slots=True)
class Whole:
    """A view of an array node, in strides of whole elements.

    root   stands for the node's array, one byte an element; it is never read, so that
           the operating system gives it no memory
    view   what has become of it
    """

    index: int
    root: np.ndarray
    view: np.ndarray

    @property
    def offset(self) -> int:
        """The number of the view's first element in the node's array."""
        return self.view.ctypes.data - self.root.ctypes.data


def whole(builder: Builder, index: int) -> Whole:
    """All of an array node."""
    type = builder.nodes[index].type
    root = np.zeros(type.size, np.uint8)
    return Whole(index, root, root.reshape(type.shape))


def moved(array: Whole, node: Node) -> Whole | None:
    """What a structure makes of it; None where that is no view."""
    view = evaluate_array_node(node, [array.view])
    if isinstance(view, np.ndarray) and view.base is array.root and view.size:
        return Whole(array.index, array.root, view)
    return None


def places(view: np.ndarray) -> np.ndarray:
    """Where the elements of a view lie behind its first."""
    found = np.zeros((), np.int64)
    for extent, stride in zip(view.shape, view.strides, strict=True):
        found = found[..., None] + np.arange(extent, dtype=np.int64) * stride
    return found


def scalars(builder: Builder, array: Whole) -> np.ndarray:
    """The indices of its scalars, in the view's shape."""
    type = builder.nodes[array.index].type
    check_size(Type(type.dtype, array.view.shape))
    numbers = (array.offset + places(array.view)).ravel().tolist()
    ids = [pick(builder, array.index, k) for k in numbers]
    return np.array(ids, np.int64).reshape(array.view.shape)


def apart(builder: Builder, value: np.ndarray | Whole) -> np.ndarray:
    """A value as scalars."""
    return scalars(builder, value) if isinstance(value, Whole) else value


def viewed(builder: Builder, ids: np.ndarray) -> Whole | None:
    """Scalars as a view of the array node that they are the elements of.

    None where they are of several, or of none, or do not lie evenly.
    """
    nodes = [builder.nodes[i] for i in ids.ravel().tolist()]
    if nodes and all(n.primitive is CONST for n in nodes):
        values = [n.value for n in nodes]
        constants = np.array(values, nodes[0].type.dtype).reshape(ids.shape)
        return whole(builder, builder.const(constants))
    sources = {n.operands for n in nodes if n.primitive is ELEMENT}
    if len(sources) != 1 or any(n.primitive is not ELEMENT for n in nodes):
        return None
    index = nodes[0].operands[0]
    found = np.array([n.index for n in nodes]).reshape(ids.shape)
    first, even, strides = int(found.flat[0]), np.array(found.flat[0]), []
    for axis, extent in enumerate(ids.shape):
        line = np.moveaxis(found, axis, 0)
        strides.append(int(line[1].flat[0]) - first if extent > 1 else 0)
        even = even[..., None] + np.arange(extent) * strides[-1]
    if not np.array_equal(even, found):
        return None
    root = whole(builder, index).root
    view = np.ndarray(ids.shape, np.uint8, root, first, tuple(strides))
    return Whole(index, root, view)


def as_node(builder: Builder, value: np.ndarray | Whole, type: Type) -> int:
    """A value as one array node of a type."""
    if isinstance(value, Whole):
        full = value.offset == 0 and value.view.flags.c_contiguous
        if full and builder.nodes[value.index].type == type:
            return value.index
    return array_of(builder, apart(builder, value).ravel().tolist(), type)


def check_size(type: Type) -> None:
    """Refuse to make a scalar of every element of a large array."""
    if type.size > MOST:
        raise UnsupportedError(
            f"one point uses the {type.size:,} scalars of {type} one by one; expected "
            f"at most {MOST:,}: let a function of one row read it, jitad.vmap that "
            "over the rows, and sum its results with np.sum, or use jitad.scan"
        )
