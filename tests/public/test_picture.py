"""Pictures of graphs: the text, the DOT, and values and cotangents of every node."""

from __future__ import annotations

import linecache
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import jitad
from jitad.ir.graph import INPUT, Graph, Node, Type, prune
from jitad.ir.interpret import interpret
from jitad.show import dot
from jitad.show.picture import Picture, cotangents
from jitad.transforms.derivatives import accumulate
from jitad.transforms.scalars.scalarize import scalarize

SOURCE = """\
def f(x1, x2):
    y = x1 * x2
    return y + np.sin(x1)

def norm(pose, weights):
    r = pose["at"][:2] - np.array([1.0, 2.0])
    w = np.where(r > 0.0, r, 0.5 * r)
    return {"w<&>": weights[-1] * w, "big": w > 0.0}

def wide(x):
    return x[0] * np.reshape(x[1:], (3, 3))
"""


def source(name: str) -> Callable[..., Any]:
    """A function of a source file that is the same on every machine."""
    linecache.cache["/any/where/model.py"] = (
        len(SOURCE), None, SOURCE.splitlines(keepends=True), "/any/where/model.py",
    )  # fmt: skip
    namespace: dict[str, Any] = {"np": np}
    exec(compile(SOURCE, "/any/where/model.py", "exec"), namespace)
    return namespace[name]


f = source("f")
POSE = {"at": np.array([3.0, 1.0, 5.0]), "on": True}
WEIGHTS = (1.0, 4.0)


# -- text ----------------------------------------------------------------------


def test_the_text_of_a_small_function() -> None:
    assert str(jitad.graph(f, 2.0, 3.0)) == (
        "f(x1, x2)\n"
        "  x1: float64[]\n"
        "  x2: float64[]\n"
        "  %2: float64[] = x1 * x2  model.py:2  y = x1 * x2\n"
        "  %3: float64[] = sin(x1)  model.py:3  return y + np.sin(x1)\n"
        "  %4: float64[] = %2 + %3\n"
        "  result = %4"
    )


def test_the_text_with_values() -> None:
    assert str(jitad.graph(f, 2.0, 3.0, values=True)) == (
        "f(x1, x2)\n"
        "  cotangent: ∂ result / ∂ node\n"
        "  x1: float64[]            value 2       cotangent 2.5839\n"
        "  x2: float64[]            value 3       cotangent 2\n"
        "  %2: float64[] = x1 * x2  value 6       cotangent 1       "
        "model.py:2  y = x1 * x2\n"
        "  %3: float64[] = sin(x1)  value 0.9093  cotangent 1       "
        "model.py:3  return y + np.sin(x1)\n"
        "  %4: float64[] = %2 + %3  value 6.9093  cotangent 1\n"
        "  result = %4"
    )


def test_the_text_of_arrays() -> None:
    found = jitad.graph(source("norm"), POSE, weights=WEIGHTS)
    lines = [
        re.split(r"  model\.py|$", line)[0].rstrip() for line in str(found).split("\n")
    ]
    assert lines == [
        "norm(pose['at'], pose['on'], weights[0], weights[1])",
        "  pose['at']: float64[3]",
        "  pose['on']: bool[]",
        "  weights[0]: float64[]",
        "  weights[1]: float64[]",
        "  %4: float64[2] = pose['at'][:2]",
        "  %6: float64[2] = %4 - [1.0, 2.0]",
        "  %8: bool[2] = %6 > 0.0",
        "  %10: float64[2] = 0.5 * %6",
        "  %11: float64[2] = select(%8, %6, %10)",
        "  %12: float64[2] = weights[1] * %11",
        "  %13: bool[2] = %11 > 0.0",
        "  result['big'] = %13",
        "  result['w<&>'] = %12",
    ]


FORMULAS: list[tuple[Callable[..., Any], str]] = [
    (lambda x: x + 1.5, "x + 1.5"),
    (lambda x: -x, "-x"),
    (lambda x: x[1, 2], "x[1, 2]"),
    (lambda x: x[..., 1:, None], "x[..., 1:, None]"),
    (lambda x: x[[1, 0]], "x[[1, 0]]"),
    (lambda x: np.split(x, 2)[1], "split(x, 2)[1]"),
    (lambda x: np.stack([x, x], axis=1), "stack((x, x), axis=1)"),
    (lambda x: x.astype(np.float32), "float32(x)"),
    (lambda x: x + np.arange(30.0).reshape(5, 2, 3), "x + float64[5,2,3]"),
    (lambda x: np.concatenate([x] * 9), "concatenate((x, x, x, x, x, x, …))"),
]


@pytest.mark.parametrize(("function", "formula"), FORMULAS)
def test_formulas(function: Any, formula: str) -> None:
    last = jitad.graph(function, np.ones((2, 3))).boxes[-1]
    assert "".join(piece.text for piece in last.formula) == formula


def test_a_result_may_be_a_constant_or_an_input() -> None:
    found = jitad.graph(lambda x, y: (y, 2.0, y), 1.0, 3.0, values=True)
    assert str(found) == (
        "<lambda>(x, y)\n"
        "  cotangent: ∂ (sum of all results) / ∂ node\n"
        "  x: float64[]         value 1  cotangent 0\n"
        "  y: float64[]         value 3  cotangent 2\n"
        "  %2: float64[] = 2.0  value 2\n"
        "  result[0] = y\n"
        "  result[1] = 2.0\n"
        "  result[2] = y"
    )


def test_transformed_functions() -> None:
    assert str(jitad.graph(jitad.jit(f), 2.0, 3.0)) == str(jitad.graph(f, 2.0, 3.0))
    batched = jitad.graph(jitad.vmap(f, in_axes=(0, None)), np.ones(5), 3.0)
    assert str(batched) == str(jitad.graph(f, 1.0, 3.0))
    assert str(jitad.graph(jitad.grad(f, argnums=(0, 1)), 2.0, 3.0)) == (
        "grad(f)(x1, x2)\n"
        "  x1: float64[]\n"
        "  x2: float64[]\n"
        "  %2: float64[] = cos(x1)\n"
        "  %3: float64[] = x2 + %2\n"
        "  result[0] = %3\n"
        "  result[1] = x1"
    )


# -- values and cotangents -----------------------------------------------------


def test_values_and_cotangents_by_hand() -> None:
    found = jitad.graph(f, 2.0, 3.0, values=True)
    assert found.objective == "result"
    assert [float(v) for v in found.values] == [2, 3, 6, np.sin(2), 6 + np.sin(2)]
    bars = [float(b) for b in found.cotangents if b is not None]
    assert bars == [3 + np.cos(2), 2, 1, 1, 1]


def chain(x: Any) -> Any:
    y = x[1:] * np.exp(x[:-1])
    y[0] += y[1]
    z = np.where(y > 0.0, y, y * y)
    return np.concatenate([z, x[:1]]) / x[2]


def table(x: Any) -> Any:
    return np.sin(np.reshape(x, (2, 2)) * np.array([1.0, 2.0])), x[0] * x[3]


def linear(x: Any) -> Any:
    return -np.stack([x, 2.0 * x])


X = np.array([0.3, -1.2, 0.7, 2.1])


@pytest.mark.parametrize("function", [chain, table, linear])
def test_cotangents_of_inputs_are_gradients(function: Any) -> None:
    found = jitad.graph(function, X, values=True)

    def total(x: Any) -> Any:
        results = function(x)
        parts = results if isinstance(results, tuple) else (results,)
        return sum(
            e for p in parts for e in np.reshape(p, (np.prod(p.shape, dtype=int),))
        )

    gradient = jitad.grad(total, backend="numpy")(X)
    np.testing.assert_allclose(found.cotangents[0], gradient, rtol=1e-14)
    outputs = interpret(found.graph, [X])
    for i, y in zip(found.graph.outputs, outputs, strict=True):
        np.testing.assert_array_equal(found.values[i], y)


def derivative(graph: Graph, i: int, values: Sequence[np.ndarray]) -> np.ndarray:
    """Of the sum of the outputs, by forward mode: node i becomes one more input."""
    node = graph.nodes[i]
    params = (("index", len(graph.inputs)),)
    nodes = list(graph.nodes)
    nodes[i] = Node(INPUT, (), params, node.type)
    cut = prune(nodes, [*graph.inputs, i], graph.outputs)
    line = accumulate.jacobian(scalarize(cut), [len(graph.inputs)], mode="forward")
    points = [values[k] for k in (*graph.inputs, i)]
    parts = interpret(line.graph, points)
    return np.sum([p.reshape(-1, *node.type.shape).sum(axis=0) for p in parts], axis=0)


@pytest.mark.parametrize("function", [chain, table, linear])
def test_every_cotangent_is_the_derivative_by_its_node(function: Any) -> None:
    found = jitad.graph(function, X, values=True)
    compared = 0
    for i, bar in enumerate(found.cotangents):
        node = found.graph.nodes[i]
        if bar is None or node.primitive is INPUT:
            continue
        assert (bar.shape, bar.dtype) == (node.type.shape, node.type.dtype)
        expected = derivative(found.graph, i, found.values)
        np.testing.assert_allclose(bar, expected, rtol=1e-14)
        compared += 1
    assert compared > 2


def test_signed_zeros_and_infinities_are_not_disturbed() -> None:
    found = jitad.graph(lambda x: 1.0 / (x * 1.0), -0.0, values=True)
    assert found.values[-1] == -np.inf
    assert np.signbit(found.values[0])
    assert found.cotangents[0] == jitad.grad(lambda x: 1.0 / (x * 1.0))(-0.0) == -np.inf


def test_what_has_no_cotangent() -> None:
    def g(x: Any, n: Any) -> Any:
        return np.where(x > 0.0, x, 2.0) * n

    found = jitad.graph(g, np.array([1.0, -1.0], np.float32), 3, values=True)
    kinds = {n.type.dtype.kind for n, b in zip(found.graph.nodes, found.cotangents,
             strict=True) if b is not None}  # fmt: skip
    assert kinds == {"f"}
    x, n = found.cotangents[:2]
    assert n is None
    assert x is not None
    assert x.dtype == np.float32
    assert x.tolist() == [3.0, 0.0]
    assert found.objective == "(sum of result)"


def test_large_arrays_show_their_shape_only() -> None:
    found = jitad.graph(lambda x: (x * x, x[0] > 0.0), np.ones(300), values=True)
    assert found.objective == "(sum of all float results)"
    assert found.cotangents[0] is None
    text = str(found)
    assert "value True" in text
    assert re.findall(r"value .*", text) == ["value 1     cotangent 0", "value True"]
    wide = jitad.graph(source("wide"), np.arange(10.0), values=True)
    bar = wide.cotangents[0]
    assert bar is not None
    assert bar.tolist() == [45.0] + [0.0] * 9
    assert "value [" not in str(wide)


def test_cotangents_of_a_derivative() -> None:
    found = jitad.graph(jitad.grad(f), 2.0, 3.0, values=True)
    second = jitad.grad(jitad.grad(f), backend="numpy")(2.0, 3.0)
    assert found.cotangents[0] == second == -np.sin(2.0)
    assert found.values[found.graph.outputs[0]] == 3.0 + np.cos(2.0)


def test_cotangents_of_a_graph_without_floats() -> None:
    found = jitad.graph(lambda x: x > 0.0, np.ones(2), values=True)
    assert found.objective == "(sum of result)"
    assert cotangents(found.graph, [np.ones(2)])[0] is not None
    np.testing.assert_array_equal(found.cotangents[0], [0.0, 0.0])


# -- DOT -----------------------------------------------------------------------

PICTURES: dict[str, Callable[[], Picture]] = {
    "plain": lambda: jitad.graph(f, 2.0, 3.0),
    "values": lambda: jitad.graph(f, 2.0, 3.0, values=True),
    "trees": lambda: jitad.graph(source("norm"), POSE, WEIGHTS, values=True),
    "arrays": lambda: jitad.graph(chain, X, values=True),
    "scalars": lambda: jitad.graph(jitad.jacobian(chain), X),
    "quoted": lambda: jitad.graph(lambda x: {'a"]]>': x, "&amp;<b>\\n": -x}, 1.0),
    "empty": lambda: jitad.graph(lambda: ()),
    "constant": lambda: jitad.graph(lambda: 1.0),
}


@pytest.fixture(params=PICTURES)
def picture(request: pytest.FixtureRequest) -> Picture:
    return PICTURES[request.param]()


def test_dot_has_a_node_for_every_box_and_an_edge_for_every_operand(
    picture: Picture,
) -> None:
    text = picture.to_dot()
    assert text.startswith("digraph {\n") and text.endswith("\n}")
    numbers = {int(n) for n in re.findall(r"^  n(\d+) \[label=<.*>\]$", text, re.M)}
    assert numbers == {box.number for box in picture.boxes}
    edges = {
        (int(a), int(b)) for a, b in re.findall(r"^  n(\d+) -> n(\d+)$", text, re.M)
    }
    assert edges == {
        (a, box.number) for box in picture.boxes for a in box.operands if a in numbers
    }
    for label in re.findall(r"label=<(.*)>\]$", text, re.M):
        ElementTree.fromstring(f"<label>{label}</label>")


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_draws_it_without_a_word(picture: Picture) -> None:
    drawn = subprocess.run(
        ["dot", "-Tsvg"], input=picture.to_dot(), capture_output=True, check=True,
        encoding="utf-8",
    )  # fmt: skip
    assert not drawn.stderr
    svg = picture.to_svg()
    assert svg is not None
    assert svg.startswith("<svg")
    assert picture._repr_html_() == picture._repr_svg_() == svg
    assert svg.count('class="node"') == len(picture.boxes)


def test_the_dot_of_a_small_function() -> None:
    text = jitad.graph(f, 2.0, 3.0, values=True).to_dot()
    label = re.findall(r"  n4 \[label=<(.*)>\]", text)[0]
    shown = re.sub(r"<[^>]*>", "|", label)
    assert [part for part in shown.split("|") if part.strip()] == [
        "result", " = ", "%4 = ", "%2 ", "+", " %3", "float64&#91;&#93;", "6.9093", "1",
        "model.py:3", "return y + np.sin(x1)",
    ]  # fmt: skip
    assert "<b>sin</b>(x1)" in text
    assert "x1 <b>×</b> x2" in text
    assert "cotangent ∂ result / ∂ node" in text
    assert "/any/where" not in text


def test_inputs_results_and_the_rest_look_different() -> None:
    text = jitad.graph(f, 2.0, 3.0).to_dot()
    fills = re.findall(r"^  n(\d) .*?bgcolor=\"(#\w+)\"", text, re.M)
    one, two, product, sine, result = (fill for _, fill in sorted(fills))
    assert one == two
    assert product == sine
    assert len({one, product, result}) == 3


def test_the_same_function_is_the_same_picture() -> None:
    first, second = (jitad.graph(chain, X, values=True) for _ in range(2))
    assert str(first) == str(second)
    assert first.to_dot() == second.to_dot()


def test_without_graphviz_notebooks_show_the_text(monkeypatch: Any) -> None:
    monkeypatch.setattr(dot.shutil, "which", lambda name: None)
    picture = jitad.graph(source("norm"), POSE, WEIGHTS)
    assert picture._repr_svg_() is None
    assert picture._repr_html_().startswith("<pre>norm(pose[&#x27;at&#x27;], ")
    assert "w&lt;&amp;&gt;" in picture._repr_html_()


def test_a_graphviz_that_fails_is_as_good_as_none(monkeypatch: Any) -> None:
    monkeypatch.setattr(dot.shutil, "which", lambda name: "/no/such/dot")
    assert jitad.graph(f, 2.0, 3.0)._repr_svg_() is None


def test_too_many_nodes_are_not_drawn(monkeypatch: Any) -> None:
    def long(x: Any) -> Any:
        for _ in range(500):
            x = x * x + 1.0
        return x

    monkeypatch.setattr(dot.subprocess, "run", lambda *a, **k: pytest.fail("drawn"))
    assert jitad.graph(long, 0.5)._repr_html_().startswith("<pre>")


# -- errors --------------------------------------------------------------------


def test_errors() -> None:
    with pytest.raises(jitad.InputError, match=r"a function first, got 3\.0; pass"):
        jitad.graph(3.0, f)  # type: ignore[arg-type]
    with pytest.raises(
        jitad.InputError, match=r"one point, got a batch of 2 × 3; pass"
    ):
        jitad.graph(jitad.vmap(jitad.vmap(f)), *np.ones((2, 2, 3)), values=True)
    with pytest.raises(jitad.InputError, match=r"args\[0\] is of type str"):
        jitad.graph(f, "two", 3.0)
    with pytest.raises(jitad.TracingError, match="got traced values; call it outside"):
        jitad.jit(lambda x: jitad.graph(f, x, x) and x)(1.0)


def test_types() -> None:
    found = jitad.graph(f, np.float32(2.0), 3.0)
    assert found.graph.output_types == (Type(np.dtype(np.float32), ()),)
