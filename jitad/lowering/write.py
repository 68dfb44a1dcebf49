"""Graph nodes as the statements of a kernel: arithmetic, loops and what they record.

`Writer` does it for the nodes of one graph; for the body of a loop it makes another,
with numbers and storage of the same kernel.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from jitad.ir.branch import BRANCH, branch_of
from jitad.ir.graph import CONST, ELEMENT, INPUT, PACK, Graph, Node
from jitad.ir.loop import LOOP, PART, Loop, loop_of
from jitad.ir.table import LOOKUP, SCATTER, terms_of, way_of

from .kernel import Local
from .order import Ordering, order
from .statement import Statement
from .statements import (
    Carried,
    Clear,
    Const,
    Gather,
    If,
    Load,
    Merged,
    Op,
    Read,
    Repeat,
    Scatter,
    Write,
)

_BOOL = np.dtype(bool)

Owner = tuple[int | None, int | None]  # a buffer, or a local


class Writer:
    """Writes the nodes of a graph as statements.

    values   node -> the number of its value in the kernel
    arrays   node -> the storage that holds the array it stands for
    buffers  node -> the buffer that holds it
    aims     node -> where the array it stands for is added to, and is nowhere else
    mask     the value that says which lanes take part; None: all
    """

    def __init__(
        self, graph: Graph, outer: Writer | None = None, ordering: Ordering = order
    ) -> None:
        self.graph = graph
        self.ordering = ordering if outer is None else outer.ordering
        self.arrays: dict[int, int] = {}
        if outer is None:
            self.values = {i: i for i in range(len(graph.nodes))}
            self.fresh: Iterator[int] = itertools.count(len(graph.nodes))
            self.locals: list[Local] = []
        else:
            self.values = {}
            self.fresh, self.locals = outer.fresh, outer.locals
        inputs = graph.inputs if outer is None else ()
        self.buffers = {i: k for k, i in enumerate(inputs)}
        self.aims: dict[int, Owner] = {}
        self.mask: int | None = None if outer is None else outer.mask
        self._uses = Counter(a for node in graph.nodes for a in node.operands)
        self._uses.update(graph.outputs)

    def statements(self, i: int) -> list[Statement]:
        """What computes node i, its operands being there."""
        node = self.graph.nodes[i]
        dtype = node.type.dtype
        if node.primitive.word is not None:
            operands = tuple(map(self.values.__getitem__, node.operands))
            return [Op(self._number(i), node.primitive.word, operands, dtype)]
        if node.primitive is LOOP:
            repeat = self._repeat(i)
            return [*self._cleared(i), *repeat]
        if node.primitive is BRANCH:
            return self._branch(i)
        if node.primitive is PART:
            return []
        if node.primitive is PACK:
            return self._pack(i)
        if node.primitive is SCATTER:
            return self._scatter(i)
        result = self._number(i)
        if node.primitive is LOOKUP:
            (array, index), way = node.operands, way_of(node)
            buffer, local = self._owner(array)
            return [Gather(result, buffer, local, way.element, self.values[index],
                           way.stride, way.count, dtype)]  # fmt: skip
        if node.primitive is CONST:
            return [Const(result, node.value, dtype)]
        assert node.primitive is ELEMENT, node
        (array,), place = node.operands, node.index
        if array in self.arrays:
            return [Read(result, self.arrays[array], place, dtype)]
        return [Load(result, self.buffers[array], place, dtype)]

    def _storage(self, i: int, name: str) -> int:
        type = self.graph.nodes[i].type
        self.arrays[i] = len(self.locals)
        self.locals.append(Local(f"{name}{len(self.locals)}", type.dtype, type.size))
        return self.arrays[i]

    def _pack(self, i: int) -> list[Statement]:
        """An array of a lane's own, written element by element."""
        operands = self.graph.nodes[i].operands
        local = self._storage(i, "a")
        return [Write(local, k, self.values[a]) for k, a in enumerate(operands)]

    def _owner(self, array: int) -> Owner:
        """Where an array lies."""
        if array in self.arrays:
            return None, self.arrays[array]
        return self.buffers[array], None

    # -- what is added up ------------------------------------------------------

    def aim(self, i: int, owner: Owner) -> bool:
        """Let array i be added up there, if nobody else wants to see it."""
        node = self.graph.nodes[i]
        summed = node.primitive is PART and self._is_sum(node)
        if self._uses[i] > 1 or not (summed or node.primitive is SCATTER):
            return False
        self.aims[i] = owner
        if node.primitive is SCATTER:
            for a in terms_of(node)[0]:
                self.aim(a, owner)
        return True

    def _is_sum(self, part: Node) -> bool:
        loop = loop_of(self.graph.nodes[part.operands[0]])
        return part.index in loop.numbers.summed

    def _scatter(self, i: int) -> list[Statement]:
        """What a scatter adds up: where it is wanted, or in storage of its own."""
        arrays, terms = terms_of(self.graph.nodes[i])
        made: list[Statement] = []
        if i not in self.aims:
            local = self._storage(i, "s")
            made.append(Clear(local))
        owner = self.aims.get(i, (None, self.arrays.get(i)))
        for a in arrays:
            if a not in self.aims:
                made += self.add_array(a, owner)
        groups: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
        for way, index, value in terms:
            key = self.values[index], way.stride, way.count
            given, masked = self._masked(self.values[value], self.graph.nodes[value])
            made += masked
            groups.setdefault(key, []).append((way.element, given))
        made += [Scatter(*owner, *key, tuple(own)) for key, own in groups.items()]
        return made

    def add_array(self, a: int, owner: Owner) -> list[Statement]:
        """Add all elements of an array, one by one."""
        node, index, value = self.graph.nodes[a], next(self.fresh), next(self.fresh)
        dtype, size = node.type.dtype, node.type.size
        buffer, local = self._owner(a)
        if local is not None:
            body: list[Statement] = [Read(value, local, 0, dtype, index, 1)]
        else:
            assert buffer is not None
            body = [Load(value, buffer, 0, dtype, index, 1)]
        given, masked = self._masked(value, node)
        body += [*masked, Scatter(*owner, index, 1, size, ((0, given),))]
        return [Repeat(index, size, None, (), (), None, tuple(body))]

    def _masked(self, value: int, node: Node) -> tuple[int, list[Statement]]:
        """A value that is zero in lanes that do not take part."""
        if self.mask is None:
            return value, []
        zero, given, dtype = next(self.fresh), next(self.fresh), node.type.dtype
        choice = (self.mask, value, zero)
        return given, [Const(zero, dtype.type(0), dtype),
                       Op(given, "select", choice, dtype)]  # fmt: skip

    def _counted(self, index: int, count: int, body: Writer) -> list[Statement]:
        """Let the body know which lanes run an iteration of a loop that counts."""
        mask = body.mask = next(self.fresh)
        made: list[Statement] = [Op(mask, "lt", (index, count), _BOOL)]
        if self.mask is not None:
            body.mask = next(self.fresh)
            made.append(Op(body.mask, "and", (self.mask, mask), _BOOL))
        return made

    # -- branches and loops ----------------------------------------------------

    def _branch(self, i: int) -> list[Statement]:
        """What only some lanes need; zero in the others."""
        node = self.graph.nodes[i]
        body = branch_of(node).body
        mask, *inputs = [self.values[a] for a in node.operands]
        writer = Writer(body, self)
        writer.values |= zip(body.inputs, inputs, strict=True)
        made, outputs = writer.all(body.outputs)
        parts = self._parts(i, len(outputs))
        zeros: list[Statement] = []
        merged = []
        for part, inner, type in zip(parts, outputs, body.output_types, strict=True):
            zero = next(self.fresh)
            dtype = type.dtype
            zeros.append(Const(zero, dtype.type(0), dtype))
            merged.append(Merged(inner, zero, self._number(part), dtype))
        return [*zeros, If(mask, tuple(made), tuple(merged))]

    def _parts(self, i: int, count: int) -> list[int | None]:
        """The nodes of a loop's parts, None for those that nobody asks for."""
        found: list[int | None] = [None] * count
        for k, node in enumerate(self.graph.nodes):
            if node.primitive is PART and node.operands[0] == i:
                found[node.index] = k
        return found

    def _repeat(self, i: int) -> list[Statement]:
        node = self.graph.nodes[i]
        loop = loop_of(node)
        count, starts, shared, arrays, tables = loop.split(node.operands)
        *whole, steps = self._parts(i, len(loop.body.outputs) + 1)
        parts = loop.leaving(whole)
        index = next(self.fresh)
        inner = [next(self.fresh) for _ in starts]
        same = [self.values[a] for a in shared]
        body = Writer(loop.body, self)
        given = [index, *inner, *same]
        written = self._slices(loop, arrays, body, index)
        for k, number in enumerate(given):
            body.values[loop.body.inputs[k]] = number
        for own, a in zip(loop.inputs.tables, tables, strict=True):
            buffer, local = self._owner(a)
            if local is not None:
                body.arrays[own] = local
            elif buffer is not None:
                body.buffers[own] = buffer
        if loop.summed and count is not None:
            written += self._counted(index, self.values[count], body)
        cleared, after = self._summed(loop, parts.summed, body)
        made, numbers = body.all(loop.body.outputs)
        outputs = loop.leaving(numbers)
        records = []
        for part, value in zip(parts.written, outputs.written, strict=True):
            if part is not None:
                local = self._storage(part, "r")
                records.append(Write(local, 0, value, index, 1))
        head: list[Statement] = []
        alive = None
        if loop.head is not None:
            test = Writer(loop.head, self)
            for k, number in enumerate(given):
                test.values[loop.head.inputs[k]] = number
            head, (alive,) = test.all(loop.head.outputs)
        kinds = loop.leaving(loop.body.output_types).carried
        columns = inner, starts, outputs.carried, parts.carried, kinds
        carried = [
            Carried(v, self.values[start], value, self._number(part), kind.dtype)
            for v, start, value, part, kind in zip(*columns, strict=True)
        ]
        repeat = Repeat(
            index=index,
            bound=loop.bound,
            count=None if count is None else self.values[count],
            carried=tuple(carried),
            head=tuple(head),
            alive=alive,
            body=(*written, *made, *records, *after()),
            steps=None if steps is None else self._number(steps),
            backwards=loop.backwards,
        )
        return [*cleared, repeat]

    def _summed(
        self, loop: Loop, parts: Sequence[int | None], body: Writer
    ) -> tuple[list[Statement], Callable[[], list[Statement]]]:
        """Storage for what a loop sums: what clears it, and what still adds to it."""
        cleared: list[Statement] = []
        left: list[tuple[int, Owner]] = []
        for part, output in zip(parts, loop.outputs.summed, strict=True):
            if part is None:
                continue
            if part not in self.aims:
                cleared.append(Clear(self._storage(part, "t")))
            owner = self.aims.get(part, (None, self.arrays.get(part)))
            if not body.aim(output, owner):
                left.append((output, owner))

        def after() -> list[Statement]:
            return [s for a, owner in left for s in body.add_array(a, owner)]

        return cleared, after

    def _cleared(self, i: int) -> Iterator[Statement]:
        """Zeros where loop i writes, if what no iteration has written may be read.

        A sweep in reverse reads as many records as were made; others read all.
        """
        nodes, loop = self.graph.nodes, loop_of(self.graph.nodes[i])
        if loop.head is None and not loop.counted:
            return
        records = set(loop.leaving(range(len(loop.body.outputs))).written)
        read = {
            a
            for node in nodes
            if node.primitive is ELEMENT
            or (node.primitive is LOOP and not loop_of(node).counted)
            for a in node.operands
            if nodes[a].primitive is PART and nodes[a].operands[0] == i
            if nodes[a].index in records
        }
        for part in sorted(read & self.arrays.keys()):
            dtype = nodes[part].type.dtype
            zero, index = next(self.fresh), next(self.fresh)
            yield Const(zero, dtype.type(0), dtype)
            write = Write(self.arrays[part], 0, zero, index, 1)
            yield Repeat(index, loop.bound, None, (), (), None, (write,))

    def _number(self, i: int | None) -> int:
        """The number of a node's value; of what nobody asks for, some number."""
        if i not in self.values:
            number = next(self.fresh)
            if i is None:
                return number
            self.values[i] = number
        return self.values[i]

    def _slices(
        self, loop: Loop, arrays: Sequence[int], body: Writer, index: int
    ) -> list[Statement]:
        """What an iteration reads: of inputs of the kernel, or of a lane's own."""
        made: list[Statement] = []
        columns = arrays, loop.slices, loop.inputs.slices
        for a, way, inner in zip(*columns, strict=True):
            assert way is not None, "a loop over scalars"
            offset, stride = way
            dtype = self.graph.nodes[a].type.dtype
            result = body.values[inner] = next(self.fresh)
            if a in self.arrays:
                made.append(Read(result, self.arrays[a], offset, dtype, index, stride))
            else:
                buffer = self.buffers[a]
                made.append(Load(result, buffer, offset, dtype, index, stride))
        return made

    def all(self, roots: Sequence[int]) -> tuple[list[Statement], list[int]]:
        """Statements for all that the roots need, and the numbers of their values."""
        made: list[Statement] = []
        for i, _ in self.ordering(self.graph, roots):
            if i >= 0 and self.graph.nodes[i].primitive is not INPUT:
                made += self.statements(i)
        return made, [self.values.get(r, -1) for r in roots]
