"""The methods and attributes of ndarray, on traced arrays."""

from __future__ import annotations

import numpy as np
import pytest

from jitad.ir.primitive import registry
from jitad.ir.tracer import Tracer
from tests.support import engine
from tests.support.moves import leaves, plain

# Small integers as floats: every order of summation gives the same bits.
X = np.array([[3.0, 1.0, 2.0], [2.0, 5.0, 4.0], [7.0, 6.0, 8.0]])

METHODS = [
    ("sum", lambda x: (x.sum(), x.sum(0), x.sum(axis=1, keepdims=True))),
    ("prod", lambda x: (x.prod(), x.prod(axis=1))),
    ("mean", lambda x: (x.mean(), x.mean(axis=0))),
    ("var", lambda x: (x[:, :2].var(axis=1), x.var(ddof=1))),
    ("std", lambda x: x[:, :2].std(axis=1)),
    ("max", lambda x: (x.max(), x.max(axis=0))),
    ("min", lambda x: (x.min(), x.min(1, keepdims=True))),
    ("argmax", lambda x: (x.argmax(), x.argmax(axis=1))),
    ("argmin", lambda x: (x.argmin(), x.argmin(axis=0))),
    ("any and all", lambda x: ((x > 7).any(), (x > 1).all(axis=1))),
    ("cumsum", lambda x: (x.cumsum(), x.cumsum(axis=1))),
    ("cumprod", lambda x: x.cumprod(axis=0)),
    ("clip", lambda x: (x.clip(2, 6), x.clip(min=3))),
    ("round", lambda x: (x * 1.0625).round(1)),
    ("dot", lambda x: (x.dot(x), x.dot(x[0]))),
    ("trace", lambda x: x.trace()),
    ("sort", lambda x: sort(x)),
    ("argsort", lambda x: x.argsort(axis=1)),
    ("sum of an element", lambda x: x[0, 0].sum() + x[0, 0].mean()),
    ("gather what was found", lambda x: x[0, x[1].argmax()]),
    ("gather along", lambda x: np.take_along_axis(x, x.argmax(1)[:, None], axis=1)),
    ("out", lambda x: out(x)),
    ("ufunc methods", lambda x: ufunc_methods(x)),
]


def sort(x):
    x[1:].sort(axis=0)
    return x


def out(x):
    y = np.zeros_like(x[0])
    z = x.sum(axis=0, out=y)
    y += 1
    return y, z


def ufunc_methods(x):
    return (
        np.add.reduce(x),
        np.maximum.reduce(x, axis=1),
        np.multiply.accumulate(x, axis=1),
        np.maximum.accumulate(x[::-1]),
        np.logical_and.reduce(x > 1, axis=None),
        np.add.reduceat(x, [0, 2, 1]),
        np.maximum.outer(x[0], x[:, 0]),
        np.add.reduce(x, axis=None, keepdims=True, initial=2.0),
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("f", [m[1] for m in METHODS], ids=[m[0] for m in METHODS])
def test_methods(f, dtype):
    x = X.astype(dtype)
    expected = plain(f, [x])
    for found, y in zip(leaves(engine.value(f, x)), expected, strict=True):
        assert found.shape == y.shape
        assert found.dtype == y.dtype
        assert np.allclose(found, y, rtol=4 * np.finfo(np.float32).eps, atol=0)


# Attributes of ndarray that a traced array cannot have.
MISSING = {
    "byteswap",
    "ctypes",
    "data",
    "getfield",
    "setfield",
    "setflags",
    "to_device",
}


def test_every_attribute_of_ndarray_is_accounted_for():
    names = {n for n in dir(np.ndarray) if not n.startswith("_")}
    known = {n for n in names if f"method.{n}" in registry.functions}
    known |= set(vars(Tracer))
    assert names - known == MISSING


def test_attributes():
    def f(x):
        assert x.flags.c_contiguous
        assert not x.T.flags.c_contiguous
        assert x.base is None
        assert x[0].base is x
        assert x.device == "cpu"
        assert x.real is x
        assert hash(x) != hash(x.T)
        with pytest.raises(AttributeError, match=r"use np\.sin"):
            x.sin()
        return x[0, 0].sin()

    assert engine.value(f, X) == np.sin(3.0)
