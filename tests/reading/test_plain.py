"""Loops of plain functions: long ones are read, with the numbers that Python gives.

Laws: read = run = CPython, values and derivatives; what cannot be read is run, and the
error says why it was, if that is too long in the end.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numba import njit

import jitad
from jitad import tree
from jitad.errors import TracingError
from jitad.ir import afresh
from jitad.ir.trace import Input, Type, trace
from jitad.reading import frame, frontend
from tests.cases.numba_code import FUNCTIONS

X = np.array([0.3, 1.7, -0.4, 2.2, 0.9])


def size(f: Any, *args: Any) -> int:
    """How many nodes the trace of a function has."""
    leaves, spec = tree.flatten((args, {}))
    inputs = [Input(Type(np.asarray(x).dtype, np.shape(x))) for x in leaves]
    return len(trace(f, spec, inputs).graph.nodes)


@pytest.fixture
def soon(monkeypatch: Any) -> None:
    """Read every loop as soon as there is an operation in it, and unroll none."""
    monkeypatch.setattr(afresh, "LONG", 0)
    monkeypatch.setattr(frame, "UNROLLED", 0)


def pair_energy(x):
    total = 0.0
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            r2 = 0.0
            for k in range(3):
                d = x[i, k] - x[j, k]
                r2 += d * d
            s6 = 1.0 / (r2 * r2 * r2)
            total += 4.0 * (s6 * s6 - s6)
    return total


def test_a_long_loop_is_read_and_a_short_one_run() -> None:
    rng = np.random.default_rng(1)
    few, many = rng.normal(size=(6, 3)), 9 * rng.normal(size=(60, 3))
    assert size(pair_energy, few) > 6 * 5 / 2 * 10
    assert size(pair_energy, many) < 400
    np.testing.assert_allclose(
        jitad.jit(pair_energy)(many), pair_energy(many), rtol=1e-12
    )
    h = 1e-5 * np.eye(3)[1]
    up, down = many.copy(), many.copy()
    up[7] += h
    down[7] -= h
    slope = (pair_energy(up) - pair_energy(down)) / 2e-5
    np.testing.assert_allclose(jitad.grad(pair_energy)(many)[7, 1], slope, rtol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numba_code_without_numba(name: str, soon: None) -> None:
    compiled, args = FUNCTIONS[name]
    f = compiled.py_func
    found, want = jitad.jit(f)(*args), compiled(*args)
    for a, b in zip(tree.flatten(found)[0], tree.flatten(want)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


# -- what Python means by it -----------------------------------------------------------


def stencil(x):
    total, n = 0.0, len(x)
    for i in range(n):
        if i > 0:
            total += x[i - 1] * x[i]
        if i < n - 1:
            total += x[i + 1] ** 2
    return total


def from_the_end(x):
    total = 0.0
    for i in range(len(x)):
        total += x[-i] * (i + 1) + x[i - 1]
    return total


def counted(x):
    k, total = 0, 0.0
    while k < len(x):
        total = total + x[k] / (k + 1)
        k += 1
    return total * k


def swapped(x):
    a, b = x.copy(), np.zeros(len(x))
    for _ in range(7):
        for i in range(1, len(x) - 1):
            b[i] = 0.5 * a[i] + 0.25 * (a[i - 1] + a[i + 1])
        a, b = b, a
    return a.sum() + a[2]


def together(x):
    total = 0.0
    for k, (a, b) in enumerate(zip(x, x[::-1], strict=True)):
        total += np.sin(a * b) * k
    return total


def parts(i, j, x):
    return np.exp(-abs(x[i] - x[j])) if i != j else 0.0


def calls_others(x):
    total = 0.0
    for i in range(len(x)):
        for j in range(len(x)):
            total += parts(i, j, x)
    return total


def nested_tables(x, p):
    total = 0.0
    for i in range(len(x)):
        total += p["weights"][i % 2] * x[i] ** 2 + p["shift"]
    return total


def halves(x):
    total = 0.0
    for i in range(len(x)):
        total += x[i // 2] * (i % 3 - 1) - x[i] * (i / 2)
    return total


class Pair(NamedTuple):
    first: Any
    second: Any


def backwards(x):
    total = 0.0
    for i in reversed(range(len(x))):
        pair = Pair(x[i], total * 0.5)
        total = pair.first**2 + pair.second
    for v in reversed(x):
        total = total * 0.5 + v
    return total


def escapes(x):
    z = x[0]
    for k in range(40):
        z = z * z + 0.3
        if z > 2.0:
            return z + k
    return z


READ: dict[str, tuple[Any, tuple[Any, ...]]] = {
    f.__name__: (f, (X,))
    for f in (
        *(stencil, from_the_end, counted, swapped, together, calls_others, halves),
        escapes,
        backwards,
    )
}
READ["nested_tables"] = (
    nested_tables,
    (X, {"weights": np.array([0.5, 2]), "shift": 1.0}),
)


@pytest.mark.parametrize("name", READ)
def test_read_is_run_is_python(name: str, monkeypatch: Any) -> None:
    f, args = READ[name]

    def all_modes() -> list[Any]:
        value = jitad.jit(f)(*args)
        slope = jitad.grad(f)(*args)
        forward = jitad.jacobian(f, mode="forward")(*args)
        batch = jitad.vmap(jitad.grad(f), in_axes=(0, *[None] * (len(args) - 1)))
        return [value, slope, forward, batch(np.stack([X, 1.01 * X]), *args[1:])]

    run = all_modes()
    monkeypatch.setattr(afresh, "LONG", 0)
    monkeypatch.setattr(frame, "UNROLLED", 0)
    read = all_modes()
    np.testing.assert_allclose(read[0], f(*args), rtol=1e-14)
    for a, b in zip(read, run, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)
    (made,) = {g for g in (f,) if not trace(g, *_types(args)).unread}
    assert made is f


def _types(args: Any) -> tuple[Any, list[Input]]:
    leaves, spec = tree.flatten((args, {}))
    return spec, [Input(Type(np.asarray(x).dtype, np.shape(x))) for x in leaves]


def test_paths_of_branches_are_joined_where_they_are_too_many() -> None:
    def relu(x):
        total = 0.0
        for i in range(40):
            if x[i] > 0.0:
                total += x[i] ** 2
        return total

    x = np.linspace(-1, 1, 40)
    np.testing.assert_allclose(jitad.grad(relu)(x), np.where(x > 0, 2 * x, 0.0))


def test_a_loop_that_data_end() -> None:
    def root(a):
        x = a
        while abs(x * x - a) > 1e-13:
            x = 0.5 * (x + a / x)
        return x

    assert math.isclose(jitad.grad(root)(2.0), 0.5 / math.sqrt(2.0), rel_tol=1e-12)


# -- what is run -----------------------------------------------------------------------


def list_that_grows(x):
    made = []
    for i in range(3):
        made.append(x[i] * 2.0)  # noqa: PERF401 # here: .append of a list
    return made[0] + made[2]


def large_whole_numbers(x):
    a, b, total = 0, 1, 0.0
    for i in range(100):
        a, b = b, a + b  # here: add of whole numbers
        total += x[i % 5] * float(a)
    return total


def divides_by_zero(x):
    total = 0.0
    for i in range(5):
        if i != 2:
            total += x[i] * (1.0 / (i - 2))  # here: division by a whole number
    return total


def single(x):
    total = np.float32(0.0)  # here: a value of dtype float32
    for i in range(5):
        total = total + np.float32(0.1) * x[i]
    return total


def catching(x):
    total = 0.0
    for i in range(5):
        try:  # noqa: SIM105
            total += x[i]  # here: try and except
        except ValueError:
            pass
    return total


def dictionary(x):
    total, table = 0.0, {}  # here: a dict
    for i in range(3):
        table[i] = x[i]
        total += table[i]
    return total


def truths(x):
    total = 0.0
    for i in range(5):
        total += x[i] * ((x[i] > 0) + (x[i] > 1))  # here: arithmetic of truths
    return total


RUN = [
    list_that_grows, large_whole_numbers, divides_by_zero, single, catching,
    dictionary, truths,
]  # fmt: skip


@pytest.mark.parametrize("f", RUN, ids=lambda f: f.__name__)
def test_what_cannot_be_read_is_run(f: Any, soon: None) -> None:
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(jitad.jit(f)(X), f(X), rtol=1e-7)
    assert np.shape(jitad.grad(f)(X)) == (5,)
    (reason,) = trace(f, *_types((X,))).unread
    assert f"The loops of {f.__name__} were unrolled, not read: " in reason
    lines = Path(__file__).read_text().splitlines()
    first = f.__code__.co_firstlineno
    marked = next(n for n in range(first, first + 12) if "# here: " in lines[n - 1])
    assert lines[marked - 1].split("# here: ")[1] in reason
    assert f"{__file__}:{marked}" in reason


def test_what_is_never_read_is_known_without_numba(
    soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frontend, "program", lambda f: pytest.fail("it was asked"))

    def table(x):
        chosen = {"a": np.sin, "b": np.cos}
        total = 0.0
        for name in ("a", "b"):
            total = total + chosen[name](x[0])
        return total

    def inner(x):
        double = lambda y: y + y  # noqa: E731
        for _ in range(3):
            x = double(x)
        return x

    for f in (dictionary, table, inner):
        np.testing.assert_allclose(jitad.jit(f)(X), f(X), rtol=1e-15)
        (reason,) = trace(f, *_types((X,))).unread
        assert "a dict" in reason or "a function" in reason


def test_the_error_for_too_many_paths_says_why_the_loop_was_not_read() -> None:
    def signs(x):
        made = []
        for i in range(40):
            made.append(1.0 if x[i] > 0.0 else -1.0)  # noqa: PERF401
        return sum(made) * x[0]

    with pytest.raises(TracingError, match="more than 64 paths") as error:
        jitad.jit(signs)(np.linspace(-1, 1, 40))
    (note,) = [n for n in error.value.__notes__ if "not read" in n]
    assert ".append of a list" in note


def test_functions_are_what_they_were(soon: None) -> None:
    code = counted.__code__
    jitad.grad(counted)(X)
    assert counted.__code__ is code
    with pytest.raises(TracingError):
        jitad.jit(lambda x: counted(x) + float(x[0]))(X)
    assert counted.__code__ is code


def test_what_a_function_knows_from_outside_is_read_anew(soon: None) -> None:
    factor = 2.0

    def f(x):
        total = 0.0
        for i in range(5):
            total += factor * x[i]
        return total

    assert np.array_equal(jitad.grad(f)(X), np.full(5, 2.0))
    factor = 3.0
    assert np.array_equal(jitad.grad(lambda x: f(x))(X), np.full(5, 3.0))


def test_an_inner_function_is_read_with_values_of_the_outer_trace(soon: None) -> None:
    def inner(scale):
        def f(x):
            total = 0.0
            for i in range(5):
                total = total + scale[i] * x[i] ** 2
            return total

        return f

    def outer(x):
        return jitad.grad(inner(x * 2.0))(x).sum()

    np.testing.assert_allclose(jitad.jit(outer)(X), np.sum(4 * X * X))


def test_arguments_written_to_in_an_inner_function(soon: None) -> None:
    def fill(out, x):
        for i in range(len(x)):
            out[i] = x[i] ** 2

    def f(x):
        out = jitad.zeros(5)
        fill(out, x)
        return out.sum()

    np.testing.assert_allclose(jitad.grad(f)(X), 2 * X)


def halved(x):
    while x > 1.0:
        x = x / 2.0
    return x


def test_explain_says_what_became_of_every_loop() -> None:
    def rows(x):
        total = 0.0
        for i in range(3):
            total += x[i, 0] ** 2
        return pair_energy(x) + total

    x = 9 * np.random.default_rng(1).normal(size=(400, 3))
    said = dict(jitad.explain(jitad.grad(rows), x).source)
    file, first = __file__, pair_energy.__code__.co_firstlineno
    assert said == {
        f"{file}:{first + 2}": "read, added up in lanes",
        f"{file}:{first + 3}": "read",
        f"{file}:{first + 5}": "unrolled, 3 iterations",
        f"{file}:{rows.__code__.co_firstlineno + 2}": "unrolled, run by Python",
    }
    said = dict(jitad.explain(jitad.jit(njit(halved)), 9.0).source)
    assert said == {f"{file}:{halved.__code__.co_firstlineno + 1}": "read"}
    found = str(jitad.explain(jitad.grad(rows), x))
    assert f"test_plain.py:{first + 3}" in found and "run by Python" in found
