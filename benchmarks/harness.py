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

TOOLS = {
    "cpu": ("jitad", "jax", "torch", "drjit", "casadi", "autograd", "native", "numpy"),
    "cuda": ("jitad", "jax", "torch", "native", "copy"),
}
# Where they are, in `benchmarks.participants`.
_MODULES = {"cpu": "with", "cuda": "on_card"}
# Seconds that a loop of calls takes at least, where one call is shorter: on a card they
# are waited for once, at its end.
_LEAST = {"cpu": 50e-6, "cuda": 10e-3}


class UnavailableError(Exception):
    """A participant that cannot run here; the message says why."""


@dataclass(frozen=True)
class Runner:
    """A prepared participant.

    ``call`` does the work; ``wait`` waits for the result of a call and all before it,
    where call has not; ``read`` gives it as NumPy arrays in the order and layout of
    ``Work.output_shapes``, or None if it has no outputs to be compared. ``leave`` gives
    back memory that is not in use, before the turn of another.
    """

    call: Callable[[], Any]
    read: Callable[[Any], Arrays | None]
    wait: Callable[[Any], Any] = lambda _: None
    leave: Callable[[], Any] = lambda: None


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
    for tool in TOOLS[setting.device]:
        if not setting.takes(tool):
            continue
        if tool in work.without:
            yield Result(tool, note=work.without[tool])
            continue
        try:
            name = f"benchmarks.participants.{_MODULES[setting.device]}_{tool}"
            module = importlib.import_module(name)
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
    begin, runner = time.perf_counter(), None
    try:
        runner = participant.prepare()
        runner.wait(runner.call())
        first = time.perf_counter() - begin
        outputs = runner.read(runner.call())
    except UnavailableError as reason:
        return Result(participant.name, note=f"not available: {reason}"), None
    except Exception as error:  # a competitor may fail in any way: say it and go on
        return Result(participant.name, note=failure(error)), None
    finally:
        if runner is not None:
            runner.leave()
    if outputs is not None:
        batch_axis = work.out_axis if work.batched else None
        error = compare(work.sample(outputs), reference, batch_axis)
        if not error <= work.tolerance:
            note = f"WRONG: error {error:.1e} relative, not timed"
            return Result(participant.name, first, note=note), None
    return Result(participant.name, first), runner


def failure(error: Exception) -> str:
    """The first line of an error, to stand in a table."""
    line = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"failed: {line[:90]}"


def time_in_turns(
    runners: dict[str, Runner], setting: Setting
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """The median of each turn's calls, in seconds, and why others have none.

    A turn is some calls in a row of one participant, after one call that is not
    counted; short calls are timed in loops. The slow get fewer rounds, but at least
    two.
    """
    quick, least = setting.quick, _LEAST[setting.device]
    rounds, turn_seconds, budget = (2, 0.01, 0.2) if quick else (9, 0.1, 12.0)
    medians: dict[str, list[float]] = {name: [] for name in runners}
    cost = dict.fromkeys(runners, 0.0)
    failed: dict[str, str] = {}

    def turn_of(name: str, runner: Runner) -> None:
        loop = max(1, min(2000, int(least / max(cost[name], 1e-9))))
        repeats = max(1, min(7, int(turn_seconds / (cost[name] * loop))))
        cost[name] = min(cost[name], time_calls(runner, loop))
        calls = [time_calls(runner, loop) for _ in range(repeats)]
        medians[name].append(statistics.median(calls))

    gc.collect()
    gc.disable()
    try:
        for turn in range(-1, rounds):
            for name, runner in runners.items():
                if name in failed:
                    continue
                if turn >= 2 and (turn + 1) * 2 * cost[name] > budget:
                    continue
                try:
                    if turn < 0:
                        cost[name] = time_calls(runner, 1)
                        continue
                    time.sleep(0.02)
                    turn_of(name, runner)
                except Exception as error:  # as of memory that others have by now
                    failed[name] = failure(error)
                finally:
                    runner.leave()
    finally:
        gc.enable()
    return medians, failed


def time_calls(runner: Runner, loop: int) -> float:
    """Seconds of one call, averaged over ``loop`` calls, which are waited for once."""
    begin, result = time.perf_counter(), None
    for _ in range(loop):
        result = runner.call()
    runner.wait(result)
    return (time.perf_counter() - begin) / loop


def measure(
    work: Work, setting: Setting, extra: Iterable[Participant] = ()
) -> list[Result]:
    """Check and time everyone on ``work``, in the order they are listed."""
    reference = work.reference(work.some())
    results: dict[str, Result] = {}
    runners: dict[str, Runner] = {}
    for entry in [*participants(work, setting), *extra]:
        if isinstance(entry, Result):
            results[entry.name] = entry
            continue
        results[entry.name], runner = start(entry, work, reference)
        if runner is not None:
            runners[entry.name] = runner
    medians, failed = time_in_turns(runners, setting)
    for name, turns in medians.items():
        if name in failed:
            results[name] = replace(results[name], note=failed[name])
            continue
        median = statistics.median(turns)
        results[name] = replace(results[name], median=median, best=min(turns))
    return list(results.values())
