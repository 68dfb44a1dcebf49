"""Small scalar graphs that stand for primitives: their expansions and their partials.

`apply` adds a primitive to a scalar graph, by its expansion if it has nothing else;
`builder` begins such a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from jitad.ir.graph import CONST, ELEMENT, PACK, Builder, Graph, Type, scalar
from jitad.ir.primitive import Primitive
from jitad.ir.trace import differentiating
from jitad.ir.tracer import Trace, Tracer, as_tracer

from .simplify import simplify


def new_builder() -> Trace:
    """An empty scalar graph under construction, simplifying as it grows."""
    return Trace(level=1 << 30, simplify=simplify, lines=False)


def apply(
    builder: Builder,
    primitive: Primitive,
    operands: tuple[int, ...],
    type: Type,
    line: str = "",
) -> int:
    """Apply a scalar primitive; one that is only an expansion is expanded at once."""
    if primitive.word is None and primitive.partials is None:
        return expand(builder, primitive, operands, type)
    return builder.apply(primitive, operands, type, line)


def expand(
    builder: Builder, primitive: Primitive, operands: tuple[int, ...], type: Type
) -> int:
    """The node of a primitive's expansion over scalar operands."""
    dtypes = tuple([builder.nodes[a].type.dtype for a in operands])
    return instantiate(builder, expansion(primitive, dtypes, type.dtype), operands)[0]


def instantiate(
    builder: Builder, template: Graph, operands: Sequence[int]
) -> list[int]:
    """Copy a small scalar graph into builder; its inputs are operands."""
    nodes = template.nodes
    index = [0] * len(nodes)
    for i, a in zip(template.inputs, operands, strict=True):
        index[i] = a
    for i in range(len(template.inputs), len(nodes)):
        primitive, args, params, type, _ = nodes[i]
        if primitive is CONST:
            index[i] = builder.add(CONST, (), type, params)
        elif primitive in (ELEMENT, PACK) and nodes[args[0]].type == type:
            # Of a derivative that is taken in a formula: the number itself.
            index[i] = index[args[0]]
        else:
            ids = tuple([index[a] for a in args])
            index[i] = apply(builder, primitive, ids, type)
    return [index[i] for i in template.outputs]


def expansion(
    primitive: Primitive, dtypes: tuple[np.dtype, ...], dtype: np.dtype
) -> Graph:
    """A primitive's expansion as a small scalar graph."""
    assert primitive.expand is not None, f"{primitive} has neither word nor expansion"
    return formula(primitive.expand, dtypes, dtype)


@lru_cache(maxsize=4096)
def formula(
    function: Callable[..., Any], dtypes: tuple[np.dtype, ...], dtype: np.dtype
) -> Graph:
    """A function of scalars, in plain NumPy, as a small scalar graph."""
    builder = new_builder()
    args = [as_input(builder, d) for d in dtypes]
    with differentiating():
        value = as_tracer(builder, function(*args), dtype)
    return builder.finish([value.index])


def as_input(builder: Trace, dtype: np.dtype) -> Tracer:
    """A scalar input of a template."""
    type = scalar(dtype)
    return Tracer(builder, builder.input(type), type)


@lru_cache(maxsize=4096)
def partials(
    primitive: Primitive, dtypes: tuple[np.dtype, ...], dtype: np.dtype
) -> tuple[Graph, tuple[int, ...]]:
    """A primitive's partials as a scalar graph of (y, *x), and for which operands.

    Operands with no entry have a derivative of zero, everywhere.
    """
    if primitive.partials is None:
        return Graph((), (), ()), ()
    builder = new_builder()
    y = as_input(builder, dtype)
    args = [as_input(builder, d) for d in dtypes]
    with differentiating():
        found = primitive.partials(y, *args)
    assert len(found) == len(args), f"{primitive} states {len(found)} partials"
    active = tuple(
        k for k, p in enumerate(found) if p is not None and dtypes[k].kind == "f"
    )
    # A result that does not depend on its operands is a number, and stays one.
    outputs = [as_tracer(builder, found[k], dtype).index for k in active]
    return builder.finish(outputs), active
