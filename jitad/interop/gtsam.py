"""GTSAM: error functions of CustomFactor, on vectors and on rotations and poses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitad.api import jit
from jitad.errors import InputError
from jitad.ir.source import source_line

from .adapting import Shape, name_of, with_slopes

# What Values hold, likeliest first, and how many directions the groups among them have.
_KINDS = {"Vector": 0, "Double": 0, "Pose3": 6, "Pose2": 3, "Rot3": 3, "Rot2": 1}


def gtsam_error(residual: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """((*x) -> r)  ->  (this, values, H -> r) for a CustomFactor of GTSAM.

        error = jitad.interop.gtsam_error(residual)
        graph.add(gtsam.CustomFactor(noise, [X(0), L(3)], error))

    residual takes the values of the factor's keys, in order: vectors and points as
    arrays of shape (n,), numbers as numbers, Rot2, Rot3, Pose2 and Pose3 as their
    matrices of shape (2, 2), (3, 3), (3, 3) and (4, 4).  It returns r of shape (m,), m
    the dimension of the noise.  H[k], of shape (m, directions), is with respect to
    GTSAM's local coordinates: x + δ of vectors, x · exp(δ) of matrices.
    Raises InputError for other kinds of values and for an r of another shape, of which
    GTSAM would read too much or too little.
    (F. Dellaert and GTSAM contributors, GTSAM, CustomFactor; J. Solà and others, A
    micro Lie theory for state estimation in robotics, 2018, section II-D.)

    >>> error = jitad.interop.gtsam_error(lambda a, b: a - 2 * b)
    >>> noise = gtsam.noiseModel.Unit.Create(2)
    >>> factor = gtsam.CustomFactor(noise, [0, 1], error)
    >>> values = gtsam.Values()
    >>> values.insert(0, np.array([1.0, 2.0]))
    >>> values.insert(1, np.array([0.5, 0.5]))
    >>> factor.unwhitenedError(values)
    array([0., 1.])
    """
    value, made = jit(residual), {}

    def error(this: Any, values: Any, H: Any) -> np.ndarray:
        keys = this.keys()
        kinds, points = zip(*[_read(values, k) for k in keys], strict=True)
        m = this.noiseModel().dim() if this.noiseModel() else None
        if H is None:
            return _checked(value(*points), residual, m)
        if kinds not in made:
            made[kinds] = _local(residual, kinds)
        deltas = [
            np.zeros(_KINDS[k] or np.size(x))
            for k, x in zip(kinds, points, strict=True)
        ]
        r, slopes = made[kinds](deltas, points)
        r = _checked(r, residual, m)
        for k, slope in enumerate(slopes):
            H[k] = slope
        return r

    return error


def _read(values: Any, key: int) -> tuple[str, Any]:
    """The kind of a value, and what the user's function is given of it."""
    for kind in _KINDS:
        try:
            found = getattr(values, f"at{kind}")(key)
        except RuntimeError:
            continue
        return kind, found.matrix() if _KINDS[kind] else found
    raise InputError(
        f"gtsam_error: the value of key {key} is of a kind that has no adapter "
        f"({source_line()}); expected one of {', '.join(_KINDS)}: use its vector"
    )


def _local(residual: Callable[..., Any], kinds: tuple[str, ...]) -> Callable[..., Any]:
    """(δ, x) -> r and ∂r/∂δ at δ = 0, where x moves by δ in its local coordinates."""

    def moved(deltas: Any, points: Any) -> Any:
        moves = zip(kinds, points, deltas, strict=True)
        return residual(*[_moved(k, x, d) for k, x, d in moves])

    return with_slopes(moved)


def _moved(kind: str, x: Any, delta: Any) -> Any:
    if kind == "Double":
        return x + delta[0]
    if kind == "Vector":
        return x + delta
    return x + x @ np.tensordot(delta, _generators(kind), 1)


def _generators(kind: str) -> np.ndarray:
    """The matrices that δ is multiplied with in exp(δ) = 1 + Σ δ_k G_k + …"""
    if kind in ("Rot2", "Pose2"):
        turn = np.array([[[0.0, -1.0], [1.0, 0.0]]])
    else:
        turn = np.zeros((3, 3, 3))
        for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            turn[i, k, j], turn[i, j, k] = 1.0, -1.0
    if kind.startswith("Rot"):
        return turn
    n, count = turn.shape[-1], len(turn)
    found = np.zeros((count + n, n + 1, n + 1))
    first = n if kind == "Pose2" else 0  # its direction comes after its position
    found[first : first + count, :n, :n] = turn
    at = 0 if kind == "Pose2" else count
    found[at : at + n, :n, n] = np.eye(n)
    return found


def _checked(r: Any, residual: Callable[..., Any], m: int | None) -> np.ndarray:
    shape: Shape = np.shape(r)
    if len(shape) != 1 or m not in (None, shape[0]):
        expected = f"({m},), as the noise model" if m else "one axis"
        raise InputError(
            f"gtsam_error: what {name_of(residual)} returns has shape {shape} "
            f"({source_line()}); expected {expected}: return a vector of residuals"
        )
    return r
