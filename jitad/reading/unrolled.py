"""Loops of a function that is read, of which each iteration is read by itself.

How large that becomes is guessed from the statements of their blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .frontend import Loop
from .heap import State
from .iterating import Item, item_at
from .joining import Edge, meet

if TYPE_CHECKING:
    from .frame import Frame

UNROLLED = 512  # statements that a loop may become
_FEW = 8


def exhausted(frame: Frame, loop: Loop) -> int:
    """Where a loop leads when its items end."""
    return frame.program.blocks[loop.header].ending.labels[1]


_COUNTED = {"binop", "inplace", "call", "store", "getitem", "unary"}


def statements(frame: Frame, loop: Loop, state: State) -> int:
    """About how many statements an iteration runs, those of inner loops unrolled."""
    program = frame.program
    inner = [x for h, x in program.loops.items() if h in loop.body and x is not loop]
    inner = [x for x in inner if not any(x.body < y.body for y in inner)]
    within = frozenset().union(*[x.body for x in inner])
    own = [s for k in loop.body - within for s in program.blocks[k].statements]
    total = sum(s.what.op in _COUNTED for s in own)
    made = {s.target: s.what for s in own}
    for x in inner:
        total += _guess(x, made, frame, state) * statements(frame, x, state)
    return total


def _guess(loop: Loop, made: dict[str, Any], frame: Frame, state: State) -> int:
    """How many iterations an inner loop has, if numbers say so; else a few."""
    head = frame.program.blocks[loop.header].statements
    name = next((s.what.names[0] for s in head if s.what.op == "next"), "")
    while name in made and made[name].op in ("name", "iterate"):
        name = made[name].names[0]
    if name in made and made[name].op == "call":
        function, *ends = [
            made[n].data if n in made and made[n].op == "value" else state.names.get(n)
            for n in made[name].names
        ]
        whole = [x for x in ends if type(x) is int]
        if function is range and ends and len(whole) == len(ends):
            return len(range(*whole))
    return _FEW


def unrolled(
    frame: Frame, loop: Loop, edge: Edge, name: str, count: int
) -> list[tuple[int, Edge]]:
    """The ways out of a loop of so few items that each is read by itself."""
    ways: list[tuple[int, Edge]] = []
    edges, live = [edge], frame.program.live[loop.header]
    items = edge.state.names[name]
    for k in range(count):
        now = meet(edges, live, frame.ours)
        now.state.names[name] = Item(item_at(items, k, now.state))
        found = frame.region(loop.header, now, loop.body, loop.header)
        edges = found.pop(loop.header, [])
        for e in edges:
            e.state.names[name] = items
        ways += [(label, e) for label, own in found.items() for e in own]
        if not edges:
            return ways
    return [*ways, *[(exhausted(frame, loop), e) for e in edges]]
