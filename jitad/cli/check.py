"""`jitad check`: a function's derivatives at some points, in every way, as a table."""

from __future__ import annotations

import argparse

from jitad.testing import CheckError, Report
from jitad.testing import check as compare

from . import named


def run(options: argparse.Namespace) -> int:
    """Check at every point; 1 where something is wrong or no point says anything."""
    f = named.function(options.function)
    arrays = named.points(options, f)
    argnums = named.argnums(options, arrays)
    count = len(arrays[0])
    passed, wrong = 0, 0
    for k in range(count):
        point = [a[k] for a in arrays]
        try:
            report = compare(
                f, *point, argnums=argnums, differences=not options.no_differences
            )
        except CheckError as error:
            report = error.report
        verdicts = {c.verdict for c in report.comparisons}
        passed += verdicts == {"ok"}
        wrong += "wrong" in verdicts
        if k == 0 or "wrong" in verdicts:
            print(report)
        print(f"point {k + 1} of {count}: {_line(report)}")
    empty = count - passed - wrong
    text = f"{passed} of {count} points passed"
    text += f", {wrong} wrong" if wrong else ""
    text += f", {empty} vacuous: nothing there could be compared" if empty else ""
    print(text)
    return 0 if passed and not wrong else 1


def _line(report: Report) -> str:
    verdicts = [c.verdict for c in report.comparisons]
    for verdict in ("wrong", "vacuous"):
        if verdict in verdicts:
            names = [
                f"{c.what}, {c.how}" for c in report.comparisons if c.verdict == verdict
            ]
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            return f"{verdict}: {names[0]}{more}"
    worst = max(c.ratio for c in report.comparisons)
    compared = sum(c.compared for c in report.comparisons)
    return f"ok, {compared:,} numbers, errors at most {worst:.2g} of what is allowed"
