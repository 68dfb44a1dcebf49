"""How far rounding can have taken each result of a scalar graph, at a point.

Every operation is done again at the ends of its operands' intervals, so a bound follows
the conditioning of this very computation (running error analysis, Wilkinson 1986), and
is infinite where rounding decides a comparison.  Nothing that a primitive says of its
derivative is used: the bounds judge derivatives, too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from jitad import primitives
from jitad.ir.graph import CONST, ELEMENT, INPUT, PACK, Graph, Node
from jitad.transforms.rewrite.expand import expand

assert primitives

# Words whose result is exact whenever their operands are.
EXACT = {
    "neg", "abs", "select", "gate", "copysign", "floor", "ceil", "trunc", "rint",
    "factor_gate",
    "maximum", "minimum", "fmax", "fmin", "fmod", "nextafter", "and", "or", "xor",
    "not", "lt", "le", "gt", "ge", "eq", "ne", "isnan", "isinf", "isfinite", "signbit",
    "left_shift", "right_shift",
}  # fmt: skip
# Units of the last place that one result may be off: at most one of arithmetic, else
# eight, more where functions are hard; two machines may differ by twice that.
ONE = {"add", "sub", "mul", "div", "sqrt", "cast", "fma"}
OTHER = 8.0
# Of a constant that may be what a constant expression came to.
FOLDED = 64.0
HARD = {"lgamma": 32.0, "digamma": 32.0, "zeta": 64.0, "erfinv": 32.0, "pow": 16.0}


Places = Callable[[str | None, np.dtype], float]


def usual(word: str | None, dtype: np.dtype) -> float:
    """The units of the last place that a word may be off, on any machine."""
    return 1.0 if word in ONE else HARD.get(str(word), OTHER)


def running_error(
    graph: Graph,
    inputs: Sequence[Any],
    batch: int = 0,
    *,
    single: bool = False,
    places: Places = usual,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The outputs of a scalar graph, and bounds on how far rounding takes each.

    places  a word and its dtype -> units of the last place that it may be off
    single  as if all it reads and makes of float64 were rounded to float32
    """
    graph = expand(graph)
    dtypes = {n.type.dtype for n in graph.nodes if n.type.dtype.kind == "f"}
    unit = max([float(np.finfo(d).eps) for d in dtypes], default=0.0)
    values: list[Any] = [None] * len(graph.nodes)
    errors: list[Any] = [None] * len(graph.nodes)
    given = dict(zip(graph.inputs, inputs, strict=True))
    with np.errstate(all="ignore"):
        for i, node in enumerate(graph.nodes):
            if node.primitive is INPUT:
                values[i] = given[i]
                errors[i] = _read(given[i], single)
            elif node.primitive is CONST:
                values[i] = node.value
                errors[i] = _folded(values[i], unit) + _read(values[i], single)
            elif node.primitive in (ELEMENT, PACK):
                for table in (values, errors):
                    table[i] = _moved(node, [table[a] for a in node.operands], batch)
            else:
                found = _operation(node, values, errors, batch, single, places)
                values[i], errors[i] = found
    return [values[i] for i in graph.outputs], [errors[i] for i in graph.outputs]


def _read(value: Any, single: bool) -> Any:
    """The rounding of what is read: none, unless it is to float32."""
    if not single or value.dtype != np.float64:
        return np.zeros(np.shape(value))
    return _one_rounding(value, np.dtype(np.float32))


def _one_rounding(value: Any, dtype: np.dtype) -> Any:
    """How far one unit of the last place in a dtype is, of numbers."""
    limits = np.finfo(dtype)
    size = np.where(np.isfinite(value), np.abs(value, dtype=float), 0.0)
    return limits.eps * size + float(limits.smallest_subnormal)


def _folded(value: Any, unit: float) -> Any:
    """The rounding inside a constant: none if the program spells it out."""
    if value.dtype.kind != "f" or value.dtype.type(f"{value:.6g}") == value:
        return np.float64(0)
    return FOLDED * unit * np.abs(np.float64(value))


def _moved(node: Node, operands: list[Any], batch: int) -> Any:
    """What a node that only moves numbers makes of numbers or of errors."""
    if node.primitive is ELEMENT:
        (x,) = operands
        return x.reshape(*x.shape[:batch], -1)[..., node.index]
    lead = np.broadcast_shapes((1,) * batch, *map(np.shape, operands))
    if not operands:
        return np.zeros((*lead, *node.type.shape), node.type.dtype)
    whole = np.stack([np.broadcast_to(x, lead) for x in operands], axis=-1)
    return whole.reshape(lead + node.type.shape)


def _operation(
    node: Node,
    values: list[Any],
    errors: list[Any],
    batch: int,
    single: bool,
    places: Places,
) -> tuple[Any, Any]:
    primitive, dtype = node.primitive, node.type.dtype
    moving = [a for a in dict.fromkeys(node.operands) if np.any(errors[a])]

    def at(point: dict[int, Any]) -> Any:
        args = [point.get(a, values[a]) for a in node.operands]
        return np.asarray(primitive.evaluate(*args)).astype(dtype)[()]

    value = at({})
    error: Any = np.zeros(np.shape(value))
    if moving:
        signs = _signs(len(moving), batch)
        ends = {
            a: _ends(values[a], errors[a], s)
            for a, s in zip(moving, signs, strict=True)
        }
        apart = _apart(at(ends), value).max(axis=0)
        error = apart.reshape(np.shape(value))
    if (
        dtype.kind == "f"
        and primitive.name not in EXACT
        and primitive.word not in EXACT
    ):
        rounded = np.dtype(np.float32) if single else dtype
        error = error + places(primitive.word, dtype) * _one_rounding(value, rounded)
    return value, error


@cache
def _signs(count: int, batch: int) -> list[np.ndarray]:
    """All signs of so many numbers, along an axis before those of a batch."""
    corners = np.array([*itertools.product((1, -1), repeat=count)]).T
    return [signs.reshape(-1, *(1,) * batch) for signs in corners]


def _apart(end: Any, value: Any) -> Any:
    """How far a result is from a value; infinitely where it is NaN, or another bool."""
    if value.dtype.kind == "b":
        return np.where(end != value, np.inf, 0.0)
    distance = np.abs(np.subtract(end, value, dtype=float))
    distance = np.where(np.isnan(distance), np.inf, distance)
    return np.where((end == value) | np.isnan(value), 0.0, distance)


def _ends(value: Any, error: Any, signs: np.ndarray) -> Any:
    """Ends of an interval; of an undecided bool itself and the other one."""
    value = np.asarray(value)
    if value.dtype.kind == "b":
        return value ^ ((error > 0) & (signs > 0))
    if value.dtype.kind == "i":
        step = np.where(np.isfinite(error), error, 2.0**30)
        return (value + signs * step).astype(value.dtype)
    return (value + signs * error).astype(value.dtype)
