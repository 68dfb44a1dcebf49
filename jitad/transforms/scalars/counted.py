"""How many scalar operations an array graph takes, before any of them is written out.

`beyond` gives every scalar a number, the same to equal ones, by whole arrays: what
moves scalars moves numbers, and what computes them mixes numbers to new ones.  A graph
that is too long is told so in a fraction of the time that writing it out would take.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterator, Sequence
from zlib import crc32

import numpy as np

from jitad.ir.graph import CONST, INPUT, Graph, Node
from jitad.ir.interpret import evaluate_array_node

# A count knows no simplifications: it must be so much higher than what is allowed.
_MARGIN = 1.1
# Arrays of this many times what is allowed are not written out, whatever is in them.
_HUGE = 10
# So many products of a contraction are looked at at once, or those of one result.
_AT_ONCE = 1 << 19
# What takes an operation, or nearly one, for every number that it is given.
_REDUCTIONS = {
    "sum", "prod", "cumsum", "cumprod", "max", "min", "norm", "any", "all", "logsumexp",
    "logsumexp_weighted", "softmax", "log_softmax",
}  # fmt: skip
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


# Of linear algebra, whose order is n: about so many n³ operations with derivatives.
_CUBIC = {
    "inv": 4.0, "solve": 4.0, "cholesky": 1.0, "det": 4.0, "logabsdet": 4.0,
    "signdet": 1.0, "eigvalsh": 40.0, "eigenvectors": 40.0,
}  # fmt: skip


def written_out(graph: Graph) -> float:
    """About how many scalar operations a graph takes, one by one; loops as one run."""
    total = 0.0
    for node in graph.nodes:
        if _counts(node):
            total += _size(graph, node)
        elif node.primitive.name in _CUBIC:
            type = graph.nodes[node.operands[0]].type
            total += _CUBIC[node.primitive.name] * type.size * type.shape[-1]
        elif node.primitive.name in ("sort", "argsort", "quantile"):
            type = graph.nodes[node.operands[0]].type
            total += 2.0 * type.size * max(type.shape)
    return total


def beyond(graph: Graph, most: int) -> Node | None:
    """The node at which there are far more than `most` different operations, if any.

    Counted are elementwise operations, and reductions by what they are given.
    """
    nodes = graph.nodes
    sizes = [_size(graph, node) for node in nodes if _counts(node)]
    if sum(sizes) <= most:
        return None
    last = {a: i for i, node in enumerate(graph.nodes) for a in node.operands}
    numbers: dict[int, np.ndarray] = {}
    fixed: set[int] = set()
    found = _Different(most)
    huge: set[int] = set()
    for i, node in enumerate(nodes):
        if node.primitive is CONST or (
            node.operands and fixed.issuperset(node.operands)
        ):
            fixed.add(i)
        counts = _counts(node) and i not in fixed and not _chooses(graph, node)
        if node.type.size > _HUGE * most or not huge.isdisjoint(node.operands):
            # Nothing is known of numbers that are too many to look at.
            if counts and _size(graph, node) > _HUGE * most:
                return node
            huge.add(i)
            continue
        given = [numbers[a] for a in node.operands]
        numbers[i] = _numbers(graph, i, given)
        if counts:
            if node.primitive.kind == "elementwise":
                own = [numbers[i]]
            elif _contracts(node):
                own = _products(node, *given)
            else:
                own = [_mixed(str(i), [_nonzero(given[0])])]
            if any(map(found.too_many, own)):
                return node
        for a in node.operands:
            if last[a] == i:
                numbers.pop(a, None)
    return None


def _counts(node: Node) -> bool:
    elementwise = node.primitive.kind == "elementwise"
    return elementwise or node.primitive.name in _REDUCTIONS or _contracts(node)


def _size(graph: Graph, node: Node) -> int:
    """The number of operations of a node, if all are different."""
    if node.primitive.kind == "elementwise":
        return node.type.size
    given = [graph.nodes[a].type for a in node.operands]
    if _contracts(node):
        return 2 * _extent(node, [t.shape for t in given])
    return given[0].size


def _extent(node: Node, shapes: Sequence[tuple[int, ...]]) -> int:
    """How many products a contraction takes."""
    if node.primitive.name == "matmul":
        return node.type.size * shapes[0][-1]
    texts = dict(node.params)["subscripts"].value.split("->")[0].split(",")
    extents: dict[str, int] = {}
    for text, shape in zip(texts, shapes, strict=True):
        extents |= zip(text, shape, strict=True)
    return math.prod(extents.values())


def _products(node: Node, a: np.ndarray, b: np.ndarray) -> Iterator[np.ndarray]:
    """The products that a contraction adds up, and the sums, but those with zeros.

    They come for some results after the other: of a few there may be too many already.
    """
    if node.primitive.name == "einsum":
        both, result = dict(node.params)["subscripts"].value.split("->")
        left, right = both.split(",")
    else:
        lead = string.ascii_lowercase[: max(a.ndim, b.ndim) - 2]
        left = "N"[: a.ndim - 1] + "K"
        right = "K" + "M"[: b.ndim - 1]
        result = lead + left[:-1] + right[1:]
        left = lead[len(lead) + 2 - a.ndim :] + left if a.ndim > 2 else left
        right = lead[len(lead) + 2 - b.ndim :] + right if b.ndim > 2 else right
    summed = "".join(sorted({*left, *right} - {*result}))
    order = summed + result
    a, b = (_spread(x, own, order) for x, own in ((a, left), (b, right)))
    shape = np.broadcast_shapes(a.shape, b.shape)
    axis = max(range(len(summed), len(shape)), key=shape.__getitem__, default=-1)
    if axis < 0:
        yield _terms(a, b, len(summed))
        return
    step = max(1, _AT_ONCE * shape[axis] // max(math.prod(shape), 1))
    for k in range(0, shape[axis], step):
        some, other = (
            x if x.shape[axis] == 1 else _along(x, axis, k, step) for x in (a, b)
        )
        yield _terms(some, other, len(summed))


def _along(x: np.ndarray, axis: int, start: int, count: int) -> np.ndarray:
    """Some of an array's places along an axis."""
    return x[(slice(None),) * axis + (slice(start, start + count),)]


def _terms(a: np.ndarray, b: np.ndarray, summed: int) -> np.ndarray:
    """Products, and sums of them along the first axes, but those with zeros."""
    products = _mixed("mul", [a, b])
    there = np.broadcast_to(~_zeros(a) & ~_zeros(b), products.shape)
    terms = np.where(there, products, np.uint64(0))
    sums = np.cumsum(terms.reshape(-1, *products.shape[summed:]), axis=0)
    sums = _mixed("add", [sums.reshape(products.shape)])
    return np.concatenate([products[there], sums[there]])


def _spread(x: np.ndarray, own: str, order: str) -> np.ndarray:
    """An array with its axes in order, and axes of extent 1 for what it has not."""
    there = [label for label in order if label in own]
    axes = [own.index(label) for label in there]
    shape = [x.shape[own.index(label)] if label in own else 1 for label in order]
    return np.transpose(x, axes).reshape(shape)


def _contracts(node: Node) -> bool:
    """Whether a node multiplies two arrays, none of them by itself."""
    if node.primitive.name != "einsum":
        return node.primitive.name == "matmul"
    if len(node.operands) != 2:
        return False
    texts = dict(node.params)["subscripts"].value.split("->")[0].split(",")
    return all(len({*text}) == len(text) for text in texts)


def _zeros(numbers: np.ndarray) -> np.ndarray:
    """Which numbers are those of zeros, filled in or constants of some dtype."""
    kinds = [_mixed(char, [np.zeros(1, np.uint64)])[0] for char in "df"]
    return np.isin(numbers, [np.uint64(0), *kinds])


def _nonzero(numbers: np.ndarray) -> np.ndarray:
    """The numbers but those of the zeros that structures fill in."""
    return numbers[numbers != 0]


class _Different:
    """Numbers that have been seen, and how many different ones there are at most."""

    def __init__(self, most: int) -> None:
        self.most = self.limit = int(_MARGIN * most)
        self.seen: list[np.ndarray] = []
        self.count = 0

    def too_many(self, numbers: np.ndarray) -> bool:
        """Add some: whether there are too many now."""
        self.seen.append(_different(numbers.ravel()))
        self.count += self.seen[-1].size
        if self.count > self.limit:
            self.seen = [_different(np.concatenate(self.seen))]
            self.count = self.seen[0].size
            self.limit = max(self.most, self.count + self.count // 4)
        return self.count > self.most


def _different(numbers: np.ndarray) -> np.ndarray:
    """Every number once; a sort takes a hundredth of the time of `np.unique`."""
    ordered = np.sort(numbers)
    return ordered[np.diff(ordered, prepend=~ordered[:1]) != 0]


def positions(node: Node, shapes: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Where a structure takes its elements from: operands' from 1 on, 0 is zero."""
    start, given = 1, []
    for shape in shapes:
        size = math.prod(shape)
        given.append(np.arange(start, start + size).reshape(shape))
        start += size
    return np.asarray(evaluate_array_node(node, given))


def _chooses(graph: Graph, node: Node) -> bool:
    """Whether a node chooses by a constant, and so computes nothing."""
    if node.primitive.name != "select":
        return False
    return graph.nodes[node.operands[0]].primitive is CONST


def _numbers(graph: Graph, i: int, given: Sequence[np.ndarray]) -> np.ndarray:
    node = graph.nodes[i]
    primitive, shape = node.primitive, node.type.shape
    if primitive is CONST:
        value = np.asarray(node.value)
        return _mixed(value.dtype.char, [value.astype(np.float64).view(np.uint64)])
    if primitive.kind == "structure":
        moved = positions(node, [x.shape for x in given])
        every = [np.zeros(1, np.uint64), *(x.ravel() for x in given)]
        return np.concatenate(every)[moved]
    if primitive.kind == "elementwise":
        if _chooses(graph, node):
            value = graph.nodes[node.operands[0]].value
            chosen = np.where(value, given[1], given[2])
            return np.broadcast_to(chosen, shape)
        name = f"{primitive.name} {node.type.dtype.char}"
        return np.broadcast_to(_mixed(name, given), shape)
    fresh = np.arange(node.type.size, dtype=np.uint64).reshape(shape)
    return _mixed(f"{i if primitive is not INPUT else -i - 1}", [fresh])


def _mixed(name: str, given: Sequence[np.ndarray]) -> np.ndarray:
    """Numbers that depend on a name and on numbers, each in its place."""
    made = np.asarray([crc32(name.encode())], np.uint64)
    for x in given:
        made = (made ^ x) * _PRIME
        made = made ^ (made >> _SHIFT)
    # Not of one axis where none has any: that was to have no scalars, which overflow.
    return (made * _PRIME).reshape(np.broadcast_shapes(*[x.shape for x in given]))
