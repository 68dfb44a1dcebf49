"""A long loop backwards: the gradient through a scan of 1,000 steps, and its memory.

Eight values in a ring, each driven by the sine of its neighbour, and damped; the
gradient of the sum of their squares at the end in 20 parameters. Reverse mode must come
by the 8,000 values that every lane had on its way, again or still; the memory row shows
how much room that takes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.lockstep import control, lockstep
from benchmarks.memory import growths, output_bytes
from benchmarks.speed import Row, speed_row
from benchmarks.table import SIZE, Table, quantity
from benchmarks.work import Arrays, Setting, Target, Work

STEPS, STEP = 1_000, 0.01
ALLOWED = 64e6
CHOSEN = {"jitad": "jitad, fresh", "jax": "JAX value_and_grad"}


def energy(xp: Any, loops: Any, parameters: Any, start: Any, steps: int = STEPS) -> Any:
    """|s|² after s' = s + h (a sin(neighbour) - b s + c), again and again."""
    a, b, c = parameters[:8], parameters[8:16], parameters[16:]
    drift = xp.concatenate([c, c])

    def step(s: Any, _: Any) -> tuple[Any, None]:
        neighbour = xp.concatenate([s[7:], s[:7]])
        return s + STEP * (a * xp.sin(neighbour) - b * s + drift), None

    last = loops.scan(step, start, None, length=steps)[0]
    return xp.sum(last * last, axis=0)


def ring(xp: Any, parameters: Any, start: Any) -> Any:
    """The energy, with the tool's own loop."""
    return energy(xp, control(xp), parameters, start)


def reference(work: Work) -> Arrays:
    """Value and gradient by a sweep forwards and one backwards, derived by hand."""
    parameters, start = (np.ascontiguousarray(x.T) for x in work.inputs)
    some = [slice(k, k + 500) for k in range(0, work.points, 500)]
    parts = [sweep(parameters[:, part], start[:, part]) for part in some]
    values, gradients = zip(*parts, strict=True)
    return np.concatenate(values), np.concatenate(gradients, axis=1).T


def sweep(
    parameters: np.ndarray, start: np.ndarray, steps: int = STEPS
) -> tuple[np.ndarray, np.ndarray]:
    """|s|² and ∂|s|²/∂(a, b, c), lanes on the last axis."""
    a, b, c = parameters[:8], parameters[8:16], parameters[16:]
    states = [start]
    for _ in range(steps):
        s = states[-1]
        push = a * np.sin(np.roll(s, 1, axis=0)) - b * s + np.concatenate([c, c])
        states.append(s + STEP * push)
    s_bar = 2 * states[-1]
    a_bar, b_bar, c_bar = np.zeros_like(a), np.zeros_like(b), np.zeros_like(c)
    for s in reversed(states[:-1]):
        neighbour, push_bar = np.roll(s, 1, axis=0), STEP * s_bar
        a_bar += push_bar * np.sin(neighbour)
        b_bar -= push_bar * s
        c_bar += push_bar[:4] + push_bar[4:]
        back = np.roll(push_bar * a * np.cos(neighbour), -1, axis=0)
        s_bar = s_bar - push_bar * b + back
    value = np.sum(states[-1] ** 2, axis=0)
    return value, np.concatenate([a_bar, b_bar, c_bar])


def scan_work(setting: Setting) -> Work:
    """reverse gradient of a scan: 1,000 steps, 8 carried, 20 parameters"""
    rng = np.random.default_rng(0)
    lanes = 32 if setting.quick else 10_000
    # a, b and c
    highest = np.repeat([2.0, 1.0, 1.0], (8, 8, 4))
    left_out = "no loop was written for it"
    return Work(
        name="scan-reverse",
        title="gradient through 1,000 steps of a scan, 8 carried, 20 parameters",
        function=ring,
        inputs=(rng.uniform(0.5, highest, (lanes, 20)), rng.normal(size=(lanes, 8))),
        derivative="gradient",
        in_axes=(0, 0),
        reference=reference,
        copies=False,
        without=dict.fromkeys(("torch", "drjit", "casadi", "autograd"), left_out),
        targets=(Target("JAX", "jitad", least=10),),
    )


def lockstep_work(setting: Setting) -> Work:
    """The same through NumPy's loop, which takes complex numbers."""
    work = scan_work(setting)
    few = tuple(x[:3] for x in work.inputs)
    return replace(
        work, inputs=few, function=lambda xp, *given: energy(xp, lockstep, *given)
    )


def memory_table(setting: Setting) -> Table:
    """What the gradient takes beside its inputs and outputs."""
    work = scan_work(setting)
    outputs = output_bytes(work)
    lines, notes = [], []
    for tool, growth in growths("benchmarks.long_scan:scan_work", CHOSEN, setting):
        if isinstance(growth, str):
            lines.append((tool, growth))
            continue
        beyond = growth - outputs
        lines.append((CHOSEN[tool], quantity(beyond, SIZE)))
        if tool == "jitad":
            met = "met" if beyond <= ALLOWED else "MISSED"
            allowed = quantity(ALLOWED, SIZE)
            notes.append(f"target jitad ≤ {allowed}: {quantity(beyond, SIZE)}, {met}")
    title = (
        f"scan-memory: the gradient of scan-reverse, {work.points:,} lanes; inputs and "
        f"outputs {quantity(work.nbytes, SIZE)}"
    )
    return Table(title, ("participant", "beyond these"), tuple(lines), tuple(notes))


ROWS = (
    speed_row("scan-reverse", scan_work),
    Row("scan-memory", "peak memory of the gradient through a scan", memory_table),
)
