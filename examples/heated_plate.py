"""Find how well a plate conducts heat, everywhere, from noisy thermometers.

A plate of 100×100 cells is warmed in patches, and evens out.  Its conductivity has two
inclusions that nobody sees; readings of 400 thermometers on the way are all that is
known.  The logarithms of 10,000 conductivities are unknowns of a fit: the misfit of the
readings, and a weight on steps between neighbours.  The steps of the explicit scheme
are a `jitad.scan`, of which reverse mode keeps the root of their number.
"""

import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize

import jitad

EVERY = 5  # cells from thermometer to thermometer
NOISE = 0.005  # of temperatures between 0 and 1
WEIGHT = 3e-7  # of steps between neighbours
ROUND = 0.02  # steps far below this are as smooth as they look
RATE = 0.1  # of the explicit scheme; stable up to 1/4 over the conductivity


def inclusions(n):
    """The logarithm of the conductivity: a disc conducts well, and a bar does not."""
    y, x = np.mgrid[:n, :n] / n
    disc = (x - 0.35) ** 2 + (y - 0.35) ** 2 < 0.15**2
    bar = (abs(x - 0.65) < 0.08) & (abs(y - 0.6) < 0.25)
    return np.where(disc, 0.8, 0.0) - np.where(bar, 1.2, 0.0)


def patches(n):
    """Temperatures at first."""
    y, x = np.mgrid[:n, :n] / n
    return 0.5 + 0.5 * np.sin(8 * np.pi * x) * np.sin(8 * np.pi * y)


def later(u, flow_down, flow_right):
    """The plate a step later; its sides keep the heat in."""
    down = flow_down * (u[1:] - u[:-1])
    right = flow_right * (u[:, 1:] - u[:, :-1])
    new = u.copy()
    new[:-1] += RATE * down
    new[1:] -= RATE * down
    new[:, :-1] += RATE * right
    new[:, 1:] -= RATE * right
    return new


def readings(log_k, steps, looks):
    """Temperatures at the thermometers, after each of some looks."""
    k = np.exp(log_k)
    # Between two cells heat flows as through both, one after the other.
    flow_down = 2 * k[1:] * k[:-1] / (k[1:] + k[:-1])
    flow_right = 2 * k[:, 1:] * k[:, :-1] / (k[:, 1:] + k[:, :-1])

    def step(u, _):
        return later(u, flow_down, flow_right), None

    u, found = patches(len(log_k)), []
    for _ in range(looks):
        u, _ = jitad.scan(step, u, None, steps // looks, checkpoint="sqrt")
        found.append(u[EVERY // 2 :: EVERY, EVERY // 2 :: EVERY])
    return np.stack(found)


def loss(log_k, seen, steps):
    """The misfit of readings, in units of their noise, and the steps of log k."""
    misfit = (readings(log_k, steps, len(seen)) - seen) / NOISE
    across, down = np.diff(log_k, axis=1)[:-1], np.diff(log_k, axis=0)[:, :-1]
    roughness = np.sum(np.sqrt(across**2 + down**2 + ROUND**2))
    return np.sum(misfit**2) / (2 * misfit.size) + WEIGHT * misfit.size * roughness


def fit(seen, n, steps, iterations):
    """The logarithm of the conductivity, and the losses; prints what it takes."""
    slopes = jitad.value_and_grad(lambda x, seen: loss(x, seen, steps))
    begin = time.perf_counter()
    slopes(np.zeros((n, n)), seen)
    print(f"first gradient after {time.perf_counter() - begin:.2f} s")
    seconds, losses = [], []

    def value_and_gradient(x):
        begin = time.perf_counter()
        value, slope = slopes(x.reshape(n, n), seen)
        seconds.append(time.perf_counter() - begin)
        return float(value), slope.ravel()

    def note(intermediate_result):
        losses.append(intermediate_result.fun)

    found = minimize(
        value_and_gradient, np.zeros(n * n), jac=True, method="L-BFGS-B",
        callback=note, bounds=[(-2.0, 0.9)] * (n * n),
        options={"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": 30},
    )  # fmt: skip
    each = 1e3 * np.median(seconds)
    print(f"{found.nit} steps of L-BFGS-B in {n * n:,} conductivities")
    print(f"{steps:,} steps of the plate and back: {each:.0f} ms")
    return found.x.reshape(n, n), np.array(losses)


def draw(truth, found, last, losses):
    """What is there, the last look at it, what was found; and the losses."""
    figure = plt.figure(figsize=(15, 4), layout="constrained")
    panels = figure.subplots(1, 4)
    limits = {"cmap": "RdBu_r", "vmin": -1.2, "vmax": 1.2}
    shown = panels[0].imshow(truth, **limits)
    panels[0].set(title="log conductivity")
    panels[1].imshow(last, cmap="inferno")
    panels[1].set(title="Last look of the thermometers")
    panels[2].imshow(found, **limits)
    panels[2].set(title="log conductivity found")
    figure.colorbar(shown, ax=panels[2], shrink=0.8)
    for axes in panels[:3]:
        axes.set(xticks=[], yticks=[])
    panels[3].loglog(np.arange(1, len(losses) + 1), losses)
    panels[3].set(xlabel="step", title="Misfit and roughness")
    panels[3].grid(alpha=0.3)
    file = Path("heated_plate.png").resolve()
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return file


def main(n=100, steps=640, looks=8, iterations=150):
    """Measure, fit, draw: what is there, what was found, and the losses."""
    truth = inclusions(n)
    seen = np.asarray(jitad.jit(lambda x: readings(x, steps, looks))(truth))
    seen = seen + NOISE * np.random.default_rng(0).normal(size=seen.shape)
    found, losses = fit(seen, n, steps, iterations)
    off = np.sqrt(np.mean((found - truth) ** 2))
    print(f"log conductivity: {off:.3f} off, of {np.std(truth):.3f} that it varies")
    print(draw(truth, found, seen[-1], losses))
    return truth, found, losses


if __name__ == "__main__":
    main()
