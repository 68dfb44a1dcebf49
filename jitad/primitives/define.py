"""How a primitive is added: one call of elementwise, structure, composite or derived.

    sin = elementwise("sin", np.sin, word="sin", cost=20,
                      partials=lambda y, x: [np.cos(x)])

That is all of sin: value, forward, reverse and second derivatives, sparsity, tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from jitad.ir.bind import bind, cast, promote, representative
from jitad.ir.graph import Static, Type
from jitad.ir.primitive import Primitive, Steep, registry
from jitad.ir.resolve import loop_dtypes
from jitad.ir.structure import bind_structure, fill_call
from jitad.ir.tracer import Tracer, as_tracer, innermost, lift
from jitad.ir.views import kept_order

Function = Callable[..., Any]

# Of weak numbers alone these give a weak number.
_WEAK = {
    np.add, np.subtract, np.multiply, np.true_divide, np.negative, np.power,
    np.floor_divide, np.remainder, np.left_shift, np.right_shift, np.bitwise_and,
    np.bitwise_or, np.bitwise_xor, np.invert,
}  # fmt: skip


def elementwise(
    name: str,
    ufunc: Any = None,
    *,
    partials: Function | None = None,
    expand: Function | None = None,
    evaluate: Function | None = None,
    word: str | None = None,
    cost: float = 1.0,
    points: Sequence[tuple[float, ...]] = (),
    unknown: dict[int, str] | None = None,
    piece: Function | None = None,
    square: Function | None = None,
    steep: Steep | None = None,
) -> Primitive:
    """A scalar function: found when NumPy's (or SciPy's) ufunc meets a tracer.

    With a word and no partials its derivative is zero (rounding, comparisons).
    With an expansion and no partials it is differentiated through the expansion.
    With kinks it states a piece, or what it is the root of: see `Primitive`.
    """
    primitive = registry.add(
        Primitive(
            name, "elementwise", evaluate or ufunc, partials, expand, word, cost,
            tuple(points), unknown or {}, piece, square, steep,
        )
    )  # fmt: skip
    if ufunc is not None:
        registry.ufuncs[ufunc] = _handler(ufunc, primitive)
    if square is not None:
        plain_root(primitive)
    return primitive


@cache
def plain_root(primitive: Primitive) -> Primitive:
    """What a root becomes once its kink at 0 is dealt with."""

    def expand(*xs: Any) -> Any:
        return bind(primitive, xs, [None] * len(xs), xs[0].dtype)

    name = f"{primitive.name}_plain"
    made = replace(primitive, name=name, word=None, expand=expand, square=None)
    return registry.add_inner(made)


def only_weak(kinds: Sequence[Any]) -> bool:
    """Whether what `representative` gives is of Python's numbers alone."""
    return all([k is float or k is int for k in kinds])


def _handler(ufunc: np.ufunc, primitive: Primitive) -> Function:
    """The handler of a ufunc that one primitive computes."""
    may_be_weak = ufunc in _WEAK

    @cache
    def known(kinds: tuple[Any, ...]) -> tuple[Any, np.dtype, bool]:
        """The dtypes of operands and result, and whether the result is weak."""
        *dtypes, dtype = loop_dtypes(ufunc, kinds)
        return dtypes, dtype, may_be_weak and only_weak(kinds)

    def handler(*args: Any) -> Tracer:
        dtypes, dtype, weak = known(tuple([representative(a) for a in args]))
        result = bind(primitive, args, dtypes, dtype)
        result.weak = weak
        return result

    return handler


def structure(function: Function, *, name: str | None = None) -> Primitive:
    """A function that only moves elements (or fills in zeros): NumPy does the moving.

    Shape inference, scalarization and views all make the same call, on other arrays.
    """

    def evaluate(*operands: Any, call: Any) -> Any:
        args, kwargs = fill_call(call, operands)
        return function(*args, **kwargs)

    label = name or getattr(function, "__name__", "structure")
    primitive = registry.add(Primitive(label, "structure", evaluate, cost=0))

    def handler(*args: Any, **kwargs: Any) -> Any:
        return bind_structure(primitive, args, kwargs)

    registry.functions[function] = handler
    return primitive


def composite(
    name: str,
    evaluate: Function,
    expand: Function,
    function: Any = None,
    *,
    signature: Function | None = None,
    limit: Function | None = None,
) -> Primitive:
    """An array function that is made of scalar ones when a graph is scalarized.

    evaluate   (*arrays, **params) -> array, NumPy's own function
    expand     (*object arrays of traced scalars, **params) -> object array or scalar
    function   NumPy's function that it handles; its arguments must be those of
               `signature` (default: one array, then parameters by name)
    limit      as of `Primitive`
    """
    primitive = registry.add(
        Primitive(name, "composite", evaluate, expand=expand, limit=limit)
    )
    if function is not None:
        registry.functions[function] = signature or (
            lambda x, **params: bind_composite(primitive, [x], params)
        )
    return primitive


def bind_composite(
    primitive: Primitive,
    operands: Sequence[Any],
    params: dict[str, Any],
    like: Sequence[np.ndarray] | None = None,
    result: np.ndarray | None = None,
) -> Tracer:
    """Apply a composite; its type is what NumPy's function gives on dummy operands.

    like    smaller arrays than the operands' own that have a result of the same type
    result  an array like the result, where to compute one would take long
    """
    trace = innermost(operands)
    tracers = [o if isinstance(o, Tracer) else as_tracer(trace, o) for o in operands]
    if result is None:
        dummies = like or [t.ones() for t in tracers]
        with np.errstate(all="ignore"):
            result = np.asarray(primitive.evaluate(*dummies, **params))
    type = Type(result.dtype, result.shape)
    indices = tuple([lift(trace, t) for t in tracers])
    packed = tuple((k, Static(v)) for k, v in params.items())
    made = Tracer(
        trace, trace.add(primitive, indices, type, packed, trace.line()), type
    )
    if type.shape:
        made.adopt(result)
    return made


def bind_promoted(primitive: Primitive, args: Sequence[Any]) -> Tracer:
    """Apply an elementwise primitive whose operands all take the promoted dtype."""
    dtype = promote(args)
    if dtype.kind != "f":
        dtype = np.dtype(np.float64)
    return bind(primitive, args, [dtype] * len(args), dtype)


def derived(*functions: Any, moves: bool = False) -> Callable[[Function], Function]:
    """Declare that tracing one of functions runs the decorated Python instead.

    That holds of lists and arrays of objects with traced values in them, too, unless a
    function only moves elements, which it does in arrays of objects by itself.

    A ufunc still refuses the operands for which NumPy has no loop, or computes in a
    dtype that jitad does not, such as float16 for the sine of a bool.  Integers and
    bools that it computes in another dtype come in this one.
    """

    def declare(body: Function) -> Function:
        for function in functions:
            if isinstance(function, np.ufunc):
                registry.ufuncs[function] = _with_loop(function, body)
            else:
                registry.functions[function] = body
                if not moves:
                    registry.stacking.add(function)
        return body

    return declare


def _with_loop(ufunc: np.ufunc, body: Function) -> Function:
    def handler(*args: Any) -> Any:
        kinds = tuple([representative(a) for a in args])
        loop = loop_dtypes(ufunc, kinds)
        result = body(*[_in_loop(*given) for given in zip(args, kinds, loop)])  # noqa: B905
        if ufunc.signature is not None:
            return result
        parts = result if isinstance(result, tuple) else (result,)
        made = tuple([as_made(part, args) for part in parts])
        return made if isinstance(result, tuple) else made[0]

    return handler


def as_made(result: Any, args: Sequence[Any]) -> Any:
    """The result of a ufunc: a scalar, or a new array in NumPy's order "K"."""
    if not isinstance(result, Tracer):
        return result
    made = Tracer(result.builder, result.index, result.type, result.weak)
    if result.ndim > 1:
        made._layout = kept_order(args, result.shape)
    return made


def _in_loop(value: Any, kind: Any, dtype: np.dtype) -> Any:
    """A traced integer or bool in the dtype that a ufunc computes in; others as is."""
    if not isinstance(value, Tracer) or value.dtype.kind == "f" or dtype.kind == "b":
        return value
    return value if isinstance(kind, type) else cast(value, dtype)
