"""Dr.Jit on LLVM: a frozen function over structure-of-arrays, reverse mode.

Points never meet, so one backward pass from output component k gives row k of every
point's Jacobian. Its arrays come from a pool that keeps their pages: its results are
new arrays, but cost what reused ones cost. And they are separate arrays, one for each
component: unlike the rows of one (n, 2^18) array, they do not lie a power of two apart,
which spares them conflicts in the caches.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import drjit as dr
import numpy as np
from drjit.llvm.ad import ArrayXf64, Float64, UInt32

from benchmarks.harness import Participant, Runner, UnavailableError
from benchmarks.work import Setting, Work

namespace = SimpleNamespace(
    sin=dr.sin,
    cos=dr.cos,
    exp=dr.exp,
    log=dr.log,
    sqrt=dr.sqrt,
    where=dr.select,
    stack=ArrayXf64,
    sum=lambda x, axis: dr.sum(x, axis=axis),
)


def participants(work: Work, setting: Setting) -> list[Participant]:
    """The frozen function in the layout asked for."""
    if not dr.has_backend(dr.JitBackend.LLVM):
        raise UnavailableError("Dr.Jit finds no LLVM shared library")
    if work.derivative == "hessian":
        raise UnavailableError("Dr.Jit has no second derivatives")
    if not work.batched:
        raise UnavailableError("Dr.Jit is for batches")
    dr.set_thread_count(setting.threads)
    if work.out_axis == 0:
        name = "Dr.Jit frozen, gather/scatter"
        return [Participant(name, partial(rows, work))]
    return [Participant("Dr.Jit frozen", partial(structure_of_arrays, work))]


def structure_of_arrays(work: Work) -> Runner:
    """Inputs and outputs are one array per component, Dr.Jit's own layout."""

    @dr.freeze
    def derived(inputs: list[Any]) -> list[Any]:
        return differentiate(work, spread(work, inputs))

    inputs = [component_arrays(work, i) for i in work.counted()]
    dr.eval(inputs)

    def call() -> list[Any]:
        outputs = derived(inputs)
        dr.eval(outputs)
        dr.sync_thread()
        return outputs

    def read(outputs: list[Any]) -> tuple[np.ndarray, ...]:
        shapes = work.output_shapes()
        arrays = [np.stack([c.numpy() for c in part]) for part in outputs]
        return tuple(a.reshape(s) for a, s in zip(arrays, shapes, strict=True))

    return Runner(call, read)


def rows(work: Work) -> Runner:
    """NumPy's rows: gathered from flat arrays, scattered to flat arrays."""
    points = work.points
    sizes = [int(np.prod(s[1:])) for s in work.output_shapes()]

    @dr.freeze
    def derived(flat_inputs: list[Any], lane: Any) -> list[Any]:
        inputs = []
        for i, flat in enumerate(flat_inputs):
            shape = work.point_shape(i)
            size = int(np.prod(shape))
            first = UInt32(0) if work.in_axes[i] is None else lane * size
            parts = [dr.gather(Float64, flat, first + k) for k in range(size)]
            inputs.append(ArrayXf64(parts) if shape else parts[0])
        outputs = differentiate(work, spread(work, inputs))
        flat_outputs = [dr.empty(Float64, points * size) for size in sizes]
        for part, target, size in zip(outputs, flat_outputs, sizes, strict=True):
            for k, component in enumerate(part):
                dr.scatter(target, component, lane * size + k)
        return flat_outputs

    flat_inputs = [Float64(np.ravel(x)) for x in work.inputs]
    lane = dr.arange(UInt32, points)
    dr.make_opaque(flat_inputs, lane)

    def call() -> list[Any]:
        flat_outputs = derived(flat_inputs, lane)
        dr.eval(flat_outputs)
        dr.sync_thread()
        return flat_outputs

    def read(outputs: list[Any]) -> tuple[np.ndarray, ...]:
        shapes = work.output_shapes()
        return tuple(o.numpy().reshape(s) for o, s in zip(outputs, shapes, strict=True))

    return Runner(call, read)


def component_arrays(work: Work, i: int) -> Any:
    """Input ``i``: one array per component; a shared one has arrays of length 1."""
    trailing = work.trailing_input(i)
    if trailing.ndim == 1:
        return Float64(trailing)
    return ArrayXf64([Float64(np.ascontiguousarray(x)) for x in trailing])


def spread(work: Work, inputs: list[Any]) -> list[Any]:
    """Shared inputs widened to the batch, so that each point has its own gradient.

    The zeros added are literals: they are never stored, and vanish in the kernel.
    """
    zeros = dr.zeros(Float64, work.points)
    shared = [axis is None for axis in work.in_axes]
    return [x + zeros if s else x for x, s in zip(inputs, shared, strict=True)]


def differentiate(work: Work, inputs: list[Any]) -> list[list[Any]]:
    """Components of the value, then of the derivatives in order of ``argnums``."""
    variables = [type(x)(x) for x in inputs]
    wanted = [variables[i] for i in work.argnums]
    dr.enable_grad(wanted)
    value = work.function(namespace, *variables)
    value = [value] if isinstance(value, Float64) else list(value)
    derivatives: list[list[Any]] = [[] for _ in wanted]
    for component in value:
        dr.clear_grad(wanted)
        dr.backward_from(component, flags=dr.ADFlag.ClearInterior)
        for gradients, variable in zip(derivatives, wanted, strict=True):
            gradient = dr.grad(variable)
            single = isinstance(gradient, Float64)
            gradients.extend([gradient] if single else list(gradient))
    return [[dr.detach(c) for c in value], *derivatives]
