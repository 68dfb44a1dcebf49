"""A field of gradients, and fifty descents through it at once.

f(a, b) = b·((a + b)·(a − b)) is written for one point; `jitad.vmap(jitad.grad(f))`
takes as many points as it is given.  So each step of all fifty descents is one call,
and so are all the arrows.

f has no minimum: it falls without bound along three valleys, and is flat in the
middle.  A descent therefore ends at the border of the square that is drawn.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import jitad

BORDER = 1.5


def f(point):
    """A saddle with three valleys."""
    a, b = point
    return b * ((a + b) * (a - b))


slopes = jitad.vmap(jitad.grad(f))


def descend(points, steps, rate):
    """Paths of shape (steps + 1, points, 2), all moved by one call per step."""
    paths = [points]
    for _ in range(steps):
        inside = np.all(np.abs(points) < BORDER, axis=1, keepdims=True)
        moved = points - rate * slopes(points)
        points = np.where(inside, np.clip(moved, -BORDER, BORDER), points)
        paths.append(points)
    return np.stack(paths)


def draw(paths):
    """Contours of f, arrows downhill, and the paths."""
    figure, axes = plt.subplots(figsize=(7.5, 6.2), layout="constrained")
    side = np.linspace(-BORDER, BORDER, 101)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    heights = jitad.vmap(f)(grid.reshape(-1, 2)).reshape(101, 101)
    levels = np.linspace(-3.5, 3.5, 29)
    filled = axes.contourf(side, side, heights, levels, cmap="RdBu_r", alpha=0.75)
    figure.colorbar(filled, label="f(a, b)", ticks=np.arange(-3, 4))
    at = grid[5::10, 5::10].reshape(-1, 2)
    downhill = -slopes(at)
    length = np.linalg.norm(downhill, axis=1, keepdims=True)
    arrows = downhill / np.sqrt(length)
    axes.quiver(*at.T, *arrows.T, color="0.35", width=0.003, scale=30)
    axes.plot(*np.moveaxis(paths, -1, 0), color="black", linewidth=0.9)
    axes.plot(*paths[0].T, "o", color="white", markeredgecolor="black", markersize=5)
    axes.plot(
        *paths[-1].T,
        "s",
        color="gold",
        markeredgecolor="black",
        clip_on=False,
        zorder=9,
    )
    axes.plot([], [], "o-", color="black", markerfacecolor="white", label="start")
    axes.plot([], [], "s-", color="black", markerfacecolor="gold", label="end")
    axes.set(xlabel="a", ylabel="b")
    axes.set_title("Descents of b·((a + b)·(a − b))", pad=12)
    axes.set(xlim=(-BORDER, BORDER), ylim=(-BORDER, BORDER), aspect="equal")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    file = Path("descent_field.png").resolve()
    figure.savefig(file, dpi=120)
    plt.close(figure)
    return file


def main(count=50, steps=600, rate=0.02):
    """Descend from random starts, print where they end, draw; returns the paths."""
    starts = np.random.default_rng(0).uniform(-1, 1, size=(count, 2))
    paths = descend(starts, steps, rate)
    ended = np.any(np.abs(paths[-1]) == BORDER, axis=1)
    heights = jitad.vmap(f)(paths[-1])
    print(f"{count} descents, {steps} steps, one gradient call per step")
    print(f"at the border: {ended.sum()}, still under way: {count - ended.sum()}")
    print(f"f at their ends: {heights.min():.3f} to {heights.max():.3f}")
    print(draw(paths))
    return paths


if __name__ == "__main__":
    main()
