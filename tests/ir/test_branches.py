"""Python branches on traced values: every path, merged, against closed forms.

A derivative is itself written with plain Python branches on numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitad
from tests.cases.branches import (
    CASES,
    Case,
    halved,
    huber,
    in_place,
    inf,
    log_or_line,
    nan,
    three_ways,
)

MODES = ("auto", "forward", "reverse", "cross")
BACKENDS = ("cpu", "numpy")


each_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.function.__name__)
each_mode = pytest.mark.parametrize("mode", MODES)
each_backend = pytest.mark.parametrize("backend", BACKENDS)


def plain(function: Callable[..., Any], x: Any) -> Any:
    with np.errstate(all="ignore"):
        return function(x)


def near(got: Any, expected: Any) -> None:
    np.testing.assert_allclose(got, expected, rtol=2e-14, atol=0)


@each_backend
@each_case
def test_values(case: Case, backend: Any) -> None:
    f = jitad.jit(case.function, backend=backend)
    for x in map(np.float64, case.points):
        near(f(x), plain(case.function, x))


@each_backend
@each_mode
@each_case
def test_derivatives(case: Case, mode: Any, backend: Any) -> None:
    """First and second, the untaken side contributing exactly nothing."""
    first = jitad.jacobian(case.function, mode=mode, backend=backend)
    second = jitad.hessian(case.function, mode=mode, backend=backend)
    for x in map(np.float64, case.points):
        if np.isnan(x):
            assert np.isnan(first(x)) == np.isnan(case.first(x))
            continue
        near(first(x), plain(case.first, x))
        near(second(x), plain(case.second, x))


@each_case
def test_batches_bit_for_bit(case: Case) -> None:
    """In a batch every point takes its own branch, as it does alone."""
    batch = np.resize(np.array(case.points), 37)
    for make in (jitad.jit, jitad.grad, jitad.hessian):
        one, many = make(case.function), jitad.vmap(make(case.function))
        np.testing.assert_array_equal(many(batch), [one(x) for x in batch])


@each_case
def test_nested_transformations(case: Case) -> None:
    """grad of grad, inside a batch inside a function."""

    def f(x):
        return jitad.vmap(jitad.grad(jitad.grad(case.function)))(x)

    points = np.array([x for x in case.points if not np.isnan(x)])
    near(jitad.jit(f)(points), [plain(case.second, x) for x in points])


@each_case
def test_float32(case: Case) -> None:
    points = [np.float32(x) for x in case.points if abs(x) not in (1.0, inf)]
    for x in points:
        got = jitad.jit(case.function)(x)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, plain(case.function, x), rtol=1e-6)


@pytest.mark.parametrize("f", [huber, three_ways, log_or_line, halved, in_place])
def test_check_agrees(f: Any) -> None:
    for x in (-2.5, 0.4, 3.0):
        assert jitad.check(f, np.float64(x)).passed
        assert jitad.check(jitad.grad(f), np.float64(x)).passed


# -- as np.where says it -------------------------------------------------------


def relu_layer(x, w):
    y = w @ x
    if y[0] > y[1]:
        y[0] = y[1] * 2
    s = np.sum(y) if np.any(y > 1) else np.prod(y)
    return y * s if s > 0 else x[:2] / s


def relu_layer_where(x, w):
    y = w @ x
    y = np.where(y[0] > y[1], np.stack([y[1] * 2, y[1]]), y)
    s = np.where(np.any(y > 1), np.sum(y), np.prod(y))
    return np.where(s > 0, y * s, x[:2] / s)


@each_backend
@each_mode
def test_arrays_are_selected_as_by_where(mode: Any, backend: Any) -> None:
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(40, 3)), rng.normal(size=(2, 3))
    got, expected = [
        jitad.vmap(
            jitad.jacobian(f, argnums=(0, 1), mode=mode, backend=backend), (0, None)
        )(x, w)
        for f in (relu_layer, relu_layer_where)
    ]
    for a, b in zip(got, expected, strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_the_graph_shares_what_paths_share():
    def f(x):
        y = np.sin(x)
        return y * 2 if y > 0 else y * 3

    text = str(jitad.graph(f, 1.0))
    assert text.count(" = sin(") == 1
    assert text.count(" = select(") == 1


# -- what becomes of results ---------------------------------------------------

F8, F4, I8, B = "float64", "float32", "int64", "bool"
KINDS = [
    ("float", lambda x: x if x > 0 else 0.0, np.float32(2), F4),
    ("int", lambda x: x if x > 0 else 0, np.float64(2), F8),
    ("int and float", lambda x: 1 if x > 0 else 0.5, np.float64(2), F8),
    ("ints", lambda x: 1 if x > 0 else 2, np.float64(2), I8),
    ("bools", lambda x: x > 0 and x < 1, np.float64(2), B),
    ("a float with ints", lambda i: i if i > 0 else 0.5, np.int64(2), F8),
    ("weak", lambda x: (x if x > 0 else 1) * np.float32(1), 2.0, F4),
]


@pytest.mark.parametrize(
    ("f", "x", "dtype"), [k[1:] for k in KINDS], ids=[k[0] for k in KINDS]
)
def test_numbers_promote_as_numpys(f, x, dtype):
    for sign in (1, -1):
        got = jitad.jit(f)(x * sign)
        assert got.dtype == dtype
        assert got == f(x * sign)


def test_containers():
    def f(x):
        if x["a"] > 0:
            return {"y": x["a"], "z": (1.0, x["b"])}
        return {"y": x["b"][0], "z": (x["a"], -x["b"])}

    for a in (1.5, -1.5):
        x = {"a": np.float64(a), "b": np.arange(2.0)}
        got, expected = jitad.jit(f)(x), f(x)
        assert got["y"] == expected["y"]
        assert got["z"][0] == expected["z"][0]
        np.testing.assert_array_equal(got["z"][1], expected["z"][1])


def test_truth_of_arrays_of_one_element_and_of_membership():
    f = jitad.jit(lambda x: x * 2 if x > 0 else x)
    np.testing.assert_array_equal(f(np.full((1, 1), 3.0)), [[6.0]])
    g = jitad.jit(lambda x: 1.0 if 2.0 in x else 0.0)
    assert g(np.array([1.0, 2.0])) == 1
    assert g(np.array([1.0, 3.0])) == 0


def test_nan_is_true_and_no_comparison_holds_for_it():
    f = jitad.jit(lambda x: (1 if x else 0, 1 if x > 0 else 0, 1 if x != 0 else 0))
    assert f(nan) == (1, 0, 1)


def test_what_is_constant_is_no_branch():
    def f(x):
        count = np.zeros_like(x)
        while count < 200:
            count = count + 1
        return x * count

    assert jitad.jit(f)(2.0) == 400


# -- traces in traces ----------------------------------------------------------


def test_an_outer_value_decides_in_an_inner_function():
    def f(x):
        def g(z):
            return z * z if x > 0 else 3 * z

        inner = jitad.grad(g)
        return inner(x) + inner(5.0) + jitad.vmap(inner)(np.ones(2)).sum()

    for make in (jitad.jit, jitad.grad):
        got = jitad.vmap(make(f))(np.array([2.0, -2.0]))
        expected = [4 + 10 + 4, 3 * 4] if make is jitad.jit else [2, 0]
        np.testing.assert_array_equal(got, expected)


def test_inner_and_outer_values_decide_together():
    def f(x):
        def g(z):
            if z > x:
                return z * x if x > 0 else z
            return z * z

        return jitad.vmap(jitad.grad(g))(np.array([-1.0, 1.0, 5.0]))

    np.testing.assert_array_equal(jitad.jit(f)(2.0), [-2.0, 2.0, 2.0])
    np.testing.assert_array_equal(jitad.jit(f)(-2.0), [1.0, 1.0, 1.0])


def test_an_inner_function_merges_its_own_paths():
    """Ten calls of two paths each are not a thousand paths."""

    def f(x):
        g = jitad.jit(lambda z: z * 1.5 if z > 2 else z + 1)
        for _ in range(10):
            x = g(x)
        return x

    expected = 0.5
    for _ in range(10):
        expected = expected * 1.5 if expected > 2 else expected + 1
    assert jitad.jit(f)(0.5) == expected


def test_a_function_kept_outside_is_not_remembered_for_one_path():
    cell = {}
    inner = jitad.jit(lambda z: z * 2 if cell["x"] > 0 else z * 3)

    def f(x):
        cell["x"] = x
        return inner(1.0) + inner(x)

    assert jitad.jit(f)(1.0) == 4
    assert jitad.jit(f)(-1.0) == 0
    cell["x"] = 1.0
    assert inner(1.0) == 2


# -- cond and switch -----------------------------------------------------------


def test_cond_and_switch_outside_of_a_trace_call_one_side():
    def no(*_):
        raise AssertionError("not this one")

    tree = {"a": [1, np.arange(3)]}
    assert jitad.cond(True, lambda t, k: t["a"][0] + k, no, tree, 4) == 5
    assert jitad.cond(np.bool_(False), no, lambda: "any") == "any"
    assert jitad.switch(-3, [lambda x: x, no, no], 1) == 1
    assert jitad.switch(np.int64(7), [no, no, lambda x: x], 2) == 2


def test_cond_of_an_outer_value_inside():
    def f(x):
        return jitad.grad(lambda z: jitad.cond(x > 0, np.sin, np.cos, z))(x)

    near(jitad.jit(f)(0.5), np.cos(0.5))
    near(jitad.jit(f)(-0.5), np.sin(0.5))


# -- errors --------------------------------------------------------------------


def forever(x):
    halves = []  # a list that grows is not read
    while x > 1:
        x = x / 2
        halves.append(x)
    return x


def refuses(x):
    if x < 0:
        raise ValueError("negative")
    return np.sqrt(x)


def asserts(x):
    assert x > 0, "positive"
    return x


def forgets(x):
    if x > 0:
        return x


def writes_outside(x):
    y = x * np.ones(2)

    def g(z):
        if z > 0:
            y[0] = 1.0
        return z

    return jitad.jit(g)(x) + y


def writes_in_cond(x):
    y = x * np.ones(2)

    def side(y):
        y[0] = 1.0
        return y

    return jitad.cond(x > 0, side, lambda y: y, y)


def unlike(a, b):
    return lambda x: a(x) if x > 0 else b(x)


BOTH_OR = np.logical_or


def pair(x):
    return np.array([x, x])


ERRORS = [
    ("too many paths", forever, ["64 paths", "jitad.cond", "jitad.while_loop",
                                 "jitad.fori_loop"]),
    ("raise", refuses, ["ValueError(negative)", "is true", "np.nan"]),
    ("assert", asserts, ["AssertionError(positive", "is false", "outside"]),
    ("no result", forgets, ["float64[]", "None", "every path"]),
    ("structure", unlike(lambda x: (x, x), lambda x: [x]),
     ["(float64[], float64[])", "[float64[]]"]),
    ("shape", unlike(lambda x: x, lambda x: x * np.ones(3)),
     ["float64[]", "float64[3]", "np.full"]),
    ("dtype", unlike(lambda x: x, lambda x: x.astype(np.float32)),
     ["float64[]", "float32[]", "astype"]),
    ("bool and number", unlike(lambda x: x > 0, lambda x: 0), ["bool[]", "int64[]"]),
    ("keys", unlike(lambda x: {"a": x}, lambda x: {"b": x}), ["'a'", "'b'"]),
    ("ambiguous", lambda x: 1 if x * np.ones(3) > 0 else 0,
     ["ambiguous", "np.where", ".any()", "3 elements"]),
    ("empty", lambda x: 1 if x * np.ones(0) > 0 else 0, ["ambiguous", "0 elements"]),
    ("writes outside", writes_outside, ["from outside", "x.copy()"]),
    ("writes in cond", writes_in_cond, ["cond", "from outside", "x.copy()"]),
    ("cond", lambda x: jitad.cond(x > 0, lambda x: x, pair, x),
     ["cond", "float64[]", "float64[2]"]),
    ("switch", lambda x: jitad.switch(x, [np.sin, np.cos], x),
     ["switch", "whole number", "astype"]),
    ("switch of none", lambda x: jitad.switch(x, [], x), ["no branches"]),
    ("switch of text", lambda x: jitad.switch("a", [np.sin], x), ["'a'"]),
    ("maximum of objects", lambda x: np.maximum(pair(x), 0.0), ["np.stack"]),
    ("logical_and of objects", lambda x: np.logical_and(pair(x), 2.0), ["np.stack"]),
    ("logical_or of objects", lambda x: BOTH_OR(2.0 * pair(x), [0, 1]), ["np.stack"]),
    ("all of objects", lambda x: np.logical_and.reduce(pair(x)), ["np.stack"]),
    ("partition of objects", lambda x: np.partition(pair(x), 0), ["np.stack"]),
    ("place of objects", lambda x: np.argpartition(pair(x), 0), ["np.stack"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("f", "words"), [e[1:] for e in ERRORS], ids=[e[0] for e in ERRORS]
)
def test_errors(f: Any, words: list[str]) -> None:
    with pytest.raises(jitad.JitadError) as caught:
        jitad.jit(f)(np.float64(2.0))
    for word in [*words, f"{__file__}:"]:
        assert word in str(caught.value)


def test_what_python_asks_beside_logical_and_is_answered() -> None:
    def f(x: Any) -> Any:
        asked = x and np.logical_and(x, x) and all([x, np.logical_or(x, x)])
        return np.where(np.logical_and.reduce([x > 0, asked]), x, 0.0)

    assert jitad.jit(f)(2.0) == 2.0
    assert jitad.jit(f)(0.0) == 0.0


def test_ambiguous_is_a_value_error_as_numpys():
    with pytest.raises(ValueError, match="ambiguous"):
        jitad.jit(lambda x: 1 if x > 0 else 0)(np.ones(2))


def test_the_error_of_a_path_notes_where_it_is():
    with pytest.raises(jitad.TracingError) as caught:
        jitad.jit(lambda x: float(x) if x > 0 else x)(1.0)
    (note,) = caught.value.__notes__
    assert f"{__file__}:" in note
    assert "is true" in note


def signs(x):
    """As many paths as there are subsets; a list that grows is not read."""
    total, seen = 0.0, []
    for v in x:
        if v > 0:
            seen.append(v)
            total = total + v
    return total


def test_sixty_four_paths_are_the_most():
    x = np.array([1.0, -2, 3, -4, 5, -6])
    assert jitad.jit(signs)(x) == 9
    with pytest.raises(jitad.TracingError, match="64 paths"):
        jitad.jit(signs)(np.append(x, 7.0))


class Impure:
    """Functions that differ from call to call."""

    def __init__(self) -> None:
        self.calls = 0
        self.kept: list[Any] = []
        self.random = np.random.default_rng(0)

    def counts(self, x):
        self.calls += 1
        y = x * self.calls
        return y if x > 0 else -y

    def draws(self, x):
        y = x + self.random.normal()
        return y if x > 0 else 0.0

    def skips(self, x):
        self.calls += 1
        y = np.sin(x) if self.calls == 1 else x
        return y if x > 0 else -y

    def ends(self, x):
        self.calls += 1
        if self.calls > 1:
            return x
        return x if x > 0 else -x

    def asks_other(self, x):
        self.calls += 1
        return x if (x > 0 if self.calls == 1 else x < 0) else -x


@pytest.mark.parametrize("name", ["counts", "draws", "skips", "ends", "asks_other"])
def test_impure_functions(name: str) -> None:
    with pytest.raises(jitad.TracingError) as caught:
        jitad.jit(getattr(Impure(), name))(1.0)
    message = str(caught.value)
    assert message.startswith(f"{name} did something else")
    assert f"{__file__}:" in message
    assert "as arguments" in message


def test_values_of_one_path_are_not_there_on_another():
    kept: list[Any] = []

    def f(x):
        if x > 0:
            kept.append(x * 2)
        return kept[-1]

    with pytest.raises(jitad.TracingError, match="earlier trace"):
        jitad.jit(f)(1.0)


def test_paths_may_differ_after_their_branch():
    """What one path does is its own."""

    def f(x):
        y = np.sin(x)
        y = y * 2 if x > 0 else np.cos(y) - 1
        return y if y > 0 else y * 3

    for x in (0.5, -0.5, 4.0):
        near(jitad.jit(f)(x), f(x))


def test_copies_made_inside_may_be_written_to():
    def f(x):
        y = x * np.ones(2)

        def g(z):
            own = y.copy()
            other = y * 2
            other[0] = 7.0
            if z > 0:
                own[0] = z
            return own + other

        return jitad.jit(g)(x * 3)

    np.testing.assert_array_equal(jitad.jit(f)(2.0), [13.0, 6.0])
    np.testing.assert_array_equal(jitad.jit(f)(-2.0), [5.0, -6.0])
