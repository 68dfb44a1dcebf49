"""A steered flight: from a low circular orbit to one twice as wide, by small thrusts.

A spacecraft circles a planet (units in which its gravity, its first radius and its
first speed are 1) and may push in any direction at each of three hundred steps.  What
it shall do is a function of all six hundred thrusts: end on the wider circle, at the
speed of that circle, and push as little as possible.  `jitad.scan` reads the thrusts
along the flight, `jitad.value_and_grad` goes back through it, and SciPy's L-BFGS
descends.

On the way back the states of the flight are needed again, the last ones first.  With
`checkpoint="sqrt"` few of them are kept, and the flight between them is flown twice.
"""

from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize

import jitad

RADIUS = 2.0
DURATION = 24.0
START = np.array([1.0, 0.0, 0.0, 1.0])  # where, and how fast
PRICES = (10.0, 100.0, 1000.0)  # of ending beside the wider circle
# The least change of speed that two pushes need: Hohmann (1925).
HOHMANN = np.sqrt(4 / 3) - 1 + np.sqrt(1 / 2) - np.sqrt(1 / 3)


def fall(state, thrust):
    """d(position, velocity)/dt under gravity and thrust."""
    x, v = state[:2], state[2:]
    return np.concatenate([v, thrust - x / (x @ x) ** 1.5])


def advance(y, thrust, h):
    """The state a time h later, by the classical Runge-Kutta."""
    k1 = fall(y, thrust)
    k2 = fall(y + h / 2 * k1, thrust)
    k3 = fall(y + h / 2 * k2, thrust)
    k4 = fall(y + h * k3, thrust)
    return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def flight(thrusts, checkpoint="sqrt"):
    """The state after the last step, and those before each."""
    h = DURATION / len(thrusts)

    def step(y, thrust):
        return advance(y, thrust, h), y

    return jitad.scan(step, START, thrusts, checkpoint=checkpoint)


def spiral(steps, push=0.012):
    """Thrusts along the flight, always as strong: where the descent begins."""

    def step(y, _):
        thrust = push * y[2:] / np.sqrt(y[2:] @ y[2:])
        return advance(y, thrust, DURATION / steps), thrust

    return jitad.scan(step, START, length=steps)[1]


def missed(last):
    """How far from the wider circle and its speed: zero on it."""
    x, v = last[:2], last[2:]
    return np.stack([x @ x - RADIUS**2, x @ v, v @ v - 1 / RADIUS])


def cost(thrusts, price, checkpoint="sqrt"):
    """Half the squared thrust over time, and the price of what is missed."""
    off = missed(flight(thrusts, checkpoint)[0])
    effort = np.sum(jitad.vmap(lambda push: push @ push)(thrusts)) / 2
    return effort * DURATION / len(thrusts) + price / 2 * (off @ off)


compiled = jitad.value_and_grad(cost)


def steer(thrusts, price, iterations):
    """Better thrusts, and the costs on the way, by L-BFGS."""
    costs = []

    def descend(flat):
        value, gradient = compiled(flat.reshape(thrusts.shape), price)
        costs.append(float(value))
        return value, gradient.ravel()

    options = {"maxiter": iterations, "maxcor": 30, "ftol": 1e-12, "gtol": 1e-9}
    start = thrusts.ravel()
    found = minimize(descend, start, jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(thrusts.shape), np.minimum.accumulate(costs)


def compare(thrusts, price):
    """Print what the way back keeps without checkpoints and with; both gradients."""
    stored = jitad.value_and_grad(partial(cost, checkpoint=None))
    gradients = []
    for function, what in ((stored, "without checkpoints"), (compiled, "with them")):
        (sweep,) = jitad.explain(function, thrusts, price).sweeps
        print(
            f"{what}: {sweep.kept} of {sweep.steps} states kept, "
            f"{sweep.bytes:,} bytes, {sweep.repeated} steps flown twice"
        )
        gradients.append(function(thrusts, price)[1])
    apart = np.max(np.abs(gradients[1] - gradients[0]))
    print(f"largest difference of the two gradients: {apart}")
    return gradients


def draw(thrusts, states, guess):
    """The flight and its thrusts; their direction and the radius, in time."""
    figure = plt.figure(figsize=(13, 6), layout="constrained")
    left, right = figure.subfigures(1, 2)
    panel, (above, below) = left.subplots(), right.subplots(2, 1, sharex=True)
    turn = np.exp(1j * np.linspace(0, 2 * np.pi, 400))
    for radius, style in ((1.0, ":"), (RADIUS, "--")):
        panel.plot(radius * turn.real, radius * turn.imag, style, color="0.5")
    x, v = states[:, :2], states[:, 2:]
    strength = np.linalg.norm(thrusts, axis=1)
    shown = panel.scatter(*x.T, 8, strength, cmap="plasma_r")
    left.colorbar(shown, label="thrust", shrink=0.8)
    some = slice(0, None, max(1, len(x) // 25))
    panel.quiver(*x[some].T, *thrusts[some].T, color="0.2", width=0.003, zorder=3)
    panel.plot(0, 0, "o", color="0.2", markersize=14)
    panel.set(aspect="equal", xlabel="x", ylabel="y", title="The flight")
    times = DURATION / len(thrusts) * np.arange(len(thrusts))
    forward = np.sum(thrusts * v, axis=1) / np.linalg.norm(v, axis=1)
    outward = np.sum(thrusts * x, axis=1) / np.linalg.norm(x, axis=1)
    above.plot(times, forward, color="C3", label="along the flight")
    above.plot(times, outward, color="C1", linestyle="--", label="away from the planet")
    above.set(ylabel="thrust")
    for flown, style, label in ((guess, "C7--", "at first"), (states, "C0-", "found")):
        below.plot(times, np.linalg.norm(flown[:, :2], axis=1), style, label=label)
    below.axhline(RADIUS, color="0.5", linestyle=":", label="wanted at the end")
    below.set(xlabel="time", ylabel="radius")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.legend()
    file = Path("orbit.png").resolve()
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return file


def main(steps=300, iterations=300):
    """Steer at growing prices, print what it takes, draw; thrusts, states, costs."""
    fly = jitad.jit(flight)
    thrusts = spiral(steps)
    _, guess = fly(thrusts)
    compare(thrusts, PRICES[0])
    costs = []
    for price in PRICES:
        thrusts, part = steer(thrusts, price, iterations)
        costs.append(part)
    last, states = fly(thrusts)
    speed = np.sum(np.linalg.norm(thrusts, axis=1)) * DURATION / steps
    x, v = last[:2], last[2:]
    print(f"{thrusts.size} thrusts, {sum(map(len, costs))} gradients")
    print(f"radius at the end {np.linalg.norm(x):.6f}, wanted {RADIUS}")
    print(f"speed {np.linalg.norm(v):.6f}, wanted {RADIUS**-0.5:.6f}")
    print(f"change of speed {speed:.4f}; two strong pushes need {HOHMANN:.4f}")
    print(draw(thrusts, states, guess))
    return thrusts, states, last, costs


if __name__ == "__main__":
    main()
