"""The attributes and methods of ndarray, for traced arrays.

Each delegates to NumPy's function of the same name, so that one registration serves
both.  `registry.functions["method.<name>"](x)` is the attribute's value.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jitad.errors import TracingError, UnsupportedError
from jitad.ir.primitive import registry
from jitad.ir.source import source_line
from jitad.ir.tracer import Tracer
from jitad.primitives.arrays.index import fit, stored
from jitad.primitives.arrays.memory import write
from jitad.primitives.arrays.shape import refuse_traced


def attribute(name: str) -> Callable[[Callable[[Tracer], Any]], Any]:
    """Declare an attribute of traced arrays."""

    def declare(body: Callable[[Tracer], Any]) -> Callable[[Tracer], Any]:
        registry.functions[f"method.{name}"] = body
        return body

    return declare


def method(name: str) -> Callable[[Callable[..., Any]], Any]:
    """Declare a method of traced arrays; its body takes the array first."""

    def declare(body: Callable[..., Any]) -> Callable[..., Any]:
        registry.functions[f"method.{name}"] = lambda x: functools.partial(body, x)
        return body

    return declare


_SAME_NAME = """
    all any argmax argmin argpartition argsort choose clip cumprod cumsum diagonal dot
    max mean min nonzero prod put ravel repeat round searchsorted squeeze std sum
    swapaxes take trace var
"""
for _name in _SAME_NAME.split():
    method(_name)(getattr(np, _name))


@method("compress")
def _compress(x: Tracer, condition: Any, axis: Any = None, out: Any = None) -> Any:
    options = {} if out is None else {"out": out}
    return np.compress(condition, x, axis=axis, **options)


@method("reshape")
def _reshape(x: Tracer, *shape: Any, order: Any = "C", copy: Any = None) -> Any:
    if not shape:
        raise TypeError(f"{x!r}.reshape() needs a shape ({source_line()}); give one")
    options = {} if copy is None else {"copy": copy}
    return np.reshape(x, shape[0] if len(shape) == 1 else shape, order=order, **options)


@method("transpose")
def _transpose(x: Tracer, *axes: Any) -> Any:
    if not axes or axes == (None,):
        return np.transpose(x)
    return np.transpose(x, axes[0] if not _is_integer(axes[0]) else axes)


def _is_integer(value: Any) -> bool:
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


@method("flatten")
def _flatten(x: Tracer, order: Any = "C") -> Any:
    return np.ravel(x, order=order).copy()


@method("sort")
def _sort(x: Tracer, axis: Any = -1, **options: Any) -> None:
    x[...] = np.sort(x, axis=operator.index(axis), **options)


@method("partition")
def _partition(x: Tracer, kth: Any, axis: Any = -1, **options: Any) -> None:
    x[...] = np.partition(x, kth, axis=operator.index(axis), **options)


@method("fill")
def _fill(x: Tracer, value: Any) -> None:
    if x.scalar:
        raise UnsupportedError(
            f"{x!r} is a scalar, which fill cannot change ({source_line()}); rebind "
            "the name"
        )
    if np.ndim(value):
        raise ValueError(
            f"{x!r}.fill of an array ({source_line()}); expected a number: "
            "x[...] = value"
        )
    x[...] = value


@method("resize")
def _resize(x: Tracer, *shape: Any, **options: Any) -> None:
    raise TracingError(
        f"{x!r}.resize changes a shape in place, which cannot be traced "
        f"({source_line()}); use np.resize(x, shape) or np.pad"
    )


@attribute("T")
def _t(x: Tracer) -> Any:
    return np.transpose(x)


@attribute("mT")
def _mt(x: Tracer) -> Any:
    return np.matrix_transpose(x)


@attribute("real")
def _real(x: Tracer) -> Any:
    return x


@attribute("imag")
def _imag(x: Tracer) -> Any:
    return np.imag(x)


@method("conj")
def _conj(x: Tracer) -> Any:
    return x


registry.functions["method.conjugate"] = registry.functions["method.conj"]


@attribute("nbytes")
def _nbytes(x: Tracer) -> int:
    return x.size * x.itemsize


@attribute("strides")
def _strides(x: Tracer) -> tuple[int, ...]:
    return x.stand_in().strides


@attribute("flags")
def _flags(x: Tracer) -> Any:
    return x.stand_in().flags


@attribute("base")
def _base(x: Tracer) -> Any:
    return None if x.owner is x else x.owner


@attribute("device")
def _device(x: Tracer) -> str:
    return "cpu"


@method("view")
def _view(x: Tracer, dtype: Any = None, type: Any = None) -> Any:
    if type is not None or (dtype is not None and np.dtype(dtype) != x.dtype):
        raise TracingError(
            f"{x!r}.view of another dtype or class reads bits, which cannot be traced "
            f"({source_line()}); convert the values with x.astype(dtype)"
        )
    return x if x.scalar else x[...]


for _name in ("item", "tolist", "tobytes", "tofile", "dump", "dumps"):

    @method(_name)
    def _no_value(x: Tracer, *args: Any, _name: str = _name, **kwargs: Any) -> Any:
        raise TracingError(
            f"{x!r}.{_name}() needs a value, which is not known while tracing "
            f"({source_line()}); keep the array (x[0], np.ravel(x), np.squeeze(x) give "
            "parts of it), or call this on the function's result"
        )


class Flat:
    """x.flat: the elements in C order, to read, iterate over and write."""

    def __init__(self, base: Tracer) -> None:
        self.base = base

    def __len__(self) -> int:
        return self.base.size

    def __iter__(self) -> Iterator[Any]:
        return iter(np.ravel(self.base))

    def __getitem__(self, key: Any) -> Any:
        found = np.ravel(self.base)[key]
        return found.copy() if isinstance(found, Tracer) else found

    def __setitem__(self, key: Any, value: Any) -> None:
        refuse_traced("ndarray.flat", key)
        places = np.asarray(self.base.positions().ravel()[key])
        if np.may_share_memory(self.base, value):
            # NumPy reads one element after the other, and writes it.
            for k, place in enumerate(places.ravel()):
                write(self.base, np.ravel(value)[k % value.size], place)
            return
        value = stored(self.base, value)
        if value.size != places.size:
            value = np.resize(value, places.shape) if places.size else value
        write(self.base, fit(np.reshape(value, places.shape), places.shape), places)

    def copy(self) -> Any:
        """A flat copy."""
        return np.ravel(self.base).copy()


registry.functions["method.flat"] = Flat


# -- ufuncs as methods ---------------------------------------------------------


def _scalar_method(ufunc: np.ufunc) -> Callable[[Tracer], Any]:
    """NumPy's loops over object arrays call x.sin() and the like on every element."""

    def get(x: Tracer) -> Any:
        if x.shape:
            raise AttributeError(
                f"{x!r} has no method {ufunc.__name__!r}; use np.{ufunc.__name__}(x)"
            )
        return functools.partial(ufunc, x)

    return get


for _name, _ufunc in sorted(vars(np).items()):
    if isinstance(_ufunc, np.ufunc) and f"method.{_name}" not in registry.functions:
        registry.functions[f"method.{_name}"] = _scalar_method(_ufunc)
