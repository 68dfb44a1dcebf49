"""Reading by index, constant and traced, against NumPy."""

from __future__ import annotations

import engine
import numpy as np
import pytest
from moves import check_moves, check_value, inputs, leaves, plain

from jitad.transforms.derivatives.accumulate import MODES

ODD = np.array([False, True, False, True])
GRID = np.array([[True, False, True], [False, True, False]])

READS = [
    ("integer", lambda x: x[1], [(3,)]),
    ("negative", lambda x: x[-1], [(3,)]),
    ("NumPy integer", lambda x: x[np.int32(2)], [(3,)]),
    ("row", lambda x: x[1], [(3, 4)]),
    ("element", lambda x: x[1, -2], [(3, 4)]),
    ("chained", lambda x: x[1][2], [(3, 4)]),
    ("slice", lambda x: x[1:], [(4,)]),
    ("slice step", lambda x: x[::-2], [(5,)]),
    ("slice outside", lambda x: x[2:9], [(4,)]),
    ("empty slice", lambda x: x[3:1], [(4,)]),
    ("slices", lambda x: x[:2, 1:3], [(3, 4)]),
    ("ellipsis", lambda x: x[..., 0], [(2, 3, 4)]),
    ("ellipsis alone", lambda x: x[...], [()]),
    ("empty tuple", lambda x: x[()], [(2,)]),
    ("newaxis", lambda x: x[:, None, 1:], [(2, 3)]),
    ("list", lambda x: x[[2, 0, 0]], [(3,)]),
    ("array", lambda x: x[np.array([[0, 1], [-1, 1]])], [(3,)]),
    ("rows", lambda x: x[[1, 0]], [(3, 4)]),
    ("pairs", lambda x: x[[0, 1], [2, 0]], [(3, 4)]),
    ("tuple of arrays", lambda x: x[tuple(np.triu_indices(3))], [(3, 3)]),
    ("array and slice", lambda x: x[:, [0, 2]], [(3, 4)]),
    ("split advanced", lambda x: x[[0, 1], :, [1, 0]], [(2, 3, 4)]),
    ("integer and array", lambda x: x[1, :, [0, 2]], [(2, 3, 4)]),
    ("ix_", lambda x: x[np.ix_([0, 2], [1, 1])], [(3, 4)]),
    ("mask", lambda x: x[ODD], [(4,)]),
    ("mask of rows", lambda x: x[ODD, 1:], [(4, 3)]),
    ("mask of all", lambda x: x[GRID], [(2, 3)]),
    ("list mask", lambda x: x[[True, False, True]], [(3,)]),
    ("True", lambda x: x[True], [(3,)]),
    ("False", lambda x: x[False], [(3,)]),
    ("empty list", lambda x: x[[]], [(3,)]),
    ("nothing", lambda x: x[1], [(3, 0)]),
    ("iteration", lambda x: [row[0] for row in x], [(3, 2)]),
    ("reversed", lambda x: list(reversed(x)), [(3,)]),
    ("enumerate", lambda x: [v for i, v in enumerate(x) if i % 2], [(4,)]),
    ("flat", lambda x: (x.T.flat[1:4], x.flat[-1]), [(2, 3)]),
    ("take", lambda x: np.take(x, [3, 0, -1]), [(2, 3)]),
    ("take axis", lambda x: np.take(x, [[1], [0]], axis=1), [(2, 3)]),
    ("take clip", lambda x: np.take(x, [-5, 9], mode="clip"), [(3,)]),
    ("take wrap", lambda x: x.take([-5, 9], mode="wrap"), [(3,)]),
    ("take one", lambda x: x.take(1), [(3,)]),
    ("take_along_axis", lambda x: np.take_along_axis(x, np.array([[1], [0]]), axis=1),
     [(2, 3)]),
    ("take_along_axis flat",
     lambda x: np.take_along_axis(x, np.array([5, 0]), axis=None), [(2, 3)]),
    ("compress", lambda x: np.compress([True, False, True], x, axis=1), [(2, 3)]),
    ("compress method", lambda x: x.compress([False, True]), [(2, 3)]),
    ("extract", lambda x: np.extract(GRID, x), [(2, 3)]),
    ("choose", lambda x, y: np.choose([0, 1, 1], [x, y]), [(3,), (3,)]),
    ("where", lambda x, y: np.where(GRID, x, y), [(2, 3), (3,)]),
    ("diagonal by index", lambda x: x[np.arange(3), np.arange(3)], [(3, 3)]),
]  # fmt: skip


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

I64, I32 = np.int64, np.int32
TRACED = [
    ("vector", lambda x, i: x[i], [(5,)], [I64(2)]),
    ("negative", lambda x, i: x[i], [(5,)], [I64(-2)]),
    ("int32", lambda x, i: x[i], [(5,)], [I32(-5)]),
    ("row", lambda x, i: x[i], [(3, 4)], [I64(1)]),
    ("column", lambda x, i: x[:, i], [(3, 4)], [I64(-1)]),
    ("element", lambda x, i, j: x[i, j], [(3, 4)], [I64(1), I64(-2)]),
    ("chained", lambda x, i, j: x[i][j], [(3, 4)], [I64(1), I64(-2)]),
    ("and constant", lambda x, i: x[i, 2], [(3, 4)], [I64(1)]),
    ("and slice", lambda x, i: x[i, ::-2], [(3, 4)], [I64(2)]),
    ("and newaxis", lambda x, i: x[None, ..., i], [(2, 3, 4)], [I64(3)]),
    ("several", lambda x, i: x[i], [(5,)], [np.array([4, 0, 0, -1])]),
    ("grid of indices", lambda x, i: x[i], [(3, 2)], [np.array([[0, -1], [1, 1]])]),
    ("pairs", lambda x, i, j: x[i, j], [(3, 4)], [np.array([0, 2]), np.array([1, -1])]),
    ("array and slice", lambda x, i: x[:, i], [(2, 3)], [np.array([2, 0])]),
    ("split advanced", lambda x, i: x[[0, 1], :, i], [(2, 3, 4)], [np.array([3, 1])]),
    ("scalar and array", lambda x, i: x[i, :, [0, 2]], [(2, 3, 4)], [I64(1)]),
    ("mask and traced", lambda x, i: x[ODD, i], [(4, 3)], [np.array([2, 0])]),
    ("list with traced", lambda x, i: x[[0, i, 1]], [(4,)], [I64(3)]),
    ("object array", lambda x, i: x[np.array([i, i + 1])], [(4,)], [I64(1)]),
    ("take", lambda x, i: np.take(x, i), [(2, 3)], [np.array([5, 0, -1])]),
    ("take axis", lambda x, i: np.take(x, i, axis=1), [(2, 3)], [np.array([[2], [0]])]),
    ("take clip", lambda x, i: np.take(x, i, mode="clip"), [(3,)],
     [np.array([-7, 9, 1])]),
    ("of a list", lambda x, i: np.stack([x[0], x[2]])[i], [(3,)], [I64(1)]),
    ("take_along_axis", lambda x, i: np.take_along_axis(x, i, axis=1), [(2, 3)],
     [np.array([[1, 0], [2, 2]])]),
    ("take_along_axis flat", lambda x, i: np.take_along_axis(x, i, axis=None),
     [(2, 3)], [np.array([5, 0])]),
    ("choose", lambda x, i: np.choose(i, [x, [2.5] * 3, x[::-1]]), [(3,)],
     [np.array([0, 1, 2])]),
    ("of an empty result", lambda x, i: x[i, 3:], [(2, 3)], [I64(1)]),
    ("write", lambda x, i: put(x, i, 0.5), [(4,)], [I64(2)]),
    ("write row", lambda x, i: put(x, i, np.full(3, 0.5)), [(2, 3)], [I64(-1)]),
    ("write column", lambda x, i: put(x, (slice(None), i), x[:, 0]), [(2, 3)],
     [I64(2)]),
    ("write several", lambda x, i: put(x, i, x[:3]), [(5,)], [np.array([4, 0, -2])]),
    ("write twice", lambda x, i: put(x, i, x[:2]), [(5,)], [np.array([1, 1])]),
    ("write pairs", lambda x, i, j: put(x, (i, j), x[0, :2]), [(2, 3)],
     [np.array([0, 1]), np.array([2, -3])]),
    ("write to a view", lambda x, i: (put(x[1:].T, (0, i), 0.5), x), [(3, 2)],
     [I64(1)]),
    ("put_along_axis", lambda x, i: put_along(x, i), [(2, 3)], [np.array([[1], [2]])]),
]  # fmt: skip


def put(x, key, value):
    x[key] = value
    return x


def put_along(x, i):
    np.put_along_axis(x, i, np.float64(0.5), axis=1)
    return x


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
