"""What a check found: a table to print, or fields to use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jitad.errors import JitadError

DIFFERENCES = "finite differences"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One way to compute something, against its reference.

    what, how   such as "Jacobian", "reverse, cpu"
    compared    finite numbers that were compared
    special     NaN and infinities, whose places and signs must be the same
    unchecked   derivatives that are not finite where the value is NaN
    undecided   numbers that rounding, or a step of differences, leaves open
    ratio       the largest error as a part of what is allowed
    failure     what was expected, what came, and where; "" if nothing is wrong
    """

    what: str
    how: str
    compared: int
    special: int
    unchecked: int
    undecided: int
    ratio: float
    failure: str = ""

    @property
    def verdict(self) -> str:
        """What to think of it: ok, wrong, or vacuous, where nothing was finite."""
        if self.failure:
            return "wrong"
        return "ok" if self.compared else "vacuous"


@dataclass(frozen=True, slots=True)
class Report:
    """All comparisons of a check, and notes on the point: print it."""

    name: str
    inputs: int
    results: int
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every comparison saw finite numbers and found them equal."""
        return all(c.verdict == "ok" for c in self.comparisons)

    def __str__(self) -> str:
        return "\n".join(_text(self))


class CheckError(JitadError, AssertionError):
    """A check that did not pass; `report` is all that it found."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


_HEAD = (
    "",
    "",
    "compared",
    "nan, inf",
    "not checked",
    "undecided",
    "error/allowed",
    "",
)


def _text(report: Report) -> Iterator[str]:
    counts = f"{_plural(report.results, 'result')}, {_plural(report.inputs, 'input')}"
    yield f"check of {report.name}: {counts}"
    rows = [_HEAD, *map(_cells, report.comparisons)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        left = [c.ljust(w) for c, w in zip(row[:2], widths[:2], strict=True)]
        right = [c.rjust(w) for c, w in zip(row[2:7], widths[2:7], strict=True)]
        yield "  ".join([" ", *left, *right, row[7]]).rstrip()
    for c in report.comparisons:
        if c.failure:
            yield f"{c.what}, {c.how}: {c.failure}"
    yield from _remedies(report.comparisons)
    yield from report.notes


def _remedies(comparisons: Sequence[Comparison]) -> Iterator[str]:
    verdicts = {c.how: c.verdict for c in comparisons}
    among = {verdict for how, verdict in verdicts.items() if how != DIFFERENCES}
    if "wrong" in among:
        yield (
            "Modes or back ends disagree: jitad.graph(f, …) prints the operations, and "
            'backend="numpy" runs them one by one.'
        )
    elif any("got nan" in c.failure for c in comparisons):
        yield (
            "All modes give NaN where f and its differences are finite: an operation "
            "inside has no derivative there, as √ at 0 in √(x·x); np.hypot, "
            "np.linalg.norm, np.where, scipy.special.xlogy spell such functions safely."
        )
    elif verdicts.get(DIFFERENCES) == "wrong":
        yield (
            "All modes agree, but not with differences of f: a rule is wrong, f has an "
            "edge within a step, or f stops gradients (then pass differences=False)."
        )
    if "vacuous" in verdicts.values():
        yield (
            "Vacuous: expected some finite numbers, got none that rounding and "
            "differences can decide; choose another point."
        )


def _cells(c: Comparison) -> tuple[str, ...]:
    counts = [str(n or "") for n in (c.compared, c.special, c.unchecked, c.undecided)]
    return (c.what, c.how, *counts, f"{c.ratio:.2g}" if c.compared else "", c.verdict)


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' if count != 1 else ''}"
