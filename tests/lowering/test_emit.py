"""Kernels on the machine against kernels in plain Python: layouts, tails and loops."""

from __future__ import annotations

import ctypes
import mmap
import re
import sys
from functools import cache

import numpy as np
import pytest

from jitad.backends.cpu import executable as cpu
from jitad.backends.cpu import simd
from jitad.backends.cpu.link import assembly, link
from jitad.lowering.kernel import Argument, Buffer, Kernel
from jitad.lowering.llvm import copies
from jitad.lowering.llvm.emit import emit
from jitad.lowering.llvm.memory import Block, Memory
from jitad.lowering.llvm.target import memory_type
from jitad.lowering.statements import Load, Op, Store
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
from tests.support.kernels import reference, run

WIDTHS = simd.widths()


@cache
def executable(kernel: Kernel, vector_bytes: int) -> cpu.Executable:
    return cpu.compile(kernel, cpu.target(min(vector_bytes, simd.widths()[0])))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", [F8, F4, I8, I4, I2, U1, BOOL], ids=str)
@pytest.mark.parametrize("sink", ["rows", "streams", "general"])
@pytest.mark.parametrize("source", ["rows", "streams", "general"])
def test_layouts_and_tails(source, sink, dtype, width):
    if (source, sink) != ("rows", "streams") and dtype.kind in "iu" and width < 64:
        pytest.skip("same code as for floats of this size, and as for wide vectors")
    rng = np.random.default_rng(1)
    kernel = moving(source, sink, dtype, 11, 22)
    for size in SIZES:
        x = numbers(rng, (size, 11), dtype)
        (y,) = run(kernel, (size,), [x], executable(kernel, width))
        (want,) = reference(kernel, (size,), [x])
        assert np.array_equal(y, want)


@pytest.mark.parametrize("elements", [1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17])
def test_rows_of_every_width(elements):
    rng = np.random.default_rng(elements)
    for dtype in (F8, F4):
        kernel = moving("rows", "rows", dtype, elements, elements)
        x = numbers(rng, (1000, elements), dtype)
        (y,) = run(kernel, (1000,), [x], executable(kernel, 64))
        assert np.array_equal(y, 2 * x[:, [3 * j % elements for j in range(elements)]])


def test_same_value_for_all_lanes():
    for kind in ("fixed", "general", "streams", "rows"):
        buffers = (
            Buffer("x", F8, 3, (0,), "rows", False),
            Buffer("c", F8, 3, (), kind, False),
            Buffer("y", F8, 3, (0,), "rows", True),
        )
        body = (
            *(Load(i, 0, i, F8) for i in range(3)),
            *(Load(3 + i, 1, i, F8) for i in range(3)),
            *(Op(6 + i, "sub", (i, 3 + i), F8) for i in range(3)),
            *(Store(2, i, 6 + i) for i in range(3)),
        )
        kernel = Kernel(buffers, 1, body)
        x = np.arange(30.0).reshape(10, 3)
        c = np.array([[1.0, 20.0, 300.0]])
        (y,) = run(kernel, (10,), [x, c], executable(kernel, 64))
        assert np.array_equal(y, x - c)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "layouts",
    [
        ("rows", "rows", "rows", "rows"),
        ("streams", "streams", "streams", "streams"),
        ("general", "rows", "streams", "rows"),
        ("rows", "general", "rows", "streams"),
        ("streams", "rows", "rows", "general"),
    ],
    ids="-".join,
)
def test_loops_over_other_axes(layouts, width):
    rng = np.random.default_rng(3)
    kernel = nested(layouts)
    for extents in ((9, 2, 3), (16, 1, 2), (5, 3, 0), (3, 0, 2), (0, 2, 2)):
        shapes = [
            (*(extents[a] if a in b.axes else 1 for a in range(3)), b.elements)
            for b in kernel.buffers
            if not b.output
        ]
        inputs = [rng.normal(size=shape) for shape in shapes]
        got = run(kernel, extents, inputs, executable(kernel, width))
        for y, want in zip(got, reference(kernel, extents, inputs), strict=True):
            if y.size and 0 not in extents:
                assert np.array_equal(y, want), extents


def test_text_is_deterministic():
    kernel = nested(("rows", "general", "streams", "rows"))
    assert emit(kernel, cpu.host()) == emit(kernel, cpu.host())


@pytest.mark.parametrize("width", simd.of_processor())
def test_what_leaves_the_registers_does_not_cross_cache_lines(width):
    kernel = nested(("rows", "general", "streams", "rows"))
    for longest in (3, 10_000):
        text = emit(kernel, cpu.target(width), longest=longest)
        heads = re.findall("define internal void @(?:lanes|part).*", text)
        assert heads
        assert all(f"alignstack({width}) {{" in head for head in heads)


@pytest.mark.parametrize("longest", [3, 7, 12])
def test_parts_give_the_same_numbers(longest):
    rng = np.random.default_rng(4)
    kernel = nested(("rows", "general", "streams", "rows"))
    split = cpu.compile(kernel, longest=longest)
    for extents in ((9, 2, 3), (16, 1, 2)):
        inputs = [
            rng.normal(
                size=(*(extents[a] if a in b.axes else 1 for a in range(3)), b.elements)
            )
            for b in kernel.buffers
            if not b.output
        ]
        got = run(kernel, extents, inputs, split)
        for y, want in zip(got, reference(kernel, extents, inputs), strict=True):
            assert np.array_equal(y, want)


@pytest.mark.parametrize("dtype", [F8, F4, I8], ids=str)
@pytest.mark.parametrize("width", [2, 4, 8])
def test_rows_of_what_all_lanes_share(width, dtype):
    """Where scalars side by side are repeated and transposed, LLVM may end itself."""
    memory, lines, size = Memory(width, around=False), [], dtype.itemsize

    def repeated(k: int) -> str:
        name = memory.fresh()
        address = memory.offset("%c", k * size, lines)
        memory.load_splat(name, address, dtype, lines)
        return name

    values = [repeated(k) for k in range(width)]
    rows = memory.rows("%y", "%lane", lines)
    lines += memory.store_rows(values, rows, Block(0, width), dtype)
    last = repeated(width + 3)
    lines.append(f"store <{width} x {memory_type(dtype)}> {last}, ptr %z")
    body = "\n  ".join(["%c = load ptr, ptr %given", *lines, "ret void"])
    head = "define void @f(ptr %given, ptr %y, i64 %lane, ptr %z) noinline optnone"
    made = link(f"{head} {{\n  {body}\n}}")
    c, y = np.arange(2.0 * width + 3).astype(dtype), np.zeros((width, width), dtype)
    room, given = np.zeros(16, F8), np.array([c.ctypes.data])
    z = room[-room.ctypes.data // 8 % 8 :].view(dtype)[:width]
    f = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(made.address("f"))
    f(given.ctypes.data, y.ctypes.data, y.strides[0], z.ctypes.data)
    assert np.array_equal(y, np.stack([c[:width]] * width))
    assert np.array_equal(z, np.full(width, c[width + 3]))


@pytest.mark.slow
def test_long_kernels_are_split(capfd):
    count = 9000
    body: list = [Load(0, 0, 0, F8), Load(1, 0, 1, F8)]
    body += [
        Op(k, ("add", "mul", "sub")[k % 3], (k - 1, k * 7919 % min(k, 500)), F8)
        for k in range(2, count)
    ]
    body += [Store(1, j, count - 1 - j) for j in range(4)]
    buffers = (
        Buffer("x", F8, 2, (0,), "rows", False),
        Buffer("y", F8, 4, (0,), "rows", True),
    )
    kernel = Kernel(buffers, 1, tuple(body))
    made = executable(kernel, 64)
    parts = re.findall(r"define internal void @part\d+\(.*?\n}", made.ir, re.DOTALL)
    assert len(parts) > 2
    assert all("optnone" in part and part.count("\n") < 2000 for part in parts)
    # A compiler that leaves things undone says so, where it is asked for more.
    assert capfd.readouterr() == ("", "")
    x = np.random.default_rng(5).normal(size=(9, 2)) * 0.1
    (y,) = run(kernel, (9,), [x], made)
    (want,) = reference(kernel, (9,), [x])
    np.testing.assert_allclose(y, want, rtol=1e-9)


@pytest.mark.parametrize("layout", ["rows", "streams", "general"])
def test_strides_of_any_sign(layout):
    kernel = moving(layout, layout, F8, 3, 3)
    memory = np.random.default_rng(9).normal(size=(40, 7))
    views = {
        "rows": memory[::-2, 2:5],
        "streams": np.ascontiguousarray(memory[:20, :3].T)[::-1].T,
        "general": memory[::-2, ::-3],
    }
    x = views[layout]
    if layout == "rows":
        y = np.zeros((40, 4))[::-2, :3]
    elif layout == "streams":
        y = np.zeros((5, 20))[::-2].T
    else:
        y = np.zeros((40, 9))[::-2, ::-3]
    steps = [
        np.arange(3) * a.strides[1] if layout == "general" else a.strides[1]
        for a in (x, y)
    ]
    arguments = [
        Argument(a.ctypes.data, a.strides[:1], step)
        for a, step in zip((x, y), steps, strict=True)
    ]
    executable(kernel, 64).launch((len(x),), arguments)
    assert np.array_equal(y, 2 * x[:, [0, 0, 0]])


def test_one_point_serves_all_lanes():
    kernel = moving("rows", "rows", F8, 11, 22)
    x, y = np.arange(11.0), np.zeros((9, 22))
    arguments = [Argument(x.ctypes.data, (0,), 8), Argument(y.ctypes.data, (176,), 8)]
    executable(kernel, 64).launch((9,), arguments)
    assert np.array_equal(y, np.tile(2 * x[[3 * j % 11 for j in range(22)]], (9, 1)))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", [F8, F4, I8], ids=str)
@pytest.mark.parametrize("source", ["rows", "streams", "general"])
def test_streams_written_past_the_cache(source, dtype, width):
    """In whole vectors from the first that begins one; others beside them as ever.

    A line may be several vectors, of which the results may begin with any.
    """
    kernel = moving(source, "lines", dtype, 3, 5)
    buffers = (*kernel.buffers, Buffer("z", dtype, 1, (0,), "streams", True))
    kernel = Kernel(buffers, 1, (*kernel.body, Store(2, 0, 0)))
    code = executable(kernel, width)
    # What lies in scratch memory first had better be in the cache.
    around = 5 * (source != "general")
    assert code.ir.split("@staged")[0].count("!nontemporal") == around
    rng = np.random.default_rng(2)
    for size in (*SIZES, 1000, 5003):
        x = numbers(rng, (size, 3), dtype)
        wanted = reference(kernel, (size,), [x])
        for phase in range(0, 64, dtype.itemsize):
            made = run(kernel, (size,), [x], code, phase)
            for y, want in zip(made, wanted, strict=True):
                assert np.array_equal(y, want)


@pytest.mark.skipif(not cpu.host().streaming, reason="no such stores here")
def test_tiles_are_written_past_the_cache_by_any_vectors():
    """Where a line is several vectors, too: they are written one after the other."""
    assert "movnt" in assembly(copies.usual())


def test_what_all_lanes_share_is_computed_before_them():
    buffers = (
        Buffer("a", F8, 2, (), "fixed", False),
        Buffer("x", F8, 1, (0,), "streams", False),
        Buffer("y", F8, 2, (0,), "streams", True),
    )
    once = (Load(0, 0, 0, F8), Load(1, 0, 1, F8), Op(2, "div", (0, 1), F8))
    body = (
        *(Load(3, 1, 0, F8), Load(0, 0, 0, F8), Op(4, "mul", (2, 3), F8)),
        *(Op(5, "add", (4, 0), F8), Store(2, 0, 5), Store(2, 1, 2)),
    )
    kernel = Kernel(buffers, 1, body, once)
    whole, cut = cpu.compile(kernel), cpu.compile(kernel, longest=2)
    before, _, after = whole.ir.partition("@lanes")[2].partition("loop:")
    assert "fdiv" in before
    assert "fdiv" not in after
    assert "@part1" in cut.ir
    inputs = [np.array([[2.0, 3.0]]), np.random.default_rng(3).normal(size=(19, 1))]
    want = reference(kernel, (19,), inputs)
    for made in (run(kernel, (19,), inputs, e) for e in (whole, cut)):
        for y, z in zip(made, want, strict=True):
            np.testing.assert_allclose(y, z, rtol=4e-16)


@pytest.mark.skipif(sys.platform != "linux", reason="protects pages by Linux's calls")
@pytest.mark.parametrize("dtype", [F8, F4, I2, BOOL], ids=str)
@pytest.mark.parametrize("layout", ["rows", "streams"])
@pytest.mark.parametrize("elements", [3, 11])
def test_nothing_beyond_the_array_is_touched(elements, layout, dtype):
    """The array ends where a page begins that cannot be read."""
    kernel = moving(layout, layout, dtype, elements, elements)
    count = 21
    size = count * elements * dtype.itemsize
    room = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    pages = [mmap.mmap(-1, room + mmap.PAGESIZE) for _ in range(2)]
    library = ctypes.CDLL(None)
    arrays, arguments = [], []
    for page in pages:
        whole = np.frombuffer(page, np.uint8)
        address = whole.ctypes.data + room
        assert library.mprotect(ctypes.c_void_p(address), mmap.PAGESIZE, 0) == 0
        data = whole[room - size : room].view(dtype)
        rows = layout == "rows"
        arrays.append(data.reshape((count, elements) if rows else (elements, count)))
        strides = (arrays[-1].strides[0 if rows else 1],)
        step = arrays[-1].strides[1 if rows else 0]
        arguments.append(Argument(data.ctypes.data, strides, step))
    x = numbers(np.random.default_rng(6), arrays[0].shape, dtype)
    arrays[0][:] = x
    executable(kernel, 64).launch((count,), arguments)
    points = x if layout == "rows" else x.T
    (want,) = reference(kernel, (count,), [points])
    got = arrays[1] if layout == "rows" else arrays[1].T
    assert np.array_equal(got, want)
