"""`jitad.interop`: its page, and the calls of SciPy and emcee that need no adapter."""

from __future__ import annotations

import doctest
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize

import jitad
from jitad import interop
from tests.support.interop import central, curve

LIBRARIES = {
    "gtsam": "gtsam",
    "iminuit": "iminuit",
    "lmfit": "lmfit",
    "nlopt": "nlopt",
    "openmdao": "openmdao.api",
    "pints": "pints",
    "pygmo": "pygmo",
    "pyceres": "pyceres",
    "salib": "SALib",
    "sundae": "sksundae",
    "uncertainties": "uncertainties",
}


@pytest.mark.parametrize("room", LIBRARIES)
def test_the_examples_of_its_docstrings(room: str, monkeypatch) -> None:
    monkeypatch.setenv("OPENMDAO_REPORTS", "0")
    library = LIBRARIES[room]
    top = pytest.importorskip(library).__name__.split(".")[0]
    module = import_module(f"jitad.interop.{room}")
    names = {"np": np, "jitad": jitad, top: sys.modules[top]}
    results = doctest.testmod(module, extraglobs=names)
    assert results.attempted >= 2
    assert results.failed == 0


def test_the_page_names_every_adapter() -> None:
    assert interop.__doc__ is not None
    assert dir(interop) == sorted(interop.__all__)
    for name in interop.__all__:
        assert name in interop.__doc__
        assert callable(getattr(interop, name))
    with pytest.raises(AttributeError, match="no attribute 'lmfit_jacobian'"):
        interop.lmfit_jacobian  # noqa: B018


@pytest.mark.slow
def test_libraries_are_imported_when_they_are_used() -> None:
    code = """
import sys, jitad
names = [getattr(jitad.interop, k) for k in jitad.interop.__all__]
libraries = {"gtsam", "iminuit", "lmfit", "nlopt", "openmdao", "pints", "pygmo",
             "pyceres", "SALib", "sksundae", "uncertainties"}
assert not libraries & set(sys.modules), libraries & set(sys.modules)
sys.modules["pints"] = None
try:
    jitad.interop.pints_model(lambda p, t: t, 1)
except ModuleNotFoundError as error:
    assert error.name == "pints", error
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# -- SciPy ---------------------------------------------------------------------------


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@pytest.mark.parametrize(
    "method", ["BFGS", "CG", "L-BFGS-B", "TNC", "SLSQP", "trust-constr", "Newton-CG"]
)
def test_minimize_keeps_what_it_was_given(method: str) -> None:
    # BFGS, CG and trust-constr hold the last gradient and fail if it changes.
    both, hessian = jitad.value_and_grad(rosenbrock), jitad.hessian(rosenbrock)
    curved = {"hess": hessian} if method in ("Newton-CG", "trust-constr") else {}
    options = {"maxfun": 1000} if method == "TNC" else {}
    start = np.array([-1.2, 1.0, 0.7])
    found = scipy.optimize.minimize(
        both, start, jac=True, method=method, options=options, **curved
    )
    assert found.success
    np.testing.assert_allclose(found.x, 1.0, rtol=2e-2 if method == "TNC" else 1e-3)


@pytest.mark.parametrize("count", [3, 8])
def test_least_squares_and_curve_fit(count: int) -> None:
    x = np.linspace(0, 2, count)
    true, start = np.array([2.0, 1.3, 0.5]), np.array([1.5, 1.0, 0.1])
    y = curve(true, x)
    slopes = jitad.jacobian(lambda p: curve(p, x) - y)
    np.testing.assert_allclose(
        slopes(start), central(lambda p: curve(p, x), start), rtol=1e-7
    )
    assert slopes(start).shape == (count, 3)
    found = scipy.optimize.least_squares(lambda p: curve(p, x) - y, start, jac=slopes)
    np.testing.assert_allclose(found.x, true, rtol=1e-7)

    def model(x, *p):
        return curve(p, x)

    rows = jitad.vmap(jitad.grad(lambda p, x: model(x, *p)), in_axes=(None, 0))
    best, _ = scipy.optimize.curve_fit(
        model, x, y, start,
        jac=lambda x, *p: rows(np.array(p), x), ftol=1e-12,
        absolute_sigma=True,
    )  # fmt: skip
    np.testing.assert_allclose(best, true, rtol=1e-7)


@pytest.mark.parametrize("method", ["hybr", "lm"])
def test_root(method: str) -> None:
    def f(x):
        return np.stack(
            [x[0] ** 2 + x[1] - 3, x[0] - x[1] ** 3 + 1, x[2] - x[0] * x[1]]
        )

    found = scipy.optimize.root(
        f, np.array([1.0, 2.0, 0.0]), jac=jitad.jacobian(f), method=method, tol=1e-12
    )
    assert found.success
    assert found.nfev < 15  # a transposed one needs many more, if it gets there
    np.testing.assert_allclose(f(found.x), 0.0, atol=1e-10)


@pytest.mark.parametrize("method", ["Radau", "BDF", "LSODA"])
def test_solve_ivp(method: str) -> None:
    def robertson(t, y):
        a, b, c = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
        return np.stack([b - a, a - b - c, c])

    jac, y = jitad.jacobian(robertson, argnums=1), np.array([1.0, 0.0, 0.0])
    found = scipy.integrate.solve_ivp(
        robertson, (0, 40), y, method=method, jac=jac, rtol=1e-8, atol=1e-12
    )
    # (E. Hairer and G. Wanner, Solving Ordinary Differential Equations II, IV.10)
    expected = [0.7158270687, 0.9185534764e-5, 0.2841637457]
    np.testing.assert_allclose(found.y[:, -1], expected, rtol=1e-5)


def test_solve_bvp_with_points_last() -> None:
    def f(x, y):  # of one point
        return np.stack([y[1], -np.exp(y[0])])

    def ends(a, b):
        return np.stack([a[0], b[0]])

    x = np.linspace(0, 1, 5)
    slopes = jitad.vmap(jitad.jacobian(f, argnums=1), in_axes=-1, out_axes=-1)
    assert slopes(x, np.ones((2, 5))).shape == (2, 2, 5)
    found = scipy.integrate.solve_bvp(
        lambda x, y: np.stack([y[1], -np.exp(y[0])]), ends, x, np.zeros((2, 5)),
        fun_jac=slopes, bc_jac=jitad.jacobian(ends, argnums=(0, 1)), tol=1e-8,
    )  # fmt: skip
    assert found.status == 0
    # Bratu's problem, u = 2 ln(cosh(θ/4) / cosh(θ(x − ½)/2)), θ = √2 cosh(θ/4)
    theta = scipy.optimize.brentq(lambda t: t - np.sqrt(2) * np.cosh(t / 4), 1, 2)
    np.testing.assert_allclose(
        found.sol(0.5)[0], 2 * np.log(np.cosh(theta / 4)), rtol=1e-7
    )


# -- emcee ---------------------------------------------------------------------------


def test_emcee_calls_all_walkers_at_once() -> None:
    emcee = pytest.importorskip("emcee")

    def log_prob(x):
        return -0.5 * np.sum((x - np.arange(3.0)) ** 2) - 0.1 * x[0] ** 2

    start = np.random.default_rng(0).normal(size=(8, 3))

    def run(function, **kwargs):
        sampler = emcee.EnsembleSampler(8, 3, function, **kwargs)
        sampler._random.seed(5)
        sampler.run_mcmc(start, 20)
        return sampler.get_chain()

    np.testing.assert_allclose(
        run(jitad.vmap(log_prob), vectorize=True), run(log_prob), rtol=1e-12
    )
