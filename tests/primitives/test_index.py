"""Reading by index, constant and traced, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import jitad
from jitad.transforms.derivatives.accumulate import MODES
from tests.cases.indexing import ODD, READS, TRACED, put
from tests.support import engine
from tests.support.moves import check_moves, check_value, inputs, leaves, plain


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("f", "shapes"), [r[1:] for r in READS], ids=[r[0] for r in READS]
)
def test_reads(f, shapes, dtype):
    check_moves(f, shapes, dtype)


def test_index_arrays_are_captured_by_value():
    def f(x):
        where = np.array([0, 1])
        y = x[where]
        where[:] = 2
        return y

    check_moves(f, [(3,)])


@pytest.mark.parametrize(
    ("key", "error"),
    [(5, IndexError), (-4, IndexError), ((0, 0), IndexError), ([0, 3], IndexError),
     (1.0, IndexError), ("a", IndexError), (ODD, IndexError)],
)  # fmt: skip
def test_wrong_indices_fail_while_tracing(key, error):
    with pytest.raises(error):
        engine.traced(lambda x: x[key], np.zeros(3))


# -- traced indices ------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "shapes", "indices"), [t[1:] for t in TRACED], ids=[t[0] for t in TRACED]
)
def test_traced_indices(f, shapes, indices):
    args = [*inputs(shapes, np.float64), *indices]
    check_value(f, args)
    (x,) = args[:1]
    numbers = np.arange(1.0, x.size + 1).reshape(x.shape)
    positions = plain(f, [numbers, *indices])
    for mode in MODES:
        for j, p in zip(
            engine.jacobian(f, *args, mode=mode, wrt=[0]), positions, strict=True
        ):
            expected = p[(...,) + (None,) * x.ndim] == numbers
            assert np.array_equal(j, expected), mode


def test_tables_are_read_by_traced_indices():
    table = np.array([2.0, 3.0, 5.0, 7.0])
    i = np.array([3, 0, -1])
    check_value(lambda i: np.asarray(table, like=i)[i], [i])
    check_value(lambda i: np.array([2, 3, 5, 7], like=i)[i[1]], [i])
    check_value(lambda i: np.take_along_axis(table, i, axis=0), [i])


def test_untaken_elements_have_zero_derivatives():
    def f(x, i):
        return np.stack([np.log(x[0]), np.sin(x[1])])[i]

    for mode in MODES:
        (j,) = engine.jacobian(f, np.array([0.0, 1.0]), np.int64(1), mode=mode, wrt=[0])
        assert np.array_equal(j, [0.0, np.cos(1.0)])


@pytest.mark.parametrize("index", [3, -4, 100])
def test_traced_index_out_of_range_reads_and_writes_nan(index):
    x, i = np.arange(3.0), np.int64(index)
    for scalar in (True, False):
        assert np.isnan(engine.value(lambda x, i: x[i], x, i, scalar=scalar))
        low = np.iinfo(np.int64).min
        found = engine.value(lambda x, i: x[i], x.astype(int), i, scalar=scalar)
        assert found == low
        y = engine.value(lambda x, i: put(x, i, 1.0), x, i, scalar=scalar)
        assert np.isnan(y).all()


@pytest.mark.parametrize("shape", [(9,), (20,), (3, 11)])
def test_computed_arrays_are_read_at_any_place(shape):
    """Of more than some places one is found by halving."""
    size = int(np.prod(shape))
    x = np.linspace(0.1, 0.9, size)
    places = np.arange(-shape[-1] - 1, shape[-1] + 2)
    out = (places < -shape[-1]) | (places >= shape[-1])

    def f(x, i):
        return np.sin(x).reshape(shape)[..., i]

    for backend in ("cpu", "numpy"):
        got = jitad.jit(f, backend=backend)(x, places)
        np.testing.assert_array_equal(got[..., out], np.nan)
        want = f(x, places[~out])
        np.testing.assert_allclose(got[..., ~out], want, rtol=1e-15)
    for mode in ("forward", "reverse", "cross"):
        one = jitad.jacobian(f, mode=mode, backend="numpy")(x, shape[-1] - 2)
        want = np.diag(np.cos(x)).reshape(*shape, size)[..., shape[-1] - 2, :]
        np.testing.assert_allclose(one, want, rtol=1e-15)


def test_traced_float_index():
    with pytest.raises(IndexError, match="astype"):
        engine.traced(lambda x: x[x[0]], np.zeros(3))


def test_traced_masks_write():
    def f(x, m):
        y = x.copy()
        y[m > 0] = 0.5
        z = x * 1.0
        z[(m > 0)[:, 0]] = x[0]
        w = x.copy()
        np.copyto(w, x[0], where=m > 0)
        np.putmask(w, m < 0, x)
        np.place(w, m == 0, 2.5)
        return y, z, w

    x = np.arange(6.0).reshape(3, 2)
    m = np.array([[1, 0], [-1, 1], [0, -1]])
    check_value(f, [x, m])
    for mode in MODES:
        found = engine.jacobian(f, x, m, mode=mode, wrt=[0])
        marks = plain(f, [x + 10, m])
        for j, p in zip(found, marks, strict=True):
            assert np.array_equal(j, p[..., None, None] == x + 10)
    assert leaves(found)
