"""The last pass before lowering: a scalar graph whose operations are all machine words.

Primitives that no target has a word for are replaced by their expansions, which may
hold such primitives again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from jitad.ir.call import CALL, custom_of
from jitad.ir.graph import CONST, ELEMENT, INPUT, PACK, Graph, Node, Type
from jitad.ir.interpret import inline
from jitad.ir.loop import LOOP, PART, loop_of
from jitad.ir.primitive import Primitive
from jitad.ir.table import LOOKUP, SCATTER
from jitad.ir.tracer import Trace
from jitad.transforms.scalars.templates import expansion, new_builder

from .tidy import tidy

_KEPT = (CONST, ELEMENT, PACK, LOOP, PART, LOOKUP, SCATTER)

# What stays as it is, beside words; in a loop there is more to be seen to.
_WORDS = {INPUT, *_KEPT} - {LOOP}

_NONE = -1  # stands for a call, of which nothing but parts is asked for


@lru_cache(maxsize=1)
def expand(graph: Graph) -> Graph:
    """The same function in machine words.

    Of words alone it stays as it is, for what it was grown in has simplified it.  The
    last is remembered: who plans a call looks at it before it becomes a kernel.
    """
    graph = tidy(called(graph))
    words = all([n.primitive in _WORDS or n.primitive.word for n in graph.nodes])
    return graph if words else _expanded(graph)


def called(graph: Graph) -> Graph:
    """Calls replaced by what they call, also in the bodies of loops."""
    if not any(node.primitive.kind == "control" for node in graph.nodes):
        return graph
    builder = new_builder()
    parts: dict[int, list[int]] = {}

    def change(i: int, operands: tuple[int, ...]) -> int | None:
        node = graph.nodes[i]
        if node.primitive is CALL:
            parts[i] = inline(builder, called(custom_of(node).value), operands)
            return _NONE
        if node.primitive is LOOP:
            return builder.copy(_with_graphs(node, called), operands)
        if node.primitive is PART and node.operands[0] in parts:
            return parts[node.operands[0]][node.index]
        return None

    return graph.rewritten(builder, change)


def _with_graphs(node: Node, change: Callable[[Graph], Graph]) -> Node:
    """A loop with other graphs for its body and its head."""
    loop = loop_of(node)
    head = loop.head and change(loop.head)
    return node.holding(replace(loop, body=change(loop.body), head=head))


def _expanded(graph: Graph) -> Graph:
    builder = new_builder()
    index = [0] * len(graph.nodes)
    for i in graph.inputs:
        index[i] = builder.input(graph.nodes[i].type)
    for i, node in enumerate(graph.nodes):
        if i < len(graph.inputs):
            continue
        primitive, args, params, type, line = node
        operands = tuple(map(index.__getitem__, args))
        if primitive is LOOP:
            params = _with_graphs(node, _expanded).params
        if primitive in _KEPT:
            index[i] = builder.add(primitive, operands, type, params, line)
        else:
            index[i] = _words(builder, primitive, operands, type)
    return builder.finish([index[i] for i in graph.outputs])


def _words(
    builder: Trace, primitive: Primitive, operands: Sequence[int], type: Type
) -> int:
    if primitive.word is not None:
        return builder.apply(primitive, tuple(operands), type)
    dtypes = tuple([builder.nodes[a].type.dtype for a in operands])
    template = expansion(primitive, dtypes, type.dtype)
    index = [*operands, *([0] * (len(template.nodes) - len(operands)))]
    for k in range(len(operands), len(template.nodes)):
        inner, args, params, kind, _ = template.nodes[k]
        ids = [index[a] for a in args]
        if inner is CONST:
            index[k] = builder.add(CONST, (), kind, params)
        else:
            index[k] = _words(builder, inner, ids, kind)
    return index[template.outputs[0]]
