"""Locks of the process that are free in a forked child."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any


def lock() -> threading.RLock:  # type: ignore[valid-type]
    """A lock that nobody holds while the process is copied."""
    made = threading.RLock()
    hold_at_forks(made)
    return made


def hold_at_forks(made: Any) -> None:
    """Let a fork wait until no other thread holds a lock.

    Such a thread is not in the child, where what the lock guards would stay half done
    and the lock taken.  For locks that are held for a short time only.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=made.acquire,
            after_in_parent=made.release,
            after_in_child=made.release,
        )


def after_forks(act: Callable[[], None]) -> None:
    """Do something first in every forked child."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=act)
