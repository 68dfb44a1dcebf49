"""What a lane of a GPU kernel is guessed to cost, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jitad.backends.cuda.estimate import estimate
from jitad.backends.cuda.nvrtc import Usage
from jitad.lowering.columns import split
from jitad.lowering.kernel import Buffer, Kernel
from jitad.lowering.statements import Carried, Load, Op, Repeat, Store

F8 = np.dtype(float)
BUFFERS = (
    Buffer("x", F8, 4, (0,), "rows", False),
    Buffer("c", F8, 4, (), "fixed", False),
    Buffer("y", F8, 2, (0,), "rows", True),
)
# Two inputs of a lane's own, of which one is read twice, and one of all lanes.
BODY = (
    *(Load(0, 0, 0, F8), Load(1, 0, 3, F8), Load(2, 1, 0, F8), Load(0, 0, 0, F8)),
    *(Op(3, "exp", (0,), F8), Op(4, "add", (3, 1), F8), Op(5, "mul", (3, 2), F8)),
    *(Store(2, 0, 4), Store(2, 1, 5)),
)
KERNEL = Kernel(BUFFERS, 1, BODY)
FREE = Usage(128, 0, 0, 0, 0)


def test_moved_computed_and_spilled():
    # 16 bytes in, 16 out; 8 cheap statements, and an exp that is worth 10
    assert estimate([KERNEL], FREE, (9, 0)) == pytest.approx(32 + 18 / 3)
    spilling = replace(FREE, spill_stores=24, spill_loads=16)
    assert estimate([KERNEL], spilling, (9, 0)) == pytest.approx(32 + 18 / 3 + 40)


def test_blocks_read_and_compute_again_what_they_share():
    parts = split(KERNEL, 2)
    assert len(parts) == 2
    # the exponential, its input, read twice as in the whole; 16 + 16 cheap statements
    found = estimate(parts, FREE, (9, 0))
    assert found == pytest.approx(32 + 8 + (18 + 10 + 2) / 3)


@pytest.mark.parametrize(
    ("registers", "more"), [(64, 1.0), (128, 1.0), (160, 16 / 12), (255, 16 / 8)]
)
def test_few_warps_wait(registers, more):
    used = replace(FREE, registers=registers)
    assert estimate([KERNEL], used, (8, 0)) == pytest.approx(38 * more)


def test_loops_spill_again_and_again():
    carried = Carried(7, 3, 8, 9, F8)
    step = Op(8, "add", (7, 1), F8)
    loop = Repeat(6, 500, None, (carried,), (), None, (step,))
    body = (*BODY[:5], loop, Store(2, 0, 9))
    once = estimate([Kernel(BUFFERS, 1, body)], FREE, (9, 0))
    # 16 bytes in, 8 out; what stands there once is worth 15, and each iteration 2
    assert once == pytest.approx(24 + (15 + 500 * 2) / 3)
    spilling = replace(FREE, spill_stores=8)
    found = estimate([Kernel(BUFFERS, 1, body)], spilling, (9, 0))
    assert found - once == pytest.approx(8 * 1015 / 16)
