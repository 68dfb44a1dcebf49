"""Sums of products against NumPy; their Jacobians by linearity in each operand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitad.errors import UnsupportedError
from jitad.transforms.scalars import scalarize
from tests.cases.contractions import MANY, PRODUCTS, SINGLE
from tests.support.engine import traced, value
from tests.support.laws import linear_in_each, one_jacobian, same_value

RNG = np.random.default_rng(5)


def array(*shape):
    return RNG.uniform(0.5, 2.0, shape)


@pytest.mark.parametrize("name", PRODUCTS)
def test_product(name):
    f, *shapes = PRODUCTS[name]
    args = [array(*shape) for shape in shapes]
    same_value(f, *args, ulp=8)
    same_value(f, *[a.astype(np.float32) for a in args], ulp=8)
    linear_in_each(f, *args)


@pytest.mark.parametrize("name", PRODUCTS)
def test_constants_and_mixed_types(name):
    f, *shapes = PRODUCTS[name]
    a, b = (array(*shape) for shape in shapes)
    whole = (4 * b).astype(np.int64)
    single = b.astype(np.float32)
    same_value(lambda x: f(x, b), a)
    same_value(lambda y: f(a, y), b)
    same_value(f, a, whole)
    same_value(f, a, single)
    same_value(lambda y: f(a.astype(np.float32), y), single)


@pytest.mark.parametrize("name", SINGLE)
def test_one_operand(name):
    a = array(3, 3)
    same_value(SINGLE[name], a)
    same_value(SINGLE[name], np.arange(9, dtype=np.int32).reshape(3, 3))
    linear_in_each(SINGLE[name], a)


@pytest.mark.parametrize("name", MANY)
def test_many_operands(name):
    f, *shapes = MANY[name]
    args = [array(*shape) for shape in shapes]
    same_value(f, *args, ulp=16)
    linear_in_each(f, *args)


def test_planar_cross_products():
    # NumPy deprecates vectors of two components, so the values are by hand.
    a, b, c = array(2), array(2), array(3)
    np.testing.assert_allclose(value(np.cross, a, b), a[0] * b[1] - a[1] * b[0])
    padded = np.array([*a, 0.0])
    np.testing.assert_allclose(value(np.cross, a, c), np.cross(padded, c))
    np.testing.assert_allclose(value(np.cross, c, a), np.cross(c, padded))


def test_truth_values_multiply_as_in_numpy():
    a, b = RNG.uniform(size=(2, 3, 3)) < 0.4
    same_value(np.matmul, a, b)
    same_value(lambda x, y: np.einsum("ij,jk->ik", x, y), a, b)


def test_matmul_of_nothing_has_a_jacobian():
    for j, shape in zip(
        one_jacobian(np.matmul, np.zeros((2, 0)), np.zeros((0, 3))),
        [(2, 3, 2, 0), (2, 3, 0, 3)],
        strict=True,
    ):
        assert j.shape == shape


def test_products_of_the_same_array():
    x = array(3)
    (j,) = one_jacobian(lambda v: v @ v, x)
    np.testing.assert_allclose(j, 2 * x, rtol=1e-15)
    (j,) = one_jacobian(lambda v: np.einsum("i,i,i", v, v, v), x)
    np.testing.assert_allclose(j, 3 * x * x, rtol=1e-14)


def test_mistakes_are_named():
    m = array(2, 3)
    for f, words in [
        (lambda a: a @ a, "last axis of the left, 3"),
        (lambda a: np.matmul(a, 2.0), "both need an axis"),
        (lambda a: np.tensordot(a, a, 1), "extents"),
        (lambda a: np.einsum("ijk->i", a), "3 labels for 2 axes"),
        (lambda a: np.einsum("ij->ik", a), "labels"),
        (lambda a: np.einsum("ij,jk", a), "names 2 operands"),
        (lambda a: np.cross(a[:, :1], a), "2 or 3"),
    ]:
        with pytest.raises(ValueError, match=words):
            traced(f, m)
    with pytest.raises(UnsupportedError, match="vmap"):
        value(lambda a: np.einsum("i,j,k->ijk", a, a, a), np.ones(165))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_einsum(data):
    extents = dict(zip("abcd", (2, 3, 1, 2), strict=True))
    labels = st.lists(st.sampled_from("abcd"), min_size=0, max_size=3, unique=True)
    inputs = data.draw(st.lists(labels, min_size=1, max_size=3))
    known = sorted({c for text in inputs for c in text})
    output = data.draw(st.permutations(known))[: data.draw(st.integers(0, 2))]
    text = ",".join("".join(t) for t in inputs) + "->" + "".join(output)
    args = [array(*(extents[c] for c in t)) for t in inputs]
    same_value(lambda *a: np.einsum(text, *a), *args, ulp=16)
    linear_in_each(lambda *a: np.einsum(text, *a), *args)


def test_large_products_are_refused_before_they_are_written_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scalarize, "_scalarize_node", None)
    ones = np.ones((500, 500))
    with pytest.raises(UnsupportedError, match="125,000,000 scalar products"):
        value(lambda x: (ones * x) @ (ones * x), 2.0)
