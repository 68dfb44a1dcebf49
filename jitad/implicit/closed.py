"""Closure conversion: from f(x) that uses traced values to F(vector, parameters).

x may be any nested containers of floating-point arrays; the vector holds all their
elements.  What f captured are the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitad import tree
from jitad.calls.arrays import checked
from jitad.errors import InputError, ShapeError
from jitad.ir.graph import FLOATS, Graph, Type
from jitad.ir.interpret import inline, interpret
from jitad.ir.source import source_line
from jitad.ir.trace import Input, current, trace
from jitad.ir.tracer import Tracer, as_tracer, lift

# Jacobians are dense and eliminations unrolled, n³/3 operations and n²/2 exchanges of
# rows, which compile in half a minute for 32 unknowns.
UNKNOWNS = 32


@dataclass(frozen=True, slots=True)
class Unknown:
    """The structure of x and the types of its leaves."""

    spec: tree.PyTreeSpec
    types: tuple[Type, ...]

    @property
    def size(self) -> int:
        """How many numbers x holds."""
        return sum(t.size for t in self.types)

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the vector."""
        return np.result_type(*[t.dtype for t in self.types])

    def vector(self, leaves: Sequence[Any]) -> Any:
        """All elements of x as one traced vector."""
        flat = [np.reshape(x, (-1,)).astype(self.dtype) for x in leaves]
        return np.concatenate(flat) if len(flat) > 1 else flat[0]

    def leaves(self, vector: Any) -> list[Any]:
        """The inverse of vector."""
        stops = np.cumsum([t.size for t in self.types])
        return [
            vector[stop - t.size : stop].reshape(t.shape).astype(t.dtype)
            for t, stop in zip(self.types, stops.tolist(), strict=True)
        ]

    def whole(self, vector: Any) -> Any:
        """The vector in x's containers."""
        return tree.unflatten(self.spec, self.leaves(vector))


@dataclass(frozen=True, slots=True)
class Closed:
    """A function of a vector and parameters, for use inside a trace.

    graph   (leaves of x …, parameters …) -> (leaves of f(x) …)
    """

    graph: Graph
    unknown: Unknown

    def __call__(self, x: Any, *parameters: Any) -> Any:
        """f(x) as a vector."""
        running = current()
        assert running is not None
        given = [*self.unknown.leaves(x), *parameters]
        made = inline(running, self.graph, [lift(running, v) for v in given])
        types = self.graph.output_types
        pairs = zip(made, types, strict=True)
        return self.unknown.vector([Tracer(running, i, t) for i, t in pairs])


def close(
    name: str, f: Callable[[Any], Any], x: Any, says: str
) -> tuple[Closed, Any, tuple[Tracer, ...]]:
    """F, x as a vector and the parameters, so that F(vector, *parameters) is f(x).

    says  what f's result has to be like, for errors
    Raises InputError, ShapeError where x or f(x) are not as they have to be.
    """
    running = current()
    assert running is not None
    leaves, spec = tree.flatten(x)
    weak = [type(v) is float or (isinstance(v, Tracer) and v.weak) for v in leaves]
    values = [as_tracer(running, v) for v in leaves]
    inputs = [
        Input(Type(v.dtype, v.shape), w) for v, w in zip(values, weak, strict=True)
    ]
    _check_unknown(name, spec, inputs)
    arguments = tree.flatten(((x,), {}))[1]
    made = trace(f, arguments, inputs)
    found = made.graph.output_types
    if any(weak) and len(found) == len(inputs):
        pairs = zip(inputs, found, strict=True)
        inputs = [Input(_grown(i, t)) for i, t in pairs]
        made = trace(f, arguments, inputs)
        found = made.graph.output_types
    _check_result(name, spec, inputs, made.result, found, says)
    unknown = Unknown(spec, tuple([i.type for i in inputs]))
    vector = unknown.vector(values)
    return Closed(made.graph, unknown), vector, made.captured


def _grown(given: Input, found: Type) -> Type:
    """A number of Python takes the dtype that f gives it."""
    fits = given.weak and found.shape == given.type.shape and found.dtype in FLOATS
    return found if fits else given.type


def _check_unknown(name: str, spec: tree.PyTreeSpec, inputs: Sequence[Input]) -> None:
    where = tree.paths(tree.unflatten(spec, list(range(len(inputs)))))
    for path, given in zip(where, inputs, strict=True):
        if given.type.dtype not in FLOATS:
            raise InputError(
                f"{name}: the unknown x{path} is {given.type} ({source_line()}); "
                "expected floating-point numbers: write 1.0 for 1, or x.astype(float)"
            )
    size = sum(i.type.size for i in inputs)
    if not size:
        raise ShapeError(
            f"{name}: x has no elements ({source_line()}); expected at least one "
            "unknown"
        )
    if size > UNKNOWNS:
        raise ShapeError(
            f"{name}: {size} unknowns ({source_line()}); expected at most {UNKNOWNS}, "
            "as the kernel holds their dense Jacobian.  Solve larger systems outside "
            "it, as with scipy.optimize.root, scipy.sparse.linalg and "
            "jitad.linearize(f, x), or iterate in a jitad.while_loop"
        )


def _check_result(
    name: str,
    spec: tree.PyTreeSpec,
    inputs: Sequence[Input],
    result: tree.PyTreeSpec,
    found: Sequence[Type],
    says: str,
) -> None:
    if result != spec:
        raise InputError(
            f"{name}: f returned {result} for x of {spec} ({source_line()}); expected "
            f"{says}, in the structure of x"
        )
    where = tree.paths(tree.unflatten(spec, list(range(len(inputs)))))
    for path, given, type in zip(where, inputs, found, strict=True):
        if given.type != type:
            raise ShapeError(
                f"{name}: f(x){path} is {type} where x{path} is {given.type} "
                f"({source_line()}); expected {says}, of the same shape and dtype: "
                "convert one of them, as in x0.astype(...)"
            )


def evaluate(name: str, function: Callable[..., Any], *args: Any) -> Any:
    """function(*args) where no trace is running: traced, and interpreted at once."""
    leaves, spec = tree.flatten((args, {}))
    arrays = [checked(x, k, spec, name) for k, x in enumerate(leaves)]
    inputs = [
        Input(Type(a.dtype, a.shape), type(x) in (float, int))
        for a, x in zip(arrays, leaves, strict=True)
    ]
    made = trace(function, spec, inputs)
    results = interpret(made.graph, arrays)
    return tree.unflatten(made.result, [np.asarray(y)[()] for y in results])
