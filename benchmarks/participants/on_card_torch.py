"""PyTorch on a card: torch.func's transformations under vmap, compiled and eager."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from benchmarks.harness import Participant, Runner, UnavailableError
from benchmarks.participants.with_torch import transformed
from benchmarks.work import Arrays, Setting, Work


def participants(work: Work, setting: Setting) -> list[Participant]:
    """Compiled and eager."""
    if not torch.cuda.is_available():
        raise UnavailableError("PyTorch without a card")
    torch.set_default_dtype(torch.float64)  # for constants given as lists
    given = cache(lambda: [torch.from_numpy(x).cuda() for x in work.inputs])

    def compiled() -> Runner:
        derived = torch.func.vmap(transformed(work), work.in_axes, work.out_axis)
        return runner(torch.compile(derived, dynamic=False), given())

    def eager() -> Runner:
        derived = torch.func.vmap(transformed(work), work.in_axes, work.out_axis)
        return runner(derived, given())

    return [
        Participant("PyTorch compiled", compiled),
        Participant("PyTorch eager", eager),
    ]


def runner(derived: Any, inputs: list[Any]) -> Runner:
    """Its memory that is not in use goes back after a turn: others need it."""
    return Runner(
        lambda: derived(*inputs),
        flat,
        lambda _: torch.cuda.synchronize(),
        torch.cuda.empty_cache,
    )


def flat(result: Any) -> Arrays:
    """Value first, then derivatives, as NumPy arrays."""
    derivatives, value = result
    return tuple([x.cpu().numpy() for x in (value, *derivatives)])
