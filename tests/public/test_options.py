"""What a function was told, as cache=False, holds for what is derived of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitad
from jitad import directions
from jitad.calls.function import Function
from jitad.calls.where import HERE, Where, where_of
from jitad.testing import check

X = np.array([0.4, 0.7, 1.1])


def f(x: Any) -> Any:
    return np.sum(np.sin(x) * x[::-1])


def residual(p: Any, x: Any) -> Any:
    return p[0] * np.exp(p[1] * x) - p[2]


OPTIONS: dict[str, tuple[dict[str, Any], Where]] = {
    "interpreter": ({"backend": "numpy"}, Where(backend="numpy")),
    "card": ({"device": "cuda:1"}, Where(cards=(1,))),
    "cards": ({"devices": ["cuda:0", "cuda:2"]}, Where(cards=(0, 2))),
    "precision": ({"precision": "mixed"}, Where(precision="mixed")),
    "not kept": ({"cache": False}, Where(cache=False)),
    "effort": ({"compile": "fast"}, Where(compile="fast")),
    "two": ({"cache": False, "compile": "fast"}, Where(cache=False, compile="fast")),
}
# What is made of a function of one argument.
TRANSFORMS: dict[str, Callable[[Any], Any]] = {
    "jit": jitad.jit,
    "vmap": jitad.vmap,
    "jacobian": jitad.jacobian,
    "grad": jitad.grad,
    "value_and_grad": jitad.value_and_grad,
    "hessian": jitad.hessian,
    "hvp": jitad.hvp,
    "gauss_newton": jitad.gauss_newton,
    "pushforward": directions._pushforward,
    "pullback": directions._pullback,
    "several": lambda g: jitad.vmap(jitad.jacobian(jitad.grad(g))),
    "product, compiled": lambda g: jitad.jit(jitad.hvp(g)),
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_options_hold_for_what_is_derived(name: str, option: str) -> None:
    transform, (given, expected) = TRANSFORMS[name], OPTIONS[option]
    assert where_of(transform(f)) == HERE
    derived = transform(jitad.jit(f, **given))
    assert where_of(derived) == expected
    if name in ("hvp", "pushforward", "pullback"):
        return
    # What is said further out replaces it.
    back: dict[str, Any] = {
        "backend": "cpu", "device": "cpu", "precision": "full", "cache": True,
        "compile": "auto",
    }  # fmt: skip
    assert where_of(jitad.jit(derived, **back)) == HERE
    if name in ("grad", "jacobian", "hessian", "value_and_grad"):
        outer = getattr(jitad, name)(jitad.jit(f, **given), backend="cpu", device="cpu")
        assert where_of(outer) == Where(
            precision=expected.precision, cache=expected.cache, compile=expected.compile
        )


def test_a_plain_function_around_has_its_own() -> None:
    inner = jitad.jit(f, backend="numpy")
    assert where_of(jitad.grad(lambda x: 2.0 * inner(x))) == HERE


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> list[Where]:
    """Where each call was prepared."""
    found: list[Where] = []
    prepared = Function._prepared

    def noted(self: Function, *args: Any) -> Any:
        call = prepared(self, *args)
        if call is not None:
            found.append(self.where)
        return call

    monkeypatch.setattr(Function, "_prepared", noted)
    return found


def test_products_at_a_point_are_made_as_told(places: list[Where]) -> None:
    told = jitad.jit(f, cache=False, compile="fast")
    V = np.eye(3)
    jitad.jvp(told, (X,), (X,))
    jitad.jvp(told, (X,), (V,))
    _, pull = jitad.vjp(told, X)
    pull(1.0)
    pull(np.ones(2))
    _, map_ = jitad.linearize(told, X)
    for found in (map_(X), map_.matvec(X), map_.T.matvec(np.ones(1))):
        assert np.isfinite(found).all()
    jitad.hvp(told)(X, X)
    jitad.hvp(told)(X, V)
    assert len(places) > 8
    assert {*places} == {Where(cache=False, compile="fast")}


@pytest.mark.slow
def test_check_tries_both_back_ends_as_told(places: list[Where]) -> None:
    options: list[dict[str, Any]]
    options = [{"backend": "numpy"}, {"cache": False, "compile": "fast"}, {}]
    for given in options:
        places.clear()
        assert check(jitad.jit(f, **given), X).passed
        assert {p.backend for p in places} == {"numpy", "cpu"}
        told = where_of(jitad.jit(f, **given))
        assert {(p.cache, p.compile) for p in places} == {(told.cache, told.compile)}
    assert check(jitad.jit(f, precision="mixed"), X).passed


@pytest.mark.slow
def test_nothing_of_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    told = jitad.jit(lambda x: np.sum(np.cos(x) ** 5 * x[0]), cache=False)
    jitad.hessian(told)(X)
    jitad.vmap(jitad.grad(told))(X[None])
    assert check(told, X).passed
    assert not [*tmp_path.rglob("*")]


def test_derivatives_are_taken_before_precision_is_mixed() -> None:
    """The same bits, wherever the option is said."""
    many = np.random.default_rng(0).uniform(0.1, 1.0, (50, 3))
    for transform in (jitad.grad, jitad.hessian, jitad.jacobian):
        inside = jitad.vmap(transform(jitad.jit(f, precision="mixed")))(many)
        outside = jitad.vmap(transform(f), precision="mixed")(many)
        assert inside.dtype == np.float64
        assert inside.tobytes() == outside.tobytes()
        assert inside.tobytes() != jitad.vmap(transform(f))(many).tobytes()
        exact = jitad.jit(transform(jitad.jit(f, precision="mixed")), precision="full")
        assert exact(X).tobytes() == transform(f)(X).tobytes()
    data = many[:, 0]
    told = jitad.gauss_newton(jitad.jit(residual, precision="mixed"))(X, data)
    outside = jitad.jit(jitad.gauss_newton(residual), precision="mixed")(X, data)
    for a, b in zip(told, outside, strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
