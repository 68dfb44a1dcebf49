"""The memory that a traced array would have: whose it is, and where its elements lie.

NumPy's rules decide what is a view and what a copy, and in which order a new array is
laid out.  They are not written down here a second time: every structure is carried out
on a stand-in, an array of zeros with the same strides, and NumPy's answer is read off
the result.  A view knows how to be read again after its owner was written; where it
was taken at a traced index, that index moves all of it by steps.

The inputs of a trace count as being in C order, whatever strides the caller's arrays
have, so that a compiled function does not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .graph import Type


class Layout(NamedTuple):
    """Offset and strides, in elements, inside the owner's memory."""

    offset: int
    strides: tuple[int, ...]
    writeable: bool = True

    def over(self, memory: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The array of this layout over a one-dimensional memory."""
        item = memory.itemsize
        strides = tuple([s * item for s in self.strides])
        array = np.ndarray(shape, memory.dtype, memory, self.offset * item, strides)
        array.flags.writeable = self.writeable
        return array


@dataclass(frozen=True, slots=True)
class Places:
    """Which elements an array of a shape is: index i is number start + Σ i·steps.

    Along axes of one element the step is 0, so that equal places are equal.
    """

    shape: tuple[int, ...]
    start: int
    steps: tuple[int, ...]

    def within(self, key: tuple[Any, ...]) -> Places:
        """Those that integers, slices, None and at most one Ellipsis choose."""
        key = key if Ellipsis in key else (*key, Ellipsis)
        # Nothing is read: only NumPy's answer where the elements would be.
        memory = np.zeros(1, np.int8)
        view = as_strided(memory, self.shape, self.steps)[key]
        start = self.start + address(view) - address(memory)
        return _places(view.shape, start, view.strides)

    def array(self) -> np.ndarray:
        """The number of every element."""
        found = np.full((), self.start, np.int64)
        for n, step in zip(self.shape, self.steps, strict=True):
            found = found[..., None] + step * np.arange(n)
        return found


def _places(shape: tuple[int, ...], start: int, steps: Sequence[int]) -> Places:
    pairs = zip(shape, steps, strict=True)
    return Places(shape, start, tuple([s if n > 1 else 0 for n, s in pairs]))


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """How far each unit of a traced index, which is below extent, moves a view."""

    stride: int
    extent: int
    index: Storage

    def same(self, other: Step) -> bool:
        """Whether both move by the same."""
        return (
            (self.stride, self.extent) == (other.stride, other.extent)
            and self.index.builder is other.index.builder
            and self.index.index == other.index.index
        )


class View(NamedTuple):
    """What an array is a view of, and the call that reads it from there again."""

    owner: Storage
    parent: Storage
    again: Callable[[Any], Any]


class Storage:
    """An array's node, and its place in the memory of the array that owns it.

    An array with no view owns its memory; with no layout it lies there in C order.
    A value of shape () with no layout is a scalar, which nothing can write to.
    Steps move the array in the owner's memory away from where its layout says.
    born counts the arrays of its trace up to this one.  An owner may have a mirror
    (see `ir.mirror`).
    """

    __slots__ = (
        "_index",
        "_layout",
        "_mirror",
        "_seen",
        "_steps",
        "_version",
        "_view",
        "born",
        "builder",
        "type",
        "weak",
    )

    def __init__(self, trace: Any, index: int, type: Type, weak: bool = False) -> None:
        self.builder = trace
        self.type = type
        self.weak = weak
        self._index = index
        self._layout: Layout | None = None
        self._view: View | None = None
        self._steps: tuple[Step, ...] = ()
        self._mirror: Any = None
        self._version = 0
        self._seen = 0
        self.born = trace.bear()

    @property
    def index(self) -> int:
        """The node that holds the current value."""
        view = self._view
        owner = self if view is None else view.owner
        if owner._mirror is not None:
            owner._mirror.pull()
        if view is not None and owner._version != self._seen:
            fresh = view.again(view.parent)
            self._index, self.builder = fresh.index, fresh.builder
            self._seen = owner._version
        return self._index

    @property
    def owner(self) -> Storage:
        """The array whose memory this one lies in."""
        return self if self._view is None else self._view.owner

    @property
    def scalar(self) -> bool:
        """Whether this is a NumPy scalar and not an array of shape ()."""
        return self._layout is None and not self.type.shape

    def stand_in(self) -> Any:
        """Zeros of the same dtype, shape and strides; a NumPy scalar for a scalar."""
        dtype, shape = self.type
        if self._layout is None:
            return np.zeros(shape, dtype) if shape else dtype.type(0)
        return self._layout.over(np.zeros(self.owner.type.size, dtype), shape)

    def unfilled(self, dtype: Any = None, order: Any = "K") -> np.ndarray:
        """An array laid out as a copy of the stand-in, of memory that none has touched.

        A trace asks for the strides of arrays that nobody will hold as a whole.
        """
        return np.empty_like(self.stand_in(), dtype, order)

    def ones(self, rows: int | None = None) -> Any:
        """Ones of the same dtype, shape and memory order; one for a scalar.

        rows  of the first axis, if not all
        """
        shape = self.type.shape
        strides = self._layout.strides if self._layout else ()
        if 0 not in strides:
            made = self.unfilled()
            made = made[:rows] if shape else made
            made[...] = 1
            return made[()]
        # Of axes of one element only NumPy itself knows where they belong.
        whole = tuple([n if s else 1 for n, s in zip(shape, strides, strict=True)])
        one = np.ones_like(self.stand_in()[tuple(map(slice, whole))])
        return np.broadcast_to(one, shape)[:rows]

    def places(self) -> np.ndarray:
        """For every element its place in the owner's memory, all steps being zero."""
        memory = np.arange(self.owner.type.size)
        if self._layout is None:
            return memory.reshape(self.type.shape)
        return self._layout._replace(writeable=True).over(memory, self.type.shape)

    def positions(self) -> np.ndarray:
        """For every element its number among the owner's elements.

        Of an array that is moved by steps, its places in memory.
        """
        owner, places = self.owner, self.places()
        if owner._layout is None or self._steps:
            return places
        numbers = np.empty(owner.type.size, int)
        numbers[owner.places().ravel()] = np.arange(owner.type.size)
        return numbers[places]

    def affine(self) -> Places | None:
        """The same, where strides alone tell; None where they do not."""
        shape, own = self.type.shape, self._layout
        if self.owner._layout is not None or self._steps or not self.type.size:
            return None
        if own is None:
            steps, step = [], 1
            for n in reversed(shape):
                steps.append(step)
                step *= n
            return _places(shape, 0, steps[::-1])
        return _places(shape, own.offset, own.strides)

    def adopt(self, piece: Any) -> None:
        """Own memory laid out like piece, an array that NumPy made."""
        if isinstance(piece, np.ndarray):
            self._layout = own_layout(piece)

    def adopt_view(
        self,
        piece: Any,
        parent: Storage,
        stand_in: np.ndarray,
        again: Callable[[Any], Any],
        steps: tuple[Step, ...] = (),
    ) -> None:
        """Lie where piece lies, which NumPy made of parent's stand_in, moved by steps.

        Any of the traced indices of steps is zero in piece.
        """
        if not isinstance(piece, np.ndarray) or not np.may_share_memory(
            piece, stand_in
        ):
            self.adopt(piece)
            return
        item = piece.itemsize
        offset = parent._layout.offset if parent._layout else 0
        self._layout = Layout(
            offset + (address(piece) - address(stand_in)) // item,
            tuple([s // item for s in piece.strides]),
            writeable(piece),
        )
        self._view = View(parent.owner, parent, again)
        self._steps = (*parent._steps, *steps)
        self._seen = self._view.owner._version

    def same_place(self, other: Storage) -> bool:
        """Whether both are the same elements of the same memory, in the same order."""
        return (
            self.owner is other.owner
            and self.type == other.type
            and self._layout == other._layout
            and self.moved_as(other)
        )

    def moved_as(self, other: Storage) -> bool:
        """Whether the same steps move both."""
        return len(self._steps) == len(other._steps) and all(
            map(Step.same, self._steps, other._steps)
        )


def address(array: np.ndarray) -> int:
    """Where an array's first element lies in the machine's memory."""
    return array.__array_interface__["data"][0]


def own_layout(array: np.ndarray) -> Layout | None:
    """The layout of an array's memory if it is dense; C order where it is not."""
    ours = writeable(array)
    if not _dense(array):
        array = np.empty(array.shape, array.dtype)
    if array.ndim and array.flags.c_contiguous and ours:
        return None
    return Layout(0, tuple([s // array.itemsize for s in array.strides]), ours)


def writeable(array: np.ndarray) -> bool:
    """Whether an array may be written to without an error or a warning of NumPy's.

    That of np.broadcast_arrays, whose elements share memory, is the flags' last bit.
    """
    return array.flags.num >= 0 and array.flags.writeable


def _dense(array: np.ndarray) -> bool:
    """Whether an array fills its memory, its axes in some order."""
    expected = array.itemsize
    for stride, extent in sorted(zip(array.strides, array.shape, strict=True)):
        if extent > 1 and stride != expected:
            return False
        expected *= extent
    return True


def kept_order(operands: Sequence[Any], shape: tuple[int, ...]) -> Layout | None:
    """The layout of a new array of an elementwise operation (NumPy's order "K")."""
    if all(map(_descending, operands)):
        return None
    arrays = [
        o.stand_in() if isinstance(o, Storage) else np.asarray(o) for o in operands
    ]
    loop = np.nditer(
        (*arrays, None),
        flags=["zerosize_ok", "refs_ok"],
        op_flags=[*[("readonly",)] * len(arrays), ("writeonly", "allocate")],  # pyright: ignore
        op_dtypes=[*[None] * len(arrays), np.dtype(bool)],
    )
    result = loop.operands[-1]
    assert result.shape == shape
    return own_layout(result)


def _descending(operand: Any) -> bool:
    """Whether strides fall from axis to axis, as in C order."""
    if isinstance(operand, Storage):
        if operand._layout is None:
            return True
        shape, strides = operand.type.shape, operand._layout.strides
    elif isinstance(operand, np.ndarray):
        if operand.flags.c_contiguous:
            return True
        shape, strides = operand.shape, operand.strides
    else:
        return True
    steps = [abs(s) for s, n in zip(strides, shape, strict=True) if n > 1 and s]
    return steps == sorted(steps, reverse=True)
