"""The law of arguments: what NumPy answers to a call is answered, or refused, traced.

Every function that can be traced is called with scalars, empty arrays, arrays of a
wrong rank, lists and arrays of objects.  Either the value is NumPy's, with its dtype
and shape, or the error is of NumPy's class, or it is one of jitad's.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.special

import jitad
from jitad import tree
from jitad.errors import JitadError
from jitad.ir.graph import DTYPES
from jitad.ir.primitive import registry
from tests.cases.calls import APART, after, expressions, name_of
from tests.support import engine

SHAPES = ((), (0,), (3,), (2, 0), (2, 3), (3, 3), (2, 3, 2))
EXPRESSIONS = expressions()
NAMES = {"np": np, "scipy": scipy, "after": after}


class Answer(NamedTuple):
    """What a call gives: arrays, in a structure, and the rest as text; or an error."""

    arrays: list[np.ndarray]
    structure: str
    error: Exception | None = None


def split(result: Any) -> tuple[list[Any], str]:
    """The arrays of a result, and everything else."""
    leaves, structure = tree.flatten(result)
    kept = [x for x in leaves if numeric(x)]
    return kept, f"{structure} {[x for x in leaves if not numeric(x)]}"


def numeric(x: Any) -> bool:
    """Whether a leaf is a number or an array."""
    return isinstance(x, bool | int | float | np.generic) or hasattr(x, "ndim")


def numpys(f: Callable[[Any], Any], x: Any) -> Answer:
    """What NumPy answers."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            arrays, structure = split(f(x))
    except Exception as error:
        return Answer([], "", error)
    return Answer([np.asarray(a) for a in arrays], structure)


def traced(f: Callable[[Any], Any], x: Any) -> Answer:
    """What it is, traced."""
    told = []

    def g(x: Any) -> list[Any]:
        arrays, structure = split(f(x))
        told.append(structure)
        return arrays

    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Answer(list(engine.value(g, x, scalar=False)), told[-1])
    except Exception as error:
        return Answer([], "", error)


def difference(got: Answer, want: Answer) -> str | None:
    """What is wrong, if anything is."""
    if got.error is not None:
        if isinstance(got.error, JitadError):
            return None
        if want.error is None:
            return f"raw {got.error!r}"
        # NumPy's private errors are what they are derived from.
        kinds = [k for k in type(want.error).__mro__ if not k.__name__.startswith("_")]
        kind = next(k for k in kinds if "numpy._" not in k.__module__)
        same = isinstance(got.error, kind)
        return None if same else f"raised {got.error!r}, NumPy {want.error!r}"
    if want.error is not None:
        return f"gave {got.arrays}, NumPy raises {want.error!r}"
    if got.structure != want.structure:
        return f"gave {got.structure}, NumPy {want.structure}"
    for a, b in zip(got.arrays, want.arrays, strict=True):
        if a.dtype != b.dtype or a.shape != b.shape:
            return f"gave {a.dtype}{a.shape}, NumPy {b.dtype}{b.shape}"
        eps = np.finfo(b.dtype).eps if b.dtype.kind == "f" else 0
        if not np.allclose(a, b, rtol=64 * eps, atol=8 * eps, equal_nan=True):
            return f"gave {a}, NumPy {b}"
    return None


def beyond(answer: Answer) -> bool:
    """Whether NumPy's answer is none that a trace can give."""
    unsupported = any(a.dtype not in DTYPES for a in answer.arrays)
    # It depends on values; a list is no array with attributes.
    late = isinstance(answer.error, np.linalg.LinAlgError) and "atrix" in str(
        answer.error
    )
    listed = isinstance(answer.error, AttributeError) and "'list'" in str(answer.error)
    return unsupported or late or listed


def example(shape: tuple[int, ...], dtype: Any = float) -> Any:
    """Numbers between 0.3 and 2.7, or whole ones."""
    x = np.random.default_rng(3).uniform(0.3, 2.7, shape)
    x = x if dtype is float else (2 * x).astype(dtype)
    return x[()]


def failures(
    name: str,
    arrays: Callable[[], Iterator[Any]],
    use: Callable[[Any], Any],
    forms: list[str] | None = None,
) -> list[str]:
    """All that is wrong with the calls of one function."""
    found = []
    for text in EXPRESSIONS[name] if forms is None else forms:
        code = compile(text, text, "eval")

        def f(x: Any, code: Any = code) -> Any:
            return eval(code, {**NAMES, "x": use(x)})

        for x in arrays():
            got, want = traced(f, x), numpys(f, x)
            wrong = None if beyond(want) else difference(got, want)
            if wrong and not np.ndim(x):
                # What is shape () to a trace may be an array to NumPy.
                wrong = difference(got, numpys(f, np.asarray(x)))
            if wrong:
                found.append(f"{text} at {np.shape(x)}: {wrong}")
    return found


def test_every_function_has_its_calls():
    known = {
        name_of(k)
        for k in registry.functions
        if isinstance(k, str)
        or hasattr(np, k.__name__)
        or hasattr(np.linalg, k.__name__)
    }
    scalar = {n for n in known if n.startswith("method.") and n[7:] in vars(np)}
    scalar = {n for n in scalar if isinstance(vars(np)[n[7:]], np.ufunc)}
    missing = known - EXPRESSIONS.keys() - APART - scalar - {""}
    assert not missing - {"ufunc.at"}
    assert {n for n in map(name_of, registry.redirects)} <= {*EXPRESSIONS, ""}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_scalars_empty_arrays_and_wrong_ranks(name):
    def arrays() -> Iterator[Any]:
        few = ((), (0,), (3,), (2, 3)) if name.startswith("ufunc ") else SHAPES
        yield from (example(shape) for shape in few)

    assert not failures(name, arrays, lambda x: x)


# What NumPy's loops over objects do by themselves, asking for truths, or refuse.
OBJECTS = {
    "logical", "bitwise", "shift", "method.tobytes", "method.view", "imag", "fill",
    "np.less", "np.greater", "equal", "np.maximum", "np.minimum", "fmax", "fmin",
}  # fmt: skip


def nested(x: Any) -> Any:
    """Nested lists of the elements of an array, and in the end one known number."""
    if np.ndim(x) < 2:
        return [*(x[k] for k in range(len(x) - 1)), 0.5]
    rows = [list(row) for row in x[:-1]]
    return [*rows, nested(x[-1])]


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_lists_and_arrays_of_objects(name):
    if any(word in name for word in OBJECTS):
        return

    def arrays() -> Iterator[Any]:
        yield from (example((3,)), example((3, 3)))

    apart = (*OBJECTS, "n=0")
    forms = [t for t in EXPRESSIONS[name] if not any(word in t for word in apart)]
    assert not failures(name, arrays, lambda x: np.array(nested(x)), forms)
    if not name.startswith("method."):
        assert not failures(name, arrays, nested, forms)


def test_arrays_of_objects_have_a_text():
    def texts(x: Any) -> Any:
        few, many = np.array([x[0], 0.5]), np.array([x[0]] * 1001)
        assert np.array_str(few) == str(few) == f"{few}" == "[<traced float64[]> 0.5]"
        assert repr(few) == "array([<traced float64[]>, 0.5], dtype=object)"
        assert "..." in repr(many)
        return x

    jitad.jit(texts)(np.ones(3))


class Pair(NamedTuple):
    """A tuple of another type."""

    a: Any
    b: Any


@pytest.mark.parametrize("sequence", [list, tuple, lambda ab: Pair(*ab), deque])
def test_errors_in_any_sequence_are_numpys(sequence):
    def join(x: Any) -> Any:
        return np.concatenate(sequence([x, x]), axis=7)

    for call in (join, jitad.jit(join)):
        with pytest.raises(np.exceptions.AxisError, match="axis 7 is out of bounds"):
            call(np.ones(3))
