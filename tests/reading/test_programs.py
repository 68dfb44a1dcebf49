"""Made-up loop programs, run in all ways: CPython, Numba, read, and unrolled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from numba import njit

import jitad
from jitad.errors import JitadError, UnsupportedError
from jitad.ir import afresh
from jitad.reading import frame
from tests.support.dual import Dual, Shim
from tests.support.loop_programs import programs

POINTS = np.array(
    [[0.31, 1.7, -0.43, 2.2, 0.95], [-1.1, 0.2, 0.7, -0.6, 1.9], [0.6, -1.3, 1, 2, -3]]
)


def made(text: str, numpy: Any) -> Any:
    """The function of a program, whose NumPy is another."""
    names = {"np": numpy}
    exec(compile(text, "<made up>", "exec"), names)
    return names["f"]


@pytest.mark.slow
@settings(
    max_examples=10,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],  # to shrink a program takes longer than to read it
    suppress_health_check=list(HealthCheck),
)
@given(text=programs())
def test_everybody_agrees(text: str) -> None:
    f = made(text, np)
    want = [float(f(x)) for x in POINTS]
    compiled = njit(f)
    np.testing.assert_allclose([compiled(x) for x in POINTS], want, rtol=1e-13)
    along = np.array([0.3, -0.2, 0.5, 0.7, -0.4])
    exact = made(text, Shim)
    slopes = [exact([Dual(*p) for p in zip(x, along, strict=True)]) for x in POINTS]
    slopes = [y.slope if isinstance(y, Dual) else 0.0 for y in slopes]
    near = {"rtol": 1e-10, "atol": 1e-12}
    with pytest.MonkeyPatch.context() as patch:
        for most in (0, 512, 4000):
            patch.setattr(frame, "UNROLLED", most)
            read = jitad.vmap(jitad.jit(compiled), backend="numpy")
            np.testing.assert_allclose(read(POINTS), want, rtol=1e-13, atol=1e-15)
            for mode in ("forward", "reverse"):
                slope = jitad.jacobian(_float(compiled), mode=mode, backend="numpy")
                try:
                    found = jitad.vmap(slope)(POINTS) @ along
                except UnsupportedError as error:
                    # Some loops end where the data say.
                    assert mode == "reverse" and "has no bound" in str(error), error
                else:
                    np.testing.assert_allclose(found, slopes, **near)


@settings(
    max_examples=12,
    derandomize=True,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(text=programs())
def test_plain_functions_that_are_read_agree_with_python(text: str) -> None:
    f = made(text, np)
    want = [float(f(x)) for x in POINTS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(afresh, "LONG", 0)
        for most in (0, 512):
            patch.setattr(frame, "UNROLLED", most)
            try:
                found = jitad.vmap(jitad.jit(f), backend="numpy")(POINTS)
            except JitadError as error:
                # What may outgrow 64 bits is run, which int(x) forbids.
                notes = "".join(getattr(error, "__notes__", ()))
                assert "not read" in notes, error
            else:
                np.testing.assert_allclose(found, want, rtol=1e-13, atol=1e-15)


def _float(f: Any) -> Any:
    return lambda x: f(x) + 0.0 * x[0]
