"""What runs: kernels over boxes of stored arrays, and the sums of such.

Everything is known when a step is made but the addresses of arrays.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

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
# A plan is made one program after so many runs, and so many steps in all.
_RUNS, _STEPS = 2, 100


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


@dataclass(frozen=True, slots=True)
class Sum:
    """Elements of an array to which the sums of a kernel are added.

    kept   the axes around the lanes that sums keep, among those of outer
    place  which elements they are, of this shape
    """

    value: int
    dtype: np.dtype
    kept: tuple[int, ...]
    place: tuple[slice, ...]
    shape: tuple[int, ...]


@dataclass(eq=False)
class Delayed:
    """The code of a kernel, for all steps that run it.

    make      makes it
    patience  how often NumPy computes such a step before code is made.  Of few elements
              code takes longer to be made than they take; what comes back in every step
              of a long loop, or in every call of a solver, is worth it.
    """

    make: Callable[[], Any]
    patience: float = 0
    executable: Any = None

    def ready(self) -> Any:
        """It, made if need be."""
        if self.executable is None:
            self.executable = self.make()
        return self.executable

    def asked(self) -> Any | None:
        """It, if it is worth it by now."""
        if self.patience > 0:
            self.patience -= 1
            return None
        return self.ready()


class Step(ABC):
    """What a plan does next; some is answered for one that makes no array."""

    @property
    @abstractmethod
    def touched(self) -> Sequence[int]:
        """The arrays that it reads or writes."""

    @property
    def made(self) -> Sequence[tuple[int, int]]:
        """The arrays that it makes, and their bytes."""
        return ()

    @property
    def beside(self) -> int:
        """The bytes that it needs while it runs."""
        return 0

    @abstractmethod
    def run(self, environment: Environment) -> None:
        """Do it."""


@dataclass(frozen=True, eq=False)
class Run(Step):
    """A kernel over a box: its lanes, and axes around them.

    graph    of one element: what is written, and then what is added up
    reaches  where its inputs are, and where what is written goes
    sums     where the sums of the rest go
    alone    whether rows must run in order, one after the other
    """

    graph: Graph
    code: Delayed
    reaches: tuple[Reach, ...]
    sums: tuple[Sum, ...]
    lanes: int
    outer: tuple[int, ...]
    alone: bool = False

    def __post_init__(self) -> None:
        written = self.reaches[self.reads :]
        assert all(r.lane for r in written) or self.lanes == 1, "lanes write one place"

    def ready(self) -> Any:
        """Its code, made if need be."""
        return self.code.ready()

    @property
    def reads(self) -> int:
        """How many inputs it has."""
        return len(self.graph.inputs)

    @property
    def touched(self) -> list[int]:
        """The arrays that it reads or writes."""
        return [*(r.value for r in self.reaches), *(s.value for s in self.sums)]

    def run(self, environment: Environment) -> None:
        """Launch it, or interpret its graph."""
        executable = self.code.asked()
        if executable is None:
            self._interpret(environment)
            return
        arguments = [r.argument(environment) for r in self.reaches]
        if self.outer:
            self._rows(executable, arguments, environment)
        elif not self.sums:
            executable.launch((self.lanes,), arguments)
        else:
            found = executable.total(self.lanes, [*arguments, *[None] * len(self.sums)])
            for s, (own,) in zip(self.sums, found, strict=True):
                environment[s.value][s.place] += own.reshape(s.shape)

    def _rows(
        self, executable: Any, arguments: list[Argument], environment: Environment
    ) -> None:
        """Run it for all indices of the outer axes; a row has its own partial sums."""
        steps = [r.outer for r in self.reaches]
        width, partials = executable.width, []
        for s in self.sums:
            partial = fresh.zeros((*self.outer, width), s.dtype)
            arguments.append(Argument(partial.ctypes.data, (0,)))
            steps.append(partial.strides[:-1])
            partials.append(partial)
        nest.launch(
            executable, self.lanes, self.outer, arguments, steps, alone=self.alone
        )
        for s, partial in zip(self.sums, partials, strict=True):
            gone = [k for k in range(len(self.outer)) if k not in s.kept]
            tiles = np.moveaxis(partial, gone, range(len(gone)))
            rows = math.prod([self.outer[k] for k in gone])
            found = cpu.added(tiles.reshape(rows, -1, width)).reshape(s.shape)
            environment[s.value][s.place] += found

    def _interpret(self, environment: Environment) -> None:
        views = [self._view(r, environment) for r in self.reaches]
        if self.alone:
            # A row may read what the one before has written.
            for index in np.ndindex(self.outer):
                self._interpret_on(environment, [v[:, *index] for v in views], ())
        else:
            self._interpret_on(environment, views, self.outer)

    def _interpret_on(
        self, environment: Environment, views: list[np.ndarray], outer: tuple[int, ...]
    ) -> None:
        """Interpret the graph on views of the lanes, and axes around them."""
        rank = 1 + len(outer)
        made = iter(interpret(self.graph, views[: self.reads], rank))
        for target in views[self.reads :]:
            target[...] = next(made)
        for s in self.sums:
            gone = (0, *(k + 1 for k in range(len(outer)) if k not in s.kept))
            own = np.broadcast_to(next(made), (self.lanes, *outer))
            with np.errstate(all="ignore"):
                environment[s.value][s.place] += own.sum(gone).reshape(s.shape)

    def _view(self, reach: Reach, environment: Environment) -> np.ndarray:
        array, shape = environment[reach.value], (self.lanes, *self.outer)
        strides = (reach.lane, *reach.outer)
        return np.ndarray(shape, array.dtype, array, reach.start, strides)


@dataclass(frozen=True, eq=False)
class New(Step):
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

    @property
    def made(self) -> list[tuple[int, int]]:
        """The arrays that it makes, and their bytes."""
        return [(self.value, self.bytes)]

    def run(self, environment: Environment) -> None:
        """Make it."""
        make: Callable[..., np.ndarray] = fresh.zeros if self.blank else fresh.empty
        environment[self.value] = make(self.shape, self.dtype)


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
class Compute(Step):
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

    @property
    def made(self) -> list[tuple[int, int]]:
        """The arrays that it makes, and their bytes."""
        return [(self.value, self.bytes)]

    def run(self, environment: Environment) -> None:
        """Call it."""
        with np.errstate(all="ignore"):
            made = self.statement.compute(*[v.of(environment) for v in self.views])
        dtype = self.statement.type.dtype
        environment[self.value] = np.asarray(made, dtype, order="C")


class Whole(Protocol):
    """All of a plan in one."""

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The results: new arrays."""
        ...


@dataclass(eq=False)
class Plan:
    """Steps in order, and which arrays are let go after each.

    given      the numbers of the inputs
    constants  the arrays that are always there
    types      of the results
    peak       bytes of new arrays that there are at a time
    prepare    makes it one program, or says None, once it has run often
    """

    steps: list[Step] = field(default_factory=list)
    drops: list[list[int]] = field(default_factory=list)
    given: Sequence[int] = ()
    constants: dict[int, np.ndarray] = field(default_factory=dict)
    outputs: tuple[int, ...] = ()
    types: tuple[Type, ...] = ()
    peak: int = 0
    prepare: Callable[[Plan], Whole | None] | None = None
    _program: Whole | None = None
    _runs: int = 0

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The results: new arrays.

        Raises MemoryError where this machine has less than that takes.
        """
        need_memory(self.peak)
        given = list(map(np.ascontiguousarray, inputs))
        self._runs += 1
        if self.prepare is not None and self._often():
            self._program, self.prepare = self.prepare(self), None
        if self._program is not None:
            return self._program.run(given)
        environment = self.constants | dict(zip(self.given, given, strict=True))
        self.follow(environment)
        return [environment[k] for k in self.outputs]

    def _often(self) -> bool:
        """Whether steps one by one have taken as long by now as to prepare them."""
        return self._runs > _RUNS and self._runs * len(self.steps) > _STEPS

    def follow(self, environment: Environment) -> None:
        """Run the steps."""
        for step, drops in zip(self.steps, self.drops, strict=True):
            step.run(environment)
            for value in drops:
                environment.pop(value, None)


def need_memory(size: int) -> None:
    """Raise MemoryError where this machine has less than a size in bytes."""
    if size > memory_bytes():
        raise MemoryError(
            f"expected at most {memory_bytes() / 1e9:,.1f} GB of new arrays, which "
            f"is what this process may have, but they take {size / 1e9:,.1f} "
            "GB at a time; compute with float32, with fewer elements, or with "
            "fewer steps that a derivative has to remember"
        )
