"""Stencils of NPBench (spcl/npbench, sizes M): value and gradients, beside JAX.

Results are summed with fixed weights.  jitad takes the loops as NumPy's users write
them, JAX the same step in `lax.scan`.  References are adjoints by hand in NumPy.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.speed import Row, speed_row
from benchmarks.work import Arrays, Setting, Target, Work

_OTHERS = {
    "drjit": "its arrays are batches of points",
    "casadi": "its graphs are of scalars",
    "autograd": "it cannot write to arrays",
}
_INNER = slice(1, -1)
Shift = tuple[int, ...]


def written(xp: Any, array: Any, index: Any, value: Any) -> Any:
    """The array with other elements at an index."""
    if xp is not np:
        return array.at[index].set(value)
    array = array.copy()
    array[index] = value
    return array


def repeated(
    xp: Any, step: Callable[..., Any], carried: Any, given: Sequence[Any] | Any
) -> Any:
    """What is carried on by a step for all that is given."""
    if xp is not np:
        scan = importlib.import_module("jax").lax.scan
        return scan(lambda c, x: (step(c, x), None), carried, xp.asarray(given))[0]
    for x in given:
        carried = step(carried, x)
    return carried


def weighted(xp: Any, weights: Sequence[Any], results: Sequence[Any]) -> Any:
    """The weighted sum of results."""
    return sum(xp.sum(w * x) for w, x in zip(weights, results, strict=True))


def moved(x: Any, shift: Shift) -> Any:
    """The inside of an array, moved by at most one along each axis."""
    pairs = zip(shift, x.shape, strict=True)
    return x[tuple([slice(1 + s, n - 1 + s) for s, n in pairs])]


def crosses(rank: int) -> list[Shift]:
    """One to either side along each axis."""
    return [
        tuple([side * (k == axis) for k in range(rank)])
        for axis, side in itertools.product(range(rank), (1, -1))
    ]


def averaged(x: Any, centre: float, beside: float) -> Any:
    """A stencil of weights of the centre and what is beside it."""
    around = sum(moved(x, shift) for shift in crosses(x.ndim))
    return centre * moved(x, (0,) * x.ndim) + beside * around


def averages(
    xp: Any, a: Any, b: Any, *weights: Any, steps: int, centre: float, beside: float
) -> Any:
    """jacobi_2d and heat_3d: from a to b, and back, again and again."""
    stencil = partial(averaged, centre=centre, beside=beside)
    inside = (_INNER,) * a.ndim

    def step(carried: Any, _: Any) -> Any:
        a, b = carried
        b = written(xp, b, inside, stencil(a))
        return written(xp, a, inside, stencil(b)), b

    return weighted(xp, weights, repeated(xp, step, (a, b), np.arange(steps)))


def averages_gradients(work: Work, steps: int, centre: float, beside: float) -> Arrays:
    """By hand."""
    a, b, *weights = work.inputs
    value = averages(np, a, b, *weights, steps=steps, centre=centre, beside=beside)
    bars = [w.copy() for w in weights]
    inside = (_INNER,) * a.ndim
    for _, (to, source) in itertools.product(range(steps), ((0, 1), (1, 0))):
        part = bars[to][inside].copy()
        bars[to][inside] = 0
        moved(bars[source], (0,) * a.ndim)[...] += centre * part
        for shift in crosses(a.ndim):
            moved(bars[source], shift)[...] += beside * part
    return np.asarray(value), *bars


def fields(xp: Any, ex: Any, ey: Any, hz: Any, pulse: Any, *weights: Any) -> Any:
    """fdtd_2d: Maxwell's equations in two dimensions, leapfrog."""

    def step(carried: Any, at: Any) -> Any:
        ex, ey, hz = carried
        ey = written(xp, ey, 0, at)
        ey = written(xp, ey, slice(1, None), ey[1:] - 0.5 * (hz[1:] - hz[:-1]))
        right = (slice(None), slice(1, None))
        ex = written(xp, ex, right, ex[right] - 0.5 * (hz[:, 1:] - hz[:, :-1]))
        low = (slice(-1), slice(-1))
        curl = ex[:-1, 1:] - ex[:-1, :-1] + ey[1:, :-1] - ey[:-1, :-1]
        return ex, ey, written(xp, hz, low, hz[low] - 0.7 * curl)

    return weighted(xp, weights, repeated(xp, step, (ex, ey, hz), pulse))


def fields_gradients(work: Work) -> Arrays:
    """By hand."""
    *given, weights_x, weights_y, weights_z = work.inputs
    value = fields(np, *work.inputs)
    ex, ey, hz = weights_x.copy(), weights_y.copy(), weights_z.copy()
    pulse = np.zeros_like(given[3])
    for t in reversed(range(len(pulse))):
        curl = -0.7 * hz[:-1, :-1]
        ex[:-1, 1:] += curl
        ex[:-1, :-1] -= curl
        ey[1:, :-1] += curl
        ey[:-1, :-1] -= curl
        slope = -0.5 * ex[:, 1:]
        hz[:, 1:] += slope
        hz[:, :-1] -= slope
        slope = -0.5 * ey[1:]
        hz[1:] += slope
        hz[:-1] -= slope
        pulse[t] = np.sum(ey[0])
        ey[0] = 0
    return np.asarray(value), ex, ey, hz, pulse


def limited(xp: Any, field: Any, coefficient: Any, weights: Any) -> Any:
    """hdiff: horizontal diffusion of a weather model, with limited fluxes."""
    lap = 4.0 * field[1:-1, 1:-1] - (
        field[2:, 1:-1] + field[:-2, 1:-1] + field[1:-1, 2:] + field[1:-1, :-2]
    )
    step = lap[1:, 1:-1] - lap[:-1, 1:-1]
    rise = field[2:-1, 2:-2] - field[1:-2, 2:-2]
    x = xp.where(step * rise > 0, 0.0, step)
    step = lap[1:-1, 1:] - lap[1:-1, :-1]
    rise = field[2:-2, 2:-1] - field[2:-2, 1:-2]
    y = xp.where(step * rise > 0, 0.0, step)
    flux = x[1:] - x[:-1] + y[:, 1:] - y[:, :-1]
    return weighted(xp, (weights,), (field[2:-2, 2:-2] - coefficient * flux,))


def limited_gradients(work: Work) -> Arrays:
    """By hand."""
    field, coefficient, weights = work.inputs
    lap = 4.0 * field[1:-1, 1:-1] - (
        field[2:, 1:-1] + field[:-2, 1:-1] + field[1:-1, 2:] + field[1:-1, :-2]
    )
    down = lap[1:, 1:-1] - lap[:-1, 1:-1]
    open_x = down * (field[2:-1, 2:-2] - field[1:-2, 2:-2]) <= 0
    across = lap[1:-1, 1:] - lap[1:-1, :-1]
    open_y = across * (field[2:-2, 2:-1] - field[2:-2, 1:-2]) <= 0
    x, y = down * open_x, across * open_y
    flux = x[1:] - x[:-1] + y[:, 1:] - y[:, :-1]
    value = np.sum(weights * (field[2:-2, 2:-2] - coefficient * flux))
    bar, part = np.zeros_like(field), -coefficient * weights
    bar[2:-2, 2:-2] = weights
    bar_x, bar_y, bar_lap = np.zeros_like(x), np.zeros_like(y), np.zeros_like(lap)
    bar_x[1:] += part
    bar_x[:-1] -= part
    bar_y[:, 1:] += part
    bar_y[:, :-1] -= part
    bar_x, bar_y = bar_x * open_x, bar_y * open_y
    bar_lap[1:, 1:-1] += bar_x
    bar_lap[:-1, 1:-1] -= bar_x
    bar_lap[1:-1, 1:] += bar_y
    bar_lap[1:-1, :-1] -= bar_y
    bar[1:-1, 1:-1] += 4 * bar_lap
    bar[2:, 1:-1] -= bar_lap
    bar[:-2, 1:-1] -= bar_lap
    bar[1:-1, 2:] -= bar_lap
    bar[1:-1, :-2] -= bar_lap
    return np.asarray(value), bar, -flux * weights


def averages_work(
    name: str, shape: tuple[int, ...], steps: int, centre: float, beside: float
) -> Work:
    """One of a size, from a to b and back so many times."""
    numbers = {"steps": steps, "centre": centre, "beside": beside}
    title = f"{name} of {'×'.join(map(str, shape))}, {steps} times there and back"
    function = partial(averages, **numbers)
    reference = partial(averages_gradients, **numbers)
    return _work(name.replace("_", "-"), title, function, [shape] * 4, reference, 2)


def jacobi_work(setting: Setting) -> Work:
    """jacobi_2d of 350×350, 79 times there and back, value and gradients"""
    shape, steps = ((12, 12), 4) if setting.quick else ((350, 350), 79)
    return averages_work("jacobi_2d", shape, steps, 0.2, 0.2)


def heat_work(setting: Setting) -> Work:
    """heat_3d of 40×40×40, 49 times there and back, value and gradients"""
    shape, steps = ((7, 7, 7), 3) if setting.quick else ((40, 40, 40), 49)
    return averages_work("heat_3d", shape, steps, 0.25, 0.125)


def fields_work(setting: Setting) -> Work:
    """fdtd_2d of 400×450, 60 steps, value and gradients"""
    shape, steps = ((9, 10), 5) if setting.quick else ((400, 450), 60)
    shapes = [shape, shape, shape, (steps,), shape, shape, shape]
    title = f"fdtd_2d of {shape[0]}×{shape[1]}, {steps} steps"
    return _work("fdtd-2d", title, fields, shapes, fields_gradients, 4)


def limited_work(setting: Setting) -> Work:
    """hdiff of 128×128×160, value and gradients"""
    i, j, k = (8, 9, 5) if setting.quick else (128, 128, 160)
    shapes = [(i + 4, j + 4, k), (i, j, k), (i, j, k)]
    return _work(
        "hdiff", f"hdiff of {i}×{j}×{k}", limited, shapes, limited_gradients, 2
    )


def _work(
    name: str,
    title: str,
    function: Any,
    shapes: Sequence[tuple[int, ...]],
    reference: Any,
    wanted: int,
) -> Work:
    """Of some shapes, gradients in the first arguments; the others are weights."""
    rng = np.random.default_rng(0)
    return Work(
        name=name, title=f"{title}, value and gradients", function=function,
        inputs=tuple([rng.uniform(size=s) for s in shapes]), derivative="gradient",
        reference=reference, argnums=tuple(range(wanted)), batched=False,
        copies=False, without=_OTHERS, targets=(Target("JAX", "jitad", least=2),),
    )  # fmt: skip


ROWS: tuple[Row, ...] = (
    speed_row("jacobi-2d", jacobi_work),
    speed_row("heat-3d", heat_work),
    speed_row("fdtd-2d", fields_work),
    speed_row("hdiff", limited_work),
)
