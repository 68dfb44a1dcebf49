"""Derivatives along directions: products of a Jacobian with tangents and cotangents.

The names and conventions are JAX's.  Each is a sentence of verbs of `deriving`, as the
transformations of `api` are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitad.calls.function import Function
from jitad.calls.linear_map import LinearMap
from jitad.calls.seeds import seeds_like
from jitad.calls.where import where
from jitad.ir.graph import Graph
from jitad.ir.trace import Input
from jitad.plan.derived import Derived
from jitad.process.travel import Product
from jitad.transforms.derivatives.differentiate import pullback, pushforward

from . import asking, deriving, tree
from .api import jit, vmap
from .documentation import title as _name


def jvp(
    f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Any, Any]:
    """(x -> y)  ->  (y, ẏ = ∂y/∂x · ẋ) at primals, along tangents.

    primals   the arguments of f, in a tuple
    tangents  ẋ, of the structure and shapes of primals, or with one more leading axis
              K: then ẏ has it too, and one kernel evaluates all K
    ẏ has y's structure and shapes.
    Raises InputError, ShapeError for tangents that are not like primals.
    """
    primals = tuple(primals)
    tangents, count = seeds_like("jvp", primals, tuple(tangents))
    if count is None:
        return _pushforward(f)(primals, tangents)
    push = vmap(_pushforward(f, tangents_only=True), in_axes=(None, 0))
    return jit(f)(*primals), push(primals, tangents)


def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Product]:
    """(x -> y)  ->  y and the pullback (ȳ -> x̄ = ȳ · ∂y/∂x) at primals.

    primals  the arguments of f
    The pullback takes a cotangent ȳ of y's structure and shapes, or with one more
    leading axis K, and returns a tuple with one entry x̄ for each primal, of its
    structure and shapes (with K before them).
    Raises InputError, ShapeError where a cotangent is not like y.
    """
    y = jit(f)(*primals)
    single = _pullback(f)
    several = vmap(single, in_axes=(None, 0))

    def pull(cotangent: Any) -> Any:
        cotangent, count = seeds_like("vjp", y, cotangent)
        return (single if count is None else several)(primals, cotangent)

    made = Product(pull, single.where)
    made.__name__, made.recipe = single.name, (_pull, (f, *primals), {})
    return y, made


def _pull(f: Callable[..., Any], *primals: Any) -> Product:
    return vjp(f, *primals)[1]


def linearize(f: Callable[..., Any], *primals: Any) -> tuple[Any, LinearMap]:
    """(x -> y)  ->  y and the linear map ẋ -> ẏ at primals.

    primals  the arguments of f; the map takes tangents of their structure and shapes,
             one argument each
    The map also is a SciPy linear operator over flattened vectors, (m, n) for n numbers
    in primals and m in y: it has shape, dtype, matvec, rmatvec, matmat, rmatmat and T.
    Raises InputError, ShapeError for tangents that are not like primals.
    """
    y, pull = vjp(f, *primals)
    single = _pushforward(f, tangents_only=True)
    several = vmap(single, in_axes=(None, 0))

    def push(*tangents: Any) -> Any:
        tangents, count = seeds_like("linearize", primals, tangents)
        return (single if count is None else several)(primals, tangents)

    return y, LinearMap(push, pull, primals, y, (_linear_map, (f, primals)))


def _linear_map(f: Callable[..., Any], primals: Sequence[Any]) -> LinearMap:
    return linearize(f, *primals)[1]


# -- between the sentences -----------------------------------------------------


def _pushforward(f: Callable[..., Any], tangents_only: bool = False) -> Function:
    """(x, ẋ) -> (y, ẏ), or -> ẏ."""
    name = f"jvp({_name(f)})"

    def derive(spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Derived:
        (primals, _), _ = deriving.numbered(spec)
        leaves, inner = tree.flatten((primals, {}))
        given = tuple([inputs[k] for k in leaves])
        wrt, _ = deriving.chosen(inner, given, range(len(primals)), name)
        traced, graph, seconds = deriving.scalar_trace(f, inner, given)
        deriving.need_floats(graph, range(len(graph.outputs)), name)
        count = len(graph.outputs)
        both = deriving.paired(traced.result, traced.result)
        result = traced.result if tangents_only else both
        first = count if tangents_only else 0

        def of(graph: Graph) -> Derived:
            pushed = deriving.seeded(
                pushforward(graph, wrt), traced, len(given), len(wrt), "forward",
                seconds,
            )  # fmt: skip
            return deriving.selected(pushed, range(first, 2 * count), result)

        return deriving.sided(of, graph, range(count - first))

    def value(primals: Any, _: Any) -> Any:
        return f(*primals)

    ask = asking.of_seeds(f, name, "forward", values=not tangents_only)
    return Function(f, derive, name=name, where=where(name, f), value=value, ask=ask)


def _pullback(f: Callable[..., Any]) -> Function:
    """(x, ȳ) -> x̄."""
    name = f"vjp({_name(f)})"

    def derive(spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Derived:
        (primals, _), _ = deriving.numbered(spec)
        leaves, inner = tree.flatten((primals, {}))
        given = tuple([inputs[k] for k in leaves])
        wrt, result = deriving.chosen(inner, given, range(len(primals)), name)
        traced, graph, seconds = deriving.scalar_trace(f, inner, given)
        deriving.need_floats(graph, range(len(graph.outputs)), name)
        count = len(graph.outputs)

        def of(graph: Graph) -> Derived:
            pulled = deriving.seeded(
                pullback(graph, wrt), traced, len(given), count, "reverse", seconds
            )
            return deriving.selected(pulled, range(count, count + len(wrt)), result)

        return deriving.sided(of, graph)

    def value(primals: Any, _: Any) -> Any:
        return f(*primals)

    ask = asking.of_seeds(f, name, "reverse")
    return Function(f, derive, name=name, where=where(name, f), value=value, ask=ask)
