"""`jitad.njit`: kernels called from the user's own Numba code."""

from __future__ import annotations

import gc
import importlib
import pickle
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba import prange
from numba.core.errors import NumbaWarning, TypingError
from numba.core.runtime import _nrt_python, rtsys

import jitad
from jitad.errors import InputError
from tests.cases.compiled import CASES, REFUSED, X, height, model


def identical(got: Any, want: Any) -> None:
    """The same numbers, dtypes, shapes and tuples."""
    if isinstance(want, tuple):
        assert isinstance(got, tuple) and len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            identical(g, w)
        return
    assert np.shape(got) == np.shape(want)
    if np.ndim(want):
        assert got.dtype == want.dtype
        assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_of_the_kernel(name: str) -> None:
    f, args = CASES[name]
    want = (f if hasattr(f, "derive") else jitad.jit(f))(*args)
    compiled = jitad.njit(f, *args)

    @numba.njit
    def user(args: Any) -> Any:
        return compiled(*args)

    identical(compiled(*args), want)
    identical(user(args), want)


@pytest.mark.slow
@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_in_loops(dtype: str, parallel: bool) -> None:
    J = jitad.jacobian(model, argnums=(0, 1))
    x, scale = X.astype(dtype), np.dtype(dtype).type(1.5)
    compiled = jitad.njit(J, x[0], scale)

    @numba.njit(parallel=parallel, nogil=True)
    def everywhere(x: Any, scale: Any) -> Any:
        by_x, by_scale = np.empty((len(x), 2, 3), x.dtype), np.empty((len(x), 2))
        for i in prange(len(x)):
            # One by one: Numba takes seconds to compile what it says of wrong shapes.
            each_x, each_scale = compiled(x[i], scale)
            for j in range(2):
                by_scale[i, j] = each_scale[j]
                for k in range(3):
                    by_x[i, j, k] = each_x[j, k]
        return by_x, by_scale

    got = everywhere(x, scale)
    one_by_one = [J(row, scale) for row in x]
    for k in range(2):
        np.testing.assert_array_equal(got[k], [pair[k] for pair in one_by_one])
    batch = jitad.vmap(J, in_axes=(0, None))(x, scale)
    for g, w in zip(got, batch, strict=True):
        np.testing.assert_allclose(g, w, rtol=4 * np.finfo(dtype).eps)


def test_newtons_method_around_it() -> None:
    """A root of x³ - 2 in the user's own loop, derivative by jitad."""
    both = jitad.njit(jitad.value_and_grad(lambda x: x**3 - 2.0), 1.0)

    @numba.njit
    def solve(x: float) -> float:
        for _ in range(30):
            value, slope = both(x)
            x -= value / slope
        return x

    assert abs(solve(1.0) - 2 ** (1 / 3)) < 1e-15


def test_a_function_of_the_users_inside() -> None:
    """Numba calls jitad, which calls Numba."""
    f = jitad.primitive(
        "half_of_it", numba.njit(lambda x: x / 2 if x > 0 else x), lambda y, x: [y / x]
    )
    compiled = jitad.njit(jitad.value_and_grad(f), 1.0)
    assert compiled(3.0) == (1.5, 0.5)
    assert compiled(-3.0) == (-3.0, 1.0)


def test_arguments_are_only_read() -> None:
    x = X[0].copy()
    x.flags.writeable = False
    compiled = jitad.njit(jitad.grad(height), X[0])
    np.testing.assert_array_equal(compiled(x), compiled(X[0]))
    np.testing.assert_array_equal(x, X[0])
    columns = jitad.njit(jitad.grad(height), np.asfortranarray(X)[0])
    np.testing.assert_array_equal(columns(x), compiled(x))


@pytest.mark.slow
def test_nothing_is_left_behind() -> None:
    compiled = jitad.njit(jitad.jacobian(model, argnums=(0, 1)), X[0], 1.0)

    @numba.njit
    def total(x: Any) -> Any:
        sum = 0.0
        for i in range(len(x)):
            a, b = compiled(x[i], 1.0)
            sum += a[0, 0] + b[1]
        return sum

    total(X)
    compiled(X[0], 1.0)
    gc.collect()
    _nrt_python.memsys_enable_stats()
    before = rtsys.get_allocation_stats()
    total(X)
    compiled(X[0], 1.0)
    gc.collect()
    after = rtsys.get_allocation_stats()
    made = after.alloc - before.alloc
    _nrt_python.memsys_disable_stats()
    assert made >= 2 * len(X)
    assert after.free - before.free == made


CACHED = """
import numba

def make(f):
    @numba.njit(cache=True)
    def user(x):
        return f(x)
    return user

slope = None

@numba.njit(cache=True)
def other(x):
    return slope(x)
"""


def test_its_code_is_not_cached_on_disk(tmp_path: Path, monkeypatch: Any) -> None:
    """It holds an address of this process."""
    (tmp_path / "cached_by_user.py").write_text(CACHED)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("cached_by_user")
    compiled = jitad.njit(jitad.grad(np.sin), 1.0)
    with pytest.raises(TypeError, match="leave out cache=True"):
        module.make(compiled)(0.0)
    with pytest.raises(TypeError, match="this process cannot be sent"):
        pickle.dumps(compiled)
    vars(module)["slope"] = compiled
    with pytest.warns(NumbaWarning, match="dynamic globals"):
        assert module.other(0.0) == 1.0
    assert not list(tmp_path.rglob("*.nbc"))


# -- what is refused -----------------------------------------------------------

slope = jitad.njit(jitad.jacobian(model), X[0], 2.0)

TYPES: dict[str, tuple[tuple[Any, ...], str]] = {
    "float32": (
        (X[0].astype(np.float32), 2.0),
        r"argument x is array\(float32, 1d, C\); expected float64\[3\], in C order",
    ),
    "an integer": ((X[0], 2), "argument scale is int64; expected float64: convert"),
    "a column": ((X[:3, 0], 2.0), r"pass np\.ascontiguousarray"),
    "two axes": ((X[:3], 2.0), r"array\(float64, 2d, C\); expected float64\[3\]"),
    "a number": ((1.0, 2.0), "argument x is float64"),
    "a tuple": (((1.0, 2.0, 3.0), 2.0), "argument x is UniTuple"),
    "one of two": ((X[0],), r"got 1 arguments; expected \(x: float64\[3\], scale"),
    "three of two": ((X[0], 2.0, 3.0), "got 3 arguments"),
}


@pytest.mark.parametrize("name", TYPES)
def test_types(name: str) -> None:
    args, text = TYPES[name]

    @numba.njit
    def user(args: Any) -> Any:
        return slope(*args)

    for call in (lambda: slope(*args), lambda: user(args)):
        with pytest.raises(TypingError, match=text):
            call()


@pytest.mark.parametrize("size", [0, 2, 4])
def test_shapes(size: int) -> None:
    @numba.njit
    def user(x: Any) -> Any:
        return slope(x, 2.0)

    text = r"x has another shape than float64\[3\].*call jitad.njit"
    for call in (lambda: slope(np.zeros(size), 2.0), lambda: user(np.zeros(size))):
        with pytest.raises(ValueError, match=text):
            call()


@pytest.mark.parametrize("name", REFUSED)
def test_errors_name_the_remedy(name: str) -> None:
    call, text = REFUSED[name]
    with pytest.raises(InputError, match=text):
        call()
