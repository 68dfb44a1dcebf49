"""Loops with carried values, branches, and lane-local storage, on the machine."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from jitad.backends.cpu import executable as cpu
from jitad.backends.cpu import simd
from jitad.lowering.cost import work
from jitad.lowering.kernel import Buffer, Kernel, Local
from jitad.lowering.statement import Statement, statements
from jitad.lowering.statements import (
    Carried,
    Const,
    For,
    If,
    Load,
    Merged,
    Op,
    Read,
    Repeat,
    Store,
    Write,
)
from jitad.lowering.validate import validate
from tests.cases import loops
from tests.cases.loops import BOOL, I8, KERNELS, LAYOUTS, Lines, varying
from tests.support.kernels import reference, run

F8, F4 = np.dtype("f8"), np.dtype("f4")
WIDTHS = simd.widths()
SIZES = (0, 1, 7, 8, 9, 35)
LONG = 1_000_000


@cache
def executable(kernel: Kernel, vector_bytes: int, longest: int = LONG):
    target = cpu.target(min(vector_bytes, simd.widths()[0]))
    return cpu.compile(kernel, target, longest=longest)


def agree(kernel: Kernel, extents: tuple[int, ...], made: cpu.Executable) -> None:
    rng = np.random.default_rng(7)
    given = loops.inputs(kernel, rng, extents)
    wanted = reference(kernel, extents, given)
    for y, want in zip(run(kernel, extents, given, made), wanted, strict=True):
        np.testing.assert_array_equal(y, want, strict=True)
        assert want.dtype.kind != "f" or np.isfinite(want).all()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", [F8, F4], ids=str)
@pytest.mark.parametrize("name", KERNELS)
def test_the_machine_does_what_the_kernel_says(name, dtype, width):
    kernel = KERNELS[name](dtype)
    for size in SIZES:
        agree(kernel, (size,), executable(kernel, width))


@pytest.mark.parametrize("longest", [1, 2, 5, 9, 14])
@pytest.mark.parametrize("name", KERNELS)
def test_cut_loops_give_the_same_numbers(name, longest):
    kernel = KERNELS[name](F8)
    made = executable(kernel, 64, longest)
    assert "@part1(" in made.ir
    for size in (9, 35):
        agree(kernel, (size,), made)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", [F8, F4], ids=str)
@pytest.mark.parametrize("layouts", LAYOUTS, ids="-".join)
def test_elements_chosen_at_run_time(layouts, dtype, width):
    kernel = loops.chosen(dtype, layouts)
    for size in SIZES:
        agree(kernel, (size,), executable(kernel, width))


@pytest.mark.parametrize("longest", [LONG, 3])
@pytest.mark.parametrize("layouts", LAYOUTS, ids="-".join)
def test_loops_inside_loops_over_other_axes(layouts, longest):
    kernel = loops.chosen(F8, layouts, (0, 1))
    for extents in ((1, 3), (9, 2), (16, 1)):
        agree(kernel, extents, executable(kernel, 64, longest))


def test_parts_that_share_nothing():
    two = Const(0, np.float64(2), F8)
    buffers = (varying("x", F8, 1), varying("y", F8, 2, output=True))
    kernel = Kernel(buffers, 1, (two, Store(1, 0, 0), Store(1, 1, 0)))
    (y,) = run(kernel, (9,), [np.zeros((9, 1))], executable(kernel, 64, 1))
    assert np.array_equal(y, np.full((9, 2), 2.0))


@pytest.mark.slow
def test_long_loops_are_cut():
    """Their body is not one function, which compilers would take too long for."""
    k = Lines()
    x, half = k.load(0, 0, F8), k.const(0.5, F8)

    def iteration(body: Lines, i: int, y: int) -> list[int]:
        values = [y, x]
        for n in range(3500):
            word, other = ("add", "sub")[n % 2], values[-1 - n % 97 % len(values)]
            values.append(body.op(word, values[-1], other, dtype=F8))
            values.append(body.op("mul", values[-1], half, dtype=F8))
        return values[-1:]

    y, _ = k.repeat([(x, F8)], iteration, bound=3)
    k.store(1, [y])
    buffers = (varying("x", F8, 1), varying("y", F8, 1, output=True))
    kernel = Kernel(buffers, 1, tuple(k.body))
    made = cpu.compile(kernel)
    assert "@part2(" in made.ir
    x = np.random.default_rng(5).normal(size=(9, 1))
    (y,) = run(kernel, (9,), [x], made)
    (want,) = reference(kernel, (9,), [x])
    np.testing.assert_allclose(y, want, rtol=1e-9)


# -- by hand -------------------------------------------------------------------


def test_a_hand_value():
    """(a, b) becomes (b, a - b): from (5, 3) on 3, 2, 1, 1, 0, 1, -1, 2, -3, 5."""
    kernel = loops.sequence(F8)
    x = np.tile([5.0, 3.0], (9, 1))
    y, n = run(kernel, (9,), [x], executable(kernel, 64))
    assert np.array_equal(y, np.tile([-3.0, 5.0], (9, 1)))
    assert np.array_equal(n, np.tile([36, 9], (9, 1)))


def test_a_history_is_read_backwards():
    """From 3 on 3, 4, 5, and back 5 - 6, 4 - (-1), 3 - 5: y = -2 after 3 steps."""
    kernel = loops.history(F8)
    x = np.array([[3.0], [9.0], [3.0]])
    y, _, n = run(kernel, (3,), [x], executable(kernel, 64))
    assert np.array_equal(y, [[-2.0, 6.0, -2.0], [9.0, 9.0, 9.0], [-2.0, 6.0, -2.0]])
    # 0, 2, 4 less the rest, from the number of steps on: 4 - 3, 2 - 1, 0 - 1.
    assert np.array_equal(n, [[-1], [0], [-1]])


def newton(dtype: np.dtype) -> Kernel:
    """The square root by Newton's method, until the step is small: y -= (y - x/y)/2."""
    k = Lines()
    x, half, small = k.load(0, 0, dtype), k.const(0.5, dtype), k.const(1e-6, dtype)
    one = k.const(1, dtype)

    def iteration(body: Lines, i: int, y: int, step: int) -> list[int]:
        rest = body.op("sub", y, body.op("div", x, y, dtype=dtype), dtype=dtype)
        step = body.op("mul", half, rest, dtype=dtype)
        return [body.op("sub", y, step, dtype=dtype), step]

    def going(head: Lines, i: int, y: int, step: int) -> int:
        size = head.op("abs", step, dtype=dtype)
        return head.op("gt", size, small, dtype=BOOL)

    y, _, n = k.repeat([(x, dtype), (one, dtype)], iteration, alive=going, bound=60)
    k.store(1, [y])
    k.store(2, [n])
    buffers = (
        *(varying("x", dtype, 1), varying("y", dtype, 1, output=True)),
        varying("n", I8, 1, output=True),
    )
    return Kernel(buffers, 1, tuple(k.body))


@pytest.mark.parametrize("dtype", [F8, F4], ids=str)
def test_lanes_do_not_touch_one_another(dtype):
    """NaN, infinity and zero have no square root here; all others do as ever."""
    kernel = newton(dtype)
    made = executable(kernel, 64)
    x = np.random.default_rng(3).uniform(0.1, 1000, (35, 1)).astype(dtype)
    want, steps = run(kernel, (35,), [x], made)
    # The last step, at most 1e-6, squares the error.
    rtol = max(1e-11, 4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(want, np.sqrt(x), rtol=rtol)
    assert len(np.unique(steps)) > 3
    for bad in (np.nan, np.inf, 0.0, -2.0):
        odd = x.copy()
        odd[[2, 9, 34]] = bad
        got, ran = run(kernel, (35,), [odd], made)
        kept = np.setdiff1d(np.arange(35), [2, 9, 34])
        assert np.array_equal(got[kept], want[kept])
        assert np.array_equal(ran[kept], steps[kept])
        again, counted = reference(kernel, (35,), [odd])
        assert np.array_equal(np.isnan(got), np.isnan(again))
        assert np.array_equal(ran, counted) or bad == -2.0


def test_a_loop_that_cannot_differ_has_no_selects():
    ir = executable(loops.sequence(F8), 64).ir.partition("@lanes")[2]
    inside = ir.partition("}")[0]
    assert " phi <" in inside
    assert "select" not in inside
    assert "reduce" not in inside


def test_a_branch_that_no_lane_needs_is_skipped():
    """What it would do takes the machine hours."""
    k = Lines()
    x, zero, many = k.load(0, 0, F8), k.const(0, F8), k.const(1 << 45, I8)
    mask = k.op("lt", x, zero, dtype=BOOL)

    def then(inner: Lines) -> tuple[int, ...]:
        loop = inner.repeat(
            [(x, F8)],
            lambda body, i, y: [body.op("mul", y, y, dtype=F8)],
            count=many,
        )
        return loop[:1]

    k.store(1, k.branch(mask, [(x, F8)], then))
    buffers = varying("x", F8, 1), varying("y", F8, 1, output=True)
    kernel = Kernel(buffers, 1, tuple(k.body))
    x = np.abs(np.random.default_rng(1).normal(size=(35, 1)))
    for longest in (LONG, 2):
        (y,) = run(kernel, (35,), [x], executable(kernel, 64, longest))
        assert np.array_equal(y, x)


def test_storage_is_on_the_stack_only_if_small():
    small, large = loops.history(F8), loops.history(F8, bound=3000)
    assert "aligned_alloc" not in _lanes(executable(small, 64).ir)
    assert "aligned_alloc" in _lanes(executable(large, 64).ir)
    assert "@free" in _lanes(executable(large, 64).ir)


def _lanes(ir: str) -> str:
    return ir.partition("@lanes(")[2].partition("\n}")[0]


def test_loops_are_counted_as_work():
    once = work(loops.sequence(F8)).nanoseconds((1,))
    first = next(s for s in loops.sequence(F8).body if isinstance(s, Repeat))
    for bound, least in ((900, 50 * once), (None, 5 * once)):
        kernel = loops.sequence(F8)
        longer = replace(first, bound=bound, count=first.carried[2].start)
        body = tuple(longer if s == first else s for s in kernel.body)
        assert work(replace(kernel, body=body)).nanoseconds((1,)) > least


# -- text ----------------------------------------------------------------------


def test_text():
    body = (
        *(Load(0, 0, 0, F8), Const(1, np.float64(0), F8), Load(2, 1, 0, I8)),
        Repeat(
            *(3, 8, 2, (Carried(4, 0, 7, 9, F8),)),
            *((Op(5, "gt", (4, 1), BOOL),), 5),
            (Load(6, 0, 1, F8, 3, 2), Op(7, "sub", (4, 6), F8), Write(0, 7, 7, 3, -1)),
            10,
        ),
        Repeat(11, None, 10, (Carried(12, 1, 13, 14, F8),), (), None,
               (Read(13, 0, 7, F8, 11, -1),), backwards=True),
        Op(15, "lt", (9, 14), BOOL),
        If(15, (Read(16, 0, 0, F8),), (Merged(16, 14, 17, F8),)),
        Store(2, 0, 17),
    )  # fmt: skip
    buffers = (
        *(varying("x", F8, 16), varying("n", I8, 1)),
        varying("y", F8, 1, output=True),
    )
    kernel = Kernel(buffers, 1, body, locals=(Local("past", F8, 8),))
    validate(kernel)
    assert str(kernel) == (
        "kernel\n"
        "  in  x: float64[16] rows axes=0\n"
        "  in  n: int64[1] rows axes=0\n"
        "  out y: float64[1] rows axes=0\n"
        "  own past: float64[8]\n"
        "  v0: float64 = load x[0]\n"
        "  v1: float64 = 0.0\n"
        "  v2: int64 = load n[0]\n"
        "  repeat v3 < 8, v2:\n"
        "    v4: float64 = v0, then v7\n"
        "    v5: bool = gt(v4, v1)\n"
        "    while v5\n"
        "    v6: float64 = load x[1 + 2 v3]\n"
        "    v7: float64 = sub(v4, v6)\n"
        "    write past[7 + -1 v3] = v7\n"
        "  v9: float64 = last v4\n"
        "  v10: int64 = steps of v3\n"
        "  repeat v11 < v10 backwards:\n"
        "    v12: float64 = v1, then v13\n"
        "    v13: float64 = read past[7 + -1 v11]\n"
        "  v14: float64 = last v12\n"
        "  v15: bool = lt(v9, v14)\n"
        "  if any v15:\n"
        "    v16: float64 = read past[0]\n"
        "  v17: float64 = v16 where v15, else v14\n"
        "  store y[0] = v17"
    )
    assert [type(s).__name__ for s in statements(body)] == [
        *("Load", "Const", "Load", "Repeat", "Op", "Load", "Op", "Write"),
        *("Repeat", "Read", "Op", "If", "Read", "Store"),
    ]


# -- what is refused -----------------------------------------------------------

GOOD = Repeat(
    *(3, 8, 2, (Carried(4, 0, 7, 9, F8),), (Op(5, "gt", (4, 1), BOOL),), 5),
    (Load(6, 0, 1, F8, 3, 2), Op(7, "sub", (4, 6), F8), Write(0, 0, 7, 3, 1)),
    10,
)
TAKEN = If(20, (Op(21, "neg", (0,), F8),), (Merged(21, 1, 22, F8),))


def around(*loops: Statement) -> Kernel:
    """A kernel of one loop or branch; v0 and v1 floats, v2 whole, v20 a bool."""
    buffers = (
        *(varying("x", F8, 16), varying("n", I8, 1)),
        *(varying("y", F8, 1, output=True), Buffer("z", F8, 2, (0, 1), "rows", False)),
    )
    body = (
        *(Load(0, 0, 0, F8), Const(1, np.float64(0), F8), Load(2, 1, 0, I8)),
        *(Op(20, "lt", (0, 1), BOOL), *loops, Store(2, 0, 0)),
    )
    return Kernel(buffers, 2, body, locals=(Local("past", F8, 8),))


def test_what_is_well_formed_is_accepted():
    validate(around(GOOD, TAKEN))
    validate(around(replace(GOOD, bound=None, body=(Op(7, "neg", (4,), F8),))))
    validate(around(For(1, (GOOD,))))
    inner = replace(TAKEN, mask=5, merged=(Merged(21, 4, 7, F8),))
    validate(around(replace(GOOD, body=(inner,))))


BAD: dict[str, tuple[Statement, ...]] = {
    "no end": (replace(GOOD, bound=None, count=None, alive=None, head=()),),
    "negative bound": (replace(GOOD, bound=-1),),
    "backwards while": (replace(GOOD, backwards=True),),
    "head of no use": (replace(GOOD, alive=None),),
    "count of floats": (replace(GOOD, count=0),),
    "count from inside": (replace(GOOD, count=3),),
    "alive is no bool": (replace(GOOD, alive=4),),
    "start of another dtype": (replace(GOOD, carried=(Carried(4, 2, 7, 9, F8),)),),
    "next of another dtype": (replace(GOOD, carried=(Carried(4, 0, 5, 9, F8),)),),
    "next is not there": (replace(GOOD, carried=(Carried(4, 0, 30, 9, F8),)),),
    "inner is not new": (replace(GOOD, carried=(Carried(1, 0, 7, 9, F8),)),),
    "outer is not new": (replace(GOOD, carried=(Carried(4, 0, 7, 6, F8),)),),
    "steps is not new": (replace(GOOD, steps=9),),
    "seen after the loop": (GOOD, Op(30, "neg", (6,), F8)),
    "twice": (GOOD, GOOD),
    "store in a loop": (replace(GOOD, body=(*GOOD.body, Store(2, 0, 7))),),
    "axis in a loop": (replace(GOOD, body=(*GOOD.body, For(1, ()))),),
    "past the buffer": (replace(GOOD, bound=9),),
    "before the buffer": (
        replace(GOOD, body=(Load(6, 0, 1, F8, 3, -1), Op(7, "neg", (4,), F8))),
    ),
    "past the local": (replace(GOOD, body=(*GOOD.body, Write(0, 1, 7, 3, 1))),),
    "index of a lane": (Load(30, 0, 0, F8, 2, 1),),
    "index of another loop": (GOOD, Load(30, 0, 0, F8, 3, 1)),
    "constant index": (Const(30, np.int64(5), I8), Load(31, 0, 1, F8, 30, 3)),
    "stride of nothing": (Load(30, 0, 0, F8, None, 1),),
    "read of another dtype": (Read(30, 0, 0, F4),),
    "write of another dtype": (Write(0, 0, 2),),
    "varies along an axis": (replace(GOOD, body=(Load(6, 3, 0, F8), *GOOD.body[1:])),),
    "mask is no bool": (replace(TAKEN, mask=0),),
    "merged of another dtype": (replace(TAKEN, merged=(Merged(21, 2, 22, F8),)),),
    "merged from nowhere": (replace(TAKEN, merged=(Merged(23, 1, 22, F8),)),),
    "merged is not new": (replace(TAKEN, merged=(Merged(21, 1, 21, F8),)),),
    "seen after the branch": (TAKEN, Op(30, "neg", (21,), F8)),
    "store in a branch": (replace(TAKEN, body=(*TAKEN.body, Store(2, 0, 21))),),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_malformed_is_refused(what):
    with pytest.raises((AssertionError, KeyError)):
        validate(around(*BAD[what]))
