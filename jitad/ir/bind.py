"""Elementwise primitives applied to traced values, and dtypes as NumPy gives them.

Start at `bind`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .graph import DTYPES, Type, scalar
from .plain import nearest
from .primitive import Primitive
from .tracer import Trace, Tracer, innermost, joint_dtype, lift
from .views import kept_order


def cast(value: Tracer, dtype: Any) -> Tracer:
    """The value converted as NumPy's astype does."""
    dtype = np.dtype(dtype)
    if dtype not in DTYPES:
        dtype = nearest(dtype)
    if value.dtype == dtype:
        return value
    index = value.builder.cast(value.index, dtype)
    result = Tracer(value.builder, index, value.builder.nodes[index].type)
    result._layout = kept_order([value], value.shape)
    return result


def representative(value: Any) -> Any:
    """What stands for a value where NumPy promotes: a dtype or a Python number type."""
    if isinstance(value, Tracer):
        if value.weak:
            return float if value.dtype.kind == "f" else int
        return value.type.dtype
    if type(value) in (float, int, bool):
        # Python's float and int are weak; its bool is NumPy's.
        return np.dtype(bool) if type(value) is bool else type(value)
    dtype = np.asarray(value).dtype
    return joint_dtype([value]) if dtype.kind == "O" else dtype.newbyteorder("=")


def promote(values: Sequence[Any]) -> np.dtype:
    """The dtype that NumPy gives a mixture of values."""
    kinds = [representative(v) for v in values]
    stand_ins = [0.0 if k is float else 0 if k is int else k for k in kinds]
    return np.result_type(*stand_ins)


def bind(
    primitive: Primitive,
    args: Sequence[Any],
    dtypes: Sequence[np.dtype | None],
    dtype: np.dtype,
    trace: Trace | None = None,
) -> Tracer:
    """Apply an elementwise primitive to args, cast to dtypes and broadcast."""
    trace = trace or innermost(args)
    operands = tuple([lift(trace, a, d) for a, d in zip(args, dtypes, strict=True)])
    nodes = trace.nodes
    shapes = {shape for i in operands if (shape := nodes[i].type.shape)}
    type = Type(dtype, np.broadcast_shapes(*shapes)) if shapes else scalar(dtype)
    line = trace.line(2)  # of this, and of what applies a primitive
    result = Tracer(trace, trace.apply(primitive, operands, type, line), type)
    if len(type.shape) > 1:
        result._layout = kept_order(args, type.shape)
    return result
