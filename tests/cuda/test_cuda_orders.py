"""Candidates for a GPU kernel: the same numbers, and what registers they take.

The compiler is NVIDIA's, which needs no GPU.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import jitad
from jitad.backends.cpu import executable as cpu
from jitad.backends.cuda import nvrtc
from jitad.backends.cuda.best_order import LIMITS, Chosen, chosen
from jitad.backends.cuda.nvrtc import Cubin, Usage
from jitad.lowering.cuda.emit import emit
from jitad.lowering.kernel import Argument, Buffer, Kernel
from jitad.lowering.statements import Load, Op, Store
from jitad.transforms.rewrite.expand import expand
from tests.cases.cuda_works import NAMES, candidates, case, sums
from tests.cases.layouts import nested
from tests.cases.loops import KERNELS, inputs
from tests.cases.sum_kernels import kernel
from tests.support.cuda_host import build, in_columns, needs_compiler, shapes
from tests.support.kernels import run
from tests.support.nvrtc import CAPABILITIES
from tests.support.nvrtc import needs_compiler as needs_nvrtc
from tests.support.random_loops import Sketch

# The most registers of a thread on any of these cards in any layout, without a limit
# and by the best of the candidates, as NVRTC 13.0 had it; then on those from 10.0 on.
REGISTERS = {
    "bundle adjustment": (96, 124),
    "trajectories": (112, 112),
    "arm": (96, 96),
}
# The most bytes that what is chosen spills, likewise, in rows.
SPILLED = {"Hessian": 0, "Gaussians": 136, "adaptive trajectories": 56}
F8 = np.dtype(float)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("name", NAMES)
def test_every_candidate_computes_the_same(name):
    found = case(name)
    points = max(len(x) for x in found.inputs)
    given = [
        x.reshape(points, -1)[:7] if b.axes else x.reshape(1, -1)
        for b, x in zip(found.kernel.buffers, found.inputs, strict=False)
    ]
    wanted = run(found.kernel, (7,), given, cpu.compile(found.kernel))
    for launch in build(found.candidates()):
        for y, want in zip(
            run(launch.kernel, (7,), given, launch), wanted, strict=True
        ):
            size = np.abs(want).max(axis=0)
            assert np.all(np.abs(y - want) <= 1e-9 * size), name


@needs_compiler
@pytest.mark.skipif(not cpu.host().fused, reason="this CPU does not fuse products")
def test_arithmetic_has_the_bits_of_the_cpus():
    """Where no function is called: products are fused alike."""
    found = case("trajectories")
    given = [found.inputs[0][:7]]
    wanted = run(found.kernel, (7,), given, cpu.compile(found.kernel))
    (launch,) = build([found.kernel])
    for y, want in zip(run(found.kernel, (7,), given, launch), wanted, strict=True):
        np.testing.assert_array_equal(y, want)


@needs_compiler
def test_arrays_that_loops_read_are_there_in_every_order():
    """An input as a whole is no value to be computed."""
    table = np.linspace(1, 2, 5)

    def f(x, table):
        ys = [jitad.scan(lambda c, t: (c * t, None), x[k], table)[0] for k in (0, 1)]
        return ys[0] * ys[1], ys[1] + x[0]

    given = np.array([[0.3, 2.0], [-1.5, 0.7]])
    graph = expand(jitad.jit(f).prepare(given[0], table).derived.graph)
    layouts = ["rows"] * (2 + 2)
    for launch in build(candidates(graph, 1, [(0,), ()], layouts)):
        found = run(launch.kernel, (2,), [given, table[None]], launch)
        wanted = f(given.T, table)
        for y, want in zip(found, wanted, strict=True):
            np.testing.assert_allclose(y[:, 0], want, rtol=1e-14)


@pytest.mark.slow
@needs_compiler
def test_column_blocks_have_the_bits_of_the_whole():
    """Products of the whole are fused: what is used once may be used in one block."""
    kernels = [KERNELS[name](F8) for name in KERNELS]
    kernels += [Sketch(seed, F8).kernel() for seed in range(12)]
    kernels += [nested(("rows", "streams", "general", "rows"))]
    given = [inputs(k, np.random.default_rng(7), (19, 2, 3)[: k.axes]) for k in kernels]
    for name in ("Hessian", "trajectories"):  # not of whole numbers: these are rounded
        kernels.append(case(name).candidates()[1])
        given.append([case(name).inputs[0][:19]])
    blocks = in_columns(kernels, 3)
    assert max(launch.columns for launch in blocks) == 3
    for whole, split, xs in zip(build(kernels), blocks, given, strict=True):
        extents = (19, 2, 3)[: whole.kernel.axes]
        found, wanted = (run(whole.kernel, extents, xs, k) for k in (split, whole))
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.slow
@needs_compiler
def test_sums_of_column_blocks_have_the_bits_of_the_whole():
    made, p = kernel(F8), np.array(2.0)
    (whole,), (split,) = build([made]), in_columns([made], 3)
    assert split.columns == 3
    for count in (0, 1, 65):
        x = np.random.default_rng(0).random((count, 3))
        places = Argument(x.ctypes.data, (24,)), Argument(p.ctypes.data, (0,))
        for one, other in zip(shapes(whole), shapes(split), strict=True):
            pairs = zip(
                *(
                    launch.total(count, [*places, None, None])
                    for launch in (one, other)
                ),
                strict=True,
            )
            assert all(a.tobytes() == b.tobytes() for a, b in pairs)


@needs_compiler
def test_lanes_are_taken_in_turn_in_every_column_block():
    """That of what is no sum, too: the grid is that of sums."""
    buffers = (
        Buffer("x", F8, 1, (0,), "rows", False),
        Buffer("y", F8, 1, (0,), "rows", True),
        Buffer("s", F8, 1, (), "sum", True),
    )
    body = Load(0, 0, 0, F8), Store(1, 0, 0), Store(2, 0, 0)
    (split,) = in_columns([Kernel(buffers, 1, body)], 2)
    assert split.columns == 2
    x = np.arange(65.0)
    for shaped in shapes(split):
        y = np.zeros(65)
        places = [Argument(a.ctypes.data, (8,)) for a in (x, y)]
        (total,) = shaped.total(65, [*places, None])
        assert total == x.sum()
        np.testing.assert_array_equal(y, x)


def sines(count: int, outputs: int = 2) -> Kernel:
    """The sine of element `count`, and of those after it."""
    buffers = (
        Buffer("x", F8, 9, (0,), "streams", False),
        Buffer("y", F8, outputs, (0,), "rows", True),
    )
    body = [
        s
        for k in range(outputs)
        for s in (
            Load(k, 0, count + k, F8),
            Op(9 + k, "sin", (k,), F8),
            Store(1, k, 9 + k),
        )
    ]
    return Kernel(buffers, 1, tuple(body))


class Compiler:
    """Registers and spilled bytes by (limit, which element is read first, blocks)."""

    def __init__(self, usage: dict) -> None:
        self.usage, self.asked = usage, []

    def __call__(self, text: str, limit: int | None) -> Cubin:
        first = next(k for k in range(9) if f"(q0 + {k} * e0)" in text)
        key = limit, first, max(1, text.count("case "))
        self.asked.append(key)
        registers, spilled = self.usage[key]
        return Cubin(repr(key).encode(), {"kernel": Usage(registers, 0, spilled, 0, 0)})


def choose(kernels, compiler: Compiler) -> tuple[Chosen, str]:
    """What is chosen, and what its code was made of."""
    found = chosen(kernels, compiler, (9, 0))
    return found, found.cubin.code.decode()


def test_the_first_that_neither_spills_nor_takes_much_is_taken():
    kernels = [sines(k) for k in range(6)]
    usage = [(96, 8), (136, 0), (120, 0), (90, 0), (40, 0), (40, 0)]
    compiler = Compiler({(None, k, 1): u for k, u in enumerate(usage)})
    found, code = choose(kernels, compiler)
    assert (found.kernel, found.columns) == (kernels[2], 1)
    assert code == "(None, 2, 1)" and found.usage.registers == 120
    assert sorted(k for _, k, _ in compiler.asked) == [0, 1, 2, 3]  # four at a time
    assert [t.number for t in found.tried] == [0, 1, 2, 3]
    # a text that comes again is not compiled again
    compiler.asked.clear()
    found, _ = choose([kernels[0], *kernels[:3]], compiler)
    assert found.kernel == kernels[2] and len(compiler.asked) == 3
    assert [t.number for t in found.tried] == [0, 2, 3]


@pytest.mark.parametrize(
    ("free", "limited", "halves", "best"),
    [
        (((168, 0), (160, 0)), ((128, 96), (128, 48)), (128, 0), "(128, 1, 2)"),
        (((168, 0), (160, 0)), ((128, 96), (128, 48)), (128, 32), "(None, 1, 1)"),
        (((168, 0), (160, 0)), ((128, 96), (128, 8)), (128, 16), "(128, 1, 1)"),
        (((168, 0), (136, 0)), ((128, 96), (128, 48)), (128, 16), "(None, 1, 1)"),
    ],
)
def test_what_spills_is_held_against_blocks_and_more_registers(
    free, limited, halves, best
):
    """Two sines share nothing, so that two blocks do not cost more than the whole."""
    usage = {(None, k, 1): u for k, u in enumerate(free)}
    usage |= {(128, k, 1): u for k, u in enumerate(limited)} | {(128, 1, 2): halves}
    compiler = Compiler(usage)
    found, code = choose([sines(0), sines(1)], compiler)
    assert code == best
    # there are no more than two blocks of two outputs
    assert sorted(compiler.asked, key=str) == sorted(usage, key=str)
    assert len(found.tried) == len(usage)


@pytest.mark.slow
def test_of_long_kernels_one_is_compiled():
    short = sines(0, 1)
    load, _, _ = short.body
    chain = [Op(k, "sin", (k - 1,), F8) for k in range(1, 20_000)]
    long = replace(short, body=(load, *chain, Store(1, 0, 19_999)))
    compiler = Compiler({(None, 0, 1): (255, 4000)})
    found, code = choose([long, long, sines(1)], compiler)
    assert (code, found.columns, len(found.tried)) == ("(None, 0, 1)", 1, 1)


def test_blocks_are_tried_within_every_limit_that_makes_all_spill():
    spilling = {(limit, 0, n): (255, 96) for limit in (None, 128) for n in (1, 2)}
    compiler = Compiler({**spilling, (None, 0, 3): (255, 0), (128, 0, 3): (128, 8)})
    found, _ = choose([sines(0, 3)], compiler)
    assert found.columns == 3
    assert len(found.tried) == 6


@cache
def cubin(
    text: str, capability: tuple[int, int], registers: int | None = None
) -> Cubin:
    """Machine code, which several tests look at."""
    return nvrtc.compile_cubin(text, capability, registers=registers)


@pytest.mark.slow
@needs_nvrtc
@pytest.mark.parametrize("name", NAMES)
def test_every_card_compiles_them(name):
    text = emit(case(name).kernel)
    for capability in CAPABILITIES:
        assert cubin(text, capability).usage["kernel"].registers


@needs_nvrtc
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_portable_code_is_for_a_card_or_later_ones(capability):
    major, minor = capability
    assert f"sm_{major}{minor}" in nvrtc.compile_ptx(emit(sines(0)), capability)


def best(kernels, capability, limits=LIMITS) -> Chosen:
    """What is chosen for a card."""

    def compile(text: str, limit: int | None) -> Cubin:
        return cubin(text, capability, limit)

    return chosen(kernels, compile, capability, limits=limits)


@needs_nvrtc
@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("layout", ["rows", "streams"])
@pytest.mark.parametrize("name", REGISTERS)
def test_nothing_spills_within_128_registers(name, layout, capability):
    found = best(case(name).candidates(layout), capability)
    assert found.columns == 1
    assert found.usage.spilled == 0
    assert found.usage.registers <= 128
    # What is left of the stack is for arguments of sines that are far from zero.
    assert found.usage.stack <= 40


# Every kernel on an older and a newer card, and every card with some.
SPILLING = [
    (name, CAPABILITIES[k])
    for name, cards in zip(SPILLED, ((0, 2), (1, 3), (0, 3)), strict=True)
    for k in cards
]


@pytest.mark.slow
@needs_nvrtc
@pytest.mark.parametrize(("name", "capability"), SPILLING)
def test_little_spills_of_what_is_chosen(name, capability):
    if nvrtc.version() != (13, 0):
        pytest.skip("recorded with another version of NVRTC")
    found = best(case(name).candidates("rows"), capability)
    assert found.usage.spilled <= SPILLED[name]


@pytest.mark.slow
@needs_nvrtc
@pytest.mark.parametrize("capability", CAPABILITIES[::3])
def test_many_sums_are_split_and_do_not_spill(capability):
    found = best([sums()], capability)
    whole = [t for t in found.tried if t.columns == 1]
    assert min(t.usage.spilled for t in whole) > 0
    assert found.columns > 1
    assert found.usage.spilled == 0


@pytest.mark.slow
@needs_nvrtc
@pytest.mark.parametrize("layout", ["rows", "streams"])
@pytest.mark.parametrize("name", REGISTERS)
def test_registers_are_as_recorded(name, layout):
    if nvrtc.version() != (13, 0):
        pytest.skip("recorded with another version of NVRTC")
    texts = [emit(made) for made in case(name).candidates(layout)]
    for capability in CAPABILITIES:
        taken = (cubin(t, capability).usage["kernel"].registers for t in texts)
        most = REGISTERS[name][capability >= (10, 0)]
        assert any(registers <= most for registers in taken)  # the rest are not made


@pytest.mark.slow
@needs_nvrtc
@pytest.mark.parametrize(
    ("name", "shared", "most"),
    [(n, *((100, 12), (228, 16))[k % 2]) for k, n in enumerate(NAMES)],
)
def test_shared_memory_limits_no_blocks(name, shared, most):
    """A multiprocessor has as many at a time as registers let it have."""
    first, *_, last = case(name).candidates()
    for made in (first, last):
        text = emit(made, shared=shared)
        used = cubin(text, (9, 0), 128).usage["kernel"]
        blocks = min(65536 // (128 * used.registers), most)
        assert used.shared and blocks * (used.shared + 1024) <= shared * 1024
