"""What the README shows is what happens."""

from __future__ import annotations

import doctest
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_its_examples() -> None:
    blocks = README.read_text("utf-8").split("```pycon\n")[1:]
    source = "\n".join(block.split("```")[0] for block in blocks)
    test = doctest.DocTestParser().get_doctest(source, {}, "README", str(README), 0)
    assert len(test.examples) > 5
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def test_its_commands_are_the_ones_that_ci_runs() -> None:
    ci = (README.parent / ".ci" / "run").read_text("utf-8")
    assert "python -m pytest" in ci
    assert README.read_text("utf-8").count("python3 -m venv .venv && ") == 2
