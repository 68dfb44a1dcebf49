"""Reading by index: functions, shapes, and the places that are traced."""

from __future__ import annotations

import numpy as np

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
