"""In which iterations of a loop derivatives are there, as far as that is known.

A derivative that has not reached a carried value yet, or no longer does, is no zero but
nothing at all, which not even an infinite slope makes a NaN of.  `presences` follows
seeds from iteration to iteration; what it finds does not depend on any value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jitad.ir.graph import PACK, Builder, Graph, Node, prune, reach, scalar
from jitad.ir.loop import INT, Loop
from jitad.ir.primitive import registry
from jitad.ir.tracer import Trace

from .linearized import Linearized

_MOST = 64  # iterations that are looked at
_CHANGES = 4  # how often what is there may come and go
# Of zeros these give zeros, whatever a gate's condition, and mul by a finite constant.
_LINEAR = frozenset({"gate", "mul", "add", "sub", "neg", "cast"})

_BOOL = scalar(np.dtype(bool))


@dataclass(frozen=True)
class Presence:
    """Whether a derivative is there before the first iteration, the second, ….

    there  for every iteration until nothing changes any more; the last is for all
           further ones
    """

    there: tuple[bool, ...]

    @property
    def varies(self) -> bool:
        """Whether it is there in some iterations only, which are few stretches."""
        return 0 < len(self._changes) <= _CHANGES

    @property
    def _changes(self) -> list[int]:
        """The iterations in which it begins to be there, or not to."""
        pairs = enumerate(zip(self.there, self.there[1:], strict=False), 1)
        return [i for i, (before, now) in pairs if before != now]

    def after(self, count: int) -> bool:
        """Whether it is there when so many iterations are over."""
        return self.there[min(count, len(self.there) - 1)]

    def when(self, builder: Trace, count: int) -> int:
        """The condition that it is there, where a node counts what is over."""
        found = builder.const(np.bool_(self.there[0]))
        for i in self._changes:
            name, join = ("ge", "or") if self.there[i] else ("lt", "and")
            bound = self._compared(builder, name, count, i)
            found = builder.apply(registry.primitives[join], (found, bound), _BOOL)
        return found

    def _compared(self, builder: Trace, name: str, count: int, number: int) -> int:
        pair = count, builder.number(number, INT)
        return builder.apply(registry.primitives[name], pair, _BOOL)


def presences(
    begun: Sequence[Iterable[int]],
    fresh: Sequence[Mapping[int, Sequence[bool]]],
    depends: Sequence[Sequence[int]],
    bound: int,
) -> list[dict[int, Presence]]:
    """For every carried value the presence of the seeds that ever reach it.

    Nothing where that is still to change after many iterations.
    begun    seeds that carried values begin with
    fresh    seeds that enter them from elsewhere, with the iterations in which they do;
             () for all
    depends  the numbers of the carried values that each is made of
    """
    now = [frozenset(own) for own in begun]
    longest = max((len(ways) for own in fresh for ways in own.values()), default=0)
    states = [now]
    for i in range(bound):
        if i > _MOST:
            return []
        now = [
            frozenset(c for c, ways in own.items() if not ways or ways[i]).union(
                *(now[j] for j in made)
            )
            for own, made in zip(fresh, depends, strict=True)
        ]
        if now == states[-1] and i >= longest:
            break
        states.append(now)
    return [
        {
            c: Presence(tuple(c in state[k] for state in states))
            for c in frozenset().union(*(state[k] for state in states))
        }
        for k in range(len(begun))
    ]


def entering(
    seeds: Sequence[Mapping[int, Sequence[bool]]], among: Iterable[int]
) -> dict[int, Sequence[bool]]:
    """The seeds of some values, with the iterations in which one of them has them."""
    found: dict[int, Sequence[bool]] = {}
    for k in among:
        for c, ways in seeds[k].items():
            old = found.get(c)
            if old is None:
                found[c] = ways
            elif old and ways:
                found[c] = [a or b for a, b in zip(old, ways, strict=True)]
            else:
                found[c] = ()
    return found


def leading(starts: Sequence[bool], depends: Sequence[Sequence[int]]) -> list[bool]:
    """Whether a carried value is one of some, or one of these is made of it, or so on.

    depends  the numbers of the carried values that each is made of
    """
    found = list(starts)
    stack = [k for k, start in enumerate(starts) if start]
    while stack:
        for j in depends[stack.pop()]:
            if not found[j]:
                found[j] = True
                stack.append(j)
    return found


def without_gates(
    builder: Trace,
    conditions: dict[int, int],
    inputs: Sequence[int],
    outputs: Sequence[int],
) -> Graph:
    """The graph of outputs, without gates that change nothing.

    conditions  for inputs that are zero where a condition does not hold, this condition
    A gate of such an input under this very condition, or of sums of its multiples,
    need not look at the condition.  Of a product with such an input it is the other
    factor that looks at it: one factor is in many products, and a sum takes in those
    products that have no gate.
    """
    if not conditions:
        return prune(builder.nodes, inputs, tuple(outputs))
    nodes, again = builder.nodes, Builder(builder.simplify)
    found: dict[int, int] = {}
    zero = dict(conditions)

    def closed(gate: Node, v: int) -> int | None:
        """v, as a product of a gated factor, if it is zero then where a gate closes."""
        name, operands = nodes[v].primitive.name, nodes[v].operands
        condition = gate.operands[0]
        if name == "neg" and (inner := closed(gate, operands[0])) is not None:
            return again.copy(nodes[v], (inner,))
        if zero.get(v) == condition:
            return found[v]
        if name == "mul" and condition in map(zero.get, operands):
            factors = [found[a] for a in operands]
            k = zero.get(operands[0]) == condition
            factors[k] = again.copy(gate, (found[condition], factors[k]))
            return again.copy(nodes[v], tuple(factors))
        return None

    for i in reach(nodes, (*inputs, *outputs)):
        node = nodes[i]
        name, operands = node.primitive.name, node.operands
        same = closed(node, operands[1]) if name == "gate" else None
        new = tuple([found[a] for a in operands])
        found[i] = again.copy(node, new) if same is None else same
        own = [zero.get(a) for a in operands] if name in _LINEAR else [None]
        if name == "mul":
            for a, condition in zip(operands, own[::-1], strict=True):
                known = builder.values[a]
                if condition is not None and known is not None and np.isfinite(known):
                    zero[i] = condition
        elif own[-1] is not None and (name == "gate" or own[0] == own[-1]):
            zero[i] = own[-1]
    ends = [[found[i] for i in ids] for ids in (inputs, outputs)]
    return prune(again.nodes, ends[0], tuple(ends[1]))


def dependence(line: Linearized) -> list[list[int]]:
    """For every output the numbers of the inputs that it may change smoothly with."""
    masks = {i: 1 << k for k, i in enumerate(line.inputs)}
    for v in line.order:
        edges = line.edges.get(v)
        operands = (
            line.builder.nodes[v].operands if edges is None else [a for a, _ in edges]
        )
        mask = 0
        for a in operands:
            mask |= masks.get(a, 0)
        masks[v] = mask
    found = [masks.get(int(o), 0) for o in line.outputs]
    count = len(line.inputs)
    return [[k for k in range(count) if m >> k & 1] for m in found]


def bent(line: Linearized) -> list[bool]:
    """For every input whether anything that depends on it is no multiple of it."""
    masks: dict[int, int] = {}
    for k, i in enumerate(line.inputs):
        masks[i] = masks.get(i, 0) | 1 << k
    known, found = line.builder.values, 0
    for v in line.order:
        edges = line.edges.get(v)
        if edges is None:
            for a in line.builder.nodes[v].operands:
                found |= masks.get(a, 0)
            continue
        mask = 0
        for a, p in edges:
            own = masks.get(a, 0)
            mask |= own
            if known[p] is None:
                found |= own
        if mask:
            masks[v] = masks.get(v, 0) | mask
    return [bool(found >> k & 1) for k in range(len(line.inputs))]


def bent_back(line: Linearized, end: int) -> bool:
    """Whether a node is no multiple of anything that it depends on."""
    reached = {end}
    for v in reversed(line.order):
        if v not in reached:
            continue
        edges = line.edges.get(v)
        if edges is None or any(line.builder.values[p] is None for _, p in edges):
            return True
        reached.update(a for a, _ in edges)
    return False


def one_by_one(builder: Trace, array: int) -> bool:
    """Whether an array of derivatives is one of constants, zeros among them.

    They are the elements of a seed: an iteration that reads a zero has none at all.
    """
    node = builder.nodes[array]
    if node.primitive is not PACK:
        return False
    known = [builder.values[a] for a in node.operands]
    return None not in known and 0 in known


def there(
    builder: Trace,
    array: int,
    loop: Loop,
    offset: int,
    stride: int,
    *,
    backwards: bool,
) -> Sequence[bool]:
    """Whether there are derivatives in an array of constants, as iterations read it.

    (): they may be in all, of many.
    """
    known = [builder.values[a] != 0 for a in builder.nodes[array].operands]
    found = [known[offset + i * stride] for i in range(loop.bound)]
    if loop.bound > _MOST and any(found):
        return ()
    return found[::-1] if backwards else found


def iterations_over(builder: Trace, bound: int, index: int, backwards: bool) -> int:
    """How many iterations are over in one, by its index, in a loop of so many."""
    if not backwards:
        return index
    last = builder.number(bound - 1, INT)
    return builder.apply(registry.primitives["sub"], (last, index), scalar(INT))
