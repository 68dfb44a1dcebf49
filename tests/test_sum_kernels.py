"""Kernels that sum over lanes: the machine against plain Python, whole and in parts.

What they sum may be spread over an array at places that lanes compute.
"""

from __future__ import annotations

from typing import Any

import kernels
import numpy as np
import pytest

import jitad
from jitad import tree
from jitad.backends import cpu
from jitad.call import Summed
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


def read(x: Any, i: Any, table: Any) -> Any:
    """A loop over what is looked up, so that parts are cut inside of it."""

    def step(c: Any, k: Any) -> Any:
        return c + np.sin(table[i + k, 0] * x[0]) * table[i, 2], None

    return jitad.scan(step, x[1], np.arange(3))[0]


def _seen(array: np.ndarray, by_point: bool) -> np.ndarray:
    """An array as (points, elements of one)."""
    return array.reshape(len(array), -1) if by_point else array.reshape(1, -1)


@pytest.mark.parametrize("count", (1, 7, 8, 65, 1003))
@pytest.mark.parametrize("longest", (3000, 4))
@pytest.mark.parametrize("strided", (False, True))
def test_the_machine_spreads_as_python_does(
    count: int, longest: int, strided: bool
) -> None:
    rng = np.random.default_rng(1)
    x, i = rng.random((count, 3)), rng.integers(0, 18, count)
    table = rng.normal(size=(20, 6))[:, ::2] if strided else rng.normal(size=(20, 3))

    def total(table: Any) -> Any:
        return np.sum(jitad.vmap(read, (0, 0, None))(x, i, table))

    call = jitad.grad(total).prepare(table)
    assert isinstance(call, Summed)
    (step,) = call.program.sums
    layouts = [b.layout for b in step.kernel.buffers]
    assert "spread" in layouts and ("general" in layouts) == strided
    environment = [table, *call.program.constants]
    for before in call.program.steps[: call.program.steps.index(step)]:
        before.run(environment)
    placed = [rows.argument(environment)[0] for rows in step.inputs]
    made = cpu.compile(step.kernel, longest=longest)
    found = made.total(count, [*placed, *[None] * (len(layouts) - len(placed))])
    given = [_seen(environment[r.array], r.lane is not None) for r in step.inputs]
    wanted = kernels.reference(step.kernel, (count,), given)
    for a, b in zip(found, wanted, strict=True):
        scale = np.abs(b).max()
        assert scale > 0 and np.abs(a - b[0]).max() <= 1e-14 * scale * count
