"""``python -m benchmarks --start``: everything there is to wait for, as one table.

A ``Line`` is one ratio of times that are measured in turns in the same run.  Modules in
``MODULES`` have theirs in ``START``, and the table is in their order.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.harness import UnavailableError, failure
from benchmarks.table import Table, three_digits
from benchmarks.work import Setting

MODULES = ("fresh_results", "import_time", "first_call", "compile_time", "modes")


@dataclass(frozen=True)
class Line:
    """One line of the table.

    ``most`` is what the ratio may be; ``measure`` gives the times in words, and the
    ratio, or raises UnavailableError.
    """

    what: str
    over: str
    most: float
    measure: Callable[[Setting], tuple[str, float]]


def lines() -> list[Line]:
    """All lines, in the order of the modules."""
    modules = [importlib.import_module(f"benchmarks.{name}") for name in MODULES]
    return [line for module in modules for line in module.START]


def table(setting: Setting) -> Table:
    """Measure them all; what cannot be measured says why."""
    rows = [row(line, setting) for line in lines()]
    headers = ("what", "beside", "measured", "ratio", "target", "")
    return Table("start: from nothing to the first results", headers, tuple(rows))


def row(line: Line, setting: Setting) -> tuple[str, ...]:
    """A line as it is printed."""
    try:
        measured, ratio = line.measure(setting)
    except UnavailableError as reason:
        return line.what, f"not available: {reason}"
    except Exception as error:  # the others are still to be measured
        return line.what, failure(error)
    holds = "met" if ratio <= line.most else "MISSED"
    bound = f"≤ {three_digits(line.most)}"
    return line.what, line.over, measured, three_digits(ratio), bound, holds
