"""What is computed in one sweep: fewer passes, and the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitad
from jitad.calls import function
from jitad.calls.call import Elements
from jitad.elements import build, kernels, steps
from jitad.elements.cells import Source
from jitad.elements.kernels import Nest
from jitad.elements.windows import full
from tests.cases.large import LARGE, arguments, gradients


def assert_near(found: Any, wanted: Any, part: float) -> None:
    """Arrays are those wanted, to such a part of the largest of all entries."""
    scale = max(float(np.max(np.abs(x))) for x in wanted)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=part * scale)


@pytest.mark.parametrize("name", LARGE)
def test_sweeps_that_are_joined_give_the_same_numbers(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To rounding: sums are added up in another order."""
    monkeypatch.setattr(function, "_LARGE", -1)
    args = arguments(name, 7)
    value, slopes = gradients(name)(*args)
    monkeypatch.setattr(build, "joined", lambda steps: steps)
    monkeypatch.setattr(build, "flattened", lambda sweep, shape: sweep)
    jitad.cache_clear()
    other, wanted = jitad.value_and_grad(
        LARGE[name].function, argnums=tuple(range(len(args)))
    )(*args)
    np.testing.assert_allclose(value, other, rtol=1e-12)
    assert_near(slopes, wanted, 1e-13)


def large(f: Any, *args: Any) -> list[steps.Run]:
    """The runs of a call that compute more than a hundredth of the elements."""
    made = f.prepare(*args).steps.steps
    runs = [s for s in made if isinstance(s, steps.Run)]
    count = [s.lanes * int(np.prod(s.outer)) for s in runs]
    return [s for s, n in zip(runs, count, strict=True) if n > sum(count) / 100]


def test_a_value_is_added_up_where_its_gradient_is_computed() -> None:
    x = np.linspace(-1.0, 1.0, 10_000)
    f = jitad.value_and_grad(LARGE["rosenbrock"].function)
    (run,) = large(f, x)
    assert len(run.sums) == 1 and len(run.reaches) == run.reads + 1
    text = str(jitad.explain(f, x))
    assert "store and sum 9,998 elements" in text and "of which 1 are large" in text
    value, slopes = f(x)
    rise, step = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    wanted = np.zeros_like(x)
    wanted[1:] += 200 * rise
    wanted[:-1] -= 400 * x[:-1] * rise + 2 * step
    np.testing.assert_allclose(value, np.sum(100 * rise**2 + step**2), rtol=1e-13)
    np.testing.assert_allclose(slopes, wanted, rtol=1e-12, atol=1e-11)


def test_sums_along_three_axes_are_one_sweep() -> None:
    u = np.random.default_rng(0).uniform(-1, 1, (40, 40, 40))
    f = jitad.value_and_grad(LARGE["smoothness"].function)
    runs = large(f, u)
    assert max(len(s.sums) for s in runs) == 3
    assert all(len(s.reaches) == s.reads + 1 for s in runs)
    wanted = sum(np.sum(np.diff(u, axis=k) ** 2) for k in range(3))
    np.testing.assert_allclose(f(u)[0], wanted, rtol=1e-13)


def test_results_of_the_same_elements_are_one_sweep() -> None:
    x = np.linspace(0.1, 1.0, 10_000)
    f = jitad.jit(lambda x: (np.sin(x), np.cos(x) + 1, np.sum(np.sqrt(x))))
    (run,) = large(f, x)
    assert len(run.reaches) - run.reads == 2 and len(run.sums) == 1
    one, two, three = f(x)
    np.testing.assert_allclose(one, np.sin(x), rtol=1e-15)
    np.testing.assert_allclose(two, np.cos(x) + 1, rtol=1e-15)
    np.testing.assert_allclose(three, np.sum(np.sqrt(x)), rtol=1e-13)


def test_what_needs_a_sum_does_not_wait_for_it() -> None:
    x = np.linspace(0.1, 1.0, 10_000)
    f = jitad.jit(lambda x: x / np.sum(x))
    assert len(large(f, x)) == 2
    np.testing.assert_allclose(f(x), x / np.sum(x), rtol=1e-14)


@pytest.mark.parametrize("count", (1, 2, 3))
def test_sums_in_sweeps_are_the_same_for_any_number_of_threads(count: int) -> None:
    x = np.random.default_rng(1).uniform(-1, 1, 1_000_003)
    f = jitad.value_and_grad(LARGE["rosenbrock"].function)
    value, slopes = f(x)
    with jitad.threads(count):
        again, wanted = f(x)
    assert value == again
    np.testing.assert_array_equal(slopes, wanted)


def test_the_inside_of_an_array_has_no_rows() -> None:
    """What is computed between them is written over, wherever the array lies."""
    u = np.random.default_rng(2).uniform(-1, 1, (40, 50, 60))

    def inside(u: Any) -> Any:
        made = 3 * u
        inner = u[1:-1, 1:-1, 1:-1]
        made[1:-1, 1:-1, 1:-1] = inner * u[2:, 1:-1, 1:-1] + u[1:-1, 1:-1, :-2]
        return made

    f = jitad.jit(inside)
    for x in (u, u[::-1, :, ::-1], np.asfortranarray(u)):
        run = large(f, x)[0]
        assert run.outer == () and run.lanes == 37 * 3000 + 47 * 60 + 58
        np.testing.assert_allclose(f(x), inside(x), rtol=1e-14, atol=1e-15)


def test_a_plan_becomes_one_program_when_it_has_run_often() -> None:
    def steps_of(u: Any) -> Any:
        u = u.copy()
        for _ in range(12):
            u[1:-1, 1:-1] += 0.1 * (u[2:, 1:-1] + u[:-2, 1:-1] - 2 * u[1:-1, 1:-1])
        return np.sum(u**3)

    call = jitad.value_and_grad(steps_of).prepare(
        u := np.random.default_rng(3).uniform(-1, 1, (40, 41))
    )
    value, slopes = call.run([u], None)
    for _ in range(12):
        again, last = call.run([u], None)
    assert call.steps._program is not None
    np.testing.assert_allclose(again, value, rtol=1e-14)
    np.testing.assert_allclose(last, slopes, rtol=1e-13, atol=1e-14)
    # What one call gave is not what the next writes to.
    kept = last.copy()
    call.run([2 * u], None)
    np.testing.assert_array_equal(last, kept)


@pytest.mark.parametrize("dtype", (np.float64, np.float32))
def test_most_of_many_overlapping_terms_is_computed_at_once(
    dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adjoint of a stencil in three dimensions has dozens of corners and edges."""
    A = np.random.default_rng(4).uniform(-1, 1, (40, 41, 42)).astype(dtype)
    f = jitad.grad(LARGE["heat_3d"].function)
    found, inside = f(A), [s for s in large(f, A) if s.lanes > A.size / 2]
    assert inside and all(s.outer == () for s in inside)
    monkeypatch.setattr(build, "overlap", lambda *_: None)
    jitad.cache_clear()
    wanted = jitad.grad(LARGE["heat_3d"].function)(A)
    limit = 50 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=limit)
    assert found.dtype == dtype


def spread(x: np.ndarray, shifts: Any, weights: Any) -> Any:
    """Neighbours of what has all of them, by weights; and the border as it is."""
    low = np.max([np.zeros_like(s) for s in shifts] + [-s for s in shifts], axis=0)
    high = np.max([np.zeros_like(s) for s in shifts] + list(shifts), axis=0)
    inside = tuple(map(slice, low, np.array(x.shape) - high))
    total = 0.0
    for s, w in zip(shifts, weights, strict=True):
        total = total + w * x[tuple(map(slice, low + s, np.array(x.shape) - high + s))]
    y = x.copy()
    y[inside] = total
    return y


@pytest.mark.parametrize("shape", ((211,), (17, 23), (9, 8, 11), (5, 6, 4, 7)))
@pytest.mark.parametrize("dtype", (np.float64, np.float32))
def test_what_is_added_at_many_places_is_read_amid_zeros(
    shape: tuple[int, ...], dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any stencil, with places to one side only too, twice."""
    monkeypatch.setattr(function, "_LARGE", -1)
    monkeypatch.setattr(build, "_EDGE", 10**9)
    rng = np.random.default_rng(len(shape))
    axes = np.eye(len(shape), dtype=int)
    shifts = [*axes, *(-axes), *rng.integers(-1, 2, (3, len(shape)))]
    weights = rng.uniform(-1, 1, len(shifts)).astype(dtype).tolist()
    x, scale = (rng.uniform(-1, 1, shape).astype(dtype) for _ in range(2))

    def f(x: Any) -> Any:
        return np.sum(scale * spread(spread(x, shifts, weights), shifts, weights) ** 2)

    met: list[Any] = []
    halos = build.halos
    monkeypatch.setattr(build, "halos", lambda *a: met.extend(h := halos(*a)) or h)
    found, product = jitad.grad(f)(x), jitad.hvp(f)(x, scale)
    assert max(len(halo.terms) for halo in met) >= 2 * len(shape)
    # Linear but for the square: a product with its Jacobian is the same stencil.
    dot = spread(spread(scale, shifts, weights), shifts, weights)
    y = spread(spread(x, shifts, weights), shifts, weights)
    limit = 200 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(
        np.sum(found * scale), np.sum(2 * scale * y * dot), rtol=limit * 10, atol=limit
    )
    monkeypatch.setattr(build, "halos", lambda *_: [])
    jitad.cache_clear()
    np.testing.assert_allclose(jitad.grad(f)(x), found, rtol=0, atol=limit)
    np.testing.assert_allclose(jitad.hvp(f)(x, scale), product, rtol=0, atol=limit)


def test_a_stencil_among_edges_takes_few_passes() -> None:
    """Of 40×40×40 elements edges took longer than all within."""
    A = np.random.default_rng(4).uniform(-1, 1, (40, 40, 40))
    f: Any = jitad.grad(LARGE["heat_3d"].function)
    runs = [s for s in f.prepare(A).steps.steps if isinstance(s, steps.Run)]
    assert len(runs) < 50
    with jitad.threads(1):
        alone = f(A)
    for n in (2, 3, 8):
        with jitad.threads(n):
            np.testing.assert_array_equal(f(A), alone)


def test_a_multiple_of_no_derivative_has_no_gate() -> None:
    """Unless the multiple is of infinity, or of what may be infinite."""
    z = np.zeros(5000)

    def f(x: Any, factor: Any) -> Any:
        y = x.copy()
        y[:10] = 0
        return np.sum(factor * y)

    g = jitad.grad(f)
    tripled: Any = jitad.grad(lambda x: f(x * 3.0, 2.0))
    nodes = [
        node.primitive.name
        for s in tripled.prepare(z).steps.steps
        if isinstance(s, steps.Run)
        for node in s.graph.nodes
    ]
    assert "gate" not in nodes and "nonzero" not in nodes
    np.testing.assert_array_equal(g(z, 2.0)[[0, 20]], [0.0, 2.0])
    slopes = jitad.grad(lambda x: np.sum(f(np.sqrt(x), 1.0)))(z)
    np.testing.assert_array_equal(slopes[[0, 20]], [0.0, np.inf])
    slopes = jitad.grad(lambda x: f(x * np.inf, 1.0))(z + 1)
    np.testing.assert_array_equal(slopes[[0, 20]], [0.0, np.inf])


@pytest.mark.parametrize("length", (2, 7))
def test_rows_that_add_to_the_same_elements_wait_for_one_another(length: int) -> None:
    """Threads that took rows of overlapping windows lost some of what they added."""
    w = np.random.default_rng(0).normal(size=200_000)

    def f(w: Any) -> Any:
        return np.sum(np.lib.stride_tricks.sliding_window_view(w, length) ** 3)

    g: Any = jitad.grad(f)
    runs = [s for s in g.prepare(w).steps.steps if isinstance(s, steps.Run)]
    assert all(s.alone or not s.outer for s in runs)
    often = np.convolve(np.ones(length), np.ones(w.size - length + 1))
    for n in (1, 2, 3, 8):
        with jitad.threads(n):
            np.testing.assert_allclose(g(w), 3 * w**2 * often, rtol=1e-14)


@pytest.mark.parametrize(
    ("shape", "own", "apart"),
    [
        ((5, 6), (6, 1), True),
        ((6, 5), (1, 6), True),
        ((5, 6), (-6, 1), True),
        ((5, 6), (7, 1), True),
        ((5, 6), (5, 1), False),
        ((5, 6), (1, 1), False),
        ((5, 6), (0, 1), False),
        ((5, 1), (2, 0), True),
        ((3, 4, 5), (40, 10, 2), True),
        ((3, 4, 5), (20, 10, 2), False),
    ],
)
def test_elements_at_two_indices_are_seen(
    shape: tuple[int, ...], own: tuple[int, ...], apart: bool
) -> None:
    source = Source(0, np.dtype(float), 0, own)
    assert Nest(full(shape), [source]).apart(source) == apart


@pytest.mark.parametrize("name", LARGE)
def test_numpy_computes_the_same_passes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With backend="numpy" arrays stay whole, too, and nothing is compiled."""
    monkeypatch.setattr(function, "_LARGE", -1)
    args = arguments(name, 7)
    value, slopes = gradients(name)(*args)

    def compiled(*_: Any, **__: Any) -> Any:
        raise AssertionError("a kernel was compiled")

    monkeypatch.setattr(kernels, "compiled", compiled)
    f, numbers = LARGE[name].function, tuple(range(len(args)))
    f = jitad.value_and_grad(f, argnums=numbers, backend="numpy")
    assert isinstance(f.prepare(*args), Elements)
    found, others = f(*args)
    np.testing.assert_allclose(found, value, rtol=1e-12)
    assert_near(others, slopes, 1e-12)


def test_numpy_adds_up_what_is_added_to_one_place_in_order() -> None:
    """Rows that are added to one row, in a loop as well."""
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(40, 3, 50)), rng.normal(size=50)

    def f(x: Any, w: Any) -> Any:
        windows = np.lib.stride_tricks.sliding_window_view(w, 7)
        for _ in range(40):
            w = w + 0.01 * np.sum(x, axis=(0, 1)) * np.sin(w)
        return np.sum(x * w, axis=(0, 2)) @ np.ones(3) + np.sum(windows**3)

    wanted = jitad.grad(f, argnums=(0, 1))(x, w)
    made = jitad.grad(f, argnums=(0, 1), backend="numpy")
    assert isinstance(made.prepare(x, w), Elements)
    for a, b in zip(made(x, w), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * np.max(np.abs(b)))
    assert "passes" in str(jitad.explain(made, x, w))
