"""`check`: every way to compute derivatives against every other, at a point.

A Case is a function at a point with its reference value and Jacobian and the errors
that rounding may make; the generators below it each compute something in one more way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from jitad import tree
from jitad.api import jacobian, jit, vmap
from jitad.calls.where import where
from jitad.directions import jvp, vjp
from jitad.errors import InputError

from .along import ALONG, along_directions, random
from .differences import derivative
from .kinks import corners
from .point import (
    ALLOWANCE,
    DECIDED,
    Point,
    allowed_error,
    compare,
    flat,
    scales,
    split,
    unit,
)
from .report import DIFFERENCES, CheckError, Comparison, Report
from .rounding import spread

_MODES = ("forward", "reverse", "cross")
# What else f was told, as a card, holds where it is compiled.
_INTERPRETED: dict[str, Any] = {"backend": "numpy", "device": "cpu"}
_COMPILED: dict[str, Any] = {"backend": "cpu"}
_LANES = 11
# With more inputs or results there is no Jacobian, but products with it.
_WHOLE = 512
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
    Of more than 512 inputs or results there is no Jacobian: its products with some
    random vectors are compared, forward with reverse and with differences, and kinks
    are not looked for.

    argnums      the arguments to differentiate in; by default all that are floats
    differences  False where they would be wrong, as below stop_gradient

    Raises CheckError, an AssertionError, where anything differs or nothing is finite.
    """
    point = Point(f, args, argnums)
    if max(point.x.size, point.y.size) > _WHOLE:
        found = along_directions(point, differences=differences)
        notes = (ALONG,)
    else:
        case = Case(point)
        found = [*_values(case), *_jacobians(case), *_products(case)]
        if differences:
            found.append(_differences(case))
        notes = case.notes
    name = getattr(f, "__name__", repr(f))
    report = Report(name, point.x.size, point.y.size, tuple(found), notes)
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


class Case(Point):
    """A point with its Jacobian as a matrix, by forward accumulation and interpreter.

    y_spread and jacobian_spread are what rounding can do to them, in any mode, and
    notes what to know of the point.
    """

    def __init__(self, point: Point) -> None:
        vars(self).update(vars(point))
        f, args = self.f, self.args
        interpreted = jit(f, **_INTERPRETED)
        self.notes = corners(f, self.args, self.argnums)
        # Where loops meet kinks, rounding in them would decide for one side.
        loops = not self.notes
        self.y_spread = flat(spread(interpreted, *args, loops=loops))
        made = [jacobian(f, self.argnums, mode=m, **_INTERPRETED) for m in _MODES]
        self.jacobian = self.matrix(made[0](*args))
        spreads = [self.matrix(spread(j, *args, loops=loops)) for j in made]
        self.jacobian_spread = np.max(spreads, axis=0)
        # Numbers inside f may be shorter, which shows in its differences.
        nodes = interpreted.prepare(*args).derived.graph.nodes
        self.coarsest = unit(self.dtypes | {node.type.dtype for node in nodes})

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


# -- the comparisons -----------------------------------------------------------


def _values(case: Case) -> Iterator[Comparison]:
    allowed = allowed_error(case.y_spread, case.y, case.unit)

    def compared(how: str, value: Any) -> Comparison:
        lead = 1 if "batch" in how else 0
        got = flat(tree.flatten(value)[0], lead)
        return compare("value", how, got, case.y, allowed, case.result_name)

    yield compared("interpreted", jit(case.f, **_INTERPRETED)(*case.args))
    yield compared("compiled", jit(case.f, **_COMPILED)(*case.args))
    batched = vmap(case.f, **_COMPILED)
    yield compared("compiled, batch", batched(*case.batch()))


def _jacobians(case: Case) -> Iterator[Comparison]:
    allowed = allowed_error(case.jacobian_spread, case.jacobian, case.unit)
    width = case.x.size

    def name(k: int) -> str:
        return f"∂{case.result_name(k // width)}/∂{case.input_name(k % width)}"

    def compared(how: str, blocks: Any) -> Comparison:
        got = case.matrix(blocks)
        lost = np.isnan(case.y)[:, None]
        return compare("Jacobian", how, got, case.jacobian, allowed, name, lost=lost)

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

    allowed = allowed_error(case.jacobian_spread, case.jacobian, case.unit)
    finite = np.isfinite(case.jacobian)
    if finite.all(axis=1).any():
        v = directions(case.x)
        _, pushed = jvp(f, case.leaves, split(v, case.leaves))
        want, most = _product(v, case.jacobian.T, allowed.T)
        yield compare("J v", "compiled", flat(pushed, 1), want, most, result)
    if finite.all(axis=0).any():
        u = directions(case.y)
        _, pull = vjp(f, *case.leaves)
        pulled = pull(split(u, case.results))
        want, most = _product(u, case.jacobian, allowed)
        yield compare("Jᵀ u", "compiled", flat(pulled, 1), want, most, argument)


def _differences(case: Case) -> Comparison:
    """Derivatives along directions; one that is not finite must have no differences."""
    vectors = directions(case.x)
    allowed = allowed_error(case.jacobian_spread, case.jacobian, case.unit)
    want, most = _product(vectors, case.jacobian.T, allowed.T, strong=True)
    rough = np.where(np.isfinite(case.y_spread), case.y_spread, 0.0)
    found = [derivative(case.moved, case.x, v, case.coarsest, rough) for v in vectors]
    got, error, size = (np.stack(part) for part in zip(*found, strict=True))
    error = ALLOWANCE * error
    clear = np.isfinite(got) & (error <= DECIDED * np.maximum(np.abs(got), size))
    refuted = ~np.isfinite(want) & clear & np.isfinite(case.y)
    most = np.where(refuted, 0.0, most) + error
    single = len(vectors) == case.x.size

    def name(k: int) -> str:
        direction, i = divmod(k, case.y.size)
        along = case.input_name(direction) if single else f"direction {direction}"
        scale = f"{vectors[direction][direction]:g} · " if single else ""
        return f"{scale}∂{case.result_name(i)}/∂{along}"

    return compare("J v", DIFFERENCES, want, got, most, name, size, np.isnan(case.y))


# -- numbers -------------------------------------------------------------------


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
    """Vectors of x's size: one along each axis, or some random ones if x is long."""
    return np.diag(scales(x)) if x.size <= _UNITS else random(x, _DIRECTIONS)
