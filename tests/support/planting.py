"""Planting wrong rules: what can be changed while something is checked.

A Change takes a Planter; `planted` makes it for a while, and everything that jitad
remembers of primitives, derivatives and kernels is forgotten before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jitad import primitives
from jitad.ir.primitive import registry
from jitad.plan import pipeline, placement
from jitad.transforms.scalars import templates

assert primitives

Function = Callable[..., Any]


def forget() -> None:
    """Clear what is remembered of primitives, derivatives and kernels."""
    templates.formula.cache_clear()
    templates.partials.cache_clear()
    pipeline._compiled.cache_clear()
    placement.element_offsets.cache_clear()
    placement.classify.cache_clear()


class Planter:
    """Changes things, and puts them back; frozen primitives too."""

    def __init__(self) -> None:
        self.undo: list[tuple[Any, str, Any]] = []

    def put(self, owner: Any, name: str, value: Any) -> None:
        self.undo.append((owner, name, getattr(owner, name)))
        _set(owner, name, value)

    def restore(self) -> None:
        for owner, name, value in reversed(self.undo):
            _set(owner, name, value)


def _set(owner: Any, name: str, value: Any) -> None:
    if isinstance(owner, type):
        setattr(owner, name, value)
    else:
        object.__setattr__(owner, name, value)


Change = Callable[[Planter], None]


@contextmanager
def planted(change: Change) -> Iterator[None]:
    planter = Planter()
    forget()
    try:
        change(planter)
        yield
    finally:
        planter.restore()
        forget()


def rule(name: str, partials: Function) -> Change:
    """Other partials for a primitive."""
    return lambda p: p.put(registry.primitives[name], "partials", partials)


def meaning(name: str, evaluate: Function) -> Change:
    """Another NumPy meaning."""
    return lambda p: p.put(registry.primitives[name], "evaluate", evaluate)


def expansion(name: str, expand: Function) -> Change:
    """Another expansion."""
    return lambda p: p.put(registry.primitives[name], "expand", expand)


def word(name: str, other: str) -> Change:
    """Another machine word."""
    return lambda p: p.put(registry.primitives[name], "word", other)


def replaced(owner: Any, name: str, change: Callable[[Any], Any]) -> Any:
    """A function that becomes change(function)."""
    return lambda p: p.put(owner, name, change(getattr(owner, name)))


PARTIALS = {n: p.partials for n, p in registry.primitives.items()}
EXPAND = {n: p.expand for n, p in registry.primitives.items()}
EVALUATE = {n: p.evaluate for n, p in registry.primitives.items()}


def scaled(name: str, factor: float, place: int = 0) -> Change:
    """One partial multiplied by a factor."""

    def partials(*args: Any) -> list[Any]:
        found = list(PARTIALS[name](*args))  # type: ignore[misc]
        found[place] = found[place] * factor
        return found

    return rule(name, partials)


def swapped(name: str) -> Change:
    """The partials of two operands exchanged."""
    return rule(name, lambda *args: PARTIALS[name](*args)[::-1])  # type: ignore[misc]
