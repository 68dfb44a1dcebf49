"""Candidates for a GPU kernel: the same numbers, and what registers they take.

The compiler is NVIDIA's, which needs no GPU.
"""

from __future__ import annotations

import numpy as np
import pytest
from cuda_host import build, needs_compiler
from cuda_works import NAMES, case
from kernels import run
from test_nvrtc import needs_compiler as needs_nvrtc

import jitad
from jitad.backends import cpu, nvrtc
from jitad.backends.best_order import best_order, candidates
from jitad.backends.nvrtc import Cubin, Usage
from jitad.lowering.emit_cuda import emit
from jitad.lowering.kernel import Buffer, Kernel, Load, Store
from jitad.transforms.expand import expand

CAPABILITIES = ((7, 5), (8, 0), (9, 0), (10, 0))
# The most registers of a thread on any of these cards in any layout, without a limit
# and by the best of the candidates, as NVRTC 13.0 had it; then on those from 10.0 on.
REGISTERS = {
    "bundle adjustment": (96, 124),
    "trajectories": (110, 112),
    "arm": (96, 96),
}


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
    for launch in build([*candidates(graph, 1, [(0,), ()], layouts)]):
        found = run(launch.kernel, (2,), [given, table[None]], launch)
        wanted = f(given.T, table)
        for y, want in zip(found, wanted, strict=True):
            np.testing.assert_allclose(y[:, 0], want, rtol=1e-14)


def copying(count: int) -> Kernel:
    buffers = (
        Buffer("x", np.dtype("f8"), 9, (0,), "rows", False),
        Buffer("y", np.dtype("f8"), 1, (0,), "rows", True),
    )
    load = Load(0, 0, count, np.dtype("f8"))
    return Kernel(buffers, 1, (load, Store(1, 0, 0)))


def test_the_best_order_spills_least_then_takes_fewest_registers():
    kernels = [copying(k) for k in range(5)]
    usage = {
        emit(k): Usage(registers, 0, stores, loads, 0)
        for k, (registers, stores, loads) in zip(
            kernels,
            [(90, 8, 8), (128, 0, 8), (80, 8, 0), (128, 0, 0), (50, 0, 0)],
            strict=True,
        )
    }
    asked = []

    def compiler(text: str) -> Cubin:
        asked.append(text)
        return Cubin(text.encode(), {"kernel": usage[text]})

    best, cubin = best_order(kernels[:3], compiler)
    assert best == kernels[2]
    assert cubin.code == emit(best).encode()
    assert best_order([kernels[0], *kernels[:2]], compiler)[0] == kernels[1]
    assert len(asked) == 3 + 2  # a text that comes again is not compiled again
    assert best_order(iter(kernels), compiler)[0] == kernels[3]
    assert emit(kernels[4]) not in asked  # nothing is better than no spills


@needs_nvrtc
@pytest.mark.parametrize("name", NAMES)
def test_every_card_compiles_them(name):
    text = emit(case(name).kernel)
    for major, minor in CAPABILITIES:
        assert nvrtc.compile_cubin(text, (major, minor)).usage["kernel"].registers
        assert f"sm_{major}{minor}" in nvrtc.compile_ptx(text, (major, minor))


@needs_nvrtc
@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("layout", ["rows", "streams"])
@pytest.mark.parametrize("name", REGISTERS)
def test_nothing_spills_within_128_registers(name, layout, capability):
    def compile(text: str) -> Cubin:
        return nvrtc.compile_cubin(text, capability, registers=128)

    _, cubin = best_order(case(name).candidates(layout), compile)
    used = cubin.usage["kernel"]
    assert used.spilled == 0
    assert used.registers <= 128
    # What is left of the stack is for arguments of sines that are far from zero.
    assert used.stack <= 40


@needs_nvrtc
@pytest.mark.parametrize("layout", ["rows", "streams"])
@pytest.mark.parametrize("name", REGISTERS)
def test_registers_are_as_recorded(name, layout):
    if nvrtc.version() != (13, 0):
        pytest.skip("recorded with another version of NVRTC")
    for capability in CAPABILITIES:
        taken = []
        for kernel in case(name).candidates(layout):
            used = nvrtc.compile_cubin(emit(kernel), capability).usage["kernel"]
            taken.append(used.registers)
        assert min(taken) <= REGISTERS[name][capability >= (10, 0)]


@needs_nvrtc
@pytest.mark.parametrize("shared, most", [(100, 12), (228, 16)])
@pytest.mark.parametrize("name", NAMES)
def test_shared_memory_limits_no_blocks(name, shared, most):
    """A multiprocessor has as many at a time as registers let it have."""
    for kernel in case(name).candidates():
        text = emit(kernel, shared=shared)
        used = nvrtc.compile_cubin(text, (9, 0), registers=128).usage["kernel"]
        blocks = min(65536 // (128 * used.registers), most)
        assert used.shared and blocks * (used.shared + 1024) <= shared * 1024
