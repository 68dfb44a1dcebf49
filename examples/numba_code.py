"""Forces from an energy as it stands: a liquid whose energy is two Numba loops.

`energy` is written as people who use Numba write it: a loop over pairs, a periodic box,
a cutoff.  Nothing in it knows jitad.  `jitad.grad(energy)` reads its loops, so that
forces need not be derived by hand; they are compared with those that were.
`jitad.njit` makes them a function that other Numba code calls: the whole run of 10,000
steps is one `@njit` function.

The liquid is 108 atoms with the potential of Lennard and Jones, near its triple point,
which is at a temperature of about 0.7 (J.-P. Hansen and L. Verlet, Phys. Rev. 184, 151,
1969), in units of the potential's depth and width and of an atom's mass.  Energy and
force end at the cutoff smoothly, so that Verlet's integrator keeps the total energy.
"""

import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

import jitad

CELLS = 3  # of four atoms, along each edge of the box
DENSITY = 0.8442
TEMPERATURE = 1.5  # of the crystal: half of it goes into melting
CUTOFF = 2.5
STEP = 0.004


@njit
def energy(x, box):
    """The potential energy of atoms at x, of shape (n, 3), in a periodic box."""
    # value and slope of the potential at the cutoff
    end = 4.0 * (CUTOFF**-12 - CUTOFF**-6)
    slope = 4.0 * (-12.0 * CUTOFF**-13 + 6.0 * CUTOFF**-7)
    total = 0.0
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            r2 = 0.0
            for k in range(3):
                d = x[i, k] - x[j, k]
                d -= box * np.round(d / box)
                r2 += d * d
            if r2 >= CUTOFF * CUTOFF:
                continue
            s6 = 1.0 / (r2 * r2 * r2)
            total += 4.0 * (s6 * s6 - s6) - end - slope * (np.sqrt(r2) - CUTOFF)
    return total


@njit
def derived_by_hand(x, box):
    """The gradient of the energy, as one would write it without jitad."""
    slope = 4.0 * (-12.0 * CUTOFF**-13 + 6.0 * CUTOFF**-7)
    gradient = np.zeros_like(x)
    d = np.empty(3)
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            r2 = 0.0
            for k in range(3):
                d[k] = x[i, k] - x[j, k]
                d[k] -= box * np.round(d[k] / box)
                r2 += d[k] * d[k]
            if r2 >= CUTOFF * CUTOFF:
                continue
            s6 = 1.0 / (r2 * r2 * r2)
            per_d = -24.0 * (2.0 * s6 * s6 - s6) / r2 - slope / np.sqrt(r2)
            for k in range(3):
                gradient[i, k] += per_d * d[k]
                gradient[j, k] -= per_d * d[k]
    return gradient


def crystal():
    """Atoms on a face-centred cubic lattice, at rest together, and the box's edge."""
    box = CELLS * (4 / DENSITY) ** (1 / 3)
    corner = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2
    cells = np.stack(np.meshgrid(*3 * [np.arange(CELLS)], indexing="ij"), axis=-1)
    x = (cells.reshape(-1, 1, 3) + corner).reshape(-1, 3) * (box / CELLS)
    v = np.random.default_rng(0).normal(size=x.shape)
    v -= v.mean(axis=0)
    return x, v * np.sqrt(TEMPERATURE / np.mean(v * v)), box


def run(x, v, box, steps):
    """Verlet's integrator: positions at the end, and the two energies at every step."""
    slopes = jitad.njit(jitad.value_and_grad(energy), x, box)

    @njit
    def verlet(x, v):
        x, v = x.copy(), v.copy()
        energies = np.empty((steps, 2))
        _, gradient = slopes(x, box)
        for n in range(steps):
            v -= STEP / 2 * gradient
            x += STEP * v
            potential, gradient = slopes(x, box)
            v -= STEP / 2 * gradient
            energies[n] = potential, np.sum(v * v) / 2
        return x, energies

    return verlet(x, v)


def microseconds(function, *arguments):
    """The least time of some calls."""
    times = []
    for _ in range(30):
        begin = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - begin)
    return 1e6 * min(times)


def compare(x, box):
    """Print how far the forces are from those by hand, and what they take."""
    gradient = jitad.grad(energy)
    begin = time.perf_counter()
    found = gradient(x, box)
    first = time.perf_counter() - begin
    by_hand = derived_by_hand(x, box)
    apart = np.max(np.abs(found - by_hand)) / np.max(np.abs(by_hand))
    value = microseconds(energy, x, box)
    print(f"first forces after {first:.2f} s, {apart:.1e} from those by hand, relative")
    print(f"energy by Numba:          {value:4.0f} µs")
    ways = {"by hand, by Numba": derived_by_hand, "by jitad": gradient}
    for name, function in ways.items():
        took = microseconds(function, x, box)
        times = f"{took / value:.1f} times the energy"
        print(f"forces {name + ':':18} {took:4.0f} µs, {times}")
    return found, by_hand


def distances(x, box):
    """Of all pairs, to the nearest image."""
    d = (x[:, None] - x)[np.triu_indices(len(x), 1)]
    return np.linalg.norm(d - box * np.round(d / box), axis=1)


def draw(energies, x, box):
    """The energies of every step, what the total drifts, and how the liquid lies."""
    times, atoms = STEP * np.arange(1, len(energies) + 1), len(x)
    potential, kinetic = energies.T / atoms
    total = potential + kinetic
    figure = plt.figure(figsize=(13, 5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(3, 2))
    above, below = left.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    above.plot(times, kinetic, color="C1", label="kinetic", linewidth=0.8)
    above.plot(times, total, color="0.2", label="total")
    above.plot(times, potential, color="C0", label="potential", linewidth=0.8)
    above.set(ylabel="energy of an atom", title=f"{len(energies):,} steps of a liquid")
    above.legend(loc="center right")
    below.plot(times, total - total[0], color="0.2", linewidth=0.8)
    below.set(xlabel="time", ylabel="total - its first")
    for axes in (above, below):
        axes.grid(alpha=0.3)
    panel = right.subplots()
    edges = np.linspace(0, box / 2, 61)
    counts, _ = np.histogram(distances(x, box), edges)
    shells = 4 / 3 * np.pi * np.diff(edges**3) / box**3
    density = counts / (shells * atoms * (atoms - 1) / 2)
    panel.stairs(density, edges, fill=True, color="C0", alpha=0.6)
    panel.axhline(1, color="0.5", linestyle=":")
    title = "Neighbours in the last step"
    panel.set(xlabel="distance", ylabel="density around an atom ÷ mean", title=title)
    file = Path("numba_code.png").resolve()
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return file


def main(steps=10_000):
    """Compare forces, run, draw; forces in two ways, and the energies of all steps."""
    x, v, box = crystal()
    found, by_hand = compare(x + 0.05 * v, box)
    begin = time.perf_counter()
    x, energies = run(x, v, box, steps)
    took = time.perf_counter() - begin
    total = energies.sum(axis=1) / len(x)
    print(f"{steps:,} steps in {took:.1f} s, compiled in them")
    print(
        f"energy of an atom: {total[0]:.5f} at first, {total[-1]:.5f} at last, "
        f"never off by more than {np.max(np.abs(total - total[0])):.1e}"
    )
    late = energies[steps // 2 :, 1].mean() / len(x)
    print(f"temperature in the second half: {2 / 3 * late:.3f}")
    print(draw(energies, x, box))
    return found, by_hand, energies


if __name__ == "__main__":
    main()
