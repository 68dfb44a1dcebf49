"""A ufunc's results in machine words, by NumPy, and whether they are the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitad.ir.interpret import interpret
from jitad.transforms.rewrite.expand import expand
from jitad.transforms.scalars.scalarize import scalarize
from tests.support.engine import traced


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
