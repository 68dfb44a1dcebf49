"""Random kernels with loops in loops and branches, whole and cut into functions."""

from __future__ import annotations

import numpy as np
import pytest

from jitad.backends.cpu import executable as cpu
from jitad.backends.cpu import simd
from tests.cases import loops
from tests.support.kernels import reference, run
from tests.support.random_loops import Sketch

F8, F4 = np.dtype("f8"), np.dtype("f4")


@pytest.mark.parametrize("seed", range(24))
def test_random_loops(seed):
    kernel = Sketch(seed, (F8, F4)[seed % 2]).kernel()
    given = loops.inputs(kernel, np.random.default_rng(seed), (19,))
    (want,) = reference(kernel, (19,), given)
    widths = simd.widths()
    target = cpu.target(widths[seed % len(widths)])
    for longest in (1_000_000, 1, 6, 25):
        made = cpu.compile(kernel, target, longest=longest)
        (y,) = run(kernel, (19,), given, made)
        np.testing.assert_array_equal(y, want, err_msg=f"{longest} steps a function")
