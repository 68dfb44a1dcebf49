"""How what is made of the user's functions is copied, and sent to other processes.

By the name that a module knows it by, or else by its recipe: the transform, and what it
was given.  Compiled code stays here; it is made again there, or read from the disk.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from .late import bring

Given = ParamSpec("Given")
Made = TypeVar("Made")

Recipe = tuple[Callable[..., Any], Any, Any]


def travels(transform: Callable[Given, Made]) -> Callable[Given, Made]:
    """A transform that notes the recipe of whatever it makes."""

    @wraps(transform)
    def made(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        function: Any = transform(*args, **kwargs)
        function.recipe = made, args, kwargs
        return function

    return made


def remade(transform: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """What a recipe gives."""
    return transform(*args, **kwargs)


def named(home: str, name: str) -> Any:
    """What a module, imported if need be, calls by a name; None if nothing."""
    found: Any = bring(home) if home else None
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def known_by_name(
    made: Any, function: Callable[..., Any], name: str = ""
) -> tuple[str, str] | None:
    """The module that calls what was made of a function by its name, and that name.

    name  another than the function's
    None where none does, and in a program that was started as a file: its names mean
    nothing to other processes.
    """
    home = getattr(function, "__module__", "")
    name = name or getattr(function, "__qualname__", "")
    if home == "__main__" or home not in sys.modules:
        return None
    return (home, name) if named(home, name) is made else None


class Product:
    """(x …, v), or v at an x -> a product with v, by a Function; it travels as that."""

    def __init__(self, call: Callable[..., Any], where: Any) -> None:
        """The call, and the Where of its Function."""
        self.__name__ = "product"
        self._call = call
        self.where = where
        self.recipe: Recipe | None = None

    def __repr__(self) -> str:
        return f"<jitad {self.__name__}>"

    def __call__(self, *args: Any) -> Any:
        """The product; v comes last."""
        return self._call(*args)

    def __reduce__(self) -> Any:
        """Travel by the recipe."""
        assert self.recipe is not None
        return remade, self.recipe
