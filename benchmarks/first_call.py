"""What the first call costs in a fresh process, packages imported and nothing cached.

From NumPy inputs to the first result, compilation and start of threads included: what
someone waits for who runs a script once.
"""

from __future__ import annotations

import importlib
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks import child
from benchmarks.bundle_adjustment import point_work, rows_work
from benchmarks.harness import Participant, Result, UnavailableError, start
from benchmarks.speed import Row, fastest, ratio, verdict
from benchmarks.start import Line
from benchmarks.table import Table, quantity, three_digits
from benchmarks.work import Setting, Target, Work

WORKS: dict[str, Callable[[Setting], Work]] = {
    "first-call": rows_work,
    "first-call-point": point_work,
}
# the ways that the speed rows found fastest, one for each tool
CHOSEN = {
    "jitad": "jitad",
    "jax": "JAX jacrev",
    "torch": "PyTorch compiled",
    "drjit": "Dr.Jit",
    "casadi": "CasADi, C code",
    "autograd": "autograd",
    "native": "C by hand",
}


def in_child(name: str, tool: str, start_of_name: str, quick: bool) -> dict:
    """Seconds of one participant's first call, in this fresh process."""
    setting = Setting(quick=quick)
    work = WORKS[name](setting)
    reference = work.reference(work)
    module = importlib.import_module(f"benchmarks.participants.with_{tool}")
    listed = module.participants(work, setting)
    participant = next(p for p in listed if p.name.startswith(start_of_name))
    assert isinstance(participant, Participant)
    result, runner = start(participant, work, reference)
    if runner is None:
        raise UnavailableError(result.note)
    return {"name": participant.name, "seconds": result.first}


def once(name: str, tool: str, setting: Setting, home: str | None = None) -> dict:
    """One first call in a fresh process: its seconds, and the participant's name.

    home  with what an earlier process kept there; default: an empty one
    """
    arguments = {
        "name": name,
        "tool": tool,
        "start_of_name": CHOSEN[tool],
        "quick": setting.quick,
    }
    target = "benchmarks.first_call:in_child"
    return child.call(target, arguments, setting, home=home)


def second_process(name: str, setting: Setting) -> tuple[str, float]:
    """The median of first calls in a second process, over those in the first."""
    turns = []
    for _ in range(1 if setting.quick else 5):
        with tempfile.TemporaryDirectory() as home:
            both = [once(name, "jitad", setting, home)["seconds"] for _ in range(2)]
            turns.append(both)
    first, second = (statistics.median(times) for times in zip(*turns, strict=True))
    return f"{quantity(second)} : {quantity(first)}", second / first


def beside_jax(name: str, setting: Setting) -> tuple[str, float]:
    """The median of several first calls in turns, over JAX's."""
    turns = [
        (once(name, "jitad", setting)["seconds"], once(name, "jax", setting)["seconds"])
        for _ in range(1 if setting.quick else 5)
    ]
    own, jax = (statistics.median(times) for times in zip(*turns, strict=True))
    return f"{quantity(own)} : {quantity(jax)}", own / jax


def table(name: str, setting: Setting) -> Table:
    """The median of several processes, for each tool."""
    results = []
    for tool in CHOSEN:
        if not setting.takes(tool):
            continue
        times = []
        note, full_name = "", tool
        for _ in range(1 if setting.quick else 3):
            try:
                measured = once(name, tool, setting)
            except UnavailableError as reason:
                note = f"not available: {reason}"
                break
            full_name = measured["name"]
            times.append(measured["seconds"])
        median = statistics.median(times) if times else None
        results.append(Result(full_name, median=median, note=note))
    work = WORKS[name](setting)
    size = f"{work.points:,} points" if work.batched else "one point"
    title = f"{name}: bundle adjustment, first call in a fresh process, {size}"
    note = verdict(Target("jitad", None, most=0.15), results)
    return beside_jitad(title, results, fastest(results, "jitad"), note)


def beside_jitad(
    title: str, results: Sequence[Result], jitad: float | None, note: str
) -> Table:
    """Everyone's first call, and how many times jitad's it takes."""
    lines = [
        (r.name, quantity(r.median), three_digits(ratio(r.median, jitad)))
        if r.median is not None
        else (r.name, r.note)
        for r in results
    ]
    headers = ("participant", "first call", "÷ jitad")
    return Table(title, headers, tuple(lines), (note,))


_SIZES = (("first-call", "2^18 points"), ("first-call-point", "one point"))
START = (
    *(
        Line(f"first call, {size}", "JAX's", 0.1, partial(beside_jax, name))
        for name, size in _SIZES
    ),
    *(
        Line(
            f"in a second process, {size}",
            "in the first",
            0.5,
            partial(second_process, name),
        )
        for name, size in _SIZES
    ),
)

ROWS = (
    Row(
        "first-call",
        "bundle adjustment in rows, first call in a fresh process after import",
        partial(table, "first-call"),
    ),
    Row(
        "first-call-point",
        "bundle adjustment at one point, first call in a fresh process after import",
        partial(table, "first-call-point"),
    ),
)
