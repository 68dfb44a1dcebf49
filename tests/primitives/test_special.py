"""scipy.special on traced values, and the redirects of its Python functions."""

from __future__ import annotations

import inspect
import pickle
import threading
from typing import Any

import numpy as np
import pytest
import scipy.special as sp
from scipy.special import logsumexp

import jitad
from jitad.errors import UnsupportedError
from jitad.ir.primitive import registry
from jitad.primitives.scalar import sums
from tests.cases.special import _B, SUMS
from tests.support.engine import jacobian, traced, value
from tests.support.laws import one_jacobian, same_value
from tests.support.ufuncs import in_words, numpys, same

nan, inf = float("nan"), float("inf")

_ANY = np.array(
    [0.0, -0.0, 0.3, -0.7, 1.0, -1.0, 2.5, -4.0, 30.0, -30.0, inf, -inf, nan]
)
_UNIT = np.array([0.0, 0.3, 0.5, 0.7, 1.0, 1e-9, 1 - 1e-9, nan])
_SIZES = np.array([0.0, 0.3, 1.0, 2.5, 1e-5, 1e5, 7.0, inf, nan])

# function: operands, and the ulp that the machine words are allowed
UFUNCS: dict[Any, tuple[np.ndarray, int]] = {
    sp.erf: (_ANY, 4),
    sp.erfc: (_ANY, 4),
    sp.erfinv: (np.concatenate([_UNIT, -_UNIT]), 4),
    sp.exprel: (_ANY, 4),
    sp.i0: (_ANY, 4),
    sp.i1: (_ANY, 4),
    # SciPy's tail is rough, ours is not: see test_values.
    sp.ndtr: (_ANY[_ANY > -3], 4),
    sp.gammaln: (_SIZES, 4),
    sp.digamma: (_SIZES, 4),
    sp.expit: (_ANY, 4),
    sp.log_expit: (_ANY, 4),
    sp.logit: (np.concatenate([_UNIT, [-1.0, 2.0]]), 8),
    sp.entr: (np.concatenate([_SIZES, [-1.0]]), 4),
    sp.exp2: (_ANY, 4),
    sp.expm1: (_ANY, 4),
    sp.log1p: (_SIZES, 4),
    sp.cbrt: (_ANY, 4),
}
BINARY: dict[Any, tuple[np.ndarray, np.ndarray]] = {
    sp.xlogy: (_ANY, _SIZES),
    sp.xlog1py: (_ANY, _SIZES),
    sp.rel_entr: (_SIZES, _SIZES),
    sp.kl_div: (_SIZES, _SIZES),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda f: f.__name__)
def test_values(ufunc: Any, dtype: str) -> None:
    column, ulp = UFUNCS[ufunc]
    column = column.astype(dtype)
    same(in_words(ufunc, [column])[0], numpys(ufunc, [column])[0], ulp, signs=False)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("ufunc", BINARY, ids=lambda f: f.__name__)
def test_values_of_two(ufunc: Any, dtype: str) -> None:
    columns = [c.ravel().astype(dtype) for c in np.meshgrid(*BINARY[ufunc])]
    (want,) = numpys(ufunc, columns)
    # A difference of large terms, each right to an ulp.
    scale = 64 if ufunc is sp.kl_div else 4
    same(in_words(ufunc, columns)[0], want, scale, signs=False)


def test_numbers_and_integers_are_floats() -> None:
    for argument in (3, np.int64(3), np.int32(3)):
        assert value(sp.gammaln, argument) == sp.gammaln(3.0)
    assert value(lambda x: sp.xlogy(x, 2), 3.0) == sp.xlogy(3.0, 2.0)


@pytest.mark.parametrize("order", [0, 1, 2, 3, 5])
def test_polygamma(order: int) -> None:
    x = np.array([0.3, 1.0, 4.5])
    same_value(lambda x: sp.polygamma(order, x), x)
    got = np.diag(jacobian(lambda x: sp.polygamma(order, x), x)[0])
    np.testing.assert_allclose(got, sp.polygamma(order + 1, x), rtol=1e-14)


def test_polygamma_of_many_orders_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="one constant whole number"):
        traced(lambda x: sp.polygamma(x, 2.0), 1.0)


# -- sums of exponentials ------------------------------------------------------

_A = np.array([[1.0, 2.0, -3.0], [700.0, 710.0, 0.0]])


@pytest.mark.parametrize("name", SUMS)
def test_sums(name: str) -> None:
    same_value(SUMS[name], _A, ulp=16)
    same_value(SUMS[name], (_A / 50).astype(np.float32), ulp=16)
    one_jacobian(SUMS[name], _A)


def test_softmax_is_the_slope_of_logsumexp() -> None:
    got = jacobian(logsumexp, _A[0])[0]
    np.testing.assert_allclose(got, sp.softmax(_A[0]), rtol=1e-15)
    p = sp.softmax(_A[0])
    slope = jacobian(sp.softmax, _A[0])[0]
    np.testing.assert_allclose(slope, np.diag(p) - np.outer(p, p), rtol=1e-12)


def test_weights_have_derivatives_even_at_zero() -> None:
    def f(a: Any, b: Any) -> Any:
        return logsumexp(a, b=b)

    a, b = np.array([0.3, -1.0]), np.array([2.0, 0.0])
    in_a, in_b = jacobian(f, a, b)
    total = np.sum(b * np.exp(a))
    np.testing.assert_allclose(in_a, b * np.exp(a) / total, rtol=1e-14)
    np.testing.assert_allclose(in_b, np.exp(a) / total, rtol=1e-14)


def test_own_names_take_both_kinds_of_values() -> None:
    for own, theirs in [
        (sums.logsumexp, sp.logsumexp),
        (sums.softmax, sp.softmax),
        (sums.log_softmax, sp.log_softmax),
    ]:
        np.testing.assert_array_equal(own(_A), theirs(_A))
        same_value(own, _A, ulp=16)


# -- redirects -----------------------------------------------------------------


def test_functions_are_what_they_were_after_tracing() -> None:
    before = {f: (f.__code__, inspect.signature(f)) for f in registry.redirects}
    traced(lambda x: logsumexp(x), _A)
    with pytest.raises(ZeroDivisionError):
        traced(lambda x: logsumexp(x) / (1 // 0), _A)
    for f, (code, signature) in before.items():
        assert f.__code__ is code
        assert inspect.signature(f) == signature
    assert pickle.loads(pickle.dumps(logsumexp)) is logsumexp


def test_other_calls_go_on_meanwhile() -> None:
    """While one thread traces, plain calls are SciPy's, in it and in others."""
    seen: dict[str, Any] = {}
    inside, done = threading.Event(), threading.Event()

    def elsewhere() -> None:
        inside.wait(10)
        seen["other thread"] = logsumexp(_A, axis=1, b=_B)
        done.set()

    def f(x: Any) -> Any:
        inside.set()
        assert done.wait(10)
        seen["same thread"] = logsumexp(_A, axis=1, b=_B)
        with pytest.raises(TypeError):
            logsumexp(_A, 0, None, False, False, "one too many")
        return logsumexp(x)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    traced(f, _A)
    thread.join()
    for got in seen.values():
        np.testing.assert_array_equal(got, logsumexp(_A, axis=1, b=_B))
        assert type(got) is np.ndarray


def test_traces_nest() -> None:
    """An inner trace that ends leaves the redirects to the outer one."""

    def f(x: Any) -> Any:
        return jitad.grad(lambda y: logsumexp(y))(x) * logsumexp(x)

    x = np.array([0.1, 0.7])
    np.testing.assert_allclose(
        jitad.jit(f, backend="numpy")(x), sp.softmax(x) * logsumexp(x), rtol=1e-14
    )


def test_the_machine_computes_them() -> None:
    x = np.random.default_rng(0).normal(size=(9, 4))
    f = jitad.vmap(jitad.jacobian(lambda a: logsumexp(a) + sp.polygamma(1, a[0] ** 2)))
    g = jitad.vmap(
        jitad.jacobian(
            lambda a: logsumexp(a) + sp.polygamma(1, a[0] ** 2), backend="numpy"
        )
    )
    np.testing.assert_allclose(f(x), g(x), rtol=1e-13)


def test_zeta_has_no_derivative_in_its_first_argument() -> None:
    assert jitad.jit(sp.zeta)(3.0, 2.0) == sp.zeta(3.0, 2.0)
    with pytest.raises(
        UnsupportedError, match=r"zeta in its first .*test_special\.py:"
    ):
        jitad.grad(lambda s: sp.zeta(s, 2.0))(3.0)
