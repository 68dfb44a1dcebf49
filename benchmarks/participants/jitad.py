"""jitad through its public API: NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import jitad
from benchmarks.harness import Participant, Runner
from benchmarks.work import Setting, Work


def participants(work: Work, setting: Setting) -> list[Participant]:
    """Into reused arrays by ``out=``, and into fresh ones."""

    def prepare(*, reuse: bool) -> Runner:
        call = transformed(work)
        if reuse:
            out = nested(work, work.new_outputs())
            return Runner(lambda: call(*work.inputs, out=out), flat)
        return Runner(lambda: call(*work.inputs), flat)

    if not work.batched:
        return [Participant("jitad", partial(prepare, reuse=False))]
    return [
        Participant("jitad, out=", partial(prepare, reuse=True)),
        Participant("jitad, fresh results", partial(prepare, reuse=False)),
    ]


def transformed(work: Work) -> Callable[..., Any]:
    """x -> value and derivatives, compiled: one function for one kernel."""
    f = partial(work.function, np)
    if work.derivative == "hessian":
        derived = jitad.hessian(f)
    elif work.derivative == "gradient":
        derived = jitad.value_and_grad(f, argnums=work.argnums)
    else:
        J = jitad.jacobian(f, argnums=work.argnums)

        def derived(*arguments: Any) -> tuple[Any, Any]:
            return f(*arguments), J(*arguments)

        if not work.batched:
            return jitad.jit(derived)
    if not work.batched:
        return derived
    return jitad.vmap(derived, in_axes=work.in_axes, out_axes=work.out_axis)


def nested(work: Work, outputs: tuple[np.ndarray, ...]) -> Any:
    """The outputs in the structure that the transformed function returns."""
    if work.derivative == "hessian":
        return outputs[0]
    return outputs[0], outputs[1:]


def flat(result: Any) -> tuple[np.ndarray, ...]:
    """All arrays of a nested result, in order."""
    if isinstance(result, (tuple, list)):
        return tuple(leaf for part in result for leaf in flat(part))
    return (np.asarray(result),)
