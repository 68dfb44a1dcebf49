"""Functions that raise where data say so: in test modules pytest rewrites `assert`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

import jitad

GOOD = np.array([-0.1, 0.2, 0.3])
BAD = np.array([0.4, 0.2, 5.0])


@njit
def at_once(x):
    if x[0] > 0.0:
        raise ValueError("positive")
    return x[0] * x[1]


@njit
def in_loops(x):
    total = 0.0
    for i in range(len(x)):
        for j in range(3):
            assert x[i] < 2.0 + j, "too large"
            total += x[i] ** 2 * j
    return total


@njit
def while_it_goes(x):
    k, total = 0, 0.0
    while total < 1.0 and k < 3:
        total += x[k] ** 2
        k += 1
        if total > 4.0:
            raise RuntimeError("too far")
    return total


@njit
def called(x):
    return 2.0 * at_once(x) + in_loops(x)


@njit
def written(x, out):
    for i in range(len(x)):
        if x[i] > 1.0:
            raise ValueError("written " + str(i))  # what is said need not be read
        out[i] = x[i] ** 2


def through_a_buffer(x):
    out = jitad.zeros(len(x))
    written(x, out)
    return np.sum(out)


@njit
def in_a_tuple(x):
    if x[2] > 1.0:
        raise ValueError("in a tuple")
    return len(x), x * x[0]


def plain(x):
    total = 0.0
    for i in range(len(x)):
        if not x[i] < 1.5:
            raise KeyError("plain")
        total += np.sin(x[i])
    return total


def beyond(x):
    k, total = 0, 0.0
    while total < 1.0:
        total = total + abs(x[k])
        k += 1
    return total


def written_beyond(x):
    out = np.zeros(6)
    for k in range(3):
        out[k + 2 * k * (x[2] > 3.0)] = x[k]
    return np.sum(out**2)


CASES: dict[str, tuple[Any, Any, str]] = {
    "at_once": (at_once, ValueError, "positive"),
    "in_loops": (in_loops, AssertionError, "too large"),
    "while_it_goes": (while_it_goes, RuntimeError, "too far"),
    "called": (called, ValueError, "positive"),
    "through_a_buffer": (through_a_buffer, ValueError, "written"),
    "in_a_tuple": (lambda x: in_a_tuple(x)[1].sum(), ValueError, "in a tuple"),
    "plain": (plain, KeyError, "plain"),
}
