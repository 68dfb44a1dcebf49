"""Functions of your own: nothing to register, only NumPy to compose.

Three functions made of NumPy's: a smooth ramp, the hyperbolic tangent by its
definition, and a measured curve looked up in a table.  `jitad.check` holds their
derivatives, by every mode and back end, against each other and against finite
differences; `jitad.graph` shows what was traced, `jitad.explain` what is run.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import jitad

KNOTS = np.array([-4.0, -2.5, -1.0, 0.0, 1.5, 3.0, 4.0])
READINGS = np.array([0.1, 0.3, 1.1, 0.7, 1.9, 2.0, 3.1])


def smooth_ramp(x, sharpness=2.0):
    """log(1 + exp(k x)) / k: max(x, 0) without its kink, and without overflow."""
    return np.logaddexp(0.0, sharpness * x) / sharpness


def tanh(x):
    """The hyperbolic tangent by its definition."""
    up, down = np.exp(x), np.exp(-x)
    return (up - down) / (up + down)


def tanh_in_halves(x):
    """The same without large exponentials, but it hides the slope at x = 0."""
    down = np.exp(-2 * np.abs(x))
    return np.sign(x) * (1 - down) / (1 + down)


def table(x):
    """Linear between readings; constant beyond the first and last."""
    return np.interp(x, KNOTS, READINGS)


def neuron(weights, x):
    """They compose: the table's value, weighted and squashed."""
    return tanh(weights[0] * table(x) + weights[1]) * smooth_ramp(x)


FUNCTIONS = (smooth_ramp, tanh, table)


def draw(functions):
    """Each function and its derivative."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    xs = np.linspace(-4.5, 4.5, 1801)
    for panel, f in zip(axes, functions, strict=True):
        values, slopes = jitad.vmap(jitad.value_and_grad(f))(xs)
        (value,) = panel.plot(xs, values, color="C0")
        (slope,) = panel.plot(xs, slopes, color="C3", linestyle="--")
        panel.set(title=f.__name__, xlabel="x")
        panel.grid(alpha=0.3)
    axes[2].plot(KNOTS, READINGS, "o", color="C0", markersize=4)
    figure.legend(
        [value, slope],
        ["f(x)", "f′(x), exact"],
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    file = Path("custom_functions.png").resolve()
    figure.savefig(file, dpi=120)
    plt.close(figure)
    return file


def main():
    """Check every function, show one from the inside, draw; returns the reports."""
    points = np.array([-3.3, -0.4, 0.8])
    weights = np.array([0.7, -0.4])
    reports = [jitad.check(f, points) for f in FUNCTIONS]
    reports.append(jitad.check(jitad.vmap(neuron, in_axes=(None, 0)), weights, points))
    for report in reports:
        count = sum(comparison.compared for comparison in report.comparisons)
        print(f"{report.name}: {count} numbers compared, passed: {report.passed}")

    print("\nBoth tanh have the same values; at 0 the slope of one is lost:\n")
    try:
        jitad.check(tanh_in_halves, 0.0)
    except jitad.CheckError as error:
        print(error)

    gradient = jitad.vmap(jitad.grad(neuron), in_axes=(None, 0))
    print(f"\nThe graph of tanh:\n\n{jitad.graph(tanh, 0.8)}")
    plan = jitad.explain(gradient, weights, np.linspace(-4, 4, 1_000_000))
    print(f"\nHow the gradient of neuron would run at a million points:\n\n{plan}\n")
    print(draw(FUNCTIONS))
    return reports


if __name__ == "__main__":
    main()
