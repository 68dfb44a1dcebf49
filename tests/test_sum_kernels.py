"""Kernels that sum over lanes: the machine against plain Python, whole and in parts."""

from __future__ import annotations

from typing import Any

import kernels
import numpy as np
import pytest

from jitad import tree
from jitad.backends import cpu
from jitad.ir.graph import Type
from jitad.ir.trace import Input, trace
from jitad.lowering.kernel import Argument, Kernel
from jitad.lowering.schedule import schedule
from jitad.transforms.expand import expand
from jitad.transforms.scalarize import scalarize


def point(x: Any, p: Any) -> Any:
    return np.exp(x[0]) * p, np.stack([x[1] * x[2], x[0], np.sin(x[1]) - p])


def kernel(dtype: np.dtype) -> Kernel:
    inputs = [Input(Type(dtype, (3,))), Input(Type(dtype))]
    graph = trace(point, tree.flatten(((0, 0), {}))[1], inputs).graph
    small = expand(scalarize(graph))
    return schedule(small, 1, [(0,), ()], ["rows", "fixed", "sum", "sum"])


@pytest.mark.parametrize("count", (1, 7, 8, 65, 2048, 2050))
@pytest.mark.parametrize("longest", (3000, 4))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_machine_sums_as_python_does(count: int, longest: int, dtype: Any) -> None:
    made = kernel(np.dtype(dtype))
    assert [b.axes for b in made.buffers] == [(0,), (), (), ()]
    x = np.random.default_rng(0).random((count, 3)).astype(dtype)
    p = np.array(2.0, dtype)
    arguments = [
        Argument(x.ctypes.data, (x.strides[0],)), Argument(p.ctypes.data, (0,)),
        None, None,
    ]  # fmt: skip
    found = cpu.compile(made, longest=longest).total(count, arguments)
    wanted = kernels.reference(made, (count,), [x, p.reshape(1, 1)])
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == dtype
        rtol = 50 * np.finfo(dtype).eps * np.sqrt(count)
        assert np.allclose(a, b[0], rtol=rtol, atol=0.0)
