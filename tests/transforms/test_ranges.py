"""Which whole numbers lie where, held to what all iterations of two loops compute."""

from __future__ import annotations

import random
from typing import Any

import numba
import numpy as np
import pytest

import jitad
from jitad.ir.graph import scalar
from jitad.ir.interpret import interpret
from jitad.ir.loop import INT, LOOP, loop_of
from jitad.ir.primitive import registry
from jitad.lowering.statement import statements
from jitad.lowering.statements import Op
from jitad.transforms.scalars.ranges import Form, form, iterations, outcome
from jitad.transforms.scalars.templates import new_builder

WORDS = ("add", "sub", "mul", "minimum", "maximum", "integer_floor_divide",
         "integer_mod", "select")  # fmt: skip
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")


def grown(builder: Any, rng: random.Random, known: list[int], steps: int) -> list[int]:
    """Whole numbers that are made of some."""
    made = list(known)
    for _ in range(steps):
        word = rng.choice(WORDS)
        a, b = rng.choice(made), rng.choice(made)
        if word in ("mul", "integer_floor_divide", "integer_mod"):
            b = builder.number(rng.choice([-3, -1, 1, 2, 3, 5]), INT)
        elif rng.random() < 0.3:
            b = builder.number(rng.randint(-9, 9), INT)
        operands: tuple[int, ...] = (a, b)
        if word == "select":
            test = registry.primitives[rng.choice(COMPARISONS)]
            either = rng.choice([(a, b), (b, a), (rng.choice(made), b)])
            mask = builder.add(test, either, scalar(np.dtype(bool)))
            operands = mask, *either
        made.append(builder.add(registry.primitives[word], operands, scalar(INT)))
    return made


def two_loops(seed: int) -> tuple[Any, list[int], int, int, Any]:
    """A builder with the numbers of two loops' iterations, and what is made of them."""
    rng = random.Random(seed)
    builder = new_builder()
    i, k = builder.input(scalar(INT)), builder.input(scalar(INT))
    n, m = rng.randint(1, 7), rng.randint(1, 7)
    builder.forms[i] = iterations(n, builder, None)
    count = rng.choice(grown(builder, rng, [i], 5))
    builder.forms[k] = iterations(m, builder, count)
    made = grown(builder, rng, [i, k], 8)
    return builder, made, n, m, count


@pytest.mark.parametrize("seed", range(150))
def test_all_numbers_lie_where_they_are_said_to(seed: int) -> None:
    builder, made, n, m, count = two_loops(seed)
    graph = builder.finish([count, *made])
    found = [form(builder, v) for v in made]
    pairs = [(w, a, b) for w in COMPARISONS for a in made for b in made[-3:]]
    said = [outcome(builder, *pair) for pair in pairs]
    for i in range(n):
        for k in range(m):
            limit, *values = interpret(graph, [np.int64(i), np.int64(k)])
            if k >= limit:
                continue
            for value, known in zip(values, found, strict=True):
                assert known is None or known.low() <= value <= known.high()
            at = dict(zip(made, values, strict=True))
            for (word, a, b), told in zip(pairs, said, strict=True):
                true = registry.primitives[word].evaluate(at[a], at[b])
                assert told is None or told == true


def test_a_triangle_ends_at_its_edge() -> None:
    builder = new_builder()
    i, k = builder.input(scalar(INT)), builder.input(scalar(INT))
    builder.forms[i] = iterations(10, builder, None)
    first = builder.apply(
        registry.primitives["add"], (i, builder.number(1, INT)), scalar(INT)
    )
    ten = builder.number(10, INT)
    count = builder.apply(registry.primitives["sub"], (ten, first), scalar(INT))
    builder.forms[k] = iterations(9, builder, count)
    j = builder.apply(registry.primitives["add"], (first, k), scalar(INT))
    found = form(builder, j)
    assert found is not None and (found.low(), found.high()) == (1, 9)
    assert outcome(builder, "lt", i, j) is True
    assert outcome(builder, "lt", j, builder.number(9, INT)) is None


def test_nothing_is_known_of_sums_that_may_wrap_around() -> None:
    builder = new_builder()
    i = builder.input(scalar(INT))
    builder.forms[i] = iterations(10, builder, None)
    far = builder.number(2**62, INT)
    sum_ = builder.apply(registry.primitives["add"], (i, far), scalar(INT))
    twice = builder.apply(registry.primitives["add"], (sum_, sum_), scalar(INT))
    assert form(builder, sum_) is None and form(builder, twice) is None
    assert outcome(builder, "lt", twice, i) is None


def test_of_loops_that_do_not_run_nothing_is_known() -> None:
    builder = new_builder()
    assert iterations(0, builder, None) is None
    assert iterations(2**62, builder, None) is None
    assert Form(3).high() == Form(3).low() == 3


# -- what becomes of it ----------------------------------------------------------------


@numba.njit
def triangle(x: Any) -> Any:
    """Reads that are in range, as loops tell."""
    total = 0.0
    for i in range(len(x) // 2):
        for j in range(i + 1, len(x), 2):
            total += x[i] * x[j] * x[i - j] * x[j % 7] * x[2 * i + 1]
    return total


def test_places_that_are_known_are_not_tested() -> None:
    call = jitad.grad(triangle).prepare(np.ones(700))
    kernels = [s.kernel for s in call.program.sums]  # type: ignore[attr-defined]
    every = [s for k in kernels for s in statements((*k.once, *k.body))]
    words = [s.word for s in every if isinstance(s, Op)]
    # x[i - j] is counted from the end, which is no choice either.
    assert not {"ge", "and"}.intersection(words)
    (outer,) = [loop_of(n) for n in call.derived.graph.nodes if n.primitive is LOOP]
    assert "nan" not in outer.text


@pytest.mark.parametrize("count", (6, 40, 900))
@pytest.mark.parametrize("shift", (-1, 0, 1))
def test_a_place_beyond_the_end_is_still_found_out(count: int, shift: int) -> None:
    x = np.cos(np.arange(count))

    def f(x: Any) -> Any:
        def one(i: Any, total: Any) -> Any:
            return total + x[i + shift] * x[i]

        return jitad.fori_loop(0, count, one, 0.0)

    wanted = np.sum(np.roll(x, -shift) * x) if shift < 1 else np.nan
    np.testing.assert_allclose(jitad.jit(f)(x), wanted, rtol=1e-12)
    slopes = jitad.vjp(f, x)[1](1.0)[0]
    if shift < 1:
        wanted = np.roll(x, -shift) + np.roll(x, shift)
        np.testing.assert_allclose(slopes, wanted, rtol=1e-12)


@pytest.mark.parametrize("lower", (-4, 0, 3))
def test_bounds_that_are_data_tell_nothing(lower: int) -> None:
    x = np.cos(np.arange(50))

    def f(x: Any, lower: Any, upper: Any) -> Any:
        def one(i: Any, total: Any) -> Any:
            return total + x[i] * np.where(i < 0, 2.0, 1.0)

        return jitad.fori_loop(lower, upper, one, 0.0, max_steps=60)

    i = np.arange(lower, 9)
    wanted = np.sum(x[i] * np.where(i < 0, 2.0, 1.0))
    found = jitad.jit(f)(x, lower, 9)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
