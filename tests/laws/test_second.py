"""Second derivatives at the edges: all pairs of modes, batched, interpreted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.ir.primitive import registry
from jitad.transforms.derivatives import accumulate
from tests.cases.second_case import Case
from tests.cases.second_cases import CASES
from tests.cases.second_ends import AT_ENDS, ONE
from tests.cases.second_limits import IN_BOTH, LIMITS
from tests.cases.second_truths import TRUTHS as INSIDE
from tests.cases.second_truths import Truth
from tests.support import exact

MODES = ("forward", "reverse", "cross")
EVERY = [*CASES, *LIMITS]
TRUTHS = [*INSIDE, *AT_ENDS]
every = pytest.mark.parametrize("case", EVERY, ids=lambda c: c.name)


def sizes(case: Case) -> list[int]:
    return [np.size(a) for a in case.arguments]


def one_vector(case: Case) -> Callable[[Any], Any]:
    """The function of all its arguments, one after the other in a vector."""
    shapes = [np.shape(a) for a in case.arguments]
    stops = np.cumsum([0, *sizes(case)]).tolist()

    def function(x: Any) -> Any:
        parts = [
            x[a] if shape == () else x[a:b].reshape(shape)
            for shape, a, b in zip(shapes, stops, stops[1:], strict=False)
        ]
        return case.function(*parts)

    return function


def point(case: Case) -> np.ndarray:
    return np.concatenate([np.ravel(np.asarray(a, float)) for a in case.arguments])


def compare(got: Any, case: Case, how: str, expected: Any = None) -> None:
    """Equal to some ulp, infinities and NaNs in place; signed zeros are equal."""
    expected = case.hessian if expected is None else np.asarray(expected)
    got = np.asarray(got)
    assert got.shape == expected.shape, how
    with np.errstate(all="ignore"):
        near = np.abs(got - expected) <= case.ulp * np.spacing(np.abs(expected))
    right = (got == expected) | near | (np.isnan(got) & np.isnan(expected))
    assert right.all(), f"{how}: got {got.tolist()}, expected {expected.tolist()}"


def symmetric(got: Any, how: str) -> None:
    np.testing.assert_array_equal(got, np.swapaxes(got, -1, -2), err_msg=how)


@every
def test_hessian(case: Case) -> None:
    f, x = one_vector(case), point(case)
    for mode in ("auto", *MODES):
        got = jitad.hessian(f, mode=mode, backend="numpy")(x)  # type: ignore[arg-type]
        compare(got, case, mode)
        symmetric(got, mode)
    rows = np.stack([x + 0.25, x, x - 0.25])
    many = jitad.vmap(jitad.hessian(f), backend="numpy")(rows)
    compare(many[1], case, "in a batch")


@every
def test_vmap_in_jit(case: Case) -> None:
    f, x = one_vector(case), point(case)
    rows = np.stack([x + 0.25, x])
    inside = jitad.jit(lambda r: jitad.vmap(jitad.hessian(f))(r), backend="numpy")
    compare(inside(rows)[1], case, "vmap in jit")


def in_all_pairs(case: Case) -> None:
    """Second derivatives in every pair of modes, symmetric to the bit."""
    f, x = one_vector(case), point(case)
    for outer, inner in product(MODES, MODES):
        first = jitad.jacobian(f, mode=inner)  # type: ignore[arg-type]
        second = jitad.jacobian(first, mode=outer, backend="numpy")  # type: ignore[arg-type]
        got = second(x)
        compare(got, case, f"{outer} over {inner}")
        symmetric(got, f"{outer} over {inner}")


@every
def test_pairs_of_modes(case: Case) -> None:
    in_all_pairs(case)


@pytest.mark.parametrize("case", IN_BOTH, ids=lambda c: c.name)
def test_one_argument_after_the_other(case: Case) -> None:
    """The first derivative in one argument alone knows of no other."""
    every = range(len(case.arguments))
    for outer, inner in product(MODES, MODES):
        columns = [
            jitad.jacobian(case.function, i, mode=inner)  # type: ignore[arg-type]
            for i in every
        ]
        rows = [
            [jitad.jacobian(f, k, mode=outer) for k in every]  # type: ignore[arg-type]
            for f in columns
        ]
        together = jitad.jit(
            lambda *x, rows=rows: [[h(*x) for h in row] for row in rows],
            backend="numpy",
        )
        compare(np.array(together(*case.arguments)), case, f"{outer} over {inner}")


@every
def test_products(case: Case) -> None:
    """hvp, jvp of a gradient and vjp of a gradient, one column or row at a time."""
    f, x = one_vector(case), point(case)
    for k in range(len(x)):
        # A zero of the seed times what is infinite is NaN: compare where none is.
        column = case.hessian[:, k]
        others = np.delete(case.hessian, k, axis=1)
        clean = np.isfinite(others).all(axis=1)
        if not clean.any():
            continue
        seed = np.eye(len(x))[k]
        found = jitad.jit(
            lambda x, seed: (
                jitad.hvp(f)(x, seed),
                jitad.jvp(jitad.grad(f), (x,), (seed,))[1],
                jitad.vjp(jitad.grad(f), x)[1](seed)[0],
            ),
            backend="numpy",
        )(x, seed)
        for how, got in zip(("hvp", "jvp", "vjp"), found, strict=True):
            compare(got[clean], case, how, column[clean])


def _hessians(cases: Sequence[Case]) -> Callable[..., Any]:
    """The Hessians of several cases, as one function."""
    made = [jitad.hessian(one_vector(case)) for case in cases]

    def together(*points: Any) -> Any:
        return [h(x) for h, x in zip(made, points, strict=True)]

    return together


# A kernel takes its time to compile: a few, of some cases each.
_PARTS = [EVERY[k::9] for k in range(3)]


@pytest.mark.parametrize("cases", _PARTS, ids=range(3))
def test_compiled_and_in_a_batch(cases: Sequence[Case]) -> None:
    """Alone, and between other points: a lane's edge touches no other lane."""
    together, points = _hessians(cases), [point(case) for case in cases]
    single = jitad.jit(together)(*points)
    for got, case in zip(single, cases, strict=True):
        compare(got, case, f"{case.name}, compiled")
    rows = [np.stack([x + 0.25, x] * 5) for x in points]
    batch = jitad.vmap(together)(*rows)
    for one, many, case in zip(single, batch, cases, strict=True):
        symmetric(many, case.name)
        for k in range(1, 10, 2):
            np.testing.assert_array_equal(many[k], one, err_msg=case.name)


# -- what mpmath says ------------------------------------------------------------------


def case_of(truth: Truth) -> Case:
    name, function, arguments, sides, digits, ulp = truth
    hessian = exact.hessian(function, arguments, sides, digits)
    return Case(name, function, arguments, hessian, ulp)


@pytest.mark.parametrize("truth", TRUTHS, ids=lambda t: t.name)
def test_of_mpmath(truth: Truth) -> None:
    """In all pairs of modes, symmetric to the bit, and in a batch."""
    case = case_of(truth)
    f, x = one_vector(case), point(case)
    in_all_pairs(case)
    rows = np.stack([x + 0.25, x])
    many = jitad.vmap(jitad.hessian(f), backend="numpy")(rows)
    compare(many[1], case, "in a batch")


_MANY = 24


@pytest.mark.parametrize("first", range(0, len(TRUTHS), _MANY))
def test_of_mpmath_compiled(first: int) -> None:
    """Alone and in a batch, beside other points."""
    cases = [case_of(truth) for truth in TRUTHS[first : first + _MANY]]
    together, points = _hessians(cases), [point(case) for case in cases]
    single = jitad.jit(together)(*points)
    batch = jitad.vmap(together)(*[np.stack([x + 0.25, x] * 5) for x in points])
    for one, many, case in zip(single, batch, cases, strict=True):
        compare(one, case, f"{case.name}, compiled")
        symmetric(one, case.name)
        compare(many[-1], case, f"{case.name}, in a batch")


def test_the_table_is_of_mpmath() -> None:
    """Where there is a second derivative; a branch that is taken has another."""
    compared = 0
    for case in CASES:
        try:
            with np.errstate(invalid="ignore"):
                got = exact.hessian(case.function, case.arguments)
        except (exact.NoLimit, TypeError, jitad.JitadError):
            continue
        if np.isfinite(got).all() and not case.name.startswith("where sin"):
            compare(case.hessian, case._replace(hessian=got), case.name)
            compared += 1
    assert compared >= 80


@pytest.mark.parametrize("truth", ONE[::5], ids=lambda t: t.name)
def test_products_at_ends(truth: Truth) -> None:
    """hvp, jvp and vjp of a gradient, with seeds of both signs, and a third derivative.

    A slope that grows to +∞ towards an end falls to every order from there, or rises.
    """
    case = case_of(truth)
    f, x, expected = truth.function, truth.arguments[0], case.hessian[0, 0]

    def all_of(x: Any, seed: Any) -> Any:
        gradient = jitad.grad(f)
        return (
            jitad.hvp(f)(x, seed),
            jitad.jvp(gradient, (x,), (seed,))[1],
            jitad.vjp(gradient, x)[1](seed)[0],
        )

    for seed in (1.0, -1.0):
        found = jitad.jit(all_of, backend="numpy")(x, seed)
        np.testing.assert_array_equal(found, [seed * expected] * 3)
    third = jitad.grad(jitad.grad(jitad.grad(f)), backend="numpy")(x)
    np.testing.assert_array_equal(third, -truth.sides * expected)


def test_of_two_ends_nothing_is_known() -> None:
    """√x and √-x have one number in common, and come to it from both sides."""
    for f in (
        lambda x: np.exp(np.sqrt(x) - 2.0 * np.sqrt(-x)),
        lambda x: np.sqrt(x) * np.sqrt(x) * np.exp(x),
        lambda x: np.cos(np.sqrt(x)),
        lambda x: np.sqrt(x) * x,
        lambda x: np.sin(np.arcsin(1.0 - x) - 2.0 * x),
    ):
        for outer, inner in product(MODES, MODES):
            first = jitad.jacobian(f, mode=inner)  # type: ignore[arg-type]
            found = jitad.jacobian(first, mode=outer, backend="numpy")(0.0)  # type: ignore[arg-type]
            assert np.isnan(found), (outer, inner)


def test_in_float32() -> None:
    """Kinks are the same in single precision."""
    chosen = [c for c in CASES if np.isfinite(c.hessian).all() and c.ulp == 4][::5]
    for case in chosen:
        got = jitad.hessian(one_vector(case), backend="numpy")(
            point(case).astype(np.float32)
        )
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, case.hessian, rtol=1e-5, atol=0)


# -- laws ------------------------------------------------------------------------------

_TABLE = np.random.default_rng(0).normal(size=(4, 3))


def waves(x: Any, y: Any) -> Any:
    return np.sin(_TABLE @ x) * np.exp(x[0] * y[1]) * np.tanh(x[2] * x[0] * y[0])


@pytest.mark.parametrize("pair", [*product(MODES, MODES)], ids=" over ".join)
def test_hessians_are_symmetric_to_the_bit(pair: Any) -> None:
    """Those of every result, in several arguments together, in every pair of modes."""
    outer, inner = pair
    x, y = np.array([0.3, -1.1, 0.7]), np.array([0.4, 1.3])
    first = jitad.jacobian(waves, (0, 1), mode=inner)
    for second in (
        jitad.jacobian(first, (0, 1), mode=outer, backend="numpy"),
        jitad.hessian(waves, (0, 1), mode=outer, backend="numpy"),
    ):
        (xx, xy), (yx, yy) = second(x, y)
        symmetric(xx, "x")
        symmetric(yy, "y")
        np.testing.assert_array_equal(xy, np.swapaxes(yx, -1, -2))
        want = jitad.jacobian(jitad.jacobian(lambda x: waves(x, y)))(x)
        np.testing.assert_allclose(xx, want, rtol=1e-12)


def test_rules_of_no_function_are_not_made_symmetric() -> None:
    @jitad.custom_jvp
    def f(x: Any) -> Any:
        return x[0] * x[1]

    @f.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        return f(x), x[0] * x[0] * t[1]

    found = jitad.jacobian(jitad.grad(f))(np.array([3.0, 4.0]))
    np.testing.assert_array_equal(found, [[0.0, 0.0], [6.0, 0.0]])


KINKED = sorted(n for n, p in registry.primitives.items() if p.piece is not None)
ROOTED = sorted(n for n, p in registry.primitives.items() if p.square is not None)


def points_of(name: str) -> list[np.ndarray]:
    """The points of a primitive, and ties, zeros of both signs and NaN."""
    points = registry.primitives[name].points or ((0.5, 0.2, 1.0, 2.0, 2.0, 0.0),)
    arity = len(points[0])
    special = (0.0, -0.0, 1.0, -1.0, np.nan)
    rows = [*points, *product(special, repeat=min(arity, 2))]
    rows = [(*row, *row[-1:] * (arity - len(row))) for row in rows]
    return list(np.array(rows).T)


@pytest.mark.parametrize("name", KINKED)
def test_pieces_have_the_value(name: str) -> None:
    """A piece is the function, but for the value at a jump, which is one side's."""
    primitive = registry.primitives[name]
    assert primitive.piece is not None
    columns = points_of(name)[:5] if name == "line" else points_of(name)
    function = primitive.piece
    found = jitad.vmap(lambda *x: function(*x) * 1.0, backend="numpy")(*columns)
    want = primitive.evaluate(*columns)
    smooth = columns[0] != 0 if name in ("sign", "heaviside") else [True] * len(want)
    np.testing.assert_array_equal(found[smooth], want[smooth])


@pytest.mark.parametrize("name", ROOTED)
def test_roots_are_of_their_squares(name: str) -> None:
    primitive = registry.primitives[name]
    assert primitive.square is not None
    for point in primitive.points:
        if max(map(abs, point)) < 1e100:
            root = primitive.evaluate(*point)
            np.testing.assert_allclose(primitive.square(*point), root**2, rtol=1e-12)


def test_every_kink_has_a_case() -> None:
    names = " ".join(primitive_names())
    for name in (*KINKED, *ROOTED):
        assert name in names.split() or name == "line_or_corner", name


def primitive_names() -> set[str]:
    """The primitives with kinks that the cases are made of."""
    found = set()
    for case in CASES:
        graph = jitad.jit(case.function).prepare(*case.arguments).derived.graph
        found |= {node.primitive.name for node in graph.nodes}
    return found


def test_third_derivatives() -> None:
    """The side goes on: |x|³ is x³, |x|⁵ too, and both factors are one."""
    for f, third in (
        (lambda x: np.abs(x) ** 3, 6.0),
        (lambda x: np.abs(x) * np.abs(x) * x, 6.0),
        (lambda x: np.maximum(x, 0.0) ** 3 + np.minimum(x, 0.0) ** 3, 6.0),
        (lambda x: np.linalg.norm(np.stack([x, 2 * x])) ** 2 * x, 30.0),
    ):
        twice = jitad.grad(jitad.grad(jitad.grad(f)), backend="numpy")(0.0)
        np.testing.assert_allclose(twice, third, rtol=1e-15)
        other = jitad.jacobian(jitad.hessian(f), backend="numpy")(0.0)
        np.testing.assert_allclose(other, third, rtol=1e-15)


# -- only where somebody differentiates ------------------------------------------------


def _corner(x: Any) -> Any:
    return np.abs(x) * np.maximum(x, 0.0)


def _slope(x: Any) -> Any:
    return jitad.grad(_corner)(x)


def _of_a_loop(x: Any) -> Any:
    return jitad.fori_loop(0, 2, lambda _, c: c + 0.5 * _slope(x), 0.0 * x)


def _of_a_batch(x: Any) -> Any:
    return np.sum(jitad.vmap(_slope)(np.stack([x] * 70)) / 70.0)


_by_a_partial = jitad.primitive(
    "corner_of_second",
    _corner,
    lambda y, x: [jitad.jit(_slope)(x)],
)


@pytest.mark.parametrize("f", [_slope, _of_a_loop, _of_a_batch])
def test_what_was_only_evaluated_is_differentiated_later(f: Any) -> None:
    """|x| max(x, 0) is x² where x grows: its slope is 0 at 0 and grows by 2 there."""
    made = jitad.jit(f, backend="numpy")
    np.testing.assert_array_equal(made(0.0), 0.0)
    for again in (made, f, jitad.checkpoint(f), lambda x: jitad.jit(made)(x)):
        np.testing.assert_allclose(jitad.grad(again, backend="numpy")(0.0), 2.0)
    np.testing.assert_array_equal(made(0.0), 0.0)


def test_a_partial_that_is_a_derivative_is_differentiated() -> None:
    found = jitad.hessian(_by_a_partial, backend="numpy")(0.0)
    np.testing.assert_allclose(found, 2.0)


@pytest.mark.parametrize("outer", [jitad.jit, jitad.vmap])
def test_what_nobody_differentiates_is_derived_once(
    outer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    own = accumulate.jacobian

    def counted(graph: Any, *args: Any, **options: Any) -> Any:
        asked.append(graph)
        return own(graph, *args, **options)

    monkeypatch.setattr(accumulate, "jacobian", counted)
    x = np.array([0.5, -1.0])

    def f(x: Any) -> Any:
        return np.sum(_corner(x))

    outer(lambda x: (f(x), jitad.jacobian(f)(x)), backend="numpy")(x)
    assert len(asked) == 1
    del asked[:]
    jitad.hessian(lambda x: np.sum(jitad.grad(f)(x)), backend="numpy")(x)
    assert len(asked) > 2
