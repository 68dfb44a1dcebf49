"""lmfit, iminuit and pints through `jitad.interop`: fits and their Jacobians."""

from __future__ import annotations

import numpy as np
import pytest

from jitad import InputError, UnsupportedError, interop
from tests.support.interop import central, curve

X = np.linspace(0.0, 4.0, 41)
TRUE = np.array([2.0, 1.3, 0.5])
NOISE = 0.01 * np.random.default_rng(1).normal(size=X.size)
Y = curve(TRUE, X) + NOISE
SQUARE = slice(0, 30, 10)  # as many points as parameters


def decay(x, a, b, c):
    return a * np.exp(-b * x) + c


# -- lmfit ---------------------------------------------------------------------------


def lines(x, slope, level):
    return level + slope * x


def of_sum(x, a, b):
    """A model that mixes its points."""
    y = np.exp(-b * x)
    return a * y / np.sqrt(np.sum(y**2))


def of_mean(x, a, b):
    """A model that mixes its points, which is not seen where b is 0."""
    return a * np.exp(-x) + b * x * np.mean(x**2)


def models(lmfit):
    one = lmfit.Model(decay)
    yield one, one.make_params(a=1.5, b=1.0, c=0.1)
    bounded = one.make_params(
        a={"value": 1.5, "min": 0.1, "max": 2.5}, b={"value": 1.0, "min": 0.0}, c=0.1
    )
    yield one, bounded
    fixed = one.make_params(a=1.5, b={"value": 1.3, "vary": False}, c=0.1)
    yield one, fixed
    tied = one.make_params(a=1.5, b=1.0)
    tied["c"].set(expr="sqrt(a) / 4 + 0.1 * b")
    yield one, tied
    several = lmfit.Model(decay, prefix="d_") + lmfit.Model(lines)
    yield several, several.make_params(d_a=1.5, d_b=1.2, d_c=0.0, slope=0.1, level=0.3)
    mixed = lmfit.Model(of_sum)
    yield mixed, mixed.make_params(a=1.5, b=1.0)
    hidden = lmfit.Model(of_mean)
    yield hidden, hidden.make_params(a=1.5, b=0.0)
    nothing = hidden.make_params(a=0.0, b=0.0)
    yield hidden, nothing
    gaussian = lmfit.models.GaussianModel()  # has parameters that only report
    yield gaussian, gaussian.make_params(amplitude=3.0, center=-1.0, sigma=2.0)
    exponential = lmfit.models.ExponentialModel()  # asks float() of its decay
    yield exponential, exponential.make_params(amplitude=3.0, decay=2.0)


def lmfit_differences(residual, params, *args, **kwargs):
    names = [k for k, par in params.items() if par.vary]

    def at(values):
        moved = params.copy()
        for name, value in zip(names, values, strict=True):
            moved[name].value = value
        moved.update_constraints()
        return np.ravel(residual(moved, *args, **kwargs))

    return central(at, np.array([params[k].value for k in names]))


@pytest.mark.parametrize("number", range(10))
def test_lmfit_jacobian_of_models(number: int) -> None:
    lmfit = pytest.importorskip("lmfit")
    model, params = list(models(lmfit))[number]
    dfun = interop.lmfit_dfun(model)
    square = slice(0, sum(par.vary for par in params.values()))
    for part, weights in ((slice(None), None), (slice(None), 1 + X), (square, None)):
        x, y = X[part], Y[part]
        given = params, y, None if weights is None else weights[part]
        slopes = dfun(*given, x=x)
        expected = lmfit_differences(model._residual, *given, x=x)
        assert slopes.shape == expected.shape
        np.testing.assert_allclose(slopes, expected, rtol=1e-7, atol=1e-8)
    assert not np.shares_memory(dfun(*given, x=x), dfun(*given, x=x))


@pytest.mark.parametrize("method", ["leastsq", "least_squares"])
@pytest.mark.parametrize("number", [1, 3, 4])
def test_lmfit_fits_as_with_its_own_differences(method: str, number: int) -> None:
    # lmfit multiplies the Jacobian in place by the slopes of bounds.
    lmfit = pytest.importorskip("lmfit")
    model, params = list(models(lmfit))[number]
    if number == 4:
        params["level"].vary = False
    kwargs = {"x": X, "weights": 1 / (0.1 + X), "method": method}
    tight = {"ftol": 1e-12, "xtol": 1e-12}
    expected = model.fit(Y, params, fit_kws=tight, **kwargs)
    dfun = interop.lmfit_dfun(model)
    found = model.fit(Y, params, fit_kws={"Dfun": dfun, **tight}, **kwargs)
    assert found.success and found.nfev < expected.nfev
    for name in found.var_names:
        ours, theirs = found.params[name], expected.params[name]
        assert ours.value == pytest.approx(theirs.value, rel=1e-5)
        assert ours.stderr == pytest.approx(theirs.stderr, rel=1e-4)


def test_lmfit_of_an_objective_function() -> None:
    lmfit = pytest.importorskip("lmfit")

    def residual(params, x, y, scale=1.0, power="one"):
        v = params.valuesdict()
        assert power == "two"
        return (v["a"] * np.exp(-params["b"] * x) + params["c"].value - y) / scale

    params = lmfit.create_params(a=1.5, b=1.0, c={"expr": "0.25 * a"})
    kwargs = {"scale": 0.1, "power": "two"}
    dfun = interop.lmfit_dfun(residual)
    np.testing.assert_allclose(
        dfun(params, X, Y, **kwargs),
        lmfit_differences(residual, params, X, Y, **kwargs),
        rtol=1e-7, atol=1e-7,
    )  # fmt: skip
    fits = [
        lmfit.minimize(residual, params, args=(X, Y), kws=kwargs, **more)
        for more in ({}, {"Dfun": dfun})
    ]
    a, b = [fit.params["a"].value for fit in fits]
    assert a == pytest.approx(b, rel=1e-6)


def test_lmfit_follows_what_changes_between_calls() -> None:
    lmfit = pytest.importorskip("lmfit")
    model = lmfit.Model(decay)
    dfun = interop.lmfit_dfun(model)
    params = model.make_params(a=1.5, b={"value": 1.0, "vary": False}, c=0.1)
    for change in ({"value": 2.0}, {"vary": True}, {"expr": "2 * a"}, {"expr": "c"}):
        params["b"].set(**change)
        np.testing.assert_allclose(
            dfun(params, Y, None, x=X),
            lmfit_differences(model._residual, params, Y, None, x=X),
            rtol=1e-7, atol=1e-8,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("VoigtModel", "voigt cannot be differentiated: .*complex128"),
        ("StudentsTModel", "students_t cannot be differentiated: gamma cannot be"),
        ("LognormalModel", "lognormal cannot be differentiated: np.where with one"),
    ],
)
def test_lmfit_models_that_cannot_be_traced_are_named(name: str, why: str) -> None:
    lmfit = pytest.importorskip("lmfit")
    model = lmfit.models.ConstantModel() + getattr(lmfit.models, name)()
    params = model.make_params(c=0.1, center=2.0, sigma=1.5, amplitude=1.0)
    remedy = "lmfit_dfun: " + why + ".*; if it is lmfit's own, leave out Dfun="
    with pytest.raises(UnsupportedError, match=remedy):
        interop.lmfit_dfun(model)(params, Y, None, x=X)


def test_lmfit_refusals() -> None:
    lmfit = pytest.importorskip("lmfit")
    model = lmfit.Model(decay)
    params = model.make_params(a=1.5, b=1.0)
    params["c"].set(expr="int(a) / 2")
    with pytest.raises(InputError, match=r"(?s)parameter c is 'int\(a\) / 2'.*within"):
        interop.lmfit_dfun(model)(params, Y, None, x=X)
    params["c"].set(expr="", value=1.0)
    with pytest.raises(InputError, match=r"shape \(41,\).*expected \(3,\), as"):
        interop.lmfit_dfun(model)(params, np.ones(3), None, x=X)


# -- iminuit -------------------------------------------------------------------------


@pytest.mark.parametrize("part", [slice(None), SQUARE])
@pytest.mark.parametrize("loss", ["linear", "soft_l1"])
def test_iminuit_least_squares(part: slice, loss: str) -> None:
    cost = pytest.importorskip("iminuit.cost")
    x, y = X[part], Y[part]
    gradient = interop.iminuit_model_grad(decay)
    np.testing.assert_allclose(
        gradient(x, *TRUE), central(lambda p: curve(p, x), TRUE).T, rtol=1e-7, atol=1e-9
    )
    given = cost.LeastSquares(x, y, 0.01, decay, grad=gradient, loss=loss)
    at = np.array([1.8, 1.2, 0.4])
    estimated = central(lambda p: given(*p), at)
    np.testing.assert_allclose(given.grad(*at), estimated, rtol=1e-6)


def test_iminuit_fits_as_with_its_own_differences() -> None:
    iminuit = pytest.importorskip("iminuit")
    given = [
        iminuit.cost.LeastSquares(X, Y, 0.01, decay, grad=grad)
        for grad in (None, interop.iminuit_model_grad(decay))
    ]
    expected, found = [iminuit.Minuit(c, a=1.5, b=1.0, c=0.1).migrad() for c in given]
    assert found.valid and found.ngrad > 0
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-4)
    np.testing.assert_allclose(found.errors, expected.errors, rtol=1e-2)


@pytest.mark.slow
def test_iminuit_densities_of_events_and_bins() -> None:
    cost = pytest.importorskip("iminuit.cost")
    erf = pytest.importorskip("scipy.special").erf

    def density(x, mean, width):
        z = (x - mean) / width
        return np.exp(-0.5 * z**2) / (np.sqrt(2 * np.pi) * width)

    def rate(x, count, mean, width):
        return count, count * density(x, mean, width)

    def cumulative(x, mean, width):
        return 0.5 * (1 + erf((x - mean) / (np.sqrt(2) * width)))

    def plane(xy, a, b):  # of two variables, (2, N)
        x, y = xy
        return a * x + b * x * y

    events = np.random.default_rng(2).normal(0.3, 1.1, size=7)
    counts, edges = np.histogram(events, 5)
    grad = interop.iminuit_model_grad
    several, equal = np.stack([X, Y]), np.ones((2, 2))
    costs = [
        (cost.UnbinnedNLL(events, density, grad=grad(density)), (0.2, 1.0)),
        (cost.ExtendedUnbinnedNLL(events, rate, grad=grad(rate)), (8.0, 0.2, 1.0)),
        (cost.BinnedNLL(counts, edges, cumulative, grad=grad(cumulative)), (0.2, 1.0)),
        (cost.LeastSquares(several, Y, 1.0, plane, grad=grad(plane)), (1.0, 2.0)),
        (cost.LeastSquares(equal, Y[:2], 1.0, plane, grad=grad(plane)), (1.0, 2.0)),
        (cost.LeastSquares(X, Y, 1.0, of_sum, grad=grad(of_sum)), (1.0, 2.0)),
        (cost.LeastSquares(X[::4], Y[::4], 1.0, of_mean, grad=grad(of_mean)), (1.0, 0)),
    ]
    for given, at in costs:
        assert given.has_grad
        estimated = central(lambda p, given=given: given(*p), 1.0 * np.array(at))
        np.testing.assert_allclose(given.grad(*at), estimated, rtol=1e-6, atol=1e-7)


def test_iminuit_gradients_of_costs() -> None:
    iminuit = pytest.importorskip("iminuit")

    def by_number(a, b):
        return (a - 1) ** 2 + (a * b - 2) ** 2

    def by_array(p):
        return by_number(p[0], p[1])

    for cost, start in ((by_number, (0.5, 1.0)), (by_array, (np.array([0.5, 1.0]),))):
        grad = interop.iminuit_cost_grad(cost)
        found = iminuit.Minuit(cost, *start, grad=grad).migrad()
        assert found.valid and found.ngrad > 0
        np.testing.assert_allclose(found.values, [1.0, 2.0], atol=0.02)
        estimated = central(by_array, np.array([0.5, 1.0]))
        np.testing.assert_allclose(grad(*start), estimated, rtol=1e-6)


def test_iminuit_refuses_other_shapes() -> None:
    with pytest.raises(InputError, match=r"shape \(2,\).*expected \(3,\): one number"):
        interop.iminuit_model_grad(lambda x, a: a * x[:2])(np.ones(3), 1.0)
    with pytest.raises(InputError, match=r"shape \(1,\).*expected \(\): a number"):
        interop.iminuit_cost_grad(lambda p: p[:1])(np.ones(3))


# -- pints ---------------------------------------------------------------------------


def two_outputs(p, times):
    return np.stack([p[0] * np.exp(-p[1] * times), p[2] * times], axis=1)


@pytest.mark.parametrize("count", [3, 7])
@pytest.mark.parametrize("outputs", [1, 2])
def test_pints_sensitivities(count: int, outputs: int) -> None:
    pints = pytest.importorskip("pints")
    simulate = curve if outputs == 1 else two_outputs
    model = interop.pints_model(simulate, 3, outputs)
    assert isinstance(model, pints.ForwardModelS1)
    times = np.linspace(0.0, 2.0, count)
    values = model.simulate(TRUE, times)
    of_one = outputs == 1
    problem = (pints.SingleOutputProblem if of_one else pints.MultiOutputProblem)(
        model, times, values
    )
    y, slopes = problem.evaluateS1(list(TRUE))
    np.testing.assert_array_equal(y, values)
    estimated = central(problem.evaluate, TRUE)
    assert slopes.shape == estimated.shape
    np.testing.assert_allclose(slopes, estimated, rtol=1e-6, atol=1e-9)
    error = pints.SumOfSquaresError(problem)
    at = TRUE + 0.1
    np.testing.assert_allclose(error.evaluateS1(at)[1], central(error, at), rtol=1e-6)


def test_pints_refuses_what_pints_would_reshape() -> None:
    pytest.importorskip("pints")
    times = np.linspace(0.0, 1.0, 4)
    turned = interop.pints_model(lambda p, t: two_outputs(p, t).T, 3, 2)
    with pytest.raises(InputError, match=r"shape \(2, 4\).*expected \(4, 2\)"):
        turned.simulateS1(TRUE, times)
    with pytest.raises(InputError, match=r"parameters has shape \(2,\).*expected"):
        turned.simulate([1.0, 2.0], times)
