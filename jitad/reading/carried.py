"""What a loop that is read carries: numbers of values, and templates that hold them.

A template is what a name has with a `Slot` in the place of each value that is carried.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import numpy as np

from jitad.ir.graph import Type

from .heap import Apart
from .lines import refuse
from .numbers import dtype, is_number, plain


class Slot(NamedTuple):
    """The number of a value that is carried."""

    number: int


@dataclass(slots=True)
class Hints:
    """What tries of a loop have shown.

    dtypes   what names have become, by name and place in a tuple
    started  names without a value before the loop: types that they get in it
    rebound  names that mean another array after an iteration
    written  names whose arrays are written to
    tied     the arrays that those in rebound share their elements with
    fails    whether something may be raised
    """

    dtypes: dict[Any, np.dtype] = field(default_factory=dict)
    started: dict[str, Any] = field(default_factory=dict)
    rebound: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    tied: dict[str, set[int]] = field(default_factory=dict)
    fails: bool = False


def filled(template: Any, values: Any) -> Any:
    """A template with values in its slots."""
    if isinstance(template, Slot):
        return plain(values[template.number])
    if type(template) is tuple:
        return tuple([filled(t, values) for t in template])
    return template


def kinds(value: Any) -> Any:
    """What a name's value is like, for a blank one."""
    if type(value) is tuple:
        return tuple([kinds(x) for x in value])
    if is_number(value):
        return Type(dtype(value), ())
    return value


def blank(kinds: Any) -> Any:
    """What a name has before anybody gives it a value: NaN, or 0."""
    if type(kinds) is tuple:
        return tuple([blank(k) for k in kinds])
    if isinstance(kinds, Type):
        fill = np.nan if kinds.dtype.kind == "f" else 0
        return plain(np.full(kinds.shape, fill, kinds.dtype)[()])
    return kinds


def differs(key: Any, value: Any) -> NoReturn:
    """Raise for a value that is of another kind after an iteration than before."""
    said = value.why if isinstance(value, Apart) else "it changes its type"
    raise refuse(
        f"{key[0]}, of another kind after an iteration than before ({said}),",
        "give it one type in all iterations",
    )
