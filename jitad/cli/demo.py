"""`jitad demo`: certified regressions, and a batched Jacobian beside a copy."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from jitad.api import jacobian, vmap
from jitad.backends.cpu.threads import get_threads
from jitad.demo import nist

_POINTS = 1 << 18
_REPETITIONS = 15
_GOOD_DIGITS = 6


def run(options: argparse.Namespace) -> int:
    """Fit, draw, measure."""
    print("Nonlinear regressions certified by NIST, from both of their starts:")
    print("scipy.optimize.least_squares(method='lm') with exact Jacobians by jitad.\n")
    begun = time.perf_counter()
    fits = []
    print("\n".join(_HEAD))
    for problem in nist.problems():
        for number, start in enumerate(problem.starts, 1):
            fits.append(nist.fit(problem, start))
            print(_row(fits[-1], number), flush=True)
    print()
    print("\n".join(_summary(fits, time.perf_counter() - begun)))
    if importlib.util.find_spec("matplotlib") is not None:
        figure = importlib.import_module("jitad.cli.figure")
        figure.save(fits, options.figure)
        print(f"Data and fits: {options.figure.resolve()}")
    else:
        print("Data and fits are drawn with matplotlib: pip install 'jitad[plot]'")
    print()
    print("\n".join(_bundle_adjustment()))
    return 0


# -- regressions ---------------------------------------------------------------

_HEAD = (
    "                 digits agreeing       residual sum          evalu-  milliseconds",
    "problem  start parameters deviations     of squares  mode    ations  compile  fit",
)


def _row(fit: nist.Fit, number: int) -> str:
    return (
        f"{fit.problem.name:<8}{number:>6}{fit.parameter_digits:>11.1f}"
        f"{fit.deviation_digits:>11.1f}{fit.residual:>15.8g}  {fit.mode:<7}"
        f"{fit.evaluations:>7}{1e3 * fit.compile:>9.0f}{1e3 * fit.seconds:>5.0f}"
    )


def _summary(fits: Sequence[nist.Fit], seconds: float) -> Iterator[str]:
    good = [fit for fit in fits if fit.parameter_digits >= _GOOD_DIGITS]
    yield (
        f"{len(good)} of {len(fits)} fits agree with all certified parameters to "
        f"{_GOOD_DIGITS} digits or more; {seconds:.1f} s."
    )
    lost = [fit.problem.name for fit in fits if fit not in good]
    if lost == ["BoxBOD"]:
        yield (
            "From BoxBOD's first start the search is led to where exp(-b2*x) is zero\n"
            "at all observations, and the derivative in b2 with it."
        )
    elif lost:
        yield f"Not so: {', '.join(lost)}."


# -- bundle adjustment ---------------------------------------------------------


def reprojection(camera: Any, point: Any, weight: Any, observed: Any) -> Any:
    """How far a camera sees a point from where it was observed, weighted.

    camera: rotation vector, centre, focal length, principal point, two coefficients of
    radial distortion; 11 numbers.
    """
    rotation, centre = camera[:3], camera[3:6]
    square = rotation @ rotation
    turns = square > 0
    angle = np.sqrt(np.where(turns, square, 1.0))
    axis, ray = rotation / angle, point - centre
    turned = ray * np.cos(angle) + np.cross(axis, ray) * np.sin(angle)
    turned = turned + axis * (axis @ ray) * (1 - np.cos(angle))
    seen = np.where(turns, turned, ray + np.cross(rotation, ray))
    image = seen[:2] / seen[2]
    radius = image @ image
    distortion = 1 + camera[9] * radius + camera[10] * radius**2
    return weight * (image * distortion * camera[6] + camera[7:9] - observed)


def observations(count: int) -> tuple[np.ndarray, ...]:
    """Random cameras, points in front of them, weights and observations, as rows."""
    rng = np.random.default_rng(0)
    camera = rng.normal(size=(count, 11))
    camera[:, :6] *= 0.2
    camera[:, 6] = 500 + 50 * camera[:, 6]
    camera[:, 9:] *= [0.05, 0.005]
    point = rng.normal(size=(count, 3)) + np.array([0, 0, 8])
    weight = rng.uniform(0.5, 1.5, count)
    return camera, point, weight, rng.normal(size=(count, 2)) * 50


def _bundle_adjustment() -> Iterator[str]:
    inputs = observations(_POINTS)
    function = vmap(jacobian(reprojection, argnums=(0, 1, 2)))
    begun = time.perf_counter()
    blocks = function(*inputs)
    first = time.perf_counter() - begun
    size = sum(a.nbytes for a in (*inputs, *blocks))
    source = np.ones(size // 16)
    target = np.ones_like(source)
    times = _alternating(
        lambda: function(*inputs, out=blocks), lambda: np.copyto(target, source)
    )
    mine, copy = map(min, times)
    columns = sum(int(np.prod(b.shape[2:])) for b in blocks)
    yield (
        f"Bundle adjustment: the 2×{columns} Jacobian of {_POINTS:,} reprojections, "
        f"{get_threads()} thread{'s' if get_threads() > 1 else ''}."
    )
    yield f"  jitad       {_rate(mine)}"
    yield f"  NumPy copy  {_rate(copy)}, of the same {size / 2**20:.0f} MiB"
    yield (
        f"{mine / copy:.2f} times the time of the copy, best of {_REPETITIONS} each; "
        f"the first call took {first:.2f} s."
    )


def _alternating(*calls: Callable[[], object]) -> list[list[float]]:
    """Seconds of every call, in turns, so that the machine's moods hit all alike."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(_REPETITIONS):
        for call, taken in zip(calls, times, strict=True):
            begun = time.perf_counter()
            call()
            taken.append(time.perf_counter() - begun)
    return times


def _rate(seconds: float) -> str:
    per_second, each = _POINTS / seconds / 1e6, 1e9 * seconds / _POINTS
    return f"{per_second:5.1f} million points per second ({each:.1f} ns each)"
