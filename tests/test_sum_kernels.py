"""Kernels that sum over lanes: the machine against plain Python, whole and in parts.

What they sum may be spread over an array at places that lanes compute.
"""

from __future__ import annotations

from typing import Any

import kernels
import numpy as np
import pytest
from kernels import scheduled

import jitad
from jitad import tree
from jitad.backends.cpu import executable as cpu
from jitad.calls.call import Summed
from jitad.ir.graph import Type
from jitad.ir.trace import Input, trace
from jitad.lowering.kernel import Argument, Kernel
from jitad.transforms.rewrite.expand import expand
from jitad.transforms.scalars.scalarize import scalarize


def point(x: Any, p: Any) -> Any:
    return np.exp(x[0]) * p, np.stack([x[1] * x[2], x[0], np.sin(x[1]) - p])


def kernel(dtype: np.dtype) -> Kernel:
    inputs = [Input(Type(dtype, (3,))), Input(Type(dtype))]
    graph = trace(point, tree.flatten(((0, 0), {}))[1], inputs).graph
    small = expand(scalarize(graph))
    return scheduled(small, 1, [(0,), ()], ["rows", "fixed", "sum", "sum"])


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


# -- rows as they lie ---------------------------------------------------------------


def logistic(x: Any, y: Any, w: Any) -> Any:
    z = x @ w
    return np.logaddexp(0.0, z) - y * z, (1 / (1 + np.exp(-z)) - y) * x


def with_intercept(x: Any, y: Any, w: Any) -> Any:
    r = np.tanh(w[0] + x @ w[1:] + y) - y
    return r * r, np.concatenate([np.stack([r]), r * x])


def squares(x: Any, y: Any, w: Any) -> Any:
    return np.exp(-(x @ w)), y * x * x


def apart(x: Any, y: Any, w: Any) -> Any:
    return np.sin(x[1:] @ w[1:]), (x[0] * w[0] + y) * x[1:]


def plus(x: Any, y: Any, w: Any) -> Any:
    return np.sin(x @ w + x[0]), y * x


def three(x: Any, y: Any, w: Any) -> Any:
    return (x @ w) * (x @ w[::-1]) + (x @ (2 * w)), y * x


def tabled(
    f: Any, dtype: Any, n: int, extra: int, layout: Any
) -> tuple[Kernel, list[np.dtype]]:
    dtype = np.dtype(dtype)
    types = [Type(dtype, (n,)), Type(dtype), Type(dtype, (n + extra,))]
    graph = trace(f, tree.flatten(((0, 0, 0), {}))[1], [Input(t) for t in types]).graph
    small = expand(scalarize(graph))
    layouts = [layout, "streams", "fixed", "sum", "sum"]
    made = scheduled(small, 1, [(0,), (0,), ()], layouts)
    return made, [dtype] * 3


CASES = {  # function, elements of w beyond those of x, rows times weights, rows summed
    "logistic": (logistic, 0, True, True),
    "intercept": (with_intercept, 1, True, True),
    "squares": (squares, 0, False, False),
    "apart": (apart, 0, False, False),
    "plus": (plus, 0, False, False),
    "three": (three, 0, False, False),
}


@pytest.mark.parametrize("width", (64, 32, 16))
@pytest.mark.parametrize("n", (3, 8, 16, 19, 30))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("case", CASES)
def test_products_with_rows(case: str, dtype: Any, n: int, width: int) -> None:
    f, extra, dots, spreads = CASES[case]
    made, _ = tabled(f, dtype, n, extra, "rows")
    code = cpu.compile(made, cpu.target(min(width, cpu.vector_width())))
    wide = n >= code.width
    assert ("%rows0" in code.ir) == (spreads and wide)
    assert ("masked.load" in code.ir) == (dots and wide and n % code.width != 0)
    rng = np.random.default_rng(n)
    w = (rng.normal(size=n + extra) / n).astype(dtype)
    for count in (1, 7, 8, 65, 2050):
        x, y = rng.random((count, n)).astype(dtype), rng.random(count).astype(dtype)
        check_sums(made, code, x, y, w)


def check_sums(made: Kernel, code: Any, x: Any, y: Any, w: Any) -> None:
    arguments = [
        Argument(x.ctypes.data, (x.strides[0],)),
        Argument(y.ctypes.data, (y.strides[0],), y.itemsize),
        Argument(w.ctypes.data, (0,)), None, None,
    ]  # fmt: skip
    before = x.copy()
    found = code.total(len(x), arguments)
    np.testing.assert_array_equal(x, before)
    inputs = [x, y.reshape(-1, 1), w.reshape(1, -1)]
    wanted = kernels.reference(made, (len(x),), inputs)
    for a, b in zip(found, wanted, strict=True):
        eps = np.finfo(x.dtype).eps
        rtol, atol = 100 * eps * np.sqrt(len(x)), eps * len(x)
        np.testing.assert_allclose(a, b[0], rtol=rtol, atol=atol)


@pytest.mark.parametrize("count", (5, 8, 13))
@pytest.mark.parametrize("bad", (np.inf, -np.inf, np.nan))
def test_the_last_row_is_read_once(count: int, bad: float) -> None:
    """Lanes that do not exist repeat it, and must not count: 0 · ∞ is no zero."""
    made, _ = tabled(logistic, np.float64, 30, 0, "rows")
    code = cpu.compile(made)
    rng = np.random.default_rng(3)
    for element in (0, 21, 29):
        x, y, w = rng.random((count, 30)), rng.random(count), rng.random(30)
        x[-1, element] = bad
        check_sums(made, code, x, y, w)


@pytest.mark.parametrize("layout", ["streams", "general"])
def test_other_layouts_are_read_by_columns(layout: Any) -> None:
    made, _ = tabled(logistic, np.float64, 30, 0, layout)
    assert "%rows" not in cpu.compile(made).ir


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
        before.run(environment, cpu.HOST)
    placed = [rows.argument(environment, cpu.HOST)[0] for rows in step.inputs]
    made = cpu.compile(step.kernel, longest=longest)
    found = made.total(count, [*placed, *[None] * (len(layouts) - len(placed))])
    given = [_seen(environment[r.array], r.lane is not None) for r in step.inputs]
    wanted = kernels.reference(step.kernel, (count,), given)
    for a, b in zip(found, wanted, strict=True):
        scale = np.abs(b).max()
        assert scale > 0 and np.abs(a - b[0]).max() <= 1e-14 * scale * count
