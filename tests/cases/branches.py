"""Python branches on traced values, and their derivatives in closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import jitad

nan, inf = float("nan"), float("inf")
POINTS = (-2.5, -1.0, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 3.0, 9.0, nan)


class Case(NamedTuple):
    """A function, its first and second derivative, and points."""

    function: Callable[..., Any]
    first: Callable[[Any], Any]
    second: Callable[[Any], Any]
    points: tuple[float, ...] = POINTS


def three_ways(x):
    if x > 1:
        return x * x
    elif x > -1:
        return np.sin(x)
    else:
        return 1.0


def early(x):
    if not x > 0:
        return x
    y = np.log(x)
    if y > 0:
        y *= 2
    return y


def huber(x):
    return 0.5 * x**2 if abs(x) < 1 else abs(x) - 0.5


def inside(x):
    return x * x if 0 < x < 1 else 2 * x


def either(x):
    return 3 * x if x < -1 or x > 1 else x**3


def halved(x):
    count = 0
    while x > 1 and count < 4:
        x = x / 2
        count += 1
    return x * (count + 1)


def nested(x):
    y = x * x if x < 1 else 3 * x
    z = y - 1 if y > 0.5 else 1 + y
    return z * y if x > 0 else z


def extremes(x):
    return min(x, 2 * x, 1.0) + max(x, -1)


def middle(x):
    return sorted([x, x * x, 0.5])[1]


def root_or_zero(x):
    return np.sqrt(x) if x > 0 else 0.0


def log_or_line(x):
    return np.log(x) if x > 0 else x


def ratio(x):
    return np.sin(x) / x if x != 0 else 1.0


def infinite_below(x):
    y = 1 / x if x != 0 else x
    return y * np.sqrt(x) if x > 0 else y * x


def truthy(x):
    return x * x if x else 5.0


def in_place(x):
    y = np.stack([x, 0 * x, 0 * x])
    if x > 0:
        y[1] = x * x
        y[0] += y[1]
    else:
        y[2:] = -x
    return y[0] + 2 * y[1] + 3 * y[2]


def by_cond(x):
    return jitad.cond(x > 0, np.sqrt, lambda x: -x, x)


def by_switch(x):
    number = np.floor(x).astype(int) if hasattr(x, "astype") else int(np.floor(x))
    return jitad.switch(number, [np.exp, lambda x: x * x, np.sin], x)


def pieces(*parts: Any) -> Callable[[Any], Any]:
    """value, bound, value, …: the first value whose bound is not below x."""

    def at(x: Any) -> Any:
        *pairs, last = parts
        for value, bound in zip(pairs[::2], pairs[1::2], strict=True):
            if x <= bound:
                return value(x) if callable(value) else value
        return last(x) if callable(last) else last

    return at


BELOW = np.nextafter(1.0, 0.0)
ROOT = float(np.sqrt(0.5))
TINY = 5e-324
CASES = [
    Case(
        three_ways,
        pieces(0.0, -1, np.cos, 1, lambda x: 2 * x),
        pieces(0.0, -1, lambda x: -np.sin(x), 1, 2.0),
        POINTS[:-1],
    ),
    Case(
        early,
        pieces(1.0, 0, lambda x: 1 / x, 1, lambda x: 2 / x),
        pieces(0.0, 0, lambda x: -1 / x**2, 1, lambda x: -2 / x**2),
        POINTS[:-1],
    ),
    Case(
        huber,
        pieces(-1.0, -1, lambda x: x, BELOW, 1.0),
        pieces(0.0, -1, 1.0, BELOW, 0.0),
        POINTS[:-1],
    ),
    Case(
        inside,
        pieces(2.0, 0, lambda x: 2 * x, BELOW, 2.0),
        pieces(0.0, 0, 2.0, BELOW, 0.0),
    ),
    Case(
        either,
        pieces(3.0, np.nextafter(-1, -2), lambda x: 3 * x**2, 1, 3.0),
        pieces(0.0, np.nextafter(-1, -2), lambda x: 6 * x, 1, 0.0),
        POINTS[:-1],
    ),
    Case(
        halved,
        pieces(1.0, 2, 0.75, 4, 0.5, 8, 0.3125),
        lambda x: 0.0,
        (-1.0, 0.5, 1.5, 2.0, 3.0, 4.0, 7.0, 100.0),
    ),
    Case(
        nested,
        pieces(
            lambda x: 2 * x, 0,
            lambda x: 2 * x + 4 * x**3, ROOT,
            lambda x: 4 * x**3 - 2 * x, BELOW,
            lambda x: 18 * x - 3,
        ),
        pieces(
            2.0, 0,
            lambda x: 2 + 12 * x**2, ROOT,
            lambda x: 12 * x**2 - 2, BELOW,
            18.0,
        ),
        (-2.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 3.0),
    ),
    Case(
        extremes,
        pieces(2.0, np.nextafter(-1, -2), 3.0, np.nextafter(0, -1), 2.0, 1, 1.0),
        lambda x: 0.0,
        (-2.5, -0.5, 0.0, 0.5, 1.0, 3.0),
    ),
    Case(
        middle,
        pieces(0.0, -ROOT, lambda x: 2 * x, 0, 1.0, 0.5, 0.0, ROOT,
               lambda x: 2 * x, 1, 1.0),
        pieces(0.0, -ROOT, 2.0, 0, 0.0, ROOT, 2.0, 1, 0.0),
        (-2.0, -0.25, 0.25, 0.6, 0.75, 2.0),
    ),
    Case(
        root_or_zero,
        pieces(0.0, 0, lambda x: 0.5 / np.sqrt(x)),
        pieces(0.0, 0, lambda x: -0.25 * x**-1.5),
        POINTS[:-1],
    ),
    Case(
        log_or_line,
        pieces(1.0, 0, lambda x: 1 / x),
        pieces(0.0, 0, lambda x: -1 / x**2),
        POINTS[:-1],
    ),
    Case(
        ratio,
        pieces(lambda x: (np.cos(x) - np.sin(x) / x) / x, -TINY, 0.0, 0,
               lambda x: (np.cos(x) - np.sin(x) / x) / x),
        pieces(lambda x: (2 * np.sin(x) / x - 2 * np.cos(x)) / x**2 - np.sin(x) / x,
               -TINY, 0.0, 0,
               lambda x: (2 * np.sin(x) / x - 2 * np.cos(x)) / x**2 - np.sin(x) / x),
        (-2.5, 0.0, 1.5, 3.0, nan),
    ),
    Case(
        infinite_below,
        pieces(0.0, 0, lambda x: -0.5 * x**-1.5),
        pieces(0.0, -TINY, 2.0, 0, lambda x: 0.75 * x**-2.5),
        (-2.0, 0.0, 0.25, 4.0),
    ),
    Case(
        truthy,
        pieces(lambda x: 2 * x, -TINY, 0.0, 0, lambda x: 2 * x),
        pieces(2.0, -TINY, 0.0, 0, 2.0),
        (-2.0, 0.0, 0.25),
    ),
    Case(
        in_place,
        pieces(-2.0, 0, lambda x: 1 + 6 * x),
        pieces(0.0, 0, 6.0),
        POINTS[:-1],
    ),
    Case(
        by_cond,
        pieces(-1.0, 0, lambda x: 0.5 / np.sqrt(x)),
        pieces(0.0, 0, lambda x: -0.25 * x**-1.5),
        POINTS[:-1],
    ),
    Case(
        by_switch,
        pieces(np.exp, BELOW, lambda x: 2 * x, np.nextafter(2, 0), np.cos),
        pieces(np.exp, BELOW, 2.0, np.nextafter(2, 0), lambda x: -np.sin(x)),
        POINTS[:-1],
    ),
]  # fmt: skip
