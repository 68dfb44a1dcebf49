"""In which order a processor gets to see the operations of a loop's body.

`order` lets few values live at a time, so that it finishes one result before it begins
the next: each operation waits for the one before.  Iterations of a loop over batches do
not wait for one another, and a processor does several at once; those of a `Repeat` do.
There operations that do not wait for one another had better stand side by side, as
many as registers allow.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from .kernel import Kernel
from .statement import Body, Statement, rewritten
from .statements import Const, Load, Op, Repeat

# Operations of this many results may wait for others.  Twice the registers of AVX2:
# the processor renames them, and one that goes out to memory costs less than waiting.
_ABREAST = 32
# Longer bodies are bound by what is to be done, and by memory.
_LONGEST = 1_000


def spread(kernel: Kernel) -> Kernel:
    """The kernel with the operations in its loops side by side."""

    def rewrite(s: Statement) -> Sequence[Statement]:
        if not isinstance(s, Repeat):
            return (s,)
        return (replace(s, head=_spread(s.head), body=_spread(s.body)),)

    return replace(kernel, body=rewritten(kernel.body, rewrite))


def _spread(body: Body) -> Body:
    """The same statements, where nothing else is passed by an operation."""
    made: list[Statement] = []
    for plain, run in groupby(body, lambda s: isinstance(s, (Const, Load, Op))):
        given = [*run]
        if not plain or len(given) > _LONGEST:
            made += given
            continue
        made += (s for s in given if not isinstance(s, Op))
        made += _abreast([s for s in given if isinstance(s, Op)])
    return tuple(made)


def _abreast(ops: Sequence[Op]) -> Iterator[Op]:
    """Next what fewest operations lead to; where many results wait, what came first."""
    places = {s.result: k for k, s in enumerate(ops)}
    needs = [{places[a] for a in s.operands if a in places} for s in ops]
    users: list[list[int]] = [[] for _ in ops]
    depths: list[int] = []
    for k, own in enumerate(needs):
        depths.append(1 + max([depths[a] for a in own], default=0))
        for a in own:
            users[a].append(k)
    missing, uses = [*map(len, needs)], [*map(len, users)]
    able = [k for k, count in enumerate(missing) if not count]
    shallow = [(depths[k], k) for k in able]
    heapq.heapify(shallow)
    placed, waiting = bytearray(len(ops)), 0
    while shallow:
        k = heapq.heappop(shallow)[1] if waiting < _ABREAST else heapq.heappop(able)
        if placed[k]:  # what one heap has given the other still has
            continue
        placed[k] = 1
        yield ops[k]
        waiting += bool(users[k])
        for a in needs[k]:
            uses[a] -= 1
            waiting -= not uses[a]
        for user in users[k]:
            missing[user] -= 1
            if not missing[user]:
                heapq.heappush(able, user)
                heapq.heappush(shallow, (depths[user], user))
