"""NLopt and pygmo through `jitad.interop`."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from jitad import InputError, interop
from tests.support.interop import central


def goal(x):
    return np.sum((x - np.arange(len(x))) ** 2) + np.exp(x[0] * x[1])


def disc(x):
    return np.sum(x**2) - 2.0


def both(x):
    return np.stack([x[0] + x[1] - 1.0, x[0] * x[1] - 0.1])


# -- NLopt ---------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 4])
def test_nlopt_against_its_derivative_free_algorithm(n: int) -> None:
    nlopt = pytest.importorskip("nlopt")

    def solve(algorithm):
        opt = nlopt.opt(algorithm, n)
        opt.set_min_objective(interop.nlopt_objective(goal))
        opt.add_inequality_constraint(interop.nlopt_objective(disc), 1e-9)
        opt.add_inequality_mconstraint(interop.nlopt_mconstraint(both), [1e-9, 1e-9])
        opt.set_xtol_rel(1e-10)
        opt.set_maxeval(2000)
        return opt.optimize(np.full(n, 0.3)), opt.last_optimum_value()

    (x, y), (expected, least) = solve(nlopt.LD_SLSQP), solve(nlopt.LN_COBYLA)
    np.testing.assert_allclose(x, expected, atol=1e-5)
    np.testing.assert_allclose(y, least, rtol=1e-8)


@pytest.mark.parametrize("n", [2, 3])
def test_nlopt_is_given_values_and_gradients(n: int) -> None:
    x, grad = np.linspace(0.5, 1.0, n), np.empty(n)
    x.setflags(write=False)
    y = interop.nlopt_objective(goal)(x, grad)
    assert type(y) is float  # an array of no axes would be refused, without a word
    assert y == pytest.approx(goal(x))
    np.testing.assert_allclose(grad, central(goal, x), rtol=1e-8)
    assert interop.nlopt_objective(goal)(x, np.empty(0)) == y
    result, slopes = np.empty(2), np.empty((2, n))
    interop.nlopt_mconstraint(both)(result, x, slopes)
    np.testing.assert_allclose(result, both(x))
    np.testing.assert_allclose(slopes, central(both, x), rtol=1e-8, atol=1e-9)
    interop.nlopt_mconstraint(both)(result, x, np.empty(0))


def test_nlopt_may_change_x_afterwards() -> None:
    x, grad = np.array([1.0, 2.0]), np.empty(2)
    objective = interop.nlopt_objective(goal)
    y = objective(x, grad)
    before = grad.copy()
    x[:] = 7.0
    assert grad.tolist() == before.tolist()
    assert objective(np.array([1.0, 2.0]), grad) == y


def test_nlopt_refuses_other_shapes() -> None:
    x = np.ones(3)
    for grad in (np.empty(3), np.empty(0)):
        with pytest.raises(InputError, match=r"shape \(1,\).*expected \(\): a number"):
            interop.nlopt_objective(lambda x: x[:1])(x, grad)
    for grad in (np.empty((2, 3)), np.empty(0)):
        with pytest.raises(InputError, match=r"shape \(1,\).*expected \(2,\)"):
            interop.nlopt_mconstraint(lambda x: x[:1])(np.empty(2), x, grad)


def test_nlopt_passes_errors_on() -> None:
    nlopt = pytest.importorskip("nlopt")
    opt = nlopt.opt(nlopt.LD_LBFGS, 2)
    opt.set_min_objective(interop.nlopt_objective(lambda x: x))
    with pytest.raises(InputError, match="nlopt_objective"):
        opt.optimize(np.ones(2))


# -- pygmo ---------------------------------------------------------------------------


def problem(n: int):
    return interop.pygmo_problem(
        goal, np.full(n, -3.0), np.full(n, 3.0), equalities=disc, inequalities=both
    )


@pytest.mark.parametrize("n", [2, 4])  # with four rows of the gradient
def test_pygmo_against_its_own_differences(n: int) -> None:
    pygmo = pytest.importorskip("pygmo")
    made = pygmo.problem(problem(n))
    assert (made.get_nobj(), made.get_nec(), made.get_nic()) == (1, 1, 2)
    assert made.has_gradient() and made.has_batch_fitness()
    x = np.linspace(0.2, 0.9, n)
    estimated = pygmo.estimate_gradient_h(made.fitness, x)
    np.testing.assert_allclose(made.gradient(x), estimated, rtol=1e-7, atol=1e-8)
    points = np.random.default_rng(0).uniform(-1, 1, (5, n))
    together = pygmo.bfe(pygmo.member_bfe())(made, points.ravel()).reshape(5, -1)
    np.testing.assert_array_equal(together, [made.fitness(x) for x in points])
    assert made.get_fevals() > 0


def test_pygmo_solves_with_constraints() -> None:
    pygmo = pytest.importorskip("pygmo")
    solver = pygmo.nlopt("slsqp")
    solver.xtol_rel = 1e-12
    made = pygmo.problem(problem(3))
    made.c_tol = [1e-8] * 3
    population = pygmo.population(made)
    population.push_back(np.array([0.5, 0.2, 1.0]))
    best = pygmo.algorithm(solver).evolve(population)
    x = best.champion_x
    assert abs(disc(x)) < 1e-7 and np.all(both(x) < 1e-7)
    assert goal(x) < goal(np.array([0.0, 0.1, np.sqrt(1.99)]))


def test_pygmo_copies_and_pickles_after_calls() -> None:
    made = problem(3)
    x = np.ones(3)
    expected = made.gradient(x)
    for again in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        np.testing.assert_array_equal(again.gradient(x), expected)


def test_pygmo_of_several_objectives_and_other_shapes() -> None:
    made = interop.pygmo_problem(both, [0, 0], [1, 1])
    assert made.get_nobj() == 2
    assert made.gradient(np.array([0.5, 0.25])).tolist() == [1.0, 1.0, 0.25, 0.5]
    with pytest.raises(InputError, match=r"upper has shape \(3,\).*expected \(2,\)"):
        interop.pygmo_problem(goal, [0, 0], [1, 1, 1])
    with pytest.raises(InputError, match=r"shape \(2, 2\).*np.ravel"):
        interop.pygmo_problem(lambda x: np.outer(x, x), [0, 0], [1, 1])
