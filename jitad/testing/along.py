"""Checks of many inputs or results: products with the Jacobian along random vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitad import tree
from jitad.api import jit
from jitad.calls.where import where
from jitad.directions import jvp, vjp

from .differences import derivative
from .point import ALLOWANCE, Point, allowed_error, compare, flat, scales, split
from .report import DIFFERENCES, Comparison

ALONG = (
    "Of so many inputs or results products of the Jacobian and some random vectors "
    "were compared, and kinks were not looked for."
)
_VECTORS = 3
# Of so many samples, which see nothing of what long sums do to last bits, a part of the
# errors that there may be.
_SAMPLES, _UNSEEN = 3, 4.0


def random(x: np.ndarray, count: int) -> np.ndarray:
    """Random vectors of x's size, each number about as large as that of x."""
    rng = np.random.default_rng(0)
    return rng.choice([-1.0, 1.0], (count, x.size)) * scales(x)


def along_directions(point: Point, *, differences: bool) -> list[Comparison]:
    """The value, J v forward, uᵀ J v in reverse, and J v by differences."""

    def results(*leaves: Any) -> Any:
        return tree.flatten(point.at(leaves))[0]

    f = jit(results).at(where("check", point.f, backend="cpu"))
    vectors = random(point.x, _VECTORS)

    def pushed(x: np.ndarray, vectors: np.ndarray = vectors) -> np.ndarray:
        own = point.unflat(x)
        found = [jvp(f, own, split(v, point.leaves))[1] for v in vectors]
        return np.stack([flat(dots) for dots in found])

    y_spread = _spread(point, point.moved, point.y)
    rough = allowed_error(y_spread, point.y, _UNSEEN * point.unit)
    value = flat(f(*point.leaves))
    found = [compare("value", "compiled", value, point.y, rough, point.result_name)]
    forward = pushed(point.x)
    allowed = allowed_error(_spread(point, pushed, forward), forward, point.unit)
    found.append(_reverse(point, f, vectors, forward, allowed, pushed))
    if differences:
        found.append(_differences(point, vectors, forward, allowed, y_spread))
    return found


def _spread(
    point: Point, function: Callable[[np.ndarray], np.ndarray], found: np.ndarray
) -> np.ndarray:
    """How far the last bits of x move what a function gives."""
    rng = np.random.default_rng(1)
    most = np.zeros_like(found)
    with np.errstate(all="ignore"):
        for _ in range(_SAMPLES):
            bits = rng.choice([-1.0, 1.0], point.x.shape) * point.unit
            apart = np.abs(function(point.x * (1.0 + bits)) - found)
            most = np.fmax(most, np.where(np.isfinite(apart), apart, 0.0))
    return _UNSEEN * most


def _reverse(
    point: Point,
    f: Callable[..., Any],
    vectors: np.ndarray,
    forward: np.ndarray,
    allowed: np.ndarray,
    pushed: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Comparison:
    """Numbers uᵀ J v both ways, without what is not finite in J.

    pushed  x, vectors -> J v
    """
    clear = np.isfinite(forward).all(axis=0)
    rows = np.where(clear, random(point.y, _VECTORS), 0.0)
    _, pull = vjp(f, *point.leaves)
    back = np.stack([flat(pull(split(u, point.results))) for u in rows])
    clear = np.isfinite(back).all(axis=0)
    if not clear.all():
        vectors = np.where(clear, vectors, 0.0)
        forward = pushed(point.x, vectors)
    with np.errstate(all="ignore"):
        terms = np.where(vectors == 0, 0.0, back[:, None, :] * vectors)
        want = np.where(rows == 0, 0.0, rows * forward[:, None, :]).sum(axis=-1).T
        most = np.where(rows == 0, 0.0, np.abs(rows) * allowed[:, None, :])
        got = terms.sum(axis=-1)
        most = most.sum(axis=-1).T
        most = most + ALLOWANCE * point.unit * np.abs(terms).sum(axis=-1)

    def name(k: int) -> str:
        return f"uᵀ J v of vectors {k // _VECTORS} and {k % _VECTORS}"

    return compare("uᵀ J v", "reverse, compiled", got, want, most, name)


def _differences(
    point: Point,
    vectors: np.ndarray,
    forward: np.ndarray,
    allowed: np.ndarray,
    y_spread: np.ndarray,
) -> Comparison:
    """J v by differences of f as NumPy computes it."""
    found = [derivative(point.moved, point.x, v, point.unit, y_spread) for v in vectors]
    got, error, size = (np.stack(part) for part in zip(*found, strict=True))

    def name(k: int) -> str:
        direction, i = divmod(k, point.y.size)
        return f"∂{point.result_name(i)} along vector {direction}"

    most = allowed + ALLOWANCE * error
    lost = np.isnan(point.y)
    return compare("J v", DIFFERENCES, forward, got, most, name, size, lost)
