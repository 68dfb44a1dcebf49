"""The oracle for functions that move elements: NumPy, on values and on positions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitad import tree
from jitad.transforms.derivatives.accumulate import MODES
from tests.support import engine

Shapes = Sequence[tuple[int, ...]]


def inputs(shapes: Shapes, dtype: Any) -> list[np.ndarray]:
    """Arrays of distinct numbers."""
    rng = np.random.default_rng(7)
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


def leaves(result: Any) -> list[np.ndarray]:
    """The arrays of a result; nested lists of numbers are arrays themselves."""
    return [np.asarray(x) for x in tree.flatten(result)[0]]


def plain(f: Callable[..., Any], args: Sequence[Any]) -> list[np.ndarray]:
    """What NumPy makes of f; args are left as they are."""
    return leaves(f(*copy.deepcopy(list(args))))


def check_value(f: Callable[..., Any], args: Sequence[Any]) -> None:
    """The traced f gives NumPy's bits, dtype and shape, and leaves its inputs alone."""
    before = copy.deepcopy(list(args))
    expected = plain(f, args)
    for scalar in (True, False):
        found = leaves(engine.value(f, *args, scalar=scalar))
        assert len(found) == len(expected)
        for x, y in zip(found, expected, strict=True):
            assert x.dtype == y.dtype
            assert x.shape == y.shape
            assert np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
    for x, y in zip(args, before, strict=True):
        assert np.array_equal(x, y)


def check_moves(f: Callable[..., Any], shapes: Shapes, dtype: Any = float) -> None:
    """check_value, and the Jacobian is the 0/1 matrix that positions show."""
    args = inputs(shapes, dtype)
    check_value(f, args)
    numbered, start = [], 1
    for x in args:
        numbered.append(np.arange(start, start + x.size, dtype=dtype).reshape(x.shape))
        start += x.size
    positions = plain(f, numbered)
    expected = [
        (p[(...,) + (None,) * x.ndim] == x).astype(dtype)
        for p in positions
        if p.dtype.kind == "f"
        for x in numbered
    ]
    for mode in MODES:
        found = engine.jacobian(f, *args, mode=mode)
        assert len(found) == len(expected)
        for j, e in zip(found, expected, strict=True):
            assert j.shape == e.shape
            assert np.array_equal(j, e), mode


MASK = np.array([True, False, True, False])


def program(*lines):
    """A function of x that runs the lines and returns its variables."""
    code = compile("\n".join(lines), "<program>", "exec")

    def f(x):
        names = {"x": x, "np": np, "MASK": MASK, "copy": copy}
        exec(code, names)
        return [names[k] for k in sorted(names) if len(k) == 1]

    return f
