"""The traced value, and the protocols by which NumPy hands its calls over to it.

A Tracer stands for one node of the graph being grown.  NumPy finds it through
`__array_ufunc__` and `__array_function__`; handlers live in the registry.  In-place
writes rebind the node, and views (slices, transposes) see the writes of their base,
as NumPy's do.  `bind` applies a primitive; start reading there.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from jitad.errors import TracingError, UnsupportedError
from jitad.ir.graph import (
    DTYPES,
    FLOATS,
    INPUT,
    PACK,
    Builder,
    Slot,
    Static,
    Type,
    arguments,
    scalar,
)
from jitad.ir.primitive import Primitive, registry

_PACKAGE = str(Path(__file__).resolve().parent.parent)
_SKIP = (_PACKAGE, str(Path(np.__file__).resolve().parent), "<frozen", "<__array")


def source_line() -> str:
    """The user's line that runs now, as file:line."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_SKIP):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""


class Trace(Builder):
    """A Builder that belongs to a running trace, and takes in values from outer ones."""

    def __init__(self, level: int, simplify: Any = None, lines: bool = True) -> None:
        super().__init__(simplify)
        self.level = level
        self.lines = lines
        self.open = True
        self.captured: dict[tuple[int, int], tuple[Tracer, int]] = {}

    def capture(self, tracer: Tracer) -> int:
        """The input of this graph that carries a value of an enclosing trace."""
        index = tracer.index
        key = (id(tracer.trace), index)
        if key not in self.captured:
            self.captured[key] = (tracer, self.input(tracer.type))
        return self.captured[key][1]

    def line(self) -> str:
        """The user's line, where this trace records lines."""
        return source_line() if self.lines else ""


class Tracer(NDArrayOperatorsMixin):
    """An array whose value is not known yet: it has a dtype, a shape and a node."""

    __slots__ = (
        "_index",
        "_parent",
        "_seen",
        "_version",
        "_view",
        "trace",
        "type",
        "weak",
    )
    __array_priority__ = 1000

    def __init__(
        self, trace: Trace, index: int, type: Type, weak: bool = False
    ) -> None:
        self.trace = trace
        self._index = index
        self.type = type
        self.weak = weak
        self._parent: Tracer | None = None
        self._view: Callable[[Any], Any] | None = None
        self._seen = 0
        self._version = 0

    # -- what it is ------------------------------------------------------------

    @property
    def dtype(self) -> np.dtype:
        """The dtype."""
        return self.type.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return self.type.shape

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

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"len() of {self!r}, which has no axes")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tracer]:
        return (self[i] for i in range(len(self)))

    # -- in-place writes and views ---------------------------------------------

    def _stamp(self) -> int:
        """Counts the writes to this value and to what it is a view of."""
        return self._version + (self._parent._stamp() if self._parent else 0)

    @property
    def index(self) -> int:
        """The node that holds the current value."""
        parent = self._parent
        if parent is not None and parent._stamp() != self._seen:
            self._positions()
            if self._parent is not None:
                assert self._view is not None
                self._index = self._view(parent).index
                self._seen = parent._stamp()
        return self._index

    def as_view(self, parent: Tracer, view: Callable[[Any], Any]) -> Tracer:
        """Remember that this value is view(parent), so that writes reach the parent."""
        self._parent, self._view, self._seen = parent, view, parent._stamp()
        return self

    def _positions(self) -> tuple[Tracer, np.ndarray]:
        """The array that owns the memory, and where in it the elements lie.

        NumPy itself decides what is a view: the same calls are made on an array of
        positions.  What turns out to be a copy owns its memory from then on.
        """
        if self._parent is None:
            return self, np.arange(self.size).reshape(self.shape)
        assert self._view is not None
        root, positions = self._parent._positions()
        here = self._view(positions)
        if not np.shares_memory(here, positions):
            self._parent = self._view = None
            return self, np.arange(self.size).reshape(self.shape)
        return root, here

    def write(self, value: Tracer) -> None:
        """Replace the value: this array's, and its base's where it is a view."""
        root, positions = self._positions()
        if root is self:
            self._index = value.index
            self._version += 1
            return
        put = registry.primitives["put"]
        flat = Static(positions)
        operands = (root.index, value.index)
        root._index = self.trace.add(
            put, operands, root.type, (("positions", flat),), self.trace.line()
        )
        root._version += 1

    def _update(self, ufunc: np.ufunc, other: Any) -> Any:
        result = ufunc(self, other)
        if not self.shape:
            return result
        if not np.can_cast(result.dtype, self.dtype, "same_kind"):
            raise UnsupportedError(
                f"cannot write {result.dtype} into {self!r} in place; use "
                f"x = x {ufunc.__name__} y, or x.astype({result.dtype})"
            )
        if result.shape != self.shape:
            raise ValueError(
                f"in-place {ufunc.__name__}: the result has shape {result.shape}, "
                f"the array {self.shape}"
            )
        self.write(cast(result, self.dtype))
        return self

    def __iadd__(self, other: Any) -> Any:
        return self._update(np.add, other)

    def __isub__(self, other: Any) -> Any:
        return self._update(np.subtract, other)

    def __imul__(self, other: Any) -> Any:
        return self._update(np.multiply, other)

    def __itruediv__(self, other: Any) -> Any:
        return self._update(np.true_divide, other)

    def __ifloordiv__(self, other: Any) -> Any:
        return self._update(np.floor_divide, other)

    def __imod__(self, other: Any) -> Any:
        return self._update(np.remainder, other)

    def __ipow__(self, other: Any) -> Any:
        return self._update(np.power, other)

    def __pow__(self, other: Any) -> Any:
        return registry.functions["power"](self, other)

    def __getitem__(self, key: Any) -> Tracer:
        return registry.functions["getitem"](self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        registry.functions["setitem"](self, key, value)

    # -- NumPy's protocols -----------------------------------------------------

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any
    ) -> Any:
        if method == "__call__":
            if not kwargs:
                return apply_ufunc(ufunc, inputs)
            return _ufunc_with_options(ufunc, inputs, kwargs)
        handler = registry.functions.get(f"ufunc.{method}")
        if handler is None:
            raise UnsupportedError(
                f"np.{ufunc.__name__}.{method} cannot be traced ({source_line()}); "
                "write it with array expressions"
            )
        return handler(ufunc, *inputs, **kwargs)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        handler = registry.functions.get(function)
        if handler is None:
            name = f"{function.__module__}.{function.__name__}"
            raise UnsupportedError(
                f"{name} cannot be traced ({source_line()}); write it with functions "
                "that can, or give it a derivative of its own with jitad.primitive"
            )
        return handler(*args, **kwargs)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        """An object array of traced scalars: what np.asarray makes of a tracer."""
        if dtype is not None and np.dtype(dtype) != object:
            raise TracingError(
                f"{self!r} cannot become a concrete {np.dtype(dtype)} array "
                f"({source_line()}); an array from np.zeros cannot hold traced values: "
                "make it with jitad.zeros or np.zeros_like(x), or assemble it with "
                "np.stack"
            )
        result = np.empty(self.shape, object)
        for position in np.ndindex(self.shape):
            result[position] = self[position] if position else self
        return result

    def __getattr__(self, name: str) -> Any:
        method = registry.functions.get(f"method.{name}")
        if method is None:
            raise AttributeError(
                f"{self!r} has no attribute {name!r}; a traced array has the array "
                "methods that are listed in jitad's documentation"
            )
        return method(self)

    def __hash__(self) -> int:
        return id(self)

    # -- what it refuses -------------------------------------------------------

    def __bool__(self) -> bool:
        raise TracingError(
            f"the truth of {self!r} is not known while tracing ({source_line()}): "
            "if, while, and, or, not, min, max and chained comparisons need a number; "
            "use np.where, np.minimum, np.maximum, & and |"
        )

    def __float__(self) -> float:
        raise TracingError(
            f"{self!r} has no value yet ({source_line()}): float() and functions of "
            "the math module need a number; use NumPy's function of the same name. "
            "An array from np.zeros cannot hold traced values: make it with "
            "jitad.zeros or np.zeros_like(x)"
        )

    __int__ = __complex__ = __float__

    def __index__(self) -> int:
        raise TracingError(
            f"{self!r} has no value yet ({source_line()}), so it cannot be a shape, a "
            "range or a list index; pass it as a plain Python value, for instance "
            "with functools.partial"
        )

    def __contains__(self, item: Any) -> bool:
        return bool(self)


# -- applying primitives -------------------------------------------------------


def innermost(values: Sequence[Any]) -> Trace:
    """The trace that an operation on values belongs to."""
    best: Trace | None = None
    for value in values:
        if isinstance(value, Tracer) and (
            best is None or value.trace.level > best.level
        ):
            best = value.trace
    if best is None:
        found = [t for v in values for t in _inside(v)]
        assert found, "no traced value among the operands"
        return innermost(found)
    return best


def _inside(value: Any) -> Iterator[Tracer]:
    """Tracers hidden in lists, tuples and object arrays."""
    if isinstance(value, Tracer):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _inside(item)
    elif isinstance(value, np.ndarray) and value.dtype == object:
        for item in value.flat:
            yield from _inside(item)


def traced(value: Any) -> bool:
    """Whether value is, or contains, a traced value."""
    return next(_inside(value), None) is not None


def lift(trace: Trace, value: Any, dtype: np.dtype | None = None) -> int:
    """The node of a value in a trace: its own, a captured one, or a constant."""
    if isinstance(value, Tracer):
        if value.trace is trace:
            index = value.index
        else:
            if not value.trace.open or value.trace.level >= trace.level:
                raise TracingError(
                    f"{value!r} was kept from an earlier trace ({source_line()}); "
                    "return it from the function instead of storing it outside"
                )
            index = trace.capture(value)
        if dtype is None or dtype == value.dtype:
            return index
        return _cast(trace, index, dtype)
    array = np.asarray(value)
    if array.dtype == object:
        stacked = assemble(trace, array)
        return lift(trace, stacked, dtype)
    if array.dtype not in DTYPES:
        array = array.astype(_nearest(array.dtype))
    if dtype is not None and array.dtype != dtype:
        array = array.astype(dtype)
    return trace.const(array[()] if array.ndim == 0 else array)


def _nearest(dtype: np.dtype) -> np.dtype:
    """The dtype that holds constants of dtype exactly, or an error."""
    if dtype.kind in "iu" and dtype != np.uint64:
        return np.dtype(np.int64)
    raise UnsupportedError(
        f"values of dtype {dtype} cannot be traced ({source_line()}); jitad computes "
        "in float64, float32, int64, int32 and bool"
    )


def assemble(trace: Trace, array: np.ndarray) -> Tracer:
    """A traced array from an object array of traced scalars and numbers."""
    items = list(array.flat)
    dtype = promote(items) if items else np.dtype(float)
    operands = tuple([lift(trace, item, dtype) for item in items])
    shapes = {trace.nodes[i].type.shape for i in operands}
    if shapes - {()}:
        raise UnsupportedError(
            f"an object array of traced arrays of shapes {sorted(shapes)} cannot be "
            f"one array ({source_line()}); use np.stack or np.concatenate"
        )
    type = Type(dtype, array.shape)
    return Tracer(trace, trace.add(PACK, operands, type, (), trace.line()), type)


def as_tracer(trace: Trace, value: Any, dtype: np.dtype | None = None) -> Tracer:
    """Any value as a traced one."""
    index = lift(trace, value, dtype)
    return Tracer(trace, index, trace.nodes[index].type)


def _cast(trace: Trace, index: int, dtype: np.dtype) -> int:
    type = Type(dtype, trace.nodes[index].type.shape)
    return trace.apply(registry.primitives["cast"], (index,), type)


def cast(value: Tracer, dtype: Any) -> Tracer:
    """The value converted as NumPy's astype does."""
    dtype = np.dtype(dtype)
    if dtype not in DTYPES:
        dtype = _nearest(dtype)
    if value.dtype == dtype:
        return value
    index = _cast(value.trace, value.index, dtype)
    return Tracer(value.trace, index, value.trace.nodes[index].type)


def representative(value: Any) -> Any:
    """What stands for a value where NumPy promotes: a dtype or a Python number type."""
    if isinstance(value, Tracer):
        if value.weak:
            return float if value.dtype.kind == "f" else int
        return value.type.dtype
    if type(value) in (float, int, bool):
        return bool_or_type(value)
    array = np.asarray(value)
    if array.dtype == object:
        return promote(list(array.flat))
    return array.dtype


def bool_or_type(value: Any) -> Any:
    """Python's float and int are weak; its bool is NumPy's."""
    return np.dtype(bool) if type(value) is bool else type(value)


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
    shapes = {nodes[i].type.shape for i in operands}
    if shapes == {()}:
        type = scalar(dtype)
    else:
        type = Type(dtype, np.broadcast_shapes(*shapes))
    index = trace.apply(primitive, operands, type, trace.line())
    return Tracer(trace, index, type)


@lru_cache(maxsize=4096)
def loop_dtypes(ufunc: np.ufunc, kinds: tuple[Any, ...]) -> tuple[np.dtype, ...]:
    """The dtypes that NumPy's ufunc computes in, for operand dtypes or number types."""
    try:
        resolved = ufunc.resolve_dtypes((*kinds, *(None,) * ufunc.nout))
    except TypeError:
        # Some ufuncs (scipy.special's) resolve no weak numbers.
        dtypes = tuple(np.dtype(k) for k in kinds)
        resolved = ufunc.resolve_dtypes((*dtypes, *(None,) * ufunc.nout))
    for dtype in resolved:
        if dtype not in DTYPES:
            found = ", ".join(map(str, kinds))
            raise UnsupportedError(
                f"np.{ufunc.__name__} of {found} computes in {dtype}; jitad computes "
                "in float64, float32, int64, int32 and bool"
            )
    return resolved


def apply_ufunc(ufunc: np.ufunc, args: Sequence[Any]) -> Any:
    """What a NumPy ufunc does to traced values."""
    handler = registry.ufuncs.get(ufunc)
    if handler is None:
        raise UnsupportedError(
            f"{ufunc.__name__} cannot be traced ({source_line()}); write it with "
            "functions that can, or give it a derivative with jitad.primitive"
        )
    return handler(*args)


_WEAK = {np.add, np.subtract, np.multiply, np.true_divide, np.negative, np.power}


def elementwise_handler(ufunc: np.ufunc, primitive: Primitive) -> Callable[..., Any]:
    """The handler of a ufunc that one primitive computes."""

    def handler(*args: Any) -> Tracer:
        kinds = tuple([representative(a) for a in args])
        loop = loop_dtypes(ufunc, kinds)
        result = bind(primitive, args, loop[:-1], loop[-1])
        result.weak = ufunc in _WEAK and all(k is float or k is int for k in kinds)
        return result

    return handler


def _ufunc_with_options(
    ufunc: np.ufunc, inputs: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """A ufunc call with out=, where= or dtype=."""
    out = kwargs.pop("out", None)
    where = kwargs.pop("where", True)
    dtype = kwargs.pop("dtype", None)
    kwargs.pop("casting", None)
    if kwargs:
        raise UnsupportedError(
            f"np.{ufunc.__name__}({next(iter(kwargs))}=…) cannot be traced "
            f"({source_line()})"
        )
    if dtype is not None:
        trace = innermost(inputs)
        inputs = tuple(as_tracer(trace, a, np.dtype(dtype)) for a in inputs)
    result = apply_ufunc(ufunc, inputs)
    if out is None:
        if where is not True:
            raise UnsupportedError(
                f"np.{ufunc.__name__}(where=…) without out= leaves elements "
                f"undefined ({source_line()}); use np.where"
            )
        return result
    target = out[0] if isinstance(out, tuple) else out
    if not isinstance(target, Tracer):
        raise TracingError(
            f"np.{ufunc.__name__}(out=…) of a concrete array cannot hold traced "
            f"values ({source_line()}); make it with jitad.zeros or np.empty_like(x)"
        )
    if where is not True:
        result = np.where(where, result, target)
    if result.shape != target.shape:
        result = np.broadcast_to(result, target.shape)
    target.write(cast(result, target.dtype))
    return target


# -- structures ----------------------------------------------------------------


def split_operands(value: Any, operands: list[Any]) -> Any:
    """Replace traced values inside arguments by slots, collecting them."""
    if isinstance(value, Tracer):
        operands.append(value)
        return Slot(len(operands) - 1)
    if isinstance(value, np.ndarray) and value.dtype == object and traced(value):
        operands.append(value)
        return Slot(len(operands) - 1)
    if isinstance(value, list | tuple) and traced(value):
        return tuple(split_operands(v, operands) for v in value)
    return value


def fill_slots(value: Any, operands: Sequence[Any]) -> Any:
    """The inverse of split_operands."""
    if isinstance(value, Slot):
        return operands[value.index]
    if type(value) is tuple:
        return tuple(fill_slots(v, operands) for v in value)
    return value


def bind_structure(primitive: Primitive, args: Any, kwargs: Any) -> Any:
    """Apply a structure: the same NumPy call, on whatever the operands are."""
    operands: list[Any] = []
    call = (
        split_operands(args, operands),
        {k: split_operands(v, operands) for k, v in kwargs.items()},
    )
    trace = innermost(operands)
    tracers = [as_tracer(trace, o) for o in operands]
    dummies = [np.broadcast_to(np.zeros((), t.dtype), t.shape) for t in tracers]
    result = primitive.evaluate(*dummies, call=call)
    several = isinstance(result, list | tuple)
    dtype = np.result_type(*(d.dtype for d in dummies))
    indices = tuple([lift(trace, t, dtype) for t in tracers])
    line = trace.line()
    made = []
    for part, piece in enumerate(result if several else [result]):
        params = (("call", Static(call)), *((("part", part),) if several else ()))
        type = Type(dtype, np.shape(piece))
        tracer = Tracer(trace, trace.add(primitive, indices, type, params, line), type)
        if len(operands) == 1 and isinstance(operands[0], Tracer) and type.shape:
            tracer.as_view(operands[0], _Viewed(primitive, call, part, several))
        made.append(tracer)
    return made if several else made[0]


class _Viewed:
    """The call that made a view, to be made again on other arrays."""

    __slots__ = ("call", "part", "primitive", "several")

    def __init__(self, primitive: Primitive, call: Any, part: int, several: bool):
        self.primitive, self.call = primitive, call
        self.part, self.several = part, several

    def __call__(self, array: Any) -> Any:
        if isinstance(array, Tracer):
            args, kwargs = fill_call(self.call, [array])
            result = bind_structure(self.primitive, args, kwargs)
        else:
            result = self.primitive.evaluate(array, call=self.call)
        return result[self.part] if self.several else result


def fill_call(call: Any, operands: Sequence[Any]) -> tuple[tuple, dict]:
    """The arguments of a structure's NumPy call, with operands in their places."""
    args, kwargs = call
    filled = {k: fill_slots(v, operands) for k, v in kwargs.items()}
    return fill_slots(tuple(args), operands), filled


def stack_values(values: Sequence[Any], shape: tuple[int, ...], trace: Trace) -> Tracer:
    """A traced array of the given shape from traced scalars."""
    array = np.empty(len(values), object)
    array[:] = values
    return assemble(trace, array.reshape(shape))


__all__ = [
    "FLOATS",
    "INPUT",
    "Trace",
    "Tracer",
    "apply_ufunc",
    "arguments",
    "as_tracer",
    "bind",
    "bind_structure",
    "cast",
    "elementwise_handler",
    "fill_call",
    "innermost",
    "lift",
    "operator",
    "promote",
    "source_line",
    "stack_values",
    "traced",
]
