"""Simplification: every rule keeps every bit, and does what it is there for."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jitad import primitives
from jitad.ir.graph import ELEMENT, PACK, Builder, Graph, Type, scalar
from jitad.ir.interpret import interpret
from jitad.ir.primitive import Primitive, registry
from jitad.transforms.rewrite import expand
from jitad.transforms.scalars import ranges
from jitad.transforms.scalars import simplify as module
from jitad.transforms.scalars.scalarize import new_builder as simplifying
from jitad.transforms.scalars.scalarize import scalarize
from tests.support import engine

assert primitives

F8, F4, I8, I4, BOOL = (np.dtype(t) for t in ("f8", "f4", "i8", "i4", "?"))
FLOAT_OPS = ("add", "sub", "mul", "div")
INT_OPS = ("add", "sub", "mul")
BOOL_OPS = ("and", "or", "xor")


def specials(dtype: np.dtype) -> list[Any]:
    """Numbers at which an unsound rule shows."""
    if dtype == BOOL:
        return [np.False_, np.True_]
    if dtype.kind == "i":
        ends = np.iinfo(dtype)
        return [dtype.type(v) for v in (0, 1, -1, 2, -3, ends.min, ends.max)]
    ends = np.finfo(dtype)
    numbers = [0.0, 1.0, 2.0, 3.0, 0.5, 1 / 3, np.inf, ends.max, ends.tiny]
    numbers += [ends.smallest_subnormal, 2.0 ** (ends.maxexp - 1), 3.3e-5]
    numbers += [2 * ends.smallest_subnormal, 2.0 ** (ends.minexp - 1)]
    return [
        np.nan * dtype.type(1),
        *(dtype.type(s * n) for n in numbers for s in (1, -1)),
    ]


def same_bits(got: Any, want: Any) -> None:
    """Equal, signs of zeros included; every NaN is like every other."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype
    if want.dtype.kind == "f":
        want = np.where(np.isnan(want), want.dtype.type(np.nan), want)
        got = np.where(np.isnan(got), got.dtype.type(np.nan), got)
        np.testing.assert_array_equal(np.signbit(got), np.signbit(want))
    np.testing.assert_array_equal(got, want)


Leaf = tuple[str, Any]
Make = Callable[[Builder, int, int], int]


def apply(builder: Builder, name: str, operands: tuple[int, ...], dtype: Any) -> int:
    return builder.apply(registry.primitives[name], operands, scalar(np.dtype(dtype)))


def graph_of(builder: Builder, dtype: np.dtype, make: Make) -> Graph:
    """The graph of an expression of two scalars."""
    ids = [
        builder.add(
            ELEMENT, (builder.input(Type(dtype)),), scalar(dtype), (("index", 0),)
        )
        for _ in range(2)
    ]
    root = make(builder, *ids)
    return builder.finish([builder.add(PACK, (root,), builder.nodes[root].type)])


def check(dtype: np.dtype, make: Make) -> None:
    """With and without simplification the expression has the same bits everywhere."""
    values = np.array(specials(dtype))
    grid = [g.ravel() for g in np.meshgrid(values, values)]
    (want,) = interpret(graph_of(Builder(), dtype, make), grid, 1)
    (got,) = interpret(graph_of(simplifying(), dtype, make), grid, 1)
    size = (grid[0].size,)
    same_bits(np.broadcast_to(got, size), np.broadcast_to(want, size))


def leaves(dtype: np.dtype) -> list[Leaf]:
    """Operands that a rule may look at: variables, their negatives, constants."""
    found: list[Leaf] = [("x", 0), ("y", 1)]
    if dtype != BOOL:
        found += [("neg", 0), ("neg", 1), ("neg neg", 0), ("sub", 0)]
    else:
        found += [("not", 0), ("not", 1), ("not not", 0)]
    return found + [("const", v) for v in specials(dtype)]


def put(builder: Builder, leaf: Leaf, ids: tuple[int, int], dtype: np.dtype) -> int:
    kind, value = leaf
    if kind == "const":
        return builder.const(value)
    if kind in ("x", "y"):
        return ids[value]
    if kind == "sub":
        return apply(builder, "sub", ids, dtype)
    index = ids[value]
    for name in kind.split():
        index = apply(builder, name, (index,), dtype)
    return index


CASES = [
    *((op, d) for op in FLOAT_OPS for d in (F8, F4)),
    *((op, d) for op in INT_OPS for d in (I8, I4)),
    *((op, BOOL) for op in BOOL_OPS),
    *((op, d) for op in ("eq", "ne", "lt", "le") for d in (F8, I8)),
    *((op, F8) for op in ("maximum", "minimum") if op in registry.primitives),
]


@pytest.mark.parametrize(("op", "dtype"), CASES, ids=[f"{o}-{d}" for o, d in CASES])
def test_every_rule_of_two_operands_keeps_every_bit(op: str, dtype: np.dtype) -> None:
    result = BOOL if op in ("eq", "ne", "lt", "le") else dtype
    with np.errstate(all="ignore"):
        for left, right in itertools.product(leaves(dtype), repeat=2):

            def make(b: Builder, x: int, y: int, left=left, right=right) -> int:
                ids = (put(b, left, (x, y), dtype), put(b, right, (x, y), dtype))
                return apply(b, op, ids, result)

            check(dtype, make)


@pytest.mark.parametrize("dtype", [F8, F4, I8, I4])
def test_every_rule_of_one_operand_keeps_every_bit(dtype: np.dtype) -> None:
    ops = ("add", "sub", "mul", *(("div",) if dtype.kind == "f" else ()))
    with np.errstate(all="ignore"):
        for leaf in leaves(dtype):
            check(dtype, lambda b, x, y, leaf=leaf: apply(
                b, "neg", (put(b, leaf, (x, y), dtype),), dtype))  # fmt: skip
        for op, swap in itertools.product(ops, (1, -1)):
            check(dtype, lambda b, x, y, op=op, swap=swap: apply(
                b, "neg", (apply(b, op, (x, y)[::swap], dtype),), dtype))  # fmt: skip


@pytest.mark.parametrize("dtype", [F8, F4])
def test_selects_and_gates_keep_every_bit(dtype: np.dtype) -> None:
    conditions = {
        "lt": lambda b, x, y: apply(b, "lt", (x, y), BOOL),
        "not": lambda b, x, y: apply(b, "not", (apply(b, "lt", (x, y), BOOL),), BOOL),
        "true": lambda b, x, y: b.const(np.True_),
        "false": lambda b, x, y: b.const(np.False_),
        "self": lambda b, x, y: apply(b, "eq", (x, x), BOOL),
    }
    with np.errstate(all="ignore"):
        for condition, leaf in itertools.product(conditions.values(), leaves(dtype)):

            def gate(b: Builder, x: int, y: int, condition=condition, leaf=leaf) -> int:
                c, v = condition(b, x, y), put(b, leaf, (x, y), dtype)
                return apply(b, "gate", (c, v), dtype)

            check(dtype, gate)
            for other in (("x", 0), ("const", dtype.type(-0.0)), leaf):

                def select(
                    b: Builder, x: int, y: int, c=condition, o=other, v=leaf
                ) -> int:
                    ids = (
                        c(b, x, y),
                        put(b, v, (x, y), dtype),
                        put(b, o, (x, y), dtype),
                    )
                    return apply(b, "select", ids, dtype)

                check(dtype, select)


@pytest.mark.parametrize("source", [F8, F4, I8, I4, BOOL], ids=str)
@pytest.mark.parametrize("target", [F8, F4], ids=str)
def test_casts_there_and_back_keep_every_bit(
    source: np.dtype, target: np.dtype
) -> None:
    with np.errstate(all="ignore"):
        check(source, lambda b, x, y: apply(b, "cast", (x,), source))
        check(source, lambda b, x, y: apply(b, "cast", (x,), target))
        if source.kind == "f":
            check(source, lambda b, x, y: apply(
                b, "cast", (apply(b, "cast", (x,), target),), source))  # fmt: skip


@pytest.mark.slow
def test_expressions_of_three_operations_keep_every_bit() -> None:
    """Rules fire one after the other: all small trees over x, y and their like."""
    atoms: list[Leaf] = [("x", 0), ("y", 1), ("neg", 0)]
    atoms += [("const", np.float64(v)) for v in (0.0, -0.0, 1.0, -1.0, 2.0)]
    for first, second in itertools.product(("add", "sub", "mul"), repeat=2):
        for a, b, c in itertools.product(atoms, repeat=3):
            for negate in (False, True):

                def make(
                    t: Builder, x: int, y: int, first=first, second=second,
                    parts=(a, b, c), negate=negate,
                ) -> int:  # fmt: skip
                    u, v, w = (put(t, p, (x, y), F8) for p in parts)
                    inner = apply(t, first, (u, v), F8)
                    if negate:
                        inner = apply(t, "neg", (inner,), F8)
                    return apply(t, second, (w, inner), F8)

                check_few(make)


FEW = np.array([0.0, -0.0, 1.5, np.inf, np.nan])
GRID = [g.ravel() for g in np.meshgrid(FEW, FEW)]


def check_few(make: Make) -> None:
    (want,) = interpret(graph_of(Builder(), F8, make), GRID, 1)
    (got,) = interpret(graph_of(simplifying(), F8, make), GRID, 1)
    same_bits(np.broadcast_to(got, 25), np.broadcast_to(want, 25))


# -- what becomes of an expression ---------------------------------------------


def c(value: float) -> Make:
    return lambda b, x, y: b.number(value, F8)


def op(name: str, *parts: Make, dtype: Any = F8) -> Make:
    return lambda b, x, y: apply(b, name, tuple([p(b, x, y) for p in parts]), dtype)


def x(b: Builder, x: int, y: int) -> int:
    return x


def y(b: Builder, x: int, y: int) -> int:
    return y


def c4(value: float) -> Make:
    return lambda b, x, y: b.number(value, F4)


def yes(b: Builder, x: int, y: int) -> int:
    return b.const(np.True_)


def digit(b: Builder, x: int, y: int) -> int:
    """A whole number of which it is known that it is one of 0 to 9."""
    made = apply(b, "cast", (x,), I8)
    b.forms[made] = ranges.Form(0, ((ranges.Atom(0, 9), 1),))
    return made


def whole(value: int) -> Make:
    return lambda b, x, y: b.number(value, I8)


less = op("lt", x, y, dtype=BOOL)
half = op("cast", x, dtype=F4)

REPLACED = {
    "digit > -1": (op("gt", digit, whole(-1), dtype=BOOL), yes),
    "digit >= 0": (op("ge", digit, whole(0), dtype=BOOL), yes),
    "digit <= 9": (op("le", digit, whole(9), dtype=BOOL), yes),
    "digit < 10": (op("lt", digit, whole(10), dtype=BOOL), yes),
    "digit != 10": (op("ne", digit, whole(10), dtype=BOOL), yes),
    "min(digit, 9)": (op("minimum", digit, whole(9), dtype=I8), digit),
    "max(digit, 0)": (op("maximum", digit, whole(0), dtype=I8), digit),
    "x * 1": (op("mul", x, c(1)), x),
    "1 * x": (op("mul", c(1), x), x),
    "x * -1": (op("mul", x, c(-1)), op("neg", x)),
    "x / 1": (op("div", x, c(1)), x),
    "x / 4": (op("div", x, c(4)), op("mul", x, c(0.25))),
    "x / -0.5": (op("div", x, c(-0.5)), op("mul", x, c(-2))),
    "x + -0": (op("add", x, c(-0.0)), x),
    "-0 + x": (op("add", c(-0.0), x), x),
    "x - 0": (op("sub", x, c(0.0)), x),
    "-0 - x": (op("sub", c(-0.0), x), op("neg", x)),
    "x + (-y)": (op("add", x, op("neg", y)), op("sub", x, y)),
    "(-x) + y": (op("add", op("neg", x), y), op("sub", y, x)),
    "x - (-y)": (op("sub", x, op("neg", y)), op("add", x, y)),
    "-(-x)": (op("neg", op("neg", x)), x),
    "(-x) * (-y)": (op("mul", op("neg", x), op("neg", y)), op("mul", x, y)),
    "(-x) * y": (op("mul", op("neg", x), y), op("neg", op("mul", x, y))),
    "y * x": (op("mul", y, x), op("mul", x, y)),
    "y == x": (op("eq", y, x, dtype=BOOL), op("eq", x, y, dtype=BOOL)),
    "not not": (op("not", op("not", less, dtype=BOOL), dtype=BOOL), less),
    "c & c": (op("and", less, less, dtype=BOOL), less),
    "c | c": (op("or", less, less, dtype=BOOL), less),
    "c & true": (op("and", less, lambda b, x, y: b.const(np.True_), dtype=BOOL), less),
    "c | false": (op("or", less, lambda b, x, y: b.const(np.False_), dtype=BOOL), less),
    "x ** 0": (op("pow", x, c(0)), c(1)),
    "x ** 1": (op("pow", x, c(1)), x),
    "x ** 2": (op("pow", x, c(2)), op("mul", x, x)),
    "x ** -1": (op("pow", x, c(-1)), op("div", c(1), x)),
    "x ** 3": (op("pow", x, c(3)), op("pow3", x)),
    "select same": (op("select", less, x, x), x),
    "select true": (op("select", lambda b, x, y: b.const(np.True_), x, y), x),
    "select false": (op("select", lambda b, x, y: b.const(np.False_), x, y), y),
    "select not": (
        op("select", op("not", less, dtype=BOOL), x, y),
        op("select", less, y, x),
    ),
    "gate true": (op("gate", lambda b, x, y: b.const(np.True_), x), x),
    "gate false": (op("gate", lambda b, x, y: b.const(np.False_), x), c(0)),
    "gate of 0": (op("gate", less, c(0)), c(0)),
    "factor gate true": (op("factor_gate", yes, x), x),
    "factor x * 1": (op("factor_mul", less, x, yes, c(1)), x),
    "factor -1 * x": (op("factor_mul", less, c(-1), yes, x), op("neg", x)),
    "factor (-x) * y": (
        op("factor_mul", less, op("neg", x), yes, y),
        op("neg", op("factor_mul", less, x, yes, y)),
    ),
    "factor x * (-y)": (
        op("factor_mul", less, x, yes, op("neg", y)),
        op("neg", op("factor_mul", less, x, yes, y)),
    ),
    "cast of a factor gate": (
        op("cast", op("factor_gate", less, half, dtype=F4)),
        op("factor_gate", less, op("cast", half)),
    ),
    "cast of a gate": (
        op("cast", op("gate", less, half, dtype=F4)),
        op("gate", less, op("cast", half)),
    ),
    "cast of a select": (
        op("cast", op("select", less, c4(1), c4(2), dtype=F4)),
        op("select", less, c(1), c(2)),
    ),
    "cast to itself": (op("cast", x), x),
    "cast there and back": (op("cast", op("cast", half), dtype=F4), half),
    "2 + 3": (op("add", c(2), c(3)), c(5)),
    "0 / 0": (op("div", c(0), c(0)), c(np.nan)),
    "1 < 2": (op("lt", c(1), c(2), dtype=BOOL), lambda b, x, y: b.const(np.True_)),
}


@pytest.mark.parametrize("name", REPLACED)
def test_what_an_expression_becomes(name: str) -> None:
    before, after = REPLACED[name]
    texts = [graph_of(simplifying(), F8, make).text for make in (before, after)]
    assert texts[0] == texts[1]
    assert graph_of(Builder(), F8, before).text != texts[0]


KEPT = {
    "x * 0": op("mul", x, c(0)),
    "x + 0": op("add", x, c(0.0)),
    "0 - x": op("sub", c(0.0), x),
    "x - -0": op("sub", x, c(-0.0)),
    "x - x": op("sub", x, x),
    "x / x": op("div", x, x),
    "x / 3": op("div", x, c(3)),
    "x / 2**-1074": op("div", x, c(5e-324)),
    "x / inf": op("div", x, c(np.inf)),
    "x == x": op("eq", x, x, dtype=BOOL),
    "-(x - y)": op("neg", op("sub", x, y)),
    "gate of -0": op("gate", less, c(-0.0)),
    "y - x": op("sub", y, x),
    "select of zeros": op("select", less, c(0.0), c(-0.0)),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_would_change_a_bit_stays(name: str) -> None:
    make = KEPT[name]
    texts = [graph_of(b, F8, make).text for b in (simplifying(), Builder())]
    assert texts[0] == texts[1]


def test_every_rule_has_an_example() -> None:
    """A new rule needs a line in REPLACED, and its operation a place in the grids."""
    fired = set()
    for before, _ in REPLACED.values():
        nodes = graph_of(Builder(), F8, before).nodes
        fired |= {n.primitive.name for n in nodes}
    assert set(module._RULES) <= fired


WITH_POINTS = [
    p
    for p in registry.primitives.values()
    if p.kind == "elementwise" and all(type(v) is float for q in p.points for v in q)
]


@pytest.mark.parametrize("primitive", WITH_POINTS, ids=str)
def test_constants_fold_to_what_the_primitive_says(primitive: Primitive) -> None:
    for point in primitive.points:
        builder = simplifying()
        with np.errstate(all="ignore"):
            want = np.asarray(primitive.evaluate(*map(np.float64, point)))[()]
        ids = tuple([builder.number(v, F8) for v in point])
        found = builder.apply(primitive, ids, scalar(want.dtype))
        same_bits(builder.values[found], want)


def test_arrays_are_left_to_scalarization() -> None:
    builder = simplifying()
    a = builder.input(Type(F8, (2,)))
    one = builder.const(np.ones(2))
    product = builder.apply(registry.primitives["mul"], (a, one), Type(F8, (2,)))
    assert builder.nodes[product].primitive.name == "mul"


def test_graphs_of_words_alone_would_be_expanded_to_themselves() -> None:
    def f(x: Any) -> Any:
        y = np.where(x > 0.5, x**2, 1.0 / x) * 2.0 - x[::-1]
        return np.sqrt(y * y + 1.0) + np.maximum(-x, np.sin(x)) * np.floor(3.0 * x)

    graph = scalarize(engine.traced(f, np.ones(3)).graph)
    assert all(n.primitive in expand._WORDS or n.primitive.word for n in graph.nodes)
    assert expand.expand(graph).text == expand._expanded(graph).text == graph.text
