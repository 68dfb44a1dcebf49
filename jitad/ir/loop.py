"""Loops as nodes: a body of its own, carried values, and arrays read and written.

    loop   (count?, carried …, shared …, arrays …, tables …)
           -> parts: carried …, written …, summed …, steps
    part   one of them

In an array graph the values are arrays; in a scalar graph they are scalars, and an
array is read one scalar at an iteration.  There a body also reads elements of whole
arrays, its tables, and what is summed are arrays.  `run` says what a loop means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from jitad.process.locks import cached_property

from .graph import Builder, Graph, Static, Type, scalar
from .primitive import Primitive, registry

INT = np.dtype(np.int64)
LIMIT = 10_000_000  # iterations of a loop that has no bound of its own


def control(name: str) -> Primitive:
    """A primitive whose node holds graphs of its own."""

    def evaluate(*_: Any, **__: Any) -> Any:
        raise AssertionError(f"{name} is evaluated by the interpreter")

    return registry.add(Primitive(name, "control", evaluate, cost=0))


LOOP = control("loop")
PART = control("part")


T = TypeVar("T")


class Operands(NamedTuple, Generic[T]):
    """What belongs to the operands of a loop; count is None where it has none."""

    count: T | None
    carried: Sequence[T]
    shared: Sequence[T]
    arrays: Sequence[T]
    tables: Sequence[T]

    @property
    def counts(self) -> list[T]:
        """The count in a list, which is empty where there is none."""
        return [] if self.count is None else [self.count]


class Inputs(NamedTuple, Generic[T]):
    """What belongs to the inputs of a loop's body; a head has the first three kinds."""

    index: T
    carried: Sequence[T]
    shared: Sequence[T]
    slices: Sequence[T]
    tables: Sequence[T]


class Outputs(NamedTuple, Generic[T]):
    """What belongs to the outputs of a loop's body, or to the parts but the steps."""

    carried: Sequence[T]
    written: Sequence[T]
    summed: Sequence[T]


@dataclass(frozen=True, eq=False)
class Loop:
    """What is repeated, and how often.

    body       (index, carried …, shared …, slices …, tables …)
               -> (carried …, written …, summed …)
    head       (index, carried …, shared …) -> whether to go on; None: always
    carried    how many values go from iteration to iteration
    shared     how many values are the same in all of them
    slices     for every array how it is read in iteration i: None, its leading axis;
               (offset, stride), the scalar offset + i stride
    written    how many values every iteration leaves in an array
    tables     how many arrays all iterations have in common
    summed     how many arrays of every iteration are added up, beginning from zero
    bound      no more iterations than this
    counted    whether the first operand is the number of iterations
    backwards  the last iteration first; then there is no head
    apart      loops of different numbers are not run as one, though they could be
    """

    body: Graph
    carried: int
    shared: int
    slices: tuple[tuple[int, int] | None, ...] = ()
    written: int = 0
    head: Graph | None = None
    bound: int = LIMIT
    counted: bool = False
    backwards: bool = False
    apart: int = 0
    tables: int = 0
    summed: int = 0

    @cached_property
    def text(self) -> str:
        """Canonical text, in one line."""
        parts = [f"{self.carried} carried", f"{self.shared} shared"]
        parts.append(f"slices {self.slices}")
        parts.append(f"at most {self.bound}")
        parts += ["counted"] if self.counted else []
        parts += ["backwards"] if self.backwards else []
        parts += [f"apart {self.apart}"] if self.apart else []
        parts += [f"{self.tables} tables"] if self.tables else []
        parts += [f"{self.summed} summed"] if self.summed else []
        graphs = [f"body {{{_one_line(self.body)}}}"]
        if self.head is not None:
            graphs.append(f"head {{{_one_line(self.head)}}}")
        return ", ".join([*parts, *graphs])

    @cached_property
    def adds(self) -> bool:
        """Whether all that happens to what is carried is that it is added to.

        What is written or summed does not look at it either.  Then iterations do not
        depend on each other, and may come in any order.
        """
        if self.head is not None:
            return False
        _, written, summed = self.outputs
        if not self.depending.isdisjoint((*written, *summed)):
            return False
        return all(self.added(k) is not None for k in range(self.carried))

    def added(self, k: int) -> list[tuple[int, bool]] | None:
        """The terms that an iteration adds to carried value k, and which are negated.

        None where it does anything else, or where they depend on what is carried.
        """
        nodes, start = self.body.nodes, self.inputs.carried[k]
        terms: list[tuple[int, bool]] = []
        v = self.outputs.carried[k]
        while v != start:
            name, operands = nodes[v].primitive.name, nodes[v].operands
            before = [a for a in operands if a in self.depending]
            if name not in ("add", "sub") or len(before) != 1:
                return None
            side = operands.index(before[0])
            if name == "sub" and side:
                return None
            terms.append((operands[1 - side], name == "sub"))
            v = before[0]
        return terms[::-1]

    @cached_property
    def depending(self) -> frozenset[int]:
        """The nodes of the body that depend on what is carried."""
        found = set(self.inputs.carried)
        for i, node in enumerate(self.body.nodes):
            if not found.isdisjoint(node.operands):
                found.add(i)
        return frozenset(found)

    def __str__(self) -> str:
        return self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loop) and self.text == other.text

    def split(self, operands: Sequence[T]) -> Operands[T]:
        """What belongs to operands, by their kinds."""
        count = operands[0] if self.counted else None
        first = int(self.counted)
        return Operands(count, *self._behind(operands, first))

    def entering(self, values: Sequence[T]) -> Inputs[T]:
        """What belongs to the inputs of the body or of the head, by their kinds."""
        return Inputs(values[0], *self._behind(values, 1))

    def leaving(self, values: Sequence[T]) -> Outputs[T]:
        """What belongs to the outputs of the body, or to parts, by their kinds."""
        a, b = self.carried, self.carried + self.written
        return Outputs(values[:a], values[a:b], values[b : b + self.summed])

    def _behind(self, values: Sequence[T], first: int) -> tuple[Sequence[T], ...]:
        a = first + self.carried
        b = a + self.shared
        c = b + len(self.slices)
        return values[first:a], values[a:b], values[b:c], values[c:]

    @cached_property
    def inputs(self) -> Inputs[int]:
        """The inputs of the body."""
        return self.entering(self.body.inputs)

    @cached_property
    def outputs(self) -> Outputs[int]:
        """The outputs of the body."""
        return self.leaving(self.body.outputs)

    @property
    def numbers(self) -> Outputs[int]:
        """The numbers of the parts."""
        return self.leaving(range(len(self.body.outputs)))

    def types(self) -> list[Type]:
        """The types of the parts."""
        carried, written, summed = self.leaving(self.body.output_types)
        arrays = [Type(t.dtype, (self.bound, *t.shape)) for t in written]
        return [*carried, *arrays, *summed, scalar(INT)]


def _one_line(graph: Graph) -> str:
    inputs = ", ".join(f"%{i}" for i in graph.inputs)
    return f"({inputs}) " + "; ".join(graph.text.splitlines())


def loop_of(node: Any) -> Loop:
    """What the node of a loop repeats."""
    return node.value


def parts_of(
    builder: Builder, node: int, types: Sequence[Type], line: str = ""
) -> list[int]:
    """The parts of a node that has several results, of these types."""
    return [
        builder.add(PART, (node,), type, (("number", k),), line)
        for k, type in enumerate(types)
    ]


def add_loop(
    builder: Builder, loop: Loop, operands: Sequence[int], line: str = ""
) -> list[int]:
    """The parts of a new loop in a graph: carried, written, summed, steps."""
    params = (("repeat", Static(loop)),)
    node = builder.add(LOOP, tuple(operands), scalar(INT), params, line)
    return parts_of(builder, node, loop.types(), line)


Evaluate = Callable[[Graph, Sequence[Any]], list[Any]]


def run(
    loop: Loop, operands: Sequence[Any], evaluate: Evaluate, batch: tuple[int, ...]
) -> list[Any]:
    """The parts, by iterating: every point of the batch runs its own number of times.

    evaluate  runs a graph on values with the batch's leading axes
    """
    count, carried, shared, arrays, tables = loop.split(operands)
    limit = loop.bound
    if count is not None:
        limit = min(limit, int(np.max(count, initial=0)))
    active = np.ones(batch, bool)
    steps = np.zeros(batch, np.int64)
    _, *types = loop.leaving(loop.types())
    written, summed = ([_blank(t, batch) for t in own] for own in types)
    for i in range(limit):
        index = np.int64(limit - 1 - i if loop.backwards else i)
        at = np.broadcast_to(index, batch)
        if loop.head is not None:
            (alive,) = evaluate(loop.head, [at, *carried, *shared])
            active = active & alive
        now = active if count is None else active & (index < count)
        if not now.any():
            break
        slices = [
            _slice(x, s, index, len(batch))
            for x, s in zip(arrays, loop.slices, strict=True)
        ]
        outputs = evaluate(loop.body, [at, *carried, *shared, *slices, *tables])
        made = loop.leaving(outputs)
        carried = [
            _chosen(now, new, old)
            for new, old in zip(made.carried, carried, strict=True)
        ]
        steps = steps + now
        summed = [
            _chosen(now, old + value, old)
            for value, old in zip(made.summed, summed, strict=True)
        ]
        for array, value in zip(written, made.written, strict=True):
            place = (slice(None),) * len(batch) + (int(index),)
            array[place] = value
    return [*carried, *written, *summed, steps if batch else steps[()]]


def _blank(type: Type, batch: tuple[int, ...]) -> np.ndarray:
    return np.zeros((*batch, *type.shape), type.dtype)


def _chosen(mask: np.ndarray, new: Any, old: Any) -> Any:
    shape = np.broadcast_shapes(np.shape(new), np.shape(old))
    wide = mask.reshape(mask.shape + (1,) * (len(shape) - mask.ndim))
    return np.where(wide, new, old)


def _slice(x: Any, how: tuple[int, int] | None, index: Any, batch: int) -> Any:
    """What iteration `index` reads of an array with `batch` leading axes."""
    before = (slice(None),) * batch
    if how is None:
        return x[(*before, int(index))]
    offset, stride = how
    flat = x.reshape((*x.shape[:batch], -1))
    return flat[(*before, offset + int(index) * stride)]
