"""One iteration of a loop that only adds, as the graph of one point of a kernel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jitad.ir.graph import CONST, ELEMENT, PACK, Graph, Static, Type, scalar
from jitad.ir.interpret import inline
from jitad.ir.loop import INT, Loop
from jitad.ir.primitive import registry
from jitad.ir.table import SCATTER, terms_of
from jitad.transforms.scalars.templates import new_builder

from .placement import place
from .rows import Rows, along


class Iteration:
    """The graph of one point of a loop, and how its inputs lie."""

    def __init__(self, loop: Loop, arrays: Sequence[np.ndarray], wide: bool) -> None:
        """wide: sums are float64, for there are few tiles, and many terms to each."""
        self.loop, self.arrays, self.wide = loop, arrays, wide
        self.builder = new_builder()
        self.inputs: list[Rows] = []
        # What is carried is not looked at, nor, if `number` is not called, is how many
        # iterations there were.
        self.values = {
            i: self.builder.number(0, loop.body.nodes[i].type.dtype)
            for i in (loop.inputs.index, *loop.inputs.carried)
        }
        self._same: dict[int, int] = {}

    def share(self, k: int, graph: Graph, a: int, array: int, element: int) -> None:
        """Let shared value k be an element of an array, or a constant."""
        i = self.loop.inputs.shared[k]
        node = graph.nodes[a]
        if node.primitive is CONST:
            self.values[i] = self.builder.add(CONST, (), node.type, node.params)
            return
        self.values[i] = self._element(self._whole(array), element)

    def read(self, arrays: Sequence[int]) -> None:
        """Let what an iteration reads be elements of points in these arrays."""
        groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
        columns = arrays, self.loop.slices, self.loop.inputs.slices
        for array, way, i in zip(*columns, strict=True):
            assert way is not None
            offset, stride = way
            groups.setdefault((array, stride), []).append((i, offset))
        for (array, stride), reads in groups.items():
            offsets = sorted({offset for _, offset in reads})
            example = self.arrays[array]
            rows, size, numbers = along(
                array, example, offsets, stride, self.loop.bound
            )
            self.inputs.append(rows)
            node = self.builder.input(Type(example.dtype, (size,)))
            place = dict(zip(offsets, numbers, strict=True))
            for i, offset in reads:
                self.values[i] = self._element(node, place[offset])

    def number(self, array: int) -> None:
        """Let the numbers of the iterations be the elements of an array."""
        size = self.arrays[array].itemsize
        self.inputs.append(Rows(array, 0, size, 0, "streams"))
        self.values[self.loop.inputs.index] = self._element(
            self.builder.input(Type(INT, (1,))), 0
        )

    def tables(self, arrays: Sequence[int]) -> None:
        """Let the tables be these arrays."""
        for i, array in zip(self.loop.inputs.tables, arrays, strict=True):
            self.values[i] = self._whole(array)

    def _whole(self, array: int) -> int:
        """The input for all of an array, which all points share."""
        if array not in self._same:
            example = self.arrays[array]
            self._same[array] = self.builder.input(Type(example.dtype, example.shape))
            placed = place(example, (), ())
            rows = Rows(array, 0, None, placed.elements, placed.layout)
            self.inputs.append(rows)
        return self._same[array]

    def _element(self, array: int, k: int) -> int:
        kind = scalar(self.builder.nodes[array].type.dtype)
        return self.builder.add(ELEMENT, (array,), kind, (("index", k),))

    def graph(self, dtypes: Sequence[np.dtype]) -> Graph:
        """From the inputs to what a point adds to the sums, packed by dtype.

        What is scattered comes after it.
        """
        terms = [self.loop.added(k) or [] for k in range(self.loop.carried)]
        body, wide = self.loop.body, self.wide
        scatter = self.loop.outputs.summed
        nodes = (*[v for own in terms for v, _ in own], *scatter)
        whole = Graph(body.nodes, body.inputs, nodes)
        found = inline(self.builder, whole, [self.values[i] for i in body.inputs])
        made = iter(found)
        packs: dict[np.dtype, list[int]] = {d: [] for d in dtypes}
        for own, type in zip(terms, body.output_types, strict=False):
            pairs = [(next(made), negated) for _, negated in own]
            total = self._summed(pairs, type)
            packs[type.dtype].append(self._wide(total) if wide else total)
        outputs = [
            self.builder.add(
                PACK, tuple(p), Type(_widened(d) if wide else d, (len(p),))
            )
            for d, p in packs.items()
        ]
        outputs += [self._scatter(a) for a in found[len(found) - len(scatter) :]]
        return self.builder.finish(outputs)

    def _wide(self, v: int) -> int:
        """A term in the dtype that sums of it have."""
        return self.builder.cast(v, _widened(self.builder.nodes[v].type.dtype))

    def _scatter(self, a: int) -> int:
        """What a point adds to an array, as a scatter."""
        node = self.builder.nodes[a]
        dtype = _widened(node.type.dtype) if self.wide else node.type.dtype
        type = Type(dtype, node.type.shape)
        arrays, terms = terms_of(node) if node.primitive is SCATTER else ([a], [])
        if self.wide:
            terms = [(way, index, self._wide(v)) for way, index, v in terms]
        params = (("ways", Static(tuple([way for way, _, _ in terms]))),)
        operands = (*arrays, *(i for _, *pair in terms for i in pair))
        return self.builder.add(SCATTER, operands, type, params)

    def _summed(self, terms: Sequence[tuple[int, bool]], type: Type) -> int:
        total = None
        for v, negated in terms:
            if total is None:
                neg = registry.primitives["neg"]
                total = self.builder.apply(neg, (v,), type) if negated else v
            else:
                word = registry.primitives["sub" if negated else "add"]
                total = self.builder.apply(word, (total, v), type)
        return self.builder.number(0, type.dtype) if total is None else total


def _widened(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.float64) if dtype.kind == "f" else dtype
