"""A function at a point, as NumPy computes it, and numbers that are compared there."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from jitad import tree
from jitad.api import jit
from jitad.calls.arrays import copied
from jitad.calls.function import Function
from jitad.calls.names import argument_names, original, result_names
from jitad.errors import InputError
from jitad.ir.graph import FLOATS
from jitad.ir.interpret import interpret
from jitad.ir.trace import trace
from jitad.ir.tracer import traced

from .report import Comparison

# Errors may be this many times what was estimated from samples.
ALLOWANCE = 8
# A number is decided if the error allowed is no larger a part of it.
DECIDED = 1e-3


class Point:
    """A function at a point: x and y as flat vectors; y is NumPy's own."""

    def __init__(
        self,
        f: Callable[..., Any],
        args: Sequence[Any],
        argnums: int | Sequence[int] | None,
    ) -> None:
        self.f = self.by_numpy = f
        self.full = f.full() if isinstance(f, Function) else f
        self.args = tuple(args)
        self.argnums = _argnums(args, argnums)
        self.leaves, self.spec = tree.flatten(tuple([args[i] for i in self.argnums]))
        self.x = flat(self.leaves)
        try:
            self.results, self.result = tree.flatten(self.at(self.leaves))
        except np.linalg.LinAlgError as error:
            error.add_note(
                "jitad raises this, too, where it computes one point; in a batch the "
                "results of such a point are NaN, and no error is raised."
            )
            raise
        self.by_numpy = _by_rule(f, args)
        if self.by_numpy is not f:
            self.results = tree.flatten(self.at(self.leaves))[0]
        self.y = flat(self.results)
        self.dtypes = {np.asarray(y).dtype for y in (*self.results, *self.leaves)}
        self.unit = unit(self.dtypes)

    def at(self, leaves: Sequence[Any]) -> Any:
        """What f returns by NumPy, with other values for what is differentiated in.

        It may write to its arguments: they are copies.
        """
        args = list(self.args)
        chosen = tree.unflatten(self.spec, list(leaves))
        for i, arg in zip(self.argnums, chosen, strict=True):
            args[i] = arg
        args = tree.transform(copied, args)
        with np.errstate(all="ignore"):
            return (self.full if traced(args) else self.by_numpy)(*args)

    def moved(self, x: np.ndarray) -> np.ndarray:
        """Flat results of f at a flat x; NaN where NumPy's linear algebra refuses."""
        try:
            return flat(tree.flatten(self.at(self.unflat(x)))[0])
        except np.linalg.LinAlgError:
            return np.full_like(self.y, np.nan)

    def unflat(self, x: np.ndarray) -> list[np.ndarray]:
        """A flat vector as the leaves of what is differentiated in."""
        return split(x, self.leaves)

    def result_name(self, i: int) -> str:
        """What number i of the flat results is called."""
        return place(i, result_names(self.result), self.results)

    def input_name(self, j: int) -> str:
        """What number j of the flat inputs is called."""
        leaves, spec = tree.flatten(self.args)
        numbered = tree.unflatten(spec, list(range(len(leaves))))
        picked = tree.flatten(tuple([numbered[i] for i in self.argnums]))[0]
        names = argument_names(original(self.f), self.args, {})
        return place(j, [names[k] for k in picked], self.leaves)


def _by_rule(f: Callable[..., Any], args: Sequence[Any]) -> Callable[..., Any]:
    """f; or its trace by NumPy, where signs that LAPACK leaves open follow a rule.

    See `np.linalg.eigh` in jitad.
    """
    if isinstance(f, Function):
        return f
    leaves, spec = tree.flatten((tuple(args), {}))
    inputs = jit(f).point(spec, leaves)[2]
    found = trace(f, spec, inputs)
    if "eigenvectors" not in found.graph.text:
        return f

    def by_numpy(*args: Any) -> Any:
        leaves = tree.flatten((args, {}))[0]
        results = interpret(found.graph, [np.asarray(x) for x in leaves])
        return tree.unflatten(found.result, results)

    return by_numpy


def _argnums(
    args: Sequence[Any], argnums: int | Sequence[int] | None
) -> tuple[int, ...]:
    if isinstance(argnums, int):
        return (argnums,)
    if argnums is not None:
        return tuple(argnums)
    found = tuple(
        i
        for i, arg in enumerate(args)
        if all(np.asarray(x).dtype in FLOATS for x in tree.flatten(arg)[0])
    )
    if not found:
        types = ", ".join(type(arg).__name__ for arg in args) or "none"
        raise InputError(
            "check expected at least one floating-point argument to differentiate in, "
            f"got arguments of type {types}; pass floats"
        )
    return found


def place(k: int, names: Sequence[str], leaves: Sequence[Any]) -> str:
    """What number k of all the leaves' elements is called: point[0], scale …"""
    for name, leaf in zip(names, leaves, strict=True):
        if k < np.size(leaf):
            index = np.unravel_index(k, np.shape(leaf))
            inside = ",".join(str(int(i)) for i in index)
            return f"{name}[{inside}]" if inside else name
        k -= np.size(leaf)
    raise AssertionError("as many names as leaves")


# -- numbers -------------------------------------------------------------------


def unit(dtypes: Collection[np.dtype]) -> float:
    """The unit of the last place of the shortest of some floats."""
    return max(float(np.finfo(d).eps) for d in dtypes if d.kind == "f")


def compare(
    what: str,
    how: str,
    got: np.ndarray,
    expected: np.ndarray,
    allowed: np.ndarray,
    name: Callable[[int], str],
    size: np.ndarray | None = None,
    lost: np.ndarray | bool = False,
) -> Comparison:
    """A Comparison; got may have more leading axes, allowed = inf leaves it open.

    size is what a zero is small against; nothing by default.  lost tells where the
    value itself is NaN: what is not finite there is not checked.
    """
    with np.errstate(all="ignore"):
        alike = (got == expected) | (np.isnan(got) & np.isnan(expected))
        error = np.where(alike, 0.0, np.abs(got - expected))
        error = np.where(np.isnan(error), np.inf, error)
        closed = np.broadcast_to(np.isfinite(allowed), error.shape)
        finite = np.broadcast_to(np.isfinite(expected), error.shape) & closed
        large = np.maximum(np.abs(expected), np.abs(got))
        if size is not None:
            large = np.where(large <= allowed, size, large)
        decided = finite & (allowed <= DECIDED * large)
        ratio = np.where(error == 0, 0.0, error / allowed)
    wrong = np.where(finite, error > allowed, closed & ~alike)
    missed = ~finite & ~wrong & np.broadcast_to(lost, error.shape)
    special = closed & ~finite & ~missed
    failure = ""
    if wrong.any():
        index = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        within = np.ravel_multi_index(index[-expected.ndim :], expected.shape)
        want, most = expected.flat[within], allowed.flat[within]
        failure = (
            f"expected {want:.17g} ± {most:.2g} for {name(int(within))}, got "
            f"{got[index]:.17g}; {int(wrong.sum())} of {wrong.size} differ"
        )
    return Comparison(
        what=what,
        how=how,
        compared=int(decided.sum()),
        special=int(special.sum()),
        unchecked=int(missed.sum()),
        undecided=int((~decided & ~special & ~missed).sum()),
        ratio=float(ratio[decided].max(initial=0.0)),
        failure=failure,
    )


def allowed_error(spread: np.ndarray, value: np.ndarray, unit: float) -> np.ndarray:
    """The errors that values may have, of which samples have a spread."""
    size = np.where(np.isfinite(value), np.abs(value), 0.0)
    return ALLOWANCE * (spread + unit * size)


def flat(leaves: Sequence[Any], lead: int = 0) -> np.ndarray:
    """Arrays as one array in double precision, all but leading axes flattened."""
    parts = [
        np.reshape(x, (*np.shape(x)[:lead], math.prod(np.shape(x)[lead:])))
        for x in leaves
    ]
    return np.concatenate(parts, axis=-1, dtype=np.float64)


def split(x: np.ndarray, like: Sequence[Any]) -> list[np.ndarray]:
    """The inverse of flat, in the shapes and dtypes of `like`."""
    stops = np.cumsum([np.size(leaf) for leaf in like])[:-1]
    return [
        part.reshape((*x.shape[:-1], *np.shape(leaf))).astype(np.asarray(leaf).dtype)[
            ()
        ]
        for part, leaf in zip(np.split(x, stops, axis=-1), like, strict=True)
    ]


def scales(x: np.ndarray) -> np.ndarray:
    """Powers of two about as large as numbers, so that x + v/2ᵏ is exact, or nearly so.

    Of zeros, and of what is not finite, as large as the others.
    """
    usable = np.isfinite(x) & (x != 0)
    typical = float(np.median(np.abs(x[usable]))) if usable.any() else 1.0
    return 2.0 ** np.floor(np.log2(np.where(usable, np.abs(x), typical)))
