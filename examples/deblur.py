"""Sharpen a photograph that was shaken: 262,144 unknown pixels, found by L-BFGS.

The photograph comes with matplotlib.  It is blurred along a line, as by a camera that
moves, and made noisy.  What is minimised is the misfit to it and the total variation of
the sharp picture (L. I. Rudin, S. Osher and E. Fatemi, Physica D 60, 259, 1992), which
keeps edges; SciPy's L-BFGS-B takes `jitad.value_and_grad` of that, written with slices.
"""

import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import cbook
from scipy.optimize import minimize

import jitad

LENGTH = 15  # pixels that the camera moved to the right, and half as many down
NOISE = 0.01  # of a picture whose pixels are between 0 and 1
WEIGHT = 1e-3  # of the total variation
ROUND = 1e-3  # steps far below this are as smooth as they look


def photograph(size):
    """The middle of a portrait of Grace Hopper, in shades of grey."""
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        grey = plt.imread(file, format="jpg").mean(axis=-1) / 255
    rows, columns = ((n - size) // 2 for n in grey.shape)
    return grey[max(rows, 0) :, max(columns, 0) :][:size, :size]


def shaken(u):
    """What the camera sees of u: of every pixel the mean along its way."""
    rows, columns = u.shape[0] - LENGTH // 2, u.shape[1] - LENGTH + 1
    total = 0.0
    for k in range(LENGTH):
        total = total + u[k // 2 : k // 2 + rows, k : k + columns]
    return total / LENGTH


def loss(u, seen):
    """The misfit of a picture to what was seen, and its total variation."""
    across, down = np.diff(u, axis=1)[:-1], np.diff(u, axis=0)[:, :-1]
    variation = np.sum(np.sqrt(across**2 + down**2 + ROUND**2))
    return 0.5 * np.sum((shaken(u) - seen) ** 2) + WEIGHT * variation


def decibels(u, truth):
    """How far noise and blur are below the range of a picture (PSNR)."""
    return -10 * np.log10(np.mean((u - truth) ** 2))


def sharpen(seen, steps):
    """The sharp picture, and the losses on the way; prints what it takes."""
    shape = seen.shape[0] + LENGTH // 2, seen.shape[1] + LENGTH - 1
    slopes = jitad.value_and_grad(loss)
    start = np.full(shape, seen.mean())
    begin = time.perf_counter()
    slopes(start, seen)
    print(f"first gradient after {time.perf_counter() - begin:.2f} s")
    seconds, losses = [], []

    def value_and_gradient(x):
        begin = time.perf_counter()
        value, slope = slopes(x.reshape(shape), seen)
        seconds.append(time.perf_counter() - begin)
        return float(value), slope.ravel()

    def note(intermediate_result):
        losses.append(intermediate_result.fun)

    found = minimize(
        value_and_gradient, start.ravel(), jac=True, method="L-BFGS-B", callback=note,
        options={"maxiter": steps, "maxfun": 2 * steps, "maxcor": 20},
    )  # fmt: skip
    each = 1e3 * np.median(seconds)
    print(f"{found.nit} steps of L-BFGS-B, {start.size:,} pixels")
    print(f"value and gradient: {len(seconds)} times, {each:.1f} ms each")
    return found.x.reshape(shape), np.array(losses)


def draw(seen, found, truth, losses):
    """What was seen, what was found, what was there; and the losses."""
    figure = plt.figure(figsize=(14, 4.2), layout="constrained")
    panels = figure.subplots(1, 4)
    middle = slice(LENGTH // 4, LENGTH // 4 + seen.shape[0])
    inner = slice(LENGTH // 2, LENGTH // 2 + seen.shape[1])
    there = truth[middle, inner]
    pictures = {
        f"Seen: {decibels(seen, there):.1f} dB": seen,
        f"Found: {decibels(found[middle, inner], there):.1f} dB": found[middle, inner],
        "There": there,
    }
    for axes, (title, picture) in zip(panels, pictures.items(), strict=False):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axes.set(title=title, xticks=[], yticks=[])
    panels[-1].loglog(np.arange(1, len(losses) + 1), losses)
    panels[-1].set(xlabel="step", title="Misfit and variation")
    panels[-1].grid(alpha=0.3)
    file = Path("deblur.png").resolve()
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return file


def main(size=512, steps=150):
    """Shake, sharpen, draw: what was seen, found and there, and the losses."""
    truth = photograph(size)
    seen = shaken(truth)
    seen = seen + NOISE * np.random.default_rng(0).normal(size=seen.shape)
    found, losses = sharpen(seen, steps)
    print(f"found against there: {decibels(found, truth):.1f} dB")
    print(draw(seen, found, truth, losses))
    return seen, found, truth, losses


if __name__ == "__main__":
    main()
