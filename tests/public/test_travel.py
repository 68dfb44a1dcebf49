"""Functions that are copied, pickled and sent to other processes and to Dask."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitad
from jitad import custom, directions
from jitad.backends.cpu import link
from tests.cases.travelling import (
    J,
    arc,
    bits,
    cube,
    cube_slopes,
    f,
    residual,
    ruled,
    slopes,
    sum_of_squares,
    wave,
)

X = np.random.default_rng(0).uniform(0.1, 0.9, (1000, 3))
POINT = X[0]

named_here = jitad.primitive("named_here", cube, cube_slopes, points=[0.7], cost=4.0)

FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "jit": (jitad.jit(f), (POINT,)),
    "interpreter": (jitad.jit(f, backend="numpy"), (POINT,)),
    "jacobian": (jitad.jacobian(f, 0, mode="forward"), (POINT,)),
    "columns": (jitad.vmap(J.recipe[1][0], in_axes=-1, out_axes=(-1)), (X.T,)),
    "grad": (jitad.grad(sum_of_squares), (POINT,)),
    "value and gradient": (jitad.value_and_grad(sum_of_squares), (POINT,)),
    "hessian": (jitad.hessian(sum_of_squares), (POINT,)),
    "product": (jitad.hvp(sum_of_squares), (POINT, X[1])),
    "not kept": (jitad.jit(J, cache=False), (X,)),
    "decorated": (slopes, (X,)),
    "of a decorated": (jitad.jit(slopes, backend="numpy"), (X,)),
    "rule": (jitad.grad(ruled), (0.5,)),
    "sums": (
        jitad.gauss_newton(residual, in_axes=(None, 0, 0)),
        (POINT[:2], X[:, 0], X[:, 1]),
    ),
    "pullback": (jitad.vjp(f, POINT)[1], (X[0, :2],)),
    "pullback of several": (jitad.vjp(jitad.grad(sum_of_squares), X[1])[1], (X[:9],)),
    "linear map": (jitad.linearize(f, POINT)[1], (X[1],)),
    "its transpose": (jitad.linearize(f, POINT)[1].T, (X[1, :2],)),
    "decorated primitive": (wave, (POINT,)),
    "primitive of a ufunc": (jitad.jit(arc), (0.3,)),
    "primitive made elsewhere": (jitad.grad(named_here), (0.3,)),
    "and itself": (named_here, (X,)),
}
CASES = pytest.mark.parametrize("name", FUNCTIONS)


@CASES
def test_a_copy_computes_the_same(name: str) -> None:
    function, args = FUNCTIONS[name]
    before = copy.deepcopy(function), pickle.loads(pickle.dumps(function))
    expected = bits(function, *args)
    data = pickle.dumps(function)
    for made in (*before, copy.deepcopy(function), pickle.loads(data)):
        assert bits(made, *args) == expected
        assert repr(made) == repr(function)
        assert made.__doc__ == function.__doc__
    # Names and options, and no code: neither Python's nor the machine's.
    assert len(data) < 400
    assert copy.copy(function) is not None


def test_copies_of_decorated_functions_are_those_functions() -> None:
    assert pickle.loads(pickle.dumps(slopes)) is slopes
    assert pickle.loads(pickle.dumps(ruled)) is ruled
    assert copy.deepcopy(ruled) is ruled


def test_a_primitive_is_one_wherever_it_comes_from() -> None:
    for own in (wave, arc, named_here):
        assert pickle.loads(pickle.dumps(own)) is own
        assert copy.deepcopy(own) is own is copy.copy(own)


@pytest.mark.slow
def test_closures_of_a_primitive_travel_by_cloudpickle() -> None:
    """It is one function in another process, too, however often it comes."""
    cloudpickle = pytest.importorskip("cloudpickle")
    scale = 2.5
    own = jitad.primitive("scaled", lambda x: scale * x, lambda y, x: [scale])
    data = [cloudpickle.dumps(x) for x in (own, jitad.grad(own), own)]
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(_all_one, data).result()
    other = {**own.given, "value": cube}
    with pytest.raises(jitad.InputError, match="there is a primitive 'scaled' already"):
        custom._arrived("another", other)


def _all_one(data: list[bytes]) -> bool:
    first, slope, again = map(pickle.loads, data)
    return first is again and slope(2.0) == 2.5 and first(2.0) == 5.0


def test_what_cannot_travel_says_so() -> None:
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(jitad.grad(lambda x: x))
    with pytest.raises(TypeError, match="send the function, and transform it there"):
        pickle.dumps(directions._pushforward(f))


def test_a_linear_map_travels_with_its_point() -> None:
    map_ = jitad.linearize(f, POINT)[1]
    made = pickle.loads(pickle.dumps(map_))
    assert made.matvec(X[1]).tobytes() == map_.matvec(X[1]).tobytes()
    turned = pickle.loads(pickle.dumps(map_.T))
    assert turned.matvec(X[1, :2]).tobytes() == map_.rmatvec(X[1, :2]).tobytes()


@pytest.mark.slow
def test_processes_compute_the_same_bits() -> None:
    names = list(FUNCTIONS)
    expected = [bits(*_call(name)) for name in names]
    for kind in ("spawn", "fork"):
        if kind not in multiprocessing.get_all_start_methods():
            continue
        context = multiprocessing.get_context(kind)
        with ProcessPoolExecutor(1, context) as pool:
            tasks = [pool.submit(bits, *_call(name)) for name in names]
            assert [task.result() for task in tasks] == expected


def _call(name: str) -> tuple[Any, ...]:
    function, args = FUNCTIONS[name]
    return function, *args


OTHERS = [
    path
    for version in ("3.12", "3.13")
    for path in sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
]


@pytest.mark.skipif(not OTHERS, reason="no other Python is here")
def test_nothing_in_a_pickle_is_of_one_python() -> None:
    """Another version, without any package of ours, reads all but the names."""
    data = pickle.dumps([function for function, _ in FUNCTIONS.values()], 5)
    code = (
        "import pickletools, sys; data = bytes.fromhex(sys.stdin.read());"
        "print(sorted({a for o, a, _ in pickletools.genops(data)"
        " if isinstance(a, str) and o.name.endswith('UNICODE')}))"
    )
    found = {
        subprocess.run(
            [str(python), "-c", code],
            input=data.hex(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for python in (sys.executable, *OTHERS)
    }
    (names,) = found
    assert "travelling" in names and "jacobian" in names
    assert "code" not in names and "marshal" not in names


def test_closures_travel_by_cloudpickle() -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    scale = 2.5
    made = jitad.vmap(jitad.grad(lambda x: scale * np.sum(x**3)))
    data = cloudpickle.dumps(made)
    assert bits(pickle.loads(data), X) == bits(made, X)
    assert bits(pickle.loads(cloudpickle.dumps(made)), X) == bits(made, X)
    # So does what was written nowhere, and of what was decorated there.
    space: dict[str, Any] = {"__name__": "nowhere", "jitad": jitad}
    exec("@jitad.grad\ndef g(x): return x * x", space)
    assert pickle.loads(cloudpickle.dumps(space["g"]))(3.0) == 6.0
    assert pickle.loads(pickle.dumps(jitad.grad(np.hypot)))(3.0, 4.0) == 0.6


@pytest.mark.slow
def test_joblib_computes_the_same_bits() -> None:
    joblib = pytest.importorskip("joblib")
    scale = 2.5
    made = jitad.vmap(jitad.grad(lambda x: scale * np.sum(x**3)))
    for backend in ("threading", "loky"):
        parts = joblib.Parallel(2, backend=backend)(
            joblib.delayed(made)(part) for part in np.split(X, 4)
        )
        assert np.concatenate(parts).tobytes() == made(X).tobytes()
    if backend == "loky":
        joblib.externals.loky.get_reusable_executor().shutdown(wait=True)


# -- no rows ---------------------------------------------------------------------------


def test_no_rows_need_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(text: str) -> bytes:
        raise AssertionError("compiled")

    own = copy.deepcopy(J)
    monkeypatch.setattr(link, "object_code", refuse)
    for dtype in (np.float64, np.float32):
        found = own(np.zeros((0, 3), dtype))
        assert (found.shape, found.dtype) == ((0, 2, 3), dtype)
    wide = copy.deepcopy(slopes)
    for width in (0, 1, 7):
        assert wide(np.zeros((0, width))).shape == (0, width)
    out = np.zeros((0, 2, 3))
    assert own(np.zeros((0, 3)), out=out) is out
    with pytest.raises(jitad.InputError, match=r"expected float64.0,2,3"):
        own(np.zeros((0, 3)), out=np.zeros((0, 2, 4)))
    value, slope = jitad.value_and_grad(sum_of_squares, backend="numpy")(np.zeros(0))
    assert value == 0 and slope.shape == (0,)
    monkeypatch.undo()
    assert " at 0 points" in str(jitad.explain(own, np.zeros((0, 3))))


# -- threads ---------------------------------------------------------------------------


def test_a_task_says_how_many_threads_it_takes() -> None:
    most = jitad.get_threads()
    with jitad.threads(1):
        assert jitad.get_threads() == 1
        with jitad.threads(10**6):
            assert jitad.get_threads() == most
        other: list[int] = []
        thread = threading.Thread(target=lambda: other.append(jitad.get_threads()))
        thread.start()
        thread.join()
        assert other == [most]
    assert jitad.get_threads() == most
    for count in (0, 1.5, True, None):
        with pytest.raises(ValueError, match="a whole number"):
            jitad.threads(count).__enter__()  # type: ignore[arg-type]


def test_tasks_side_by_side_share_one_pool() -> None:
    big = np.random.default_rng(1).uniform(0.1, 0.9, (120_000, 3))
    expected = J(big).tobytes()

    def task(k: int) -> bytes:
        with jitad.threads(1 + k % 2):
            return J(big).tobytes()

    J(big)
    before = _threads()
    with ThreadPoolExecutor(6) as pool:
        assert {*pool.map(task, range(12))} == {expected}
        assert before is None or _threads() <= before + 6


def _threads() -> Any:
    """How many threads this process has; None where nobody says."""
    folder = Path("/proc/self/task")
    return len(os.listdir(folder)) if folder.exists() else None  # noqa: PTH208


# -- Dask and xarray -------------------------------------------------------------------


@pytest.mark.slow
def test_dask_computes_the_same_bits() -> None:
    da = pytest.importorskip("dask.array")
    expected = J(X)
    x = da.from_array(X, chunks=(130, 3))
    meta = np.empty((0, 0, 0))
    chunks = x.chunks[0], (2,), (3,)
    blocks = da.map_blocks(J, x, new_axis=1, chunks=chunks, meta=meta)
    assert blocks.shape == expected.shape
    general = da.apply_gufunc(
        J, "(n)->(m,n)", x, output_dtypes=float, output_sizes={"m": 2}
    )
    for lazy in (blocks, general):
        for scheduler, workers in (("synchronous", 1), ("threads", 4)):
            found = lazy.compute(scheduler=scheduler, num_workers=workers)
            assert found.tobytes() == expected.tobytes()
            assert found.dtype == expected.dtype
    # Without meta Dask asks the function about no rows of no width, and single ones.
    plain = da.map_blocks(slopes, x, dtype=float)
    assert plain.compute(scheduler="threads").tobytes() == slopes(X).tobytes()


def test_xarray_computes_the_same_bits() -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("dask.array")
    table = xarray.DataArray(X, dims=("point", "p")).chunk(point=300)
    found = xarray.apply_ufunc(
        J, table, input_core_dims=[["p"]], output_core_dims=[["y", "p"]],
        dask="parallelized", output_dtypes=[float],
        dask_gufunc_kwargs={"output_sizes": {"y": 2}},
    )  # fmt: skip
    assert found.dims == ("point", "y", "p")
    assert found.compute(scheduler="threads").values.tobytes() == J(X).tobytes()
