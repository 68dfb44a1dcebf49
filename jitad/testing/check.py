"""`check`: every way to compute derivatives against every other, at a point.

A Case is a function at a point with its reference value and Jacobian and the errors
that rounding may make; the generators below it each compute something in one more way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np

from jitad import tree
from jitad.api import jacobian, jit, vmap
from jitad.calls.arrays import copied
from jitad.calls.function import Function
from jitad.calls.names import argument_names, original, result_names
from jitad.calls.where import where
from jitad.directions import jvp, vjp
from jitad.errors import InputError
from jitad.ir.graph import FLOATS
from jitad.ir.interpret import interpret
from jitad.ir.trace import trace
from jitad.ir.tracer import traced

from .differences import derivative
from .kinks import corners
from .report import DIFFERENCES, CheckError, Comparison, Report
from .rounding import spread

_MODES = ("forward", "reverse", "cross")
# What else f was told, as a card, holds where it is compiled.
_INTERPRETED: dict[str, Any] = {"backend": "numpy", "device": "cpu"}
_COMPILED: dict[str, Any] = {"backend": "cpu"}
_LANES = 11
# Errors may be this many times what was estimated from samples.
_ALLOWANCE = 8
# A number is decided if the error allowed is no larger a part of it.
_DECIDED = 1e-3
# More inputs or results than this are probed along random directions instead.
_UNITS = 64
_DIRECTIONS = 16


def check(
    f: Callable[..., Any],
    *args: Any,
    argnums: int | Sequence[int] | None = None,
    differences: bool = True,
) -> Report:
    """All modes and back ends against each other and finite differences, at args.

    Compared are f's value by NumPy itself, interpreted, compiled, and compiled for a
    batch; its Jacobian by forward, reverse and cross-country accumulation, each in the
    same ways; tangents and cotangents pushed and pulled; and extrapolated central
    differences of f as NumPy computes it.  NaN and infinities must be in the same
    places, and no derivative NaN where f and its differences are finite; where f itself
    is NaN nothing is checked.  check(jitad.grad(f), x) checks second derivatives.
    The report notes, without failing, that args lie on a kink, or that floats that are
    compared by == are equal there, with the lines.

    argnums      the arguments to differentiate in; by default all that are floats
    differences  False where they would be wrong, as below stop_gradient

    Raises CheckError, an AssertionError, where anything differs or nothing is finite.
    """
    case = Case(f, args, argnums)
    found = [*_values(case), *_jacobians(case), *_products(case)]
    if differences:
        found.append(_differences(case))
    name = getattr(f, "__name__", repr(f))
    report = Report(name, case.x.size, case.y.size, tuple(found), case.notes)
    if not report.passed:
        raise CheckError(report)
    return report


def check_primitive(function: Any) -> list[Report]:
    """`check` of a function that `jitad.primitive` made, at each of its points.

    Raises CheckError as check does, and InputError where there are no points.
    """
    if not function.points:
        raise InputError(
            f"check_primitive: {function.__name__} has no points; expected some: "
            "jitad.primitive(…, points=[0.5, …])"
        )
    return [check(function, *point) for point in function.points]


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


class Case:
    """A function at a point: x and y as flat vectors, and the Jacobian as a matrix.

    y is NumPy's own, the Jacobian by forward accumulation and the interpreter;
    y_spread and jacobian_spread are what rounding can do to them, in any mode, and
    notes what to know of the point.
    """

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
        interpreted = jit(f, **_INTERPRETED)
        self.notes = corners(f, self.args, self.argnums)
        # Where loops meet kinks, rounding in them would decide for one side.
        loops = not self.notes
        self.y_spread = flat(spread(interpreted, *args, loops=loops))
        made = [jacobian(f, self.argnums, mode=m, **_INTERPRETED) for m in _MODES]
        self.jacobian = self.matrix(made[0](*args))
        spreads = [self.matrix(spread(j, *args, loops=loops)) for j in made]
        self.jacobian_spread = np.max(spreads, axis=0)
        dtypes = {np.asarray(y).dtype for y in (*self.results, *self.leaves)}
        self.unit = _unit(dtypes)
        # Numbers inside f may be shorter, which shows in its differences.
        nodes = interpreted.prepare(*args).derived.graph.nodes
        self.coarsest = _unit(dtypes | {node.type.dtype for node in nodes})

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

    def matrix(self, blocks: Any) -> np.ndarray:
        """∂(each result)/∂(each input) as one matrix, leading axes kept."""
        blocks = tree.flatten(blocks)[0]
        columns, rows = len(self.leaves), []
        for i, y in enumerate(self.results):
            row = blocks[i * columns : (i + 1) * columns]
            shaped = []
            for block, x in zip(row, self.leaves, strict=True):
                lead = np.shape(block)[: np.ndim(block) - np.ndim(y) - np.ndim(x)]
                shaped.append(np.reshape(block, (*lead, np.size(y), np.size(x))))
            rows.append(np.concatenate(shaped, axis=-1))
        return np.concatenate(rows, axis=-2)

    def batch(self) -> list[Any]:
        """The arguments, repeated along a leading batch axis."""
        leaves, spec = tree.flatten(list(self.args))
        return tree.unflatten(spec, [np.stack([x] * _LANES) for x in leaves])

    def result_name(self, i: int) -> str:
        """What number i of the flat results is called."""
        return _place(i, result_names(self.result), self.results)

    def input_name(self, j: int) -> str:
        """What number j of the flat inputs is called."""
        leaves, spec = tree.flatten(self.args)
        numbered = tree.unflatten(spec, list(range(len(leaves))))
        picked = tree.flatten(tuple([numbered[i] for i in self.argnums]))[0]
        names = argument_names(original(self.f), self.args, {})
        return _place(j, [names[k] for k in picked], self.leaves)


# -- the comparisons -----------------------------------------------------------


def _values(case: Case) -> Iterator[Comparison]:
    allowed = _allowed(case.y_spread, case.y, case.unit)

    def compared(how: str, value: Any) -> Comparison:
        lead = 1 if "batch" in how else 0
        got = flat(tree.flatten(value)[0], lead)
        return _compare("value", how, got, case.y, allowed, case.result_name)

    yield compared("interpreted", jit(case.f, **_INTERPRETED)(*case.args))
    yield compared("compiled", jit(case.f, **_COMPILED)(*case.args))
    batched = vmap(case.f, **_COMPILED)
    yield compared("compiled, batch", batched(*case.batch()))


def _jacobians(case: Case) -> Iterator[Comparison]:
    allowed = _allowed(case.jacobian_spread, case.jacobian, case.unit)
    width = case.x.size

    def name(k: int) -> str:
        return f"∂{case.result_name(k // width)}/∂{case.input_name(k % width)}"

    def compared(how: str, blocks: Any) -> Comparison:
        got = case.matrix(blocks)
        lost = np.isnan(case.y)[:, None]
        return _compare("Jacobian", how, got, case.jacobian, allowed, name, lost=lost)

    for mode in _MODES:
        compiled = jacobian(case.f, case.argnums, mode=mode, **_COMPILED)
        if mode != "forward":
            interpreted = jit(compiled, **_INTERPRETED)
            yield compared(f"{mode}, interpreted", interpreted(*case.args))
        yield compared(f"{mode}, compiled", compiled(*case.args))
        yield compared(f"{mode}, compiled, batch", vmap(compiled)(*case.batch()))


def _products(case: Case) -> Iterator[Comparison]:
    """K tangents and K cotangents at once, where infinities do not spoil them all."""

    def results(*leaves: Any) -> Any:
        return tree.flatten(case.at(leaves))[0]

    f = jit(results).at(where("check", case.f, **_COMPILED))

    def result(k: int) -> str:
        return f"{case.result_name(k % case.y.size)} along tangent {k // case.y.size}"

    def argument(k: int) -> str:
        name = case.input_name(k % case.x.size)
        return f"{name} of cotangent {k // case.x.size}"

    allowed = _allowed(case.jacobian_spread, case.jacobian, case.unit)
    finite = np.isfinite(case.jacobian)
    if finite.all(axis=1).any():
        v = directions(case.x)
        _, pushed = jvp(f, case.leaves, split(v, case.leaves))
        want, most = _product(v, case.jacobian.T, allowed.T)
        yield _compare("J v", "compiled", flat(pushed, 1), want, most, result)
    if finite.all(axis=0).any():
        u = directions(case.y)
        _, pull = vjp(f, *case.leaves)
        pulled = pull(split(u, case.results))
        want, most = _product(u, case.jacobian, allowed)
        yield _compare("Jᵀ u", "compiled", flat(pulled, 1), want, most, argument)


def _differences(case: Case) -> Comparison:
    """Derivatives along directions; one that is not finite must have no differences."""
    vectors = directions(case.x)
    allowed = _allowed(case.jacobian_spread, case.jacobian, case.unit)
    want, most = _product(vectors, case.jacobian.T, allowed.T, strong=True)
    rough = np.where(np.isfinite(case.y_spread), case.y_spread, 0.0)
    found = [derivative(case.moved, case.x, v, case.coarsest, rough) for v in vectors]
    got, error, size = (np.stack(part) for part in zip(*found, strict=True))
    error = _ALLOWANCE * error
    clear = np.isfinite(got) & (error <= _DECIDED * np.maximum(np.abs(got), size))
    refuted = ~np.isfinite(want) & clear & np.isfinite(case.y)
    most = np.where(refuted, 0.0, most) + error
    single = len(vectors) == case.x.size

    def name(k: int) -> str:
        direction, i = divmod(k, case.y.size)
        along = case.input_name(direction) if single else f"direction {direction}"
        scale = f"{vectors[direction][direction]:g} · " if single else ""
        return f"{scale}∂{case.result_name(i)}/∂{along}"

    return _compare("J v", DIFFERENCES, want, got, most, name, size, np.isnan(case.y))


# -- numbers -------------------------------------------------------------------


def _unit(dtypes: Collection[np.dtype]) -> float:
    """The unit of the last place of the shortest of some floats."""
    return max(float(np.finfo(d).eps) for d in dtypes if d.kind == "f")


def _compare(
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
        decided = finite & (allowed <= _DECIDED * large)
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


def _allowed(spread: np.ndarray, value: np.ndarray, unit: float) -> np.ndarray:
    size = np.where(np.isfinite(value), np.abs(value), 0.0)
    return _ALLOWANCE * (spread + unit * size)


def _product(
    vectors: np.ndarray, matrix: np.ndarray, allowed: np.ndarray, strong: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The product vectors @ matrix and its error, inf where it is not finite.

    strong: zeros in vectors hide infinities of the matrix.
    """
    with np.errstate(all="ignore"):
        terms = vectors[:, :, None] * matrix
        most = np.abs(vectors)[:, :, None] * allowed
        if strong:
            hidden = vectors[:, :, None] == 0
            terms, most = np.where(hidden, 0.0, terms), np.where(hidden, 0.0, most)
        product, error = terms.sum(axis=1), most.sum(axis=1)
    return product, np.where(np.isfinite(product), error, np.inf)


def directions(x: np.ndarray) -> np.ndarray:
    """Vectors of x's size: one along each axis, or some random ones if x is long.

    Their entries are powers of two, so that x + v/2ᵏ is exact, or nearly so.
    """
    usable = np.isfinite(x) & (x != 0)
    typical = float(np.median(np.abs(x[usable]))) if usable.any() else 1.0
    scale = 2.0 ** np.floor(np.log2(np.where(usable, np.abs(x), typical)))
    if x.size <= _UNITS:
        return np.diag(scale)
    rng = np.random.default_rng(0)
    return rng.choice([-1.0, 1.0], (_DIRECTIONS, x.size)) * scale


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


def _place(k: int, names: Sequence[str], leaves: Sequence[Any]) -> str:
    """What number k of all the leaves' elements is called: point[0], scale …"""
    for name, leaf in zip(names, leaves, strict=True):
        if k < np.size(leaf):
            index = np.unravel_index(k, np.shape(leaf))
            inside = ",".join(str(int(i)) for i in index)
            return f"{name}[{inside}]" if inside else name
        k -= np.size(leaf)
    raise AssertionError("as many names as leaves")
