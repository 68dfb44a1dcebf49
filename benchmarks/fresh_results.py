"""What a new result costs beside writing into an earlier one (``out=``).

Bundle adjustment at 2^18 points, in turns in one process: results that are dropped at
once, as in a loop that looks at each, and results that are held until the next is
there, as by a solver.
"""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.bundle_adjustment import rows_work, streams_work
from benchmarks.harness import Result, Runner, UnavailableError, time_in_turns
from benchmarks.participants.with_jitad import transformed
from benchmarks.speed import Row, fastest, ratio, verdict
from benchmarks.start import Line
from benchmarks.table import Table, quantity, three_digits
from benchmarks.work import Setting, Target, Work

WAYS = INTO, DROPPED, HELD = "out=earlier result", "fresh, dropped", "fresh, held"
MOST = 1.25
TARGETS = (Target(DROPPED, INTO, most=MOST), Target(HELD, INTO, most=MOST))


def results(work: Work, setting: Setting) -> list[Result]:
    """The medians of the three ways, measured in turns."""
    call = transformed(work)
    earlier = call(*work.inputs)

    def drop() -> None:
        call(*work.inputs)

    def hold() -> Any:
        return call(*work.inputs)

    calls = {INTO: lambda: call(*work.inputs, out=earlier), DROPPED: drop, HELD: hold}
    runners = {name: Runner(way, lambda _: None) for name, way in calls.items()}
    turns, failed = time_in_turns(runners, setting)
    return [
        Result(name, median=statistics.median(turns[name]), best=min(turns[name]))
        if name not in failed
        else Result(name, note=failed[name])
        for name in calls
    ]


def table(setting: Setting) -> Table:
    """Both layouts, a line for each way."""
    lines, notes = [], []
    for work in (rows_work(setting), streams_work(setting)):
        found = results(work, setting)
        into = fastest(found, INTO)
        for r in found:
            if r.median is None:
                lines.append((work.name, r.name, r.note))
                continue
            per_point = three_digits(r.median / work.points * 1e9)
            over = three_digits(ratio(r.median, into))
            lines.append((work.name, r.name, quantity(r.median), per_point, over))
        notes += [f"{work.name}: {verdict(target, found)}" for target in TARGETS]
    title = "fresh: results of bundle adjustment in new memory and in the same"
    headers = ("work", "results", "median", "ns/point", "÷ out=")
    return Table(title, headers, tuple(lines), tuple(notes))


def slower(setting: Setting) -> tuple[str, float]:
    """The slower way to a new result beside ``out=``: what it took, and the ratio."""
    found = {r.name: r.median for r in results(rows_work(setting), setting)}
    into, most = found[INTO], max(found[DROPPED] or 0, found[HELD] or 0)
    if not into or not most:
        raise UnavailableError("a call failed")
    return f"{quantity(most)} : {quantity(into)}", most / into


START = (Line("a fresh result of 2^18 points", "out=", MOST, slower),)
ROWS = (Row("fresh", "a new result beside out=, bundle adjustment", table),)
