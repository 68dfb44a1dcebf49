"""What the transformations of `api` have in common: from a function to a Derived.

A function is traced and its graph made scalar; its leaves are chosen, what is derived
of them is accumulated in the best mode, and outputs are selected in a structure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from jitad.calls.function import Function
from jitad.ir.call import CALL, custom_of
from jitad.ir.graph import FLOATS, Graph, Type, prune
from jitad.ir.trace import Input, Traced, trace
from jitad.ir.whole import WHOLE, held_by
from jitad.plan.derived import Derived, Side
from jitad.primitives.matrices.linalg import raising
from jitad.process.waiting import stage
from jitad.transforms.derivatives import accumulate, remembered
from jitad.transforms.derivatives.pieces import (
    exchanged,
    graphs_in,
    kinked,
    marked,
    smooth,
    taken,
)
from jitad.transforms.scalars.scalarize import scalarize

from . import tree
from .errors import InputError, ShapeError, UnsupportedError

Argnums = int | Sequence[int]


def numbered(spec: tree.PyTreeSpec) -> Any:
    """A tree of the given structure whose leaves are their own numbers."""
    return tree.unflatten(spec, list(range(spec.num_leaves)))


def as_sequence(argnums: Argnums) -> Sequence[int]:
    """The numbers that argnums names.

    Raises InputError where they are no integers.
    """
    if is_single(argnums):
        return (argnums,)  # type: ignore[return-value]
    several: tuple[Any, ...] = (
        tuple(argnums) if isinstance(argnums, Iterable) else (None,)
    )
    if not all(map(is_single, several)):
        raise InputError(
            f"expected argnums to be an integer or several integers, got {argnums!r}; "
            "count the positional arguments from 0"
        )
    return several


def is_single(argnums: Argnums) -> bool:
    """Whether it names one, and not a sequence of them."""
    return isinstance(argnums, int | np.integer)


def seeded(
    graph: Graph,
    traced: Traced,
    given: int,
    seeds: int,
    mode: str,
    seconds: dict[str, float],
) -> Derived:
    """Inputs reordered: own leaves, seeds, then captured values."""
    captured = len(traced.captured)
    last = given + captured
    order = [*range(given), *range(last, last + seeds), *range(given, last)]
    inputs = tuple([graph.inputs[k] for k in order])
    graph = prune(graph.nodes, inputs, graph.outputs)
    return derived_of(graph, traced, mode, seconds)


def derived_of(
    graph: Graph, traced: Traced, mode: str, seconds: dict[str, float], **more: Any
) -> Derived:
    """What was derived from a trace; its result is the function's own, at first."""
    singular = raising(traced.graph)
    return Derived(
        graph, traced.result, traced.captured, mode, seconds=seconds,
        may_raise=singular or traced.raises, raises=traced.raises, loops=traced.loops,
        lines=tuple(dict.fromkeys(node.line for node in traced.graph.nodes)),
        ruled=_ruled(traced.graph), **more,
    )  # fmt: skip


def _ruled(graph: Graph) -> bool:
    """Whether anything in a graph is differentiated by a rule of the user's."""
    for node in graph.nodes:
        if node.primitive is CALL and custom_of(node).kind != "again":
            return True
        if node.primitive is WHOLE and _ruled(held_by(node).graph):
            return True
        if any(_ruled(inner) for inner in graphs_in(node)):
            return True
    return False


def twins_of_slopes(
    f: Any, graph: Graph, wrt: Sequence[int], argnums: Argnums, key: Any
) -> list[tuple[int, int]] | None:
    """The same for the slopes that f gives, if they are those of a function in wrt."""
    known = f.full().known(*key) if isinstance(f, Function) else None
    if known is None or known.ruled or f.slopes != as_sequence(argnums):
        return None
    inputs, found = [graph.input_types[k] for k in wrt], graph.output_types
    own, count = len(inputs[0].shape), len(inputs)
    firsts = found[::count]
    results = [Type(t.dtype, t.shape[: len(t.shape) - own]) for t in firsts]
    return accumulate.twins_of(results, inputs)


def scalar_trace(
    f: Callable[..., Any],
    spec: tree.PyTreeSpec,
    inputs: tuple[Input, ...],
    *,
    plain: bool = False,
) -> tuple[Traced, Graph, dict[str, float]]:
    """f's trace, its scalar graph, and the seconds that each took; plain as there."""
    start = time.perf_counter()
    f = f.full() if isinstance(f, Function) else f
    traced = trace(f, spec, inputs, plain=plain)
    middle = time.perf_counter()
    with stage("made scalar", lambda: len(traced.graph.nodes)):
        try:
            graph = scalarize(traced.graph)
        except UnsupportedError as error:
            for reason in traced.unread:
                error.add_note(reason)
            raise
    end = time.perf_counter()
    return traced, graph, {"trace": middle - start, "scalarize": end - middle}


def accumulated(
    graph: Graph,
    wrt: Sequence[int],
    traced: Traced,
    result: tree.PyTreeSpec,
    seconds: dict[str, float],
    **options: Any,
) -> Derived:
    """The Jacobian of a graph in some leaves; options as of `accumulate.jacobian`."""
    start = time.perf_counter()
    with stage("differentiated", lambda: len(graph.nodes)):
        found = remembered.jacobian(graph, wrt, **options)
    seconds = {**seconds, "differentiate": time.perf_counter() - start}
    derived = derived_of(
        found.graph, traced, found.mode, seconds, costs=found.costs,
        asked=options.get("mode") is not None, untried=found.untried,
    )  # fmt: skip
    return replace(derived, result=result)


def sided(
    derive: Callable[[Graph], Derived], graph: Graph, values: Sequence[int] = ()
) -> Derived:
    """What is derived from a graph, and from its smooth pieces where it has kinks.

    values  outputs that are no derivatives
    """
    found = derive(graph)

    @cache
    def side() -> Side | None:
        if not (marked(graph) or kinked(graph) or kinked(found.graph)):
            return None
        made = smooth(derive(smooth(graph)).graph)
        slopes = frozenset(range(len(made.outputs))).difference(values)
        if values:
            plain = derive(taken(graph, 1)).graph if marked(graph) else found.graph
            made = exchanged(made, plain, values)
        return Side(made, slopes)

    return replace(found, side=side)


def selected(
    derived: Derived, outputs: Sequence[int], result: tree.PyTreeSpec
) -> Derived:
    """Only some outputs, and what they need."""
    graph = derived.graph
    kept = tuple([graph.outputs[k] for k in outputs])
    pruned = prune(graph.nodes, graph.inputs, kept)
    return replace(derived, graph=pruned, result=result)


def paired(*parts: tree.PyTreeSpec) -> tree.PyTreeSpec:
    """The structure of a tuple of trees."""
    dummies = [tree.unflatten(p, [0] * p.num_leaves) for p in parts]
    return tree.flatten(tuple(dummies))[1]


def chosen(
    spec: tree.PyTreeSpec, inputs: Sequence[Input], argnums: Argnums, name: str
) -> tuple[tuple[int, ...], tree.PyTreeSpec]:
    """The leaves to differentiate in, and the structure of a derivative in them."""
    args, _ = numbered(spec)
    for i in as_sequence(argnums):
        if not -len(args) <= i < len(args):
            raise InputError(
                f"{name}: argnums={argnums}, but the call has {len(args)} positional "
                "arguments; pass what is differentiated by position"
            )
    chosen = [args[i] for i in as_sequence(argnums)]
    like = chosen[0] if is_single(argnums) else tuple(chosen)
    leaves, inner = tree.flatten(like)
    for k in leaves:
        if inputs[k].type.dtype not in FLOATS:
            where = tree.paths((args,))[k]
            raise InputError(
                f"{name}: expected floating-point arguments to differentiate in, but "
                f"args{where[3:]} is {inputs[k].type}; pass a float, or choose other "
                "arguments with argnums"
            )
    return tuple(leaves), inner


def need_floats(graph: Graph, outputs: Sequence[int], name: str) -> None:
    """Raise InputError where these results are not floating-point."""
    for k in outputs:
        type = graph.output_types[k]
        if type.dtype not in FLOATS:
            raise InputError(
                f"{name}: expected floating-point results, but result {k} is {type}; "
                "return floats, or use has_aux=True for what is not differentiated"
            )


def need_scalar(traced: Traced, graph: Graph, has_aux: bool, name: str) -> None:
    """Raise ShapeError where a function does not return one number, or it and aux."""
    if has_aux and (traced.result.num_children != 2 or traced.result.is_leaf()):
        raise InputError(f"{name}: expected f to return (y, aux) for has_aux=True")
    types = graph.output_types
    single = traced.result.child(0) if has_aux else traced.result
    if not single.is_leaf() or not types or types[0].shape != ():
        found = ", ".join(map(str, types)) or "nothing"
        raise ShapeError(
            f"{name}: expected a scalar result, but f returned {found}; use "
            "jacobian(f), or reduce the result with np.sum"
        )
    need_floats(graph, [0], name)
