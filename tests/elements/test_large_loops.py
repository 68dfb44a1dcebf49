"""Time loops over large arrays: the same numbers as the schedule over points gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.calls import function
from jitad.calls.call import Elements
from jitad.elements import door, segments
from jitad.elements.repeating import Repeat
from jitad.elements.steps import Plan
from tests.support.differences import are_differences

RNG = np.random.default_rng(3)


def laplacian(u: Any) -> Any:
    inner = u[1:-1, 1:-1]
    return u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * inner


def step(u: Any, k: Any, force: Any = 0.0) -> Any:
    """A step of an explicit scheme with a conductivity at every place."""
    v = u.copy()
    v[1:-1, 1:-1] += k[1:-1, 1:-1] * laplacian(u) * np.cos(u[1:-1, 1:-1]) + force
    return v


def forced(u: Any, k: Any, f: Any, checkpoint: Any = None) -> Any:
    """A stacked result and a captured array."""

    def body(u: Any, force: Any) -> Any:
        u = step(u, k, force)
        return u, np.sum(u**2)

    u, sums = jitad.scan(body, u, f, checkpoint=checkpoint)
    return np.sum(u**3) + np.sum(np.sin(sums))


def linear(u: Any, k: Any, steps: int = 7) -> Any:
    """Whose derivative needs nothing that was carried."""

    def body(i: Any, u: Any) -> Any:
        v = u.copy()
        v[1:-1, 1:-1] += 0.1 * laplacian(u)
        return v

    return np.sum(k * jitad.fori_loop(0, steps, body, u))


def backwards(u: Any, f: Any) -> Any:
    """Rows from the last to the first, each left as it is met."""

    def body(u: Any, row: Any) -> Any:
        return np.tanh(u + row), (u[::-1] * row, u.sum(axis=0))

    u, (rows, sums) = jitad.scan(body, u, f, reverse=True)
    weights = np.cos(np.arange(float(rows.size))).reshape(rows.shape)
    return np.sum(rows * weights) + np.sum(sums**2) * np.sum(u)


def counting(u: Any, k: Any) -> Any:
    """An integer and a number are carried beside arrays, one of them as it was."""

    def body(i: Any, carry: Any) -> Any:
        u, n, total, still = carry
        return (
            step(u, k) * (1 + 0.01 * i),
            n + 2,
            total + np.where(n > 5, u[2, 3], 0),
            still,
        )

    u, n, total, still = jitad.fori_loop(1, 6, body, (u, 3, 0.0, k * 2))
    return np.sum(u * u) + total * n + np.sum(still * u)


def nested(u: Any, k: Any) -> Any:
    def inner(i: Any, u: Any) -> Any:
        return step(u, k * 0.5)

    def outer(u: Any, scale: Any) -> Any:
        u = jitad.fori_loop(0, 3, inner, u)
        return u * scale, u[1]

    u, rows = jitad.scan(outer, u, np.linspace(0.9, 1.1, 4).astype(u.dtype))
    return np.sum(u**2) + np.sum(rows * rows[::-1])


def until(u: Any, k: Any) -> Any:
    """As many steps as it takes."""

    def on(carry: Any) -> Any:
        return np.sum(carry[0] ** 2) > 8.0

    def body(carry: Any) -> Any:
        u, n = carry
        return step(u, k) * 0.9, n + 1

    u, n = jitad.while_loop(on, body, (u, 0), max_steps=50)
    return np.sum(u * u[::-1]) + n


def counted(u: Any, k: Any) -> Any:
    """As many steps as an argument says."""
    last = np.sum(k > 0.05).astype(int) % 5 + 2

    def body(i: Any, u: Any) -> Any:
        return step(u, k) + 0.01 * i

    return np.sum(jitad.fori_loop(1, last, body, u, max_steps=20) ** 2)


def never(u: Any, k: Any) -> Any:
    """No step at all."""
    v = jitad.fori_loop(3, 3, lambda i, v: step(v, k), u)
    return np.sum(v**2) + np.sum(k)


def network(x: Any, W: Any, b: Any) -> Any:
    """A recurrent one, whose products are libraries'."""

    def body(h: Any, row: Any) -> Any:
        h = np.tanh(h @ W + row + b)
        return h, h[:, 0]

    h, first = jitad.scan(body, np.zeros(x.shape[1:]), x)
    return np.sum(h**2) + np.sum(first[1:] * first[:-1])


def swapped(u: Any, k: Any, whole: bool = False) -> Any:
    """Two rows change places, of one of which the ends alone are needed."""

    def body(i: Any, rows: Any) -> Any:
        a, b = rows
        b = b.copy()
        b[1:-1] = a[1:-1] + k[1:-1] * np.sin(a[2:] - 2 * a[1:-1] + a[:-2])
        return b, a

    a, b = jitad.fori_loop(0, 5, body, (u, 3 * u))
    return np.sum(a**3) + b[0] * b[-1] + (np.sum(a * b) if whole else 0)


def both(u: Any, k: Any) -> Any:
    """Both of them are looked at in the end, and in loops inside of others."""

    def body(u: Any, scale: Any) -> Any:
        return u * scale, swapped(u * scale, k, whole=True) + swapped(u, k)

    u, sums = jitad.scan(body, u, np.linspace(0.5, 1.0, 6).astype(u.dtype))
    return np.sum(u) * np.sum(sums**2)


def again(u: Any, k: Any) -> Any:
    @jitad.checkpoint
    def steps(u: Any) -> Any:
        return jitad.fori_loop(0, 3, lambda i, u: step(u, k), u)

    return np.sum(steps(steps(u)) ** 2)


def _uniform(*shape: int) -> np.ndarray:
    return RNG.uniform(0.1, 1.0, shape)


GRID = (_uniform(7, 8), 0.1 * _uniform(7, 8))
ROWS = (_uniform(60), 0.1 * _uniform(60))
LOOPS: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "forced": (forced, (*GRID, 0.1 * _uniform(6))),
    "linear": (linear, GRID),
    "backwards": (backwards, (_uniform(5, 8), _uniform(4, 5, 8))),
    "counting": (counting, GRID),
    "nested": (nested, GRID),
    "until": (until, GRID),
    "counted": (counted, GRID),
    "never": (never, GRID),
    "network": (network, (_uniform(5, 6, 7), 0.3 * _uniform(7, 7), _uniform(7))),
    "again": (again, GRID),
    "swapped": (swapped, ROWS),
    "both": (both, ROWS),
}


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Any:
    """From here on arrays of every size stay whole."""

    def begin() -> None:
        monkeypatch.setattr(function, "_LARGE", -1)

    return begin


def everything(f: Any, args: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """The value, gradients, and products in both directions."""
    numbers = tuple(range(len(args)))
    value, slopes = jitad.value_and_grad(f, argnums=numbers)(*args)
    rng = np.random.default_rng(1)
    directions = tuple([np.asarray(rng.normal(size=x.shape)) for x in args])
    _, pushed = jitad.jvp(f, args, directions)
    _, pull = jitad.vjp(f, *args)
    return [value, *slopes, pushed, *pull(np.float64(2.0)), jitad.jit(f)(*args)]


def close(found: Any, wanted: Any, limit: float = 200 * 2.2e-16) -> None:
    for a, b in zip(found, wanted, strict=True):
        assert np.shape(a) == np.shape(b)
        size = float(np.max(np.abs(b), initial=0.0))
        np.testing.assert_allclose(a, b, rtol=0, atol=limit * max(size, 1.0))


@pytest.mark.parametrize("name", LOOPS)
def test_loops_are_those_of_points(name: str, large: Any) -> None:
    f, args = LOOPS[name]
    wanted = everything(f, args)
    large()
    numbers = tuple(range(len(args)))
    assert isinstance(jitad.value_and_grad(f, argnums=numbers).prepare(*args), Elements)
    found = everything(f, args)
    close(found, wanted)
    close(found[:1], [f(*args)])


@pytest.mark.parametrize("name", LOOPS)
def test_single_precision_stays_so(name: str, large: Any) -> None:
    f, args = LOOPS[name]
    small = tuple([x.astype(np.float32) for x in args])
    wanted = everything(f, args)
    large()
    found = jitad.grad(f, argnums=tuple(range(len(args))))(*small)
    assert all(x.dtype == np.float32 for x in found)
    close(found, wanted[1 : 1 + len(args)], 200 * 1.2e-7)


@pytest.mark.parametrize("checkpoint", ["sqrt", 3, 4, "auto"])
def test_what_is_kept_changes_no_bit(checkpoint: Any, large: Any) -> None:
    large()
    args = (_uniform(9, 20), 0.1 * _uniform(9, 20), 0.1 * _uniform(71))

    def gradient(checkpoint: Any) -> Any:
        def f(*args: Any) -> Any:
            return forced(*args, checkpoint=checkpoint)

        made = jitad.value_and_grad(f, argnums=(0, 1, 2))
        call = made.prepare(*args)
        assert isinstance(call, Elements)
        return made(*args), call.steps.peak

    (wanted, slopes), most = gradient(None)
    (value, found), least = gradient(checkpoint)
    assert value == wanted
    # What many steps add to one array they add in another order.
    close(found, slopes)
    np.testing.assert_array_equal(found[0], slopes[0])
    assert least < most or checkpoint == "auto"


def record_in_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little is recorded, and however dear a run is."""
    monkeypatch.setattr(segments, "_KEPT", 0)
    monkeypatch.setattr(segments, "_MOST", 0)


@pytest.mark.parametrize("name", LOOPS)
def test_jacobians_of_loops_are_gradients_of_results(
    name: str, large: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By rows what loops record is recorded once; segments are done for each row."""
    large()
    f, args = LOOPS[name]
    numbers = tuple(range(len(args)))
    value, slopes = jitad.value_and_grad(f, argnums=numbers)(*args)
    wanted = [np.stack([x, 2 * value * x]) for x in slopes]

    def g(*args: Any) -> Any:
        made = f(*args)
        return np.stack([made, made**2])

    rows: Any = jitad.jacobian(g, numbers, mode="reverse")
    columns: Any = jitad.jacobian(g, numbers, mode="forward")
    assert isinstance(rows.prepare(*args), Elements)
    assert isinstance(columns.prepare(*args), Elements)
    close(rows(*args), wanted, 1e-12)
    close(columns(*args), wanted, 1e-12)
    record_in_segments(monkeypatch)
    close(jitad.jacobian(g, numbers, mode="reverse")(*args), wanted, 1e-12)


def test_a_jacobian_in_numbers_of_a_loop_over_constant_arrays_stays_whole() -> None:
    """It was written out element by element, and did not come back."""
    u = np.random.default_rng(0).uniform(-0.5, 0.5, (120, 60))

    def heat(p: Any) -> Any:
        v = u * p[1]
        for _ in range(40):
            v = v.copy()
            v[1:-1] += p[0] * (v[2:] - 2 * v[1:-1] + v[:-2])
        return v

    p, h = np.array([0.2, 1.0]), 1e-4
    assert isinstance(jitad.jit(heat).prepare(p), Elements)
    f = jitad.jacobian(heat)
    assert isinstance(f.prepare(p), Elements)
    found = f(p)
    np.testing.assert_allclose(found[..., 1], heat(p), rtol=0, atol=1e-13)
    e = np.array([h, 0.0])
    rise = heat(p + e) - heat(p - e)
    np.testing.assert_allclose(found[..., 0], rise / (2 * h), rtol=0, atol=1e-4)
    # What NumPy computed at first has kernels by then.
    best = jitad.jit(f, compile="full")
    found = [best(p) for _ in range(4)][-1]
    for n in (1, 2, 3, 8):
        with jitad.threads(n):
            np.testing.assert_array_equal(best(p), found)
    curved = jitad.hessian(lambda p: np.sum(heat(p) ** 2))
    slope = jitad.grad(lambda p: np.sum(heat(p) ** 2))
    wanted = (slope(p + e) - slope(p - e)) / (2 * h)
    np.testing.assert_allclose(curved(p)[0], wanted, rtol=1e-5)


@pytest.mark.parametrize("name", LOOPS)
def test_segments_are_the_whole(
    name: str, large: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that are recorded segment by segment give what they gave."""
    large()
    f, args = LOOPS[name]

    def found() -> list[np.ndarray]:
        rng = np.random.default_rng(2)
        v = rng.normal(size=args[0].shape)
        seconds = jitad.hvp(f)(*args, v)
        twice = jitad.grad(lambda *x: np.sum(jitad.grad(f)(*x) ** 2))(*args)
        return [*everything(f, args), seconds, twice]

    def loops() -> int:
        made = jitad.grad(f).prepare(*args)
        assert isinstance(made, Elements)
        return len(list(every_loop(made.steps)))

    wanted, before = found(), loops()
    record_in_segments(monkeypatch)
    close(found(), wanted, 2000 * 2.2e-16)
    split = {
        *("forced", "backwards", "counting", "nested", "network", "swapped", "both")
    }
    assert (loops() > before) == (name in split)


@pytest.mark.parametrize("name", LOOPS)
def test_what_need_not_be_carried_changes_no_bit(
    name: str, large: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    large()
    f, args = LOOPS[name]

    def found() -> tuple[Any, int]:
        numbers = tuple(range(len(args)))
        made = jitad.value_and_grad(lambda *x: f(*x), argnums=numbers)
        call = made.prepare(*args)
        assert isinstance(call, Elements)
        return made(*args), carried(call)

    (value, slopes), least = found()
    monkeypatch.setattr(door, "narrowed", lambda flow: flow)
    (wanted, others), most = found()
    assert value == wanted
    for a, b in zip(slopes, others, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (least < most) == (name in ("swapped", "both"))


def carried(call: Elements) -> int:
    """How many numbers loops carry."""
    types = [(s.statement.body, s.statement) for s in every_loop(call.steps)]
    inputs = [(b, b.inputs[1 : 1 + s.carried]) for b, s in types]
    return sum(b.types[i].size for b, own in inputs for i in own)


def every_loop(plan: Plan) -> Iterator[Repeat]:
    for own in plan.steps:
        if isinstance(own, Repeat):
            yield own
            yield from every_loop(own.body)


def test_long_loops_are_recorded_in_segments() -> None:
    """Where a step costs less than to remember it; and nothing is lost on the way."""
    u, k = np.ones((100, 100)), np.full((100, 100), 0.1)

    def f(u: Any, k: Any) -> Any:
        u = jitad.fori_loop(0, 501, lambda i, u: step(u, k) * (1 - 1e-3 * i), u)
        return np.sum(u * u)

    made = jitad.grad(f, argnums=(0, 1))
    call = made.prepare(u, k)
    assert isinstance(call, Elements)
    assert call.steps.peak < 300 * u.nbytes
    are_differences(f, (u, k), made(u, k))


@pytest.mark.parametrize("name", LOOPS)
def test_no_bit_depends_on_threads(name: str, large: Any) -> None:
    large()
    f, args = LOOPS[name]
    wide = args
    if args[0].shape == GRID[0].shape:
        wide = (*[np.tile(x, (9, 40)) for x in args[:2]], *args[2:])
    made = jitad.value_and_grad(f, argnums=tuple(range(len(args))))
    with jitad.threads(1):
        wanted = made(*wide)
    for count in (2, 3):
        with jitad.threads(count):
            value, slopes = made(*wide)
        assert value == wanted[0]
        for a, b in zip(slopes, wanted[1], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", LOOPS)
def test_slopes_of_loops_are_differences(name: str, large: Any) -> None:
    large()
    f, args = LOOPS[name]
    slopes = jitad.grad(f, argnums=tuple(range(len(args))))(*args)
    are_differences(f, args, slopes)


@pytest.mark.parametrize("name", LOOPS)
def test_programs_of_launches_do_what_steps_do(name: str, large: Any) -> None:
    """Bit for bit, also where threads share a launch."""
    large()
    f, args = LOOPS[name]
    wide = args
    if args[0].shape == GRID[0].shape:
        wide = (*[np.tile(x, (40, 90)) for x in args[:2]], *args[2:])
    made = jitad.value_and_grad(f, argnums=tuple(range(len(args))))
    call = made.prepare(*wide)
    assert isinstance(call, Elements)
    loops = [s for s in call.steps.steps if isinstance(s, Repeat)]
    assert loops and all((s.program is None) == (name == "network") for s in loops)
    with jitad.threads(1):
        value, slopes = made(*wide)
    for count in (2, 3):
        with jitad.threads(count):
            again, others = made(*wide)
        assert again == value
        for a, b in zip(others, slopes, strict=True):
            np.testing.assert_array_equal(a, b)
    for loop in loops:
        loop.program = None
    followed, others = made(*wide)
    assert followed == value
    for a, b in zip(others, slopes, strict=True):
        np.testing.assert_array_equal(a, b)


def test_results_of_loops_are_arrays_of_their_own() -> None:
    x = np.arange(900.0)

    def f(x: Any, n: Any) -> Any:
        y = jitad.fori_loop(0, n, lambda i, y: y * 2, x, max_steps=9)
        return y, jitad.scan(lambda c, _: (c + 1, c), x, None, 3)

    made = jitad.jit(f)
    for n in (0, 2):
        y, (z, rows) = made(x, n)
        assert not any(np.shares_memory(x, a) for a in (y, z, rows))
        assert not np.shares_memory(z, rows)
        np.testing.assert_array_equal(y, x * 2**n)
        np.testing.assert_array_equal(rows, [x, x + 1, x + 2])
        np.testing.assert_array_equal(z, x + 3)


def test_a_linear_loop_keeps_nothing() -> None:
    args = (np.ones((200, 200)), np.ones((200, 200)))
    call = jitad.grad(partial(linear, steps=100)).prepare(*args)
    assert isinstance(call, Elements)
    assert call.steps.peak < 12 * args[0].nbytes


def test_loops_are_explained() -> None:
    args = (np.ones((200, 200)), np.ones((200, 200)), np.ones(100))
    told = jitad.explain(jitad.grad(forced), *args)
    assert "100 × store" in str(told)
    assert told.moved > 100 * 3 * args[0].nbytes
    assert told.peak > 100 * args[0].nbytes


def test_one_result_given_twice_has_both_cotangents(large: Any) -> None:
    large()
    x = np.arange(5.0)
    _, pull = jitad.vjp(lambda x: (s := np.sum(x**2), s), x)
    (found,) = pull((np.float64(1.0), np.float64(2.0)))
    np.testing.assert_array_equal(found, 6 * x)


def test_loops_over_single_elements_are_left_to_points(large: Any) -> None:
    large()
    x = np.linspace(0.0, 1.0, 40)

    def read(x: Any) -> Any:
        def body(i: Any, total: Any) -> Any:
            return total * 0.5 + x[i]

        return jitad.fori_loop(0, 40, body, 0.0)

    call = jitad.grad(read).prepare(x)
    assert not isinstance(call, Elements)
    np.testing.assert_allclose(jitad.grad(read)(x), 0.5 ** np.arange(39.0, -1, -1))
