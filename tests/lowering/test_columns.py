"""Column blocks of a kernel: together they do what the whole does, bit for bit."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

import jitad
from jitad.calls.call import Summed
from jitad.lowering.columns import split
from jitad.lowering.cost import work
from jitad.lowering.execute import execute
from jitad.lowering.kernel import Buffer, Kernel, Local
from jitad.lowering.order import ORDERS
from jitad.lowering.statement import statements
from jitad.lowering.statements import Op, Scatter, Store
from jitad.lowering.validate import validate
from jitad.lowering.words import meaning
from jitad.transforms.derivatives.accumulate import jacobian
from tests.cases import loops
from tests.cases.cuda_works import case
from tests.cases.layouts import nested
from tests.cases.loops import KERNELS, Lines, varying
from tests.cases.sum_kernels import kernel, read
from tests.support.kernels import in_rows
from tests.support.random_cases import over, programs
from tests.support.random_loops import Sketch
from tests.support.random_programs import KINDS, Program, structured
from tests.support.seen import everything, scalars

F8 = np.dtype(float)


def outputs(
    kernels: Sequence[Kernel], extents: tuple[int, ...], given: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """What kernels leave in the same arrays, one after the other."""
    buffers, inputs, arrays = kernels[0].buffers, iter(given), []
    for b in buffers:
        shape = [extents[a] if a in b.axes else 1 for a in range(kernels[0].axes)]
        fresh = np.zeros((*shape, b.elements), b.dtype)
        arrays.append(fresh if b.output else next(inputs))
    for k in kernels:
        validate(k)
        assert k.buffers == buffers
        with np.errstate(all="ignore"):
            execute(k, extents, arrays, meaning)
    return [a for a, b in zip(arrays, buffers, strict=True) if b.output]


def hold(whole: Kernel, extents: tuple[int, ...], given: Sequence[np.ndarray]) -> int:
    """The law, for some numbers of blocks; how many blocks there were at most."""
    wanted = outputs([whole], extents, given)
    counts = []
    for asked in (1, 2, 3, 7):
        parts = split(whole, asked)
        counts.append(len(parts))
        assert 1 <= len(parts) <= asked
        assert sum(map(stores, parts), Counter()) == stores(whole)
        for got, want in zip(outputs(parts, extents, given), wanted, strict=True):
            np.testing.assert_array_equal(got, want, strict=True)
    return max(counts)


def stores(kernel: Kernel) -> Counter:
    """The stores, each once in all blocks together."""
    return Counter(s for s in statements(kernel.body) if isinstance(s, Store))


def works(kernel: Kernel) -> bool:
    """Whether anything is computed."""
    return any(isinstance(s, Op) for s in statements(kernel.body))


@pytest.mark.parametrize("name", KERNELS)
def test_loops(name):
    whole = KERNELS[name](F8)
    hold(whole, (3,), loops.inputs(whole, np.random.default_rng(5), (3,)))


@pytest.mark.parametrize("seed", range(30))
def test_random_loops_and_branches(seed):
    whole = Sketch(seed, F8).kernel()
    hold(whole, (3,), loops.inputs(whole, np.random.default_rng(seed), (3,)))


@pytest.mark.slow
def test_random_graphs_and_their_jacobians():
    cut = 0
    for k in range(12):
        program = programs(5, 50)(random.Random(k).randint)
        graph = scalars(program.function, program)
        for g in (graph, jacobian(graph, everything(program)).graph):
            if not any(t.size for t in g.output_types):
                continue
            given = [x.reshape(1, -1) for x in program.inputs if x.size]
            whole = in_rows(g, ORDERS[k % len(ORDERS)])
            most = hold(whole, (1,), given)
            # Where there is work, and more than one thing that it is for, it is shared.
            if len(stores(whole)) > 1 and works(whole):
                assert most > 1
                cut += 1
    assert cut


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_random_programs(kind, mode):
    @over(2, structured(kind))
    def law(program: Program) -> None:
        J = jitad.jacobian(program.function, mode=mode)
        X = program.points[:2]
        whole = jitad.vmap(J).prepare(X).plan.kernel
        assert hold(whole, (2,), [X]) > 1


def test_loops_over_other_axes():
    whole = nested(("rows", "rows", "rows", "rows"))
    given = loops.inputs(whole, np.random.default_rng(3), (3, 2, 3))
    assert hold(whole, (3, 2, 3), given) > 1


def test_sums():
    given = [np.random.default_rng(0).random((5, 3)), np.full((1, 1), 2.0)]
    assert hold(kernel(F8), (5,), given) == 4


def test_what_is_scatter_is_whole():
    rng = np.random.default_rng(1)
    x, i, table = rng.random((4, 3)), rng.integers(0, 18, 4), rng.normal(size=(20, 3))

    def total(table):
        return np.sum(jitad.vmap(read, (0, 0, None))(x, i, table))

    call = jitad.grad(total).prepare(table)
    assert isinstance(call, Summed)
    (step,) = call.program.sums
    assert split(step.kernel, 3) == (step.kernel,)


def test_a_constant_is_known_outside_of_the_branch_that_is_gone():
    k = Lines()
    x = k.load(0, 0, F8)
    two = k.const(2.0, F8)
    mask = k.op("lt", x, two, dtype=np.dtype(bool))
    inside: list[int] = []

    def then(inner: Lines) -> tuple[int]:
        inside.append(inner.const(7.0, F8))
        return (inner.op("mul", x, inside[0], dtype=F8),)

    (y,) = k.branch(mask, [(x, F8)], then)
    k.store(1, [y, k.op("add", x, inside[0], dtype=F8)])
    buffers = varying("x", F8, 1), varying("y", F8, 2, output=True)
    whole = Kernel(buffers, 1, tuple(k.body))
    assert hold(whole, (4,), [np.arange(4.0).reshape(4, 1)]) == 2
    assert sum("if any" in str(part) for part in split(whole, 2)) == 1


def test_a_block_keeps_no_loop_or_storage_but_its_own():
    """Two loops that share nothing, one of which records."""
    k = Lines()
    x, y = k.load(0, 0, F8), k.load(0, 1, F8)

    def recording(body: Lines, i: int, a: int) -> list[int]:
        body.write(0, 0, a, i, 1)
        return [body.op("mul", a, x, dtype=F8)]

    k.repeat([(x, F8)], recording, bound=3)
    b, _ = k.repeat(
        [(y, F8)], lambda body, i, b: [body.op("add", b, y, dtype=F8)], bound=3
    )
    k.store(1, [b, k.read(0, 2, F8)])
    buffers = varying("x", F8, 2), varying("y", F8, 2, output=True)
    whole = Kernel(buffers, 1, tuple(k.body), locals=(Local("own", F8, 3),))
    hold(whole, (3,), [np.arange(6.0).reshape(3, 2)])
    first, second = map(str, split(whole, 2))
    assert "write" not in first and "add" in first and first.count("repeat") == 1
    assert "write" in second and "add" not in second and second.count("repeat") == 1


def test_what_ends_a_loop_is_needed_for_what_is_written_in_it():
    """Where nothing that is written depends on the number of iterations."""
    k = Lines()
    x, last = k.load(0, 0, F8), k.const(2, np.dtype(np.int64))
    zero = k.const(0, np.dtype(np.int64))

    def going(head: Lines, i: int, a: int) -> int:
        return head.op("lt", i, last, dtype=np.dtype(bool))

    def writing(body: Lines, i: int, a: int) -> list[int]:
        body.write(0, 0, x)
        body.body.append(Scatter(2, None, zero, 1, 1, ((0, x),)))
        return [body.op("add", a, x, dtype=F8)]

    k.repeat([(x, F8)], writing, alive=going)
    k.store(1, [x, k.read(0, 0, F8)])
    buffers = (
        *(varying("x", F8, 1), varying("y", F8, 2, output=True)),
        Buffer("s", F8, 1, (), "scatter", True),
    )
    whole = Kernel(buffers, 1, tuple(k.body), locals=(Local("own", F8, 1),))
    assert hold(whole, (3,), [np.arange(3.0).reshape(3, 1)]) == 3
    assert [str(part).count("repeat") for part in split(whole, 3)] == [0, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "most"), [("Hessian", 1.8), ("adaptive trajectories", 1.5)]
)
def test_blocks_share_little_and_are_of_like_work(name, most):
    """Partials in one direction share what carries it through a loop."""
    whole = case(name).kernel
    (once, *twice) = (work(k).nanoseconds((1,)) for k in (whole, *split(whole, 2)))
    assert sum(twice) < most * once
    assert max(twice) < 1.2 * min(twice)
