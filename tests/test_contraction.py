"""Sums of products against NumPy; their Jacobians by linearity in each operand."""

from __future__ import annotations

import numpy as np
import pytest
from engine import traced, value
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import linear_in_each, one_jacobian, same_value

from jitad.errors import UnsupportedError
from jitad.transforms.scalars import scalarize

RNG = np.random.default_rng(5)


def array(*shape):
    return RNG.uniform(0.5, 2.0, shape)


PRODUCTS = {
    "dot scalars": (np.dot, (), ()),
    "dot scalar array": (np.dot, (), (2, 3)),
    "dot vectors": (np.dot, (4,), (4,)),
    "dot matrix vector": (np.dot, (2, 4), (4,)),
    "dot matrices": (np.dot, (2, 3), (3, 4)),
    "dot stacks": (np.dot, (2, 3), (2, 3, 2)),
    "matmul vectors": (np.matmul, (4,), (4,)),
    "matmul vector matrix": (np.matmul, (3,), (3, 2)),
    "matmul vector stack": (np.matmul, (3,), (2, 3, 2)),
    "matmul stack vector": (np.matmul, (2, 2, 3), (3,)),
    "matmul matrices": (np.matmul, (2, 3), (3, 4)),
    "matmul stacks": (lambda a, b: a @ b, (3, 1, 2, 3), (2, 3, 2)),
    "matmul nothing": (np.matmul, (2, 0), (0, 3)),
    "vdot": (np.vdot, (2, 3), (2, 3)),
    "inner vectors": (np.inner, (3,), (3,)),
    "inner scalar": (np.inner, (), (3,)),
    "inner arrays": (np.inner, (2, 3), (2, 2, 3)),
    "outer": (np.outer, (3,), (2, 2)),
    "linalg.outer": (np.linalg.outer, (3,), (2,)),
    "multiply.outer": (np.multiply.outer, (3, 2), (2,)),
    "tensordot 1": (lambda a, b: np.tensordot(a, b, 1), (2, 3), (3, 2)),
    "tensordot 2": (np.tensordot, (2, 3, 2), (3, 2, 2)),
    "tensordot 0": (lambda a, b: np.tensordot(a, b, 0), (2,), (2, 2)),
    "tensordot axes": (
        lambda a, b: np.tensordot(a, b, axes=([0, -1], [1, 0])), (2, 2, 3), (3, 2),
    ),
    "kron": (np.kron, (2, 3), (2, 2)),
    "kron vectors": (np.kron, (3,), (2,)),
    "kron mixed": (np.kron, (3,), (2, 1, 2)),
    "cross": (np.cross, (3,), (3,)),
    "cross rows": (np.cross, (2, 3), (2, 3)),
    "cross broadcast": (np.cross, (2, 3), (3,)),
    "cross axis": (lambda a, b: np.cross(a, b, axis=0), (3, 2), (3, 2)),
    "cross axes": (
        lambda a, b: np.cross(a, b, axisa=0, axisb=1, axisc=0), (3, 2), (2, 3),
    ),
    "linalg.cross": (np.linalg.cross, (2, 3), (2, 3)),
    "linalg.matmul": (np.linalg.matmul, (2, 3), (3, 2)),
    "linalg.vecdot": (lambda a, b: np.linalg.vecdot(a, b, axis=0), (3, 2), (3, 2)),
    "linalg.tensordot": (np.linalg.tensordot, (2, 3), (2, 3)),
    "ij,jk": (lambda a, b: np.einsum("ij,jk", a, b), (2, 3), (3, 2)),
    "ij,jk->ki": (lambda a, b: np.einsum("ij , jk -> ki", a, b), (2, 3), (3, 2)),
    "ij,ij->": (lambda a, b: np.einsum("ij,ij->", a, b), (2, 3), (2, 3)),
    "ij,k->k": (lambda a, b: np.einsum("ij,k->k", a, b), (2, 3), (2,)),
    "ii,i": (lambda a, b: np.einsum("ii,i", a, b), (3, 3), (3,)),
    "...ij,...j": (lambda a, b: np.einsum("...ij,...j->...i", a, b), (2, 2, 3), (3,)),
    "i...,...i": (lambda a, b: np.einsum("i...,...i", a, b), (2, 3), (3, 2)),
    "broadcast": (lambda a, b: np.einsum("...i,...i->...", a, b), (2, 1, 3), (4, 3)),
    "interleaved": (
        lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [2, 0]), (2, 3), (3, 2),
    ),
    "interleaved implicit": (
        lambda a, b: np.einsum(a, [..., 0], b, [0, 1]), (2, 3), (3, 2),
    ),
    "of nothing": (lambda a, b: np.einsum("ij,jk->ik", a, b), (2, 0), (0, 2)),
    "vecdot": (np.vecdot, (2, 3), (3,)),
    "matvec": (np.matvec, (2, 2, 3), (2, 3)),
    "vecmat": (np.vecmat, (2, 3), (3, 2)),
}  # fmt: skip


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


SINGLE = {
    "ii": lambda a: np.einsum("ii", a),
    "ii->i": lambda a: np.einsum("ii->i", a),
    "ij->ji": lambda a: np.einsum("ij->ji", a),
    "ba": lambda a: np.einsum("ba", a),
    "ij->j": lambda a: np.einsum("ij->j", a),
    "ij->": lambda a: np.einsum("ij->", a),
    "...": lambda a: np.einsum("...", a),
    "i...->...": lambda a: np.einsum("i...->...", a),
    "trace": np.trace,
    "trace offset": lambda a: np.trace(a, 1, 1, 0),
    "linalg.trace": lambda a: np.linalg.trace(a, offset=-1),
}


@pytest.mark.parametrize("name", SINGLE)
def test_one_operand(name):
    a = array(3, 3)
    same_value(SINGLE[name], a)
    same_value(SINGLE[name], np.arange(9, dtype=np.int32).reshape(3, 3))
    linear_in_each(SINGLE[name], a)


MANY = {
    "chain": (lambda a, b, c: np.einsum("ij,jk,kl->il", a, b, c), (2, 3), (3, 2),
              (2, 4)),
    "quadratic": (lambda x, a, y: np.einsum("i,ij,j", x, a, y), (3,), (3, 2), (2,)),
    "optimize": (
        lambda a, b, c: np.einsum("ij,jk,ik->k", a, b, c, optimize=True),
        (2, 3), (3, 2), (2, 2),
    ),
    "multi_dot": (lambda a, b, c: np.linalg.multi_dot([a, b, c]), (2, 3), (3, 4),
                  (4, 2)),
    "multi_dot vectors": (lambda a, b, c: np.linalg.multi_dot([a, b, c]), (3,), (3, 4),
                          (4,)),
}  # fmt: skip


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
    monkeypatch.setattr(scalarize, "unroll", None)
    ones = np.ones((500, 500))
    with pytest.raises(UnsupportedError, match="125,000,000 scalar products"):
        value(lambda x: (ones * x) @ (ones * x), 2.0)
