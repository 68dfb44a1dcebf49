"""Linear algebra of small matrices: values by LAPACK, derivatives by hand."""

from __future__ import annotations

import numpy as np
import pytest

import jitad
from jitad.errors import UnsupportedError
from jitad.ir.primitive import registry
from jitad.primitives.matrices.linalg import RAISING
from jitad.transforms.derivatives import accumulate
from jitad.transforms.scalars.scalarize import scalarize
from tests.cases.linalg import FUNCTIONS
from tests.support.engine import jacobian, traced, value
from tests.support.laws import close, homogeneous, one_jacobian, same_value

RNG = np.random.default_rng(11)
NAN, INF = np.nan, np.inf
SINGULAR = np.array([[1.0, 2], [2, 4]])
ORDERS = (1, 2, 3, 4)


def matrix(n, *lead):
    """A well-conditioned matrix whose rows need to be exchanged."""
    a = RNG.uniform(-0.5, 0.5, (*lead, n, n)) + 2 * np.eye(n)
    return np.roll(a, 1, axis=-2)


def definite(n, *lead):
    a = RNG.normal(size=(*lead, n, n))
    return a @ np.swapaxes(a, -1, -2) + np.eye(n)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values(name):
    f = FUNCTIONS[name]
    for a in (*(matrix(n) for n in (*ORDERS, 7)), matrix(3, 2), matrix(2, 2, 1)):
        same_value(f, a, ulp=1000)
    if "solve" not in name:
        same_value(f, matrix(3).astype(np.float32), ulp=1000)
    if "power" not in name and name != "square":
        same_value(f, np.array([[2, 1], [7, 4]]), ulp=1000)


def test_solve_broadcasts():
    a, b = matrix(3, 2), RNG.normal(size=(3, 2))
    same_value(np.linalg.solve, a, b, ulp=1000)
    same_value(np.linalg.solve, a, b[:, 0], ulp=1000)
    same_value(np.linalg.solve, a[0], np.stack([b, -b]), ulp=1000)
    same_value(lambda x: np.linalg.solve(a[0], x), b, ulp=1000)
    same_value(lambda x: np.linalg.solve(x, b), a[0], ulp=1000)
    same_value(np.linalg.solve, a[0].astype(np.float32), b, ulp=1000)


def test_cholesky_values():
    for a in (*(definite(n) for n in ORDERS), definite(3, 2)):
        for f in (np.linalg.cholesky, lambda x: np.linalg.cholesky(x, upper=True)):
            with np.errstate(all="ignore"):
                got, want = value(f, a), f(a)
            np.testing.assert_allclose(got, want, rtol=1e-13, atol=0)


def test_what_is_nan_of_nan_entries_in_numpy_is_nan():
    """More may be: NumPy's pivots decide what is left of other entries."""
    functions = (
        np.linalg.det,
        np.linalg.inv,
        lambda a: np.linalg.solve(a, np.ones(3)),
        lambda a: np.linalg.eigh(a)[0],
    )
    for k in range(9):
        a = np.array([[3.0, 1, 0], [1, 4, 1], [0, 1, 5]])
        a[divmod(k, 3)] = a.T[divmod(k, 3)] = np.nan
        for f in functions:
            try:
                with np.errstate(all="ignore"):
                    want = f(a)
            except np.linalg.LinAlgError:
                continue
            try:
                got = value(f, a)
            except np.linalg.LinAlgError:
                continue
            assert np.all(np.isnan(got) | ~np.isnan(want)), (k, got, want)


def test_elimination_is_as_accurate_as_lapack():
    n = 6
    hilbert = 1.0 / (1 + np.arange(n)[:, None] + np.arange(n))
    for a in (hilbert, np.diag(10.0 ** np.arange(-150, 150, 50)) @ matrix(n)):
        x = np.ones(n)
        b = a @ x
        ours = np.max(np.abs(value(np.linalg.solve, a, b) - x))
        lapack = np.max(np.abs(np.linalg.solve(a, b) - x))
        assert ours <= 10 * lapack + 1e-15
    tiny = np.array([[1e-20, 1.0], [1, 1]])
    np.testing.assert_allclose(
        value(np.linalg.inv, tiny), [[-1, 1], [1, 0]], atol=1e-19
    )


@pytest.mark.parametrize("n", ORDERS)
def test_derivatives_by_hand(n):
    a, b = matrix(n), RNG.normal(size=n)
    v = np.linalg.inv(a)
    x = v @ b
    (j,) = one_jacobian(np.linalg.inv, a)
    np.testing.assert_allclose(j, -np.einsum("ik,lj->ijkl", v, v), rtol=1e-11)
    by_a, by_b = one_jacobian(np.linalg.solve, a, b)
    np.testing.assert_allclose(by_a, -np.einsum("ik,l->ikl", v, x), rtol=1e-11)
    np.testing.assert_allclose(by_b, v, rtol=1e-11)
    (j,) = one_jacobian(lambda m: np.linalg.slogdet(m)[1], a)
    np.testing.assert_allclose(j, v.T, rtol=1e-11)
    (j,) = one_jacobian(lambda m: np.linalg.slogdet(m)[0], a)
    assert not np.any(j)


@pytest.mark.parametrize("n", [*ORDERS, 5, 6])
def test_derivative_of_det(n):
    a = matrix(n)
    (j,) = one_jacobian(np.linalg.det, a)
    want = np.linalg.det(a) * np.linalg.inv(a).T
    np.testing.assert_allclose(j, want, rtol=1e-10, atol=1e-10 * np.max(np.abs(want)))


@pytest.mark.parametrize("n", [3, 5, 6, 7])
def test_det_of_singular_matrices(n):
    u, _, v = np.linalg.svd(RNG.normal(size=(n, n)))
    signs = np.linalg.det(u) * np.linalg.det(v)
    for lost in (1, 2):
        values = np.concatenate([np.arange(1.0, n - lost + 1), np.zeros(lost)])
        (j,) = jacobian(np.linalg.det, (u * values) @ v)
        size = np.prod(np.arange(1.0, n))
        want = signs * size * np.outer(u[:, -1], v[-1]) if lost == 1 else 0 * u
        np.testing.assert_allclose(j, want, rtol=0, atol=1e-12 * size)
    for rank in range(n - 1):
        exact = np.zeros((n, n))
        exact[np.arange(rank), np.arange(rank)] = 2
        assert not np.any(jacobian(np.linalg.det, exact)[0])


def test_second_derivative_of_det_at_zero():
    def gradient_dot(a, v):
        # Of order 2 the determinant is bilinear, so this is its Hessian applied.
        return np.linalg.det(a + v) - np.linalg.det(a) - np.linalg.det(v)

    a, v = np.zeros((2, 2)), RNG.normal(size=(2, 2))
    (j, _) = one_jacobian(gradient_dot, a, v)
    np.testing.assert_allclose(j, [[v[1, 1], -v[1, 0]], [-v[0, 1], v[0, 0]]])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_cholesky_derivative(n):
    a = definite(n)
    factor = np.linalg.cholesky(a)
    (j,) = one_jacobian(np.linalg.cholesky, a)
    upper = np.triu_indices(n, 1)
    assert not np.any(j[:, :, *upper])
    # dA = dL Lᵀ + L dLᵀ, for symmetric dA, of which only the lower half is read.
    for k, m in zip(*np.tril_indices(n), strict=True):
        d = j[:, :, k, m]
        direction = np.zeros((n, n))
        direction[k, m] = direction[m, k] = 1
        np.testing.assert_allclose(
            d @ factor.T + factor @ d.T, direction, rtol=0, atol=1e-13
        )


def test_homogeneous():
    homogeneous(np.linalg.det, matrix(3), 3)
    homogeneous(np.linalg.inv, matrix(3), -1)
    homogeneous(np.linalg.cholesky, definite(3), 0.5)
    homogeneous(lambda a: np.linalg.matrix_power(a, 3), matrix(2), 3)


def test_derivatives_in_stacks():
    a = matrix(2, 3)
    for f in (np.linalg.inv, np.linalg.det, lambda m: np.linalg.slogdet(m)[1]):
        (j,) = one_jacobian(f, a)
        for i in range(3):
            (one,) = jacobian(f, a[i])
            found = j[i][..., i, :, :]
            np.testing.assert_allclose(found, one, rtol=1e-14)


def test_second_derivative_of_inv():
    def trace_of_inverse(a):
        return np.trace(np.linalg.inv(a))

    def gradient(a):
        v = np.linalg.inv(a)
        return -(v @ v).T

    a = matrix(2)
    (first,) = one_jacobian(trace_of_inverse, a)
    np.testing.assert_allclose(first, gradient(a), rtol=1e-12)
    (second,) = one_jacobian(gradient, a)
    np.testing.assert_allclose(
        second.reshape(4, 4), second.reshape(4, 4).T, rtol=1e-11, atol=1e-12
    )


def symmetric(n, *lead):
    a = RNG.normal(size=(*lead, n, n))
    return a + np.swapaxes(a, -1, -2)


@pytest.mark.parametrize("n", range(1, 7))
def test_eigenvalues_and_vectors(n):
    ordinary = symmetric(n)
    graded = ordinary * np.outer(10.0 ** np.arange(n), 10.0 ** np.arange(n))
    others = (graded, np.ones((n, n)), np.eye(n), 1e-100 * ordinary)
    for a in (ordinary, *(others if n < 5 else ())):
        want = np.linalg.eigvalsh(a)
        size = np.max(np.abs(want))
        found = value(np.linalg.eigvalsh, a)
        np.testing.assert_allclose(found, want, rtol=0, atol=1e-14 * size)
        for scalar in (False, True):
            w, v = value(np.linalg.eigh, a, scalar=scalar)
            np.testing.assert_allclose(a @ v, v * w, rtol=0, atol=1e-14 * size)
            np.testing.assert_allclose(v.T @ v, np.eye(n), rtol=0, atol=1e-14)
    one_triangle = np.tril(ordinary) + np.triu(np.ones((n, n)), 1)
    same_value(np.linalg.eigvalsh, one_triangle, ulp=1000)
    same_value(lambda x: np.linalg.eigvalsh(x, "U"), one_triangle.T, ulp=1000)
    same_value(np.linalg.eigvalsh, symmetric(n, 2), ulp=1000)


@pytest.mark.slow
def test_derivatives_of_eigenvalues_and_vectors():
    a = symmetric(3)

    def moved(x):
        w, v = np.linalg.eigh(x)
        return (v * w) @ v.T

    # V Λ Vᵀ is the matrix itself, made symmetric from its lower triangle.
    (j,) = one_jacobian(moved, a)
    for k, m in np.ndindex(3, 3):
        direction = np.zeros((3, 3))
        if k >= m:
            direction[k, m] = direction[m, k] = 1
        np.testing.assert_allclose(j[:, :, k, m], direction, rtol=0, atol=1e-13)
    v = np.linalg.eigh(a)[1]
    (j,) = one_jacobian(np.linalg.eigvalsh, a)
    twice = 2 * np.tril(np.ones((3, 3)), -1) + np.eye(3)
    want = np.einsum("ki,mi->ikm", v, v) * twice
    np.testing.assert_allclose(j, want, rtol=0, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 5])
def test_signs_of_eigenvectors_follow_a_rule(n):
    """The first entry that is at least 0.4 of a vector's largest is positive."""
    rng = np.random.default_rng(n)
    found = jitad.vmap(lambda a: np.linalg.eigh(a)[1])
    a = rng.normal(size=(50, n, n))
    a = a + np.swapaxes(a, 1, 2)
    want = np.linalg.eigh(a)[1]
    sizes = np.abs(want)
    first = np.argmax(sizes >= 0.4 * sizes.max(axis=1, keepdims=True), axis=1)
    want *= np.sign(np.take_along_axis(want, first[:, None], axis=1))
    np.testing.assert_allclose(found(a), want, rtol=0, atol=1e-11)
    for x in {2: [[[2.0, 1.0], [1.0, 2.0]], *a[:2]], 3: a[:1]}.get(n, ()):
        assert jitad.check(lambda x: np.linalg.eigh(x).eigenvectors, np.array(x))


def test_failures_are_nan_on_arrays_too():
    stack = np.stack([SINGULAR, np.eye(2)])
    for f in (np.linalg.inv, np.linalg.cholesky):
        arrays, scalars = (value(f, stack, scalar=s) for s in (False, True))
        close(scalars, arrays, 1e-15)
        assert np.all(np.isnan(arrays[0][np.tril_indices(2)]))
        np.testing.assert_array_equal(arrays[1], np.eye(2))
    x = value(np.linalg.solve, stack, np.ones((2, 1)))
    assert np.all(np.isnan(x[0])) and np.all(x[1] == 1)


def test_what_may_raise_can_be_found():
    names = set()
    for f in (np.linalg.inv, np.linalg.cholesky):
        names |= {n.primitive for n in traced(f, np.eye(2)).graph.nodes}
    graph = traced(np.linalg.solve, np.eye(2), np.ones(2)).graph
    names |= {n.primitive for n in graph.nodes}
    assert names >= RAISING


def test_mistakes_are_named():
    with pytest.raises(np.linalg.LinAlgError, match="square"):
        traced(np.linalg.inv, np.ones((2, 3)))
    with pytest.raises(ValueError, match="2 rows"):
        traced(np.linalg.solve, np.eye(2), np.ones(3))
    for f, remedy in [
        (np.linalg.svd, "eigvalsh"),
        (np.linalg.eig, "complex"),
        (np.linalg.pinv, "solve"),
        (np.linalg.qr, "cholesky"),
        (lambda a: np.linalg.lstsq(a, a), "solve"),
    ]:
        with pytest.raises(UnsupportedError, match=remedy):
            traced(f, np.eye(2))
    large = traced(np.linalg.eigh, np.eye(20)).graph
    with pytest.raises(UnsupportedError, match="1 to 8"):
        scalarize(large)


@pytest.mark.slow
def test_entries_of_a_large_inverse_are_shared():
    # A gradient asks for the 144 entries once more: they are the same primitives.
    graph = scalarize(traced(lambda a: np.sum(np.linalg.inv(a)), np.eye(12)).graph)
    found = accumulate.jacobian(graph, (0,), mode="reverse", value=True).graph
    entries = [n.primitive for n in found.nodes if n.primitive.name.startswith("inv12")]
    assert len(entries) == len(set(entries)) == 144
    assert all(registry.named(p.name) is p for p in entries)
