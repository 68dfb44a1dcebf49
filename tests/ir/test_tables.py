"""Shared arrays that points index by traced integers, and what is added to them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.backends.cpu.threads import most_threads
from jitad.calls import function
from jitad.calls.call import Compiled, Summed
from jitad.transforms.scalars import tables
from tests.cases.tables import READS, by_hand, data, f, loss

BATCHES = (1, 7, 8, 9, 1003)
SHAPES = ((40, 3), (3000, 3))  # scalars one by one, and an array as a whole
DTYPES = (np.float64, np.float32)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = jitad.get_threads()
    yield
    jitad.set_threads(before)


def close(found: Any, wanted: Any, dtype: Any = float, factor: float = 500) -> None:
    """Equal to a few units of rounding of the largest entry; NaN in the same places."""
    wanted = np.asarray(wanted)
    scale = np.abs(wanted[np.isfinite(wanted)]).max()
    assert scale > 0 and np.shape(found) == wanted.shape
    atol = factor * np.finfo(dtype).eps * scale
    assert np.allclose(found, wanted, rtol=0, atol=atol, equal_nan=True)


# -- values and derivatives of a batch -------------------------------------------


@pytest.mark.parametrize("count", BATCHES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_batch_reads_a_shared_table(shape: Any, count: int, dtype: Any) -> None:
    table, p, i = data(shape, count, dtype)
    before = table.copy()
    rows = table[i].astype(float)
    value = jitad.vmap(f, (None, 0, 0))(table, p, i)
    assert value.dtype == dtype
    close(value, np.sin(np.sum(rows * p, axis=1)) * rows[:, 0], dtype)
    slopes = jitad.vmap(jitad.jacobian(f, argnums=1), (None, 0, 0))(table, p, i)
    close(slopes, by_hand(table, p, i)[2], dtype)
    assert np.array_equal(table, before)


@pytest.mark.parametrize("count", BATCHES)
@pytest.mark.parametrize("mode", ("forward", "reverse", "cross"))
def test_a_batch_of_gradients_in_the_table(count: int, mode: Any) -> None:
    table, p, i = data((40, 3), count)
    slopes = jitad.vmap(jitad.jacobian(f, mode=mode), (None, 0, 0))(table, p, i)
    for k in range(count):
        close(slopes[k], by_hand(table, p[k : k + 1], i[k : k + 1])[1])


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rows": lambda x: x,
    "Fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(np.repeat(x, 2, 0), 3, 1)[::2, ::3],
    "backwards": lambda x: np.ascontiguousarray(x[::-1])[::-1],
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("count", (9, 300))
def test_layouts_are_read_as_they_are(name: str, count: int) -> None:
    table, p, i = data((40, 3), count)
    changed = LAYOUTS[name](table)
    rows = table[i]
    value = jitad.vmap(f, (None, 0, 0))(changed, p, i)
    close(value, np.sin(np.sum(rows * p, axis=1)) * rows[:, 0])
    close(jitad.grad(loss)(changed, p, i), by_hand(table, p, i)[1])


@pytest.mark.parametrize("axis", (0, 1, 2))
@pytest.mark.parametrize("count", BATCHES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_point_may_have_a_table_of_its_own(
    axis: int, count: int, dtype: Any
) -> None:
    _, p, i = data((20, 3), count, dtype)
    own = np.random.default_rng(1).normal(size=(count, 20, 3)).astype(dtype)
    given = np.ascontiguousarray(np.moveaxis(own, 0, axis))
    rows = own[np.arange(count), i].astype(float)
    value = jitad.vmap(f, (axis, 0, 0))(given, p, i)
    close(value, np.sin(np.sum(rows * p, axis=1)) * rows[:, 0], dtype)


# -- sums over points ---------------------------------------------------------------


@pytest.mark.parametrize("count", (3, 65, 255, 256, 2049))
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_of_a_sum_is_spread(shape: Any, count: int, dtype: Any) -> None:
    table, p, i = data(shape, count, dtype)
    before = table.copy(), p.copy(), i.copy()
    total, wanted, _ = by_hand(table, p, i)
    value, gradient = jitad.value_and_grad(loss)(table, p, i)
    assert value.dtype == gradient.dtype == dtype
    close(gradient, wanted, dtype)
    assert abs(value - total) <= 500 * np.finfo(dtype).eps * count
    assert np.array_equal(jitad.grad(loss)(table, p, i), gradient)
    for x, old in zip((table, p, i), before, strict=True):
        assert np.array_equal(x, old)


@pytest.mark.parametrize("backend", ("cpu", "numpy"))
@pytest.mark.parametrize("count", (3, 300))
@pytest.mark.parametrize("shape", SHAPES)
def test_products_with_tangents_and_cotangents(
    shape: Any, count: int, backend: Any
) -> None:
    table, p, i = data(shape, count)
    _, gradient, _ = by_hand(table, p, i)
    v = np.random.default_rng(2).normal(size=shape)
    close(jitad.jvp(lambda t: loss(t, p, i), (table,), (v,))[1], np.sum(gradient * v))
    pull = jitad.vjp(lambda t: loss(t, p, i), table)[1]
    close(pull(2.0)[0], 2.0 * gradient)
    # ∂/∂table (∇loss · v) by central differences of the exact gradient.
    step = 1e-6
    ahead, behind = (by_hand(table + s * v, p, i)[1] for s in (step, -step))
    product = jitad.hvp(loss, backend=backend)(table, p, i, v)
    assert np.abs(product - (ahead - behind) / (2 * step)).max() < 1e-7
    w = np.random.default_rng(3).normal(size=shape)
    other = jitad.hvp(loss, backend=backend)(table, p, i, w)
    close(np.sum(other * v), np.sum(product * w), factor=5000)


@pytest.mark.slow
@pytest.mark.parametrize("count", (3, 300))
def test_the_hessian_of_a_sum(count: int) -> None:
    table, p, i = data((40, 3), count)
    found = jitad.hessian(loss)(table, p, i)
    assert found.shape == (40, 3, 40, 3)
    flat = found.reshape(120, 120)
    close(flat, flat.T)
    v = np.random.default_rng(2).normal(size=table.shape)
    close(np.tensordot(found, v, 2), jitad.hvp(loss)(table, p, i, v))
    rows = np.unique(i % 40)
    assert not found[np.setdiff1d(np.arange(40), rows)].any()


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("backend", ("cpu", "numpy"))
def test_several_sums_and_what_is_read_outside_of_them(
    shape: Any, backend: Any
) -> None:
    table, p, i = data(shape, 300)

    def total(t: Any, p: Any, i: Any) -> Any:
        return t[1, 0] * loss(t, p, i) + loss(t, p[:70], i[:70]) + t[i[0], 1] ** 2

    value, gradient = jitad.value_and_grad(total, backend=backend)(table, p, i)
    (a, in_a, _), (b, in_b, _) = by_hand(table, p, i), by_hand(table, p[:70], i[:70])
    wanted = table[1, 0] * in_a + in_b
    wanted[1, 0] += a
    wanted[i[0], 1] += 2.0 * table[i[0], 1]
    close(value, table[1, 0] * a + b + table[i[0], 1] ** 2)
    close(gradient, wanted)
    v = np.random.default_rng(16).normal(size=shape)
    along = jitad.jvp(lambda t: total(t, p, i), (table,), (v,))[1]
    close(along, np.sum(wanted * v))
    product = jitad.hvp(total, backend=backend)(table, p, i, v)
    w = np.random.default_rng(17).normal(size=shape)
    other = jitad.hvp(total, backend=backend)(table, p, i, w)
    close(np.sum(product * w), np.sum(other * v), factor=5000)


@pytest.mark.parametrize("count", (70, 300))
def test_points_are_differentiated_beside_the_table(count: int) -> None:
    table, p, i = data((40, 3), count)
    in_table, in_points = jitad.grad(loss, argnums=(0, 1))(table, p, i)
    _, a, b = by_hand(table, p, i)
    close(in_table, a)
    close(in_points, b)


def test_a_batch_of_sums() -> None:
    _, p, i = data((40, 3), 70)
    many = np.random.default_rng(4).normal(size=(5, 40, 3))
    found = jitad.vmap(jitad.grad(loss), (0, None, None))(many, p, i)
    for table, gradient in zip(many, found, strict=True):
        close(gradient, by_hand(table, p, i)[1])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", (300, 2049, 100_003))
def test_sums_do_not_depend_on_the_threads(shape: Any, count: int) -> None:
    table, p, i = data(shape, count)
    g = jitad.value_and_grad(loss)
    found = []
    for n in range(1, most_threads() + 1):
        jitad.set_threads(n)
        found += [g(table, p, i) for _ in range(5)]
    for value, gradient in found:
        assert value == found[0][0]
        assert gradient.tobytes() == found[0][1].tobytes()
    close(found[0][1], by_hand(table, p, i)[1])


def test_points_that_all_name_one_place_are_all_added() -> None:
    """Lanes of a vector too; and of float32 no digits are lost."""
    count = 300_001
    table = np.full((20, 1), 0.1, np.float32)
    i = np.full(count, 7)
    g = jitad.grad(lambda t, i: np.sum(jitad.vmap(lambda t, i: t[i, 0] ** 2,
                                                  (None, 0))(t, i)))  # fmt: skip
    found = g(table, i)
    wanted = 2.0 * float(np.float32(0.1)) * count
    assert found.dtype == np.float32
    assert abs(found[7, 0] - wanted) <= 2 * np.finfo(np.float32).eps * wanted
    assert not np.delete(found, 7, axis=0).any()


# -- how an index names an element ---------------------------------------------------


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", (9, 300))
def test_reads(name: str, shape: Any, count: int) -> None:
    if name == "also all of it" and shape != SHAPES[0]:
        pytest.skip("every element one by one")
    table, _, i = data(shape, count)
    j = data(shape, count, seed=5)[2]
    if "[" not in name:
        i, j = i % 40, j % 40
    g = READS[name]
    wanted = np.stack([g(table, a, b) for a, b in zip(i, j, strict=True)])
    close(jitad.vmap(g, (None, 0, 0))(table, i, j), wanted)

    def total(t: Any) -> Any:
        return np.sum(
            jitad.vmap(lambda t, i, j: g(t, i, j) ** 2, (None, 0, 0))(t, i, j)
        )

    close(jitad.jit(total)(table), np.sum(wanted**2))
    v = np.random.default_rng(6).normal(size=shape)
    gradient = jitad.grad(total)(table)
    # All is a polynomial but where the place itself is computed.
    step = 1e-5
    ahead, behind = (
        np.sum(np.stack([g(t, a, b) for a, b in zip(i, j, strict=True)]) ** 2)
        for t in (table + step * v, table - step * v)
    )
    scale = np.sum(np.abs(gradient * v))
    if name != "computed":
        difference = (ahead - behind) / (2 * step)
        assert abs(np.sum(gradient * v) - difference) <= 1e-7 * scale
    assert abs(jitad.jvp(total, (table,), (v,))[1] - np.sum(gradient * v)) <= (
        1e-12 * scale
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", READS)
def test_lookups_are_what_selects_would_be(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, _, i = data((12, 3), 9)
    j = data((12, 3), 9, seed=5)[2]

    def both() -> list[Any]:
        def g(t: Any, i: Any, j: Any) -> Any:
            return np.sum(READS[name](t, i, j) ** 2)

        value, slopes = jitad.vmap(jitad.value_and_grad(g), (None, 0, 0))(table, i, j)
        second = jitad.vmap(jitad.hessian(g), (None, 0, 0))(table, i, j)
        return [value, slopes, second]

    found = both()
    monkeypatch.setattr(tables, "FEW", 1 << 40)
    for a, b in zip(found, both(), strict=True):
        assert np.array_equal(np.isnan(a), np.isnan(b))
        close(a, b)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", (9, 300))
def test_an_index_out_of_range_is_nan_in_its_own_point(shape: Any, count: int) -> None:
    table, p, i = data(shape, count)
    outside = {0: shape[0], 5: -shape[0] - 1, count - 1: 1 << 40, 6: -(1 << 62)}
    for k, index in outside.items():
        i[k] = index
    inside = np.setdiff1d(np.arange(count), list(outside))
    value, slopes = jitad.vmap(jitad.value_and_grad(f, argnums=1), (None, 0, 0))(
        table, p, i
    )
    for x in (value, slopes):
        assert np.isnan(x[list(outside)]).all() and np.isfinite(x[inside]).all()
    total, gradient = jitad.value_and_grad(loss)(table, p, i)
    assert np.isnan(total)
    close(gradient, by_hand(table, p[inside], i[inside])[1])


@pytest.mark.parametrize(
    ("dtype", "missing"),
    [(np.int64, np.iinfo(np.int64).min), (np.int32, np.iinfo(np.int32).min),
     (np.bool_, False)],
)  # fmt: skip
@pytest.mark.parametrize("size", (40, 5000))
def test_tables_of_integers(dtype: Any, missing: Any, size: int) -> None:
    table = (np.arange(size) % 7 > 2) if dtype is np.bool_ else np.arange(size)
    table = table.astype(dtype)
    i = np.array([0, size - 1, -1, size, 3, -size - 1, 17, 5, 6])
    found = jitad.vmap(lambda t, i: t[i], (None, 0))(table, i)
    assert found.dtype == dtype
    wanted = np.where((i < size) & (i >= -size), table[i % size], missing)
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("size", (40, 50_000))
def test_a_constant_table(size: int) -> None:
    rng = np.random.default_rng(7)
    table, x, i = (
        rng.normal(size=size),
        rng.normal(size=300),
        rng.integers(0, size, 300),
    )

    def g(x: Any, i: Any) -> Any:
        return x * np.asarray(table, like=i)[i]

    close(jitad.vmap(g)(x, i), x * table[i])
    total = jitad.value_and_grad(lambda x, i: np.sum(jitad.vmap(g)(x, i)))
    value, slopes = total(x, i)
    close(value, np.sum(x * table[i]))
    close(slopes, table[i])
    shared = jitad.grad(lambda a: np.sum(jitad.vmap(lambda i: g(a, i) ** 2)(i)))
    close(shared(2.0), 4.0 * np.sum(table[i] ** 2))


# -- inside loops --------------------------------------------------------------------


def walk(table: Any, x: Any) -> Any:
    """Twenty steps, each of which reads where the last one led."""
    count = table.shape[0]

    def step(x: Any, _: Any) -> tuple[Any, Any]:
        i = (np.abs(x) * 1000).astype(int) % count
        return 0.9 * x + np.sin(table[i, 0]) * table[i - 1, 1], x

    last, path = jitad.scan(step, x, None, length=20)
    return last + np.sum(path)


def walked(table: np.ndarray, x: float) -> tuple[float, np.ndarray, float]:
    """Value and derivatives of walk, by hand."""
    path, count = [], len(table)
    for _ in range(20):
        path.append(x)
        i = int(abs(x) * 1000) % count
        x = 0.9 * x + np.sin(table[i, 0]) * table[i - 1, 1]
    slope, bar = np.zeros_like(table), 1.0
    for y in path[::-1]:
        i = int(abs(y) * 1000) % count
        slope[i, 0] += bar * np.cos(table[i, 0]) * table[i - 1, 1]
        slope[i - 1, 1] += bar * np.sin(table[i, 0])
        bar = 0.9 * bar + 1.0
    return x + sum(path), slope, bar


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("backend", ("cpu", "numpy"))
def test_a_scan_reads_where_it_is_led(shape: Any, backend: Any) -> None:
    table = np.random.default_rng(8).normal(size=shape)
    value, slope, bar = walked(table, 0.3)
    close(jitad.jit(walk, backend=backend)(table, 0.3), value)
    a, b = jitad.grad(walk, argnums=(0, 1), backend=backend)(table, 0.3)
    close(a, slope)
    close(b, bar)
    v = np.random.default_rng(9).normal(size=shape)
    close(jitad.jvp(lambda t: walk(t, 0.3), (table,), (v,))[1], np.sum(slope * v))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", (9, 300))
def test_a_sum_over_scans(shape: Any, count: int) -> None:
    rng = np.random.default_rng(10)
    table, x = rng.normal(size=shape), rng.normal(size=count)
    wanted = [walked(table, float(t)) for t in x]
    many = jitad.vmap(walk, (None, 0))
    close(many(table, x), np.array([w[0] for w in wanted]))
    total = jitad.value_and_grad(lambda t, x: np.sum(many(t, x)))
    value, gradient = total(table, x)
    close(value, sum(w[0] for w in wanted), factor=1e4)
    close(gradient, sum(w[1] for w in wanted))
    starts = jitad.vmap(jitad.grad(walk, argnums=1), (None, 0))(table, x)
    close(starts, np.array([w[2] for w in wanted]))


def test_a_batch_of_gradients_through_scans() -> None:
    rng = np.random.default_rng(11)
    table, x = rng.normal(size=(40, 3)), rng.normal(size=9)
    found = jitad.vmap(jitad.grad(walk), (None, 0))(table, x)
    for t, slope in zip(x, found, strict=True):
        close(slope, walked(table, float(t))[1])


def grown(table: Any, count: Any, x: Any) -> Any:
    """A loop that every point runs as often as it likes."""
    return jitad.fori_loop(
        0, count, lambda i, x: x * (1.0 + table[7 * i, 0]), x, max_steps=30
    )


@pytest.mark.parametrize("count", (9, 300))
def test_points_that_are_done_add_nothing_more(count: int) -> None:
    rng = np.random.default_rng(12)
    table, x = rng.normal(size=(3000, 2)), rng.normal(size=count)
    steps = rng.integers(0, 30, count)
    total = jitad.grad(lambda t: np.sum(jitad.vmap(grown, (None, 0, 0))(t, steps, x)))
    wanted = np.zeros_like(table)
    for n, start in zip(steps, x, strict=True):
        factors = 1.0 + table[: 7 * n : 7, 0]
        wanted[: 7 * n : 7, 0] += start * np.prod(factors) / factors
    close(total(table), wanted)


@pytest.mark.parametrize("shape", SHAPES[:1])
def test_a_condition_reads_a_table(shape: Any) -> None:
    rng = np.random.default_rng(13)
    table, x = np.abs(rng.normal(size=shape)), rng.normal(size=20)

    def g(t: Any, x: Any) -> Any:
        def going(c: Any) -> Any:
            return (c[1] < 2.0 + t[c[0], 1]) & (c[0] < 39)

        last = jitad.while_loop(
            going, lambda c: (c[0] + 1, c[1] + t[c[0], 0]), (0, x), max_steps=50
        )
        return last[1]

    def slope(x: float) -> np.ndarray:
        k, found = 0, np.zeros_like(table)
        while x < 2.0 + table[k, 1] and k < 39:
            found[k, 0] += 1.0
            x += table[k, 0]
            k += 1
        return found

    total = jitad.grad(lambda t: np.sum(jitad.vmap(g, (None, 0))(t, x)))
    close(total(table), sum(slope(float(t)) for t in x))


# -- what it costs -------------------------------------------------------------------


def test_graphs_do_not_grow_with_the_table() -> None:
    sizes = []
    for n in (1_000, 100_000):
        table, p, i = data((n, 9), 1000)
        call = jitad.grad(loss).prepare(table, p, i)
        assert isinstance(call, Summed)
        sizes.append(len(call.derived.graph.nodes))
        sizes.append(sum(len(str(s.kernel)) for s in call.program.sums))
        close(jitad.grad(loss)(table, p, i), by_hand(table, p, i)[1])
        v = np.ones_like(table)
        assert jitad.hvp(loss)(table, p, i, v).shape == table.shape
    assert sizes[0] == sizes[2] < 100
    assert abs(sizes[1] - sizes[3]) < 100


def test_nothing_is_stored_per_point() -> None:
    table, p, i = data((1000, 9), 200_000)
    g = jitad.grad(loss)
    g(table, p, i)
    tracemalloc.start()
    g(table, p, i)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * table.nbytes < p.nbytes


def test_a_large_table_has_few_copies_of_its_gradient() -> None:
    table, p, i = data((400_000, 5), 2_000)
    g = jitad.grad(loss)
    close(g(table, p, i), by_hand(table, p, i)[1])
    tracemalloc.start()
    g(table, p, i)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * table.nbytes


def test_explain_tells_of_lookups() -> None:
    table, p, i = data((1000, 9), 5000)
    found = jitad.explain(jitad.grad(loss), table, p, i)
    (total,) = found.sums
    assert (total.points, total.count) == (5000, 9000)
    assert total.operations.counts["lookup"] == 9
    assert total.operations.counts["scatter_scalars"] == 1
    assert "9,000 sums over 5,000 points" in found.text
    assert "9 lookup" in found.text
    batch = jitad.explain(jitad.vmap(f, (None, 0, 0)), table, p, i)
    assert batch.operations.counts["lookup"] == 9
    assert isinstance(jitad.vmap(f, (None, 0, 0)).prepare(table, p, i), Compiled)


@pytest.mark.slow
def test_what_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where arrays are taken apart; kept whole, memory is all that they need."""
    monkeypatch.setattr(function, "_LARGE", 1 << 62)
    monkeypatch.setattr(function, "_COSTLY", np.inf)
    table, p, i = data((3000, 3), 300)
    with pytest.raises(jitad.UnsupportedError, match=r"hvp.*jvp"):
        jitad.hessian(loss)(table, p, i)
    slopes = jitad.grad(lambda t, a: loss(a * t, p, i) + a * loss(t, p, i))
    with pytest.raises(jitad.UnsupportedError, match="too large to be written out"):
        jitad.jacobian(slopes, argnums=1)(table, 2.0)
    with pytest.raises(jitad.UnsupportedError, match=r"expected mode='auto'"):
        jitad.jacobian(loss, mode="forward")(table, p, i)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_checkpoint_takes_what_was_read(shape: Any) -> None:
    table, p, i = data(shape, 300)
    inner = jitad.checkpoint(lambda row, p: np.sin(row @ p) * row[0])

    def g(t: Any, p: Any, i: Any) -> Any:
        return inner(t[i], p)

    def total(g: Any) -> Any:
        return jitad.grad(lambda t: np.sum(jitad.vmap(g, (None, 0, 0))(t, p, i)))

    wanted = by_hand(table, p, i)[1]
    close(total(g)(table), wanted)
    whole = total(jitad.checkpoint(f))
    if shape == SHAPES[0]:
        close(whole(table), wanted)
        return
    with pytest.raises(jitad.UnsupportedError, match=r"test_tables.py.*index it out"):
        whole(table)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", (3, 300))
def test_batches_of_tangents_and_cotangents(shape: Any, count: int) -> None:
    table, p, i = data(shape, count)
    _, gradient, _ = by_hand(table, p, i)
    v = np.random.default_rng(14).normal(size=(3, *shape))

    def g(t: Any) -> Any:
        return loss(t, p, i)

    close(jitad.jvp(g, (table,), (v,))[1], np.tensordot(v, gradient))
    found = jitad.vjp(g, table)[1](np.array([1.0, 0.0, -2.0]))[0]
    close(found, np.stack([gradient, 0 * gradient, -2 * gradient]))
    products = jitad.hvp(loss)(table, p, i, v)
    for k in range(3):
        close(products[k], jitad.hvp(loss)(table, p, i, v[k]))
    many = jitad.linearize(lambda t: jitad.vmap(f, (None, 0, 0))(t, p, i), table)[1]
    close(many.rmatvec(np.ones(count)), gradient.ravel())


@pytest.mark.parametrize("shape", SHAPES)
def test_batches_in_batches(shape: Any) -> None:
    rng = np.random.default_rng(15)
    own, p = rng.normal(size=(70, *shape)), rng.normal(size=(5, 3))
    i = rng.integers(0, shape[0], (70, 5))
    wanted = [[f(t, q, k) for q, k in zip(p, row, strict=True)]
              for t, row in zip(own, i, strict=True)]  # fmt: skip
    inside = jitad.vmap(jitad.vmap(f, (None, 0, 0)), (0, None, 0))
    close(inside(own, p, i), np.array(wanted))
    outside = jitad.vmap(jitad.vmap(f, (0, None, 0)), (None, 0, 0))
    close(outside(own, p, i.T), np.array(wanted).T)


@pytest.mark.parametrize("shape", SHAPES)
def test_numba_calls_functions_with_tables(shape: Any) -> None:
    table, p, i = data(shape, 9)
    wanted = by_hand(table, p[:1], i[:1])[2][0]
    given = jitad.njit(jitad.grad(f, argnums=1), table, p[0], i[0])
    close(given(table, p[0], i[0]), wanted)
    own = jitad.njit(
        jitad.grad(lambda p, i: f(np.asarray(table, like=i), p, i)), p[0], i[0]
    )
    close(own(p[0], i[0]), wanted)
