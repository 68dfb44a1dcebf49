"""Roots of squares at 0, where functions even in them are smooth.

The Euclidean norm r = √s of a vector v, s = Σv², has no derivative at v = 0, but a
function φ(r) with φ'(0) = 0 has: it is φ(0) + φ''(0) s / 2 to second order.  `even`
replaces every output y by that where s is 0, the derivatives of y by r being those of
the graph behind r.  Where φ'(0) is not 0, or is so at this point alone, the second
derivative is that of r: NaN.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jitad.ir.graph import ELEMENT, INPUT, PACK, Graph, Node, reach, scalar
from jitad.ir.primitive import registry
from jitad.ir.tracer import Trace
from jitad.primitives.define import plain_root
from jitad.transforms.scalars.templates import formula, instantiate, new_builder

from .linearized import between
from .sweep import forward

# What is squared, in order, each with its share of the first.
Signature = tuple[tuple[int, int, float], ...]
_BOOL = scalar(np.dtype(bool))
# Other roots behind which mixed derivatives are asked for: beyond, where two are 0 at
# once, the function is taken not to be even in each of them.
_FEW = 8
_GOLDEN = 0.5 * (1.0 + 5.0**0.5)


@dataclass(frozen=True, slots=True)
class Root:
    """A root: itself, 0 held fixed where it is 0, the square, and where that is 0."""

    plain: int
    held: int
    square: int
    zero: int


def even(graph: Graph) -> Graph:
    """The same function, twice differentiable where a root that is even in it is 0."""
    scalars = [_places(graph, i) for i in graph.outputs]
    if not any(node.primitive.square for node in graph.nodes):
        return graph
    builder = new_builder()
    index = dict(
        zip(graph.inputs, [builder.input(t) for t in graph.input_types], strict=True)
    )
    roots: list[Root] = []
    alike: dict[Signature, tuple[Root, float]] = {}
    hold = all(own is not None for own in scalars)
    for i, node in enumerate(graph.nodes):
        if i in index:
            continue
        operands = tuple([index[a] for a in node.operands])
        index[i] = builder.copy(node, operands)
        if node.primitive.square is None:
            continue
        root = root_at(builder, index[i])
        if root is not None and hold:
            index[i] = _held(builder, root, roots, alike)
        elif root is not None:
            index[i] = root.plain
    if not roots:
        return builder.finish([index[i] for i in graph.outputs])
    wanted = list(dict.fromkeys(index[a] for own in scalars for a in own or ()))
    wanted = [a for a in wanted if builder.nodes[a].type.dtype.kind == "f"]
    whole = _completed(builder, wanted, roots)
    outputs = []
    for i, own in zip(graph.outputs, scalars, strict=True):
        made = [whole.get(index[a], index[a]) for a in own or ()]
        node = graph.nodes[i]
        packed = node.primitive is PACK
        outputs.append(builder.add(PACK, tuple(made), node.type) if packed else made[0])
    return builder.finish(outputs)


def _held(
    builder: Trace,
    root: Root,
    roots: list[Root],
    alike: dict[Signature, tuple[Root, float]],
) -> int:
    """A root with 0 held fixed, or a multiple of one that it is a multiple of.

    Its square may be even in roots before it, as that of hypot(hypot(x, y), z) is.
    """
    signature, scale = _signature(builder, root.square)
    if signature in alike:
        first, other = alike[signature]
        type = builder.nodes[root.plain].type
        ratio = builder.number(math.sqrt(scale / other), type.dtype)
        first_held = builder.cast(first.held, type.dtype)
        held = builder.apply(registry.primitives["mul"], (first_held, ratio), type)
        select = registry.primitives["select"]
        return builder.apply(select, (root.zero, held, root.plain), type)
    whole = _completed(builder, [root.square], roots)
    roots.append(replace(root, square=whole.get(root.square, root.square)))
    alike[signature] = root, scale
    return root.held


def _places(graph: Graph, i: int) -> tuple[int, ...] | None:
    """The scalars of an output; None: it is another array."""
    node = graph.nodes[i]
    if node.primitive is PACK:
        return node.operands
    return None if node.type.shape else (i,)


def root_at(builder: Trace, i: int) -> Root | None:
    """A root that can be 0 where it has a kink; None: it is of something else."""
    primitive, operands, _, type, _ = builder.nodes[i]
    if primitive.square is None:
        return None
    dtypes = tuple([builder.nodes[a].type.dtype for a in operands])
    (square,) = instantiate(
        builder, formula(primitive.square, dtypes, type.dtype), operands
    )
    if not _of_squares(builder, square):
        return None
    plain = builder.apply(plain_root(primitive), operands, type)
    zero = builder.number(0.0, type.dtype)
    both = [
        builder.apply(registry.primitives["eq"], (a, zero), _BOOL)
        for a in (square, plain)
    ]
    none = builder.apply(registry.primitives["and"], (both[0], both[1]), _BOOL)
    held = builder.apply(registry.primitives["select"], (none, zero, plain), type)
    return Root(plain, held, square, none)


def _of_squares(builder: Trace, i: int) -> bool:
    """Whether a number is a sum of squares, or of multiples of them."""
    known = builder.values[i]
    if known is not None:
        return known == 0
    name, operands = builder.nodes[i].primitive.name, builder.nodes[i].operands
    if name == "squares":
        return True
    if name == "add":
        return all(_of_squares(builder, a) for a in operands)
    if name in ("mul", "div") and builder.values[operands[1]] is not None:
        return _of_squares(builder, operands[0])
    if name == "mul" and builder.values[operands[0]] is not None:
        return _of_squares(builder, operands[1])
    return name == "mul" and operands[0] == operands[1]


def _signature(builder: Trace, i: int) -> tuple[Signature, float]:
    """What is squared in a sum of squares, its share of the first, and the first."""
    terms: dict[Any, float] = {}
    _collect(builder, i, 1.0, terms)
    ordered = sorted(terms.items())
    if not ordered or not ordered[0][1] > 0:
        return ((i, 0, 1.0),), 1.0
    (_, first), *_ = ordered
    return tuple([(*key, scale / first) for key, scale in ordered]), first


def _collect(builder: Trace, i: int, scale: float, terms: dict[Any, float]) -> None:
    """Add the terms of a sum of squares, each with its factor."""
    name, operands = builder.nodes[i].primitive.name, builder.nodes[i].operands
    if name == "add":
        for a in operands:
            _collect(builder, a, scale, terms)
    elif name == "mul" and operands[0] == operands[1]:
        line, factor = _line(builder, operands[0])
        terms[line] = terms.get(line, 0.0) + scale * factor * factor
    elif (found := _scaled(builder, i)) is not None:
        _collect(builder, found[0], scale * found[1], terms)
    elif builder.values[i] != 0:
        terms[i, -1] = terms.get((i, -1), 0.0) + scale


def _line(builder: Trace, i: int) -> tuple[tuple[int, int], float]:
    """What a number is a multiple of, told alike of a - b and b - a; and the factor."""
    name, operands = builder.nodes[i].primitive.name, builder.nodes[i].operands
    if name == "sub":
        return (min(operands), max(operands)), 1.0
    if (found := _scaled(builder, i)) is not None:
        line, factor = _line(builder, found[0])
        return line, factor * found[1]
    return (i, i), 1.0


def _scaled(builder: Trace, i: int) -> tuple[int, float] | None:
    """A number, and the constant that it is multiplied with."""
    name, operands = builder.nodes[i].primitive.name, builder.nodes[i].operands
    known = [builder.values[a] for a in operands]
    if name == "neg":
        return operands[0], -1.0
    if name == "mul" and known[0] is not None:
        return operands[1], float(known[0])
    if name == "mul" and known[1] is not None:
        return operands[0], float(known[1])
    if name == "div" and known[1] is not None and known[1] != 0:
        return operands[0], 1.0 / float(known[1])
    return None


def _completed(
    builder: Trace, outputs: Sequence[int], roots: Sequence[Root]
) -> dict[int, int]:
    """For every output y + Σ (where its root is 0: φ'' s / 2, or the root)."""
    held = {root.held: k for k, root in enumerate(roots)}
    slopes = _slopes(builder, outputs, held)
    behind: dict[int, list[int]] = {}
    for found in slopes.values():
        for k, slope in found.items():
            behind.setdefault(k, []).append(slope)
    curves: dict[tuple[int, int], int | None] = {}
    mixed: dict[tuple[int, int], list[int]] = {}
    for k, own in behind.items():
        near = held.keys() & set(reach(builder.nodes, own)) - {roots[k].held}
        others = {i: held[i] for i in sorted(near)}
        known = others if len(others) <= _FEW else {}
        again = _slopes(builder, own, {roots[k].held: k} | known)
        moving = _moving(builder, roots[k], held, own)
        for a in own:
            curves[k, a] = again[a].get(k)
            mixed[k, a] = [
                _both(builder, roots[m].zero, again[a].get(m))
                for i, m in others.items()
                if i not in known or m in again[a]
            ]
            if a in moving:
                mixed[k, a].append(_nonzero(builder, moving[a]))
    whole = {}
    for y, found in slopes.items():
        total = y
        for k, slope in found.items():
            term = _term(builder, roots[k], slope, curves[k, slope], mixed[k, slope])
            total = _plus(builder, total, term)
        whole[y] = total
    return whole


def _slopes(
    builder: Trace, outputs: Sequence[int], held: dict[int, int]
) -> dict[int, dict[int, int]]:
    """The derivatives of outputs by numbers of the graph, by what each has as key."""
    line = between(builder, set(held), [np.asarray(y) for y in outputs])
    seeds = {
        i: {k: builder.number(1.0, builder.nodes[i].type.dtype)}
        for i, k in held.items()
    }
    found = forward(line, seeds)
    return {y: dict(found.get(y, {})) for y in outputs}


def _moving(
    builder: Trace, root: Root, held: Collection[int], slopes: Sequence[int]
) -> dict[int, int]:
    """How slopes change with the arguments under a root, roots held: as x does in x r.

    Along one direction, in which no two of the function's arguments grow alike.  What
    is under a sum that is only told to be of squares is not seen: any argument may be.
    """
    nodes = builder.nodes
    under = reach(nodes, [root.square])
    told = [nodes[i].operands[0] for i in under if nodes[i].primitive.name == "squares"]
    seen = range(len(nodes)) if told else under
    given = [i for i in seen if _is_given(nodes, i) and i not in told]
    line = between(builder, {*given, *held}, [np.asarray(a) for a in slopes])
    seeds = {
        i: {0: builder.number(rate(n), nodes[i].type.dtype)}
        for n, i in enumerate(given)
    }
    found = forward(line, seeds)
    return {a: found[a][0] for a in slopes if 0 in found.get(a, {})}


def _is_given(nodes: Sequence[Node], i: int) -> bool:
    """Whether a node is a number among the arguments."""
    primitive, operands, _, type, _ = nodes[i]
    if type.shape or type.dtype.kind != "f":
        return False
    element = primitive is ELEMENT and nodes[operands[0]].primitive is INPUT
    return element or primitive is INPUT


def rate(k: Any) -> Any:
    """How fast argument number k grows: the first fastest, and no two alike."""
    return 1.0 / (1.0 + k / _GOLDEN)


def _both(builder: Trace, zero: int, slope: int | None) -> int:
    """Whether another root is 0, too, and the function is not even in each of both."""
    if slope is None:
        return zero
    bent = _nonzero(builder, slope)
    return builder.apply(registry.primitives["and"], (zero, bent), _BOOL)


def _nonzero(builder: Trace, i: int) -> int:
    nought = builder.number(0.0, builder.nodes[i].type.dtype)
    return builder.apply(registry.primitives["ne"], (i, nought), _BOOL)


def _term(
    builder: Trace, root: Root, slope: int, curve: int | None, mixed: Sequence[int]
) -> int:
    """Where the root is 0: φ'' s / 2 if φ' is 0, else a root without derivatives.

    mixed  conditions under which it is not even: because of other roots, or because φ'
           is 0 at this point alone
    """
    type = builder.nodes[root.plain].type
    zero, half = (builder.number(v, type.dtype) for v in (0.0, 0.5))
    mul, select, gate = (registry.primitives[n] for n in ("mul", "select", "gate"))
    smooth = zero
    if curve is not None:
        scale = builder.apply(mul, (half, builder.cast(curve, type.dtype)), type)
        smooth = builder.apply(mul, (scale, root.square), type)
    nought = builder.number(0.0, builder.nodes[slope].type.dtype)
    flat = builder.apply(registry.primitives["eq"], (slope, nought), _BOOL)
    for bent in mixed:
        smooth_there = builder.apply(registry.primitives["not"], (bent,), _BOOL)
        flat = builder.apply(registry.primitives["and"], (flat, smooth_there), _BOOL)
    term = builder.apply(select, (flat, smooth, root.plain), type)
    return builder.apply(gate, (root.zero, term), type)


def _plus(builder: Trace, a: int, b: int) -> int:
    type = builder.nodes[a].type
    add = registry.primitives["add"]
    return builder.apply(add, (a, builder.cast(b, type.dtype)), type)
