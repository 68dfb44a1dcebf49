"""Peak memory of a batch: the growth of resident memory beside inputs and outputs.

In a fresh process, the function is compiled and the threads are started on a small
batch; then the kernel's high-water mark is reset, one large batch is evaluated into
fresh results, and the growth of the mark is read. Inputs are resident before. What
remains after subtracting the outputs is temporaries. (Linux.)
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import child
from benchmarks.bundle_adjustment import observations, rows_work
from benchmarks.harness import UnavailableError
from benchmarks.speed import Row
from benchmarks.table import SIZE, Table, quantity, three_digits
from benchmarks.work import Setting, Work

CHOSEN = {
    "jitad": "jitad, fresh",
    "jax": "JAX jacrev",
    "torch": "PyTorch compiled",
    "drjit": "Dr.Jit",
    "casadi": "CasADi, C code",
    "autograd": "autograd",
    "native": "C by hand",
}


def work_of(setting: Setting) -> Work:
    """Four times the points of the speed row."""
    work = rows_work(setting)
    return replace(work, inputs=observations(4 * work.points))


def status(field: str) -> int:
    """Bytes that the system states for this process: VmRSS now, VmHWM at most."""
    text = Path("/proc/self/status").read_text()
    line = next(x for x in text.splitlines() if x.startswith(field))
    return int(line.split()[1]) * 1024


def in_child(tool: str, start_of_name: str, quick: bool, workload: str) -> dict:
    """Growth of resident memory in one large batch, after a small one.

    ``workload`` is the ``module:function`` that makes the Work, all in rows.
    """
    if not Path("/proc/self/clear_refs").exists():
        raise UnavailableError("needs Linux")
    setting = Setting(quick=quick)
    source, function = workload.split(":")
    work = getattr(importlib.import_module(source), function)(setting)
    module = importlib.import_module(f"benchmarks.participants.with_{tool}")

    def runner_of(work: Work):
        listed = module.participants(work, setting)
        return next(p for p in listed if p.name.startswith(start_of_name)).prepare()

    small = tuple(np.ascontiguousarray(x[:512]) for x in work.inputs)
    runner_of(replace(work, inputs=small)).call()
    before_prepare = status("VmRSS")
    runner = runner_of(work)
    # Where prepare makes and touches the outputs, count from before it; elsewhere from
    # after it, for it may have copied the inputs.
    reuses = tool in ("casadi", "native")
    before = before_prepare if reuses else status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    result = runner.call()
    growth = status("VmHWM") - before
    del result
    return {"growth": growth}


def output_bytes(work: Work) -> int:
    """Bytes of all results of a work."""
    return sum(8 * int(np.prod(s)) for s in work.output_shapes())


def growths(
    workload: str, chosen: Mapping[str, str], setting: Setting
) -> Iterator[tuple[str, int | str]]:
    """For each tool of ``chosen`` its growth in bytes, or why there is none.

    ``workload`` as for `in_child`; ``chosen`` gives the start of a participant's name.
    """
    for tool, start_of_name in chosen.items():
        if not setting.takes(tool):
            continue
        arguments = {
            "tool": tool,
            "start_of_name": start_of_name,
            "quick": setting.quick,
            "workload": workload,
        }
        try:
            measured = child.call("benchmarks.memory:in_child", arguments, setting)
            yield tool, measured["growth"]
        except UnavailableError as reason:
            yield tool, f"not available: {reason}"


def table(setting: Setting) -> Table:
    """One line for each tool."""
    work = work_of(setting)
    outputs = output_bytes(work)
    lines = []
    for tool, growth in growths("benchmarks.memory:work_of", CHOSEN, setting):
        if isinstance(growth, str):
            lines.append((tool, growth))
            continue
        lines.append(
            (
                CHOSEN[tool],
                quantity(growth, SIZE),
                quantity(growth - outputs, SIZE),
                three_digits(growth / outputs),
            )
        )
    title = (
        f"memory: bundle adjustment in rows, {work.points:,} points; inputs "
        f"{quantity(work.nbytes - outputs, SIZE)}, outputs {quantity(outputs, SIZE)}"
    )
    headers = ("participant", "peak growth", "beyond outputs", "÷ outputs")
    return Table(title, headers, tuple(lines), ("target jitad: outputs and tiles",))


ROWS = (Row("memory", "peak memory of one batch beyond its inputs", table),)
