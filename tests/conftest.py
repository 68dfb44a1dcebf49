"""Profiles: `pytest --hypothesis-profile=thorough` tries ten times as many programs.

Nothing is kept on disk: tests are about what is compiled, and not of the user's cache.
"""

import gc
import os
from collections import defaultdict

import pytest
from hypothesis import settings

from tests.support.own import OWN

assert OWN

os.environ["XDG_CACHE_HOME"] = os.devnull  # where there can be no folder

settings.register_profile("thorough", max_examples=1000, print_blob=True)


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
