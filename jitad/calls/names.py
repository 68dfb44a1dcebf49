"""What a user calls the arguments and results of a call, leaf by leaf.

`explain` and `graph` print these names: `camera`, `point[0]`, `options['scale']`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jitad import tree

from .function import Function


def argument_names(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[str]:
    """The names of the leaves of (args, kwargs), by function's own signature."""
    heads = [*_positional(function, len(args)), *sorted(kwargs)]
    values = [*args, *[kwargs[k] for k in sorted(kwargs)]]
    return [
        head + path
        for head, value in zip(heads, values, strict=True)
        for path in tree.paths(value)
    ]


def _positional(function: Callable[..., Any], count: int) -> list[str]:
    """The names of the first count positional arguments; args[k] where unknown."""
    unknown = [f"args[{k}]" for k in range(count)]
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return unknown
    named, rest = [], None
    for p in parameters:
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            named.append(p.name)
        elif p.kind is p.VAR_POSITIONAL:
            rest = p.name
    if rest is not None:
        named += [f"{rest}[{k}]" for k in range(count - len(named))]
    return named[:count] if len(named) >= count else unknown


def original(function: Callable[..., Any]) -> Callable[..., Any]:
    """The user's own function, whose arguments have names."""
    while isinstance(function, Function):
        function = function.function
    return function


def result_names(result: tree.PyTreeSpec) -> list[str]:
    """The names of the leaves of a result: result, result[0], result['a'] …"""
    dummy = tree.unflatten(result, list(range(result.num_leaves)))
    return [f"result{path}" for path in tree.paths(dummy)]
