"""Time to compile a loop, by its length: the value and the gradient of a scan.

The loop of ``long_scan`` over eight lanes. What is measured is the first call less a
later one, in a fresh process whose compiler and threads are awake, so that running
10,000 steps does not count as compiling them. Rounding grows with the length: beyond,
no two tools' results would agree.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import child
from benchmarks.harness import UnavailableError, compare
from benchmarks.lockstep import control, lockstep
from benchmarks.long_scan import energy, scan_work, sweep
from benchmarks.speed import Row
from benchmarks.table import Table, quantity, three_digits
from benchmarks.work import Arrays, Setting

LENGTHS = (10, 100, 1_000, 10_000)
LANES = 8
# The most that the longest may take, as a multiple of the shortest: independent, within
# what one compilation differs from the next.
SPREAD = 1.3
LINES = {
    "jitad, value": ("jitad", "value"),
    "jitad, gradient": ("jitad", "gradient"),
    "JAX, value": ("jax", "value"),
    "JAX, gradient": ("jax", "gradient"),
}


def with_jitad(kind: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """vmap of the function or of its gradient."""
    jitad = importlib.import_module("jitad")
    return jitad.vmap(f if kind == "value" else jitad.grad(f))


def with_jax(kind: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """jit(vmap(…)) in double precision, waited for."""
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    compiled = jax.jit(jax.vmap(f if kind == "value" else jax.grad(f)))
    return lambda *args: jax.block_until_ready(compiled(*args))


def program(xp: Any, loops: Any, length: int) -> Callable[..., Any]:
    """The energy after so many steps."""
    return lambda parameters, start: energy(xp, loops, parameters, start, length)


def in_child(tool: str, kind: str, length: int) -> dict:
    """Seconds of the first call less the least of three later ones."""
    xp = np if tool == "jitad" else importlib.import_module("jax.numpy")
    transform = {"jitad": with_jitad, "jax": with_jax}[tool]
    inputs = tuple(x[:LANES] for x in scan_work(Setting(quick=True)).inputs)
    transform(kind, program(xp, control(xp), 7))(*inputs)
    call = transform(kind, program(xp, control(xp), length))
    first = seconds(call, inputs)
    later = min(seconds(call, inputs) for _ in range(3))
    expected = reference(kind, length, inputs)
    error = compare((np.asarray(call(*inputs)),), (expected,), 0)
    if not error <= 1e-8:  # rounding grows over 10,000 steps
        raise UnavailableError(f"WRONG: {error:.0e}")
    return {"seconds": max(first - later, 0.0)}


def reference(kind: str, length: int, inputs: Arrays) -> np.ndarray:
    """By NumPy's loop; the gradient by a sweep backwards, derived by hand."""
    parameters, start = (x.T for x in inputs)
    if kind == "value":
        return program(np, lockstep, length)(parameters, start)
    return sweep(parameters, start, length)[1].T


def seconds(call: Callable[..., Any], inputs: Arrays) -> float:
    """What one call takes."""
    begin = time.perf_counter()
    call(*inputs)
    return time.perf_counter() - begin


def compiling(tool: str, kind: str, length: int, setting: Setting) -> float:
    """The least of two processes, for one may meet a slow moment."""
    arguments = {"tool": tool, "kind": kind, "length": length}
    calls = [
        child.call("benchmarks.scan_length:in_child", arguments, setting)
        for _ in range(1 if setting.quick else 2)
    ]
    return min(call["seconds"] for call in calls)


def table(setting: Setting) -> Table:
    """A column for each length."""
    lengths = LENGTHS[:2] if setting.quick else LENGTHS
    lines, notes = [], []
    for name, (tool, kind) in LINES.items():
        if not setting.takes(tool):
            continue
        cells, measured = [], []
        for length in lengths:
            try:
                measured.append(compiling(tool, kind, length, setting))
            except UnavailableError as reason:
                cells.append(str(reason))
                continue
            cells.append(quantity(measured[-1]))
        lines.append((name, *cells) if measured else (name, cells[0]))
        if tool == "jitad":
            notes.append(verdict(name, measured, len(lengths)))
    headers = ("participant", *(f"{length:,}" for length in lengths))
    title = "scan-compile: time to compile a scan, by its length"
    return Table(title, headers, tuple(lines), tuple(notes))


def verdict(name: str, measured: list[float], wanted: int) -> str:
    """Whether the longest takes what the shortest takes."""
    bound = f"target {name}, longest ÷ shortest ≤ {SPREAD}"
    if len(measured) < wanted:
        return f"{bound}: not measured"
    found = measured[-1] / measured[0]
    return f"{bound}: {three_digits(found)}, {'met' if found <= SPREAD else 'MISSED'}"


ROWS = (Row("scan-compile", "time to compile a scan of 10 to 10,000 steps", table),)
