"""Storage of a lane that is no longer needed serves again.

`reused` gives locals whose lives do not overlap the same place: what one loop recorded
is gone when its pullback has run, and another loop may record there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .kernel import Local
from .statement import Statement, rewritten, statements


def reused(
    body: tuple[Statement, ...], locals: Sequence[Local]
) -> tuple[tuple[Statement, ...], tuple[Local, ...]]:
    """The body over fewer locals.

    A local lives from the first to the last statement of the body that it is used in;
    within one statement, a loop with all that is in it, lives are not told apart.
    """
    if not locals:
        return body, ()
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for place, s in enumerate(body):
        for inner in statements([s]):
            for k in _locals(inner):
                first.setdefault(k, place)
                last[k] = place
    made: list[Local] = []
    busy: list[int] = []  # until which place
    new: dict[int, int] = {}
    for old in sorted(first, key=lambda k: (first[k], k)):
        local = locals[old]
        free = [
            k
            for k, own in enumerate(made)
            if own.dtype == local.dtype and busy[k] < first[old]
        ]
        if free:
            k = min(free, key=lambda k: (abs(made[k].elements - local.elements), k))
            size = max(made[k].elements, local.elements)
            made[k] = replace(made[k], elements=size)
        else:
            k = len(made)
            made.append(local)
            busy.append(-1)
        busy[k] = last[old]
        new[old] = k
    return _renamed(body, new), tuple(made)


def _locals(s: Statement) -> list[int]:
    return [~m for m in (*s.reads, *s.writes) if m < 0]


def _renamed(body: Sequence[Statement], new: dict[int, int]) -> tuple[Statement, ...]:
    def renamed(s: Statement) -> tuple[Statement]:
        own = _locals(s)
        return (replace(s, local=new[own[0]]) if own else s,)

    return rewritten(body, renamed)
