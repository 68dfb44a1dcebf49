"""np.einsum: sums of products over labels, and what every contraction is made of.

Subscripts are brought into a canonical text with no ellipsis and an explicit result,
which is the composite's parameter.  Three operands and more are contracted in pairs.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy._core.multiarray import c_einsum  # type: ignore[attr-defined]

from jitad.errors import UnsupportedError
from jitad.ir.bind import cast
from jitad.ir.dispatch import ask
from jitad.ir.graph import Type
from jitad.ir.structure import bind_structure
from jitad.ir.tracer import as_tracer, innermost
from jitad.primitives.define import bind_composite, composite, derived, structure
from jitad.primitives.scalar.nary import balanced

from .reduction import INT64, refuse_out
from .shape import as_array

# Products beyond which a contraction is refused before its object array is made.
_LIMIT = 4_000_000
# Consecutive products that are added in a chain, each a fused multiply-add.
_CHAIN = 8


def both(*operands: Any) -> tuple[Any, ...]:
    """Operands as traced arrays of one trace."""
    trace = innermost(operands)
    return tuple(as_tracer(trace, a) for a in operands)


def sum_products(terms: Any) -> Any:
    """The sum over the first axis: a balanced tree of short chains."""

    def chain(block: Any) -> Any:
        total = block[0]
        for term in block[1:]:
            total = total + term
        return total

    blocks = [chain(terms[k : k + _CHAIN]) for k in range(0, len(terms), _CHAIN)]
    return balanced(np.add, blocks)


def check(
    number: int, name: str, what: str = "scalar products", most: int = _LIMIT
) -> None:
    """Raise where a function takes too many products, or the like, for one point."""
    if number > most:
        raise UnsupportedError(
            f"{name} takes {number:,} {what} per point; expected at most {most:,}: use "
            "jitad.vmap for the axis of independent points, so that it is a batch and "
            "not part of the function"
        )


def _limit(_: str, *types: Type, subscripts: str) -> None:
    """Raise where an einsum is too large for one point."""
    dummies = [np.broadcast_to(0.0, type.shape) for type in types]
    _contracted(dummies, subscripts, _sized)


def contract(primitive: Any, operands: Sequence[Any], params: dict) -> Any:
    """Apply a contraction; truth values are counted and compared with zero."""
    dtype = np.result_type(*(a.dtype for a in operands))
    if dtype.kind == "b":
        counts = [cast(a, INT64) for a in operands]
        return bind_composite(primitive, counts, params) != 0
    return bind_composite(primitive, [cast(a, dtype) for a in operands], params)


def _einsum_expand(*operands: np.ndarray, subscripts: str) -> Any:
    output = _split(subscripts)[1]
    result, labels = _contracted(operands, subscripts, _multiply)
    return np.transpose(result, [labels.index(label) for label in output])


def _contracted(
    operands: Sequence[np.ndarray],
    subscripts: str,
    multiply: Callable[[Sequence[Table], set[str], dict[str, int]], Table],
) -> Table:
    """What is left of operands that are multiplied, in pairs if there are more."""
    inputs, output = _split(subscripts)
    tables = [_diagonal(x, labels) for x, labels in zip(operands, inputs, strict=True)]
    extents = _extents(tables)
    path: Any = [tuple(range(len(tables)))]
    if len(tables) > 2:
        dummies = [np.broadcast_to(0.0, x.shape) for x in operands]
        path = np.einsum_path(subscripts, *dummies, optimize="greedy")[0][1:]
    for step in path:
        chosen = [tables[i] for i in step]
        tables = [t for i, t in enumerate(tables) if i not in step]
        kept = {*output, *(label for _, labels in tables for label in labels)}
        tables.append(multiply(chosen, kept, extents))
    ((result, labels),) = tables
    whole = [extents[label] for label in labels]
    return np.broadcast_to(result, whole), labels


_einsum = composite(
    "einsum",
    # Of three operands NumPy runs over all indices at once, if nobody asks otherwise.
    lambda *operands, subscripts: np.einsum(
        subscripts, *operands, optimize=len(operands) > 2
    ),
    _einsum_expand,
    limit=_limit,
)

_moved = structure(lambda x, subscripts: np.einsum(subscripts, x), name="einsum_moved")

Table = tuple[np.ndarray, str]


def _split(subscripts: str) -> tuple[list[str], str]:
    left, output = subscripts.split("->")
    return left.split(","), output


def _extents(tables: Sequence[Table]) -> dict[str, int]:
    extents: dict[str, int] = {}
    for x, labels in tables:
        for label, n in zip(labels, x.shape, strict=True):
            known = extents.get(label, 1)
            extents[label] = n if known == 1 else known
    return extents


def _diagonal(x: np.ndarray, labels: str) -> Table:
    """The operand with each label once: repeated ones take a diagonal."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            x = np.diagonal(x, axis1=i, axis2=j)
            labels = labels[:i] + labels[i + 1 : j] + labels[j + 1 :] + label
    return x, labels


def _ordered(
    tables: Sequence[Table], kept: set[str], extents: dict[str, int]
) -> tuple[list[str], list[str]]:
    """The labels that are summed over, and those that are left."""
    labels = "".join(dict.fromkeys("".join(text for _, text in tables)))
    check(math.prod(extents[label] for label in labels), "einsum")
    summed = [label for label in labels if label not in kept]
    return summed, [label for label in labels if label in kept]


def _sized(tables: Sequence[Table], kept: set[str], extents: dict[str, int]) -> Table:
    """An array of the shape of a product."""
    left = _ordered(tables, kept, extents)[1]
    return np.broadcast_to(0.0, [extents[label] for label in left]), "".join(left)


def _multiply(
    tables: Sequence[Table], kept: set[str], extents: dict[str, int]
) -> Table:
    """The product of operands, summed over the labels that nobody needs any more."""
    summed, left = _ordered(tables, kept, extents)
    order = [*summed, *left]
    product: Any = None
    for x, text in tables:
        present = [label for label in order if label in text]
        moved = np.transpose(x, [text.index(label) for label in present])
        shape = [x.shape[text.index(c)] if c in text else 1 for c in order]
        factor = moved.reshape(shape)
        # Always an array: a bare scalar would not mix with arrays without axes.
        product = factor if product is None else np.asarray(product * factor, object)
    shape = [extents[label] for label in left]
    if summed:
        full = np.broadcast_to(product, [*(extents[c] for c in summed), *shape])
        terms = full.reshape((math.prod(extents[c] for c in summed), *shape))
        product = sum_products(terms) if len(terms) else np.full(shape, 0, object)
    return np.asarray(product, object), "".join(left)


def _interleaved(args: Sequence[Any]) -> tuple[list[Any], list[list], list | None]:
    """np.einsum(a, [0, 1], b, [1, 2], [0, 2]): operands, their labels, the result's."""
    pairs = len(args) // 2
    output = list(args[-1]) if len(args) % 2 else None
    labels = [list(args[2 * k + 1]) for k in range(pairs)]
    return [args[2 * k] for k in range(pairs)], labels, output


def _labels(text: str) -> list[Hashable]:
    """The labels of a subscript text; an ellipsis stays one label."""
    found: list[Hashable] = []
    rest = text.replace(" ", "")
    while rest:
        if rest.startswith("..."):
            found.append(Ellipsis)
            rest = rest[3:]
        elif rest[0] in string.ascii_letters:
            found.append(rest[0])
            rest = rest[1:]
        else:
            raise ValueError(f"einsum: {rest[0]!r} in {text!r} is not a letter or …")
    return found


def _canonical(
    inputs: Sequence[list], output: list | None, ranks: Sequence[int]
) -> str:
    """Subscripts with no ellipsis and an explicit result."""
    spread = [_spread(labels, rank) for labels, rank in zip(inputs, ranks, strict=True)]
    wide = max((_wildcards(labels) for labels in spread), default=0)
    every = [(Ellipsis, k) for k in range(wide, 0, -1)]
    if output is None:
        flat = [label for labels in spread for label in labels if label not in every]
        once: list[Any] = sorted(label for label in set(flat) if flat.count(label) == 1)
        result: list[Any] = [*every, *once]
    else:
        at = output.index(Ellipsis) if Ellipsis in output else None
        result = list(output)
        if at is not None:
            result[at : at + 1] = every
        elif wide:
            raise ValueError("einsum: the result needs an ellipsis (...) too")
    seen = dict.fromkeys(label for labels in spread for label in labels)
    unknown = [label for label in result if label not in seen]
    if unknown or len(set(result)) < len(result):
        raise ValueError(f"einsum: the result's labels {result} must each be one of "
                         "the operands', once")  # fmt: skip
    if len(seen) > len(string.ascii_letters):
        raise ValueError("einsum: more labels than there are letters")
    letter = dict(zip(seen, string.ascii_letters, strict=False))

    def text(labels: Sequence[Any]) -> str:
        return "".join(letter[label] for label in labels)

    return ",".join(text(labels) for labels in spread) + "->" + text(result)


def _spread(labels: list, rank: int) -> list[Any]:
    """The labels of an operand, its ellipsis as labels counted from the right."""
    if Ellipsis not in labels:
        if len(labels) != rank:
            raise ValueError(f"einsum: {len(labels)} labels for {rank} axes")
        return labels
    missing, at = rank - (len(labels) - 1), labels.index(Ellipsis)
    if missing < 0 or labels.count(Ellipsis) > 1:
        raise ValueError(f"einsum: {len(labels) - 1} labels for {rank} axes")
    wild = [(Ellipsis, k) for k in range(missing, 0, -1)]
    return [*labels[:at], *wild, *labels[at + 1 :]]


def _wildcards(labels: Sequence[Any]) -> int:
    return sum(isinstance(label, tuple) for label in labels)


@derived(np.einsum)
def einsum(*args: Any, out: Any = None, dtype: Any = None, **options: Any) -> Any:
    """The sum of products over labels, in any of the forms that NumPy accepts."""
    refuse_out(out, "einsum")
    unknown = options.keys() - {"optimize", "order", "casting"}
    if unknown:
        raise TypeError(f"np.einsum takes no argument {min(unknown)!r}")
    if isinstance(args[0], str):
        left, arrow, right = args[0].partition("->")
        operands = list(args[1:])
        texts = left.split(",")
        if len(texts) != len(operands):
            raise ValueError(f"einsum: {args[0]!r} names {len(texts)} operands, "
                             f"{len(operands)} were given")  # fmt: skip
        inputs = [_labels(text) for text in texts]
        output = _labels(right) if arrow else None
    else:
        operands, inputs, output = _interleaved(args)
    tracers = both(*operands)
    subscripts = _canonical(inputs, output, [a.ndim for a in tracers])
    (labels, *more), kept = _split(subscripts)
    if not more and set(labels) == set(kept):
        # A view, whatever dtype= and order= say; of an array of objects that array's.
        if isinstance(operands[0], np.ndarray):
            return c_einsum(subscripts, operands[0])
        return bind_structure(_moved, (as_array(operands[0]), subscripts), {})
    if dtype is not None:
        # NumPy says whether it casts; what is but a view keeps its dtype.
        casting = options.get("casting", "safe")
        told = ask(np.einsum, subscripts, *tracers, dtype=dtype, casting=casting)
        tracers = tuple(cast(a, told.dtype) for a in tracers)
    return labelled(tracers, subscripts)


def labelled(operands: Sequence[Any], subscripts: str) -> Any:
    """An einsum whose subscripts are canonical."""
    return contract(_einsum, operands, {"subscripts": subscripts})
