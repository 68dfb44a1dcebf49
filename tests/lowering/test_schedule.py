"""The schedule over points: kernels as text, loop levels, and three ways to run one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.backends.cpu import executable as cpu
from jitad.ir.graph import Graph
from jitad.ir.interpret import interpret
from jitad.lowering.kernel import Kernel
from jitad.lowering.order import ORDERS, order, spills
from jitad.lowering.statement import Statement
from jitad.lowering.statements import Const, For, Load, Op, Store
from jitad.lowering.validate import validate
from jitad.plan.derived import lifted
from jitad.transforms.derivatives.accumulate import jacobian
from jitad.transforms.rewrite.expand import expand
from jitad.transforms.scalars.scalarize import scalarize
from tests.support import engine
from tests.support.kernels import reference, run, scheduled, ulps

X = np.array([0.5, 2.0, -1.0])


def words(f: Callable[..., Any], *args: Any) -> Graph:
    return expand(scalarize(engine.traced(f, *args).graph))


def product(x: Any, t: Any) -> Any:
    return np.stack([np.sin(x[0]) * t, x[1] * x[1]])


# -- text ----------------------------------------------------------------------


def test_the_text_of_a_kernel() -> None:
    graph = words(product, X[:2], np.float64(1))
    kernel = scheduled(graph, 1, [(0,), ()], ["rows", "fixed", "rows"])
    assert str(kernel) == "\n".join(
        [
            "kernel",
            "  in  x0: float64[2] rows axes=0",
            "  in  x1: float64[1] fixed axes=-",
            "  out y0: float64[2] rows axes=0",
            "  v4: float64 = load x1[0]",
            "  v2: float64 = load x0[0]",
            "  v5: float64 = sin(v2)",
            "  v6: float64 = mul(v4, v5)",
            "  store y0[0] = v6",
            "  v3: float64 = load x0[1]",
            "  v7: float64 = mul(v3, v3)",
            "  store y0[1] = v7",
        ]
    )


def test_what_does_not_vary_along_a_loop_stands_outside_it() -> None:
    graph = words(product, X[:2], np.float64(1))
    kernel = scheduled(graph, 2, [(0,), (1,)], ["rows", "fixed", "general"])
    lines = str(kernel).splitlines()
    loop = lines.index("  for axis 1:")
    before, inside = "\n".join(lines[:loop]), "\n".join(lines[loop:])
    assert "sin" in before
    assert "mul(v3, v3)" in before
    assert "load x1[0]" in inside
    assert "mul(v4, v5)" in inside
    assert inside.count("    store") == 2


def statements(body: Sequence[Statement], depth: int = 0) -> Iterator[tuple[int, Any]]:
    for s in body:
        if isinstance(s, For):
            assert s.axis == depth + 1
            yield from statements(s.body, depth + 1)
        else:
            yield depth, s


def three(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Values of every set of inputs, and constants."""
    left = np.sin(a[0]) * a[1]
    middle = np.exp(b[0]) + left
    right = np.cos(c) * b[1] + np.sin(d)
    return left + 1.0, np.stack([middle, right * 2.0]), a * b * c * d, np.ones(2)


INPUTS = (np.ones(2), np.ones(2), np.float64(1), np.float64(1))
SETS: list[tuple[int, ...]] = [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
VARYING = [
    ((0,), (1,), (2,), ()),
    ((2,), (1,), (0,), (0, 2)),
    ((0, 1, 2), (), (), (1,)),
    ((), (), (), ()),
    ((1, 2), (0,), (0, 1), (2,)),
]


@pytest.mark.parametrize("varying", VARYING, ids=str)
def test_values_are_computed_in_the_outermost_loop_that_can(varying: Any) -> None:
    graph = words(three, *INPUTS)
    kernel = scheduled(graph, 3, varying, ["general"] * 8)
    needs: dict[int, set[int]] = {}
    depths: dict[int, int] = {}
    # What all lanes share is computed before them; its loads may be repeated.
    for depth, s in [*((-1, s) for s in kernel.once), *statements(kernel.body)]:
        match s:
            case Const():
                needs[s.result], depths[s.result] = set(), depth
            case Load():
                needs[s.result] = set(kernel.buffers[s.buffer].axes)
                depths[s.result] = depth
            case Op():
                needs[s.result] = set().union(*(needs[a] for a in s.operands))
                depths[s.result] = depth
            case Store():
                assert depth == 2
    assert depths
    computed = {s.result for s in kernel.once if isinstance(s, Op)}
    for v, depth in depths.items():
        assert depth == max(needs[v], default=-1 if v in computed else 0)
    assert all(not needs[v] for v in computed)


def test_what_no_lane_changes_is_computed_once() -> None:
    def f(a: Any, x: Any) -> Any:
        return x / np.sqrt(a) + np.sqrt(a) * np.exp(a + 1)

    kernel = scheduled(words(f, 2.0, 3.0), 1, [(), (0,)], ["fixed", "rows", "rows"])
    once = [s.word for s in kernel.once if isinstance(s, Op)]
    assert sorted(once) == ["add", "exp", "mul", "sqrt"]
    body = [s.word for s in kernel.body if isinstance(s, Op)]
    assert sorted(body) == ["add", "div"]


def test_nothing_is_taken_out_where_all_lanes_are_the_same() -> None:
    kernel = scheduled(words(product, X[:2], 1.0), 1, [(), ()], ["fixed"] * 3)
    assert not kernel.once


def test_few_values_live_at_a_time() -> None:
    """The gradient of a sum of terms, one term after the other."""

    def terms(a: Any, b: Any, x: Any) -> Any:
        return np.sum(a * np.sin(b * x))

    n = 40
    args = (np.ones(n), np.ones(n), np.float64(1))
    graph = scalarize(engine.traced(terms, *args).graph)
    graph = expand(jacobian(graph, (0, 1), value=True).graph)
    roots = [v for o in graph.outputs for v in graph.nodes[o].operands]
    steps = order(graph, roots)
    assert sorted(~i for i, _ in steps if i < 0) == list(range(len(roots)))
    place = {i: k for k, (i, _) in enumerate(steps)}
    assert len(place) == len(steps)
    for i, value in steps:
        needed = (value,) if i < 0 else graph.nodes[i].operands
        assert all(place[a] < place[i] for a in needed if a not in graph.inputs)
    straight = [(i, -1) for i in range(len(graph.inputs), len(graph.nodes))]
    straight += [(~k, v) for k, v in enumerate(roots)]
    assert spills(graph, straight) > n
    assert spills(graph, steps) == 0
    assert spills(graph, steps, registers=4) > 0


def test_every_needed_value_is_computed_once_and_no_other() -> None:
    graph = words(three, *INPUTS)
    kernel = scheduled(graph, 1, [(0,)] * 4, ["general"] * 8)
    made = [s.result for _, s in statements(kernel.body) if not isinstance(s, Store)]
    assert len(made) == len(set(made))
    used = {
        a for _, s in statements(kernel.body) if isinstance(s, Op) for a in s.operands
    }
    used |= {s.value for _, s in statements(kernel.body) if isinstance(s, Store)}
    assert used == set(made)


def test_every_order_reads_tables_where_they_lie() -> None:
    """An array that is named by an index is an input, and not a step."""

    def f(table: Any, k: Any) -> Any:
        return np.stack([np.sin(table[k, 0]), table[k, 1] * table[k + 1, 0]])

    table, k = np.random.default_rng(0).normal(size=(30, 2)), np.array([3, 7])
    over = jitad.vmap(jitad.jit(f), in_axes=(None, 0))
    graph = lifted(over.prepare(table, k).derived)[0].graph
    for ordering in ORDERS:
        made = scheduled(graph, 1, [(), (0,)], ["fixed", "streams", "rows"], ordering)
        (y,) = reference(made, (2,), [table.reshape(1, -1), k[:, None]])
        wanted = np.stack([np.sin(table[k, 0]), table[k, 1] * table[k + 1, 0]], axis=1)
        assert np.array_equal(y, wanted)


def test_values_are_computed_when_they_are_first_needed() -> None:
    def f(x: Any) -> Any:
        return np.stack([np.sin(x[0]), np.exp(x[1]), np.cos(x[2])])

    kernel = scheduled(words(f, X), 1, [(0,)], ["rows", "rows"])
    kinds = [type(s).__name__ for s in kernel.body]
    assert kinds == ["Load", "Op", "Store"] * 3


# -- running -------------------------------------------------------------------


def jacobian_of_three() -> Graph:
    graph = scalarize(engine.traced(three, *INPUTS).graph)
    return expand(jacobian(graph, (0, 1, 2, 3), value=True).graph)


def kinks(a: Any, b: Any, c: Any, d: Any) -> Any:
    y = np.where(a > b, a * c, np.abs(b) - d)
    return y, a > d, (y[0] < 0) | (y[1] > c), np.sqrt(y)


GRAPHS = {
    "values": lambda: words(three, *INPUTS),
    "jacobian": jacobian_of_three,
    "kinks": lambda: words(kinks, *INPUTS),
    "float32": lambda: words(three, *(np.asarray(x, np.float32) for x in INPUTS)),
}


def inputs_of(kernel: Kernel, extents: Sequence[int], seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = [
        (*(n if a in b.axes else 1 for a, n in enumerate(extents)), b.elements)
        for b in kernel.buffers
        if not b.output
    ]
    buffers = [b for b in kernel.buffers if not b.output]
    return [
        rng.uniform(0.5, 2, s).astype(b.dtype)
        for s, b in zip(shapes, buffers, strict=True)
    ]


def interpreted(
    graph: Graph, extents: Sequence[int], inputs: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """The interpreter's results in the shape that a kernel gives them."""
    shaped = [
        x.reshape(x.shape[:-1] + t.shape)
        for x, t in zip(inputs, graph.input_types, strict=True)
    ]
    results = interpret(graph, shaped, len(extents))
    return [
        np.broadcast_to(y, (*extents, *t.shape)).reshape(*extents, t.size)
        for y, t in zip(results, graph.output_types, strict=True)
    ]


CASES = list(
    itertools.chain(
        (("values", v, e) for v in VARYING for e in [(9, 2, 3)]),
        (("jacobian", VARYING[0], e) for e in [(1, 1, 1), (8, 3, 2), (17, 1, 2)]),
        (("kinks", v, (11, 2, 2)) for v in VARYING[:2]),
        (("float32", VARYING[4], (19, 2, 2)),),
        (("jacobian", ((0,), (0,), (), (0,)), (e,)) for e in (1, 7, 8, 9, 33)),
    )
)


@pytest.mark.parametrize(("name", "varying", "extents"), CASES, ids=str)
def test_interpreter_kernel_and_machine_agree(
    name: str, varying: Any, extents: tuple[int, ...]
) -> None:
    graph = GRAPHS[name]()
    layouts: list[Any] = ["general"] * (len(graph.inputs) + len(graph.outputs))
    kernel = scheduled(graph, len(extents), varying, layouts)
    inputs = inputs_of(kernel, extents, len(name))
    want = interpreted(graph, extents, inputs)
    slow = reference(kernel, extents, inputs)
    fast = run(kernel, extents, inputs, cpu.compile(kernel))
    assert len(want) == len(slow) == len(fast)
    assert any(w.size and np.any(np.isfinite(w)) for w in want)
    for w, s, m in zip(want, slow, fast, strict=True):
        assert w.shape == s.shape == m.shape
        assert w.dtype == s.dtype == m.dtype
        # NumPy's own loops for one number and for many may round differently.
        assert ulps(s, w) <= 4
        # The machine may fuse a multiplication with an addition that cancels it.
        if w.dtype.kind == "f":
            scale = np.max(np.abs(w), initial=0, where=np.isfinite(w))
            np.testing.assert_allclose(
                m,
                w,
                rtol=64 * np.finfo(w.dtype).eps,
                atol=16 * scale * np.finfo(w.dtype).eps,
            )
        else:
            np.testing.assert_array_equal(m, w)


@pytest.mark.parametrize("extents", [(0, 2), (2, 0), (0, 0)])
def test_nothing_runs_over_an_empty_batch(extents: tuple[int, int]) -> None:
    graph = words(product, X[:2], np.float64(1))
    kernel = scheduled(graph, 2, [(0,), (1,)], ["general"] * 3)
    inputs = inputs_of(kernel, extents, 0)
    (got,) = reference(kernel, extents, inputs)
    assert got.shape == (*extents, 2)
    cpu.compile(kernel).launch(extents, [])


# -- what is asserted ----------------------------------------------------------


def broken() -> dict[str, Kernel]:
    graph = words(product, X[:2], np.float64(1))
    good = scheduled(graph, 2, [(0,), (1,)], ["general"] * 3)
    head, loop = good.body[:-1], good.body[-1]
    assert isinstance(loop, For)
    store = next(s for s in loop.body if isinstance(s, Store))
    load = next(s for s in loop.body if isinstance(s, Load))
    op = next(s for s in loop.body if isinstance(s, Op))

    def with_loop(*body: Statement) -> Kernel:
        return replace(good, body=(*head, For(1, body)))

    return {
        "used before it is made": replace(good, body=(loop, *head)),
        "made twice": with_loop(*loop.body, op),
        "loop over the lanes": replace(good, body=(*head, replace(loop, axis=0))),
        "loop in itself": replace(good, body=(*head, For(1, (loop,)))),
        "loop over no axis": replace(good, body=(*head, replace(loop, axis=2))),
        "store outside the loop": replace(good, body=(*head, loop, store)),
        "store past the end": with_loop(*loop.body, replace(store, element=2)),
        "store into an input": with_loop(*loop.body, replace(store, buffer=0)),
        "store of nothing": with_loop(replace(store, value=99)),
        "load before its loop": replace(good, body=(load, *good.body)),
        "load past the end": with_loop(replace(load, element=1, result=99), *loop.body),
    }


@pytest.mark.parametrize("name", broken())
def test_validate_refuses(name: str) -> None:
    with pytest.raises(AssertionError):
        validate(broken()[name])
