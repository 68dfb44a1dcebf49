"""What cannot be traced: each error says what, where, and what to do instead."""

from __future__ import annotations

import copy
import math
import operator
import pickle
from fractions import Fraction

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.special

import jitad
from jitad import jit, tree
from jitad.errors import InputError, TracingError, UnsupportedError
from jitad.ir.graph import Type
from jitad.ir.trace import Input, trace
from tests.support import engine
from tests.support.moves import check_value, inputs

N = 3
TABLE = np.arange(5.0)
MASKED = np.ma.array(TABLE[:N], mask=[False, True, False])
GRID = np.ones((2, 3))
UNKNOWN = np.frompyfunc(abs, 1, 1)


def fill(x):
    y = np.zeros(N)
    y[0] = x[0]


def fill_all(x):
    y = np.zeros(N)
    y[:] = x


def add_into(x):
    y = np.zeros(N)
    y += x


def number(x):
    return float(x[0])


def put(x, key, value):
    x[key] = value


def add_up(total, x):
    return total + x, None


OF_SCIPY = (TracingError, "use NumPy's, such as those of np.linalg")
# (name, function, error, what it must say)
ERRORS = [
    ("float", lambda x: float(x[0]), TracingError, "no value yet"),
    ("int", lambda x: int(x[0]), TracingError, "no value yet"),
    (
        "inside SciPy",
        lambda x: scipy.linalg.cholesky(np.outer(x, x)),
        TracingError,
        "test_tracing_errors.py",
    ),
    ("scipy.linalg.inv", lambda x: scipy.linalg.inv(np.outer(x, x)), *OF_SCIPY),
    ("scipy.ndimage", lambda x: scipy.ndimage.gaussian_filter(x, 1.0), *OF_SCIPY),
    ("complex", lambda x: complex(x[0]), TracingError, "no value yet"),
    ("math.sin", lambda x: math.sin(x[0]), TracingError, "NumPy's function"),
    ("math.floor", lambda x: math.floor(x[0]), TracingError, "NumPy's function"),
    ("round", lambda x: round(x[0]), TracingError, "np.round"),
    ("range", lambda x: range(x[0]), TracingError, "functools.partial"),
    ("list index", lambda x: [1, 2][x[0]], TracingError, "like=i"),
    ("index of a table", lambda x: TABLE[x[0].astype(int)], TracingError, "np.take"),
    ("index of a grid", lambda x: GRID[0, x[0].astype(int)], TracingError, "np.take"),
    ("write to a table", lambda x: put(TABLE, x[0].astype(int), 1), TracingError,
     "like=i"),
    ("function of a list", lambda x: np.sin([x[0], 0.5]), TracingError, "np.stack"),
    ("function of objects", lambda x: np.exp(np.array([0.5, x[0]])), TracingError,
     "jitad.array"),
    ("hypot of objects", lambda x: np.hypot(np.array([x[0], 1]), np.array([2, x[1]])),
     TracingError, "np.stack"),
    ("slice bound", lambda x: x[: x[0]], TracingError, "slice bound"),
    ("shape", lambda x: np.reshape(x, (x[0], 1)), TracingError, "functools.partial"),
    ("np.zeros filled", fill, TracingError, "like=x"),
    ("np.zeros filled whole", fill_all, TracingError, "np.zeros_like"),
    ("np.zeros added to", add_into, TracingError, "np.zeros_like"),
    ("out=", lambda x: np.add(x, 1, out=np.zeros(N)), TracingError, "np.zeros_like"),
    ("copyto", lambda x: np.copyto(np.zeros(N), x), TracingError, "np.zeros_like"),
    ("add.at", lambda x: np.add.at(np.zeros(N), [0], x[0]), TracingError,
     "jitad.zeros"),
    ("asarray with dtype", lambda x: np.asarray(x, dtype=float), TracingError,
     "astype"),
    ("array with dtype", lambda x: np.array([x[0], 1], float), TracingError,
     "np.stack"),
    ("item", lambda x: x[0].item(), TracingError, "np.squeeze"),
    ("tolist", lambda x: x.tolist(), TracingError, "needs a value"),
    ("view", lambda x: x.view(int), TracingError, "reads bits"),
    ("resize", lambda x: x.resize(4), TracingError, "np.resize"),
    ("pickle", lambda x: pickle.dumps(x), TracingError, "return it"),
    ("mask", lambda x: x[x > 0], TracingError, "np.where"),
    ("mask and index", lambda x: x[None, x > 0], TracingError, "np.where"),
    ("mask write", lambda x: put(x, x > 0, x), TracingError, "np.where"),
    ("mask write, wrong shape", lambda x: put(x, x[:2] > 0, 1), TracingError, "mask"),
    ("compress", lambda x: np.compress(x > 0, x), TracingError, "np.where"),
    ("extract", lambda x: np.extract(x > 0, x), TracingError, "np.where"),
    ("roll", lambda x: np.roll(x, x[0]), TracingError, "plain number"),
    ("repeat", lambda x: np.repeat(x, x > 0), TracingError, "plain number"),
    ("tile", lambda x: np.tile(TABLE, x), TracingError, "plain number"),
    ("nonzero", lambda x: np.nonzero(x), UnsupportedError, "shape"),
    ("unique", lambda x: np.unique(x), UnsupportedError, "shape"),
    ("where of one", lambda x: np.where(x > 0), TypeError, "branches"),
    ("allclose", lambda x: np.allclose(x, 1), TracingError, "isclose"),
    ("array_equal", lambda x: np.array_equal(x, x), TracingError, "np.all"),
    ("save", lambda x: np.savetxt("nowhere", x), TracingError, "result"),
    ("unsupported function", lambda x: np.fft.fft(x), UnsupportedError,
     "functions that can"),
    ("unsupported ufunc", lambda x: UNKNOWN(x), UnsupportedError, "functions that can"),
    ("ufunc method", lambda x: np.add.reduceat(x, x), UnsupportedError, "traced"),
    ("ufunc signature", lambda x: np.add(x, x, signature="dd->d"), UnsupportedError,
     "leave"),
    ("where without out", lambda x: np.add(x, x, where=x > 0), UnsupportedError,
     "np.where"),
    ("pad mode", lambda x: np.pad(x, 1, mode="mean"), UnsupportedError, "edge"),
    ("complex number", lambda x: x * 1j, UnsupportedError, "float64"),
    ("complex astype", lambda x: x.astype(complex), UnsupportedError, "float64"),
    ("complex write", lambda x: put(x, 0, 1j), UnsupportedError, "real"),
    ("float16", lambda x: x + np.float16(1), UnsupportedError, "astype"),
    ("longdouble", lambda x: x + np.longdouble(1), UnsupportedError, "float64"),
    ("datetime", lambda x: x + np.datetime64("2020"), TypeError, ""),
    ("text", lambda x: np.stack([x[0], "a"]), UnsupportedError, "astype"),
    ("fraction", lambda x: x + Fraction(1, 2), UnsupportedError, "number"),
    ("None", lambda x: np.stack([x[0], None]), UnsupportedError, "number"),
    ("ragged", lambda x: x[:2] + np.array([x, x[0]], object), UnsupportedError,
     "stack"),
    ("masked array", lambda x: np.where(x > 0, np.ma.array(TABLE[:N]), x),
     UnsupportedError, "masked"),
    *[(f"masked array, {name}", f, UnsupportedError, "masked") for name, f in [
        ("scanned", lambda x: jitad.scan(add_up, x[0], MASKED)[0]),
        ("carried", lambda x: jitad.fori_loop(0, 2, lambda _, c: c * x, MASKED)),
        ("of outer", lambda x: np.add.outer(MASKED, x)),
        ("weights", lambda x: np.average(x, weights=MASKED)),
        ("in logsumexp", lambda x: scipy.special.logsumexp(x, b=MASKED)),
        ("tangent", lambda x: jitad.jvp(np.sin, (x,), (MASKED,))),
        ("cotangent", lambda x: jitad.vjp(np.sin, x)[1](MASKED)),
    ]],
    ("small floats", lambda x: x.astype(np.float16), TypeError, "float16"),
    ("iteration of 0-d", lambda x: list(x[0]), TypeError, "no axes"),
    ("len of 0-d", lambda x: len(x[0]), TypeError, "no axes"),
    ("item assignment of 0-d", lambda x: put(x[0], (), 1), TypeError, "scalar"),
    ("read-only", lambda x: put(np.broadcast_to(x, (2, N)), 0, 1), ValueError, "copy"),
    ("read-only diagonal", lambda x: put(np.diagonal(x[None]), 0, 1), ValueError,
     "copy"),
    ("wrong shape", lambda x: put(x, slice(2), x), ValueError, "broadcast"),
    ("wrong shape in place", lambda x: operator.iadd(x, np.ones((2, N))), ValueError,
     "fit"),
    ("scalar out", lambda x: np.add(x[1], x[1], out=x[0]), TypeError, "array"),
    ("unknown attribute", lambda x: x.smile, AttributeError, "unknown"),
    ("untraced attribute", lambda x: x.setflags(), AttributeError, "cannot be traced"),
    ("setting the shape", lambda x: setattr(x, "shape", (N, 1)), TracingError,
     "x.reshape"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("f", "error", "text"), [e[1:] for e in ERRORS], ids=[e[0] for e in ERRORS]
)
def test_errors(f, error, text):
    with pytest.raises(error) as caught:
        engine.traced(f, np.ones(N))
    message = str(caught.value)
    assert text in message
    if isinstance(caught.value, TracingError | UnsupportedError):
        assert f"{__file__}:" in message


INTEGERS = [
    ("float into integers", lambda i: put(i, 0, i[0] / 2), TypeError, "float64"),
    ("divided in place", lambda i: operator.itruediv(i, 2), TypeError, "astype"),
    ("bool into", lambda i: put(i > 0, 0, i[0]), TypeError, "int64"),
    ("overflow", lambda i: put(i.astype(np.int32), 0, 1 << 40), OverflowError, ""),
]


@pytest.mark.parametrize(
    ("f", "error", "text"), [e[1:] for e in INTEGERS], ids=[e[0] for e in INTEGERS]
)
def test_integer_errors(f, error, text):
    with pytest.raises(error) as caught:
        engine.traced(f, np.ones(N, int))
    assert text in str(caught.value)


def test_the_line_is_the_users():
    with pytest.raises(TracingError) as caught:
        engine.traced(number, np.ones(N))
    first = number.__code__.co_firstlineno
    assert f"{__file__}:{first + 1}" in str(caught.value)


def test_leaked_tracers():
    kept = []
    engine.traced(lambda x: kept.append(x) or x, np.ones(N))
    for use in (lambda y: y + 1, lambda y: y[0], lambda y: np.stack([y, y])):
        with pytest.raises(TracingError, match="earlier trace"):
            use(kept[0])
    with pytest.raises(TracingError, match="earlier trace"):
        engine.traced(lambda x: x + kept[0], np.ones(N))
    with pytest.raises(TracingError, match="earlier trace"):
        engine.traced(lambda x: kept[0], np.ones(N))
    with pytest.raises(InputError, match=r"number 0 is .*; expected an array of float"):
        jit(lambda x: x + 1)(np.ones(N), out=kept[0])


# -- traces inside traces ------------------------------------------------------


def inner(f, *args):
    """Trace f on the types of args while another trace runs."""
    found, spec = tree.flatten((args, {}))
    return trace(f, spec, [Input(Type(x.dtype, x.shape)) for x in found])


def test_an_inner_trace_captures_values_as_they_are():
    def f(x):
        y = x * 2
        found = inner(lambda z: z + y[0], x)
        y[0] = 0.0
        (captured,) = found.captured
        return captured

    check = engine.value(f, np.array([1.0, 2.0]))
    assert check == 2.0


def test_an_inner_trace_may_fill_an_array_of_outer_values():
    def f(x):
        def g(z):
            y = np.zeros_like(x)
            v = y[1:]
            y[0] = z[0]
            v += z[1:]
            return y + v[0]

        found = inner(g, np.ones(N))
        assert len(found.graph.inputs) == 1
        return x

    engine.traced(f, np.ones(N))


def test_writing_to_an_outer_array_keeps_it_from_being_used_outside():
    def f(x):
        y = x * 1.0
        view = y[1:]

        def g(z):
            y[0] = z[0]
            return y

        inner(g, np.ones(N))
        return view

    with pytest.raises(TracingError, match="inner function"):
        engine.traced(f, np.ones(N))


# -- what works although it might not ------------------------------------------

WORKS = [
    ("asarray", lambda x: np.asarray(x) + 1),
    ("arithmetic of object arrays", lambda x: np.array([x[0], x[1]]) * x[:2] - 1),
    ("functions of object arrays", lambda x: np.sin(np.array([x[0], 2 * x[1]]))),
    ("exp", lambda x: np.exp(np.asarray(x)) + np.sqrt(np.array([x[0], x[1], x[0]]))),
    ("matrix of scalars", lambda x: np.array([[x[0], 0], [0, x[1]]])[1]),
    ("sum of an object array", lambda x: np.array([x[0], x[1]]).sum()),
    ("comparison", lambda x: np.where(np.stack([x[0], x[1]]) > 0, 1.0, 2.0)),
    ("constants of any kind", lambda x: x + np.int8(3) + np.arange(3, dtype=np.uint16)),
    ("big-endian", lambda x: x * np.arange(3, dtype=">f8") + np.arange(3, dtype=">i4")),
    ("format", lambda x: f"{x[0]:.3f} {x[1]} {x!r}" and x),
    ("deep copy", lambda x: copy.deepcopy([x, {"a": x}])[1]["a"] + 0),
    ("0-d conversions", lambda x: np.stack([np.asarray(x[0])[()], x[1]])),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("f", [w[1] for w in WORKS], ids=[w[0] for w in WORKS])
def test_works(f, dtype):
    check_value(f, [np.abs(x) for x in inputs([(N,)], dtype)])
