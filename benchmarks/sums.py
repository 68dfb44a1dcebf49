"""Sums over many points: a likelihood's gradient, and normal equations without J.

In the first row a logistic regression is the sum of a function of one row of the data;
its gradient needs the data once, and a line shows what reading them once takes. In the
second the Jacobians of bundle adjustment enter only as JᵀJ and Jᵀr, summed over all
observations; storing them first is what it is compared with.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

import jitad
from benchmarks.bundle_adjustment import observations, residual
from benchmarks.harness import Participant, Runner, UnavailableError, measure
from benchmarks.speed import Row, speed_table
from benchmarks.table import Table
from benchmarks.work import Arrays, Setting, Target, Work, complex_step

Participants = Callable[[Work, Setting], Iterator[Participant]]


def row_with(name: str, make: Callable[[Setting], Work], extra: Participants) -> Row:
    """A row that measures the Work, and participants of its own."""

    def table(setting: Setting) -> Table:
        work = make(setting)
        return speed_table(work, measure(work, setting, extra(work, setting)))

    return Row(name, str(make.__doc__), table)


def loss_of_row(xp: Any, parameters: Any, x: Any, y: Any) -> Any:
    """Minus the logarithm of the probability of y, 0 or 1, where x was measured."""
    z = x @ parameters
    return xp.logaddexp(0.0, z) - y * z


def loss(xp: Any, parameters: Any, X: Any, y: Any) -> Any:
    """Its sum over all rows."""
    tool = jitad if xp is np else importlib.import_module("jax")
    each = tool.vmap(partial(loss_of_row, xp), (None, 0, 0))
    return xp.sum(each(parameters, X, y))


def loss_by_matrix(xp: Any, parameters: Any, X: Any, y: Any) -> Any:
    """The same as one writes it for arrays."""
    z = X @ parameters
    return xp.sum(xp.logaddexp(0.0, z) - y * z)


def logistic_reference(work: Work) -> Arrays:
    """Value and gradient, Xᵀ(σ - y), by hand."""
    parameters, X, y = work.inputs
    z = X @ parameters
    return np.sum(np.logaddexp(0, z) - y * z), X.T @ (1 / (1 + np.exp(-z)) - y)


def logistic_work(setting: Setting) -> Work:
    """gradient of a logistic regression, as a sum of a function of one row"""
    rng = np.random.default_rng(0)
    rows = 100 if setting.quick else 1_000_000
    X = rng.normal(size=(rows, 30))
    true = rng.normal(size=30) / 5
    y = (rng.random(rows) < 1 / (1 + np.exp(-X @ true))).astype(float)
    left_out = "not written for it"
    return Work(
        name="logistic",
        title="gradient of a logistic regression of 30 columns, summed over its rows",
        function=loss,
        inputs=(true + rng.normal(size=30) / 5, X, y),
        derivative="gradient",
        batched=False,
        reference=logistic_reference,
        copies=False,
        without=dict.fromkeys(("torch", "drjit", "casadi", "autograd"), left_out),
        targets=(
            Target("JAX", "jitad", least=3),
            Target("jitad", "read once", most=1.5),
        ),
    )


def logistic_participants(work: Work, setting: Setting) -> Iterator[Participant]:
    """JAX as one writes it for arrays, and the largest entry, which reads all once."""
    if setting.takes("jax"):
        other = importlib.import_module("benchmarks.participants.with_jax")
        by_matrix = replace(work, function=loss_by_matrix)
        for variant in other.participants(by_matrix, setting):
            yield replace(variant, name=f"{variant.name}, X @ p")
    if setting.takes("numpy"):
        yield Participant("read once", partial(reading, work.inputs[1], setting))


def reading(X: np.ndarray, setting: Setting) -> Runner:
    """The largest of all entries, each thread reading its part.

    Not their product with themselves: the threads of a BLAS spin for a while after it,
    and take a core from whoever comes next.
    """
    pool = ThreadPoolExecutor(setting.threads)
    parts = np.array_split(X.ravel(), setting.threads)

    def call() -> float:
        return max(pool.map(np.max, parts))

    return Runner(call, lambda _: None)


@dataclass(frozen=True)
class Normal(Work):
    """A residual whose r·r, Jᵀr and JᵀJ are wanted, summed over the points."""

    def output_shapes(self) -> list[tuple[int, ...]]:
        """Those of the three sums."""
        size = self.inputs[0].shape[1]
        return [(), (size,), (size, size)]


def joined(xp: Any, unknown: Any, observed: Any) -> Any:
    """The residual of bundle adjustment in one vector: camera, point and weight."""
    return residual(xp, unknown[:11], unknown[11:14], unknown[14], observed)


def normal_reference(work: Work) -> Arrays:
    """From Jacobians by complex steps, some thousand points at once."""
    totals: list[Any] = [0.0, 0.0, 0.0]
    size = 1 << 14
    for k in range(0, len(work.inputs[0]), size):
        some = tuple(x[k : k + size] for x in work.inputs)
        part = complex_step(replace(work, inputs=some, batched=True, in_axes=(0, 0)))
        totals = [a + b for a, b in zip(totals, products(*part), strict=True)]
    return tuple(np.asarray(total) for total in totals)


def products(r: np.ndarray, J: np.ndarray) -> Arrays:
    """r·r, Jᵀr and JᵀJ of all points, by the products of matrices."""
    flat, tall = r.ravel(), J.reshape(-1, J.shape[-1])
    return flat @ flat, flat @ tall, tall.T @ tall


def by_einsum(r: np.ndarray, J: np.ndarray) -> Arrays:
    """The same by einsum, which has no matrices to find here."""
    return (
        np.einsum("km,km->", r, r),
        np.einsum("kma,km->a", J, r),
        np.einsum("kma,kmb->ab", J, J),
    )


def normal_work(setting: Setting) -> Work:
    """JᵀJ and Jᵀr of bundle adjustment, summed over all observations"""
    camera, point, weight, observed = observations(1 << (10 if setting.quick else 20))
    tools = ("jitad", "jax", "torch", "drjit", "casadi", "autograd")
    return Normal(
        name="gauss-newton",
        title="JᵀJ, Jᵀr and r·r of bundle adjustment, summed over its observations",
        function=joined,
        inputs=(np.concatenate([camera, point, weight[:, None]], axis=1), observed),
        derivative="jacobian",
        batched=False,
        reference=normal_reference,
        copies=False,
        without=dict.fromkeys(tools, "its ways to the sums are listed below"),
        targets=(Target("stored", "jitad.gauss_newton", least=3),),
    )


def normal_participants(work: Work, setting: Setting) -> Iterator[Participant]:
    """The sums at once, and from stored Jacobians by two kinds of product."""
    if setting.takes("jitad"):
        yield Participant("jitad.gauss_newton", partial(at_once, work))
        yield Participant("stored J, matrix product", partial(stored, work, products))
        yield Participant("stored J, einsum", partial(stored, work, by_einsum))
    if setting.takes("jax"):
        yield Participant("JAX, one program", partial(by_jax, work))


def at_once(work: Work) -> Runner:
    """``jitad.gauss_newton`` of the residual."""
    call = jitad.gauss_newton(partial(joined, np), in_axes=0)
    return Runner(lambda: call(*work.inputs), tuple)


def stored(work: Work, multiply: Callable[..., Arrays]) -> Runner:
    """Residuals and Jacobians of all points into arrays kept, and their products."""
    f = partial(joined, np)
    J = jitad.jacobian(f)
    call = jitad.vmap(lambda *given: (f(*given), J(*given)))
    out = call(*work.inputs)
    return Runner(lambda: multiply(*call(*work.inputs, out=out)), tuple)


def by_jax(work: Work, device: Any = None) -> Runner:
    """The Jacobians and their products in one jit; device: JAX's, if not the first."""
    try:
        jax = importlib.import_module("jax")
    except ImportError:
        raise UnavailableError("not installed") from None
    jax.config.update("jax_enable_x64", True)
    f = partial(joined, jax.numpy)

    @jax.jit
    def call(*given: Any) -> Any:
        r = jax.vmap(f)(*given)
        return products(r, jax.vmap(jax.jacfwd(f))(*given))

    inputs = jax.device_put(work.inputs, device)
    return Runner(
        lambda: call(*inputs),
        lambda result: tuple(np.asarray(x) for x in result),
        jax.block_until_ready,
    )


ROWS = (
    row_with("logistic", logistic_work, logistic_participants),
    row_with("gauss-newton", normal_work, normal_participants),
)
