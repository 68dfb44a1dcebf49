"""What transforms ask of large arrays: from a function to a `Whole`.

Each returns what a `Function` calls where its arguments are large; that answers None
where the schedule over points has to do it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitad.calls.function import Function
from jitad.calls.inside import Asked, asking
from jitad.ir.trace import Input, Known, trace
from jitad.ir.whole import Whole

from . import deriving, tree
from .deriving import Argnums

Asking = Callable[[tree.PyTreeSpec, tuple[Input, ...]], "Asked | None"]


def of_value(f: Callable[..., Any]) -> Asking:
    """(x -> y)."""

    def ask(spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Asked:
        known = _known(f, spec, inputs, plain=True)
        traced = known.traced
        outputs = range(len(traced.graph.outputs))
        whole = Whole(traced.graph, outputs=outputs)
        return Asked(whole, traced.result, known, range(len(inputs)))

    return ask


def of_gradient(
    f: Callable[..., Any], argnums: Argnums, name: str, *, value: bool, has_aux: bool
) -> Asking:
    """(x -> y)  ->  (x -> x̄), with y in front or aux behind."""

    def ask(spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Asked:
        wrt, inner = deriving.chosen(spec, inputs, argnums, name)
        known = _known(f, spec, inputs)
        traced = known.traced
        deriving.need_scalar(traced, traced.graph, has_aux, name)
        count = len(traced.graph.outputs)
        slopes = range(count, count + len(wrt))
        if value:
            outputs, result = (
                (*range(count), *slopes),
                deriving.paired(traced.result, inner),
            )
        elif has_aux:
            outputs = (*slopes, *range(1, count))
            result = deriving.paired(inner, traced.result.child(1))
        else:
            outputs, result = tuple(slopes), inner
        whole = Whole(traced.graph, wrt, "gradient", outputs)
        return Asked(whole, result, known, range(len(inputs)))

    return ask


def of_seeds(
    f: Callable[..., Any], name: str, way: str, *, values: bool = False
) -> Asking:
    """(x -> y)  ->  (x, ẋ -> ẏ), way "forward", or  ->  (x, ȳ -> x̄), way "reverse".

    values  whether y is in front of ẏ
    """

    def ask(spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Asked:
        (primals, seeds), _ = deriving.numbered(spec)
        leaves, inner = tree.flatten((primals, {}))
        given = tuple([inputs[k] for k in leaves])
        wrt, result = deriving.chosen(inner, given, range(len(primals)), name)
        known = _known(f, inner, given)
        traced = known.traced
        deriving.need_floats(traced.graph, range(len(traced.graph.outputs)), name)
        count = len(traced.graph.outputs)
        made = len(wrt) if way == "reverse" else count
        outputs = range(0 if values else count, count + made)
        if way == "forward":
            result = traced.result
            result = deriving.paired(result, result) if values else result
        whole = Whole(traced.graph, wrt, way, outputs)
        return Asked(whole, result, known, leaves, tree.flatten(seeds)[0])

    return ask


def of_curvature(f: Callable[..., Any], argnums: Argnums, name: str) -> Asking:
    """(x -> y)  ->  (x, v -> ∂²y/∂x² · v), v behind all arguments."""

    def ask(spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Asked:
        args, kwargs = deriving.numbered(spec)
        leaves, inner = tree.flatten((args[:-1], kwargs))
        given = tuple([inputs[k] for k in leaves])
        wrt, result = deriving.chosen(inner, given, argnums, name)
        known = _known(f, inner, given)
        traced = known.traced
        deriving.need_scalar(traced, traced.graph, False, name)
        first = Whole(traced.graph, wrt, "gradient", range(1, 1 + len(wrt)))
        outputs = range(len(wrt), 2 * len(wrt))
        whole = Whole(first, wrt, "forward", outputs)
        return Asked(whole, result, known, leaves, tree.flatten(args[-1])[0])

    return ask


def of_jacobian(
    f: Callable[..., Any], argnums: Argnums, name: str, mode: str
) -> Asking:
    """(x -> y)  ->  (x -> ∂y/∂x)."""

    def ask(spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Asked | None:
        wrt, inner = deriving.chosen(spec, inputs, argnums, name)
        known = _known(f, spec, inputs)
        traced, count = known.traced, len(known.traced.graph.outputs)
        deriving.need_floats(traced.graph, range(count), name)
        if mode == "cross":
            return None
        outputs = range(count, count + count * len(wrt))
        way = "" if mode == "auto" else mode
        whole = Whole(traced.graph, wrt, "jacobian", outputs, way)
        return Asked(whole, traced.result.compose(inner), known, range(len(inputs)))

    return ask


def of_hessian(f: Callable[..., Any], argnums: Argnums, name: str, mode: str) -> Asking:
    """(x -> y)  ->  (x -> ∂²y/∂x²), for a scalar y."""

    def ask(spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Asked | None:
        wrt, inner = deriving.chosen(spec, inputs, argnums, name)
        known = _known(f, spec, inputs)
        traced = known.traced
        deriving.need_floats(traced.graph, range(len(traced.graph.outputs)), name)
        if mode == "cross" or [t.shape for t in traced.graph.output_types] != [()]:
            return None
        way = "" if mode == "auto" else mode
        whole = Whole(traced.graph, wrt, "hessian", range(len(wrt) ** 2), way)
        result = traced.result.compose(inner).compose(inner)
        return Asked(whole, result, known, range(len(inputs)))

    return ask


def _known(
    f: Callable[..., Any],
    spec: tree.PyTreeSpec,
    inputs: tuple[Input, ...],
    *,
    plain: bool = False,
) -> Known:
    """The trace of a function, in which transformed ones of large arrays are nodes."""
    f = f.full() if isinstance(f, Function) else f
    with asking():
        return Known(f, spec, inputs, plain, trace(f, spec, inputs, plain=plain))
