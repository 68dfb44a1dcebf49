"""The smooth piece of a flow that derivatives of its derivatives are taken of.

`derivatives.pieces` has what this means: all maps are replaced by their smooth pieces,
and which of tied numbers is ahead is told by how they grow with the arguments.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from jitad.ir.graph import Graph
from jitad.transforms.derivatives.pieces import grown, kinked, rate, smooth, tied

from . import loops
from .derive import Dots, after, reading_less, recur
from .element import needing_less
from .flow import Flow, Map, Statement
from .library import Library
from .recurrence import Compute, Recurrence, every
from .repeated import Repeated


def one_sided(
    flow: Flow, since: int, wrt: Sequence[int], outputs: Sequence[int]
) -> None:
    """Replace statements that outputs need by smooth pieces.

    They are on the side of the point to which the values in wrt grow.
    since  the number of the first value that may depend on those
    """
    if any(_bends(own) for _, own, _ in _needed(flow, since, outputs)):
        _tell(flow, _growth(flow, wrt), (), since, outputs)


def _told_body(
    body: Flow, seeds: Mapping[int, int], gaps: Collection[int] = ()
) -> Dots:
    return _tell(body, seeds, gaps, 0, body.outputs)


def _tell(
    flow: Flow,
    seeds: Mapping[int, int],
    gaps: Collection[int],
    since: int,
    outputs: Sequence[int],
) -> Dots:
    """Replace statements, and make the derivatives that tell ties."""
    dots, replaced = Dots(flow, dict(seeds)), []
    dots.gaps.update(gaps)
    for number, statement, results in _needed(flow, since, outputs):
        if isinstance(statement, Repeated):
            if not dots.made.keys().isdisjoint(statement.operands):
                loops.ahead(dots, statement, results, _told_body)
                replaced.append(number)
            continue
        if isinstance(statement, Recurrence):
            if not dots.made.keys().isdisjoint(statement.operands):
                recur(dots, statement, results, _smooth)
                replaced.append(number)
            continue
        made = flow.statements[number] = _told(statement, dots)
        if not dots.made.keys().isdisjoint(statement.operands):
            dots.ahead(made, results)
    flow.sort(without=replaced)
    return dots


def _needed(
    flow: Flow, since: int, outputs: Sequence[int]
) -> list[tuple[int, Statement, list[int]]]:
    """The statements from a value on that outputs need."""
    wanted, found = set(outputs), []
    for number, statement, results in reversed(after(flow, since)):
        if not wanted.isdisjoint(results):
            found.append((number, statement, results))
            wanted.update(statement.operands)
    return found[::-1]


def _growth(flow: Flow, wrt: Sequence[int]) -> dict[int, int]:
    """How fast arguments grow: the first fastest, and no two alike."""
    made, k = {}, 0
    for x in wrt:
        type = flow.types[x]
        rates = rate(np.arange(k, k + type.size))
        if type.shape:
            made[x] = flow.constant(rates.reshape(type.shape).astype(type.dtype))
        else:
            made[x] = flow.number(float(rates[0]), type.dtype)
        k += type.size
    return made


def _bends(statement: Statement) -> bool:
    """Whether a statement has a kink, or tells sides apart."""
    if isinstance(statement, Repeated):
        return any(map(_bends, statement.body.statements))
    if isinstance(statement, Map):
        return kinked(statement.graph)
    if isinstance(statement, Recurrence):
        own = [s.graph for s in every(statement.code) if isinstance(s, Compute)]
        return any(map(kinked, own))
    return isinstance(statement, Library) and statement.bends


def _told(statement: Statement, dots: Dots) -> Statement:
    """The statement by its smooth piece."""
    if not _bends(statement):
        return statement
    if isinstance(statement, Library):
        return statement.told(dots.made)
    assert isinstance(statement, Map)
    graph = smooth(statement.graph)
    if not tied(graph):
        return replace(statement, graph=graph)
    wrt = [k for k, x in enumerate(statement.operands) if x in dots.made]
    given = [dots.made[statement.operands[k]] for k in wrt]
    operands = (*statement.operands, *given)
    return reading_less(grown(graph, wrt), operands, statement.shape)


def _smooth(graph: Graph, wrt: Sequence[int]) -> tuple[Graph, Sequence[int]]:
    """(x -> y)  ->  (x, ẋ -> y): the smooth piece, and which operands it reads."""
    graph = smooth(graph)
    if tied(graph):
        graph = grown(graph, wrt)
    return needing_less(graph)
