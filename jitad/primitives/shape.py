"""Functions that move elements: reshape, transpose, indexing, stacking, in-place writes.

All are structures: NumPy itself decides where each element goes.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from jitad.ir.graph import Static, Type
from jitad.ir.primitive import Primitive, registry
from jitad.ir.tracer import (
    Tracer,
    as_tracer,
    bind_structure,
    cast,
    innermost,
    promote,
    source_line,
)
from jitad.primitives.define import structure

for _function in (np.reshape, np.ravel, np.transpose, np.broadcast_to, np.expand_dims,
                  np.squeeze, np.moveaxis):  # fmt: skip
    structure(_function)

getitem = structure(operator.getitem, name="getitem")


def _put(base: Any, value: Any, *, positions: np.ndarray) -> np.ndarray:
    result = np.array(base)
    result.reshape(-1)[positions] = value
    return result


registry.add(Primitive("put", "structure", _put, cost=0))


def _getitem(array: Tracer, key: Any) -> Any:
    return bind_structure(getitem, (array, key), {})


def _setitem(array: Tracer, key: Any, value: Any) -> None:
    trace = innermost([array, value])
    value = as_tracer(trace, value)
    if not np.can_cast(value.dtype, array.dtype, "same_kind"):
        raise TypeError(
            f"cannot write {value.dtype} into {array!r} ({source_line()}); "
            f"make the array with dtype {value.dtype}"
        )
    positions = np.arange(array.size).reshape(array.shape)[key]
    value = np.broadcast_to(cast(value, array.dtype), positions.shape)
    _write_at(array, positions, value)


def _write_at(array: Tracer, positions: np.ndarray, value: Tracer) -> None:
    index = value.trace.add(
        registry.primitives["put"],
        (array.index, value.index),
        Type(array.dtype, array.shape),
        (("positions", Static(positions)),),
        value.trace.line(),
    )
    array.write(Tracer(value.trace, index, Type(array.dtype, array.shape)))


registry.functions["getitem"] = _getitem
registry.functions["setitem"] = _setitem


def _stack(arrays: Any, axis: int = 0) -> Any:
    arrays = list(arrays)
    trace, dtype = innermost(arrays), promote(arrays)
    lifted = [as_tracer(trace, a, dtype) for a in arrays]
    return bind_structure(_stacked, (lifted,), {"axis": axis})


_stacked = structure(np.stack, name="stack")
registry.functions[np.stack] = _stack
