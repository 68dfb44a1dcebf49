"""Loops over arrays in segments, so that reverse mode records one segment at a time.

A loop of T runs becomes a loop of loops of S runs each, and one of the last runs.  The
reverse of such a loop records what is carried into each segment, and in a segment,
which it runs once more, what is carried into each run (A. Griewank, 1992); the last
runs are recorded when they are done first.  Start at `length`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from jitad.ir.graph import Type, scalar
from jitad.ir.loop import INT

from .flow import Flow, Map, Moved, Piece, Statement
from .library import Cumulated, Library, Reduced, number_graph, of_elements, plus
from .places import Gathered, Scattered
from .recurrence import Recurrence
from .repeated import Repeated
from .windows import Box, Window, c_steps, whole

# So many bytes of records are kept as they are, or of a segment.
_KEPT = 32 << 20
# Of more, runs are done once more, where a run has at most so many weighted operations
# for each byte of its record; and of more than this they are in any case.
_CHEAP = 4.0
_MOST = 1 << 30


def length(statement: Repeated, carried: Sequence[int], kept: Sequence[int]) -> int:
    """How many runs a segment of a loop has; 0: all runs are recorded at once.

    carried  the values of its body that a segment begins with
    kept     those that the reverse reads of each run
    """
    own, body = statement, statement.body
    each = sum(_bytes(body.types[v]) for v in kept)
    total = each * own.bound
    if not own.sized or total <= _KEPT or own.bound < 4:
        return 0
    if total <= _MOST and _operations(body) > _CHEAP * each:
        return 0
    begin = sum(_bytes(body.types[v]) for v in carried)
    root = round(math.sqrt(own.bound * max(begin, 1) / each))
    most = min(max(2, root, _KEPT // each), own.bound - 1)
    return -(-own.bound // -(-own.bound // most))


def _bytes(type: Type) -> int:
    return type.size * type.dtype.itemsize


def _operations(body: Flow) -> float:
    """The weighted operations of a run; of what a library does they are endless."""
    total = 0.0
    for statement in body.statements:
        match statement:
            case Map():
                each = sum(node.primitive.cost for node in statement.graph.nodes)
                total += each * math.prod(statement.shape)
            case Repeated():
                total += statement.bound * _operations(statement.body)
            case Moved():
                pass
            case _ if isinstance(statement, Recurrence) or is_dear(statement):
                return math.inf
            case _:
                total += sum(t.size for t in statement.types)
    return total


def is_dear(statement: Statement) -> bool:
    """Whether to keep a result costs less than to compute it once more."""
    cheap = Gathered | Scattered | Cumulated | Reduced
    return isinstance(statement, Library) and not isinstance(statement, cheap)


def split(flow: Flow, number: int, size: int) -> list[int]:
    """Let statement `number` be segments of so many runs: the statements that it is."""
    statement, results = flow.statements[number], flow.results[number]
    assert isinstance(statement, Repeated)
    behind = flow.statements[number + 1 :], flow.results[number + 1 :]
    del flow.statements[number:], flow.results[number:]
    _split(flow, statement, results, size)
    made = list(range(number, len(flow.statements)))
    flow.statements += behind[0]
    flow.results += behind[1]
    return made


def _split(flow: Flow, own: Repeated, results: Sequence[int], size: int) -> None:
    """Append the statements that a loop in segments is."""
    _, carried, shared, arrays = own.given()
    bound, many = own.bound, (own.bound - 1) // size
    full = many * size
    cut = bound - full if own.backwards else full
    parts = [(0, cut), (cut, bound)]
    rows: dict[int, list[Piece]] = {y: [] for y in results[own.carried : -1]}
    for last, (low, high) in enumerate(parts[:: -1 if own.backwards else 1]):
        if last:
            loop, lengths = _from(own, high - low), (high - low,)
            given = (*shared, flow.number(low, INT))
        else:
            loop, lengths = _segments(own, many, size, low), (many, size)
            given = shared
        slices = [_rows(flow, x, low, lengths) for x in arrays]
        operands = (*carried, *given, *slices)
        *made, _ = flow.add(replace(loop, operands=operands))
        carried = made[: own.carried]
        for y, x in zip(rows, made[own.carried :], strict=True):
            shape = (high - low, *flow.types[y].shape[1:])
            box = Box((low, *[0] * len(shape[1:])), (high, *shape[1:]))
            rows[y] += [Piece(box, x, whole(shape))] if math.prod(shape) else []
    for y, x in zip(results, carried, strict=False):
        type = flow.types[y]
        piece = Piece(Box((0,) * len(type.shape), type.shape), x, whole(type.shape))
        flow.place(Moved(type, (piece,) if type.size else ()), [y])
    for y, pieces in rows.items():
        flow.place(Moved(flow.types[y], tuple(pieces)), [y])
    flow.place(Map(number_graph(bound, INT), (), ()), [results[-1]])


def _rows(flow: Flow, x: int, low: int, lengths: Sequence[int]) -> int:
    """So many rows of an array from one on; its leading axis is several then."""
    shape = flow.types[x].shape[1:]
    each = math.prod(shape)
    made = (*lengths, *shape)
    return flow.seen(x, Window(made, low * each, c_steps(made)))


def _from(statement: Repeated, bound: int) -> Repeated:
    """Some runs of a loop; one more number that all share is the first one's index."""
    body = statement.body.copy()
    (index,), carried, shared, slices = statement.entering()
    begin, run = body.new(scalar(INT)), body.new(scalar(INT))
    graph = of_elements(plus, [INT, INT], INT)
    body.place(Map(graph, (begin, run), ()), [index])
    body.inputs = [run, *carried, *shared, begin, *slices]
    body.sort(without=())
    return replace(statement, body=body, shared=statement.shared + 1, bound=bound)


def _segments(statement: Repeated, many: int, size: int, first: int) -> Repeated:
    """A loop over segments; first: the index that the first one begins with."""
    body, own = Flow(), statement.body.types
    (index,), carried, shared, slices = statement.entering()
    number = body.input(own[index])
    given = [body.input(own[i]) for i in (*carried, *shared)]
    rows = [body.input(Type(own[i].dtype, (size, *own[i].shape))) for i in slices]
    begin = body.mapped(lambda n: n * size + first, (number,))
    segment = replace(_from(statement, size), operands=(*given, begin, *rows))
    body.outputs = tuple(body.add(segment)[:-1])
    return replace(statement, body=body, bound=many)
