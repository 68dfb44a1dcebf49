"""The checker is checked: right functions pass, planted mistakes are caught."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import scipy.special

import jitad
from jitad import tree
from jitad.calls import function
from jitad.errors import InputError
from jitad.testing import CheckError, along, check
from jitad.testing.differences import derivative
from jitad.testing.rounding import spread
from jitad.transforms.derivatives import accumulate
from jitad.transforms.scalars import templates
from tests.support.engine import traced


@dataclass
class Pair:
    left: Any
    right: Any


def mixed(x, y):
    return {"a": np.sin(x) @ y, "b": np.exp(-x[0]) * y}


def pairs(p):
    return p.left * np.tanh(p.right[1]), np.sum(p.right)


RIGHT = {
    "mixed": (mixed, np.array([0.3, -1.2, 2.0]), np.array([1.0, 0.0, 0.25])),
    "number": (lambda x: x**3, 2.0),
    "single precision": (lambda x: np.exp(x) / x, np.float32([0.5, 2.0])),
    "tree": (pairs, Pair(2.0, np.array([0.1, 0.7]))),
    "integer beside": (lambda x, n: x**n, np.array([1.5, -2.0]), 3),
    "tie": (np.abs, 0.0),
    "tiny": (lambda x: np.sqrt(x) / (1 + x), np.array([1e-200, 3e-9])),
    "untaken": (lambda x: np.where(x > 0, np.sqrt(x), 0.0), np.array([-1.0, 0.0, 2.0])),
    "infinite in part": (lambda x: np.sqrt(x[0]) + x[1], np.array([0.0, 1.0])),
    "NaN in part": (lambda x: np.log(x), np.array([-1.0, 2.0])),
    "matrix": (lambda A: np.linalg.inv(A) @ A.T, np.array([[2.0, 0.3], [-1.0, 1.0]])),
    "gradient": (jitad.grad(lambda x: np.sum(np.sin(x) ** 2)), np.array([1.0, 2.0])),
    "periodic": (lambda x: np.mod(x, 1), 9.3),
    "period nearby": (lambda x: np.mod(x, 1), 9.9999),
    "steps within steps": (lambda x: np.floor(50 * x) * x, 9.313),
    "fine steps": (lambda x: x + np.rint(1e6 * x), 9.3313131),
    "rounded inside": (lambda x: x.astype(np.float32) * x, np.array([0.7, 3.0])),
    "cancelled inside": (lambda x: ((1e6 + x) ** 2 - 1e12) / 2e6, 0.37),
    "long": (lambda x: np.cumsum(np.sin(x))[::10], np.linspace(0.1, 3, 100)),
}


@pytest.mark.parametrize("case", RIGHT)
def test_right_functions_pass(case):
    f, *args = RIGHT[case]
    report = check(f, *args)
    assert report.passed
    assert all(c.compared and c.ratio <= 1 for c in report.comparisons)


def test_the_report_is_a_table():
    report = check(mixed, *RIGHT["mixed"][1:])
    lines = str(report).splitlines()
    assert lines[0] == "check of mixed: 4 results, 6 inputs"
    heads = "compared nan, inf not checked undecided error/allowed"
    assert lines[1].split() == heads.split()
    assert len(lines) == 2 + len(report.comparisons)
    assert all(line.endswith("ok") for line in lines[2:])


# -- vacuous -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (np.log, -1.0),
        (np.sqrt, 0.0),
        (lambda x: x * np.nan, 1.0),
        (np.floor, 2.0),
        (lambda x: (x[0] + x[1]) ** 2 - x[0] ** 2 - 2 * x[0] * x[1] - x[1] ** 2,
         np.array([0.3, 0.7])),
        (lambda x: x[:0], np.array([1.0])),
    ],
    ids=["NaN", "infinite", "always NaN", "at a jump", "rounding only", "empty"],
)  # fmt: skip
def test_nothing_finite_is_not_passed(f, x):
    with pytest.raises(CheckError, match="choose another point") as caught:
        check(f, x)
    verdicts = {c.verdict for c in caught.value.report.comparisons}
    assert "vacuous" in verdicts
    assert "wrong" not in verdicts


def test_nan_is_wrong_where_differences_are_finite():
    with pytest.raises(CheckError, match="got nan") as caught:
        check(lambda x: np.sqrt(x * x) + x, np.array([0.0, 2.0]))
    wrong = [c for c in caught.value.report.comparisons if c.verdict == "wrong"]
    assert [c.how for c in wrong] == ["finite differences"]
    assert "1 of 4 differ" in wrong[0].failure
    assert "has no derivative there" in str(caught.value)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (np.sqrt, [0.0, 1.0]),
        (lambda x: np.stack([np.arctan2(x[0], x[1]), x[0]]), [0.0, 0.0]),
        (lambda x: np.cbrt(x), [0.0, 1.0]),
    ],
    ids=["one-sided", "no limit", "vertical"],
)
def test_no_derivative_is_right_where_differences_have_none(f, x):
    assert check(f, np.array(x)).passed


def test_nan_of_a_nan_value_is_not_checked():
    report = check(np.log, np.array([-1.0, 2.0]))
    found = {(c.what, c.how): c for c in report.comparisons}
    for how in ("forward, compiled", "reverse, interpreted"):
        assert found["Jacobian", how].unchecked == 1
        assert found["Jacobian", how].special == 0
    assert found["J v", "finite differences"].unchecked == 2
    assert found["value", "compiled"].special == 1
    assert "not checked" in str(report).splitlines()[1]


# -- planted mistakes ----------------------------------------------------------


def scaled(factor):
    def plant(partials):
        return lambda y, *x: [p if p is None else factor * p for p in partials(y, *x)]

    return plant


def turned(partials):
    """The second argument's rule for the first, and the other way round."""
    return lambda y, *x: list(partials(y, *x))[::-1]


def forgotten(partials):
    return lambda y, *x: [None, *list(partials(y, *x))[1:]]


def shifted(partials):
    """The rule at a neighbouring point, as after a wrong index."""
    return lambda y, *x: partials(y * 1.01, *[a * 1.02 for a in x])


def dropped(partials):
    """The last argument's rule is missing."""
    return lambda y, *x: [*list(partials(y, *x))[:-1], None]


def stale(partials):
    """The rule at one point, whatever the point."""
    return lambda y, *x: partials(y * 0 + 0.8, *[a * 0 + 0.9 for a in x])


MISTAKES = {
    "sign": scaled(-1.0),
    "factor 1.001": scaled(1.001),
    "factor 1 + 1e-7": scaled(1 + 1e-7),
    "first forgotten": forgotten,
    "last forgotten": dropped,
    "arguments turned": turned,
    "at a neighbour": shifted,
    "at another point": stale,
}
UNARY = (
    *(np.exp, np.log, np.sin, np.tan, np.sqrt, np.tanh, np.arcsin, np.log1p),
    *(np.square, scipy.special.erf),
)
BINARY = (np.add, np.subtract, np.multiply, np.divide, np.power, np.arctan2)
OF_TWO = {"first forgotten", "arguments turned"}
VOID = {
    ("add", "arguments turned"),
    *(
        (f, m)
        for f in ("add", "subtract")
        for m in ("at a neighbour", "at another point")
    ),
}
PLANTED = [
    (f, m)
    for f in (*UNARY, *BINARY)
    for m in MISTAKES
    if (f in BINARY or m not in OF_TWO) and (f.__name__, m) not in VOID
]
POINT = (0.4, 0.7)


def beside(f):
    """f among other operations, so that its rules are combined with theirs."""
    return lambda *x: f(*x) + x[0]


@pytest.mark.parametrize("f", [*UNARY, *BINARY], ids=lambda f: f.__name__)
def test_nothing_is_found_where_nothing_is_planted(f):
    assert check(beside(f), *POINT[: f.nin]).passed


@pytest.mark.parametrize(
    ("f", "mistake"), PLANTED, ids=lambda x: getattr(x, "__name__", x)
)
def test_a_planted_rule_is_caught(f, mistake):
    point = POINT[: f.nin]
    graph = traced(f, *point).graph
    primitive = graph.nodes[graph.outputs[0]].primitive
    with (
        wrong_partials(primitive, MISTAKES[mistake]),
        pytest.raises(CheckError, match=r"expected .* got .*differ") as caught,
    ):
        check(beside(f), *point)
    verdicts = {c.how: c.verdict for c in caught.value.report.comparisons}
    assert verdicts["finite differences"] == "wrong"


def test_enough_is_planted():
    assert len(PLANTED) >= 40


@contextmanager
def wrong_partials(primitive, mistake):
    right = primitive.partials
    object.__setattr__(primitive, "partials", mistake(right))
    templates.partials.cache_clear()
    try:
        yield
    finally:
        object.__setattr__(primitive, "partials", right)
        templates.partials.cache_clear()


@pytest.mark.parametrize("mode", ["forward", "reverse", "cross"])
def test_a_mode_that_differs_is_caught(mode, monkeypatch):
    true = accumulate.jacobian

    def crooked(graph, wrt, **options):
        found = true(graph, wrt, **options)
        if options.get("mode") != mode:
            return found
        last = replace(found.graph, outputs=found.graph.outputs[::-1])
        return replace(found, graph=last)

    monkeypatch.setattr(accumulate, "jacobian", crooked)
    with pytest.raises(CheckError, match="Modes or back ends disagree") as caught:
        check(lambda x, y: x[0] * y, np.array([0.3]), np.array([0.7]))
    wrong = {c.how for c in caught.value.report.comparisons if c.verdict == "wrong"}
    assert any(mode in how for how in wrong) or mode == "forward"


def test_a_back_end_that_differs_is_caught(monkeypatch):
    run = function.Compiled.run

    def crooked(self, leaves, out):
        return tree.transform(
            lambda y: np.nextafter(y, 9) + 1e-13, run(self, leaves, out)
        )

    monkeypatch.setattr(function.Compiled, "run", crooked)
    with pytest.raises(CheckError, match="value, compiled: expected"):
        check(np.exp, 0.5)


def test_nan_in_another_place_is_caught(monkeypatch):
    run = function.Compiled.run

    def crooked(self, leaves, out):
        return tree.transform(
            lambda y: np.where(np.isnan(y), 1.0, y), run(self, leaves, out)
        )

    monkeypatch.setattr(function.Compiled, "run", crooked)
    with pytest.raises(CheckError, match="expected nan"):
        check(np.log, np.array([-1.0, 2.0]))


def test_a_wrong_value_of_the_trace_is_caught():
    calls = []

    def forgetful(x):
        calls.append(x)
        return np.sin(x) if len(calls) == 1 else np.cos(x)

    with pytest.raises(CheckError, match=r"value, interpreted: expected 0\.4794"):
        check(forgetful, 0.5)


def test_the_failure_names_the_place():
    def f(camera, weight):
        return jitad.stop_gradient(weight) * camera

    with pytest.raises(CheckError, match=r"1 · ∂result\[2\]/∂weight") as caught:
        check(lambda camera, weight: f(camera, weight), np.array([0.0, 0, 3]), 1.0)
    assert "differences=False" in str(caught.value)
    assert isinstance(caught.value, AssertionError)
    assert check(f, np.array([0.0, 0, 3]), 1.0, differences=False).passed


def test_arguments_can_be_chosen():
    def f(x, y):
        return x * np.sum(y)

    y = np.array([1.0, 2.0])
    assert check(f, 2.0, y).inputs == 3
    assert check(f, 2.0, y, argnums=1).inputs == 2
    assert check(f, 2.0, y, argnums=(1, 0)).inputs == 3
    with pytest.raises(InputError, match="at least one floating-point argument"):
        check(f, 2, y.astype(int))


# -- its instruments -----------------------------------------------------------


def test_differences_know_their_error():
    functions = [np.exp, np.sin, np.sqrt, np.arctan, lambda x: x**5, np.log]
    slopes = [np.exp, np.cos, lambda x: 0.5 / np.sqrt(x), lambda x: 1 / (1 + x * x),
              lambda x: 5 * x**4, lambda x: 1 / x]  # fmt: skip
    for f, slope in zip(functions, slopes, strict=True):
        for x in (1e-8, 0.03, 1.0, 7.5):
            point, v = np.array([x]), np.array([x])
            got, error, _ = derivative(f, point, v, np.finfo(float).eps)
            want = slope(point) * v
            assert abs(got - want) <= error
            assert error <= 1e-6 * abs(want), (x, error / want)


def test_differences_are_symmetric_at_a_tie_and_open_at_a_jump():
    zero, one = np.zeros(1), np.ones(1)
    assert derivative(np.abs, zero, one, 1e-16)[0] == 0
    assert derivative(lambda x: np.maximum(x, 0), zero, one, 1e-16)[0] == 0.5
    assert derivative(np.floor, zero, one, 1e-16)[1] > 1
    assert np.isinf(derivative(np.log, zero, one, 1e-16)[1])


def test_rounding_spreads_where_numbers_cancel():
    f = jitad.jit(
        lambda x: (np.exp(x), np.exp(x) - np.exp(x) * 1.0000001), backend="numpy"
    )
    exact, cancelled = spread(f, 1.0)
    unit = np.finfo(float).eps
    assert unit < exact / np.e < 8 * unit
    assert unit < cancelled / np.e < 16 * unit
    assert spread(jitad.jit(np.floor, backend="numpy"), 2.5)[0] <= 16 * unit
    assert np.isinf(
        spread(jitad.jit(lambda x: np.arccos(x / 3 * 3), backend="numpy"), 1.0)[0]
    )


def guarded(x):
    return np.where(x != 0, np.sin(x) / np.where(x != 0, x, 1.0), 1.0)


def branching(x):
    return 2 * x if x == 1.0 else x * x + 1


def repeated(body):
    """A body, with the variable in what is carried."""
    return lambda x: jitad.scan(lambda c, z: (body(c) + z, None), x, np.ones(2))[0]


NOTES = {
    "abs": (np.abs, (0.0,), ["kink of abs"]),
    "abs elsewhere": (np.abs, (0.1,), []),
    "of a constant": (lambda x, y: x * np.abs(y), (2.0, 0), []),
    "maximum": (lambda x, y: np.maximum(x, y) * x, (2.0, 2.0), ["kink of maximum"]),
    "norm": (lambda v: np.linalg.norm(v) ** 2 + v[0], (np.zeros(2),), ["kink of norm"]),
    "max": (lambda v: np.max(v, axis=0), (np.ones((2, 2)),), ["kink of max"]),
    "sort": (np.sort, (np.array([1.0, 3.0, 1.0]),), ["kink of sort"]),
    "sorted apart": (np.sort, (np.array([1.0, 3.0, 2.0]),), []),
    "interp": (lambda x: np.interp(x, [0.0, 1.0, 2.0], [0.0, 1.0, 4.0]), (1.0,),
               ["kink of interp"]),
    "guard": (guarded, (0.0,), ["!= compares equal floats"]),
    "guard elsewhere": (guarded, (0.5,), []),
    "branch": (branching, (1.0,), ["== compares equal floats"]),
    "scan": (repeated(guarded), (0.0,), ["!= compares equal floats"]),
    "later in a scan": (repeated(lambda c: np.where(c == 1.5, 0.0, c)), (0.5,),
                        ["== compares equal floats"]),
    "scan elsewhere": (repeated(lambda c: np.where(c == 1.5, 0.0, c)), (0.7,), []),
    "abs in a scan": (repeated(np.abs), (-1.0,), []),
    "abs in a loop": (lambda x: jitad.fori_loop(0, 3, lambda i, c: np.abs(c - 1), x),
                      (2.0,), ["kink of abs"]),
    "while": (lambda x: jitad.while_loop(
        lambda c: c < 3, lambda c: c + guarded(c), x, max_steps=50),
              (0.0,), ["!= compares equal floats"]),
    "checkpoint": (jitad.checkpoint(np.abs), (0.0,), ["kink of abs"]),
    "of a loop's constants": (
        lambda x: x * jitad.fori_loop(0, 3, lambda i, c: np.abs(c), 0.0), (2.0,), []),
    "twice": (jitad.grad(lambda x: np.abs(x) * x * x), (0.0,), ["kink of abs"]),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTES)
def test_corners_are_noted(name):
    f, args, expected = NOTES[name]
    report = check(f, *args, differences=False)
    assert len(report.notes) == len(expected), report.notes
    for note, words in zip(report.notes, expected, strict=True):
        assert words in note
        assert "test_check.py:" in note
        assert note in str(report)


def cancelling(x):
    """A loop whose steps lose half of their digits."""
    return jitad.fori_loop(0, 3, lambda i, c: ((c + 1e8) - 1e8) * np.sin(x), x)


def cancelling_while(x):
    def step(c):
        return ((c[0] + 1e8) - 1e8) * np.sin(x), c[1] + 1.0

    return jitad.while_loop(lambda c: c[1] < 3.0, step, (x, 0.0), max_steps=9)[0]


@pytest.mark.parametrize("f", [cancelling, cancelling_while])
def test_rounding_in_loops_is_no_error(f):
    assert jitad.check(f, 0.7)


# -- many inputs or results ------------------------------------------------------------

MANY = np.random.default_rng(5).normal(size=5_000)
LARGE = {
    "one result": lambda x: np.sum(
        100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2
    ),
    "many results": lambda x: np.sin(x) * np.roll(x, 1),
    "some NaN": lambda x: np.sqrt(x) * x[::-1],
    "few inputs": lambda x: np.outer(x[:3], np.arange(700.0)),
}


@pytest.mark.parametrize("name", LARGE)
def test_right_functions_of_many_numbers_pass(name: str) -> None:
    report = check(LARGE[name], MANY)
    assert {c.what for c in report.comparisons} == {"value", "uᵀ J v", "J v"}
    assert "vectors were compared" in str(report)


def test_wrong_derivatives_of_many_numbers_are_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = lambda x: np.sum(jitad.stop_gradient(x) * x)  # noqa: E731
    with pytest.raises(CheckError, match=r"J v, finite differences: expected"):
        check(wrong, MANY)
    assert check(wrong, MANY, differences=False).passed
    pull = along.vjp

    def twice(f: Any, *args: Any) -> Any:
        value, back = pull(f, *args)
        return value, lambda u: tree.transform(lambda x: 2 * x, back(u))

    monkeypatch.setattr(along, "vjp", twice)
    with pytest.raises(CheckError, match=r"uᵀ J v, reverse, compiled: expected"):
        check(LARGE["one result"], MANY)
