"""What help says of a transformed function: its arguments, and what it returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from .deriving import Argnums, as_sequence, is_single


def title(f: Callable[..., Any]) -> str:
    """The name of a function."""
    return getattr(f, "__name__", type(f).__name__)


def chosen_names(f: Callable[..., Any], argnums: Argnums) -> str:
    """The arguments that argnums names, by f's own names for them."""
    known = _names(f)
    numbers = as_sequence(argnums)
    places = range(-len(known), len(known))
    found = [known[k] if k in places else f"args[{k}]" for k in numbers]
    return found[0] if is_single(argnums) else f"({', '.join(found)})"


def with_seed(
    product: Callable[..., Any], f: Callable[..., Any], name: str, returns: str
) -> Callable[..., Any]:
    """The function, said to take f's arguments that have a place, and then a seed."""
    product.__name__ = name
    product.__doc__ = described(returns, f)
    with suppress(TypeError, ValueError):
        signature = inspect.signature(f)
        places = [
            p.replace(kind=p.POSITIONAL_ONLY, default=p.empty)
            for p in signature.parameters.values()
            if _has_place(p)
        ]
        seed = inspect.Parameter("v", inspect.Parameter.POSITIONAL_ONLY)
        signature = signature.replace(parameters=[*places, seed])
        product.__signature__ = signature  # type: ignore[attr-defined]
    return product


def described(returns: str, f: Callable[..., Any]) -> str | None:
    """A line on what is returned, and what f says of itself."""
    return "\n\n".join(filter(None, (returns, inspect.getdoc(f)))) or None


def _names(f: Callable[..., Any]) -> Sequence[str]:
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return ()
    return [p.name for p in parameters if _has_place(p)]


def _has_place(p: inspect.Parameter) -> bool:
    return p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
