"""`jitad.njit`: kernels called from the user's own Numba code."""

from __future__ import annotations

import gc
import importlib
import pickle
from collections.abc import Callable
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

RNG = np.random.default_rng(11)
X = RNG.normal(size=(500, 3))


def model(x: Any, scale: Any) -> Any:
    """Two numbers of three, with a branch, transcendental functions and a sum."""
    bent = np.where(x[0] > 0, np.sin(x[0]) * x[1], np.exp(x[1]))
    return np.stack([bent + np.log1p(x[2] ** 2), scale * np.sum(x * x)])


def height(x: Any) -> Any:
    return np.sum(np.sin(x) * x)


CASES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "a value": (jitad.jit(model), (X[0], 2.0)),
    "a plain function": (model, (X[0], 2.0)),
    "a Jacobian": (jitad.jacobian(model), (X[1], 2.0)),
    "two Jacobians": (jitad.jacobian(model, argnums=(0, 1)), (X[2], 0.5)),
    "a number of numbers": (jitad.grad(lambda a, b: a**2 * np.cos(b)), (0.3, 2.0)),
    "a number of an array": (jitad.jit(height), (X[3],)),
    "nested tuples": (
        jitad.value_and_grad(lambda a, x: a * height(x), argnums=(0, 1)),
        (1.5, X[0]),
    ),
    "a Hessian": (jitad.hessian(height), (X[4],)),
    "a product": (jitad.hvp(height), (X[4], X[5])),
    "float32": (
        jitad.jacobian(model),
        (X[6].astype(np.float32), np.float32(0.7)),
    ),
    "integers and bools": (
        lambda x, k, flags: (x * k, np.where(flags, x, k), flags & (k > 0), k + 1),
        (X[0], np.array([1, -2, 3]), np.array([True, False, True])),
    ),
    "numbers of every dtype": (
        lambda x, k, j, f: (x + k, k - 1, j * 2, ~f),
        (0.5, 3, np.int32(4), True),
    ),
    "integers of every width": (
        lambda a, b, c, u, v: (a - b, b * b, c << 3, u - v, u // 3, a < v, ~v),
        (
            np.array([100, -100], np.int8),
            np.int8(-101),
            np.array([-5, 9], np.int16),
            np.array([1, 200], np.uint8),
            np.uint64(2**64 - 2),
        ),
    ),
    "a matrix": (lambda A, x: (A @ x, A.T), (RNG.normal(size=(4, 3)), X[0])),
    "no axes": (jitad.grad(np.sin), (np.array(0.3),)),
    "an empty array": (lambda x, y: (x, np.sum(y)), (np.zeros((0, 3)), X[0])),
    "only empty arrays": (lambda x: (x, x), (np.zeros((0, 3)),)),
    "no dependence": (lambda x: (np.arange(3.0), 7.0), (0.5,)),
    "a tuple of one": (lambda x: (x + 1,), (0.5,)),
    "no result": (lambda x: (), (0.5,)),
    "a batch": (jitad.vmap(jitad.grad(height)), (X[:37],)),
    "a batch in the last axis": (
        jitad.vmap(jitad.grad(height), in_axes=1, out_axes=1),
        (np.ascontiguousarray(X[:37].T),),
    ),
    "a large batch": (jitad.vmap(jitad.jit(height)), (np.tile(X, (40, 1)),)),
}


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
            by_x[i], by_scale[i] = compiled(x[i], scale)
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


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a tree": (
        lambda: jitad.njit(lambda p: p["a"] + p["b"], {"a": 1.0, "b": 2.0}),
        r"p\['a'\], p\['b'\].*unpack",
    ),
    "a list": (lambda: jitad.njit(lambda p: p[0], [1.0, 2.0]), "unpack"),
    "a dict": (lambda: jitad.njit(lambda x: {"y": x}, 1.0), "return a tuple"),
    "results in a list": (lambda: jitad.njit(lambda x: [x, x], 1.0), "return a tuple"),
    "a traced value": (
        lambda: jitad.jit(lambda x: jitad.njit(np.sin, x)(x))(1.0),
        "outside of the function",
    ),
    "a captured value": (
        lambda: jitad.jit(lambda x: jitad.njit(lambda y: x * y, 1.0)(2.0))(1.0),
        "outside of functions",
    ),
    "half precision": (
        lambda: jitad.njit(lambda x: x + 1, np.ones(3, np.float16)),
        r"args\[0\] is float16.*dtype=float",
    ),
    "swapped bytes": (lambda: jitad.njit(height, np.ones(3, ">f8")), "dtype >f8"),
    "an integer": (lambda: jitad.njit(jitad.grad(np.sin), 1), "pass a float"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_errors_name_the_remedy(name: str) -> None:
    call, text = REFUSED[name]
    with pytest.raises(InputError, match=text):
        call()
