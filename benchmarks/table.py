"""Tables as text: a title, headers, lines, and notes below.

In comes a ``Table``, out goes what is printed. ``quantity`` writes seconds and bytes
with three digits and a unit.
"""

from __future__ import annotations

from dataclasses import dataclass

TIME = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))
SIZE = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0))


@dataclass(frozen=True)
class Table:
    """One row of the benchmarks, as it is printed.

    A line shorter than the headers ends in a remark that may run on to the right.
    """

    title: str
    headers: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """The table: first column to the left, numbers to the right."""
        full = [self.headers, *(x for x in self.lines if len(x) == len(self.headers))]
        widths = [max(len(cell) for cell in column) for column in zip(*full)]  # noqa: B905
        widths[0] = max(len(line[0]) for line in [self.headers, *self.lines])
        rule = "─" * (sum(widths) + 2 * len(widths) - 2)
        body = [aligned(line, widths) for line in self.lines]
        notes = [f"  {note}" for note in self.notes]
        head = aligned(self.headers, widths)
        return "\n".join([self.title, rule, head, rule, *body, rule, *notes])


def aligned(line: tuple[str, ...], widths: list[int]) -> str:
    """One line of cells; a remark in a short line stays at the left."""
    first = line[0].ljust(widths[0])
    if len(line) < len(widths):
        return "  ".join([first, *line[1:]]).rstrip()
    cells = [c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)]
    return "  ".join([first, *cells]).rstrip()


def quantity(value: float | None, units: tuple[tuple[str, float], ...] = TIME) -> str:
    """``value`` with three digits in the first unit that it reaches; "–" if None."""
    if value is None:
        return "–"
    unit, size = next((u for u in units if abs(value) >= u[1]), units[-1])
    return f"{three_digits(value / size)} {unit}"


def three_digits(value: float | None) -> str:
    """``value`` to three significant digits, without an exponent; "–" if None."""
    if value is None:
        return "–"
    decimals = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{decimals}f}"
