"""What the README shows is what happens, and what other pages name is there."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
PAGES = (".github/CONTRIBUTING.md", "tests/README.md", ".github/RELEASE_NOTES.md")


@pytest.mark.slow
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


@pytest.mark.parametrize("page", PAGES)
def test_files_and_tests_that_pages_name_are_there(page: str) -> None:
    root, text = README.parent, (README.parent / page).read_text("utf-8")
    files = {p for f in ("jitad", "tests") for p in (root / f).rglob("*.*")}
    names = {str(p.relative_to(root)) for p in files}
    for name in re.findall(r"`([\w/]+\.(?:py|h))\b", text):
        assert any(f"/{known}".endswith(f"/{name}") for known in names), name
    for file, test in re.findall(r"(test_\w+\.py)::(\w+)", text):
        found = [p for p in files if p.name == file]
        assert any(f"def {test}(" in p.read_text("utf-8") for p in found), test
    for test in re.findall(r"`(test_\w+)`", text):
        found = [p for p in files if p.match("test_*.py")]
        assert any(f"def {test}(" in p.read_text("utf-8") for p in found), test
