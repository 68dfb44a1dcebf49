"""Whole GPU kernels on the host and on a card: layouts, loops, storage and sums."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from jitad.lowering.cuda.emit import emit
from jitad.lowering.cuda.rows import plan
from jitad.lowering.kernel import Argument, Buffer, Kernel, Local
from jitad.lowering.order import ORDERS
from jitad.lowering.statement import Statement
from jitad.lowering.statements import (
    Clear,
    Const,
    For,
    Gather,
    If,
    Load,
    Merged,
    Op,
    Read,
    Scatter,
    Store,
    StoreAll,
    Write,
)
from jitad.transforms.derivatives.accumulate import jacobian
from tests.cases import loops
from tests.cases.layouts import (
    BOOL,
    F4,
    F8,
    I2,
    I4,
    I8,
    SIZES,
    U1,
    moving,
    nested,
    numbers,
)
from tests.cases.loops import KERNELS, LAYOUTS, Lines, varying
from tests.cases.sum_kernels import CASES, kernel, tabled
from tests.support.cuda_machines import MACHINES, builder, shapes
from tests.support.kernels import in_rows, reference, run
from tests.support.random_cases import programs
from tests.support.random_loops import Sketch
from tests.support.running_error import running_error
from tests.support.seen import everything, mostly_sharp, scalars


@pytest.fixture(params=MACHINES)
def build(request):
    return builder(request.param)


def agree(kernel: Kernel, extents: tuple[int, ...], launch) -> None:
    """The same numbers as plain Python, which are whole and small."""
    given = loops.inputs(kernel, np.random.default_rng(7), extents)
    wanted = reference(kernel, extents, given)
    for y, want in zip(run(kernel, extents, given, launch), wanted, strict=True):
        np.testing.assert_array_equal(y, want, strict=True)
        assert want.dtype.kind != "f" or np.isfinite(want).all()


@pytest.mark.parametrize("dtype", [F8, F4, I8, I4, I2, U1, BOOL], ids=str)
def test_layouts_and_ragged_sizes(dtype, build):
    layouts = ("rows", "streams", "general")
    sides = list(itertools.product(layouts, (*layouts, "lines")))
    kernels = [moving(*side, dtype, 11, 22) for side in sides]
    rng = np.random.default_rng(1)
    for launch in build(kernels):
        for size, shaped in itertools.product(SIZES, shapes(launch)):
            x = numbers(rng, (size, 11), dtype)
            (y,) = run(launch.kernel, (size,), [x], shaped)
            (want,) = reference(launch.kernel, (size,), [x])
            assert np.array_equal(y, want)


def test_same_value_for_all_lanes_and_what_is_computed_once(build):
    x = np.arange(30.0).reshape(10, 3)
    c = np.array([[1.0, 20.0, 300.0]])
    once = (*(Load(3 + i, 1, i, F8) for i in range(3)), Op(9, "mul", (3, 4), F8))
    body: list[Statement] = [Load(i, 0, i, F8) for i in range(3)]
    body += [*once[:3], *(Op(6 + i, "sub", (i, 3 + i), F8) for i in range(3))]
    body += [Store(2, i, v) for i, v in enumerate((6, 7, 8, 9))]
    kernels = [
        Kernel(
            (
                Buffer("x", F8, 3, (0,), "streams", False),
                Buffer("c", F8, 3, (), kind, False),
                Buffer("y", F8, 4, (0,), "streams", True),
            ),
            1,
            tuple(body),
            once,
        )
        for kind in ("fixed", "general", "streams", "rows")
    ]
    for launch in build(kernels):
        (y,) = run(launch.kernel, (10,), [x, c], launch)
        assert np.array_equal(y[:, :3], x - c)
        assert np.array_equal(y[:, 3], np.full(10, 20.0))
        before, _, after = emit(launch.kernel).partition("if (")
        assert before.count("double *)") == 3
        assert after.count("double *)") == 7


def test_loops_over_other_axes(build):
    kernels = [
        nested(layouts)
        for layouts in (
            ("rows", "rows", "rows", "rows"),
            ("streams", "streams", "streams", "streams"),
            ("general", "rows", "streams", "rows"),
            ("rows", "general", "rows", "streams"),
            ("streams", "rows", "rows", "general"),
        )
    ]
    for launch in build(kernels):
        for extents in ((9, 2, 3), (16, 1, 2), (5, 3, 0), (3, 0, 2), (0, 2, 2)):
            given = loops.inputs(launch.kernel, np.random.default_rng(3), extents)
            wanted = reference(launch.kernel, extents, given)
            # What stands in a loop of no iterations is not written.
            full = [y for y in wanted if y.size] if 0 not in extents else []
            got = [y for y in run(launch.kernel, extents, given, launch) if y.size]
            for y, want in zip(got, full, strict=bool(full)):
                assert np.array_equal(y, want), extents


@pytest.mark.parametrize("layout", ["rows", "streams", "general"])
def test_strides_of_any_sign(layout, build):
    (launch,) = build([moving(layout, layout, F8, 3, 3)])
    memory = np.random.default_rng(9).normal(size=(40, 7))
    x, y = {
        "rows": (memory[::-2, 2:5], np.zeros((40, 4))[::-2, :3]),
        "streams": (memory[:20, :3].T.copy()[::-1].T, np.zeros((5, 20))[::-2].T),
        "general": (memory[::-2, ::-3], np.zeros((40, 9))[::-2, ::-3]),
    }[layout]
    steps = [
        np.arange(3) * a.strides[1] if layout == "general" else a.strides[1]
        for a in (x, y)
    ]
    arguments = [
        Argument(a.ctypes.data, a.strides[:1], step)
        for a, step in zip((x, y), steps, strict=True)
    ]
    launch.launch((len(x),), arguments)
    assert np.array_equal(y, 2 * x[:, [0, 0, 0]])


@pytest.mark.parametrize("dtype", [F8, F4], ids=str)
def test_loops_branches_and_storage(dtype, build):
    kernels = [make(dtype) for make in KERNELS.values()]
    kernels += [loops.chosen(dtype, layouts) for layouts in LAYOUTS]
    for launch in build(kernels):
        for size in SIZES:
            agree(launch.kernel, (size,), launch)


def test_loops_inside_loops_over_other_axes(build):
    for launch in build([loops.chosen(F8, layouts, (0, 1)) for layouts in LAYOUTS]):
        for extents in ((1, 3), (9, 2), (16, 1)):
            agree(launch.kernel, extents, launch)


def test_carried_values_change_places(build):
    """(a, b, c) becomes (b, c, a), seven times."""
    k = Lines()
    starts = [(k.load(0, e, F8), F8) for e in range(3)]
    *last, _ = k.repeat(starts, lambda body, i, a, b, c: [b, c, a], bound=7)
    k.store(1, last)
    buffers = varying("x", F8, 3), varying("y", F8, 3, output=True)
    (launch,) = build([Kernel(buffers, 1, tuple(k.body))])
    (y,) = run(launch.kernel, (1,), [np.array([[1.0, 2.0, 3.0]])], launch)
    assert np.array_equal(y, [[2.0, 3.0, 1.0]])


def test_what_is_loaded_and_read_again(build):
    """The same load in two loops; the same read before and after a write."""
    buffers = (
        Buffer("x", F8, 1, (0, 1), "rows", False),
        Buffer("y", F8, 1, (0, 1), "rows", True),
        Buffer("z", F8, 2, (0, 1), "rows", True),
        Buffer("w", F8, 2, (0,), "rows", True),
    )
    load = Load(0, 0, 0, F8)
    one, two = (Const(k, np.float64(k), F8) for k in (1, 2))
    body = (
        *(For(1, (load, Store(1, 0, 0))), For(1, (load, Store(2, 0, 0), load))),
        For(1, (load, load, Store(2, 1, 0))),
        *(one, two, Write(0, 0, 1), Read(3, 0, 0, F8), Op(4, "neg", (3,), F8)),
        *(Write(0, 0, 2), Read(3, 0, 0, F8), Store(3, 0, 3), Store(3, 1, 4)),
    )
    kernel = Kernel(buffers, 2, body, locals=(Local("own", F8, 1),))
    (launch,) = build([kernel])
    agree(kernel, (5, 3), launch)


@pytest.mark.parametrize("dtype", [F8, F4, I4, I2], ids=str)
def test_every_lane_has_indices_of_its_own(dtype, build):
    """Read, added up in storage, and stored whole; indices too large are the last."""
    kernels = []
    for varies, shared in LAYOUTS:
        buffers = (
            Buffer("i", I8, 2, (0,), "rows", False),
            Buffer("x", dtype, 9, (0,), varies, False),
            Buffer("c", dtype, 9, (), shared, False),
            Buffer("flags", BOOL, 4, (0,), varies, False),
            Buffer("y", dtype, 4, (0,), varies, True),
            Buffer("z", dtype, 9, (0,), "rows", True),
            Buffer("b", BOOL, 1, (0,), "rows", True),
        )
        body = (
            *(Load(0, 0, 0, I8), Load(1, 0, 1, I8), Clear(0)),
            Gather(2, 1, None, 1, 0, 2, 4, dtype),
            Gather(3, 2, None, 2, 1, 3, 3, dtype),
            Scatter(None, 0, 0, 2, 4, ((1, 2), (0, 3), (0, 2))),
            Scatter(None, 0, 1, 1, 9, ((0, 3),)),
            Gather(4, None, 0, 0, 1, 1, 9, dtype),
            Gather(5, 3, None, 0, 0, 1, 4, BOOL),
            Op(6, "select", (5, 2, 3), dtype),
            *(Store(4, k, v) for k, v in enumerate((2, 3, 4, 6))),
            *(StoreAll(5, 0), Store(6, 0, 5)),
        )
        own = (Local("own", dtype, 9),)
        kernels.append(Kernel(buffers, 1, body, locals=own))
    for launch in build(kernels):
        for size in SIZES:
            agree(launch.kernel, (size,), launch)


def test_random_loops(build):
    kernels = [Sketch(seed, (F8, F4)[seed % 2]).kernel() for seed in range(48)]
    for launch in build(kernels):
        agree(launch.kernel, (19,), launch)


@pytest.mark.slow
def test_random_programs_and_their_jacobians(build):
    made = [programs(5, 50)(random.Random(k).randint) for k in range(24)]
    pairs = [(p, scalars(p.function, p)) for p in made]
    pairs += [(p, jacobian(g, everything(p)).graph) for p, g in pairs]
    pairs = [(p, g) for p, g in pairs if any(t.size for t in g.output_types)]
    orders = itertools.cycle(ORDERS)
    launches = build([in_rows(graph, next(orders)) for _, graph in pairs])
    with mostly_sharp() as seen:
        for (program, graph), launch in zip(pairs, launches, strict=True):
            full = [x for x in program.inputs if x.size]
            given = [np.stack([x.ravel()] * 2) for x in full]
            got = iter(run(launch.kernel, (2,), given, launch))
            for want, error in zip(*running_error(graph, program.inputs), strict=True):
                if np.size(want):
                    first, second = next(got)
                    assert first.tobytes() == second.tobytes()
                    seen.within(first.reshape(np.shape(want)), want, 2 * error)


# -- rows ------------------------------------------------------------------------


def scattered(columns: int) -> Kernel:
    """Rows of every dtype, read and stored in no order, around a loop and a branch."""
    buffers = (
        Buffer("x", F8, 6, (0,), "rows", False),
        Buffer("n", I4, 4, (0,), "rows", False),
        Buffer("flags", BOOL, 5, (0,), "rows", False),
        Buffer("y", F8, columns, (0,), "rows", True),
        Buffer("z", F4, 7, (0,), "rows", True),
        Buffer("k", I8, 3, (0,), "rows", True),
        Buffer("b", BOOL, 6, (0,), "rows", True),
        Buffer("w", F8, 2, (0, 1), "rows", True),
    )
    x = [Load(e, 0, e, F8) for e in range(6)]
    n = [Load(10 + e, 1, e, I4) for e in range(4)]
    flags = [Load(20 + e, 2, e, BOOL) for e in (0, 1, 2, 4)]
    body: list[Statement] = [*x[:3], *flags[:2], *n[1:]]
    y = [Op(30 + e, "add", (e % 3, e % 2), F8) for e in range(columns)]
    order = np.random.default_rng(5).permutation(columns)
    half = [Store(3, int(e), 30 + int(e)) for e in order[: columns // 2]]
    rest = [Store(3, int(e), 30 + int(e)) for e in order[columns // 2 :]]
    body += [*y, *half, Const(25, np.float64(0), F8)]
    body.append(
        If(20, (x[4], x[5], Op(26, "sub", (4, 5), F8)), (Merged(26, 25, 27, F8),))
    )
    body += [*flags[2:], *n, For(1, (x[3], Store(7, 0, 3), Store(7, 1, 27)))]
    body += [Op(1000 + e, "cast", (10 + e % 4,), F4) for e in range(7)]
    body += [Op(1010 + e, "cast", (10 + e,), I8) for e in range(3)]
    body += [Store(4, e, 1000 + e) for e in range(7)]
    body += [*(Store(5, e, 1010 + e) for e in (2, 0, 1)), *rest]
    body += [Store(6, e, v) for e, v in enumerate((20, 21, 22, 24, 24, 20))]
    return Kernel(buffers, 2, tuple(body))


@pytest.mark.parametrize("columns", [2, 3, 12, 40, 200])
def test_rows_go_in_runs_of_columns(columns, build):
    made = scattered(columns)
    found = plan(made, 228)
    # Column 4 of buffer 2 has no neighbours.
    widths = [(run.buffer, run.element, run.width) for run in found.inputs]
    assert widths == [(0, 0, 6), (1, 0, 4), (2, 0, 3)]
    places = [p for batch in found.outputs for run in batch for p in run.places]
    assert len(set(places)) == len(places)
    assert {k for k, _ in places} == {4, 5, 6, *([3] if columns > 2 else [])}
    (launch,) = build([made])
    for extents in ((1, 1), (31, 2), (32, 0), (67, 1)):
        agree(made, extents, launch)


@pytest.mark.slow
def test_rows_of_every_width(build):
    kernels = [moving("rows", "rows", d, n, n) for d in (F8, F4) for n in range(1, 45)]
    rng = np.random.default_rng(0)
    for launch in build(kernels):
        n, dtype = launch.kernel.buffers[0].elements, launch.kernel.buffers[0].dtype
        x = numbers(rng, (45, n), dtype)
        (y,) = run(launch.kernel, (45,), [x], launch)
        (want,) = reference(launch.kernel, (45,), [x])
        assert np.array_equal(y, want)


@pytest.mark.parametrize("count", [1, 31, 33, 100])
def test_lanes_that_do_not_exist_add_nothing(count, build):
    """Though they read the rows of the last one."""
    made, _ = tabled(CASES["logistic"][0], np.float64, 7, 0, "rows")
    assert plan(made).inputs
    rng = np.random.default_rng(count)
    x, y, w = rng.random((count, 7)), rng.random(count), rng.random(7)
    arguments = [
        Argument(x.ctypes.data, x.strides[:1]),
        Argument(y.ctypes.data, y.strides, 8),
        *(Argument(w.ctypes.data, (0,)), None, None),
    ]
    wanted = reference(made, (count,), [x, y[:, None], w[None]])
    (launch,) = build([made])
    for shaped in shapes(launch):
        for a, b in zip(shaped.total(count, arguments), wanted, strict=True):
            np.testing.assert_allclose(a, b[0], rtol=1e-13, atol=0.0)


# -- sums ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [F8, F4], ids=str)
def test_sums_of_blocks(dtype, build):
    made = kernel(dtype)
    (launch,) = build([made])
    p = np.array(2.0, dtype)
    for count, shaped in itertools.product((0, 1, 7, 65, 2050), shapes(launch)):
        x = np.random.default_rng(0).random((count, 3)).astype(dtype)
        arguments = [
            *(Argument(x.ctypes.data, x.strides[:1]), Argument(p.ctypes.data, (0,))),
            *(None, None),
        ]
        found = shaped.total(count, arguments)
        wanted = reference(made, (count,), [x, p.reshape(1, 1)])
        for a, b in zip(found, wanted, strict=True):
            assert a.dtype == dtype
            rtol = 50 * np.finfo(dtype).eps * np.sqrt(count)
            np.testing.assert_allclose(a, b[0], rtol=rtol, atol=0.0)
        again = shaped.total(count, arguments)
        assert [a.tobytes() for a in found] == [a.tobytes() for a in again]


def test_float32_sums_keep_their_digits(build):
    """However many lanes a thread adds up."""
    buffers = (
        Buffer("x", F4, 1, (0,), "streams", False),
        Buffer("y", F4, 1, (), "sum", True),
    )
    (launch,) = build([Kernel(buffers, 1, (Load(0, 0, 0, F4), Store(1, 0, 0)))])
    x = np.full(300_000, 0.1, F4)
    arguments = [Argument(x.ctypes.data, (4,), 0), None]
    for shaped in shapes(launch):
        (y,) = shaped.total(len(x), arguments)
        assert y[0] == F4.type(x.sum(dtype=F8))


def test_sums_of_integers_wrap(build):
    buffers = (
        Buffer("x", I8, 2, (0,), "streams", False),
        Buffer("n", I4, 1, (0,), "streams", False),
        Buffer("y", I8, 2, (), "sum", True),
        Buffer("m", I4, 1, (), "sum", True),
    )
    body = (
        *(Load(0, 0, 0, I8), Load(1, 0, 1, I8), Load(2, 1, 0, I4)),
        *(Store(2, 0, 0), Store(2, 1, 1), Store(3, 0, 2)),
    )
    (launch,) = build([Kernel(buffers, 1, body)])
    rng = np.random.default_rng(4)
    x = rng.integers(-(2**62), 2**62, (2, 97)) + 2**62
    n = rng.integers(2**30, 2**31, 97).astype(I4)
    for shaped in shapes(launch):
        y, m = shaped.total(
            97,
            [
                Argument(x.ctypes.data, (8,), x.strides[0]),
                Argument(n.ctypes.data, (4,), 0),
                None,
                None,
            ],
        )
        assert np.array_equal(y, x.sum(axis=1))
        assert m[0] == n.sum(dtype=I4)


@pytest.mark.parametrize("case", CASES)
def test_sums_of_rows(case, build):
    made, _ = tabled(CASES[case][0], np.float64, 19, CASES[case][1], "rows")
    (launch,) = build([made])
    rng = np.random.default_rng(2)
    x, y = rng.random((333, 19)), rng.random(333)
    w = rng.normal(size=19 + CASES[case][1]) / 19
    arguments = [
        Argument(x.ctypes.data, x.strides[:1]),
        Argument(y.ctypes.data, y.strides, 8),
        *(Argument(w.ctypes.data, (0,)), None, None),
    ]
    wanted = reference(made, (333,), [x, y[:, None], w[None]])
    for shaped in shapes(launch):
        for a, b in zip(shaped.total(333, arguments), wanted, strict=True):
            np.testing.assert_allclose(a, b[0], rtol=4e-13, atol=1e-13)


def test_text_is_deterministic():
    made = nested(("rows", "general", "streams", "rows"))
    assert emit(made) == emit(made)
