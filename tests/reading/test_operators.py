"""Operators on numbers of every type have Numba's values and types, where read."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import pytest
from numba import njit, typeof
from numba.np.numpy_support import as_dtype

import jitad

# Numbers of all that Numba tells apart: the last two have no bits to operate on.
NUMBERS = [
    np.uint8(5), np.int8(-128), np.uint16(7), np.uint32(9), np.uint64(2**63),
    np.int64(-3), True, np.float32(0.5), 2.5,
]  # fmt: skip


def unary(a: Any) -> Any:
    return -a, +a


def inverted(a: Any) -> Any:
    return -a, +a, ~a


def arithmetic(a: Any, b: Any) -> Any:
    return a + b, a - b, b - a, a * b, a / b, a // b, b // a, a % b, a < b, a == b


def bits(a: Any, b: Any) -> Any:
    return a & b, a | b, a ^ b, a << (b & 7), b << (a & 7), a >> (b & 7), b >> (a & 7)


def agree(f: Any, *args: Any) -> None:
    """Values and types of f are Numba's, of which Python sees the values alone."""
    compiled = njit(f)
    expected = compiled(*args)
    made = compiled.overloads[tuple(map(typeof, args))].signature.return_type
    found = jitad.jit(njit(f))(*args)
    for k, (type, value, own) in enumerate(zip(made, expected, found, strict=True)):
        assert own.dtype == as_dtype(type), (f.__name__, k, args)
        assert own == value, (f.__name__, k, args)


@pytest.mark.parametrize("a", NUMBERS, ids=lambda a: type(a).__name__)
def test_of_one_number(a: Any) -> None:
    agree(unary if np.result_type(a).kind == "f" else inverted, a)


@pytest.mark.slow  # Numba compiles each function for each pair of types
@pytest.mark.parametrize(
    "pair",
    list(combinations_with_replacement(NUMBERS, 2)),
    ids=lambda pair: "-".join(type(x).__name__ for x in pair),
)
def test_of_two_numbers(pair: Any) -> None:
    agree(arithmetic, *pair)
    if all(np.result_type(x).kind != "f" for x in pair):
        agree(bits, *pair)
