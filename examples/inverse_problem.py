"""An inverse problem: which x gives p(x) = 42?

p is an ordinary Python function.  Gradient descent on the loss ½(p(x) − 42)² starts at
x = 3; `jitad.value_and_grad` compiles the loss and its derivative into one kernel.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import jitad

TARGET = 42.0


def p(x):
    """A cubic; p(3) = 11."""
    return x**3 - 3 * x**2 + 2 * x + 5


def loss(x):
    """Half the square of what is missing."""
    return (p(x) - TARGET) ** 2 / 2


def descend(x, rate, tolerance):
    """The path of x -> x − rate · loss′(x), until |p(x) − 42| is within tolerance."""
    value_and_slope = jitad.value_and_grad(loss)
    path = [x]
    for _ in range(1000):
        value, slope = value_and_slope(x)
        if np.sqrt(2 * value) <= tolerance:
            return np.array(path)
        x = x - rate * slope
        path.append(x)
    raise RuntimeError(f"no x found: p({x}) = {p(x)}; choose a smaller rate")


def draw(path):
    """The path on p's graph, and what is missing at each step."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    xs = np.linspace(2.5, 4.8, 200)
    left.plot(xs, p(xs), color="0.6", label="p(x)")
    left.axhline(TARGET, color="C3", linestyle="--", linewidth=1, label="42")
    left.plot(path, p(path), "o-", color="C0", markersize=4, label="gradient descent")
    left.plot(path[-1], p(path[-1]), "*", color="C3", markersize=14, label="found")
    left.set(xlabel="x", ylabel="p(x)", title="Descent from x = 3")
    left.legend(loc="upper left")
    right.semilogy(np.abs(p(path) - TARGET), "o-", color="C0", markersize=4)
    right.set(xlabel="step", ylabel="|p(x) − 42|", title="What is missing")
    right.grid(alpha=0.3)
    file = Path("inverse_problem.png").resolve()
    figure.savefig(file, dpi=120)
    plt.close(figure)
    return file


def main(x=3.0, rate=5e-4, tolerance=1e-10):
    """Find x, print the last steps, draw the path; returns the path."""
    path = descend(x, rate, tolerance)
    print("step           x               p(x)         p(x) − 42")
    for step in range(max(0, len(path) - 6), len(path)):
        x = path[step]
        print(f"{step:4d}  {x:.12f}  {p(x):16.12f}  {p(x) - TARGET:12.1e}")
    print(f"p({path[-1]:.12f}) = 42 after {len(path) - 1} steps")
    print(draw(path))
    return path


if __name__ == "__main__":
    main()
