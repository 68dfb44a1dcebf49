"""The fuzzer on a few fixed seeds, and on faults that are planted."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from jitad.ir.primitive import registry
from tests.fuzz.found import FOUND
from tests.fuzz.laws import Failure, Refused, interpreted
from tests.fuzz.program import Program
from tests.fuzz.search import search
from tests.fuzz.shrinking import shrunk
from tests.fuzz.templates import BLOCKS, EXPRESSIONS, WRITES, lines
from tests.fuzz.writing import grow

SEEDS = range(5000, 5010)
ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_programs_hold_every_law(seed: int) -> None:
    statistics: Counter[str] = Counter()
    found = list(search(seed, statistics))
    assert not found, "\n".join(map(str, found))
    # Not everything was thrown away or refused.
    assert statistics["lines"] - statistics["refused"] >= 6


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_once(name: str) -> None:
    interpreted(FOUND[name])


def test_the_same_seed_makes_the_same_program() -> None:
    first, second = (grow(random.Random(3), 6, lambda p: True) for _ in range(2))
    assert first.source == second.source
    assert len(first.statements) == 6


def test_every_template_has_one_meaning() -> None:
    entries = [lines(t) for t in (*EXPRESSIONS, WRITES, BLOCKS)]
    assert sum(map(len, entries)) > 350
    # A bar that parts two entries parts no brackets.
    for entry in (e for table in entries for e in table):
        assert entry.count("(") == entry.count(")"), entry
        assert entry.count("[") == entry.count("]"), entry


def test_a_planted_fault_is_found_and_made_short(monkeypatch) -> None:
    """Cumulative sums that are wrong in every place but the first."""
    right = registry.functions[np.cumsum]
    wrong = lambda a, *args, **kw: right(a, *args, **kw) * 2 - right(a, *args, **kw)[0]  # noqa: E731
    monkeypatch.setitem(registry.functions, np.cumsum, wrong)
    start = Program(("x", "y"), ((np.array([1.0, 2.0]), np.array([0.5, 3.0])),))
    long = start
    for k, line in enumerate(
        ("np.sin(x)", "v0 + y", "np.cumsum(v1)", "v2 * y", "np.flip(v3)")
    ):
        long = long.with_statement(f"v{k} = {line}", f"v{k}")
    with pytest.raises(Failure, match="value"):
        interpreted(long)
    short, failure = shrunk(long, "value")
    assert len(short.statements) == 1 and "cumsum" in short.source
    assert failure.kind == "value"
    # What is printed runs by itself.
    exec(
        compile(short.snippet("told"), "<snippet>", "exec"), {"print": lambda *_: None}
    )


def test_refusals_are_no_failures() -> None:
    program = Program(("x",), ((np.ones(3),),)).with_statement(
        "v0 = np.unique(x)", "v0"
    )
    with pytest.raises(Refused, match="unique"):
        interpreted(program)


def test_by_hand() -> None:
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        "--minutes",
        "0.001",
        "--laws",
        "value",
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert "seeds 0 to " in done.stdout, done.stderr
