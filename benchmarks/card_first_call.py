"""What the first call costs on a card, in a fresh process: with no cubin, and with it.

From NumPy inputs to results on the card. The card itself has been asked for before,
which takes its own time and is the same for everyone: a line says how long.
"""

from __future__ import annotations

import importlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from benchmarks import child
from benchmarks.card_rows import repeated, rows
from benchmarks.first_call import beside_jitad
from benchmarks.harness import Participant, Result, UnavailableError, start
from benchmarks.speed import Row, verdict
from benchmarks.table import Table
from benchmarks.work import Setting, Target, Work

TARGET = "benchmarks.card_first_call:in_child"
CONTEXT = "the card alone, before"


def by_cuda() -> None:
    """Ask for the card as jitad does."""
    from jitad.calls import cards

    cards.card(0)


def by_jax() -> None:
    """Ask for it as JAX does."""
    import jax

    jax.block_until_ready(jax.numpy.zeros(1) + 1)


def by_torch() -> None:
    """Ask for it as PyTorch does."""
    import torch

    (torch.zeros(1, device="cuda") + 1).cpu()


# the ways that are found fastest, one for each tool, and what asks for the card
CHOSEN: dict[str, tuple[str, Callable[[], None]]] = {
    "jitad": ("jitad", by_cuda),
    "jax": ("JAX jacrev", by_jax),
    "torch": ("PyTorch compiled", by_torch),
    "native": ("CUDA C by hand", by_cuda),
}


def work(setting: Setting) -> Work:
    """The rows, of 2^18 points."""
    few = replace(setting, quick=True)
    return replace(rows(few), inputs=repeated(1 << (9 if setting.quick else 18)))


def in_child(tool: str, quick: bool) -> dict[str, Any]:
    """Seconds of one participant's first call, in this fresh process."""
    setting = Setting(quick=quick, device="cuda")
    made = work(setting)
    reference = made.reference(made.some())
    start_of_name, ask = CHOSEN[tool]
    module = importlib.import_module(f"benchmarks.participants.on_card_{tool}")
    listed = module.participants(made, setting)
    begin = time.perf_counter()
    ask()
    context = time.perf_counter() - begin
    participant = next(p for p in listed if p.name.startswith(start_of_name))
    assert isinstance(participant, Participant)
    result, runner = start(participant, made, reference)
    if runner is None:
        raise UnavailableError(result.note)
    return {"name": participant.name, "seconds": result.first, "context": context}


def results(setting: Setting) -> Iterator[Result]:
    """The median of jitad's processes, and one process of everyone else."""
    for tool in CHOSEN:
        if not setting.takes(tool):
            continue
        found: dict[str, list[float]] = {}
        arguments = {"tool": tool, "quick": setting.quick}
        try:
            for _ in range(3 if tool == "jitad" and not setting.quick else 1):
                with tempfile.TemporaryDirectory() as home:
                    for again in ("", ", cached")[: 1 + (tool == "jitad")]:
                        made = child.call(TARGET, arguments, setting, home=home)
                        name = made["name"] + again
                        found.setdefault(name, []).append(made["seconds"])
                        if tool == "jitad":
                            found.setdefault(CONTEXT, []).append(made["context"])
        except UnavailableError as reason:
            yield Result(tool, note=f"not available: {reason}")
            continue
        for name, times in found.items():
            yield Result(name, median=statistics.median(times))


def table(setting: Setting) -> Table:
    """All of them beside jitad's with nothing cached."""
    everyone = list(results(setting))
    jitad = next((r.median for r in everyone if r.name.startswith("jitad")), None)
    title = f"card-first-call: bundle adjustment, rows, {work(setting).points:,} points"
    cold = [r for r in everyone if not r.name.endswith("cached")]
    note = verdict(Target("jitad", None, most=1.0), cold)
    return beside_jitad(title, everyone, jitad, note)


ROWS = (
    Row(
        "card-first-call",
        "bundle adjustment on a card, first call in a fresh process after import",
        table,
    ),
)
