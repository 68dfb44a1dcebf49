"""What explain says: fields against the graph and the plan, and the words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import jitad
from jitad import tree
from jitad.backends.cpu import machine
from jitad.calls.function import Function
from jitad.lowering.kernel import Buffer, Kernel
from jitad.lowering.statements import For, Load, Op, Store
from jitad.show.explain import explain, operations
from jitad.show.explanation import Explanation
from jitad.show.facts import Choice, Operations
from jitad.transforms.derivatives import accumulate
from jitad.transforms.scalars.scalarize import scalarize
from tests.support import engine


def projection(camera: Any, point: Any) -> Any:
    c, s = np.cos(camera[0]), np.sin(camera[0])
    x = point[0] * c - point[1] * s
    y = point[0] * s + point[1] * c
    p = -np.stack([x, y]) / (point[2] + camera[1])
    return (1.0 + camera[2] * (p[0] * p[0] + p[1] * p[1])) * p


def energy(x: Any) -> Any:
    return np.exp(x[0]) * x[1] + np.sin(x[0] * x[2])


def wave(x: Any) -> Any:
    phase = x
    for _ in range(12):
        phase = np.sin(phase * x)
    return np.stack([np.sin(phase * k) for k in range(1, 9)])


CAMERA, POINT = np.array([0.1, 2.0, 0.3]), np.array([1.0, 2.0, 3.0])
X = np.array([0.3, 1.2, -0.7])

CASES: list[tuple[Callable[..., Any], tuple[Any, ...], tuple[int, ...]]] = [
    (projection, (CAMERA, POINT), (0, 1)),
    (projection, (CAMERA, POINT), (1,)),
    (energy, (X,), (0,)),
    (wave, (0.5,), (0,)),
]


@pytest.mark.parametrize(("f", "args", "wrt"), CASES)
def test_costs_are_those_of_the_accumulation(f: Any, args: Any, wrt: Any) -> None:
    graph = scalarize(engine.traced(f, *args).graph)
    found = explain(jitad.jacobian(f, argnums=wrt), *args)
    counted = accumulate.jacobian(graph, wrt)
    assert found.choice.costs == counted.costs
    assert found.choice.mode == counted.mode
    assert found.operations.weighted == counted.costs[counted.mode]
    tried = {*found.choice.costs, *found.choice.untried}
    assert tried == set(accumulate.MODES)


@pytest.mark.parametrize(("f", "args", "wrt"), CASES)
@pytest.mark.parametrize("mode", accumulate.MODES)
def test_a_forced_mode_costs_what_it_was_said_to(
    f: Any, args: Any, wrt: Any, mode: accumulate.Mode
) -> None:
    graph = scalarize(engine.traced(f, *args).graph)
    found = explain(jitad.jacobian(f, argnums=wrt, mode=mode), *args)
    assert found.choice.asked
    assert found.choice.costs == accumulate.jacobian(graph, wrt, mode=mode).costs
    assert found.operations.weighted == found.choice.costs[mode]
    assert found.choice.reason.endswith("; as asked, no other mode was counted")


REASONS = {
    "reverse: 373 weighted operations, against 599 forward and 373 cross-country": (
        Choice("reverse", {"reverse": 373, "forward": 599, "cross": 373}, {}, False, ())
    ),
    "cross-country: 1,000.5 weighted operations, against 2,000 reverse; forward not "
    "tried (up to 9 multiplications against 2)": Choice(
        "cross",
        {"reverse": 2000.0, "cross": 1000.5},
        {"forward": "up to 9 multiplications against 2"},
        False,
        (),
    ),
    "forward: 12 weighted operations; as asked, no other mode was counted": (
        Choice("forward", {"forward": 12.0}, {}, True, ())
    ),
    "reverse: by dimension, one pass for every cotangent that comes with the call": (
        Choice("reverse", {}, {}, False, ())
    ),
    "value: no derivative is asked for": Choice("value", {}, {}, False, ()),
}


@pytest.mark.parametrize("expected", REASONS)
def test_the_reason_of_a_choice(expected: str) -> None:
    assert REASONS[expected].reason == expected


def test_a_hopeless_mode_is_not_tried_and_said_so() -> None:
    found = explain(jitad.jacobian(wave), 0.5)
    assert found.choice.mode == "forward"
    assert found.choice.untried["cross"] == "seldom gains with one input"
    bounds = re.fullmatch(
        r"up to ([\d,]+) multiplications against ([\d,]+)",
        found.choice.untried["reverse"],
    )
    assert bounds is not None
    most, least = (int(b.replace(",", "")) for b in bounds.groups())
    assert most > 3 * least > 0
    assert f"; reverse not tried ({bounds[0]})" in found.choice.reason


def test_functions_inside_are_explained() -> None:
    def pushed(x: Any, v: Any) -> Any:
        return jitad.jvp(energy, (x,), (v,))[1] + jitad.grad(energy)(x)[0]

    found = explain(jitad.jit(pushed), X, X)
    assert found.choice.mode == "value"
    assert found.choice.reason == "value: no derivative of the whole is asked for"
    inside = dict(found.choice.inside)
    assert inside["jvp(energy)"].reason.startswith("forward: by dimension")
    alone = explain(jitad.grad(energy), X).choice
    assert inside["grad(energy)"] == alone
    assert f"  inside     grad(energy), {alone.reason[:40]}" in str(found)


def test_functions_inside_that_do_not_differentiate_are_not_listed() -> None:
    compiled, gradient = jitad.jit(energy), jitad.grad(energy)
    found = explain(jitad.jit(lambda x: compiled(x)), X)
    assert [name for name, _ in found.choice.inside] == ["jit(energy)"]
    assert found.choice.reason == "value: no derivative is asked for"
    assert "inside" not in str(found)
    middle = jitad.jit(lambda x: gradient(x))
    nested = explain(jitad.jit(lambda x: middle(x)), X)
    assert nested.choice.reason == "value: no derivative of the whole is asked for"
    assert str(nested).count("  inside     grad(energy), reverse: ") == 1


def test_hessians_and_products_say_their_mode() -> None:
    assert explain(jitad.hessian(energy), X).choice.mode in accumulate.MODES
    product = jitad.jit(jitad.hvp(energy))
    ((name, choice),) = explain(product, X, X).choice.inside
    assert name == "hvp(energy)"
    assert choice.reason.startswith("forward over reverse: by dimension")


# -- arrays and memory ---------------------------------------------------------


def batch(points: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    return [
        np.random.default_rng(k).normal(size=(points, *s)) for k, s in enumerate(shapes)
    ]


def test_arrays_of_a_batch() -> None:
    cameras, points = batch(100, (3,), (3,))
    jacobian = jitad.jacobian(projection, argnums=(0, 1))
    found = explain(
        jitad.vmap(jacobian, in_axes=(0, -1)), cameras, np.ascontiguousarray(points.T)
    )
    camera, point = found.inputs
    assert (camera.name, str(camera.type), camera.layout) == (
        "camera", "float64[3]", "rows",
    )  # fmt: skip
    assert (point.name, str(point.type), point.layout) == (
        "point", "float64[3]", "streams",
    )  # fmt: skip
    assert (camera.batch, point.batch) == ((0,), (-1,))
    assert [a.name for a in found.outputs] == ["result[0]", "result[1]"]
    assert found.extents == (100,)
    assert found.memory is not None
    assert found.memory.read == 48
    assert found.memory.written == 96
    assert found.memory.cached
    assert found.intensity == found.operations.weighted / 144
    assert math.isclose(found.memory.bound, 144 / machine.copy_bandwidth() * 1e9)


def test_what_points_share_is_divided_among_them() -> None:
    shared, points = batch(64, (3,), (3,))
    found = explain(jitad.vmap(projection, in_axes=(None, 0)), shared[0], points)
    assert found.inputs[0].batch == (None,)
    assert found.inputs[0].layout == "fixed"
    assert found.inputs[0].bytes == 24 / 64
    nested = explain(
        jitad.vmap(jitad.vmap(projection, in_axes=(None, 0)), in_axes=(0, None)),
        shared[:8],
        points,
    )
    assert nested.extents == (8, 64)
    assert [a.batch for a in nested.inputs] == [(0, None), (None, 0)]
    assert [a.bytes for a in nested.inputs] == [24 / 64, 24 / 8]
    assert nested.machine is not None
    assert nested.machine.level == 1
    assert "lanes along batch level 1" in str(nested)


def test_only_what_is_loaded_counts() -> None:
    def first(x: Any, y: Any) -> Any:
        return 2.0 * x[0]

    (rows,) = batch(16, (5,))
    found = explain(jitad.vmap(first), rows, rows)
    assert [a.bytes for a in found.inputs] == [40, 0]
    columns = np.asfortranarray(rows)
    found = explain(jitad.vmap(first), columns, columns)
    assert [(a.layout, a.bytes) for a in found.inputs] == [
        ("streams", 8),
        ("streams", 0),
    ]
    assert re.search(r"\n +y .* not read\n", str(found))


def test_names_are_the_users() -> None:
    def f(x: Any, *rest: Any, options: Any) -> Any:
        return {"y": x * options["scale"] + rest[0], "z": (rest[1][0],)}

    found = explain(jitad.jit(f), 1.0, 2.0, (3.0, 4.0), options={"scale": 5.0})
    assert [a.name for a in found.inputs] == [
        "x", "rest[0]", "rest[1][0]", "rest[1][1]", "options['scale']",
    ]  # fmt: skip
    assert [a.name for a in found.outputs] == ["result['y']", "result['z'][0]"]


def test_an_empty_batch_and_a_function_of_nothing() -> None:
    found = explain(jitad.vmap(jitad.grad(energy)), np.ones((0, 3)))
    assert found.extents == (0,)
    assert found.memory is not None
    assert (found.memory.read, found.memory.written) == (24, 24)
    assert " at 0 points\n" in str(found)
    assert "  inputs     none\n" in str(explain(jitad.jit(lambda: 1.0)))


def test_large_constants_and_empty_arrays_are_no_arguments() -> None:
    many = np.linspace(0, 1, 5000)

    def f(x: Any, empty: Any, y: Any) -> Any:
        return jitad.scan(lambda c, t: (c * t + x, None), y[1], many)[0], empty

    found = explain(jitad.jit(f), 0.5, np.ones(0), np.ones(3))
    assert [(a.name, a.bytes) for a in found.inputs] == [
        ("x", 8), ("empty", 0), ("y", 8),
    ]  # fmt: skip
    assert [(a.name, a.bytes) for a in found.outputs] == [
        ("result[0]", 8), ("result[1]", 0),
    ]  # fmt: skip


# -- words ---------------------------------------------------------------------


def test_the_text() -> None:
    points = np.ones((1000, 3))
    found = explain(jitad.vmap(jitad.grad(energy), in_axes=0), points)
    assert found.machine is not None
    numbers = re.sub(r"\d+\.?\d* (GB/s|ns|ms)", r"# \1", str(found))
    fixed = re.sub(r"( +machine ).*", r"\1   …", numbers).replace(
        "\n             ", " "
    )
    assert fixed.splitlines() == [
        "vmap(grad(energy)) at 1,000 points",
        "  inputs     x  float64[3]  batch axis 0  rows  24 bytes",
        "  outputs    result  float64[3]  batch axis 0  rows  24 bytes",
        "  mode       reverse: 40 weighted operations, against 40 forward; "
        "cross-country not tried (seldom gains with one output)",
        "  work       7 operations per point, 40 weighted: 4 mul, 1 add, 1 cos, 1 exp",
        "  memory     48 bytes per point: 24 read, 24 written; "
        "0.83 weighted operations per byte",
        "  bound      # ns per point at # GB/s, this machine's measured copy bandwidth "
        "(this call fits into the cache)",
        "  machine    …",
        "  time       # ms: trace # ms, scalarize # ms, differentiate # ms, "
        "lower # ms, compile # ms",
    ]


def test_what_the_machine_does() -> None:
    found = explain(jitad.vmap(jitad.grad(energy)), np.ones((1000, 3)))
    assert found.machine is not None
    width = machine.vector_width()
    assert found.machine.vector_bytes == width
    assert found.machine.lanes == max(2, width // 8)
    assert re.search(
        f"{found.machine.lanes} lanes, vectors of {width} bytes, (no|[0-9]+) spills?, "
        rf"{found.machine.threads} threads?\s+at\s+most",
        str(found),
    )


def test_machine_words_are_listed_where_they_differ() -> None:
    found = explain(jitad.grad(energy), X)
    same = found.operations.words == found.operations.counts
    assert ("\n  words " in str(found)) != same
    work = Operations({"tanh": 2}, {"mul": 1_000, "exp": 2}, 60.0)
    text = str(replace(found, operations=work))
    assert "  work       2 operations per point, 60 weighted: 2 tanh\n" in text
    assert "  words      1,002 for the machine: 1,000 mul, 2 exp\n" in text


def test_statements_in_loops_are_counted() -> None:
    f8 = np.dtype(float)
    buffers = (
        Buffer("x", f8, 1, (0,), "rows", False),
        Buffer("y", f8, 1, (0, 1), "rows", True),
    )
    inner = (Op(1, "neg", (0,), f8), Op(2, "mul", (0, 1), f8), Store(1, 0, 2))
    kernel = Kernel(
        buffers, 2, (Load(0, 0, 0, f8), Op(3, "neg", (0,), f8), For(1, inner))
    )
    graph = scalarize(engine.traced(lambda x: -x * x, 2.0).graph)
    found = operations(graph, kernel)
    assert found.words == {"neg": 2, "mul": 1}
    assert list(found.words) == ["neg", "mul"]
    assert found.counts == {"mul": 1, "neg": 1}
    assert (found.total, found.weighted) == (2, 2.0)


def test_the_interpreter_compiles_nothing() -> None:
    found = explain(jitad.grad(energy, backend="numpy"), X)
    assert (found.memory, found.machine, found.intensity) == (None, None, None)
    assert "  back end   numpy: node by node, nothing is compiled\n" in str(found)
    assert set(found.seconds) == {"trace", "scalarize", "differentiate"}


def test_explaining_does_not_run_and_is_remembered() -> None:
    calls = []

    def counted(x: Any) -> Any:
        calls.append(x)
        return x * 2.0

    function = jitad.jit(counted)
    x = np.ones(3)
    first = explain(function, x)
    assert str(explain(function, x)) == str(first)
    assert function(x).tolist() == [2.0, 2.0, 2.0]
    assert len(calls) == 1
    assert x.tolist() == [1.0, 1.0, 1.0]
    assert isinstance(first, Explanation)
    assert jitad.explain is explain


# -- errors --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            energy,
            r"got the function energy; wrap it: jitad.explain\(jitad.jit\(energy\)",
        ),
        (jitad.hvp(energy), r"got the function hvp\(energy\); wrap it"),
        (3.0, "got 3.0; pass the function, not its result, and then its arguments"),
    ],
)
def test_a_function_that_is_not_transformed(given: Any, message: str) -> None:
    with pytest.raises(jitad.InputError, match=f"expected a transformed.*{message}"):
        explain(given, X)


def test_the_calls_own_errors() -> None:
    with pytest.raises(jitad.InputError, match="args"):
        explain(jitad.grad(energy), "three")
    with pytest.raises(jitad.ShapeError, match="batch axes of different lengths"):
        explain(jitad.vmap(lambda x, y: x + y), np.ones(3), np.ones(4))


def test_inside_a_trace() -> None:
    def f(x: Any) -> Any:
        explain(jitad.grad(energy), x)
        return x

    with pytest.raises(jitad.TracingError, match="got traced values; call it outside"):
        jitad.jit(f)(X)


def test_every_transformation_can_be_explained() -> None:
    made: list[Function] = [
        jitad.jit(energy),
        jitad.grad(energy),
        jitad.value_and_grad(energy),
        jitad.jacobian(energy),
        jitad.hessian(energy),
        jitad.vmap(energy),
    ]
    for function in made:
        x = np.ones((8, 3)) if function.levels else X
        found = explain(function, x)
        leaves = tree.flatten(function(x))[0]
        shapes = [(*found.extents, *a.type.shape) for a in found.outputs]
        assert shapes == [np.shape(leaf) for leaf in leaves]
