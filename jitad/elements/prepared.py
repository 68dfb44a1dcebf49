"""From a loop whose body is kernels only to a program of launches.

What a body computes goes straight to where the next run reads it: two places by turns,
or the rows of an array, where what is carried is kept.  All other arrays of all bodies
share one piece of memory, by their lifetimes.  Start at `prepared`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitad.backends.cpu import fresh, launches, nest, rounds
from jitad.backends.cpu.launches import At, Block, Loop, Move, Program
from jitad.backends.cpu.threads import most_threads
from jitad.backends.cpu.tiers import Code
from jitad.backends.memory import address
from jitad.ir.graph import Type
from jitad.lowering.kernel import Argument
from jitad.lowering.llvm.arguments import HEADER, MODE, TILE, slots

from .memory import MEMORY, Memory, rounded
from .repeated import Repeated
from .running import Recur
from .steps import Environment, New, Plan, Run, Sum

# Shorter steps are not shared with other threads.
_ALONE_NANOSECONDS = 30_000.0
_SHARE_NANOSECONDS = 10_000.0
# Sums are added to so many stretches of an array at most.
_MOST_STRETCHES = 64
_KINDS = (np.dtype(np.float64), np.dtype(np.int64))


class UnpreparedError(Exception):
    """A loop has to be run step by step."""


@dataclass(frozen=True, eq=False)
class _Followed:
    """A program, and what it is run on beside what it is given.

    memory    bytes for arrays of bodies
    results   places of results
    codes     of kernels, which last as long as these
    """

    program: Program
    memory: int
    constants: Sequence[tuple[int, np.ndarray]]
    results: Sequence[int]
    codes: Sequence[Any]

    def follow(
        self, given: Iterable[tuple[int, np.ndarray]], made: Sequence[np.ndarray]
    ) -> None:
        """Run it on arrays at places, and write the results."""
        memory = fresh.aligned((max(self.memory, 1),), np.dtype(np.uint8))
        pairs = *given, *self.constants, *zip(self.results, made, strict=True)
        places = [(p, address(x)) for p, x in pairs]
        self.program.run([(MEMORY, address(memory)), *places])


@dataclass(frozen=True, eq=False)
class Prepared(_Followed):
    """A loop as a program.

    given    places of its operands
    longer   results that have a row more than they show
    settled  whether the codes are the best that there will be
    """

    statement: Repeated
    given: Mapping[int, int]
    longer: frozenset[int]
    settled: bool

    def run(self, environment: Environment) -> list[np.ndarray]:
        """The results."""
        statement = self.statement
        lead, *_ = statement.given()
        rows = statement.bound
        if lead:
            rows = min(rows, max(0, int(environment[lead[0]])))
        made, arrays = [], []
        for n, type in enumerate(statement.types):
            shape = type.shape
            if statement.carried <= n < len(self.results) - 1:
                shape = (rows + (n in self.longer), *shape[1:])
            array = fresh.empty(shape, type.dtype)
            arrays.append(array)
            if n in self.longer:
                array = array[1:] if statement.backwards else array[:-1]
            made.append(array)
        self.follow([(p, environment[x]) for x, p in self.given.items()], arrays)
        return made


def prepared(
    statement: Repeated, body: Plan, head: Plan | None, nested: Any, *, settled: bool
) -> Prepared:
    """The program of a loop.

    nested   the class of steps that are loops
    settled  whether to wait for the best code, however often that runs
    Raises UnpreparedError where it is more than kernels and loops of these.
    """
    if statement.head is not None and len(statement.types) > statement.carried + 1:
        raise UnpreparedError
    made = _Preparing(nested, settled)
    given = {x: made.place() for x in dict.fromkeys(statement.operands)}
    places = {x: At(p) for x, p in given.items()}
    results = [made.place() for _ in statement.types]
    homes = [At(p) for p in results]
    loop = made.loop(statement, body, head, places, homes)
    program = Program(loop, made.count)
    return Prepared(
        program, made.memory.most, made.constants, results, made.codes,
        statement, given, frozenset(kept(statement).values()), made.settled,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Straight(_Followed):
    """A plan as one program.

    given  the places of its inputs
    types  of its results
    """

    given: Sequence[int]
    types: Sequence[Type]

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The results: new arrays."""
        made = [fresh.empty(t.shape, t.dtype) for t in self.types]
        self.follow(zip(self.given, inputs, strict=True), made)
        return made


def straight(plan: Plan, nested: Any) -> Straight | None:
    """The program of a plan; None where it is more than kernels and loops of these.

    nested  the class of steps that are loops
    """
    made = _Preparing(nested, settled=True)
    given = [made.place() for _ in plan.given]
    results = [made.place() for _ in plan.outputs]
    loop = Loop(index=made.memory.take(8), steps=made.memory.take(8))
    places = dict(zip(plan.given, map(At, given), strict=True))
    try:
        loop.body, loop.nanoseconds, _ = made.section(
            plan, places, list(map(At, results))
        )
    except UnpreparedError:
        return None
    program = Program(loop, made.count)
    return Straight(
        program, made.memory.most, made.constants, results, made.codes,
        given, plan.types,
    )  # fmt: skip


class _Preparing:
    """Places and memory so far."""

    def __init__(self, nested: Any, settled: bool) -> None:
        self.nested, self.count = nested, MEMORY + 1
        # How often what is met now runs at most; and the codes, the best if so it is.
        self.times, self.wait, self.settled = 1, settled, True
        self.codes: list[Any] = []
        self.memory = Memory()
        self.constants: list[tuple[int, np.ndarray]] = []

    def place(self) -> int:
        """A new place in the table."""
        self.count += 1
        return self.count - 1

    def loop(
        self,
        statement: Repeated,
        body: Plan,
        head: Plan | None,
        places: Mapping[int, At],
        homes: Sequence[At],
    ) -> Loop:
        """A loop.

        places  of its operands
        homes   of its results; where what is carried is kept there is a row more
        """
        lead, starts, shared, arrays = statement.given()
        index, inner, own, slices = statement.entering()
        count, backwards = statement.carried, statement.backwards
        types, taken = statement.body.types, []

        def take(size: int) -> At:
            taken.append((self.memory.take(size), size))
            return taken[-1][0]

        loop = Loop(statement.bound, backwards=backwards, index=take(8))
        loop.count = places[lead[0]] if lead else 0
        loop.steps = homes[-1]
        assert isinstance(loop.index, At)
        inside = {index[0]: loop.index}
        inside |= {i: places[x] for i, x in zip(own, shared, strict=True)}
        for i, x in zip(slices, arrays, strict=True):
            inside[i] = self._moving(loop, places[x], _bytes(types[i]))
        known, ends = kept(statement), list[At]()
        for k, (i, x) in enumerate(zip(inner, starts, strict=True)):
            size = _bytes(types[i])
            if k in known:
                here, there = int(backwards), int(not backwards)
                first = homes[known[k]]
                inside[i] = self._moving(loop, first, size, here)
                ends.append(self._moving(loop, first, size, there))
            else:
                first, step = take(2 * rounded(size)), rounded(size)
                inside[i] = self._moving(loop, first, step, 0, turns=True)
                ends.append(self._moving(loop, first, step, 1, turns=True))
            loop.before.append(launches.copy(inside[i], places[x], size))
            loop.after.append(launches.copy(homes[k], inside[i], size))
        for n, home in enumerate(homes[count:-1], count):
            if n not in known.values():
                ends.append(self._moving(loop, home, _bytes(types[body.outputs[n]])))
            else:
                ends.append(inside[body.outputs[n]])
        self.times *= max(1, statement.bound)
        heads = {i: inside[i] for i in (index[0], *inner, *own)}
        if head is not None:
            pairs = zip(head.given, heads.values(), strict=True)
            loop.head, cost, (loop.flag,) = self.section(head, dict(pairs), None)
            loop.nanoseconds += cost
        loop.body, cost, _ = self.section(body, inside, ends)
        loop.nanoseconds += cost
        self.times //= max(1, statement.bound)
        for at, size in taken:
            self.memory.give(at, size)
        return loop

    def _moving(
        self, loop: Loop, base: At, stride: int, shift: int = 0, *, turns: bool = False
    ) -> At:
        """A place that moves by a stride with each run, or to and fro."""
        place = self.place()
        mask = 1 if turns else -1
        loop.moves.append(Move(place, base, stride, shift, mask, turns))
        return At(place)

    def section(
        self, plan: Plan, places: dict[int, At], ends: Sequence[At] | None
    ) -> tuple[list[Any], float, list[At]]:
        """The operations of a plan, the time that they take, and where its results are.

        places  of its inputs
        ends    where its results have to be; None: anywhere
        """
        for v, x in plan.constants.items():
            self.constants.append((self.place(), x))
            places[v] = At(self.constants[-1][0])
        homes: dict[int, At] = {}
        for o, end in zip(plan.outputs, ends or (), strict=False):
            homes.setdefault(o, end)
        made: list[Any] = []
        cost, owned = 0.0, dict[int, tuple[At, int]]()
        shapes: dict[int, tuple[int, ...]] = {}

        def take(v: int, size: int) -> At:
            owned[v] = self.memory.take(size), size
            return owned[v][0]

        for step, drops in zip(plan.steps, plan.drops, strict=True):
            if isinstance(step, New):
                v = step.value
                places[v] = homes[v] if v in homes else take(v, step.bytes)
                shapes[v] = step.shape
                if step.blank:
                    made.append(launches.fill(places[v], step.bytes))
            elif isinstance(step, Run):
                own, each = self._run(step, places, shapes)
                made += own
                cost += each
            elif isinstance(step, self.nested):
                made.append(self._nested(step, places, homes, take))
            elif isinstance(step, Recur):
                made += self._recur(step, places, homes, take)
                cost += step.nanoseconds
            else:
                raise UnpreparedError
            for v in drops:
                if v in owned:
                    self.memory.give(*owned.pop(v))
        for o, end, type in zip(plan.outputs, ends or (), plan.types, strict=False):
            if places[o] != end:
                made.append(launches.copy(end, places[o], _bytes(type)))
        for at, size in owned.values():
            self.memory.give(at, size)
        return made, cost, [places[o] for o in plan.outputs]

    def _nested(
        self, step: Any, places: dict[int, At], homes: Mapping[int, At], take: Any
    ) -> Loop:
        """A loop in a loop."""
        statement: Repeated = step.statement
        count, more = statement.carried, set(kept(statement).values())
        if not statement.sized and len(step.results) > count + 1:
            raise UnpreparedError
        there = []
        for n, ((y, size), type) in enumerate(
            zip(step.made, statement.types, strict=True)
        ):
            if n in more:
                row = size // max(type.shape[0], 1) if size else 0
                there.append(take(y, size + row))
                backwards = statement.backwards
                places[y] = there[-1].behind(row) if backwards else there[-1]
                continue
            places[y] = homes[y] if y in homes else take(y, size)
            there.append(places[y])
        return self.loop(statement, step.body, step.head, places, there)

    def _recur(
        self, step: Recur, places: dict[int, At], homes: Mapping[int, At], take: Any
    ) -> list[Any]:
        """A loop of numbers, on memories that are results or its own."""
        statement = step.statement
        given, written = statement.given, statement.written
        results, made, there = iter(step.results), list[Any](), list[At]()
        own: list[tuple[At, int]] = []
        for k, memory in enumerate(statement.memories):
            size = _bytes(memory.type)
            if k in given and k not in written:
                there.append(places[given[k]])
                continue
            if memory.kept:
                y = next(results)
                at = places[y] = homes[y] if y in homes else take(y, size)
            else:
                at = self.memory.take(size)
                own.append((at, size))
            if k in given:
                made.append(launches.copy(at, places[given[k]], size))
            elif memory.source == "zeros":
                made.append(launches.fill(at, size))
            there.append(at)
        there += [places[x] for x in statement.operands[: len(statement.numbers)]]
        for y, v in zip(results, statement.outputs, strict=True):
            places[y] = (
                homes[y] if y in homes else take(y, statement.dtypes[v].itemsize)
            )
            there.append(places[y])
        block = Block([*[0] * HEADER, At(launches.OWN), *there])
        made.append(launches.tiles(step.address, block, 0, shared=False))
        self.codes.append(step.code)
        for at, size in own:
            self.memory.give(at, size)
        return made

    def _run(
        self,
        step: Run,
        places: Mapping[int, At],
        shapes: Mapping[int, tuple[int, ...]],
    ) -> tuple[list[Any], float]:
        """A kernel over a box, and the time that it takes."""
        executable, lanes = step.ready(), step.lanes
        if any(b.layout == "lines" for b in executable.buffers) or executable.watched:
            raise UnpreparedError
        arguments = [Argument(0, (r.lane,)) for r in step.reaches]
        arguments += [Argument(0, (0,)) for _ in step.sums]
        words: list[Any] = executable.block((lanes,), arguments).tolist()
        there = [places[r.value].behind(r.start) for r in step.reaches]
        rows = math.prod(step.outer)
        groups = rows if step.outer else -(-lanes // executable.sum_shape(lanes)[1])
        made: list[Any] = []
        partials: list[tuple[At, int]] = []
        for s in step.sums:
            if s.dtype not in _KINDS:
                raise UnpreparedError
            size = groups * executable.width * s.dtype.itemsize
            partials.append((self.memory.take(size), size))
            made.append(launches.fill(partials[-1][0], size))
        there += [at for at, _ in partials]
        for k, at in enumerate(there):
            words[slots(executable.outline, k).address] = at
        each = executable.outline.work.nanoseconds((lanes,)) * lanes
        whole = (each + nest.ROW_NANOSECONDS) * rows if step.outer else each
        shared = whole > _ALONE_NANOSECONDS and not step.alone
        code = self._code(executable, whole * self.times / 1e9)
        if step.outer:
            words[TILE] = max(lanes, 1)
            made.append(self._rows(step, code, words, whole / rows, shared))
        elif step.sums:
            words[TILE] = executable.sum_shape(lanes)[1]
            words[MODE] = executable.mode((lanes,), arguments)
            block = Block(words)
            made.append(launches.tiles(code.tiles, block, lanes, shared=shared))
        else:
            words[MODE] = executable.mode((lanes,), arguments)
            words[TILE] = rounds.tile(
                whole / lanes, lanes, most_threads(), _SHARE_NANOSECONDS
            )
            made.append(
                launches.tiles(code.tiles, Block(words), lanes, shared=True)
                if shared
                else launches.entry(code.address, Block(words), lanes)
            )
        for s, (at, size) in zip(step.sums, partials, strict=True):
            made += _folds(step, s, at, places[s.value], shapes[s.value], executable)
            self.memory.give(at, size)
        return made, whole

    def _code(self, executable: Any, seconds: float) -> Code:
        """The code of a kernel that runs so long in all."""
        tiers = executable.tiers
        self.codes.append(
            tiers.code(stays=True) if self.wait else tiers.planned(seconds)
        )
        self.settled &= tiers.settled
        return self.codes[-1]

    def _rows(
        self, step: Run, code: Code, words: list[Any], each: float, shared: bool
    ) -> Any:
        """The launch of a kernel for all indices of outer axes."""
        executable, rows = step.ready(), math.prod(step.outer)
        steps = [r.outer for r in step.reaches]
        steps += [_partial_steps(step, s, executable.width) for s in step.sums]
        threads = most_threads() if shared else 1
        size = max(1, min(int(_SHARE_NANOSECONDS / each), rows // (4 * threads)))
        own = nest.words(
            executable, step.lanes, step.outer, Block(words), 8 * len(words), steps
        )
        own[TILE], own[nest.KERNEL] = size if shared else rows, code.address
        return launches.tiles(nest.address(), Block(own), rows, shared=shared)


def kept(statement: Repeated) -> dict[int, int]:
    """Which carried values are results of each run, and the numbers of these."""
    _, inner, _, _ = statement.entering()
    found = dict[int, int]()
    outputs = statement.body.outputs
    for n in range(statement.carried, len(outputs)):
        if outputs[n] in inner:
            found.setdefault(inner.index(outputs[n]), n)
    return found


def _bytes(type: Type) -> int:
    return type.size * type.dtype.itemsize


def _partial_steps(step: Run, own: Sum, width: int) -> list[int]:
    """The bytes between partial sums along outer axes: those that go come first."""
    axes = range(len(step.outer))
    order = [k for k in axes if k not in own.kept] + list(own.kept)
    found, size = [0] * len(step.outer), width * own.dtype.itemsize
    for k in reversed(order):
        found[k] = size
        size *= step.outer[k]
    return found


def _folds(
    step: Run,
    own: Sum,
    partial: At,
    target: At,
    shape: tuple[int, ...],
    executable: Any,
) -> list[Any]:
    """What adds partial sums to elements of an array, stretch by stretch."""
    width, item = executable.width, own.dtype.itemsize
    elements = math.prod(own.shape)
    if step.outer:
        rows = math.prod(step.outer) // elements
    else:
        rows = -(-step.lanes // executable.sum_shape(step.lanes)[1])
    place = np.arange(math.prod(shape)).reshape(shape)[own.place].reshape(-1)
    cuts = [0, *(np.flatnonzero(np.diff(place) != 1) + 1).tolist(), elements]
    if len(cuts) > _MOST_STRETCHES:
        raise UnpreparedError
    whole = own.dtype.kind != "f"
    return [
        launches.fold(
            partial.behind(a * width * item), target.behind(int(place[a]) * item),
            rows, b - a, elements * width, width, whole=whole,
        )
        for a, b in itertools.pairwise(cuts)
    ]  # fmt: skip
