"""Graphs as values: text, digest, sharing, pruning, and what validate holds."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.ir.graph import (
    CONST,
    ELEMENT,
    INPUT,
    PACK,
    Builder,
    Graph,
    Node,
    Static,
    Type,
    arguments,
    prune,
    reach,
    validate,
)
from jitad.ir.interpret import inline, interpret
from jitad.ir.primitive import Primitive, Registry, registry
from jitad.transforms.scalars.scalarize import scalarize, unpack
from tests.support import engine

F8, F4, I8, BOOL = (np.dtype(t) for t in ("f8", "f4", "i8", "?"))
ADD, MUL, NEG = (registry.primitives[n] for n in ("add", "mul", "neg"))
X = np.array([0.5, 2.0, -1.0])


def f(x: Any) -> Any:
    return x[0] * x[1] + x[2] * np.sin(x[0])


# -- text ----------------------------------------------------------------------


def test_the_text_of_an_array_graph() -> None:
    graph = engine.traced(lambda x: np.sin(x) * x[:2, None], np.ones((2, 2))).graph
    assert graph.text == "\n".join(
        [
            "%0: float64[2,2] = input[index=0]()",
            "%1: float64[2,2] = sin(%0)",
            "%2: float64[2,1,2] = getitem[call=(($0, (:2, None)), )](%0)",
            "%3: float64[2,2,2] = mul(%1, %2)",
            "return %3",
        ]
    )
    assert str(graph) == graph.text


def test_the_text_of_a_scalar_graph() -> None:
    graph = scalarize(engine.traced(f, X).graph)
    assert graph.text == "\n".join(
        [
            "%0: float64[3] = input[index=0]()",
            "%1: float64[] = element[index=0](%0)",
            "%2: float64[] = element[index=1](%0)",
            "%3: float64[] = element[index=2](%0)",
            "%4: float64[] = mul(%1, %2)",
            "%5: float64[] = sin(%1)",
            "%6: float64[] = mul(%3, %5)",
            "%7: float64[] = add(%4, %6)",
            "%8: float64[] = pack(%7)",
            "return %8",
        ]
    )


def test_types_print_as_numpy_says_them() -> None:
    assert str(Type(F8, (3, 4))) == "float64[3,4]"
    assert str(Type(BOOL)) == "bool[]"
    assert Type(F8, (3, 4)).size == 12
    assert Type(F8, (3, 0, 4)).size == 0
    assert Type(F8).size == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (slice(None), ":"),
        (slice(1, None, -2), "1::-2"),
        ((0, None, Ellipsis), "(0, None, ...)"),
        ([1, 2.5], "[1, 2.5]"),
        ({"axis": 0, "k": "x"}, "axis=0, k=x"),
        (np.float32(0.1), repr(float(np.float32(0.1)))),
        (np.array([True, False]), "bool[2](True, False)"),
        (np.array([[1.0, -0.0]]), "float64[1, 2](1.0, -0.0)"),
        (np.nan, "nan"),
    ],
)
def test_the_text_of_parameters(value: Any, text: str) -> None:
    assert repr(Static(value)) == text


def test_long_constants_print_as_their_digest() -> None:
    a, b = np.arange(9.0), np.arange(9.0)
    b[8] = np.nextafter(8.0, 9.0)
    assert repr(Static(a)).startswith("float64[9]#")
    assert repr(Static(a)) == repr(Static(a.copy()))
    assert repr(Static(a)) != repr(Static(b))


def test_text_and_digest_do_not_depend_on_where_the_function_stands() -> None:
    def g(x: Any) -> Any:
        first = x[0] * x[1]

        return first + x[2] * np.sin(x[0])

    one, other = engine.traced(f, X).graph, engine.traced(g, X).graph
    assert one.digest == other.digest
    assert len(one.digest) == 64
    assert [n.line for n in one.nodes] != [n.line for n in other.nodes]


CHANGES = {
    "operation": lambda x: x[0] * x[1] - x[2] * np.sin(x[0]),
    "operands": lambda x: x[0] * x[1] + x[2] * np.sin(x[1]),
    "order": lambda x: x[2] * np.sin(x[0]) + x[0] * x[1],
    "constant": lambda x: f(x) + 1.0,
    "sign of zero": lambda x: f(x) + 0.0,
    "next number": lambda x: f(x) + np.nextafter(1.0, 2.0),
    "tuple": lambda x: (f(x), f(x)),
    "shape": lambda x: f(x)[None],
}


def test_different_functions_have_different_digests() -> None:
    digests = {name: engine.traced(g, X).graph.digest for name, g in CHANGES.items()}
    digests["itself"] = engine.traced(f, X).graph.digest
    digests["dtype"] = engine.traced(f, X.astype(F4)).graph.digest
    digests["longer"] = engine.traced(f, np.ones(4)).graph.digest
    assert len(set(digests.values())) == len(digests)


def test_constants_of_equal_text_and_other_dtype_differ() -> None:
    texts = {
        engine.traced(lambda x, d=d: (x, np.ones(3, d)), X).graph.text
        for d in ("f8", "f4", "i8", "i4", "?")
    }
    assert len(texts) == 5


# -- sharing -------------------------------------------------------------------


def test_equal_nodes_are_shared() -> None:
    builder = Builder()
    x, y = builder.input(Type(F8)), builder.input(Type(F8))
    assert x != y
    assert builder.add(ADD, (x, y), Type(F8)) == builder.add(ADD, (x, y), Type(F8))
    assert builder.add(ADD, (x, y), Type(F8)) != builder.add(ADD, (y, x), Type(F8))
    assert builder.add(ADD, (x, y), Type(F8)) != builder.add(ADD, (x, y), Type(F4))
    element = [builder.add(ELEMENT, (x,), Type(F8), (("index", k),)) for k in (0, 1, 0)]
    assert element[0] == element[2] != element[1]


def test_a_line_is_no_part_of_a_node() -> None:
    builder = Builder()
    x = builder.input(Type(F8))
    first = builder.add(NEG, (x,), Type(F8), (), "here.py:1")
    assert builder.add(NEG, (x,), Type(F8), (), "there.py:2") == first
    assert builder.nodes[first].line == "here.py:1"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.float64(0.0), np.float64(-0.0)),
        (np.float64(1), np.float32(1)),
        (np.float64(1), np.int64(1)),
        (np.int64(1), np.bool_(True)),
        (np.zeros(2), np.zeros((2, 1))),
        (np.zeros(2), -np.zeros(2)),
    ],
)
def test_constants_are_shared_by_bits(a: Any, b: Any) -> None:
    builder = Builder()
    assert builder.const(a) == builder.const(a.copy())
    assert builder.const(a) != builder.const(b)


def test_nans_are_shared() -> None:
    builder = Builder()
    assert builder.number(np.nan, F8) == builder.const(np.float64(np.nan))


def test_numbers_are_constants_by_bits_and_asked_for_each_time() -> None:
    builder = Builder()
    builder.log = []
    asked = [(0.0, F8), (-0.0, F8), (0.5, F8), (0.5, F4), (1, F8), (1, I8), (True, F8)]
    twice = [builder.number(value, dtype) for value, dtype in asked * 2]
    assert twice == [builder.const(dtype.type(value)) for value, dtype in asked * 2]
    assert builder.log == twice * 2


def test_constants_are_copies() -> None:
    builder, value = Builder(), np.ones(3)
    index = builder.const(value)
    value[0] = 7
    kept = builder.values[index]
    np.testing.assert_array_equal(kept, np.ones(3))
    assert not kept.flags.writeable


def test_repeated_work_is_traced_once() -> None:
    def g(x: Any) -> Any:
        return np.sin(x[0]) * x[1] + np.sin(x[0]) * x[1]

    names = [n.primitive.name for n in scalarize(engine.traced(g, X).graph).nodes]
    assert names.count("sin") == names.count("mul") == names.count("add") == 1


class Aside:
    """Lets no ufunc see it: it does its own arithmetic."""

    __array_ufunc__ = None

    def _own(self, other: Any) -> Any:
        return 3.0 * other

    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = _own


@pytest.mark.parametrize("ufunc", [np.add, np.subtract, np.multiply, np.true_divide])
@pytest.mark.parametrize("other", [2, 2.5, True, np.float32(2.5), np.arange(3.0), "x"])
def test_operators_are_ufuncs(ufunc: Any, other: Any) -> None:
    names = {np.add: "add", np.subtract: "sub", np.multiply: "mul"}
    operate = getattr(operator, names.get(ufunc, "truediv"))

    def both(call: Any) -> str:
        def g(x: Any) -> Any:
            given = x[::-1] if isinstance(other, str) else other
            return call(x, given), call(given, x), call(x[0], given)

        return engine.traced(g, X).graph.text

    assert both(operate) == both(ufunc)
    aside = engine.traced(lambda x: operate(x, Aside()), X).graph
    assert aside.text == engine.traced(lambda x: 3.0 * x, X).graph.text


def test_what_is_traced_knows_the_users_line() -> None:
    def g(x: Any) -> Any:
        a = x * 2.0
        b = np.sin(a)
        c = jitad.stop_gradient(b)
        d = c > a
        e = np.where(d, b, c)
        f = 2**e
        return f[::-1]

    code, nodes = g.__code__, engine.traced(g, X).graph.nodes
    lines = [n.line for n in nodes if n.operands]
    first = code.co_firstlineno + 1
    assert len(lines) == 7
    assert lines == [f"{code.co_filename}:{first + k}" for k in range(7)]


# -- pruning -------------------------------------------------------------------


def chain() -> tuple[Builder, list[int]]:
    builder = Builder()
    x = builder.input(Type(F8))
    dead = builder.add(NEG, (x,), Type(F8))
    y = builder.input(Type(F8))
    used = builder.add(ADD, (x, x), Type(F8))
    builder.add(MUL, (dead, used), Type(F8))
    return builder, [x, y, used]


def test_reach_is_what_outputs_need_in_order() -> None:
    builder, (x, y, used) = chain()
    assert reach(builder.nodes, [used]) == [x, used]
    assert reach(builder.nodes, [used, y, used]) == [x, y, used]
    assert reach(builder.nodes, []) == []


def test_prune_keeps_all_inputs_first_and_drops_the_dead() -> None:
    builder, (x, y, used) = chain()
    graph = prune(builder.nodes, [y, x], (used, used, y))
    validate(graph)
    assert [n.primitive.name for n in graph.nodes] == ["input", "input", "add"]
    assert graph.inputs == (0, 1)
    assert graph.outputs == (2, 2, 0)
    assert graph.nodes[2].operands == (1, 1)
    got = interpret(graph, [np.float64(5), np.float64(3)])
    assert [float(v) for v in got] == [6, 6, 5]


def test_prune_is_idempotent() -> None:
    graph = engine.traced(f, X).graph
    assert prune(graph.nodes, graph.inputs, graph.outputs).text == graph.text


def test_a_deep_graph_needs_no_recursion() -> None:
    builder = Builder()
    index = builder.input(Type(F8))
    for _ in range(50_000):
        index = builder.add(NEG, (index,), Type(F8))
    graph = builder.finish([index])
    assert len(graph.nodes) == 50_001
    validate(graph)
    assert float(interpret(graph, [np.float64(2)])[0]) == 2


def test_unpack_names_the_scalars_of_outputs() -> None:
    graph = scalarize(engine.traced(lambda x: (x.reshape(3, 1), x[::-1]), X).graph)
    left, right = unpack(graph)
    assert left.shape == (3, 1)
    np.testing.assert_array_equal(left.ravel()[::-1], right)


def test_inline_puts_a_graph_into_another() -> None:
    inner = scalarize(engine.traced(lambda x, y: x * y + x, 1.0, 1.0).graph)
    builder = Builder()
    x = builder.input(Type(F8))
    (out,) = inline(builder, inner, [x, x])
    graph = builder.finish([out])
    validate(graph)
    assert float(interpret(graph, [np.float64(3)])[0]) == 12


def test_constant_outputs_have_the_batch_axes_of_the_others() -> None:
    graph = scalarize(engine.traced(lambda x: (x[:0], 0 * x[0], np.ones(2)), X).graph)
    first, second, third = interpret(graph, [np.ones((4, 5, 3))], 2)
    assert first.shape == (1, 1, 0)
    assert second.shape == (4, 5)
    assert third.shape == (1, 1, 2)


# -- what is asserted ----------------------------------------------------------


def graph_of(*nodes: Node, inputs: Any = (0,), outputs: Any = (0,)) -> Graph:
    return Graph(nodes, inputs, outputs)


IN = Node(INPUT, (), (("index", 0),), Type(F8))


@pytest.mark.parametrize(
    "graph",
    [
        graph_of(IN, Node(NEG, (1,), (), Type(F8))),
        graph_of(IN, Node(NEG, (2,), (), Type(F8)), IN),
        graph_of(IN, Node(NEG, (-1,), (), Type(F8))),
        graph_of(IN, Node(NEG, (0,), (), Type(np.dtype("f2")))),
        graph_of(IN, Node(NEG, (0,), (), Type(F8)), inputs=(1,)),
        graph_of(IN, outputs=(1,)),
        graph_of(IN, outputs=(-1,)),
    ],
    ids=["itself", "later", "negative", "float16", "no input", "past", "before"],
)
def test_validate_refuses(graph: Graph) -> None:
    with pytest.raises(AssertionError):
        validate(graph)


def test_a_name_is_registered_once() -> None:
    own = Registry()
    primitive = Primitive("twice", "elementwise", lambda x: 2 * x)
    assert own.add(primitive) is primitive
    with pytest.raises(AssertionError, match="twice"):
        own.add(primitive)


def test_parameters_come_back_as_arguments() -> None:
    node = Node(NEG, (), (("axis", Static((0, 1))), ("part", 2)), Type(F8))
    assert arguments(node) == {"axis": (0, 1), "part": 2}
    assert all(p.kind == "leaf" for p in (INPUT, CONST, ELEMENT, PACK))
