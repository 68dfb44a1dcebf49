"""Wrong rules, planted one at a time: jitad.check must see every one of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special

from jitad.ir.primitive import registry
from jitad.primitives.matrices import linalg
from jitad.primitives.scalar.elementwise import gate
from jitad.testing import CheckError, check
from jitad.transforms.derivatives import (
    accumulate,
    eliminate,
    entries,
    linearized,
    products,
)
from jitad.transforms.scalars import scalarize, simplify
from tests.support.planting import (
    EVALUATE,
    EXPAND,
    PARTIALS,
    Change,
    Function,
    Planter,
    expansion,
    meaning,
    planted,
    replaced,
    rule,
    scaled,
    swapped,
    word,
)

X = np.array([0.5, 2.0, -1.25])
Y = np.array([1.5, -0.75, 0.25])
P = np.array([0.5, 2.0, 1.25])
M = np.array([[2.0, 0.5], [0.25, 1.5]])


# -- functions to plant in -----------------------------------------------------


def two(name: str) -> Function:
    f = getattr(np, name, None) or getattr(scipy.special, name)
    return lambda x, y: f(x, y)


def one(name: str) -> Function:
    f = getattr(np, name, None) or getattr(scipy.special, name)
    return lambda x: f(x)


def product(x: Any, y: Any) -> Any:
    return x * y


def mixed(x: Any) -> Any:
    """Sums, products, shared subexpressions and several outputs."""
    s = np.sin(x[0] * x[1]) + x[2]
    return np.stack([s * x[0] - x[1], s * s / x[1], x[2] * np.exp(x[0]) + s])


def branches(x: Any) -> Any:
    return np.where(x > 0, np.log(x), -x) * np.where(x < 1, x, np.sqrt(x))


# -- the plants ----------------------------------------------------------------

Row = tuple[Change, Function, tuple[Any, ...]]

RULES: dict[str, Row] = {
    "sin: a sign": (rule("sin", lambda y, x: [-np.cos(x)]), one("sin"), (X,)),
    "cos: no sign": (rule("cos", lambda y, x: [np.sin(x)]), one("cos"), (X,)),
    "exp: 1.001": (scaled("exp", 1.001), one("exp"), (X,)),
    "log: 0.999": (scaled("log", 0.999), one("log"), (P,)),
    "tanh: 1 - y": (rule("tanh", lambda y, x: [1 - y]), one("tanh"), (X,)),
    "sqrt: 2 y": (rule("sqrt", lambda y, x: [2 * y]), one("sqrt"), (P,)),
    "arcsin: no root": (
        rule("arcsin", lambda y, x: [1 / (1 - x * x)]),
        one("arcsin"),
        (0.5 * Y,),
    ),
    "erf: e^-x": (
        rule("erf", lambda y, x: [1.1283791670955126 * np.exp(-np.abs(x))]),
        one("erf"),
        (X,),
    ),
    "expit: y": (rule("expit", lambda y, x: [y]), one("expit"), (X,)),
    "gammaln: shifted": (
        rule("gammaln", lambda y, x: [scipy.special.digamma(x + 1)]),
        one("gammaln"),
        (P + 1,),
    ),
    "abs: always 1": (rule("abs", lambda y, x: [1.0]), one("abs"), (X,)),
    "neg: 1": (rule("neg", lambda y, x: [1.0]), lambda x: -np.sin(x), (X,)),
    "sub: both 1": (rule("sub", lambda y, a, b: [1.0, 1.0]), two("subtract"), (X, Y)),
    "mul: swapped": (rule("mul", lambda y, a, b: [a, b]), product, (X, Y)),
    "mul: one missing": (rule("mul", lambda y, a, b: [b, None]), product, (X, Y)),
    "div: swapped": (swapped("div"), two("divide"), (X, Y)),
    "div: no sign": (scaled("div", -1, 1), two("divide"), (X, Y)),
    "pow: no log": (
        rule("pow", lambda y, a, b: [b * np.power(a, b - 1.0), y]),
        two("power"),
        (P, Y),
    ),
    "pow: exponent kept": (
        rule("pow", lambda y, a, b: [b * np.power(a, b), np.log(a) * y]),
        two("power"),
        (P, Y),
    ),
    "arctan2: swapped": (swapped("arctan2"), two("arctan2"), (X, Y)),
    "arctan2: sign": (scaled("arctan2", -1, 1), two("arctan2"), (X, Y)),
    "hypot: not divided": (rule("hypot", lambda y, a, b: [a, b]), two("hypot"), (X, Y)),
    "maximum: stale mask": (
        rule("maximum", lambda y, a, b: [gate(a < b, 1.0), gate(b < a, 1.0)]),
        two("maximum"),
        (X, Y),
    ),
    "maximum: tie not averaged": (
        rule("maximum", lambda y, a, b: [gate(a >= b, 1.0), gate(b > a, 1.0)]),
        two("maximum"),
        (X, X),
    ),
    "minimum: tie counted twice": (
        rule("minimum", lambda y, a, b: [gate(a <= b, 1.0), gate(b <= a, 1.0)]),
        two("minimum"),
        (X, X),
    ),
    "max: tie not averaged": (
        rule("max_of", lambda y, *xs: [gate(x == y, 1.0) for x in xs]),
        lambda x: np.max(x),
        (np.array([2.0, 2.0, 1.0]),),
    ),
    "norm: not divided": (
        rule("norm_of", lambda y, *xs: list(xs)),
        lambda x: np.linalg.norm(x),
        (X,),
    ),
    "where: swapped": (
        rule("select", lambda y, c, a, b: [None, gate(~c, 1.0), gate(c, 1.0)]),
        lambda x: np.where(x > 0, x * x, 3.0 * x),
        (X,),
    ),
    "logaddexp: swapped": (swapped("logaddexp"), two("logaddexp"), (X, Y)),
    "mod: no quotient": (
        rule("fmod", lambda y, a, b: [1.0, 0.0]),
        two("fmod"),
        (np.array([5.3, -7.1, 3.4]), np.array([0.7, 1.9, 1.3])),
    ),
    "cast: 2": (
        rule("cast", lambda y, x: [2.0]),
        lambda x: 2.0 * x.astype(np.float32) + x,
        (X,),
    ),
    "undefined everywhere": (
        rule("undefined_where", lambda y, c, v, x: [None, None, 0.5]),
        lambda x: np.median(x),
        (X,),
    ),
}

MEANINGS: dict[str, Row] = {
    "sum: a row dropped": (
        expansion("sum", lambda x, axis: EXPAND["sum"](x[:-1], axis=axis)),
        lambda x: np.sum(x),
        (X,),
    ),
    "prod: a sum": (
        expansion("prod", lambda x, axis: EXPAND["sum"](x, axis=axis)),
        lambda x: np.prod(x),
        (X,),
    ),
    "cumsum: backwards": (
        expansion("cumsum", lambda x, axis: EXPAND["cumsum"](x[::-1], axis=axis)),
        lambda x: np.cumsum(x),
        (X,),
    ),
    "matmul: transposed": (
        expansion("matmul", lambda a, b: EXPAND["matmul"](a.T, b)),
        lambda a, b: a @ b,
        (M, M + 1),
    ),
    "det: a sign": (
        expansion("det", lambda a: -EXPAND["det"](a)),
        lambda a: np.linalg.det(a),
        (M,),
    ),
    "sort: descending": (
        expansion("sort", lambda x, axis: EXPAND["sort"](x, axis=axis)[::-1]),
        lambda x: np.sort(x),
        (X,),
    ),
    "max: the minimum": (
        expansion("max", lambda x, axis: EXPAND["min"](x, axis=axis)),
        lambda x: np.max(x),
        (X,),
    ),
    "expit: doubled": (
        expansion("expit", lambda x: 2.0 * EXPAND["expit"](x)),
        one("expit"),
        (X,),
    ),
    "transpose: not": (
        meaning("transpose", lambda x, call: x),
        lambda a: np.transpose(a) * a,
        (M,),
    ),
    "roll: by one more": (
        meaning("roll", lambda x, call: np.roll(EVALUATE["roll"](x, call=call), 1)),
        lambda x: np.roll(x, 1) * x,
        (X,),
    ),
    "index: reversed": (
        meaning("getitem", lambda x, call: EVALUATE["getitem"](x[::-1], call=call)),
        lambda x: x[0] * x[1],
        (X,),
    ),
    "write: one further": (
        meaning(
            "put",
            lambda b, v, positions: EVALUATE["put"](
                b, v, positions=(positions.array() + 1) % b.size
            ),
        ),
        lambda x: _written(x),
        (X,),
    ),
    "concatenate: other order": (
        meaning(
            "concatenate",
            lambda *xs, call: EVALUATE["concatenate"](*xs[::-1], call=call),
        ),
        lambda x, y: np.concatenate([x, y]),
        (X, Y),
    ),
    "inv: a row of zeros": (
        replaced(
            linalg,
            "_solve_values",
            lambda f: lambda a, b: [[v * 0.0 for v in f(a, b)[0]], *f(a, b)[1:]],
        ),
        lambda a: np.linalg.inv(a),
        (M,),
    ),
    "sin: the word for cos": (word("sin", "cos"), one("sin"), (X,)),
    "add: the word for sub": (word("add", "sub"), lambda x, y: x + y, (X, Y)),
    "gt: the word for lt": (word("gt", "lt"), branches, (P,)),
}


def _written(x: Any) -> Any:
    y = x.copy()
    y[1] = x[0] * x[2]
    return y * x


def without(f: Function) -> Function:
    """Addition that forgets its first operand."""
    return lambda target, a, b: b


def simplified(name: str, change: Function) -> Change:
    """Another simplification of an operation."""

    def put(p: Planter) -> None:
        rules = dict(simplify._RULES)
        rules[name] = change(rules[name])
        p.put(simplify, "_RULES", rules)

    return put


def method(mode: str, function: Function) -> Change:
    """Another order of accumulation under the name of one."""
    methods = {**entries.METHODS, mode: function}
    return lambda p: p.put(accumulate, "METHODS", methods)


def to_operand(k: int) -> Any:
    return lambda f: lambda builder, operands, values, type: operands[k]


TRANSFORMS: dict[str, Row] = {
    "a sum of derivatives drops a term": (
        replaced(products, "add", without),
        mixed,
        (X,),
    ),
    "a product of derivatives drops a factor": (
        replaced(products, "multiply", lambda f: lambda target, p, t: t),
        mixed,
        (X,),
    ),
    "forward: no last column": (
        method(
            "forward",
            lambda line, rows, columns, *by: {
                k: v
                for k, v in entries._forward(line, rows, columns, *by).items()
                if k[1] < 2
            },
        ),
        mixed,
        (X,),
    ),
    "forward: inputs in reverse": (
        method(
            "forward",
            lambda line, rows, columns, *by: entries._forward(
                line, rows, columns[::-1], *by
            ),
        ),
        mixed,
        (X,),
    ),
    "reverse: outputs in reverse": (
        method(
            "reverse",
            lambda line, rows, columns, *by: entries._reverse(
                line, rows[::-1], columns, *by
            ),
        ),
        mixed,
        (X,),
    ),
    "cross: one vertex is left": (
        replaced(eliminate, "_inner", lambda f: lambda *a: f(*a)[:-1]),
        mixed,
        (X,),
    ),
    "the Jacobian is transposed": (
        replaced(
            accumulate,
            "_assemble",
            lambda f: (
                lambda line, wrt, of, entries, value: f(
                    line, wrt, of, {(c, r): v for (r, c), v in entries.items()}, value
                )
            ),
        ),
        mixed,
        (X,),
    ),
    "entries one column further": (
        replaced(
            accumulate,
            "_assemble",
            lambda f: (
                lambda line, wrt, of, entries, value: f(
                    line,
                    wrt,
                    of,
                    {(r, c + 1): v for (r, c), v in entries.items()},
                    value,
                )
            ),
        ),
        mixed,
        (X,),
    ),
    "the second use of an operand is forgotten": (
        replaced(
            linearized,
            "_edges",
            lambda f: (
                lambda target, v, active: tuple(
                    (a, p) for a, p in f(target, v, active)[:1]
                )
            ),
        ),
        mixed,
        (X,),
    ),
    "small partials are zeros": (
        replaced(
            linearized,
            "_nonzero",
            lambda f: lambda value: value is None or abs(value) > 1,
        ),
        lambda x: 0.5 * x + np.sin(x),
        (X,),
    ),
    "x - y is y - x": (
        simplified(
            "add",
            lambda f: (
                lambda b, o, v, t: b.add(registry.primitives["sub"], (o[0], o[1]), t)
            ),
        ),
        lambda x, y: x + y * x,
        (X, Y),
    ),
    "x * 0 is x": (
        simplified("mul", lambda f: lambda b, o, v, t: o[0] if v[1] == 0 else None),
        lambda x: x * 0.0 + np.sin(x),
        (X,),
    ),
    "-x is x": (simplified("neg", to_operand(0)), lambda x: -np.cos(x), (X,)),
    "x / 4 is x * 4": (
        simplified(
            "div",
            lambda f: (
                lambda b, o, v, t: (
                    None if v[1] is None else b.add(registry.primitives["mul"], o, t)
                )
            ),
        ),
        lambda x: np.sin(x) / 4.0,
        (X,),
    ),
    "both branches are the first": (
        simplified("select", to_operand(1)),
        lambda x: np.where(x > 0, x * x, 3.0 * x),
        (X,),
    ),
    "a dropped broadcast": (
        replaced(
            scalarize,
            "_elementwise",
            lambda f: (
                lambda target, node, operands: f(
                    target, node, [_first_everywhere(o) for o in operands]
                )
            ),
        ),
        lambda a, x: a * x[:2, None],
        (M, X),
    ),
    "elements in Fortran order": (
        replaced(
            scalarize, "elements", lambda f: lambda target, i: _fortran(f(target, i))
        ),
        lambda a: a[0] * a[1, 0],
        (M,),
    ),
}


def _first_everywhere(ids: np.ndarray) -> np.ndarray:
    return (
        np.full_like(ids, ids.flat[0]) if ids.ndim == 2 and ids.shape[1] == 1 else ids
    )


def _fortran(ids: np.ndarray) -> np.ndarray:
    return ids.reshape(ids.shape[::-1]).T


PLANTS = {**RULES, **MEANINGS, **TRANSFORMS}


def test_there_are_enough() -> None:
    assert len(PLANTS) >= 40


# One plant of each function.
FUNCTIONS = {(f, *map(id, args)): name for name, (_, f, args) in PLANTS.items()}


@pytest.mark.parametrize("name", sorted(FUNCTIONS.values()))
def test_the_function_itself_is_right(name: str) -> None:
    _, f, args = PLANTS[name]
    assert check(f, *args).passed


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_caught(name: str) -> None:
    change, f, args = PLANTS[name]
    with planted(change), pytest.raises(CheckError):
        check(f, *args)


@pytest.mark.parametrize("x", [9.3, 0.1, -33.7])
def test_steps_are_no_whole_periods(x: float) -> None:
    assert check(lambda x: np.sin(2 * np.pi * x), x).passed


def test_planting_leaves_no_trace() -> None:
    for name, primitive in registry.primitives.items():
        assert primitive.partials is PARTIALS[name]
        assert primitive.expand is EXPAND[name]
        assert primitive.evaluate is EVALUATE[name]
    assert check(mixed, X).passed
