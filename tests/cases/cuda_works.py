"""What is compiled for GPUs to see what it takes: the benchmarks' functions, an arm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

import jitad
from benchmarks import bundle_adjustment, gaussians, hessian, trajectories
from benchmarks.participants.with_jitad import transformed
from benchmarks.work import Setting
from jitad.ir.graph import Graph
from jitad.lowering.kernel import Kernel, Layout
from jitad.lowering.schedule import VARIANTS, Request
from jitad.plan.pipeline import lower
from jitad.transforms.rewrite.expand import expand

SOURCES = {
    "bundle adjustment": bundle_adjustment.rows_work,
    "trajectories": trajectories.fixed_work,
    "adaptive trajectories": trajectories.adaptive_work,
    "Gaussians": gaussians.gaussians_work,
    "sines": gaussians.sines_work,
    "Hessian": hessian.hessian_work,
}
# Angle between the axes of joints in right angles, offset along them, distance: of the
# arm with six joints in J. Craig, Introduction to Robotics (1989), section 3.7.
LINKS = (
    *((-1, 0.0, 0.0), (0, 0.0, 0.4318), (-1, 0.1491, 0.0203)),
    *((1, 0.4331, 0.0), (-1, 0.0, 0.0), (0, 0.1, 0.0)),
)


def arm(q: Any) -> Any:
    """Where the hand is, and where it points: 6 angles to 6 numbers."""
    position, axes = [0.0, 0.0, 0.0], [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]
    for k, (turn, along, out) in enumerate(LINKS):
        c, s = np.cos(q[k]), np.sin(q[k])
        x, y, z = axes
        u = [c * a + s * b for a, b in zip(x, y, strict=True)]
        v = [c * b - s * a for a, b in zip(x, y, strict=True)]
        moved = zip(position, z, u, strict=True)
        position = [p + along * a + out * b for p, a, b in moved]
        if turn:
            v, z = [turn * a for a in z], [-turn * a for a in v]
        axes = [u, v, z]
    return np.stack([*position, *axes[2]])


@dataclass(frozen=True)
class Case:
    """A function and its inputs, and its kernel in double precision."""

    function: Callable[..., Any]
    inputs: tuple[np.ndarray, ...]
    kernel: Kernel
    graph: Graph

    def candidates(self, layout: Layout | None = None) -> list[Kernel]:
        """All kernels that compute it; each array that varies lies as said."""
        buffers = self.kernel.buffers
        varying = [b.axes for b in buffers if not b.output]
        layouts = [layout if layout and b.axes else b.layout for b in buffers]
        return candidates(self.graph, self.kernel.axes, varying, layouts)


def candidates(
    graph: Graph,
    axes: int,
    varying: Sequence[Sequence[int]],
    layouts: Sequence[Layout],
) -> list[Kernel]:
    """The kernels of a graph among which a card chooses."""
    request = Request(axes, tuple(map(tuple, varying)), tuple(layouts))
    return list(lower(graph, request, VARIANTS))


@cache
def case(name: str) -> Case:
    """The value and Jacobian of an arm, or a benchmark's work in rows."""
    if name == "arm":
        inputs: Any = (np.random.default_rng(0).normal(size=(64, 6)),)
        J = jitad.jacobian(arm)
        function: Any = jitad.vmap(lambda q: (arm(q), J(q)))
    else:
        work = SOURCES[name](Setting(quick=True))
        function, inputs = transformed(replace(work, out_axis=0)), work.inputs
    call = function.prepare(*inputs)
    found = Case(function, inputs, call.plan.kernel, expand(call.derived.graph))
    assert found.candidates()[0] == found.kernel, "the CPU's is the first"
    return found


NAMES = (*SOURCES, "arm")


@cache
def sums() -> Kernel:
    """JᵀJ of the arm's residuals in 12 parameters: 78 sums over points in rows."""

    def residual(p: Any, x: Any) -> Any:
        return arm(p[:6] * x[:6] + p[6:]) - x[6:]

    rng = np.random.default_rng(0)
    given = rng.normal(size=12), rng.normal(size=(1024, 12))
    (step,) = jitad.gauss_newton(residual).prepare(*given).program.sums
    return step.kernel
