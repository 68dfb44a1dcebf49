"""What is taken from Numba is there: a new Numba fails here, and says how."""

from __future__ import annotations

import operator
from typing import Any

import numba
import numpy as np
import pytest
from numba import njit, prange

import jitad
from jitad.errors import UnsupportedError
from jitad.reading import frontend
from jitad.reading.frontend import RETURN


@njit
def sums(x, n=3, *more):
    s = 0
    for i in prange(n):
        if x[i] < 0:
            break
        s += x[i]
        x[i] = -s
    while s > 1.0:
        s = s / 2.0
    pair = (s, x.size)
    a, b = pair
    return a + b


def test_blocks_say_all_that_a_function_does() -> None:
    made = frontend.program(sums)
    statements = [s.what for b in made.blocks.values() for s in b.statements]
    ops = {s.op for s in statements}
    assert ops >= {
        *("arg", "value", "name", "binop", "inplace", "unary", "getattr", "getitem"),
        *("store", "tuple", "unpack", "call", "iterate", "next", "first", "second"),
    }
    functions = {s.data for s in statements if s.op in ("binop", "inplace", "unary")}
    assert functions >= {operator.lt, operator.add, operator.neg, operator.truediv}
    assert {s.data for s in statements if s.op == "arg"} == {"x", "n", "more"}
    assert any(frontend.is_parallel_range(s.data) for s in statements)
    assert len(made.loops) == 2 and len(asking(made)) == 1


def asking(made: Any) -> list[int]:
    """The headers of the loops that ask for the next item."""
    return [
        h for h in made.loops
        if any(s.what.op == "next" for s in made.blocks[h].statements)
    ]  # fmt: skip


def test_blocks_come_behind_those_that_lead_to_them() -> None:
    made = frontend.program(sums)
    place = {label: k for k, label in enumerate(made.order)}
    assert place.keys() == made.blocks.keys()
    for label, block in made.blocks.items():
        for following in block.ending.labels:
            loop = made.loops.get(following)
            back = loop is not None and label in loop.body
            assert following == RETURN or (place[label] < place[following]) != back


def test_a_long_loop_begins_where_it_asks_for_an_item() -> None:
    # Its end is so far from its beginning that a block of its own leads there.
    lines = ["    for i in range(3):", *["        s = s * 0.5 + x[i]"] * 90]
    names: dict[str, Any] = {}
    exec("\n".join(["def f(x):", "    s = 0.0", *lines, "    return s"]), names)
    f = njit(names["f"])
    x = np.array([0.2, 0.3, -0.7])
    made = frontend.program(f)
    (header,) = made.loops
    assert "next" in {s.what.op for s in made.blocks[header].statements}
    np.testing.assert_allclose(jitad.jit(f)(x), f(x), rtol=1e-15)


def test_names_alive_are_those_read_later() -> None:
    made = frontend.program(sums)
    (header,) = asking(made)
    assert {"x", "s"} <= made.live[header]
    assert "more" not in made.live[header]


def test_types_of_numba_have_dtypes() -> None:
    assert frontend.dtype_of(numba.float32) == np.float32
    assert frontend.dtype_of(np.float32) is None


def test_a_numba_that_is_another_is_named(monkeypatch: Any) -> None:
    def changed(function: Any) -> Any:
        return object()

    @njit
    def f(x):
        return x

    monkeypatch.setattr("numba.core.compiler.run_frontend", changed)
    message = f"Numba 0.62 to 0.68, but Numba {numba.__version__} gives others"
    with pytest.raises(UnsupportedError, match=message):
        jitad.jit(f)(1.0)


def test_what_numba_cannot_read_is_said_in_its_words() -> None:
    @njit
    def f(x):
        async def g():
            return x

        return g

    with pytest.raises(UnsupportedError, match=r"f cannot be read|is not read"):
        jitad.jit(f)(1.0)
