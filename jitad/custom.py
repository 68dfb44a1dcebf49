"""`primitive`: a scalar function of the user's own, with the derivative it states.

The function's value is written in NumPy terms, or compiled by Numba's @njit, which
loops, branches and looks up tables; kernels call that lane by lane.  Its partials are
always in NumPy terms, for they are traced and differentiated again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import numpy as np

from jitad.backends.cpu import scalars
from jitad.ir.bind import promote
from jitad.ir.graph import FLOATS
from jitad.ir.primitive import Primitive, registry
from jitad.ir.source import source_line
from jitad.ir.tracer import traced
from jitad.primitives.define import bind_promoted
from jitad.process.travel import known_by_name, named
from jitad.testing.differences import derivative

from .errors import InputError
from .process import locks

Value = Callable[..., Any]

# Partials may differ from differences by so much of the larger, beside their error.
_TOLERANCE = 1e-5
_UNDECIDED = 1e-2


class Custom:
    """A scalar function with a derivative: of numbers, arrays, and traced values.

    It travels by the name that the module of its value, or partials, has for it, else
    as those and all else that was given, and is then known by its number there.
    """

    def __init__(
        self, primitive: Primitive, signature: inspect.Signature, given: dict[str, Any]
    ) -> None:
        """given: what `primitive` was given."""
        self.primitive = primitive
        self.signature = signature
        self.given = given
        self.number = uuid4().hex
        self.__name__ = primitive.name

    def __reduce__(self) -> Any:
        """Travel by name, or by what was given."""
        for function in (self.given["value"], self.given["partials"]):
            for name in ("", self.__name__):
                if (found := known_by_name(self, function, name)) is not None:
                    return named, found
        return _arrived, (self.number, self.given)

    def __repr__(self) -> str:
        return f"<jitad primitive {self.__name__}{self.signature}>"

    @property
    def points(self) -> tuple[tuple[float, ...], ...]:
        """Where its derivative is tested."""
        return self.primitive.points

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The value, element by element; arguments broadcast and promote."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        args = bound.args
        if traced(args):
            return bind_promoted(self.primitive, args)
        dtype = promote(args)
        dtype = dtype if dtype.kind not in "biu" else np.dtype(np.float64)
        if dtype not in FLOATS:
            raise InputError(
                f"{self.__name__}: arguments of dtype {dtype} ({source_line()}); "
                "expected numbers that float64 or float32 hold: convert with astype"
            )
        return self.primitive.evaluate(*[np.asarray(a, dtype) for a in args])[()]


# The names that are taken: a kernel knows a function by its name.
_taken: set[str] = set()
# What was made here, or has come here, by its number.
_known: dict[str, Custom] = {}
_arriving = locks.lock()


def primitive(
    name: str | None = None,
    value: Value | None = None,
    partials: Callable[..., Sequence[Any]] | None = None,
    *,
    points: Sequence[Any] = (),
    cost: float = 20.0,
) -> Any:
    """A scalar function by its value and its partials; without value, a decorator.

        @jitad.primitive(partials=lambda y, x: [1 - y * y], points=[0.3, -2.0])
        @numba.njit
        def tanh(x):
            up, down = math.exp(x), math.exp(-x)
            return (up - down) / (up + down)

    name      new; by default the name of value
    value     (*x) -> y: in NumPy terms, element by element; or an @njit function of
              floats, pure, which is NaN where it raises an exception
    partials  (y, *x) -> [∂y/∂x_k for all k], None where it is zero, in NumPy terms and
              functions like this one: they are differentiated for second derivatives
    points    where partials are compared with differences of value, now and by
              `jitad.testing.check_primitive`: numbers, or tuples of several arguments
    cost      weighted operations, an addition being 1

    The result takes numbers, arrays and traced values, which broadcast, and computes in
    float64, or in float32 where its arguments do.

    Raises InputError for a name that exists, for partials of another number than there
    are arguments, and where they differ from the differences.
    """
    if value is None:
        return partial(
            _from_value, name=name, partials=partials, points=points, cost=cost
        )
    return _from_value(value, name=name, partials=partials, points=points, cost=cost)


def _from_value(
    value: Any,
    *,
    name: str | None,
    partials: Callable[..., Sequence[Any]] | None,
    points: Sequence[Any],
    cost: float,
) -> Custom:
    given = {
        "value": value, "name": name, "partials": partials, "points": points,
        "cost": cost,
    }  # fmt: skip
    name = str(name or getattr(value, "__name__", ""))
    _check_name(name)
    if not callable(value) or not callable(partials):
        raise InputError(
            f"primitive {name}: value is {value!r}, partials are {partials!r} "
            f"({source_line()}); expected functions; partials=lambda y, x: [None] is a "
            "derivative of zero"
        )
    compiled = scalars.is_compiled(value)
    signature = _signature(name, scalars.original(value) if compiled else value)
    arity = len(signature.parameters)
    word, expand = None, None
    if compiled:
        word = scalars.define(name, value, arity)
        evaluate = partial(_by_machine, word)
    else:
        evaluate = partial(_by_numpy, name, value)
        expand = partial(_traced, name, value)
    made = Primitive(
        name,
        "elementwise",
        evaluate,
        partial(_stated, name, partials),
        expand,
        word,
        cost,
        tuple([_point(name, p, arity) for p in points]),
    )
    for point in made.points:
        _check_partials(made, point)
    _taken.add(name)
    custom = Custom(made, signature, given)
    _known[custom.number] = custom
    return custom


def _arrived(number: str, given: dict[str, Any]) -> Custom:
    """What has come from another process, made here unless it is known already."""
    with _arriving:
        found = _known.get(number)
        if found is None:
            found = _from_value(**given)
            found.number = number
            _known[number] = found
    return found


def _check_name(name: str) -> None:
    if not (name.isidentifier() and name.isascii()):
        raise InputError(
            f"primitive: the name is {name!r} ({source_line()}); expected letters, "
            "digits and underscores: jitad.primitive('my_function', …)"
        )
    registry.complete()
    if name in _taken or name in registry.primitives:
        raise InputError(
            f"primitive: there is a primitive {name!r} already ({source_line()}); "
            "expected a new name, since compiled kernels keep to the old one"
        )


def _signature(name: str, value: Value) -> inspect.Signature:
    """The parameters of a function of a fixed number of numbers."""
    if isinstance(value, np.ufunc):
        names = [f"x{k}" for k in range(value.nin)]
        kind = inspect.Parameter.POSITIONAL_ONLY
        return inspect.Signature([inspect.Parameter(n, kind) for n in names])
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        signature = inspect.Signature()
    kinds = {p.kind for p in signature.parameters.values()}
    fixed = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    if not kinds or not kinds <= {*fixed}:
        raise InputError(
            f"primitive {name}: value has the parameters {signature} "
            f"({source_line()}); expected a fixed number of them, as lambda x: … has"
        )
    return signature


def _point(name: str, point: Any, arity: int) -> tuple[float, ...]:
    flat = tuple(np.ravel(point).astype(float).tolist())
    if len(flat) != arity:
        raise InputError(
            f"primitive {name}: a point is {point!r} ({source_line()}); expected "
            f"{arity} numbers, one per argument"
        )
    return flat


# -- value and partials --------------------------------------------------------


def _by_machine(word: str, *operands: Any) -> np.ndarray:
    """The value by the machine code that kernels call, too."""
    return scalars.apply(word, operands, np.result_type(*operands))


def _by_numpy(name: str, value: Value, *operands: Any) -> np.ndarray:
    """The value as NumPy computes it of arrays, which must be element by element."""
    shape = np.broadcast_shapes(*[np.shape(x) for x in operands])
    found = np.asarray(value(*operands))
    if found.shape != shape:
        raise InputError(
            f"primitive {name}: of arguments that broadcast to shape {shape} value "
            f"returned shape {found.shape} ({source_line()}); expected one number for "
            "each: write it element by element"
        )
    return found.astype(np.result_type(*operands), copy=False)


def _traced(name: str, value: Value, *operands: Any) -> Any:
    """The value of traced numbers."""
    found = value(*operands)
    if np.shape(found) != ():
        raise InputError(
            f"primitive {name}: of numbers value returned shape {np.shape(found)} "
            f"({source_line()}); expected a number: write it element by element"
        )
    return found


def _stated(
    name: str, partials: Callable[..., Sequence[Any]], y: Any, *operands: Any
) -> Sequence[Any]:
    """The partials, one number for every operand."""
    found = partials(y, *operands)
    count = len(operands)
    if not isinstance(found, list | tuple) or len(found) != count:
        raise InputError(
            f"primitive {name}: partials returned {found!r} ({source_line()}); "
            f"expected a list of {count}, ∂y/∂x for every argument: [None] where it is "
            "zero"
        )
    for k, p in enumerate(found):
        if p is not None and np.shape(p) != ():
            raise InputError(
                f"primitive {name}: partial {k} of numbers has shape {np.shape(p)} "
                f"({source_line()}); expected a number: write it element by element"
            )
    return found


# -- their agreement -----------------------------------------------------------


def _check_partials(made: Primitive, point: tuple[float, ...]) -> None:
    """Raise InputError where partials are not those of the value at a point.

    Where differences decide nothing, as at the edge of a domain, nothing is compared.
    """
    assert made.partials is not None
    x = np.array(point)

    def f(x: np.ndarray) -> np.ndarray:
        return np.asarray(made.evaluate(*x), float)

    with np.errstate(all="ignore"):
        stated = made.partials(f(x)[()], *x)
    unit = float(np.finfo(float).eps)
    for k, p in enumerate(stated):
        got = 0.0 if p is None else float(p)
        step = np.zeros_like(x)
        step[k] = abs(x[k]) or 1.0
        slope, error, _ = derivative(f, x, step, unit)
        want, error = float(slope / step[k]), float(error / step[k])
        largest = max(abs(want), abs(got))
        if not error <= _UNDECIDED * max(largest, 1.0):
            continue
        if not abs(want - got) <= 8 * error + _TOLERANCE * largest:
            raise InputError(
                f"primitive {made.name}: partial {k} is {got:.8g} at {point}, but "
                f"differences of value give {want:.8g} ± {error:.1g} "
                f"({source_line()}); correct partials=, or value"
            )
