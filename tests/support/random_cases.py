"""What a law is tried on: random programs, inputs and choices, the same in every run.

A Maker makes a thing from integers; `over` runs a law over so many things, whose
integers come from a fixed sequence.  Hypothesis would pick integers from all modules
that happen to be loaded (its pool of local constants, version 6.131), so what one test
file tries would depend on which others ran before.  In the profile `thorough` they are
Hypothesis's, other ones in every run, and what fails is made small.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.support.random_graphs import Growing, Number, Program

T = TypeVar("T")
Maker = Callable[[Number], T]

LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "contiguous": lambda x: x,
    "fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(x[..., None], 3, -1)[..., 1],
    "reversed": lambda x: np.flip(np.flip(x).copy()),
    "shifted": lambda x: np.concatenate([x[:1], x])[1:] if x.ndim else x,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "unaligned": lambda x: (
        np.frombuffer(b"0" + x.tobytes(), "u1")[1:].view(x.dtype).reshape(x.shape)
    ),
}

# Most inputs have elements.
SHAPES = ((), (1,), (3,), (4,), (2, 2), (1, 3), (2, 1, 2), (0,), (2, 0))
FULL = 5


def over(count: int, *makers: Maker[Any]) -> Callable[[Callable[..., None]], None]:
    """Decorate a law to be held at once, over so many cases of its arguments."""

    def case(number: Number) -> tuple[Any, ...]:
        return tuple([make(number) for make in makers])

    @st.composite
    def cases(draw: Any) -> tuple[Any, ...]:
        return case(lambda low, high: draw(st.integers(low, high)))

    def hold(law: Callable[..., None]) -> None:
        thorough = settings().max_examples > 100

        @settings(
            phases=[Phase.generate, Phase.shrink] if thorough else [Phase.explicit],
            max_examples=max(1, count * settings().max_examples // 100),
            suppress_health_check=list(HealthCheck),
            deadline=None,
            database=None,
        )
        @given(cases())
        def held(case: tuple[Any, ...]) -> None:
            law(*case)

        for k in range(0 if thorough else count):
            held = example(case(random.Random(k).randint))(held)
        held()

    return hold


def integers(low: int, high: int) -> Maker[int]:
    """Integers from low to high, which are among them."""
    return lambda number: number(low, high)


def one_of(items: Sequence[T]) -> Maker[T]:
    """One of some items."""
    return lambda number: items[number(0, len(items) - 1)]


def programs(least: int = 5, most: int = 60, *, factors: bool = True) -> Maker[Program]:
    """Programs of about so many lines; factors: with linear algebra among them."""

    def make(number: Number) -> Program:
        growing = Growing(number, _arrays(number))
        growing.grow(number(least, most), factors)
        return growing.finish()

    return make


def _arrays(number: Number) -> list[np.ndarray]:
    """Small arrays of both dtypes, of numbers that are no ties and near no edges."""
    count = number(1, 3)
    rng = np.random.default_rng(number(0, 2**16))
    kind = one_of(("f8", "f8", "f4", "mixed"))(number)
    found = []
    for k in range(count):
        shape = one_of(SHAPES if k else SHAPES[:FULL])(number)
        dtype = rng.choice(["f8", "f4"]) if kind == "mixed" else kind
        found.append(np.asarray(rng.uniform(-1.5, 1.5, shape)).astype(dtype))
    return found
