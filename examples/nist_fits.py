"""Fits of certified regression problems, with Jacobians that are exact.

NIST publishes nonlinear regressions whose answers are known to eleven digits.  Each
model is a plain NumPy function of the parameters and one x; `jitad.vmap` takes all x
at once, and `jitad.jacobian` gives SciPy's least_squares its derivatives.  The same
Jacobian, between the data, gives the uncertainty of the fitted curve.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import least_squares

import jitad
from jitad.demo import nist


def fit(problem, start):
    """What least squares finds from a start, by Levenberg and Marquardt."""
    model = jitad.vmap(problem.model, in_axes=(None, 0))
    slopes = jitad.vmap(jitad.jacobian(problem.model), in_axes=(None, 0))
    return least_squares(
        lambda b: model(b, problem.x) - problem.y,
        start,
        jac=lambda b: slopes(b, problem.x),
        method="lm",
        x_scale="jac",
        max_nfev=10_000,
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
    )


def curve(problem, b, xs):
    """The model at xs and its standard deviation, J C Jᵀ with C = s² (JᵀJ)⁻¹."""
    slopes = jitad.vmap(jitad.jacobian(problem.model), in_axes=(None, 0))
    values = jitad.vmap(problem.model, in_axes=(None, 0))
    degrees = problem.x.size - b.size
    s = np.sqrt(np.sum((values(b, problem.x) - problem.y) ** 2) / degrees)
    triangle = np.linalg.qr(slopes(b, problem.x), mode="r")
    spread = np.linalg.solve(triangle.T, slopes(b, xs).T)
    return values(b, xs), s * np.linalg.norm(spread, axis=0)


def draw(fitted):
    """Data, fits and bands of two standard deviations."""
    figure, axes = plt.subplots(2, 4, figsize=(13, 6), layout="constrained")
    for panel, (problem, b) in zip(axes.flat, fitted, strict=True):
        xs = np.linspace(problem.x.min(), problem.x.max(), 200)
        y, deviation = curve(problem, b, xs)
        band = panel.fill_between(
            xs,
            y - 2 * deviation,
            y + 2 * deviation,
            color="C0",
            alpha=0.25,
            linewidth=0,
        )
        (line,) = panel.plot(xs, y, color="C0")
        (dots,) = panel.plot(problem.x, problem.y, "o", color="C3", markersize=3.5)
        panel.set(title=problem.name, xlabel="x", ylabel="y")
    figure.legend(
        [dots, line, band],
        ["data", "fit", "± 2 standard deviations of the curve"],
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    file = Path("nist_fits.png").resolve()
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return file


def main():
    """Fit from both starts, print what agrees, draw; returns digits of every fit."""
    print("problem   start  digits  evaluations  sum of squares      certified")
    agreeing, fitted = {}, []
    for problem in nist.problems():
        for number, start in enumerate(problem.starts, 1):
            found = fit(problem, start)
            digits = nist.digits(found.x, problem.certified)
            agreeing[problem.name, number] = digits
            print(
                f"{problem.name:10}{number:5}{digits:8.1f}{found.nfev:13}"
                f"{2 * found.cost:16.8e}{problem.residual:16.8e}"
            )
        fitted.append((problem, found.x))
    print(
        "BoxBOD's first start is too far away: from there the fit ends in a constant."
    )
    print(draw(fitted))
    return agreeing


if __name__ == "__main__":
    main()
