"""A row that compares speed: a Work measured, as a table with ratios and targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.harness import Result, measure
from benchmarks.table import Table, quantity, three_digits
from benchmarks.work import TOLERANCE, Setting, Target, Work

HEADERS = (
    "participant",
    "first call",
    "median",
    "best",
    "ns/point",
    "÷ jitad",
    "GB/s",
    "÷ copy",
    "of copy",
)
COPIES = ("NumPy copy", "device copy")


@dataclass(frozen=True)
class Row:
    """One row of the benchmarks: its name on the command line, and how to make it."""

    name: str
    title: str
    table: Callable[[Setting], Table]


def speed_row(name: str, make: Callable[[Setting], Work], title: str = "") -> Row:
    """A row that measures the Work that ``make`` gives."""

    def table(setting: Setting) -> Table:
        work = make(setting)
        return speed_table(work, measure(work, setting))

    return Row(name, title or str(make.__doc__).splitlines()[0], table)


def speed_table(work: Work, results: list[Result]) -> Table:
    """Every participant's times, beside jitad's and beside those of a copy."""
    jitad = fastest(results, "jitad")
    copies = [fastest(results, name) for name in COPIES] if work.copies else []
    copy = next((c for c in copies if c is not None), None)
    lines = []
    for result in results:
        if result.median is None:
            first = f" (first call {quantity(result.first)})" if result.first else ""
            lines.append((result.name, result.note + first))
            continue
        seconds = result.median
        per_point = seconds / work.points * 1e9 if work.batched else None
        rate = work.nbytes / seconds / 1e9 if work.copies else None
        lines.append(
            (
                result.name,
                quantity(result.first),
                quantity(seconds),
                quantity(result.best),
                three_digits(per_point),
                three_digits(ratio(seconds, jitad)),
                three_digits(rate),
                three_digits(ratio(seconds, copy)),
                "–" if copy is None else f"{copy / seconds:.0%}",
            )
        )
    size = f"{work.points:,} points, " if work.batched else ""
    title = f"{work.name}: {work.title} ({size}{quantity_of_bytes(work)})"
    notes = [verdict(target, results) for target in work.targets]
    if work.checked is not None:
        notes.append(f"outputs are compared at {work.some().points:,} points")
    if work.tolerance != TOLERANCE:
        notes.append(f"outputs are compared to {work.tolerance:g}")
    return Table(title, HEADERS, tuple(lines), tuple(notes))


def quantity_of_bytes(work: Work) -> str:
    """The inputs and outputs, in bytes."""
    return f"{work.nbytes / 1e6:,.1f} MB" if work.nbytes > 1e5 else f"{work.nbytes} B"


def fastest(results: list[Result], start: str) -> float | None:
    """The shortest median of those whose names begin with ``start``."""
    medians = [r.median for r in results if r.name.startswith(start)]
    return min((m for m in medians if m is not None), default=None)


def ratio(over: float | None, under: float | None) -> float | None:
    """``over`` / ``under``, or None where either is missing."""
    return None if over is None or under is None else over / under


def verdict(target: Target, results: list[Result]) -> str:
    """One line: the bound, what was measured, and whether it holds."""
    over = fastest(results, target.over)
    if target.under is None:
        name, value, show = target.over, over, quantity
    else:
        name = f"{target.over} ÷ {target.under}"
        value, show = ratio(over, fastest(results, target.under)), three_digits
    if target.least is not None:
        bound, holds = f"≥ {show(target.least)}", (value or 0) >= target.least
    else:
        assert target.most is not None
        bound, holds = f"≤ {show(target.most)}", (value or 0) <= target.most
    if value is None:
        return f"target {name} {bound}: not measured"
    return f"target {name} {bound}: {show(value)}, {'met' if holds else 'MISSED'}"
