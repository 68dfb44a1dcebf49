"""Functions that NumPy cannot say: loops and searches, with a derivative.

`jitad.primitive` takes a function's value and its partials.  The value may be an @njit
function of floats, which kernels call lane by lane; the partials are in NumPy terms, of
the result y and the arguments.  Here: the hyperbolic tangent by its definition, and a
measured curve that is searched for in a long table.  Where NumPy can say it, nothing
need be registered: see custom_functions.py.
"""

import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

import jitad

# A tide gauge: hours at which it was read, no two of them equally far apart.
HOURS = np.cumsum(0.05 + 0.2 * np.random.default_rng(4).random(500))
LEVELS = np.sin(0.506 * HOURS) + 0.3 * np.sin(1.012 * HOURS + 1) + 0.02 * HOURS


@jitad.primitive(partials=lambda y, x: [1 - y * y], points=[-3.0, -0.4, 0.0, 1.7])
@njit
def tanh_by_definition(x):
    """The hyperbolic tangent; its derivative takes the value, and costs a product."""
    up, down = math.exp(x), math.exp(-x)
    return (up - down) / (up + down)


@njit
def interval(x):
    """The number of the interval between readings that x is in, by halving."""
    low, high = 0, HOURS.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if HOURS[middle] <= x:
            low = middle
        else:
            high = middle
    return low


@njit
def rise(i):
    """The slope between two readings."""
    return (LEVELS[i + 1] - LEVELS[i]) / (HOURS[i + 1] - HOURS[i])


@jitad.primitive(partials=lambda y, x: [None], points=[20.0])
@njit
def tide_slope(x):
    """How fast the level rises; at a reading, the mean of before and after."""
    i = interval(x)
    if x == HOURS[i] and i > 0:
        return (rise(i - 1) + rise(i)) / 2
    return rise(i)


@jitad.primitive(
    partials=lambda y, x: [tide_slope(x)],
    points=[20.0, 33.3, float(HOURS[7]), 1.0],
)
@njit
def tide(x):
    """The level at an hour, linear between readings and beyond the last."""
    i = interval(x)
    return LEVELS[i] + rise(i) * (x - HOURS[i])


def alarm(hour, steepness):
    """They compose, with each other and with NumPy: how much of an alarm to give."""
    return 0.5 + 0.5 * tanh_by_definition(steepness * (tide(hour) - np.sqrt(hour) / 4))


def draw(hours, rows):
    """Value and derivative of all three."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    for panel, (title, values, slopes) in zip(axes, rows, strict=True):
        x = hours if title != "tanh" else np.linspace(-4, 4, hours.size)
        panel.plot(x, values, color="C0", label="value")
        panel.plot(x, slopes, color="C3", linestyle="--", linewidth=1, label="slope")
        panel.set(title=title, xlabel="x" if title == "tanh" else "hour")
        panel.grid(alpha=0.3)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    file = Path("custom_primitives.png").resolve()
    figure.savefig(file, dpi=120)
    plt.close(figure)
    return file


def main():
    """Check both functions and a composition, print a table, draw; returns reports."""
    reports = []
    for f in (tanh_by_definition, tide):
        reports += jitad.testing.check_primitive(f)
    reports.append(jitad.check(alarm, 31.4, 3.0))
    for report in reports:
        count = sum(comparison.compared for comparison in report.comparisons)
        print(f"{report.name}: {count} numbers compared, passed: {report.passed}")

    gradient = jitad.vmap(
        jitad.value_and_grad(alarm, argnums=(0, 1)), in_axes=(0, None)
    )
    hours = np.linspace(1, 60, 2001)
    values, (by_hour, by_steepness) = gradient(hours, 3.0)
    print("\n  hour   alarm   d/dhour   d/dsteepness")
    for k in range(0, 2001, 250):
        print(
            f"{hours[k]:6.2f}{values[k]:8.4f}{by_hour[k]:10.4f}{by_steepness[k]:15.4f}"
        )
    rows = [("alarm", values, by_hour)]
    for title, f, x in (
        ("tide", tide, hours),
        ("tanh", tanh_by_definition, np.linspace(-4, 4, hours.size)),
    ):
        rows.append((title, *jitad.vmap(jitad.value_and_grad(f))(x)))
    print(draw(hours, rows))
    return reports


if __name__ == "__main__":
    main()
