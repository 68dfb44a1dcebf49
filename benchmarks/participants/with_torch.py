"""PyTorch: torch.func's transformations under vmap, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.harness import Participant, Runner
from benchmarks.work import Setting, Work


def participants(work: Work, setting: Setting) -> list[Participant]:
    """Compiled and eager."""
    torch.set_num_threads(setting.threads)
    torch.set_default_dtype(torch.float64)  # for constants given as lists

    def prepare(*, compiled: bool) -> Runner:
        derived = transformed(work)
        if work.batched:
            derived = torch.func.vmap(derived, work.in_axes, work.out_axis)
        if compiled:
            derived = torch.compile(derived, dynamic=False)
        inputs = [torch.from_numpy(np.asarray(x)) for x in work.inputs]
        return Runner(lambda: derived(*inputs), partial(flat, work))

    return [
        Participant("PyTorch compiled", partial(prepare, compiled=True)),
        Participant("PyTorch eager", partial(prepare, compiled=False)),
    ]


def transformed(work: Work) -> Callable[..., Any]:
    """x -> derivatives and value; reverse mode for the first order."""
    f = partial(work.function, torch)
    if work.derivative == "hessian":
        return torch.func.hessian(f)
    if work.derivative == "gradient":
        return torch.func.grad_and_value(f, argnums=work.argnums)

    def with_value(*arguments: Any) -> tuple[Any, Any]:
        value = f(*arguments)
        return value, value

    return torch.func.jacrev(with_value, argnums=work.argnums, has_aux=True)


def flat(work: Work, result: Any) -> tuple[np.ndarray, ...]:
    """Value first, then derivatives, as NumPy arrays."""
    if work.derivative == "hessian":
        return (result.numpy(),)
    derivatives, value = result
    return (value.numpy(), *(d.numpy() for d in derivatives))
