"""In which order a kernel's values are computed: few live at a time.

`order` gives the best of two orders, depth-first from the outputs as they stand and
from the output that is nearest to done, by a count of the vectors that a processor
with a number of registers would move out to memory and back.  `ORDERS` are those to
choose from where a compiler tells how many it moves.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from jitad.ir.graph import CONST, ELEMENT, INPUT, Graph, Node, reach

REGISTERS = 32
# The nearest output is searched for again and again: not where there are too many.
_MOST_OUTPUTS = 256
_MOST_NODES = 800
# Where it is asked for: 1,400 nodes for 100 outputs take 20 ms.
_MOST_SEARCHED = 4000

Step = tuple[int, int]  # a node to compute, or (~output, value) to store
Ordering = Callable[[Graph, Sequence[int]], list[Step]]


def order(graph: Graph, roots: Sequence[int]) -> list[Step]:
    """(node, -1) to compute and (~k, node) to store roots[k], which are scalars."""
    given = _depth_first(graph, roots)
    if len(roots) > _MOST_OUTPUTS or len(graph.nodes) > _MOST_NODES:
        return given
    if any(node.primitive.kind == "control" for node in graph.nodes):
        return given
    if any(graph.nodes[r].type.shape for r in roots):
        return given
    computed = _computed(graph)
    pressed = _spills(computed, given)
    if not pressed:
        return given
    nearest = _nearest_first(_Search(graph, roots, computed), roots)
    less = _spills(computed, nearest, most=pressed) < pressed
    return nearest if less else given


def as_traced(graph: Graph, roots: Sequence[int]) -> list[Step]:
    """As `order`: nodes as they stand in the graph, every output when it is there."""
    waiting = _places(roots)
    inputs = set(graph.inputs)
    steps: list[Step] = []
    for i in sorted(reach(graph.nodes, roots)):
        if i not in inputs:
            steps.append((i, -1))
        steps += ((~k, i) for k in waiting.get(i, ()))
    return steps


def spills(graph: Graph, steps: Sequence[Step], registers: int = REGISTERS) -> int:
    """Values moved out and back if the one needed last always goes (L. Belady, 1966).

    Constants and loaded values are not counted: they are in memory anyway.
    """
    return _spills(_computed(graph), steps, registers)


def _spills(
    computed: _Computed,
    steps: Sequence[Step],
    registers: int = REGISTERS,
    most: float = math.inf,
) -> int:
    """The same; from most on they are not counted further."""
    memory, operands = computed
    # What every step touches, and the step that touches it next.
    touched: list[list[tuple[int, int | None]]] = []
    later: dict[int, int] = {}
    for place in range(len(steps) - 1, -1, -1):
        i, value = steps[place]
        if i >= 0:
            values = operands[i] if memory[i] else (*operands[i], i)
        else:
            values = () if memory[value] else (value,)
        touched.append([(v, later.get(v)) for v in values])
        for v in values:
            later[v] = place
    held: dict[int, int] = {}  # and when each is needed next
    furthest: list[tuple[int, int]] = []
    count = 0
    for values in reversed(touched):
        for v, place in values:
            if place is None:
                held.pop(v, None)
                continue
            held[v] = place
            heapq.heappush(furthest, (-place, v))
            while len(held) > registers:
                place, u = heapq.heappop(furthest)
                if held.get(u) == -place:
                    del held[u]
                    count += 1
        if count >= most:
            break
    return count


class _Computed(NamedTuple):
    """For every node whether it is in memory, and its different operands that are not.

    Constants are, and inputs as a whole or a scalar of them.
    """

    memory: list[bool]
    operands: list[tuple[int, ...]]


def _computed(graph: Graph) -> _Computed:
    memory: list[bool] = []
    operands: list[tuple[int, ...]] = []
    for node in graph.nodes:
        primitive, own = node.primitive, node.operands
        if primitive is ELEMENT:
            memory.append(graph.nodes[own[0]].primitive is INPUT)
        else:
            memory.append(primitive is CONST or primitive is INPUT)
        operands.append(tuple([a for a in dict.fromkeys(own) if not memory[a]]))
    return _Computed(memory, operands)


def _depth_first(graph: Graph, roots: Sequence[int]) -> list[Step]:
    placed = bytearray(len(graph.nodes))
    for i in graph.inputs:
        placed[i] = 1
    steps: list[Step] = []
    for k, root in enumerate(roots):
        steps += [(i, -1) for i in _unplaced(graph.nodes, root, placed)]
        steps.append((~k, root))
    return steps


def _unplaced(nodes: Sequence[Node], root: int, placed: bytearray) -> list[int]:
    """The nodes that root needs and that are not placed yet, operands first."""
    found: list[int] = []
    stack = [root]
    while stack:
        i = stack.pop()
        if i < 0:  # all that node ~i needs is placed
            placed[~i] = 1
            found.append(~i)
        elif not placed[i]:
            stack.append(~i)
            stack += [a for a in reversed(nodes[i].operands) if not placed[a]]
    return found


def nearest_first(graph: Graph, roots: Sequence[int]) -> list[Step]:
    """Next the output that needs fewest new values, and at once what frees a register.

    A value is computed early where it is the last to use one of its operands.  Of what
    would take too long to search, depth-first.
    """
    if len(roots) > _MOST_OUTPUTS or len(graph.nodes) > _MOST_SEARCHED:
        return _depth_first(graph, roots)
    return _nearest_first(_Search(graph, roots, _computed(graph)), roots)


def _nearest_first(search: _Search, roots: Sequence[int]) -> list[Step]:
    waiting = dict(enumerate(roots))
    while waiting:
        k = min(waiting, key=lambda k: (search.distance(waiting[k]), k))
        root = waiting.pop(k)
        for i in _unplaced(search.nodes, root, bytearray(search.placed)):
            search.place(i)
        search.steps.append((~k, root))
    return search.steps


class _Search:
    """What is placed so far, and which values their operands still wait for."""

    def __init__(self, graph: Graph, roots: Sequence[int], computed: _Computed) -> None:
        self.nodes = graph.nodes
        self.placed = bytearray(len(self.nodes))
        for i in graph.inputs:
            self.placed[i] = 1
        self.steps: list[Step] = []
        self.memory, self.operands = computed
        # Sets of nodes are the bits of whole numbers.
        self.done = 0
        self.cones: list[int] = []
        for i, operands in enumerate(self.operands):
            cone = 0 if self.memory[i] else 1 << i
            for a in operands:
                cone |= self.cones[a]
            self.cones.append(cone)
        self.users: list[list[int]] = [[] for _ in self.nodes]
        self.missing = [0] * len(self.nodes)
        for i in reach(self.nodes, roots):
            for a in self.operands[i]:
                self.users[a].append(i)
                self.missing[i] += 1
        self.uses = [len(users) for users in self.users]

    def distance(self, root: int) -> int:
        """How many values are still to be computed for it."""
        return (self.cones[root] & ~self.done).bit_count()

    def growth(self, i: int) -> int:
        """How many more values live once i is placed."""
        freed = sum([self.uses[a] == 1 for a in self.operands[i]])
        return bool(self.users[i]) - freed

    def place(self, first: int) -> None:
        """Place a node, and whatever is then the last to use a value."""
        stack = [first]
        while stack:
            i = stack.pop()
            if self.placed[i]:
                continue
            stack += self.put(i)

    def put(self, i: int) -> list[int]:
        """Place a node alone; the values that can be next, the last to use another."""
        before = () if self.memory[i] else self.nodes[i].operands
        for a in (*before, i):
            if not self.placed[a]:
                self.placed[a] = 1
                self.steps.append((a, -1))
        if self.memory[i]:
            return []
        self.done |= 1 << i
        operands = self.operands[i]
        for u in self.users[i]:
            self.missing[u] -= 1
        for a in operands:
            self.uses[a] -= 1
        last = [
            next(u for u in self.users[a] if not self.placed[u])
            for a in (i, *operands)
            if self.uses[a] == 1
        ]
        return [u for u in last if not self.missing[u]]


def freeing_first(graph: Graph, roots: Sequence[int]) -> list[Step]:
    """Next, of all that can be, what lets go of most values; of equals the first.

    Of what would take too long to search, depth-first.
    """
    if len(graph.nodes) > _MOST_SEARCHED:
        return _depth_first(graph, roots)
    search = _Search(graph, roots, _computed(graph))
    waiting = _places(roots)
    able = [
        (search.growth(i), i)
        for i in reach(graph.nodes, roots)
        if not (search.placed[i] or search.memory[i] or search.missing[i])
    ]
    heapq.heapify(able)
    while able:
        growth, i = heapq.heappop(able)
        # It was noted again where it has come to let go of more since.
        if search.placed[i] or growth != search.growth(i):
            continue
        last = search.put(i)
        search.steps += ((~k, i) for k in waiting.pop(i, ()))
        for u in {*last, *[u for u in search.users[i] if not search.missing[u]]}:
            heapq.heappush(able, (search.growth(u), u))
    for root, places in waiting.items():  # inputs and constants
        search.place(root)
        search.steps += ((~k, root) for k in places)
    return search.steps


def _places(roots: Sequence[int]) -> dict[int, list[int]]:
    """For every root the outputs that it is."""
    found: dict[int, list[int]] = {}
    for k, root in enumerate(roots):
        found.setdefault(root, []).append(k)
    return found


ORDERS: tuple[Ordering, ...] = (order, nearest_first, as_traced, freeing_first)
