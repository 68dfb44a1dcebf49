"""Functions that move elements, each against NumPy: values, and the matrix of moves."""

from __future__ import annotations

import numpy as np
import pytest

import jitad
from tests.support.moves import check_moves, check_value, inputs

MASK = np.array([True, False, True])
BLOCK = [[1.5, 2.5]]

MOVES = [
    ("reshape", lambda x: np.reshape(x, (4, 3)), [(3, 4)]),
    ("reshape -1", lambda x: np.reshape(x, (2, -1)), [(3, 4)]),
    ("reshape F", lambda x: np.reshape(x, (4, 3), order="F"), [(3, 4)]),
    ("reshape A of transposed", lambda x: np.reshape(x.T, -1, order="A"), [(3, 4)]),
    ("reshape method", lambda x: x.reshape(2, 6), [(3, 4)]),
    ("reshape method tuple", lambda x: x.reshape((6, 2), order="F"), [(3, 4)]),
    ("reshape to 0-d", lambda x: np.reshape(x, ()), [(1, 1)]),
    ("ravel", lambda x: np.ravel(x), [(3, 4)]),
    ("ravel F", lambda x: x.ravel(order="F"), [(3, 4)]),
    ("ravel K", lambda x: x.T.ravel(order="K"), [(3, 4)]),
    ("flatten", lambda x: x.flatten(), [(3, 4)]),
    ("flatten K", lambda x: x.T.flatten("K"), [(3, 4)]),
    ("ravel of 0-d", lambda x: np.ravel(x), [()]),
    ("transpose", lambda x: np.transpose(x, (2, 0, 1)), [(2, 3, 4)]),
    ("transpose method", lambda x: x.transpose(1, 0, 2), [(2, 3, 4)]),
    ("transpose none", lambda x: x.transpose(None), [(2, 3, 4)]),
    ("T", lambda x: x.T, [(3, 4)]),
    ("T of 1-d", lambda x: x.T, [(3,)]),
    ("mT", lambda x: x.mT, [(2, 3, 4)]),
    ("matrix_transpose", lambda x: np.matrix_transpose(x), [(2, 3, 4)]),
    ("permute_dims", lambda x: np.permute_dims(x, (1, 0)), [(3, 4)]),
    ("swapaxes", lambda x: np.swapaxes(x, 0, -1), [(2, 3, 4)]),
    ("swapaxes method", lambda x: x.swapaxes(0, 1), [(2, 3, 4)]),
    ("moveaxis", lambda x: np.moveaxis(x, [0, 1], [-1, -2]), [(2, 3, 4)]),
    ("rollaxis", lambda x: np.rollaxis(x, 2), [(2, 3, 4)]),
    ("expand_dims", lambda x: np.expand_dims(x, (0, 2)), [(3,)]),
    ("squeeze", lambda x: np.squeeze(x), [(1, 3, 1)]),
    ("squeeze axis", lambda x: x.squeeze(axis=0), [(1, 3, 1)]),
    ("atleast_1d", lambda x: np.atleast_1d(x), [()]),
    ("atleast_2d", lambda x: np.atleast_2d(x), [(3,)]),
    ("atleast_3d", lambda x: np.atleast_3d(x), [(3, 2)]),
    ("atleast_2d several", lambda x, y: np.atleast_2d(x, y, 1.5), [(), (2,)]),
    ("broadcast_to", lambda x: np.broadcast_to(x, (2, 3)), [(3,)]),
    ("broadcast_to of 0-d", lambda x: np.broadcast_to(x, (2, 2)), [()]),
    ("broadcast_to of list", lambda x: np.broadcast_to([x, 1.5], (2, 2)), [()]),
    ("broadcast_arrays", lambda x, y: np.broadcast_arrays(x, y, 2.5), [(3,), (2, 1)]),
    ("stack", lambda x, y: np.stack([x, y]), [(3,), (3,)]),
    ("stack axis", lambda x, y: np.stack((x, y), axis=-1), [(2, 3), (2, 3)]),
    ("stack numbers", lambda x: np.stack([x[0], 0.5, x[1], 2.5]), [(2,)]),
    ("stack of an array", lambda x: np.stack(x, axis=1), [(2, 3)]),
    ("concatenate", lambda x, y: np.concatenate([x, y]), [(3,), (2,)]),
    ("concatenate axis", lambda x, y: np.concatenate((x, y), 1), [(2, 3), (2, 1)]),
    ("concatenate flat", lambda x, y: np.concatenate([x, y], axis=None),
     [(2, 2), (1,)]),
    ("concatenate constant", lambda x: np.concatenate([BLOCK[0], x]), [(2,)]),
    ("hstack", lambda x, y: np.hstack([x, y]), [(3,), (2,)]),
    ("vstack", lambda x, y: np.vstack([x, y]), [(3,), (2, 3)]),
    ("dstack", lambda x, y: np.dstack((x, y)), [(2, 3), (2, 3)]),
    ("column_stack", lambda x, y: np.column_stack([x, y]), [(3,), (3, 2)]),
    ("hstack of scalars", lambda x: np.hstack([x[0], 1.5, x[1:]]), [(3,)]),
    ("append", lambda x, y: np.append(x, y), [(2, 2), (3,)]),
    ("append axis", lambda x, y: np.append(x, y, axis=0), [(2, 2), (1, 2)]),
    ("append number", lambda x: np.append(x, 2.5), [(2,)]),
    ("block", lambda x, y: np.block([[x, y], [y, x]]), [(2, 2), (2, 2)]),
    ("block with constants",
     lambda x: np.block([[x, np.full((2, 1), 2.5)], [0.5, 0.5, 1.5]]), [(2, 2)]),
    ("split", lambda x: np.split(x, 3), [(6,)]),
    ("split at", lambda x: np.split(x, [1, 4], axis=1), [(2, 6)]),
    ("array_split", lambda x: np.array_split(x, 3), [(7,)]),
    ("hsplit", lambda x: np.hsplit(x, 2), [(2, 4)]),
    ("vsplit", lambda x: np.vsplit(x, 2), [(4, 2)]),
    ("dsplit", lambda x: np.dsplit(x, 2), [(2, 1, 4)]),
    ("unstack by iteration", lambda x: tuple(x), [(3, 2)]),
    ("unpack", lambda x: (lambda a, b: (b, a))(*x), [(2, 2)]),
    ("tile", lambda x: np.tile(x, (2, 2)), [(2, 3)]),
    ("repeat", lambda x: np.repeat(x, 2), [(2, 2)]),
    ("repeat counts", lambda x: np.repeat(x, [0, 2, 1], axis=0), [(3, 2)]),
    ("repeat method", lambda x: x.repeat(2, axis=1), [(2, 2)]),
    ("resize", lambda x: np.resize(x, (2, 4)), [(3,)]),
    ("roll", lambda x: np.roll(x, 1), [(5,)]),
    ("roll axes", lambda x: np.roll(x, (1, -1), axis=(0, 1)), [(3, 4)]),
    ("flip", lambda x: np.flip(x), [(2, 3)]),
    ("flip axis", lambda x: np.flip(x, axis=1), [(2, 3)]),
    ("fliplr", lambda x: np.fliplr(x), [(2, 3)]),
    ("flipud", lambda x: np.flipud(x), [(2, 3)]),
    ("rot90", lambda x: np.rot90(x), [(2, 3)]),
    ("rot90 k", lambda x: np.rot90(x, k=3, axes=(1, 2)), [(1, 2, 3)]),
    ("pad", lambda x: np.pad(x, 1), [(2, 3)]),
    ("pad widths", lambda x: np.pad(x, ((1, 0), (0, 2))), [(2, 3)]),
    ("pad constant", lambda x: np.pad(x, 1, constant_values=0.5), [(2, 3)]),
    ("pad constants",
     lambda x: np.pad(x, ((1, 2), (2, 1)), constant_values=((0.5, 1.5), (2.5, 3.5))),
     [(2, 2)]),
    ("pad traced constant", lambda x, c: np.pad(x, 1, constant_values=c), [(2,), ()]),
    ("pad edge", lambda x: np.pad(x, 2, mode="edge"), [(2, 3)]),
    ("pad reflect", lambda x: np.pad(x, 1, mode="reflect"), [(2, 3)]),
    ("pad symmetric", lambda x: np.pad(x, 2, "symmetric"), [(3,)]),
    ("pad wrap", lambda x: np.pad(x, (1, 2), "wrap"), [(3,)]),
    ("diag of vector", lambda x: np.diag(x, k=1), [(3,)]),
    ("diag of matrix", lambda x: np.diag(x, k=-1), [(3, 3)]),
    ("diagflat", lambda x: np.diagflat(x), [(2, 2)]),
    ("diagonal", lambda x: np.diagonal(x, 1), [(3, 4)]),
    ("diagonal method", lambda x: x.diagonal(axis1=1, axis2=2), [(2, 3, 3)]),
    ("linalg diagonal", lambda x: np.linalg.diagonal(x), [(2, 3, 3)]),
    ("tril", lambda x: np.tril(x, -1), [(3, 3)]),
    ("triu", lambda x: np.triu(x), [(3, 4)]),
    ("delete", lambda x: np.delete(x, [0, 2]), [(4,)]),
    ("delete slice", lambda x: np.delete(x, slice(None, None, 2), axis=1), [(2, 3)]),
    ("insert", lambda x, y: np.insert(x, [1, 2], y), [(3,), (2,)]),
    ("insert number", lambda x: np.insert(x, 1, 0.5, axis=1), [(2, 3)]),
    ("insert into a constant", lambda x: np.insert(np.array([0.5, 1.5]), 1, x), [(2,)]),
    ("meshgrid", lambda x, y: tuple(np.meshgrid(x, y)), [(2,), (3,)]),
    ("meshgrid ij", lambda x: tuple(np.meshgrid(x, [0.5, 1.5], indexing="ij")), [(2,)]),
    ("meshgrid sparse", lambda x, y: tuple(np.meshgrid(x, y, sparse=True)),
     [(2,), (3,)]),
    ("sliding windows", lambda x: np.lib.stride_tricks.sliding_window_view(x, 3),
     [(5,)]),
    ("full_like traced", lambda x, c: np.full_like(x, c), [(2, 2), ()]),
    ("copy", lambda x: np.copy(x), [(2, 3)]),
    ("copy method", lambda x: x.T.copy(), [(2, 3)]),
    ("astype same", lambda x: x.astype(x.dtype), [(2, 3)]),
    ("asarray", lambda x: np.asarray(x), [(2, 3)]),
    ("array of scalars", lambda x: np.array([x[0], 0.5, x[2]]), [(3,)]),
    ("nested arrays", lambda x: np.array([[x[0], x[1]], [x[2], 0.5]]), [(3,)]),
    ("array of arrays", lambda x, y: np.array([x, y]), [(2,), (2,)]),
    ("array of object arrays", lambda x: np.stack([np.array([x[0], x[1]]), x[1:]]),
     [(3,)]),
    ("array like", lambda x: np.array([x[0], 0.5], like=x), [(3,)]),
    ("empty", lambda x: x[:0], [(3,)]),
    ("empty rows", lambda x: np.concatenate([x, x]), [(0, 3)]),
    ("flat", lambda x: [v for v in x.T.flat], [(2, 2)]),
    ("real", lambda x: np.real(x.real), [(2,)]),
    ("conj", lambda x: x.conj(), [(2,)]),
    ("unstack", lambda x: np.unstack(x, axis=1), [(2, 3)]),
]  # fmt: skip

CONSTANTS = [
    ("zeros_like", lambda x: np.zeros_like(x), [(2, 3)]),
    ("zeros_like dtype", lambda x: np.zeros_like(x, dtype=int), [(2, 3)]),
    ("zeros_like shape", lambda x: np.zeros_like(x, shape=(2,)), [(2, 3)]),
    ("ones_like", lambda x: np.ones_like(x), [(2, 3)]),
    ("full_like", lambda x: np.full_like(x, 2.5), [(2, 3)]),
    ("zeros like=", lambda x: np.zeros((2, 2), like=x), [(2, 3)]),
    ("full like=", lambda x: np.full(2, 0.5, like=x), [(2, 3)]),
    ("arange like=", lambda x: np.arange(3.0, like=x), [(2, 3)]),
    ("eye like=", lambda x: np.eye(2, like=x), [(2, 3)]),
    ("imag", lambda x: x.imag + np.imag(x), [(2, 3)]),
    ("shape", lambda x: np.array([*x.shape, x.ndim, x.size, np.size(x, 1), len(x)]),
     [(2, 3)]),
    ("np.shape", lambda x: np.array([*np.shape(x), np.ndim(x), np.size(x)]), [(2, 3)]),
    ("np.shape of list", lambda x: np.array(np.shape([x, x])), [(2, 3)]),
    ("nbytes", lambda x: np.array([x.nbytes, x.itemsize, *x.T.strides]), [(2, 3)]),
    ("isreal", lambda x: np.isreal(x), [(2, 3)]),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("f", "shapes"), [m[1:] for m in MOVES], ids=[m[0] for m in MOVES]
)
def test_moves(f, shapes, dtype):
    check_moves(f, shapes, dtype)


@pytest.mark.parametrize(
    ("f", "shapes"), [m[1:] for m in CONSTANTS], ids=[m[0] for m in CONSTANTS]
)
def test_constants(f, shapes):
    check_value(f, inputs(shapes, np.float64))


JOINS = [
    ("stack", lambda x, y: np.stack([x, y])),
    ("concatenate", lambda x, y: np.concatenate([x, y])),
    ("hstack", lambda x, y: np.hstack([x, y, 1])),
    ("append", lambda x, y: np.append(x, y)),
    ("concatenate to", lambda x, y: np.concatenate([x, y], dtype=np.float32)),
    ("array", lambda x, y: np.stack([x[0], 1.0, y[0]])),
]


MIXED = [(np.float32, np.float64), (np.float32, np.int64), (np.int32, bool)]


@pytest.mark.parametrize("kinds", [*MIXED, (np.float32, np.int32)])
@pytest.mark.parametrize("f", [j[1] for j in JOINS], ids=[j[0] for j in JOINS])
def test_joining_promotes_as_numpy(f, kinds):
    args = [np.array([1, 0, 1]).astype(k) for k in kinds]
    check_value(f, args)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int32, bool])
@pytest.mark.parametrize("source", [np.float64, np.float32, np.int64, bool])
def test_astype(source, dtype):
    check_value(lambda x: x.astype(dtype), [np.array([0, 1, 2]).astype(source)])


def test_linspace():
    f = lambda a, b: np.linspace(a, b, 5)  # noqa: E731
    check_value(f, [np.float64(0.3), np.float64(1.7)])
    check_value(f, [np.array([0.3, 1.0]), np.array([1.7, 2.0])])
    check_value(lambda a: np.linspace(0, a, 4, endpoint=False), [np.float64(1.3)])
    check_value(lambda a: np.linspace(a, 2, 1), [np.float64(1.3)])
    last = jitad.jit(lambda a: np.linspace(0, a, 3)[-1])(np.array([np.inf, 2.0]))
    np.testing.assert_array_equal(last, [np.inf, 2.0])
    check_value(lambda a: np.linspace(a, 2, 3, axis=1), [np.array([1.3, 1.5])])


def test_questions_about_dtypes():
    def f(x, y):
        assert np.result_type(x, y) == np.float64
        assert np.result_type(x, 1.0) == np.float32
        assert np.can_cast(x.dtype, np.float64)
        assert not np.can_cast(y.dtype, np.float32)
        assert not np.iscomplexobj(x)
        assert np.isrealobj(x)
        assert np.shares_memory(x, x[1:])
        assert not np.shares_memory(x[:1], x[1:])
        assert not np.shares_memory(x, x.copy())
        assert np.iterable(x)
        assert not np.iterable(x[0])
        return x

    check_value(f, [np.zeros(3, np.float32), np.zeros(3)])
