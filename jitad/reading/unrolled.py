"""Loops of a function that is read, of which each iteration is read by itself.

How large that becomes is guessed from the statements of their blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from jitad.errors import JitadError

from . import frontend
from .frontend import Loop, Program
from .heap import State
from .iterating import Item, item_at
from .joining import Edge, meet

if TYPE_CHECKING:
    from .frame import Frame

UNROLLED = 512  # statements that a loop may become
# So many times as many, where the loop is as short, and has no more iterations with
# those inside: indices of small arrays are known then, arithmetic with them is gone.
_LONGER, _SHORT, _SHORT_NEST = 4, 4, 64
_FEW = 8
_DEEP = 5

Names = Mapping[str, Any]


def exhausted(frame: Frame, loop: Loop) -> int:
    """Where a loop leads when its items end."""
    return frame.program.blocks[loop.header].ending.labels[1]


def fits(frame: Frame, loop: Loop, state: State, count: int, limit: int) -> bool:
    """Whether a loop of so many iterations becomes no more statements than a limit."""
    whole = count * _iterations(frame, loop, state)
    if count <= _SHORT and whole <= _SHORT_NEST:
        limit *= _LONGER
    return count * _statements(frame, loop, state) <= limit


_COUNTED = {"binop", "inplace", "call", "store", "getitem", "unary"}


def _statements(frame: Frame, loop: Loop, state: State) -> int:
    """About how many statements an iteration runs, those of inner loops unrolled."""
    return _counted(frame, frame.program, loop, state.names, 0)


def _counted(
    frame: Frame, program: Program, loop: Loop | None, names: Names, deep: int
) -> int:
    """Those of a loop, or of a whole function; with those of functions called there."""
    inner, own = _inside(program, loop)
    made = {s.target: s.what for s in own}
    total = sum(s.what.op in _COUNTED for s in own)
    for s in own:
        called = made.get(s.what.names[0]) if s.what.op == "call" else None
        if called is None or called.op != "value" or deep > _DEEP:
            continue
        if frontend.is_function(called.data):
            with suppress(JitadError):
                function = frame.reading.program(called.data)
                total += _counted(frame, function, None, {}, deep + 1)
    for x in inner:
        each = _counted(frame, program, x, names, deep)
        total += _guess(x, made, program, names) * each
    return total


def _iterations(frame: Frame, loop: Loop, state: State) -> int:
    """About how many iterations of the innermost loops an iteration has."""
    inner, own = _inside(frame.program, loop)
    made = {s.target: s.what for s in own}
    found = [
        _guess(x, made, frame.program, state.names) * _iterations(frame, x, state)
        for x in inner
    ]
    return max(1, sum(found))


def _inside(program: Program, loop: Loop | None) -> tuple[list[Loop], list[Any]]:
    """The loops that are right inside of one, and the statements that are in none."""
    body = program.blocks.keys() if loop is None else loop.body
    inner = [x for h, x in program.loops.items() if h in body and x is not loop]
    inner = [x for x in inner if not any(x.body < y.body for y in inner)]
    within = frozenset().union(*[x.body for x in inner])
    own = [s for k in body - within for s in program.blocks[k].statements]
    return inner, own


def _guess(loop: Loop, made: dict[str, Any], program: Program, names: Names) -> int:
    """How many iterations an inner loop has, if numbers say so; else a few."""
    head = program.blocks[loop.header].statements
    name = next((s.what.names[0] for s in head if s.what.op == "next"), "")
    while name in made and made[name].op in ("name", "iterate"):
        name = made[name].names[0]
    if name in made and made[name].op == "call":
        function, *ends = [
            made[n].data if n in made and made[n].op == "value" else names.get(n)
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
