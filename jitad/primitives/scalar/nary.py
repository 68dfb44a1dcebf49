"""Scalar functions of any number of operands, with one rule for all ties and NaNs.

Folding np.maximum over three equal numbers would share the derivative ½, ¼, ¼; these
share it equally.  Reductions over an axis apply them to its elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from jitad.ir.bind import bind, cast
from jitad.primitives.define import bind_promoted, elementwise
from jitad.primitives.stated import stated
from jitad.process.late import late

from .barrier import undefined_where
from .elementwise import ahead, gate, stop_gradient
from .exact import exp_gap, gap

special = late("scipy.special")

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


def _extreme(name: str, ufunc: np.ufunc, first: Callable[[Any, Any], Any]) -> Any:
    """first says whether an operand comes before another one, ties included."""

    def piece(*xs: Any) -> Any:
        return reduce(lambda a, b: np.where(first(a, b) | (a != a), a, b), xs)

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
        piece=piece,
    )


max_of = _extreme("max_of", np.maximum, ahead)
min_of = _extreme("min_of", np.minimum, lambda a, b: ahead(b, a))


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


def _norm_partials(y: Any, *xs: Any) -> list[Any]:
    inverse, zero = 1.0 / y, y == 0
    # Where squares of numbers that are not 0 underflow, the slope is refused: inf.
    slopes = [undefined_where(zero & (x == 0), 0.0, x * inverse) for x in xs]
    if len(xs) > _FEW:
        return [_share_of_norm(s, x, y) for s, x in zip(slopes, xs, strict=True)]
    return [_STATED_SLOPES[k](s, *xs) for k, s in enumerate(slopes)]


# Of this number of operands a slope's own partials are written out one by one, so that
# none is a difference.  Of more, that would be the square of their number for one
# product with a Hessian: they are stated by what all slopes have in common.
_FEW = 8


def _share_slopes(y: Any, x: Any, norm: Any) -> list[Any]:
    inverse = 1.0 / norm
    return [inverse, -(y * inverse)]


_share_of_norm = stated("x/norm", _share_slopes)
_share_of_all = stated("exp(x - y)", lambda p, x, y: [p, -p])


def _stated_slope(k: int) -> Callable[..., Any]:
    """Operand k over the norm: nothing cancels, and at 0 it is 0/0."""

    def partials(y: Any, *xs: Any) -> list[Any]:
        radius = bind_promoted(norm_of, xs)
        shares = [x / radius for x in xs]
        rest = _total([s * s for m, s in enumerate(shares) if m != k] or [0.0 * y])
        own = shares[k]
        return [(rest if m == k else -(own * s)) / radius for m, s in enumerate(shares)]

    return stated(f"x{k}/norm", partials)


_STATED_SLOPES = tuple(map(_stated_slope, range(_FEW)))

norm_of = elementwise(
    "norm_of",
    evaluate=_norm,
    expand=_norm,
    partials=_norm_partials,
    square=lambda *xs: _total([x * x for x in xs]),
    cost=10,
    points=((3.0, 4.0), (0.0, 0.0, 0.0), (1.0, -2.0, 2.0), (1e-3, 1e3)),
)


def _largest(xs: Sequence[Any]) -> Any:
    """The largest operand, taken as a constant: sums below do not depend on it."""
    return stop_gradient(bind(max_of, xs, [None] * len(xs), xs[0].dtype))


def _logsumexp(*xs: Any) -> Any:
    """max + log1p(rest): those equal to the maximum add 1 each, the first of them 0."""
    top = _largest(xs)
    equal = [x == top for x in xs]
    count = _total([cast(e, top.dtype) for e in equal])
    powers = [np.exp(gap(x, top)) for x in xs]
    rest = _total([np.where(e, 0.0, p) for e, p in zip(equal, powers, strict=True)])
    return top + np.log1p((count - 1.0) + rest)


def _softmax(y: Any, *xs: Any) -> list[Any]:
    """exp(x_i - max) / Σ: equal infinities share, since their gap is 0."""
    top = _largest(xs)
    powers = [exp_gap(x, top) for x in xs]
    inverse = 1.0 / _total(powers)
    shares = [p * inverse for p in powers]
    if len(xs) < 2:
        return shares
    if len(xs) > _FEW:
        return [_share_of_all(p, x, y) for p, x in zip(shares, xs, strict=True)]
    return [_STATED_SHARES[k](p, *xs) for k, p in enumerate(shares)]


def _stated_share(k: int) -> Callable[..., Any]:
    """Share k, which takes from and gives to every other what they make together."""

    def partials(y: Any, *xs: Any) -> list[Any]:
        shares = _softmax(None, *xs)
        rest = _total(shares[:k] + shares[k + 1 :])
        return [y * rest if m == k else -(y * p) for m, p in enumerate(shares)]

    return stated(f"share {k}", partials)


_STATED_SHARES = tuple(map(_stated_share, range(_FEW)))


def _evaluate_logsumexp(*xs: Any) -> Any:
    return special.logsumexp(np.stack(np.broadcast_arrays(*xs)), axis=0)


logsumexp_of = elementwise(
    "logsumexp_of",
    evaluate=_evaluate_logsumexp,
    expand=_logsumexp,
    partials=_softmax,
    cost=40,
    points=((1.0, 2.0, -3.0), (700.0, 710.0), (-800.0, -801.0), (0.0, 0.0)),
)
