"""What may be called, and read of an array, in a function that is read.

NumPy's functions are called on traced arrays as they stand; those of `math`, and the
builtins, are given NumPy's that compute the same.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Sequence
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from jitad.ir.tracer import Tracer, traced
from jitad.primitives.arrays import creation
from jitad.process.late import late

from . import frontend
from .heap import Counted, Listed, Method, Places, Range, Reference, State, Zipped
from .lines import refuse
from .numbers import (
    FLOAT,
    INT,
    binary,
    convert,
    dtype,
    known,
    number,
    plain,
    select,
    truth,
    typed,
)

special = late("scipy.special")

_ATTRIBUTES = ("shape", "size", "ndim", "dtype", "T", "real", "itemsize", "nbytes")
_METHODS = (
    *("copy", "sum", "mean", "min", "max", "prod", "dot", "reshape", "ravel"),
    *("flatten", "astype", "argmin", "argmax", "std", "var", "all", "any", "cumsum"),
    *("transpose", "item", "fill", "cumprod", "trace", "take", "repeat"),
)


def at(array: Any, key: Any) -> Any:
    """array[key], of a plain array also at a traced place."""
    if isinstance(array, np.ndarray) and traced(key):
        array = number(array)
    return array[key]


def attribute(value: Any, name: str, state: State) -> Any:
    """value.name."""
    if isinstance(value, Reference | np.ndarray):
        if name == "T":
            return state.view(value, lambda x: x.T)
        if name in _ATTRIBUTES:
            return getattr(state.load(value), name)
        if name in _METHODS:
            return Method(value, name)
        raise refuse(f".{name} of an array", "use one of NumPy's functions")
    if isinstance(value, ModuleType | type | np.dtype):
        if not hasattr(value, name):
            raise AttributeError(f"{value!r} has no {name!r}")
        found = getattr(value, name)
        return plain(found) if isinstance(found, np.generic) else found
    if isinstance(value, tuple) and name in getattr(value, "_fields", ()):
        return getattr(value, name)
    if isinstance(value, np.finfo | np.iinfo):
        return plain(getattr(value, name))
    if isinstance(value, Listed):
        raise refuse(f".{name} of a list", "fill an array instead: np.zeros, np.empty")
    raise refuse(f".{name} of a {type(value).__name__}", "expected arrays and numbers")


def call(
    function: Any, args: Sequence[Any], keywords: dict[str, Any], state: State
) -> Any:
    """function(*args, **keywords)."""
    if isinstance(function, Method):
        return _method(function, args, keywords, state)
    if frontend.is_parallel_range(function):
        function = range
    own = _OWN.get(function) if callable(function) else None
    if own is not None:
        return own(state, *args, **keywords)
    to = frontend.dtype_of(function)
    if to is None and isinstance(function, type) and issubclass(function, np.number):
        to = np.dtype(function)
    if to is not None:
        (value,) = args
        return state.hold(convert(state.load(value), to))
    if isinstance(function, type) and hasattr(function, "_fields"):
        return function(*args, **keywords)
    if isinstance(function, type) and issubclass(function, BaseException):
        return function  # whoever raises it is refused
    scalar = _scalar(function)
    if scalar is not None:
        return _elementwise(scalar, args, state)
    if isinstance(function, np.ufunc):
        return _elementwise(function, args, state, **keywords)
    module = getattr(function, "__module__", None) or ""
    if module.partition(".")[0] in ("numpy", "jitad") and "random" not in module:
        return _numpy(function, args, keywords, state)
    raise refuse(_named(function), _remedy(function))


def _named(function: Any) -> str:
    kind = type(function).__name__
    if kind in _KINDS:
        return _KINDS[kind].format(getattr(function, "__name__", ""))
    name = getattr(function, "__qualname__", None) or repr(function)
    return f"a call of {name} ({kind})"


_KINDS = {
    "StencilFunc": "a call of a @stencil function",
    "_ObjModeContextType": "objmode",
    "GUFunc": "a call of {}, a @guvectorize function,",
    "JitClassType": "a call of {}, a @jitclass,",
}


def _remedy(function: Any) -> str:
    if "random" in repr(function).lower():
        return "draw the numbers outside, and pass them as an argument"
    if isinstance(function, FunctionType):
        return "make it an @njit function"
    return "use NumPy's functions, those of math, and @njit functions"


def _scalar(function: Any) -> Callable[..., Any] | None:
    """NumPy's function for one of the module math."""
    if getattr(function, "__module__", "") != "math":
        return None
    name = function.__name__
    if name in ("erf", "erfc", "gamma"):
        return getattr(special, name)
    if name == "lgamma":
        return special.gammaln
    found = _MATH.get(name)
    if found is None:
        raise refuse(f"math.{name}", "use NumPy's function")
    return found


def _whole(rounded: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: convert(rounded(convert(x, FLOAT)), INT)


_MATH: dict[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in (
        *("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "log", "log2", "log10"),
        *("log1p", "expm1", "sqrt", "hypot", "fabs", "copysign", "isnan", "isinf"),
        *("isfinite", "degrees", "radians", "fmod"),
    )
}
_MATH |= {
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "pow": np.power,
    "floor": _whole(np.floor), "ceil": _whole(np.ceil), "trunc": _whole(np.trunc),
}  # fmt: skip


def _elementwise(
    function: Callable[..., Any], args: Sequence[Any], state: State, **keywords: Any
) -> Any:
    """A function of numbers and arrays, numbers having the types that Numba gives."""
    given = [typed(state.load(x)) for x in args]
    if isinstance(function, np.ufunc) and function not in _KEEPING:
        given = [
            convert(x, FLOAT) if dtype(x).kind in "biu" and _floats(function) else x
            for x in given
        ]
    with np.errstate(all="ignore"):
        return state.hold(function(*given, **keywords))


_KEEPING = {np.add, np.subtract, np.multiply, np.maximum, np.minimum, np.abs, np.sign}


def _floats(function: np.ufunc) -> bool:
    """Whether integers are computed with as floats."""
    return not any(t.startswith(("l", "?")) for t in function.types)


def _numpy(
    function: Callable[..., Any],
    args: Sequence[Any],
    keywords: dict[str, Any],
    state: State,
) -> Any:
    """One of NumPy's functions, views included."""
    made = _CREATION.get(function, function)
    keywords = {k: _plain_argument(v, state) for k, v in keywords.items()}
    places = [k for k, x in enumerate(args) if isinstance(x, Reference)]
    if function in _CREATION:
        _need_known(function, args[:1])
    if len(places) == 1:
        (place,) = places
        rest = [_plain_argument(x, state) for x in args]

        def seen(x: Any) -> Any:
            return made(*rest[:place], x, *rest[place + 1 :], **keywords)

        return state.view(args[place], seen)
    return state.hold(made(*[_plain_argument(x, state) for x in args], **keywords))


def _need_known(function: Callable[..., Any], shape: Sequence[Any]) -> None:
    if traced(list(shape)):
        raise refuse(
            f"np.{function.__name__} of a size that is not known while tracing",
            "give the size by an argument's shape, or by a number that is no argument "
            "of what is transformed: jitad.grad(lambda x: f(x, 100))",
        )


def _plain_argument(value: Any, state: State) -> Any:
    if isinstance(value, Listed):
        return [_plain_argument(x, state) for x in value.items]
    if isinstance(value, tuple):
        return tuple([_plain_argument(x, state) for x in value])
    to = frontend.dtype_of(value)
    return state.load(value) if to is None else to


def _like(make: Callable[..., Any]) -> Callable[..., Any]:
    """(array, dtype) -> one of its shape, by a function (shape, dtype) -> array."""
    return lambda a, dtype=None: make(a.shape, a.dtype if dtype is None else dtype)


_CREATION: dict[Any, Callable[..., Any]] = {
    np.empty: lambda shape, dtype=float: creation.empty(shape, dtype),
    np.full: creation.full,
    np.array: creation.array,
    np.zeros: np.zeros,
    np.ones: np.ones,
    np.empty_like: _like(creation.empty),
    np.zeros_like: _like(np.zeros),
    np.ones_like: _like(np.ones),
}


def _method(
    method: Method, args: Sequence[Any], keywords: dict[str, Any], state: State
) -> Any:
    array, name = method
    if name == "fill":
        state.store(array, ..., args[0])
        return None
    given = [_plain_argument(x, state) for x in args]
    keywords = {k: _plain_argument(v, state) for k, v in keywords.items()}
    if name == "copy":
        return state.hold(np.copy(state.load(array), order="C"))
    return state.view(array, lambda x: getattr(x, name)(*given, **keywords))


# -- builtins --------------------------------------------------------------------------


def _range(state: State, *args: Any) -> Range:
    for x in args:
        if not known(x) and dtype(x).kind not in "iu":
            raise refuse("range of what is no whole number", "convert with int()")
    if len(args) == 1:
        return Range(0, args[0], 1)
    return Range(args[0], args[1], args[2] if len(args) > 2 else 1)


def _len(state: State, value: Any) -> int:
    if isinstance(value, Listed):
        return len(value.items)
    return len(state.load(value))


def _abs(state: State, value: Any) -> Any:
    if known(value):
        return abs(value)
    return state.hold(np.abs(state.load(value)))


def _extreme(comparison: Callable[..., Any]) -> Callable[..., Any]:
    def extreme(state: State, *args: Any) -> Any:
        if len(args) == 1:
            args = args[0] if isinstance(args[0], tuple) else args
        if len(args) < 2 or any(isinstance(x, Reference) for x in args):
            raise refuse("min or max of an array", "use np.min or np.max")
        best = args[0]
        for other in args[1:]:
            before = binary(comparison, other, best)
            if isinstance(before, Tracer):
                best = select(before, other, best)
            else:
                to = np.result_type(dtype(best), dtype(other))
                best = convert(other if before else best, to)
        return best

    return extreme


def _int(state: State, value: Any = 0) -> Any:
    return convert(state.load(value), INT)


def _float(state: State, value: Any = 0.0) -> Any:
    return convert(state.load(value), FLOAT)


def _round(state: State, value: Any, digits: Any = None) -> Any:
    found = plain(np.round(typed(state.load(value)), 0 if digits is None else digits))
    return convert(found, INT) if digits is None else found


def _sum(state: State, value: Any, start: Any = 0) -> Any:
    if not isinstance(value, tuple):
        raise refuse("sum of an array", "use np.sum")
    for x in value:
        start = binary(operator.add, start, x)
    return start


def _divmod(state: State, a: Any, b: Any) -> Any:
    return binary(operator.floordiv, a, b), binary(operator.mod, a, b)


def _tuple(state: State, value: Any = ()) -> Any:
    if isinstance(value, tuple):
        return value
    raise refuse("tuple of an array or a list", "write its items: (x[0], x[1])")


def _slice(state: State, *args: Any) -> slice:
    if traced(list(args)):
        raise refuse(
            "a slice whose ends are not known while tracing",
            "write a loop over its elements",
        )
    return slice(*args)


def _reversed(state: State, items: Any) -> Any:
    if isinstance(items, Range) and known(items.step) and items.step == 1:
        last = binary(operator.sub, items.stop, 1)
        return Range(last, binary(operator.sub, items.start, 1), -1)
    if type(items) is tuple:
        return items[::-1]
    if isinstance(items, Reference):
        return state.view(items, lambda x: x[::-1])
    raise refuse(f"reversed of a {type(items).__name__}", "write range(n - 1, -1, -1)")


def _print(state: State, *args: Any) -> None:
    raise refuse("print", "return what you want to see")


_OWN: dict[Any, Callable[..., Any]] = {
    range: _range,
    len: _len,
    abs: _abs,
    min: _extreme(operator.lt),
    max: _extreme(operator.gt),
    int: _int,
    float: _float,
    bool: lambda state, value=False: truth(state.load(value)),
    round: _round,
    sum: _sum,
    divmod: _divmod,
    tuple: _tuple,
    slice: _slice,
    reversed: _reversed,
    pow: lambda state, a, b: binary(operator.pow, a, b),
    enumerate: lambda state, items, start=0: Counted(items, start),
    zip: lambda state, *items: Zipped(items),
    np.ndindex: lambda state, *shape: Places(
        shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape
    ),
    builtins.print: _print,
}
