"""NIST's certified regressions: the packaged eight, and all 27 where they lie."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import jitad
from jitad.demo import nist

FILES = Path(__file__).resolve().parents[3] / "shared" / "nist"
NAMES = sorted(path.stem for path in FILES.glob("*.dat"))
CASES = [(name, start) for name in NAMES for start in (0, 1)]
needs_files = pytest.mark.skipif(not NAMES, reason="no shared/nist beside the checkout")

# From (1, 1), far away, Levenberg-Marquardt leaves BoxBOD's basin: b2 grows until the
# model is flat.  It is the one start of the 54 that no exact Jacobian mends.
LOST = {("BoxBOD", 0)}


def two_decays(b, x):
    return b[0] + b[1] * np.exp(-x * b[3]) + b[2] * np.exp(-x * b[4])


def three_decays(b, x):
    return sum(b[k] * np.exp(-b[k + 1] * x) for k in (0, 2, 4))


def peaks(b, x):
    first = b[0] * np.exp(-b[1] * x) + b[2] * np.exp(-((x - b[3]) ** 2) / b[4] ** 2)
    return first + b[5] * np.exp(-((x - b[6]) ** 2) / b[7] ** 2)


def quadratics(b, x):
    return (b[0] + b[1] * x + b[2] * x**2) / (1 + b[3] * x + b[4] * x**2)


def decay_over_line(b, x):
    return np.exp(-b[0] * x) / (b[1] + b[2] * x)


def cycles(b, x):
    total = b[0]
    for cosine, sine, period in ((b[1], b[2], 12), (b[4], b[5], b[3]), b[[7, 8, 6]]):
        phase = 2 * np.pi * x / period
        total = total + cosine * np.cos(phase) + sine * np.sin(phase)
    return total


MODELS = dict(nist.MODELS) | {
    "Bennett5": lambda b, x: b[0] * (b[1] + x) ** (-1 / b[2]),
    "Chwirut1": decay_over_line,
    "Chwirut2": decay_over_line,
    "ENSO": cycles,
    "Gauss1": peaks,
    "Gauss2": peaks,
    "Gauss3": peaks,
    "Hahn1": nist.cubic_ratio,
    "Kirby2": quadratics,
    "Lanczos1": three_decays,
    "Lanczos2": three_decays,
    "Lanczos3": three_decays,
    "MGH17": two_decays,
    "Misra1b": lambda b, x: b[0] * (1 - (1 + b[1] * x / 2) ** -2),
    "Misra1c": lambda b, x: b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5),
    "Misra1d": lambda b, x: b[0] * b[1] * x * (1 + b[1] * x) ** -1,
    "Nelson": lambda b, x: b[0] - b[1] * x[0] * np.exp(-b[2] * x[1]),
    "Rat42": lambda b, x: b[0] / (1 + np.exp(b[1] - b[2] * x)),
    "Roszman1": lambda b, x: b[0] - b[1] * x - np.arctan(b[2] / (x - b[3])) / np.pi,
}


@cache
def from_file(name: str) -> nist.Problem:
    """A problem as NIST publishes it."""
    lines = (FILES / f"{name}.dat").read_text().splitlines()
    rows = [line.split("=")[1].split() for line in lines if re.match(r" +b\d *=", line)]
    first, second, certified, deviations = np.array(rows, float).T
    residual = next(line for line in lines if line.startswith("Residual Sum of Sq"))
    heads = [k for k, line in enumerate(lines) if line.startswith("Data:")]
    table = [line.split() for line in lines[heads[-1] + 1 :] if line.strip()]
    data = np.array(table, float)
    x, y = data[:, 1:], data[:, 0]
    return nist.Problem(
        name=name,
        formula="",
        model=MODELS[name],
        starts=(first, second),
        certified=certified,
        deviations=deviations,
        residual=float(residual.split(":")[1]),
        x=x[:, 0] if x.shape[1] == 1 else x,
        y=np.log(y) if name == "Nelson" else y,
    )


@cache
def fitted(name: str, start: int) -> nist.Fit:
    problem = from_file(name)
    return nist.fit(problem, problem.starts[start])


@needs_files
def test_there_are_27():
    assert len(NAMES) == 27


@needs_files
@pytest.mark.parametrize("problem", nist.problems(), ids=lambda p: p.name)
def test_the_package_has_what_nist_published(problem):
    published = from_file(problem.name)
    for field in ("starts", "certified", "deviations", "residual", "x", "y"):
        mine, theirs = getattr(problem, field), getattr(published, field)
        assert np.array_equal(mine, theirs), field


@pytest.mark.parametrize("problem", nist.problems(), ids=lambda p: p.name)
def test_the_formula_is_the_model(problem):
    words = {f"b{k + 1}": b for k, b in enumerate(problem.certified)}
    words |= {"x": problem.x, "exp": np.exp}
    formula = problem.formula.removeprefix("y = ")
    want = eval(formula, {"__builtins__": {}}, words)
    got = problem.model(problem.certified, problem.x)
    np.testing.assert_allclose(got, want, rtol=1e-14, atol=0)


@needs_files
@pytest.mark.parametrize("name", NAMES)
def test_certified_parameters_give_what_is_certified_of_them(name):
    if name == "Lanczos1":
        pytest.skip("1.4e-25 is below the rounding of eleven-digit parameters")
    p = from_file(name)
    x = p.x.T if p.x.ndim > 1 else p.x
    residual = np.sum((p.model(p.certified, x) - p.y) ** 2)
    assert nist.digits(residual, p.residual) >= 9.9
    J = jitad.vmap(jitad.jacobian(p.model), in_axes=(None, 0))(p.certified, p.x)
    deviations = nist.standard_deviations(J, p.residual)
    assert nist.digits(deviations, p.deviations) >= 9


@needs_files
@pytest.mark.parametrize(("name", "start"), CASES)
def test_six_digits_from_both_starts(name, start):
    fit = fitted(name, start)
    if (name, start) in LOST:
        assert fit.parameter_digits < 1
        assert fit.residual > 5 * fit.problem.residual
        return
    assert fit.parameter_digits >= 6
    if name != "Lanczos1":
        assert fit.deviation_digits >= 5.5
        assert nist.digits(fit.residual, fit.problem.residual) >= 9


@pytest.mark.slow
@needs_files
def test_only_one_start_is_lost():
    reached = [fitted(*case).parameter_digits >= 6 for case in CASES]
    assert (sum(reached), len(reached)) == (53, 54)


@pytest.mark.parametrize("problem", nist.problems(), ids=lambda p: p.name)
def test_the_packaged_eight_are_fitted(problem):
    fits = [nist.fit(problem, start) for start in problem.starts]
    for start, fit in enumerate(fits):
        if (problem.name, start) not in LOST:
            assert fit.parameter_digits >= 6
            assert fit.deviation_digits >= 6
        assert fit.mode in ("forward", "reverse", "cross")
        assert fit.evaluations > 1


def test_digits():
    certified = np.array([1.0, 200.0])
    assert nist.digits(np.array([1.0, 200.0]), certified) == nist.MOST_DIGITS
    assert nist.digits(np.array([1.0, 200.02]), certified) == pytest.approx(4)
    assert nist.digits(np.array([5.0, 200.0]), certified) == 0
    assert nist.digits(np.array([np.nan, 200.0]), certified) == 0


def test_standard_deviations_of_a_line():
    """Of slope and intercept through 0, 1, 2: hand values 1/√2 and √(5/6), times s."""
    J = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    got = nist.standard_deviations(J, 4.0)
    np.testing.assert_allclose(got, 2 * np.sqrt([1 / 2, 5 / 6]), rtol=1e-15)
    assert not np.isfinite(nist.standard_deviations(J * [1, 0], 4.0)).all()
