"""Profiles: `pytest --hypothesis-profile=thorough` tries ten times as many programs.

Nothing is kept on disk: tests are about what is compiled, and not of the user's cache.
"""

import gc
import os

from hypothesis import settings

from tests.support.own import OWN

assert OWN

os.environ["XDG_CACHE_HOME"] = os.devnull  # where there can be no folder

settings.register_profile("thorough", max_examples=1000, print_blob=True)


def pytest_collection_finish() -> None:
    """Let no garbage collection look through all tests, which stay to the end."""
    gc.collect()
    gc.freeze()
