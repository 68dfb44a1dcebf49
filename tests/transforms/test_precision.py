"""Mixed precision: float32 arithmetic and float64 sums, as far off as rounding is.

A mixed graph is held to the bounds that running errors give the same graph if every
number in it is rounded to float32; compiled and interpreted to its own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.special as special

import jitad
from jitad.api import jit, vmap
from jitad.calls.call import Summed
from jitad.calls.function import Function
from jitad.calls.where import Where
from jitad.ir.branch import BRANCH, branch_of
from jitad.ir.call import CALL, custom_of
from jitad.ir.graph import CONST, Graph, Node, Type, scalar, validate
from jitad.ir.interpret import interpret
from jitad.ir.loop import LOOP, loop_of
from jitad.ir.primitive import registry
from jitad.ir.table import Way, add_lookup, add_scatter
from jitad.primitives.scalar.elementwise import GATES
from jitad.transforms.derivatives import accumulate
from jitad.transforms.derivatives.accumulate import MODES
from jitad.transforms.rewrite.branches import sink
from jitad.transforms.rewrite.expand import expand
from jitad.transforms.rewrite.precision import mixed
from jitad.transforms.scalars.scalarize import scalarize
from jitad.transforms.scalars.templates import new_builder
from tests.support import engine
from tests.support.random_cases import over, programs
from tests.support.random_graphs import Program as Straight
from tests.support.random_programs import KINDS, POINTS, Program, structured
from tests.support.running_error import running_error
from tests.support.seen import everything, leaves, mostly_sharp, scalars, spread

F8, F4 = np.dtype(np.float64), np.dtype(np.float32)
EPS = float(np.finfo(F4).eps)
MANY = 10**6
SOLVERS = ("root", "fixed_point")  # stay as they are


def in_mixed(f: Callable[..., Any], backend: Any = "cpu") -> Function:
    """The function of a mixed graph."""
    base = f if isinstance(f, Function) else jit(f)

    def derive(spec: Any, inputs: Any) -> Any:
        derived = base.derive(spec, inputs)
        return replace(derived, graph=held(derived.graph))

    return Function(
        base.function, derive, name=base.name, levels=base.levels, where=Where(backend)
    )


def held(graph: Graph) -> Graph:
    """A mixed graph that is found to be one."""
    made = mixed(graph)
    assert made.input_types == graph.input_types
    assert made.output_types == graph.output_types
    assert made.text == mixed(graph).text
    for inner, repeated in inside(made):
        validate(inner)
        for node in doubles(inner):
            # Outside of loops, and in functions that they call, nothing is added.
            assert repeated
            assert node.primitive.name in ("add", "sub")
    return made


def inside(graph: Graph, repeated: bool = False) -> Iterator[tuple[Graph, bool]]:
    """A graph and all graphs in it, and whether they are in a loop."""
    yield graph, repeated
    for node in graph.nodes:
        if node.primitive is LOOP:
            loop = loop_of(node)
            yield from inside(loop.body, True)
            if loop.head is not None:
                yield from inside(loop.head)
        elif node.primitive is BRANCH:
            yield from inside(branch_of(node).body)
        elif node.primitive is CALL and custom_of(node).name not in SOLVERS:
            yield from inside(custom_of(node).value, repeated)


def doubles(graph: Graph) -> list[Node]:
    """What computes in float64, but of whole numbers and constants alone."""
    found, whole = [], set()
    for i, node in enumerate(graph.nodes):
        own = [graph.nodes[a] for a in node.operands]
        if node.primitive is CONST or node.type.dtype.kind == "i":
            whole.add(i)
        elif node.type.dtype == F8 and node.primitive.kind == "elementwise":
            if whole.issuperset(node.operands):
                whole.add(i)
            elif node.primitive.name not in ("cast", "select", *GATES):
                found.append(node)
        elif node.primitive.kind == "elementwise" and node.primitive.name != "cast":
            assert all(x.type.dtype != F8 for x in own), node
    return found


def wide(f: Callable[..., Any], *args: Any) -> Counter[str]:
    """How many operations of float64 are in a mixed function, by name."""
    graph = in_mixed(f).prepare(*args).derived.graph
    return Counter(n.primitive.name for g, _ in inside(graph) for n in doubles(g))


# -- straight lines ------------------------------------------------------------


@pytest.mark.slow
def test_random_graphs_are_off_by_float32_rounding() -> None:
    with mostly_sharp(0.4) as seen:

        @over(15, programs(5, 40))
        def hold(program: Straight) -> None:
            graph = scalars(program.function, program)
            graphs = [graph] + [
                accumulate.jacobian(graph, everything(program), mode=m).graph
                for m in MODES
            ]
            for one in graphs:
                made = held(one)
                got = interpret(made, program.inputs)
                bounds = running_error(one, program.inputs, single=True)
                for g, v, e in zip(got, *bounds, strict=True):
                    seen.bounded(g, v, e)


@pytest.mark.slow
def test_the_machine_agrees_with_the_interpreter() -> None:
    with mostly_sharp() as seen:

        @over(10, programs(5, 30))
        def hold(program: Straight) -> None:
            wrt = tuple(everything(program))
            points = spread(program, len(program.lines))
            for f in (jit(program.function), jitad.jacobian(program.function, wrt)):
                batched = jitad.vmap(f)
                got = leaves(in_mixed(batched)(*points))
                slow = leaves(in_mixed(batched, "numpy")(*points))
                graph = in_mixed(batched).prepare(*points).derived.graph
                bounds = running_error(graph, points, 1)
                for g, s, v, e in zip(got, slow, *bounds, strict=True):
                    seen.bounded(g, np.broadcast_to(v, g.shape), e)
                    seen.bounded(s, np.broadcast_to(v, s.shape), e)
                for k in (0, 4, 8):
                    alone = leaves(in_mixed(batched)(*[x[k : k + 1] for x in points]))
                    for g, a in zip(got, alone, strict=True):
                        np.testing.assert_array_equal(g[k : k + 1], a)


def test_only_what_is_read_and_what_results_is_converted() -> None:
    def f(x: Any) -> Any:
        return np.exp(np.sin(x[0]) * x[1] + 0.1) - x[2], x[3]

    graph = in_mixed(f).prepare(np.ones(4)).derived.graph
    count = Counter(node.primitive.name for node in graph.nodes)
    assert count["cast"] == 3 + 1
    assert not wide(f, np.ones(4))
    # What only moves keeps its bits.
    assert in_mixed(f)(np.full(4, 0.1))[1] == 0.1


def test_float32_and_integers_stay_as_they_are() -> None:
    @over(10, programs(5, 20))
    def hold(program: Straight) -> None:
        narrow = replace(program, inputs=tuple(x.astype(F4) for x in program.inputs))
        graph = scalars(narrow.function, narrow)
        if all(node.type.dtype != F8 for node in graph.nodes):
            assert mixed(graph) is graph

    def words(key: Any) -> Any:
        return jitad.random.bits(key, 3, 5), key << 40

    for f, x in ((words, 7), (lambda x: np.sin(x) * x[0], np.ones(3, F4))):
        graph = jit(f).prepare(x).derived.graph
        assert mixed(graph) is graph


@pytest.mark.slow
def test_a_long_chain() -> None:
    """Twenty thousand operations, one after the other."""

    def f(x: Any) -> Any:
        for _ in range(10_000):
            x = np.sin(x) + 1e-4
        return x

    graph = scalarize(engine.traced(f, np.float64(0.5)).graph)
    made = held(graph)
    assert len(made.nodes) <= len(graph.nodes) + 2
    (got,) = interpret(made, [np.asarray(0.5)])
    assert got == pytest.approx(interpret(graph, [np.asarray(0.5)])[0], rel=1e-4)


# -- constants -----------------------------------------------------------------


@pytest.mark.parametrize("sign", (1, -1))
@pytest.mark.parametrize("value", (1e300, 1e-300, 0.1, 0.0, np.inf, 1e-40, 3.5))
def test_a_constant_is_zero_or_infinite_only_where_it_was(
    value: float, sign: int
) -> None:
    constant = sign * value
    got = in_mixed(lambda x: np.maximum(x, constant))(-np.inf)
    assert np.isfinite(got) == np.isfinite(constant)
    assert (got == 0) == (value == 0)
    assert np.signbit(got) == np.signbit(constant) or value == 0
    tiny, most = float(np.finfo(F4).smallest_subnormal), float(np.finfo(F4).max)
    near = constant if np.isinf(value) else np.clip(abs(value), tiny, most) * sign
    if value:
        assert got == np.float32(near)


def test_nan_stays_nan() -> None:
    assert np.isnan(in_mixed(lambda x: np.where(x > 0, np.nan, x))(1.0))


# -- whole numbers and random ones ----------------------------------------------

LAST = 2**53 - 1
FRACTIONS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "53 bits": (lambda n: n.astype(float) * 2.0**-53, LAST),
    "32 bits": (lambda n: n * 2.0**-32, 2**32 - 1),
    "32 bits, divided": (lambda n: n / 2.0**32, 2**32 - 1),
    "middles": (lambda n: (n + 0.5) * 2.0**-32, 2**32 - 1),
    "in ten parts": (lambda n: np.floor(n * 2.0**-53 * 10) * 0.1 + 0.05, LAST),
}


@pytest.mark.parametrize("name", FRACTIONS)
def test_a_fraction_is_rounded_but_not_to_one(name: str) -> None:
    f, last = FRACTIONS[name]
    rng = np.random.default_rng(3)
    near = [last >> k for k in range(53)] + [last - 2**k for k in range(30)]
    whole = np.sort(np.array([*near, *rng.integers(0, last, 1000)]))
    for backend in ("cpu", "numpy"):
        got = in_mixed(jitad.vmap(f), backend)(whole)
        want = jitad.vmap(f)(whole)
        assert np.all(got < 1)
        assert np.all(np.diff(got) >= 0)
        np.testing.assert_array_equal(got, got.astype(F4))
        np.testing.assert_allclose(got, want, rtol=EPS, atol=0)


def test_what_is_made_of_a_fraction_is_exact_until_it_is_used() -> None:
    def f(n: Any) -> Any:
        u = n * 2.0**-53
        return np.log(1.0 - u), (u * 10).astype(int), np.sqrt(1 - u * u), u

    n = np.array([LAST, 0, LAST // 2, 1 << 24, 12345678901234])
    logs, tenths, chords, u = in_mixed(jitad.vmap(f))(n)
    exact = n * 2.0**-53
    np.testing.assert_allclose(logs, np.log(1 - exact), rtol=4 * EPS, atol=EPS)
    np.testing.assert_array_equal(tenths, (exact * 10).astype(int))
    np.testing.assert_allclose(chords**2, 1 - u * u, rtol=0, atol=4 * EPS)
    assert np.all(u < 1) and np.all(np.isfinite(logs))


def test_random_numbers() -> None:
    counters = np.arange(100_000)
    for draw in (jitad.random.uniform, jitad.random.normal):
        f = jitad.vmap(lambda i, draw=draw: draw(7, i, 2))
        got, want = in_mixed(f)(counters), f(counters)
        assert np.all(np.isfinite(got))
        # A small radius is the square root of a logarithm near 1.
        assert np.all(np.abs(got - want) <= EPS * (40 + 2 / np.abs(want)))


def test_integers_keep_their_bits() -> None:
    def f(x: Any, n: Any) -> Any:
        return x.astype(int), n.astype(float).astype(int), n << 3

    x, n = np.array([2.0**53 - 1, 3.7]), np.array([2**53 - 1, -5])
    got = in_mixed(f)(x, n)
    for g, w in zip(got, (x.astype(int), n, n << 3), strict=True):
        np.testing.assert_array_equal(g, w)


# -- sums ----------------------------------------------------------------------


def term(x: Any) -> Any:
    return np.sqrt(x * x)


def total(x: Any) -> Any:
    return np.sum(jitad.vmap(term)(x))


def test_a_long_sum_keeps_its_digits() -> None:
    x = np.full(MANY, 0.1)
    call = in_mixed(total).prepare(x)
    assert isinstance(call, Summed)
    (step,) = call.program.sums
    assert Counter(n.primitive.name for n in step.graph.nodes)["cast"] == 2
    assert step.types == (Type(F8, (1,)),)
    got = in_mixed(total)(x)
    assert abs(got - 1e5) <= 1e-7 * 1e5
    # Sixty-fourths of the digits are lost where sums are float32, too.
    assert abs(np.cumsum(x.astype(F4))[-1] - 1e5) > 1e-4 * 1e5
    # The terms are rounded, each alike, and not their sum.
    np.testing.assert_allclose(got, MANY * float(np.float32(0.1)), rtol=1e-12)
    (slow,) = interpret(in_mixed(total).prepare(x[:1000]).derived.graph, [x[:1000]])
    np.testing.assert_allclose(slow, got / 1000, rtol=1e-12)


def test_the_gradient_of_a_long_sum() -> None:
    x = np.random.default_rng(1).uniform(0.5, 2, 5000)

    def loss(p: Any, x: Any) -> Any:
        return np.sum(jitad.vmap(lambda x: np.sin(p[0] * x) * p[1])(x))

    p = np.array([0.7, 1.3])
    assert set(wide(jitad.grad(loss), p, x)) == {"add"}
    got, want = in_mixed(jitad.grad(loss))(p, x), jitad.grad(loss)(p, x)
    size = [np.sum(np.abs(1.3 * x)), len(x)]
    assert np.all(np.abs(got - want) <= 8 * EPS * np.array(size))


def test_gauss_newton() -> None:
    rng = np.random.default_rng(2)
    p, x, y = np.array([1.0, 2.0, 0.5]), rng.random(3000), rng.random(3000)

    def residual(p: Any, x: Any, y: Any) -> Any:
        return np.stack([p[0] * np.exp(-p[1] * x) - y, p[2] * x * x])

    f = jitad.gauss_newton(residual)
    assert isinstance(in_mixed(f).prepare(p, x, y), Summed)
    for g, w in zip(in_mixed(f)(p, x, y), f(p, x, y), strict=True):
        assert g.dtype == F8
        np.testing.assert_allclose(g, w, rtol=20 * EPS, atol=20 * EPS * 3000)


def nested(x: Any) -> Any:
    """Sums in sums, where the inner ones begin at the outer one."""

    def row(c: Any, a: Any) -> Any:
        def column(c: Any, b: Any) -> Any:
            return c + np.sin(a * b), None

        return jitad.scan(column, c, x)

    return jitad.scan(row, 0.0, x)[0]


def through_a_call(x: Any) -> Any:
    step = jitad.checkpoint(lambda c, a: c + np.sin(a) * a)
    return jitad.scan(lambda c, a: (step(c, a), None), 0.0, x)[0]


def in_segments(x: Any) -> Any:
    f = lambda c, a: (c + np.sin(a) * a, None)  # noqa: E731
    return jitad.scan(f, 0.0, x, checkpoint="sqrt")[0]


def where_positive(x: Any) -> Any:
    def step(c: Any, a: Any) -> Any:
        return np.where(a > 0, c - a * np.cos(a), c), None

    return jitad.scan(step, 0.0, x)[0]


def beside_a_state(x: Any) -> Any:
    """What is added depends on what else is carried."""

    def step(c: Any, a: Any) -> Any:
        y, s = c
        y = 0.5 * y + np.sin(a)
        return (y, s + y * y), None

    return jitad.scan(step, (0.0, 0.0), x)[0][1]


def sum_that_is_read(x: Any) -> Any:
    return jitad.scan(lambda c, a: (c + np.sin(a) * c, None), 1.0, x)[0]


def sum_that_is_kept(x: Any) -> Any:
    return jitad.scan(lambda c, a: (c + np.sin(a), c), 1.0, x)[1][-1]


def sum_that_decides(x: Any) -> Any:
    return jitad.while_loop(
        lambda c: c < 3, lambda c: c + np.sin(x[0]), x[1], max_steps=50
    )


ADDING: dict[Any, dict[str, int]] = {
    nested: {"add": 2},
    through_a_call: {"add": 1},
    in_segments: {"add": 2},
    where_positive: {"add": 1},
    beside_a_state: {"add": 1},
    sum_that_is_read: {},
    sum_that_is_kept: {},
    sum_that_decides: {},
}


@pytest.mark.parametrize("f", ADDING, ids=lambda f: f.__name__)
def test_what_a_loop_only_adds_to_is_float64(f: Callable[..., Any]) -> None:
    x = np.random.default_rng(4).uniform(0.5, 1, 16)
    assert wide(f, x) == ADDING[f]
    for g in (f, jitad.grad(f), jitad.jacobian(f, mode="forward")):
        got = in_mixed(g)(x)
        slow = in_mixed(g, "numpy")(x)
        want = np.asarray(g(x))
        scale = np.max(np.abs(want))
        np.testing.assert_allclose(got, want, rtol=0, atol=16 * EPS * scale)
        np.testing.assert_allclose(got, slow, rtol=0, atol=16 * EPS * scale)


@pytest.mark.parametrize("kind", KINDS)
def test_loops_and_branches_are_off_by_float32_rounding(kind: str) -> None:
    """Held to the straight line that a point takes, as are those of float64."""
    with mostly_sharp(0.4) as seen:

        @over(3, structured(kind))
        def hold(program: Program) -> None:
            f, points = program.function, program.points
            functions = [f, *(jitad.jacobian(f, mode=m) for m in MODES)]
            found = [
                [leaves(in_mixed(jitad.vmap(g), b)(points)) for b in ("cpu", "numpy")]
                for g in functions
            ]
            for k in range(0, POINTS, 5):
                x = points[k]
                line = scalarize(engine.traced(program.unrolled(x), x).graph)
                graphs = [line] + [
                    accumulate.jacobian(line, (0,), mode=m).graph for m in MODES
                ]
                bounds = [running_error(g, [x], single=True) for g in graphs]
                # Any mode may take what is the longest way.
                slopes = [
                    np.max(e, axis=0)
                    for e in zip(*(e for _, e in bounds[1:]), strict=True)
                ]
                for made, (values, errors) in zip(found, bounds, strict=True):
                    allowed = errors if made is found[0] else slopes
                    for own in made:
                        for g, v, e in zip(own, values, allowed, strict=True):
                            seen.bounded(g[k], v, e, times=3)


@pytest.mark.slow
def test_a_batch_of_mixed_points_is_its_points() -> None:
    @over(4, structured("scan"))
    def hold(program: Program) -> None:
        f = in_mixed(jitad.vmap(jitad.jacobian(program.function)))
        whole = leaves(f(program.points))
        for k in range(POINTS):
            for w, y in zip(whole, leaves(f(program.points[[k]])), strict=True):
                np.testing.assert_array_equal(w[[k]], y)


def test_branches_that_are_sunk() -> None:
    def f(x: Any) -> Any:
        y = np.where(x[0] > 0, special.erfinv(0.5 * np.sin(x[1] * x[2])), x[1])
        return y * 3.0

    graph = sink(expand(jit(f).prepare(np.ones(3)).derived.graph))
    assert any(node.primitive is BRANCH for node in graph.nodes)
    made = held(graph)
    for first in (0.5, -0.5):
        x = np.array([first, 0.7, 0.3])
        (got,), (want,) = interpret(made, [x]), interpret(graph, [x])
        np.testing.assert_allclose(got, want, rtol=8 * EPS)
        assert got != want


# -- tables --------------------------------------------------------------------


@pytest.mark.parametrize("shape", ((40, 3), (3000, 3)))
def test_tables_are_read_and_spread_into(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(6)
    table, points = rng.normal(size=shape), rng.normal(size=(2000, 3))
    index = rng.integers(-3, shape[0], 2000)

    def f(table: Any, p: Any, i: Any) -> Any:
        return np.sin(table[i] @ p) * table[i][0]

    def loss(table: Any, p: Any, i: Any) -> Any:
        return np.sum(jitad.vmap(f, (None, 0, 0))(table, p, i))

    batch = jitad.vmap(f, (None, 0, 0))
    for g in (
        batch,
        loss,
        jitad.grad(loss),
        jitad.vmap(jitad.jacobian(f, 1), (None, 0, 0)),
    ):
        got, want = in_mixed(g)(table, points, index), g(table, points, index)
        scale = np.max(np.abs(want)) * (1 if np.ndim(want) else 50)
        np.testing.assert_allclose(got, want, rtol=0, atol=40 * EPS * scale)
        assert np.any(got != want)
    # Every point adds to one place: what is lost does not grow with their number.
    everywhere = np.zeros(MANY, int)
    ones = np.full((MANY, 3), 0.1)
    at_one = jitad.grad(
        lambda t, p, i: np.sum(
            jitad.vmap(lambda t, p, i: np.sum(t[i] * p * p), (None, 0, 0))(t, p, i)
        )
    )
    got = in_mixed(at_one)(table, ones, everywhere)[0]
    np.testing.assert_allclose(got, 1e4, rtol=2 * EPS)


def test_what_a_function_keeps_is_float32_in_memory() -> None:
    """A table that it makes, and the record of a loop that is gone back through."""

    def f(x: Any, i: Any) -> Any:
        table = np.sin(x)
        step = lambda c, j: (np.cos(c + table[(i + j) % 9]), None)  # noqa: E731
        return jitad.scan(step, 0.0, np.arange(5))[0]

    x = np.random.default_rng(5).normal(size=9)
    graph = in_mixed(f).prepare(x, 3).derived.graph
    kept = [n.type.dtype for n in graph.nodes if n.type.shape == (9,)]
    assert kept == [F8, F4]
    graph = in_mixed(jitad.grad(f)).prepare(x, 3).derived.graph
    records = [n.type.dtype for n in graph.nodes if n.type.shape == (5,)]
    assert records.count(F4) >= 1 and F8 not in records
    for g in (f, jitad.grad(f)):
        got, want = in_mixed(g)(x, 3), g(x, 3)
        np.testing.assert_allclose(got, want, rtol=0, atol=20 * EPS)


# -- rules of one's own --------------------------------------------------------


def root(a: Any) -> Any:
    return jitad.root(lambda x: x * np.exp(x) - a * a, 1.0)


def fixed(a: Any) -> Any:
    return jitad.fixed_point(lambda x: np.cos(x * a), 0.5)


@pytest.mark.parametrize("f", (root, fixed))
def test_solvers_converge_as_they_do(f: Callable[..., Any]) -> None:
    for g in (f, jitad.grad(f), jitad.grad(jitad.grad(f))):
        a = np.linspace(0.5, 1.2, 9)
        got, want = in_mixed(jitad.vmap(g))(a), jitad.vmap(g)(a)
        np.testing.assert_allclose(got, want, rtol=200 * EPS)
        assert np.all(np.isfinite(got))


@jitad.custom_jvp
def twice(x: Any) -> Any:
    return np.sin(x) * 2.0


@twice.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    return twice(x), 7.0 * t * np.cos(x)


def test_a_rule_is_followed_before_and_after() -> None:
    assert not wide(twice, 0.3)
    want = 7 * math.cos(0.3)
    assert in_mixed(jitad.grad(twice))(0.3) == pytest.approx(want, rel=4 * EPS)
    graph = in_mixed(twice).prepare(0.3).derived.graph
    assert any(node.primitive is CALL for node in graph.nodes)
    slope = accumulate.jacobian(graph, (0,)).graph
    (got,) = interpret(slope, [np.asarray(0.3)])
    assert got == pytest.approx(want, rel=4 * EPS)
    # Where it is computed, nothing is widened between it and what is around it.
    around = in_mixed(lambda x: np.cos(twice(np.sqrt(x)))).prepare(0.3).derived.graph
    casts = [n for n in expand(around).nodes if n.primitive.name == "cast"]
    assert len(casts) == 2


@pytest.mark.slow
def test_narrowed_twice_is_narrowed() -> None:
    @over(5, structured("scan"))
    def hold(program: Program) -> None:
        graph = (
            jitad.jacobian(program.function).prepare(program.points[0]).derived.graph
        )
        made = mixed(graph)
        x = [program.points[0]]
        for a, b in zip(interpret(mixed(made), x), interpret(made, x), strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_array_of_float32_is_widened_where_it_is_added() -> None:
    """A constant table, that is looked up and also added up as a whole."""
    target = new_builder()
    table = target.const(np.full(3, 0.1))

    index = target.input(scalar(np.dtype(np.int64)))
    found = add_lookup(target, table, index, Way(0, 1, 3))
    type = target.nodes[table].type
    sine = target.apply(registry.primitives["sin"], (found,), scalar(F8))
    both = add_scatter(target, type, [table], [(Way(0, 1, 3), index, sine)])
    graph = target.finish([both])
    (got,) = interpret(held(graph), [np.asarray(1)])
    want = np.array([0.1, 0.1 + np.sin(0.1), 0.1])
    np.testing.assert_allclose(got, want, rtol=2 * EPS)


def test_the_option_is_this_transform():
    def f(x: Any) -> Any:
        return np.stack([np.sin(x[0]) * x[1], x[1] ** 2])

    X = np.random.default_rng(0).normal(size=(50, 2))
    J = jitad.jacobian(f)
    found = vmap(J, precision="mixed")(X)
    assert found.dtype == F8
    assert np.array_equal(found, vmap(in_mixed(J))(X))
    assert np.array_equal(jit(vmap(J), precision="mixed")(X), found)
    assert not np.array_equal(vmap(J)(X), found)
    assert np.array_equal(jit(jit(vmap(J), precision="mixed"), precision="full")(X),
                          vmap(J)(X))  # fmt: skip
