"""What a for loop goes over: how many items there are, and the item of an iteration."""

from __future__ import annotations

import operator
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from .bounds import Bounds
from .heap import Counted, Listed, Places, Range, Reference, State, Zipped
from .lines import refuse
from .numbers import binary, known, plain, same, select, typed


class Item(NamedTuple):
    """What an iterator gives in this iteration."""

    value: Any


def iterable(value: Any, state: State) -> Any:
    """What a for loop goes over."""
    if isinstance(value, Range | Counted | Zipped | Places | Reference | np.ndarray):
        return value
    if isinstance(value, Listed):
        return value.items
    if isinstance(value, tuple):
        return value
    raise refuse(
        f"a loop over a {type(value).__name__}",
        "expected range, arrays, tuples, enumerate, zip or np.ndindex",
    )


def length(items: Any, state: State) -> Any:
    """How many iterations there are, known or traced."""
    if isinstance(items, Range):
        return _steps(items)
    if isinstance(items, Counted):
        return length(iterable(items.items, state), state)
    if isinstance(items, Zipped):
        found = [length(iterable(x, state), state) for x in items.items]
        if all(known(n) for n in found):
            return min(found)
        return reduce(lambda a, b: plain(np.minimum(a, b)), map(typed, found))
    if isinstance(items, Places):
        return int(np.prod(items.shape, dtype=int))
    return len(items) if isinstance(items, tuple) else len(state.load(items))


def _steps(items: Range) -> Any:
    start, stop, step = items
    if all(map(known, items)):
        if step == 0:
            raise ValueError("range() arg 3 must not be zero")
        return len(range(*items))
    if known(step):
        far = binary(operator.sub, stop, start) if step > 0 else (
            binary(operator.sub, start, stop)
        )  # fmt: skip
        if abs(step) != 1:
            up = binary(operator.add, far, abs(step) - 1)
            far = binary(operator.floordiv, up, abs(step))
        return plain(np.maximum(far, np.int64(0)))
    ahead = binary(operator.floordiv, binary(operator.sub, stop, start), step)
    rest = binary(operator.sub, stop, start)
    exact = binary(operator.eq, binary(operator.mul, ahead, step), rest)
    more = select(exact, ahead, binary(operator.add, ahead, 1))
    return plain(np.maximum(more, np.int64(0)))


def item_at(items: Any, k: Any, state: State) -> Any:
    """The item of iteration k."""
    from_items = iterable(items, state)
    if isinstance(from_items, Range):
        start, _, step = from_items
        if same(start, 0) and same(step, 1):
            return k
        return binary(operator.add, start, binary(operator.mul, k, step))
    if isinstance(from_items, Counted):
        first = binary(operator.add, from_items.start, k)
        return first, item_at(from_items.items, k, state)
    if isinstance(from_items, Zipped):
        return tuple([item_at(x, k, state) for x in from_items.items])
    if isinstance(from_items, Places):
        found, rest = [], k
        for n in reversed(from_items.shape):
            found.append(binary(operator.mod, rest, n))
            rest = binary(operator.floordiv, rest, n)
        return tuple(found[::-1])
    if isinstance(from_items, tuple):
        return from_items[k]
    if isinstance(from_items, np.ndarray) and not known(k):
        from_items = state.new(from_items)
    return state.view(from_items, lambda x: x[k])


def has_tuples(items: Any) -> bool:
    """Whether one of the things gone over is a tuple, whose items may all differ."""
    if isinstance(items, Counted):
        return has_tuples(items.items)
    if isinstance(items, Zipped):
        return any(map(has_tuples, items.items))
    plain_tuple = isinstance(items, tuple) and not isinstance(items, Range | Places)
    return plain_tuple or isinstance(items, Listed)


def most(bounds: Bounds, items: Any) -> int | None:
    """No more iterations than this, if that is known."""
    if isinstance(items, Counted):
        return most(bounds, items.items)
    if isinstance(items, Zipped):
        found = [most(bounds, x) for x in items.items]
        return min((n for n in found if n is not None), default=None)
    if not isinstance(items, Range):
        return None
    start, stop, step = items
    if not known(step):
        return None
    first, last = bounds.of(start), bounds.of(stop)
    if first is None or last is None:
        return None
    forward = step > 0
    return len(range(first[not forward], last[forward], step))
