"""What a launch has to know of a kernel, without its statements.

`outline` reads it off a kernel; as plain data it can be kept with the machine code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .cost import Work, is_long, mostly, work
from .kernel import Buffer, Kernel
from .statement import Statement, statements
from .statements import Repeat, Scatter


@dataclass(frozen=True, slots=True)
class Outline:
    """The buffers and axes of a kernel, and how much it does.

    long   whether somebody may want to interrupt it
    terms  how many numbers a lane adds at computed places, roughly
    """

    buffers: tuple[Buffer, ...]
    axes: int
    work: Work
    long: bool
    terms: int

    def plain(self) -> Any:
        """The same as nested tuples of numbers and text."""
        buffers = tuple(
            [
                (b.name, b.dtype.str, b.elements, b.axes, b.layout, b.output)
                for b in self.buffers
            ]
        )
        return buffers, self.axes, self.work.terms, self.long, self.terms


def outline(kernel: Kernel) -> Outline:
    """The outline of a kernel."""
    found = list(statements((*kernel.once, *kernel.body)))
    long = any(isinstance(s, Repeat) and is_long(s) for s in found)
    return Outline(kernel.buffers, kernel.axes, work(kernel), long, _terms(kernel.body))


def _terms(body: Iterable[Statement]) -> int:
    """How many terms scatters have, as often as they are run."""
    total = 0
    for s in body:
        if isinstance(s, Scatter):
            total += len(s.terms)
        else:
            often = mostly(s) if isinstance(s, Repeat) else 1
            total += often * _terms(s.inside)
    return total


def of_plain(data: Any) -> Outline:
    """The outline that was made plain data."""
    buffers, axes, terms, *rest = data
    kept = [
        Buffer(name, np.dtype(dtype), elements, own, layout, output)
        for name, dtype, elements, own, layout, output in buffers
    ]
    return Outline(tuple(kept), axes, Work(terms), *rest)
