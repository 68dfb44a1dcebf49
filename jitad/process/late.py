"""Modules that are imported when somebody first needs what is in them.

    special = late("scipy.special")

at the top of a module stands for what most programs never need, or what takes long to
import.  What may not be there at all, such as CUDA's packages, is imported likewise.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from .locks import lock

# A child that is forked while a thread imports a module waits for it for ever.
importing = lock()


class Late:
    """A module that is imported when an attribute of it is first asked for."""

    def __init__(self, name: str) -> None:
        """Name it in full, as in `import name`."""
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        # Who copies, pickles or looks at it asks for such, and wants no module.
        if attribute == "_name" or attribute.startswith("__"):
            raise AttributeError(attribute)
        return getattr(bring(self._name), attribute)

    def __repr__(self) -> str:
        return f"<{self._name}, imported when needed>"


def bring(name: str) -> Any:
    """The module of a full name, while which is imported no process is copied."""
    found = sys.modules.get(name)
    if found is not None and not getattr(found.__spec__, "_initializing", True):
        return found  # a tenth of the time that import_module takes
    with importing:
        return import_module(name)


def late(name: str) -> Any:
    """The module of a full name, imported when an attribute of it is asked for."""
    return Late(name)


def imported(name: str) -> bool:
    """Whether a module has been imported, by whomever: objects of it may be around."""
    return name in sys.modules
