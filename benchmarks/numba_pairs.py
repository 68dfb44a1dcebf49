"""Numba code as it stands: the gradient of an energy in two loops over pairs.

`energy` is what people write in Numba. Its gradient by jitad, which reads the loops, is
compared with one derived by hand and compiled by Numba, and timed beside it and
beside the energy itself, on one thread, each number of particles in a fresh process.
"""

from __future__ import annotations

import importlib
import math
import statistics
import time
from functools import partial
from typing import Any

import numpy as np

from benchmarks import child
from benchmarks.harness import Runner, UnavailableError, compare, time_in_turns
from benchmarks.speed import Row
from benchmarks.table import Table, quantity, three_digits
from benchmarks.work import TOLERANCE, Setting

PARTICLES = (60, 200, 2_000)
FIRST, WARM = 0.5, 3.0  # seconds; times Numba's energy, of the most particles
HEADERS = ("particles", "first gradient", "gradient", "by hand", "energy", "÷ energy")


def energy(x: Any) -> Any:
    """Of Lennard and Jones, of particles at x of shape (n, 3)."""
    total = 0.0
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            a, b, c = x[i, 0] - x[j, 0], x[i, 1] - x[j, 1], x[i, 2] - x[j, 2]
            r2 = a * a + b * b + c * c
            s = 1.0 / (r2 * r2 * r2)
            total += 4.0 * (s * s - s)
    return total


def by_hand(x: Any) -> Any:
    """The gradient of the energy."""
    found = np.zeros_like(x)
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            a, b, c = x[i, 0] - x[j, 0], x[i, 1] - x[j, 1], x[i, 2] - x[j, 2]
            r2 = a * a + b * b + c * c
            s = 1.0 / (r2 * r2 * r2)
            slope = -24.0 * (2.0 * s * s - s) / r2
            found[i, 0] += slope * a
            found[i, 1] += slope * b
            found[i, 2] += slope * c
            found[j, 0] -= slope * a
            found[j, 1] -= slope * b
            found[j, 2] -= slope * c
    return found


def particles(count: int) -> np.ndarray:
    """Places beside those of a cubic lattice, not too near each other."""
    edge = math.ceil(count ** (1 / 3) - 1e-9)
    corners = np.stack(np.meshgrid(*3 * [np.arange(edge)], indexing="ij"), axis=-1)
    places = 1.2 * corners.reshape(-1, 3)[:count]
    return places + 0.05 * np.random.default_rng(0).normal(size=places.shape)


def in_child(count: int, quick: bool) -> dict:
    """Seconds of the first gradient, and of each way later, in turns."""
    jitad, numba = map(importlib.import_module, ("jitad", "numba"))
    x, value, slopes = particles(count), numba.njit(energy), numba.njit(by_hand)
    value(x), slopes(x)
    jitad.grad(lambda x: x @ x)(np.ones(3))  # the compiler is awake
    gradient = jitad.grad(value)
    with jitad.threads(1):
        begin = time.perf_counter()
        gradient(x)
        first = time.perf_counter() - begin
        error = compare((gradient(x),), (slopes(x),), None)
        if not error <= TOLERANCE:
            raise UnavailableError(f"WRONG: error {error:.1e} relative, not timed")
        ways = {"gradient": gradient, "by hand": slopes, "energy": value}
        runners = {
            k: Runner(partial(way, x), lambda y: (y,)) for k, way in ways.items()
        }
        turns, failed = time_in_turns(runners, Setting(quick))
    if failed:
        raise UnavailableError(next(iter(failed.values())))
    return {"first": first} | {k: statistics.median(t) for k, t in turns.items()}


def table(setting: Setting) -> Table:
    """A line for each number of particles."""
    counts = PARTICLES[:1] if setting.quick else PARTICLES
    lines, notes, ratio = [], [], math.inf
    for count in counts if setting.takes("jitad") else ():
        arguments = {"count": count, "quick": setting.quick}
        try:
            found = child.call("benchmarks.numba_pairs:in_child", arguments, setting)
        except UnavailableError as reason:
            lines.append((f"{count:,}", str(reason)))
            continue
        ratio = found["gradient"] / found["energy"]
        times = [found[k] for k in ("first", "gradient", "by hand", "energy")]
        lines.append((f"{count:,}", *map(quantity, times), three_digits(ratio)))
        met = "met" if found["first"] <= FIRST else "MISSED"
        notes.append(
            f"target first gradient of {count:,} ≤ {quantity(FIRST)}: "
            f"{quantity(found['first'])}, {met}"
        )
    if len(lines) == len(PARTICLES):
        met = "met" if ratio <= WARM else "MISSED"
        notes.append(
            f"target gradient ÷ energy, {counts[-1]:,} particles, ≤ {WARM:g}: "
            f"{three_digits(ratio)}, {met}"
        )
    title = "numba-pairs: gradient of an energy of pairs in Numba loops, one thread"
    return Table(title, HEADERS, tuple(lines), tuple(notes))


ROWS = (Row("numba-pairs", "gradient of an energy of pairs in Numba loops", table),)
