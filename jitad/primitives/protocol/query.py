"""What can be asked of a traced array without its values, and what cannot.

Shapes, dtypes and overlap of memory are known while tracing; functions that answer
with a Python bool, text or a file are not, and say so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitad.errors import TracingError
from jitad.ir.primitive import registry
from jitad.ir.source import source_line
from jitad.ir.tracer import Tracer, as_tracer, innermost, joint_dtype, renewed, traced
from jitad.primitives.arrays.shape import as_array
from jitad.primitives.define import derived


@derived(np.shape)
def _shape(a: Any) -> tuple[int, ...]:
    return as_array(a).shape


@derived(np.ndim)
def _ndim(a: Any) -> int:
    return as_array(a).ndim


@derived(np.size)
def _size(a: Any, axis: Any = None) -> int:
    return np.size(as_array(a).stand_in(), axis)


def _kind(value: Any) -> Any:
    """What stands for a value in NumPy's questions about dtypes."""
    if isinstance(value, Tracer) and value.weak:
        return 0.0 if value.dtype.kind == "f" else 0
    return joint_dtype([value]) if traced(value) else value


@derived(np.result_type)
def _result_type(*values: Any) -> np.dtype:
    return np.result_type(*map(_kind, values))


@derived(np.common_type)
def _common_type(*arrays: Any) -> type:
    return np.common_type(
        *[np.empty(0, joint_dtype([a])) if traced(a) else a for a in arrays]
    )


@derived(np.can_cast)
def _can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    kind = joint_dtype([from_]) if traced(from_) else from_
    return np.can_cast(kind, joint_dtype([to]) if traced(to) else to, casting)


def _places(x: Any, moved: Sequence[int]) -> np.ndarray:
    """Where in memory an array lies for given values of the indices that move it."""
    pairs = zip(x._steps, moved, strict=True)
    return x.places() + sum(s.stride * k for s, k in pairs)


def _overlaps(a: Any, b: Any) -> set[bool]:
    """Whether two arrays overlap, for all that traced indices may be."""
    if not (isinstance(a, Tracer) and isinstance(b, Tracer)) or a.owner is not b.owner:
        return {False}
    if a.scalar or b.scalar:
        return {False}
    extents = [s.extent for s in (*a._steps, *b._steps)]
    own, same = (
        len(a._steps),
        [
            (k, n)
            for k, s in enumerate(a._steps)
            for n, t in enumerate(b._steps)
            if s.same(t)
        ],
    )
    return {
        bool(np.intersect1d(_places(a, at[:own]), _places(b, at[own:])).size)
        for at in np.ndindex(*extents)
        if all(at[k] == at[own + n] for k, n in same)
    }


@derived(np.may_share_memory)
def _may_share(a: Any, b: Any, max_work: Any = None) -> bool:
    return True in _overlaps(a, b)


@derived(np.shares_memory)
def _shares(a: Any, b: Any, max_work: Any = None) -> bool:
    found = _overlaps(a, b)
    if len(found) > 1:
        raise TracingError(
            f"whether {a!r} and {b!r} share memory depends on traced indices "
            f"({source_line()}); np.may_share_memory tells whether they may"
        )
    return found.pop()


# Only real numbers are traced.
registry.functions[np.iscomplexobj] = lambda x: False
registry.functions[np.isrealobj] = lambda x: True
registry.functions[np.real] = as_array
registry.functions[np.real_if_close] = lambda a, tol=100: np.asanyarray(a)


@derived(np.imag)
def _imag(val: Any) -> Tracer:
    a = as_array(val)
    zeros = a.stand_in().imag
    return renewed(as_tracer(innermost([a]), zeros), zeros)


@derived(np.iscomplex)
def _iscomplex(x: Any) -> np.ndarray:
    return np.iscomplex(as_array(x).stand_in())


@derived(np.isreal)
def _isreal(x: Any) -> np.ndarray:
    return np.isreal(as_array(x).stand_in())


# In the text of an array of objects each element has its own.
@derived(np.array_repr, np.array_str, np.array2string, moves=True)
def _text(a: Any, *args: Any, **kwargs: Any) -> str:
    return repr(a)


_NO_ANSWER = {
    np.array_equal: "np.all(a == b), which is a traced bool",
    np.array_equiv: "np.all(a == b), which is a traced bool",
    np.allclose: "np.all(np.isclose(a, b)), which is a traced bool",
    np.save: "the function's result",
    np.savez: "the function's result",
    np.savez_compressed: "the function's result",
    np.savetxt: "the function's result",
}


def _refuse(function: Callable[..., Any], remedy: str) -> Callable[..., Any]:
    def handler(*args: Any, **kwargs: Any) -> Any:
        raise TracingError(
            f"np.{function.__name__} needs the values of traced arrays, which are not "
            f"known while tracing ({source_line()}); use {remedy}"
        )

    return handler


for _function, _remedy in _NO_ANSWER.items():
    registry.functions[_function] = _refuse(_function, _remedy)
