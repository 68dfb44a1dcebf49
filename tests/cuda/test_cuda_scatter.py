"""What GPU lanes add to the same places: the same bits whatever order they come in."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.backends.cpu import executable as cpu
from jitad.backends.cuda import nvrtc
from jitad.calls.call import Summed
from jitad.errors import UnsupportedError
from jitad.lowering.cuda.emit import emit, entries
from jitad.lowering.cuda.scatter import finish_name
from jitad.lowering.kernel import Argument, Buffer, Kernel
from jitad.lowering.statements import Const, If, Load, Op, Repeat, Scatter
from jitad.plan.steps import PointStep
from tests.cases.layouts import BOOL, F4, F8, I4, I8
from tests.cases.sum_kernels import adding
from tests.cases.tables import by_hand, data, loss
from tests.support import cuda_host
from tests.support.cuda_host import needs_compiler
from tests.support.cuda_machines import MACHINES, builder, shapes
from tests.support.kernels import reference
from tests.support.nvrtc import CAPABILITIES
from tests.support.nvrtc import needs_compiler as needs_nvrtc


@pytest.fixture(params=MACHINES)
def build(request):
    return builder(request.param)


def added(launch: Any, i: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The total and the table, the same for grids of all shapes."""
    rows = np.zeros((len(x), 3), x.dtype)
    rows[:, 0] = x
    if launch.kernel.buffers[1].layout == "streams":
        rows = np.asfortranarray(rows)
    arguments = [
        Argument(i.ctypes.data, (8,), 8),
        Argument(rows.ctypes.data, rows.strides[:1], rows.strides[1]),
        *(None, None),
    ]
    found = [shaped.total(len(x), arguments) for shaped in shapes(launch)]
    found.append(launch.total(len(x), arguments))
    assert len({table.tobytes() for _, table in found}) == 1
    assert found[0][1].dtype == x.dtype
    return found[0]


def exact(i: np.ndarray, x: np.ndarray, elements: int) -> list[Fraction]:
    """The sums as they are."""
    sums = [Fraction(0)] * elements
    for k, term in zip(i, x, strict=True):
        sums[k] += Fraction(float(term))
    return sums


@pytest.mark.parametrize("layout", ["streams", "rows"])
@pytest.mark.parametrize("dtype", [F8, F4], ids=str)
def test_sums_are_rounded_once(dtype, layout, build):
    """Terms within 2^43 of each other have no digit that is lost."""
    rng = np.random.default_rng(1)
    (launch,) = build([adding(dtype, 11, layout)])
    for count in (0, 1, 7, 33, 700):
        i = rng.integers(0, 10, count)  # nothing is added to the last
        x = np.ldexp(rng.normal(size=count), rng.integers(-18, 18, count)).astype(dtype)
        total, table = added(launch, i, x)
        wanted = [math.fsum(x[i == k].astype(float)) for k in range(11)]
        assert np.array_equal(table, np.array(wanted).astype(dtype))
        assert not np.signbit(table[10])
        np.testing.assert_allclose(total, x.sum(dtype=float), rtol=1e-6, atol=1e-3)


def test_order_does_not_matter(build):
    rng = np.random.default_rng(2)
    (launch,) = build([adding(F8, 3)])
    i, x = (
        rng.integers(0, 3, 500),
        rng.normal(size=500) * 10.0 ** rng.integers(-40, 40, 500),
    )
    _, table = added(launch, i, x)
    for _ in range(5):
        order = rng.permutation(500)
        _, again = added(launch, i[order], x[order])
        assert again.tobytes() == table.tobytes()


@pytest.mark.parametrize("least", [-1074, -900, -60, 0, 900])
def test_errors_keep_to_the_bound(least, build):
    """n 2^-96 of the largest term, and half a unit in the last place."""
    rng = np.random.default_rng(least + 2000)
    (launch,) = build([adding(F8, 4)])
    x = np.ldexp(rng.uniform(-1, 1, 300), rng.integers(least, least + 120, 300))
    x[150:] = -x[149::-1]  # all digits cancel, but for
    x[150:] += np.ldexp(rng.uniform(-1, 1, 150), least)
    i = np.concatenate([np.arange(150) % 4, np.arange(149, -1, -1) % 4])
    _, table = added(launch, i, x)
    for k, want in enumerate(exact(i, x, 4)):
        largest = Fraction(float(np.abs(x[i == k]).max()))
        unit = Fraction(float(np.spacing(abs(float(want)))))
        error = abs(Fraction(float(table[k])) - want)
        assert want != 0 and error <= 300 * largest / 2**96 + unit / 2


def test_terms_of_very_different_size(build):
    (launch,) = build([adding(F8, 7)])
    cases = [
        ([1e300, 1e-300, -1e300], 0.0),
        ([1e16, 1.0, -1e16], 1.0),  # in double precision it is 0
        ([1e308, 1e308, -1e308], 1e308),  # ∞
        ([1e308, 1e308], np.inf),
        ([5e-324, 5e-324, -2.2250738585072014e-308], -2.2250738585072014e-308 + 1e-323),
        ([-0.0, -0.0], 0.0),
        ([2.0**53, 1.0, 2.0**-40], 2.0**53 + 2),  # above the middle by a little
    ]
    i = np.concatenate([np.full(len(x), k) for k, (x, _) in enumerate(cases)])
    x = np.concatenate([x for x, _ in cases])
    _, table = added(launch, i, x)
    assert table.tobytes() == np.array([want for _, want in cases]).tobytes()


@pytest.mark.parametrize("dtype", [F8, F4], ids=str)
def test_what_is_not_finite(dtype, build):
    (launch,) = build([adding(dtype, 6)])
    inf, nan = np.inf, np.nan
    cases = [
        [inf, 1, -3],
        [-inf, -inf, 2],
        [inf, -inf],
        [nan, 1],
        [1, nan, inf],
        [1, 2],
    ]
    i = np.concatenate([np.full(len(x), k) for k, x in enumerate(cases)])
    _, table = added(launch, i, np.concatenate(cases).astype(dtype))
    assert np.array_equal(table, [inf, -inf, nan, nan, nan, 3], equal_nan=True)


@pytest.mark.parametrize("dtype", [I8, I4], ids=str)
def test_integers_wrap(dtype, build):
    (launch,) = build([adding(dtype, 5)])
    rng = np.random.default_rng(3)
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, 400, dtype)
    i = rng.integers(0, 5, 400)
    total, table = added(launch, i, x)
    wanted = np.zeros(5, dtype)
    np.add.at(wanted, i, x)
    assert np.array_equal(table, wanted)
    assert total[0] == x.sum(dtype=dtype)


@needs_compiler
@pytest.mark.parametrize("dtype", [F8, F4], ids=str)
def test_words_are_rounded_to_nearest(dtype):
    """Up to the largest that 2^31 terms can make, of either sign."""
    (launch,) = cuda_host.build([adding(dtype, 3)])
    rng = np.random.default_rng(6)
    most = 2**31 * (2**32 - 1)
    bits = rng.integers(0, 64, (400, 3))
    words = rng.integers(-most, most, (400, 3)) >> bits
    words[:4] = [[most] * 3, [-most] * 3, [most, -most, 0], [1, 0, most]]
    # Around the middle between two floats: a little more, less, and a tie.
    words[4:7] = [[1, 0, 2**54 + 2], [-1, 0, 2**54 + 2], [0, 0, 2**54 + 2]]
    scale = 1040
    sums = np.zeros((400, 4), np.int64)
    sums[:, :3], sums[:, 3] = words, scale
    table = np.zeros(400, dtype)
    name = finish_name(launch.name, dtype)
    assert name is not None
    numbers = [400, sums.ctypes.data, table.ctypes.data]
    cuda_host.launch(launch.library, name, numbers, 3, 64)
    wholes = [int(a) + (int(b) << 32) + (int(c) << 64) for a, b, c in words]
    # An integer to the nearest float64, and one below 2^64 to the nearest float32.
    for whole, found in zip(wholes, table, strict=True):
        size = abs(whole)
        more = max(0, size.bit_length() - 60)
        head = size >> more | (size & ((1 << more) - 1) != 0)
        want = np.ldexp(dtype.type(np.uint64(head)), scale - 1118 + more)
        assert found == (-want if whole < 0 else want)
        assert dtype == F4 or found == float(Fraction(whole) * Fraction(2) ** -78)


@needs_nvrtc
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_every_card_compiles_them(capability):
    for dtype in (F8, F4, I8, I4):
        made = adding(dtype, 3)
        found = nvrtc.compile_cubin(emit(made), capability).usage
        assert set(found) == set(entries(made))
        assert all(used.stack == 0 for used in found.values())


@pytest.mark.parametrize("dtype", [BOOL, np.dtype(np.int16)], ids=str)
def test_what_has_no_atomic_addition_is_refused(dtype):
    with pytest.raises(UnsupportedError, match=rf"got {dtype}; .* run it on the CPU"):
        emit(adding(dtype, 3))


def test_loops_and_branches_add_what_they_run(build):
    """Each lane in as many iterations as it has, and to several elements at once."""
    buffers = (
        Buffer("i", I8, 2, (0,), "rows", False),
        Buffer("x", F8, 3, (0,), "rows", False),
        Buffer("table", F8, 12, (), "scatter", True),
        Buffer("small", F4, 4, (), "scatter", True),
    )
    zero = Const(9, np.float64(0), F8)
    scatter = Scatter(2, None, 0, 3, 4, ((0, 2), (2, 3), (0, 4)))
    branch = If(5, (Op(6, "cast", (2,), F4), Scatter(3, None, 1, 1, 4, ((0, 6),))), ())
    body = (
        *(Load(0, 0, 0, I8), Load(1, 0, 1, I8), zero),
        *(Load(2 + e, 1, e, F8) for e in range(3)),
        Repeat(7, None, 1, (), (), None, (scatter,)),
        *(Op(5, "gt", (2, 9), BOOL), branch),
    )
    (launch,) = build([Kernel(buffers, 1, body)])
    rng = np.random.default_rng(4)
    i, x = rng.integers(0, 4, (77, 2)), rng.integers(-9, 9, (77, 3)).astype(float)
    arguments = [Argument(a.ctypes.data, a.strides[:1]) for a in (i, x)]
    wanted = reference(launch.kernel, (77,), [i, x])
    assert all(np.abs(want).max() > 0 for want in wanted)
    for shaped in shapes(launch):
        for y, want in zip(
            shaped.total(77, [*arguments, None, None]), wanted, strict=True
        ):
            assert np.array_equal(y, want[0])


def test_one_lane_adds_in_place(build):
    """As the CPU does: to what is there, one term after the other."""
    buffers = (
        Buffer("i", I8, 1, (0,), "rows", False),
        Buffer("x", F8, 3, (0,), "rows", False),
        Buffer("table", F8, 5, (), "scatter", True),
        Buffer("n", I4, 5, (), "scatter", True),
    )
    body = (
        *(Load(0, 0, 0, I8), *(Load(1 + e, 1, e, F8) for e in range(3))),
        *(
            Scatter(2, None, 0, 1, 4, ((0, 1), (0, 2), (1, 3))),
            Const(4, np.int32(7), I4),
        ),
        Scatter(3, None, 0, 1, 5, ((0, 4),)),
    )
    (launch,) = build([Kernel(buffers, 1, body)])
    i, x = np.array([2]), np.array([1e16, 1.0, 0.1])
    table, n = np.full(5, 0.5), np.arange(5, dtype=I4)
    arguments = [Argument(a.ctypes.data, (0,)) for a in (i, x, table, n)]
    launch.launch((1,), arguments)
    assert np.array_equal(table, [0.5, 0.5, 0.5 + 1e16 + 1.0, 0.6, 0.5])
    assert np.array_equal(n, [0, 1, 9, 3, 4])
    with pytest.raises(AssertionError, match="a single lane"):
        launch.launch((2,), arguments)


# -- programs ---------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 3), (700, 3)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_gradients_of_sums(shape, dtype, build):
    """A gradient in a table that points look their parameters up in, on the GPU."""
    table, p, i = data(shape, 300, dtype)
    _, gradient, _ = by_hand(table, p, i)
    call = jitad.value_and_grad(loss).prepare(table, p, i)
    assert isinstance(call, Summed)
    (step,) = call.program.sums
    environment = [table, p, i, *call.program.constants]
    for before in call.program.steps[: call.program.steps.index(step)]:
        before.run(environment, cpu.HOST)
    found = [rows.argument(environment, cpu.HOST) for rows in step.inputs]
    buffers = step.kernel.buffers
    outputs = [None] * (len(buffers) - len(found))
    (launch,) = build([step.kernel])
    arguments = [*(a for a, _ in found), *outputs]
    made = [shaped.total(step.count, arguments) for shaped in shapes(launch)]
    (k,) = [k for k, b in enumerate(buffers) if b.layout == "scatter"]
    tables = [sums[k - len(found)] for sums in made]
    assert len({t.tobytes() for t in tables}) == 1
    eps = np.finfo(dtype).eps
    atol = 100 * eps * np.abs(gradient).max()
    np.testing.assert_allclose(tables[0].reshape(shape), gradient, rtol=0, atol=atol)


def test_steps_of_one_point(build):
    """A loop that is no sum adds to the table iteration by iteration, in one lane."""
    table, p, i = data((3000, 3), 300)

    def total(t: Any, p: Any, i: Any) -> Any:
        def step(c: Any, k: Any) -> Any:
            return np.sin(c + t[i[k], 0] * t[i[k], 2]), None

        return jitad.scan(step, t[0, 0], np.arange(50))[0] * loss(t, p, i)

    call = jitad.grad(total).prepare(table, p, i)
    assert isinstance(call, Summed)
    environment = [table, p, i, *call.program.constants]
    seen = 0
    for step in call.program.steps:
        given = len(environment)
        step.run(environment, cpu.HOST)
        if not isinstance(step, PointStep):
            continue
        kernel = step.plan.kernel
        seen += any(b.layout == "scatter" for b in kernel.buffers)
        (launch,) = build([kernel])
        made = [np.zeros(t.shape, t.dtype) for t in step.types]
        arrays = [*(environment[k] for k in step.inputs), *made]
        launch.launch((1,), step.fitted.arguments([a.ctypes.data for a in arrays]))
        for y, want in zip(made, environment[given:], strict=True):
            np.testing.assert_allclose(y, want, rtol=1e-12, atol=1e-15)
    assert seen
