"""Random programs held to one another, and how much of that said something."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from jitad import tree
from jitad.ir.graph import Graph, validate
from jitad.transforms.scalars.scalarize import scalarize
from tests.support import engine
from tests.support.random_graphs import (
    Program,
)

BATCH = 9
# Bounds of at most such a part of a number say something about it.
USEFUL = {"d": 1e-4, "f": 1e-3}


class Seen:
    """How much of what was compared had a bound that says something.

    All arrays count alike, however many numbers they hold.
    """

    def __init__(self) -> None:
        self.shares: list[float] = []

    def bounded(self, got: Any, want: Any, error: Any, times: int = 2) -> None:
        """As `within` so many times an error; of what is beyond all none is known."""
        with np.errstate(over="ignore"):
            allowed = times * error
        self.within(got, want, allowed)

    def within(self, got: Any, want: Any, allowed: Any) -> None:
        """Same shape, dtype and NaN pattern, and no further apart than allowed."""
        got, want = np.asarray(got), np.asarray(want)
        assert got.shape == want.shape
        assert got.dtype == want.dtype
        allowed = np.broadcast_to(allowed, want.shape)
        decided = np.isfinite(allowed)
        np.testing.assert_array_equal(np.isnan(got)[decided], np.isnan(want)[decided])
        with np.errstate(all="ignore"):
            apart = np.abs(np.subtract(got, want, dtype=float))
            apart = np.where((got == want) | np.isnan(want), 0.0, apart)
            size = np.abs(np.asarray(want, float))
        assert np.all((apart <= allowed) | ~decided), (got, want, allowed)
        moving = size > 0
        if moving.any():
            useful = USEFUL[want.dtype.char] * size
            self.shares.append(float(np.mean((allowed <= useful)[moving])))


@contextmanager
def mostly_sharp(least: float = 0.6) -> Iterator[Seen]:
    """Count what is compared, and fail if too little of it had a useful bound."""
    seen = Seen()
    yield seen
    assert seen.shares
    assert np.mean(seen.shares) >= least


def everything(program: Program) -> range:
    return range(len(program.inputs))


def scalars(f: Callable[..., Any], program: Program) -> Graph:
    graph = scalarize(engine.traced(f, *program.inputs).graph)
    validate(graph)
    return graph


def spread(program: Program, seed: int) -> list[np.ndarray]:
    """A batch of points around the program's own."""
    rng = np.random.default_rng(seed)
    return [
        (x * rng.uniform(0.7, 1.3, (BATCH, *x.shape))).astype(x.dtype)
        for x in program.inputs
    ]


def leaves(result: Any) -> list[np.ndarray]:
    return [np.asarray(x) for x in tree.flatten(result)[0]]
