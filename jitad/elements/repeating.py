"""How a loop over large arrays runs: the steps of its body, again and again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from jitad.backends.cpu import fresh
from jitad.ir.graph import Type

from .prepared import Prepared, UnpreparedError, prepared
from .repeated import Repeated
from .steps import Environment, Plan, Step, need_memory

# Seconds that code runs which was made quickly, before better code is made.
_PATIENCE = 0.1


@dataclass(eq=False)
class Repeat(Step):
    """A loop whose body is a plan.

    results      the numbers of its results
    program      the whole loop as one, if that can be
    interpreted  whether NumPy computes all
    """

    statement: Repeated
    body: Plan
    head: Plan | None
    results: Sequence[int]
    program: Prepared | None = None
    interpreted: bool = False
    _seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.interpreted:
            return
        with suppress(UnpreparedError):
            self.program = self._prepared(settled=False)

    @property
    def touched(self) -> list[int]:
        """The arrays that it reads or makes."""
        return [*self.statement.operands, *self.results]

    @property
    def made(self) -> list[tuple[int, int]]:
        """The arrays that it makes, and their bytes; of unknown lengths they are 0."""
        types, carried = self.statement.types, self.statement.carried
        if not self.statement.sized:
            types[carried:-1] = [Type(t.dtype, (0,)) for t in types[carried:-1]]
        sizes = [t.size * t.dtype.itemsize for t in types]
        return list(zip(self.results, sizes, strict=True))

    @property
    def beside(self) -> int:
        """The bytes that it needs while it runs."""
        return self.body.peak if self.program is None else self.program.memory

    def run(self, environment: Environment) -> None:
        """Run the body as often as it is asked for."""
        program = self.program
        if program is None:
            self._follow(environment)
            return
        self._need_memory(environment)
        start = time.perf_counter()
        made = program.run(environment)
        environment |= zip(self.results, made, strict=True)
        if not program.settled:
            self._seconds += time.perf_counter() - start
            if self._seconds > _PATIENCE:
                self.program = self._prepared(settled=True)

    def _prepared(self, *, settled: bool) -> Prepared:
        statement, body, head = self.statement, self.body, self.head
        return prepared(statement, body, head, Repeat, settled=settled)

    def _follow(self, environment: Environment) -> None:
        """Run it step by step."""
        statement, body = self.statement, self.body
        _, starts, shared, arrays = statement.given()
        steps = self._need_memory(environment)
        index, inner, own, slices = statement.entering()
        common = {i: environment[x] for i, x in zip(own, shared, strict=True)}
        common |= body.constants
        carried = [environment[x] for x in starts]
        rows = [environment[x] for x in arrays]
        written = self._rows(steps)
        done = 0
        for k in reversed(range(steps)) if statement.backwards else range(steps):
            place = np.array(k)
            if self.head is not None and not self._goes_on(place, carried, environment):
                break
            now = dict(common)
            now[index[0]] = place
            now |= zip(inner, carried, strict=True)
            now |= {i: x[k, ...] for i, x in zip(slices, rows, strict=True)}
            body.follow(now)
            outputs = [now[o] for o in body.outputs]
            carried = outputs[: statement.carried]
            for row, value in zip(written, outputs[statement.carried :], strict=True):
                row[k] = value
            done += 1
        given = {id(environment[x]) for x in starts}
        carried = [x.copy() if id(x) in given else x for x in carried]
        for y, x in zip(
            self.results, (*carried, *written, np.array(done)), strict=True
        ):
            environment[y] = x

    def _goes_on(
        self, place: np.ndarray, carried: list[np.ndarray], environment: Environment
    ) -> bool:
        """Whether the head says so."""
        head, statement = self.head, self.statement
        assert head is not None
        _, _, shared, _ = statement.given()
        values = [place, *carried, *[environment[x] for x in shared]]
        now = dict(head.constants)
        now |= zip(head.given, values, strict=True)
        head.follow(now)
        return bool(now[head.outputs[0]])

    def _need_memory(self, environment: Environment) -> int:
        """How often it runs at most; what each run leaves must fit into memory."""
        statement = self.statement
        lead, steps = statement.given().lead, statement.bound
        if lead:
            steps = min(steps, max(0, int(environment[lead[0]])))
        if not statement.sized:
            types = statement.types[statement.carried : -1]
            each = sum(t.size // max(t.shape[0], 1) * t.dtype.itemsize for t in types)
            need_memory(each * steps)
        return steps

    def _rows(self, steps: int) -> list[np.ndarray]:
        """New arrays for what each run writes."""
        types = self.statement.types[self.statement.carried : -1]
        shapes = [(steps, *t.shape[1:]) for t in types]
        return [
            fresh.empty(shape, t.dtype) for shape, t in zip(shapes, types, strict=True)
        ]
