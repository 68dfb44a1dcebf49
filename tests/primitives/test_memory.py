"""Results and arrays that share memory, or must not: as in NumPy, or refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import jitad
from jitad import tree
from jitad.errors import InputError, TracingError, UnsupportedError
from tests.support import engine
from tests.support.laws import close
from tests.support.moves import check_moves, check_value, inputs, program

# Programs of x, an array of 4: every variable of one letter is compared.
PROGRAMS = [
    ("asarray is x", "y = np.asarray(x)", "y[0] = 9.", "x[1] = 8."),
    ("asarray of a view", "y = np.asarray(x[1:])", "y[0] = 9.", "z = x + 0",
     "x[2] = 8."),
    ("views of asarray", "y = np.asarray(x)[1:]", "y[:2] = 9.", "z = y.reshape(3, 1)",
     "z[2] = x[0] + x[1]"),
    ("two of them", "y = np.asarray(x)", "z = np.asarray(x[::-1])", "y[0] = 5.",
     "z[1] = z[3] * 2"),
    ("asarray, then in place", "y = np.asarray(x)", "y += 1", "x *= 2", "y -= x[0]"),
    ("asarray of a matrix", "y = np.asarray(x.reshape(2, 2).T)", "y[0] = y[1] * 2",
     "z = x * 1"),
    ("asarray of a copy", "y = np.asarray(x.copy())", "y[0] = 9."),
    ("asarray of an array of shape ()", "y = np.asarray(x[1, ...])", "y[...] = 3."),
    ("asarray that is gone", "y = np.asarray(x)", "y[0] = 7.", "z = x + 0", "del y",
     "x[0] = 1.", "y = np.asarray(x)", "y[1] = 6."),
    ("array copies", "y = np.array(x)", "y[0] = 9.", "x[1] = 8."),
    ("array without a copy", "y = np.array(x, copy=False)", "y[0] = 9."),
    ("asfortranarray", "y = np.asfortranarray(x.reshape(2, 2))", "y[0] = 9."),
    ("ascontiguousarray", "y = np.ascontiguousarray(x.reshape(2, 2).T)", "y[0] = 9."),
    ("require", "y = np.require(x, None, ['C', 'W'])", "y[0] = 9."),
    ("nan_to_num", "y = np.nan_to_num(x, copy=False)", "y[0] = 9."),
    ("nan_to_num of asarray", "y = np.asarray(x)", "z = np.nan_to_num(y, copy=False)",
     "z[0] = 9.", "x[1] = 8."),
    ("atleast of asarray", "y = np.atleast_2d(np.asarray(x), x)[0]", "y[0, 1] = 9."),
    ("broadcast_arrays of asarray, and of more",
     "y = np.broadcast_arrays(np.asarray(x)[::-1], x)[0]", "y[1:] += y[:-1]"),
    ("einsum of asarray", "y = np.einsum('ij->ji', np.asarray(x).reshape(2, 2))",
     "y[0] = 9."),
    ("einsum of a diagonal of asarray",
     "y = np.einsum('ii->i', np.asarray(x).reshape(2, 2))", "y[0] = 9.", "y = 0"),
    ("nan_to_num copies", "y = np.nan_to_num(x)", "y[0] = 9."),
    ("list", "r = list(x.reshape(2, 2))", "r[0][0] = 9.", "r = r[1]", "x[3] = 8."),
    ("broadcast_to", "y = np.broadcast_to(x, (2, 4))", "x[0] = 9.", "z = y + 0"),
    ("einsum", "y = np.einsum('ij->ji', x.reshape(2, 2))", "y[0] = 9.", "x[3] = 8."),
    ("einsum of a diagonal", "y = np.einsum('ii->i', x.reshape(2, 2))", "y *= 2",
     "x[0] -= 1"),
    ("as_strided", "y = np.lib.stride_tricks.as_strided(x, (2, 2), (8, 16))",
     "y[0] = 9.", "x[3] = 8.", "z = y[:, ::-1] + 0"),
    ("windows", "y = np.lib.stride_tricks.as_strided(x, (3, 2), (8, 8))", "x[1] = 9.",
     "z = y + 0", "y[0, 1] += 1"),
    ("as_strided of a view",
     "y = np.lib.stride_tricks.as_strided(x[::-1][1:], (3,), (-8,))", "y[0] = 9."),
    ("plus copies", "y = +x", "x += 1", "y[0] = 9."),
    ("positive copies", "y = np.positive(x)", "x[0] = 9."),
    ("conjugate copies", "y = np.conjugate(x)", "x[0] = 9."),
    ("conj does not", "y = x.conj()", "x[0] = 9."),
    ("clip of nothing copies", "y = np.clip(x, None, None)", "x[0] = 9."),
    ("first power copies", "y = x**1", "x[0] = 9."),
    ("positive of a broadcast can be written",
     "y = np.positive(np.broadcast_to(x, (2, 4)))", "y[0, 1] = 9."),
    ("imag cannot", "y = np.imag(x).flags.writeable + 0.0"),
    ("where of scalars is an array", "y = np.where(x[0] > 0, x[0], 2.)", "y.fill(.5)"),
    ("add.at of what it writes", "np.add.at(x, [0, 0, 1], x[:3])"),
    ("subtract.at", "np.subtract.at(x, [3, 0, 3], x[1:])"),
    ("multiply.at", "np.multiply.at(x, [0, 0, 1, 2], x[::-1])"),
    ("flat of itself", "x.flat[:] = x[::-1]"),
    ("flat of less of itself", "x.flat[1:] = x[:2]"),
    ("view", "y = x.view()", "y[0] = 9."),
    ("cumsum onto itself", "np.cumsum(x[::-1], out=x)"),
    ("sum with its transpose", "y = x.reshape(2, 2)", "np.add(y, y.T, out=y)"),
    ("sum onto a part", "y = x.reshape(2, 2)", "np.sum(y, axis=0, out=y[1])"),
]  # fmt: skip


@pytest.mark.parametrize(
    "f", [program(*r[1:]) for r in PROGRAMS], ids=[r[0] for r in PROGRAMS]
)
def test_programs(f):
    check_value(f, inputs([(4,)], np.float64))


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int64])
def test_what_is_put_into_asarray_has_its_dtype(dtype):
    f = program("y = np.asarray(x)", "y[1] = 3", "z = y * 1", "w = y.reshape(2, 2) / 2")
    check_value(f, inputs([(4,)], dtype))


@pytest.mark.parametrize(
    "name", ["asarray is x", "two of them", "as_strided", "windows"]
)
def test_derivatives(name):
    """Of programs that only move, they are where the elements went."""
    (row,) = [r for r in PROGRAMS if r[0] == name]
    moves = [line for line in row[1:] if "+" not in line and "*" not in line]
    check_moves(program(*moves), [(4,)])


def test_object_arrays_of_parts_at_traced_indices():
    def f(x, k):
        y = np.asarray(x[k])
        y[0] = 9.0
        x[k][1] = 8.0
        return x, y

    x, y = engine.value(f, np.ones((3, 2)), 1)
    assert np.array_equal(x, [[1, 1], [9, 8], [1, 1]])
    assert np.array_equal(y, [9, 8])

    def apart(x, k):
        return np.asarray(x[k]), np.asarray(x[0])

    with pytest.raises(TracingError, match="like=x"):
        engine.value(apart, np.ones((3, 2)), 1)


@pytest.mark.parametrize("strides", [(9,), (4,)])
def test_as_strided_stays_inside(strides):
    def f(x):
        return np.lib.stride_tricks.as_strided(x, (4,), strides)

    with pytest.raises(TracingError, match="leaves its memory"):
        engine.value(f, np.ones(4))


# -- out= of a compiled function -------------------------------------------------------

DOUBLE = jitad.jit(lambda x: 2 * x)
PAIR = jitad.jit(lambda x: (2 * x, x + 1))
X = np.array([0.5, 0.6, 0.7])


def outs(x):
    """Every way to say out= in a trace."""
    y = np.zeros((2, 3), like=x)
    r = DOUBLE(x, out=y[1])
    r[0] += 1
    z = x.copy()
    DOUBLE(z, out=z)
    DOUBLE(np.ones(3), out=y[0])
    a, b = np.zeros(3, like=x), np.zeros(3, like=x)
    PAIR(x[::-1], out=(a, b))
    c = np.zeros(3, like=x)
    jitad.vmap(lambda t: t * t)(x, out=c)
    return y, r, z, a, b, c


def test_out_of_a_compiled_function_in_a_trace():
    expected = [[[2, 2, 2], [2, 1.2, 1.4]], [2, 1.2, 1.4], 2 * X, 2 * X[::-1],
                X[::-1] + 1, X * X]  # fmt: skip
    for backend in (None, "numpy"):
        for found, wanted in zip(
            jitad.jit(outs, backend=backend)(X), expected, strict=True
        ):
            close(found, wanted, 1e-15)


def test_out_in_derivatives():
    def f(x):
        y = np.zeros_like(x)
        DOUBLE(x * x, out=y)
        return y

    for mode in ("forward", "reverse", "cross"):
        close(jitad.jacobian(f, mode=mode)(X), np.diag(4 * X), 1e-15)
    close(jitad.vmap(jitad.grad(lambda t: f(t * X)[1]))(X), 4 * X * X[1] ** 2, 1e-15)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (lambda x: np.zeros(3), "expected a traced"),
        (lambda x: np.zeros(2, like=x), r"float64\[2\]; expected float64\[3\]"),
        (lambda x: np.broadcast_to(x[0], 3), "read-only"),
        (lambda x: [x], "structure"),
    ],
)
def test_wrong_out_in_a_trace(out, message):
    with pytest.raises(InputError, match=message):
        jitad.jit(lambda x: DOUBLE(x, out=out(x)))(X)


def test_results_are_written_to_arrays_apart():
    table = np.zeros((3, 2))
    for backend in (None, "numpy"):
        f = jitad.jit(PAIR, backend=backend)
        f(X, out=(table[:, 0], table[:, 1]))
        close(table, np.stack([2 * X, X + 1], 1), 1e-15)
        same, line = np.zeros(3), np.zeros(4)
        for out in ((same, same), (line[1:], line[:3]), (line[:3], line[2::-1])):
            with pytest.raises(InputError, match="shares memory with number 0"):
                f(X, out=out)

    def twice(x):
        y = np.zeros_like(x)
        return PAIR(x, out=(y, y))

    with pytest.raises(InputError, match="shares memory with number 0"):
        jitad.jit(twice)(X)


def test_results_of_vmap_are_arrays_of_their_own():
    def f(x, many):
        a = jitad.vmap(lambda t: t)(x)
        a[0] = 9.0
        b = jitad.vmap(lambda t: 1.0)(x)
        b[0] = x[1]
        c = jitad.vmap(lambda t: t * np.ones(2), out_axes=1)(x)
        c[0, 0] = 7.0
        d = jitad.vmap(lambda t: t)(many)
        d[0] = 9.0
        e = jitad.vmap(lambda t: t * np.ones(2), out_axes=1)(many)
        r = c.ravel(), e.ravel()
        c[1, 1] = e[1, 1] = 3.0
        return x, many, a, b, c, d, e, r

    many = np.linspace(0, 1, 65)
    found = engine.value(f, X, many, scalar=False)
    for a, b in zip(tree.flatten(found)[0], tree.flatten(f(X, many))[0], strict=True):
        close(a, b, 1e-15)


# -- what is no plain array ------------------------------------------------------------


class Metres(np.ndarray):
    """Numbers with a unit, which do not compute with those that have none."""

    def __array_ufunc__(self, *args, **kwargs):
        return NotImplemented


class Labelled:
    """Another library's array."""

    def __init__(self, answer):
        self.answer = answer

    def __array__(self, dtype=None, copy=None):
        return X.copy()

    def __array_ufunc__(self, *args, **kwargs):
        return self.answer


class Raw(np.ndarray):
    """A subclass with NumPy's own arithmetic."""


MASKED = np.ma.masked_array(X, [False, True, False])
SPECIAL = [MASKED, X.view(Metres), Labelled(NotImplemented), X.view(np.matrix)]
USES = [
    lambda a, x: a * x, lambda a, x: x * a, lambda a, x: np.add(a, x),
    lambda a, x: a - x, lambda a, x: x + a, lambda a, x: np.stack([a, x]),
    lambda a, x: np.where(x > 0, a, x), lambda a, x: np.dot(a, x),
    lambda a, x: (a, x),
]  # fmt: skip


@pytest.mark.parametrize("value", SPECIAL, ids=lambda a: type(a).__name__)
def test_what_is_more_than_numbers_is_refused(value):
    for use in USES:
        with pytest.raises(UnsupportedError, match=r"cannot be traced .* it has"):
            jitad.jit(lambda x, use=use: use(value, x))(X)
    with pytest.raises(InputError, match=r"args\[0\] is of type \w+, which has"):
        jitad.jit(lambda x: x)(value)


def test_other_arrays_are_their_numbers():
    for value in (X.view(Raw), Labelled(3.0)):
        close(jitad.jit(lambda a, x: a + x)(value, X), X + X, 0)
        close(jitad.jit(lambda x, a=value: x + a)(X), X + X, 0)


def test_the_shape_is_not_changed_in_place():
    def f(x):
        x.shape = (1, 3)
        return x

    with pytest.raises(TracingError, match=r"x.reshape\(\(1, 3\)\)"):
        jitad.jit(f)(X)


def test_no_warning_of_numpys_for_what_shares_elements():
    def f(x):
        a, b = np.broadcast_arrays(x, np.ones((2, 3)))
        assert not a.flags.writeable
        return a + b, np.meshgrid(x, x, copy=False)[0]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine.value(f, X)
