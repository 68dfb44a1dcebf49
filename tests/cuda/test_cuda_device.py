"""`jitad.cuda_device`: device functions, their text on the host and in Numba's kernels.

The text is run by the C++ compiler and must give the numbers of the call on the CPU; a
kernel that calls it is compiled by Numba, and both are linked to machine code.
"""

from __future__ import annotations

import ctypes
import math
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import scipy.special as sp

import jitad
from jitad import tree
from jitad.backends.cuda import for_numba as backend
from jitad.backends.cuda import nvjitlink, nvrtc
from jitad.backends.cuda.card import DeviceError
from jitad.backends.cuda.nvrtc import CompilerError, Cubin, Usage
from jitad.errors import InputError
from jitad.interop import examples
from jitad.interop.device_routine import routine
from tests.cases.compiled import CASES as COMPILED
from tests.cases.compiled import REFUSED, height
from tests.support.cuda_host import compiled, needs_compiler

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(5)
X = RNG.normal(size=(40, 3))
TABLE = RNG.normal(size=(400, 3))
HOLES = np.array([[1.0, np.nan, np.inf], [0.5, -np.inf, -0.0]])
CARDS = ((8, 0), (9, 0))
NUMBERS = {
    **{"float64": ctypes.c_double, "float32": ctypes.c_float, "bool": ctypes.c_int},
    **{"int64": ctypes.c_int64, "int32": ctypes.c_int32, "int8": ctypes.c_int},
    **{"uint64": ctypes.c_uint64},
}


@jitad.primitive("root_there", partials=lambda y, x: [1 / (3 * y * y + 1)])
@numba.njit
def root(x: Any) -> Any:
    """y³ + y = x, by Newton's method; raises where it does not converge."""
    y = math.tanh(x)
    for _ in range(50):
        step = (y * y * y + y - x) / (3 * y * y + 1)
        y -= step
        if abs(step) <= 1e-15 * abs(y):
            return y
    raise ValueError("no convergence")


def steps(x: Any) -> Any:
    """Until a bound: the number of iterations depends on x."""
    return jitad.while_loop(
        lambda s: (s[0] < 20) & (np.abs(s[1]) < 4.0),
        lambda s: (s[0] + 1, s[1] * 1.3 + np.sin(s[1]) * x[1], s[2] + x[2] / s[1]),
        (0, x[0], 0.0),
    )[1:]


def sweep(A: Any) -> Any:
    """Rows of a matrix, one after the other, at computed places."""
    return jitad.fori_loop(0, 30, lambda i, s: np.tanh(s + A[i] * A[i - 1, 0]), A[0])


def chosen(x: Any, k: Any) -> Any:
    """A row of a table and an element of x, by number, in one of two branches."""
    table = np.asarray(TABLE, like=k)
    return jitad.cond(x[k] > 0, lambda: x * table[k + 1], lambda: np.exp(x) + table[k])


CASES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    **{k: case for k, case in COMPILED.items() if "batch" not in k},
    "a loop": (jitad.jacobian(steps), (np.array([0.3, 0.7, 2.0]),)),
    "rows in a loop": (jitad.jit(sweep), (RNG.normal(size=(30, 3)),)),
    "a sweep back": (
        jitad.grad(lambda A: np.sum(sweep(A))),
        (RNG.normal(size=(30, 3)),),
    ),
    "places": (jitad.jacobian(chosen), (np.array([0.5, -1.0, 2.0]), 1)),
    "other places": (jitad.jacobian(chosen), (np.array([0.5, 1.0, 2.0]), np.int64(0))),
    "functions of ours": (
        jitad.jacobian(lambda x, n: sp.digamma(x) * sp.zeta(2.5, x) // 1 + x**n),
        (np.abs(X[0]), 3),
    ),
    "what is no number": (lambda x, k: np.asarray(HOLES, like=k)[k] + x, (X[0], 1)),
    "functions of Numba's": (jitad.jacobian(lambda x, n: root(x) * n), (X[0], 3.0)),
    "integers divided": (lambda k, n: (k // n, k % n), (np.array([7, -7, 5]), 3)),
}


def unspilled(text: str, card: tuple[int, int]) -> Cubin:
    """Whatever the order, as if it suited a card."""
    return Cubin(b"", {"kernel": Usage(40, 0, 0, 0, 0)})


@cache
def made(name: str) -> backend.Routine:
    f, args = CASES[name]
    return routine(
        examples.prepared("cuda_device", f, args), backend.AnyCard(unspilled)
    )


@cache
def library() -> ctypes.CDLL:
    """All functions for the host."""
    texts = dict.fromkeys(made(name).text for name in CASES)
    return compiled(
        "\n".join(f"namespace n{k} {{\n{text}}}" for k, text in enumerate(texts))
    )


def apart(array: np.ndarray) -> np.ndarray:
    """The same numbers, backwards and with gaps."""
    room = np.zeros([2 * n for n in array.shape], array.dtype)
    view = room[(..., *(slice(None, None, -2),) * array.ndim)]
    view[...] = array
    return view


def called(
    own: backend.Routine, args: Sequence[Any], *, strided: bool
) -> list[np.ndarray]:
    """The results of a function on the host, of arrays that lie apart or do not."""
    given: list[Any] = []

    def give(place: backend.Place, value: Any) -> np.ndarray:
        array = np.array(value, place.dtype, order="C")
        if strided and place.shape is not None:
            array = apart(array)
        if place.word is not None:
            given.append(ctypes.c_void_p(array.ctypes.data))
            given.extend(map(ctypes.c_int64, array.strides if strided else ()))
        return array

    kept = []
    for place, value in zip(own.arguments, args, strict=True):
        if place.shape is None and place.word is not None:
            given.append(NUMBERS[place.dtype.name](np.asarray(value).item()))
        else:
            kept.append(give(place, value))
    results = [give(p, np.full(p.shape or (), 77)) for p in own.results]
    name = backend.strided(own.symbol) if strided else own.symbol
    getattr(library(), name)(*given)
    return results


# -- the text ------------------------------------------------------------------


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("name", CASES)
def test_the_numbers_are_those_of_the_call(name: str) -> None:
    f, args = CASES[name]
    own = made(name)
    wanted, _ = tree.flatten((f if hasattr(f, "derive") else jitad.jit(f))(*args))
    found = called(own, args, strided=False)
    assert len(found) == len(wanted)
    for y, want, place in zip(found, wanted, own.results, strict=True):
        assert y.shape == np.shape(want) and y.dtype == np.asarray(want).dtype
        assert (place.shape is None) == (np.ndim(want) == 0)
        eps = np.finfo(y.dtype).eps if y.dtype.kind == "f" else 0.0
        np.testing.assert_allclose(y, want, rtol=256 * eps, atol=0.0)


@needs_compiler
@pytest.mark.parametrize("name", CASES)
def test_strides_change_nothing(name: str) -> None:
    _, args = CASES[name]
    for y, want in zip(
        called(made(name), args, strided=True),
        called(made(name), args, strided=False),
        strict=True,
    ):
        assert y.tobytes() == want.tobytes()


def test_the_same_function_has_the_same_name() -> None:
    assert made("a value") == made("a plain function")
    assert made("a value").symbol != made("a Jacobian").symbol


# -- Numba's kernels -----------------------------------------------------------


def missing() -> tuple[str, str]:
    """What of CUDA for Numba, and of what links its kernels, is not here."""

    def nothing(x: float) -> None:
        pass

    try:
        cuda, _ = backend._numba_cuda()
        text, _ = cuda.compile_ptx(nothing, (numba.float64,), cc=(9, 0))
        nvrtc.version()
    except Exception as error:  # Numba's differ with what is missing
        return (f"Numba's kernels are not compiled here: {error}",) * 2
    try:
        nvjitlink.link([text], (9, 0))
    except CompilerError as error:
        return "", f"Numba's kernels are not linked here: {error}"
    return "", ""


uncompiled, unlinked = missing()
needs_numba = pytest.mark.skipif(bool(uncompiled), reason=uncompiled)
needs_linker = pytest.mark.skipif(bool(unlinked), reason=unlinked)


def kernel(device: Any, own: backend.Routine) -> Any:
    """A kernel that calls a device function and keeps its numbers."""
    count = sum(p.shape is None for p in own.results)

    def without(args: Any, numbers: Any) -> None:
        device(*args)

    def one(args: Any, numbers: Any) -> None:
        numbers[0][0] = device(*args)

    def several(args: Any, numbers: Any) -> None:
        found = device(*args)
        numbers[0][0] = found[0]
        numbers[1][0] = found[1]

    return (without, one, several)[min(count, 2)]


def types_of(own: backend.Routine, layout: str) -> tuple[Any, Any]:
    """Numba's types of the arguments of `kernel`."""
    given = [
        numba.types.Array(p.type.dtype, len(p.shape), layout if p.shape else "C")
        if p.shape is not None
        else p.type
        for p in own.places
    ]
    numbers = [numba.types.Array(p.type, 1, "C") for p in own.results if not p.shape]
    pack: Any = numba.types.BaseTuple.from_types
    return pack(given), pack(numbers)


def declared(ptx: str, symbol: str) -> list[str]:
    """The types of the parameters of a function, as PTX has them."""
    found = re.search(rf"\.func\s+{symbol}\s*\(([^)]*)\)", ptx)
    assert found is not None, f"{symbol} is not in\n{ptx}"
    return re.findall(r"\.param (\.\w+)", found[1])


@cache
def ptx(name: str, layout: str, card: tuple[int, int]) -> str:
    """A kernel that calls the function of a case."""
    cuda, _ = backend._numba_cuda()
    f, args = CASES[name]
    user = kernel(jitad.cuda_device(f, *args), made(name))
    return cuda.compile_ptx(user, types_of(made(name), layout), cc=card)[0]


@needs_numba
@pytest.mark.parametrize("name", CASES)
def test_a_kernel_passes_what_is_expected_and_is_linked(name: str) -> None:
    """Numba compiles kernels of either layout, for a card each."""
    own = made(name)
    code = nvrtc.compile_ptx(own.text, (7, 5), relocatable=True)
    for layout, card in zip("CA", CARDS, strict=True):
        apart = layout == "A" and any(p.shape for p in own.places)
        symbol = backend.strided(own.symbol) if apart else own.symbol
        kernel = ptx(name, layout, card)
        assert declared(kernel, symbol) == declared(code, symbol)
        if not unlinked:
            cubin = nvjitlink.link([kernel, *backend._codes(own)], card)
            (used,) = cubin.usage.values()
            assert used.registers > 0
            assert not used.spilled


@needs_linker
def test_without_the_function_nothing_is_linked() -> None:
    with pytest.raises(CompilerError, match=made("a Jacobian").symbol):
        nvjitlink.link([ptx("a Jacobian", "C", (9, 0))], (9, 0))


@needs_numba
def test_what_a_kernel_is_linked_with() -> None:
    """By itself with numba-cuda, once for many calls; else as the user says."""
    cuda, _ = backend._numba_cuda()
    f, args = CASES["a Jacobian"]
    device, again = jitad.cuda_device(f, *args), jitad.cuda_device(f, *args)
    own = made("a Jacobian")
    want = nvrtc.compile_ptx(own.text, (7, 5), relocatable=True)
    assert device.link == again.link
    if not hasattr(cuda, "PTXSource"):
        assert [Path(path).read_text() for path in device.link] == [want]
        return
    assert device.link == []

    def twice(x: Any, scale: float, out: Any) -> None:
        device(x, scale, out)
        again(x, scale, out)

    types = [p.type for p in own.places]
    signature = numba.types.none(*types)
    options = {"device": False, "abi": "numba", "cc": (9, 0), "output": "ptx"}
    codes, _ = cuda.compile_all(twice, signature, **options)
    assert [c.data.decode() for c in codes if isinstance(c, cuda.PTXSource)] == [want]


# -- what is refused -----------------------------------------------------------

V = numba.types.float64[::1]
M = numba.types.float64[:, ::1]
F = numba.types.float64
TYPES: dict[str, tuple[tuple[Any, ...], str]] = {
    "float32": (
        (numba.types.float32[::1], F, M),
        r"argument x is array\(float32, 1d, C\); expected float64\[3\]: convert",
    ),
    "an integer": ((V, numba.types.int64, M), "argument scale is int64"),
    "two axes": ((M, F, M), r"argument x is array\(float64, 2d, C\)"),
    "a number": ((F, F, M), "argument x is float64; expected float64.3."),
    "only arguments": ((V, F), r"got 2 arguments; expected \(x: .*, result: float64"),
    "too few axes": ((V, F, V), r"result is array\(float64, 1d, C\)"),
    "what is only read": (
        (V, F, numba.types.Array(F, 2, "C", readonly=True)),
        r"result is .*; expected float64\[2,3\] that can be written",
    ),
}


@needs_numba
@pytest.mark.parametrize("name", TYPES)
def test_types(name: str) -> None:
    cuda, _ = backend._numba_cuda()
    given, text = TYPES[name]
    f, args = CASES["a Jacobian"]
    device = jitad.cuda_device(f, *args)
    pack: Any = numba.types.BaseTuple.from_types

    def user(args: Any) -> None:
        device(*args)

    with pytest.raises(Exception, match=text):  # numba-cuda's errors are its own
        cuda.compile_ptx(user, (pack(given),), cc=(9, 0))


@needs_numba
def test_shapes_are_compared() -> None:
    found = re.findall(
        r"setp\.ne\.s64\s+%p\d+, %rd\d+, (\d+)", ptx("a Jacobian", "C", (9, 0))
    )
    assert sorted(found) == ["2", "3", "3"]


@needs_numba
def test_it_is_for_kernels() -> None:
    f, args = CASES["a Jacobian"]
    with pytest.raises(NotImplementedError, match="pure-python"):
        jitad.cuda_device(f, *args)(*args)


OTHERS = [k for k in REFUSED if k not in ("a dict", "results in a list")]


@pytest.mark.parametrize("name", OTHERS)
def test_errors_name_the_remedy(name: str, monkeypatch: Any) -> None:
    """As for njit."""
    call, text = REFUSED[name]
    monkeypatch.setattr(jitad, "njit", jitad.cuda_device)
    with pytest.raises(InputError, match="cuda_device" if "traced" in name else text):
        call()


def test_a_batch_is_the_grids() -> None:
    f = jitad.vmap(jitad.grad(height))
    with pytest.raises(InputError, match="thread for every point"):
        jitad.cuda_device(f, X)


def test_no_numba_is_told_with_the_remedy(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "numba.cuda", None)
    with pytest.raises(DeviceError, match="pip install numba-cuda"):
        backend.compile(made("a value"))


def test_numba_for_cuda_is_not_imported_with_jitad() -> None:
    code = "import sys, jitad; assert 'numba.cuda' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == 0
