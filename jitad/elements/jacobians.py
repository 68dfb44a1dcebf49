"""Jacobians of large arrays: a loop over the rows or the columns, whichever are fewer.

Of the values that all rows need each is computed once; what a run computes is one
product with a unit vector.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitad.ir.graph import Type, scalar
from jitad.ir.loop import INT

from .derive import pull, push
from .flow import Flow, Moved, Statement, read
from .library import UnfitError
from .loops import zeros
from .repeated import Repeated
from .windows import Window, c_steps


def jacobian(
    flow: Flow, outputs: Sequence[int], wrt: Sequence[int], since: int, mode: str
) -> list[int]:
    """∂y/∂x of every output in every value of wrt, of y's shape, then x's.

    since  the number of the first value that may depend on those in wrt
    mode   "forward", "reverse", or "": the one with fewer runs
    """
    if len({flow.types[v].dtype for v in (*outputs, *wrt)}) > 1:
        raise UnfitError("precisions")
    rows, columns = (_count(flow, values) for values in (outputs, wrt))
    if not rows or not columns:
        return [
            zeros(flow, _block(flow.types[y], flow.types[x]))
            for y in outputs
            for x in wrt
        ]
    if mode == "reverse" or (not mode and rows < columns):
        return _by_rows(flow, outputs, wrt, since)
    return _by_columns(flow, outputs, wrt, since)


def _count(flow: Flow, values: Sequence[int]) -> int:
    return sum(flow.types[v].size for v in values)


def _block(y: Type, x: Type) -> Type:
    return Type(x.dtype, (*y.shape, *x.shape))


def _by_rows(
    flow: Flow, outputs: Sequence[int], wrt: Sequence[int], since: int
) -> list[int]:
    body, index = _opened(flow)
    seeds = list(zip(outputs, _units(body, index, outputs), strict=True))
    slopes = pull(body, seeds, wrt, since)
    _record_once(flow, body)
    made = _run(flow, body, index, since, slopes, outputs)
    found, first = [], 0
    for y in outputs:
        for x, rows in zip(wrt, made, strict=True):
            own = _block(flow.types[y], flow.types[x])
            start = first * flow.types[x].size
            found.append(flow.seen(rows, Window(own.shape, start, c_steps(own.shape))))
        first += flow.types[y].size
    return found


def _by_columns(
    flow: Flow, outputs: Sequence[int], wrt: Sequence[int], since: int
) -> list[int]:
    body, index = _opened(flow)
    dots = push(body, dict(zip(wrt, _units(body, index, wrt), strict=True)), since)
    slopes = [dots[y] if y in dots else zeros(body, body.types[y]) for y in outputs]
    made = _run(flow, body, index, since, slopes, wrt)
    found = []
    for y, columns in zip(outputs, made, strict=True):
        type, first = flow.types[y], 0
        for x in wrt:
            shape = flow.types[x].shape
            steps = [step * type.size for step in c_steps(shape)]
            window = Window(
                (*type.shape, *shape), first * type.size, (*c_steps(type.shape), *steps)
            )
            found.append(flow.seen(columns, window))
            first += flow.types[x].size
    return found


def _opened(flow: Flow) -> tuple[Flow, int]:
    """A flow that goes on from another, and an index."""
    body = flow.copy()
    return body, body.new(scalar(INT))


def _record_once(flow: Flow, body: Flow) -> None:
    """Let loops of a flow leave what its continuation lets them leave, for all rows."""
    own = {results[-1]: k for k, results in enumerate(flow.results)}
    flow.types += body.types[len(flow.types) :]
    for statement, results in zip(body.statements, body.results, strict=True):
        k = own.get(results[-1])
        before = None if k is None else flow.statements[k]
        if k is None or statement is before or not isinstance(before, Repeated):
            continue
        if isinstance(statement, Repeated) and statement.operands == before.operands:
            flow.statements[k], flow.results[k] = statement, results


def _units(body: Flow, index: int, values: Sequence[int]) -> list[int]:
    """Unit vectors over all elements of some values: the one that index names."""
    found, first = [], 0
    for v in values:
        type = body.types[v]
        places = np.arange(first, first + type.size).reshape(type.shape)
        place = body.constant(places) if type.shape else body.number(first, INT)
        found.append(body.mapped(_unit(type.dtype), [place, index], type))
        first += type.size
    return found


def _unit(dtype: np.dtype) -> Any:
    one, zero = dtype.type(1), dtype.type(0)
    return lambda place, index: np.where(place == index, one, zero)


def _run(
    flow: Flow,
    body: Flow,
    index: int,
    since: int,
    made: Sequence[int],
    along: Sequence[int],
) -> list[int]:
    """The loop that makes some values of a body once for each element along others.

    since  the first value that the loop may make; it makes what the flow does not
    """
    there = {id(statement) for statement in flow.statements}
    wanted, own = set(made), []
    for k in reversed(range(len(body.statements))):
        if wanted.isdisjoint(body.results[k]):
            continue
        if id(body.statements[k]) not in there or (
            min(body.results[k]) >= since and _is_cheap(body.statements[k])
        ):
            own.append(k)
            wanted.difference_update(body.results[k])
            wanted.update(read(body.statements[k]))
    own.reverse()
    shared = sorted(wanted - body.constants.keys() - {index})
    assert {*flow.inputs, *itertools.chain(*flow.results)}.issuperset(shared)
    body.inputs, body.outputs = [index, *shared], tuple(made)
    body.statements, body.results = (
        [some[k] for k in own] for some in (body.statements, body.results)
    )
    count = _count(flow, along)
    loop = Repeated(body, tuple(shared), 0, len(shared), count)
    return flow.add(loop)[:-1]


def _is_cheap(statement: Statement) -> bool:
    """Whether a value is not worth to be kept for all runs."""
    return isinstance(statement, Moved) and math.prod(statement.type.shape) > 1
