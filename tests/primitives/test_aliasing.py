"""Whose memory a result lies in: for every function that is traced, as in NumPy.

Each call of the tables is made on an array, on views of one and on a read-only one, of
floats, integers and bools.  Then the array is written and the result read, and the
result written and the array read, with the result and when that is gone; whether a
result is an array or a scalar, can be written, and how it lies in memory must agree,
too.  A function that is newly registered has no entry in the tables, and so fails.
"""

from __future__ import annotations

import re
import warnings
from itertools import product
from typing import Any

import numpy as np
import pytest
import scipy.special
from scipy.special._ufuncs import _zeta

from jitad import tree
from jitad.errors import JitadError
from jitad.ir.primitive import registry
from jitad.ir.tracer import Tracer
from tests.cases.aliases import FUNCTIONS, METHODS, OF_NUMBERS, OPERATORS, calls
from tests.support import engine

ROOT = np.array([[0.3, 0.7], [0.8, 0.2], [0.4, 0.9], [0.6, 0.35]])
# The array that owns the memory, and x, which is a view of it.
VIEWS = {
    "own": (lambda root: root[1:3].copy(), lambda own: own),
    "transposed": (np.copy, lambda own: own[:2].T),
    "strided": (np.copy, lambda own: own[::-2]),
    "read-only": (np.copy, lambda own: np.broadcast_to(own[0], (2, 2))),
}
ROOTS = {
    "float64": ROOT,
    "float32": ROOT.astype(np.float32),
    "int64": np.array([[3, 7], [8, 2], [4, 9], [6, 5]]),
    "bool": ROOT < 0.75,
}
OTHERS = {"frexp": "is refused", "ldexp": "takes whole numbers"}
UFUNCS = {
    f"{prefix}{name}({', '.join(['{0}'] * ufunc.nin)})": ufunc
    for module, prefix in ((np, "np."), (scipy.special, "scipy.special."))
    for name, ufunc in sorted(vars(module).items())
    if isinstance(ufunc, np.ufunc) and ufunc in registry.ufuncs and name not in OTHERS
}
CALLS = [
    *calls(FUNCTIONS, "np."),
    *[c.format("x") for c in UFUNCS],
    *[c.format("z") for c, u in UFUNCS.items() if not u.signature],
    *calls(OPERATORS, ""),
    *calls(METHODS, "x."),
    *calls(OF_NUMBERS, "s."),
    *calls(OF_NUMBERS, "z."),
]

# These refuse traced values, or give none.
REFUSED = """
    allclose argwhere array2string array_equal array_equiv array_repr array_str bincount
    can_cast frexp common_type flatnonzero histogram iscomplexobj isrealobj linalg.cond
    linalg.eig linalg.eigvals linalg.lstsq linalg.matrix_rank linalg.pinv linalg.qr
    linalg.svd linalg.svdvals linalg.tensorinv linalg.tensorsolve may_share_memory ndim
    nonzero result_type save savetxt savez savez_compressed shape shares_memory size
    trim_zeros unique
"""
WRITING = "copyto fill_diagonal place put put_along_axis putmask"  # give nothing
UNTRACED = """
    argpartition choose device dump dumps item nonzero partition resize searchsorted
    tobytes tofile tolist
"""


def leaves(result):
    """The arrays and numbers of a result."""
    return tree.flatten(list(result) if hasattr(result, "__next__") else result)[0]


def about(leaf: Any) -> tuple:
    """Whether a result is an array, if it can be written, its shape and its strides."""
    if not isinstance(leaf, Tracer | np.ndarray) or getattr(leaf, "scalar", False):
        return "scalar", np.shape(leaf)
    shape, strides = leaf.shape, leaf.strides
    pairs = zip(strides, shape, strict=True)
    steps = [s // leaf.itemsize for s, n in pairs if n > 1 and leaf.size]
    # NumPy warns of writing to what np.broadcast_arrays gives: a bit of the flags.
    return "array", shape, leaf.flags.num >= 0 and leaf.flags.writeable, steps


def changed(array):
    """Other values for an array."""
    return {"f": lambda: array * 0.5, "i": lambda: array + 1, "b": lambda: ~array}[
        array.dtype.kind
    ]()


def run(code, root, way, seen):
    """What a call gives, and the array, after one of both was written."""
    view, written = way
    made, viewed = VIEWS[view]
    own = made(root)
    x = viewed(own)
    names = {"x": x, "y": ROOT[1:3] + 0, "s": x[0, 1], "z": x[0, 1, ...]}
    names |= {"np": np, "scipy": scipy}
    names |= {
        "b": ROOT[:2] > 0.5,
        "i": np.array([[0, 1], [1, 0]]),
        "E": np.ones((2, 3)),
    }
    result = leaves(eval(code, names))
    seen.append([about(r) for r in result])
    if written == "array":
        own[...] = changed(own)
    for leaf, (kind, *what) in zip(result, seen[-1], strict=True):
        if written != "array" and kind == "array" and what[1]:
            leaf[...] = True
    return [] if written == "dropped" else result, own


def numbers(value):
    """The sizes of numbers: signs of eigenvectors are nobody's."""
    array = np.asarray(value)
    return np.abs(array.astype(float)) if array.dtype != object else array


def law(call, dtype, views):
    """The same memory is shared in NumPy and in a trace; whether there was a result."""
    code, root = compile(call, "<call>", "eval"), ROOTS[dtype]
    expected, kinds, ways = [], [], []
    for way in product(views, ("array", "result", "dropped")):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                expected.append(run(code, root, way, kinds))
            except (TypeError, ValueError, np.linalg.LinAlgError):
                continue
        ways.append(way)
    found: list[Any] = []

    def f(root):
        return [run(code, root, way, found) for way in ways]

    try:
        values = engine.value(f, root, scalar=False)
    except (TypeError, JitadError):
        if dtype == "float64":
            raise
        return False
    for way, kind, got in zip(ways, kinds, found, strict=True):
        assert got == kind, way
    for way, a, b in zip(ways, values, expected, strict=True):
        for v, w in zip(leaves(a), leaves(b), strict=True):
            np.testing.assert_allclose(
                numbers(v), numbers(w), 1e-5, 1e-12, err_msg=str(way)
            )
    return bool(ways)


@pytest.mark.parametrize("call", CALLS)
def test_memory_is_shared_as_in_numpy(call):
    ran = [law(call, "float64", VIEWS)]
    # Of whole numbers NumPy's linear algebra has memory orders of its own.
    others = ("float32",) if "linalg" in call else ("float32", "int64", "bool")
    ran += [law(call, dtype, ["transposed"]) for dtype in others]
    assert any(ran)


def test_every_function_has_a_call():
    names = {c[3:].partition("(")[0] for c in CALLS if c.startswith("np.")}
    names |= {*REFUSED.split(), *WRITING.split()}
    listed = {find(name) for name in names} | {*UFUNCS.values()} | {_zeta}
    known = {f for f in registry.functions if is_numpy(f)} | {*registry.ufuncs}
    assert not known - listed
    assert np.lib.stride_tricks.as_strided in registry.redirects
    assert np.require in registry.redirects


def test_every_method_has_a_call():
    keys = [k for k in registry.functions if isinstance(k, str)]
    methods = {k[7:] for k in keys if k.startswith("method.")}
    called = {re.split(r"\W", c)[1] for c in CALLS if c.startswith("x.")}
    elementwise = {k for k, v in vars(np).items() if isinstance(v, np.ufunc)}
    assert not methods - called - elementwise - {*UNTRACED.split()}


def find(name):
    """NumPy's function of a dotted name."""
    found = np
    for part in name.split("."):
        found = getattr(found, part)
    return found


def is_numpy(function):
    """Whether users call it by one of NumPy's names."""
    module = getattr(function, "__module__", None) or "numpy"
    return not isinstance(function, str) and module.startswith("numpy")
