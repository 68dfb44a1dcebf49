"""The graph of a function as text and as a picture, with values and cotangents.

`graph` traces a function and gives a Picture, which prints, gives Graphviz's DOT, and
draws itself in notebooks where Graphviz is installed.
"""

from __future__ import annotations

import html
import linecache
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jitad import tree
from jitad.api import jit
from jitad.calls.function import Function
from jitad.calls.names import argument_names, original, result_names
from jitad.errors import InputError, TracingError
from jitad.ir.graph import CONST, ELEMENT, INPUT, PACK, Builder, Graph, Type, prune
from jitad.ir.interpret import interpret
from jitad.ir.primitive import registry
from jitad.ir.trace import trace
from jitad.ir.tracer import traced
from jitad.process.locks import cached_property
from jitad.transforms.derivatives.differentiate import pullback
from jitad.transforms.scalars.scalarize import scalarize

from .dot import Box, dot, svg
from .formula import figures, formula, operand_names

# Elements of the largest array that gets a cotangent.
_LARGE = 256
# Graphviz is slow with more nodes than a person can look at.
_DRAWN = 400


@dataclass(frozen=True, eq=False)
class Picture:
    """A function's graph, what the user calls its ends, and its values at a point.

    values, cotangents  of every node, or empty; a cotangent is None where there is no
                        derivative (integers, bools, constants) or the array is large
    """

    name: str
    graph: Graph
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    values: tuple[np.ndarray, ...] = ()
    cotangents: tuple[np.ndarray | None, ...] = ()

    @property
    def title(self) -> str:
        """The function's name and arguments."""
        return f"{self.name}({', '.join(self.arguments)})"

    @property
    def objective(self) -> str:
        """What the cotangents are derivatives of; empty where there are none."""
        if not self.cotangents:
            return ""
        if len(self.results) != 1:
            kinds = {t.dtype.kind for t in self.graph.output_types}
            return f"(sum of all {'results' if kinds == {'f'} else 'float results'})"
        single = self.graph.output_types[0].size == 1
        return self.results[0] if single else f"(sum of {self.results[0]})"

    @cached_property
    def boxes(self) -> tuple[Box, ...]:
        """The nodes in words; constants stand in the formulas that they are in."""
        names = operand_names(self.graph, self.arguments)
        results = _joined(self.graph.outputs, self.results)
        return tuple(
            [
                self._box(i, names, results.get(i, ""))
                for i, node in enumerate(self.graph.nodes)
                if node.primitive is not CONST or i in results
            ]
        )

    def _box(self, i: int, names: Sequence[str], result: str) -> Box:
        node = self.graph.nodes[i]
        bar = self.cotangents[i] if self.cotangents else None
        return Box(
            i,
            tuple(formula(self.graph, i, names)),
            str(node.type),
            node.primitive is INPUT,
            result,
            figures(self.values[i]) if self.values else "",
            figures(bar) if bar is not None else "",
            *_place(node.line),
            node.operands,
        )

    @property
    def text(self) -> str:
        """One line for every node, with the user's own line beside it."""
        return "\n".join(_text(self))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def to_dot(self) -> str:
        """The picture in Graphviz's language."""
        return dot(self.title, self.objective, self.boxes)

    def to_svg(self) -> str | None:
        """The picture as Graphviz draws it; None without it or with too many nodes."""
        return svg(self.to_dot()) if len(self.boxes) <= _DRAWN else None

    _repr_svg_ = to_svg

    def _repr_html_(self) -> str:
        """What notebooks show first: the picture, or else the text."""
        return self.to_svg() or f"<pre>{html.escape(self.text)}</pre>"


def graph(
    f: Callable[..., Any], *args: Any, values: bool = False, **kwargs: Any
) -> Picture:
    """The graph of f at the types of its arguments, to print or to look at.

    A plain function is shown as it was traced, with arrays and the user's lines; so is
    jit(f), and one point of vmap(f).  A derivative is shown as it is compiled: the
    scalar operations of one point.

    values=True gives every node its value at the arguments, and its cotangent: the
    derivative of the result with respect to it, or of the sum of all elements of all
    floating-point results.  Arrays of more than 256 elements have no cotangent.
    Raises InputError for the values of a batch.
    """
    function = _transformed(f)
    leaves, spec = tree.flatten((args, kwargs))
    if traced(leaves):
        raise TracingError(
            f"graph({function.name}, …) expected concrete arguments, got traced "
            "values; call it outside of the function that is being traced"
        )
    arrays, extents, inputs = function.point(spec, leaves)
    if values and extents:
        raise InputError(
            f"graph({function.name}, values=True) expected one point, got a batch of "
            f"{' × '.join(map(str, extents))}; pass the function without vmap, and one "
            "of its points"
        )
    inner = original(function)
    if function is not f or function.derived(spec, inputs).mode == "value":
        found = trace(function.function, spec, inputs)
        name = getattr(inner, "__name__", type(inner).__name__)
    else:
        found, name = function.derived(spec, inputs), function.name
    picture = Picture(
        name,
        _plain(found.graph),
        tuple(argument_names(inner, args, kwargs)),
        tuple(result_names(found.result)),
    )
    return _evaluated(picture, arrays) if values else picture


def _transformed(f: Callable[..., Any]) -> Function:
    if isinstance(f, Function):
        return f
    if not callable(f):
        raise InputError(
            f"graph expected a function first, got {f!r}; pass the function and then "
            "its arguments: jitad.graph(f, x)"
        )
    return jit(f)


def _plain(graph: Graph) -> Graph:
    """A scalar graph without nodes that only pack or unpack arrays of shape ()."""
    index = list(range(len(graph.nodes)))
    for i, node in enumerate(graph.nodes):
        if node.primitive in (ELEMENT, PACK) and len(node.operands) == 1:
            (a,) = node.operands
            if node.type == graph.nodes[a].type:
                index[i] = index[a]
    nodes = [
        n._replace(operands=tuple([index[a] for a in n.operands])) for n in graph.nodes
    ]
    return prune(nodes, graph.inputs, tuple([index[i] for i in graph.outputs]))


# -- values --------------------------------------------------------------------


def _evaluated(picture: Picture, arrays: Sequence[np.ndarray]) -> Picture:
    graph = picture.graph
    every = replace(graph, outputs=tuple(range(len(graph.nodes))))
    values = tuple([np.asarray(v) for v in interpret(every, arrays)])
    return replace(picture, values=values, cotangents=cotangents(graph, arrays))


def cotangents(
    graph: Graph, arrays: Sequence[np.ndarray]
) -> tuple[np.ndarray | None, ...]:
    """For every node the derivative of the sum of all outputs with respect to it.

    A perturbation is added to every floating-point node, and the outputs are
    differentiated with respect to the perturbations, at zero.
    """
    perturbed, nodes = _perturbed(graph)
    first = len(graph.inputs)
    pulled = pullback(scalarize(perturbed), range(first, first + len(nodes)))
    # Adding -0.0 changes no number, not even -0.0.
    zeros = [_full(graph.nodes[i].type, -0.0) for i in nodes]
    seeds = [_full(t, 1.0) for t in graph.output_types if _floating(t)]
    results = interpret(pulled, [*arrays, *zeros, *seeds])[len(graph.outputs) :]
    found: list[np.ndarray | None] = [None] * len(graph.nodes)
    for i, bar in zip(nodes, results, strict=True):
        found[i] = np.asarray(bar)
    return tuple(found)


def _full(type: Type, number: float) -> np.ndarray:
    return np.full(type.shape, number, type.dtype)


def _floating(type: Type) -> bool:
    return type.dtype.kind == "f"


def _perturbed(graph: Graph) -> tuple[Graph, list[int]]:
    """(x -> y)  ->  (x, p -> y), and the nodes that p are added to."""
    builder, nodes = Builder(), []
    add = registry.primitives["add"]
    index = [0] * len(graph.nodes)
    for i in graph.inputs:
        index[i] = builder.input(graph.nodes[i].type)
    for i, (primitive, operands, params, type, _) in enumerate(graph.nodes):
        if primitive is not INPUT:
            known = tuple([index[a] for a in operands])
            index[i] = builder.add(primitive, known, type, params)
        if _floating(type) and type.size <= _LARGE and primitive is not CONST:
            index[i] = builder.add(add, (index[i], builder.input(type)), type)
            nodes.append(i)
    return builder.finish([index[i] for i in graph.outputs]), nodes


# -- words ---------------------------------------------------------------------


def _joined(outputs: Sequence[int], results: Sequence[str]) -> dict[int, str]:
    """For nodes that are results, what these are called."""
    found: dict[int, str] = {}
    for i, name in zip(outputs, results, strict=True):
        found[i] = f"{found[i]}, {name}" if i in found else name
    return found


def _place(line: str) -> tuple[str, str]:
    """A source line as file:number without its folder, and its text."""
    path, _, number = line.rpartition(":")
    if not path or not number.isdigit():
        return line, ""
    return f"{Path(path).name}:{number}", linecache.getline(path, int(number)).strip()


def _text(picture: Picture) -> Iterator[str]:
    yield picture.title
    if picture.objective:
        yield f"  cotangent: ∂ {picture.objective} / ∂ node"
    rows, before = [], ""
    for box in picture.boxes:
        comment = f"{box.place}  {box.source}".rstrip()
        rows.append((*_cells(box), comment if comment != before else ""))
        before = comment or before
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [c.ljust(w) for c, w in zip(row, widths, strict=True) if w]
        yield f"  {'  '.join(cells)}".rstrip()
    names = operand_names(picture.graph, picture.arguments)
    for name, i in zip(picture.results, picture.graph.outputs, strict=True):
        yield f"  {name} = {names[i]}"


def _cells(box: Box) -> tuple[str, str, str]:
    written = "".join(piece.text for piece in box.formula)
    return (
        f"{written}: {box.type}"
        if box.is_input
        else f"%{box.number}: {box.type} = {written}",
        f"value {box.value}" if box.value else "",
        f"cotangent {box.cotangent}" if box.cotangent else "",
    )
