"""What ``import`` costs beyond NumPy, in fresh processes."""

from __future__ import annotations

import importlib
import statistics
import time

from benchmarks import child
from benchmarks.harness import Result, UnavailableError
from benchmarks.speed import Row, fastest, ratio, verdict
from benchmarks.start import Line
from benchmarks.table import Table, quantity, three_digits
from benchmarks.work import Setting, Target

MODULES = ("jitad", "numba", "jax", "torch", "drjit", "casadi", "autograd")


def in_child(module: str) -> dict:
    """Seconds to import ``module``, with NumPy imported before."""
    importlib.import_module("numpy")
    begin = time.perf_counter()
    importlib.import_module(module)
    return {"seconds": time.perf_counter() - begin}


def seconds(module: str, setting: Setting) -> float:
    """One import in a fresh process."""
    target = "benchmarks.import_time:in_child"
    return child.call(target, {"module": module}, setting)["seconds"]


def beside_numba(setting: Setting) -> tuple[str, float]:
    """The shortest of several imports in turns, over Numba's and 80 ms."""
    turns = [
        (seconds("jitad", setting), seconds("numba", setting))
        for _ in range(2 if setting.quick else 8)
    ]
    own, numba = (min(times) for times in zip(*turns, strict=True))
    return f"{quantity(own)} : {quantity(numba)} + 80 ms", own / (numba + 0.08)


def table(setting: Setting) -> Table:
    """The median of several processes, after one that fills the file cache."""
    results = []
    for module in MODULES:
        if module != "numba" and not setting.takes(module):
            continue
        note, times = "", []
        try:
            turns = range(2 if setting.quick else 8)
            times.extend(seconds(module, setting) for _ in turns)
        except UnavailableError as reason:
            note = str(reason)
        median = statistics.median(times[1:]) if len(times) > 1 else None
        results.append(Result(module, median=median, note=note))
    jitad = fastest(results, "jitad")
    lines = [
        (r.name, quantity(r.median), three_digits(ratio(r.median, jitad)))
        if r.median is not None
        else (r.name, r.note)
        for r in results
    ]
    notes = [verdict(Target("jitad", None, most=0.4), results)]
    title = "import: seconds beyond NumPy, in a fresh process"
    return Table(title, ("package", "import", "÷ jitad"), tuple(lines), tuple(notes))


START = (Line("import beyond NumPy", "Numba's + 80 ms", 1.0, beside_numba),)

ROWS = (Row("import", "import of each package beyond NumPy, fresh process", table),)
