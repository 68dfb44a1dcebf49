"""The smooth piece of a function that derivatives of derivatives are taken of.

At a kink a first derivative is the average of both sides.  Averages cannot be composed:
|x|² would have the second derivative 0.  So what is differentiated twice is replaced by
one smooth piece of it, to which the point belongs: an `abs` by x or -x, an extreme by
one of its operands, each as their primitives state.  Of tied numbers that one is ahead
which grows faster where the arguments begin to grow, the first ones fastest, so that
all kinks of a function take the same side (Nesterov, Lexicographic differentiation of
nonsmooth functions, 2005).  Roots of squares are left to `even`.

    smooth        a function, by its smooth piece
    one_sided     the same for a derivative, which is to be differentiated in wrt
    opened        what every mode begins with: linearize, with a side where there is one
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from jitad.ir.call import CALL, custom_of
from jitad.ir.graph import Builder, Graph, Node, reach, scalar
from jitad.ir.interpret import inline
from jitad.ir.loop import LOOP, loop_of
from jitad.ir.primitive import registry
from jitad.ir.tracer import Trace
from jitad.transforms.rewrite.tidy import in_order
from jitad.transforms.scalars import scalarize as sc
from jitad.transforms.scalars.templates import (
    formula,
    instantiate,
    new_builder,
    partials,
)
from jitad.transforms.scalars.whole import EAGER

from .even import even, rate, root_at
from .linearized import Linearized, between, large_tables, linearize
from .steep import outermost
from .sweep import forward

# What is told by the tangents of its operands.
_TOLD = ("ahead", "nonzero")
# Rounds of asking which of tied numbers grows faster: themselves, then their slopes.
_ROUNDS = 2


def opened(graph: Graph, wrt: Sequence[int]) -> Linearized:
    """A graph and its partials; of outputs that are derivatives those of one side."""
    if not marked(graph):
        last = outermost(graph)
        return linearize(last, wrt, None if last is graph else graph)
    average, side = taken(graph, 0), taken(graph, 1)
    builder = Builder()
    inputs = [builder.input(t) for t in graph.input_types]
    plain = inline(builder, average, inputs)
    apart = [k for k, i in enumerate(graph.outputs) if _sided(graph, i)]
    outputs = tuple([side.outputs[k] for k in apart])
    sided = one_sided(Graph(side.nodes, side.inputs, outputs), wrt)
    found = inline(builder, sided, inputs)
    rows = [found[apart.index(k)] if k in apart else i for k, i in enumerate(plain)]
    return linearize(outermost(builder.finish(rows)), wrt, average)


def smooth(graph: Graph) -> Graph:
    """A scalar graph of the smooth piece that the point belongs to."""
    graph = taken(graph, 1)
    if not kinked(graph):
        return graph
    return even(_pieces(_inside(graph, smooth)))


def one_sided(graph: Graph, wrt: Sequence[int]) -> Graph:
    """The smooth piece on the side of the point to which the inputs in wrt grow."""
    return _settled(smooth(graph), wrt, sc.elements)


def grown(graph: Graph, wrt: Sequence[int]) -> Graph:
    """(x -> y)  ->  (x, ẋ -> y) with ties told by how the inputs in wrt grow: by ẋ."""
    return _settled(graph, wrt, sc.elements, 0, given=True)


def tied(graph: Graph) -> bool:
    """Whether anything in a graph is told by tangents."""
    return any(node.primitive.name in _TOLD for node in graph.nodes)


def kinked(graph: Graph) -> bool:
    """Whether anything on the way to the outputs has a kink, or tells sides apart."""
    nodes = graph.nodes
    if any(nodes[i].primitive.name in _TOLD for i in reach(nodes, graph.outputs)):
        return True
    for i in _differentiable(graph):
        primitive = nodes[i].primitive
        if primitive.piece is not None or primitive.square is not None:
            return True
        if any(kinked(g) for g in graphs_in(nodes[i])):
            return True
    return False


def marked(graph: Graph) -> bool:
    """Whether there are derivatives in a graph that have a side."""
    return any(
        node.primitive.name == "either"
        or (node.params and any(marked(g) for g in graphs_in(node)))
        for node in graph.nodes
    )


def _sided(graph: Graph, output: int) -> bool:
    """Whether an output depends on a derivative that has a side."""
    own = [graph.nodes[i] for i in reach(graph.nodes, [output])]
    return marked(Graph(tuple(own), (), ()))


def taken(graph: Graph, which: int) -> Graph:
    """The graph with derivatives by their averages (0), or by their sides (1)."""
    if not marked(graph):
        return graph
    graph = _inside(graph, lambda body: taken(body, which))

    def change(i: int, operands: tuple[int, ...]) -> int | None:
        return operands[which] if graph.nodes[i].primitive.name == "either" else None

    return graph.rewritten(new_builder(), change)


def exchanged(graph: Graph, other: Graph, outputs: Sequence[int]) -> Graph:
    """The graph with some of its outputs from another graph of the same inputs."""
    builder = new_builder()
    inputs = [builder.input(t) for t in graph.input_types]
    made, given = (inline(builder, g, inputs) for g in (graph, other))
    return builder.finish([given[k] if k in outputs else i for k, i in enumerate(made)])


# -- graphs inside graphs --------------------------------------------------------------


def graphs_in(node: Node) -> list[Graph]:
    """The graphs of a node that are differentiated with it."""
    if node.primitive is LOOP:
        return [loop_of(node).body]
    if node.primitive is CALL:
        return [custom_of(node).value]
    return []


def _inside(graph: Graph, change: Callable[[Graph], Graph]) -> Graph:
    """The graph with other graphs in its loops, and in calls that have no own rule."""
    nodes = list(graph.nodes)
    for i, node in enumerate(nodes):
        if node.primitive is LOOP:
            loop = loop_of(node)
            nodes[i] = node.holding(replace(loop, body=change(loop.body)))
        elif node.primitive is CALL and custom_of(node).kind == "again":
            value = change(custom_of(node).value)
            made = replace(custom_of(node), value=value, state=lambda v=value: v)
            nodes[i] = node.holding(made)
    return Graph(tuple(nodes), graph.inputs, graph.outputs)


def _differentiable(graph: Graph) -> set[int]:
    """The nodes that a derivative of the outputs goes through."""
    nodes = graph.nodes
    found: set[int] = set()
    stack = [i for i in graph.outputs if nodes[i].type.dtype.kind == "f"]
    while stack:
        i = stack.pop()
        if i in found:
            continue
        found.add(i)
        node = nodes[i]
        operands = node.operands
        if node.primitive.kind == "elementwise":
            dtypes = tuple([nodes[a].type.dtype for a in operands])
            _, slots = partials(node.primitive, dtypes, node.type.dtype)
            # A piece may depend on what the average does not: the sign of a number.
            if node.primitive.piece is None:
                operands = [operands[k] for k in slots]
        stack += operands
    return found


# -- pieces ----------------------------------------------------------------------------


def _pieces(graph: Graph) -> Graph:
    """Every primitive with a kink by its piece."""
    through = _differentiable(graph)
    builder = new_builder()

    def change(i: int, operands: tuple[int, ...]) -> int | None:
        piece, type = graph.nodes[i].primitive.piece, graph.nodes[i].type
        if i not in through or piece is None:
            return None
        dtypes = tuple([builder.nodes[a].type.dtype for a in operands])
        (made,) = instantiate(builder, formula(piece, dtypes, type.dtype), operands)
        return made

    return graph.rewritten(builder, change)


def compared(graph: Graph) -> Graph:
    """The numbers that are equal at the kinks of a graph, in pairs: a, b, a, b …"""
    builder = new_builder()
    inputs = [builder.input(t) for t in graph.input_types]
    outputs = inline(builder, _pieces(graph), inputs)
    pairs = []
    for i in reach(builder.nodes, outputs):
        node = builder.nodes[i]
        root = root_at(builder, i)
        if node.primitive.name == "ahead":
            pairs += node.operands
        elif root is not None:
            pairs += [root.plain, builder.number(0.0, node.type.dtype)]
    return builder.finish(pairs)


# -- which of tied numbers is ahead ----------------------------------------------------


def _settled(
    graph: Graph,
    wrt: Sequence[int],
    scalars: Callable[[Builder, int], np.ndarray],
    rounds: int = _ROUNDS,
    *,
    given: bool = False,
) -> Graph:
    """The graph with ties told, by the tangents of what is compared.

    given  whether the tangents of the inputs in wrt are further inputs
    """
    graph = _inside(graph, _settled_body)
    builder = new_builder()
    inputs = [builder.input(t) for t in graph.input_types]
    large = large_tables(graph)
    own = [
        int(e)
        for k in wrt
        if k not in large and graph.input_types[k].size <= EAGER
        for e in scalars(builder, inputs[k]).ravel()
    ]
    more = [builder.input(graph.input_types[k]) for k in wrt] if given else []
    outputs = inline(builder, graph, inputs)
    nodes = builder.nodes
    ties = [i for i in reach(nodes, outputs) if nodes[i].primitive.name in _TOLD]
    if not ties:
        return builder.finish(outputs) if given else graph
    sides = dict.fromkeys(a for i in ties for a in nodes[i].operands)
    compared = [np.asarray(a) for a in sides if nodes[a].type.dtype.kind == "f"]
    line = between(builder, set(own), compared)
    rates = [int(e) for i in more for e in scalars(builder, i).ravel()]
    seeds = {
        x: {0: rates[k] if given else builder.number(rate(k), nodes[x].type.dtype)}
        for k, x in enumerate(own)
    }
    tangents = forward(line, seeds)
    slopes = {a: tangents.get(a, {}).get(0) for a in sides}
    decided = _decided(builder, outputs, slopes, rounds)
    return _settled(decided, wrt, scalars, rounds - 1) if rounds else decided


def _settled_body(body: Graph) -> Graph:
    """The body of a loop, whose inputs are taken to grow at each iteration."""
    kinds = enumerate(body.input_types)
    wrt = [k for k, t in kinds if t.dtype.kind == "f" and not t.shape]
    return _settled(body, wrt, lambda _, i: np.asarray(i))


def _decided(
    builder: Trace, outputs: Sequence[int], slopes: dict[int, int | None], rounds: int
) -> Graph:
    """The graph with ties told by slopes, and equal slopes by theirs, later on."""
    nodes = builder.nodes
    made = new_builder()
    index = {i: made.input(nodes[i].type) for i in builder.inputs}
    boolean = scalar(np.dtype(bool))

    def is_tie(i: int) -> bool:
        return nodes[i].primitive.name in _TOLD

    def operands(i: int) -> tuple[int, ...]:
        own = nodes[i].operands
        if not is_tie(i):
            return own
        return (*own, *[s for s in (slopes[a] for a in own) if s is not None])

    def compared(name: str, a: int, b: int) -> int:
        return made.apply(registry.primitives[name], (a, b), boolean)

    def slope(a: int) -> int:
        found = slopes[a]
        dtype = nodes[a].type.dtype
        return made.number(0.0, dtype) if found is None else index[found]

    def nonzero(a: int) -> int:
        zero = made.number(0.0, nodes[a].type.dtype)
        now = compared("ne", index[a], zero)
        later = made.apply(registry.primitives["nonzero"], (slope(a),), boolean)
        return made.apply(registry.primitives["or"], (now, later), boolean)

    def copy(i: int) -> int:
        node = nodes[i]
        if not is_tie(i):
            return made.copy(node, tuple([index[a] for a in node.operands]))
        if node.primitive.name == "nonzero":
            return nonzero(node.operands[0])
        a, b = (index[o] for o in node.operands)
        first, second = (slope(o) for o in node.operands)
        tied = compared("ahead" if rounds else "ge", first, second)
        known = made.values[tied]
        if known is not None:
            return compared("ge" if known else "gt", a, b)
        equal, beyond = compared("eq", a, b), compared("gt", a, b)
        select = registry.primitives["select"]
        return made.apply(select, (equal, tied, beyond), boolean)

    in_order(outputs, operands, index, copy)
    return made.finish([index[i] for i in outputs])
