"""The CUDA back end against a stand-in for the driver that runs kernels on the host."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.backends.cuda import card, numba_card
from jitad.backends.cuda import executable as cuda
from jitad.backends.cuda.card import Card, DeviceError
from jitad.backends.cuda.nvrtc import Cubin, Usage
from jitad.backends.memory import address
from jitad.lowering.columns import split
from jitad.lowering.cuda.emit import emit, emit_columns
from jitad.lowering.fuse import fuse
from jitad.lowering.kernel import Argument, Kernel
from tests.cases import loops
from tests.cases.cuda_works import case
from tests.cases.layouts import F8, moving, nested
from tests.cases.sum_kernels import adding, kernel
from tests.support.cuda_core import Core, machine_code
from tests.support.cuda_host import needs_compiler
from tests.support.cuda_machines import OnCard
from tests.support.kernels import layout, reference, run
from tests.support.numba_driver import ADAPTERS, Driver

Adapter = Callable[[Core], Any]


@pytest.fixture(params=ADAPTERS)
def adapter(request: Any) -> Adapter:
    return request.param


def on_card(made: Kernel, core: Core, adapter: Adapter) -> cuda.Executable:
    """A kernel whose machine code is its text."""

    def make(text: str, capability: tuple[int, int]) -> Cubin:
        assert text == emit(made, shared=228)
        assert capability == (9, 0)
        return machine_code(text)

    return cuda.compile(made, Card(core=adapter(core)), make=make)


@needs_compiler
def test_a_launch_has_a_thread_for_every_lane(adapter):
    core = Core()
    made = moving("rows", "general", F8, 11, 22)
    executable = on_card(made, core, adapter)
    assert executable.usage.registers == 40
    for count in (1, 128, 129, 1000):
        core.events.clear()
        x = np.random.default_rng(1).normal(size=(count, 11))
        views, arguments, _ = zip(
            *(layout(b, 1, (count,)) for b in made.buffers), strict=True
        )
        views[0][...] = x
        executable.launch((count,), arguments, executable.card.stream)
        assert core.events[-1] == ("launch", "kernel", -(-count // 128), 128)
        (want,) = reference(made, (count,), [x])
        assert np.array_equal(views[1], want)
    executable.launch((0,), arguments, executable.card.stream)
    assert len([e for e in core.events if e[0] == "launch"]) == 1


@needs_compiler
@pytest.mark.parametrize("layout", ["rows", "streams", "general", "lines"])
def test_arrays_of_the_host_reach_the_card_and_come_back(layout, adapter):
    """As tests on a card need it: whatever lies between elements stays as it is."""
    source = "streams" if layout == "lines" else layout
    for made in (moving(source, layout, F8, 11, 22), nested((*[source] * 3, "rows"))):
        launch = OnCard(on_card(made, Core(), adapter))
        extents = (9, 2, 3)[: made.axes]
        given = loops.inputs(made, np.random.default_rng(3), extents)
        wanted = reference(made, extents, given)
        for y, want in zip(run(made, extents, given, launch), wanted, strict=True):
            assert np.array_equal(y, want)


@needs_compiler
def test_tables_of_offsets_are_copied_to_the_card_once(adapter):
    core = Core()
    made = moving("general", "rows", F8, 3, 3)
    executable = on_card(made, core, adapter)
    core.events.clear()
    x, y = np.arange(12.0).reshape(2, 6), np.zeros((2, 3))
    for _ in range(2):
        table = np.array([0, 16, 32])
        arguments = [
            Argument(x.ctypes.data, (48,), table),
            Argument(y.ctypes.data, (24,), 8),
        ]
        executable.launch((2,), arguments, executable.card.stream)
        assert np.array_equal(y, 2 * x[:, [0, 0, 0]])
    copies = [e for e in core.events if e[0] == "copy"]
    assert copies == [("copy", "host", "device", 24)]


@needs_compiler
@pytest.mark.parametrize("count", [0, 1, 500])
def test_sums_stay_on_the_card(count, adapter):
    core = Core()
    made = kernel(np.dtype(float))
    executable = on_card(made, core, adapter)
    core.events.clear()
    x = np.random.default_rng(0).random((count, 3))
    p = np.array(2.0)
    arguments = [
        *(Argument(x.ctypes.data, (24,)), Argument(p.ctypes.data, (0,))),
        *(None, None),
    ]
    found = executable.total(count, arguments, executable.card.stream)
    blocks = max(1, -(-count // 128))
    assert [e for e in core.events if e[0] == "launch"] == [
        ("launch", "kernel", blocks, 128),
        ("launch", "kernel_totals_float64", 1, 128),
        ("launch", "kernel_totals_float64", 3, 128),
    ]
    assert not [e for e in core.events if e[0] in ("copy", "sync")]
    for memory, want in zip(
        found, reference(made, (count,), [x, p.reshape(1, 1)]), strict=True
    ):
        got = np.zeros(want.shape)
        executable.card.to_host(got, int(memory.handle), executable.card.stream)
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=0.0)


@needs_compiler
@pytest.mark.parametrize("dtype", ["f8", "i4"])
def test_what_lanes_scatter_is_added_up_in_phases(dtype, adapter):
    core = Core()
    executable = on_card(adding(np.dtype(dtype), 301), core, adapter)
    core.events.clear()
    rng = np.random.default_rng(0)
    i, x = rng.integers(0, 300, 500), rng.integers(-9, 9, (3, 500)).astype(dtype)
    arguments = [
        Argument(i.ctypes.data, (8,), 8),
        Argument(x.ctypes.data, x.strides[1:], x.strides[0]),
    ]
    stream = executable.card.stream
    found = executable.total(500, [*arguments, None, None], stream)
    adds, finish = (
        [("launch", "kernel", 4, 128)],
        ("launch", "kernel_finish_float64", 3),
    )
    words = 301 * 8 if dtype == "f8" else 301
    assert [e for e in core.events if e[0] == "launch"] == [
        ("launch", "kernel_clear", -(-words // 128), 128),
        *(2 * adds if dtype == "f8" else adds),
        ("launch", f"kernel_totals_{x.dtype.name}", 1, 128),
        *([(*finish, 128)] if dtype == "f8" else []),
    ]
    assert not [e for e in core.events if e[0] in ("copy", "sync")]
    table, want = np.zeros(301, dtype), np.zeros(301, dtype)
    executable.card.to_host(table, int(found[1].handle), stream)
    np.add.at(want, i, x[0])
    assert np.array_equal(table, want)


@pytest.mark.slow
@needs_compiler
def test_column_blocks_are_launched_side_by_side(adapter):
    """As many blocks of threads for each block of lanes."""
    core, rng = Core(), np.random.default_rng(2)

    def split_on_card(made: Kernel) -> OnCard:
        parts = split(fuse(made), 2)
        assert len(parts) == 2
        code = machine_code(emit_columns(parts))
        return OnCard(cuda.load(made, code, Card(core=adapter(core)), columns=2))

    made = moving("rows", "rows", F8, 11, 22)
    x = rng.normal(size=(300, 11))
    (y,) = run(made, (300,), [x], split_on_card(made))
    assert np.array_equal(y, reference(made, (300,), [x])[0])
    assert ("launch", "kernel", 2 * 3, 128) in core.events

    made, x, p = kernel(F8), rng.random((300, 3)), np.array(2.0)
    places = Argument(x.ctypes.data, (24,)), Argument(p.ctypes.data, (0,))
    found = split_on_card(made).total(300, [*places, None, None])
    assert core.events.count(("launch", "kernel", 2 * 3, 128)) == 2
    wanted = reference(made, (300,), [x, p.reshape(1, 1)])
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(got, want[0], rtol=1e-13, atol=0.0)


def test_sums_are_of_as_many_blocks_on_every_card(monkeypatch):
    """Beyond some number of lanes a thread adds up several, in order."""
    monkeypatch.setattr(cuda, "SUM_BLOCKS", 2)
    launched: list[tuple] = []

    class Counting:
        def empty(self, nbytes: int, stream: Any) -> Any:
            return type("Memory", (), {"handle": 8 * nbytes})

        def launch(
            self, name: str, blocks: int, threads: int, numbers: Any, stream: Any
        ) -> None:
            launched.append((name, blocks, threads, list(numbers)))

    made = kernel(np.dtype(float))
    functions = {n: n for n in ("kernel", "kernel_totals_float64")}
    used = Usage(40, 0, 0, 0, 0)
    executable = cuda.Executable(made, Counting(), used, 0, functions)  # type: ignore
    given = [Argument(8, (24,)), Argument(16, (0,)), None, None]
    executable.total(10**6, given, None)
    partial = [8 * 2 * n * 8 for n in (1, 3)]
    assert launched == [
        ("kernel", 2, 128, [10**6, 8, 24, 16, *partial]),
        ("kernel_totals_float64", 1, 128, [2, partial[0], 64]),
        ("kernel_totals_float64", 3, 128, [2, partial[1], 192]),
    ]


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("name", ["bundle adjustment", "Gaussians", "arm"])
def test_what_the_plan_places_runs_on_the_card(name, adapter):
    """Arrays on the card, at the strides that a call on the CPU has."""
    function, inputs = case(name).function, case(name).inputs
    wanted, _ = jitad.tree.flatten(function(*inputs))
    call = function.prepare(*inputs)
    core = Core()
    executable = on_card(call.plan.kernel, core, adapter)
    work = cuda.Work(executable.card, executable.card.stream)
    outputs = [np.zeros(x.shape) for x in wanted]
    memory = [work.send(np.ascontiguousarray(x)) for x in (*inputs, *outputs)]
    arguments = call.fitted.arguments([address(x) for x in memory])
    executable.launch(call.fitted.extents, arguments, work.stream)
    for out, own, want in zip(outputs, memory[len(inputs) :], wanted, strict=True):
        work.card.to_host(out, address(own), work.stream)
        np.testing.assert_allclose(out, want, rtol=1e-9, atol=1e-9 * np.abs(want).max())


def test_no_card_is_told_with_the_remedy(monkeypatch):
    with pytest.raises(DeviceError, match=r"card 1, .* no device 1; install .* CPU"):
        Card(1, core=Core())
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    monkeypatch.setitem(sys.modules, "cuda", None)
    monkeypatch.setitem(sys.modules, "numba.cuda", None)
    card._core.cache_clear()
    with pytest.raises(DeviceError, match=r'pip install "jitad\[cuda\]"'):
        Card()


def test_the_stand_in_is_called_as_cuda_core_is():
    real = pytest.importorskip("cuda.core", reason="cuda.core is not installed")
    asked = [
        (real.Device.set_current, []),
        (real.Device.create_stream, []),
        (real.Device.allocate, ["size", "stream"]),
        (real.Stream.sync, []),
        (real.ObjectCode.from_cubin, ["module"]),
        (real.ObjectCode.get_kernel, ["name"]),
        (real.Stream.from_handle, ["handle"]),
        (real.Stream.wait, ["event_or_stream"]),
        (real.LegacyPinnedMemoryResource.allocate, ["size"]),
        (real.Buffer.from_handle, ["ptr", "size", "owner"]),
        (real.Buffer.copy_from, ["src", "stream"]),
        (real.Buffer.fill, ["value", "stream"]),
        (real.launch, ["stream", "config", "kernel", "kernel_args"]),
    ]
    for function, names in asked:
        assert set(names) <= set(inspect.signature(function).parameters), function
    for name in ("device_id", "compute_capability", "name", "get_all_devices"):
        assert hasattr(real.Device, name)
    assert int(real.LEGACY_DEFAULT_STREAM.handle) == 1
    assert int(real.PER_THREAD_DEFAULT_STREAM.handle) == 2
    config = real.LaunchConfig(grid=3, block=128)
    assert (config.grid, config.block) == ((3, 1, 1), (128, 1, 1))
    array = np.arange(4.0)
    memory = real.Buffer.from_handle(array.ctypes.data, array.nbytes, owner=array)
    assert int(memory.handle) == array.ctypes.data


def numbas() -> Any:
    """The CUDA target that comes with Numba; or skip the test."""
    try:
        return numba_card.numba()._cuda
    except ImportError as error:
        pytest.skip(str(error))


def test_numba_is_taken_where_cuda_core_is_missing(monkeypatch):
    numbas()
    monkeypatch.setitem(sys.modules, "cuda", None)
    card._core.cache_clear()
    assert isinstance(card._core(), numba_card.Numba)
    card._core.cache_clear()


def test_the_stand_in_is_called_as_numba_is():
    cuda = numbas()
    driver = cuda.cudadrv.driver
    _, *launched = inspect.signature(Driver.launch_kernel).parameters
    asked = [
        (cuda.current_context, []),
        (cuda.stream, []),
        (cuda.external_stream, ["ptr"]),
        (cuda.legacy_default_stream, []),
        (cuda.per_thread_default_stream, []),
        (cuda.event, ["timing"]),
        (cuda.pinned_array, ["shape", "dtype"]),
        (driver.driver.pop_active_context, []),
        (driver.Device.get_primary_context, []),
        (driver.Context.push, []),
        (driver.Context.create_module_image, ["image"]),
        (driver.Context.memalloc, ["bytesize"]),
        (driver.Context.get_memory_info, []),
        (driver.Module.get_function, ["name"]),
        (driver.Stream.synchronize, []),
        (driver.Event.record, ["stream"]),
        (driver.Event.wait, ["stream"]),
        (driver.host_to_device, ["dst", "src", "size", "stream"]),
        (driver.device_to_host, ["dst", "src", "size", "stream"]),
        (driver.device_to_device, ["dst", "src", "size", "stream"]),
        (driver.device_memset, ["dst", "val", "size", "stream"]),
        (driver.launch_kernel, launched),
    ]
    for function, names in asked:
        own = [n for n in inspect.signature(function).parameters if n != "self"]
        assert own[: len(names)] == names, function
    memory = numba_card.Buffer(driver, 4096, 8, False)
    assert driver.is_device_memory(memory)
    assert driver.device_pointer(memory) == 4096
    assert driver.host_pointer(4096) == 4096
