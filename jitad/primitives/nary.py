"""Scalar functions of any number of operands, with one rule for all ties and NaNs.

Folding np.maximum over three equal numbers would share the derivative ½, ¼, ¼; these
share it equally.  Reductions over an axis apply them to its elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from jitad.ir.tracer import bind, cast
from jitad.primitives.define import elementwise
from jitad.primitives.elementwise import gate

NAN = float("nan")


def balanced(operation: Callable[[Any, Any], Any], values: Sequence[Any]) -> Any:
    """values combined pairwise, in a tree: less rounding, shorter dependence."""
    values = list(values)
    while len(values) > 1:
        pairs = zip(values[::2], values[1::2], strict=False)
        odd = values[-1:] if len(values) % 2 else []
        values = [operation(a, b) for a, b in pairs] + odd
    return values[0]


def _total(values: Sequence[Any]) -> Any:
    return balanced(lambda a, b: a + b, values)


def _shares(y: Any, xs: Sequence[Any]) -> list[Any]:
    """1 divided among the operands that equal y, 0 for the others, NaN if y is."""
    unknown = np.isnan(y)
    equal = [x == y for x in xs]
    count = _total([cast(e, y.dtype) for e in equal])
    share = np.where(unknown, NAN, 1.0 / count)
    return [gate(e | unknown, share) for e in equal]


def _extreme(name: str, ufunc: np.ufunc) -> Any:
    def together(*xs: Any) -> Any:
        return reduce(ufunc, xs)

    def tree(*xs: Any) -> Any:
        return balanced(ufunc, xs)

    return elementwise(
        name,
        evaluate=together,
        expand=tree,
        partials=lambda y, *xs: _shares(y, xs),
        cost=4,
        points=((1.0, 2.0, -3.0), (2.0, 2.0, 1.0), (-1.0, -1.0, -1.0)),
    )


max_of = _extreme("max_of", np.maximum)
min_of = _extreme("min_of", np.minimum)


def _place(name: str, beats: Callable[[Any, Any], Any]) -> Any:
    """The index of the first operand that no other beats; NaN beats all."""

    def expand(*xs: Any) -> Any:
        best, index = xs[0], np.int64(0)
        for k, x in enumerate(xs[1:], 1):
            better = beats(x, best) | (np.isnan(x) & ~np.isnan(best))
            best, index = (
                np.where(better, x, best),
                np.where(better, np.int64(k), index),
            )
        return index

    function = np.argmax if name == "argmax_of" else np.argmin
    return elementwise(
        name,
        evaluate=lambda *xs: function(np.stack(np.broadcast_arrays(*xs)), axis=0),
        expand=expand,
        points=((1.0, 2.0, -3.0), (2.0, 2.0, 1.0)),
    )


argmax_of = _place("argmax_of", lambda a, b: a > b)
argmin_of = _place("argmin_of", lambda a, b: a < b)


def _norm(*xs: Any) -> Any:
    return np.sqrt(_total([x * x for x in xs]))


norm_of = elementwise(
    "norm_of",
    evaluate=_norm,
    expand=_norm,
    partials=lambda y, *xs: [np.where(y == 0, 0.0, x / y) for x in xs],
    cost=10,
    points=((3.0, 4.0), (0.0, 0.0, 0.0), (1.0, -2.0, 2.0), (1e-3, 1e3)),
)


def _shifted(xs: Sequence[Any]) -> tuple[Any, list[Any]]:
    """A finite shift near the largest operand, and the exponentials below it."""
    top = bind(max_of, xs, [None] * len(xs), xs[0].dtype)
    shift = np.where(np.isfinite(top), top, 0.0)
    return shift, [np.exp(x - shift) for x in xs]


def _logsumexp(*xs: Any) -> Any:
    shift, powers = _shifted(xs)
    return np.log(_total(powers)) + shift


def _softmax(y: Any, *xs: Any) -> list[Any]:
    """Where the sum is infinite or zero, the operands that make it so share 1."""
    _, powers = _shifted(xs)
    total, finite = _total(powers), np.isfinite(y)
    return [
        np.where(finite, p / total, s)
        for p, s in zip(powers, _shares(y, xs), strict=True)
    ]


def _evaluate_logsumexp(*xs: Any) -> Any:
    top = reduce(np.maximum, xs)
    shift = np.where(np.isfinite(top), top, top.dtype.type(0))
    return np.log(reduce(np.add, [np.exp(x - shift) for x in xs])) + shift


logsumexp_of = elementwise(
    "logsumexp_of",
    evaluate=_evaluate_logsumexp,
    expand=_logsumexp,
    partials=_softmax,
    cost=40,
    points=((1.0, 2.0, -3.0), (700.0, 710.0), (-800.0, -801.0), (0.0, 0.0)),
)
