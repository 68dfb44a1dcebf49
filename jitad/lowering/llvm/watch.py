"""Long loops look now and then whether they are still wanted.

Every iteration pays its nanoseconds, by `cost`'s guess, into an account.  When that is
empty `jitad.look` says whether to leave the kernel at once, with nothing computed; if
not, it fills the account again.  The block has the address of a *watch*: what an
account has at first, less than 0 when the kernel is to be left, and the thread that
may look at signals.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitad.lowering.cost import charge, is_long
from jitad.lowering.statement import Statement
from jitad.lowering.statements import Repeat

from . import staging
from .arguments import WATCH
from .pieces import flat
from .values import Values

DECLARATION = "declare i1 @jitad.look(ptr, ptr)"


def long_loops(steps: Sequence[Statement]) -> bool:
    """Whether any of the steps, or inside of them, is a loop that looks."""
    return any([is_long(s) for s in flat(steps) if isinstance(s, Repeat)])


def room(steps: Sequence[Statement]) -> list[str]:
    """Open the account of a function, if it needs one."""
    if not long_loops(steps):
        return []
    lines: list[str] = []
    staging.word(lines, "%watch", "%frame", WATCH, "ptr")
    return [
        *lines,
        "  %account = alloca i64",
        "  %account.first = load i64, ptr %watch",
        "  store i64 %account.first, ptr %account",
    ]


def latch(f: Values, s: Repeat, label: str) -> None:
    """Begin the end of an iteration; of a long loop only if it is still wanted."""
    if not is_long(s):
        f.go(label)
        return
    tail, look = f.label("tail"), f.label("look")
    old, new, spent, left = (f.fresh() for _ in range(4))
    f.go(tail)
    f.add(
        [
            f"{old} = load i64, ptr %account",
            f"{new} = sub i64 {old}, {charge(s)}",
            f"store i64 {new}, ptr %account",
            f"{spent} = icmp slt i64 {new}, 0",
            f"br i1 {spent}, label %{look}, label %{label}, !prof !9",
        ]
    )
    f.begin(look)
    f.add(
        [
            f"{left} = call i1 @jitad.look(ptr %frame, ptr %account)",
            f"br i1 {left}, label %exit, label %{label}",
        ]
    )
    f.begin(label)


def after(f: Values, steps: Sequence[Statement]) -> None:
    """Leave the kernel if a part of it that has just been run was left."""
    if not long_loops(steps):
        return
    first, left, on = f.fresh(), f.fresh(), f.label("on")
    f.add(
        [
            f"{first} = load i64, ptr %watch",
            f"{left} = icmp slt i64 {first}, 0",
            f"br i1 {left}, label %exit, label %{on}",
        ]
    )
    f.begin(on)
