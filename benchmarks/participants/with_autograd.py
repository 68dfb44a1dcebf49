"""autograd: NumPy operations on whole batches, one backward pass per output component.

The batch lies in the trailing axis, where NumPy is fastest, whatever the layout asked
for: this favours autograd a little. There is no compilation and no thread.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import elementwise_grad
from autograd.core import make_vjp

from benchmarks.harness import Participant, Runner
from benchmarks.work import Setting, Work


def participants(work: Work, setting: Setting) -> list[Participant]:
    """Reverse mode; for Hessians reverse over reverse."""
    prepare = hessian if work.derivative == "hessian" else first_order
    return [Participant("autograd", partial(prepare, work))]


def widened_inputs(work: Work) -> list[np.ndarray]:
    """Inputs with trailing batch; differentiated shared ones repeated per point."""
    if not work.batched:
        return list(work.inputs)
    inputs = [work.trailing_input(i) for i in work.counted()]
    for i in work.argnums:
        wide = (*inputs[i].shape[:-1], work.points)
        inputs[i] = np.ascontiguousarray(np.broadcast_to(inputs[i], wide))
    return inputs


def first_order(work: Work) -> Runner:
    """Value and Jacobians, by reverse mode."""
    f = partial(work.function, anp)
    inputs = widened_inputs(work)
    shapes = work.output_shapes()

    def of_wanted(wanted: tuple[np.ndarray, ...]) -> Any:
        arguments = list(inputs)
        for i, x in zip(work.argnums, wanted, strict=True):
            arguments[i] = x
        return f(*arguments)

    wanted = tuple(inputs[i] for i in work.argnums)

    def call() -> tuple[Any, list[Any]]:
        pullback, value = make_vjp(of_wanted, wanted)
        components = 1 if np.ndim(value) == work.batched else len(value)
        rows = []
        for k in range(components):
            seed = np.zeros_like(value)
            seed[k if np.ndim(value) > work.batched else ...] = 1.0
            rows.append(pullback(seed))
        return value, rows

    def read(result: tuple[Any, list[Any]]) -> tuple[np.ndarray, ...]:
        value, rows = result
        outputs = [value, *(np.stack(parts) for parts in zip(*rows, strict=True))]
        if work.batched and work.out_axis == 0:
            outputs = [np.moveaxis(x, -1, 0) for x in outputs]
        return tuple(np.reshape(x, s) for x, s in zip(outputs, shapes, strict=True))

    return Runner(call, read)


def hessian(work: Work) -> Runner:
    """Row i is the gradient of the gradient's component i, summed over points."""
    gradient = elementwise_grad(partial(work.function, anp))
    x = widened_inputs(work)[0]
    rows = [elementwise_grad(lambda x, i=i: gradient(x)[i]) for i in range(len(x))]

    def read(result: list[Any]) -> tuple[np.ndarray, ...]:
        return (np.moveaxis(np.stack(result), -1, 0) if work.out_axis == 0 else result,)

    return Runner(lambda: [row(x) for row in rows], read)
