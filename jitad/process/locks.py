"""What threads share so that a forked child finds it free."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

Value = TypeVar("Value")


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
    _HELD.append(made)


# The locks that a fork waits for, and those that each fork under way has taken.
_HELD: list[Any] = []
_TAKEN: list[list[Any]] = []


def _take() -> None:
    """Take all locks, but none while waiting for another that is not free."""
    wanted = list(_HELD)
    while True:
        taken = []
        for number, each in enumerate(wanted):
            if not each.acquire(blocking=not taken):
                wanted.insert(0, wanted.pop(number))
                _release(taken)
                break
            taken.append(each)
        else:
            _TAKEN.append(taken)
            return


def _release(taken: list[Any]) -> None:
    while taken:
        taken.pop().release()


def _give_back() -> None:
    _release(_TAKEN.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_take, after_in_parent=_give_back, after_in_child=_give_back
    )


def before_forks(act: Callable[[], None]) -> None:
    """Do something first where a child is forked."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=act)


def after_forks(act: Callable[[], None]) -> None:
    """Do something first in every forked child."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=act)


class cached_property(Generic[Value]):  # noqa: N801
    """A property that is computed once and kept by its object.

    As functools has it from Python 3.12 on.  That of Python 3.11 holds one lock for all
    objects of a class while it computes: threads wait for each other's compilation, and
    a child that is forked meanwhile waits for ever.  Two threads that ask at once both
    compute; the later value is kept.
    """

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        """Compute a value from its object when it is first asked for."""
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        """Keep values under the name of the attribute."""
        self._name = name

    @overload
    def __get__(self, whole: None, owner: type) -> cached_property[Value]: ...
    @overload
    def __get__(self, whole: object, owner: type) -> Value: ...
    def __get__(
        self, whole: object | None, owner: type
    ) -> cached_property[Value] | Value:
        """Compute the value and keep it where it is found before this property."""
        if whole is None:
            return self
        found = self._compute(whole)
        whole.__dict__[self._name] = found
        return found
