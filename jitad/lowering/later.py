"""Which branches had better be put off where few lanes need them.

`put_off` weighs what a vector pays for a branch that one of its lanes needs against
what that lane pays for being run again, the whole kernel with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .cost import cost
from .kernel import Buffer
from .statement import Statement, statements
from .statements import If, Repeat

_COPY = 2.0  # nanoseconds to move a scalar of a single lane
SHARE = 4  # a branch is put off for up to one lane in this number


def put_off(
    body: tuple[Statement, ...], buffers: Sequence[Buffer]
) -> tuple[Statement, ...]:
    """The body with branches marked that may be put off.

    Not before a loop that asks its lanes whether to go on, as those that wait have
    nothing to say; nor where sums have been added to already.
    """
    if any(b.layout in ("sum", "scatter") for b in buffers):
        return body
    if not any(isinstance(s, If) for s in body):
        return body
    moved = sum(b.elements for b in buffers if b.axes)
    again = sum(map(cost, body)) + _COPY * moved
    made: list[Statement] = []
    asked = False
    for s in reversed(body):
        asked |= any(map(_asks, statements([s])))
        waits = isinstance(s, If) and not asked and SHARE * cost(s) > again
        made.append(replace(s, later=True) if isinstance(s, If) and waits else s)
    return tuple(reversed(made))


def _asks(s: Statement) -> bool:
    return isinstance(s, Repeat) and (s.alive is not None or s.count is not None)
