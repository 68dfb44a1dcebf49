"""The traced value, and the protocols by which NumPy hands its calls over to it.

A Tracer stands for one node of the graph being grown.  NumPy finds it through
`__array_ufunc__` and `__array_function__`; handlers live in the registry.  In-place
writes rebind the node (see `primitives.memory`), and views see the writes of their
base, as NumPy's do.  `bind.bind` applies an elementwise primitive; start there.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from jitad.errors import TracingError, UnsupportedError

from . import afresh
from .afresh import Handed
from .graph import CONST, DTYPES, FLOATS, PACK, Builder, Type
from .mirror import held_dtype, objects_of, reflection
from .plain import nearest, plain_array, whole
from .primitive import registry
from .source import source_line
from .valueless import no_array, no_index, no_number, no_place
from .views import Storage


class Trace(Builder):
    """The Builder of a running trace, which takes in values of outer ones.

    indexing  where a whole number was asked for last
    boxed     whether NumPy took values of it for objects
    path      decides the truth of its values, if anything can (see `ir.fork`)
    writes    for every write to an array of it: when the array was born, and the line
    compared  the last >= or <= : its node, and the instruction that asked for it
    sources   what inputs depend on, as bits; masks, what nodes do; signs, what is
              known of their values: see `steep`
    """

    def __init__(self, level: int, simplify: Any = None, lines: bool = True) -> None:
        super().__init__(simplify)
        self.level = level
        self.lines = lines
        self.open = True
        self.boxed = False
        self.indexing: tuple[int, int] = (0, 0)
        self.captured: dict[tuple[int, int], tuple[Tracer, int]] = {}
        self.path: Any = None
        self.handed: Handed | None = None
        self.births = 0
        self.writes: list[tuple[int, str]] = []
        self.compared: tuple[int, ...] = ()
        self.sources: dict[int, int] = {}
        self.masks: list[int] = []
        self.signs: list[int] = []

    def again(self, path: Any) -> Trace:
        """The trace for one more run of its function: the same graph, grown on."""
        run = copy.copy(self)
        run.path, run.log, run.writes, run.births = path, [], [], 0
        return run

    def bear(self) -> int:
        """The number of a new array."""
        self.births += 1
        return self.births

    def capture(self, tracer: Tracer) -> int:
        """The input of this graph that carries a value of an enclosing trace.

        A constant out there is the same constant in here.
        """
        index = tracer.index
        node = tracer.builder.nodes[index]
        if node.primitive is CONST:
            return self.add(CONST, (), node.type, node.params)
        key = (id(tracer.builder), index)
        if key not in self.captured:
            # The value as it is now: the array may be written to later.
            now = Tracer(tracer.builder, index, tracer.type, tracer.weak)
            self.captured[key] = (now, self.input(tracer.type))
        return self.captured[key][1]

    def line(self, ours: int = 0) -> str:
        """The user's line, where this trace records lines; ours as of `source_line`.

        It is asked for by every operation, so that here a trace is noticed to be long.
        """
        if len(self.nodes) > afresh.LONG and self.handed and not self.handed.settled:
            registry.functions["trace.long"](self)
        return source_line(1 + ours) if self.lines else ""


class Tracer(Storage, NDArrayOperatorsMixin):
    """An array whose value is not known yet: it has a dtype, a shape and a node."""

    __slots__ = ()
    __array_priority__ = 1000

    # -- what it is ------------------------------------------------------------

    @property
    def dtype(self) -> np.dtype:
        """The dtype."""
        return self.type.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return self.type.shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        raise TracingError(
            f"the shape of {self!r} cannot be changed in place ({source_line()}); use "
            f"x = x.reshape({shape}), which is a view where it can be"
        )

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.type.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.type.size

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.type.dtype.itemsize

    def __repr__(self) -> str:
        return f"<traced {self.type}>"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"len() of {self!r}, which has no axes ({source_line()})")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tracer]:
        if not self.shape:
            raise TypeError(
                f"{self!r} has no axes to iterate over ({source_line()}); "
                "np.atleast_1d(x) has one"
            )
        return (self[i] for i in range(len(self)))

    # -- reading and writing ---------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        return registry.functions["getitem"](self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        registry.functions["setitem"](self, key, value)

    def __pow__(self, other: Any, modulus: Any = None) -> Any:
        if modulus is not None:
            raise UnsupportedError(
                f"pow({self!r}, …, {modulus!r}) is for whole Python numbers "
                f"({source_line()}); write x**n % m"
            )
        return registry.functions["power"](self, other)

    def __ipow__(self, other: Any) -> Any:
        store = registry.functions["ufunc.store"]
        return store(np.power, self**other, self, (self,))

    def __copy__(self) -> Tracer:
        return registry.functions["method.copy"](self)(order="K")

    def __deepcopy__(self, memo: Any) -> Tracer:
        return registry.functions["method.copy"](self)(order="K")

    # -- NumPy's protocols -----------------------------------------------------

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any
    ) -> Any:
        if method == "__call__" and not kwargs:
            return registry.functions["ufunc.apply"](ufunc, inputs)
        return registry.functions["ufunc.call"](ufunc, method, inputs, kwargs)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        return registry.functions["function.call"](function, args, kwargs)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        """An object array of traced scalars: what np.asarray makes of a tracer."""
        if dtype is not None and np.dtype(dtype) != object:
            raise no_array(self, np.dtype(dtype))
        if self.builder.indexing == _place(sys._getframe(1)):
            # NumPy has asked for a number first, and forgotten our answer.
            raise no_place(self)
        self.builder.boxed = True
        if not (copy or self.scalar):
            return reflection(self)
        result = np.empty_like(self.stand_in(), objects_of(self.dtype))
        for place in np.ndindex(self.shape):
            result[place] = self[place] if place else self
        return result

    def __getattr__(self, name: str) -> Any:
        method = registry.functions.get(f"method.{name}")
        if method is None:
            if name.startswith("__"):
                raise AttributeError(name)
            known = "cannot be traced" if hasattr(np.ndarray, name) else "is unknown"
            raise AttributeError(
                f"{self!r} has no {name!r}: the attribute {known} ({source_line()}); "
                f"use one of NumPy's functions, such as np.{name}, if there is one"
            )
        return method(self)

    def __hash__(self) -> int:
        return id(self)

    # -- truth -----------------------------------------------------------------

    def __bool__(self) -> bool:
        return registry.functions["truth"](self)

    def __contains__(self, item: Any) -> bool:
        return bool((self == item).any())

    def __ge__(self, other: Any) -> Any:
        return _noted(super().__ge__(other))

    def __le__(self, other: Any) -> Any:
        return _noted(super().__le__(other))

    # -- what it refuses -------------------------------------------------------

    def __float__(self) -> float:
        raise no_number(self, sys._getframe(1).f_code.co_filename)

    __int__ = __complex__ = __float__

    def __index__(self) -> int:
        self.builder.indexing = _place(sys._getframe(1))
        raise no_index(self)

    def __abs__(self) -> Any:
        """Unlike np.abs, abs of a Python number is one."""
        made: Any = np.absolute(self)
        made.weak = self.weak
        return made

    def __round__(self, ndigits: int | None = None) -> Any:
        raise TracingError(
            f"round({self!r}) needs a number ({source_line()}); use np.round"
        )

    def __reduce__(self) -> Any:
        raise TracingError(
            f"{self!r} has no value yet and cannot be pickled ({source_line()}); "
            "return it from the function"
        )


def _place(frame: FrameType) -> tuple[int, int]:
    """A frame, and the instruction that it is at."""
    return id(frame), frame.f_lasti


def _noted(result: Any) -> Any:
    """A comparison, its trace remembering which instruction of the caller made it."""
    if isinstance(result, Tracer):
        frame = sys._getframe(2)
        result.builder.compared = (result.index, id(frame), frame.f_lasti)
    return result


def _direct(ufunc: np.ufunc, name: str) -> None:
    """Let an operator of plain operands do without NumPy, which says nothing new."""
    forward = getattr(Tracer, f"__{name}__")
    backward = getattr(Tracer, f"__r{name}__")

    def operator(self: Tracer, other: Any) -> Any:
        if type(other) in (Tracer, float, int):
            return registry.functions["ufunc.apply"](ufunc, (self, other))
        return forward(self, other)

    def reflected(self: Tracer, other: Any) -> Any:
        if type(other) in (float, int):
            return registry.functions["ufunc.apply"](ufunc, (other, self))
        return backward(self, other)

    setattr(Tracer, f"__{name}__", operator)
    setattr(Tracer, f"__r{name}__", reflected)


_direct(np.add, "add")
_direct(np.subtract, "sub")
_direct(np.multiply, "mul")
_direct(np.true_divide, "truediv")

# -- applying primitives -------------------------------------------------------


def innermost(values: Sequence[Any]) -> Trace:
    """The trace that an operation on values belongs to."""
    best: Trace | None = None
    for value in values:
        kind = type(value)
        if kind is float:
            continue
        for tracer in (value,) if kind is Tracer else inside(value):
            if tracer._view is not None:
                # A view follows its owner into the trace that wrote to it last.
                tracer.index  # noqa: B018
            if best is None or tracer.builder.level > best.level:
                best = tracer.builder
    assert best is not None, "no traced value among the operands"
    if not best.open:
        raise _leaked("a traced value")
    return best


def _leaked(value: Any) -> TracingError:
    return TracingError(
        f"{value} was kept from an earlier trace, or written to in an inner function "
        f"({source_line()}); return it from the function instead of storing it "
        "outside, and write to a copy made inside: x.copy()"
    )


def inside(value: Any) -> Iterator[Tracer]:
    """Tracers hidden in lists, tuples and object arrays."""
    if isinstance(value, Tracer):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from inside(item)
    elif isinstance(value, np.ndarray) and value.dtype == object:
        for item in value.flat:
            yield from inside(item)


def traced(value: Any) -> bool:
    """Whether value is, or contains, a traced value."""
    return next(inside(value), None) is not None


def lift(trace: Trace, value: Any, dtype: np.dtype | None = None) -> int:
    """The node of a value in a trace: its own, a captured one, or a constant."""
    if isinstance(value, Tracer):
        index = value.index
        if value.builder is not trace:
            if not value.builder.open or value.builder.level >= trace.level:
                raise _leaked(repr(value))
            index = trace.capture(value)
        if dtype is None or dtype == value.type.dtype:
            return index
        return trace.cast(index, dtype)
    if type(value) is int:
        return trace.const(whole(value, dtype))
    if type(value) is float and (dtype is None or dtype == np.float64):
        return trace.number(value, FLOATS[0])
    array = plain_array(value)
    if array.dtype == object:
        inside = assemble(trace, array) if array.ndim else array.item()
        return lift(trace, inside, dtype)
    if array.dtype not in DTYPES:
        array = array.astype(nearest(array.dtype))
    if dtype is not None and array.dtype != dtype:
        array = array.astype(dtype)
    return trace.const(array[()] if array.ndim == 0 else array)


def assemble(trace: Trace, array: np.ndarray) -> Tracer:
    """A traced array from an object array of traced scalars and numbers."""
    items = list(array.flat)
    dtype = _held_dtype(array, items) if items else np.dtype(float)
    operands = tuple([lift(trace, item, dtype) for item in items])
    shapes = {trace.nodes[i].type.shape for i in operands}
    if shapes - {()}:
        raise UnsupportedError(
            f"an object array of traced arrays of shapes {sorted(shapes)} cannot be "
            f"one array ({source_line()}); use np.stack or np.concatenate"
        )
    type = Type(dtype, array.shape)
    return Tracer(trace, trace.add(PACK, operands, type, (), trace.line()), type)


def _held_dtype(array: np.ndarray, items: list[Any]) -> np.dtype:
    """The dtype of an object array, with what was put into it.

    One made of a traced array keeps that one's, as long as any of its own numbers is
    in it; in what was computed with it Python's numbers count as of that dtype.
    """
    held = held_dtype(array)
    dtypes = {item.dtype for item in items if isinstance(item, Tracer)}
    if held is not None and (held in dtypes or not dtypes):
        return held
    others = [i for i in items if held is None or type(i) not in (int, float, bool)]
    weak = len(others) < len(items)
    return np.result_type(joint_dtype(others), *[held] * weak)


def joint_dtype(values: Sequence[Any]) -> np.dtype:
    """The dtype of an array that holds all values, as np.array and np.stack choose it.

    Unlike in arithmetic, Python numbers count as float64 and int64.
    """
    dtypes: list[np.dtype] = []
    for value in values:
        if isinstance(value, Tracer):
            dtypes.append(value.dtype)
            continue
        array = np.asarray(value)
        if array.dtype != object:
            dtypes.append(array.dtype)
        elif type(value) is int:
            # Of more than 64 bits: a float, beside others.
            dtypes.append(np.dtype(float))
        elif array.ndim or traced(value):
            dtypes.append(_held_dtype(array, list(array.flat)))
        else:
            raise UnsupportedError(
                f"{value!r} is no number ({source_line()}); expected numbers and "
                "traced values"
            )
    dtype = np.result_type(*dtypes)
    return dtype if dtype in DTYPES else nearest(dtype)


def as_tracer(trace: Trace, value: Any, dtype: np.dtype | None = None) -> Tracer:
    """Any value as a traced one: itself, if it is one of this trace and dtype."""
    if (
        isinstance(value, Tracer)
        and value.builder is trace
        and (dtype is None or dtype == value.dtype)
        and not value.weak
    ):
        return value
    index = lift(trace, value, dtype)
    return Tracer(trace, index, trace.nodes[index].type)


def renewed(value: Any, piece: Any) -> Tracer:
    """A new array with this value, laid out like piece; a scalar if piece is one."""
    made = Tracer(value.builder, value.index, value.type, value.weak)
    made.adopt(piece)
    return made
