"""NumPy's ufuncs on traced values: their values, dtypes and edges are NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from engine import traced
from laws import MODES, jacobian

import jitad
from jitad.errors import UnsupportedError
from jitad.ir.interpret import interpret
from jitad.ir.primitive import registry
from jitad.transforms.expand import expand
from jitad.transforms.scalarize import scalarize

nan, inf = float("nan"), float("inf")

EVERY = {
    ufunc.__name__: ufunc for ufunc in vars(np).values() if isinstance(ufunc, np.ufunc)
}
# Contractions are other rooms' ufuncs; the rest work on bits and dates.
CONTRACTIONS = {"matmul", "matvec", "vecdot", "vecmat"}
REFUSED = {
    "bitwise_count", "left_shift", "right_shift", "gcd", "lcm", "isnat", "frexp",
}  # fmt: skip
TRACED = sorted(set(EVERY) - REFUSED - CONTRACTIONS)

FLOATS = np.array(
    [0.0, -0.0, 0.3, -0.7, 1.0, -1.0, 1.5, 2.5, -2.5, 7.0, -30.0, 1e10, inf, -inf, nan]
)
INTEGERS = np.array([0, 1, -1, 2, -3, 7, 100, -100])
TABLES = {
    "float64": FLOATS,
    "float32": FLOATS.astype(np.float32),
    "int64": INTEGERS,
    "int32": INTEGERS.astype(np.int32),
    "bool": np.array([True, False]),
}


def operands(name: str, dtype: str) -> list[np.ndarray]:
    """Every pair of a table's values, or every value."""
    table = TABLES[dtype]
    if name == "ldexp":
        return [table]
    if EVERY[name].nin == 1:
        return [table]
    return [grid.ravel() for grid in np.meshgrid(table, table)]


def function(name: str) -> Callable[..., Any]:
    return (lambda x: np.ldexp(x, -3)) if name == "ldexp" else EVERY[name]


def in_words(f: Callable[..., Any], columns: list[np.ndarray]) -> list[Any]:
    """The outputs of f at each of many points, computed in machine words."""
    graph = expand(scalarize(traced(f, *[c[0] for c in columns]).graph))
    for node in graph.nodes:
        assert node.primitive.word or node.primitive.kind == "leaf"
    return [np.broadcast_to(y, columns[0].shape) for y in interpret(graph, columns, 1)]


def numpys(f: Callable[..., Any], columns: list[np.ndarray]) -> tuple[Any, ...]:
    with np.errstate(all="ignore"):
        want = f(*columns)
    return want if isinstance(want, tuple) else (want,)


def same(got: Any, want: Any, ulp: int = 4, signs: bool = True) -> None:
    """Equal dtypes, NaNs, infinities and signs of zero; close to some ulp."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want)
        return
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    zero = (want == 0) & signs
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(want[zero]))
    with np.errstate(all="ignore"):
        right = (got == want) | np.isnan(want)
        right |= np.abs(got - want) <= ulp * np.spacing(np.abs(want))
    assert right.all(), (got[~right], want[~right])


# Where NumPy's result is an integer that jitad has no word for.
WITHOUT_WORD = {("power", "int64"), ("power", "int32"), ("power", "bool"),
                ("reciprocal", "int64"), ("reciprocal", "int32")}  # fmt: skip
# A logarithm near zero that is a difference of numbers near one.
LESS_ACCURATE = {"logaddexp": 16, "logaddexp2": 16}


def computed_in(name: str, columns: list[np.ndarray]) -> set[np.dtype]:
    """The dtypes of NumPy's loop; TypeError where it has none."""
    ufunc = EVERY[name]
    kinds = [c.dtype for c in columns] + [int] * (ufunc.nin - len(columns))
    return set(ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout)))


@pytest.mark.parametrize("dtype", TABLES)
@pytest.mark.parametrize("name", TRACED)
def test_ufuncs(name: str, dtype: str) -> None:
    f, columns = function(name), operands(name, dtype)
    scalars = [c[0] for c in columns]
    try:
        loop = computed_in(name, columns)
    except TypeError:
        with pytest.raises(TypeError):
            traced(f, *scalars)
        return
    small = {np.dtype(t) for t in ("f2", "i1")}
    if loop & small or (name, dtype) in WITHOUT_WORD:
        with pytest.raises(UnsupportedError):
            traced(f, *scalars)
        return
    want = numpys(f, columns)
    for g, w in zip(in_words(f, columns), want, strict=True):
        same(g, w, ulp=LESS_ACCURATE.get(name, 4))
    whole = interpret(traced(f, *columns).graph, columns)
    for g, w in zip(whole, want, strict=True):
        same(g, w, ulp=2)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_ufuncs(name: str) -> None:
    ufunc = EVERY[name]
    with pytest.raises(UnsupportedError, match=name):
        traced(ufunc, *[1.0] * ufunc.nin)
