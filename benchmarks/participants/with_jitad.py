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
    """Into the arrays of an earlier result, arrays of NumPy's own, and fresh ones.

    jitad's results begin at a cache line, which NumPy's large arrays do not.
    """

    def fresh() -> Runner:
        call = transformed(work)
        return Runner(lambda: call(*work.inputs), flat)

    def into_earlier() -> Runner:
        call = transformed(work)
        out = call(*work.inputs)
        return Runner(lambda: call(*work.inputs, out=out), flat)

    def into_numpy() -> Runner:
        call = transformed(work)
        out = nested(work, work.new_outputs())
        return Runner(lambda: call(*work.inputs, out=out), flat)

    if not work.batched:
        return [Participant("jitad", fresh)]
    return [
        Participant("jitad, fresh results", fresh),
        Participant("jitad, out=earlier result", into_earlier),
        Participant("jitad, out=NumPy's array", into_numpy),
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
