"""How a loop over large arrays runs: the steps of its body, again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jitad.backends.cpu import fresh
from jitad.ir.graph import Type

from .repeated import Repeated
from .steps import Environment, Plan, need_memory


@dataclass(frozen=True, eq=False)
class Repeat:
    """A loop whose body is a plan.

    results  the numbers of its results
    """

    statement: Repeated
    body: Plan
    head: Plan | None
    results: Sequence[int]

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
        return self.body.peak

    def run(self, environment: Environment) -> None:
        """Run the body as often as it is asked for."""
        statement, body = self.statement, self.body
        lead, starts, shared, arrays = statement.given()
        steps = statement.bound
        if lead:
            steps = min(steps, max(0, int(environment[lead[0]])))
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

    def _rows(self, steps: int) -> list[np.ndarray]:
        """New arrays for what each run writes."""
        types = self.statement.types[self.statement.carried : -1]
        shapes = [(steps, *t.shape[1:]) for t in types]
        if not self.statement.sized:
            each = sum(t.size // max(t.shape[0], 1) * t.dtype.itemsize for t in types)
            need_memory(each * steps)
        return [
            fresh.empty(shape, t.dtype) for shape, t in zip(shapes, types, strict=True)
        ]
