"""GPU kernels through NVIDIA's compiler, which needs no GPU: it accepts their text, and
tells what they use.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from jitad.backends.cuda import nvrtc
from jitad.backends.cuda.nvrtc import CompilerError, Usage
from jitad.lowering.cuda.emit import emit
from tests.cases.words import (
    BINARY,
    EXTREME,
    F4,
    F8,
    FUNCTIONS,
    I4,
    I8,
    INTEGER,
    UNARY,
    table,
)
from tests.support.nvrtc import needs_compiler

LOG = """\
ptxas info    : 272 bytes gmem
ptxas info    : Compiling entry function 'kernel_totals_float64' for 'sm_90'
ptxas info    : Function properties for kernel_totals_float64
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 16 registers, used 1 barriers, 1024 bytes smem
ptxas info    : Compile time = 4.518 ms
ptxas info    : Compiling entry function 'kernel' for 'sm_90'
ptxas info    : Function properties for kernel
ptxas         .     40 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 40 bytes cumulative stack size
ptxas info    : Compile time = 20.584 ms
ptxas info    : Function properties for __internal_trig_reduction_slowpathd
ptxas         .     96 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
"""


TEXT = 'extern "C" __global__ void kernel(double *x) { x[threadIdx.x] += 1; }'


@needs_compiler
def test_cards_that_it_does_not_know_are_refused_with_the_remedy():
    assert (9, 0) in nvrtc.architectures()
    with pytest.raises(CompilerError, match=r"got 6\.1; install an older one"):
        nvrtc.compile_cubin(TEXT, (6, 1))
    with pytest.raises(CompilerError, match=r"got 99\.0; install a newer one"):
        nvrtc.compile_cubin(TEXT, (99, 0))
    newer = nvrtc.compile_cubin(TEXT, (9, 9))
    assert newer.code == nvrtc.compile_cubin(TEXT, (9, 0)).code


def test_the_log_says_what_kernels_use():
    assert nvrtc.usage(LOG) == {
        "kernel_totals_float64": Usage(16, 0, 0, 0, 1024),
        "kernel": Usage(40, 40, 12, 8, 0),
    }


def test_no_compiler_is_told_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.pathfinder", None)
    nvrtc._loaded.cache_clear()
    with pytest.raises(CompilerError, match=r'pip install "jitad\[cuda\]"'):
        nvrtc.compile_cubin("", (9, 0))
    nvrtc._loaded.cache_clear()


@needs_compiler
def test_what_is_refused_is_told_with_the_log():
    with pytest.raises(CompilerError, match=r'"nothing" is undefined'):
        nvrtc.compile_cubin('extern "C" __global__ void f() { nothing; }', (9, 0))
    with pytest.raises(CompilerError, match=r"compute_31"):
        nvrtc.compile_ptx("", (3, 1))


@needs_compiler
@pytest.mark.parametrize("dtype", [F8, F4, I8, I4], ids=str)
def test_it_knows_every_word(dtype):
    """Whatever the card, PTX and machine code; functions by CUDA's own names."""
    if dtype.kind == "i":
        words, two = ("neg", "abs", "not"), INTEGER
    else:
        words, two = (*UNARY, *FUNCTIONS, "lgamma"), (*BINARY, *EXTREME, "pow", "zeta")
    for chosen, arity in ((words, 1), (two, 2)):
        text = emit(table(chosen, (dtype,) * arity, dtype))
        assert nvrtc.compile_cubin(text, (9, 0)).usage["kernel"].registers > 0
        assert ".target sm_75" in nvrtc.compile_ptx(text, (7, 5))


@needs_compiler
def test_arithmetic_is_ieees():
    text = emit(table(("div", "mul", "add", "sub"), (F4, F4), F4))
    ptx = nvrtc.compile_ptx(text, (9, 0))
    assert "div.rn.f32" in ptx
    assert "approx" not in ptx
    assert "ftz" not in ptx
    assert "fma" not in nvrtc.compile_ptx(
        """
        extern "C" __global__ void kernel(double *x) { *x = x[1] * x[2] + x[3]; }""",
        (9, 0),
    )
    root = nvrtc.compile_ptx(emit(table(("sqrt",), (F4,), F4)), (9, 0))
    assert "sqrt.rn.f32" in root


@pytest.mark.slow
@needs_compiler
def test_threads_compile_at_once_though_none_has_before():
    """In a process of its own, in which nothing is loaded yet."""
    program = """
from concurrent.futures import ThreadPoolExecutor
from jitad.backends.cuda.nvrtc import compile_cubin
texts = ['extern "C" __global__ void k%d(double *x) { *x = sin(*x); }' % k
         for k in range(8)]
with ThreadPoolExecutor(4) as pool:
    made = list(pool.map(lambda text: compile_cubin(text, (9, 0)), texts))
assert [list(c.usage) for c in made] == [["k%d" % k] for k in range(8)]
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@needs_compiler
def test_a_limit_of_registers_is_kept():
    text = emit(table(FUNCTIONS[:12], (F8,), F8))
    free = nvrtc.compile_cubin(text, (9, 0)).usage["kernel"]
    tight = nvrtc.compile_cubin(text, (9, 0), registers=24).usage["kernel"]
    assert tight.registers <= 24 < free.registers
