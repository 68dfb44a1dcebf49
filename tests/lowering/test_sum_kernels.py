"""Kernels that sum over lanes: the machine against plain Python, whole and in parts.

What they sum may be scattered over an array at places that lanes compute.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.backends.cpu import executable as cpu
from jitad.backends.cpu import simd
from jitad.calls.call import Summed
from jitad.lowering.kernel import Argument, Kernel
from tests.cases.sum_kernels import CASES, kernel, logistic, read, tabled
from tests.support import kernels


@pytest.mark.parametrize("count", (1, 7, 8, 65, 2048, 2050))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_machine_sums_as_python_does(count: int, dtype: Any) -> None:
    made = kernel(np.dtype(dtype))
    assert [b.axes for b in made.buffers] == [(0,), (), (), ()]
    x = np.random.default_rng(0).random((count, 3)).astype(dtype)
    p = np.array(2.0, dtype)
    arguments = [
        Argument(x.ctypes.data, (x.strides[0],)), Argument(p.ctypes.data, (0,)),
        None, None,
    ]  # fmt: skip
    wanted = kernels.reference(made, (count,), [x, p.reshape(1, 1)])
    for longest in (3000, 4):
        found = cpu.compile(made, longest=longest).total(count, arguments)
        for a, b in zip(found, wanted, strict=True):
            assert a.dtype == dtype
            rtol = 50 * np.finfo(dtype).eps * np.sqrt(count)
            assert np.allclose(a, b[0], rtol=rtol, atol=0.0)


# -- rows as they lie ---------------------------------------------------------------


@pytest.mark.parametrize("n", (3, 8, 16, 19, 30))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("case", CASES)
def test_products_with_rows(case: str, dtype: Any, n: int) -> None:
    """In vectors of every width; in several tiles of lanes where `n` is 3 or 19."""
    f, extra, dots, scatters = CASES[case]
    made, _ = tabled(f, dtype, n, extra, "rows")
    codes = [cpu.compile(made, cpu.target(width)) for width in simd.widths()]
    for code in codes:
        wide = n >= code.width
        assert ("%rows0" in code.ir) == (scatters and wide)
        assert ("masked.load" in code.ir) == (dots and wide and n % code.width != 0)
    rng = np.random.default_rng(n)
    w = (rng.normal(size=n + extra) / n).astype(dtype)
    for count in (1, 7, 8, 65, *(2050,) * (n in (3, 19))):
        x, y = rng.random((count, n)).astype(dtype), rng.random(count).astype(dtype)
        check_sums(made, codes, x, y, w)


def check_sums(made: Kernel, codes: Sequence[Any], x: Any, y: Any, w: Any) -> None:
    """Plain Python, which takes the longest, runs once for all codes."""
    arguments = [
        Argument(x.ctypes.data, (x.strides[0],)),
        Argument(y.ctypes.data, (y.strides[0],), y.itemsize),
        Argument(w.ctypes.data, (0,)), None, None,
    ]  # fmt: skip
    inputs = [x, y.reshape(-1, 1), w.reshape(1, -1)]
    wanted = kernels.reference(made, (len(x),), inputs)
    before = x.copy()
    for code in codes:
        found = code.total(len(x), arguments)
        np.testing.assert_array_equal(x, before)
        for a, b in zip(found, wanted, strict=True):
            eps = np.finfo(x.dtype).eps
            rtol, atol = 100 * eps * np.sqrt(len(x)), eps * len(x)
            context = f"vectors of {code.width}"
            np.testing.assert_allclose(a, b[0], rtol, atol, err_msg=context)


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
        check_sums(made, [code], x, y, w)


@pytest.mark.parametrize("layout", ["streams", "general"])
def test_other_layouts_are_read_by_columns(layout: Any) -> None:
    made, _ = tabled(logistic, np.float64, 30, 0, layout)
    assert "%rows" not in cpu.compile(made).ir


def _seen(array: np.ndarray, by_point: bool) -> np.ndarray:
    """An array as (points, elements of one)."""
    return array.reshape(len(array), -1) if by_point else array.reshape(1, -1)


@pytest.mark.parametrize("count", (1, 7, 8, 65, 1003))
@pytest.mark.parametrize("longest", (3000, 4))
@pytest.mark.parametrize("strided", (False, True))
def test_the_machine_scatters_as_python_does(
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
    assert "scatter" in layouts and ("general" in layouts) == strided
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
