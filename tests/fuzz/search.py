"""Looking for programs that fail, seed after seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .laws import LAWS, USUAL, Failure, Refused, error_of, interpreted
from .program import Program
from .shrinking import shrunk
from .writing import grow

LENGTH = 8


class Finding(NamedTuple):
    """A program that fails, made short; by which seed it was found."""

    seed: int
    law: str
    program: Program
    failure: Failure

    def __str__(self) -> str:
        head = f"seed {self.seed}, {self.law}: {self.failure}"
        return self.program.snippet(head.replace("\n", " "))


def search(
    seed: int,
    statistics: Counter[str],
    length: int = LENGTH,
    laws: tuple[str, ...] = USUAL,
    without: Sequence[str] = (),
) -> Iterator[Finding]:
    """What one seed finds: a program is made up, and all laws are tried on it.

    without  what no statement may contain
    """
    rng = random.Random(seed)
    failing: list[Program] = []

    def accepted(program: Program) -> bool:
        if any(text in program.statements[-1] for text in without):
            return False
        statistics["lines"] += 1
        try:
            interpreted(program)
        except Refused as refusal:
            statistics["refused"] += 1
            statistics[f"refused: {str(refusal)[:60]}"] += 1
            return False
        except Failure:
            failing.append(program)
            return False
        return True

    def impossible(program: Program) -> None:
        unknown = any(text in program.statements[-1] for text in without)
        if "raising" in laws and not unknown and error_of(program):
            statistics["raising"] += 1
            try:
                LAWS["raising"](program)
            except Failure:
                wrong.append(program)

    wrong: list[Program] = []
    program = grow(rng, length, accepted, impossible)
    statistics["programs"] += 1
    for bad in failing[:3]:
        yield Finding(seed, "value", *shrunk(bad, "value"))
    for bad in wrong[:3]:
        yield Finding(seed, "raising", *shrunk(bad, "raising"))
    for law in laws:
        if law in ("value", "raising"):
            continue
        statistics[law] += 1
        try:
            LAWS[law](program)
        except Refused:
            statistics[f"{law} refused"] += 1
        except Failure:
            yield Finding(seed, law, *shrunk(program, law, tries=60))
