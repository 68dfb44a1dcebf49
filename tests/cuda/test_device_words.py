"""Functions that Numba compiled, called by kernels on GPUs.

What becomes PTX is LLVM's text: here the host runs it, called by the printed kernels,
and must give the numbers of the CPU.  Then all is linked for cards.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import jitad
from jitad.backends.cuda import device_words, nvjitlink, nvrtc
from jitad.backends.cuda.card import Card
from jitad.backends.cuda.nvrtc import CompilerError
from jitad.calls import cards
from jitad.errors import UnsupportedError
from jitad.lowering.cuda.emit import NAME, emit
from tests.support.cuda_core import Core, machine_code
from tests.support.cuda_host import needs_compiler

CARDS = ((7, 5), (8, 0), (9, 0), (10, 0), (9, 7))  # the last is like 9.0
TABLE = np.array([0.5, -1.0, 4.0, 0.25])
LARGE = np.linspace(0.0, 1.0, 200_000)
X = np.array(
    [
        *(0.3, 1.0, 2.0, -0.7, -0.0, 0.0, 3.5, 17.25, -9.5, 1e10, -1e10, 1e30),
        *(-1e30, np.inf, -np.inf, np.nan, 2.0**31, -(2.0**31), 2.0**63, 9e18),
    ]
)


@numba.njit
def nested(x: Any) -> Any:
    if x > 10:
        raise ValueError("too large")
    return x / (x - 2)


def root(x: Any) -> Any:
    """Newton's method, as often as it takes: y³ + y = x."""
    y = x * 0.0
    for _ in range(200):
        step = (y * y * y + y - x) / (3 * y * y + 1)
        y -= step
        if abs(step) <= 1e-15 * abs(y):
            break
    return y


def raising(x: Any) -> Any:
    if x < 0:
        raise ValueError("negative")
    return x * x


def inner(x: Any) -> Any:
    return 1.0 + nested(x) * nested(x / 2)


def integers(x: Any) -> Any:
    k = int(x)
    part = (k // 3) % 1000 + (k % 4) * 0.5 + (k >> 3) % 7
    return part + (k << 2) % 11 + (k * k) % 13 + 7 // (k - 2)


def looked_up(x: Any) -> Any:
    k = int(x)
    if k < 0 or k >= 4:
        return math.nan
    return TABLE[k] * x


def closing(by: float) -> Callable[..., Any]:
    return lambda x: x % by + x // by + by


def mathematics(x: Any) -> Any:
    y = abs(x) % 1.0 * 0.9 + 0.05
    s = math.exp(y) + math.log(y) + math.sin(y) * math.cos(y) + math.tan(y)
    s += math.sinh(y) + math.cosh(y) * math.tanh(y) + math.asinh(y) + math.atanh(y)
    s += math.asin(y) + math.acos(y) + math.atan(y) + math.atan2(y, s) + math.erf(y)
    s += math.erfc(y) + math.gamma(y) + math.lgamma(y) + math.expm1(y) + math.log1p(y)
    s += math.log2(y) + math.log10(y) + math.hypot(y, s) + math.sqrt(y) + y**2.5 + y**3
    s += math.floor(4 * y) + math.ceil(3 * y) + round(5 * y) + math.acosh(1 + y)
    return s + math.copysign(y, -s) + np.fmod(s, y) + math.ldexp(y, 3) + np.cbrt(s)


def frexp(x: Any) -> Any:
    part, exponent = math.frexp(x)
    return part * 3 + exponent


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "newton": numba.njit(root),
    "raising": numba.njit(raising),
    "divided": numba.njit(lambda x: 1 / (x - 1)),
    "divided_as_numpy": numba.njit(error_model="numpy")(lambda x: 1 / (x - 1)),
    "inner": numba.njit(inner),
    "integers": numba.njit(integers),
    "looked_up": numba.njit(looked_up),
    "closing": numba.njit(closing(0.75)),
    "mathematics": numba.njit(mathematics),
    "frexp": numba.njit(frexp),
    "whole": numba.njit(lambda x: int(x) * 2),
    "truth": numba.njit(lambda x: x > 1),
    "wide": numba.njit(lambda x: np.float64(x) / 3),
    "fast": numba.njit(fastmath=True)(lambda x: x / 3 + x * x),
    "debugged": numba.njit(debug=True, boundscheck=True)(looked_up),
}
OWN = {
    name: jitad.primitive(f"{name}_there", value, lambda y, x: [y + x])
    for name, value in FUNCTIONS.items()
}


def missing() -> str:
    try:
        nvjitlink.version()
        nvrtc.version()
    except CompilerError as error:
        return f"nothing is linked for GPUs here: {error}"
    return ""


needs_linker = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> Core:
    """A card whose kernels the host runs."""
    made = Core()
    there = Card(0, made)
    monkeypatch.setattr(cards, "card", lambda number: there)
    monkeypatch.setattr(device_words, "compiled", machine_code)
    return made


def text_of(function: Any, x: np.ndarray) -> str:
    """The CUDA C of a function of points."""
    plan = jitad.vmap(function).prepare(x).plan
    assert plan is not None
    return emit(plan.kernel)


def twin(name: str, dtype: str = "float64") -> device_words.Twin:
    (found,) = device_words.linked(text_of(OWN[name], X.astype(dtype)))[1]
    return found


# -- numbers -------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", OWN)
def test_values_are_those_of_the_cpu(name: str, dtype: str, core: Core) -> None:
    x = X.astype(dtype)
    got = np.asarray(jitad.vmap(OWN[name], device="cuda")(x))
    want = OWN[name](x)
    assert got.dtype == want.dtype
    assert np.isfinite(want).any()
    rtol = 8 * float(np.finfo(dtype).eps) if name == "mathematics" else 0.0
    np.testing.assert_allclose(got, want, rtol=rtol, atol=0.0)
    assert any(event[:2] == ("launch", NAME) for event in core.events)


def test_where_they_raise_they_are_not_numbers() -> None:
    """By hand: what the test above compares with is what Python does."""
    at = {"raising": -0.7, "divided": 1.0, "inner": 2.0, "integers": 2.0}
    for name, x in at.items():
        with pytest.raises((ValueError, ZeroDivisionError)):
            FUNCTIONS[name](x)
        assert np.isnan(OWN[name](x))
    assert OWN["divided_as_numpy"](1.0) == np.inf


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_derivatives_and_branches(dtype: str, core: Core) -> None:
    def f(x: Any) -> Any:
        a = jitad.cond(
            x[0] > 0.5,
            lambda: OWN["newton"](x[1]) * OWN["divided"](x[0]),
            lambda: OWN["raising"](x[2]) + x[0] * OWN["inner"](x[1]),
        )
        return np.stack([a * x[2], np.where(x[1] > 0, OWN["closing"](x[0]), x[2])])

    x = np.random.default_rng(3).normal(size=(300, 3)).astype(dtype)
    x[7, 0] = 1.0
    for transformed in (jitad.jacobian(f), jitad.hessian(f)):
        got = np.asarray(jitad.vmap(transformed, device="cuda")(x))
        want = jitad.vmap(transformed)(x)
        assert 10 < np.isnan(want).sum() < want.size / 2
        rtol = 64 * float(np.finfo(dtype).eps)
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)


@pytest.mark.slow
@needs_compiler
def test_sums_over_points(core: Core) -> None:
    x = np.linspace(-2.0, 2.0, 1000)

    def total(p: Any) -> Any:
        return np.sum(jitad.vmap(lambda v: OWN["newton"](v * p))(x))

    got = jitad.grad(total, device="cuda")(0.7)
    np.testing.assert_allclose(np.asarray(got), jitad.grad(total)(0.7), rtol=1e-13)


# -- the text ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["raising", "divided", "inner", "integers"])
def test_a_status_becomes_a_nan(name: str) -> None:
    assert "0d7FF8000000000000" in twin(name).ptx
    assert "0f7FC00000" in twin(name, "float32").ptx
    assert "0d7FF8000000000000" not in twin("divided_as_numpy").ptx


@pytest.mark.parametrize("name", OWN)
def test_it_is_one_function_that_computes_as_it_is_written(name: str) -> None:
    ptx = twin(name).ptx
    assert len(re.findall(r"^\.(?:weak|visible) \.func|^\.func", ptx, re.M)) == 1
    assert name == "fast" or not re.search(r"\bfma|\.approx|\.ftz|\.full", ptx)


def test_the_name_is_a_digest() -> None:
    """Kernels that are kept know a function by what it is."""
    again, other = (
        jitad.primitive(name, numba.njit(closing(by)), lambda y, x: [y])
        for name, by in (("closing_again", 0.75), ("closing_other", 0.5))
    )
    texts = []
    for own in (OWN["closing"], again, other):
        whole, twins = device_words.linked(text_of(own, X))
        assert twins[0].symbol in whole and "own_" not in whole
        texts.append(whole)
    assert texts[0] == texts[1] != texts[2]


def test_text_that_calls_none_stays_as_it_is() -> None:
    text = text_of(np.sin, X)
    assert device_words.linked(text) == (text, [])


# -- machine code --------------------------------------------------------------


@needs_linker
@pytest.mark.parametrize("name", OWN)
def test_nothing_is_missing_when_it_is_linked(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    f = jitad.value_and_grad(OWN[name])
    texts = [text_of(f, np.ones(4, dtype)) for dtype in ("float64", "float32")]
    for text, card in product(texts, CARDS):
        cubin = device_words.compiled(text, card)
        assert cubin.usage[NAME].registers > 0
        assert device_words.compiled(text, card) == cubin
    kept = list((tmp_path / "jitad" / "cubins").iterdir())
    assert len(kept) == len(texts) * len(CARDS)


@needs_linker
@pytest.mark.parametrize("name", OWN)
def test_what_is_passed_is_what_is_expected(name: str) -> None:
    for dtype in ("float64", "float32"):
        text = text_of(OWN[name], np.ones(4, dtype))
        whole, twins = device_words.linked(text)
        every = [nvrtc.compile_ptx(whole, (9, 0), relocatable=True)]
        every += device_words.parts(twins)
        found: dict[str, set[tuple[str, ...]]] = {}
        pattern = r"\.func\s+(\(.*?\)\s*\w+\s*\(.*?\))"
        for head in re.findall(pattern, "\n".join(every), re.S):
            symbol = re.findall(r"\)\s*(\w+)\s*\(", head)[0]
            types = re.findall(r"\.param \.[a-z](\d+)", head)
            found.setdefault(symbol, set()).add(tuple(types))
        assert twins[0].symbol in found
        assert all(len(kinds) == 1 for kinds in found.values()), found


@needs_linker
def test_without_the_function_nothing_is_linked() -> None:
    whole, twins = device_words.linked(text_of(OWN["newton"], X))
    code = nvrtc.compile_ptx(whole, (9, 0), relocatable=True)
    with pytest.raises(CompilerError, match=twins[0].symbol):
        nvjitlink.link([code], (9, 0))
    parts = device_words.parts(twins)
    assert nvjitlink.link([code, *parts, *parts], (9, 0)).usage


@pytest.mark.slow
@needs_linker
def test_what_a_kernel_takes_counts_what_it_calls() -> None:
    used = []
    for name in ("whole", "mathematics"):
        whole, twins = device_words.linked(text_of(OWN[name], X))
        code = nvrtc.compile_ptx(whole, (9, 0), relocatable=True)
        parts = device_words.parts(twins)
        used.append(nvjitlink.link([code, *parts], (9, 0)).usage[NAME])
    light, heavy = used
    assert heavy.registers > light.registers
    assert heavy.stack > light.stack


# -- what is refused -----------------------------------------------------------


@numba.njit
def factorial(x: Any) -> Any:
    return 1.0 if x < 1 else x * factorial(x - 1) + (x * x)


def printing(x: Any) -> Any:
    print(x)
    return x


REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "an array": (lambda x: np.full(int(x), x).sum(), "NRT_"),
    "a large table": (lambda x: LARGE[int(x)], "address of the host"),
    "printing": (printing, "needs .*(Py|print|numba_gil)"),
    "calls of itself": (lambda x: factorial(x), "room for calls of itself"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_errors_name_function_reason_and_remedy(name: str) -> None:
    value, reason = REFUSED[name]
    word = f"refused_{name.replace(' ', '_')}"
    own = jitad.primitive(word, numba.njit(value), lambda y, x: [None])
    pattern = rf"(?s){word}: .*{reason}.*state its value in NumPy terms"
    with pytest.raises(UnsupportedError, match=pattern):
        device_words.linked(text_of(own, np.ones(3)))


def test_an_llvm_without_gpus_is_told_with_the_remedy(monkeypatch: Any) -> None:
    def nothing(triple: str) -> Any:
        raise RuntimeError("No available targets")

    monkeypatch.setattr(device_words.llvm.Target, "from_triple", nothing)
    with pytest.raises(UnsupportedError, match="pip install llvmlite"):
        device_words._machine()
