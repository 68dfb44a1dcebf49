"""Profiles: `pytest --hypothesis-profile=thorough` tries ten times as many programs.

Nothing is kept on disk: tests are about what is compiled, and not of the user's cache.
Tests that are about results get code that is made quickly; `lowering/test_effort.py`
says that its results are those of code made with care.
"""

import gc
import os
from collections import defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import settings

from jitad.backends.cpu.executable import HOST
from jitad.plan import pipeline
from tests.support.own import OWN

assert OWN

os.environ["XDG_CACHE_HOME"] = os.devnull  # where there can be no folder

settings.register_profile("thorough", max_examples=1000, print_blob=True)


# Folders and modules about what code is made, and not what it computes; and a law whose
# functions are of every kind.
WITH_CARE = {
    "cpu",
    "lowering",
    "project",
    "test_batch_law",
    "test_explain",
    "test_nests",
}


@pytest.fixture(autouse=True, scope="module")
def code_is_made_quickly(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the host make code quickly for a module, unless it is about code."""
    quickly = WITH_CARE.isdisjoint({request.path.stem, request.path.parent.name})
    HOST.effort = "fast" if quickly else "full"
    pipeline._compiled.cache_clear()
    yield
    HOST.effort = "auto"
    pipeline._compiled.cache_clear()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Call most cases of a test slow where it has many, but some, spread evenly."""
    tests = defaultdict(list)
    for item in items:
        tests[item.nodeid.partition("[")[0]].append(item)
    for cases in tests.values():
        few = 2 + len(cases) // 32
        quick = {k * len(cases) // few for k in range(few)}
        for k, item in enumerate(cases):
            if k not in quick:
                item.add_marker("slow")


def pytest_collection_finish() -> None:
    """Let no garbage collection look through all tests, which stay to the end."""
    gc.collect()
    gc.freeze()
