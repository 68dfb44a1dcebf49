"""What became of the loops of the source: read, unrolled, or added up in lanes.

The reader says what it did with a loop; any other loop around a line that a graph comes
from was run by Python.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from .nests import Nest


def source_loops(
    written: Iterable[str],
    told: Mapping[str, Sequence[str]],
    nests: Sequence[Nest],
    summed: bool,
) -> tuple[tuple[str, str], ...]:
    """For the line of each loop, as file:line, what became of it.

    written  the lines that a graph was traced from
    told     by line what the reader did
    nests    the loops that are left
    summed   whether sums over many points are computed, for which loops may have gone
    """
    found = {_header(line): ", ".join(what) for line, what in told.items()}
    left = {_header(line) for nest in nests for line in _lines(nest)}
    for line, what in found.items():
        if summed and what == READ and line not in left:
            found[line] = f"{READ}, added up in lanes"
    for line in written:
        for around in _around(line):
            found.setdefault(around, "unrolled, run by Python")
    return tuple(sorted(found.items(), key=lambda pair: _place(pair[0])))


READ = "read"


def _lines(nest: Nest) -> Iterator[str]:
    yield from nest.lines
    for inner in nest.inside:
        yield from _lines(inner)


def _place(line: str) -> tuple[str, int]:
    file, _, number = line.rpartition(":")
    return (file, int(number)) if number.isdigit() else (line, 0)


def _header(line: str) -> str:
    """The line of the loop itself: a `while` is known by what it runs first."""
    file, number = _place(line)
    if any(number == first for first, _, _ in _loops(file)):
        return line
    return max(_around(line), key=_place, default=line)


def _around(line: str) -> list[str]:
    """The loops that a line is in, in the function that it is in."""
    file, number = _place(line)
    return [
        f"{file}:{first}"
        for first, start, end in _loops(file)
        if start <= number <= end
    ]


@lru_cache(maxsize=64)
def _loops(file: str) -> tuple[tuple[int, int, int], ...]:
    """Every loop of a file: its line, and where its body begins and ends."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return ()
    loops, functions = [], []
    for node in ast.walk(tree):
        if isinstance(node, ast.For | ast.While):
            loops.append((node.lineno, node.body[0].lineno, node.end_lineno or 0))
        elif isinstance(node, ast.FunctionDef | ast.Lambda):
            functions.append((node.lineno, node.end_lineno or 0))
    # A function that is made in a loop is not run by it: it has no part in that.
    return tuple([
        (line, start, end) for line, start, end in loops
        if not any(start <= a and b <= end for a, b in functions)
    ])  # fmt: skip
