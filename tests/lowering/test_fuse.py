"""Products taken into sums: by the statements alone, whatever stands around them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.backends.cpu import executable as cpu
from jitad.lowering.fuse import fuse
from jitad.lowering.kernel import Kernel
from jitad.lowering.statement import statements
from jitad.lowering.statements import Op
from jitad.lowering.validate import validate
from tests.support.kernels import reference

X = np.random.default_rng(0).normal(size=(64, 3))

FUNCTIONS = {
    "both": lambda x: 0.6 * x[0] * x[1] - 0.7 * x[1] * x[2],
    "left": lambda x: x[0] * x[1] + x[2],
    "right": lambda x: x[0] - x[1] * x[2],
    "shared": lambda x: (x[0] * x[1] + x[2]) * (x[0] * x[1] - x[2]),
    "parameter": lambda x: (x[0] * 2.5 + x[1]) * (x[2] * x[2] - 1.5),
    "branch": lambda x: np.where(x[0] > 0, x[0] * x[1] + x[2], x[1] - x[2] * x[0]),
    "loop": lambda x: jitad.fori_loop(0, 9, lambda i, c: c * x[0] + x[1] * x[2], x[2]),
    "integers": lambda x: np.floor(x[0]).astype(int) * 3 + 4,
}


def kernel_of(f: Any, *args: Any) -> Kernel:
    call = jitad.vmap(f).prepare(*args)
    assert call.plan is not None
    return call.plan.kernel


def words(kernel: Kernel) -> Counter[str]:
    every = statements((*kernel.once, *kernel.body))
    return Counter(s.word for s in every if isinstance(s, Op))


@pytest.mark.parametrize(
    ("name", "products", "fused"),
    [
        *[("both", 3, 1), ("left", 0, 1), ("right", 0, 1), ("shared", 2, 0)],
        *[("parameter", 1, 2), ("branch", 0, 2), ("loop", 1, 1), ("integers", 1, 0)],
    ],
)
def test_a_product_that_is_used_once_is_part_of_its_sum(name, products, fused):
    before = kernel_of(FUNCTIONS[name], X)
    after = fuse(before)
    validate(after)
    assert words(after)["mul"] == products
    assert words(after)["fma"] == fused
    inputs = [X]
    for a, b in zip(
        reference(before, (64,), inputs), reference(after, (64,), inputs), strict=True
    ):
        scale = np.abs(b).max()
        assert np.all(np.abs(a - b) <= 4e-16 * scale * 9)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "integers"])
@pytest.mark.parametrize("derive", [lambda f: f, jitad.grad, jitad.hessian])
def test_a_point_alone_is_the_point_in_any_batch(name, derive):
    f = derive(FUNCTIONS[name])
    every = jitad.vmap(f)(X)
    other = jitad.vmap(f, in_axes=1)(np.ascontiguousarray(X.T))
    np.testing.assert_array_equal(every, other)
    for k in range(0, 64, 7):
        np.testing.assert_array_equal(every[k], jitad.vmap(f)(X[k : k + 1])[0])
        np.testing.assert_array_equal(every[k], jitad.jit(f)(X[k]))


def test_the_compiler_chooses_nothing():
    made = kernel_of(FUNCTIONS["both"], X)
    assert "contract" not in cpu.compile(made).ir


def test_machines_without_the_operation_multiply_and_add():
    made = kernel_of(FUNCTIONS["both"], X)
    assert "llvm.fma" not in cpu.compile(made, cpu.target(16, vector_library=False)).ir
