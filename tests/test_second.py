"""Second derivatives at the edges: all pairs of modes, batched, interpreted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from second_case import Case
from second_cases import CASES
from second_limits import LIMITS

import jitad

MODES = ("forward", "reverse", "cross")
EVERY = [*CASES, *LIMITS]
every = pytest.mark.parametrize("case", EVERY, ids=lambda c: c.name)


def sizes(case: Case) -> list[int]:
    return [np.size(a) for a in case.arguments]


def one_vector(case: Case) -> Callable[[Any], Any]:
    """The function of all its arguments, one after the other in a vector."""
    shapes = [np.shape(a) for a in case.arguments]
    stops = np.cumsum([0, *sizes(case)]).tolist()

    def function(x: Any) -> Any:
        parts = [
            x[a] if shape == () else x[a:b].reshape(shape)
            for shape, a, b in zip(shapes, stops, stops[1:], strict=False)
        ]
        return case.function(*parts)

    return function


def point(case: Case) -> np.ndarray:
    return np.concatenate([np.ravel(np.asarray(a, float)) for a in case.arguments])


def compare(got: Any, case: Case, how: str, expected: Any = None) -> None:
    """Equal to some ulp, infinities and NaNs in place; signed zeros are equal."""
    expected = case.hessian if expected is None else np.asarray(expected)
    got = np.asarray(got)
    assert got.shape == expected.shape, how
    with np.errstate(all="ignore"):
        near = np.abs(got - expected) <= case.ulp * np.spacing(np.abs(expected))
    right = (got == expected) | near | (np.isnan(got) & np.isnan(expected))
    assert right.all(), f"{how}: got {got.tolist()}, expected {expected.tolist()}"


def symmetric(got: Any, how: str) -> None:
    np.testing.assert_array_equal(got, np.swapaxes(got, -1, -2), err_msg=how)


@every
def test_hessian(case: Case) -> None:
    f, x = one_vector(case), point(case)
    for mode in ("auto", *MODES):
        got = jitad.hessian(f, mode=mode, backend="numpy")(x)  # type: ignore[arg-type]
        compare(got, case, mode)
        symmetric(got, mode)
    rows = np.stack([x + 0.25, x, x - 0.25])
    many = jitad.vmap(jitad.hessian(f), backend="numpy")(rows)
    compare(many[1], case, "in a batch")


@every
def test_vmap_in_jit(case: Case) -> None:
    f, x = one_vector(case), point(case)
    rows = np.stack([x + 0.25, x])
    inside = jitad.jit(lambda r: jitad.vmap(jitad.hessian(f))(r), backend="numpy")
    compare(inside(rows)[1], case, "vmap in jit")


@every
def test_pairs_of_modes(case: Case) -> None:
    f, x = one_vector(case), point(case)
    for outer, inner in product(MODES, MODES):
        first = jitad.jacobian(f, mode=inner)  # type: ignore[arg-type]
        second = jitad.jacobian(first, mode=outer, backend="numpy")  # type: ignore[arg-type]
        got = second(x)
        compare(got, case, f"{outer} over {inner}")
        symmetric(got, f"{outer} over {inner}")


@every
def test_products(case: Case) -> None:
    """hvp, jvp of a gradient and vjp of a gradient, one column or row at a time."""
    f, x = one_vector(case), point(case)
    for k in range(len(x)):
        # A zero of the seed times what is infinite is NaN: compare where none is.
        column = case.hessian[:, k]
        others = np.delete(case.hessian, k, axis=1)
        clean = np.isfinite(others).all(axis=1)
        if not clean.any():
            continue
        seed = np.eye(len(x))[k]
        found = jitad.jit(
            lambda x, seed: (
                jitad.hvp(f)(x, seed),
                jitad.jvp(jitad.grad(f), (x,), (seed,))[1],
                jitad.vjp(jitad.grad(f), x)[1](seed)[0],
            ),
            backend="numpy",
        )(x, seed)
        for how, got in zip(("hvp", "jvp", "vjp"), found, strict=True):
            compare(got[clean], case, how, column[clean])


def _hessians(cases: Sequence[Case]) -> Callable[..., Any]:
    """The Hessians of several cases, as one function."""
    made = [jitad.hessian(one_vector(case)) for case in cases]

    def together(*points: Any) -> Any:
        return [h(x) for h, x in zip(made, points, strict=True)]

    return together


# A kernel takes its time to compile: a few, of some cases each.
_PARTS = [EVERY[k::9] for k in range(3)]


@pytest.mark.parametrize("cases", _PARTS, ids=range(3))
def test_compiled_and_in_a_batch(cases: Sequence[Case]) -> None:
    """Alone, and between other points: a lane's edge touches no other lane."""
    together, points = _hessians(cases), [point(case) for case in cases]
    single = jitad.jit(together)(*points)
    for got, case in zip(single, cases, strict=True):
        compare(got, case, f"{case.name}, compiled")
    rows = [np.stack([x + 0.25, x] * 5) for x in points]
    batch = jitad.vmap(together)(*rows)
    for one, many, case in zip(single, batch, cases, strict=True):
        symmetric(many, case.name)
        for k in range(1, 10, 2):
            np.testing.assert_array_equal(many[k], one, err_msg=case.name)


def test_in_float32() -> None:
    """Kinks are the same in single precision."""
    chosen = [c for c in CASES if np.isfinite(c.hessian).all() and c.ulp == 4][::5]
    for case in chosen:
        got = jitad.hessian(one_vector(case), backend="numpy")(
            point(case).astype(np.float32)
        )
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, case.hessian, rtol=1e-5, atol=0)
