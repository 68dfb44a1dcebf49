"""uncertainties and SALib through `jitad.interop`."""

from __future__ import annotations

import numpy as np
import pytest

from jitad import InputError, interop
from tests.support.interop import central


def mixing(x):
    return np.stack([x[0] * x[1], np.sin(x[1]) + x[2], x[2] / x[0]])


@pytest.mark.parametrize(
    "f", [mixing, lambda x: mixing(x)[:2], lambda x: np.outer(x, x)]
)
def test_uncertainties_propagate_covariances(f) -> None:
    uncertainties = pytest.importorskip("uncertainties")
    middle = np.array([1.5, 0.7, -0.4])
    half = np.array([[0.1, 0.0, 0.0], [0.05, 0.2, 0.0], [0.0, -0.1, 0.3]])
    x = np.array(uncertainties.correlated_values(middle, half @ half.T))
    y = interop.uncertainties_wrap(f)(x)
    assert y.shape == f(middle).shape
    slopes = central(lambda x: np.ravel(f(x)), middle)
    both = [*np.ravel(y), *x]
    found = np.array(uncertainties.covariance_matrix(both))
    full = np.vstack([slopes, np.eye(3)])
    np.testing.assert_allclose(
        found, full @ half @ half.T @ full.T, rtol=1e-7, atol=1e-10
    )
    nominal = pytest.importorskip("uncertainties.unumpy").nominal_values(y)
    np.testing.assert_allclose(nominal, f(middle), rtol=1e-15)


def test_uncertainties_agree_with_its_own_wrap() -> None:
    uncertainties = pytest.importorskip("uncertainties")
    a, b = uncertainties.ufloat(1.5, 0.1), uncertainties.ufloat(0.7, 0.2)

    def f(a, b):
        return a * np.exp(-b) + a

    ours = interop.uncertainties_wrap(f)(a, b)
    theirs = uncertainties.wrap(lambda a, b: float(f(a, b)))(a, b)
    assert (ours - theirs).std_dev < 1e-6
    assert ours.nominal_value == theirs.nominal_value
    assert interop.uncertainties_wrap(f)(a, 0.7).std_dev == pytest.approx(
        0.1 * (np.exp(-0.7) + 1)
    )
    assert interop.uncertainties_wrap(f)(1.5, 0.7) == pytest.approx(f(1.5, 0.7))


# -- SALib ---------------------------------------------------------------------------

ISHIGAMI = {"num_vars": 3, "names": ["a", "b", "c"], "bounds": [[-np.pi, np.pi]] * 3}


def ishigami(x):
    return np.sin(x[0]) + 7 * np.sin(x[1]) ** 2 + 0.1 * x[2] ** 4 * np.sin(x[0])


def test_salib_against_its_finite_differences_and_the_integrals() -> None:
    salib = pytest.importorskip("SALib")
    sample = pytest.importorskip("SALib.sample.finite_diff").sample
    analyze = pytest.importorskip("SALib.analyze.dgsm").analyze
    X = sample(ISHIGAMI, 1024, delta=1e-6, seed=1)
    theirs = analyze(ISHIGAMI, X, np.array([ishigami(x) for x in X]), seed=1)
    ours = interop.salib_dgsm(ISHIGAMI, ishigami, X[::4], seed=1)
    for name in ("vi", "vi_std", "dgsm"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=2e-4)
    # (Sobol and Kucherenko, 2009, example 3 with these constants)
    exact = [
        0.5 + 0.1 * np.pi**4 / 5 + 0.005 * np.pi**8 / 9,
        49 / 2,
        0.16 * np.pi**6 / 14,
    ]
    np.testing.assert_allclose(ours["vi"], exact, rtol=2e-2)
    assert isinstance(ours, salib.util.ResultDict)
    assert list(ours.to_df().index) == ["a", "b", "c"]
    assert np.all(ours["dgsm_conf"] > 0) and np.all(ours["dgsm_conf"] < ours["dgsm"])


def test_salib_refusals() -> None:
    pytest.importorskip("SALib")
    X = np.zeros((5, 2))
    with pytest.raises(InputError, match=r"X has shape \(5, 2\).*expected \(5, 3\)"):
        interop.salib_dgsm(ISHIGAMI, ishigami, X)
    normal = ISHIGAMI | {"dists": ["unif", "norm", "unif"]}
    with pytest.raises(InputError, match=r"dists are .*'norm'.*expected 'unif'"):
        interop.salib_dgsm(normal, ishigami, np.zeros((5, 3)))
