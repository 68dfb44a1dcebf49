"""Sums of squares of residuals, and what a Gauss-Newton step needs of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitad.calls.function import Function
from jitad.calls.where import Backend, where
from jitad.ir.source import source_line
from jitad.process.travel import travels

from . import tree
from .api import Argnums, jacobian, jit, vmap
from .errors import ShapeError


@travels
def gauss_newton(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    in_axes: Any = None,
    backend: Backend | None = None,
    device: str | None = None,
) -> Function:
    """(x -> r) of one point  ->  (x of all points -> r·r, Jᵀr, JᵀJ), summed over them.

    f(params, *data) gives the residuals r of one point, and J = ∂r/∂x is taken in the
    arguments that argnums names.  gauss_newton(f)(params, *data) takes the data of all
    points and adds up, never holding J or r of more points than a vector has lanes:
        r·r   of shape ()
        Jᵀr   of shape (n,): half the gradient of r·r
        JᵀJ   of shape (n, n), symmetric
    n counts the scalars of the arguments in argnums, in order, each flattened; so does
    m those of r, which may be of any shape, or a tree.
    in_axes  as of vmap; by default all points share the arguments in argnums, and of
             the others have the leading axis.  Where an argument in argnums has an
             axis of points, J is that of each point's own.
    weights=  in the call: w of shape (points,), or (points, m), for r·Wr, JᵀWr, JᵀWJ
    backend, device  as of jit
    Raises InputError where an argument in argnums is not floating-point, ShapeError
    for weights of another shape.
    (J. Nocedal and S. Wright, Numerical Optimization, 2nd ed., 2006, section 10.3.)
    """
    name = f"gauss_newton({getattr(f, '__name__', type(f).__name__)})"

    full = f.full() if isinstance(f, Function) else f

    def residual(*args: Any) -> Any:
        return _flat(full(*args))

    slopes = jacobian(residual, argnums)

    def point(args: tuple[Any, ...], weights: Any) -> Any:
        r = residual(*args)
        j = _matrix(slopes(*args), len(r))
        w = _weights(weights, r, name)
        a, b = np.triu_indices(j.shape[1])
        upper = np.sum(w[:, None] * (j[:, a] * j[:, b]), axis=0)
        return np.sum(w * (r * r)), j.T @ (w * r), upper

    def sums(*args: Any, weights: Any = None) -> Any:
        axes = _axes(in_axes, argnums, len(args))
        weighted = vmap(point, in_axes=(axes, None if weights is None else 0))
        total, slope, upper = [np.sum(x, axis=0) for x in weighted(args, weights)]
        return total, slope, upper[_positions(slope.shape[0])]

    made = jit(sums)
    place = where(name, f, backend=backend, device=device)
    return Function(sums, made.derive, name=name, where=place)


def _axes(in_axes: Any, argnums: Argnums, count: int) -> Any:
    """The batch axis of every argument."""
    if in_axes is not None:
        return in_axes if isinstance(in_axes, int) else tuple(in_axes)
    chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    shared = {k % count for k in chosen} if count else set()
    return tuple([None if k in shared else 0 for k in range(count)])


def _flat(value: Any) -> Any:
    """A tree of arrays as one vector."""
    leaves = [np.ravel(x) for x in tree.flatten(value)[0]]
    return leaves[0] if len(leaves) == 1 else np.concatenate(leaves)


def _matrix(slopes: Any, count: int) -> Any:
    """A Jacobian as a matrix of `count` rows: the arguments' columns side by side."""
    columns = [np.reshape(x, (count, -1)) for x in tree.flatten(slopes)[0]]
    return np.concatenate(columns, axis=1)


def _weights(weights: Any, r: Any, name: str) -> Any:
    """One weight for every residual of a point."""
    if weights is None:
        return np.ones(len(r), r.dtype)
    if np.shape(weights) not in ((), r.shape):
        raise ShapeError(
            f"{name}: expected weights of shape (points,) or (points, {len(r)}), got "
            f"{np.shape(weights)} for one point ({source_line()})"
        )
    return weights * np.ones(len(r), r.dtype)


def _positions(n: int) -> np.ndarray:
    """Where every entry of a symmetric matrix is in its upper triangle."""
    a, b = np.triu_indices(n)
    found = np.zeros((n, n), np.int64)
    found[a, b] = found[b, a] = np.arange(len(a))
    return found
