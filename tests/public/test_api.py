"""The public face: laws that hold between transformations, and errors at the call."""

from __future__ import annotations

import dataclasses
import functools
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse.linalg

import jitad
from jitad.backends.cpu import executable as cpu
from jitad.backends.cpu import rounds, simd
from jitad.transforms.derivatives import accumulate

BACKENDS = ("cpu", "numpy")
X = np.array([0.3, 0.7, -0.4])


def f(x: Any) -> Any:
    return np.sin(x[0]) * x[1] * x[1] + np.exp(x[0] * x[2]) / x[1]


def g(x: Any) -> Any:
    return np.stack([x[0] * x[1], np.sin(x[1]) * x[2], x[2], x[0] / x[2]])


def close(got: Any, expected: Any) -> None:
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=0)


def columns(function: Any, x: np.ndarray) -> np.ndarray:
    """A Jacobian from complex-step-free central differences, to 1e-7."""
    h = 1e-5
    parts = [
        (function(x + h * e) - function(x - h * e)) / (2 * h) for e in np.eye(x.size)
    ]
    return np.stack(parts, axis=-1)


@pytest.mark.parametrize("backend", BACKENDS)
class TestOnePoint:
    def test_value(self, backend: Any) -> None:
        close(jitad.jit(g, backend=backend)(X), g(X))

    @pytest.mark.parametrize("mode", ["auto", "forward", "reverse", "cross"])
    def test_jacobian_in_every_mode(self, backend: Any, mode: Any) -> None:
        found = jitad.jacobian(g, mode=mode, backend=backend)(X)
        np.testing.assert_allclose(found, columns(g, X), rtol=1e-7, atol=1e-9)

    def test_gradient_and_value(self, backend: Any) -> None:
        value, gradient = jitad.value_and_grad(f, backend=backend)(X)
        close(value, f(X))
        close(gradient, jitad.grad(f, backend=backend)(X))
        np.testing.assert_allclose(gradient, columns(f, X), rtol=1e-8)

    def test_hessian_is_symmetric_and_the_jacobian_of_the_gradient(
        self, backend: Any
    ) -> None:
        hessian = jitad.hessian(f, backend=backend)(X)
        np.testing.assert_array_equal(hessian, hessian.T)
        close(hessian, jitad.jacobian(jitad.grad(f), backend=backend)(X))

    def test_hessian_of_a_vector_function(self, backend: Any) -> None:
        hessian = jitad.hessian(g, backend=backend)(X)
        expected = [jitad.hessian(lambda x, i=i: g(x)[i])(X) for i in range(4)]
        close(hessian, np.stack(expected))

    def test_hessian_vector_products(self, backend: Any) -> None:
        hessian = jitad.hessian(f)(X)
        product = jitad.hvp(f, backend=backend)
        close(product(X, np.ones(3)), hessian @ np.ones(3))
        close(product(X, np.eye(3)), hessian)

    def test_auxiliary_results(self, backend: Any) -> None:
        def with_aux(x: Any) -> Any:
            return f(x), {"twice": 2 * x, "sign": x > 0}

        gradient, aux = jitad.grad(with_aux, has_aux=True, backend=backend)(X)
        close(gradient, jitad.grad(f)(X))
        close(aux["twice"], 2 * X)
        np.testing.assert_array_equal(aux["sign"], X > 0)
        (value, aux), gradient = jitad.value_and_grad(
            with_aux, has_aux=True, backend=backend
        )(X)
        close(value, f(X))
        close(gradient, jitad.grad(f)(X))


@pytest.mark.parametrize("kink", [np.sin, np.abs])
def test_auxiliary_results_need_no_derivative_of_their_own(
    kink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    jacobian = accumulate.jacobian

    def counted(*args: Any, **options: Any) -> Any:
        made.append(options)
        return jacobian(*args, **options)

    monkeypatch.setenv("JITAD_CACHE", "0")
    monkeypatch.setattr(accumulate, "jacobian", counted)
    alone = jitad.grad(lambda x: np.sum(kink(x) * x), backend="numpy")
    paired = jitad.grad(
        lambda x: (np.sum(kink(x) * x), kink(x)), has_aux=True, backend="numpy"
    )
    counts = []
    for slope in (lambda x: -alone(x), lambda x: -paired(x)[0]):
        jitad.jit(slope, backend="numpy")(X)
        jitad.jacobian(slope, backend="numpy")(X)
        counts.append(len(made))
        made.clear()
    assert counts[0] == counts[1] > 1


def test_pushforward_and_pullback_are_adjoint() -> None:
    rng = np.random.default_rng(0)
    v, u = rng.normal(size=3), rng.normal(size=4)
    y, y_dot = jitad.jvp(g, (X,), (v,))
    value, pull = jitad.vjp(g, X)
    close(y, g(X))
    close(value, g(X))
    close(y_dot, jitad.jacobian(g)(X) @ v)
    close(u @ y_dot, pull(u)[0] @ v)


def test_batched_seeds_equal_single_ones() -> None:
    rng = np.random.default_rng(0)
    vs, us = rng.normal(size=(5, 3)), rng.normal(size=(6, 4))
    _, many = jitad.jvp(g, (X,), (vs,))
    close(many, np.stack([jitad.jvp(g, (X,), (v,))[1] for v in vs]))
    _, pull = jitad.vjp(g, X)
    close(pull(us)[0], np.stack([pull(u)[0] for u in us]))


def test_linearize_is_a_scipy_operator() -> None:
    y, line = jitad.linearize(g, X)
    jacobian = jitad.jacobian(g)(X)
    close(y, g(X))
    close(line(np.ones(3)), jacobian @ np.ones(3))
    operator = scipy.sparse.linalg.aslinearoperator(line)
    assert operator.shape == (4, 3)
    close(operator @ np.eye(3), jacobian)
    close(operator.H @ np.eye(4), jacobian.T)
    close(line.T.matvec(np.ones(4)), jacobian.T @ np.ones(4))
    close(line @ np.ones(3), jacobian @ np.ones(3))
    close(line @ np.eye(3), jacobian)
    close(np.ones(4) @ line, np.ones(4) @ jacobian)
    close(np.eye(4)[:2] @ line, jacobian[:2])
    found = scipy.sparse.linalg.lsqr(operator, jacobian @ [1.0, 2.0, 3.0], atol=1e-14)
    np.testing.assert_allclose(found[0], [1, 2, 3], rtol=1e-8)


def test_transformations_nest_and_close_over_traced_values() -> None:
    def inner(x: Any) -> Any:
        return jitad.grad(lambda y: x * y * y * y)(2.0)

    close(jitad.grad(inner)(5.0), 12.0)
    close(jitad.grad(jitad.grad(jitad.grad(lambda x: x**4)))(2.0), 48.0)
    close(jitad.jacobian(lambda x: jitad.jvp(g, (x,), (X,))[1])(X).shape, (4, 3))


def test_stop_gradient() -> None:
    close(jitad.grad(lambda x: x * jitad.stop_gradient(x * x))(3.0), 9.0)
    tree = jitad.stop_gradient({"a": 1.0, "b": X})
    assert tree["a"] == 1.0


# -- containers ----------------------------------------------------------------

Pair = namedtuple("Pair", ["left", "right"])


@dataclasses.dataclass
class Camera:
    focal: Any
    centre: Any


def test_arguments_and_results_are_trees() -> None:
    def h(p: Any, camera: Any, *, scale: Any) -> Any:
        return Pair(p["a"] * camera.focal * scale, [camera.centre * p["b"][0]])

    args = {"a": 2.0, "b": (X, 5.0)}, Camera(3.0, np.ones(3))
    got = jitad.jit(h)(*args, scale=2.0)
    assert isinstance(got, Pair)
    close(got.left, 12.0)
    close(got.right[0], X)
    found = jitad.jacobian(h, argnums=(0, 1))(*args, scale=2.0)
    close(found.left[0]["a"], 6.0)
    close(found.right[0][0]["b"][0], np.eye(3))
    assert isinstance(found.left[1], Camera)
    close(found.left[1].focal, 4.0)


# -- batches -------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 9, 64, 1000])
def test_a_batch_equals_its_points(backend: Any, size: int) -> None:
    xs = np.random.default_rng(0).uniform(0.5, 1, size=(size, 3))
    jacobian = jitad.jacobian(g)
    many = jitad.vmap(jacobian, backend=backend)(xs)
    assert many.shape == (size, 4, 3)
    for x, one in zip(xs, many, strict=True):
        close(one, jacobian(x))


@pytest.mark.parametrize("backend", BACKENDS)
def test_axes_of_arguments_and_results(backend: Any) -> None:
    xs = np.random.default_rng(0).uniform(0.5, 1, size=(3, 50))
    expected = np.stack([g(x) for x in xs.T])
    for out in (0, 1, -1):
        mapped = jitad.vmap(g, in_axes=-1, out_axes=out, backend=backend)
        close(mapped(xs), np.moveaxis(expected, 0, out))

    def h(p: Any, t: Any) -> Any:
        return p["a"] * t, p["b"] + t

    p = {"a": 2.0, "b": np.arange(50.0)}
    mapped = jitad.vmap(h, in_axes=({"a": None, "b": 0}, None), backend=backend)
    left, right = mapped(p, 3.0)
    close(left, np.full(50, 6.0))
    close(right, np.arange(50.0) + 3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(5, 70), (70, 5), (1, 9), (3, 0)])
def test_batches_nest(backend: Any, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=shape[0]), rng.normal(size=(shape[1], 2))

    def h(s: Any, t: Any) -> Any:
        return np.sin(s) * t[0] + t[1], t * s

    inner = jitad.vmap(h, in_axes=(None, 0), out_axes=(0, 1), backend=backend)
    first, second = jitad.vmap(inner, in_axes=(0, None))(a, b)
    close(first, np.sin(a)[:, None] * b[:, 0] + b[:, 1])
    close(second, a[:, None, None] * b.T)


def test_a_batch_inside_a_trace() -> None:
    xs = np.random.default_rng(0).uniform(0.5, 1, size=(6, 3))

    def total(x: Any) -> Any:
        return np.sum(jitad.vmap(jitad.grad(f))(x))

    rows = [jitad.hessian(f)(x).sum(0) for x in xs]
    np.testing.assert_allclose(jitad.grad(total)(xs), rows, rtol=1e-12)


def test_out_is_written_and_returned() -> None:
    xs = np.random.default_rng(0).uniform(0.5, 1, size=(100, 3))
    mapped = jitad.vmap(jitad.value_and_grad(f))
    expected = mapped(xs)
    out = np.empty(100), np.empty((100, 6))[:, ::2]
    assert mapped(xs, out=out) is out
    close(out[0], expected[0])
    close(out[1], expected[1])


def test_out_may_overlap_the_inputs() -> None:
    xs = np.random.default_rng(0).uniform(0.5, 1, size=(1000, 3))
    expected = jitad.vmap(lambda x: x[::-1] * 2)(xs)
    jitad.vmap(lambda x: x[::-1] * 2)(xs, out=xs)
    close(xs, expected)


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: np.repeat(x, 3, axis=0)[::3],
        lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
        lambda x: x.astype(">f8"),
        lambda x: (
            np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:]
            .view(np.float64)
            .reshape(x.shape)
        ),
    ],
    ids=["fortran", "strided", "skipping", "reversed", "big-endian", "unaligned"],
)
def test_any_memory_layout_gives_the_same_bits(change: Any) -> None:
    xs = np.random.default_rng(0).uniform(0.5, 1, size=(37, 3))
    other = change(xs)
    other.flags.writeable = False
    before = other.copy()
    mapped = jitad.vmap(jitad.jacobian(g))
    np.testing.assert_array_equal(mapped(other), mapped(xs))
    np.testing.assert_array_equal(other, before)
    single = jitad.jacobian(g)
    np.testing.assert_array_equal(single(other[3]), single(xs[3]))


def test_a_point_repeated_without_copies() -> None:
    mapped = jitad.vmap(g)
    close(mapped(np.broadcast_to(X, (20, 3))), np.stack([g(X)] * 20))


@pytest.mark.parametrize("backend", BACKENDS)
def test_float32_stays_float32(backend: Any) -> None:
    xs = np.random.default_rng(0).uniform(0.5, 1, size=(9, 3)).astype(np.float32)
    assert jitad.vmap(g, backend=backend)(xs).dtype == np.float32
    found = jitad.vmap(jitad.jacobian(g), backend=backend)(xs)
    assert found.dtype == np.float32
    expected = jitad.vmap(jitad.jacobian(g))(xs.astype(float))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    # A derivative has its input's dtype, whatever the result's.
    mixed = jitad.jacobian(lambda a, b: a * b, argnums=(0, 1), backend=backend)
    left, right = mixed(np.float32(2), np.float64(3))
    assert (left.dtype, right.dtype) == (np.float32, np.float64)
    assert jitad.jit(lambda a, b: a * b)(np.float32(2), 3.0).dtype == np.float32


# -- SciPy ---------------------------------------------------------------------


def rosenbrock(x: Any) -> Any:
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def test_scipy_takes_the_results_as_they_are() -> None:
    found = scipy.optimize.minimize(
        jitad.value_and_grad(rosenbrock),
        np.array([-1.2, 1.0]),
        jac=True,
        hess=jitad.hessian(rosenbrock),
        method="trust-exact",
    )
    np.testing.assert_allclose(found.x, [1, 1], rtol=1e-6)

    def residual(x: Any) -> Any:
        return np.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])

    fit = scipy.optimize.least_squares(
        jitad.jit(residual), [-1.2, 1.0], jac=jitad.jacobian(residual)
    )
    np.testing.assert_allclose(fit.x, [1, 1], rtol=1e-8)
    solved = scipy.optimize.root(residual, [-1.2, 1.0], jac=jitad.jacobian(residual))
    np.testing.assert_allclose(solved.x, [1, 1], rtol=1e-8)


# -- bad input -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: jitad.grad(g)(X), jitad.ShapeError, r"float64\[4\]; use jacobian"),
        (lambda: jitad.grad(f)(np.arange(3)), jitad.InputError, "pass a float"),
        (lambda: jitad.grad(lambda x: x * x)(3), jitad.InputError, "pass a float"),
        (lambda: jitad.grad(lambda x: x > 1)(3.0), jitad.InputError, "floating-point"),
        (lambda: jitad.jit(f)(X.astype(complex)), jitad.InputError, "complex128"),
        (lambda: jitad.jit(f)(X.astype(np.float16)), jitad.InputError, "float16"),
        (lambda: jitad.jit(f)(X.astype(np.longdouble)), jitad.InputError, "args"),
        (lambda: jitad.jit(f)(X.astype(object)), jitad.InputError, "object"),
        (lambda: jitad.jit(f)(np.ma.array(X)), jitad.InputError, "MaskedArray"),
        (lambda: jitad.jit(f)("text"), jitad.InputError, "functools.partial"),
        (
            lambda: jitad.jit(f)(np.array(["2020-01-01"], "M8[D]")),
            jitad.InputError,
            "date",
        ),
        (lambda: jitad.jit(lambda x: x[5])(X), IndexError, "out of bounds"),
        (lambda: jitad.jit(lambda x: "a")(X), jitad.UnsupportedError, "expected"),
        (
            lambda: jitad.vmap(lambda a, b: a + b)(X, np.ones(2)),
            jitad.ShapeError,
            "different lengths",
        ),
        (
            lambda: jitad.vmap(f, in_axes=None)(X),
            jitad.InputError,
            "no argument has a batch axis",
        ),
        (
            lambda: jitad.vmap(f)([[1.0, 2.0], [3.0, 4.0]]),
            jitad.InputError,
            "pass np.array",
        ),
        (lambda: jitad.vmap(f, in_axes=3)(np.ones((2, 3))), jitad.InputError, "axis 3"),
        (lambda: jitad.vmap(np.sin, out_axes=3)(X), jitad.InputError, "axis 3"),
        (
            lambda: jitad.vmap(f)(np.ones((2, 3)), out=np.empty(3)),
            jitad.InputError,
            "expected float64",
        ),
        (lambda: jitad.jacobian(g, argnums=2)(X), jitad.InputError, "argnums=2"),
        (lambda: jitad.jacobian(g, mode="sideways"), jitad.InputError, "sideways"),
        (lambda: jitad.jvp(g, (X,), (np.ones(2),)), jitad.ShapeError, "shape"),
        (lambda: jitad.jit(f, backend="gpu"), jitad.InputError, '"cpu" or "numpy"'),
        (lambda: jitad.vmap(f, backend="gpu"), jitad.InputError, "backend is 'gpu'"),
        (lambda: jitad.grad(3.0), jitad.InputError, r"expected a function, got 3\.0"),
        (lambda: jitad.grad(f, argnums="x"), jitad.InputError, "integers, got 'x'"),
        (lambda: jitad.jacobian(f, 1.5), jitad.InputError, "integers, got 1.5"),
        (lambda: jitad.hvp(f, (0, None)), jitad.InputError, r"got \(0, None\)"),
        (lambda: jitad.grad(f)(X > 0), jitad.InputError, r"args\[0\] is bool\[3\]"),
        (
            lambda: jitad.vmap(f, in_axes=(0, 0))(X),
            jitad.InputError,
            "2 entries for 1 arg",
        ),
        (lambda: jitad.set_threads("2"), TypeError, "a whole number of threads"),
        (lambda: jitad.set_threads(1.5), TypeError, "a whole number of threads"),
    ],
)
def test_errors_say_what_was_expected(call: Any, error: Any, says: str) -> None:
    with pytest.raises(error, match=says):
        call()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_point_raises_as_numpy_and_a_batch_has_nan(backend: Any) -> None:
    singular, fine = np.array([[1.0, 2], [2, 4]]), np.array([[2.0, 1], [1, 3]])
    indefinite = np.array([[1.0, 2], [2, 1]])

    def trace(a: Any) -> Any:
        return np.sum(np.linalg.inv(a))

    for call in (
        lambda: jitad.jit(np.linalg.inv, backend=backend)(singular),
        lambda: jitad.jit(np.linalg.cholesky, backend=backend)(indefinite),
        lambda: jitad.grad(trace, backend=backend)(singular),
        lambda: jitad.jit(lambda a: jitad.grad(trace)(a), backend=backend)(singular),
        lambda: jitad.hvp(trace, backend=backend)(singular, fine),
        lambda: jitad.jvp(trace, (singular,), (fine,)),
    ):
        with pytest.raises(np.linalg.LinAlgError):
            call()
    both = jitad.vmap(jitad.grad(trace), backend=backend)(np.stack([singular, fine]))
    assert np.isnan(both[0]).all()
    close(both[1], jitad.grad(trace)(fine))
    unknown = np.full((2, 2), np.nan)
    assert np.isnan(jitad.jit(np.linalg.inv, backend=backend)(unknown)).all()


def test_other_integers_and_partials_work() -> None:
    close(jitad.jit(lambda x, n: x * n)(X, np.int8(3)), X * 3)
    close(jitad.jit(functools.partial(lambda n, x: x * n, 3))(X), X * 3)


def test_importing_starts_nothing() -> None:
    import subprocess
    import sys

    code = (
        "import threading, warnings, sys, numba, scipy.special, tqdm;"
        "before = list(warnings.filters);"
        "import jitad; assert warnings.filters == before;"
        "assert threading.active_count() == 1;"
        "assert 'numba.cuda' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint16, np.int32, np.uint64])
def test_whole_numbers_larger_than_the_cache(dtype, monkeypatch):
    x = np.arange(4096).astype(dtype)
    want = np.stack([x | dtype(k) for k in range(9)])
    monkeypatch.setattr(rounds, "exceeds_cache", lambda written: written > 1000)
    g = jitad.vmap(lambda x: np.stack([x | dtype(k) for k in range(9)]), out_axes=-1)
    for phase in range(0, 64, x.itemsize):
        memory = np.zeros(9 * 4096 + 128, dtype)
        start = (-memory.ctypes.data % 64 + phase) // x.itemsize
        y = g(x, out=memory[start : start + 9 * 4096].reshape(9, 4096))
        assert np.array_equal(y, want)
    (call,) = g._calls.values()
    layouts = {f.plan.kernel.buffers[-1].layout for f in call._fitted.values()}
    whole = x.itemsize >= 4 and cpu.host().vector_bytes == cpu.LINE
    assert layouts == {"lines" if whole else "streams"}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("width", "library"),
    [(n, False) for n in simd.widths()] + [(simd.widths()[0], True)],
)
def test_results_larger_than_the_cache(width, library, dtype, monkeypatch):
    """Wherever the arrays of out begin and however long, whatever vectors there are."""
    target = cpu.target(width, vector_library=library)
    monkeypatch.setattr(cpu, "host", lambda: target)

    def f(a, x):
        return np.exp(-a * x) * width, np.sum(np.sin(a * x))

    g = jitad.vmap(f, in_axes=(None, 0), out_axes=-1)
    a = np.linspace(0.1, 2, 20).astype(dtype)
    rng, size = np.random.default_rng(0), np.dtype(dtype).itemsize
    for count in (4096, 4099, 4104):
        x = rng.normal(size=count).astype(dtype)
        with monkeypatch.context() as patch:
            patch.setattr(rounds, "exceeds_cache", lambda written: False)
            want = g(a, x)
        monkeypatch.setattr(rounds, "exceeds_cache", lambda written: True)
        h = jitad.vmap(f, in_axes=(None, 0), out_axes=-1)
        for phase in range(0, 64, size):
            stride = count + 16
            memory = np.full(22 * stride + 128, 7, dtype)
            start = (-memory.ctypes.data % 64 + phase) // size
            rows = memory[start : start + 22 * stride].reshape(22, stride)
            y, z = h(a, x, out=(rows[:20, :count], rows[21, :count]))
            assert np.array_equal(y, want[0])
            assert np.array_equal(z, want[1])
            y[...], z[...] = 7, 7
            assert (memory == 7).all()
        for fresh, wanted in zip(h(a, x), want, strict=True):
            assert np.array_equal(fresh, wanted)
        if dtype == np.float64:
            (call,) = h._calls.values()
            layouts = {f.plan.kernel.buffers[-2].layout for f in call._fitted.values()}
            whole = count % 8 == 0 and target.vector_bytes == cpu.LINE
            assert ("lines" in layouts) == whole
