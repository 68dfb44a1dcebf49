"""Memory of results is used again when nobody holds it, and never before."""

from __future__ import annotations

import contextvars
import copy
import ctypes
import gc
import itertools
import pickle
import queue
import subprocess
import sys
import textwrap
import threading
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import scipy.optimize

import jitad
from jitad.backends.cpu import allocator, fresh, machine

N = 1 << 13
LARGE = 1 << 20
# With a dict around it, a result is made in Python however small it is.
doubled = jitad.vmap(lambda x: {"y": 2 * x})
numbers = itertools.count()

pytestmark = pytest.mark.skipif(
    not fresh._supported(), reason="results lie in memory of NumPy's own here"
)


def made(count: int = N) -> np.ndarray:
    """A large result of numbers that no other has."""
    return double(np.arange(float(count)) + next(numbers))


def double(x: np.ndarray) -> np.ndarray:
    return doubled(x)["y"]


def filled(count: int) -> None:
    """Many a result, so that any memory that is free is written."""
    kept = [made(count) for _ in range(3)]
    del kept
    made(count)


@pytest.fixture(autouse=True)
def nothing_held() -> Iterator[None]:
    """No memory is kept before, and none is lost by a test."""
    gc.collect()
    fresh.empty((N,), np.dtype(float))
    fresh.give_back()
    before = fresh.held()
    yield
    gc.collect()
    after = fresh.held()
    assert after.used == before.used
    assert after.kept <= after.most and after.blocks <= allocator.BLOCKS
    fresh.give_back()
    assert fresh.held() == (before.used, 0, 0, before.most)


@pytest.fixture
def words() -> Iterator[Callable[[str], ctypes.c_int64]]:
    """The allocator's numbers; those that it is told are put back."""
    found = fresh._allocator()
    assert found is not None
    told = {w: found.word(w).value for w in ("most", "longest", "large")}
    yield found.word
    for name, value in told.items():
        found.word(name).value = value


# -- nobody has what another holds -----------------------------------------------


def in_a_frame(r: np.ndarray) -> Any:
    def waits() -> Iterator[np.ndarray]:
        mine = r
        yield mine
        yield mine

    found = waits()
    next(found)
    return found


def in_a_cycle(r: np.ndarray) -> Any:
    cycle: list[Any] = [r]
    cycle.append(cycle)
    return cycle


def by_an_exception(r: np.ndarray) -> Exception:
    def fails(mine: np.ndarray) -> None:
        raise ValueError(mine.shape)

    try:
        fails(r)
    except ValueError as error:
        return error
    raise AssertionError


HOLDERS: dict[str, tuple[Callable[[np.ndarray], Any], Callable[[Any], Any]]] = {
    "the array": (lambda r: r, np.asarray),
    "a view": (lambda r: r[:], np.asarray),
    "a view of a view": (lambda r: r.reshape(-1, 2).T[::-1][::-1], lambda h: h.T),
    "an element's array": (lambda r: r[5:6], lambda h: h),
    "a memoryview": (memoryview, np.asarray),
    "a memoryview of bytes": (
        lambda r: memoryview(r).cast("B"),
        lambda h: np.frombuffer(h, float),
    ),
    "DLPack": (np.from_dlpack, np.asarray),
    "a DLPack capsule": (
        lambda r: r.__dlpack__(),
        lambda h: np.from_dlpack(Capsule(h)),
    ),
    "a subclass": (lambda r: r.view(np.recarray), np.asarray),
    "another dtype": (lambda r: r.view(np.int64), lambda h: h.view(float)),
    "ctypes": (np.ctypeslib.as_ctypes, np.ctypeslib.as_array),
    "a flat iterator": (lambda r: r.flat, lambda h: h.base),
    "an nditer": (lambda r: np.nditer(r), lambda h: h.operands[0]),
    "broadcast": (lambda r: np.broadcast_to(r, (2, r.size)), lambda h: h[1]),
    "strides": (
        lambda r: np.lib.stride_tricks.as_strided(r, strides=(8,)),
        lambda h: h,
    ),
    "an object array": (lambda r: np.array([r, None], object), lambda h: h[0]),
    "a frame": (in_a_frame, next),
    "a cycle": (in_a_cycle, lambda h: h[0]),
    "a context": (
        lambda r: contextvars.copy_context().run(lambda: (held_by.set(r), r)[1]),
        lambda h: h,
    ),
}
held_by: contextvars.ContextVar[Any] = contextvars.ContextVar("held_by")


class Capsule:
    """What NumPy asks for a capsule of DLPack."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


@pytest.mark.parametrize("count", [N, 1 << 18])
@pytest.mark.parametrize("name", HOLDERS)
def test_what_is_held_is_not_used_again(name, count):
    hold, read = HOLDERS[name]
    r = made(count)
    address, expected = r.ctypes.data, r.copy()
    holder = hold(r)
    del r
    filled(count)
    gc.collect()
    filled(count)
    got = read(holder)
    assert np.array_equal(np.ravel(got), expected[5:6] if got.size == 1 else expected)
    del got, holder
    gc.collect()
    assert made(count).ctypes.data == address, "now nobody holds it"


def test_an_exception_holds_what_its_frames_do():
    r = made()
    expected = r.copy()
    error = by_an_exception(r)
    del r
    filled(N)
    frame = error.__traceback__.tb_next.tb_frame
    assert np.array_equal(frame.f_locals["mine"], expected)
    del frame


def test_results_of_one_call_go_one_by_one():
    f = jitad.vmap(lambda x: (x, 2 * x, {"c": (3 * x, x > 5)}))
    x = np.arange(float(N))
    for _ in range(6):
        a, b, c = f(x)
        del b
        others = f(x + 1)
        assert np.array_equal(a, x)
        assert np.array_equal(c["c"][0], 3 * x)
        assert np.array_equal(c["c"][1], x > 5)
        assert np.array_equal(others[1], 2 * x + 2)


# -- a result owns its data ------------------------------------------------------

X = np.linspace(0.1, 1, 3 * N).reshape(N, 3)
PICKED = np.arange(2 * N) * 7 % N
RESULTS = {
    "rows": lambda: jitad.vmap(lambda x: np.sin(x) * x[0])(X),
    "a Jacobian": lambda: jitad.vmap(jitad.jacobian(lambda x: np.sin(x) * x[0]))(X),
    "columns": lambda: jitad.vmap(np.sin, out_axes=-1)(X),
    "float32": lambda: jitad.vmap(np.sin)(X.astype(np.float32)),
    "integers": lambda: jitad.vmap(lambda x: x + 1)(np.arange(1 << 16, dtype=np.int32)),
    "truths": lambda: jitad.vmap(lambda x: x > 0.5)(np.linspace(0, 1, 1 << 17)),
    "a gradient of picked terms": lambda: jitad.grad(
        lambda w: np.sum(jitad.vmap(lambda k: w[k] ** 2)(PICKED))
    )(X[:, 0].copy()),
    "a gradient of the same": lambda: jitad.grad(
        lambda w: np.sum(jitad.vmap(lambda x: np.sin(x @ w))(X))
    )(np.ones(3)),
    "a gradient of a picked matrix": lambda: jitad.grad(
        lambda w: np.sum(jitad.vmap(lambda k: w[k, 1] ** 2)(PICKED))
    )(X.copy()),
    "a Hessian": lambda: jitad.hessian(lambda w: np.sin(w[0] * w[1]))(np.ones(3)),
    "Hessians": lambda: jitad.vmap(jitad.hessian(lambda w: np.prod(w)))(X),
    "a pullback": lambda: jitad.vjp(np.sin, X[0])[1](np.ones(3))[0],
    "a tangent": lambda: jitad.jvp(np.sin, (X[0],), (np.ones(3),))[1],
    "tangents": lambda: jitad.jvp(np.sin, (X[0],), (np.ones((5, 3)),))[1],
    "a linear map": lambda: jitad.linearize(np.sin, X[0])[1](np.ones(3)),
    "normal equations": lambda: jitad.gauss_newton(lambda w, x: w * x)(X[0], X)[2],
    "turned batches": lambda: jitad.vmap(jitad.vmap(np.sin), 1, 1)(X),
    "interpreted": lambda: jitad.vmap(np.sin, backend="numpy")(X),
}  # fmt: skip


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_owns_its_data(name):
    first = RESULTS[name]()
    for _ in range(2):
        r = RESULTS[name]()
        assert r.flags.owndata and r.base is None and type(r) is np.ndarray
        assert r.flags.writeable and r.flags.aligned
        assert np.array_equal(r, first) and not np.may_share_memory(r, first)
        assert sys.getsizeof(r) >= r.nbytes
        assert np.array_equal(pickle.loads(pickle.dumps(r)), r)
        twin = copy.deepcopy(r)
        expected = r.copy()
        r[...] = 0
        assert np.array_equal(twin, expected)
        r[...] = expected
        del r


@pytest.mark.parametrize("size", [0, 1, 9000, N - 8, N, N + 1, 2 * N, 9 * N])
def test_a_result_can_be_resized(size):
    r = made()
    expected = np.resize(r, size)
    expected[N:] = 0
    r.resize(size, refcheck=False)
    assert np.array_equal(r, expected)
    others = [made(), made()]
    assert np.array_equal(r, expected)
    r.resize(3 * N, refcheck=False)
    assert np.array_equal(r[: min(size, 3 * N)], expected[: 3 * N])
    assert not r[size:].any()
    del others


def test_arrays_of_others_lie_in_memory_of_their_own():
    name = np._core.multiarray.get_handler_name  # type: ignore[attr-defined]
    r = made()
    large = jitad.vmap(np.sin)(np.ones(1 << 20))
    assert name(large) == "jitad"
    assert name(np.empty(1 << 20)) == name(r + 1) == name() == "default_allocator"


def test_an_allocator_of_the_users_is_asked():
    found = fresh._allocator()
    name = np._core.multiarray.get_handler_name  # type: ignore[attr-defined]
    other = fresh._Allocator()

    def inside() -> tuple[int, int]:
        other._set(other._own)
        r = jitad.vmap(np.sin)(np.ones(1 << 20))
        return other.held.used, r.nbytes

    used, size = contextvars.copy_context().run(inside)
    assert used >= size and other.held.used == 0 < other.held.kept
    other.empty()
    assert name() == "default_allocator"
    assert found is not None and found.held.used == 0


def test_memory_is_seen_by_tracemalloc():
    f = jitad.vmap(np.sin)
    x = np.ones(1 << 20)
    f(x)
    tracemalloc.start()
    try:
        r = f(x)
        with_it = tracemalloc.get_traced_memory()[0]
        del r
        without = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert with_it - without >= x.nbytes


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, np.bool_])
def test_zeros_are_zeros_again(dtype):
    for _ in range(3):
        z = fresh.zeros((N, 9), np.dtype(dtype))
        assert not z.any() and z.flags.owndata and z.ctypes.data % 64 == 0
        z[...] = 1
        del z


def test_without_an_allocator_results_lie_in_memory_of_numpys(monkeypatch):
    x = np.arange(float(N))
    expected = double(x)
    monkeypatch.setattr(fresh, "_MADE", fresh._Made(done=True))
    for _ in range(2):
        r = double(x)
        assert np.array_equal(r, expected) and r.ctypes.data % 64 == 0
        assert not fresh.zeros((N,), np.dtype(float)).any()
    assert fresh.held()[:3] == (0, 0, 0)
    fresh.give_back()


def test_arrays_without_elements_take_nothing():
    used = fresh.held()
    for shape in ((0,), (0, 1 << 40), (1 << 20, 0)):
        assert fresh.empty(shape, np.dtype(float)).shape == shape
    assert double(np.ones(0)).shape == (0,)
    assert fresh.held() == used


# -- what is kept is bounded -----------------------------------------------------


def block(size: int) -> int:
    """The bytes of the block of an array of so many bytes."""
    fresh.give_back()
    before = fresh.held()
    array = fresh.empty((size,), np.dtype(np.uint8))
    return fresh.held().used - before.used + 0 * array.size


@pytest.mark.slow
def test_memory_is_constant_in_a_loop():
    f = jitad.vmap(np.sin)
    for n in (1 << 10, 1 << 14, 1 << 17, 1 << 20):
        fresh.give_back()
        x = np.ones(n)
        for _ in range(50):
            f(x)
        assert fresh.held().kept <= block(8 * n) and fresh.held().used == 0


def test_what_fits_ill_is_not_used():
    large = fresh.empty((8 * LARGE,), np.dtype(np.uint8))
    address = large.ctypes.data
    del large
    small = fresh.empty((4 * LARGE,), np.dtype(np.uint8))
    assert small.ctypes.data != address, "half of it would stay unused"
    near = fresh.empty((8 * LARGE - 5000,), np.dtype(np.uint8))
    assert near.ctypes.data == address


def test_the_oldest_goes_first(words):
    sizes = [LARGE, 2 * LARGE, 4 * LARGE]
    most = sum(map(block, sizes[1:]))
    fresh.give_back()
    words("most").value = most
    held = [fresh.empty((n,), np.dtype(np.uint8)) for n in sizes]
    for k in range(3):
        held[k] = None
    assert fresh.held().kept == most and fresh.held().blocks == 2
    words("most").value = block(LARGE) - 1
    fresh.empty((LARGE,), np.dtype(np.uint8))
    assert fresh.held().kept == 0, "one that is too large is not kept at all"


def test_few_blocks_are_kept():
    held = [fresh.empty((LARGE + 8192 * k,), np.dtype(np.uint8)) for k in range(80)]
    while held:
        held.pop()
    assert fresh.held().blocks == allocator.BLOCKS
    held = [fresh.empty((LARGE + 8192 * k,), np.dtype(np.uint8)) for k in range(64)]
    assert fresh.held().kept < LARGE, "the last of them are those that were kept"


def test_memory_goes_back_after_a_while(words):
    for k in range(1, 5):
        fresh.empty((k * LARGE,), np.dtype(np.uint8))
    assert fresh.held().blocks == 4
    words("longest").value = -1
    fresh.empty((1000 * LARGE,), np.dtype(np.uint8))
    assert fresh.held().blocks == 1


def test_control_groups_bound_it(tmp_path):
    for place, name, limit in (
        ("a/b/c", "memory.max", "max"),
        ("a/b", "memory.max", "5000"),
        ("a", "memory.max", "7000"),
        ("memory/job", "memory.limit_in_bytes", "3000"),
        ("memory", "memory.limit_in_bytes", "9000"),
        ("cpu/job", "memory.limit_in_bytes", "1"),
    ):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / name).write_text(limit + "\n")
    groups = "4:cpu,memory:/job\n3:cpu:/job\n1:name=systemd:/job\n0::/a/b/c\n"
    assert [*machine._held_to(groups, tmp_path)] == [3000, 9000, 5000, 7000]
    assert 1 << 20 < machine.memory_bytes() < 1 << 50


@pytest.mark.slow
def test_info_shows_it():
    r = jitad.vmap(np.sin)(np.ones(1 << 20))
    found = jitad.info()
    assert found.results.used >= r.nbytes and found.results.kept == 0
    assert " in use, " in dict(found.facts)["results"]
    del r
    assert jitad.info().results.kept >= 1 << 23 and jitad.info().results.blocks == 1
    jitad.cache_clear()
    assert jitad.info().results.blocks == 0


# -- other threads, processes, ends ----------------------------------------------


def test_threads_drop_each_other_s_results():
    given: queue.Queue[Any] = queue.Queue(4)
    wrong: list[Any] = []
    x = np.arange(float(N))

    def makes(k: int) -> None:
        for j in range(40):
            value = float(100 * k + j)
            given.put((value, double(x + value)))

    def takes() -> None:
        while (item := given.get()) is not None:
            if not np.array_equal(item[1], 2 * (x + item[0])):
                wrong.append(item[0])
            del item

    makers = [threading.Thread(target=makes, args=(k,)) for k in range(3)]
    takers = [threading.Thread(target=takes) for _ in range(2)]
    for t in makers + takers:
        t.start()
    for t in makers:
        t.join()
    for _ in takers:
        given.put(None)
    for t in takers:
        t.join()
    assert not wrong


def run(program: str) -> None:
    """A process of its own that ends well and says nothing."""
    text = "import numpy as np\nimport jitad\nfrom jitad.backends.cpu import fresh\n"
    text += textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-Wignore:This process:DeprecationWarning", "-c", text],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
def test_a_forked_child_has_memory_of_its_own():
    run(
        """
        import os
        f = jitad.vmap(np.sin)
        x = np.linspace(0, 1, 1 << 20)
        f(x)
        r, expected = f(x), np.sin(x)
        dropped = f(x)
        del dropped
        child = os.fork()
        assert fresh.held().kept == 0
        ys = [f(x + k) for k in range(3)]
        del ys
        assert np.allclose(r, expected, rtol=1e-15) and np.array_equal(f(x), r)
        assert fresh.held().kept > 0
        del r
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        """
    )


@pytest.mark.slow
def test_memory_is_given_back_where_none_is_left():
    run(
        """
        import resource
        size = 64 << 20
        fresh.empty((size,), np.dtype("u1"))
        status = open("/proc/self/status").read()
        now = 1024 * int(status.partition("VmSize:")[2].split()[0])
        assert fresh.held().kept >= size
        resource.setrlimit(resource.RLIMIT_AS, (now + size // 2, now + size // 2))
        large = fresh.empty((3 * size // 2 - (8 << 20),), np.dtype("u1"))
        assert fresh.held().kept == 0
        large[:] = 1
        try:
            fresh.empty((2 * size,), np.dtype("u1"))
        except MemoryError as error:
            assert "Unable to allocate" in str(error)
        else:
            raise AssertionError
        try:
            large.resize(2 * size, refcheck=False)
        except MemoryError:
            assert large.all() and large.size < 2 * size
        else:
            raise AssertionError
        assert np._core.multiarray.get_handler_name() == "default_allocator"
        """
    )


@pytest.mark.slow
def test_arrays_outlive_everything():
    run(
        """
        import atexit, builtins, sys, threading
        f = jitad.vmap(np.sin)
        x = np.ones(1 << 17)
        builtins.kept = f(x)
        np.kept = [f(x)]
        np.kept.append(np.kept)
        sys.modules["aaa"] = sys.modules["zzz"] = f(x)
        threading.Thread(target=lambda r: threading.Event().wait(), args=(f(x),),
                         daemon=True).start()
        class Late:
            def __init__(self): self.made, self.r = f, f(x)
            def __del__(self): self.r = None
        builtins.late, sys.late = Late(), Late()
        atexit.register(lambda r, f=f: f(x), f(x))
        del f, jitad, fresh
        """
    )


# -- solvers ---------------------------------------------------------------------


def rosen(x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def system(x: Any) -> Any:
    return np.stack([x[0] + x[1] ** 2 - 3, np.exp(x[2]) - x[0], x[1] * x[2] - 0.2])


def first_row(derivative: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """A derivative as a view of a large result, and the same as a copy."""
    many = jitad.vmap(derivative)
    copies = np.ones((1 << 16, 1))
    return lambda x: many(x * copies)[0], lambda x: many(x * copies)[0].copy()


START = np.array([-1.2, 1.0, 0.8, 0.3])
# These hold a gradient while they ask for the next.
HOLDING = ("BFGS", "CG", "Newton-CG", "trust-constr")
METHODS = ["BFGS", "CG", "L-BFGS-B", "TNC", "SLSQP", "Newton-CG", "trust-constr"]


@pytest.mark.parametrize("method", METHODS)
def test_minimizers_get_fresh_gradients(method):
    viewed, copied = first_row(jitad.grad(rosen))
    value = jitad.jit(rosen)
    found, expected, plain = (
        scipy.optimize.minimize(value, START, jac=jac, method=method)
        for jac in (viewed, copied, jitad.grad(rosen))
    )
    assert found.nit > 5 and found.nfev == expected.nfev
    assert np.array_equal(found.x, expected.x)
    assert np.array_equal(found.jac, expected.jac)
    gradient, same = jitad.grad(rosen), np.empty(4)
    with warnings.catch_warnings(action="ignore"):
        wrong = scipy.optimize.minimize(
            value, START, jac=lambda x: gradient(x, out=same), method=method
        )
    assert (method in HOLDING) == (not np.array_equal(wrong.x, expected.x))
    assert np.allclose(plain.x, expected.x, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["hybr", "lm"])
def test_roots_and_least_squares_get_fresh_jacobians(method):
    viewed, copied = first_row(jitad.jacobian(system))
    value, _ = first_row(system)
    x0 = np.array([1.0, 1.0, 0.5])
    found, expected = (
        scipy.optimize.root(value, x0, jac=jac, method=method)
        for jac in (viewed, copied)
    )
    assert found.success and np.array_equal(found.x, expected.x)
    for how in ("trf", "dogbox", "lm"):
        fit, same = (
            scipy.optimize.least_squares(value, x0, jac=jac, method=how)
            for jac in (viewed, copied)
        )
        assert fit.success and np.array_equal(fit.x, same.x)
        assert np.array_equal(fit.jac, same.jac) and np.array_equal(fit.fun, same.fun)
        assert np.allclose(system(fit.x), 0, atol=1e-7)
