"""The rows for a CUDA card: what is measured there, and beside which copy.

Inputs and outputs are on the card and stay there; calls are waited for once, after
some in a row. Outputs are compared with complex steps on the host, at points from the
whole batch; sums, with those over all of it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import jitad
from benchmarks import sums
from benchmarks.bundle_adjustment import observations, rows_work
from benchmarks.harness import Participant, Runner, UnavailableError
from benchmarks.participants.on_card_jitad import wait
from benchmarks.speed import speed_row
from benchmarks.sums import (
    Normal,
    joined,
    normal_reference,
    normal_work,
    products,
    row_with,
)
from benchmarks.trajectories import TYPICAL, fixed_work
from benchmarks.work import Arrays, Setting, Target, Work

CHECKED = 1024
# So many different observations, again and again.
DIFFERENT = 1 << 16


def repeated(points: int) -> Arrays:
    """Observations of bundle adjustment, made in less time than all different ones."""
    few = observations(min(points, DIFFERENT))
    return tuple([np.concatenate([x] * (points // len(x))) for x in few])


def rows(setting: Setting) -> Work:
    """bundle adjustment, value + 2×15 Jacobian, rows, on a card"""
    return replace(
        rows_work(replace(setting, quick=True)),
        name="card-ba",
        inputs=repeated(1 << (9 if setting.quick else 24)),
        native="bundle_adjustment.cu:ba_rows",
        checked=CHECKED,
        targets=(
            Target("device copy", "jitad", least=0.60),
            Target("JAX", "jitad", least=10),
        ),
    )


def streams(setting: Setting) -> Work:
    """bundle adjustment, value + 2×15 Jacobian, structure of arrays, on a card"""
    work = rows(setting)
    inputs = [np.ascontiguousarray(np.moveaxis(x, 0, -1)) for x in work.inputs]
    return replace(
        work,
        name="card-ba-soa",
        title="bundle adjustment, value + 2×15 Jacobian, structure of arrays",
        inputs=tuple(inputs),
        in_axes=(-1, -1, -1, -1),
        out_axis=-1,
        native="bundle_adjustment.cu:ba_streams",
        targets=(
            Target("device copy", "jitad", least=0.85),
            Target("JAX", "jitad", least=10),
        ),
    )


def launches(setting: Setting) -> Work:
    """bundle adjustment of 32 points, whose calls cost what a launch costs"""
    work = streams(replace(setting, quick=True))
    return replace(
        work,
        name="card-launch",
        title="bundle adjustment, structure of arrays: overhead of calls in a row",
        inputs=tuple([x[..., :32].copy() for x in work.inputs]),
        copies=False,
        targets=(Target("jitad", None, most=15e-6),),
    )


def trajectories(setting: Setting) -> Work:
    """200 Runge-Kutta steps of Lotka-Volterra, value + 2×6 sensitivities, on a card"""
    points = 1 << (6 if setting.quick else 20)
    moved = 0.2 * np.random.default_rng(0).normal(size=(points, 6))
    return replace(
        fixed_work(replace(setting, quick=True)),
        name="card-trajectories",
        inputs=(TYPICAL * np.exp(moved),),
        checked=CHECKED,
        targets=(Target("JAX", "jitad", least=20),),
    )


# -- sums --------------------------------------------------------------------------


def sums_reference(work: Work) -> Arrays:
    """Those of the different observations, times how often each is there."""
    unknown, observed = work.inputs
    few = min(len(unknown), DIFFERENT)
    totals = normal_reference(replace(work, inputs=(unknown[:few], observed[:few])))
    return tuple([total * (len(unknown) // few) for total in totals])


def normal(setting: Setting) -> Work:
    """JᵀJ and Jᵀr of bundle adjustment, summed over all observations, on a card"""
    camera, point, weight, observed = repeated(1 << (8 if setting.quick else 22))
    work = normal_work(replace(setting, quick=True))
    assert isinstance(work, Normal)
    tools = dict.fromkeys(("jitad", "jax", "torch", "native"), "as listed below")
    return replace(
        work,
        name="card-gauss-newton",
        inputs=(np.concatenate([camera, point, weight[:, None]], axis=1), observed),
        reference=sums_reference,
        without=tools,
    )


def normal_participants(work: Work, setting: Setting) -> Iterator[Participant]:
    """The sums at once, and from stored Jacobians by whose products there are."""
    if setting.takes("jitad"):
        yield Participant("jitad.gauss_newton", partial(at_once, work))
        yield Participant("stored J, sums by jitad", partial(stored, work))
        yield Participant("stored J, PyTorch's product", partial(by_torch, work))
        yield Participant("stored J, CuPy's product", partial(by_cupy, work))
    if setting.takes("jax"):
        yield Participant("JAX, one program", partial(by_jax, work))


def at_once(work: Work) -> Runner:
    """``jitad.gauss_newton`` of the residual."""
    call = jitad.gauss_newton(partial(joined, np), in_axes=0)
    inputs = jitad.device_put(work.inputs)
    return Runner(lambda: call(*inputs), fetched, wait)


def with_jacobian() -> Callable[..., Any]:
    """Residuals and Jacobians of all points."""
    f = partial(joined, np)
    J = jitad.jacobian(f)
    return jitad.vmap(lambda *given: (f(*given), J(*given)))


def stored(work: Work) -> Runner:
    """The products by jitad, too: those of every point, summed."""
    call, inputs = with_jacobian(), jitad.device_put(work.inputs)
    out = call(*inputs)

    def of_point(r: Any, J: Any) -> Any:
        return r @ r, J.T @ r, J.T @ J

    @jitad.jit
    def summed(r: Any, J: Any) -> Any:
        return [np.sum(y, axis=0) for y in jitad.vmap(of_point)(r, J)]

    return Runner(lambda: summed(*call(*inputs, out=out)), fetched, wait)


def by_torch(work: Work) -> Runner:
    """PyTorch's arrays, and its product of matrices."""
    torch = imported("torch")
    if not torch.cuda.is_available():
        raise UnavailableError("PyTorch without a card")
    call = with_jacobian()
    inputs = [torch.from_numpy(x).cuda() for x in work.inputs]
    out = call(*inputs)
    return Runner(
        lambda: products(*call(*inputs, out=out)),
        lambda made: tuple([x.cpu().numpy() for x in made]),
        lambda _: torch.cuda.synchronize(),
        torch.cuda.empty_cache,
    )


def by_cupy(work: Work) -> Runner:
    """CuPy's arrays, and its product of matrices."""
    cupy = imported("cupy")
    call, inputs = with_jacobian(), [cupy.asarray(x) for x in work.inputs]
    out = call(*inputs)
    return Runner(
        lambda: products(*call(*inputs, out=out)),
        lambda made: tuple(map(cupy.asnumpy, made)),
        lambda _: cupy.cuda.get_current_stream().synchronize(),
    )


def by_jax(work: Work) -> Runner:
    """The Jacobians and their products in one jit."""
    imported("jax")
    on_card = importlib.import_module("benchmarks.participants.on_card_jax")
    return sums.by_jax(work, on_card.device())


def imported(package: str) -> Any:
    """A package; raises UnavailableError where it is not installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UnavailableError("not installed") from error


def fetched(made: Any) -> Arrays:
    """Results on the host."""
    return tuple(map(np.asarray, made))


ROWS = (
    speed_row("card-ba-soa", streams),
    speed_row("card-ba", rows),
    row_with("card-gauss-newton", normal, normal_participants),
    speed_row("card-trajectories", trajectories),
    speed_row("card-launch", launches),
)
