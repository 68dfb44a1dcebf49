"""Calls that fail at some points, in code that handles it and in code that does not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitad
from jitad.errors import TracingError
from tests.support import engine

MODES = ("forward", "reverse", "cross")
SINGULAR = np.array([[1.0, 2.0], [2.0, 4.0]])
DEFINITE = np.array([[2.0, 0.5], [0.5, 1.0]])
INDEFINITE = np.array([[1.0, 2.0], [2.0, 1.0]])
MATRICES = np.stack([SINGULAR, DEFINITE, INDEFINITE, 0 * SINGULAR])
EYE = np.eye(2)
LinAlgError = np.linalg.LinAlgError


def shifted(A: Any) -> Any:
    try:
        return np.linalg.cholesky(A)
    except np.linalg.LinAlgError:
        return np.linalg.cholesky(A + 10 * EYE)


def any_error(A: Any) -> Any:
    try:
        return np.linalg.inv(A)
    except Exception:
        return A * A


def bare(A: Any) -> Any:
    try:
        return np.linalg.inv(A)
    except:  # noqa: E722
        return A * A


def by_name(A: Any) -> Any:
    try:
        y = np.linalg.solve(A, np.ones(2))
    except (ZeroDivisionError, ValueError) as error:
        assert "Singular" in str(error)
        y = A[0] * 2
    else:
        y = y + A[1]
    return y


def searched(A: Any) -> Any:
    """The usual search for a shift, which gives up in the end."""
    for k in range(3):
        try:
            return np.linalg.cholesky(A + 0.7 * k * EYE)
        except LinAlgError:
            pass
    raise LinAlgError("no shift is large enough")


def in_vain(A: Any) -> Any:
    """The last attempt is let through."""
    for k in range(3):
        try:
            return np.linalg.cholesky(A + 0.6 * k * EYE)
        except LinAlgError:
            if k == 2:
                raise
    return None


def suppressed(A: Any) -> Any:
    y = A * 2
    with contextlib.suppress(LinAlgError), np.errstate(all="ignore"):
        y = np.linalg.inv(A)
    return y


def around(A: Any) -> Any:
    def inner(A: Any) -> Any:
        try:
            with np.errstate(all="ignore"):
                return np.linalg.inv(A)
        except KeyError:
            return A
        finally:
            A = A * 2

    try:
        return inner(A)
    except LinAlgError:
        return A * 3


def twice(A: Any) -> Any:
    """Two calls that fail apart, the second in a handler's own try."""
    try:
        return np.linalg.inv(A)
    except LinAlgError:
        try:
            return np.linalg.inv(A + A.T + np.array([[0.0, 1.0], [0.0, 0.0]]))
        except LinAlgError:
            return A + 1


def in_a_loop(A: Any) -> Any:
    def step(i: Any, c: Any) -> Any:
        try:
            return np.linalg.inv(c) + np.linalg.inv(A)
        except LinAlgError:
            return c * 0.5 + 1

    return jitad.fori_loop(0, 2, step, A)


def stacked(A: Any) -> Any:
    try:
        return np.linalg.inv(np.stack([A, A + EYE]))[0]
    except LinAlgError:
        return A * A


def powered(A: Any) -> Any:
    try:
        return np.linalg.matrix_power(A, -2)
    except LinAlgError:
        return A * A


def upper(A: Any) -> Any:
    try:
        return np.linalg.cholesky(A, upper=True)
    except LinAlgError:
        return A * A


HANDLED: dict[str, Callable[[Any], Any]] = {
    f.__name__: f
    for f in (
        shifted, any_error, bare, by_name, searched, in_vain, suppressed, around, twice,
        in_a_loop, stacked, powered, upper,
    )
}  # fmt: skip


def numpy(f: Any, x: Any) -> Any:
    """NumPy's result, NaN where it raises."""
    try:
        return np.asarray(f(x))
    except LinAlgError:
        return None


@pytest.mark.parametrize("name", HANDLED)
def test_handlers_run_where_numpy_runs_them(name: str) -> None:
    f = HANDLED[name]
    want = [numpy(f, A) for A in MATRICES]
    batches = [
        jitad.vmap(f)(MATRICES),
        jitad.vmap(f, backend="numpy")(MATRICES),
        jitad.jit(lambda X: jitad.vmap(f)(X), backend="numpy")(MATRICES),
    ]
    point = jitad.jit(f)
    for k, w in enumerate(want):
        for batch in batches:
            if w is None:
                assert np.isnan(batch[k]).any()
            else:
                np.testing.assert_allclose(batch[k], w, rtol=1e-14)
        if w is None:
            with pytest.raises(LinAlgError):
                point(MATRICES[k])
        else:
            np.testing.assert_allclose(point(MATRICES[k]), w, rtol=1e-14)


class Straight(NamedTuple):
    """What a function is on the branch that a matrix takes."""

    f: Callable[[Any], Any]
    A: np.ndarray
    same: Callable[[Any], Any]


STRAIGHT = [
    Straight(shifted, SINGULAR, lambda A: np.linalg.cholesky(A + 10 * EYE)),
    Straight(shifted, DEFINITE, np.linalg.cholesky),
    Straight(any_error, SINGULAR, lambda A: A * A),
    Straight(any_error, INDEFINITE, np.linalg.inv),
    Straight(by_name, SINGULAR, lambda A: A[0] * 2),
    Straight(searched, INDEFINITE, lambda A: np.linalg.cholesky(A + 1.4 * EYE)),
    Straight(twice, 0 * SINGULAR, lambda A: A + 1),
    Straight(around, SINGULAR, lambda A: A * 3),
]


@pytest.mark.parametrize("case", STRAIGHT, ids=lambda c: c.f.__name__)
def test_derivatives_are_those_of_the_branch(case: Straight) -> None:
    want = jitad.jacobian(case.same)(case.A)
    X = np.stack([DEFINITE, case.A])
    for mode in MODES:
        J = jitad.vmap(jitad.jacobian(case.f, mode=mode))(X)
        np.testing.assert_allclose(J[1], want, rtol=1e-12, atol=1e-15)
        J = jitad.vmap(jitad.jacobian(case.f, mode=mode), backend="numpy")(X)
        np.testing.assert_allclose(J[1], want, rtol=1e-12, atol=1e-15)


def guarded(x: Any, i: Any) -> Any:
    try:
        return np.sin(x[i]) * x[0]
    except IndexError:
        return x[1] * 3


def rows(x: Any, i: Any) -> Any:
    try:
        return np.take(x, np.stack([i, 0])).sum() * x[2]
    except LookupError:
        return x[1] * 3


def stored(x: Any, i: Any) -> Any:
    y = x.copy()
    try:
        y[i] = x[0] * 2
    except IndexError:
        y[0] = 5.0
    return y


@pytest.mark.parametrize("f", [guarded, rows, stored], ids=lambda f: f.__name__)
def test_indices_out_of_range(f: Any) -> None:
    x, places = np.array([0.5, 0.7, 1.1]), np.array([0, 2, 3, -3, -4, 100])
    want = np.stack([f(x, i) for i in places])
    for backend in (None, "numpy"):
        got = jitad.vmap(f, in_axes=(None, 0), backend=backend)(x, places)
        np.testing.assert_allclose(got, want, rtol=1e-15)
    gradient = jitad.vmap(jitad.jacobian(f), in_axes=(None, 0))(x, places)[2]
    np.testing.assert_array_equal(
        gradient.reshape(-1, 3)[0], [0, 3 * (f is not stored), 0]
    )


# -- where nothing handles it ----------------------------------------------------


def test_without_a_handler_nothing_changes() -> None:
    plain = engine.traced(np.linalg.inv, SINGULAR).graph.text
    for f in (lambda A: np.linalg.inv(A), in_errstate, for_another):
        assert engine.traced(f, SINGULAR).graph.text == plain
        with pytest.raises(LinAlgError):
            jitad.jit(f)(SINGULAR)
        assert np.isnan(jitad.vmap(f)(SINGULAR[None])).all()


def test_numpy_is_asked_about_copies() -> None:
    """Of a function that writes to its arguments, where it finds the error or not."""

    def writing(A: Any, b: Any) -> Any:
        A[0] = b
        return np.linalg.solve(A, b)

    for A, b in [(SINGULAR, SINGULAR[1]), (np.eye(2), np.array([np.nan, 1.0]))]:
        given = A.copy(), b.copy()
        with contextlib.suppress(LinAlgError):
            jitad.jit(writing)(*given)
        np.testing.assert_array_equal(given[0], A)
    A, b = np.eye(2), np.array([2.0, 1.0])
    jitad.check(writing, A, b)
    np.testing.assert_array_equal(A, np.eye(2))


def in_errstate(A: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.linalg.inv(A)


def for_another(A: Any) -> Any:
    try:
        return np.linalg.inv(A)
    except (KeyError, TypeError):
        return A


def test_many_calls_in_one_block_are_one_path_more() -> None:
    runs = 0

    def f(A: Any) -> Any:
        nonlocal runs
        runs += 1
        with np.errstate(all="ignore"):
            for _ in range(100):
                A = np.linalg.inv(A) + 1.0
        return A

    jitad.graph(f, DEFINITE)
    assert runs == 2


@pytest.mark.parametrize(
    "f",
    [
        lambda A: jitad.fori_loop(0, 2, lambda i, c: np.linalg.inv(c), A),
        lambda A: jitad.cond(A[0, 0] > 0, np.linalg.inv, lambda A: A, A),
        lambda A: jitad.vmap(np.linalg.inv)(A[None])[0],
        lambda A: jitad.jit(lambda A: np.linalg.inv(A))(A),
    ],
)
def test_a_handler_outside_of_an_inner_function_is_refused(f: Any) -> None:
    def outside(A: Any) -> Any:
        try:
            return f(A)
        except LinAlgError:
            return A

    with pytest.raises(TracingError, match=r"test_failing.py:\d+.*put the try inside"):
        jitad.jit(outside)(DEFINITE)
    jitad.jit(f)(DEFINITE)


def test_another_error_of_a_handler_is_refused() -> None:
    def f(A: Any) -> Any:
        try:
            return np.linalg.inv(A)
        except LinAlgError:
            raise KeyError("A") from None

    with pytest.raises(TracingError, match=r"raises KeyError.*return np.nan"):
        jitad.jit(f)(DEFINITE)


def test_check_tells_what_a_batch_does() -> None:
    with pytest.raises(LinAlgError) as caught:
        jitad.check(np.linalg.inv, SINGULAR)
    assert "in a batch" in caught.value.__notes__[0]
    assert np.isnan(jitad.vmap(np.linalg.inv)(SINGULAR[None])).all()
