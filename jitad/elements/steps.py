"""What runs: kernels over boxes of stored arrays, and the sums of such.

Everything is known when a step is made but the addresses of arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jitad.backends.cpu import executable as cpu
from jitad.backends.cpu import fresh, nest
from jitad.backends.cpu.machine import memory_bytes
from jitad.backends.memory import address
from jitad.ir.graph import Graph, Type
from jitad.ir.interpret import interpret
from jitad.lowering.kernel import Argument

from .library import Library

Environment = dict[int, np.ndarray]
# After so many times what is computed by NumPy has a kernel.
_OFTEN = 30


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a kernel finds an array's elements: bytes from its first, and steps.

    lane, outer  bytes along the axis of lanes and along those around it
    """

    value: int
    start: int
    lane: int
    outer: tuple[int, ...]

    def argument(self, environment: Environment) -> Argument:
        """What the kernel gets."""
        place = address(environment[self.value]) + self.start
        return Argument(place, (self.lane,))


@dataclass(frozen=True, eq=False)
class Run:
    """A kernel over a box: its lanes, and axes around them.

    graph  of one element; the last of the reaches is where its result goes
    """

    graph: Graph
    executable: Any
    reaches: tuple[Reach, ...]
    lanes: int
    outer: tuple[int, ...]
    alone: bool = False

    def __post_init__(self) -> None:
        assert self.reaches[-1].lane or self.lanes == 1, "lanes write to one place"

    @property
    def touched(self) -> list[int]:
        """The arrays that it reads or writes."""
        return [r.value for r in self.reaches]

    def run(self, environment: Environment) -> None:
        """Launch it."""
        arguments = [r.argument(environment) for r in self.reaches]
        if not self.outer:
            self.executable.launch((self.lanes,), arguments)
            return
        steps = [r.outer for r in self.reaches]
        nest.launch(
            self.executable, self.lanes, self.outer, arguments, steps, alone=self.alone
        )


@dataclass(eq=False)
class Small:
    """A kernel over few elements, which NumPy computes until it has run often.

    To make its code takes longer than that; what comes back in every step of a long
    loop, or in every call of a solver, is worth it.
    """

    graph: Graph
    reaches: tuple[Reach, ...]
    lanes: int
    outer: tuple[int, ...]
    make: Callable[[], Run]
    _runs: int = 0
    _made: Run | None = None

    @property
    def touched(self) -> list[int]:
        """The arrays that it reads or writes."""
        return [r.value for r in self.reaches]

    def run(self, environment: Environment) -> None:
        """Interpret the graph, or launch its kernel."""
        if self._runs < _OFTEN:
            self._runs += 1
            *inputs, target = [self._view(r, environment) for r in self.reaches]
            rank = 1 + len(self.outer)
            (target[...],) = interpret(self.graph, inputs, rank)
            return
        if self._made is None:
            self._made = self.make()
        self._made.run(environment)

    def _view(self, reach: Reach, environment: Environment) -> np.ndarray:
        array, shape = environment[reach.value], (self.lanes, *self.outer)
        strides = (reach.lane, *reach.outer)
        return np.ndarray(shape, array.dtype, array, reach.start, strides)


@dataclass(frozen=True, eq=False)
class New:
    """A new array."""

    value: int
    shape: tuple[int, ...]
    dtype: np.dtype
    blank: bool = False

    @property
    def bytes(self) -> int:
        """How much memory it takes."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def touched(self) -> list[int]:
        """The array that it makes."""
        return [self.value]

    def run(self, environment: Environment) -> None:
        """Make it."""
        make: Callable[..., np.ndarray] = fresh.zeros if self.blank else fresh.empty
        environment[self.value] = make(self.shape, self.dtype)


@dataclass(frozen=True, eq=False)
class Add:
    """The sums of a kernel over a box, row by row, added to elements of an array.

    graph  of one element
    kept   the axes around the lanes that the sums keep, among those of outer
    place  which elements of the array they are, of this shape
    """

    graph: Graph
    executable: Any
    reaches: tuple[Reach, ...]
    lanes: int
    outer: tuple[int, ...]
    kept: tuple[int, ...]
    value: int
    place: tuple[slice, ...]
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def touched(self) -> list[int]:
        """The arrays that it reads or writes."""
        return [*(r.value for r in self.reaches), self.value]

    def run(self, environment: Environment) -> None:
        """Add them up in a fixed order."""
        arguments = [r.argument(environment) for r in self.reaches]
        if not self.outer:
            (found,) = self.executable.total(self.lanes, [*arguments, None])
            environment[self.value][self.place] += found.reshape(self.shape)
            return
        width = self.executable.width
        partial = fresh.zeros((*self.outer, width), self.dtype)
        arguments.append(Argument(partial.ctypes.data, (0,)))
        steps = [r.outer for r in self.reaches] + [partial.strides[:-1]]
        nest.launch(self.executable, self.lanes, self.outer, arguments, steps)
        gone = [k for k in range(len(self.outer)) if k not in self.kept]
        tiles = np.moveaxis(partial, gone, range(len(gone)))
        rows = math.prod([self.outer[k] for k in gone])
        found = cpu.added(tiles.reshape(rows, -1, width)).reshape(self.shape)
        environment[self.value][self.place] += found


@dataclass(frozen=True, slots=True)
class View:
    """An array's elements start + Σ i·steps, as an array of a type."""

    value: int
    type: Type
    start: int
    steps: tuple[int, ...]

    def of(self, environment: Environment) -> np.ndarray:
        """The view."""
        dtype, shape = self.type
        strides = tuple([s * dtype.itemsize for s in self.steps])
        array = environment[self.value]
        return np.ndarray(shape, dtype, array, self.start * dtype.itemsize, strides)


@dataclass(frozen=True, eq=False)
class Compute:
    """What a library computes of views: a new array."""

    statement: Library
    value: int
    views: tuple[View, ...]

    @property
    def touched(self) -> list[int]:
        """The arrays that it reads or makes."""
        return [*(v.value for v in self.views), self.value]

    @property
    def bytes(self) -> int:
        """How much memory its result takes."""
        type = self.statement.type
        return type.size * type.dtype.itemsize

    def run(self, environment: Environment) -> None:
        """Call it."""
        with np.errstate(all="ignore"):
            made = self.statement.compute(*[v.of(environment) for v in self.views])
        dtype = self.statement.type.dtype
        environment[self.value] = np.asarray(made, dtype, order="C")


Step = Run | Small | New | Add | Compute


@dataclass(eq=False)
class Plan:
    """Steps in order, and which arrays are let go after each.

    given      the numbers of the inputs
    constants  the arrays that are always there
    types      of the results
    peak       bytes of new arrays that there are at a time
    """

    steps: list[Step] = field(default_factory=list)
    drops: list[list[int]] = field(default_factory=list)
    given: Sequence[int] = ()
    constants: dict[int, np.ndarray] = field(default_factory=dict)
    outputs: tuple[int, ...] = ()
    types: tuple[Type, ...] = ()
    peak: int = 0

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The results: new arrays.

        Raises MemoryError where this machine has less than that takes.
        """
        if self.peak > memory_bytes():
            raise MemoryError(
                f"expected at most {memory_bytes() / 1e9:,.1f} GB of new arrays, which "
                f"is what this process may have, but they take {self.peak / 1e9:,.1f} "
                "GB at a time; compute with float32, with fewer elements, or with "
                "fewer steps that a derivative has to remember"
            )
        environment = dict(self.constants)
        for k, x in zip(self.given, inputs, strict=True):
            environment[k] = np.ascontiguousarray(x)
        for step, drops in zip(self.steps, self.drops, strict=True):
            step.run(environment)
            for value in drops:
                environment.pop(value, None)
        return [environment[k] for k in self.outputs]
