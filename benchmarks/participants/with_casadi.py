"""CasADi: its generated C, compiled by gcc, mapped over points by its threads.

A matrix of CasADi is stored by columns, and a batch as one column per point, so its
memory is exactly NumPy's rows; Jacobians are transposed symbolically to match. It
reads NumPy's memory and writes into reused buffers without copies.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import casadi
import numpy as np

from benchmarks.compiler import compile_c
from benchmarks.harness import Participant, Runner, UnavailableError
from benchmarks.work import Setting, Work

namespace = SimpleNamespace(
    sin=casadi.sin,
    cos=casadi.cos,
    exp=casadi.exp,
    log=casadi.log,
    sqrt=casadi.sqrt,
    where=casadi.if_else,
    stack=lambda parts: casadi.vertcat(*parts),
    sum=lambda x, axis: casadi.sum1(x),
    asarray=lambda rows: casadi.DM(np.atleast_2d(rows)),
)


def participants(work: Work, setting: Setting) -> list[Participant]:
    """The generated C; for one point also the interpreter."""
    if not work.batched:
        return [
            Participant("CasADi, C code", partial(one_point, work, compiled_function)),
            Participant("CasADi, interpreted", partial(one_point, work, lambda f: f)),
        ]
    if work.out_axis != 0:
        raise UnavailableError("CasADi's batches are rows")
    if None in work.in_axes:
        raise UnavailableError("CasADi's map has no shared inputs")
    return [Participant("CasADi, C code", partial(mapped, work, setting.threads))]


def expression(work: Work) -> casadi.Function:
    """inputs -> value and derivatives of one point, dense, transposed to rows."""
    inputs = []
    for i in work.counted():
        size = int(np.prod(work.point_shape(i)))
        inputs.append(casadi.SX.sym(f"x{i}", size))
    value = work.function(namespace, *inputs)
    if work.derivative == "hessian":
        outputs = [casadi.hessian(value, inputs[0])[0]]
    else:
        outputs = [value]
        outputs += [casadi.jacobian(value, inputs[i]).T for i in work.argnums]
    outputs = [casadi.densify(o) for o in outputs]
    return casadi.Function(work.name.replace("-", "_"), inputs, outputs, {"cse": True})


def compiled_function(f: casadi.Function) -> casadi.Function:
    """The same function as machine code: generated C through gcc."""
    with tempfile.TemporaryDirectory() as folder:
        generated = casadi.CodeGenerator(f"{f.name()}.c")
        generated.add(f)
        source = Path(generated.generate(f"{folder}/"))
        library = compile_c(source, Path(folder))
        return casadi.external(f.name(), str(library))


def mapped(work: Work, threads: int) -> Runner:
    """All points in one call."""
    f = compiled_function(expression(work)).map(work.points, "thread", threads)
    buffers, trigger = f.buffer()
    outputs = work.new_outputs()
    for i, x in enumerate(work.inputs):
        buffers.set_arg(i, memoryview(np.ravel(x)))
    for i, y in enumerate(outputs):
        buffers.set_res(i, memoryview(np.ravel(y)))

    def call(kept_alive: Any = buffers) -> tuple[np.ndarray, ...]:
        trigger()  # it holds no more than the address of buffers
        return outputs

    return Runner(call, lambda result: result)


def one_point(work: Work, compiled: Callable[[Any], Any]) -> Runner:
    """One point by an ordinary call, NumPy arrays in, CasADi's matrices out."""
    f = compiled(expression(work))
    shapes = work.output_shapes()

    def read(result: Any) -> tuple[np.ndarray, ...]:
        parts = result if isinstance(result, tuple) else (result,)
        flat = [np.asarray(part).ravel(order="F") for part in parts]
        return tuple(x.reshape(s) for x, s in zip(flat, shapes, strict=True))

    return Runner(lambda: f(*work.inputs), read)
