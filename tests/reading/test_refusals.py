"""What Numba compiles and jitad does not read is refused by name, at its line."""

from __future__ import annotations

import math
import random
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import (
    float64,
    guvectorize,
    njit,
    objmode,
    stencil,
    typed,
    types,
)
from numba.experimental import jitclass

import jitad
from jitad.errors import UnsupportedError

X = np.array([0.5, 1.5, 2.5])
TOTALS = [1.0, 2.0]
COUNTS = np.zeros(3)


@jitclass([("value", float64)])
class Box:
    def __init__(self, value: float) -> None:
        self.value = value


@guvectorize([(float64[:], float64[:])], "(n)->(n)")
def doubled(x, out):
    for i in range(len(x)):
        out[i] = 2 * x[i]


@stencil
def neighbours(x):
    return x[-1] + x[1]


def plain_python(x):
    return x[0]


def typed_list(x):
    items = typed.List()  # here
    items.append(x[0])
    return items[0]


def list_that_grows(x):
    items = [x[0]]
    items.append(x[1])  # here
    return items[0]


def comprehension(x):
    return sum([v * v for v in x])  # here


def dictionary(x):
    table = {1: x[0]}  # here
    return table[1]


def typed_dictionary(x):
    table = typed.Dict.empty(types.int64, types.float64)  # here
    table[1] = x[0]
    return table[1]


def a_set(x):
    seen = {1, 2}  # here
    return x[0] * len(seen)


def text(x):
    name = "a"
    return x[0] * len(name.upper())  # here


def a_class(x):
    return Box(x[0]).value  # here


def recursion(x):
    return x[0] if len(x) < 2 else again(x[1:])  # here


again = njit(recursion)


def generalized_ufunc(x):
    out = np.empty(3)
    doubled(x, out)  # here
    return out[0]


def a_stencil(x):
    return neighbours(x)[1]  # here


def object_mode(x):
    with objmode(y="float64"):  # here
        y = x[0]
    return y


def catching(x):
    try:
        y = x[0] / x[1]  # here
    except Exception:
        y = 0.0
    return y


def raising(x):
    if len(x) > 2:
        raise ValueError("too long")  # here
    return x[0]


def whole(x):
    if x[0] > 0.0:
        raise ValueError("positive")
    return len(x)


def calls_python(x):
    return plain_python(x)  # here


def global_list(x):
    return x[0] + TOTALS[0]  # here


def writes_to_a_global(x):
    COUNTS[0] = x[0]  # here
    return x[0]


def draws(x):
    return x[0] + np.random.random()  # noqa: NPY002 # here


def draws_plainly(x):
    return x[0] + random.random()  # here


def unknown_size(x):
    return np.zeros(int(x[0]) + 2).sum()  # here


def unknown_slice(x):
    return x[: int(x[0]) + 1].sum()  # here


def prints(x):
    print(x[0])  # here
    return x[0]


def negative_power(x):
    k = int(x[0]) + 2
    return 2 ** (-k) * x[0]  # here


def tuple_at_a_place(x):
    pair = (1.0, 2.0)
    return x[0] * pair[int(x[0])]  # here


def two_shapes(x):
    y = x.copy()
    if x[0] > 0.0:
        y = x[:2].copy()
    return y[0]  # here


def generator(x):
    total = 0.0
    for v in numbers(x):  # here
        total += v
    return total


@njit
def numbers(x):
    for i in range(3):
        yield x[i]  # there


REFUSALS: dict[Any, str] = {
    typed_list: "a call of List",
    list_that_grows: ".append of a list",
    comprehension: "a comprehension" if sys.version_info < (3, 12) else ".append of",
    dictionary: "a dict",
    typed_dictionary: "Dict.empty",
    a_set: "a set",
    text: ".upper of a str",
    a_class: "Box, a @jitclass",
    recursion: "recursion, which calls itself",
    generalized_ufunc: "doubled, a @guvectorize",
    a_stencil: "a @stencil function",
    object_mode: "objmode",
    catching: "try and except",
    raising: "raise, or assert, which these arguments lead to",
    whole: "whole, which may raise and gives no float",
    calls_python: "a call of plain_python",
    global_list: "an item of a list",
    writes_to_a_global: "an array of the program's",
    draws: "random",
    draws_plainly: "random",
    unknown_size: "np.zeros of a size that is not known",
    unknown_slice: "a slice whose ends are not known",
    prints: "print",
    negative_power: "a whole number to a whole power",
    tuple_at_a_place: "a tuple, at a place that is computed",
    two_shapes: "y is an array of one shape or dtype or another",
    generator: "a generator",
}


@pytest.mark.parametrize("f", REFUSALS, ids=lambda f: f.__name__)
def test_what_is_not_read_is_refused_by_name(f: Any) -> None:
    compiled = again if f is recursion else njit(f)
    with pytest.raises(UnsupportedError) as error:
        jitad.jit(compiled)(X)
    message = str(error.value)
    assert REFUSALS[f] in message
    assert re.search(r"; [a-z].{10}", message), "no remedy"
    if f is whole:
        return  # it is all of the function that cannot be
    where = "yield x[i]" if f is generator else None
    lines = Path(__file__).read_text().splitlines()
    start = f.__code__.co_firstlineno
    line = next(
        n
        for n, text in enumerate(lines, 1)
        if (where in text if where else n >= start and "# here" in text)
    )
    if f is not generator:
        assert f"{__file__}:{line}" in message, message


@pytest.mark.parametrize("f", [doubled, neighbours], ids=["guvectorize", "stencil"])
def test_traced_functions_cannot_call_them_either(f: Any) -> None:
    with pytest.raises(UnsupportedError, match=rf"is not read \({__file__}:"):
        jitad.jit(lambda x: f(x))(X)


@pytest.mark.parametrize("given", [[1.0, 2.0], {"a": 1.0}])
def test_containers_are_refused_as_arguments(given: Any) -> None:
    f = njit(lambda x, y: x)
    with pytest.raises(UnsupportedError, match="as an argument of a Numba function"):
        jitad.jit(lambda x: f(x, given if isinstance(given, dict) else [x]))(1.0)


def test_a_plain_array_that_is_written_to_is_refused() -> None:
    @njit
    def fill(x, out):
        out[0] = x

    def f(x):
        out = np.zeros(2)
        fill(x, out)
        return out[0]

    def g(x):
        out = jitad.zeros(2)
        fill(math.pi * x, out)
        return out[0]

    with pytest.raises(UnsupportedError, match=r"fill, which writes to an argument"):
        jitad.jit(f)(1.0)
    assert jitad.grad(g)(1.0) == math.pi
