"""Derivatives by number: what a mode would take, counted before anything is built.

The sweeps and eliminations of `entries` and `eliminate` add and multiply by an
`Algebra`.  Of nodes they build a graph; of `Numbers`, of which equal products and sums
have the same, they are counted in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from jitad.ir.graph import reach
from jitad.ir.primitive import registry
from jitad.ir.tracer import Trace
from jitad.primitives.scalar.elementwise import GATES

from . import products
from .linearized import Edges

# The number of 1, below which they are those of nodes.
_ONE = 1 << 29


class Algebra(Protocol):
    """What accumulation does with derivatives, whatever they are."""

    def edges(self, edges: Edges) -> Edges:
        """Edges whose partials, of nodes, are derivatives."""
        ...

    def one(self, v: int) -> int:
        """The derivative of a scalar by itself."""
        ...

    def multiply(self, p: int, t: int) -> int:
        """p * t."""
        ...

    def add(self, a: int, b: int) -> int:
        """a + b."""
        ...


class Scalars:
    """The scalars of the graph that is being built."""

    def __init__(self, builder: Trace) -> None:
        self.builder = builder

    def edges(self, edges: Edges) -> Edges:
        """As they are."""
        return edges

    def one(self, v: int) -> int:
        """1, of the dtype of a scalar."""
        return self.builder.number(1.0, self.builder.nodes[v].type.dtype)

    def multiply(self, p: int, t: int) -> int:
        """p * t."""
        return products.multiply(self.builder, p, t)

    def add(self, a: int, b: int) -> int:
        """a + b."""
        return products.add(self.builder, a, b)


class Numbers:
    """A number for each scalar there is, and one for each product and sum of such.

    ~n is the negative of n: signs go outwards, as they do where a graph is simplified.
    Products with 1 are no products, and those of constants are constants.  Gates stay
    outside of them (see `products`).
    """

    def __init__(self, builder: Trace) -> None:
        self.builder = builder
        # Of each number of ours what it is made of, and of constants the values: the
        # first of ours is 1.
        self.operands: list[tuple[int, ...]] = [()]
        self.constants: dict[int, float] = {_ONE: 1.0}
        self._of_values: dict[float, int] = {1.0: _ONE, -1.0: ~_ONE}
        self._products: dict[tuple[int, int], int] = {}
        self._sums: dict[tuple[int, int], int] = {}
        self._negated: dict[int, int] = {}
        # Of each gate the condition, and what it hides.
        self._gates: dict[int, tuple[int, int]] = {}
        self._made: dict[tuple[str, int, int], int] = {}

    def edges(self, edges: Edges) -> Edges:
        """The same edges by numbers."""
        found = {p: self._number(p) for own in edges.values() for _, p in own}
        return {v: tuple([(a, found[p]) for a, p in own]) for v, own in edges.items()}

    def one(self, v: int) -> int:
        """1."""
        return _ONE

    def multiply(self, p: int, t: int) -> int:
        """p * t."""
        key = (p, t) if p < t else (t, p)
        found = self._products.get(key)
        if found is None:
            found = self._products[key] = self._product(*key)
        return found

    def add(self, a: int, b: int) -> int:
        """a + b."""
        key = (a, b) if a < b else (b, a)
        found = self._sums.get(key)
        if found is None:
            found = self._sums[key] = self._sum(*key)
        return found

    @property
    def made(self) -> int:
        """How many products and sums there are."""
        return len(self.operands)

    @property
    def gated(self) -> bool:
        """Whether gates were met."""
        return bool(self._gates)

    def cost(self, derivatives: Iterable[int], roots: Iterable[int]) -> float:
        """Weighted operations that derivatives take, and the nodes of roots."""
        total, seen = 0.0, set[int]()
        stack = [self._positive(n) for n in derivatives]
        leaves = list(roots)
        while stack:
            n = stack.pop()
            if n < _ONE:
                leaves.append(n)
            elif n not in seen:
                seen.add(n)
                own = self.operands[n - _ONE]
                total += 1.0 if own else 0.0
                stack += own
        nodes = self.builder.nodes
        return total + sum([nodes[i].primitive.cost for i in reach(nodes, leaves)])

    def _number(self, p: int) -> int:
        """The number of a node."""
        value, node = self.builder.values[p], self.builder.nodes[p]
        if value is not None:
            number = self._of_values.setdefault(float(value), p)
            self.constants.setdefault(number, float(value))
            return number
        if node.primitive.name in GATES:
            condition, hidden = node.operands
            self._gates[p] = condition, self._number(hidden)
        return ~node.operands[0] if node.primitive.name == "neg" else p

    def _constant(self, value: float) -> int:
        found = self._of_values.get(value)
        if found is None:
            found = self._of_values[value] = self._new()
            self.constants[found] = value
        return found

    def _new(self, *operands: int) -> int:
        """The number of something new."""
        self.operands.append(operands)
        return _ONE + len(self.operands) - 1

    def _positive(self, n: int) -> int:
        """A number itself, where a negative has to be computed."""
        if n >= 0:
            return n
        if n == ~_ONE:
            return _ONE  # -1 is a constant, and costs as much
        found = self._negated.get(n)
        if found is None:
            found = self._negated[n] = self._new(~n)
        return found

    def _product(self, low: int, high: int) -> int:
        for p, t in ((low, high), (high, low)) if self._gates else ():
            if p in self._gates:
                condition, hidden = self._gates[p]
                return self._gated(condition, self.multiply(hidden, t))
        if low < 0:
            if high < 0:
                return self.multiply(~low, ~high)
            found = self.multiply(~low, high)
            value = self.constants.get(found)
            return ~found if value is None else self._constant(-value)
        constants = self.constants
        if low in constants or high in constants:
            if low == _ONE or high == _ONE:
                return high if low == _ONE else low
            if low in constants and high in constants:
                return self._constant(constants[low] * constants[high])
        return self._known("mul", low, high) or self._new(low, high)

    def _sum(self, low: int, high: int) -> int:
        if low in self._gates and high in self._gates:
            (c, a), (d, b) = self._gates[low], self._gates[high]
            if c == d:
                return self._gated(c, self.add(a, b))
            return self._gated(self._joined("or", c, d), self._new(low, high))
        if high in self.constants or ~high in self.constants:
            a, b = self._value(low), self._value(high)
            if a is not None and b is not None:
                return self._constant(a + b)
        if high < 0:
            return self.add(low, self._positive(high))
        if low < 0:
            return self._known("sub", high, ~low) or self._new(high, ~low)
        return self._known("add", low, high) or self._new(low, high)

    def _gated(self, condition: int, n: int) -> int:
        """What is there where a condition holds."""
        if n in self._gates:
            inner, n = self._gates[n]
            condition = self._joined("and", condition, inner)
        found = self._joined("gate", condition, self._positive(n))
        self._gates[found] = condition, n
        return found

    def _joined(self, name: str, c: int, d: int) -> int:
        """The number of another operation, of one that it begins with if they agree."""
        if c == d:
            return c
        key = name, c, d
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = self._new(c, d)
        return found

    def _value(self, n: int) -> float | None:
        """The value of a constant, if it is one."""
        if n >= 0:
            return self.constants.get(n)
        value = self.constants.get(~n)
        return None if value is None else -value

    def _known(self, name: str, a: int, b: int) -> int | None:
        """The node that is a product or sum of two nodes, if there is one."""
        if a >= _ONE or b >= _ONE:
            return None
        type = self.builder.nodes[a].type
        return self.builder.known(registry.primitives[name], (a, b), type)
