"""Hares and lynxes: four rates and two first numbers from 21 years of pelts.

The Hudson Bay Company counted the pelts it bought, and Lotka and Volterra's equations
follow their rise and fall: u' = (α - βv) u, v' = (δu - γ) v.  The sum of squares of
the logarithms has many minima, so ten thousand random starts descend at once, by
Levenberg and Marquardt: one compiled kernel integrates, differentiates through every
step and forms the normal equations of all of them.

Two integrators, one of fixed steps in `jitad.scan` and one that chooses its own in
`jitad.while_loop`, must find the same.  Data: Hewitt, The Conservation of the Wild Life
of Canada (1921), as tabulated by Howard (2009).
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import jitad

YEARS = np.arange(1900, 1921)
# Pelts, in thousands.
HARE = """30.0 47.2 70.2 77.4 36.3 20.6 18.1 21.4 22.0 25.4 27.1
          40.3 57.0 76.6 52.3 19.5 11.2  7.6 14.6 16.2 24.7"""
LYNX = """ 4.0  6.1  9.8 35.2 59.4 41.7 19.0 13.0  8.3  9.1  7.4
           8.0 12.3 19.5 45.7 51.1 29.7 15.8  9.7 10.1  8.6"""
PELTS = np.array([HARE.split(), LYNX.split()], dtype=float).T
NAMES = ("α", "β", "γ", "δ", "u₀", "v₀")
# Posterior means of α, β, γ, δ: Carpenter, a case study of Stan (2018).
PUBLISHED = np.array([0.55, 0.028, 0.80, 0.024])
TYPICAL = np.log([1, 0.05, 1, 0.05, 20, 20])
STYLES = (
    {"color": "C0", "linewidth": 2},
    {"color": "0.4", "linestyle": "--"},
    {"color": "0.4", "linestyle": ":"},
)

# Dormand and Prince (1980): a step of order five, and one of order four to judge it.
STAGES = (
    np.array([1 / 5]),
    np.array([3 / 40, 9 / 40]),
    np.array([44 / 45, -56 / 15, 32 / 9]),
    np.array([19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729]),
    np.array([9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656]),
    np.array([35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84]),
)
JUDGE = np.array(
    [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40]
)


def slope(state, rates):
    """d(log u, log v)/dt: in logarithms nothing can become negative."""
    u, v = np.exp(state)
    return np.stack([rates[0] - rates[1] * v, rates[3] * u - rates[2]])


def runge_kutta(state, rates, span, steps=20):
    """The state a span of years later, by the classical rule."""
    h = span / steps

    def step(_, y):
        k1 = slope(y, rates)
        k2 = slope(y + h / 2 * k1, rates)
        k3 = slope(y + h / 2 * k2, rates)
        k4 = slope(y + h * k3, rates)
        return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    return jitad.fori_loop(0, steps, step, state)


def dormand_prince(state, rates, span, tolerance=1e-8):
    """The same, by steps as long as the tolerance allows."""

    def step(carry):
        t, h, y = carry
        remaining = span - t
        h = np.minimum(h, remaining)
        slopes = [slope(y, rates)]
        for weights in STAGES:
            rise = sum(a * k for a, k in zip(weights, slopes, strict=True))
            slopes.append(slope(y + h * rise, rates))
        wrong = h * sum(e * k for e, k in zip(JUDGE, slopes, strict=True))
        # The length of a step is no function of the rates: it has no derivative.
        error = jitad.stop_gradient(np.max(np.abs(wrong))) / tolerance
        good = error <= 1
        later = np.where(h < remaining, t + h, span)
        h_next = h * np.clip(0.9 * (error + 1e-10) ** -0.2, 0.2, 5)
        return np.where(good, later, t), h_next, np.where(good, y + h * rise, y)

    def unfinished(carry):
        return carry[0] < span

    # Where populations are beyond all numbers, no step is ever good.
    start = (0.0, 0.1 * span, state)
    return jitad.while_loop(unfinished, step, start, max_steps=1_000)[2]


def populations(p, integrate=runge_kutta, span=1.0):
    """Logarithms of hares and lynxes, a span of years apart; p are logarithms, too."""
    rates = np.exp(p[:4])

    def step(state, _):
        return integrate(state, rates, span), state

    return jitad.scan(step, p[4:], length=round(20 / span) + 1)[1]


def normal_equations(integrate):
    """p -> half the sum of squares, Jᵀr and JᵀJ, for every row of p."""

    def residual(p):
        return (populations(p, integrate) - np.log(PELTS)).ravel()

    def equations(p):
        r, J = residual(p), jitad.jacobian(residual)(p)
        return r @ r / 2, J.T @ r, J.T @ J

    return jitad.vmap(equations)


def fit(equations, p, iterations):
    """Where every row of p ends, and its cost, by Levenberg and Marquardt."""
    damping = np.full(len(p), 1e-2)
    cost, gradient, normal = equations(p)
    cost[np.isnan(cost)] = np.inf
    for _ in range(iterations):
        damped = normal + np.eye(6) * 1e-12
        np.einsum("bii->bi", damped)[...] *= 1 + damping[:, None]
        # A start whose populations are beyond all numbers stays where it is.
        damped[~np.isfinite(damped).all(axis=(1, 2))] = np.eye(6)
        step = np.linalg.solve(damped, gradient[..., None])[..., 0]
        trial = p - np.clip(step, -1, 1)
        found = equations(trial)
        better = found[0] < cost
        damping = np.where(better, damping / 4, np.minimum(damping * 4, 1e12))
        p = np.where(better[:, None], trial, p)
        for held, new in zip((cost, gradient, normal), found, strict=True):
            held[better] = new[better]
    return p, cost


def minima(p, cost, count):
    """The rows of p where most end, best first, and how many end at each."""
    _, rows, ends = np.unique(cost.round(2), return_index=True, return_counts=True)
    most = np.sort(np.argsort(-ends, kind="stable")[:count])
    return p[rows[most]], cost[rows[most]], ends[most]


def draw_years(panels, fits, costs):
    """The pelts, and what the equations say of every year and between."""
    span = 1 / 16
    between = jitad.vmap(lambda p: populations(p, span=span))
    curves = np.exp(between(fits))
    times = YEARS[0] + span * np.arange(curves.shape[1])
    for k, (panel, name) in enumerate(zip(panels, ("hares", "lynxes"), strict=True)):
        for style, curve, cost in zip(STYLES, curves, costs, strict=False):
            label = f"minimum, {cost:.2f}"
            panel.plot(times, curve[:, k], label=label, **style)
        panel.plot(YEARS, PELTS[:, k], "o", color="C3", label="pelts")
        panel.set(ylabel=f"{name} / 1000", yscale="log")
        panel.yaxis.set_major_formatter("{x:.0f}")
        panel.yaxis.set_minor_formatter("")
        panel.set_yticks([5, 10, 20, 40, 80])
        panel.grid(alpha=0.3)
    panels[0].legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1))
    panels[0].tick_params(labelbottom=False)
    panels[1].set(xlabel="year", xticks=YEARS[::4])


def draw_ends(panel, starts, ends, costs):
    """Where the starts are, and where they end: the best above the others."""
    low, high = 0.02, 20
    order = np.argsort(-costs)
    begin, end = (
        np.clip(np.exp(p[order][:, [0, 2]].T), low, high) for p in (starts, ends)
    )
    panel.plot(*begin, ".", color="0.8", markersize=2, label="starts", zorder=1)
    shown = panel.scatter(*end, 25, np.minimum(costs[order], 12), cmap="viridis")
    panel.plot(*PUBLISHED[[0, 2]], "+", color="C3", markersize=18, label="published")
    panel.legend(loc="lower left", markerscale=1)
    panel.figure.colorbar(shown, label="half the sum of squares (12: or more)")
    panel.set(xscale="log", yscale="log", xlim=(0.016, 25))
    panel.set(xlabel="α: births of hares / year (0.02: or less)")
    panel.set(ylabel="γ: deaths of lynxes / year")
    panel.set(title=f"{len(starts):,} starts and where they end")


def draw(starts, ends, costs):
    """Data and fits at the left, the starts and their ends at the right."""
    figure = plt.figure(figsize=(13, 6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.1, 1))
    best, values, _ = minima(ends, costs, len(STYLES))
    draw_years(left.subplots(2, 1), best, values)
    draw_ends(right.subplots(), starts, ends, costs)
    file = Path("lynx_hare.png").resolve()
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return file


def main(count=10_000):
    """Fit from so many starts with one integrator, end with the other, and draw."""
    starts = TYPICAL + np.random.default_rng(0).normal(size=(count, TYPICAL.size))
    ends, costs = fit(normal_equations(runge_kutta), starts, 40)
    again, costs_again = fit(normal_equations(dormand_prince), ends, 5)
    print(f"{count:,} starts; minima in which most of them end:\n")
    print("½ Σr²    ends  " + "".join(f"{name:>9}" for name in NAMES))
    for p, cost, number in zip(*minima(ends, costs, len(STYLES)), strict=True):
        print(f"{cost:5.2f}{number:8,}  " + "".join(f"{x:9.4f}" for x in np.exp(p)))
    best, other = ends[np.argmin(costs)], again[np.argmin(costs_again)]
    away = np.abs(np.exp(other - best) - 1).max()
    print(f"\nSteps chosen by the tolerance move the best one by {away:.0e} of itself.")
    print(draw(starts, ends, costs))
    return (ends, costs), (again, costs_again)


if __name__ == "__main__":
    main()
