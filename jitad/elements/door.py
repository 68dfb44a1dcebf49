"""From a function to the plan of what a transform makes of it, on whole arrays.

`planned` makes the steps, or None where a function does what only the schedule over
points knows.

A derivative of a derivative is taken of the smooth piece of a function on one side of
the point (see `derivatives.pieces`), so that `laid` can lay a function into a flow in
two ways: by its values, or by its side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitad.backends.cpu.tiers import Effort
from jitad.ir.graph import Graph, Node, reach
from jitad.ir.whole import WHOLE, Whole, held_by

from .build import plan
from .derive import pull, push
from .flow import Flow
from .jacobians import jacobian
from .laying import lay
from .library import UnfitError
from .loops import zeros
from .narrow import narrowed
from .steps import Plan
from .telling import one_sided
from .windows import Window, c_steps


def planned(
    asked: Whole, *, keep: bool, effort: Effort, interpreted: bool = False
) -> Plan | None:
    """The steps of what is asked; None where something in it is not known here."""
    try:
        flow = narrowed(derived(asked))
        return plan(flow, keep=keep, effort=effort, interpreted=interpreted)
    except UnfitError:
        return None


def derived(asked: Whole) -> Flow:
    """The flow of what is asked."""
    flow = Flow()
    given = [flow.input(type) for type in asked.types[0]]
    flow.outputs = tuple(laid(flow, asked, given, side=False))
    return flow


def laid(flow: Flow, asked: Whole, given: Sequence[int], *, side: bool) -> list[int]:
    """The results of what is asked, of values of a flow; side: of the smooth piece."""
    inner = asked.graph
    if asked.seeds == "hessian":
        return _hessian(flow, asked, given, side=side)
    if not asked.seeds:
        own = _inner(flow, inner, given, side=side)
        return [own[k] for k in asked.outputs]
    types = inner.types[0] if isinstance(inner, Whole) else inner.input_types
    values, seeds = list(given[: len(types)]), given[len(types) :]
    for k in asked.wrt:
        values[k] = flow.alias(values[k])
    since, wrt = len(flow.types), [values[k] for k in asked.wrt]
    apart = [True] * len(_slopes(inner)) if side else _slopes(inner)
    own = functions = _inner(flow, inner, values, side=False) if not side else []
    if any(apart):
        bent = _inner(flow, inner, values, side=True)
        one_sided(flow, since, wrt, bent)
        pairs = zip(apart, bent, own or bent, strict=True)
        functions = [b if told else a for told, b, a in pairs]
        own = own or bent
    made: list[int] = []
    if asked.seeds == "jacobian":
        made = jacobian(flow, functions, wrt, since, asked.mode)
    elif asked.seeds == "forward":
        dots = push(flow, dict(zip(wrt, seeds, strict=True)), since)
        made = [dots[y] if y in dots else zeros(flow, flow.types[y]) for y in functions]
    else:
        if asked.seeds == "gradient":
            functions = functions[:1]
            seeds = [flow.number(1.0, flow.types[y].dtype) for y in functions]
        pairs_ = list(zip(functions, seeds, strict=True))
        made = pull(flow, pairs_, wrt, since)
    every = (*own, *made)
    return [every[k] for k in asked.outputs]


def _hessian(
    flow: Flow, asked: Whole, given: Sequence[int], *, side: bool
) -> list[int]:
    """Second derivatives, symmetric to the bit: means of both orders."""
    count, wrt = len(asked.wrt), asked.wrt
    first = Whole(asked.graph, wrt, "gradient", range(1, 1 + count))
    second = Whole(first, wrt, "jacobian", range(count, count + count**2), asked.mode)
    blocks = laid(flow, second, given, side=side)
    made = []
    for i, x in enumerate(wrt):
        for j, other in enumerate(wrt):
            here, there = (flow.types[given[k]].shape for k in (x, other))
            steps = c_steps((*there, *here))
            turned = (*steps[len(there) :], *steps[: len(there)])
            window = Window((*here, *there), 0, turned)
            back = flow.seen(blocks[j * count + i], window)
            made.append(flow.mapped(_mean, [blocks[i * count + j], back]))
    return [made[k] for k in asked.outputs]


def _mean(a: Any, b: Any) -> Any:
    return 0.5 * (a + b)


def _inner(
    flow: Flow, inner: Graph | Whole, given: Sequence[int], *, side: bool
) -> list[int]:
    """What a function gives, before anything is asked of it."""
    if isinstance(inner, Whole):
        return laid(flow, inner, given, side=side)

    return lay(flow, inner, given, _nested, side=side)


def _nested(flow: Flow, node: Node, operands: Sequence[int], side: bool) -> list[int]:
    return laid(flow, held_by(node).asked, operands, side=side)


def _slopes(inner: Graph | Whole) -> list[bool]:
    """Which results depend on derivatives."""
    if isinstance(inner, Graph):
        nodes = inner.nodes
        found = []
        for o in inner.outputs:
            held = [held_by(n) for n in map(nodes.__getitem__, reach(nodes, [o]))
                    if n.primitive is WHOLE]  # fmt: skip
            found.append(any(any(_slopes(h.asked)) for h in held))
        return found
    own = _slopes(inner.graph)
    count = len(inner.wrt)
    slopes = {"forward": len(own), "jacobian": len(own) * count,
              "hessian": count**2}.get(inner.seeds, count)  # fmt: skip
    own = [] if inner.seeds == "hessian" else own
    every = [*own, *[True] * (slopes if inner.seeds else 0)]
    return [every[k] for k in inner.outputs]
