"""Names and arrays while a function is read: a State says what both are at a moment.

An array is a cell with a value; names hold references, so that two of them may mean the
same array, or a view of it.  To write is to give a cell another value, and a State is
copied where paths part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from jitad.ir.trace import current
from jitad.ir.tracer import Tracer, lift

from .lines import refuse
from .numbers import convert, plain, typed

_numbers = count()
NOBODY = -1  # in place of a cell that is not known outside of an iteration


class Cell(NamedTuple):
    """What an array holds.

    sources  other cells, and their values, of which this is a copy that Numba has not
             made: neither may be written to while both are read
    frozen   whether it came by another way than as an argument: none may write to it
    """

    value: Any
    sources: tuple[tuple[int, Any], ...] = ()
    frozen: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Reference:
    """An array that a name means: a cell, and how to see it as this view of it."""

    cell: int
    views: tuple[Callable[[Any], Any], ...] = ()

    def same(self, other: Any) -> bool:
        """Whether both are surely the same array."""
        return (
            isinstance(other, Reference)
            and self.cell == other.cell
            and self.views == other.views
        )


class Range(NamedTuple):
    """start, start + step, …, before stop; known or traced numbers."""

    start: Any
    stop: Any
    step: Any


class Counted(NamedTuple):
    """What enumerate gives."""

    items: Any
    start: Any


class Zipped(NamedTuple):
    """What zip gives."""

    items: tuple[Any, ...]


class Places(NamedTuple):
    """What np.ndindex gives."""

    shape: tuple[int, ...]


class Method(NamedTuple):
    """A method of an array, not yet called."""

    array: Any
    name: str


class Listed(NamedTuple):
    """A list that nobody changes."""

    items: tuple[Any, ...]


class Apart(NamedTuple):
    """What a name is where paths join that cannot be joined, and why."""

    why: str


@dataclass(slots=True)
class State:
    """What every name and every cell holds."""

    names: dict[str, Any] = field(default_factory=dict)
    cells: dict[int, Cell] = field(default_factory=dict)

    def copy(self) -> State:
        """The same, to go on from by itself."""
        return State(dict(self.names), dict(self.cells))

    def new(
        self,
        value: Any,
        sources: tuple[tuple[int, Any], ...] = (),
        frozen: bool = False,
    ) -> Reference:
        """A new array."""
        number = next(_numbers)
        self.cells[number] = Cell(value, sources, frozen)
        return Reference(number)

    def content(self, cell: int) -> Any:
        """What a cell holds, if it is what Numba's array holds."""
        found = self.cells[cell]
        for source, before in found.sources:
            now = self.cells.get(source)
            if now is not None and now.value is not before:
                raise refuse(
                    "an array that a name may mean or not, as a condition or a loop "
                    "decides, after it was written to by another name,",
                    "let one name mean one array: .copy()",
                )
        return found.value

    def load(self, value: Any) -> Any:
        """A value that NumPy can compute with: arrays in place of references."""
        if isinstance(value, Reference):
            found = _fresh(self.content(value.cell))
            for view in value.views:
                found = view(found)
            return found
        if isinstance(value, tuple) and type(value) is tuple:
            return tuple([self.load(x) for x in value])
        return value

    def hold(self, value: Any) -> Any:
        """A value as names hold it: new arrays in cells."""
        if isinstance(value, Tracer) and value.shape:
            return self.new(_fresh(value))
        if isinstance(value, np.ndarray) and value.ndim:
            return self.new(value)
        if isinstance(value, tuple) and type(value) is tuple:
            return tuple([self.hold(x) for x in value])
        return plain(value)

    def view(self, array: Any, seen: Callable[[Any], Any]) -> Any:
        """seen(array): a view of it where NumPy gives one, else a new array."""
        if not isinstance(array, Reference):
            return self.hold(seen(self.load(array)))
        base = self.load(array)
        found = seen(base)
        if isinstance(found, Tracer) and not isinstance(base, Tracer):
            # At a traced place: of a traced array NumPy's rules say what is a view.
            base = _owned(base)
            found = seen(base)
        if found is base:
            return array
        if isinstance(found, Tracer):
            shared = found.shape and found.owner is base.owner
        else:
            shared = np.ndim(found) and np.may_share_memory(found, base)
        if shared:
            return Reference(array.cell, (*array.views, seen))
        return self.hold(found)

    def store(self, array: Any, key: Any, value: Any) -> None:
        """array[key] = value, converted as Numba does."""
        if not isinstance(array, Reference):
            raise refuse(
                "writing to an array of the program's, which Numba takes for constant,"
                if isinstance(array, np.ndarray)
                else f"writing to a {type(array).__name__}",
                "write to an array made inside, or to a copy of it",
            )
        if self.cells[array.cell].frozen:
            raise refuse(
                "writing to an array that is no argument",
                "write to an array made inside, or to a copy of it",
            )
        if self.cells[array.cell].sources:
            raise refuse(
                "writing to an array that a name may mean or not, as a condition or a "
                "loop decides,",
                "write to a copy, made with .copy(), or by the array's own name",
            )
        value = typed(self.load(value))
        whole = self.content(array.cell)
        traced = any(isinstance(x, Tracer) for x in (whole, value, *_flat(key)))
        base = _owned(whole) if traced or array.views else np.array(whole)
        seen = base
        for view in array.views:
            seen = view(seen)
        to = seen.dtype
        if isinstance(value, Tracer) or np.asarray(value).dtype != to:
            value = convert(value, to)
        seen[key] = value
        self.cells[array.cell] = Cell(_fresh(base))

    def references(self, value: Any) -> Iterator[int]:
        """The cells that a value leads to."""
        if isinstance(value, Reference):
            yield value.cell
        elif isinstance(value, tuple):
            for item in value:
                yield from self.references(item)


def _flat(key: Any) -> Iterator[Any]:
    for part in key if isinstance(key, tuple) else (key,):
        yield part
        if isinstance(part, slice):
            yield from (part.start, part.stop, part.step)


def _fresh(value: Any) -> Any:
    """An array of its own memory, of which nobody else knows."""
    if isinstance(value, Tracer):
        return Tracer(value.builder, value.index, value.type)
    return value


def _owned(value: Any) -> Tracer:
    """The same in the running trace, to be written to."""
    running = current()
    assert running is not None
    index = lift(running, value)
    return Tracer(running, index, running.nodes[index].type)
