"""What a function that is read raises where data say so, it raises after the call."""

from __future__ import annotations

import traceback
from typing import Any

import numpy as np
import pytest
from numba import njit

import jitad
from jitad.errors import UnsupportedError
from jitad.ir import afresh
from jitad.reading import frame
from tests.cases import raising
from tests.cases.raising import BAD, CASES, GOOD, beyond, written_beyond

TRANSFORMS = {
    "jit": jitad.jit,
    "grad": jitad.grad,
    "forward": lambda f: jitad.jacobian(f, mode="forward"),
    "hessian": jitad.hessian,
}


@pytest.mark.parametrize("unrolled", [0, 512])
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", CASES)
def test_it_raises_after_the_call(
    name: str, transform: str, unrolled: int, monkeypatch: Any
) -> None:
    monkeypatch.setattr(afresh, "LONG", 0)
    monkeypatch.setattr(frame, "UNROLLED", unrolled)
    f, kind, message = CASES[name]
    made = TRANSFORMS[transform](f)
    found = made(GOOD)
    assert np.isfinite(found).all()
    if transform == "jit":
        np.testing.assert_allclose(found, f(GOOD), rtol=1e-14)
    with pytest.raises(kind, match=message) as error:
        made(BAD)
    said = "".join(traceback.format_exception(error.value))
    assert raising.__file__ in said
    np.testing.assert_array_equal(made(GOOD), found)
    batch = jitad.vmap(made)
    np.testing.assert_array_equal(batch(np.stack([GOOD, GOOD]))[1], found)
    with pytest.raises(kind, match=message) as error:
        batch(np.stack([GOOD, GOOD, BAD, BAD]))
    assert any("at point 2 of the batch" in n for n in error.value.__notes__)


def test_nan_that_nobody_raises_is_a_result() -> None:
    @njit
    def f(x):
        if x > 2.0:
            raise ValueError("large")
        return np.log(x)

    assert np.isnan(jitad.jit(f)(-1.0))
    assert np.isnan(jitad.vmap(f)(np.array([1.0, -1.0]))[1])


@pytest.mark.parametrize("f", [beyond, written_beyond], ids=lambda f: f.__name__)
def test_an_index_out_of_range_raises(f: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(afresh, "LONG", 0)
    monkeypatch.setattr(frame, "UNROLLED", 0)
    x = np.array([0.5, 0.2, 4.0])
    if f is beyond:
        x = np.array([0.1, 0.2, 0.3])
    for transform in (jitad.jit, jitad.grad):
        with pytest.raises(IndexError, match="out of bounds"):
            transform(f)(x)
        assert np.isfinite(transform(f)(np.array([0.9, 0.8, 0.7]))).all()


def test_what_always_raises_is_refused() -> None:
    @njit
    def f(x):
        if x > 2.0:
            raise ValueError("large")
        raise ValueError("small")

    with pytest.raises(UnsupportedError, match="always raises"):
        jitad.jit(f)(1.0)
