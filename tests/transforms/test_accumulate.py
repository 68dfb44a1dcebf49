"""Symbolic accumulation: three orders, one Jacobian, operations counted and least."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitad
from benchmarks.modes import KINDS
from jitad.ir.graph import Graph, reach, validate
from jitad.ir.interpret import interpret
from jitad.ir.primitive import registry
from jitad.primitives.scalar.elementwise import gate
from jitad.transforms.derivatives import accumulate, joined, modes
from jitad.transforms.derivatives.accumulate import MODES, jacobian, twins_of
from jitad.transforms.derivatives.differentiate import pullback, pushforward
from jitad.transforms.derivatives.eliminate import eliminate
from jitad.transforms.derivatives.entries import METHODS
from jitad.transforms.derivatives.entries import cost as cost_of
from jitad.transforms.derivatives.linearized import linearize
from jitad.transforms.derivatives.numbering import Numbers, Scalars
from jitad.transforms.scalars.scalarize import scalarize
from tests.support import engine

Function = Callable[..., Any]
X = np.array([0.5, 2.0, -1.0, 0.25])


def scalars(f: Function, *args: Any) -> Graph:
    return scalarize(engine.traced(f, *args).graph)


def operations(graph: Graph) -> float:
    """The weighted operations of a graph: what its nodes cost."""
    live = reach(graph.nodes, graph.outputs)
    return sum(graph.nodes[i].primitive.cost for i in live)


def cost(*names: str) -> float:
    return sum(registry.primitives[n].cost for n in names)


def ladder(x: Any) -> Any:
    """Wide at both ends and narrow between, where cross-country wins."""
    s = np.sin(x[0] * x[1] + x[2] * x[3])
    return np.stack([s * x[0], np.exp(s), s / x[1], s * s])


def fan(x: Any) -> Any:
    return np.stack([np.sin(x[0]) * k for k in range(1, 5)])


def funnel(x: Any) -> Any:
    return x[0] * x[1] * x[2] * x[3]


def chained(x: Any) -> Any:
    """Outputs that are computed from each other, and one that is an input."""
    a = x[0] * x[1]
    b = np.sin(a) * x[2]
    return np.stack([a, b, x[3], a * b, x[0]])


def repeated(x: Any) -> Any:
    y = x[0] * x[1]
    return np.stack([y, y, x[2], x[2], y])


def rotation(x: Any) -> Any:
    c, s = np.cos(x[0]), np.sin(x[0])
    u = np.stack([c * x[1] - s * x[2], s * x[1] + c * x[2]])
    return u / (u[0] * u[0] + u[1] * u[1] + x[3])


def kinky(x: Any) -> Any:
    y = np.where(x > 0.3, x * x, np.exp(x))
    return np.stack([y[0] * y[3], np.where(y[1] > y[2], y[1], y[2] * x[0])])


FUNCTIONS = [ladder, fan, funnel, chained, repeated, rotation, kinky]


# -- agreement -----------------------------------------------------------------


@pytest.mark.parametrize("f", FUNCTIONS)
def test_the_orders_agree(f: Function) -> None:
    graph = scalars(f, X)
    found = []
    for mode in (*MODES, None):
        taken = jacobian(graph, (0,), mode=mode)
        validate(taken.graph)
        assert taken.mode == (mode or taken.mode)
        found += interpret(taken.graph, [X])
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-13, atol=0)
    pushed = pushforward(graph, (0,))
    validate(pushed)
    columns = [interpret(pushed, [X, e])[1] for e in np.eye(4)]
    np.testing.assert_allclose(np.stack(columns, -1), found[0], rtol=1e-13, atol=0)
    pulled = pullback(graph, (0,))
    validate(pulled)
    shape = graph.output_types[0].shape
    count = graph.output_types[0].size
    rows = [interpret(pulled, [X, e.reshape(shape)])[1] for e in np.eye(count)]
    matrix = np.asarray(found[0]).reshape(count, 4)
    np.testing.assert_allclose(np.stack(rows), matrix, rtol=1e-13, atol=0)


@pytest.mark.parametrize("f", FUNCTIONS)
def test_the_jacobian_is_the_limit_of_differences(f: Function) -> None:
    (found,) = engine.jacobian(f, X)
    h = 2.0**-17
    for k, e in enumerate(np.eye(4)):
        slope = (np.asarray(f(X + h * e)) - np.asarray(f(X - h * e))) / (2 * h)
        np.testing.assert_allclose(found[..., k], slope, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("mode", MODES)
def test_one_jacobian_by_hand(mode: Any) -> None:
    (found,) = engine.jacobian(chained, X, mode=mode)
    a, c, s = X[0] * X[1], np.cos(X[0] * X[1]), np.sin(X[0] * X[1])
    da = np.array([X[1], X[0], 0, 0])
    db = c * X[2] * da + np.array([0, 0, s, 0])
    b = s * X[2]
    by_hand = np.stack([da, db, np.eye(4)[3], a * db + b * da, np.eye(4)[0]])
    np.testing.assert_allclose(found, by_hand, rtol=1e-15, atol=0)


@pytest.mark.parametrize("mode", MODES)
def test_an_operand_used_twice_gets_both_partials(mode: Any) -> None:
    (found,) = engine.jacobian(lambda x: x * x / (x + x), np.float64(3), mode=mode)
    np.testing.assert_allclose(found, 0.5, rtol=1e-15)


@pytest.mark.parametrize("mode", MODES)
def test_functions_without_anything_to_eliminate(mode: Any) -> None:
    x = np.arange(3.0)
    (found,) = engine.jacobian(lambda x: x[::-1], x, mode=mode)
    np.testing.assert_array_equal(found, np.eye(3)[::-1])
    (found,) = engine.jacobian(lambda x: 0 * x[:2] + np.ones(2), x, mode=mode)
    np.testing.assert_array_equal(found, np.zeros((2, 3)))
    (found,) = engine.jacobian(lambda x: x[:0], x, mode=mode)
    assert found.shape == (0, 3)
    (found,) = engine.jacobian(lambda x: np.ones(2), x, mode=mode)
    np.testing.assert_array_equal(found, np.zeros((2, 3)))


@pytest.mark.parametrize("mode", MODES)
def test_results_that_are_no_floats_have_no_slope(mode: Any) -> None:
    (found,) = engine.jacobian(
        lambda x: np.where(x[0] > 0, x[1], 2.0) * (x[2] > 0), X, mode=mode
    )
    np.testing.assert_array_equal(found, np.zeros(4))


def test_structural_zeros_do_not_exist() -> None:
    taken = jacobian(scalars(lambda x: np.sin(x), np.ones(50)), (0,))
    assert taken.graph.output_types[0].shape == (50, 50)
    names = [n.primitive.name for n in taken.graph.nodes]
    assert names.count("cos") == 50
    assert names.count("const") == 1
    assert "mul" not in names


# -- operations ----------------------------------------------------------------

COUNTED: dict[str, tuple[Function, Any, dict[str, float]]] = {
    # y·z, x·z, x·y, whatever the order.
    "x y z": (
        lambda x: x[0] * x[1] * x[2],
        np.ones(3),
        {"forward": 3, "reverse": 3},
    ),
    # a = x0·x1 and b = a·x2 either way.  Forward: x2·x1, x2·x0, x3 times these and a.
    # Reverse: x2·x3, a·x3, and x1 and x0 times the first.
    "x y z w": (funnel, X, {"forward": 2 + 2 + 3, "reverse": 2 + 2 + 2}),
    "sin(x) y": (
        lambda x: np.sin(x[0]) * x[1],
        np.ones(2),
        {"forward": cost("cos", "sin", "mul"), "reverse": cost("cos", "sin", "mul")},
    ),
    "linear": (
        lambda x: 3 * x[0] - x[1],
        np.ones(2),
        {"forward": 0, "reverse": 0},
    ),
    "exp is its own partial": (
        lambda x: np.exp(x[0] + x[1]),
        np.ones(2),
        {"forward": cost("add", "exp"), "reverse": cost("add", "exp")},
    ),
}


@pytest.mark.parametrize("name", COUNTED)
def test_operations_counted_by_hand(name: str) -> None:
    f, x, counts = COUNTED[name]
    graph = scalars(f, x)
    for mode, count in counts.items():
        assert jacobian(graph, (0,), mode=mode).costs == {mode: count}


def test_the_value_shares_the_derivatives_operations() -> None:
    graph = scalars(lambda x: np.exp(x[0] * x[1]), X)
    plain = jacobian(graph, (0,), mode="reverse").costs["reverse"]
    both = jacobian(graph, (0,), mode="reverse", value=True).costs["reverse"]
    assert plain == both == cost("mul", "exp", "mul", "mul")


@pytest.mark.parametrize("value", [False, True])
@pytest.mark.parametrize("f", FUNCTIONS)
def test_costs_are_those_of_the_graphs_and_the_least_is_taken(
    f: Function, value: bool
) -> None:
    graph = scalars(f, X)
    free = jacobian(graph, (0,), value=value)
    assert free.costs[free.mode] == min(free.costs.values())
    assert free.costs[free.mode] == operations(free.graph)
    for mode in free.costs:
        forced = jacobian(graph, (0,), mode=mode, value=value)
        assert forced.costs == {mode: operations(forced.graph)}
        # Of gates only those that are built are counted to the operation.
        rel = 0.15 if mode != free.mode and f is kinky else 0
        assert forced.costs[mode] == pytest.approx(free.costs[mode], rel=rel, abs=0)
    assert free.costs.keys() | free.untried.keys() == set(MODES)
    assert not free.costs.keys() & free.untried.keys()


def wide(x: Any) -> Any:
    s = np.sin(x[0])
    return np.stack([np.exp(s) * s * np.cos(s + k) for k in range(9)])


def long(x: Any) -> Any:
    y = x[0]
    for k in range(1, 20):
        y = y * x[k] + np.sin(y)
    return y


def test_dimensions_decide_where_they_are_lopsided() -> None:
    taken = jacobian(scalars(wide, np.ones(1)), (0,))
    assert taken.mode == "forward"
    assert "input" in taken.untried["cross"]
    taken = jacobian(scalars(long, np.ones(20)), (0,))
    assert taken.mode == "reverse"
    assert "multiplications against" in taken.untried["forward"]
    assert "output" in taken.untried["cross"]


def test_cross_country_wins_where_the_function_is_narrow_inside() -> None:
    def narrow(x: Any) -> Any:
        s = np.sin(funnel(x))
        t = s
        for _ in range(4):
            t = t * np.exp(t)
        return np.stack([t * (k + 1.5) + np.cos(t * k) for k in range(1, 6)])

    taken = jacobian(scalars(narrow, X), (0,))
    assert taken.mode == "cross"
    assert taken.costs["cross"] < min(taken.costs["forward"], taken.costs["reverse"])


def orbit(x: Any) -> Any:
    """Sixty steps of Runge and Kutta around a spring that stiffens."""

    def slope(y: Any) -> Any:
        return np.stack([y[1], -x[0] * y[0] - x[1] * y[0] ** 3 - x[2] * y[1] + x[3]])

    def step(y: Any, _: Any) -> Any:
        k1 = slope(y)
        k2 = slope(y + 0.05 * k1)
        k3 = slope(y + 0.05 * k2)
        k4 = slope(y + 0.1 * k3)
        return y + (k1 + 2 * k2 + 2 * k3 + k4) / 60, None

    return jitad.scan(step, np.stack([x[0] * x[1], x[3]]), None, length=60)[0]


def test_a_step_that_many_seeds_share_is_differentiated_first() -> None:
    """One product for each seed is less than carrying each through the whole step."""
    graph = scalars(orbit, X)
    taken = jacobian(graph, (0,))
    assert taken.mode == "cross"
    assert taken.costs["cross"] < 0.81 * taken.costs["forward"]
    assert taken.costs["cross"] < taken.costs["reverse"]
    (wanted,) = interpret(jacobian(graph, (0,), mode="forward").graph, [X])
    np.testing.assert_allclose(interpret(taken.graph, [X])[0], wanted, rtol=1e-12)


def test_arrays_that_do_not_matter_are_not_taken_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither what is read and does not vary, nor what is written and not used."""
    taken: list[int] = []
    elements = joined.sc.elements

    def noted(builder: Any, array: int) -> Any:
        taken.append(builder.nodes[array].type.size)
        return elements(builder, array)

    monkeypatch.setattr(joined.sc, "elements", noted)

    def f(x: Any) -> Any:
        step = lambda c, t: (np.sin(c) * x + t, c * x)  # noqa: E731
        return jitad.scan(step, x * x, np.arange(30.0))

    for part, found in ((lambda x: f(x)[0], False), (lambda x: f(x)[1][2], True)):
        graph = scalars(part, X)
        taken.clear()
        jacobian(graph, (0,), mode="cross")
        assert (30 in taken) == found


def test_a_long_body_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accumulate, "_LONG_BODY", 10)
    taken = jacobian(scalars(orbit, X), (0,))
    assert "long to search" in taken.untried["cross"]


def test_accumulation_is_reproducible() -> None:
    for f in FUNCTIONS:
        texts = {jacobian(scalars(f, X), (0,)).graph.text for _ in range(3)}
        assert len(texts) == 1


def test_cross_country_gives_up_where_it_fills_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = jacobian(scalars(rotation, X), (0,))
    assert "elimination" in taken.untried["cross"]
    monkeypatch.setattr(modes, "_CROSS_LIMIT", 0)
    taken = jacobian(scalars(rotation, X), (0,))
    assert "too many" in taken.untried["cross"]
    forced = jacobian(scalars(rotation, X), (0,), mode="cross")
    assert forced.mode == "cross"


# -- options -------------------------------------------------------------------


def several(x: Any, n: Any, y: Any) -> Any:
    return x[0] * y, {"b": np.stack([y, y * y * x[1]]), "c": x * n}


def test_outputs_and_inputs_are_chosen() -> None:
    args = np.array([2.0, 3.0]), np.float64(5), np.float64(7)
    graph = scalars(several, *args)
    for mode in MODES:
        whole = jacobian(graph, (0, 2), mode=mode).graph
        shapes = [t.shape for t in whole.output_types]
        assert shapes == [(2,), (), (2, 2), (2,), (2, 2), (2,)]
        found = interpret(whole, args)
        np.testing.assert_array_equal(found[0], [7, 0])
        np.testing.assert_array_equal(found[2], [[0, 0], [0, 49]])
        np.testing.assert_array_equal(found[3], [1, 42])
        np.testing.assert_array_equal(found[4], 5 * np.eye(2))
        np.testing.assert_array_equal(found[5], [0, 0])
        for of, wrt in itertools.product([(0,), (1,), (2, 0)], [(0,), (2,), (1, 0)]):
            part = jacobian(graph, wrt, mode=mode, of=of).graph
            every = jacobian(graph, (0, 1, 2), mode=mode).graph
            table = iter(interpret(every, args))
            rows = [[next(table) for _ in range(3)] for _ in range(3)]
            expected = [rows[o][k] for o in of for k in wrt]
            got = interpret(part, args)
            assert len(got) == len(expected)
            for a, b in zip(got, expected, strict=True):
                np.testing.assert_array_equal(a, b)


def test_the_value_comes_first() -> None:
    args = np.array([2.0, 3.0]), np.float64(5), np.float64(7)
    graph = scalars(several, *args)
    taken = jacobian(graph, (2,), value=True, of=(1,)).graph
    first, second, third, slope = interpret(taken, args)
    np.testing.assert_array_equal(first, 14)
    np.testing.assert_array_equal(second, [7, 147])
    np.testing.assert_array_equal(third, [10, 15])
    np.testing.assert_array_equal(slope, [1, 42])


def test_a_derivative_has_its_inputs_dtype() -> None:
    args = np.float32(2), np.float64(3)
    for mode in MODES:
        left, right = engine.jacobian(lambda a, b: a * b, *args, mode=mode)
        assert (left.dtype, right.dtype) == (np.float32, np.float64)
        np.testing.assert_array_equal([left, right], [3, 2])


def test_only_paths_from_the_chosen_inputs_are_differentiated() -> None:
    line = linearize(scalars(lambda x, y: np.sin(x) * np.exp(y), 1.0, 2.0), (0,))
    assert len(line.edges) == 2
    assert "cos" in [n.primitive.name for n in line.builder.nodes]
    exponentials = [n for n in line.builder.nodes if n.primitive.name == "exp"]
    assert len(exponentials) == 1


# -- second order --------------------------------------------------------------


def energy(x: Any) -> Any:
    return np.sin(x[0] * x[1]) * x[2] + np.exp(x[3] / x[1]) * x[0] * x[0]


@pytest.mark.parametrize("mode", MODES)
def test_a_hessian_is_symmetric_and_needs_one_triangle(mode: Any) -> None:
    graph = scalars(energy, X)
    first = jacobian(graph, (0,)).graph
    whole = jacobian(first, (0,), mode=mode)
    twins = twins_of(graph.output_types, graph.input_types)
    half = jacobian(first, (0,), mode=mode, twins=twins)
    (full,), (mirrored,) = interpret(whole.graph, [X]), interpret(half.graph, [X])
    np.testing.assert_array_equal(mirrored, np.transpose(mirrored))
    np.testing.assert_allclose(mirrored, full, rtol=1e-13, atol=0)
    np.testing.assert_allclose(full, np.transpose(full), rtol=1e-13, atol=0)
    assert half.costs[mode] <= whole.costs[mode]
    (pack,) = (half.graph.nodes[i] for i in half.graph.outputs)
    table = np.reshape(pack.operands, (4, 4))
    np.testing.assert_array_equal(table, table.T)


@pytest.mark.parametrize(("first", "second"), list(itertools.product(MODES, MODES)))
def test_orders_compose(first: Any, second: Any) -> None:
    graph = jacobian(scalars(energy, X), (0,), mode=first).graph
    (found,) = interpret(jacobian(graph, (0,), mode=second).graph, [X])
    (reference,) = interpret(
        jacobian(jacobian(scalars(energy, X), (0,), mode="reverse").graph, (0,)).graph,
        [X],
    )
    np.testing.assert_allclose(found, reference, rtol=1e-12, atol=0)


def test_third_derivatives_are_symmetric_in_all_axes() -> None:
    graph = scalars(energy, X)
    for _ in range(3):
        graph = jacobian(graph, (0,)).graph
    (found,) = interpret(graph, [X])
    for axes in itertools.permutations(range(3)):
        np.testing.assert_allclose(np.transpose(found, axes), found, rtol=1e-12, atol=0)


# -- strong zeros --------------------------------------------------------------

GATED: dict[str, tuple[Function, Any, Any]] = {
    "log": (lambda x: np.where(x > 0, np.log(x), 0.0), -1.0, 0.0),
    "log at 0": (lambda x: np.where(x > 0, np.log(x), 0.0), 0.0, 0.0),
    "sqrt of it": (lambda x: np.sqrt(np.where(x > 0, x, 0.0)), -1.0, 0.0),
    "inf after": (lambda x: 1.0 / np.where(x > 0, x, 0.0), -1.0, 0.0),
    "nested": (
        lambda x: np.where(x > 0, np.where(x < 9, np.sqrt(x), np.log(x - 9)), x * 2.0),
        4.0,
        0.25,
    ),
    "both branches": (lambda x: np.where(x != 0, np.sin(x) / x, x * x), 0.0, 0.0),
    "sums": (
        lambda x: np.where(x > 0, np.log(x), 0.0) + np.where(x > 1, np.sqrt(x - 1), x),
        0.0,
        1.0,
    ),
    "a product": (lambda x: np.where(x > 0, np.log(x), 2.0) * x, 0.0, 2.0),
    "a branch in a branch, inf after": (
        lambda x: np.sqrt(np.where(x > 0, np.where(x > 1, np.log(x - 1), 0.0), x)),
        0.5,
        0.0,
    ),
    "one branch twice, inf after": (
        lambda x: np.sqrt(np.maximum(np.where(x > 1, np.log(x), 0.0), -1.0) - _late(x)),
        0.5,
        0.0,
    ),
    "twice": (
        lambda x: np.where(x > 0, np.log(np.where(x > 1, np.log(x), 1.0)), 3.0),
        0.0,
        0.0,
    ),
}


def _late(x: Any) -> Any:
    return np.where(x > 1, np.log(x), 0.0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", GATED)
def test_untaken_branches_give_exact_zeros(name: str, mode: Any) -> None:
    f, x, slope = GATED[name]
    with np.errstate(all="ignore"):
        y = float(f(np.float64(x)))
    (found,) = engine.jacobian(f, np.float64(x), mode=mode)
    np.testing.assert_array_equal(found, slope)
    # As one of several inputs and outputs, and at second order.
    pair = np.array([x, 0.75])

    def both(p: Any) -> Any:
        z = f(p[0])
        return np.stack([z * p[1], p[1] * p[1], z])

    (found,) = engine.jacobian(both, pair, mode=mode)
    expected = [[0.75 * slope, y], [0, 1.5], [slope, 0]]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("mode", MODES)
def test_a_gate_in_second_derivatives(mode: Any) -> None:
    def f(x: Any) -> Any:
        return np.where(x[0] > 0, np.log(x[0]), x[0] * x[1]) * x[1]

    first = jacobian(scalars(f, X[:2]), (0,), mode=mode).graph
    second = jacobian(first, (0,), mode=mode).graph
    x = np.array([0.0, 3.0])
    np.testing.assert_array_equal(interpret(first, [x])[0], [9, 0])
    np.testing.assert_array_equal(interpret(second, [x])[0], [[0, 6], [6, 0]])


def test_a_gate_is_a_strong_zero_and_a_product_is_not() -> None:
    with np.errstate(all="ignore"):
        for infinite in (np.inf, np.nan):
            assert gate(np.False_, infinite) == 0
            assert np.isnan(np.float64(0) * infinite)
    (found,) = engine.jacobian(
        lambda x: np.where(x > 0, 1.0, 0.0) * np.log(x), np.float64(0)
    )
    assert np.isnan(found)


@pytest.mark.parametrize(
    "name", ["Roe flux", "quaternion", "pendulum", "Rosenbrock, 30", "softmax"]
)
def test_the_mode_is_chosen_well_without_trying_all(name):
    function, size = KINDS[name]
    graph = scalars(function, np.linspace(0.5, 1.5, size))
    least = min(jacobian(graph, (0,), mode=m).costs[m] for m in MODES)
    taken = jacobian(graph, (0,))
    assert taken.costs[taken.mode] <= 1.03 * least


# Of what has loops, operations are counted once they are built.
LOOPS = ("scan", "Lorenz")
SMOOTH = [name for name in KINDS if not name.startswith((*LOOPS, "Roe"))]


@pytest.mark.parametrize("name", SMOOTH)
def test_operations_are_counted_before_any_are_built(name):
    function, size = KINDS[name]
    graph = scalars(function, np.linspace(0.5, 1.5, size))
    line = linearize(graph, (0,))
    rows = [int(v) for v in line.outputs[0].ravel()]
    columns = [int(v) for v in line.elements[0].ravel()]
    for value in (False, True):
        roots = rows if value else []
        counted = {}
        for mode, method in METHODS.items():
            numbers = Numbers(line.builder)
            found = method(line, rows, columns, numbers)
            counted[mode] = numbers.cost(found.values(), roots)
        numbers = Numbers(line.builder)
        found, order, _ = eliminate(line, rows, columns, numbers)
        again, same, _ = eliminate(line, rows, columns, numbers, order)
        assert (again, same) == (found, order)
        counted["cross"] = numbers.cost(found.values(), roots)
        found, _, _ = eliminate(line, rows, columns, Scalars(line.builder), order)
        built = {"cross": cost_of(line, [*roots, *found.values()])}
        for mode in METHODS:
            taken = jacobian(graph, (0,), mode=mode, value=value)
            built[mode] = taken.costs[mode]
        for mode, count in counted.items():
            assert count == pytest.approx(built[mode], rel=0.01, abs=1)


@pytest.mark.slow
def test_what_is_known_of_the_sign_of_long_ways_is_found_in_linear_time():
    def f(x: Any) -> Any:
        s = x * x
        for _ in range(400):
            s = 0.3 * s + s / (0.5 + s) * 0.2 + x * x
        return np.log(s)

    x, h = 0.7, 1e-6
    want = (f(x + h) - f(x - h)) / (2 * h)
    for mode in MODES:
        found = jitad.jacobian(f, mode=mode)(x)
        np.testing.assert_allclose(found, want, rtol=1e-8)
