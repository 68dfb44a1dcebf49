"""Loops whose iterations do not need one another, as computations of whole arrays.

Such a loop reads elements of arrays, computes with them, and writes or adds what comes
out; where, is known from the number of the iteration alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jitad import tree
from jitad.ir.graph import CONST, Graph, Node, Type, arguments
from jitad.ir.interpret import value_of
from jitad.ir.loop import Loop
from jitad.ir.trace import Input, trace

# No more iterations than this are looked at.
_MOST = 1 << 20
_MANY, _FEW = 4096, 64


class DependentError(Exception):
    """Iterations need one another, or where they read is not known."""


def at_once(loop: Loop) -> Graph | None:
    """(carried …, shared …, arrays …) -> the parts of a loop but the last; or None."""
    plain = loop.head is None and not (loop.counted or loop.tables or loop.summed)
    if not plain or not 1 < loop.bound <= _MOST or any(loop.slices):
        return None
    # Most loops whose iterations need one another show it at their beginning.
    if loop.bound > _MANY and at_once(replace(loop, bound=_FEW)) is None:
        return None
    body = loop.body
    _, *kinds = body.input_types
    first = loop.carried + loop.shared
    rows = [Type(t.dtype, (loop.bound, *t.shape)) for t in kinds[first:]]
    inputs = [Input(t) for t in (*kinds[:first], *rows)]
    spec = tree.flatten((tuple(range(len(inputs))), {}))[1]

    def every(*operands: Any) -> list[Any]:
        return _Iterations(loop, operands).results()

    try:
        return trace(every, spec, inputs, plain=True).graph
    except DependentError:
        return None


class _Iterations:
    """The values of a body in all iterations, in the order in which these run.

    What differs from iteration to iteration has one leading axis.
    """

    def __init__(self, loop: Loop, operands: Sequence[Any]) -> None:
        self.loop, self.nodes, n = loop, loop.body.nodes, loop.bound
        order = np.arange(n)
        self.order = order[::-1] if loop.backwards else order
        _, carried, shared, slices, _ = loop.inputs
        self.carried = {i: k for k, i in enumerate(carried)}
        self.starts = operands[: loop.carried]
        self.values: dict[int, Any] = {loop.inputs.index: self.order}
        self.differs = {loop.inputs.index, *slices}
        given = operands[loop.carried :]
        self.values |= zip(shared, given, strict=False)
        for i, x in zip(slices, given[len(shared) :], strict=True):
            if self.nodes[i].type.shape:
                raise DependentError
            self.values[i] = x[::-1] if loop.backwards else x
        self.reads: list[tuple[int, np.ndarray]] = []
        self.writes: dict[int, tuple[int, np.ndarray, Any]] = {}

    def results(self) -> list[Any]:
        """What is carried out of the last iteration, and what each has written."""
        inputs = set(self.loop.body.inputs)
        for i, node in enumerate(self.nodes):
            if i in inputs:
                continue
            match node.primitive.name:
                case "gather":
                    self._gather(i, node)
                case "scatter":
                    self._scatter(i, node)
                case _:
                    self._evaluate(i, node)
        carried, written, _ = self.loop.outputs
        made = [self._carried(k, o) for k, o in enumerate(carried)]
        for k, places in self.reads:
            self._need_untouched(k, places)
        return [*made, *map(self._row, written)]

    def _evaluate(self, i: int, node: Node) -> None:
        """A node whose operands are known; what is carried is not."""
        if node.primitive is CONST:
            self.values[i] = node.value
            return
        if any(a not in self.values for a in node.operands):
            return
        if not self.differs.isdisjoint(node.operands):
            kinds = [self.nodes[a].type for a in (i, *node.operands)]
            if node.primitive.kind != "elementwise" or any(t.shape for t in kinds):
                raise DependentError
            self.differs.add(i)
        self.values[i] = value_of(node, [self.values[a] for a in node.operands])

    def _places(self, node: Node, indices: Sequence[int]) -> np.ndarray:
        """The element of an array that each iteration names."""
        params = arguments(node)
        found = [self.values.get(a) for a in indices]
        if np.shape(params["base"]) or not all(map(_is_known, found)):
            raise DependentError
        places: Any = np.asarray(params["base"])
        for index, (stride, extent) in zip(found, params["steps"], strict=True):
            index = np.asarray(index)
            if (index < 0).any() or (index >= extent).any():
                raise DependentError
            places = places + stride * index
        return np.broadcast_to(places, self.order.shape)

    def _gather(self, i: int, node: Node) -> None:
        x, *indices = node.operands
        places = self._places(node, indices)
        if x in self.carried:
            self.reads.append((self.carried[x], places))
            array = self.starts[self.carried[x]]
        elif x in self.values and x not in self.differs:
            array = self.values[x]
        else:
            raise DependentError
        self.values[i] = np.reshape(array, -1)[places]
        self.differs.add(i)

    def _scatter(self, i: int, node: Node) -> None:
        x, value, *indices = node.operands
        k = self.carried.get(x)
        if k is None or k in self.writes or value not in self.values:
            raise DependentError
        places = self._places(node, indices)
        met = np.zeros(int(np.prod(self.starts[k].shape)), bool)
        met[places] = True
        if np.count_nonzero(met) < len(places):
            raise DependentError
        self.writes[k] = i, places, self.values[value]

    def _carried(self, k: int, out: int) -> Any:
        """What is carried out of the last iteration."""
        start = self.starts[k]
        if self.carried.get(out) == k:
            return start
        if k in self.writes and self.writes[k][0] == out:
            _, places, value = self.writes[k]
            flat = np.reshape(start, -1).copy()
            flat[places] = value
            return np.reshape(flat, start.shape)
        terms = None if start.shape else self.loop.added(k)
        if terms is None or any(v not in self.values for v, _ in terms):
            raise DependentError
        for v, negated in terms:
            total = np.sum(self._row(v))
            start = start - total if negated else start + total
        return start

    def _need_untouched(self, k: int, places: np.ndarray) -> None:
        """What is read of what is carried must not have been written before."""
        if k not in self.writes:
            return
        n, size = len(self.order), int(np.prod(self.starts[k].shape))
        when = np.full(size, n)
        when[self.writes[k][1]] = np.arange(n)
        if (when[places] < np.arange(n)).any():
            raise DependentError

    def _row(self, i: int) -> Any:
        """A value of every iteration, in the order of their numbers."""
        if i not in self.values:
            raise DependentError
        value = self.values[i]
        if i not in self.differs:
            return np.broadcast_to(value, (self.loop.bound, *np.shape(value)))
        return value[::-1] if self.loop.backwards else value


def _is_known(index: Any) -> bool:
    return isinstance(index, np.ndarray | np.generic | int)
