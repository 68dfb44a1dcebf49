"""One sweep over a linearized graph, forward or in reverse, for many seeds at once.

Derivatives are kept by seed: {node: {seed: tangent or cotangent}}; what is not there
is zero.  Loops are differentiated by `loops`, which sweeps over their bodies.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jitad.ir.call import CALL, custom_of
from jitad.ir.graph import ELEMENT, INPUT, PACK, Type
from jitad.ir.loop import INT, LOOP, Loop, loop_of, parts_of
from jitad.ir.table import (
    LOOKUP,
    SCATTER,
    Term,
    Way,
    add_lookup,
    add_scatter,
    array_of,
    named_by,
    pick,
    terms_of,
    way_of,
)
from jitad.ir.tracer import Trace
from jitad.primitives.scalar.elementwise import GATES

from . import products
from .backwards import Pullback, sum_arrays
from .linearized import Derivatives, Linearized, tables
from .loops import push
from .numbering import Algebra, Scalars
from .products import gated, include
from .rules import pull_call, push_call
from .segments import in_segments


def forward(line: Linearized, seeds: Derivatives) -> Derivatives:
    """Tangents of all nodes that depend on seeded ones."""
    builder = line.builder
    tangents: Derivatives = {v: dict(s) for v, s in seeds.items()}
    read = tables([builder.nodes[v] for v in line.order])
    edges, by = line.upward, Scalars(builder)
    for v in line.order:
        node = builder.nodes[v]
        if v in edges:
            tangents[v] = pushed(edges[v], tangents, by)
        elif node.primitive is LOOP:
            dots = [_tangent(line, tangents, a, a in read) for a in node.operands]
            tangents |= push(builder, v, dots, forward)
        elif node.primitive is CALL:
            dots = [tangents.get(a, {}) for a in node.operands]
            tangents |= push_call(builder, v, dots, forward, reverse)
        elif node.primitive is ELEMENT:
            array = tangents.get(node.operands[0], {})
            tangents[v] = {c: _element(builder, t, v) for c, t in array.items()}
        elif node.primitive is PACK:
            tangents[v] = _packed(builder, node.operands, node.type, tangents)
        elif node.primitive is LOOKUP:
            array, index = node.operands
            dots = _tangent(line, tangents, array, True)
            way = way_of(node)
            tangents[v] = {
                c: add_lookup(builder, t, index, way) for c, t in dots.items()
            }
        elif node.primitive is SCATTER:
            tangents[v] = _scatter(line, tangents, v)
    return tangents


def pushed(
    edges: Sequence[tuple[int, int]], tangents: Derivatives, by: Algebra
) -> dict[int, int]:
    """The tangents of a node with these edges, from those of its operands."""
    total: dict[int, int] = {}
    multiply, add = by.multiply, by.add
    for a, p in edges:
        for c, t in tangents.get(a, {}).items():
            term, old = multiply(p, t), total.get(c)
            total[c] = term if old is None else add(old, term)
    return total


def _scatter(line: Linearized, tangents: Derivatives, v: int) -> dict[int, int]:
    """Give the tangents of a scatter: those of what it adds up, scattered alike."""
    builder, type = line.builder, line.builder.nodes[v].type
    arrays, terms = terms_of(builder.nodes[v])
    dots = {a: tangents.get(a, {}) for a in arrays}
    dots |= {value: tangents.get(value, {}) for _, _, value in terms}
    seeds = sorted({c for found in dots.values() for c in found})
    return {
        c: add_scatter(
            builder,
            type,
            [dots[a][c] for a in arrays if c in dots[a]],
            [
                (way, index, builder.cast(dots[value][c], type.dtype))
                for way, index, value in terms
                if c in dots[value]
            ],
        )
        for c in seeds
    }


def _tangent(
    line: Linearized, tangents: Derivatives, a: int, table: bool
) -> dict[int, int]:
    """The tangents of an operand of a loop: a scalar, or an array."""
    node = line.builder.nodes[a]
    if a not in tangents and node.primitive is INPUT and a in line.inputs:
        ids = line.elements[line.inputs.index(a)].ravel().tolist()
        if ids and ids != [a]:
            made = _packed(line.builder, ids, node.type, tangents)
            tangents[a] = {c: _source(line.builder, t) if table else t
                           for c, t in made.items()}  # fmt: skip
    return tangents.get(a, {})


def _packed(
    builder: Trace, ids: Sequence[int], type: Type, found: Derivatives
) -> dict[int, int]:
    """An array of derivatives of scalars for every seed that one of them has."""
    seeds = sorted({c for i in ids for c in found.get(i, {})})
    if type.dtype.kind != "f":
        return {}
    zero = builder.number(0.0, type.dtype)
    return {
        c: builder.add(
            PACK,
            tuple([builder.cast(found.get(i, {}).get(c, zero), type.dtype)
                   for i in ids]),
            type,
        )
        for c in seeds
    }  # fmt: skip


def _source(builder: Trace, packed: int) -> int:
    """The array that packed scalars are the elements of, if they are all of it."""
    node = builder.nodes[packed]
    return array_of(builder, node.operands, node.type)


def _element(builder: Trace, array: int, like: int) -> int:
    """The scalar of an array at the place where another node reads another array."""
    node = builder.nodes[like]
    return builder.add(ELEMENT, (array,), node.type, node.params)


def reverse(line: Linearized, seeds: Derivatives) -> Derivatives:
    """Cotangents of all nodes that seeded ones depend on."""
    builder = line.builder
    bars, edges = _Bars(builder, seeds), line.downward
    for v in reversed(line.order):
        node = builder.nodes[v]
        if v in edges:
            for r, bar in bars.scalars.get(v, {}).items():
                for a, p in edges[v]:
                    bars.add(a, r, products.multiply(builder, p, bar))
        elif node.primitive is LOOP:
            bars.pull(v, line.active)
        elif node.primitive is CALL:
            bars.pull_call(v)
        elif node.primitive is ELEMENT:
            place = node.index
            for r, bar in bars.scalars.get(v, {}).items():
                bars.add_element(node.operands[0], r, place, bar)
        elif node.primitive is PACK:
            for r, bar in bars.array(v).items():
                for k, a in enumerate(node.operands):
                    bars.add(a, r, bars.pick(bar, k, node.type))
        elif node.primitive is LOOKUP:
            array, index = node.operands
            for r, bar in bars.scalars.get(v, {}).items():
                bars.add_term(array, r, (way_of(node), index, bar))
        elif node.primitive is SCATTER:
            bars.pull_scatter(v, line.active)
    for i, ids in zip(line.inputs, line.elements, strict=True):
        own = ids.ravel().tolist()
        if own != [i]:
            type = builder.nodes[i].type
            for r, bar in bars.array(i).items():
                for k, e in enumerate(own):
                    bars.add(e, r, bars.pick(bar, k, type))
        if builder.nodes[i].type.shape and own in ([i], []):
            bars.scalars[i] = bars.array(i)
    return bars.scalars


class _Bars:
    """Cotangents as they are added up: of scalars, of arrays and of their elements."""

    def __init__(self, builder: Trace, seeds: Derivatives) -> None:
        self.builder = builder
        self.scalars: Derivatives = {}
        self.arrays: dict[int, dict[int, int]] = {}
        # Array of cotangents -> array of whether the gates of its elements are open.
        self.opens: dict[int, int] = {}
        self.pieces: dict[int, dict[int, dict[int, int]]] = {}
        self.terms: dict[int, dict[int, list[Term]]] = {}
        self.scattered: dict[int, dict[int, list[int]]] = {}
        for v, own in seeds.items():
            if builder.nodes[v].type.shape:
                self.scattered[v] = {seed: [bar] for seed, bar in own.items()}
            else:
                self.scalars[v] = dict(own)

    def add(self, v: int, seed: int, bar: int) -> None:
        """Add to the cotangent of a scalar."""
        include(self.builder, self.scalars.setdefault(v, {}), seed, bar)

    def add_element(self, array: int, seed: int, place: int, bar: int) -> None:
        """Add to the cotangent of one element of an array."""
        pieces = self.pieces.setdefault(array, {}).setdefault(seed, {})
        include(self.builder, pieces, place, bar)

    def add_term(self, array: int, seed: int, term: Term) -> None:
        """Add to the element of an array's cotangent that an index names."""
        way, index, bar = term
        bar = self.builder.cast(bar, self.builder.nodes[array].type.dtype)
        own = self.terms.setdefault(array, {}).setdefault(seed, [])
        own.append((way, index, bar))

    def add_scatter(self, array: int, seed: int, bar: int) -> None:
        """Add an array in which terms are added up to the cotangent of an array."""
        self.scattered.setdefault(array, {}).setdefault(seed, []).append(bar)

    def add_array(self, array: int, seed: int, bar: int) -> None:
        """Add an array to the cotangent of an array."""
        sums = self.arrays.setdefault(array, {})
        old = sums.get(seed)
        if old is None:
            sums[seed] = bar
            return
        sums[seed] = sum_arrays(self.builder, old, bar, "add")
        if old in self.opens and bar in self.opens:
            either = sum_arrays(self.builder, self.opens[old], self.opens[bar], "or")
            self.opens[sums[seed]] = either

    def array(self, v: int) -> dict[int, int]:
        """The whole cotangent of an array."""
        type = self.builder.nodes[v].type
        self._scatter(v)
        for seed, pieces in self.pieces.pop(v, {}).items():
            zero = self.builder.number(0.0, type.dtype)
            flat = [
                self.builder.cast(pieces.get(k, zero), type.dtype)
                for k in range(type.size)
            ]
            packed = self.builder.add(PACK, tuple(flat), type)
            self._note(packed, [k in pieces for k in range(type.size)])
            self.add_array(v, seed, packed)
        return self.arrays.get(v, {})

    def _note(self, packed: int, there: Sequence[bool]) -> None:
        """Put down which gates are open, if any of those that are there has one."""
        found = []
        for i, known in zip(self.builder.nodes[packed].operands, there, strict=True):
            node = self.builder.nodes[i]
            gate = node.primitive.name in GATES
            always = self.builder.const(np.bool_(known))
            found.append(node.operands[0] if gate else always)
        if any(self.builder.values[i] is None for i in found):
            type = Type(np.dtype(bool), (len(found),))
            self.opens[packed] = self.builder.add(PACK, tuple(found), type)

    def _scatter(self, v: int) -> None:
        """Add up what is known of an array's cotangent at computed places."""
        type = self.builder.nodes[v].type
        terms, scattered = self.terms.pop(v, {}), self.scattered.pop(v, {})
        for seed in sorted({*terms, *scattered}):
            own = list(terms.get(seed, ()))
            first = self.builder.number(0, INT)
            for k, bar in self.pieces.get(v, {}).pop(seed, {}).items():
                own.append((Way(k, 1, 1), first, self.builder.cast(bar, type.dtype)))
            before = self.arrays.get(v, {}).get(seed)
            given = [*([] if before is None else [before]), *scattered.get(seed, ())]
            made = add_scatter(self.builder, type, given, own)
            self.arrays.setdefault(v, {})[seed] = made

    def pick(self, array: int, k: int, type: Type) -> int:
        """Element k of an array of cotangents."""
        node = self.builder.nodes[array]
        if node.primitive is not SCATTER:
            found = pick(self.builder, array, k)
            if array in self.opens and node.primitive is not PACK:
                there = pick(self.builder, self.opens[array], k)
                return gated(self.builder, there, found)
            return found
        arrays, terms = terms_of(node)
        sums: dict[int, int] = {}
        for a in arrays:
            include(self.builder, sums, k, self.pick(a, k, type))
        for way, index, value in terms:
            if k in way.all():
                number = (k - way.element) // way.stride
                value = gated(
                    self.builder, named_by(self.builder, index, number), value
                )
                include(self.builder, sums, k, value)
        return sums.get(k, self.builder.number(0.0, type.dtype))

    def pull_scatter(self, v: int, active: frozenset[int]) -> None:
        """Pull cotangents through a scatter, to what it adds up."""
        arrays, terms = terms_of(self.builder.nodes[v])
        for seed, bar in self.array(v).items():
            for a in arrays:
                if a in active:
                    self.add_scatter(a, seed, bar)
            for way, index, value in terms:
                if value in active:
                    found = add_lookup(self.builder, bar, index, way)
                    self.add(value, seed, found)

    def add_slices(self, array: int, loop: Loop, k: int, seed: int, bar: int) -> None:
        """Add what every iteration gives to the array that a loop read as number k."""
        type, way = self.builder.nodes[array].type, loop.slices[k]
        assert way is not None
        if way == (0, 1) and type.shape == (loop.bound,):
            self.add_array(array, seed, bar)
            return
        offset, stride = way
        for i in range(loop.bound):
            piece = self.pick(bar, i, type)
            self.add_element(array, seed, offset + i * stride, piece)

    def pull_call(self, v: int) -> None:
        """Through a call, from its parts to its operands."""
        types = custom_of(self.builder.nodes[v]).types()
        parts = parts_of(self.builder, v, types)
        bars = [self.scalars.get(part, {}) for part in parts]
        found = pull_call(self.builder, v, bars, forward, reverse)
        for a, terms in zip(self.builder.nodes[v].operands, found, strict=True):
            for seed, bar in terms.items():
                self.add(a, seed, bar)

    def pull(self, v: int, active: frozenset[int]) -> None:
        """Through a loop, from its parts to those of its operands that are active."""
        nodes = self.builder.nodes
        loop = loop_of(nodes[v])
        bars = [
            self.array(part) if nodes[part].type.shape else self.scalars.get(part, {})
            for part in parts_of(self.builder, v, loop.types())
        ]
        v = in_segments(self.builder, v)
        loop, operands = loop_of(nodes[v]), nodes[v].operands
        split = loop.split(operands)
        # What the loop adds to begins with what is there already.
        begun = [self.scalars.pop(a, {}) for a in split.shared]
        wanted = [a in active for a in operands]
        back = Pullback(self.builder, v, bars, begun, wanted, reverse, self.opens)
        found = back.scalars
        for own, old in zip(loop.split(found).shared, begun, strict=True):
            own |= {r: bar for r, bar in old.items() if r not in own}
        for a, terms in zip(operands, found, strict=True):
            for seed, bar in terms.items():
                self.add(a, seed, bar)
        for k, seed, bar in back.read:
            self.add_slices(split.arrays[k], loop, k, seed, bar)
        for k, seed, bar in back.scattered:
            self.add_scatter(split.tables[k], seed, bar)
