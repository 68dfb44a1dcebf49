"""Public functions on cards: a stand-in for the driver runs their kernels on the host.

Its memory cannot be read from the host, so that whoever tries is stopped.
"""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.backends.cuda import card, cubins, staging
from jitad.backends.cuda.card import Card, DeviceError, DeviceMemoryError
from jitad.calls import cards
from tests.support.card_libraries import KINDS, Library
from tests.support.cuda_core import Core, machine_code
from tests.support.cuda_host import needs_compiler
from tests.support.numba_driver import ADAPTERS

pytestmark = needs_compiler


@pytest.fixture(params=ADAPTERS)
def core(request: Any, monkeypatch: pytest.MonkeyPatch) -> Core:
    """Two cards, and what stands in for their driver and compiler."""
    made = Core(cards=2)
    driver = request.param(made)
    both = {n: Card(n, driver) for n in range(2)}
    monkeypatch.setattr(cards, "card", both.__getitem__)
    monkeypatch.setattr(cubins, "compiled", machine_code)
    made.events.clear()
    return made


@pytest.fixture(params=KINDS)
def library(request: Any, core: Core, monkeypatch: pytest.MonkeyPatch) -> Library:
    made = Library(core, request.param)
    for name, module in made.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return made


@pytest.fixture
def cupy(core: Core, monkeypatch: pytest.MonkeyPatch) -> Library:
    made = Library(core, "cupy")
    monkeypatch.setitem(sys.modules, "cupy", made.modules()["cupy"])
    return made


def f(x: Any) -> Any:
    return np.stack([np.sin(x[0]) * x[1], x[2] ** 2 / x[1], np.exp(x[0] - x[2])])


X = np.random.default_rng(0).normal(size=(300, 3)) + 2.0


def on_host(array: Any) -> np.ndarray:
    return array.get() if hasattr(array, "get") else np.asarray(array)


def same(found: Any, wanted: Any) -> None:
    """Equal but for the last bits, which the host's and the card's functions choose."""
    found, wanted = on_host(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    rtol = 32 * np.finfo(wanted.dtype).eps
    largest = np.abs(wanted).max(initial=0)
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol * largest)


# -- arrays that are there -------------------------------------------------------


def test_results_are_of_the_library_and_on_the_stream_of_the_arguments(library):
    core = library.core
    J = jitad.vmap(jitad.jacobian(f))
    x = library.asarray(X)
    found = J(x)
    core.streams.clear()
    core.events.clear()
    found = J(x)
    kind = type(x) if library.name != "other" else object
    assert isinstance(found, kind)
    assert library.name != "other" or "on <cuda:0 stand-in>" in repr(found)
    handle = 7 if library.name in ("cupy", "torch") else 1
    assert ("launch", handle, 0) in core.streams
    assert [e[0] for e in core.events if e[0] != "allocate"] == ["launch"], "no copies"
    same(found, J(X))


@pytest.mark.slow
def test_a_call_that_is_repeated_looks_at_its_arguments_again(library):
    def g(x: Any, y: Any) -> Any:
        return np.stack([x[0] * y, x[1] / y])

    J = jitad.vmap(jitad.jacobian(g))
    x, y = X[:, :2].copy(), X[:, 2].copy()
    there = [library.asarray(a) for a in (x, y)]
    for _ in range(5):
        same(J(*there), J(x, y))
    for rows in (slice(5, 40), slice(None, None, 2)):
        for _ in range(5):
            same(J(*[a[rows] for a in there]), J(x[rows], y[rows]))
    single = [library.asarray(a.astype(np.float32)) for a in (x, y)]
    assert J(*single).dtype == np.float32
    elsewhere = [library.asarray(a, card=1) for a in (x, y)]
    same(J(*elsewhere), J(x, y))
    assert library.core.streams[-1][2] == 1
    same(J(*there), J(x, y))
    with pytest.raises(jitad.InputError, match="but args"):
        J(there[0], elsewhere[1])
    with pytest.raises(TypeError):
        J(there[0])


def test_results_are_on_the_card_of_the_arguments(library):
    x = library.asarray(X, card=1)
    found = jitad.vmap(jitad.jacobian(f))(x)
    card = found.__dlpack_device__()[1] if not hasattr(found, "card") else found.card
    assert card == 1
    assert ("launch", 7 if library.name in ("cupy", "torch") else 1, 1) in (
        library.core.streams
    )
    assert library.core.now == 0, "what was the current card is so again"


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x[::2],
        lambda x: x[::-1],
        lambda x: x[:, ::-1],
        lambda x: x[5:9],
        lambda x: x[:0],
        lambda x: x[:1],
    ],
)
def test_any_strides_are_read_as_they_are(cupy, make):
    H = jitad.vmap(jitad.hessian(lambda x: f(x)[0] * f(x)[1]))
    same(H(make(cupy.asarray(X))), H(make(X)))


def test_structures_of_arrays_and_out(cupy):
    J = jitad.vmap(jitad.jacobian(f), in_axes=-1, out_axes=-1)
    wanted = J(X.T.copy())
    x = cupy.asarray(X.T)
    same(J(x), wanted)
    out = cupy.asarray(np.zeros((3, 3, 300)))
    assert J(x, out=out) is out
    same(out, wanted)
    transposed = cupy.asarray(np.zeros((300, 3, 3))).T
    J(x, out=transposed)
    same(transposed.T, wanted.T)


def test_streams_of_different_libraries_wait_for_each_other(core, cupy, monkeypatch):
    """For what is read before, and for what is written after."""
    numba = Library(core, "numba")
    J = jitad.vmap(jitad.jacobian(f))
    x, out = cupy.asarray(X), numba.asarray(np.zeros((300, 3, 3)))
    core.streams.clear()
    J(x, out=out)
    assert core.streams == [("wait", 7, 1), ("launch", 7, 0), ("wait", 1, 7)]
    same(out, J(X))


def test_results_may_take_the_place_of_arguments(cupy):
    double = jitad.vmap(jitad.jit(lambda x: 2 * x[::-1]))
    x = cupy.asarray(X)
    assert double(x, out=x) is x
    same(x, double(X))
    with pytest.raises(jitad.InputError, match="out number 0 is not contiguous"):
        double(x[::-1], out=x[::-1])


def test_trees_numbers_and_several_arguments(cupy):
    def g(point: Any, scale: Any, n: Any) -> Any:
        a, b = point["a"], point["b"]
        return {"sum": a * scale + b, "power": a**2 * n}

    function = jitad.vmap(jitad.jacobian(g), in_axes=(0, None, None))
    a, b = X[:, 0].copy(), X[:, 1].astype(np.float32)
    found = function({"a": cupy.asarray(a), "b": cupy.asarray(b)}, 2.5, np.int64(3))
    wanted = function({"a": a, "b": b}, 2.5, np.int64(3))
    leaves, spec = jitad.tree.flatten(wanted)
    got, structure = jitad.tree.flatten(found)
    assert structure == spec
    for x, y in zip(got, leaves, strict=True):
        same(x, y)


def test_one_point_and_constants(cupy):
    table = np.linspace(0, 1, 50)

    def g(x: Any) -> Any:
        return np.sum(np.sin(table * x[0])) * x[1]

    x = X[0]
    same(jitad.grad(g)(cupy.asarray(x)), jitad.grad(g)(x))
    same(jitad.grad(g, device="cuda")(x), jitad.grad(g)(x))
    value = jitad.jit(g, device="cuda")(x)
    assert isinstance(value, float)


@pytest.mark.slow
def test_products_and_pullbacks(cupy):
    x, v = X[0], X[1]
    y, y_dot = jitad.jvp(f, (cupy.asarray(x),), (cupy.asarray(v),))
    for a, b in zip((y, y_dot), jitad.jvp(f, (x,), (v,)), strict=True):
        same(a, b)
    tangents = X[:5]
    _, several = jitad.jvp(f, (cupy.asarray(x),), (cupy.asarray(tangents),))
    same(several, jitad.jvp(f, (x,), (tangents,))[1])
    y, pull = jitad.vjp(f, cupy.asarray(x))
    same(pull(cupy.asarray(v))[0], jitad.vjp(f, x)[1](v)[0])

    def g(x: Any) -> Any:
        return np.sum(f(x))

    same(
        jitad.hvp(g)(cupy.asarray(x), cupy.asarray(v)),
        jitad.hvp(g)(x, v),
    )


def test_loops_branches_and_random_numbers(cupy):
    def g(x: Any) -> Any:
        def step(y: Any, _: Any) -> Any:
            return y + 0.01 * np.sin(y) * x[1], None

        y, _ = jitad.scan(step, x[0], None, length=20)
        z = jitad.while_loop(lambda y: y > 1, lambda y: y / 2, y + x[2])
        return z if x[0] > 2 else -y

    found = jitad.vmap(jitad.value_and_grad(g, device="cuda"))(X)
    for a, b in zip(found, jitad.vmap(jitad.value_and_grad(g))(X), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)

    def h(k: Any) -> Any:
        return jitad.random.normal(jitad.random.key(k), (3,))

    keys = np.arange(50)
    same(jitad.vmap(h)(cupy.asarray(keys)), jitad.vmap(h)(keys))


def test_arrays_can_be_put_on_a_card_to_stay_there(core):
    J = jitad.vmap(jitad.jacobian(f))
    x = jitad.device_put(X, "cuda:1")
    found = J(x)
    assert found.__dlpack_device__() == (2, 1)
    same(found, J(X))
    same(jitad.vmap(jitad.jit(lambda j: j.T))(found), np.swapaxes(J(X), 1, 2))
    tree = jitad.device_put({"a": X[::2, 1], "b": [2.0, np.int32(3)], "c": X[:0]})
    same(tree["a"], X[::2, 1])
    assert np.asarray(tree["b"][1]) == 3
    assert np.asarray(tree["b"][1]).dtype == np.int32
    assert np.asarray(tree["c"]).shape == (0, 3)
    with pytest.raises(jitad.InputError, match=r"args\[0\] is float16"):
        jitad.device_put(X.astype(np.float16))
    with pytest.raises(jitad.InputError, match="expected a card"):
        jitad.device_put(X, "cpu")


# -- sums over points ------------------------------------------------------------


def residual(p: Any, x: Any, y: Any) -> Any:
    return np.stack([p[0] * np.exp(-p[1] * x) - y, p[0] * x - p[2] * y])


def test_gradients_of_sums_and_gauss_newton(library):
    p, x, y = np.array([1.0, 0.5, 2.0]), X[:, 0].copy(), X[:, 1].copy()

    def misfit(p: Any, x: Any, y: Any) -> Any:
        over = jitad.vmap(residual, in_axes=(None, 0, 0))
        return np.sum(over(p, x, y) ** 2)

    for function in (jitad.value_and_grad(misfit), jitad.gauss_newton(residual)):
        found = function(*map(library.asarray, (p, x, y)))
        again = function(*map(library.asarray, (p, x, y)))
        for a, b, c in zip(found, again, function(p, x, y), strict=True):
            np.testing.assert_allclose(on_host(a), c, rtol=1e-12)
            assert on_host(a).tobytes() == on_host(b).tobytes()


def test_sums_over_points_of_the_host(core):
    p, x, y = np.array([1.0, 0.5, 2.0]), X[:, 0].copy(), X[::-1, 1]
    wanted = jitad.gauss_newton(residual)(p, x, y)
    found = jitad.gauss_newton(residual, device="cuda:1")(p, x, y)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert {s[2] for s in core.streams if s[0] == "launch"} == {1}


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[:, :2],
        lambda a: a[::-2],
        lambda a: a[:, ::-1],
        lambda a: a[:, ::2],
        lambda a: a.T[:2].T,
    ],
)
def test_sums_read_any_strides(cupy, view):
    given = np.random.default_rng(0).normal(size=(300, 4)) + 2
    p = np.array([1.0, 0.5])

    def fit(p: Any, x: Any) -> Any:
        return np.stack([p[0] * np.exp(-p[1] * x[0]) - x[1]])

    sums = jitad.gauss_newton(fit)
    found = sums(cupy.asarray(p), view(cupy.asarray(given)))
    for a, b in zip(found, sums(p, view(given)), strict=True):
        np.testing.assert_allclose(on_host(a), b, rtol=1e-12)


def test_sums_that_cannot_read_an_array_as_it_lies_say_so(cupy):
    def total(p: Any, x: Any) -> Any:
        each = jitad.vmap(lambda row: np.sum(np.sin(row * p)))
        return np.sum(each(x.reshape(-1, 3)))

    given = np.random.default_rng(0).normal(size=(300, 3))
    slope = jitad.grad(total)
    found = slope(cupy.asarray(1.0), cupy.asarray(given))
    np.testing.assert_allclose(on_host(found), slope(1.0, given), rtol=1e-11)
    with pytest.raises(jitad.UnsupportedError, match=r"contiguous array .*ascontig"):
        slope(cupy.asarray(1.0), cupy.asarray(given).T)


# -- batches of the host ---------------------------------------------------------


def layouts(x: np.ndarray) -> Any:
    return {
        "rows": (x, 0),
        "structure of arrays": (x.T.copy(), 1),
        "every other": (np.repeat(x, 2, axis=0)[::2], 0),
        "backwards": (x[::-1].copy()[::-1], 0),
    }


@pytest.mark.parametrize("name", layouts(X))
@pytest.mark.parametrize("part", [1 << 25, 9_000, 1])
def test_batches_of_the_host_go_in_parts(core, monkeypatch, name, part):
    monkeypatch.setattr(staging, "PART", part)
    given, axis = layouts(X)[name]
    if part == 1:
        given = given[:20] if axis == 0 else given[:, :20]
    J = jitad.jacobian(f)
    on_card = jitad.vmap(J, in_axes=axis, out_axes=axis, device="cuda")
    wanted = jitad.vmap(J, in_axes=axis, out_axes=axis)(given)
    before = given.copy()
    same(on_card(given), wanted)
    launches = [e for e in core.events if e[0] == "launch"]
    count = given.shape[axis]
    lanes = max(1, min(count, part // (8 * 12)))
    assert len(launches) == -(-count // lanes)
    out = np.zeros((4, *wanted.shape))[1]
    assert on_card(given, out=out) is out
    same(out, wanted)
    assert np.array_equal(given, before)


def test_parts_are_shared_by_several_cards(core, monkeypatch):
    monkeypatch.setattr(staging, "_LEAST", 10)
    table = np.random.default_rng(1).normal(size=7)

    def g(x: Any, a: Any) -> Any:
        return np.sum(f(x)) * a + np.sum(table * x[0])

    J = jitad.grad(g, (0, 1))
    several = jitad.vmap(J, in_axes=(0, None), devices=["cuda:0", "cuda:1"])
    wanted = jitad.vmap(J, in_axes=(0, None))(X, 2.0)
    for a, b in zip(several(X, 2.0), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)
    assert {s[2] for s in core.streams if s[0] == "launch"} == {0, 1}


def test_batches_in_batches_and_results_in_place_of_arguments(core, monkeypatch):
    monkeypatch.setattr(staging, "PART", 2_000)
    deep = np.random.default_rng(3).normal(size=(5, 70, 3)) + 2
    J = jitad.vmap(jitad.vmap(jitad.jacobian(f)))
    same(jitad.jit(J, device="cuda")(deep), J(deep))
    double = jitad.vmap(jitad.jit(lambda x: 2 * x[::-1]), device="cuda")
    x = X.copy()
    assert double(x, out=x) is x
    same(x, 2 * X[:, ::-1])
    assert jitad.jit(J, device="cuda")(deep[:, :0]).shape == (5, 0, 3, 3)


def test_no_argument_is_kept(cupy):
    """Neither on the host nor on a card, once the results are there."""
    for device, make in ((None, cupy.asarray), ("cuda", lambda x: x.copy())):
        J = jitad.vmap(jitad.jacobian(f), device=device)
        for _ in range(4):
            x = make(X)
            gone = weakref.ref(x)
            J(x)
            del x
            gc.collect()
            assert gone() is None


# -- bad input -------------------------------------------------------------------


def test_arguments_on_different_machines_are_refused(cupy):
    g = jitad.vmap(jitad.grad(lambda x, y: x * y))
    x = X[:, 0].copy()
    with pytest.raises(jitad.InputError, match=r"args\[1\] is a NumPy array; copy it"):
        g(cupy.asarray(x), x)
    with pytest.raises(jitad.InputError, match=r"args\[0\] is on cuda:0, but args\[1\] "
                       "on cuda:1"):  # fmt: skip
        g(cupy.asarray(x), cupy.asarray(x, card=1))
    with pytest.raises(jitad.InputError, match="cuda:1 was asked for"):
        jitad.jit(g, device="cuda:1")(cupy.asarray(x), cupy.asarray(x))
    with pytest.raises(jitad.InputError, match=r"backend=\"numpy\" interprets"):
        jitad.jit(g, backend="numpy")(cupy.asarray(x), cupy.asarray(x))
    same(jitad.jit(g, device="cuda")(cupy.asarray(x), x), g(x, x))
    with pytest.raises(jitad.InputError, match="out number 0 is on the host"):
        g(cupy.asarray(x), cupy.asarray(x), out=np.zeros(300))
    with pytest.raises(jitad.InputError, match=r"out number 0 is on cuda:1; expected"):
        g(cupy.asarray(x), cupy.asarray(x), out=cupy.asarray(x, card=1))


def test_other_dtypes_on_a_card_are_refused(cupy):
    g = jitad.vmap(jitad.jit(lambda x: 2 * x))
    with pytest.raises(jitad.InputError, match=r"on cuda:0, of float16; expected one"):
        g(cupy.asarray(X.astype(np.float16)))


def test_options_that_there_are_not_are_refused():
    for options, message in (
        ({"device": "gpu"}, "device is 'gpu'; expected"),
        ({"device": "cuda:x"}, "device is 'cuda:x'"),
        ({"devices": []}, r"devices is \[\]; expected different cards"),
        ({"devices": ["cuda", "cuda:0"]}, "expected different cards"),
        ({"device": "cuda", "devices": ["cuda"]}, "got both"),
        ({"device": "cuda", "backend": "numpy"}, "which interprets on the host"),
        ({"precision": "half"}, "precision is 'half'; expected"),
    ):
        with pytest.raises(jitad.InputError, match=message):
            jitad.jit(f, **options)


def test_a_card_that_is_full_says_so_and_goes_on(core, cupy):
    J = jitad.vmap(jitad.jacobian(f), device="cuda")
    J(X)
    core.limit = 0
    sums = jitad.gauss_newton(residual)
    given = [cupy.asarray(x) for x in (np.ones(3), X[:, 0], X[:, 1])]
    with pytest.raises(DeviceMemoryError, match=r"expected .* MiB more of its memory"):
        sums(*given)
    with pytest.raises(MemoryError):
        jitad.jit(f, device="cuda")(X[0])
    core.limit = 1 << 40
    same(J(X), jitad.vmap(jitad.jacobian(f))(X))
    np.testing.assert_allclose(on_host(sums(*given)[0]),
                               jitad.gauss_newton(residual)(np.ones(3), X[:, 0], X[:, 1])[0])  # fmt: skip  # noqa: E501


def test_a_launch_that_fails_leaves_everything_usable(core):
    J = jitad.vmap(jitad.jacobian(f), device="cuda")
    wanted = J(X)
    core.broken = "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"
    with pytest.raises(DeviceError, match="was not started: CUDA_ERROR_LAUNCH_OUT"):
        J(X)
    core.broken = ""
    same(J(X), wanted)


def test_what_a_driver_says_is_told_in_one_line():
    class Broken:
        def Device(self, *_: Any) -> Any:  # noqa: N802
            raise RuntimeError("Error at driver init:\n\nno library\n")

    with pytest.raises(DeviceError, match=r"says: Error at driver init: no library; "):
        Card(0, Broken())


def test_a_card_that_is_not_there_is_told(core, monkeypatch):
    monkeypatch.setattr(cards, "card", lambda n: Card(n, core))
    with pytest.raises(DeviceError, match=r"expected CUDA card 5, but .* install"):
        jitad.vmap(jitad.jacobian(f), device="cuda:5")(X)


def test_info_lists_the_cards(core, monkeypatch):
    monkeypatch.setattr(card, "card", lambda n: Card(n, core))
    monkeypatch.setattr(card, "total_memory", lambda n: 80 << 30)
    found = jitad.info()
    assert [d.name for d in found.devices] == ["cuda:0", "cuda:1"]
    assert found.missing == ""
    line = str(found).splitlines()[-1]
    assert line.split() == (
        ["cuda:1", "stand-in,", "compute", "capability", "9.0,", "80", "GiB"]
    )


def test_info_says_why_there_is_no_card(monkeypatch):
    def none(number: int) -> Card:
        raise DeviceError("expected a driver")

    monkeypatch.setattr(card, "card", none)
    found = jitad.info()
    assert found.devices == ()
    assert str(found).splitlines()[-1].split(maxsplit=1) == [
        "cuda", "none: expected a driver",
    ]  # fmt: skip


# -- what explain says -----------------------------------------------------------


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card of a known size, whose copies cost nothing here."""
    monkeypatch.setattr(card, "total_memory", lambda *_: 1 << 24)
    monkeypatch.setattr(Card, "copy_bandwidth", 2e12)


def test_explain_of_arrays_on_a_card(cupy, measured):
    J = jitad.vmap(jitad.jacobian(f))
    told = jitad.explain(J, cupy.asarray(X))
    assert told.machine is None
    assert told.gpu is not None
    assert (told.gpu.registers, told.gpu.blocks, told.gpu.warps) == (40, 12, 48)
    assert told.memory is not None
    assert told.memory.bound == pytest.approx((24 + 72) / 2e12 * 1e9)
    lines = str(told).splitlines()
    assert "  card       cuda:0 stand-in" in lines
    (kernel,) = [line for line in lines if line.startswith("  kernel ")]
    assert "40 registers, no spills" in kernel
    assert "at 2,000.0 GB/s, the card's measured copy bandwidth" in str(told)
    assert "12 blocks at once on a multiprocessor" in " ".join(str(told).split())
    assert "limited by registers" in " ".join(str(told).split())


def test_explain_of_parts_and_of_sums(core, measured, monkeypatch):
    monkeypatch.setattr(staging, "PART", 9_600)
    told = jitad.explain(jitad.vmap(jitad.jacobian(f), device="cuda:1"), X)
    assert told.gpu is not None
    assert told.gpu.part == 100
    assert "cuda:1 stand-in, 100 points at a time" in str(told)
    given = np.ones(3), X[:, 0].copy(), X[:, 1].copy()
    told = jitad.explain(jitad.gauss_newton(residual, device="cuda"), *given)
    assert told.machine is None
    text = " ".join(str(told).split())
    assert "10 sums over 300 points" in text
    assert (
        "by trees over 128 threads and over blocks, in one order for any card" in text
    )
    assert "card cuda:0 stand-in" in text
