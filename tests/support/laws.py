"""What tables of functions are held to: NumPy's value, one Jacobian, and its laws."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.support.engine import jacobian, value

MODES = ("forward", "reverse", "cross")


def close(got: Any, want: Any, rtol: float) -> None:
    """Same shape, dtype and NaN pattern, and relatively close; no absolute floor."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=rtol, atol=0)


def parts(result: Any) -> list[Any]:
    """The arrays of a result that may be a tuple or a list of them."""
    return list(result) if isinstance(result, tuple | list) else [result]


def same_value(f: Callable[..., Any], *args: Any, ulp: float = 8) -> None:
    """The traced value, on arrays and on scalars, is NumPy's to some rounding."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        want = parts(f(*args))
    for scalar in (False, True):
        got = parts(value(f, *args, scalar=scalar))
        for g, w in zip(got, want, strict=True):
            w = np.asarray(w)
            eps = np.finfo(w.dtype).eps if w.dtype.kind == "f" else 0
            close(g, w, ulp * float(eps))


def one_jacobian(
    f: Callable[..., Any], *args: Any, rtol: float = 1e-12, wrt: Any = None
) -> list[np.ndarray]:
    """The Jacobian, after all three modes have agreed on it."""
    first, *others = (jacobian(f, *args, mode=mode, wrt=wrt) for mode in MODES)
    for other in others:
        for a, b in zip(other, first, strict=True):
            scale = np.max(np.abs(b), initial=0, where=np.isfinite(b))
            np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale)
    return first


def applied(j: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The Jacobian of an array by an array, applied to a direction."""
    return np.tensordot(j, x, axes=x.ndim)


def linear_in_each(f: Callable[..., Any], *args: Any, rtol: float = 1e-12) -> None:
    """A function linear in each argument: J_k v = f with v in place of argument k."""
    jacobians = one_jacobian(f, *args, rtol=rtol)
    rng = np.random.default_rng(len(args))
    for k, (j, x) in enumerate(zip(jacobians, args, strict=True)):
        v = rng.uniform(0.5, 2.0, np.shape(x))
        want = f(*args[:k], v, *args[k + 1 :])
        scale = np.max(np.abs(want), initial=0)
        np.testing.assert_allclose(applied(j, v), want, rtol=rtol, atol=rtol * scale)


def homogeneous(
    f: Callable[..., Any], x: np.ndarray, degree: float, rtol: float = 1e-11
) -> None:
    """Euler's law for f(t x) = t**degree f(x): J x = degree f(x)."""
    (j,) = one_jacobian(f, x, rtol=rtol)
    want = degree * np.asarray(f(x))
    scale = np.max(np.abs(want), initial=0)
    assert np.all(np.isfinite(j)) and np.any(j != 0)
    np.testing.assert_allclose(applied(j, x), want, rtol=rtol, atol=rtol * scale)
