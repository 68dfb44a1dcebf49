"""Writing into the memory that a traced array and its views share.

`write` gives the owner of the memory a new node; whoever reads a view of it later
reads that.  A view that was taken at a traced index writes where the index points.
`strided` makes a view that only places in the memory tell.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.lib.stride_tricks import as_strided

from jitad.errors import TracingError, UnsupportedError
from jitad.ir.graph import Static, Type
from jitad.ir.primitive import Primitive, registry
from jitad.ir.source import source_line
from jitad.ir.tracer import Trace, Tracer, innermost, lift, renewed
from jitad.ir.views import Places, address

from .gather import Located, Steps, gather, in_range, scatter


def _put(base: Any, value: Any, *, positions: np.ndarray | Places) -> np.ndarray:
    result = np.array(base, order="C")
    numbers = positions.array() if isinstance(positions, Places) else positions
    result.reshape(-1)[numbers] = value
    return result


_put_node = registry.add(Primitive("put", "structure", _put, cost=0))


def write(
    array: Tracer, value: Any, positions: np.ndarray | Places | None = None
) -> None:
    """Replace the value of an array, or the elements at some of its `positions()`.

    An array of an enclosing trace moves into the trace that writes to it; using it out
    there afterwards is then an error.
    """
    if array.scalar:
        raise UnsupportedError(
            f"{array!r} is a scalar, which nothing can write to ({source_line()}); "
            "rebind the name, or make an array: np.atleast_1d(x)"
        )
    if array._layout is not None and not array._layout.writeable:
        raise ValueError(
            f"{array!r} is read-only, as what np.broadcast_to and np.diagonal give "
            f"is ({source_line()}); write to x.copy()"
        )
    owner, steps = array.owner, array._steps
    trace = innermost([owner, value, *[s.index for s in steps]])
    index = lift(trace, value, array.dtype)
    owner.builder.writes.append((owner.born, trace.line()))
    if owner.builder is not trace:
        owner.born = trace.bear()
    whole = positions is None
    if positions is None and owner is not array:
        positions = array.affine() or array.positions()
        apart = not steps and _apart(array)
        numbers = None if apart else array.positions().ravel()
        whole = numbers is None or np.bincount(numbers, minlength=1).max() < 2
    if positions is not None and steps:
        assert isinstance(positions, np.ndarray)
        owner._index = _moved_put(trace, array, index, positions)
    elif positions is not None:
        owner._index = _plain_put(trace, array, index, positions)
    owner._version += 1
    if whole:
        array._index = _valid(trace, array, index) if steps else index
        array.builder = trace
        array._seen = owner._version
    owner.builder = trace
    if owner._mirror is not None:
        owner._mirror.push()


def _apart(array: Tracer) -> bool:
    """Whether strides alone tell that no two elements of a view are one."""
    if array._layout is None:
        return True
    pairs = zip(map(abs, array._layout.strides), array.type.shape, strict=True)
    reached = 0
    for stride, extent in sorted(pairs):
        if extent > 1 and stride <= reached:
            return False
        reached += stride * (extent - 1)
    return True


def _plain_put(
    trace: Trace, array: Tracer, index: int, positions: np.ndarray | Places
) -> int:
    """The owner's node after elements of it were written."""
    owner: Any = array.owner
    params = (("positions", Static(positions)),)
    operands = (lift(trace, owner), index)
    return trace.add(_put_node, operands, owner.type, params, trace.line())


def _moved_put(trace: Trace, array: Tracer, index: int, places: np.ndarray) -> int:
    """The same, where steps move the elements from their places in the memory."""
    memory, order = _memory(trace, array.owner)
    made = scatter(memory, _value(trace, index), _located(array, places))
    return _reordered(made, np.argsort(order)).index


def _memory(trace: Trace, owner: Any) -> tuple[Any, np.ndarray]:
    """The owner with its axes in the order of its memory, and that order."""
    order = np.argsort([-s for s in owner.stand_in().strides], kind="stable")
    return _reordered(_value(trace, lift(trace, owner)), order), order


def _reordered(value: Tracer, order: np.ndarray) -> Any:
    """The value with its axes in another order."""
    same = np.array_equal(order, range(value.ndim))
    return value if same else np.transpose(value, order.tolist())


def _located(array: Tracer, places: np.ndarray) -> Located:
    """Places in the memory as an array is moved away from them."""
    indices, moves = _moves(array)
    if places.shape:
        indices = [_spread(i, places.shape) for i in indices]
    return Located(places, indices, moves)


def _valid(trace: Trace, array: Tracer, index: int) -> int:
    """What is read after a write at a traced index: NaN where that is out of range."""
    return in_range(_value(trace, index), *_moves(array)).index


def _moves(array: Tracer) -> tuple[list[Any], Steps]:
    """The traced indices that move an array, and how far."""
    steps = array._steps
    return [s.index for s in steps], tuple([(s.stride, s.extent) for s in steps])


def _spread(index: Any, shape: tuple[int, ...]) -> Any:
    return np.broadcast_to(index, shape)


def _value(trace: Trace, index: int) -> Any:
    return Tracer(trace, index, trace.nodes[index].type)


# -- np.lib.stride_tricks.as_strided ---------------------------------------------------


def strided(
    x: Any, shape: Any = None, strides: Any = None, subok: Any = False, **options: Any
) -> Any:
    """A view of x's memory by strides in bytes, if it stays inside."""
    if not isinstance(x, Tracer):
        return NotImplemented
    x = renewed(x, np.empty(())) if x.scalar else x
    stand_in = x.stand_in()
    piece = as_strided(stand_in, shape, strides, **options)
    if not piece.size:
        return np.zeros(piece.shape, x.dtype, like=x)
    start = address(stand_in) - x.itemsize * (x._layout.offset if x._layout else 0)
    low, high = byte_bounds(piece)
    inside = start <= low and high <= start + x.itemsize * x.owner.type.size
    if not inside or any(s % x.itemsize for s in piece.strides):
        raise TracingError(
            f"as_strided of {x!r} by strides {piece.strides} to shape {piece.shape} "
            f"leaves its memory, or falls between elements ({source_line()}); expected "
            f"multiples of {x.itemsize} bytes inside it, as from x.strides"
        )
    made = Tracer(x.builder, x.index, Type(x.dtype, piece.shape))
    made.adopt_view(piece, x, stand_in, lambda x: _read(x, made.places()))
    first = _read(x, made.places())
    made._index, made.builder = first.index, first.builder
    return made


def _read(x: Tracer, places: np.ndarray) -> Any:
    """What is now at places of the memory that x lies in."""
    trace = innermost([x.owner, *[s.index for s in x._steps]])
    memory, _ = _memory(trace, x.owner)
    return gather(memory, _located(x, places)) if x._steps else np.ravel(memory)[places]


registry.redirects[as_strided] = strided
