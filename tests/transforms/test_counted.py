"""Operations are counted before they are written out: neither too many nor too few."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitad
from jitad.calls import function
from jitad.errors import UnsupportedError
from jitad.ir.graph import Builder
from jitad.transforms.scalars import scalarize as scalarizing
from jitad.transforms.scalars.counted import beyond
from jitad.transforms.scalars.scalarize import scalarize
from tests.support.engine import traced

SQUARE, ROW = np.ones((30, 40)), np.linspace(1.0, 2.0, 40)
FEW = np.ones((30, 40), bool)


def chained(x: Any) -> Any:
    for k in range(8):
        x = np.sin(x) * (1 + k) + x
    return x


def broadcast(x: Any) -> Any:
    return chained(np.broadcast_to(x, (30, 40)))


def windows(x: Any) -> Any:
    return sum(np.exp(x[i : i + 21, j : j + 31]) for i in range(9) for j in range(9))


def selected(x: Any) -> Any:
    return np.where(FEW, x, 0.0) - np.where(FEW, x, 0.0)[::-1]


# name -> function, argument, different scalar operations
CASES = {
    "an array": (chained, SQUARE, (3 * 8 - 1) * 1200),
    "a row, broadcast": (broadcast, ROW, (3 * 8 - 1) * 40),
    "overlapping windows": (windows, SQUARE, 1131 + 80 * 651),
    "a constant choice": (selected, SQUARE, 1200),
    "read backwards": (lambda x: np.exp(x) - np.exp(x[::-1]), SQUARE, 2 * 1200),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_different_operations_are_counted(name):
    f, x, count = CASES[name]
    graph = traced(f, x).graph
    words = [n.primitive.kind == "elementwise" for n in scalarize(graph).nodes]
    assert sum(words) == pytest.approx(count, rel=0.05)
    largest = max(node.type.size for node in graph.nodes)
    assert beyond(graph, max(count, largest)) is None
    assert 2 * largest > count or beyond(graph, count // 2) is not None


@pytest.fixture
def apart(monkeypatch):
    """Arrays of every size are taken apart into scalars."""
    monkeypatch.setattr(function, "_LARGE", 1 << 62)
    monkeypatch.setattr(function, "_COSTLY", np.inf)


def test_what_is_far_too_long_is_not_written_out(monkeypatch, apart):
    monkeypatch.setattr(scalarizing, "new_builder", None)
    with pytest.raises(UnsupportedError, match=r"more than 400000 scalar .* jitad"):
        jitad.jit(lambda x: chained(x) @ x[0])(np.ones((400, 400)))


# These take a little more than what is allowed, or give more than is written out.
ROWS, LONG = np.ones((500, 500)), np.ones(3000)
A_LITTLE = {
    "vecdot": (lambda x: np.vecdot(x, x), ROWS),
    "matvec": (lambda x: x @ x[0], ROWS),
    "matmul": (lambda x: x @ x, np.random.default_rng(0).normal(size=(80, 80))),
    "einsum": (lambda x: np.einsum("ij,ij->i", x, x), ROWS),
    "sum": (lambda x: np.cumsum(x * x)[-1], ROWS),
    "pad": (lambda x: np.pad(x, 200_000), LONG),
    "tile": (lambda x: np.tile(x, 200), LONG),
    "meshgrid": (lambda x: np.meshgrid(x[:700], x[:700])[0], LONG),
}


@pytest.mark.parametrize("name", A_LITTLE)
def test_what_is_a_little_too_long_is_not_written_out(name, monkeypatch, apart):
    f, x = A_LITTLE[name]
    made = 0
    add = Builder.add

    def counted(*args: Any) -> int:
        nonlocal made
        made += 1
        return add(*args)

    monkeypatch.setattr(Builder, "add", counted)
    with pytest.raises(UnsupportedError, match="jitad"):
        jitad.jit(f)(x)
    assert made < 4000


ZEROS = np.eye(600) + np.eye(600, k=1)


@pytest.mark.parametrize("f", [lambda x: ZEROS @ x, lambda x: x @ np.diag(x)])
def test_products_with_zeros_are_not_counted(f):
    x = np.linspace(1.0, 2.0, 600)
    assert beyond(traced(f, x).graph, 100_000) is None
    np.testing.assert_allclose(jitad.jit(f)(x), f(x))


TOO_MUCH = {
    "einsum": lambda x: np.einsum("ij,jk->ik", x, x),
    "tensordot": lambda x: np.tensordot(x, x, 1),
    "inner": lambda x: np.inner(x, x),
    "kron": lambda x: np.kron(x[:60, :60], x[:60, :60]),
    "outer": lambda x: np.outer(x, x),
    "multiply.outer": lambda x: np.multiply.outer(x[0], x),
    "where": lambda x: np.where(x.ravel()[:, None] > x[0], x[0], 0.0),
    "meshgrid": lambda x: 2 * np.meshgrid(x[:5], x[:5])[0],
    "vander": lambda x: np.vander(x[0], 2000),
    "tile": lambda x: np.sin(np.tile(x, (4, 5, 1))),
    "three": lambda x: np.einsum("ij,jk,kl->il", x, x, x),
    "cov": np.cov,
    "norm": lambda x: np.linalg.norm(np.sin(x[:, :, None] * x[:2, 0])),
    "var": lambda x: np.var(np.stack([x, x * x])),
    "cumsum": lambda x: np.cumsum(np.stack([x, x * x, x**3])),
    "logsumexp": lambda x: jitad.logsumexp(np.stack([x, x * x, x**3])),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_is_too_large_is_refused_before_it_is_written_out(
    name, monkeypatch, apart
):
    monkeypatch.setattr(scalarizing, "new_builder", None)
    with pytest.raises(UnsupportedError, match=r"(more than|at most) [\d,]* ?"):
        jitad.jit(TOO_MUCH[name])(np.ones((500, 500)))


def test_numbers_without_axes_are_counted_too():
    def f(x: Any) -> Any:
        y = np.sin(x) * np.exp(x[0, 0] * 2.0)
        return np.where(x[0, 0] > 0, np.sum(np.stack([y] * 400)[:, :, 0]), 0.0)

    assert np.isfinite(jitad.jit(f)(SQUARE[:8, :8] * 0.0 + 0.5))
