"""Check and time: participants in, results out.

All participants of a row live in one process, compute the same outputs from the same
inputs, are checked against the reference to the tolerance of the Work (1e-10 where it
says nothing else), and are then timed in turns, so that a slow minute of the machine
meets everyone. A turn starts with a pause, in which the thread pool of whoever ran
before stops spinning.
"""

from __future__ import annotations

import gc
import importlib
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.work import Arrays, Setting, Work

TOOLS = ("jitad", "jax", "torch", "drjit", "casadi", "autograd", "native", "numpy")


class UnavailableError(Exception):
    """A participant that cannot run here; the message says why."""


@dataclass(frozen=True)
class Runner:
    """A prepared participant.

    ``call`` does the work and waits for it; ``read`` gives its result as NumPy arrays
    in the order and layout of ``Work.output_shapes``, or None if it has no outputs to
    be compared.
    """

    call: Callable[[], Any]
    read: Callable[[Any], Arrays | None]


@dataclass(frozen=True)
class Participant:
    """A name and the way to a ``Runner``.

    ``prepare`` does what one does after importing the tool and before the first call:
    building the transformed function, and handing the inputs over. It counts into the
    first call, and never into the timings.
    """

    name: str
    prepare: Callable[[], Runner]


@dataclass(frozen=True)
class Result:
    """Seconds, or None and a note that says why there are none.

    ``median`` and ``best`` are over the turns; ratios are of medians. Where the two
    differ much, something else was using the machine.
    """

    name: str
    first: float | None = None
    median: float | None = None
    best: float | None = None
    note: str = ""


def participants(work: Work, setting: Setting) -> Iterable[Participant | Result]:
    """Everyone who can do ``work``, and a ``Result`` for each who cannot."""
    for tool in TOOLS:
        if not setting.takes(tool):
            continue
        if tool in work.without:
            yield Result(tool, note=work.without[tool])
            continue
        try:
            module = importlib.import_module(f"benchmarks.participants.with_{tool}")
            yield from module.participants(work, setting)
        except UnavailableError as reason:
            yield Result(tool, note=f"not available: {reason}")
        except ImportError:
            yield Result(tool, note="not installed")
        except Exception as error:  # an installation that is broken
            yield Result(tool, note=failure(error))


def compare(outputs: Arrays, reference: Arrays, batch_axis: int | None) -> float:
    """The largest error, relative to the largest entry of its output at its point.

    NaN or a wrong shape gives infinity. Relative to the largest entry and not to each:
    an entry that is the rounding of a cancelled sum has no digits to agree on.
    """
    if len(outputs) != len(reference):
        return np.inf
    worst = 0.0
    for got, expected in zip(outputs, reference, strict=True):
        got = np.asarray(got)
        if got.shape != expected.shape or not np.all(np.isfinite(expected)):
            return np.inf
        axes = tuple(range(expected.ndim))
        if batch_axis is not None and expected.ndim:
            axes = tuple(a for a in axes if a != batch_axis % expected.ndim)
        scale = np.max(np.abs(expected), axis=axes, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            errors = np.abs(got - expected) / np.where(scale == 0, 1.0, scale)
        if errors.size:
            error = np.max(errors)
            worst = max(worst, np.inf if np.isnan(error) else float(error))
    return worst


def start(
    participant: Participant, work: Work, reference: Arrays
) -> tuple[Result, Runner | None]:
    """Prepare, call, call again, check. The runner is None if there is none to time.

    The second call's outputs are those compared: they show reused memory too.
    """
    begin = time.perf_counter()
    try:
        runner = participant.prepare()
        runner.call()
        first = time.perf_counter() - begin
        outputs = runner.read(runner.call())
    except UnavailableError as reason:
        return Result(participant.name, note=f"not available: {reason}"), None
    except Exception as error:  # a competitor may fail in any way: say it and go on
        return Result(participant.name, note=failure(error)), None
    if outputs is not None:
        batch_axis = work.out_axis if work.batched else None
        error = compare(outputs, reference, batch_axis)
        if not error <= work.tolerance:
            note = f"WRONG: error {error:.1e} relative, not timed"
            return Result(participant.name, first, note=note), None
    return Result(participant.name, first), runner


def failure(error: Exception) -> str:
    """The first line of an error, to stand in a table."""
    line = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"failed: {line[:90]}"


def time_in_turns(runners: dict[str, Runner], *, quick: bool) -> dict[str, list[float]]:
    """The median of each turn's calls, in seconds, for each participant.

    A turn is some calls in a row of one participant, after one call that is not
    counted; calls shorter than 50 µs are timed in loops. The slow get fewer rounds,
    but at least two.
    """
    rounds, turn_seconds, budget = (2, 0.01, 0.2) if quick else (9, 0.1, 12.0)
    medians: dict[str, list[float]] = {name: [] for name in runners}
    cost = {name: time_calls(r.call, 1) for name, r in runners.items()}
    gc.collect()
    gc.disable()
    try:
        for turn in range(rounds):
            for name, runner in runners.items():
                if turn >= 2 and (turn + 1) * 2 * cost[name] > budget:
                    continue
                time.sleep(0.02)
                loop = max(1, min(2000, int(50e-6 / max(cost[name], 1e-9))))
                repeats = max(1, min(7, int(turn_seconds / (cost[name] * loop))))
                cost[name] = min(cost[name], time_calls(runner.call, loop))
                calls = [time_calls(runner.call, loop) for _ in range(repeats)]
                medians[name].append(statistics.median(calls))
    finally:
        gc.enable()
    return medians


def time_calls(call: Callable[[], Any], loop: int) -> float:
    """Seconds of one call, averaged over ``loop`` calls."""
    begin = time.perf_counter()
    for _ in range(loop):
        call()
    return (time.perf_counter() - begin) / loop


def measure(
    work: Work, setting: Setting, extra: Iterable[Participant] = ()
) -> list[Result]:
    """Check and time everyone on ``work``, in the order they are listed."""
    reference = work.reference(work)
    results: dict[str, Result] = {}
    runners: dict[str, Runner] = {}
    for entry in [*participants(work, setting), *extra]:
        if isinstance(entry, Result):
            results[entry.name] = entry
            continue
        results[entry.name], runner = start(entry, work, reference)
        if runner is not None:
            runners[entry.name] = runner
    for name, turns in time_in_turns(runners, quick=setting.quick).items():
        median = statistics.median(turns)
        results[name] = replace(results[name], median=median, best=min(turns))
    return list(results.values())
