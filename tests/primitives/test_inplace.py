"""In-place programs: a write is seen through the same views as in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitad.ir.trace import current
from jitad.primitives.arrays import creation
from tests.support import engine
from tests.support.moves import check_moves, check_value, inputs, program

# Moves only: what is written is a part of x, or a number that is no position.
MOVING = [
    ("element", "y = x.copy()", "y[1] = x[0]"),
    ("input itself", "x[1] = x[0]"),
    ("two names", "y = x", "y[0] = 0.5"),
    ("slice", "y = x.copy()", "y[1:-1] = x[:2]"),
    ("reversed onto itself", "x[:] = x[::-1]"),
    ("overlapping", "x[1:] = x[:-1]"),
    ("chained views", "y = x[1:]", "z = y[::-1]", "z[0] = 0.5"),
    ("view seen later", "y = x[1:]", "x[2] = 0.5", "z = y[:2]", "x[1] = 1.5"),
    ("view of a view is read again", "y = x[1:]", "z = y[1:]", "x[:] = 0.5"),
    ("copy does not see", "y = x[[0, 1]]", "x[0] = 0.5"),
    ("write to a copy", "y = x[[0, 1]]", "y[0] = 0.5"),
    ("mask", "x[MASK] = x[:2]"),
    ("mask number", "x[MASK] = 0.5"),
    ("list", "x[[0, 2]] = x[[2, 0]]"),
    ("repeated", "x[[0, 0]] = x[2:]"),
    ("swap", "x[0], x[1] = x[1], x[0]"),
    ("ellipsis", "x[...] = 0.5"),
    ("everything", "y = x[:2]", "x[:] = x[::-1].copy()"),
    ("fill", "y = x[1:]", "y.fill(0.5)"),
    ("flat", "y = x.reshape(2, 2).T", "y.flat[1] = 0.5"),
    ("flat several", "y = x.reshape(2, 2).T", "y.flat[:2] = x[2:]"),
    ("matrix row", "y = x.reshape(2, 2)", "y[0] = y[1]"),
    ("matrix column", "y = x.reshape(2, 2)", "y[:, 1] = 0.5"),
    ("transpose", "y = x.reshape(2, 2).T", "y[0] = 0.5"),
    ("reshape of a transpose copies", "y = x.reshape(2, 2).T.reshape(-1)",
     "y[0] = 0.5"),
    ("ravel is a view", "y = x.reshape(2, 2)", "z = y.ravel()", "z[3] = 0.5"),
    ("ravel of a transpose copies", "y = x.reshape(2, 2).T.ravel()", "y[0] = 0.5"),
    ("ravel F of a transpose", "y = x.reshape(2, 2).T.ravel(order='F')", "y[0] = 0.5"),
    ("flatten copies", "y = x.flatten()", "y[0] = 0.5"),
    ("diagonal", "y = x.reshape(2, 2)", "np.fill_diagonal(y, 0.5)"),
    ("fill_diagonal by array", "y = x.reshape(2, 2)",
     "np.fill_diagonal(y, x[1:3].copy())"),
    ("split", "y, z = np.split(x, 2)", "y[:] = z"),
    ("unpacked rows", "y, z = x.reshape(2, 2)", "y[:] = z"),
    ("swapaxes", "y = x.reshape(2, 1, 2).swapaxes(0, 2)", "y[0, 0, 1] = 0.5"),
    ("squeeze to 0-d", "y = np.squeeze(x[:1])", "y[...] = 0.5"),
    ("0-d view", "y = x[1, ...]", "y[()] = 0.5"),
    ("expand_dims", "y = np.expand_dims(x, 0)", "y[0, 1] = 0.5"),
    ("atleast_2d", "y = np.atleast_2d(x)", "y[0, 1] = 0.5"),
    ("flip", "y = np.flip(x)", "y[0] = 0.5"),
    ("rot90", "y = np.rot90(x.reshape(2, 2))", "y[0] = 0.5"),
    ("roll copies", "y = np.roll(x, 1)", "y[0] = 0.5"),
    ("leading ones", "x[:2] = x[None, None, 2:]"),
    ("copyto", "np.copyto(x, 0.5, where=MASK)"),
    ("copyto array", "np.copyto(x[:2], x[2:])"),
    ("put", "np.put(x, [0, -1], x[1:3])"),
    ("put clip", "x.put([9], 0.5, mode='clip')"),
    ("place", "np.place(x, MASK, [0.5, 1.5])"),
    ("putmask", "np.putmask(x, MASK, 0.5)"),
    ("put_along_axis", "y = x.reshape(2, 2)",
     "np.put_along_axis(y, np.array([[1], [0]]), y[:1].T, 1)"),
    ("zeros_like", "y = np.zeros_like(x)", "y[1:] = x[1:]"),
    ("zeros like=", "y = np.zeros((2, 2), like=x)", "y[0] = x[:2]"),
    ("empty_like", "y = np.empty_like(x)", "y[:] = x"),
    ("copy module", "y = copy.copy(x)", "z = copy.deepcopy(x)", "y[0] = 0.5"),
    ("loop", "y = np.zeros_like(x)", "for at in range(4): y[at] = x[3 - at]"),
    ("out of a move", "y = np.zeros((2, 4), like=x)", "np.stack([x, x], out=y)"),
    ("out of take", "y = np.zeros_like(x)", "np.take(x, [3, 2, 1, 0], out=y)"),
    ("fancy row of a view", "y = x.reshape(2, 2)[:, ::-1]", "y[[1, 0]] = y.copy()"),
    ("sort by hand", "x[[0, 1, 2, 3]] = x[[3, 1, 0, 2]]"),
]  # fmt: skip

# Arithmetic: values alone are compared, bit for bit.
COMPUTING = [
    ("add", "x += 1"),
    ("all operators", "x += 2", "x -= 0.5", "x *= x", "x /= 3"),
    ("through a name", "y = x", "y += 1"),
    ("through a view", "y = x[1:]", "y += 1", "y *= y"),
    ("through an index", "x[1:] += x[:-1]"),
    ("slice of slice", "x[1:][:2] -= 1"),
    ("repeated index is buffered", "x[[0, 0]] += 1"),
    ("mask", "x[MASK] *= 2"),
    ("element", "x[0] += 1", "y = x[0]", "x[0] += 1"),
    ("scalars are values", "y = x[0]", "z = y", "z += 1"),
    ("0-d arrays are not", "y = x[0, ...]", "z = y", "z += 1"),
    ("0-d sums are scalars", "y = x[0, ...] + 1", "z = y", "z += 1"),
    ("broadcast", "y = x.reshape(2, 2)", "y += y[0]"),
    ("negated", "y = x[::-1]", "x -= y"),
    ("K order of a sum", "y = x.reshape(2, 2).T + 0", "z = y.reshape(-1)", "z += 1"),
    ("K order, ravel F", "y = x.reshape(2, 2).T + 0", "z = y.ravel('F')", "z += 1"),
    ("K order of a copy", "y = np.copy(x.reshape(2, 2).T)", "z = y.T.ravel()",
     "z += 1"),
    ("C order of a copy", "y = x.reshape(2, 2).T.copy()", "z = y.ravel()", "z += 1"),
    ("K order of a sort", "y = np.sort(x.reshape(2, 2).T)", "z = y.ravel()", "z += 1"),
    ("K order of a reduction", "y = x.reshape(1, 2, 2).T.max(2)", "z = y.ravel()",
     "z += 1"),
    ("zeros_like a transpose", "y = np.zeros_like(x.reshape(2, 2).T)",
     "z = y.reshape(-1)", "z += x"),
    ("out", "y = np.zeros_like(x)", "z = np.add(x, x, out=y)", "z += 1"),
    ("out broadcasts", "y = np.zeros((2, 4), like=x)", "np.add(x, x, out=y)"),
    ("out aliases", "np.subtract(x, x[::-1], out=x)"),
    ("where=", "y = np.zeros_like(x)", "np.add(x, x, out=y, where=MASK)"),
    ("where= traced", "np.add(x, x, out=x, where=x > 0)"),
    ("dtype=", "y = np.add(x, 0.1, dtype=np.float64)"),
    ("add.at", "np.add.at(x, [0, 0, 1], [1, 2, 3])"),
    ("add.at a view", "np.add.at(x.reshape(2, 2).T, ([0, 0], [1, 1]), x[:2])"),
    ("subtract.at", "np.subtract.at(x, MASK, 1)"),
    ("negative.at", "np.negative.at(x, [0, 1, 0])"),
    ("multiply.at", "np.multiply.at(x, [0, 0, 2], 1.5)"),
    ("reduce", "y = np.subtract.reduce(x)",
     "z = np.add.reduce(x.reshape(2, 2), axis=1)"),
    ("reduce keepdims",
     "y = np.subtract.reduce(x.reshape(2, 2), axis=1, keepdims=True)"),
    ("accumulate", "y = np.subtract.accumulate(x)"),
    ("outer", "y = np.multiply.outer(x, x[:2])"),
    ("reduceat", "y = np.subtract.reduceat(x, [0, 2, 1])"),
    ("augmented view of augmented view", "y = x.reshape(2, 2)", "y[1][1:] += y[0, 0]"),
    ("list of rows", "r = [row for row in x.reshape(2, 2)]", "r[0] += 1", "r = r[0]"),
]  # fmt: skip


def _table(rows):
    return pytest.mark.parametrize(
        "f", [program(*r[1:]) for r in rows], ids=[r[0] for r in rows]
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@_table(MOVING)
def test_moving_writes(f, dtype):
    check_moves(f, [(4,)], dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@_table(COMPUTING)
def test_computing_writes(f, dtype):
    check_value(f, inputs([(4,)], dtype))


INTEGERS = [
    ("add", "x += 1", "x -= x[0]"),
    ("at", "np.add.at(x, [0, 0], 2)"),
    ("number of another kind", "x[0] = 2.75"),
    ("bools", "y = x > 2", "y[0] = True", "y[1:] = x[1:] < 3"),
]


@_table(INTEGERS)
def test_integer_writes(f):
    check_value(f, [np.array([1, 2, 3, 4])])


def test_float32_takes_float64_results_as_numpy_does():
    def f(x, y):
        x += y
        x[1:] *= y[1:]
        x[0] = y[1]
        return x

    check_value(f, [np.ones(3, np.float32), np.array([0.1, 0.2, 0.3])])


def test_two_arguments():
    def f(x, y):
        v = x[1:]
        v += y[:2]
        y[:] = x
        v[0] = y[2]
        return x, y, v

    check_value(f, inputs([(3,), (3,)], np.float64))


def test_creation_inside_and_outside_a_trace():
    assert current() is None
    for made in (
        creation.zeros((2, 2)),
        creation.ones(3),
        creation.full(2, 1.5),
        creation.empty(2),
    ):
        assert type(made) is np.ndarray

    def f(x):
        y = creation.zeros((2, 2))
        y[0] = x
        z = creation.ones(2, dtype=x.dtype)
        z[1] = x[0]
        e = creation.empty(2)
        e[:] = x[::-1]
        a = creation.array([[x[0], 1.0], [2.0, x[1]]], dtype=np.float32)
        s = creation.zeros(())
        s += x[0]
        return y, z, e, a, creation.full((2, 2), x[1]), s, creation.array([1, 2])

    x = np.array([0.25, 0.75])
    y, z, e, a, c, s, n = engine.value(f, x)
    assert np.array_equal(y, [x, [0, 0]])
    assert np.array_equal(z, [1, x[0]])
    assert np.array_equal(e, x[::-1])
    assert np.array_equal(a, [[0.25, 1], [2, 0.75]])
    assert a.dtype == np.float32
    assert np.array_equal(c, np.full((2, 2), 0.75))
    assert s == 0.25
    assert np.array_equal(n, [1, 2])


def test_empty_is_nan_until_it_is_filled():
    def f(x):
        y = np.empty_like(x)
        y[0] = x[0]
        return y

    found = engine.value(f, np.array([1.0, 2.0]))
    assert np.array_equal(found, [1.0, np.nan], equal_nan=True)


# -- random programs -----------------------------------------------------------

NUMBERS = st.integers(0, 63)
STEPS = st.lists(st.tuples(st.integers(0, 17), *[NUMBERS] * 5), min_size=4, max_size=16)


def _slice(extent: int, a: int, b: int) -> slice:
    step = (1, 1, 2, -1)[b % 4]
    start, stop = sorted((a % (extent + 1), b % (extent + 1)))
    return slice(start, stop, step) if step > 0 else slice(None, None, step)


def _fits(value, array) -> bool:
    try:
        return np.broadcast_shapes(value.shape, array.shape) == array.shape
    except ValueError:
        return False


def run(steps, x):
    """Take random views, copies and sums of x and of one another, and write to them."""
    arrays = [x, x.T]
    for kind, which, other, a, b, c in steps:
        y, z = arrays[which % len(arrays)], arrays[other % len(arrays)]
        key = tuple(_slice(n, a + 3 * k, b + 5 * k) for k, n in enumerate(y.shape))
        if kind == 0:
            arrays.append(y[key])
        elif kind == 1 and y.ndim:
            arrays.append(y[a % len(y)] if len(y) else y)
        elif kind == 2:
            arrays.append(np.transpose(y))
        elif kind == 3:
            arrays.append(np.reshape(y, -1, order="CFA"[a % 3]))
        elif kind == 4 and y.size % 2 == 0:
            arrays.append(y.reshape(2, -1) if a % 2 else y.reshape(y.size // 2, 2))
        elif kind == 5:
            arrays.append(np.ravel(y, order="CFAK"[a % 4]))
        elif kind == 6:
            arrays.append(np.copy(y) if a % 2 else y.copy())
        elif kind == 7 and y.ndim and len(y):
            arrays.append(y[[a % len(y), b % len(y)]])
        elif kind == 8:
            arrays.append(y * 0.5 + 1 if a % 2 else np.zeros_like(y) - y)
        elif kind == 9 and y.ndim > 1:
            arrays.append(np.swapaxes(y, a % y.ndim, b % y.ndim))
        elif kind == 10 and y.ndim:
            arrays.append(np.flip(y, a % y.ndim))
        elif kind == 11 and y.shape == z.shape:
            arrays.append(y + z if a % 2 else np.where(y > z, y, z))
        elif kind == 12 and y.ndim:
            y[key] = a / 4
        elif kind == 13 and y.ndim:
            y[key] += b / 8
        elif kind == 14 and y.ndim and _fits(z, y):
            y[...] = z
        elif kind == 15 and y.ndim:
            y *= 1 + c / 64
        elif kind == 16 and y.ndim and _fits(z, y):
            y -= z
        elif kind == 17 and y.ndim and len(y):
            y[[a % len(y), b % len(y)]] -= c / 16
    return arrays


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    STEPS,
    st.sampled_from([(4,), (2, 3), (1, 4), (3, 1, 2), (0, 2)]),
    st.sampled_from([np.float64, np.float32]),
)
def test_random_programs(steps, shape, dtype):
    check_value(lambda x: run(steps, x), inputs([shape], dtype))
