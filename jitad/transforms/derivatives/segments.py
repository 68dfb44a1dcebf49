"""Long loops as loops of shorter ones, whose records are short.

A loop in a loop is recorded once for each of the outer one's iterations, one at a time:
of n iterations about 2 √n are kept, and each is run once more (A. Griewank, 1992).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from jitad.ir.graph import Graph, Type, reach, scalar
from jitad.ir.interpret import inline
from jitad.ir.loop import INT, Loop, add_loop, loop_of
from jitad.ir.primitive import registry
from jitad.ir.tracer import Trace
from jitad.transforms.scalars.templates import new_builder

# Iterations whose carried values may be recorded at every point.
MOST_RECORDED = 100_000


def recorded(loop: Loop) -> int:
    """Of how many iterations reverse mode keeps a record, one after another."""
    if loop.adds:
        return 0
    return _root(loop.bound) if _splits(loop) else loop.bound


def in_segments(builder: Trace, v: int) -> int:
    """A node whose parts are those of loop v, which is long, or v itself.

    Its operands may be more, or fewer, than those of v.
    """
    node = builder.nodes[v]
    loop = loop_of(node)
    if loop.adds or not _splits(loop):
        return v
    size = _root(loop.bound)
    split = loop.split(node.operands)
    limit = split.counts
    outer = Loop(
        body=_segment(loop, size, counted=bool(limit)),
        head=_head(loop, size, counted=bool(limit)),
        carried=loop.carried,
        shared=loop.shared + len(limit),
        bound=-(-loop.bound // size),
        counted=loop.counted,
        backwards=loop.backwards,
        tables=loop.tables,
        summed=loop.summed,
    )
    counts = []
    for count in limit:
        most = _applied(builder, "minimum", count, loop.bound)
        up = _applied(builder, "add", most, size - 1)
        counts.append(_applied(builder, "integer_floor_divide", up, size))
    operands = [*counts, *split.carried, *split.shared, *limit, *split.tables]
    parts = add_loop(builder, outer, operands, node.line)
    return builder.nodes[parts[0]].operands[0]


def _splits(loop: Loop) -> bool:
    """Whether a loop is long, and iterations know nothing of each other's arrays."""
    if loop.bound <= MOST_RECORDED or loop.written or loop.slices:
        return False
    if loop.head is None:
        return True
    # It is asked once more where a segment begins, and must not look at its number.
    return loop.head.inputs[0] not in reach(loop.head.nodes, loop.head.outputs)


def _root(bound: int) -> int:
    return math.isqrt(bound - 1) + 1


def _applied(builder: Trace, word: str, a: int, b: int) -> int:
    """A word of whole numbers, the second of which is known."""
    pair = a, builder.number(b, INT)
    return builder.apply(registry.primitives[word], pair, scalar(INT))


def _segment(loop: Loop, size: int, *, counted: bool) -> Graph:
    """The body of the outer loop: one segment, as a loop."""
    inner = new_builder()
    own = loop.entering(loop.body.input_types)
    number = inner.input(scalar(INT))
    carried = [inner.input(t) for t in own.carried]
    shared = [inner.input(t) for t in own.shared]
    limit = inner.input(scalar(INT)) if counted else inner.number(loop.bound, INT)
    tables = [inner.input(t) for t in own.tables]
    first = _applied(inner, "mul", number, size)
    words = registry.primitives
    most = inner.number(loop.bound, INT)
    limit = inner.apply(words["minimum"], (limit, most), scalar(INT))
    count = inner.apply(words["sub"], (limit, first), scalar(INT))
    whole = not counted and loop.bound % size == 0
    segment = Loop(
        body=_moved(loop.body, own.carried, own.shared, own.tables),
        head=loop.head and _moved(loop.head, own.carried, own.shared, []),
        carried=loop.carried,
        shared=loop.shared + 1,
        bound=size,
        counted=not whole,
        backwards=loop.backwards,
        tables=loop.tables,
        summed=loop.summed,
    )
    counts = [] if whole else [count]
    operands = [*counts, *carried, *shared, first, *tables]
    return inner.finish(add_loop(inner, segment, operands)[:-1])


def _moved(
    graph: Graph,
    carried: Sequence[Type],
    shared: Sequence[Type],
    tables: Sequence[Type],
) -> Graph:
    """A body or head whose iterations are counted from the last of what is shared."""
    inner = new_builder()
    number = inner.input(scalar(INT))
    given = [inner.input(t) for t in (*carried, *shared)]
    first = inner.input(scalar(INT))
    last = [inner.input(t) for t in tables]
    index = inner.apply(registry.primitives["add"], (number, first), scalar(INT))
    return inner.finish(inline(inner, graph, [index, *given, *last]))


def _head(loop: Loop, size: int, *, counted: bool) -> Graph | None:
    """Whether to begin another segment."""
    if loop.head is None:
        return None
    inner = new_builder()
    given = [inner.input(t) for t in loop.head.input_types]
    if counted:
        inner.input(scalar(INT))
    given[0] = _applied(inner, "mul", given[0], size)
    return inner.finish(inline(inner, loop.head, given))
