"""Statements that NumPy and the libraries below it compute, each with its adjoint.

Products of matrices, largest and smallest elements, norms, running sums, and elements
moved in a way that is none of boxes; `matrices` has linear algebra.  A statement states
everything about itself:

    read     the operands that are computed with
    compute  arrays of these -> the array of its result
    back     ȳ -> (operand, what is added to its x̄) …
    ahead    ẋ of those operands that have one -> ẏ; None: it has no derivative
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from jitad.ir.graph import CONST, Graph, Node, Type, scalar
from jitad.ir.primitive import Primitive
from jitad.ir.tracer import Trace, Tracer, as_tracer
from jitad.transforms.scalars.scalarize import pack
from jitad.transforms.scalars.templates import apply, new_builder

from .cells import read
from .windows import Shape, Window, spread


class UnfitError(Exception):
    """What this schedule does not know; the schedule over points may."""


def times(a: Any, b: Any) -> Any:
    """A product of elements."""
    return a * b


def plus(a: Any, b: Any) -> Any:
    """A sum of elements."""
    return a + b


# What makes a statement of a node: (flow, type, operands, params) -> its value.
Known = Callable[[Any, Type, Sequence[int], Mapping[str, Any]], int]


class Ground(Protocol):
    """What derivatives are made with: statements that note where there are none."""

    def added(self, statement: Any, gaps: bool) -> int:
        """The one result of a statement of derivatives."""
        ...

    def seen(self, value: int, window: Window) -> int:
        """A derivative through a window."""
        ...

    def plain(
        self, function: Callable[..., Any], operands: Sequence[int], gaps: bool = False
    ) -> int:
        """A function of elements, of operands that are of one shape."""
        ...

    def total(self, value: int, type: Type, axes: tuple[int, ...]) -> int:
        """The sum of a derivative over some axes."""
        ...

    def shape(self, value: int) -> Shape:
        """The shape of a value."""
        ...

    def dtype(self, value: int) -> np.dtype:
        """The dtype of a value."""
        ...

    def constant(self, array: np.ndarray) -> int:
        """A constant array."""
        ...

    def blank(self, type: Type) -> int:
        """An array of zeros."""
        ...

    def shifted(self, value: int, axis: int, by: int) -> int:
        """A value moved along an axis, with zeros where nothing comes from."""
        ...

    def wanted(self, value: int) -> bool:
        """Whether a derivative by a value is needed."""
        ...


Added = Iterator[tuple[int, int]]


def summed(ground: Ground, terms: Sequence[int]) -> int:
    """The sum of one or two terms of a shape."""
    return terms[0] if len(terms) == 1 else ground.plain(plus, terms)


@dataclass(frozen=True, slots=True, eq=False)
class Single:
    """A statement with one result, of a type."""

    type: Type

    @property
    def types(self) -> list[Type]:
        """Of its result."""
        return [self.type]


@dataclass(frozen=True, slots=True, eq=False)
class Library(Single, ABC):
    """A statement that a library computes."""

    operands: tuple[int, ...]

    @property
    def read(self) -> tuple[int, ...]:
        """The operands that are computed with."""
        return self.operands

    @property
    def bends(self) -> bool:
        """Whether it tells sides apart: see `sides`."""
        return False

    def told(self, dots: Mapping[int, int]) -> Library:
        """The same, with ties told by the growth of its operands."""
        raise AssertionError(self)

    @abstractmethod
    def compute(self, *arrays: np.ndarray) -> Any:
        """The result, of arrays that lie anywhere."""

    @abstractmethod
    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """What its operands get of ȳ."""

    @abstractmethod
    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int | None:
        """ẏ."""


class Implicit(Library):
    """What is computed once for others, whose derivatives do not go through it."""

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """Nothing."""
        yield from ()

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Computed(Implicit):
    """What a primitive computes that has no derivative, or whose is not looked at."""

    primitive: Primitive
    params: Mapping[str, Any]

    def compute(self, *arrays: np.ndarray) -> Any:
        """By NumPy."""
        return self.primitive.evaluate(*arrays, **self.params)


@dataclass(frozen=True, slots=True, eq=False)
class Product(Library):
    """A sum of products, as `np.einsum` writes it: the labels of axes."""

    labels: tuple[str, ...]
    to: str

    def compute(self, *arrays: np.ndarray) -> Any:
        """By BLAS, where it is a product of two, or of what comes to that."""
        if len(arrays) == 2:
            left, right = zip(arrays, self.labels, strict=True)
            return _multiplied(left, right, self.to)
        subscripts = f"{','.join(self.labels)}->{self.to}"
        return np.einsum(subscripts, *arrays, optimize=True)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """For each operand the product of ȳ and the others."""
        for k, x in enumerate(self.operands):
            yield x, self._without(ground, k, bar)

    def _without(self, ground: Ground, k: int, bar: int) -> int:
        own, shape = self.labels[k], ground.shape(self.operands[k])
        extents = dict(zip(own, shape, strict=True))
        others = [j for j in range(len(self.operands)) if j != k]
        labels = (self.to, *(self.labels[j] for j in others))
        # What is only summed in this operand is the same along that axis.
        to = "".join(a for a in own if any(a in some for some in labels))
        type = Type(self.type.dtype, tuple([extents[a] for a in to]))
        operands = (bar, *(self.operands[j] for j in others))
        made = ground.added(Product(type, operands, labels, to), gaps=False)
        gone = [k for k, a in enumerate(own) if a not in to]
        return ground.seen(made, spread(shape, gone))

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The product rule."""
        terms = []
        for k, x in enumerate(self.operands):
            if x in dots:
                operands = (*self.operands[:k], dots[x], *self.operands[k + 1 :])
                term = Product(self.type, operands, self.labels, self.to)
                terms.append(ground.added(term, gaps=False))
        return ground.plain(lambda *terms: sum(terms[1:], terms[0]), terms)


def _multiplied(
    left: tuple[np.ndarray, str], right: tuple[np.ndarray, str], to: str
) -> np.ndarray:
    """A sum of products of two arrays, as a stack of products of matrices."""
    (a, own), (b, other) = (
        _summed(x, labels, (*labels_, *to))
        for (x, labels), (_, labels_) in ((left, right), (right, left))
    )
    both = [x for x in own if x in other]
    lead, inner = ([x for x in both if (x in to) == kept] for kept in (True, False))
    rows = [x for x in own if x not in other]
    columns = [x for x in other if x not in own]
    extents = dict(zip((*own, *other), (*a.shape, *b.shape), strict=True))

    def table(x: np.ndarray, labels: str, first: list[str], last: list[str]) -> Any:
        turned = x.transpose([labels.index(k) for k in (*lead, *first, *last)])
        sizes = [math.prod(extents[k] for k in some) for some in (first, last)]
        return turned.reshape(*(extents[k] for k in lead), *sizes)

    made = table(a, own, rows, inner) @ table(b, other, inner, columns)
    order = [*lead, *rows, *columns]
    made = made.reshape([extents[k] for k in order])
    return made.transpose([order.index(k) for k in to])


def _summed(
    x: np.ndarray, labels: str, needed: Sequence[str]
) -> tuple[np.ndarray, str]:
    """An array without the axes that nothing else has."""
    gone = tuple([k for k, label in enumerate(labels) if label not in needed])
    left = "".join(label for label in labels if label in needed)
    return (np.sum(x, axis=gone), left) if gone else (x, labels)


@dataclass(frozen=True, slots=True, eq=False)
class Reduced(Library):
    """What is left of some axes: of each group of elements one number."""

    axes: tuple[int, ...]

    def _spread(self, ground: Ground, value: int) -> int:
        """A result, or a derivative of it, at all elements that it is of."""
        return ground.seen(value, spread(ground.shape(self.operands[0]), self.axes))

    def _sum(self, ground: Ground, value: int) -> int:
        return ground.total(value, self.type, self.axes)


@dataclass(frozen=True, slots=True, eq=False)
class Extreme(Reduced):
    """The largest elements, or the smallest; equal ones share the derivative."""

    largest: bool

    def compute(self, *arrays: np.ndarray) -> Any:
        """By NumPy: NaN where there is one."""
        return (np.max if self.largest else np.min)(arrays[0], axis=self.axes)

    def _shares(self, ground: Ground, y: int) -> int:
        """What each element has of the derivative: 1 of those that are it, or NaN."""
        (x,) = self.operands
        return ground.plain(_is_extreme, [x, self._spread(ground, y)])

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """Equal parts of ȳ."""
        (x,) = self.operands
        shares = self._shares(ground, y)
        part = ground.plain(lambda bar, n: bar / n, [bar, self._sum(ground, shares)])
        yield x, ground.plain(_share, [shares, self._spread(ground, part)], gaps=True)

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The mean of ẋ of those that are it."""
        (x,) = self.operands
        shares = self._shares(ground, y)
        total = self._sum(ground, ground.plain(_share, [shares, dots[x]], gaps=True))
        return ground.plain(lambda t, n: t / n, [total, self._sum(ground, shares)])


def _is_extreme(x: Any, y: Any) -> Any:
    return np.where(y == y, np.where(x == y, 1.0, 0.0), y)


def _share(share: Any, slope: Any) -> Any:
    return np.where(share == 0, 0.0, share * slope)


@dataclass(frozen=True, slots=True, eq=False)
class Norm(Reduced):
    """Euclidean norms; at zero the derivative is zero."""

    def compute(self, *arrays: np.ndarray) -> Any:
        """The root of the sum of squares, as in NumPy."""
        x = arrays[0]
        return np.sqrt(np.sum(x * x, axis=self.axes))

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """The direction of x, times ȳ."""
        (x,) = self.operands
        given = [x, self._spread(ground, y), self._spread(ground, bar)]
        yield x, ground.plain(_along, given)

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """ẋ along the direction of x."""
        (x,) = self.operands
        given = [x, self._spread(ground, y), dots[x]]
        return self._sum(ground, ground.plain(_along, given))


def _along(x: Any, y: Any, slope: Any) -> Any:
    zero = (x == 0) & (y == 0)
    return np.where(zero, 0.0, x / np.where(zero, 1.0, y) * slope)


@dataclass(frozen=True, slots=True, eq=False)
class Cumulated(Library):
    """Running sums along an axis, from its beginning or from its end."""

    axis: int
    backwards: bool = False

    def compute(self, *arrays: np.ndarray) -> Any:
        """In the order of the axis."""
        turned = [slice(None)] * len(self.type.shape)
        turned[self.axis] = slice(None, None, -1 if self.backwards else 1)
        return np.cumsum(arrays[0][tuple(turned)], axis=self.axis)[tuple(turned)]

    def _of(self, value: int, backwards: bool) -> Cumulated:
        return Cumulated(self.type, (value,), self.axis, backwards)

    def back(self, ground: Ground, y: int, bar: int) -> Added:
        """Running sums the other way."""
        made = ground.added(self._of(bar, not self.backwards), gaps=False)
        yield self.operands[0], made

    def ahead(self, ground: Ground, y: int, dots: Mapping[int, int]) -> int:
        """The same of ẋ."""
        dot = dots[self.operands[0]]
        return ground.added(self._of(dot, self.backwards), gaps=False)


def of_elements(
    function: Callable[..., Any],
    dtypes: Sequence[np.dtype],
    result: np.dtype | None = None,
) -> Graph:
    """A function in plain NumPy as a graph of one element, of the promoted dtype."""
    builder = new_builder()
    given = [Tracer(builder, read(builder, d), scalar(d)) for d in dtypes]
    result = np.result_type(*dtypes) if result is None else result
    made = as_tracer(builder, function(*given), result)
    return builder.finish([pack(builder, np.asarray(made.index), made.type)])


def number_graph(value: Any, dtype: np.dtype) -> Graph:
    """A constant as a graph of one element, without inputs."""
    builder = new_builder()
    made = builder.number(value, dtype)
    return builder.finish([pack(builder, np.asarray(made), scalar(dtype))])


def composed(
    nodes: Sequence[Node], own: Sequence[int], enter: Callable[[Trace, int], int]
) -> tuple[Trace, dict[int, int]]:
    """Some elementwise nodes as a graph of one element, and where they are in it.

    enter  makes an input of what they need of other nodes, which are no constants
    """
    builder, inside = new_builder(), set(own)
    index: dict[int, int] = {}
    for i in own:
        for a in nodes[i].operands:
            if a in index or a in inside:
                continue
            node = nodes[a]
            if node.primitive is CONST and not node.type.shape:
                index[a] = builder.add(CONST, (), node.type, node.params)
            else:
                index[a] = enter(builder, a)
    for i in own:
        node = nodes[i]
        operands = tuple([index[a] for a in node.operands])
        kind = scalar(node.type.dtype)
        index[i] = apply(builder, node.primitive, operands, kind, node.line)
    return builder, index


def matmul_labels(a: Shape, b: Shape) -> tuple[tuple[str, str], str]:
    """The labels of `np.matmul` for operands of these shapes."""
    lead = "abcdefghij"[: max(len(a), len(b), 2) - 2]
    left = "y" if len(a) == 1 else "xy"
    right = "y" if len(b) == 1 else "yz"
    first = lead[len(lead) - (len(a) - 2) :] + left if len(a) > 1 else left
    second = lead[len(lead) - (len(b) - 2) :] + right if len(b) > 1 else right
    to = lead + left.replace("y", "") + right.replace("y", "")
    return (first, second), to
