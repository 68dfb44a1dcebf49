"""gauss_newton: the sums over points of r·r, Jᵀr and JᵀJ, without J."""

from __future__ import annotations

import functools
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitad
from benchmarks import bundle_adjustment
from benchmarks.memory import status
from jitad.backends.cpu.threads import most_threads

PEAK = Path("/proc/self/clear_refs")  # to which 5 is written to forget it


def residual(p: Any, x: Any, y: Any) -> Any:
    return np.stack([p[0] * np.exp(-p[1] * x) - y, p[2] * x * x])


def data(count: int, dtype: Any = float) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(count)
    p = np.array([1.0, 2.0, 0.5])
    return tuple(a.astype(dtype) for a in (p, rng.random(count), rng.random(count)))


def stored(r: np.ndarray, j: np.ndarray, weights: Any = None) -> tuple[Any, ...]:
    """The same from all residuals (points, m) and Jacobians (points, m, n)."""
    r, j = r.astype(float), j.astype(float)
    w = np.ones(r.shape) if weights is None else np.array(weights, float)
    w = np.broadcast_to(w.reshape(len(r), -1), r.shape)
    return (
        np.sum(w * r * r),
        np.einsum("km,kmn,km->n", w, j, r),
        np.einsum("km,kma,kmb->ab", w, j, j),
    )


def close(found: Any, wanted: Any, dtype: Any = float) -> None:
    for a, b in zip(found, wanted, strict=True):
        scale = np.abs(b).max()
        assert np.isfinite(scale) and scale > 0
        assert a.shape == b.shape and a.dtype == dtype
        assert np.abs(a - b).max() <= 200 * np.finfo(dtype).eps * scale


@pytest.mark.parametrize("count", (1, 7, 64, 65, 300, 2049))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_it_is_what_stored_jacobians_give(count: int, dtype: Any) -> None:
    p, x, y = data(count, dtype)
    r = jitad.vmap(residual, in_axes=(None, 0, 0))(p, x, y)
    j = jitad.vmap(jitad.jacobian(residual), in_axes=(None, 0, 0))(p, x, y)
    close(jitad.gauss_newton(residual)(p, x, y), stored(r, j), dtype)


@pytest.mark.parametrize("count", (7, 300))
@pytest.mark.parametrize("shape", [(), (2,)])
def test_weights_are_for_points_or_residuals(count: int, shape: Any) -> None:
    p, x, y = data(count)
    w = np.random.default_rng(1).random((count, *shape))
    r = jitad.vmap(residual, in_axes=(None, 0, 0))(p, x, y)
    j = jitad.vmap(jitad.jacobian(residual), in_axes=(None, 0, 0))(p, x, y)
    found = jitad.gauss_newton(residual)(p, x, y, weights=w)
    close(found, stored(r, j, w))
    assert np.array_equal(found[2], found[2].T)


def test_half_the_gradient_of_the_sum_of_squares() -> None:
    p, x, y = data(500)

    def square(p: Any) -> Any:
        r = jitad.vmap(residual, in_axes=(None, 0, 0))(p, x, y)
        return np.sum(r * r)

    value, gradient = jitad.value_and_grad(square)(p)
    total, slope, _ = jitad.gauss_newton(residual)(p, x, y)
    assert abs(total - value) <= 1e-13 * value
    assert np.abs(slope - gradient / 2).max() <= 1e-13 * np.abs(gradient).max()


def test_one_step_solves_a_linear_problem() -> None:
    rng = np.random.default_rng(2)
    x, y, p = rng.normal(size=(1000, 4)), rng.normal(size=1000), rng.normal(size=4)
    _, slope, matrix = jitad.gauss_newton(lambda p, x, y: x @ p - y)(p, x, y)
    wanted = np.linalg.lstsq(x, y, rcond=None)[0]
    assert np.abs(p - np.linalg.solve(matrix, slope) - wanted).max() < 1e-12


def test_every_observation_of_a_bundle_has_its_own_parameters() -> None:
    f = functools.partial(bundle_adjustment.residual, np)
    made = bundle_adjustment.observations(640)
    given = list(made.values()) if isinstance(made, dict) else list(made)
    own = jitad.gauss_newton(f, argnums=(0, 1, 2), in_axes=0)
    slopes = jitad.vmap(jitad.jacobian(f, argnums=(0, 1, 2)))(*given)
    j = np.concatenate([s.reshape(640, 2, -1) for s in slopes], axis=2)
    found = own(*given)
    assert found[2].shape == (15, 15)
    close(found, stored(jitad.vmap(f)(*given), j))


def test_parameters_and_residuals_may_be_trees() -> None:
    def tree(p: Any, x: Any) -> Any:
        return {"a": p["slope"] * x, "b": np.sum(p["shift"]) - x}

    p = {"slope": np.float64(2.0), "shift": np.array([0.25, 0.5])}
    x = np.random.default_rng(3).random(400)
    r = np.stack([2.0 * x, 0.75 - x], axis=1)
    j = np.zeros((400, 2, 3))
    # The leaves of a dict are in the order of its keys.
    j[:, 0, 2], j[:, 1, :2] = x, 1.0
    close(jitad.gauss_newton(tree)(p, x), stored(r, j))


def test_it_is_the_same_for_any_number_of_threads() -> None:
    p, x, y = data(30_011)
    before, found = jitad.get_threads(), []
    try:
        for threads in range(1, most_threads() + 1):
            jitad.set_threads(threads)
            found.append(jitad.gauss_newton(residual)(p, x, y))
    finally:
        jitad.set_threads(before)
    for result in found:
        pairs = zip(result, found[0], strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)


def test_no_jacobian_is_stored() -> None:
    p, x, y = data(200_000)
    f = jitad.gauss_newton(residual)
    f(p, x, y)
    tracemalloc.start()
    f(p, x, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # J has six entries for every point.
    assert peak < 6 * x.nbytes / 20


@pytest.mark.skipif(not PEAK.exists(), reason="the system does not state the peak")
def test_tracing_touches_no_memory_for_all_points() -> None:
    p, x, y = np.ones(15), *data(1 << 18)[1:]
    normal = jitad.gauss_newton(lambda p, x, y: np.sin(p * x) - y)
    PEAK.write_text("5")
    before = status("VmRSS")
    jitad.graph(normal, p, x, y)
    # JᵀJ has 120 different entries for every point.
    assert status("VmHWM") - before < 120 * x.nbytes / 4


def test_a_batch_of_fits() -> None:
    p, x, y = data(300)
    many = p * np.array([[1.0], [0.5], [2.0]])
    found = jitad.vmap(jitad.gauss_newton(residual), in_axes=(0, None, None))
    for k, own in enumerate(zip(*found(many, x, y), strict=True)):
        close(own, jitad.gauss_newton(residual)(many[k], x, y))


def test_it_is_explained() -> None:
    p, x, y = data(300)
    found = jitad.explain(jitad.gauss_newton(residual), p, x, y)
    assert found.name == "gauss_newton(residual)"
    assert found.sums[0].points == 300
    assert "jacobian(residual)" in found.text


def test_errors_name_the_remedy() -> None:
    p, x, y = data(300)
    with pytest.raises(jitad.ShapeError, match=r"weights of shape \(points,\) or"):
        jitad.gauss_newton(residual)(p, x, y, weights=np.ones((300, 3)))
    with pytest.raises(jitad.ShapeError, match="different lengths"):
        jitad.gauss_newton(residual)(p, x, y[:-1])
    with pytest.raises(jitad.InputError, match="floating-point"):
        jitad.gauss_newton(residual)(np.arange(3), x, y)
    with pytest.raises(jitad.InputError, match="no argument has a batch axis"):
        jitad.gauss_newton(lambda p: p)(p)
