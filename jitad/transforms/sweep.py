"""One sweep over a linearized graph, forward or in reverse, for many seeds at once.

Derivatives are kept by seed: {node: {seed: tangent or cotangent}}; what is not there
is zero.  Loops are differentiated by `loops`, which sweeps over their bodies.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitad.ir.call import CALL, custom_of
from jitad.ir.graph import ELEMENT, INPUT, PACK, Type, scalar
from jitad.ir.loop import LOOP, Loop, loop_of, parts_of
from jitad.ir.tracer import Trace
from jitad.transforms import products
from jitad.transforms.linearized import Derivatives, Linearized
from jitad.transforms.loops import pull, push, sum_arrays
from jitad.transforms.products import cast, include
from jitad.transforms.rules import pull_call, push_call


def forward(line: Linearized, seeds: Derivatives) -> Derivatives:
    """Tangents of all nodes that depend on seeded ones."""
    target = line.target
    tangents: Derivatives = {v: dict(s) for v, s in seeds.items()}
    for v in line.order:
        node = target.nodes[v]
        if v in line.edges:
            total: dict[int, int] = {}
            for a, p in line.edges[v]:
                for c, t in tangents.get(a, {}).items():
                    include(target, total, c, products.multiply(target, p, t))
            tangents[v] = total
        elif node.primitive is LOOP:
            dots = [_tangent(line, tangents, a) for a in node.operands]
            tangents |= push(target, v, dots, forward)
        elif node.primitive is CALL:
            dots = [tangents.get(a, {}) for a in node.operands]
            tangents |= push_call(target, v, dots, forward, reverse)
        elif node.primitive is ELEMENT:
            array = tangents.get(node.operands[0], {})
            tangents[v] = {c: _element(target, t, v) for c, t in array.items()}
        elif node.primitive is PACK:
            tangents[v] = _packed(target, node.operands, node.type, tangents)
    return tangents


def _tangent(line: Linearized, tangents: Derivatives, a: int) -> dict[int, int]:
    """The tangents of an operand of a loop: a scalar, or an array."""
    node = line.target.nodes[a]
    if a not in tangents and node.primitive is INPUT and a in line.inputs:
        ids = line.elements[line.inputs.index(a)].ravel().tolist()
        if ids != [a]:
            tangents[a] = _packed(line.target, ids, node.type, tangents)
    return tangents.get(a, {})


def _packed(
    target: Trace, ids: Sequence[int], type: Type, found: Derivatives
) -> dict[int, int]:
    """An array of derivatives of scalars for every seed that one of them has."""
    seeds = sorted({c for i in ids for c in found.get(i, {})})
    if type.dtype.kind != "f":
        return {}
    zero = target.number(0.0, type.dtype)
    return {
        c: target.add(
            PACK,
            tuple([cast(target, found.get(i, {}).get(c, zero), type.dtype)
                   for i in ids]),
            type,
        )
        for c in seeds
    }  # fmt: skip


def _element(target: Trace, array: int, like: int) -> int:
    """The scalar of an array at the place where another node reads another array."""
    node = target.nodes[like]
    return target.add(ELEMENT, (array,), node.type, node.params)


def reverse(line: Linearized, seeds: Derivatives) -> Derivatives:
    """Cotangents of all nodes that seeded ones depend on."""
    target = line.target
    bars = _Bars(target, seeds)
    for v in reversed(line.order):
        node = target.nodes[v]
        if v in line.edges:
            for r, bar in bars.scalars.get(v, {}).items():
                for a, p in line.edges[v]:
                    bars.add(a, r, products.multiply(target, p, bar))
        elif node.primitive is LOOP:
            bars.pull(v, line.active)
        elif node.primitive is CALL:
            bars.pull_call(v)
        elif node.primitive is ELEMENT:
            place = node.params[0][1]
            for r, bar in bars.scalars.get(v, {}).items():
                bars.add_element(node.operands[0], r, place, bar)
        elif node.primitive is PACK:
            for r, bar in bars.array(v).items():
                for k, a in enumerate(node.operands):
                    bars.add(a, r, bars.pick(bar, k, node.type))
    for i, ids in zip(line.inputs, line.elements, strict=True):
        if ids.ravel().tolist() != [i]:
            type = target.nodes[i].type
            for r, bar in bars.array(i).items():
                for k, e in enumerate(ids.ravel().tolist()):
                    bars.add(e, r, bars.pick(bar, k, type))
    return bars.scalars


class _Bars:
    """Cotangents as they are added up: of scalars, of arrays and of their elements."""

    def __init__(self, target: Trace, seeds: Derivatives) -> None:
        self.target = target
        self.scalars: Derivatives = {v: dict(s) for v, s in seeds.items()}
        self.arrays: dict[int, dict[int, int]] = {}
        self.pieces: dict[int, dict[int, dict[int, int]]] = {}

    def add(self, v: int, seed: int, bar: int) -> None:
        """Add to the cotangent of a scalar."""
        include(self.target, self.scalars.setdefault(v, {}), seed, bar)

    def add_element(self, array: int, seed: int, place: int, bar: int) -> None:
        """Add to the cotangent of one element of an array."""
        pieces = self.pieces.setdefault(array, {}).setdefault(seed, {})
        include(self.target, pieces, place, bar)

    def add_array(self, array: int, seed: int, bar: int) -> None:
        """Add an array to the cotangent of an array."""
        sums = self.arrays.setdefault(array, {})
        old = sums.get(seed)
        sums[seed] = bar if old is None else sum_arrays(self.target, old, bar)

    def array(self, v: int) -> dict[int, int]:
        """The whole cotangent of an array."""
        type = self.target.nodes[v].type
        for seed, pieces in self.pieces.pop(v, {}).items():
            zero = self.target.number(0.0, type.dtype)
            flat = [
                cast(self.target, pieces.get(k, zero), type.dtype)
                for k in range(type.size)
            ]
            self.add_array(v, seed, self.target.add(PACK, tuple(flat), type))
        return self.arrays.get(v, {})

    def pick(self, array: int, k: int, type: Type) -> int:
        """Element k of an array of cotangents."""
        node = self.target.nodes[array]
        if node.primitive is PACK:
            return node.operands[k]
        return self.target.add(ELEMENT, (array,), scalar(type.dtype), (("index", k),))

    def add_slices(self, array: int, loop: Loop, k: int, seed: int, bar: int) -> None:
        """Add what every iteration gives to the array that a loop read as number k."""
        type, way = self.target.nodes[array].type, loop.slices[k]
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
        types = custom_of(self.target.nodes[v]).types()
        parts = parts_of(self.target, v, types)
        bars = [self.scalars.get(part, {}) for part in parts]
        found = pull_call(self.target, v, bars, reverse)
        for a, terms in zip(self.target.nodes[v].operands, found, strict=True):
            for seed, bar in terms.items():
                self.add(a, seed, bar)

    def pull(self, v: int, active: frozenset[int]) -> None:
        """Through a loop, from its parts to those of its operands that are active."""
        nodes = self.target.nodes
        loop = loop_of(nodes[v])
        bars = [
            self.array(part) if nodes[part].type.shape else self.scalars.get(part, {})
            for part in parts_of(self.target, v, loop.types())
        ]
        operands = nodes[v].operands
        first = int(loop.counted) + loop.carried
        shared = operands[first : first + loop.shared]
        # What the loop adds to begins with what is there already.
        begun = [self.scalars.pop(a, {}) for a in shared]
        wanted = [a in active for a in operands]
        found, read = pull(self.target, v, bars, begun, wanted, reverse)
        for own, old in zip(found[first:], begun, strict=False):
            own |= {r: bar for r, bar in old.items() if r not in own}
        for a, terms in zip(operands, found, strict=True):
            for seed, bar in terms.items():
                self.add(a, seed, bar)
        arrays = operands[len(operands) - len(loop.slices) :]
        for k, seed, bar in read:
            self.add_slices(arrays[k], loop, k, seed, bar)
